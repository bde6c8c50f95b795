"""Live sources: threaded, dropped frames counted, survived interruptions, the delayed view."""

from __future__ import annotations

import gc
import json
import signal
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.delayed import DelayedView, Presentation, between, subjects_between
from runtime.errors import Notice, ViewfinderError
from runtime.graph.trace import Tracer
from runtime.lineup import looking_with
from runtime.live import Outcome, run_source
from runtime.results import FrameResult, Subject
from runtime.sources import Frame, Report, Source, open_source
from runtime.viewing.controls import Action, Controls
from tests.runtime.test_sources import JpegStream

Change = Callable[[Frame], Frame | BaseException]


class Camera:
    """A pretended camera: a dot that moves evenly, so many frames a second."""

    name, pictures, live, count = "camera", False, True, None

    def __init__(self, frames: int, fps: float = 200.0, change: Change = lambda frame: frame):
        self.left, self.fps, self.change = frames, fps, change
        self.stopped = threading.Event()

    def frames(self, report: Report) -> Iterator[Frame]:
        due = time.monotonic()
        for index in range(self.left):
            if self.stopped.is_set():
                return
            rgb = np.zeros((20, 500, 3), dtype=np.uint8)
            rgb[10, 2 * index % 500] = 255
            made = self.change(Frame(rgb, "camera", index, round(index * 1e6 / self.fps)))
            if isinstance(made, Notice):
                report(made)
            elif isinstance(made, BaseException):
                raise made
            else:
                yield made
            due += 1 / self.fps
            time.sleep(max(0.0, due - time.monotonic()))

    def stop(self) -> None:
        self.stopped.set()


class Dot:
    """Finds the dot, and takes its time."""

    topology, models = "hand21@1", ()

    def __init__(self, seconds: float = 0.0) -> None:
        self.seconds = seconds
        self.threads: set[str] = set()
        self.resets = 0
        self.next_id = 0

    def process(self, rgb: np.ndarray, timestamp_us: int) -> list[Subject]:
        self.threads.add(threading.current_thread().name)
        time.sleep(self.seconds)
        x = (float(rgb[10, :, 0].argmax()) + 0.5) / rgb.shape[1]
        return [dot(x)]

    def reset(self) -> None:
        self.resets += 1


def dot(x: float, subject_id: int = 0) -> Subject:
    points = np.full((21, 3), x, dtype=np.float32)
    return Subject(subject_id, "hand21@1", 0.9, points, (x, x, 0.1, 0.1), world_m=points.copy())


class Watching:
    def __init__(self, act: Callable[[int], bool] = lambda number: True) -> None:
        self.frames: list[Frame] = []
        self.results: list[FrameResult] = []
        self.times: list[float] = []
        self.act = act
        self.failed: list[bool] = []

    def write(self, frame: Frame, result: FrameResult) -> bool:
        self.frames.append(frame)
        self.results.append(result)
        self.times.append(time.monotonic())
        return self.act(len(self.frames))

    def close(self, failed: bool = False) -> None:
        self.failed.append(failed)


def run(source: Source, solution: object, sink: Watching, **more: object) -> Outcome:
    report = more.pop("report", lambda error: pytest.fail(str(error)))
    before = threading.active_count()
    outcome = run_source(source, looking_with(solution).look, [sink], report, **more)
    assert threading.active_count() <= before
    return outcome


def rises(numbers: list[int]) -> bool:
    return numbers == sorted(set(numbers))


def test_looking_goes_on_in_a_thread_and_every_frame_counts() -> None:
    solution, sink = Dot(0.02), Watching()
    outcome = run(Camera(60), solution, sink)
    assert solution.threads == {"camera 1"}
    assert outcome.frames == len(sink.frames) < 40
    assert outcome.frames + outcome.dropped == 60
    assert outcome.longest_queue == 1
    assert rises([result.timestamp_us for result in sink.results])
    # What each line says was dropped adds up, and the newest came through.
    assert sum(1 + result.dropped for result in sink.results) == 60
    assert sink.frames[-1].index == 59
    for frame, result in zip(sink.frames, sink.results):
        assert result.frame == frame.index
        assert result.subjects[0].keypoints[0, 0] == pytest.approx((2 * frame.index + 0.5) / 500)


def test_an_error_while_looking_ends_it_as_one_error() -> None:
    class Fails(Dot):
        def process(self, rgb: np.ndarray, timestamp_us: int) -> list[Subject]:
            if timestamp_us > 20_000:
                raise ViewfinderError("no more", file="model.task")
            return super().process(rgb, timestamp_us)

    sink = Watching()
    with pytest.raises(ViewfinderError, match=r"^model\.task: no more"):
        run(Camera(999), Fails(), sink)
    assert sink.failed == [True]
    assert sink.frames


