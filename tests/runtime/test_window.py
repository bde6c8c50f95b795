"""Keys, what they ask for, and what is shown then; once with a real window."""

from __future__ import annotations

import ctypes.util
import json
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from runtime.drawing.result import Look
from runtime.drawing.strokes import Picture
from runtime.errors import ViewfinderError
from runtime.lineup import Lineup, Running
from runtime.results import FrameResult, Subject
from runtime.sources import Frame
from runtime.viewing import window as window
from runtime.viewing.controls import HELP, Action, AgainstView, Controls, action_of_key
from runtime.viewing.viewer import Status, Viewer
from runtime.viewing.window import Window, action_of_code

ROOT = Path(__file__).parents[2]


class Paper:
    """A screen on which keys are pressed by tests."""

    def __init__(self) -> None:
        self.pressed: list[Action] = []
        self.shown: list[tuple[Picture, Status]] = []
        self.closed = False

    def show(self, picture: Picture, status: Status) -> None:
        self.shown.append((picture, status))

    def actions(self) -> Iterable[Action]:
        while self.pressed:
            yield self.pressed.pop(0)

    def close(self) -> None:
        self.closed = True

    @property
    def status(self) -> Status:
        return self.shown[-1][1]


class Named:
    """A solution that finds one subject whose score tells which it is."""

    topology = ""
    models = ()

    def __init__(self, score: float) -> None:
        self.score = score
        self.resets = 0

    def process(self, rgb: np.ndarray, timestamp_us: int) -> list[Subject]:
        points = np.full((6, 2), 0.5, dtype=np.float32)
        return [Subject(0, "", self.score, points, (0.4, 0.4, 0.2, 0.2))]

    def reset(self) -> None:
        self.resets += 1


def grey(number: int) -> Frame:
    picture = np.full((96, 128, 3), number % 200, dtype=np.uint8)
    return Frame(picture, "greys", number, number * 33_000)


class Session:
    """A viewer with two models, on paper."""

    def __init__(self, one_by_one: bool = False, against: bool = False, save=None) -> None:
        self.controls = Controls(2, one_by_one, two=against)
        second = Running("third", Named(0.3), "cc") if against else None
        self.lineup = Lineup(
            [Running("first", Named(0.1), "aa"), Running("second", Named(0.2), "bb")],
            second, self.controls,
        )  # fmt: skip
        self.paper = Paper()
        self.viewer = Viewer(self.controls, [self.paper], Look(), self.lineup.look, save)
        self.taken = 0

    def take(self, count: int = 1) -> bool:
        """Let so many frames come, as the loop does; False if it has to stop or to wait."""
        for _ in range(count):
            if not self.may_take():
                return False
            frame = grey(self.taken)
            self.taken += 1
            if not self.viewer.write(frame, self.lineup.look(frame)):
                return False
        return True

    def may_take(self) -> bool:
        answer: list[bool] = []
        waiting = threading.Thread(target=lambda: answer.append(self.controls.wait()), daemon=True)
        waiting.start()
        waiting.join(0.1)
        if waiting.is_alive():  # let the thread go, without a trace in the controls
            steps, self.controls._steps = self.controls._steps, 1
            waiting.join()
            self.controls._steps = steps
            return False
        return answer[0]

    def press(self, *actions: Action) -> Status:
        self.paper.pressed += actions
        self.viewer.attend()
        return self.paper.status


@pytest.mark.parametrize(
    ("key", "action"),
    [
        (" ", Action.pause), (".", Action.forward), ("right", Action.forward), (",", Action.back),
        ("left", Action.back), ("m", Action.model), ("M", Action.model), ("o", Action.overlays),
        ("b", Action.against), ("s", Action.save), ("h", Action.help), ("?", Action.help),
        ("q", Action.quit), ("\x1b", Action.quit), ("x", None), ("", None),
    ],
)  # fmt: skip
def test_keys(key: str, action: Action | None) -> None:
    assert action_of_key(key) is action


def test_every_action_has_a_key_and_a_line_of_help() -> None:
    keys = [*(chr(code) for code in range(128)), "left", "right"]
    assert {action_of_key(key) for key in keys} == {*Action, None}
    assert len(HELP) == len(Action)


