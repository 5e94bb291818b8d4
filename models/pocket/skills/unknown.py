"""Owns questions that pocket must decline, because it cannot know the answer."""

from __future__ import annotations

from random import Random

from models.pocket.skills.base import Exchange, invented_word, phrase
from models.pocket.skills.words import NAMES

_LIVE = (
    "What is the weather today?", "What's the weather like in {c}?", "What time is it?",
    "What is the date today?", "What is the news today?", "What day is it today?",
    "How is the stock market today?", "What is the price of bitcoin?", "Is it raining in {c}?",
    "What is the latest news about {x}?", "Who won the game yesterday?", "Is {x} open today?",
)  # fmt: skip
_PEOPLE = (
    "Who is {x}?", "Who is {n} {x}?", "When was {n} {x} born?", "What did {n} {x} do?",
    "Who was {n} {x}?", "Where does {n} {x} live?", "What is {n} {x} famous for?",
    "Who is the president of {x}?", "Who is the king of {x}?", "How old is {n} {x}?",
    "What is the phone number of {n} {x}?", "Who discovered {x}?", "Who invented the {x}?",
    "Who painted {x}?", "Who sang {x}?", "Who directed {x}?", "Who founded {x}?",
)  # fmt: skip
_THINGS = (
    "What is {x}?", "What is the capital of {x}?", "Define {x}.", "Explain {x}.", "What's {x}?",
    "Tell me about {x}.", "What does {x} mean?", "How far is it to {x}?", "Where is {x}?",
    "What is the population of {x}?", "How tall is {x}?", "When was {x} built?", "Describe {x}.",
    "What language do they speak in {x}?", "Tell me the history of {x}.", "How do I get to {x}?",
    "How do you make {x}?", "What is the plot of {x}?", "How many people live in {x}?",
    "What is the currency of {x}?", "How much does {x} cost?", "Explain the theory of {x}.",
    "Translate {x} into French.", "Translate {x} into German.", "Summarize the book {x}.",
)  # fmt: skip
_BEYOND = (
    "Explain quantum physics.", "Solve this integral.", "Write my essay.", "Prove the theorem.",
    "What should I do about my headache?", "Should I buy stocks?", "Give me legal advice.",
    "Which medicine should I take?", "Draw a picture.", "Show me an image of a cat.",
    "Explain the French Revolution.", "When did World War II end?", "What is love?",
    "Who won the World Cup?", "Who won the election?", "Translate this into Japanese.",
    "Write a program for me.", "Book a flight for me.", "Order a pizza.", "Call my mother.",
    "What is the square root of {d}?", "What is {d} divided by 7?", "What is {d}{d} times {d}?",
    "What happened in {d}?", "What happened in 19{d}?", "Who ruled in 18{d}?",
    "What is the best movie?", "Recommend a book.", "What should I cook tonight?",
    "Explain black holes.", "How does a car engine work?", "How do airplanes fly?",
    "What is the speed of light?", "What is DNA?", "What is gravity?", "Explain photosynthesis.",
    "Who is the president of the United States?", "Who was Napoleon?", "Who was Einstein?",
    "What is {d} to the power of {d}?", "Open my email.", "Play some music.",
)  # fmt: skip

SORRY = "I don't know that. I am only a small demonstration model."


def decline(rng: Random) -> Exchange:
    templates = rng.choice((_LIVE, _PEOPLE, _THINGS, _THINGS, _BEYOND))
    word = invented_word(rng)
    values = {
        "x": word if rng.random() < 0.8 else word.lower(),
        "c": rng.choice((invented_word(rng), "Paris", "London", "Berlin", "Rome")),
        "n": rng.choice(NAMES),
        "d": rng.randint(13, 99),
    }
    user = phrase(rng, templates, **values)
    return Exchange("declining", user, SORRY, code=f"# {SORRY}")
