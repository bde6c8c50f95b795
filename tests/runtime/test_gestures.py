"""Gestures: what doesn't matter doesn't, rules name the library's shapes, models MediaPipe's."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from runtime.errors import ViewfinderError
from runtime.gestures.features import bends, canonical, features, hand_points
from runtime.gestures.rules import EMBLEMS, NONE, emblem, hand_state
from runtime.image import read_image
from runtime.model import Model
from runtime.model_store import released_model
from runtime.solutions import open_solution
from runtime.solutions.gestures import GESTURES, MediaPipeGestures
from tests.runtime.hand_kinematics import gesture_hand, mirrored, seen, turned

NAMED = {
    "fist": "Closed_Fist", "fist_thumb_beside": "Closed_Fist", "open_palm": "Open_Palm",
    "flat": "Open_Palm", "spread": "Open_Palm", "point": "Pointing_Up", "gun": "L",
    "victory": "Victory", "two_together": "Two", "three": "Three", "three_thumb": "Three",
    "four": "Four", "call": "Call", "rock": "Rock", "love": "ILoveYou", "pinky_up": "Pinky_Up",
    "ok": "OK", "pinch": "Pinch", "relaxed": NONE, "claw": NONE, "cup": NONE, "tabletop": NONE,
}  # fmt: skip


def named(points: np.ndarray) -> str:
    return emblem(hand_state(points))[0]


# What doesn't matter


@pytest.mark.parametrize("name", ["open_palm", "rock"])
def test_place_size_and_side_do_not_matter(name: str) -> None:
    hand = gesture_hand(name)
    expected = canonical(hand, "right")
    np.testing.assert_allclose(canonical(hand * 730 + (40, -3, 9), "right"), expected, atol=1e-9)
    np.testing.assert_allclose(canonical(mirrored(hand), "left"), expected, atol=1e-9)
    np.testing.assert_allclose(canonical(hand, None), expected, atol=1e-9)
    sizes = np.linalg.norm(expected[[0, 5, 9, 13, 17]], axis=1)
    assert sizes.mean() == pytest.approx(1)


@pytest.mark.parametrize("turn", [-2.5, -0.3, 1.0, math.pi])
def test_turn_in_the_picture_does_not_matter_where_it_should_not(turn: float) -> None:
    hand = gesture_hand("call")
    upright = canonical(hand, "right", turn_upright=True)
    again = canonical(turned(hand, z=turn), "right", turn_upright=True)
    np.testing.assert_allclose(again, upright, atol=1e-9)
    middle = upright[9] - upright[0]
    assert middle[0] == pytest.approx(0, abs=1e-9)
    assert middle[1] < 0, "above the wrist"
    kept = canonical(turned(hand, z=turn), "right")
    assert np.abs(kept - canonical(hand, "right")).max() > 0.1


def test_bends_are_angles_between_bones() -> None:
    points = np.zeros((21, 3))
    for first in range(1, 21, 4):
        points[first : first + 4, 1] = -np.arange(1, 5)
    np.testing.assert_allclose(bends(points), 0, atol=1e-6)
    points[8] = points[7] + (0, 0, -1)
    assert bends(points)[1, 2] == pytest.approx(math.pi / 2)
    library = bends(gesture_hand("tabletop"))
    assert library[1, 0] == pytest.approx(math.radians(78), abs=0.35)


def test_no_hand_at_all_is_no_crash() -> None:
    assert named(np.zeros((21, 3))) == NONE
    assert not canonical(np.zeros((21, 3)), "left").any()
    assert np.isfinite(features(canonical(np.full((21, 3), np.nan), None))).all()


def test_two_dimensional_keypoints_have_no_depth() -> None:
    points = hand_points(np.full((21, 2), 0.5), 640, 480)
    np.testing.assert_array_equal(points, np.tile([320.0, 240.0, 0.0], (21, 1)))
    flat = hand_points(np.full((21, 3), 0.5), 640, 480)
    np.testing.assert_array_equal(flat[0], [320, 240, 320])


# Rules


@pytest.mark.parametrize(("shape", "expected"), NAMED.items())
def test_rules_name_the_librarys_shapes(shape: str, expected: str) -> None:
    hand = gesture_hand(shape)
    assert named(hand) == expected
    assert named(mirrored(hand)) == expected, "the other hand"
    assert named(turned(hand, y=math.pi)) == expected, "seen from the back"
    assert expected in (*EMBLEMS, NONE)


def test_a_thumb_says_up_or_down_by_where_it_points() -> None:
    hand = gesture_hand("thumb_up")  # its thumb points to the right of the picture
    assert named(hand) == NONE
    assert named(turned(hand, z=-math.pi / 2)) == "Thumb_Up"
    assert named(turned(hand, z=math.pi / 2)) == "Thumb_Down"
    assert hand_state(hand).pointing(0) == "right"


def test_a_finger_points_where_it_points() -> None:
    hand = gesture_hand("point")
    for turn, way in ((0.0, "up"), (math.pi / 2, "right"), (-math.pi / 2, "left"), (3.1, "down")):
        points = turned(hand, z=turn)
        assert hand_state(points).pointing(1) == way
        assert named(points) == ("Pointing_Up" if way == "up" else "Pointing")


def test_rules_bear_noise_and_other_views() -> None:
    rng = np.random.default_rng(0)
    right = [
        named(seen(rng, shape)) == expected for shape, expected in NAMED.items() for _ in range(10)
    ]
    assert np.mean(right) > 0.85


def test_the_state_in_words() -> None:
    words = hand_state(gesture_hand("victory")).to_json()
    assert words["fingers"] == {
        "thumb": "closed", "index": "straight", "middle": "straight", "ring": "closed",
        "pinky": "closed",
    }  # fmt: skip
    assert words["directions"]["index"] == "up"
    assert words["spread_deg"][0] > 15
    assert words["pinch"] == 0
    assert json.loads(json.dumps(words)) == words


# MediaPipe's models

RECORDED = Path(__file__).parent / "data" / "gesture_recognizer_1.2.2.json"


@pytest.fixture(scope="module")
def recogniser(mediapipe_models: None) -> MediaPipeGestures:
    try:
        data = [released_model(name) for name in ("gesture_embedder", "canned_gesture_classifier")]
    except ViewfinderError as error:
        pytest.skip(str(error))
    return MediaPipeGestures(*(Model.from_bytes(each, "gestures") for each in data))


def test_the_same_numbers_as_mediapipes_recogniser(recogniser: MediaPipeGestures) -> None:
    """What MediaPipe 1.2.2's GestureRecognizer said of nine hands, and of which keypoints."""
    stored = json.loads(RECORDED.read_text())
    assert len(stored["hands"]) == 9
    for hand in stored["hands"]:
        left = hand["score"] if hand["label"] == "Left" else np.float32(1) - hand["score"]
        said = recogniser.named(
            np.array(hand["keypoints"], dtype=np.float32),
            np.array(hand["world"], dtype=np.float32), left, *hand["size"],
        )  # fmt: skip
        assert said["name"] == hand["gesture"][0]
        assert said["score"] == pytest.approx(hand["gesture"][1], abs=1e-6)