def test_an_error_of_the_source_comes_out_too() -> None:
    def breaks(frame: Frame) -> Frame | BaseException:
        return RuntimeError("driver") if frame.index == 5 else frame

    with pytest.raises(RuntimeError, match="driver"):
        run(Camera(9, change=breaks), Dot(), Watching())


def test_ctrl_c_and_a_sink_that_has_enough_end_it() -> None:
    def interrupt(number: int) -> bool:
        if number == 3:
            raise KeyboardInterrupt
        return True

    sink = Watching(interrupt)
    outcome = run(Camera(10**6), Dot(), sink)
    assert outcome.interrupted
    assert sink.failed == [False]
    enough = Watching(lambda number: number < 4)
    outcome = run(Camera(10**6), Dot(), enough)
    assert (outcome.frames, outcome.interrupted) == (4, False)


@pytest.mark.parametrize("live", [False, True])
def test_odd_timestamps_are_survived(live: bool) -> None:
    def odd(frame: Frame) -> Frame | BaseException:
        # 0 1 2 2 4 5 6 | 0 1 2: one repeated, then the clock is set back.
        times = [0, 1, 2, 2, 4, 5, 6, 0, 1, 2]
        return replace(frame, timestamp_us=1000 * times[frame.index])

    camera, solution, sink = Camera(10, 50.0, odd), Dot(), Watching()
    camera.live = live  # type: ignore[misc]
    outcome = run(camera, solution, sink)
    times = [result.timestamp_us for result in sink.results]
    wanted = [0, 1000, 2000, 4000, 5000, 6000, 7000, 8000, 9000]
    if live:  # a busy machine may drop some
        assert rises(times)
        assert set(times) <= set(wanted)
        assert times[-1] == 9000
    else:
        assert times == wanted
    assert (outcome.frames, outcome.dropped) == (len(times), 10 - len(times))
    assert solution.resets == 1


def test_a_source_that_was_away_starts_anew_even_if_its_first_frame_was_dropped() -> None:
    def away(frame: Frame) -> Frame:
        return replace(frame, restarted=frame.index == 20)

    solution, sink = Dot(0.03), Watching()
    run(Camera(40, change=away), solution, sink)
    assert solution.resets == 1
    told = [frame.index for frame in sink.frames if frame.index >= 20]
    assert 20 not in told or told[0] == 20


def test_what_was_got_over_is_told_but_no_problem() -> None:
    def away(frame: Frame) -> Frame | BaseException:
        return Notice("it has gone", file="camera") if frame.index == 3 else frame

    told: list[str] = []
    outcome = run(
        Camera(9, change=away), Dot(), Watching(), report=lambda error: told.append(str(error))
    )
    assert told == ["camera: it has gone"]
    assert outcome.problems == 0


@pytest.mark.parametrize("delayed", [False, True])
def test_pause_step_and_quit(delayed: bool) -> None:
    controls = Controls()
    acts: dict[int, Action] = {3: Action.pause}

    def act(number: int) -> bool:
        if number in acts:
            controls.do(acts[number])
        return True

    sink = Watching(act)
    seen: list[int] = []

    def person() -> None:
        while len(sink.frames) < 3:
            time.sleep(0.01)
        time.sleep(0.15)
        seen.append(len(sink.frames))
        controls.do(Action.forward)
        time.sleep(0.15)
        seen.append(len(sink.frames))
        controls.do(Action.pause)
        time.sleep(0.15)
        seen.append(len(sink.frames))
        controls.do(Action.quit)

    hand = threading.Thread(target=person)
    hand.start()
    outcome = run_source(
        Camera(10**6), looking_with(Dot()).look, [sink], pytest.fail, None, controls,
        delayed=delayed,
    )  # fmt: skip
    hand.join()
    assert seen[:2] == [3, 4]
    assert seen[2] > 6
    assert not outcome.interrupted
    assert rises([result.timestamp_us for result in sink.results])
    assert sum(1 + result.dropped for result in sink.results) <= outcome.frames + outcome.dropped


def test_the_last_frame_stays_until_the_person_quits() -> None:
    controls = Controls(stay=True)
    threading.Timer(0.2, controls.do, (Action.quit,)).start()
    start = time.monotonic()
    outcome = run(Camera(3), Dot(), Watching(), controls=controls)
    assert time.monotonic() - start > 0.15
    assert outcome.frames == 3


