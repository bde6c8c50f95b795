"""Whole pictures for the box network, and what every cell of its fields should answer."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from bootstrap.networks.box import STRIDE, BoxNetwork
from bootstrap.training.ahead import EXAMPLES, Ahead, ShuffledPlaces, chance
from bootstrap.training.anchors import Truth
from bootstrap.training.cutouts import Scene, ScenePictures
from bootstrap.training.scenes import Image, training_scene, validation_scene
from bootstrap.training.subjects import Floats
from runtime.box_fields import KEYPOINTS, found_boxes
from runtime.topology import topology

SPREAD = 0.07
"""Deviation of a middle's peak in the heatmap over the root of the object's area in the picture."""
LEAST_SPREAD = 0.6
"""The same in cells, at least."""
NEAR = 0.15
"""Deviation of a keypoint's own peak, where it must be told exactly, over the same root."""
LEAST_NEAR = 0.8
"""The same in cells, at least."""
ANYWHERE = 0.05
"""What the keypoints count in the object's other cells, against 1 at the middle."""
SHARES = (0.2, 0.8)
"""Longer side of an object over the input's, where a picture is cut around it."""
LEAST_SIDE = 0.06
"""Longer side of an object over the input's: smaller ones are neither taught nor background."""


@dataclass(frozen=True)
class BoxFields:
    """What the network should answer for one picture of h x w cells.

    Attributes:
        heat: (h, w) 1 where an object's middle is, falling off around it.
        judged: (h, w) 0 where an object is that is too small or whose middle is outside.
        offsets: (h, w, 18) input pixels from the cell's middle to the nearest object's keypoints.
        weight: (h, w, 18) of the offsets: all count around the middle, each around itself.
        scale: (h, w) that object's size in input pixels, what errors are divided by.
        silhouette: (h, w) 1 within an object's box.
    """

    heat: Floats
    judged: Floats
    offsets: Floats
    weight: Floats
    scale: Floats
    silhouette: Floats


@dataclass(frozen=True)
class BoxBatch:
    """Examples stacked: (B, S, S, 3) uint8 pictures, `BoxFields` with the batch first, and what is
    to be found in each, input pixels."""

    image: Image
    fields: BoxFields
    truths: tuple[tuple[Truth, ...], ...]


def box_fields(truths: Sequence[Truth], size: int) -> BoxFields:
    """The fields of a picture of size x size pixels with these objects."""
    cells = size // STRIDE
    y, x = np.mgrid[:cells, :cells]
    middles = ((np.stack([x, y], axis=-1) + 0.5) * STRIDE).astype(np.float32)
    heat, silhouette = np.zeros((2, cells, cells), dtype=np.float32)
    judged, scale = np.ones((2, cells, cells), dtype=np.float32)
    offsets, weight = np.zeros((2, cells, cells, 2 * KEYPOINTS), dtype=np.float32)
    claimed = np.zeros((cells, cells), dtype=np.float32)
    for truth in truths:
        inside = _hull(truth, cells)
        if not is_taught(truth, size):
            judged[inside > 0] = 0
            continue
        silhouette = np.maximum(silhouette, inside)
        here = _peak(truth, middles)
        heat = np.maximum(heat, here)
        away = truth.keypoints - middles[..., None, :]
        counts = np.maximum(here, ANYWHERE * inside)[..., None]
        counts = np.maximum(counts, _around(truth, away))
        claim = counts.max(axis=-1)
        mine = claim > claimed
        claimed = np.maximum(claimed, claim)
        offsets[mine] = away.reshape(cells, cells, -1)[mine]
        known = np.repeat(counts * (counts >= ANYWHERE) * truth.weight, 2, axis=-1)
        weight[mine] = known[mine]
        scale[mine] = _side(truth)
    judged[heat > 0.05] = 1  # beside a middle that is taught
    return BoxFields(heat, judged, offsets, weight, scale, silhouette)


def is_taught(truth: Truth, size: int) -> bool:
    """Whether a picture shows enough of an object: its middle, and not from too far away."""
    middle = truth.keypoints[0]
    whole = bool((truth.weight > 0).all())
    return (
        whole
        and bool((middle > 0).all() and (middle < size).all())
        and (truth.box[2] >= LEAST_SIDE * size)
    )


