"""The oriented crop: against an independent reference, and by the laws it must keep."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runtime import roi as rois
from runtime.libm import float32s
from runtime.roi import Roi, crop_from_image, image_from_crop, warp_crop
from tests.runtime.warp_reference import perspective_from_corners, warp_perspective


def noise(width: int, height: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.mark.parametrize("border", ["replicate", "zero"])
@pytest.mark.parametrize("seed", range(12))
def test_warp_equals_fixed_point_reference(seed: int, border: str) -> None:
    rng = np.random.default_rng(seed)
    image = noise(97, 61, seed)
    region = Roi(*rng.uniform((0, 0, 8, 8, -4), (97, 61, 160, 160, 4)))
    width, height = (int(v) for v in rng.integers(5, 80, 2))
    corners = np.array([[0, height], [0, 0], [width, 0], [width, height]], dtype=float)
    matrix = perspective_from_corners(region.corners().astype(float), corners)
    expected = warp_perspective(image, matrix, width, height, replicate=border == "replicate")
    found = warp_crop(image, region, width, height, border)
    # Where a coordinate lies within rounding of 1/64 px, either neighbour is right.
    differing = (found != expected).any(axis=2)
    assert differing.mean() < 2e-3
    assert found.shape == (height, width, 3)


def test_reference_is_not_blind_to_half_a_subpixel() -> None:
    image = noise(97, 61)
    region = Roi(48, 30, 40, 40, 0.3)
    moved = Roi(48 + 1 / 32, 30, 40, 40, 0.3)
    assert (warp_crop(image, region, 64, 64) != warp_crop(image, moved, 64, 64)).mean() > 0.5


def test_unit_scale_crop_copies_pixels() -> None:
    image = noise(40, 30)
    np.testing.assert_array_equal(warp_crop(image, Roi(20, 15, 10, 8), 10, 8), image[11:19, 15:25])


@pytest.mark.parametrize("scale", [0.5, 1.0, 2.0, 4.0])
def test_half_pixel_shift_of_the_sampling(scale: float) -> None:
    # On a ramp whose value is the pixel's continuous centre, crop pixel i must show
    # corner + i * scale + 1/2: (scale - 1) / 2 less than an exact resampling.
    ramp = np.repeat((np.arange(200, dtype=np.uint8) + 0.0)[None, :, None], 3, axis=2)
    ramp = np.repeat(ramp, 40, axis=0).astype(np.uint8)
    left, size = 20, 16
    region = Roi(left + size * scale / 2, 20, size * scale, 16)
    shown = warp_crop(ramp, region, size, 16)[8, :, 0].astype(float) + 0.5
    expected = left + np.arange(size) * scale + 0.5
    np.testing.assert_allclose(shown, expected, atol=0.5)
    exact = left + (np.arange(size) + 0.5) * scale
    assert np.mean(exact - shown) == pytest.approx((scale - 1) / 2, abs=0.3)


def test_quarter_turn_brings_left_side_up() -> None:
    # Rotation is clockwise on the screen: what the region's top edge lies on becomes the top.
    image = np.zeros((100, 100, 3), dtype=np.uint8)
    image[:, 70:] = 255
    crop = warp_crop(image, Roi(50, 50, 80, 80, math.pi / 2), 80, 80)
    assert crop[5].min() == 255
    assert crop[-5].max() == 0


def test_out_buffer_is_filled_and_returned() -> None:
    image, out = noise(50, 50), np.zeros((32, 32, 3), dtype=np.uint8)
    made = warp_crop(image, Roi(25, 25, 30, 30, 0.1), 32, 32, out=out)
    assert made is out
    np.testing.assert_array_equal(out, warp_crop(image, Roi(25, 25, 30, 30, 0.1), 32, 32))


number = st.floats(-2000, 2000)
side = st.floats(1, 3000)
any_roi = st.builds(Roi, number, number, side, side, st.floats(-7, 7))


@given(region=any_roi, points=st.lists(st.tuples(number, number, number), min_size=1, max_size=5))
@settings(max_examples=200, deadline=None)
def test_landmarks_round_trip(region: Roi, points: list[tuple[float, float, float]]) -> None:
    there = crop_from_image(region, points)
    np.testing.assert_allclose(image_from_crop(region, there), points, atol=1e-8)
    flat = np.array(points)[:, :2]
    np.testing.assert_allclose(
        image_from_crop(region, crop_from_image(region, flat)), flat, atol=1e-8
    )


@given(region=any_roi)
@settings(max_examples=100, deadline=None)
def test_corners_are_the_unit_square(region: Roi) -> None:
    unit = [[0, 1], [0, 0], [1, 0], [1, 1]]
    np.testing.assert_allclose(image_from_crop(region, unit), region.corners(), atol=2e-3)


def moved(points: np.ndarray, angle: float, scale: float, shift: tuple[float, float]) -> np.ndarray:
    cos, sin = math.cos(angle), math.sin(angle)
    return points @ np.array([[cos, sin], [-sin, cos]]) * scale + shift


def with_reach(rng: np.random.Generator) -> np.ndarray:
    """A random hand whose wrist is far enough from its knuckles for a direction."""
    hand = rng.uniform(0, 100, (21, 2))
    hand[0] = (50, 150)
    return hand


@given(
    angle=st.floats(-3, 3), scale=st.floats(0.2, 5), shift=st.tuples(number, number),
    seed=st.integers(0, 1000),
)  # fmt: skip
@settings(max_examples=100, deadline=None)
def test_hand_roi_moves_with_the_hand(
    angle: float, scale: float, shift: tuple[float, float], seed: int
) -> None:
    hand = with_reach(np.random.default_rng(seed))
    before = rois.hand_roi_from_landmarks(hand)
    after = rois.hand_roi_from_landmarks(moved(hand, angle, scale, shift))
    centre = moved(np.array([[before.cx, before.cy]]), angle, scale, shift)[0]
    np.testing.assert_allclose([after.cx, after.cy], centre, atol=0.01)
    assert after.width == pytest.approx(before.width * scale, rel=1e-3)
    turn = after.rotation_rad - before.rotation_rad - angle
    assert math.cos(turn) == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize("size", [(640, 480), (1080, 1920)])
def test_normalised_coordinates_give_the_same_region(size: tuple[int, int]) -> None:
    rng = np.random.default_rng(5)
    points = rng.uniform(100, 400, (478, 2))
    box = np.array([120.0, 130.0, 80.0, 90.0])
    scale, twice = np.array(size), np.array([*size, *size])
    for in_pixels, normalised in (
        (rois.face_roi_from_landmarks(points), rois.face_roi_from_landmarks(points / scale, size)),
        (
            rois.hand_roi_from_landmarks(points[:21]),
            rois.hand_roi_from_landmarks(points[:21] / scale, size),
        ),
        (
            rois.hand_roi_from_palm(box, points[:7]),
            rois.hand_roi_from_palm(box / twice, points[:7] / scale, size),
        ),
        (
            rois.face_roi_from_detection(box, points[:6]),
            rois.face_roi_from_detection(box / twice, points[:6] / scale, size),
        ),
    ):
        np.testing.assert_allclose(
            dataclasses.astuple(in_pixels), dataclasses.astuple(normalised), rtol=1e-5, atol=1e-4
        )


def test_upright_hand_and_level_eyes_need_no_rotation() -> None:
    hand = np.full((21, 2), 50.0)
    hand[0] = (50, 100)
    assert rois.hand_roi_from_landmarks(hand).rotation_rad == pytest.approx(0)
    palm = np.array([[50, 100], [0, 0], [50, 40], [0, 0], [0, 0], [0, 0], [0, 0]], dtype=float)
    region = rois.hand_roi_from_palm((30, 40, 40, 60), palm)
    assert region.rotation_rad == pytest.approx(0)
    assert (region.width, region.height) == pytest.approx((60 * 2.6, 60 * 2.6))
    assert (region.cx, region.cy) == pytest.approx((50, 70 - 30))
    face = rois.face_roi_from_detection((10, 20, 40, 60), [[20, 40], [40, 40]])
    assert (face.cx, face.cy, face.width, face.rotation_rad) == pytest.approx((30, 50, 90, 0))


def test_letterbox_keeps_the_centre_and_holds_the_picture() -> None:
    wide = rois.roi_padded_to_aspect(rois.roi_of_image(640, 480), 128, 128)
    assert (wide.cx, wide.cy, wide.width, wide.height) == (320, 240, 640, 640)
    tall = rois.roi_padded_to_aspect(rois.roi_of_image(300, 480), 128, 128)
    assert (tall.width, tall.height) == (480, 480)


def spread(count: int, number: int) -> np.ndarray:
    """(count, 2) float32 points all over a picture, the same on every machine."""
    i = np.arange(count, dtype=np.float64)
    x = 0.2 + 0.6 * ((i * 0.6180339887 + 0.137 * number) % 1)
    y = 0.1 + 0.7 * ((i * 0.7548776662 + 0.311 * number) % 1)
    return np.stack([x, y], axis=1).astype(np.float32)


def region_of(rule: str, number: int, size: tuple[int, int]) -> Roi:
    if rule == "hand":
        return rois.hand_roi_from_landmarks(spread(21, number), size)
    if rule == "face":
        return rois.face_roi_from_landmarks(spread(468, number), size)
    points = spread(9 if rule == "palm" else 8, number)
    keypoints, box = points[:-2], points[-2:].ravel()
    from_detection = rois.hand_roi_from_palm if rule == "palm" else rois.face_roi_from_detection
    return from_detection(box, keypoints, size)


WIDE, TALL = (640, 480), (1080, 1920)


@pytest.mark.parametrize(
    ("rule", "size", "number", "expected"),
    [
        ("hand", WIDE, 0, (0.44469652, 0.41246438, 1.1333746, 1.5111661, 2.719088)),
        ("hand", WIDE, 1, (0.5461324, 0.4059629, 1.0593086, 1.4124115, 1.0471292)),
        ("hand", TALL, 0, (0.4546927, 0.44211042, 2.1500134, 1.2093825, 2.9541526)),
        ("hand", TALL, 2, (0.49638593, 0.37564427, 2.082475, 1.1713922, 0.6309652)),
        ("face", WIDE, 0, (0.49964416, 0.4495114, 0.89893246, 1.1985766, -1.1506449)),
        ("face", TALL, 1, (0.4997595, 0.4508054, 1.862041, 1.0473981, 1.4566884)),
        ("palm", WIDE, 1, (0.6628462, 0.8415777, 0.6727791, 0.89703876, 2.6548138)),
        ("palm", TALL, 1, (0.6691544, 0.85746974, 1.5947356, 0.89703876, 2.9219155)),
        ("face detection", WIDE, 1, (0.9460938, 0.9464865, 0.7169142, 0.95588547, -0.33403474)),
        ("face detection", TALL, 1, (0.9460938, 0.9464865, 1.3776014, 0.7749008, -0.6883772)),
    ],
)
def test_regions_are_mediapipes(
    rule: str, size: tuple[int, int], number: int, expected: tuple[float, ...]
) -> None:
    # What MediaPipe 0.10.14's calculators give for these points: normalised, in float32. Equal to
    # the last bit with glibc 2.36; the tolerance is for other C libraries.
    found = region_of(rule, number, size)
    width, height = size
    normalised = (
        found.cx / width, found.cy / height, found.width / width, found.height / height,
        found.rotation_rad,
    )  # fmt: skip
    assert normalised == tuple(float(np.float32(value)) for value in normalised)
    np.testing.assert_allclose(normalised, expected, rtol=3e-7)


values = st.floats(-1e6, 1e6, width=32)


@given(a=values, b=values, c=st.floats(2**-7, 1e6, width=32))
@settings(max_examples=200)
def test_rounded_floats_are_float32_arithmetic(a: float, b: float, c: float) -> None:
    x, y, z = np.array([a, b, c], dtype=np.float32)
    assert float32s(a + b, a - b, a * b, a / c) == (x + y, x - y, x * y, x / z)
    assert float32s(math.sqrt(c)) == (np.sqrt(z),)
