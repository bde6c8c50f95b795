"""Laws of face shapes and poses."""

from __future__ import annotations

import numpy as np
import pytest

from bootstrap.face_shapes import FaceShapes, encode_shapes, face_shapes, fitted_pose, fitted_shapes
from runtime.topology import topology

LAYOUT = topology("face478@1")


def test_the_shipped_mean_is_symmetric_and_one_interocular_wide():
    mean = face_shapes().mean
    assert float(LAYOUT.normalising_length(mean)) == pytest.approx(1.0, abs=1e-4)
    flipped = mean[list(LAYOUT.mirror)] * [-1.0, 1.0, 1.0]
    # The mapping on Anny is symmetric but for a few landmarks in the middle.
    assert np.abs(flipped - mean).max() < 0.03
    assert mean[4, 2] > mean[:468, 2].mean()  # the nose points outwards
    assert mean[10, 1] > mean[152, 1]  # the forehead is above the chin


def test_modes_are_orthogonal_and_fall():
    modes = face_shapes().modes.reshape(len(face_shapes().modes), -1)
    size = np.linalg.norm(modes, axis=1)
    assert (np.diff(size) <= 1e-6).all()
    cosines = modes @ modes.T / np.outer(size, size)
    assert np.abs(cosines - np.eye(len(modes))).max() < 1e-3


def test_fitting_finds_the_modes_that_made_the_shapes_wherever_they_stand():
    rng = np.random.default_rng(0)
    shapes = face_shapes()
    made = []
    for a, b in rng.normal(size=(300, 2)):
        turn, _ = np.linalg.qr(rng.normal(size=(3, 3)))
        turn *= np.sign(np.linalg.det(turn))
        shape = shapes.mean + a * shapes.modes[2] + b * shapes.modes[5]
        made.append(rng.uniform(0.5, 2) * shape @ turn + rng.normal(size=3))
    found = fitted_shapes(np.array(made), 3).modes.reshape(3, -1)
    size = np.linalg.norm(found, axis=1)
    assert size[2] < 0.15 * size[1]  # two directions made them, what a scale costs is the third


def test_the_file_keeps_four_digits():
    shapes = face_shapes()
    again = FaceShapes(shapes.mean, shapes.modes)
    assert len(encode_shapes(again)) < 200_000


@pytest.mark.parametrize("yaw", [-0.6, 0.0, 0.5])
def test_a_pose_is_found_again(yaw):
    mean = face_shapes().mean
    turn = np.array(
        [[np.cos(yaw), 0, np.sin(yaw)], [0, -1, 0]],
    )
    points = 80.0 * mean @ turn.T + [300.0, 200.0]
    pose = fitted_pose(points)
    np.testing.assert_allclose(pose.project(mean), points, atol=1e-6)
    points[::3] = np.nan
    np.testing.assert_allclose(fitted_pose(points).picture_from_face, 80 * turn, atol=1e-6)


def test_too_few_keypoints_give_an_upright_face():
    points = np.full((478, 2), np.nan)
    points[:2] = 10.0
    pose = fitted_pose(points)
    assert pose.picture_from_face[1, 1] < 0
    assert np.isfinite(pose.project(face_shapes().mean)).all()
