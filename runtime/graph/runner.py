"""A graph run on the calling thread: every frame, in order, the same from run to run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from runtime.errors import ViewfinderError
from runtime.graph.definition import Graph, Node

Instrument = Callable[[Node, Callable[..., Any]], Callable[..., Any]]
"""Wraps a calculator's call, to time it."""


class Runner:
    """Runs a validated graph, one timestamp a call.

    Args:
        graph: not changed from now on.
        outputs: the streams whose packets `process` returns.
        instrument: wraps every calculator's call.

    Raises:
        ViewfinderError: the graph isn't sound.
    """

    def __init__(
        self, graph: Graph, outputs: Sequence[str], instrument: Instrument | None = None
    ) -> None:
        self.graph = graph
        self._nodes = graph.validate(outputs)
        # One slot for each stream, slot 0 for the timestamp, and one for each back edge's packet.
        slots = {"": 0}
        for stream in (*graph.inputs, *(name for node in self._nodes for name in node.outputs)):
            slots[stream] = len(slots)
        self._slots = slots
        self._back: list[tuple[int, int]] = []
        self._values: list[Any] = [None] * len(slots)
        self._steps = [self._step(node, instrument) for node in self._nodes]
        self._inputs = tuple(slots[stream] for stream in graph.inputs)
        self._outputs = tuple(slots[stream] for stream in outputs)
        self._last: int | None = None

    def process(self, timestamp_us: int, *packets: Any) -> tuple[Any, ...]:
        """Run every calculator once.

        Args:
            timestamp_us: later than the last one.
            packets: for the graph's inputs, in their order; None is no packet.

        Returns:
            The packets of the outputs, None where there is none.

        Raises:
            ViewfinderError: the timestamp doesn't rise, or a calculator says so.
        """
        if self._last is not None and timestamp_us <= self._last:
            raise ViewfinderError(
                "timestamps must rise", file=f"graph {self.graph.name}",
                expected=f"more than {self._last} us", found=f"{timestamp_us} us",
            )  # fmt: skip
        self._last = timestamp_us
        values = self._values
        values[0] = timestamp_us
        for slot, packet in zip(self._inputs, packets, strict=True):
            values[slot] = packet
        for call, arguments, required, outputs, node in self._steps:
            for slot in required:
                if values[slot] is None:
                    result = None
                    break
            else:
                try:
                    result = call(*[values[slot] for slot in arguments])
                except Exception as error:
                    error.add_note(f"in calculator {node.name} at {timestamp_us} us")
                    raise
            if len(outputs) == 1:
                values[outputs[0]] = result
            elif outputs:
                for slot, packet in zip(outputs, result or (None,) * len(outputs), strict=True):
                    values[slot] = packet
        for slot, stream in self._back:
            values[slot] = values[stream]
        return tuple([values[slot] for slot in self._outputs])

    def reset(self) -> None:
        """Forget every earlier packet: the next timestamp may be any."""
        self._values = [None] * len(self._values)
        self._last = None
        for node in self._nodes:
            if hasattr(node.calculator, "reset"):
                node.calculator.reset()

    def close(self) -> None:
        """Let the calculators give back what they hold."""
        for node in self._nodes:
            if hasattr(node.calculator, "close"):
                node.calculator.close()

    def _step(self, node: Node, instrument: Instrument | None) -> tuple[Any, ...]:
        arguments = []
        for port in node.inputs:
            slot = self._slots[port.stream]
            if port.kind == "back":
                self._back.append((len(self._values), slot))
                slot = len(self._values)
                self._values.append(None)
            arguments.append(slot)
        required = tuple(slot for slot, port in zip(arguments, node.inputs) if not port.optional)
        if node.takes_timestamp is not None:
            arguments.insert(node.takes_timestamp, 0)
        call = instrument(node, node.call) if instrument else node.call
        outputs = tuple(self._slots[stream] for stream in node.outputs)
        return call, tuple(arguments), required, outputs, node
