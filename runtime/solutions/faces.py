"""Faces: detection alone, and the mesh."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from runtime.bundle import parse_bundle, read_bundle
from runtime.detection import MIN_SUPPRESSION_IOU, Detector
from runtime.errors import ViewfinderError
from runtime.graph.definition import Graph
from runtime.graph.types import Picture
from runtime.model_store import find_model, released_model
from runtime.released import RELEASED_BY_NAME
from runtime.results import Subject
from runtime.smoothing import OneEuroParameters
from runtime.solutions.crops import FACE_RULES, crop_graph
from runtime.solutions.face_attention import AttentionLandmarkModel
from runtime.solutions.face_blendshapes import Blendshapes
from runtime.solutions.face_tasks import (
    TASKS_MIN_SUPPRESSION_IOU,
    AssociateDetectionsLast,
    TasksLandmarkModel,
)
from runtime.solutions.iris import EyeModel, RefineEyes
from runtime.solutions.iris_depth import MeasureDepth
from runtime.solutions.landmarks import LandmarkModel
from runtime.solutions.options import SolutionOptions
from runtime.solutions.parts import Part, Parts, find_parts, parts_of, released_parts
from runtime.solutions.smooth import Smooth
from runtime.solutions.solution import FOCAL, GraphSolution

MIN_SCORE = 0.5
FULL_RANGE_MIN_SCORE = 0.6

DETECTORS = {
    "short": ("face_detection_short_range",),
    "full": ("face_detection_full_range_sparse",),
}
TASKS_MESH = "face_landmarks_detector_v2"
MESHES = {
    "468": ("face_detection_short_range", "face_landmark"),
    "478": ("face_detection_short_range", TASKS_MESH),
    "attention": ("face_detection_short_range", "face_landmark_with_attention"),
}
IRIS_MODELS = {"468": ("face_detection_short_range", "face_landmark", "iris_landmark")}
MESH_TOPOLOGY, IRIS_TOPOLOGY = "face468@1", "face478@1"


def open_face(options: SolutionOptions) -> GraphSolution:
    """Face mesh; from models with irises also the eyes' distance and, if wanted, blendshapes.

    Raises:
        ViewfinderError: the models can't be had, or the variant has no irises for blendshapes.
    """
    parts = find_parts(options, "face", MESHES, ("landmarks",), topology="face")
    part = parts["landmarks"]
    if options.blendshapes and part.card.topology != IRIS_TOPOLOGY:
        raise ViewfinderError(
            "blendshapes need a face model with irises", file=part.name, field="blendshapes",
            expected=IRIS_TOPOLOGY, found=part.card.topology,
            hint="take --variant 478 or --variant attention",
        )  # fmt: skip
    stages: list[tuple[str, Any]] = []
    if (smoothing := _smoothing(part, options)) is not None:
        stages.append(("smooth", Smooth(smoothing)))
    if options.blendshapes:
        found = parts.get("blendshapes") or _released_part("face_blendshapes", "blendshapes")
        stages.append(("blendshapes", Blendshapes(found.load(options), found.card)))
    if part.card.topology == IRIS_TOPOLOGY:
        stages.append(("depth", _depth(options)))
    graph = _face_graph("face", parts, options, stages)
    return GraphSolution(graph, part.card.topology, options.static)


def open_iris(options: SolutionOptions) -> GraphSolution:
    """Face mesh with eyes and irises by a model of their own, and the eyes' distance.

    A bundle with an iris model alone has it run over MediaPipe's mesh.

    Raises:
        ViewfinderError: the models can't be had, or the face model isn't a mesh of 468.
    """
    parts = _iris_parts(options)
    part = parts["landmarks"]
    if part.card.topology != MESH_TOPOLOGY:
        raise ViewfinderError(
            "this face model has irises of its own", file=part.name, expected=MESH_TOPOLOGY,
            found=part.card.topology, hint="the solution face gives their distance, too",
        )  # fmt: skip
    eye = parts.get("iris") or _released_part("iris_landmark", "iris")
    stages: list[tuple[str, Any]] = [("eyes", RefineEyes(EyeModel(eye.load(options), eye.card)))]
    if (smoothing := _smoothing(part, options)) is not None:
        stages.append(("smooth", Smooth(smoothing)))
    stages.append(("depth", _depth(options)))
    graph = _face_graph("iris", parts, options, stages)
    return GraphSolution(graph, IRIS_TOPOLOGY, options.static)


def _iris_parts(options: SolutionOptions) -> Parts:
    if options.model is not None:
        bundle = read_bundle(find_model(options.model))
        own = parts_of(bundle)
        if "iris" in own and "landmarks" not in own:
            return {**released_parts(options, IRIS_MODELS), **own}
    return find_parts(options, "face", IRIS_MODELS, ("landmarks",), topology="face")


def _face_graph(
    name: str, parts: Parts, options: SolutionOptions, stages: Sequence[tuple[str, Any]]
) -> Graph:
    """Detector and mesh, then calculators of subjects one after another, with their names."""
    score = MIN_SCORE if options.min_score is None else options.min_score
    part, most = parts["landmarks"], options.max_subjects
    kind, associate, min_iou = LandmarkModel, None, MIN_SUPPRESSION_IOU
    if any(output.meaning == "lips" for output in part.card.outputs):
        kind = AttentionLandmarkModel
    elif _is_of_tasks(part):
        kind, associate = TasksLandmarkModel, AssociateDetectionsLast(most, options.static)
        min_iou = TASKS_MIN_SUPPRESSION_IOU
    found = parts["detector"]
    detector = Detector(found.load(options), found.card, score, min_iou)
    streams = ["faces", *(f"{stage}_faces" for stage, _ in stages)][: len(stages)] + ["subjects"]
    graph = crop_graph(
        name, detector, kind(part.load(options), part.card), FACE_RULES, most,
        subjects=streams[0], associate=associate, second_look=part.looked_at_twice(options),
    )  # fmt: skip
    for (stage, calculator), before, after in zip(stages, streams, streams[1:]):
        graph.add(calculator, outputs=after, inputs={"subjects": before}, name=stage)
        if isinstance(calculator, MeasureDepth):
            graph.inputs[FOCAL] = float
    return graph


def _is_of_tasks(part: Part) -> bool:
    return part.card.sha256 == RELEASED_BY_NAME[TASKS_MESH].sha256


def _smoothing(part: Part, options: SolutionOptions) -> OneEuroParameters | None:
    """How to smooth landmarks: by default what MediaPipe does, one face of its Tasks model."""
    if options.static or options.smoothing is False:
        return None
    if isinstance(options.smoothing, OneEuroParameters):
        return options.smoothing
    wanted = options.smoothing or (_is_of_tasks(part) and options.max_subjects == 1)
    return OneEuroParameters() if wanted else None


def _depth(options: SolutionOptions) -> MeasureDepth:
    return MeasureDepth(options.focal_px, options.iris_diameter_m, options.static)


def _released_part(name: str, role: str) -> Part:
    return parts_of(parse_bundle(released_model(name), f"{name}.tflite"))[role]


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
