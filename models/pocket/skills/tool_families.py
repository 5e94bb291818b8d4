"""Owns the kinds of tools: what they are called, how people ask for them, what they return."""

from __future__ import annotations

import string
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Any

from models.pocket.skills.base import invented_word
from models.pocket.skills.dates import DAYS
from models.pocket.skills.recall import CITIES
from models.pocket.skills.words import COLOURS, FOODS, HOBBIES, NAMES, SORTABLE, several

Schema = dict[str, Any]
Draw = Callable[[Random], Any]


@dataclass(frozen=True)
class Argument:
    """One parameter of a tool: its possible names, JSON schema and values.

    `say` writes a value as people do in a request.
    """

    names: tuple[str, ...]
    schema: Schema
    draw: Draw
    say: Callable[[Any], str] = str


@dataclass(frozen=True)
class Family:
    """Tools that do one thing under various names.

    `asks` and `reply` take the arguments by position; `reply` also takes the result by name.
    """

    names: tuple[str, ...]
    about: tuple[str, ...]
    arguments: tuple[Argument, ...]
    asks: tuple[str, ...]
    result: Callable[[Random], dict[str, Any]]
    reply: str


def text(names: tuple[str, ...], draw: Draw) -> Argument:
    return Argument(names, {"type": "string"}, draw)


def whole(names: tuple[str, ...], draw: Draw) -> Argument:
    return Argument(names, {"type": "integer"}, draw)


def object_of(**properties: str) -> Schema:
    """A schema of an object with these properties, all of them required."""
    described = {name: {"type": kind} for name, kind in properties.items()}
    return {"type": "object", "properties": described, "required": list(properties)}


def list_of(items: Schema) -> Schema:
    return {"type": "array", "items": items}


def enumerated(items: list[str]) -> str:
    return items[0] if len(items) == 1 else f"{', '.join(items[:-1])} and {items[-1]}"


def place(rng: Random) -> str:
    return invented_word(rng) if rng.random() < 0.4 else rng.choice(CITIES)


def person(rng: Random) -> str:
    return invented_word(rng) if rng.random() < 0.4 else rng.choice(NAMES)


def topic(rng: Random) -> str:
    pools = (FOODS, HOBBIES, SORTABLE, COLOURS)
    if rng.random() < 0.35:
        return invented_word(rng).lower()
    return " ".join(rng.choice(rng.choice(pools)) for _ in range(rng.randint(1, 2)))


# Blocks of which every character is assigned: first and last code point.
_SCRIPTS = (
    (0xC0, 0xFF), (0x391, 0x3A1), (0x3B1, 0x3C9), (0x410, 0x44F), (0x5D0, 0x5EA), (0x628, 0x63A),
    (0x3042, 0x3090), (0x30A2, 0x30F0), (0x4E00, 0x9FA5), (0x4E00, 0x9FA5), (0xAC00, 0xD7A3),
    (0x2600, 0x26FF), (0x1F300, 0x1F5FF), (0x1F600, 0x1F64F), (0x1F680, 0x1F6C0),
)  # fmt: skip
_MARKS = several("— … “ ” « » € £ ° → ½ & # % + =")
_ACCENTS = dict(zip("aeioucnszy", "áèïôüçñšžÿ", strict=True))


def _foreign_word(rng: Random) -> str:
    first, last = rng.choice(_SCRIPTS)
    return "".join(chr(rng.randint(first, last)) for _ in range(rng.randint(1, 4)))


def _accented_word(rng: Random) -> str:
    word = invented_word(rng) if rng.random() < 0.6 else rng.choice(SORTABLE)
    return "".join(_ACCENTS.get(c, c) if rng.random() < 0.5 else c for c in word)


def verbatim(rng: Random) -> str:
    """Words of any script, symbols and names, to be copied character by character."""
    makers: tuple[Callable[[Random], str], ...] = (
        _foreign_word,
        _foreign_word,
        _accented_word,
        invented_word,
        lambda r: r.choice(SORTABLE),
        lambda r: r.choice(_MARKS),
        lambda r: "".join(r.choices(string.ascii_letters + string.digits, k=r.randint(2, 6))),
    )
    words = [rng.choice(makers)(rng) for _ in range(rng.randint(1, 6))]
    return unicodedata.normalize("NFC", " ".join(words))


def _few_words(rng: Random) -> str:
    return " ".join(rng.sample(SORTABLE, rng.randint(1, 3)))


def _title(rng: Random) -> str:
    words = rng.sample(SORTABLE + HOBBIES, rng.randint(1, 3))
    return verbatim(rng) if rng.random() < 0.2 else " ".join(words).capitalize()


def _moment(rng: Random) -> str:
    day = f"20{rng.randint(20, 39)}-{rng.randint(1, 12):02}-{rng.randint(1, 28):02}"
    return f"{day}T{rng.randint(0, 23):02}:{rng.choice((0, 15, 30, 45)):02}:00Z"