def test_the_delayed_view_shows_every_frame_with_what_is_in_it() -> None:
    solution, sink = Dot(0.045), Watching()
    outcome = run(Camera(100, 100.0), solution, sink, delayed=True)
    looked_at = [result for result in sink.results if not result.interpolated]
    assert len(looked_at) < 40
    assert outcome.interpolated == outcome.frames - len(looked_at)
    assert outcome.frames + outcome.dropped == 100
    assert outcome.frames > 85  # at nearly the camera's rate, on a busy machine
    assert rises([frame.index for frame in sink.frames])
    assert sum(1 + result.dropped for result in sink.results) == 100
    for frame, result in zip(sink.frames, sink.results):
        assert result.frame == frame.index
        (subject,) = result.subjects
        # The dot moves evenly, so what lies between two results is where it is.
        where = (2 * frame.index + 0.5) / 500
        np.testing.assert_allclose(subject.keypoints, where, atol=1e-6)
        np.testing.assert_allclose(subject.world_m, where, atol=1e-6)
        assert subject.box == pytest.approx((where, where, 0.1, 0.1))
    # Shown evenly, not in bursts after each result.
    gaps = np.diff(sink.times[10:])
    assert np.median(gaps) == pytest.approx(0.01, abs=0.004)


def frame(number: int, pixels: int = 100) -> Frame:
    return Frame(np.zeros((1, pixels, 3), np.uint8), "s", number, 1000 * number)


def result(number: int, *subjects: Subject) -> FrameResult:
    return FrameResult("s", number, 1000 * number, 100, 1, 0, subjects)


def test_held_pictures_are_bounded_and_thinned_evenly() -> None:
    view = DelayedView(most_bytes=3000)  # ten pictures
    view.known(frame(0), result(0))
    for number in range(1, 100):
        view.hold(frame(number))
        assert view.held_bytes <= 3000
    shown = view.known(frame(99), result(99))
    numbers = [one.index for one, _ in shown]
    assert rises(numbers)
    assert numbers[-1] == 99
    assert len(numbers) >= 5
    assert view.held_bytes == 0


def test_nothing_is_made_up_across_a_restart_or_before_the_first_result() -> None:
    view = DelayedView()
    for number in range(3):
        view.hold(frame(number))
    assert [one.index for one, _ in view.known(frame(1), result(1))] == [1]
    assert [one.index for one, _ in view.known(frame(2), result(2))] == [2]
    view.hold(frame(3))
    again = replace(frame(4), restarted=True)
    view.hold(again)
    assert [one.index for one, _ in view.known(again, result(4))] == [4]
    view.hold(replace(frame(6), restarted=True))  # it was dropped
    for number in (5, 7, 8):
        view.hold(frame(number))
    assert [one.index for one, _ in view.known(frame(8), result(8))] == [8]
    view.hold(frame(9))
    assert [one.index for one, _ in view.known(frame(10), result(10))] == [9, 10]


@given(st.floats(0, 1), st.floats(-1, 2), st.floats(-1, 2))
def test_subjects_are_interpolated_by_id(part: float, x0: float, x1: float) -> None:
    before = [
        dot(x0, 3),
        dot(0.1, 4),
        Subject(0, "", 1.0, np.zeros((6, 2), np.float32), (0, 0, 1, 1)),
    ]
    after = [
        dot(0.7, 5),
        dot(x1, 3),
        Subject(0, "", 1.0, np.zeros((6, 2), np.float32), (5, 5, 1, 1)),
    ]
    (subject,) = subjects_between(before, after, part)
    assert subject.id == 3
    np.testing.assert_allclose(subject.keypoints, x0 + (x1 - x0) * part, atol=1e-5)
    assert subject.handedness is None


def test_numbers_of_every_kind_lie_between() -> None:
    a = replace(
        dot(0.0), iris={"left_depth_m": 0.4}, blendshapes={"jawOpen": 0.0}, handedness="left",
        cuboid={"keypoints": [[0.0, 0.0]], "rotation": [1.0] * 9, "translation_m": [0, 0, 1],
                "size_m": [1, 1, 1], "scale": "metric"},
    )  # fmt: skip
    b = replace(
        dot(1.0), iris={"left_depth_m": 0.8}, blendshapes={"jawOpen": 1.0}, handedness="right",
        cuboid={"keypoints": [[1.0, 2.0]], "rotation": [2.0] * 9, "translation_m": [0, 0, 2],
                "size_m": [1, 1, 3], "scale": "metric"},
    )  # fmt: skip
    (middle,) = subjects_between([a], [b], 0.25)
    assert middle.iris == pytest.approx({"left_depth_m": 0.5})
    assert middle.blendshapes == pytest.approx({"jawOpen": 0.25})
    assert middle.handedness == "left"
    assert middle.cuboid == {
        "keypoints": [[0.25, 0.5]], "rotation": [1.0] * 9, "translation_m": [0, 0, 1.25],
        "size_m": [1, 1, 1.5], "scale": "metric",
    }  # fmt: skip
    shown = between(result(0, a), result(4, b), frame(1))
    assert (shown.frame, shown.timestamp_us, shown.interpolated) == (1, 1000, True)
    assert '"interpolated": true' in shown.to_json_line()


