"""Somebody's hand on mouse and keyboard of a real window."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from annotate.editing import px_from_rowcol, rowcol_from_px
from annotate.session import AnnotationSession
from annotate.store import STORE_NAME, AnnotationStore


@dataclass
class Hand:
    """Somebody's hand on mouse and keyboard."""

    bot: Any
    viewer: Any
    window: Any
    session: AnnotationSession

    @property
    def native(self) -> Any:
        return self.viewer.window._qt_viewer.canvas.native

    def position(self, x_px: float, y_px: float) -> Any:
        """The canvas position over a place in the picture."""
        from qtpy.QtCore import QPoint

        canvas = self.viewer.window._qt_viewer.canvas
        row, column = rowcol_from_px([x_px, y_px])
        x, y = (canvas.view.transform * canvas.view.scene.transform).map([column, row])[:2]
        return QPoint(round(float(x)), round(float(y)))

    def mouse(self, kind: str, position: Any, shift: bool = False, control: bool = False) -> None:
        from qtpy.QtCore import QEvent, QPointF, Qt
        from qtpy.QtGui import QMouseEvent
        from qtpy.QtWidgets import QApplication

        left, none = Qt.MouseButton.LeftButton, Qt.MouseButton.NoButton
        held = Qt.KeyboardModifier.ShiftModifier if shift else Qt.KeyboardModifier.NoModifier
        held |= Qt.KeyboardModifier.ControlModifier if control else Qt.KeyboardModifier.NoModifier
        hovering = kind == "Hover"
        event = QMouseEvent(
            QEvent.Type.MouseMove if hovering else getattr(QEvent.Type, kind),
            QPointF(position),
            QPointF(self.native.mapToGlobal(position)),
            none if hovering or kind == "MouseMove" else left,
            none if hovering or kind == "MouseButtonRelease" else left,
            held,
        )
        QApplication.sendEvent(self.native, event)
        self.bot.wait(15)  # napari takes one move in 5 ms

    def press(self, index: int, shift: bool = False, control: bool = False) -> Any:
        place = self.position(*self.session.document.keypoints_px[index])
        self.mouse("Hover", place)
        self.mouse("MouseButtonPress", place, shift, control)
        return place

    def drag(
        self, index: int, dx: int, dy: int, shift: bool = False, control: bool = False
    ) -> None:
        """Drag a keypoint by screen pixels."""
        from qtpy.QtCore import QPoint

        place = self.press(index, shift, control)
        for part in (0.3, 0.7, 1.0):
            self.mouse(
                "MouseMove", place + QPoint(round(dx * part), round(dy * part)), shift, control
            )
        self.mouse("MouseButtonRelease", place + QPoint(dx, dy), shift, control)

    def key(self, name: str, *modifiers: str) -> None:
        from qtpy.QtCore import Qt

        held = Qt.KeyboardModifier.NoModifier
        for modifier in modifiers:
            held |= getattr(Qt.KeyboardModifier, f"{modifier}Modifier")
        self.bot.keyClick(self.native, getattr(Qt.Key, f"Key_{name}"), held)

    def type(self, text: str) -> None:
        """Type into the line that asks, and press Enter."""
        from qtpy.QtCore import Qt

        prompt = self.window.panel.prompt
        assert prompt.isVisible()
        self.bot.keyClicks(prompt, text)
        self.bot.keyClick(prompt, Qt.Key.Key_Return)

    def escape(self) -> None:
        """Leave the line that asks."""
        from qtpy.QtCore import Qt

        self.bot.keyClick(self.window.panel.prompt, Qt.Key.Key_Escape)
        assert not self.window.panel.prompt.isVisible()

    def stored(self) -> Any:
        """The current document as another process finds it on the disk."""
        path = self.session.dataset.root / STORE_NAME
        with AnnotationStore.open(path, self.session.annotator) as store:
            return store.document(self.session.item.key)

    def drawn_px(self) -> np.ndarray:
        """Where napari's markers stand."""
        return px_from_rowcol(self.window.canvas.points.data)
