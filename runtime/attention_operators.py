"""MediaPipe's custom operators of the attention face mesh, in NumPy.

What they compute was read from MediaPipe's kernels (util/tflite/operations, version 2 of each) and
is done in their float32 and order where it moves results. A group of operators of one kind is made
into one object when the model is loaded; per frame it reads and writes arrays by tensor number.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, MutableMapping, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from runtime.attention_split import CustomOperator, Shape
from runtime.errors import ViewfinderError

Floats = NDArray[np.float32]
Tensors = MutableMapping[int, Floats]
_f32 = np.float32
_HALF = _f32(0.5)


class Operators(Protocol):
    """A group of custom operators of one kind."""

    def run(self, tensors: Tensors) -> None:
        """Read their inputs and write their outputs."""
        ...


class LandmarksToTransformMatrix:
    """From landmarks (1, N, 3) to the (1, 4, 4) matrix that takes crop pixels to feature pixels.

    The crop is the box around a subset of the landmarks, in the frame in which two of them lie
    along x, grown by a factor.
    """

    def __init__(self, operators: Sequence[CustomOperator], shapes: Sequence[Shape]) -> None:
        self._nodes = []
        for operator in operators:
            options = _options(operator)
            chosen = np.array([int(i) for i in options["subset_idxs"]], dtype=np.intp)
            ends = (int(options["left_rotation_idx"]), int(options["right_rotation_idx"]))
            points = shapes[operator.inputs[0]][1]
            if not len(chosen) or not 0 <= min(*chosen, *ends) <= max(*chosen, *ends) < points:
                raise ValueError("landmark out of range")
            size = (float(options["output_width"]), float(options["output_height"]))
            if min(size) <= 0:
                raise ValueError("no output")
            scale = (_f32(options["scale_x"]), _f32(options["scale_y"]))
            target = _f32(options["target_rotation_radians"])
            self._nodes.append(
                (operator.inputs[0], operator.outputs[0], chosen, ends, scale, size, target)
            )

    def run(self, tensors: Tensors) -> None:
        """Write each matrix."""
        for source, output, subset, (left, right), scale, size, target in self._nodes:
            points = tensors[source][0]
            across = points[right] - points[left]
            turn = target - _f32(math.atan2(across[1], across[0]))
            cos, sin = _f32(math.cos(turn)), _f32(math.sin(turn))
            x, y = points.take(subset, axis=0)[:, :2].T
            along, down = x * cos - y * sin, x * sin + y * cos
            low_x, high_x, low_y, high_y = along.min(), along.max(), down.min(), down.max()
            mid_x, mid_y = (low_x + high_x) / _f32(2), (low_y + high_y) / _f32(2)
            grow_x = scale[0] * (high_x - low_x) / _f32(size[0])
            grow_y = scale[1] * (high_y - low_y) / _f32(size[1])
            half_x, half_y = _f32(size[0] / -2), _f32(size[1] / -2)
            a, b, c, d = cos * grow_x, sin * grow_y, -sin * grow_x, cos * grow_y
            tensors[output][0] = (
                (a, b, 0, a * half_x + b * half_y + (mid_x * cos + mid_y * sin)),
                (c, d, 0, c * half_x + d * half_y + (mid_y * cos - mid_x * sin)),
                (0, 0, 1, 0),
                (0, 0, 0, 1),
            )


class TransformTensorBilinear:
    """Crops of a feature map (1, H, W, C), each through its own matrix, sampled bilinearly.

    Pixel centres lie at half integers; what falls outside the map is 0.
    """

    def __init__(self, operators: Sequence[CustomOperator], shapes: Sequence[Shape]) -> None:
        self._source = operators[0].inputs[0]
        self._matrices = [operator.inputs[1] for operator in operators]
        self._outputs = [operator.outputs[0] for operator in operators]
        batch, self._height, self._width, self._channels = shapes[self._source]
        sizes = {shapes[output] for output in self._outputs}
        if batch != 1 or len(sizes) != 1 or {o.inputs[0] for o in operators} != {self._source}:
            raise ValueError("crops of different maps or sizes")
        _, height, width, channels = sizes.pop()
        if channels != self._channels:
            raise ValueError("channels differ")
        y, x = np.indices((height, width), dtype=np.float32).reshape(2, 1, 1, -1)
        self._x, self._y = x[0], y[0]
        self._limits = np.array([self._width - 1, self._height - 1], dtype=np.float32)[:, None]
        count = len(operators) * height * width
        self._corners = [np.empty((count, channels), dtype=np.float32) for _ in range(4)]
        self._shape = (len(operators), height, width, channels)

    def run(self, tensors: Tensors) -> None:
        """Write each crop."""
        matrix = np.concatenate([tensors[number] for number in self._matrices])[:, :2]
        shift = matrix[..., 3] + (matrix[..., 0] * 0.5 + matrix[..., 1] * 0.5 - 0.5)
        # (crops, 2, pixels) x and y in the map
        at = matrix[..., 0, None] * self._x + matrix[..., 1, None] * self._y + shift[..., None]
        inside = np.fmin(np.fmax(at, 0), self._limits)
        floor = np.floor(inside)
        fraction = inside - floor
        whole = floor.astype(np.intp)
        first = (whole[:, 1] * self._width + whole[:, 0]).ravel()
        self._blend(tensors[self._source].reshape(-1, self._channels), first, fraction)
        crops = self._corners[0].reshape(self._shape)
        for number, crop in zip(self._outputs, crops):
            tensors[number][0] = crop
        if not np.array_equal(inside, at):
            outside = (inside != at).any(axis=1).reshape(self._shape[:3])
            for number, mask in zip(self._outputs, outside):
                tensors[number][0][mask] = 0

    def _blend(self, pixels: Floats, first: NDArray[np.intp], fraction: Floats) -> None:
        upper, right, lower, both = self._corners
        for corner, step in zip(self._corners, (0, 1, self._width, self._width + 1)):
            np.take(pixels, first + step, axis=0, out=corner, mode="clip")
        x, y = fraction[:, 0].reshape(-1, 1), fraction[:, 1].reshape(-1, 1)
        for start, end, weight in ((upper, right, x), (lower, both, x), (upper, lower, y)):
            np.subtract(end, start, out=end)
            np.multiply(end, weight, out=end)
            np.add(start, end, out=start)


class TransformLandmarks:
    """Landmarks (1, N, 2) from a crop's pixels back into the whole, by the same matrix."""

    def __init__(self, operators: Sequence[CustomOperator], shapes: Sequence[Shape]) -> None:
        self._nodes = [(*operator.inputs, operator.outputs[0]) for operator in operators]
        for points, matrix, output in self._nodes:
            if shapes[matrix] != (1, 4, 4) or shapes[points] != shapes[output]:
                raise ValueError("not landmarks and a matrix")
            if len(shapes[points]) != 3 or shapes[points][2] != 2:
                raise ValueError("not two coordinates")

    def run(self, tensors: Tensors) -> None:
        """Write the landmarks."""
        for source, matrix, output in self._nodes:
            points, (row_x, row_y) = tensors[source][0], tensors[matrix][0, :2]
            x, y = points[:, 0], points[:, 1]
            moved = tensors[output][0]
            np.add(x * row_x[0] + y * row_x[1], row_x[3], out=moved[:, 0])
            np.add(x * row_y[0] + y * row_y[1], row_y[3], out=moved[:, 1])


