"""OpenCV 4's fixed-point bilinear `warpPerspective`, written again in NumPy.

The oracle for `runtime.roi.warp_crop`: coordinates to 1/32 pixel (rounded half to even), weights as
16-bit integers that sum to 2^15, the result rounded by adding half. Facts read from OpenCV 4.x,
modules/imgproc/src/imgwarp.cpp (INTER_BITS 5, INTER_REMAP_COEF_BITS 15).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_SUBPIXELS = 32
_WEIGHT_ONE = 1 << 15


def perspective_from_corners(
    source: NDArray[np.float64], target: NDArray[np.float64]
) -> NDArray[np.float64]:
    """(3, 3) matrix that takes 4 source points onto 4 target points, its last entry 1."""
    rows, right = [], []
    for (x, y), (u, v) in zip(source, target):
        rows += [[x, y, 1, 0, 0, 0, -x * u, -y * u], [0, 0, 0, x, y, 1, -x * v, -y * v]]
        right += [u, v]
    solved = np.linalg.solve(np.array(rows, dtype=np.float64), np.array(right, dtype=np.float64))
    return np.append(solved, 1.0).reshape(3, 3)


def warp_perspective(
    image: NDArray[np.uint8],
    target_from_source: NDArray[np.float64],
    width: int,
    height: int,
    replicate: bool,
) -> NDArray[np.uint8]:
    """The warped (height, width, C) picture; outside the source its edge, or black."""
    inverse = np.linalg.inv(target_from_source)
    x, y = np.meshgrid(np.arange(width), np.arange(height))
    source = np.einsum("ij,jhw->ihw", inverse, np.stack([x, y, np.ones_like(x)]).astype(float))
    fixed = np.rint(source[:2] / source[2] * _SUBPIXELS).astype(np.int64)
    (left, top), (part_x, part_y) = fixed >> 5, fixed & 31
    total = np.full((height, width, image.shape[2]), _WEIGHT_ONE // 2, dtype=np.int64)
    for down in (0, 1):
        for right in (0, 1):
            weight_x = part_x if right else _SUBPIXELS - part_x
            weight_y = part_y if down else _SUBPIXELS - part_y
            taps = _taps(image, left + right, top + down, replicate)
            total += (weight_x * weight_y * _SUBPIXELS)[..., None] * taps
    return (total >> 15).astype(np.uint8)


def _taps(
    image: NDArray[np.uint8], x: NDArray[np.int64], y: NDArray[np.int64], replicate: bool
) -> NDArray[np.int64]:
    height, width = image.shape[:2]
    inside = (x >= 0) & (x < width) & (y >= 0) & (y < height)
    taps = image[np.clip(y, 0, height - 1), np.clip(x, 0, width - 1)].astype(np.int64)
    return taps if replicate else taps * inside[..., None]
