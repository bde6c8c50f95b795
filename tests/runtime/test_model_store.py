"""Released models out of wheels, npm tarballs and .task files; and models the user adds."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import stat
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest

from runtime import fetching, model_store
from runtime.errors import ViewfinderError
from runtime.fetching import fetch_released
from runtime.model_store import (
    add_model,
    find_model,
    is_trusted,
    list_models,
    missing_released,
    released_folder,
    released_model,
)
from runtime.released import (
    MEDIAPIPE,
    MEDIAPIPE_OBJECTRON,
    MEDIAPIPE_TASKS,
    RELEASED,
    RELEASED_HASHES,
    SOURCES,
    ReleasedModel,
    Source,
    released_from,
    source_named,
)

TFLITE = b"\x1c\x00\x00\x00TFL3"
CONTENTS = {
    "eye": TFLITE + b"first model" * 10,
    "palm": TFLITE + b"second model" * 20,
    "cup": TFLITE + b"third model" * 30,
    "ssd": TFLITE + b"fourth model" * 40,
    "mesh": TFLITE + b"fifth model" * 50,
}
START = 7


@pytest.fixture(autouse=True)
def pretend_released(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Five small files in place of MediaPipe's many."""
    if "really_released" in request.fixturenames:
        return

    def pretend(name: str, source: Source, member: str, start: int = 0) -> ReleasedModel:
        data = CONTENTS[name]
        sha256 = hashlib.sha256(data).hexdigest()
        return ReleasedModel(name, source, member, len(data), sha256, "a test", start)

    models = (
        pretend("eye", MEDIAPIPE, "mediapipe/modules/eyes/eye.tflite"),
        pretend("palm", MEDIAPIPE, "mediapipe/modules/palms/palm.tflite"),
        pretend("cup", MEDIAPIPE_OBJECTRON, "package/cup.tflite"),
        pretend("ssd", MEDIAPIPE_OBJECTRON, "package/assets.data", START),
        pretend("mesh", MEDIAPIPE_TASKS, ""),
    )
    monkeypatch.setattr(model_store, "RELEASED", models)
    monkeypatch.setattr(model_store, "RELEASED_BY_NAME", {model.name: model for model in models})
    by_sha256 = {model.sha256: model for model in models}
    monkeypatch.setattr(model_store, "RELEASED_BY_SHA256", by_sha256)
    monkeypatch.setattr(model_store, "RELEASED_HASHES", set(by_sha256))
    for module in (model_store, fetching):
        monkeypatch.setattr(
            module, "released_from", lambda source: tuple(m for m in models if m.source == source)
        )


@pytest.fixture
def really_released() -> None:
    """The true table."""


def wheel_of(folder: Path, **changed: bytes | None) -> Path:
    path = folder / "mediapipe-0.10.14-cp311-cp311-manylinux_2_17_x86_64.whl"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in ("eye", "palm"):
            data = changed.get(name, CONTENTS[name])
            if data is not None:
                archive.writestr(f"mediapipe/modules/{name}s/{name}.tflite", data)
    return path


def tarball_of(folder: Path, **members: bytes | tarfile.TarInfo) -> Path:
    path = folder / "mediapipe-objectron-0.4.1675468480.tgz"
    contents = {"cup.tflite": CONTENTS["cup"], "assets.data": b"labels\n" + CONTENTS["ssd"]}
    with tarfile.open(path, "w:gz") as archive:
        for name, data in {**contents, **members}.items():
            info = data if isinstance(data, tarfile.TarInfo) else tarfile.TarInfo(f"package/{name}")
            content = b"" if isinstance(data, tarfile.TarInfo) else data
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return path


def task_of(path: Path, **members: bytes) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for name, data in members.items():
            archive.writestr(name.replace("_", "."), data)
    return path


def files_in(source: Source) -> set[str]:
    folder = released_folder(source)
    return {path.name for path in folder.iterdir()} if folder.is_dir() else set()


