"""Faces: detection alone, and the mesh."""

from __future__ import annotations

from runtime.detection import Detector
from runtime.graph.definition import Graph
from runtime.graph.types import Picture
from runtime.results import Subject
from runtime.solutions.crops import FACE_RULES, crop_graph
from runtime.solutions.face_attention import AttentionLandmarkModel
from runtime.solutions.landmarks import LandmarkModel
from runtime.solutions.options import SolutionOptions
from runtime.solutions.parts import find_parts
from runtime.solutions.solution import GraphSolution

MIN_SCORE = 0.5
FULL_RANGE_MIN_SCORE = 0.6

DETECTORS = {
    "short": ("face_detection_short_range",),
    "full": ("face_detection_full_range_sparse",),
}
MESHES = {
    "468": ("face_detection_short_range", "face_landmark"),
    "478": ("face_detection_short_range", "face_landmarks_detector_v2"),
    "attention": ("face_detection_short_range", "face_landmark_with_attention"),
}


def open_face(options: SolutionOptions) -> GraphSolution:
    """Face mesh.

    Raises:
        ViewfinderError: the models can't be had.
    """
    parts = find_parts(options, "face", MESHES, ("landmarks",), topology="face")
    score = MIN_SCORE if options.min_score is None else options.min_score
    detector = Detector(parts["detector"].load(options), parts["detector"].card, score)
    part = parts["landmarks"]
    refined = any(output.meaning == "lips" for output in part.card.outputs)
    kind = AttentionLandmarkModel if refined else LandmarkModel
    landmarks = kind(part.load(options), part.card)
    graph = crop_graph("face", detector, landmarks, FACE_RULES, options.max_subjects)
    return GraphSolution(graph, landmarks.topology.id, options.static)


def open_face_detection(options: SolutionOptions) -> GraphSolution:
    """Boxes and six keypoints each (eyes, nose tip, mouth, ear tragions; the person's right one
    first). Nothing is followed, every picture stands for itself.

    Raises:
        ViewfinderError: the models can't be had.
    """
    parts = find_parts(options, "face", DETECTORS, ("detector",))
    usual = FULL_RANGE_MIN_SCORE if options.variant == "full" else MIN_SCORE
    score = usual if options.min_score is None else options.min_score
    detector = Detector(parts["detector"].load(options), parts["detector"].card, score)
    graph = Graph("face-detection", {"picture": Picture})
    graph.add(DetectFaces(detector, options.max_subjects), outputs="subjects")
    return GraphSolution(graph, "", options.static)


class DetectFaces:
    """Detections as subjects."""

    def __init__(self, detector: Detector, most: int) -> None:
        self.models = (detector.model,)
        self._detector = detector
        self._most = most

    def process(self, picture: Picture) -> list[Subject]:
        """The faces in a picture, the best first."""
        subjects = []
        for number, found in enumerate(self._detector.detect(picture)[: self._most]):
            x, y, width, height = found.box.tolist()
            subjects.append(
                Subject(number, "", found.score, found.keypoints, (x, y, width, height))
            )
        return subjects
