"""Whether a landmark network knows when there is nothing to find: the ROC of its presence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bootstrap.dataset import Dataset
from bootstrap.predictions import OpenedModel
from bootstrap.subjects import Subject
from runtime.roi import Roi

CROPS_OF_A_PICTURE = 3
"""Taken of each picture that is labelled as empty."""
THRESHOLD = 0.5
"""Of the runtime."""

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Roc:
    """A receiver operating characteristic.

    Attributes:
        area: under the curve: the chance that a subject scores above an empty crop.
        true_rate, false_rate: of subjects and of empty crops above `THRESHOLD`.
        positives, negatives: how many of each.
    """

    area: float
    true_rate: float
    false_rate: float
    positives: int
    negatives: int

    def to_json(self) -> dict[str, Any]:
        """As `evaluate --json` has it."""
        return {
            "auc": round(self.area, 6),
            "true_positive_rate": round(self.true_rate, 6),
            "false_positive_rate": round(self.false_rate, 6),
            "positives": self.positives,
            "negatives": self.negatives,
        }


def roc(positives: ArrayLike, negatives: ArrayLike) -> Roc:
    """The ROC of scores; the area by ranks (Mann and Whitney), ties counting half.

    Args:
        positives: (P,) scores of subjects, P >= 1.
        negatives: (Q,) of empty crops, Q >= 1.
    """
    there = np.asarray(positives, dtype=np.float64)
    empty = np.sort(np.asarray(negatives, dtype=np.float64))
    below = np.searchsorted(empty, there, "left")
    not_above = np.searchsorted(empty, there, "right")
    area = float((below + not_above).mean() / 2 / len(empty))
    return Roc(
        area,
        float((there > THRESHOLD).mean()),
        float((empty > THRESHOLD).mean()),
        len(there),
        len(empty),
    )


def presence_roc(
    model: OpenedModel, subjects: Sequence[Subject], layers: dict[str, str]
) -> Roc | None:
    """The ROC over the subjects' own crops and crops of pictures that a layer calls empty.

    Args:
        model: whose landmark network is asked.
        subjects: with crops.
        layers: data set folder -> layer that counts.

    Returns:
        None where no picture is labelled as empty, or no subject is given.
    """
    landmarks = model.landmark_model()

    def presence(rgb: NDArray[np.uint8], roi: Roi) -> float:
        found = landmarks.run(rgb, roi, min_presence=-1.0)
        return 0.0 if found is None else found.presence

    there = [
        presence(one.ds.read_image(one.label.sample_id), model.truth_roi(one.crop_px))
        for one in subjects
        if one.crop_px is not None
    ]
    empty: list[float] = []
    for ds, sample_id in _empty_pictures(subjects, layers):
        rgb = ds.read_image(sample_id)
        rng = np.random.default_rng(len(empty))
        empty += [presence(rgb, roi) for roi in _random_regions(rgb, rng)]
    return roc(there, empty) if there and empty else None


def _empty_pictures(
    subjects: Sequence[Subject], layers: dict[str, str]
) -> list[tuple[Dataset, str]]:
    datasets = {str(one.ds.root): one.ds for one in subjects}
    return [
        (ds, label.sample_id)
        for folder, ds in sorted(datasets.items())
        for label in ds.labels(layers[folder])
        if not label.topology
    ]


def _random_regions(rgb: NDArray[np.uint8], rng: np.random.Generator) -> list[Roi]:
    height, width = rgb.shape[:2]
    regions = []
    for _ in range(CROPS_OF_A_PICTURE):
        side = float(rng.uniform(0.3, 1.0)) * min(width, height)
        cx, cy = rng.uniform(0, width), rng.uniform(0, height)
        regions.append(Roi(cx, cy, side, side, float(rng.uniform(-0.5, 0.5))))
    return regions
