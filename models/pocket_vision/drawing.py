"""Owns the brush: shapes, texts and charts on a canvas, in colours that have names.

Everything is drawn larger and then reduced, so that edges are smooth as in real pictures.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from random import Random

import matplotlib
from PIL import Image, ImageDraw, ImageFont

SCALE = 3  # drawn larger by this factor
Box = tuple[float, float, float, float]  # left, top, right, bottom
Color = tuple[int, int, int]

COLORS: dict[str, Color] = {
    "red": (215, 35, 35),
    "green": (35, 150, 55),
    "blue": (40, 80, 215),
    "yellow": (245, 210, 30),
    "orange": (245, 135, 25),
    "purple": (130, 50, 175),
    "black": (20, 20, 20),
    "brown": (125, 75, 35),
}
_PAPERS: tuple[Color, ...] = ((255, 255, 255), (245, 240, 225), (225, 235, 245), (220, 220, 220))
SHAPES = ("circle", "square", "triangle", "star")
_FONTS = (
    *("DejaVuSans", "DejaVuSans-Bold", "DejaVuSans-Oblique", "DejaVuSerif", "DejaVuSerif-Bold"),
    *("DejaVuSansMono", "DejaVuSansMono-Bold", "STIXGeneral", "STIXGeneralBol"),
)


@cache
def font(name: str, size: int) -> ImageFont.FreeTypeFont:
    folder = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
    return ImageFont.truetype(str(folder / f"{name}.ttf"), size)


def shade(rng: Random, color: str) -> Color:
    """A colour that still deserves its name."""
    red, green, blue = (min(255, max(0, c + rng.randint(-18, 18))) for c in COLORS[color])
    return red, green, blue


@dataclass
class Canvas:
    """A sheet of paper. Coordinates are in pixels of the finished picture."""

    width: int
    height: int
    paper: Color

    def __post_init__(self) -> None:
        self._image = Image.new("RGB", (self.width * SCALE, self.height * SCALE), self.paper)
        self._draw = ImageDraw.Draw(self._image)

    @classmethod
    def new(cls, rng: Random) -> Canvas:
        """A sheet of any size that is used, near a square."""
        sides = [rng.randint(96, 224)]
        sides.append(round(sides[0] * rng.uniform(0.8, 1.25)))
        return cls(sides[0], sides[1], rng.choice(_PAPERS))

    def picture(self) -> Image.Image:
        return self._image.resize((self.width, self.height), Image.Resampling.LANCZOS)

    def shape(self, kind: str, box: Box, color: Color) -> None:
        left, top, right, bottom = (value * SCALE for value in box)
        if kind == "circle":
            self._draw.ellipse((left, top, right, bottom), fill=color)
        elif kind == "square":
            self._draw.rectangle((left, top, right, bottom), fill=color)
        elif kind == "triangle":
            points = [((left + right) / 2, top), (right, bottom), (left, bottom)]
            self._draw.polygon(points, fill=color)
        else:
            self._draw.polygon(_star(left, top, right, bottom), fill=color)

    def bar(self, box: Box, color: Color) -> None:
        self._draw.rectangle(tuple(value * SCALE for value in box), fill=color)

    def text(self, rng: Random, words: str, color: Color) -> None:
        """Write `words` anywhere on the sheet, as large as they fit or a little smaller."""
        name = rng.choice(_FONTS)
        width, height = self.width * SCALE, self.height * SCALE
        left, top, right, bottom = font(name, 100).getbbox(words)
        largest = min(0.92 * width / (right - left), 0.6 * height / (bottom - top))
        size = max(8, int(100 * largest * rng.uniform(0.75, 1.0)))
        left, top, right, bottom = font(name, size).getbbox(words)
        x = rng.uniform(0.02 * width, max(0.02 * width, 0.98 * width - (right - left))) - left
        y = rng.uniform(0.02 * height, max(0.02 * height, 0.98 * height - (bottom - top))) - top
        self._draw.text((x, y), words, font=font(name, size), fill=color)


def _star(left: float, top: float, right: float, bottom: float) -> list[tuple[float, float]]:
    x, y, outer = (left + right) / 2, (top + bottom) / 2, (right - left) / 2
    corners = []
    for i in range(10):
        radius = outer if i % 2 == 0 else outer * 0.42
        angle = math.pi * (i / 5 - 0.5)
        corners.append((x + radius * math.cos(angle), y + radius * math.sin(angle)))
    return corners
