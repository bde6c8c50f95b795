"""Single-shot detectors of faces, palms and bodies: anchors, decoding, weighted suppression.

Constants are MediaPipe 0.10.14's (face_detection_short_range, face_detection_full_range,
palm_detection_cpu and pose_detection_cpu graphs; ssd_anchors, tensors_to_detections and
non_max_suppression calculators).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from runtime.card import CardModel
from runtime.errors import ViewfinderError
from runtime.libm import expf
from runtime.model import Model, PixelScale
from runtime.roi import Roi, roi_of_image, roi_padded_to_aspect, warp_crop

Floats = NDArray[np.float32]
Box = tuple[float, float, float, float]
_f32 = np.float32

MIN_SUPPRESSION_IOU = 0.3
_LOGIT_LIMIT = 80.0  # MediaPipe's 100 overflows float32's e^x, to the same end


@dataclass(frozen=True)
class SsdLayout:
    """An anchor grid: (stride, anchors in each cell) of every layer, and how many keypoints."""

    size: int
    layers: tuple[tuple[int, int], ...]
    keypoints: int

    @property
    def face(self) -> bool:
        """Faces have six keypoints, palms seven, bodies four."""
        return self.keypoints == 6

    def anchors(self) -> Floats:
        """(A, 2) anchor centres, 0..1 over the input: rows, then columns, then a cell's own."""
        parts = []
        for stride, per_cell in self.layers:
            cells = math.ceil(self.size / stride)
            centres = (np.arange(cells) + 0.5) / cells
            y, x = np.meshgrid(centres, centres, indexing="ij")
            grid = np.stack([x.ravel(), y.ravel()], axis=1)
            parts.append(np.repeat(grid, per_cell, axis=0))
        return np.concatenate(parts).astype(np.float32)


# Consecutive layers of the same stride share their cells: 8, 16, 16, 16 with two anchors a layer
# gives two in a cell of the first grid and six in a cell of the second.
LAYOUTS = (
    SsdLayout(128, ((8, 2), (16, 6)), 6),
    SsdLayout(192, ((4, 1),), 6),
    SsdLayout(192, ((8, 2), (16, 6)), 7),
    SsdLayout(224, ((8, 2), (16, 2), (32, 6)), 4),
)


@dataclass(frozen=True)
class Detection:
    """A detected face, palm or body.

    Attributes:
        score: 0..1.
        box: (4,) float32 x, y, width, height.
        keypoints: (K, 2) float32.
    Both normalised by the image's width and height (by the detector's input while it is decoded).
    """

    score: float
    box: Floats
    keypoints: Floats


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
        self._scale = PixelScale(*card.input.range)
        self._crop = np.zeros((self._size, self._size, 3), dtype=np.uint8)
        self._min_score = min_score
        self._min_logit = _logit(min_score)
        self._image_size = (0, 0)
        self._roi = Roi(0, 0, 1, 1)
        self._padding = np.zeros(2, dtype=np.float32)
        self._projection = _projection(self._roi, 1, 1)

    def detect(self, rgb: NDArray[np.uint8]) -> list[Detection]:
        """Faces, palms or bodies in a picture, the best first.

        Args:
            rgb: (H, W, 3) uint8.

        Returns:
            Detections normalised by the picture's size, overlapping ones merged.
        """
        height, width = rgb.shape[:2]
        if (width, height) != self._image_size:
            self._image_size = (width, height)
            self._roi = roi_padded_to_aspect(roi_of_image(width, height), self._size, self._size)
            self._padding = _letterbox_padding(width, height)
            self._projection = _projection(self._roi, width, height)
        warp_crop(rgb, self._roi, self._size, self._size, "zero", out=self._crop)
        self.model.fill(self._crop, self._scale)
        self.model.run()
        return [self._in_image(found) for found in merged(*self._candidates())]

    def _candidates(self) -> tuple[Floats, Floats, Floats]:
        """Scores, boxes and keypoints over the input, of what reaches the threshold."""
        logits = self.model.peek(self._scores)[0, :, 0]
        kept = np.flatnonzero(logits >= self._min_logit)
        scores = np.array([_sigmoid(logit) for logit in logits[kept].tolist()], dtype=np.float32)
        points = self.model.peek(self._boxes)[0][kept] / _f32(self._size)
        points = points.reshape(len(kept), 2 + self._layout.keypoints, 2)
        size = points[:, 1].copy()
        points += self._anchors[kept][:, None]
        low, high = points[:, 0] - size / _f32(2), points[:, 0] + size / _f32(2)
        boxes = np.concatenate([low, high - low], axis=1)
        sound = (scores >= self._min_score) & (boxes[:, 2:] >= 0).all(axis=1)
        return scores[sound], boxes[sound], points[sound, 2:]

    def _in_image(self, found: Detection) -> Detection:
        # Face graphs undo the letterbox differently from the others: the same up to rounding.
        if self._layout.face:
            scale, shift = self._projection
            corner = found.box[:2] * scale + shift
            size = (found.box[:2] + found.box[2:]) * scale + shift - corner
            keypoints = found.keypoints * scale + shift
        else:
            part = _f32(1) - _f32(2) * self._padding
            corner, size = (found.box[:2] - self._padding) / part, found.box[2:] / part
            keypoints = (found.keypoints - self._padding) / part
        return Detection(found.score, np.concatenate([corner, size]), keypoints)


