"""Lines, discs and words that are readable on light, dark and busy ground.

Every line is drawn twice, wide and dark, then narrow and bright; words stand on a dark plate.
Positions are continuous pixels: the origin is the top-left corner of the top-left pixel.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TypeAlias

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

Picture: TypeAlias = NDArray[np.uint8]
Colour: TypeAlias = tuple[int, int, int]
Points: TypeAlias = NDArray[np.float32]

DARK: Colour = (18, 22, 30)
WHITE: Colour = (250, 250, 250)
DIM: Colour = (178, 188, 200)
RIGHT: Colour = (255, 176, 46)
"""The person's right side is warm, the left side cool."""
LEFT: Colour = (72, 202, 255)

_SHIFT = 4  # OpenCV draws at 1/16 pixel
_FONT = cv2.FONT_HERSHEY_SIMPLEX
_LETTER_SCALE = 0.45
_PLATE_OPACITY = 0.66


def fixed(points_px: ArrayLike) -> NDArray[np.int32]:
    """OpenCV's fixed-point pixels, whose whole numbers are pixel centres."""
    limited = np.clip(np.nan_to_num(np.asarray(points_px, dtype=np.float32)), -30000, 30000)
    return np.rint((limited - 0.5) * (1 << _SHIFT)).astype(np.int32)


def draw_lines(
    picture: Picture,
    lines: Iterable[tuple[Points, bool, Colour]],
    width: int,
    outlined: bool = True,
) -> None:
    """Draw (points_px, closed, colour) lines in place, all outlines beneath all lines."""
    placed = [(fixed(points), closed, colour) for points, closed, colour in lines]
    if outlined:
        for line, closed, _ in placed:
            cv2.polylines(picture, [line], closed, DARK, width + 2, cv2.LINE_AA, _SHIFT)
    for line, closed, colour in placed:
        cv2.polylines(picture, [line], closed, colour, width, cv2.LINE_AA, _SHIFT)