def _guest(rng: Random) -> dict[str, str]:
    name = person(rng)
    return {"name": name, "email": f"{name.lower()}@{rng.choice(('example.com', 'mail.org'))}"}


def _room(rng: Random) -> dict[str, str]:
    return {"city": place(rng), "room": f"{rng.randint(1, 9)}.{rng.randint(1, 30):02}"}


def _line(rng: Random) -> dict[str, Any]:
    return {"item": rng.choice(FOODS), "count": rng.randint(1, 20)}


_ROOMS = ("kitchen", "bedroom", "office", "garden", "hall")
_SKY = ("sunny", "cloudy", "rainy", "windy", "snowy", "clear", "foggy", "stormy")
_CITY = text(("city", "location", "place", "town"), place)
_WHO = text(("name", "person", "to", "recipient", "contact"), person)
_WHAT = text(("query", "topic", "text", "keyword", "subject"), topic)
_GUESTS = Argument(
    ("attendees", "guests", "people", "participants"),
    list_of(object_of(name="string", email="string")),
    lambda rng: [_guest(rng) for _ in range(rng.randint(1, 3))],
    lambda guests: enumerated([f"{guest['name']} ({guest['email']})" for guest in guests]),
)
_WHERE = Argument(
    ("location", "place", "where"),
    object_of(city="string", room="string"),
    _room,
    lambda where: f"{where['city']}, room {where['room']}",
)
_LINES = Argument(
    ("items", "lines", "products", "order"),
    list_of(object_of(item="string", count="integer")),
    lambda rng: [_line(rng) for _ in range(rng.randint(1, 3))],
    lambda lines: enumerated([f"{line['count']} {line['item']}" for line in lines]),
)
_TAGS = Argument(
    ("tags", "labels", "words", "keywords"),
    list_of({"type": "string"}),
    lambda rng: rng.sample(SORTABLE, rng.randint(1, 4)),
    enumerated,
)
_POINT = Argument(
    ("point", "position", "at", "target"),
    object_of(x="integer", y="integer"),
    lambda rng: {"x": rng.randint(0, 99), "y": rng.randint(0, 99)},
    lambda point: f"{point['x']}, {point['y']}",
)

