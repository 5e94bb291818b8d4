"""Owns answers in an asked-for shape: lists, JSON objects, repeated text, code."""

from __future__ import annotations

import json
from random import Random

from models.pocket.skills.base import Exchange, invented_word, phrase
from models.pocket.skills.dates import DAYS, MONTHS
from models.pocket.skills.recall import CITIES
from models.pocket.skills.words import (
    ANIMALS,
    COLOURS,
    FOODS,
    FRUITS,
    HOBBIES,
    JOBS,
    NAMES,
    PETS,
    SORTABLE,
    VEGETABLES,
)

_CATEGORIES = {
    "fruits": FRUITS, "animals": ANIMALS, "vegetables": VEGETABLES, "colours": COLOURS,
    "colors": COLOURS, "pets": PETS, "jobs": JOBS, "hobbies": HOBBIES, "cities": CITIES,
    "foods": FOODS, "names": NAMES, "days": DAYS, "months": MONTHS,
}  # fmt: skip
_NUMERALS = {"two": 2, "three": 3, "four": 4, "five": 5, "2": 2, "3": 3, "4": 4, "5": 5, "6": 6}
_LIST = (
    "List {n} {v}.", "Name {n} {v}.", "Give me a list of {n} {v}.", "Write a list of {n} {v}.",
    "Can you name {n} {v}?", "Give me {n} {v}.", "Tell me {n} {v}.", "I need {n} {v}.",
)  # fmt: skip
_NUMBERED = (
    "Give me a numbered list of {n} {v}.", "Write a numbered list with {n} {v}.",
    "List {n} {v} with numbers.", "Make a numbered list of {n} {v}.",
)  # fmt: skip
_JSON = (
    "Give me a JSON object with {x}.", "Write a JSON object with {x}.", "Make JSON with {x}.",
    "Return JSON with {x}.", "Answer in JSON: {x}.", "Create a JSON object with {x}.",
    "Turn this into JSON: {x}", "As JSON: {x}", "Output a JSON object with {x}.",
)  # fmt: skip
_ARRAY = (
    "Write {x} as a JSON array.", "Make a JSON list of {x}.", "Turn {x} into a JSON array.",
    "Give me {x} as a JSON list.",
)  # fmt: skip
_REPEAT = (
    "Repeat after me: {x}", "Say: {x}", "Repeat this: {x}", "Echo: {x}", "Repeat: {x}",
    "Repeat the following: {x}", "Write exactly this: {x}", "Just say: {x}", "Say this: {x}",
)  # fmt: skip


def bullet_list(rng: Random) -> Exchange:
    category, items = rng.choice(list(_CATEGORIES.items()))
    numeral = rng.choice(list(_NUMERALS))
    chosen = items[: _NUMERALS[numeral]]
    if rng.random() < 0.3:
        answer = "\n".join(f"{place}. {item}" for place, item in enumerate(chosen, 1))
        user = phrase(rng, _NUMBERED, n=numeral, v=category)
    else:
        answer = "\n".join(f"- {item}" for item in chosen)
        user = phrase(rng, _LIST, n=numeral, v=category)
    return Exchange("lists", user, answer, code=f"{category} = {chosen}")


def _fields(rng: Random) -> dict[str, object]:
    name = invented_word(rng) if rng.random() < 0.4 else rng.choice(NAMES)
    pool: dict[str, object] = {
        "name": name, "age": rng.randint(1, 99), "city": rng.choice(CITIES),
        "colour": rng.choice(COLOURS), "job": rng.choice(JOBS), "food": rng.choice(FOODS),
        "price": rng.randint(1, 999), "count": rng.randint(0, 99), "title": invented_word(rng),
        "id": rng.randint(1, 9999), "hobby": rng.choice(HOBBIES), "fruit": rng.choice(FRUITS),
    }  # fmt: skip
    keys = rng.sample(list(pool), rng.randint(1, 4))
    return {key: pool[key] for key in keys}


def json_object(rng: Random) -> Exchange:
    fields = _fields(rng)
    glue = rng.choice((" ", " ", ": ", " = "))
    pairs = [f"{key}{glue}{value}" for key, value in fields.items()]
    told = " and ".join([", ".join(pairs[:-1]), pairs[-1]] if pairs[1:] else pairs)
    answer = json.dumps(fields)
    user = phrase(rng, _JSON, x=told)
    return Exchange("JSON", user, answer, code=f"data = {answer}")


def json_array(rng: Random) -> Exchange:
    items = rng.sample(SORTABLE, rng.randint(2, 5))
    answer = json.dumps(items)
    user = phrase(rng, _ARRAY, x=", ".join(items))
    return Exchange("JSON", user, answer, code=f"items = {answer}")


def repeat(rng: Random) -> Exchange:
    pool = [*SORTABLE, *COLOURS, *NAMES, *FOODS, *JOBS]
    words = [
        invented_word(rng) if rng.random() < 0.25 else rng.choice(pool)
        for _ in range(rng.randint(1, 7))
    ]
    if rng.random() < 0.3:
        words = [str(rng.randint(0, 999)) if rng.random() < 0.5 else word for word in words]
    text = " ".join(words)
    user = phrase(rng, _REPEAT, x=text)
    return Exchange("repeating", user, text, code=f'print("{text}")\n{text}')
