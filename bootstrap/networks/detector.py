"""The detectors of faces and palms: SSD networks with MediaPipe's anchors (runtime.detection).

    3 x S^2      picture; S = 128 for faces, 192 for palms
    w0 x S/2     convolution 3x3, stride 2; 1 block
    w1 x S/4     2 blocks
    w2 x S/8     3 blocks ----------------- + --> 2 anchors a cell: box, keypoints, score
    w3 x S/16    3 blocks -------- + --> bilinear x 2
                                   |  \\--> 6 anchors a cell: box, keypoints, score
    w4 x S/32    3 blocks --> bilinear x 2

A decoder with skips, as in BlazePalm (arXiv 2006.10214): without it the fine grid sees too little
of the picture to tell a palm from a cheek. All anchors have the same size, that of the input, so
that any size of box can come from any of them (BlazeFace, arXiv 1907.05047).
Full networks are wider; they can start from lite ones, whose answers they then give at first
(bootstrap.networks.growth).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bootstrap.networks.blocks import BlazeBlock, ConvBN, stage
from bootstrap.networks.growth import RGB, grow
from runtime.detection import LAYOUTS

UNIT_PX = 32.0
"""Input pixels to one unit of the network's boxes: brings them to the order of one."""
RARE_LOGIT = -4.6
"""Of an untrained network's scores, a probability of 1 %: with some 1000 anchors to one that is
right, scores that begin at 50 % would drown the first steps (focal loss, arXiv 1708.02002)."""


