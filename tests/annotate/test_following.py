"""Laws of drags: what lands where, what stays, what follows."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from annotate.editing import new_document
from annotate.following import begin_drag
from annotate.sample import drawn_face
from bootstrap.face_shapes import face_shapes, fitted_pose
from runtime.topology import topology

FACE = topology("face478@1")
coordinate = st.floats(-1e5, 1e5, allow_nan=False, width=64)
hands = hnp.arrays(np.float64, (21, 2), elements=coordinate)


@pytest.fixture(scope="module")
def face():
    _, points = drawn_face(np.random.default_rng(2))
    return new_document("face478@1", points)


@given(hands, st.integers(0, 20), coordinate, coordinate, st.floats(0, 1e5))
def test_a_soft_drag_lands_exactly_and_leaves_the_far_alone(points, index, x, y, radius):
    move = begin_drag(new_document("hand21@1", points), index, radius).move(x, y)
    moved = dict(zip(move.indices, move.to_px))
    assert moved[index] == (x, y)
    distance = np.linalg.norm(points - points[index], axis=1)
    shift = math.hypot(x - points[index, 0], y - points[index, 1])
    for other, to in moved.items():
        assert other == index or distance[other] < radius
        # Nothing is drawn farther than what draws it (but for rounding).
        assert np.linalg.norm(np.array(to) - points[other]) <= shift * (1 + 1e-9) + 1e-6


def test_a_soft_drag_fades_with_distance():
    points = np.zeros((21, 2))
    points[:, 0] = np.arange(21)
    move = begin_drag(new_document("hand21@1", points), 0, 10.0).move(0.0, 10.0)
    heights = [y for _, y in move.to_px]
    assert move.indices == tuple(range(10))
    assert heights == sorted(heights, reverse=True)
    assert heights[0] == 10.0
    assert heights[5] == pytest.approx(5.0)


def test_without_a_reach_one_keypoint_moves(face):
    assert begin_drag(face, 4, 0.0).move(1.0, 2.0).indices == (4,)


@given(st.integers(0, 477), coordinate, coordinate)
def test_a_face_s_keypoint_lands_exactly_and_steps_add_up(face, index, x, y):
    drag = begin_drag(face, index, 60.0)
    assert tuple(drag.at(x, y)[0]) == (x, y)
    assert len(set(drag.indices.tolist())) == len(drag.indices)
    here = face.keypoints_px[index]
    half = drag.at(*(here + (np.array([x, y]) - here) / 2))
    np.testing.assert_allclose(half - drag.start_px, (drag.at(x, y) - drag.start_px) / 2, atol=1e-6)


def test_the_far_side_of_a_face_stays(face):
    length = float(FACE.normalising_length(face.keypoints_px))
    drag = begin_drag(face, 61, 0.35 * length)
    assert not set(FACE.parts["eyelids"]) & set(drag.indices.tolist())
    assert set(FACE.parts["lips"]) & set(drag.indices.tolist())


def test_what_belongs_together_moves_together(face):
    """Drawn down, the lower lip carries its outer edge and the chin, and not the upper lip."""
    length = float(FACE.normalising_length(face.keypoints_px))
    drag = begin_drag(face, 14, length)
    after = drag.at(*(drag.start_px[0] + [0.0, 0.1 * length]))
    down = dict(zip(drag.indices.tolist(), (after - drag.start_px)[:, 1] / (0.1 * length)))
    assert down[17] > 0.5
    assert down[13] < 0.5 * down[17]
    assert down[152] > down[13]


def test_a_drag_brings_back_a_shape_of_the_modes_better_than_distance_does(face):
    """What PCA is for: a face that differs by what faces differ in is found in fewer drags."""
    pose, shapes = fitted_pose(face.keypoints_px), face_shapes()
    rng = np.random.default_rng(0)
    length = float(FACE.normalising_length(face.keypoints_px))
    gains = []
    for _ in range(12):
        shift = np.tensordot(rng.normal(size=len(shapes.modes)), shapes.modes, 1)
        truth = face.keypoints_px + shift @ pose.picture_from_face.T
        for index in (14, 61, 159, 105):
            errors = []
            for radius in (0.0, 0.6 * length):
                drag = begin_drag(face, index, radius)
                points = face.keypoints_px.copy()
                points[drag.indices] = drag.at(*truth[index])
                errors.append(np.linalg.norm(points - truth, axis=1).mean())
            gains.append(errors[1] / errors[0])
    assert np.mean(gains) < 0.97


def test_keypoints_without_a_position_stay(face):
    points = face.keypoints_px.copy()
    points[[0, 17]] = np.nan
    document = new_document("face478@1", points)
    drag = begin_drag(document, 14, 80.0)
    assert not {0, 17} & set(drag.indices.tolist())
    assert np.isfinite(drag.at(5.0, 5.0)).all()
    placed = begin_drag(document, 17, 80.0, np.array([50.0, 60.0]))
    assert tuple(placed.start_px[0]) == (50.0, 60.0)
    assert placed.indices[0] == 17
