"""What every reader checks: text, numbers, transforms, times, paths. Behind it nothing does.

Memory is bounded by the limits below, whatever a file claims; its own paths are never trusted.
"""

from __future__ import annotations

import json
import os
import reprlib
from array import array
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from runtime.camera import Camera
from runtime.errors import ViewfinderError

Array = NDArray[np.float64]

LARGEST_TEXT_BYTES = 512 * 1024 * 1024
LARGEST_JSON_BYTES = 64 * 1024 * 1024
MOST_FRAMES = 1_000_000
_LONGEST_LINE = 4096
_ROTATION_TOLERANCE = 1e-3  # the loggers print six decimals
_MOST_PIXELS_A_SIDE = 65_536
_FARTHEST_M = 1e9
"""From the world's origin; places on the globe are given up to 1e7 m from theirs."""
_LONGEST_PATH, _LONGEST_NAME = 4000, 255


def file_size(file: Path, most: int) -> int:
    """Bytes in a file.

    Raises:
        ViewfinderError: it can't be read, is empty or holds more than `most`.
    """
    try:
        size = file.stat().st_size
    except OSError as error:
        raise ViewfinderError(f"can't be read: {error.strerror}", file=file) from None
    if size == 0:
        raise ViewfinderError("this file is empty", file=file)
    if size > most:
        raise ViewfinderError(
            "file too large", file=file, expected=f"at most {most:,} bytes", found=f"{size:,}"
        )
    return size


def lines_of(
    file: Path, longest: int = _LONGEST_LINE, blank: bool = False
) -> Iterator[tuple[int, str]]:
    """Numbered lines of a text file that aren't comments, one at a time.

    Args:
        file: UTF-8 text, with or without its mark; a line that starts with # is a comment.
        longest: characters in a line.
        blank: whether lines without content count.

    Raises:
        ViewfinderError: no text, too large, or a line that is too long.
    """
    file_size(file, LARGEST_TEXT_BYTES)
    try:
        with file.open(encoding="utf-8-sig") as text:
            number = 0
            while line := text.readline(longest + 1):
                number += 1
                if len(line) > longest:
                    raise ViewfinderError(
                        "line too long",
                        file=file,
                        field=f"line {number}",
                        expected=f"at most {longest} characters",
                    )
                if not line.lstrip().startswith("#") and (blank or line.strip()):
                    yield number, line
    except (OSError, UnicodeDecodeError) as problem:
        raise ViewfinderError("can't be read as text", file=file, found=problem) from None


def numbers_in(line: str, columns: int, file: Path, number: int) -> list[float]:
    """The numbers in one line, all finite, with spaces or commas between them.

    Raises:
        ViewfinderError: other than `columns` of them; names the line.
    """
    try:
        values = [float(word) for word in line.replace(",", " ").split()]
    except ValueError:
        values = []
    if len(values) != columns or not np.isfinite(values).all():
        raise ViewfinderError(
            "bad line",
            file=file,
            field=f"line {number}",
            expected=f"{columns} numbers",
            found=repr(line[:60]),
        )
    return values


def number_table(file: Path, columns: int) -> Array:
    """(N, columns) numbers of a text file, N at least 1.

    Raises:
        ViewfinderError: see `lines_of` and `numbers_in`; or it holds no rows.
    """
    values = array("d")
    for number, line in lines_of(file):
        values.extend(numbers_in(line, columns, file, number))
    if not values:
        raise ViewfinderError("holds no poses or points", file=file)
    return np.frombuffer(values, dtype=np.float64).reshape(-1, columns)


def read_json(file: Path, most: int = LARGEST_JSON_BYTES) -> dict[str, Any]:
    """The object in a JSON file.

    Raises:
        ViewfinderError: no file, too large, no JSON or no object.
    """
    file_size(file, most)
    try:
        return json_object(file.read_bytes(), file)
    except OSError as error:
        raise ViewfinderError(f"can't be read: {error.strerror}", file=file) from None


def json_object(data: bytes, file: Path, field: str | None = None) -> dict[str, Any]:
    """The object in the bytes of a JSON file."""
    try:
        value = json.loads(data)
    except (ValueError, RecursionError) as problem:
        raise ViewfinderError("not JSON", file=file, field=field, found=problem) from None
    if not isinstance(value, dict):
        raise ViewfinderError(
            "not a JSON object", file=file, field=field, found=type(value).__name__
        )
    return value


def json_numbers(values: Any, count: int | None, file: Path, field: str) -> Array:
    """(count,) finite numbers of a JSON list, nested lists in order.

    Args:
        values: what the JSON held.
        count: how many there must be, None for any.
        file, field: what errors name.
    """
    try:
        flat = np.asarray(values, dtype=np.float64).ravel()
    except (TypeError, ValueError, OverflowError):
        flat = np.full(1, np.nan)
    if (count is not None and len(flat) != count) or not np.isfinite(flat).all():
        raise ViewfinderError(
            "not the numbers that belong here",
            file=file,
            field=field,
            expected=f"{'' if count is None else count} finite numbers",
            found=reprlib.repr(values)[:60],
        )
    return flat


