"""Owns short stories and poems about a subject that the user names."""

from __future__ import annotations

from random import Random

from models.pocket.skills.base import Exchange, phrase
from models.pocket.skills.words import ANIMALS, COLOURS, JOBS, NAMES

_SUBJECTS = [*ANIMALS, *JOBS, "robot", "dragon", "princess", "ghost", "star", "cloud", "tree",
             "boat", "river", "frog", "owl", "rabbit", "king", "queen", "wizard"]  # fmt: skip
_STORY = (
    "Tell me a story about a {v}.", "Tell me a short story about a {v}.", "A story about a {v}",
    "Write a short story about a {v}.", "Write a story about a {v}.", "Story about a {v} please",
    "Can you tell a story about a {v}?", "I want to hear a story about a {v}.",
    "Make up a story about a {v}.",
)  # fmt: skip
_ANY = ("Tell me a story.", "Tell me a short story.", "Write a story.", "A story please",
        "Do you know a story?", "Can you tell me a story?")  # fmt: skip
_POEM = (
    "Write a poem about a {v}.", "Tell me a poem about a {v}.", "A poem about a {v} please",
    "Write a short poem about a {v}.", "Can you write a poem about a {v}?",
)  # fmt: skip
_PLOTS = (
    "Once upon a time there was a {v} named {n}. {n} was small but very brave. One day {n} found "
    "a {c} key in the forest. It opened a door to a hidden garden. From then on {n} was never "
    "lonely again.",
    "There once lived a {v} called {n}. Every night {n} looked at the stars and made a wish. One "
    "night a {c} star fell into the river. {n} brought it home in a jar. The star gave light to "
    "the whole village.",
    "A {v} named {n} lived at the edge of the sea. One morning a storm came and took the boat of "
    "{n}. {n} did not give up and built a new {c} boat. It was better than the old one. And so "
    "the storm became a friend.",
    "Long ago a {v} named {n} could not sleep. So {n} walked up the hill to ask the moon for help. "
    "The moon gave {n} a {c} blanket. It was warm and soft. That night {n} slept until noon.",
)
_VERSE = (
    "A {v} went out into the night,\nto look for stars and look for light.\nIt found a moon of "
    "{c} hue,\nand said: the night belongs to you."
)


def story(rng: Random) -> Exchange:
    named = rng.random() < 0.85
    subject = rng.choice(_SUBJECTS)
    user = phrase(rng, _STORY if named else _ANY, v=subject)
    answer = _fill(rng, rng.choice(_PLOTS), subject)
    return Exchange("stories", user, answer, code=f"# {answer}", parts=(subject if named else "",))


def poem(rng: Random) -> Exchange:
    subject = rng.choice(_SUBJECTS)
    user = phrase(rng, _POEM, v=subject)
    return Exchange("stories", user, _fill(rng, _VERSE, subject), parts=(subject, "night"))


def _fill(rng: Random, text: str, subject: str) -> str:
    filled = text.format(v=subject, n=rng.choice(NAMES), c=rng.choice(COLOURS))
    return _article(filled)


def _article(text: str) -> str:
    for vowel in "aeiou":
        text = text.replace(f" a {vowel}", f" an {vowel}").replace(f"A {vowel}", f"An {vowel}")
    return text
