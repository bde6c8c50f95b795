"""`viewfinder run` from end to end."""

from __future__ import annotations

import inspect
import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from runtime.commands import RunCommand, make_run
from runtime.errors import ViewfinderError
from runtime.image import read_image, write_image
from runtime.solutions.options import SolutionOptions
from runtime.solutions.registry import solutions
from runtime.sources import open_source

ROOT = Path(__file__).parents[2]
# The runtime's commands alone: this must work where only the bare package is installed.
PROGRAM = """
import sys, typer
from runtime.commands import RunCommand, make_run
from runtime.errors import ViewfinderError
app = typer.Typer(pretty_exceptions_enable=False)
app.callback()(lambda: None)
app.command("run", cls=RunCommand)(make_run())
try:
    app()
except ViewfinderError as error:
    sys.exit(f"viewfinder: {error}")
"""


@dataclass(frozen=True)
class Done:
    """What a command printed and how it ended."""

    returncode: int
    stdout: str
    stderr: str


def viewfinder(*arguments: object, **variables: str) -> Done:
    """The command in this process, which saves a second of imports each time."""
    app = typer.Typer()
    app.callback()(lambda: None)  # so that one command alone is named, too
    app.command("run", cls=RunCommand)(make_run())
    result = CliRunner().invoke(
        app, [str(argument) for argument in arguments], env={"COLUMNS": "200", **variables}
    )
    if isinstance(result.exception, ViewfinderError):
        return Done(1, result.stdout, f"{result.stderr}viewfinder: {result.exception}\n")
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return Done(result.exit_code, result.stdout, result.stderr)


