"""Solutions: what finds faces and hands in pictures, ready to run.

`open_solution` puts one together out of released models or of a bundle; its `process` takes
pictures.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from runtime.bundle import Bundle, parse_bundle, read_bundle
from runtime.card import Card, CardModel
from runtime.detection import Detector
from runtime.errors import ViewfinderError
from runtime.model import Model
from runtime.model_store import FETCH_HINT, find_model, released_model
from runtime.results import Subject
from runtime.signatures import card_of
from runtime.solutions.crops import FACE_RULES, HAND_RULES, CropSolution, DetectionSolution
from runtime.solutions.landmarks import LandmarkModel
from runtime.trust import load_model

Models = Literal["bundled", "mediapipe"]

MIN_SCORE = 0.5
FULL_RANGE_MIN_SCORE = 0.6
SOLUTIONS = ("face", "hands", "face-detection")
_TASKS = {"face": "face", "hands": "hand", "face-detection": "face"}

# Solution -> variant -> released detector and landmarks; the first variant is the default, as
# MediaPipe's Python solutions have it.
_RELEASED: dict[str, dict[str, tuple[str, str]]] = {
    "face": {"468": ("face_detection_short_range", "face_landmark")},
    "hands": {
        "full": ("palm_detection_full", "hand_landmark_full"),
        "lite": ("palm_detection_lite", "hand_landmark_lite"),
    },
    "face-detection": {
        "short": ("face_detection_short_range", ""),
        "full": ("face_detection_full_range_sparse", ""),
    },
}


class Solution(Protocol):
    """What the live loop needs of a solution."""

    @property
    def topology(self) -> str:
        """Id of the subjects' topology, "" for detections alone."""
        ...

    @property
    def models(self) -> tuple[Model, ...]:
        """The models that run."""
        ...

    def process(self, rgb: NDArray[np.uint8], timestamp_us: int) -> list[Subject]:
        """The subjects in a (H, W, 3) uint8 picture; timestamps grow from call to call."""
        ...

    def reset(self) -> None:
        """Forget the last frame."""
        ...


def open_solution(
    solution: str,
    model: str | Path | None = None,
    models: Models = "bundled",
    max_subjects: int = 2,
    min_score: float | None = None,
    static: bool = False,
    variant: str | None = None,
    mirrored: bool = False,
    threads: int = 1,
) -> Solution:
    """Load a solution's models and put them together.

    Args:
        solution: one of `SOLUTIONS`.
        model: a bundle or .tflite file, or the name of an added one; it comes before `models`.
            With landmarks only, MediaPipe's detector finds the subjects.
        models: whose models to take otherwise.
        max_subjects: the most looked for.
        min_score: the detector's threshold; None for MediaPipe's own, 0.5, or 0.6 for the
            full-range face detector.
        static: every picture on its own, without following subjects.
        variant: of MediaPipe's models: face 468; hands full, lite; face-detection short, full.
        mirrored: pictures are selfie views.
        threads: for each model.

    Raises:
        ViewfinderError: unknown solution or variant, models that aren't there, are damaged or are
            for something else.
    """
    if solution not in SOLUTIONS:
        raise ViewfinderError(
            "unknown solution", expected=" | ".join(SOLUTIONS), found=repr(solution)
        )
    if min_score is None:
        full_range = solution == "face-detection" and variant == "full"
        min_score = FULL_RANGE_MIN_SCORE if full_range else MIN_SCORE
    if not 0 <= min_score <= 1 or max_subjects < 1:
        raise ViewfinderError(
            "wrong threshold or number of subjects", expected="0 <= min-score <= 1, max >= 1",
            found=f"{min_score}, {max_subjects}",
        )  # fmt: skip
    if model is not None:
        parts = _parts_of_bundle(solution, read_bundle(find_model(model)), variant)
    elif models == "mediapipe":
        parts = _released_parts(solution, variant)
    else:
        raise ViewfinderError(
            "this release brings no models of its own yet",
            hint=f"give --model FILE, or {FETCH_HINT} and --models mediapipe",
        )
    return _assembled(solution, parts, max_subjects, min_score, static, mirrored, threads)


# role -> the file's content, what errors call it, and its entry in a card
_Parts = dict[str, tuple[bytes, str, CardModel]]


def _assembled(
    solution: str, parts: _Parts, most: int, min_score: float, static: bool, mirrored: bool,
    threads: int,
) -> Solution:  # fmt: skip
    data, name, card = parts["detector"]
    detector = Detector(load_model(data, name, threads), card, min_score)
    if solution == "face-detection":
        return DetectionSolution(detector, most)
    data, name, card = parts["landmarks"]
    landmarks = LandmarkModel(load_model(data, name, threads), card)
    rules = FACE_RULES if solution == "face" else HAND_RULES
    return CropSolution(detector, landmarks, rules, most, static, mirrored)


def _released_parts(solution: str, variant: str | None) -> _Parts:
    variants = _RELEASED[solution]
    chosen = variant or next(iter(variants))
    if chosen not in variants:
        raise ViewfinderError(
            f"{solution} has no such variant among MediaPipe's models", field="variant",
            expected=" | ".join(variants), found=repr(chosen),
        )  # fmt: skip
    parts: _Parts = {}
    for name in filter(None, variants[chosen]):
        parts |= _parts(parse_bundle(released_model(name), f"{name}.tflite"))
    return parts


def _parts_of_bundle(solution: str, bundle: Bundle, variant: str | None) -> _Parts:
    card = card_of(bundle)
    if card.task != _TASKS[solution]:
        raise ViewfinderError(
            f"this model isn't for {solution}", file=bundle.name, expected=_TASKS[solution],
            found=card.task,
        )  # fmt: skip
    parts = _parts(bundle, card)
    if solution == "face-detection":
        if "detector" not in parts:
            raise ViewfinderError("this model holds no detector", file=bundle.name)
        return parts
    if "landmarks" not in parts:
        raise ViewfinderError("this model holds no landmark model", file=bundle.name)
    prefix = "face" if solution == "face" else "hand"
    if not parts["landmarks"][2].topology.startswith(prefix):
        raise ViewfinderError(
            f"this model isn't for {solution}", file=bundle.name, field="topology",
            expected=f"{prefix}...", found=parts["landmarks"][2].topology,
        )  # fmt: skip
    return parts if "detector" in parts else _released_parts(solution, variant) | parts


def _parts(bundle: Bundle, card: Card | None = None) -> _Parts:
    known = card or card_of(bundle)
    several = len(bundle.members) > 1
    return {
        model.role: (
            bundle.members[model.file],
            f"{bundle.name} {model.file}" if several else bundle.name,
            model,
        )
        for model in known.models
    }
