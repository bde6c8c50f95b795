"""When every calculator ran and for how long: a timeline for a trace viewer, and a table.

Events lie in a ring whose places exist from the start; a full ring forgets its oldest. A graph that
isn't traced pays nothing.
"""

from __future__ import annotations

import itertools
import json
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from runtime.errors import ViewfinderError
from runtime.graph.definition import Node

CAPACITY = 200_000
clock_ns = time.perf_counter_ns

_DROP = -1

Event = tuple[int, int, int, int, int, int]
"""Row, timestamp in us, when it could start, started and ended in ns, and the thread; for a drop
it started at _DROP."""


@dataclass(frozen=True)
class Times:
    """What a calculator took.

    Attributes:
        name: of the calculator.
        calls: how often it ran.
        dropped: timestamps that it, or the limiter, dropped.
        mean_ms, p50_ms, p95_ms, longest_ms: of one call.
        wait_ms: from the moment all inputs were there until it started, on average.
        share: of the time that all calculators took together, 0..1.
    """

    name: str
    calls: int
    dropped: int
    mean_ms: float
    p50_ms: float
    p95_ms: float
    longest_ms: float
    wait_ms: float
    share: float


class Tracer:
    """Takes down calls and drops, from any thread.

    Args:
        capacity: events kept; older ones make room.
    """

    def __init__(self, capacity: int = CAPACITY) -> None:
        self._events: list[Event | None] = [None] * capacity
        self._next = itertools.count()  # its next() is one step, so that threads need no lock
        self._names: list[str] = []
        self._outer: list[bool] = []
        self._rows: dict[int, int] = {}
        self._nodes: list[Node] = []
        self._calls: list[int] = []
        self._total_ns: list[int] = []
        self._dropped: list[int] = []
        self._threads: dict[int, str] = {}
        self._lock = threading.Lock()

    def row_of(self, node: Node) -> int:
        """The number of a calculator's row in the table; the same for the same node."""
        if id(node) not in self._rows:
            self._nodes.append(node)  # or its id might be another's one day
            spans = getattr(node.calculator, "spans", False)
            self._rows[id(node)] = self.row(node.name, spans)
        return self._rows[id(node)]

    def row(self, name: str, outer: bool = False) -> int:
        """The number of a new row of the table.

        Args:
            name: for people.
            outer: no calculator, or it calls others: without a share in their time.
        """
        with self._lock:
            taken = sum(other == name or other.startswith(f"{name} (") for other in self._names)
            self._names.append(f"{name} ({taken + 1})" if taken else name)
            self._outer.append(outer)
            self._calls.append(0)
            self._total_ns.append(0)
            self._dropped.append(0)
            return len(self._names) - 1

    def timed(self, node: Node, values: list[Any]) -> Callable[..., Any]:
        """A node's call that takes itself down; values[0] is the timestamp at that moment."""
        row, call, record = self.row_of(node), node.call, self.record

        def timed_call(*arguments: Any) -> Any:
            start = clock_ns()
            try:
                return call(*arguments)
            finally:
                record(row, values[0], start, start, clock_ns())

        return timed_call

    def record(
        self, row: int, timestamp_us: int, ready_ns: int, start_ns: int, end_ns: int
    ) -> None:
        """Take down a call; one row's calls come one after the other."""
        thread = threading.get_ident()
        if thread not in self._threads:
            self._threads[thread] = threading.current_thread().name
        place = next(self._next) % len(self._events)
        self._events[place] = (row, timestamp_us, ready_ns, start_ns, end_ns, thread)
        self._calls[row] += 1
        self._total_ns[row] += end_ns - start_ns

    def drop(self, row: int, timestamp_us: int) -> None:
        """Take down that a timestamp was dropped."""
        place = next(self._next) % len(self._events)
        self._events[place] = (row, timestamp_us, clock_ns(), _DROP, 0, threading.get_ident())
        self._dropped[row] += 1

    def times(self) -> list[Times]:
        """What each calculator took, in the order of their first calls.

        Calls, means, shares and drops are of the whole run; percentiles and waits of the events
        that are still kept.
        """
        spans: list[list[tuple[int, int]]] = [[] for _ in self._names]
        for row, _, ready, start, end, _ in self._kept():
            if start != _DROP:
                spans[row].append((end - start, start - ready))
        whole = sum(ns for ns, outer in zip(self._total_ns, self._outer) if not outer) or 1
        return [self._times(row, np.array(spans[row]), whole) for row in range(len(self._names))]

    def times_of(self, node: Node) -> Times | None:
        """What one node took; None if it isn't traced."""
        row = self._rows.get(id(node))
        return None if row is None else self.times()[row]

    def table(self) -> str:
        """The times as lines of text."""
        rows = self.times()
        heads = ("calculator", "calls", "dropped", "mean ms", "p50", "p95", "longest", "wait")
        lines: list[Sequence[str]] = [(*heads, "share")]
        for row, outer in zip(rows, self._outer):
            numbers = (row.mean_ms, row.p50_ms, row.p95_ms, row.longest_ms, row.wait_ms)
            share = "-" if outer else f"{row.share:.1%}"
            counts = (str(row.calls), str(row.dropped))
            lines.append((row.name, *counts, *(f"{number:.3f}" for number in numbers), share))
        return _aligned(lines)

    def write(self, path: str | Path) -> None:
        """Write the timeline as Chrome trace JSON, for Perfetto or chrome://tracing.

        Raises:
            ViewfinderError: the file can't be written.
        """
        content = {"displayTimeUnit": "ms", "traceEvents": self._chrome_events()}
        try:
            Path(path).write_text(json.dumps(content) + "\n", encoding="utf-8")
        except OSError as error:
            raise ViewfinderError(f"can't write the trace: {error.strerror}", file=path) from error

    def _chrome_events(self) -> list[dict[str, Any]]:
        kept = self._kept()
        zero_ns = min((ready for _, _, ready, _, _, _ in kept), default=0)
        numbers = {thread: number for number, thread in enumerate(self._threads, start=1)}
        process = {"ph": "M", "pid": 1, "name": "process_name", "args": {"name": "viewfinder"}}
        events: list[dict[str, Any]] = [process]
        for thread, name in self._threads.items():
            common = {"ph": "M", "pid": 1, "tid": numbers[thread]}
            events.append({**common, "name": "thread_name", "args": {"name": name}})
            order = {"sort_index": numbers[thread]}
            events.append({**common, "name": "thread_sort_index", "args": order})
        for row, timestamp_us, ready, start, end, thread in kept:
            common = {"pid": 1, "tid": numbers.get(thread, 0), "name": self._names[row]}
            packet = {"timestamp_us": timestamp_us}
            if start == _DROP:
                dropped = {**common, "name": f"{self._names[row]}: dropped", "cat": "drop"}
                events.append(
                    {**dropped, "ph": "i", "s": "p", "ts": (ready - zero_ns) / 1e3, "args": packet}
                )
                continue
            span = {"ph": "X", "ts": (start - zero_ns) / 1e3, "dur": (end - start) / 1e3}
            packet["waited_us"] = round((start - ready) / 1e3)
            events.append({**common, "cat": "calculator", **span, "args": packet})
        return events

    def _kept(self) -> list[Event]:
        kept = [event for event in self._events if event is not None]
        return sorted(kept, key=lambda event: event[2])

    def _times(self, row: int, spans: np.ndarray, whole_ns: int) -> Times:
        calls, total_ns = self._calls[row], self._total_ns[row]
        p50, p95, longest, wait = 0.0, 0.0, 0.0, 0.0
        if spans.size:
            p50, p95 = (np.percentile(spans[:, 0], (50, 95)) / 1e6).tolist()
            longest, wait = float(spans[:, 0].max()) / 1e6, float(spans[:, 1].mean()) / 1e6
        return Times(
            self._names[row], calls, self._dropped[row], total_ns / max(calls, 1) / 1e6, p50, p95,
            longest, wait, 0.0 if self._outer[row] else total_ns / whole_ns,
        )  # fmt: skip


def _aligned(lines: Sequence[Sequence[str]]) -> str:
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if column == 0 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(line, widths))
        ).rstrip()
        for line in lines
    )
