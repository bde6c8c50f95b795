"""Objectron: its detector's decoding, its regions, and agreement with MediaPipe 0.10.14."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from runtime.bundle import write_bundle
from runtime.camera import OPENCV_FROM_OPENGL, Camera
from runtime.card import Card, CardInput, CardModel, CardOutput
from runtime.cuboid import Cuboid, ndc_camera
from runtime.errors import ViewfinderError
from runtime.image import read_image
from runtime.model import Model
from runtime.roi import Roi, image_from_crop, square_roi
from runtime.solutions import open_solution
from runtime.solutions.crops import Found
from runtime.solutions.landmarks import CropLandmarks
from runtime.solutions.objectron import (
    BOX_SCALE,
    FollowBoxes,
    Lift,
    followed_rotation,
    roi_of_box,
    roi_of_keypoints,
)
from runtime.solutions.objectron_detection import LABELS, ObjectDetector, anchors
from tests.runtime.small_models import constant_model

WIDTH, HEIGHT = 320, 240
GREY = np.full((HEIGHT, WIDTH, 3), 128, dtype=np.uint8)


def detector_model(objects: dict[int, tuple[str, float]]) -> tuple[bytes, CardModel]:
    """A detector that sees some class at some anchors, exactly as large as the anchor."""
    boxes, logits = np.zeros((1, 1917, 4)), np.full((1, 1917, 24), -20.0)
    for anchor, (label, logit) in objects.items():
        logits[0, anchor, LABELS.index(label)] = logit
    card = CardModel(
        "detector.tflite", "detector", CardInput(300, 300, range=(-1.0, 1.0)),
        (
            CardOutput("boxes", (1, 1917, 4), "boxes"),
            CardOutput("scores", (1, 1917, 24), "scores"),
        ),
    )  # fmt: skip
    return constant_model(300, 300, {"boxes": boxes, "scores": logits}), card


def detector(objects: dict[int, tuple[str, float]], *labels: str) -> ObjectDetector:
    data, card = detector_model(objects)
    return ObjectDetector(Model.from_bytes(data, "detector"), card, labels, 0.5)


def some_box() -> tuple[Cuboid, Camera]:
    """A box that stands upright before a camera that looks a little down."""
    down = np.deg2rad(15)
    up = np.array([0, -np.cos(down), -np.sin(down)])
    x = np.array([np.cos(0.5), 0, np.sin(0.5)])
    x -= up * (up @ x)
    x /= np.linalg.norm(x)
    box = Cuboid(
        np.stack([x, up, np.cross(x, up)], axis=1), np.array([0.05, 0.02, 1.2]),
        np.array([0.2, 0.35, 0.15]),
    )  # fmt: skip
    return box, Camera(WIDTH * 0.8, WIDTH * 0.8, WIDTH / 2, HEIGHT / 2, WIDTH, HEIGHT)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle that sees one cup over the whole picture and a known box in its crop."""
    data, card = detector_model({1916: ("Mug", 3.0)})
    box, camera = some_box()
    pixels = camera.project(box.vertices())
    # The last anchor covers the middle of the picture; its crop is known, so is the box in it.
    (found,) = detector({1916: ("Mug", 3.0)}, "Mug").detect(GREY)
    size = (float(WIDTH), float(HEIGHT))
    roi = square_roi(roi_of_box(found.box, size), BOX_SCALE, size)
    in_crop = (pixels - (roi.cx, roi.cy)) / roi.width + 0.5
    np.testing.assert_allclose(image_from_crop(roi, in_crop), pixels, atol=1e-3)
    outputs = {"points": in_crop.reshape(1, 18) * 224, "there": np.full((1, 1), 0.995)}
    landmarks = CardModel(
        "box.tflite", "landmarks", CardInput(224, 224),
        (CardOutput("points", (1, 18), "landmarks"), CardOutput("there", (1, 1), "presence")),
        "cuboid9@1",
    )  # fmt: skip
    path = tmp_path_factory.mktemp("bundles") / "cup.task"
    members = {"detector.tflite": data, "box.tflite": constant_model(224, 224, outputs)}
    write_bundle(path, members, Card("object", (card, landmarks)))
    return path


