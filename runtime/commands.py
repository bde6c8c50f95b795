"""`viewfinder run`: parse, and call one function.

Nothing heavy is imported at the top: `viewfinder --help` must answer at once.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.panel import Panel
from rich.table import Column, Table
from typer.core import TyperCommand

from runtime.errors import ViewfinderError
from runtime.solutions.registry import is_graph_file, solutions

if TYPE_CHECKING:
    from runtime.sinks import SaveFrame
    from runtime.smoothing import OneEuroParameters

_SOURCE = "What to look at"
_MODEL = "Which model"
_FOUND = "What is found"
_OUTPUT = "Where results go"
_WATCH = "Watching"
_TIMES = "Where the time goes"


class ModelOrigin(StrEnum):
    """Whose models to run."""

    bundled = "bundled"
    mediapipe = "mediapipe"


class RunCommand(TyperCommand):
    """Lists the solutions beneath the options: packages that are installed can add some."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Print the help, then the solutions."""
        super().format_help(ctx, formatter)
        table = Table(
            Column("name", style="bold cyan", no_wrap=True), Column("what it finds"),
            Column("variants, the first by default"), box=None, padding=(0, 2, 0, 0),
            show_header=False,
        )  # fmt: skip
        for name, entry in solutions().items():
            table.add_row(name, entry.what, ", ".join(entry.variants))
        title = "Solutions, and the variants of MediaPipe's models"
        Console().print(Panel(table, title=title, title_align="left", border_style="dim"))


