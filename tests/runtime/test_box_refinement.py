"""A lifted box is made right: exact keypoints leave it alone, inexact ones it takes well."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.optimize import least_squares
from scipy.spatial.transform import Rotation

from runtime.box_refinement import right_angled, standing
from runtime.camera import Camera
from runtime.cuboid import Cuboid, lift_cuboid

CAMERA = Camera(500.0, 510.0, 236.0, 325.0, 480, 640)
SEEDS = range(30)


def a_box(seed: int) -> Cuboid:
    rng = np.random.default_rng(seed)
    turn = Rotation.random(random_state=seed).as_matrix()
    centre = np.array([*rng.uniform(-0.2, 0.2, 2), rng.uniform(0.8, 1.6)])
    return Cuboid(turn, centre, rng.uniform(0.1, 0.4, 3))


def off_px(box: Cuboid, seen: np.ndarray) -> float:
    return float(((CAMERA.project(box.vertices()) - seen) ** 2).sum())


def noisy(seed: int, deviation_px: float) -> tuple[Cuboid, np.ndarray, Cuboid]:
    box = a_box(seed)
    seen = CAMERA.project(box.vertices())
    seen = seen + np.random.default_rng(seed).normal(0, deviation_px, seen.shape)
    lifted = lift_cuboid(seen, CAMERA)
    assert lifted is not None
    return box, seen, lifted


@pytest.mark.parametrize("seed", SEEDS)
def test_exact_keypoints_give_the_lifted_box_again(seed: int) -> None:
    box, seen, lifted = noisy(seed, 0.0)
    right = right_angled(lifted, seen, CAMERA)
    np.testing.assert_allclose(right.directions, box.directions, atol=1e-6)
    scale = box.translation_m[2] / right.translation_m[2]
    np.testing.assert_allclose(right.size_m * scale, box.size_m, atol=1e-6)
    assert right.translation_m[2] == pytest.approx(lifted.translation_m[2])
    assert not right.metric
    assert right_angled(replace(lifted, metric=True), seen, CAMERA).metric


@pytest.mark.parametrize("seed", SEEDS)
def test_it_is_right_angled_and_no_right_angled_box_lies_nearer(seed: int) -> None:
    _, seen, lifted = noisy(seed, 3.0)
    right = right_angled(lifted, seen, CAMERA)
    np.testing.assert_allclose(right.directions.T @ right.directions, np.eye(3), atol=1e-9)
    assert np.linalg.det(right.directions) == pytest.approx(1)
    assert off_px(right, seen) <= off_px(replace(lifted, directions=lifted.rotation), seen)

    def residuals(values: np.ndarray) -> np.ndarray:
        turn = Rotation.from_rotvec(values[:3]).as_matrix() @ right.directions
        there = Cuboid(turn, right.translation_m + values[3:6], right.size_m * np.exp(values[6:]))
        return np.asarray((CAMERA.project(there.vertices()) - seen).ravel())

    best = least_squares(residuals, np.zeros(9), x_scale=0.01)
    assert off_px(right, seen) <= 2 * best.cost * 1.01


def test_keypoints_off_by_some_pixels_hurt_it_less() -> None:
    turned, stretched = [], []
    for seed in range(100):
        box, seen, lifted = noisy(seed, 4.0)
        for one in (lifted, right_angled(lifted, seen, CAMERA)):
            between = Rotation.from_matrix(box.directions.T @ one.rotation).magnitude()
            scale = box.translation_m[2] / one.translation_m[2]
            turned.append(between)
            stretched.append(np.abs(np.log(one.size_m * scale / box.size_m)).max())
    assert np.median(turned[1::2]) < 0.6 * np.median(turned[::2])
    assert np.median(stretched[1::2]) < 0.7 * np.median(stretched[::2])


@pytest.mark.parametrize("seed", SEEDS)
def test_keypoints_of_no_box_give_some_box(seed: int) -> None:
    rng = np.random.default_rng(seed)
    seen = rng.uniform(-500, 1500, (9, 2))
    lifted = lift_cuboid(seen, CAMERA)
    if lifted is None:
        return
    right = right_angled(lifted, seen, CAMERA)
    for values in (right.directions, right.translation_m, right.size_m):
        assert np.isfinite(values).all()
    assert (right.size_m > 0).all()


def a_standing_box(seed: int) -> tuple[Cuboid, np.ndarray, float]:
    """With its plane: normal and distance."""
    rng = np.random.default_rng(seed)
    turn = Rotation.from_euler("x", np.pi + rng.uniform(0.3, 0.9)) * Rotation.from_euler(
        "y", rng.uniform(-3, 3)
    )
    centre = np.array([*rng.uniform(-0.2, 0.2, 2), rng.uniform(0.8, 1.6)])
    box = Cuboid(turn.as_matrix(), centre, rng.uniform(0.1, 0.4, 3), True)
    up = box.directions[:, 1]
    return box, up, float(up @ (centre - up * box.size_m[1] / 2))


@pytest.mark.parametrize("seed", SEEDS)
def test_a_box_that_stands_is_found_in_metres(seed: int) -> None:
    box, up, level = a_standing_box(seed)
    seen = CAMERA.project(box.vertices())
    lifted = lift_cuboid(seen, CAMERA)
    assert lifted is not None
    for sign in (1, -1):  # a plane's normal may point either way
        found = standing(lifted, seen, CAMERA, sign * up, sign * level)
        assert found is not None
        assert found.metric
        np.testing.assert_allclose(found.directions, box.directions, atol=1e-6)
        np.testing.assert_allclose(found.translation_m, box.translation_m, atol=1e-6)
        np.testing.assert_allclose(found.size_m, box.size_m, atol=1e-6)


def test_standing_takes_inexact_keypoints_better_than_scaling() -> None:
    errors = []
    for seed in range(60):
        box, up, level = a_standing_box(seed)
        seen = CAMERA.project(box.vertices())
        seen = seen + np.random.default_rng(seed).normal(0, 4.0, seen.shape)
        lifted = lift_cuboid(seen, CAMERA)
        assert lifted is not None
        right = right_angled(lifted, seen, CAMERA)
        stood, scaled = standing(right, seen, CAMERA, up, level), right.on_plane(up, level)
        assert stood is not None
        assert scaled is not None
        foot = stood.translation_m - up * stood.size_m[1] / 2
        assert up @ foot == pytest.approx(level, abs=1e-9)
        np.testing.assert_allclose(stood.directions[:, 1], up, atol=1e-9)
        np.testing.assert_allclose(stood.directions.T @ stood.directions, np.eye(3), atol=1e-9)
        errors.append([np.linalg.norm(one.vertices() - box.vertices(), axis=1).mean()
                       for one in (stood, scaled)])  # fmt: skip
    stood_m, scaled_m = np.median(errors, axis=0)
    assert stood_m < 0.7 * scaled_m


def test_nothing_stands_on_a_plane_through_the_camera_or_behind_it() -> None:
    box, up, level = a_standing_box(0)
    seen = CAMERA.project(box.vertices())
    assert standing(box, seen, CAMERA, up, 0.0) is None
    assert standing(box, seen, CAMERA, up, -level) is None