def viewfinder_process(*arguments: object) -> Done:
    """The command in a process of its own."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *map(str, arguments)],
        capture_output=True, text=True, env=environment, timeout=120, check=False,
    )  # fmt: skip
    return Done(done.returncode, done.stdout, done.stderr)


def failed(done: Done, *parts: str) -> None:
    """One clear line and exit 1."""
    assert done.returncode == 1, done.stderr
    assert len(done.stderr.strip().splitlines()) == 1, done.stderr
    for part in parts:
        assert part in done.stderr


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    for number, name in enumerate(("a.jpg", "b.png", "c.webp")):
        picture = np.full((90, 120 + 40 * number, 3), 60 * number, dtype=np.uint8)
        write_image(folder / name, picture)
    return folder


def test_a_folder_as_json(photos: Path, face_bundle: Path) -> None:
    done = viewfinder_process("run", "face", "--source", photos, "--model", face_bundle, "--json")
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert [Path(line["source"]).name for line in lines] == ["a.jpg", "b.png", "c.webp"]
    assert [line["width"] for line in lines] == [120, 160, 200]
    for line in lines:
        assert set(line) == {
            "source", "frame", "timestamp_us", "width", "height", "dropped", "subjects",
        }  # fmt: skip
        (subject,) = line["subjects"]
        assert subject["topology"] == "face478@1"
        assert np.array(subject["keypoints"]).shape == (478, 3)


def test_one_bad_picture_of_a_folder(photos: Path, face_bundle: Path, tmp_path: Path) -> None:
    data = (photos / "b.png").read_bytes()
    (photos / "b.png").write_bytes(data[: len(data) // 2])
    out = tmp_path / "annotated"
    done = viewfinder(
        "run", "face", "--source", photos, "--model", face_bundle, "--json", "--out", out
    )
    assert done.returncode == 1
    assert len(done.stdout.splitlines()) == 2
    assert sum("b.png" in line for line in done.stderr.splitlines()) == 1
    assert sorted(path.name for path in out.iterdir()) == ["a.jpg", "c.webp"]
    assert read_image(out / "a.jpg").std() > 5


def test_a_video_into_a_video_and_lines(clip: Path, face_bundle: Path, tmp_path: Path) -> None:
    done = viewfinder(
        "run", "face", "--source", clip, "--model", face_bundle, "--out", tmp_path / "o.mp4"
    )
    assert done.returncode == 0, done.stderr
    assert "12 frames, 12 found" in done.stderr
    assert open_source(tmp_path / "o.mp4").count == 12
    done = viewfinder(
        "run", "face", "--source", clip, "--model", face_bundle, "--out", tmp_path / "o.jsonl"
    )
    lines = [json.loads(line) for line in (tmp_path / "o.jsonl").read_text().splitlines()]
    assert [line["timestamp_us"] for line in lines] == [40_000 * i for i in range(12)]
    assert {line["subjects"][0]["id"] for line in lines} == {0}


def test_bad_input_is_one_line_and_exit_1(
    photos: Path, face_bundle: Path, clip: Path, tmp_path: Path
) -> None:
    (tmp_path / "cut.mp4").write_bytes(clip.read_bytes()[:500])
    flipped = bytearray(face_bundle.read_bytes())
    flipped[len(flipped) // 2] ^= 4
    (tmp_path / "flipped.task").write_bytes(flipped)
    (tmp_path / "cut.jpg").write_bytes((photos / "a.jpg").read_bytes()[:400])
    (tmp_path / "file").write_text("")

    def run(source: object, model: object, *more: object) -> Done:
        return viewfinder("run", "face", "--source", source, "--model", model, *more)

    failed(run(tmp_path / "no.jpg", face_bundle, "--json"), "no.jpg", "no such source")
    failed(run(tmp_path / "cut.jpg", face_bundle, "--json"), "cut.jpg", "truncated or damaged")
    # In a process of its own, where the video library's complaints would show.
    cut = tmp_path / "cut.mp4"
    done = viewfinder_process("run", "face", "--source", cut, "--model", face_bundle, "--json")
    failed(done, "cut.mp4", "can't be opened")
    failed(run(clip, tmp_path / "flipped.task", "--json"), "flipped.task", "damaged")
    failed(run(clip, face_bundle, "--out", tmp_path / "file" / "o.mp4"), "can't make this folder")
    failed(viewfinder("run", "hands", "--source", clip, "--model", face_bundle), "expected hand")


def test_misuse_is_exit_2(clip: Path) -> None:
    done = viewfinder("run", "hand", "--source", clip)
    assert done.returncode == 2
    assert "Did you mean hands?" in done.stderr
    assert "face-detection" in done.stderr
    assert viewfinder("run", "face").returncode == 2
    assert viewfinder("run", "face", "--source", clip, "--max", "0").returncode == 2


def test_a_reader_that_leaves_early_is_no_failure(clip: Path, face_bundle: Path) -> None:
    command = [
        sys.executable, "-c", PROGRAM, "run", "face", "--source", str(clip), "--model",
        str(face_bundle), "--json",
    ]  # fmt: skip
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        complaints = process.stderr.read().decode()
    assert "Traceback" not in complaints
    assert "BrokenPipe" not in complaints


def test_help_loads_nothing_heavy() -> None:
    program = PROGRAM.replace("    app()\n", "    app(['run', '--help'], standalone_mode=False)\n")
    program += (
        "\nheavy = {'cv2', 'numpy', 'ai_edge_litert', 'torch', 'pandas'} & set(sys.modules)\n"
    )
    program += "sys.exit(f'loaded {heavy}' if heavy else 0)\n"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        env=environment,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "--source" in done.stdout


def test_help_lists_every_solution_with_its_variants() -> None:
    told = viewfinder("run", "--help").stdout
    for name, entry in solutions().items():
        line = next(line for line in told.splitlines() if line.startswith(f"│ {name} "))
        assert entry.what in line
        assert ", ".join(entry.variants) in line
    for panel in ("What to look at", "Which model", "What is found", "Where results go"):
        assert panel in told
    run = inspect.signature(make_run()).parameters
    described = {field.name for field in fields(SolutionOptions)}
    aside = {"max_subjects": "most", "iris_diameter_m": "iris_mm", "smoothing": "smooth"}
    assert {aside.get(name, name) for name in described} <= set(run)


def test_two_models_on_the_same_frames(clip: Path, face_bundle: Path, tmp_path: Path) -> None:
    other = shutil.copy(face_bundle, tmp_path / "other.task")
    done = viewfinder(
        "run", "face", "--source", clip, "--model", face_bundle, "--against", other, "--json",
        "--out", tmp_path / "o.mp4",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(lines) == 12
    for line in lines:
        assert line["against"]["subjects"] == line["subjects"]
        assert line["against"]["model"] == "other.task"
        difference = line["against"]["difference"]
        assert difference["mean_px"] == difference["worst_px"] == 0
        assert [pair["id"] for pair in difference["pairs"]] == [0]
    assert "whole.task (first) against other.task (second), 12 frames" in done.stderr
    assert "12 found by both: mean 0.000 px" in done.stderr
    failed(
        viewfinder("run", "face", "--source", clip, "--model", face_bundle, "--against",
                   tmp_path / "no.task", "--json"),
        "no.task",
    )  # fmt: skip


@pytest.mark.usefixtures("mediapipe_models")
def test_a_variant_against_another_lists_the_worst_frames(
    tmp_path: Path, astronaut: np.ndarray
) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    for name, side in (("a.png", 512), ("b.png", 300)):
        write_image(folder / name, np.ascontiguousarray(astronaut[:side, 100 : 100 + side]))
    done = viewfinder(
        "run", "face-detection", "--source", folder, "--models", "mediapipe", "--against",
        "variant:full", "--json",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    worst = [line["against"]["difference"]["worst_px"] for line in lines]
    assert min(worst) > 0.5  # two networks never agree to the pixel
    table = done.stderr[done.stderr.index("worst frames") :]
    assert f"{max(worst):.2f} px" in table
    assert "a.png" in table
    assert "b.png" in table


def test_where_the_time_goes(clip: Path, face_bundle: Path, tmp_path: Path) -> None:
    done = viewfinder(
        "run", "face", "--source", clip, "--model", face_bundle, "--out", tmp_path / "o.jsonl",
        "--trace", tmp_path / "t.json", "--graph-picture", tmp_path / "g.png",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    events = json.loads((tmp_path / "t.json").read_text())["traceEvents"]
    names = [event["name"] for event in events if event["ph"] == "X"]
    assert names.count("landmarks") == 12
    assert "calculator" in done.stderr
    assert read_image(tmp_path / "g.png").std() > 5


def test_wishes_that_contradict_themselves(clip: Path, face_bundle: Path, tmp_path: Path) -> None:
    def run(*more: object) -> Done:
        return viewfinder("run", "face", "--source", clip, "--model", face_bundle, "--json", *more)

    failed(run("--smoothing", "1,2"), "--smoothing", "MIN_CUTOFF,BETA,DCUTOFF")
    failed(run("--smoothing", "0,80,1"), "min_cutoff_hz")
    failed(run("--save-to", tmp_path / "hard"), "viewfinder-live[data]")
    assert run("--serve-port", "70000").returncode == 2


def test_nothing_is_left_behind_by_a_run_that_never_began(
    clip: Path, face_bundle: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    failed(
        viewfinder("run", "face", "--source", clip, "--model", tmp_path / "no.task",
                   "--out", out / "o.mp4"),
        "no.task",
    )  # fmt: skip
    assert list(out.iterdir()) == []


@pytest.mark.usefixtures("mediapipe_models")
def test_mediapipes_face_on_a_portrait(tmp_path: Path, astronaut: np.ndarray) -> None:
    write_image(tmp_path / "astronaut.png", astronaut)
    done = viewfinder(
        "run", "face", "--source", tmp_path / "astronaut.png", "--models", "mediapipe", "--static",
        "--json", "--out", tmp_path / "drawn.png",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    (subject,) = json.loads(done.stdout)["subjects"]
    assert subject["topology"] == "face468@1"
    nose = np.array(subject["keypoints"][4][:2]) * 512
    assert np.linalg.norm(nose - (224, 127)) < 8  # the tip of the nose, looked up in the picture
    changed = np.abs(read_image(tmp_path / "drawn.png").astype(int) - astronaut).max(axis=2) > 40
    rows, columns = np.nonzero(changed)
    assert 40 < rows.min() < rows.max() < 200
    assert 150 < columns.min() < columns.max() < 300
