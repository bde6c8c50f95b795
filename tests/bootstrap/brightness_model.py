"""A real .tflite whose answers are known: landmarks that stand still, moved by brightness.

mean = mean of the input; landmarks = mean * slope + template; presence logit = 20 * mean - 2.
Built straight from LiteRT's flatbuffer schema, in milliseconds.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema
from numpy.typing import NDArray

from runtime.bundle import Card, CardInput, CardModel, CardOutput, write_bundle

SIDE, EYE_SIDE = 192, 64


class _Graph:
    def __init__(self) -> None:
        self.model = schema.ModelT()
        self.model.version = 3
        self.model.buffers = [schema.BufferT()]
        self.graph = schema.SubGraphT()
        self.graph.tensors, self.graph.operators = [], []
        self.model.subgraphs, self.model.operatorCodes = [self.graph], []

    def tensor(self, name: str, shape: tuple[int, ...], data: np.ndarray | None = None) -> int:
        tensor = schema.TensorT()
        tensor.name, tensor.shape = name.encode(), list(shape)
        tensor.type = schema.TensorType.FLOAT32
        tensor.buffer = 0
        if data is not None:
            buffer = schema.BufferT()
            buffer.data = np.frombuffer(data.tobytes(), np.uint8)
            tensor.buffer = len(self.model.buffers)
            self.model.buffers.append(buffer)
            if data.dtype == np.int32:
                tensor.type = schema.TensorType.INT32
        self.graph.tensors.append(tensor)
        return len(self.graph.tensors) - 1

    def operator(self, code: int, kind: int, options: object, ins: list[int], out: int) -> None:
        opcode = schema.OperatorCodeT()
        opcode.builtinCode = opcode.deprecatedBuiltinCode = code
        opcode.version = 1
        self.model.operatorCodes.append(opcode)
        operator = schema.OperatorT()
        operator.opcodeIndex = len(self.model.operatorCodes) - 1
        operator.inputs, operator.outputs = ins, [out]
        operator.builtinOptionsType, operator.builtinOptions = kind, options
        self.graph.operators.append(operator)

    def line(
        self, source: int, name: str, slope: np.ndarray, offset: np.ndarray, dims: int = 4
    ) -> int:
        shape = (*(1,) * (dims - 1), slope.size)
        ops, options = schema.BuiltinOperator, schema.BuiltinOptions
        scaled, out = self.tensor(f"{name}_scaled", shape), self.tensor(name, shape)
        slope_at = self.tensor(f"{name}_slope", shape, slope.astype(np.float32))
        offset_at = self.tensor(f"{name}_offset", shape, offset.astype(np.float32))
        mul, add = schema.MulOptionsT(), schema.AddOptionsT()
        self.operator(ops.MUL, options.MulOptions, mul, [source, slope_at], scaled)
        self.operator(ops.ADD, options.AddOptions, add, [scaled, offset_at], out)
        return out

    def mean(self, side: int, dims: int) -> tuple[int, int]:
        """The picture and its mean, of so many dimensions."""
        picture = self.tensor("image", (1, side, side, 3))
        axes = self.tensor("axes", (3,), np.array([1, 2, 3], np.int32))
        mean = self.tensor("mean", (1,) * dims if dims == 4 else (1,))
        reducer = schema.ReducerOptionsT()
        reducer.keepDims = dims == 4
        ops, options = schema.BuiltinOperator, schema.BuiltinOptions
        self.operator(ops.MEAN, options.ReducerOptions, reducer, [picture, axes], mean)
        return picture, mean

    def packed(self, source: int, *answers: int) -> bytes:
        self.graph.inputs, self.graph.outputs = [source], list(answers)
        builder = flatbuffers.Builder(1024)
        builder.Finish(self.model.Pack(builder), b"TFL3")
        return bytes(builder.Output())


def brightness_tflite(
    template: NDArray[np.floating], slope: NDArray[np.floating] | None = None
) -> bytes:
    """The model's bytes.

    Args:
        template: (N, 3) landmarks over the crop, 0..1.
        slope: (N, 3) by how much a white picture moves them against a black one.
    """
    graph = _Graph()
    picture, mean = graph.mean(SIDE, 4)
    moved = np.zeros_like(template) if slope is None else slope
    landmarks = graph.line(mean, "landmarks", SIDE * moved.reshape(-1), SIDE * template.reshape(-1))
    presence = graph.line(mean, "presence", np.array([20.0]), np.array([-2.0]))
    return graph.packed(picture, landmarks, presence)


def brightness_bundle(
    path: Path, template: NDArray[np.floating], slope: NDArray[np.floating] | None = None
) -> str:
    """Write it as a face bundle without a detector; returns the bundle's SHA-256."""
    data = brightness_tflite(template, slope)
    outputs = (
        CardOutput("landmarks", (1, 1, 1, template.size), "landmarks"),
        CardOutput("presence", (1, 1, 1, 1), "presence_logit"),
    )
    entry = CardModel(
        "face_landmarks_detector.tflite", "landmarks", CardInput(SIDE, SIDE), outputs,
        f"face{len(template)}@1", hashlib.sha256(data).hexdigest(),
    )  # fmt: skip
    return write_bundle(path, {entry.file: data}, Card(task="face", models=(entry,)))


def iris_bundle(path: Path, template: NDArray[np.floating]) -> str:
    """Write an iris bundle that sees the same eye in every crop; returns the bundle's SHA-256.

    Args:
        path: of the bundle.
        template: (76, 3) a right eye's keypoints over the crop, 0..1.
    """
    graph = _Graph()
    picture, mean = graph.mean(EYE_SIDE, 2)
    answers = [
        graph.line(mean, name, np.zeros(part.size), EYE_SIDE * part.reshape(-1), dims=2)
        for name, part in (("eye", template[:71]), ("iris", template[71:]))
    ]
    data = graph.packed(picture, *answers)
    outputs = (CardOutput("eye", (1, 213), "eye"), CardOutput("iris", (1, 15), "iris"))
    entry = CardModel(
        "iris_landmark.tflite", "iris", CardInput(EYE_SIDE, EYE_SIDE), outputs, "",
        hashlib.sha256(data).hexdigest(),
    )  # fmt: skip
    return write_bundle(path, {entry.file: data}, Card(task="face", models=(entry,)))
