"""Masks laid over a picture: what isn't the subject steps back, or the subject is tinted."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from runtime.drawing.strokes import DARK, Colour, Picture

_TINT = 0.32
_BACKGROUND_LIGHT = np.array([0.42, 0.50, 0.64], dtype=np.float32)  # a dim, cool grey


def dim_outside(picture: Picture, mask: NDArray[np.float32]) -> None:
    """Turn everything outside the mask dim and grey, in place.

    Args:
        picture: (H, W, 3) uint8.
        mask: (H, W) 0..1.
    """
    grey = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)
    ramp = np.arange(256, dtype=np.float32)[:, None] * _BACKGROUND_LIGHT
    far = cv2.LUT(cv2.merge([grey] * 3), _table(ramp))
    _blend(far, picture, mask, dst=picture)


def tint_inside(picture: Picture, mask: NDArray[np.float32], colour: Colour) -> None:
    """Tint what is inside the mask, in place."""
    ramp = np.arange(256, dtype=np.float32)[:, None] * (1 - _TINT) + np.multiply(colour, _TINT)
    region = _region_of(mask)
    inside = picture[region]
    _blend(inside, cv2.LUT(inside, _table(ramp)), mask[region], dst=inside)


def _region_of(mask: NDArray[np.float32]) -> tuple[slice, slice]:
    """Rows and columns that hold all of the mask that can be seen."""
    x, y, width, height = cv2.boundingRect((mask > 1 / 256).astype(np.uint8))
    return slice(y, y + height), slice(x, x + width)


def _blend(outside: Picture, inside: Picture, mask: NDArray[np.float32], dst: Picture) -> None:
    if dst.size:
        weight = np.clip(mask, 0, 1, dtype=np.float32)
        dst[:] = cv2.blendLinear(inside, outside, weight, 1 - weight)


def _table(ramp: NDArray[np.float64]) -> NDArray[np.uint8]:
    """(256, 3) what each value of each channel becomes, as OpenCV's LUT takes it."""
    return np.rint(ramp).astype(np.uint8)[None]


def outline(picture: Picture, mask: NDArray[np.float32], colour: Colour, width: int) -> None:
    """Draw the line at which the mask is one half, in place."""
    # Twice the size, so that the line between pixels is where the values say and has no steps.
    height, wide = mask.shape
    fine = cv2.resize(mask, (2 * wide, 2 * height), interpolation=cv2.INTER_LINEAR)
    lines, _ = cv2.findContours(
        (fine > 0.5).astype(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE
    )
    # A fine pixel's centre is at a quarter of a pixel; shift 3 counts eighths. Fewer corners, none
    # moved by more than a third of a pixel, draw many times as fast.
    placed = [cv2.approxPolyDP(line * 4 - 2, 3, True) for line in lines if len(line) > 8]
    for own, thick in ((DARK, width + 2), (colour, width)):
        cv2.polylines(picture, placed, True, own, thick, cv2.LINE_AA, 3)
