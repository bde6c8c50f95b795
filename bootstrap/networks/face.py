"""The face network: 478 keypoints and presence from a 192 x 192 crop; 35 MMAC.

    3 x 192^2   picture, 0 .. 1
   16 x  96^2   convolution 3x3, stride 2; 1 block
   32 x  48^2   3 blocks
   64 x  24^2   4 blocks
  128 x  12^2   4 blocks
  128 x   6^2   3 blocks
   32 x   6^2   pointwise, flattened: 1152 features
    |-- 64 coefficients -- 478 x 3 keypoints
    `-- presence

Size and cost follow FaceMesh (arXiv 1907.06724: 192 x 192, 35 MMAC); the head is a shape model.
"""

from __future__ import annotations

from torch import Tensor, nn

from bootstrap.networks.blocks import BlazeBlock, ConvBN, ShapeHead, stage


class FaceNetwork(nn.Module):
    """Crop to face478@1 keypoints and presence."""

    name = "face"
    topology_id = "face478@1"
    input_size = 192

    def __init__(self) -> None:
        super().__init__()
        self.trunk = nn.Sequential(
            ConvBN(3, 16, kernel=3, stride=2),
            BlazeBlock(16, 16),
            stage(16, 32, blocks=3),
            stage(32, 64, blocks=4),
            stage(64, 128, blocks=4),
            stage(128, 128, blocks=3),
            ConvBN(128, 32),
            nn.Flatten(),
        )
        self.landmarks = ShapeHead(32 * 6 * 6, coefficients=64, keypoints=478)
        self.presence = nn.Linear(32 * 6 * 6, 1)

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        """Keypoints of the face in each crop.

        Args:
            image: (B, 3, 192, 192) RGB, 0 .. 1.

        Returns:
            landmarks (B, 1434): x, y, z of each keypoint, crop-normalised (1.0 is the crop's
            width; z has x's scale, is zero at the mean of the face and grows away from the
            camera); presence (B, 1) logit that a face is there.
        """
        features = self.trunk(image)
        return {"landmarks": self.landmarks(features), "presence": self.presence(features)}
