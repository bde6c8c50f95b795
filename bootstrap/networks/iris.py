"""The iris network: one eye, its contour and its iris, from a 64 x 64 crop; 15 MMAC.

    3 x 64^2   picture, 0 .. 1
   24 x 32^2   convolution 3x3, stride 2; 3 blocks
   64 x 16^2   4 blocks
  128 x  8^2   4 blocks
  128 x  4^2   3 blocks
   32 x  4^2   pointwise, flattened: 512 features
    |-- 24 coefficients -- 71 x 3 keypoints of the eye and around it
    `-- 16 coefficients --  5 x 3 keypoints of the iris

Inputs and outputs are those of MediaPipe's iris model (arXiv 2006.11341; 54 MMAC). It knows right
eyes only, so left ones are shown to it mirrored.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from bootstrap.networks.blocks import BlazeBlock, ConvBN, ShapeHead, stage
from runtime.solutions.face_attention import IRIS_SIZE, RIGHT_EYE


class IrisNetwork(nn.Module):
    """Crop to the keypoints of a right eye and its iris."""

    name = "iris"
    topology_id = "face478@1"
    input_size = 64
    peak_learning_rate = 6e-3

    def __init__(self) -> None:
        super().__init__()
        self.trunk = nn.Sequential(
            ConvBN(3, 24, kernel=3, stride=2),
            *(BlazeBlock(24, 24) for _ in range(3)),
            stage(24, 64, blocks=4),
            stage(64, 128, blocks=4),
            stage(128, 128, blocks=3),
            ConvBN(128, 32),
            nn.Flatten(),
        )
        self.eye = ShapeHead(512, coefficients=24, keypoints=len(RIGHT_EYE))
        self.iris = ShapeHead(512, coefficients=16, keypoints=IRIS_SIZE)

    def set_shapes(self, shapes: dict[str, tuple[Tensor, Tensor]]) -> None:
        """Start the heads from the "landmarks" of both, the eye's first."""
        mean, components = shapes["landmarks"]
        split = len(RIGHT_EYE)
        self.eye.set_shape_model(mean[:split], components[:, :split])
        self.iris.set_shape_model(mean[split:], components[:, split:])

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        """Keypoints of the eye in each crop.

        Args:
            image: (B, 3, 64, 64) RGB, 0 .. 1, of right eyes or of mirrored left ones.

        Returns:
            eye (B, 213) and iris (B, 15): x, y, z of each keypoint, crop-normalised; z has x's
            scale, is zero at the mean of both and grows away from the camera; landmarks (B, 228):
            one after the other.
        """
        features = self.trunk(image)
        eye, iris = self.eye(features), self.iris(features)
        return {"eye": eye, "iris": iris, "landmarks": torch.cat([eye, iris], dim=1)}
