"""How far boxes in space are from the true ones: Objectron's measures, for many boxes at once.

Overlap, 2D error, azimuth and elevation, ADD and ADD-S over nine points, and average precision, as
"Objectron: A Large Scale Dataset of Object-Centric Videos in the Wild with Pose Annotations"
(arXiv 2012.09988) defines them. A symmetric object (cup, bottle) is judged by the best of its
rotations about its up axis, each measure by its own best one; what looks the same after half a turn
(a box of cereals), by the better of two.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bootstrap.box_overlap import Boxes, box_iou
from runtime.camera import Camera

Array = NDArray[np.float64]

SYMMETRIC = frozenset({"cup", "bottle"})
"""Categories that look alike from all sides; a cup counts though it has a handle, as there."""
YAWS = 100
"""Rotations about the up axis that are tried for a symmetric object."""
IOU_THRESHOLDS = (0.25, 0.5, 0.75)
_DIAGONAL_SHARE = 0.1


@dataclass(frozen=True)
class BoxErrors:
    """Errors of found boxes, all (B,).

    Attributes:
        iou: intersection over union in space, 0..1.
        pixel_px: mean distance of the nine keypoints in the picture; NaN where one isn't before
            the camera.
        azimuth_rad, elevation_rad: of the direction in which each box sees the camera.
        add_m: mean distance of the nine points.
        adds_m: mean distance of each found point from the nearest true one.
        diagonal_m: of the true box, which ADD is often divided by.
    """

    iou: Array
    pixel_px: Array
    azimuth_rad: Array
    elevation_rad: Array
    add_m: Array
    adds_m: Array
    diagonal_m: Array


def box_errors(
    found: Boxes,
    truth: Boxes,
    cameras: Sequence[Camera],
    symmetric: ArrayLike = False,
    half: ArrayLike = False,
) -> BoxErrors:
    """Every measure of boxes in camera axes.

    Args:
        found, truth: as many of each, paired.
        cameras: (B,) of the pictures.
        symmetric: (B,) or one bool; see `SYMMETRIC`.
        half: the same, of what half a turn about its up axis leaves as it was.
    """
    turning, halved = (
        np.broadcast_to(np.asarray(which, dtype=bool), len(truth)) for which in (symmetric, half)
    )
    pixels = np.stack([c.project(b) for c, b in zip(cameras, truth.points_m())])

    def pixel(boxes: Boxes, which: NDArray[np.intp]) -> Array:
        seen = np.stack([cameras[i].project(b) for i, b in zip(which, boxes.points_m())])
        return np.asarray(np.linalg.norm(seen - pixels[which], axis=-1).mean(axis=-1))

    def against(measure: Callable[[Boxes, Boxes], Array]) -> _Measure:
        return lambda boxes, which: measure(boxes, truth[which])

    def best(measure: _Measure, pick: Callable = np.fmin) -> Array:
        best = _best_of_yaws(found, halved & ~turning, measure, pick, 2)
        return np.where(turning, _best_of_yaws(found, turning, measure, pick), best)

    return BoxErrors(
        iou=best(against(box_iou), np.fmax),
        pixel_px=best(pixel),
        azimuth_rad=best(against(azimuth_error_rad)),
        elevation_rad=best(against(elevation_error_rad)),
        add_m=best(against(add_m)),
        adds_m=best(against(adds_m)),
        diagonal_m=np.linalg.norm(truth.sizes_m, axis=1),
    )


_Measure = Callable[[Boxes, NDArray[np.intp]], Array]


def symmetric_iou(found: Boxes, truth: Boxes, yaws: int = YAWS) -> Array:
    """The greatest overlap over rotations of the found boxes about their own up axis, (B,)."""
    turning = np.ones(len(found), dtype=bool)
    return _best_of_yaws(
        found, turning, lambda boxes, which: box_iou(boxes, truth[which]), np.fmax, yaws
    )


def _best_of_yaws(
    found: Boxes,
    turning: NDArray[np.bool_],
    measure: _Measure,
    pick: Callable,
    yaws: int = YAWS,
) -> Array:
    every = np.arange(len(found))
    best = np.array(measure(found, every)) if len(found) else np.zeros(0)
    which = every[turning]
    some = found[turning]
    for k in range(1, yaws if len(which) else 0):
        best[which] = pick(best[which], measure(some.turned(2 * math.pi * k / yaws), which))
    return best


def view_angles_rad(boxes: Boxes) -> tuple[Array, Array]:
    """Where each box sees the camera, boxes being in camera axes.

    Returns:
        Azimuth (B,), 0 in front (+z), a quarter turn on the +x side; elevation (B,), 0 level, a
        quarter turn straight above (+y).
    """
    x, y, z = np.einsum("bji,bj->ib", boxes.rotations, -boxes.centres_m)
    return np.arctan2(x, z), np.arctan2(y, np.hypot(x, z))


def azimuth_error_rad(found: Boxes, truth: Boxes) -> Array:
    """(B,) from 0 to pi."""
    turn = view_angles_rad(found)[0] - view_angles_rad(truth)[0]
    return np.asarray(np.abs((turn + math.pi) % (2 * math.pi) - math.pi))


def elevation_error_rad(found: Boxes, truth: Boxes) -> Array:
    """(B,) from 0 to pi."""
    return np.asarray(np.abs(view_angles_rad(found)[1] - view_angles_rad(truth)[1]))


def add_m(found: Boxes, truth: Boxes) -> Array:
    """(B,) mean distance of the nine points, each from its own."""
    return np.asarray(np.linalg.norm(found.points_m() - truth.points_m(), axis=-1).mean(axis=-1))


def adds_m(found: Boxes, truth: Boxes) -> Array:
    """(B,) mean distance of the found points, each from the nearest true one."""
    gaps = found.points_m()[:, :, None] - truth.points_m()[:, None]
    return np.asarray(np.linalg.norm(gaps, axis=-1).min(axis=-1).mean(axis=-1))


def scaled_to_truth(found: Boxes, truth: Boxes) -> Boxes:
    """Boxes in camera axes scaled about the camera, so that each centre is as far as the true one.

    One picture leaves the scale open; this judges everything else.
    """
    away = np.linalg.norm(found.centres_m, axis=1)
    factor = np.linalg.norm(truth.centres_m, axis=1) / np.where(away > 0, away, np.nan)
    factor = np.where(np.isfinite(factor), factor, 1.0)[:, None]
    return Boxes(found.rotations, found.centres_m * factor, found.sizes_m * factor)


def average_precision(scores: ArrayLike, hits: ArrayLike, positives: int) -> float:
    """Area under the curve of precision over recall, precision being made never to rise again.

    Args:
        scores: (D,) of all detections; equal scores are taken together.
        hits: (D,) bool, whether each matches a true object that none above it matches.
        positives: true objects in all.

    Returns:
        0 to 1; NaN where there are no true objects.
    """
    if positives < 1:
        return math.nan
    order = np.argsort(-np.asarray(scores, dtype=np.float64), kind="stable")
    ranked = np.asarray(scores, dtype=np.float64)[order]
    right = np.cumsum(np.asarray(hits, dtype=bool)[order])
    last = np.append(ranked[1:] != ranked[:-1], True)[: len(ranked)]
    precision = (right / np.arange(1, len(right) + 1))[last]
    recall = right[last] / positives
    precision = np.maximum.accumulate(precision[::-1])[::-1]
    return float((np.diff(recall, prepend=0.0) * precision).sum())


def precision_at_iou(
    scores: ArrayLike, iou: ArrayLike, positives: int, thresholds: Sequence[float] = IOU_THRESHOLDS
) -> dict[float, float]:
    """Average precision at each threshold of overlap.

    Args:
        scores: (D,) of all detections.
        iou: (D,) overlap with the true object each was matched to; 0 or NaN for none.
        positives: true objects in all.
        thresholds: a detection counts from this overlap on.
    """
    overlap = np.nan_to_num(np.asarray(iou, dtype=np.float64))
    return {t: average_precision(scores, overlap >= t, positives) for t in thresholds}


def share_within(add: ArrayLike, diagonal_m: ArrayLike, share: float = _DIAGONAL_SHARE) -> float:
    """The part of the boxes whose ADD is within that share of the true diagonal; misses (NaN)
    count as outside."""
    errors, limits = np.asarray(add, np.float64), share * np.asarray(diagonal_m, np.float64)
    return float((errors <= limits).mean()) if len(errors) else math.nan
