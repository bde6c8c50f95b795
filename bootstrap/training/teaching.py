"""What each kind of network is taught with: its data, its losses, what its error is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bootstrap.cuboid_metrics import average_precision
from bootstrap.metrics import Estimate, bootstrap_mean
from bootstrap.networks import (
    DETECTOR_NETWORKS,
    LANDMARK_NETWORKS,
    BoxNetwork,
    DetectorNetwork,
    LandmarkNetwork,
    Network,
)
from bootstrap.training.ahead import Ahead
from bootstrap.training.batches import (
    Batch,
    Batches,
    Pictures,
    evenly_chosen,
    memory_budget_bytes,
    shape_model,
    validation_batches,
)
from bootstrap.training.detector_losses import (
    LEAST_SCORE,
    decoded,
    detector_losses,
    keypoint_error,
    pairs,
    picture_tensor,
    scene_errors,
)
from bootstrap.training.losses import Target, keypoint_errors, losses
from bootstrap.training.scenes import (
    SceneBatch,
    SceneBatches,
    ScenePictures,
    scenes_of,
    validation_scenes,
)
from bootstrap.training.subjects import TrainingData
from bootstrap.training.worst_examples import worst_crops, worst_scenes
from runtime.card import CardMetric
from runtime.errors import ViewfinderError
from runtime.topology import topology


class Teaching(Protocol):
    """How the loop sees a network: batches in, losses and errors out."""

    def new_network(self, seed: int) -> Network:
        """The network as a training from nothing starts."""

    def batches(self, batch: int, seed: int, first_step: int) -> Ahead[Any]:
        """Training batches from a step on."""

    def validation(self, limit: int) -> list[Any]:
        """Batches of at most `limit` crops or pictures of the val split."""

    def losses(self, network: Any, batch: Any) -> dict[str, Tensor]:
        """Each part of a batch's loss, and their weighted sum as "loss"."""

    def errors(self, network: Any, batches: Sequence[Any]) -> Tensor:
        """(n,) an error for each subject; 1 is as bad as not finding it."""

    def judged(self, network: Any, batches: Sequence[Any]) -> tuple[Estimate, list[CardMetric]]:
        """The error with its interval, and what the card should say."""

    def worst(self, network: Any, batches: Sequence[Any]) -> NDArray[np.uint8]:
        """(H, W, 3) uint8 RGB: the validation examples that it does worst on."""


class LandmarkTeaching:
    """Crops of subjects to keypoints; errors in normalising lengths."""

    def __init__(self, name: str, data: TrainingData) -> None:
        self._network = LANDMARK_NETWORKS[name]
        self._topology = topology(self._network.topology_id)
        self._data = data
        self._pictures = Pictures(data.datasets, memory_budget_bytes())

    def new_network(self, seed: int) -> Network:
        """A network that answers with the data's mean shape."""
        torch.manual_seed(seed)
        network = self._network()
        mean, components = shape_model(self._data, self._topology, seed)
        network.landmarks.set_shape_model(torch.from_numpy(mean), torch.from_numpy(components))
        return network

    def batches(self, batch: int, seed: int, first_step: int) -> Ahead[Batch]:
        """Crops of every subject and negative."""
        size = self._network.input_size
        return Batches(self._data, self._pictures, self._topology, size, batch, seed, first_step)

    def validation(self, limit: int) -> list[Batch]:
        """Crops of the val split."""
        size = self._network.input_size
        return validation_batches(self._data.val, self._pictures, self._topology, size, limit)

    def losses(self, network: LandmarkNetwork, batch: Batch) -> dict[str, Tensor]:
        """See bootstrap.training.losses."""
        return landmark_losses(network, batch)

    def errors(self, network: LandmarkNetwork, batches: Sequence[Batch]) -> Tensor:
        """(n,) mean 2D error of each crop."""
        return validation_errors(network, batches)

    def judged(
        self, network: LandmarkNetwork, batches: Sequence[Batch]
    ) -> tuple[Estimate, list[CardMetric]]:
        """The mean error over the crops."""
        errors = validation_errors(network, batches)
        subjects = evenly_chosen(self._data.val, len(errors))
        clusters = [f"{number}/{sample}" for number, sample in (s.source for s in subjects)]
        estimate = bootstrap_mean(errors.numpy(), clusters, np.random.default_rng(0))
        metric = f"mean error / {self._topology.normaliser_name}"
        value = CardMetric(_names(self._data), metric, estimate.mean, estimate.interval)
        return estimate, [value]

    def worst(self, network: LandmarkNetwork, batches: Sequence[Batch]) -> NDArray[np.uint8]:
        """Crops with the labels and the network's keypoints."""
        return worst_crops(network, batches, self._topology)


