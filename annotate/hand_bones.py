"""Hands in space: bones as long and joints as bent as hands have them, and drags that keep it so.

Pure. A keypoint's depth is its distance along the optical axis as a share of the wrist's; with the
camera it gives points in space, in units of the wrist's distance. Where nobody knows depth, a hand
is taken as flat, and only bones that are too long can be told.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from annotate.editing import Document, Move
from runtime.camera import Camera
from runtime.topology import topology

Array = NDArray[np.float64]

HAND = "hand21@1"
FINGERS = ("thumb", "index", "middle", "ring", "pinky")
# From each keypoint but the wrist to the one before it: the joint that it hangs on.
PARENT = tuple(0 if i % 4 == 1 else i - 1 for i in range(21))
# How long each keypoint's bone is as a share of all bones together: medians over 2,849 hands of
# our renderer's shapes. There single bones lie between 0.70 and 1.41 of it in 998 of 1000 hands.
_SHARES = (
    *(0.0, 0.0519, 0.0404, 0.0380, 0.0257),
    *(0.1075, 0.0550, 0.0322, 0.0240),
    *(0.1042, 0.0619, 0.0382, 0.0233),
    *(0.1001, 0.0559, 0.0344, 0.0251),
    *(0.0964, 0.0453, 0.0216, 0.0185),
)
_SHORTEST, _LONGEST, _LONGEST_FLAT = 0.6, 1.55, 1.8
# Keypoints aren't the joints' axes, and a knuckle's bend is counted from the wrist here: in those
# hands, whose joints keep the topology's limits, bends pass them by up to 18 degrees.
_BEYOND_RAD = np.radians(25.0)
# A camera that nobody measured: this many picture widths, as phones' main cameras have about.
_USUAL_FOCAL = 1.2


def usual_camera(width: int, height: int) -> Camera:
    """A guess at the camera of a picture of which nothing is known."""
    focal = _USUAL_FOCAL * max(width, height)
    return Camera(focal, focal, width / 2, height / 2, width, height)


def depth_of(points_camera_m: NDArray[np.floating]) -> Array | None:
    """(21,) shares of the wrist's distance of a hand (21, 3) in camera axes; None for one that
    isn't before the camera."""
    away = np.asarray(points_camera_m, dtype=np.float64)[:, 2]
    wrist = away[0]
    if not wrist > 0 or not np.isfinite(away).all():
        return None
    return np.asarray(away / wrist)


def in_space(points_px: Array, depth: Array | None, camera: Camera) -> Array:
    """(21, 3) camera axes, in units of the wrist's distance; NaN where a keypoint has no place.

    Args:
        points_px: (21, 2).
        depth: (21,) shares of the wrist's; flat when None.
        camera: of the picture; distortion is neglected, as these are ratios within a hand.
    """
    away = np.ones(len(points_px)) if depth is None else np.where(np.isfinite(depth), depth, 1.0)
    aside = (points_px - [camera.cx, camera.cy]) / [camera.fx, camera.fy]
    return np.concatenate([aside, np.ones((len(points_px), 1))], axis=1) * away[:, None]


@dataclass(frozen=True)
class Implausible:
    """What of a hand can't be right.

    Attributes:
        bones: keypoints whose bone, from the joint before, is too long or too short.
        joints: keypoints at which a finger bends too far, or backwards.
    """

    bones: frozenset[int] = frozenset()
    joints: frozenset[int] = frozenset()

    def text(self) -> str:
        """For people, "" where all is plausible."""
        counts = ((self.bones, "bone", "too long or short"), (self.joints, "joint", "bent too far"))
        words = [f"{len(w)} {one}{'s'[: len(w) - 1]} {how}" for w, one, how in counts if w]
        return ", ".join(words)


def implausible(document: Document, camera: Camera) -> Implausible:
    """What of a hand can't be right; nothing for what isn't a hand."""
    if document.topology_id != HAND:
        return Implausible()
    known = document.depth is not None
    points = in_space(document.keypoints_px, document.depth, camera)
    bones = points[1:] - points[list(PARENT[1:])]
    relative = np.linalg.norm(bones, axis=1) / np.array(_SHARES[1:])
    whole = relative[np.isfinite(relative)]
    if not len(whole):
        return Implausible()
    # Foreshortened bones say little of how large a flat hand is: half of them are left out.
    size = float(np.median(whole) if known else np.percentile(whole, 75))
    limits = (_SHORTEST, _LONGEST) if known else (0.0, _LONGEST_FLAT)
    with np.errstate(invalid="ignore"):
        wrong = (relative < limits[0] * size) | (relative > limits[1] * size)
    joints: frozenset[int] = frozenset()
    if known and document.handedness:
        joints = _wrong_joints(bends(points, document.handedness))
    return Implausible(frozenset((np.flatnonzero(wrong) + 1).tolist()), joints)


