"""The loop: frames from a source through a solution into sinks.

Files and pictures are looked at frame by frame on the calling thread, the same from run to run. A
live source goes on by itself: frames that come while one is looked at are dropped, all but the
newest, and counted.
"""

from __future__ import annotations

import os
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

from runtime.delayed import DelayedView, Presentation, Shown
from runtime.errors import Notice, ViewfinderError
from runtime.graph.definition import Graph
from runtime.graph.threads import ThreadedRunner
from runtime.graph.timestamps import RisingTime
from runtime.graph.trace import Tracer, clock_ns
from runtime.results import FrameResult
from runtime.sinks import Sink
from runtime.sources import Frame, Source
from runtime.viewing.controls import Controls

Look = Callable[[Frame], FrameResult]
"""What finds things in a frame; called for one frame at a time, in order. A frame that says
`restarted` has nothing to do with those before."""

_LOOK_AROUND_S = 0.02


@dataclass(frozen=True)
class Outcome:
    """How a run went.

    Attributes:
        frames: how many went through.
        subjects: how many were found in them, all together.
        problems: how many pictures or videos couldn't be read, wholly or in part.
        interrupted: whether the user stopped it.
        dropped: frames that the source gave and that didn't go through.
        interpolated: those of `frames` that nobody looked at: a delayed viewfinder's.
        longest_queue: frames of a live source that waited at most.
    """

    frames: int
    subjects: int
    problems: int
    interrupted: bool
    dropped: int = 0
    interpolated: int = 0
    longest_queue: int = 0


def run_source(
    source: Source,
    look: Look,
    sinks: Sequence[Sink],
    report: Callable[[ViewfinderError], None],
    progress: Callable[[int], None] | None = None,
    controls: Controls | None = None,
    tracer: Tracer | None = None,
    delayed: bool = False,
) -> Outcome:
    """Run until the source ends, a sink says so, or Ctrl-C.

    Args:
        source: of frames; a live one is read in a thread.
        look: what looks at them; for a live source it is called in a thread.
        sinks: every one gets every result; they are closed at the end, whatever happens.
        report: told of each picture that can't be read, and by a `Notice` of what was got over;
            the rest goes on.
        progress: told after each frame how many there were.
        controls: what the person who watches wants; asked before each frame is taken.
        tracer: takes down how long looking and showing took.
        delayed: show a live source's every frame, late by as much as looking takes: those that
            nobody looked at with what lies between the results before and after.

    Raises:
        ViewfinderError: a sink can't write.
    """
    run = _Run(source, sinks, report, progress, controls, tracer)
    with _closing(sinks):
        try:
            if source.live:
                run.live(look, delayed)
            else:
                run.every_frame(look)
        except KeyboardInterrupt:
            run.interrupted = True
        except BrokenPipeError:
            # Whoever read our lines has gone; Python would complain again when it flushes.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            run.interrupted = True
    return Outcome(
        run.frames, run.subjects, run.problems, run.interrupted, run.offered - run.frames,
        run.interpolated, run.longest_queue,
    )  # fmt: skip


