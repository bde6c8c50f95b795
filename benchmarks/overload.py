"""A camera at three times what the solution can do: queue, drops and latency.

Latency is from the moment the camera gives a frame until its result reaches the sink. It is first
measured with a camera at half of what the solution can do, then at three times that.

    python -m benchmarks.overload [--solution face] [--seconds 20] [--out overload.json]
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import time
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
from rich.console import Console
from rich.table import Table
from skimage import data

from runtime.graph.trace import Tracer
from runtime.lineup import looking_with
from runtime.live import run_source
from runtime.results import FrameResult
from runtime.solutions import open_solution
from runtime.sources import Frame, Report


class Camera:
    """A portrait that moves about, at a rate."""

    name, pictures, live, count = "camera", False, True, None

    def __init__(self, fps: float, seconds: float) -> None:
        self.fps, self.frames_left = fps, round(fps * seconds)
        self.given_at: dict[int, float] = {}
        self._portrait = np.ascontiguousarray(data.astronaut())

    def frames(self, report: Report) -> Iterator[Frame]:
        due = time.perf_counter()
        for index in range(self.frames_left):
            shift = 16 + round(16 * np.sin(index / 40))
            rgb = np.ascontiguousarray(self._portrait[:, shift : shift + 480])
            due += 1 / self.fps
            time.sleep(max(0.0, due - time.perf_counter()))
            self.given_at[index] = time.perf_counter()
            yield Frame(rgb, "camera", index, round(index * 1e6 / self.fps))


class Clock:
    """A sink that looks at the clock."""

    def __init__(self, camera: Camera) -> None:
        self.latencies_ms: list[float] = []
        self.times: list[int] = []
        self._camera = camera

    def write(self, frame: Frame, result: FrameResult) -> bool:
        self.latencies_ms.append(1e3 * (time.perf_counter() - self._camera.given_at[frame.index]))
        self.times.append(result.timestamp_us)
        return True

    def close(self, failed: bool = False) -> None:
        """Nothing is open."""


def measure(name: str, load: float, capacity_fps: float, seconds: float) -> dict:
    """One run; `load` times the capacity."""
    solution = open_solution(name, models="mediapipe", max_subjects=1)
    camera = Camera(load * capacity_fps, seconds)
    sink, tracer = Clock(camera), Tracer()
    outcome = run_source(camera, looking_with(solution).look, [sink], print, tracer=tracer)
    spent = sorted(sink.latencies_ms)
    return {
        "load": load,
        "offered": camera.frames_left,
        "delivered": outcome.frames,
        "dropped": outcome.dropped,
        "longest_queue": outcome.longest_queue,
        "adds_up": outcome.frames + outcome.dropped == camera.frames_left,
        "timestamps_rise": sink.times == sorted(set(sink.times)),
        "p50_ms": round(statistics.median(spent), 2),
        "p99_ms": round(spent[int(0.99 * (len(spent) - 1))], 2),
        "worst_ms": round(spent[-1], 2),
    }


def capacity(name: str) -> float:
    """Frames a second that the solution can do, on the calling thread."""
    solution = open_solution(name, models="mediapipe", max_subjects=1)
    spent = []
    for frame in Camera(1e9, 200 / 1e9).frames(print):
        start = time.perf_counter()
        solution.process(frame.rgb, frame.index * 33_333)
        spent.append(time.perf_counter() - start)
    return 1 / statistics.median(spent[50:])


def main() -> None:
    """Measure, print a table, write JSON."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--solution", default="face")
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--out", type=Path, default=Path("overload.json"))
    options = parser.parse_args()
    cv2.setNumThreads(1)
    fps = capacity(options.solution)
    rows = [measure(options.solution, load, fps, options.seconds) for load in (0.5, 3.0)]
    table = Table(*rows[0])
    for row in rows:
        table.add_row(*map(str, row.values()))
    Console(width=120).print(table)
    ratio = rows[1]["p99_ms"] / rows[0]["p99_ms"]
    Console().print(f"{options.solution}: {fps:.0f} frames a second; p99 {ratio:.2f} x unloaded")
    report = {
        "solution": options.solution, "capacity_fps": round(fps, 1), "p99_ratio": round(ratio, 3),
        "machine": platform.machine(), "rows": rows,
    }  # fmt: skip
    options.out.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
