"""Calculators of the coupled pipeline: detector -> oriented crop -> landmarks -> next crop.

    picture --> detect --> associate --> landmarks --> subjects
                  ^            ^             |
                  '---- followed (back) -- follow

The region that a subject's landmarks give is its region in the next picture; the detector runs
only while fewer subjects than wanted are followed. A new subject may be looked at twice: what a
detector says of a crop is rough, what landmarks say of it is what landmark models are trained on.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from numpy.typing import ArrayLike

from runtime import roi as rois
from runtime.detection import Detector
from runtime.graph.definition import Graph
from runtime.graph.types import Picture
from runtime.results import Subject, bounding_box
from runtime.roi import Roi, Size
from runtime.solutions.landmarks import CropLandmarks, LandmarkModel
from runtime.solutions.tracking import MIN_ASSOCIATION_IOU, Track, associated


@dataclass(frozen=True)
class CropRules:
    """How regions come from detections and from the last frame's landmarks."""

    roi_from_detection: Callable[[ArrayLike, ArrayLike, Size], Roi]
    roi_from_landmarks: Callable[[ArrayLike, Size], Roi]


FACE_RULES = CropRules(rois.face_roi_from_detection, rois.face_roi_from_landmarks)
HAND_RULES = CropRules(rois.hand_roi_from_palm, rois.hand_roi_from_landmarks)


@dataclass(frozen=True)
class Found:
    """A subject's id, the region it was looked at in, and its landmarks."""

    subject_id: int
    roi: Roi
    landmarks: CropLandmarks


class Detect:
    """Regions of new subjects, while fewer than wanted are followed."""

    def __init__(self, detector: Detector, rules: CropRules, most: int) -> None:
        self.models = (detector.model,)
        self._detector = detector
        self._rules = rules
        self._most = most

    def process(self, picture: Picture, followed: list[Track] | None) -> list[Track]:
        """The best detections' regions, none when enough subjects are followed."""
        if followed is not None and len(followed) >= self._most:
            return []
        size = (picture.shape[1], picture.shape[0])
        return [
            Track(self._rules.roi_from_detection(found.box, found.keypoints, size))
            for found in self._detector.detect(picture)[: self._most]
        ]


class Associate:
    """New and followed regions as one list without doubles."""

    def __init__(self, min_iou: float = MIN_ASSOCIATION_IOU) -> None:
        self._min_iou = min_iou

    def process(self, detected: list[Track], followed: list[Track] | None) -> list[Track]:
        """The regions to look at: see `runtime.solutions.tracking.associated`."""
        return associated(detected, followed or (), self._min_iou)


class FindLandmarks:
    """Landmarks in every region, and a number for every new subject.

    Args:
        landmarks: what sees them.
        roi_from_landmarks: where to look at a new subject a second time, out of what the first
            look gave; None looks once.
    """

    def __init__(
        self,
        landmarks: LandmarkModel,
        roi_from_landmarks: Callable[[ArrayLike, Size], Roi] | None = None,
    ) -> None:
        self.models = (landmarks.model,)
        self._landmarks = landmarks
        self._roi_from_landmarks = roi_from_landmarks
        self._next_id = 0

    def process(self, picture: Picture, tracks: list[Track]) -> list[Found]:
        """Those in whose region the model sees a subject, new ones at each look."""
        found = []
        for track in tracks:
            subject_id, roi = track.subject_id, track.roi
            landmarks = self._landmarks.run(picture, roi)
            if landmarks is not None and subject_id < 0 and self._roi_from_landmarks is not None:
                size = (picture.shape[1], picture.shape[0])
                roi = self._roi_from_landmarks(landmarks.keypoints, size)
                landmarks = self._landmarks.run(picture, roi)
            if landmarks is not None:
                if subject_id < 0:
                    subject_id, self._next_id = self._next_id, self._next_id + 1
                found.append(Found(subject_id, roi, landmarks))
        return found

    def reset(self) -> None:
        """Count from 0 again."""
        self._next_id = 0


class Follow:
    """The regions in which to look in the next picture."""

    def __init__(self, rules: CropRules) -> None:
        self._rules = rules

    def process(self, picture: Picture, found: list[Found]) -> list[Track]:
        """A region for each subject."""
        size = (picture.shape[1], picture.shape[0])
        return [
            Track(self._rules.roi_from_landmarks(one.landmarks.keypoints, size), one.subject_id)
            for one in found
        ]


class MakeSubjects:
    """What was found, as the outside sees it.

    Args:
        topology_id: of the keypoints.
        mirrored: the pictures are selfie views, so left and right are swapped.
    """

    def __init__(self, topology_id: str, mirrored: bool = False) -> None:
        self._topology_id = topology_id
        self._right = "left" if mirrored else "right"
        self._left = "right" if mirrored else "left"

    def process(self, found: list[Found]) -> list[Subject]:
        """A subject for each."""
        return [self._subject(one.subject_id, one.landmarks) for one in found]

    def _subject(self, subject_id: int, found: CropLandmarks) -> Subject:
        handedness = None
        if found.right_hand is not None:
            handedness = self._right if found.right_hand > 0.5 else self._left
        return Subject(
            id=subject_id,
            topology=self._topology_id,
            score=found.presence,
            keypoints=found.keypoints,
            box=bounding_box(found.keypoints),
            world_m=found.world_m,
            handedness=handedness,
        )


def crop_graph(
    name: str,
    detector: Detector,
    landmarks: LandmarkModel,
    rules: CropRules,
    most: int,
    mirrored: bool = False,
    subjects: str = "subjects",
    associate: Any = None,
    second_look: bool = False,
) -> Graph:
    """The graph of the picture above.

    Args:
        name: of the graph.
        detector: finds new subjects.
        landmarks: their keypoints.
        rules: between the two.
        most: subjects looked for; while fewer are followed, the detector runs.
        mirrored: pictures are selfie views.
        subjects: name of the stream of list[Subject]; solutions that add to subjects give it
            another one and feed "subjects" themselves.
        associate: puts new and followed regions together; an `Associate` by default.
        second_look: look at new subjects twice.
    """
    graph = Graph(name, {"picture": Picture})
    followed = {"followed": "followed"}
    graph.add(Detect(detector, rules, most), outputs="detected", back=followed)
    graph.add(associate or Associate(), outputs="tracks", back=followed, name="associate")
    again = rules.roi_from_landmarks if second_look else None
    graph.add(FindLandmarks(landmarks, again), outputs="found", name="landmarks")
    graph.add(Follow(rules), outputs="followed")
    graph.add(MakeSubjects(landmarks.topology.id, mirrored), outputs=subjects, name="subjects")
    return graph
