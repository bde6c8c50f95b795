"""Pictures that an MP4 file keeps but doesn't show.

Facts from ISO/IEC 14496-12: a file is boxes of a 32-bit size, big-endian, and a type; size 1 means
that a 64-bit one follows, 0 that the box goes to the end. A track's `elst` says at which of its
times playing begins; `stts` gives the samples' durations, `ctts` how much later than decoded each
is shown. What would be shown before that beginning is hidden.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

_LARGEST_HEADER_BYTES = 2**28
_MOST_LOOKED_AT = 1024
"""Of a track's first pictures: recorders hide one or two."""


def hidden_pictures(video: Path) -> int:
    """How many pictures at a video's beginning are hidden; 0 for a file that isn't sound MP4."""
    try:
        header = _header(video)
        for kind, track in _boxes(header):
            if kind == b"trak" and _inside(track, b"mdia", b"hdlr")[8:12] == b"vide":
                return _hidden(track)
    except (OSError, struct.error, KeyError):
        pass  # whoever plays it tells what is wrong
    return 0


def _header(video: Path) -> bytes:
    length = video.stat().st_size
    with video.open("rb") as file:
        at = 0
        while at < length:
            file.seek(at)
            size, kind = struct.unpack(">I4s", file.read(8))
            start = 8
            if size == 1:
                (size,) = struct.unpack(">Q", file.read(8))
                start = 16
            size = size or length - at
            if size < start:
                break
            if kind == b"moov" and size <= _LARGEST_HEADER_BYTES:
                return file.read(size - start)
            at += size
    raise KeyError("moov")


def _boxes(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    at = 0
    while at + 8 <= len(data):
        size, kind = struct.unpack_from(">I4s", data, at)
        if size < 8:
            return
        yield kind, data[at + 8 : at + size]
        at += size


def _inside(data: bytes, *path: bytes) -> bytes:
    for kind in path:
        data = dict(reversed(list(_boxes(data))))[kind]  # the first of its kind
    return data


def _hidden(track: bytes) -> int:
    edits = _inside(track, b"edts", b"elst")
    layout = ">QqHH" if edits[0] == 1 else ">IiHH"
    (count,) = struct.unpack_from(">I", edits, 4)
    entries = (
        struct.unpack_from(layout, edits, 8 + row * struct.calcsize(layout))
        for row in range(min(count, 2))  # the first may be a pause, whose time is -1
    )
    begins = next((entry[1] for entry in entries if entry[1] >= 0), 0)
    tables = _inside(track, b"mdia", b"minf", b"stbl")
    steps = _runs(_inside(tables, b"stts"))
    shown = np.cumsum(steps) - steps
    if any(kind == b"ctts" for kind, _ in _boxes(tables)):
        later = _runs(_inside(tables, b"ctts"))
        shown = shown[: len(later)] + later[: len(shown)]
    return int((shown < begins).sum())


def _runs(table: bytes) -> NDArray[np.int64]:
    (rows,) = struct.unpack_from(">I", table, 4)
    out: list[int] = []
    for row in range(min(rows, _MOST_LOOKED_AT)):
        count, value = struct.unpack_from(">Ii", table, 8 + 8 * row)
        out += [value] * min(count, _MOST_LOOKED_AT)
        if len(out) >= _MOST_LOOKED_AT:
            break
    return np.array(out[:_MOST_LOOKED_AT], dtype=np.int64)
