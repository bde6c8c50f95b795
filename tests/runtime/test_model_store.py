"""Fetching released models: from a wheel, checked, once; and models the user adds."""

from __future__ import annotations

import hashlib
import subprocess
import zipfile
from pathlib import Path

import pytest

from runtime import model_store
from runtime.errors import ViewfinderError
from runtime.model_store import (
    add_model,
    fetch_mediapipe,
    find_model,
    is_trusted,
    list_models,
    mediapipe_folder,
    missing_released,
    released_model,
)
from runtime.released import RELEASED, RELEASED_HASHES, ReleasedModel


@pytest.fixture
def pretend_released(monkeypatch: pytest.MonkeyPatch) -> dict[str, bytes]:
    """Two small files in place of MediaPipe's fourteen."""
    contents = {"eye": b"first model" * 10, "palm": b"second model" * 20}
    models = tuple(
        ReleasedModel(name, f"{name}s", len(data), hashlib.sha256(data).hexdigest(), "a test")
        for name, data in contents.items()
    )
    monkeypatch.setattr(model_store, "RELEASED", models)
    monkeypatch.setattr(model_store, "RELEASED_BY_NAME", {model.name: model for model in models})
    monkeypatch.setattr(model_store, "RELEASED_HASHES", {model.sha256 for model in models})
    return contents


def wheel_of(folder: Path, contents: dict[str, bytes]) -> Path:
    path = folder / "mediapipe-0.10.14-cp311-cp311-manylinux_2_17_x86_64.whl"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in contents.items():
            archive.writestr(f"mediapipe/modules/{name}s/{name}.tflite", data)
    return path


def test_fetch_from_a_wheel_once(
    home: Path, tmp_path: Path, pretend_released: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(subprocess, "run", lambda *a, **k: pytest.fail("pip was started"))
    wheel = wheel_of(tmp_path, pretend_released)
    assert len(missing_released()) == 2
    assert {path.name for path in fetch_mediapipe(wheel)} == {"eye.tflite", "palm.tflite"}
    assert fetch_mediapipe(wheel) == []
    assert fetch_mediapipe() == []
    for name, data in pretend_released.items():
        assert released_model(name) == data
    assert {path.name for path in mediapipe_folder().iterdir()} == {"eye.tflite", "palm.tflite"}


def test_what_was_damaged_is_found_and_fetched_again(
    home: Path, tmp_path: Path, pretend_released: dict[str, bytes]
) -> None:
    wheel = wheel_of(tmp_path, pretend_released)
    fetch_mediapipe(wheel)
    (mediapipe_folder() / "eye.tflite").write_bytes(b"first modeL" * 10)
    with pytest.raises(ViewfinderError, match="SHA-256 isn't the pinned one"):
        released_model("eye")
    assert [path.name for path in fetch_mediapipe(wheel)] == ["eye.tflite"]
    assert released_model("eye") == pretend_released["eye"]


def test_a_wheel_with_other_content_stores_nothing_of_it(
    home: Path, tmp_path: Path, pretend_released: dict[str, bytes]
) -> None:
    for wrong in (b"x" * 110, b"first modeL" * 10):
        wheel = wheel_of(tmp_path, {**pretend_released, "eye": wrong})
        with pytest.raises(ViewfinderError, match="isn't the released one"):
            fetch_mediapipe(wheel)
        assert list(mediapipe_folder().iterdir()) == []
    lacking = wheel_of(tmp_path, {"palm": pretend_released["palm"]})
    with pytest.raises(ViewfinderError, match="doesn't hold MediaPipe's models"):
        fetch_mediapipe(lacking)
    (tmp_path / "no.whl").write_text("no wheel")
    with pytest.raises(ViewfinderError, match="can't read this wheel"):
        fetch_mediapipe(tmp_path / "no.whl")
    with pytest.raises(ViewfinderError, match="can't read this wheel"):
        fetch_mediapipe(tmp_path / "missing.whl")


def test_pip_downloads_into_a_folder_that_goes_away(
    home: Path, tmp_path: Path, pretend_released: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def pip(command: list[str], **options: object) -> subprocess.CompletedProcess:
        asked.append(command)
        wheel_of(Path(command[command.index("--dest") + 1]), pretend_released)
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(subprocess, "run", pip)
    assert len(fetch_mediapipe()) == 2
    (command,) = asked
    assert command[1:4] == ["-m", "pip", "download"]
    assert "mediapipe==0.10.14" in command
    assert "--no-deps" in command
    assert not Path(command[command.index("--dest") + 1]).exists()


def test_pip_without_a_network_is_one_clear_line(
    home: Path, pretend_released: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    def pip(command: list[str], **options: object) -> subprocess.CompletedProcess:
        return subprocess.CompletedProcess(command, 1, "", "WARNING: retry\nERROR: No match\n\n")

    monkeypatch.setattr(subprocess, "run", pip)
    with pytest.raises(ViewfinderError, match=r"couldn't download.*ERROR: No match.*--wheel FILE"):
        fetch_mediapipe()


def test_added_models_are_trusted_found_and_listed(
    home: Path, tmp_path: Path, pretend_released: dict[str, bytes]
) -> None:
    data = b"\x1c\x00\x00\x00TFL3" + bytes(50)
    sha256 = hashlib.sha256(data).hexdigest()
    mine = tmp_path / "mine.tflite"
    mine.write_bytes(data)
    assert not is_trusted(sha256)
    stored = add_model(mine)
    assert add_model(mine) == stored
    assert is_trusted(sha256)
    assert find_model("mine.tflite") == stored
    assert find_model(mine) == mine
    rows = {row.name: row for row in list_models()}
    assert rows["mine.tflite"].what == "trusted"
    assert rows["eye"].path is None
    stored.write_bytes(data + b"!")
    assert {row.name: row for row in list_models()}["mine.tflite"].what.startswith("changed")
    with pytest.raises(ViewfinderError, match="another model of this name"):
        add_model(mine)
    with pytest.raises(ViewfinderError, match="no such model"):
        find_model("../mine.tflite")


def test_what_is_damaged_is_not_added(home: Path, tmp_path: Path) -> None:
    (tmp_path / "a.task").write_bytes(b"PK\x03\x04 and nothing more")
    with pytest.raises(ViewfinderError, match="truncated or damaged"):
        add_model(tmp_path / "a.task")
    (home / "models").mkdir(parents=True, exist_ok=True)
    (home / "models" / "trusted.json").write_text("[")
    with pytest.raises(ViewfinderError, match="list of trusted models can't be read"):
        is_trusted("00" * 32)


def test_the_pinned_table_is_sound() -> None:
    assert len(RELEASED) == len(RELEASED_HASHES) == 14
    for model in RELEASED:
        assert len(bytes.fromhex(model.sha256)) == 32
        assert model.wheel_member == f"mediapipe/modules/{model.module}/{model.name}.tflite"


@pytest.mark.usefixtures("mediapipe_models")
def test_the_fetched_files_are_the_pinned_ones() -> None:
    for model in RELEASED:
        assert len(released_model(model.name)) == model.size