def test_anchors_fill_the_picture() -> None:
    all_anchors = anchors()
    assert all_anchors.shape == (1917, 4)
    assert (all_anchors[:, :2] > 0).all()
    assert (all_anchors[:, :2] < 1).all()
    # The first layer has three shapes in a cell: a small square, a wide and a tall one.
    np.testing.assert_allclose(all_anchors[0], [0.5 / 19, 0.5 / 19, 0.1, 0.1], rtol=1e-6)
    height, width = all_anchors[1, 2:]
    assert width / height == pytest.approx(2)
    assert width * height == pytest.approx(0.2**2)
    # The last layer's last shape lies between the greatest scale and the whole picture.
    np.testing.assert_allclose(all_anchors[-1], [0.5, 0.5, 0.95**0.5, 0.95**0.5], rtol=1e-6)


def test_an_anchor_without_offsets_is_the_box() -> None:
    (found,) = detector({1700: ("Chair", 2.0)}, "Chair").detect(GREY)
    y, x, height, width = anchors()[1700]
    np.testing.assert_allclose(found.box, [x - width / 2, y - height / 2, width, height], atol=1e-6)
    assert found.score == pytest.approx(1 / (1 + np.exp(-2)))
    assert found.keypoints.shape == (0, 2)


def test_only_wanted_classes_are_found() -> None:
    seen = {1400: ("Mug", 2.0), 1500: ("Coffee cup", 3.0), 1600: ("Car", 5.0)}
    both = detector(seen, "Mug", "Coffee cup").detect(GREY)
    assert [round(one.score, 3) for one in both] == [0.953, 0.881], "the best first"
    assert len(detector(seen, "Footwear").detect(GREY)) == 0
    assert len(detector({1400: ("Mug", -0.1)}, "Mug").detect(GREY)) == 0, "below the threshold"


def test_an_object_is_of_the_class_it_looks_most_like() -> None:
    _, card = detector_model({})
    logits = np.full((1, 1917, 24), -20.0)
    logits[0, 1400, [LABELS.index("Mug"), LABELS.index("Bottle")]] = (2.0, 2.5)
    outputs = {"boxes": np.zeros((1, 1917, 4)), "scores": logits}
    model = Model.from_bytes(constant_model(300, 300, outputs), "detector")
    assert ObjectDetector(model, card, ("Mug",), 0.5).detect(GREY) == []
    assert len(ObjectDetector(model, card, ("Bottle",), 0.5).detect(GREY)) == 1


def test_overlapping_detections_leave_the_best() -> None:
    # Neighbouring shapes of the last cell cover much the same.
    found = detector({1911: ("Mug", 1.0), 1916: ("Mug", 2.0)}, "Mug").detect(GREY)
    assert len(found) == 1
    assert found[0].score == pytest.approx(1 / (1 + np.exp(-2)))
    assert len(detector({0: ("Mug", 1.0), 1916: ("Mug", 2.0)}, "Mug").detect(GREY)) == 2


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e30])
def test_boxes_that_are_no_numbers_are_dropped(value: float) -> None:
    _, card = detector_model({})
    boxes, logits = np.zeros((1, 1917, 4)), np.full((1, 1917, 24), -20.0)
    logits[0, 1400, LABELS.index("Mug")] = 2
    boxes[0, 1400, 3] = value
    outputs = {"boxes": boxes, "scores": logits}
    model = Model.from_bytes(constant_model(300, 300, outputs), "detector")
    with np.errstate(over="ignore", invalid="ignore"):
        assert ObjectDetector(model, card, ("Mug",), 0.5).detect(GREY) == []


def test_another_detector_is_refused() -> None:
    _, card = detector_model({})
    outputs = {"boxes": np.zeros((1, 896, 16)), "scores": np.zeros((1, 896, 1))}
    model = Model.from_bytes(constant_model(300, 300, outputs), "eye.tflite")
    with pytest.raises(ViewfinderError, match=r"eye.tflite \[boxes\].*expected \(1, 1917, 4\)"):
        ObjectDetector(model, card, ("Mug",), 0.5)


