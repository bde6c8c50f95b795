"""How long a model takes: by threads on XNNPACK, and on other backends, measured in turns.

Beside it the check whether OpenVINO agrees with LiteRT, without which it may not be chosen.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from runtime.agreement import TOLERANCE, largest_difference, remember_agreement
from runtime.backends import OPENVINO, XNNPACK, open_model
from runtime.bundle import models_in, read_bundle
from runtime.errors import ViewfinderError
from runtime.model import Model
from runtime.model_store import find_model, is_trusted
from runtime.trust import load_model, probe_model

_BLOCK = 10
_SETTLING = 3  # a thread pool that slept, or another's that still spins


@dataclass(frozen=True)
class Latency:
    """One way to run a model.

    Attributes:
        backend: "xnnpack", "openvino", "gpu" or a library's file.
        threads: on the CPU.
        wall_ms, wall_p90_ms: median and 90th percentile of a run.
        cpu_ms: median of the processor time of all threads.
        runs: how many were measured.
    """

    backend: str
    threads: int
    wall_ms: float
    wall_p90_ms: float
    cpu_ms: float
    runs: int


@dataclass(frozen=True)
class Benched:
    """A model's latencies.

    Attributes:
        file: its place in the bundle.
        rows: the fastest first.
        difference: between OpenVINO and LiteRT; None where OpenVINO wasn't tried.
        refused: backend -> why it can't run the model.
    """

    file: str
    rows: tuple[Latency, ...]
    difference: float | None
    refused: dict[str, str]

    @property
    def openvino_may_run(self) -> bool:
        """Whether OpenVINO agreed."""
        return self.difference is not None and self.difference <= TOLERANCE


def bench_file(
    path: str | Path, threads: Sequence[int] = (), seconds: float = 3.0, delegate: str = ""
) -> list[Benched]:
    """Measure every model of a file.

    Args:
        path: a .task or .tflite file, or the name of a stored model.
        threads: how many to try; by default 1, 2, 4 ... up to the processors there are.
        seconds: for each model, beside its loading.
        delegate: a further backend to try: "gpu" or a delegate library.

    Raises:
        ViewfinderError: the file or a model in it can't be loaded.
    """
    bundle = read_bundle(find_model(path))
    several = len(bundle.members) > 1
    return [
        bench_model(
            data, f"{bundle.name} {file}" if several else bundle.name, file, threads or cores(),
            seconds, delegate,
        )
        for file, data in models_in(bundle)
    ]  # fmt: skip


def cores() -> list[int]:
    """1, 2, 4 ... up to the number of processors, which comes last."""
    most = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return [count for count in (2**i for i in range(10)) if count < most] + [most]


def bench_model(
    data: bytes, name: str, file: str, threads: Sequence[int], seconds: float, delegate: str = ""
) -> Benched:
    """Measure one model; see `bench_file`."""
    contestants: list[tuple[str, int, Model]] = []
    refused: dict[str, str] = {}
    difference = None
    for count in threads:
        contestants.append((XNNPACK, count, load_model(data, name, count)))
    if importlib.util.find_spec("openvino") is not None:
        try:
            difference = _compared(data, name, contestants[0][2])
            for count in threads:
                contestants.append((OPENVINO, count, open_model(data, name, count, OPENVINO)))
        except ViewfinderError as error:
            refused[OPENVINO] = str(error.found or error.problem)
    if delegate:
        try:
            contestants.append((delegate, 1, load_model(data, name, 1, delegate)))
        except ViewfinderError as error:
            refused[delegate] = str(error.found or error.problem)
    rows = measured(contestants, seconds)
    return Benched(file, tuple(sorted(rows, key=lambda row: row.wall_ms)), difference, refused)


def _compared(data: bytes, name: str, litert: Model) -> float:
    from runtime.openvino_model import openvino_version

    sha256 = hashlib.sha256(data).hexdigest()
    if not is_trusted(sha256):
        probe_model(data, name, delegate=OPENVINO)
    difference = largest_difference(litert, open_model(data, name, 1, OPENVINO))
    remember_agreement(sha256, openvino_version(), difference)
    return difference


def measured(contestants: Sequence[tuple[str, int, Model]], seconds: float) -> list[Latency]:
    """Blocks of runs, each contestant's in turn, so that a machine that slows down slows all.

    Args:
        contestants: backend, threads, and the model that was loaded so.
        seconds: for all of them together.

    Returns:
        A row for each contestant, in their order.
    """
    rng = np.random.default_rng(0)
    wall: list[list[float]] = [[] for _ in contestants]
    processor: list[list[float]] = [[] for _ in contestants]
    for _, _, model in contestants:
        for place, info in enumerate(model.inputs):
            model.set_input(place, rng.random(info.shape).astype(info.dtype))
        model.run()
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or not wall[-1]:
        for (_, _, model), walls, processors in zip(contestants, wall, processor):
            for number in range(_SETTLING + _BLOCK):
                start, start_cpu = time.perf_counter(), time.process_time()
                model.run()
                took, took_cpu = time.perf_counter() - start, time.process_time() - start_cpu
                if number >= _SETTLING:
                    walls.append(1e3 * took)
                    processors.append(1e3 * took_cpu)
    return [
        Latency(
            backend, threads, float(np.median(walls)), float(np.percentile(walls, 90)),
            float(np.median(processors)), len(walls),
        )
        for (backend, threads, _), walls, processors in zip(contestants, wall, processor)
    ]  # fmt: skip


def as_json(benched: Benched) -> dict[str, Any]:
    """For scripts."""
    return {
        "file": benched.file,
        "latencies": [row.__dict__ for row in benched.rows],
        "openvino_difference": benched.difference,
        "openvino_may_run": benched.openvino_may_run,
        "refused": benched.refused,
    }
