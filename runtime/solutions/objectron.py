"""3D boxes of cups, cameras, chairs and shoes, as MediaPipe's Objectron finds them.

    picture --> detect --> associate --> landmarks --> lift --> subjects
                  ^            ^                        |
                  '---- followed (back) ------------- follow

A model of one stage (`runtime.solutions.objectron_single`) is run without detector and crops.

Constants and rules are MediaPipe 0.10.14's (objectron_cpu and box_landmark_cpu graphs,
frame_annotation_to_rect calculator). MediaPipe's camera axes are OpenGL's, ours OpenCV's: the lift
is done in ours, and `followed_rotation` says what that changes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from runtime.box_refinement import right_angled
from runtime.camera import Camera
from runtime.cuboid import Cuboid, lift_cuboid, ndc_camera
from runtime.errors import ViewfinderError
from runtime.graph.definition import Graph
from runtime.graph.types import Picture
from runtime.libm import atan2f
from runtime.results import Subject, bounding_box
from runtime.roi import Roi, Size, square_roi
from runtime.solutions.crops import Associate, FindLandmarks, Found
from runtime.solutions.landmarks import CropLandmarks, LandmarkModel
from runtime.solutions.objectron_detection import ObjectDetector
from runtime.solutions.objectron_single import (
    CENTRES,
    BoxFieldModel,
    FindBoxes,
    is_single_stage,
)
from runtime.solutions.objectron_single import MIN_SCORE as SINGLE_MIN_SCORE
from runtime.solutions.options import SolutionOptions
from runtime.solutions.parts import Part, find_parts
from runtime.solutions.solution import GraphSolution
from runtime.solutions.tracking import Track

MIN_SCORE = 0.5
MIN_PRESENCE = 0.99
MIN_ASSOCIATION_IOU = 0.2
BOX_SCALE = 1.5
"""Side of the crop over the longer side of the object's box."""

TOP_VIEW_ENTERED_RAD = math.radians(40)
TOP_VIEW_LEFT_RAD = math.radians(41)
"""Angle between the box's y axis and the viewing direction, below which the object is seen from
above: its z axis then stands upright in the crop, not its y axis."""

_DETECTOR = "object_detection_ssd_mobilenetv2_oidv4_fp16"
MODELS = {
    "cup": (_DETECTOR, "object_detection_3d_cup"),
    "camera": (_DETECTOR, "object_detection_3d_camera"),
    "chair": (_DETECTOR, "object_detection_3d_chair"),
    "shoe": (_DETECTOR, "object_detection_3d_sneakers"),
}
LABELS = {
    "cup": ("Mug", "Coffee cup"),
    "camera": ("Camera",),
    "chair": ("Chair",),
    "shoe": ("Footwear",),
}
"""Variant -> the detector's classes that are looked for."""


@dataclass(frozen=True)
class Lifted:
    """A found object and its box in space; None where its keypoints fit no box."""

    found: Found
    camera: Camera
    cuboid: Cuboid | None


def open_objectron(options: SolutionOptions) -> GraphSolution:
    """Boxes in space around objects of the variant's kind.

    Without a focal length MediaPipe's default camera is assumed; without a size the boxes' scale
    is arbitrary.

    Raises:
        ViewfinderError: the models can't be had, or there is no such variant.
    """
    variant = options.variant or next(iter(LABELS))
    if variant not in LABELS:
        raise ViewfinderError(
            "no such kind of object", field="variant", expected=" | ".join(LABELS),
            found=repr(variant),
        )  # fmt: skip
    parts = find_parts(options, "object", MODELS, ("landmarks",), topology="cuboid", whole=CENTRES)
    single = is_single_stage(parts["landmarks"].card)
    least = SINGLE_MIN_SCORE if single else MIN_SCORE
    score = least if options.min_score is None else options.min_score
    lift = Lift(options.focal_px, options.principal_px, options.size_m, single)
    if single:
        return _single_stage(parts["landmarks"], options, lift, score)
    detector = ObjectDetector(
        parts["detector"].load(options), parts["detector"].card, LABELS[variant], score
    )
    landmarks = BoxLandmarkModel(parts["landmarks"].load(options), parts["landmarks"].card)
    most, followed = options.max_subjects, {"followed": "followed"}
    graph = Graph("objectron", {"picture": Picture})
    graph.add(DetectObjects(detector, most), outputs="detected", back=followed, name="detect")
    graph.add(Associate(MIN_ASSOCIATION_IOU), outputs="tracks", back=followed)
    graph.add(FindLandmarks(landmarks), outputs="found", name="landmarks")
    graph.add(lift, outputs="lifted")
    graph.add(FollowBoxes(), outputs="followed", name="follow")
    graph.add(MakeBoxes(landmarks.topology.id), outputs="subjects", name="subjects")
    return GraphSolution(graph, landmarks.topology.id, options.static)


