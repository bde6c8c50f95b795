"""The keypoint layouts that models, labels and tools share.

A topology is named `face478@1`: name, then version. Keypoint order never changes within a
version. Left and right are the person's own.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache, cached_property, partial
from importlib import resources
from types import MappingProxyType

import numpy as np
from numpy.typing import ArrayLike, NDArray

from runtime.errors import ViewfinderError


@dataclass(frozen=True)
class Contour:
    """A line through keypoints, drawn in order; `closed` joins the last to the first."""

    indices: tuple[int, ...]
    closed: bool

    def segments(self) -> tuple[tuple[int, int], ...]:
        """Pairs of keypoint indices, one for each piece of the line."""
        ends = self.indices[1:] + (self.indices[:1] if self.closed else ())
        return tuple(zip(self.indices, ends))


@dataclass(frozen=True)
class Topology:
    """Names and structure of one keypoint layout.

    Attributes:
        name: without the version, as `face478`.
        version: raised when the order or meaning of a keypoint changes.
        keypoint_names: (N,) unique names.
        edges: pairs of indices to draw as a skeleton or wire mesh.
        contours: named lines that have a meaning of their own (lips, lids, fingers).
        parts: named sets of indices by which errors are reported; they cover all keypoints.
        mirror: (N,) index of each keypoint's partner when left and right are swapped.
        normaliser: the two keypoints whose distance errors are divided by.
        normaliser_name: what people call that distance.
        joint_limits_rad: joint name -> (least, greatest) flexion or abduction in radians.
    """

    name: str
    version: int
    keypoint_names: tuple[str, ...]
    edges: tuple[tuple[int, int], ...]
    contours: Mapping[str, Contour]
    parts: Mapping[str, tuple[int, ...]]
    mirror: tuple[int, ...]
    normaliser: tuple[int, int]
    normaliser_name: str
    joint_limits_rad: Mapping[str, tuple[float, float]] = field(
        default_factory=lambda: MappingProxyType({})
    )

    @property
    def id(self) -> str:
        """Name with version, as stored in labels, cards and output."""
        return f"{self.name}@{self.version}"

    @cached_property
    def mirror_order(self) -> NDArray[np.intp]:
        """`mirror` to index arrays with; not to be written to."""
        return np.array(self.mirror, dtype=np.intp)

    @property
    def size(self) -> int:
        """Number of keypoints."""
        return len(self.keypoint_names)

    def normalising_length(self, keypoints: ArrayLike) -> NDArray[np.float64]:
        """Length that errors are divided by, in the keypoints' own unit.

        Args:
            keypoints: (..., N, D) positions.

        Returns:
            (...) distances between the two normalising keypoints.
        """
        points = np.asarray(keypoints, dtype=np.float64)
        first, second = self.normaliser
        return np.asarray(
            np.linalg.norm(points[..., first, :2] - points[..., second, :2], axis=-1)
            if points.shape[-1] == 2
            else np.linalg.norm(points[..., first, :] - points[..., second, :], axis=-1)
        )

    def mirrored(self, keypoints: ArrayLike, width: float) -> NDArray[np.float64]:
        """Keypoints of the horizontally flipped picture; its own inverse.

        Args:
            keypoints: (N, D) with x in the first column.
            width: of the picture, in the unit of x (1.0 for normalised keypoints).

        Returns:
            (N, D) keypoints, left and right swapped by name.
        """
        flipped = np.asarray(keypoints, dtype=np.float64)[self.mirror_order]
        flipped[:, 0] = width - flipped[:, 0]
        return flipped


@dataclass(frozen=True)
class CanonicalFace:
    """MediaPipe's metric face: vertices_m (478, 3), x to the subject's left, y up, z outwards;
    triangles (898, 3) over the first 468 vertices, counter-clockwise seen from outside."""

    vertices_m: NDArray[np.float64]
    triangles: NDArray[np.int64]


@cache
def canonical_face() -> CanonicalFace:
    """The canonical face mesh (source and licence are named in the data file and in NOTICE)."""
    text = resources.files("runtime").joinpath("data/face478.json").read_text(encoding="utf-8")
    stored = json.loads(text)
    return CanonicalFace(
        vertices_m=np.array(stored["vertices_cm"], dtype=np.float64) / 100.0,
        triangles=np.array(stored["triangles"], dtype=np.int64),
    )


# Rings and lines over MediaPipe's mesh: the index sets of its face_mesh_connections.py
# (0.10.14), put into drawing order. Every ring starts at the outer or left-most image point.
_FACE_CONTOURS: dict[str, tuple[tuple[int, ...], bool]] = {
    "lips_outer": (
        (61, 146, 91, 181, 84, 17, 314, 405, 321, 375, 291)
        + (409, 270, 269, 267, 0, 37, 39, 40, 185),
        True,
    ),
    "lips_inner": (
        (78, 95, 88, 178, 87, 14, 317, 402, 318, 324, 308)
        + (415, 310, 311, 312, 13, 82, 81, 80, 191),
        True,
    ),
    "right_eye": (
        (33, 7, 163, 144, 145, 153, 154, 155, 133, 173, 157, 158, 159, 160, 161, 246),
        True,
    ),
    "left_eye": (
        (263, 249, 390, 373, 374, 380, 381, 382, 362, 398, 384, 385, 386, 387, 388, 466),
        True,
    ),
    "right_brow_lower": ((46, 53, 52, 65, 55), False),
    "right_brow_upper": ((70, 63, 105, 66, 107), False),
    "left_brow_lower": ((276, 283, 282, 295, 285), False),
    "left_brow_upper": ((300, 293, 334, 296, 336), False),
    "right_iris": ((469, 470, 471, 472), True),
    "left_iris": ((474, 475, 476, 477), True),
    "oval": (
        (10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377)
        + (152, 148, 176, 149, 150, 136, 172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67, 109),
        True,
    ),
    "nose_bridge": ((168, 6, 197, 195, 5, 4, 1, 19, 94, 2), False),
    "nose_wings": ((48, 64, 98, 97, 2, 326, 327, 294, 278), False),
}

_FACE_PARTS: dict[str, tuple[str, ...]] = {
    "lips": ("lips_outer", "lips_inner"),
    "eyelids": ("right_eye", "left_eye"),
    "brows": ("right_brow_lower", "right_brow_upper", "left_brow_lower", "left_brow_upper"),
    "irises": ("right_iris", "left_iris"),
    "nose": ("nose_bridge", "nose_wings"),
    "oval": ("oval",),
}


def _face478() -> Topology:
    face = canonical_face()
    mirrored = face.vertices_m * np.array([-1.0, 1.0, 1.0])
    distance = np.linalg.norm(face.vertices_m[None] - mirrored[:, None], axis=-1)
    mirror = tuple(int(i) for i in distance.argmin(axis=1))
    contours = {name: Contour(ring, closed) for name, (ring, closed) in _FACE_CONTOURS.items()}
    parts = {
        part: tuple(sorted({i for name in names for i in contours[name].indices}))
        for part, names in _FACE_PARTS.items()
    }
    parts["irises"] = tuple(range(468, 478))
    named = {i for indices in parts.values() for i in indices}
    parts["skin"] = tuple(i for i in range(478) if i not in named)
    wire = {
        (min(a, b), max(a, b)) for t in face.triangles.tolist() for a, b in zip(t, t[1:] + t[:1])
    }
    iris_edges = (*contours["right_iris"].segments(), *contours["left_iris"].segments())
    names = [f"mesh_{i:03d}" for i in range(468)]
    for side in ("right", "left"):
        names += [f"{side}_iris_{spot}" for spot in ("centre", *_IRIS_RING)]
    return Topology(
        name="face478",
        version=1,
        keypoint_names=tuple(names),
        edges=tuple(sorted(wire)) + iris_edges,
        contours=MappingProxyType(contours),
        parts=MappingProxyType(parts),
        mirror=mirror,
        normaliser=(468, 473),
        normaliser_name="interocular distance",
    )


# Around each iris in the order of the model's output, by directions in the picture.
_IRIS_RING = ("image_right", "image_top", "image_left", "image_bottom")

_FINGERS = ("thumb", "index", "middle", "ring", "pinky")


def _hand21() -> Topology:
    joints = {"thumb": ("cmc", "mcp", "ip", "tip")}
    names = ["wrist"]
    contours = {}
    parts: dict[str, tuple[int, ...]] = {"wrist": (0,)}
    for number, finger in enumerate(_FINGERS):
        first = 1 + 4 * number
        names += [f"{finger}_{joint}" for joint in joints.get(finger, ("mcp", "pip", "dip", "tip"))]
        parts[finger] = tuple(range(first, first + 4))
        contours[finger] = Contour((0, *parts[finger]), closed=False)
    palm = Contour((0, 1, 5, 9, 13, 17), closed=True)
    bones = {
        (a, b)
        for first in range(1, 21, 4)
        for a, b in zip(range(first, first + 3), range(first + 1, first + 4))
    }
    edges = sorted(bones | {(0, 1), (0, 5), (5, 9), (9, 13), (13, 17), (0, 17)})
    return Topology(
        name="hand21",
        version=1,
        keypoint_names=tuple(names),
        edges=tuple(edges),
        contours=MappingProxyType({"palm": palm, **contours}),
        parts=MappingProxyType(parts),
        mirror=tuple(range(21)),  # a flipped hand is the other hand: handedness changes, not order
        normaliser=(0, 9),
        normaliser_name="palm size",
        joint_limits_rad=MappingProxyType(_hand_joint_limits_rad()),
    )


def _hand_joint_limits_rad() -> dict[str, tuple[float, float]]:
    # Flexion is positive toward the palm. Ranges as in clinical goniometry tables, widened to
    # what people do passively.
    degrees = {
        "thumb_cmc_flexion": (-45, 45),
        "thumb_cmc_abduction": (-45, 45),
        "thumb_mcp_flexion": (0, 55),
        "thumb_ip_flexion": (-10, 80),
    }
    for finger in _FINGERS[1:]:
        degrees[f"{finger}_mcp_flexion"] = (-20, 90)
        degrees[f"{finger}_mcp_abduction"] = (-20, 20)
        degrees[f"{finger}_pip_flexion"] = (0, 110)
        degrees[f"{finger}_dip_flexion"] = (0, 80)
    return {joint: (math.radians(lo), math.radians(hi)) for joint, (lo, hi) in degrees.items()}


_POSE_NAMES = """
    nose left_eye_inner left_eye left_eye_outer right_eye_inner right_eye right_eye_outer
    left_ear right_ear mouth_left mouth_right left_shoulder right_shoulder left_elbow
    right_elbow left_wrist right_wrist left_pinky right_pinky left_index right_index
    left_thumb right_thumb left_hip right_hip left_knee right_knee left_ankle right_ankle
    left_heel right_heel left_foot_index right_foot_index
