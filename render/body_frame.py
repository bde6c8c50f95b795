"""Where the camera stands: around a body, near or far, showing all of it or a part."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from render.body_joints import turn
from runtime.camera import Camera

if TYPE_CHECKING:
    from render.bodies import BodyShares

Floats = NDArray[np.float64]

FULL_SHARE, FAR_SHARE, UPPER_SHARE = (0.55, 0.95), (0.2, 0.55), (0.45, 0.95)
"""How much of the picture's width or height what is meant to be seen takes."""

_FAR, _LOWER = 0.16, 0.12  # of the pictures of whole bodies; of those of parts: the lower part
_HEAD_TO_HIPS = tuple(range(25))
_HIPS_TO_FEET = tuple(range(23, 33))
_LEAST_HEIGHT_M = 0.12


@dataclass(frozen=True)
class BodyView:
    """shows: whole, upper or lower; azimuth_rad: 0 from the front, positive from the subject's
    left; elevation_rad of the camera over the target; roll_rad."""

    shows: str
    azimuth_rad: float
    elevation_rad: float
    roll_rad: float


def framed(
    rng: np.random.Generator,
    camera: Camera,
    keypoints_m: Floats,
    skin_m: Floats,
    shares: BodyShares,
) -> tuple[Floats, BodyView]:
    """A camera's place.

    Args:
        rng: of the sample.
        camera: of the picture.
        keypoints_m: (33, 3) of the body, which faces -y at zero angles; the ground at z = 0.
        skin_m: (N, 3) points all over it.
        shares: of the pictures.

    Returns:
        (4, 4) body_from_camera, and what it was meant to show.
    """
    points, shows = skin_m, "whole"
    size = math.exp(rng.uniform(*np.log(FAR_SHARE if rng.random() < _FAR else FULL_SHARE)))
    if rng.random() < shares.upper:
        lower = rng.random() < _LOWER
        points = keypoints_m[list(_HIPS_TO_FEET if lower else _HEAD_TO_HIPS)]
        if not lower and rng.random() < 0.5:
            # Down to the hips whatever the hands do.
            points = keypoints_m[[0, 7, 8, 11, 12, 13, 14, 23, 24]]
        shows = "lower" if lower else "upper"
        size = float(rng.uniform(*UPPER_SHARE))
    azimuth = rng.normal(0, 0.8) if rng.random() < 0.6 else rng.uniform(-math.pi, math.pi)
    elevation = rng.normal(0.08, 0.18)
    if rng.random() < 0.1:
        elevation = rng.uniform(0.35, 1.3)
    roll = rng.normal(0, 0.07)
    if rng.random() < shares.turned:
        roll = rng.uniform(-math.pi, math.pi)
    ahead = np.array(
        [
            -math.sin(azimuth) * math.cos(elevation),
            math.cos(azimuth) * math.cos(elevation),
            -math.sin(elevation),
        ]
    )
    target = (points.min(axis=0) + points.max(axis=0)) / 2
    axes = looking(ahead, float(roll))
    flat = (points - target) @ axes
    distance = _distance(camera, flat, size)
    seen = flat + [0, 0, distance]
    pixels = camera.project(seen)
    low, high = pixels.min(axis=0), pixels.max(axis=0)
    room = np.maximum(camera.width - (high - low), 0) / 2 + 0.04 * camera.width
    at = camera.width / 2 + rng.uniform(-1, 1, 2) * np.minimum(room, 0.42 * camera.width)
    shift = ((low + high) / 2 - at) * distance / camera.fx
    place = target - distance * axes[:, 2] + axes[:, :2] @ shift
    if place[2] < _LEAST_HEIGHT_M:
        # From above the ground, at the same distance, toward the same place.
        goal = place + distance * axes[:, 2]
        place[2] = _LEAST_HEIGHT_M
        axes = looking(goal - place, float(roll))
    result = np.eye(4)
    result[:3, :3], result[:3, 3] = axes, place
    view = BodyView(shows, _wrapped(float(azimuth)), math.asin(-axes[2, 2]), float(roll))
    return result, view


def looking(ahead: Floats, roll: float = 0.0) -> Floats:
    """(3, 3) whose columns are the camera's right, down and ahead."""
    ahead = ahead / np.linalg.norm(ahead)
    right = np.cross(ahead, [0.0, 0.0, 1.0])
    right /= np.linalg.norm(right)
    return np.stack([right, np.cross(ahead, right), ahead], axis=1) @ turn("z", roll)


def _distance(camera: Camera, flat: Floats, size: float) -> float:
    """How far a camera stands off the middle for points to take that share of the picture."""
    distance = camera.fx * float(np.ptp(flat[:, :2], axis=0).max()) / (size * camera.width)
    nearest = 0.25 - float(flat[:, 2].min())
    for _ in range(8):
        distance = max(distance, nearest)
        extent = np.ptp(camera.project(flat + [0, 0, distance]), axis=0).max() / camera.width
        distance *= float(extent / size)
    return max(distance, nearest)


def _wrapped(angle: float) -> float:
    return math.remainder(angle, 2 * math.pi)
