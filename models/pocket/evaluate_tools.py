"""Owns the measurement of tools and of JSON through a running service, whose grammars count here.

LLM_KEY=... python -m models.pocket.evaluate_tools --url http://127.0.0.1:8000
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from random import Random
from typing import Any

import openai
from openai.types.chat import ChatCompletion
from tqdm import tqdm

from models.pocket.chat import Conversation
from models.pocket.corpus import MIX, Maker, draw
from models.pocket.evaluate import Score, table
from models.pocket.skills import formats, tools
from models.pocket.skills.base import Exchange
from models.pocket.tokenizer import FOLDER

_KINDS: dict[type, str] = {str: "string", int: "integer", float: "number"}


@dataclass
class Case:
    """A request, and whether an answer to it is right."""

    skill: str
    messages: list[dict[str, Any]]
    is_right: Callable[[ChatCompletion], bool]
    fields: dict[str, Any] = field(default_factory=dict)


def _offer(rng: Random, at_least: int = 1) -> tuple[list[tools.Tool], list[dict[str, Any]]]:
    offered = tools.new_tools(rng)
    while len(offered) < at_least:
        offered = tools.new_tools(rng)
    return offered, [tool.schema for tool in offered]


def _asked(rng: Random, tool: tools.Tool) -> Exchange:
    return draw(rng, lambda r: tools.use(r, tool), held_out=True)


def _calls(answer: ChatCompletion) -> list[dict[str, Any]]:
    calls: list[Any] = list(answer.choices[0].message.tool_calls or ())
    return [
        {"name": call.function.name, "arguments": json.loads(call.function.arguments)}
        for call in calls
    ]


def _one_call(rng: Random, skill: str, choice: str) -> Case:
    offered, schemas = _offer(rng)
    tool = rng.choice(offered)
    made = _asked(rng, tool)
    named = {"type": "function", "function": {"name": tool.name}}
    return Case(
        skill,
        [{"role": "user", "content": made.user}],
        lambda answer: _calls(answer) == [json.loads(call) for call in made.calls],
        {"tools": schemas, "tool_choice": named if choice == "named" else choice},
    )


def _two_calls(rng: Random, twice: bool) -> Case:
    """Two calls of one tool, or one call each of two."""
    offered, schemas = _offer(rng, at_least=1 if twice else 2)
    pair = rng.sample(offered, 1 if twice else 2)
    use = tools.use_twice if twice else tools.use_both
    made = draw(rng, lambda r: use(r, *pair), held_out=True)
    wanted = [json.loads(call) for call in made.calls]
    return Case(
        "two calls of one tool" if twice else "calls of two tools",
        [{"role": "user", "content": made.user}],
        lambda answer: _calls(answer) == wanted,
        {"tools": schemas},
    )


def _result(rng: Random) -> Case:
    offered, schemas = _offer(rng)
    made = _asked(rng, rng.choice(offered))
    talk = Conversation(tools=schemas)
    talk.user(made.user)
    talk.tool_calls(made.calls)
    talk.tool_results(made.results)
    calling = talk.messages[1]["tool_calls"][0]["function"]
    calling["arguments"] = json.dumps(calling["arguments"])
    talk.messages[1]["tool_calls"][0]["id"] = talk.messages[2]["tool_call_id"] = "call_1"
    return Case(
        "answer from a result",
        talk.messages,
        lambda answer: answer.choices[0].message.content == made.answer,
        {"tools": schemas},
    )


def _no_call(rng: Random) -> Case:
    _, schemas = _offer(rng)
    made = draw(rng, lambda r: r.choices(list(MIX), list(MIX.values()))[0](r), held_out=True)
    while made.parts:
        made = draw(rng, lambda r: r.choices(list(MIX), list(MIX.values()))[0](r), held_out=True)
    return Case(
        "tools offered but not needed",
        [{"role": "user", "content": made.user}],
        lambda answer: not _calls(answer) and answer.choices[0].message.content == made.answer,
        {"tools": schemas},
    )


def _json(rng: Random, maker: Maker) -> Case:
    made = draw(rng, maker, held_out=True)
    wanted = json.loads(made.answer)
    schema: dict[str, Any] = {"type": "array", "items": {"type": "string"}}
    if isinstance(wanted, dict):
        properties = {name: {"type": _KINDS[type(value)]} for name, value in wanted.items()}
        schema = {"type": "object", "properties": properties, "required": list(wanted)}
        schema["additionalProperties"] = False
    response_format = {
        "type": "json_schema",
        "json_schema": {"name": "answer", "schema": schema, "strict": True},
    }
    return Case(
        "JSON by a schema",
        [{"role": "user", "content": made.user}],
        lambda answer: json.loads(answer.choices[0].message.content or "") == wanted,
        {"response_format": response_format},
    )


_MAKERS: tuple[Callable[[Random], Case], ...] = (
    lambda rng: _one_call(rng, "tool call, auto", "auto"),
    lambda rng: _one_call(rng, "tool call, required", "required"),
    lambda rng: _one_call(rng, "tool call, named", "named"),
    lambda rng: _two_calls(rng, twice=True),
    lambda rng: _two_calls(rng, twice=False),
    _result,
    _no_call,
    lambda rng: _json(rng, formats.json_object),
    lambda rng: _json(rng, formats.json_array),
)


def _cases(seed: int, each: int) -> Iterator[Case]:
    rng = Random(seed)
    for make in _MAKERS:
        for _ in range(each):
            yield make(rng)


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure pocket's calls through a service.")
    parser.add_argument("--url", default="http://127.0.0.1:8000")
    parser.add_argument("--each", type=int, default=100, help="questions of every kind")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    client: Any = openai.OpenAI(base_url=f"{arguments.url}/v1", api_key=os.environ["LLM_KEY"])
    scores: dict[str, Score] = {}
    for case in tqdm(list(_cases(arguments.seed, arguments.each))):
        answer = client.chat.completions.create(
            model="pocket", messages=case.messages, temperature=0, **case.fields
        )
        stopped = answer.choices[0].finish_reason != "length"
        right = stopped and case.is_right(answer)
        scores.setdefault(case.skill, Score()).add(right, stopped)
    print(table(scores))
    results = {skill: asdict(score) for skill, score in scores.items()}
    (FOLDER / "tool_evaluation.json").write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main()
