"""Owns days of the week, months of the year and their order."""

from __future__ import annotations

from random import Random

from models.pocket.skills.base import Exchange, phrase
from models.pocket.skills.words import several

DAYS = several("Monday Tuesday Wednesday Thursday Friday Saturday Sunday")
MONTHS = several(
    "January February March April May June July August September October November December"
)
_LENGTHS = (31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)

_AFTER = (
    "What {unit} comes after {v}?", "Which {unit} is after {v}?", "What comes after {v}?",
    "What is the {unit} after {v}?", "Which {unit} follows {v}?", "What follows {v}?",
    "Next {unit} after {v}?", "After {v} comes which {unit}?", "What {unit} is next after {v}?",
)  # fmt: skip
_BEFORE = (
    "What {unit} comes before {v}?", "Which {unit} is before {v}?", "What comes before {v}?",
    "What is the {unit} before {v}?", "Which {unit} precedes {v}?", "What {unit} precedes {v}?",
    "Before {v} comes which {unit}?", "Which {unit} do we have right before {v}?",
)  # fmt: skip
_LATER = (
    "What {unit} is {n} {unit}s after {v}?", "Which {unit} comes {n} {unit}s after {v}?",
    "{n} {unit}s after {v}?", "If it is {v}, what {unit} is it in {n} {unit}s?",
    "Today is {v}. What {unit} is it in {n} {unit}s?",
)  # fmt: skip
_LENGTH = (
    "How many days does {v} have?", "How many days are in {v}?", "Number of days in {v}?",
    "How long is {v}?", "How many days in {v}?", "{v} has how many days?",
)  # fmt: skip
_ORDINAL = (
    "Which {unit} is number {n}?", "What is {unit} number {n}?", "Name {unit} number {n}.",
    "What is the {unit} with number {n}?",
)  # fmt: skip


def _cycle(rng: Random) -> tuple[str, list[str]]:
    return ("day", DAYS) if rng.random() < 0.45 else ("month", MONTHS)


def neighbour(rng: Random) -> Exchange:
    unit, names = _cycle(rng)
    place = rng.randrange(len(names))
    templates, step = rng.choice(((_AFTER, 1), (_BEFORE, -1)))
    answer = f"{names[(place + step) % len(names)]}."
    user = phrase(rng, templates, unit=unit, v=names[place])
    return Exchange("days and months", user, answer)


def later(rng: Random) -> Exchange:
    unit, names = _cycle(rng)
    place, steps = rng.randrange(len(names)), rng.randint(2, 4)
    answer = f"{names[(place + steps) % len(names)]}."
    user = phrase(rng, _LATER, unit=unit, v=names[place], n=steps)
    return Exchange("days and months", user, answer)


def month_length(rng: Random) -> Exchange:
    place = rng.randrange(12)
    answer = f"{MONTHS[place]} has {_LENGTHS[place]} days."
    user = phrase(rng, _LENGTH, v=MONTHS[place])
    return Exchange("days and months", user, answer)


def ordinal(rng: Random) -> Exchange:
    unit, names = _cycle(rng)
    place = rng.randrange(len(names))
    answer = f"{names[place]}."
    user = phrase(rng, _ORDINAL, unit=unit, n=place + 1)
    return Exchange("days and months", user, answer)
