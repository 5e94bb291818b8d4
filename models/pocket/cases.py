"""Owns the held-out questions: what is asked of a trained model, and which reply is right."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from random import Random

from models.pocket.chat import Conversation, tool_calls_text
from models.pocket.corpus import MIX, Maker, add_exchange, any_exchange, draw
from models.pocket.skills import personas, recall, tools
from models.pocket.skills.base import Exchange

LONG_CHARACTERS = 4300  # more than 1,000 tokens between telling and asking


@dataclass(frozen=True)
class Case:
    """A prompt ending where the assistant speaks, and the reply that counts as right."""

    skill: str
    prompt: str
    answer: str
    parts: tuple[str, ...] = ()

    def accepts(self, reply: str) -> bool:
        """The exact answer, except for stories, of which many are right."""
        if self.parts:
            return all(part in reply for part in self.parts) and reply.count(".") >= 1
        return reply == self.answer


def _case(talk: Conversation, made: Exchange, skill: str = "") -> Case:
    talk.user(made.user)
    return Case(skill or made.skill, talk.prompt, made.answer, made.parts)


def _of_skill(rng: Random, maker: Maker) -> Case:
    """Half of the questions open a conversation, half come after one to three others."""
    talk = Conversation()
    if rng.random() < 0.5:
        for _ in range(rng.randint(1, 3)):
            add_exchange(talk, any_exchange(rng))
    return _case(talk, draw(rng, maker, held_out=True))


def _recall(rng: Random) -> Case:
    talk, fact = _told(rng)
    for _ in range(rng.randint(1, 6)):
        add_exchange(talk, any_exchange(rng))
    return _case(talk, draw(rng, lambda r: recall.ask(r, fact), held_out=True), "recall")


def _long_recall(rng: Random) -> Case:
    talk, fact = _told(rng)
    while len(talk.text) < LONG_CHARACTERS:
        add_exchange(talk, any_exchange(rng))
    asked = draw(rng, lambda r: recall.ask(r, fact), held_out=True)
    return _case(talk, asked, "recall over 1,000 tokens")


def _several_facts(rng: Random) -> Case:
    """Four facts told, one asked: the value must be the right one and not just any."""
    talk = Conversation()
    told = [recall.new_fact(rng, kind) for kind in rng.sample(list(recall.TOPICS), 4)]
    for fact in told:
        add_exchange(talk, recall.tell(rng, fact))
        if rng.random() < 0.5:
            add_exchange(talk, any_exchange(rng))
    fact = rng.choice(told)
    asked = draw(rng, lambda r: recall.ask(r, fact), held_out=True)
    return _case(talk, asked, "recall of one of four facts")


def _told(rng: Random) -> tuple[Conversation, recall.Fact]:
    talk, fact = Conversation(), recall.new_fact(rng)
    add_exchange(talk, recall.tell(rng, fact))
    return talk, fact


def _not_told(rng: Random) -> Case:
    while True:
        asked = recall.ask_untold(rng, set())
        if asked and asked.held_out:
            return _case(Conversation(), asked)


def _persona(style: str) -> Callable[[Random], Case]:
    def make(rng: Random) -> Case:
        persona = personas.styled_persona(rng)
        while persona.style != style:
            persona = personas.styled_persona(rng)
        made = draw(rng, any_of_the_mix, held_out=True)
        while made.parts or made.skill in ("small talk", "declining"):
            made = draw(rng, any_of_the_mix, held_out=True)
        talk = Conversation(system=persona.system)
        return _case(talk, personas.in_style(persona, made), f"persona: {style}")

    return make


def any_of_the_mix(rng: Random) -> Exchange:
    return rng.choices(list(MIX), list(MIX.values()))[0](rng)


def _character(rng: Random) -> Case:
    while True:
        persona = personas.new_character(rng)
        asked = personas.introduce(rng, persona)
        if asked.held_out:
            return _case(Conversation(system=persona.system), asked)


def _tool_request(rng: Random, maker: Callable[..., Exchange]) -> tuple[Conversation, Exchange]:
    offered = tools.new_tools(rng)
    talk = Conversation(tools=[each.schema for each in offered])
    made = draw(rng, lambda r: maker(r, rng.choice(offered)), held_out=True)
    talk.user(made.user)
    return talk, made


def _tool_call(rng: Random) -> Case:
    talk, made = _tool_request(rng, tools.use)
    return Case("tool call", talk.prompt, tool_calls_text(made.calls))


def _two_calls(rng: Random) -> Case:
    talk, made = _tool_request(rng, tools.use_twice)
    return Case("two calls", talk.prompt, tool_calls_text(made.calls))


def _tool_answer(rng: Random) -> Case:
    talk, made = _tool_request(rng, tools.use)
    talk.tool_calls(made.calls)
    talk.tool_results(made.results)
    return Case("tool answer", talk.prompt, made.answer)


def _no_tool(rng: Random) -> Case:
    talk = Conversation(tools=[each.schema for each in tools.new_tools(rng)])
    made = draw(rng, any_of_the_mix, held_out=True)
    return _case(talk, made, "tools offered but not needed")


_SPECIAL: tuple[Callable[[Random], Case], ...] = (
    _recall,
    _several_facts,
    _long_recall,
    _not_told,
    _character,
    *(_persona(style) for style in personas.STYLED),
    _tool_call,
    _two_calls,
    _tool_answer,
    _no_tool,
)


def held_out_cases(seed: int, each: int) -> Iterator[Case]:
    """`each` different prompts of every kind, or fewer where so many do not exist."""
    rng = Random(seed)
    for maker in MIX:
        yield from _distinct(partial(_of_skill, rng, maker), each)
    for special in _SPECIAL:
        yield from _distinct(partial(special, rng), each)


def _distinct(make: Callable[[], Case], wanted: int) -> list[Case]:
    found: dict[str, Case] = {}
    for _ in range(wanted * 4):
        case = make()
        found.setdefault(case.prompt, case)
        if len(found) == wanted:
            break
    return list(found.values())
