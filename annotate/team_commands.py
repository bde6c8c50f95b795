"""`viewfinder assign` and `viewfinder agreement`: work of several people."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from runtime.durable import write_bytes_durably

StoreOption = Annotated[
    str | None,
    typer.Option(
        help="Where annotations are kept: a file, or postgresql://user@host/database for people "
        "on several machines. Without it: annotations.sqlite in the project.",
        envvar="VIEWFINDER_STORE",
        show_default=False,
        show_envvar=True,
    ),
]


def assign(
    project: Annotated[Path, typer.Argument(help="A data set's folder.", show_default=False)],
    people: Annotated[list[str], typer.Argument(help="Annotators' names.", show_default=False)],
    overlap: Annotated[
        float, typer.Option(min=0.0, max=1.0, help="Share of pictures that several people do.")
    ] = 0.1,
    each: Annotated[int, typer.Option(min=2, help="How many people those are.")] = 2,
    seed: Annotated[int, typer.Option(help="Of the order in which pictures are dealt.")] = 0,
    store: StoreOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Deal the pictures of a project to annotators, a share of them to several.

    Each then sees in `viewfinder annotate` what is theirs. What is assigned already stays: run it
    again after pictures were added, or with another name, and only what nobody has is dealt, to
    those who have least.
    """
    from annotate.assignment import assign as assign_samples
    from annotate.store import AnnotationStore, store_place
    from bootstrap.dataset import Dataset

    dataset = Dataset.open(project)
    place, whose = store_place(dataset, store)
    ids = [str(sample_id) for sample_id in dataset.samples()["sample_id"]]
    with AnnotationStore.open(place, people[0], project=whose) as opened:
        found = assign_samples(opened, ids, people, overlap=overlap, each=each, seed=seed)
    if as_json:
        typer.echo(json.dumps(asdict(found)))
        return
    several = f"{found.shared} of {found.samples} are several people's"
    typer.echo(f"{found.new} pictures dealt; {several}")
    for name, count in found.people.items():
        typer.echo(f"{name}: {count}")


def agreement(
    project: Annotated[
        Path, typer.Argument(help="A data set's or a session's folder.", show_default=False)
    ],
    picture: Annotated[
        Path | None,
        typer.Option(help="Save a PNG of where annotators differ.", show_default=False),
    ] = None,
    store: StoreOption = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print JSON, a result a topology.")
    ] = False,
) -> None:
    """Say how far apart annotators are on the items that two or more of them finished.

    Distances are in % of the interocular distance of faces and of the palm size of hands, by
    region and week by week; of boxes in degrees, centimetres and IoU. Items on which two people
    differ much more than on most are listed.
    """
    from annotate.agreement import mean_shape, project_agreement
    from annotate.agreement_picture import agreement_picture

    results = project_agreement(project, store)
    for number, result in enumerate(results):
        if picture is not None:
            path = picture if not number else picture.with_stem(f"{picture.stem}-{number + 1}")
            write_bytes_durably(path, agreement_picture(result, mean_shape(project, result, store)))
    if as_json:
        typer.echo(json.dumps([result.to_json() for result in results]))
        return
    for result in results:
        _print_agreement(result.to_json())


def _print_agreement(found: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console()
    table = Table("region", found["unit"], title=f"{found['topology']}, {found['pairs']} pairs")
    for part, percent in {**found["by"], "all": found["mean"]}.items():
        table.add_row(part, "-" if percent is None else f"{percent:.2f}")
    console.print(table)
    for pair in found["people"]:
        mean = "-" if pair["mean"] is None else f"{pair['mean']:.2f}"
        console.print(f"{' and '.join(pair['annotators'])}: {pair['items']} items, {mean}")
    for week in found["weeks"]:
        mean = "-" if week["mean"] is None else f"{week['mean']:.2f}"
        console.print(f"week of {week['from']}: {week['items']} items, {mean}")
    for outlier in found["outliers"]:
        who = " and ".join(outlier["annotators"])
        console.print(f"far apart: {outlier['sample_id']} {outlier['mean']:.2f} ({who})")
