"""Solutions put together from constant models, and from MediaPipe's on a portrait."""

from __future__ import annotations

import math
import zipfile
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from runtime.bundle import write_bundle
from runtime.card import Card, CardInput, CardModel, CardOutput
from runtime.detection import Detector
from runtime.errors import ViewfinderError
from runtime.inspection import described
from runtime.model import Model
from runtime.model_store import add_model, released_model
from runtime.packing import pack_bundle
from runtime.roi import FACE_SCALE, Roi, face_roi_from_detection, image_from_crop
from runtime.solutions import open_solution
from runtime.solutions.crops import FACE_RULES, HAND_RULES, FindLandmarks, crop_graph
from runtime.solutions.landmarks import HAND_Z_SCALE, CropLandmarks, LandmarkModel
from runtime.solutions.solution import GraphSolution
from runtime.solutions.tracking import Track
from tests.runtime.small_models import constant_model

PICTURE = np.zeros((480, 640, 3), dtype=np.uint8)
HAND_OUTPUTS = (
    CardOutput("Identity", (1, 63), "landmarks"),
    CardOutput("Identity_1", (1, 1), "presence"),
    CardOutput("Identity_2", (1, 1), "handedness"),
    CardOutput("Identity_3", (1, 63), "world_landmarks"),
)
HAND = CardModel("hand.tflite", "landmarks", CardInput(224, 224), HAND_OUTPUTS, "hand21@1")


def hand_landmarks(data: bytes, **changes: object) -> LandmarkModel:
    return LandmarkModel(Model.from_bytes(data, "hand"), replace(HAND, **changes))


def test_landmarks_go_back_into_the_picture(hand_model: bytes) -> None:
    landmarks = hand_landmarks(hand_model)
    roi = Roi(300, 200, 180, 180, 0.7)
    found = landmarks.run(PICTURE, roi)
    assert found is not None
    raw = landmarks.model.output(0).reshape(21, 3) / 224
    expected = image_from_crop(roi, raw * (1, 1, 1 / HAND_Z_SCALE)) / (640, 480, 640)
    np.testing.assert_allclose(found.keypoints, expected, atol=1e-6)
    assert found.presence == pytest.approx(0.9)
    assert found.right_hand == pytest.approx(0.8)
    world = landmarks.model.output(3).reshape(21, 3)
    turn = np.array([[math.cos(0.7), -math.sin(0.7)], [math.sin(0.7), math.cos(0.7)]])
    np.testing.assert_allclose(found.world_m[:, :2], world[:, :2] @ turn.T, atol=1e-6)
    np.testing.assert_allclose(found.world_m[:, 2], world[:, 2])


@pytest.mark.parametrize(("presence", "seen"), [(0.51, True), (0.5, False), (math.nan, False)])
def test_presence_decides(presence: float, seen: bool) -> None:
    values = {o.name: np.full(o.shape, 0.1) for o in HAND_OUTPUTS}
    data = constant_model(224, 224, values | {"Identity_1": np.array([[presence]])})
    found = hand_landmarks(data).run(PICTURE, Roi(100, 100, 50, 50))
    assert (found is not None) == seen


@pytest.mark.parametrize("wrong", [math.nan, math.inf])
def test_landmarks_that_are_no_numbers_are_no_subject(wrong: float) -> None:
    values = {o.name: np.full(o.shape, 0.9) for o in HAND_OUTPUTS}
    points = np.full((1, 63), 100.0)
    points[0, 30] = wrong
    data = constant_model(224, 224, values | {"Identity": points})
    with np.errstate(all="ignore"):
        assert hand_landmarks(data).run(PICTURE, Roi(100, 100, 1000, 1000)) is None


def test_face_presence_is_a_logit() -> None:
    outputs = (
        CardOutput("points", (1, 1, 1, 1434), "landmarks"),
        CardOutput("there", (1, 1, 1, 1), "presence_logit"),
    )
    card = CardModel("f", "landmarks", CardInput(192, 192), outputs, "face478@1")
    points = np.full((1, 1, 1, 1434), 96.0)
    for logit, seen in ((0.1, True), (-0.1, False), (500.0, True), (-500.0, False)):
        values = {"points": points, "there": np.full((1, 1, 1, 1), logit)}
        landmarks = LandmarkModel(Model.from_bytes(constant_model(192, 192, values), "f"), card)
        found = landmarks.run(PICTURE, Roi(320, 240, 192, 192))
        assert (found is not None) == seen
        if found is not None:
            assert found.presence == pytest.approx(1 / (1 + math.exp(-min(logit, 100))))
            np.testing.assert_allclose(found.keypoints[0], (0.5, 0.5, 96 / 640), atol=1e-6)


