"""What is shown beside or over a picture: coefficients as bars, the status line, the keys."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import cv2

from runtime.drawing.strokes import (
    DIM,
    LEFT,
    WHITE,
    Colour,
    Picture,
    draw_label,
    draw_words,
    label_size,
    plate,
    scale_of,
    text_width,
)

_KEY: Colour = (255, 214, 102)
_TRACK: Colour = (62, 70, 84)
_MOST_BARS = 14


def draw_bars(picture: Picture, values: Mapping[str, float]) -> None:
    """Draw the largest coefficients as bars in the lower left, in place.

    They keep the mapping's order, so that they don't jump about from frame to frame.

    Args:
        picture: (H, W, 3) uint8.
        values: name -> 0..1.
    """
    size = 0.85 * scale_of(picture)
    line = round(17 * size)
    room = max(1, (picture.shape[0] - 5 * line) // line)
    largest = sorted(values, key=lambda name: -values[name])[: min(_MOST_BARS, room)]
    names = [name for name in values if name in largest]
    if not names:
        return
    words = max(text_width(name, size) for name in names)
    bar, pad = round(80 * size), round(8 * size)
    # Low, where faces seldom are, and above the status line.
    top = max(0, picture.shape[0] - line * (len(names) + 3))
    plate(picture, 0, top - pad, words + bar + 3 * pad, line * len(names) + 2 * pad)
    for row, name in enumerate(names):
        low = top + row * line + line - round(5 * size)
        draw_words(picture, name, pad, low, size, WHITE if values[name] >= 0.1 else DIM)
        start = (2 * pad + words, low - round(8 * size))
        end = (start[0] + bar, low)
        cv2.rectangle(picture, start, end, _TRACK, -1)
        value = min(max(float(values[name]), 0.0), 1.0)
        cv2.rectangle(picture, start, (start[0] + round(bar * value), end[1]), LEFT, -1)


def place_inset(picture: Picture, inset: Picture, share: float = 0.36) -> None:
    """Put a smaller picture into the lower right corner, in place.

    Args:
        picture: (H, W, 3) uint8.
        inset: (h, w, 3) uint8.
        share: of the picture's shorter side that it takes.
    """
    height = round(share * min(picture.shape[:2]))
    width = round(inset.shape[1] * height / inset.shape[0])
    margin = round(8 * scale_of(picture))
    y, x = picture.shape[0] - height - margin, picture.shape[1] - width - margin
    if x < 0 or y < 0 or height < 1 or width < 1:
        return
    picture[y : y + height, x : x + width] = cv2.resize(
        inset, (width, height), interpolation=cv2.INTER_AREA
    )
    cv2.rectangle(picture, (x, y), (x + width - 1, y + height - 1), _TRACK, 1)


def draw_status(picture: Picture, parts: Sequence[str], message: str = "") -> None:
    """Write the status line along the lower edge, in place; a message stands above it."""
    size = 0.9 * scale_of(picture)
    height = label_size([""], size)[1]
    words = [(part, WHITE if index == 0 else DIM) for index, part in enumerate(parts)]
    draw_label(picture, words, 6, picture.shape[0] - 6, size)
    if message:
        draw_label(picture, [(message, _KEY)], 6, picture.shape[0] - 10 - height, size, _KEY)


def draw_keys(picture: Picture, keys: Sequence[tuple[str, str]]) -> None:
    """Show what keys do, in the middle of the picture, in place."""
    size = scale_of(picture)
    line, pad = round(20 * size), round(14 * size)
    first = max(text_width(key, size) for key, _ in keys)
    second = max(text_width(what, size) for _, what in keys)
    width, height = first + second + 3 * pad, line * len(keys) + 2 * pad
    x, y = (picture.shape[1] - width) // 2, (picture.shape[0] - height) // 2
    for _ in range(2):
        plate(picture, x, y, width, height)
    for row, (key, what) in enumerate(keys):
        low = y + pad + row * line + line - round(5 * size)
        draw_words(picture, key, x + pad, low, size, _KEY)
        draw_words(picture, what, x + 2 * pad + first, low, size, WHITE)
