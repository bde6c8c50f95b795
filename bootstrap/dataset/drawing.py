"""Labels drawn onto square tiles of pictures."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from bootstrap.dataset.records import Label
from runtime.topology import Topology, topology

Colour = tuple[int, int, int]

# RGB. Okabe and Ito's palette (jfly.uni-koeln.de/color), which colour-blind people tell apart.
VISIBLE: Colour = (0, 230, 150)
OCCLUDED: Colour = (230, 100, 0)
NOT_LABELLED: Colour = (150, 150, 150)
BOX: Colour = (240, 228, 66)
LINES: tuple[Colour, ...] = (
    (86, 180, 233),
    (240, 228, 66),
    (204, 121, 167),
    (230, 159, 0),
    (255, 255, 255),
    (160, 160, 255),
)
BONES: Colour = (235, 235, 235)
PAPER: Colour = (24, 26, 30)

# OpenCV draws at 1/16 pixel when told; its coordinates count from pixel centres.
_SHIFT = 4
_READABLE_MESH = 110
_SPARSE_POINTS = 40
"""Up to that many keypoints a skeleton is drawn; a mesh would hide the picture."""


@dataclass(frozen=True)
class View:
    """The part of a picture that a tile shows: left, top, and tile pixels for each of its."""

    left: float
    top: float
    scale: float

    def tile_points(self, points_px: ArrayLike) -> NDArray[np.int32]:
        """(N, 2) picture pixels as OpenCV's fixed-point tile coordinates."""
        points = (np.asarray(points_px, np.float64) - (self.left, self.top)) * self.scale - 0.5
        points = np.nan_to_num(points, nan=-1e4, posinf=-1e4, neginf=-1e4)
        return np.round(np.clip(points, -1e4, 1e4) * 2**_SHIFT).astype(np.int32)


def view_of_picture(image: NDArray[np.uint8], side: int) -> View:
    """The whole picture, centred in a square tile."""
    height, width = image.shape[:2]
    longest = max(width, height)
    return View(-(longest - width) / 2, -(longest - height) / 2, side / longest)


def view_of_subject(label: Label, side: int) -> View | None:
    """A subject close up; None when it has neither keypoints nor a box."""
    bounds = _bounds(label)
    if bounds is None:
        return None
    x, y, width, height = bounds
    span = 1.35 * max(width, height, 8.0)
    return View(x + width / 2 - span / 2, y + height / 2 - span / 2, side / span)


def draw_tile(image: NDArray[np.uint8], view: View, side: int) -> NDArray[np.uint8]:
    """That part of a (H, W, 3) RGB picture as a (side, side, 3) tile."""
    # A warp alone would alias when it shrinks: whole steps are taken by area first.
    shrink = max(1, math.floor(1 / view.scale))
    size = (max(1, image.shape[1] // shrink), max(1, image.shape[0] // shrink))
    small = cv2.resize(image, size, interpolation=cv2.INTER_AREA) if shrink > 1 else image
    sx, sy = view.scale * image.shape[1] / size[0], view.scale * image.shape[0] / size[1]
    # Continuous coordinates to OpenCV's, which count from pixel centres.
    matrix = np.array(
        [
            [sx, 0, sx / 2 - view.left * view.scale - 0.5],
            [0, sy, sy / 2 - view.top * view.scale - 0.5],
        ]
    )
    tile = cv2.warpAffine(small, matrix, (side, side), flags=cv2.INTER_LINEAR, borderValue=PAPER)
    return np.asarray(tile, dtype=np.uint8)


def draw_label(canvas: NDArray[np.uint8], label: Label, view: View) -> None:
    """Draw a subject onto a tile: box, contours, skeleton, then keypoints by visibility."""
    if label.box_px is not None:
        x, y, width, height = label.box_px
        corners = np.array([[x, y], [x + width, y + height]], np.float32)
        (x0, y0), (x1, y1) = view.tile_points(corners).tolist()
        cv2.rectangle(canvas, (x0, y0), (x1, y1), BOX, 1, cv2.LINE_AA, _SHIFT)
    shape = topology(label.topology) if label.topology else None
    for number, (name, line) in enumerate(sorted(label.contours.items())):
        # What the topology doesn't name is an outline.
        known = shape.contours.get(name) if shape is not None else None
        closed = known is None or known.closed
        draw_line(canvas, view.tile_points(line), LINES[number % len(LINES)], closed)
    if label.detector_keypoints_px is not None:
        for x, y in view.tile_points(label.detector_keypoints_px).tolist():
            cv2.circle(canvas, (x, y), 4 << _SHIFT, BOX, 1, cv2.LINE_AA, _SHIFT)
    if shape is not None and label.keypoints_px is not None:
        _draw_keypoints(canvas, label, shape, view)


def _draw_keypoints(canvas: NDArray[np.uint8], label: Label, shape: Topology, view: View) -> None:
    assert label.keypoints_px is not None
    points = view.tile_points(label.keypoints_px)
    visibility = label.visibility
    seen = np.full(shape.size, 2) if visibility is None else visibility
    finite = np.isfinite(label.keypoints_px).all(axis=1)
    # Marks shrink with the subject, or a small one would vanish under them.
    extent = float(np.ptp(points[finite], axis=0).max(initial=0)) / 2**_SHIFT
    dense = shape.size > _SPARSE_POINTS
    radius = float(np.clip(extent / (200 if dense else 45), 0.6, 1.2 if dense else 3.5))
    if dense and label.contours and extent < _READABLE_MESH:
        return
    if not dense:
        for a, b in shape.edges:
            if finite[a] and finite[b]:
                thickness = 2 if radius > 2 else 1
                draw_line(canvas, points[[a, b]], _edge_colour(shape, a, b), False, thickness)
    colours = (NOT_LABELLED, OCCLUDED, VISIBLE)
    # Visible points last, so that hidden ones never cover them.
    for i in sorted(range(shape.size), key=lambda i: int(seen[i])):
        if not finite[i]:
            continue
        centre = (int(points[i, 0]), int(points[i, 1]))
        r = round(radius * 2**_SHIFT)
        if radius > 2:
            cv2.circle(canvas, centre, r + (1 << _SHIFT), (0, 0, 0), -1, cv2.LINE_AA, _SHIFT)
        cv2.circle(canvas, centre, r, colours[seen[i]], -1, cv2.LINE_AA, _SHIFT)


def _edge_colour(shape: Topology, a: int, b: int) -> Colour:
    for number, indices in enumerate(shape.parts.values()):
        if a in indices and b in indices:
            return LINES[number % len(LINES)]
    return BONES


def draw_line(
    canvas: NDArray[np.uint8],
    points: NDArray[np.int32],
    colour: Colour,
    closed: bool,
    thickness: int = 1,
) -> None:
    """A polyline through `View.tile_points`."""
    if len(points) > 1:
        cv2.polylines(
            canvas, [points.reshape(-1, 1, 2)], closed, colour, thickness, cv2.LINE_AA, _SHIFT
        )


def _bounds(label: Label) -> tuple[float, float, float, float] | None:
    points = label.keypoints_px
    if points is not None and np.isfinite(points).all(axis=1).any():
        points = points[np.isfinite(points).all(axis=1)]
        (x0, y0), (x1, y1) = points.min(axis=0).tolist(), points.max(axis=0).tolist()
        return x0, y0, x1 - x0, y1 - y0
    if label.box_px is None:
        return None
    x, y, width, height = label.box_px.tolist()
    return x, y, width, height