def test_card_and_model_must_fit(hand_model: bytes) -> None:
    with pytest.raises(ViewfinderError, match="the model's input isn't the card's"):
        hand_landmarks(hand_model, input=CardInput(192, 192))
    with pytest.raises(ViewfinderError, match=r"\[landmarks\].*expected 1434 values; found 63"):
        hand_landmarks(hand_model, topology="face478@1")
    with pytest.raises(ViewfinderError, match=r"\[landmarks\].*no such output"):
        hand_landmarks(hand_model, outputs=HAND_OUTPUTS[1:])
    with pytest.raises(ViewfinderError, match="no such output"):
        hand_landmarks(hand_model, outputs=(CardOutput("other", (1, 63), "landmarks"),))


class FixedDetector(Detector):
    """A palm detector that always says the same and counts how often it was asked."""

    model = None

    def __init__(self, found: list) -> None:
        self.found, self.asked = found, 0

    def detect(self, rgb: np.ndarray) -> list:
        self.asked += 1
        return self.found


@pytest.fixture
def palm() -> FixedDetector:
    from runtime.detection import Detection

    points = np.array([[0.5, 0.7]] + [[0.5, 0.5]] * 6, dtype=np.float32)
    return FixedDetector([Detection(0.9, np.array([0.4, 0.5, 0.2, 0.2], dtype=np.float32), points)])


def hands(
    detector: Detector, data: bytes, most: int, static: bool, mirrored: bool
) -> GraphSolution:
    graph = crop_graph("hands", detector, hand_landmarks(data), HAND_RULES, most, mirrored)
    return GraphSolution(graph, "hand21@1", static)


def test_the_detector_rests_while_enough_are_followed(
    palm: FixedDetector, hand_model: bytes
) -> None:
    solution = hands(palm, hand_model, 1, static=False, mirrored=False)
    ids = [solution.process(PICTURE, t)[0].id for t in range(5)]
    assert ids == [0] * 5
    assert palm.asked == 1
    solution.process(np.zeros((300, 300, 3), dtype=np.uint8), 5)  # another size: a new stream
    assert palm.asked == 2
    solution.reset()
    assert solution.process(PICTURE, 6)[0].id == 0
    assert palm.asked == 3


def test_static_asks_the_detector_every_time_and_forgets(
    palm: FixedDetector, hand_model: bytes
) -> None:
    solution = hands(palm, hand_model, 1, static=True, mirrored=False)
    answers = [solution.process(PICTURE, t)[0] for t in range(3)]
    assert palm.asked == 3
    for answer in answers:
        np.testing.assert_array_equal(answer.keypoints, answers[0].keypoints)


def test_handedness_is_the_persons_own(palm: FixedDetector, hand_model: bytes) -> None:
    plain = hands(palm, hand_model, 1, static=True, mirrored=False)
    selfie = hands(palm, hand_model, 1, static=True, mirrored=True)
    assert plain.process(PICTURE, 0)[0].handedness == "right"
    assert selfie.process(PICTURE, 0)[0].handedness == "left"


def face_bundle(folder: Path, **changes: object) -> Path:
    outputs = (
        CardOutput("points", (1, 1, 1, 1434), "landmarks"),
        CardOutput("there", (1, 1, 1, 1), "presence_logit"),
    )
    model = CardModel("face.tflite", "landmarks", CardInput(192, 192), outputs, "face478@1")
    canonical = np.random.default_rng(3).uniform(20, 170, (1, 1, 1, 1434))
    data = constant_model(192, 192, {"points": canonical, "there": np.full((1, 1, 1, 1), 4.0)})
    card = replace(Card("face", (model,), licence="Apache-2.0", parent="ef" * 32), **changes)
    write_bundle(folder / "face.task", {"face.tflite": data}, card)
    return folder / "face.task"


