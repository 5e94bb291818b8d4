"""What a sequence begins with: token ids, and what stands at some of them instead. No torch."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

HASH_BYTES = 32


@dataclass(frozen=True, slots=True)
class Attachment:
    """An image, for example, at the `num_tokens` placeholder tokens from position `start` on.

    `embeddings` is a float tensor [num_tokens, hidden_size] that the model gets in place of the
    embeddings of the placeholders. `content_hash` of HASH_BYTES bytes identifies its content:
    attachments with equal hashes share what is computed for them.
    """

    start: int
    num_tokens: int
    content_hash: bytes
    embeddings: Any

    @property
    def end(self) -> int:
        return self.start + self.num_tokens


@dataclass(frozen=True, slots=True)
class Prompt:
    """Token ids and the attachments among them, in the order of their positions."""

    token_ids: tuple[int, ...]
    attachments: tuple[Attachment, ...] = ()

    def __len__(self) -> int:
        return len(self.token_ids)

    def __post_init__(self) -> None:
        """Raises ValueError for attachments that overlap or leave the prompt."""
        position = 0
        for attachment in self.attachments:
            if attachment.start < position or attachment.num_tokens < 1:
                raise ValueError("Attachments must be in order, not empty and not overlap.")
            if len(attachment.content_hash) != HASH_BYTES:
                raise ValueError(f"A content hash has {HASH_BYTES} bytes.")
            position = attachment.end
        if position > len(self.token_ids):
            raise ValueError("An attachment ends after the prompt.")

    def attached(self, start: int, end: int) -> Iterator[tuple[Attachment, int, int]]:
        """The attachments in positions [start, end): each with the part of it that lies there.

        The part is counted in the attachment's own tokens, [first, last).
        """
        for attachment in self.attachments:
            first = max(start, attachment.start) - attachment.start
            last = min(end, attachment.end) - attachment.start
            if first < last:
                yield attachment, first, last
