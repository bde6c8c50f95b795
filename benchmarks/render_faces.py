"""How fast faces are rendered with labels, and how much of that is Cycles.

    python benchmarks/render_faces.py [--out FILE] [--count N] [--size PX] [--preset P]
                                      [--workers K] [--plain] [--backgrounds DIR]

The job runner of `render faces` renders N pictures into a folder that is deleted afterwards.
Bare is what of the same run `bpy.ops.render` took, which writes the passes to the RAM disk; what
lies over it is drawing, painting, growing hair, putting on, building the mesh, reading the passes,
developing, labelling, encoding and committing. CPU time counts: on a busy machine the clock on the
wall tells nothing. `--plain` leaves out all that is worn, before the face, and second people.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Any

# Run as a script, this file's own folder comes first, where it would pass for the package.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bootstrap.dataset import Label, Sample
from render.faces import FaceSettings, face_dataset
from render.job import Job, cores, render_dataset
from render.settings import ONE_FACE, USUAL_FACES

SHARD = 16
GOAL_HOURS = 12.0
"""For 10,000 pictures on two cores at draft."""


class TimedFaces:
    """A face renderer that writes down how long Cycles took.

    Args:
        settings: of the data set.
        record: folder for one line a picture.
        threads: of Cycles.
    """

    def __init__(self, settings: FaceSettings, record: Path, threads: int) -> None:
        from render.faces import FaceRenderer

        self._renderer = FaceRenderer(settings, threads)
        self._bare_s = 0.0
        self._file = (record / f"{os.getpid()}").open("a", encoding="utf-8")
        scene = self._renderer.scene.cycles
        render = scene.render

        def timed() -> Any:
            began = time.process_time()
            passes = render()
            self._bare_s += time.process_time() - began
            return passes

        scene.render = timed  # type: ignore[method-assign]

    def render(self, index: int) -> tuple[Sample, list[Label]]:
        """Sample `index` and its labels."""
        began, self._bare_s = time.process_time(), 0.0
        result = self._renderer.render(index)
        whole = time.process_time() - began
        line = {"index": index, "whole_s": whole, "bare_s": self._bare_s}
        self._file.write(json.dumps(line) + "\n")
        self._file.flush()
        return result

    def close(self) -> None:
        """Let go of the scene."""
        self._file.close()
        self._renderer.close()


def measured(settings: FaceSettings, count: int, workers: int) -> dict[str, Any]:
    """Figures of one run."""
    with tempfile.TemporaryDirectory() as folder:
        record = Path(folder) / "record"
        record.mkdir()
        make = partial(TimedFaces, settings, record)
        job = Job(Path(folder) / "data", face_dataset(settings, SHARD), count, make, workers)
        report = render_dataset(job)
        lines = [
            json.loads(line) for path in record.iterdir() for line in path.read_text().splitlines()
        ]
        size = sum(path.stat().st_size for path in job.out.rglob("*") if path.is_file())
    whole, bare = (sum(line[key] for line in lines) for key in ("whole_s", "bare_s"))
    dearest = max(lines, key=lambda line: line["whole_s"])
    return {
        "images_per_hour": round(report.images_per_hour),
        "seconds": round(report.seconds, 1),
        "cpu_seconds_per_image": round(whole / count, 3),
        "cpu_over_bare": round(whole / bare, 3),
        "hours_for_10k_by_wall": round(10_000 / report.images_per_hour, 2),
        "hours_for_10k_on_two_cores_by_cpu": round(10_000 * whole / count / 2 / 3600, 2),
        "dearest": dearest,
        "bytes_per_image": round(size / count),
    }


def main() -> None:
    """Measure, print, and write the JSON file beside."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("render_faces.json"))
    parser.add_argument("--count", type=int, default=64)
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--preset", default="draft", choices=["draft", "final"])
    parser.add_argument("--workers", type=int, default=cores())
    parser.add_argument("--plain", action="store_true")
    parser.add_argument("--backgrounds", type=Path)
    arguments = parser.parse_args()
    photos = ()
    if arguments.backgrounds is not None:
        from render.backgrounds import find_backgrounds

        photos = find_backgrounds(arguments.backgrounds)
    shares = ONE_FACE if arguments.plain else USUAL_FACES
    settings = FaceSettings(
        5, arguments.size, arguments.preset, backgrounds=photos, face_shares=shares
    )
    figures = measured(settings, arguments.count, arguments.workers)
    result = {
        "count": arguments.count, "size": arguments.size, "preset": arguments.preset,
        "workers": arguments.workers, "plain": arguments.plain, **figures,
        "machine": f"{platform.machine()}, {cores()} cores", "python": platform.python_version(),
    }  # fmt: skip
    arguments.out.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    sys.stdout.write(
        f"render faces          {figures['images_per_hour']:>7,} images an hour, "
        f"{arguments.count} rendered\n"
        f"CPU time              {figures['cpu_seconds_per_image']:>7.2f} s an image, "
        f"{figures['cpu_over_bare']:.3f} of Cycles alone\n"
        f"10,000 images         {figures['hours_for_10k_by_wall']:>7.1f} hours by the clock, "
        f"{figures['hours_for_10k_on_two_cores_by_cpu']:.1f} on two idle cores by CPU time "
        f"(goal {GOAL_HOURS:.0f})\n{arguments.out}\n"
    )


if __name__ == "__main__":
    main()
