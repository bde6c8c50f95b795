"""A picture of a face and what stood before the camera: its sample and its label."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from bootstrap.dataset import (
    Label,
    Sample,
    encode_alpha,
    encode_depth,
    encode_normals,
    encode_segmentation,
    encode_uv,
)
from render.cycles import Passes
from render.faces_classes import CLASSES, SECOND
from render.faces_draw import View
from render.faces_head import rotation_matrix
from render.faces_outfit import BEARD_INDEX
from render.faces_scene import Posed
from render.job import sample_id, split_of
from render.labels import box_of_points, clear_depth, visibility
from render.photo import Photo, srgb_from_linear
from render.settings import RenderSettings
from runtime.camera import Camera, transform_points
from runtime.image import encode_image
from runtime.topology import canonical_face, topology

Floats = NDArray[np.float64]

TOPOLOGY = "face478@1"
SOURCE = "viewfinder render faces"

FACE_HEIGHT_M = 0.19
"""What `View.face_share` takes as the height of a face, hairline to chin."""

DETECTOR_KEYPOINTS = (
    "right_eye", "left_eye", "nose_tip", "mouth_centre", "right_ear_tragion", "left_ear_tragion",
)  # fmt: skip
"""What a face detector of BlazeFace's kind learns, in its order."""

# Rows: the face's left, up and forward in Anny's axes (x left, y back, z up).
HEAD_FROM_FACE = np.array([[1.0, 0.0, 0.0], [0.0, 0.0, -1.0], [0.0, 1.0, 0.0]])


OVAL_POINTS = 36
"""Of the contour `oval_silhouette`: as many as the oval has."""

_OWN = ("skin", "lips", "eyes", "mouth", "teeth", "brows", "lashes")  # what landmarks show on

OVAL_RASTER = 512  # pixels along the longer side of the face


