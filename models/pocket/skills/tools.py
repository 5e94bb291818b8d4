"""Owns tool calls: tool schemas, requests that need one, results and the answers from them."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Any

from models.pocket.skills.base import Exchange, invented_word, phrase
from models.pocket.skills.dates import DAYS
from models.pocket.skills.recall import CITIES
from models.pocket.skills.words import COLOURS, FOODS, HOBBIES, NAMES, SORTABLE, several

Schema = dict[str, Any]
Draw = Callable[[Random], Any]


@dataclass(frozen=True)
class Argument:
    """One parameter of a tool: its possible names, JSON type and values."""

    names: tuple[str, ...]
    kind: str
    draw: Draw


@dataclass(frozen=True)
class Family:
    """Tools that do one thing under various names."""

    names: tuple[str, ...]
    about: tuple[str, ...]
    arguments: tuple[Argument, ...]
    asks: tuple[str, ...]
    result: Callable[[Random], dict[str, Any]]
    reply: str


@dataclass(frozen=True)
class Tool:
    """A family with the names fixed for one conversation."""

    family: Family
    name: str
    labels: tuple[str, ...]
    schema: Schema


def _place(rng: Random) -> str:
    return invented_word(rng) if rng.random() < 0.4 else rng.choice(CITIES)


def _person(rng: Random) -> str:
    return invented_word(rng) if rng.random() < 0.4 else rng.choice(NAMES)


def _topic(rng: Random) -> str:
    pools = (FOODS, HOBBIES, SORTABLE, COLOURS)
    if rng.random() < 0.35:
        return invented_word(rng).lower()
    return " ".join(rng.choice(rng.choice(pools)) for _ in range(rng.randint(1, 2)))


_SKY = ("sunny", "cloudy", "rainy", "windy", "snowy", "clear", "foggy", "stormy")
_CITY = Argument(("city", "location", "place", "town"), "string", _place)
_WHO = Argument(("name", "person", "to", "recipient", "contact"), "string", _person)
_WHAT = Argument(("query", "topic", "text", "keyword", "subject"), "string", _topic)

FAMILIES: tuple[Family, ...] = (
    Family(
        ("get_weather", "weather", "get_current_weather", "current_weather", "lookup_weather"),
        ("Get the weather in a city.", "Get the current weather.", "Weather for a place."),
        (_CITY,),
        ("What is the weather in {0}?", "How is the weather in {0}?", "Weather in {0}?",
         "What's the weather like in {0}?", "Tell me the weather in {0}.", "Is it warm in {0}?",
         "What's the weather in {0} today?", "Do I need a coat in {0}?"),
        lambda rng: {"temperature": rng.randint(-9, 39), "condition": rng.choice(_SKY)},
        "It is {condition} in {0} with {temperature} degrees.",
    ),
    Family(
        ("get_time", "current_time", "time_in_city", "get_local_time"),
        ("Get the time in a city.", "Get the current local time.", "Tell the time."),
        (_CITY,),
        ("What time is it in {0}?", "Time in {0}?", "Tell me the time in {0}.",
         "What's the time in {0}?", "What is the local time in {0}?"),
        lambda rng: {"time": f"{rng.randint(0, 23):02}:{rng.randint(0, 59):02}"},
        "It is {time} in {0}.",
    ),
    Family(
        ("calculate", "calculator", "compute", "evaluate", "math"),
        ("Compute an expression.", "Evaluate a math expression.", "A calculator."),
        (Argument(("expression", "formula", "input"), "string",
                  lambda rng: f"{rng.randint(100, 999)} {rng.choice('+-*/')} "
                              f"{rng.randint(2, 999)}"),),
        ("Calculate {0}.", "What is {0}?", "Compute {0}.", "Use the calculator for {0}.",
         "How much is {0}?"),
        lambda rng: {"result": rng.randint(1, 99999)},
        "{0} = {result}.",
    ),
    Family(
        ("search", "web_search", "search_web", "lookup", "find"),
        ("Search the web.", "Search for a text.", "Find pages about a topic."),
        (_WHAT,),
        ("Search for {0}.", "Look up {0}.", "Find something about {0}.", "Search the web for {0}.",
         "Can you search for {0}?", "Google {0}."),
        lambda rng: {"title": f"{invented_word(rng)} {rng.choice(FOODS)}"},
        "I found this about {0}: {title}.",
    ),
    Family(
        ("send_message", "send_email", "message", "notify"),
        ("Send a message to a person.", "Send a text to someone.", "Notify a person."),
        (_WHO, Argument(("text", "message", "body", "content"), "string",
                        lambda rng: " ".join(rng.sample(SORTABLE, rng.randint(1, 3))))),
        ("Send {0} the message: {1}", "Tell {0}: {1}", "Write to {0}: {1}", "Message {0}: {1}",
         "Send a message to {0} saying {1}"),
        lambda rng: {"status": "sent"},
        "Your message to {0} was sent.",
    ),
    Family(
        ("set_timer", "start_timer", "timer", "set_alarm"),
        ("Start a timer.", "Set a timer in minutes.", "Wait for some minutes."),
        (Argument(("minutes", "duration", "length"), "integer", lambda rng: rng.randint(1, 90)),),
        ("Set a timer for {0} minutes.", "Start a timer of {0} minutes.", "Timer {0} minutes",
         "Wake me in {0} minutes.", "Remind me in {0} minutes."),
        lambda rng: {"status": "started", "id": rng.randint(1, 99)},
        "The timer for {0} minutes is started.",
    ),
    Family(
        ("add_event", "create_event", "add_to_calendar", "schedule_meeting"),
        ("Add an event to the calendar.", "Create an event on a day.", "Plan an event."),
        (Argument(("title", "event", "name"), "string", lambda rng: rng.choice(HOBBIES)),
         Argument(("day", "date", "when"), "string", lambda rng: rng.choice(DAYS))),
        ("Add {0} on {1} to my calendar.", "Plan {0} for {1}.", "Schedule {0} on {1}.",
         "Put {0} on {1} in my calendar.", "Create an event {0} on {1}."),
        lambda rng: {"status": "created"},
        "I added {0} on {1}.",
    ),
    Family(
        ("convert_currency", "exchange", "convert_money", "currency_converter"),
        ("Convert money.", "Convert an amount between currencies.", "Exchange rates."),
        (Argument(("amount", "value"), "integer", lambda rng: rng.randint(1, 999)),
         Argument(("from", "source"), "string", lambda rng: rng.choice(("EUR", "USD", "GBP"))),
         Argument(("to", "target"), "string", lambda rng: rng.choice(("JPY", "CHF", "SEK")))),
        ("Convert {0} {1} to {2}.", "How much is {0} {1} in {2}?", "Change {0} {1} into {2}.",
         "What is {0} {1} in {2}?"),
        lambda rng: {"amount": rng.randint(1, 9999)},
        "{0} {1} is {amount} {2}.",
    ),
    Family(
        ("add_todo", "create_task", "add_task", "add_note", "remember_note"),
        ("Add a task to the list.", "Create a to-do entry.", "Save a note."),
        (_WHAT,),
        ("Add {0} to my list.", "Put {0} on my to-do list.", "Note down {0}.",
         "Create a task: {0}", "Make a note: {0}"),
        lambda rng: {"id": rng.randint(1, 999)},
        "I saved {0} as number {id}.",
    ),
    Family(
        ("turn_on_light", "set_light", "light", "switch_light"),
        ("Set the colour of a light.", "Switch the light in a room.", "Control a light."),
        (Argument(("room", "where"), "string",
                  lambda rng: rng.choice(("kitchen", "bedroom", "office", "garden", "hall"))),
         Argument(("color", "colour"), "string", lambda rng: rng.choice(COLOURS))),
        ("Make the light in the {0} {1}.", "Turn the {0} light {1}.", "Set the {0} light to {1}.",
         "I want {1} light in the {0}."),
        lambda rng: {"ok": True},
        "The light in the {0} is {1} now.",
    ),
)  # fmt: skip

_VERBS = ("get", "find", "fetch", "lookup", "read", "check", "show")
_NOUNS = several(
    "price order recipe population status balance address score rating owner distance stock "
    "version color size weight author title track book ticket invoice user file server model metric"
)
_RANDOM_ASKS = (
    "{verb} the {noun} of {{0}}.", "What is the {noun} of {{0}}?", "{verb} the {noun} for {{0}}.",
    "I need the {noun} of {{0}}.", "Tell me the {noun} of {{0}}.", "{noun} of {{0}}?",
)  # fmt: skip


def _random_family(rng: Random) -> Family:
    """A tool with a made-up purpose: names must be read from the schema, not remembered."""
    verb, noun = rng.choice(_VERBS), rng.choice(_NOUNS)
    word = rng.choice((verb, verb.capitalize()))
    draw: Draw = rng.choice((_person, _topic, _place))
    label = rng.choice(("name", "id", "item", "query", "key", "what", "which", noun))
    return Family(
        (f"{verb}_{noun}", f"{noun}_{verb}", f"{verb}_{noun}_of", noun, f"{verb}_the_{noun}"),
        (f"{verb.capitalize()} the {noun}.", f"Returns the {noun}.", f"The {noun} of something."),
        (Argument((label,), "string", draw),),
        tuple(ask.format(verb=word, noun=noun) for ask in _RANDOM_ASKS),
        lambda r: {noun: r.choice((r.randint(0, 9999), invented_word(r).lower()))},
        f"The {noun} of {{0}} is {{{noun}}}.",
    )


def new_tool(rng: Random) -> Tool:
    family = _random_family(rng) if rng.random() < 0.55 else rng.choice(FAMILIES)
    name = rng.choice(family.names)
    labels = tuple(rng.choice(argument.names) for argument in family.arguments)
    return Tool(family, name, labels, _schema(rng, family, name, labels))


def _schema(rng: Random, family: Family, name: str, labels: tuple[str, ...]) -> Schema:
    described = rng.random() < 0.3
    properties: Schema = {}
    for label, argument in zip(labels, family.arguments, strict=True):
        properties[label] = {"type": argument.kind}
        if described:
            properties[label]["description"] = f"The {label}."
    parameters: Schema = {"type": "object", "properties": properties}
    if rng.random() < 0.7:
        parameters["required"] = list(labels)
    function = {"name": name, "description": rng.choice(family.about), "parameters": parameters}
    return {"type": "function", "function": function}


def new_tools(rng: Random) -> list[Tool]:
    """Tools with different names and purposes, one to four of them."""
    tools: dict[tuple[str, ...], Tool] = {}
    for _ in range(rng.choice((1, 1, 2, 2, 3, 4))):
        tool = new_tool(rng)
        tools.setdefault(tool.family.about, tool)
    return list({tool.name: tool for tool in tools.values()}.values())


def use(rng: Random, tool: Tool) -> Exchange:
    family = tool.family
    values = [argument.draw(rng) for argument in family.arguments]
    arguments = dict(zip(tool.labels, values, strict=True))
    result = family.result(rng)
    ask = phrase(rng, [ask.replace("{", "{{").replace("}", "}}") for ask in family.asks])
    answer = family.reply.format(*values, **result)
    return Exchange(
        "tool answer",
        ask.format(*values),
        answer,
        call=json.dumps({"name": tool.name, "arguments": arguments}, ensure_ascii=False),
        result=json.dumps(result, ensure_ascii=False),
    )
