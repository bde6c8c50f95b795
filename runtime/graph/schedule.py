"""Which calculator can run next: the bookkeeping of timestamps on their way through a graph.

No threads and no locks here: `runtime.graph.threads` holds a lock around every call.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from runtime.graph.plan import Plan, Step
from runtime.graph.timestamps import Pace
from runtime.graph.trace import Tracer, clock_ns


@dataclass(frozen=True)
class Result:
    """What came out at a timestamp.

    Attributes:
        timestamp_us: rising from result to result.
        packets: of the outputs, None where there is none.
        tag: what was handed in with the inputs.
    """

    timestamp_us: int
    packets: tuple[Any, ...]
    tag: Any = None


class Row:
    """A timestamp on its way through the graph."""

    __slots__ = (
        "after", "before", "done", "packets", "restart", "tag", "timestamp_us", "unfinished",
        "values", "waiting",
    )  # fmt: skip

    def __init__(self, timestamp_us: int, packets: Sequence[Any], tag: Any, restart: bool) -> None:
        self.timestamp_us = timestamp_us
        self.packets = packets
        self.tag = tag
        self.restart = restart
        self.values: list[Any] = []
        self.waiting: list[int] = []
        self.done: list[bool] = []
        self.unfinished = 0
        self.before: Row | None = None
        self.after: Row | None = None


class Task:
    """A call that can be made; without a row it is a sparse calculator's."""

    __slots__ = ("index", "ready_ns", "row", "timestamp_us", "values")

    def __init__(self, index: int, timestamp_us: int, values: list[Any], row: Row | None) -> None:
        self.index = index
        self.timestamp_us = timestamp_us
        self.values = values
        self.row = row
        self.ready_ns = clock_ns()


