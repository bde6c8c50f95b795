"""nerfstudio's and instant-ngp's `transforms.json`.

Facts from nerfstudio (docs/quickstart/data_conventions.md) and NVlabs/instant-ngp
(docs/nerf_dataset_tips.md, scripts/colmap2nerf.py): `transform_matrix` is camera-to-world with
OpenGL axes (x right, y up, z backward), the world's +z up, its scale arbitrary. Intrinsics stand
once for all or in each frame: fl_x, fl_y, cx, cy, w, h, or the fields of view camera_angle_x and
camera_angle_y; a pixel's centre is at .5. Distortion is OpenCV's k1, k2, p1, p2, k3. `file_path`
may lack its extension. `depth_file_path` is a 16-bit PNG in millimetres. `ply_file_path` holds
points of the same world; `applied_transform` tells what was done to it, and is no matter here.
"""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any, TypeGuard

import numpy as np

from arsession.boundary import (
    MOST_FRAMES,
    check_rigid,
    checked_camera,
    contained,
    json_numbers,
    read_json,
    transforms_3x4,
)
from arsession.pictures import EncodedPictures, file_depths, file_pictures
from arsession.ply import points_beside
from arsession.session import Session, no_points
from arsession.turning import fit_to_pictures
from runtime.camera import OPENCV_FROM_OPENGL, Camera
from runtime.errors import ViewfinderError

_FRAMES_PER_SECOND = 30.0  # the file has no time
_PINHOLES = ("OPENCV", "PINHOLE", "SIMPLE_PINHOLE", "SIMPLE_RADIAL", "RADIAL", "perspective")
_DISTORTION = ("k1", "k2", "p1", "p2", "k3")
_INTRINSICS = ("camera_model", "is_fisheye", "camera_angle_x", "camera_angle_y", "fl_x", "fl_y",
               "cx", "cy", "w", "h", "k4", *_DISTORTION)  # fmt: skip
_EXTENSIONS = ("", ".png", ".jpg", ".jpeg", ".PNG", ".JPG", ".JPEG")
_NUMBERS = re.compile(r"(\d+)")


def read_transforms(file: Path) -> Session:
    """The session that a transforms.json describes, frames in the order of their pictures' names.

    Raises:
        ViewfinderError: a file that breaks the format, a fisheye camera, or a path that leads
            out of the folder.
    """
    stored = read_json(file)
    frames = stored.get("frames")
    if not isinstance(frames, list) or not 0 < len(frames) <= MOST_FRAMES:
        raise ViewfinderError("holds no frames", file=file, field="frames")
    for index, frame in enumerate(frames, 1):
        if not isinstance(frame, dict) or not isinstance(frame.get("file_path", ""), str):
            raise ViewfinderError("not a frame", file=file, field=f"frame {index}")
    matrices = np.array([_matrix(frame, index, file) for index, frame in enumerate(frames, 1)])
    check_rigid(matrices, file)  # names them as they stand in the file
    numbered = sorted(
        enumerate(frames, 1), key=lambda pair: (natural(pair[1].get("file_path", "")), pair[0])
    )
    matrices = matrices[[index - 1 for index, _ in numbered]]
    paths = [_picture(frame, index, file) for index, frame in numbered]
    pictures = file_pictures(paths, file.parent)
    depths = [
        contained(file.parent, str(frame["depth_file_path"]), file, f"frame {index}")
        if "depth_file_path" in frame
        else None
        for index, frame in numbered
    ]
    turns = pictures.quarter_turns if pictures is not None else 0
    cloud = stored.get("ply_file_path")
    points = contained(file.parent, cloud, file, "ply_file_path") if _named(cloud) else None
    return fit_to_pictures(
        Session(
            format="transforms-json",
            path=file,
            timestamps_s=np.arange(len(frames)) / _FRAMES_PER_SECOND,
            world_from_camera=matrices @ OPENCV_FROM_OPENGL,
            world_up="+z",
            cameras=_cameras(stored, numbered, pictures, file),
            pictures=pictures,
            depths=file_depths(depths, file.parent, turns),
            timed=False,
            metric=False,
            load_points=lambda: (
                points_beside(points.parent, points.name) if points else no_points()
            ),
        )
    )


