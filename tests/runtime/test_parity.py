"""Agreement with MediaPipe 0.10.14 itself, on real pictures.

Everything here skips where ../shared/real is absent, or MediaPipe's models haven't been fetched.
"""

from __future__ import annotations

import json
from itertools import islice
from pathlib import Path

import numpy as np
import pytest

from runtime.image import read_image
from runtime.solutions import Solution, open_solution
from runtime.sources import open_source

pytestmark = pytest.mark.usefixtures("mediapipe_models")

WORST_PX = 0.1


def answers(path: Path) -> list[np.ndarray]:
    """MediaPipe's landmarks of each subject, (N, 3)."""
    stored = json.loads(path.read_text())
    if "faces" in stored:
        return [np.array(face) for face in stored["faces"]]
    return [np.array(hand["landmarks"]) for hand in stored["hands"]]


@pytest.mark.parametrize(
    ("reference", "solution", "variant", "most", "subjects"),
    [
        ("face_mesh", "face", "468", 8, 9),
        ("hands_0", "hands", "lite", 4, 11),
        ("hands_1", "hands", "full", 4, 11),
    ],
)
def test_pictures(
    real: Path, reference: str, solution: str, variant: str, most: int, subjects: int
) -> None:
    runner = open_solution(
        solution, models="mediapipe", variant=variant, static=True, max_subjects=most, min_score=0.5
    )
    worst, total = 0.0, 0
    for path in sorted((real / "images").iterdir()):
        rgb = read_image(path)
        expected = answers(real / "mediapipe_reference" / reference / f"{path.stem}.json")
        found = runner.process(rgb, 0)
        assert len(found) == len(expected), path.name
        scale = np.array([rgb.shape[1], rgb.shape[0], rgb.shape[1]])
        for subject, truth in zip(found, expected):
            worst = max(worst, np.abs((subject.keypoints - truth) * scale).max())
            total += 1
    assert total == subjects
    assert worst < WORST_PX


@pytest.mark.parametrize(("reference", "variant"), [("hands_0", "lite"), ("hands_1", "full")])
def test_hands_beyond_landmarks(real: Path, reference: str, variant: str) -> None:
    runner = open_solution(
        "hands", models="mediapipe", variant=variant, static=True, max_subjects=4
    )
    other = {"Left": "right", "Right": "left"}  # MediaPipe takes every picture for a selfie
    for path in sorted((real / "images").iterdir()):
        stored = json.loads(
            (real / "mediapipe_reference" / reference / f"{path.stem}.json").read_text()
        )
        for subject, hand in zip(runner.process(read_image(path), 0), stored["hands"]):
            assert subject.handedness == other[hand["label"]]
            np.testing.assert_allclose(subject.world_m, hand["world"], atol=1e-4)


@pytest.mark.parametrize(
    ("reference", "variant", "threshold"),
    [("face_detection_0", "short", 0.5), ("face_detection_1", "full", 0.6)],
)
def test_face_detections(real: Path, reference: str, variant: str, threshold: float) -> None:
    # MediaPipe's own graph keeps 0.6 for the full range model, whatever Python was told.
    runner = open_solution("face-detection", models="mediapipe", variant=variant, max_subjects=99)
    for path in sorted((real / "images").iterdir()):
        rgb = read_image(path)
        stored = json.loads(
            (real / "mediapipe_reference" / reference / f"{path.stem}.json").read_text()
        )
        found = runner.process(rgb, 0)
        assert len(found) == len(stored["detections"]), path.name
        size = np.array([rgb.shape[1], rgb.shape[0]])
        for face, truth in zip(found, stored["detections"]):
            assert face.score == pytest.approx(truth["score"], abs=1e-5)
            assert face.score >= threshold
            assert np.abs((face.keypoints - truth["kp"]) * size).max() < WORST_PX
            assert np.abs((face.box - np.array(truth["box"])) * np.tile(size, 2)).max() < WORST_PX


def followed(runner: Solution, clip: Path, frames: int) -> list[list[np.ndarray]]:
    def fail(error: Exception) -> None:
        raise error

    return [
        [s.keypoints_px(f.rgb.shape[1], f.rgb.shape[0]) for s in runner.process(f.rgb, f.index)]
        for f in islice(open_source(clip).frames(fail), frames)
    ]


def test_a_followed_hand(real: Path) -> None:
    # The first frames agree to 1e-4 px. Then rounding feeds back from crop to crop and the crop's
    # 1/32 px steps make noise of it, so the bound for the rest is a pixel, the mean far less.
    stored = np.load(real / "mediapipe_reference" / "video" / "hands_1__smp_hand.npz")
    frames = 100
    runner = open_solution("hands", models="mediapipe", max_subjects=2)
    found = followed(runner, real / "videos" / "smp_hand.mp4", frames)
    assert len(found) == frames
    worst = []
    for number, subjects in enumerate(found):
        name = f"f{number:04d}"
        truths = stored[name] if name in stored.files else []
        assert len(subjects) == len(truths), number
        for subject, truth in zip(subjects, truths):
            error = np.abs(subject[:, :2] - truth[:, :2] * (640, 360)).max()
            worst.append(error)
    assert max(worst[:3]) < 1e-3
    assert float(np.median(worst)) < 0.25
    assert max(worst) < 2.0
