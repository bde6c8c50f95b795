"""A whole training: data sets in, a `.task` bundle out."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

import cv2
import numpy as np
import torch

from bootstrap.export import Exported, Parent, export_bundle, load_parent
from bootstrap.metrics import Estimate, bootstrap_mean
from bootstrap.networks import NETWORKS, Network
from bootstrap.training.batches import (
    Batch,
    Batches,
    Pictures,
    evenly_chosen,
    memory_budget_bytes,
    shape_model,
    single_threaded_opencv,
    validation_batches,
)
from bootstrap.training.checkpoint import Progress, read_progress
from bootstrap.training.loop import Loop, validation_errors
from bootstrap.training.process import keep_large_blocks
from bootstrap.training.report import Log, Reporter, Silent
from bootstrap.training.subjects import TrainingData, load_training_data
from runtime.errors import ViewfinderError
from runtime.topology import topology

VALIDATION_LIMIT = 64
FINAL_VALIDATION_LIMIT = 1024


@dataclass(frozen=True)
class TrainSettings:
    """What to train, on what, for how long.

    Attributes:
        network: "face" or "hand".
        data: data set folders.
        out: the bundle; checkpoint and log are written beside it.
        start_from: a bundle to start from.
        minutes, steps: how long; exactly one.
        seed: of everything random.
        batch: examples a step.
        threads: of torch; 0 takes one for each core, at most 8.
        resume: go on from the checkpoint beside `out`.
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


@dataclass(frozen=True)
class TrainResult:
    """What a training came to.

    Attributes:
        out: the bundle, or None when it was stopped before its end.
        checkpoint, log: the files beside it.
        sha256: of the bundle, "" without one.
        steps: done.
        samples_per_s: over the whole training.
        validation_error: mean 2D error as part of the normalising length, over the val split.
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
    reporter = reporter or Silent()
    _check(settings)
    keep_large_blocks()
    network_class = NETWORKS[settings.network]
    shape = topology(network_class.topology_id)
    data = load_training_data(settings.data, shape)
    pictures = Pictures(data.datasets, memory_budget_bytes())
    _announce(data, reporter)
    with _threads(settings.threads):
        network, parent = _start(settings, data)
        loop = Loop(
            network=network,
            validation=validation_batches(
                data.val, pictures, shape, network.input_size, VALIDATION_LIMIT
            ),
            batch=settings.batch,
            steps=settings.steps,
            seconds=None if settings.minutes is None else 60 * settings.minutes,
            settings=_resumable(settings, data, parent),
            checkpoint=checkpoint_path(settings.out),
            reporter=reporter,
            stop=stop or (lambda: False),
        )
        if settings.resume:
            _check_resumable(read_progress(loop.checkpoint), loop)
            loop.resume()
        _run(loop, data, pictures, settings)
        if not loop.finished:
            return _result(settings, loop, None, None)
        everything = validation_batches(
            data.val, pictures, shape, network.input_size, FINAL_VALIDATION_LIMIT
        )
        error = _final_error(loop, data, everything) if everything else None
        reporter.message("Exporting and comparing with torch ...")
        exported = export_bundle(loop.average, settings.out, data, everything, error, parent)
    return _result(settings, loop, exported, error)


def _run(loop: Loop, data: TrainingData, pictures: Pictures, settings: TrainSettings) -> None:
    log = Log(log_path(settings.out), loop.step if settings.resume else None)
    batches = Batches(
        data,
        pictures,
        topology(loop.network.topology_id),
        loop.network.input_size,
        settings.batch,
        settings.seed,
        loop.step,
    )
    try:
        loop.run(batches, log)
    finally:
        batches.close()
        log.close()


def _start(settings: TrainSettings, data: TrainingData) -> tuple[Network, Parent | None]:
    """The network as it starts, and the bundle it starts from."""
    torch.manual_seed(settings.seed)
    network = NETWORKS[settings.network]()
    if settings.start_from is not None:
        return network, load_parent(settings.start_from, network)
    mean, components = shape_model(data, topology(network.topology_id), settings.seed)
    network.landmarks.set_shape_model(torch.from_numpy(mean), torch.from_numpy(components))
    return network, None


def _final_error(loop: Loop, data: TrainingData, batches: Sequence[Batch]) -> Estimate:
    errors = validation_errors(loop.average, batches)
    subjects = evenly_chosen(data.val, FINAL_VALIDATION_LIMIT)
    pictures = [f"{number}/{sample_id}" for number, sample_id in (s.source for s in subjects)]
    return bootstrap_mean(errors.numpy(), pictures, np.random.default_rng(0))


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
    probe = settings.out.with_suffix(".part")
    try:
        settings.out.parent.mkdir(parents=True, exist_ok=True)
        probe.touch()
        probe.unlink()
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
    }


def _check_resumable(progress: Progress, loop: Loop) -> None:
    for name, value in loop.settings.items():
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
    torch.set_num_threads(count or min(8, len(os.sched_getaffinity(0))))
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
