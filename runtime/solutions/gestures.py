"""Gestures of found hands, by MediaPipe's models, by rules, or by a classifier of the user's own.

MediaPipe's way is its Tasks' (hand_gesture_recognizer graph, landmarks_to_matrix and
combined_prediction calculators): an embedder takes the keypoints, the probability of a left hand
and the world keypoints, a classifier takes the embedding.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from runtime.errors import ViewfinderError
from runtime.gestures.classifier import GestureClassifier
from runtime.gestures.features import hand_points
from runtime.gestures.file import read_gestures
from runtime.gestures.rules import NONE, emblem, hand_state
from runtime.graph.types import Picture
from runtime.model import Model
from runtime.model_store import released_model
from runtime.results import Subject
from runtime.solutions.crops import Found
from runtime.solutions.landmarks import CropLandmarks
from runtime.solutions.options import SolutionOptions
from runtime.solutions.parts import Part
from runtime.trust import load_model

Floats = NDArray[np.float32]

MEDIAPIPE, RULES = "mediapipe", "rules"
GESTURES = (
    NONE, "Closed_Fist", "Open_Palm", "Pointing_Up", "Thumb_Down", "Thumb_Up", "Victory",
    "ILoveYou",
)  # fmt: skip
"""The classes of MediaPipe's classifier, in its order."""

_LEAST_EXTENT = np.float32(1e-5)


class Recogniser(Protocol):
    """Names the gesture of one hand."""

    @property
    def models(self) -> tuple[Model, ...]:
        """The models that run."""
        ...

    def gesture(self, hand: CropLandmarks, width: int, height: int) -> dict[str, Any]:
        """{"name": ..., "score": 0..1} and what else is known.

        Args:
            hand: as the landmark model gave it; handedness is as the picture shows it.
            width, height: of the picture in pixels.
        """
        ...


def open_recogniser(options: SolutionOptions, landmarks: Part) -> Recogniser:
    """What `options.gestures` asks for.

    Args:
        options: `gestures` is "mediapipe", "rules" or a file.
        landmarks: the hand model whose output will be looked at.

    Raises:
        ViewfinderError: the models or the file can't be had, or the hand model doesn't give what
            MediaPipe's embedder needs.
    """
    if options.gestures == RULES:
        return RuleGestures()
    if options.gestures != MEDIAPIPE:
        _check_is_file(options.gestures)
        return TrainedGestures(read_gestures(options.gestures).classifier)
    meanings = {output.meaning for output in landmarks.card.outputs}
    missing = {"handedness", "world_landmarks"} - meanings
    if missing:
        raise ViewfinderError(
            "MediaPipe's gestures need more than this hand model gives", file=landmarks.name,
            found=f"no {' and no '.join(sorted(missing))}", hint="--gestures rules does without",
        )  # fmt: skip
    embedder, classifier = (
        load_model(released_model(name), f"{name}.tflite", options.threads)
        for name in ("gesture_embedder", "canned_gesture_classifier")
    )
    return MediaPipeGestures(embedder, classifier)


class RecogniseGestures:
    """Adds gestures to hands."""

    def __init__(self, recogniser: Recogniser) -> None:
        self.models = recogniser.models
        self._recogniser = recogniser

    def process(self, picture: Picture, found: list[Found], hands: list[Subject]) -> list[Subject]:
        """The hands with their gestures; `found` is what they were made from, in their order."""
        height, width = picture.shape[:2]
        return [
            replace(hand, gesture=self._recogniser.gesture(one.landmarks, width, height))
            for one, hand in zip(found, hands, strict=True)
        ]


