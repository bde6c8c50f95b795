"""Whole pictures for the detectors: every subject in them, cut, turned and letterboxed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from bootstrap.dataset import Dataset
from bootstrap.networks.detector import DetectorNetwork
from bootstrap.training.ahead import EXAMPLES, Ahead, ShuffledPlaces, chance
from bootstrap.training.anchors import (
    UNSURE_IOU,
    Truth,
    anchor_boxes,
    centred_iou,
    targets,
    truth_of,
)
from bootstrap.training.photometry import vary_photometry
from bootstrap.training.subjects import Floats, Subject, TrainingData
from runtime.detection import SsdLayout
from runtime.roi import Roi, crop_from_image, roi_of_image, roi_padded_to_aspect, warp_crop
from runtime.topology import Topology

Image = NDArray[np.uint8]

KEPT_SIDE = 1024
"""Longer side of a picture as it is kept: beyond it a letterbox shows no more."""
WHOLE_SHARE = 0.3
"""Of the examples that show the whole picture, as the runtime does."""
LEAST_SHARE, MOST_SHARE = 0.08, 0.85
"""Side of a subject's box over the input's in the other examples."""
TURN_RAD = {
    "face478@1": math.radians(20),
    "hand21@1": math.radians(60),
    "cuboid9@1": math.radians(8),
}
"""Standard deviation of the turn: faces are mostly upright, hands are not, things stand."""
LEAST_SIDE = 0.04
"""Of a box over the input's side: below it a subject is neither taught nor taken for background."""


@dataclass(frozen=True)
class Scene:
    """A picture: (data set number, sample id) and all the subjects in it, none for a negative."""

    source: tuple[int, str]
    subjects: tuple[Subject, ...]


@dataclass(frozen=True)
class SceneBatch:
    """Examples stacked.

    Attributes:
        image: (B, S, S, 3) uint8 RGB.
        state, values, weight: of `bootstrap.training.anchors.targets`, with the batch first.
        truths: what is to be found in each, input pixels.
    """

    image: Image
    state: NDArray[np.int8]
    values: Floats
    weight: Floats
    truths: tuple[tuple[Truth, ...], ...]


def scenes_of(subjects: Sequence[Subject], data: TrainingData) -> tuple[Scene, ...]:
    """Subjects by picture; pictures with a subject that can't be used are left out whole, since it
    would be taken for background."""
    pictures: dict[tuple[int, str], list[Subject]] = {}
    for subject in subjects:
        if subject.source not in data.incomplete:
            pictures.setdefault(subject.source, []).append(subject)
    return tuple(
        Scene(source, tuple(s for s in here if s.topology_id)) for source, here in pictures.items()
    )


class ScenePictures:
    """Whole pictures, decoded once while memory lasts; at most `KEPT_SIDE` large."""

    def __init__(self, datasets: Sequence[Dataset], budget_bytes: int) -> None:
        self._datasets = datasets
        self._left_bytes = budget_bytes
        self._kept: dict[tuple[int, str], tuple[Image, float]] = {}

    def of(self, scene: Scene) -> tuple[Image, float]:
        """The picture, and its pixels over the labels' pixels."""
        if (kept := self._kept.get(scene.source)) is not None:
            return kept
        number, sample_id = scene.source
        image = self._datasets[number].read_image(sample_id)
        scale = min(1.0, KEPT_SIDE / max(image.shape[:2]))
        if scale < 1.0:
            image = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        if image.nbytes <= self._left_bytes:
            self._left_bytes -= image.nbytes
            self._kept[scene.source] = (image, scale)
        return image, scale


class SceneBatches(Ahead[SceneBatch]):
    """Training batches for a detector from a given step on."""

    def __init__(
        self,
        scenes: Sequence[Scene],
        pictures: ScenePictures,
        network: DetectorNetwork,
        topology: Topology,
        batch: int,
        seed: int,
        first_step: int = 0,
    ) -> None:
        self._scenes, self._pictures, self._topology = scenes, pictures, topology
        self._layout, self._anchors = network.layout, anchor_boxes(network.layout)
        self._batch, self._seed = batch, seed
        self._places = ShuffledPlaces(len(scenes), seed)
        super().__init__(first_step)

    def at(self, step: int) -> SceneBatch:
        """The batch of that step: the same whenever it is asked for."""
        crops, found = [], []
        for place in range(step * self._batch, (step + 1) * self._batch):
            scene = self._scenes[self._places.at(place)]
            rng = chance(self._seed, EXAMPLES, place)
            crop, truths = training_scene(
                *self._pictures.of(scene), scene.subjects, self._topology, self._layout.size, rng
            )
            crops.append(crop)
            found.append(truths)
        return stacked_scenes(crops, found, self._layout, self._anchors)


