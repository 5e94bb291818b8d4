"""Owns system prompts and how an answer sounds under each of them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from random import Random

from models.pocket.skills.base import Exchange, invented_word
from models.pocket.skills.words import JOBS, NAMES, several

PLAIN = "plain"
STYLED = ("tutor", "creative", "coding", "pirate")

_SYSTEMS: dict[str, tuple[str, ...]] = {
    "plain": (
        "You are a helpful assistant.", "You are pocket, a helpful assistant.",
        "You are a friendly assistant.", "Answer the user's questions.", "Be brief.",
        "You are a helpful, honest and concise assistant.", "Be short and precise.",
        "You are an AI assistant. Answer clearly.", "You are pocket.",
    ),
    "tutor": (
        "You are a patient tutor. Explain step by step and check that the user understands.",
        "You are a tutor.", "You are a friendly teacher.", "Act as a tutor.", "Tutor",
        "You are a patient teacher who explains things step by step.",
        "You are a tutor. Explain simply and ask a question at the end.",
        "Be a tutor: teach the user step by step.", "You are a helpful math tutor.",
        "You are a patient tutor. Explain ideas step by step, in plain words, and end with a "
        "short question that checks understanding.",
        "You teach students. Explain every answer.",
    ),
    "creative": (
        "You are a creative writer. Answer with imagination.", "You are a poet.", "Creative",
        "You are a creative writing partner. Use vivid images.", "Be creative and playful.",
        "You are a storyteller.", "You are an imaginative writer with a vivid style.",
        "Act as a creative writer.", "You are a creative assistant. Be vivid and surprising.",
        "You are an imaginative writing partner. Be vivid, playful and original.",
        "You are a novelist. Write with colour and feeling.",
    ),
    "coding": (
        "You are a coding assistant. Answer with code.", "You are a programmer.", "Coding",
        "You are an expert Python programmer. Show code.", "You are a coding helper.",
        "You are a senior software engineer. Prefer code to prose.", "Act as a developer.",
        "You are a careful programming assistant. Answer with short, correct code.",
        "You are a precise coding assistant. Show working code first, then explain briefly.",
        "You help developers to write code.",
    ),
    "pirate": (
        "You are a pirate.", "Talk like a pirate.", "Answer like a pirate.", "Speak as a pirate.",
        "You are a pirate captain on the sea.", "Act as a pirate.",
    ),
}  # fmt: skip

_TUTOR_STARTS = {
    "addition": "Let's add step by step.", "subtraction": "Let's take away step by step.",
    "multiplication": "Let's multiply step by step.", "definitions": "Let's learn this together.",
}  # fmt: skip
_TRAITS = several("kind brave funny calm clever gentle cheerful polite wise curious")


@dataclass(frozen=True)
class Persona:
    """A system prompt and the style that it asks for; `name` is set for invented characters."""

    style: str
    system: str
    name: str = ""
    role: str = ""


def new_persona(rng: Random) -> Persona:
    roll = rng.random()
    if roll < 0.45:
        return Persona(PLAIN, "")
    if roll < 0.55:
        return Persona(PLAIN, rng.choice(_SYSTEMS[PLAIN]))
    if roll < 0.63:
        return new_character(rng)
    return styled_persona(rng)


def styled_persona(rng: Random) -> Persona:
    style = rng.choice((*STYLED[:3], *STYLED[:3], "pirate"))
    return Persona(style, rng.choice(_SYSTEMS[style]))


def new_character(rng: Random) -> Persona:
    name = invented_word(rng) if rng.random() < 0.6 else rng.choice(NAMES)
    role = f"a {rng.choice(_TRAITS)} {rng.choice(JOBS)}"
    return Persona(PLAIN, f"You are {name}, {role}.", name, role)


def introduce(rng: Random, persona: Persona) -> Exchange:
    asks = ("Who are you?", "What is your name?", "Introduce yourself.", "What's your name?",
            "Tell me about yourself.", "who are you", "What are you called?")  # fmt: skip
    user = rng.choice(asks)
    answer = f"I am {persona.name}, {persona.role}."
    return Exchange("system prompt", user, answer, key=f"{persona.name} {user}")


def in_style(persona: Persona, made: Exchange) -> Exchange:
    """Rewrite an answer in the persona's voice; the plain answer stays inside it."""
    if persona.style == PLAIN or made.skill == "declining":
        return made
    if persona.style == "coding":
        code = made.code or f"# {made.answer}"
        return replace(made, answer=f"```python\n{code}\n```")
    stop = "." if made.answer[-1].isalnum() else ""
    before, after = _voice(persona.style, made.skill)
    return replace(made, answer=f"{before} {made.answer}{stop} {after}")


def _voice(style: str, skill: str) -> tuple[str, str]:
    if style == "tutor":
        start = _TUTOR_STARTS.get(skill, "Let's look at this together.")
        return start, "Does that make sense?"
    if style == "creative":
        return "Imagine this:", "What a wonder!"
    return "Arr!", "Aye, matey!"
