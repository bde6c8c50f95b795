"""Overlap of boxes against SciPy's half-space intersection, and its laws."""

from __future__ import annotations

import time

import numpy as np
import pytest
from scipy.optimize import linprog
from scipy.spatial import ConvexHull, HalfspaceIntersection
from scipy.spatial.transform import Rotation

from bootstrap.box_overlap import Boxes, box_iou, shared_volume_m3
from runtime.errors import ViewfinderError


def random_boxes(rng: np.random.Generator, count: int, spread: float = 0.5) -> Boxes:
    turns = Rotation.random(count, random_state=rng).as_matrix()
    return Boxes.checked(turns, rng.normal(0, spread, (count, 3)), rng.uniform(0.1, 2, (count, 3)))


def half_spaces(boxes: Boxes, i: int) -> np.ndarray:
    normals = np.concatenate([boxes.rotations[i].T, -boxes.rotations[i].T])
    reach = normals @ boxes.centres_m[i] + np.tile(boxes.sizes_m[i] / 2, 2)
    return np.column_stack([normals, -reach])


def hull_volume(first: Boxes, second: Boxes, i: int) -> float:
    """The largest ball inside gives a point; SciPy's dual and hull give the rest."""
    planes = np.concatenate([half_spaces(first, i), half_spaces(second, i)])
    ball = linprog(
        [0, 0, 0, -1],
        A_ub=np.column_stack([planes[:, :3], np.ones(12)]),
        b_ub=-planes[:, 3],
        bounds=[(None, None)] * 4,
    )
    if ball.x[3] < 1e-9:
        return 0.0
    return ConvexHull(HalfspaceIntersection(planes, ball.x[:3]).intersections).volume


def test_equals_an_independent_computation():
    rng = np.random.default_rng(1)
    first, second = random_boxes(rng, 150), random_boxes(rng, 150)
    expected = np.array([hull_volume(first, second, i) for i in range(150)])
    assert 0.4 < (expected > 0).mean() < 0.9  # both kinds are there
    np.testing.assert_allclose(shared_volume_m3(first, second), expected, atol=1e-9)
    union = first.volumes_m3 + second.volumes_m3 - expected
    np.testing.assert_allclose(box_iou(first, second), expected / union, atol=1e-9)


def test_is_symmetric_and_moves_along():
    rng = np.random.default_rng(2)
    first, second = random_boxes(rng, 300), random_boxes(rng, 300)
    iou = box_iou(first, second)
    np.testing.assert_allclose(box_iou(second, first), iou, atol=1e-12)
    move = np.eye(4)
    move[:3, :3] = Rotation.random(random_state=rng).as_matrix()
    move[:3, 3] = [3, -2, 5]
    np.testing.assert_allclose(box_iou(first.moved(move), second.moved(move)), iou, atol=1e-12)
    larger = [Boxes(b.rotations, 7 * b.centres_m, 7 * b.sizes_m) for b in (first, second)]
    np.testing.assert_allclose(box_iou(*larger), iou, atol=1e-12)


@pytest.mark.parametrize("tilt", [0.0, 1e-16, 1e-13, 1e-11, 1e-9, 1e-7, 1e-5])
def test_nearly_equal_boxes_overlap_nearly_whole(tilt):
    # Faces that almost coincide are where clipping loses pieces.
    rng = np.random.default_rng(3)
    first = random_boxes(rng, 500)
    turn = Rotation.from_rotvec(tilt * rng.normal(size=(500, 3))).as_matrix()
    second = Boxes(
        first.rotations @ turn,
        first.centres_m + tilt * rng.normal(size=(500, 3)),
        first.sizes_m * (1 + tilt * rng.normal(size=(500, 3))),
    )
    np.testing.assert_allclose(box_iou(first, second), 1, atol=200 * tilt + 1e-12)


def test_known_overlaps():
    rng = np.random.default_rng(4)
    boxes = random_boxes(rng, 200)
    side = boxes.rotations[:, :, 0] * boxes.sizes_m[:, :1]

    def shifted(by: float) -> Boxes:
        return Boxes(boxes.rotations, boxes.centres_m + by * side, boxes.sizes_m)

    np.testing.assert_allclose(box_iou(boxes, shifted(1.0)), 0, atol=1e-12)  # face on face
    np.testing.assert_allclose(box_iou(boxes, shifted(0.5)), 1 / 3, atol=1e-12)
    np.testing.assert_array_equal(box_iou(boxes, shifted(20.0)), 0)
    inner = Boxes(boxes.rotations, boxes.centres_m, boxes.sizes_m / 2)
    np.testing.assert_allclose(box_iou(boxes, inner), 1 / 8, atol=1e-12)
    # A square turned by 45 degrees shares an octagon with itself: 2 (sqrt 2 - 1) of its area.
    cube = Boxes.checked(np.eye(3), np.zeros(3), np.ones(3))
    octagon = 2 * (np.sqrt(2) - 1)
    np.testing.assert_allclose(box_iou(cube, cube.turned(np.pi / 4)), octagon / (2 - octagon))


def test_thin_and_huge_boxes():
    plate = Boxes.checked(np.eye(3), np.zeros(3), [1000.0, 1e-4, 1000.0])
    cube = Boxes.checked(np.eye(3), [0.3, 0, 0.2], [1.0, 1.0, 1.0])
    np.testing.assert_allclose(shared_volume_m3(plate, cube), 1e-4, rtol=1e-9)
    np.testing.assert_allclose(shared_volume_m3(cube, plate), 1e-4, rtol=1e-9)


def test_fifty_times_faster_than_the_reference():
    rng = np.random.default_rng(5)
    first, second = random_boxes(rng, 4000, 0.4), random_boxes(rng, 4000, 0.4)
    best = np.inf
    for _ in range(5):
        begun = time.process_time()
        box_iou(first, second)
        best = min(best, time.process_time() - begun)
    assert best / 4000 < 2.4e-3 / 50


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"sizes_m": [1, 0, 1]}, "sizes above zero"),
        ({"rotations": np.diag([1, 1, -1])}, "a rotation"),
        ({"centres_m": [0, np.nan, 0]}, "finite"),
        ({"centres_m": np.zeros((2, 3))}, "as many"),
    ],
)
def test_what_is_no_box_is_refused(change, message):
    given = {"rotations": np.eye(3), "centres_m": np.zeros(3), "sizes_m": np.ones(3)}
    with pytest.raises(ViewfinderError, match=message):
        Boxes.checked(**(given | change))