def test_an_upright_box_gives_an_upright_crop() -> None:
    box, _ = some_box()
    centred = replace(box, translation_m=np.array([0.0, 0.0, 1.0]))
    rotation, top_view = followed_rotation(centred, top_view=False)
    assert not top_view
    assert rotation == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("turn", [-1.0, -0.4, 0.3, 1.2])
def test_a_turned_box_gives_a_turned_crop(turn: float) -> None:
    # About the viewing axis, clockwise on the screen: the crop must follow.
    cos, sin = np.cos(turn), np.sin(turn)
    about_z = np.array([[cos, -sin, 0], [sin, cos, 0], [0, 0, 1]])
    upright = Cuboid(np.diag([1.0, -1.0, -1.0]), np.array([0, 0, 1.0]), np.ones(3))
    turned = replace(upright, directions=about_z @ upright.directions)
    rotation, _ = followed_rotation(turned, top_view=False)
    assert rotation == pytest.approx(turn, abs=1e-6)


def test_the_view_from_above_is_left_later_than_entered() -> None:
    def seen_from(degrees: float, before: bool) -> bool:
        tilt = np.deg2rad(degrees)
        y = np.array([0, -np.sin(tilt), -np.cos(tilt)])  # towards the camera at 0 degrees
        x = np.array([1.0, 0, 0])
        box = Cuboid(np.stack([x, y, np.cross(x, y)], axis=1), np.array([0, 0, 1.0]), np.ones(3))
        return followed_rotation(box, before)[1]

    assert seen_from(20, False)
    assert not seen_from(60, True)
    assert not seen_from(40.5, False)
    assert seen_from(40.5, True)


def test_the_region_of_keypoints_stays_in_the_picture_as_mediapipes_does() -> None:
    points = np.array([[-0.4, 0.2], [-0.1, 0.8], [-0.2, 0.5]])
    roi = roi_of_keypoints(points, 0.0, (100.0, 100.0))
    assert roi.cx + roi.width / 2 == pytest.approx(0, abs=1e-4), "no further left than the edge"
    assert roi.height == pytest.approx(60, abs=1e-4)


def test_known_size_and_focal_length_make_the_box_metric(bundle: Path) -> None:
    box, camera = some_box()
    solution = open_solution(
        "objectron", model=bundle, variant="cup", static=True, focal_px=camera.fx, size_m=0.35
    )
    (found,) = solution.process(GREY, 0)
    assert found.topology == "cuboid9@1"
    assert found.keypoints.shape == (9, 2)
    assert found.score == pytest.approx(0.995)
    cuboid = found.to_json()["cuboid"]
    assert cuboid["scale"] == "metric"
    np.testing.assert_allclose(cuboid["size_m"], box.size_m, atol=1e-4)
    np.testing.assert_allclose(cuboid["translation_m"], box.translation_m, atol=1e-3)
    np.testing.assert_allclose(np.reshape(cuboid["rotation"], (3, 3)), box.rotation, atol=1e-3)
    assert cuboid["camera"]["fx"] == camera.fx


def test_the_principal_point_moves_the_box(bundle: Path) -> None:
    box, camera = some_box()

    def lifted(cx: float) -> np.ndarray:
        solution = open_solution(
            "objectron", model=bundle, static=True, focal_px=camera.fx, size_m=0.35,
            principal_px=(cx, camera.cy),
        )  # fmt: skip
        (found,) = solution.process(GREY, 0)
        assert found.cuboid is not None
        assert found.cuboid["camera"]["cx"] == cx
        return np.array(found.cuboid["translation_m"])

    np.testing.assert_allclose(lifted(camera.cx), box.translation_m, atol=1e-3)
    assert lifted(camera.cx - 20)[0] > lifted(camera.cx)[0] + 0.05


