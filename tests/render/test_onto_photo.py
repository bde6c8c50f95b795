"""What a photograph says of its light, and how a face takes it on."""

from __future__ import annotations

import numpy as np
import pytest

from render.onto_photo import grain, lamp_of, neutral_gains, onto_photo, photo_light

SIZE = 128


def grey(level: float = 0.3) -> np.ndarray:
    return np.full((SIZE, SIZE, 3), level, dtype=np.float32)


def test_a_flat_grey_photograph_has_no_side_no_cast_no_grain() -> None:
    light = photo_light(grey())
    assert light.colour == pytest.approx((1, 1, 1), abs=1e-5)
    assert light.right == pytest.approx(0, abs=1e-5)
    assert light.above == pytest.approx(0, abs=1e-5)
    assert light.grain == pytest.approx(0, abs=1e-6)
    assert light.level == pytest.approx(0.3)


@pytest.mark.parametrize("axis", ["right", "above"])
def test_the_brighter_side_gets_the_lamp(axis: str) -> None:
    slope = np.exp(np.linspace(-0.5, 0.5, SIZE, dtype=np.float32))
    picture = grey() * (slope[None, :, None] if axis == "right" else slope[::-1, None, None])
    light = photo_light(picture)
    assert getattr(light, axis) == pytest.approx(1.0, abs=0.05)
    azimuth, elevation, _, strength, _ = lamp_of(light)
    flat = lamp_of(photo_light(grey()))
    assert strength > flat[3]
    assert (azimuth > 0.5) if axis == "right" else (elevation > flat[1] + 0.2)
    mirrored = lamp_of(photo_light(picture[:, ::-1]))
    assert mirrored[0] == pytest.approx(-azimuth, abs=1e-4)


def test_a_warm_grey_is_a_cast_but_a_blue_sky_is_none() -> None:
    warm = photo_light(grey() * np.array([1.1, 1.0, 0.9], dtype=np.float32))
    assert warm.colour[0] > 1.05 > 0.95 > warm.colour[2]
    picture = grey()
    picture[: SIZE // 2] = (0.05, 0.2, 0.7)
    assert photo_light(picture).colour == pytest.approx((1, 1, 1), abs=0.03)


@pytest.mark.parametrize("noise", [0.005, 0.015])
def test_grain_is_measured_and_taken_on(noise: float) -> None:
    rng = np.random.default_rng(0)
    deviation = noise * np.sqrt(0.3 / 0.18 + 0.1)
    flat = rng.normal(0.3, deviation, (256, 256)).astype(np.float32)
    assert grain(flat) == pytest.approx(noise, rel=0.2)
    photo = np.repeat(flat[..., None], 3, axis=2)
    alpha = np.zeros((256, 256), dtype=np.float32)
    alpha[64:192, 64:192] = 1
    subject = np.repeat(alpha[..., None], 3, axis=2) * np.float32(0.8)
    light = photo_light(photo)
    result = onto_photo(subject, alpha, photo, light, np.ones(3, np.float32), rng)
    inside = result[80:176, 80:176, 0]
    assert grain(inside / inside.mean() * 0.3) == pytest.approx(noise, rel=0.35)


def test_texture_is_no_grain() -> None:
    rng = np.random.default_rng(1)
    picture = np.full((256, 256), 0.3, dtype=np.float32)
    picture[128:] += rng.normal(0, 0.1, (128, 256)).astype(np.float32)  # grass, say
    assert grain(picture) < 0.002


def test_what_is_behind_stays_the_photograph() -> None:
    rng = np.random.default_rng(2)
    photo = rng.uniform(0.1, 0.6, (SIZE, SIZE, 3)).astype(np.float32)
    alpha = np.zeros((SIZE, SIZE), dtype=np.float32)
    alpha[40:90, 40:90] = 1
    linear = np.repeat(alpha[..., None], 3, axis=2) * np.float32(2.0)
    light = photo_light(photo)
    result = onto_photo(linear, alpha, photo, light, np.ones(3, np.float32), rng)
    far = np.ones((SIZE, SIZE), dtype=bool)
    far[30:100, 30:100] = False
    ratio = result[far] / photo[far]
    assert np.ptp(ratio) < 1e-4 * ratio.mean()


def test_gains_make_a_panoramas_light_grey() -> None:
    panorama = grey() * np.array([2.0, 1.0, 0.5], dtype=np.float32)
    gains = neutral_gains(panorama)
    assert np.ptp(gains * [2.0, 1.0, 0.5]) < 1e-5
