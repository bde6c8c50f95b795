"""A model opened for measuring: its landmark network alone, or the whole pipeline."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bootstrap.body_alignment import alignment_of
from runtime.bundle import Bundle, read_bundle
from runtime.card import Card
from runtime.errors import ViewfinderError
from runtime.model_store import find_model
from runtime.results import Subject
from runtime.roi import Roi, body_roi, face_roi_from_landmarks, hand_roi_from_landmarks
from runtime.signatures import card_of
from runtime.solutions import Solution, open_solution
from runtime.solutions.face_attention import AttentionLandmarkModel
from runtime.solutions.landmarks import LandmarkModel
from runtime.solutions.objectron import BoxLandmarkModel
from runtime.solutions.objectron_single import LEAST_SCORE, is_single_stage
from runtime.solutions.pose_model import BodyModel
from runtime.topology import Topology, topology
from runtime.trust import load_model

MANY = 16
"""Subjects looked for in a picture; more are rare, and each costs a run of the network."""

_SOLUTIONS = {"face": "face", "hand": "hands", "object": "objectron", "pose": "pose"}


def _box_roi(keypoints_px: NDArray[np.float32]) -> Roi:
    low, high = keypoints_px.min(axis=0), keypoints_px.max(axis=0)
    (cx, cy), (width, height) = ((low + high) / 2).tolist(), (high - low).tolist()
    return Roi(cx, cy, width, height)


def _body_roi(keypoints_px: NDArray[np.float32]) -> Roi:
    aligning = keypoints_px[topology("pose33@1").size :]
    return body_roi(aligning if len(aligning) else alignment_of(keypoints_px))


_TRUTH_ROIS: dict[str, Callable[[NDArray[np.float32]], Roi]] = {
    "face": face_roi_from_landmarks,
    "hand": hand_roi_from_landmarks,
    "object": _box_roi,  # its model grows it
    "pose": _body_roi,
}


@dataclass(frozen=True)
class OpenedModel:
    """A bundle, what it is for, and its file.

    Attributes:
        path: the file.
        bundle: its content.
        card: its own, or one known by its tensors.
        topology: of its landmarks.
    """

    path: Path
    bundle: Bundle
    card: Card
    topology: Topology

    @property
    def sha256(self) -> str:
        """Of the whole file."""
        return self.bundle.sha256

    @property
    def whole_picture(self) -> bool:
        """Whether it looks at pictures as they are, so that there is no crop to be true."""
        return any(is_single_stage(entry) for entry in self.card.models)

    def landmark_model(self) -> LandmarkModel | BodyModel:
        """The landmark network, ready to run."""
        entry = next(model for model in self.card.models if model.role == "landmarks")
        model = load_model(self.bundle.members[entry.file], f"{self.path} {entry.file}")
        if self.card.task == "pose":
            return BodyModel(model, entry)
        kind = BoxLandmarkModel if self.card.task == "object" else LandmarkModel
        if any(output.meaning == "lips" for output in entry.outputs):
            kind = AttentionLandmarkModel
        return kind(model, entry)

    def solution(self, min_score: float = 0.5) -> Solution:
        """The whole pipeline, every picture on its own.

        A model of one stage gives every box that average precision counts.
        """
        name = _SOLUTIONS[self.card.task]
        min_score = LEAST_SCORE if self.whole_picture else min_score
        return open_solution(name, self.path, max_subjects=MANY, min_score=min_score, static=True)

    def truth_roi(self, keypoints_px: NDArray[np.float32]) -> Roi:
        """The crop that the pipeline would make of these keypoints; a body's may be followed by the
        two that align it."""
        return _TRUTH_ROIS[self.card.task](keypoints_px)


def open_model(model: str | Path) -> OpenedModel:
    """Read a bundle for faces, hands, bodies or boxes, or a bare .tflite whose tensors are known.

    Raises:
        ViewfinderError: no such file, damaged, or without landmarks of one of these.
    """
    path = find_model(model)
    bundle = read_bundle(path)
    card = card_of(bundle)
    entry = next((one for one in card.models if one.role == "landmarks"), None)
    if card.task not in _SOLUTIONS or entry is None:
        raise ViewfinderError(
            "this model has no landmarks of a face, a hand, a body or a box",
            file=path,
            found=card.task,
        )
    return OpenedModel(path, bundle, card, topology(entry.topology))


def matched(
    truths: Sequence[NDArray[np.float32]],
    lengths_px: Sequence[float],
    found: Sequence[Subject],
    width: int,
    height: int,
) -> list[int | None]:
    """Which found subject is which true one: the nearest pairs first, each taken once.

    Args:
        truths: (N, 2) keypoints in pixels, one array a subject.
        lengths_px: each one's normalising length; a pair's mean distance must stay below it.
        found: the pipeline's subjects.
        width, height: of the picture.

    Returns:
        For each truth, the index in `found`, or None where it was missed.
    """
    pairs = []
    for t, truth in enumerate(truths):
        for f, subject in enumerate(found):
            points = subject.keypoints_px(width, height)[:, :2]
            n = min(len(points), len(truth))
            distance = np.nanmean(np.linalg.norm(points[:n] - truth[:n], axis=1)) / lengths_px[t]
            if distance < 1.0:
                pairs.append((float(distance), t, f))
    result: list[int | None] = [None] * len(truths)
    for _, t, f in sorted(pairs):
        if result[t] is None and f not in result:
            result[t] = f
    return result
