"""Image features followed through a session's pictures."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from arsession.session import Pictures

Array = NDArray[np.float64]

_WORKING_SIDE_PX = 960
_FEATURES = 400
_QUALITY = 0.01
_SPACING_PX = 12
_WINDOW_PX = 21
_LEVELS = 4
_THERE_AND_BACK_PX = 0.5
"""Followed back to where it came from, a feature must be this near."""


@dataclass(frozen=True)
class Tracks:
    """Sightings of points that stand still.

    Attributes:
        frames: (O,) in which each sighting was made.
        points: (O,) which point it is, 0 .. P - 1.
        px: (O, 2) pixels.
    """

    frames: NDArray[np.int64]
    points: NDArray[np.int64]
    px: Array

    @property
    def count(self) -> int:
        """P, the number of points."""
        return int(self.points.max()) + 1 if len(self.points) else 0

    def kept(self, which: NDArray[np.bool_]) -> Tracks:
        """Only those sightings; points are numbered anew."""
        _, points = np.unique(self.points[which], return_inverse=True)
        return Tracks(self.frames[which], points, self.px[which])


def follow_features(
    pictures: Pictures,
    frames: int,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Tracks:
    """Corners followed from picture to picture (pyramidal Lucas-Kanade), forwards and back.

    Pictures are made smaller first, so that the longer side is at most 960 pixels. Frames without
    a picture are passed over.

    Args:
        pictures: of the session.
        frames: how many.
        progress: called with frames done and in all.
    """
    import cv2

    longest = max(pictures.size)
    scale = min(1.0, _WORKING_SIDE_PX / longest)
    seen: list[tuple[int, NDArray[np.int64], NDArray[np.float32]]] = []
    at = np.empty((0, 2), np.float32)
    ids = np.empty(0, np.int64)
    fresh = 0
    before: NDArray[np.uint8] | None = None
    for frame in range(frames):
        if not pictures.has(frame):
            continue
        grey = cv2.cvtColor(pictures.read(frame), cv2.COLOR_RGB2GRAY)
        if scale < 1:
            grey = cv2.resize(grey, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        if before is not None and len(at):
            at, kept = _followed(before, grey, at)
            ids = ids[kept]
        if len(at) < _FEATURES:
            more = _new_corners(grey, at, _FEATURES - len(at))
            ids = np.concatenate([ids, np.arange(fresh, fresh + len(more))])
            at = np.concatenate([at, more])
            fresh += len(more)
        # OpenCV counts from a pixel's centre.
        seen.append((frame, ids, (at + 0.5) / scale))
        before = grey
        progress(frame + 1, frames)
    if not seen:
        return Tracks(np.empty(0, np.int64), np.empty(0, np.int64), np.empty((0, 2)))
    return Tracks(
        np.concatenate([np.full(len(i), f) for f, i, _ in seen]),
        np.concatenate([i for _, i, _ in seen]),
        np.concatenate([p for _, _, p in seen]).astype(np.float64),
    )


def _followed(
    before: NDArray[np.uint8], after: NDArray[np.uint8], at: NDArray[np.float32]
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    import cv2

    options: dict[str, Any] = {"winSize": (_WINDOW_PX, _WINDOW_PX), "maxLevel": _LEVELS}
    start: Any = at
    there, found, _ = cv2.calcOpticalFlowPyrLK(before, after, start, None, **options)
    back, returned, _ = cv2.calcOpticalFlowPyrLK(after, before, there, None, **options)
    near = np.linalg.norm(back - at, axis=1) < _THERE_AND_BACK_PX
    height, width = after.shape
    inside = ((there >= 0) & (there <= (width - 1, height - 1))).all(axis=1)
    kept = (found[:, 0] == 1) & (returned[:, 0] == 1) & near & inside
    return there[kept], kept


def _new_corners(
    grey: NDArray[np.uint8], at: NDArray[np.float32], count: int
) -> NDArray[np.float32]:
    import cv2

    free = np.full(grey.shape, 255, np.uint8)
    for x, y in at:
        cv2.circle(free, (int(x), int(y)), _SPACING_PX, 0, -1)
    corners = cv2.goodFeaturesToTrack(grey, count, _QUALITY, _SPACING_PX, mask=free)
    if corners is None:
        return np.empty((0, 2), np.float32)
    term = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_MAX_ITER, 20, 0.01)
    fine = cv2.cornerSubPix(grey, corners, (5, 5), (-1, -1), term)
    return np.asarray(fine.reshape(-1, 2), np.float32)
