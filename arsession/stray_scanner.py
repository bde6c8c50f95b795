"""Stray Scanner recordings.

Facts from kekeblom/StrayVisualizer (`stray_visualize.py`, which hands these poses to Open3D as they
are) and strayrobots/scanner (OdometryEncoder, DatasetEncoder, VideoEncoder): `odometry.csv` holds
camera-to-world, translation then quaternion x y z w, OpenCV axes; the world is ARKit's, +y up.
Newer files begin with timestamp and frame number; today's go on with fx, fy, cx, cy of the frame
and distortion_center_x and _y, which stay empty. The oldest have those seven columns, without a
header, and run at 60 frames a second. `camera_matrix.csv` is for the video's raster, 1920 x 1440.
`depth/NNNNNN.png` is in millimetres.

The app stamps the first picture 1/60 s before its video begins. The file keeps that picture, and
its edit list hides it: players show one picture less than there are poses, the second pose's first.
"""

from __future__ import annotations

from array import array
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from arsession.boundary import (
    check_rigid,
    checked_camera,
    lines_of,
    number_table,
    numbers_in,
    since_start,
    transforms_from_quaternions,
)
from arsession.mp4_edits import hidden_pictures
from arsession.pictures import VideoPictures, file_depths
from arsession.session import Session
from arsession.turning import fit_to_pictures
from runtime.camera import Camera
from runtime.errors import ViewfinderError

Array = NDArray[np.float64]

_POSE = ("x", "y", "z", "qx", "qy", "qz", "qw")
_INTRINSICS = ("fx", "fy", "cx", "cy")
_COLUMNS = ("timestamp", "frame", *_POSE, *_INTRINSICS)
_FRAMES_PER_SECOND = 60.0
_RASTER = (1920, 1440)
_MOST_FRAME_NUMBER = 10**7


def read_stray_scanner(odometry: Path) -> Session:
    """The session in a Stray Scanner folder.

    Args:
        odometry: its odometry.csv.

    Raises:
        ViewfinderError: a file that breaks the format; names file, line and column.
    """
    columns, rows = _table(odometry)
    folder = odometry.parent
    pose = rows[:, [columns.index(name) for name in _POSE]]
    world_from_camera = transforms_from_quaternions(pose[:, 3:], pose[:, :3], odometry)
    check_rigid(world_from_camera, odometry)
    timed = "timestamp" in columns
    times = (
        rows[:, columns.index("timestamp")] if timed else np.arange(len(rows)) / _FRAMES_PER_SECOND
    )
    numbers = _frame_numbers(columns, rows, odometry)
    video = folder / "rgb.mp4"
    pictures = _video(video, numbers) if video.is_file() else None
    raster = pictures.raster if pictures is not None else _RASTER
    depths = [folder / "depth" / f"{number:06d}.png" for number in numbers]
    return fit_to_pictures(
        Session(
            format="stray-scanner",
            path=odometry,
            timestamps_s=since_start(times, odometry),
            world_from_camera=world_from_camera,
            world_up="+y",
            cameras=_cameras(folder, columns, rows, raster, odometry),
            pictures=pictures,
            depths=file_depths(depths, folder, pictures.quarter_turns if pictures else 0),
            start_s=float(times[0]),
            timed=timed,
        )
    )


def _video(video: Path, numbers: NDArray[np.int64]) -> VideoPictures:
    # Its pictures are those of the rows, from the first or from the second on. Numbers without a
    # gap that don't fit go on from an earlier recording.
    hidden = hidden_pictures(video)
    shown = VideoPictures(video, np.zeros(1, np.int64)).count - hidden
    lacking = len(numbers) - shown
    whole = numbers[-1] - numbers[0] == len(numbers) - 1 and 0 <= lacking <= max(1, hidden)
    if whole and (hidden or 0 < shown <= numbers[-1]):
        numbers = np.arange(len(numbers)) - lacking
    return VideoPictures(video, numbers)


def _table(odometry: Path) -> tuple[list[str], Array]:
    # Columns that nobody reads may be empty.
    columns: list[str] = []
    values = array("d")
    known: list[str] = []
    for number, line in lines_of(odometry):
        words = [word.strip() for word in line.split(",")]
        if not columns:
            header = any(word.isidentifier() for word in words)
            columns = words if header or len(words) != len(_POSE) else list(_POSE)
            known = [name for name in _COLUMNS if name in columns]
            missing = [name for name in _POSE if name not in columns]
            if missing:
                raise ViewfinderError(
                    "a column is missing", file=odometry, field="line 1", expected=missing[0]
                )
            if header:
                continue
        by_name = dict(zip(columns, words))
        read = ",".join(by_name.get(name, "") for name in known)
        values.extend(numbers_in(read, len(known), odometry, number))
    if not values:
        raise ViewfinderError("holds no poses", file=odometry)
    return known, np.frombuffer(values, dtype=np.float64).reshape(-1, len(known))


def _frame_numbers(columns: list[str], rows: Array, odometry: Path) -> NDArray[np.int64]:
    if "frame" not in columns:
        return np.arange(len(rows))
    numbers = rows[:, columns.index("frame")]
    good = (numbers >= 0) & (numbers < _MOST_FRAME_NUMBER) & (numbers == np.floor(numbers))
    good[1:] &= np.diff(numbers) > 0
    if not good.all():
        row = int(np.argmin(good))
        raise ViewfinderError(
            "frame numbers don't rise",
            file=odometry,
            field=f"pose {row + 1}, frame",
            found=numbers[row],
        )
    return numbers.astype(np.int64)


def _cameras(
    folder: Path, columns: list[str], rows: Array, raster: tuple[int, int], odometry: Path
) -> tuple[Camera, ...]:
    if all(name in columns for name in _INTRINSICS):
        own = rows[:, [columns.index(name) for name in _INTRINSICS]]
        return tuple(
            checked_camera(row, raster, odometry, f"pose {index}, fx fy cx cy")
            for index, row in enumerate(own, 1)
        )
    file = folder / "camera_matrix.csv"
    if not file.is_file():
        return ()
    k = number_table(file, columns=3)
    if k.shape != (3, 3):
        raise ViewfinderError("not a camera matrix", file=file, expected="3 rows", found=len(k))
    return (checked_camera(k[[0, 1, 0, 1], [0, 1, 2, 2]], raster, file, "camera matrix"),)