class Schedule:
    """Rows in, tasks out; settled tasks in, results out.

    Args:
        plan: of the graph.
        tracer: takes down what sparse calculators don't look at.

    Attributes:
        results: done, in the order of timestamps; their taker removes them.
        ready: tasks that can be started.
        sparse_drops: sparse calculator -> timestamps that it didn't look at.
    """

    def __init__(self, plan: Plan, tracer: Tracer | None = None) -> None:
        self.results: deque[Result] = deque()
        self.ready: list[Task] = []
        self.sparse_drops: Counter[str] = Counter()
        self._plan = plan
        self._tracer = tracer
        steps = plan.steps
        self._needs_before = [_needs_before(index, step) for index, step in enumerate(steps)]
        self._dependents = [_holding(i, [step.waits for step in steps]) for i in range(len(steps))]
        self._dependents_after = [_holding(i, self._needs_before) for i in range(len(steps))]
        self._models = [frozenset(map(id, getattr(s.node.calculator, "models", ()))) for s in steps]
        self._paces = {i: Pace(s.node.sparse_hz) for i, s in enumerate(steps) if s.node.sparse_hz}
        self._receivers: dict[int, list[int]] = {}
        for step in steps:
            for own, stream in step.immediate:
                self._receivers.setdefault(stream, []).append(own)
        self._barred: deque[Row] = deque()
        self._begun: deque[Row] = deque()
        self._last_row: Row | None = None
        self._unfinished_rows = 0
        self._boxes: dict[int, Any] = {}
        self._held: dict[int, Task] = {}
        self._busy_sparse: set[int] = set()
        self._busy_models: set[int] = set()

    def admit(self, row: Row) -> None:
        """Begin a timestamp later than all before; one that restarts waits until those are done."""
        self._barred.append(row)
        self._begin_rows()

    def start_task(self) -> Task | None:
        """The oldest task whose models are free, sparse ones last; it counts as started."""
        free = [task for task in self.ready if not self._models[task.index] & self._busy_models]
        if not free:
            return None
        task = min(free, key=lambda task: (task.row is None, task.timestamp_us, task.index))
        self.ready.remove(task)
        self._busy_models |= self._models[task.index]
        for own, _ in self._plan.steps[task.index].immediate:
            task.values[own] = self._boxes.pop(own, None)
        return task

    def settle(self, task: Task, result: Any) -> None:
        """A started task returned that."""
        step = self._plan.steps[task.index]
        self._busy_models -= self._models[task.index]
        step.give_out(task.values, result)
        if task.row is not None:
            self._step_done(task.row, task.index)
        else:
            self._sparse_done(task, step)
        self._begin_rows()

    def clear(self) -> None:
        """Let everything go that is on its way: rows know each other, and pictures are large."""
        for row in (*self._begun, *self._barred):
            row.before = row.after = None
        for kept in (self._begun, self._barred, self.results, self.ready, self._boxes, self._held):
            kept.clear()
        self._last_row = None

    def _begin_rows(self) -> None:
        while self._barred:
            if self._barred[0].restart:
                if self._unfinished_rows or self._busy_sparse:
                    return  # once all that runs is done
                self._reset()
            self._begin(self._barred.popleft())

    def _reset(self) -> None:
        self._last_row = None
        self._boxes.clear()
        for pace in self._paces.values():
            pace.reset()
        for step in self._plan.steps:
            if hasattr(step.node.calculator, "reset"):
                step.node.calculator.reset()

    def _begin(self, row: Row) -> None:
        steps, before = self._plan.steps, self._last_row
        row.values = [None] * self._plan.size
        row.values[0] = row.timestamp_us
        for slot, packet in zip(self._plan.inputs, row.packets, strict=True):
            row.values[slot] = packet
            self._post(slot, packet)
        row.packets = ()
        row.done = [False] * len(steps)
        row.unfinished = len(steps) - len(self._paces)
        row.before = before
        row.waiting = [len(step.waits) for step in steps]
        if before is not None:
            before.after = row
            for index, needs in enumerate(self._needs_before):
                row.waiting[index] += sum(not before.done[need] for need in needs)
        self._last_row = row
        self._begun.append(row)
        self._unfinished_rows += 1
        for index in [index for index, count in enumerate(row.waiting) if count == 0]:
            self._inputs_settled(row, index)
        if len(self._paces) == len(steps):
            self._row_done(row)

    def _inputs_settled(self, row: Row, index: int) -> None:
        step = self._plan.steps[index]
        for own, stream, _ in step.back:
            row.values[own] = None if row.before is None else row.before.values[stream]
        complete = all(row.values[slot] is not None for slot in step.required)
        if index in self._paces:
            if complete:
                self._offer_sparse(index, row)
        elif complete:
            self.ready.append(Task(index, row.timestamp_us, row.values, row))
        else:
            self._step_done(row, index)

    def _step_done(self, row: Row, index: int) -> None:
        row.done[index] = True
        for slot in self._plan.steps[index].outputs:
            self._post(slot, row.values[slot])
        self._count_down(row, self._dependents[index])
        if row.after is not None:
            self._count_down(row.after, self._dependents_after[index])
        row.unfinished -= 1
        if row.unfinished == 0:
            self._row_done(row)

    def _count_down(self, row: Row, dependents: Sequence[int]) -> None:
        for dependent in dependents:
            row.waiting[dependent] -= 1
            if row.waiting[dependent] == 0:
                self._inputs_settled(row, dependent)

    def _row_done(self, row: Row) -> None:
        row.unfinished = -1  # so that it is seen to be done, even with nothing in it
        row.before = None
        self._unfinished_rows -= 1
        while self._begun and self._begun[0].unfinished < 0:
            done = self._begun.popleft()
            packets = tuple([done.values[slot] for slot in self._plan.outputs])
            self.results.append(Result(done.timestamp_us, packets, done.tag))

    def _offer_sparse(self, index: int, row: Row) -> None:
        if not self._paces[index].due(row.timestamp_us):
            self._drop(index, row.timestamp_us)
            return
        task = Task(index, row.timestamp_us, row.values.copy(), None)
        if index not in self._busy_sparse:
            self._busy_sparse.add(index)
            self.ready.append(task)
            return
        if index in self._held:
            self._drop(index, self._held[index].timestamp_us)
        self._held[index] = task

    def _sparse_done(self, task: Task, step: Step) -> None:
        for slot in step.outputs:
            self._post(slot, task.values[slot])
        held = self._held.pop(task.index, None)
        if held is not None and not self._barred:
            self.ready.append(held)
            return
        self._busy_sparse.discard(task.index)
        if held is not None:  # what comes next starts anew
            self._drop(task.index, held.timestamp_us)

    def _drop(self, index: int, timestamp_us: int) -> None:
        self.sparse_drops[self._plan.steps[index].node.name] += 1
        if self._tracer is not None:
            self._tracer.drop(self._tracer.row_of(self._plan.steps[index].node), timestamp_us)

    def _post(self, slot: int, packet: Any) -> None:
        if packet is not None:
            for own in self._receivers.get(slot, ()):
                self._boxes[own] = packet


def _needs_before(index: int, step: Step) -> set[int]:
    """Steps that must be done at the timestamp before: those that feed back edges, and itself."""
    needs = {feeder for _, _, feeder in step.back if feeder is not None}
    return needs if step.node.sparse_hz is not None else needs | {index}


def _holding(index: int, sets: Sequence[set[int] | frozenset[int]]) -> list[int]:
    return [number for number, members in enumerate(sets) if index in members]
