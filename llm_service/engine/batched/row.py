"""Defines a row of logits to sample: everything that the choice of its token depends on."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from llm_service.engine.batched.sequence import Sequence
from llm_service.engine.request import SamplingParams

_WORD_BITS = 32


@dataclass(frozen=True, slots=True)
class Row:
    """Stands for the logits after the tokens of `sequence` and then those of `draft`.

    Nothing is sampled from a row with a `target`, the prompt's own next token: it is scored.

    `allowed` is a mask of the token ids that may be chosen, None for all: int32
    [ceil(vocab_size / 32)], in which id i is bit i % 32, counted from the lowest, of word i // 32.
    """

    sequence: Sequence
    draft: tuple[int, ...] = ()
    allowed: Tensor | None = None
    target: int | None = None

    @property
    def num_logprobs(self) -> int | None:
        p = self.sampling
        return p.num_logprobs if self.target is None else p.num_prompt_logprobs

    @property
    def sampling(self) -> SamplingParams:
        return self.sequence.request.sampling

    @property
    def num_output_tokens(self) -> int:
        """Count the output tokens before this row's token, drafted ones included."""
        return self.sequence.num_output_tokens + len(self.draft)

    def output_counts(self) -> Mapping[int, int]:
        """Return `Sequence.output_counts` as if the draft had been accepted."""
        counts = self.sequence.output_counts()
        if self.draft:
            counts = dict(counts)
            for token_id in self.draft:
                counts[token_id] = counts.get(token_id, 0) + 1
        return counts


def num_mask_words(vocab_size: int) -> int:
    """Return how many words of 32 bits a mask of `vocab_size` token ids has."""
    return -(-vocab_size // _WORD_BITS)


def unpack_mask(mask: Tensor, vocab_size: int) -> Tensor:
    """Turn a mask int32 [num_mask_words] into bool [vocab_size], true for allowed ids."""
    octets = np.ascontiguousarray(mask.numpy(), dtype="<i4").view(np.uint8)
    bits = np.unpackbits(octets, count=vocab_size, bitorder="little")
    return torch.from_numpy(bits.view(np.bool_))
