"""What a contestant of benchmarks/runtime.py is: a process that is told what to run, in its own
environment. Needs NumPy and nothing else of ours.

It reads JSON lines and answers each with one:
{"open": row, "clip": file.npy} -> {"open": true} or {"refused": why}
{"run": [first, last]} -> {"cpu_ms": [...], "wall_ms": [...], "floor_ms": [...], "found": n}
{"close": true} -> {"closed": true}
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from typing import Any, Protocol

import numpy as np

FRAME_US = 33_333


class Contestant(Protocol):
    """A solution that follows what it sees from frame to frame."""

    def process(self, rgb: np.ndarray, timestamp_us: int) -> int:
        """How many subjects there are in a frame, (H, W, 3) uint8."""

    def invoke_seconds(self) -> float | None:
        """CPU seconds in model invokes so far; None where that can't be known."""

    def close(self) -> None:
        """Give back what it holds."""


def serve(open_contestant: Callable[[dict[str, Any]], Contestant]) -> None:
    """Answer until standard input ends.

    Args:
        open_contestant: of a row's settings; whatever it raises is why the row is refused.
    """
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8", buffering=1)
    os.dup2(2, 1)  # libraries that print must not answer
    contestant: Contestant | None = None
    clip = np.zeros((0, 1, 1, 3), np.uint8)
    for line in sys.stdin:
        request = json.loads(line)
        if "open" in request:
            try:
                contestant = open_contestant(request["open"])
                clip = np.load(request["clip"], mmap_mode="r")
                answer: dict[str, Any] = {"open": True}
            except Exception as error:  # whatever a foreign library raises: the column says why
                answer = {"refused": f"{type(error).__name__}: {error}".split("\n")[0][:200]}
        elif "run" in request:
            assert contestant is not None
            answer = _run(contestant, clip, *request["run"])
        else:
            if contestant is not None:
                contestant.close()
            contestant, answer = None, {"closed": True}
        answers.write(json.dumps(answer) + "\n")


def _run(contestant: Contestant, clip: np.ndarray, first: int, last: int) -> dict[str, Any]:
    frames = [np.ascontiguousarray(clip[number % len(clip)]) for number in range(first, last)]
    cpu, wall, floor, found = [], [], [], 0
    for number, rgb in zip(range(first, last), frames):
        invoked = contestant.invoke_seconds()
        start, start_cpu = time.perf_counter(), time.process_time()
        subjects = contestant.process(rgb, number * FRAME_US)
        cpu.append(1e3 * (time.process_time() - start_cpu))
        wall.append(1e3 * (time.perf_counter() - start))
        now = contestant.invoke_seconds()
        if invoked is not None and now is not None:
            floor.append(1e3 * (now - invoked))
        found += subjects > 0
    return {"cpu_ms": cpu, "wall_ms": wall, "floor_ms": floor, "found": found}
