"""Hours in small: memory, threads and files stay as they are, whatever comes and goes."""

from __future__ import annotations

import gc
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from runtime.graph.trace import Tracer
from runtime.lineup import looking_with
from runtime.live import run_source
from runtime.results import FrameResult
from runtime.solutions import open_solution
from runtime.solutions.solution import GraphSolution
from runtime.sources import Frame, LiveSource, Report
from tests.runtime.test_sources import PretendCapture

pytestmark = pytest.mark.long

MB = 2**20


def resident_bytes() -> int:
    """Of this process, now; Linux tells."""
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


class Camera:
    """A portrait that moves about, a new picture each millisecond."""

    name, pictures, live, count, fps = "camera", False, True, None, 1000.0

    def __init__(self, portrait: np.ndarray, frames: int) -> None:
        self.portrait, self.left = portrait, frames

    def frames(self, report: Report) -> Iterator[Frame]:
        for index in range(self.left):
            shift = 20 + round(20 * np.sin(index / 50))
            rgb = self.portrait[:300, shift : shift + 400].copy()
            yield Frame(rgb, "camera", index, 1000 * index)
            time.sleep(0.001)


class Kept:
    """A sink that keeps the last results, as a window does."""

    def __init__(self) -> None:
        self.last: list[FrameResult] = []

    def write(self, frame: Frame, result: FrameResult) -> bool:
        self.last = [*self.last[-9:], result]
        return True

    def close(self, failed: bool = False) -> None:
        self.last.clear()


def face() -> GraphSolution:
    solution = open_solution("face", models="mediapipe", max_subjects=1)
    assert isinstance(solution, GraphSolution)
    return solution


def test_three_hundred_times_open_and_closed(
    mediapipe_models: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cv2, "VideoCapture", lambda *arguments: PretendCapture(5))

    def once() -> None:
        solution = face()
        solution.prepare(live=True)
        source = LiveSource(0, "camera 0", patience_s=0.0)

        class Enough(Kept):
            def write(self, frame: Frame, result: FrameResult) -> bool:
                return False

        outcome = run_source(source, looking_with(solution).look, [Enough()], lambda error: None)
        assert outcome.frames == 1
        solution.close()

    for _ in range(100):  # until the allocators of both threads have what they need
        once()
    threads, files, before = threading.active_count(), open_files(), resident_bytes()
    for _ in range(300):
        once()
    assert (resident_bytes() - before) / MB < 5
    assert threading.active_count() == threads
    assert open_files() == files


@pytest.mark.parametrize("delayed", [False, True])
def test_ten_thousand_frames_leave_no_trace(
    mediapipe_models: None, astronaut: np.ndarray, delayed: bool
) -> None:
    solution, tracer = face(), Tracer(capacity=2000)
    solution.prepare(tracer)
    look, threads = looking_with(solution).look, threading.active_count()
    run_source(Camera(astronaut, 1500), look, [Kept()], pytest.fail, tracer=tracer, delayed=delayed)
    before = resident_bytes()
    outcome = run_source(
        Camera(astronaut, 10_000), look, [Kept()], pytest.fail, tracer=tracer, delayed=delayed
    )
    grown_mb = (resident_bytes() - before) / MB
    assert outcome.frames + outcome.dropped == 10_000
    assert outcome.frames > 1000
    assert outcome.dropped > (0 if delayed else 1000)
    assert grown_mb < 5
    assert threading.active_count() == threads
