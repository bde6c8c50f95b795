"""Laws of the camera; OpenCV is the independent reference."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.camera import OPENCV_FROM_OPENGL, Camera, transform_points

CAMERAS = [
    Camera(500.0, 510.0, 320.0, 240.0, 640, 480),
    Camera(500.0, 510.0, 320.0, 240.0, 640, 480, (-0.2, 0.05, 0.001, -0.002, 0.01)),
]


@pytest.mark.parametrize("camera", CAMERAS)
@given(x=st.floats(0, 640), y=st.floats(0, 480), depth=st.floats(0.05, 50))
def test_unproject_inverts_project(camera, x, y, depth):
    point = camera.unproject([x, y], depth)
    assert point[2] == pytest.approx(depth)
    np.testing.assert_allclose(camera.project(point), [x, y], atol=1e-4)


@pytest.mark.parametrize("camera", CAMERAS)
def test_projection_agrees_with_opencv(camera):
    points = np.random.default_rng(0).uniform([-1, -1, 2], [1, 1, 9], (200, 3))
    distortion = np.array(camera.distortion or (0.0,) * 5)
    expected, _ = cv2.projectPoints(points, np.zeros(3), np.zeros(3), camera.matrix, distortion)
    np.testing.assert_allclose(camera.project(points), expected[:, 0], atol=1e-9)


def test_points_behind_the_camera_have_no_pixel():
    assert np.isnan(CAMERAS[0].project([[0, 0, -1.0], [0.1, 0, 0]])).all()


def test_a_centred_camera_sees_its_field_of_view():
    camera = Camera.from_fov(np.deg2rad(60), 640, 480)
    edge = camera.project([np.tan(np.deg2rad(30)), 0.0, 1.0])
    np.testing.assert_allclose(edge, [640, 240])


def test_scaling_a_camera_scales_its_pixels():
    point = [0.3, -0.2, 2.0]
    half = CAMERAS[1].scaled(320, 240)
    np.testing.assert_allclose(half.project(point) * 2, CAMERAS[1].project(point))


def test_change_of_axes_is_its_own_inverse_and_keeps_handedness():
    np.testing.assert_array_equal(OPENCV_FROM_OPENGL @ OPENCV_FROM_OPENGL, np.eye(4))
    assert np.linalg.det(OPENCV_FROM_OPENGL) == 1
    # A point one metre before an OpenGL camera lies at +z for OpenCV.
    np.testing.assert_array_equal(transform_points(OPENCV_FROM_OPENGL, [0, 0, -1.0]), [0, 0, 1])
