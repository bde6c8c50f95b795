"""MediaPipe's custom operators of the attention face mesh, in NumPy.

What they compute was read from MediaPipe's kernels (util/tflite/operations, version 2 of each) and
is done in their float32 and order where it moves results. A group of operators of one kind is made
into one object when the model is loaded; per frame it reads and writes arrays by tensor number.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, MutableMapping, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from runtime.attention.split import CustomOperator, Shape
from runtime.errors import ViewfinderError
from runtime.libm import atan2f, cosf, sinf

Floats = NDArray[np.float32]
Tensors = MutableMapping[int, Floats]
_f32 = np.float32
_TWO = _f32(2)


class Operators(Protocol):
    """A group of custom operators of one kind.

    Attributes:
        outputs: tensor number -> the array that each of them writes, every time the same.
    """

    outputs: dict[int, Floats]

    def run(self, tensors: Tensors) -> None:
        """Read their inputs and write their outputs."""
        ...


class LandmarksToTransformMatrix:
    """From landmarks (1, N, 3) to the (1, 4, 4) matrix that takes crop pixels to feature pixels.

    The crop is the box around a subset of the landmarks, in the frame in which two of them lie
    along x, grown by a factor.
    """

    def __init__(self, operators: Sequence[CustomOperator], shapes: Sequence[Shape]) -> None:
        options = [_options(operator) for operator in operators]
        self._sources = [operator.inputs[0] for operator in operators]
        self._subsets, self._ends = [], []
        for source, found in zip(self._sources, options):
            subset = np.array([int(i) for i in found["subset_idxs"]], dtype=np.intp)
            ends = (int(found["left_rotation_idx"]), int(found["right_rotation_idx"]))
            used = (*subset.tolist(), *ends)
            if not len(subset) or not 0 <= min(used) <= max(used) < shapes[source][1]:
                raise ValueError("landmark out of range")
            self._subsets.append(subset)
            self._ends.append(ends)
        self._targets = [_f32(found["target_rotation_radians"]) for found in options]
        self._size = _columns(options, "output_width", "output_height")
        if self._size.min() <= 0:
            raise ValueError("no output")
        self._scale = _columns(options, "scale_x", "scale_y")
        self._half = self._size / _f32(-2)
        # All crops at once: the smaller subsets repeat landmarks.
        longest = max(len(subset) for subset in self._subsets)
        self._subsets = [np.resize(subset, longest) for subset in self._subsets]
        self._points = np.zeros((len(operators), longest, 3), dtype=np.float32)
        self._turned = np.zeros((2, len(operators), longest), dtype=np.float32)
        self._matrices = np.zeros((len(operators), 4, 4), dtype=np.float32)
        self._matrices[:, 2, 2] = self._matrices[:, 3, 3] = 1
        self.outputs = _outputs(operators, self._matrices)

    def run(self, tensors: Tensors) -> None:
        """Write each matrix."""
        turns = []
        for number, (source, (left, right)) in enumerate(zip(self._sources, self._ends)):
            points = tensors[source][0]
            x, y = (points[right, :2] - points[left, :2]).tolist()
            turn = float(self._targets[number] - _f32(atan2f(y, x)))
            turns.append((cosf(turn), sinf(turn)))
            points.take(self._subsets[number], axis=0, out=self._points[number], mode="clip")
        turns_both = np.array(turns, dtype=np.float32)
        flat, turned = self._points[..., :2], self._turned
        cos_x, sin_y = np.moveaxis(flat * turns_both[:, None], 2, 0)
        sin_x, cos_y = np.moveaxis(flat * turns_both[:, None, ::-1], 2, 0)
        np.subtract(cos_x, sin_y, out=turned[0])
        np.add(sin_x, cos_y, out=turned[1])
        low, high = turned.min(axis=2), turned.max(axis=2)
        self._write(turns_both.T, (low + high) / _TWO, self._scale * (high - low) / self._size)

    def _write(self, turns: Floats, middle: Floats, grow: Floats) -> None:
        (cos, sin), (grow_x, grow_y), (half_x, half_y) = turns, grow, self._half
        (mid_x, mid_y), matrices = middle, self._matrices
        for row, first, second, centre in (
            (0, cos * grow_x, sin * grow_y, mid_x * cos + mid_y * sin),
            (1, -sin * grow_x, cos * grow_y, mid_y * cos - mid_x * sin),
        ):
            matrices[:, row, 0], matrices[:, row, 1] = first, second
            matrices[:, row, 3] = first * half_x + second * half_y + centre


class TransformTensorBilinear:
    """Crops of a feature map (1, H, W, C), each through its own matrix, sampled bilinearly.

    Pixel centres lie at half integers; what falls outside the map is 0.
    """

    def __init__(self, operators: Sequence[CustomOperator], shapes: Sequence[Shape]) -> None:
        self._source = operators[0].inputs[0]
        self._matrices = [operator.inputs[1] for operator in operators]
        batch, self._height, self._width, self._channels = shapes[self._source]
        sizes = {shapes[operator.outputs[0]] for operator in operators}
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
        self._sum = np.empty((count, channels), dtype=np.float64)
        self._shape = (len(operators), height, width, channels)
        self._crops = self._corners[0].reshape(self._shape)
        self.outputs = _outputs(operators, self._crops)

    def run(self, tensors: Tensors) -> None:
        """Write each crop."""
        matrix = np.concatenate([tensors[number] for number in self._matrices])[:, :2]
        centre = matrix.astype(np.float64)
        shift = centre[..., 3] + (centre[..., 0] * 0.5 + centre[..., 1] * 0.5 - 0.5)
        # (crops, 2, pixels) x and y in the map
        at = matrix[..., 0, None] * self._x + matrix[..., 1, None] * self._y
        at += shift.astype(np.float32)[..., None]
        inside = np.fmin(np.fmax(at, 0), self._limits)
        floor = np.floor(inside)
        whole = floor.astype(np.intp)
        first = (whole[:, 1] * self._width + whole[:, 0]).ravel()
        self._blend(tensors[self._source].reshape(-1, self._channels), first, inside - floor)
        if not (inside == at).all():
            self._crops[(inside != at).any(axis=1).reshape(self._shape[:3])] = 0

    def _blend(self, pixels: Floats, first: NDArray[np.intp], fraction: Floats) -> None:
        """Into the first of the four corners."""
        upper, right, lower, both = self._corners
        for corner, step in zip(self._corners, (0, 1, self._width, self._width + 1)):
            np.take(pixels, first + step, axis=0, out=corner, mode="clip")
        x, y = fraction[:, 0].reshape(-1, 1), fraction[:, 1].reshape(-1, 1)
        rest_x, rest_y = 1.0 - x.astype(np.float64), 1.0 - y.astype(np.float64)
        # One product in float32, the other and the sum in float64, as the kernel's types have it:
        # the landmarks decide where the next crop lies, so the last bit counts.
        for start, end, weight, rest in (
            (upper, right, x, rest_x), (lower, both, x, rest_x), (upper, lower, y, rest_y),
        ):  # fmt: skip
            np.multiply(end, weight, out=end)
            np.multiply(start, rest, out=self._sum)
            np.add(self._sum, end, out=start, casting="same_kind")


class TransformLandmarks:
    """Landmarks (1, N, 2) from a crop's pixels back into the whole, by the same matrix."""

    def __init__(self, operators: Sequence[CustomOperator], shapes: Sequence[Shape]) -> None:
        self._nodes: list[tuple[int, int, int, slice]] = []
        counts: list[int] = []
        for number, operator in enumerate(operators):
            points, matrix = operator.inputs
            if shapes[matrix] != (1, 4, 4) or shapes[points] != shapes[operator.outputs[0]]:
                raise ValueError("not landmarks and a matrix")
            if len(shapes[points]) != 3 or shapes[points][2] != 2:
                raise ValueError("not two coordinates")
            first = sum(counts)
            counts.append(shapes[points][1])
            self._nodes.append((number, points, matrix, slice(first, first + counts[-1])))
        # All landmarks at once, each with its own matrix's rows.
        self._whose = np.repeat(np.arange(len(operators)), counts)
        self._points = np.zeros((2, sum(counts)), dtype=np.float32)
        self._rows = np.zeros((len(operators), 2, 4), dtype=np.float32)
        moved = np.zeros((sum(counts), 2), dtype=np.float32)
        self._moved = moved.T
        self.outputs = {
            operator.outputs[0]: moved[None, part]
            for operator, (_, _, _, part) in zip(operators, self._nodes)
        }

    def run(self, tensors: Tensors) -> None:
        """Write the landmarks."""
        for number, points, matrix, part in self._nodes:
            self._points[:, part] = tensors[points][0].T
            self._rows[number] = tensors[matrix][0, :2]
        rows = self._rows.take(self._whose, axis=0).T  # (4, 2, landmarks)
        moved = self._moved
        np.multiply(self._points[0], rows[0], out=moved)
        moved += self._points[1] * rows[1]
        moved += rows[3]


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


def _outputs(operators: Sequence[CustomOperator], results: Floats) -> dict[int, Floats]:
    """Tensor number -> its part of the results, as a batch of one."""
    return {operator.outputs[0]: results[i : i + 1] for i, operator in enumerate(operators)}


def _columns(options: Sequence[Mapping[str, Any]], *names: str) -> Floats:
    """(names, operators) float32 values."""
    return np.array([[found[name] for found in options] for name in names], dtype=np.float32)


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
