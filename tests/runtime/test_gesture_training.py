"""One's own gestures: learned from a few examples, kept in a file, taught from a folder."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner, Result

from runtime.errors import ViewfinderError
from runtime.gestures.classifier import (
    LEAST_EXAMPLES,
    Assessment,
    GestureClassifier,
    train_classifier,
)
from runtime.gestures.features import canonical
from runtime.gestures.file import _digest, parse_gestures, read_gestures, write_gestures
from runtime.gestures.rules import NONE
from runtime.gestures.training import gesture_pictures, train_gestures
from runtime.image import read_image, write_image
from runtime.model_commands import models_app
from runtime.results import Subject, bounding_box
from runtime.solutions import open_solution
from tests.runtime.hand_kinematics import mirrored, seen, turned

MINE = ("fist", "open_palm", "victory", "ok", "call")


# The classifier


def examples(
    rng: np.random.Generator, count: int, shapes: tuple[str, ...] = MINE
) -> tuple[list[np.ndarray], list[str]]:
    labels = [shape for shape in shapes for _ in range(count)]
    return [canonical(seen(rng, label), "right") for label in labels], labels


@pytest.fixture(scope="module")
def learned() -> tuple[GestureClassifier, Assessment]:
    return train_classifier(*examples(np.random.default_rng(1), 8))


def test_a_few_examples_are_enough(learned: tuple[GestureClassifier, Assessment]) -> None:
    classifier, assessment = learned
    assert assessment.accuracy > 0.9
    assert assessment.confusion.sum() == 8 * len(MINE)
    rng = np.random.default_rng(2)
    answers = [
        (label, classifier.classify(seen(rng, label), "right")) for label in MINE for _ in range(20)
    ]
    assert np.mean([label == name for label, (name, _) in answers]) > 0.9
    assert np.mean([name in (label, NONE) for label, (name, _) in answers]) > 0.98
    assert all(0 <= score <= 1 for _, (_, score) in answers)


def test_learned_with_one_hand_known_of_the_other(
    learned: tuple[GestureClassifier, Assessment],
) -> None:
    rng = np.random.default_rng(3)
    for label in MINE:
        hand = seen(rng, label, noise_m=0.001)
        right = learned[0].classify(hand, "right")
        assert learned[0].classify(mirrored(hand), "left") == pytest.approx(right)


def test_what_was_not_learned_is_none(learned: tuple[GestureClassifier, Assessment]) -> None:
    rng = np.random.default_rng(4)
    others = ("tabletop", "gun", "four", "rock", "hook")
    names = [
        learned[0].classify(seen(rng, other), "right")[0] for other in others for _ in range(10)
    ]
    assert np.mean([name == NONE for name in names]) > 0.75
    wild = [rng.normal(0, 100, (21, 3)) for _ in range(20)]
    assert all(learned[0].classify(points, "right")[0] == NONE for points in wild)
    assert learned[0].classify(np.full((21, 3), np.nan), "right")[0] == NONE


def test_examples_of_none_draw_the_line() -> None:
    rng = np.random.default_rng(5)
    hands, labels = examples(rng, 8, ("open_palm", "fist"))
    similar = [canonical(seen(rng, "four"), "right") for _ in range(8)]
    without, _ = train_classifier(hands, labels)
    with_none, assessment = train_classifier([*hands, *similar], [*labels, *[NONE] * 8])
    fours = [seen(rng, "four") for _ in range(20)]
    palms = [seen(rng, "open_palm") for _ in range(20)]

    def share(classifier: GestureClassifier, points: list[np.ndarray], name: str) -> float:
        return float(np.mean([classifier.classify(one, "right")[0] == name for one in points]))

    assert share(with_none, fours, NONE) >= share(without, fours, NONE)
    assert share(with_none, fours, NONE) > 0.8
    assert share(with_none, palms, "open_palm") > 0.8
    assert assessment.names == ("fist", "open_palm", NONE)
    assert assessment.confusion[2].sum() == 8


def test_turned_hands_are_told_apart_only_where_wanted() -> None:
    rng = np.random.default_rng(6)
    up = [turned(seen(rng, "thumb_up"), z=-math.pi / 2) for _ in range(12)]
    down = [turned(seen(rng, "thumb_up"), z=math.pi / 2) for _ in range(12)]
    labels = ["up"] * 12 + ["down"] * 12
    apart = train_classifier([canonical(hand, "right") for hand in up + down], labels)[1]
    assert apart.accuracy > 0.9
    alike = train_classifier(
        [canonical(hand, "right", turn_upright=True) for hand in up + down], labels, True
    )[1]
    assert alike.accuracy < 0.75


def test_left_out_means_left_out() -> None:
    # Whatever an example is called, it can't have taught its own name.
    rng = np.random.default_rng(7)
    hands, _ = examples(rng, 30, ("open_palm",))
    by_chance = rng.permutation(["a"] * 15 + ["b"] * 15).tolist()
    assert train_classifier(hands, by_chance)[1].accuracy < 0.75


def test_left_out_answers_are_those_of_a_classifier_without_the_example() -> None:
    hands, labels = examples(np.random.default_rng(8), 4, ("open_palm", "fist", "ok"))
    classifier, assessment = train_classifier(hands, labels)
    assert set(assessment.wrong) <= set(range(len(hands)))
    others = [i for i in range(len(hands)) if i != 5]
    smaller, _ = train_classifier([hands[i] for i in others], [labels[i] for i in others])
    assert smaller.classify(hands[5], "right")[0] == labels[5]
    assert 5 not in assessment.wrong
    again, _ = train_classifier(hands, labels)
    np.testing.assert_array_equal(classifier.whitening, again.whitening)


# The file


@pytest.fixture
def file(tmp_path: Path, learned: tuple[GestureClassifier, Assessment]) -> Path:
    write_gestures(tmp_path / "mine.json", *learned, {"tool": "a test"})
    return tmp_path / "mine.json"


def test_a_file_gives_back_the_same_answers(
    file: Path, learned: tuple[GestureClassifier, Assessment]
) -> None:
    stored = read_gestures(file)
    rng = np.random.default_rng(9)
    for label in (*MINE, "gun", "relaxed"):
        hand = seen(rng, label)
        name, score = learned[0].classify(hand, "right")
        again, same = stored.classifier.classify(hand, "right")
        assert again == name
        assert same == pytest.approx(score, abs=1e-5)
    assert stored.training["tool"] == "a test"
    assert stored.training["left_out_accuracy"] > 0.9
    assert stored.training["confusion"]["names"] == [*sorted(MINE), NONE]


def test_what_was_changed_is_refused(file: Path) -> None:
    text = file.read_text()
    changed = text.replace('"fist"', '"fest"', 1)
    assert changed != text
    file.write_text(changed)
    with pytest.raises(ViewfinderError, match=r"mine.json \[sha256\]: .* changed or damaged"):
        read_gestures(file)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("format", "viewfinder.gestures@9"), ("names", ["one"]), ("names", ["a", "a"]),
        ("names", ["a", NONE, "b", "c", "d"]), ("names", [1, 2, 3, 4, 5]), ("centre", [1, 2]),
        ("centre", "text"), ("whitening", [[1.0] * 92] * 91), ("means", None),
        ("none_mean", [float("inf")] * 92), ("none_spread", 0), ("sharpness", -1),
        ("sharpness", True), ("reach", 0),
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_refused_by_name(file: Path, field: str, value: object) -> None:
    # Sealed anew: whoever writes such a file can do that too.
    content = json.loads(file.read_text())
    del content["sha256"]
    content[field] = value
    content["sha256"] = _digest(content)
    with pytest.raises(ViewfinderError, match=rf"\[{field}\]"):
        parse_gestures(json.dumps(content).encode(), "mine.json")


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes_are_refused_in_words(data: bytes) -> None:
    with pytest.raises(ViewfinderError):
        parse_gestures(data, "any")


def test_deep_and_missing_files_are_refused_in_words(tmp_path: Path) -> None:
    with pytest.raises(ViewfinderError, match="no gesture file"):
        parse_gestures(b"[" * 200_000, "deep")
    with pytest.raises(ViewfinderError, match=r"absent\.json: can't read"):
        read_gestures(tmp_path / "absent.json")


# Training from a folder


class PaintedHands:
    """Reads which hand a picture shows from its first pixels: gesture, seed and side."""

    def process(self, rgb: np.ndarray, timestamp_us: int) -> list[Subject]:
        shape, seed, left, count = rgb[0, 0, 0] // 16, rgb[8, 0, 0], rgb[16, 0, 0] > 127, rgb[24, 0]
        found = []
        for number in range(int(count[0]) // 100):
            points = seen(np.random.default_rng([seed, number]), MINE[shape]) / (
                1000.0 * (1 + number)
            )
            points = mirrored(points) if left else points
            keypoints = (points / (1, rgb.shape[0] / rgb.shape[1], 1)).astype(np.float32)
            found.append(
                Subject(
                    number, "hand21@1", 1.0, keypoints, bounding_box(keypoints),
                    handedness="left" if left else "right",
                )
            )  # fmt: skip
        return found


def paint(path: Path, shape: int, seed: int, left: bool = False, hands: int = 1) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    rgb = np.zeros((32, 48, 3), dtype=np.uint8)
    for row, value in ((0, shape * 16 + 8), (8, seed), (16, 255 * left), (24, hands * 100 + 50)):
        rgb[row : row + 8] = value
    write_image(path, rgb)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for shape, name in enumerate(MINE[:3]):
        for number in range(5):
            paint(tmp_path / "mine" / name / f"{number}.png", shape, number + 10 * shape,
                  left=number % 2 == 0, hands=1 + number % 2)  # fmt: skip
    return tmp_path / "mine"


def test_a_folder_is_learned(folder: Path) -> None:
    seen_pictures: list[Path] = []
    trained = train_gestures(folder, PaintedHands(), advance=seen_pictures.append)
    assert trained.classifier.names == tuple(sorted(MINE[:3]))
    assert trained.assessment.accuracy > 0.9
    assert len(seen_pictures) == len(trained.examples.hands) == 15
    assert trained.examples.pictures[0] == folder / "fist" / "0.png"


def test_pictures_without_use_are_told_and_skipped(folder: Path) -> None:
    (folder / "fist" / "broken.jpg").write_bytes(b"no picture")
    paint(folder / "ok" / "empty.png", 3, 1, hands=0)
    for number in range(LEAST_EXAMPLES):
        paint(folder / "ok" / f"{number}.png", 3, number)
    (folder / "fist" / "notes.txt").write_text("not looked at")
    (folder / ".hidden").mkdir()
    told: list[str] = []
    trained = train_gestures(folder, PaintedHands(), report=lambda error: told.append(str(error)))
    assert len(told) == 2
    assert any("broken.jpg" in line for line in told)
    assert any("empty.png: no hand was found" in line for line in told)
    assert trained.examples.unreadable == [folder / "fist" / "broken.jpg"]
    assert trained.examples.without_hand == [folder / "ok" / "empty.png"]


def test_a_folder_of_none_is_no_gesture(folder: Path) -> None:
    for number in range(3):
        paint(folder / "none" / f"{number}.png", 4, number)
    assert NONE in gesture_pictures(folder)
    trained = train_gestures(folder, PaintedHands())
    assert NONE not in trained.classifier.names
    assert len(trained.classifier.none_mean) == len(trained.classifier.centre)


def emptied(folder: Path) -> Path:
    for path in sorted((folder / "fist").iterdir()):
        path.unlink()
    return folder


def alone(folder: Path) -> Path:
    for name in MINE[1:3]:
        for path in sorted((folder / name).iterdir()):
            path.unlink()
        (folder / name).rmdir()
    return folder


def handless(folder: Path) -> Path:
    for number in range(5):
        paint(folder / "victory" / f"{number}.png", 2, number, hands=0)
    (folder / "victory" / "x.png").write_bytes(b"nothing")
    return folder


@pytest.mark.parametrize(
    ("spoil", "complaint"),
    [
        (lambda folder: folder / "absent", "absent: no such folder"),
        (emptied, r"fist: no pictures of this gesture; expected .*\.jpg"),
        (alone, r"mine: gestures are told apart.*FOLDER/<gesture>.*found fist"),
        (
            handless,
            "victory: too few hands of this gesture; expected 3 or more; found 0; 5 pictures "
            "without a hand, 1 unreadable",
        ),
    ],
)
def test_folders_that_teach_nothing(
    folder: Path, spoil: Callable[[Path], Path], complaint: str
) -> None:
    with pytest.raises(ViewfinderError, match=complaint):
        train_gestures(spoil(folder), PaintedHands())


def cli(*arguments: object) -> Result:
    words = ["train-gestures", *(str(argument) for argument in arguments)]
    return CliRunner().invoke(models_app, words, env={"COLUMNS": "200"})


def test_the_command_says_what_is_missing(tmp_path: Path, mediapipe_models: None) -> None:
    for name in MINE[:2]:
        for number in range(3):
            paint(tmp_path / "mine" / name / f"{number}.png", 0, number)
    result = cli(tmp_path / "mine", "--out", tmp_path / "mine.json", "--models", "mediapipe")
    assert isinstance(result.exception, ViewfinderError)
    assert "fist: too few hands" in str(result.exception)
    assert not (tmp_path / "mine.json").exists()
    assert "no hand was found in this picture" in result.stderr
    result = cli(tmp_path / "mine", "--out", tmp_path / "m.json", "--models", "yours")
    assert "expected bundled | mediapipe" in str(result.exception)


def test_from_photographs_to_names(real: Path, mediapipe_models: None, tmp_path: Path) -> None:
    """The whole way with real hands: two gestures from two photographs, cut and turned."""
    thumb = read_image(real / "images" / "smp_hand_thumb_up.jpg")
    palms = read_image(real / "images" / "tfjs_hands.jpg")
    for name, rgb in (("thumb", thumb), ("palm", palms[:, 360:])):
        (tmp_path / "mine" / name).mkdir(parents=True)
        for number, angle in enumerate((-12, -5, 0, 6, 12)):
            height, width = rgb.shape[:2]
            turn = cv2.getRotationMatrix2D((width / 2, height / 2), angle, 1 - 0.03 * number)
            picture = cv2.warpAffine(rgb, turn, (width, height), borderMode=cv2.BORDER_REPLICATE)
            write_image(tmp_path / "mine" / name / f"{number}.jpg", picture)
    out = tmp_path / "mine.json"
    result = cli(tmp_path / "mine", "--out", out, "--models", "mediapipe", "--json")
    assert result.exit_code == 0, result.output
    facts = json.loads(result.stdout)
    assert facts["gestures"] == {"palm": 5, "thumb": 5}
    assert facts["left_out_accuracy"] >= 0.8
    hands = open_solution("hands", models="mediapipe", static=True, gestures=str(out))
    for rgb, name in ((thumb, "thumb"), (palms[:, 360:], "palm")):
        # Mirrored pictures show the other hand in the same gesture.
        for picture in (rgb, np.ascontiguousarray(rgb[:, ::-1])):
            (found,) = hands.process(np.ascontiguousarray(picture), 0)
            assert found.gesture is not None
            assert found.gesture["name"] == name
            assert found.gesture["score"] > 0.5