def contained(folder: Path, name: str, file: Path, field: str) -> Path:
    """A path that a file names, once it is known to stay in the recording's folder.

    Raises:
        ViewfinderError: it leads out of the folder, or no file can have that name.
    """
    try:
        written = os.fsencode(name)
        if len(written) > _LONGEST_PATH or max(map(len, written.split(b"/"))) > _LONGEST_NAME:
            raise ViewfinderError(
                "no file has so long a name", file=file, field=field, found=reprlib.repr(name)
            )
        path = (folder / name).resolve()
        inside = path.is_relative_to(folder.resolve())
    except (OSError, ValueError, RuntimeError):
        inside = False
    if not inside:
        raise ViewfinderError(
            "a path leads out of the recording's folder", file=file, field=field,
            found=repr(name)[:80],
        )  # fmt: skip
    return path


def transforms_3x4(matrices: Array) -> Array:
    """(N, 4, 4) from (N, 3, 4), the last row filled in."""
    full = np.zeros((len(matrices), 4, 4))
    full[:, :3] = matrices
    full[:, 3, 3] = 1.0
    return full


def transforms_from_quaternions(quat_xyzw: Array, translation_m: Array, file: Path) -> Array:
    """(N, 4, 4) from unit quaternions and translations.

    Raises:
        ViewfinderError: a quaternion's length is off by more than 1 %; names the pose.
    """
    norm = np.linalg.norm(quat_xyzw, axis=1, keepdims=True)
    if not (np.abs(norm - 1) <= 1e-2).all():
        row = int(np.argmax(~(np.abs(norm[:, 0] - 1) <= 1e-2)))
        raise ViewfinderError(
            "not a unit quaternion",
            file=file,
            field=f"pose {row + 1}",
            found=f"length {norm[row, 0]:.4g}",
        )
    from scipy.spatial.transform import Rotation

    full = np.zeros((len(quat_xyzw), 4, 4))
    full[:, :3, :3] = Rotation.from_quat(quat_xyzw / norm).as_matrix()
    full[:, :3, 3] = translation_m
    full[:, 3, 3] = 1.0
    return full


def check_rigid(transforms: Array, file: Path) -> None:
    """Raises ViewfinderError, naming the pose, unless all are rotation and translation, and none
    is out of this world."""
    if len(transforms) > MOST_FRAMES:
        raise ViewfinderError(
            "too many poses", file=file, expected=f"at most {MOST_FRAMES:,}", found=len(transforms)
        )
    rotation = transforms[:, :3, :3]
    with np.errstate(over="ignore", invalid="ignore"):
        error = np.abs(rotation @ rotation.transpose(0, 2, 1) - np.eye(3)).max(axis=(1, 2))
        error = np.maximum(error, np.abs(np.linalg.det(rotation) - 1))
    error = np.maximum(error, np.abs(transforms[:, 3] - (0, 0, 0, 1)).max(axis=1))
    error[~np.isfinite(transforms).all(axis=(1, 2))] = np.inf
    if not (error <= _ROTATION_TOLERANCE).all():
        worst = int(np.argmax(np.where(np.isfinite(error), error, np.inf)))
        raise ViewfinderError(
            "a pose isn't a rotation and a translation",
            file=file,
            field=f"pose {worst + 1}",
            expected=f"R R^T = 1, det R = 1 within {_ROTATION_TOLERANCE}",
            found=f"{error[worst]:.3g}",
        )
    away = np.abs(transforms[:, :3, 3]).max(axis=1)
    if (away > _FARTHEST_M).any():
        row = int(np.argmax(away > _FARTHEST_M))
        raise ViewfinderError(
            "a pose is out of this world", file=file, field=f"pose {row + 1}",
            expected=f"at most {_FARTHEST_M:g} m from the origin", found=f"{away[row]:g}",
        )  # fmt: skip


def since_start(times_s: Array, file: Path) -> Array:
    """Seconds since the first frame.

    Raises:
        ViewfinderError: they don't rise; names the frame.
    """
    if not np.isfinite(times_s).all():
        row = int(np.argmin(np.isfinite(times_s)))
        raise ViewfinderError("a time isn't a number", file=file, field=f"pose {row + 1}")
    if (np.diff(times_s) <= 0).any():
        row = int(np.argmax(np.diff(times_s) <= 0)) + 2
        raise ViewfinderError(
            "time runs backwards",
            file=file,
            field=f"pose {row}",
            expected="rising timestamps",
        )
    return np.asarray(times_s - times_s[0])


def checked_camera(
    intrinsics: Array,
    size: tuple[Any, Any],
    file: Path,
    field: str,
    distortion: tuple[float, ...] = (),
) -> Camera:
    """A camera from a file's numbers.

    Args:
        intrinsics: fx, fy, cx, cy in pixels.
        size: width and height in pixels, as the file holds them.
        file, field: what errors name.
        distortion: OpenCV's, empty or zeros for none.

    Raises:
        ViewfinderError: numbers that no camera has.
    """
    fx, fy, cx, cy = map(float, intrinsics)
    try:
        width, height = int(size[0]), int(size[1])
    except (TypeError, ValueError, OverflowError):
        width = height = 0
    sane = 0 < width <= _MOST_PIXELS_A_SIDE and 0 < height <= _MOST_PIXELS_A_SIDE
    if not (sane and np.isfinite([fx, fy, cx, cy]).all() and fx > 0 and fy > 0):
        raise ViewfinderError(
            "no camera has these intrinsics",
            file=file,
            field=field,
            expected="positive focal lengths, a size of 1 to 65536 pixels a side",
            found=f"fx {fx:.6g}, fy {fy:.6g}, cx {cx:.6g}, cy {cy:.6g}, size {size[0]} x {size[1]}",
        )
    return Camera(fx, fy, cx, cy, width, height, distortion if any(distortion) else ())
