"""A graph drawn: calculators as cards with their measured times, streams as lines between them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from runtime.errors import ViewfinderError
from runtime.graph.canvas import (
    Arrow,
    Box,
    Colour,
    Curve,
    Point,
    Shape,
    Text,
    as_pixels,
    as_svg,
    text_width,
)
from runtime.graph.definition import Graph, Node
from runtime.graph.layout import Cell, Layout, Link, laid_out
from runtime.graph.trace import Times, Tracer

_GROUND: Colour = (250, 251, 253)
_INK: Colour = (28, 35, 48)
_GREY: Colour = (112, 122, 138)
_PALE: Colour = (214, 219, 228)
_WHITE: Colour = (255, 255, 255)
_STREAMS: tuple[Colour, ...] = (
    (38, 110, 190), (200, 90, 40), (34, 138, 98), (140, 80, 180), (184, 48, 96), (96, 112, 40),
    (20, 130, 150), (160, 108, 20),
)  # fmt: skip
# A card's colour by its share of the time, from none to all of it.
_HEAT: tuple[Colour, ...] = ((255, 255, 255), (255, 243, 205), (255, 205, 130), (244, 128, 96))

_MARGIN = 36.0
_HEAD = 58.0
_FOOT = 46.0
_GAP = 64.0
_LANE = 22.0
_RADIUS = 9.0
_PORT_SPACE = 19.0


def draw_graph(
    graph: Graph,
    path: str | Path,
    tracer: Tracer | None = None,
    outputs: Sequence[str] | None = None,
) -> None:
    """Draw a graph into a .png or .svg file.

    Args:
        graph: sound.
        path: of the file.
        tracer: with its times; without it cards have none.
        outputs: streams that are wanted; by default those that nobody takes.

    Raises:
        ViewfinderError: the graph isn't sound, or the file can't be written.
    """
    suffix = Path(path).suffix.lower()
    if suffix not in (".png", ".svg"):
        raise ViewfinderError(
            "a graph is drawn into a picture", file=path, expected=".png | .svg", found=suffix
        )
    drawing = _Drawing(graph, untaken(graph) if outputs is None else outputs, tracer)
    if suffix == ".png":
        from runtime.image import write_image

        write_image(path, as_pixels(drawing.shapes, drawing.width, drawing.height, _GROUND))
        return
    try:
        content = as_svg(drawing.shapes, drawing.width, drawing.height, _GROUND)
        Path(path).write_text(content, encoding="utf-8")
    except OSError as error:
        raise ViewfinderError(f"can't write this picture: {error.strerror}", file=path) from error


def untaken(graph: Graph) -> tuple[str, ...]:
    """The streams that no calculator takes: what the graph is for."""
    taken = {port.stream for node in graph.nodes for port in node.inputs}
    sparse = {s for node in graph.nodes if node.sparse_hz is not None for s in node.outputs}
    fed = (stream for node in graph.nodes for stream in node.outputs)
    return tuple(stream for stream in fed if stream not in taken | sparse)


class _Drawing:
    """The shapes of a graph's picture, and its size."""

    def __init__(self, graph: Graph, outputs: Sequence[str], tracer: Tracer | None) -> None:
        self._graph = graph
        times = {node.name: tracer.times_of(node) if tracer else None for node in graph.nodes}
        self._times: dict[str, Times] = {name: t for name, t in times.items() if t is not None}
        whole = sum(t.mean_ms * t.calls for t in self._times.values()) or 1.0
        self._shares = {n: t.mean_ms * t.calls / whole for n, t in self._times.items()}
        streams = [*graph.inputs, *(stream for node in graph.nodes for stream in node.outputs)]
        self._colours = {s: _STREAMS[i % len(_STREAMS)] for i, s in enumerate(streams)}
        self._layout = laid_out(graph, outputs, self._card_height)
        self._lefts, self._widths, self._labels = self._columns(self._layout)
        lanes = sorted({link.stream for link in self._layout.back})
        self._lanes = {
            stream: _HEAD + _MARGIN + self._layout.height + _LANE * (number + 1.2)
            for number, stream in enumerate(lanes)
        }
        self.width = max(self._lefts[-1] + self._widths[-1] + _MARGIN, 520.0)
        self.height = _HEAD + 2 * _MARGIN + self._layout.height + _LANE * len(lanes) + _FOOT
        self.shapes: list[Shape] = []
        self._draw()

    def _draw(self) -> None:
        self._draw_head()
        for link in self._layout.back:
            self._draw_back(link)
        for link in self._layout.links:
            self._draw_link(link)
        for column in self._layout.columns:
            for cell in column:
                if cell.kind == "node":
                    self._draw_card(cell)
                elif cell.kind == "bend":
                    self._draw_bend(cell)
                else:
                    self._draw_pill(cell)
        for column in self._layout.columns:
            for cell in column:
                if cell.node is not None:
                    self._draw_labels(cell, cell.node)
        self._draw_foot()

    # Where things are

    def _card_height(self, node: Node) -> float:
        lines = 52.0 + (30.0 if self._times else 0.0)
        ports = max(len(node.inputs), len(node.outputs))
        return max(lines, 14.0 + _PORT_SPACE * ports)

    def _columns(self, layout: Layout) -> tuple[list[float], list[float], list[float]]:
        lefts, widths, labels, x = [], [], [], _MARGIN
        for column in layout.columns:
            width = max((self._cell_width(cell) for cell in column), default=0.0)
            lefts.append(x)
            widths.append(width)
            names = (name for cell in column if cell.node is not None for name in cell.node.outputs)
            labels.append(max((text_width(name, 12) for name in names), default=0.0))
            x += width + _GAP + labels[-1]
        return lefts, widths, labels

    def _cell_width(self, cell: Cell) -> float:
        if cell.node is None:
            return 0.0 if cell.kind == "bend" else text_width(cell.name, 13, bold=True) + 28
        times = self._times_line(cell.name)
        return 30 + max(
            text_width(cell.name, 15, bold=True) + (52 if cell.node.sparse_hz else 0),
            text_width(_class_name(cell.node), 11.5),
            text_width(times, 12) + 8,
            96.0,
        )

    def _left(self, cell: Cell) -> float:
        if cell.kind == "output":
            return self._lefts[cell.column]
        # Cards of one column are of one width; pills at the left end where their streams begin.
        return self._right(cell) - (
            self._widths[cell.column] if cell.kind == "node" else self._cell_width(cell)
        )

    def _right(self, cell: Cell) -> float:
        if cell.kind == "output":
            return self._left(cell) + self._cell_width(cell)
        return self._lefts[cell.column] + self._widths[cell.column]

    def _y(self, cell: Cell) -> float:
        return _HEAD + _MARGIN + cell.y

    def _out(self, cell: Cell, stream: str) -> Point:
        if cell.node is None:
            return self._right(cell), self._y(cell)
        return self._right(cell), self._y(cell) + _share_out(
            cell.node.outputs.index(stream), len(cell.node.outputs)
        )

    def _in(self, link: Link) -> Point:
        cell = link.target
        if cell.node is None or link.port is None:
            x = self._lefts[cell.column] if cell.kind == "bend" else self._left(cell)
            return x, self._y(cell)
        ports = [one for one in cell.node.inputs if one.kind != "back"]
        heights = {
            one.port.parameter: self._y(one.source)
            for one in self._layout.links
            if one.target is cell and one.port is not None
        }
        ports.sort(key=lambda port: heights[port.parameter])
        ports += [one for one in cell.node.inputs if one.kind == "back"]
        return self._left(cell), self._y(cell) + _share_out(ports.index(link.port), len(ports))

    def _times_line(self, name: str) -> str:
        times = self._times.get(name)
        if times is None or not times.calls:
            return "never ran" if self._times else ""
        decimals = 2 if times.mean_ms >= 0.1 else 3
        line = f"{times.mean_ms:.{decimals}f} ms   {self._shares[name]:.0%}"
        return f"{line}   {times.dropped} dropped" if times.dropped else line

    # What is drawn

    def _draw_link(self, link: Link) -> None:
        (x0, y0), (x1, y1) = self._out(link.source, link.stream), self._in(link)
        colour = self._colours[link.stream]
        ends = link.target.kind != "bend"
        tip = x1
        x1 -= 8.0 if ends else 0.0
        label = self._labels[link.source.column]
        start = x0 + (label + 20 if label else 0)  # behind the streams' names
        middle = (start + x1) / 2
        points = (
            (x0, y0),
            (x0, y0),
            (start, y0),
            (start, y0),
            (middle, y0),
            (middle, y1),
            (x1, y1),
        )
        dash = (0.1, 5.0) if link.port is not None and link.port.kind == "immediate" else None
        self.shapes.append(Curve(points, colour, 2.0, dash))
        if ends:
            self.shapes.append(Arrow(tip, y1, colour))

    def _draw_bend(self, cell: Cell) -> None:
        x0, x1, y = self._lefts[cell.column], self._right(cell), self._y(cell)
        points = ((x0, y), (x0, y), (x1, y), (x1, y))
        self.shapes.append(Curve(points, self._colours[cell.name], 2.0))

    def _draw_back(self, link: Link) -> None:
        (x0, y0), (x1, y1) = self._out(link.source, link.stream), self._in(link)
        lane, colour = self._lanes[link.stream], self._colours[link.stream]
        order = list(self._lanes).index(link.stream)
        right = x0 + (text_width(link.stream, 12) + 26 if link.source.node else 12) + 5 * order
        left = x1 - 30 - 5 * order
        bow = 16.0
        points = (
            (x0, y0), (x0, y0), (right - bow, y0), (right - bow, y0),
            (right, y0), (right, y0), (right, y0 + bow),
            (right, y0 + bow), (right, lane - bow), (right, lane - bow),
            (right, lane), (right, lane), (right - bow, lane),
            (right - bow, lane), (left + bow, lane), (left + bow, lane),
            (left, lane), (left, lane), (left, lane - bow),
            (left, lane - bow), (left, y1 + bow), (left, y1 + bow),
            (left, y1), (left, y1), (left + bow, y1),
            (left + bow, y1), (x1 - 8, y1), (x1 - 8, y1),
        )  # fmt: skip
        self.shapes.append(Curve(points, colour, 1.8, (7.0, 6.0)))
        self.shapes.append(Arrow(x1, y1, colour))

    def _draw_card(self, cell: Cell) -> None:
        node = cell.node
        assert node is not None
        x, y = self._left(cell), self._y(cell) - cell.height / 2
        width, share = self._widths[cell.column], self._shares.get(cell.name, 0.0)
        shadow = Box(x + 1.5, y + 2.5, width, cell.height, _RADIUS, (231, 234, 240))
        card = Box(x, y, width, cell.height, _RADIUS, _heat(share), _darker(_heat(share)), 1.2)
        self.shapes += [shadow, card]
        top = y + cell.height / 2 - (37 if self._times else 23)
        self.shapes.append(Text(x + 15, top + 19, cell.name, 15, _INK, bold=True))
        faint = _GREY if share < 0.5 else _darker(_GREY, 0.6)
        self.shapes.append(Text(x + 15, top + 36, _class_name(node), 11.5, faint))
        if node.sparse_hz is not None:
            pace = "at will" if node.sparse_hz == float("inf") else f"{node.sparse_hz:g} Hz"
            self.shapes.append(Text(x + width - 12, top + 19, pace, 11, _GREY, anchor="end"))
        if not self._times:
            return
        self.shapes.append(Text(x + 15, top + 55, self._times_line(cell.name), 12, _INK))
        bar = Box(x + 15, top + 64, width - 30, 4, 2, _PALE)
        self.shapes.append(bar)
        if share * bar.width >= 4:
            self.shapes.append(Box(bar.x, bar.y, share * bar.width, 4, 2, (222, 92, 60)))

    def _draw_pill(self, cell: Cell) -> None:
        x, y, colour = self._left(cell), self._y(cell) - cell.height / 2, self._colours[cell.name]
        width = self._cell_width(cell)
        self.shapes.append(Box(x, y, width, cell.height, cell.height / 2, colour))
        self.shapes.append(
            Text(x + width / 2, y + cell.height / 2 + 4.5, cell.name, 13, _WHITE, True, "middle")
        )

    def _draw_labels(self, cell: Cell, node: Node) -> None:
        for stream in node.outputs:
            x, y = self._out(cell, stream)
            width = text_width(stream, 12)
            self.shapes.append(Box(x + 7, y - 9, width + 8, 18, 5, _GROUND))
            self.shapes.append(Text(x + 11, y + 4, stream, 12, self._colours[stream]))

    def _draw_head(self) -> None:
        x, y = _MARGIN, _MARGIN + 12
        self.shapes.append(Text(x, y, self._graph.name, 22, _INK, bold=True))
        if not self._times:
            return
        timestamps = max((t.calls for t in self._times.values()), default=0)
        spent = sum(t.mean_ms * t.calls for t in self._times.values()) / max(timestamps, 1)
        text = f"{spent:.2f} ms a frame over {timestamps} frames"
        x += text_width(self._graph.name, 22, bold=True) + 18
        self.shapes.append(Text(x, y, text, 13, _GREY))

    def _draw_foot(self) -> None:
        x, y = _MARGIN, self.height - _MARGIN + 6
        kinds = {port.kind for node in self._graph.nodes for port in node.inputs}
        rows: list[tuple[str, str, tuple[float, float] | None]] = [("wait", "waits for it", None)]
        rows.append(("back", "of the previous timestamp", (7.0, 6.0)))
        rows.append(("immediate", "the newest, without waiting", (0.1, 5.0)))
        for kind, what, dash in rows:
            if kind in kinds:
                line = ((x, y - 4), (x, y - 4), (x + 34, y - 4), (x + 34, y - 4))
                self.shapes.append(Curve(line, _GREY, 2.0, dash))
                self.shapes.append(Text(x + 43, y, what, 12, _GREY))
                x += 43 + text_width(what, 12) + 26


def _share_out(index: int, count: int) -> float:
    return (index - (count - 1) / 2) * _PORT_SPACE


def _heat(share: float) -> Colour:
    at = min(max(share, 0.0), 1.0) * (len(_HEAT) - 1)
    low = min(int(at), len(_HEAT) - 2)
    r, g, b = (round(a + (b - a) * (at - low)) for a, b in zip(_HEAT[low], _HEAT[low + 1]))
    return r, g, b


def _darker(colour: Colour, part: float = 0.82) -> Colour:
    r, g, b = (round(value * part) for value in colour)
    return r, g, b


def _class_name(node: Node) -> str:
    own = getattr(node.calculator, "__name__", None)
    return own if own is not None else type(node.calculator).__name__
