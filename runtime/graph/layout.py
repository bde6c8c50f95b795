"""Where a graph's calculators and streams lie in a picture: columns from left to right.

The usual four steps: columns by the longest way from the inputs; a bend in every column that a
stream passes; an order within each column that crosses few lines (barycentres); heights nearest to
those of their neighbours that keep their distance (isotonic regression).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Literal

from runtime.graph.definition import Graph, Input, Node

Kind = Literal["input", "node", "output", "bend"]

_SWEEPS = 24
_SPACE = {"input": 22.0, "node": 30.0, "output": 22.0, "bend": 18.0}


@dataclass(eq=False)
class Cell:
    """Something that takes up room in a column.

    Attributes:
        kind: a stream from outside, a calculator, a stream that is wanted, or a stream's bend.
        name: of the calculator or stream.
        column: from 0 at the left.
        height: in pixels.
        y: of its middle.
        node: of a calculator.
    """

    kind: Kind
    name: str
    column: int
    height: float
    y: float = 0.0
    node: Node | None = None
    before: list[Cell] = field(default_factory=list)
    after: list[Cell] = field(default_factory=list)


@dataclass(frozen=True)
class Link:
    """A piece of a stream from one column to the next, or a whole back edge.

    Attributes:
        stream: its name.
        source: where it comes from: a calculator, an input or a bend.
        target: where it goes.
        port: the input that it ends in; None at a bend or a wanted stream.
    """

    stream: str
    source: Cell
    target: Cell
    port: Input | None = None


@dataclass(frozen=True)
class Layout:
    """A graph laid out.

    Attributes:
        columns: of cells, from top to bottom.
        links: between neighbouring columns.
        back: back edges, from calculator or input to calculator.
        height: of the tallest column; y runs from 0 to it.
    """

    columns: tuple[tuple[Cell, ...], ...]
    links: tuple[Link, ...]
    back: tuple[Link, ...]
    height: float


def laid_out(graph: Graph, outputs: Sequence[str], height_of: Callable[[Node], float]) -> Layout:
    """Lay a graph out.

    Args:
        graph: sound.
        outputs: streams that are wanted, each shown at the right.
        height_of: of a calculator's box.

    Raises:
        ViewfinderError: the graph isn't sound.
    """
    building = _Building(graph, outputs, height_of)
    columns = building.columns()
    _order(columns)
    height = _place(columns)
    return Layout(
        tuple(map(tuple, columns)), tuple(building.links), tuple(building.back), height
    )  # fmt: skip


class _Building:
    def __init__(
        self, graph: Graph, outputs: Sequence[str], height_of: Callable[[Node], float]
    ) -> None:
        self.links: list[Link] = []
        self.back: list[Link] = []
        self._cells: list[Cell] = []
        self._sources: dict[str, Cell] = {}
        self._bends: dict[tuple[str, int], Cell] = {}
        nodes = graph.validate(outputs)
        for stream in graph.inputs:
            self._sources[stream] = self._cell("input", stream, 0, 30.0)
        cells = []
        for node in nodes:
            streams = [port.stream for port in node.inputs if port.kind != "back"]
            column = 1 + max((self._sources[stream].column for stream in streams), default=0)
            cell = self._cell("node", node.name, column, height_of(node), node)
            cells.append(cell)
            for stream in node.outputs:
                self._sources[stream] = cell
        for cell, node in zip(cells, nodes):
            for port in node.inputs:
                if port.kind == "back":
                    self.back.append(Link(port.stream, self._sources[port.stream], cell, port))
                else:
                    self._link(port.stream, cell, port)
        last = max((cell.column for cell in self._cells), default=0) + 1
        for stream in outputs:
            self._link(stream, self._cell("output", stream, last, 30.0))

    def columns(self) -> list[list[Cell]]:
        count = 1 + max((cell.column for cell in self._cells), default=0)
        return [[cell for cell in self._cells if cell.column == i] for i in range(count)]

    def _cell(
        self, kind: Kind, name: str, column: int, height: float, node: Node | None = None
    ) -> Cell:
        cell = Cell(kind, name, column, height, node=node)
        self._cells.append(cell)
        return cell

    def _link(self, stream: str, target: Cell, port: Input | None = None) -> None:
        at = self._sources[stream]
        for column in range(at.column + 1, target.column):
            bend = self._bends.get((stream, column))
            if bend is None:
                bend = self._bends[stream, column] = self._cell("bend", stream, column, 6.0)
                self._join(stream, at, bend, None)
            at = bend
        self._join(stream, at, target, port)

    def _join(self, stream: str, source: Cell, target: Cell, port: Input | None) -> None:
        self.links.append(Link(stream, source, target, port))
        source.after.append(target)
        target.before.append(source)


def _order(columns: list[list[Cell]]) -> None:
    best = [list(column) for column in columns]
    fewest = _crossings(best)
    for sweep in range(_SWEEPS):
        forward = sweep % 2 == 0
        for column in columns if forward else columns[::-1]:
            ranks = {id(cell): rank for other in columns for rank, cell in enumerate(other)}

            def middle(cell: Cell, ranks: dict[int, int] = ranks, forward: bool = forward) -> float:
                neighbours = cell.before if forward else cell.after
                if not neighbours:
                    return ranks[id(cell)]
                return sum(ranks[id(other)] for other in neighbours) / len(neighbours)

            column.sort(key=middle)
        crossings = _crossings(columns)
        if crossings < fewest:
            best, fewest = [list(column) for column in columns], crossings
    columns[:] = best


def _crossings(columns: Sequence[Sequence[Cell]]) -> int:
    count = 0
    for left, right in pairwise(columns):
        ranks = {id(cell): rank for rank, cell in enumerate(right)}
        ends = [ranks[id(target)] for cell in left for target in sorted(
            cell.after, key=lambda target: ranks[id(target)])]  # fmt: skip
        count += sum(a > b for i, a in enumerate(ends) for b in ends[i + 1 :])
    return count


def _place(columns: Sequence[Sequence[Cell]]) -> float:
    for column in columns:
        _spread(column, [0.0] * len(column))
    for sweep in range(_SWEEPS):
        for column in columns if sweep % 2 == 0 else columns[::-1]:
            _spread(column, [_wanted(cell) for cell in column])
    cells = [cell for column in columns for cell in column]
    top = min((cell.y - cell.height / 2 for cell in cells), default=0.0)
    for cell in cells:
        cell.y -= top
    return max((cell.y + cell.height / 2 for cell in cells), default=0.0)


def _wanted(cell: Cell) -> float:
    neighbours = [*cell.before, *cell.after]
    return sum(other.y for other in neighbours) / len(neighbours) if neighbours else cell.y


def _spread(column: Sequence[Cell], wanted: Sequence[float]) -> None:
    """The heights nearest to the wanted ones in which no two cells come too close."""
    offsets, offset = [], 0.0
    for above, cell in zip([None, *column], column):
        if above is not None:
            space = min(_SPACE[above.kind], _SPACE[cell.kind])
            offset += (above.height + cell.height) / 2 + space
        offsets.append(offset)
    # Without their offsets the heights must not fall: pool neighbours that do, at their mean.
    pools: list[tuple[float, int]] = []
    for target in (w - o for w, o in zip(wanted, offsets)):
        mean, size = target, 1
        while pools and pools[-1][0] > mean:
            other, count = pools.pop()
            mean, size = (mean * size + other * count) / (size + count), size + count
        pools.append((mean, size))
    means = [mean for mean, size in pools for _ in range(size)]
    for cell, mean, offset in zip(column, means, offsets):
        cell.y = mean + offset
