"""Where hands stand before the camera: any side of them, near or far, arms leave the picture."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from render.hand_model import rotation
from runtime.camera import Camera

Floats = NDArray[np.float64]

FOCAL_MM = (26.0, 80.0)
"""Main and tele lenses of phones, as their makers give them for 36 x 24 mm film; the picture is
taken as wide as the short side of a phone's 4:3 frame, 26 mm of that film's diagonal."""

SHORT_SIDE_MM = 25.96

NEAR_SHARE, FAR_SHARE, CLOSE_SHARE = (0.38, 0.88), (0.05, 0.38), (0.88, 1.15)
"""How much of the picture's width hands take: usually, far away, and so close that parts of them
are outside. Palms differ by 25 times in size."""

_NEAR, _CLOSE = 0.72, 0.05  # how often

FACED_SHARE, FACED_RAD = 0.6, 0.6
"""How often a hand turns its palm or back to the camera, both alike, give or take so much: hands
that show something do. The others are seen from any side alike, so that edges are never rare."""

_TRIES = 16
_ARM_RADIUS_M = 0.07


def random_camera(rng: np.random.Generator, size: int) -> Camera:
    """Square pictures of a phone's lens, long and short ones alike (by their logarithm)."""
    focal = math.exp(rng.uniform(*np.log(FOCAL_MM)))
    return Camera.from_fov(2 * math.atan(SHORT_SIDE_MM / 2 / focal), size, size)


def focal_mm(camera: Camera) -> float:
    """A camera's focal length on 36 x 24 mm film, as `FOCAL_MM` has it."""
    return camera.fx / camera.width * SHORT_SIDE_MM


def random_share(rng: np.random.Generator) -> float:
    """How much of the picture's width the hands take."""
    chance = rng.random()
    if chance < _NEAR:
        return float(rng.uniform(*NEAR_SHARE))
    if chance < _NEAR + _CLOSE:
        return float(rng.uniform(*CLOSE_SHARE))
    return math.exp(rng.uniform(*np.log(FAR_SHARE)))


def framed(
    rng: np.random.Generator,
    camera: Camera,
    share: float,
    hands: Floats,
    arms: Floats,
    aside: float = 0.0,
) -> Floats | None:
    """A place before the camera.

    Args:
        rng: of the sample.
        camera: of the picture.
        share: of the picture's width that the hands take.
        hands: (H, 21, 3) keypoints of one or more hands in common axes; the first one is turned.
        arms: (H, 2, 3) wrist and far end of each arm.
        aside: how far toward the borders the place may lie at least, 0..0.5 of the width.

    Returns:
        (4, 4) camera_from_hand; None where no arm would leave the picture, or one would come
        toward the eye.
    """
    points = hands.reshape(-1, 3)
    centre = (points.min(axis=0) + points.max(axis=0)) / 2
    for _ in range(_TRIES):
        turn = _random_turn(rng, hands[0])
        flat = (points - centre) @ turn.T
        extent = float(np.ptp(flat[:, :2], axis=0).max())
        distance = camera.fx * extent / (share * camera.width) + float(-flat[:, 2].min())
        room = max(aside, (0.97 - share) / 2) * distance / camera.fx * camera.width
        place = np.array([*rng.uniform(-room, room, 2), distance])
        ends = (arms - centre) @ turn.T
        away = (ends[:, 1] - ends[:, 0]) / np.linalg.norm(ends[:, 1] - ends[:, 0], axis=1)[:, None]
        if away[:, 2].min() < -math.sin(0.75):
            continue
        place = _with_arm_outside(camera, place, ends[0, 1])
        middle = camera.project(place[None])[0] / camera.width
        reach = 0.0 if aside else np.clip(share / 2, 0.06, 0.4)
        if (np.abs(middle - 0.5) > 0.5 - reach).any():
            continue
        if all(_outside_px(camera, end + place) >= 0 for end in ends[:, 1]):
            result = np.eye(4)
            result[:3, :3] = turn
            result[:3, 3] = place - turn @ centre
            return result
    return None


def _with_arm_outside(camera: Camera, place: Floats, end: Floats) -> Floats:
    """Moves a hand along its arm until the arm's end is outside the picture."""
    if _outside_px(camera, end + place) >= 0:
        return place
    at = camera.project((end + place)[None])[0]
    along = at - camera.project(place[None])[0]
    along /= max(float(np.linalg.norm(along)), 1e-9)
    depth = float((end + place)[2])
    radius = _ARM_RADIUS_M * camera.fx / depth
    border = np.where(along > 0, camera.width - at, at) + radius
    step = float((border / np.maximum(np.abs(along), 1e-9)).min())
    return np.asarray(place + [*(along * step * 1.001 * depth / camera.fx), 0.0])


def _outside_px(camera: Camera, point: Floats) -> float:
    """How far beyond the nearest border an arm's end lies, in pixels; negative inside."""
    if point[2] < 0.05:
        return math.inf
    x, y = camera.project(point[None])[0]
    radius = _ARM_RADIUS_M * camera.fx / point[2]
    out = max(-x, x - camera.width, -y, y - camera.height)
    return float(out - radius)


def random_view(rng: np.random.Generator) -> Floats:
    """(4, 4) world_from_camera: at the origin, looking anywhere, seldom steeply."""
    azimuth = rng.uniform(0, 2 * math.pi)
    elevation = float(np.clip(rng.normal(-0.1, 0.3), -1.2, 1.0))
    ahead = np.array(
        [
            math.cos(azimuth) * math.cos(elevation),
            math.sin(azimuth) * math.cos(elevation),
            math.sin(elevation),
        ]
    )
    right = np.array([math.sin(azimuth), -math.cos(azimuth), 0.0])
    down = np.cross(ahead, right)
    result = np.eye(4)
    result[:3, :3] = np.stack([right, down, ahead], axis=1) @ rotation(
        np.array([0.0, 0.0, 1.0]), float(rng.normal(0, 0.12))
    )
    return result


def _random_turn(rng: np.random.Generator, keypoints: Floats) -> Floats:
    """(3, 3) camera_from_hand: the palm or the back more often than the edges, seldom end on;
    fingers mostly upward."""
    forward = keypoints[9] - keypoints[0]
    forward /= np.linalg.norm(forward)
    across = keypoints[5] - keypoints[17]
    across -= (across @ forward) * forward
    across /= np.linalg.norm(across)
    hand = np.stack([across, -forward, np.cross(across, -forward)])  # rows: right, down, ahead
    about = _random_side(rng)
    tilt = float(np.clip(rng.normal(0.1, 0.5), -0.7, 1.2))  # fingers toward (+) or from the eye
    spread = rng.normal(0, 0.7) if rng.random() < 0.65 else rng.uniform(-math.pi, math.pi)
    x, y, z = np.eye(3)
    return np.asarray(rotation(z, float(spread)) @ rotation(x, tilt) @ rotation(y, about) @ hand)


def _random_side(rng: np.random.Generator) -> float:
    """A hand's turn about its forearm: with 0 and pi the palm or the back is seen."""
    if rng.random() < FACED_SHARE:
        return float(rng.normal(math.pi * rng.integers(2), FACED_RAD))
    return float(rng.uniform(0, 2 * math.pi))
