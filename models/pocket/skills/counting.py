"""Owns counting up, counting down and counting the items of a list."""

from __future__ import annotations

from random import Random

from models.pocket.skills.base import Exchange, listed, phrase
from models.pocket.skills.words import ANIMALS, COLOURS, FRUITS, SORTABLE

_TO = (
    "Count to {n}.", "Count from 1 to {n}.", "Can you count to {n}?", "Count up to {n}.",
    "List the numbers from 1 to {n}.", "Write the numbers 1 to {n}.", "Count 1 to {n}.",
    "Say the numbers from 1 to {n}.",
)  # fmt: skip
_RANGE = (
    "Count from {a} to {b}.", "List the numbers from {a} to {b}.", "Count {a} to {b}.",
    "Write the numbers {a} to {b}.", "Numbers from {a} to {b}?",
)  # fmt: skip
_DOWN = (
    "Count down from {n}.", "Count backwards from {n}.", "Countdown from {n}.",
    "Count down from {n} to 1.", "Do a countdown from {n}.",
)  # fmt: skip
_ITEMS = (
    "How many items are in this list: {x}?", "Count the items: {x}", "How many items: {x}?",
    "How many words are in this list: {x}?", "How many things are here: {x}?",
    "Count these: {x}", "How many entries does this list have: {x}?",
)  # fmt: skip


def count_to(rng: Random) -> Exchange:
    top = 100 if rng.random() < 0.03 else rng.choice((rng.randint(2, 12), rng.randint(2, 40)))
    answer = listed(range(1, top + 1))
    user = phrase(rng, _TO, n=top)
    code = f">>> list(range(1, {top + 1}))\n[{answer}]"
    return Exchange("counting", user, answer, code=code)


def count_range(rng: Random) -> Exchange:
    start = rng.randint(0, 90)
    stop = min(start + rng.randint(2, 12), 100)
    answer = listed(range(start, stop + 1))
    user = phrase(rng, _RANGE, a=start, b=stop)
    code = f">>> list(range({start}, {stop + 1}))\n[{answer}]"
    return Exchange("counting", user, answer, code=code)


def count_down(rng: Random) -> Exchange:
    top = rng.randint(2, 20)
    answer = listed(range(top, 0, -1))
    user = phrase(rng, _DOWN, n=top)
    code = f">>> list(range({top}, 0, -1))\n[{answer}]"
    return Exchange("counting", user, answer, code=code)


def count_items(rng: Random) -> Exchange:
    pool = rng.choice((FRUITS, ANIMALS, COLOURS, SORTABLE))
    items = rng.choices(pool, k=rng.randint(2, 10))
    answer = f"{len(items)} items."
    user = phrase(rng, _ITEMS, x=listed(items))
    code = f">>> len({items})\n{len(items)}"
    return Exchange("counting items", user, answer, code=code)
