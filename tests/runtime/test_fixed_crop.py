"""Maps made once: the same bytes as from the warp itself."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runtime.fixed_crop import FixedCrop
from runtime.model import Model, PixelScale
from runtime.roi import Border, Roi, roi_of_image, roi_padded_to_aspect, warp_crop

sides = st.integers(2, 300)
borders = st.sampled_from(["replicate", "zero"])
# Inside, astride the edge, and as far outside as hundreds of pictures away.
places = st.floats(-1, 2) | st.floats(-300, 300)
turns = st.floats(-7, 7) | st.integers(-8, 8).map(lambda quarter: quarter * math.pi / 2)


def noise(width: int, height: int) -> np.ndarray:
    rng = np.random.default_rng(width * 1000 + height)
    return rng.integers(0, 256, (height, width, 3), dtype=np.uint8)


@given(
    picture=st.tuples(sides, sides), crop=st.tuples(sides, sides), centre=st.tuples(places, places),
    scale=st.tuples(st.floats(0.01, 20), st.floats(0.01, 20)), turn=turns, border=borders,
)  # fmt: skip
@settings(max_examples=200, deadline=None)
def test_any_region_is_cropped_as_by_the_warp(
    picture: tuple[int, int], crop: tuple[int, int], centre: tuple[float, float],
    scale: tuple[float, float], turn: float, border: Border,
) -> None:  # fmt: skip
    image = noise(*picture)
    roi = Roi(
        centre[0] * picture[0], centre[1] * picture[1], scale[0] * picture[0],
        scale[1] * picture[1], turn,
    )  # fmt: skip
    expected = warp_crop(image, roi, *crop, border)
    np.testing.assert_array_equal(FixedCrop(roi, *crop, border)(image), expected)


@given(picture=st.tuples(st.integers(2, 900), st.integers(2, 900)), side=st.integers(2, 260))
@settings(max_examples=60, deadline=None)
def test_letterboxes_are(picture: tuple[int, int], side: int) -> None:
    image = noise(*picture)
    roi = roi_padded_to_aspect(roi_of_image(*picture), side, side)
    np.testing.assert_array_equal(
        FixedCrop(roi, side, side, "zero")(image), warp_crop(image, roi, side, side, "zero")
    )


@pytest.mark.parametrize("picture", [(640, 480), (1280, 720), (1920, 1080), (1080, 1920)])
@pytest.mark.parametrize("side", [128, 192, 224])
def test_usual_pictures_are_and_the_buffer_starts_afresh(
    picture: tuple[int, int], side: int
) -> None:
    roi = roi_padded_to_aspect(roi_of_image(*picture), side, side)
    crop = FixedCrop(roi, side, side, "zero")
    for image in (noise(*picture), 255 - noise(*picture)):
        np.testing.assert_array_equal(crop(image), warp_crop(image, roi, side, side, "zero"))


@pytest.mark.parametrize("range_", [(0.0, 1.0), (-1.0, 1.0)])
def test_a_models_input_is_filled_with_it(range_: tuple[float, float], hand_model: bytes) -> None:
    model, scale = Model.from_bytes(hand_model, "hand"), PixelScale(*range_)
    roi = roi_padded_to_aspect(roi_of_image(640, 480), 224, 224)
    for image in (noise(640, 480), noise(640, 480)[:, ::-1]):
        FixedCrop(roi, 224, 224, "zero").fill(model, image, scale)
        given = model.picture_input().copy()
        model.fill(warp_crop(image, roi, 224, 224, "zero"), scale)
        np.testing.assert_array_equal(given, model.picture_input())
