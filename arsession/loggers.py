"""Recordings that are a list of poses: data loggers, Open3D's .log, TUM's trajectories.

Conventions, as the loggers' sources and documents state them:

- ARKit-Data-Logger (PyojinKim, `ARKit_camera_pose*.txt`): nanoseconds, then camera-to-world 3x4 in
  rows; camera axes ARKit's (x right, y up, z backward), world +y up.
- ARCore-Data-Logger (`ARCore_sensor_pose.txt`): nanoseconds, quaternion x y z w, translation of
  the Android sensor frame (x right, y up, z out of the screen), world +y up. The back camera looks
  along -z, so the same change of axes gives OpenCV's; the few millimetres between sensor and
  lens are not in the file.
- Open3D `.log` (open3d.org, file_io): blocks of `index index index` and a camera-to-world 4x4,
  OpenCV axes; no time. Stray's tools lay a mesh beside it, `integrated.ply`.
- Open3D `camera_trajectory.json` (PinholeCameraTrajectory): `extrinsic`, world to camera, and
  `intrinsic_matrix` are column-major; the middle of the picture is at width / 2 - 0.5
  (ViewControl.cpp), so a pixel's centre is at 0.
- TUM RGB-D (cvg.cit.tum.de/data/datasets/rgbd-dataset/file_formats): seconds, translation,
  quaternion x y z w of the camera in the world; OpenCV axes of the colour camera. The world is a
  motion capture system's with +z up in `groundtruth.txt`, and anything in a trajectory that a SLAM
  system wrote.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from arsession.boundary import (
    MOST_FRAMES,
    check_rigid,
    checked_camera,
    json_numbers,
    lines_of,
    number_table,
    numbers_in,
    read_json,
    since_start,
    transforms_3x4,
    transforms_from_quaternions,
)
from arsession.ply import points_beside
from arsession.session import Points, Session, no_points
from runtime.camera import OPENCV_FROM_OPENGL, Camera
from runtime.errors import ViewfinderError

Array = NDArray[np.float64]

_LOG_FRAMES_PER_SECOND = 60.0  # an Open3D log has no time; Stray Scanner records at 60
_JSON_FRAMES_PER_SECOND = 30.0  # nor has its list of cameras
_NANOSECOND = 1e-9


def read_arkit_logger(poses_file: Path) -> Session:
    """ARKit-Data-Logger's poses and cloud."""
    rows = number_table(poses_file, columns=13)
    world_from_arkit = transforms_3x4(rows[:, 1:].reshape(-1, 3, 4))
    return _logger_session("arkit-logger", poses_file, rows[:, 0], world_from_arkit)


def read_arcore_logger(poses_file: Path) -> Session:
    """ARCore-Data-Logger's poses and cloud."""
    rows = number_table(poses_file, columns=8)
    world_from_sensor = transforms_from_quaternions(rows[:, 1:5], rows[:, 5:8], poses_file)
    return _logger_session("arcore-logger", poses_file, rows[:, 0], world_from_sensor)


def _logger_session(
    kind: str, poses_file: Path, time_ns: Array, world_from_device: Array
) -> Session:
    check_rigid(world_from_device, poses_file)
    # A cloud belongs to the poses of the same name, whatever else lies in the folder.
    cloud = poses_file.with_name(
        poses_file.name.replace("camera_pose", "point_cloud").replace("sensor_pose", "point_cloud")
    )

    def load_points() -> Points:
        if not cloud.exists():
            return no_points()
        positions = number_table(cloud, columns=6)[:, :3]
        return Points(positions, np.arange(len(positions)))

    return Session(
        format=kind,
        path=poses_file,
        timestamps_s=since_start(time_ns, poses_file) * _NANOSECOND,
        world_from_camera=world_from_device @ OPENCV_FROM_OPENGL,
        world_up="+y",
        start_s=float(time_ns[0]) * _NANOSECOND,
        load_points=load_points,
    )


