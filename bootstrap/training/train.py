"""A whole training: data sets in, a `.task` bundle out."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from types import FrameType

import cv2
import torch

from bootstrap.export import Exported, Parent, export_bundle, load_parent, parent_size
from bootstrap.metrics import Estimate
from bootstrap.networks import NETWORKS, SIZED_NETWORKS, DetectorNetwork, Network
from bootstrap.training.batches import single_threaded_opencv
from bootstrap.training.checkpoint import Progress, read_progress
from bootstrap.training.curve import curve, curve_path
from bootstrap.training.detector_losses import balance_scores
from bootstrap.training.devices import AUTO, Peers, joined
from bootstrap.training.false_alarms import false_alarms
from bootstrap.training.loop import Loop
from bootstrap.training.process import keep_large_blocks
from bootstrap.training.report import Log, Reporter, Silent
from bootstrap.training.subjects import Subject, TrainingData, load_training_data
from bootstrap.training.teaching import Teaching, teaching_of
from bootstrap.training.worst_examples import worst_path
from runtime.bundle import read_bundle
from runtime.errors import ViewfinderError
from runtime.image import write_image
from runtime.model_store import find_model
from runtime.topology import topology

VALIDATION_LIMIT = 64
FINAL_VALIDATION_LIMIT = 1024


@dataclass(frozen=True)
class TrainSettings:
    """What to train, on what, for how long.

    Attributes:
        network: one of bootstrap.networks.NETWORKS.
        data: data set folders.
        out: the bundle; checkpoint and log are written beside it.
        start_from: a bundle to start from.
        minutes, steps: how long; exactly one.
        seed: of everything random.
        batch: crops or pictures a step.
        threads: of torch; 0 takes one for each core, at most 8.
        resume: go on from the checkpoint beside `out`.
        also: smaller models to write beside it, of bootstrap.export_quantised.PRECISIONS.
        category: of the objects that a box network is to find; "" for all.
        size: of networks that come in sizes, "lite" or "full"; None takes that of
            `start_from`, or lite.
        rate: of the usual learning rate; below 1 where a trained network is to learn a little more
            from few labels and forget nothing.
        device: as bootstrap.training.devices.find_device has it.
        detector: a bundle whose errors on these pictures a network of faces or hands is to reject.
    """

    network: str
    data: tuple[Path, ...]
    out: Path
    start_from: Path | None = None
    minutes: float | None = None
    steps: int | None = None
    seed: int = 0
    batch: int = 16
    threads: int = 0
    resume: bool = False
    also: tuple[str, ...] = ()
    category: str = ""
    size: str | None = None
    rate: float = 1.0
    device: str = AUTO
    detector: Path | None = None


@dataclass(frozen=True)
class TrainResult:
    """What a training came to.

    Attributes:
        out: the bundle, or None when it was stopped before its end.
        checkpoint, log: the files beside it.
        sha256: of the bundle, "" without one.
        steps: done.
        samples_per_s: over the whole training.
        validation_error: over the val split: mean 2D error as part of the normalising length, or a
            detector's keypoint error as part of the box with 1 for misses and false alarms.
        exported: how the bundle compares with torch; None without one.
    """

    out: Path | None
    checkpoint: Path
    log: Path
    sha256: str
    steps: int
    samples_per_s: float
    validation_error: Estimate | None
    exported: Exported | None


def checkpoint_path(out: Path) -> Path:
    """The checkpoint of a training whose bundle will be `out`."""
    return out.with_suffix(".checkpoint.safetensors")


def log_path(out: Path) -> Path:
    """The log of a training whose bundle will be `out`."""
    return out.with_suffix(".log.jsonl")


def train(
    settings: TrainSettings,
    reporter: Reporter | None = None,
    stop: Callable[[], bool] | None = None,
) -> TrainResult:
    """Train a network and write its bundle.

    With `steps`, the same seed, threads and release give the same weights, resumed or not. With
    `minutes` the clock decides how many steps there are.

    Args:
        settings: what to do.
        reporter: hears how it goes.
        stop: asked after every step; true ends the training with a checkpoint and no bundle.

    Raises:
        ViewfinderError: bad data, a checkpoint or parent that doesn't fit, an `out` that can't be
            written, or an export that differs from torch.
    """
    _check(settings)
    settings = replace(settings, size=_size(settings))
    keep_large_blocks()
    with joined(settings.device) as (device, peers), _threads(settings.threads):
        hears = reporter or Silent()
        return _train(settings, hears if peers.first else Silent(), stop, device, peers)


def _train(
    settings: TrainSettings,
    reporter: Reporter,
    stop: Callable[[], bool] | None,
    device: torch.device,
    peers: Peers,
) -> TrainResult:
    share = peers.share(settings.batch)
    shape = topology(NETWORKS[settings.network].topology_id)
    data = load_training_data(settings.data, shape, settings.category)
    _announce(data, reporter)
    alarms = _alarms(settings, data, reporter)
    teaching = teaching_of(settings.network, data, settings.size or "lite", alarms)
    network, parent = _start(settings, teaching)
    loop = Loop(
        network=network,
        teaching=teaching,
        validation=teaching.validation(VALIDATION_LIMIT) if peers.first else (),
        batch=settings.batch,
        steps=settings.steps,
        seconds=None if settings.minutes is None else 60 * settings.minutes,
        settings=_resumable(settings, data, parent),
        checkpoint=checkpoint_path(settings.out),
        reporter=reporter,
        stop=stop or (lambda: False),
        rate=settings.rate,
        device=device,
        peers=peers,
    )
    if settings.resume:
        _check_resumable(read_progress(loop.checkpoint), loop)
        loop.resume()
    _run(loop, settings, share)
    if not (loop.finished and peers.first):
        return _result(settings, loop, None, None)
    average = loop.averaged()
    everything = teaching.validation(FINAL_VALIDATION_LIMIT)
    if isinstance(average, DetectorNetwork):
        balance_scores(average, everything)
    error, metrics = teaching.judged(average, everything) if everything else (None, [])
    if everything:
        write_image(worst_path(settings.out), teaching.worst(average, everything))
        title = f"{settings.network}: error on the validation split by minutes of training"
        if (picture := curve(log_path(settings.out), title)) is not None:
            write_image(curve_path(settings.out), picture)
    reporter.message("Exporting and comparing with torch ...")
    pictures = [image for batch in everything for image in batch.image]
    command = told(settings, loop.step)
    exported = export_bundle(
        average, settings.out, data, pictures, metrics, parent, settings.also, command
    )
    return _result(settings, loop, exported, error)


def told(settings: TrainSettings, steps: int) -> str:
    """A training as a card tells it: the command without folders, steps for minutes."""
    kind, _, detector = settings.network.partition("-")
    name = f"{detector} --kind {kind}" if detector else kind
    if settings.network in SIZED_NETWORKS:
        name += f" --size {settings.size}"
    if settings.detector is not None:
        name += f" --detector {_sha256(settings.detector)[:12]}"
    return (
        f"viewfinder train {name} --steps {steps} --seed {settings.seed} --batch {settings.batch}"
    )


def _sha256(model: Path) -> str:
    return read_bundle(find_model(model)).sha256


def _run(loop: Loop, settings: TrainSettings, share: int) -> None:
    log = None
    if loop.peers.first:
        log = Log(log_path(settings.out), loop.step if settings.resume else None)
    batches = loop.teaching.batches(share, settings.seed, loop.peers.steps(loop.step))
    try:
        loop.run(batches, log)
    finally:
        batches.close()
        if log is not None:
            log.close()


def _size(settings: TrainSettings) -> str:
    if settings.size or not settings.start_from or settings.network not in SIZED_NETWORKS:
        return settings.size or "lite"
    return parent_size(settings.start_from, settings.network)


def _start(settings: TrainSettings, teaching: Teaching) -> tuple[Network, Parent | None]:
    """The network as it starts, and the bundle it starts from."""
    if settings.start_from is None:
        return teaching.new_network(settings.seed), None
    network = teaching.new_network(settings.seed)
    return network, load_parent(settings.start_from, network)


def _result(
    settings: TrainSettings, loop: Loop, exported: Exported | None, error: Estimate | None
) -> TrainResult:
    return TrainResult(
        out=settings.out if exported else None,
        checkpoint=loop.checkpoint,
        log=log_path(settings.out),
        sha256=exported.sha256 if exported else "",
        steps=loop.step,
        samples_per_s=loop.step * loop.batch / max(1e-9, loop.elapsed_s),
        validation_error=error,
        exported=exported,
    )


def _check(settings: TrainSettings) -> None:
    if (settings.minutes is None) == (settings.steps is None):
        raise ViewfinderError("give one of --minutes and --steps", field="--minutes, --steps")
    if settings.out.suffix != ".task":
        raise ViewfinderError(
            "a bundle's name ends in .task", field="--out", found=settings.out.name
        )
    if settings.detector is not None and settings.network not in ("face", "hand"):
        raise ViewfinderError(
            "only networks of faces and hands are given their crops by such a detector",
            field="--detector", found=settings.network,
        )  # fmt: skip
    probe = settings.out.with_suffix(".part")
    try:
        settings.out.parent.mkdir(parents=True, exist_ok=True)
        probe.touch()
        probe.unlink(missing_ok=True)  # another process may have been here
    except OSError as error:
        raise ViewfinderError(
            f"can't write there: {error.strerror}", file=settings.out, field="--out"
        ) from error


def _announce(data: TrainingData, reporter: Reporter) -> None:
    reporter.message(
        f"{len(data.train)} subjects to train on, {len(data.val)} to validate with, "
        f"{len(data.negatives)} pictures without any"
    )
    if data.left_out:
        reporter.message(f"{data.left_out} subjects left out: too few keypoints and no box")


def _alarms(settings: TrainSettings, data: TrainingData, reporter: Reporter) -> tuple[Subject, ...]:
    if settings.detector is None:
        return ()
    reporter.message(f"Looking for what {settings.detector} takes for one ...")
    alarms = false_alarms(data, NETWORKS[settings.network].topology_id, settings.detector)
    reporter.message(f"{len(alarms)} of its false alarms to train on")
    return alarms


def _resumable(
    settings: TrainSettings, data: TrainingData, parent: Parent | None
) -> dict[str, object]:
    """What must not change between the parts of one training."""
    return {
        "network": settings.network,
        "data": data.digest,
        "seed": settings.seed,
        "batch": settings.batch,
        "minutes": settings.minutes,
        "steps": settings.steps,
        "parent": parent.sha256 if parent else "",
        "size": settings.size,
        **({} if settings.rate == 1.0 else {"rate": settings.rate}),
        **({} if settings.detector is None else {"detector": _sha256(settings.detector)}),
    }


def _check_resumable(progress: Progress, loop: Loop) -> None:
    for name in {**loop.settings, **progress.settings}:
        value = loop.settings.get(name)
        if progress.settings.get(name) != value:
            raise ViewfinderError(
                "the checkpoint is of another training",
                file=loop.checkpoint,
                field=name,
                expected=value,
                found=progress.settings.get(name),
                hint="give the same options as before, or leave out --resume to start over",
            )


@contextmanager
def _threads(count: int) -> Iterator[None]:
    torch_before, opencv_before = torch.get_num_threads(), single_threaded_opencv()
    processes = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    cores = len(os.sched_getaffinity(0)) // processes
    torch.set_num_threads(count or max(1, min(8, cores)))
    try:
        yield
    finally:
        torch.set_num_threads(torch_before)
        cv2.setNumThreads(opencv_before)


@contextmanager
def interruptible() -> Iterator[Callable[[], bool]]:
    """A `stop` for `train` that the first Ctrl-C makes true; the second interrupts at once.

    Outside the main thread Ctrl-C is left alone.
    """
    asked = threading.Event()

    def on_signal(number: int, frame: FrameType | None) -> None:
        if asked.is_set():
            raise KeyboardInterrupt
        asked.set()

    if threading.current_thread() is not threading.main_thread():
        yield asked.is_set
        return
    before = signal.signal(signal.SIGINT, on_signal)
    try:
        yield asked.is_set
    finally:
        signal.signal(signal.SIGINT, before)
