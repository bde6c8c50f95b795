"""How a hand carries a phone around things: an arc, held not quite still."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from runtime.camera import Camera

Floats = NDArray[np.float64]
UP = np.array([0.0, 1.0, 0.0])

SWEEP_RAD_S = (math.radians(15), math.radians(40))
"""How fast people go around what they film."""
MOST_M_S = 0.8
"""Nor do they walk faster than that with their eyes on a screen."""
MOST_ARC_RAD = math.radians(160)
_SWAY_M, _SWAY_HZ = 0.012, 0.45
"""Of somebody's steps, against a distance of a metre."""
_TREMOR_M, _TREMOR_HZ = 0.0012, 4.0
_WANDER_HZ = 0.12
_AIM_RAD, _AIM_HZ = 0.05, 0.3
_SHAKE_RAD, _SHAKE_HZ = 0.004, 4.0


@dataclass(frozen=True)
class Walk:
    """What a path is like; angles in radians.

    Attributes:
        distance_m: from the middle of what is filmed, on average.
        from_rad, arc_rad: azimuth of the first camera, 0 towards +z, and how far it goes around.
        elevation_rad: above level, on average.
    """

    distance_m: float
    from_rad: float
    arc_rad: float
    elevation_rad: float


def walked(walk: Walk, target_m: Floats, timestamps_s: Floats, rng: np.random.Generator) -> Floats:
    """(K, 4, 4) world_from_camera, camera axes OpenCV's, world y up.

    Args:
        walk: roughly.
        target_m: (3,) what is looked at, roughly.
        timestamps_s: (K,) of the frames, from 0.
        rng: draws everything that isn't smooth.
    """
    t = timestamps_s
    whole = max(float(t[-1]), 1e-6)
    share = t / whole
    eased = share + 0.06 * np.sin(2 * math.pi * share + rng.uniform(0, 6.28))
    azimuth = walk.from_rad + walk.arc_rad * eased
    distance = walk.distance_m * (1 + 0.10 * swinging(t, _WANDER_HZ, rng))
    elevation = walk.elevation_rad + 0.09 * swinging(t, _WANDER_HZ, rng)
    elevation = np.clip(elevation, math.radians(8), math.radians(72))
    level = distance * np.cos(elevation)
    away = np.stack(
        [level * np.sin(azimuth), distance * np.sin(elevation), level * np.cos(azimuth)], axis=1
    )
    eye = target_m + away
    for size, rate in ((_SWAY_M, _SWAY_HZ), (_TREMOR_M, _TREMOR_HZ)):
        eye = eye + size * walk.distance_m * np.stack(
            [swinging(t, rate, rng) for _ in range(3)], axis=1
        )
    poses = np.stack([looking(e, target_m) for e in eye])
    for size, rate in ((_AIM_RAD, _AIM_HZ), (_SHAKE_RAD, _SHAKE_HZ)):
        turns = size * np.stack([swinging(t, rate, rng) for _ in range(3)], axis=1)
        poses[:, :3, :3] = poses[:, :3, :3] @ Rotation.from_rotvec(turns).as_matrix()
    return poses


def swinging(timestamps_s: Floats, rate_hz: float, rng: np.random.Generator) -> Floats:
    """(K,) a smooth wandering of about unit deviation around a rate."""
    rates = rate_hz * rng.uniform(0.5, 1.6, 4)
    phases, sizes = rng.uniform(0, 2 * math.pi, 4), rng.uniform(0.5, 1.0, 4)
    waves = sizes * np.sin(2 * math.pi * np.outer(timestamps_s, rates) + phases)
    return np.asarray(waves.sum(axis=1) / math.sqrt((sizes**2).sum() / 2))


def looking(eye_m: Floats, target_m: Floats) -> Floats:
    """(4, 4) world_from_camera of an upright camera that looks from one point at another."""
    forward = target_m - eye_m
    forward /= np.linalg.norm(forward)
    right = np.cross(forward, UP)
    right /= np.linalg.norm(right)
    out = np.eye(4)
    out[:3, :3] = np.stack([right, np.cross(forward, right), forward], axis=1)
    out[:3, 3] = eye_m
    return out


def arkit_world(world_from_camera: Floats) -> Floats:
    """(4, 4) the world of a tracker that began at a camera: its origin there, y up, -z ahead."""
    forward = world_from_camera[:3, 2]
    back = np.array([-forward[0], 0.0, -forward[2]])
    back /= np.linalg.norm(back)
    scene_from_world = np.eye(4)
    scene_from_world[:3, :3] = np.stack([np.cross(UP, back), UP, back], axis=1)
    scene_from_world[:3, 3] = world_from_camera[:3, 3]
    return np.asarray(np.linalg.inv(scene_from_world))


def phone_camera(width: int, height: int, rng: np.random.Generator) -> Camera:
    """A phone's main camera: 60 to 68 degrees along the longer side, nearly centred."""
    focal = max(width, height) / (2 * math.tan(math.radians(rng.uniform(60, 68)) / 2))
    off = rng.normal(0, 0.006, 2) * max(width, height)
    return Camera(focal, focal, width / 2 + off[0], height / 2 + off[1], width, height)
