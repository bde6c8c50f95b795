"""What a phone's tracker would have made of a session: feature points, and its own mistakes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from arsession.session import Pictures, Plane, Points, Session
from render.session_scene import SessionScene
from render.sessions import Noise
from runtime.camera import transform_points

Floats = NDArray[np.float64]

_NEW_POINTS = 60
_SPACING_PX = 9
_QUALITY = 0.02
_SAME_DEPTH = 0.02
"""Share of its depth by which a point may miss the surface there and still be seen."""
_MOST_SIGHTINGS = 9
"""More of them don't make a point's place any surer."""


@dataclass(frozen=True)
class Features:
    """Points on what was filmed.

    Attributes:
        positions_world_m: (P, 3).
        seen: for each frame, rows of the points seen in it.
    """

    positions_world_m: Floats
    seen: tuple[NDArray[np.int64], ...]


def features(
    scene: SessionScene, picture: Callable[[int], NDArray[np.uint8]], depth: Callable[[int], Floats]
) -> Features:
    """Corners in the pictures, as points of the surfaces that they lie on.

    Args:
        scene: the session.
        picture: gives a frame's (H, W, 3) uint8 RGB.
        depth: gives a frame's (H, W) metres, NaN where there is none.
    """
    points = np.empty((0, 3))
    seen = []
    for frame, pose in enumerate(scene.world_from_camera):
        here = np.nan_to_num(np.asarray(depth(frame)), nan=0.0)
        rows, px = _visible(points, scene, pose, here)
        fresh = _corners(cv2.cvtColor(picture(frame), cv2.COLOR_RGB2GRAY), px)
        away = here[fresh[:, 1].astype(int), fresh[:, 0].astype(int)]
        fresh, away = fresh[away > 0], away[away > 0]
        found = transform_points(pose, scene.camera.unproject(fresh, away))
        new = np.arange(len(points), len(points) + len(found))
        points = np.concatenate([points, found])
        seen.append(np.concatenate([rows, new]))
    return Features(points, tuple(seen))


def _visible(
    points: Floats, scene: SessionScene, pose: Floats, depth_m: Floats
) -> tuple[NDArray[np.int64], Floats]:
    local = transform_points(np.linalg.inv(pose), points)
    px = scene.camera.project(local)
    height, width = depth_m.shape
    inside = np.isfinite(px).all(axis=1)
    inside &= (np.nan_to_num(px, nan=-1.0) >= 0).all(axis=1)
    inside &= (np.nan_to_num(px, nan=1e9) < (width, height)).all(axis=1)
    rows = np.flatnonzero(inside)
    at = depth_m[px[rows, 1].astype(int), px[rows, 0].astype(int)]
    rows = rows[np.abs(at - local[rows, 2]) < _SAME_DEPTH * local[rows, 2]]
    return rows, px[rows]


def _corners(grey: NDArray[np.uint8], known_px: Floats) -> Floats:
    free = np.full(grey.shape, 255, np.uint8)
    for x, y in known_px:
        cv2.circle(free, (int(x), int(y)), _SPACING_PX, 0, -1)
    found = cv2.goodFeaturesToTrack(grey, _NEW_POINTS, _QUALITY, _SPACING_PX, mask=free)
    if found is None:
        return np.empty((0, 2))
    return np.asarray(found.reshape(-1, 2), dtype=np.float64) + 0.5  # OpenCV counts from centres


def true_session(scene: SessionScene, found: Features, pictures: Pictures, path: Path) -> Session:
    """The recording of a tracker that makes no mistake."""
    planes = tuple(
        Plane(level.name, level.outline_m.mean(axis=0), np.array([0.0, 1.0, 0.0]), level.outline_m,
              "horizontal")
        for level in scene.levels
    )  # fmt: skip
    ids = np.arange(len(found.positions_world_m))
    return Session(
        format="synthetic",
        path=path,
        timestamps_s=scene.timestamps_s,
        world_from_camera=scene.world_from_camera,
        world_up="+y",
        cameras=(scene.camera,),
        pictures=pictures,
        tracking=("normal",) * len(scene.timestamps_s),
        load_points=lambda: Points(found.positions_world_m, ids),
        load_planes=lambda: planes,
        load_frame_points=lambda frame: Points(
            found.positions_world_m[found.seen[frame]], ids[found.seen[frame]]
        ),
    )


def kept_frames(count: int, noise: Noise, rng: np.random.Generator) -> NDArray[np.int64]:
    """Which frames of a recording are there; the first and the last always are."""
    kept = rng.random(count) >= noise.dropped
    kept[[0, -1]] = True
    return np.flatnonzero(kept)


def frames_of(session: Session, kept: NDArray[np.int64]) -> Session:
    """The recording of some of its frames; ids of points stay."""
    load, pictures = session.load_frame_points, session.pictures
    assert load is not None
    assert pictures is not None
    return replace(
        session,
        timestamps_s=session.timestamps_s[kept],
        world_from_camera=session.world_from_camera[kept],
        pictures=_SomePictures(pictures, kept),
        tracking=tuple(session.tracking[i] for i in kept),
        load_frame_points=lambda frame: load(int(kept[frame])),
    )


def mistaken(session: Session, found: Features, noise: Noise, rng: np.random.Generator) -> Session:
    """The same recording by a tracker that drifts and is unsure of planes and points.

    Position and heading walk at random, so that after t seconds they are off by the drift times
    the root of t; points are where the tracker sees them from where it believes to be.

    Args:
        session: by `true_session`, all its frames.
        found: its points.
        noise: how wrong.
        rng: draws the mistakes.
    """
    times = session.timestamps_s
    steps_s = np.diff(times, prepend=times[:1])[:, None]
    walk = np.cumsum(
        rng.normal(0, noise.drift_m / np.sqrt(3), (len(times), 3)) * np.sqrt(steps_s), 0
    )
    heading = np.cumsum(rng.normal(0, noise.drift_rad, len(times)) * np.sqrt(steps_s[:, 0]))
    poses = session.world_from_camera.copy()
    poses[:, :3, :3] = (
        Rotation.from_rotvec(heading[:, None] * [0, 1, 0]).as_matrix() @ poses[:, :3, :3]
    )
    poses[:, :3, 3] += walk
    planes = tuple(_mistaken_plane(plane, noise, rng) for plane in session.planes)
    spread = rng.standard_normal(found.positions_world_m.shape)
    sightings = np.zeros(len(spread), dtype=np.int64)
    clouds = []
    for frame, rows in enumerate(found.seen):
        sightings[rows] += 1
        local = transform_points(
            np.linalg.inv(session.world_from_camera[frame]), found.positions_world_m[rows]
        )
        sure = np.sqrt(np.minimum(sightings[rows], _MOST_SIGHTINGS))[:, None]
        off = spread[rows] * noise.point_m * local[:, 2:] / sure
        clouds.append(Points(transform_points(poses[frame], local) + off, rows))
    return replace(
        session,
        world_from_camera=poses,
        load_planes=lambda: planes,
        load_points=lambda: _latest(clouds),
        load_frame_points=lambda frame: clouds[frame],
    )


def _mistaken_plane(plane: Plane, noise: Noise, rng: np.random.Generator) -> Plane:
    tilt = Rotation.from_rotvec(rng.normal(0, noise.plane_rad, 3) * [1, 0, 1]).as_matrix()
    rise = np.array([0.0, rng.normal(0, noise.plane_m), 0.0])
    centre = plane.centre_world_m + rise
    outline = (plane.boundary_world_m - plane.centre_world_m) @ tilt.T + centre
    return replace(
        plane,
        centre_world_m=centre,
        normal_world=tilt @ plane.normal_world,
        boundary_world_m=outline,
    )


def _latest(clouds: list[Points]) -> Points:
    ids = np.concatenate([cloud.ids for cloud in clouds])[::-1]
    places = np.concatenate([cloud.positions_world_m for cloud in clouds])[::-1]
    unique, at = np.unique(ids, return_index=True)
    return Points(places[at], unique)


class _SomePictures:
    """Some frames' pictures."""

    def __init__(self, pictures: Pictures, kept: NDArray[np.int64]) -> None:
        self.size, self.quarter_turns = pictures.size, pictures.quarter_turns
        self._pictures, self._kept = pictures, kept

    def read(self, frame: int) -> NDArray[np.uint8]:
        return self._pictures.read(int(self._kept[frame]))

    def has(self, frame: int) -> bool:
        return self._pictures.has(int(self._kept[frame]))
