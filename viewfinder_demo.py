"""`viewfinder demo`: the whole loop once, by the commands a user would type, with a report.

Every step is a `viewfinder` command run in a process of its own, so what the report shows is what
the reader can repeat. Steps that were done by an earlier run with the same arguments are kept.
"""

from __future__ import annotations

import json
import math
import os
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path

from runtime.errors import ViewfinderError
from viewfinder_demo_boxes import carry_a_box
from viewfinder_report import Report

_CLIP_FPS, _CLIP_SIZE = 12.0, 320
# The point that the scripted refinement moves: the subject's right corner of the mouth.
_MOUTH_CORNER = 61


@dataclass(frozen=True)
class Plan:
    """What the demo makes and where.

    Attributes:
        out: folder for everything.
        faces, hands: pictures to render for training.
        minutes: of training.
        workers: render processes.
        held_out: faces to render for measuring.
        clip_frames: of the clip of a turning head.
        session_frames: of the recording in which a box is placed.
    """

    out: Path
    faces: int
    hands: int
    minutes: float
    workers: int
    held_out: int = 32
    clip_frames: int = 36
    session_frames: int = 12


@dataclass(frozen=True)
class Step:
    """A command that was run: its arguments as typed, seconds, standard output."""

    arguments: tuple[str, ...]
    seconds: float
    output: str

    @property
    def typed(self) -> str:
        """The command as a user would type it."""
        return " ".join(("viewfinder", *self.arguments))


