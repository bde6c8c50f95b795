"""Smoothing over time: laws of the filters, and MediaPipe's arithmetic done one value at a time."""

from __future__ import annotations

import math
from itertools import islice, pairwise
from pathlib import Path

import numpy as np
import pytest

from runtime.errors import ViewfinderError
from runtime.results import Subject, bounding_box
from runtime.smoothing import (
    WORLD,
    KeypointFilter,
    LowPassFilter,
    OneEuroFilter,
    OneEuroParameters,
)
from runtime.solutions import open_solution
from runtime.solutions.options import SolutionOptions
from runtime.solutions.smooth import Smooth
from runtime.sources import open_source

FRAME_US = 33_333
BODY = OneEuroParameters()


def walk(frames: int = 30, points: int = 5, step: float = 4.0) -> np.ndarray:
    """(frames, points, 3) float32: points that wander over some hundred pixels."""
    rng = np.random.default_rng(11)
    start = rng.uniform(50, 400, (1, points, 3))
    return (start + rng.normal(0, step, (frames, points, 3)).cumsum(axis=0)).astype(np.float32)


class OneValue:
    """The filter of the paper on one number, in MediaPipe's types, from its description alone."""

    def __init__(self, parameters: OneEuroParameters) -> None:
        self.min_cutoff, self.beta, self.derivate_cutoff = (
            float(np.float32(value))
            for value in (
                parameters.min_cutoff_hz, parameters.beta, parameters.derivate_cutoff_hz,
            )
        )  # fmt: skip
        self.before: tuple[float, float, float, int] | None = None

    def __call__(self, value: float, timestamp_us: int, scale: float) -> float:
        if self.before is None:
            self.before = (value, 0.0, value, timestamp_us)
            return value
        raw, speed, smooth, then = self.before
        frequency = 1.0 / ((timestamp_us - then) * 1000 * 1e-9)
        change = float(np.float32((value - raw) * scale * frequency))
        speed = self.mix(change, speed, self.weight(self.derivate_cutoff, frequency))
        cutoff = self.min_cutoff + self.beta * abs(speed)
        smooth = self.mix(value, smooth, self.weight(cutoff, frequency))
        self.before = (value, speed, smooth, timestamp_us)
        return smooth

    @staticmethod
    def weight(cutoff: float, frequency: float) -> float:
        interval, constant = 1.0 / frequency, 1.0 / (2 * math.pi * cutoff)
        return float(np.float32(1.0 / (1.0 + constant / interval)))

    @staticmethod
    def mix(new: float, old: float, weight: float) -> float:
        share = float(np.float32(weight) * np.float32(new))
        return float(np.float32(share + (1.0 - weight) * old))


@pytest.mark.parametrize("parameters", [BODY, WORLD, OneEuroParameters(0.01, 10.0, 1.0)])
def test_equals_the_filter_on_each_value_alone(parameters: OneEuroParameters) -> None:
    clip = walk()
    times = np.cumsum(np.random.default_rng(0).integers(5_000, 90_000, len(clip))).tolist()
    for size in (None, 173.25):
        scale = 1.0 if size is None else float(np.float32(1) / np.float32(size))
        whole = OneEuroFilter(parameters)
        alone = [OneValue(parameters) for _ in range(clip[0].size)]
        for frame, time in zip(clip, times):
            expected = [one(float(v), time, scale) for one, v in zip(alone, frame.ravel())]
            got = whole.smoothed(frame, time, size)
            assert got.dtype == np.float32
            assert got.ravel().tolist() == expected


def test_what_rests_stays_and_the_first_values_pass() -> None:
    frame = walk(1)[0]
    euro, low = OneEuroFilter(BODY), LowPassFilter(0.1)
    for number in range(5):
        np.testing.assert_allclose(euro.smoothed(frame, number * FRAME_US, 100.0), frame, 1e-6)
        np.testing.assert_allclose(low.smoothed(frame), frame, 1e-6)


def test_a_step_is_approached_without_overshoot_and_sooner_with_more_beta() -> None:
    def answer(beta: float) -> list[float]:
        euro = OneEuroFilter(OneEuroParameters(0.5, beta, 1.0))
        values = [np.zeros(1, np.float32)] + [np.ones(1, np.float32)] * 40
        return [float(euro.smoothed(v, i * FRAME_US, 1.0)[0]) for i, v in enumerate(values)]

    slow, quick = answer(0.0), answer(2.0)
    for path in (slow, quick):
        assert all(a <= b for a, b in pairwise(path))
        assert path[0] == 0 < path[1] < path[-1] <= 1
    assert quick[3] > slow[3]


