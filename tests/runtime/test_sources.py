"""Frames from every kind of source, and what is wrong with sources."""

from __future__ import annotations

import contextlib
import http.server
import itertools
import re
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from runtime import live_reader
from runtime.errors import Notice, ViewfinderError
from runtime.image import encode_image, write_image
from runtime.sources import Frame, LiveSource, Source, open_source
from tests.arsession.videos import write_video


def read(source: Source) -> tuple[list[Frame], list[str]]:
    problems: list[ViewfinderError] = []
    frames = list(source.frames(problems.append))
    return frames, [str(problem) for problem in problems]


def test_one_picture(tmp_path: Path) -> None:
    picture = np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)
    write_image(tmp_path / "a.png", picture)
    source = open_source(tmp_path / "a.png")
    (frame,), problems = read(source)
    assert source.pictures
    assert source.count == 1
    np.testing.assert_array_equal(frame.rgb, picture)
    assert (frame.index, frame.timestamp_us, frame.dropped) == (0, 0, 0)
    assert frame.source == str(tmp_path / "a.png")
    assert problems == []


def test_a_bad_picture_in_a_folder_does_not_stop_the_rest(tmp_path: Path) -> None:
    for name in ("c.png", "a.jpg", "b.webp"):
        write_image(tmp_path / name, np.full((10, 10, 3), 99, dtype=np.uint8))
    (tmp_path / "b2.jpg").write_bytes((tmp_path / "a.jpg").read_bytes()[:-30])
    (tmp_path / "notes.txt").write_text("not a picture")
    frames, problems = read(open_source(tmp_path))
    assert [Path(frame.source).name for frame in frames] == ["a.jpg", "b.webp", "c.png"]
    assert [frame.index for frame in frames] == [0, 1, 3]
    assert len(problems) == 1
    assert "b2.jpg" in problems[0]


