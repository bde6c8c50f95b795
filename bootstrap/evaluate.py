"""How far a model's keypoints are from the true ones, for whom, and how sure that is."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bootstrap.evaluate_boxes import (
    METRIC,
    box_details,
    by_group,
    categories,
    measure_boxes,
    with_boxes,
)
from bootstrap.metrics import (
    Estimate,
    bootstrap_mean,
    grouped,
    keypoint_distances,
    mean_known,
    part_errors,
    six_point_errors,
)
from bootstrap.predictions import OpenedModel, matched, open_model
from bootstrap.presence import presence_roc
from bootstrap.subjects import Crop, Settings, Subject, find_subjects, group_values
from runtime.errors import ViewfinderError
from runtime.topology import Topology, topology

_SEED = 0  # of the bootstrap: the same data give the same interval
_PERCENT = 100.0
PCK_AT = (5.0, 10.0, 20.0)
"""Percent of the normalising length within which a keypoint counts as right."""
DISCREPANCY = {"face": 2.56, "hand": 4.0}
"""How far annotators are apart, in percent of the same lengths: Google's model cards of the face
mesh and of the hand model. A model is called fair when its groups differ by less."""


@dataclass
class Measured:
    """A model's answers on subjects.

    Attributes:
        predicted_px: (S, N, 2), NaN for a subject that wasn't found.
        scores: (S,) of found subjects.
        rejected: subjects whose crop the model took for empty (presence 0.5 or less).
        extra_scores: of found subjects that no true one matches.
    """

    predicted_px: NDArray[np.float64]
    scores: NDArray[np.float64]
    rejected: int = 0
    extra_scores: list[float] = field(default_factory=list)


@dataclass(frozen=True)
class Evaluation:
    """What `evaluate` found; errors in percent of the normalising length.

    Attributes:
        metric: what the numbers are.
        overall: over all subjects.
        by: part or group -> estimate.
        details: counts and settings for the JSON.
        subjects: that were measured, with `predicted_px` (S, N, 2) and `errors` (S,).
    """

    metric: str
    overall: Estimate
    by: dict[str, Estimate]
    details: dict[str, Any]
    subjects: Sequence[Subject] = field(repr=False)
    predicted_px: NDArray[np.float64] = field(repr=False)
    errors: NDArray[np.float64] = field(repr=False)

    def to_json(self) -> dict[str, Any]:
        """DESIGN's object: metric, mean, interval, n, by, and the details."""
        by = {name: estimate.to_json() for name, estimate in self.by.items()}
        return {"metric": self.metric, **self.overall.to_json(), "by": by, **self.details}


