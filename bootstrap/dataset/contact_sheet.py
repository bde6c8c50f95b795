"""Contact sheets: many samples in one picture, their labels drawn on."""

from __future__ import annotations

import math
from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from bootstrap.dataset.dataset import Dataset
from bootstrap.dataset.drawing import (
    BOX,
    OCCLUDED,
    PAPER,
    VISIBLE,
    Colour,
    draw_label,
    draw_tile,
    view_of_picture,
    view_of_subject,
)
from bootstrap.dataset.records import Label
from runtime.errors import ViewfinderError

_INK: Colour = (232, 234, 237)
_FAINT: Colour = (154, 160, 166)
_FONT = cv2.FONT_HERSHEY_SIMPLEX
_CAPTION = 24
_GAP = 8
_HEAD = 40
_LEAST_WIDTH = 520

Legend = Sequence[tuple[str, Colour]]
_LEGEND: Legend = (("visible", VISIBLE), ("hidden", OCCLUDED), ("box", BOX))


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
    tiles, captions = [], []
    for sample_id in sample_ids:
        subjects = labels.get(sample_id, [])
        tiles.append(draw_sample(ds.read_image(sample_id), subjects, tile, zoom))
        captions.append(" ".join([sample_id, *_words(subjects)]))
    return lay_out(tiles, captions, f"{ds.info.name}  {layer or ''}", _LEGEND, columns)


def lay_out(
    tiles: Sequence[NDArray[np.uint8]],
    captions: Sequence[str],
    title: str,
    legend: Legend,
    columns: int,
) -> NDArray[np.uint8]:
    """Equal square tiles in rows, a caption under each, title and legend above.

    Returns:
        (H, W, 3) uint8 RGB.
    """
    side = tiles[0].shape[0]
    columns = min(columns, len(tiles))
    rows = math.ceil(len(tiles) / columns)
    width = max(columns * (side + _GAP) + _GAP, _LEAST_WIDTH)
    height = _HEAD + rows * (side + _CAPTION + _GAP)
    sheet = np.full((height, width, 3), PAPER, dtype=np.uint8)
    _draw_head(sheet, title, legend)
    for i, (tile, caption) in enumerate(zip(tiles, captions)):
        x = _GAP + i % columns * (side + _GAP)
        y = _HEAD + i // columns * (side + _CAPTION + _GAP)
        sheet[y : y + side, x : x + side] = tile
        _text(sheet, _shortened(caption, side), (x + 2, y + side + 16), 0.4, _FAINT)
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
    view = view_of_subject(labels[0], side) if zoom and labels else None
    view = view or view_of_picture(image, side)
    canvas = draw_tile(image, view, side)
    for label in labels:
        draw_label(canvas, label, view)
    return canvas


def _words(labels: Sequence[Label]) -> list[str]:
    if not labels:
        return []
    first = labels[0]
    words = [word for word in (first.handedness, first.gesture) if word]
    if first.score is not None:
        words.append(f"{first.score:.2f}")
    return [*words, f"+{len(labels) - 1}"] if len(labels) > 1 else words


def _draw_head(sheet: NDArray[np.uint8], title: str, legend: Legend) -> None:
    widths = [cv2.getTextSize(word, _FONT, 0.45, 1)[0][0] + 34 for word, _ in legend]
    x = sheet.shape[1] - sum(widths)
    _text(sheet, _shortened(title, x - 3 * _GAP, 0.5), (_GAP + 2, 25), 0.5, _INK)
    for (word, colour), width in zip(legend, widths):
        cv2.circle(sheet, (x, 20), 5, colour, -1, cv2.LINE_AA)
        _text(sheet, word, (x + 11, 25), 0.45, _INK)
        x += width


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
