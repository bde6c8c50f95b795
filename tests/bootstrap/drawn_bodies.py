"""Bodies drawn with OpenCV: thick lines between the 33 points, the left side lighter."""

from __future__ import annotations

import itertools
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from bootstrap.dataset import Dataset, DatasetInfo, Label, Sample
from bootstrap.dataset.dense import encode_segmentation
from runtime.camera import Camera
from runtime.image import encode_image
from runtime.topology import topology
from tests.bootstrap.drawn_subjects import background, rotation

Floats = NDArray[np.float64]
BODY = topology("pose33@1")
_NAMES = {name: i for i, name in enumerate(BODY.keypoint_names)}
_HEAD = {
    "nose": (0, -0.62, -0.1), "eye_inner": (0.015, -0.66, -0.09), "eye": (0.03, -0.66, -0.09),
    "eye_outer": (0.045, -0.66, -0.08), "ear": (0.075, -0.64, 0), "mouth": (0.025, -0.58, -0.09),
}  # fmt: skip


def write_drawn_bodies(root: Path, count: int, size: int = 128, metric: bool = True) -> Dataset:
    """`count` drawn bodies with silhouettes; every fourth is in the val split."""
    info = DatasetInfo(
        name="drawn-bodies", generator="drawn_bodies", topologies=(BODY.id,), shard_size=count,
        classes={"background": 0, "person": 1, "seat": 2}, licences_inherited=("CC0-1.0",),
    )  # fmt: skip
    dataset = Dataset.create(root, info)
    camera = Camera.from_fov(np.radians(40), size, size)
    samples, labels = [], []
    for i in range(count):
        rng = np.random.default_rng(np.random.SeedSequence(0, spawn_key=(i,)))
        image, person, points = draw_body(camera, rng)
        px = camera.project(points)
        inside = ((px >= 0) & (px < size)).all(axis=1)
        samples.append(
            Sample(
                sample_id=f"{i:08d}", image=encode_image(image, ".png"), extension="png",
                width=size, height=size, camera=camera, split="val" if i % 4 == 3 else "train",
                members={"seg.png": encode_segmentation(person)},
            )
        )  # fmt: skip
        labels.append(
            Label(
                sample_id=f"{i:08d}", topology=BODY.id, keypoints_px=px,
                keypoints_camera_m=points if metric else None,
                visibility=np.where(inside, 2, 1), source="drawn",
            )
        )  # fmt: skip
    dataset.write_shard(0, samples, {"synthetic": labels})
    return dataset


def draw_body(
    camera: Camera, rng: np.random.Generator
) -> tuple[NDArray[np.uint8], NDArray[np.uint8], Floats]:
    """A picture, (H, W) 1 where the body is, (33, 3) points in camera metres."""
    points = _pose(rng) @ rotation(rng.normal(0, 0.5), 0.0, rng.normal(0, 0.2)).T
    points = points + [rng.normal(0, 0.1), rng.normal(0, 0.1), rng.uniform(3.2, 4.5)]
    px = np.round(camera.project(points) * 8).astype(np.int32)
    width = max(2, round(camera.fx / points[:, 2].mean() * 0.12))
    image, person = background(camera, rng), np.zeros((camera.height, camera.width), np.uint8)
    skin = rng.uniform(40, 150, 3)
    for a, b in BODY.edges:
        left = BODY.keypoint_names[a].startswith("left")
        colour = tuple(int(v) for v in np.clip(skin + 80 * left, 0, 255))
        ends = [tuple(map(int, px[i])) for i in (a, b)]
        cv2.line(image, *ends, colour, width, cv2.LINE_AA, 3)  # type: ignore[call-overload]
        cv2.line(person, *ends, 1, width, cv2.LINE_8, 3)  # type: ignore[call-overload]
    return cv2.GaussianBlur(image, (3, 3), 0.6), person, points


def _pose(rng: np.random.Generator) -> Floats:
    """(33, 3) metres about the hips, x to the body's left, y down, facing the camera."""
    points = np.zeros((33, 3))
    for side, x in (("left", 1.0), ("right", -1.0)):
        for name, place in _HEAD.items():
            key = (
                name if name == "nose" else f"mouth_{side}" if name == "mouth" else f"{side}_{name}"
            )
            points[_NAMES[key]] = place * np.array([x, 1, 1])
        points[_NAMES[f"{side}_shoulder"]] = 0.18 * x, -0.48, 0
        points[_NAMES[f"{side}_hip"]] = 0.1 * x, 0, 0
        _limb(
            points,
            f"{side}_",
            ("shoulder", "elbow", "wrist", "index"),
            x * rng.uniform(0, 2.6),
            0.27,
        )
        _limb(points, f"{side}_", ("hip", "knee", "ankle", "heel"), x * rng.uniform(0, 0.9), 0.4)
        wrist, heel = points[_NAMES[f"{side}_wrist"]], points[_NAMES[f"{side}_heel"]]
        points[_NAMES[f"{side}_pinky"]] = wrist + [0.03 * x, 0.07, 0]
        points[_NAMES[f"{side}_thumb"]] = wrist + [-0.03 * x, 0.05, -0.02]
        points[_NAMES[f"{side}_foot_index"]] = heel + [0.03 * x, 0.02, -0.18]
    return points


def _limb(points: Floats, side: str, names: tuple[str, ...], angle: float, length: float) -> None:
    for before, after in itertools.pairwise(names):
        step = length * np.array([np.sin(angle), np.cos(angle), 0])
        points[_NAMES[side + after]] = points[_NAMES[side + before]] + step
        length *= 0.85 if after != names[2] else 0.25
