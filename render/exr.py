"""Reads the one kind of OpenEXR file that Cycles writes for us: scan lines, uncompressed.

OpenCV's EXR reader is off by default and stays off; Blender's Python gives no access to the pixels
of a multilayer render in background mode. The format is described in "OpenEXR File Layout"
(openexr.com); only what is needed here is understood, and anything else is refused.
"""

from __future__ import annotations

import struct

import numpy as np
from numpy.typing import NDArray

_MAGIC = 20000630
_TYPES = {0: np.dtype("<u4"), 1: np.dtype("<f2"), 2: np.dtype("<f4")}


def read_exr(data: bytes) -> dict[str, NDArray[np.float32]]:
    """Channels of an uncompressed single-part scan-line EXR.

    Args:
        data: the file's bytes.

    Returns:
        Channel name, as `ViewLayer.Depth.V`, -> (H, W) float32.

    Raises:
        ValueError: another kind of EXR, or a damaged one.
    """
    try:
        return _read(data)
    except (struct.error, IndexError, KeyError) as error:  # it ends, or lacks what must be there
        raise ValueError("damaged EXR") from error


def _read(data: bytes) -> dict[str, NDArray[np.float32]]:
    magic, version = struct.unpack_from("<II", data)
    if magic != _MAGIC or version & 0x1A00:  # tiled, deep or multi-part
        raise ValueError("not a single-part scan-line EXR")
    attributes, offset = _header(data)
    if attributes["compression"] != b"\0":
        raise ValueError("not an uncompressed EXR")
    x0, y0, x1, y1 = struct.unpack("<4i", attributes["dataWindow"])
    width, height = x1 - x0 + 1, y1 - y0 + 1
    layout = np.dtype(
        [("y", "<i4"), ("size", "<i4")]
        + [(name, _TYPES[kind], (width,)) for name, kind in _channels(attributes["channels"])]
    )
    offset += 8 * height  # table of scan lines' places; Blender writes them in order
    if len(data) < offset + height * layout.itemsize:
        raise ValueError("truncated EXR")
    lines = np.frombuffer(data, dtype=layout, count=height, offset=offset)
    if not np.array_equal(lines["y"], np.arange(y0, y1 + 1)):
        raise ValueError("scan lines out of order")
    names = layout.names[2:] if layout.names else ()
    return {name: lines[name].astype(np.float32) for name in names}


def _header(data: bytes) -> tuple[dict[str, bytes], int]:
    """Attributes by name and the offset of what follows the header."""
    attributes: dict[str, bytes] = {}
    offset = 8
    while data[offset]:
        name, offset = _string(data, offset)
        _, offset = _string(data, offset)
        (size,) = struct.unpack_from("<i", data, offset)
        attributes[name] = data[offset + 4 : offset + 4 + size]
        offset += 4 + size
    return attributes, offset + 1


def _channels(data: bytes) -> list[tuple[str, int]]:
    """Names and pixel types in the order in which a scan line holds them."""
    channels = []
    offset = 0
    while data[offset]:
        name, offset = _string(data, offset)
        kind, _, x_step, y_step = struct.unpack_from("<iIii", data, offset)
        if (x_step, y_step) != (1, 1):
            raise ValueError(f"channel {name} is subsampled")
        channels.append((name, kind))
        offset += 16
    return channels


def _string(data: bytes, offset: int) -> tuple[str, int]:
    end = data.index(b"\0", offset)
    return data[offset:end].decode(), end + 1
