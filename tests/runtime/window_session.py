"""A person at the window, under a virtual screen: keys through X's test extension, and what was
shown, as JSON. Run by test_window.py as `xvfb-run python window_session.py CLIP BUNDLE`.
"""

from __future__ import annotations

import ctypes
import json
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

from runtime import running
from runtime.drawing.strokes import Picture
from runtime.results import FrameResult
from runtime.solutions.options import SolutionOptions
from runtime.sources import Frame
from runtime.viewing import window
from runtime.viewing.viewer import Status

PATIENCE_S = 20.0
shown: list[Status] = []
saved: list[int] = []


class Keyboard:
    """Presses keys for whichever window the pointer is over."""

    def __init__(self) -> None:
        self._x11 = ctypes.CDLL("libX11.so.6")
        self._test = ctypes.CDLL("libXtst.so.6")
        self._x11.XOpenDisplay.restype = ctypes.c_void_p
        self._x11.XStringToKeysym.restype = ctypes.c_ulong
        self._display = ctypes.c_void_p(self._x11.XOpenDisplay(None))
        self._test.XTestFakeMotionEvent(self._display, -1, 40, 40, ctypes.c_ulong(0))
        self._x11.XFlush(self._display)

    def press(self, name: str) -> None:
        symbol = ctypes.c_ulong(self._x11.XStringToKeysym(name.encode()))
        code = self._x11.XKeysymToKeycode(self._display, symbol)
        for down in (1, 0):
            self._test.XTestFakeKeyEvent(self._display, code, down, ctypes.c_ulong(0))
        self._x11.XFlush(self._display)


class Watched(window.Window):
    """The window, whose pictures are counted."""

    def show(self, picture: Picture, status: Status) -> None:
        super().show(picture, status)
        shown.append(status)


def until(what: str, happened: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not happened():
        if time.monotonic() > deadline:
            print(f"waited in vain for: {what}; last {shown[-1:]}", file=sys.stderr)  # noqa: T201
            raise SystemExit(1)
        time.sleep(0.01)


def person() -> None:
    """Pause, step, look back, switch overlays, save, and quit; each waits for what it sees."""
    until("a picture", lambda: bool(shown))
    keys = Keyboard()
    keys.press("space")
    until("pause", lambda: shown[-1].paused)
    time.sleep(0.2)  # nothing may come while paused
    stood = shown[-1].result.frame
    keys.press("period")
    until("a step", lambda: shown[-1].result.frame == stood + 1)
    keys.press("Left")
    until("the frame before", lambda: shown[-1].result.frame == stood and shown[-1].back == 1)
    keys.press("Right")
    until("back again", lambda: shown[-1].result.frame == stood + 1 and shown[-1].back == 0)
    keys.press("o")
    until("no overlays", lambda: not shown[-1].overlays)
    keys.press("h")
    until("help", lambda: shown[-1].help)
    keys.press("s")
    until("saved", lambda: saved == [stood + 1] and "kept" in shown[-1].message)
    keys.press("q")


def save(folder: Path, frame: Frame, result: FrameResult) -> str:
    saved.append(frame.index)
    return f"kept in {folder}"


def main() -> None:
    clip, bundle = sys.argv[1:]
    window.Window = Watched  # type: ignore[misc]
    threading.Thread(target=person, daemon=True).start()
    wishes = running.Wishes(
        "face", clip, SolutionOptions(), (bundle,), save_to=Path("hard"), save_frame=save
    )
    code = running.run(wishes)
    frames = [status.result.frame for status in shown]
    print(json.dumps({"code": code, "last": max(frames), "saved": saved}))  # noqa: T201


if __name__ == "__main__":
    main()
