"""What a hand's keypoints say about its gesture, wherever it is and however large.

Everything here works on hand21's keypoints of any hand model: MediaPipe's or ones of our own.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]

FINGERS = ("thumb", "index", "middle", "ring", "pinky")
PALM = (0, 5, 9, 13, 17)
"""Keypoints that hardly move when fingers do: the wrist and the four knuckles."""
TIPS = (4, 8, 12, 16, 20)

_DEPTH_WEIGHT = 0.5
"""Depth is what single pictures tell least about."""
_CHAINS = np.array([[0, *range(first, first + 4)] for first in range(1, 21, 4)])
_PAIRS = ((4, 8), (4, 12), (4, 16), (4, 20), (8, 12), (12, 16), (16, 20), (4, 5), (4, 17))


def hand_points(keypoints: ArrayLike, width: int, height: int) -> Array:
    """Keypoints in one unit along every axis.

    Args:
        keypoints: (21, 2|3) as a subject has them: x and y by the picture's width and height, z by
            its width.
        width, height: of the picture in pixels.

    Returns:
        (21, 3) pixels, z 0 where there is none.
    """
    points = np.asarray(keypoints, dtype=np.float64)
    result = np.zeros((21, 3))
    result[:, : points.shape[1]] = points * np.array([width, height, width])[: points.shape[1]]
    return result


def canonical(points: ArrayLike, handedness: str | None, turn_upright: bool = False) -> Array:
    """The same hand at the origin, of palm size 1, as a right one.

    Args:
        points: (21, 3) in any unit, x right, y down, z away from the camera.
        handedness: "left" hands are mirrored; None is left as it is.
        turn_upright: also turn it in the picture's plane, the middle knuckle above the wrist; a
            thumb up and a thumb down become the same.

    Returns:
        (21, 3); zeros for a palm without extent.
    """
    hand = np.array(points, dtype=np.float64)
    hand -= hand[list(PALM)].mean(axis=0)
    size = float(np.linalg.norm(hand[list(PALM)], axis=1).mean())
    if not 0 < size < math.inf:
        return np.zeros((21, 3))
    hand /= size
    if handedness == "left":
        hand[:, 0] *= -1
    if turn_upright:
        x, y = hand[9, :2] - hand[0, :2]
        length = math.hypot(x, y)
        if length:
            hand[:, :2] = hand[:, :2] @ np.array([[-y, -x], [x, -y]]) / length
    return hand


def bends(points: ArrayLike) -> Array:
    """How much each finger is bent at each of its joints.

    Args:
        points: (21, 3) in one unit along every axis.

    Returns:
        (5, 3) angles in radians between neighbouring bones, 0 straight: at knuckle, middle and
        last joint; of the thumb at its base, knuckle and last joint.
    """
    chains = np.asarray(points, dtype=np.float64)[_CHAINS]
    bones = np.diff(chains, axis=1)
    bones /= np.maximum(np.linalg.norm(bones, axis=2, keepdims=True), 1e-12)
    cosines = (bones[:, :-1] * bones[:, 1:]).sum(axis=2)
    return np.arccos(np.clip(cosines, -1, 1))


def features(hand: Array) -> Array:
    """The vector by which gestures are told apart.

    Args:
        hand: (21, 3) from `canonical`.

    Returns:
        (F,): coordinates in palm sizes, bends in radians, distances between fingertips and to the
        palm in palm sizes.
    """
    weighted = hand * np.array([1, 1, _DEPTH_WEIGHT])
    apart = [np.linalg.norm(hand[a] - hand[b]) for a, b in _PAIRS]
    reach = np.linalg.norm(hand[list(TIPS)], axis=1)
    return np.concatenate([weighted.ravel(), bends(hand).ravel(), apart, reach])


FEATURES = 21 * 3 + 5 * 3 + len(_PAIRS) + len(TIPS)
"""How many there are."""
