"""Boxes, curves and text, drawn as SVG or as pixels: what the graph's picture is made of."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from itertools import pairwise
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

Colour = tuple[int, int, int]
Point = tuple[float, float]
Dash = tuple[float, float] | None

_FINE = 4  # pixels are drawn so much larger and averaged; OpenCV's letters need it
_PIECES = 20  # straight pieces of a curve in pixels
_SVG_FONT = "Inter, 'Segoe UI', 'Helvetica Neue', Arial, sans-serif"
_SHIFT = 4


@dataclass(frozen=True)
class Box:
    """A rectangle with round corners; (x, y) is its upper left."""

    x: float
    y: float
    width: float
    height: float
    radius: float
    fill: Colour
    edge: Colour | None = None
    edge_width: float = 1.0


@dataclass(frozen=True)
class Curve:
    """Cubic Bezier pieces joined end to end: 1 + 3n points; lines where controls lie on ends."""

    points: tuple[Point, ...]
    colour: Colour
    width: float
    dash: Dash = None


@dataclass(frozen=True)
class Arrow:
    """An arrow's head that points right, its tip at (x, y)."""

    x: float
    y: float
    colour: Colour
    size: float = 7.0


@dataclass(frozen=True)
class Text:
    """A line of text; (x, y) is where its baseline begins, lies in the middle or ends."""

    x: float
    y: float
    content: str
    size: float
    colour: Colour
    bold: bool = False
    anchor: Literal["start", "middle", "end"] = "start"


Shape = Box | Curve | Arrow | Text


def text_width(content: str, size: float, bold: bool = False) -> float:
    """Pixels that a text takes, in the wider of the two ways of drawing it."""
    letters = sum(0.34 if letter in "iljt.,:'|! f" else 0.60 for letter in content) * size
    return max(letters * (1.06 if bold else 1.0), _raster_width(content, size, bold))


def as_svg(shapes: Sequence[Shape], width: float, height: float, ground: Colour) -> str:
    """The shapes as an SVG document."""
    body = "\n".join(_svg(shape) for shape in shapes)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height:.0f}" '
        f'width="{width:.0f}" height="{height:.0f}" font-family="{_SVG_FONT}">\n'
        f'<rect width="100%" height="100%" fill="{_hex(ground)}"/>\n{body}\n</svg>\n'
    )


