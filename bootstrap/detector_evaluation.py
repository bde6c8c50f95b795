"""How well a detector alone finds subjects in whole pictures: average precision, keypoint error."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from bootstrap.cuboid_metrics import average_precision
from bootstrap.dataset import Dataset
from bootstrap.metrics import bootstrap_mean
from bootstrap.presence import roc
from bootstrap.subjects import Settings, Subject, find_subjects
from bootstrap.training.anchors import Truth, truth_of
from bootstrap.training.detector_losses import (
    FOUND_SCORE,
    LEAST_SCORE,
    keypoint_error,
    pairs,
    worth_judging,
)
from bootstrap.training.scenes import LEAST_SHOWN
from bootstrap.training.subjects import Subject as Labelled
from runtime.bundle import read_bundle
from runtime.card import Card, CardModel
from runtime.detection import Detection, Detector
from runtime.errors import ViewfinderError
from runtime.model_store import find_model
from runtime.roi import (
    face_roi_from_detection,
    face_roi_from_landmarks,
    hand_roi_from_landmarks,
    hand_roi_from_palm,
)
from runtime.signatures import card_of
from runtime.topology import topology
from runtime.trust import load_model

KEYPOINT_NAMES = {
    "face478@1": ("right eye", "left eye", "nose", "mouth", "right ear", "left ear"),
    "hand21@1": ("wrist", "index", "middle", "ring", "little", "thumb base", "thumb middle"),
}
_TOPOLOGIES = {"face": "face478@1", "hand": "hand21@1"}
ROI_OF_DETECTION = {"face478@1": face_roi_from_detection, "hand21@1": hand_roi_from_palm}
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
        keypoint. "average_precision" at an overlap of one half; at the runtime's threshold
        "recall", "missed" subjects and "extra" detections; how far the landmark network's crop
        ("region") lies from the true one; in "empty_pictures" the "false_alarms", and with
        "presence" the ROC of subjects' scores against empty pictures' best. Subjects that hide
        nearly all of their keypoints count neither as missed nor, where they are found, as extra.

    Raises:
        ViewfinderError: a model or data set that can't be read, a detector of something else, or
            nothing to measure on.
    """
    opened = open_detector(model, LEAST_SCORE)
    detector, shape = opened.detector, topology(opened.topology_id)
    subjects, details = find_subjects(replace(settings, crop="truth"), shape)
    tally = _Tally(shape.id)
    for picture, group in itertools.groupby(subjects, lambda one: one.picture):
        here = list(group)
        image = here[0].ds.read_image(here[0].label.sample_id)
        found = [_square(one, image.shape) for one in detector.detect(image)]
        truths = [_truth(one, shape.id) for one in here]
        hidden = [one for one in truths if one.shown < LEAST_SHOWN]
        truths = [one for one in truths if one.shown >= LEAST_SHOWN]
        side = max(image.shape[:2])
        tally.add(picture, worth_judging(found, truths, hidden, side), truths, side)
        progress(len(tally.errors), len(subjects))
    for ds, sample_id in _empty_pictures(subjects, details, shape.id):
        tally.empty.append([one.score for one in detector.detect(ds.read_image(sample_id))])
    return {
        **tally.to_json(),
        "model": {"file": str(opened.path), "sha256": opened.sha256},
        **details,
        "subjects": len(subjects),
        "crop": "detector",
    }


@dataclass(frozen=True)
class OpenDetector:
    """A detector of faces or palms out of a bundle.

    Attributes:
        detector: ready to run.
        topology_id: of what it finds.
        path, sha256: of the bundle.
    """

    detector: Detector
    topology_id: str
    path: Path
    sha256: str


def open_detector(model: str | Path, least_score: float) -> OpenDetector:
    """A bundle's, a bare .tflite's or a stored model's detector.

    Raises:
        ViewfinderError: it can't be read, or doesn't find faces or palms.
    """
    path = find_model(model)
    bundle = read_bundle(path)
    card, entry = _entry(card_of(bundle), path)
    detector = Detector(load_model(bundle.members[entry.file], str(path)), entry, least_score)
    return OpenDetector(detector, _TOPOLOGIES[card.task], path, bundle.sha256)


