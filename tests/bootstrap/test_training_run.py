"""Whole trainings: they learn, stop, resume exactly, and refuse what can't work."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from typer.testing import CliRunner

from bootstrap.chart import BOTTOM, HEIGHT, MARK
from bootstrap.networks import NETWORKS
from bootstrap.training.commands import _resume_command, train_app
from bootstrap.training.curve import curve
from bootstrap.training.report import Status, on_board, read_log
from bootstrap.training.subjects import load_training_data
from bootstrap.training.teaching import teaching_of
from bootstrap.training.train import TrainSettings, checkpoint_path, log_path, train
from runtime.errors import ViewfinderError
from runtime.topology import topology
from tests.bootstrap.drawn_subjects import write_drawn_dataset


@pytest.fixture(scope="module")
def hands(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("hands")
    write_drawn_dataset(root, "hand", 8, size=96)
    return root


@pytest.fixture(scope="module")
def faces(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("faces")
    write_drawn_dataset(root, "face", 8, size=160)
    return root


def after(steps: int) -> Callable[[], bool]:
    """A `stop` that lets so many steps happen."""
    asked = iter(range(steps + 1))
    return lambda: next(asked) >= steps


class Heard:
    def __init__(self) -> None:
        self.statuses: list[Status] = []
        self.messages: list[str] = []

    def update(self, status: Status) -> None:
        self.statuses.append(status)

    def message(self, text: str) -> None:
        self.messages.append(text)


def settings_for(data: Path, out: Path, **changes: object) -> TrainSettings:
    base = TrainSettings("hand", (data,), out, steps=100, batch=2, seed=3, threads=1)
    return replace(base, **changes)  # type: ignore[arg-type]


def test_a_resumed_training_equals_the_uninterrupted_one(hands: Path, tmp_path: Path) -> None:
    whole = settings_for(hands, tmp_path / "whole.task")
    parts = settings_for(hands, tmp_path / "parts.task")
    assert train(whole, stop=after(6)).steps == 6
    assert train(parts, stop=after(2)).out is None
    assert train(replace(parts, resume=True), stop=after(4)).steps == 6
    expected = load_file(checkpoint_path(whole.out))
    found = load_file(checkpoint_path(parts.out))
    assert found.keys() == expected.keys()
    different = [name for name in expected if not torch.equal(found[name], expected[name])]
    assert different == []
    other = settings_for(hands, tmp_path / "other.task", seed=4)
    train(other, stop=after(6))
    changed = load_file(checkpoint_path(other.out))
    assert not torch.equal(changed["network.presence.weight"], expected["network.presence.weight"])


KILLED = """
import os, signal, sys
from pathlib import Path
import bootstrap.training.loop as loop
from tests.bootstrap.test_training_run import settings_for
from bootstrap.training.train import train

class Killer:
    def update(self, status):
        if status.step >= 4:
            os.kill(os.getpid(), signal.SIGKILL)
    def message(self, text): pass

loop.CHECKPOINT_EVERY_S = 0.0
loop.REPORT_EVERY_S = 0.0
asked = iter(range(9))
if sys.argv[3] == "killed":
    train(settings_for(Path(sys.argv[1]), Path(sys.argv[2])), Killer())
else:
    train(settings_for(Path(sys.argv[1]), Path(sys.argv[2])), stop=lambda: next(asked) >= 6)
