"""How far an iris network's keypoints are from the true ones, eye by eye."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bootstrap.metrics import Estimate, bootstrap_mean, grouped, keypoint_distances, mean_known
from bootstrap.subjects import Settings, Subject, find_subjects, group_values
from runtime.bundle import Bundle, read_bundle
from runtime.card import CardModel
from runtime.errors import ViewfinderError
from runtime.model_store import find_model
from runtime.roi import eye_roi
from runtime.signatures import card_of
from runtime.solutions.face_attention import (
    EYE_CONTOUR_SIZE,
    IRIS_SIZE,
    MESH_SIZE,
    RIGHT_EYE,
    left_eye,
)
from runtime.solutions.iris import EyeModel
from runtime.topology import topology
from runtime.trust import load_model

LEAST_PX = 6.0
"""Smaller eyes show no iris."""
LEAST_SEEN = 0.3
"""Share of the eye's contour that isn't occluded."""
_METRIC = "mean keypoint error, % of the eye's width (in the picture)"
_IRIS = len(RIGHT_EYE)
_PARTS = {
    "eye": slice(0, _IRIS),
    "iris": slice(_IRIS, None),
    "iris centre": slice(_IRIS, _IRIS + 1),
}
_FIRST = MESH_SIZE + IRIS_SIZE
_SIDES = {
    "right": ((33, 133), (*RIGHT_EYE, *range(MESH_SIZE, _FIRST))),
    "left": ((362, 263), (*left_eye(), *range(_FIRST, _FIRST + IRIS_SIZE))),
}
"""Corners, the one further left in the picture first, and keypoints, as `EyeModel` gives them."""

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Eye:
    """One eye of a true face: `side` is the person's own; truth_px (76, 2)."""

    face: Subject
    side: str
    corners_px: Floats
    truth_px: Floats

    @property
    def width_px(self) -> float:
        """What errors are divided by."""
        return float(np.linalg.norm(self.corners_px[0] - self.corners_px[1]))


def is_iris(model: str | Path) -> bool:
    """Whether a bundle or .tflite holds an iris model and no face mesh."""
    roles = {one.role for one in card_of(read_bundle(find_model(model))).models}
    return "iris" in roles and "landmarks" not in roles


def evaluate_iris(
    model: str | Path,
    settings: Settings,
    against: str | Path | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> dict[str, Any]:
    """Measure an iris network on the eyes of labelled faces, cut out around their true corners.

    Counted are eyes that are `LEAST_PX` wide with `LEAST_SEEN` of their lids in sight, the iris
    only where it is labelled.

    Args:
        model: bundle, bare .tflite, or the name of a stored model.
        settings: what to measure on; its crop is always the truth's.
        against: another iris model on the same eyes.
        progress: called with eyes done and in all.

    Returns:
        What `Evaluation.to_json` gives, by "eye", "iris" and "iris centre", or by the groups of
        `settings.by` ("side" is the person's own).

    Raises:
        ViewfinderError: a model or data set that can't be read, a model of something else, or no
            such eye.
    """
    subjects, details = find_subjects(settings, topology("face478@1"))
    eyes = [eye for subject in subjects for eye in eyes_of(subject)]
    if not eyes:
        raise ViewfinderError(
            "nothing to measure on: no face has an eye that is labelled, seen and large enough",
            file=settings.data[0],
            expected=f"both corners and the lids, {LEAST_PX:g} px wide or more",
        )
    paths = [path for path in (model, against) if path is not None]
    total = len(eyes) * len(paths)
    tables, facts = [], []
    for number, path in enumerate(paths):
        before = number * len(eyes)
        bundle, network = _opened(path)
        facts.append({"file": str(find_model(path)), "sha256": bundle.sha256})
        tables.append(_errors(network, eyes, lambda done: progress(before + done, total)))  # noqa: B023
    pictures = [eye.face.picture for eye in eyes]
    means = [mean_known(table) for table in tables]
    result = {
        "metric": _METRIC,
        **_estimate(means[0], pictures).to_json(),
        "by": {k: v.to_json() for k, v in _by(settings.by, eyes, tables[0], pictures).items()},
        **details,
        "crop": "truth",
        "subjects": len(eyes),
        "missed": int((~np.isfinite(means[0])).sum()),
        "model": facts[0],
    }
    if against is not None:
        result["against"] = {
            **facts[1],
            **_estimate(means[1], pictures).to_json(),
            "missed": int((~np.isfinite(means[1])).sum()),
            "difference": _estimate(means[0] - means[1], pictures).to_json(),
        }
    return result


def eyes_of(face: Subject) -> list[Eye]:
    """The eyes of a true face that can be measured."""
    eyes = []
    for side, (corners, keypoints) in _SIDES.items():
        truth = face.truth_px[list(keypoints)].astype(np.float64)
        lids = truth[:EYE_CONTOUR_SIZE]
        seen = np.ones(EYE_CONTOUR_SIZE, dtype=bool)
        if face.label.visibility is not None and len(face.label.visibility) == len(face.truth_px):
            seen = face.label.visibility[list(keypoints[:EYE_CONTOUR_SIZE])] == 2
        eye = Eye(face, side, face.truth_px[list(corners)].astype(np.float64), truth)
        if np.isfinite(lids).all() and seen.mean() >= LEAST_SEEN and eye.width_px >= LEAST_PX:
            eyes.append(eye)
    return eyes


def _opened(model: str | Path) -> tuple[Bundle, EyeModel]:
    path = find_model(model)
    bundle = read_bundle(path)
    entry: CardModel | None = next((x for x in card_of(bundle).models if x.role == "iris"), None)
    if entry is None:
        raise ViewfinderError("this is no iris model", file=path, found=card_of(bundle).task)
    return bundle, EyeModel(load_model(bundle.members[entry.file], f"{path} {entry.file}"), entry)


def _errors(
    network: EyeModel, eyes: Sequence[Eye], progress: Callable[[int], None]
) -> NDArray[np.float64]:
    """(E, 76) percent of each eye's width; NaN where a keypoint isn't labelled."""
    errors = np.full((len(eyes), _IRIS + IRIS_SIZE), np.nan)
    for _, group in itertools.groupby(enumerate(eyes), lambda pair: pair[1].face.picture):
        here = list(group)
        face = here[0][1].face
        image = face.ds.read_image(face.label.sample_id)
        size = (image.shape[1], image.shape[0])
        for i, eye in here:
            found = network.run(image, eye_roi(eye.corners_px), eye.side == "left")
            if found is not None:
                distances = keypoint_distances(found[:, :2] * size, eye.truth_px)
                errors[i] = 100.0 * distances / eye.width_px
        progress(here[-1][0] + 1)
    return errors


def _by(
    by: str, eyes: Sequence[Eye], errors: NDArray[np.float64], pictures: list[str]
) -> dict[str, Estimate]:
    if by == "part":
        return {k: _estimate(mean_known(errors[:, at]), pictures) for k, at in _PARTS.items()}
    if by == "side":
        groups: Sequence[str | None] = [eye.side for eye in eyes]
    else:
        groups = grouped(group_values([eye.face for eye in eyes], by))
    means, of = mean_known(errors), np.array(groups, dtype=object)
    names = sorted({name for name in groups if name is not None})
    return {x: _estimate(np.where(of == x, means, np.nan), pictures) for x in names}


def _estimate(values: NDArray[np.float64], pictures: list[str]) -> Estimate:
    return bootstrap_mean(values, pictures, np.random.default_rng(0))
