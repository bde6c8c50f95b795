"""Folders with one JSON file a frame: Polycam and 3D Scanner App.

Facts:

- Polycam (PolyCam/polyform, README): `keyframes/cameras/T.json`, T microseconds, with t_00 to t_23,
  a row-major 3x4 camera-to-world, fx, fy, cx, cy, width, height; ARKit's axes and world, +y up.
  `corrected_cameras` and `corrected_images` are after its own optimisation and to be preferred.
  `depth/T.png` is in millimetres.
- 3D Scanner App (Laan Labs; its users reshape both in rows): `frame_NNNNN.json` with
  cameraPoseARFrame, a row-major 4x4 camera-to-world in ARKit's axes, and a row-major 3x3
  intrinsics for the full picture; `time` in seconds. Pictures, `frame_NNNNN.jpg`, are kept for
  some frames only; `depth_NNNNN.png` is in millimetres. `points.ply` is the fused cloud.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from arsession.boundary import (
    MOST_FRAMES,
    check_rigid,
    checked_camera,
    json_numbers,
    read_json,
    since_start,
    transforms_3x4,
)
from arsession.pictures import file_depths, file_pictures
from arsession.ply import points_beside
from arsession.session import Session
from arsession.turning import fit_to_pictures
from runtime.camera import OPENCV_FROM_OPENGL, Camera
from runtime.errors import ViewfinderError

_LARGEST_FRAME_BYTES = 2**20
_MICROSECOND = 1e-6
_ENTRIES = [f"t_{row}{column}" for row in range(3) for column in range(4)]
_RASTER = (1920, 1440)


def read_polycam(first: Path) -> Session:
    """The session in a Polycam raw data folder.

    Args:
        first: any JSON file in its `cameras` or `corrected_cameras`.
    """
    folder = first.parent
    files = _numbered(folder, re.compile(r"(\d+)\.json"))
    poses, cameras = [], []
    for _, file in files:
        frame = read_json(file, _LARGEST_FRAME_BYTES)
        poses.append([json_numbers(frame.get(name), 1, file, name)[0] for name in _ENTRIES])
        intrinsics = [
            json_numbers(frame.get(name), 1, file, name)[0] for name in ("fx", "fy", "cx", "cy")
        ]
        size = (frame.get("width"), frame.get("height"))
        cameras.append(checked_camera(np.array(intrinsics), size, file, "fx, fy, cx, cy"))
    world_from_arkit = transforms_3x4(np.array(poses).reshape(-1, 3, 4))
    check_rigid(world_from_arkit, folder)
    times = np.array([number for number, _ in files], dtype=np.float64) * _MICROSECOND
    images = folder.parent / folder.name.replace("cameras", "images")
    pictures = file_pictures(
        [_first_file(images, file.stem, (".jpg", ".jpeg", ".png")) for _, file in files], images
    )
    depths = [folder.parent / "depth" / f"{file.stem}.png" for _, file in files]
    return fit_to_pictures(
        Session(
            format="polycam",
            path=folder.parent.parent,
            timestamps_s=since_start(times, folder),
            world_from_camera=world_from_arkit @ OPENCV_FROM_OPENGL,
            world_up="+y",
            cameras=_of_one_size(cameras, folder),
            pictures=pictures,
            depths=file_depths(depths, folder, pictures.quarter_turns if pictures else 0),
            start_s=float(times[0]),
        )
    )


def read_3d_scanner_app(first: Path) -> Session:
    """The session in a 3D Scanner App export.

    Args:
        first: any of its frame_NNNNN.json.
    """
    folder = first.parent
    files = _numbered(folder, re.compile(r"frame_(\d+)\.json"))
    stems = [file.stem for _, file in files]
    pictures = file_pictures(
        [_first_file(folder, stem, (".jpg", ".png")) for stem in stems], folder
    )
    raster = pictures.raster if pictures is not None else _RASTER
    poses, cameras, times = [], [], []
    for _, file in files:
        frame = read_json(file, _LARGEST_FRAME_BYTES)
        poses.append(json_numbers(frame.get("cameraPoseARFrame"), 16, file, "cameraPoseARFrame"))
        k = json_numbers(frame.get("intrinsics"), 9, file, "intrinsics")
        cameras.append(checked_camera(k[[0, 4, 2, 5]], raster, file, "intrinsics"))
        times.append(
            float(json_numbers(frame["time"], 1, file, "time")[0]) if "time" in frame else np.nan
        )
    world_from_arkit = np.array(poses).reshape(-1, 4, 4)
    check_rigid(world_from_arkit, folder)
    timed = bool(np.isfinite(times).all())
    stamps = np.array(times) if timed else np.arange(len(files)) / 60.0
    depths = [folder / f"depth_{stem.removeprefix('frame_')}.png" for stem in stems]
    return fit_to_pictures(
        Session(
            format="3d-scanner-app",
            path=folder,
            timestamps_s=since_start(stamps, folder),
            world_from_camera=world_from_arkit @ OPENCV_FROM_OPENGL,
            world_up="+y",
            cameras=tuple(cameras),
            pictures=pictures,
            depths=file_depths(depths, folder, pictures.quarter_turns if pictures else 0),
            start_s=float(stamps[0]),
            timed=timed,
            load_points=lambda: points_beside(folder, "points.ply"),
        )
    )


def _numbered(folder: Path, name: re.Pattern[str]) -> list[tuple[int, Path]]:
    found = [
        (int(match[1]), file)
        for file in folder.iterdir()
        if (match := name.fullmatch(file.name)) and len(match[1]) <= 18
    ]
    if not found or len(found) > MOST_FRAMES:
        raise ViewfinderError(
            "no frames here", file=folder, expected=f"files named {name.pattern}", found=len(found)
        )
    return sorted(found)


def _first_file(folder: Path, stem: str, extensions: tuple[str, ...]) -> Path | None:
    return next((p for e in extensions if (p := folder / f"{stem}{e}").is_file()), None)


def _of_one_size(cameras: list[Camera], folder: Path) -> tuple[Camera, ...]:
    sizes: NDArray[np.int64] = np.array([(camera.width, camera.height) for camera in cameras])
    if (sizes != sizes[0]).any():
        row = int((sizes != sizes[0]).any(axis=1).argmax())
        raise ViewfinderError(
            "the picture changes its size",
            file=folder,
            field=f"frame {row + 1}, width, height",
            expected=f"{sizes[0][0]} x {sizes[0][1]}",
            found=f"{sizes[row][0]} x {sizes[row][1]}",
        )
    return tuple(cameras)
