"""`viewfinder annotate`."""

from __future__ import annotations

import json
import os
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from annotate.keys import read_settings, settings_path, write_settings_template
from annotate.team_commands import StoreOption
from runtime.errors import ViewfinderError


def annotate(
    project: Annotated[
        Path | None,
        typer.Argument(help="A data set's folder, or an AR recording.", show_default=False),
    ] = None,
    layer: Annotated[
        str | None,
        typer.Option(
            help="Labels to start from, as predicted@3f2a91. Without it: the one predicted layer, "
            "else synthetic, else propagated.",
            show_default=False,
        ),
    ] = None,
    annotator: Annotated[
        str | None,
        typer.Option(help="Your name in the store and the layer. Without it: your login."),
    ] = None,
    queue: Annotated[
        Path | None,
        typer.Option(
            help="A file with sample ids, the first to do on top. Without it: queue.txt in the "
            "project, if it is there.",
            show_default=False,
        ),
    ] = None,
    item: Annotated[
        int | None,
        typer.Option(min=1, help="Item to begin at. Without it: where you left off."),
    ] = None,
    store: StoreOption = None,
    model: Annotated[
        str | None,
        typer.Option(
            help="Bundle that predicts again, and learns, or one of ours, mediapipe; without it: "
            "what learned in PROJECT last, or ours. In an AR recording: that proposes boxes; "
            "without it: MediaPipe's.",
            show_default=False,
        ),
    ] = None,
    everything: Annotated[
        bool, typer.Option("--all", help="Show what is assigned to others, too.")
    ] = False,
    review: Annotated[
        bool,
        typer.Option(
            "--review", help="Merge what two or more annotators finished into the layer consensus."
        ),
    ] = False,
    export: Annotated[
        bool,
        typer.Option(
            "--export",
            help="Write the layer human/ANNOTATOR, or consensus with --review; open no window.",
        ),
    ] = False,
    screenshot: Annotated[
        Path | None,
        typer.Option(help="Save a PNG of the window and close it.", show_default=False),
    ] = None,
    keys: Annotated[
        bool,
        typer.Option("--keys", help="Write the file in which keys can be changed, say where."),
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="With --export: what was written, as JSON.")
    ] = False,
) -> None:
    """Refine keypoints, or place boxes in AR recordings, by hand; every edit is saved at once.

    Opens napari on the labels a model (or a renderer) made: drag keypoints, contours follow; Enter
    accepts and goes on. Edits are kept in PROJECT/annotations.sqlite the moment they are made:
    there is no Save, and undo works across items and restarts. --export turns what you touched and
    accepted into a layer that `viewfinder train` and `viewfinder evaluate` read.

    PROJECT may be an AR recording that `viewfinder session` reads: boxes are placed and dragged in
    its frames and in space, and fitted live; --export writes boxes-ANNOTATOR.json and the data set
    PROJECT/frames with the layer `propagated@ANNOTATOR`.

    Everything has a key: ? shows them all, --keys writes the file in which to change them. Where
    the disk is full or can't be written, work goes on in memory and the window says so.
    """
    # Products of small matrices, of ours and of vispy's, wait for OpenBLAS's threads several times
    # as long as they take; NumPy reads this when it is first loaded, below.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    if keys:
        path = settings_path()
        written = write_settings_template(path)
        typer.echo(f"{path}: {'written' if written else 'is there already, and was left as it is'}")
        return
    if project is None:
        raise typer.BadParameter("which data set?", param_hint="PROJECT")
    if is_recording(project):
        only_for_datasets = {"--layer": layer, "--queue": queue, "--item": item, "--review": review}
        given = [name for name, value in only_for_datasets.items() if value]
        if given:
            raise typer.BadParameter(f"{' '.join(given)} is for data sets", param_hint="PROJECT")
        _annotate_recording(project, annotator, store, model, export, screenshot, as_json)
        return
    if export:
        _export(project, annotator, store, review, as_json)
        return
    from annotate.opening import open_window, prepare_qt

    prepare_qt()  # before anything is opened: without a display there is nothing to do
    settings = read_settings(settings_path())
    from annotate.review import ReviewSession
    from annotate.session import AnnotationSession

    opened: AnnotationSession
    if review:
        opened = ReviewSession.open_review(project, annotator, store=store, keep_going=True)
    else:
        opened = AnnotationSession.open(
            project,
            annotator=annotator,
            layer=layer,
            queue=queue,
            keep_going=True,
            store=store,
            everything=everything,
        )
    with opened as session:
        if item is not None:
            if item > len(session.items):
                raise ViewfinderError(
                    "no such item", field="item", expected=f"1 to {len(session.items)}", found=item
                )
            session.go(item - 1)
        open_window(session, settings, screenshot, model or "")


def is_recording(project: Path) -> bool:
    """Whether a project is an AR recording, and no data set."""
    from arsession.readers import reader_of

    return not (project / "dataset.json").exists() and reader_of(project) is not None


def _annotate_recording(
    project: Path,
    annotator: str | None,
    store: str | None,
    model: str | None,
    export: bool,
    screenshot: Path | None,
    as_json: bool,
) -> None:
    if not export:
        from annotate.opening import prepare_qt

        prepare_qt()
    from annotate.cuboid_session import CuboidSession

    with CuboidSession.open(
        project, annotator=annotator, keep_going=not export, store=store, model=model
    ) as work:
        if not export:
            from annotate.opening import open_cuboid_window

            open_cuboid_window(work, read_settings(settings_path()), screenshot)
            return
        from annotate.cuboid_export import export_boxes
        from bootstrap.progress import progress_bar

        with progress_bar("packing", "run the same command again to go on") as advance:
            done = export_boxes(work, advance)
    if as_json:
        typer.echo(json.dumps(asdict(done), default=str))
        return
    typer.echo(f"{done.file}: {done.boxes} boxes; left out: {done.flagged} flagged")
    typer.echo(f"{done.dataset}: {done.labels} labels in the layer {done.layer}")


def _export(
    project: Path, annotator: str | None, store: str | None, review: bool, as_json: bool
) -> None:
    from rich.console import Console

    from annotate.export import export_consensus, export_project

    summary = (
        export_consensus(project, store) if review else export_project(project, annotator, store)
    )
    if as_json:
        typer.echo(json.dumps(asdict(summary)))
        return
    Console(stderr=True).print(
        f"[bold]{summary.layer}[/bold]: {summary.labels} labels "
        f"({summary.edited} edited, {summary.accepted} accepted, {summary.kept} from before); "
        f"left out: {summary.flagged} flagged, {summary.gone} whose picture is gone"
    )