def training_scene(
    image: Image,
    scale: float,
    subjects: Sequence[Subject],
    topology: Topology,
    size: int,
    rng: np.random.Generator,
    shares: tuple[float, float] = (LEAST_SHARE, MOST_SHARE),
) -> tuple[Image, tuple[Truth, ...]]:
    """A picture as a camera might give it: mirrored, cut, turned, in another light.

    Args:
        image: (H, W, 3) uint8 RGB.
        scale: its pixels over the labels'.
        subjects: all of them.
        topology: of the subjects.
        size: of the network's input.
        rng: all chance comes from here.
        shares: side of a subject's box over the input's, from and to, where one is zoomed to.

    Returns:
        (size, size, 3) uint8 and the truths, in its pixels; some may lie outside.
    """
    if rng.random() < 0.5:
        width = image.shape[1] / scale
        subjects = [subject.mirrored(topology, width) for subject in subjects]
        image = cv2.flip(image, 1)
    truths = [truth_of(subject) for subject in subjects]
    roi = _region(image, [truth.box * scale for truth in truths], topology, rng, shares)
    crop = warp_crop(image, roi, size, size, "zero")
    outside = ~crop.any(axis=2)
    crop = vary_photometry(crop, rng).copy()
    crop[outside] = 0  # as the letterbox stays black in any light
    return crop, tuple(_moved(truth, scale, roi, size) for truth in truths)


def validation_scene(
    image: Image, scale: float, subjects: Sequence[Subject], size: int
) -> tuple[Image, tuple[Truth, ...]]:
    """The whole picture, letterboxed as the runtime does it."""
    roi = _letterbox(image, size)
    truths = tuple(_moved(truth_of(subject), scale, roi, size) for subject in subjects)
    return warp_crop(image, roi, size, size, "zero"), truths


def validation_scenes(
    scenes: Sequence[Scene], pictures: ScenePictures, layout: SsdLayout, limit: int, batch: int = 16
) -> list[SceneBatch]:
    """At most `limit` whole pictures, evenly chosen; the same for every training."""
    count = min(limit, len(scenes))
    chosen = [scenes[i * len(scenes) // count] for i in range(count)]
    made = [validation_scene(*pictures.of(s), s.subjects, layout.size) for s in chosen]
    anchors = anchor_boxes(layout)
    crops, truths = [crop for crop, _ in made], [truth for _, truth in made]
    return [
        stacked_scenes(crops[i : i + batch], truths[i : i + batch], layout, anchors)
        for i in range(0, count, batch)
    ]


def stacked_scenes(
    crops: Sequence[Image],
    truths: Sequence[tuple[Truth, ...]],
    layout: SsdLayout,
    anchors: Floats,
) -> SceneBatch:
    """A batch; subjects that are cut by the edge or tiny are taught as nothing at all."""
    rows, kept = [], []
    for here in truths:
        sound = tuple(truth for truth in here if _inside(truth, layout.size))
        state, values, weight = targets(sound, anchors, layout)
        for truth in here:
            if not _inside(truth, layout.size):
                near = centred_iou(anchors, truth.box[None] / layout.size)[:, 0] >= UNSURE_IOU
                state[near & (state == 0)] = -1
        rows.append((state, values, weight))
        kept.append(sound)
    state, values, weight = (np.stack(column) for column in zip(*rows))
    return SceneBatch(np.stack(crops), state, values, weight, tuple(kept))


def _inside(truth: Truth, size: int) -> bool:
    centre, side = truth.box[:2], truth.box[2]
    return bool((centre > 0).all() and (centre < size).all() and side >= LEAST_SIDE * size)


def _letterbox(image: Image, size: int) -> Roi:
    height, width = image.shape[:2]
    return roi_padded_to_aspect(roi_of_image(width, height), size, size)


def _region(
    image: Image,
    boxes: Sequence[Floats],
    topology: Topology,
    rng: np.random.Generator,
    shares: tuple[float, float],
) -> Roi:
    whole = _letterbox(image, 1)
    if rng.random() < WHOLE_SHARE or not boxes:
        zoom = rng.uniform(0.9, 1.2) if boxes else math.exp(rng.uniform(math.log(0.3), 0.2))
        shift = rng.uniform(-0.1, 0.1, 2) * whole.width
        return replace(
            whole,
            cx=whole.cx + shift[0],
            cy=whole.cy + shift[1],
            width=whole.width * zoom,
            height=whole.height * zoom,
            rotation_rad=rng.normal(0.0, math.radians(5)),
        )
    box = boxes[int(rng.integers(len(boxes)))]
    share = math.exp(rng.uniform(math.log(shares[0]), math.log(shares[1])))
    # A picture far smaller than its crop would teach black borders more than anything.
    side = min(float(box[2]) / share, 2.0 * whole.width)
    rotation = rng.normal(0.0, TURN_RAD[topology.id])
    reach = rng.uniform(-0.4, 0.4, 2) * side
    return Roi(float(box[0]) + reach[0], float(box[1]) + reach[1], side, side, rotation)


def _moved(truth: Truth, scale: float, roi: Roi, size: int) -> Truth:
    centre = crop_from_image(roi, truth.box[:2] * scale) * size
    sides = truth.box[2:] * (scale * size / roi.width)
    points = crop_from_image(roi, truth.keypoints * scale) * size
    box = np.concatenate([centre, sides]).astype(np.float32)
    return Truth(box, points.astype(np.float32), truth.weight)
