"""What a training minimises. A label that isn't there has exactly no gradient."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import Self

import torch
import torch.nn.functional as F
from torch import Tensor

from bootstrap.training.batches import Batch
from bootstrap.training.devices import CPU

WING_WIDTH = 0.10
WING_CURVATURE = 0.02
"""Wing loss (arXiv 1711.06753), in normalising lengths: logarithmic below the width, so that
errors of a few per cent still pull, linear above it."""
Z_WEIGHT = 0.5
CONTOUR_WEIGHT = 0.5
WORLD_WEIGHT = 0.5
MAP_WEIGHT = 0.5
MAP_SPREAD_CELLS = 1.2
"""Standard deviation of what a map should show around a keypoint."""
PRESENCE_WEIGHT = 0.3
HANDEDNESS_WEIGHT = 0.05
WORLD_UNIT_M = 0.09
"""An adult's palm size: brings metric errors to the scale of those in the crop."""


@dataclass(frozen=True)
class Target:
    """A batch as tensors; the picture is (B, 3, S, S) float 0..1, channels last in memory."""

    image: Tensor
    landmarks: Tensor
    weight: Tensor
    z_weight: Tensor
    normaliser: Tensor
    presence: Tensor
    world_m: Tensor
    world_weight: Tensor
    right: Tensor
    right_weight: Tensor
    drawn: Tensor
    drawn_weight: Tensor

    @classmethod
    def of(cls, batch: Batch, device: torch.device = CPU) -> Self:
        """The batch, converted."""
        values = {f.name: torch.from_numpy(getattr(batch, f.name)).to(device) for f in fields(cls)}
        # The strides of a permuted NHWC array are channels_last's own: nothing is copied.
        values["image"] = values["image"].permute(0, 3, 1, 2).float().div_(255.0)
        return cls(**values)


def wing(distance: Tensor) -> Tensor:
    """Wing loss of distances >= 0 in normalising lengths."""
    offset = WING_WIDTH * (1.0 - math.log1p(WING_WIDTH / WING_CURVATURE))
    return torch.where(
        distance < WING_WIDTH,
        WING_WIDTH * torch.log1p(distance / WING_CURVATURE),
        distance - offset,
    )


def losses(
    outputs: dict[str, Tensor], target: Target, world_unit_m: float = WORLD_UNIT_M
) -> dict[str, Tensor]:
    """Each part of the loss, unweighted, and their weighted sum as "loss".

    Args:
        outputs: of the network.
        target: of the same batch.
        world_unit_m: metres that count as much as a normalising length in the crop.
    """
    count = target.weight.shape[1]
    landmarks = outputs["landmarks"].reshape(-1, count, 3)
    error = (landmarks - target.landmarks).abs() / target.normaliser[:, None, None]
    parts = {
        "xy": weighted_mean(wing(error[..., :2]).sum(dim=-1), target.weight),
        "z": weighted_mean(wing(error[..., 2]), target.z_weight),
    }
    total = parts["xy"] + Z_WEIGHT * parts["z"]
    if "presence" in outputs:
        logits = outputs["presence"][:, 0]
        parts["presence"] = F.binary_cross_entropy_with_logits(logits, target.presence)
        total = total + PRESENCE_WEIGHT * parts["presence"]
    if "maps" in outputs:
        parts["maps"] = weighted_mean(
            map_surprise(outputs["maps"], target.landmarks), target.weight
        )
        total = total + MAP_WEIGHT * parts["maps"]
    if "contours" in outputs:
        drawn = outputs["contours"].reshape(target.drawn.shape)
        off = (drawn - target.drawn).abs() / target.normaliser[:, None, None]
        parts["contours"] = weighted_mean(wing(off).sum(dim=-1), target.drawn_weight)
        total = total + CONTOUR_WEIGHT * parts["contours"]
    if "world" in outputs:
        world = outputs["world"].reshape(-1, count, 3)
        distance = wing((world - target.world_m).abs() / world_unit_m).sum(dim=-1)
        parts["world"] = weighted_mean(distance, target.world_weight)
        total = total + WORLD_WEIGHT * parts["world"]
    if "handedness" in outputs:
        handed = F.binary_cross_entropy_with_logits(
            outputs["handedness"][:, 0], target.right, reduction="none"
        )
        parts["handedness"] = weighted_mean(handed, target.right_weight)
        total = total + HANDEDNESS_WEIGHT * parts["handedness"]
    parts["loss"] = total
    return parts


def map_surprise(maps: Tensor, landmarks: Tensor, origin: float = 0.5) -> Tensor:
    """(B, N) cross entropy in nats between what maps should show and what they do; 0 where a
    keypoint is outside of the crop.

    Args:
        maps: (B, N, h, w) logits; a map is their sigmoids over their sum.
        landmarks: (B, N, 2|3) crop-normalised.
        origin: the place within a cell, 0..1, that it stands for.
    """
    height, width = maps.shape[2:]
    x, y = landmarks[..., 0] * width - origin, landmarks[..., 1] * height - origin
    across = _bump(torch.arange(width, device=maps.device) - x[..., None])
    down = _bump(torch.arange(height, device=maps.device) - y[..., None])
    wanted = down[..., :, None] * across[..., None, :]
    shown = F.logsigmoid(maps) - torch.sigmoid(maps).sum(dim=(2, 3), keepdim=True).log()
    inside = (landmarks[..., :2] > 0) & (landmarks[..., :2] < 1)
    return -(wanted * shown).sum(dim=(2, 3)) * inside.all(dim=-1)


def _bump(cells: Tensor) -> Tensor:
    heights = torch.exp(-((cells / MAP_SPREAD_CELLS) ** 2) / 2)
    return heights / heights.sum(dim=-1, keepdim=True).clamp(min=1e-9)


def keypoint_errors(outputs: dict[str, Tensor], target: Target) -> Tensor:
    """(B,) mean 2D error of the labelled keypoints in normalising lengths."""
    count = target.weight.shape[1]
    landmarks = outputs["landmarks"].reshape(-1, count, 3)
    distance = (landmarks - target.landmarks)[..., :2].norm(dim=-1)
    labelled = (target.weight > 0).float()
    mean = (distance * labelled).sum(dim=1) / labelled.sum(dim=1).clamp(min=1)
    return mean / target.normaliser


def weighted_mean(values: Tensor, weight: Tensor) -> Tensor:
    """Sum of weighted values over how many there are."""
    # Over the batch's size, not over the sum of weights: one labelled sample among many without
    # must not count for all of them.
    return (values * weight).sum() / weight.numel()
