"""How well a detector alone finds subjects in whole pictures: average precision, keypoint error."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from bootstrap.cuboid_metrics import average_precision
from bootstrap.metrics import bootstrap_mean
from bootstrap.subjects import Settings, Subject, find_subjects
from bootstrap.training.anchors import Truth, truth_of
from bootstrap.training.detector_losses import FOUND_SCORE, LEAST_SCORE, keypoint_error, pairs
from bootstrap.training.subjects import Subject as Labelled
from runtime.bundle import read_bundle
from runtime.card import Card, CardModel
from runtime.detection import Detection, Detector
from runtime.errors import ViewfinderError
from runtime.model_store import find_model
from runtime.roi import face_roi_from_landmarks, hand_roi_from_landmarks
from runtime.signatures import card_of
from runtime.topology import topology
from runtime.trust import load_model

KEYPOINT_NAMES = {
    "face478@1": ("right eye", "left eye", "nose", "mouth", "right ear", "left ear"),
    "hand21@1": ("wrist", "index", "middle", "ring", "little", "thumb base", "thumb middle"),
}
_TOPOLOGIES = {"face": "face478@1", "hand": "hand21@1"}
_ROIS = {"face478@1": face_roi_from_landmarks, "hand21@1": hand_roi_from_landmarks}


def is_detector(model: str | Path) -> bool:
    """Whether a bundle or .tflite holds a detector and no landmark model."""
    roles = {one.role for one in card_of(read_bundle(find_model(model))).models}
    return "detector" in roles and "landmarks" not in roles


def evaluate_detector(
    model: str | Path,
    settings: Settings,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> dict[str, Any]:
    """Measure a detector of faces or palms on pictures whose subjects have landmarks.

    Args:
        model: bundle, bare .tflite, or the name of a stored model.
        settings: what to measure on.
        progress: called with subjects done and in all.

    Returns:
        What `Evaluation.to_json` gives, of keypoint errors in percent of the box's side, by
        keypoint; and "average_precision" at an overlap of one half, with "missed" subjects and
        "extra" detections at the runtime's threshold.

    Raises:
        ViewfinderError: a model or data set that can't be read, a detector of something else, or
            nothing to measure on.
    """
    path = find_model(model)
    bundle = read_bundle(path)
    card, entry = _entry(card_of(bundle), path)
    shape = topology(_TOPOLOGIES[card.task])
    detector = Detector(load_model(bundle.members[entry.file], str(path)), entry, LEAST_SCORE)
    subjects, details = find_subjects(replace(settings, crop="truth"), shape)
    scores, hits, errors, pictures = [], [], [], []
    extra = 0
    for picture, group in itertools.groupby(subjects, lambda one: one.picture):
        here = list(group)
        image = here[0].ds.read_image(here[0].label.sample_id)
        found = [_square(one, image.shape) for one in detector.detect(image)]
        side = max(image.shape[:2])
        truths = [_truth(one, shape.id) for one in here]
        matched = dict(pairs(found, truths, side))
        scores += [one.score for one in found]
        hits += [i in matched for i in range(len(found))]
        extra += sum(one.score >= FOUND_SCORE for i, one in enumerate(found) if i not in matched)
        sure = {k: i for i, k in matched.items() if found[i].score >= FOUND_SCORE}
        for k, truth in enumerate(truths):
            answer = found[sure[k]] if k in sure else None
            errors.append(_errors(answer, truth, side))
            pictures.append(picture)
        progress(len(errors), len(subjects))
    table = 100 * np.array(errors)
    rng = np.random.default_rng(0)
    by = {
        name: bootstrap_mean(table[:, i], pictures, rng).to_json()
        for i, name in enumerate(KEYPOINT_NAMES[shape.id])
    }
    means = table.mean(axis=1)
    details["missed"] = int(np.isnan(means).sum())
    details["extra"] = int(extra)
    details["subjects"] = len(subjects)
    details["crop"] = "detector"
    return {
        "metric": "mean keypoint error of what is found, % of the box's side",
        **bootstrap_mean(means, pictures, rng).to_json(),
        "by": by,
        "average_precision": average_precision(scores, hits, len(subjects)) if scores else 0.0,
        "model": {"file": str(path), "sha256": bundle.sha256},
        **details,
    }


def _entry(card: Card, path: Path) -> tuple[Card, CardModel]:
    for entry in card.models:
        if entry.role == "detector" and card.task in _TOPOLOGIES:
            return card, entry
    raise ViewfinderError(
        "only detectors of faces and palms can be measured", file=path, found=card.task
    )


def _truth(subject: Subject, topology_id: str) -> Truth:
    points = np.asarray(subject.crop_px, dtype=np.float32)
    ones = np.ones(len(points), dtype=np.float32)
    roi = _ROIS[topology_id](points)
    source = (0, subject.label.sample_id)
    return truth_of(Labelled(source, topology_id, points, ones, None, None, None, roi, 1.0))


def _square(found: Detection, shape: tuple[int, ...]) -> Detection:
    """Normalised by the picture's longer side along both axes, as `pairs` wants it."""
    size = np.array([shape[1], shape[0]], dtype=np.float32) / max(shape[:2])
    return Detection(found.score, found.box * np.tile(size, 2), found.keypoints * size)


def _errors(found: Detection | None, truth: Truth, side: int) -> list[float]:
    count = len(truth.keypoints)
    if found is None:
        return [float("nan")] * count
    one = np.eye(count, dtype=np.float32)
    return [keypoint_error(found, Truth(truth.box, truth.keypoints, row), side) for row in one]
