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
from runtime.roi import Roi, roi_padded_to_aspect, warp_crop
from runtime.solutions.landmarks import turned
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
_LARGEST_EXPONENT = 88.0  # e^88 is a float32 still


@dataclass(frozen=True)
class CropBody:
    """What the model says about one crop.

    Attributes:
        presence: 0..1, that a body is there at all.
        keypoints: (33, 3) float32 normalised by the image's width and height, z in its widths.
        alignment: (2, 3) float32 the auxiliary points, likewise.
        visibility: (33,) float32 probability that a keypoint is in the picture and not hidden.
        world_m: (33, 3) float32 metres about the middle between the hips, turned upright as the
            image is.
        mask: (h, w) float32 0..1 over the crop, or None where masks aren't wanted.
    """

    presence: float
    keypoints: Floats
    alignment: Floats
    visibility: Floats
    world_m: Floats
    mask: Floats | None


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
        self._side = side
        self._scale = PixelScale(*card.input.range)
        self._crop = np.zeros((side, side, 3), dtype=np.uint8)
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
        warp_crop(rgb, shown, self._side, self._side, "replicate", out=self._crop)
        self.model.fill(self._crop, self._scale)
        self.model.run()
        presence = float(self._peek("presence", 1)[0, 0])
        if not presence > min_presence:  # a NaN is no body either
            return None
        values = self._peek("landmarks_visibility", 5)
        points = values[:, :3] / _f32(self._side)
        if self._refinement is not None:
            self._refinement(points, self.model.peek(self._outputs["heatmaps"])[0])
        points = _in_image(points, roi, rgb.shape[1], rgb.shape[0])
        if not np.isfinite(points).all():
            return None
        count = self.topology.size
        mask = None
        if self._masks:
            mask = sigmoid(self.model.peek(self._outputs["mask_logit"])[0, :, :, 0])
        return CropBody(
            presence=presence,
            keypoints=points[:count],
            alignment=points[count:],
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
        self._rows, self._columns, self._channels = shape
        self._scale = np.array([self._columns, self._rows], dtype=np.float32)
        offsets = np.arange(KERNEL, dtype=np.int64) - KERNEL // 2
        # One row a cell of the square: rows from the top, in each the columns from the left.
        self._row_offsets = np.repeat(offsets, KERNEL)[:, None]
        self._column_offsets = np.tile(offsets, KERNEL)[:, None]
        cells = self._row_offsets * self._columns + self._column_offsets
        self._offsets = cells * self._channels + np.arange(points)

    def __call__(self, points: Floats, heatmaps: Floats) -> None:
        """Refine points in place.

        Args:
            points: (P, 2|3) float32 normalised by the crop.
            heatmaps: (rows, columns, channels) logits.
        """
        limited = np.clip(points[:, :2], -10, 10)
        column, row = (limited * self._scale).astype(np.int64).T
        # MediaPipe looks at the column twice where it means the row: points below the crop are
        # refined, too, as long as the square reaches into it.
        looked_at = (column >= 0) & (column < self._columns) & (row >= 0)
        rows, columns = row + self._row_offsets, column + self._column_offsets
        index = (row * self._columns + column) * self._channels + self._offsets
        heat = sigmoid(heatmaps.reshape(-1).take(index, mode="clip"))
        inside = (rows >= 0) & (rows < self._rows) & (columns >= 0) & (columns < self._columns)
        if not inside.all():
            heat[~inside] = 0
        # Summed cell by cell in float32, as MediaPipe does: NumPy adds so along the first axis.
        total = np.add.reduce(heat)
        along = np.add.reduce(columns.astype(np.float32) * heat)
        down = np.add.reduce(rows.astype(np.float32) * heat)
        sure = looked_at & (heat.max(axis=0) >= MIN_HEAT) & (total > 0)
        points[sure, 0] = along[sure] / self._scale[0] / total[sure]
        points[sure, 1] = down[sure] / self._scale[1] / total[sure]


def sigmoid(logits: Floats) -> Floats:
    """1 / (1 + e^-x) in float32, of an e^-x that is right to the last bit, as C libraries' is."""
    inverse = np.negative(logits, dtype=np.float64)
    np.minimum(inverse, _LARGEST_EXPONENT, out=inverse)
    odds = np.exp(inverse, out=inverse).astype(np.float32)
    odds += _f32(1)
    return np.divide(_f32(1), odds, out=odds)


def _in_image(points: Floats, roi: Roi, image_width: int, image_height: int) -> Floats:
    """Crop-normalised (P, 3) points in the image, in MediaPipe's float32 and order."""
    width, height = _f32(roi.width), _f32(roi.height)
    aspect = height / width
    if aspect != 1:  # by rounding alone: undo the letterbox that makes the region square
        side = int(aspect < 1)
        padding = (_f32(1) - (aspect if side else _f32(1) / aspect)) / _f32(2)
        points[:, side] = (points[:, side] - padding) / (_f32(1) - (padding + padding))
    points[:, :2] -= _f32(0.5)
    image_points = turned(points, roi.rotation_rad)
    scale = _f32(roi.width / image_width)
    image_points *= np.array([scale, roi.height / image_height, scale], dtype=np.float32)
    shift = [roi.cx / image_width, roi.cy / image_height, 0]
    image_points += np.array(shift, dtype=np.float32)
    return image_points
