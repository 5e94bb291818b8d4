"""Owns tool calls: tool schemas, requests that need some, results and the answers from them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from random import Random
from typing import Any

from models.pocket.skills.base import Exchange, phrase
from models.pocket.skills.tool_families import (
    FAMILIES,
    Family,
    Schema,
    enumerated,
    random_family,
    text,
    topic,
)


@dataclass(frozen=True)
class Tool:
    """A family with the names fixed for one conversation."""

    family: Family
    name: str
    labels: tuple[str, ...]
    schema: Schema


# Optional parameters that requests say nothing about: they stay out of the call.
_EXTRAS: dict[str, Schema] = {
    "unit": {"type": "string", "enum": ["c", "f"]},
    "language": {"type": "string"},
    "limit": {"type": "integer"},
    "verbose": {"type": "boolean"},
    "format": {"type": "string", "enum": ["short", "long"]},
}
_HINTS = (
    "Use the tool.", "Use {name}.", "Use the {name} tool.", "Call {name}.", "Use a tool.",
    "Please use the tool.",
)  # fmt: skip
_NO_HINTS = (
    "Do not use any tool.", "Do not use a tool.", "No tools, please.", "Answer without a tool.",
    "Reply yourself and do not use any tool.",
)  # fmt: skip
_TOGETHER = (
    "Both calls in this single turn.", "Do both at once.", "Make both calls now.",
    "Call {name} once for each.", "Call {name} once per {label}, both calls in this single turn.",
    "Call {name} twice.", "Call {name} once per {label}.",
)  # fmt: skip
_ONE_BY_ONE = ("{first} {second}", "{first} And {second}", "{first} Then {second}",
               "{first}\n{second}", "{first} Also: {second}", "1. {first} 2. {second}")  # fmt: skip

RECORD = Family(
    ("record_answer", "submit", "save_answer", "submit_answer", "final_answer", "record"),
    ("Record the final answer to a question.", "Submit the answer.", "Save the answer."),
    (text(("answer", "result", "value", "text"), topic),),
    (),
    lambda rng: {"status": "recorded"},
    "I recorded the answer: {0}",
)
_THINK = (
    "Think it through step by step: {ask}", "Think step by step. {ask}", "{ask}", "First: {ask}",
    "Think about this: {ask}", "{ask} Think before you answer.",
)  # fmt: skip
_THEN = (
    "Then record the answer with the {name} tool.", "Then call {name} with the answer.",
    "Use {name} to give the answer.", "Record the answer with {name}.",
    "Then record the result with the {name} tool.", "Answer with the {name} tool.",
)  # fmt: skip


def new_tool(rng: Random, family: Family | None = None) -> Tool:
    family = family or (random_family(rng) if rng.random() < 0.45 else rng.choice(FAMILIES))
    name = rng.choice(family.names)
    labels = tuple(rng.choice(argument.names) for argument in family.arguments)
    return Tool(family, name, labels, _schema(rng, family, name, labels))


def _schema(rng: Random, family: Family, name: str, labels: tuple[str, ...]) -> Schema:
    described = rng.random() < 0.3
    properties: Schema = {}
    for label, argument in zip(labels, family.arguments, strict=True):
        properties[label] = dict(argument.schema)
        if described:
            properties[label]["description"] = f"The {label}."
    parameters: Schema = {"type": "object", "properties": properties}
    if labels and rng.random() < 0.7:
        parameters["required"] = list(labels)
        extra = rng.choice(list(_EXTRAS))
        if rng.random() < 0.2 and extra not in labels:
            properties[extra] = _EXTRAS[extra]
    function = {"name": name, "description": rng.choice(family.about), "parameters": parameters}
    return {"type": "function", "function": function}


def new_tools(rng: Random) -> list[Tool]:
    """Tools with different names and purposes, one to four of them."""
    tools: dict[tuple[str, ...], Tool] = {}
    for _ in range(rng.choice((1, 1, 2, 2, 3, 4))):
        tool = new_tool(rng)
        tools.setdefault(tool.family.about, tool)
    return list({tool.name: tool for tool in tools.values()}.values())


def _call(tool: Tool, values: Sequence[Any]) -> str:
    arguments = dict(zip(tool.labels, values, strict=True))
    return json.dumps({"name": tool.name, "arguments": arguments}, ensure_ascii=False)


def _used(
    rng: Random, tool: Tool, ask: str, values: Sequence[Any], skill: str = "tool answer"
) -> Exchange:
    """The exchange in which `ask` makes one call with these values."""
    result = tool.family.result(rng)
    arguments = zip(tool.family.arguments, values, strict=True)
    said = [argument.say(value) for argument, value in arguments]
    return Exchange(
        skill,
        ask.format(*said),
        tool.family.reply.format(*said, **result),
        calls=(_call(tool, values),),
        results=(json.dumps(result, ensure_ascii=False),),
    )


def _values(rng: Random, tool: Tool) -> list[Any]:
    return [argument.draw(rng) for argument in tool.family.arguments]


def _wording(rng: Random, tool: Tool) -> str:
    escaped = [ask.replace("{", "{{").replace("}", "}}") for ask in tool.family.asks]
    return phrase(rng, escaped)


def use(rng: Random, tool: Tool) -> Exchange:
    ask = _wording(rng, tool)
    if rng.random() < 0.12:
        ask = f"{_ended(ask)} {rng.choice(_HINTS).format(name=tool.name)}"
    return _used(rng, tool, ask, _values(rng, tool))


def use_both(rng: Random, first: Tool, second: Tool) -> Exchange:
    """Two requests in one message: two calls in one turn."""
    pair = [_used(rng, tool, _wording(rng, tool), _values(rng, tool)) for tool in (first, second)]
    user = rng.choice(_ONE_BY_ONE).format(first=_ended(pair[0].user), second=pair[1].user)
    return _joined(user, pair)


def use_twice(rng: Random, tool: Tool) -> Exchange:
    """One request about two things: two calls of the same tool."""
    if len(tool.labels) != 1:
        return use_both(rng, tool, tool)
    ask = _wording(rng, tool)
    pair = [_used(rng, tool, ask, _values(rng, tool)) for _ in range(rng.choice((2, 2, 2, 3)))]
    said = [tool.family.arguments[0].say(json.loads(each.calls[0])["arguments"][tool.labels[0]])
            for each in pair]  # fmt: skip
    if " in {0}" in ask and rng.random() < 0.5:
        said = [said[0], *(f"in {each}" for each in said[1:])]
    user = ask.format(enumerated(said))
    if rng.random() < 0.4:
        together = rng.choice(_TOGETHER).format(name=tool.name, label=tool.labels[0])
        user = f"{_ended(user)} {together}"
    return _joined(user, pair)


def _joined(user: str, made: Sequence[Exchange]) -> Exchange:
    return Exchange(
        "answer from two results",
        user,
        " ".join(each.answer for each in made),
        calls=tuple(call for each in made for call in each.calls),
        results=tuple(result for each in made for result in each.results),
    )


def record(rng: Random, tool: Tool, asked: Exchange) -> Exchange:
    """A question whose answer goes into a call of a `RECORD` tool."""
    ask = rng.choice(_THINK).format(ask=_ended(asked.user))
    user = f"{ask} {rng.choice(_THEN).format(name=tool.name)}"
    made = _used(rng, tool, "", [asked.answer])
    return replace(made, user=user, key=asked.key or asked.user)


def without(rng: Random, asked: Exchange) -> Exchange:
    """A question that is to be answered without a tool."""
    user = f"{_ended(asked.user)} {rng.choice(_NO_HINTS)}"
    return replace(asked, user=user, key=asked.key or asked.user)


def _ended(ask: str) -> str:
    return ask if ask[-1:] in ".?!" else f"{ask}."
