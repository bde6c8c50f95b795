"""What `viewfinder run` does, once its options are read: put a run together, and see it through."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.table import Column, Table

from runtime.compare import Summary
from runtime.drawing.result import Look
from runtime.errors import Notice, ViewfinderError
from runtime.graph.trace import Tracer
from runtime.lineup import Choice, Lineup
from runtime.live import Outcome, run_source
from runtime.results import FrameResult
from runtime.sinks import SaveFrame, Sink, open_sinks
from runtime.solutions.options import Models, SolutionOptions
from runtime.solutions.registry import SolutionEntry, solution_entry
from runtime.solutions.solution import OUTPUT, GraphSolution
from runtime.sources import PATIENCE_SECONDS, Frame, Source, open_source
from runtime.viewing.controls import Controls
from runtime.viewing.viewer import Save, Screen, Viewer

_MOST_IN_A_PICTURE = 8


@dataclass(frozen=True)
class Wishes:
    """What the user of `viewfinder run` asked for.

    Attributes:
        solution: its name.
        source: picture, folder, video, camera number or address.
        options: without `model`, `static` and `max_subjects`.
        models: bundles or models to choose from; empty for released ones.
        against: a second model: "mediapipe", "bundled", "variant:NAME", or a bundle; None for none.
        most: subjects looked for; None for what suits solution and source.
        static: None for what suits the source.
        out, as_json, show, puppet: where results go and how; show None for when nothing else is.
        save_to: the data set for frames that are kept, and `save_frame`, what keeps them.
        serve, host, port: the web page.
        delayed: show a live source's every frame, late.
        trace, graph_picture: files for the timeline and the drawn graph.
        patience_s: how long a live source that went away is waited for.
    """

    solution: str
    source: str
    options: SolutionOptions
    models: tuple[str, ...] = ()
    against: str | None = None
    most: int | None = None
    static: bool | None = None
    out: Path | None = None
    as_json: bool = False
    show: bool | None = None
    puppet: bool = False
    save_to: Path | None = None
    save_frame: SaveFrame | None = None
    serve: bool = False
    host: str = ""
    port: int | None = None
    delayed: bool = False
    trace: Path | None = None
    graph_picture: Path | None = None
    patience_s: float = PATIENCE_SECONDS


def run(wishes: Wishes) -> int:
    """Run as wished.

    Returns:
        The exit code: 0, or 1 when something couldn't be read or a file's run was interrupted.

    Raises:
        ViewfinderError: a source, model or place that won't do.
    """
    saver = _bound_saver(wishes)
    entry = solution_entry(wishes.solution)
    source = open_source(wishes.source, wishes.patience_s)
    options = replace(
        wishes.options,
        static=source.pictures if wishes.static is None else wishes.static,
        max_subjects=wishes.most or (_MOST_IN_A_PICTURE if source.pictures else entry.most),
    )
    choices = choices_of(wishes, entry, options)
    second = None if wishes.against is None else second_of(wishes, options)
    watched = wishes.serve or _windowed(wishes)
    controls = Controls(
        len(choices), one_by_one=watched and source.pictures, two=second is not None,
        stay=wishes.serve,
    )  # fmt: skip
    look = Look(wishes.options.mirrored, wishes.puppet)
    lineup = Lineup(choices, second, controls, source.live)
    tracer = _traced(wishes, lineup, source.live)
    viewer = [_viewer(wishes, source, lineup, controls, look, saver)] if watched else []
    comparing = _Comparing() if second is not None else None
    # Files last: what fails before them leaves none behind.
    sinks: list[Sink] = [
        *open_sinks(source, wishes.out, wishes.as_json, look),
        *([] if comparing is None else [comparing]),
        *viewer,
    ]
    with closing(lineup), _progress(source, hidden=watched) as advance:
        outcome = run_source(
            source, lineup.look, sinks, _complain, advance, controls, tracer, wishes.delayed
        )
    if comparing is not None:
        print_comparison(comparing.summary, lineup)
    if tracer is not None:
        _write_trace(wishes, tracer, lineup)
    return _finished(outcome, source, wishes)


def choices_of(wishes: Wishes, entry: SolutionEntry, options: SolutionOptions) -> list[Choice]:
    """The models to switch between: those given, or the wanted one, then the released variants."""
    if wishes.models:
        return [
            Choice(Path(model).name, wishes.solution, replace(options, model=model))
            for model in wishes.models
        ]
    ours = []
    if entry.bundled and options.models == "bundled":
        ours = [Choice(_label(wishes.solution, "bundled"), wishes.solution, options)]
        options = replace(options, models="mediapipe", variant=None)
    first = options.variant or next(iter(entry.variants), None)
    names = [first, *(name for name in entry.variants if name != first)]
    return ours + [
        Choice(_label(wishes.solution, name), wishes.solution, replace(options, variant=name))
        for name in names
    ]


def second_of(wishes: Wishes, options: SolutionOptions) -> Choice:
    """The model that `--against` names."""
    name = wishes.against or ""
    if name.startswith("variant:"):
        variant = name.removeprefix("variant:")
        theirs = wishes.models or solution_entry(wishes.solution).bundled
        origin = "mediapipe" if theirs else options.models
        options = replace(options, model=None, models=origin, variant=variant)
        return Choice(_label(wishes.solution, variant), wishes.solution, options)
    origins: dict[str, Models] = {"mediapipe": "mediapipe", "bundled": "bundled"}
    if name in origins:
        released = None if wishes.models or name == "bundled" else options.variant
        chosen = replace(options, model=None, models=origins[name], variant=released)
        return Choice(_label(name, released), wishes.solution, chosen)
    return Choice(Path(name).name, wishes.solution, replace(options, model=name))


def print_comparison(summary: Summary, lineup: Lineup) -> None:
    """Say on standard error how two models differed, with the worst frames."""
    first, second = lineup.first.label, lineup.second.label if lineup.second else ""
    console = Console(stderr=True)
    console.print(f"{first} (first) against {second} (second), {summary.frames} frames")
    if summary.least_iou is not None:
        console.print(f"  masks: least IoU {summary.least_iou:.4f}")
    if summary.measured:
        console.print(
            f"  {summary.measured} found by both: mean {summary.mean_px:.3f} px "
            f"({summary.mean_percent:.2f} %), worst {summary.worst_px:.2f} px"
        )
    console.print(
        f"  only by the first: {summary.only_first}, only by the second: {summary.only_second}"
    )
    worst = summary.worst_frames()
    if worst:
        table = Table(Column("worst frames", overflow="fold"), Column("frame", justify="right"),
                      Column("difference", justify="right"))  # fmt: skip
        for entry in worst:
            table.add_row(Path(entry.source).name, str(entry.frame), entry.words)
        console.print(table)


class _Comparing:
    """A sink that sums the differences up."""

    def __init__(self) -> None:
        self.summary = Summary()

    def write(self, frame: Frame, result: FrameResult) -> bool:
        if result.against is not None:
            self.summary.add(frame.source, frame.index, result.against.difference)
        return True

    def close(self, failed: bool = False) -> None:
        """Nothing is open."""


def _windowed(wishes: Wishes) -> bool:
    if wishes.show is not None:
        return wishes.show
    return wishes.out is None and not wishes.as_json and not wishes.serve


def _viewer(
    wishes: Wishes, source: Source, lineup: Lineup, controls: Controls, look: Look,
    saver: Save | None,
) -> Sink:  # fmt: skip
    screens: list[Screen] = []
    if _windowed(wishes):
        from runtime.viewing.window import Window

        screens.append(Window(any_key=source.pictures))
    if wishes.serve:
        from runtime.viewing.serve import LOOPBACK, Page, is_loopback

        page = Page(wishes.host or LOOPBACK, wishes.port)
        screens.append(page)
        if wishes.host and not is_loopback(wishes.host):
            typer.echo(
                "warning: other machines can reach this page, and what it shows travels "
                "unencrypted", err=True,
            )  # fmt: skip
        typer.echo(f"{page.url}  (Ctrl-C stops)", err=True)
    pace = not source.pictures and not source.live
    return Viewer(controls, screens, look, lineup.look, saver, pace)


def _bound_saver(wishes: Wishes) -> Save | None:
    folder, save_frame = wishes.save_to, wishes.save_frame
    if folder is None:
        return None
    if save_frame is None:
        raise ViewfinderError(
            "saving frames needs the data set package", field="--save-to",
            hint="pip install 'viewfinder-live[data]'",
        )  # fmt: skip
    if wishes.options.mirrored:
        raise ViewfinderError(
            "frames of selfie views can't be kept: in a data set left and right are the person's "
            "own", field="--save-to", hint="leave --mirrored out",
        )  # fmt: skip
    return lambda frame, result: save_frame(folder, frame, result)


def _traced(wishes: Wishes, lineup: Lineup, live: bool) -> Tracer | None:
    if wishes.trace is None and wishes.graph_picture is None:
        return None
    tracer = Tracer()
    _graph_solution(lineup).prepare(tracer, live)
    return tracer


def _write_trace(wishes: Wishes, tracer: Tracer, lineup: Lineup) -> None:
    if wishes.trace is not None:
        tracer.write(wishes.trace)
        typer.echo(tracer.table(), err=True)
    if wishes.graph_picture is not None:
        from runtime.graph.picture import draw_graph

        draw_graph(_graph_solution(lineup).graph, wishes.graph_picture, tracer, (OUTPUT,))
        typer.echo(f"{wishes.graph_picture}: the graph with its times", err=True)


def _graph_solution(lineup: Lineup) -> GraphSolution:
    solution = lineup.first.solution
    if not isinstance(solution, GraphSolution):
        raise ViewfinderError("this solution isn't a graph", found=lineup.first.label)
    return solution


@contextmanager
def _progress(source: Source, hidden: bool) -> Iterator[Callable[[int], None]]:
    if hidden or not sys.stderr.isatty() or (source.count or 2) < 2:
        yield lambda frames: None
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(Path(source.name).name, total=source.count)
        yield lambda frames: bar.update(task, completed=frames)


def _finished(outcome: Outcome, source: Source, wishes: Wishes) -> int:
    if wishes.out is not None and outcome.frames:
        what = f"{outcome.frames} frame{'s' * (outcome.frames != 1)}"
        dropped = f", {outcome.dropped} dropped" if outcome.dropped else ""
        typer.echo(f"{wishes.out}: {what}, {outcome.subjects} found{dropped}", err=True)
    # Ctrl-C is how one stops looking; only results that somebody waits for are cut short by it.
    wanted = wishes.out is not None or wishes.as_json
    whole = source.live or (source.count is not None and outcome.frames >= source.count)
    stopped = outcome.interrupted and wanted and not whole
    if stopped:
        typer.echo(
            f"stopped after {outcome.frames} frames; run the same command to start again", err=True
        )
    return 1 if outcome.problems or stopped else 0


def _label(solution: str, variant: str | None) -> str:
    return f"{solution} {variant or ''}".strip()


def _complain(error: ViewfinderError) -> None:
    kind = "note" if isinstance(error, Notice) else "error"
    typer.echo(f"{kind}: {error}", err=True)
