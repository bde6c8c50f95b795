"""How the detectors are taught: their data, their losses, their errors."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bootstrap.cuboid_metrics import average_precision
from bootstrap.metrics import Estimate, bootstrap_mean
from bootstrap.networks import DETECTOR_NETWORKS, DetectorNetwork, Network
from bootstrap.training.ahead import Ahead
from bootstrap.training.batches import memory_budget_bytes
from bootstrap.training.collage import Supply
from bootstrap.training.cutouts import Scene, ScenePictures, other_scenes, scenes_of
from bootstrap.training.detector_losses import (
    FOUND_SCORE,
    LEAST_SCORE,
    detector_losses,
    keypoint_error,
    pairs,
    picture_tensor,
    scene_errors,
    to_judge,
)
from bootstrap.training.scenes import SceneBatch, SceneBatches, validation_scenes
from bootstrap.training.subjects import TrainingData
from bootstrap.training.worst_examples import worst_scenes
from runtime.card import CardMetric
from runtime.errors import ViewfinderError
from runtime.topology import topology


class DetectorTeaching:
    """Whole pictures to boxes with keypoints; errors in sides of the box."""

    def __init__(self, name: str, data: TrainingData, size: str = "lite") -> None:
        self._network, self._size = DETECTOR_NETWORKS[name], size
        self._data = data
        self._topology = topology(self._network.topology_id)
        self._train = scenes_of(data.train + data.negatives, data, self._topology.id)
        if not any(scene.subjects for scene in self._train):
            raise ViewfinderError(
                "no picture to train on has all its subjects labelled well enough for a box",
                file=", ".join(str(dataset.root) for dataset in data.datasets),
            )
        self._val = scenes_of(data.val, data, self._topology.id)
        empty = tuple(scene for scene in self._train if not scene.subjects)
        self._others = other_scenes(data, self._topology.id) + empty
        budget = memory_budget_bytes()
        self._pictures = ScenePictures(data.datasets, budget, self._topology)

    def new_network(self, seed: int) -> Network:
        """A network that finds nothing."""
        torch.manual_seed(seed)
        return self._network(self._size)

    def batches(self, batch: int, seed: int, first_step: int | range) -> Ahead[SceneBatch]:
        """Collages of every picture's subjects, and parts of pictures."""
        supply = self._supply(self._train)
        return SceneBatches(supply, self._network().layout, batch, seed, first_step)

    def validation(self, limit: int) -> list[SceneBatch]:
        """Whole pictures of the val split, and collages of them."""
        if not self._val:
            return []
        return validation_scenes(self._supply(self._val), self._network().layout, limit)

    def _supply(self, scenes: Sequence[Scene]) -> Supply:
        size = self._network.input_size
        return Supply(scenes, self._others, self._pictures, self._topology, size)

    def losses(self, network: DetectorNetwork, batch: SceneBatch) -> dict[str, Tensor]:
        """See bootstrap.training.detector_losses."""
        outputs = network(picture_tensor(batch.image, network))
        return detector_losses(outputs, batch, network.layout)

    def errors(self, network: DetectorNetwork, batches: Sequence[SceneBatch]) -> Tensor:
        """(n,) of each subject; 1 for what is missed or nobody's."""
        return torch.from_numpy(scene_errors(network, batches)[0])

    def judged(
        self, network: DetectorNetwork, batches: Sequence[SceneBatch]
    ) -> tuple[Estimate, list[CardMetric]]:
        """Error, average precision at an overlap of one half, recall, keypoints' error."""
        errors, pictures = scene_errors(network, batches)
        rng = np.random.default_rng(0)
        estimate = bootstrap_mean(errors, pictures, rng)
        scores, hits, keypoints, clusters = [], [], [], []
        positives = sure = 0
        network.eval()
        for number, batch in enumerate(batches):
            with torch.no_grad():
                outputs = network(picture_tensor(batch.image, network))
            for place, (found, truths) in enumerate(to_judge(outputs, network, batch, LEAST_SCORE)):
                matched = dict(pairs(found, truths, network.input_size))
                positives += len(truths)
                scores += [one.score for one in found]
                hits += [i in matched for i in range(len(found))]
                for i, k in matched.items():
                    keypoints.append(keypoint_error(found[i], truths[k], network.input_size))
                    clusters.append(f"{number}/{place}")
                    sure += found[i].score >= FOUND_SCORE
        off = bootstrap_mean(keypoints, clusters, rng)
        data = ", ".join(ds.info.name for ds in self._data.datasets) + " (val)"
        precision = average_precision(scores, hits, positives) if scores else 0.0
        metrics = [
            CardMetric(data, "average precision at IoU 0.5", precision),
            CardMetric(data, f"recall at score {FOUND_SCORE}", sure / max(1, positives)),
            CardMetric(
                data, "error with misses and false alarms", estimate.mean, estimate.interval
            ),
        ]
        if keypoints:
            metrics.append(
                CardMetric(data, "mean keypoint error / side of the box", off.mean, off.interval)
            )
        return estimate, metrics

    def worst(self, network: DetectorNetwork, batches: Sequence[SceneBatch]) -> NDArray[np.uint8]:
        """Pictures with true and found boxes."""
        return worst_scenes(network, batches)
