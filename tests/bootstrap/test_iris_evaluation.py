"""`viewfinder evaluate` of iris networks, with a real .tflite whose answers are known."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from bootstrap import commands
from bootstrap.dataset import Dataset
from bootstrap.iris_evaluation import LEAST_PX, evaluate_iris, eyes_of, is_iris
from bootstrap.subjects import Settings, find_subjects
from runtime.errors import ViewfinderError
from runtime.roi import crop_from_image, eye_roi
from runtime.solutions.face_attention import IRIS_SIZE, MESH_SIZE, RIGHT_EYE
from tests.bootstrap.brightness_model import brightness_bundle, iris_bundle
from tests.bootstrap.test_evaluate import FACE, crop_template, face_px, make_faces, on

POINTS = [*RIGHT_EYE, *range(MESH_SIZE, MESH_SIZE + IRIS_SIZE)]
CORNERS = [33, 133]
OFF = 0.02

app = typer.Typer()
app.command()(commands.evaluate)


@pytest.fixture(autouse=True)
def _trusted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("runtime.trust.is_trusted", lambda sha256: True)


@pytest.fixture(scope="module")
def faces(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return make_faces(tmp_path_factory.mktemp("faces"))


def eye_template() -> np.ndarray:
    """(76, 3) where every such right eye lies in its own crop."""
    points = face_px((160, 160), 900)
    template = crop_from_image(eye_roi(points[CORNERS]), points[POINTS])
    return np.concatenate([template, np.zeros((76, 1))], axis=1)


def off_percent() -> float:
    """What `OFF` crops come to in percent of the eye's width."""
    points = face_px((160, 160), 900)
    width = np.linalg.norm(points[33] - points[133])
    return float(100 * OFF * eye_roi(points[CORNERS]).width / width)


@pytest.fixture(scope="module")
def exact(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model") / "exact.task"
    iris_bundle(path, eye_template())
    return path


@pytest.fixture(scope="module")
def low(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Puts the iris, and nothing else, `OFF` of the crop too low."""
    template = eye_template()
    template[len(RIGHT_EYE) :, 1] += OFF
    path = tmp_path_factory.mktemp("model") / "low.task"
    iris_bundle(path, template)
    return path


def test_a_model_that_is_right_has_no_error_on_either_side(faces: Dataset, exact: Path) -> None:
    found = evaluate_iris(exact, on(faces, by="side"))
    assert (found["n"], found["subjects"], found["missed"]) == (16, 16, 0)
    assert found["by"]["right"]["n"] == found["by"]["left"]["n"] == 8
    assert found["by"]["right"]["mean"] < 0.01
    # The left eye is shown mirrored, and its iris comes back in the left one's order: another
    # order would be off by a third of the eye.
    assert found["by"]["left"]["mean"] < 0.5


def test_a_known_error_is_found_where_it_is(faces: Dataset, low: Path, exact: Path) -> None:
    found = evaluate_iris(low, on(faces), against=exact)
    expected = off_percent()
    right = {k: v["mean"] for k, v in found["by"].items()}
    assert right["iris"] == pytest.approx(expected, rel=0.02)
    assert right["iris centre"] == pytest.approx(expected, rel=0.02)
    assert right["eye"] < 0.5
    assert found["mean"] == pytest.approx(5 / 76 * expected + 71 / 76 * right["eye"], rel=0.02)
    assert found["against"]["difference"]["mean"] == pytest.approx(5 / 76 * expected, rel=0.05)


def test_groups_of_the_faces(faces: Dataset, low: Path) -> None:
    by = evaluate_iris(low, on(faces, by="tone"))["by"]
    assert {name: one["n"] for name, one in by.items()} == {"dark": 8, "light": 8}


def test_eyes_that_nobody_could_see_do_not_count(faces: Dataset, exact: Path) -> None:
    subjects, _ = find_subjects(on(faces), FACE)
    face = subjects[0]
    assert [eye.side for eye in eyes_of(face)] == ["right", "left"]
    hidden = np.full(478, 2, np.int8)
    hidden[POINTS] = 1
    assert [
        eye.side for eye in eyes_of(replace(face, label=replace(face.label, visibility=hidden)))
    ] == ["left"]
    truth = face.truth_px.copy()
    truth[RIGHT_EYE[3]] = np.nan
    assert [eye.side for eye in eyes_of(replace(face, truth_px=truth))] == ["left"]
    width = max(eye.width_px for eye in eyes_of(face))
    tiny = replace(face, truth_px=face.truth_px * (0.9 * LEAST_PX / width))
    assert eyes_of(tiny) == []


def test_only_iris_models_are_measured_so(exact: Path, tmp_path: Path, faces: Dataset) -> None:
    brightness_bundle(tmp_path / "face.task", crop_template())
    assert is_iris(exact)
    assert not is_iris(tmp_path / "face.task")
    with pytest.raises(ViewfinderError, match="no iris model"):
        evaluate_iris(exact, on(faces), against=tmp_path / "face.task")
    with pytest.raises(ViewfinderError, match="nothing to measure on"):
        evaluate_iris(exact, Settings((faces.root,), split="val"))


def test_on_the_command_line(faces: Dataset, low: Path, exact: Path) -> None:
    words = [str(low), "--data", str(faces.root), "--split", "all"]
    runner = CliRunner()
    done = runner.invoke(app, [*words, "--against", str(exact), "--json"])
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert {"metric", "mean", "interval", "n", "by"} <= set(found)
    assert found["by"]["iris"]["mean"] == pytest.approx(off_percent(), rel=0.02)
    shown = runner.invoke(app, words, env={"COLUMNS": "160"})
    assert shown.exit_code == 0, shown.output
    assert "iris centre" in shown.output
    assert "crops around the truth" in shown.output
    refused = runner.invoke(app, [*words, "--crop", "detector"])
    assert refused.exit_code == 1
    assert "in the crops of true eyes" in str(refused.exception)