def natural(name: str) -> list[tuple[int, str]]:
    """A key that sorts frame_10 after frame_9."""
    return [
        (int(part[:18]), "") if part.isdecimal() else (-1, part) for part in _NUMBERS.split(name)
    ]


def _named(value: object) -> TypeGuard[str]:
    return isinstance(value, str) and bool(value)


def _matrix(frame: dict[str, Any], index: int, file: Path) -> np.ndarray:
    field = f"frame {index}, transform_matrix"
    flat = json_numbers(frame.get("transform_matrix"), None, file, field)
    if len(flat) == 12:
        return transforms_3x4(flat.reshape(1, 3, 4))[0]
    return json_numbers(frame.get("transform_matrix"), 16, file, field).reshape(4, 4)


def _picture(frame: dict[str, Any], index: int, file: Path) -> Path | None:
    name = frame.get("file_path")
    if not name:
        return None
    field = f"frame {index}, file_path"
    name = name.replace("\\", "/")  # written on Windows
    for extension in _EXTENSIONS:
        path = contained(file.parent, name + extension, file, field)
        if path.is_file():
            return path
    return contained(file.parent, name, file, field)


def _cameras(
    stored: dict[str, Any],
    numbered: list[tuple[int, dict[str, Any]]],
    pictures: EncodedPictures | None,
    file: Path,
) -> tuple[Camera, ...]:
    raster = pictures.raster if pictures is not None else None
    if not any(key in frame for _, frame in numbered for key in _INTRINSICS):
        shared = _camera(stored, raster, file, "fl_x, fl_y, cx, cy, w, h")
        return () if shared is None else (shared,)
    cameras = [
        _camera({**stored, **frame}, raster, file, f"frame {index}, fl_x, fl_y, cx, cy, w, h")
        for index, frame in numbered
    ]
    known = tuple(camera for camera in cameras if camera is not None)
    if len(known) != len(cameras) or len({(c.width, c.height) for c in known}) > 1:
        raise ViewfinderError(
            "frames of one recording have one size, and all have intrinsics", file=file
        )
    return known


def _camera(
    values: dict[str, Any], raster: tuple[int, int] | None, file: Path, field: str
) -> Camera | None:
    model = values.get("camera_model", "OPENCV")
    fisheye = values.get("is_fisheye") or model not in _PINHOLES
    if fisheye or (model == "OPENCV" and values.get("k4")):
        raise ViewfinderError(
            "only pinhole cameras with OpenCV's distortion can be read",
            file=file,
            field="camera_model",
            found=model,
        )

    def number(name: str, default: float | None = None) -> float:
        if name not in values and default is not None:
            return default
        return float(json_numbers(values.get(name), 1, file, name)[0])

    width, height = values.get("w"), values.get("h")
    if width is None or height is None:
        if raster is None:
            return None
        width, height = raster

    def focal(axis: str, side: float) -> float | None:
        if f"fl_{axis}" in values:
            return number(f"fl_{axis}")
        if f"camera_angle_{axis}" in values:
            return side / 2 / math.tan(min(max(number(f"camera_angle_{axis}"), 1e-6), 3.1) / 2)
        return None

    across, down = focal("x", float(width)), focal("y", float(height))
    if across is None and down is None:
        return None
    fx, fy = (down if across is None else across), (across if down is None else down)
    cx, cy = number("cx", float(width) / 2), number("cy", float(height) / 2)
    distortion = tuple(number(name, 0.0) for name in _DISTORTION)
    return checked_camera(np.array([fx, fy, cx, cy]), (width, height), file, field, distortion)
