"""Lines and relief of a hand's skin, vertex by vertex: creases, wrinkles, tendons, veins.

What stands where is worked out once on an average hand; how clearly it shows follows the person
(veins and tendons: old, lean) and the pose (tendons: straight fingers; wrinkles: not over bent
joints), for the price of a few products.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from render.anny_asset import Identity
from render.hand_model import FINGERS, HandModel, HandShape

if TYPE_CHECKING:
    from render.hand_skin import HandLook

Floats = NDArray[np.float64]
Line = Sequence[tuple[float, float]]

VEIN_PATTERNS = 4
"""Courses of the veins of the hand's back; no two people's are alike."""

_CREASE_REACH_M = 0.006  # farther away none is drawn, and the nearest one may change
_TENDON_M = 0.0022  # half of its width
_WRINKLED_M = 0.0055  # half of the length of a joint's wrinkled skin

# Lines through points given as shares of the way from the wrist to the middle knuckle, and of the
# way from the little finger's knuckle to the index finger's, counted from its middle. Lines beside
# each other run in opposite directions: what lies between them is on the same side of both, so that
# no third line appears where the nearest one changes.
_PALM_LINES: tuple[Line, ...] = (
    ((0.72, -0.52), (0.72, -0.2), (0.80, 0.08), (0.93, 0.22)),  # heart
    ((0.72, 0.46), (0.64, 0.2), (0.54, -0.1), (0.42, -0.36)),  # head
    ((0.06, 0.12), (0.24, 0.14), (0.42, 0.24), (0.60, 0.46)),  # life
)
_VEINS: tuple[Line, ...] = (
    ((0.94, 0.33), (0.72, 0.28), (0.46, 0.38), (0.12, 0.44), (-0.40, 0.34)),  # to the thumb's side
    ((0.26, 0.42), (0.42, 0.20), (0.56, 0.02), (0.74, 0.05), (0.94, 0.00)),
    ((0.90, -0.34), (0.66, -0.28), (0.42, -0.34), (0.08, -0.42), (-0.40, -0.28)),
)


class HandRelief:
    """Lines and relief on one hand model."""

    def __init__(self, model: HandModel, shape: HandShape, out: Floats) -> None:
        """Where everything stands.

        Args:
            model, shape: the hand, on average.
            out: (V,) 1 where the skin looks as the palm does, -1 where as the back does.
        """
        count = len(shape.vertices_m)
        palmar, dorsal = _ramp(out, 0.1, 0.75), _ramp(-out, 0.25, 0.8)
        distance, wrinkles = _finger_lines(model, shape, dorsal)
        hand = model.vertex_part == 1
        distance = np.where(hand, 1.0, distance)
        distance = _nearest(distance, hand & (out > 0), shape, _PALM_LINES)
        fingers = (model.vertex_part > 1).astype(np.float64)
        reach = _ramp(-np.abs(distance), -_CREASE_REACH_M, -0.7 * _CREASE_REACH_M)
        self._creases = palmar * reach * (1 - 0.45 * fingers)
        self._wrinkles = wrinkles
        self._tendons = _tendons(model, shape, dorsal)
        back = (model.vertex_part <= 1) & (out < 0)
        self._distances, self._veins = [], []
        for pattern in range(VEIN_PATTERNS):
            own = _nearest(distance, back, shape, _varied(pattern))
            own = np.where(back, own, distance)
            near = _ramp(-np.abs(own), -_CREASE_REACH_M, -0.7 * _CREASE_REACH_M)
            self._distances.append(np.clip(own, -0.05, 0.05))
            self._veins.append(near * back * dorsal)
        assert all(len(array) == count for array in self._distances)

    def lines(self, look: HandLook, identity: Identity, angles: Mapping[str, float]) -> Floats:
        """(V, 3) the first three numbers of `HandPainter.detail`."""
        old = float(np.clip((identity.phenotypes.get("age", 0.7) - 0.6) / 0.4, 0, 1))
        lean = 1 - identity.phenotypes.get("weight", 0.5)
        veins = float(np.clip(look.veins * (0.25 + 0.5 * old + 0.5 * lean), 0, 1))
        pattern = look.vein_pattern
        depth = look.creases * self._creases - veins * self._veins[pattern]
        straight, unbent = np.empty(4), np.empty((5, 2))
        for f, finger in enumerate(FINGERS):
            middle, last = ("mcp", "ip") if f == 0 else ("pip", "dip")
            bends = [angles.get(f"{finger}_{joint}_flexion", 0.0) for joint in (middle, last)]
            unbent[f] = 1 - np.clip(np.array(bends) / math.radians(70), 0, 1)
            if f:
                lifted = -angles.get(f"{finger}_mcp_flexion", 0.0)
                straight[f - 1] = np.clip(0.75 + lifted / math.radians(45), 0.1, 1)
        raised = (0.3 + 0.7 * lean) * straight @ self._tendons
        wrinkled = (0.35 + 0.35 * look.creases + 0.3 * old) * unbent.ravel() @ self._wrinkles
        return np.stack([self._distances[pattern], depth, raised - wrinkled], axis=1)


def _finger_lines(model: HandModel, shape: HandShape, dorsal: Floats) -> tuple[Floats, Floats]:
    """(V,) metres along each finger to its nearest crease, and (10, V) the wrinkled skin over the
    last two joints of each finger, 0..1."""
    vertices, joints = shape.vertices_m, shape.joints_m
    distance, wrinkles = np.full(len(vertices), 1.0), np.zeros((10, len(vertices)))
    for f in range(len(FINGERS)):
        own = model.vertex_part == 2 + f
        chain = [*joints[2 + 3 * f : 5 + 3 * f], shape.tips_m[f]]
        places = [(chain[k], chain[k + 1] - chain[k - 1]) for k in (1, 2)]
        if f:  # where the finger leaves the palm, in the middle of its first phalanx
            places.append(((chain[0] + chain[1]) / 2, chain[1] - chain[0]))
        for k, (place, axis) in enumerate(places):
            offset = vertices - place
            aside = offset @ shape.hinges[f]
            # Creases bow toward the fingertip in their middle.
            along = offset @ (axis / np.linalg.norm(axis)) + 9 * aside**2
            nearer = own & (np.abs(along) < np.abs(distance))
            distance = np.where(nearer, along, distance)
            if k < 2:
                near = _ramp(-np.abs(along), -1.6 * _WRINKLED_M, -0.5 * _WRINKLED_M)
                wrinkles[2 * f + k] = near * own * dorsal * (0.6 if k else 1.0 if f else 0.35)
    return distance, wrinkles


def _tendons(model: HandModel, shape: HandShape, dorsal: Floats) -> Floats:
    """(4, V) the extensors of the four fingers on the back of the hand, 0..1."""
    tendons = np.zeros((4, len(dorsal)))
    for f, knuckle in enumerate(shape.joints_m[[5, 8, 11, 14]]):
        start = shape.wrist_m + 0.35 * (knuckle - shape.wrist_m)
        aside = _signed_distance(shape.vertices_m, np.stack([start, knuckle]), shape.palmar)
        tendons[f] = np.exp(-((aside / _TENDON_M) ** 2)) * (model.vertex_part == 1) * dorsal
    return tendons


def _varied(pattern: int) -> list[Line]:
    """The veins of one pattern: their courses moved a little, in waves."""
    rng = np.random.default_rng(pattern)
    result: list[Line] = []
    phase = rng.uniform(0, 2 * math.pi)
    for line in _VEINS:
        ends = np.array(line) + rng.normal(0, 0.035, (len(line), 2))
        share = np.linspace(0, len(line) - 1, 4 * len(line) - 3)
        points = np.stack([np.interp(share, np.arange(len(line)), row) for row in ends.T], axis=1)
        points[:, 1] += 0.025 * np.sin(14 * points[:, 0] + phase)
        result.append([(float(a), float(b)) for a, b in points])
    return result


def _nearest(
    distance: Floats, where: NDArray[np.bool_], shape: HandShape, lines: Sequence[Line]
) -> Floats:
    """`distance`, but to the nearest of the lines where one is nearer."""
    origin, across = shape.wrist_m, shape.joints_m[5] - shape.joints_m[14]
    forward = shape.joints_m[8] - origin
    for line in lines:
        points = np.array([origin + a * forward + b * across for a, b in line])
        aside = _signed_distance(shape.vertices_m, points, shape.palmar)
        nearer = where & (np.abs(aside) < np.abs(distance))
        distance = np.where(nearer, aside, distance)
    return distance


def _signed_distance(vertices: Floats, line: Floats, normal: Floats) -> Floats:
    """(V,) metres to a line of points, seen along `normal`; its sign says on which side."""
    nearest = np.full(len(vertices), np.inf)
    for start, end in pairwise(line):
        axis = end - start
        axis = axis - (axis @ normal) * normal
        offset = vertices - start
        offset = offset - (offset @ normal)[:, None] * normal
        share = np.clip(offset @ axis / (axis @ axis), 0, 1)
        apart = np.linalg.norm(offset - share[:, None] * axis, axis=1)
        side = np.sign(np.cross(axis, offset) @ normal)
        nearest = np.where(apart < np.abs(nearest), apart * side, nearest)
    return nearest


def _ramp(value: Floats, low: float, high: float) -> Floats:
    t = np.clip((value - low) / (high - low), 0, 1)
    return np.asarray(t * t * (3 - 2 * t))
