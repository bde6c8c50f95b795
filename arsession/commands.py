"""`viewfinder session ...`"""

from __future__ import annotations

import json
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from arsession.cuboid_commands import mount
from bootstrap.label_files import Format, register

session_app = typer.Typer(no_args_is_help=True, help="Look into AR recordings and convert them.")

RecordingPath = Annotated[
    Path, typer.Argument(help="A recording's folder, or the file that holds its poses.")
]

# What AR recordings hold is this package's; the list of label formats is bootstrap's.
register(
    "objectron",
    Format(
        "Objectron: a folder a session, video, cameras and boxes as its messages",
        reader="arsession.objectron_import:read_objectron_annotations",
        writer="arsession.objectron_export:write_objectron_layer",
    ),
)


class Target(StrEnum):
    """Formats that recordings can be written in."""

    objectron = "objectron"


@session_app.command()
def info(
    path: RecordingPath,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Frames, duration, path length and cloud of one recording.

    Reads Objectron, ARKitScenes, Stray Scanner, Record3D, Polycam, 3D Scanner App, nerfstudio and
    instant-ngp (transforms.json), COLMAP, MCAP with ROS 2 messages, TUM and Open3D trajectories,
    ARKit-Data-Logger and ARCore-Data-Logger.
    """
    from arsession.readers import open_session

    summary = open_session(path).info()
    if as_json:
        typer.echo(json.dumps(summary))
        return
    for name, value in summary.items():
        typer.echo(f"{name:>14}  {'-' if value is None else value}")


@session_app.command()
def convert(
    path: RecordingPath,
    out: Annotated[Path, typer.Option(help="Folder for the new recording.")],
    to: Annotated[Target, typer.Option(help="Format to write.")] = Target.objectron,
) -> None:
    """Write a recording in another format: an Objectron folder with video and cameras.

    The video is copied where it already is a portrait one, frame for frame; otherwise it is encoded
    again, turned to portrait as Objectron's are.
    """
    from arsession.objectron_writer import write_objectron
    from arsession.readers import open_session
    from bootstrap.progress import progress_bar

    session = open_session(path)
    for doubt, missing in ((not session.metric, "lengths aren't metres"),
                           (not session.world_up, "which way is up isn't known"),
                           (not session.timed, "timestamps count frames")):  # fmt: skip
        if doubt:
            typer.echo(f"note: {session.format} doesn't say: {missing}", err=True)
    with progress_bar("converting", "run the command again") as advance:
        write_objectron(session, out, advance=advance)
    typer.echo(f"{to.value} recording in {out}")


@session_app.command()
def check(
    path: RecordingPath,
    out: Annotated[
        Path | None, typer.Option(help="Picture of trajectory, planes and points (.png, .jpg).")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Say which frames of a recording can be trusted, and why the others can't.

    Looks at the frame rate, tracking, pose jumps (over 10 times the median residual), blur, the
    tilt of horizontal planes, and how far features in the pictures lie from where the poses
    allow them.
    """
    from arsession.check import check_session
    from arsession.check_picture import draw_check
    from arsession.readers import open_session
    from bootstrap.progress import progress_bar
    from runtime.image import write_image

    session = open_session(path)
    with progress_bar("looking at pictures", "run the command again") as advance:
        result = check_session(session, advance)
    if out is not None:
        write_image(out, draw_check(session, result))
    if as_json:
        typer.echo(json.dumps({"format": session.format, **result.summary()}))
        return
    for line in result.in_words():
        typer.echo(line)
    if out is not None:
        typer.echo(f"picture: {out}")


mount(session_app)
