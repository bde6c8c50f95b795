"""Where frames come from: a picture, a folder of pictures, a video file, a camera, an address.

Files give every frame. Cameras and addresses are live: frames that come while one is worked on are
dropped, all but the newest, and counted.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from runtime.errors import Notice, ViewfinderError
from runtime.exif import read_exif
from runtime.image import PICTURE_EXTENSIONS, decode_image, read_image_file
from runtime.live_reader import LiveReader, open_capture
from runtime.native_output import captured_stderr

PICTURE_STEP_US = 33_333
"""Between the pictures of a folder, as MediaPipe's Python solutions count them."""
VIDEO_EXTENSIONS = (".mp4", ".mov", ".avi", ".mkv", ".webm", ".m4v")
_ADDRESSES = ("http://", "https://", "rtsp://", "rtmp://", "udp://", "tcp://")
PATIENCE_SECONDS = 600.0
"""A camera or stream that went away is waited for so long."""

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
        restarted: the source was away, or its clock stepped back: nothing that was followed before
            is where it was.
        focal_px: focal length of the camera in pixels, where the picture's EXIF tells.
    """

    rgb: NDArray[np.uint8]
    source: str
    index: int
    timestamp_us: int
    dropped: int = 0
    restarted: bool = False
    focal_px: float | None = None


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


def open_source(source: str | Path, patience_s: float = PATIENCE_SECONDS) -> Source:
    """The source of that name.

    Args:
        source: a picture, folder or video file; a camera's number; an http(s), rtsp, rtmp, udp or
            tcp address.
        patience_s: how long a camera or stream that went away is waited for; 0 ends with it.

    Raises:
        ViewfinderError: it isn't there, or isn't something that gives pictures.
    """
    text = str(source)
    if text.isdecimal() and not Path(text).exists():
        return LiveSource(int(text), f"camera {int(text)}", patience_s)
    if text.lower().startswith(_ADDRESSES):
        return LiveSource(text, text, patience_s)
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
                data = read_image_file(path)
                rgb = decode_image(data, str(path))
            except ViewfinderError as error:
                report(error)
                continue
            focal = read_exif(data, rgb.shape[1], rgb.shape[0]).focal_length_px
            yield Frame(rgb, str(path), index, index * PICTURE_STEP_US, focal_px=focal)


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
        self._capture.set(cv2.CAP_PROP_ORIENTATION_AUTO, 1)  # phones store portrait videos lying
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

    One that goes away is opened again, ever more patiently, and its timestamps go on rising.

    Args:
        address: a camera's number or a URL.
        name: for people and for the output.
        patience_s: how long one that went away is waited for; 0 ends with it.

    Raises:
        ViewfinderError: it can't be opened.
    """

    pictures = False
    live = True
    count: int | None = None

    def __init__(
        self, address: int | str, name: str, patience_s: float = PATIENCE_SECONDS
    ) -> None:  # fmt: skip
        self.name = name
        self._address = address
        self._patience_s = patience_s
        self._reader: LiveReader | None = None
        self._stopped = False
        with captured_stderr():
            self._capture = open_capture(address)
        if not self._capture.isOpened():
            raise ViewfinderError("can't open this camera or stream", file=name)
        fps = self._capture.get(cv2.CAP_PROP_FPS)
        self.fps = fps if 1 <= fps <= 240 else 30.0

    def frames(self, report: Report) -> Iterator[Frame]:
        """The newest frame, each time one is asked for; ends when the source does, or by `stop`.

        That it went away and came back is told by a `Notice` each.
        """
        self._reader = reader = LiveReader(self._address, self._capture, self._patience_s)
        taken, index, last_us, returns = 0, 0, -1, 0
        try:
            while not self._stopped and (new := reader.after(taken)) is not None:
                if isinstance(new, str):
                    report(Notice(new, file=self.name))
                    continue
                last_us = max(new.timestamp_us, last_us + 1)
                rgb = cv2.cvtColor(new.bgr, cv2.COLOR_BGR2RGB)
                yield Frame(
                    rgb, self.name, index, last_us, new.number - taken - 1, new.returns != returns
                )
                taken, index, returns = new.number, index + 1, new.returns
        finally:
            reader.stop()
            reader.join()
        if reader.failure:
            report(ViewfinderError(reader.failure, file=self.name))

    def stop(self) -> None:
        """End `frames` at once, from whatever thread."""
        self._stopped = True
        if self._reader is not None:
            self._reader.stop()


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
