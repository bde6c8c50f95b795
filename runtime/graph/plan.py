"""Where each packet of a timestamp lies, and which of them every calculator takes.

Slot 0 holds the timestamp, then comes one slot for each stream, then one for each input that takes
something other than the timestamp's own packet (back edges and immediate inputs).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from runtime.graph.definition import Graph, Node


@dataclass(frozen=True)
class Step:
    """A calculator and its slots.

    Attributes:
        node: the calculator.
        arguments: slots of what it is called with.
        required: those of them without which it isn't called.
        outputs: slots of its streams.
        waits: steps that must be done at the same timestamp.
        back: (own slot, stream's slot, the step that feeds it or None) for each back edge.
        immediate: (own slot, stream's slot) for each immediate input.
    """

    node: Node
    arguments: tuple[int, ...]
    required: tuple[int, ...]
    outputs: tuple[int, ...]
    waits: frozenset[int]
    back: tuple[tuple[int, int, int | None], ...]
    immediate: tuple[tuple[int, int], ...]

    def give_out(self, values: list[Any], result: Any) -> None:
        """Put what the calculator returned, None for nothing, where its streams lie."""
        if len(self.outputs) == 1:
            values[self.outputs[0]] = result
        elif self.outputs:
            packets = (None,) * len(self.outputs) if result is None else result
            for slot, packet in zip(self.outputs, packets, strict=True):
                values[slot] = packet


@dataclass(frozen=True)
class Plan:
    """A validated graph in slots, its steps in an order in which they can run."""

    size: int
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    steps: tuple[Step, ...]


def plan(graph: Graph, outputs: Sequence[str]) -> Plan:
    """Lay a graph out.

    Args:
        graph: to be run.
        outputs: the streams whose packets are wanted.

    Raises:
        ViewfinderError: the graph isn't sound.
    """
    nodes = graph.validate(outputs)
    slots: dict[str, int] = {}
    feeders: dict[str, int] = {}
    for stream in graph.inputs:
        slots[stream] = len(slots) + 1
    for index, node in enumerate(nodes):
        for stream in node.outputs:
            slots[stream] = len(slots) + 1
            feeders[stream] = index
    size = len(slots) + 1
    steps = []
    for node in nodes:
        step, size = _step(node, slots, feeders, size)
        steps.append(step)
    return Plan(
        size,
        tuple(slots[stream] for stream in graph.inputs),
        tuple(slots[stream] for stream in outputs),
        tuple(steps),
    )


def _step(
    node: Node, slots: dict[str, int], feeders: dict[str, int], size: int
) -> tuple[Step, int]:
    arguments: list[int] = []
    back: list[tuple[int, int, int | None]] = []
    immediate: list[tuple[int, int]] = []
    waits = set()
    for port in node.inputs:
        slot = slots[port.stream]
        if port.kind == "back":
            back.append((size, slot, feeders.get(port.stream)))
        elif port.kind == "immediate":
            immediate.append((size, slot))
        elif port.stream in feeders:
            waits.add(feeders[port.stream])
        if port.kind != "wait":
            slot, size = size, size + 1
        arguments.append(slot)
    required = tuple(slot for slot, port in zip(arguments, node.inputs) if not port.optional)
    if node.takes_timestamp is not None:
        arguments.insert(node.takes_timestamp, 0)
    outputs = tuple(slots[stream] for stream in node.outputs)
    step = Step(
        node, tuple(arguments), required, outputs, frozenset(waits), tuple(back), tuple(immediate)
    )
    return step, size
