"""Axes for small line charts: errors by minutes."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

from numpy.typing import NDArray

from runtime.graph.canvas import Colour, Curve, Shape, Text, as_pixels

WIDTH, HEIGHT = 760.0, 400.0
LEFT, RIGHT, TOP, BOTTOM = 70.0, 24.0, 56.0, 64.0
GROUND, INK, FAINT, MARK = (255, 255, 255), (40, 44, 52), (205, 210, 218), (0, 114, 178)
_ROOM = 120.0  # for the last point's words

Point = tuple[float, float]


@dataclass(frozen=True)
class Axes:
    """From 0 to `most_x` minutes and `most_y` percent."""

    most_x: float
    most_y: float

    def at(self, minutes: float, percent: float) -> Point:
        """Place in the picture."""
        across = LEFT + 20 + minutes / self.most_x * (WIDTH - LEFT - RIGHT - _ROOM + 20)
        return across, HEIGHT - BOTTOM - percent / self.most_y * (HEIGHT - TOP - BOTTOM)

    def frame(self, title: str) -> list[Shape]:
        """Title, lines at quarters of the height, what goes across."""
        shapes: list[Shape] = [Text(LEFT, 30, title, 16, INK, bold=True)]
        for step in range(5):
            value = self.most_y * step / 4
            y = self.at(0, value)[1]
            shapes.append(straight((LEFT, y), (WIDTH - RIGHT, y), FAINT, 1.0))
            shapes.append(Text(LEFT - 8, y + 4, f"{value:.1f} %", 11, INK, anchor="end"))
        middle = (LEFT + WIDTH - RIGHT) / 2
        shapes.append(Text(middle, HEIGHT - 16, "minutes", 12, INK, anchor="middle"))
        return shapes


def straight(a: Point, b: Point, colour: Colour, width: float) -> Curve:
    """A straight one."""
    return Curve((a, a, b, b), colour, width)


def path(points: Sequence[Point], colour: Colour, width: float) -> list[Shape]:
    """Lines from one to the next."""
    return [straight(a, b, colour, width) for a, b in itertools.pairwise(points)]


def pixels(shapes: Sequence[Shape]) -> NDArray:
    """(H, W, 3) uint8 RGB."""
    return as_pixels(shapes, WIDTH, HEIGHT, GROUND)
