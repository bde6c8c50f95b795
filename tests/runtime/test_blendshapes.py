"""Blendshapes: which keypoints go in, what comes out, and what they say of real faces."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from runtime.bundle import parse_bundle
from runtime.card import CardInput, CardModel, CardOutput
from runtime.errors import ViewfinderError
from runtime.model import Model
from runtime.model_store import missing_released, released_model
from runtime.results import Subject
from runtime.solutions import open_solution
from runtime.solutions.face_blendshapes import BLENDSHAPES, KEYPOINTS, Blendshapes
from runtime.solutions.options import SolutionOptions
from runtime.solutions.parts import parts_of
from runtime.topology import canonical_face, topology
from tests.runtime.small_models import constant_model

NEEDED = ("face_blendshapes", "face_landmarks_detector_v2")


@pytest.fixture(scope="module")
def tasks_models(mediapipe_models: None) -> None:
    """Skips where the models of MediaPipe's face_landmarker.task haven't been added."""
    if missing_released(*NEEDED):
        pytest.skip("needs models of MediaPipe's face_landmarker.task: viewfinder models add FILE")


@pytest.fixture(scope="module")
def calculator(tasks_models: None) -> Blendshapes:
    part = parts_of(parse_bundle(released_model("face_blendshapes"), "blendshapes"))["blendshapes"]
    return Blendshapes(part.load(SolutionOptions()), part.card)


def face(points_px: np.ndarray, size: tuple[int, int]) -> Subject:
    keypoints = (points_px / [size[0], size[1], size[0]]).astype(np.float32)
    return Subject(0, "face478@1", 1.0, keypoints, (0.0, 0.0, 1.0, 1.0))


def coefficients(calculator: Blendshapes, points: np.ndarray, size: tuple[int, int]) -> dict:
    picture = np.zeros((size[1], size[0], 3), dtype=np.uint8)
    (found,) = calculator.process([face(points, size)], picture)
    assert found.blendshapes is not None
    return found.blendshapes


def canonical_px() -> np.ndarray:
    return canonical_face().vertices_m * (2500, -2500, -2500) + (320, 240, 0)


def test_keypoints_and_names() -> None:
    mirror = topology("face478@1").mirror
    assert len(KEYPOINTS) == 146
    assert len(BLENDSHAPES) == len(set(BLENDSHAPES)) == 52
    assert list(KEYPOINTS) == sorted(set(KEYPOINTS))
    assert {mirror[i] for i in KEYPOINTS} == set(KEYPOINTS)
    left = {name for name in BLENDSHAPES if name.endswith("Left")}
    assert {name.replace("Left", "Right") for name in left} <= set(BLENDSHAPES)


def test_a_model_of_other_tensors_is_refused() -> None:
    model = Model.from_bytes(constant_model(8, 8, {"x": np.ones((1, 52))}), "other")
    output = CardOutput("x", (1, 52), "blendshapes")
    card = CardModel("other.tflite", "blendshapes", CardInput(146, 1, 2), (output,))
    with pytest.raises(ViewfinderError, match="no blendshape model"):
        Blendshapes(model, card)


def test_values_lie_in_range_and_size_and_place_do_not_matter(calculator: Blendshapes) -> None:
    points = canonical_px()
    here = coefficients(calculator, points, (640, 480))
    assert list(here) == list(BLENDSHAPES)
    assert all(0 <= value <= 1 for value in here.values())
    there = coefficients(calculator, points * 0.5 + (100, 50, 0), (640, 480))
    wide = coefficients(calculator, points, (1280, 960))
    for name in BLENDSHAPES:
        assert there[name] == pytest.approx(here[name], abs=1e-3)
        assert wide[name] == pytest.approx(here[name], abs=1e-4)


def test_an_open_jaw_and_a_closed_eye(calculator: Blendshapes) -> None:
    points = canonical_px()
    rest = coefficients(calculator, points, (640, 480))
    opened = points.copy()
    lower = [14, 17, 84, 87, 91, 146, 178, 181, 314, 317, 321, 375, 402, 405, 318, 324, 88, 95]
    lower += [152, 148, 176, 149, 377, 400, 378]
    opened[lower, 1] += 60
    assert coefficients(calculator, opened, (640, 480))["jawOpen"] > rest["jawOpen"] + 0.3
    closed = points.copy()
    for above, below in ((386, 374), (385, 380), (387, 373), (384, 381), (388, 390)):
        closed[above, 1] = closed[below, 1]  # the person's left eye
    shut = coefficients(calculator, closed, (640, 480))
    assert shut["eyeBlinkLeft"] > rest["eyeBlinkLeft"] + 0.2
    assert shut["eyeBlinkLeft"] > shut["eyeBlinkRight"] + 0.2


@pytest.mark.usefixtures("tasks_models")
@pytest.mark.parametrize("variant", ["478", "attention"])
def test_a_smile(astronaut: np.ndarray, variant: str) -> None:
    solution = open_solution(
        "face", models="mediapipe", variant=variant, static=True, max_subjects=1, blendshapes=True
    )
    (smiling,) = solution.process(astronaut, 0)
    assert smiling.blendshapes
    assert smiling.blendshapes["mouthSmileLeft"] > 0.4
    assert smiling.blendshapes["mouthSmileRight"] > 0.4
    assert smiling.blendshapes["mouthFrownLeft"] < 0.1
    assert smiling.to_json()["blendshapes"]["jawOpen"] == smiling.blendshapes["jawOpen"]


@pytest.mark.usefixtures("mediapipe_models")
def test_a_mesh_without_irises_has_none(face_bundle: Path) -> None:
    with pytest.raises(ViewfinderError, match=r"\[blendshapes\].*irises.*--variant 478"):
        open_solution("face", models="mediapipe", variant="468", blendshapes=True)
