"""Where frames come from: a picture, a folder of pictures, a video file, a camera, an address.

Files give every frame. Cameras and addresses are live: frames that come while one is worked on are
dropped, all but the newest, and counted.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from runtime.errors import ViewfinderError
from runtime.image import PICTURE_EXTENSIONS, read_image
from runtime.native_output import captured_stderr

PICTURE_STEP_US = 33_333
"""Between the pictures of a folder, as MediaPipe's Python solutions count them."""
VIDEO_EXTENSIONS = (".mp4", ".mov", ".avi", ".mkv", ".webm", ".m4v")
_ADDRESSES = ("http://", "https://", "rtsp://", "rtmp://", "udp://", "tcp://")
_SILENCE_SECONDS = 10.0
_OPEN_MILLISECONDS = 10_000

Report = Callable[[ViewfinderError], None]


@dataclass(frozen=True)
class Frame:
    """A picture and where it came from.

    Attributes:
        rgb: (H, W, 3) uint8.
        source: file, camera or address.
        index: number in the source, from 0.
        timestamp_us: growing from frame to frame.
        dropped: frames skipped since the last one.
    """

    rgb: NDArray[np.uint8]
    source: str
    index: int
    timestamp_us: int
    dropped: int = 0


class Source(Protocol):
    """Frames in order.

    Attributes:
        name: for people.
        pictures: whether its frames have nothing to do with each other.
        live: whether it has no end of its own.
        fps: frames a second, for writing a video.
        count: how many frames there should be, where that is known.
    """

    name: str
    pictures: bool
    live: bool
    fps: float
    count: int | None

    def frames(self, report: Report) -> Iterator[Frame]:
        """Every frame; what is wrong with single ones goes to `report` and the rest follows."""
        ...


def open_source(source: str | Path) -> Source:
    """The source of that name.

    Args:
        source: a picture, folder or video file; a camera's number; an http(s), rtsp, rtmp, udp or
            tcp address.

    Raises:
        ViewfinderError: it isn't there, or isn't something that gives pictures.
    """
    text = str(source)
    if text.isdecimal() and not Path(text).exists():
        return LiveSource(int(text), f"camera {int(text)}")
    if text.lower().startswith(_ADDRESSES):
        return LiveSource(text, text)
    path = Path(text)
    if path.is_dir():
        return PictureSource(_pictures_in(path), text)
    if not path.exists():
        raise ViewfinderError(
            "no such source", file=text, expected="a picture, folder, video, camera number or URL"
        )
    if path.suffix.lower() in PICTURE_EXTENSIONS:
        return PictureSource([path], text)
    if path.suffix.lower() in VIDEO_EXTENSIONS:
        return VideoSource(path)
    raise ViewfinderError(
        "this source is of no kind that is known", file=text,
        expected=" ".join((*PICTURE_EXTENSIONS, *VIDEO_EXTENSIONS)),
    )  # fmt: skip


class PictureSource:
    """Pictures from files, each on its own."""

    pictures = True
    live = False
    fps = 30.0

    def __init__(self, paths: list[Path], name: str) -> None:
        self.name = name
        self.count: int | None = len(paths)
        self._paths = paths

    def frames(self, report: Report) -> Iterator[Frame]:
        """Every picture that can be read."""
        for index, path in enumerate(self._paths):
            try:
                rgb = read_image(path)
            except ViewfinderError as error:
                report(error)
                continue
            yield Frame(rgb, str(path), index, index * PICTURE_STEP_US)


class VideoSource:
    """Every frame of a video file, upright.

    Raises:
        ViewfinderError: it can't be opened.
    """

    pictures = False
    live = False

    def __init__(self, path: Path) -> None:
        self.name = str(path)
        # FFmpeg prints what it thinks of a damaged file; set before OpenCV first loads it.
        os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
        with captured_stderr():
            self._capture = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG)
        if not self._capture.isOpened():
            raise ViewfinderError(
                "this video can't be opened: it is truncated, damaged or no video", file=path
            )
        fps = self._capture.get(cv2.CAP_PROP_FPS)
        self.fps = fps if 1 <= fps <= 1000 else 30.0
        count = int(self._capture.get(cv2.CAP_PROP_FRAME_COUNT))
        self.count: int | None = count if count > 0 else None

    def frames(self, report: Report) -> Iterator[Frame]:
        """Every frame; a video that ends early is reported."""
        index, last_us = 0, -1
        try:
            while True:
                got, bgr = self._capture.read()
                if not got:
                    break
                position_us = round(self._capture.get(cv2.CAP_PROP_POS_MSEC) * 1000)
                last_us = max(position_us, last_us + 1) if index else max(0, position_us)
                yield Frame(
                    cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB, dst=bgr), self.name, index, last_us
                )
                index += 1
        finally:
            self._capture.release()
        if index == 0:
            report(ViewfinderError("this video has no frames", file=self.name))
        elif self.count and index < 0.98 * self.count - 2:
            # Containers count frames roughly, so only a clear shortfall is damage.
            report(
                ViewfinderError(
                    "this video ends early: it is truncated or damaged",
                    file=self.name,
                    expected=f"{self.count} frames",
                    found=index,
                )
            )


