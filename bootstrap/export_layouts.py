"""The tensors and names that each network is exported with: MediaPipe's.

Face landmarks: 1 x 1 x 1 x 1434 in input pixels, a presence logit 1 x 1 x 1 x 1, and after what
MediaPipe reads the drawn lines 1 x 310 in input pixels. Hand: landmarks
1 x 63 in input pixels with z times 0.4, presence and handedness (the person's right hand in an
unmirrored picture) 1 x 1 as probabilities, world 1 x 63 in metres. Detectors: boxes with keypoints
1 x anchors x 16 or 18 in input pixels from each anchor, and logits 1 x anchors x 1. Pose has 39
points, of which 33 are keypoints, 2 align the crop and 4 are nothing: 1 x 195, x, y, z in input
pixels and logits of visibility and presence; presence 1 x 1 as a probability; logits of the
silhouette 1 x S x S x 1 and of a heatmap for each point 1 x S/4 x S/4 x 39; world 1 x 117 in
metres. Boxes in space have no counterpart there: see runtime.box_fields.
"""

from __future__ import annotations

import copy

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bootstrap.networks import (
    BoxNetwork,
    DetectorNetwork,
    HandNetwork,
    IrisNetwork,
    LandmarkNetwork,
    Network,
    PoseNetwork,
    fuse_batch_norms,
)
from bootstrap.networks.blocks import ConvBN, ShapeHead
from bootstrap.networks.box import UNIT_PX as BOX_UNIT_PX
from bootstrap.networks.detector import UNIT_PX
from bootstrap.networks.pose import COLD_LOGIT, POINTS, STRIDE

SPARE = 4
"""Points that MediaPipe's pose models give and nobody reads."""

_DETECTED = {"boxes": "boxes", "scores": "scores"}
MEANINGS = {
    "face": {"landmarks": "landmarks", "presence": "presence_logit", "contours": "contours"},
    "hand": {
        "landmarks": "landmarks",
        "presence": "presence",
        "handedness": "handedness",
        "world": "world_landmarks",
    },
    "iris": {"eye": "eye", "iris": "iris"},
    "pose": {
        "landmarks": "landmarks_visibility",
        "presence": "presence",
        "silhouette": "mask_logit",
        "heatmaps": "heatmaps",
        "world": "world_landmarks",
    },
    "face-detector": _DETECTED,
    "palm-detector": _DETECTED,
    "box": {"centres": "centres", "offsets": "keypoint_offsets", "silhouette": "mask_logit"},
}
"""Network -> output -> what a card calls it."""
TITLES = {
    "face": "478 keypoints of the face in a crop.",
    "hand": "21 keypoints of the hand in a crop.",
    "iris": "76 keypoints of a right eye and its iris in a crop.",
    "pose": "33 keypoints of the body in a crop.",
    "face-detector": "Faces in a picture, each with 6 keypoints.",
    "palm-detector": "Palms in a picture, each with 7 keypoints.",
    "box": "Boxes in space around the objects of a picture.",
}
_BOXES = "Centre, size and keypoints in input pixels from each anchor."
DESCRIPTIONS = {
    "face": {
        "landmarks": "x, y, z of each keypoint in input pixels.",
        "presence": "Logit that a face is in the crop.",
        "contours": "x, y in input pixels of the lines that people draw on a face.",
    },
    "hand": {
        "landmarks": "x, y, z of each keypoint in input pixels, z times 0.4.",
        "presence": "Probability that a hand is in the crop.",
        "handedness": "Probability of a right hand in an unmirrored picture.",
        "world": "x, y, z of each keypoint in metres from their mean.",
    },
    "iris": {
        "eye": "x, y, z of each keypoint of the eye in input pixels.",
        "iris": "x, y, z of each keypoint of the iris in input pixels.",
    },
    "pose": {
        "landmarks": "x, y, z in input pixels, logits of visibility and presence of each point.",
        "presence": "Probability that a body is in the crop.",
        "silhouette": "Logit that a pixel is the body's.",
        "heatmaps": "Logit of where each point is.",
        "world": "x, y, z of each point in metres from the middle between the hips.",
    },
    "face-detector": {"boxes": _BOXES, "scores": "Logit that an anchor has a face."},
    "palm-detector": {"boxes": _BOXES, "scores": "Logit that an anchor has a palm."},
    "box": {
        "centres": "Logit that an object's middle is in a cell.",
        "offsets": "x, y of each of 9 keypoints from the cell's middle in input pixels.",
        "silhouette": "Logit that a cell lies within the picture of an object's box.",
    },
}
Z_SCALES = {"face": 1.0, "iris": 1.0, "hand": 0.4, "pose": 1.0}
"""Of z against x: MediaPipe's hand models have 0.4 (normalize_z of hand_landmark_cpu.pbtxt)."""
MODEL_FILES = {
    "face": "face_landmarks_detector.tflite",
    "hand": "hand_landmarks_detector.tflite",
    "iris": "iris_landmark.tflite",
    "pose": "pose_landmarks_detector.tflite",
    "face-detector": "face_detector.tflite",
    "palm-detector": "hand_detector.tflite",
    "box": "box_fields.tflite",
}
"""The names that MediaPipe Tasks looks for."""
ROLES = {"face-detector": "detector", "palm-detector": "detector", "iris": "iris"}
"""Of the networks that aren't "landmarks"."""
TASKS = {
    "face": "face",
    "hand": "hand",
    "iris": "face",
    "pose": "pose",
    "face-detector": "face",
    "palm-detector": "hand",
    "box": "object",
}


