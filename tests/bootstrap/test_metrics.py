"""Metrics against what can be worked out on paper."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from bootstrap.metrics import (
    bootstrap_mean,
    grouped,
    keypoint_distances,
    mean_known,
    normalising_length_px,
    part_errors,
    six_point_errors,
)
from runtime.camera import Camera
from runtime.topology import topology


def test_distances_leave_out_what_is_not_labelled() -> None:
    truth = np.zeros((2, 3, 2))
    predicted = truth + [[[3, 4]], [[6, 8]]]
    labelled = np.array([[True, False, True], [False, True, True]])
    distances = keypoint_distances(predicted, truth, labelled)
    np.testing.assert_array_equal(np.isnan(distances), ~labelled)
    np.testing.assert_array_equal(mean_known(distances), [5, 10])
    assert math.isnan(mean_known([np.nan, np.nan]))


@given(
    angle=st.floats(-math.pi, math.pi),
    scale=st.floats(0.1, 10),
    seed=st.integers(0, 2**32 - 1),
)
@settings(max_examples=40, deadline=None)
def test_normalised_error_is_the_same_however_the_picture_is_turned_or_scaled(
    angle: float, scale: float, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    hand = topology("hand21@1")
    truth, predicted = rng.uniform(0, 100, (2, 21, 2))
    cos, sin = math.cos(angle), math.sin(angle)
    turn = scale * np.array([[cos, -sin], [sin, cos]])
    before = keypoint_distances(predicted, truth) / normalising_length_px(hand, truth)
    after = keypoint_distances(predicted @ turn, truth @ turn) / normalising_length_px(
        hand, truth @ turn
    )
    np.testing.assert_allclose(after, before, rtol=1e-9)


@given(yaw=st.floats(-1.5, 1.5), distance=st.floats(0.3, 3))
@settings(max_examples=40, deadline=None)
def test_length_in_space_does_not_shrink_with_yaw(yaw: float, distance: float) -> None:
    face = topology("face478@1")
    camera = Camera(800, 800, 320, 240, 640, 480)
    points = np.zeros((478, 3))
    points[468], points[473] = (-0.0315, 0, 0), (0.0315, 0, 0)
    turn = np.array(
        [[math.cos(yaw), 0, math.sin(yaw)], [0, 1, 0], [-math.sin(yaw), 0, math.cos(yaw)]]
    )
    placed = points @ turn.T + [0, 0, distance]
    pixels = camera.project(placed)
    assert normalising_length_px(face, pixels, placed, camera) == pytest.approx(
        0.063 * 800 / distance
    )
    assert normalising_length_px(face, pixels) <= 0.063 * 800 / distance * 1.02


def test_a_subject_behind_the_camera_has_no_length() -> None:
    hand = topology("hand21@1")
    points = np.full((21, 3), -1.0)
    camera = Camera(800, 800, 320, 240, 640, 480)
    assert math.isnan(normalising_length_px(hand, np.zeros((21, 2)), points, camera))


def test_interval_agrees_with_students_t() -> None:
    values = np.random.default_rng(1).normal(10, 3, 200)
    found = bootstrap_mean(values, [str(i) for i in range(200)], np.random.default_rng(0))
    low, high = stats.t.interval(0.95, 199, values.mean(), stats.sem(values))
    assert found.mean == pytest.approx(values.mean())
    assert found.n == 200
    assert found.interval == pytest.approx((low, high), abs=0.08)


def test_interval_covers_the_truth_about_as_often_as_it_says() -> None:
    rng = np.random.default_rng(2)
    names = [str(i) for i in range(60)]
    covered = 0
    for _ in range(300):
        low, high = bootstrap_mean(rng.exponential(1, 60), names, rng, 400).interval
        covered += low <= 1 <= high
    assert 0.88 <= covered / 300 <= 0.98


def test_subjects_of_one_picture_are_drawn_together() -> None:
    rng = np.random.default_rng(3)
    pictures = rng.normal(0, 1, 40)
    values = np.repeat(pictures, 10) + rng.normal(0, 0.01, 400)
    together = bootstrap_mean(values, [str(i // 10) for i in range(400)], np.random.default_rng(0))
    apart = bootstrap_mean(values, [str(i) for i in range(400)], np.random.default_rng(0))
    width = together.interval[1] - together.interval[0]
    assert width / (apart.interval[1] - apart.interval[0]) == pytest.approx(10**0.5, rel=0.15)


def test_intervals_of_little_or_nothing() -> None:
    rng = np.random.default_rng(0)
    nothing = bootstrap_mean([np.nan], ["a"], rng)
    assert nothing.n == 0
    assert nothing.to_json() == {"mean": None, "interval": [None, None], "n": 0}
    one = bootstrap_mean([4.0, np.nan], ["a", "b"], rng)
    assert (one.mean, one.interval, one.n) == (4.0, (4.0, 4.0), 1)
    again = [bootstrap_mean([1, 2, 5], list("abc"), np.random.default_rng(9)) for _ in range(2)]
    assert again[0] == again[1]


def test_part_errors_average_their_own_keypoints() -> None:
    hand = topology("hand21@1")
    errors = np.tile(np.arange(21.0), (2, 1))
    errors[1, 1:5] = np.nan
    found = part_errors(errors, hand.parts)
    assert set(found) == set(hand.parts)
    assert found["thumb"][0] == pytest.approx(2.5)
    assert math.isnan(found["thumb"][1])
    assert found["pinky"][1] == pytest.approx(18.5)


def test_six_points_by_the_outer_corners() -> None:
    truth = np.zeros((1, 478, 2))
    truth[0, 33], truth[0, 263] = (100, 50), (200, 50)
    predicted = truth.copy()
    predicted[0, 61] += (0, 12)
    predicted[0, 0] += 500
    assert six_point_errors(predicted, truth)[0] == pytest.approx(12 / 6 / 100)


def test_groups() -> None:
    assert grouped(["a", None, "b"]) == ["a", None, "b"]
    assert grouped([1, 2, 1, 2.5]) == ["1", "2", "1", "2.5"]
    assert grouped([True, False, None]) == ["True", "False", None]
    numbers = np.random.default_rng(0).uniform(0, 100, 400).tolist()
    names = grouped([*numbers, None])
    assert names[-1] is None
    counts = {name: names.count(name) for name in set(names[:-1])}
    assert len(counts) == 4
    assert set(counts.values()) == {100}
    for value, name in zip(numbers, names):
        low, high = map(float, str(name).split(" to "))
        assert low * 0.99 - 0.1 <= value <= high * 1.01 + 0.1