def test_without_them_the_scale_is_arbitrary(bundle: Path) -> None:
    (found,) = open_solution("objectron", model=bundle, static=True).process(GREY, 0)
    assert found.cuboid is not None
    assert found.cuboid["scale"] == "arbitrary"
    default = ndc_camera(WIDTH, HEIGHT)
    assert found.cuboid["camera"] == {
        "fx": default.fx, "fy": default.fy, "cx": default.cx, "cy": default.cy
    }  # fmt: skip


def test_an_object_is_followed_without_the_detector(bundle: Path) -> None:
    solution = open_solution("objectron", model=bundle, max_subjects=1)
    ids = [solution.process(GREY, 33_333 * frame)[0].id for frame in range(4)]
    assert ids == [0, 0, 0, 0]
    detector_model, box_model = solution.models
    assert (detector_model.invocations, box_model.invocations) == (1, 4)


def test_keypoints_without_a_box_still_make_a_subject() -> None:
    line = np.linspace(0.2, 0.7, 18, dtype=np.float32).reshape(9, 2)
    found = Found(3, Roi(0, 0, 1, 1), CropLandmarks(0.999, line, None, None))
    (lifted,) = Lift().process(GREY, [found])
    assert lifted.cuboid is None
    (track,) = FollowBoxes().process(GREY, [lifted])
    assert track.roi.rotation_rad == 0
    assert track.subject_id == 3


def test_a_model_for_something_else_is_refused(face_bundle: Path) -> None:
    with pytest.raises(ViewfinderError, match="expected object; found face"):
        open_solution("objectron", model=face_bundle)


def test_wrong_variant_is_named(bundle: Path) -> None:
    with pytest.raises(ViewfinderError, match=r"cup \| camera \| chair \| shoe"):
        open_solution("objectron", model=bundle, variant="teapot")


def test_pictures_as_mediapipe_has_them(mediapipe_models: None, real: Path) -> None:
    solution = open_solution(
        "objectron", models="mediapipe", variant="cup", static=True, max_subjects=5
    )
    flip = OPENCV_FROM_OPENGL[:3, :3]
    total = 0
    for path in sorted((real / "images").iterdir()):
        reference = real / "mediapipe_reference" / "objectron_cup" / f"{path.stem}.json"
        truths = json.loads(reference.read_text())["objects"]
        rgb = read_image(path)
        found = solution.process(rgb, 0)
        assert len(found) == len(truths), path.name
        for subject, truth in zip(found, truths):
            truth_px = np.array(truth["lm2d"])[:, :2] * (rgb.shape[1], rgb.shape[0])
            assert np.abs(subject.keypoints_px(rgb.shape[1], rgb.shape[0]) - truth_px).max() < 0.01
            cuboid = subject.cuboid
            assert cuboid is not None
            directions = np.reshape(cuboid["directions"], (3, 3))
            np.testing.assert_allclose(flip @ directions, truth["R"], atol=1e-5)
            np.testing.assert_allclose(flip @ cuboid["translation_m"], truth["t"], atol=1e-5)
            np.testing.assert_allclose(cuboid["size_m"], truth["s"], atol=1e-5)
            total += 1
    assert total == 1


def test_a_moving_cup_keeps_its_id(mediapipe_models: None) -> None:
    data = pytest.importorskip("skimage.data")
    coffee = np.ascontiguousarray(data.coffee())
    solution = open_solution("objectron", models="mediapipe", variant="cup", max_subjects=1)
    ids = []
    for frame in range(8):
        shift = np.array([[1, 0, 2.0 * frame], [0, 1, frame]])
        moved = cv2.warpAffine(coffee, shift, (600, 400), borderMode=cv2.BORDER_REFLECT)
        subjects = solution.process(moved, 33_333 * frame)
        ids += [subject.id for subject in subjects]
        for subject in subjects:
            x, y, width, height = subject.box
            centre_px = np.array([(x + width / 2) * 600, (y + height / 2) * 400])
            # Where the cup stands in the picture, give or take its own size.
            assert np.abs(centre_px - (290 + 2 * frame, 190 + frame)).max() < 120
    assert len(ids) >= 4
    assert ids == sorted(ids)
