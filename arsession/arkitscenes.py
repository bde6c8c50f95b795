"""ARKitScenes recordings.

Facts from apple/ARKitScenes (DATA.md, raw/README.md, threedod/README.md, tenFpsDataLoader.py): a
`.traj` line is a timestamp, an axis-angle rotation and a translation that take the world to the
camera, OpenCV axes; boxes turn about the world's z, which is up. A `.pincam` file holds width,
height, fx, fy, cx, cy of one picture. Files of a frame carry its timestamp in their name,
which agrees with the trajectory's to about a millisecond; depth is in millimetres.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from arsession.boundary import MOST_FRAMES, check_rigid, checked_camera, number_table, since_start
from arsession.pictures import file_depths, file_pictures
from arsession.session import Session
from arsession.turning import fit_to_pictures
from runtime.camera import Camera
from runtime.errors import ViewfinderError

_PICTURE_FOLDERS = ("wide", "vga_wide", "lowres_wide")  # the finest first
_DEPTH_FOLDERS = ("highres_depth", "lowres_depth", "depth_densified")
_SAME_TIME_S = 0.002
Stamped = tuple[NDArray[np.float64], list[Path]]


def read_arkitscenes(trajectory: Path) -> Session:
    """The session around a `.traj` file; its frames are the trajectory's poses.

    Raises:
        ViewfinderError: a file that breaks the format, or pictures without intrinsics.
    """
    rows = number_table(trajectory, columns=7)
    from scipy.spatial.transform import Rotation

    camera_from_world = np.tile(np.eye(4), (len(rows), 1, 1))
    camera_from_world[:, :3, :3] = Rotation.from_rotvec(rows[:, 1:4]).as_matrix()
    camera_from_world[:, :3, 3] = rows[:, 4:7]
    world_from_camera = np.linalg.inv(camera_from_world)
    check_rigid(world_from_camera, trajectory)
    folder, times = trajectory.parent, rows[:, 0]
    since = since_start(times, trajectory)
    paths, name = _best_pictures(folder, times)
    pictures = file_pictures(paths, folder)
    cameras = _cameras(folder, name, times, paths) if pictures is not None else ()
    depths: list[Path | None] = []
    for depth_folder in _DEPTH_FOLDERS:
        if not any(depths):
            depths = _nearest(_stamped(folder / depth_folder, "*.png"), times)
    return fit_to_pictures(
        Session(
            format="arkitscenes",
            path=trajectory,
            timestamps_s=since,
            world_from_camera=world_from_camera,
            world_up="+z",
            cameras=cameras,
            pictures=pictures,
            depths=file_depths(depths, folder, pictures.quarter_turns if pictures else 0),
            start_s=float(times[0]),
        )
    )


def _best_pictures(folder: Path, times: NDArray[np.float64]) -> tuple[list[Path | None], str]:
    found = [(_nearest(_stamped(folder / name, "*.png"), times), name) for name in _PICTURE_FOLDERS]
    # `max` keeps the first of equals, the finest.
    return max(found, key=lambda entry: sum(path is not None for path in entry[0]))


def _stamped(folder: Path, pattern: str) -> Stamped:
    pairs = []
    for file in folder.glob(pattern):
        if file.name.startswith("._"):  # macOS lays them beside
            continue
        try:
            pairs.append((float(file.stem.rsplit("_", 1)[-1]), file))
        except ValueError:
            raise ViewfinderError(
                "no timestamp in a file's name", file=file, expected="VIDEO_SECONDS" + file.suffix
            ) from None
        if len(pairs) > MOST_FRAMES:
            raise ViewfinderError("too many files", file=folder)
    pairs.sort()
    return np.array([stamp for stamp, _ in pairs]), [file for _, file in pairs]


def _nearest(stamped: Stamped, times: NDArray[np.float64]) -> list[Path | None]:
    stamps, files = stamped
    if not files:
        return [None] * len(times)
    after = np.clip(np.searchsorted(stamps, times), 1, max(len(stamps) - 1, 1))
    before = after - 1
    after = np.minimum(after, len(stamps) - 1)
    closer = np.abs(stamps[before] - times) <= np.abs(stamps[after] - times)
    index = np.where(closer, before, after)
    near = np.abs(stamps[index] - times) <= _SAME_TIME_S
    return [files[i] if good else None for i, good in zip(index, near)]


def _cameras(
    folder: Path, name: str, times: NDArray[np.float64], pictures: list[Path | None]
) -> tuple[Camera, ...]:
    files: list[Path | None] = []
    for intrinsics in (f"{name}_intrinsics", "color_intrinsics"):
        if not any(files):
            files = _nearest(_stamped(folder / intrinsics, "*.pincam"), times)
    cameras: list[Camera] = []
    known: Camera | None = None
    for frame, file in enumerate(files):
        if file is not None:
            row = number_table(file, columns=6)[0]
            known = checked_camera(row[2:6], (row[0], row[1]), file, "width height fx fy cx cy")
        elif pictures[frame] is not None:
            raise ViewfinderError(
                "a picture has no intrinsics", file=pictures[frame], expected="a .pincam file"
            )
        if known is not None:
            cameras += [known] * (frame + 1 - len(cameras))  # frames without a picture follow suit
    cameras += cameras[-1:] * (len(times) - len(cameras))
    return tuple(cameras)
