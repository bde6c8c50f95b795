"""How the iris network is taught: the eyes of labelled faces, left ones mirrored."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from types import MappingProxyType
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bootstrap.iris_evaluation import LEAST_PX, LEAST_SEEN
from bootstrap.metrics import Estimate, bootstrap_mean
from bootstrap.networks.iris import IrisNetwork
from bootstrap.training.ahead import EXAMPLES, SHAPES, VALIDATION, Ahead, ShuffledPlaces, chance
from bootstrap.training.batches import (
    Batch,
    Pictures,
    memory_budget_bytes,
    principal,
    stacked,
)
from bootstrap.training.crops import Example, Image, Jitter, example_in_roi
from bootstrap.training.devices import device_of
from bootstrap.training.losses import Target, keypoint_errors, losses
from bootstrap.training.photometry import vary_photometry
from bootstrap.training.subjects import MIN_LENGTH, OCCLUDED_WEIGHT, Subject, TrainingData
from bootstrap.training.worst_examples import worst_crops
from runtime.card import CardMetric
from runtime.errors import ViewfinderError
from runtime.roi import Roi, eye_roi
from runtime.solutions.face_attention import EYE_CONTOUR_SIZE, IRIS_SIZE, MESH_SIZE, RIGHT_EYE
from runtime.solutions.iris import eye_crop
from runtime.topology import Contour, Topology, topology

POINTS = (*RIGHT_EYE, *range(MESH_SIZE, MESH_SIZE + IRIS_SIZE))
"""Of face478: the right eye, then its iris."""
CORNERS = (33, 133)
JITTER = Jitter(0.1, 1.15, math.radians(10), 0.0, 0.0)
"""Of crops against labels: what a face mesh is off at the corners of eyes, and room beyond."""
IRIS_WEIGHT = 4.0
"""Of the iris's five points against one of the eye's 71."""
_SHAPES_DRAWN = 1000


@cache
def eye_topology() -> Topology:
    """The network's keypoints as a layout to measure and draw with: two rings, the eye's width."""
    face = topology("face478@1")
    lid = [RIGHT_EYE.index(i) for i in face.contours["right_eye"].indices]
    iris = [POINTS.index(i) for i in face.contours["right_iris"].indices]
    return Topology(
        name="eye76",
        version=1,
        keypoint_names=tuple(face.keypoint_names[i] for i in POINTS),
        edges=(),
        contours=MappingProxyType(
            {"eye": Contour(tuple(lid), True), "iris": Contour(tuple(iris), True)}
        ),
        parts=MappingProxyType({"eye": tuple(range(len(POINTS)))}),
        mirror=tuple(range(len(POINTS))),
        normaliser=(RIGHT_EYE.index(CORNERS[0]), RIGHT_EYE.index(CORNERS[1])),
        normaliser_name="eye width",
    )


@dataclass(frozen=True)
class Eye:
    """One eye of a labelled face."""

    face: Subject
    left: bool

    def right_in(self, image: Image, face: Subject) -> tuple[Image, Subject]:
        """The picture around the face and the eye in it, as if it were a right one."""
        if self.left:
            image = cv2.flip(image, 1)
            face = face.mirrored(topology("face478@1"), image.shape[1])
        return image, right_eye(face)


def right_eye(face: Subject) -> Subject:
    """The right eye of a face as a subject of `eye_topology`."""
    index = list(POINTS)
    corners = face.keypoints_px[list(CORNERS)]
    roi = eye_roi(corners)
    weight = face.weight[index]
    weight[len(RIGHT_EYE) :] *= IRIS_WEIGHT
    z_px = None if face.z_px is None else face.z_px[index] - face.z_px[index].mean()
    return replace(
        face,
        topology_id=eye_topology().id,
        keypoints_px=face.keypoints_px[index],
        weight=weight,
        z_px=z_px,
        world_m=None,
        handedness=None,
        roi=roi,
        length_px=max(float(np.linalg.norm(corners[0] - corners[1])), MIN_LENGTH * roi.width),
        drawn_px=np.zeros((0, 2), dtype=np.float32),
        drawn_weight=np.zeros(0, dtype=np.float32),
    )


def eyes_of(faces: Sequence[Subject]) -> list[Eye]:
    """The eyes that are labelled, large enough and not mostly hidden."""
    face = topology("face478@1")
    eyes = []
    for subject in faces:
        for left in (False, True):
            shown = subject.mirrored(face, 0.0) if left else subject
            lids = shown.weight[list(RIGHT_EYE[:EYE_CONTOUR_SIZE])]
            corners = shown.keypoints_px[list(CORNERS)]
            seen = float((lids > OCCLUDED_WEIGHT * max(lids.max(initial=0.0), 1e-9)).mean())
            width = float(np.linalg.norm(corners[0] - corners[1]))
            if (lids > 0).all() and seen >= LEAST_SEEN and width >= LEAST_PX:
                eyes.append(Eye(subject, left))
    return eyes


def eye_example(
    image: Image, eye: Subject, rng: np.random.Generator, jitter: Jitter, vary: bool
) -> Example:
    """A crop of a right eye with its labels.

    Args:
        image: (H, W, 3) uint8 RGB.
        eye: in it.
        rng: all chance comes from here.
        jitter: of the crop.
        vary: light, lens and codec, too.
    """
    side = IrisNetwork.input_size
    roi = jitter.applied(eye.roi, rng)
    crop = eye_crop(image, roi, side)
    if crop is None:
        crop = np.zeros((side, side, 3), dtype=np.uint8)
    if vary:
        crop = vary_photometry(crop, rng)
    return example_in_roi(np.ascontiguousarray(crop), eye, roi, eye_topology())


class EyeBatches(Ahead[Batch]):
    """Training batches of eyes from a given step on."""

    def __init__(
        self,
        eyes: Sequence[Eye],
        pictures: Pictures,
        batch: int,
        seed: int,
        first_step: int | range,
    ) -> None:
        self._eyes, self._pictures, self._batch, self._seed = eyes, pictures, batch, seed
        self._places = ShuffledPlaces(len(eyes), seed)
        super().__init__(first_step)

    def at(self, step: int) -> Batch:
        """The batch of that step: the same whenever it is asked for."""
        return stacked([self._example(step * self._batch + i) for i in range(self._batch)])

    def _example(self, place: int) -> Example:
        eye = self._eyes[self._places.at(place)]
        image, subject = eye.right_in(*self._pictures.of(eye.face))
        return eye_example(image, subject, chance(self._seed, EXAMPLES, place), JITTER, True)


class IrisTeaching:
    """Crops of eyes to keypoints; errors in widths of the eye."""

    def __init__(self, data: TrainingData) -> None:
        self._data = data
        self._train, self._val = eyes_of(data.train), eyes_of(data.val)
        if not self._train:
            raise ViewfinderError(
                "no face to train on has an eye that is labelled, seen and large enough",
                file=", ".join(str(dataset.root) for dataset in data.datasets),
                field="keypoints",
                expected=f"both corners and the lids, {LEAST_PX:g} px wide or more",
            )
        self._pictures = Pictures(data.datasets, memory_budget_bytes())

    def new_network(self, seed: int) -> IrisNetwork:
        """A network that answers with the data's mean eye."""
        torch.manual_seed(seed)
        network = IrisNetwork()
        rng = chance(seed, SHAPES, 0)
        face = topology("face478@1")
        blank = np.zeros((1, 1, 3), dtype=np.uint8)
        examples = []
        for i in range(_SHAPES_DRAWN):
            eye = self._train[i % len(self._train)]
            subject = right_eye(eye.face.mirrored(face, 0.0) if eye.left else eye.face)
            roi: Roi = JITTER.applied(subject.roi, rng)
            examples.append(example_in_roi(blank, subject, roi, eye_topology()))
        drawn = stacked(examples)
        weight = np.stack([drawn.weight, drawn.weight, drawn.z_weight], axis=-1)
        unseen = np.array([0.5, 0.5, 0.0], dtype=np.float32)
        mean, components = principal(drawn.landmarks, weight, unseen)
        network.set_shapes({"landmarks": (torch.from_numpy(mean), torch.from_numpy(components))})
        return network

    def batches(self, batch: int, seed: int, first_step: int | range) -> Ahead[Batch]:
        """Crops of every eye."""
        return EyeBatches(self._train, self._pictures, batch, seed, first_step)

    def validation(self, limit: int) -> list[Batch]:
        """Crops of the val split's eyes, evenly chosen, with half the jitter and as they are."""
        jitter = replace(JITTER, shift=JITTER.shift / 2, scale=JITTER.scale**0.5)
        chosen = self._chosen(limit)
        examples = [
            eye_example(
                *eye.right_in(*self._pictures.of(eye.face)), chance(0, VALIDATION, i), jitter, False
            )
            for i, eye in enumerate(chosen)
        ]
        return [stacked(examples[i : i + 16]) for i in range(0, len(examples), 16)]

    def losses(self, network: IrisNetwork, batch: Batch) -> dict[str, Tensor]:
        """See bootstrap.training.losses."""
        target = Target.of(batch, device_of(network))
        return losses(network(target.image), target)

    def errors(self, network: IrisNetwork, batches: Sequence[Batch]) -> Tensor:
        """(n,) mean 2D error of each eye."""
        network.eval()
        with torch.no_grad():
            targets = [Target.of(batch) for batch in batches]
            return torch.cat([keypoint_errors(network(t.image), t) for t in targets])

    def judged(
        self, network: IrisNetwork, batches: Sequence[Batch]
    ) -> tuple[Estimate, list[CardMetric]]:
        """The mean error over the eyes, and that of the iris's centre."""
        errors = self.errors(network, batches)
        chosen = self._chosen(len(errors))
        clusters = [f"{number}/{sample}" for number, sample in (e.face.source for e in chosen)]
        names = ", ".join(dataset.info.name for dataset in self._data.datasets) + " (val)"
        rng = np.random.default_rng(0)
        estimate = bootstrap_mean(errors.numpy(), clusters, rng)
        centres = bootstrap_mean(_centre_errors(network, batches), clusters, rng)
        return estimate, [
            CardMetric(names, "mean error / eye width", estimate.mean, estimate.interval),
            CardMetric(names, "iris centre error / eye width", centres.mean, centres.interval),
        ]

    def worst(self, network: Any, batches: Sequence[Batch]) -> NDArray[np.uint8]:
        """Eyes with the labels and the network's keypoints."""
        return worst_crops(network, batches, eye_topology())

    def _chosen(self, limit: int) -> list[Eye]:
        if len(self._val) <= limit:
            return self._val
        return [self._val[i * len(self._val) // limit] for i in range(limit)]


def _centre_errors(network: IrisNetwork, batches: Sequence[Batch]) -> NDArray[np.float32]:
    centre = len(RIGHT_EYE)
    errors = []
    with torch.no_grad():
        for batch in batches:
            target = Target.of(batch)
            found = network(target.image)["landmarks"].reshape(target.landmarks.shape)
            off = (found - target.landmarks)[:, centre, :2].norm(dim=-1)
            errors.append((off / target.normaliser).numpy())
    return np.concatenate(errors)
