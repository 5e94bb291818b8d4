"""Which format is chosen for a model, and what the chosen format knows."""

from dataclasses import replace
from typing import Any, get_args

import pytest

from llm_service.engine import Conversation
from llm_service.engine.config import FormatName
from llm_service.engine.formats.choice import FORMAT_NAMES, choose_format
from llm_service.engine.tokenization import SealedTokenizer
from tests.engine import tokenizers
from tests.engine.formats.families import FAMILIES, THINKING, family_tokenizer, tokenizer_of

QUESTION = Conversation(messages=[{"role": "user", "content": "Where? <think>\n"}])
BARE = "{% for m in messages %}<|im_start|>{{ m.content }}{% endfor %}<|im_start|>"
HERMES_RESPONSES: dict[str, Any] = {
    "start_anchor": "<|im_start|>assistant\n",
    "fields": {
        "reasoning_content": {"open": "<think>", "close": "</think>", "content": "text"},
        "tool_calls": {
            "open_pattern": r"\s*<tool_call>",
            "close": "</tool_call>",
            "repeats": True,
            "content": "json",
            "transform": {"type": "function", "function": "{content}"},
        },
        "content": {"close": "<|im_end|>", "content": "text"},
    },
}
XML_CALLS = {
    "open_pattern": r"\s*<tool_call>\s*<function=(?P<name>[^>\n]+)>",
    "close_pattern": r"</function>\s*</tool_call>",
    "content": "xml-inline",
    "content_args": {"tag_pattern": r"<parameter=(?P<key>[^>\n]+)>(?P<value>.*?)</parameter>"},
}
GEMMA_CALLS = {
    "open_pattern": r"<\|tool_call>call:(?P<name>\w+)",
    "close": "<tool_call|>",
    "content": "json",
    "content_args": {"unquoted_keys": True, "string_delims": [['<|"|>', '<|"|>']]},
}


def chosen(template: str, name: str = "hermes", model_type: str = "any", **stated: Any) -> Any:
    """Choose the format of a model with this template and the tokens of family `name`."""
    tokenizer = tokenizer_of(replace(FAMILIES[name], template=template))
    for attribute, value in stated.items():
        setattr(tokenizer, attribute, value)
    return choose_format(tokenizer, model_type)


def test_the_names_of_formats_are_those_of_the_setting() -> None:
    assert {"auto", *FORMAT_NAMES} == set(get_args(FormatName))


def test_the_bundled_model_has_hermes_calls_and_no_reasoning() -> None:
    model = choose_format(tokenizers.pocket(), "llama")
    assert (model.name, model.has_tools, model.has_reasoning) == ("hermes", True, False)
    assert len(model.markers) == 2


def test_a_named_format_goes_before_the_template() -> None:
    tokenizer = family_tokenizer("hermes")
    assert choose_format(tokenizer, "qwen2", "qwen_xml").name == "qwen_xml"
    plain = choose_format(tokenizer, "qwen2", "plain")
    assert (plain.name, plain.has_tools, plain.markers) == ("plain", False, frozenset())
    with pytest.raises(ValueError, match="formats: qwen_xml, hermes"):
        choose_format(tokenizer, "qwen2", "unknown")


def test_calls_that_are_not_declared_leave_the_reasoning() -> None:
    model = choose_format(family_tokenizer("reasoning"), "qwen2")
    assert (model.name, model.has_tools, model.has_reasoning) == ("reasoning", False, True)


def test_a_template_without_calls_leaves_the_choice_to_the_type_of_the_model() -> None:
    assert chosen(BARE, model_type="qwen3").name == "hermes"
    assert chosen(BARE, model_type="qwen3_5").name == "qwen_xml"
    assert chosen(BARE, model_type="llama").name == "plain"
    assert chosen(BARE, "reasoning", model_type="qwen3").name == "plain"  # no such token


def test_a_template_that_refuses_the_probe_is_read_by_its_delimiters() -> None:
    refusing = FAMILIES["mistral"].template + "{{ raise_exception('No.') if tools }}"
    assert chosen(refusing, "mistral").name == "mistral"


def test_reasoning_is_open_only_if_the_prompt_ends_in_it() -> None:
    for template, is_open in ((FAMILIES["hermes"].template, False), (THINKING, True)):
        tokenizer = tokenizer_of(replace(FAMILIES["hermes"], template=template))
        model = choose_format(tokenizer, "qwen3")
        sealed = SealedTokenizer(tokenizer)
        assert model.opens_reasoning(sealed.encode_chat(QUESTION)) is is_open
        assert not model.opens_reasoning(sealed.encode_text("<think>\n"))


def test_a_budget_closes_reasoning_as_the_template_does() -> None:
    tokenizer = family_tokenizer("hermes")
    budget = choose_format(tokenizer, "qwen3").reasoning_budget(7, in_reasoning=True)
    assert budget is not None
    assert (budget.max_tokens, budget.begins_open) == (7, True)
    assert tokenizer.decode(list(budget.closing_ids)) == "\n</think>\n\n"
    assert budget.close_id in budget.closing_ids
    as_text = choose_format(family_tokenizer("hermes, as text"), "qwen3")
    assert as_text.reasoning_budget(7, in_reasoning=True) is None


def test_a_response_template_goes_before_the_chat_template() -> None:
    template = FAMILIES["mistral"].template
    model = chosen(template, response_template=HERMES_RESPONSES)
    assert (model.name, model.has_reasoning, model.notes) == ("hermes", True, ())
    for calls, name in ((XML_CALLS, "qwen_xml"), (GEMMA_CALLS, "gemma")):
        fields = {"tool_calls": calls}
        found = chosen(template, response_template={"fields": fields})
        assert (found.name, found.has_reasoning) == (name, False)


@pytest.mark.parametrize(
    "template",
    [
        7,
        {},
        {"fields": {"tool_calls": 7}},
        {"fields": {"tool_calls": {"open": ["a", "b"], "content": "json"}}},
        {"fields": {"tool_calls": {"open_pattern": "(a|b)+", "close": "c", "content": "json"}}},
        {"fields": {"tool_calls": {**XML_CALLS, "content": "kwargs"}}},
    ],
)
def test_a_response_template_that_cannot_be_read_leaves_a_note(template: Any) -> None:
    model = chosen(FAMILIES["hermes"].template, response_template=template)
    assert model.name == "hermes"
    assert "response_template" in model.notes[0]
