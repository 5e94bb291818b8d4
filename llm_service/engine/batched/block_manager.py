"""Hands out the KV cache's blocks: free list, reference counts, prefix hashes.

Owns which block belongs to whom and which freed blocks still hold a known prefix.
It knows nothing of tensors: a block is a number below `num_blocks`.
"""

from array import array
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import blake2b

from llm_service.engine.batched.sequence import Sequence

_DIGEST_BYTES = 32  # wide enough that no tenant can make two contents collide


@dataclass(frozen=True, slots=True)
class Allocation:
    """Room was made; the first `num_cached_tokens` positions already hold their KV."""

    num_cached_tokens: int


class BlockManager:
    """A block is free (no references) or used. A free one may keep its content, hashed,
    until it is handed out again; the one freed longest ago goes first."""

    def __init__(self, num_blocks: int, block_size: int, *, prefix_cache: bool = True) -> None:
        assert num_blocks > 0
        assert block_size > 0
        self.num_blocks = num_blocks
        self.block_size = block_size
        self._prefix_cache = prefix_cache
        self._num_references = [0] * num_blocks
        self._hash_of: list[bytes | None] = [None] * num_blocks
        self._block_of: dict[bytes, int] = {}
        self._free: OrderedDict[int, None] = OrderedDict.fromkeys(range(num_blocks))

    @property
    def num_free_blocks(self) -> int:
        return len(self._free)

    @property
    def num_used_blocks(self) -> int:
        return self.num_blocks - len(self._free)

    def num_blocks_for(self, num_tokens: int) -> int:
        return -(-num_tokens // self.block_size)

    def allocate(self, sequence: Sequence, *, num_spare_blocks: int = 0) -> Allocation | None:
        """Blocks for all of the sequence's tokens, shared where its prefix is known.

        None, and nothing taken, if fewer than `num_spare_blocks` would stay free.
        """
        assert not sequence.block_table
        cached = self._find_prefix(sequence)
        num_new = self.num_blocks_for(len(sequence.token_ids)) - len(cached)
        num_revived = sum(1 for block in cached if self._num_references[block] == 0)
        if num_new + num_revived + num_spare_blocks > len(self._free):
            return None
        for block in cached:
            self._take(block)
        sequence.block_table = cached + [self._take_free() for _ in range(num_new)]
        sequence.num_computed_tokens = len(cached) * self.block_size
        return Allocation(num_cached_tokens=sequence.num_computed_tokens)

    def append(self, sequence: Sequence, num_more: int = 0) -> bool:
        """Make sure that the sequence's last token has a position, and `num_more` after it.

        False, and nothing taken, if there is no room.
        """
        num_blocks = self.num_blocks_for(len(sequence.token_ids) + num_more)
        num_new = num_blocks - len(sequence.block_table)
        if num_new > len(self._free):
            return False
        sequence.block_table += [self._take_free() for _ in range(num_new)]
        return True

    def advance(self, sequence: Sequence, num_tokens: int) -> None:
        """The KV of `num_tokens` more positions is written; blocks now full can be shared."""
        first = sequence.num_computed_tokens // self.block_size
        sequence.num_computed_tokens += num_tokens
        if not self._prefix_cache:
            return
        for index in range(first, sequence.num_computed_tokens // self.block_size):
            self._publish(sequence.block_table[index], self._block_hash(sequence, index))

    def free(self, sequence: Sequence) -> None:
        """Drop the sequence's references. Its KV is lost to it, but may be found again."""
        # Last first, so that of these blocks the start of the prompt, the part
        # another request is most likely to share, is reused last.
        for block in reversed(sequence.block_table):
            self._release(block)
        sequence.block_table = []
        sequence.num_computed_tokens = 0

    def check_integrity(self, live: Iterable[Sequence]) -> None:
        """Raise AssertionError unless the books agree with the sequences that hold blocks."""
        counts = [0] * self.num_blocks
        for sequence in live:
            assert len(set(sequence.block_table)) == len(sequence.block_table)
            assert sequence.num_computed_tokens <= len(sequence.block_table) * self.block_size
            for block in sequence.block_table:
                counts[block] += 1
        assert counts == self._num_references, (counts, self._num_references)
        assert set(self._free) == {b for b, count in enumerate(counts) if count == 0}
        hashed = {b: h for b, h in enumerate(self._hash_of) if h is not None}
        assert {h: b for b, h in hashed.items()} == self._block_of
        assert len(hashed) == len(self._block_of)

    def _find_prefix(self, sequence: Sequence) -> list[int]:
        """Known blocks from the start on; never all tokens: the last one must be computed."""
        if not self._prefix_cache or sequence.is_scored:  # every position's logits are needed
            return []
        found: list[int] = []
        for index in range((len(sequence.token_ids) - 1) // self.block_size):
            block = self._block_of.get(self._block_hash(sequence, index))
            if block is None:
                break
            found.append(block)
        return found

    def _block_hash(self, sequence: Sequence, index: int) -> bytes:
        """Hash of the salt and of all tokens and attachments up to the end of block `index`."""
        hashes = sequence.block_hashes
        while len(hashes) <= index:
            start = len(hashes) * self.block_size
            salt = sequence.request.cache_salt.encode()
            parent = hashes[-1] if hashes else blake2b(salt, digest_size=_DIGEST_BYTES).digest()
            end = start + self.block_size
            tokens = array("q", sequence.token_ids[start:end])
            digest = blake2b(parent + tokens.tobytes(), digest_size=_DIGEST_BYTES)
            for attachment, first, _ in sequence.request.prompt.attached(start, end):
                digest.update(attachment.content_hash + first.to_bytes(8))
            hashes.append(digest.digest())
        return hashes[index]

    def _publish(self, block: int, block_hash: bytes) -> None:
        # Two sequences may have computed the same content side by side: the first stays known.
        if self._hash_of[block] is None and block_hash not in self._block_of:
            self._hash_of[block] = block_hash
            self._block_of[block_hash] = block

    def _take(self, block: int) -> None:
        if self._num_references[block] == 0:
            del self._free[block]
        self._num_references[block] += 1

    def _take_free(self) -> int:
        block, _ = self._free.popitem(last=False)
        self._num_references[block] = 1
        block_hash = self._hash_of[block]
        if block_hash is not None:
            del self._block_of[block_hash]
            self._hash_of[block] = None
        return block

    def _release(self, block: int) -> None:
        self._num_references[block] -= 1
        if self._num_references[block] == 0:
            self._free[block] = None
            if self._hash_of[block] is None:  # holds nothing worth keeping: reuse it first
                self._free.move_to_end(block, last=False)
