"""Examples for the detectors: collages, and whole pictures, cut, turned and letterboxed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from bootstrap.training.ahead import EXAMPLES, VALIDATION, Ahead, ShuffledPlaces, chance
from bootstrap.training.anchors import (
    UNSURE_IOU,
    Truth,
    anchor_boxes,
    centred_iou,
    targets,
    truth_of,
)
from bootstrap.training.collage import ANY_TURN, MOST_MAGNIFIED, SHARES, Supply, collage
from bootstrap.training.cutouts import Image, Scene
from bootstrap.training.photometry import WHOLE_PICTURE, vary_photometry
from bootstrap.training.subjects import Floats, Subject
from runtime.detection import SsdLayout
from runtime.roi import Roi, crop_from_image, roi_of_image, roi_padded_to_aspect, warp_crop
from runtime.topology import Topology

COLLAGE_SHARE = 0.65
"""Of the examples of cut-outs; the rest shows pictures as they were rendered or taken."""
WHOLE_SHARE = 0.3
"""Of the examples that show the whole picture, as the runtime does."""
FINE_SHARE = 0.12
"""Side of a box over the input's: of collages with smaller subjects every other stays as it is
drawn, since blur and noise leave little of them."""
MOST_ZOOM_OUT = 1.3
"""Side of an example over its picture's: beyond it black borders would teach more than anything."""
_WOBBLE_RAD = math.radians(8)
"""Standard deviation of the turn, a hand's from one of the right angles: in a picture that is
turned further more is black than seen. Collages have every turn."""
_MOST_OUTSIDE = 0.35
"""Least distance of an example's middle from the picture's edges, in sides."""
LEAST_SIDE_PX, LEAST_SHOWN = 8.3, 0.6
"""Of a box in input pixels, and what the edges leave of the box: below these a subject
is neither taught nor taken for background."""


@dataclass(frozen=True)
class SceneBatch:
    """Examples stacked.

    Attributes:
        image: (B, S, S, 3) uint8 RGB.
        state, values, weight: of `bootstrap.training.anchors.targets`, with the batch first.
        truths: what is to be found in each, input pixels.
        unsure: what may be found or not: cut by the edge, hidden or tiny.
    """

    image: Image
    state: NDArray[np.int8]
    values: Floats
    weight: Floats
    truths: tuple[tuple[Truth, ...], ...]
    unsure: tuple[tuple[Truth, ...], ...]


class SceneBatches(Ahead[SceneBatch]):
    """Training batches for a detector from a given step on."""

    def __init__(
        self, supply: Supply, layout: SsdLayout, batch: int, seed: int, first_step: int | range = 0
    ) -> None:
        self._supply, self._layout = supply, layout
        self._anchors = anchor_boxes(layout)
        self._batch, self._seed = batch, seed
        self._places = ShuffledPlaces(len(supply.scenes), seed)
        super().__init__(first_step)

    def at(self, step: int) -> SceneBatch:
        """The batch of that step: the same whenever it is asked for."""
        crops, found = [], []
        for place in range(step * self._batch, (step + 1) * self._batch):
            scene = self._supply.scenes[self._places.at(place)]
            crop, truths = example(scene, self._supply, chance(self._seed, EXAMPLES, place))
            crops.append(crop)
            found.append(truths)
        return stacked_scenes(crops, found, self._layout, self._anchors)


def example(
    scene: Scene, supply: Supply, rng: np.random.Generator, collages: float = COLLAGE_SHARE
) -> tuple[Image, tuple[Truth, ...]]:
    """What a detector is taught with: a collage, where the scene can be cut out, or its picture.

    Args:
        scene: whose subjects are shown.
        supply: where everything else comes from.
        rng: all chance comes from here.
        collages: their share.

    Returns:
        (S, S, 3) uint8 RGB and the truths, in its pixels; some may lie outside.
    """
    if rng.random() < collages and (made := collage(scene, supply, rng)) is not None:
        picture, truths, bars = made
        finest = min((float(truth.box[2]) for truth in truths), default=math.inf)
        truths = _seen(truths, bars)
        if finest < FINE_SHARE * supply.size and rng.random() < 0.5:
            picture[bars] = 0
            return picture, truths
        return _in_another_light(picture, bars, rng), truths
    return training_scene(
        *supply.pictures.of(scene), scene.subjects, supply.topology, supply.size, rng
    )


def training_scene(
    image: Image,
    scale: float,
    subjects: Sequence[Subject],
    topology: Topology,
    size: int,
    rng: np.random.Generator,
    shares: tuple[float, float] | None = None,
) -> tuple[Image, tuple[Truth, ...]]:
    """A picture as a camera might give it: mirrored, cut, turned, in another light.

    Args:
        image: (H, W, 3) uint8 RGB.
        scale: its pixels over the labels'.
        subjects: all of them.
        topology: of the subjects.
        size: of the network's input.
        rng: all chance comes from here.
        shares: side of a subject's box over the input's, from and to, where one is zoomed to;
            None for those of collages.

    Returns:
        (size, size, 3) uint8 and the truths, in its pixels; some may lie outside.
    """
    if rng.random() < 0.5:
        width = image.shape[1] / scale
        subjects = [subject.mirrored(topology, width) for subject in subjects]
        image = cv2.flip(image, 1)
    truths = [truth_of(subject) for subject in subjects]
    boxes = [truth.box * scale for truth in truths]
    roi = _region(image, boxes, topology, size, rng, shares or SHARES[topology.id])
    crop = warp_crop(image, roi, size, size, "zero")
    outside = warp_crop(np.full(image.shape[:2], 255, np.uint8), roi, size, size, "zero") < 128
    crop = _in_another_light(crop, outside, rng)
    return crop, _seen([_moved(truth, scale, roi, size) for truth in truths], outside)


