"""A second hand beside the first: the same person's other one, close to it or touching it.

Hands meet as solid things do: the second one comes from outside along a line until skin touches
skin. Where one surface would lie deeper than `TOUCH_M` in the other, it stops before; arms keep
apart by their own thickness, or the arrangement is drawn again.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from render.hand_model import HandModel, HandShape, PosedHand, rotation, vertex_normals

Floats = NDArray[np.float64]

TOUCH_M = 0.002
"""How deep the skin of one hand may lie in the other's: pads give way by as much."""

TRIES = 8
"""Arrangements that are drawn before the second hand is left out."""

_STEP_M, _EXACT_M, _COARSE = 0.012, 0.0004, 6
_NEAR_M = 0.03  # a hand is thinner than twice that
_WRIST_RADIUS_M, _ARM_RADIUS_M = 0.034, 0.058  # with a sleeve
_ALONG_ARM_M = 0.025


@dataclass(frozen=True)
class Arrangement:
    """How two hands lie to each other.

    Attributes:
        name: for labels.
        axes: signs of the second hand's fingers, thumb side and palm along the first one's.
        toward: the same for where the second hand comes from.
        turn: least and greatest turn about the first hand's fingers, thumb side and palm, degrees.
        wrist: least and greatest flexion of both wrists in degrees, or None to leave them.
    """

    name: str
    axes: tuple[float, float, float]
    toward: tuple[float, float, float]
    turn: tuple[tuple[float, float], tuple[float, float], tuple[float, float]]
    wrist: tuple[float, float] | None = None


_SLIGHT = (-15.0, 15.0)
ARRANGEMENTS = (
    Arrangement(
        "palms together", (1, 1, -1), (0, 0, 1), (_SLIGHT, (-10, 10), (-30, 30)), (-62, -40)
    ),
    Arrangement("hand on back", (1, -1, 1), (0, 0, -1), (_SLIGHT, _SLIGHT, (35, 130))),
    Arrangement("hand on back", (1, -1, 1), (0, 0, -1), (_SLIGHT, _SLIGHT, (-130, -35))),
    Arrangement("hand in palm", (1, -1, 1), (0, 0, 1), (_SLIGHT, _SLIGHT, (35, 130))),
    Arrangement("hand in palm", (1, -1, 1), (0, 0, 1), (_SLIGHT, _SLIGHT, (-130, -35))),
    Arrangement("tips meet", (-1, 1, 1), (1, 0, 0), ((-50, 50), (-30, 30), (-50, 50))),
    Arrangement("tips on palm", (-1, 1, 1), (0, 0, 1), (_SLIGHT, (-70, -40), (-40, 40))),
    Arrangement("side by side", (1, -1, 1), (0, 1, 0), ((-25, 25), (-20, 20), (-70, -10))),
    Arrangement("side by side", (1, -1, 1), (0, -1, 0), ((-25, 25), (-20, 20), (10, 70))),
)  # fmt: skip
"""Signs are of hands of opposite sides, of which one is the mirror image of the other."""


@dataclass(frozen=True)
class Solid:
    """A hand as it is shown, for finding out what it touches.

    Attributes:
        skin_m, normals: (N, 3) of palm and fingers.
        arm_m, arm_radii_m: (K, 3) and (K,) balls along the forearm and what prolongs it.
        keypoints_m: (21, 3).
        axes: (3, 3) columns: unit directions of fingers, thumb side and palm.
        tree: of the skin.
    """

    skin_m: Floats
    normals: Floats
    arm_m: Floats
    arm_radii_m: Floats
    keypoints_m: Floats
    axes: Floats
    tree: cKDTree


def solid(model: HandModel, shape: HandShape, posed: PosedHand, mirror: Floats) -> Solid:
    """A posed right hand, or with `mirror` (-1, 1, 1) its mirror image, as a solid."""
    own = np.flatnonzero(model.vertex_part >= 1)
    normals = vertex_normals(posed.vertices_m, model.faces)[own] * mirror
    skin = posed.vertices_m[own] * mirror
    keypoints = posed.keypoints_m * mirror
    wrist = shape.joints_m[1] * mirror
    end = shape.vertices_m[model.far_end].mean(axis=0) * mirror
    length = float(np.linalg.norm(end - wrist))
    along = np.arange(0.03, length, _ALONG_ARM_M)
    elbow = float(np.linalg.norm(shape.joints_m[0] - shape.joints_m[1]))
    radii = np.interp(along, [0.03, elbow], [_WRIST_RADIUS_M, _ARM_RADIUS_M])
    forward = _unit(keypoints[9] - keypoints[0])
    thumb = keypoints[5] - keypoints[17]
    thumb = _unit(thumb - (thumb @ forward) * forward)
    palm = np.cross(thumb, forward) * mirror[0]  # of a left hand the cross product is the back
    arm = wrist + along[:, None] * (end - wrist) / length
    axes = np.stack([forward, thumb, palm], axis=1)
    return Solid(skin, normals, arm, radii, keypoints, axes, cKDTree(skin))


