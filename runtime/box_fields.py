"""Boxes out of the fields of a single-stage network: a heatmap of centres, and from every cell the
way to the nine keypoints.

As MobilePose (arXiv 2003.03522) and Objectron's single-stage model have it: a peak of the heatmap
is an object; the cells around it say where its keypoints are. What lies far away is seen badly from
there, so the cells where a keypoint is said to be are asked for it again (as PersonLab refines its
offsets, arXiv 1803.08225).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from runtime.detection import box_iou

Floats = NDArray[np.float32]

KEYPOINTS = 9
MAX_IOU = 0.5
"""Of the rectangles around two boxes' keypoints: above it the worse one goes."""
VOTERS = 1
"""Cells to each side of a peak that have a say, weighted by their heat."""
MOST_MOVED = 0.2
"""Of a keypoint that is asked for again, over the root of the area of the rectangle around them
all: what goes further was answered for another object."""


@dataclass(frozen=True)
class FoundBox:
    """A peak: its probability, and (9, 2) keypoints in input pixels."""

    score: float
    keypoints: Floats


def found_boxes(logits: Floats, offsets: Floats, stride: float, min_score: float) -> list[FoundBox]:
    """Boxes, the best first.

    Args:
        logits: (h, w) of the heatmap.
        offsets: (h, w, 18) x and y of each keypoint from the cell's middle, in input pixels.
        stride: input pixels to a cell.
        min_score: peaks below it are no objects.
    """
    heat = 1 / (1 + np.exp(-np.clip(logits.astype(np.float32), -30, 30)))
    height, width = heat.shape
    padded = np.pad(heat, 1, constant_values=-1.0)
    around = np.stack([padded[r : r + height, c : c + width] for r in range(3) for c in range(3)])
    peaks = np.argwhere((heat >= around.max(axis=0)) & (heat >= min_score))
    order = np.argsort(-heat[tuple(peaks.T)], kind="stable")
    found: list[FoundBox] = []
    rectangles: list[tuple[float, float, float, float]] = []
    for row, column in peaks[order]:
        points = _voted(heat, offsets, int(row), int(column), stride)
        points = _asked_again(points, offsets, stride)
        if not np.isfinite(points).all():  # a damaged model may say anything
            continue
        low, size = points.min(axis=0), np.ptp(points, axis=0)
        here = (float(low[0]), float(low[1]), float(size[0]), float(size[1]))
        if all(box_iou(here, other) <= MAX_IOU for other in rectangles):
            found.append(FoundBox(float(heat[row, column]), points))
            rectangles.append(here)
    return found


def _voted(heat: Floats, offsets: Floats, row: int, column: int, stride: float) -> Floats:
    rows = slice(max(row - VOTERS, 0), row + VOTERS + 1)
    columns = slice(max(column - VOTERS, 0), column + VOTERS + 1)
    weight = heat[rows, columns] ** 2
    y, x = np.mgrid[rows, columns][:, : weight.shape[0], : weight.shape[1]]
    middles = (np.stack([x, y], axis=-1) + 0.5) * stride
    points = offsets[rows, columns].reshape(*weight.shape, KEYPOINTS, 2) + middles[:, :, None]
    total = weight.sum()
    if not total > 0:
        return np.full((KEYPOINTS, 2), np.nan, dtype=np.float32)
    return np.asarray(np.einsum("rc,rckd->kd", weight / total, points), dtype=np.float32)


def _asked_again(points: Floats, offsets: Floats, stride: float) -> Floats:
    """Keypoints as the four cells around each have them; outside the field they stay."""
    height, width = offsets.shape[:2]
    if not np.isfinite(points).all():
        return points
    votes = offsets.reshape(height, width, KEYPOINTS, 2)
    which = np.arange(KEYPOINTS)
    at = points / stride - 0.5
    low = np.clip(np.floor(at), -2, max(width, height)).astype(np.int64)
    share = at - low
    moved = np.zeros_like(points)
    for right in (0, 1):
        for down in (0, 1):
            x = np.clip(low[:, 0] + right, 0, width - 1)
            y = np.clip(low[:, 1] + down, 0, height - 1)
            part = np.abs(1 - right - share[:, 0]) * np.abs(1 - down - share[:, 1])
            middle = (np.stack([x, y], axis=-1) + 0.5) * stride
            moved += part[:, None] * (votes[y, x, which] + middle)
    reach = MOST_MOVED * math.sqrt(max(float(np.ptp(points, axis=0).prod()), 1.0))
    kept = ((at > -1) & (at < (width, height))).all(axis=1)
    kept &= np.linalg.norm(moved - points, axis=1) <= reach  # false where it is no number
    return np.where(kept[:, None], moved, points).astype(np.float32)
