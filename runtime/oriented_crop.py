"""The oriented crop of live use: `runtime.roi.warp_crop`, scaled and written into a model's input.

Where a C compiler was there at installation and the processor has AVX2, `crop.c` does it in one
pass and half the time; else, and for what that doesn't take, OpenCV does. The values are the same
to the last bit: what is installed has to show it once a process, before its first use.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from runtime.model import Model, PixelScale
from runtime.roi import Border, Roi, warp_crop

try:
    from runtime import _crop
except ImportError:  # installed without a compiler
    _crop = None  # type: ignore[assignment]

OnePass = Callable[
    [NDArray[np.uint8], tuple[float, float, float, float, float], NDArray[np.float32], bool, float],
    bool,
]
# A turned one, one of whole pixels that reaches over the edge, a magnified and a far one.
_TRIED = (
    Roi(30.3, 25.6, 41.7, 40.2, 0.7), Roi(40.0, 30.0, 64.0, 64.0), Roi(20.1, 20.9, 7.3, 9.1, -2.5),
    Roi(-400.0, 90.0, 60.0, 60.0, 1.0),
)  # fmt: skip


class OrientedCrop:
    """Crops of one size, as a model wants them.

    Args:
        width, height: of the crop.
        border: outside the image, repeat its edge or take black.
        scale: to the model's range.
    """

    def __init__(self, width: int, height: int, border: Border, scale: PixelScale) -> None:
        self._border = border
        self._scale = scale
        self._crop = np.zeros((height, width, 3), dtype=np.uint8)
        self._one_pass = None if scale.factor is None else one_pass_crop()

    def fill(self, model: Model, image: NDArray[np.uint8], roi: Roi) -> None:
        """Write a region into the model's first input.

        Args:
            model: whose first input is (1, height, width, 3).
            image: (H, W, 3) uint8.
            roi: in the image's pixels.
        """
        if self._one_pass is not None:
            region = (roi.cx, roi.cy, roi.width, roi.height, roi.rotation_rad)
            out, factor = model.picture_input(), self._scale.factor
            if self._one_pass(image, region, out, self._border == "zero", factor):  # type: ignore[arg-type]
                return
        height, width = self._crop.shape[:2]
        warp_crop(image, roi, width, height, self._border, out=self._crop)
        model.fill(self._crop, self._scale)


@lru_cache(maxsize=1)
def one_pass_crop() -> OnePass | None:
    """`crop.c`'s, where it was compiled, runs here and agrees with this OpenCV; else None."""
    if _crop is None or not _crop.available():
        return None
    image = (np.arange(60 * 80 * 3) * 7919 % 251).astype(np.uint8).reshape(60, 80, 3)
    scale = PixelScale(0, 1)
    assert scale.factor is not None
    for border in ("replicate", "zero"):
        for roi in _TRIED:
            wanted, given = (np.zeros((32, 48, 3), dtype=np.float32) for _ in range(2))
            scale.write(warp_crop(image, roi, 48, 32, border), wanted)
            region = (roi.cx, roi.cy, roi.width, roi.height, roi.rotation_rad)
            if not _crop.crop_into(image, region, given, border == "zero", scale.factor):
                return None
            if given.tobytes() != wanted.tobytes():
                return None
    return _crop.crop_into
