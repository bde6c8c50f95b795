"""The mouse on a canvas before napari sees it, and where a place is on the screen."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import QEvent, QObject, Qt
from typing_extensions import override

Array = NDArray[np.float64]


@dataclass(frozen=True)
class PointerHandlers:
    """What is called with (2,) places on the canvas, in Qt's pixels.

    Attributes:
        hover: the cursor moved, no button held.
        press: the left button went down; True when it is ours, else napari pans or turns.
        drag: the cursor moved with the button held that was ours.
        release: that button went up.
    """

    hover: Callable[[Array], None]
    press: Callable[[Array], bool]
    drag: Callable[[Array], None]
    release: Callable[[], None]


class Pointer(QObject):
    """Hands the mouse of a canvas to us first; what isn't ours goes on to napari.

    napari's own callbacks come after its cursor, status bar and picking, which together take
    longer than a fit of a box.

    Args:
        canvas: napari's VispyCanvas.
        handlers: what is called.
    """

    def __init__(self, canvas: Any, handlers: PointerHandlers) -> None:
        super().__init__(canvas.native)
        self._native, self._handlers, self._held = canvas.native, handlers, False
        self._native.setMouseTracking(True)
        self._native.installEventFilter(self)

    @override
    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Qt's protocol: True for what goes no further."""
        kind = event.type()
        if kind == QEvent.Type.MouseMove:
            if self._held:
                self._handlers.drag(_place(event))
                return True
            if event.buttons() == Qt.MouseButton.NoButton:
                self._handlers.hover(_place(event))
            return False
        if kind == QEvent.Type.MouseButtonPress and event.button() == Qt.MouseButton.LeftButton:
            self._held = self._handlers.press(_place(event))
            return self._held
        if kind == QEvent.Type.MouseButtonRelease and self._held:
            if event.button() == Qt.MouseButton.LeftButton:
                self._held = False
                self._handlers.release()
            return True
        return kind == QEvent.Type.MouseButtonDblClick and self._pressed_again(event)

    def _pressed_again(self, event: Any) -> bool:
        if event.button() != Qt.MouseButton.LeftButton:
            return False
        self._held = self._handlers.press(_place(event))
        return self._held


def _place(event: Any) -> Array:
    at = event.position()
    return np.array([at.x(), at.y()])


def screen_from_scene(canvas: Any, points: Array) -> Array:
    """(N, 2) places on the canvas of points (N, 2) or (N, 3) in the scene."""
    mapped = (canvas.view.transform * canvas.view.scene.transform).map(points)
    return np.asarray(mapped[:, :2] / mapped[:, 3:], dtype=np.float64)


def scene_from_screen(canvas: Any, place: Array) -> Array:
    """(2,) x, y in the scene of a flat view under a place on the canvas."""
    mapped = (canvas.view.transform * canvas.view.scene.transform).imap(place)
    return np.asarray(mapped[:2] / mapped[3], dtype=np.float64)