def bends(points: Array, handedness: str) -> dict[str, tuple[int, float]]:
    """How fingers bend: the topology's joint -> its keypoint and radians, positive toward the palm.

    Args:
        points: (21, 3) camera axes.
        handedness: left or right.
    """
    side = points[17] - points[5]
    sign = -1.0 if handedness == "right" else 1.0
    found = {}
    for number, finger in enumerate(FINGERS):
        first = 1 + 4 * number
        chain = (0, first, first + 1, first + 2, first + 3)
        names = ("cmc", "mcp", "ip") if finger == "thumb" else ("mcp", "pip", "dip")
        for place, name in enumerate(names, start=1):
            before = points[chain[place]] - points[chain[place - 1]]
            after = points[chain[place + 1]] - points[chain[place]]
            across = np.cross(before, after)
            angle = float(np.arctan2(np.linalg.norm(across), before @ after))
            if finger != "thumb":  # the thumb bends about other axes than the palm's
                angle *= float(np.sign(sign * (across @ side)) or 1.0)
            found[f"{finger}_{name}_flexion"] = (chain[place], angle)
    return found


def _wrong_joints(found: dict[str, tuple[int, float]]) -> frozenset[int]:
    limits = topology(HAND).joint_limits_rad
    wrong = set()
    for name, (keypoint, angle) in found.items():
        least, most = limits[name]
        least = -np.inf if name.startswith("thumb") else least - _BEYOND_RAD
        if np.isfinite(angle) and not least <= angle <= most + _BEYOND_RAD:
            wrong.add(keypoint)
    return frozenset(wrong)


@cache
def hanging_on(index: int) -> tuple[int, ...]:
    """The keypoints that go along when one moves and bones keep their lengths, itself first."""
    along = [index]
    for child in range(1, 21):
        if PARENT[child] in along:
            along.append(child)
    return tuple(along)


@dataclass(frozen=True)
class BoneDrag:
    """A drag of a hand's keypoint in which every bone keeps its length in space.

    The keypoint turns about the joint before it and leaves the picture's plane as it must; what
    hangs on it goes along. Beyond the bone's reach it stops. The wrist carries the whole hand.

    Attributes:
        indices: (M,) keypoints that move, the dragged one first.
        start: (M, 3) where they are in space.
        joint: (3,) what the dragged one hangs on; None for the wrist.
        camera: of the picture.
    """

    indices: NDArray[np.int64]
    start: Array
    joint: Array | None
    camera: Camera

    def placed(self, x_px: float, y_px: float) -> Array:
        """(M, 3) in space when the dragged keypoint is led to a place in the picture."""
        camera = self.camera
        ray = np.array([(x_px - camera.cx) / camera.fx, (y_px - camera.cy) / camera.fy, 1.0])
        if self.joint is None:
            target = ray * self.start[0, 2]
        else:
            target = _on_sphere(ray, self.joint, self.start[0])
        return np.asarray(self.start + (target - self.start[0]))

    def at(self, x_px: float, y_px: float) -> Array:
        """(M, 2) px of the moved keypoints then."""
        return self._seen(self.placed(x_px, y_px))

    def move(self, x_px: float, y_px: float) -> Move:
        """The change that this drag makes when it ends there."""
        placed = self.placed(x_px, y_px)
        spots = tuple((x, y) for x, y in self._seen(placed).tolist())
        indices = tuple(self.indices.tolist())
        return Move(indices, spots, indices[:1], tuple(placed[:, 2].tolist()))

    def _seen(self, points: Array) -> Array:
        camera = self.camera
        flat = points[:, :2] / points[:, 2:]
        return np.asarray(flat * [camera.fx, camera.fy] + [camera.cx, camera.cy])


def _on_sphere(ray: Array, joint: Array, before: Array) -> Array:
    """Where a ray meets the sphere about a joint on which a keypoint is, the nearer to where it
    was; the nearest point of the sphere to a ray that misses it."""
    radius = float(np.linalg.norm(before - joint))
    middle = float(ray @ joint) / float(ray @ ray)
    nearest = ray * middle
    short = radius**2 - float(((nearest - joint) ** 2).sum())
    if short < 0:
        return np.asarray(joint + (nearest - joint) * (radius / np.sqrt(radius**2 - short)))
    half = np.sqrt(short / float(ray @ ray))
    behind = abs(middle + half - before[2]) < abs(middle - half - before[2])
    return np.asarray(ray * (middle + half if behind else middle - half))


def begin_bone_drag(document: Document, index: int, camera: Camera) -> BoneDrag | None:
    """Take hold of a hand's keypoint; None where it, or what it hangs on, has no place."""
    points = in_space(document.keypoints_px, document.depth, camera)
    along = [i for i in hanging_on(index) if np.isfinite(points[i]).all()]
    joint = None if index == 0 else points[PARENT[index]]
    if index not in along or (joint is not None and not np.isfinite(joint).all()):
        return None
    return BoneDrag(np.array(along), points[along], joint, camera)
