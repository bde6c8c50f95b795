"""The face network: 478 keypoints, presence, drawn lines from a crop.

                    lite         full
    3 x 192^2                          picture, 0 .. 1
    w0 x 96^2       16           24    convolution 3x3, stride 2; 1 block
    w1 x 48^2       32           48    3 blocks
    w2 x 24^2       64           96    4 blocks
    w3 x 12^2      128          192    4 blocks
    w4 x 6^2       128          192    3 blocks
    32 x 6^2                           pointwise, flattened: 1152 features
    |-- 64 coefficients -- 478 x 3 keypoints
    |-- 32 coefficients -- 155 x 2 points of drawn lines
    `-- presence
                 36 MMAC      73 MMAC

Size and cost of lite follow FaceMesh (arXiv 1907.06724: 192 x 192, 35 MMAC), as does the second
head: the lines that people draw on photographs are taught beside the mesh, in two dimensions
(bootstrap.face_contours). Lite learns more in minutes, full in hours; full can start from a lite
one, which it contains (bootstrap.networks.growth). Both heads are shape models.
"""

from __future__ import annotations

from torch import Tensor, nn

from bootstrap.networks.blocks import BlazeBlock, ConvBN, ShapeHead, stage
from bootstrap.networks.growth import RGB, grow

INPUT_SIZE = 192
WIDTHS = {"lite": (16, 32, 64, 128, 128), "full": (24, 48, 96, 192, 192)}


class FaceNetwork(nn.Module):
    """Crop to face478@1 keypoints and presence."""

    name = "face"
    topology_id = "face478@1"
    peak_learning_rate = 6e-3

    def __init__(self, size: str = "lite") -> None:
        super().__init__()
        self.size, self.input_size = size, INPUT_SIZE
        w0, w1, w2, w3, w4 = WIDTHS[size]
        features = 32 * (self.input_size // 32) ** 2
        self.trunk = nn.Sequential(
            ConvBN(3, w0, kernel=3, stride=2),
            BlazeBlock(w0, w0),
            stage(w0, w1, blocks=3),
            stage(w1, w2, blocks=4),
            stage(w2, w3, blocks=4),
            stage(w3, w4, blocks=3),
            ConvBN(w4, 32),
            nn.Flatten(),
        )
        self.landmarks = ShapeHead(features, coefficients=64, keypoints=478)
        self.contours = ShapeHead(features, coefficients=32, keypoints=155, axes=2)
        self.presence = nn.Linear(features, 1)

    def set_shapes(self, shapes: dict[str, tuple[Tensor, Tensor]]) -> None:
        """Start the heads from shape models (`ShapeHead.set_shape_model`)."""
        for head in ("landmarks", "contours"):
            getattr(self, head).set_shape_model(*shapes[head])

    def grow_from(self, narrow: FaceNetwork) -> None:
        """Start with what a narrower network has learnt, and with its answers."""
        grow(self.trunk, narrow.trunk, RGB)
        for head in ("landmarks", "contours", "presence"):
            getattr(self, head).load_state_dict(getattr(narrow, head).state_dict())

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
