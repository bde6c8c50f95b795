"""A landmark model on an oriented crop."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from runtime.card import CardModel
from runtime.errors import ViewfinderError
from runtime.libm import cos_sin
from runtime.model import Model, PixelScale
from runtime.oriented_crop import OrientedCrop
from runtime.roi import Roi, letterbox_padding, roi_padded_to_aspect
from runtime.topology import topology

Floats = NDArray[np.float32]
_f32 = np.float32
_CENTRE = np.array([[0.5], [0.5], [0.0]], dtype=np.float32)

HAND_Z_SCALE = 0.4
"""MediaPipe's hand models give z in input pixels times this (normalize_z of hand_landmark_cpu)."""
_HAND_Z_SCALE = _f32(HAND_Z_SCALE)


@dataclass(frozen=True)
class CropLandmarks:
    """What a landmark model says about one crop.

    Attributes:
        presence: 0..1, that the subject is there at all.
        keypoints: (N, 3) float32 normalised by the image's width and height, z in its widths.
        right_hand: 0..1 in an unmirrored picture, or None.
        world_m: (N, 3) float32 metres, turned upright as the image is, or None.
    """

    presence: float
    keypoints: Floats
    right_hand: float | None
    world_m: Floats | None


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
        self._input_size = np.array([[width], [height], [width]], dtype=np.float32)
        self._crop = OrientedCrop(width, height, "replicate", PixelScale(*card.input.range))
        self._hand = self.topology.name == "hand21"
        # MediaPipe's hands and boxes keep the crop's aspect ratio, its faces don't: for the square
        # regions that come from runtime.roi's rules this is a matter of rounding.
        self._keeps_aspect = self.topology.name in ("hand21", "cuboid9")
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
        shown = roi_padded_to_aspect(roi, width, height) if self._keeps_aspect else roi
        self._crop.fill(self.model, rgb, shown)
        self.model.run()
        presence = self._presence()
        if not presence > min_presence:  # a NaN is no subject either
            return None
        keypoints = self._projected(roi, rgb.shape[1], rgb.shape[0])
        if not math.isfinite(np.add.reduce(keypoints, axis=None)):  # from a damaged model
            return None
        right_hand = world_m = None
        if "handedness" in self._outputs:
            right_hand = self.model.peek(self._outputs["handedness"]).item()
        if "world_landmarks" in self._outputs:
            world = self.model.peek(self._outputs["world_landmarks"]).reshape(-1, 3)
            world_m = turned(world, roi.rotation_rad)
        return CropLandmarks(presence, keypoints, right_hand, world_m)

    def _projected(self, roi: Roi, image_width: int, image_height: int) -> Floats:
        crop_points = self._crop_points().T
        norm = np.divide(crop_points, self._input_size, out=np.empty(crop_points.shape, _f32))
        if self._hand:
            norm[2] /= _HAND_Z_SCALE
        if self._keeps_aspect and roi.width * self._size[1] != roi.height * self._size[0]:
            without_letterbox(norm, roi, *self._size)
        return points_in_image(norm, roi, image_width, image_height)

    def _crop_points(self) -> Floats:
        """(N, 3) keypoints in input pixels, as the model has just given them."""
        return self.model.peek(self._outputs["landmarks"]).reshape(-1, 3)

    def _presence(self) -> float:
        name = "presence_logit" if self._presence_is_logit else "presence"
        value: float = self.model.peek(self._outputs[name]).item()
        if not self._presence_is_logit:
            return value
        return 1.0 / (1.0 + math.exp(-max(-100.0, min(100.0, value))))

    def _required(self) -> dict[str, int]:
        presence = "presence" if "presence" in self._outputs else "presence_logit"
        wanted = {"landmarks": 3 * self.topology.size, presence: 1}
        optional = {"handedness": 1, "world_landmarks": 3 * self.topology.size}
        return wanted | {name: n for name, n in optional.items() if name in self._outputs}


def without_letterbox(norm: Floats, roi: Roi, width: int, height: int) -> None:
    """Coordinates over a padded crop (`roi_padded_to_aspect`) become such over its region.

    Args:
        norm: (3, N) x, y and z, changed in place.
        roi: that was padded.
        width, height: to whose aspect ratio.
    """
    left, above = letterbox_padding(roi, width, height)
    if left:
        norm[0] -= left
        norm[::2] /= _f32(1 - 2 * left)
    elif above:
        norm[1] -= above
        norm[1] /= _f32(1 - 2 * above)


def points_in_image(norm: Floats, roi: Roi, image_width: int, image_height: int) -> Floats:
    """Points of a crop in the image, in MediaPipe's float32 and order of operations.

    `runtime.roi.image_from_crop` for pixels and float64 does the same up to rounding; but the next
    frame's region comes from these, and rounding grows from frame to frame.

    Args:
        norm: (3, N) x and y over the crop, z in its widths; used up.
        roi: that the crop shows.
        image_width, image_height: of the picture.

    Returns:
        (N, 3) normalised by the image's width and height, z in its widths.
    """
    cos, sin = cos_sin(roi.rotation_rad)
    side, height = roi.width / image_width, roi.height / image_height
    x, y = roi.cx / image_width, roi.cy / image_height
    # All the numbers in one array: each small call costs more than what it computes, as the model
    # has just driven its code out of the CPU's cache.
    numbers = np.array((cos, -sin, sin, cos, side, height, side, x, y, 0.0), dtype=np.float32)
    norm -= _CENTRE
    products = norm[:2] * numbers[:4].reshape(2, 2, 1)
    points = np.empty(norm.shape, dtype=np.float32)
    np.add(products[:, 0], products[:, 1], out=points[:2])
    points[2] = norm[2]
    points *= numbers[4:7, None]
    points += numbers[7:, None]
    return points.T


def turned(points: Floats, rotation_rad: float) -> Floats:
    """(N, 3) points turned about z, in float32; stored column by column, which is quicker."""
    cos, sin = cos_sin(rotation_rad)
    x, y, z = points.T
    rows = np.empty((3, len(points)), dtype=np.float32)
    np.multiply(x, cos, out=rows[0])
    rows[0] -= y * sin
    np.multiply(x, sin, out=rows[1])
    rows[1] += y * cos
    rows[2] = z
    return rows.T


def _check_output(model: Model, outputs: dict[str, int], meaning: str, values: int) -> None:
    found = outputs.get(meaning)
    size = None if found is None else math.prod(model.outputs[found].shape)
    if size != values:
        raise ViewfinderError(
            "the model's outputs aren't the card's", file=model.name, field=meaning,
            expected=f"{values} values", found="no such output" if size is None else size,
        )  # fmt: skip