"""


def test_killed_and_resumed_the_weights_are_those_of_an_uninterrupted_training(
    hands: Path, tmp_path: Path
) -> None:
    killed = settings_for(hands, tmp_path / "killed.task")
    # Both start in a process of their own: the mean shape of the start depends on how many threads
    # OpenBLAS had when NumPy was loaded.
    words = [sys.executable, "-c", KILLED, str(hands)]
    done = subprocess.run([*words, str(killed.out), "killed"], check=False)
    assert done.returncode == -signal.SIGKILL
    assert not killed.out.exists()
    assert train(replace(killed, resume=True), stop=after(3)).steps == 6  # killed after 3
    whole = settings_for(hands, tmp_path / "whole.task")
    subprocess.run([*words, str(whole.out), "whole"], check=True)
    expected, found = (load_file(checkpoint_path(s.out)) for s in (whole, killed))
    assert [name for name in expected if not torch.equal(found[name], expected[name])] == []


def test_a_loss_that_is_no_number_keeps_the_last_good_checkpoint(
    hands: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from bootstrap.training import teaching

    settings = settings_for(hands, tmp_path / "x.task")
    train(settings, stop=after(2))
    good = checkpoint_path(settings.out).read_bytes()
    real, calls = teaching.landmark_losses, iter(range(100))

    def diverging(network: object, batch: object) -> dict[str, torch.Tensor]:
        parts = real(network, batch)  # type: ignore[arg-type]
        return {k: v * float("inf" if next(calls) > 6 else 1) for k, v in parts.items()}

    monkeypatch.setattr(teaching, "landmark_losses", diverging)
    with pytest.raises(ViewfinderError, match="isn't a number any more") as error:
        train(replace(settings, resume=True))
    assert "step" in str(error.value)
    assert checkpoint_path(settings.out).read_bytes() == good
    monkeypatch.undo()
    assert train(replace(settings, resume=True), stop=after(1)).steps == 3


def test_curves_for_tensorboard_say_what_the_log_says(hands: Path, tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    settings = settings_for(hands, tmp_path / "x.task", steps=20)
    with on_board(tmp_path / "board", Heard()) as reporter:
        train(settings, reporter, stop=after(12))
    events = EventAccumulator(str(tmp_path / "board"))
    events.Reload()
    lines = read_log(log_path(settings.out))
    assert [e.step for e in events.Scalars("loss/loss")] == [line["step"] for line in lines]
    for event, line in zip(events.Scalars("loss/xy"), lines):
        assert event.value == pytest.approx(line["loss"]["xy"], rel=1e-5)
    heard = Heard()
    with on_board(None, heard) as same:
        assert same is heard


def test_the_worst_examples_are_drawn_worst_first(faces: Path, hands: Path) -> None:
    torch.set_num_threads(1)
    for name, folder in (("face", faces), ("palm-detector", hands)):
        data = load_training_data([folder], topology(NETWORKS[name].topology_id))
        lessons = teaching_of(name, replace(data, val=data.train))
        network = lessons.new_network(0)
        picture = lessons.worst(network, lessons.validation(5))
        colours = {tuple(c) for c in picture.reshape(-1, 3).tolist()}
        assert (0, 230, 150) in colours  # the labels'
        assert picture.shape[0] > 2 * 288


def test_a_training_learns(faces: Path, tmp_path: Path) -> None:
    """On crops of the pictures it is trained on, in 40 steps, better than the mean shape."""
    torch.set_num_threads(1)  # two on a busy machine wait for each other
    from bootstrap.training.loop import Loop
    from bootstrap.training.report import Log, Silent
    from bootstrap.training.teaching import LandmarkTeaching

    data = load_training_data([faces], topology("face478@1"))
    teaching = LandmarkTeaching("face", data)
    network = teaching.new_network(0)
    crops = LandmarkTeaching("face", replace(data, val=data.train)).validation(64)
    loop = Loop(
        network, teaching, crops, 8, 40, None, {}, tmp_path / "c.safetensors", Silent(),
        lambda: False,
    )  # fmt: skip
    before = float(teaching.errors(network, crops).mean())
    batches = teaching.batches(8, 0, 0)
    log = Log(tmp_path / "l.jsonl")
    try:
        loop.run(batches, log)
    finally:
        batches.close()
        log.close()
    assert loop.finished
    assert before < 0.6, "the mean shape is a sensible start"
    assert float(loop.validation_errors.mean()) < 0.85 * before
    lines = read_log(tmp_path / "l.jsonl")
    assert sum(line["validation_error"] is not None for line in lines) == 10
    assert lines[-1]["step"] == 40
    assert lines[-1]["loss"]["xy"] < lines[0]["loss"]["xy"]


def test_minutes_end_a_training(hands: Path, tmp_path: Path) -> None:
    settings = settings_for(hands, tmp_path / "a.task", steps=None, minutes=10.0)
    heard = Heard()
    begun: list[float] = []

    def stop() -> bool:  # from the first step on: on a busy machine loading takes seconds
        begun[:] = begun or [time.monotonic()]
        return time.monotonic() - begun[0] > 3 and bool(heard.statuses)

    train(settings, heard, stop=stop)
    progress = json.loads(_progress(checkpoint_path(settings.out)))
    assert 0 < progress["elapsed_s"] < 60
    assert not progress["finished"]
    assert heard.statuses[-1].fraction == pytest.approx(heard.statuses[-1].elapsed_s / 600, rel=0.2)
    assert "6 subjects to train on, 2 to validate with" in heard.messages[0]


def _progress(path: Path) -> str:
    from safetensors import safe_open

    with safe_open(path, "pt") as file:
        return str(file.metadata()["progress"])


# -- bad input ----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def stopped(hands: Path, tmp_path_factory: pytest.TempPathFactory) -> TrainSettings:
    settings = settings_for(hands, tmp_path_factory.mktemp("stopped") / "m.task")
    train(settings, stop=after(1))
    return settings


def damaged(data: bytes, how: str) -> bytes:
    if how == "truncated":
        return data[: len(data) // 2]
    if how == "empty":
        return b""
    if how == "not safetensors":
        return b"PK\x03\x04" + data[4:]
    changed = bytearray(data)
    at = data.index(b'"network.presence.weight"') + 9
    changed[at : at + 8] = b"PRESENCE"
    return bytes(changed)


@pytest.mark.parametrize("how", ["truncated", "empty", "not safetensors", "another network"])
def test_a_damaged_checkpoint(stopped: TrainSettings, tmp_path: Path, how: str) -> None:
    here = replace(stopped, out=tmp_path / "m.task", resume=True)
    whole = checkpoint_path(stopped.out).read_bytes()
    checkpoint_path(here.out).write_bytes(damaged(whole, how))
    with pytest.raises(ViewfinderError, match=r"m\.checkpoint\.safetensors.*damaged"):
        train(here)


def test_another_trainings_checkpoint(stopped: TrainSettings) -> None:
    with pytest.raises(ViewfinderError, match=r"\[seed\].*another training; expected 9; found 3"):
        train(replace(stopped, seed=9, resume=True))


def test_nothing_to_resume(hands: Path, tmp_path: Path) -> None:
    with pytest.raises(ViewfinderError, match="no checkpoint to resume from"):
        train(settings_for(hands, tmp_path / "m.task", resume=True))


def test_an_unwritable_place(hands: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(ViewfinderError, match=r"file/m\.task \[--out\]: can't write there"):
        train(settings_for(hands, tmp_path / "file" / "m.task"))


def test_wrong_options(hands: Path, tmp_path: Path) -> None:
    good = settings_for(hands, tmp_path / "m.task")
    with pytest.raises(ViewfinderError, match=r"ends in \.task"):
        train(replace(good, out=tmp_path / "m.tflite"))
    with pytest.raises(ViewfinderError, match="one of --minutes and --steps"):
        train(replace(good, minutes=1.0))
    with pytest.raises(ViewfinderError, match="isn't a data set"):
        train(replace(good, data=(tmp_path,)))
    with pytest.raises(ViewfinderError, match=r"no labelled subject.*face478"):
        train(replace(good, network="face"))


def test_a_parent_that_was_not_trained_here(hands: Path, tmp_path: Path) -> None:
    parent = tmp_path / "p.tflite"
    parent.write_bytes(b"\0\0\0\0TFL3 not really")
    with pytest.raises(ViewfinderError, match="no weights to start from"):
        train(settings_for(hands, tmp_path / "m.task", start_from=parent))


def test_threads_and_opencv_are_as_before(hands: Path, tmp_path: Path) -> None:
    import cv2

    before = torch.get_num_threads(), cv2.getNumThreads()
    train(settings_for(hands, tmp_path / "m.task"), stop=after(1))
    assert (torch.get_num_threads(), cv2.getNumThreads()) == before


# -- the command --------------------------------------------------------------------------


def test_help_teaches() -> None:
    result = CliRunner().invoke(train_app, ["face", "--help"], env={"COLUMNS": "200"})
    assert result.exit_code == 0
    for word in ("--data", "--from", "--minutes", "--resume", "Example: viewfinder train face"):
        assert word in result.output


def test_the_resume_command_repeats_every_option(hands: Path, tmp_path: Path) -> None:
    settings = replace(
        settings_for(hands, tmp_path / "a b.task"), start_from=Path("p.task"), batch=4
    )
    words = _resume_command(settings)
    assert words.startswith("viewfinder train hand --data")
    for part in (f"'{tmp_path}/a b.task'", "--from p.task", "--steps 100", "--batch 4", "--seed 3"):
        assert part in words
    assert words.endswith("--resume")


def test_ctrl_c_stops_cleanly_and_says_how_to_resume(hands: Path, tmp_path: Path) -> None:
    out = tmp_path / "m.task"
    code = "from bootstrap.training.commands import train_app; train_app()"
    process = subprocess.Popen(
        [sys.executable, "-c", code, "hand", "--data", str(hands), "--out", str(out),
         "--steps", "100000", "--batch", "2", "--threads", "1"],
        stderr=subprocess.PIPE, text=True, env={**os.environ, "COLUMNS": "200"},
    )  # fmt: skip
    try:
        deadline = time.monotonic() + 60
        while not (log_path(out).is_file() and log_path(out).read_text()):
            assert process.poll() is None, process.stderr and process.stderr.read()
            assert time.monotonic() < deadline
            time.sleep(0.1)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 1, errors
    assert "Traceback" not in errors
    assert "nothing is lost" in errors
    assert f"--out {out} --steps 100000" in errors
    assert json.loads(_progress(checkpoint_path(out)))["step"] > 0
    assert not out.exists()


def test_threads_of_the_command_wait_patiently() -> None:
    """The setting must come before torch, which the command's module must not have loaded."""
    code = (
        "import sys; from bootstrap.training.commands import train_app;"
        "assert 'torch' not in sys.modules and 'cv2' not in sys.modules;"
        "from bootstrap.training.process import wait_patiently, keep_large_blocks;"
        "assert wait_patiently(); import os;"
        "assert os.environ['OMP_WAIT_POLICY'] == 'PASSIVE';"
        "import torch; assert not wait_patiently();"
        "import platform; assert keep_large_blocks() == (platform.libc_ver()[0] == 'glibc')"
    )
    environment = {k: v for k, v in os.environ.items() if k != "OMP_WAIT_POLICY"}
    subprocess.run([sys.executable, "-c", code], check=True, env=environment)


