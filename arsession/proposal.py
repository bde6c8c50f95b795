"""A first box, proposed by a network: its keypoints become clicks that a person may move."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from arsession.cuboid_evidence import Click
from arsession.cuboid_file import Cuboid
from arsession.session import Session
from bootstrap.training.symmetry import OPPOSITE
from runtime.box_refinement import right_angled
from runtime.cuboid import lift_cuboid
from runtime.errors import ViewfinderError
from runtime.results import Subject
from runtime.solutions import Solution

Array = NDArray[np.float64]

_SIGMA_OF_DIAGONAL = 0.03
"""Of the box's picture: how far a network's keypoints are off, against a person's few pixels."""
_LEAST_SIGMA_PX = 4.0
_ALIKE = math.cos(math.radians(45))
"""Of two fronts' angle, or one front's and the other's back: beyond it they are of no one box."""


def propose(
    session: Session, solution: Solution, frames: Sequence[int], category: str = ""
) -> Cuboid:
    """The best subject of each frame, taken for one object, as clicks.

    Networks call that side of something symmetric its front that faces the camera: in frames from
    opposite sides the same corner has two names. The surest frame's holds; a frame that fits it
    neither so nor turned by half is left out.

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
    seen: dict[int, tuple[float, Array]] = {}
    for frame in frames:
        if not 0 <= frame <= last or not pictures.has(frame):
            raise ViewfinderError(
                "no picture of this frame", file=session.path, field="--frame",
                expected=f"0 .. {last}", found=frame,
            )  # fmt: skip
        rgb = pictures.read(frame)
        best = _best(solution, rgb, frame, session)
        if best is not None:
            seen[frame] = (best.score, _pixels(best, rgb))
    clicks = [
        Click(frame, (float(px[k, 0]), float(px[k, 1])), corner=k, sigma_px=_sigma_px(px))
        for frame, px in _of_one_box(session, seen).items()
        for k in range(1, 9)
    ]
    if not clicks:
        raise ViewfinderError(
            "the model found no box", file=session.path, field="--frame", found=list(frames)[:8],
            hint="try another frame or a lower --min-score",
        )  # fmt: skip
    return Cuboid(0, category, tuple(clicks))


def _best(
    solution: Solution, rgb: NDArray[np.uint8], frame: int, session: Session
) -> Subject | None:
    camera = session.camera_at(frame)
    focal = None if camera is None else camera.fx
    found = [s for s in solution.process(rgb, frame, focal_px=focal) if len(s.keypoints) == 9]
    return max(found, key=lambda one: one.score, default=None)


def _pixels(found: Subject, rgb: NDArray[np.uint8]) -> Array:
    height, width = rgb.shape[:2]
    return np.asarray(found.keypoints_px(width, height)[:, :2], dtype=np.float64)


def _sigma_px(px: Array) -> float:
    diagonal = float(np.linalg.norm(np.ptp(px, axis=0)))
    return round(max(_LEAST_SIGMA_PX, _SIGMA_OF_DIAGONAL * diagonal), 2)


def _of_one_box(session: Session, seen: dict[int, tuple[float, Array]]) -> dict[int, Array]:
    """Frame -> (9, 2) keypoints, named alike in all frames."""
    fronts = {frame: _front(session, frame, px) for frame, (_, px) in seen.items()}
    surest = max(seen, key=lambda frame: seen[frame][0], default=-1)
    named = {}
    for frame, (_, px) in seen.items():
        same = 1.0 if frame == surest else float(fronts[frame] @ fronts[surest])
        if abs(same) >= _ALIKE:
            named[frame] = px if same > 0 else px[list(OPPOSITE)]
    return named


def _front(session: Session, frame: int, px: Array) -> Array:
    """(3,) where the front of a frame's box looks to in the world; 0 where they make no box."""
    camera = session.camera_at(frame)
    box = None if camera is None else lift_cuboid(px, camera)
    if camera is None or box is None:
        return np.zeros(3)
    turn = session.world_from_camera[frame][:3, :3]
    return np.asarray(turn @ right_angled(box, px, camera).rotation[:, 2])
