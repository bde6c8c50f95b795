"""What an AR recording holds, whatever wrote it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from runtime.camera import Camera


@dataclass(frozen=True)
class Session:
    """A recording's frames in order of time.

    Attributes:
        format: which reader made it, as `arkit-logger`.
        path: the folder or pose file that was read.
        timestamps_s: (F,) seconds since the first frame.
        world_from_camera: (F, 4, 4) rigid transforms, camera axes OpenCV's, metres.
        world_up: axis of the recording's world that points away from gravity, as "+y".
        camera: intrinsics where the recording has them.
        points_world_m: (P, 3) the tracker's cloud, empty where there is none.
        images: one path a frame, empty where the recording has no pictures.
        planes: number of planes the tracker found.
    """

    format: str
    path: Path
    timestamps_s: NDArray[np.float64]
    world_from_camera: NDArray[np.float64]
    world_up: str
    camera: Camera | None = None
    points_world_m: NDArray[np.float64] = field(default_factory=lambda: np.empty((0, 3)))
    images: tuple[Path, ...] = ()
    planes: int = 0

    @property
    def duration_s(self) -> float:
        """Time from the first frame to the last."""
        return float(self.timestamps_s[-1] - self.timestamps_s[0])

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
            "images": bool(self.images),
            "points": len(self.points_world_m),
            "planes": self.planes,
            "size": None if camera is None else [camera.width, camera.height],
            "path_length_m": round(self.path_length_m(), 4),
        }
