"""Owns sums, differences, products and small word problems."""

from __future__ import annotations

from dataclasses import replace
from random import Random

from models.pocket.skills.base import Exchange, phrase
from models.pocket.skills.words import FOODS, NAMES

_ADD = (
    "What is {a} plus {b}?", "{a}+{b}", "{a} + {b}", "{a} + {b} = ?", "Add {a} and {b}.",
    "What's {a} + {b}?", "What is {a} + {b}?", "How much is {a} plus {b}?", "Compute {a} + {b}.",
    "Calculate {a}+{b}.", "The sum of {a} and {b}?", "What is the sum of {a} and {b}?",
    "{a} plus {b}", "Add {b} to {a}.", "{a} and {b} together make?", "Solve {a} + {b}.",
    "Can you add {a} and {b}?", "What do you get if you add {a} and {b}?", "what's {a} plus {b}",
)  # fmt: skip
_SUBTRACT = (
    "What is {a} minus {b}?", "{a}-{b}", "{a} - {b}", "{a} - {b} = ?", "Subtract {b} from {a}.",
    "What's {a} - {b}?", "What is {a} - {b}?", "How much is {a} minus {b}?", "Compute {a} - {b}.",
    "Calculate {a}-{b}.", "{a} minus {b}", "Take {b} away from {a}.", "Solve {a} - {b}.",
    "What is the difference between {a} and {b}?", "What is {a} take away {b}?",
)  # fmt: skip
_MULTIPLY = (
    "What is {a} times {b}?", "{a}*{b}", "{a} * {b}", "{a} x {b}", "{a} \u00d7 {b}",
    "{a} * {b} = ?",
    "Multiply {a} by {b}.", "What's {a} times {b}?", "What is {a} multiplied by {b}?",
    "Compute {a} * {b}.", "How much is {a} times {b}?", "{a} times {b}", "Calculate {a} x {b}.",
    "The product of {a} and {b}?", "What is {a} x {b}?", "Multiply {a} and {b}.",
)  # fmt: skip
_GAIN = (
    "{name} has {a} {food} and gets {b} more. How many now?",
    "{name} has {a} {food}. {name} buys {b} more. How many does {name} have?",
    "There are {a} {food}. We add {b}. How many are there?",
)
_LOSS = (
    "{name} has {a} {food} and gives away {b}. How many are left?",
    "{name} has {a} {food}. {name} eats {b}. How many are left?",
    "There are {a} {food}. We take {b} away. How many remain?",
)


def _operand(rng: Random) -> int:
    return rng.randint(0, 20) if rng.random() < 0.35 else rng.randint(0, 99)


def _exchange(skill: str, user: str, sign: str, a: int, b: int, value: int) -> Exchange:
    return Exchange(
        skill=skill,
        user=user,
        answer=f"{a} {sign} {b} = {value}.",
        key=f"{a} {skill} {b}",
        code=f">>> {a} {sign} {b}\n{value}",
    )


def add(rng: Random) -> Exchange:
    a, b = _operand(rng), _operand(rng)
    templates = _GAIN if rng.random() < 0.1 else _ADD
    user = phrase(rng, templates, a=a, b=b, name=rng.choice(NAMES), food=rng.choice(FOODS))
    return _exchange("addition", user, "+", a, b, a + b)


def subtract(rng: Random) -> Exchange:
    b, a = sorted((_operand(rng), _operand(rng)))
    templates = _LOSS if rng.random() < 0.1 else _SUBTRACT
    user = phrase(rng, templates, a=a, b=b, name=rng.choice(NAMES), food=rng.choice(FOODS))
    return _exchange("subtraction", user, "-", a, b, a - b)


def multiply(rng: Random) -> Exchange:
    """Products are a table to remember, so prompts and not operand pairs are held out."""
    a, b = rng.randint(0, 12), rng.randint(0, 12)
    user = phrase(rng, _MULTIPLY, a=a, b=b)
    made = _exchange("multiplication", user, "*", a, b, a * b)
    return replace(made, key=user_key(user))


def user_key(user: str) -> str:
    """Symbols matter here: a plain prompt key would drop the sign."""
    return user.replace("*", " times ").replace("\u00d7", " cross ")
