"""Vertices of PLY files, which scanning apps lay beside their frames.

The format is Greg Turk's (paulbourke.net/dataformats/ply): a text header names elements and
their properties in order, then comes the data as text or binary. Only `vertex` is read.
"""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from arsession.boundary import file_size
from arsession.session import Points, no_points
from runtime.errors import ViewfinderError

_LARGEST_FILE_BYTES = 2**32
_LONGEST_HEADER = 200
_LFS_POINTER = b"version https://git-lfs"
_TYPES = {
    "char": "i1", "int8": "i1", "uchar": "u1", "uint8": "u1", "short": "i2", "int16": "i2",
    "ushort": "u2", "uint16": "u2", "int": "i4", "int32": "i4", "uint": "u4", "uint32": "u4",
    "float": "f4", "float32": "f4", "double": "f8", "float64": "f8",
}  # fmt: skip
_ORDERS = {"ascii": "", "binary_little_endian": "<", "binary_big_endian": ">"}


def read_ply_points(file: Path) -> Points:
    """The vertices, their row numbers as ids.

    Raises:
        ViewfinderError: no PLY file, vertices that don't come first, truncated, or not numbers.
    """
    size = file_size(file, _LARGEST_FILE_BYTES)
    with file.open("rb") as stream:
        order, count, properties = _header(stream, file)
        names = [name for name, _ in properties]
        if any(names.count(axis) != 1 for axis in "xyz") or len(set(names)) < len(names):
            raise ViewfinderError("vertices without x, y, z", file=file, found=", ".join(names))
        if order:
            record = np.dtype([(name, order + kind) for name, kind in properties])
            if count * record.itemsize > size - stream.tell():
                raise _truncated(file, count)
            rows = np.frombuffer(stream.read(count * record.itemsize), record)
            positions = np.stack([rows[axis] for axis in "xyz"], axis=1).astype(np.float64)
        else:
            positions = _text_rows(stream, file, count, [names.index(axis) for axis in "xyz"])
    finite = np.isfinite(positions).all(axis=1)
    if not finite.all():
        raise ViewfinderError(
            "a point isn't a number", file=file, field=f"vertex {int(np.argmin(finite)) + 1}"
        )
    return Points(positions, np.arange(count))


def _header(stream: BinaryIO, file: Path) -> tuple[str, int, list[tuple[str, str]]]:
    order, count, element = None, None, ""
    properties: list[tuple[str, str]] = []
    for number in range(1, _LONGEST_HEADER):
        words = stream.readline(1024).decode("ascii", "replace").split()
        if number == 1 and words != ["ply"]:
            break
        if words == ["end_header"] and order is not None and count is not None:
            return order, count, properties
        try:
            if words[:1] == ["format"]:
                order = _ORDERS[words[1]]
            elif words[:1] == ["element"]:
                element = words[1]
                if element == "vertex":
                    count = int(words[2][:12])
                    if count < 0 or len(words[2]) > 12:
                        raise ValueError("a number of vertices that can't be")
                elif count is None and int(words[2]):
                    raise ValueError("another element comes first")
            elif words[:1] == ["property"] and element == "vertex":
                properties.append((words[2], _TYPES[words[1]]))
        except (KeyError, IndexError, ValueError):
            break
    raise ViewfinderError(
        "not a PLY file whose vertices come first", file=file, field=f"header line {number}"
    )


def _text_rows(stream: BinaryIO, file: Path, count: int, columns: list[int]) -> NDArray[np.float64]:
    rows = []
    for row in range(count):
        words = stream.readline(4096).split()
        if not words:
            raise _truncated(file, count)
        try:
            rows.append([float(words[column]) for column in columns])
        except (ValueError, IndexError):
            raise ViewfinderError("bad line", file=file, field=f"vertex {row + 1}") from None
    return np.array(rows, dtype=np.float64).reshape(-1, 3)


def _truncated(file: Path, count: int) -> ViewfinderError:
    return ViewfinderError(
        "truncated, or the number of vertices is wrong", file=file, expected=f"{count:,} vertices"
    )


def points_beside(folder: Path, *names: str) -> Points:
    """The vertices of the first of these files that is there; none where none is.

    A Git LFS pointer only says where the file would be had.
    """
    for name in names:
        file = folder / name
        if file.is_file():
            with file.open("rb") as stream:
                if stream.read(len(_LFS_POINTER)) == _LFS_POINTER:
                    continue
            return read_ply_points(file)
    return no_points()
