"""What a training minimises. A label that isn't there has exactly no gradient."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from bootstrap.training.batches import Batch

WING_WIDTH = 0.10
WING_CURVATURE = 0.02
"""Wing loss (arXiv 1711.06753), in normalising lengths: logarithmic below the width, so that
errors of a few per cent still pull, linear above it."""
Z_WEIGHT = 0.5
WORLD_WEIGHT = 0.5
PRESENCE_WEIGHT = 0.05
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

    @classmethod
    def of(cls, batch: Batch) -> Target:
        """The batch, converted."""
        values = {name: torch.from_numpy(value) for name, value in vars(batch).items()}
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


def losses(outputs: dict[str, Tensor], target: Target) -> dict[str, Tensor]:
    """Each part of the loss, unweighted, and their weighted sum as "loss".

    Args:
        outputs: of the network.
        target: of the same batch.
    """
    count = target.weight.shape[1]
    landmarks = outputs["landmarks"].reshape(-1, count, 3)
    error = (landmarks - target.landmarks).abs() / target.normaliser[:, None, None]
    parts = {
        "xy": _mean(wing(error[..., :2]).sum(dim=-1), target.weight),
        "z": _mean(wing(error[..., 2]), target.z_weight),
        "presence": F.binary_cross_entropy_with_logits(outputs["presence"][:, 0], target.presence),
    }
    total = parts["xy"] + Z_WEIGHT * parts["z"] + PRESENCE_WEIGHT * parts["presence"]
    if "world" in outputs:
        world = outputs["world"].reshape(-1, count, 3)
        distance = wing((world - target.world_m).abs() / WORLD_UNIT_M).sum(dim=-1)
        parts["world"] = _mean(distance, target.world_weight)
        handed = F.binary_cross_entropy_with_logits(
            outputs["handedness"][:, 0], target.right, reduction="none"
        )
        parts["handedness"] = _mean(handed, target.right_weight)
        total = total + WORLD_WEIGHT * parts["world"] + HANDEDNESS_WEIGHT * parts["handedness"]
    parts["loss"] = total
    return parts


def keypoint_errors(outputs: dict[str, Tensor], target: Target) -> Tensor:
    """(B,) mean 2D error of the labelled keypoints in normalising lengths."""
    count = target.weight.shape[1]
    landmarks = outputs["landmarks"].reshape(-1, count, 3)
    distance = (landmarks - target.landmarks)[..., :2].norm(dim=-1)
    labelled = (target.weight > 0).float()
    mean = (distance * labelled).sum(dim=1) / labelled.sum(dim=1).clamp(min=1)
    return mean / target.normaliser


def _mean(values: Tensor, weight: Tensor) -> Tensor:
    # Over the batch's size, not over the sum of weights: one labelled sample among many without
    # must not count for all of them.
    return (values * weight).sum() / weight.numel()
