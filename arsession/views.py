"""A session's cameras as arrays, and points seen through all of them at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from arsession.session import Session
from runtime.camera import Camera
from runtime.errors import ViewfinderError

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Views:
    """F cameras in a world.

    Attributes:
        turns: (F, 3, 3) camera_from_world rotations.
        shifts: (F, 3) camera_from_world translations, metres.
        cameras: one for all frames, or one a frame.
        focal_px, principal_px, size_px: (F, 2).
    """

    turns: Array
    shifts: Array
    cameras: tuple[Camera, ...]
    focal_px: Array
    principal_px: Array
    size_px: Array

    @classmethod
    def of(cls, session: Session) -> Views:
        """The views of a session's frames.

        Raises:
            ViewfinderError: the recording has no intrinsics.
        """
        if not session.cameras:
            raise ViewfinderError(
                "the recording doesn't say what its camera was",
                file=session.path,
                expected="intrinsics",
            )
        return cls.of_poses(session.world_from_camera, session.cameras)

    @classmethod
    def of_poses(cls, world_from_camera: ArrayLike, cameras: tuple[Camera, ...]) -> Views:
        """Views from (F, 4, 4) poses, and cameras, one or F."""
        poses = np.asarray(world_from_camera, dtype=np.float64)
        turns = np.ascontiguousarray(poses[:, :3, :3].transpose(0, 2, 1))
        shifts = -np.einsum("fij,fj->fi", turns, poses[:, :3, 3])

        def column(values: list[tuple[float, float]]) -> Array:
            return np.broadcast_to(np.array(values, dtype=np.float64), (len(poses), 2))

        return cls(
            turns,
            shifts,
            cameras,
            column([(c.fx, c.fy) for c in cameras]),
            column([(c.cx, c.cy) for c in cameras]),
            column([(c.width, c.height) for c in cameras]),
        )

    def __len__(self) -> int:
        return len(self.turns)

    def only(self, frames: Sequence[int]) -> Views:
        """These frames alone, in that order."""
        which = np.asarray(frames, dtype=np.intp)
        cameras = tuple(self.cameras[i] for i in which) if len(self.cameras) > 1 else self.cameras
        columns = (self.focal_px[which], self.principal_px[which], self.size_px[which])
        return Views(self.turns[which], self.shifts[which], cameras, *columns)

    def camera(self, frame: int) -> Camera:
        """The intrinsics of one frame."""
        return self.cameras[frame if len(self.cameras) > 1 else 0]

    def centres_m(self) -> Array:
        """(F, 3) where the cameras stand in the world."""
        return np.asarray(-np.einsum("fji,fj->fi", self.turns, self.shifts))

    def in_camera(self, points_world_m: ArrayLike) -> Array:
        """(F, N, 3) the points in each camera's axes."""
        points = np.asarray(points_world_m, dtype=np.float64)
        return points @ self.turns.transpose(0, 2, 1) + self.shifts[:, None]

    def project(self, points_camera_m: Array) -> Array:
        """(F, N, 2) pixels of (F, N, 3) points in camera axes; NaN at or behind the camera."""
        # Only the distortion differs between cameras in more than two factors.
        lenses = [replace(c, fx=1.0, fy=1.0, cx=0.0, cy=0.0) for c in self.cameras]
        if all(lens.distortion == lenses[0].distortion for lens in lenses):
            flat = lenses[0].project(points_camera_m)
        else:
            flat = np.stack([lens.project(p) for lens, p in zip(lenses, points_camera_m)])
        return np.asarray(flat * self.focal_px[:, None] + self.principal_px[:, None])

    def seen_in(self, frame: int, points_world_m: ArrayLike) -> Array:
        """(N, 2) pixels of world points (N, 3) in one frame; NaN at or behind its camera."""
        points = np.asarray(points_world_m, dtype=np.float64)
        return self.camera(frame).project(points @ self.turns[frame].T + self.shifts[frame])

    def straightened_px(self, frame: int, px: ArrayLike) -> Array:
        """Where a picture without the lens's distortion would show those pixels, (..., 2)."""
        camera = self.camera(frame)
        points = np.asarray(px, dtype=np.float64)
        if not camera.distortion:
            return points
        return replace(camera, distortion=()).project(
            camera.unproject(points, np.ones(points.shape[:-1]))
        )
