"""Tiny .tflite models built for tests, so that these need no fetched files.

Each has one picture as input; its outputs are constants plus the picture's mean times zero, so that
what a solution must answer is known exactly.
"""

from __future__ import annotations

from collections.abc import Mapping

import ai_edge_litert.schema_py_generated as schema
import flatbuffers
import numpy as np


def constant_model(
    width: int, height: int, outputs: Mapping[str, np.ndarray], mean_factor: float = 0.0
) -> bytes:
    """A float32 model of a (1, height, width, 3) picture.

    Args:
        width, height: of the picture.
        outputs: name -> float32 values of that shape, any shape with a leading 1.
        mean_factor: how much of the picture's mean is added to every value.
    """
    model = schema.ModelT()
    model.version = 3
    model.description = b"test model"
    model.buffers = [schema.BufferT()]
    graph = schema.SubGraphT()
    graph.name = b"main"
    graph.tensors, graph.operators = [], []
    picture = _tensor(model, graph, "picture", (1, height, width, 3))
    axes = _tensor(model, graph, "axes", (3,), np.array([1, 2, 3], dtype=np.int32))
    factor = _tensor(model, graph, "factor", (1,), np.array([mean_factor], dtype=np.float32))
    mean = _tensor(model, graph, "mean", (1,))
    part = _tensor(model, graph, "part", (1,))
    model.operatorCodes = [
        _code(schema.BuiltinOperator.MEAN),
        _code(schema.BuiltinOperator.MUL),
        _code(schema.BuiltinOperator.ADD),
    ]
    _operator(graph, 0, [picture, axes], mean, schema.BuiltinOptions.ReducerOptions,
              schema.ReducerOptionsT())  # fmt: skip
    _operator(
        graph, 1, [mean, factor], part, schema.BuiltinOptions.MulOptions, schema.MulOptionsT()
    )
    graph.inputs, graph.outputs = [picture], []
    for name, values in outputs.items():
        constant = _tensor(
            model, graph, f"{name}_constant", values.shape, values.astype(np.float32)
        )
        output = _tensor(model, graph, name, values.shape)
        _operator(graph, 2, [constant, part], output, schema.BuiltinOptions.AddOptions,
                  schema.AddOptionsT())  # fmt: skip
        graph.outputs.append(output)
    model.subgraphs = [graph]
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def pooling_model(
    rows: int, columns: int, channels: int, keep: bool, axes: tuple[int, ...] = (1, 2)
) -> bytes:
    """A float32 model that is the mean of a (1, rows, columns, channels) array.

    Args:
        rows, columns, channels: of the input "array".
        keep: whether the output "mean" keeps the sides that the mean is over, as 1.
        axes: that it is over.
    """
    model, graph = schema.ModelT(), schema.SubGraphT()
    model.version, model.description, model.buffers = 3, b"test model", [schema.BufferT()]
    graph.name, graph.tensors, graph.operators = b"main", [], []
    sides = (1, rows, columns, channels)
    kept = tuple(1 if i in axes else side for i, side in enumerate(sides))
    shape = kept if keep else tuple(side for i, side in enumerate(sides) if i not in axes)
    array = _tensor(model, graph, "array", sides)
    over = _tensor(model, graph, "axes", (len(axes),), np.array(axes, dtype=np.int32))
    mean = _tensor(model, graph, "mean", shape)
    options = schema.ReducerOptionsT()
    options.keepDims = keep
    model.operatorCodes = [_code(schema.BuiltinOperator.MEAN)]
    _operator(graph, 0, [array, over], mean, schema.BuiltinOptions.ReducerOptions, options)
    graph.inputs, graph.outputs = [array], [mean]
    model.subgraphs = [graph]
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def _tensor(
    model: schema.ModelT, graph: schema.SubGraphT, name: str, shape: tuple[int, ...],
    values: np.ndarray | None = None,
) -> int:  # fmt: skip
    tensor = schema.TensorT()
    tensor.name = name.encode()
    tensor.shape = list(shape)
    tensor.type = schema.TensorType.FLOAT32
    tensor.buffer = 0
    if values is not None:
        buffer = schema.BufferT()
        buffer.data = np.frombuffer(values.tobytes(), dtype=np.uint8)
        model.buffers.append(buffer)
        tensor.buffer = len(model.buffers) - 1
        if values.dtype == np.int32:
            tensor.type = schema.TensorType.INT32
    graph.tensors.append(tensor)
    return len(graph.tensors) - 1


def _code(builtin: int) -> schema.OperatorCodeT:
    code = schema.OperatorCodeT()
    code.builtinCode = code.deprecatedBuiltinCode = builtin
    code.version = 1
    return code


def _operator(
    graph: schema.SubGraphT, code: int, inputs: list[int], output: int, kind: int, options: object
) -> None:
    operator = schema.OperatorT()
    operator.opcodeIndex = code
    operator.inputs, operator.outputs = inputs, [output]
    operator.builtinOptionsType, operator.builtinOptions = kind, options
    graph.operators.append(operator)
