"""What carries a body and where it runs into itself.

`settled` lets soles lie flat, both feet reach the ground, hands and toes come to one height.
Capsules along limbs and across the trunk say how deep one part of a body lies in another.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from render.anny_asset import Identity, skinned
from render.body_joints import SIDES, SIGN, clipped, frames
from render.body_model import PARTS, BodyModel, BodyPose, BodyShape

Floats = NDArray[np.float64]
Angles = dict[str, float]

SOFT_M = 0.03
"""How deep capsules may lie in each other: they are rounder than limbs, and flesh gives way."""

_LEVEL_M = 0.002
_STEPS = 14  # of a bisection

# Ends of capsules as keypoints or bones, and the parts whose skin gives their radius.
_LIMBS = {
    "upper arm": ("upperarm01", "lowerarm01"),
    "forearm": ("lowerarm01", "hand"),
    "thigh": ("upperleg01", "lowerleg01"),
    "shank": ("lowerleg01", "foot"),
}


@dataclass(frozen=True)
class Capsules:
    """One person's capsules at rest: ends_m (C, 2, 3), bones (C, 2) row that carries each end,
    radii_m (C,)."""

    ends_m: Floats
    bones: NDArray[np.int64]
    radii_m: Floats


class BodyContact:
    """Grounds bodies of one model and finds those that run into themselves."""

    def __init__(self, model: BodyModel) -> None:
        self._model = model
        self._row = {name: i for i, name in enumerate(model.bones)}
        skin = np.unique(model.faces["skin"])
        self._skin_of = {part: skin[model.vertex_part[skin] == k] for k, part in enumerate(PARTS)}
        self.names = self._capsule_names()
        self._pairs = self._compared(model.shape(Identity({"age": 0.7})))

    # -- the ground ------------------------------------------------------------------------

    def settled(self, shape: BodyShape, pose: BodyPose, on: str) -> BodyPose:
        """The pose adjusted to what carries the body.

        Args:
            shape: whose.
            pose: as drawn.
            on: out of `body_library.CARRIED`.
        """
        angles = dict(pose.angles)
        if on in ("feet", "seat"):
            angles = self._flat(angles, SIDES)
            if on == "feet":
                angles = self._level_feet(shape, pose, angles)
        elif on in ("left_foot", "right_foot", "left_foot_right_knee", "seat_one"):
            side = "right" if on == "right_foot" else "left"
            angles = self._flat(angles, (side,))
            if on == "left_foot_right_knee":
                angles = self._with_knee_down(shape, pose, angles)
            elif on != "seat_one":
                angles = self._other_foot_up(shape, pose, angles, side)
        elif on == "hands_feet":
            angles = self._hands_and_feet(shape, pose, angles)
        return replace(pose, angles=angles)

    def lowest(self, shape: BodyShape, pose: BodyPose, part: str) -> float:
        """Height of the lowest point of a part's skin."""
        rows = self._skin_of[part]
        transforms = self._model.transforms(shape, pose)
        points = skinned(shape.rest.vertices_m[rows], self._model.weights[rows], transforms)
        return float(points[:, 2].min())

    def _flat(self, angles: Angles, sides: tuple[str, ...]) -> Angles:
        """Ankles turned so that soles are level, as far as ankles turn."""
        result = dict(angles)
        axes = frames(angles)
        for side in sides:
            up = axes[f"lowerleg02.{side}"].T @ [0.0, 0.0, 1.0]
            result[f"{side}_ankle_flexion"] = math.atan2(up[1], up[2])
            result[f"{side}_ankle_inversion"] = SIGN[side] * math.asin(float(np.clip(up[0], -1, 1)))
            result[f"{side}_toe_extension"] = 0.0
        return clipped(result)

    def _bent(self, angles: Angles, side: str, by: float, flat: bool = True) -> Angles:
        """A leg that is shorter by bending."""
        result = dict(angles)
        result[f"{side}_hip_flexion"] = angles[f"{side}_hip_flexion"] + by
        result[f"{side}_knee_flexion"] = angles[f"{side}_knee_flexion"] + 2 * by
        result = clipped(result)
        return self._flat(result, (side,)) if flat else result

    def _level_feet(self, shape: BodyShape, pose: BodyPose, angles: Angles) -> Angles:
        low = {
            side: self.lowest(shape, replace(pose, angles=angles), f"{side} foot") for side in SIDES
        }
        side, other = sorted(SIDES, key=lambda s: low[s])  # the lower leg is bent
        return _solved(
            lambda by: self._bent(angles, side, by),
            lambda a: self.lowest(shape, replace(pose, angles=a), f"{side} foot") - low[other],
            0.0,
            math.radians(60),
        )

    def _other_foot_up(self, shape: BodyShape, pose: BodyPose, angles: Angles, side: str) -> Angles:
        other = SIDES[1 - SIDES.index(side)]
        ground = self.lowest(shape, replace(pose, angles=angles), f"{side} foot")
        return _solved(
            lambda by: self._bent(angles, other, by, flat=False),
            lambda a: self.lowest(shape, replace(pose, angles=a), f"{other} foot") - ground,
            0.0,
            math.radians(60),
        )

    def _with_knee_down(self, shape: BodyShape, pose: BodyPose, angles: Angles) -> Angles:
        def gap(a: Angles) -> float:
            moved = replace(pose, angles=a)
            right = min(self.lowest(shape, moved, f"right {part}") for part in ("shank", "foot"))
            return self.lowest(shape, moved, "left foot") - right

        return _solved(lambda by: self._bent(angles, "left", by), gap, -0.5, 0.7)

    def _hands_and_feet(self, shape: BodyShape, pose: BodyPose, angles: Angles) -> Angles:
        def gap(a: Angles) -> float:
            moved = replace(pose, angles=a)
            hands, feet = (
                min(self.lowest(shape, moved, f"{side} {part}") for side in SIDES)
                for part in ("hand", "foot")
            )
            return feet - hands

        start = angles["root_pitch"]
        return _solved(lambda by: angles | {"root_pitch": start + by}, gap, -0.7, 0.7)

    # -- the body itself -------------------------------------------------------------------

    def capsules(self, shape: BodyShape) -> Capsules:
        """That person's capsules."""
        ends, bones, radii = [], [], []
        joints = shape.joints
        vertices = shape.rest.vertices_m
        for side in SIDES:
            for part, (first, last) in _LIMBS.items():
                pair = np.array([joints[f"{first}.{side}"], joints[f"{last}.{side}"]])
                ends.append(pair)
                tip = f"{first[:-2]}02.{side}"
                bones.append([self._row[tip], self._row[tip]])
                radii.append(_girth(vertices[self._skin_of[f"{side} {part}"]], pair))
            k = 15 + SIDES.index(side)
            wrist, knuckle = shape.keypoints_m[[k, k + 4]]
            tip_m = wrist + 1.6 * (knuckle - wrist)
            ends.append(np.array([wrist, tip_m]))
            bones.append([self._row[f"hand.{side}"]] * 2)
            radii.append(0.028)
            heel, toe = shape.keypoints_m[[29 + SIDES.index(side), 31 + SIDES.index(side)]]
            ends.append(np.array([heel, toe]))
            bones.append([self._row[f"foot.{side}"]] * 2)
            radii.append(0.03)
        skull = vertices[self._skin_of["head"]]
        head = skull[skull[:, 2] > joints["head"][2]]
        middle = (head.min(axis=0) + head.max(axis=0)) / 2
        half = np.ptp(head, axis=0) / 2
        ends.append(middle + [[0, 0, -0.35 * half[2]], [0, 0, 0.35 * half[2]]])
        bones.append([self._row["head"]] * 2)
        radii.append(0.9 * half[0])
        torso = vertices[self._skin_of["torso"]]
        for bone, aside in (("spine01", 0.75), ("spine02", 0.75), ("spine04", 0.85)):
            at = joints[bone] if bone != "spine01" else 0.5 * (joints["spine01"] + joints["neck01"])
            slab = torso[np.abs(torso[:, 2] - at[2]) < 0.03]
            slab = slab[np.abs(slab[:, 0]) < abs(joints["upperarm01.left"][0])]
            low, high = slab.min(axis=0), slab.max(axis=0)
            radius = 0.42 * (high[1] - low[1])
            reach = max(aside * high[0] - radius, 0.01)
            centre = np.array([0.0, (low[1] + high[1]) / 2, at[2]])
            ends.append(centre + [[-reach, 0, 0], [reach, 0, 0]])
            bones.append([self._row[bone]] * 2)
            radii.append(radius)
        pelvis = np.array([joints["upperleg01.right"], joints["upperleg01.left"]])
        ends.append(pelvis * [0.7, 1, 1] + [0, 0, 0.04])
        bones.append([self._row["pelvis"]] * 2)
        radii.append(0.095 * shape.height_m / 1.7)
        return Capsules(np.array(ends), np.array(bones), np.array(radii))

    def depth(self, shape: BodyShape, pose: BodyPose) -> float:
        """Metres by which two capsules overlap most that don't at rest; negative when apart."""
        return self.deepest(shape, pose)[0]

    def deepest(self, shape: BodyShape, pose: BodyPose) -> tuple[float, str, str]:
        """`depth`, and the names of the two parts."""
        capsules = self.capsules(shape)
        transforms = self._model.transforms(shape, pose)[capsules.bones]
        ends = np.einsum("ceij,cej->cei", transforms[..., :3, :3], capsules.ends_m)
        ends += transforms[..., :3, 3]
        one, other = self._pairs.T
        reach = capsules.radii_m[one] + capsules.radii_m[other]
        depth = reach - _segments_apart(ends[one], ends[other])
        worst = int(depth.argmax())
        return float(depth[worst]), self.names[one[worst]], self.names[other[worst]]

    def _capsule_names(self) -> list[str]:
        limbs = (*_LIMBS, "hand", "foot")
        names = [f"{side} {part}" for side in SIDES for part in limbs]
        return [*names, "head", "chest", "ribs", "belly", "pelvis"]

    def _compared(self, shape: BodyShape) -> NDArray[np.int64]:
        """(P, 2) capsules that aren't neighbours."""
        neighbours = {
            frozenset(pair)
            for side in SIDES
            for chain in (
                ("upper arm", "forearm", "hand"), ("thigh", "shank", "foot")
            )
            for pair in zip((f"{side} {c}" for c in chain), (f"{side} {c}" for c in chain[1:]))
        }  # fmt: skip
        for side in SIDES:
            for middle in ("chest", "ribs", "head"):
                neighbours.add(frozenset((f"{side} upper arm", middle)))
            for middle in ("pelvis", "belly"):
                neighbours.add(frozenset((f"{side} thigh", middle)))
            neighbours.add(frozenset((f"{side} thigh", f"{side} foot")))
        neighbours.add(frozenset(("left thigh", "right thigh")))
        for pair in combinations(("head", "chest", "ribs", "belly", "pelvis"), 2):
            neighbours.add(frozenset(pair))
        return np.array(
            [
                (a, b)
                for a, b in combinations(range(len(self.names)), 2)
                if frozenset((self.names[a], self.names[b])) not in neighbours
            ]
        )


