"""Somebody's hand on mouse and keyboard of the window for AR recordings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from annotate.cuboid_session import CuboidSession
from annotate.store import STORE_NAME, AnnotationStore


@dataclass
class BoxHand:
    """Somebody's hand on mouse and keyboard; `bot` waits and presses keys."""

    bot: Any
    window: Any

    @property
    def work(self) -> CuboidSession:
        return self.window.work

    def at(self, px: Any) -> np.ndarray:
        """Where a place of the picture is on its canvas, whole pixels."""
        return np.round(self.window.picture.place_of(np.asarray(px, float)[None])[0])

    def px(self, place: Any) -> np.ndarray:
        """The place of the picture there."""
        return self.window.picture.px_of(np.asarray(place, float))

    def in_space(self, point_world_m: Any) -> np.ndarray:
        """Where a place of the world is on the view of space, whole pixels."""
        return np.round(self.window.space.project(np.asarray(point_world_m, float)[None])[0])

    def mouse(self, view: Any, kind: str, place: Any) -> None:
        """One event of the left button, or a move with it held, or `Hover`."""
        from qtpy.QtCore import QEvent, QPointF, Qt
        from qtpy.QtGui import QMouseEvent
        from qtpy.QtWidgets import QApplication

        native = view.canvas.native
        left, none = Qt.MouseButton.LeftButton, Qt.MouseButton.NoButton
        spot = QPointF(float(place[0]), float(place[1]))
        event = QMouseEvent(
            QEvent.Type.MouseMove if kind == "Hover" else getattr(QEvent.Type, kind),
            spot,
            QPointF(native.mapToGlobal(spot.toPoint())),
            none if kind in ("Hover", "MouseMove") else left,
            none if kind in ("Hover", "MouseButtonRelease") else left,
            Qt.KeyboardModifier.NoModifier,
        )
        QApplication.sendEvent(native, event)
        self.bot.wait(1)

    def click(self, px: Any) -> None:
        """Point at a place of the picture and click."""
        place = self.at(px)
        for kind in ("Hover", "MouseButtonPress", "MouseButtonRelease"):
            self.mouse(self.window.picture, kind, place)

    def drag(self, view: Any, start: Any, end: Any, steps: int = 4) -> None:
        """Drag from one place on a canvas to another."""
        start, end = np.asarray(start), np.asarray(end)
        self.mouse(view, "Hover", start)
        self.mouse(view, "MouseButtonPress", start)
        for part in np.linspace(0, 1, steps + 1)[1:]:
            self.mouse(view, "MouseMove", np.round(start + part * (end - start)))
        self.mouse(view, "MouseButtonRelease", end)

    def drag_corner(self, corner: int, to_px: Any) -> None:
        """Drag a corner of the chosen box to a place in the picture."""
        fitted = self.work.fitted(self.work.chosen)
        px = self.work.views.seen_in(self.work.frame, fitted.box.points_world_m())
        self.drag(self.window.picture, self.at(px[corner]), self.at(to_px))

    def key(self, name: str, *modifiers: str) -> None:
        """Press a key over the picture."""
        from qtpy.QtCore import Qt

        held = Qt.KeyboardModifier.NoModifier
        for modifier in modifiers:
            held |= getattr(Qt.KeyboardModifier, f"{modifier}Modifier")
        native = self.window.picture.canvas.native
        self.bot.keyClick(native, getattr(Qt.Key, f"Key_{name}"), held)

    def type(self, text: str) -> None:
        """Type into the line that asks, and press Enter."""
        from qtpy.QtCore import Qt

        prompt = self.window.panel.prompt
        assert prompt.isVisible()
        prompt.setText(text)
        self.bot.keyClick(prompt, Qt.Key.Key_Return, Qt.KeyboardModifier.NoModifier)

    def stored(self, number: int) -> Any:
        """A box's document as another process finds it on the disk."""
        folder = self.work.project
        with AnnotationStore.open(folder / STORE_NAME, self.work.annotator) as store:
            return store.document(self.work.key(number))
