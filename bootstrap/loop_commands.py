"""`viewfinder queue` and `viewfinder loop ...`. Nothing heavy is imported until they run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from bootstrap.commands import DataArgument, JsonOption


def queue(
    data: DataArgument,
    model: Annotated[str, typer.Option(help="Bundle, .tflite file, or a stored model's name.")],
    against: Annotated[
        str | None, typer.Option(help="A second model: where they differ, one is wrong.")
    ] = None,
    diverse: Annotated[
        int, typer.Option(min=0, help="So many of the first shall differ from each other, too.")
    ] = 200,
    show: Annotated[int, typer.Option(min=0, help="Rows of the table to print.")] = 12,
    as_json: JsonOption = False,
) -> None:
    """Order the photographs by what a model would learn from them; writes queue.txt into DIR.

    Doubt is measured without labels: whether the model agrees with itself under other crops and in
    the mirror, how sure it is that something is there, how far its answer is from any face's shape,
    and from another model's. `viewfinder annotate DIR` takes the photographs in this order.
    """
    from bootstrap.progress import progress_bar
    from bootstrap.queueing import QUEUE_FILE
    from bootstrap.queueing import queue as run
    from bootstrap.report_table import print_queue

    with progress_bar("judging", "nothing was written") as advance:
        ordered = run(data, model, against, diverse, advance)
    if as_json:
        typer.echo(json.dumps([one.__dict__ for one in ordered]))
        return
    print_queue(ordered[:show])
    typer.echo(f"{data / QUEUE_FILE}: {len(ordered)} photographs")


loop_app = typer.Typer(
    no_args_is_help=True,
    help="""The rounds of the loop: train, prelabel, refine, train again.

    prelabel, train and evaluate note what they did in the data set's loop.jsonl.
    """,
)


@loop_app.command()
def status(
    data: DataArgument,
    picture: Annotated[
        Path | None, typer.Option(help="Draw error by human minutes here (.png or .svg).")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Every model that was trained on a data set: labels, human minutes, error."""
    from bootstrap.loop_ledger import loop_picture, loop_svg, read_ledger, rounds
    from bootstrap.report_table import print_rounds
    from runtime.durable import write_bytes_durably
    from runtime.image import write_image

    found = rounds(read_ledger(data))
    if picture is not None:
        picture.parent.mkdir(parents=True, exist_ok=True)
        if picture.suffix.lower() == ".svg":
            write_bytes_durably(picture, loop_svg(found).encode())
        else:
            write_image(picture, loop_picture(found))
    if as_json:
        typer.echo(json.dumps([one.__dict__ for one in found]))
    else:
        print_rounds(found)
