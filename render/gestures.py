"""Named hand shapes: joint angles authored from written descriptions, kept in readable files.

A gesture says how the fingers are held, not how the hand is turned: a thumb up and a thumb down
share one shape, and such a shape has several names. Angles lie within hand21's limits, no finger
lies in another, and every shape was judged on its render (`viewfinder render hands --gallery`).
The files `render/data/gestures_<family>.json` hold the library; a user's own file has their form.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from render.hand_model import FINGERS, WRIST_LIMITS_RAD
from runtime.errors import ViewfinderError
from runtime.topology import topology

FORMAT, VERSION = "viewfinder-gestures", 2

FAMILIES = ("everyday", "asl", "counting", "mudras", "grasps", "inventory")
"""Of the shipped library, in the order in which people look for them."""

LEAST_APART_DEG = 12.0
"""Two gestures differ at least by this much: the root of the sum of their joints' squared
differences in degrees. What is nearer is one gesture with two names."""

_THUMB = ("thumb_cmc_flexion", "thumb_cmc_abduction", "thumb_mcp_flexion", "thumb_ip_flexion")
_FINGER = ("mcp_flexion", "mcp_abduction", "pip_flexion", "dip_flexion")


@dataclass(frozen=True)
class Gesture:
    """A hand shape.

    Attributes:
        name: unique in a library.
        family: group of shapes it belongs to.
        also: further names of the same shape.
        description: how it is held.
        source: where the description comes from.
        tags: words to select by.
        angles: radians by joint of hand21.
    """

    name: str
    family: str
    also: tuple[str, ...]
    description: str
    source: str
    tags: tuple[str, ...]
    angles: Mapping[str, float]


def limits() -> dict[str, tuple[float, float]]:
    """Least and greatest angle of every joint that is posed, in radians."""
    return {**topology("hand21@1").joint_limits_rad, **WRIST_LIMITS_RAD}


def joints_of(finger: str) -> tuple[str, ...]:
    """A finger's joints in hand21's names, in the order in which gesture files list angles."""
    return _THUMB if finger == "thumb" else tuple(f"{finger}_{joint}" for joint in _FINGER)


@cache
def gestures() -> Mapping[str, Gesture]:
    """Every shipped gesture by name, family after family."""
    found: dict[str, Gesture] = {}
    for family in FAMILIES:
        file = resources.files("render").joinpath(f"data/gestures_{family}.json")
        found |= _parsed(file.read_text(encoding="utf-8"), Path(str(file)))
    _check_apart(found, Path(str(resources.files("render").joinpath("data"))))
    return MappingProxyType(found)


def read_gestures(path: Path) -> Mapping[str, Gesture]:
    """The gestures of a user's own file.

    Raises:
        ViewfinderError: the file can't be read, isn't a gesture file, or holds a gesture with an
            unknown field, no source, an angle that no joint takes, or a shape or name twice.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ViewfinderError("can't read the gesture file", file=path, found=error) from error
    found = _parsed(text, path)
    _check_apart(found, path)
    return MappingProxyType(found)


def _parsed(text: str, path: Path) -> dict[str, Gesture]:
    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        names = [name for name, _ in pairs]
        for name in names:
            if names.count(name) > 1:
                raise ViewfinderError("stands there twice", file=path, field=name)
        return dict(pairs)

    try:
        stored = json.loads(text, object_pairs_hook=unique)
    except (ValueError, RecursionError) as error:
        raise ViewfinderError("isn't JSON", file=path, found=error) from error
    if not isinstance(stored, dict) or stored.get("format") != FORMAT:
        found = stored.get("format") if isinstance(stored, dict) else type(stored).__name__
        raise ViewfinderError(
            "isn't a gesture file", file=path, field="format", expected=repr(FORMAT),
            found=repr(found),
        )  # fmt: skip
    if stored.get("version") != VERSION:
        raise ViewfinderError(
            "is of another version", file=path, field="version", expected=VERSION,
            found=stored.get("version"),
        )  # fmt: skip
    entries = stored.get("gestures")
    if not isinstance(entries, dict) or not entries:
        raise ViewfinderError(
            "holds no gestures", file=path, field="gestures", expected="an object by name"
        )
    family = stored.get("family", "own")
    if not isinstance(family, str):
        raise ViewfinderError("must be text", file=path, field="family", found=repr(family))
    return {name: _gesture(name, family, entry, path) for name, entry in entries.items()}


