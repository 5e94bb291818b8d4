"""What the formats read that are not Hermes, however the answer is cut."""

from collections.abc import Sequence

import pytest

from llm_service.engine.answer import TextDelta
from llm_service.engine.formats import Tool
from tests.engine.formats.answers import (
    Answer,
    Call,
    all_cuts,
    cut,
    items,
    model_format,
    read,
    schema,
)

TYPED = schema(
    text={"type": "string"},
    count={"type": "integer"},
    flag={"type": "boolean"},
    tags={"type": "array"},
    maybe={"anyOf": [{"type": "string"}, {"type": "null"}]},
    other={"$ref": "#/$defs/N"},
)
TYPED["$defs"] = {"N": {"type": "number"}}
TOOLS = (Tool("f", "", TYPED), Tool("odd>name{", "", {}), Tool("g", "", {}))


def xml(*parameters: tuple[str, str], name: str = "f") -> str:
    inner = "".join(f"<parameter={k}>\n{v}\n</parameter>\n" for k, v in parameters)
    return f"«<tool_call>»\n<function={name}>\n{inner}</function>\n«</tool_call>»"


def one(arguments: str, name: str = "f", text: str = "", order: str = "c") -> Answer:
    return Answer(text, calls=[Call(name, arguments)], order=order)


CASES: dict[str, list[tuple[str, Answer]]] = {
    "qwen_xml": [
        (xml(), one("{}")),
        (f"Hi\n{xml()}\nyou", one("{}", text="Hiyou", order="tct")),
        (xml(("text", 'a\n "b"\n\\ é 🙂')), one('{"text": "a\\n \\"b\\"\\n\\\\ é 🙂"}')),
        (xml(("text", "")), one('{"text": ""}')),
        (xml(("text", "\n a \n")), one('{"text": "\\n a \\n"}')),
        (xml(("text", "</param </function> <b>")), one('{"text": "</param </function> <b>"}')),
        (xml(("count", "7"), ("flag", "True")), one('{"count": 7, "flag": true}')),
        (xml(("count", "seven")), one('{"count": "seven"}')),
        (xml(("tags", '["a", {"b": 1}]')), one('{"tags": ["a", {"b": 1}]}')),
        (xml(("maybe", "None"), ("other", "1.5")), one('{"maybe": null, "other": 1.5}')),
        (xml(("maybe", "7")), one('{"maybe": "7"}')),
        (xml(("unknown", "7")), one('{"unknown": "7"}')),
        (xml(name="odd>name{"), one("{}", "odd>name{")),
        (
            "«<tool_call>»<function=f><parameter=text>a</parameter></function>«</tool_call>»",
            one('{"text": "a"}'),
        ),
        (xml() + "\n" + xml(name="g"), Answer(calls=[Call("f", "{}"), Call("g", "{}")], order="c")),
        # A call without its own end is closed, and stays valid.
        ("«<tool_call>»\n<function=f>\n«</tool_call>»", one("{}")),
        # An answer that is cut off has what it had.
        ("«<tool_call>»\n<function=f>\n<parameter=text>\nab", one('{"text": "ab')),
    ],
    "llama_json": [
        ('{"name": "f", "parameters": {"count": 7}}', one('{"count": 7}')),
        (' \n{"name": "f", "parameters": {}}', one("{}")),
        ('«<|python_tag|>»{"name": "f", "parameters": {}}', one("{}")),
        (
            '{"name": "f", "parameters": {}}; {"name": "g", "parameters": {}}',
            Answer(calls=[Call("f", "{}"), Call("g", "{}")], order="c"),
        ),
        (
            '{"name": "f", "parameters": {}}\n{"name": "g", "parameters": {}} Done',
            Answer("Done", calls=[Call("f", "{}"), Call("g", "{}")], order="ct"),
        ),
        ("«<think>»\nHm\n«</think>»\n\nHi", Answer("Hi", "Hm", 4, order="rt")),
        (
            '«<think>»\nHm\n«</think>»\n\n{"name": "f"}',
            Answer("", "Hm", 4, [Call("f", "{}")], "rc"),
        ),
        ('Use {"name": "f"}', Answer('Use {"name": "f"}', order="t")),
        ('{"x": 1}', Answer('{"x": 1}', order="t")),
        ('{"name": "no", "parameters": {}}', Answer('{"name": "no", "parameters": {}}', order="t")),
        ('{"na', Answer('{"na', order="t")),
        ("{}", Answer("{}", order="t")),
    ],
    "mistral": [
        ('«[TOOL_CALLS]»f«[ARGS]»{"count": 7}', one('{"count": 7}')),
        ('«[TOOL_CALLS]»f«[CALL_ID]»abc«[ARGS]»{"count": 7}', one('{"count": 7}')),
        ('«[TOOL_CALLS]»f{"count": 7}', one('{"count": 7}')),
        (
            "Hi «[TOOL_CALLS]»f«[ARGS]»{}«[TOOL_CALLS]»g«[ARGS]»{} Done",
            Answer("HiDone", calls=[Call("f", "{}"), Call("g", "{}")], order="tct"),
        ),
        ("«[TOOL_CALLS]»no«[ARGS]»{}", Answer("[TOOL_CALLS]no[ARGS]{}", order="t")),
        ("«[THINK]»Hm«[/THINK]»Hi", Answer("Hi", "Hm", 2, order="rt")),
    ],
    "mistral_list": [
        ('«[TOOL_CALLS]»[{"name": "f", "arguments": {"a": [1]}}]', one('{"a": [1]}')),
        ('«[TOOL_CALLS]» [{"name": "f", "arguments": {}, "id": "a]"}]', one("{}")),
        ('«[TOOL_CALLS]»{"name": "f", "arguments": {}}', one("{}")),
        (
            '«[TOOL_CALLS]»[{"name": "f", "arguments": {}}, {"name": "g", "arguments": {}}] Done',
            Answer("Done", calls=[Call("f", "{}"), Call("g", "{}")], order="ct"),
        ),
        ("«[TOOL_CALLS]»[]", Answer("[TOOL_CALLS][]", order="t")),
    ],
    "granite": [
        ('«<|tool_call|>»[{"name": "f", "arguments": {}}]', one("{}")),
        ('Hi«<|tool_call|>»\n[\n{"name": "f"}\n]\n', one("{}", text="Hi", order="tc")),
    ],
    "gemma": [
        ("«<|tool_call>»call:f{}«<tool_call|>»", one("{}")),
        (
            '«<|tool_call>»call:f{count:7,text:«<|"|>»a "b", {c}: «<|"|>»}«<tool_call|>»',
            one('{"count": 7, "text": "a \\"b\\", {c}: "}'),
        ),
        (
            '«<|tool_call>»call:f{tags:[«<|"|>»x«<|"|>»,{a:true,b:null}]}«<tool_call|>»',
            one('{"tags": ["x", {"a": true, "b": null}]}'),
        ),
        (
            "«<|tool_call>»call:no{}«<tool_call|>»",
            Answer("<|tool_call>call:no{}<tool_call|>", order="t"),
        ),
        ("«<|tool_call>»f{}«<tool_call|>»", Answer("<|tool_call>f{}<tool_call|>", order="t")),
        ("«<|channel>»thought\nHm\n«<channel|>»Hi", Answer("Hi", "Hm", 11, order="rt")),
        ('«<|tool_call>»call:f{text:«<|"|>»ab', one('{"text": "ab')),
    ],
}
EACH = [(name, *case) for name, cases in CASES.items() for case in cases]


