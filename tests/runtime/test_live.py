"""The loop and its sinks."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from runtime.errors import ViewfinderError
from runtime.image import read_image, write_image
from runtime.lineup import looking_with
from runtime.live import run_source
from runtime.results import FrameResult, Subject
from runtime.sinks import LineSink, VideoSink, open_sinks
from runtime.sources import Frame, Report, open_source


class Greys:
    """So many frames of rising grey, with trouble at one of them."""

    name, pictures, live, fps = "greys", False, False, 30.0

    def __init__(self, count: int, trouble: dict[int, BaseException] | None = None) -> None:
        self.count: int | None = count
        self.trouble = trouble or {}

    def frames(self, report: Report) -> Iterator[Frame]:
        for number in range(self.count or 0):
            problem = self.trouble.get(number)
            if isinstance(problem, ViewfinderError):
                report(problem)
                continue
            if problem is not None:
                raise problem
            yield Frame(np.full((48, 64, 3), 10 * number, np.uint8), "greys", number, number * 1000)


class Middle:
    """Finds one subject in the middle of every frame."""

    topology = ""
    models = ()

    def process(self, rgb: np.ndarray, timestamp_us: int) -> list[Subject]:
        points = np.full((6, 2), 0.5, dtype=np.float32)
        return [Subject(0, "", 0.9, points, (0.4, 0.4, 0.2, 0.2))]

    def reset(self) -> None:
        pass


class Watching:
    """A sink that remembers, and wants to stop at one frame."""

    def __init__(self, stop_at: int = -1) -> None:
        self.seen: list[int] = []
        self.closed: list[bool] = []
        self.stop_at = stop_at

    def write(self, frame: Frame, result: FrameResult) -> bool:
        self.seen.append(frame.index)
        return frame.index != self.stop_at

    def close(self, failed: bool = False) -> None:
        self.closed.append(failed)


def run(source: Greys, *into: object, report: Callable | None = None) -> object:
    return run_source(source, looking_with(Middle()).look, into, report or (lambda error: None))


def test_every_frame_reaches_every_sink() -> None:
    first, second = Watching(), Watching()
    counted: list[int] = []
    outcome = run_source(
        Greys(5), looking_with(Middle()).look, [first, second], pytest.fail, counted.append
    )
    assert first.seen == second.seen == list(range(5))
    assert first.closed == [False]
    assert counted == [1, 2, 3, 4, 5]
    assert (outcome.frames, outcome.subjects, outcome.problems) == (5, 5, 0)


def test_a_sink_that_stops_stops_all() -> None:
    first, second = Watching(stop_at=2), Watching()
    run(Greys(5), first, second)
    assert first.seen == second.seen == [0, 1, 2]


def test_trouble_is_reported_and_the_rest_goes_on() -> None:
    told: list[ViewfinderError] = []
    sink = Watching()
    outcome = run(Greys(5, {2: ViewfinderError("bad")}), sink, report=told.append)
    assert sink.seen == [0, 1, 3, 4]
    assert outcome.problems == len(told) == 1


def test_ctrl_c_keeps_what_was_written(tmp_path: Path) -> None:
    out = tmp_path / "a.mp4"
    outcome = run(Greys(9, {5: KeyboardInterrupt()}), VideoSink(out, 30.0))
    assert outcome.interrupted
    assert open_source(out).count == 5
    assert list(tmp_path.iterdir()) == [out]


def test_an_error_keeps_what_was_there_before(tmp_path: Path) -> None:
    out = tmp_path / "a.mp4"
    out.write_text("the old one")
    with pytest.raises(RuntimeError):
        run(Greys(9, {5: RuntimeError()}), VideoSink(out, 30.0))
    assert out.read_text() == "the old one"
    run(Greys(0), VideoSink(out, 30.0))
    assert out.read_text() == "the old one"
    assert list(tmp_path.iterdir()) == [out]


def test_lines_are_json_one_a_frame() -> None:
    stream = io.StringIO()
    run(Greys(3), LineSink(stream))
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [line["frame"] for line in lines] == [0, 1, 2]
    assert lines[1]["timestamp_us"] == 1000


def test_annotated_video_shows_frames_and_drawing(tmp_path: Path) -> None:
    source = Greys(6)
    run(source, *open_sinks(source, tmp_path / "a.mp4", False))
    written = list(open_source(tmp_path / "a.mp4").frames(pytest.fail))
    assert len(written) == 6
    for number, frame in enumerate(written):
        assert abs(float(frame.rgb[-8:].mean()) - 10 * number) < 8
    assert written[3].rgb.std() > 10  # the drawing


def test_annotated_pictures_keep_their_names(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    for name in ("a.png", "b.jpg"):
        write_image(folder / name, np.full((60, 60, 3), 70, dtype=np.uint8))
    source = open_source(folder)
    run_source(
        source, looking_with(Middle()).look,
        open_sinks(source, tmp_path / "out", False), pytest.fail,
    )  # fmt: skip
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a.png", "b.jpg"]
    assert read_image(tmp_path / "out" / "a.png").std() > 5
    greys = Greys(2)
    run(greys, *open_sinks(greys, tmp_path / "frames", False))
    names = sorted(path.name for path in (tmp_path / "frames").iterdir())
    assert names == ["frame_000000.jpg", "frame_000001.jpg"]


@pytest.mark.parametrize(
    ("out", "message"),
    [
        ("in", "would overwrite the pictures themselves"),
        ("one.jpg", "can't hold many frames"),
        ("a.xyz", "can't tell what to write"),
        ("file/x/out.mp4", "can't make this folder"),
        ("file/out", "can't make this folder"),
    ],
)
def test_places_that_do_not_do(out: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    (tmp_path / "in").mkdir()
    for name in ("a.png", "b.png"):
        write_image(tmp_path / "in" / name, np.zeros((9, 9, 3), dtype=np.uint8))
    with pytest.raises(ViewfinderError, match=message):
        open_sinks(open_source(tmp_path / "in"), tmp_path / out, False)


def test_the_source_itself_is_not_overwritten(tmp_path: Path) -> None:
    write_image(tmp_path / "a.png", np.zeros((9, 9, 3), dtype=np.uint8))
    with pytest.raises(ViewfinderError, match="overwrite the source itself"):
        open_sinks(open_source(tmp_path / "a.png"), tmp_path / "a.png", False)


def test_frames_of_two_sizes_make_no_video(tmp_path: Path) -> None:
    sink = VideoSink(tmp_path / "a.mp4", 30.0)
    result = FrameResult("s", 0, 0, 64, 48, 0, [])
    sink.write(Frame(np.zeros((48, 64, 3), np.uint8), "s", 0, 0), result)
    with pytest.raises(ViewfinderError, match=r"one size.*64 x 48.*32 x 48.*folder"):
        sink.write(Frame(np.zeros((48, 32, 3), np.uint8), "s", 1, 1), result)
    sink.close(failed=True)
    assert list(tmp_path.iterdir()) == []
