"""Boxes in space in one stage: a heatmap of objects' middles, fields that lead from every cell to
the nine keypoints, and objects' silhouettes.

    3 x S^2      picture; S = 160
    24 x S/2     convolution 3x3, stride 2; 1 block
    40 x S/4     2 blocks
    64 x S/8     3 blocks --------------------- + --> block --> centres     1 x S/8
    128 x S/16   4 blocks ---------- + --> bilinear x 2   |-->  offsets    18 x S/8
    256 x S/32   4 blocks --> bilinear x 2                '-->  silhouette  1 x S/8

How a box is turned shows only to what sees the whole of it: most of the weights are where an object
is a few cells large, and cost a seventh of the time.

The shape of Objectron's first models (MobilePose, arXiv 2003.03522): an encoder, a decoder with
skips, and heads at one resolution. The silhouette only teaches: what it asks for, the heatmap
needs, and with one label a picture the heatmap alone learns slowly.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from bootstrap.networks.blocks import BlazeBlock, ConvBN, stage
from runtime.box_fields import KEYPOINTS

UNIT_PX = 32.0
"""Input pixels to one unit of the network's offsets: brings them to the order of one."""
STRIDE = 8
RARE_LOGIT = -4.0
"""Of an untrained network's centres: 2 % (focal loss, arXiv 1708.02002)."""


class BoxNetwork(nn.Module):
    """Whole pictures, letterboxed, to boxes."""

    name = "box"
    topology_id = "cuboid9@1"
    input_size = 160

    def __init__(self) -> None:
        super().__init__()
        self.to_eighth = nn.Sequential(
            ConvBN(3, 24, kernel=3, stride=2),
            BlazeBlock(24, 24),
            stage(24, 40, blocks=2),
            stage(40, 64, blocks=3),
        )
        self.to_sixteenth = stage(64, 128, blocks=4)
        self.to_thirty_second = stage(128, 256, blocks=4, kernel=5)
        self.from_thirty_second = ConvBN(256, 128, relu=False)
        self.beside_sixteenth = ConvBN(128, 128, relu=False)
        self.from_sixteenth = ConvBN(128, 96, relu=False)
        self.beside_eighth = ConvBN(64, 96, relu=False)
        self.mixed = nn.Sequential(BlazeBlock(96, 96, kernel=5), BlazeBlock(96, 96))
        self.fields = _Fields(96)

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        """The three fields.

        Args:
            image: (B, 3, S, S) RGB, 0..1.

        Returns:
            centres (B, 1, S/8, S/8) logits; offsets (B, 18, S/8, S/8), x and y of each keypoint
            from the cell's middle in units of `UNIT_PX`; silhouette (B, 1, S/8, S/8) logits.
        """
        eighth = self.to_eighth(image)
        sixteenth = self.to_sixteenth(eighth)
        coarsest = self.to_thirty_second(sixteenth)
        sixteenth = F.relu(
            self.beside_sixteenth(sixteenth) + _doubled(self.from_thirty_second(coarsest))
        )
        eighth = F.relu(self.beside_eighth(eighth) + _doubled(self.from_sixteenth(sixteenth)))
        fields: dict[str, Tensor] = self.fields(self.mixed(eighth))
        return fields


class _Fields(nn.Module):
    """A pointwise convolution a field."""

    def __init__(self, width: int) -> None:
        super().__init__()
        channels = {"centres": 1, "offsets": 2 * KEYPOINTS, "silhouette": 1}
        self.head = nn.ModuleDict({name: nn.Conv2d(width, n, 1) for name, n in channels.items()})
        for name in channels:
            layer = self.field(name)
            assert layer.bias is not None
            nn.init.normal_(layer.weight, std=0.01)
            nn.init.constant_(layer.bias, RARE_LOGIT if name == "centres" else 0.0)

    def field(self, name: str) -> nn.Conv2d:
        layer = self.head[name]
        assert isinstance(layer, nn.Conv2d)
        return layer

    def forward(self, features: Tensor) -> dict[str, Tensor]:
        return {name: layer(features) for name, layer in self.head.items()}


def _doubled(features: Tensor) -> Tensor:
    doubled: Tensor = F.interpolate(
        features, scale_factor=2.0, mode="bilinear", align_corners=False
    )
    return doubled
