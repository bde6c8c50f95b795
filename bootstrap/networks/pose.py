"""The pose network: 33 + 2 keypoints, who is seen of them, presence, metric shape from a crop.

    3 x S^2        picture, 0 .. 1; S = 192 (lite, 76 MMAC) or 256 (full, 134 MMAC)
   24 x (S/2)^2    convolution 3x3, stride 2; 1 block
   32 x (S/4)^2    2 blocks ---------------------------- + -- 1 block -- fields -- heatmaps   35
   64 x (S/8)^2    3 blocks ---------------- + -- 1 block -- bilinear x 2  |    |- offsets    70
  128 x (S/16)^2   4 blocks ---- + -- 1 block -- bilinear x 2  |           |    '- silhouette  1
  256 x (S/32)^2   3 blocks -- bilinear x 2        |           |           |
    |                              |               |           |           |
 ===|============================= | ============= | ========= | ========= | == no gradient passes
    |                              |               |           |           |
    |                              |               |           '---- + -- 2 blocks, stride 2
    |                              |               '-- + -- 2 blocks, stride 2       64 x (S/8)^2
    '--------------------------- + -- 2 blocks, stride 2                             96 x (S/16)^2
   40 x (S/32)^2   pointwise, flattened: 1440 or 2560 features + where 35 heatmaps lie
    |-- 64 coefficients -- 35 x 3 keypoints in the crop
    |-- 64 coefficients -- 35 x 3 metric positions
    |-- 35 x 2: seen, and in the picture
    `-- presence

BlazePose (arXiv 2006.10204, its figure 3): an encoder and decoder that learn heatmaps and offsets,
and a tower that regresses keypoints from their features, whose gradient they don't see. After the
33 points come the two that say where the next picture's crop lies (`runtime.roi.body_roi`). What is
added is that the tower also reads each heatmap's mean, as the hand network does.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bootstrap.networks.blocks import BlazeBlock, ConvBN, ShapeHead, stage

SIZES = {"lite": 192, "full": 256}
POINTS = 35
"""The keypoints of pose33, the middle between the hips, the end of what body_roi measures."""
STRIDE = 4
"""Input pixels to a cell of the fields."""
COLD_LOGIT = -8.0
"""Of an untrained heatmap, see bootstrap.networks.hand."""
SPREAD = 4.0
READING_NOISE = 0.03
"""As in bootstrap.networks.hand."""


class PoseNetwork(nn.Module):
    """Crop to pose33@1 keypoints with visibility, presence, metric shape and fields."""

    name = "pose"
    topology_id = "pose33@1"
    peak_learning_rate = 4e-3
    across: Tensor
    down: Tensor

    def __init__(self, size: str = "lite") -> None:
        super().__init__()
        self.size, self.input_size = size, SIZES[size]
        self.to_quarter = nn.Sequential(
            ConvBN(3, 24, kernel=3, stride=2), BlazeBlock(24, 24), stage(24, 32, blocks=2)
        )
        self.to_eighth = stage(32, 64, blocks=3)
        self.to_sixteenth = stage(64, 128, blocks=4)
        self.to_thirty_second = stage(128, 256, blocks=3, kernel=5)
        self.up_to_sixteenth = _Up(256, 128, 96)
        self.up_to_eighth = _Up(96, 64, 64)
        self.up_to_quarter = _Up(64, 32, 32)
        self.fields = _Fields(32)
        self.tower = nn.ModuleList(
            [stage(32, 64, blocks=2), stage(64, 96, blocks=2), stage(96, 256, blocks=2)]
        )
        self.flat = nn.Sequential(ConvBN(256, 40), nn.Flatten())
        features = 40 * (self.input_size // 32) ** 2 + 2 * POINTS
        self.landmarks = ShapeHead(features, coefficients=64, keypoints=POINTS)
        self.world = ShapeHead(features, coefficients=64, keypoints=POINTS)
        self.seen = nn.Linear(features, 2 * POINTS)
        self.presence = nn.Linear(features, 1)
        cells = self.input_size // STRIDE
        # A heatmap's cell stands for its own upper left corner, as the runtime reads MediaPipe's.
        places = torch.arange(cells) / cells - 0.5
        self.register_buffer("across", places[None, None, None, :], persistent=False)
        self.register_buffer("down", places[None, None, :, None], persistent=False)

    def set_shapes(self, shapes: dict[str, tuple[Tensor, Tensor]]) -> None:
        """Start the heads from shape models (`ShapeHead.set_shape_model`), that of the keypoints
        with the shape that is likeliest for the places on the heatmaps."""
        for head in ("landmarks", "world"):
            getattr(self, head).set_shape_model(*shapes[head])
        mean, components = shapes["landmarks"]
        self.landmarks.read_places(mean, components, SPREAD, READING_NOISE)

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        """Keypoints of the body in each crop.

        Args:
            image: (B, 3, S, S) RGB, 0 .. 1.

        Returns:
            landmarks (B, 105): x, y, z of each of `POINTS`, crop-normalised (z has x's scale, is
            zero between the hips and grows away from the camera); seen (B, 70) logits that a point
            is in the picture and not hidden, and that it is in the picture, in turn; presence
            (B, 1) logit that a body is there; world (B, 105) metres from the middle between the
            hips, axes of the crop; and over cells of `STRIDE` pixels heatmaps (B, 35, h, w) logits,
            offsets (B, 70, h, w) x and y from a cell to each point in cells, silhouette
            (B, 1, h, w) logits.
        """
        quarter = self.to_quarter(image)
        eighth = self.to_eighth(quarter)
        sixteenth = self.to_sixteenth(eighth)
        coarsest = self.to_thirty_second(sixteenth)
        finer = self.up_to_sixteenth(coarsest, sixteenth)
        fine = self.up_to_eighth(finer, eighth)
        finest = self.up_to_quarter(fine, quarter)
        fields = self.fields(finest)

        features = finest.detach()
        for down, beside in zip(self.tower, (fine, finer, coarsest)):
            features = down(features) + beside.detach()
        features = torch.cat(
            [self.flat(features), self._places(fields["heatmaps"].detach())], dim=1
        )
        return {
            "landmarks": self.landmarks(features),
            "seen": self.seen(features),
            "presence": self.presence(features),
            "world": self.world(features),
            **fields,
        }

    def _places(self, maps: Tensor) -> Tensor:
        """(B, 70) all x, then all y, of the heatmaps' means."""
        heat, cells = torch.sigmoid(maps), maps.shape[-1]
        total = F.avg_pool2d(heat, cells).clamp(min=1e-6)
        x = F.avg_pool2d(heat * self.across, cells) / total
        y = F.avg_pool2d(heat * self.down, cells) / total
        return SPREAD * torch.cat([x, y], dim=1).flatten(1)


