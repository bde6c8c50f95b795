"""Batches of crops for the landmark networks, and the shapes that they start from."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import TypeVar, overload

import cv2
import numpy as np
from numpy.typing import NDArray

from bootstrap.dataset import Dataset
from bootstrap.training.ahead import EXAMPLES, SHAPES, VALIDATION, Ahead, ShuffledPlaces, chance
from bootstrap.training.crops import (
    Example,
    Image,
    example_in_roi,
    jittered_roi,
    kept_part,
    training_example,
    validation_example,
)
from bootstrap.training.cutouts import is_of
from bootstrap.training.subjects import Floats, Subject, TrainingData
from runtime.topology import Topology

SHAPES_DRAWN = 1500
OTHERS_SHARE = 0.1
"""Of the examples: hands for a network of faces and faces for one of hands, and joints of bodies,
where there are any."""
ALARMS_SHARE = 0.2
"""Of the examples: what a detector took for a subject, where there is any. At a tenth, with a
presence that counted a sixth as much, the hand network still believed in half of them."""


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
    drawn: Floats
    drawn_weight: Floats


_Stacked = TypeVar("_Stacked", bound=Batch)


@overload
def stacked(examples: Sequence[Example]) -> Batch: ...
@overload
def stacked(examples: Sequence[Example], kind: type[_Stacked]) -> _Stacked: ...
def stacked(examples: Sequence[Example], kind: type[Batch] = Batch) -> Batch:
    """A batch of some examples, which have every field of its kind."""
    columns = {
        item.name: np.stack([np.asarray(getattr(e, item.name)) for e in examples])
        for item in fields(kind)
    }
    return kind(
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
        part = kept_part(self._read(number, sample_id), subject)
        if part[0].nbytes <= self._left_bytes:
            self._left_bytes -= part[0].nbytes
            self._kept[id(subject)] = part
        return part

    def _read(self, number: int, sample_id: str) -> Image:
        return self._datasets[number].read_image(sample_id)


class Batches(Ahead[Batch]):
    """Training batches of crops from a given step on.

    Args:
        data, pictures, topology, size, batch, seed, first_step: of the training.
        others: kinds of what isn't a subject but might be taken for one, each as often as the
            others, together `OTHERS_SHARE` of the examples.
        alarms: what a detector took for one, `ALARMS_SHARE` of the examples.
    """

    def __init__(
        self,
        data: TrainingData,
        pictures: Pictures,
        topology: Topology,
        size: int,
        batch: int,
        seed: int,
        first_step: int | range = 0,
        others: Sequence[Sequence[Subject]] = (),
        alarms: Sequence[Subject] = (),
    ) -> None:
        own = {i for i, ds in enumerate(data.datasets) if is_of(ds, topology.id)}
        empty = tuple(subject for subject in data.negatives if subject.source[0] in own)
        self._subjects = data.train + empty
        self._others = [kind for kind in others if kind]
        self._alarms = alarms
        self._pictures, self._topology, self._size = pictures, topology, size
        self._batch, self._seed = batch, seed
        self._places = ShuffledPlaces(len(self._subjects), seed)
        super().__init__(first_step)

    def at(self, step: int) -> Batch:
        """The batch of that step: the same whenever it is asked for."""
        return stacked([self._example(step * self._batch + i) for i in range(self._batch)])

    def _example(self, place: int) -> Example:
        subject = self._subjects[self._places.at(place)]
        rng = chance(self._seed, EXAMPLES, place)
        if self._others and rng.random() < OTHERS_SHARE:
            kind = self._others[int(rng.integers(len(self._others)))]
            subject = kind[int(rng.integers(len(kind)))]
        if self._alarms and rng.random() < ALARMS_SHARE:
            subject = self._alarms[int(rng.integers(len(self._alarms)))]
        image, subject = self._pictures.of(subject)
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
        validation_example(*pictures.of(subject), topology, size, chance(0, VALIDATION, i))
        for i, subject in enumerate(chosen)
    ]
    return [stacked(examples[i : i + batch]) for i in range(0, len(examples), batch)]


def shape_models(
    data: TrainingData, topology: Topology, seed: int, draws: int = SHAPES_DRAWN
) -> dict[str, tuple[Floats, Floats]]:
    """What each head of a landmark network starts from, as training crops show it.

    Args:
        data: whose training subjects are drawn from, with training's jitter and mirroring.
        topology: of the network.
        seed: of the training.
        draws: examples that mean and components are of.

    Returns:
        "landmarks" and "world" (N points, 3 axes) and, of faces, "contours" (155 points, 2 axes):
        mean (N, axes) and components (K, N, axes) times their standard deviations, crop-normalised
        or in metres; the mean alone, with K = 0, where no subject has every point.
    """
    rng = chance(seed, SHAPES, 0)
    blank = np.zeros((1, 1, 3), dtype=np.uint8)
    examples = []
    for i in range(draws):
        subject = data.train[i % len(data.train)]
        if rng.random() < 0.5:
            subject = subject.mirrored(topology, 0.0)
        roi = jittered_roi(subject, topology, rng)
        examples.append(example_in_roi(blank, subject, roi, topology))
    drawn = stacked(examples)
    weight = np.stack([drawn.weight, drawn.weight, drawn.z_weight], axis=-1)
    unseen = np.array([0.5, 0.5, 0.0], dtype=np.float32)
    metric = np.repeat(drawn.world_weight[:, :, None], 3, axis=2)
    models = {
        "landmarks": principal(drawn.landmarks, weight, unseen),
        "world": principal(drawn.world_m, metric, np.zeros(3, dtype=np.float32)),
    }
    if drawn.drawn.shape[1]:
        flat = np.repeat(drawn.drawn_weight[:, :, None], 2, axis=2)
        models["contours"] = principal(drawn.drawn, flat, unseen[:2])
    return models


def principal(points: Floats, weight: Floats, unseen: Floats) -> tuple[Floats, Floats]:
    """Mean and scaled principal components of (B, N, axes) points with weights of that shape;
    `unseen` is the mean of what nobody has. Where z is nobody's, whole is who has x and y."""
    total = weight.sum(axis=0)
    sums = (points * weight).sum(axis=0)
    mean = np.where(total > 0, sums / np.maximum(total, 1e-9), unseen).astype(np.float32)
    whole = points[(weight[..., 0] > 0).all(axis=1)]
    if not len(whole):
        return mean, np.zeros((0, *mean.shape), dtype=np.float32)
    centred = (whole - whole.mean(axis=0)).reshape(len(whole), -1)
    _, spread, axes = np.linalg.svd(centred, full_matrices=False)
    components = axes * (spread / len(whole) ** 0.5)[:, None]
    return mean, components.reshape(-1, *mean.shape).astype(np.float32)


def memory_budget_bytes() -> int:
    """What decoded pictures may take: 40 % of the memory that is free now, for all the processes of
    a training on this machine."""
    processes = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    try:
        with open("/proc/meminfo", encoding="ascii") as file:  # noqa: PTH123
            for line in file:
                if line.startswith("MemAvailable:"):
                    return int(line.split()[1]) * 1024 * 2 // 5 // processes
    except OSError:
        pass
    return 2**30 // processes


def single_threaded_opencv() -> int:
    """Keep OpenCV to the loader's own thread; returns the number of threads it had.

    Its pool would take the cores from the network, for crops too small to gain from it.
    """
    before: int = cv2.getNumThreads()
    cv2.setNumThreads(1)
    return before
