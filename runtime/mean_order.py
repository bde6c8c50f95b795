"""Means over a picture, added up in the order of MediaPipe 0.10.14's XNNPACK.

A hand model ends in the mean of 7 x 7 pixels. LiteRT's XNNPACK adds them one after the other; the
one in MediaPipe 0.10.14 added seven at a time (kernel f32-gavgpool-7p7x). The landmarks differ by
1e-5 px, too little to see; but a hand is followed from its own landmarks, the crop rounds to
1/32 px, and within seconds the difference has grown to 0.9 px. So the mean is replaced by additions
in that order, all of which XNNPACK takes: with them every landmark is the same to the last bit.
The other models followed from frame to frame (faces, bodies) hold no such mean.
"""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

from runtime.released import RELEASED_BY_NAME

REORDERED = (
    "hand_landmark_full", "hand_landmark_lite", "object_detection_3d_cup",
    "object_detection_3d_camera", "object_detection_3d_chair", "object_detection_3d_sneakers",
)  # fmt: skip
"""Released models whose mean is reordered: theirs are the answers that are known."""
_PASS = 7


def is_reordered(data: bytes) -> bool:
    """Whether that file is one of `REORDERED`."""
    known = {RELEASED_BY_NAME[name].size: RELEASED_BY_NAME[name].sha256 for name in REORDERED}
    return len(data) in known and hashlib.sha256(data).hexdigest() == known[len(data)]


def with_reordered_means(data: bytes) -> bytes:
    """The model with every mean over rows and columns replaced; made for `REORDERED`.

    Args:
        data: a .tflite file's content.
    """
    import flatbuffers
    from ai_edge_litert import schema_py_generated as schema

    model = schema.ModelT.InitFromPackedBuf(bytearray(data), 0)
    for graph in model.subgraphs:
        writer = _Writer(model, graph)
        for operator in graph.operators:
            writer.copy(operator)
        graph.operators = writer.operators
    builder = flatbuffers.Builder(len(data) + (1 << 16))
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


class _Writer:
    """Writes a graph's operators anew, other ones in place of means."""

    def __init__(self, model: Any, graph: Any) -> None:
        from ai_edge_litert import schema_py_generated as schema

        self._schema = schema
        self._model = model
        self._graph = graph
        self.operators: list[Any] = []

    def copy(self, operator: Any) -> None:
        code = self._model.operatorCodes[operator.opcodeIndex]
        kind = max(code.builtinCode, code.deprecatedBuiltinCode)
        source, target = int(operator.inputs[0]), int(operator.outputs[0])
        shape = self._shape(source)
        if kind != self._schema.BuiltinOperator.MEAN or not _is_pooled(shape, self._shape(target)):
            self.operators.append(operator)
            return
        pixels, channels = shape[1] * shape[2], shape[3]
        total = self._sum(self._reshape(source, (pixels // _PASS, _PASS, channels)))
        share = self._constant(np.array([np.float32(1) / np.float32(pixels)], dtype=np.float32))
        mean = self._add_operator("MUL", (total, share), self._tensor((1, 1, channels)))
        self._reshape(mean, self._shape(target), target)

    def _sum(self, pixels: int) -> int:
        """The kernel's passes, each over seven pixels and what the passes before have given."""
        passes, _, channels = self._shape(pixels)
        p = [self._slice(pixels, (0, i, 0), (passes, 1, channels)) for i in range(_PASS)]
        p01, p23, p45 = self._add(p[0], p[1]), self._add(p[2], p[3]), self._add(p[4], p[5])
        p0123 = self._add(p01, p23)

        def at(tensor: int, number: int) -> int:
            return self._slice(tensor, (number, 0, 0), (1, 1, channels))

        total = self._add(self._add(at(p01, 0), at(p[6], 0)), self._add(at(p23, 0), at(p45, 0)))
        for number in range(1, passes):
            last = self._add(at(p45, number), self._add(at(p[6], number), total))
            total = self._add(at(p0123, number), last)
        return total

    def _add(self, first: int, second: int) -> int:
        return self._add_operator("ADD", (first, second), self._tensor(self._shape(first)))

    def _slice(self, tensor: int, start: tuple[int, ...], size: tuple[int, ...]) -> int:
        bounds = [self._constant(np.array(values, dtype=np.int32)) for values in (start, size)]
        return self._add_operator("SLICE", (tensor, *bounds), self._tensor(size))

    def _reshape(self, tensor: int, shape: tuple[int, ...], target: int | None = None) -> int:
        sides = self._constant(np.array(shape, dtype=np.int32))
        target = self._tensor(shape) if target is None else target
        return self._add_operator("RESHAPE", (tensor, sides), target)

    def _add_operator(self, kind: str, inputs: tuple[int, ...], output: int) -> int:
        options = f"{kind.title()}Options"
        operator = self._schema.OperatorT()
        operator.opcodeIndex = self._code(getattr(self._schema.BuiltinOperator, kind))
        operator.inputs, operator.outputs = list(inputs), [output]
        operator.builtinOptionsType = getattr(self._schema.BuiltinOptions, options)
        operator.builtinOptions = getattr(self._schema, f"{options}T")()
        self.operators.append(operator)
        return output

    def _code(self, kind: int) -> int:
        codes = self._model.operatorCodes
        for index, code in enumerate(codes):
            if max(code.builtinCode, code.deprecatedBuiltinCode) == kind:
                return index
        code = self._schema.OperatorCodeT()
        code.builtinCode = code.deprecatedBuiltinCode = kind
        code.version = 1
        codes.append(code)
        return len(codes) - 1

    def _constant(self, values: NDArray[Any]) -> int:
        buffer = self._schema.BufferT()
        buffer.data = np.frombuffer(values.tobytes(), dtype=np.uint8)
        self._model.buffers.append(buffer)
        kinds = {"f": self._schema.TensorType.FLOAT32, "i": self._schema.TensorType.INT32}
        return self._tensor(values.shape, kinds[values.dtype.kind], len(self._model.buffers) - 1)

    def _tensor(self, shape: tuple[int, ...], kind: int | None = None, buffer: int = 0) -> int:
        tensor = self._schema.TensorT()
        tensor.name = b"mean_order"
        tensor.shape = list(shape)
        tensor.type = self._schema.TensorType.FLOAT32 if kind is None else kind
        tensor.buffer = buffer
        self._graph.tensors.append(tensor)
        return len(self._graph.tensors) - 1

    def _shape(self, tensor: int) -> tuple[int, ...]:
        shape = self._graph.tensors[tensor].shape
        return () if shape is None else tuple(int(side) for side in shape)


def _is_pooled(source: tuple[int, ...], target: tuple[int, ...]) -> bool:
    """Whether these are the shapes of a picture and of its mean, in whole passes."""
    if len(source) != 4 or source[0] != 1:
        return False
    pixels = source[1] * source[2]
    return pixels > _PASS and pixels % _PASS == 0 and target in (
        (1, source[3]), (1, 1, 1, source[3])
    )  # fmt: skip
