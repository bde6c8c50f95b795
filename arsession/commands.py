"""`viewfinder session ...`"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

session_app = typer.Typer(
    no_args_is_help=True, help="Look into recordings made with ARKit or ARCore."
)


@session_app.callback()
def _session() -> None:
    """Keeps `info` a subcommand while it is the only one."""


@session_app.command()
def info(
    path: Annotated[Path, typer.Argument(help="A recording's folder, or a logger's pose file.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Frames, duration, path length and cloud of one recording.

    Reads ARKit-Data-Logger, ARCore-Data-Logger and Open3D/Stray trajectory.log recordings.
    """
    from arsession.readers import open_session

    summary = open_session(path).info()
    if as_json:
        typer.echo(json.dumps(summary))
        return
    for name, value in summary.items():
        typer.echo(f"{name:>14}  {'-' if value is None else value}")