class LiveSource:
    """A camera or stream, read in a thread that keeps the newest frame only.

    Args:
        address: a camera's number or a URL.
        name: for people and for the output.

    Raises:
        ViewfinderError: it can't be opened.
    """

    pictures = False
    live = True
    count: int | None = None

    def __init__(self, address: int | str, name: str) -> None:
        self.name = name
        os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
        with captured_stderr():
            if isinstance(address, int):
                self._capture = cv2.VideoCapture(address)
            else:
                self._capture = cv2.VideoCapture(
                    address, cv2.CAP_FFMPEG, [cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, _OPEN_MILLISECONDS]
                )
        if not self._capture.isOpened():
            raise ViewfinderError("can't open this camera or stream", file=name)
        fps = self._capture.get(cv2.CAP_PROP_FPS)
        self.fps = fps if 1 <= fps <= 240 else 30.0

    def frames(self, report: Report) -> Iterator[Frame]:
        """The newest frame, each time one is asked for; ends when the source does."""
        newest = _Newest()
        reader = threading.Thread(target=newest.read_from, args=(self._capture,), daemon=True)
        reader.start()
        taken, index, last_us = 0, 0, -1
        try:
            while True:
                got = newest.after(taken)
                if got is None:
                    break
                number, bgr, timestamp_us = got
                last_us = max(timestamp_us, last_us + 1)
                rgb = cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB)
                yield Frame(rgb, self.name, index, last_us, number - taken - 1)
                taken, index = number, index + 1
        finally:
            newest.stop()
            reader.join(timeout=2)
            if not reader.is_alive():
                self._capture.release()
        if newest.silent:
            report(
                ViewfinderError(
                    f"no frame came for {_SILENCE_SECONDS:g} s: the source has stopped",
                    file=self.name,
                )
            )
        elif index == 0:
            report(ViewfinderError("this source gave no frames", file=self.name))


class _Newest:
    """A slot that a reading thread fills and the loop empties."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._number = 0
        self._frame: NDArray[np.uint8] | None = None
        self._timestamp_us = 0
        self._ended = False
        self.silent = False

    def read_from(self, capture: cv2.VideoCapture) -> None:
        """Fill the slot until the source or the loop ends."""
        start = time.monotonic_ns()
        while not self._ended:
            got, bgr = capture.read()
            with self._changed:
                if not got:
                    self._ended = True
                else:
                    self._number += 1
                    self._frame = bgr
                    self._timestamp_us = (time.monotonic_ns() - start) // 1000
                self._changed.notify_all()

    def after(self, number: int) -> tuple[int, NDArray[np.uint8], int] | None:
        """The newest frame with a greater number, or None at the end."""
        with self._changed:
            came = self._changed.wait_for(
                lambda: self._number > number or self._ended, timeout=_SILENCE_SECONDS
            )
            self.silent = not came
            if self._number <= number or self._frame is None:
                return None
            return self._number, self._frame, self._timestamp_us

    def stop(self) -> None:
        """Let the thread end."""
        with self._changed:
            self._ended = True


def _pictures_in(folder: Path) -> list[Path]:
    try:
        paths = sorted(
            path
            for path in folder.iterdir()
            if path.suffix.lower() in PICTURE_EXTENSIONS and path.is_file()
        )
    except OSError as error:
        raise ViewfinderError(f"can't read this folder: {error.strerror}", file=folder) from error
    if not paths:
        raise ViewfinderError(
            "this folder holds no pictures", file=folder, expected=" ".join(PICTURE_EXTENSIONS)
        )
    return paths