def _side(truth: Truth) -> float:
    low, high = truth.keypoints.min(axis=0), truth.keypoints.max(axis=0)
    return math.sqrt(max(float((high - low).prod()), 1.0))


def _peak(truth: Truth, middles: Floats) -> Floats:
    spread = max(SPREAD * _side(truth), LEAST_SPREAD * STRIDE)
    away = ((middles - truth.keypoints[0]) ** 2).sum(axis=-1)
    peak: Floats = np.exp(-away / (2 * spread**2)).astype(np.float32)
    peak[np.unravel_index(away.argmin(), away.shape)] = 1.0
    return peak


def _around(truth: Truth, away: Floats) -> Floats:
    """(h, w, 9) 1 where each keypoint is, falling off around it; `away` (h, w, 9, 2)."""
    spread = max(NEAR * _side(truth), LEAST_NEAR * STRIDE)
    return np.asarray(np.exp(-(away**2).sum(axis=-1) / (2 * spread**2)), dtype=np.float32)


def _hull(truth: Truth, cells: int) -> Floats:
    mask = np.zeros((cells, cells), dtype=np.float32)
    points = np.clip(truth.keypoints / STRIDE - 0.5, -1e4, 1e4).astype(np.float32)
    cv2.fillConvexPoly(mask, np.rint(cv2.convexHull(points)).astype(np.int32), 1.0)
    return mask


def stacked_boxes(crops: Sequence[Image], truths: Sequence[tuple[Truth, ...]]) -> BoxBatch:
    """A batch of pictures."""
    size = crops[0].shape[0]
    rows = [box_fields(here, size) for here in truths]
    fields = BoxFields(
        **{name: np.stack([getattr(row, name) for row in rows])
           for name in BoxFields.__dataclass_fields__}
    )  # fmt: skip
    kept = tuple(tuple(t for t in here if is_taught(t, size)) for here in truths)
    return BoxBatch(np.stack(crops), fields, kept)


class BoxBatches(Ahead[BoxBatch]):
    """Training batches from a given step on."""

    def __init__(
        self,
        scenes: Sequence[Scene],
        pictures: ScenePictures,
        batch: int,
        seed: int,
        first_step: int | range = 0,
    ) -> None:
        self._scenes, self._pictures = scenes, pictures
        self._topology = topology(BoxNetwork.topology_id)
        self._batch, self._seed = batch, seed
        self._places = ShuffledPlaces(len(scenes), seed)
        super().__init__(first_step)

    def at(self, step: int) -> BoxBatch:
        """The batch of that step: the same whenever it is asked for."""
        crops, found = [], []
        for place in range(step * self._batch, (step + 1) * self._batch):
            scene = self._scenes[self._places.at(place)]
            rng = chance(self._seed, EXAMPLES, place)
            crop, truths = training_scene(
                *self._pictures.of(scene), scene.subjects, self._topology,
                BoxNetwork.input_size, rng, SHARES,
            )  # fmt: skip
            crops.append(crop)
            found.append(truths)
        return stacked_boxes(crops, found)


def validation_boxes(
    scenes: Sequence[Scene], pictures: ScenePictures, limit: int, batch: int = 16
) -> list[BoxBatch]:
    """At most `limit` whole pictures, evenly chosen; the same for every training."""
    count, size = min(limit, len(scenes)), BoxNetwork.input_size
    chosen = [scenes[i * len(scenes) // count] for i in range(count)]
    made = [validation_scene(*pictures.of(s), s.subjects, size) for s in chosen]
    return [
        stacked_boxes([crop for crop, _ in part], [truths for _, truths in part])
        for part in (made[i : i + batch] for i in range(0, count, batch))
    ]


def found_shapes(
    logits: NDArray[np.float32], offsets: NDArray[np.float32], min_score: float
) -> list[tuple[float, Floats]]:
    """(score, (9, 2) input pixels) of what one picture's answers hold, the best first.

    Args:
        logits: (1, h, w).
        offsets: (18, h, w) input pixels.
        min_score: of a peak.
    """
    boxes = found_boxes(logits[0], offsets.transpose(1, 2, 0), STRIDE, min_score)
    return [(one.score, one.keypoints) for one in boxes]
