"""The hand network: 21 keypoints, presence, handedness, metric shape from a 224 x 224 crop.

    3 x 224^2   picture, 0 .. 1
   24 x 112^2   convolution 3x3, stride 2; 1 block
   48 x  56^2   3 blocks
   96 x  28^2   4 blocks
  192 x  14^2   5 blocks
  288 x   7^2   3 blocks
   40 x   7^2   pointwise, flattened: 1960 features
    |-- 48 coefficients -- 21 x 3 keypoints in the crop
    |-- 48 coefficients -- 21 x 3 metric positions
    |-- presence
    `-- handedness

112 MMAC: less than MediaPipe's lite hand model (146 MMAC), whose inputs and outputs it has.
"""

from __future__ import annotations

from torch import Tensor, nn

from bootstrap.networks.blocks import BlazeBlock, ConvBN, ShapeHead, stage


class HandNetwork(nn.Module):
    """Crop to hand21@1 keypoints, presence, handedness and metric shape."""

    name = "hand"
    topology_id = "hand21@1"
    input_size = 224

    def __init__(self) -> None:
        super().__init__()
        self.trunk = nn.Sequential(
            ConvBN(3, 24, kernel=3, stride=2),
            BlazeBlock(24, 24),
            stage(24, 48, blocks=3),
            stage(48, 96, blocks=4),
            stage(96, 192, blocks=5),
            stage(192, 288, blocks=3),
            ConvBN(288, 40),
            nn.Flatten(),
        )
        features = 40 * 7 * 7
        self.landmarks = ShapeHead(features, coefficients=48, keypoints=21)
        self.world = ShapeHead(features, coefficients=48, keypoints=21)
        self.presence = nn.Linear(features, 1)
        self.handedness = nn.Linear(features, 1)

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        """Keypoints of the hand in each crop.

        Args:
            image: (B, 3, 224, 224) RGB, 0 .. 1.

        Returns:
            landmarks (B, 63): x, y, z of each keypoint, crop-normalised (z has x's scale, is zero
            at the wrist and grows away from the camera); presence (B, 1) logit that a hand is
            there; handedness (B, 1) logit that it is the person's right; world (B, 63) metres from
            the mean of the keypoints, axes of the crop (x right, y down, z forward).
        """
        features = self.trunk(image)
        return {
            "landmarks": self.landmarks(features),
            "presence": self.presence(features),
            "handedness": self.handedness(features),
            "world": self.world(features),
        }
