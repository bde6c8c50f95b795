"""Growth of resident memory while a solution runs, and while it is opened and closed.

    python benchmarks/memory.py [--frames 10000] [--cycles 300] [--solutions face,hands,...]

Each figure comes from a process of its own: what it held after a warm-up, and at the end.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path

from rich.console import Console
from rich.table import Table

SOLUTIONS = ("face-detection", "face", "iris", "hands", "pose", "segmentation", "objectron")
_WORK = """
import gc, json, os, sys
import numpy as np
from runtime.solutions import open_solution
name, frames, cycles = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
rng = np.random.default_rng(0)
try:
    from skimage.data import astronaut
    pictures = [np.ascontiguousarray(np.roll(astronaut(), 4 * i, axis=1)) for i in range(8)]
except ImportError:
    pictures = [rng.integers(0, 256, (480, 640, 3), np.uint8) for _ in range(8)]
page = os.sysconf("SC_PAGE_SIZE")

def resident():
    gc.collect()
    return int(open("/proc/self/statm").read().split()[1]) * page

def opened():
    return open_solution(name, models="mediapipe")

def run(solution, first, count):
    for number in range(first, first + count):
        solution.process(pictures[number % 8], number * 33_333)

if cycles:
    def cycle():
        solution = opened()
        run(solution, 0, 2)
        solution.close()
    for _ in range(max(10, cycles // 10)):
        cycle()
    before = resident()
    for _ in range(cycles):
        cycle()
else:
    solution = opened()
    run(solution, 0, max(50, frames // 10))
    before = resident()
    run(solution, max(50, frames // 10), frames)
print(json.dumps({"before": before, "after": resident()}))
"""


def growth_bytes(solution: str, frames: int = 0, cycles: int = 0) -> int:
    """Resident bytes gained over frames of one stream, or over openings with two frames each.

    Linux only: it reads /proc.
    """
    root = str(Path(__file__).parents[1])
    done = subprocess.run(
        [sys.executable, "-c", _WORK, solution, str(frames), str(cycles)],
        capture_output=True, text=True, check=True, cwd=root,
        env={**os.environ, "PYTHONPATH": root},
    )  # fmt: skip
    sizes = json.loads(done.stdout)
    return int(sizes["after"] - sizes["before"])


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--frames", type=int, default=10_000)
    parser.add_argument("--cycles", type=int, default=300)
    parser.add_argument("--solutions", default=",".join(SOLUTIONS))
    options = parser.parse_args()
    table = Table("solution", f"MB over {options.frames} frames", f"over {options.cycles} openings")
    for solution in options.solutions.split(","):
        row = [growth_bytes(solution, frames=options.frames) if options.frames else 0]
        row.append(growth_bytes(solution, cycles=options.cycles) if options.cycles else 0)
        table.add_row(solution, *(f"{size / 1e6:.2f}" for size in row))
    Console().print(table)


if __name__ == "__main__":
    main()
