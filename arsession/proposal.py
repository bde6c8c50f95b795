"""A first box, proposed by a network: its keypoints become clicks that a person may move."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from arsession.cuboid_evidence import Click
from arsession.cuboid_file import Cuboid
from arsession.session import Session
from runtime.errors import ViewfinderError
from runtime.solutions import Solution

_SIGMA_OF_DIAGONAL = 0.03
"""Of the box's picture: how far a network's keypoints are off, against a person's few pixels."""
_LEAST_SIGMA_PX = 4.0


def propose(
    session: Session, solution: Solution, frames: Sequence[int], category: str = ""
) -> Cuboid:
    """The best subject of each frame, taken for one object, as clicks.

    Args:
        session: with pictures.
        solution: that finds cuboid9 subjects, every picture on its own.
        frames: to look at.
        category: what the box is called.

    Raises:
        ViewfinderError: a frame that isn't there, or nothing found in any of them.
    """
    pictures = session.pictures
    if pictures is None:
        raise ViewfinderError("the recording has no pictures to look at", file=session.path)
    last = len(session.timestamps_s) - 1
    clicks: list[Click] = []
    for frame in frames:
        if not 0 <= frame <= last or not pictures.has(frame):
            raise ViewfinderError(
                "no picture of this frame", file=session.path, field="--frame",
                expected=f"0 .. {last}", found=frame,
            )  # fmt: skip
        rgb = pictures.read(frame)
        height, width = rgb.shape[:2]
        camera = session.camera_at(frame)
        focal = None if camera is None else camera.fx
        found = [
            one for one in solution.process(rgb, frame, focal_px=focal) if len(one.keypoints) == 9
        ]
        if not found:
            continue
        px = max(found, key=lambda one: one.score).keypoints_px(width, height)[:, :2]
        sigma = max(_LEAST_SIGMA_PX, _SIGMA_OF_DIAGONAL * float(np.linalg.norm(np.ptp(px, axis=0))))
        clicks += [
            Click(frame, (float(px[k, 0]), float(px[k, 1])), corner=k, sigma_px=round(sigma, 2))
            for k in range(1, 9)
        ]
    if not clicks:
        raise ViewfinderError(
            "the model found no box", file=session.path, field="--frame", found=list(frames)[:8],
            hint="try another frame or a lower --min-score",
        )  # fmt: skip
    return Cuboid(0, category, tuple(clicks))
