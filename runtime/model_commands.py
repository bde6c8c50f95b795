"""`viewfinder models`: parse, and call one function.

Nothing heavy is imported at the top: `viewfinder --help` must answer at once.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Column, Table

from runtime.gestures.commands import train_gestures_command

if TYPE_CHECKING:
    from runtime.bench import Benched

models_app = typer.Typer(
    no_args_is_help=True,
    help="Models on this machine: fetch released ones, add your own, look into them.",
)
models_app.command("train-gestures")(train_gestures_command)


@models_app.command("list")
def list_command(
    as_json: Annotated[bool, typer.Option("--json", help="For scripts.")] = False,
) -> None:
    """List the models this release brings, MediaPipe's, fetched or not, and those you added."""
    from runtime.model_store import list_models
    from runtime.released import RELEASED_BY_NAME

    rows = list_models()
    if as_json:
        typer.echo(json.dumps([_row(model.__dict__) for model in rows], indent=2))
        return
    table = Table(
        Column("model", no_wrap=True), "what", Column("MB", justify="right"), Column("here")
    )
    for model in rows:
        here = "yes" if model.path else "-"
        table.add_row(model.name, model.what, f"{model.size / 1e6:.1f}", here)
    Console().print(table)
    absent = [RELEASED_BY_NAME[model.name] for model in rows if model.path is None]
    hints = dict.fromkeys(model.source.hint for model in absent)
    if hints:
        typer.echo("To get those that aren't here:\n  " + "\n  ".join(hints))


@models_app.command("fetch")
def fetch_command(
    what: Annotated[
        str, typer.Argument(help="mediapipe, mediapipe-pose, mediapipe-objectron, or all three.")
    ] = "mediapipe",
    package: Annotated[
        Path | None,
        typer.Option(
            "--package", "--wheel", "--file",
            help="The package where it is at hand (the mediapipe wheel, the npm package's .tgz) or "
            "a file with released models in it (.task, .tflite); nothing is downloaded then.",
        ),
    ] = None,
) -> None:  # fmt: skip
    """Fetch released models: pip downloads MediaPipe's wheel (36 MB), npm its packages for pose
    (41 MB) and objectron (33 MB); the models are taken out, checked against pinned SHA-256 and kept
    in your data folder. Nothing is installed.

    The models are Google's, under the Apache License 2.0.
    """
    from runtime.fetching import fetch_released
    from runtime.released import SOURCES, source_named

    fetchable = [source for source in SOURCES if source.registry]
    for source in fetchable if what == "all" else [source_named(what)]:
        with Console(stderr=True).status(f"Fetching {source.package} {source.version} ..."):
            written = fetch_released(source, package)
        if written:
            typer.echo(f"{len(written)} models, checked and stored in {written[0].parent}")
        else:
            typer.echo(f"{source.name}: all models are already here")


@models_app.command("add")
def add_command(
    file: Annotated[Path, typer.Argument(help="A .task bundle or .tflite model you trust.")],
) -> None:
    """Trust a model: keep a copy, and load it from now on without probing it first.

    Released models of MediaPipe are known by their SHA-256, also inside its .task bundles, and are
    then found by their names (viewfinder models list).
    """
    from runtime.model_store import add_model

    added = add_model(file)
    typer.echo(f"added and trusted: {added.path.name}")
    if added.released:
        typer.echo(f"released models in it: {', '.join(added.released)}")


@models_app.command("pack")
def pack_command(
    detector: Annotated[str, typer.Argument(help="A model with a detector in it.")],
    landmarks: Annotated[str, typer.Argument(help="A model with landmarks in it.")],
    out: Annotated[Path, typer.Option(help="The bundle to write, .task.")],
) -> None:
    """Pack a detector and a landmark model into one bundle.

    viewfinder models pack face_detection_short_range face.task --out whole-face.task
    """
    from runtime.packing import pack_bundle

    typer.echo(f"{out}: sha256 {pack_bundle(detector, landmarks, out)}")


@models_app.command("inspect")
def inspect_command(
    file: Annotated[str, typer.Argument(help="A .task bundle or .tflite model.")],
    as_json: Annotated[bool, typer.Option("--json", help="For scripts.")] = False,
) -> None:
    """Check a model and say what it is: card, tensors, operators, cost, how XNNPACK takes it."""
    from runtime.inspection import described

    facts = described(file)
    if as_json:
        typer.echo(json.dumps(_row(facts), indent=2))
        return
    typer.echo(f"{facts['file']}: {facts['task'] or 'a model'}, sha256 {facts['sha256']}")
    inherited = ", ".join(facts["licences_inherited"])
    typer.echo(f"licence {facts['licence']}" + (f", inherits {inherited}" if inherited else ""))
    for model in facts["models"]:
        _echo_model(model)
    for data in facts["data"]:
        seed = "" if data["seed"] is None else f", seed {data['seed']}"
        typer.echo(f"trained on {data['samples']:,} of {data['name']} ({data['layer']}{seed})")
    for metric in facts["metrics"]:
        by = f" ({metric['by']})" if metric["by"] else ""
        typer.echo(f"{metric['metric']}{by}: {metric['value']:.5g} on {metric['data']}")


