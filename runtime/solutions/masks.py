"""Masks: from a crop into the picture, and smoothed over time.

Both as MediaPipe 0.10.14 does them on CPU (affine_transformation_runner_opencv.cc,
segmentation_smoothing_calculator.cc).
"""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from runtime.libm import cos_sin
from runtime.roi import Roi

Floats = NDArray[np.float32]
_f32 = np.float32
_HALF = _f32(0.5)

PREVIOUS_RATIO = 0.7
"""Weight of the previous mask where the new one is wholly unsure (pose_segmentation_filtering)."""

# A polynomial in (p - 1/2)^2 for 1 - H(p)^2, H being the entropy of p in bits.
_POLYNOMIAL = tuple(
    np.float32(factor) for factor in (-624.717, 291.309, -57.8051, -0.748699, 5.68842)
)
_BLOCK = 16384  # values that are worked on at a time, so that they stay in the cache

Box = tuple[int, int, int, int]
"""Left, top, right, bottom in whole pixels, the last two exclusive."""


def mask_in_image(mask: Floats, roi: Roi, width: int, height: int) -> Floats:
    """A crop's mask over the whole image, 0 outside the crop.

    Args:
        mask: (h, w) float32 over the crop.
        roi: the region of the image that the crop shows.
        width, height: of the image.

    Returns:
        (height, width) float32.
    """
    whole = np.zeros((height, width), dtype=np.float32)
    _, top, _, bottom = box_of_roi(roi, width, height)
    if top == bottom:
        return whole
    crop_from_image = _crop_from_image(roi, (width, height), mask.shape)
    # Rows without the crop are left out. OpenCV steps along a row in fixed point, so that starting
    # later in one would round differently.
    crop_from_image[:, 2] += crop_from_image[:, 1] * top
    cv2.warpAffine(
        mask, crop_from_image, (width, bottom - top), dst=whole[top:bottom],
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
    )  # fmt: skip
    return whole


def _crop_from_image(
    roi: Roi, image_size: tuple[int, int], crop_shape: tuple[int, ...]
) -> NDArray[np.float64]:
    """(2, 3) from the image's pixels to the crop's.

    In MediaPipe's float32 and order of operations (image_to_tensor_utils.cc, then the inverse by
    2 x 2 blocks, then affine_transformation_runner_opencv.cc): as OpenCV rounds places to 1/32 of
    a pixel, another last bit shows at the mask's rim.
    """
    rows, columns = crop_shape
    width, height, cx, cy = (_f32(v) for v in (roi.width, roi.height, roi.cx, roi.cy))
    cos, sin = (_f32(value) for value in cos_sin(roi.rotation_rad))
    across, down = (_f32(1) / _f32(side) for side in image_size)
    # The crop in the image, both normalised: a b shift_x, c d shift_y, and a scale of z.
    a, b = width * cos * across, -height * sin * across
    c, d = width * sin * down, height * cos * down
    shift_x = (-_HALF * width * cos + _HALF * height * sin + cx) * across
    shift_y = (-_HALF * height * cos - _HALF * width * sin + cy) * down
    z = width * across
    part = _f32(1) / ((a * d - b * c) * z)
    x, y = _f32(columns), _f32(rows)
    inverse = [
        [
            x * ((d * z) * part) * across,
            x * ((-b * z) * part) * down,
            x * ((z * (b * shift_y - d * shift_x)) * part),
        ],
        [
            y * ((-c * z) * part) * across,
            y * ((a * z) * part) * down,
            y * ((z * (c * shift_x - a * shift_y)) * part),
        ],
    ]
    return np.array(inverse, dtype=np.float64)


def box_of_roi(roi: Roi, width: int, height: int) -> Box:
    """The image's pixels that a region's mask can touch."""
    corners = roi.corners()
    # OpenCV blends the mask's border into the pixels about it, up to one of the mask's.
    border = math.ceil(max(roi.width, roi.height) / 128) + 1
    left, top = (int(value) - border for value in corners.min(axis=0).tolist())
    right, bottom = (int(value) + border + 1 for value in corners.max(axis=0).tolist())
    return (
        min(max(0, left), width), min(max(0, top), height),
        min(max(0, right), width), min(max(0, bottom), height),
    )  # fmt: skip


class MaskFilter:
    """Blends each mask with the one before, the more the less sure it is.

    Args:
        ratio: weight of the previous mask where the new one is wholly unsure, 0..1.
    """

    def __init__(self, ratio: float = PREVIOUS_RATIO) -> None:
        self._ratio = _f32(ratio)
        self._previous: Floats | None = None
        self._box: Box = (0, 0, 0, 0)
        self._weight = np.zeros(_BLOCK, dtype=np.float32)
        self._square = np.zeros(_BLOCK, dtype=np.float32)

    def smooth(self, mask: Floats, box: Box | None = None) -> None:
        """Smooth a mask in place.

        Args:
            mask: (H, W) float32 0..1, always of one size.
            box: outside it the mask is 0; None for the whole.
        """
        box = box or (0, 0, mask.shape[1], mask.shape[0])
        if self._previous is None:
            self._previous = mask.copy()
        else:
            left, top, right, bottom = _around(box, self._box)
            step = max(1, _BLOCK // max(1, right - left))
            for row in range(top, bottom, step):
                part = np.s_[row : min(row + step, bottom), left:right]
                self._blend(mask[part], self._previous[part])
        self._box = box

    def _blend(self, new: Floats, previous: Floats) -> None:
        square = self._square[: new.size].reshape(new.shape)
        weight = self._weight[: new.size].reshape(new.shape)
        np.subtract(new, _f32(0.5), out=square)
        np.multiply(square, square, out=square)
        np.multiply(square, _POLYNOMIAL[0], out=weight)
        for factor in _POLYNOMIAL[1:]:
            weight += factor
            weight *= square
        np.minimum(weight, _f32(1), out=weight)
        np.subtract(_f32(1), weight, out=weight)
        weight *= self._ratio
        np.subtract(previous, new, out=previous)
        previous *= weight
        new += previous
        previous[...] = new


def _around(a: Box, b: Box) -> Box:
    if a[0] >= a[2] or a[1] >= a[3]:
        return b
    if b[0] >= b[2] or b[1] >= b[3]:
        return a
    return min(a[0], b[0]), min(a[1], b[1]), max(a[2], b[2]), max(a[3], b[3])