@pytest.mark.parametrize("degrees", [90, 180, 270])
def test_a_video_that_was_filmed_lying_stands_upright(tmp_path: Path, degrees: int) -> None:
    stored = np.zeros((48, 96, 3), dtype=np.uint8)
    stored[:24, :48] = (255, 0, 0)  # red in the corner at the top left
    write_video(tmp_path / "turned.mp4", [stored] * 3, degrees)
    frames, _ = read(open_source(tmp_path / "turned.mp4"))
    expected = np.rot90(stored, -degrees // 90)
    assert [frame.rgb.shape for frame in frames] == [expected.shape] * 3
    red = frames[0].rgb[..., 0] > 128
    assert (red == (expected[..., 0] > 128)).mean() > 0.97


def test_a_videos_frames_and_times(clip: Path) -> None:
    source = open_source(clip)
    assert not source.pictures
    assert (source.fps, source.count) == (25.0, 12)
    frames, problems = read(source)
    assert problems == []
    assert [frame.timestamp_us for frame in frames] == [40_000 * i for i in range(12)]
    for number, frame in enumerate(frames):
        assert frame.rgb.shape == (120, 160, 3)
        assert abs(frame.rgb.mean() - 20 * number) < 6


def test_colours_are_rgb(tmp_path: Path) -> None:
    path = str(tmp_path / "red.avi")
    writer = cv2.VideoWriter(path, cv2.VideoWriter.fourcc(*"MJPG"), 10.0, (64, 64))
    writer.write(np.full((64, 64, 3), (0, 0, 250), dtype=np.uint8))  # BGR
    writer.release()
    (frame,), _ = read(open_source(path))
    assert frame.rgb[..., 0].mean() > 200
    assert frame.rgb[..., 2].mean() < 50


def test_a_video_cut_short(clip: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "cut.mp4").write_bytes(clip.read_bytes()[:600])
    with pytest.raises(ViewfinderError, match=r"cut\.mp4: this video can't be opened"):
        open_source(tmp_path / "cut.mp4")
    assert capfd.readouterr().err == ""


class PretendCapture:
    """A capture that gives so many frames, each when it is allowed to."""

    def __init__(self, frames: int, count: int = 0, gate: threading.Semaphore | None = None):
        self.left, self.count, self.gate = frames, count, gate
        self.given = 0

    def isOpened(self) -> bool:  # noqa: N802
        return True

    def set(self, what: int, value: float) -> bool:
        return False

    def get(self, what: int) -> float:
        return {cv2.CAP_PROP_FRAME_COUNT: self.count, cv2.CAP_PROP_FPS: 0.0}.get(what, 0.0)

    def read(self) -> tuple[bool, np.ndarray | None]:
        if self.gate is not None:
            self.gate.acquire()
        if self.given == self.left:
            return False, None
        self.given += 1
        return True, np.full((4, 4, 3), self.given, dtype=np.uint8)

    def release(self) -> None:
        pass


def pretend(monkeypatch: pytest.MonkeyPatch, capture: PretendCapture) -> None:
    monkeypatch.setattr(cv2, "VideoCapture", lambda *arguments: capture)


@pytest.mark.parametrize(
    ("frames", "count", "message"),
    [
        (0, 0, "has no frames"),
        (0, 50, "has no frames"),
        (30, 50, "ends early.*50 frames; found 30"),
    ],
)
def test_a_video_with_fewer_frames_than_it_says(
    frames: int, count: int, message: str, clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pretend(monkeypatch, PretendCapture(frames, count))
    given, (problem,) = read(open_source(clip))
    assert len(given) == frames
    assert re.search(message, problem)
    # Without times in the file they still grow.
    assert [frame.timestamp_us for frame in given] == list(range(frames))


def test_a_frame_less_than_announced_is_no_damage(
    clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pretend(monkeypatch, PretendCapture(49, 50))
    assert read(open_source(clip))[1] == []


def test_a_live_source_gives_the_newest_frame_and_counts_the_rest(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    gate = threading.Semaphore(0)
    capture = PretendCapture(6, gate=gate)
    pretend(monkeypatch, capture)
    source = open_source("0", patience_s=0.0)
    assert source.live
    problems: list[ViewfinderError] = []
    frames = source.frames(problems.append)
    gate.release()
    first = next(frames)
    assert (first.rgb[0, 0, 0], first.dropped, first.index) == (1, 0, 0)
    # Three more come while we are busy: only the last of them is given.
    for _ in range(3):
        gate.release()
    wait_for(lambda: capture.given == 4)
    second = take_when(frames, lambda frame: frame.rgb[0, 0, 0] == 4)
    assert second.dropped + second.index == 3
    gate.release(10)
    rest = list(frames)
    assert [frame.rgb[0, 0, 0] for frame in rest][-1] == 6
    numbers = [first.timestamp_us, second.timestamp_us, *(frame.timestamp_us for frame in rest)]
    assert numbers == sorted(set(numbers))
    assert problems == []


def wait_for(condition: Callable[[], bool]) -> None:
    for _ in range(500):
        if condition():
            return
        threading.Event().wait(0.01)
    pytest.fail("it never came")


def take_when(frames: Iterator[Frame], wanted: Callable[[Frame], bool]) -> Frame:
    for frame in frames:
        if wanted(frame):
            return frame
    return pytest.fail("it never came")


def test_a_camera_that_gives_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live_reader, "SILENCE_S", 0.05)
    gate = threading.Semaphore(0)
    pretend(monkeypatch, PretendCapture(5, gate=gate))
    threading.Timer(0.3, gate.release, (9,)).start()
    frames, (problem,) = read(LiveSource(0, "camera 0"))
    assert frames == []
    assert "camera 0: no frame came" in problem
    pretend(monkeypatch, PretendCapture(0))
    assert "gave no frames" in read(LiveSource(0, "camera 0"))[1][0]


class Unplugged:
    """Captures as OpenCV makes them, one for each opening: so many frames each, 0 for a camera
    that isn't there."""

    def __init__(self, *frames: int) -> None:
        self.frames = list(frames)
        self.released = 0

    def __call__(self, *arguments: object) -> PretendCapture:
        count = self.frames.pop(0) if self.frames else 0
        capture = PretendCapture(count)
        capture.isOpened = lambda: count > 0  # type: ignore[method-assign]
        capture.release = self._count_release  # type: ignore[method-assign]
        return capture

    def _count_release(self) -> None:
        self.released += 1


def test_a_camera_that_is_unplugged_and_comes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live_reader, "_FIRST_RETRY_S", 0.01)
    captures = Unplugged(5, 0, 0, 7)
    monkeypatch.setattr(cv2, "VideoCapture", captures)
    told: list[ViewfinderError] = []
    frames = list(LiveSource(0, "camera 0", patience_s=0.2).frames(told.append))
    times = [frame.timestamp_us for frame in frames]
    assert times == sorted(set(times))
    # Between the two plug-ins exactly one frame starts anew, however many were skipped.
    assert sum(frame.restarted for frame in frames) == 1
    assert sum(1 + frame.dropped for frame in frames) == 12
    assert [type(error) for error in told] == [Notice, Notice, Notice, ViewfinderError]
    lines = [str(error) for error in told]
    assert lines[0] == "camera 0: it has gone; trying to open it again"
    assert re.fullmatch(r"camera 0: it is back after 0\.\d s", lines[1])
    assert lines[2:] == [lines[0], "camera 0: it hasn't come back for 0.2 s"]
    assert captures.released >= 4


def test_silence_after_frames_is_told_and_outlived(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live_reader, "SILENCE_S", 0.05)
    gate = threading.Semaphore(1)
    pretend(monkeypatch, PretendCapture(2, gate=gate))
    told: list[str] = []
    source = LiveSource(0, "camera 0", patience_s=0.1)
    frames = source.frames(lambda error: told.append(str(error)))
    assert not next(frames).restarted
    threading.Timer(0.2, gate.release).start()
    assert next(frames).restarted
    assert ["no frame came" in line for line in told] == [True, False]
    assert "is back after" in told[1]
    gate.release(9)
    frames.close()


def test_stop_ends_a_wait_for_a_frame(monkeypatch: pytest.MonkeyPatch) -> None:
    gate = threading.Semaphore(1)
    pretend(monkeypatch, PretendCapture(2, gate=gate))
    source = LiveSource(0, "camera 0")
    frames = source.frames(pytest.fail)
    next(frames)
    threading.Timer(0.05, source.stop).start()
    threading.Timer(0.1, gate.release).start()  # or its thread would be waited for
    assert list(frames) == []


class JpegStream:
    """An MJPEG stream over HTTP on this machine, as network cameras give it, that can go away."""

    def __init__(self, port: int = 0) -> None:
        open_ = self.open_ = threading.Event()
        open_.set()
        number = itertools.count(1)

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(200)
                self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
                self.end_headers()
                with contextlib.suppress(OSError):
                    while open_.is_set():
                        grey = np.full((48, 64, 3), next(number) % 200, dtype=np.uint8)
                        jpeg = encode_image(grey, ".jpg")
                        head = f"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {len(jpeg)}"
                        self.wfile.write(f"{head}\r\n\r\n".encode() + jpeg + b"\r\n")
                        time.sleep(0.01)
                self.close_connection = True

            def log_message(self, *arguments: object) -> None:
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self.port = self.server.server_address[1]
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.02,))
        self.thread.start()

    def go_away(self) -> None:
        self.open_.clear()
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