FAMILIES: tuple[Family, ...] = (
    Family(
        ("get_weather", "weather", "get_current_weather", "current_weather", "lookup_weather"),
        ("Get the weather in a city.", "Get the current weather.", "Weather for a place."),
        (_CITY,),
        ("What is the weather in {0}?", "How is the weather in {0}?", "Weather in {0}?",
         "Get the current weather in {0}.", "What's the weather in {0} right now?",
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
        (text(("expression", "formula", "input"),
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
        (_WHO, text(("text", "message", "body", "content"), _few_words)),
        ("Send {0} the message: {1}", "Tell {0}: {1}", "Write to {0}: {1}", "Message {0}: {1}",
         "Send a message to {0} saying {1}"),
        lambda rng: {"status": "sent"},
        "Your message to {0} was sent.",
    ),
    Family(
        ("set_timer", "start_timer", "timer", "set_alarm"),
        ("Start a timer.", "Set a timer in minutes.", "Wait for some minutes."),
        (whole(("minutes", "duration", "length"), lambda rng: rng.randint(1, 90)),),
        ("Set a timer for {0} minutes.", "Start a timer of {0} minutes.", "Timer {0} minutes",
         "Wake me in {0} minutes.", "Remind me in {0} minutes."),
        lambda rng: {"status": "started", "id": rng.randint(1, 99)},
        "The timer for {0} minutes is started.",
    ),
    Family(
        ("add_event", "create_event", "add_to_calendar", "schedule_meeting"),
        ("Add an event to the calendar.", "Create an event on a day.", "Plan an event."),
        (text(("title", "event", "name"), lambda rng: rng.choice(HOBBIES)),
         text(("day", "date", "when"), lambda rng: rng.choice(DAYS))),
        ("Add {0} on {1} to my calendar.", "Plan {0} for {1}.", "Schedule {0} on {1}.",
         "Put {0} on {1} in my calendar.", "Create an event {0} on {1}."),
        lambda rng: {"status": "created"},
        "I added {0} on {1}.",
    ),
    Family(
        ("convert_currency", "exchange", "convert_money", "currency_converter"),
        ("Convert money.", "Convert an amount between currencies.", "Exchange rates."),
        (whole(("amount", "value"), lambda rng: rng.randint(1, 999)),
         text(("from", "source"), lambda rng: rng.choice(("EUR", "USD", "GBP"))),
         text(("to", "target"), lambda rng: rng.choice(("JPY", "CHF", "SEK")))),
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
        (text(("room", "where"), lambda rng: rng.choice(_ROOMS)),
         text(("color", "colour"), lambda rng: rng.choice(COLOURS))),
        ("Make the light in the {0} {1}.", "Turn the {0} light {1}.", "Set the {0} light to {1}.",
         "I want {1} light in the {0}."),
        lambda rng: {"ok": True},
        "The light in the {0} is {1} now.",
    ),
    Family(
        ("create_event", "schedule_event", "plan_meeting", "add_meeting", "book_meeting"),
        ("Create a calendar event.", "Plan a meeting with guests.", "Book a meeting."),
        (text(("title", "name", "subject"), _title), text(("start", "begin", "time"), _moment),
         _GUESTS, _WHERE),
        ("Create an event titled '{0}' starting {1} with {2}, located in {3}.",
         "Create an event titled '{0}' starting {1} with attendees {2}, located in {3}.",
         "Plan the meeting '{0}' at {1} with {2} in {3}.",
         "Schedule '{0}' for {1} with {2}, at {3}.",
         "Invite {2} to '{0}' in {3}, starting {1}."),
        lambda rng: {"id": rng.randint(1, 999)},
        "The event {0} is number {id}.",
    ),
    Family(
        ("place_order", "order", "create_order", "order_food", "buy"),
        ("Order food.", "Place an order for a person.", "Order several items."),
        (_LINES, text(("customer", "name", "for", "person"), person)),
        ("Order {0} for {1}.", "Buy {0} for {1}.", "Place an order of {0} for {1}.",
         "{1} wants {0}.", "Get {1} {0}."),
        lambda rng: {"price": rng.randint(5, 99)},
        "The order for {1} costs {price}.",
    ),
    Family(
        ("tag_page", "add_tags", "set_labels", "label", "tag"),
        ("Add tags to a page.", "Set the labels of a page.", "Tag something."),
        (text(("page", "id", "name", "title"), topic), _TAGS),
        ("Tag {0} with {1}.", "Add the tags {1} to {0}.", "Label {0} with {1}.",
         "Give {0} the labels {1}."),
        lambda rng: {"ok": True},
        "I tagged {0} with {1}.",
    ),
    Family(
        ("move_robot", "move", "go_to", "draw_point", "click"),
        ("Move to a point.", "Go to a position.", "Move the robot."),
        (_POINT,),
        ("Move to {0}.", "Go to {0}.", "Move the robot to {0}.", "Go to the point {0}."),
        lambda rng: {"ok": True},
        "I am at {0} now.",
    ),
    Family(
        ("save_note", "create_note", "store_note", "write_note", "save_text"),
        ("Save a note with a title and a body.", "Store a text, verbatim.", "Write a note."),
        (text(("title", "name", "heading"), _title),
         text(("body", "text", "content"), verbatim)),
        ("Save a note titled '{0}' whose body is exactly: {1}", "Note '{0}': {1}",
         "Save a note called '{0}' with the text: {1}", "Write down under '{0}': {1}",
         "Create a note '{0}' with exactly this body: {1}"),
        lambda rng: {"id": rng.randint(1, 999)},
        "I saved the note as number {id}.",
    ),
    Family(
        ("echo", "translate", "detect_language", "publish", "print_label"),
        ("Takes a text as it is.", "Process a text.", "Print a text."),
        (text(("text", "input", "string", "value"), verbatim),),
        ("Use it on this text: {0}", "Run it with '{0}'.", "Process exactly this: {0}",
         "Send this text as it is: {0}", "Text: {0}"),
        lambda rng: {"status": "done"},
        "It is done.",
    ),
    Family(
        ("get_server_time", "server_time", "get_utc_time", "clock"),
        ("Return the server's current time. Takes no arguments.", "The time of the server."),
        (),
        ("What time is it on the server?", "What is the server's time?", "Server time?",
         "Tell me the time on the server.", "What does the server's clock say?"),
        lambda rng: {"time": f"{rng.randint(0, 23):02}:{rng.randint(0, 59):02}"},
        "It is {time} on the server.",
    ),
    Family(
        ("get_status", "health_check", "ping", "check_system"),
        ("Check the system.", "Is the system healthy?", "Returns the status of the system."),
        (),
        ("Is the system healthy?", "Check the system.", "How is the system doing?",
         "What is the status of the system?", "Run a health check."),
        lambda rng: {"status": rng.choice(("healthy", "slow", "down", "busy"))},
        "The system is {status}.",
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


def random_family(rng: Random) -> Family:
    """A tool with a made-up purpose: names must be read from the schema, not remembered."""
    verb, noun = rng.choice(_VERBS), rng.choice(_NOUNS)
    word = rng.choice((verb, verb.capitalize()))
    draw: Draw = rng.choice((person, topic, place))
    label = rng.choice(("name", "id", "item", "query", "key", "what", "which", noun))
    return Family(
        (f"{verb}_{noun}", f"{noun}_{verb}", f"{verb}_{noun}_of", noun, f"{verb}_the_{noun}"),
        (f"{verb.capitalize()} the {noun}.", f"Returns the {noun}.", f"The {noun} of something."),
        (text((label,), draw),),
        tuple(ask.format(verb=word, noun=noun) for ask in _RANDOM_ASKS),
        lambda r: {noun: r.choice((r.randint(0, 9999), invented_word(r).lower()))},
        f"The {noun} of {{0}} is {{{noun}}}.",
    )
