"""Owns what a skill produces (an Exchange) and how a question's wording is varied."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

from models.pocket.skills.words import SYLLABLES

HELD_OUT_PERCENT = 8

_OPENERS = ("Please ", "Can you tell me: ", "Hey, ", "pocket, ", "Quick question: ", "OK, ", "So, ")
_CLOSERS = (" please", ", please", " Thanks!", " now")


@dataclass(frozen=True)
class Exchange:
    """One question and its answer.

    `key` decides the split, and is the question itself where empty. `code` is the answer in the
    Coding persona. `calls` and `results` are set when tools are used on the way. `parts` is set
    where many answers are right: what each of them contains.
    """

    skill: str
    user: str
    answer: str
    key: str = ""
    code: str = ""
    calls: tuple[str, ...] = ()
    results: tuple[str, ...] = ()
    parts: tuple[str, ...] = ()

    @property
    def held_out(self) -> bool:
        return is_held_out(self.key or self.user)


def is_held_out(key: str) -> bool:
    """Split by content, so that case and punctuation variants of a prompt stay on one side."""
    normal = re.sub(r"\W+", " ", key.lower()).strip()
    digest = hashlib.blake2b(normal.encode(), digest_size=4).digest()
    return int.from_bytes(digest, "big") % 100 < HELD_OUT_PERCENT


def phrase(rng: Random, templates: Sequence[str], **values: object) -> str:
    """Pick a wording, roughen it as people do, then fill in the values untouched."""
    text = rng.choice(templates)
    roll = rng.random()
    if roll < 0.08:
        text = rng.choice(_OPENERS) + text[0].lower() + text[1:]
    elif roll < 0.14:
        text = text.rstrip("?.!") + rng.choice(_CLOSERS)
    if rng.random() < 0.2:
        text = text.lower()
    if rng.random() < 0.15:
        text = text.rstrip("?.!")
    return text.format(**values)


def invented_word(rng: Random, syllables: int = 0) -> str:
    """A capitalised word nobody knows, so that copying is learnt and not a list of names."""
    count = syllables or rng.randint(2, 3)
    return "".join(rng.choice(SYLLABLES) for _ in range(count)).capitalize()


def listed(items: Sequence[object]) -> str:
    return ", ".join(str(item) for item in items)