@dataclass(frozen=True)
class Shot:
    """A picture and what stood before the camera.

    Attributes:
        rgb: (H, W, 3) uint8.
        passes: depth in metres, class ids as `material_index`.
        camera: intrinsics.
        world_from_camera, world_from_person: (4, 4).
        person: in its own axes.
        tragions: vertices of the rendered mesh before the right and the left ear.
        lamp: as `View.lamp`.
        subject: 0 for the first person in the picture, 1 for the second.
    """

    rgb: NDArray[np.uint8]
    passes: Passes
    camera: Camera
    world_from_camera: Floats
    world_from_person: Floats
    person: Posed
    tragions: tuple[int, int]
    lamp: tuple[float, float, float, float, float] | None
    subject: int = 0

    def classes(self) -> NDArray[np.int32]:
        """(H, W) class ids, the skin that shows between strands counted as hair or brow."""
        ids = self.passes.material_index.copy()
        for first in (0, SECOND):
            for name, share in (("hair", 0.02), ("brows", 0.012)):
                reach = 2 * max(1, round(share * len(ids) / 2)) + 1
                strands = (ids == first + CLASSES[name]).astype(np.uint8)
                if not strands.any():
                    continue
                kernel = np.ones((reach, reach), np.uint8)
                closed = cv2.morphologyEx(strands, cv2.MORPH_CLOSE, kernel)
                ids[(closed > 0) & (ids == first + CLASSES["skin"])] = first + CLASSES[name]
        return ids

    @property
    def camera_from_person(self) -> Floats:
        """(4, 4)."""
        return np.asarray(np.linalg.inv(self.world_from_camera) @ self.world_from_person)

    def irises(self) -> Floats:
        """(10, 3) points of the right and of the left iris in the person's axes."""
        right, left = self.person.shape.eyes
        return np.concatenate([right.iris_points(), left.iris_points()])

    def keypoints_camera_m(self) -> Floats:
        """(478, 3) landmarks, then right and left iris."""
        points = np.concatenate([self.person.landmarks_m, self.irises()])
        return transform_points(self.camera_from_person, points)

    def visibility(self, points_camera_m: Floats) -> NDArray[np.int8]:
        """(478,) COCO's visibility: on skin for landmarks, on the eye for irises."""
        ids = self.passes.material_index
        ids = np.where(ids // SECOND == self.subject, ids % SECOND, 0)
        skin = np.isin(ids, [CLASSES[name] for name in _OWN])
        # A beard hides what lies deeper in it than the tolerance below.
        skin |= (ids == CLASSES["hair"]) & (self.passes.object_index == BEARD_INDEX)
        eye = np.isin(ids, [CLASSES["eyes"], CLASSES["lashes"]])
        depth = self.passes.depth_m
        parts = []
        for rows, shown in ((slice(0, 468), skin), (slice(468, 478), eye)):
            points = points_camera_m[rows]
            own = np.broadcast_to(shown, (len(points), *shown.shape))
            parts.append(visibility(points, self.camera, depth, 0.006, own))
        return np.concatenate(parts)

    def detector_points_camera_m(self, keypoints: Floats) -> Floats:
        """(6, 3) in the order of `DETECTOR_KEYPOINTS`."""
        ears = self.person.vertices_m[list(self.tragions)]
        mouth = keypoints[[13, 14]].mean(axis=0)
        return np.stack(
            [keypoints[468], keypoints[473], keypoints[1], mouth,
             *transform_points(self.camera_from_person, ears)]
        )  # fmt: skip


def sample_of(
    index: int,
    settings: RenderSettings,
    shot: Shot,
    photo: Photo,
    tags: tuple[str, ...],
    attributes: Mapping[str, Any],
) -> Sample:
    """Picture and pixel labels of sample `index`."""
    members = {
        "depth.png": encode_depth(clear_depth(shot.passes.depth_m)),
        "seg.png": encode_segmentation(shot.classes()),
        "normals.png": encode_normals(shot.passes.camera_normals(shot.world_from_camera)),
    }
    if shot.passes.uv is not None and shot.passes.albedo is not None:
        painted = np.isin(shot.passes.material_index % SECOND, [CLASSES["skin"], CLASSES["lips"]])
        members["uv.png"] = encode_uv(np.where(painted[..., None], shot.passes.uv, np.nan))
        members["albedo.png"] = encode_image(srgb_from_linear(shot.passes.albedo), ".png")
    if settings.backgrounds:
        members["alpha.png"] = encode_alpha(shot.passes.alpha)
    return Sample(
        sample_id=sample_id(index),
        image=encode_image(shot.rgb, ".jpg", quality=photo.jpeg_quality),
        extension="jpg",
        members=members,
        width=settings.size,
        height=settings.size,
        camera=shot.camera,
        seed=settings.seed,
        split=split_of(index),
        tags=tags,
        attributes=attributes,
    )


def label_of(name: str, shot: Shot, attributes: dict[str, Any]) -> Label:
    """Ground truth of a shot."""
    points = shot.keypoints_camera_m()
    pixels = shot.camera.project(points)
    contours = topology(TOPOLOGY).contours
    lines = {n: pixels[list(c.indices)].astype(np.float32) for n, c in contours.items()}
    return Label(
        sample_id=name,
        subject_id=shot.subject,
        topology=TOPOLOGY,
        keypoints_px=pixels.astype(np.float32),
        keypoints_camera_m=points.astype(np.float32),
        visibility=shot.visibility(points),
        contours={**lines, "oval_silhouette": oval_silhouette(pixels[:468])},
        box_px=box_of_points(pixels[:468]),
        detector_keypoints_px=shot.camera.project(shot.detector_points_camera_m(points)).astype(
            np.float32
        ),
        attributes=attributes,
        source=SOURCE,
    )


def oval_silhouette(landmarks_px: Floats) -> NDArray[np.float32]:
    """The face's outline as it is seen: it slides over the cheek when the head turns, where the
    contour `oval` stays on its anatomical line.

    Args:
        landmarks_px: (468, 2) anywhere, in the picture or not.

    Returns:
        (OVAL_POINTS, 2) clockwise from the topmost point, evenly spaced along the outline of all
        that the canonical mesh covers.
    """
    triangles = canonical_face().triangles
    triangles = triangles[(triangles < 468).all(axis=1)]
    low = landmarks_px.min(axis=0)
    scale = OVAL_RASTER / float(np.ptp(landmarks_px, axis=0).max())
    places = np.round((landmarks_px - low) * scale * 16 + 32).astype(np.int32)
    mask = np.zeros((OVAL_RASTER + 5, OVAL_RASTER + 5), dtype=np.uint8)
    for triangle in places[triangles]:
        cv2.fillConvexPoly(mask, triangle, 1, cv2.LINE_8, 4)
    outlines, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    line = max(outlines, key=cv2.contourArea).reshape(-1, 2).astype(np.float64)
    if cv2.contourArea(line.astype(np.float32), oriented=True) < 0:
        line = line[::-1]  # clockwise as seen: y grows downward
    line = np.roll(line, -int(line[:, 1].argmin()), axis=0)
    closed = np.concatenate([line, line[:1]])
    along = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(closed, axis=0), axis=1))])
    stations = along[-1] * np.arange(OVAL_POINTS) / OVAL_POINTS
    even = np.stack([np.interp(stations, along, closed[:, k]) for k in (0, 1)], axis=1)
    return np.asarray((even - 2) / scale + low, dtype=np.float32)


