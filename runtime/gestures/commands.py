"""`viewfinder models train-gestures`: parse, and call one function."""

from __future__ import annotations

import json
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Column, Table

from runtime.errors import ViewfinderError

if TYPE_CHECKING:
    from runtime.gestures.training import TrainedGestures


def train_gestures_command(
    folder: Annotated[
        Path, typer.Argument(help="Holds a folder of pictures for each gesture, and maybe `none`.")
    ],
    out: Annotated[Path, typer.Option(help="The file to write, .json.")],
    model: Annotated[
        str | None, typer.Option(help="The hand model: a .task or .tflite file, or an added one.")
    ] = None,
    models: Annotated[
        str, typer.Option(help="Whose hand model to take otherwise: bundled or mediapipe.")
    ] = "bundled",
    variant: Annotated[str | None, typer.Option(help="Of released models: full, lite.")] = None,
    any_turn: Annotated[
        bool,
        typer.Option(
            "--any-turn", help="How a hand is turned in the picture says nothing of its gesture."
        ),
    ] = False,
    min_score: Annotated[float, typer.Option(min=0, max=1, help="Of the hand detector.")] = 0.5,
    as_json: Annotated[bool, typer.Option("--json", help="For scripts.")] = False,
) -> None:
    """Learn your own gestures from FOLDER/<gesture>/*.jpg, three pictures or more of each.

    Of each picture the largest hand is taken. Left and right hands are one: a gesture learned with
    one is known of the other. Use the file by `viewfinder run hands --gestures FILE`.
    """
    from runtime.gestures.file import write_gestures
    from runtime.gestures.training import train_gestures
    from runtime.packing import tool_name
    from runtime.solutions import open_solution

    if models not in ("bundled", "mediapipe"):
        raise ViewfinderError(
            "no such models", field="--models", expected="bundled | mediapipe", found=repr(models)
        )
    hands = open_solution(
        "hands", model=model, models=models, variant=variant, static=True, min_score=min_score,
        max_subjects=2,
    )  # fmt: skip
    with Console(stderr=True).status("Looking for hands ...") as status:

        def advance(path: Path) -> None:
            status.update(f"Looking for hands ... {path.parent.name}/{path.name}")

        trained = train_gestures(folder, hands, any_turn, advance, _complain)
    training = {
        "tool": tool_name(),
        "hand_models": [each.name for each in hands.models],
        "examples": dict(Counter(trained.examples.labels)),
    }
    sha256 = write_gestures(out, trained.classifier, trained.assessment, training)
    facts = _facts(out, sha256, trained)
    if as_json:
        typer.echo(json.dumps(facts, indent=2, ensure_ascii=False))
    else:
        _show(facts, trained)


def _facts(out: Path, sha256: str, trained: TrainedGestures) -> dict[str, Any]:
    assessment, examples = trained.assessment, trained.examples
    said = {index: str(examples.pictures[index]) for index in assessment.wrong}
    return {
        "file": str(out),
        "sha256": sha256,
        "gestures": dict(Counter(examples.labels)),
        "left_out_accuracy": assessment.accuracy,
        "confusion": {
            "names": list(assessment.names), "counts": assessment.confusion.tolist()
        },
        "wrong": list(said.values()),
        "without_hand": [str(path) for path in examples.without_hand],
        "unreadable": [str(path) for path in examples.unreadable],
    }  # fmt: skip


def _show(facts: dict[str, Any], trained: TrainedGestures) -> None:
    names = trained.assessment.names
    table = Table(
        Column("shown", no_wrap=True),
        *(Column(name, justify="right") for name in names),
        title="each example named by a classifier that hadn't seen it",
    )
    for name, row in zip(names, trained.assessment.confusion.tolist()):
        if sum(row):
            table.add_row(name, *(str(count) if count else "-" for count in row))
    Console(width=None if sys.stdout.isatty() else 120).print(table)
    for path in facts["wrong"]:
        typer.echo(f"named wrongly: {path}")
    share = 100 * facts["left_out_accuracy"]
    examples = sum(facts["gestures"].values())
    typer.echo(f"{facts['file']}: {share:.1f} % of {examples} left-out examples named rightly")


def _complain(error: ViewfinderError) -> None:
    typer.echo(f"skipped: {error}", err=True)