@pytest.mark.usefixtures("mediapipe_models")
def test_our_bundle_runs_behind_mediapipes_detector(tmp_path: Path, astronaut: np.ndarray) -> None:
    solution = open_solution("face", face_bundle(tmp_path), models="mediapipe", static=True)
    (subject,) = solution.process(astronaut, 0)
    assert subject.topology == "face478@1"
    assert subject.keypoints.shape == (478, 3)
    assert subject.score == pytest.approx(1 / (1 + math.exp(-4)), abs=1e-4)
    # The constant landmarks must lie where the detection's crop puts them.
    finder = open_solution("face-detection", models="mediapipe")
    (face,) = finder.process(astronaut, 0)
    region = face_roi_from_detection(face.box, face.keypoints, (512, 512))
    assert region.width == pytest.approx(max(face.box[2:]) * 512 * FACE_SCALE, rel=1e-5)
    raw = solution.models[1].output(0).reshape(478, 3) / 192
    expected = image_from_crop(region, raw) / 512
    np.testing.assert_allclose(subject.keypoints, expected, atol=1e-5)


@pytest.mark.usefixtures("mediapipe_models")
def test_packed_bundle_answers_as_its_parts(tmp_path: Path, astronaut: np.ndarray) -> None:
    pack_bundle("face_detection_short_range", "face_landmark", tmp_path / "whole.task")
    whole = open_solution("face", tmp_path / "whole.task", static=True).process(astronaut, 0)
    parts = open_solution("face", models="mediapipe", static=True).process(astronaut, 0)
    np.testing.assert_array_equal(whole[0].keypoints, parts[0].keypoints)
    facts = described(tmp_path / "whole.task")
    assert [model["role"] for model in facts["models"]] == ["detector", "landmarks"]
    assert all(model["trusted"] and model["whole_in_xnnpack"] for model in facts["models"])
    assert any("MediaPipe" in licence for licence in facts["licences_inherited"])
    with pytest.raises(ViewfinderError, match="for different tasks"):
        pack_bundle("palm_detection_full", "face_landmark", tmp_path / "mixed.task")
    with pytest.raises(ViewfinderError, match="holds no detector"):
        pack_bundle("face_landmark", "face_landmark", tmp_path / "two.task")


@pytest.mark.usefixtures("mediapipe_models")
def test_packing_keeps_the_landmarks_card(tmp_path: Path) -> None:
    ours = face_bundle(tmp_path)
    pack_bundle("face_detection_short_range", ours, tmp_path / "whole.task")
    facts = described(tmp_path / "whole.task")
    assert facts["licence"] == "Apache-2.0"
    assert facts["parent"] == described(ours)["sha256"]


@pytest.mark.usefixtures("mediapipe_models")
def test_following_agrees_with_looking_anew(astronaut: np.ndarray) -> None:
    # A face held still: the crop from its landmarks gives the same face within a few pixels.
    followed = open_solution("face", models="mediapipe", max_subjects=1)
    first = followed.process(astronaut, 0)[0]
    for t in range(1, 5):
        last = followed.process(astronaut, t)[0]
    assert last.id == first.id
    assert followed.models[0].invocations == 1
    assert np.abs(last.keypoints - first.keypoints)[:, :2].max() * 512 < 4


def test_a_second_look_sees_what_following_sees(astronaut: np.ndarray) -> None:
    """Two looks at one picture are the second of two equal frames, looked at once each."""
    once = open_solution("face", max_subjects=1, second_look=False)
    first, second = (once.process(astronaut, time)[0] for time in (0, 1))
    assert not np.array_equal(first.keypoints, second.keypoints)
    twice = open_solution("face", max_subjects=1)  # our own models look twice
    (seen,) = twice.process(astronaut, 0)
    np.testing.assert_array_equal(seen.keypoints, second.keypoints)
    assert (seen.score, seen.id) == (second.score, 0)
    # Whom one follows one has seen already.
    twice.process(astronaut, 1)
    assert [model.invocations for model in twice.models] == [1, 3]
    single = open_solution("face", max_subjects=1, static=True)
    for time in range(2):
        (again,) = single.process(astronaut, time)
        np.testing.assert_array_equal(again.keypoints, seen.keypoints)
    assert [model.invocations for model in single.models] == [2, 4]


def test_a_second_look_has_the_last_word(hand_model: bytes) -> None:
    values = {o.name: np.full(o.shape, 0.1) for o in HAND_OUTPUTS}
    absent = LandmarkModel(Model.from_bytes(constant_model(224, 224, values), "hand"), HAND)
    present = hand_landmarks(hand_model)

    class Wavering:
        """Sees a hand at every first look and none at any second."""

        def __init__(self) -> None:
            self.model, self.topology, self._looks = present.model, present.topology, 0

        def run(self, picture: np.ndarray, roi: Roi) -> CropLandmarks | None:
            self._looks += 1
            return (present if self._looks % 2 else absent).run(picture, roi)

    new = [Track(Roi(300, 200, 180, 180, 0.7))]
    assert len(FindLandmarks(Wavering()).process(PICTURE, new)) == 1
    assert FindLandmarks(Wavering(), HAND_RULES.roi_from_landmarks).process(PICTURE, new) == []


