"""Hands: 21 keypoints, handedness, world landmarks, gestures."""

from __future__ import annotations

from runtime.detection import Detector
from runtime.solutions.crops import HAND_RULES, crop_graph
from runtime.solutions.gestures import RecogniseGestures, open_recogniser
from runtime.solutions.landmarks import LandmarkModel
from runtime.solutions.options import SolutionOptions
from runtime.solutions.parts import find_parts
from runtime.solutions.smooth import Smooth
from runtime.solutions.solution import GraphSolution

MIN_SCORE = 0.5
MODELS = {
    "full": ("palm_detection_full", "hand_landmark_full"),
    "lite": ("palm_detection_lite", "hand_landmark_lite"),
}


def open_hands(options: SolutionOptions) -> GraphSolution:
    """Hands in a stream of pictures.

    Raises:
        ViewfinderError: the models, or what recognises gestures, can't be had.
    """
    parts = find_parts(options, "hand", MODELS, ("landmarks",), topology="hand")
    score = MIN_SCORE if options.min_score is None else options.min_score
    detector = Detector(parts["detector"].load(options), parts["detector"].card, score)
    landmarks = LandmarkModel(parts["landmarks"].load(options), parts["landmarks"].card)
    smoothing = options.one_euro(usual=False)
    hands = "hands" if options.gestures else "subjects"
    graph = crop_graph(
        "hands", detector, landmarks, HAND_RULES, options.max_subjects, options.mirrored,
        subjects=hands if smoothing is None else "unsmoothed",
        second_look=parts["landmarks"].looked_at_twice(options),
    )  # fmt: skip
    if smoothing is not None:
        unsmoothed = {"subjects": "unsmoothed"}
        graph.add(Smooth(smoothing), outputs=hands, inputs=unsmoothed, name="smooth")
    if options.gestures:
        recogniser = open_recogniser(options, parts["landmarks"])
        graph.add(RecogniseGestures(recogniser), outputs="subjects", name="gestures")
    return GraphSolution(graph, landmarks.topology.id, options.static)
