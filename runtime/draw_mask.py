"""Masks laid over a picture: what isn't the subject steps back, or the subject is tinted."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from runtime.draw_strokes import DARK, Colour, Picture

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
    far = cv2.LUT(cv2.merge([grey] * 3), np.rint(ramp).astype(np.uint8)[None])
    inside = np.clip(mask, 0, 1).astype(np.float32)
    cv2.blendLinear(picture, far, inside, 1 - inside, dst=picture)


def tint_inside(picture: Picture, mask: NDArray[np.float32], colour: Colour) -> None:
    """Tint what is inside the mask, in place."""
    weight = np.clip(mask, 0, 1).astype(np.float32) * np.float32(_TINT)
    flat = np.empty_like(picture)
    flat[:] = colour
    cv2.blendLinear(picture, flat, 1 - weight, weight, dst=picture)


def outline(picture: Picture, mask: NDArray[np.float32], colour: Colour, width: int) -> None:
    """Draw the line at which the mask is one half, in place."""
    # Twice the size, so that the line between pixels is where the values say and has no steps.
    height, wide = mask.shape
    fine = cv2.resize(mask, (2 * wide, 2 * height), interpolation=cv2.INTER_LINEAR)
    lines, _ = cv2.findContours(
        (fine > 0.5).astype(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE
    )
    # A fine pixel's centre is at a quarter of a pixel; shift 3 counts eighths.
    placed = [line * 4 - 2 for line in lines if len(line) > 8]
    for own, thick in ((DARK, width + 2), (colour, width)):
        cv2.polylines(picture, placed, True, own, thick, cv2.LINE_AA, 3)