class Walk:
    """Runs steps one after another and remembers them in `steps.json`."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.steps: list[Step] = []
        self._memory = plan.out / "steps.json"
        try:
            plan.out.mkdir(parents=True, exist_ok=True)
            self._done: dict[str, list[object]] = json.loads(self._memory.read_text())
        except FileNotFoundError:
            self._done = {}
        except (OSError, ValueError) as problem:
            raise ViewfinderError(
                "the demo's folder can't be used", file=plan.out, found=problem
            ) from None

    def run(
        self,
        title: str,
        *arguments: str | Path,
        makes: Path | None = None,
        before: tuple[str, ...] = (),
        module: str = "viewfinder",
    ) -> Step:
        """Run a command, unless an earlier demo did so already.

        Args:
            title: what people read while they wait.
            arguments: of `viewfinder`.
            makes: a file or folder that shows that the step was done.
            before: words of a command that runs the command, as xvfb-run.
            module: what is run; this module for what no command does.

        Raises:
            ViewfinderError: the command failed; its own message stands above.
        """
        words = tuple(str(argument) for argument in arguments)
        remembered = self._done.get(title)
        if makes is not None and makes.exists() and remembered and remembered[0] == list(words):
            step = Step(words, float(str(remembered[1])), str(remembered[2]))
            _say(f"[kept] {title}")
        else:
            _say(f"[{len(self.steps) + 1}] {title}\n    $ {module} {' '.join(words)}")
            start = time.monotonic()
            process = subprocess.run(
                [*before, sys.executable, "-m", module, *words],
                stdout=subprocess.PIPE,
                text=True,
            )
            if process.returncode:
                raise ViewfinderError(
                    "the demo stopped at this step",
                    field=title,
                    found=f"exit code {process.returncode}",
                    hint="what is done is kept; run it again to go on",
                )
            step = Step(words, time.monotonic() - start, process.stdout)
            self._done[title] = [list(words), step.seconds, step.output]
            self._memory.write_text(json.dumps(self._done, indent=1))
        self.steps.append(step)
        return step


def walk(plan: Plan) -> Path:
    """Render, train, evaluate, run, prelabel, refine and report.

    Args:
        plan: sizes and folder.

    Returns:
        The report's path.

    Raises:
        ViewfinderError: a step failed.
    """
    start = time.monotonic()
    walk = Walk(plan)
    report = Report(
        plan.out,
        "Viewfinder, once round the loop",
        "Synthetic faces and hands, a model trained on them for a few minutes, that model on "
        "pictures it never saw, and its answer refined.",
    )
    _render(walk, report)
    _train(walk, report)
    _run_live(walk, report)
    _refine(walk, report)
    carry_a_box(walk, report)
    report.section("The steps and their times")
    report.table(
        ("command", "seconds"), [(step.typed, round(step.seconds, 1)) for step in walk.steps]
    )
    report.text(f"All together {(time.monotonic() - start) / 60:.1f} minutes on this machine.")
    path = report.write()
    _say(f"\nThe report: {path}\nRefine the photograph's labels yourself:\n")
    _say(f"    .venv/bin/viewfinder annotate {plan.out / 'real'}\n")
    return path


def _render(walk: Walk, report: Report) -> None:
    plan, out = walk.plan, walk.plan.out
    jobs = [
        # One data set has one light in 256 pictures: two data sets, two lights.
        ("faces", "faces", plan.faces // 2, 1, "Render faces to train on"),
        ("faces", "more_faces", plan.faces // 2, 2, "Render more faces, in another light"),
        ("faces", "heldout", plan.held_out, 3, "Render faces the model never sees"),
        ("hands", "hands", plan.hands, 7, "Render hands"),
    ]
    report.section(
        "Rendered, with exact labels",
        "Every point is known in the picture and in metres; points that something hides are "
        "marked by comparing them with the depth image.",
    )
    for kind, name, count, seed, title in jobs:
        walk.run(
            title,
            *("render", kind, "--out", out / name, "--count", str(count), "--seed", str(seed)),
            *("--workers", str(plan.workers), "--shard-size", "16"),
            makes=out / name / "dataset.json",
        )
    for name in ("faces", "hands"):
        sheet = out / "pictures" / f"{name}.png"
        sheet.parent.mkdir(exist_ok=True)
        walk.run(
            f"Draw a contact sheet of {name}",
            *("dataset", "show", out / name, "--out", sheet, "--count", "24"),
            makes=sheet,
        )
        report.pictures((sheet, f"{name}: some of the renders with their labels"))


def _train(walk: Walk, report: Report) -> None:
    plan, out = walk.plan, walk.plan.out
    model = out / "face.task"
    walk.run(
        f"Train a face model for {plan.minutes:g} minutes",
        *("train", "face", "--data", out / "faces", "--data", out / "more_faces"),
        *("--out", model),
        *("--minutes", f"{plan.minutes:g}", "--seed", "1"),
        makes=model,
    )
    report.section(
        "Trained",
        f"A small network, {plan.minutes:g} minutes on {plan.faces} renders. A real model wants "
        "some ten thousand; this one shows that every part works.",
    )
    report.curve(_loss_curve(model), "seconds of training", "loss")
    worst = out / "pictures" / "worst.png"
    evaluated = walk.run(
        "Evaluate on faces the model never saw",
        *("evaluate", model, "--data", out / "heldout", "--split", "all", "--by", "part"),
        *("--json", "--picture", worst),
        makes=worst,
    )
    result = json.loads(evaluated.output)
    low, high = result["interval"]
    report.text(
        f"Mean error on {result['n']} held-out renders: {result['mean']:.2f} % of the interocular "
        f"distance (95 % interval {low:.2f} to {high:.2f})."
    )
    rows = [(part, value["mean"], value["n"]) for part, value in result["by"].items()]
    report.table(("part", "mean error, %", "samples"), rows)
    report.pictures((worst, "the held-out renders it does worst on"))


def _loss_curve(model: Path) -> list[tuple[float, float]]:
    from bootstrap.training.report import read_log
    from bootstrap.training.train import log_path

    return [(line["elapsed_s"], line["loss"]["loss"]) for line in read_log(log_path(model))]


def _run_live(walk: Walk, report: Report) -> None:
    out = walk.plan.out
    photo, clip = _photograph(out / "photo"), out / "clip.webm"
    walk.run(
        "Render a clip of a turning head",
        *(clip, str(walk.plan.clip_frames)),
        makes=clip,
        module="viewfinder_demo",
    )
    report.section(
        "Run on a real photograph and on a clip",
        "One pipeline runs both models: detector, oriented crop, landmarks; on the clip the crop "
        "comes from the frame before.",
    )
    for source, name in ((photo, "photo"), (clip, "clip")):
        shown: list[tuple[Path, str]] = []
        for whose, choice in _models(walk.plan).items():
            result = out / "pictures" / f"{name}_{whose}{source.suffix}"
            walk.run(
                f"Run {whose} on the {name}",
                *("run", "face", "--source", str(source), *choice, "--out", str(result)),
                makes=result,
            )
            shown.append((result, f"{_CAPTIONS[whose]} on the {name}"))
        report.pictures(*shown)
    worst = out / "pictures" / "hands_worst.png"
    evaluated = walk.run(
        "Evaluate the hand model that Viewfinder brings on the rendered hands",
        *("evaluate", "viewfinder_hand", "--data", out / "hands", "--split", "all"),
        *("--json", "--picture", worst),
        makes=worst,
    )
    result = json.loads(evaluated.output)
    report.text(
        f"The hand model that Viewfinder brings errs by {result['mean']:.1f} % of the palm on the "
        f"{result['n']} hands rendered above, which it never saw."
    )
    report.pictures((worst, "the hands it does worst on"))


_CAPTIONS = {
    "ours": "the model just trained",
    "bundled": "the models that Viewfinder brings, trained on renders alone,",
    "mediapipe": "MediaPipe's models",
}


def _models(plan: Plan) -> dict[str, tuple[str, ...]]:
    return {
        "ours": ("--model", str(plan.out / "face.task")),
        "bundled": ("--models", "bundled"),
        "mediapipe": ("--models", "mediapipe"),
    }


def _photograph(folder: Path) -> Path:
    """scikit-image's portrait of Eileen Collins (NASA, public domain), as a file."""
    from skimage import data

    from runtime.image import encode_image

    path = folder / "astronaut.png"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encode_image(data.astronaut(), ".png"))
    return path


