"""The prompt of a sequence: token ids, and attachments in place of some. Imports no torch."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

HASH_BYTES = 32


@dataclass(frozen=True, slots=True)
class Attachment:
    """Content such as an image, in place of `num_tokens` placeholder tokens from `start` on.

    `embeddings` is a float tensor [num_tokens, hidden_size] that replaces the embeddings of the
    placeholders. `content_hash` (HASH_BYTES bytes) identifies the content: attachments with equal
    hashes share cached results. `deepstack` has more tensors of this shape: number i is added to
    what layer i makes of these tokens (Qwen3-VL).
    """

    start: int
    num_tokens: int
    content_hash: bytes
    embeddings: Any
    deepstack: tuple[Any, ...] = ()

    @property
    def end(self) -> int:
        return self.start + self.num_tokens


@dataclass(frozen=True, slots=True)
class Positions:
    """Where the tokens of a prompt stand on each axis, as a model's rotary embedding counts.

    `axes` has a number per token for time, height and width. Tokens after the prompt stand `shift`
    away from their index, on every axis.
    """

    axes: tuple[Sequence[int], ...]
    shift: int


@dataclass(frozen=True, slots=True)
class Prompt:
    """Token ids and the attachments among them, in the order of their positions.

    Without `positions`, token i stands at position i. For a model that is not batched, `inputs`
    makes what its own `generate` takes beside token ids, when the request's turn comes: the pixels
    of all requests that wait would take gigabytes.
    """

    token_ids: tuple[int, ...]
    attachments: tuple[Attachment, ...] = ()
    positions: Positions | None = None
    inputs: Callable[[], Mapping[str, Any]] | None = None

    def __len__(self) -> int:
        return len(self.token_ids)

    def __post_init__(self) -> None:
        """Raises ValueError for attachments that overlap or leave the prompt, or lost positions."""
        position = 0
        for attachment in self.attachments:
            if attachment.start < position or attachment.num_tokens < 1:
                raise ValueError("Attachments must be in order, not empty and not overlap.")
            if len(attachment.content_hash) != HASH_BYTES:
                raise ValueError(f"A content hash has {HASH_BYTES} bytes.")
            position = attachment.end
        if position > len(self.token_ids):
            raise ValueError("An attachment ends after the prompt.")
        if self.positions and {len(axis) for axis in self.positions.axes} != {len(self.token_ids)}:
            raise ValueError("Each token needs a position on each axis.")

    def attached(self, start: int, end: int) -> Iterator[tuple[Attachment, int, int]]:
        """Yield the attachments in positions [start, end), each with its part in that range.

        The part [first, last) is counted in the attachment's own tokens.
        """
        for attachment in self.attachments:
            first = max(start, attachment.start) - attachment.start
            last = min(end, attachment.end) - attachment.start
            if first < last:
                yield attachment, first, last