KINDS: Mapping[str, Callable[[Sequence[CustomOperator], Sequence[Shape]], Operators]] = {
    "Landmarks2TransformMatrix@2": LandmarksToTransformMatrix,
    "TransformTensorBilinear@2": TransformTensorBilinear,
    "TransformLandmarks@2": TransformLandmarks,
}
"""Operator and version -> what runs it."""


def make_operators(
    operators: Sequence[CustomOperator], shapes: Sequence[Shape], name: str
) -> Operators:
    """What runs a group of custom operators of one kind.

    Args:
        operators: of one kind, none of which waits for another.
        shapes: of all the model's tensors.
        name: what errors call the model.

    Raises:
        ViewfinderError: a kind that isn't known, or options or shapes that aren't right.
    """
    kind = operators[0].kind
    if kind not in KINDS:
        raise ViewfinderError(
            "this model holds an operator that can't be run", file=name,
            expected=" | ".join(KINDS), found=kind,
        )  # fmt: skip
    try:
        return KINDS[kind](operators, shapes)
    except (ValueError, KeyError, TypeError, IndexError) as error:
        raise ViewfinderError(
            "an operator of this model is damaged", file=name, field=kind, found=str(error)
        ) from error


def _options(operator: CustomOperator) -> dict[str, Any]:
    import struct

    from flatbuffers import flexbuffers

    try:
        options = flexbuffers.Loads(operator.options)
    except (struct.error, AssertionError, UnicodeDecodeError) as error:
        raise ValueError("its options can't be read") from error
    if not isinstance(options, dict):
        raise ValueError("its options are no map")
    return options
