"""Owns sorting, comparing and reversing lists."""

from __future__ import annotations

from random import Random

from models.pocket.skills.base import Exchange, listed, phrase
from models.pocket.skills.words import SORTABLE

_SORT_NUMBERS = (
    "Sort these numbers: {x}", "Sort {x}", "Sort the numbers {x}.", "Put {x} in order.",
    "Order these numbers: {x}", "Arrange {x} from smallest to largest.", "Sort: {x}",
    "Sort {x} in ascending order.", "Please sort {x}.", "Put these numbers in order: {x}",
)  # fmt: skip
_SORT_WORDS = (
    "Sort these words: {x}", "Sort {x} alphabetically.", "Put {x} in alphabetical order.",
    "Sort the words {x}.", "Alphabetize {x}.", "Order these words: {x}", "Sort: {x}",
    "Arrange {x} alphabetically.", "Put these words in alphabetical order: {x}",
)  # fmt: skip
_LARGEST = (
    "Which is the largest: {x}?", "What is the biggest of {x}?", "Largest number in {x}?",
    "What is the maximum of {x}?", "Which number is the biggest: {x}?", "max of {x}",
)  # fmt: skip
_SMALLEST = (
    "Which is the smallest: {x}?", "What is the lowest of {x}?", "Smallest number in {x}?",
    "What is the minimum of {x}?", "Which number is the smallest: {x}?", "min of {x}",
)  # fmt: skip
_BACKWARDS = (
    "Reverse this list: {x}", "Reverse the list {x}.", "Say {x} in reverse order.",
    "List {x} backwards.", "Reverse the order of {x}.", "Turn this list around: {x}",
)  # fmt: skip


def _numbers(rng: Random, most: int) -> list[int]:
    top = rng.choice((9, 20, 99, 99))
    return rng.sample(range(top + 1), rng.randint(3, most))


def _joined(rng: Random, items: list[object]) -> str:
    return listed(items) if rng.random() < 0.85 else " ".join(map(str, items))


def sort_numbers(rng: Random) -> Exchange:
    items = _numbers(rng, 7)
    answer = listed(sorted(items))
    user = phrase(rng, _SORT_NUMBERS, x=_joined(rng, [*items]))
    code = f">>> sorted([{listed(items)}])\n[{answer}]"
    return Exchange("sorting numbers", user, answer, code=code)


def sort_words(rng: Random) -> Exchange:
    items = rng.sample(SORTABLE, rng.randint(3, 5))
    answer = listed(sorted(items))
    user = phrase(rng, _SORT_WORDS, x=_joined(rng, [*items]))
    return Exchange("sorting words", user, answer, code=f">>> sorted({items})\n{sorted(items)}")


def compare(rng: Random) -> Exchange:
    items = _numbers(rng, 5)
    pick, templates, name = rng.choice(((max, _LARGEST, "max"), (min, _SMALLEST, "min")))
    best = str(pick(items))
    user = phrase(rng, templates, x=listed(items))
    code = f">>> {name}({listed(items)})\n{best}"
    return Exchange("comparing", user, f"{best}.", code=code)


def reverse_list(rng: Random) -> Exchange:
    pool: list[object] = [*SORTABLE] if rng.random() < 0.5 else [*range(100)]
    items = rng.sample(pool, rng.randint(3, 6))
    answer = listed(items[::-1])
    user = phrase(rng, _BACKWARDS, x=listed(items))
    code = f">>> {items}[::-1]\n{items[::-1]}"
    return Exchange("reversing lists", user, answer, code=code)
