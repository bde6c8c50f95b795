"""What each kind of network is taught with: its data, its losses, what its error is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bootstrap.metrics import Estimate, bootstrap_mean
from bootstrap.networks import (
    DETECTOR_NETWORKS,
    LANDMARK_NETWORKS,
    BoxNetwork,
    IrisNetwork,
    LandmarkNetwork,
    Network,
    PoseNetwork,
)
from bootstrap.training.ahead import Ahead
from bootstrap.training.batches import (
    Batch,
    Batches,
    Pictures,
    evenly_chosen,
    memory_budget_bytes,
    shape_models,
    validation_batches,
)
from bootstrap.training.body_parts import body_parts
from bootstrap.training.cutouts import other_subjects
from bootstrap.training.devices import device_of
from bootstrap.training.losses import Target, keypoint_errors, losses
from bootstrap.training.subjects import Subject, TrainingData, with_keypoints_to_see
from bootstrap.training.worst_examples import worst_crops
from runtime.card import CardMetric
from runtime.topology import topology


class Teaching(Protocol):
    """How the loop sees a network: batches in, losses and errors out."""

    def new_network(self, seed: int) -> Network:
        """The network as a training from nothing starts."""

    def batches(self, batch: int, seed: int, first_step: int | range) -> Ahead[Any]:
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

    def __init__(
        self, name: str, data: TrainingData, size: str = "lite", alarms: Sequence[Subject] = ()
    ) -> None:
        self._alarms = alarms
        self._kind, self._size = LANDMARK_NETWORKS[name], size
        self._side = self._kind(size).input_size
        self._topology = topology(self._kind.topology_id)
        self._data = with_keypoints_to_see(data)
        self._pictures = Pictures(data.datasets, memory_budget_bytes())

    def new_network(self, seed: int) -> Network:
        """A network that answers with the data's mean shape."""
        torch.manual_seed(seed)
        network = self._kind(self._size)
        shapes = shape_models(self._data, self._topology, seed)
        network.set_shapes(
            {k: (torch.from_numpy(m), torch.from_numpy(c)) for k, (m, c) in shapes.items()}
        )
        return network

    def batches(self, batch: int, seed: int, first_step: int | range) -> Ahead[Any]:
        """Crops of every subject, and of what isn't one."""
        others = [make(self._data, self._topology.id) for make in (other_subjects, body_parts)]
        return Batches(
            self._data, self._pictures, self._topology, self._side, batch, seed, first_step, others,
            self._alarms,
        )  # fmt: skip

    def validation(self, limit: int) -> list[Any]:
        """Crops of the val split."""
        side = self._side
        return validation_batches(self._data.val, self._pictures, self._topology, side, limit)

    def losses(self, network: Any, batch: Any) -> dict[str, Tensor]:
        """See bootstrap.training.losses."""
        return landmark_losses(network, batch)

    def errors(self, network: Any, batches: Sequence[Any]) -> Tensor:
        """(n,) mean 2D error of each crop."""
        return validation_errors(network, batches)

    def judged(self, network: Any, batches: Sequence[Any]) -> tuple[Estimate, list[CardMetric]]:
        """The mean error over the crops."""
        errors = self.errors(network, batches)
        subjects = evenly_chosen(self._data.val, len(errors))
        clusters = [f"{number}/{sample}" for number, sample in (s.source for s in subjects)]
        estimate = bootstrap_mean(errors.numpy(), clusters, np.random.default_rng(0))
        metric = f"mean error / {self._topology.normaliser_name}"
        value = CardMetric(_names(self._data), metric, estimate.mean, estimate.interval)
        return estimate, [value]

    def worst(self, network: Any, batches: Sequence[Any]) -> NDArray[np.uint8]:
        """Crops with the labels and the network's keypoints."""
        return worst_crops(network, batches, self._topology)


def teaching_of(
    name: str, data: TrainingData, size: str = "lite", alarms: Sequence[Subject] = ()
) -> Teaching:
    """How the network of that name, and where it comes in sizes of that size, is taught.

    Args:
        name: of bootstrap.networks.NETWORKS.
        data: of the training.
        size: "lite" or "full".
        alarms: what a landmark network's detector is wrong about
            (bootstrap.training.false_alarms).
    """
    if name == BoxNetwork.name:
        from bootstrap.training.box import BoxTeaching

        return BoxTeaching(data)
    if name == IrisNetwork.name:
        from bootstrap.training.iris import IrisTeaching

        return IrisTeaching(data)
    if name == PoseNetwork.name:
        from bootstrap.training.pose import PoseTeaching

        return PoseTeaching(data, size)
    if name in DETECTOR_NETWORKS:
        from bootstrap.training.detector import DetectorTeaching

        return DetectorTeaching(name, data, size)
    return LandmarkTeaching(name, data, size, alarms)


def landmark_losses(network: LandmarkNetwork, batch: Batch) -> dict[str, Tensor]:
    """Each part of the loss of a batch of crops."""
    target = Target.of(batch, device_of(network))
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
