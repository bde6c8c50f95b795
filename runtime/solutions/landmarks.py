"""A landmark model on an oriented crop."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from runtime.card import CardModel
from runtime.errors import ViewfinderError
from runtime.model import Model, PixelScale
from runtime.roi import Roi, image_from_crop, warp_crop
from runtime.topology import topology

Array = NDArray[np.float64]

HAND_Z_SCALE = 0.4
"""MediaPipe's hand models give z in input pixels times this (normalize_z of hand_landmark_cpu)."""


@dataclass(frozen=True)
class CropLandmarks:
    """What a landmark model says about one crop.

    Attributes:
        presence: 0..1, that the subject is there at all.
        landmarks_px: (N, 3) in image pixels, z in image pixels too.
        right_hand: 0..1 in an unmirrored picture, or None.
        world_m: (N, 3) metres, turned upright as the image is, or None.
    """

    presence: float
    landmarks_px: Array
    right_hand: float | None
    world_m: Array | None


class LandmarkModel:
    """A loaded landmark model with its buffers.

    Args:
        model: with the outputs that `card` describes.
        card: its entry in the bundle's card.

    Raises:
        ViewfinderError: card and model don't fit together.
    """

    def __init__(self, model: Model, card: CardModel) -> None:
        self.model = model
        self.topology = topology(card.topology)
        width, height = card.input.width, card.input.height
        if model.inputs[0].shape != (1, height, width, 3) or card.input.order != "RGB":
            raise ViewfinderError(
                "the model's input isn't the card's", file=model.name,
                expected=f"1 x {height} x {width} x 3 RGB", found=model.inputs[0].shape,
            )  # fmt: skip
        self._outputs = {o.meaning: model.output_index(o.name) for o in card.outputs}
        for meaning, values in self._required().items():
            _check_output(model, self._outputs, meaning, values)
        self._size = (width, height)
        self._scale = PixelScale(*card.input.range)
        self._crop = np.zeros((height, width, 3), dtype=np.uint8)
        z_scale = HAND_Z_SCALE if self.topology.name == "hand21" else 1.0
        self._to_norm = 1.0 / np.array([width, height, width * z_scale])
        self._presence_is_logit = "presence_logit" in self._outputs

    def run(
        self, rgb: NDArray[np.uint8], roi: Roi, min_presence: float = 0.5
    ) -> CropLandmarks | None:
        """Landmarks in that region of a picture, or None where presence isn't above the least.

        Args:
            rgb: (H, W, 3) uint8.
            roi: in its pixels.
            min_presence: MediaPipe's threshold; evaluation, which knows the subject is there,
                lowers it.
        """
        width, height = self._size
        warp_crop(rgb, roi, width, height, "replicate", out=self._crop)
        self.model.fill(self._crop, self._scale)
        self.model.run()
        presence = self._presence()
        if not presence > min_presence:  # a NaN is no subject either
            return None
        raw = self.model.peek(self._outputs["landmarks"]).reshape(-1, 3)
        landmarks_px = image_from_crop(roi, raw * self._to_norm)
        right_hand = world_m = None
        if "handedness" in self._outputs:
            right_hand = float(self.model.peek(self._outputs["handedness"]).flat[0])
        if "world_landmarks" in self._outputs:
            world_m = self._world(roi)
        return CropLandmarks(presence, landmarks_px, right_hand, world_m)

    def _presence(self) -> float:
        name = "presence_logit" if self._presence_is_logit else "presence"
        value = float(self.model.peek(self._outputs[name]).flat[0])
        if not self._presence_is_logit:
            return value
        return 1.0 / (1.0 + math.exp(-max(-100.0, min(100.0, value))))

    def _world(self, roi: Roi) -> Array:
        world = self.model.peek(self._outputs["world_landmarks"]).reshape(-1, 3).astype(np.float64)
        cos, sin = math.cos(roi.rotation_rad), math.sin(roi.rotation_rad)
        x, y = world[:, 0].copy(), world[:, 1].copy()
        world[:, 0] = cos * x - sin * y
        world[:, 1] = sin * x + cos * y
        return world

    def _required(self) -> dict[str, int]:
        presence = "presence" if "presence" in self._outputs else "presence_logit"
        wanted = {"landmarks": 3 * self.topology.size, presence: 1}
        optional = {"handedness": 1, "world_landmarks": 3 * self.topology.size}
        return wanted | {name: n for name, n in optional.items() if name in self._outputs}


def _check_output(model: Model, outputs: dict[str, int], meaning: str, values: int) -> None:
    found = outputs.get(meaning)
    size = None if found is None else math.prod(model.outputs[found].shape)
    if size != values:
        raise ViewfinderError(
            "the model's outputs aren't the card's", file=model.name, field=meaning,
            expected=f"{values} values", found="no such output" if size is None else size,
        )  # fmt: skip
