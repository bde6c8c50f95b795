"""The models that a release brings: found without options, trusted, and fit to be shipped."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

import runtime.bundled
from runtime.bundle import read_bundle, write_bundle
from runtime.bundled import BUNDLED, FOLDER, MAX_BYTES, bundled, bundled_path
from runtime.card import Card, CardInput, CardModel, CardOutput
from runtime.errors import ViewfinderError
from runtime.lineup import Choice
from runtime.model_commands import models_app
from runtime.model_store import find_model, is_trusted, list_models
from runtime.running import Wishes, choices_of, second_of
from runtime.solutions import open_solution
from runtime.solutions.options import SolutionOptions
from runtime.solutions.registry import solution_entry
from tests.runtime.small_models import constant_model

SHIPPED = [name for name in BUNDLED if (FOLDER / f"{name}.task").is_file()]
PICTURE = np.full((128, 128, 3), 90, np.uint8)


def _detector(task: str, size: int, anchors: int, values: int) -> tuple[dict[str, bytes], Card]:
    """One that sees one subject in the middle of every picture."""
    raw, logits = np.zeros((1, anchors, values)), np.full((1, anchors, 1), -50.0)
    sure = (size // 8) ** 2 + size // 8
    raw[0, sure, :8], logits[0, sure] = (0, 0, 40, 40, 0, 10, 0, -10), 4.0
    raw[0, sure, 8] = 5
    low = -1.0 if task == "face" else 0.0
    outputs = (
        CardOutput("boxes", (1, anchors, values), "boxes"),
        CardOutput("scores", (1, anchors, 1), "scores"),
    )
    entry = CardModel("d.tflite", "detector", CardInput(size, size, range=(low, 1.0)), outputs)
    return {"d.tflite": constant_model(size, size, {"boxes": raw, "scores": logits})}, Card(
        task, (entry,)
    )


def _landmarks(task: str, size: int, points: int, topology: str) -> tuple[dict[str, bytes], Card]:
    xyz = np.random.default_rng(3).uniform(40, 150, (1, 3 * points))
    there = np.full((1, 1), 0.9)
    outputs = (
        CardOutput("points", (1, 3 * points), "landmarks"),
        CardOutput("there", (1, 1), "presence"),
    )
    entry = CardModel("p.tflite", "landmarks", CardInput(size, size), outputs, topology)
    return {"p.tflite": constant_model(size, size, {"points": xyz, "there": there})}, Card(
        task, (entry,)
    )


@pytest.fixture
def ours(tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A release with four models that always answer the same, and nobody else's models."""
    folder = tmp_path / "data"
    folder.mkdir()
    for name, (members, card) in {
        "viewfinder_face_detector": _detector("face", 128, 896, 16),
        "viewfinder_face": _landmarks("face", 192, 478, "face478@1"),
        "viewfinder_palm_detector": _detector("hand", 192, 2016, 18),
        "viewfinder_hand": _landmarks("hand", 224, 21, "hand21@1"),
    }.items():
        write_bundle(folder / f"{name}.task", members, card)
    monkeypatch.setattr(runtime.bundled, "FOLDER", folder)
    return folder


