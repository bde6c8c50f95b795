"""Contact sheets: many samples in one picture, their labels drawn on."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from bootstrap.dataset.dataset import Dataset
from bootstrap.dataset.records import Label
from runtime.errors import ViewfinderError
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
_PAPER: Colour = (24, 26, 30)
_INK: Colour = (232, 234, 237)
_FAINT: Colour = (154, 160, 166)
_FONT = cv2.FONT_HERSHEY_SIMPLEX
_CAPTION = 24
_GAP = 8
_LEGEND = 40
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

    def tile_points(self, points_px: NDArray[np.float32]) -> NDArray[np.int32]:
        """(N, 2) picture pixels as OpenCV's fixed-point tile coordinates."""
        points = (np.asarray(points_px, np.float64) - (self.left, self.top)) * self.scale - 0.5
        points = np.nan_to_num(points, nan=-1e4, posinf=-1e4, neginf=-1e4)
        return np.round(np.clip(points, -1e4, 1e4) * 2**_SHIFT).astype(np.int32)


def contact_sheet(
    ds: Dataset,
    layer: str | None,
    sample_ids: Sequence[str],
    columns: int = 6,
    tile: int = 256,
    zoom: bool = False,
) -> NDArray[np.uint8]:
    """Samples side by side, each with the labels of one layer.

    Args:
        ds: the data set.
        layer: whose labels to draw; None for the pictures alone.
        sample_ids: what to show, in this order.
        columns: tiles in a row.
        tile: side of a tile in pixels.
        zoom: show each picture's first subject instead of the whole picture.

    Returns:
        (H, W, 3) uint8 RGB.

    Raises:
        ViewfinderError: no such sample or layer, or a damaged one; nothing to show.
    """
    if not sample_ids:
        raise ViewfinderError("there is nothing to show", file=ds.root)
    shards = {ds.row(sample_id)["shard"] for sample_id in sample_ids}
    labels: dict[str, list[Label]] = {}
    for label in ds.labels(layer, shards) if layer else ():
        labels.setdefault(label.sample_id, []).append(label)
    columns = min(columns, len(sample_ids))
    rows = math.ceil(len(sample_ids) / columns)
    width = max(columns * (tile + _GAP) + _GAP, 520)
    height = _LEGEND + rows * (tile + _CAPTION + _GAP) + _GAP
    sheet = np.full((height, width, 3), _PAPER, dtype=np.uint8)
    _draw_legend(sheet, f"{ds.info.name}  {layer or ''}")
    for i, sample_id in enumerate(sample_ids):
        x = _GAP + i % columns * (tile + _GAP)
        y = _LEGEND + i // columns * (tile + _CAPTION + _GAP)
        subjects = labels.get(sample_id, [])
        sheet[y : y + tile, x : x + tile] = draw_sample(
            ds.read_image(sample_id), subjects, tile, zoom
        )
        caption = " ".join([sample_id, *_words(subjects)])
        _text(sheet, _shortened(caption, tile), (x + 2, y + tile + 16), 0.4, _FAINT)
    return sheet


def spread_evenly(sample_ids: Sequence[str], count: int) -> list[str]:
    """At most `count` samples, from the first to the last in even steps."""
    if len(sample_ids) <= count:
        return list(sample_ids)
    steps = np.linspace(0, len(sample_ids) - 1, count).round().astype(int)
    return [sample_ids[i] for i in steps]


def draw_sample(
    image: NDArray[np.uint8], labels: Sequence[Label], side: int, zoom: bool = False
) -> NDArray[np.uint8]:
    """One picture fitted into a square, its labels drawn at the tile's resolution.

    Args:
        image: (H, W, 3) uint8 RGB.
        labels: its subjects.
        side: of the square in pixels.
        zoom: show the first subject instead of the whole picture.

    Returns:
        (side, side, 3) uint8 RGB.
    """
    view = _view(image, labels[0] if zoom and labels else None, side)
    # INTER_AREA only shrinks whole pictures well; a warp at an integer pyramid level serves zooms.
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
    canvas = cv2.warpAffine(small, matrix, (side, side), flags=cv2.INTER_LINEAR, borderValue=_PAPER)
    for label in labels:
        draw_label(canvas, label, view)
    return np.asarray(canvas, dtype=np.uint8)


def draw_label(canvas: NDArray[np.uint8], label: Label, view: View) -> None:
    """Draw a subject onto a tile: box, contours, skeleton, then keypoints by visibility."""
    if label.box_px is not None:
        x, y, width, height = label.box_px
        corners = np.array([[x, y], [x + width, y + height]], np.float32)
        (x0, y0), (x1, y1) = view.tile_points(corners).tolist()
        cv2.rectangle(canvas, (x0, y0), (x1, y1), BOX, 1, cv2.LINE_AA, _SHIFT)
    shape = topology(label.topology) if label.topology else None
    for number, (name, line) in enumerate(sorted(label.contours.items())):
        closed = shape is not None and name in shape.contours and shape.contours[name].closed
        _line(canvas, view.tile_points(line), LINES[number % len(LINES)], closed)
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
                _line(canvas, points[[a, b]], _edge_colour(shape, a, b), False, thickness)
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


def _line(
    canvas: NDArray[np.uint8],
    points: NDArray[np.int32],
    colour: Colour,
    closed: bool,
    thickness: int = 1,
) -> None:
    if len(points) > 1:
        cv2.polylines(
            canvas, [points.reshape(-1, 1, 2)], closed, colour, thickness, cv2.LINE_AA, _SHIFT
        )


def _view(image: NDArray[np.uint8], label: Label | None, side: int) -> View:
    height, width = image.shape[:2]
    x, y, w, h = 0.0, 0.0, float(width), float(height)
    bounds = None if label is None else _bounds(label)
    if bounds is not None:
        x, y, w, h = bounds
        grown = 1.35 * max(w, h, 8.0)
        x, y, w, h = x + w / 2 - grown / 2, y + h / 2 - grown / 2, grown, grown
    longest = max(w, h)
    return View(x - (longest - w) / 2, y - (longest - h) / 2, side / longest)


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


def _words(labels: Sequence[Label]) -> list[str]:
    if not labels:
        return []
    first = labels[0]
    words = [word for word in (first.handedness, first.gesture) if word]
    if first.score is not None:
        words.append(f"{first.score:.2f}")
    return [*words, f"+{len(labels) - 1}"] if len(labels) > 1 else words


def _draw_legend(sheet: NDArray[np.uint8], title: str) -> None:
    _text(sheet, _shortened(title, sheet.shape[1] - 270, 0.5), (_GAP + 2, 25), 0.5, _INK)
    x = sheet.shape[1] - 250
    for word, colour in (("visible", VISIBLE), ("hidden", OCCLUDED), ("box", BOX)):
        cv2.circle(sheet, (x, 20), 5, colour, -1, cv2.LINE_AA)
        _text(sheet, word, (x + 11, 25), 0.45, _INK)
        x += 40 + 9 * len(word)


def _text(
    sheet: NDArray[np.uint8], text: str, at: tuple[int, int], size: float, colour: Colour
) -> None:
    # OpenCV's stroke font has ASCII only.
    plain = text.encode("ascii", "replace").decode()
    cv2.putText(sheet, plain, at, _FONT, size, colour, 1, cv2.LINE_AA)


def _shortened(text: str, width: int, size: float = 0.4) -> str:
    kept = text
    while len(kept) > 2 and cv2.getTextSize(kept, _FONT, size, 1)[0][0] > width:
        text = text[:-1]
        kept = text + ".."
    return kept