def test_smoothing_lessens_jitter_and_a_lower_cutoff_lessens_it_more() -> None:
    rng = np.random.default_rng(5)
    clip = (200 + rng.normal(0, 0.5, (120, 4, 3))).astype(np.float32)

    def jitter(cutoff: float) -> float:
        euro = OneEuroFilter(OneEuroParameters(cutoff, 0.0, 1.0))
        smooth = [euro.smoothed(f, i * FRAME_US, 100.0) for i, f in enumerate(clip)]
        return float(np.std(smooth[20:], axis=0).mean())

    assert jitter(0.5) < jitter(2.0) < 0.5 * float(np.std(clip, axis=0).mean())


def test_a_picture_twice_as_large_is_smoothed_alike() -> None:
    clip = (walk() / np.float32(512)).astype(np.float32)
    small, large = KeypointFilter(BODY), KeypointFilter(BODY)
    for number, frame in enumerate(clip):
        time = number * FRAME_US
        np.testing.assert_allclose(
            small.smoothed(frame, time, (320, 240)), large.smoothed(frame, time, (640, 480)),
            rtol=2e-6,
        )  # fmt: skip


def test_the_objects_size_is_the_keypoints_box_unless_it_is_given() -> None:
    clip = (walk() / np.float32(512)).astype(np.float32)
    own, given = KeypointFilter(BODY), KeypointFilter(BODY)
    for number, frame in enumerate(clip):
        sides = np.ptp(frame[:, :2] * np.array([640, 480], np.float32), axis=0)
        size = float((sides[0] + sides[1]) / np.float32(2))
        time = number * FRAME_US
        np.testing.assert_allclose(
            own.smoothed(frame, time, (640, 480)), given.smoothed(frame, time, (640, 480), size),
            rtol=1e-5,
        )  # fmt: skip


def test_repeated_and_backward_timestamps_pass_values_and_change_nothing() -> None:
    a, b, c = walk(3)
    euro, other = OneEuroFilter(BODY), OneEuroFilter(BODY)
    for filter_ in (euro, other):
        filter_.smoothed(a, FRAME_US, 100.0)
    np.testing.assert_array_equal(euro.smoothed(b, FRAME_US, 100.0), b)
    np.testing.assert_array_equal(euro.smoothed(b, 5, 100.0), b)
    np.testing.assert_array_equal(
        euro.smoothed(c, 2 * FRAME_US, 100.0), other.smoothed(c, 2 * FRAME_US, 100.0)
    )


def test_an_object_of_no_size_isnt_smoothed() -> None:
    a, b = walk(2)
    euro = OneEuroFilter(BODY)
    euro.smoothed(a, 0, 100.0)
    np.testing.assert_array_equal(euro.smoothed(b, FRAME_US, 0.0), b)
    np.testing.assert_array_equal(euro.smoothed(b, FRAME_US, math.nan), b)


def test_reset_forgets() -> None:
    a, b = walk(2)
    for filter_ in (KeypointFilter(BODY), KeypointFilter(WORLD)):
        filter_.smoothed(a, 0, (1, 1))
        filter_.reset()
        np.testing.assert_array_equal(filter_.smoothed(b, FRAME_US, (1, 1)), b)
    low = LowPassFilter(0.1)
    low.smoothed(a)
    low.reset()
    np.testing.assert_array_equal(low.smoothed(b), b)


def test_the_callers_arrays_are_left_alone() -> None:
    clip = walk(6)
    kept = clip.copy()
    euro = OneEuroFilter(BODY)
    for number, frame in enumerate(clip):
        out = euro.smoothed(frame, number * FRAME_US, 100.0)
        out[:] = -1
    np.testing.assert_array_equal(clip, kept)
    again = OneEuroFilter(BODY)
    expected = [again.smoothed(frame, i * FRAME_US, 100.0) for i, frame in enumerate(clip)]
    np.testing.assert_array_equal(
        euro.smoothed(clip[-1], 9 * FRAME_US, 100.0), again.smoothed(clip[-1], 9 * FRAME_US, 100.0)
    )
    assert not (expected[-1] == -1).any()