@pytest.mark.parametrize(
    ("code", "any_key", "action"),
    [
        (ord("q"), False, Action.quit),
        (0x100000 | ord("q"), False, Action.quit),  # caps or num lock
        (65361, False, Action.back),
        (65363, False, Action.forward),
        (ord("x"), False, None),
        (ord("x"), True, Action.forward),
        (65505, True, None),  # shift alone
        (27, True, Action.quit),
    ],
)
def test_codes_of_the_window(code: int, any_key: bool, action: Action | None) -> None:
    assert action_of_code(code, any_key) is action


def test_pause_holds_and_a_step_lets_one_frame_through() -> None:
    session = Session()
    assert session.take(3)
    assert session.press(Action.pause).paused
    assert not session.take()
    session.press(Action.forward)
    assert session.take()
    assert not session.take()
    assert session.paper.status.result.frame == 3
    session.press(Action.pause)
    assert session.take(2)
    assert not session.paper.status.paused


def test_looking_back_and_forward_again() -> None:
    session = Session()
    session.take(5)
    status = session.press(Action.back, Action.back)
    assert (status.result.frame, status.back, status.paused) == (2, 2, True)
    assert session.paper.shown[-1][0][-1, -1, 0] == 2
    assert session.press(Action.forward).result.frame == 3
    assert session.press(Action.forward).back == 0
    assert not session.take()  # in the present again, and still paused
    session.press(Action.forward)
    assert session.take()
    assert session.paper.status.result.frame == 5
    session.press(*[Action.back] * 50)
    assert session.paper.status.result.frame == 0
    assert "no frame before" in session.paper.status.message
    assert not session.press(Action.pause).paused
    assert session.take()
    assert (session.paper.status.result.frame, session.paper.status.back) == (6, 0)


def test_what_is_kept_to_look_back_at_is_limited() -> None:
    session = Session()
    large = np.zeros((2000, 2000, 3), dtype=np.uint8)
    for number in range(20):
        frame = Frame(large, "large", number, number * 1000)
        session.viewer.write(frame, session.lineup.look(frame))
    session.press(*[Action.back] * 20)
    assert 11 < session.paper.status.result.frame < 14  # 96 MB


def test_another_model_looks_at_the_frame_on_view() -> None:
    session = Session()
    session.take(3)
    session.press(Action.pause)
    assert session.paper.status.result.model == "first"
    status = session.press(Action.model)
    assert (status.result.model, status.result.frame) == ("second", 2)
    assert status.result.subjects[0].score == 0.2
    session.press(Action.pause)
    session.take()
    assert session.paper.status.result.model == "second"
    session.press(Action.model)  # while running: from the next frame on
    session.take()
    assert session.paper.status.result.model == "first"


def test_a_model_that_cannot_be_loaded_is_said_and_the_other_goes_on() -> None:
    session = Session()

    def refuse(index: int) -> Running:
        raise ViewfinderError("LiteRT can't load this model", file="bad.task")

    session.take()
    session.lineup._opened = refuse  # type: ignore[method-assign]
    session.press(Action.model)
    assert session.take(2)
    assert session.paper.status.result.model == "first"
    assert "bad.task" in session.paper.status.message


def test_overlays_off_shows_the_frame_itself() -> None:
    session = Session()
    session.take()
    assert np.ptp(session.paper.shown[-1][0]) > 0
    session.press(Action.overlays)
    picture, status = session.paper.shown[-1]
    np.testing.assert_array_equal(picture, grey(0).rgb)
    assert not status.overlays


def test_views_of_two_models() -> None:
    session = Session(against=True)
    session.take()
    seen = [session.paper.status.view]
    widths = [session.paper.shown[-1][0].shape[1]]
    for _ in range(len(AgainstView)):
        seen.append(session.press(Action.against).view)
        widths.append(session.paper.shown[-1][0].shape[1])
    assert seen == ["overlaid", "beside", "first", "second", "overlaid"]
    assert widths == [128, 260, 128, 128, 128]
    assert session.paper.status.difference().startswith("mean 0.00 px")
    alone = Session()
    alone.take()
    assert "--against" in alone.press(Action.against).message


