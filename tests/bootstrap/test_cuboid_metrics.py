"""Errors of boxes: known ones come back, and symmetric objects may turn."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from bootstrap.box_overlap import Boxes, box_iou
from bootstrap.cuboid_metrics import (
    adds_m,
    average_precision,
    azimuth_error_rad,
    box_errors,
    elevation_error_rad,
    precision_at_iou,
    scaled_to_truth,
    share_within,
    symmetric_iou,
    view_angles_rad,
)
from runtime.camera import Camera
from runtime.topology import topology

CAMERA = Camera(500, 500, 320, 240, 640, 480)
UPRIGHT = np.diag([1.0, -1.0, -1.0])
"""A box that shows its front to the camera and stands upright: camera_from_box."""


def boxes(count: int = 40, seed: int = 0) -> Boxes:
    rng = np.random.default_rng(seed)
    turns = Rotation.from_euler("yxz", rng.uniform(-0.6, 0.6, (count, 3))).as_matrix()
    centres = rng.uniform([-0.3, -0.3, 1.5], [0.3, 0.3, 3], (count, 3))
    return Boxes.checked(UPRIGHT @ turns, centres, rng.uniform(0.1, 0.5, (count, 3)))


def test_points_stand_in_the_order_of_the_topology():
    box = Boxes.checked(np.eye(3), [1, 2, 3], [2, 4, 6])
    points = box.points_m()[0]
    for name, point in zip(topology("cuboid9@1").keypoint_names[1:], points[1:]):
        signs = [1 if c == "+" else -1 for c in name.removeprefix("corner_")]
        np.testing.assert_allclose(point, np.array([1, 2, 3]) + np.array(signs) * [1, 2, 3])


def test_the_true_boxes_have_no_error():
    truth = boxes()
    errors = box_errors(truth, truth, [CAMERA] * len(truth))
    np.testing.assert_allclose(errors.iou, 1, atol=1e-12)
    for name in ("pixel_px", "azimuth_rad", "elevation_rad", "add_m", "adds_m"):
        np.testing.assert_allclose(getattr(errors, name), 0, atol=1e-9)


def test_a_turn_about_up_is_an_azimuth_error_and_nothing_else():
    truth = boxes()
    found = truth.turned(0.3)
    np.testing.assert_allclose(azimuth_error_rad(found, truth), 0.3, atol=1e-9)
    np.testing.assert_allclose(elevation_error_rad(found, truth), 0, atol=1e-9)
    np.testing.assert_allclose(azimuth_error_rad(truth.turned(5.0), truth), 2 * math.pi - 5.0)


def test_the_camera_is_seen_in_front_and_above():
    box = Boxes.checked(UPRIGHT, [0, 0, 2], [1, 1, 1])
    azimuth, elevation = view_angles_rad(box)
    assert (azimuth[0], elevation[0]) == (0, 0)
    # The camera a metre higher, box still level: 45 degrees above at a metre's distance.
    _, elevation = view_angles_rad(Boxes.checked(UPRIGHT, [0, 1, 1], [1, 1, 1]))
    assert elevation[0] == pytest.approx(math.pi / 4)
    azimuth, _ = view_angles_rad(box.turned(-math.pi / 2))  # its +x side now shows
    assert azimuth[0] == pytest.approx(math.pi / 2)


def test_a_shift_is_its_own_length():
    truth = boxes()
    found = Boxes(truth.rotations, truth.centres_m + [0.03, 0, 0.04], truth.sizes_m)
    errors = box_errors(found, truth, [CAMERA] * len(truth))
    np.testing.assert_allclose(errors.add_m, 0.05)
    assert (errors.adds_m <= errors.add_m + 1e-12).all()
    aside = Boxes(truth.rotations, truth.centres_m + [0.01, 0, 0], truth.sizes_m)
    pixels = box_errors(aside, truth, [CAMERA] * len(truth)).pixel_px
    np.testing.assert_allclose(pixels, (500 * 0.01 / truth.points_m()[:, :, 2]).mean(axis=1))


def test_points_swapped_by_a_half_turn_count_as_found_in_add_s():
    truth = boxes()
    np.testing.assert_allclose(adds_m(truth.turned(math.pi), truth), 0, atol=1e-12)


def test_symmetric_objects_may_turn_and_others_may_not():
    truth = boxes()
    found = truth.turned(2 * math.pi * 17 / 100)
    symmetric = np.arange(len(truth)) % 2 == 0
    errors = box_errors(found, truth, [CAMERA] * len(truth), symmetric)
    np.testing.assert_allclose(errors.iou[symmetric], 1, atol=1e-9)
    np.testing.assert_allclose(errors.pixel_px[symmetric], 0, atol=1e-6)
    np.testing.assert_allclose(errors.iou[~symmetric], box_iou(found, truth)[~symmetric])
    assert (errors.iou[~symmetric] < 0.99).all()
    assert (symmetric_iou(found, truth, 7) >= box_iou(found, truth)).all()


def test_scale_is_judged_apart():
    truth = boxes()
    found = Boxes(truth.rotations, 3 * truth.centres_m, 3 * truth.sizes_m)
    np.testing.assert_allclose(box_iou(scaled_to_truth(found, truth), truth), 1, atol=1e-12)
    assert (box_iou(found, truth) < 0.2).all()


def test_average_precision_by_hand():
    assert average_precision([0.9, 0.8, 0.7], [True, True, True], 3) == 1.0
    assert average_precision([0.9, 0.8, 0.7], [True, False, True], 2) == pytest.approx(
        0.5 * 1 + 0.5 * 2 / 3
    )
    assert average_precision([0.9], [True], 4) == 0.25  # three missed
    assert average_precision([], [], 4) == 0.0
    assert math.isnan(average_precision([], [], 0))
    # Equal scores are one step: their order among themselves says nothing.
    assert average_precision([0.5, 0.5], [True, False], 1) == 0.5
    assert average_precision([0.5, 0.5], [False, True], 1) == 0.5
    found = precision_at_iou([0.9, 0.8], [0.6, np.nan], 2, (0.5, 0.7))
    assert found == {0.5: 0.5, 0.7: 0.0}


def test_misses_are_outside():
    assert share_within([0.01, np.nan, 0.2], [1.0, 1.0, 1.0]) == pytest.approx(1 / 3)