_TEXTS, _LISTS = ("description", "source"), ("also", "tags")


def _gesture(name: str, family: str, entry: object, path: Path) -> Gesture:
    if not isinstance(entry, dict):
        raise ViewfinderError("must be an object", file=path, field=name, found=repr(entry))
    known = (*_TEXTS, *_LISTS, *FINGERS)
    for field in entry:
        if field not in known:
            raise ViewfinderError(
                "unknown joint or field", file=path, field=f"{name}.{field}",
                expected=" | ".join(known),
            )  # fmt: skip
    for field in _TEXTS:
        if not isinstance(entry.get(field), str) or not entry[field].strip():
            raise ViewfinderError(
                f"needs its {field}", file=path, field=f"{name}.{field}", expected="text",
                found=repr(entry.get(field)),
            )  # fmt: skip
    lists: dict[str, tuple[str, ...]] = {}
    for field in _LISTS:
        value = entry.get(field, [])
        if not isinstance(value, list) or not all(isinstance(word, str) for word in value):
            raise ViewfinderError(
                "must be a list of words", file=path, field=f"{name}.{field}", found=repr(value)
            )
        lists[field] = tuple(value)
    angles: dict[str, float] = {}
    for finger in FINGERS:
        angles |= _angles(f"{name}.{finger}", finger, entry.get(finger), path)
    return Gesture(
        name, family, lists["also"], entry["description"], entry["source"], lists["tags"],
        MappingProxyType(angles),
    )  # fmt: skip


def _angles(field: str, finger: str, values: object, path: Path) -> dict[str, float]:
    joints = joints_of(finger)
    if not isinstance(values, list) or len(values) != len(joints):
        raise ViewfinderError(
            "needs an angle in degrees for each joint", file=path, field=field,
            expected=", ".join(joints), found=repr(values),
        )  # fmt: skip
    result = {}
    for joint, value in zip(joints, values):
        low, high = (math.degrees(angle) for angle in limits()[joint])
        number = isinstance(value, (int, float)) and not isinstance(value, bool)
        if not number or not low - 1e-9 <= value <= high + 1e-9:
            raise ViewfinderError(
                f"no hand's {joint} takes that angle", file=path, field=field,
                expected=f"{low:.0f} to {high:.0f} degrees", found=repr(value),
            )  # fmt: skip
        result[joint] = math.radians(value)
    return result


def _check_apart(found: Mapping[str, Gesture], path: Path) -> None:
    """No name twice, no shape twice."""
    owner: dict[str, str] = {}
    for gesture in found.values():
        for name in (gesture.name, *gesture.also):
            if name in owner:
                raise ViewfinderError(
                    "the name stands for two gestures", file=path, field=name,
                    found=f"{owner[name]} and {gesture.name}",
                )  # fmt: skip
            owner[name] = gesture.name
    names = list(found)
    degrees = np.degrees([list(gesture.angles.values()) for gesture in found.values()])
    square = (degrees**2).sum(axis=1)
    apart = np.sqrt(np.maximum(square[:, None] + square - 2 * degrees @ degrees.T, 0))
    i, j = np.triu_indices(len(names), 1)
    if len(i) and apart[i, j].min() < LEAST_APART_DEG:
        k = int(apart[i, j].argmin())
        raise ViewfinderError(
            "two gestures have the same shape", file=path, field=names[i[k]],
            expected=f"{LEAST_APART_DEG:.0f} degrees between them or more",
            found=f"{apart[i[k], j[k]]:.1f} degrees from {names[j[k]]}",
            hint='one entry may have several names: "also": [...]',
        )  # fmt: skip