@models_app.command("bench")
def bench_command(
    file: Annotated[str, typer.Argument(help="A .task bundle, .tflite model or stored model.")],
    threads: Annotated[
        list[int] | None,
        typer.Option(min=1, max=256, help="Threads to try, repeatable; by default 1, 2, 4 ..."),
    ] = None,
    seconds: Annotated[float, typer.Option(min=0.1, help="Time for each model.")] = 3.0,
    delegate: Annotated[
        str, typer.Option(help="A further backend to try: gpu, or a TFLite delegate library.")
    ] = "",
    as_json: Annotated[bool, typer.Option("--json", help="For scripts.")] = False,
) -> None:
    """Measure a model's latency by threads, and OpenVINO's where that is installed.

    OpenVINO is compared with LiteRT on several inputs first. Where both agree, this is remembered
    and `viewfinder run --delegate openvino` may run the model; otherwise it is refused.
    """
    from runtime import bench

    with Console(stderr=True).status("Measuring ..."):
        results = bench.bench_file(file, threads or (), seconds, delegate)
    if as_json:
        typer.echo(json.dumps([bench.as_json(one) for one in results], indent=2))
        return
    for one in results:
        _echo_latencies(one)


def _echo_latencies(benched: Benched) -> None:
    names = ("threads", "ms", "p90", "CPU ms", "runs")
    table = Table("backend", *(Column(name, justify="right") for name in names), title=benched.file)
    for row in benched.rows:
        times = (f"{value:.3f}" for value in (row.wall_ms, row.wall_p90_ms, row.cpu_ms))
        table.add_row(row.backend, str(row.threads), *times, str(row.runs))
    Console().print(table)
    for backend, reason in benched.refused.items():
        typer.echo(f"{backend} can't run it: {reason}")
    if benched.difference is not None:
        from runtime.agreement import TOLERANCE

        verdict = "may run it" if benched.openvino_may_run else "may not run it"
        typer.echo(
            f"OpenVINO differs from LiteRT by {benched.difference:.2g}, at most {TOLERANCE:g} "
            f"counts as float32's rounding: --delegate openvino {verdict}"
        )


def _echo_model(model: dict[str, Any]) -> None:
    what = model["released"] or ("trusted" if model["trusted"] else "probed")
    if model["role"]:
        what = f"{model['role']}, {model['topology'] or 'no topology'}, {what}"
    cost = f"{model['bytes'] / 1e6:.2f} MB, {model['macs'] / 1e6:,.1f} million multiply-adds"
    typer.echo(f"  {model['file']}: {what}, {cost}")
    if model["refused"]:
        typer.echo(f"    LiteRT can't run it: {model['refused']}")
    else:
        for tensor in model["inputs"]:
            typer.echo(f"    in   {_tensor(tensor)}")
        for tensor in model["outputs"]:
            typer.echo(f"    out  {_tensor(tensor)}, {tensor['meaning'] or 'no known meaning'}")
        typer.echo(f"    XNNPACK {_xnnpack(model)}")
    counts = [f"{count} {name}" for name, count in model["operators"].items()]
    typer.echo(f"    operators {', '.join(counts)}")
    if model["custom_operators"]:
        typer.echo(f"    of which custom {', '.join(model['custom_operators'])}")


def _tensor(tensor: dict[str, Any]) -> str:
    shape = " x ".join(str(side) for side in tensor["shape"])
    return f"{tensor['name']}: {shape} {tensor['dtype']}"


def _xnnpack(model: dict[str, Any]) -> str:
    if model["whole_in_xnnpack"]:
        return "takes it whole"
    pieces = model["xnnpack_partitions"]
    outside = ", ".join(f"{count} {name}" for name, count in model["outside_xnnpack"].items())
    taken = f"takes {pieces} piece{'s' * (pieces != 1)}" if pieces else "takes nothing"
    return f"{taken}, outside stay {outside}" if outside else taken


def _row(fields: dict[str, Any]) -> dict[str, Any]:
    return {
        name: str(value) if isinstance(value, Path) else value for name, value in fields.items()
    }
