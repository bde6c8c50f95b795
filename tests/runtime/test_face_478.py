"""The face landmarker of MediaPipe's Tasks: 478 points by a model without custom operators."""

from __future__ import annotations

import math
import zipfile
from pathlib import Path

import cv2
import numpy as np
import pytest

from runtime.bundle import parse_bundle
from runtime.errors import ViewfinderError
from runtime.model_store import missing_released, released_model
from runtime.roi import Roi
from runtime.smoothing import OneEuroParameters
from runtime.solutions import open_solution
from runtime.solutions.face_tasks import AssociateDetectionsLast, TasksLandmarkModel
from runtime.solutions.landmarks import LandmarkModel
from runtime.solutions.options import SolutionOptions
from runtime.solutions.parts import parts_of
from runtime.solutions.tracking import Track

# MediaPipe 1.2.2's FaceLandmarker on scikit-image's portrait: some landmarks in pixels, and the
# largest blendshapes.
LANDMARKS = {
    1: (223.529, 131.055, -22.866),
    10: (226.033, 72.238, -11.909),
    33: (195.282, 100.577, 4.222),
    61: (202.276, 139.171, 7.568),
    133: (213.592, 103.624, 0.640),
    152: (221.431, 177.419, 9.635),
    234: (180.875, 109.878, 41.102),
    263: (255.315, 103.788, 3.455),
    291: (244.490, 140.555, 7.134),
    362: (236.406, 104.916, 0.303),
    454: (269.758, 114.444, 39.793),
    468: (203.465, 101.125, 0.060),
    473: (246.026, 103.524, -0.124),
}
BLENDSHAPES = {
    "mouthSmileRight": 0.9043,
    "mouthSmileLeft": 0.8992,
    "mouthUpperUpRight": 0.4741,
    "mouthUpperUpLeft": 0.4681,
    "eyeSquintLeft": 0.3497,
    "eyeSquintRight": 0.2708,
    "mouthPressRight": 0.1754,
    "eyeLookDownLeft": 0.1462,
}


@pytest.fixture(scope="module")
def tasks_models(mediapipe_models: None) -> None:
    """Skips where the models of MediaPipe's face_landmarker.task haven't been added."""
    if missing_released("face_blendshapes", "face_landmarks_detector_v2"):
        pytest.skip("needs models of MediaPipe's face_landmarker.task: viewfinder models add FILE")


