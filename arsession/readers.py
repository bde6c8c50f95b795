"""Readers of AR recordings. `open_session` picks the one whose files are there.

Conventions, as the loggers' sources and documents state them:

- ARKit-Data-Logger (PyojinKim, `ARKit_camera_pose*.txt`): nanoseconds, then camera-to-world 3x4 in
  rows; camera axes ARKit's (x right, y up, z backward), world +y up.
- ARCore-Data-Logger (`ARCore_sensor_pose.txt`): nanoseconds, quaternion x y z w, translation of
  the Android sensor frame (x right, y up, z out of the screen), world +y up. The back camera looks
  along -z, so the same change of axes gives OpenCV's; the few millimetres between sensor and
  lens are not in the file.
- Open3D `.log`: blocks of `index index index` and a camera-to-world 4x4, OpenCV axes; no time.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from arsession.session import Session
from runtime.camera import OPENCV_FROM_OPENGL, Camera
from runtime.errors import ViewfinderError

Array = NDArray[np.float64]

_LARGEST_TEXT_BYTES = 512 * 1024 * 1024
_ROTATION_TOLERANCE = 1e-3  # the loggers print six decimals
_LOG_FRAMES_PER_SECOND = 60.0  # an Open3D log has no time; Stray Scanner records at 60


def open_session(path: Path) -> Session:
    """Read a recording from a folder, or from a logger's pose file.

    Raises:
        ViewfinderError: nothing there that a reader knows, or a file that breaks its format.
    """
    if not path.exists():
        raise ViewfinderError("no such file or folder", file=path)
    folder = path if path.is_dir() else path.parent
    for pattern, reader in _READERS:
        found = sorted(folder.glob(pattern)) if path.is_dir() else [path] * path.match(pattern)
        if found:
            return reader(found[0])
    raise ViewfinderError(
        "no AR recording found",
        file=path,
        expected=" | ".join(pattern for pattern, _ in _READERS),
    )


def _read_arkit_logger(poses_file: Path) -> Session:
    rows = _numbers(poses_file, columns=13)
    world_from_arkit = _as_4x4(rows[:, 1:].reshape(-1, 3, 4))
    return _logger_session("arkit-logger", poses_file, rows[:, 0], world_from_arkit)


def _read_arcore_logger(poses_file: Path) -> Session:
    rows = _numbers(poses_file, columns=8)
    world_from_sensor = np.zeros((len(rows), 4, 4))
    world_from_sensor[:, :3, :3] = _rotation_from_quat_xyzw(rows[:, 1:5], poses_file)
    world_from_sensor[:, :3, 3] = rows[:, 5:8]
    world_from_sensor[:, 3, 3] = 1.0
    return _logger_session("arcore-logger", poses_file, rows[:, 0], world_from_sensor)


def _logger_session(
    kind: str, poses_file: Path, time_ns: Array, world_from_device: Array
) -> Session:
    _check_rigid(world_from_device, poses_file)
    if (np.diff(time_ns) <= 0).any():
        line = int(np.argmax(np.diff(time_ns) <= 0)) + 2
        raise ViewfinderError(
            "time runs backwards",
            file=poses_file,
            field=f"pose {line}",
            expected="rising timestamps",
        )
    cloud = poses_file.with_name(poses_file.name.split("_")[0] + "_point_cloud.txt")
    points = _numbers(cloud, columns=6)[:, :3] if cloud.exists() else np.empty((0, 3))
    return Session(
        format=kind,
        path=poses_file,
        timestamps_s=(time_ns - time_ns[0]) * 1e-9,
        world_from_camera=world_from_device @ OPENCV_FROM_OPENGL,
        world_up="+y",
        points_world_m=points,
    )


def _read_open3d_log(log_file: Path) -> Session:
    lines = [line for line in _text(log_file).splitlines() if line.strip()]
    if not lines or len(lines) % 5:
        raise ViewfinderError(
            "not an Open3D trajectory",
            file=log_file,
            expected="5 lines a frame",
            found=f"{len(lines)} lines",
        )
    matrices = [
        _row(line, 4, log_file, number) for number, line in enumerate(lines, 1) if number % 5 != 1
    ]
    world_from_camera = np.array(matrices).reshape(-1, 4, 4)
    _check_rigid(world_from_camera, log_file)
    return Session(
        format="open3d-log",
        path=log_file,
        timestamps_s=np.arange(len(world_from_camera)) / _LOG_FRAMES_PER_SECOND,
        world_from_camera=world_from_camera,
        world_up="+y",
        camera=_stray_camera(log_file.parent),
    )


def _stray_camera(scene: Path) -> Camera | None:
    # Stray's tools keep one intrinsics file in the scene or in the data set around it.
    for folder in (scene, scene.parent):
        file = folder / "camera_intrinsics.json"
        if not file.exists():
            continue
        try:
            stored = json.loads(_text(file))
            k = np.array(stored["intrinsic_matrix"], dtype=np.float64).reshape(3, 3, order="F")
            return Camera(
                k[0, 0], k[1, 1], k[0, 2], k[1, 2], int(stored["width"]), int(stored["height"])
            )
        except (ValueError, KeyError, TypeError) as problem:
            raise ViewfinderError(
                "not a camera description",
                file=file,
                expected="width, height, intrinsic_matrix (9 numbers, column-major)",
                found=repr(problem),
            ) from None
    return None


_READERS: tuple[tuple[str, Callable[[Path], Session]], ...] = (
    ("ARKit_camera_pose*.txt", _read_arkit_logger),
    ("ARCore_sensor_pose*.txt", _read_arcore_logger),
    ("trajectory.log", _read_open3d_log),
)


def _text(file: Path) -> str:
    try:
        if file.stat().st_size > _LARGEST_TEXT_BYTES:
            raise ViewfinderError("file too large", file=file, expected="at most 512 MB")
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as problem:
        raise ViewfinderError("can't be read as text", file=file, found=problem) from None


def _numbers(file: Path, columns: int) -> Array:
    rows = [
        _row(line, columns, file, number)
        for number, line in enumerate(_text(file).splitlines(), 1)
        if line.strip() and not line.startswith("#")
    ]
    if not rows:
        raise ViewfinderError("holds no poses or points", file=file)
    return np.array(rows)


def _row(line: str, columns: int, file: Path, number: int) -> list[float]:
    try:
        values = [float(word) for word in line.split()]
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


def _as_4x4(matrices_3x4: Array) -> Array:
    full = np.zeros((len(matrices_3x4), 4, 4))
    full[:, :3] = matrices_3x4
    full[:, 3, 3] = 1.0
    return full


def _rotation_from_quat_xyzw(quat_xyzw: Array, file: Path) -> Array:
    norm = np.linalg.norm(quat_xyzw, axis=1, keepdims=True)
    if (np.abs(norm - 1) > 1e-2).any():
        row = int(np.argmax(np.abs(norm - 1)))
        raise ViewfinderError(
            "not a unit quaternion",
            file=file,
            field=f"pose {row + 1}",
            found=f"length {norm[row, 0]:.4g}",
        )
    from scipy.spatial.transform import Rotation

    return np.asarray(Rotation.from_quat(quat_xyzw / norm).as_matrix())


def _check_rigid(transforms: Array, file: Path) -> None:
    rotation = transforms[:, :3, :3]
    error = np.abs(rotation @ rotation.transpose(0, 2, 1) - np.eye(3)).max(axis=(1, 2))
    error = np.maximum(error, np.abs(np.linalg.det(rotation) - 1))
    if (error > _ROTATION_TOLERANCE).any():
        worst = int(error.argmax())
        raise ViewfinderError(
            "a pose isn't a rotation and a translation",
            file=file,
            field=f"pose {worst + 1}",
            expected=f"R R^T = 1, det R = 1 within {_ROTATION_TOLERANCE}",
            found=f"{error[worst]:.3g}",
        )
