"""The hand network: 21 keypoints, presence, handedness, metric shape from a crop.

                  lite  full
    3 x 160^2                   picture, 0 .. 1
   w0 x 80^2        24    32    convolution 3x3, stride 2; 1 block
   w1 x 40^2        48    64    3 blocks
   w2 x 20^2        96   128    4 blocks ------------------- + -- 1 block -- 21 maps -- places
   w3 x 10^2       192   256    5 blocks ------ + -- 1 block -- bilinear x 2               |
   w4 x 5^2        288   384    3 blocks -- bilinear x 2                                   |
   40 x 5^2                     pointwise, flattened: 1000 features ---------------------- + 42
    |-- 48 coefficients -- 21 x 3 keypoints in the crop
    |-- 48 coefficients -- 21 x 3 metric positions
    |-- presence
    `-- handedness
                 65 MMAC  107 MMAC

Outputs are MediaPipe's hand model's (lite 146 MMAC, full 331). Full can start from a lite one,
which it contains (bootstrap.networks.growth). What is added to a plain regression is that it reads
where each keypoint lies off a map of its own: fingers bend in so many ways that features of the
whole crop alone take many times as many pictures to learn from.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bootstrap.networks.blocks import BlazeBlock, ConvBN, ShapeHead, stage
from bootstrap.networks.growth import RGB, grow

INPUT_SIZE = 160
WIDTHS = {"lite": (24, 48, 96, 192, 288), "full": (32, 64, 128, 256, 384)}
COLD_LOGIT = -8.0
"""Of an untrained map: far down the sigmoid, where it grows as the exponential does, so that a map
over its sum is a softmax that can't overflow and that LiteRT takes without a transpose."""
SPREAD = 4.0
"""Places on the maps, -0.5 .. 0.5, times this: features of unit variance, as the others are."""
READING_NOISE = 0.03
"""Crop widths by which a place on a map is trusted when the shape model starts."""


class HandNetwork(nn.Module):
    """Crop to hand21@1 keypoints, presence, handedness and metric shape."""

    name = "hand"
    topology_id = "hand21@1"
    peak_learning_rate = 4e-3
    across: Tensor
    down: Tensor

    def __init__(self, size: str = "lite") -> None:
        super().__init__()
        self.size, self.input_size = size, INPUT_SIZE
        w0, w1, w2, w3, w4 = WIDTHS[size]
        self.to_eighth = nn.Sequential(
            ConvBN(3, w0, kernel=3, stride=2),
            BlazeBlock(w0, w0),
            stage(w0, w1, blocks=3),
            stage(w1, w2, blocks=4),
        )
        self.to_sixteenth = stage(w2, w3, blocks=5)
        self.to_thirty_second = stage(w3, w4, blocks=3)
        self.flat = nn.Sequential(ConvBN(w4, 40), nn.Flatten())
        self.from_thirty_second = ConvBN(w4, 64, relu=False)
        self.beside_sixteenth = ConvBN(w3, 64, relu=False)
        self.beside_eighth = ConvBN(w2, 64, relu=False)
        self.mixed_sixteenth, self.mixed_eighth = BlazeBlock(64, 64), BlazeBlock(64, 64)
        self.maps = nn.Conv2d(64, 21, 1)
        nn.init.constant_(self.maps.bias, COLD_LOGIT)  # type: ignore[arg-type]
        features = 40 * (self.input_size // 32) ** 2 + 42
        self.landmarks = ShapeHead(features, coefficients=48, keypoints=21)
        self.world = ShapeHead(features, coefficients=48, keypoints=21)
        self.presence = nn.Linear(features, 1)
        self.handedness = nn.Linear(features, 1)
        cells = self.input_size // 8
        places = (torch.arange(cells) + 0.5) / cells - 0.5
        self.register_buffer("across", places[None, None, None, :], persistent=False)
        self.register_buffer("down", places[None, None, :, None], persistent=False)

    def set_shapes(self, shapes: dict[str, tuple[Tensor, Tensor]]) -> None:
        """Start the heads from shape models (`ShapeHead.set_shape_model`), that of the keypoints
        with the shape that is likeliest for the places on the maps."""
        for head in ("landmarks", "world"):
            getattr(self, head).set_shape_model(*shapes[head])
        mean, components = shapes["landmarks"]
        self.landmarks.read_places(mean, components, SPREAD, READING_NOISE)

    def grow_from(self, narrow: HandNetwork) -> None:
        """Start with what a narrower network has learnt, and with its answers."""
        eighth = grow(self.to_eighth, narrow.to_eighth, RGB)
        sixteenth = grow(self.to_sixteenth, narrow.to_sixteenth, eighth)
        coarsest = grow(self.to_thirty_second, narrow.to_thirty_second, sixteenth)
        grow(self.flat, narrow.flat, coarsest)
        grow(self.from_thirty_second, narrow.from_thirty_second, coarsest)
        grow(self.beside_sixteenth, narrow.beside_sixteenth, sixteenth)
        grow(self.beside_eighth, narrow.beside_eighth, eighth)
        for same in ("mixed_sixteenth", "mixed_eighth", "maps", "landmarks", "world",
                     "presence", "handedness"):  # fmt: skip
            getattr(self, same).load_state_dict(getattr(narrow, same).state_dict())

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        """Keypoints of the hand in each crop.

        Args:
            image: (B, 3, S, S) RGB, 0 .. 1.

        Returns:
            landmarks (B, 63): x, y, z of each keypoint, crop-normalised (z has x's scale, is zero
            at the wrist and grows away from the camera); presence (B, 1) logit that a hand is
            there; handedness (B, 1) logit that it is the person's right; world (B, 63) metres from
            the mean of the keypoints, axes of the crop (x right, y down, z forward); maps
            (B, 21, S / 8, S / 8) logits, over whose sigmoids' sum the places are means.
        """
        eighth = self.to_eighth(image)
        sixteenth = self.to_sixteenth(eighth)
        coarsest = self.to_thirty_second(sixteenth)
        finer = F.relu(
            _doubled(self.from_thirty_second(coarsest)) + self.beside_sixteenth(sixteenth)
        )
        finest = F.relu(_doubled(self.mixed_sixteenth(finer)) + self.beside_eighth(eighth))
        maps = self.maps(self.mixed_eighth(finest))
        features = torch.cat([self.flat(coarsest), self._places(maps)], dim=1)
        return {
            "landmarks": self.landmarks(features),
            "presence": self.presence(features),
            "handedness": self.handedness(features),
            "world": self.world(features),
            "maps": maps,
        }

    def _places(self, maps: Tensor) -> Tensor:
        """(B, 42) all x, then all y, of the maps' means."""
        heat, cells = torch.sigmoid(maps), maps.shape[-1]
        total = F.avg_pool2d(heat, cells).clamp(min=1e-6)
        x = F.avg_pool2d(heat * self.across, cells) / total
        y = F.avg_pool2d(heat * self.down, cells) / total
        return SPREAD * torch.cat([x, y], dim=1).flatten(1)


def _doubled(features: Tensor) -> Tensor:
    return F.interpolate(features, scale_factor=2, mode="bilinear", align_corners=False)
