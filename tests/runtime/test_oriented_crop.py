"""The crop in one pass: the same values as OpenCV's, whatever the region."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runtime import oriented_crop
from runtime.model import Model, PixelScale
from runtime.oriented_crop import OrientedCrop, one_pass_crop
from runtime.roi import Border, Roi, warp_crop

one_pass = one_pass_crop()
compiled = pytest.mark.skipif(
    one_pass is None, reason="no compiler at installation, or no AVX2: OpenCV crops"
)
scale = PixelScale(0, 1)

sides = st.integers(1, 300)
borders = st.sampled_from(["replicate", "zero"])
# Inside, astride the edge, and as far outside as hundreds of pictures away.
places = st.floats(-0.2, 1.2) | st.floats(-300, 300)
turns = st.floats(-7, 7) | st.integers(-8, 8).map(lambda quarter: quarter * math.pi / 2)
# Whole and half steps are where rounding to 1/32 px meets ties.
factors = st.floats(0.01, 20) | st.sampled_from([0.25, 0.5, 1.0, 1.5, 2.0, 3.0, 8.0])


def noise(width: int, height: int) -> np.ndarray:
    rng = np.random.default_rng(width * 1000 + height)
    return rng.integers(0, 256, (height, width, 3), dtype=np.uint8)


def region_of(roi: Roi) -> tuple[float, float, float, float, float]:
    return (roi.cx, roi.cy, roi.width, roi.height, roi.rotation_rad)


def is_same(image: np.ndarray, roi: Roi, width: int, height: int, border: Border) -> bool:
    """Whether it took that region; if so, its values are OpenCV's, else it wrote nothing."""
    assert one_pass is not None
    assert scale.factor is not None
    wanted, given = (np.full((height, width, 3), -1, dtype=np.float32) for _ in range(2))
    scale.write(warp_crop(image, roi, width, height, border), wanted)
    done = one_pass(image, region_of(roi), given, border == "zero", scale.factor)
    if not done:
        wanted.fill(-1)
    np.testing.assert_array_equal(given, wanted)
    return done


@compiled
@given(
    picture=st.tuples(sides, sides), crop=st.tuples(sides, sides), centre=st.tuples(places, places),
    zoom=st.tuples(factors, factors), turn=turns, border=borders,
)  # fmt: skip
@settings(max_examples=400, deadline=None)
def test_any_region(
    picture: tuple[int, int], crop: tuple[int, int], centre: tuple[float, float],
    zoom: tuple[float, float], turn: float, border: Border,
) -> None:  # fmt: skip
    roi = Roi(
        centre[0] * picture[0], centre[1] * picture[1], zoom[0] * crop[0], zoom[1] * crop[1], turn
    )
    # Far away float32 can't tell the corners of a small region apart.
    assert is_same(noise(*picture), roi, *crop, border) or max(map(abs, centre)) > 2


@compiled
@pytest.mark.parametrize("border", ["replicate", "zero"])
@pytest.mark.parametrize("side", [64, 192, 224, 256])
def test_thousands_of_a_streams_regions(side: int, border: Border) -> None:
    rng = np.random.default_rng(side)
    image = noise(640, 480)
    for cx, cy, length, turn in rng.uniform((-50, -50, 20, -4), (690, 530, 700, 4), (120, 4)):
        assert is_same(image, Roi(cx, cy, length, length, turn), side, side, border)


@compiled
def test_thin_pictures_and_rows_with_gaps() -> None:
    wide = noise(64, 64)
    for image in (wide[:, 8:40], wide[::2], wide[5:6], wide[:, :1], wide[:, :2], wide[:2, :3]):
        for turn in (0.0, 0.3):
            assert is_same(image, Roi(5, 3, 20, 17, turn), 40, 33, "replicate")
            assert is_same(image, Roi(5, 3, 20, 17, turn), 40, 33, "zero")


@compiled
@pytest.mark.parametrize(
    ("image", "out"),
    [
        (np.zeros((9, 9, 3), np.float32), np.zeros((8, 8, 3), np.float32)),
        (np.zeros((9, 9, 4), np.uint8), np.zeros((8, 8, 3), np.float32)),
        (np.zeros((9, 9), np.uint8), np.zeros((8, 8, 3), np.float32)),
        (np.zeros((9, 9, 3), np.uint8)[:, :, ::-1], np.zeros((8, 8, 3), np.float32)),
        (np.zeros((9, 9, 3), np.uint8)[::-1], np.zeros((8, 8, 3), np.float32)),
        (np.zeros((9, 9, 3), np.uint8)[:, ::2], np.zeros((8, 8, 3), np.float32)),
        (np.zeros((0, 9, 3), np.uint8), np.zeros((8, 8, 3), np.float32)),
        (np.zeros((9, 9, 3), np.uint8), np.zeros((8, 8, 3), np.uint8)),
        (np.zeros((9, 9, 3), np.uint8), np.zeros((8, 8, 3), np.float64)),
        (np.zeros((9, 9, 3), np.uint8), np.zeros((8, 16, 3), np.float32)[:, ::2]),
        (np.zeros((9, 9, 3), np.uint8), None),
    ],
)
def test_what_it_does_not_take_is_left_alone(image: np.ndarray, out: np.ndarray) -> None:
    assert one_pass is not None
    assert not one_pass(image, (4, 4, 6, 6, 0.1), out, False, 1.0)


@compiled
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 1e300, 0.0])
@pytest.mark.parametrize("place", range(5))
def test_numbers_that_are_no_region_do_no_harm(value: float, place: int) -> None:
    assert one_pass is not None
    region = [30.0, 20.0, 25.0, 25.0, 0.3]
    region[place] = value
    cx, cy, width, height, turn = region
    out = np.zeros((48, 48, 3), dtype=np.float32)
    done = one_pass(noise(64, 48), (cx, cy, width, height, turn), out, False, 1.0)
    assert done == (value == 0 and place not in (2, 3))


@pytest.mark.parametrize("range_", [(0.0, 1.0), (-1.0, 1.0)])
def test_a_models_input_holds_the_crop(
    range_: tuple[float, float], hand_model: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = Model.from_bytes(hand_model, "hand")
    _, height, width, _ = model.inputs[0].shape
    image, filled = noise(640, 480), []
    for way in (one_pass, None):
        monkeypatch.setattr(oriented_crop, "one_pass_crop", lambda way=way: way)
        crop = OrientedCrop(width, height, "replicate", PixelScale(*range_))
        for shown in (image, image[:, ::-1]):  # the mirrored view is OpenCV's in any case
            crop.fill(model, shown, Roi(300, 200, 280, 280, 0.5))
            filled.append(model.picture_input().copy())
    np.testing.assert_array_equal(filled[0], filled[2])
    np.testing.assert_array_equal(filled[1], filled[3])
    low, high = range_
    expected = (
        warp_crop(image, Roi(300, 200, 280, 280, 0.5), width, height) / 255 * (high - low) + low
    )
    np.testing.assert_allclose(filled[0], expected, atol=1e-6)
