"""`viewfinder train`: the command line of training. Nothing heavy is imported until it runs."""

from __future__ import annotations

import json
import os
import shlex
import sys
import time
from contextlib import nullcontext
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bootstrap.training.options import (
    Also,
    AsJson,
    Batch,
    Data,
    Device,
    Devices,
    FalseAlarmsOf,
    From,
    Minutes,
    NetworkSize,
    Out,
    Precision,
    Resume,
    Seed,
    Size,
    Steps,
    Tensorboard,
    Threads,
)

if TYPE_CHECKING:
    from bootstrap.training.train import TrainResult, TrainSettings

train_app = typer.Typer(
    no_args_is_help=True,
    help="""Train a network on labelled data sets and write it as a .task bundle.

    Beside the bundle stand its checkpoint (for --resume), a log of JSON lines (the loss
    curve), and pictures: the validation error by minutes, the validation examples it does worst on.
    Pictures in the val split only measure; without such a split every eighth picture does.
    """,
)

TOLD_BY_FIRST_S = 5.0
"""How long another process keeps an error to itself, which the first usually meets, too."""


@train_app.command()
def face(
    data: Data,
    out: Out,
    start_from: From = None,
    minutes: Minutes = None,
    steps: Steps = None,
    seed: Seed = 0,
    batch: Batch = 16,
    threads: Threads = 0,
    resume: Resume = False,
    also: Also = None,
    tensorboard: Tensorboard = None,
    device: Device = "auto",
    devices: Devices = 1,
    as_json: AsJson = False,
    size: Size = None,
    detector: FalseAlarmsOf = None,
) -> None:
    """Train the face network: 478 keypoints with depth, and presence, from a crop of 192
    pixels. Renders of hands, if they are given, too, teach it what is none.

    Example: viewfinder train face --data faces --out face.task --minutes 30
    """
    _train(
        "face", data, out, start_from, minutes, steps, seed, batch, threads, resume, also,
        tensorboard, device, devices, as_json, size=size, detector=detector,
    )  # fmt: skip


@train_app.command()
def iris(
    data: Data,
    out: Out,
    start_from: From = None,
    minutes: Minutes = None,
    steps: Steps = None,
    seed: Seed = 0,
    batch: Batch = 16,
    threads: Threads = 0,
    resume: Resume = False,
    also: Also = None,
    tensorboard: Tensorboard = None,
    device: Device = "auto",
    devices: Devices = 1,
    as_json: AsJson = False,
) -> None:
    """Train the iris network: one eye's contour and its iris, 76 keypoints, from a 64-pixel crop.

    Learns from the eyes of the faces that train face learns from. run iris puts it over a mesh of
    468 points.

    Example: viewfinder train iris --data faces --out iris.task --minutes 10
    """
    _train(
        "iris", data, out, start_from, minutes, steps, seed, batch, threads, resume, also,
        tensorboard, device, devices, as_json,
    )  # fmt: skip


@train_app.command()
def hand(
    data: Data,
    out: Out,
    start_from: From = None,
    minutes: Minutes = None,
    steps: Steps = None,
    seed: Seed = 0,
    batch: Batch = 16,
    threads: Threads = 0,
    resume: Resume = False,
    also: Also = None,
    tensorboard: Tensorboard = None,
    device: Device = "auto",
    devices: Devices = 1,
    as_json: AsJson = False,
    size: Size = None,
    detector: FalseAlarmsOf = None,
) -> None:
    """Train the hand network: 21 keypoints, metric shape, handedness and presence, from a
    crop of 160 pixels. Renders of faces, if they are given, too, teach it what is none.

    Example: viewfinder train hand --data hands --out hand.task --minutes 60
    """
    _train(
        "hand", data, out, start_from, minutes, steps, seed, batch, threads, resume, also,
        tensorboard, device, devices, as_json, size=size, detector=detector,
    )  # fmt: skip


