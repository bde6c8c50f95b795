"""A graph run by a small pool of threads: for live sources, where frames don't wait.

A calculator runs as soon as its inputs are settled, one timestamp at a time and in order. Results
come out in the order of their timestamps and, as long as nothing is dropped, are those of the
synchronous runner bit for bit; only what immediate inputs and sparse calculators see depends on
time.
"""

from __future__ import annotations

import os
import threading
from collections import Counter
from collections.abc import Sequence
from types import TracebackType
from typing import Any

from runtime.errors import ViewfinderError
from runtime.graph.definition import Graph
from runtime.graph.limiter import Flow, FlowLimiter
from runtime.graph.plan import Step, plan
from runtime.graph.schedule import Result, Row, Schedule, Task
from runtime.graph.timestamps import RisingTime
from runtime.graph.trace import Tracer, clock_ns


class ThreadedRunner:
    """Runs a validated graph in threads of its own, until `close`.

    Frames are handed in with `offer` (newest wins) or `put` (waits for room) and results are taken
    with `take`, by one thread in turn or by two. A result counts as in flight until it is taken, so
    that nothing piles up before a slow taker either.

    Args:
        graph: not changed from now on; its calculators stay open when the runner is closed.
        outputs: the streams whose packets are wanted.
        max_in_flight: timestamps that may be worked on at a time.
        workers: threads; by default as many as calculators can run at once, sparse ones included.
        tracer: takes every call and every drop down.

    Raises:
        ViewfinderError: the graph isn't sound.
    """

    def __init__(
        self,
        graph: Graph,
        outputs: Sequence[str],
        max_in_flight: int = 1,
        workers: int | None = None,
        tracer: Tracer | None = None,
    ) -> None:
        laid_out = plan(graph, outputs)
        self._steps = laid_out.steps
        self._tracer = tracer
        self._trace_rows = [tracer.row_of(step.node) for step in self._steps] if tracer else []
        self._limiter_row = tracer.row("flow limiter", outer=True) if tracer else 0
        self._lock = threading.Lock()
        self._work = threading.Condition(self._lock)
        self._came = threading.Condition(self._lock)
        self._room = threading.Condition(self._lock)
        self._schedule = Schedule(laid_out, tracer)
        self._limiter: FlowLimiter[Row] = FlowLimiter(max_in_flight)
        self._rising = RisingTime()
        self._error: BaseException | None = None
        self._finished = self._closed = False
        count = workers or _useful_workers(self._steps, max_in_flight)
        self._threads = [
            threading.Thread(target=self._run, name=f"{graph.name} {number}", daemon=True)
            for number in range(1, count + 1)
        ]
        for thread in self._threads:
            thread.start()

    def __enter__(self) -> ThreadedRunner:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def flow(self) -> Flow:
        """How many frames went where until now."""
        with self._lock:
            return self._limiter.flow

    @property
    def sparse_drops(self) -> dict[str, int]:
        """Sparse calculator -> timestamps that it didn't look at."""
        with self._lock:
            return dict(self._schedule.sparse_drops)

    @property
    def ended(self) -> bool:
        """Whether `take` has nothing more to give: all was taken after `finish`, or closed."""
        with self._lock:
            return self._is_over()

    def offer(
        self, timestamp_us: int, *packets: Any, tag: Any = None, restart: bool = False
    ) -> bool:
        """Hand a frame in without waiting: while others are in flight it waits, until a newer one
        takes its place.

        A repeated timestamp is dropped; one that lies before the last is taken as `restart`, and
        results go on with rising timestamps.

        Args:
            timestamp_us: of the frame.
            packets: for the graph's inputs, in their order; None is no packet.
            tag: comes out with the result.
            restart: nothing that calculators remember holds any more: they are reset before.

        Returns:
            False if it was dropped at once.
        """
        with self._lock:
            return self._take_in(timestamp_us, packets, tag, restart)

    def put(self, timestamp_us: int, *packets: Any, tag: Any = None, restart: bool = False) -> bool:
        """As `offer`, but waits for room, so that every frame is worked on.

        Raises:
            Exception: what a calculator raised.
        """
        with self._lock:
            self._room.wait_for(lambda: self._limiter.room or self._error or self._closed)
            if self._error is not None:
                raise self._error
            return self._take_in(timestamp_us, packets, tag, restart)

    def take(self, timeout_s: float | None = None) -> Result | None:
        """The next result, in the order of timestamps.

        Args:
            timeout_s: wait no longer.

        Returns:
            None if none came in time, or none will come: see `ended`.

        Raises:
            Exception: what a calculator raised, with a note that names it and the timestamp.
        """
        results = self._schedule.results
        with self._lock:
            self._came.wait_for(lambda: results or self._error or self._is_over(), timeout_s)
            if results:
                result = results.popleft()
                following = self._limiter.taken()
                if following is not None:
                    self._admit(following)
                self._room.notify()
                return result
            if self._error is not None:
                raise self._error
            return None

    def finish(self) -> None:
        """No more frames will come; those on their way are worked on."""
        with self._lock:
            self._finished = True
            self._came.notify_all()

    def close(self) -> None:
        """Drop what is on its way and end the threads, once the calls that run have returned."""
        with self._lock:
            self._closed = True
            self._limiter.abandon()
            self._schedule.results.clear()
            self._wake_all()
        for thread in self._threads:
            thread.join()
        self._schedule.clear()

    def _run(self) -> None:
        task, result = None, None
        while (task := self._following(task, result)) is not None:
            step = self._steps[task.index]
            start = clock_ns() if self._tracer else 0
            try:
                result = step.node.call(*[task.values[slot] for slot in step.arguments])
            except BaseException as error:
                error.add_note(f"in calculator {step.node.name} at {task.timestamp_us} us")
                with self._lock:
                    self._fail(error)
                return
            if self._tracer:
                row = self._trace_rows[task.index]
                self._tracer.record(row, task.timestamp_us, task.ready_ns, start, clock_ns())

    def _following(self, task: Task | None, result: Any) -> Task | None:
        """Hand a result in and wait for the next task; None at the end."""
        with self._lock:
            if task is not None:
                try:
                    self._schedule.settle(task, result)
                except BaseException as error:  # a calculator's reset, or its wrong return value
                    error.add_note(f"after calculator {self._steps[task.index].node.name}")
                    self._fail(error)
                self._work.notify(len(self._schedule.ready) - 1)  # one is for this thread
                if self._schedule.results:
                    self._came.notify()
            while not self._closed and self._error is None:
                following = self._schedule.start_task()
                if following is not None:
                    return following
                self._work.wait()
            return None

    # What follows is called with the lock held.

    def _take_in(self, timestamp_us: int, packets: Sequence[Any], tag: Any, restart: bool) -> bool:
        stamp = None if self._closed or self._error else self._rising.next(timestamp_us)
        if stamp is None:
            self._limiter.refuse()
            self._trace_drop(timestamp_us)
            return False
        row = Row(stamp[0], packets, tag, restart or stamp[1])
        start, pushed_out = self._limiter.offer(row)
        if pushed_out is not None:
            row.restart |= pushed_out.restart
            self._trace_drop(pushed_out.timestamp_us)
        if start is not None:
            self._admit(start)
        return True

    def _admit(self, row: Row) -> None:
        try:
            self._schedule.admit(row)
        except BaseException as error:
            error.add_note(f"before {row.timestamp_us} us")
            self._fail(error)
        self._work.notify(len(self._schedule.ready))
        if self._schedule.results:  # with nothing to call, or no packet for anyone
            self._came.notify()

    def _fail(self, error: BaseException) -> None:
        self._error = self._error or error
        self._wake_all()

    def _wake_all(self) -> None:
        for condition in (self._work, self._came, self._room):
            condition.notify_all()

    def _is_over(self) -> bool:
        flow = self._limiter.flow
        return self._closed or (self._finished and not flow.in_flight and not flow.queued)

    def _trace_drop(self, timestamp_us: int) -> None:
        if self._tracer:
            self._tracer.drop(self._limiter_row, timestamp_us)


