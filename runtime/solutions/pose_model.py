"""A body landmark model on an oriented crop.

MediaPipe's models give 33 keypoints and auxiliary ones, of which the first two say where the body
is (pose_landmark_cpu and its subgraphs, 0.10.14): coordinates by regression, then refined by the
mean of a heatmap around them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from runtime.card import CardModel
from runtime.errors import ViewfinderError
from runtime.model import Model, PixelScale
from runtime.oriented_crop import OrientedCrop
from runtime.roi import Roi, roi_padded_to_aspect
from runtime.solutions.landmarks import points_in_image, turned, without_letterbox
from runtime.topology import topology

Floats = NDArray[np.float32]
_f32 = np.float32

ALIGNMENT_POINTS = 2
"""Auxiliary points after the keypoints: the middle between the hips, and one above it as far away
as the body reaches."""
KERNEL = 9
"""Side in heatmap cells of the square that refines a point (RefineLandmarksFromHeatmap). The graph
asks for 7; what MediaPipe 0.10.14 gives is the mean over 9, its default, to the last bit."""
MIN_HEAT = 0.5
"""Where no cell of it is that sure, a point stays."""
_FARTHEST = 1e5  # picture sides, of all points together: beyond it the model is damaged
_LARGEST_EXPONENT = 88.0  # e^88 is a float32 still


@dataclass(frozen=True)
class CropBody:
    """What the model says about one crop.

    Attributes:
        presence: 0..1, that a body is there at all.
        points: (35, 3) float32 normalised by the image's width and height, z in its widths: the
            keypoints, then two auxiliary points.
        visibility: (33,) float32 probability that a keypoint is in the picture and not hidden.
        world_m: (33, 3) float32 metres about the middle between the hips, turned upright as the
            image is.
        mask: (h, w) float32 0..1 over the crop, or None where masks aren't wanted.
    """

    presence: float
    points: Floats
    visibility: Floats
    world_m: Floats
    mask: Floats | None

    @property
    def keypoints(self) -> Floats:
        """(33, 3) the keypoints."""
        return self.points[:-ALIGNMENT_POINTS]

    @property
    def alignment(self) -> Floats:
        """(2, 3) the auxiliary points."""
        return self.points[-ALIGNMENT_POINTS:]


class BodyModel:
    """A loaded body model with its buffers.

    Args:
        model: with the outputs that `card` describes.
        card: its entry in the bundle's card.
        masks: whether to hand out the segmentation.

    Raises:
        ViewfinderError: card and model don't fit together, or masks are wanted and it has none.
    """

    def __init__(self, model: Model, card: CardModel, masks: bool = False) -> None:
        self.model = model
        self.topology = topology(card.topology)
        side = card.input.width
        if model.inputs[0].shape != (1, side, side, 3) or card.input.order != "RGB":
            raise ViewfinderError(
                "the model's input isn't a body model's", file=model.name,
                expected=f"1 x {side} x {side} x 3 RGB", found=model.inputs[0].shape,
            )  # fmt: skip
        self._outputs = {o.meaning: model.output_index(o.name) for o in card.outputs}
        self._points = self.topology.size + ALIGNMENT_POINTS
        self._check("landmarks_visibility", 5)
        self._check("world_landmarks", 3)
        self._check("presence", 1)
        if masks:
            self._check("mask_logit", 1)
        self._masks = masks
        self._side, self._divisor = side, _f32(side)
        self._crop = OrientedCrop(side, side, "replicate", PixelScale(*card.input.range))
        self._refinement = None
        if "heatmaps" in self._outputs:
            shape = model.outputs[self._outputs["heatmaps"]].shape
            self._refinement = HeatmapRefinement(shape[1:], self._points)

    def run(self, rgb: NDArray[np.uint8], roi: Roi, min_presence: float = 0.5) -> CropBody | None:
        """The body in that region of a picture, or None where presence isn't above the least.

        Args:
            rgb: (H, W, 3) uint8.
            roi: in its pixels.
            min_presence: MediaPipe's threshold.
        """
        shown = roi_padded_to_aspect(roi, self._side, self._side)
        self._crop.fill(self.model, rgb, shown)
        self.model.run()
        presence = float(self._peek("presence", 1)[0, 0])
        if not presence > min_presence:  # a NaN is no body either
            return None
        values = self._peek("landmarks_visibility", 5)
        norm = np.divide(values.T[:3], self._divisor, out=np.empty((3, self._points), _f32))
        if self._refinement is not None:
            self._refinement(norm, self.model.peek(self._outputs["heatmaps"])[0])
        if roi.width != roi.height:  # by rounding alone
            without_letterbox(norm, roi, self._side, self._side)
        points = points_in_image(norm, roi, rgb.shape[1], rgb.shape[0])
        if not abs(np.add.reduce(points, axis=None)) < _FARTHEST:  # nor are NaNs
            return None
        count = self.topology.size
        mask = None
        if self._masks:
            mask = sigmoid(self.model.peek(self._outputs["mask_logit"])[0, :, :, 0])
        return CropBody(
            presence=presence,
            points=points,
            visibility=sigmoid(values[:count, 3]),
            world_m=turned(self._peek("world_landmarks", 3)[:count], roi.rotation_rad),
            mask=mask,
        )

    def _peek(self, meaning: str, values: int) -> Floats:
        array = self.model.peek(self._outputs[meaning])
        return array.reshape(-1, values)[: self._points]

    def _check(self, meaning: str, values: int) -> None:
        index = self._outputs.get(meaning)
        shape = () if index is None else self.model.outputs[index].shape
        points = 1 if values == 1 else self._points
        size = math.prod(shape)
        if index is None or size < points * values or size % values:
            raise ViewfinderError(
                "the model's outputs aren't a body model's", file=self.model.name, field=meaning,
                expected=f"{values} values for each of {points} points",
                found="no such output" if index is None else size,
            )  # fmt: skip


class HeatmapRefinement:
    """Moves points to the mean of their heatmaps' neighbourhood.

    Args:
        shape: rows, columns and channels of the heatmaps, one channel a point.
        points: how many of them are wanted.

    Raises:
        ViewfinderError: fewer channels than points.
    """

    def __init__(self, shape: tuple[int, ...], points: int) -> None:
        if len(shape) != 3 or shape[2] < points:
            raise ViewfinderError(
                "the heatmaps aren't a body model's", expected=f"rows x columns x {points} or more",
                found=shape,
            )  # fmt: skip
        rows, columns, channels = shape
        self._scale = np.array([[columns], [rows]], dtype=np.float32)
        self._strides = np.array([channels, columns * channels])
        self._inner = (KERNEL // 2, min(columns, rows) - KERNEL // 2)
        offsets = np.arange(KERNEL) - KERNEL // 2
        # For every cell of the square, row by row: 1, its column and its row, from the middle.
        self._square = np.ones((3, KERNEL * KERNEL, 1), dtype=np.float32)
        self._square[1, :, 0] = np.tile(offsets, KERNEL)
        self._square[2, :, 0] = np.repeat(offsets, KERNEL)
        cells = (self._strides @ self._square[1:, :, 0]).astype(np.int64)
        self._offsets = cells[:, None] + np.arange(points)
        self._middle = np.zeros((3, 1, points), dtype=np.float32)

    def __call__(self, norm: Floats, heatmaps: Floats) -> None:
        """Refine points in place.

        Args:
            norm: (2|3, P) float32 x and y normalised by the crop.
            heatmaps: (rows, columns, channels) logits.
        """
        middle = (norm[:2] * self._scale).astype(np.int64)
        index = self._strides @ middle + self._offsets
        heat = sigmoid(heatmaps.reshape(-1).take(index, mode="clip"))
        self._middle[1:, 0] = middle
        weights = self._middle + self._square
        looked_at = None
        if middle.min() < self._inner[0] or middle.max() >= self._inner[1]:
            looked_at = self._at_the_border(middle, weights[1:], heat)
        # Summed cell by cell in float32, as MediaPipe does: NumPy adds so along an outer axis.
        total, *sums = np.add.reduce(weights * heat, axis=1)
        sure = heat.max(axis=0) >= MIN_HEAT
        if looked_at is not None:
            sure &= looked_at
        np.divide(sums / self._scale, total, out=norm[:2], where=sure)

    def _at_the_border(
        self, middle: NDArray[np.int64], cells: Floats, heat: Floats
    ) -> NDArray[np.bool_]:
        """Put out the heat of cells that aren't there; which points to refine at all."""
        inside = (cells >= 0) & (cells < self._scale[:, None])
        heat[~(inside[0] & inside[1])] = 0
        # MediaPipe looks at the column twice where it means the row: points below the crop are
        # refined, too, as long as the square reaches into it.
        return (middle[0] >= 0) & (middle[0] < self._scale[0]) & (middle[1] >= 0)


def sigmoid(logits: Floats) -> Floats:
    """1 / (1 + e^-x) in float32, of an e^-x that is right to the last bit, as C libraries' is."""
    inverse = np.negative(logits, dtype=np.float64)
    np.minimum(inverse, _LARGEST_EXPONENT, out=inverse)
    odds = np.exp(inverse, out=inverse).astype(np.float32)
    odds += _f32(1)
    return np.divide(_f32(1), odds, out=odds)
