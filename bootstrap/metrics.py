"""Errors of keypoints, and how sure their means are."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from runtime.camera import Camera
from runtime.topology import Topology

Array = NDArray[np.float64]

RESAMPLES = 2000
SIX_POINTS = (33, 133, 362, 263, 61, 291)
"""Eye and mouth corners of face478, which every face data set has."""
OUTER_EYE_CORNERS = (33, 263)


@dataclass(frozen=True)
class Estimate:
    """A mean, its 95 % interval (low, high) and the number of subjects it is over.

    Mean and interval are NaN where there is nothing to average.
    """

    mean: float
    interval: tuple[float, float]
    n: int

    def to_json(self) -> dict[str, object]:
        """`{"mean", "interval", "n"}`; null for what is unknown."""

        def known(value: float) -> float | None:
            return value if math.isfinite(value) else None

        return {
            "mean": known(self.mean),
            "interval": [known(self.interval[0]), known(self.interval[1])],
            "n": self.n,
        }


def keypoint_distances(
    predicted_px: ArrayLike, truth_px: ArrayLike, labelled: ArrayLike | None = None
) -> Array:
    """Distances of predicted keypoints from the true ones.

    Args:
        predicted_px: (..., N, 2) pixels.
        truth_px: the same shape.
        labelled: (..., N) bool; others come back as NaN, as do those without a position.

    Returns:
        (..., N) pixels.
    """
    difference = np.asarray(predicted_px, np.float64) - np.asarray(truth_px, np.float64)
    distances = np.linalg.norm(difference, axis=-1)
    if labelled is not None:
        distances = np.where(np.asarray(labelled, dtype=bool), distances, np.nan)
    return np.asarray(distances)


def normalising_length_px(
    shape: Topology,
    keypoints_px: ArrayLike,
    keypoints_camera_m: ArrayLike | None = None,
    camera: Camera | None = None,
) -> float:
    """The length in pixels that a subject's errors are divided by.

    With metric keypoints and a camera it is the length in space as it would look face on at the
    subject's distance, so that a face in profile and a hand pointing at the camera count alike;
    otherwise the length in the picture.

    Args:
        shape: names the two keypoints.
        keypoints_px: (N, 2).
        keypoints_camera_m: (N, 3) metres in camera axes.
        camera: of the picture.
    """
    if keypoints_camera_m is None or camera is None:
        return float(shape.normalising_length(keypoints_px))
    points = np.asarray(keypoints_camera_m, dtype=np.float64)
    depth_m = points[list(shape.normaliser), 2].mean()
    if not depth_m > 0:
        return math.nan
    focal_px = math.sqrt(camera.fx * camera.fy)
    return float(shape.normalising_length(points)) * focal_px / float(depth_m)


def mean_known(values: ArrayLike, axis: int = -1) -> Array:
    """Mean over what isn't NaN; NaN where nothing is."""
    array = np.asarray(values, dtype=np.float64)
    known = np.isfinite(array)
    total = np.where(known, array, 0.0).sum(axis=axis)
    count = known.sum(axis=axis)
    return np.asarray(np.where(count > 0, total / np.maximum(count, 1), np.nan))


def bootstrap_mean(
    values: ArrayLike,
    clusters: Sequence[str],
    rng: np.random.Generator,
    resamples: int = RESAMPLES,
) -> Estimate:
    """Mean of subjects' values with a 95 % percentile bootstrap interval.

    Whole clusters are drawn: subjects of one picture share its light and sharpness, and drawing
    them one by one would make the interval too narrow.

    Args:
        values: (S,), a value a subject; NaN is left out.
        clusters: (S,), the picture of each.
        rng: draws the resamples.
        resamples: how many.
    """
    array = np.asarray(values, dtype=np.float64)
    known = np.isfinite(array)
    if not known.any():
        return Estimate(math.nan, (math.nan, math.nan), 0)
    kept = array[known]
    names, cluster = np.unique(np.asarray(clusters)[known], return_inverse=True)
    total = np.bincount(cluster, kept, len(names))
    count = np.bincount(cluster, minlength=len(names))
    # How often each cluster is drawn is all a resample's mean needs.
    drawn = rng.multinomial(len(names), np.full(len(names), 1 / len(names)), size=resamples)
    means = (drawn @ total) / (drawn @ count)
    low, high = np.percentile(means, [2.5, 97.5])
    return Estimate(float(kept.mean()), (float(low), float(high)), len(kept))


def part_errors(errors: ArrayLike, parts: Mapping[str, Sequence[int]]) -> dict[str, Array]:
    """Each part's mean error for each subject.

    Args:
        errors: (S, N).
        parts: name -> keypoint indices.

    Returns:
        name -> (S,); NaN for a subject with none of the part's keypoints.
    """
    array = np.asarray(errors, dtype=np.float64)
    return {
        name: mean_known(array[:, [i for i in indices if i < array.shape[1]]])
        for name, indices in parts.items()
    }


def six_point_errors(predicted_px: ArrayLike, truth_px: ArrayLike) -> Array:
    """The face error of the 300-W tables: six corners by the outer interocular distance.

    Args:
        predicted_px, truth_px: (S, 468 or more, 2).

    Returns:
        (S,) as parts of 1.
    """
    truth = np.asarray(truth_px, dtype=np.float64)
    distances = keypoint_distances(predicted_px, truth)[:, list(SIX_POINTS)]
    right, left = OUTER_EYE_CORNERS
    return np.asarray(
        distances.mean(axis=1) / np.linalg.norm(truth[:, right] - truth[:, left], axis=-1)
    )


def grouped(values: Sequence[object], most: int = 5) -> list[str | None]:
    """The group each value falls into: words as they are, many numbers into quarters.

    Args:
        values: a value a subject, None where it is unknown.
        most: that many different numbers still count as words.

    Returns:
        A name a value; None for None. Names of ranges sort by the number they begin with.
    """
    known = [value for value in values if value is not None]
    numbers = [v for v in known if isinstance(v, int | float) and not isinstance(v, bool)]
    if len(numbers) < len(known) or len(set(numbers)) <= most:
        return [None if value is None else _word(value) for value in values]
    edges = np.unique(np.percentile(np.array(numbers, dtype=np.float64), [0, 25, 50, 75, 100]))
    names = [f"{low:.3g} to {high:.3g}" for low, high in itertools.pairwise(edges)]
    result: list[str | None] = []
    for value in values:
        if value is None:
            result.append(None)
        else:
            place = int(np.searchsorted(edges, float(str(value)), side="right")) - 1
            result.append(names[min(place, len(names) - 1)])
    return result


def _word(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
