"""The command line: composes the five packages, each imported only when its command runs.

The `commands` modules hold typer functions and import nothing heavy at their top, so that
`viewfinder --help` answers at once and a runtime-only installation works.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from annotate.commands import annotate
from annotate.team_commands import agreement, assign
from arsession.commands import session_app
from bootstrap.commands import dataset_app, evaluate, prelabel
from bootstrap.loop_commands import loop_app, queue
from bootstrap.training.commands import train_app
from render.commands import render_app
from runtime.commands import RunCommand, make_run
from runtime.errors import ViewfinderError, missing_extra
from runtime.model_commands import models_app

if TYPE_CHECKING:
    from runtime.results import FrameResult
    from runtime.sources import Frame

# Which extra brings a module that isn't installed.
_EXTRA_OF = {
    "anny": "render",
    "bpy": "render",
    "distributed": "cluster",
    "h5py": "render",
    "litert_torch": "train",
    "mcap": "ar",
    "napari": "annotate",
    "pandas": "data",
    "pyarrow": "data",
    "pyceres": "ar",
    "pycolmap": "ar",
    "psycopg": "teams",
    "PySide6": "annotate",
    "qtpy": "annotate",
    "safetensors": "train",
    "tensorboard": "train",
    "scipy": "ar",
    "skimage": "dev",
    "sqlalchemy": "teams",
    "torch": "train",
    "trimesh": "render",
}


def _save_frame(folder: Path, frame: Frame, result: FrameResult) -> str:
    # The live view is the runtime's and data sets are bootstrap's: here they meet.
    from bootstrap.dataset.captures import save_capture
    from bootstrap.prelabel import capture_labels

    labels = capture_labels(result)
    saved = save_capture(folder, frame.rgb, frame.source, frame.index, labels)
    kept = f"kept as {saved} in {folder}"
    return f"{kept} with {' and '.join(labels)}" if labels else kept


class _InLoopOrder(typer.core.TyperGroup):
    """Lists commands in the order in which a newcomer needs them."""

    def list_commands(self, ctx: Any) -> list[str]:
        order = ["render", "dataset", "session", "train", "evaluate", "prelabel", "queue"]
        order += ["annotate"]
        return sorted(self.commands, key=lambda name: (order + list(self.commands)).index(name))


app = typer.Typer(
    cls=_InLoopOrder,
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="""Make live perception models, from the first synthetic render to the model checked live.

    The usual way round:

    1. viewfinder render faces --out faces --count 1000 [dim]# labelled pictures[/dim]
    2. viewfinder train face --data faces --out face.task [dim]# a first model[/dim]
    3. viewfinder run face --source 0 --model face.task [dim]# the model, live[/dim]
    4. viewfinder dataset import photos --out real [dim]# your photographs[/dim]
    5. viewfinder prelabel real --model face.task [dim]# its first guess[/dim]
    6. viewfinder annotate real [dim]# people refine it[/dim]
    7. viewfinder train face --data faces --data real --out better.task

    Every command explains itself with --help. Exit codes: 0 done, 1 failed, 2 misuse.
    """,
)

app.add_typer(render_app, name="render", rich_help_panel="Make data")
app.add_typer(dataset_app, name="dataset", rich_help_panel="Make data")
app.add_typer(session_app, name="session", rich_help_panel="Make data")
app.add_typer(train_app, name="train", rich_help_panel="Make models")
app.command(rich_help_panel="Make models")(evaluate)
app.command(rich_help_panel="Make models")(prelabel)
app.command(rich_help_panel="Make models")(queue)
app.command(rich_help_panel="Make models")(annotate)
app.command(rich_help_panel="Make models")(assign)
app.command(rich_help_panel="Make models")(agreement)
app.add_typer(loop_app, name="loop", rich_help_panel="Make models")
app.command("run", cls=RunCommand, rich_help_panel="Use models")(make_run(_save_frame))
app.add_typer(models_app, name="models", rich_help_panel="Use models")


@app.command(rich_help_panel="About")
def demo(
    out: Annotated[Path, typer.Option(help="Folder for everything the demo makes.")] = Path("demo"),
    faces: Annotated[int, typer.Option(min=16, help="Faces to render for training.")] = 96,
    hands: Annotated[int, typer.Option(min=8, help="Hands to render.")] = 64,
    minutes: Annotated[float, typer.Option(min=0.05, help="Time to train the face model.")] = 2.5,
    workers: Annotated[int, typer.Option(min=1, help="Render processes.")] = 2,
) -> None:
    """Walk the whole loop once and write a report: render, train, run, prelabel, refine.

    Needs MediaPipe's models for comparison (viewfinder models fetch mediapipe).
    """
    from viewfinder_demo import Plan, walk

    walk(Plan(out=out, faces=faces, hands=hands, minutes=minutes, workers=workers))


@app.command(rich_help_panel="About")
def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Check what this installation can do, and say what is missing."""
    import json

    from viewfinder_doctor import diagnose

    checks = diagnose()
    if as_json:
        typer.echo(json.dumps({check.name: check.__dict__ for check in checks}))
    else:
        for check in checks:
            mark = {True: "ok  ", False: "--  "}[check.ok]
            typer.echo(
                f"{mark}{check.name:<22}{check.found}"
                + (f"  ->  {check.remedy}" if check.remedy else "")
            )


def main() -> None:
    """Entry point of the console script."""
    try:
        app()
    except ViewfinderError as error:
        _fail(error)
    except ModuleNotFoundError as error:
        extra = _EXTRA_OF.get((error.name or "").split(".")[0])
        if extra is None:
            raise
        _fail(missing_extra(extra, str(error.name)))
    except BrokenPipeError:
        # The reader of our output went away (`viewfinder run --json | head`): not our failure.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except OSError as error:
        # A full disk, a folder without permission: the system's own words are the clearest.
        _fail(ViewfinderError(error.strerror or str(error), file=error.filename))


def _fail(error: ViewfinderError) -> None:
    sys.stderr.write(f"error: {error}\n")
    sys.exit(1)


if __name__ == "__main__":
    main()
