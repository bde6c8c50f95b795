"""Named poses of bodies: joint angles authored from written descriptions, in a readable file.

`render/data/poses_body.json` holds angles in degrees within `body_joints.LIMITS_RAD`; every pose
was judged on its render from two sides (`viewfinder render bodies --gallery FILE`). What an entry
leaves out is as in quiet standing.
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

from render.body_joints import LIMITS_RAD, SIDES
from render.gestures import gestures
from runtime.errors import ViewfinderError

FORMAT, VERSION = "viewfinder-poses", 1

CARRIED = (
    "feet", "left_foot", "right_foot", "toes", "seat", "seat_one", "hands_feet",
    "left_foot_right_knee", "ground", "air",
)  # fmt: skip
"""What may carry a body: both soles flat, one sole flat, the balls of the feet, something to sit on
with both soles flat or one, hands and feet, a sole and a knee, whatever is lowest, nothing."""

_GROUPS = {
    "arms": ("shoulder_elevation", "shoulder_plane", "shoulder_rotation", "elbow_flexion",
             "forearm_pronation"),
    "legs": ("hip_flexion", "hip_abduction", "hip_rotation", "knee_flexion", "ankle_flexion"),
    "spine": ("spine_flexion", "spine_lateral", "spine_rotation"),
    "neck": ("neck_flexion", "neck_lateral", "neck_rotation"),
    "root": ("root_pitch", "root_roll"),
}  # fmt: skip
_STANDING = {
    "arms": [9, 20, 5, 12, 10], "legs": [0, 4, -7, 1, 0], "spine": [0, 0, 0], "neck": [0, 0, 0],
    "root": [0, 0],
}  # fmt: skip
_HANDS = {"hands", "left_hand", "right_hand"}
_KNOWN = {"source", "on", "spread", "wrist", "toes", *_GROUPS, *_HANDS} | {
    f"{side}_{limb}" for side in SIDES for limb in ("arm", "leg")
}


@dataclass(frozen=True)
class NamedPose:
    """A pose of the library.

    Attributes:
        name: unique.
        source: what it was authored from.
        on: out of `CARRIED`.
        angles: radians by joint.
        hands: name of a gesture by side, for hands whose shape belongs to the pose.
        spread: how far noise may go, 1 usual.
    """

    name: str
    source: str
    on: str
    angles: Mapping[str, float]
    hands: Mapping[str, str]
    spread: float


@cache
def body_poses() -> Mapping[str, NamedPose]:
    """Every shipped pose by name."""
    file = resources.files("render").joinpath("data/poses_body.json")
    return parsed_poses(file.read_text(encoding="utf-8"), Path(str(file)))


def read_poses(path: Path) -> Mapping[str, NamedPose]:
    """The poses of a user's own file, which has the shipped one's form.

    Raises:
        ViewfinderError: it can't be read, isn't a file of poses, or holds a pose with an unknown
            field, without a source, or with an angle that no joint takes.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ViewfinderError("can't read the file of poses", file=path, found=error) from error
    return parsed_poses(text, path)


def parsed_poses(text: str, path: Path) -> Mapping[str, NamedPose]:
    """The poses that a file holds; raises as `read_poses` does."""
    try:
        stored = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ViewfinderError("isn't JSON", file=path, found=error) from error
    if not isinstance(stored, dict) or (stored.get("format"), stored.get("version")) != (
        FORMAT, VERSION,
    ):  # fmt: skip
        raise ViewfinderError(
            "isn't a file of poses", file=path, field="format, version",
            expected=f"{FORMAT!r}, {VERSION}",
        )  # fmt: skip
    entries = stored.get("poses")
    if not isinstance(entries, dict) or not entries:
        raise ViewfinderError("holds no poses", file=path, field="poses", expected="an object")
    return MappingProxyType({name: _pose(name, entry, path) for name, entry in entries.items()})


def _pose(name: str, entry: Any, path: Path) -> NamedPose:
    if not isinstance(entry, dict):
        raise ViewfinderError("must be an object", file=path, field=name, found=repr(entry))
    if unknown := set(entry) - _KNOWN:
        raise ViewfinderError(
            "unknown field", file=path, field=f"{name}.{min(unknown)}",
            expected=" | ".join(sorted(_KNOWN)),
        )  # fmt: skip
    source, on = entry.get("source"), entry.get("on")
    if not isinstance(source, str) or not source.strip():
        raise ViewfinderError("needs its source", file=path, field=f"{name}.source")
    if on not in CARRIED:
        raise ViewfinderError(
            "nothing carries a body so", file=path, field=f"{name}.on",
            expected=" | ".join(CARRIED), found=repr(on),
        )  # fmt: skip
    spread = entry.get("spread", 1.0)
    if not _is_number(spread) or not 0 <= spread <= 3:
        raise ViewfinderError(
            "must be a number", file=path, field=f"{name}.spread", expected="0 to 3",
            found=repr(spread),
        )  # fmt: skip
    angles = _angles(name, entry, path)
    return NamedPose(name, source, on, angles, _hands(name, entry, path), float(spread))


def _angles(name: str, entry: Mapping[str, Any], path: Path) -> Mapping[str, float]:
    degrees: dict[str, float] = {}
    for group, joints in _GROUPS.items():
        own = entry.get(group, _STANDING[group])
        if group in ("arms", "legs"):
            for side in SIDES:
                given = entry.get(f"{side}_{group[:-1]}", own)
                degrees |= _listed(
                    f"{name}.{side}_{group[:-1]}", [f"{side}_{j}" for j in joints], given, path
                )
        else:
            degrees |= _listed(f"{name}.{group}", list(joints), own, path)
    toes = _listed(f"{name}.toes", ["left", "right"], entry.get("toes", [0, 0]), path)
    wrist = entry.get("wrist", 0)
    for side in SIDES:
        degrees[f"{side}_toe_extension"] = toes[side]
        degrees |= _listed(f"{name}.wrist", [f"{side}_wrist_flexion"], [wrist], path)
    for joint, angle in degrees.items():
        low, high = (math.degrees(a) for a in LIMITS_RAD.get(joint, (-math.pi, math.pi)))
        if not low - 1e-9 <= angle <= high + 1e-9:
            raise ViewfinderError(
                f"no body's {joint} takes that angle", file=path, field=name,
                expected=f"{low:.0f} to {high:.0f} degrees", found=repr(angle),
            )  # fmt: skip
    return MappingProxyType({joint: math.radians(angle) for joint, angle in degrees.items()})


def _listed(field: str, joints: list[str], values: Any, path: Path) -> dict[str, float]:
    right = isinstance(values, list) and len(values) == len(joints)
    if not right or not all(_is_number(value) for value in values):
        raise ViewfinderError(
            "needs an angle in degrees for each joint", file=path, field=field,
            expected=", ".join(joints), found=repr(values),
        )  # fmt: skip
    return dict(zip(joints, (float(value) for value in values)))


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _hands(name: str, entry: Mapping[str, Any], path: Path) -> Mapping[str, str]:
    result = {}
    for side in SIDES:
        gesture = entry.get(f"{side}_hand", entry.get("hands"))
        if gesture is None:
            continue
        if gesture not in gestures():
            raise ViewfinderError(
                "no gesture has that name", file=path, field=f"{name}.hands", found=repr(gesture)
            )
        result[side] = gesture
    return MappingProxyType(result)