""".split()


def _pose33() -> Topology:
    index = {name: i for i, name in enumerate(_POSE_NAMES)}

    def other_side(name: str) -> str:
        for here, there in (("left", "right"), ("right", "left")):
            if here in name:
                return name.replace(here, there)
        return name

    arms_and_legs = [
        f"{side}_{a} {side}_{b}"
        for side in ("left", "right")
        for a, b in (
            ("shoulder", "elbow"), ("elbow", "wrist"), ("wrist", "pinky"), ("wrist", "index"),
            ("wrist", "thumb"), ("pinky", "index"), ("shoulder", "hip"), ("hip", "knee"),
            ("knee", "ankle"), ("ankle", "heel"), ("heel", "foot_index"), ("ankle", "foot_index"),
            ("eye_inner", "eye"), ("eye", "eye_outer"), ("eye_outer", "ear"),
        )
    ]  # fmt: skip
    across = [
        "left_shoulder right_shoulder", "left_hip right_hip", "mouth_left mouth_right",
        "nose left_eye_inner", "nose right_eye_inner",
    ]  # fmt: skip
    edges = tuple(
        (index[a], index[b]) for a, b in (pair.split() for pair in arms_and_legs + across)
    )
    return Topology(
        name="pose33",
        version=1,
        keypoint_names=tuple(_POSE_NAMES),
        edges=edges,
        contours=MappingProxyType({}),
        parts=MappingProxyType(
            {"head": tuple(range(11)), "arms": tuple(range(11, 23)), "legs": tuple(range(23, 33))}
        ),
        mirror=tuple(index[other_side(name)] for name in _POSE_NAMES),
        normaliser=(index["left_shoulder"], index["right_hip"]),
        normaliser_name="torso diagonal",
    )


def _cuboid9() -> Topology:
    # Objectron's order: the centre, then corners with x slowest and z fastest (arXiv 2012.09988).
    corners = [(x, y, z) for x in "-+" for y in "-+" for z in "-+"]
    edges = tuple(
        (a + 1, b + 1)
        for a in range(8)
        for b in range(a + 1, 8)
        if sum(p != q for p, q in zip(corners[a], corners[b])) == 1
    )
    flip = {"-": "+", "+": "-"}
    mirror = (0, *(1 + corners.index((flip[x], y, z)) for x, y, z in corners))
    return Topology(
        name="cuboid9",
        version=1,
        keypoint_names=("centre", *("corner_" + "".join(c) for c in corners)),
        edges=edges,
        contours=MappingProxyType({}),
        parts=MappingProxyType({"centre": (0,), "corners": tuple(range(1, 9))}),
        mirror=mirror,
        normaliser=(1, 8),
        normaliser_name="box diagonal",
    )


def _face468() -> Topology:
    """The released mesh model without irises: face478's first 468 keypoints."""
    full = topology("face478@1")
    kept = range(468)
    return Topology(
        name="face468",
        version=1,
        keypoint_names=full.keypoint_names[:468],
        edges=tuple(edge for edge in full.edges if max(edge) < 468),
        contours=MappingProxyType(
            {name: line for name, line in full.contours.items() if max(line.indices) < 468}
        ),
        parts=MappingProxyType({p: ids for p, ids in full.parts.items() if max(ids) < 468}),
        mirror=full.mirror[: len(kept)],
        normaliser=(33, 263),
        normaliser_name="outer interocular distance",
    )


def _sparse_face(topology_id: str) -> Topology:
    from runtime.face_layouts import sparse_face  # it builds on this module

    return sparse_face(topology_id)


_BUILDERS: dict[str, Callable[[], Topology]] = {
    "face478@1": _face478,
    "face468@1": _face468,
    "face68@1": partial(_sparse_face, "face68@1"),
    "face98@1": partial(_sparse_face, "face98@1"),
    "hand21@1": _hand21,
    "pose33@1": _pose33,
    "cuboid9@1": _cuboid9,
}


@cache
def topology(topology_id: str) -> Topology:
    """The topology of that id; a bare name means version 1.

    Raises:
        ViewfinderError: no such topology.
    """
    wanted = topology_id if "@" in topology_id else f"{topology_id}@1"
    if wanted not in _BUILDERS:
        raise ViewfinderError(
            "unknown topology",
            field="topology",
            expected=" | ".join(_BUILDERS),
            found=repr(topology_id),
        )
    return _BUILDERS[wanted]()


def topology_ids() -> tuple[str, ...]:
    """Every topology id this release knows."""
    return tuple(_BUILDERS)
