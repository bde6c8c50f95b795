"""Contours drawn to the edges of a picture.

Along the normal of every point of a contour the change of brightness is looked up; of all lines
through these places the one is taken that lies on the strongest edges, stays near and doesn't
jump (dynamic programming). Pure NumPy and OpenCV.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from annotate.contours import contours_of, is_magnetic, normals
from annotate.editing import Document
from runtime.topology import topology

Array = NDArray[np.float64]

# Places looked at on either side; what a place costs at the reach's end, in units of a strong
# edge; what a jump by the whole reach from one point to the next costs.
_STEPS = 8
_FAR_COST, _JUMP_COST = 0.2, 4.0
_OF_RADIUS = 0.6
# An edge is strong when stronger than this share of the region's pixels.
_STRONG_SHARE = 97.0
_SMOOTHED = 0.012
"""Pictures are smoothed by this share of the interocular distance, at least half a pixel."""


@dataclass(frozen=True)
class EdgeField:
    """How brightness changes in a region of a picture.

    Attributes:
        gradient: (H, W, 2) float32 along x and y, a strong edge about 1 long.
        corner_px: (2,) where the region's top-left corner lies.
    """

    gradient: NDArray[np.float32]
    corner_px: Array

    def across(self, points_px: Array, normals_px: Array) -> Array:
        """(...) how strongly brightness changes along unit normals at points (..., 2): 0 to 1, one
        half at a strong edge."""
        # cv2 counts from pixel centres.
        at = (points_px - self.corner_px - 0.5).astype(np.float32)
        shape = at.shape[:-1]
        maps = at.reshape(shape[0], -1, 2)
        found = cv2.remap(
            self.gradient,
            maps[..., 0],
            maps[..., 1],
            cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_CONSTANT,
        ).reshape(*shape, 2)
        strength = np.abs((found * normals_px).sum(axis=-1))
        return np.asarray(strength / (1.0 + strength))


def edge_field(
    picture: NDArray[np.uint8], box_px: tuple[float, float, float, float], length_px: float
) -> EdgeField:
    """The edges around a subject.

    Args:
        picture: (H, W, 3) uint8 RGB.
        box_px: x, y, width, height of the subject; a margin is added.
        length_px: its normalising length, for how far to smooth.
    """
    height, width = picture.shape[:2]
    x, y, w, h = box_px
    margin = 0.15 * max(w, h) + 4
    left, top = int(max(x - margin, 0)), int(max(y - margin, 0))
    right, bottom = int(min(x + w + margin, width)), int(min(y + h + margin, height))
    if right - left < 2 or bottom - top < 2:
        return EdgeField(np.zeros((1, 1, 2), np.float32), np.zeros(2))
    region = picture[top:bottom, left:right].astype(np.float32)
    sigma = max(_SMOOTHED * length_px, 0.5)
    smooth = cv2.GaussianBlur(region, (0, 0), sigma)
    along_x, along_y = (cv2.Scharr(smooth, cv2.CV_32F, dx, 1 - dx) for dx in (1, 0))
    # Of the three colours the one that changes most: lips differ from skin in hue.
    most = (along_x**2 + along_y**2).argmax(axis=2)[..., None]
    gradient = np.concatenate(
        [np.take_along_axis(g, most, axis=2) for g in (along_x, along_y)], axis=2
    )
    strong = float(np.percentile(np.linalg.norm(gradient, axis=2), _STRONG_SHARE))
    return EdgeField(gradient / max(strong, 1e-3), np.array([left, top], float))


def snapped(
    edges: EdgeField, points_px: Array, closed: bool, reach_px: float
) -> tuple[Array, Array]:
    """A line of points drawn to edges along its normals.

    Args:
        edges: of the picture.
        points_px: (C, 2) in order, C at least 3.
        closed: whether the last is beside the first.
        reach_px: how far a point may go.

    Returns:
        (C, 2) the points, and (C,) how strong the edge is where each went, 0 to 1.
    """
    across = normals(points_px, closed)
    if closed:  # small in a small face: nothing may be drawn past the middle
        reach_px = min(reach_px, _OF_RADIUS * float(np.ptp(points_px, axis=0).max()) / 2)
    offsets = np.linspace(-reach_px, reach_px, 2 * _STEPS + 1)
    places = points_px[:, None] + offsets[:, None] * across[:, None]
    strength = edges.across(places, across[:, None])
    cost = _FAR_COST * (offsets / reach_px) ** 2 - strength
    chosen = _cheapest(cost, closed)
    best = offsets[chosen] + _between(cost, chosen) * (offsets[1] - offsets[0])
    return points_px + best[:, None] * across, strength[np.arange(len(chosen)), chosen]


def _cheapest(cost: Array, closed: bool) -> NDArray[np.int64]:
    """(C,) the columns of the cheapest path through (C, K) costs; of a ring, the middle of three
    rounds, so that it ends as it begins."""
    count, columns = cost.shape
    rounds = np.concatenate([cost] * 3) if closed else cost
    steps = np.arange(columns)
    jump = _JUMP_COST * (np.subtract.outer(steps, steps) / (columns - 1)) ** 2
    total, back = rounds[0], np.zeros(rounds.shape, np.int64)
    for row in range(1, len(rounds)):
        through = total[:, None] + jump
        back[row] = through.argmin(axis=0)
        total = through.min(axis=0) + rounds[row]
    path = np.empty(len(rounds), np.int64)
    path[-1] = total.argmin()
    for row in range(len(rounds) - 1, 0, -1):
        path[row - 1] = back[row, path[row]]
    return path[count : 2 * count] if closed else path


def _between(cost: Array, chosen: NDArray[np.int64]) -> Array:
    """(C,) where between the columns the cost is least, by a parabola: -0.5 to 0.5."""
    rows, inner = np.arange(len(chosen)), np.clip(chosen, 1, cost.shape[1] - 2)
    left, here, right = (cost[rows, inner + step] for step in (-1, 0, 1))
    bend = left - 2 * here + right
    with np.errstate(invalid="ignore", divide="ignore"):
        shift = np.where(bend > 1e-9, 0.5 * (left - right) / bend, 0.0)
    return np.where(inner == chosen, np.clip(shift, -0.5, 0.5), 0.0)


@dataclass(frozen=True)
class ContourMagnet:
    """Draws the contours that a drag leads to edges; what follows a drag's `Magnet`."""

    document: Document
    edges: EdgeField
    reach_px: float

    def __call__(self, led: NDArray[np.int64], wanted_px: Array) -> Array:
        """(C, 2) where edges draw the led keypoints, of their (C, 2) wanted places."""
        layout = topology(self.document.topology_id)
        points = self.document.keypoints_px.copy()
        points[led] = wanted_px
        drawn = points.copy()
        going = np.zeros(len(points), bool)
        shift = np.linalg.norm(wanted_px - self.document.keypoints_px[led], axis=1)
        # What the drag leaves where it was is not drawn away either.
        going[led] = shift > 0.05 * max(float(shift.max(initial=0.0)), 1e-9)
        for name in dict.fromkeys(n for n in contours_of(layout, int(led[0])) if is_magnetic(n)):
            ring = list(layout.contours[name].indices)
            if np.isfinite(points[ring]).all():
                closed = layout.contours[name].closed
                places, _ = snapped(self.edges, points[ring], closed, self.reach_px)
                drawn[ring] = np.where(going[ring][:, None], places, drawn[ring])
        return drawn[led]
