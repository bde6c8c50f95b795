"""Renders a data set: shards to workers, commits, resumes, and the same bytes every time.

A worker is a process of its own that builds its scene once; it is replaced after some shards,
because Blender may grow over thousands of scenes. Sample i depends on the seed and i alone, and a
shard on its samples alone, so neither the number of workers nor a kill changes a byte.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import pickle
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from pathlib import Path
from typing import Any, Protocol

import cv2

from bootstrap.dataset import Dataset, DatasetInfo, Label, Sample
from runtime.errors import ViewfinderError

LAYER = "synthetic"

SHARDS_PER_WORKER = 64
"""A worker is replaced after that many shards (16,384 pictures at the usual shard size)."""


class Renderer(Protocol):
    """Renders one sample after another in one process."""

    def render(self, index: int) -> tuple[Sample, list[Label]]:
        """Sample `index` of the data set and its labels; depends on seed and index alone."""

    def close(self) -> None:
        """Give back what the renderer holds."""


@dataclass(frozen=True)
class Job:
    """What to render.

    Attributes:
        out: folder of the data set.
        info: its description; resuming asks for the same.
        count: number of samples.
        make_renderer: picklable; called once in every worker with the number of threads.
        workers: processes, 1 or more.
        shards_per_worker: after which a worker is replaced.
        cluster: address of a Dask scheduler whose workers render instead of ours, or "".
    """

    out: Path
    info: DatasetInfo
    count: int
    make_renderer: Callable[[int], Renderer]
    workers: int = 1
    shards_per_worker: int = SHARDS_PER_WORKER
    cluster: str = ""

    def shards(self) -> list[int]:
        """Numbers of all shards."""
        return list(range(-(-self.count // self.info.shard_size)))

    def samples_of(self, shard: int) -> range:
        """Indices of a shard's samples."""
        first = shard * self.info.shard_size
        return range(first, min(first + self.info.shard_size, self.count))


@dataclass(frozen=True)
class Report:
    """What a run did: samples rendered now, samples found committed, seconds it took."""

    rendered: int
    found: int
    seconds: float

    @property
    def images_per_hour(self) -> float:
        """Speed of this run, start of the workers included."""
        return 3600 * self.rendered / self.seconds if self.seconds > 0 else 0.0


def sample_id(index: int) -> str:
    """The id of rendered sample `index`."""
    return f"{index:08d}"


def split_of(index: int) -> str:
    """train, val or test by a sample's number alone: 8 of 10 train, 1 val, 1 test."""
    return {8: "val", 9: "test"}.get(index % 10, "train")


def render_dataset(job: Job) -> Report:
    """Render what is missing of a data set.

    Progress goes to standard error. Ctrl-C stops after what is committed; the same command goes
    on from there.

    Raises:
        ViewfinderError: another data set stands in the folder, it holds shards beyond `count`, a
            worker failed or died, or the folder can't be written.
        KeyboardInterrupt: the user stopped; the message says how to resume.
    """
    if job.count < 1 or job.workers < 1:
        raise ViewfinderError("must be 1 or more", field="--count, --workers")
    dataset = Dataset.create(job.out, job.info)
    committed = dataset.committed_shards()
    missing = [shard for shard in job.shards() if shard not in committed]
    _check_committed(job, dataset, committed)
    found = sum(len(job.samples_of(s)) for s in job.shards() if s in committed)
    start = time.perf_counter()
    if missing and job.cluster:
        _run_on_cluster(job, dataset, missing, found)
    elif missing:
        _run(job, missing, found)
    return Report(job.count - found, found, time.perf_counter() - start)


def _check_committed(job: Job, dataset: Dataset, committed: set[int]) -> None:
    if not committed:
        return
    last = max(committed)  # only the last shard may hold fewer samples
    if last not in job.shards() or len(dataset.samples([last])) != len(job.samples_of(last)):
        raise ViewfinderError(
            "the data set holds another number of samples",
            file=job.out,
            field="--count",
            expected=len(dataset.samples()),
            found=job.count,
            hint="a data set grows only by whole shards; choose another --out",
        )


@dataclass
class _Worker:
    process: SpawnProcess
    pipe: Connection
    left: int  # shards until it is replaced
    shard: int | None = None
    done_in_shard: int = 0


@contextlib.contextmanager
def _progress(job: Job, found: int) -> Iterator[Callable[[int], None]]:
    """A bar on standard error; what it gives is told how many samples this run rendered."""
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    bar = Progress(
        *columns, TimeRemainingColumn(), TextColumn("{task.fields[speed]}"),
        console=Console(stderr=True),
    )  # fmt: skip
    start = time.perf_counter()
    with bar:
        task = bar.add_task(
            f"Rendering {job.info.name}", total=job.count, completed=found, speed="starting"
        )

        def advance(rendered: int) -> None:
            speed = 3600 * rendered / (time.perf_counter() - start)
            bar.update(task, completed=found + rendered, speed=f"{speed:,.0f} images/h")

        try:
            yield advance
        except KeyboardInterrupt:
            raise KeyboardInterrupt(
                f"stopped; whole shards are kept in {job.out}, the same command goes on from there"
            ) from None


def _run_on_cluster(job: Job, dataset: Dataset, missing: list[int], found: int) -> None:
    from render.cluster import rendered_on_cluster

    rendered = 0
    with _progress(job, found) as advance:
        for shard, samples, labels in rendered_on_cluster(job.cluster, job, missing):
            dataset.write_shard(shard, samples, {LAYER: labels})
            rendered += len(samples)
            advance(rendered)


