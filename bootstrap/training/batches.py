"""Batches of examples, made ahead in a background thread.

Which subject comes at which place, and everything random about its crop, depends on the seed and
that place alone: a training that is resumed sees what the uninterrupted one would have seen, and
no state of a generator needs saving. OpenCV works without Python's lock, so one thread keeps up.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields

import cv2
import numpy as np
from numpy.typing import NDArray

from bootstrap.dataset import Dataset
from bootstrap.training.crops import (
    Example,
    Image,
    example_in_roi,
    jittered_roi,
    kept_part,
    training_example,
    validation_example,
)
from bootstrap.training.subjects import Floats, Subject, TrainingData
from runtime.topology import Topology

# Spawn keys of the streams of chance that a training draws from its one seed.
_ORDER, _EXAMPLES, _VALIDATION, _SHAPES = range(4)
_AHEAD = 4
_SHAPES_DRAWN = 1500


@dataclass(frozen=True)
class Batch:
    """Examples stacked: every field of `Example`, with the batch as first axis."""

    image: NDArray[np.uint8]
    landmarks: Floats
    weight: Floats
    z_weight: Floats
    normaliser: Floats
    presence: Floats
    world_m: Floats
    world_weight: Floats
    right: Floats
    right_weight: Floats


def stacked(examples: Sequence[Example]) -> Batch:
    """A batch of some examples."""
    columns = {
        item.name: np.stack([np.asarray(getattr(e, item.name)) for e in examples])
        for item in fields(Example)
    }
    return Batch(
        **{k: v if v.dtype == np.uint8 else v.astype(np.float32) for k, v in columns.items()}
    )


class Pictures:
    """What is kept of each subject's picture, decoded once while memory lasts.

    Args:
        datasets: where pictures are read from.
        budget_bytes: decoded pictures beyond this are read again each time.
    """

    def __init__(self, datasets: Sequence[Dataset], budget_bytes: int) -> None:
        self._datasets = datasets
        self._left_bytes = budget_bytes
        self._kept: dict[int, tuple[Image, Subject]] = {}

    def of(self, subject: Subject) -> tuple[Image, Subject]:
        """The picture around a subject, and the subject placed in it."""
        if (kept := self._kept.get(id(subject))) is not None:
            return kept
        number, sample_id = subject.source
        part = kept_part(self._datasets[number].read_image(sample_id), subject)
        if part[0].nbytes <= self._left_bytes:
            self._left_bytes -= part[0].nbytes
            self._kept[id(subject)] = part
        return part


class Batches:
    """Training batches from a given step on; iterate, and `close` when done.

    Attributes:
        busy_s: CPU seconds the background thread has used.
    """

    def __init__(
        self,
        data: TrainingData,
        pictures: Pictures,
        topology: Topology,
        size: int,
        batch: int,
        seed: int,
        first_step: int = 0,
    ) -> None:
        self._subjects = data.train + data.negatives
        self._pictures, self._topology, self._size = pictures, topology, size
        self._batch, self._seed, self._step = batch, seed, first_step
        self._ready: queue.Queue[Batch | BaseException] = queue.Queue(_AHEAD)
        self._closed = threading.Event()
        self._order: tuple[int, NDArray[np.int64]] = (-1, np.zeros(0, dtype=np.int64))
        self.busy_s = 0.0
        self._thread = threading.Thread(target=self._work, name="batches", daemon=True)
        self._thread.start()

    def __iter__(self) -> Iterator[Batch]:
        while True:
            item = self._ready.get()
            if isinstance(item, BaseException):
                raise item
            yield item

    def close(self) -> None:
        """Stop the thread and wait for it."""
        self._closed.set()
        while not self._ready.empty():
            self._ready.get_nowait()
        self._thread.join()

    def _work(self) -> None:
        try:
            while not self._closed.is_set():
                begun = time.thread_time()
                batch = self.at(self._step)
                self._step += 1
                self.busy_s += time.thread_time() - begun
                self._put(batch)
        except BaseException as error:
            self._put(error)

    def _put(self, item: Batch | BaseException) -> None:
        while not self._closed.is_set():
            try:
                self._ready.put(item, timeout=0.1)
                return
            except queue.Full:
                continue

    def at(self, step: int) -> Batch:
        """The batch of that step: the same whenever it is asked for."""
        return stacked([self._example(step * self._batch + i) for i in range(self._batch)])

    def _example(self, place: int) -> Example:
        epoch, index = divmod(place, len(self._subjects))
        if self._order[0] != epoch:
            shuffler = _rng(self._seed, _ORDER, epoch)
            self._order = (epoch, shuffler.permutation(len(self._subjects)))
        image, subject = self._pictures.of(self._subjects[self._order[1][index]])
        rng = _rng(self._seed, _EXAMPLES, place)
        return training_example(image, subject, self._topology, self._size, rng)


def evenly_chosen(subjects: Sequence[Subject], limit: int) -> list[Subject]:
    """At most `limit` of them, evenly spread."""
    if len(subjects) <= limit:
        return list(subjects)
    return [subjects[i * len(subjects) // limit] for i in range(limit)]


def validation_batches(
    subjects: Sequence[Subject],
    pictures: Pictures,
    topology: Topology,
    size: int,
    limit: int,
    batch: int = 16,
) -> list[Batch]:
    """Crops of at most `limit` subjects, evenly chosen; the same for every training."""
    chosen = evenly_chosen(subjects, limit)
    examples = [
        validation_example(*pictures.of(subject), topology, size, _rng(0, _VALIDATION, i))
        for i, subject in enumerate(chosen)
    ]
    return [stacked(examples[i : i + batch]) for i in range(0, len(examples), batch)]


def shape_model(data: TrainingData, topology: Topology, seed: int) -> tuple[Floats, Floats]:
    """Mean and principal components of the keypoints as training crops show them.

    Args:
        data: whose training subjects are drawn from, with training's jitter and mirroring.
        topology: of the network.
        seed: of the training.

    Returns:
        mean (N, 3) and components (K, N, 3) times their standard deviations, crop-normalised;
        the mean alone, with K = 0, where no subject has every keypoint.
    """
    rng = _rng(seed, _SHAPES, 0)
    blank = np.zeros((1, 1, 3), dtype=np.uint8)
    examples = []
    for i in range(_SHAPES_DRAWN):
        subject = data.train[i % len(data.train)]
        if rng.random() < 0.5:
            subject = subject.mirrored(topology, 0.0)
        roi = jittered_roi(subject, topology, rng)
        examples.append(example_in_roi(blank, subject, roi, topology))
    drawn = stacked(examples)
    weight = np.stack([drawn.weight, drawn.weight, drawn.z_weight], axis=-1)
    total = weight.sum(axis=0)
    sums = (drawn.landmarks * weight).sum(axis=0)
    unseen = np.array([0.5, 0.5, 0.0], dtype=np.float32)
    mean = np.where(total > 0, sums / np.maximum(total, 1e-9), unseen).astype(np.float32)
    whole = drawn.landmarks[(drawn.weight > 0).all(axis=1)]
    if not len(whole):
        return mean, np.zeros((0, topology.size, 3), dtype=np.float32)
    centred = (whole - whole.mean(axis=0)).reshape(len(whole), -1)
    _, spread, axes = np.linalg.svd(centred, full_matrices=False)
    components = axes * (spread / len(whole) ** 0.5)[:, None]
    return mean, components.reshape(-1, topology.size, 3).astype(np.float32)


def memory_budget_bytes() -> int:
    """What decoded pictures may take: 40 % of the memory that is free now."""
    try:
        with open("/proc/meminfo", encoding="ascii") as file:  # noqa: PTH123
            for line in file:
                if line.startswith("MemAvailable:"):
                    return int(line.split()[1]) * 1024 * 2 // 5
    except OSError:
        pass
    return 2**30


def single_threaded_opencv() -> int:
    """Keep OpenCV to the loader's own thread; returns the number of threads it had.

    Its pool would take the cores from the network, for crops too small to gain from it.
    """
    before: int = cv2.getNumThreads()
    cv2.setNumThreads(1)
    return before


def _rng(seed: int, stream: int, place: int) -> np.random.Generator:
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(stream, place)))