def test_presentation_paces_and_skips_what_is_overdue() -> None:
    now = [100.0]
    waiting = Presentation(lambda: now[0])
    assert waiting.next_in() is None
    waiting.add([(frame(0), result(0))])
    assert waiting.due() is not None
    now[0] += 0.010
    waiting.add([(frame(number), result(number)) for number in range(1, 6)])  # 9 ms late
    assert [one[0].index for one in [waiting.due()] if one] == [1]
    assert waiting.due() is None
    assert waiting.next_in() == pytest.approx(0.001)
    now[0] += 0.0011
    assert [one[0].index for one in [waiting.due()] if one] == [2]
    now[0] += 0.5
    assert [one[0].index for one in [waiting.due()] if one] == [5]
    assert waiting.waiting == 0


@pytest.mark.parametrize("delayed", [False, True])
def test_nothing_waits_for_the_garbage_collector(delayed: bool) -> None:
    """Models and pictures are large: what is closed is let go of at once."""
    solution = Dot(0.002)
    alive, frames = weakref.ref(solution), list[weakref.ref[Frame]]()

    def seen(frame: Frame) -> Frame:
        frames.append(weakref.ref(frame))
        return frame

    gc.collect()
    gc.disable()
    try:
        run(Camera(30, change=seen), solution, Watching(lambda number: number < 5), delayed=delayed)
        del solution
        assert alive() is None
        assert [one().index for one in frames if one() is not None] == []
    finally:
        gc.enable()


def test_the_trace_has_looking_showing_and_drops() -> None:
    tracer = Tracer()
    outcome = run(Camera(40), Dot(0.02), Watching(), tracer=tracer)
    times = {one.name: one for one in tracer.times()}
    assert times["look"].calls == times["show"].calls == outcome.frames
    assert times["flow limiter"].dropped == outcome.dropped
    assert times["look"].p50_ms > 19


def test_a_network_camera_that_comes_back_starts_anew() -> None:
    stream = JpegStream()
    source = open_source(f"http://127.0.0.1:{stream.port}/video")
    again: list[JpegStream] = []
    told: list[str] = []
    solution = Dot()

    def act(number: int) -> bool:
        if number == 5:
            stream.go_away()
            threading.Timer(0.5, lambda: again.append(JpegStream(stream.port))).start()
        return solution.resets == 0 or number < 50

    sink = Watching(act)
    outcome = run(source, solution, sink, report=lambda error: told.append(str(error)))
    again[0].go_away()
    assert solution.resets == 1
    assert outcome.problems == 0
    assert len(told) == 2
    assert rises([result.timestamp_us for result in sink.results])


def test_viewfinder_run_survives_a_camera_that_was_away_and_ends_by_ctrl_c(
    face_bundle: Path,
) -> None:
    stream = JpegStream()
    command = [sys.executable, "-c", "import viewfinder; viewfinder.main()", "run", "face",
               "--source", f"http://127.0.0.1:{stream.port}/video", "--model", face_bundle,
               "--json"]  # fmt: skip
    process = subprocess.Popen(
        list(map(str, command)), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        cwd=Path(__file__).parents[2],
    )  # fmt: skip
    assert process.stdout is not None
    try:
        lines = [json.loads(process.stdout.readline()) for _ in range(5)]
        stream.go_away()
        time.sleep(0.3)
        stream = JpegStream(stream.port)
        deadline = time.monotonic() + 20
        # The new stream's first frames come after what the old one still had under way.
        while lines[-1]["timestamp_us"] - lines[-2]["timestamp_us"] < 250_000:
            lines.append(json.loads(process.stdout.readline()))
            assert time.monotonic() < deadline
        lines += [json.loads(process.stdout.readline()) for _ in range(5)]
        process.send_signal(signal.SIGINT)
        _, told = process.communicate(timeout=20)
    finally:
        process.kill()
        stream.go_away()
    assert process.returncode == 0
    assert rises([line["timestamp_us"] for line in lines])
    assert all(line["subjects"] for line in lines)
    gone, back = told.splitlines()
    assert gone.endswith("it has gone; trying to open it again")
    assert "it is back after" in back