def evaluate_model(
    model: str | Path,
    settings: Settings,
    against: str | Path | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Evaluation:
    """Measure a model, and another on the same subjects beside it.

    Args:
        model: bundle, bare .tflite, or the name of a stored model.
        settings: what to measure on.
        against: another model; the details then hold its mean and the paired difference.
        progress: called with subjects done and in all.

    Raises:
        ViewfinderError: a model or data set that can't be read, models of different kinds, or
            nothing to measure on.
    """
    opened = [open_model(path) for path in (model, against) if path is not None]
    shape = min((one.topology for one in opened), key=lambda one: one.size)
    if any(one.card.task != opened[0].card.task for one in opened):
        raise ViewfinderError(
            "the models are for different things", file=against, expected=opened[0].card.task,
            found=opened[-1].card.task,
        )  # fmt: skip
    if any(one.whole_picture for one in opened):
        settings = replace(settings, crop="detector")
    subjects, details = find_subjects(settings, shape)
    boxes = shape.name == "cuboid9"
    if boxes:
        subjects = with_boxes(subjects)
    total = len(subjects) * len(opened)
    measured: list[Measured] = []
    for one in opened:
        before = len(measured) * len(subjects)
        measured.append(
            measure(one, subjects, settings.crop, lambda done: progress(before + done, total))  # noqa: B023
        )
    if boxes:
        result = _box_summary(subjects, measured[0], settings, details)
        means = [measure_boxes(subjects, one.predicted_px).percent for one in measured]
    else:
        errors = [_errors(one.predicted_px, subjects, shape.size) for one in measured]
        if settings.crop == "truth":
            there = presence_roc(opened[0], subjects, details["layer"])
            details["presence"] = None if there is None else there.to_json()
        result = _summary(subjects, measured[0], errors[0], shape, settings, details)
        means = [mean_known(one) for one in errors]
    details["model"] = {"file": str(opened[0].path), "sha256": opened[0].sha256}
    if against is not None:
        details["against"] = {
            "file": str(opened[1].path),
            "sha256": opened[1].sha256,
            **_comparison(subjects, *means),
        }
    return result


def measure(
    model: OpenedModel,
    subjects: Sequence[Subject],
    crop: Crop,
    progress: Callable[[int], None] = lambda done: None,
) -> Measured:
    """Run a model on every subject's picture.

    Args:
        model: to run.
        subjects: subjects of one picture must stand together.
        crop: as in `Settings`.
        progress: called with the number of subjects done.
    """
    count = len(subjects)
    measured = Measured(np.full((count, model.topology.size, 2), np.nan), np.zeros(count))
    one_picture = _truth_runner(model, measured) if crop == "truth" else _pipeline(model, measured)
    for _, group in itertools.groupby(enumerate(subjects), lambda pair: pair[1].picture):
        here = list(group)
        first = here[0][1]
        one_picture(first.ds.read_image(first.label.sample_id), here)
        progress(here[-1][0] + 1)
    return measured


_RunPicture = Callable[[NDArray[np.uint8], list[tuple[int, Subject]]], None]


def _truth_runner(model: OpenedModel, measured: Measured) -> _RunPicture:
    landmarks = model.landmark_model()

    def run(image: NDArray[np.uint8], here: list[tuple[int, Subject]]) -> None:
        size = (image.shape[1], image.shape[0])
        for i, subject in here:
            assert subject.crop_px is not None  # find_subjects left out those without
            roi = model.truth_roi(subject.crop_px)
            found = landmarks.run(image, roi, min_presence=-1.0)
            if found is not None:
                measured.predicted_px[i] = found.keypoints[:, :2] * size
                measured.scores[i] = found.presence
            measured.rejected += found is None or found.presence <= 0.5

    return run


def _pipeline(model: OpenedModel, measured: Measured) -> _RunPicture:
    solution = model.solution()

    def run(image: NDArray[np.uint8], here: list[tuple[int, Subject]]) -> None:
        height, width = image.shape[:2]
        found = solution.process(image, here[0][0])
        truths = [subject.truth_px for _, subject in here]
        lengths = [subject.length_px for _, subject in here]
        pairs = matched(truths, lengths, found, width, height)
        for (i, _), answer in zip(here, pairs):
            if answer is not None:
                measured.predicted_px[i] = found[answer].keypoints_px(width, height)[:, :2]
                measured.scores[i] = found[answer].score
        rest = set(range(len(found))) - {answer for answer in pairs if answer is not None}
        measured.extra_scores += [float(found[answer].score) for answer in sorted(rest)]

    return run


def _errors(
    predicted_px: NDArray[np.float64], subjects: Sequence[Subject], count: int
) -> NDArray[np.float64]:
    """(S, count) keypoint errors in percent of each subject's length."""
    errors = np.full((len(subjects), count), np.nan)
    for i, subject in enumerate(subjects):
        distances = keypoint_distances(predicted_px[i, :count], subject.truth_px)
        errors[i] = _PERCENT * distances / subject.length_px
    return errors


def _summary(
    subjects: Sequence[Subject],
    measured: Measured,
    errors: NDArray[np.float64],
    shape: Topology,
    settings: Settings,
    details: dict[str, Any],
) -> Evaluation:
    pictures = [subject.picture for subject in subjects]
    means = mean_known(errors)
    if settings.by == "part":
        series = part_errors(errors, shape.parts)
    elif settings.by == "joint":
        series = {name: errors[:, i] for i, name in enumerate(shape.keypoint_names)}
    else:
        groups = grouped(group_values(subjects, settings.by))
        names = sorted({name for name in groups if name is not None}, key=_by_number)
        of = np.array(groups, dtype=object)
        series = {name: np.where(of == name, means, np.nan) for name in names}
    by = {name: bootstrap_mean(values, pictures, _rng()) for name, values in series.items()}
    truth = topology(subjects[0].label.topology)
    spatial = [s.label.keypoints_camera_m is not None for s in subjects]
    where = "in space" if all(spatial) else "mixed" if any(spatial) else "in the picture"
    details["subjects"] = len(subjects)
    details["keypoints"] = shape.size
    details["missed"] = int((~np.isfinite(means)).sum())
    details["pck"] = _pck(errors)
    if settings.by not in ("part", "joint"):
        details["fairness"] = _fairness(by, shape)
    details["rejected" if settings.crop == "truth" else "extra"] = (
        measured.rejected if settings.crop == "truth" else len(measured.extra_scores)
    )
    if truth.name.startswith("face"):
        details["six_point"] = _six_point(subjects, measured.predicted_px, pictures).to_json()
    return Evaluation(
        metric=f"mean keypoint error, % of {truth.normaliser_name} ({where})",
        overall=bootstrap_mean(means, pictures, _rng()),
        by=by,
        details=details,
        subjects=subjects,
        predicted_px=measured.predicted_px,
        errors=means,
    )


def _pck(errors: NDArray[np.float64]) -> dict[str, float | None]:
    """Share of labelled keypoints within each distance; missed subjects' keypoints are wrong."""
    missed = ~np.isfinite(errors).any(axis=1)
    counted = np.isfinite(errors) | missed[:, None]
    right = {f"{at:g}": np.where(np.isfinite(errors), errors <= at, False) for at in PCK_AT}
    total = int(counted.sum())
    return {at: round(float(ok.sum() / total), 6) if total else None for at, ok in right.items()}


def _fairness(by: dict[str, Estimate], shape: Topology) -> dict[str, Any] | None:
    """The spread of the groups' means against what annotators disagree by."""
    means = [estimate.mean for estimate in by.values() if estimate.n]
    limit = DISCREPANCY.get(shape.name[:4])
    if len(means) < 2 or limit is None:
        return None
    spread = max(means) - min(means)
    return {"spread": spread, "annotators": limit, "within": bool(spread <= limit)}


def _box_summary(
    subjects: Sequence[Subject], measured: Measured, settings: Settings, details: dict[str, Any]
) -> Evaluation:
    """As `_summary`, for boxes in space; by category unless another group is asked for."""
    pictures = [subject.picture for subject in subjects]
    found = measure_boxes(subjects, measured.predicted_px)
    groups: Sequence[str | None] = categories(subjects)
    if settings.by != "part":
        groups = grouped(group_values(subjects, settings.by))
    details["subjects"] = len(subjects)
    details["missed"] = int((~found.found).sum())
    details["rejected"] = measured.rejected
    details["extra"] = len(measured.extra_scores)
    details["boxes"] = box_details(found, subjects, measured.scores, measured.extra_scores, _rng())
    return Evaluation(
        metric=METRIC,
        overall=bootstrap_mean(found.percent, pictures, _rng()),
        by=by_group(found.percent, groups, pictures, _rng()),
        details=details,
        subjects=subjects,
        predicted_px=measured.predicted_px,
        errors=np.where(found.found, found.percent, np.nan),
    )


def _six_point(
    subjects: Sequence[Subject], predicted_px: NDArray[np.float64], pictures: list[str]
) -> Estimate:
    truth = np.stack([subject.truth_px[:468] for subject in subjects])
    errors = _PERCENT * six_point_errors(predicted_px[:, :468], truth)
    return bootstrap_mean(errors, pictures, _rng())


def _comparison(
    subjects: Sequence[Subject], ours: NDArray[np.float64], theirs: NDArray[np.float64]
) -> dict[str, Any]:
    """The other model's mean, and the difference on subjects that both found."""
    pictures = [subject.picture for subject in subjects]
    difference = bootstrap_mean(ours - theirs, pictures, _rng())
    return {
        **bootstrap_mean(theirs, pictures, _rng()).to_json(),
        "missed": int((~np.isfinite(theirs)).sum()),
        "difference": difference.to_json(),
    }


def _rng() -> np.random.Generator:
    return np.random.default_rng(_SEED)


def _by_number(name: str) -> tuple[float, str]:
    try:
        return float(name.split(" to ")[0]), name
    except ValueError:
        return 0.0, name
