"""`viewfinder run`: parse, and call one function.

Nothing heavy is imported at the top: `viewfinder --help` must answer at once.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import nullcontext
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from runtime.errors import ViewfinderError

if TYPE_CHECKING:
    from runtime.live import Outcome
    from runtime.sinks import SaveFrame
    from runtime.sources import Source

_MOST_IN_A_STREAM = {"face": 1, "hands": 2, "face-detection": 8}
_MOST_IN_A_PICTURE = 8


class SolutionName(StrEnum):
    """What can be run."""

    face = "face"
    hands = "hands"
    face_detection = "face-detection"


class ModelOrigin(StrEnum):
    """Whose models to run."""

    bundled = "bundled"
    mediapipe = "mediapipe"


def make_run(save_frame: SaveFrame | None = None) -> Callable[..., None]:
    """The `run` command.

    Args:
        save_frame: what the window's s key calls with the --save-to folder, the frame and what was
            found in it; it returns a line to show. Without it --save-to is refused.
    """

    def run(
        solution: Annotated[SolutionName, typer.Argument(help="What to look for.")],
        source: Annotated[
            str,
            typer.Option(
                help="A picture, a folder of pictures, a video, a camera's number (0) or a URL."
            ),
        ],
        model: Annotated[
            str | None,
            typer.Option(help="A .task bundle or .tflite model, or the name of an added one."),
        ] = None,
        models: Annotated[
            ModelOrigin, typer.Option(help="Whose models to run when --model isn't given.")
        ] = ModelOrigin.bundled,
        variant: Annotated[
            str | None,
            typer.Option(help="face: 468; hands: full, lite; face-detection: short, full."),
        ] = None,
        out: Annotated[
            Path | None,
            typer.Option(
                help="Write an annotated video (.mp4), an annotated picture (.jpg, .png), JSON "
                "lines (.jsonl), or annotated pictures into a folder."
            ),
        ] = None,
        as_json: Annotated[
            bool, typer.Option("--json", help="One JSON object a frame on standard output.")
        ] = False,
        show: Annotated[
            bool | None,
            typer.Option(
                "--show/--no-show",
                help="A window; by default when neither --out nor --json is given.",
            ),
        ] = None,
        static: Annotated[
            bool | None,
            typer.Option(
                "--static/--tracked",
                help="Each picture on its own, or followed from the last one. By default "
                "pictures and folders are static, videos and cameras tracked.",
            ),
        ] = None,
        most: Annotated[
            int | None,
            typer.Option(
                "--max",
                min=1,
                help="The most subjects looked for; by default 1 face or 2 hands in a stream, "
                "8 in a picture.",
            ),
        ] = None,
        min_score: Annotated[
            float | None,
            typer.Option(
                min=0.0,
                max=1.0,
                help="The detector's threshold; by default 0.5, 0.6 for the full-range face "
                "detector.",
            ),
        ] = None,
        mirrored: Annotated[
            bool,
            typer.Option(help="The pictures are selfie views: swap left and right hands."),
        ] = False,
        threads: Annotated[int, typer.Option(min=1, max=64, help="For each model.")] = 1,
        save_to: Annotated[
            Path | None,
            typer.Option(help="The data set that the window's s key saves frames to."),
        ] = None,
    ) -> None:
        """Run a model on pictures, a video or a camera, and see or write what it finds.

        viewfinder run hands --source 0 --models mediapipe

        viewfinder run face --source photos --model face.task --out annotated

        viewfinder run face --source clip.mp4 --model face.task --json > faces.jsonl

        In the window: q or Esc quits, space pauses, s saves the frame (with --save-to).
        """
        from runtime.solutions import open_solution
        from runtime.sources import open_source

        saver = _bound_saver(save_frame, save_to)
        opened = open_source(source)
        default_most = _MOST_IN_A_PICTURE if opened.pictures else _MOST_IN_A_STREAM[solution.value]
        runner = open_solution(
            solution.value,
            model=model,
            models=models.value,
            max_subjects=most or default_most,
            min_score=min_score,
            static=opened.pictures if static is None else static,
            variant=variant,
            mirrored=mirrored,
            threads=threads,
        )
        window = (out is None and not as_json) if show is None else show
        outcome = _run_with_progress(opened, runner, out, as_json, window, mirrored, saver)
        _finish(outcome, opened, out)

    return run


def _bound_saver(save_frame: SaveFrame | None, save_to: Path | None) -> Callable | None:
    if save_to is None:
        return None
    if save_frame is None:
        raise ViewfinderError(
            "saving frames needs the data set package", field="--save-to",
            hint="pip install 'viewfinder-live[data]'",
        )  # fmt: skip
    return lambda frame, subjects: save_frame(save_to, frame, subjects)


def _run_with_progress(
    source: Source,
    solution: Any,
    out: Path | None,
    as_json: bool,
    window: bool,
    mirrored: bool,
    saver: Callable | None,
) -> Outcome:
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    from runtime.lineup import looking_with
    from runtime.live import run_source
    from runtime.sinks import open_sinks

    sinks = open_sinks(source, out, as_json, window, mirrored, saver)
    quiet = window or not sys.stderr.isatty() or (source.count or 2) < 2
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with nullcontext() if quiet else Progress(*columns, console=console, transient=True) as bar:
        task = None if bar is None else bar.add_task(Path(source.name).name, total=source.count)

        def advance(frames: int) -> None:
            if bar is not None and task is not None:
                bar.update(task, completed=frames)

        return run_source(source, looking_with(solution).look, sinks, _complain, advance)


def _finish(outcome: Outcome, source: Source, out: Path | None) -> None:
    if out is not None and outcome.frames:
        what = f"{outcome.frames} frame{'s' * (outcome.frames != 1)}"
        typer.echo(f"{out}: {what}, {outcome.subjects} found", err=True)
    if outcome.interrupted and not source.live:
        typer.echo(
            f"stopped after {outcome.frames} frames; run the same command to start again", err=True
        )
    if outcome.problems or (outcome.interrupted and not source.live):
        raise typer.Exit(1)


def _complain(error: ViewfinderError) -> None:
    typer.echo(f"error: {error}", err=True)


run = make_run()
