"""Poses of bodies drawn at random: around the library's, between two of them, and freely."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from render.body_contact import SOFT_M, BodyContact
from render.body_joints import LIMITS_RAD, SIDES, clipped, mirrored
from render.body_library import NamedPose, body_poses, read_poses
from render.body_model import BodyModel, BodyPose, BodyShape
from render.environments import file_sha256
from render.gestures import Gesture, gestures
from runtime.errors import ViewfinderError

Angles = dict[str, float]

KINDS = ("library", "between", "free")
"""A named pose with a person's variation; a way between two; arms and trunk anywhere in their
limits over named legs."""

SHARES = (0.6, 0.2, 0.2)
TRIES = 16

# Standard deviation of a joint's variation, degrees.
_NOISE = {
    "shoulder_elevation": 9, "shoulder_plane": 10, "shoulder_rotation": 10, "elbow_flexion": 11,
    "forearm_pronation": 18, "wrist_flexion": 10, "wrist_deviation": 6, "hip_flexion": 5,
    "hip_abduction": 3, "hip_rotation": 5, "knee_flexion": 5, "ankle_flexion": 5,
    "ankle_inversion": 3, "toe_extension": 4,
}  # fmt: skip
_MIDDLE_NOISE = {
    "spine_flexion": 5, "spine_lateral": 4, "spine_rotation": 6, "neck_flexion": 10,
    "neck_lateral": 7, "neck_rotation": 18, "root_pitch": 2.5, "root_roll": 2,
}  # fmt: skip
_RELAXED_HANDS = ("relaxed", "flat", "half_fist", "open_palm", "fist", "spread")


@dataclass(frozen=True)
class BodyPoseSettings:
    """Which poses a data set shows.

    Attributes:
        poses: file of the user's own library; the shipped one when None.
        shares: of `KINDS`; they sum to 1.
    """

    poses: Path | None = None
    shares: tuple[float, float, float] = SHARES

    def __post_init__(self) -> None:
        if min(self.shares) < 0 or abs(sum(self.shares) - 1) > 1e-6:
            raise ViewfinderError(
                "shares of poses must be 0 or more and sum to 1", field="--pose-shares",
                expected=f"{', '.join(KINDS)} as in {SHARES}", found=self.shares,
            )  # fmt: skip

    def library(self) -> Mapping[str, NamedPose]:
        """The poses by name."""
        return body_poses() if self.poses is None else read_poses(self.poses)

    def described(self) -> dict[str, Any]:
        """As dataset.json has them."""
        return {
            "poses": "shipped" if self.poses is None else file_sha256(self.poses),
            "pose_count": len(self.library()),
            "shares": dict(zip(KINDS, self.shares)),
        }


SHIPPED = BodyPoseSettings()
"""The shipped library, the usual shares."""


@dataclass(frozen=True)
class DrawnPose:
    """A pose drawn at random.

    Attributes:
        kind: out of `KINDS`.
        names: of the library's poses it comes from.
        on: what carries the body (`body_library.CARRIED`).
        pose: settled on that.
        hands: gesture by side.
        lift_m: how high a body that nothing carries is above the ground.
        mirrored: whether left and right are swapped against the library.
    """

    kind: str
    names: tuple[str, ...]
    on: str
    pose: BodyPose
    hands: Mapping[str, str]
    lift_m: float
    mirrored: bool


class BodyPoseSampler:
    """Draws poses for bodies of one model.

    Raises:
        ViewfinderError: the user's poses can't be read or are fewer than two.
    """

    def __init__(self, model: BodyModel, settings: BodyPoseSettings) -> None:
        self._settings = settings
        self._library = settings.library()
        self._names = list(self._library)
        self.contact = BodyContact(model)
        if len(self._names) < 2:
            raise ViewfinderError("needs two poses or more", file=settings.poses, field="poses")

    def draw(self, shape: BodyShape, rng: np.random.Generator) -> DrawnPose:
        """A pose that this person's body can take, settled on what carries it."""
        kind = KINDS[int(rng.choice(len(KINDS), p=self._settings.shares))]
        named = self._library[self._names[int(rng.integers(len(self._names)))]]
        other = self._like(named, rng) if kind == "between" else None
        gesture = {side: named.hands.get(side) or _any_hand(rng) for side in SIDES}
        way = float(rng.uniform(0.2, 0.8))
        swapped = bool(rng.random() < 0.5)
        lift = float(rng.uniform(0.03, 0.35)) if named.on == "air" else 0.0
        hands = {side: gestures()[name] for side, name in gesture.items()}
        allowed = self._depth(shape, named, hands)
        if other is not None:
            allowed = max(allowed, self._depth(shape, other, hands))
        pose = BodyPose({}, {})
        for attempt in range(TRIES):
            calm = 1 - attempt / TRIES
            pose = self._attempt(kind, named, other, way, rng, calm, shape, hands)
            if self.contact.depth(shape, pose) <= max(SOFT_M, allowed + 0.004):
                break
        names = (named.name,) if other is None else (named.name, other.name)
        if swapped:
            pose = BodyPose(mirrored(pose.angles), {s: pose.hands[o] for s, o in _SWAPPED})
            gesture = {s: gesture[o] for s, o in _SWAPPED}
        return DrawnPose(kind, names, named.on, pose, gesture, lift, swapped)

    def named(self, shape: BodyShape, name: str) -> DrawnPose:
        """A pose of the library as it stands there."""
        named = self._library[name]
        gesture = {side: named.hands.get(side, "relaxed") for side in SIDES}
        hands = {side: gestures()[each].angles for side, each in gesture.items()}
        pose = self.contact.settled(shape, BodyPose(dict(named.angles), hands), named.on)
        lift = 0.15 if named.on == "air" else 0.0
        return DrawnPose("library", (name,), named.on, pose, gesture, lift, False)

    def _depth(self, shape: BodyShape, named: NamedPose, hands: Mapping[str, Gesture]) -> float:
        own = {side: gesture.angles for side, gesture in hands.items()}
        return self.contact.depth(shape, BodyPose(dict(named.angles), own))

    def _like(self, named: NamedPose, rng: np.random.Generator) -> NamedPose:
        """Another pose that is carried alike and lies alike."""
        alike = [
            pose
            for pose in self._library.values()
            if pose.on == named.on
            and pose.name != named.name
            and abs(pose.angles["root_pitch"] - named.angles["root_pitch"]) < math.radians(40)
            and abs(pose.angles["root_roll"] - named.angles["root_roll"]) < math.radians(30)
        ]
        return alike[int(rng.integers(len(alike)))] if alike else named

    def _attempt(
        self,
        kind: str,
        named: NamedPose,
        other: NamedPose | None,
        way: float,
        rng: np.random.Generator,
        calm: float,
        shape: BodyShape,
        hands: Mapping[str, Gesture],
    ) -> BodyPose:
        angles = dict(named.angles)
        if other is not None:
            # The last attempt is the first pose itself.
            share = way * min(1.0, 2 * calm)
            angles = {k: (1 - share) * a + share * other.angles[k] for k, a in angles.items()}
        spread = named.spread if other is None else min(named.spread, other.spread)
        if kind == "free" and named.on not in ("hands_feet", "ground"):
            free = _free(rng)
            angles |= {k: (1 - calm) * angles.get(k, 0.0) + calm * a for k, a in free.items()}
        angles = clipped(_varied(angles, rng, spread * calm))
        pose = BodyPose(angles, {side: gesture.angles for side, gesture in hands.items()})
        return self.contact.settled(shape, pose, named.on)