def _refine(walk: Walk, report: Report) -> None:
    out = walk.plan.out
    real, photo = out / "real", out / "photo" / "astronaut.png"
    walk.run(
        "Import the photograph",
        *("dataset", "import", photo.parent, "--out", real),
        makes=real / "dataset.json",
    )
    walk.run(
        "Pre-label it with the model that Viewfinder brings",
        *("prelabel", real, "--model", "viewfinder_face", "--json"),
        makes=real / "labels",
    )
    closeup = out / "pictures" / "prelabelled.png"
    walk.run(
        "Draw the photograph with its pre-labels",
        *("dataset", "show", real, "--out", closeup, "--zoom", "--tile", "512"),
        makes=closeup,
    )
    answer = walk.run(
        "Ask MediaPipe's model where the mouth's corner is",
        *("run", "face", "--source", photo, "--models", "mediapipe", "--static", "--json"),
    )
    frame = json.loads(answer.output.splitlines()[0])
    x, y, _ = frame["subjects"][0]["keypoints"][_MOUTH_CORNER]
    refined = _drag_mouth_corner(real, x * frame["width"], y * frame["height"])
    report.section("Pre-labelled, then refined", refined)
    report.pictures((closeup, "that model's labels on the photograph, before anybody refined them"))
    window = out / "pictures" / "window.png"
    display = _display()
    if display is not None:
        walk.run(
            "Photograph the annotation window",
            *("annotate", real, "--annotator", "demo", "--screenshot", window),
            makes=window,
            before=display,
        )
        report.pictures((window, "the window in which people refine; every edit is kept at once"))
    report.text("Refine it yourself:")
    report.command(f"viewfinder annotate {real}")


def _drag_mouth_corner(project: Path, x_px: float, y_px: float) -> str:
    """One edit by script, through the session that the window uses; says what happened."""
    from annotate.session import AnnotationSession

    with AnnotationSession.open(project, annotator="demo") as session:
        was_x, was_y = session.document.keypoints_px[_MOUTH_CORNER]
        start = time.monotonic()
        session.move(_MOUTH_CORNER, x_px, y_px, radius_px=12.0)
        kept_ms = 1000 * (time.monotonic() - start)
        session.accept()
    with AnnotationSession.open(project, annotator="demo") as session:
        session.go(0)
        now_x, now_y = session.document.keypoints_px[_MOUTH_CORNER]
        summary = session.export()
    if abs(now_x - x_px) + abs(now_y - y_px) > 1e-6:
        raise ViewfinderError(
            "the refinement wasn't kept", file=project, expected=(x_px, y_px), found=(now_x, now_y)
        )
    return (
        f"The right corner of the mouth was moved by script from ({was_x:.1f}, {was_y:.1f}) to "
        f"({now_x:.1f}, {now_y:.1f}) px, on the disk after {kept_ms:.0f} ms, read back by a new "
        f"session and exported as the layer {summary.layer}."
    )


def _display() -> tuple[str, ...] | None:
    """What to put before a command that opens a window; None where there is no display."""
    if os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"):
        return ()
    if shutil.which("xvfb-run"):
        return ("xvfb-run", "-a", "-s", "-screen 0 1400x900x24")
    return None


def render_clip(path: Path, frames: int) -> None:
    """A short clip of one synthetic head that turns, nods and opens its mouth.

    Args:
        path: a .webm file to write.
        frames: how many.
    """
    import cv2

    from render.faces import FaceRenderer, FaceSettings
    from render.faces_head import rotation_matrix
    from render.settings import ONE_FACE

    renderer = FaceRenderer(FaceSettings(seed=6, size=_CLIP_SIZE, face_shares=ONE_FACE))
    size = (_CLIP_SIZE, _CLIP_SIZE)
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"VP80"), _CLIP_FPS, size)
    try:
        for frame in range(frames):
            # Drawn anew each time, so that hair and skin are the same in every frame.
            drawn, rng = renderer.draw(0)
            phase = 2 * math.pi * frame / frames
            turn = rotation_matrix([0, 0, 0.5 * math.sin(phase)])
            nod = rotation_matrix([0.15 * math.sin(2 * phase), 0, 0])
            view = replace(
                drawn.view, head_rotation=turn @ nod, body_yaw_rad=0.0, elevation_rad=0.05,
                face_share=0.5, offset=(0.0, 0.05), distance_m=0.7,
            )  # fmt: skip
            actions = {"jawOpen": 0.25 - 0.25 * math.cos(2 * phase)}
            moved = replace(drawn, view=view, actions=actions, gaze_rad=(0.0, 0.0))
            rgb = renderer.shoot(moved, renderer.hdri(0), rng).rgb
            writer.write(cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR))
    finally:
        writer.release()
        renderer.close()


def _say(line: str) -> None:
    sys.stderr.write(line + "\n")
    sys.stderr.flush()


if __name__ == "__main__":
    render_clip(Path(sys.argv[1]), int(sys.argv[2]))
