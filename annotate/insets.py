"""Close views of eyes and mouth beside the picture; keypoints can be dragged in them, too."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import QLineF, QPointF, QRectF, QSize, Qt
from qtpy.QtGui import QColor, QImage, QPainter, QPen
from qtpy.QtWidgets import QSizePolicy, QVBoxLayout, QWidget
from typing_extensions import override

from annotate import drawing
from annotate.canvas import REACH_SCREEN_PX, KeypointCanvas
from annotate.hand_bones import HAND
from annotate.marks import HOVERED_COLOUR
from annotate.side_view import SideView

WIDTH_PX = 280
_REGIONS = (("right_eye", "right eye"), ("left_eye", "left eye"), ("mouth", "mouth"))
_HALO = QColor(10, 13, 15, 170)


class Inset(QWidget):
    """One close view.

    Args:
        canvas: whose document it shows and drags.
        region: of the face.
        title: for people.
    """

    def __init__(self, canvas: KeypointCanvas, region: str, title: str) -> None:
        super().__init__()
        self.setMinimumHeight(150)
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Expanding)
        self.setMouseTracking(True)
        self.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self._canvas = canvas
        self._region, self._title = region, title
        self._box: tuple[float, float, float, float] | None = None
        self._image: QImage | None = None
        self._pixels: NDArray[np.uint8] | None = None

    def look(self) -> None:
        """Another picture, another place of the region, or another size of the widget."""
        canvas, document = self._canvas, self._canvas.document
        box = None
        if document is not None:
            box = drawing.region_box(canvas.drawn_px, document.topology_id, self._region)
        if box is None or self.width() < 8 or self.height() < 8:
            self._box = None
        else:
            (x, y), zoom = drawing.view_onto(box, (self.width(), self.height()), 1.0)
            w, h = self.width() / zoom, self.height() / zoom
            self._box = (x - w / 2, y - h / 2, w, h)
            self._cut(zoom)
        self.update()

    def _cut(self, zoom: float) -> None:
        """The picture under the view, as large as the widget."""
        assert self._box is not None
        x, y = self._box[:2]
        # cv2 counts from pixel centres, ours from corners.
        picture_from_view = np.array([[1 / zoom, 0, x], [0, 1 / zoom, y]])
        picture_from_view[:, 2] += 0.5 / zoom - 0.5
        size = (self.width(), self.height())
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        cut = cv2.warpAffine(self._canvas.raw_picture, picture_from_view, size, flags=flags)
        self._pixels = np.ascontiguousarray(drawing.contrasted(cut, self._canvas.contrast))
        stride = 3 * size[0]
        self._image = QImage(self._pixels.data, *size, stride, QImage.Format.Format_RGB888)

    @override
    def resizeEvent(self, _event: Any) -> None:
        """Qt's."""
        self.look()

    @override
    def paintEvent(self, _event: Any) -> None:
        """Qt's."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        if self._box is None or self._image is None:
            painter.fillRect(self.rect(), QColor(30, 33, 38))
        else:
            painter.drawImage(0, 0, self._image)
            painter.setOpacity(self._canvas.opacity)
            self._paint_marks(painter)
            painter.setOpacity(1.0)
        painter.setPen(QColor(255, 255, 255))
        width = painter.fontMetrics().horizontalAdvance(self._title) + 12
        painter.fillRect(QRectF(0, 0, width, 20), QColor(10, 13, 15, 150))
        painter.drawText(QPointF(6, 14), self._title)
        painter.end()

    def _paint_marks(self, painter: QPainter) -> None:
        canvas, document = self._canvas, self._canvas.document
        assert document is not None
        if canvas.marks.lines_shown:
            self._paint_lines(painter, document)
        if not canvas.points.visible:
            return
        shown = np.flatnonzero(drawing.on_contour(document.topology_id))
        places = self._to_view(canvas.drawn_px[shown])
        inside = ((places > -9) & (places < [self.width() + 9, self.height() + 9])).all(axis=1)
        sizes = drawing.marker_sizes_px(document.topology_id)[shown] / 2
        face = canvas.face_colours
        painter.setPen(QPen(QColor(16, 20, 24), 1))
        for i in np.flatnonzero(inside):
            painter.setBrush(QColor.fromRgbF(*(float(c) for c in face[shown[i]])))
            painter.drawEllipse(QPointF(*places[i]), sizes[i], sizes[i])
        painter.setBrush(Qt.BrushStyle.NoBrush)
        dragged = canvas.dragging.index
        index = dragged if dragged is not None else canvas.hovered
        for ringed, radius, colour in (
            (index, 8, HOVERED_COLOUR),
            (canvas.tools.asked, 13, drawing.ASKED_COLOUR),
        ):
            if ringed is not None:
                painter.setPen(QPen(QColor(colour), 2.5))
                (place,) = self._to_view(canvas.drawn_px[[ringed]])
                painter.drawEllipse(QPointF(*place), radius, radius)

    def _paint_lines(self, painter: QPainter, document: Any) -> None:
        canvas = self._canvas
        ends = self._to_view(canvas.marks.vertices).reshape(-1, 4)
        colours = drawing.line_colours(document.topology_id, document.confirmed, canvas.active)
        low, high = np.array([0, 0, 0, 0]), np.array([self.width(), self.height()] * 2)
        inside = ((ends > low - 20) & (ends < high + 20)).all(axis=1)
        ends, colours = ends[inside], colours[::2][inside]
        lines = [QLineF(*piece) for piece in ends.tolist()]
        painter.setPen(QPen(_HALO, 3.5))
        painter.drawLines(lines)
        for colour in np.unique(colours, axis=0):
            painter.setPen(QPen(QColor.fromRgbF(*(float(c) for c in colour)), 1.5))
            mine = np.flatnonzero((colours == colour).all(axis=1))
            painter.drawLines([lines[i] for i in mine])

    def _to_view(self, points_px: NDArray[Any]) -> NDArray[np.float64]:
        assert self._box is not None
        scale = self.width() / self._box[2]
        return np.asarray((points_px - np.array(self._box[:2])) * scale, dtype=np.float64)

    # -- the mouse --------------------------------------------------------------------------

    def _at(self, event: Any) -> tuple[NDArray[np.float64], float]:
        """A place in the picture, and how far around it a click reaches there."""
        assert self._box is not None
        scale = self.width() / self._box[2]
        place = event.position()
        at = np.array([place.x(), place.y()]) / scale + np.array(self._box[:2])
        return at, REACH_SCREEN_PX / scale

    @override
    def mousePressEvent(self, event: Any) -> None:
        """Qt's."""
        if self._box is not None and event.button() == Qt.MouseButton.LeftButton:
            held = event.modifiers()
            soft = bool(held & Qt.KeyboardModifier.ShiftModifier)
            alone = bool(held & Qt.KeyboardModifier.ControlModifier)
            self._canvas.press(*self._at(event), soft, alone)

    @override
    def mouseMoveEvent(self, event: Any) -> None:
        """Qt's."""
        if self._box is None:
            return
        if self._canvas.dragging.index is not None:
            self._canvas.drag_to(self._at(event)[0])
        else:
            self._canvas.hover(*self._at(event))

    @override
    def mouseReleaseEvent(self, event: Any) -> None:
        """Qt's."""
        if event.button() == Qt.MouseButton.LeftButton and self._canvas.dragging.index is not None:
            self._canvas.release()


class Insets(QWidget):
    """The close views, one above the other."""

    def __init__(self, canvas: KeypointCanvas) -> None:
        super().__init__()
        self.setMinimumWidth(WIDTH_PX)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(4, 4, 4, 4)
        layout.setSpacing(4)
        self._canvas = canvas
        self.views = [Inset(canvas, region, title) for region, title in _REGIONS]
        self.side = SideView(canvas)
        for view in (*self.views, self.side):
            layout.addWidget(view)
        self.side.hide()

    @override
    def sizeHint(self) -> QSize:
        """Qt's."""
        return QSize(WIDTH_PX, 600)

    def look(self) -> None:
        """Another picture or document: eyes and mouth of a face, a hand from its side."""
        document = self._canvas.document
        hand = document is not None and document.topology_id == HAND
        if hand == self.side.isHidden():
            self.side.setVisible(hand)
            for view in self.views:
                view.setVisible(not hand)
        for view in self._shown():
            view.look()

    def _shown(self) -> list[Inset] | list[SideView]:
        return self.views if self.side.isHidden() else [self.side]

    def repaint_marks(self) -> None:
        """Keypoints moved."""
        if self.isVisible():
            for view in self._shown():
                view.update()
