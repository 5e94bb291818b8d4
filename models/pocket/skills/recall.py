"""Owns facts that the user tells and asks for again later: the induction skill."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

from models.pocket.skills.base import Exchange, invented_word, phrase
from models.pocket.skills.words import (
    COLOURS,
    FOODS,
    HOBBIES,
    JOBS,
    NAMES,
    PET_NAMES,
    PETS,
    several,
)


@dataclass(frozen=True)
class Topic:
    """How one kind of fact is told, acknowledged, asked for and recalled."""

    tell: tuple[str, ...]
    ack: str
    ask: tuple[str, ...]
    reply: str
    unknown: str


@dataclass(frozen=True)
class Fact:
    """A topic with its value, as told in one conversation."""

    kind: str
    values: dict[str, str]


TOPICS: dict[str, Topic] = {
    "name": Topic(
        ("My name is {v}.", "I'm {v}.", "I am {v}.", "Call me {v}.", "Hi, my name is {v}.",
         "Hello, I'm {v}.", "You can call me {v}.", "My name's {v}.", "Hi, I am {v}!",
         "I am called {v}.", "This is {v} speaking.", "Remember my name: {v}.",
         "Hi! My name is {v}. Nice to meet you."),
        "Nice to meet you, {v}!",
        ("What's my name?", "What is my name?", "Do you remember my name?", "Who am I?",
         "Tell me my name.", "What did I say my name was?", "What am I called?", "Say my name.",
         "Can you remember my name?", "Do you know my name?", "What was my name again?"),
        "Your name is {v}.",
        "You have not told me your name yet.",
    ),
    "colour": Topic(
        ("My favourite colour is {v}.", "My favorite color is {v}.", "I like the colour {v} best.",
         "I love the color {v}.", "{v} is my favourite colour.", "The colour I like most is {v}."),
        "I will remember that you like {v}.",
        ("What is my favourite colour?", "What's my favorite color?", "Which colour do I like?",
         "Do you remember my favourite colour?", "Which color do I like best?",
         "Tell me my favourite colour.", "What colour do I love?"),
        "Your favourite colour is {v}.",
        "You have not told me your favourite colour yet.",
    ),
    "city": Topic(
        ("I live in {v}.", "I'm from {v}.", "My home town is {v}.", "I come from {v}.",
         "My city is {v}.", "I moved to {v}.", "My home is in {v}."),
        "{v} sounds like a nice place.",
        ("Where do I live?", "Which city am I from?", "What city do I live in?",
         "Where am I from?", "Do you remember where I live?", "What is my city?",
         "Tell me where I live."),
        "You live in {v}.",
        "You have not told me where you live yet.",
    ),
    "number": Topic(
        ("My lucky number is {v}.", "Remember the number {v}.", "My favourite number is {v}.",
         "The number is {v}.", "Please remember this number: {v}.", "Keep in mind the number {v}."),
        "I will remember the number {v}.",
        ("What is my lucky number?", "What was the number?", "Which number did I tell you?",
         "What's my number?", "Do you remember the number?", "Tell me the number again.",
         "What number did I ask you to remember?"),
        "The number is {v}.",
        "You have not told me a number yet.",
    ),
    "code": Topic(
        ("The secret word is {v}.", "The password is {v}.", "Remember the code word {v}.",
         "The magic word is {v}.", "Our code word is {v}.", "Remember this word: {v}."),
        "I will remember the word {v}.",
        ("What is the secret word?", "What was the password?", "What is the code word?",
         "Which word did I tell you?", "What's the magic word?", "Tell me the secret word.",
         "Do you remember the word?", "What word did I ask you to remember?"),
        "The word is {v}.",
        "You have not told me a word yet.",
    ),
    "pet": Topic(
        ("I have a {p} named {v}.", "My {p} is called {v}.", "My {p}'s name is {v}.",
         "I have a {p}. Its name is {v}.", "I own a {p} called {v}.", "We have a {p} named {v}."),
        "{v} is a lovely name for a {p}.",
        ("What is my {p} called?", "What's the name of my {p}?", "What is my {p}'s name?",
         "What is my pet called?", "What is the name of my pet?",
         "Do you remember my {p}'s name?", "Tell me the name of my {p}."),
        "Your {p} is called {v}.",
        "You have not told me about your {p} yet.",
    ),
    "food": Topic(
        ("My favourite food is {v}.", "I love to eat {v}.", "My favorite food is {v}.",
         "I like {v} more than any other food.", "The food I like best is {v}."),
        "Good choice, {v} can be tasty.",
        ("What is my favourite food?", "What's my favorite food?", "What do I love to eat?",
         "Which food do I like best?", "Do you remember my favourite food?"),
        "Your favourite food is {v}.",
        "You have not told me your favourite food yet.",
    ),
    "job": Topic(
        ("I work as a {v}.", "I am a {v}.", "My job is {v}.", "I'm a {v}.", "I work as {v}."),
        "Being a {v} must be interesting.",
        ("What is my job?", "What do I do for a living?", "What's my job?", "What do I work as?",
         "Do you remember my job?", "What is my profession?"),
        "You work as a {v}.",
        "You have not told me your job yet.",
    ),
    "hobby": Topic(
        ("My hobby is {v}.", "I enjoy {v}.", "In my free time I do {v}.", "I like {v} a lot."),
        "I will remember your hobby, {v}.",
        ("What is my hobby?", "What's my hobby?", "What do I enjoy?",
         "What do I do in my free time?", "Do you remember my hobby?"),
        "Your hobby is {v}.",
        "You have not told me your hobby yet.",
    ),
    "age": Topic(
        ("I am {v} years old.", "I'm {v} years old.", "My age is {v}.", "I turned {v}."),
        "So you are {v} years old.",
        ("How old am I?", "What is my age?", "What's my age?", "Do you remember how old I am?",
         "Tell me my age."),
        "You are {v} years old.",
        "You have not told me your age yet.",
    ),
}  # fmt: skip

CITIES = several(
    "Paris London Berlin Rome Madrid Vienna Oslo Lisbon Dublin Prague Warsaw Athens Cairo Tokyo "
    "Delhi Lima Boston Chicago Denver Seattle Toronto Sydney Mumbai Milan Naples Zurich Geneva "
    "Hamburg Munich Cologne Lyon Nice Porto Seville Krakow Oxford Leeds Bristol Austin Dallas"
)

_VALUES: dict[str, list[str]] = {
    "colour": COLOURS,
    "city": CITIES,
    "food": FOODS,
    "job": JOBS,
    "hobby": HOBBIES,
    "pet": PET_NAMES,
    "name": NAMES,
}


def _value(rng: Random, kind: str) -> str:
    if kind == "number":
        return str(rng.choice((rng.randint(0, 99), rng.randint(100, 9999), rng.randint(0, 999))))
    if kind == "age":
        return str(rng.randint(4, 99))
    if kind == "code":
        word = invented_word(rng)
        return rng.choice((word, word.lower(), rng.choice(NAMES).lower(), rng.choice(FOODS)))
    invents = kind in ("name", "city", "pet") and rng.random() < 0.35
    return invented_word(rng) if invents else rng.choice(_VALUES[kind])


def new_fact(rng: Random, kind: str | None = None) -> Fact:
    kind = kind or rng.choice([*TOPICS, "name", "name", "name"])
    return Fact(kind, {"v": _value(rng, kind), "p": rng.choice(PETS)})


def tell(rng: Random, fact: Fact) -> Exchange:
    topic = TOPICS[fact.kind]
    user = phrase(rng, topic.tell, **fact.values)
    return Exchange("telling", user, topic.ack.format(**fact.values))


def ask(rng: Random, fact: Fact) -> Exchange:
    """The key joins value and wording: the pair is what must not have been seen."""
    topic = TOPICS[fact.kind]
    user = phrase(rng, topic.ask, **fact.values)
    reply = topic.reply.format(**fact.values)
    return Exchange("recall", user, reply, key=f"{fact.values['v']} {user}")


def ask_untold(rng: Random, told: set[str]) -> Exchange | None:
    """A question about something never said, so that pocket learns to admit it."""
    kinds = [kind for kind in TOPICS if kind not in told]
    if not kinds:
        return None
    topic = TOPICS[rng.choice(kinds)]
    pet = rng.choice(PETS)
    template = rng.choice([t for t in topic.ask if "my pet" not in t])
    user = phrase(rng, (template,), p=pet)
    reply = topic.unknown.format(p=pet)
    return Exchange("not told", user, reply, key=f"untold {user} {sorted(told)}")