def test_the_models_by_hand_say_the_same(
    recogniser: MediaPipeGestures, real: Path, mediapipe_models: None
) -> None:
    """The graph's answer against embedder and classifier run on the subject's own numbers."""
    embedder, classifier = recogniser.models

    def prepared(points: np.ndarray) -> np.ndarray:
        points = points - points[0]
        sides = np.maximum(points.max(axis=0), 0) - points.min(axis=0)
        return points / (sides[:2].max() + 1e-5)

    expected = {"smp_hand_thumb_up.jpg": ["Thumb_Up"], "tfjs_hands.jpg": [NONE, "Open_Palm"]}
    hands = open_solution("hands", models="mediapipe", static=True, gestures="mediapipe")
    for name, gestures in expected.items():
        rgb = read_image(real / "images" / name)
        height, width = rgb.shape[:2]
        found = hands.process(rgb, 0)
        assert sorted(str(hand.gesture and hand.gesture["name"]) for hand in found) == sorted(
            gestures
        )
        for hand in found:
            square = hand.keypoints * (width / max(width, height), height / max(width, height), 1)
            assert hand.world_m is not None
            assert hand.gesture is not None
            # The exact probability of a left hand isn't in the subject; both ends bracket it.
            scores = []
            for left in (0.5, 1.0) if hand.handedness == "left" else (0.0, 0.5):
                (embedding,) = embedder.invoke(
                    prepared(square)[None], [[left]], prepared(hand.world_m)[None]
                ).values()
                (answer,) = classifier.invoke(embedding).values()
                scores.append(float(answer[0, GESTURES.index(hand.gesture["name"])]))
            low, high = sorted(scores)
            assert low - 0.02 <= hand.gesture["score"] <= high + 0.02


@pytest.mark.parametrize("gestures", ["mediapipe", "rules"])
def test_a_selfie_shows_the_same_gesture(
    gestures: str, real: Path, mediapipe_models: None, released: Callable[..., None]
) -> None:
    if gestures == "mediapipe":
        released("gesture_embedder", "canned_gesture_classifier")
    rgb = read_image(real / "images" / "smp_hand_thumb_up.jpg")
    plain, selfie = (
        open_solution(
            "hands", models="mediapipe", static=True, gestures=gestures, mirrored=mirrored_view
        ).process(rgb, 0)[0]
        for mirrored_view in (False, True)
    )
    assert {plain.handedness, selfie.handedness} == {"left", "right"}
    assert plain.gesture == selfie.gesture
    assert plain.gesture is not None
    assert plain.gesture["name"] == "Thumb_Up"


def test_wrong_wishes_are_one_clear_line(mediapipe_models: None, tmp_path: Path) -> None:
    with pytest.raises(
        ViewfinderError, match=r"expected mediapipe \| rules \| a file; found 'mdp'"
    ):
        open_solution("hands", models="mediapipe", gestures="mdp")
    (tmp_path / "x.json").write_text("{}")
    with pytest.raises(ViewfinderError, match=r"x.json \[format\]"):
        open_solution("hands", models="mediapipe", gestures=str(tmp_path / "x.json"))
