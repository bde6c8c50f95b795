"""`make models` end to end on a few renders: the recipe works, and a second run changes nothing."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from bootstrap.shipping import check_shipped
from runtime.bundle import read_bundle
from runtime.bundled import BUNDLED
from runtime.solutions import open_solution

ROOT = Path(__file__).parents[1]
SIZES = {
    "FACES": 48, "HANDS": 64, "BODIES": 6, "FACE_LITE_STEPS": 20, "FACE_STEPS": 20,
    "HAND_LITE_STEPS": 20, "HAND_STEPS": 20, "FACE_DETECTOR_STEPS": 400,
    "PALM_DETECTOR_LITE_STEPS": 400, "PALM_DETECTOR_STEPS": 60,
}  # fmt: skip
"""Detectors that find nothing at all on the test split aren't shipped: these find something."""


def _make(models: Path, into: Path) -> None:
    arguments = [f"{name}={value}" for name, value in SIZES.items()]
    # Not this test's own jobserver, nor a `make -n` around it.
    clean = {k: v for k, v in os.environ.items() if k not in ("MAKEFLAGS", "MFLAGS", "MAKELEVEL")}
    subprocess.run(
        ["make", "models", f"MODELS={models}", f"INTO={into}", *arguments],
        cwd=ROOT, env=clean, check=True, timeout=3600,
    )  # fmt: skip


@pytest.mark.long
@pytest.mark.skipif(not (ROOT / ".venv").is_dir(), reason="make's own environment isn't there")
def test_the_recipe_makes_bundles_that_are_fit_to_be_shipped(tmp_path: Path) -> None:
    models, into = tmp_path / "models", tmp_path / "data"
    into.mkdir()
    _make(models, into)
    made = {name: (into / f"{name}.task").read_bytes() for name in BUNDLED}
    for name in BUNDLED:
        check_shipped(read_bundle(into / f"{name}.task"))
    hands = open_solution("hands", into / "viewfinder_hand.task")
    hands.close()
    _make(models, into)
    assert {name: (into / f"{name}.task").read_bytes() for name in BUNDLED} == made
