"""Detector -> oriented crop -> landmarks, the crop reused from the last frame: faces and hands."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from runtime import roi as rois
from runtime.detection import Detector
from runtime.model import Model
from runtime.results import Subject, bounding_box
from runtime.roi import Roi, Size
from runtime.solutions.landmarks import CropLandmarks, LandmarkModel
from runtime.solutions.tracking import Track, associated


@dataclass(frozen=True)
class CropRules:
    """How regions come from detections and from the last frame's landmarks."""

    roi_from_detection: Callable[[ArrayLike, ArrayLike, Size], Roi]
    roi_from_landmarks: Callable[[ArrayLike, Size], Roi]


FACE_RULES = CropRules(rois.face_roi_from_detection, rois.face_roi_from_landmarks)
HAND_RULES = CropRules(rois.hand_roi_from_palm, rois.hand_roi_from_landmarks)


class CropSolution:
    """Faces or hands in a stream of pictures.

    Args:
        detector: finds new subjects.
        landmarks: their keypoints.
        rules: between the two.
        max_subjects: the most looked for.
        static: every picture on its own; otherwise subjects are followed.
        mirrored: the pictures are selfie views, so left and right are swapped.
    """

    def __init__(
        self,
        detector: Detector,
        landmarks: LandmarkModel,
        rules: CropRules,
        max_subjects: int,
        static: bool,
        mirrored: bool = False,
    ) -> None:
        self._detector = detector
        self._landmarks = landmarks
        self._rules = rules
        self._most = max_subjects
        self._static = static
        self._right = "left" if mirrored else "right"
        self._left = "right" if mirrored else "left"
        self.reset()

    @property
    def models(self) -> tuple[Model, ...]:
        """The models that run, for benchmarks."""
        return self._detector.model, self._landmarks.model

    @property
    def topology(self) -> str:
        """Id of the subjects' topology."""
        return self._landmarks.topology.id

    def reset(self) -> None:
        """Forget the last frame."""
        self._followed: list[Track] = []
        self._next_id = 0
        self._frame_size = (0, 0)

    def process(self, rgb: NDArray[np.uint8], timestamp_us: int) -> list[Subject]:
        """The subjects in a picture.

        Args:
            rgb: (H, W, 3) uint8.
            timestamp_us: later than the last picture's.
        """
        height, width = rgb.shape[:2]
        if self._static or (width, height) != self._frame_size:
            self.reset()
            self._frame_size = (width, height)
        subjects, followed = [], []
        for track in self._regions(rgb):
            found = self._landmarks.run(rgb, track.roi)
            if found is None:
                continue
            subject_id = track.subject_id
            if subject_id < 0:
                subject_id, self._next_id = self._next_id, self._next_id + 1
            subjects.append(self._subject(subject_id, found))
            if not self._static:
                roi = self._rules.roi_from_landmarks(found.keypoints, (width, height))
                followed.append(Track(roi, subject_id))
        self._followed = followed
        return subjects

    def _regions(self, rgb: NDArray[np.uint8]) -> list[Track]:
        if len(self._followed) >= self._most:
            return associated((), self._followed, self._most)
        size = (rgb.shape[1], rgb.shape[0])
        detected = [
            Track(self._rules.roi_from_detection(found.box, found.keypoints, size))
            for found in self._detector.detect(rgb)[: self._most]
        ]
        return associated(detected, self._followed, self._most)

    def _subject(self, subject_id: int, found: CropLandmarks) -> Subject:
        handedness = None
        if found.right_hand is not None:
            handedness = self._right if found.right_hand > 0.5 else self._left
        return Subject(
            id=subject_id,
            topology=self.topology,
            score=found.presence,
            keypoints=found.keypoints,
            box=bounding_box(found.keypoints),
            world_m=found.world_m,
            handedness=handedness,
        )


class DetectionSolution:
    """Face detection alone: boxes and six keypoints each (eyes, nose tip, mouth, ear tragions;
    the person's right one first). Nothing is followed, every picture stands for itself."""

    topology = ""

    def __init__(self, detector: Detector, max_subjects: int) -> None:
        self._detector = detector
        self._most = max_subjects

    @property
    def models(self) -> tuple[Model, ...]:
        """The models that run, for benchmarks."""
        return (self._detector.model,)

    def reset(self) -> None:
        """Nothing is kept between pictures."""

    def process(self, rgb: NDArray[np.uint8], timestamp_us: int) -> list[Subject]:
        """The faces in a picture, the best first; arguments as everywhere."""
        subjects = []
        for number, found in enumerate(self._detector.detect(rgb)[: self._most]):
            x, y, width, height = found.box.tolist()
            subjects.append(
                Subject(
                    id=number,
                    topology="",
                    score=found.score,
                    keypoints=found.keypoints,
                    box=(x, y, width, height),
                )
            )
        return subjects
