"""What a family's template writes in history is what its grammar accepts and its parser reads.

The templates are `families`'. The calls are rendered, tokenized as in a prompt, and given to the
matcher of llguidance and to the parser.
"""

import json
from collections.abc import Iterator, Sequence
from functools import cache
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import PreTrainedTokenizerBase

from llm_service.engine import Conversation
from llm_service.engine.formats import ModelFormat, Tool, ToolChoice, json_value
from llm_service.engine.formats.choice import choose_format
from llm_service.engine.request import GenerationChunk, Marker
from llm_service.engine.tokenization import SealedTokenizer
from tests.engine.formats.answers import Answer, read
from tests.engine.formats.families import FAMILIES, family_tokenizer
from tests.engine.formats.matching import ids_accepted

PROPERTIES: dict[str, Any] = {
    "text": {"type": "string"},
    "count": {"type": "integer"},
    "ratio": {"type": "number"},
    "is_new": {"type": "boolean"},
    "kind": {"enum": ["a", "b c"]},
    "tags": {"type": "array", "items": {"type": "string"}},
    "place": {
        "type": "object",
        "properties": {"city": {"type": "string"}, "zip": {"type": "integer"}},
        "required": ["city"],
        "additionalProperties": False,
    },
    "maybe": {"anyOf": [{"type": "integer"}, {"type": "null"}]},
}
TOOLS = (
    Tool(
        "look_up",
        "Look it up.",
        {
            "type": "object",
            "properties": PROPERTIES,
            "required": ["text"],
            "additionalProperties": False,
        },
    ),
    Tool(
        "now", "Tell the time.", {"type": "object", "properties": {}, "additionalProperties": False}
    ),
)
WITH_CALLS = [name for name in FAMILIES if name != "reasoning"]
# A template writes a text as it is: in the notations without escapes it may not end the value.
PLAIN = st.text(st.characters(codec="utf-8", exclude_categories=["Cs", "Cc"]), max_size=12)
TEXT = PLAIN.filter(lambda text: not set(text) & {"\ufdd0", "\ufdd1", "\ufdd2", "\ufdd3"})


def in_order(
    required: dict[str, st.SearchStrategy[Any]], optional: dict[str, st.SearchStrategy[Any]]
) -> st.SearchStrategy[dict[str, Any]]:
    """Make objects whose properties stand in the order of the schema, which a grammar demands."""
    keys = [*required, *optional]
    return st.fixed_dictionaries(required, optional=optional).map(
        lambda made: {key: made[key] for key in keys if key in made}
    )


VALUES: dict[str, st.SearchStrategy[Any]] = {
    "text": TEXT,
    "count": st.integers(-(10**9), 10**9),
    "ratio": st.sampled_from([0.5, -1.25, 3.0, 12.0625]),
    "is_new": st.booleans(),
    "kind": st.sampled_from(["a", "b c"]),
    "tags": st.lists(TEXT, max_size=3),
    "place": in_order({"city": TEXT}, {"zip": st.integers(0, 99999)}),
    "maybe": st.none() | st.integers(0, 9),
}
ARGUMENTS = in_order({"text": TEXT}, {key: VALUES[key] for key in VALUES if key != "text"})


@cache
def _sealed(tokenizer: PreTrainedTokenizerBase) -> SealedTokenizer:
    return SealedTokenizer(tokenizer)


@cache
def _chosen(tokenizer: PreTrainedTokenizerBase) -> ModelFormat:
    return choose_format(tokenizer, "any")


def rendered(
    tokenizer: PreTrainedTokenizerBase, model: ModelFormat, message: dict[str, Any]
) -> tuple[list[int], list[int]]:
    """Return the prompt, and the ids of `message` as the answer to it."""
    sealed = _sealed(tokenizer)
    user = {"role": "user", "content": "Where?"}
    prompt = sealed.encode_chat(Conversation(messages=[user]))
    whole = sealed.encode_chat(Conversation(messages=[user, message], add_generation_prompt=False))
    assert whole[: len(prompt)] == prompt
    end = len(whole) - 1 - whole[::-1].index(tokenizer.eos_token_id)
    return prompt, whole[len(prompt) : end]


def message(calls: Sequence[tuple[str, dict[str, Any]]], **fields: Any) -> dict[str, Any]:
    return {
        "role": "assistant",
        "content": "",
        **fields,
        "tool_calls": [
            {
                "id": f"call0000{i}",
                "type": "function",
                "function": {"name": name, "arguments": arguments},
            }
            for i, (name, arguments) in enumerate(calls)
        ],
    }


def chunks(tokenizer: Any, model: ModelFormat, ids: Sequence[int]) -> Iterator[GenerationChunk]:
    """Yield the answer, one chunk for the text between two markers."""
    text: list[int] = []
    for token_id in [*ids, None]:
        if token_id is not None and token_id not in model.markers:
            text.append(token_id)
            continue
        decoded = tokenizer.backend_tokenizer.decode(text, skip_special_tokens=True)
        yield GenerationChunk(decoded, tuple(text))
        text = []
        if token_id is not None:
            yield GenerationChunk("", (token_id,), markers=(Marker(0, token_id),))


def check(name: str, calls: Sequence[tuple[str, dict[str, Any]]], **fields: Any) -> Answer:
    """Render `calls` and check that grammars accept and the parser reads them."""
    tokenizer = family_tokenizer(name)
    model = _chosen(tokenizer)
    prompt, ids = rendered(tokenizer, model, message(calls, **fields))
    in_reasoning = model.opens_reasoning(prompt)
    content = json_value({"type": "array"})
    for source in (
        model.grammar(TOOLS, ToolChoice("required"), None, in_reasoning=in_reasoning),
        model.grammar(TOOLS, ToolChoice("auto"), content, in_reasoning=in_reasoning),
        model.grammar(TOOLS, ToolChoice("auto"), None, in_reasoning=in_reasoning),
    ):
        # After one call an answer is free until the next one begins.
        if source is not None and not (source.begins_after and len(calls) > 1):
            assert ids_accepted(tokenizer, source, ids), tokenizer.decode(ids)
    parser = model.parser(TOOLS, in_reasoning=in_reasoning)
    answer, _ = read(parser, chunks(tokenizer, model, ids))
    found = [(call.name, json.loads(call.arguments)) for call in answer.calls]
    assert found == list(calls)
    assert answer.text == ""
    return answer


@pytest.mark.parametrize("name", WITH_CALLS)
def test_the_format_is_seen_from_the_template(name: str) -> None:
    model = _chosen(family_tokenizer(name))
    assert model.name == name.partition(",")[0]


@pytest.mark.parametrize("name", WITH_CALLS)
@given(arguments=ARGUMENTS)
@settings(max_examples=10, deadline=None, derandomize=True)
def test_grammar_and_parser_agree_with_the_template(name: str, arguments: dict[str, Any]) -> None:
    check(name, [("look_up", arguments)])


@pytest.mark.parametrize("name", [name for name in WITH_CALLS if name != "llama_json"])
def test_they_agree_about_several_calls(name: str) -> None:
    calls: list[tuple[str, dict[str, Any]]] = [
        ("look_up", {"text": "Zürich"}),
        ("now", {}),
        ("look_up", {"text": "", "count": 7}),
    ]
    check(name, calls)


@pytest.mark.parametrize("name", ["hermes", "hermes, as text", "qwen_xml", "gemma"])
def test_they_agree_about_reasoning(name: str) -> None:
    answer = check(name, [("now", {})], reasoning_content="First this.\n\nThen that.")
    assert answer.reasoning == "First this.\n\nThen that."
