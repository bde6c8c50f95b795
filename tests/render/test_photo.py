"""The camera after the render: blur keeps light and place."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from render.photo import Photo, defocused, develop, metered, moved, random_photo

SIDE = 81


def dot() -> np.ndarray:
    light = np.zeros((SIDE, SIDE, 3), dtype=np.float32)
    light[SIDE // 2, SIDE // 2] = 1.0
    return light


def spread(light: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean place (x, y) and (2, 2) covariance of the light."""
    weight = light[..., 0] / light[..., 0].sum()
    y, x = np.mgrid[:SIDE, :SIDE]
    mean = np.array([(weight * x).sum(), (weight * y).sum()])
    away = np.stack([x - mean[0], y - mean[1]])
    return mean, np.einsum("iyx,jyx,yx->ij", away, away, weight)


@given(st.floats(0.6, 30), st.floats(0, math.pi))
def test_motion_smears_along_its_line_and_moves_nothing(length: float, direction: float) -> None:
    mean, covariance = spread(moved(dot(), length, direction))
    np.testing.assert_allclose(mean, SIDE // 2, atol=1e-3)
    along = np.array([math.cos(direction), math.sin(direction)])
    across = np.array([-along[1], along[0]])
    # An even line of that length has a variance of length^2 / 12; bilinear steps add up to 1/4.
    assert along @ covariance @ along == pytest.approx(length**2 / 12, abs=0.27)
    assert across @ covariance @ across < 0.26


@given(st.floats(0.6, 15))
def test_defocus_makes_a_disc(radius: float) -> None:
    mean, covariance = spread(defocused(dot(), radius))
    np.testing.assert_allclose(mean, SIDE // 2, atol=1e-3)
    # An even disc: radius^2 / 4 in every direction; the pixels' own width and the rim add a bit.
    assert covariance[0, 0] == pytest.approx(covariance[1, 1], rel=1e-3)
    assert covariance[0, 0] == pytest.approx(radius**2 / 4, abs=0.35 + 0.12 * radius)


def test_blur_keeps_the_light_and_small_blur_nothing_at_all() -> None:
    light = np.random.default_rng(0).random((40, 50, 3), dtype=np.float32)
    for blurred in (moved(light, 9.0, 0.7), defocused(light, 4.0)):
        assert blurred.std() < light.std() / 2
        assert blurred.mean() == pytest.approx(light.mean(), rel=0.02)
    assert moved(light, 0.2, 1.0) is light
    assert defocused(light, 0.2) is light


def test_a_photo_without_faults_is_the_light_itself() -> None:
    light = np.full((4, 4, 3), 0.18, dtype=np.float32)
    stored = develop(light, 1.0, Photo(), np.random.default_rng(0))
    assert (stored == 118).all()  # middle grey in sRGB


def test_photos_are_drawn_alike_and_stay_plausible() -> None:
    first, again = (random_photo(np.random.default_rng(5)) for _ in range(2))
    assert first == again
    rng = np.random.default_rng(1)
    many = [random_photo(rng) for _ in range(2000)]
    assert 0.15 < np.mean([photo.motion > 0 for photo in many]) < 0.35
    assert max(photo.motion for photo in many) <= 0.05
    assert max(photo.background_blur for photo in many) <= 0.03
    assert all(80 <= photo.jpeg_quality < 98 for photo in many)


def test_a_subject_before_black_is_not_burnt_out() -> None:
    light = np.zeros((40, 40, 3), dtype=np.float32)
    light[10:30, 10:30] = 0.2
    weight = np.where(light[..., 0] > 0, 1.0, 0.1).astype(np.float32)
    before_black = metered(light, weight)
    before_grey = metered(np.where(light > 0, light, np.float32(0.2)), weight)
    assert before_grey < before_black < 2.1 * before_grey
    assert metered(4 * light, weight) == pytest.approx(before_black / 4, rel=1e-5)
