"""Arbitrary shapes of skin and of other places, laid on a picture: what photographs are full of and
a network takes for its subject until it has seen that neither colour nor edges make one.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from bootstrap.training.subjects import Subject
from runtime.roi import Roi, warp_crop

Image = NDArray[np.uint8]

MOST_PIECES = 8
"""Shapes on a landmark network's negative."""
_LARGEST = 0.5
_SKIN_SHARE = 0.6
_SIDE_OF_SKIN, _SIDE_OF_PLACE = (0.03, 0.12), (0.1, 0.5)
"""Of what is magnified into a shape: over the subject's crop, so small that it has no form of its
own, and over the negative."""
_DARKEST = 0.45


def strewn(crop: Image, image: Image, subject: Subject, rng: np.random.Generator) -> Image:
    """A copy of a crop with shapes of its own or skin's colours, shaded as round things are.

    Args:
        crop: (S, S, 3) uint8 without the subject.
        image: (H, W, 3) uint8 that it is of.
        subject: in that picture; may be none, which has no skin to show.
        rng: all chance comes from here.
    """
    result = crop.copy()
    known = subject.keypoints_px[subject.weight > 0]
    size = crop.shape[0]
    for _ in range(int(rng.integers(1, MOST_PIECES + 1))):
        mask = shape_mask(size, rng, _LARGEST)
        rect = cv2.boundingRect(mask)
        if rect[2] * rect[3] == 0:
            continue
        skin = len(known) > 0 and rng.random() < _SKIN_SHARE
        if skin:
            centre = known[int(rng.integers(len(known)))]
            side = subject.roi.width * rng.uniform(*_SIDE_OF_SKIN)
        else:
            centre = rng.uniform(0, size, 2)
            side = size * rng.uniform(*_SIDE_OF_PLACE)
        roi = Roi(float(centre[0]), float(centre[1]), side, side, rng.uniform(-math.pi, math.pi))
        texture = _shaded(warp_crop(image if skin else crop, roi, rect[2], rect[3]), rng)
        blend(result, texture, mask, rect, rng)
    return result


def _shaded(picture: Image, rng: np.random.Generator) -> Image:
    """Darker toward one side."""
    height, width = picture.shape[:2]
    angle = rng.uniform(-math.pi, math.pi)
    x, y = np.linspace(-1, 1, width), np.linspace(-1, 1, height)[:, None]
    along = (math.cos(angle) * x + math.sin(angle) * y) / math.sqrt(2)
    light = 1 - (1 - rng.uniform(_DARKEST, 1.0)) * (along + 1) / 2
    return (picture * light[..., None]).astype(np.uint8)


def shape_mask(size: int, rng: np.random.Generator, most: float) -> Image:
    """(S, S) uint8 coverage of an ellipse or a polygon, hard or soft, its radius up to that part
    of the input's side."""
    mask = np.zeros((size, size), dtype=np.uint8)
    centre = rng.uniform(0, size, 2)
    radius = size * math.exp(rng.uniform(math.log(0.03), math.log(most)))
    if rng.random() < 0.4:
        axes = radius * np.array([1.0, rng.uniform(0.2, 1.0)])
        box = (tuple(map(float, centre)), tuple(map(float, 2 * axes)), rng.uniform(0, 180.0))
        cv2.ellipse(mask, box, 255, -1, cv2.LINE_AA)
    else:
        corners = np.sort(rng.uniform(0, 2 * math.pi, int(rng.integers(3, 9))))
        reach = radius * rng.uniform(0.4, 1.0, len(corners))
        outline = centre + np.stack([np.cos(corners), np.sin(corners)], axis=1) * reach[:, None]
        cv2.fillPoly(mask, [outline.astype(np.int32)], 255, cv2.LINE_AA)
    if rng.random() < 0.5:
        mask = cv2.GaussianBlur(mask, (0, 0), rng.uniform(0.5, 3.0))
    return mask


def blend(
    canvas: Image,
    picture: Image,
    cover: Image,
    rect: Sequence[int],
    rng: np.random.Generator,
) -> None:
    """Lay a picture over a part of the canvas, its mean colour part of the way to the canvas's.

    Args:
        canvas: (S, S, 3) uint8, changed in place.
        picture: (h, w, 3) uint8.
        cover: (S, S) uint8 coverage.
        rect: x, y, w, h of the part.
        rng: all chance comes from here.
    """
    x, y, width, height = rect
    part = canvas[y : y + height, x : x + width]
    cover = cover[y : y + height, x : x + width]
    picture = np.ascontiguousarray(picture)
    there = np.array(cv2.mean(canvas[::8, ::8])[:3]) + 8.0
    here = np.array(cv2.mean(picture, cover)[:3]) + 8.0
    ratio = np.log(there / here)
    both = ratio.mean()
    gain = np.exp(rng.uniform(0, 0.6) * both + rng.uniform(0, 0.3) * (ratio - both))
    levels = np.arange(256)[:, None] * np.clip(gain, 0.4, 2.5) + 0.5
    lit = cv2.LUT(picture, np.clip(levels, 0, 255).astype(np.uint8)[None])
    weight = cover * np.float32(1 / 255)
    part[:] = cv2.blendLinear(lit, np.ascontiguousarray(part), weight, 1 - weight)