def test_weights_of_the_low_pass_fall_geometrically() -> None:
    low = LowPassFilter(0.25)
    low.smoothed(np.zeros(1, np.float32))
    answers = [float(low.smoothed(np.ones(1, np.float32))[0]) for _ in range(4)]
    np.testing.assert_allclose(answers, [1 - 0.75**n for n in (1, 2, 3, 4)], rtol=1e-6)


@pytest.mark.parametrize(
    ("field", "value"),
    [("min_cutoff_hz", 0.0), ("beta", -1.0), ("derivate_cutoff_hz", math.nan)],
)
def test_wrong_parameters_are_named(field: str, value: float) -> None:
    with pytest.raises(ViewfinderError, match=field):
        OneEuroParameters(**{field: value})


def subject(number: int, points: np.ndarray) -> Subject:
    keypoints = (points / np.float32(512)).astype(np.float32)
    return Subject(
        id=number, topology="hand21@1", score=1.0, keypoints=keypoints,
        box=bounding_box(keypoints), world_m=keypoints - np.float32(0.5),
        visibility_score=keypoints[:, 0],
    )  # fmt: skip


PICTURE = np.zeros((512, 512, 3), np.uint8)


def test_subjects_are_smoothed_each_on_its_own() -> None:
    here, there = walk(12), walk(12, step=1.0) + np.float32(90)
    together, alone = Smooth(BODY), Smooth(BODY)
    for number, (a, b) in enumerate(zip(here, there)):
        time = number * FRAME_US
        pair = [subject(4, a), subject(9, b)]
        if number % 2:
            pair.reverse()
        both = {one.id: one for one in together.process(pair, PICTURE, time)}
        (only,) = alone.process([subject(9, b)], PICTURE, time)
        np.testing.assert_array_equal(both[9].keypoints, only.keypoints)
        np.testing.assert_array_equal(both[9].world_m, only.world_m)
        np.testing.assert_array_equal(both[9].visibility_score, only.visibility_score)
        assert only.box == bounding_box(only.keypoints)
        assert (number > 0) == (not np.array_equal(both[4].keypoints, pair[0].keypoints))


def test_a_subject_that_comes_back_starts_anew() -> None:
    a, b, c = walk(3)
    smooth = Smooth(BODY)
    smooth.process([subject(1, a)], PICTURE, FRAME_US)
    assert smooth.process([], PICTURE, 2 * FRAME_US) == []
    (back,) = smooth.process([subject(1, b)], PICTURE, 3 * FRAME_US)
    np.testing.assert_allclose(back.keypoints, subject(1, b).keypoints, rtol=1e-6)
    smooth.reset()
    (first,) = smooth.process([subject(1, c)], PICTURE, 0)
    np.testing.assert_allclose(first.keypoints, subject(1, c).keypoints, rtol=1e-6)


def test_detections_pass_as_they_are() -> None:
    face = Subject(0, "", 0.9, walk(1)[0], (0.0, 0.0, 1.0, 1.0))
    smooth = Smooth(BODY)
    for number in range(2):
        assert smooth.process([face], PICTURE, number * FRAME_US)[0] is face


@pytest.mark.usefixtures("mediapipe_models")
def test_hands_are_smoothed_on_request(real: Path) -> None:
    clip = open_source(real / "videos" / "smp_hand.mp4")
    frames = [frame.rgb for frame in islice(clip.frames(pytest.fail), 12)]
    motion = {}
    for smoothing in (None, False, OneEuroParameters(0.01, 1.0, 1.0)):
        hands = open_solution(
            "hands", models="mediapipe", variant="lite", smoothing=smoothing, gestures="rules"
        )
        found = [hands.process(rgb, i * FRAME_US)[0] for i, rgb in enumerate(frames)]
        assert all(hand.gesture for hand in found)
        motion[smoothing] = np.abs(np.diff([hand.keypoints for hand in found], axis=0)).mean()
    assert motion[None] == motion[False] > 2 * motion[OneEuroParameters(0.01, 1.0, 1.0)]


def test_options_say_whether_and_how_to_smooth() -> None:
    given = OneEuroParameters(1.0, 2.0, 3.0)
    for usual in (True, False):
        assert SolutionOptions(smoothing=given).one_euro(usual) == given
        assert SolutionOptions(smoothing=True).one_euro(usual) == OneEuroParameters()
        assert SolutionOptions(smoothing=False).one_euro(usual) is None
        assert SolutionOptions(smoothing=given, static=True).one_euro(usual) is None
    assert SolutionOptions().one_euro(True) == OneEuroParameters()
    assert SolutionOptions().one_euro(False) is None