def _single_stage(
    part: Part, options: SolutionOptions, lift: Lift, min_score: float
) -> GraphSolution:
    fields = BoxFieldModel(part.load(options), part.card, min_score)
    graph = Graph("objectron", {"picture": Picture})
    graph.add(FindBoxes(fields, options.max_subjects), outputs="found", name="boxes")
    graph.add(lift, outputs="lifted")
    graph.add(MakeBoxes(fields.topology.id), outputs="subjects", name="subjects")
    return GraphSolution(graph, fields.topology.id, options.static)


def roi_of_box(box: ArrayLike, image_size: Size) -> Roi:
    """The region of a detection, not yet grown; regions are compared like this.

    Args:
        box: x, y, width, height over the picture.
        image_size: of the picture in pixels.
    """
    x, y, width, height = np.asarray(box, dtype=np.float32)
    half = np.float32(2)
    return _in_pixels(x + width / half, y + height / half, width, height, 0.0, image_size)


def roi_of_keypoints(keypoints: ArrayLike, rotation_rad: float, image_size: Size) -> Roi:
    """The region of a found object: the upright rectangle about its keypoints, then turned.

    Args:
        keypoints: (9, 2|3) over the picture.
        rotation_rad: see `followed_rotation`.
        image_size: of the picture in pixels.
    """
    points = np.asarray(keypoints, dtype=np.float32)[:, :2]
    low, high = points.min(axis=0), np.maximum(points.max(axis=0), 0)
    (cx, cy), (width, height) = (low + high) / np.float32(2), high - low
    return _in_pixels(cx, cy, width, height, rotation_rad, image_size)


def followed_rotation(cuboid: Cuboid, top_view: bool) -> tuple[float, bool]:
    """By how much the next crop is turned, so that the object stands upright in it.

    MediaPipe weighs the ends of the box's axis by their depth where a projection would divide by
    it; its result is kept.

    Args:
        cuboid: of this picture.
        top_view: whether objects were last seen from above.

    Returns:
        The rotation in radians, and whether this one is seen from above.
    """
    # In OpenGL's axes y and z have the other sign: of the products below, x by z changes its sign
    # and y by z doesn't, and the axis points at the camera where its z is negative here.
    limit = TOP_VIEW_LEFT_RAD if top_view else TOP_VIEW_ENTERED_RAD
    towards_camera = max(-1.0, min(1.0, -float(cuboid.directions[2, 1])))
    top_view = math.acos(towards_camera) < limit
    axis = cuboid.directions[:, 2 if top_view else 1].astype(np.float32)
    centre = cuboid.translation_m.astype(np.float32)
    (x1, y1, z1), (x2, y2, z2) = centre + axis, centre - axis
    upright = atan2f(z2 * y2 - z1 * y1, z1 * x1 - z2 * x2)
    return float(np.float32(math.pi / 2 - upright)), top_view


class BoxLandmarkModel(LandmarkModel):
    """Nine keypoints in the crop around a region; they have no z of their own."""

    def run(
        self, rgb: NDArray[np.uint8], roi: Roi, min_presence: float = MIN_PRESENCE
    ) -> CropLandmarks | None:
        """Landmarks of the object in a region that isn't grown yet; as `LandmarkModel.run`."""
        size = (rgb.shape[1], rgb.shape[0])
        found = super().run(rgb, square_roi(roi, BOX_SCALE, size), min_presence)
        if found is None:
            return None
        return replace(found, keypoints=np.ascontiguousarray(found.keypoints[:, :2]))

    def _crop_points(self) -> NDArray[np.float32]:
        points = np.zeros((self.topology.size, 3), dtype=np.float32)
        points[:, :2] = self.model.peek(self._outputs["landmarks"]).reshape(-1, 2)
        return points

    def _required(self) -> dict[str, int]:
        return {**super()._required(), "landmarks": 2 * self.topology.size}


