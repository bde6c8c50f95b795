"""Stray Scanner recordings.

Facts from kekeblom/StrayVisualizer (`stray_visualize.py`, which hands these poses to Open3D as they
are): `odometry.csv` holds camera-to-world, translation then quaternion x y z w, OpenCV axes; the
world is ARKit's, +y up. Newer files begin with timestamp and frame number and may end with fx, fy,
cx, cy of the frame; older ones have seven columns and run at 60 frames a second.
`camera_matrix.csv` is for the video's raster, 1920 x 1440. `depth/NNNNNN.png` is in millimetres.
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
from arsession.pictures import VideoPictures, file_depths
from arsession.session import Session
from arsession.turning import fit_to_pictures
from runtime.camera import Camera
from runtime.errors import ViewfinderError

Array = NDArray[np.float64]

_POSE = ("x", "y", "z", "qx", "qy", "qz", "qw")
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
    pictures = VideoPictures(video, numbers) if video.is_file() else None
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


def _table(odometry: Path) -> tuple[list[str], Array]:
    columns: list[str] = []
    values = array("d")
    for number, line in lines_of(odometry):
        if not columns:
            columns = [word.strip() for word in line.split(",")]
            missing = [name for name in _POSE if name not in columns]
            if missing:
                raise ViewfinderError(
                    "a column is missing", file=odometry, field="line 1", expected=missing[0]
                )
        else:
            values.extend(numbers_in(line, len(columns), odometry, number, comma=True))
    if not values:
        raise ViewfinderError("holds no poses", file=odometry)
    return columns, np.frombuffer(values, dtype=np.float64).reshape(-1, len(columns))


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
    names = ("fx", "fy", "cx", "cy")
    if all(name in columns for name in names):
        own = rows[:, [columns.index(name) for name in names]]
        return tuple(
            checked_camera(row, raster, odometry, f"pose {index}, fx fy cx cy")
            for index, row in enumerate(own, 1)
        )
    file = folder / "camera_matrix.csv"
    if not file.is_file():
        return ()
    k = number_table(file, columns=3, comma=True)
    if k.shape != (3, 3):
        raise ViewfinderError("not a camera matrix", file=file, expected="3 rows", found=len(k))
    return (checked_camera(k[[0, 1, 0, 1], [0, 1, 2, 2]], raster, file, "camera matrix"),)
