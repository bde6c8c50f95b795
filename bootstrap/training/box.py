"""How the box network is taught: its losses, its errors."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from bootstrap.cuboid_metrics import average_precision
from bootstrap.dataset.contact_sheet import lay_out
from bootstrap.dataset.drawing import View, draw_tile
from bootstrap.metrics import Estimate, bootstrap_mean
from bootstrap.networks import BoxNetwork, Network
from bootstrap.networks.box import UNIT_PX
from bootstrap.training.ahead import Ahead
from bootstrap.training.anchors import Truth
from bootstrap.training.batches import memory_budget_bytes
from bootstrap.training.box_scenes import (
    BoxBatch,
    BoxBatches,
    found_shapes,
    validation_boxes,
)
from bootstrap.training.cutouts import ScenePictures, scenes_of
from bootstrap.training.devices import device_of
from bootstrap.training.subjects import Floats, TrainingData
from bootstrap.worst import PREDICTED, TRUTH, draw_shape
from runtime.card import CardMetric
from runtime.errors import ViewfinderError
from runtime.solutions.objectron_single import LEAST_SCORE
from runtime.solutions.objectron_single import MIN_SCORE as FOUND_SCORE
from runtime.topology import topology

OFFSET_WEIGHT, SILHOUETTE_WEIGHT = 5.0, 0.3
HUBER = 0.02
"""Of an object's size: errors below it are squared."""
FOCAL, NEARBY = 2.0, 4.0
"""Exponents of the centres' loss (CornerNet, arXiv 1808.01244): cells that are easily right hardly
count, nor do those beside a middle."""
FOUND_SHARE = 0.35
"""A found box is an object's when its keypoints lie nearer than this, in sizes of the object."""
_TILE, _COLUMNS = 240, 4


class BoxTeaching:
    """Whole pictures to boxes; errors in sizes of the object."""

    def __init__(self, data: TrainingData) -> None:
        self._data = data
        self._train = scenes_of(data.train + data.negatives, data, BoxNetwork.topology_id)
        if not any(scene.subjects for scene in self._train):
            raise ViewfinderError(
                "no picture to train on has all its boxes labelled whole",
                file=", ".join(str(dataset.root) for dataset in data.datasets),
            )
        self._val = scenes_of(data.val, data, BoxNetwork.topology_id)
        self._pictures = ScenePictures(
            data.datasets, memory_budget_bytes(), topology(BoxNetwork.topology_id)
        )

    def new_network(self, seed: int) -> Network:
        """A network that finds nothing."""
        torch.manual_seed(seed)
        return BoxNetwork()

    def batches(self, batch: int, seed: int, first_step: int | range) -> Ahead[BoxBatch]:
        """Parts of every picture."""
        return BoxBatches(self._train, self._pictures, batch, seed, first_step)

    def validation(self, limit: int) -> list[BoxBatch]:
        """Whole pictures of the val split."""
        return validation_boxes(self._val, self._pictures, limit) if self._val else []

    def losses(self, network: BoxNetwork, batch: BoxBatch) -> dict[str, Tensor]:
        """See `box_losses`."""
        return box_losses(network(as_input(batch.image, network)), batch)

    def errors(self, network: BoxNetwork, batches: Sequence[BoxBatch]) -> Tensor:
        """(n,) of each object; 1 for what is missed or nobody's."""
        return torch.from_numpy(box_errors(network, batches)[0])

    def judged(
        self, network: BoxNetwork, batches: Sequence[BoxBatch]
    ) -> tuple[Estimate, list[CardMetric]]:
        """The error, and average precision of keypoints within `FOUND_SHARE`."""
        errors, pictures = box_errors(network, batches)
        estimate = bootstrap_mean(errors, pictures, np.random.default_rng(0))
        scores: list[float] = []
        hits: list[bool] = []
        positives = 0
        for batch in batches:
            for found, truths in zip(answers(network, batch, LEAST_SCORE), batch.truths):
                matched = dict(matches(found, truths))
                positives += len(truths)
                scores += [score for score, _ in found]
                hits += [i in matched for i in range(len(found))]
        precision = average_precision(scores, hits, positives) if scores else 0.0
        names = ", ".join(dataset.info.name for dataset in self._data.datasets) + " (val)"
        return estimate, [
            CardMetric(names, "keypoint error with misses and false alarms", estimate.mean,
                       estimate.interval),
            CardMetric(names, f"average precision, keypoints within {FOUND_SHARE:g}", precision),
        ]  # fmt: skip

    def worst(self, network: BoxNetwork, batches: Sequence[BoxBatch]) -> NDArray[np.uint8]:
        """(H, W, 3) uint8 RGB: true boxes in green, found ones in magenta, the worst first."""
        shape = topology(BoxNetwork.topology_id)
        rows = []
        for batch in batches:
            for picture, found, truths in zip(
                batch.image, answers(network, batch, FOUND_SCORE), batch.truths
            ):
                off = _errors(found, truths)
                rows.append((float(np.mean(off)) if off else 0.0, picture, found, truths))
        rows.sort(key=lambda row: -row[0])
        tiles, captions = [], []
        for error, picture, found, truths in rows[:12]:
            view = View(0.0, 0.0, _TILE / picture.shape[0])
            tile = draw_tile(picture, view, _TILE)
            for truth in truths:
                draw_shape(tile, truth.keypoints, shape, view, TRUTH)
            for _, points in found:
                draw_shape(tile, points, shape, view, PREDICTED)
            tiles.append(tile)
            captions.append(f"{100 * error:.0f} %")
        title = f"worst {len(tiles)} of {len(rows)} validation pictures"
        return lay_out(tiles, captions, title, (("label", TRUTH), ("network", PREDICTED)), _COLUMNS)


