"""Agreement with MediaPipe 0.10.14 itself, on real pictures.

Everything here skips where ../shared/real is absent, or MediaPipe's models haven't been fetched.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import numpy as np
import pytest

from runtime.image import read_image
from runtime.solutions import open_solution
from runtime.sources import Frame, open_source

pytestmark = pytest.mark.usefixtures("mediapipe_models")

WORST_PX = 0.05  # in pictures and on every frame of a clip
OTHER_HAND = {"Left": "right", "Right": "left"}  # MediaPipe takes every picture for a selfie


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
        for subject, truth in zip(found, expected, strict=True):
            worst = max(worst, np.abs((subject.keypoints - truth) * scale).max())
            total += 1
    assert total == subjects
    assert worst < WORST_PX


@pytest.mark.parametrize(("reference", "variant"), [("hands_0", "lite"), ("hands_1", "full")])
def test_hands_beyond_landmarks(real: Path, reference: str, variant: str) -> None:
    runner = open_solution(
        "hands", models="mediapipe", variant=variant, static=True, max_subjects=4
    )
    for path in sorted((real / "images").iterdir()):
        stored = json.loads(
            (real / "mediapipe_reference" / reference / f"{path.stem}.json").read_text()
        )
        found = runner.process(read_image(path), 0)
        for subject, hand in zip(found, stored["hands"], strict=True):
            assert subject.handedness == OTHER_HAND[hand["label"]]
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
        for face, truth in zip(found, stored["detections"], strict=True):
            assert face.score == pytest.approx(truth["score"], abs=1e-5)
            assert face.score >= threshold
            assert np.abs((face.keypoints - truth["kp"]) * size).max() < WORST_PX
            assert np.abs((face.box - np.array(truth["box"])) * np.tile(size, 2)).max() < WORST_PX


@pytest.mark.parametrize(
    ("reference", "clip", "solution", "variant", "most"),
    [
        ("hands_1", "smp_hand", "hands", "full", 2),
        ("face_mesh_refined", "facerec_hamilton", "face", "attention", 2),
        ("pose_1", "tfjs_pose_1", "pose", "full", 1),
    ],
)
def test_clips(
    real: Path, reference: str, clip: str, solution: str, variant: str, most: int
) -> None:
    # What is followed feeds back from crop to crop, so anything but the same bits grows: on the
    # kind of CPU that the references come from, hands and faces agree to the last one. Another
    # kind may sum in another order in MediaPipe itself.
    stored = np.load(real / "mediapipe_reference" / "video" / f"{reference}__{clip}.npz")
    runner = open_solution(solution, models="mediapipe", variant=variant, max_subjects=most)
    subjects = 0
    for frame in islice(frames_of(real / "videos" / f"{clip}.mp4"), int(stored["frames"])):
        name = f"f{frame.index:04d}"
        truths = stored[name] if name in stored.files else []
        found = runner.process(frame.rgb, (frame.index + 1) * 33_333)
        size = np.array([frame.rgb.shape[1], frame.rgb.shape[0]])
        assert len(found) == len(truths), frame.index
        for subject, truth in zip(found, truths, strict=True):
            error = np.abs(subject.keypoints[:, :2] - truth[:, :2]) * size
            assert error.max() < WORST_PX, frame.index
            subjects += 1
        sides = [int(index) for index, _ in stored.get(f"h{frame.index:04d}", [])]
        assert [one.handedness for one in found if one.handedness] == [
            OTHER_HAND[("Left", "Right")[side]] for side in sides
        ]
    assert frame.index + 1 == int(stored["frames"])
    assert subjects == sum(len(stored[f"f{i:04d}"]) for i in range(999) if f"f{i:04d}" in stored)


def frames_of(path: Path) -> Iterator[Frame]:
    def fail(error: Exception) -> None:
        raise error

    return open_source(path).frames(fail)
