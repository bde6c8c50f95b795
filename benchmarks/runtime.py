"""Our runtime against MediaPipe 0.10.14 and 1.2.2, and against the bare invokes of the models.

    python benchmarks/runtime.py [--frames 300] [--video CLIP] [--clip KIND=FILE] [--rows TEXT]
                                 [--cpu] [--environments .envs] [--out runtime.json]

Every contestant is a process of its own environment. All get the same frames, decoded and in
memory, in blocks and in turns, so that a machine that slows down slows all; medians of a frame are
printed, of the processor time of all threads and of the wall clock. The floor is what LiteRT's
invokes took inside our frames, of all models that ran: no program around these models goes below.
"found" is the share of frames in which something was found, ours / theirs: a column that finds less
has done less work.

`make mediapipe-envs` makes the environments; a column whose environment isn't there is left out.
Clips: --video for all rows, or --clip face=FILE (also hand, hands, body, cup, nobody), a video or a
picture, which is moved about. Without them faces are scikit-image's astronaut, moved about, and the
others come from ../shared/real where that is; rows without a clip are left out.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

if not __package__:  # run as a script: its folder must not come first, it has our package's name
    sys.path[0] = str(Path(__file__).parents[1])

import cv2
import numpy as np
from rich.console import Console
from rich.table import Column, Table

from benchmarks.clips import astronaut, read_clip
from benchmarks.mediapipe_bundles import write_bundles
from runtime.model_store import missing_released, released_model

HERE = Path(__file__).parent
SHARED = HERE.parents[1] / "shared" / "real"
CLIPS = {
    "hand": "videos/smp_hand.mp4",
    "hands": "images/tfjs_hands.jpg",
    "body": "videos/tfjs_pose_1.mp4",
    "cup": "images/smp_cup.png",
}
OURS, SOLUTIONS, TASKS = "ours", "mediapipe 0.10.14", "mediapipe 1.2.2"
CLOCKS = {
    "cpu": "processor time of all threads, median",
    "wall": "wall clock, median",
    "wall_best": "wall clock, the best twentieth, which other programs disturb least",
}
BLOCK = 30
WARM_UP = 30


@dataclass(frozen=True)
class Row:
    """What is measured: the same thing in three tongues, each None where a contestant lacks it."""

    name: str
    clip: str
    ours: dict[str, Any]
    solutions: tuple[str, dict[str, Any]] | None = None
    tasks: tuple[str, str, dict[str, Any]] | None = None


def _face(variant: str, refine: bool | None, tasks: bool = False) -> Row:
    return Row(
        f"face mesh {variant}", "face", {"solution": "face", "variant": variant, "max_subjects": 1},
        None if refine is None
        else ("face_mesh.FaceMesh", {"max_num_faces": 1, "refine_landmarks": refine}),
        ("FaceLandmarker", "face_landmarker.task", {"num_faces": 1}) if tasks else None,
    )  # fmt: skip


def _hands(name: str, clip: str, variant: str, most: int) -> Row:
    return Row(
        name, clip, {"solution": "hands", "variant": variant, "max_subjects": most},
        ("hands.Hands", {"max_num_hands": most, "model_complexity": int(variant == "full")}),
        ("HandLandmarker", f"hand_landmarker_{variant}.task", {"num_hands": most}),
    )  # fmt: skip


def _pose(variant: str, complexity: int) -> Row:
    return Row(
        f"pose {variant}", "body", {"solution": "pose", "variant": variant, "max_subjects": 1},
        ("pose.Pose", {"model_complexity": complexity}),
        ("PoseLandmarker", f"pose_landmarker_{variant}.task", {"num_poses": 1}),
    )  # fmt: skip


def _detection(variant: str, selection: int, model: str) -> Row:
    return Row(
        f"face detection {variant}", "face", {"solution": "face-detection", "variant": variant},
        ("face_detection.FaceDetection", {"model_selection": selection}),
        ("FaceDetector", f"{model}.tflite", {}),
    )  # fmt: skip


def _selfie(variant: str, selection: int, model: str) -> Row:
    return Row(
        f"selfie {selection}", "body", {"solution": "segmentation", "variant": variant},
        ("selfie_segmentation.SelfieSegmentation", {"model_selection": selection}),
        ("ImageSegmenter", f"{model}.tflite", {"output_confidence_masks": True}),
    )  # fmt: skip


ROWS = (
    _detection("short", 0, "face_detection_short_range"),
    _detection("full", 1, "face_detection_full_range_sparse"),
    _face("468", refine=False),
    _face("478", refine=None, tasks=True),
    _face("attention", refine=True),
    _hands("hand lite", "hand", "lite", 1),
    _hands("hand full", "hand", "full", 1),
    _hands("two hands", "hands", "full", 2),
    _hands("palm alone", "nobody", "full", 1),
    _pose("lite", 0),
    _pose("full", 1),
    _pose("heavy", 2),
    _selfie("general", 0, "selfie_segmentation"),
    _selfie("landscape", 1, "selfie_segmentation_landscape"),
    Row(
        "objectron cup", "cup", {"solution": "objectron", "variant": "cup", "max_subjects": 1},
        ("objectron.Objectron", {"static_image_mode": False, "max_num_objects": 1,
                                 "model_name": "Cup"}),
    ),
)  # fmt: skip


@dataclass
class Measured:
    """One contestant's frames in one row, milliseconds each."""

    cpu_ms: list[float] = field(default_factory=list)
    wall_ms: list[float] = field(default_factory=list)
    floor_ms: list[float] = field(default_factory=list)
    found: int = 0

    def add(self, answer: dict[str, Any]) -> None:
        """Take a block's figures in."""
        self.cpu_ms += answer["cpu_ms"]
        self.wall_ms += answer["wall_ms"]
        self.floor_ms += answer["floor_ms"]
        self.found += answer["found"]

    def summary(self) -> dict[str, float]:
        """Medians; the wall clock's 5th and 90th percentile; the share of frames with a subject."""
        facts = {
            "cpu_ms": np.median(self.cpu_ms),
            "wall_ms": np.median(self.wall_ms),
            "wall_best_ms": np.percentile(self.wall_ms, 5),
            "wall_p90_ms": np.percentile(self.wall_ms, 90),
            "found": self.found / len(self.cpu_ms),
        }
        if self.floor_ms:
            facts["floor_cpu_ms"] = np.median(self.floor_ms)
            facts["cpu_over_floor"] = np.median(np.divide(self.cpu_ms, self.floor_ms))
        return {name: round(float(value), 4) for name, value in facts.items()}


