"""The EXIF values that pictures need: orientation and focal length.

Offsets and tags: Exif 2.32 (CIPA DC-008), TIFF 6.0.
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass

_ORIENTATION = 0x0112
_EXIF_IFD = 0x8769
_FOCAL_LENGTH_MM = 0x920A
_FOCAL_PLANE_X_RESOLUTION = 0xA20E
_FOCAL_PLANE_UNIT = 0xA210
_PIXEL_X_DIMENSION = 0xA002
_FOCAL_LENGTH_35MM = 0xA405
_FILM_DIAGONAL_MM = math.hypot(36, 24)
_UNIT_MM = {2: 25.4, 3: 10.0, 4: 1.0}
# Of each kind of value only the first is read: struct format and size.
_KINDS = {1: ("B", 1), 3: ("H", 2), 4: ("I", 4), 5: ("II", 8), 9: ("i", 4), 10: ("ii", 8)}
_MAX_ENTRIES = 512


@dataclass(frozen=True)
class Exif:
    """What a picture's EXIF says, None where it says nothing.

    Attributes:
        orientation: 1..8; 1 is upright.
        focal_length_px: in pixels of the stored picture.
    """

    orientation: int = 1
    focal_length_px: float | None = None


def read_exif(data: bytes, width: int, height: int) -> Exif:
    """EXIF of a JPEG, PNG or WebP file; damaged EXIF counts as none.

    Args:
        data: the file, its container already checked (`runtime.image.image_size`).
        width, height: of the stored picture in pixels.
    """
    try:
        block = _exif_block(data)
        values = {} if block is None else _tags(block)
    except (struct.error, IndexError, ValueError):
        return Exif()
    orientation = values.get(_ORIENTATION, 1)
    return Exif(
        int(orientation) if 1 <= orientation <= 8 else 1, _focal_length_px(values, width, height)
    )


def _exif_block(data: bytes) -> bytes | None:
    if data[:2] == b"\xff\xd8":
        at = 2
        while data[at] == 0xFF and data[at + 1] not in (0xDA, 0xD9):
            (length,) = struct.unpack_from(">H", data, at + 2)
            if data[at + 1] == 0xE1 and data[at + 4 : at + 10] == b"Exif\0\0":
                return data[at + 10 : at + 2 + length]
            at += 2 + length
    elif data[:4] == b"\x89PNG":
        at = 8
        while at + 8 <= len(data):
            length, kind = struct.unpack_from(">I4s", data, at)
            if kind == b"eXIf":
                return data[at + 8 : at + 8 + length]
            at += 12 + length
    elif data[8:12] == b"WEBP":
        at = 12
        while at + 8 <= len(data):
            kind, length = struct.unpack_from("<4sI", data, at)
            if kind == b"EXIF":
                return data[at + 8 : at + 8 + length].removeprefix(b"Exif\0\0")
            at += 8 + length + length % 2
    return None


def _tags(block: bytes) -> dict[int, float]:
    order = {b"II": "<", b"MM": ">"}[block[:2]] if block[:2] in (b"II", b"MM") else ""
    if not order or struct.unpack_from(order + "H", block, 2)[0] != 42:
        raise ValueError("no TIFF header")
    values = _directory(block, order, struct.unpack_from(order + "I", block, 4)[0])
    if _EXIF_IFD in values:
        values = _directory(block, order, int(values[_EXIF_IFD])) | values
    return values


def _directory(block: bytes, order: str, offset: int) -> dict[int, float]:
    values = {}
    (count,) = struct.unpack_from(order + "H", block, offset)
    for entry in range(min(count, _MAX_ENTRIES)):
        at = offset + 2 + 12 * entry
        tag, kind, number = struct.unpack_from(order + "HHI", block, at)
        if kind not in _KINDS or number < 1:
            continue
        form, size = _KINDS[kind]
        if size * number > 4:
            (at_value,) = struct.unpack_from(order + "I", block, at + 8)
        else:
            at_value = at + 8
        found = struct.unpack_from(order + form, block, at_value)
        if len(found) == 1:
            values[tag] = float(found[0])
        elif found[1] != 0:
            values[tag] = found[0] / found[1]
    return values


def _focal_length_px(values: dict[int, float], width: int, height: int) -> float | None:
    resolution = values.get(_FOCAL_PLANE_X_RESOLUTION, 0)
    millimetres = values.get(_FOCAL_LENGTH_MM, 0)
    film = values.get(_FOCAL_LENGTH_35MM, 0)
    if film > 0:
        # The equivalent keeps the diagonal field of view.
        focal = film * math.hypot(width, height) / _FILM_DIAGONAL_MM
    elif millimetres > 0 and resolution > 0:
        pixels_per_mm = resolution / _UNIT_MM.get(int(values.get(_FOCAL_PLANE_UNIT, 2)), 25.4)
        # The resolution holds for the picture as taken; it may have been made smaller since.
        focal = millimetres * pixels_per_mm
        focal *= max(width, height) / max(values.get(_PIXEL_X_DIMENSION, 0), max(width, height))
    else:
        return None
    # Outside fields of view of 1 to 170 degrees the values are somebody's mistake.
    return focal if 0.04 * max(width, height) < focal < 60 * max(width, height) else None