class StepwiseRunner:
    """A threaded runner with the synchronous one's methods: one timestamp a call.

    Branches run at once, and sparse calculators work on beside the calls.

    Args:
        graph, outputs, tracer: as of `ThreadedRunner`.
    """

    def __init__(self, graph: Graph, outputs: Sequence[str], tracer: Tracer | None = None) -> None:
        self._graph = graph
        self._threads = ThreadedRunner(graph, outputs, tracer=tracer)
        self._anew = False

    def process(self, timestamp_us: int, *packets: Any) -> tuple[Any, ...]:
        """The outputs at a timestamp later than the last one, as `Runner.process` gives them.

        Raises:
            ViewfinderError: the timestamp repeats the last one, or a calculator says so.
        """
        anew, self._anew = self._anew, False
        if not self._threads.put(timestamp_us, *packets, restart=anew):
            raise ViewfinderError(
                "timestamps must rise", file=self._graph.where, found=f"{timestamp_us} us twice"
            )
        result = self._threads.take()
        assert result is not None
        return result.packets

    def reset(self) -> None:
        """Forget every earlier packet."""
        self._anew = True

    def end_threads(self) -> None:
        """End the threads alone: the calculators stay open for another runner."""
        self._threads.close()

    def close(self) -> None:
        """End the threads, and let the calculators give back what they hold."""
        self.end_threads()
        for node in self._graph.nodes:
            if hasattr(node.calculator, "close"):
                node.calculator.close()


def gains_from_threads(graph: Graph) -> bool:
    """Whether a graph has sparse calculators, or models on branches that can run at once."""
    steps = plan(graph, ()).steps
    levels = Counter(
        level
        for level, step in zip(_levels(steps), steps)
        if getattr(step.node.calculator, "models", ())
    )
    sparse = any(step.node.sparse_hz is not None for step in steps)
    return sparse or any(count > 1 for count in levels.values())


def _levels(steps: Sequence[Step]) -> list[int]:
    levels: list[int] = []
    for step in steps:
        levels.append(1 + max((levels[index] for index in step.waits), default=-1))
    return levels


def _useful_workers(steps: Sequence[Step], max_in_flight: int) -> int:
    ordinary = Counter(
        level for level, step in zip(_levels(steps), steps) if step.node.sparse_hz is None
    )
    at_once = max(ordinary.values(), default=1) * max_in_flight
    sparse = len(steps) - ordinary.total()
    return min(at_once, os.cpu_count() or 1) + sparse
