"""A model with custom operators, run in pieces: LiteRT for what it knows, NumPy for the rest."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from runtime.attention.operators import KINDS, Operators, Tensors, make_operators
from runtime.attention.split import Piece, Reshape, Shape, split_graph
from runtime.errors import ViewfinderError
from runtime.model import Model, TensorInfo

Floats = NDArray[np.float32]


def needs_splitting(data: bytes) -> bool:
    """Whether a .tflite file names one of the custom operators that are known here."""
    return any(kind.partition("@")[0].encode() in data for kind in KINDS)


class SplitModel(Model):
    """A model run in pieces; from the outside it is one.

    Its `invoke_seconds` are those of LiteRT in all pieces.

    Args:
        data: the .tflite file's content.
        name: what errors call it.
        threads: for XNNPACK.

    Raises:
        ViewfinderError: damaged, or not to be cut: an operator that isn't known, an input that the
            first piece doesn't take.
    """

    def __init__(self, data: bytes, name: str, threads: int = 1) -> None:
        graph = split_graph(data, name)
        first = graph.steps[0] if graph.steps else None
        if not isinstance(first, Piece) or first.inputs != graph.inputs:
            raise ViewfinderError("this model can't be run in pieces", file=name)
        super().__init__(first.data, name, threads)
        self._first = first
        self._steps: list[_PieceModel | _ReshapeStep | Operators] = []
        self._tensors: Tensors = {}
        for step in graph.steps[1:]:
            if isinstance(step, Piece):
                self._steps.append(_PieceModel(Model(step.data, name, threads), step))
            elif isinstance(step, Reshape):
                self._steps.append(_ReshapeStep(step, graph.shapes[step.target]))
            else:
                operators = make_operators(step, graph.shapes, name)
                self._tensors |= operators.outputs
                self._steps.append(operators)
        self._results = graph.outputs
        self.outputs = tuple(
            TensorInfo(graph.names[number], graph.shapes[number], "float32")
            for number in graph.outputs
        )

    def run(self) -> None:
        """Run on what is in the input."""
        tensors = self._tensors
        for number in self._first.outputs:
            tensors.pop(number, None)  # views into LiteRT's memory must not outlive a run
        super().run()
        for index, number in enumerate(self._first.outputs):
            tensors[number] = super().peek(index)
        for step in self._steps:
            step.run(tensors)
            if isinstance(step, _PieceModel):
                self.invoke_seconds += step.seconds

    def output(self, index: int) -> Floats:
        """A copy of that output, in the order of `outputs`."""
        return self.peek(index).copy()

    def peek(self, index: int) -> Floats:
        """That output without a copy: let go of it before the model runs again."""
        return self._tensors[self._results[index]]

    def _delegates(self) -> list[dict]:
        pieces = [step.model for step in self._steps if isinstance(step, _PieceModel)]
        return super()._delegates() + [one for piece in pieces for one in piece._delegates()]


class _PieceModel:
    """A piece after the first; `seconds` are those of its last run in LiteRT."""

    def __init__(self, model: Model, piece: Piece) -> None:
        self.model = model
        self.seconds = 0.0
        self._piece = piece

    def run(self, tensors: Tensors) -> None:
        model, piece = self.model, self._piece
        for number in piece.outputs:
            tensors.pop(number, None)
        for index, number in enumerate(piece.inputs):
            model.set_input(index, tensors[number])
        before = model.invoke_seconds
        model.run()
        self.seconds = model.invoke_seconds - before
        for index, number in enumerate(piece.outputs):
            tensors[number] = model.peek(index)


class _ReshapeStep:
    def __init__(self, step: Reshape, shape: Shape) -> None:
        self._step, self._shape = step, shape

    def run(self, tensors: Tensors) -> None:
        tensors[self._step.target] = tensors[self._step.source].reshape(self._shape)