def _run(job: Job, missing: list[int], found: int) -> None:
    queue = list(reversed(missing))
    workers: list[_Worker] = []
    rendered = 0
    with _progress(job, found) as advance:
        try:
            processes = min(job.workers, len(missing))
            workers = [_start(job, processes) for _ in range(processes)]
            for worker in workers:
                _give(worker, queue)
            while busy := [w for w in workers if w.shard is not None]:
                for ready in wait([w.pipe for w in busy]):
                    worker = next(w for w in busy if w.pipe is ready)
                    rendered += _hear(worker)
                    if worker.shard is None:
                        if worker.left == 0 and queue:
                            _stop(worker)
                            workers[workers.index(worker)] = worker = _start(job, processes)
                        _give(worker, queue)
                advance(rendered)
        finally:
            for worker in workers:
                _stop(worker)


def _start(job: Job, processes: int) -> _Worker:
    context = multiprocessing.get_context("spawn")  # Blender doesn't survive a fork
    ours, theirs = context.Pipe()
    threads = max(1, cores() // processes)  # a single shard gets every core; pixels don't differ
    process = context.Process(target=_work, args=(theirs, job, threads), daemon=True)
    with _path_without_blender():
        process.start()
    theirs.close()
    return _Worker(process, ours, job.shards_per_worker)


@contextlib.contextmanager
def _path_without_blender() -> Iterator[None]:
    """Blender, once loaded, puts its scripts before everything on sys.path, which a new process
    inherits: it would take the bpy among the scripts for the whole of Blender."""
    kept = list(sys.path)
    sys.path[:] = [p for p in kept if Path(p).parent.name != "scripts" or "bpy" not in p]
    try:
        yield
    finally:
        sys.path[:] = kept


def cores() -> int:
    """Processors that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _give(worker: _Worker, queue: list[int]) -> None:
    if queue:
        worker.shard, worker.done_in_shard = queue.pop(), 0
        worker.left -= 1
        worker.pipe.send(worker.shard)


def _hear(worker: _Worker) -> int:
    """Takes one message from a worker; returns how many samples were rendered since the last."""
    try:
        kind, value = worker.pipe.recv()
    except (EOFError, ConnectionResetError) as error:
        worker.process.join(5)
        code = worker.process.exitcode
        raise ViewfinderError(
            f"a render worker died in shard {worker.shard}",
            found=f"signal {-code}" if code is not None and code < 0 else f"exit code {code}",
            hint="whole shards are kept; run the same command again, or with fewer --workers",
        ) from error
    if kind == "error":
        raise value
    if kind == "committed":
        worker.shard = None
        return 0
    new = int(value) - worker.done_in_shard
    worker.done_in_shard = int(value)
    return new


def _stop(worker: _Worker) -> None:
    worker.pipe.close()
    if worker.shard is None:
        worker.process.join(5)  # it ends by itself when the pipe closes
    if worker.process.is_alive():
        worker.process.terminate()
        worker.process.join(10)
    if worker.process.is_alive():
        worker.process.kill()
        worker.process.join()


def _work(pipe: Connection, job: Job, threads: int) -> None:
    """A worker's life: build the renderer, render the shards it is told, end with the pipe."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    cv2.setNumThreads(1)  # small pictures: its threads would only fight with Cycles'
    renderer: Renderer | None = None
    try:
        dataset = Dataset.open(job.out)
        while True:
            shard = pipe.recv()
            renderer = renderer or job.make_renderer(threads)
            samples, labels = rendered_shard(
                renderer, job, shard, lambda done: pipe.send(("progress", done))
            )
            # The last breath of a worker whose parent was killed may have committed it.
            if shard not in dataset.committed_shards():
                dataset.write_shard(shard, samples, {LAYER: labels})
            pipe.send(("committed", shard))
    except (EOFError, BrokenPipeError, ConnectionResetError):
        pass  # the parent is gone or has nothing more to do
    except Exception as error:
        _send_error(pipe, error)
    finally:
        if renderer is not None:
            renderer.close()


def rendered_shard(
    renderer: Renderer, job: Job, shard: int, progress: Callable[[int], None] = lambda done: None
) -> tuple[list[Sample], list[Label]]:
    """Render a shard's samples; `progress` is told how many are done."""
    samples: list[Sample] = []
    labels: list[Label] = []
    for index in job.samples_of(shard):
        sample, subjects = renderer.render(index)
        samples.append(sample)
        labels += subjects
        progress(len(samples))
    return samples, labels


def _send_error(pipe: Connection, error: Exception) -> None:
    if not isinstance(error, ViewfinderError):
        traceback.print_exc()  # our bug: its place is worth more than its message
        error = RuntimeError(f"a render worker failed: {type(error).__name__}: {error}")
    with contextlib.suppress(OSError, pickle.PicklingError):
        pipe.send(("error", error))


def description(name: str, settings: dict[str, Any], shard_size: int, **rest: Any) -> DatasetInfo:
    """dataset.json of a render: tool versions are those that its bytes depend on."""
    from importlib import metadata

    packages = ("anny", "bpy", "numpy", "opencv-python", "pyarrow", "scipy", "viewfinder-live")
    return DatasetInfo(
        name=name,
        generator=f"viewfinder render {name}",
        settings=settings,
        tool_versions={package: metadata.version(package) for package in packages},
        shard_size=shard_size,
        **rest,
    )