class Process:
    """A contestant's process."""

    def __init__(self, python: str, script: str) -> None:
        # Ours is found by its folder: the benchmark needs no installation.
        path = os.pathsep.join([str(HERE.parent), *filter(None, [os.environ.get("PYTHONPATH")])])
        self._process = subprocess.Popen(
            [python, str(HERE / "contestants" / script)], text=True, stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
            env={**os.environ, **({"PYTHONPATH": path} if script == "ours.py" else {})},
        )  # fmt: skip

    def ask(self, request: dict[str, Any]) -> dict[str, Any]:
        """One answer to one request; a contestant that died has refused."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            self._process.stdin.write(json.dumps(request) + "\n")
            self._process.stdin.flush()
            return json.loads(self._process.stdout.readline())
        except (OSError, ValueError):
            return {"refused": f"its process ended with {self._process.wait()}"}

    def close(self) -> None:
        """End it."""
        self._process.communicate()


def contestants(environments: Path) -> dict[str, Process]:
    """Name -> process of each whose environment is there."""
    found = {OURS: Process(sys.executable, "ours.py")}
    for name, script in (
        (SOLUTIONS, "mediapipe_solutions.py"),
        (TASKS, "mediapipe_tasks.py"),
    ):
        python = environments / name.replace(" ", "-") / "bin" / "python"
        if python.exists():
            found[name] = Process(str(python), script)
        else:
            sys.stderr.write(f"{name} is left out: no {python} (make mediapipe-envs)\n")
    solutions = environments / SOLUTIONS.replace(" ", "-")
    if SOLUTIONS in found:
        _complete(solutions)
    return found


def _complete(environment: Path) -> None:
    """Put the models that MediaPipe's Python package would download on its own into its folders."""
    for module, names in {
        "pose_landmark": ("pose_landmark_lite", "pose_landmark_heavy"),
        "objectron": ("object_detection_ssd_mobilenetv2_oidv4_fp16", "object_detection_3d_cup"),
    }.items():
        for folder in environment.glob(f"lib/python*/site-packages/mediapipe/modules/{module}"):
            for name in names:
                file = folder / f"{name}.tflite"
                if not file.exists() and not missing_released(name):
                    file.write_bytes(released_model(name))


def measure(
    row: Row, clip: Path, frames: int, processes: dict[str, Process], bundles: dict[str, Path]
) -> dict[str, Any]:
    """One row: every contestant's summary, or why it has none."""
    settings: dict[str, Any] = {"ours": row.ours, "solutions": row.solutions}
    if row.tasks is not None and row.tasks[1] in bundles:
        settings["tasks"] = [row.tasks[0], str(bundles[row.tasks[1]]), row.tasks[2]]
    spoken = {OURS: "ours", SOLUTIONS: "solutions", TASKS: "tasks"}
    results: dict[str, Any] = {}
    running = {}
    for name, process in processes.items():
        if settings.get(spoken[name]) is None:
            continue
        answer = process.ask({"open": settings, "clip": str(clip)})
        if "refused" in answer:
            results[name] = answer
        else:
            running[name] = (process, Measured())
    for first in range(0, WARM_UP + frames, BLOCK):
        for name, (process, measured) in list(running.items()):
            answer = process.ask({"run": [first, first + BLOCK]})
            if "refused" in answer:
                results[name] = running.pop(name) and answer
            elif first >= WARM_UP:
                measured.add(answer)
    for name, (process, measured) in running.items():
        process.ask({"close": True})
        results[name] = measured.summary()
    return {"row": row.name, "clip": row.clip, "frames": frames, **_ratios(results)}