class _Up(nn.Module):
    """A step of the decoder: coarse features doubled, the encoder's added, one block."""

    def __init__(self, coarse: int, beside: int, outputs: int) -> None:
        super().__init__()
        self.coarse = ConvBN(coarse, outputs, relu=False)
        self.beside = ConvBN(beside, outputs, relu=False)
        self.mixed = BlazeBlock(outputs, outputs)

    def forward(self, coarse: Tensor, beside: Tensor) -> Tensor:
        doubled = F.interpolate(
            self.coarse(coarse), scale_factor=2.0, mode="bilinear", align_corners=False
        )
        mixed: Tensor = self.mixed(F.relu(doubled + self.beside(beside)))
        return mixed


class _Fields(nn.Module):
    """A pointwise convolution a field."""

    def __init__(self, width: int) -> None:
        super().__init__()
        channels = {"heatmaps": POINTS, "offsets": 2 * POINTS, "silhouette": 1}
        self.layers = nn.ModuleDict({name: nn.Conv2d(width, n, 1) for name, n in channels.items()})
        nn.init.constant_(self.field("heatmaps").bias, COLD_LOGIT)  # type: ignore[arg-type]

    def field(self, name: str) -> nn.Conv2d:
        layer = self.layers[name]
        assert isinstance(layer, nn.Conv2d)
        return layer

    def forward(self, features: Tensor) -> dict[str, Tensor]:
        return {name: layer(features) for name, layer in self.layers.items()}
