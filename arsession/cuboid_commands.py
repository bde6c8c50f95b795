"""`viewfinder session fit`, `propagate` and `propose`."""

from __future__ import annotations

import json
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from runtime.errors import ViewfinderError

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


def propose(
    path: RecordingPath,
    frame: Annotated[list[int], typer.Option(help="Frame to look at; may be given several times.")],
    out: Annotated[Path, typer.Option(help="Write the file of boxes here.")],
    model: Annotated[
        str | None, typer.Option(help="Bundle that finds boxes; without it MediaPipe's.")
    ] = None,
    variant: Annotated[
        str | None, typer.Option(help="MediaPipe's models: cup, camera, chair or shoe.")
    ] = None,
    category: Annotated[str, typer.Option(help="What the box is called.")] = "",
    min_score: Annotated[float, typer.Option(help="The detector's threshold.")] = 0.5,
) -> None:
    """Let a network propose the first box: its keypoints become clicks in a file of boxes."""
    from arsession.cuboid_file import write_cuboids
    from arsession.proposal import propose as run
    from arsession.readers import open_session
    from runtime.solutions import open_solution

    session = open_session(path)
    if out.exists():
        raise ViewfinderError("stands there already", file=out, hint="name another file")
    solution = open_solution(
        "objectron", model, variant=variant, models="bundled" if model else "mediapipe",
        max_subjects=1, static=True, min_score=min_score,
    )  # fmt: skip
    cuboid = run(session, solution, frame, category or variant or "")
    write_cuboids(out, (cuboid,))
    typer.echo(f"{out}: a box from {len(cuboid.clicks) // 8} of {len(frame)} frames")


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
    session_app.command()(propose)