def depth_m(first: Solid, second: Solid, turn: Floats, shift: Floats, stride: int = 1) -> float:
    """How deep palm and fingers of two hands lie in each other, in metres; 0 when apart.

    Args:
        first, second: each in its own axes.
        turn, shift: (3, 3) and (3,) first_from_second.
        stride: only every so many points of the skin are looked at.
    """
    one = _deepest(first, second.skin_m[::stride] @ turn.T + shift)
    other = _deepest(second, (first.skin_m[::stride] - shift) @ turn)
    return max(one, other)


def _deepest(into: Solid, points: Floats) -> float:
    low, high = into.skin_m.min(axis=0) - 0.002, into.skin_m.max(axis=0) + 0.002
    near = points[((points > low) & (points < high)).all(axis=1)]
    if not len(near):
        return 0.0
    distance, nearest = into.tree.query(near, distance_upper_bound=_NEAR_M)
    found = np.isfinite(distance)
    if not found.any():
        return 0.0
    at = nearest[found]
    inward = -((near[found] - into.skin_m[at]) * into.normals[at]).sum(axis=1)
    return float(max(inward.max(), 0.0))


def arms_apart(first: Solid, second: Solid, turn: Floats, shift: Floats) -> bool:
    """Whether either arm keeps clear of the other arm and of the other hand."""
    arm = second.arm_m @ turn.T + shift
    hand = second.skin_m[::4] @ turn.T + shift
    return (
        _clear(first.arm_m, first.arm_radii_m, arm, second.arm_radii_m)
        and _clear(first.arm_m, first.arm_radii_m, hand, 0.0)
        and _clear(arm, second.arm_radii_m, first.skin_m[::4], 0.0)
    )


def apart(first: Solid, second: Solid, turn: Floats, shift: Floats) -> bool:
    """Whether two hands and their arms keep clear of each other."""
    return depth_m(first, second, turn, shift) == 0 and arms_apart(first, second, turn, shift)


def _clear(balls: Floats, radii: Floats, others: Floats, other_radii: Floats | float) -> bool:
    distance = np.linalg.norm(balls[:, None] - others[None], axis=2)
    return bool((distance > radii[:, None] + other_radii).all())


def wrist_for(rng: np.random.Generator, arrangement: Arrangement) -> Mapping[str, float]:
    """Angles of a wrist that the arrangement asks for, in radians."""
    if arrangement.wrist is None:
        return {}
    return {"wrist_flexion": math.radians(rng.uniform(*arrangement.wrist))}


def met(first: Solid, second: Solid, turn: Floats, start: Floats, away: Floats) -> float:
    """How far out along a line the second solid touches the first when it comes from outside.

    Args:
        first, second: each in its own axes.
        turn: (3, 3) first_from_second.
        start: (3,) where the second's origin is at distance 0.
        away: (3,) unit direction outward.

    Returns:
        Metres along `away`; from there on outward nothing touches.
    """

    def deep(distance: float, stride: int = 1) -> bool:
        return depth_m(first, second, turn, start + distance * away, stride) > TOUCH_M

    # From where the two can't touch inward; few points tell about where they meet.
    moved = second.skin_m @ turn.T + start
    low = float((first.skin_m @ away).max() - (moved @ away).min())
    while low > 0 and not deep(low, _COARSE):
        low -= _STEP_M
    high = low + _STEP_M
    while deep(high):
        low, high = high, high + _STEP_M
    while high - low > _EXACT_M:
        middle = (low + high) / 2
        low, high = (middle, high) if deep(middle) else (low, middle)
    return high


def arranged(
    rng: np.random.Generator, arrangement: Arrangement, first: Solid, second: Solid
) -> Floats | None:
    """Where the second hand goes.

    Args:
        rng: of the sample.
        arrangement: of hands of opposite sides.
        first, second: the hands, each in its own axes.

    Returns:
        (4, 4) first_from_second; None where the arms would run into something.
    """
    turns = [math.radians(rng.uniform(*limits)) for limits in arrangement.turn]
    own = np.diag(arrangement.axes)
    for axis, angle in zip(np.eye(3), turns):
        own = rotation(axis, angle) @ own
    # A left hand's axes are left-handed, so that a turn among them is mirrored; it is only noise.
    turn = first.axes @ own @ second.axes.T
    away = first.axes @ _unit(np.array(arrangement.toward) + rng.normal(0, 0.12, 3))
    palms = [hand.keypoints_m[[0, 5, 9, 13, 17]].mean(axis=0) for hand in (first, second)]
    aside = first.axes @ rng.normal(0, 0.015, 3)
    start = palms[0] - turn @ palms[1] + aside - (aside @ away) * away

    high = met(first, second, turn, start, away)
    if rng.random() < 0.4:
        high += float(min(rng.exponential(0.02), 0.1))
    shift = start + high * away
    if not arms_apart(first, second, turn, shift):
        return None
    result = np.eye(4)
    result[:3, :3], result[:3, 3] = turn, shift
    return result


def _unit(vector: Floats) -> Floats:
    return np.asarray(vector / np.linalg.norm(vector))