@train_app.command()
def pose(
    data: Data,
    out: Out,
    start_from: From = None,
    minutes: Minutes = None,
    steps: Steps = None,
    seed: Seed = 0,
    batch: Batch = 16,
    threads: Threads = 0,
    resume: Resume = False,
    also: Also = None,
    tensorboard: Tensorboard = None,
    device: Device = "auto",
    devices: Devices = 1,
    as_json: AsJson = False,
    size: Size = None,
) -> None:
    """Train the pose network: 33 keypoints with depth, visibility and presence, the two points that
    the next crop follows, and the body's silhouette, from a crop of 192 pixels (full: 256).

    Example: viewfinder train pose --data bodies --out pose.task --minutes 60
    """
    _train(
        "pose", data, out, start_from, minutes, steps, seed, batch, threads, resume, also,
        tensorboard, device, devices, as_json, size=size,
    )  # fmt: skip


class DetectorKind(StrEnum):
    """What `train detector` finds."""

    face = "face"
    palm = "palm"


@train_app.command()
def detector(
    data: Data,
    out: Out,
    kind: Annotated[
        DetectorKind,
        typer.Option(help="face: 6 keypoints, 128 pixels; palm: 7 keypoints, 192 pixels."),
    ] = DetectorKind.face,
    start_from: From = None,
    minutes: Minutes = None,
    steps: Steps = None,
    seed: Seed = 0,
    batch: Batch = 16,
    threads: Threads = 0,
    resume: Resume = False,
    also: Also = None,
    tensorboard: Tensorboard = None,
    device: Device = "auto",
    devices: Devices = 1,
    as_json: AsJson = False,
    size: Size = None,
) -> None:
    """Train a detector of faces or palms on whole pictures, in MediaPipe's SSD layout.

    Learns from the labels that train face and train hand learn from; pictures labelled as empty
    teach it what is none, and so do renders of the other kind, if they are given, too. Pack it
    with a landmark model: viewfinder models pack.

    Example: viewfinder train detector --kind palm --data hands --out palm.task --minutes 30
    """
    network = f"{kind.value}-detector"
    _train(
        network, data, out, start_from, minutes, steps, seed, batch, threads, resume, also,
        tensorboard, device, devices, as_json, size=size,
    )  # fmt: skip


@train_app.command()
def box(
    data: Data,
    out: Out,
    category: Annotated[
        str, typer.Option(help="Teach objects of this category only; others are background.")
    ] = "",
    start_from: From = None,
    minutes: Minutes = None,
    steps: Steps = None,
    seed: Seed = 0,
    batch: Batch = 16,
    threads: Threads = 0,
    resume: Resume = False,
    also: Also = None,
    tensorboard: Tensorboard = None,
    device: Device = "auto",
    devices: Devices = 1,
    as_json: AsJson = False,
) -> None:
    """Train the box network: 3D boxes of objects in whole pictures, in one stage, 160 pixels.

    Learns from boxes that viewfinder render session and viewfinder session propagate write.

    Example: viewfinder train box --data chairs --category chair --out chair.task --minutes 30
    """
    _train(
        "box", data, out, start_from, minutes, steps, seed, batch, threads, resume, also,
        tensorboard, device, devices, as_json, category,
    )  # fmt: skip


