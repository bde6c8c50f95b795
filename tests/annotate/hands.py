"""A hand made of its bones, and a project with one in it."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from annotate.hand_bones import PARENT
from bootstrap.dataset import Dataset, DatasetInfo, Label, Sample
from runtime.camera import Camera
from runtime.image import encode_image

CAMERA = Camera(400.0, 400.0, 160.0, 120.0, 320, 240)
# As long as people's are, metres: from a table of hands, not from what the tests are about.
_LENGTHS_MM = (
    *(0, 46, 46, 32, 27),
    *(92, 40, 24, 20),
    *(90, 45, 28, 20),
    *(84, 42, 27, 21),
    *(80, 33, 19, 18),
)
_FAN_DEG = (-50.0, -16.0, -3.0, 9.0, 21.0)


def made_hand(bend_deg: float = 20.0, turn_deg: float = 25.0, handedness: str = "right"):
    """(21, 3) metres in camera axes: a hand held up 0.5 m away, its palm to the camera, fingers
    bent by so much at every joint, turned about the upright axis."""
    points = np.zeros((21, 3))
    for child in range(1, 21):
        finger, place = divmod(child - 1, 4)
        fan = np.radians(_FAN_DEG[finger])
        # The thumb stays straight; fingers bend toward the camera, which looks at the palm.
        bend = np.radians(bend_deg) * place if finger else 0.0
        along = np.array([np.sin(fan) * np.cos(bend), -np.cos(fan) * np.cos(bend), -np.sin(bend)])
        points[child] = points[PARENT[child]] + along * _LENGTHS_MM[child] / 1000
    # A right palm toward the camera has its thumb on the picture's right side.
    points[:, 0] *= -1.0 if handedness == "right" else 1.0
    c, s = np.cos(np.radians(turn_deg)), np.sin(np.radians(turn_deg))
    turned = points @ np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]]).T
    return turned + [0.0, 0.07, 0.5]


def hand_project(root: Path, space: bool = True) -> Path:
    """A data set with one picture of a made hand, its truth with or without space."""
    dataset = Dataset.create(
        root, DatasetInfo(name="hands", generator="test", topologies=("hand21@1",))
    )
    points = made_hand(bend_deg=40.0)
    pixels = CAMERA.project(points)
    image = np.full((CAMERA.height, CAMERA.width, 3), 70, np.uint8)
    for child in range(1, 21):
        ends = [tuple(np.round(pixels[i]).astype(int).tolist()) for i in (PARENT[child], child)]
        cv2.line(image, *ends, (224, 172, 142), 12, cv2.LINE_AA)
    label = Label(
        sample_id="a",
        topology="hand21@1",
        keypoints_px=pixels.astype(np.float32),
        keypoints_camera_m=points.astype(np.float32) if space else None,
        visibility=np.full(21, 2, np.int8),
        handedness="right",
        source="test",
    )
    sample = Sample(
        sample_id="a",
        image=encode_image(image, ".png"),
        extension="png",
        width=CAMERA.width,
        height=CAMERA.height,
        camera=CAMERA,
    )
    dataset.write_shard(0, [sample], {"synthetic": [label]})
    return root
