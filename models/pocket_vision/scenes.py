"""Owns what is on a picture and what can be asked about it.

A scene has a key that decides whether it is held out: `evaluate` asks only about scenes that are,
and training sees none of them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from PIL import Image

from models.pocket.skills import words
from models.pocket.skills.base import is_held_out, phrase
from models.pocket_vision.drawing import COLORS, SHAPES, Box, Canvas, shade

NUMBERS = ("no", "one", "two", "three", "four", "five", "six")
PLACES = (
    *("top left", "top", "top right"),
    *("left", "center", "right"),
    *("bottom left", "bottom", "bottom right"),
)


@dataclass(frozen=True, slots=True)
class Question:
    skill: str
    text: str
    answer: str


@dataclass(frozen=True, slots=True)
class Scene:
    """A picture, or two, and questions about it, any of which may be asked in any order."""

    pictures: tuple[Image.Image, ...]
    questions: tuple[Question, ...]
    keys: tuple[str, ...]

    @property
    def held_out(self) -> bool:
        return any(map(is_held_out, self.keys))


@dataclass(frozen=True, slots=True)
class Thing:
    """A shape on a picture. `place` counts the nine fields row by row."""

    color: str
    kind: str
    place: int

    @property
    def name(self) -> str:
        return f"{self.color} {self.kind}"

    @property
    def key(self) -> str:
        return f"{self.name} {PLACES[self.place]}"


def with_article(name: str) -> str:
    return f"an {name}" if name[0] in "aeiou" else f"a {name}"


def many(number: int, kind: str) -> str:
    return f"{NUMBERS[number]} {kind}{'' if number == 1 else 's'}"


def shapes(rng: Random) -> Scene:
    things = some_things(rng)
    picture = draw_things(rng, things)
    return Scene((picture,), tuple(_about_things(rng, things)), tuple(t.key for t in things))


def some_things(rng: Random) -> list[Thing]:
    number = rng.choices((1, 2, 3, 4, 5, 6), (6, 3, 3, 2, 2, 1))[0]
    colors, kinds = list(COLORS), list(SHAPES)
    if rng.random() < 0.4:
        colors = rng.sample(colors, 2)
    if rng.random() < 0.4:
        kinds = rng.sample(kinds, 2)
    places = [4] if number == 1 and rng.random() < 0.4 else rng.sample(range(9), number)
    return [Thing(rng.choice(colors), rng.choice(kinds), place) for place in places]


def draw_things(rng: Random, things: list[Thing]) -> Image.Image:
    canvas = Canvas.new(rng)
    field_width, field_height = canvas.width / 3, canvas.height / 3
    for thing in things:
        size = min(field_width, field_height) * rng.uniform(0.6, 0.92)
        if len(things) == 1 and thing.place == 4 and rng.random() < 0.7:
            canvas.shape(thing.kind, _middle(rng, canvas), shade(rng, thing.color))
            continue
        left = (thing.place % 3) * field_width + rng.uniform(0, field_width - size)
        top = (thing.place // 3) * field_height + rng.uniform(0, field_height - size)
        box = (left, top, left + size, top + size)
        canvas.shape(thing.kind, box, shade(rng, thing.color))
    return canvas.picture()


def _middle(rng: Random, canvas: Canvas) -> Box:
    """A place for one large shape in the middle."""
    half = min(canvas.width, canvas.height) * rng.uniform(0.2, 0.46)
    x, y = canvas.width / 2, canvas.height / 2
    return (x - half, y - half, x + half, y + half)


def _about_things(rng: Random, things: list[Thing]) -> list[Question]:
    asked = [_describe(rng, things), _how_many(rng, things), _how_many_of(rng, things)]
    asked += [_is_there(rng, things) for _ in range(2)]
    for thing in things:
        if sum(other.kind == thing.kind for other in things) == 1:
            text = phrase(rng, _COLOR_OF, kind=thing.kind)
            asked.append(Question("colour", text, f"The {thing.kind} is {thing.color}."))
        if sum(other.color == thing.color for other in things) == 1:
            text = phrase(rng, _SHAPE_OF, color=thing.color)
            asked.append(Question("shape", text, f"It is {with_article(thing.kind)}."))
        if sum(other.name == thing.name for other in things) == 1:
            text = phrase(rng, _WHERE, name=thing.name)
            place = PLACES[thing.place]
            words = "in the center" if place == "center" else f"at the {place}"
            asked.append(Question("position", text, f"The {thing.name} is {words}."))
    return asked


_DESCRIBE = (
    *(
        "What is in this picture?",
        "What do you see?",
        "Describe this image.",
        "Describe the image.",
    ),
    *("What is in this image?", "What does the picture show?", "What's in the image?"),
)
_HOW_MANY = (
    "How many shapes are there?",
    "How many shapes do you see?",
    "Count the shapes.",
    "How many things are in the picture?",
)
_HOW_MANY_OF = ("How many {kind}s are there?", "How many {kind}s do you see?", "Count the {kind}s.")
_IS_THERE = ("Is there {name}?", "Do you see {name}?", "Is there {name} in the picture?")
_COLOR_OF = ("What color is the {kind}?", "Which color has the {kind}?", "The {kind}'s color?")
_SHAPE_OF = ("What shape is the {color} one?", "Which shape is {color}?", "What is {color}?")
_WHERE = ("Where is the {name}?", "In which part of the picture is the {name}?")


def _describe(rng: Random, things: list[Thing]) -> Question:
    """Row by row, as one reads."""
    names = [with_article(thing.name) for thing in sorted(things, key=lambda t: t.place)]
    said = names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
    return Question("description", phrase(rng, _DESCRIBE), f"I see {said}.")


def _how_many(rng: Random, things: list[Thing]) -> Question:
    number = len(things)
    verb = "is" if number == 1 else "are"
    return Question("count", phrase(rng, _HOW_MANY), f"There {verb} {many(number, 'shape')}.")


def _how_many_of(rng: Random, things: list[Thing]) -> Question:
    kind = rng.choice(things).kind if rng.random() < 0.8 else rng.choice(SHAPES)
    number = sum(thing.kind == kind for thing in things)
    verb = "is" if number == 1 else "are"
    text = phrase(rng, _HOW_MANY_OF, kind=kind)
    return Question("count", text, f"There {verb} {many(number, kind)}.")


def _is_there(rng: Random, things: list[Thing]) -> Question:
    """Half of the answers are yes; a no is often near the truth."""
    thing = rng.choice(things)
    if rng.random() < 0.5:
        name = thing.name
    else:
        color = thing.color if rng.random() < 0.4 else rng.choice(list(COLORS))
        name = f"{color} {rng.choice(SHAPES)}"
    is_there = any(other.name == name for other in things)
    text = phrase(rng, _IS_THERE, name=with_article(name))
    verb = "there is" if is_there else "there is no"
    said = f"{verb} {with_article(name) if is_there else name}"
    return Question("yes or no", text, f"{'Yes' if is_there else 'No'}, {said}.")


_WRITTEN = (
    *("What is written here?", "Read the text.", "What does it say?", "Which word is this?"),
    *("What word do you see?", "What text is in the image?"),
)
_NUMBER = ("Which number is this?", "What number do you see?", "Read the number.", "Which digits?")
_TEXT_COLOR = ("What color is the text?", "Which color has the writing?")
_LETTERS = "abcdefghijklmnopqrstuvwxyz"


def word(rng: Random) -> Scene:
    """Known words, and invented ones, so that letters are read and not guessed."""
    known = [each for each in words.COMMON if 2 <= len(each) <= 7 and each.isalpha()]
    if rng.random() < 0.6:
        text = rng.choice(known)
    else:
        text = "".join(rng.choice(_LETTERS) for _ in range(rng.randint(1, 5)))
    text = rng.choice((text.lower(), text.upper(), text.capitalize()))
    return _written(rng, text, _WRITTEN, "word")


def number(rng: Random) -> Scene:
    digits = str(rng.randrange(10 ** rng.randint(1, 5)))
    return _written(rng, digits, _NUMBER, "number")


def _written(rng: Random, text: str, templates: tuple[str, ...], skill: str) -> Scene:
    color = rng.choice([name for name in COLORS if name != "yellow"])
    canvas = Canvas.new(rng)
    canvas.text(rng, text, shade(rng, color))
    said = f'It says "{text}".' if skill == "word" else f"It is {text}."
    asked = [Question(skill, phrase(rng, templates), said)]
    asked.append(Question("colour", phrase(rng, _TEXT_COLOR), f"The text is {color}."))
    described = f"I see the {skill} {text} in {color}."
    asked.append(Question("description", phrase(rng, _DESCRIBE), described))
    return Scene((canvas.picture(),), tuple(asked), (f"{skill} {text.lower()}",))


_HOW_MANY_BARS = ("How many bars are there?", "How many bars does the chart have?")
_BARS = ("Which bar is the {most}?", "What color is the {most} bar?")
_COMPARE_BARS = ("Is the {one} bar taller than the {other} bar?",)


def chart(rng: Random) -> Scene:
    """Bars of clearly different heights."""
    number = rng.randint(2, 5)
    colors = rng.sample(list(COLORS), number)
    heights = rng.sample(range(1, 8), number)
    canvas = Canvas.new(rng)
    width = canvas.width * 0.9 / number
    floor = canvas.height * 0.94
    for i, (color, height) in enumerate(zip(colors, heights, strict=True)):
        left = canvas.width * 0.05 + i * width + 0.1 * width
        top = floor - canvas.height * 0.12 * height
        canvas.bar((left, top, left + 0.8 * width, floor), shade(rng, color))
    canvas.bar((canvas.width * 0.03, floor, canvas.width * 0.97, floor + 2), COLORS["black"])
    tallest = colors[heights.index(max(heights))]
    shortest = colors[heights.index(min(heights))]
    one, other = rng.sample(range(number), 2)
    is_taller = heights[one] > heights[other]
    asked = [
        Question("chart", phrase(rng, _BARS, most="tallest"), f"The {tallest} bar is the tallest."),
        Question(
            "chart", phrase(rng, _BARS, most="shortest"), f"The {shortest} bar is the shortest."
        ),
        Question("chart", phrase(rng, _HOW_MANY_BARS), f"The chart has {NUMBERS[number]} bars."),
        Question(
            "chart",
            phrase(rng, _COMPARE_BARS, one=colors[one], other=colors[other]),
            f"{'Yes' if is_taller else 'No'}, the {colors[one]} bar is"
            f" {'taller' if is_taller else 'shorter'}.",
        ),
        Question(
            "description",
            phrase(rng, _DESCRIBE),
            f"I see a bar chart with {NUMBERS[number]} bars: {', '.join(colors)}.",
        ),
    ]
    order = " ".join(colors[i] for i in sorted(range(number), key=lambda i: heights[i]))
    return Scene((canvas.picture(),), tuple(asked), (f"chart {order}",))


_SAME = ("Are the two images the same?", "Do both pictures show the same?")
_MORE = ("Which image has more shapes?", "Which picture shows more shapes?")
_DIFFERENCE = ("What is different?", "What is the difference?", "Compare the two images.")


def two(rng: Random) -> Scene:
    """Two pictures with one or two things each."""
    first = [Thing(rng.choice(list(COLORS)), rng.choice(SHAPES), 4)]
    second = list(first) if rng.random() < 0.4 else [_other(rng, first[0])]
    if rng.random() < 0.3:
        place = rng.choice((0, 2, 6, 8))
        second.append(Thing(rng.choice(list(COLORS)), rng.choice(SHAPES), place))
    pictures = [first, second]
    rng.shuffle(pictures)
    one, other = pictures
    drawn = tuple(draw_things(rng, things) for things in pictures)
    is_same = [t.name for t in one] == [t.name for t in other]
    asked = [
        Question(
            "two images",
            phrase(rng, _SAME),
            "Yes, they show the same." if is_same else "No, they are different.",
        )
    ]
    if len(one) != len(other):
        which = "first" if len(one) > len(other) else "second"
        asked.append(
            Question("two images", phrase(rng, _MORE), f"The {which} image has more shapes.")
        )
    else:
        first_name, second_name = (with_article(things[0].name) for things in (one, other))
        said = f"The first shows {first_name}, the second {second_name}."
        if is_same:
            said = f"Both show {first_name}."
        asked.append(Question("two images", phrase(rng, _DIFFERENCE), said))
    return Scene(drawn, tuple(asked), (f"{one[0].name} beside {other[0].name}",))


def _other(rng: Random, thing: Thing) -> Thing:
    """Another colour, another shape, or both."""
    color = rng.choice([c for c in COLORS if c != thing.color])
    kind = rng.choice([k for k in SHAPES if k != thing.kind])
    roll = rng.random()
    return Thing(thing.color if roll < 0.4 else color, thing.kind if 0.4 <= roll < 0.8 else kind, 4)


# Share of each kind of scene; reading takes the most learning.
MIX: dict[Callable[[Random], Scene], float] = {shapes: 30, word: 28, number: 16, chart: 14, two: 12}


def scene(rng: Random, *, held_out: bool) -> Scene:
    """Draw until the scene is on the wanted side of the split."""
    while True:
        made = rng.choices(list(MIX), list(MIX.values()))[0](rng)
        if made.held_out == held_out:
            return made
