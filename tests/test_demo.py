"""The whole loop in small: every package, through the commands a user types."""

from __future__ import annotations

import re
import time
from pathlib import Path

import numpy as np
import pytest

from bootstrap.dataset import Dataset
from runtime.errors import ViewfinderError
from runtime.model_store import FETCH_HINT, find_model
from viewfinder_demo import Plan, walk
from viewfinder_demo_boxes import corner_error_px
from viewfinder_report import curve_svg


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> Plan:
    try:
        find_model("face_landmark")
    except ViewfinderError:
        pytest.skip(f"MediaPipe's models aren't here: {FETCH_HINT}")
    return Plan(
        out=tmp_path_factory.mktemp("loop") / "demo",
        faces=16, hands=4, minutes=0.1, workers=1, held_out=4, clip_frames=3, session_frames=4,
    )  # fmt: skip


def test_the_loop_goes_round_and_a_second_time_keeps_what_is_done(plan: Plan) -> None:
    report = walk(plan)
    page = report.read_text()
    linked = re.findall(r'src="([^"]+)"', page)
    assert len(linked) >= 8
    for picture in linked:
        assert (plan.out / picture).stat().st_size > 1000
    assert "<polyline" in page  # the loss curve

    # What the scripted refinement moved is what the exported layer holds, and nothing else moved.
    real = Dataset.open(plan.out / "real")
    layers = {name.split("@")[0]: name for name in real.layers()}
    (predicted,) = real.labels(layers["predicted"])
    (refined,) = real.labels("human/demo")
    moved = np.abs(refined.keypoints_px - predicted.keypoints_px).max(axis=1)
    assert moved[61] > 0
    assert moved[[33, 263, 10, 152]].max() < 1e-3

    # The box that was placed in three frames is where the true one is in all of them.
    assert len(Dataset.open(plan.out / "boxes").samples()) == plan.session_frames
    assert corner_error_px(plan.out / "filmed", plan.out / "boxes") < 2

    started = time.monotonic()
    assert walk(plan) == report
    assert time.monotonic() - started < 60


def test_a_folder_that_cannot_be_used_is_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ViewfinderError, match="demo's folder can't be used"):
        walk(Plan(out=tmp_path / "file" / "demo", faces=16, hands=4, minutes=1, workers=1))


def test_a_curve_needs_two_usable_points() -> None:
    assert "<polyline" in curve_svg([(0, 1.0), (1, 0.5), (2, 0.0)], "s", "loss")
    assert "<polyline" not in curve_svg([(0, 1.0), (1, float("nan"))], "s", "loss")