class DetectorTeaching:
    """Whole pictures to boxes with keypoints; errors in sides of the box."""

    def __init__(self, name: str, data: TrainingData) -> None:
        self._network = DETECTOR_NETWORKS[name]
        self._data = data
        self._train = scenes_of(data.train + data.negatives, data)
        if not any(scene.subjects for scene in self._train):
            raise ViewfinderError(
                "no picture to train on has all its subjects labelled well enough for a box",
                file=", ".join(str(dataset.root) for dataset in data.datasets),
            )
        self._val = scenes_of(data.val, data)
        self._pictures = ScenePictures(data.datasets, memory_budget_bytes())

    def new_network(self, seed: int) -> Network:
        """A network that finds nothing."""
        torch.manual_seed(seed)
        return self._network()

    def batches(self, batch: int, seed: int, first_step: int) -> Ahead[SceneBatch]:
        """Parts of every picture."""
        network = self._network()
        shape = topology(network.topology_id)
        return SceneBatches(self._train, self._pictures, network, shape, batch, seed, first_step)

    def validation(self, limit: int) -> list[SceneBatch]:
        """Whole pictures of the val split."""
        if not self._val:
            return []
        return validation_scenes(self._val, self._pictures, self._network().layout, limit)

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
        """Error, average precision at an overlap of one half, keypoint error of what is found."""
        errors, pictures = scene_errors(network, batches)
        rng = np.random.default_rng(0)
        estimate = bootstrap_mean(errors, pictures, rng)
        scores, hits, keypoints, clusters = [], [], [], []
        positives = 0
        network.eval()
        for number, batch in enumerate(batches):
            with torch.no_grad():
                outputs = network(picture_tensor(batch.image, network))
            everything = decoded(outputs, network.layout, LEAST_SCORE)
            for place, (found, truths) in enumerate(zip(everything, batch.truths)):
                matched = dict(pairs(found, truths, network.input_size))
                positives += len(truths)
                scores += [one.score for one in found]
                hits += [i in matched for i in range(len(found))]
                for i, k in matched.items():
                    keypoints.append(keypoint_error(found[i], truths[k], network.input_size))
                    clusters.append(f"{number}/{place}")
        off = bootstrap_mean(keypoints, clusters, rng)
        data = _names(self._data)
        precision = average_precision(scores, hits, positives) if scores else 0.0
        metrics = [
            CardMetric(data, "average precision at IoU 0.5", precision),
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


def teaching_of(name: str, data: TrainingData) -> Teaching:
    """How the network of that name is taught with some data."""
    if name == BoxNetwork.name:
        from bootstrap.training.box import BoxTeaching

        return BoxTeaching(data)
    return (DetectorTeaching if name in DETECTOR_NETWORKS else LandmarkTeaching)(name, data)


def landmark_losses(network: LandmarkNetwork, batch: Batch) -> dict[str, Tensor]:
    """Each part of the loss of a batch of crops."""
    target = Target.of(batch)
    return losses(network(target.image), target)


def validation_errors(network: LandmarkNetwork, batches: Sequence[Batch]) -> Tensor:
    """(n,) mean 2D error of each validation crop, over the normalising length."""
    network.eval()
    with torch.no_grad():
        made = [Target.of(batch) for batch in batches]
        errors = [keypoint_errors(network(target.image), target) for target in made]
    return torch.cat(errors)


def _names(data: TrainingData) -> str:
    return ", ".join(dataset.info.name for dataset in data.datasets) + " (val)"