@pytest.fixture(scope="module")
def task_bundle(tasks_models: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A face_landmarker.task as MediaPipe puts it together."""
    path = tmp_path_factory.mktemp("tasks") / "face_landmarker.task"
    members = {
        "face_detector.tflite": "face_detection_short_range",
        "face_landmarks_detector.tflite": "face_landmarks_detector_v2",
        "face_blendshapes.tflite": "face_blendshapes",
    }
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for member, name in members.items():
            archive.writestr(member, released_model(name))
    return path


def stages(solution: object) -> list[str]:
    return [node.name for node in solution.graph.nodes]  # type: ignore[attr-defined]


def test_a_portrait_as_mediapipe_sees_it(astronaut: np.ndarray, task_bundle: Path) -> None:
    wanted = {"static": True, "max_subjects": 1, "blendshapes": True}
    released = open_solution("face", models="mediapipe", variant="478", **wanted)
    (face,) = released.process(astronaut, 0)
    assert (face.topology, len(face.keypoints)) == ("face478@1", 478)
    found = face.keypoints_px(512, 512)
    for index, expected in LANDMARKS.items():
        np.testing.assert_allclose(found[index], expected, atol=0.01)
    assert face.blendshapes
    for name, value in BLENDSHAPES.items():
        assert face.blendshapes[name] == pytest.approx(value, abs=0.002)
    assert face.iris
    assert face.iris["focal_source"] == "guess"
    (same,) = open_solution("face", task_bundle, **wanted).process(astronaut, 0)
    np.testing.assert_array_equal(same.keypoints, face.keypoints)
    assert same.blendshapes == face.blendshapes


@pytest.mark.usefixtures("tasks_models")
def test_both_models_of_478_points_see_the_same_face(astronaut: np.ndarray) -> None:
    faces = [
        open_solution(
            "face", models="mediapipe", variant=variant, static=True, max_subjects=1
        ).process(astronaut, 0)[0]
        for variant in ("478", "attention")
    ]
    apart = np.linalg.norm((faces[0].keypoints - faces[1].keypoints)[:, :2], axis=1) * 512
    assert apart.mean() < 1.5
    assert apart[468:].max() < 1.5


@pytest.mark.usefixtures("tasks_models")
def test_z_is_measured_along_the_crops_own_x_axis(astronaut: np.ndarray) -> None:
    # In a square picture every direction counts alike; in others a tilted head's z is another.
    part = parts_of(parse_bundle(released_model("face_landmarks_detector_v2"), "v2"))["landmarks"]
    model = part.load(SolutionOptions())
    for picture in (astronaut, astronaut[:300], astronaut[:, :400]):
        picture = np.ascontiguousarray(picture)
        roi = Roi(225, 125, 145, 145, 0.4)
        height, width = picture.shape[:2]
        plain, of_tasks = (
            kind(model, part.card).run(picture, roi) for kind in (LandmarkModel, TasksLandmarkModel)
        )
        assert plain
        assert of_tasks
        apart = (of_tasks.keypoints - plain.keypoints)[:, :2] * (width, height)
        assert np.abs(apart).max() < 1e-3
        ratio = math.hypot(math.cos(0.4), math.sin(0.4) * width / height)
        np.testing.assert_allclose(
            of_tasks.keypoints[:, 2], plain.keypoints[:, 2] * ratio, atol=1e-6
        )


@pytest.mark.parametrize(
    ("options", "smooth"),
    [
        ({"max_subjects": 1}, True),
        ({"max_subjects": 2}, False),
        ({"max_subjects": 2, "smoothing": True}, True),
        ({"max_subjects": 2, "smoothing": OneEuroParameters(1.0, 1.0)}, True),
        ({"max_subjects": 1, "smoothing": False}, False),
        ({"max_subjects": 1, "static": True}, False),
    ],
)
@pytest.mark.usefixtures("tasks_models")
def test_when_landmarks_are_smoothed(options: dict, smooth: bool) -> None:
    solution = open_solution("face", models="mediapipe", variant="478", **options)
    assert ("smooth" in stages(solution)) == smooth


@pytest.mark.usefixtures("tasks_models")
def test_smoothing_steadies_what_is_seen_and_not_the_crop(astronaut: np.ndarray) -> None:
    rng = np.random.default_rng(4)
    noisy = [
        np.clip(astronaut + rng.normal(0, 12, astronaut.shape), 0, 255).astype(np.uint8)
        for _ in range(8)
    ]
    spread = []
    for smoothing in (True, False):
        solution = open_solution(
            "face", models="mediapipe", variant="478", max_subjects=1, smoothing=smoothing
        )
        seen = [solution.process(p, 33333 * i)[0].keypoints[:, :2] for i, p in enumerate(noisy)]
        spread.append(np.std(seen[3:], axis=0).mean())
    assert spread[0] < 0.7 * spread[1]


def test_a_detection_takes_over_a_followed_regions_number() -> None:
    associate = AssociateDetectionsLast(most=2, static=False)
    followed = [Track(Roi(100, 100, 50, 50), 7), Track(Roi(300, 100, 50, 50), 8)]
    fresh = Track(Roi(104, 100, 52, 52))
    assert associate.process([fresh], followed) == [followed[1], Track(fresh.roi, 7)]
    assert associate.process([Track(Roi(500, 100, 50, 50))], followed) == followed
    assert associate.process([fresh], None) == [fresh]
    assert associate.process([], followed[:1]) == followed[:1]


def test_doubles_in_single_pictures_stay() -> None:
    """As MediaPipe's graph associates in streams alone."""
    double = [Track(Roi(100, 100, 50, 50)), Track(Roi(104, 100, 52, 52)), Track(Roi(9, 9, 5, 5))]
    assert AssociateDetectionsLast(most=2, static=True).process(double, None) == double[:2]
    assert len(AssociateDetectionsLast(most=2, static=False).process(double[:2], None)) == 1


@pytest.mark.usefixtures("tasks_models")
def test_a_face_is_followed(astronaut: np.ndarray) -> None:
    solution = open_solution(
        "face", models="mediapipe", variant="478", max_subjects=1, smoothing=False
    )
    first = solution.process(astronaut, 0)[0]
    shift = np.float32([[1, 0, 7], [0, 1, 4]])
    second = solution.process(cv2.warpAffine(astronaut, shift, (512, 512)), 33333)[0]
    assert second.id == first.id
    moved = (second.keypoints - first.keypoints)[:, :2] * 512
    np.testing.assert_allclose(np.median(moved, axis=0), (7, 4), atol=0.3)
    assert solution.process(np.zeros_like(astronaut), 66666) == []


def test_our_own_bundles_keep_the_older_graphs_ways(face_bundle: Path) -> None:
    solution = open_solution("face", face_bundle, max_subjects=1)
    (face,) = solution.process(np.full((120, 160, 3), 90, dtype=np.uint8), 0)
    assert face.topology == "face478@1"
    assert face.iris
    assert stages(solution)[-1] == "depth"
    assert "smooth" not in stages(solution)


def test_blendshapes_that_are_not_here_are_one_clear_line(home: Path, face_bundle: Path) -> None:
    with pytest.raises(ViewfinderError, match=r"face_landmarker\.task"):
        open_solution("face", face_bundle, blendshapes=True)