class _Tally:
    """What was found of which subjects, picture by picture."""

    def __init__(self, topology_id: str) -> None:
        self.errors: list[list[float]] = []
        self.empty: list[list[float]] = []
        self._topology_id = topology_id
        self._pictures: list[str] = []
        self._scores: list[float] = []
        self._hits: list[bool] = []
        self._best: list[float] = []
        self._regions: list[tuple[float, float, float]] = []

    def add(
        self, picture: str, found: Sequence[Detection], truths: Sequence[Truth], side: int
    ) -> None:
        """One picture with its subjects; detections normalised by the longer side."""
        matched = dict(pairs(found, truths, side))
        self._scores += [one.score for one in found]
        self._hits += [i in matched for i in range(len(found))]
        best = {k: i for i, k in matched.items()}
        for k, truth in enumerate(truths):
            hit = found[best[k]] if k in best else None
            self._best.append(0.0 if hit is None else hit.score)
            sure = hit if hit is not None and hit.score >= FOUND_SCORE else None
            self.errors.append(_errors(sure, truth, side))
            self._pictures.append(picture)
            if sure is not None:
                self._regions.append(_region_errors(sure, truth, side, self._topology_id))

    def to_json(self) -> dict[str, Any]:
        """The part of the report that is about finding."""
        table = 100 * np.array(self.errors)
        rng = np.random.default_rng(0)
        by = {
            name: bootstrap_mean(table[:, i], self._pictures, rng).to_json()
            for i, name in enumerate(KEYPOINT_NAMES[self._topology_id])
        }
        means = table.mean(axis=1)
        missed = int(np.isnan(means).sum())
        extra = sum(s >= FOUND_SCORE and not hit for s, hit in zip(self._scores, self._hits))
        precision = 0.0
        if self._scores:
            precision = average_precision(self._scores, self._hits, len(self.errors))
        return {
            "metric": "mean keypoint error of what is found, % of the box's side",
            **bootstrap_mean(means, self._pictures, rng).to_json(),
            "by": by,
            "average_precision": precision,
            "recall": 1 - missed / len(self.errors),
            "missed": missed,
            "extra": int(extra),
            "region": self._region(),
            **self._of_empty(),
        }

    def _region(self) -> dict[str, Any] | None:
        if not self._regions:
            return None
        centre, size, angle = np.percentile(np.array(self._regions), (50, 90), axis=0).T
        return {
            name: {"median": round(float(at[0]), 4), "p90": round(float(at[1]), 4)}
            for name, at in (("centre", centre), ("size", size), ("angle_deg", angle))
        }

    def _of_empty(self) -> dict[str, Any]:
        """False alarms in pictures labelled as empty; how well the best score tells them from the
        subjects."""
        if not self.empty:
            return {"empty_pictures": 0}
        alarms = sum(score >= FOUND_SCORE for scores in self.empty for score in scores)
        presence = roc(self._best, [max(scores, default=0.0) for scores in self.empty])
        return {
            "empty_pictures": len(self.empty),
            "false_alarms": int(alarms),
            "presence": presence.to_json(),
        }


def _empty_pictures(
    subjects: Sequence[Subject], details: dict[str, Any], topology_id: str
) -> list[tuple[Dataset, str]]:
    """Pictures of the split that are labelled as empty in data sets of such subjects."""
    pictures = []
    for folder, ds in sorted({str(one.ds.root): one.ds for one in subjects}.items()):
        if ds.info.topologies and topology_id not in ds.info.topologies:
            continue
        index, split = ds.samples(), details["split"][folder]
        chosen = index if split == "all" else index[index["split"] == split]
        ids = set(chosen["sample_id"])
        labels = ds.labels(details["layer"][folder])
        pictures += [
            (ds, one.sample_id) for one in labels if not one.topology and one.sample_id in ids
        ]
    return pictures


def _region_errors(
    found: Detection, truth: Truth, side: int, topology_id: str
) -> tuple[float, float, float]:
    """How far the crop that follows the detection lies from that which follows the truth: centre
    and size over the true crop's side, turn in degrees."""
    make = ROI_OF_DETECTION[topology_id]
    corner = np.concatenate([truth.box[:2] - truth.box[2:] / 2, truth.box[2:]])
    there, here = make(corner, truth.keypoints), make(found.box * side, found.keypoints * side)
    turn = math.remainder(here.rotation_rad - there.rotation_rad, 2 * math.pi)
    away = math.hypot(here.cx - there.cx, here.cy - there.cy) / there.width
    return away, abs(here.width / there.width - 1), abs(math.degrees(turn))


def _entry(card: Card, path: Path) -> tuple[Card, CardModel]:
    for entry in card.models:
        if entry.role == "detector" and card.task in _TOPOLOGIES:
            return card, entry
    raise ViewfinderError("not a detector of faces or palms", file=path, found=card.task)


def _truth(subject: Subject, topology_id: str) -> Truth:
    points = np.asarray(subject.crop_px, dtype=np.float32)
    ones = np.ones(len(points), dtype=np.float32)
    roi = _ROIS[topology_id](points)
    source = (0, subject.label.sample_id)
    labelled = Labelled(source, topology_id, points, ones, None, None, None, roi, 1.0)
    visibility = subject.label.visibility
    if visibility is not None and (visibility > 0).any():
        labelled = replace(labelled, seen=float((visibility[visibility > 0] == 2).mean()))
    return truth_of(labelled)


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