class MediaPipeGestures:
    """MediaPipe's embedder and classifier of seven gestures and none.

    Args:
        embedder: takes keypoints, probability of a left hand and world keypoints.
        classifier: takes the embedding, gives a probability for each of `GESTURES`.
    """

    def __init__(self, embedder: Model, classifier: Model) -> None:
        self.models = (embedder, classifier)
        self._embedder = embedder
        self._classifier = classifier

    def gesture(self, hand: CropLandmarks, width: int, height: int) -> dict[str, Any]:
        """The likeliest gesture or none; see `Recogniser`."""
        assert hand.right_hand is not None
        assert hand.world_m is not None
        return self.named(hand.keypoints, hand.world_m, 1 - hand.right_hand, width, height)

    def named(
        self, keypoints: Floats, world_m: Floats, left_hand: float, width: int, height: int
    ) -> dict[str, Any]:
        """The same out of a hand's numbers.

        Args:
            keypoints: (21, 3) normalised, as a subject has them.
            world_m: (21, 3) metres.
            left_hand: probability that the hand is a left one, as the picture shows it. MediaPipe
                up to 0.10 called such a hand right, its 1.x calls it left; both give the embedder
                what their label says. This is 1.x's.
            width, height: of the picture in pixels.
        """
        self._embedder.set_input(0, object_normalised(in_square(keypoints, width, height))[None])
        self._embedder.set_input(1, left_hand)
        self._embedder.set_input(2, object_normalised(_about_half(world_m))[None])
        self._embedder.run()
        self._classifier.set_input(0, self._embedder.peek(0))
        self._classifier.run()
        scores = self._classifier.peek(0)[0]
        best = int(scores.argmax())
        return {"name": GESTURES[best], "score": float(scores[best])}


class RuleGestures:
    """Emblems by rules, with the state of every finger."""

    models: tuple[Model, ...] = ()

    def gesture(self, hand: CropLandmarks, width: int, height: int) -> dict[str, Any]:
        """The emblem that fits best, and how the hand is held; see `Recogniser`."""
        state = hand_state(hand_points(hand.keypoints, width, height))
        name, score = emblem(state)
        return {"name": name, "score": round(score, 6), **state.to_json()}


class TrainedGestures:
    """The user's own gestures."""

    models: tuple[Model, ...] = ()

    def __init__(self, classifier: GestureClassifier) -> None:
        self._classifier = classifier

    def gesture(self, hand: CropLandmarks, width: int, height: int) -> dict[str, Any]:
        """The nearest gesture or none; see `Recogniser`."""
        handedness = None
        if hand.right_hand is not None:
            handedness = "right" if hand.right_hand > 0.5 else "left"
        points = hand_points(hand.keypoints, width, height)
        name, score = self._classifier.classify(points, handedness)
        return {"name": name, "score": round(score, 6)}


def in_square(keypoints: Floats, width: int, height: int) -> Floats:
    """(21, 3) normalised keypoints by the picture's longer side, about its middle."""
    longest = np.float32(max(width, height))
    shares = np.array([np.float32(width) / longest, np.float32(height) / longest])
    result = keypoints.copy()
    result[:, :2] = (keypoints[:, :2].astype(np.float64) - 0.5) * shares + 0.5
    return _about_half(result)


def object_normalised(points: Floats) -> Floats:
    """(21, 3) points from the wrist, by the longer side of their box."""
    moved = points - points[0]
    low, high = moved[:, :2].min(axis=0), np.maximum(moved[:, :2].max(axis=0), 0)
    return np.asarray(moved / ((high - low).max() + _LEAST_EXTENT), dtype=np.float32)


def _about_half(points: Floats) -> Floats:
    # MediaPipe turns the points about the picture's middle; by 0 here, which leaves the rounding.
    result = points.copy()
    result[:, :2] = (points[:, :2] - np.float32(0.5)).astype(np.float64) + 0.5
    return result


def _check_is_file(name: str) -> None:
    if not Path(name).is_file():
        raise ViewfinderError(
            "no such gestures", field="gestures", expected=f"{MEDIAPIPE} | {RULES} | a file",
            found=repr(name), hint="viewfinder models train-gestures FOLDER --out FILE makes one",
        )  # fmt: skip
