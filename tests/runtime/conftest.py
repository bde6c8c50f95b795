"""What the runtime's tests share: models, real pictures and a drawn stand-in for both."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from runtime.bundle import write_bundle
from runtime.card import Card, CardInput, CardModel, CardOutput
from runtime.model_store import FETCH_HINT, missing_released
from tests.runtime.small_models import constant_model

REAL = Path(__file__).parents[3] / "shared" / "real"


@pytest.fixture(scope="session")
def mediapipe_models() -> None:
    """Skips where MediaPipe's released models haven't been fetched."""
    if missing_released():
        pytest.skip(f"MediaPipe's models aren't here; fetch them: {FETCH_HINT}")


@pytest.fixture(scope="session")
def released() -> Callable[..., None]:
    """Call it with released models' names: skips where one of them isn't here, saying which."""

    def require(*names: str) -> None:
        for model in missing_released(*names):
            pytest.skip(f"needs the released model {model.name}: {model.source.hint}")

    return require


@pytest.fixture(scope="session")
def real() -> Path:
    """The folder of real pictures; skips where ../shared is absent."""
    if not REAL.is_dir():
        pytest.skip("needs ../shared/real (real pictures and MediaPipe's answers), absent here")
    return REAL


@pytest.fixture(scope="session")
def astronaut() -> np.ndarray:
    """A portrait that comes with scikit-image: (512, 512, 3) RGB."""
    data = pytest.importorskip("skimage.data")
    return np.ascontiguousarray(data.astronaut())


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty models and cache folder of this test's own."""
    monkeypatch.setenv("VIEWFINDER_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture(scope="session")
def hand_model() -> bytes:
    """A model with the hand's tensors that says the same of every picture."""
    rng = np.random.default_rng(7)
    return constant_model(
        224,
        224,
        {
            "Identity": rng.uniform(20, 200, (1, 63)),
            "Identity_1": np.array([[0.9]]),
            "Identity_2": np.array([[0.8]]),
            "Identity_3": rng.uniform(-0.1, 0.1, (1, 63)),
        },
    )


@pytest.fixture(scope="session")
def face_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A whole face bundle that sees one face in the middle of every picture."""
    raw, logits = np.zeros((1, 896, 16)), np.full((1, 896, 1), -50.0)
    raw[0, 272, :8] = (0, 0, 40, 40, -10, -10, 10, -10)
    logits[0, 272] = 4.0
    points = np.random.default_rng(3).uniform(40, 150, (1, 1, 1, 1434))
    members = {
        "detector.tflite": constant_model(128, 128, {"boxes": raw, "scores": logits}),
        "face.tflite": constant_model(
            192, 192, {"points": points, "there": np.full((1, 1, 1, 1), 5.0)}
        ),
    }
    card = Card(
        "face",
        (
            CardModel(
                "detector.tflite", "detector", CardInput(128, 128, range=(-1.0, 1.0)),
                (
                    CardOutput("boxes", (1, 896, 16), "boxes"),
                    CardOutput("scores", (1, 896, 1), "scores"),
                ),
            ),
            CardModel(
                "face.tflite", "landmarks", CardInput(192, 192),
                (
                    CardOutput("points", (1, 1, 1, 1434), "landmarks"),
                    CardOutput("there", (1, 1, 1, 1), "presence_logit"),
                ),
                "face478@1",
            ),
        ),
    )  # fmt: skip
    path = tmp_path_factory.mktemp("bundles") / "whole.task"
    write_bundle(path, members, card)
    return path


@pytest.fixture(scope="session")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A video of twelve frames, 160 x 120, 25 a second, each of one grey."""
    path = tmp_path_factory.mktemp("clips") / "grey.mp4"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), 25.0, (160, 120))
    for number in range(12):
        writer.write(np.full((120, 160, 3), 20 * number, dtype=np.uint8))
    writer.release()
    return path
