"""Checkpoints without a download: every word a token, every text comes back, the same each time."""

from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer
from transformers import AutoModelForCausalLM, AutoTokenizer

from benchmarks import checkpoints
from benchmarks.vocabulary import SPECIAL, build_tokenizer, words

VOCAB_SIZE = 4001


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return build_tokenizer(VOCAB_SIZE)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return checkpoints.make("tiny", tmp_path_factory.mktemp("checkpoints"))


def test_n_words_are_n_tokens(tokenizer: Tokenizer) -> None:
    chosen = words(200, VOCAB_SIZE, seed=3)
    assert len(set(chosen)) == 200
    assert len(tokenizer.encode("".join(f" {word}" for word in chosen)).ids) == 200


@pytest.mark.parametrize("vocab_size", [3000, 3001, 4096])
def test_a_vocabulary_has_exactly_the_wanted_size_and_every_token_can_be_reached(
    vocab_size: int,
) -> None:
    tokenizer = build_tokenizer(vocab_size)
    assert tokenizer.get_vocab_size() == vocab_size
    assert tokenizer.token_to_id(SPECIAL[-1]) == vocab_size - 1
    # The first 256 are bytes, which alone need not be characters.
    texts = [tokenizer.decode([number]) for number in range(256, vocab_size - len(SPECIAL))]
    assert all(texts)
    for number, encoding in enumerate(tokenizer.encode_batch(texts), start=256):
        assert encoding.ids == [number]


@settings(deadline=None)
@given(st.text())
def test_every_text_comes_back_as_it_went_in(tokenizer: Tokenizer, text: str) -> None:
    ids = tokenizer.encode(text, add_special_tokens=False).ids
    assert tokenizer.decode(ids, skip_special_tokens=False) == text


def test_a_checkpoint_is_what_transformers_loads_and_the_same_each_time(
    tiny: Path, tmp_path: Path
) -> None:
    again = checkpoints.make("tiny", tmp_path)
    assert (again / "model.safetensors").read_bytes() == (tiny / "model.safetensors").read_bytes()
    model = AutoModelForCausalLM.from_pretrained(tiny)
    assert model.dtype == torch.bfloat16
    ids = AutoTokenizer.from_pretrained(tiny)(" bananene", return_tensors="pt").input_ids
    logits = model(ids).logits
    assert logits.shape[-1] == checkpoints.CONFIGS["tiny"].vocab_size
    assert torch.isfinite(logits).all()


@pytest.mark.parametrize(
    ("name", "millions"), [("qwen2.5-0.5b", 494), ("qwen2.5-1.5b", 1544), ("tipo-200m", 203)]
)
def test_shapes_have_the_number_of_parameters_of_what_they_stand_for(
    name: str, millions: int
) -> None:
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(checkpoints.CONFIGS[name])
    assert round(model.num_parameters() / 1e6) == millions