def directions(shot: Shot, gaze_rad: tuple[float, float]) -> dict[str, Any]:
    """Head pose and gaze of a shot, as labels have them."""
    shape, turn = shot.person.shape, shot.camera_from_person[:3, :3]
    rotation = turn @ shape.head_rotation @ HEAD_FROM_FACE
    yaw, pitch, roll = pose_angles(rotation)
    eyes = [turn @ eye.sight for eye in shape.eyes]
    return {
        "pose": {
            "camera_from_face": [round(float(v), 6) for v in rotation.ravel()],
            "yaw_rad": round(yaw, 5),
            "pitch_rad": round(pitch, 5),
            "roll_rad": round(roll, 5),
        },
        "gaze": {
            "left_rad": round(gaze_rad[0], 5),
            "up_rad": round(gaze_rad[1], 5),
            "camera_directions": [[round(float(v), 5) for v in eye] for eye in eyes],
        },
    }


def pose_angles(camera_from_face: Floats) -> tuple[float, float, float]:
    """Yaw, pitch, roll in radians of a face before the camera; all 0 for one that looks into it.

    The face's axes are the canonical face's: x to the subject's left, y up, z forward. Yaw is
    positive toward the subject's left, pitch upward, roll toward the subject's left shoulder
    (clockwise in the picture). R = facing . Ry(yaw) . Rx(-pitch) . Rz(-roll).
    """
    facing = np.diag([1.0, -1.0, -1.0])
    r = facing @ camera_from_face
    yaw = math.atan2(r[0, 2], r[2, 2])
    pitch = math.asin(float(np.clip(r[1, 2], -1, 1)))
    roll = math.atan2(-r[1, 0], r[1, 1])
    return yaw, pitch, roll


def placed(view: View) -> Floats:
    """(4, 4) world_from_person of somebody at the origin."""
    pose = np.eye(4)
    pose[:3, :3] = rotation_matrix([0, 0, view.azimuth_rad + view.body_yaw_rad])
    return pose


def aim(view: View, target: Floats, size: int) -> tuple[Floats, Floats, Camera]:
    """The camera before a face: horizontal direction from the face to it (3,), world_from_camera
    (4, 4), intrinsics."""
    toward = rotation_matrix([0, 0, view.azimuth_rad]) @ [0.0, -1.0, 0.0]
    world_from_camera = _camera_pose(target, toward, view.elevation_rad, view.distance_m)
    focal = view.distance_m * view.face_share * size / FACE_HEIGHT_M
    middle = (0.5 + np.array(view.offset)) * size
    camera = Camera(focal, focal, float(middle[0]), float(middle[1]), size, size)
    return toward, world_from_camera, camera


def _camera_pose(target: Floats, toward: Floats, elevation: float, distance: float) -> Floats:
    """(4, 4) world_from_camera that looks at the target from a direction and elevation."""
    back = math.cos(elevation) * toward + math.sin(elevation) * np.array([0.0, 0.0, 1.0])
    right = np.cross(-back, [0.0, 0.0, 1.0])
    right /= np.linalg.norm(right)
    pose = np.eye(4)
    pose[:3, :3] = np.stack([right, np.cross(-back, right), -back], axis=1)
    pose[:3, 3] = target + distance * back
    return pose


def skin_weight(passes: Passes) -> NDArray[np.float32]:
    """(H, W) how much each pixel counts when light is metered."""
    # Auto-exposure looks at the face, and a little at everything; without one, at a hand.
    ids = passes.material_index
    skin = np.isin(ids, [CLASSES["skin"], CLASSES["lips"]])
    if not skin.any():
        skin = ids == CLASSES["hand"]
    return (0.02 + skin).astype(np.float32)


def plain(values: Mapping[str, Any]) -> dict[str, Any]:
    """As JSON gives it back: lists for tuples."""
    return {k: list(v) if isinstance(v, tuple) else v for k, v in values.items()}
