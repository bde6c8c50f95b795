"""Pictures that carry measurements: depth and segmentation, as PNG bytes and back."""

from __future__ import annotations

import struct
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from runtime.errors import ViewfinderError

DEPTH_STEP_M = 1e-4
MAX_DEPTH_M = 65535 * DEPTH_STEP_M
_MAX_PIXELS = 2**26


def encode_depth(depth_m: ArrayLike) -> bytes:
    """A 16 bit PNG in steps of 0.1 mm.

    Args:
        depth_m: (H, W) distance along the optical axis in metres. What isn't finite, positive and
            at most 6.5535 m is stored as 0: no depth.
    """
    depth = np.asarray(depth_m, dtype=np.float64)
    known = np.isfinite(depth) & (depth > 0) & (depth <= MAX_DEPTH_M + DEPTH_STEP_M / 2)
    steps = np.round(np.where(known, depth, 0.0) / DEPTH_STEP_M)
    steps = np.where(known, np.clip(steps, 1, 65535), 0).astype(np.uint16)
    return _png(steps)


def decode_depth(data: bytes, name: str = "depth.png") -> NDArray[np.float32]:
    """(H, W) metres, NaN where there is no depth.

    Raises:
        ViewfinderError: not a 16 bit grey PNG, damaged, or too large.
    """
    steps = _decode_png(data, name, np.uint16)
    depth = steps.astype(np.float32) * np.float32(DEPTH_STEP_M)
    depth[steps == 0] = np.nan
    return depth


def encode_segmentation(class_ids: ArrayLike) -> bytes:
    """An 8 bit PNG of (H, W) class ids, whose names stand in dataset.json."""
    ids = np.asarray(class_ids)
    if ids.min(initial=0) < 0 or ids.max(initial=0) > 255:
        raise ViewfinderError("class ids must be 0..255", field="seg.png", found=int(ids.max()))
    return _png(ids.astype(np.uint8))


def decode_segmentation(data: bytes, name: str = "seg.png") -> NDArray[np.uint8]:
    """(H, W) class ids.

    Raises:
        ViewfinderError: not an 8 bit grey PNG, damaged, or too large.
    """
    return _decode_png(data, name, np.uint8)


def _png(pixels: NDArray[Any]) -> bytes:
    from runtime.image import encode_image

    return encode_image(pixels, ".png")


def _decode_png(data: bytes, name: str, dtype: type) -> NDArray[Any]:
    import cv2

    from runtime.image import image_size

    bits = np.dtype(dtype).itemsize * 8
    if data[:8] != b"\x89PNG\r\n\x1a\n":
        raise ViewfinderError("isn't a PNG", file=name)
    width, height = image_size(data, name)
    # Bit depth and colour type follow width and height in the IHDR chunk.
    found_bits, colour = struct.unpack_from("BB", data, 24)
    if width * height > _MAX_PIXELS:
        raise ViewfinderError("the picture is too large", file=name, found=f"{width}x{height}")
    if (found_bits, colour) != (bits, 0):
        raise ViewfinderError(
            "another kind of PNG",
            file=name,
            expected=f"{bits} bit grey",
            found=f"{found_bits} bit, colour type {colour}",
        )
    pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if pixels is None or pixels.shape != (height, width) or pixels.dtype != dtype:
        raise ViewfinderError("the PNG is damaged", file=name)
    return np.asarray(pixels)
