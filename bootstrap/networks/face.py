"""The face network: 478 keypoints, presence, drawn lines from a crop.

    3 x S^2       picture, 0 .. 1; S = 192 (lite, 36 MMAC) or 256 (full, 63 MMAC)
   16 x (S/2)^2   convolution 3x3, stride 2; 1 block
   32 x (S/4)^2   3 blocks
   64 x (S/8)^2   4 blocks
  128 x (S/16)^2  4 blocks
  128 x (S/32)^2  3 blocks
   32 x (S/32)^2  pointwise, flattened: 1152 or 2048 features
    |-- 64 coefficients -- 478 x 3 keypoints
    |-- 32 coefficients -- 155 x 2 points of drawn lines
    `-- presence

Size and cost follow FaceMesh (arXiv 1907.06724: 192 x 192, 35 MMAC), as does the second head: the
lines that people draw on photographs are taught beside the mesh, in two dimensions
(bootstrap.face_contours). Both heads are shape models.
"""

from __future__ import annotations

from torch import Tensor, nn

from bootstrap.networks.blocks import BlazeBlock, ConvBN, ShapeHead, stage

SIZES = {"lite": 192, "full": 256}


class FaceNetwork(nn.Module):
    """Crop to face478@1 keypoints and presence."""

    name = "face"
    topology_id = "face478@1"
    peak_learning_rate = 6e-3

    def __init__(self, size: str = "lite") -> None:
        super().__init__()
        self.size, self.input_size = size, SIZES[size]
        features = 32 * (self.input_size // 32) ** 2
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
        self.landmarks = ShapeHead(features, coefficients=64, keypoints=478)
        self.contours = ShapeHead(features, coefficients=32, keypoints=155, axes=2)
        self.presence = nn.Linear(features, 1)

    def set_shapes(self, shapes: dict[str, tuple[Tensor, Tensor]]) -> None:
        """Start the heads from shape models (`ShapeHead.set_shape_model`)."""
        for head in ("landmarks", "contours"):
            getattr(self, head).set_shape_model(*shapes[head])

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        """Keypoints of the face in each crop.

        Args:
            image: (B, 3, S, S) RGB, 0 .. 1.

        Returns:
            landmarks (B, 1434): x, y, z of each keypoint, crop-normalised (1.0 is the crop's
            width; z has x's scale, is zero at the mean of the face and grows away from the
            camera); presence (B, 1) logit that a face is there; contours (B, 310): x, y of each
            point of the drawn lines, crop-normalised.
        """
        features = self.trunk(image)
        return {
            "landmarks": self.landmarks(features),
            "presence": self.presence(features),
            "contours": self.contours(features),
        }