def _train(
    network: str,
    data: list[Path],
    out: Path,
    start_from: Path | None,
    minutes: float | None,
    steps: int | None,
    seed: int,
    batch: int,
    threads: int,
    resume: bool,
    also: list[Precision] | None,
    tensorboard: Path | None,
    device: str,
    devices: int,
    as_json: bool,
    category: str = "",
    size: NetworkSize | None = None,
    detector: Path | None = None,
) -> None:
    from bootstrap.training.process import wait_patiently

    wait_patiently()  # before torch
    from bootstrap.training.devices import Peers, find_device, launched
    from bootstrap.training.report import LiveReport, Silent, on_board
    from bootstrap.training.train import TrainSettings, interruptible, train
    from runtime.errors import ViewfinderError

    if devices > 1 and "WORLD_SIZE" not in os.environ:
        Peers(0, devices).share(batch)
        find_device(device, devices - 1)  # what can't work is told once
        raise typer.Exit(launched(devices, sys.argv[1:]))

    if minutes is None and steps is None:
        minutes = 10.0
    settings = TrainSettings(
        network,
        tuple(data),
        out,
        start_from,
        minutes,
        steps,
        seed,
        batch,
        threads,
        resume,
        tuple(one.value for one in also or ()),
        category,
        size.value if size else None,
        device=device,
        detector=detector,
    )
    first = int(os.environ.get("RANK", "0")) == 0
    with (
        LiveReport(f"train {network}") if first else nullcontext(Silent()) as report,
        on_board(tensorboard if first else None, report) as reporter,
        interruptible() as stop,
    ):
        try:
            result = train(settings, reporter, stop)
        except ViewfinderError:
            if not first:
                time.sleep(TOLD_BY_FIRST_S)
            raise
    if not first:
        return
    if result.out is None:
        typer.echo(
            f"Stopped at step {result.steps}; nothing is lost. Go on with: "
            f"{_resume_command(settings, devices)}",
            err=True,
        )
        raise typer.Exit(1)
    _note(result, data)
    _tell(result, as_json)


def _note(result: TrainResult, folders: list[Path]) -> None:
    """A round of the loop, in every data set that people or models have labelled."""
    from bootstrap.loop_ledger import note
    from runtime.bundle import read_bundle
    from runtime.signatures import card_of

    assert result.out is not None
    bundle = read_bundle(result.out)
    card = card_of(bundle)
    error = result.validation_error
    measured = {}
    if error is not None:
        low, high = error.interval
        measured = {"error": 100 * error.mean, "interval": [100 * low, 100 * high], "n": error.n}
    for folder in folders:
        note(
            folder, "train", model=bundle.sha256, parent=card.parent,
            data=[[one.name, one.samples, one.layer] for one in card.data], **measured,
        )  # fmt: skip


def _resume_command(settings: TrainSettings, devices: int = 1) -> str:
    words = ["viewfinder", "train", *_command(settings.network)]
    for folder in settings.data:
        words += ["--data", str(folder)]
    words += ["--out", str(settings.out)]
    if settings.start_from is not None:
        words += ["--from", str(settings.start_from)]
    if settings.minutes is not None:
        words += ["--minutes", f"{settings.minutes:g}"]
    else:
        words += ["--steps", str(settings.steps)]
    words += ["--seed", str(settings.seed), "--batch", str(settings.batch)]
    for precision in settings.also:
        words += ["--also", precision]
    if settings.size:
        words += ["--size", settings.size]
    if settings.detector is not None:
        words += ["--detector", str(settings.detector)]
    if settings.category:
        words += ["--category", settings.category]
    if settings.device != "auto":
        words += ["--device", settings.device]
    if devices > 1:
        words += ["--devices", str(devices)]
    words += ["--threads", str(settings.threads), "--resume"]
    return shlex.join(words)


def _command(network: str) -> list[str]:
    kind, _, detector = network.partition("-")
    return ["detector", "--kind", kind] if detector else [kind]


def _tell(result: TrainResult, as_json: bool) -> None:
    assert result.exported is not None
    error = result.validation_error
    if as_json:
        summary = {
            "out": str(result.out),
            "sha256": result.sha256,
            "steps": result.steps,
            "samples_per_s": round(result.samples_per_s, 1),
            "validation_error": None if error is None else error.to_json(),
            "difference_from_torch": result.exported.difference,
            "xnnpack_partitions": result.exported.xnnpack_partitions,
            "log": str(result.log),
        }
        typer.echo(json.dumps(summary))
        return
    measured = "" if error is None else f", validation error {100 * error.mean:.2f} %"
    typer.echo(
        f"{result.out}: {result.steps} steps{measured}; "
        f"differs from torch by {result.exported.difference:.1e} of its input, "
        f"{result.exported.xnnpack_partitions} XNNPACK partition",
        err=True,
    )