def draw_discs(
    picture: Picture,
    points_px: ArrayLike,
    colours: Iterable[Colour],
    radius: float,
    cored: bool = False,
) -> None:
    """Draw discs with a dark rim in place; `cored` ones, if large, have a white middle."""
    size = round(radius * (1 << _SHIFT))
    for (x, y), colour in zip(fixed(points_px).tolist(), colours):
        cv2.circle(picture, (x, y), size + (1 << _SHIFT), DARK, -1, cv2.LINE_AA, _SHIFT)
        cv2.circle(picture, (x, y), size, colour, -1, cv2.LINE_AA, _SHIFT)
        if cored and radius >= 5:
            cv2.circle(picture, (x, y), size // 2, WHITE, -1, cv2.LINE_AA, _SHIFT)


def fill(picture: Picture, corners_px: ArrayLike, colour: Colour, opacity: float) -> None:
    """Lay a transparent convex polygon over the picture, in place."""
    corners = np.asarray(corners_px, dtype=np.float32)
    region, low = region_around(picture, corners, 1)
    if region.size == 0:
        return
    layer = region.copy()
    cv2.fillConvexPoly(layer, fixed(corners - low), colour, cv2.LINE_AA, _SHIFT)
    cv2.addWeighted(layer, opacity, region, 1 - opacity, 0, dst=region)


def region_around(
    picture: Picture, points_px: Points, margin: int
) -> tuple[Picture, NDArray[np.float32]]:
    """The part of the picture around points, as a view, and where its corner is; may be empty."""
    known = np.clip(np.nan_to_num(points_px), -30000, 30000)
    low = np.clip(np.floor(known.min(axis=0)) - margin, 0, None).astype(int)
    high = np.clip(np.ceil(known.max(axis=0)) + margin + 1, 0, None).astype(int)
    return picture[low[1] : high[1], low[0] : high[0]], low.astype(np.float32)


def scale_of(picture: Picture) -> float:
    """How large words are, so that they are read as well in a photograph as in a clip."""
    return min(3.0, max(0.9, min(picture.shape[:2]) / 700))


def text_width(text: str, size: float) -> int:
    """Of a line in pixels."""
    return cv2.getTextSize(text.replace("±", "+"), _FONT, _LETTER_SCALE * size, _weight(size))[0][0]


def draw_text(picture: Picture, text: str, left: float, bottom: float, size: float = 1.0) -> None:
    """Write a line with a dark rim in place, its lower left corner at that point; kept inside.

    Args:
        picture: (H, W, 3) uint8.
        text: ASCII and ±.
        left, bottom: in pixels.
        size: 1 gives letters about 10 pixels high.
    """
    height = round(10 * size)
    x = int(min(max(left, 3), max(3, picture.shape[1] - text_width(text, size) - 3)))
    y = int(min(max(bottom, height + 3), picture.shape[0] - 5))
    rim = max(2, round(2 * size))
    draw_words(picture, text, x, y, size, DARK, rim)
    draw_words(picture, text, x, y, size, WHITE)


def label_size(words: Sequence[str], size: float, barred: bool = False) -> tuple[int, int]:
    """Width and height of a label's plate in pixels; `barred` with an accent."""
    pad, gap, bar = round(6 * size), round(7 * size), round(3 * size) if barred else 0
    widths = sum(text_width(text, size) for text in words)
    return widths + gap * (len(words) - 1) + 2 * pad + bar, round(21 * size)


def draw_label(
    picture: Picture,
    words: Sequence[tuple[str, Colour]],
    left: float,
    bottom: float,
    size: float,
    accent: Colour | None = None,
) -> tuple[int, int, int, int]:
    """Write words in their colours on a dark plate, in place and kept inside.

    Args:
        picture: (H, W, 3) uint8.
        words: text (ASCII and ±) and colour.
        left, bottom: where the plate's lower left corner is to be, in pixels.
        size: 1 gives letters about 10 pixels high.
        accent: colour of the bar at the plate's left end.

    Returns:
        The plate's x, y, width, height.
    """
    width, height = label_size([text for text, _ in words], size, accent is not None)
    x = int(min(max(left, 0), max(0, picture.shape[1] - width)))
    y = int(min(max(bottom - height, 0), max(0, picture.shape[0] - height)))
    plate(picture, x, y, width, height)
    bar = round(3 * size) if accent else 0
    if accent:
        cv2.rectangle(picture, (x, y), (x + bar - 1, y + height - 1), accent, -1)
    at = x + round(6 * size) + bar
    for text, colour in words:
        draw_words(picture, text, at, y + height - round(6 * size), size, colour)
        at += text_width(text, size) + round(7 * size)
    return x, y, width, height


def plate(picture: Picture, x: int, y: int, width: int, height: int) -> None:
    """Darken a rectangle in place, so that words can be read on it."""
    region = picture[max(0, y) : y + height, max(0, x) : x + width]
    if region.size:
        dark = np.full_like(region, DARK)
        cv2.addWeighted(dark, _PLATE_OPACITY, region, 1 - _PLATE_OPACITY, 0, dst=region)


def draw_words(
    picture: Picture, text: str, x: int, y: int, size: float, colour: Colour, rim: int = 0
) -> None:
    """Write a line in place, its lower left corner there; a `rim` makes letters so much wider."""
    thick, scale = _weight(size), _LETTER_SCALE * size
    place = (x, y)
    # The font has no plus-minus: a plus, and a line beneath it.
    shown = text.replace("±", "+")
    cv2.putText(picture, shown, place, _FONT, scale, colour, thick + rim, cv2.LINE_AA)
    for index, letter in enumerate(text):
        if letter == "±":
            start = x + text_width(text[:index], size)
            end = x + text_width(text[: index + 1], size)
            inset, under = round(2 * size), y + round(size)
            cv2.line(picture, (start + inset, under), (end - inset, under), colour, thick + rim)


def _weight(size: float) -> int:
    return max(1, round(size))
