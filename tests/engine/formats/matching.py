"""Asks llguidance itself what a grammar accepts."""

from collections.abc import Sequence
from functools import cache
from typing import Any, cast

import llguidance.hf
from llguidance import LLMatcher
from transformers import PreTrainedTokenizerBase
from transformers.tokenization_utils_tokenizers import TokenizersBackend

from llm_service.engine.grammar import GrammarSource


@cache
def _vocabulary(tokenizer: PreTrainedTokenizerBase) -> Any:
    return llguidance.hf.from_tokenizer(cast(TokenizersBackend, tokenizer))


def ids_of(tokenizer: PreTrainedTokenizerBase, text: str) -> list[int]:
    """Return the ids of `text`, in which delimiters are tokens."""
    ids: list[int] = tokenizer.backend_tokenizer.encode(text, add_special_tokens=False).ids
    return ids


def ids_accepted(
    tokenizer: PreTrainedTokenizerBase, source: GrammarSource, ids: Sequence[int]
) -> bool:
    """Whether `ids`, after the token that begins the grammar, are an answer and nothing less."""
    if source.begins_after:
        positions = [i for i, token_id in enumerate(ids) if token_id in source.begins_after]
        ids = ids[positions[0] + 1 :]
    matcher = LLMatcher(_vocabulary(tokenizer), source.text, log_level=0)
    assert not matcher.is_error(), matcher.get_error()
    if matcher.validate_tokens(list(ids)) < len(ids):
        return False
    assert matcher.consume_tokens(list(ids)), matcher.get_error()
    return bool(matcher.is_accepting())


def accepts(tokenizer: PreTrainedTokenizerBase, source: GrammarSource | None, answer: str) -> bool:
    assert source is not None
    return ids_accepted(tokenizer, source, ids_of(tokenizer, answer))
