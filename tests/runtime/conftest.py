"""What the runtime's tests share: models, real pictures and a drawn stand-in for both."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from runtime.model_store import FETCH_HINT, missing_released
from tests.runtime.small_models import constant_model

REAL = Path(__file__).parents[3] / "shared" / "real"


@pytest.fixture(scope="session")
def mediapipe_models() -> None:
    """Skips where MediaPipe's released models haven't been fetched."""
    if missing_released():
        pytest.skip(f"MediaPipe's models aren't here; fetch them: {FETCH_HINT}")


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