class DetectObjects:
    """Regions of new objects, while fewer than wanted are followed."""

    def __init__(self, detector: ObjectDetector, most: int) -> None:
        self.models = (detector.model,)
        self._detector = detector
        self._most = most

    def process(self, picture: Picture, followed: list[Track] | None) -> list[Track]:
        """The best detections' regions, none when enough objects are followed."""
        if followed is not None and len(followed) >= self._most:
            return []
        size = (picture.shape[1], picture.shape[0])
        found = self._detector.detect(picture)[: self._most]
        return [Track(roi_of_box(one.box, size)) for one in found]


class Lift:
    """Boxes in space from keypoints in the picture.

    Args:
        focal_px: of the camera; None for that of MediaPipe's default camera.
        principal_px: of the camera; None for the picture's middle.
        size_m: the longest edge of the objects; None leaves the scale open.
        right_angles: refine what EPnP says; MediaPipe doesn't.
    """

    def __init__(
        self,
        focal_px: float | None = None,
        principal_px: tuple[float, float] | None = None,
        size_m: float | None = None,
        right_angles: bool = False,
    ) -> None:
        self._right_angles = right_angles
        self._focal_px = focal_px
        self._principal_px = principal_px
        self._size_m = size_m

    def process(self, picture: Picture, found: list[Found]) -> list[Lifted]:
        """Each object's box."""
        height, width = picture.shape[:2]
        camera = ndc_camera(width, height)
        if self._focal_px is not None:
            camera = replace(camera, fx=self._focal_px, fy=self._focal_px)
        if self._principal_px is not None:
            camera = replace(camera, cx=self._principal_px[0], cy=self._principal_px[1])
        return [Lifted(one, camera, self._lifted(one, camera)) for one in found]

    def _lifted(self, found: Found, camera: Camera) -> Cuboid | None:
        pixels = found.landmarks.keypoints.astype(np.float64) * (camera.width, camera.height)
        cuboid = lift_cuboid(pixels, camera)
        if cuboid is not None and self._right_angles:
            cuboid = right_angled(cuboid, pixels, camera)
        if cuboid is None or self._size_m is None:
            return cuboid
        return cuboid.with_size(self._size_m)


class FollowBoxes:
    """The regions in which to look in the next picture."""

    def __init__(self) -> None:
        self._top_view = False

    def process(self, picture: Picture, lifted: list[Lifted]) -> list[Track]:
        """A region for each object."""
        size = (picture.shape[1], picture.shape[0])
        tracks = []
        for one in lifted:
            rotation = 0.0
            if one.cuboid is not None:
                # One memory for all objects, as in MediaPipe.
                rotation, self._top_view = followed_rotation(one.cuboid, self._top_view)
            roi = roi_of_keypoints(one.found.landmarks.keypoints, rotation, size)
            tracks.append(Track(roi, one.found.subject_id))
        return tracks

    def reset(self) -> None:
        """Nothing was seen from above yet."""
        self._top_view = False


class MakeBoxes:
    """What was found, as the outside sees it."""

    def __init__(self, topology_id: str) -> None:
        self._topology_id = topology_id

    def process(self, lifted: list[Lifted]) -> list[Subject]:
        """A subject for each; without a cuboid where its keypoints fit none."""
        subjects = []
        for one in lifted:
            keypoints, cuboid = one.found.landmarks.keypoints, one.cuboid
            subjects.append(
                Subject(
                    id=one.found.subject_id,
                    topology=self._topology_id,
                    score=one.found.landmarks.presence,
                    keypoints=keypoints,
                    box=bounding_box(keypoints),
                    cuboid=None if cuboid is None else cuboid.to_json(keypoints, one.camera),
                )
            )
        return subjects


def _in_pixels(
    cx: float, cy: float, width: float, height: float, rotation_rad: float, image_size: Size
) -> Roi:
    # Exact in float64, so that dividing by the size gives back the same float32.
    image_width, image_height = image_size
    return Roi(
        float(cx) * image_width, float(cy) * image_height, float(width) * image_width,
        float(height) * image_height, rotation_rad,
    )  # fmt: skip