def test_the_token_that_ends_a_call_ends_its_last_value() -> None:
    text = "«<tool_call>»\n<function=f>\n<parameter=text>\nab\n«</tool_call>»"
    for answer in answers("qwen_xml", text, has_tokens=True):
        assert answer == one('{"text": "ab"}')


def test_json_text_that_is_no_call_is_not_held_back() -> None:
    model = model_format("llama_json")
    parser = model.parser(TOOLS, in_reasoning=False)
    assert not parser.feed(next(cut(items(model, '{"a'), 3)))
    assert parser.feed(next(cut(items(model, '": 1'), 4))) == [TextDelta('{"a": 1')]


def answers(name: str, text: str, *, has_tokens: bool) -> Sequence[Answer]:
    model = model_format(name, has_tokens=has_tokens)
    parts = items(model, text)
    return [read(model.parser(TOOLS, in_reasoning=False), chunks)[0] for chunks in all_cuts(parts)]


@pytest.mark.parametrize("has_tokens", [True, False], ids=["tokens", "text"])
@pytest.mark.parametrize(("name", "text", "expected"), EACH)
def test_an_answer_is_the_same_however_it_is_cut(
    name: str, text: str, expected: Answer, has_tokens: bool
) -> None:
    for answer in answers(name, text, has_tokens=has_tokens):
        if not has_tokens:  # the tokens of the delimiters cannot be told from the others
            answer.num_reasoning_tokens = expected.num_reasoning_tokens
        assert answer == expected
