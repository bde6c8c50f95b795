"""A drawn face with its keypoints: something to try the tools on without any photograph.

The face is MediaPipe's canonical mesh, turned a little, filled triangle by triangle.
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from annotate.editing import contour_lines, new_document
from bootstrap.dataset import Dataset, DatasetInfo, Label, Sample
from runtime.image import encode_image
from runtime.topology import canonical_face

SAMPLE_LAYER = "predicted@sample"
_TOPOLOGY = "face478@1"
_SKIN = np.array([224.0, 172.0, 142.0])
_LIGHT = np.array([0.35, 0.5, 0.8])
# Coordinates with 1/16 of a pixel for OpenCV's drawing.
_SHIFT = 4
# How far the made-up prediction is off, as a share of the distance between the irises.
_PREDICTION_ERROR = 0.03


def drawn_face(
    rng: np.random.Generator, width: int = 640, height: int = 640
) -> tuple[NDArray[np.uint8], NDArray[np.float64]]:
    """A picture of a face and the truth about it.

    Returns:
        (height, width, 3) uint8 RGB, and (478, 2) keypoints in px.
    """
    face = canonical_face()
    yaw, pitch, roll = rng.uniform(-0.35, 0.35), rng.uniform(-0.2, 0.2), rng.uniform(-0.2, 0.2)
    turned = face.vertices_m @ _rotation(yaw, pitch, roll).T
    size = 0.62 * min(width, height) / np.ptp(face.vertices_m[:, 1])
    centre = np.array([width, height]) / 2 + rng.uniform(-0.06, 0.06, 2) * min(width, height)
    points = centre + (turned[:, :2] - turned[:, :2].mean(axis=0)) * [size, -size]
    image = np.empty((height, width, 3), np.uint8)
    image[:] = rng.integers(40, 110, 3)
    corners = turned[face.triangles]
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    normals /= np.linalg.norm(normals, axis=1, keepdims=True) + 1e-12
    shade = 0.45 + 0.55 * np.clip(normals @ (_LIGHT / np.linalg.norm(_LIGHT)), 0, 1)
    for index in np.argsort(corners[:, :, 2].mean(axis=1)):
        if normals[index, 2] > 0:
            colour = tuple(float(c) for c in _SKIN * shade[index])
            _fill(image, points[face.triangles[index]], colour)
    document = new_document(_TOPOLOGY, points)
    lines = contour_lines(document)
    for name, colour in (
        ("right_eye", (245, 245, 245)),
        ("left_eye", (245, 245, 245)),
        ("right_iris", (70, 50, 40)),
        ("left_iris", (70, 50, 40)),
        ("lips_outer", (170, 70, 80)),
        ("lips_inner", (90, 30, 40)),
    ):
        _fill(image, lines[name], colour)
    for side in ("right", "left"):
        brow = np.concatenate([lines[f"{side}_brow_upper"], lines[f"{side}_brow_lower"][::-1]])
        _fill(image, brow, (70, 50, 40))
    return cv2.GaussianBlur(image, (0, 0), 0.8), points


def write_sample_project(
    root: Path, rng: np.random.Generator, count: int = 8, width: int = 640, height: int = 640
) -> Dataset:
    """A small data set of drawn faces, with the truth and a made-up prediction as layers.

    Raises:
        ViewfinderError: the folder can't be written, or another data set stands there.
    """
    dataset = Dataset.create(
        root, DatasetInfo(name=root.name, generator="viewfinder sample", topologies=(_TOPOLOGY,))
    )
    samples, truth, predicted = [], [], []
    for number in range(count):
        image, points = drawn_face(rng, width, height)
        sample_id = f"{number:08d}"
        data = encode_image(image, ".jpg")
        samples.append(
            Sample(sample_id=sample_id, image=data, extension="jpg", width=width, height=height)
        )
        truth.append(_label(sample_id, points, "viewfinder sample"))
        truth_document = new_document(_TOPOLOGY, points)
        scale = float(truth_document.topology.normalising_length(points)) * _PREDICTION_ERROR
        # A model is wrong smoothly: one shift for all, and a little noise for each.
        wrong = points + rng.normal(0, scale, 2) + rng.normal(0, scale / 4, points.shape)
        predicted.append(_label(sample_id, wrong, "sample"))
    dataset.write_shard(0, samples, {"synthetic": truth, SAMPLE_LAYER: predicted})
    return dataset


def _label(sample_id: str, points: NDArray[np.float64], source: str) -> Label:
    document = new_document(_TOPOLOGY, points)
    return Label(
        sample_id=sample_id,
        topology=_TOPOLOGY,
        keypoints_px=points.astype(np.float32),
        visibility=document.visibility,
        contours=contour_lines(document),
        source=source,
    )


def _fill(
    image: NDArray[np.uint8], points_px: NDArray[np.floating], colour: tuple[float, ...]
) -> None:
    # OpenCV counts from pixel centres.
    fixed = np.round((np.asarray(points_px) - 0.5) * 2**_SHIFT).astype(np.int32)
    cv2.fillPoly(image, [fixed], colour, cv2.LINE_AA, _SHIFT)


def _rotation(yaw: float, pitch: float, roll: float) -> NDArray[np.float64]:
    (cy, cp, cr), (sy, sp, sr) = np.cos([yaw, pitch, roll]), np.sin([yaw, pitch, roll])
    about_y = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    about_x = np.array([[1, 0, 0], [0, cp, -sp], [0, sp, cp]])
    about_z = np.array([[cr, -sr, 0], [sr, cr, 0], [0, 0, 1]])
    return about_z @ about_x @ about_y