def test_a_network_camera_that_goes_away_and_comes_back() -> None:
    stream = JpegStream()
    source = open_source(f"http://127.0.0.1:{stream.port}/video")
    told: list[ViewfinderError] = []
    frames = source.frames(told.append)
    times = [next(frames).timestamp_us for _ in range(5)]
    stream.go_away()
    threading.Timer(0.6, lambda: again.append(JpegStream(stream.port))).start()
    again: list[JpegStream] = []
    for frame in frames:
        times.append(frame.timestamp_us)
        if frame.restarted:
            break
    times += [next(frames).timestamp_us for _ in range(5)]
    frames.close()
    again[0].go_away()
    assert times == sorted(set(times))
    assert [type(error) for error in told] == [Notice, Notice]
    assert "it has gone" in str(told[0])
    assert "it is back after" in str(told[1])


def test_what_is_no_source(tmp_path: Path) -> None:
    with pytest.raises(ViewfinderError, match="no such source"):
        open_source(tmp_path / "missing.jpg")
    with pytest.raises(ViewfinderError, match="holds no pictures"):
        open_source(tmp_path)
    (tmp_path / "a.xyz").write_text("")
    with pytest.raises(ViewfinderError, match="of no kind that is known"):
        open_source(tmp_path / "a.xyz")
    (tmp_path / "a.mp4").write_text("no video at all")
    with pytest.raises(ViewfinderError, match="can't be opened"):
        open_source(tmp_path / "a.mp4")
    with pytest.raises(ViewfinderError, match=r"camera 97: can't open"):
        open_source("97")
