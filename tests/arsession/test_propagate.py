"""A box carried through a session: where it is, what is seen of it, how sure that is."""

from __future__ import annotations

import time

import numpy as np
import pytest

from arsession.cuboid_evidence import Evidence, PlacedBox, PlaneSnap
from arsession.cuboid_fit import fit_box
from arsession.propagate import (
    HIDDEN,
    NOT_THERE,
    VISIBLE,
    hidden_by_depth,
    mean_expected_px,
    next_frames,
    propagate,
)
from arsession.views import Views
from tests.arsession.orbit import CAMERA, UP, VIEWS, corner_clicks, orbit, random_box, seen_px


def test_propagation_is_projection():
    rng = np.random.default_rng(0)
    for _ in range(5):
        box = random_box(rng)
        seen = propagate(box, VIEWS)
        np.testing.assert_allclose(seen.keypoints_px, seen_px(box), atol=1e-9)
        np.testing.assert_allclose(CAMERA.project(seen.keypoints_camera_m), seen.keypoints_px)
        assert seen.seen.all()


def test_a_corner_is_hidden_when_the_box_stands_before_it():
    # Seen from in front and above, level with +z: only the lower back corners are hidden.
    box = PlacedBox(np.eye(3), np.array([0, 0.1, 0]), np.array([0.2, 0.2, 0.2]))
    middle = propagate(box, VIEWS).visibility[45]  # 75 / 89 of a degree off the middle
    hidden = {k for k in range(9) if middle[k] == HIDDEN}
    assert hidden in ({1}, {5}, {1, 5})  # ---, +--: at the bottom, at the back
    # By ray casting: something of the box lies between the camera and a hidden corner.
    rng = np.random.default_rng(1)
    box = random_box(rng)
    seen = propagate(box, VIEWS)
    for f in range(0, 90, 9):
        eye = (VIEWS.centres_m()[f] - box.centre_m) @ box.rotation
        for k in range(1, 9):
            corner = (box.points_world_m()[k] - box.centre_m) @ box.rotation
            along = eye + np.linspace(0, 0.999, 2000)[:, None] * (corner - eye)
            blocked = (np.abs(along) < box.size_m / 2 * (1 - 1e-9)).all(axis=1).any()
            assert (seen.visibility[f, k] == HIDDEN) == blocked


def test_outside_behind_and_cut_off():
    look = np.eye(4)[None]  # at the origin, along +z
    views = Views.of_poses(look, (CAMERA,))
    turn = np.eye(3)
    edge = PlacedBox(turn, np.array([0.6, 0, 1.0]), np.array([0.4, 0.1, 0.1]))
    seen = propagate(edge, views)
    right = seen.keypoints_px[0, :, 0]
    assert (seen.visibility[0][right > 1920] == HIDDEN).all()
    width = right.max() - right.min()
    assert seen.truncation[0] == pytest.approx((right.max() - 1920) / width)
    x, _, w, _ = seen.box_px[0]
    assert x + w == 1920
    behind = propagate(PlacedBox(turn, np.array([0, 0, -1.0]), np.full(3, 0.2)), views)
    assert (behind.visibility == NOT_THERE).all()
    assert behind.truncation[0] == 1
    assert not behind.seen[0]
    around = propagate(PlacedBox(turn, np.zeros(3), np.full(3, 0.2)), views)
    assert set(around.visibility[0]) >= {NOT_THERE}
    assert around.truncation[0] == 1


class FlatDepth:
    """A wall across the whole picture."""

    def __init__(self, metres: float) -> None:
        self._image = np.full((48, 64), metres, np.float32)

    def read(self, frame: int) -> np.ndarray | None:
        return self._image


def test_depth_shows_what_stands_in_front():
    box = random_box(np.random.default_rng(2))
    seen = propagate(box, VIEWS)
    assert (hidden_by_depth(seen, 30, FlatDepth(0.3), VIEWS) == HIDDEN).all()
    for away in (3.0, 0.0):  # behind it, and no measurement at all
        after = hidden_by_depth(seen, 30, FlatDepth(away), VIEWS)
        np.testing.assert_array_equal(after, seen.visibility[30])


def test_expected_errors_are_those_that_come():
    rng = np.random.default_rng(3)
    box = random_box(rng)
    truth = seen_px(box)
    squares, expected = [], []
    for _ in range(60):
        evidence = Evidence(
            corner_clicks(box, [20, 60], rng), UP, plane=PlaneSnap(rng.normal(0, 0.004))
        )
        fit = fit_box(evidence, VIEWS, box)
        seen = propagate(fit.box, VIEWS, fit.covariance)
        squares.append(((seen.keypoints_px - truth) ** 2).sum(axis=-1))
        expected.append(seen.expected_px**2)
    ratio = np.sqrt(np.mean(squares, axis=(0, 2)) / np.mean(expected, axis=(0, 2)))
    np.testing.assert_allclose(ratio, 1, atol=0.25)
    assert np.isnan(propagate(box, VIEWS).expected_px).all()


def test_the_frame_that_is_named_next_shrinks_the_error_as_told():
    rng = np.random.default_rng(4)
    box = random_box(rng)
    clicks = corner_clicks(box, [45], rng)
    snapped = PlaneSnap(0.0)
    fit = fit_box(Evidence(clicks, UP, plane=snapped), VIEWS)
    ranked = next_frames(fit, VIEWS)
    assert len(ranked) == 90
    assert abs(ranked[0].frame - 45) > 30  # from the side, what the first view saw end on
    before = mean_expected_px(propagate(fit.box, VIEWS, fit.covariance))
    told = {one.frame: one.expected_px for one in ranked}
    assert told[ranked[0].frame] == min(told.values()) < before / 2
    assert min(one.gain_bits for one in ranked) > 0
    for frame in (ranked[0].frame, ranked[-1].frame):
        visible = tuple(
            k for k in range(1, 9) if propagate(box, VIEWS).visibility[frame, k] == VISIBLE
        )
        more = corner_clicks(box, [frame], rng, corners=visible)
        again = fit_box(Evidence(clicks + more, UP, plane=snapped), VIEWS, fit.box)
        after = mean_expected_px(propagate(again.box, VIEWS, again.covariance))
        assert after == pytest.approx(told[frame], rel=0.35)


def test_propagation_of_270_frames_takes_five_milliseconds_at_most():
    views = Views.of_poses(orbit(270), (CAMERA,))
    rng = np.random.default_rng(5)
    box = random_box(rng)
    fit = fit_box(Evidence(corner_clicks(box, [20, 200], rng, views=views), UP), views)
    best = np.inf
    for _ in range(7):
        begun = time.process_time()
        propagate(fit.box, views, fit.covariance)
        best = min(best, time.process_time() - begun)
    assert best < 0.005
