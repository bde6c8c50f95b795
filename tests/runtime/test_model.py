"""LiteRT behind one door, and the rule by which models pass it."""

from __future__ import annotations

import hashlib
import subprocess
from pathlib import Path

import numpy as np
import pytest

from runtime import trust
from runtime.errors import ViewfinderError
from runtime.model import Model, PixelScale
from runtime.model_store import add_model, is_trusted
from runtime.trust import load_model, model_tensors, probe_model
from tests.runtime.small_models import constant_model


@pytest.fixture(scope="module")
def small() -> bytes:
    return constant_model(16, 8, {"six": np.arange(6.0).reshape(1, 6), "one": np.ones((1, 1))}, 0.5)


def test_tensors_and_answers(small: bytes) -> None:
    model = Model.from_bytes(small, "small")
    assert [info.shape for info in model.inputs] == [(1, 8, 16, 3)]
    assert [(info.name, info.shape) for info in model.outputs] == [("six", (1, 6)), ("one", (1, 1))]
    answer = model.invoke(np.full((1, 8, 16, 3), 4.0))
    np.testing.assert_allclose(answer["six"], np.arange(6.0)[None] + 2)
    np.testing.assert_allclose(model.invoke(np.zeros((1, 8, 16, 3)))["one"], [[1]])
    assert answer["one"] == pytest.approx(3)  # a copy: the second run hasn't changed it
    assert model.invocations == 2
    assert model.invoke_seconds > 0
    assert model.xnnpack_partitions() == 1


def test_wrong_shape_and_wrong_output_name_are_named(small: bytes) -> None:
    model = Model.from_bytes(small, "small")
    with pytest.raises(
        ViewfinderError, match=r"wrong input shape.*\(1, 8, 16, 3\)"
    ):
        model.invoke(np.zeros((1, 8, 8, 3)))
    with pytest.raises(ViewfinderError, match=r"six \| one.*seven"):
        model.output_index("seven")


@pytest.mark.parametrize(("low", "high"), [(0, 1), (-1, 1), (0, 255), (-0.5, 0.5)])
def test_pictures_are_scaled_with_one_rounding(low: float, high: float) -> None:
    picture = np.random.default_rng(0).integers(0, 256, (8, 16, 3), dtype=np.uint8)
    out = np.full((8, 16, 3), np.nan, dtype=np.float32)
    PixelScale(low, high).write(picture, out)
    factor = float(np.float32((high - low) / 255))
    np.testing.assert_array_equal(out, (picture * factor + low).astype(np.float32))


def test_fill_reaches_the_model(small: bytes) -> None:
    model = Model.from_bytes(small, "small")
    for range_ in ((0, 1), (-1, 1)):
        model.fill(np.full((8, 16, 3), 255, dtype=np.uint8), PixelScale(*range_))
        model.run()
        assert model.output(1) == pytest.approx(1.5)


def test_a_file_that_litert_refuses(small: bytes) -> None:
    with pytest.raises(ViewfinderError, match="broken: LiteRT can't load this model"):
        Model.from_bytes(small[:100], "broken")


def test_probe_tells_the_tensors(small: bytes) -> None:
    tensors = probe_model(small, "small")
    model = Model.from_bytes(small, "small")
    assert tensors.inputs == model.inputs
    assert tensors.outputs == model.outputs


def test_probe_refuses_what_crashes_and_what_hangs(
    small: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ViewfinderError, match="slow: this model is refused: it hadn't run"):
        probe_model(small, "slow", seconds=0.02)

    def crashed(*args: object, **options: object) -> subprocess.CompletedProcess:
        return subprocess.CompletedProcess([], -11, b"", b"")

    monkeypatch.setattr(subprocess, "run", crashed)
    with pytest.raises(ViewfinderError, match=r"crash: .*crashed the process.*SIGSEGV"):
        probe_model(small, "crash")


def test_a_model_that_kills_the_probe_does_not_kill_us(small: bytes) -> None:
    # A tensor that claims 2^40 bytes: whatever the child dies of, we live and say so.
    hostile = constant_model(2**20, 2**18, {"one": np.ones((1, 1))})
    with pytest.raises(ViewfinderError, match="hostile"):
        probe_model(hostile, "hostile")


def test_only_unknown_models_are_probed(
    small: bytes, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    probed = []
    monkeypatch.setattr(trust, "probe_model", lambda data, name: probed.append(name))
    load_model(small, "unknown")
    assert probed == ["unknown"]
    (tmp_path / "small.tflite").write_bytes(small)
    add_model(tmp_path / "small.tflite")
    assert is_trusted(hashlib.sha256(small).hexdigest())
    load_model(small, "trusted")
    assert model_tensors(small, "trusted").outputs[0].name == "six"
    assert probed == ["unknown"]