class Deployed(nn.Module):
    """A network as it is exported: one picture, height x width x channels, MediaPipe's outputs.

    Batch norms are folded into convolutions, input pixels into the last layer.
    """

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = copy.deepcopy(network).eval()
        self.network.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
        fuse_batch_norms(self.network)
        with torch.no_grad():
            if isinstance(self.network, DetectorNetwork):
                for layer in self.network.boxes.convolutions():
                    _scale(layer, torch.tensor(UNIT_PX).expand(layer.out_channels))
            elif isinstance(self.network, BoxNetwork):
                head = self.network.fields.field("offsets")
                _scale(head, torch.tensor(BOX_UNIT_PX).expand(head.out_channels))
            else:
                _flatten_by_rows(self.network)
                for name, shapes in self.network.named_children():
                    if isinstance(shapes, ShapeHead) and name != "world":
                        axes = 2 if name == "contours" else 3
                        unit = torch.tensor([1.0, 1.0, Z_SCALES[network.name]])[:axes]
                        points = shapes.basis.out_features // axes
                        _scale(shapes.basis, float(network.input_size) * unit.repeat(points))

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        """(1, S, S, 3) RGB over `input_range` -> the outputs of `MEANINGS`."""
        outputs: dict[str, Tensor] = self.network(image.permute(0, 3, 1, 2))
        if isinstance(self.network, DetectorNetwork):
            return outputs
        if isinstance(self.network, BoxNetwork):
            return {name: value.permute(0, 2, 3, 1) for name, value in outputs.items()}
        if isinstance(self.network, IrisNetwork):
            return {"eye": outputs["eye"], "iris": outputs["iris"]}
        if self.network.name == "face":
            return {
                "landmarks": outputs["landmarks"].reshape(1, 1, 1, -1),
                "presence": outputs["presence"].reshape(1, 1, 1, 1),
                "contours": outputs["contours"],
            }
        if isinstance(self.network, PoseNetwork):
            return _pose_outputs(outputs)
        return {
            "landmarks": outputs["landmarks"],
            "presence": torch.sigmoid(outputs["presence"]),
            "handedness": torch.sigmoid(outputs["handedness"]),
            "world": outputs["world"],
        }


def _pose_outputs(outputs: dict[str, Tensor]) -> dict[str, Tensor]:
    """With `SPARE` points after ours, which lie at 0 and are never seen."""
    points = outputs["landmarks"].reshape(1, POINTS, 3)
    seen = outputs["seen"].reshape(1, POINTS, 2)
    nowhere = torch.cat([torch.zeros(1, SPARE, 3), torch.full((1, SPARE, 2), COLD_LOGIT)], dim=2)
    heatmaps = outputs["heatmaps"].permute(0, 2, 3, 1)
    cold = torch.full((*heatmaps.shape[:3], SPARE), COLD_LOGIT)
    silhouette = F.interpolate(outputs["silhouette"], scale_factor=float(STRIDE), mode="bilinear")
    return {
        "landmarks": torch.cat([torch.cat([points, seen], dim=2), nowhere], dim=1).reshape(1, -1),
        "presence": torch.sigmoid(outputs["presence"]),
        "silhouette": silhouette.permute(0, 2, 3, 1),
        "heatmaps": torch.cat([heatmaps, cold], dim=3),
        "world": torch.cat([outputs["world"], torch.zeros(1, 3 * SPARE)], dim=1),
    }


def input_range(network: Network) -> tuple[float, float]:
    """What a picture's 0..255 is mapped to."""
    return network.input_range if isinstance(network, DetectorNetwork) else (0.0, 1.0)


class _FlatByRows(nn.Module):
    def forward(self, features: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, H W C), as LiteRT lays a picture out: nothing is transposed."""
        return features.permute(0, 2, 3, 1).flatten(1)


def _flatten_by_rows(network: LandmarkNetwork | IrisNetwork) -> None:
    """Flatten features row by row and not channel by channel, the heads' columns with them."""
    flat = network.flat if isinstance(network, HandNetwork | PoseNetwork) else network.trunk
    rows = flat[-2]
    assert isinstance(rows, ConvBN)
    assert isinstance(rows[0], nn.Conv2d)
    channels, cells = rows[0].out_channels, (network.input_size // 32) ** 2
    flat[-1] = _FlatByRows()
    head = network.eye if isinstance(network, IrisNetwork) else network.landmarks
    taken = head.coefficients.in_features
    for layer in network.modules():
        if isinstance(layer, nn.Linear) and layer.in_features == taken:
            columns = layer.weight[:, : channels * cells]
            by_row = columns.reshape(-1, channels, cells).transpose(1, 2).reshape(columns.shape)
            columns.copy_(by_row.clone())


def _scale(layer: nn.Conv2d | nn.Linear, rows: Tensor) -> None:
    layer.weight.mul_(rows.reshape(-1, *[1] * (layer.weight.ndim - 1)))
    if layer.bias is not None:
        layer.bias.mul_(rows)
