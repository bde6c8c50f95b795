"""The object detector of Objectron's first stage: boxes of 24 classes.

Constants are MediaPipe 0.10.14's (object_detection_oid_v4_cpu graph; ssd_anchors,
tensors_to_detections and non_max_suppression calculators).
"""

from __future__ import annotations

import math
from collections.abc import Collection

import numpy as np
from numpy.typing import NDArray

from runtime.card import CardModel
from runtime.detection import Detection, box_iou
from runtime.errors import ViewfinderError
from runtime.fixed_crop import FixedCrop
from runtime.libm import expf
from runtime.model import Model, PixelScale
from runtime.roi import roi_of_image

Floats = NDArray[np.float32]
_f32 = np.float32

LABELS = (
    "???", "Bicycle", "Boot", "Laptop", "Person", "Chair", "Cattle", "Desk", "Cat",
    "Computer mouse", "Computer monitor", "Box", "Mug", "Coffee cup", "Stationary bicycle", "Table",
    "Bottle", "High heels", "Vehicle", "Footwear", "Dog", "Book", "Camera", "Car",
)  # fmt: skip
"""What the detector's classes are called; the first is the background."""

MAX_IOU = 0.5
"""Of two detections that overlap more, the worse one goes."""

_SIZE = 300
_STRIDES = (16, 32, 64, 128, 256, 512)
_LEAST_SCALE, _GREATEST_SCALE = 0.2, 0.95
_ASPECTS = (1.0, 2.0, 0.5, 3.0, 0.3333)
_FIRST_LAYER = ((1.0, 0.1), (2.0, 0.2), (0.5, 0.2))  # aspect and scale
_CENTRE_SCALE, _SIDE_SCALE = _f32(10), _f32(5)


def anchors() -> Floats:
    """(1917, 4) centre y, x, height, width over the input, in the model's order."""
    last = len(_STRIDES) - 1
    step = (_GREATEST_SCALE - _LEAST_SCALE) / last
    scales = [_LEAST_SCALE + step * layer for layer in range(last + 1)] + [1.0]
    parts = []
    for layer, stride in enumerate(_STRIDES):
        between = math.sqrt(scales[layer] * scales[layer + 1])
        shapes = [*((aspect, scales[layer]) for aspect in _ASPECTS), (1.0, between)]
        sides = np.array(
            [
                (scale / math.sqrt(aspect), scale * math.sqrt(aspect))
                for aspect, scale in (_FIRST_LAYER if layer == 0 else shapes)
            ]
        )
        cells = math.ceil(_SIZE / stride)
        centres = (np.arange(cells) + 0.5) / cells
        y, x = np.meshgrid(centres, centres, indexing="ij")
        grid = np.stack([y.ravel(), x.ravel()], axis=1)
        parts.append(
            np.hstack([np.repeat(grid, len(sides), axis=0), np.tile(sides, (len(grid), 1))])
        )
    return np.concatenate(parts).astype(np.float32)


class ObjectDetector:
    """A loaded detector that looks for objects of some classes.

    Args:
        model: with outputs that `card` calls "boxes" and "scores".
        card: its entry in the bundle's card.
        labels: of `LABELS`, those that are wanted.
        min_score: detections below it are not looked at.

    Raises:
        ViewfinderError: outputs of another layout.
    """

    def __init__(
        self, model: Model, card: CardModel, labels: Collection[str], min_score: float
    ) -> None:
        self.model = model
        named = {output.meaning: model.output_index(output.name) for output in card.outputs}
        self._anchors = anchors()
        count = len(self._anchors)
        wanted = {"boxes": (1, count, 4), "scores": (1, count, len(LABELS))}
        for meaning, shape in wanted.items():
            found = model.outputs[named[meaning]].shape if meaning in named else None
            if found != shape:
                raise ViewfinderError(
                    "not an object detector of the known layout", file=model.name, field=meaning,
                    expected=shape, found=found,
                )  # fmt: skip
        self._boxes, self._scores = named["boxes"], named["scores"]
        self._classes = np.array([LABELS.index(label) for label in labels])
        self._min_score = _f32(min_score)
        # A hair lower: the exact comparison is made on the few that remain.
        odds = max(min_score, 1e-9) / max(1 - min_score, 1e-9)
        self._min_logit = math.log(odds) - 1e-4
        self._scale = PixelScale(*card.input.range)
        self._image_size = (0, 0)

    def detect(self, rgb: NDArray[np.uint8]) -> list[Detection]:
        """Objects of the wanted classes, the best first, without keypoints.

        Args:
            rgb: (H, W, 3) uint8.
        """
        height, width = rgb.shape[:2]
        if (width, height) != self._image_size:
            self._image_size = (width, height)
            self._crop = FixedCrop(roi_of_image(width, height), _SIZE, _SIZE, "replicate")
        self._crop.fill(self.model, rgb, self._scale)
        self.model.run()
        return _suppressed(*self._candidates())

    def _candidates(self) -> tuple[Floats, Floats]:
        """Scores (D,) and boxes (D, 4) x, y, width, height, the best first."""
        logits = self.model.peek(self._scores)[0]
        # An object is of the one class that it looks most like; the background is no class.
        best = logits[:, self._classes].max(axis=1)
        kept = np.flatnonzero((best >= self._min_logit) & (best == logits[:, 1:].max(axis=1)))
        raw, anchor = self.model.peek(self._boxes)[0, kept], self._anchors[kept]
        scores = _f32(1) / (_f32(1) + _exp(-best[kept]))
        centres = raw[:, :2] / _CENTRE_SCALE * anchor[:, 2:] + anchor[:, :2]
        sides = _exp(raw[:, 2:] / _SIDE_SCALE) * anchor[:, 2:]
        low, high = centres - sides / _f32(2), centres + sides / _f32(2)
        boxes = np.concatenate([low[:, ::-1], (high - low)[:, ::-1]], axis=1)
        # A damaged model may say anything.
        sure = (scores >= self._min_score) & np.isfinite(boxes).all(axis=1)
        scores, boxes = scores[sure], boxes[sure]
        order = np.argsort(-scores, kind="stable")
        return scores[order], boxes[order]


def _suppressed(scores: Floats, boxes: Floats) -> list[Detection]:
    kept: list[Detection] = []
    places: list[tuple[float, float, float, float]] = []
    for score, box in zip(scores.tolist(), boxes):
        x, y, width, height = box.tolist()
        place = (x, y, width, height)
        if all(box_iou(other, place) <= MAX_IOU for other in places):
            kept.append(Detection(score, box, _NO_KEYPOINTS))
            places.append(place)
    return kept


def _exp(values: Floats) -> Floats:
    # The C library's: NumPy's vectorised one is off by more, which moves a crop.
    flat = [expf(value) for value in values.ravel().tolist()]
    return np.array(flat, dtype=np.float32).reshape(values.shape)


_NO_KEYPOINTS: Floats = np.zeros((0, 2), dtype=np.float32)
