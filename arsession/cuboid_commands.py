"""`viewfinder session fit` and `viewfinder session propagate`."""

from __future__ import annotations

import json
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from arsession.placing import Placed
    from arsession.session import Session

RecordingPath = Annotated[
    Path, typer.Argument(help="A recording's folder, or the file that holds its poses.")
]
CuboidsOption = Annotated[
    Path, typer.Option("--cuboids", help="JSON file of boxes: clicks, and what they snap to.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]


class Drift(StrEnum):
    """What the tracker's drift is taken out by."""

    none = "none"
    pictures = "pictures"
    annotations = "annotations"


DriftOption = Annotated[
    Drift,
    typer.Option(
        help="pictures: bundle adjustment on image features, the recording's poses as priors; "
        "annotations: shifted to where annotated frames want them."
    ),
]


def fit(
    path: RecordingPath,
    cuboids: CuboidsOption,
    out: Annotated[
        Path | None, typer.Option(help="Write the fitted boxes here; may be the same file.")
    ] = None,
    drift: DriftOption = Drift.none,
    as_json: JsonOption = False,
) -> None:
    """Fit boxes to clicks, and say how sure each is and which frame to annotate next."""
    from arsession.cuboid_file import write_cuboids

    _, placed = _placed(path, cuboids, drift)
    if out is not None:
        write_cuboids(out, placed.cuboids)
    if as_json:
        typer.echo(json.dumps(_said(placed)))
    else:
        _print(placed)


def propagate(
    path: RecordingPath,
    cuboids: CuboidsOption,
    out: Annotated[Path, typer.Option(help="The data set to make, or to label anew.")],
    drift: DriftOption = Drift.none,
    every: Annotated[int, typer.Option(min=1, help="Take every so manieth frame.")] = 1,
    shard_size: Annotated[int, typer.Option(min=1, help="Frames in a shard.")] = 64,
    as_json: JsonOption = False,
) -> None:
    """Carry boxes to every frame: a data set of the pictures with the layer `propagated`.

    Run again after an edit, only the labels are written anew.
    """
    from arsession.propagate_dataset import LAYER, write_propagated
    from bootstrap.progress import progress_bar

    session, placed = _placed(path, cuboids, drift)
    with progress_bar("packing", "run the same command again to go on") as advance:
        report = write_propagated(session, placed, out, every, shard_size, advance)
    if as_json:
        typer.echo(json.dumps({**report.__dict__, "layer": LAYER, **_said(placed)}))
        return
    _print(placed)
    typer.echo(
        f"{out}: {report.labels} labels on {report.labelled_frames} of {report.frames} frames"
    )
    typer.echo(f"layer {LAYER}")


def _placed(path: Path, cuboids: Path, drift: Drift) -> tuple[Session, Placed]:
    from arsession.cuboid_file import read_cuboids
    from arsession.placing import place
    from arsession.readers import open_session
    from bootstrap.progress import progress_bar

    session = open_session(path)
    boxes = read_cuboids(cuboids)
    with progress_bar("following features", "run the command again") as advance:
        return session, place(session, boxes, cuboids, drift.value, advance)


def _said(placed: Placed) -> dict[str, Any]:
    boxes = [
        {
            "id": one.id,
            "category": one.category,
            "centre_m": one.box.centre_m.round(6).tolist(),
            "size_m": one.box.size_m.round(6).tolist(),
            **one.fit,
        }
        for one in placed.cuboids
        if one.box is not None
    ]
    return {"cuboids": boxes, "drift": placed.drift}


def _print(placed: Placed) -> None:
    for one in placed.cuboids:
        assert one.box is not None
        size = " x ".join(f"{100 * v:.1f}" for v in one.box.size_m)
        typer.echo(f"box {one.id} {one.category}: {size} cm (wide x high x deep)")
        if not one.fit:
            typer.echo("  as given, not fitted")
            continue
        sigmas = one.fit["sigmas"]
        for name, unit, factor in (("rotation_deg", "degrees", 1), ("centre_m", "mm", 1000),
                                   ("size_m", "mm", 1000)):  # fmt: skip
            values = ", ".join(f"{factor * v:.2f}" for v in sigmas[name])
            typer.echo(f"  {name.split('_')[0]:>10}  ± {values} {unit} (x, y, z)")
        typer.echo(f"  expected error {one.fit['expected_px']} px over all frames, "
                   f"misfit {one.fit['misfit']} (1: the clicks agree)")  # fmt: skip
        for best in one.fit["next_frames"][:1]:
            typer.echo(f"  annotate frame {best['frame']} next: "
                       f"{best['expected_px']} px would be left")  # fmt: skip
    for name, value in placed.drift.items():
        if placed.drift["from"] != "none":
            typer.echo(f"drift {name.replace('_', ' ')}: {value}")


def mount(session_app: typer.Typer) -> None:
    """Add these commands to `viewfinder session`."""
    session_app.command()(fit)
    session_app.command()(propagate)