def as_input(image: NDArray[np.uint8], network: BoxNetwork) -> Tensor:
    """(B, S, S, 3) uint8 as the network takes it: (B, 3, S, S), 0..1, channels last in memory."""
    picture = torch.from_numpy(image).to(device_of(network))
    return picture.permute(0, 3, 1, 2).float().div_(255.0)


def box_losses(outputs: dict[str, Tensor], batch: BoxBatch) -> dict[str, Tensor]:
    """Each part of the loss, unweighted, and their weighted sum as "loss"."""
    fields = batch.fields
    logits = outputs["centres"][:, 0]
    heat, judged, wanted, weight, scale, shown = (
        torch.from_numpy(one).to(logits.device)
        for one in (fields.heat, fields.judged, fields.offsets, fields.weight, fields.scale,
                    fields.silhouette)
    )  # fmt: skip
    objects = max(1.0, float((fields.heat == 1).sum()))
    wrong = torch.where(heat == 1, torch.sigmoid(-logits), torch.sigmoid(logits))
    cross = torch.where(heat == 1, F.softplus(-logits), (1 - heat) ** NEARBY * F.softplus(logits))
    centres = (judged * wrong**FOCAL * cross).sum() / objects
    found = outputs["offsets"].permute(0, 2, 3, 1) * UNIT_PX
    error = (found - wanted) / scale[..., None]
    huber = F.huber_loss(error, torch.zeros_like(error), reduction="none", delta=HUBER) / HUBER
    offsets = (huber * weight).sum() / weight.sum().clamp(min=1.0)
    silhouette = F.binary_cross_entropy_with_logits(
        outputs["silhouette"][:, 0], shown, weight=judged
    )
    total = centres + OFFSET_WEIGHT * offsets + SILHOUETTE_WEIGHT * silhouette
    return {"centres": centres, "offsets": offsets, "silhouette": silhouette, "loss": total}


def answers(
    network: BoxNetwork, batch: BoxBatch, min_score: float
) -> list[list[tuple[float, Floats]]]:
    """What is found in each picture: score and (9, 2) input pixels, the best first."""
    network.eval()
    with torch.no_grad():
        outputs = network(as_input(batch.image, network))
    centres, offsets = outputs["centres"].numpy(), (outputs["offsets"] * UNIT_PX).numpy()
    return [found_shapes(c, o, min_score) for c, o in zip(centres, offsets)]


def matches(
    found: Sequence[tuple[float, Floats]], truths: Sequence[Truth]
) -> list[tuple[int, int]]:
    """(found, object) that belong together, the best first, each object once."""
    free, result = set(range(len(truths))), []
    for i, (_, points) in enumerate(found):
        best = min(free, key=lambda t: keypoint_error(points, truths[t]), default=None)
        if best is not None and keypoint_error(points, truths[best]) < FOUND_SHARE:
            free.discard(best)
            result.append((i, best))
    return result


def keypoint_error(points: Floats, truth: Truth) -> float:
    """Mean distance of the keypoints over the diagonal of the rectangle around the true ones."""
    diagonal = float(np.linalg.norm(np.ptp(truth.keypoints, axis=0)))
    return float(np.linalg.norm(points - truth.keypoints, axis=1).mean()) / max(diagonal, 1.0)


def _errors(found: Sequence[tuple[float, Floats]], truths: Sequence[Truth]) -> list[float]:
    matched = matches(found, truths)
    here = [keypoint_error(found[i][1], truths[t]) for i, t in matched]
    return here + [1.0] * (len(truths) + len(found) - 2 * len(matched))


def box_errors(network: BoxNetwork, batches: Sequence[BoxBatch]) -> tuple[Floats, list[str]]:
    """How well a network does on whole pictures.

    Returns:
        (n,) for each object its keypoints' error, 1 where it is missed, and 1 for each found box
        that is nobody's. Then the picture of each.
    """
    errors: list[float] = []
    pictures: list[str] = []
    for number, batch in enumerate(batches):
        for place, (found, truths) in enumerate(
            zip(answers(network, batch, FOUND_SCORE), batch.truths)
        ):
            here = _errors(found, truths)
            errors += here
            pictures += [f"{number}/{place}"] * len(here)
    return np.array(errors, dtype=np.float32), pictures