class DetectorNetwork(nn.Module):
    """Whole pictures, letterboxed, to boxes with keypoints; the subclasses give the numbers."""

    name: str
    topology_id: str
    input_size: int
    input_range: tuple[float, float]
    keypoints: int
    widths: ClassVar[dict[str, tuple[int, int, int, int, int]]]

    def __init__(self, size: str = "lite") -> None:
        super().__init__()
        self.size = size
        w0, w1, w2, w3, w4 = self.widths[size]
        self.layout = next(
            one
            for one in LAYOUTS
            if (one.size, one.keypoints, len(one.layers)) == (self.input_size, self.keypoints, 2)
        )
        self.to_eighth = nn.Sequential(
            ConvBN(3, w0, kernel=3, stride=2),
            BlazeBlock(w0, w0),
            stage(w0, w1, blocks=2),
            stage(w1, w2, blocks=3),
        )
        self.to_sixteenth = stage(w2, w3, blocks=3)
        self.to_thirty_second = stage(w3, w4, blocks=3, kernel=5)
        self.from_thirty_second = ConvBN(w4, w3, relu=False)
        self.beside_sixteenth = ConvBN(w3, w3, relu=False)
        self.from_sixteenth = ConvBN(w3, w2, relu=False)
        self.beside_eighth = ConvBN(w2, w2, relu=False)
        self.mixed_sixteenth = BlazeBlock(w3, w3)
        self.mixed_eighth = BlazeBlock(w2, w2)
        values = 4 + 2 * self.keypoints
        counts = [per_cell for _, per_cell in self.layout.layers]
        self.boxes, self.scores = _Heads((w2, w3), counts, values), _Heads((w2, w3), counts, 1)

        for layer in self.scores.convolutions():
            assert layer.bias is not None
            nn.init.constant_(layer.bias, RARE_LOGIT)

    def grow_from(self, narrow: DetectorNetwork) -> None:
        """Start with what a narrower network has learnt, and with its answers."""
        eighth = grow(self.to_eighth, narrow.to_eighth, RGB)
        sixteenth = grow(self.to_sixteenth, narrow.to_sixteenth, eighth)
        coarsest = grow(self.to_thirty_second, narrow.to_thirty_second, sixteenth)
        mixed = grow(self.from_thirty_second, narrow.from_thirty_second, coarsest)
        grow(self.beside_sixteenth, narrow.beside_sixteenth, sixteenth)
        finest = grow(self.from_sixteenth, narrow.from_sixteenth, mixed)
        grow(self.beside_eighth, narrow.beside_eighth, eighth)
        grids = (
            grow(self.mixed_eighth, narrow.mixed_eighth, finest),
            grow(self.mixed_sixteenth, narrow.mixed_sixteenth, mixed),
        )
        for new, old in ((self.boxes, narrow.boxes), (self.scores, narrow.scores)):
            new.grow_from(old, grids)

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        """Boxes and scores of every anchor.

        Args:
            image: (B, 3, S, S) RGB, 0 .. 255 mapped to `input_range`.

        Returns:
            boxes (B, A, 4 + 2 K): centre x, y from the anchor, width, height, then each keypoint's
            x, y from the anchor, in units of `UNIT_PX`; scores (B, A, 1) logits. Anchors in the
            order of `SsdLayout.anchors`.
        """
        features = self.grids(image)
        return {"boxes": self.boxes(features), "scores": self.scores(features)}

    def grids(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """What the heads read: (B, w2, S/8, S/8) and (B, w3, S/16, S/16)."""
        eighth = self.to_eighth(image)
        sixteenth = self.to_sixteenth(eighth)
        coarsest = self.to_thirty_second(sixteenth)
        sixteenth = F.relu(
            self.beside_sixteenth(sixteenth) + _doubled(self.from_thirty_second(coarsest))
        )
        eighth = F.relu(self.beside_eighth(eighth) + _doubled(self.from_sixteenth(sixteenth)))
        return self.mixed_eighth(eighth), self.mixed_sixteenth(sixteenth)


class FaceDetectorNetwork(DetectorNetwork):
    """Faces: eyes, nose, mouth, ears; MediaPipe's short-range layout, 896 anchors."""

    name = "face-detector"
    topology_id = "face478@1"
    input_size = 128
    input_range = (-1.0, 1.0)
    keypoints = 6
    widths: ClassVar = {"lite": (24, 32, 48, 96, 96), "full": (32, 48, 72, 128, 128)}


class PalmDetectorNetwork(DetectorNetwork):
    """Palms: wrist, finger bases, thumb; MediaPipe's layout, 2016 anchors."""

    name = "palm-detector"
    topology_id = "hand21@1"
    input_size = 192
    input_range = (0.0, 1.0)
    keypoints = 7
    widths: ClassVar = {"lite": (24, 48, 96, 160, 192), "full": (32, 72, 144, 240, 288)}


class _Heads(nn.Module):
    """A pointwise convolution on each grid: so many values for each anchor of a cell."""

    def __init__(self, widths: Sequence[int], anchors: Sequence[int], values: int) -> None:
        super().__init__()
        self.values = values
        self.head = nn.ModuleList(
            nn.Conv2d(width, count * values, 1) for width, count in zip(widths, anchors)
        )
        for layer in self.convolutions():
            nn.init.normal_(layer.weight, std=0.01)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)

    def convolutions(self) -> list[nn.Conv2d]:
        return [layer for layer in self.head if isinstance(layer, nn.Conv2d)]

    @torch.no_grad()
    def grow_from(self, narrow: _Heads, grids: Sequence[Tensor]) -> None:
        """Read of each grid only the channels that are the narrower network's, and as it does."""
        for new, old, inputs in zip(self.convolutions(), narrow.convolutions(), grids):
            new.weight.zero_()
            new.weight[:, inputs] = old.weight
            assert new.bias is not None
            assert old.bias is not None
            new.bias.copy_(old.bias)

    def forward(self, grids: Sequence[Tensor]) -> Tensor:
        parts = [
            layer(grid).permute(0, 2, 3, 1).reshape(grid.shape[0], -1, self.values)
            for layer, grid in zip(self.convolutions(), grids)
        ]
        return torch.cat(parts, dim=1)


def _doubled(features: Tensor) -> Tensor:
    return F.interpolate(features, scale_factor=2.0, mode="bilinear", align_corners=False)