def read_open3d_log(log_file: Path) -> Session:
    """An Open3D trajectory, with the intrinsics that Stray's tools lay beside it."""
    matrices: list[list[float]] = []
    lines = 0
    for number, line in lines_of(log_file):
        lines += 1
        if lines % 5 != 1:
            matrices.append(numbers_in(line, 4, log_file, number))
    if lines == 0 or lines % 5:
        raise ViewfinderError(
            "not an Open3D trajectory",
            file=log_file,
            expected="5 lines a frame",
            found=f"{lines} lines",
        )
    world_from_camera = np.array(matrices).reshape(-1, 4, 4)
    check_rigid(world_from_camera, log_file)
    return Session(
        format="open3d-log",
        path=log_file,
        timestamps_s=np.arange(len(world_from_camera)) / _LOG_FRAMES_PER_SECOND,
        world_from_camera=world_from_camera,
        world_up="+y",
        cameras=_stray_cameras(log_file.parent),
        timed=False,
        load_points=lambda: points_beside(log_file.parent, "integrated.ply"),
    )


def read_open3d_json(file: Path) -> Session:
    """A trajectory as Open3D writes its cameras, one of its own a frame.

    Raises:
        ViewfinderError: a file that breaks the format; names the frame.
    """
    stored = read_json(file)
    frames = stored.get("parameters")
    if not isinstance(frames, list) or not 0 < len(frames) <= MOST_FRAMES:
        raise ViewfinderError("holds no cameras", file=file, field="parameters")
    camera_from_world, cameras = [], []
    for index, frame in enumerate(frames, 1):
        intrinsic = frame.get("intrinsic") if isinstance(frame, dict) else None
        if not isinstance(intrinsic, dict):
            raise ViewfinderError("not a camera", file=file, field=f"frame {index}")
        field = f"frame {index}, extrinsic"
        columns = json_numbers(frame.get("extrinsic"), 16, file, field)
        camera_from_world.append(columns.reshape(4, 4, order="F"))
        cameras.append(_open3d_camera(intrinsic, file, f"frame {index}, intrinsic"))
    matrices = np.array(camera_from_world)
    check_rigid(matrices, file)
    if len({(camera.width, camera.height) for camera in cameras}) > 1:
        raise ViewfinderError("pictures of several sizes are no recording", file=file)
    return Session(
        format="open3d-json",
        path=file,
        timestamps_s=np.arange(len(frames)) / _JSON_FRAMES_PER_SECOND,
        world_from_camera=np.linalg.inv(matrices),
        world_up="",
        cameras=tuple(cameras),
        timed=False,
    )


def _open3d_camera(intrinsic: dict[str, Any], file: Path, field: str) -> Camera:
    flat = json_numbers(intrinsic.get("intrinsic_matrix"), 9, file, field)
    k = flat.reshape(3, 3, order="F")[[0, 1, 0, 1], [0, 1, 2, 2]] + (0, 0, 0.5, 0.5)
    return checked_camera(k, (intrinsic.get("width"), intrinsic.get("height")), file, field)


def _stray_cameras(scene: Path) -> tuple[Camera, ...]:
    # Stray's tools keep one intrinsics file in the scene or in the data set around it.
    for folder in (scene, scene.parent):
        file = folder / "camera_intrinsics.json"
        if file.exists():
            stored = read_json(file)
            flat = json_numbers(stored.get("intrinsic_matrix"), 9, file, "intrinsic_matrix")
            k = flat.reshape(3, 3, order="F")
            camera = checked_camera(
                k[[0, 1, 0, 1], [0, 1, 2, 2]],
                (stored.get("width"), stored.get("height")),
                file,
                "intrinsic_matrix, width, height",
            )
            return (camera,)
    return ()


def read_tum(trajectory: Path) -> Session:
    """A trajectory in TUM's format."""
    rows = number_table(trajectory, columns=8)
    world_from_camera = transforms_from_quaternions(rows[:, 4:8], rows[:, 1:4], trajectory)
    check_rigid(world_from_camera, trajectory)
    return Session(
        format="tum",
        path=trajectory,
        timestamps_s=since_start(rows[:, 0], trajectory),
        world_from_camera=world_from_camera,
        world_up="+z" if trajectory.name == "groundtruth.txt" else "",
        start_s=float(rows[0, 0]),
    )