@pytest.mark.usefixtures("mediapipe_models")
def test_mediapipes_models_look_once(astronaut: np.ndarray) -> None:
    solution = open_solution("face", models="mediapipe", static=True)
    solution.process(astronaut, 0)
    assert [model.invocations for model in solution.models] == [1, 1]


@pytest.mark.usefixtures("mediapipe_models")
def test_a_turned_portrait_gives_turned_landmarks(astronaut: np.ndarray) -> None:
    solution = open_solution("face", models="mediapipe", static=True)
    upright = solution.process(astronaut, 0)[0].keypoints_px(512, 512)[:, :2]
    matrix = cv2.getRotationMatrix2D((223, 120), 25, 1.0)
    turned = solution.process(cv2.warpAffine(astronaut, matrix, (512, 512)), 1)[0]
    expected = upright @ matrix[:, :2].T + matrix[:, 2]
    distance = np.linalg.norm(turned.keypoints_px(512, 512)[:, :2] - expected, axis=1)
    assert distance.mean() < 2.0


@pytest.mark.usefixtures("mediapipe_models")
def test_unknown_files_are_refused_clearly(tmp_path: Path) -> None:
    (tmp_path / "b.tflite").write_bytes(constant_model(8, 8, {"x": np.ones((1, 3))}))
    with pytest.raises(ViewfinderError, match="its tensors are none that are known"):
        open_solution("face", tmp_path / "b.tflite")


def test_wrong_wishes_are_one_clear_line(home: Path, tmp_path: Path, hand_model: bytes) -> None:
    with pytest.raises(ViewfinderError, match="unknown solution"):
        open_solution("feet")
    with pytest.raises(ViewfinderError, match="no models of its own yet"):
        open_solution("pose")
    with pytest.raises(ViewfinderError, match="viewfinder models fetch mediapipe"):
        open_solution("face", models="mediapipe")
    with pytest.raises(ViewfinderError, match=r"\[variant\].*full \| lite.*heavy"):
        open_solution("hands", models="mediapipe", variant="heavy")
    with pytest.raises(ViewfinderError, match="no such model"):
        open_solution("face", "nowhere.task")
    with pytest.raises(ViewfinderError, match="wrong threshold"):
        open_solution("face", min_score=1.5)
    (tmp_path / "hand.tflite").write_bytes(hand_model)
    add_model(tmp_path / "hand.tflite")
    with pytest.raises(ViewfinderError, match="is for something else; expected face; found hand"):
        open_solution("face", "hand.tflite")
    with pytest.raises(ViewfinderError, match="holds no detector"):
        open_solution("face-detection", face_bundle(tmp_path))


def test_rules_are_those_of_the_roi_module() -> None:
    assert FACE_RULES.roi_from_detection is face_roi_from_detection


@pytest.mark.usefixtures("mediapipe_models")
def test_mediapipes_own_task_file(real: Path, tmp_path: Path, astronaut: np.ndarray) -> None:
    # As MediaPipe Tasks has it: no card, a detector, the 478-point model, and files of other kinds.
    # Skips without ../shared, which holds that model.
    landmarks = (real.parent / "models" / "face_landmarks_detector_v2.tflite").read_bytes()
    with zipfile.ZipFile(tmp_path / "face_landmarker.task", "w") as archive:
        archive.writestr("face_detector.tflite", released_model("face_detection_short_range"))
        archive.writestr("face_landmarks_detector.tflite", landmarks)
        archive.writestr("geometry_pipeline_metadata_landmarks.binarypb", b"\x0a\x00")
    theirs = open_solution("face", tmp_path / "face_landmarker.task", static=True)
    (subject,) = theirs.process(astronaut, 0)
    assert subject.topology == "face478@1"
    (mesh,) = open_solution("face", models="mediapipe", static=True).process(astronaut, 0)
    # Two models of the same face: a few pixels apart, and the irises inside the eyes.
    distance = np.linalg.norm((subject.keypoints[:468] - mesh.keypoints)[:, :2] * 512, axis=1)
    assert distance.mean() < 3
    for iris, outer, inner in ((468, 33, 133), (473, 263, 362)):
        low, high = sorted((subject.keypoints[outer, 0], subject.keypoints[inner, 0]))
        assert low < subject.keypoints[iris, 0] < high
