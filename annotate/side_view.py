"""A hand from its side: depth to the right, height as in the picture; depth can be dragged."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import QLineF, QPointF, QRectF, Qt
from qtpy.QtGui import QColor, QPainter, QPen
from qtpy.QtWidgets import QSizePolicy, QWidget
from typing_extensions import override

from annotate import drawing
from annotate.canvas import REACH_SCREEN_PX, KeypointCanvas
from annotate.editing import NOT_LABELLED, Move
from annotate.hand_bones import HAND, PARENT
from annotate.marks import HOVERED_COLOUR, WRONG_COLOUR

_MARGIN_PX = 24
_GROUND, _TEXT = QColor(30, 33, 38), QColor(255, 255, 255)


class SideView(QWidget):
    """The hand of the canvas seen from its side.

    Args:
        canvas: whose document it shows and changes.
    """

    def __init__(self, canvas: KeypointCanvas) -> None:
        super().__init__()
        self.setMinimumHeight(150)
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Expanding)
        self.setMouseTracking(True)
        self.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self._canvas = canvas
        self._index: int | None = None
        self._dragged: float | None = None
        # Picture pixels at the view's middle, and view pixels to one of them.
        self._middle, self._scale = np.zeros(2), 1.0

    def look(self) -> None:
        """Another picture, another document, or another size of the widget."""
        places = self._places()
        known = places[np.isfinite(places).all(axis=1)]
        if self._index is None and len(known):
            low, high = known.min(axis=0), known.max(axis=0)
            room = np.array([self.width(), self.height()]) - 2 * _MARGIN_PX
            self._middle = (low + high) / 2
            self._scale = float((np.maximum(room, 8) / np.maximum(high - low, 1.0)).min())
        self.update()

    def _places(self) -> NDArray[np.float64]:
        """(21, 2) picture pixels: depth behind the wrist, and y."""
        document = self._canvas.document
        if document is None or document.topology_id != HAND:
            return np.zeros((0, 2))
        depth = self._canvas.drawn_depth
        if self._index is not None and self._dragged is not None:
            depth = depth.copy()
            depth[self._index] = self._dragged
        behind = (depth - 1.0) * self._canvas.camera.fx
        return np.stack([behind, self._canvas.drawn_px[:, 1]], axis=1)

    def _to_view(self, places: NDArray[np.float64]) -> NDArray[np.float64]:
        middle = np.array([self.width(), self.height()]) / 2
        return np.asarray((places - self._middle) * self._scale + middle)

    @override
    def resizeEvent(self, _event: Any) -> None:
        """Qt's."""
        self.look()

    @override
    def paintEvent(self, _event: Any) -> None:
        """Qt's."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.fillRect(self.rect(), _GROUND)
        places = self._places()
        if len(places):
            self._paint_hand(painter, self._to_view(places))
        self._paint_words(painter)
        painter.end()

    def _paint_hand(self, painter: QPainter, spots: NDArray[np.float64]) -> None:
        canvas, document = self._canvas, self._canvas.document
        assert document is not None
        for child in range(1, len(spots)):
            wrong = child in canvas.wrong.bones
            colour = WRONG_COLOUR if wrong else drawing.finger_colour(child)
            painter.setPen(QPen(QColor(colour), 3.0 if wrong else 2.0))
            painter.drawLine(QLineF(*spots[PARENT[child]], *spots[child]))
        face, _ = drawing.marker_colours(HAND, document.visibility, document.placed)
        ringed = self._index if self._index is not None else canvas.hovered
        for index, spot in enumerate(spots):
            if document.visibility[index] == NOT_LABELLED:
                continue
            painter.setPen(QPen(QColor(16, 20, 24), 1))
            painter.setBrush(QColor.fromRgbF(*(float(c) for c in face[index])))
            painter.drawEllipse(QPointF(*spot), 4.5, 4.5)
            painter.setBrush(Qt.BrushStyle.NoBrush)
            if index in canvas.wrong.joints:
                painter.setPen(QPen(QColor(WRONG_COLOUR), 2.5))
                painter.drawEllipse(QPointF(*spot), 8, 8)
            if index == ringed:
                painter.setPen(QPen(QColor(HOVERED_COLOUR), 2.5))
                painter.drawEllipse(QPointF(*spot), 8, 8)

    def _paint_words(self, painter: QPainter) -> None:
        document = self._canvas.document
        title = "from the side · farther →"
        if document is not None and document.depth is None:
            title = "depth unknown: drag points sideways"
        painter.setPen(_TEXT)
        width = painter.fontMetrics().horizontalAdvance(title) + 12
        painter.fillRect(QRectF(0, 0, width, 20), QColor(10, 13, 15, 150))
        painter.drawText(QPointF(6, 14), title)

    # -- the mouse --------------------------------------------------------------------------

    def _nearest(self, event: Any) -> int | None:
        spots = self._to_view(self._places())
        if not len(spots):
            return None
        place = event.position()
        distance = np.linalg.norm(spots - [place.x(), place.y()], axis=1)
        index = int(np.nanargmin(distance))
        return index if distance[index] <= REACH_SCREEN_PX else None

    @override
    def mousePressEvent(self, event: Any) -> None:
        """Qt's."""
        index = self._nearest(event)
        # The wrist's depth is what the others' is counted from.
        if event.button() == Qt.MouseButton.LeftButton and index:
            self._index, self._dragged = index, float(self._canvas.drawn_depth[index])
            self._from = event.position().x()
            self.update()

    @override
    def mouseMoveEvent(self, event: Any) -> None:
        """Qt's."""
        if self._index is None:
            self._canvas.hover_over(self._nearest(event))
            self.update()
            return
        aside = (event.position().x() - self._from) / self._scale / self._canvas.camera.fx
        self._dragged = max(float(self._canvas.drawn_depth[self._index]) + aside, 0.2)
        self.update()

    @override
    def mouseReleaseEvent(self, event: Any) -> None:
        """Qt's."""
        index, depth = self._index, self._dragged
        self._index = self._dragged = None
        if index is not None and depth != self._canvas.drawn_depth[index] and depth is not None:
            x, y = self._canvas.drawn_px[index].tolist()
            self._canvas.tell_move(Move((index,), ((x, y),), (index,), (depth,)))
        self.look()