def as_pixels(
    shapes: Sequence[Shape], width: float, height: float, ground: Colour, scale: float = 2.0
) -> NDArray[np.uint8]:
    """The shapes as an (H, W, 3) uint8 RGB picture, `scale` pixels for each unit."""
    fine = scale * _FINE
    size = (math.ceil(height * scale) * _FINE, math.ceil(width * scale) * _FINE, 3)
    canvas = np.full(size, ground, dtype=np.uint8)
    for shape in shapes:
        _paint(canvas, shape, fine)
    smaller = (size[1] // _FINE, size[0] // _FINE)
    return cv2.resize(canvas, smaller, interpolation=cv2.INTER_AREA)


def _svg(shape: Shape) -> str:
    if isinstance(shape, Box):
        edge = ""
        if shape.edge is not None:
            edge = f' stroke="{_hex(shape.edge)}" stroke-width="{shape.edge_width:g}"'
        return (
            f'<rect x="{shape.x:.1f}" y="{shape.y:.1f}" width="{shape.width:.1f}" '
            f'height="{shape.height:.1f}" rx="{shape.radius:g}" fill="{_hex(shape.fill)}"{edge}/>'
        )
    if isinstance(shape, Curve):
        start, *rest = (f"{x:.1f} {y:.1f}" for x, y in shape.points)
        pieces = " ".join(
            f"C {', '.join(rest[at : at + 3])}" for at in range(0, len(rest), 3)
        )  # fmt: skip
        dash = f' stroke-dasharray="{shape.dash[0]:g} {shape.dash[1]:g}"' if shape.dash else ""
        return (
            f'<path d="M {start} {pieces}" fill="none" stroke="{_hex(shape.colour)}" '
            f'stroke-width="{shape.width:g}" stroke-linecap="round"{dash}/>'
        )
    if isinstance(shape, Arrow):
        corners = " ".join(f"{x:.1f},{y:.1f}" for x, y in _corners(shape))
        return f'<polygon points="{corners}" fill="{_hex(shape.colour)}"/>'
    weight = ' font-weight="600"' if shape.bold else ""
    return (
        f'<text x="{shape.x:.1f}" y="{shape.y:.1f}" font-size="{shape.size:g}"{weight} '
        f'text-anchor="{shape.anchor}" fill="{_hex(shape.colour)}">{escape(shape.content)}</text>'
    )


def _paint(canvas: NDArray[np.uint8], shape: Shape, fine: float) -> None:
    if isinstance(shape, Box):
        _paint_box(canvas, shape, fine)
    elif isinstance(shape, Curve):
        for line in _dashed(_flattened(shape.points), shape.dash):
            width = max(1, round(shape.width * fine))
            cv2.polylines(
                canvas, [_fixed(line, fine)], False, shape.colour, width, cv2.LINE_AA, _SHIFT
            )
    elif isinstance(shape, Arrow):
        cv2.fillPoly(canvas, [_fixed(_corners(shape), fine)], shape.colour, cv2.LINE_AA, _SHIFT)
    else:
        _paint_text(canvas, shape, fine)


def _paint_box(canvas: NDArray[np.uint8], box: Box, fine: float) -> None:
    x1, y1, radius = box.x + box.width, box.y + box.height, min(box.radius, box.height / 2)
    corners = (
        (x1 - radius, box.y + radius, -90), (x1 - radius, y1 - radius, 0),
        (box.x + radius, y1 - radius, 90), (box.x + radius, box.y + radius, 180),
    )  # fmt: skip
    outline = [
        (x + radius * math.cos(math.radians(turn)), y + radius * math.sin(math.radians(turn)))
        for x, y, start in corners
        for turn in range(start, start + 91, 6)
    ]
    placed = [_fixed(outline, fine)]
    cv2.fillPoly(canvas, placed, box.fill, cv2.LINE_AA, _SHIFT)
    if box.edge is not None:
        width = max(1, round(box.edge_width * fine))
        cv2.polylines(canvas, placed, True, box.edge, width, cv2.LINE_AA, _SHIFT)


def _paint_text(canvas: NDArray[np.uint8], text: Text, fine: float) -> None:
    width = _raster_width(text.content, text.size, text.bold)
    x = text.x - {"start": 0.0, "middle": width / 2, "end": width}[text.anchor]
    scale, thick = _letters(text.size * fine, text.bold)
    place = (round(x * fine), round(text.y * fine))
    cv2.putText(
        canvas, text.content, place, cv2.FONT_HERSHEY_SIMPLEX, scale, text.colour, thick,
        cv2.LINE_AA,
    )  # fmt: skip


def _letters(size_px: float, bold: bool) -> tuple[float, int]:
    # A Hershey capital is 21 units high; in other fonts it takes 0.72 of the size.
    return 0.70 * size_px / 21.0, max(1, round(size_px * (0.115 if bold else 0.075)))


def _raster_width(content: str, size: float, bold: bool) -> float:
    scale, thick = _letters(100.0, bold)
    (width, _), _ = cv2.getTextSize(content, cv2.FONT_HERSHEY_SIMPLEX, scale, thick)
    return width * size / 100.0


def _flattened(points: Sequence[Point]) -> list[Point]:
    line = [points[0]]
    for at in range(0, len(points) - 1, 3):
        controls = np.array(points[at : at + 4])
        for step in range(1, _PIECES + 1):
            t = step / _PIECES
            weights = np.array([(1 - t) ** 3, 3 * t * (1 - t) ** 2, 3 * t * t * (1 - t), t**3])
            x, y = weights @ controls
            line.append((float(x), float(y)))
    return line


def _dashed(line: Sequence[Point], dash: Dash) -> list[list[Point]]:
    """A line cut into its dashes."""
    if dash is None:
        return [list(line)]
    pieces: list[list[Point]] = []
    drawn, left, piece = True, dash[0], [line[0]]
    for (x0, y0), (x1, y1) in pairwise(line):
        length, along = math.hypot(x1 - x0, y1 - y0), 0.0
        while length - along > left:
            along += left
            corner = (x0 + (x1 - x0) * along / length, y0 + (y1 - y0) * along / length)
            if drawn:
                pieces.append([*piece, corner])
            drawn = not drawn
            left, piece = dash[0 if drawn else 1], [corner]
        left -= length - along
        piece.append((x1, y1))
    return [*pieces, piece] if drawn else pieces


def _corners(arrow: Arrow) -> list[Point]:
    back, half = arrow.x - arrow.size * 1.2, arrow.size / 2
    return [(arrow.x, arrow.y), (back, arrow.y - half), (back, arrow.y + half)]


def _fixed(points: Sequence[Point], fine: float) -> NDArray[np.int32]:
    return np.rint(np.array(points) * fine * (1 << _SHIFT)).astype(np.int32)


def _hex(colour: Colour) -> str:
    return "#{:02x}{:02x}{:02x}".format(*colour)
