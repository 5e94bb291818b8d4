"""The tokens with which models fill in the middle of a text, as data: one entry per family."""

from collections.abc import Sequence
from dataclasses import dataclass

from tokenizers import Tokenizer


@dataclass(frozen=True, slots=True)
class InfillFormat:
    """A prompt is `begin`, the text before the gap, `hole`, the text after it, `end`.

    `stops` end an answer, in addition to the model's own end-of-sequence tokens.
    """

    begin: str
    hole: str
    end: str
    stops: tuple[str, ...] = ()


FORMATS = (
    InfillFormat(  # Qwen2.5-Coder, CodeGemma
        "<|fim_prefix|>",
        "<|fim_suffix|>",
        "<|fim_middle|>",
        ("<|fim_pad|>", "<|file_sep|>", "<|file_separator|>", "<|repo_name|>"),
    ),
    InfillFormat(  # StarCoder, StarCoder2, Granite Code
        "<fim_prefix>",
        "<fim_suffix>",
        "<fim_middle>",
        ("<fim_pad>", "<file_sep>", "<repo_name>"),
    ),
    InfillFormat("<fim-prefix>", "<fim-suffix>", "<fim-middle>", ("<fim-pad>",)),  # SantaCoder
    InfillFormat("▁<PRE>", "▁<SUF>", "▁<MID>", ("▁<EOT>",)),  # CodeLlama
    InfillFormat("<｜fim▁begin｜>", "<｜fim▁hole｜>", "<｜fim▁end｜>"),  # noqa: RUF001  # DeepSeek
)


@dataclass(frozen=True, slots=True)
class InfillTokens:
    """The ids of an InfillFormat's tokens in one vocabulary."""

    begin: int
    hole: int
    end: int
    stops: tuple[int, ...]

    def prompt(self, before: Sequence[int], after: Sequence[int]) -> list[int]:
        return [self.begin, *before, self.hole, *after, self.end]


def infill_tokens(backend: Tokenizer) -> InfillTokens | None:
    """Return the tokens of the first format that the vocabulary has; None if it has none."""
    for each in FORMATS:
        match _ids(backend, each.begin, each.hole, each.end):
            case [begin, hole, end]:
                return InfillTokens(begin, hole, end, tuple(_ids(backend, *each.stops)))
    return None


def _ids(backend: Tokenizer, *names: str) -> list[int]:
    """Return the ids of those names that are tokens."""
    found = (backend.token_to_id(name) for name in names)
    return [token_id for token_id in found if token_id is not None]