@pytest.fixture
def none(tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A source tree without bundled models."""
    monkeypatch.setattr(runtime.bundled, "FOLDER", tmp_path / "nothing")


@pytest.mark.usefixtures("ours")
def test_solutions_run_on_the_releases_own_models() -> None:
    (face,) = open_solution("face", static=True, max_subjects=1).process(PICTURE, 0)
    assert face.topology == "face478@1"
    (hand,) = open_solution("hands", static=True, max_subjects=1).process(PICTURE, 0)
    assert hand.topology == "hand21@1"
    (found,) = open_solution("face-detection").process(PICTURE, 0)
    assert len(found.keypoints) == 6
    for solution in ("pose", "segmentation", "objectron"):
        with pytest.raises(ViewfinderError, match=r"no models of its own yet.*models mediapipe"):
            open_solution(solution)
    with pytest.raises(ViewfinderError, match=r"\[variant\].*have no variants.*models mediapipe"):
        open_solution("hands", variant="lite")
    with pytest.raises(ViewfinderError, match="models fetch mediapipe"):
        open_solution("hands", models="mediapipe")


def test_a_bundle_without_a_detector_runs_with_ours(ours: Path, tmp_path: Path) -> None:
    """One with a card does; MediaPipe's own models, which have none, keep MediaPipe's detector."""
    members, card = _landmarks("hand", 224, 21, "hand21@1")
    write_bundle(tmp_path / "mine.task", members, card)
    solution = open_solution("hands", tmp_path / "mine.task", static=True, max_subjects=1)
    assert len(solution.process(PICTURE, 0)) == 1
    assert solution.models[0].name == "viewfinder_palm_detector.task"
    with pytest.raises(ViewfinderError, match="models fetch mediapipe"):
        open_solution("hands", tmp_path / "mine.task", models="mediapipe")


@pytest.mark.usefixtures("none")
def test_without_them_what_to_do_is_said() -> None:
    for solution in ("face", "hands", "face-detection"):
        with pytest.raises(ViewfinderError, match=r"no models of its own yet.*models mediapipe"):
            open_solution(solution)
    assert list(bundled()) == []
    assert all(row.origin != "bundled" for row in list_models())
    assert bundled_path("viewfinder_face") is None


def test_they_are_found_by_name_listed_and_trusted(ours: Path) -> None:
    for name in BUNDLED:
        assert find_model(name) == find_model(f"{name}.task") == ours / f"{name}.task"
        bundle = read_bundle(ours / f"{name}.task")
        assert bundle.card is not None
        assert is_trusted(bundle.sha256)
        assert is_trusted(bundle.card.models[0].sha256)
    assert not is_trusted("00" * 32)
    shown = CliRunner().invoke(models_app, ["list", "--json"])
    rows = [row for row in json.loads(shown.stdout) if row["origin"] == "bundled"]
    assert [row["name"] for row in rows] == list(BUNDLED)
    assert all(Path(row["path"]).stat().st_size == row["size"] for row in rows)


def test_a_damaged_one_is_told_and_trusts_nothing(ours: Path) -> None:
    path = ours / "viewfinder_face.task"
    sha256 = read_bundle(path).card.models[0].sha256  # type: ignore[union-attr]
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    assert not is_trusted(sha256)
    with pytest.raises(ViewfinderError, match=r"viewfinder_face.task.*damaged"):
        open_solution("face")


@pytest.mark.usefixtures("ours")
def test_the_m_key_goes_from_ours_to_mediapipes() -> None:
    def labels(**options: object) -> list[tuple[str, str, object]]:
        wishes = Wishes("hands", "0", SolutionOptions(**options))  # type: ignore[arg-type]
        found = choices_of(wishes, solution_entry("hands"), wishes.options)
        return [(one.label, one.options.models, one.options.variant) for one in found]

    theirs = [("hands full", "mediapipe", "full"), ("hands lite", "mediapipe", "lite")]
    assert labels() == [("hands bundled", "bundled", None), *theirs]
    assert labels(models="mediapipe") == theirs
    assert labels(models="mediapipe", variant="lite") == theirs[::-1]

    def second(against: str, **options: object) -> Choice:
        wishes = Wishes("hands", "0", SolutionOptions(**options), against=against)  # type: ignore[arg-type]
        return second_of(wishes, wishes.options)

    assert second("variant:lite").options.models == "mediapipe"
    assert second("mediapipe").options.variant is None
    assert second("bundled", models="mediapipe", variant="lite").options.variant is None


def test_what_ran_is_named_by_its_hash(ours: Path) -> None:
    one = Choice("hands", "hands", SolutionOptions(static=True)).open()
    other = Choice("face", "face", SolutionOptions(static=True)).open()
    assert len(one.sha256) == len(other.sha256) == 64
    assert one.sha256 != other.sha256
    members, card = _landmarks("hand", 224, 21, "hand21@1")
    write_bundle(ours / "viewfinder_hand.task", members, replace(card, tool="another"))
    runtime.bundled._read.cache_clear()
    again = Choice("hands", "hands", SolutionOptions(static=True)).open()
    assert again.sha256 != one.sha256


@pytest.mark.parametrize("name", BUNDLED)
def test_shipped_models_are_what_their_cards_say(name: str) -> None:
    """Holds for whatever `make models` put in place; a source tree may be without."""
    if not SHIPPED:
        pytest.skip("this source tree brings no models: make models makes them")
    assert list(BUNDLED) == SHIPPED, "some are missing"
    assert sum((FOLDER / f"{one}.task").stat().st_size for one in SHIPPED) <= MAX_BYTES
    pytest.importorskip("torch", reason="what may be shipped is checked in bootstrap")
    from bootstrap.shipping import check_shipped

    check_shipped(read_bundle(FOLDER / f"{name}.task"))


def test_shipped_models_find_a_face(astronaut: np.ndarray) -> None:
    if not SHIPPED:
        pytest.skip("this source tree brings no models: make models makes them")
    (face,) = open_solution("face", static=True, max_subjects=1).process(astronaut, 0)
    # The irises, by eye.
    eyes = face.keypoints_px(512, 512)[[468, 473], :2]
    np.testing.assert_allclose(eyes, [(203, 101), (246, 104)], atol=15)
