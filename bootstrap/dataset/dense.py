"""Pictures that carry measurements: depth, segmentation, coverage, normals; PNG bytes and back."""

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


def encode_alpha(alpha: ArrayLike) -> bytes:
    """An 8 bit PNG of (H, W) coverage 0..1."""
    return _png(np.rint(np.clip(np.asarray(alpha, dtype=np.float64), 0, 1) * 255).astype(np.uint8))


def decode_alpha(data: bytes, name: str = "alpha.png") -> NDArray[np.float32]:
    """(H, W) coverage 0..1.

    Raises:
        ViewfinderError: not an 8 bit grey PNG, damaged, or too large.
    """
    pixels: NDArray[np.uint8] = _decode_png(data, name, np.uint8)
    return pixels.astype(np.float32) / np.float32(255)


def encode_normals(normals: ArrayLike) -> bytes:
    """An 8 bit RGB PNG of surface normals: (n + 1) / 2 of x, y, z in the camera's axes.

    Args:
        normals: (H, W, 3) unit vectors (x right, y down, z away from the camera, so that z < 0 is
            what faces it); NaN where there is no surface, stored as black.
    """
    vectors = np.asarray(normals, dtype=np.float64)
    known = np.isfinite(vectors).all(axis=-1, keepdims=True)
    scaled = np.rint((np.clip(np.where(known, vectors, -1), -1, 1) + 1) / 2 * 255)
    return _png(scaled.astype(np.uint8))


def decode_normals(data: bytes, name: str = "normals.png") -> NDArray[np.float32]:
    """(H, W, 3) unit normals, NaN where there is no surface; good to about 0.4 degrees.

    Raises:
        ViewfinderError: not an 8 bit RGB PNG, damaged, or too large.
    """
    pixels: NDArray[np.uint8] = _decode_png(data, name, np.uint8, channels=3)
    vectors = pixels.astype(np.float32) / np.float32(127.5) - 1
    vectors /= np.linalg.norm(vectors, axis=-1, keepdims=True)
    vectors[(pixels == 0).all(axis=-1)] = np.nan
    return vectors


UV_STEPS = 65535


def encode_uv(uv: ArrayLike) -> bytes:
    """A 16 bit RGB PNG of texture coordinates: u, v in steps of 1 / 65535, and full blue where they
    are known.

    Args:
        uv: (H, W, 2) in 0..1, NaN where there are none.
    """
    places = np.asarray(uv, dtype=np.float64)
    known = np.isfinite(places).all(axis=-1, keepdims=True)
    steps = np.rint(np.clip(np.where(known, places, 0.0), 0, 1) * UV_STEPS)
    return _png(np.concatenate([steps, known * UV_STEPS], axis=-1).astype(np.uint16))


def decode_uv(data: bytes, name: str = "uv.png") -> NDArray[np.float32]:
    """(H, W, 2) texture coordinates, NaN where there are none.

    Raises:
        ViewfinderError: not a 16 bit RGB PNG, damaged, or too large.
    """
    pixels: NDArray[np.uint16] = _decode_png(data, name, np.uint16, channels=3)
    uv = pixels[..., :2].astype(np.float32) / np.float32(UV_STEPS)
    uv[pixels[..., 2] == 0] = np.nan
    return uv


def _png(pixels: NDArray[Any]) -> bytes:
    from runtime.image import encode_image

    return encode_image(pixels, ".png")


def _decode_png(data: bytes, name: str, dtype: type, channels: int = 1) -> NDArray[Any]:
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
    kind = {1: "grey", 3: "RGB"}[channels]
    if (found_bits, colour) != (bits, {"grey": 0, "RGB": 2}[kind]):
        raise ViewfinderError(
            "another kind of PNG",
            file=name,
            expected=f"{bits} bit {kind}",
            found=f"{found_bits} bit, colour type {colour}",
        )
    pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    shape = (height, width) if channels == 1 else (height, width, channels)
    if pixels is None or pixels.shape != shape or pixels.dtype != dtype:
        raise ViewfinderError("the PNG is damaged", file=name)
    return np.asarray(pixels if channels == 1 else pixels[..., ::-1])  # OpenCV has BGR
