"""`viewfinder dataset ...`, `viewfinder evaluate` and `viewfinder prelabel`."""

from __future__ import annotations

import json
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bootstrap.label_files import FORMATS, find_format

if TYPE_CHECKING:
    from bootstrap.dataset import Dataset

dataset_app = typer.Typer(
    no_args_is_help=True,
    help="""Look into data sets, check them, bring pictures and labels in and out.

    A data set is a folder: pictures in shards/*.tar that never change, an index of them, and layers
    of labels on top (synthetic, predicted@..., human/...). pandas reads every table.
    """,
)

DataArgument = Annotated[Path, typer.Argument(metavar="DIR", help="The data set's folder.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
LayerOption = Annotated[
    str | None,
    typer.Option(help="Label layer; without it, human labels before synthetic before predicted."),
]


@dataset_app.command()
def info(data: DataArgument, as_json: JsonOption = False) -> None:
    """What a data set holds: samples, layers, splits, sizes, licences."""
    from bootstrap.dataset import Dataset
    from bootstrap.dataset.card import describe

    facts = describe(Dataset.open(data))
    if as_json:
        typer.echo(json.dumps(facts))
        return
    typer.echo(f"{facts['name']}: {facts['samples']} samples in {facts['shards']} shards")
    for name in ("generator", "device", "splits", "sizes", "members", "licences_inherited"):
        value = facts[name]
        if isinstance(value, dict):
            value = ", ".join(f"{key} {count}" for key, count in value.items())
        typer.echo(f"{name:>20}  {', '.join(value) if isinstance(value, list) else value or '-'}")
    for layer, content in facts["layers"].items():
        kinds = ", ".join(name or "no subject" for name in content["topologies"])
        typer.echo(f"{'layer ' + layer:>20}  {content['subjects']} subjects: {kinds}")


@dataset_app.command()
def verify(data: DataArgument, as_json: JsonOption = False) -> None:
    """Check every hash, offset, row and topology; name each damage and exit with 1."""
    from bootstrap.dataset import Dataset
    from bootstrap.dataset.verify import verify_dataset

    ds = Dataset.open(data)
    damages = []
    for damage in verify_dataset(ds):
        damages.append(damage)
        if not as_json:
            typer.echo(str(damage), err=True)
    if as_json:
        found = [damage.__dict__ for damage in damages]
        typer.echo(json.dumps({"ok": not damages, "damages": found}))
    elif damages:
        files = len({damage.file for damage in damages})
        typer.echo(f"{data}: damages: {len(damages)}, in files: {files}", err=True)
    else:
        typer.echo(f"{data}: whole, {len(ds.committed_shards())} shards")
    if damages:
        raise typer.Exit(1)


@dataset_app.command()
def show(
    data: DataArgument,
    out: Annotated[Path, typer.Option(help="Picture to write (.png or .jpg).")] = Path("sheet.png"),
    layer: LayerOption = None,
    count: Annotated[int, typer.Option(min=1, help="Samples to show, spread evenly.")] = 24,
    columns: Annotated[int, typer.Option(min=1, help="Samples in a row.")] = 6,
    tile: Annotated[int, typer.Option(min=64, max=2048, help="Side of a sample in px.")] = 256,
    zoom: Annotated[bool, typer.Option(help="Show each first subject close up.")] = False,
    sample: Annotated[list[str] | None, typer.Option(help="Show these samples.")] = None,
) -> None:
    """A contact sheet: samples side by side with their labels drawn on.

    Keypoints are green where visible and orange where hidden; boxes are yellow.
    """
    from bootstrap.dataset import Dataset
    from bootstrap.dataset.contact_sheet import contact_sheet, spread_evenly
    from runtime.image import write_image

    ds = Dataset.open(data)
    chosen = sample or spread_evenly(list(ds.samples()["sample_id"]), count)
    sheet = contact_sheet(ds, _label_layer(ds, layer), chosen, columns, tile, zoom)
    out.parent.mkdir(parents=True, exist_ok=True)
    write_image(out, sheet)
    typer.echo(f"{out}: {len(chosen)} samples")


@dataset_app.command()
def card(
    data: DataArgument,
    out: Annotated[
        Path | None,
        typer.Option(help="Write a web page with charts and pictures (.html) or Markdown (.md)."),
    ] = None,
) -> None:
    """The data card: counts, distributions, licences, settings, on a page."""
    from bootstrap.dataset import Dataset
    from bootstrap.dataset.card import data_card
    from bootstrap.dataset.page import data_page
    from runtime.durable import write_bytes_durably

    page = out is not None and out.suffix.lower() in (".html", ".htm")
    text = (data_page if page else data_card)(Dataset.open(data))
    if out is None:
        typer.echo(text, nl=False)
    else:
        write_bytes_durably(out, text.encode())


@dataset_app.command()
def split(
    data: DataArgument,
    val: Annotated[float, typer.Option(help="Share that chooses between models.")] = 0.1,
    test: Annotated[float, typer.Option(help="Share that only measures.")] = 0.1,
    seed: Annotated[int, typer.Option(help="Of the assignment.")] = 0,
    by: Annotated[
        str | None, typer.Option(help="Sample attribute whose equal values stay together.")
    ] = None,
) -> None:
    """Assign train, val and test, by sample id and seed; no picture is rewritten.

    Each sample's split depends on its id and the seed alone, so that samples which come later move
    none; shares hold on average.
    """
    from bootstrap.dataset import Dataset
    from bootstrap.dataset.splits import assign_splits

    counts = assign_splits(Dataset.open(data), val, test, seed, by)
    typer.echo(", ".join(f"{name} {counts[name]}" for name in ("train", "val", "test")))


def _listed(formats: dict[str, str]) -> str:
    """Formats for a command's help, a line each."""
    return "\n\n\b\n" + "\n".join(f"{name:<9} {about}" for name, about in formats.items())


_READ = {"photos": "a folder of pictures, searched through"} | {
    name: one.about for name, one in FORMATS.items() if one.reader
}
_WRITTEN = {name: one.about for name, one in FORMATS.items() if one.writer}
_IMPORT_HELP = """Make a data set of photographs, or read other tools' labels into one.

Pictures are turned upright and lose their metadata, place and time included; an EXIF focal
length becomes the camera. Bad pictures are named and left out. Formats:"""
_EXPORT_HELP = (
    "Write labels and pictures for other tools; says what the format can't hold. Formats:"
)


@dataset_app.command("import", help=_IMPORT_HELP + _listed(_READ))
def import_(
    source: Annotated[Path, typer.Argument(help="Folder of pictures, or label file or folder.")],
    out: Annotated[Path, typer.Option(help="The data set to make, or to add a layer to.")],
    format: Annotated[str, typer.Option(help="What SOURCE is, see above.")] = "photos",
    images: Annotated[
        Path | None,
        typer.Option(help="Labels: the pictures' folder; not needed when --out has them already."),
    ] = None,
    layer: Annotated[str, typer.Option(help="Labels: the layer to write.")] = "human/imported",
    name: Annotated[str | None, typer.Option(help="Photos: the data set's name.")] = None,
    licence: Annotated[list[str] | None, typer.Option(help="Photos: their licence.")] = None,
    shard_size: Annotated[int, typer.Option(min=1, help="Photos: pictures in a shard.")] = 64,
    skip_bad: Annotated[bool, typer.Option(help="Exit with 0 in spite of bad pictures.")] = False,
) -> None:
    from bootstrap.progress import progress_bar

    if format != "photos":
        from bootstrap.label_files.annotated import import_labels

        read = find_format(format).load_reader()
        with progress_bar("importing", "run the same command again to go on") as advance:
            count, warnings = import_labels(format, read, source, images, out, layer, advance)
        for warning in warnings:
            typer.echo(f"warning: {warning}", err=True)
        typer.echo(f"{out}: {count} labels in layer {layer}")
        return
    from bootstrap.dataset.photos import import_photos

    with progress_bar("importing", "run the same command again to go on") as advance:
        licences = tuple(licence or ())
        report = import_photos(source, out, shard_size, name, licences, advance)
    for line in report.bad:
        typer.echo(f"left out: {line}", err=True)
    there = f", {report.already_there} were there already" if report.already_there else ""
    typer.echo(f"{out}: {report.packed} pictures packed{there}, {len(report.bad)} left out")
    if report.bad and not skip_bad:
        raise typer.Exit(1)


@dataset_app.command(help=_EXPORT_HELP + _listed(_WRITTEN))
def export(
    data: DataArgument,
    out: Annotated[Path, typer.Option(help="Folder to write.")],
    format: Annotated[str, typer.Option(help="What to write, see above.")] = "coco",
    layer: LayerOption = None,
) -> None:
    from bootstrap.dataset import Dataset

    write = find_format(format).load_writer()
    ds = Dataset.open(data)
    chosen = _label_layer(ds, layer)
    if chosen is None:
        raise typer.BadParameter("the data set has no label layer", param_hint="--layer")
    for warning in write(ds, chosen, out):
        typer.echo(f"warning: {warning}", err=True)
    typer.echo(f"{out}: layer {chosen} as {format}")


def _label_layer(ds: Dataset, layer: str | None) -> str | None:
    from bootstrap.dataset.layers import best_layer

    return layer if layer is not None else best_layer(ds)


class CropChoice(StrEnum):
    """Where `evaluate` takes its crops from."""

    truth = "truth"
    detector = "detector"


class SplitChoice(StrEnum):
    """Which samples `evaluate` measures on."""

    train = "train"
    val = "val"
    test = "test"
    all = "all"


def evaluate(
    model: Annotated[str, typer.Argument(help="Bundle, .tflite file, or a stored model's name.")],
    data: Annotated[list[Path], typer.Option(help="Data set; may be given several times.")],
    layer: Annotated[
        str | None,
        typer.Option(help="What counts as true; without it, human labels before synthetic."),
    ] = None,
    split: Annotated[
        SplitChoice | None, typer.Option(help="Without it: test where there is one, else all.")
    ] = None,
    by: Annotated[
        str,
        typer.Option(
            help="part, joint, size, handedness, gesture, split, data, or any attribute's name."
        ),
    ] = "part",
    crop: Annotated[
        CropChoice,
        typer.Option(
            help="truth: crops around the true keypoints, the landmark network alone; "
            "detector: the whole pipeline, misses counted."
        ),
    ] = CropChoice.truth,
    category: Annotated[
        str, typer.Option(help="Boxes: only objects of this category count as true.")
    ] = "",
    against: Annotated[str | None, typer.Option(help="Another model beside it.")] = None,
    picture: Annotated[Path | None, typer.Option(help="Draw the worst subjects here.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Mean keypoint error of a model in percent, with 95 % bootstrap intervals.

    Faces are measured by the interocular distance, hands by the palm's size, bodies by the
    torso's diagonal on points within the picture; where labels are metric, as renders' are, that
    length is taken in space, so that turned subjects count alike. A
    detector alone is measured on whole pictures: average precision, and its keypoints by the side
    of the box. An iris network is measured on the eyes of labelled faces, by their widths.
    """
    from bootstrap.detector_evaluation import evaluate_detector, is_detector
    from bootstrap.evaluate import evaluate_model
    from bootstrap.iris_evaluation import evaluate_iris, is_iris
    from bootstrap.progress import progress_bar
    from bootstrap.report_table import print_evaluation
    from bootstrap.subjects import Settings
    from runtime.errors import ViewfinderError

    chosen = split.value if split else None
    settings = Settings(tuple(data), layer, chosen, by, crop.value, category)
    if is_detector(model):
        if against is not None or picture is not None or by != "part":
            raise ViewfinderError(
                "a detector alone is measured by itself, in all, and draws no picture",
                field="--against, --by, --picture",
            )
        with progress_bar("evaluating", "nothing was written") as advance:
            found = evaluate_detector(model, settings, advance)
        if as_json:
            typer.echo(json.dumps(found))
        else:
            print_evaluation(found)
        return
    if is_iris(model):
        if picture is not None or crop is not CropChoice.truth:
            raise ViewfinderError(
                "an iris network is measured in the crops of true eyes, and draws no picture",
                field="--crop, --picture",
            )
        with progress_bar("evaluating", "nothing was written") as advance:
            found = evaluate_iris(model, settings, against, advance)
        _note_evaluation(data, found)
        if as_json:
            typer.echo(json.dumps(found))
        else:
            print_evaluation(found)
        return
    with progress_bar("evaluating", "nothing was written") as advance:
        result = evaluate_model(model, settings, against, advance)
    _note_evaluation(data, result.to_json())
    if picture is not None:
        from bootstrap.worst import worst_sheet
        from runtime.image import write_image

        picture.parent.mkdir(parents=True, exist_ok=True)
        write_image(picture, worst_sheet(result))
    if as_json:
        typer.echo(json.dumps(result.to_json()))
    else:
        print_evaluation(result.to_json())


def _note_evaluation(data: list[Path], found: dict[str, Any]) -> None:
    from bootstrap.loop_ledger import note

    for folder in data:
        note(
            folder, "evaluate", model=found["model"]["sha256"], error=found["mean"],
            interval=found["interval"], metric=found["metric"], n=found["n"],
            split=found["split"][str(folder)],
        )  # fmt: skip


def prelabel(
    data: DataArgument,
    model: Annotated[str, typer.Option(help="Bundle, .tflite file, or a stored model's name.")],
    min_score: Annotated[float, typer.Option(help="The detector's threshold.")] = 0.5,
    again: Annotated[bool, typer.Option(help="Label shards anew that have been.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Write a model's answers into the layer predicted@<model's sha256>, to be refined.

    Every picture stands for itself. A run that was stopped goes on at the next shard.
    """
    from bootstrap.prelabel import prelabel as run
    from bootstrap.progress import progress_bar

    with progress_bar("prelabelling", "run the same command again to go on") as advance:
        done = run(data, model, min_score, again, advance)
    from bootstrap.loop_ledger import note

    note(data, "prelabel", model=done.sha256, pictures=done.pictures, subjects=done.subjects)
    if as_json:
        typer.echo(json.dumps(done.__dict__))
        return
    before = f", {done.shards_before} shards were there already" if done.shards_before else ""
    typer.echo(f"{data}: {done.subjects} subjects on {done.pictures} pictures{before}")
    typer.echo(f"layer {done.layer}")
