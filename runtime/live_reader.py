"""A camera or stream read in a thread: the newest frame is kept, and what goes away is reopened.

Once the thread runs it alone touches the capture. Whoever wants frames asks for what is new, and is
told once each when the source went away and when it came back.
"""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

SILENCE_S = 10.0
"""Without a frame for so long, a source counts as gone."""
_OPEN_MILLISECONDS = 10_000
_FIRST_RETRY_S = 0.25
_LONGEST_RETRY_S = 4.0


@dataclass(frozen=True)
class Shot:
    """A frame as it was read.

    Attributes:
        number: of frames read until now, this one among them.
        bgr: (H, W, 3) uint8.
        timestamp_us: since reading began.
        returns: how often the source had gone and come back before.
    """

    number: int
    bgr: NDArray[np.uint8]
    timestamp_us: int
    returns: int


def open_capture(address: int | str) -> cv2.VideoCapture:
    """A camera by its number or a stream by its URL, opened or not: ask `isOpened`."""
    # FFmpeg prints what it thinks of a stream; set before OpenCV first loads it.
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
    if isinstance(address, int):
        return cv2.VideoCapture(address)
    limits = [
        cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, _OPEN_MILLISECONDS,
        cv2.CAP_PROP_READ_TIMEOUT_MSEC, round(SILENCE_S * 1000),
    ]  # fmt: skip
    return cv2.VideoCapture(address, cv2.CAP_FFMPEG, limits)


class LiveReader:
    """The thread and the slot that it fills.

    Args:
        address: a camera's number or a URL.
        capture: already opened; the thread releases it.
        patience_s: how long a source that went away is waited for; 0 ends with it.

    Attributes:
        failure: why it ended, where that wasn't a file's end or `stop`.
    """

    def __init__(self, address: int | str, capture: cv2.VideoCapture, patience_s: float) -> None:
        self.failure = ""
        self._address = address
        self._capture = capture
        self._patience_s = patience_s
        # A URL may lead to a file, which ends for good; cameras and streams are expected back.
        file = isinstance(address, str) and capture.get(cv2.CAP_PROP_FRAME_COUNT) > 0
        self._finite = file or patience_s <= 0
        self._changed = threading.Condition()
        self._stopped = threading.Event()
        self._ended = False
        self._shot: Shot | None = None
        self._returns = 0
        self._news: deque[str] = deque()
        self._start = self._heard = time.monotonic()
        self._gone_since: float | None = None
        self._thread = threading.Thread(target=self._run, name="camera", daemon=True)
        self._thread.start()

    def after(self, number: int) -> Shot | str | None:
        """A line of news, or else the newest frame beyond that number; None at the end."""
        with self._changed:
            while True:
                if self._news:
                    return self._news.popleft()
                if self._shot is not None and self._shot.number > number:
                    return self._shot
                if self._ended or self._stopped.is_set():
                    return None
                self._changed.wait(self._silence_left())
                self._note_silence()

    def stop(self) -> None:
        """Let the thread, and whoever waits, end."""
        self._stopped.set()
        with self._changed:
            self._changed.notify_all()

    def join(self) -> None:
        """Wait for the thread; one that hangs in a driver is left to itself."""
        self._thread.join(timeout=2)

    def _silence_left(self) -> float | None:
        if self._gone_since is not None:
            return None  # the thread is looking for it, and will tell
        return max(0.0, self._heard + SILENCE_S - time.monotonic())

    def _note_silence(self) -> None:
        silent = self._silence_left() == 0.0
        if not silent or self._ended:
            return
        if self._shot is None:
            self._end(f"no frame came for {SILENCE_S:g} s: the source has stopped")
        else:
            self._gone(f"no frame came for {SILENCE_S:g} s; waiting for more")

    def _run(self) -> None:
        while not self._stopped.is_set():
            got, bgr = self._capture.read()
            with self._changed:
                if got:
                    self._keep(bgr)
                    continue
                if self._shot is None or self._finite:
                    self._end("" if self._shot else "this source gave no frames")
                    break
                self._gone("it has gone; trying to open it again")
            if not self._reopened():
                break
        self._capture.release()

    def _reopened(self) -> bool:
        """Open it again and read a frame, for as long as patience lasts."""
        retry_s = _FIRST_RETRY_S
        give_up = time.monotonic() + self._patience_s
        level = cv2.getLogLevel()
        cv2.setLogLevel(0)  # it would print a line for every try
        try:
            while not self._stopped.is_set():
                self._capture.release()
                self._stopped.wait(min(retry_s, max(0.0, give_up - time.monotonic())))
                self._capture = open_capture(self._address)
                bgr = self._capture.read()[1] if self._capture.isOpened() else None
                with self._changed:
                    if bgr is not None:
                        self._keep(bgr)
                        return True
                    if time.monotonic() >= give_up:
                        self._end(f"it hasn't come back for {self._patience_s:g} s")
                        return False
                retry_s = min(2 * retry_s, _LONGEST_RETRY_S)
        finally:
            cv2.setLogLevel(level)
        return False

    # These three are called with the lock held.

    def _keep(self, bgr: NDArray[np.uint8]) -> None:
        self._heard = time.monotonic()
        if self._gone_since is not None:
            self._returns += 1
            self._news.append(f"it is back after {self._heard - self._gone_since:.1f} s")
            self._gone_since = None
        number = 1 if self._shot is None else self._shot.number + 1
        timestamp_us = round((self._heard - self._start) * 1e6)
        self._shot = Shot(number, bgr, timestamp_us, self._returns)
        self._changed.notify_all()

    def _gone(self, news: str) -> None:
        if self._gone_since is None:
            self._gone_since = time.monotonic()
            self._news.append(news)
            self._changed.notify_all()

    def _end(self, failure: str) -> None:
        self.failure = failure
        self._ended = True
        self._changed.notify_all()