class _Run:
    """A run's counts, and its two ways to go."""

    def __init__(
        self,
        source: Source,
        sinks: Sequence[Sink],
        report: Callable[[ViewfinderError], None],
        progress: Callable[[int], None] | None,
        controls: Controls | None,
        tracer: Tracer | None,
    ) -> None:
        self._source = source
        self._sinks = sinks
        self._report = report
        self._progress = progress
        self._controls = controls
        self._tracer = tracer
        self._read_row = tracer.row("read", outer=True) if tracer and not source.live else 0
        self._look_row = tracer.row("look", outer=True) if tracer and not source.live else 0
        self._show_row = tracer.row("show", outer=True) if tracer else 0
        self.frames = self.subjects = self.problems = self.offered = self.interpolated = 0
        self.longest_queue = 0
        self.interrupted = False
        self._offers: deque[tuple[int, int]] = deque()  # timestamp of a frame, offered until then

    def every_frame(self, look: Look) -> None:
        """One after the other on this thread."""
        coming = self._coming()
        while self._controls is None or self._controls.wait():
            asked = clock_ns()
            frame = next(coming, None)
            if frame is None:
                self._source_ended()
                return
            start = clock_ns()
            result = look(frame)
            if self._tracer is not None:
                self._tracer.record(self._read_row, frame.timestamp_us, asked, asked, start)
                self._tracer.record(self._look_row, frame.timestamp_us, start, start, clock_ns())
            if not self._show(frame, result):
                return

    def live(self, look: Look, delayed: bool) -> None:
        """Newest frames only: the source and the looking in threads, the showing on this one."""
        graph = Graph(self._source.name, {"frame": Frame})
        graph.add(_Looking(look), outputs="result", name="look")
        view = DelayedView() if delayed else None
        with ThreadedRunner(graph, ("result",), workers=1, tracer=self._tracer) as runner:
            failures: list[BaseException] = []
            feeder = threading.Thread(
                target=self._feed, args=(runner, view, failures), name="source", daemon=True
            )
            feeder.start()
            try:
                shown = self._delayed(runner, view) if view else self._at_once(runner)
                for frame, result in shown:
                    if not self._show(frame, result):
                        break
            finally:
                runner.finish()
                if hasattr(self._source, "stop"):
                    self._source.stop()
                feeder.join(timeout=3)
                self.longest_queue = runner.flow.longest_queue
            if failures:
                raise failures[0]

    def _feed(
        self, runner: ThreadedRunner, view: DelayedView | None, failures: list[BaseException]
    ) -> None:
        try:
            for frame in self._coming():
                if view is not None:
                    self._offers.append((frame.timestamp_us, self.offered))
                    view.hold(frame)
                runner.offer(
                    frame.timestamp_us, frame, tag=(frame, self.offered), restart=frame.restarted
                )
        except BaseException as error:
            failures.append(error)
        finally:
            runner.finish()

    def _at_once(self, runner: ThreadedRunner) -> Iterator[Shown]:
        offered_before = 0
        while self._controls is None or self._controls.wait():
            taken = None
            while taken is None and not runner.ended and not self._quit():
                taken = runner.take(_LOOK_AROUND_S)
            if taken is None:
                self._source_ended()
                return
            (frame, offered), result = taken.tag, taken.packets[0]
            yield frame, replace(result, dropped=offered - offered_before - 1)
            offered_before = offered

    def _delayed(self, runner: ThreadedRunner, view: DelayedView) -> Iterator[Shown]:
        waiting = Presentation()
        offered_before, controls = 0, self._controls
        while controls is None or controls.wait():
            shown = None
            while shown is None and not self._quit():
                if runner.ended and not waiting.waiting:
                    self._source_ended()
                    return
                due_in_s = waiting.next_in()
                pause_s = _LOOK_AROUND_S if due_in_s is None else min(due_in_s, _LOOK_AROUND_S)
                taken = runner.take(pause_s)
                if taken is not None:
                    waiting.add(view.known(taken.tag[0], taken.packets[0]))
                one_by_one = controls is not None and controls.paused
                shown = waiting.next() if one_by_one else waiting.due()
            if shown is None:
                return
            frame, result = shown
            offered = self._offered_until(frame)
            yield frame, replace(result, dropped=offered - offered_before - 1)
            offered_before = offered

    def _offered_until(self, frame: Frame) -> int:
        while True:
            timestamp_us, offered = self._offers.popleft()
            if timestamp_us == frame.timestamp_us:
                return offered

    def _coming(self) -> Iterator[Frame]:
        """The source's frames with rising timestamps; repeated ones are dropped."""
        rising = RisingTime()
        for frame in self._source.frames(self._note):
            self.offered += 1 + (frame.dropped if self._source.live else 0)
            stamp = rising.next(frame.timestamp_us)
            if stamp is None:
                continue
            timestamp_us, stepped_back = stamp
            if stepped_back or timestamp_us != frame.timestamp_us:
                restarted = frame.restarted or stepped_back
                yield replace(frame, timestamp_us=timestamp_us, restarted=restarted)
            else:
                yield frame

    def _show(self, frame: Frame, result: FrameResult) -> bool:
        start = clock_ns()
        wishes = [sink.write(frame, result) for sink in self._sinks]
        if self._tracer is not None:
            self._tracer.record(self._show_row, frame.timestamp_us, start, start, clock_ns())
        self.frames += 1
        self.subjects += len(result.subjects)
        self.interpolated += result.interpolated
        if self._progress is not None:
            self._progress(self.frames)
        return all(wishes)

    def _note(self, error: ViewfinderError) -> None:
        self.problems += not isinstance(error, Notice)
        self._report(error)

    def _quit(self) -> bool:
        if self._controls is None:
            return False
        self._controls.while_waiting()
        return self._controls.quit

    def _source_ended(self) -> None:
        if self._controls is not None and not self._controls.quit:
            self._controls.source_ended()


class _Looking:
    """Looking as a calculator."""

    spans = True

    def __init__(self, look: Look) -> None:
        self._look = look
        self._anew = False

    def process(self, frame: Frame) -> FrameResult:
        """What is in a frame."""
        if self._anew and not frame.restarted:  # the frame that said so was dropped
            frame = replace(frame, restarted=True)
        self._anew = False
        return self._look(frame)

    def reset(self) -> None:
        """Nothing that was followed is where it was."""
        self._anew = True


@contextmanager
def _closing(sinks: Sequence[Sink]) -> Iterator[None]:
    failed = True
    try:
        yield
        failed = False
    finally:
        for sink in sinks:
            sink.close(failed)
