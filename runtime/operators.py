"""What a TFLite model consists of, read from its flatbuffer: operators, tensors, multiplications.

Only for models that went through `runtime.trust`: a hostile flatbuffer is refused there.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from functools import cache
from typing import Any

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Operator:
    """One node of a model's graph.

    Attributes:
        name: TFLite's, such as CONV_2D; a custom operator's own name.
        custom: whether it isn't one of TFLite's.
        inputs, outputs: shapes; () also stands for an input left out.
        macs: multiplications with addition, counted densely; 0 for operators that only move or
            combine numbers.
    """

    name: str
    custom: bool
    inputs: tuple[Shape, ...]
    outputs: tuple[Shape, ...]
    macs: int


def model_operators(data: bytes) -> list[Operator]:
    """Every operator of a model, in order; those of subgraphs after the main graph's.

    A loop's body counts once.
    """
    # Imported here: 50,000 lines of generated code.
    from ai_edge_litert import schema_py_generated as schema

    model = schema.Model.GetRootAs(data, 0)
    return [
        _operator(model, graph, graph.Operators(node))
        for graph in (model.Subgraphs(index) for index in range(model.SubgraphsLength()))
        for node in range(graph.OperatorsLength())
    ]


def operator_counts(operators: list[Operator]) -> dict[str, int]:
    """Operator name -> how many, the most frequent first."""
    return dict(Counter(operator.name for operator in operators).most_common())


def _operator(model: Any, graph: Any, node: Any) -> Operator:
    code = model.OperatorCodes(node.OpcodeIndex())
    # Old files keep the code in a byte, which can't say more than 127.
    builtin = max(code.BuiltinCode(), code.DeprecatedBuiltinCode())
    name = _builtin_names().get(builtin, f"operator {builtin}")
    if name == "CUSTOM" and code.CustomCode():
        name = code.CustomCode().decode(errors="replace")
    inputs = tuple(_shape(graph, node.Inputs(i)) for i in range(node.InputsLength()))
    outputs = tuple(_shape(graph, node.Outputs(i)) for i in range(node.OutputsLength()))
    return Operator(
        name, bool(code.CustomCode()), inputs, outputs, multiplications(name, inputs, outputs)
    )


def _shape(graph: Any, index: int) -> Shape:
    if index < 0:
        return ()
    tensor = graph.Tensors(index)
    return tuple(int(tensor.Shape(i)) for i in range(tensor.ShapeLength()))


@cache
def _builtin_names() -> dict[int, str]:
    from ai_edge_litert import schema_py_generated as schema

    kinds = vars(schema.BuiltinOperator).items()
    return {value: name for name, value in kinds if isinstance(value, int)}


def multiplications(name: str, inputs: tuple[Shape, ...], outputs: tuple[Shape, ...]) -> int:
    """Multiply-adds of an operator from its shapes.

    Weights are laid out as TFLite's reference kernels want them: convolutions (out, height, width,
    in per group), depthwise (1, height, width, out), fully connected (out, in), transposed
    convolutions (out, height, width, in).
    """
    match name:
        case "CONV_2D" | "CONV_3D":
            weights = inputs[1]
            per_value = math.prod(weights[:-1] if name == "CONV_3D" else weights[1:])
            return math.prod(outputs[0]) * per_value
        case "DEPTHWISE_CONV_2D":
            return math.prod(outputs[0]) * math.prod(inputs[1][1:3])
        case "FULLY_CONNECTED":
            return math.prod(outputs[0]) * inputs[1][-1]
        case "TRANSPOSE_CONV":
            return math.prod(inputs[2]) * math.prod(inputs[1][:3])
        case "Convolution2DTransposeBias":  # MediaPipe's own: picture, weights, bias
            return math.prod(inputs[0]) * math.prod(inputs[1][:3])
        case "BATCH_MATMUL":
            return math.prod(outputs[0]) * _inner_side(inputs, outputs)
    return 0


def _inner_side(inputs: tuple[Shape, ...], outputs: tuple[Shape, ...]) -> int:
    """The side that a matrix product sums over, whichever operand is transposed."""
    rows = outputs[0][-2]
    first = inputs[0][-2:]
    return first[1] if first[0] == rows else first[0]