def _ratios(results: dict[str, Any]) -> dict[str, Any]:
    ours = results.get(OURS, {})
    for name in (SOLUTIONS, TASKS):
        theirs = results.get(name, {})
        if "cpu_ms" in theirs and "cpu_ms" in ours:
            theirs["cpu_over_ours"] = round(theirs["cpu_ms"] / ours["cpu_ms"], 3)
            theirs["wall_over_ours"] = round(theirs["wall_ms"] / ours["wall_ms"], 3)
            theirs["wall_best_over_ours"] = round(theirs["wall_best_ms"] / ours["wall_best_ms"], 3)
    return {"contestants": results}


def clips_for(options: argparse.Namespace, folder: Path) -> dict[str, Path]:
    """Kind of clip -> a NumPy file of its frames."""
    given = dict(pair.split("=", 1) for pair in options.clip)
    sources: dict[str, Path] = {
        kind: SHARED / name for kind, name in CLIPS.items() if (SHARED / name).exists()
    }
    if options.video:
        sources = dict.fromkeys(("face", *CLIPS), options.video)
    sources |= {kind: Path(name) for kind, name in given.items()}
    files = {}
    for kind in ("face", *CLIPS, "nobody"):
        if kind in sources:
            frames = read_clip(sources[kind], options.frames)
        elif kind in ("face", "nobody"):  # the astronaut's hands are out of the picture
            frames = astronaut(options.frames)
        else:
            continue
        files[kind] = folder / f"{kind}.npy"
        np.save(files[kind], frames)
    return files


def table_of(results: list[dict[str, Any]], names: list[str], clock: str) -> Table:
    """The table that people read."""
    right = [Column(title, justify="right") for title in (
        "floor", "ours", "ours/floor",
        *(title for name in names for title in (name, "/ours")), "found",
    )]  # fmt: skip
    table = Table("", *right, title=f"ms a frame: {CLOCKS[clock]}; the floor is processor time")
    for result in results:
        contestants = result["contestants"]
        ours = contestants[OURS]
        if "refused" in ours:
            table.add_row(result["row"], "", ours["refused"])
            continue
        cells = [f"{ours['floor_cpu_ms']:.2f}", f"{ours[f'{clock}_ms']:.2f}"]
        cells.append(f"{ours['cpu_over_floor']:.2f}")
        found = [f"{ours['found']:.0%}"]
        for name in names:
            theirs = contestants.get(name, {})
            if "cpu_ms" in theirs:
                cells += [f"{theirs[f'{clock}_ms']:.2f}", f"{theirs[f'{clock}_over_ours']:.2f}"]
                found.append(f"{theirs['found']:.0%}")
            else:
                cells += ["can't" if "refused" in theirs else "-", ""]
                found.append("-")
        table.add_row(result["row"], *cells, " / ".join(found))
    return table


def machine() -> dict[str, Any]:
    """What figures depend on."""
    return {
        "machine": platform.machine(),
        "processors": os.cpu_count(),
        "load": os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
        "python": platform.python_version(),
        "opencv": cv2.__version__,
        "litert": metadata.version("ai-edge-litert"),
    }


def main() -> None:
    """Measure, print, write JSON."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--video", type=Path, help="for every row")
    parser.add_argument("--clip", action="append", default=[], metavar="KIND=FILE")
    parser.add_argument("--frames", type=int, default=300)
    parser.add_argument("--rows", default="", help="only rows whose name holds this")
    parser.add_argument("--cpu", action="store_true", help="print processor time only")
    parser.add_argument("--environments", type=Path, default=HERE.parent / ".envs")
    parser.add_argument("--out", type=Path, default=Path("runtime.json"))
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="viewfinder-bench-"))
    console = Console(width=max(120, Console().width))
    processes: dict[str, Process] = {}
    try:
        clips = clips_for(options, folder)
        bundles = write_bundles(folder / "bundles")
        processes = contestants(options.environments)
        before, results = machine(), []
        for row in ROWS:
            if options.rows not in row.name:
                continue
            if row.clip not in clips:
                sys.stderr.write(f"{row.name} is left out: no clip (--clip {row.clip}=FILE)\n")
                continue
            with console.status(row.name):
                results.append(measure(row, clips[row.clip], options.frames, processes, bundles))
    finally:
        for process in processes.values():
            process.close()
        shutil.rmtree(folder)
    names = [name for name in processes if name != OURS]
    for clock in ("cpu",) if options.cpu else CLOCKS:
        console.print(table_of(results, names, clock))
    report = {"before": before, "rows": results}
    options.out.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