def make_run(save_frame: SaveFrame | None = None) -> Callable[..., None]:
    """The `run` command; give `cls=RunCommand` where it is mounted.

    Args:
        save_frame: what the s key calls with the --save-to folder, the frame and what was found
            in it; it returns a line to show. Without it --save-to is refused.
    """

    def run(
        solution: Annotated[
            str,
            typer.Argument(
                help="What to look for; the solutions are listed below. Or a graph in YAML.",
                callback=_known_solution,
                autocompletion=lambda: list(solutions()),
            ),
        ],
        source: Annotated[
            str,
            typer.Option(
                help="A picture, a folder of pictures, a video, a camera's number (0) or a URL.",
                rich_help_panel=_SOURCE,
            ),
        ],
        patience: Annotated[
            float,
            typer.Option(
                min=0.0,
                metavar="SECONDS",
                help="How long a camera or stream that went away is waited for; 0 ends with it.",
                rich_help_panel=_SOURCE,
            ),
        ] = 600.0,
        mirrored: Annotated[
            bool,
            typer.Option(
                "--mirrored",
                help="The pictures are selfie views: swap left and right hands.",
                rich_help_panel=_SOURCE,
            ),
        ] = False,
        focal_px: Annotated[
            float | None,
            typer.Option(
                min=1.0,
                help="The camera's focal length in pixels, for depths; by default from EXIF, else "
                "guessed (a view 63 degrees high).",
                rich_help_panel=_SOURCE,
            ),
        ] = None,
        principal_px: Annotated[
            str | None,
            typer.Option(
                metavar="X,Y",
                help="objectron: where the optical axis meets the picture; by default its middle.",
                rich_help_panel=_SOURCE,
            ),
        ] = None,
        static: Annotated[
            bool | None,
            typer.Option(
                "--static/--tracked",
                help="Each picture on its own, or followed from the last one. By default "
                "pictures and folders are static, videos and cameras tracked.",
                rich_help_panel=_SOURCE,
            ),
        ] = None,
        model: Annotated[
            list[str] | None,
            typer.Option(
                help="A .task bundle or .tflite model, or the name of an added one; several to "
                "switch between.",
                rich_help_panel=_MODEL,
            ),
        ] = None,
        models: Annotated[
            ModelOrigin,
            typer.Option(
                help="Whose models to run when --model isn't given; ours find faces and hands.",
                rich_help_panel=_MODEL,
            ),
        ] = ModelOrigin.bundled,
        variant: Annotated[
            str | None,
            typer.Option(help="Of MediaPipe's models; listed below.", rich_help_panel=_MODEL),
        ] = None,
        against: Annotated[
            str | None,
            typer.Option(
                metavar="MODEL",
                help="A second model on the same frames, the difference drawn and listed: a "
                "bundle, mediapipe, or variant:NAME.",
                rich_help_panel=_MODEL,
            ),
        ] = None,
        delegate: Annotated[
            str,
            typer.Option(
                help="What runs the models: gpu, openvino, or a delegate library; XNNPACK without.",
                rich_help_panel=_MODEL,
            ),
        ] = "",
        threads: Annotated[
            int, typer.Option(min=1, max=64, help="For each model.", rich_help_panel=_MODEL)
        ] = 1,
        most: Annotated[
            int | None,
            typer.Option(
                "--max",
                min=1,
                help="The most subjects looked for; by default what suits the solution in a "
                "stream, 8 in a picture.",
                rich_help_panel=_FOUND,
            ),
        ] = None,
        min_score: Annotated[
            float | None,
            typer.Option(
                min=0.0,
                max=1.0,
                help="The detector's threshold; by default 0.5, 0.6 for the full-range face "
                "detector.",
                rich_help_panel=_FOUND,
            ),
        ] = None,
        second_look: Annotated[
            bool | None,
            typer.Option(
                "--second-look/--one-look",
                help="face, hands: look again where a new subject's landmarks say it is; by "
                "default with models trained by Viewfinder.",
                rich_help_panel=_FOUND,
            ),
        ] = None,
        smooth: Annotated[
            bool | None,
            typer.Option(
                "--smooth/--no-smooth",
                help="One-euro filters over time; by default what MediaPipe does.",
                rich_help_panel=_FOUND,
            ),
        ] = None,
        smoothing: Annotated[
            str | None,
            typer.Option(
                metavar="MIN_CUTOFF,BETA,DCUTOFF",
                help="The filters' parameters: Hz, a factor, Hz.",
                rich_help_panel=_FOUND,
            ),
        ] = None,
        segmentation: Annotated[
            bool,
            typer.Option("--segmentation", help="pose: each body's mask.", rich_help_panel=_FOUND),
        ] = False,
        blendshapes: Annotated[
            bool,
            typer.Option(
                "--blendshapes", help="face: 52 expression coefficients.", rich_help_panel=_FOUND
            ),
        ] = False,
        gestures: Annotated[
            str,
            typer.Option(
                metavar="mediapipe|rules|FILE",
                help="hands: what recognises gestures; FILE is a classifier of your own.",
                rich_help_panel=_FOUND,
            ),
        ] = "",
        iris_mm: Annotated[
            float,
            typer.Option(
                min=5.0,
                max=20.0,
                help="The iris diameter that depths rest on.",
                rich_help_panel=_FOUND,
            ),
        ] = 11.7,
        size_m: Annotated[
            float | None,
            typer.Option(
                min=1e-3,
                help="objectron: the object's largest side, for boxes in metres.",
                rich_help_panel=_FOUND,
            ),
        ] = None,
        out: Annotated[
            Path | None,
            typer.Option(
                help="Write an annotated video (.mp4), an annotated picture (.jpg, .png), JSON "
                "lines (.jsonl), or annotated pictures into a folder.",
                rich_help_panel=_OUTPUT,
            ),
        ] = None,
        as_json: Annotated[
            bool,
            typer.Option(
                "--json",
                help="One JSON object a frame on standard output.",
                rich_help_panel=_OUTPUT,
            ),
        ] = False,
        show: Annotated[
            bool | None,
            typer.Option(
                "--show/--no-show",
                help="A window; by default without --out, --json and --serve.",
                rich_help_panel=_WATCH,
            ),
        ] = None,
        delayed: Annotated[
            bool,
            typer.Option(
                "--delayed",
                help="Show every frame of a camera or stream, late by as much as looking takes, "
                "so that overlays lie on the frame they belong to.",
                rich_help_panel=_WATCH,
            ),
        ] = False,
        puppet: Annotated[
            bool,
            typer.Option(
                "--puppet",
                help="face: a puppet that makes the same face; brings --blendshapes.",
                rich_help_panel=_WATCH,
            ),
        ] = False,
        save_to: Annotated[
            Path | None,
            typer.Option(
                metavar="DIR",
                help="The data set that the s key saves frames to, with every model's answer.",
                rich_help_panel=_WATCH,
            ),
        ] = None,
        serve: Annotated[
            bool,
            typer.Option(
                "--serve",
                help="Show it on a web page of this machine, whose address is printed.",
                rich_help_panel=_WATCH,
            ),
        ] = False,
        serve_port: Annotated[
            int | None,
            typer.Option(
                min=0, max=65535, help="By default 8765, or a free one.", rich_help_panel=_WATCH
            ),
        ] = None,
        serve_host: Annotated[
            str,
            typer.Option(
                metavar="ADDRESS",
                help="To listen at another address than 127.0.0.1: others can then reach it.",
                rich_help_panel=_WATCH,
            ),
        ] = "",
        trace: Annotated[
            Path | None,
            typer.Option(
                metavar="FILE",
                help="Write every calculator's calls, for chrome://tracing, and print a table.",
                rich_help_panel=_TIMES,
            ),
        ] = None,
        graph_picture: Annotated[
            Path | None,
            typer.Option(
                metavar="FILE",
                help="Draw the graph with its measured times (.png or .svg).",
                rich_help_panel=_TIMES,
            ),
        ] = None,
    ) -> None:
        """Run a model on pictures, a video or a camera, and see or write what it finds.

        viewfinder run hands --source 0 --models mediapipe

        viewfinder run face --source photos --model face.task --out annotated

        viewfinder run face --source clip.mp4 --model face.task --json > faces.jsonl

        viewfinder run face --source 0 --model face.task --against mediapipe --save-to hard --serve

        In the window and on the page: space pauses, . and , step, m switches the model, o the
        overlays, b the view of two models, s saves the frame, h shows the keys, q quits.
        """
        from runtime.running import Wishes
        from runtime.running import run as run_wishes
        from runtime.solutions.options import SolutionOptions

        options = SolutionOptions(
            models=models.value, variant=variant, min_score=min_score, mirrored=mirrored,
            threads=threads, delegate=delegate, second_look=second_look,
            smoothing=_smoothing(smooth, smoothing),
            focal_px=focal_px, principal_px=_point("--principal-px", principal_px),
            iris_diameter_m=iris_mm / 1000, size_m=size_m,
            segmentation=segmentation, blendshapes=blendshapes or puppet, gestures=gestures,
        )  # fmt: skip
        wishes = Wishes(
            solution, source, options, tuple(model or ()), against, most, static, out, as_json,
            show, puppet, save_to, save_frame, serve or serve_port is not None or bool(serve_host),
            serve_host, serve_port, delayed, trace, graph_picture, patience,
        )  # fmt: skip
        code = run_wishes(wishes)
        if code:
            raise typer.Exit(code)

    return run


def _known_solution(name: str) -> str:
    known = solutions()
    if name in known or is_graph_file(name):
        return name
    near = difflib.get_close_matches(name, known, n=1)
    hint = f" Did you mean {near[0]}?" if near else ""
    raise typer.BadParameter(f"there is no solution {name!r}.{hint} There are: {', '.join(known)}.")


def _smoothing(smooth: bool | None, parameters: str | None) -> bool | OneEuroParameters | None:
    if parameters is None or smooth is False:
        return smooth
    from runtime.smoothing import OneEuroParameters

    return OneEuroParameters(*_numbers("--smoothing", "MIN_CUTOFF,BETA,DCUTOFF", parameters))


def _point(option: str, text: str | None) -> tuple[float, float] | None:
    if text is None:
        return None
    x, y = _numbers(option, "X,Y", text)
    return x, y


def _numbers(option: str, form: str, text: str) -> list[float]:
    """The numbers of an option that takes several, as many as its form names."""
    try:
        values = [float(part) for part in text.split(",")]
    except ValueError:
        values = []
    if len(values) != form.count(",") + 1 or not all(map(math.isfinite, values)):
        raise ViewfinderError("not what this takes", field=option, expected=form, found=repr(text))
    return values


run = make_run()
