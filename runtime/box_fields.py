"""Boxes out of the fields of a single-stage network: a heatmap of centres, and from every cell the
way to the nine keypoints.

As MobilePose (arXiv 2003.03522) and Objectron's single-stage model have it: a peak of the heatmap
is an object; the cells around it say where its keypoints are.
"""

from __future__ import annotations

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
