"""The loop: frames from a source through a solution into sinks."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from runtime.controls import Controls
from runtime.errors import ViewfinderError
from runtime.results import FrameResult
from runtime.sinks import Sink
from runtime.sources import Frame, Source

Look = Callable[[Frame], FrameResult]
"""What finds things in a frame; called for one frame at a time, in order."""


@dataclass(frozen=True)
class Outcome:
    """How a run went.

    Attributes:
        frames: how many went through.
        subjects: how many were found in them, all together.
        problems: how many pictures or videos couldn't be read, wholly or in part.
        interrupted: whether the user stopped it.
    """

    frames: int
    subjects: int
    problems: int
    interrupted: bool


def run_source(
    source: Source,
    look: Look,
    sinks: Sequence[Sink],
    report: Callable[[ViewfinderError], None],
    progress: Callable[[int], None] | None = None,
    controls: Controls | None = None,
) -> Outcome:
    """Run until the source ends, a sink says so, or Ctrl-C.

    Args:
        source: of frames.
        look: what looks at them.
        sinks: every one gets every result; they are closed at the end, whatever happens.
        report: told of each picture that can't be read; the rest go on.
        progress: told after each frame how many there were.
        controls: what the person who watches wants; asked before each frame is taken.

    Raises:
        ViewfinderError: a sink can't write.
    """
    frames = subjects = problems = 0
    interrupted = False

    def note(error: ViewfinderError) -> None:
        nonlocal problems
        problems += 1
        report(error)

    with _closing(sinks):
        try:
            coming = source.frames(note)
            while controls is None or controls.wait():
                frame = next(coming, None)
                if frame is None:
                    if controls is not None:
                        controls.source_ended()
                    break
                result = look(frame)
                wishes = [sink.write(frame, result) for sink in sinks]
                frames += 1
                subjects += len(result.subjects)
                if progress is not None:
                    progress(frames)
                if not all(wishes):
                    break
        except KeyboardInterrupt:
            interrupted = True
        except BrokenPipeError:
            # Whoever read our lines has gone; Python would complain again when it flushes.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            interrupted = True
    return Outcome(frames, subjects, problems, interrupted)


@contextmanager
def _closing(sinks: Sequence[Sink]) -> Iterator[None]:
    failed = True
    try:
        yield
        failed = False
    finally:
        for sink in sinks:
            sink.close(failed)
