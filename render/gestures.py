"""Named hand shapes and poses drawn around and between them.

A gesture is a set of joint angles within hand21's limits, authored from written descriptions and
judged on renders (`viewfinder render hands --gallery FILE`). It says how the fingers are held, not
how the hand is turned: a thumb up and a thumb down share one shape.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from types import MappingProxyType

import numpy as np

from render.hand_model import FINGERS, WRIST_LIMITS_RAD
from runtime.topology import topology

Angles = dict[str, float]

BLENDED = 0.25
"""Share of poses that lie between two gestures and carry no gesture's name."""

_THUMB = ("thumb_cmc_flexion", "thumb_cmc_abduction", "thumb_mcp_flexion", "thumb_ip_flexion")


@dataclass(frozen=True)
class Gesture:
    """A hand shape: what it is, where its description comes from, and its angles in radians."""

    name: str
    description: str
    source: str
    angles: Mapping[str, float]


@dataclass(frozen=True)
class HandPose:
    """A pose drawn at random.

    Attributes:
        gesture: name of the gesture it is a variation of; None between two.
        between: the names it lies between, the first alone for a plain gesture.
        angles: radians by joint, within the limits.
    """

    gesture: str | None
    between: tuple[str, ...]
    angles: Mapping[str, float]


def limits() -> dict[str, tuple[float, float]]:
    """Least and greatest angle of every joint that is posed, in radians."""
    return {**topology("hand21@1").joint_limits_rad, **WRIST_LIMITS_RAD}


@cache
def gestures() -> Mapping[str, Gesture]:
    """Every gesture by name, in the data file's order."""
    text = resources.files("render").joinpath("data/gestures.json").read_text(encoding="utf-8")
    stored = json.loads(text)["gestures"]
    return MappingProxyType({name: _gesture(name, entry) for name, entry in stored.items()})


def _gesture(name: str, entry: Mapping[str, object]) -> Gesture:
    degrees: dict[str, float] = {}
    for finger in FINGERS:
        values = entry[finger]
        assert isinstance(values, list)
        joints = ("mcp_flexion", "mcp_abduction", "pip_flexion", "dip_flexion")
        names = _THUMB if finger == "thumb" else tuple(f"{finger}_{joint}" for joint in joints)
        degrees |= dict(zip(names, values, strict=True))
    angles = {joint: math.radians(value) for joint, value in degrees.items()}
    allowed = limits()
    for joint, angle in angles.items():
        if not allowed[joint][0] <= angle <= allowed[joint][1]:
            raise ValueError(f"{name}: {joint} lies outside hand21's limits")
    return Gesture(name, str(entry["description"]), str(entry["source"]), MappingProxyType(angles))


def random_pose(rng: np.random.Generator) -> HandPose:
    """A gesture, or the way between two, with the variation that people bring."""
    names = list(gestures())
    first, second = (names[i] for i in rng.choice(len(names), size=2, replace=False))
    blended = rng.random() < BLENDED
    share = rng.uniform(0.25, 0.75) if blended else 0.0
    looseness = rng.uniform(0.3, 1.0)
    a, b = gestures()[first].angles, gestures()[second].angles
    angles = {joint: (1 - share) * a[joint] + share * b[joint] for joint in a}
    _vary(angles, looseness, rng)
    _turn_wrist(angles, rng)
    angles = {joint: float(np.clip(value, *limits()[joint])) for joint, value in angles.items()}
    return HandPose(None if blended else first, (first, second)[: 1 + blended], angles)


def _vary(angles: Angles, looseness: float, rng: np.random.Generator) -> None:
    """Adds noise: neighbouring joints and fingers move together, as tendons make them."""
    everywhere = rng.normal(0, 4)
    for finger in FINGERS[1:]:
        curl = everywhere + rng.normal(0, 4)
        for joint, gain in (("mcp", 1.0), ("pip", 1.1), ("dip", 0.7)):
            noise = gain * curl + rng.normal(0, 3)
            angles[f"{finger}_{joint}_flexion"] += math.radians(looseness * noise)
        angles[f"{finger}_mcp_abduction"] += math.radians(looseness * rng.normal(0, 3))
    for joint, deviation in zip(_THUMB, (6, 5, 6, 8)):
        angles[joint] += math.radians(looseness * rng.normal(0, deviation))


def _turn_wrist(angles: Angles, rng: np.random.Generator) -> None:
    # A bent wrist is common; at its limits it is rare.
    angles["wrist_flexion"] = math.radians(rng.normal(-5, 20))
    angles["wrist_deviation"] = math.radians(rng.normal(4, 8))
