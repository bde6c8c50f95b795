"""What an AR recording holds, whatever wrote it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from runtime.camera import Camera

Array = NDArray[np.float64]

TRACKING_STATES = ("unavailable", "limited", "normal")


class Pictures(Protocol):
    """A recording's pictures, read when asked for.

    Attributes:
        size: width and height of every picture as `read` gives it.
        quarter_turns: how often the stored raster, which the intrinsics in the file describe, is
            turned clockwise to give that picture.
    """

    size: tuple[int, int]
    quarter_turns: int

    def read(self, frame: int) -> NDArray[np.uint8]:
        """(H, W, 3) uint8 RGB, upright; raises ViewfinderError where it can't be read."""
        ...

    def has(self, frame: int) -> bool:
        """Whether the recording has a picture of that frame."""
        ...


class Depths(Protocol):
    """A recording's depth images, read when asked for."""

    def read(self, frame: int) -> NDArray[np.float32] | None:
        """(H, W) metres along the optical axis, 0 where there is none; None for no image.

        It covers the same view as the picture, at its own resolution.
        """
        ...


@dataclass(frozen=True)
class Plane:
    """A flat surface that the tracker found, as it last saw it.

    Attributes:
        identifier: the tracker's name for it.
        centre_world_m: (3,) metres.
        normal_world: (3,) unit length; of a horizontal plane it points up.
        boundary_world_m: (N, 3) corners of its outline, empty where unknown.
        alignment: "horizontal", "vertical" or "" for unknown.
    """

    identifier: str
    centre_world_m: Array
    normal_world: Array
    boundary_world_m: Array
    alignment: str = ""


@dataclass(frozen=True)
class Points:
    """A tracker's cloud.

    Attributes:
        positions_world_m: (P, 3) metres.
        ids: (P,) int64; the same point has the same id in every frame. Row numbers where the
            recording names none.
    """

    positions_world_m: Array
    ids: NDArray[np.int64]


def no_points() -> Points:
    """A cloud without points."""
    return Points(np.empty((0, 3)), np.empty(0, np.int64))


def _no_planes() -> tuple[Plane, ...]:
    return ()


@dataclass(frozen=True)
class Session:
    """A recording's frames in order of time.

    Pictures, depth, points and planes are read when first asked for; a file that turns out to be
    damaged then raises ViewfinderError.

    Attributes:
        format: which reader made it, as `arkit-logger`.
        path: the folder or pose file that was read.
        timestamps_s: (F,) seconds since the first frame.
        world_from_camera: (F, 4, 4) rigid transforms, camera axes OpenCV's, metres. The camera is
            that of the upright picture: where a video is turned when shown, so are the axes.
        world_up: axis of the recording's world that points away from gravity, as "+y"; "" where
            the recording doesn't know.
        cameras: intrinsics: none, one for all frames, or one a frame, all of one size.
        pictures, depths: None where the recording has none.
        tracking: one of TRACKING_STATES a frame; empty where the recording doesn't say.
        start_s: the recorder's own clock at the first frame.
        timed: whether the timestamps come from the recording; otherwise they count frames.
        metric: whether lengths are metres; otherwise the scale is arbitrary.
        load_points, load_planes: read the whole cloud and the planes.
        load_frame_points: reads the points seen in one frame, where the recording keeps that.
    """

    format: str
    path: Path
    timestamps_s: Array
    world_from_camera: Array
    world_up: str
    cameras: tuple[Camera, ...] = ()
    pictures: Pictures | None = None
    depths: Depths | None = None
    tracking: tuple[str, ...] = ()
    start_s: float = 0.0
    timed: bool = True
    metric: bool = True
    load_points: Callable[[], Points] = field(default=no_points, repr=False)
    load_planes: Callable[[], tuple[Plane, ...]] = field(default=_no_planes, repr=False)
    load_frame_points: Callable[[int], Points] | None = field(default=None, repr=False)

    @cached_property
    def points(self) -> Points:
        """The tracker's whole cloud."""
        return self.load_points()

    @cached_property
    def planes(self) -> tuple[Plane, ...]:
        """The planes that the tracker found."""
        return self.load_planes()

    @property
    def points_world_m(self) -> Array:
        """(P, 3) positions of the whole cloud."""
        return self.points.positions_world_m

    @property
    def duration_s(self) -> float:
        """Time from the first frame to the last."""
        return float(self.timestamps_s[-1] - self.timestamps_s[0])

    @property
    def up_world(self) -> Array | None:
        """(3,) unit vector away from gravity, None where the recording doesn't know."""
        if not self.world_up:
            return None
        up = np.zeros(3)
        up["xyz".index(self.world_up[1])] = 1.0 if self.world_up[0] == "+" else -1.0
        return up

    @property
    def camera(self) -> Camera | None:
        """The first frame's intrinsics."""
        return self.cameras[0] if self.cameras else None

    def camera_at(self, frame: int) -> Camera | None:
        """Intrinsics of one frame."""
        return self.cameras[frame] if len(self.cameras) > 1 else self.camera

    def path_length_m(self) -> float:
        """How far the camera travelled."""
        steps = np.diff(self.world_from_camera[:, :3, 3], axis=0)
        return float(np.linalg.norm(steps, axis=1).sum())

    def info(self) -> dict[str, object]:
        """The summary that `viewfinder session info --json` prints."""
        camera = self.camera
        return {
            "format": self.format,
            "frames": len(self.timestamps_s),
            "duration_s": round(self.duration_s, 6),
            "images": self.pictures is not None,
            "points": len(self.points_world_m),
            "planes": len(self.planes),
            "size": None if camera is None else [camera.width, camera.height],
            "path_length_m": round(self.path_length_m(), 4),
        }
