"""Single-shot detectors of faces and palms: anchors, decoding, weighted suppression.

Constants are MediaPipe 0.10.14's (face_detection_short_range, face_detection_full_range and
palm_detection_cpu graphs; ssd_anchors, tensors_to_detections and non_max_suppression calculators).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from runtime.card import CardModel
from runtime.errors import ViewfinderError
from runtime.model import Model
from runtime.roi import Roi, image_from_crop, roi_of_image, roi_padded_to_aspect, warp_crop

Array = NDArray[np.float64]

MIN_SUPPRESSION_IOU = 0.3
_LOGIT_LIMIT = 100.0


@dataclass(frozen=True)
class SsdLayout:
    """An anchor grid: (stride, anchors in each cell) of every layer, and how many keypoints."""

    size: int
    layers: tuple[tuple[int, int], ...]
    keypoints: int

    def anchors(self) -> Array:
        """(A, 2) anchor centres, 0..1 over the input: rows, then columns, then a cell's own."""
        parts = []
        for stride, per_cell in self.layers:
            cells = math.ceil(self.size / stride)
            centres = (np.arange(cells) + 0.5) / cells
            y, x = np.meshgrid(centres, centres, indexing="ij")
            grid = np.stack([x.ravel(), y.ravel()], axis=1)
            parts.append(np.repeat(grid, per_cell, axis=0))
        return np.concatenate(parts)


# Consecutive layers of the same stride share their cells: 8, 16, 16, 16 with two anchors a layer
# gives two in a cell of the first grid and six in a cell of the second.
LAYOUTS = (
    SsdLayout(128, ((8, 2), (16, 6)), 6),
    SsdLayout(192, ((4, 1),), 6),
    SsdLayout(192, ((8, 2), (16, 6)), 7),
)


@dataclass(frozen=True)
class Detection:
    """A detected face or palm.

    Attributes:
        score: 0..1.
        box: x, y, width, height.
        keypoints: (K, 2).
    Both in the unit of whoever made it: 0..1 of the detector's input, or pixels of the image.
    """

    score: float
    box: tuple[float, float, float, float]
    keypoints: Array


class Detector:
    """A loaded detector with its buffers.

    Args:
        model: with outputs that `card` calls "boxes" and "scores".
        card: its entry in the bundle's card.
        min_score: detections below it are not looked at.

    Raises:
        ViewfinderError: outputs of a layout that isn't known.
    """

    def __init__(self, model: Model, card: CardModel, min_score: float) -> None:
        self.model = model
        self._size = card.input.width
        named = {output.meaning: model.output_index(output.name) for output in card.outputs}
        self._boxes, self._scores = named.get("boxes", -1), named.get("scores", -1)
        self._layout = _layout_of(model, card, self._boxes, self._scores)
        self._anchors = self._layout.anchors()
        low, high = card.input.range
        self._scale, self._offset = (high - low) / 255.0, low
        self._crop = np.zeros((self._size, self._size, 3), dtype=np.uint8)
        self._min_score = min_score
        self._min_logit = _logit(min_score)
        self._image_size = (0, 0)
        self._roi = Roi(0, 0, 1, 1)

    def detect(self, rgb: NDArray[np.uint8]) -> list[Detection]:
        """Faces or palms in a picture, the best first.

        Args:
            rgb: (H, W, 3) uint8.

        Returns:
            Detections in pixels of the picture, overlapping ones merged.
        """
        height, width = rgb.shape[:2]
        if (width, height) != self._image_size:
            self._image_size = (width, height)
            self._roi = roi_padded_to_aspect(roi_of_image(width, height), self._size, self._size)
        warp_crop(rgb, self._roi, self._size, self._size, "zero", out=self._crop)
        self.model.fill_scaled(self._crop, self._scale, self._offset)
        self.model.run()
        return [self._in_image(found) for found in merged(self._candidates())]

    def _candidates(self) -> list[Detection]:
        logits = self.model.peek(self._scores)[0, :, 0]
        kept = np.flatnonzero(logits >= self._min_logit)
        if not len(kept):
            return []
        scores = 1.0 / (1.0 + np.exp(-np.clip(logits[kept], -_LOGIT_LIMIT, _LOGIT_LIMIT)))
        raw = self.model.peek(self._boxes)[0][kept].astype(np.float64) / self._size
        anchors = self._anchors[kept]
        points = raw.reshape(len(kept), -1, 2)
        size = points[:, 1].copy()
        points += anchors[:, None]
        corner = points[:, 0] - size / 2
        return [
            Detection(float(s), (float(c[0]), float(c[1]), float(wh[0]), float(wh[1])), p[2:])
            for s, c, wh, p in zip(scores, corner, size, points)
            if s >= self._min_score and wh[0] >= 0 and wh[1] >= 0
        ]

    def _in_image(self, found: Detection) -> Detection:
        x, y, width, height = found.box
        corner = image_from_crop(self._roi, (x, y))
        box = (
            float(corner[0]), float(corner[1]), width * self._roi.width, height * self._roi.height,
        )  # fmt: skip
        return Detection(found.score, box, image_from_crop(self._roi, found.keypoints))


