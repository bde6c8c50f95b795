"""`viewfinder models bench`: latencies in turns, and whether OpenVINO may be chosen."""

from __future__ import annotations

import importlib.util
import json
import multiprocessing
import time
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from runtime import agreement, bench
from runtime.bench import bench_file, cores
from runtime.errors import ViewfinderError
from runtime.model import Model
from runtime.model_commands import models_app
from runtime.model_store import released_model
from runtime.trust import load_model
from tests.runtime.small_models import constant_model


class Sleeper:
    """Stands where a model stands, and takes the time it is told."""

    inputs: tuple = ()

    def __init__(self, seconds: float, log: list[str], name: str) -> None:
        self._seconds, self._log, self._name = seconds, log, name

    def run(self) -> None:
        self._log.append(self._name)
        time.sleep(self._seconds)


def test_contestants_run_in_turns_and_take_what_they_take() -> None:
    # A process of its own: threads that earlier tests left spinning would count as work.
    with multiprocessing.get_context("spawn").Pool(1) as alone:
        alone.apply(_turns_and_times)


def _turns_and_times() -> None:
    log: list[str] = []
    slow, quick = Sleeper(0.004, log, "slow"), Sleeper(0.001, log, "quick")
    rows = bench.measured([("slow", 1, slow), ("quick", 1, quick)], seconds=0.2)  # type: ignore[list-item]
    assert rows[0].wall_ms >= 4
    assert 1 <= rows[1].wall_ms < rows[0].wall_ms
    assert rows[0].wall_ms <= rows[0].wall_p90_ms
    assert rows[0].cpu_ms < rows[0].wall_ms  # sleep isn't work
    assert rows[0].runs == rows[1].runs >= 10
    blocks = [name for i, name in enumerate(log[2:]) if i == 0 or log[2:][i - 1] != name]
    assert blocks[:4] == ["slow", "quick", "slow", "quick"]


def test_every_thread_count_up_to_the_processors() -> None:
    counts = cores()
    assert counts[0] == 1
    assert counts == sorted(set(counts))


def test_a_bundle_is_measured_model_by_model(home: Path, face_bundle: Path) -> None:
    results = bench_file(face_bundle, threads=(1, 2), seconds=0.05)
    assert [one.file for one in results] == ["detector.tflite", "face.tflite"]
    for one in results:
        xnnpack = [row for row in one.rows if row.backend == "xnnpack"]
        assert {row.threads for row in xnnpack} == {1, 2}
        assert list(one.rows) == sorted(one.rows, key=lambda row: row.wall_ms)
    result = CliRunner().invoke(
        models_app, ["bench", str(face_bundle), "--threads", "1", "--seconds", "0.1", "--json"]
    )
    (first, _) = json.loads(result.stdout)
    assert first["latencies"][0]["threads"] == 1
    assert first["latencies"][0]["wall_ms"] > 0
    result = CliRunner().invoke(models_app, ["bench", str(face_bundle), "--seconds", "0.1"])
    assert "xnnpack" in result.stdout


def test_a_backend_that_cant_is_named_with_its_reason(home: Path, tmp_path: Path) -> None:
    (tmp_path / "small.tflite").write_bytes(constant_model(8, 8, {"one": np.ones((1, 1))}))
    (one,) = bench_file(tmp_path / "small.tflite", (1,), 0.05, delegate="no-such.so")
    assert one.refused["no-such.so"] == "'no-such.so'"
    with pytest.raises(ViewfinderError, match="no such model"):
        bench_file(tmp_path / "none.tflite")


@pytest.mark.skipif(importlib.util.find_spec("openvino") is None, reason="needs the extra openvino")
def test_openvino_is_measured_compared_and_then_allowed(home: Path, tmp_path: Path) -> None:
    data = constant_model(16, 16, {"one": np.ones((1, 4))}, 0.5)
    (tmp_path / "small.tflite").write_bytes(data)
    with pytest.raises(ViewfinderError, match="hasn't been compared"):
        load_model(data, "small", delegate="openvino")
    (one,) = bench_file(tmp_path / "small.tflite", (1,), 0.1)
    assert {row.backend for row in one.rows} == {"xnnpack", "openvino"}
    assert one.openvino_may_run
    picture = np.random.default_rng(0).random((1, 16, 16, 3))
    answers = [load_model(data, "small", 1, name).invoke(picture) for name in ("", "openvino")]
    np.testing.assert_allclose(answers[0]["one"], answers[1]["one"], rtol=1e-5)


@pytest.mark.usefixtures("mediapipe_models")
def test_what_is_measured_is_the_models_own_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(agreement, "models_folder", lambda: tmp_path)
    (one,) = bench_file("face_detection_short_range", (1,), 0.5)
    (row,) = [row for row in one.rows if row.backend == "xnnpack"]
    model = Model(released_model("face_detection_short_range"), "eye")
    times = []
    for _ in range(50):
        start = time.process_time()
        model.run()
        times.append(1e3 * (time.process_time() - start))
    assert 0.4 < row.cpu_ms / np.median(times) < 2.5
