"""How fast hands are rendered with labels, against bare Cycles over the same scenes.

    python benchmarks/render.py [--out FILE] [--count N] [--size PX] [--preset P] [--workers K]
    python benchmarks/render.py --long 3000 [...]

All sides render the same N scenes with the same settings and passes, with K processes at once
(one a core, one Cycles thread each), after a first picture that builds what stays:

* bare: the scenes are prepared beforehand (vertices, colours, cameras worked out and kept); timed
  is handing them to Blender and `bpy.ops.render` of the whole picture, which writes its EXR to the
  RAM disk;
* windowed: the same, but of the part of the picture in which something shows, as we render it;
* ours: drawing the sample, rendering that part, reading the EXR, background, exposure, encoding,
  every label, and committing shards to disk.

The sides take turns, twice each, and the better round of each side counts, because other work on
the machine can only slow a round down. On a busy machine compare by CPU time. Images an hour
exclude starting the processes, which is given apart.

With `--long N` no sides are compared: the job runner of `render hands` renders N pictures into a
folder that is deleted afterwards, and tells images an hour, hours for 100,000, where the time went,
and by how much each worker's memory grew from its first tenth to its end.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import platform
import sys
import tempfile
import time
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

# Run as a script, this file's own folder comes first, where it would pass for the package.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.render_stages import RecordedHands, StageClock, read_record, table
from bootstrap.dataset import Dataset
from render.environments import bundled_hdris
from render.hands import hand_dataset
from render.job import Job, cores, render_dataset
from render.settings import RenderSettings

ROUNDS = 2
SIDES = ("bare", "windowed", "ours")
LONG_SHARD = 125
"""Pictures a shard in a long run: many small ones keep its workers busy to the end."""


def worker(pipe: Connection, settings: RenderSettings, share: range, folder: str) -> None:
    """Renders its share as each side does whenever it is told to."""
    import cv2

    from render.hand_render import HandRenderer

    cv2.setNumThreads(1)  # as render.job does
    began = time.perf_counter()
    renderer = HandRenderer(settings, threads=1)
    renderer.render(share[0])
    pipe.send(time.perf_counter() - began)
    scenes = [renderer.draw(i)[0] for i in share]
    clock = StageClock(renderer)
    while (order := pipe.recv()) is not None:
        side, number = order
        prepared = [] if side == "ours" else [renderer.prepared(scene) for scene in scenes]
        out = Path(folder) / f"{share[0]}-{number}"
        pipe.send("ready")
        pipe.recv()
        clock.seconds.update(dict.fromkeys(clock.seconds, 0.0))
        began = time.process_time()
        if side == "ours":
            commit(renderer, settings, share, out)
        else:
            bare(renderer, prepared, whole=side == "bare")
        spent = time.process_time() - began
        steps = dict(clock.seconds)
        pipe.send((spent, steps | {"committing shards": spent - sum(steps.values())}))
    renderer.close()


def bare(renderer: Any, prepared: list[Any], whole: bool) -> None:
    """Gives Blender what is ready and renders it."""
    import bpy

    from render.cycles import quiet

    for ready in prepared:
        renderer.place(ready)
        if whole:
            renderer.scene.set_window(None)
        with quiet():
            bpy.ops.render.render(write_still=True)


def commit(renderer: Any, settings: RenderSettings, share: range, out: Path) -> None:
    """Renders samples with their labels into a data set."""
    dataset = Dataset.create(out, hand_dataset(settings, len(share)))
    done = [renderer.render(i) for i in share]
    labels = [label for _, labels in done for label in labels]
    dataset.write_shard(0, [sample for sample, _ in done], {"synthetic": labels})


def measure(settings: RenderSettings, count: int, workers: int) -> dict[str, Any]:
    """All sides in turn; seconds by side and round, and our side's steps in its best round."""
    context = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory() as folder:
        pipes, processes = [], []
        for k in range(workers):
            ours, theirs = context.Pipe()
            share = range(k, count, workers)
            process = context.Process(target=worker, args=(theirs, settings, share, folder))
            process.start()
            pipes.append(ours)
            processes.append(process)
        started = max(pipe.recv() for pipe in pipes)
        seconds: dict[str, list[float]] = {side: [] for side in SIDES}
        spent: dict[str, list[float]] = {side: [] for side in SIDES}
        steps: dict[str, float] = {}
        for number in range(ROUNDS):
            for side in SIDES:
                for pipe in pipes:
                    pipe.send((side, number))
                for pipe in pipes:
                    pipe.recv()
                began = time.perf_counter()
                for pipe in pipes:
                    pipe.send("go")
                told = [pipe.recv() for pipe in pipes]
                seconds[side].append(time.perf_counter() - began)
                spent[side].append(sum(one for one, _ in told))
                if side == "ours" and spent[side][-1] == min(spent[side]):
                    steps = {step: sum(by[step] for _, by in told) for step in told[0][1]}
                sys.stderr.write(f"{side}, round {number + 1}: {seconds[side][-1]:.1f} s\n")
        for pipe in pipes:
            pipe.send(None)
        for process in processes:
            process.join()
    return {"seconds": seconds, "cpu_seconds": spent, "start_s": started, "steps_s": steps}