def test_frames_are_kept_with_what_every_model_said() -> None:
    kept: list[tuple[Frame, FrameResult]] = []

    def save(frame: Frame, result: FrameResult) -> str:
        kept.append((frame, result))
        return "kept as 1"

    session = Session(against=True, save=save)
    session.take(3)
    session.press(Action.back)
    assert session.press(Action.save).message == "kept as 1"
    ((frame, result),) = kept
    assert frame.index == result.frame == 1
    assert (result.sha256, result.subjects[0].score) == ("aa", 0.1)
    assert result.against is not None
    assert (result.against.sha256, result.against.subjects[0].score) == ("cc", 0.3)


def test_a_frame_that_cannot_be_kept_is_a_message() -> None:
    def save(frame: Frame, result: FrameResult) -> str:
        raise ViewfinderError("the disk is full", file="hard")

    session = Session(save=save)
    session.take()
    assert "the disk is full" in session.press(Action.save).message
    assert "--save-to" in _saved_without_a_place().message


def _saved_without_a_place() -> Status:
    session = Session()
    session.take()
    return session.press(Action.save)


def test_pictures_wait_for_a_key_each() -> None:
    session = Session(one_by_one=True)
    assert session.take()  # the first comes by itself
    assert not session.take()
    session.press(Action.pause)  # space is "next" here
    assert session.take()
    assert not session.take()


def test_quitting_stops_the_loop() -> None:
    session = Session()
    session.take()
    session.press(Action.quit)
    assert not session.take()
    session.viewer.close()
    assert session.paper.closed


def test_a_video_is_shown_no_faster_than_it_was_taken() -> None:
    session = Session()
    session.viewer._pace = True
    start = time.monotonic()
    session.take(7)
    assert 0.19 < time.monotonic() - start < 3.0  # six gaps of 33 ms
    # A gap in a clip's timestamps isn't sat out.
    far = replace(grey(8), timestamp_us=10**9)
    start = time.monotonic()
    session.viewer.write(far, session.lineup.look(far))
    assert time.monotonic() - start < 5.0


def test_a_pause_does_not_count_as_slowness() -> None:
    session = Session()
    session.viewer._pace = True
    session.take(10)
    before = session.paper.status.fps
    assert 3 < before < 31
    session.press(Action.pause)
    time.sleep(0.5)
    session.press(Action.pause)
    session.take(2)
    assert session.paper.status.fps > 0.7 * before


def test_the_last_frame_stays_until_the_person_quits() -> None:
    session = Session()
    session.controls.stay = True
    session.take(2)
    ended = threading.Thread(target=session.controls.source_ended)
    ended.start()
    time.sleep(0.05)
    assert ended.is_alive()
    assert session.paper.status.paused
    session.paper.pressed = [Action.back]
    time.sleep(0.1)
    assert session.paper.status.back == 1
    session.paper.pressed = [Action.quit]
    ended.join(1)
    assert not ended.is_alive()


def test_no_screen_is_one_clear_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(window.sys, "platform", "linux")
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    with pytest.raises(ViewfinderError, match=r"no screen.*--serve.*--out"):
        Window()


def test_a_person_at_a_real_window(tmp_path: Path, face_bundle: Path) -> None:
    if shutil.which("xvfb-run") is None or ctypes.util.find_library("Xtst") is None:
        pytest.skip("needs xvfb-run and libXtst (apt install xvfb libxtst6)")
    clip = tmp_path / "six_seconds.mp4"
    writer = cv2.VideoWriter(str(clip), cv2.VideoWriter.fourcc(*"mp4v"), 10.0, (160, 120))
    for _ in range(60):
        writer.write(np.full((120, 160, 3), 90, dtype=np.uint8))
    writer.release()
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "QT_LOGGING_RULES": "*=false"}
    done = subprocess.run(
        ["xvfb-run", "-a", sys.executable, str(Path(__file__).with_name("window_session.py")),
         str(clip), str(face_bundle)],
        capture_output=True, text=True, env=environment, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout.splitlines()[-1])
    assert told["code"] == 0
    assert told["saved"] == [told["last"]]
    assert told["last"] < 59  # it was paused, not played to its end
