"""The same crop of pictures of one size, again and again: its coordinates are worked out once.

`cv2.warpPerspective` spends two fifths of its time on coordinates. A detector's letterbox is the
same for every picture of a stream, so here they are computed once, just as OpenCV does it, and
every picture goes through `cv2.remap` alone: the same bytes as from `runtime.roi.warp_crop`.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from runtime.model import Model, PixelScale
from runtime.oriented_crop import one_pass_crop
from runtime.roi import BORDER_MODES, MOST_READ_AHEAD, Border, Roi, crop_corners

_STEPS = 32  # of a pixel, in OpenCV's interpolation
_DENSE = 3.0  # picture pixels a crop pixel, up to which most of the picture is read
_INT_RANGE = (-(2.0**31), 2.0**31 - 1)


class FixedCrop:
    """`warp_crop` of one region into a buffer of its own.

    Args:
        roi: in the pictures' pixels.
        width, height: of the crop.
        border: outside the picture, repeat its edge or take black.
    """

    def __init__(self, roi: Roi, width: int, height: int, border: Border) -> None:
        crop_from_roi = cv2.getPerspectiveTransform(roi.corners(), crop_corners(width, height))
        self._pixels, part = _coordinates(cv2.invert(crop_from_roi)[1], width, height)
        # Where every sample is a pixel itself there is nothing to interpolate.
        self._parts = part if part.any() else None
        self._interpolation = cv2.INTER_NEAREST if self._parts is None else cv2.INTER_LINEAR
        self._border = BORDER_MODES[border]
        self._region = (roi.cx, roi.cy, roi.width, roi.height, roi.rotation_rad)
        self._crop = np.zeros((height, width, 3), dtype=np.uint8)
        self._dense = roi.width <= _DENSE * width and roi.height <= _DENSE * height

    def fill(self, model: Model, image: NDArray[np.uint8], scale: PixelScale) -> None:
        """Write the crop into a model's first input, in one pass where there is one.

        Args:
            model: whose first input is (1, height, width, 3).
            image: (H, W, 3) uint8.
            scale: to the model's range.
        """
        one_pass = one_pass_crop()
        if scale.factor is not None and one_pass is not None:
            zero = self._border == BORDER_MODES["zero"]
            if one_pass(image, self._region, model.picture_input(), zero, scale.factor):
                return
        model.fill(self(image), scale)

    def __call__(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """The (height, width, 3) crop of an (H, W, 3) picture, in a buffer that is used again."""
        if self._dense and image.size < MOST_READ_AHEAD:
            cv2.norm(image, cv2.NORM_INF)  # brings it into the CPU's cache, see `warp_crop`
        return cv2.remap(
            image, self._pixels, self._parts, self._interpolation, dst=self._crop,
            borderMode=self._border,
        )  # fmt: skip


def _coordinates(
    roi_from_crop: NDArray[np.float64], width: int, height: int
) -> tuple[NDArray[np.int16], NDArray[np.uint16]]:
    """Where `cv2.warpPerspective` samples, in the form that `cv2.remap` takes.

    Returns:
        (height, width, 2) pixels' x and y, and (height, width) the parts of a pixel beyond them,
        y * 32 + x in 32nds.
    """
    # OpenCV works in blocks: coordinates run from a block's start, which rounds differently.
    block = min(1024 // min(16, height), width)
    m = roi_from_crop
    column = np.arange(width)
    start, within = (
        (column // block * block).astype(np.float64),
        (column % block).astype(np.float64),
    )
    row = np.arange(height, dtype=np.float64)[:, None]

    def along(axis: int) -> NDArray[np.float64]:
        return m[axis, 0] * start + m[axis, 1] * row + m[axis, 2] + m[axis, 0] * within

    weight = along(2)
    scale = np.divide(_STEPS, weight, out=np.zeros_like(weight), where=weight != 0)
    x, y = (np.rint(np.clip(along(axis) * scale, *_INT_RANGE)).astype(np.int64) for axis in (0, 1))
    pixels = np.clip(np.stack([x >> 5, y >> 5], axis=2), -(2**15), 2**15 - 1)
    return pixels.astype(np.int16), ((y & 31) * 32 + (x & 31)).astype(np.uint16)
