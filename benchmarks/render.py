"""How fast hands are rendered with labels, against bare Cycles over the same scenes.

    python benchmarks/render.py [--out FILE] [--count N] [--size PX] [--preset P] [--workers K]

Both sides render the same N scenes with the same settings and passes, with K processes at once
(one a core, one Cycles thread each), after a first picture that builds what stays:

* bare: the scenes are prepared beforehand (vertices, colours, cameras worked out and kept); timed
  is handing them to Blender and `bpy.ops.render` of the whole picture, which writes its EXR to the
  RAM disk;
* ours: drawing the sample, rendering the part of the picture in which something shows, reading the
  EXR, background, exposure, encoding, every label, and committing shards to disk.

The sides take turns, twice each, and the better round of each side counts, because other work on
the machine can only slow a round down. On a busy machine compare by CPU time. Images an hour
exclude starting the processes, which is given apart.
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

from bootstrap.dataset import Dataset
from render.environments import bundled_hdris
from render.hands import hand_dataset
from render.job import cores
from render.settings import RenderSettings

ROUNDS = 2


def worker(pipe: Connection, settings: RenderSettings, share: range, folder: str) -> None:
    """Renders its share bare and ours whenever it is told to."""
    import cv2

    from render.hand_render import HandRenderer

    cv2.setNumThreads(1)  # as render.job does
    began = time.perf_counter()
    renderer = HandRenderer(settings, threads=1)
    renderer.render(share[0])
    pipe.send(time.perf_counter() - began)
    scenes = [renderer.draw(i)[0] for i in share]
    while (order := pipe.recv()) is not None:
        kind, number = order
        if kind == "bare":
            prepared = bare_steps(renderer, scenes)
            pipe.send("ready")
            pipe.recv()
            began = time.process_time()
            for step in prepared:
                step()
        else:
            info = hand_dataset(settings, len(share))
            dataset = Dataset.create(Path(folder) / f"{share[0]}-{number}", info)
            pipe.send("ready")
            pipe.recv()
            began = time.process_time()
            done = [renderer.render(i) for i in share]
            labels = [label for _, labels in done for label in labels]
            dataset.write_shard(0, [sample for sample, _ in done], {"synthetic": labels})
        pipe.send(time.process_time() - began)
    renderer.close()


def bare_steps(renderer: Any, scenes: list[Any]) -> list[Any]:
    """One function a scene that gives Blender what is ready and renders."""
    import bpy

    from render.cycles import quiet

    def step(ready: Any) -> None:
        renderer.place(ready)
        renderer.scene.set_window(None)
        with quiet():
            bpy.ops.render.render(write_still=True)

    return [partial(step, renderer.prepared(scene)) for scene in scenes]


def measure(settings: RenderSettings, count: int, workers: int) -> dict[str, Any]:
    """Both sides in turn; seconds by side and round."""
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
        seconds: dict[str, list[float]] = {"bare": [], "ours": []}
        spent: dict[str, list[float]] = {"bare": [], "ours": []}
        for number in range(ROUNDS):
            for kind in ("bare", "ours"):
                for pipe in pipes:
                    pipe.send((kind, number))
                for pipe in pipes:
                    pipe.recv()
                began = time.perf_counter()
                for pipe in pipes:
                    pipe.send("go")
                spent[kind].append(sum(pipe.recv() for pipe in pipes))
                seconds[kind].append(time.perf_counter() - began)
        for pipe in pipes:
            pipe.send(None)
        for process in processes:
            process.join()
    return {"seconds": seconds, "cpu_seconds": spent, "start_s": started}


def main() -> None:
    """Measure, print, and write the JSON file beside."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("render.json"))
    parser.add_argument("--count", type=int, default=32)
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--preset", default="draft", choices=["draft", "final"])
    parser.add_argument("--workers", type=int, default=cores())
    arguments = parser.parse_args()
    settings = RenderSettings(5, arguments.size, arguments.preset)
    if arguments.count < arguments.workers:
        parser.error("--count must be at least --workers")
    measured = measure(settings, arguments.count, arguments.workers)
    bare, ours = (min(measured["seconds"][side]) for side in ("bare", "ours"))
    cpu = {side: min(measured["cpu_seconds"][side]) for side in ("bare", "ours")}
    result = {
        "count": arguments.count,
        "size": arguments.size,
        "preset": arguments.preset,
        "workers": arguments.workers,
        "hdris": len(bundled_hdris()),
        "bare_images_per_hour": round(3600 * arguments.count / bare),
        "ours_images_per_hour": round(3600 * arguments.count / ours),
        "time_over_bare": round(ours / bare, 4),
        "cpu_over_bare": round(cpu["ours"] / cpu["bare"], 4),
        "cpu_seconds_per_image": round(cpu["ours"] / arguments.count, 4),
        "hours_for_100k": round(100_000 * ours / arguments.count / 3600, 2),
        "core_seconds_per_image": round(arguments.workers * ours / arguments.count, 3),
        "start_s": round(measured["start_s"], 1),
        "rounds_s": {k: [round(v, 2) for v in vs] for k, vs in measured["seconds"].items()},
        "machine": f"{platform.machine()}, {cores()} cores",
        "python": platform.python_version(),
    }
    arguments.out.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    sys.stdout.write(
        f"bare bpy.ops.render   {result['bare_images_per_hour']:>7,} images an hour\n"
        f"render hands          {result['ours_images_per_hour']:>7,} images an hour\n"
        f"time over bare        {result['time_over_bare']:>7.3f}   "
        f"(by CPU time {result['cpu_over_bare']:.3f}; goal 1.10 at final, 1.25 at draft)\n"
        f"100,000 images        {result['hours_for_100k']:>7.1f}   hours\n"
        f"{arguments.out}\n"
    )


if __name__ == "__main__":
    main()
