"""Owns the mix: how exchanges of all skills become training conversations.

Everything is drawn from one seeded generator, so the same seed gives the same corpus. Exchanges
whose key falls into the held-out share never enter it; `evaluate.py` asks only those.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from random import Random

from models.pocket.chat import Conversation
from models.pocket.skills import (
    arithmetic,
    counting,
    dates,
    facts,
    formats,
    glossary,
    ordering,
    personas,
    recall,
    smalltalk,
    spelling,
    stories,
    tools,
    unknown,
)
from models.pocket.skills.base import Exchange

Maker = Callable[[Random], Exchange]

# Share of each skill among the exchanges; what is hard for a small model gets more.
MIX: dict[Maker, float] = {
    arithmetic.add: 17,
    arithmetic.subtract: 26,
    arithmetic.multiply: 5,
    ordering.sort_numbers: 24,
    ordering.sort_words: 13,
    ordering.compare: 10,
    ordering.reverse_list: 4,
    spelling.reverse_word: 5,
    spelling.upper_case: 4,
    spelling.spell: 5,
    spelling.length: 5,
    counting.count_to: 1,
    counting.count_range: 2,
    counting.count_down: 1,
    counting.count_items: 3,
    dates.neighbour: 5,
    dates.later: 4,
    dates.month_length: 1,
    dates.ordinal: 2,
    facts.capital: 4,
    facts.fact: 8,
    glossary.define: 6,
    smalltalk.talk: 10,
    stories.story: 1,
    stories.poem: 0.5,
    formats.bullet_list: 4,
    formats.json_object: 2,
    formats.json_array: 1,
    formats.repeat: 5,
    unknown.decline: 3,
}
_MAKERS = list(MIX)
_WEIGHTS = list(MIX.values())

MOST_CHARACTERS = 5200
PLAIN_SYSTEMS = ("", "", "You are a helpful assistant.", "You are pocket.")


def draw(rng: Random, maker: Maker, held_out: bool) -> Exchange:
    """Draw until the exchange is on the wanted side of the split."""
    while True:
        made = maker(rng)
        if made.held_out == held_out:
            return made


def any_exchange(rng: Random) -> Exchange:
    return draw(rng, rng.choices(_MAKERS, _WEIGHTS)[0], held_out=False)


def conversations(seed: int | str) -> Iterator[Conversation]:
    """The endless training corpus of one seed."""
    rng = Random(seed)
    while True:
        yield conversation(rng)


def conversation(rng: Random) -> Conversation:
    roll = rng.random()
    if roll < 0.28:
        return tool_conversation(rng)
    if roll < 0.36:
        return distant_recall(rng)
    return Chat(rng, personas.new_persona(rng)).write(_turns(rng))


def _turns(rng: Random) -> int:
    roll = rng.random()
    if roll < 0.3:
        return 1
    if roll < 0.65:
        return rng.randint(2, 4)
    if roll < 0.91:
        return rng.randint(4, 12)
    return rng.randint(20, 60)


class Chat:
    """One conversation being written: the persona, and the facts the user has told so far."""

    def __init__(self, rng: Random, persona: personas.Persona) -> None:
        self._rng = rng
        self._persona = persona
        self._facts: dict[str, recall.Fact] = {}
        self._talk = Conversation(system=persona.system)
        self._recalls = rng.random() < 0.7

    def write(self, turns: int) -> Conversation:
        for _ in range(turns):
            self.add(self._next())
            if len(self._talk.text) > MOST_CHARACTERS:
                break
        return self._talk

    def add(self, made: Exchange) -> None:
        self._talk.user(made.user)
        self._talk.assistant(made.answer)

    def _next(self) -> Exchange:
        roll = self._rng.random()
        if self._recalls and roll < 0.12:
            return self._tell()
        if self._recalls and roll < 0.28 and self._facts:
            return self._ask()
        if roll > 0.98:
            return self._ask_untold()
        if roll > 0.8 and self._persona.name:
            return draw(self._rng, lambda r: personas.introduce(r, self._persona), False)
        return self._skilled()

    def _skilled(self) -> Exchange:
        made = any_exchange(self._rng)
        greeting = smalltalk.greeting(self._persona.style)
        if made.skill != "small talk":
            return personas.in_style(self._persona, made)
        if made.answer.startswith("Hello! How") and greeting:
            return Exchange(made.skill, made.user, greeting)
        if self._persona.name:  # a character does not call itself pocket
            return self._skilled()
        return made

    def _tell(self) -> Exchange:
        fact = recall.new_fact(self._rng)
        if fact.kind in self._facts and self._rng.random() < 0.7:
            return self._ask()
        self._facts[fact.kind] = fact
        return recall.tell(self._rng, fact)

    def _ask(self) -> Exchange:
        fact = self._rng.choice(list(self._facts.values()))
        return draw(self._rng, lambda rng: recall.ask(rng, fact), held_out=False)

    def _ask_untold(self) -> Exchange:
        told = set(self._facts)
        asked = recall.ask_untold(self._rng, told)
        if asked is None or asked.held_out:
            return self._skilled()
        return asked


def distant_recall(rng: Random) -> Conversation:
    """Facts told first, much else, then each is asked for once: no shorter way than far back."""
    talk = Conversation(system=rng.choice(PLAIN_SYSTEMS))
    kinds = rng.sample(list(recall.TOPICS), rng.randint(1, 4))
    told = [recall.new_fact(rng, kind) for kind in kinds]
    for fact in told:
        add_exchange(talk, recall.tell(rng, fact))
    distance = rng.randint(200, MOST_CHARACTERS - 400)
    while len(talk.text) < distance:
        add_exchange(talk, any_exchange(rng))
    for fact in rng.sample(told, len(told)):
        add_exchange(talk, draw(rng, partial(recall.ask, fact=fact), held_out=False))
    return talk


# Answers of these are short enough to be the value of an argument.
_RECORDED = (arithmetic.add, arithmetic.subtract, ordering.compare, facts.capital, dates.neighbour)


def tool_conversation(rng: Random) -> Conversation:
    """Several requests under one set of tools; some of them need no tool, some need two calls."""
    offered = tools.new_tools(rng)
    recorder = tools.new_tool(rng, tools.RECORD) if rng.random() < 0.12 else None
    schemas = [tool.schema for tool in (*offered, *([recorder] if recorder else []))]
    talk = Conversation(system=rng.choice(PLAIN_SYSTEMS), tools=schemas)
    for _ in range(rng.randint(2, 7)):
        add_exchange(talk, draw(rng, partial(_tool_exchange, offered, recorder), held_out=False))
    return talk


def _tool_exchange(offered: list[tools.Tool], recorder: tools.Tool | None, rng: Random) -> Exchange:
    if recorder and rng.random() < 0.5:
        return tools.record(rng, recorder, rng.choice(_RECORDED)(rng))
    roll = rng.random()
    if roll < 0.17:
        made = rng.choices(_MAKERS, _WEIGHTS)[0](rng)
        return tools.without(rng, made) if rng.random() < 0.15 else made
    if roll < 0.29:
        return tools.use_twice(rng, rng.choice(offered))
    if roll < 0.41 and len(offered) > 1:
        return tools.use_both(rng, *rng.sample(offered, 2))
    return tools.use(rng, rng.choice(offered))


def add_exchange(talk: Conversation, made: Exchange) -> None:
    talk.user(made.user)
    if made.calls:
        talk.tool_calls(made.calls)
        talk.tool_results(made.results)
    talk.assistant(made.answer)
