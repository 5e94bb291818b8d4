"""What token ids stand for."""

import pytest

from llm_service.engine.vocabulary import Vocabulary
from tests.engine import tokenizers

KINDS = [tokenizers.byte_level, tokenizers.sentencepiece, tokenizers.pocket]


def vocabulary_of(kind):
    return Vocabulary(kind(), size=10_000, eos_token_ids=frozenset({0}))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("text", ["The quick brown", " héllo wörld", "字🙂 and ☃"])
def test_the_bytes_of_all_tokens_are_the_bytes_of_the_text(kind, text):
    vocabulary, tokenizer = vocabulary_of(kind), kind()
    ids = tokenizer.encode(text, add_special_tokens=False)
    assert b"".join(vocabulary.token_bytes(i) for i in ids).strip() == text.strip().encode()


@pytest.mark.parametrize("kind", KINDS)
def test_exactly_the_special_tokens_are_left_out_of_a_text(kind):
    vocabulary, tokenizer = vocabulary_of(kind), kind()
    assert vocabulary.special_token_ids
    ids = tokenizer.encode("Hello", add_special_tokens=False)
    plain = vocabulary.decode(ids)
    for token_id in tokenizer.get_added_vocab().values():
        is_left_out = vocabulary.decode([*ids, token_id]) == plain
        assert is_left_out == (token_id in vocabulary.special_token_ids)
        assert vocabulary.decode([*ids, token_id], skip_special_tokens=False) != plain


def test_control_and_unused_ids_have_a_text_too():
    vocabulary = vocabulary_of(tokenizers.pocket)
    (eos,) = tokenizers.pocket().convert_tokens_to_ids(["<|im_end|>"])
    assert vocabulary.token_text(eos) == "<|im_end|>"
    assert vocabulary.token_bytes(10**6) == b""
