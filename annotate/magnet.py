"""Contours drawn to the edges of a picture.

Along the normal of every point of a contour the change of brightness is looked up; of all lines
through these places the one is taken that lies on the strongest edges, stays near and doesn't
jump (dynamic programming). The bridge of a nose is drawn to the middle of a streak of light; an
iris, whose four points are too few to tell its edge from the lids', stays a ring, of which what
lies between the lids is drawn to where dark turns bright. Pure NumPy and OpenCV.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from annotate.contours import contours_of, iris_centre, is_magnetic, normals
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
_RIDGE_HALVES_PX = (1.5, 3.0, 5.0)
_EDGE_OF_RIDGE = 0.5
"""Of the bridge of a nose: how wide half a streak of light may be, in steps of the search; what an
edge counts beside it, as the bridge of a head turned aside is one."""
_RING_PLACES, _RING_STEPS, _RING_SHARE = 48, 4, 0.2
"""Of an iris: places around it, steps on either side, and how much of it must show."""
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
        return np.abs(self.rising(points_px, normals_px))

    def rising(self, points_px: Array, normals_px: Array) -> Array:
        """(...) the same with a sign: -1 to 1, above 0 where it gets brighter along the normal."""
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
        change = (found * normals_px).sum(axis=-1)
        return np.asarray(change / (1.0 + np.abs(change)))


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
    edges: EdgeField, points_px: Array, closed: bool, reach_px: float, ridge: bool = False
) -> tuple[Array, Array]:
    """A line of points drawn to edges along its normals.

    Args:
        edges: of the picture.
        points_px: (C, 2) in order, C at least 3.
        closed: whether the last is beside the first.
        reach_px: how far a point may go.
        ridge: whether it lies along a streak of light, and on an edge only where there is none.

    Returns:
        (C, 2) the points, and (C,) how strong the edge is where each went, 0 to 1.
    """
    across = normals(points_px, closed)
    if closed:  # small in a small face: nothing may be drawn past the middle
        reach_px = min(reach_px, _OF_RADIUS * float(np.ptp(points_px, axis=0).max()) / 2)
    offsets = np.linspace(-reach_px, reach_px, 2 * _STEPS + 1)
    places = points_px[:, None] + offsets[:, None] * across[:, None]
    rising = edges.rising(places, across[:, None])
    strength = np.abs(rising)
    if ridge:
        strength = np.maximum(_EDGE_OF_RIDGE * strength, _ridges(edges, places, across))
    cost = _FAR_COST * (offsets / reach_px) ** 2 - strength
    chosen = _cheapest(cost, closed)
    best = offsets[chosen] + _between(cost, chosen) * (offsets[1] - offsets[0])
    return points_px + best[:, None] * across, strength[np.arange(len(chosen)), chosen]


def _ridges(edges: EdgeField, places: Array, across: Array) -> Array:
    """(C, K) how much places (C, K, 2) are the middle of a streak of light along a line with unit
    normals (C, 2): it gets brighter on one side and darker on the other, 0 to 1."""
    best = np.zeros(places.shape[:2])
    step = float(np.linalg.norm(places[0, 1] - places[0, 0]))
    for half in _RIDGE_HALVES_PX:
        aside = half * step * across[:, None]
        before = edges.rising(places - aside, across[:, None])
        after = edges.rising(places + aside, across[:, None])
        best = np.maximum(best, np.minimum(before, -after))
    return best


def snapped_ring(
    edges: EdgeField, ring_px: Array, lids_px: Array, reach_px: float, widen: bool
) -> Array:
    """An iris's ring drawn to where dark turns bright, as far as it lies between the lids.

    Args:
        edges: of the picture.
        ring_px: (4, 2) in order around it; it stays the ellipse that it is.
        lids_px: (L, 2) the eye's contour, in order.
        reach_px: how far the middle, or the edge, may go.
        widen: whether the ring becomes wider or narrower about its middle; else it is shifted.

    Returns:
        (4, 2); where it was, where too little of it shows.
    """
    middle = ring_px.mean(axis=0)
    turn = np.linspace(0, 2 * np.pi, _RING_PLACES, endpoint=False)[:, None]
    first, second = (ring_px[0] - ring_px[2]) / 2, (ring_px[1] - ring_px[3]) / 2
    spokes = np.cos(turn) * first + np.sin(turn) * second
    radius = float(np.linalg.norm(spokes, axis=1).mean())
    if radius <= 0:
        return ring_px
    outward = normals(spokes, True)
    outward *= np.sign((outward * spokes).sum(axis=1, keepdims=True))
    outline, reach_px = lids_px.astype(np.float32), min(reach_px, _OF_RADIUS * radius)
    chosen, width = np.zeros(3), 1.0
    # Coarsely over all of the reach, then finely about the best.
    for _ in range(3):
        around = middle + reach_px * chosen[:2] + spokes * (1 + chosen[2] * reach_px / radius)
        shown = np.array([cv2.pointPolygonTest(outline, at, False) > 0 for at in around.tolist()])
        if shown.mean() < _RING_SHARE:
            return ring_px
        steps = width * np.linspace(-1, 1, 2 * _RING_STEPS + 1)
        grid = np.zeros((len(steps), 3)) if widen else np.zeros((len(steps) ** 2, 3))
        if widen:
            grid[:, 2] = steps
        else:
            grid[:, :2] = np.stack(np.meshgrid(steps, steps), axis=-1).reshape(-1, 2)
        tried = chosen + grid
        places = middle + reach_px * tried[:, None, :2]
        places = places + spokes[shown] * (1 + tried[:, None, 2:] * reach_px / radius)
        strength = np.clip(edges.rising(places, outward[None, shown]), 0, None).mean(axis=1)
        cost = _FAR_COST * (tried**2).sum(axis=1) - strength
        chosen, width = tried[int(cost.argmin())], width / _RING_STEPS
    scale = 1 + chosen[2] * reach_px / radius
    return np.asarray(middle + reach_px * chosen[:2] + (ring_px - middle) * scale)


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
            if not np.isfinite(points[ring]).all() or not going[ring].any():
                continue
            centre = iris_centre(name)
            if centre is not None:
                self._draw_iris(drawn, points, name, centre, widen=not going[centre])
                continue
            closed, ridge = layout.contours[name].closed, "bridge" in name
            places, _ = snapped(self.edges, points[ring], closed, self.reach_px, ridge)
            drawn[ring] = np.where(going[ring][:, None], places, drawn[ring])
        return drawn[led]

    def _draw_iris(self, drawn: Array, points: Array, name: str, centre: int, widen: bool) -> None:
        """An iris goes as a whole: its middle where it was dragged about, else its edge alone."""
        contours = topology(self.document.topology_id).contours
        ring = list(contours[name].indices)
        lids = points[list(contours[name.replace("iris", "eye")].indices)]
        if np.isfinite(lids).all():
            before = points[ring]
            drawn[ring] = snapped_ring(self.edges, before, lids, self.reach_px, widen)
            drawn[centre] += drawn[ring].mean(axis=0) - before.mean(axis=0)
