"""Faces and hands drawn with OpenCV: data that trainings in tests can learn, in milliseconds.

A drawn face is MediaPipe's canonical mesh under random shape, pose, light and colours; a drawn
hand is a skeleton with thick bones. Both have exact 2D and metric labels.
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from bootstrap.dataset import Dataset, DatasetInfo, Label, Sample
from runtime.camera import Camera
from runtime.image import encode_image
from runtime.topology import canonical_face, topology

Floats = NDArray[np.float64]


def write_drawn_dataset(
    root: Path, kind: str, count: int, size: int = 256, seed: int = 0, metric: bool = True
) -> Dataset:
    """A data set of `count` drawn "face"s or "hand"s; every fourth sample is in the val split."""
    draw = {"face": draw_face, "hand": draw_hand}[kind]
    name = {"face": "face478@1", "hand": "hand21@1"}[kind]
    info = DatasetInfo(
        name=f"drawn-{kind}", generator="drawn_subjects", topologies=(name,), shard_size=count,
        licences_inherited=("CC0-1.0",),
    )  # fmt: skip
    dataset = Dataset.create(root, info)
    camera = Camera.from_fov(np.radians(40), size, size)
    samples, labels = [], []
    for i in range(count):
        rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(i,)))
        image, points_m, handedness = draw(camera, rng)
        sample_id = f"{i:08d}"
        samples.append(
            Sample(
                sample_id=sample_id,
                image=encode_image(image, ".png"),
                extension="png",
                width=size,
                height=size,
                camera=camera,
                seed=seed,
                split="val" if i % 4 == 3 else "train",
            )
        )
        labels.append(
            Label(
                sample_id=sample_id,
                topology=name,
                keypoints_px=camera.project(points_m),
                keypoints_camera_m=points_m if metric else None,
                visibility=np.full(len(points_m), 2),
                handedness=handedness,
                source="drawn",
            )
        )
    dataset.write_shard(0, samples, {"synthetic": labels})
    return dataset


def background(camera: Camera, rng: np.random.Generator) -> NDArray[np.uint8]:
    """(H, W, 3) uint8 of coloured clouds."""
    coarse = rng.integers(0, 256, (int(rng.integers(2, 9)),) * 2 + (3,)).astype(np.uint8)
    return cv2.resize(coarse, (camera.width, camera.height), interpolation=cv2.INTER_CUBIC)


def rotation(yaw: float, pitch: float, roll: float) -> Floats:
    """(3, 3) roll, then pitch, then yaw, radians, camera axes."""
    parts = [np.eye(3) for _ in range(3)]
    for part, (a, b), angle in zip(parts, ((0, 1), (1, 2), (0, 2)), (roll, pitch, yaw)):
        part[np.ix_((a, b), (a, b))] = [
            [np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)],
        ]  # fmt: skip
    return parts[2] @ parts[1] @ parts[0]


def draw_face(
    camera: Camera, rng: np.random.Generator
) -> tuple[NDArray[np.uint8], Floats, str | None]:
    """A picture, (478, 3) points in camera metres, no handedness."""
    face = canonical_face()
    points = face.vertices_m * np.array([1.0, -1.0, -1.0])
    points = points * rng.normal(1.0, 0.05, 3)
    for _ in range(4):  # smooth changes of shape
        wave = np.sin(points @ rng.normal(0, 30, 3) + rng.uniform(0, 6.3))
        points = points + wave[:, None] * rng.normal(0, 0.0015, 3)
    open_mouth = rng.uniform(0, 0.02)
    below = np.clip((points[:, 1] - points[13, 1]) / 0.02, 0, 1) * (points[:, 2] < 0.02)
    points[:, 1] += open_mouth * below
    turn = rotation(rng.normal(0, 0.45), rng.normal(0, 0.2), rng.normal(0, 0.15))
    place = np.array([rng.normal(0, 0.02), rng.normal(0, 0.02), rng.uniform(0.38, 0.6)])
    points = points @ turn.T + place
    px = camera.project(points)
    image = background(camera, rng)
    skin = rng.uniform(60, 230) * np.array([1.0, rng.uniform(0.65, 0.9), rng.uniform(0.5, 0.8)])
    light = rng.normal(0, 1, 3) + [0, -0.5, -1.5]
    light /= np.linalg.norm(light)
    triangles = face.triangles[points[face.triangles, 2].mean(axis=1).argsort()[::-1]]
    corners = points[triangles]
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    normals /= np.linalg.norm(normals, axis=1, keepdims=True) + 1e-12
    # The canonical triangles are counter-clockwise from outside in its right-handed axes; two
    # axes flipped keeps that, so normals point outwards.
    shade = 0.45 + 0.55 * np.clip(normals @ light, 0, 1)
    fixed = np.round(px * 8).astype(np.int32)
    for triangle, value in zip(triangles, shade):
        cv2.fillConvexPoly(image, fixed[triangle], _colour(skin * value), cv2.LINE_AA, 3)
    _face_features(image, fixed, normals.shape[0] and skin, rng)
    return cv2.GaussianBlur(image, (3, 3), 0.6), points, None


def _face_features(
    image: NDArray[np.uint8], fixed: NDArray[np.int32], skin: Floats, rng: np.random.Generator
) -> None:
    contours = topology("face478@1").contours

    def fill(name: str, colour: Floats) -> None:
        outline = fixed[list(contours[name].indices)]
        cv2.fillPoly(image, [outline], _colour(colour), cv2.LINE_AA, 3)

    fill("lips_outer", skin * np.array([0.9, 0.5, 0.5]))
    fill("lips_inner", np.array([40.0, 10.0, 10.0]))
    iris = rng.uniform(20, 140, 3)
    hair = rng.uniform(10, 90) * np.array([1.0, 0.8, 0.6])
    for side in ("right", "left"):
        fill(f"{side}_eye", np.full(3, 235.0))
        fill(f"{side}_iris", iris)
        brow = [*contours[f"{side}_brow_lower"].indices]
        brow += contours[f"{side}_brow_upper"].indices[::-1]
        cv2.fillPoly(image, [fixed[brow]], _colour(hair), cv2.LINE_AA, 3)


_HAND_BASES = {0: (0.0, 0.0), 1: (0.03, -0.03), 5: (0.025, -0.09), 9: (0.005, -0.095),
               13: (-0.015, -0.09), 17: (-0.033, -0.08)}  # fmt: skip


def draw_hand(
    camera: Camera, rng: np.random.Generator
) -> tuple[NDArray[np.uint8], Floats, str | None]:
    """A picture, (21, 3) points in camera metres, handedness."""
    points = np.zeros((21, 3))
    for index, (x, y) in _HAND_BASES.items():
        points[index, :2] = x, y
    for first, length in zip((1, 5, 9, 13, 17), (0.035, 0.04, 0.045, 0.04, 0.03)):
        sideways = 0.7 if first == 1 else rng.normal(0, 0.1)
        curl, bend = rng.uniform(0, 0.3), rng.uniform(0, 0.7)
        for joint in range(first + 1, first + 4):
            step = length * np.array(
                [np.sin(sideways) * np.cos(curl), -np.cos(sideways) * np.cos(curl), -np.sin(curl)]
            )
            points[joint] = points[joint - 1] + step
            curl, length = curl + bend, length * 0.75
    points *= rng.uniform(0.9, 1.1)
    left = bool(rng.random() < 0.5)
    # As laid out, the thumb is at the image's right and the palm faces the camera: a right hand.
    if left:
        points[:, 0] *= -1
    turn = rotation(rng.normal(0, 0.4), rng.normal(0, 0.4), rng.normal(0, 0.8))
    points = (points - points.mean(axis=0)) @ turn.T
    points += [rng.normal(0, 0.02), rng.normal(0, 0.02), rng.uniform(0.35, 0.5)]
    fixed = np.round(camera.project(points) * 8).astype(np.int32)
    image = background(camera, rng)
    skin = rng.uniform(60, 230) * np.array([1.0, rng.uniform(0.65, 0.9), rng.uniform(0.5, 0.8)])
    scale = camera.fx / points[:, 2].mean()
    cv2.fillPoly(image, [fixed[[0, 1, 5, 9, 13, 17]]], _colour(skin * 0.9), cv2.LINE_AA, 3)
    for a, b in topology("hand21@1").edges:
        width = max(2, round(scale * 0.014))
        cv2.line(image, tuple(map(int, fixed[a])), tuple(map(int, fixed[b])),
                 _colour(skin), width, cv2.LINE_AA, 3)  # fmt: skip
    for finger, first in enumerate((1, 5, 9, 13, 17)):  # nails, so that fingers can be told apart
        tip = tuple(map(int, fixed[first + 3]))
        colour = skin * 0.5 + 30 * finger
        cv2.circle(image, tip, round(scale * 0.005 * 8), _colour(colour), -1, cv2.LINE_AA, 3)
    return cv2.GaussianBlur(image, (3, 3), 0.6), points, "left" if left else "right"


def _colour(values: Floats) -> tuple[int, int, int]:
    r, g, b = (int(v) for v in np.clip(values, 0, 255))
    return r, g, b
