"""3D boxes in one stage: the whole picture through one network, no detector, no crops.

picture --> boxes --> lift --> subjects
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from runtime.box_fields import KEYPOINTS, found_boxes
from runtime.card import CardModel
from runtime.detection import box_iou
from runtime.errors import ViewfinderError
from runtime.fixed_crop import FixedCrop
from runtime.graph.types import Picture
from runtime.model import Model, PixelScale
from runtime.results import bounding_box
from runtime.roi import image_from_crop, roi_of_image, roi_padded_to_aspect
from runtime.solutions.crops import Found
from runtime.solutions.landmarks import CropLandmarks
from runtime.topology import topology

SAME_IOU = 0.3
"""Overlap with an object of the last picture from which on it is the same one."""
MIN_SCORE, LEAST_SCORE = 0.4, 0.1
"""Of a box that is shown, and of one that counts for average precision."""
CENTRES, OFFSETS = "centres", "keypoint_offsets"
"""What a card calls the heatmap and the fields."""


def is_single_stage(card: CardModel) -> bool:
    """Whether a landmark model finds boxes in whole pictures."""
    return any(output.meaning == CENTRES for output in card.outputs)


class BoxFieldModel:
    """A loaded single-stage network.

    Raises:
        ViewfinderError: outputs of another layout.
    """

    def __init__(self, model: Model, card: CardModel, min_score: float = 0.5) -> None:
        self.model = model
        self.topology = topology(card.topology)
        named = {output.meaning: model.output_index(output.name) for output in card.outputs}
        self._side = (card.input.width, card.input.height)
        shape = model.outputs[named[CENTRES]].shape
        wanted = (*shape[:3], 2 * KEYPOINTS)
        fields = model.outputs[named[OFFSETS]].shape if OFFSETS in named else None
        square = len(shape) == 4 and shape[0] == shape[3] == 1 and shape[1] > 0
        stride = self._side[1] / shape[1] if square else 0.0
        fits = square and fields == wanted and shape[2] * stride == self._side[0]
        if not fits or model.inputs[0].shape != (1, self._side[1], self._side[0], 3):
            raise ViewfinderError(
                "not a single-stage box model of the known layout", file=model.name,
                field=OFFSETS, expected=wanted, found=fields,
            )  # fmt: skip
        self._centres, self._offsets, self._stride = named[CENTRES], named[OFFSETS], stride
        self._min_score = min_score
        self._scale = PixelScale(*card.input.range)
        self._image_size = (0, 0)

    def find(self, rgb: NDArray[np.uint8]) -> list[CropLandmarks]:
        """The objects of a picture, the best first; keypoints normalised by its width and height.

        Args:
            rgb: (H, W, 3) uint8.
        """
        height, width = rgb.shape[:2]
        if (width, height) != self._image_size:
            self._image_size = (width, height)
            self._roi = roi_padded_to_aspect(roi_of_image(width, height), *self._side)
            self._crop = FixedCrop(self._roi, *self._side, "zero")
        self._crop.fill(self.model, rgb, self._scale)
        self.model.run()
        logits = self.model.peek(self._centres)[0, ..., 0]
        offsets = self.model.peek(self._offsets)[0]
        found = []
        for one in found_boxes(logits, offsets, self._stride, self._min_score):
            px = image_from_crop(self._roi, one.keypoints / np.array(self._side))
            keypoints = np.asarray(px / np.array([width, height]), dtype=np.float32)
            found.append(CropLandmarks(one.score, keypoints, None, None))
        return found


class FindBoxes:
    """Objects of every picture, numbered so that one keeps its number while it stays."""

    def __init__(self, fields: BoxFieldModel, most: int) -> None:
        self.models = (fields.model,)
        self._fields, self._most = fields, most
        self._last: list[tuple[int, tuple[float, float, float, float]]] = []
        self._next_id = 0

    def process(self, picture: Picture) -> list[Found]:
        """At most so many as are wanted."""
        before, self._last = self._last, []
        found = []
        for landmarks in self._fields.find(picture)[: self._most]:
            here = bounding_box(landmarks.keypoints)
            best = max(before, key=lambda pair: box_iou(pair[1], here), default=None)
            if best is not None and box_iou(best[1], here) >= SAME_IOU:
                number = best[0]
                before.remove(best)
            else:
                number, self._next_id = self._next_id, self._next_id + 1
            self._last.append((number, here))
            size = (picture.shape[1], picture.shape[0])
            found.append(Found(number, roi_of_image(*size), landmarks))
        return found

    def reset(self) -> None:
        """Count from 0 again."""
        self._last = []
        self._next_id = 0