_SWAPPED = (("left", "right"), ("right", "left"))


def _varied(angles: Angles, rng: np.random.Generator, spread: float) -> Angles:
    result = dict(angles)
    for side in SIDES:
        for joint, degrees in _NOISE.items():
            key = f"{side}_{joint}"
            result[key] = result.get(key, 0.0) + math.radians(spread * degrees * rng.normal())
    for joint, wide in _MIDDLE_NOISE.items():
        result[joint] = result.get(joint, 0.0) + math.radians(spread * wide * rng.normal())
    return result


def _free(rng: np.random.Generator) -> Angles:
    """Arms anywhere in their limits, a trunk and a neck that turn."""
    angles: Angles = {}
    for side in SIDES:
        angles[f"{side}_shoulder_elevation"] = math.acos(float(rng.uniform(-1, 1)))
        angles[f"{side}_shoulder_plane"] = math.radians(float(rng.uniform(-35, 120)))
        angles[f"{side}_shoulder_rotation"] = math.radians(float(rng.uniform(-80, 75)))
        angles[f"{side}_elbow_flexion"] = math.radians(145 * float(rng.beta(1.1, 1.3)))
        angles[f"{side}_forearm_pronation"] = math.radians(float(rng.uniform(-75, 75)))
    for joint, share in (("spine", 0.6), ("neck", 0.7)):
        for way in ("flexion", "lateral", "rotation"):
            low, high = LIMITS_RAD[f"{joint}_{way}"]
            angles[f"{joint}_{way}"] = share * float(rng.triangular(low, 0.0, high))
    return angles


def _any_hand(rng: np.random.Generator) -> str:
    names = list(gestures())
    if rng.random() < 0.75:
        return _RELAXED_HANDS[int(rng.integers(len(_RELAXED_HANDS)))]
    return names[int(rng.integers(len(names)))]