def merged(
    scores: Floats, boxes: Floats, keypoints: Floats, min_iou: float = MIN_SUPPRESSION_IOU
) -> list[Detection]:
    """Weighted non-maximum suppression.

    Each detection, the best first, takes those that overlap it and becomes their mean weighted by
    score; its own score stays.

    Args:
        scores: (D,) float32 in any order.
        boxes: (D, 4) float32 x, y, width, height.
        keypoints: (D, K, 2) float32.
        min_iou: those with a larger intersection over union are taken together.
    """
    order = np.argsort(-scores, kind="stable")
    weights = scores[order, None]
    low, high = boxes[order, :2], boxes[order, :2] + boxes[order, 2:]
    points = keypoints[order].reshape(len(order), keypoints.shape[1] * 2)
    # One row a detection: its weight, then weighted corners and keypoints.
    rows = np.concatenate([weights, low * weights, high * weights, points * weights], axis=1)
    areas = (boxes[order, 2] * boxes[order, 3]).astype(np.float64)
    rest = np.arange(len(order))
    kept = []
    while len(rest):
        head = rest[0]
        sides = np.minimum(high[rest], high[head]) - np.maximum(low[rest], low[head])
        shared = np.maximum(sides, 0).astype(np.float64).prod(axis=1)
        overlap = shared > min_iou * np.maximum(areas[rest] + areas[head] - shared, 1e-30)
        overlap[0] = True
        # Summed one after the other in float32, as MediaPipe does: see runtime.roi on why.
        total = rows[rest[overlap]].cumsum(axis=0)[-1]
        mean = total[1:] / total[0]
        mean[2:4] -= mean[:2]
        kept.append(Detection(float(scores[order[head]]), mean[:4], mean[4:].reshape(-1, 2)))
        rest = rest[~overlap]
    return kept


def box_iou(a: Box, b: Box) -> float:
    """Intersection over union of two x, y, width, height boxes; 0 where they don't meet."""
    width = min(a[0] + a[2], b[0] + b[2]) - max(a[0], b[0])
    height = min(a[1] + a[3], b[1] + b[3]) - max(a[1], b[1])
    if width <= 0 or height <= 0:
        return 0.0
    shared = width * height
    return shared / (a[2] * a[3] + b[2] * b[3] - shared)


def _letterbox_padding(width: int, height: int) -> Floats:
    """(2,) parts of a square input that stay empty left and right, above and below."""
    aspect = _f32(height) / _f32(width)
    if aspect < 1:
        return np.array([0, (_f32(1) - aspect) / _f32(2)], dtype=np.float32)
    return np.array([(_f32(1) - _f32(1) / aspect) / _f32(2), 0], dtype=np.float32)


def _projection(roi: Roi, width: int, height: int) -> tuple[Floats, Floats]:
    """Scale and shift from a level region to the image, both normalised."""
    sides = np.array([roi.width, roi.height], dtype=np.float32)
    centre = np.array([roi.cx, roi.cy], dtype=np.float32)
    per_pixel = _f32(1) / np.array([width, height], dtype=np.float32)
    return sides * per_pixel, (_f32(-0.5) * sides + centre) * per_pixel


def _sigmoid(logit: float) -> float:
    limited = max(-_LOGIT_LIMIT, min(_LOGIT_LIMIT, logit))
    return float(_f32(1) / (_f32(1) + _f32(expf(-limited))))


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
        expected="boxes and scores as MediaPipe's face, palm or body detector has them",
        found=[info.shape for info in model.outputs],
    )  # fmt: skip


def _logit(probability: float) -> float:
    if probability <= 0:
        return -math.inf
    # A hair lower: the exact comparison is made on the few that remain.
    return math.log(probability / (1 - probability)) - 1e-4 if probability < 1 else math.inf