def _solved(
    at: Callable[[float], Angles], gap: Callable[[Angles], float], low: float, high: float
) -> Angles:
    """The angles between two bounds at which a gap, which grows, closes best."""
    first = at(low)
    if gap(first) >= -_LEVEL_M:
        return first
    if gap(at(high)) < 0:
        return at(high)
    for _ in range(_STEPS):
        middle = (low + high) / 2
        value = gap(at(middle))
        if abs(value) < _LEVEL_M / 4:
            break
        low, high = (middle, high) if value < 0 else (low, middle)
    return at((low + high) / 2)


def _girth(points: Floats, ends: Floats) -> float:
    along = ends[1] - ends[0]
    share = (points - ends[0]) @ along / (along @ along)
    inner = points[(share > 0.15) & (share < 0.85)]
    offset = inner - ends[0]
    length = float(np.linalg.norm(along))
    across = offset - (offset @ along)[:, None] * along / length**2
    return float(0.9 * np.median(np.linalg.norm(across, axis=1)))


def _segments_apart(one: Floats, other: Floats) -> Floats:
    """(P,) distances between segments (P, 2, 3): closest points by clamping (Ericson, "Real-Time
    Collision Detection", 5.1.9)."""
    d1, d2 = one[:, 1] - one[:, 0], other[:, 1] - other[:, 0]
    r = one[:, 0] - other[:, 0]
    a, e = (d1 * d1).sum(1), (d2 * d2).sum(1)
    f, c, b = (d2 * r).sum(1), (d1 * r).sum(1), (d1 * d2).sum(1)
    denominator = np.maximum(a * e - b * b, 1e-12)
    s = np.clip((b * f - c * e) / denominator, 0, 1)
    t = np.clip((b * s + f) / np.maximum(e, 1e-12), 0, 1)
    s = np.clip((b * t - c) / np.maximum(a, 1e-12), 0, 1)
    return np.asarray(np.linalg.norm(r + s[:, None] * d1 - t[:, None] * d2, axis=1))
