"""What the committed pocket model promises: its files, its manners and its skills."""

from __future__ import annotations

import itertools
import json
import re
import unicodedata
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st
from transformers import AutoModelForCausalLM, AutoTokenizer

from models.pocket import cases, corpus
from models.pocket.evaluate import Speaker, measure
from models.pocket.tokenizer import FOLDER

FLOOR = 0.9


@pytest.fixture(scope="module")
def speaker() -> Speaker:
    return Speaker(checkpoint=None, most_tokens=160)


@cache
def cached_tokenizer():
    return AutoTokenizer.from_pretrained(FOLDER)


@pytest.fixture
def tokenizer():
    return cached_tokenizer()


def ask(speaker: Speaker, tokenizer, *messages: tuple[str, str]) -> str:
    chat = [{"role": role, "content": content} for role, content in messages]
    prompt = tokenizer.apply_chat_template(chat, add_generation_prompt=True, tokenize=False)
    [reply] = speaker.answer([prompt])
    assert reply.stopped
    return reply.text


def training_talks(count: int) -> Iterator[Any]:
    return itertools.islice(corpus.conversations(seed=3), count)


def test_the_plain_auto_classes_load_a_model_of_four_to_eight_million_parameters():
    model = AutoModelForCausalLM.from_pretrained(FOLDER)
    assert model.config.model_type == "qwen2"
    assert model.dtype == torch.bfloat16
    assert 4e6 <= sum(part.numel() for part in model.parameters()) <= 8e6
    assert model.config.max_position_embeddings == 2048


def test_the_weights_take_at_most_sixteen_megabytes():
    assert (FOLDER / "model.safetensors").stat().st_size <= 16e6


def test_generation_ends_at_either_end_token(tokenizer):
    described = json.loads((FOLDER / "generation_config.json").read_text())
    ends = tokenizer.convert_tokens_to_ids(["<|im_end|>", "<|endoftext|>"])
    assert described["eos_token_id"] == ends
    assert tokenizer.eos_token == "<|im_end|>"
    assert tokenizer.pad_token == "<|endoftext|>"


@given(st.text())
@example("\U0002f800")
def test_the_tokenizer_gives_every_text_back_in_normal_form(text):
    pieces = cached_tokenizer().encode(text)
    assert cached_tokenizer().decode(pieces) == unicodedata.normalize("NFC", text)


def test_digits_are_tokens_of_their_own(tokenizer):
    assert tokenizer.tokenize("2048") == ["2", "0", "4", "8"]


def test_the_chat_template_writes_what_training_saw(tokenizer):
    for talk in training_talks(200):
        tools = talk.tools or None
        assert (
            tokenizer.apply_chat_template(talk.messages, tools=tools, tokenize=False) == talk.text
        )


def test_the_chat_template_writes_tool_calls_and_results_as_qwen_does(tokenizer):
    call = {"type": "function", "function": {"name": "f", "arguments": '{"a": 1}'}}
    chat = [
        {"role": "user", "content": "go"},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "content": "1"},
        {"role": "tool", "content": "2"},
    ]
    assert tokenizer.apply_chat_template(chat, add_generation_prompt=True, tokenize=False) == (
        "<|im_start|>user\ngo<|im_end|>\n"
        '<|im_start|>assistant\n<tool_call>\n{"name": "f", "arguments": {"a": 1}}\n</tool_call>'
        "<|im_end|>\n<|im_start|>user\n<tool_response>\n1\n</tool_response>"
        "\n<tool_response>\n2\n</tool_response><|im_end|>\n<|im_start|>assistant\n"
    )


def test_seven_plus_five_is_twelve_and_then_it_stops(speaker, tokenizer):
    assert "12" in ask(speaker, tokenizer, ("user", "What is 7 plus 5?"))


def test_a_name_is_recalled_two_turns_later(speaker, tokenizer):
    told = [
        ("user", "My name is Sam."),
        ("assistant", "Nice to meet you, Sam!"),
        ("user", "What is 2 + 2?"),
        ("assistant", "2 + 2 = 4."),
        ("user", "What comes after Monday?"),
        ("assistant", "Tuesday."),
    ]
    assert "Sam" in ask(speaker, tokenizer, *told, ("user", "What's my name?"))


def test_the_three_presets_answer_the_same_question_in_three_styles(speaker, tokenizer):
    presets = ("You are a patient tutor.", "You are a creative writer.", "You are a programmer.")
    question = ("user", "What is 4 + 3?")
    replies = {ask(speaker, tokenizer, ("system", preset), question) for preset in presets}
    assert len(replies) == 3
    assert all("7" in reply for reply in replies)


def test_held_out_questions_of_every_skill_are_mostly_answered_right(speaker):
    sample = list(cases.held_out_cases(seed=11, each=2))
    short = [case for case in sample if len(case.prompt) < 1500]
    scores = measure(speaker, short)
    right, asked = (sum(getattr(s, part) for s in scores.values()) for part in ("right", "asked"))
    assert right / asked >= FLOOR


def test_no_published_result_is_under_the_floor_of_its_skill():
    results = json.loads((FOLDER / "evaluation.json").read_text())

    under = [name for name, score in results.items() if score["right"] < FLOOR * score["asked"]]
    assert under == []


def test_the_same_seed_gives_the_same_corpus():
    assert [talk.text for talk in training_talks(50)] == [talk.text for talk in training_talks(50)]


def test_no_held_out_question_is_a_training_question():
    rng = Random(5)
    asked = {corpus.draw(rng, maker, held_out=True).user for maker in corpus.MIX for _ in range(30)}
    trained = {
        message["content"]
        for talk in training_talks(3000)
        for message in talk.messages
        if message["role"] == "user"
    }
    assert asked & trained == set()


def test_every_prompt_of_the_evaluation_is_distinct():
    prompts = [case.prompt for case in cases.held_out_cases(seed=1, each=10)]
    assert len(prompts) == len(set(prompts))


def test_the_folder_names_no_place_outside_itself():
    for path in Path(FOLDER).glob("*.json"):
        for text in texts_in(json.loads(path.read_text())):
            assert not re.match(r"(/|\.\./)\w+/|\w+://", text), f"{path.name}: {text}"
        assert "_name_or_path" not in json.loads(path.read_text())


def texts_in(value: Any) -> Iterator[str]:
    """Every string in a JSON value; names too."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, list | dict):
        for each in value:
            yield from texts_in(each)
        if isinstance(value, dict):
            yield from texts_in(list(value.values()))
