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
from runtime.fixed_crop import FixedCrop
from runtime.libm import expf, float32s
from runtime.model import Model, PixelScale
from runtime.roi import Roi, letterbox_padding, roi_of_image, roi_padded_to_aspect

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
        min_iou: detections with a larger intersection over union are merged.

    Raises:
        ViewfinderError: outputs of a layout that isn't known.
    """

    def __init__(
        self,
        model: Model,
        card: CardModel,
        min_score: float,
        min_iou: float = MIN_SUPPRESSION_IOU,
    ) -> None:
        self.model = model
        self._size = card.input.width
        named = {output.meaning: model.output_index(output.name) for output in card.outputs}
        self._boxes, self._scores = named.get("boxes", -1), named.get("scores", -1)
        self._layout = _layout_of(model, card, self._boxes, self._scores)
        self._anchors = self._layout.anchors()
        self._scale = PixelScale(*card.input.range)
        self._min_score = min_score
        self._min_iou = min_iou
        self._min_logit = _logit(min_score)
        self._image_size = (0, 0)

    def detect(self, rgb: NDArray[np.uint8]) -> list[Detection]:
        """Faces, palms or bodies in a picture, the best first.

        Args:
            rgb: (H, W, 3) uint8.

        Returns:
            Detections normalised by the picture's size, overlapping ones merged.
        """
        height, width = rgb.shape[:2]
        if (width, height) != self._image_size:
            self._look_at_size(width, height)
        self._crop.fill(self.model, rgb, self._scale)
        self.model.run()
        logits = self.model.peek(self._scores).reshape(-1)
        likely = (logits >= self._min_logit).nonzero()[0]
        if not len(likely):
            return []
        candidates = self._candidates(likely, logits[likely].tolist())
        return [self._in_image(found) for found in merged(*candidates, self._min_iou)]

    def _look_at_size(self, width: int, height: int) -> None:
        self._image_size = (width, height)
        image = roi_of_image(width, height)
        roi = roi_padded_to_aspect(image, self._size, self._size)
        self._crop = FixedCrop(roi, self._size, self._size, "zero")
        padding = letterbox_padding(image, self._size, self._size)
        self._padding = np.array(padding, dtype=np.float32)
        self._projection = _projection(roi, width, height)

    def _candidates(
        self, likely: NDArray[np.intp], logits: list[float]
    ) -> tuple[Floats, Floats, Floats]:
        """Scores, boxes and keypoints over the input, of what reaches the threshold."""
        scores = np.array([_sigmoid(logit) for logit in logits], dtype=np.float32)
        raw = self.model.peek(self._boxes)[0].take(likely, axis=0)
        raw /= _f32(self._size)
        points = raw.reshape(len(likely), 2 + self._layout.keypoints, 2)
        size = points[:, 1].copy()
        points += self._anchors.take(likely, axis=0)[:, None]
        half = size / _f32(2)
        low = points[:, 0] - half
        boxes = np.concatenate([low, points[:, 0] + half - low], axis=1)
        sound = (scores >= self._min_score) & (boxes[:, 2] >= 0) & (boxes[:, 3] >= 0)
        sound &= np.isfinite(np.add.reduce(raw, axis=1))  # a damaged model may say anything
        if sound.all():
            return scores, boxes, points[:, 2:]
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
    count = len(scores)
    if count == 0:
        return []
    order = (-scores).argsort(kind="stable")
    weights = scores[order, None]
    # One row a detection: its weight, then weighted corners and keypoints.
    rows = np.concatenate([weights, boxes[order], keypoints[order].reshape(count, -1)], axis=1)
    rows[:, 3:5] += rows[:, 1:3]
    corners = rows[:, 1:5].tolist()
    sizes = boxes[order, 2:].tolist()
    rows[:, 1:] *= weights
    rest, kept = list(range(count)), []
    while rest:
        head = rest[0]
        near = [i for i in rest if i == head or _overlapping(i, head, corners, sizes, min_iou)]
        # Summed one after the other in float32, as MediaPipe does: see runtime.roi on why.
        total = np.add.reduce(rows[near])
        mean = total[1:] / total[0]
        mean[2:4] -= mean[:2]
        kept.append(Detection(weights[head].item(), mean[:4], mean[4:].reshape(-1, 2)))
        rest = [i for i in rest if i not in near]
    return kept


def _overlapping(
    a: int, b: int, corners: list[list[float]], sizes: list[list[float]], min_iou: float
) -> bool:
    left, top, right, bottom = corners[a]
    other_left, other_top, other_right, other_bottom = corners[b]
    width = min(right, other_right) - max(left, other_left)
    height = min(bottom, other_bottom) - max(top, other_top)
    if width <= 0 or height <= 0:
        return False
    shared = width * height
    both = sizes[a][0] * sizes[a][1] + sizes[b][0] * sizes[b][1] - shared
    return shared > min_iou * both


def box_iou(a: Box, b: Box) -> float:
    """Intersection over union of two x, y, width, height boxes; 0 where they don't meet."""
    width = min(a[0] + a[2], b[0] + b[2]) - max(a[0], b[0])
    height = min(a[1] + a[3], b[1] + b[3]) - max(a[1], b[1])
    if width <= 0 or height <= 0:
        return 0.0
    shared = width * height
    return shared / (a[2] * a[3] + b[2] * b[3] - shared)


def _projection(roi: Roi, width: int, height: int) -> tuple[Floats, Floats]:
    """Scale and shift from a level region to the image, both normalised."""
    sides = np.array([roi.width, roi.height], dtype=np.float32)
    centre = np.array([roi.cx, roi.cy], dtype=np.float32)
    per_pixel = _f32(1) / np.array([width, height], dtype=np.float32)
    return sides * per_pixel, (_f32(-0.5) * sides + centre) * per_pixel


def _sigmoid(logit: float) -> float:
    limited = max(-_LOGIT_LIMIT, min(_LOGIT_LIMIT, logit))
    (odds,) = float32s(1 + expf(-limited))
    return float32s(1 / odds)[0]


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
