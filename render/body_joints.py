"""How a body bends: joints by the names clinicians use, their limits, and the bones they turn.

Zero is the neutral standing position: legs straight, arms hanging, palms toward the thighs. Every
segment then has the axes of the whole body (x to the left, y backward, z up); in Anny's rest
position, arms and legs spread, segments have axes of their own (`rest_frames`), and a bone turns
from those to the ones that the angles ask for. Twists of forearm, upper arm and thigh are spread
over two bones each, so that skin isn't wrung.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

SIDES = ("left", "right")
SIGN = {"left": 1.0, "right": -1.0}

_SPINE = {"spine05": 0.15, "spine04": 0.2, "spine03": 0.25, "spine02": 0.2, "spine01": 0.2}
_NECK = {"neck01": 0.18, "neck02": 0.18, "neck03": 0.22, "head": 0.42}

_MIDDLE_LIMITS = {
    "spine_flexion": (-30, 85),
    "spine_lateral": (-35, 35),
    "spine_rotation": (-45, 45),
    "neck_flexion": (-60, 50),
    "neck_lateral": (-45, 45),
    "neck_rotation": (-80, 80),
}
_SIDE_LIMITS = {
    "shoulder_elevation": (0, 180),
    "shoulder_plane": (-60, 135),
    "shoulder_rotation": (-90, 90),
    "elbow_flexion": (0, 150),
    "forearm_pronation": (-85, 80),
    "wrist_flexion": (-65, 70),
    "wrist_deviation": (-18, 28),
    "hip_flexion": (-30, 135),
    "hip_abduction": (-30, 80),
    "hip_rotation": (-60, 45),
    "knee_flexion": (0, 155),
    "ankle_flexion": (-50, 35),
    "ankle_inversion": (-20, 35),
    "toe_extension": (-40, 70),
}

LIMITS_RAD: Mapping[str, tuple[float, float]] = MappingProxyType(
    {
        name: (math.radians(low), math.radians(high))
        for name, (low, high) in (
            _MIDDLE_LIMITS
            | {f"{side}_{joint}": pair for side in SIDES for joint, pair in _SIDE_LIMITS.items()}
        ).items()
    }
)
"""Least and greatest angle of every joint, radians: ranges of motion as clinical goniometry tables
give them (American Academy of Orthopaedic Surgeons, "Joint Motion"; Norkin and White, "Measurement
of Joint Motion"), hips, knees and ankles widened to what people reach under load and in yoga.

Flexion is forward but for the knee's; spine and neck lean and turn to the left; shoulder elevation
is the upper arm's angle to hanging, its plane 0 aside, 90 forward; shoulder and hip rotation are
inward, pronation from a palm that faces the thigh; ankle flexion lifts the foot, inversion turns
its sole inward. Wrists have the angles and limits of `render.hand_model`.
"""

ROOT = ("root_pitch", "root_roll")
"""How the whole body leans, beside joints: forward, and to its left; without limits."""

MIRRORED = {"spine_lateral", "spine_rotation", "neck_lateral", "neck_rotation", "root_roll"}
"""Angles that change their sign when left and right are swapped."""


def side_joints() -> tuple[str, ...]:
    """Joints that there are two of, without their side."""
    return tuple(_SIDE_LIMITS)


def mirrored(angles: Mapping[str, float]) -> dict[str, float]:
    """The angles of the mirror image; its own inverse."""
    result = {}
    for joint, angle in angles.items():
        side = joint.split("_")[0]
        if side in SIDES:
            other = SIDES[1 - SIDES.index(side)]
            result[joint.replace(side, other, 1)] = angle
        else:
            result[joint] = -angle if joint in MIRRORED else angle
    return result


def clipped(angles: Mapping[str, float]) -> dict[str, float]:
    """The angles within their limits; the body's own lean is kept."""
    return {
        joint: float(np.clip(angle, *LIMITS_RAD[joint])) if joint in LIMITS_RAD else angle
        for joint, angle in angles.items()
    }


# -- bones ------------------------------------------------------------------------------------

BONES = ("pelvis", *_SPINE, *_NECK) + tuple(
    f"{bone}.{side}"
    for side in SIDES
    for bone in (
        "clavicle", "shoulder01", "upperarm01", "upperarm02", "lowerarm01", "lowerarm02", "hand",
        "upperleg01", "upperleg02", "lowerleg01", "lowerleg02", "foot", "toes",
    )
)  # fmt: skip
"""What is turned, parents first; fingers follow `hand`."""


def parent_of(bone: str) -> str | None:
    """The bone that carries another; None for the pelvis."""
    if bone == "pelvis":
        return None
    name, _, side = bone.partition(".")
    if not side:
        return BONES[BONES.index(bone) - 1]
    before = {
        "clavicle": "spine01", "upperleg01": "pelvis", "shoulder01": "clavicle",
        "upperarm01": "shoulder01", "upperarm02": "upperarm01", "lowerarm01": "upperarm02",
        "lowerarm02": "lowerarm01", "hand": "lowerarm02", "upperleg02": "upperleg01",
        "lowerleg01": "upperleg02", "lowerleg02": "lowerleg01", "foot": "lowerleg02",
        "toes": "foot",
    }[name]  # fmt: skip
    return before if before in ("spine01", "pelvis") else f"{before}.{side}"


def bone_of(anny: str) -> str:
    """Which of our bones moves what Anny's bone of that name moves."""
    name, _, letter = anny.partition(".")
    side = {"L": "left", "R": "right"}.get(letter, "")
    if name in ("root", "pelvis"):
        return "pelvis"
    if name == "breast":
        return "spine02"
    if name in _SPINE or name in _NECK:
        return name
    if name.startswith(("wrist", "metacarpal", "finger")):
        return f"hand.{side}"
    if name.startswith("toe"):
        return f"toes.{side}"
    return f"{name}.{side}" if f"{name}.{side}" in BONES else "head"


def turn(axis: str, angle: float) -> Floats:
    """(3, 3) turn about one of the body's axes."""
    c, s = math.cos(angle), math.sin(angle)
    rows = {
        "x": [[1, 0, 0], [0, c, -s], [0, s, c]],
        "y": [[c, 0, s], [0, 1, 0], [-s, 0, c]],
        "z": [[c, -s, 0], [s, c, 0], [0, 0, 1]],
    }[axis]
    return np.array(rows, dtype=np.float64)


def arm_direction(side: str, elevation: float, plane: float) -> Floats:
    """(3,) where the upper arm points, in the chest's axes."""
    across = math.sin(elevation)
    return np.array(
        [
            SIGN[side] * across * math.cos(plane),
            -across * math.sin(plane),
            -math.cos(elevation),
        ]
    )


def swing(direction: Floats) -> Floats:
    """(3, 3) the shortest turn from straight down to a unit direction."""
    x, y, z = direction
    cosine = -z
    if cosine < -1 + 1e-9:
        return turn("x", math.pi)
    axis = np.array([y, -x, 0.0])  # (0, 0, -1) x direction
    cross = np.array([[0, 0, axis[1]], [0, 0, -axis[0]], [-axis[1], axis[0], 0]])
    return np.eye(3) + cross + cross @ cross / (1 + cosine)


def frames(angles: Mapping[str, float]) -> dict[str, Floats]:
    """(3, 3) axes of every bone at those angles, in the axes of the place the body stands in."""
    a = {**dict.fromkeys((*LIMITS_RAD, *ROOT), 0.0), **angles}
    result = {"pelvis": turn("y", a["root_roll"]) @ turn("x", a["root_pitch"])}
    for joint, shares in (("spine", _SPINE), ("neck", _NECK)):
        for bone, share in shares.items():
            bend = [share * a[f"{joint}_{way}"] for way in ("rotation", "lateral", "flexion")]
            step = turn("z", bend[0]) @ turn("y", bend[1]) @ turn("x", bend[2])
            result[bone] = result[BONES[BONES.index(bone) - 1]] @ step
    for side in SIDES:
        own = {joint: a[f"{side}_{joint}"] for joint in _SIDE_LIMITS}
        result |= _arm(side, own, result["spine01"]) | _leg(side, own, result["pelvis"])
    return result


def _arm(side: str, a: Mapping[str, float], chest: Floats) -> dict[str, Floats]:
    inward = -SIGN[side]
    direction = arm_direction(side, a["shoulder_elevation"], a["shoulder_plane"])
    girdle = chest @ girdle_turn(side, direction)
    whole = swing(direction)
    blade = chest @ swing(_halfway(direction, 0.3)) if direction[2] > -0.999 else chest
    twist = a["shoulder_rotation"]
    upper = chest @ whole @ turn("z", inward * twist)
    elbow = upper @ turn("x", -a["elbow_flexion"])

    def lower(share: float) -> Floats:
        return elbow @ turn("z", inward * share * a["forearm_pronation"])

    return {
        f"clavicle.{side}": girdle,
        f"shoulder01.{side}": girdle @ chest.T @ blade,
        f"upperarm01.{side}": chest @ whole @ turn("z", inward * 0.4 * twist),
        f"upperarm02.{side}": upper,
        f"lowerarm01.{side}": lower(0.35),
        f"lowerarm02.{side}": lower(0.8),
        f"hand.{side}": lower(1.0),
    }


def girdle_turn(side: str, direction: Floats) -> Floats:
    """(3, 3) how collar bone and shoulder blade follow a raised arm: from 30 degrees on, about one
    degree up for five of the arm, and forward with an arm that is held forward (after Inman's
    scapulohumeral rhythm, of which the blade's own part lies in `shoulder01`)."""
    elevation = math.acos(float(np.clip(-direction[2], -1, 1)))
    up = 0.2 * max(elevation - math.radians(30), 0.0)
    forward = math.radians(14) * max(-float(direction[1]), 0.0)
    return turn("z", -SIGN[side] * forward) @ turn("y", -SIGN[side] * up)


def _halfway(direction: Floats, share: float) -> Floats:
    angle = math.acos(float(np.clip(-direction[2], -1, 1)))
    flat = direction[:2] / max(float(np.hypot(*direction[:2])), 1e-9)
    return np.array([*(flat * math.sin(share * angle)), -math.cos(share * angle)])


def _leg(side: str, a: Mapping[str, float], pelvis: Floats) -> dict[str, Floats]:
    inward = -SIGN[side]
    straight = pelvis @ turn("x", -a["hip_flexion"]) @ turn("y", inward * a["hip_abduction"])
    thigh = straight @ turn("z", inward * a["hip_rotation"])
    shank = thigh @ turn("x", a["knee_flexion"])
    foot = shank @ turn("x", -a["ankle_flexion"]) @ turn("y", -inward * a["ankle_inversion"])
    return {
        f"upperleg01.{side}": straight @ turn("z", inward * 0.5 * a["hip_rotation"]),
        f"upperleg02.{side}": thigh,
        f"lowerleg01.{side}": shank,
        f"lowerleg02.{side}": shank,
        f"foot.{side}": foot,
        f"toes.{side}": foot @ turn("x", -a["toe_extension"]),
    }


def rest_angles(joints: Mapping[str, Floats], palmar: Mapping[str, Floats]) -> dict[str, float]:
    """The angles at which Anny's rest position holds arms and legs.

    Args:
        joints: (3,) head of every bone at rest.
        palmar: (3,) normal out of each palm, by side.
    """
    result: dict[str, float] = {}
    for side in SIDES:
        upper = _unit(joints[f"lowerarm01.{side}"] - joints[f"upperarm01.{side}"])
        fore = _unit(joints[f"hand.{side}"] - joints[f"lowerarm01.{side}"])
        result[f"{side}_shoulder_elevation"] = math.acos(-upper[2])
        result[f"{side}_shoulder_plane"] = math.atan2(-upper[1], SIGN[side] * upper[0])
        hinge = _unit(np.cross(fore, upper))
        inward = -SIGN[side]
        base = swing(upper)
        result[f"{side}_shoulder_rotation"] = inward * math.atan2(
            hinge @ base[:, 1], hinge @ base[:, 0]
        )
        result[f"{side}_elbow_flexion"] = math.acos(np.clip(upper @ fore, -1, 1))
        medial = _unit(palmar[side] - (palmar[side] @ fore) * fore) * inward
        result[f"{side}_forearm_pronation"] = inward * math.atan2(
            medial @ np.cross(-fore, hinge), medial @ hinge
        )
        thigh = _unit(joints[f"lowerleg01.{side}"] - joints[f"upperleg01.{side}"])
        shank = _unit(joints[f"foot.{side}"] - joints[f"lowerleg01.{side}"])
        # The leg's plane bends about the body's own x axis, at rest as at any time.
        result[f"{side}_hip_flexion"] = math.atan2(-thigh[1], -thigh[2])
        result[f"{side}_hip_abduction"] = math.asin(SIGN[side] * thigh[0])
        result[f"{side}_knee_flexion"] = max(math.asin(shank[1]) - math.asin(thigh[1]), 0.0)
    return result


def rest_frames(joints: Mapping[str, Floats], palmar: Mapping[str, Floats]) -> dict[str, Floats]:
    """(3, 3) axes of every bone in Anny's rest position; arguments as of `rest_angles`."""
    result = frames(rest_angles(joints, palmar))
    for side in SIDES:
        shank = _unit(joints[f"foot.{side}"] - joints[f"lowerleg01.{side}"])
        result |= dict.fromkeys((f"lowerleg01.{side}", f"lowerleg02.{side}"), swing(shank))
        # Feet stand flat and point forward a little outward; their own axes are level.
        ahead = joints[f"toes.{side}"] - joints[f"foot.{side}"]
        outward = math.atan2(ahead[0], -ahead[1])
        level = turn("z", outward)
        result |= {f"foot.{side}": level, f"toes.{side}": level}
    return result


def _unit(vector: Floats) -> Floats:
    return np.asarray(vector / np.linalg.norm(vector))
