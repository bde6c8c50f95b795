"""Masks: into the picture, smoothed over time, and selfie segmentation on the graph."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runtime.card import CardInput, CardModel, CardOutput
from runtime.errors import ViewfinderError
from runtime.image import read_image
from runtime.model import Model
from runtime.roi import Roi, crop_from_image
from runtime.solutions import open_solution
from runtime.solutions.masks import PREVIOUS_RATIO, MaskFilter, box_of_roi, mask_in_image
from runtime.solutions.segmentation import Segment, SmoothMask
from tests.runtime.small_models import constant_model

CARD = CardModel(
    "selfie.tflite", "segmentation", CardInput(64, 32),
    (CardOutput("mask", (1, 32, 64, 1), "mask"),),
)  # fmt: skip


def blob(height: int = 32, width: int = 48) -> np.ndarray:
    """A smooth mask with a sure inside and outside."""
    y, x = np.mgrid[:height, :width]
    away = np.hypot((x - width * 0.45) / width, (y - height * 0.55) / height)
    return (1 / (1 + np.exp(40 * (away - 0.25)))).astype(np.float32)


# into the picture


rois = st.builds(
    Roi, st.floats(-50, 250), st.floats(-50, 250), st.floats(20, 300), st.floats(20, 300),
    st.floats(-math.pi, math.pi),
)  # fmt: skip


@settings(max_examples=50, deadline=None)
@given(rois)
def test_a_mask_shows_each_pixel_what_its_place_in_the_crop_says(roi: Roi) -> None:
    small = blob()
    whole = mask_in_image(small, roi, 200, 160)
    assert whole.shape == (160, 200)
    assert whole.dtype == np.float32
    # As in MediaPipe, pixel i stands for the coordinate i, of the image and of the crop.
    y, x = np.mgrid[:160, :200]
    place = crop_from_image(roi, np.stack([x, y], axis=-1)) * (small.shape[1], small.shape[0])
    column, row = np.floor(place).astype(int).transpose(2, 0, 1)
    inside = (column >= 0) & (column < 47) & (row >= 0) & (row < 31)
    outside = (column < -1) | (column > 48) | (row < -1) | (row > 32)
    right, down = (place - np.floor(place)).transpose(2, 0, 1)
    column, row = column.clip(0, 46), row.clip(0, 30)
    above = small[row, column] * (1 - right) + small[row, column + 1] * right
    below = small[row + 1, column] * (1 - right) + small[row + 1, column + 1] * right
    expected = above * (1 - down) + below * down
    # OpenCV rounds places to 1/32 of a pixel.
    np.testing.assert_allclose(whole[inside], expected[inside], atol=0.06)
    assert not whole[outside].any()


@settings(max_examples=50, deadline=None)
@given(rois)
def test_the_box_of_a_region_holds_all_of_its_mask(roi: Roi) -> None:
    whole = mask_in_image(np.ones((256, 256), np.float32), roi, 200, 160)
    left, top, right, bottom = box_of_roi(roi, 200, 160)
    assert 0 <= left <= right <= 200
    assert 0 <= top <= bottom <= 160
    whole[top:bottom, left:right] = 0
    assert not whole.any()


# over time


def test_sure_masks_stay_and_unsure_ones_lean_on_the_one_before() -> None:
    filter_ = MaskFilter()
    first = np.array([[0, 1, 0.5, 0.5, 0.9]], dtype=np.float32).repeat(3, axis=0)
    kept = first.copy()
    filter_.smooth(kept)
    np.testing.assert_array_equal(kept, first)
    second = np.array([[1, 0, 0.5, 0.5, 0.5]], dtype=np.float32).repeat(3, axis=0)
    filter_.smooth(second)
    np.testing.assert_allclose(second[:, :2], [[1, 0]] * 3, atol=1e-3)
    np.testing.assert_allclose(second[:, 2:4], 0.5)
    np.testing.assert_allclose(second[:, 4], 0.5 + PREVIOUS_RATIO * 0.4, rtol=1e-5)


@given(st.floats(0, 1), st.floats(0, 1), st.floats(0, 1))
def test_a_smoothed_value_lies_between_both(new: float, before: float, ratio: float) -> None:
    filter_ = MaskFilter(ratio)
    filter_.smooth(np.full((1, 1), before, np.float32))
    mask = np.full((1, 1), new, np.float32)
    filter_.smooth(mask)
    assert min(new, before) - 1e-6 <= mask[0, 0] <= max(new, before) + 1e-6
    # The weight of what was before goes with the square of the new value's entropy in bits.
    if 0 < new < 1:
        entropy = -(new * math.log2(new) + (1 - new) * math.log2(1 - new))
        assert mask[0, 0] == pytest.approx(new + (before - new) * ratio * entropy**2, abs=0.02)


def test_smoothing_inside_boxes_is_smoothing_the_whole() -> None:
    small = blob(256, 256)
    boxed, whole = MaskFilter(), MaskFilter()
    for step in range(6):
        roi = Roi(150 + 30 * step, 200 - 10 * step, 160, 160, 0.3 * step)
        a = mask_in_image(small, roi, 640, 480)
        b = a.copy()
        boxed.smooth(a, box_of_roi(roi, 640, 480))
        whole.smooth(b)
        np.testing.assert_allclose(a, b, atol=1e-4)


# the solution


def segment(mask: np.ndarray, card: CardModel = CARD) -> Segment:
    data = constant_model(64, 32, {"mask": mask.reshape(1, 32, 64, 1)})
    return Segment(Model.from_bytes(data, "selfie"), card)


def test_a_picture_has_one_mask_over_all_of_it() -> None:
    mask = np.zeros((32, 64), dtype=np.float32)
    mask[8:24, 16:32] = 0.75
    for height, width in ((480, 640), (97, 33), (32, 64)):
        (subject,) = segment(mask).process(np.zeros((height, width, 3), dtype=np.uint8))
        assert subject.mask is not None
        assert subject.mask.shape == (height, width)
        assert subject.box == (0.25, 0.25, 0.25, 0.5)
        assert subject.score == pytest.approx(0.75)
        assert subject.keypoints.shape == (0, 2)
        part = (subject.mask > 0.4).mean()
        assert part == pytest.approx(0.25 * 0.5, rel=0.15)
        assert subject.to_json()["mask"]["size"] == [height, width]


def test_nobody_is_a_subject_without_a_box() -> None:
    (subject,) = segment(np.full((32, 64), 0.3)).process(np.zeros((50, 50, 3), np.uint8))
    assert subject.score == pytest.approx(0.3)
    assert subject.box == (0.0, 0.0, 0.0, 0.0)
    assert subject.mask is not None
    np.testing.assert_allclose(subject.mask, 0.3)


def test_masks_are_smoothed_on_request() -> None:
    smooth = SmoothMask()
    half = segment(np.full((32, 64), 0.5))
    sure = segment(np.ones((32, 64)))
    picture = np.zeros((40, 40, 3), np.uint8)
    smooth.process(sure.process(picture))
    (blended,) = smooth.process(half.process(picture))
    np.testing.assert_allclose(blended.mask, 0.5 + PREVIOUS_RATIO * 0.5, rtol=1e-5)
    smooth.reset()
    (alone,) = smooth.process(half.process(picture))
    np.testing.assert_allclose(alone.mask, 0.5)


def test_other_models_are_refused() -> None:
    mask = np.zeros((32, 64))
    for card in (
        replace(CARD, input=CardInput(32, 32)),
        replace(CARD, outputs=(CardOutput("mask", (1, 32, 64, 1), "unused"),)),
    ):
        with pytest.raises(ViewfinderError, match="not a segmentation model"):
            segment(mask, card)


@pytest.mark.usefixtures("mediapipe_models")
@pytest.mark.parametrize("variant", ["general", "landscape"])
def test_a_portrait(real: Path, variant: str) -> None:
    rgb = read_image(real / "images" / "tfjs_portrait.jpg")
    whole = open_solution("segmentation", models="mediapipe", variant=variant, static=True)
    body = open_solution("pose", models="mediapipe", static=True, max_subjects=1, segmentation=True)
    (selfie,) = whole.process(rgb, 0)
    (person,) = body.process(rgb, 0)
    assert 0.95 < selfie.score <= 1
    # Two models of different makes agree on where the person is.
    a, b = selfie.mask > 0.5, person.mask > 0.5
    assert (a & b).sum() / (a | b).sum() > 0.9


@pytest.mark.usefixtures("mediapipe_models")
def test_smoothing_is_off_unless_asked_for(astronaut: np.ndarray) -> None:
    answers = {}
    for smoothing in (None, False, True):
        solution = open_solution("segmentation", models="mediapipe", smoothing=smoothing)
        solution.process(astronaut, 0)
        answers[smoothing] = solution.process(astronaut[:, ::-1].copy(), 33_333)[0].mask
    np.testing.assert_array_equal(answers[None], answers[False])
    assert np.abs(answers[True] - answers[False]).max() > 0.1
