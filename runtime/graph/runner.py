"""A graph run on the calling thread: every frame, in order, the same from run to run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from runtime.errors import ViewfinderError
from runtime.graph.definition import Graph
from runtime.graph.plan import Step, plan
from runtime.graph.timestamps import Pace
from runtime.graph.trace import Tracer


class Runner:
    """Runs a validated graph, one timestamp a call.

    Args:
        graph: not changed from now on.
        outputs: the streams whose packets `process` returns.
        tracer: takes every call down.

    Raises:
        ViewfinderError: the graph isn't sound.
    """

    def __init__(self, graph: Graph, outputs: Sequence[str], tracer: Tracer | None = None) -> None:
        self.graph = graph
        laid_out = plan(graph, outputs)
        self._values: list[Any] = [None] * laid_out.size
        self._inputs, self._outputs = laid_out.inputs, laid_out.outputs
        self._back = [(own, slot) for step in laid_out.steps for own, slot, _ in step.back]
        self._paces = {
            index: Pace(step.node.sparse_hz)
            for index, step in enumerate(laid_out.steps)
            if step.node.sparse_hz is not None
        }
        self._steps = [
            self._prepared(index, step, tracer) for index, step in enumerate(laid_out.steps)
        ]
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
        for call, arguments, required, outputs, pace, step in self._steps:
            for slot in required:
                if values[slot] is None:
                    result = None
                    break
            else:
                if pace is not None and not pace.due(timestamp_us):
                    result = None
                else:
                    try:
                        result = call(*[values[slot] for slot in arguments])
                    except Exception as error:
                        error.add_note(f"in calculator {step.node.name} at {timestamp_us} us")
                        raise
            if len(outputs) == 1:
                values[outputs[0]] = result
            elif outputs:
                step.give_out(values, result)
        for slot, stream in self._back:
            values[slot] = values[stream]
        return tuple([values[slot] for slot in self._outputs])

    def reset(self) -> None:
        """Forget every earlier packet: the next timestamp may be any."""
        self._values[:] = [None] * len(self._values)
        self._last = None
        for pace in self._paces.values():
            pace.reset()
        for node in self.graph.nodes:
            if hasattr(node.calculator, "reset"):
                node.calculator.reset()

    def close(self) -> None:
        """Let the calculators give back what they hold."""
        for node in self.graph.nodes:
            if hasattr(node.calculator, "close"):
                node.calculator.close()

    def _prepared(self, index: int, step: Step, tracer: Tracer | None) -> tuple[Any, ...]:
        # Whoever feeds an immediate input has run already, so its stream's own slot does.
        own = dict(step.immediate)
        arguments = tuple(own.get(slot, slot) for slot in step.arguments)
        required = tuple(own.get(slot, slot) for slot in step.required)
        call = tracer.timed(step.node, self._values) if tracer else step.node.call
        return call, arguments, required, step.outputs, self._paces.get(index), step
