"""How the pose network is taught: crops of bodies to keypoints, fields and what is seen."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from bootstrap.body_alignment import aligned_topology
from bootstrap.metrics import Estimate
from bootstrap.networks.pose import PoseNetwork
from bootstrap.training.ahead import Ahead
from bootstrap.training.batches import memory_budget_bytes
from bootstrap.training.body_crops import BodyBatch, BodyBatches, BodyPictures, validation_bodies
from bootstrap.training.devices import device_of
from bootstrap.training.losses import (
    MAP_SPREAD_CELLS,
    MAP_WEIGHT,
    Target,
    losses,
    map_surprise,
    weighted_mean,
)
from bootstrap.training.subjects import TrainingData
from bootstrap.training.teaching import LandmarkTeaching
from runtime.card import CardMetric

HEAT_WEIGHT = 0.1
OFFSET_WEIGHT = 0.1
SILHOUETTE_WEIGHT = 0.5
SEEN_WEIGHT = 0.05
OFFSET_WITHIN_CELLS = 2.0
"""How near to a point a cell must be to tell how far it is."""
TORSO_M = 0.5
"""An adult's torso diagonal."""
BODY = slice(0, 33)
"""The keypoints, without those that align."""
CORRECT = 0.2
"""Part of the torso within which the paper calls a keypoint correct."""


@dataclass(frozen=True)
class BodyTarget(Target):
    """A batch of bodies as tensors."""

    visible: Tensor
    inside: Tensor
    told: Tensor
    silhouette: Tensor
    silhouette_weight: Tensor


class PoseTeaching(LandmarkTeaching):
    """Crops of bodies to keypoints; errors in torso diagonals."""

    def __init__(self, data: TrainingData, size: str = "lite") -> None:
        super().__init__(PoseNetwork.name, data, size)
        self._topology = aligned_topology()
        self._pictures = BodyPictures(data.datasets, memory_budget_bytes())

    def batches(self, batch: int, seed: int, first_step: int | range) -> Ahead[BodyBatch]:
        """Crops of every body, and of what isn't one."""
        return BodyBatches(self._data, self._pictures, self._side, batch, seed, first_step)

    def validation(self, limit: int) -> list[BodyBatch]:
        """Crops of the val split."""
        return validation_bodies(self._data.val, self._pictures, self._side, limit)

    def losses(self, network: PoseNetwork, batch: BodyBatch) -> dict[str, Tensor]:
        """See `pose_losses`."""
        target = BodyTarget.of(batch, device_of(network))
        return pose_losses(network(target.image), target)

    def errors(self, network: PoseNetwork, batches: Sequence[BodyBatch]) -> Tensor:
        """(n,) mean 2D error of each body's labelled keypoints in the picture."""
        return torch.cat([_mean_inside(*off) for off in _off(network, batches)])

    def judged(
        self, network: PoseNetwork, batches: Sequence[BodyBatch]
    ) -> tuple[Estimate, list[CardMetric]]:
        """The mean error over the crops, and the share of correct keypoints."""
        estimate, metrics = super().judged(network, batches)
        inside = torch.cat([labelled for _, labelled in _off(network, batches)]) > 0
        off = torch.cat([distance for distance, _ in _off(network, batches)])
        share = float((off[inside] < CORRECT).float().mean())
        named = f"keypoints within {CORRECT:g} of {self._topology.normaliser_name}"
        return estimate, [*metrics, CardMetric(metrics[0].data, named, share)]


def pose_losses(outputs: dict[str, Tensor], target: BodyTarget) -> dict[str, Tensor]:
    """Each part of the loss, unweighted, and their weighted sum as "loss".

    Args:
        outputs: of the network.
        target: of the same batch.
    """
    parts = losses(outputs, target, TORSO_M)
    heatmaps, weight = outputs["heatmaps"], target.weight
    parts["maps"] = weighted_mean(map_surprise(heatmaps, target.landmarks, origin=0.0), weight)
    across, down = _cells_to(target.landmarks, heatmaps.shape[-1])
    near = (across**2)[..., None, :] + (down**2)[..., :, None]
    wanted = torch.exp(-near / (2 * MAP_SPREAD_CELLS**2)) * target.inside[..., None, None]
    heat = F.binary_cross_entropy_with_logits(heatmaps, wanted, reduction="none").sum(dim=(2, 3))
    # In a crop without a body there is nothing hot.
    counted = torch.where(target.presence[:, None] > 0, (weight > 0).float(), 1.0)
    parts["heat"] = weighted_mean(heat / (2 * math.pi * MAP_SPREAD_CELLS**2), counted)
    told = (near < OFFSET_WITHIN_CELLS**2).float() * target.inside[..., None, None]
    parts["offsets"] = weighted_mean(_offset_error(outputs["offsets"], across, down, told), weight)
    seen = outputs["seen"].unflatten(1, (-1, 2))
    truth = torch.stack([target.visible, target.inside], dim=-1)
    surprise = F.binary_cross_entropy_with_logits(seen, truth, reduction="none").sum(dim=-1)
    parts["seen"] = weighted_mean(surprise, target.told)
    outline = F.binary_cross_entropy_with_logits(
        outputs["silhouette"][:, 0], target.silhouette, reduction="none"
    )
    parts["silhouette"] = weighted_mean(outline.mean(dim=(1, 2)), target.silhouette_weight)
    parts["loss"] = (
        parts["loss"]
        + MAP_WEIGHT * parts["maps"]
        + HEAT_WEIGHT * parts["heat"]
        + OFFSET_WEIGHT * parts["offsets"]
        + SEEN_WEIGHT * parts["seen"]
        + SILHOUETTE_WEIGHT * parts["silhouette"]
    )
    return parts


def _cells_to(landmarks: Tensor, cells: int) -> tuple[Tensor, Tensor]:
    """(B, N, w) how far right of each column every point lies, and (B, N, h) below each row."""
    places = torch.arange(cells, device=landmarks.device)
    x, y = (landmarks[..., axis, None] * cells - places for axis in (0, 1))
    return x, y


def _offset_error(offsets: Tensor, across: Tensor, down: Tensor, told: Tensor) -> Tensor:
    """(B, N) Huber error in cells, over as many cells as tell a point at most."""
    found = offsets.unflatten(1, (-1, 2))
    x = F.smooth_l1_loss(found[:, :, 0] * told, across[..., None, :] * told, reduction="none")
    y = F.smooth_l1_loss(found[:, :, 1] * told, down[..., :, None] * told, reduction="none")
    return (x + y).sum(dim=(2, 3)) / (math.pi * OFFSET_WITHIN_CELLS**2)


def _off(network: PoseNetwork, batches: Sequence[BodyBatch]) -> list[tuple[Tensor, Tensor]]:
    """Of each batch, (B, 33) distances in torso diagonals, and 1 where they count."""
    network.eval()
    rows = []
    with torch.no_grad():
        for target in map(BodyTarget.of, batches):
            found = network(target.image)["landmarks"].unflatten(1, (-1, 3))
            distance = (found - target.landmarks)[:, BODY, :2].norm(dim=-1)
            counts = target.told * target.inside
            rows.append((distance / target.normaliser[:, None], counts[:, BODY]))
    return rows


def _mean_inside(distance: Tensor, counts: Tensor) -> Tensor:
    mean: Tensor = (distance * counts).sum(dim=1) / counts.sum(dim=1).clamp(min=1)
    return mean