def merged(
    detections: Sequence[Detection], min_iou: float = MIN_SUPPRESSION_IOU
) -> list[Detection]:
    """Weighted non-maximum suppression.

    Each detection, the best first, takes those that overlap it and becomes their mean weighted by
    score; its own score stays.

    Args:
        detections: in any order.
        min_iou: those with a larger intersection over union are taken together.
    """
    rest = sorted(detections, key=lambda found: -found.score)
    kept = []
    while rest:
        head = rest[0]
        together = [found for found in rest if box_iou(found.box, head.box) > min_iou]
        apart = [found for found in rest if box_iou(found.box, head.box) <= min_iou]
        if not together:  # a box without area overlaps nothing, not even itself
            kept.append(head)
            apart = rest[1:]
        else:
            kept.append(_weighted_mean(head.score, together))
        rest = apart
    return kept


def box_iou(a: tuple[float, float, float, float], b: tuple[float, float, float, float]) -> float:
    """Intersection over union of two x, y, width, height boxes; 0 where they don't meet."""
    width = min(a[0] + a[2], b[0] + b[2]) - max(a[0], b[0])
    height = min(a[1] + a[3], b[1] + b[3]) - max(a[1], b[1])
    if width <= 0 or height <= 0:
        return 0.0
    shared = width * height
    return shared / (a[2] * a[3] + b[2] * b[3] - shared)


def _weighted_mean(score: float, together: list[Detection]) -> Detection:
    weights = np.array([found.score for found in together])
    weights /= weights.sum()
    boxes = np.array([found.box for found in together])
    x, y, width, height = (float(value) for value in weights @ boxes)
    keypoints = np.einsum("d,dkc->kc", weights, np.stack([found.keypoints for found in together]))
    return Detection(score, (x, y, width, height), keypoints)


def _layout_of(model: Model, card: CardModel, boxes: int, scores: int) -> SsdLayout:
    if boxes >= 0 and scores >= 0 and card.input.width == card.input.height:
        for layout in LAYOUTS:
            count = len(layout.anchors())
            if (
                layout.size == card.input.width
                and model.outputs[boxes].shape == (1, count, 4 + 2 * layout.keypoints)
                and model.outputs[scores].shape == (1, count, 1)
            ):
                return layout
    raise ViewfinderError(
        "the detector's outputs are of no known layout", file=model.name,
        expected="boxes and scores as MediaPipe's face or palm detector has them",
        found=[info.shape for info in model.outputs],
    )  # fmt: skip


def _logit(probability: float) -> float:
    if probability <= 0:
        return -math.inf
    # A hair lower: the exact comparison is made on the few that remain.
    return math.log(probability / (1 - probability)) - 1e-4 if probability < 1 else math.inf