def validation_scene(
    image: Image, scale: float, subjects: Sequence[Subject], size: int
) -> tuple[Image, tuple[Truth, ...]]:
    """The whole picture, letterboxed as the runtime does it."""
    roi = _letterbox(image, size)
    truths = tuple(_moved(truth_of(subject), scale, roi, size) for subject in subjects)
    return warp_crop(image, roi, size, size, "zero"), truths


def validation_scenes(
    supply: Supply, layout: SsdLayout, limit: int, batch: int = 16
) -> list[SceneBatch]:
    """At most `limit` pictures, evenly chosen, as they are and, where they can be cut out, in
    collages by turns; the same for every training."""
    count = min(limit, len(supply.scenes))
    made = []
    for i in range(count):
        scene = supply.scenes[i * len(supply.scenes) // count]
        rng = chance(0, VALIDATION, i)
        pasted = collage(scene, supply, rng) if i % 2 else None
        if pasted is None:
            image, scale = supply.pictures.of(scene)
            made.append(validation_scene(image, scale, scene.subjects, layout.size))
        else:
            image, truths, bars = pasted
            made.append((_in_another_light(image, bars, rng), _seen(truths, bars)))
    anchors = anchor_boxes(layout)
    crops, found = [crop for crop, _ in made], [truths for _, truths in made]
    return [
        stacked_scenes(crops[i : i + batch], found[i : i + batch], layout, anchors)
        for i in range(0, count, batch)
    ]


def stacked_scenes(
    crops: Sequence[Image],
    truths: Sequence[tuple[Truth, ...]],
    layout: SsdLayout,
    anchors: Floats,
) -> SceneBatch:
    """A batch; subjects that are cut by the edge, hidden or tiny are taught as nothing at all."""
    rows, kept, unsure = [], [], []
    for here in truths:
        sound = tuple(truth for truth in here if _inside(truth, layout.size))
        state, values, weight = targets(sound, anchors, layout)
        rest = tuple(truth for truth in here if not _inside(truth, layout.size))
        for truth in rest:
            near = centred_iou(anchors, truth.box[None] / layout.size)[:, 0] >= UNSURE_IOU
            state[near & (state == 0)] = -1
        rows.append((state, values, weight))
        kept.append(sound)
        unsure.append(rest)
    state, values, weight = (np.stack(column) for column in zip(*rows))
    return SceneBatch(np.stack(crops), state, values, weight, tuple(kept), tuple(unsure))


def _in_another_light(crop: Image, outside: NDArray[np.bool_], rng: np.random.Generator) -> Image:
    crop = vary_photometry(crop, rng, WHOLE_PICTURE).copy()
    crop[outside] = 0  # as the letterbox stays black in any light
    return crop


def _seen(truths: Sequence[Truth], outside: NDArray[np.bool_]) -> tuple[Truth, ...]:
    """The truths without what lies where no picture is, (S, S) `outside`."""
    result = []
    for truth in truths:
        low = np.clip(np.round(truth.box[:2] - truth.box[2:] / 2), 0, None).astype(int)
        high = np.clip(np.round(truth.box[:2] + truth.box[2:] / 2), 0, None).astype(int)
        pixels = np.count_nonzero(~outside[low[1] : high[1], low[0] : high[0]])
        inside = pixels / max(1.0, float(truth.box[2:].prod()))
        result.append(replace(truth, shown=truth.shown * inside))
    return tuple(result)


def _inside(truth: Truth, size: int) -> bool:
    centre, side = truth.box[:2], truth.box[2]
    inside = (centre > 0).all() and (centre < size).all()
    return bool(inside and side >= LEAST_SIDE_PX and truth.shown >= LEAST_SHOWN)


def _letterbox(image: Image, size: int) -> Roi:
    height, width = image.shape[:2]
    return roi_padded_to_aspect(roi_of_image(width, height), size, size)


def _region(
    image: Image,
    boxes: Sequence[Floats],
    topology: Topology,
    size: int,
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
            rotation_rad=rng.normal(0.0, _WOBBLE_RAD),
        )
    box = boxes[int(rng.integers(len(boxes)))]
    share = math.exp(rng.uniform(math.log(shares[0]), math.log(shares[1])))
    side = max(float(box[2]) / share, min(size / MOST_MAGNIFIED, whole.width))
    side = min(side, MOST_ZOOM_OUT * whole.width)
    rotation = rng.normal(0.0, _WOBBLE_RAD)
    if rng.random() < ANY_TURN.get(topology.id, 0.0):
        rotation += math.pi / 2 * int(rng.integers(4))
    cx, cy = box[:2] + rng.uniform(-0.4, 0.4, 2) * side
    height, width = image.shape[:2]
    inside = min(_MOST_OUTSIDE * side, width / 2, height / 2)
    cx = float(np.clip(cx, inside, width - inside))
    cy = float(np.clip(cy, inside, height - inside))
    return Roi(cx, cy, side, side, rotation)


def _moved(truth: Truth, scale: float, roi: Roi, size: int) -> Truth:
    centre = crop_from_image(roi, truth.box[:2] * scale) * size
    sides = truth.box[2:] * (scale * size / roi.width)
    points = crop_from_image(roi, truth.keypoints * scale) * size
    box = np.concatenate([centre, sides]).astype(np.float32)
    return replace(truth, box=box, keypoints=points.astype(np.float32))
