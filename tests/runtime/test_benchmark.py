"""benchmarks/runtime.py runs, leaves out what isn't here and says so, and its figures add up."""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from benchmarks.clips import moved_about, read_clip
from benchmarks.mediapipe_bundles import write_bundles
from runtime.image import write_image

ROOT = Path(__file__).parents[2]


@pytest.mark.usefixtures("mediapipe_models")
def test_a_row_without_mediapipe(tmp_path: Path) -> None:
    pytest.importorskip("skimage")
    out = tmp_path / "runtime.json"
    done = subprocess.run(
        [sys.executable, "benchmarks/runtime.py", "--rows", "detection short", "--frames", "30",
         "--environments", tmp_path, "--out", out],
        capture_output=True, text=True, check=False, cwd=ROOT,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    for version in ("0.10.14", "1.2.2"):
        assert f"mediapipe {version} is left out" in done.stderr
    assert "face detection" in done.stdout
    (row,) = json.loads(out.read_text())["rows"]
    ours = row["contestants"]["ours"]
    assert ours["found"] == 1
    assert 0 < ours["floor_cpu_ms"] < ours["cpu_ms"]
    assert ours["cpu_over_floor"] > 1
    assert ours["wall_best_ms"] <= ours["wall_ms"] <= ours["wall_p90_ms"]


def test_a_picture_becomes_a_clip(tmp_path: Path) -> None:
    picture = np.zeros((90, 60, 3), np.uint8)
    picture[30:60, 20:40] = 255
    clip = moved_about(picture, 10)
    assert clip.shape == (10, 480, 640, 3)
    assert len({frame.tobytes() for frame in clip}) == 10
    assert all(frame.max() == 255 for frame in clip)
    write_image(tmp_path / "a.png", picture)
    np.testing.assert_array_equal(read_clip(tmp_path / "a.png", 10), clip)


@pytest.mark.usefixtures("mediapipe_models")
def test_bundles_hold_the_released_parts(tmp_path: Path, released) -> None:
    released("hand_landmark_lite", "palm_detection_lite")
    bundles = write_bundles(tmp_path)
    with zipfile.ZipFile(bundles["hand_landmarker_lite.task"]) as archive:
        names = {info.filename: info.compress_type for info in archive.infolist()}
        palm = archive.read("hand_detector.tflite")
    assert names == dict.fromkeys(
        ("hand_detector.tflite", "hand_landmarks_detector.tflite"), zipfile.ZIP_STORED
    )
    assert b"TFLITE_METADATA" in palm  # Tasks refuses a model that doesn't say its range


def test_our_models_beside_mediapipes(
    face_bundle: Path, tmp_path: Path, released: Callable[..., None]
) -> None:
    """A network that does nothing is quicker and smaller, and a pair without ours is left out."""
    released("face_landmarks_detector_v2")
    out = tmp_path / "models.json"
    done = subprocess.run(
        [sys.executable, "benchmarks/models.py", "--ours", f"face={face_bundle}", "--seconds",
         "0.2", "--out", out],
        capture_output=True, text=True, check=False, cwd=ROOT,
    )  # fmt: skip
    rows = {row["network"]: row for row in json.loads(out.read_text())["rows"]}
    row = rows["face"]
    assert row["theirs"]["name"] == "face_landmarks_detector_v2"
    assert row["theirs"]["bytes"] == 2553590
    assert row["cpu_ms_ratio"] < 0.5
    assert row["bytes_ratio"] == row["ours"]["bytes"] / row["theirs"]["bytes"] < 0.1
    assert row["ours"]["million_macs"] == 0 < row["theirs"]["million_macs"]
    for name in {"hand", "face-detector", "palm-detector"} - rows.keys():
        assert f"{name} against" in done.stderr
