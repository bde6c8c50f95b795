"""A window on the desktop: OpenCV's, which needs no more than OpenCV."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable

import cv2

from runtime.drawing.panels import draw_keys, draw_status
from runtime.drawing.strokes import Picture
from runtime.errors import ViewfinderError
from runtime.native_output import captured_stderr
from runtime.viewing.controls import HELP, Action, action_of_key
from runtime.viewing.viewer import Status

_TITLE = "Viewfinder"
_LARGEST = 1280
# What OpenCV's windows call the arrows: X11, Windows, macOS.
_ARROWS = {
    65361: "left", 65363: "right", 2424832: "left", 2555904: "right", 63234: "left",
    63235: "right",
}  # fmt: skip


class Window:
    """A window; its keys are those of `runtime.viewing.controls.HELP`.

    Args:
        any_key: keys that mean nothing else ask for the next frame (pictures).

    Raises:
        ViewfinderError: there is no screen.
    """

    def __init__(self, any_key: bool = False) -> None:
        on_linux = sys.platform.startswith("linux")
        if on_linux and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
            raise _no_screen()
        try:
            with captured_stderr():
                cv2.namedWindow(
                    _TITLE, cv2.WINDOW_NORMAL | cv2.WINDOW_KEEPRATIO | cv2.WINDOW_GUI_NORMAL
                )
        except cv2.error as error:
            raise _no_screen() from error
        self._any_key = any_key
        self._shape: tuple[int, ...] = ()

    def show(self, picture: Picture, status: Status) -> None:
        """Show a picture with its status line."""
        shown = picture.copy()
        draw_status(shown, status.parts(), status.message)
        if status.help:
            draw_keys(shown, HELP)
        if shown.shape != self._shape:
            self._shape = shown.shape
            scale = min(1.0, _LARGEST / max(shown.shape[:2]))
            cv2.resizeWindow(_TITLE, int(shown.shape[1] * scale), int(shown.shape[0] * scale))
        cv2.imshow(_TITLE, cv2.cvtColor(shown, cv2.COLOR_RGB2BGR, dst=shown))

    def actions(self) -> Iterable[Action]:
        """What was pressed since the last time; a closed window quits."""
        while (code := cv2.waitKeyEx(1)) != -1:
            action = action_of_code(code, self._any_key)
            if action is not None:
                yield action
        if self._shape and cv2.getWindowProperty(_TITLE, cv2.WND_PROP_VISIBLE) < 1:
            yield Action.quit

    def close(self) -> None:
        """Close the window."""
        cv2.destroyWindow(_TITLE)


def action_of_code(code: int, any_key: bool = False) -> Action | None:
    """What OpenCV's key code asks for.

    Args:
        code: of `cv2.waitKeyEx`.
        any_key: keys that mean nothing else ask for the next frame; modifiers alone don't.
    """
    arrow = _ARROWS.get(code)
    # The high bits say which modifiers are held.
    action = action_of_key(arrow or chr(code & 0xFF))
    if action is None and any_key and code & 0xFFFF < 0xFF00:
        return Action.forward
    return action


def _no_screen() -> ViewfinderError:
    return ViewfinderError(
        "there is no screen to open a window on",
        hint="use --serve, --json, or --out FILE or FOLDER",
    )
