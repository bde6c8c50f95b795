"""Models from outside: tried in a child process, which they may kill, and us never."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from runtime import trust
from runtime.errors import ViewfinderError
from runtime.model import Model
from runtime.model_store import add_model, is_trusted, released_model
from runtime.probing import ProbeWorker
from runtime.trust import load_model, model_tensors, probe_model
from tests.runtime.hostile_models import endless_model, self_calling_model
from tests.runtime.small_models import constant_model

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def small() -> bytes:
    return constant_model(16, 8, {"six": np.arange(6.0).reshape(1, 6), "one": np.ones((1, 1))}, 0.5)


@pytest.fixture
def fresh(monkeypatch: pytest.MonkeyPatch) -> Iterator[ProbeWorker]:
    """A worker of this test's own, and nothing remembered."""
    worker = ProbeWorker()
    monkeypatch.setattr(trust, "_worker", worker)
    monkeypatch.setattr(trust, "_went_well", {})
    yield worker
    worker.close()


def open_spoilt(file: Path, count: int, solution: str, home: Path) -> dict[str, int]:
    """Outcome -> how often, of that many spoilt copies opened in a process of their own."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.runtime.hostile_files", str(file), str(count), solution],
        capture_output=True, text=True, timeout=600, check=False, cwd=ROOT,
        env={**os.environ, "VIEWFINDER_HOME": str(home)},
    )  # fmt: skip
    assert done.returncode == 0, f"it died with {done.returncode}: {done.stderr[-2000:]}"
    outcomes = json.loads(done.stdout)
    assert set(outcomes) <= {"opened", "refused", "killed its child"}, done.stderr[-4000:]
    assert sum(outcomes.values()) == count
    return outcomes


def test_probe_tells_the_tensors(small: bytes, fresh: ProbeWorker) -> None:
    tensors = probe_model(small, "small")
    model = Model.from_bytes(small, "small")
    assert tensors.inputs == model.inputs
    assert tensors.outputs == model.outputs


def test_what_hangs_crashes_or_is_huge_is_refused(fresh: ProbeWorker, small: bytes) -> None:
    with pytest.raises(ViewfinderError, match="slow: this model is refused: it hadn't run after 1"):
        probe_model(endless_model(), "slow", seconds=1)
    with pytest.raises(ViewfinderError, match=r"crash: .*crashed the process.*SIGSEGV"):
        probe_model(self_calling_model(), "crash")
    # A tensor that claims 2^40 bytes, and one that claims 12 GB, which a machine may well have.
    for width, height in ((2**20, 2**18), (2**15, 2**15)):
        with pytest.raises(ViewfinderError, match="hostile"):
            probe_model(constant_model(width, height, {"one": np.ones((1, 1))}), "hostile")
    assert probe_model(small, "small").outputs[0].name == "six"  # the worker lives on


def test_a_model_that_is_wrong_only_for_some_pictures_is_run_on_several() -> None:
    from runtime.probe import _trials

    trials = list(
        _trials(Model.from_bytes(constant_model(4, 4, {"x": np.ones((1, 1))}), "x").inputs)
    )
    assert not trials[0][0].any()
    assert 0 <= trials[1][0].min() < trials[1][0].max() <= 1
    assert trials[2][0].min() < -1e8
    assert trials[2][0].max() > 1e8
    assert np.isnan(trials[3][0]).all()


def test_a_worker_that_died_or_went_idle_is_started_again(fresh: ProbeWorker, small: bytes) -> None:
    first = fresh.report(small, 10)
    assert fresh._process is not None
    pid = fresh._process.pid
    assert fresh.report(small, 10) == first
    assert fresh._process.pid == pid  # one worker for many models
    fresh._process.kill()
    assert fresh.report(small, 10) == first
    assert fresh._process.pid != pid


def test_several_threads_may_ask(fresh: ProbeWorker, small: bytes) -> None:
    answers: list[dict] = []
    threads = [
        threading.Thread(target=lambda: answers.append(fresh.report(small, 10))) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(answers) == 4
    assert all(answer == answers[0] for answer in answers)


def test_code_in_the_users_folder_is_not_run(
    fresh: ProbeWorker, small: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("numpy.py", "cv2.py", "json.py"):
        (tmp_path / name).write_text("import pathlib; pathlib.Path('was-run').touch()")
    monkeypatch.chdir(tmp_path)
    assert "inputs" in fresh.report(small, 10)
    assert not (tmp_path / "was-run").exists()


def test_without_a_child_process_nothing_is_loaded(
    fresh: ProbeWorker, small: bytes, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(sys, "executable", str(tmp_path / "no-python"))
    with pytest.raises(ViewfinderError, match="can't start the process"):
        load_model(small, "small")


def test_only_unknown_models_are_probed(
    small: bytes, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    probed = []
    monkeypatch.setattr(trust, "probe_model", lambda data, name, **_: probed.append(name))
    load_model(small, "unknown")
    assert probed == ["unknown"]
    (tmp_path / "small.tflite").write_bytes(small)
    add_model(tmp_path / "small.tflite")
    assert is_trusted(hashlib.sha256(small).hexdigest())
    load_model(small, "trusted")
    assert model_tensors(small, "trusted").outputs[0].name == "six"
    assert probed == ["unknown"]


def test_a_card_buys_no_trust(fresh: ProbeWorker, home: Path, face_bundle: Path) -> None:
    from runtime.solutions import open_solution

    open_solution("face", model=face_bundle, static=True)
    assert len(trust._went_well) == 2  # detector and landmarks, each by its own bytes


@pytest.mark.usefixtures("mediapipe_models")
def test_three_hundred_spoilt_models_kill_nothing(tmp_path: Path) -> None:
    detector = tmp_path / "face_detection_short_range.tflite"
    detector.write_bytes(released_model("face_detection_short_range"))
    outcomes = open_spoilt(detector, 300, "", tmp_path / "home")
    assert outcomes["opened"] > 15
    assert outcomes["refused"] > 100


def test_two_hundred_spoilt_bundles_and_cards_kill_nothing(
    face_bundle: Path, tmp_path: Path
) -> None:
    outcomes = open_spoilt(face_bundle, 200, "face", tmp_path / "home")
    assert outcomes["opened"] > 10
    assert outcomes["refused"] > 50


@pytest.mark.long
@pytest.mark.usefixtures("mediapipe_models")
@pytest.mark.parametrize(
    "name", ["face_detection_short_range", "hand_landmark_lite", "selfie_segmentation"]
)
def test_five_hundred_spoilt_models_kill_nothing(name: str, tmp_path: Path) -> None:
    file = tmp_path / f"{name}.tflite"
    file.write_bytes(released_model(name))
    open_spoilt(file, 500, "", tmp_path / "home")
