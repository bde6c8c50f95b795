"""Poses with the tracker's drift taken out, and the file beside a recording that keeps them.

No Qt. By the clicks it takes a moment; by the pictures (bundle adjustment of followed features)
minutes: that is done once for a recording, in a process of its own, and kept.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from arsession.cuboid_file import Cuboid
from arsession.drift import refine_poses
from arsession.placing import DriftFrom, place
from arsession.session import Session
from arsession.tracks import follow_features
from arsession.views import Views
from runtime.durable import write_bytes_durably
from runtime.errors import ViewfinderError

Array = NDArray[np.float64]

FILE_NAME = "refined-poses.json"
_FORMAT, _FORMAT_VERSION = "viewfinder-poses", 1
_LARGEST_BYTES = 256 << 20
_RIGID = 1e-5


@dataclass(frozen=True)
class Correction:
    """What was done about drift.

    Attributes:
        by: "none" for the tracker's poses, "annotations" or "pictures".
        views: the cameras that boxes are seen by then.
        moved_most_m: how far a camera moved at most.
    """

    by: DriftFrom
    views: Views
    moved_most_m: float = 0.0

    def world_from_camera(self) -> Array:
        """(F, 4, 4) the poses."""
        poses = np.tile(np.eye(4), (len(self.views), 1, 1))
        poses[:, :3, :3] = self.views.turns.transpose(0, 2, 1)
        poses[:, :3, 3] = self.views.centres_m()
        return poses


def poses_sha256(recording: Session) -> str:
    """Of the tracker's poses: what tells a recording from others."""
    return sha256(np.ascontiguousarray(recording.world_from_camera).tobytes()).hexdigest()


def poses_file(project: Path) -> Path:
    """Where a recording's refined poses are kept."""
    return (project if project.is_dir() else project.parent) / FILE_NAME


def by_clicks(recording: Session, cuboids: Sequence[Cuboid], file: Path) -> Correction:
    """Cameras shifted to where the frames with clicks want them, between those linear in time.

    Args:
        recording: with the tracker's poses.
        cuboids: with clicks.
        file: for errors.

    Raises:
        ViewfinderError: no corner was clicked in two frames, or no box fits.
    """
    frames = {c.frame for box in cuboids for c in box.clicks if c.corner is not None}
    if len(frames) < 2:
        raise ViewfinderError(
            "drift shows only where corners are clicked in several frames",
            expected="corners in 2 frames or more",
            found=len(frames),
        )
    placed = place(recording, tuple(cuboids), file, "annotations")
    moved = float(placed.drift["moved_most_m"])
    return Correction("annotations", placed.views, moved)


def write_refined(
    recording: Session, file: Path, progress: Callable[[int, int], None] = lambda done, total: None
) -> None:
    """Refine a recording's poses on its pictures, and keep them.

    Raises:
        ViewfinderError: no pictures, too few features stand still, or it can't be written.
        ModuleNotFoundError: pycolmap or pyceres isn't installed.
    """
    if recording.pictures is None:
        raise ViewfinderError("poses can't be refined without pictures", file=recording.path)
    views = Views.of(recording)
    tracks = follow_features(recording.pictures, len(views), progress)
    refined = refine_poses(recording.world_from_camera, views, recording.timestamps_s, tracks)
    content = {
        "format": _FORMAT,
        "format_version": _FORMAT_VERSION,
        "tracker_sha256": poses_sha256(recording),
        **refined.to_json(),
        "world_from_camera": [pose.ravel().tolist() for pose in refined.world_from_camera],
    }
    write_bytes_durably(file, json.dumps(content, allow_nan=False).encode())


def read_refined(recording: Session, file: Path) -> Correction:
    """Poses that `write_refined` kept.

    Raises:
        ViewfinderError: no such file, or one of another recording.
    """
    try:
        if file.stat().st_size > _LARGEST_BYTES:
            raise ViewfinderError("is too large for poses", file=file, expected="at most 256 MB")
        content = json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise ViewfinderError("can't be read", file=file, found=error.strerror) from None
    except (ValueError, RecursionError) as error:
        raise ViewfinderError("isn't JSON", file=file, found=str(error)[:80]) from None
    if not isinstance(content, dict) or content.get("format") != _FORMAT:
        raise ViewfinderError("isn't a file of poses", file=file, field="format", expected=_FORMAT)
    if content.get("format_version") != _FORMAT_VERSION:
        raise ViewfinderError("another format version", file=file, expected=_FORMAT_VERSION)
    if content.get("tracker_sha256") != poses_sha256(recording):
        raise ViewfinderError(
            "belongs to another recording", file=file, field="tracker_sha256",
            hint="take it away; it is made anew when it is asked for",
        )  # fmt: skip
    poses = _rigid(content.get("world_from_camera"), len(recording.world_from_camera), file)
    moved = np.linalg.norm(poses[:, :3, 3] - recording.world_from_camera[:, :3, 3], axis=1)
    views = Views.of_poses(poses, recording.cameras)
    return Correction("pictures", views, float(moved.max()))


def _rigid(rows: object, frames: int, file: Path) -> Array:
    try:
        poses = np.array(rows, dtype=np.float64).reshape(frames, 4, 4)
        turns = poses[:, :3, :3]
        off = np.abs(turns @ turns.transpose(0, 2, 1) - np.eye(3)).max()
        right = off < _RIGID and (np.linalg.det(turns) > 0).all()
        right = right and bool((poses[:, 3] == [0, 0, 0, 1]).all())
    except (TypeError, ValueError):
        right = False
    if not right or not np.isfinite(poses).all():
        raise ViewfinderError(
            "holds no poses", file=file, field="world_from_camera",
            expected=f"{frames} rigid transforms of 16 numbers",
        )  # fmt: skip
    return poses