@pytest.mark.long
@pytest.mark.timeout(1200)
def test_a_fuller_training_reaches_a_useful_error(tmp_path: Path) -> None:
    write_drawn_dataset(tmp_path / "faces", "face", 160)
    settings = TrainSettings(
        "face", (tmp_path / "faces",), tmp_path / "m.task", steps=2000, batch=16
    )
    result = train(settings)
    assert result.validation_error is not None
    assert result.validation_error.mean < 0.07
    presence = [line["loss"]["presence"] for line in read_log(result.log)[-20:]]
    assert np.mean(presence) < 0.1


def test_a_curve_needs_two_measurements_and_falls_with_the_error(tmp_path: Path) -> None:
    log = tmp_path / "m.log.jsonl"

    def written(errors: list[float | None]) -> np.ndarray | None:
        lines = [{"elapsed_s": 60.0 * i, "validation_error": e} for i, e in enumerate(errors)]
        log.write_text("".join(json.dumps(line) + "\n" for line in lines))
        return curve(log, "face")

    assert written([None, 0.3]) is None
    picture = written([0.4, None, 0.3, 0.1])
    assert picture is not None
    ys, xs = np.nonzero((picture == MARK).all(axis=2))
    left, right = ys[xs < xs.min() + 8], ys[xs > xs.max() - 8]
    low = picture.shape[0] * (1 - BOTTOM / HEIGHT)  # where 0 % is
    assert (low - left.mean()) / (low - right.mean()) == pytest.approx(4.0, rel=0.1)