def test_fetch_from_a_wheel_once(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(subprocess, "run", lambda *a, **k: pytest.fail("pip was started"))
    wheel = wheel_of(tmp_path)
    assert [model.name for model in missing_released()] == ["eye", "palm"]
    assert {path.name for path in fetch_released(MEDIAPIPE, wheel)} == {"eye.tflite", "palm.tflite"}
    assert fetch_released(MEDIAPIPE, wheel) == []
    assert fetch_released(MEDIAPIPE) == []
    for name in ("eye", "palm"):
        assert released_model(name) == CONTENTS[name]
    assert files_in(MEDIAPIPE) == {"eye.tflite", "palm.tflite"}
    assert [model.name for model in missing_released("eye", "cup", "mesh")] == ["cup", "mesh"]


def test_fetch_from_an_npm_tarball(home: Path, tmp_path: Path) -> None:
    fetch_released(MEDIAPIPE_OBJECTRON, tarball_of(tmp_path))
    assert released_model("cup") == CONTENTS["cup"]
    assert released_model("ssd") == CONTENTS["ssd"]  # what stood before it in the member is gone
    assert files_in(MEDIAPIPE_OBJECTRON) == {"cup.tflite", "ssd.tflite"}


def test_what_was_damaged_is_found_and_fetched_again(home: Path, tmp_path: Path) -> None:
    wheel = wheel_of(tmp_path)
    fetch_released(MEDIAPIPE, wheel)
    (released_folder(MEDIAPIPE) / "eye.tflite").write_bytes(CONTENTS["eye"][:-1] + b"L")
    with pytest.raises(ViewfinderError, match="SHA-256 isn't the pinned one"):
        released_model("eye")
    assert [path.name for path in fetch_released(MEDIAPIPE, wheel)] == ["eye.tflite"]
    assert released_model("eye") == CONTENTS["eye"]


@pytest.mark.parametrize("wrong", [b"x" * 118, CONTENTS["eye"] + b"!", CONTENTS["eye"][:-1], b""])
def test_a_wheel_with_other_content_stores_nothing(
    home: Path, tmp_path: Path, wrong: bytes
) -> None:
    with pytest.raises(ViewfinderError, match="isn't the released one"):
        fetch_released(MEDIAPIPE, wheel_of(tmp_path, eye=wrong))
    assert files_in(MEDIAPIPE) == set()


def test_files_that_are_no_packages(home: Path, tmp_path: Path) -> None:
    with pytest.raises(ViewfinderError, match="doesn't hold MediaPipe's models"):
        fetch_released(MEDIAPIPE, wheel_of(tmp_path, eye=None))
    with pytest.raises(ViewfinderError, match=r"doesn't hold.*@mediapipe/objectron 0\.4\."):
        fetch_released(MEDIAPIPE_OBJECTRON, wheel_of(tmp_path))
    with pytest.raises(ViewfinderError, match="doesn't hold"):
        fetch_released(MEDIAPIPE, tarball_of(tmp_path))
    whole = wheel_of(tmp_path).read_bytes()
    for name, data in {
        "text": b"no wheel",
        "nothing": b"",
        "short": whole[: len(whole) // 2],
        "gzip": b"\x1f\x8b and no more",
        "short.tgz": tarball_of(tmp_path).read_bytes()[:-20],
        "no.tar": gzip.compress(b"no archive" * 100),
    }.items():
        (tmp_path / name).write_bytes(data)
        with pytest.raises(ViewfinderError, match="can't read this package"):
            fetch_released(MEDIAPIPE_OBJECTRON, tmp_path / name)
    with pytest.raises(ViewfinderError, match="can't read this package"):
        fetch_released(MEDIAPIPE, tmp_path / "missing.whl")
    assert files_in(MEDIAPIPE) == files_in(MEDIAPIPE_OBJECTRON) == set()


def test_a_tarball_reads_no_links_and_leaves_no_trace_elsewhere(home: Path, tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(CONTENTS["cup"])
    for kind in (tarfile.SYMTYPE, tarfile.LNKTYPE):
        link = tarfile.TarInfo("package/cup.tflite")
        link.type, link.linkname = kind, str(tmp_path / "secret")
        with pytest.raises(ViewfinderError, match="doesn't hold"):
            fetch_released(MEDIAPIPE_OBJECTRON, tarball_of(tmp_path, **{"cup.tflite": link}))
    outside = tarball_of(tmp_path, **{"../../outside": b"x", "/tmp/outside": b"y"})
    assert len(fetch_released(MEDIAPIPE_OBJECTRON, outside)) == 2
    assert not list(tmp_path.rglob("outside"))


def test_a_tarball_that_unpacks_without_end(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetching, "MAX_UNPACKED_BYTES", 2**20)
    bomb = tarball_of(tmp_path, bomb=bytes(2**22))
    assert bomb.stat().st_size < 2**14
    with pytest.raises(ViewfinderError, match="unpacks to more than 1,048,576 bytes"):
        fetch_released(MEDIAPIPE_OBJECTRON, bomb)


def test_pip_downloads_into_a_folder_that_goes_away(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def pip(command: list[str], **options: object) -> subprocess.CompletedProcess:
        asked.append(command)
        wheel_of(Path(command[command.index("--dest") + 1]))
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(subprocess, "run", pip)
    assert len(fetch_released(MEDIAPIPE)) == 2
    (command,) = asked
    assert command[1:4] == ["-m", "pip", "download"]
    assert "mediapipe==0.10.14" in command
    assert "--no-deps" in command
    assert not Path(command[command.index("--dest") + 1]).exists()


@pytest.mark.skipif(os.name == "nt", reason="the stand-in for npm is a script")
def test_npm_packs_into_a_folder_that_goes_away(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, tarball = tmp_path / "asked.json", tarball_of(tmp_path)
    npm = tmp_path / "bin" / "npm"
    npm.parent.mkdir()
    npm.write_text(
        f"#!{sys.executable}\nimport json, shutil, sys\n"
        f"json.dump(sys.argv[1:], open({str(asked)!r}, 'w'))\n"
        f"shutil.copy({str(tarball)!r}, sys.argv[sys.argv.index('--pack-destination') + 1])\n"
    )
    npm.chmod(npm.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", str(npm.parent))
    assert len(fetch_released(MEDIAPIPE_OBJECTRON)) == 2
    command = json.loads(asked.read_text())
    assert command[:2] == ["pack", "@mediapipe/objectron@0.4.1675468480"]
    assert "--ignore-scripts" in command
    assert not Path(command[command.index("--pack-destination") + 1]).exists()


def test_without_npm_or_network_is_one_clear_line(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(
        ViewfinderError, match=r"@mediapipe/objectron 0\.4\.1675468480, and npm.*--package FILE"
    ):
        fetch_released(MEDIAPIPE_OBJECTRON)
    with pytest.raises(ViewfinderError, match=r"no package registry.*mesh.*models add FILE"):
        fetch_released(MEDIAPIPE_TASKS)

    def pip(command: list[str], **options: object) -> subprocess.CompletedProcess:
        return subprocess.CompletedProcess(command, 1, "", "WARNING: retry\nERROR: No match\n\n")

    monkeypatch.setattr(subprocess, "run", pip)
    with pytest.raises(
        ViewfinderError, match=r"couldn't download.*ERROR: No match.*--package FILE"
    ):
        fetch_released(MEDIAPIPE)


def test_what_is_missing_says_how_to_get_it(home: Path) -> None:
    for name, hint in {
        "eye": "viewfinder models fetch mediapipe",
        "cup": "viewfinder models fetch mediapipe-objectron",
        "mesh": "viewfinder models add FILE",
    }.items():
        for get in (released_model, find_model):
            with pytest.raises(ViewfinderError) as raised:
                get(name)
            assert str(raised.value.hint).startswith(hint)


def test_released_models_are_known_in_bare_files_and_bundles(home: Path, tmp_path: Path) -> None:
    bare = tmp_path / "whatever.tflite"
    bare.write_bytes(CONTENTS["mesh"])
    added = add_model(bare)
    assert added.released == ("mesh",)
    assert added.path == released_folder(MEDIAPIPE_TASKS) / "mesh.tflite"
    assert released_model("mesh") == CONTENTS["mesh"]
    assert not (home / "models" / "added").exists()  # kept once, under its own name

    inner = task_of(tmp_path / "inner.task", eye_tflite=CONTENTS["eye"], own_tflite=TFLITE + b"own")
    outer = task_of(
        tmp_path / "outer.task", inner_task=inner.read_bytes(), palm_tflite=CONTENTS["palm"]
    )
    added = add_model(outer)
    assert set(added.released) == {"eye", "palm"}
    assert find_model("outer.task") == added.path
    assert find_model("eye") == released_folder(MEDIAPIPE) / "eye.tflite"
    assert is_trusted(hashlib.sha256(TFLITE + b"own").hexdigest())


def test_fetch_takes_what_is_missing_from_a_bundle(home: Path, tmp_path: Path) -> None:
    bundle = task_of(tmp_path / "face.task", a_tflite=CONTENTS["mesh"], b_tflite=CONTENTS["eye"])
    assert [path.name for path in fetch_released(MEDIAPIPE_TASKS, bundle)] == ["mesh.tflite"]
    other = task_of(tmp_path / "other.task", a_tflite=TFLITE + b"other")
    with pytest.raises(ViewfinderError, match=r"none of the models.*eye, palm"):
        fetch_released(MEDIAPIPE, other)


def test_bundles_within_bundles_end(home: Path, tmp_path: Path) -> None:
    path = task_of(tmp_path / "0.task", eye_tflite=CONTENTS["eye"])
    for depth in range(1, 8):
        path = task_of(tmp_path / f"{depth}.task", more_task=path.read_bytes())
    assert add_model(path).released == ()
    hostile = bytearray(path.read_bytes())
    rng = np.random.default_rng(1)
    for _ in range(300):
        spoilt = bytearray(hostile)
        for place in rng.integers(0, len(spoilt), 3):
            spoilt[place] ^= 1 << rng.integers(8)
        path.with_name(f"x{_}.task").write_bytes(spoilt)
        try:
            add_model(path.with_name(f"x{_}.task"))
        except ViewfinderError:
            continue


def test_added_models_are_trusted_found_and_listed(home: Path, tmp_path: Path) -> None:
    data = TFLITE + bytes(50)
    sha256 = hashlib.sha256(data).hexdigest()
    mine = tmp_path / "mine.tflite"
    mine.write_bytes(data)
    assert not is_trusted(sha256)
    stored = add_model(mine).path
    assert add_model(mine).path == stored
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


@pytest.mark.usefixtures("really_released")
def test_the_pinned_table_is_sound() -> None:
    assert len(RELEASED) == len(RELEASED_HASHES) == len({model.name for model in RELEASED}) == 25
    for model in RELEASED:
        assert len(bytes.fromhex(model.sha256)) == 32
        assert bool(model.member) == bool(model.source.registry)
    assert sum(len(released_from(source)) for source in SOURCES) == 25
    assert source_named("mediapipe-pose").package == "@mediapipe/pose"
    with pytest.raises(ViewfinderError, match=r"mediapipe \| mediapipe-pose"):
        source_named("tensorflow")


@pytest.mark.usefixtures("really_released")
@pytest.mark.parametrize("source", SOURCES, ids=lambda source: source.name)
def test_the_fetched_files_are_the_pinned_ones(source: Source) -> None:
    models = released_from(source)
    if missing_released(*(model.name for model in models)):
        pytest.skip(f"these models aren't here: {source.hint}")
    for model in models:
        assert len(released_model(model.name)) == model.size
