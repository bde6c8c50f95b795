"""Training examples of bodies: crops with what is seen of each point, and the body's silhouette."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from bootstrap.body_alignment import aligned_topology
from bootstrap.networks.pose import STRIDE
from bootstrap.training.ahead import EXAMPLES, VALIDATION, Ahead, ShuffledPlaces, chance
from bootstrap.training.batches import Batch, Pictures, evenly_chosen, stacked
from bootstrap.training.crops import (
    NEGATIVE_SHARE,
    VALIDATION_JITTER,
    Example,
    Image,
    example_in_roi,
    jittered_roi,
    negative_example,
)
from bootstrap.training.cutouts import is_of, segmented
from bootstrap.training.photometry import vary_photometry
from bootstrap.training.subjects import Floats, Subject, TrainingData
from runtime.roi import Roi, warp_crop

BESIDE = frozenset({"background", "ground", "seat"})
"""Classes of a segmentation that aren't the person's."""
OUTSIDE_WEIGHT = 0.3
"""What a point outside of the picture counts against one in it: where somebody's feet are who is
seen to the waist is mostly a guess."""


@dataclass(frozen=True)
class BodyExample(Example):
    """A crop of a body.

    Attributes:
        visible: (N,) 1 where a point is in the crop and the picture and not hidden, else 0.
        inside: (N,) 1 where it is in the crop and the picture, else 0.
        told: (N,) 1 where both are labelled, else 0.
        silhouette: (S / STRIDE, S / STRIDE) share of each cell that is the person's.
        silhouette_weight: 0.0 where that is unknown.
    """

    visible: Floats
    inside: Floats
    told: Floats
    silhouette: Floats
    silhouette_weight: float


@dataclass(frozen=True)
class BodyBatch(Batch):
    """Examples stacked: every field of `BodyExample`, with the batch as first axis."""

    visible: Floats
    inside: Floats
    told: Floats
    silhouette: Floats
    silhouette_weight: Floats


class BodyPictures(Pictures):
    """Pictures with the person as a fourth channel, 0 or 255, where they are segmented."""

    def _read(self, number: int, sample_id: str) -> Image:
        image = super()._read(number, sample_id)
        ds = self._datasets[number]
        if not (ds.info.classes and segmented(ds.row(sample_id)["extras"])):
            return image
        person = np.zeros(256, dtype=np.uint8)
        person[[i for name, i in ds.info.classes.items() if name not in BESIDE]] = 255
        ids = ds.read_segmentation(sample_id)
        if ids.shape != image.shape[:2]:
            size = (image.shape[1], image.shape[0])
            ids = cv2.resize(ids, size, interpolation=cv2.INTER_NEAREST)
        return np.dstack([image, person[ids]])


class BodyBatches(Ahead[BodyBatch]):
    """Training batches of bodies from a given step on."""

    def __init__(
        self,
        data: TrainingData,
        pictures: Pictures,
        size: int,
        batch: int,
        seed: int,
        first_step: int | range,
    ) -> None:
        own = {i for i, ds in enumerate(data.datasets) if is_of(ds, "pose33@1")}
        empty = tuple(subject for subject in data.negatives if subject.source[0] in own)
        self._subjects = data.train + empty
        self._pictures, self._size = pictures, size
        self._batch, self._seed = batch, seed
        self._places = ShuffledPlaces(len(self._subjects), seed)
        super().__init__(first_step)

    def at(self, step: int) -> BodyBatch:
        """The batch of that step: the same whenever it is asked for."""
        places = range(step * self._batch, (step + 1) * self._batch)
        return stacked([self._example(place) for place in places], BodyBatch)

    def _example(self, place: int) -> BodyExample:
        image, subject = self._pictures.of(self._subjects[self._places.at(place)])
        return training_body(image, subject, self._size, chance(self._seed, EXAMPLES, place))


def validation_bodies(
    subjects: Sequence[Subject], pictures: Pictures, size: int, limit: int, batch: int = 16
) -> list[BodyBatch]:
    """Crops of at most `limit` bodies, evenly chosen; the same for every training."""
    examples = []
    for i, subject in enumerate(evenly_chosen(subjects, limit)):
        image, kept = pictures.of(subject)
        jitter = VALIDATION_JITTER[aligned_topology().id]
        roi = jitter.applied(kept.roi, chance(0, VALIDATION, i))
        examples.append(body_in_roi(image, warp_crop(image, roi, size, size), kept, roi))
    return [stacked(examples[i : i + batch], BodyBatch) for i in range(0, len(examples), batch)]


def training_body(
    image: Image, subject: Subject, size: int, rng: np.random.Generator
) -> BodyExample:
    """A crop as the body might come: mirrored, jittered, in another light, or left out.

    Args:
        image: (H, W, 3) uint8 RGB around the body, or (H, W, 4) with the person.
        subject: in that picture.
        size: of the crop's sides in pixels.
        rng: all chance comes from here.
    """
    shape = aligned_topology()
    if rng.random() < 0.5:
        subject = subject.mirrored(shape, image.shape[1]) if subject.topology_id else subject
        image = cv2.flip(image, 1)
    if not subject.topology_id or rng.random() < NEGATIVE_SHARE:
        return _without_body(negative_example(_colours(image), subject, shape, size, rng))
    roi = jittered_roi(subject, shape, rng)
    crop = warp_crop(image, roi, size, size)
    varied = vary_photometry(_colours(crop), rng)
    return body_in_roi(image, np.dstack([varied, crop[..., 3:]]), subject, roi)


def body_in_roi(image: Image, crop: Image, subject: Subject, roi: Roi) -> BodyExample:
    """The labels of a body in a crop of its picture.

    Args:
        image: (H, W, 3|4) the picture.
        crop: (S, S, 3|4) of it, with the person where that is known.
        subject: in the picture.
        roi: of the crop.
    """
    whole = example_in_roi(_colours(crop), subject, roi, aligned_topology())
    height, width = image.shape[:2]
    px, here = subject.keypoints_px, whole.landmarks[:, :2]
    within = ((px >= 0) & (px <= (width, height)) & (here > 0) & (here < 1)).all(axis=1)
    told = (subject.weight > 0).astype(np.float32)
    told[len(told) - 2 :] = 0.0  # nobody sees a point that aligns
    cells = crop.shape[0] // STRIDE
    silhouette = np.zeros((cells, cells), dtype=np.float32)
    if crop.shape[2] == 4:
        silhouette = cv2.resize(crop[..., 3], (cells, cells), interpolation=cv2.INTER_AREA)
        silhouette = silhouette.astype(np.float32) / 255
    labels = vars(whole) | {
        "weight": whole.weight * np.where(within, 1.0, OUTSIDE_WEIGHT).astype(np.float32)
    }
    return BodyExample(
        **labels,
        visible=(subject.visible * within).astype(np.float32),
        inside=within.astype(np.float32),
        told=told,
        silhouette=silhouette,
        silhouette_weight=float(crop.shape[2] == 4),
    )


def _without_body(example: Example) -> BodyExample:
    nothing = np.zeros(len(example.weight), dtype=np.float32)
    cells = example.image.shape[0] // STRIDE
    return BodyExample(
        **vars(example),
        visible=nothing,
        inside=nothing,
        told=nothing,
        silhouette=np.zeros((cells, cells), dtype=np.float32),
        silhouette_weight=0.0,
    )


def _colours(image: NDArray[np.uint8]) -> Image:
    return np.ascontiguousarray(image[..., :3])