def compared(settings: RenderSettings, count: int, workers: int) -> tuple[dict[str, Any], str]:
    """Our side over bare: figures, and text."""
    measured = measure(settings, count, workers)
    wall = {side: min(measured["seconds"][side]) for side in SIDES}
    cpu = {side: min(measured["cpu_seconds"][side]) for side in SIDES}
    result: dict[str, Any] = {f"{side}_images_per_hour": round(3600 * count / wall[side])
                              for side in SIDES}  # fmt: skip
    for side in SIDES[:2]:
        result[f"time_over_{side}"] = round(wall["ours"] / wall[side], 4)
        result[f"cpu_over_{side}"] = round(cpu["ours"] / cpu[side], 4)
    result |= {
        "cpu_seconds_per_image": round(cpu["ours"] / count, 4),
        "core_seconds_per_image": round(workers * wall["ours"] / count, 3),
        "hours_for_100k": round(100_000 * wall["ours"] / count / 3600, 2),
        "start_s": round(measured["start_s"], 1),
        "rounds_s": {k: [round(v, 2) for v in vs] for k, vs in measured["seconds"].items()},
        "steps_ms": {k: round(1000 * v / count, 2) for k, v in measured["steps_s"].items()},
    }
    text = (
        f"bare bpy.ops.render   {result['bare_images_per_hour']:>7,} images an hour\n"
        f"  of our windows      {result['windowed_images_per_hour']:>7,}\n"
        f"render hands          {result['ours_images_per_hour']:>7,}\n"
        f"time over bare        {result['time_over_bare']:>7.3f}   "
        f"(by CPU time {result['cpu_over_bare']:.3f}; goal 1.10 at final, 1.25 at draft)\n"
        f"  of our windows      {result['time_over_windowed']:>7.3f}   "
        f"(by CPU time {result['cpu_over_windowed']:.3f})\n"
        f"100,000 images        {result['hours_for_100k']:>7.1f}   hours\n"
        f"CPU time of our side by step:\n{table(measured['steps_s'], count)}"
    )
    return result, text


def long_run(settings: RenderSettings, count: int, workers: int) -> tuple[dict[str, Any], str]:
    """The job runner over many pictures: figures, and text."""
    with tempfile.TemporaryDirectory() as folder:
        record = Path(folder) / "record"
        record.mkdir()
        make = partial(RecordedHands, settings, record)
        job = Job(
            Path(folder) / "data", hand_dataset(settings, LONG_SHARD), count, make, workers,
        )  # fmt: skip
        report = render_dataset(job)
        records = read_record(record)
    steps: dict[str, float] = {}
    for lines in records:
        steps = {step: steps.get(step, 0.0) + s for step, s in lines[-1]["steps_s"].items()}
    process_s = sum(lines[-1]["process_s"] for lines in records)
    steps["starting, committing shards"] = process_s - sum(steps.values())
    memory = [_grown(lines) for lines in records]
    result = {
        "images_per_hour": round(report.images_per_hour),
        "hours_for_100k": round(100_000 / report.images_per_hour, 2),
        "seconds": round(report.seconds, 1),
        "core_seconds_per_image": round(workers * report.seconds / count, 3),
        "cpu_seconds_per_image": round(process_s / count, 4),
        "steps_ms": {k: round(1000 * v / count, 2) for k, v in steps.items()},
        "memory": memory,
    }
    text = (
        f"render hands          {result['images_per_hour']:>7,} images an hour, {count} rendered\n"
        f"100,000 images        {result['hours_for_100k']:>7.1f}   hours\n"
        f"CPU time by step:\n{table(steps, count)}memory of each worker:\n"
    )
    for row in memory:
        text += (
            f"  {row['rendered']:>6} pictures  {row['rss_mb_after_a_tenth']:>7.1f} MB -> "
            f"{row['rss_mb']:>7.1f} MB  {row['growth']:+.1%}\n"
        )
    return result, text


def _grown(lines: list[dict[str, Any]]) -> dict[str, Any]:
    """A worker's memory after a tenth of its pictures and at its end."""
    last = lines[-1]
    early = next(line for line in lines if line["rendered"] >= last["rendered"] / 10)
    first, now = early["resident_bytes"], last["resident_bytes"]
    return {
        "rendered": last["rendered"],
        "rss_mb_after_a_tenth": round(first / 1e6, 1),
        "rss_mb": round(now / 1e6, 1),
        "growth": round(now / first - 1, 4),
        "course_mb": [round(line["resident_bytes"] / 1e6, 1) for line in lines],
    }


def main() -> None:
    """Measure, print, and write the JSON file beside."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("render.json"))
    parser.add_argument("--count", type=int, default=32)
    parser.add_argument("--long", type=int, metavar="N", help="a long run instead, of N pictures")
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--preset", default="draft", choices=["draft", "final"])
    parser.add_argument("--workers", type=int, default=cores())
    arguments = parser.parse_args()
    settings = RenderSettings(5, arguments.size, arguments.preset)
    count = arguments.long or arguments.count
    if count < arguments.workers:
        parser.error("--count must be at least --workers")
    measured, text = (long_run if arguments.long else compared)(settings, count, arguments.workers)
    result = {
        "count": count,
        "size": arguments.size,
        "preset": arguments.preset,
        "workers": arguments.workers,
        "hdris": len(bundled_hdris()),
        **measured,
        "machine": f"{platform.machine()}, {cores()} cores",
        "python": platform.python_version(),
    }
    arguments.out.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    sys.stdout.write(f"{text}{arguments.out}\n")


if __name__ == "__main__":
    main()
