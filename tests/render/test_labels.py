"""Visibility, boxes and outlines on pictures whose truth is plain."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from render.labels import (
    OCCLUDED,
    UNKNOWN,
    VISIBLE,
    box_of_mask,
    box_of_points,
    clear_depth,
    silhouette,
    visibility,
)
from runtime.camera import Camera

CAMERA = Camera(100.0, 100.0, 50.0, 40.0, 100, 80)


def depth_of_sphere(centre: np.ndarray, radius: float, behind: float) -> np.ndarray:
    """(80, 100) depth of a ball before a wall."""
    x, y = np.meshgrid(np.arange(100) + 0.5, np.arange(80) + 0.5)
    rays = CAMERA.unproject(np.stack([x, y], axis=-1), np.ones_like(x))
    a, b = (rays**2).sum(-1), rays @ centre
    inside = b * b - a * (centre @ centre - radius**2)
    front = (b - np.sqrt(np.maximum(inside, 0))) / a
    return np.where(inside > 0, front, behind)


@settings(max_examples=40, deadline=None)
@given(
    x=st.floats(-0.2, 0.2), y=st.floats(-0.15, 0.15), z=st.floats(0.5, 0.8), r=st.floats(0.04, 0.1)
)
def test_a_ball_hides_what_lies_behind_it_and_nothing_else(
    x: float, y: float, z: float, r: float
) -> None:
    centre = np.array([x, y, z])
    depth = depth_of_sphere(centre, r, behind=2.0)
    along = centre / np.linalg.norm(centre)
    behind, before = centre + along * (r + 0.05), centre - along * (r + 0.05)
    beside = np.array([0.0, 0.0, 1.9]) + np.sign([-x or -1, -y or -1, 0]) * [0.6, 0.4, 0.0]
    seen = visibility(np.array([behind, before, beside]), CAMERA, depth, 0.004)
    assert seen.tolist() == [OCCLUDED, VISIBLE, VISIBLE]


def test_a_joint_inside_its_limb_is_visible_within_the_tolerance() -> None:
    centre = np.array([0.02, 0.01, 0.6])
    depth = depth_of_sphere(centre, 0.05, behind=np.inf)
    assert visibility(centre[None], CAMERA, depth, 0.06).tolist() == [VISIBLE]
    assert visibility(centre[None], CAMERA, depth, 0.02).tolist() == [OCCLUDED]


def test_outside_the_picture_is_occluded_and_behind_the_camera_unknown() -> None:
    depth = np.full((80, 100), np.inf)
    points = np.array([[9.0, 0, 1], [0, -9.0, 1], [0, 0, -1], [0, 0, 1]])
    assert visibility(points, CAMERA, depth).tolist() == [OCCLUDED, OCCLUDED, UNKNOWN, VISIBLE]


def test_a_point_is_hidden_where_another_part_is_seen() -> None:
    points = np.array([[0.0, 0, 1], [0.0, 0, 1]])
    own = np.zeros((2, 80, 100), dtype=bool)
    own[0, 39:42, 49:52] = True  # the pixel at the centre and its neighbours
    depth = np.full((80, 100), 0.99)
    assert visibility(points, CAMERA, depth, 0.02, own).tolist() == [VISIBLE, OCCLUDED]


@given(st.integers(0, 90), st.integers(0, 70), st.integers(3, 9), st.integers(3, 9))
def test_box_and_outline_of_a_rectangle(x: int, y: int, width: int, height: int) -> None:
    mask = np.zeros((80, 100), dtype=bool)
    mask[y : y + height, x : x + width] = True
    box = box_of_mask(mask)
    outline = silhouette(mask)
    assert box is not None
    assert outline is not None
    assert box.tolist() == [x, y, width, height]
    around = box_of_points(outline)  # through the border pixels' centres
    assert around.tolist() == pytest.approx([x + 0.5, y + 0.5, width - 1, height - 1])


def test_nothing_has_no_box() -> None:
    empty = np.zeros((5, 5), dtype=bool)
    assert box_of_mask(empty) is None
    assert silhouette(empty) is None


def test_the_void_has_no_depth() -> None:
    depth = clear_depth(np.array([[0.5, np.inf]]))
    assert depth[0, 0] == 0.5
    assert np.isnan(depth[0, 1])
