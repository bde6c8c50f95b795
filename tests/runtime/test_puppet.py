"""The puppet: every coefficient shows, left and right are right, and so is the head's pose."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runtime.drawing.puppet import draw_puppet
from runtime.head_pose import HeadPose, head_pose
from runtime.solutions.face_blendshapes import BLENDSHAPES
from runtime.topology import canonical_face

# The model's names for what a drawing of a face from the front can't show by itself.
UNSEEN = {"_neutral"}
angles = st.floats(-0.8, 0.8)


def other_side(name: str) -> str:
    for here, there in (("Left", "Right"), ("Right", "Left")):
        if name.endswith(here):
            return name.removesuffix(here) + there
    return name


def difference(a: np.ndarray, b: np.ndarray) -> float:
    """Mean absolute difference of two pictures, in grey levels."""
    return float(np.abs(a.astype(int) - b).mean())


@pytest.mark.parametrize("name", [name for name in BLENDSHAPES if name not in UNSEEN])
def test_every_coefficient_shows_more_the_higher_it_is(name: str) -> None:
    open_mouth = {"jawOpen": 0.5} if name == "mouthClose" else {}
    levels = [draw_puppet({**open_mouth, name: value}, size=160) for value in (0.0, 0.5, 1.0)]
    assert difference(levels[0], levels[1]) > 0.005
    assert difference(levels[0], levels[2]) > difference(levels[0], levels[1])


@settings(max_examples=20)
@given(st.data(), angles, angles, angles)
def test_the_mirrored_expression_is_the_mirrored_picture(
    data: st.DataObject, yaw: float, pitch: float, roll: float
) -> None:
    face = data.draw(st.dictionaries(st.sampled_from(BLENDSHAPES), st.floats(0, 1), max_size=12))
    pose = HeadPose(yaw, pitch, roll)
    picture = draw_puppet(face, pose, 120)
    swapped = {other_side(name): value for name, value in face.items()}
    mirrored = draw_puppet(swapped, pose.mirrored(), 120)[:, ::-1]
    # Highlights in the eyes lie on one side, as the light does.
    assert difference(picture, mirrored) < 1.3


@settings(max_examples=15)
@given(st.dictionaries(st.text() | st.sampled_from(BLENDSHAPES),
                       st.floats(allow_nan=True, allow_infinity=True), max_size=8),
       st.integers(16, 200))  # fmt: skip
def test_whatever_the_numbers_it_is_a_picture(face: dict[str, float], size: int) -> None:
    picture = draw_puppet(face, HeadPose(9.0, -9.0, 3.0), size)
    assert picture.shape == (size, size, 3)
    assert picture.dtype == np.uint8


def test_small_changes_are_small() -> None:
    before = draw_puppet({"jawOpen": 0.40, "eyeBlinkLeft": 0.50}, HeadPose(0.1, 0, 0), 200)
    after = draw_puppet({"jawOpen": 0.41, "eyeBlinkLeft": 0.51}, HeadPose(0.105, 0, 0), 200)
    assert 0 < difference(before, after) < 0.6


def test_it_is_the_same_every_time_and_leaves_earlier_pictures_alone() -> None:
    first = draw_puppet({"mouthSmileLeft": 0.7}, size=90)
    kept = first.copy()
    draw_puppet({"jawOpen": 1.0}, size=90)
    np.testing.assert_array_equal(first, kept)
    np.testing.assert_array_equal(draw_puppet({"mouthSmileLeft": 0.7}, size=90), kept)


def test_a_closed_eye_hides_the_iris() -> None:
    teal = lambda picture: int(((picture[..., 2] > 120) & (picture[..., 0] < 100)).sum())  # noqa: E731
    shown = draw_puppet({}, size=200)[:110]
    assert teal(shown) > 60
    assert teal(draw_puppet({"eyeBlinkLeft": 1, "eyeBlinkRight": 1}, size=200)[:110]) == 0


@given(angles, angles, angles, st.floats(0.3, 40), st.floats(-500, 500))
def test_the_pose_of_a_turned_canonical_face(
    yaw: float, pitch: float, roll: float, scale: float, shift: float
) -> None:
    pose = HeadPose(yaw, pitch, roll)
    face = canonical_face().vertices_m * (1, -1, -1) * 1000
    found = head_pose(scale * face @ pose.rotation().T + (shift, -shift, 3 * shift))
    assert (found.yaw, found.pitch, found.roll) == pytest.approx((yaw, pitch, roll), abs=1e-6)


def test_signs_of_the_pose() -> None:
    nose = np.array([0, 0, -1.0])  # toward the camera
    assert (HeadPose(yaw=0.3).rotation() @ nose)[0] > 0  # the picture's right
    assert (HeadPose(pitch=0.3).rotation() @ nose)[1] < 0  # up
    assert (HeadPose(roll=0.3).rotation() @ (0, -1, 0))[0] > 0  # the crown leans to the right
    assert head_pose(np.zeros((478, 3))) == HeadPose()


def test_the_pose_of_a_picture_turns_with_it(astronaut: np.ndarray, mediapipe_models: None) -> None:
    from runtime.solutions import open_solution

    solution = open_solution("face", models="mediapipe", static=True, max_subjects=1)

    def pose_of(picture: np.ndarray) -> HeadPose:
        (face,) = solution.process(picture, 0)
        return head_pose(face.keypoints_px(picture.shape[1], picture.shape[0]))

    straight = pose_of(astronaut)
    turn = cv2.getRotationMatrix2D((230, 120), -20, 1.0)  # clockwise
    turned = pose_of(cv2.warpAffine(astronaut, turn, (512, 512)))
    assert turned.roll - straight.roll == pytest.approx(np.radians(20), abs=0.05)
    flipped = pose_of(np.ascontiguousarray(astronaut[:, ::-1]))
    assert flipped.yaw == pytest.approx(-straight.yaw, abs=0.08)
    assert flipped.pitch == pytest.approx(straight.pitch, abs=0.08)
