"""Owns tasks on the letters of a word: reversing, upper case, spelling, length."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from models.pocket.skills.base import Exchange, phrase
from models.pocket.skills.words import SPELLING

_REVERSE = (
    "Reverse the word {w}.", "Reverse {w}.", "Spell {w} backwards.", "Write {w} backwards.",
    "What is {w} backwards?", "What is {w} reversed?", "{w} in reverse?", 'Reverse "{w}".',
    "Reverse this word: {w}", "Can you reverse the word {w}?", "Turn the word {w} around.",
)  # fmt: skip
_UPPER = (
    "Write {w} in upper case.", "Upper-case {w}.", "{w} in capital letters?", "Capitalize {w}.",
    "Make {w} uppercase.", "Write {w} in capitals.", "Turn {w} into upper case.",
    'Uppercase "{w}".', "Uppercase this word: {w}", "Shout {w}.", "{w} in uppercase please",
)  # fmt: skip
_SPELL = (
    "Spell {w}.", "How do you spell {w}?", "Spell the word {w}.", "Spell out {w}.",
    "What are the letters of {w}?", "Can you spell {w}?", 'Spell "{w}".', "Spell this: {w}",
)  # fmt: skip
_LENGTH = (
    "How many letters are in {w}?", "How long is the word {w}?", "Count the letters in {w}.",
    "How many letters does {w} have?", "Length of {w}?", "How many letters in the word {w}?",
)  # fmt: skip


Maker = Callable[[Random], Exchange]


def _task(skill: str, templates: tuple[str, ...], solve: Callable[[str], str], code: str) -> Maker:
    def make(rng: Random) -> Exchange:
        word = rng.choice(SPELLING)
        answer = solve(word)
        user = phrase(rng, templates, w=word)
        snippet = f">>> {code.format(w=repr(word))}\n{answer}"
        return Exchange(skill, user, answer, code=snippet)

    return make


reverse_word = _task("reversing words", _REVERSE, lambda w: w[::-1], "{w}[::-1]")
upper_case = _task("upper-casing", _UPPER, str.upper, "{w}.upper()")
spell = _task("spelling", _SPELL, "-".join, "'-'.join({w})")
length = _task("word length", _LENGTH, lambda w: f"{len(w)} letters.", "len({w})")
