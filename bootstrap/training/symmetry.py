"""One answer for things that look alike from several sides.

A bottle's front could be anywhere, a table's at either end: taught as they are labelled, a network
would answer with the mean of all. Their boxes are turned so that the front faces the camera; how
boxes are judged (bootstrap.cuboid_metrics) knows of it, too.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from bootstrap.cuboid_metrics import SYMMETRIC
from bootstrap.dataset import Label
from runtime.camera import Camera
from runtime.cuboid import Cuboid

NEARLY_SQUARE = 0.1
"""Share by which width and depth of something round may differ; a cup's handle is a side."""
OPPOSITE = (0, 6, 5, 8, 7, 2, 1, 4, 3)
"""Which keypoint lies where each one did, after half a turn about y."""


def facing(label: Label, camera: Camera | None) -> Label:
    """The label of a symmetric object with its front towards the camera; others as they are.

    Args:
        label: of a box in the camera's axes; its attribute `symmetry` is "none", "half" (half a
            turn about y changes nothing) or "round", by its category where there is none.
        camera: of the picture.
    """
    cuboid = label.cuboid
    if cuboid is None or camera is None or cuboid["frame"] != "camera":
        return label
    guess = "round" if label.attributes.get("category") in SYMMETRIC else "none"
    kind = label.attributes.get("symmetry", guess)
    turn = np.asarray(cuboid["rotation"], dtype=np.float64).reshape(3, 3)
    centre = np.asarray(cuboid["translation_m"], dtype=np.float64)
    size = np.asarray(cuboid["size_m"], dtype=np.float64)
    x, _, z = -turn.T @ centre
    if kind == "half":
        return label if z >= 0 else _turned(label, turn, centre, size, math.pi, camera)
    if kind == "round" and abs(size[0] - size[2]) <= NEARLY_SQUARE * max(size[0], size[2]):
        return _turned(label, turn, centre, size, math.atan2(x, z), camera)
    return label


def _turned(
    label: Label,
    turn: np.ndarray,
    centre: np.ndarray,
    size: np.ndarray,
    yaw_rad: float,
    camera: Camera,
) -> Label:
    cos, sin = math.cos(yaw_rad), math.sin(yaw_rad)
    about_y = np.array([[cos, 0, sin], [0, 1, 0], [-sin, 0, cos]])
    box = Cuboid(turn @ about_y, centre, size)
    points = box.vertices()
    visibility = label.visibility
    if visibility is not None and abs(yaw_rad) > math.pi / 2:
        visibility = visibility[list(OPPOSITE)]
    px = camera.project(points)
    assert label.cuboid is not None
    return replace(
        label,
        keypoints_px=px.astype(np.float32),
        keypoints_camera_m=points.astype(np.float32),
        visibility=visibility,
        cuboid={**label.cuboid, "rotation": box.directions.ravel()},
    )
