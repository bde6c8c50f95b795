"""Well-formed models that do harm: one that never ends, one that calls itself, one that is huge."""

from __future__ import annotations

import ai_edge_litert.schema_py_generated as schema
import flatbuffers
import numpy as np


def endless_model() -> bytes:
    """While true: the same again."""
    return _loop(body=2)


def self_calling_model() -> bytes:
    """A loop whose body is the loop."""
    return _loop(body=0)


def _loop(body: int) -> bytes:
    model = _empty()
    main = _graph(schema.TensorType.FLOAT32, schema.TensorType.FLOAT32)
    _while(main, condition=1, body=body)
    condition = _graph(schema.TensorType.FLOAT32, schema.TensorType.BOOL)
    condition.tensors[1].buffer = _buffer(model, np.array([True]))
    nothing = _graph(schema.TensorType.FLOAT32)
    model.subgraphs = [main, condition, nothing]
    return _packed(model)


def _empty() -> schema.ModelT:
    model = schema.ModelT()
    model.version = 3
    model.buffers = [schema.BufferT()]
    code = schema.OperatorCodeT()
    code.builtinCode = code.deprecatedBuiltinCode = schema.BuiltinOperator.WHILE
    code.version = 1
    model.operatorCodes = [code]
    return model


def _buffer(model: schema.ModelT, values: np.ndarray) -> int:
    buffer = schema.BufferT()
    buffer.data = np.frombuffer(values.tobytes(), np.uint8)
    model.buffers.append(buffer)
    return len(model.buffers) - 1


def _graph(*types: int) -> schema.SubGraphT:
    """One input and one output of one number each; with one type they are the same tensor."""
    graph = schema.SubGraphT()
    graph.tensors, graph.operators = [], []
    for kind in types:
        tensor = schema.TensorT()
        tensor.name, tensor.shape, tensor.type, tensor.buffer = b"x", [1], kind, 0
        graph.tensors.append(tensor)
    graph.inputs, graph.outputs = [0], [len(types) - 1]
    return graph


def _while(graph: schema.SubGraphT, condition: int, body: int) -> None:
    options = schema.WhileOptionsT()
    options.condSubgraphIndex, options.bodySubgraphIndex = condition, body
    operator = schema.OperatorT()
    operator.opcodeIndex = 0
    operator.inputs, operator.outputs = [0], [1]
    operator.builtinOptionsType = schema.BuiltinOptions.WhileOptions
    operator.builtinOptions = options
    graph.operators.append(operator)


def _packed(model: schema.ModelT) -> bytes:
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())
