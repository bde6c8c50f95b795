"""A TFLite graph cut at its custom operators, into models of built-in operators alone.

LiteRT refuses a graph that holds an operator it doesn't know. MediaPipe's attention face mesh has
eleven of three kinds; between them stand only built-in ones. Cut there, each piece runs in LiteRT
by itself and the custom operators run in our own code. The pieces are made anew from the user's
file every time it is loaded: nothing is written.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from runtime.errors import ViewfinderError

Shape = tuple[int, ...]


@dataclass(frozen=True)
class CustomOperator:
    """A custom operator: its name, FlexBuffer options, and the tensors it reads and writes."""

    kind: str
    options: bytes
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]


@dataclass(frozen=True)
class Reshape:
    """A tensor under another number: the same values in another shape."""

    source: int
    target: int


@dataclass(frozen=True)
class Piece:
    """A .tflite file of built-in operators, and the tensors of the whole it takes and gives."""

    data: bytes
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]


Step = Piece | Reshape | tuple[CustomOperator, ...]


@dataclass(frozen=True)
class SplitGraph:
    """A graph as steps that run one after another; tensors go by their number in the file.

    Attributes:
        steps: pieces, reshapes, and custom operators; those that may run together stand together.
        inputs, outputs: of the whole graph.
        names, shapes: of all its tensors.
    """

    steps: tuple[Step, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    names: tuple[str, ...]
    shapes: tuple[Shape, ...]


def split_graph(data: bytes, name: str) -> SplitGraph:
    """Cut a model.

    Args:
        data: the .tflite file's content.
        name: what errors call it.

    Raises:
        ViewfinderError: not a model, or one whose graph can't be cut (several subgraphs, state).
    """
    from ai_edge_litert import schema_py_generated as schema

    try:
        model = schema.ModelT.InitFromPackedBuf(bytearray(data), 0)
        if len(model.subgraphs) != 1:
            raise ViewfinderError(
                "this model can't be run in pieces", file=name, expected="one subgraph",
                found=len(model.subgraphs),
            )  # fmt: skip
        return _Splitter(model).split()
    except (
        struct.error, ValueError, TypeError, IndexError, KeyError, AttributeError, MemoryError,
        OverflowError, RecursionError,
    ) as error:  # fmt: skip
        raise ViewfinderError("this model's file is damaged", file=name) from error


class _Splitter:
    """Cuts one parsed model."""

    def __init__(self, model: Any) -> None:
        from ai_edge_litert import schema_py_generated as schema

        self._schema = schema
        self._model = model
        self._graph = model.subgraphs[0]
        self._operators = list(self._graph.operators)
        self._custom = [self._is_custom(operator) for operator in self._operators]
        # Tensors known without the input, and what makes them: float16 weights made float32.
        self._fixed: dict[int, int | None] = {}
        for number, tensor in enumerate(self._graph.tensors):
            data = model.buffers[tensor.buffer].data
            if data is not None and len(data):
                self._fixed[number] = None
        for index, operator in enumerate(self._operators):
            if not self._custom[index] and all(t in self._fixed for t in _used(operator.inputs)):
                self._fixed |= {int(t): index for t in operator.outputs}

    def split(self) -> SplitGraph:
        graph = self._graph
        waves = self._waves()
        steps: list[Step] = []
        for number in range(max(waves.values(), default=0) + 1):
            members = [i for i, wave in waves.items() if wave == number]
            steps += self._builtin_steps([i for i in members if not self._custom[i]])
            steps += self._custom_steps([i for i in members if self._custom[i]])
        return SplitGraph(
            tuple(steps),
            tuple(int(i) for i in graph.inputs),
            tuple(int(i) for i in graph.outputs),
            tuple((tensor.name or b"").decode("utf-8", "replace") for tensor in graph.tensors),
            tuple(_shape(tensor) for tensor in graph.tensors),
        )

    def _is_custom(self, operator: Any) -> bool:
        code = self._model.operatorCodes[operator.opcodeIndex]
        return max(code.builtinCode, code.deprecatedBuiltinCode) == (
            self._schema.BuiltinOperator.CUSTOM
        )

    def _is_reshape(self, index: int) -> bool:
        code = self._model.operatorCodes[self._operators[index].opcodeIndex]
        return max(code.builtinCode, code.deprecatedBuiltinCode) == (
            self._schema.BuiltinOperator.RESHAPE
        )

    def _waves(self) -> dict[int, int]:
        """Operator -> how many custom ones lie upstream of it at most; without the fixed ones.

        Built-in ones of a wave on which no custom operator of that wave waits are moved into the
        next, so that the graph falls into as few pieces as possible.
        """
        level = [0] * len(self._graph.tensors)
        waves = {}
        for i, operator in enumerate(self._operators):
            if all(t in self._fixed for t in operator.outputs):
                continue
            waves[i] = max((level[t] for t in _used(operator.inputs)), default=0)
            for output in operator.outputs:
                level[output] = waves[i] + self._custom[i]
        for wave in range(max(waves.values(), default=0)):
            members = [i for i, found in waves.items() if found == wave]
            built = {t for i in members if not self._custom[i] for t in self._operators[i].outputs}
            read = {t for i in members if self._custom[i] for t in self._operators[i].inputs}
            if not built & read:
                waves |= {i: wave + 1 for i in members if not self._custom[i]}
        return waves

    def _builtin_steps(self, members: list[int]) -> list[Step]:
        if members and not all(self._is_reshape(i) for i in members):
            return [self._piece(members)]
        return [
            Reshape(int(self._operators[i].inputs[0]), int(self._operators[i].outputs[0]))
            for i in members
        ]

    def _custom_steps(self, members: list[int]) -> list[Step]:
        """Custom operators in groups, each reading only what earlier groups have written."""
        steps: list[Step] = []
        left = members
        while left:
            pending = {t for i in left for t in self._operators[i].outputs}
            ready = [i for i in left if not pending & set(self._operators[i].inputs)]
            if not ready:
                raise ValueError("custom operators wait for each other")
            for kind in sorted({self._kind(i) for i in ready}):
                steps.append(
                    tuple(self._custom_operator(i) for i in ready if self._kind(i) == kind)
                )
            left = [i for i in left if i not in ready]
        return steps

    def _kind(self, index: int) -> str:
        code = self._model.operatorCodes[self._operators[index].opcodeIndex]
        return f"{(code.customCode or b'').decode('ascii', 'replace')}@{code.version}"

    def _custom_operator(self, index: int) -> CustomOperator:
        operator = self._operators[index]
        options = operator.customOptions
        return CustomOperator(
            self._kind(index),
            b"" if options is None else bytes(bytearray(options)),
            tuple(int(i) for i in operator.inputs),
            tuple(int(i) for i in operator.outputs),
        )

    def _piece(self, members: list[int]) -> Piece:
        """A model of those operators, its weights among its buffers and nobody else's."""
        import flatbuffers

        operators = [self._operators[i] for i in self._with_fixed(members)]
        made = {int(t) for operator in operators for t in operator.outputs}
        read = {t for operator in operators for t in _used(operator.inputs)}
        others = [o for i, o in enumerate(self._operators) if i not in set(members)]
        wanted = {t for operator in others for t in _used(operator.inputs)}
        wanted |= {int(t) for t in self._graph.outputs}
        inputs = sorted(read - made - self._fixed.keys())
        outputs = sorted((made & wanted) - self._fixed.keys())
        builder = flatbuffers.Builder(1 << 20)
        builder.Finish(self._piece_model(operators, inputs, outputs).Pack(builder), b"TFL3")
        return Piece(bytes(builder.Output()), tuple(inputs), tuple(outputs))

    def _piece_model(self, operators: list[Any], inputs: list[int], outputs: list[int]) -> Any:
        schema, source = self._schema, self._graph
        used = sorted({int(t) for o in operators for t in (*_used(o.inputs), *o.outputs)})
        place = {tensor: i for i, tensor in enumerate(used)}
        empty = schema.BufferT()
        buffers, tensors = [empty], []
        for number in used:
            tensor = _copy(schema.TensorT, source.tensors[number])
            buffer = self._model.buffers[tensor.buffer]
            tensor.buffer = 0
            if buffer.data is not None and len(buffer.data):
                tensor.buffer = len(buffers)
                buffers.append(buffer)
            tensors.append(tensor)
        codes = sorted({operator.opcodeIndex for operator in operators})
        graph = schema.SubGraphT()
        graph.name, graph.tensors, graph.operators = b"main", tensors, []
        for operator in operators:
            renumbered = _copy(schema.OperatorT, operator)
            renumbered.opcodeIndex = codes.index(operator.opcodeIndex)
            renumbered.inputs = [place[int(t)] if t >= 0 else -1 for t in operator.inputs]
            renumbered.outputs = [place[int(t)] for t in operator.outputs]
            graph.operators.append(renumbered)
        graph.inputs = [place[t] for t in inputs]
        graph.outputs = [place[t] for t in outputs]
        piece = schema.ModelT()
        piece.version, piece.description = self._model.version, b""
        piece.operatorCodes = [self._model.operatorCodes[code] for code in codes]
        piece.buffers, piece.subgraphs = buffers, [graph]
        return piece

    def _with_fixed(self, members: list[int]) -> list[int]:
        """Those operators and the fixed ones that they need, in the order of the file."""
        found, left = set(members), list(members)
        while left:
            for tensor in _used(self._operators[left.pop()].inputs):
                maker = self._fixed.get(tensor)
                if maker is not None and maker not in found:
                    found.add(maker)
                    left.append(maker)
        return sorted(found)


def _used(tensors: Iterable[int]) -> list[int]:
    return [int(t) for t in tensors if t >= 0]  # -1 stands for an optional input left out


def _shape(tensor: Any) -> Shape:
    return tuple(int(side) for side in tensor.shape) if tensor.shape is not None else ()


def _copy(kind: Any, source: Any) -> Any:
    copied = kind()
    copied.__dict__.update(source.__dict__)
    return copied
