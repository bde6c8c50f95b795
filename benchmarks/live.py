"""Time of a frame in the runtime over the time LiteRT spends in the models that ran for it.

    python benchmarks/live.py [--video CLIP] [--frames 300] [--cpu] [--out live.json]

Both sides are measured in the same run: a solution's whole `process` call, and inside it the sum
of `invoke` calls, which no program around these models can go below. Frames lie decoded in memory,
one thread, tracked. Without --video the clip is scikit-image's astronaut moved about, which holds
a face but no hand: the hands row then measures the palm detector alone.
"""

from __future__ import annotations

import argparse
import json
import platform
import time
from pathlib import Path

import cv2
import numpy as np
from rich.console import Console
from rich.table import Table

from runtime.model import Model
from runtime.solutions import open_solution
from runtime.sources import open_source

SOLUTIONS = (("face", None), ("hands", "full"), ("hands", "lite"), ("face-detection", "short"),
             ("face-detection", "full"))  # fmt: skip
WARM_UP = 20


def synthetic_clip(frames: int) -> list[np.ndarray]:
    """The astronaut, swaying and growing, in 640 x 480."""
    from skimage.data import astronaut

    picture = astronaut()
    clip = []
    for number in range(min(frames, 120)):
        turn = 2 * np.pi * number / 120
        matrix = cv2.getRotationMatrix2D((224, 150), 12 * np.sin(turn), 1.4 + 0.3 * np.cos(turn))
        matrix[:, 2] += (90 + 60 * np.sin(2 * turn), 70)
        clip.append(cv2.warpAffine(picture, matrix, (640, 480), borderMode=cv2.BORDER_REFLECT))
    return clip


def read_clip(path: Path, frames: int) -> list[np.ndarray]:
    """A video's frames, at most 640 wide."""

    def fail(error: Exception) -> None:
        raise error

    clip = []
    for frame in open_source(path).frames(fail):
        height, width = frame.rgb.shape[:2]
        scale = min(1.0, 640 / width)
        clip.append(cv2.resize(frame.rgb, (round(width * scale), round(height * scale))))
        if len(clip) == frames:
            break
    return clip


def measure(solution: str, variant: str | None, clip: list[np.ndarray], frames: int) -> dict:
    """Median milliseconds of a frame and of the invokes in it."""
    runner = open_solution(solution, models="mediapipe", variant=variant, max_subjects=1)
    whole, invokes, found = [], [], 0
    for number in range(frames + WARM_UP):
        picture = clip[number % len(clip)]
        before = sum(model.invoke_seconds for model in runner.models)
        start = Model.clock()
        found += bool(runner.process(picture, number * 33_333))
        whole.append(Model.clock() - start)
        invokes.append(sum(model.invoke_seconds for model in runner.models) - before)
    whole_ms, invokes_ms = (np.array(t[WARM_UP:]) * 1e3 for t in (whole, invokes))
    return {
        "solution": solution,
        "variant": variant or "default",
        "frames": frames,
        "found_part": round(found / (frames + WARM_UP), 3),
        "frame_ms": round(float(np.median(whole_ms)), 3),
        "invoke_ms": round(float(np.median(invokes_ms)), 3),
        "ratio": round(float(np.median(whole_ms / invokes_ms)), 3),
        "overhead_ms": round(float(np.median(whole_ms - invokes_ms)), 3),
        "detector_runs": runner.models[0].invocations,
    }


def main() -> None:
    """Measure, print a table, write JSON."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--video", type=Path)
    parser.add_argument("--frames", type=int, default=300)
    parser.add_argument("--cpu", action="store_true", help="CPU time, for a busy machine")
    parser.add_argument("--out", type=Path, default=Path("live.json"))
    options = parser.parse_args()
    cv2.setNumThreads(1)
    if options.cpu:
        Model.clock = staticmethod(time.thread_time)
    clip = (
        read_clip(options.video, options.frames)
        if options.video
        else synthetic_clip(options.frames)
    )
    rows = [measure(solution, variant, clip, options.frames) for solution, variant in SOLUTIONS]
    table = Table("solution", "variant", "frame ms", "invoke ms", "ratio", "overhead ms", "found")
    for row in rows:
        table.add_row(
            row["solution"], row["variant"], f"{row['frame_ms']:.2f}", f"{row['invoke_ms']:.2f}",
            f"{row['ratio']:.3f}", f"{row['overhead_ms']:.3f}", f"{row['found_part']:.0%}",
        )  # fmt: skip
    Console().print(table)
    report = {
        "clip": options.video.name if options.video else "astronaut, moved",
        "machine": platform.machine(),
        "python": platform.python_version(),
        "opencv": cv2.__version__,
        "clock": "thread CPU" if options.cpu else "wall",
        "rows": rows,
    }
    options.out.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
