"""The strip along the bottom: small pictures of other frames with the box in them, and the timeline
with every frame's expected error."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import QPointF, QRectF, Qt, QTimer
from qtpy.QtGui import QColor, QImage, QPainter, QPen, QPolygonF
from qtpy.QtWidgets import QVBoxLayout, QWidget
from typing_extensions import override

from annotate.cuboid_drawing import (
    CLICK_COLOUR,
    EDGE_COLOUR,
    FRONT,
    FRONT_COLOUR,
    PLACING_COLOUR,
    error_colours,
    error_limit_px,
)
from annotate.cuboid_fitted import Fitted
from annotate.cuboid_placing import EDGES
from annotate.theme import THEMES, Theme
from arsession.readers import open_session
from runtime.errors import ViewfinderError

Array = NDArray[np.float64]

_THUMB_HEIGHT, _LINE_HEIGHT, _GAP = 88, 52, 6
_MOST_THUMBS, _LOOK_MS, _SETTLED_MS = 16, 120, 150


class SmallPictures:
    """Pictures of a few frames, made small by a thread that reads the recording for itself.

    Args:
        project: the recording.
        height: of the small pictures, pixels.
    """

    def __init__(self, project: Path, height: int) -> None:
        self._project, self._height = project, height
        self._made: dict[int, NDArray[np.uint8]] = {}
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def ask(self, frames: list[int]) -> None:
        """Begin to make these; what is made already stays."""
        self.close()
        wanted = [f for f in sorted(frames) if f not in self._made]
        self._stop = threading.Event()
        if wanted:
            self._thread = threading.Thread(target=self._make, args=(wanted, self._stop))
            self._thread.start()

    def _make(self, frames: list[int], stop: threading.Event) -> None:
        try:
            pictures = open_session(self._project).pictures
            for frame in frames:
                if stop.is_set() or pictures is None:
                    return
                if pictures.has(frame):
                    rgb = pictures.read(frame)
                    width = max(1, round(rgb.shape[1] * self._height / rgb.shape[0]))
                    small = cv2.resize(rgb, (width, self._height), interpolation=cv2.INTER_AREA)
                    self._made[frame] = np.ascontiguousarray(small)
        except ViewfinderError:
            return  # the picture view says what is wrong with a frame when it is looked at

    def get(self, frame: int) -> NDArray[np.uint8] | None:
        """(h, w, 3) uint8 RGB, None while it isn't made."""
        return self._made.get(frame)

    @property
    def busy(self) -> bool:
        """Whether more are being made."""
        return self._thread is not None and self._thread.is_alive()

    def close(self) -> None:
        """End the thread."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None


class FrameRow(QWidget):
    """Small pictures of frames all over the recording, the box drawn in each.

    Args:
        project: the recording.
        frames: how many it has.
        size_px: (2,) of a picture.
        on_frame: called with a frame that was clicked on.
    """

    def __init__(self, project: Path, frames: int, size_px: Array, on_frame: Any) -> None:
        super().__init__()
        self.setFixedHeight(_THUMB_HEIGHT)
        self._frames, self._size_px, self._on_frame = frames, size_px, on_frame
        self.pictures = SmallPictures(project, _THUMB_HEIGHT)
        self.shown: list[int] = []
        self.on_laid_out: Callable[[], None] = lambda: None
        self.current = 0
        self._boxes: list[tuple[Array, bool]] = []
        self._theme = THEMES["dark"]
        self._timer = QTimer(self)
        self._timer.setInterval(_LOOK_MS)
        self._timer.timeout.connect(self._look)
        # A window takes several sizes while it opens, and is painted sooner when nothing is read.
        self._settled = QTimer(self)
        self._settled.setSingleShot(True)
        self._settled.setInterval(_SETTLED_MS)
        self._settled.timeout.connect(self._read)

    def end(self) -> None:
        """End what reads pictures."""
        self._settled.stop()
        self._timer.stop()
        self.pictures.close()

    @property
    def busy(self) -> bool:
        """Whether pictures are still to come."""
        return self._settled.isActive() or self.pictures.busy

    def set_theme(self, theme: Theme) -> None:
        """Colours."""
        self._theme = theme
        self.update()

    @property
    def _width(self) -> float:
        return float(_THUMB_HEIGHT * self._size_px[0] / self._size_px[1])

    @override
    def resizeEvent(self, event: Any) -> None:
        """Qt's: as many pictures as have room, evenly over the recording."""
        room = int((self.width() + _GAP) // (self._width + _GAP))
        count = max(1, min(room, _MOST_THUMBS, self._frames))
        frames = np.unique(np.linspace(0, self._frames - 1, count).round().astype(int)).tolist()
        if frames != self.shown:
            self.shown = frames
            self._boxes = []
            self._settled.start()
            self.on_laid_out()

    def _read(self) -> None:
        self.pictures.ask(self.shown)
        self._timer.start()

    def _look(self) -> None:
        if not self.pictures.busy:
            self._timer.stop()
        self.update()

    def show_boxes(self, px: list[tuple[Array, bool]], current: int) -> None:
        """Boxes as they are in `shown`: (len(shown), 9, 2) px each, and whether it is chosen."""
        self._boxes, self.current = px, current
        self.update()

    def _rectangles(self) -> list[QRectF]:
        count, width = len(self.shown), self._width
        step = (self.width() - width) / max(count - 1, 1)
        return [QRectF(i * step, 0.0, width, _THUMB_HEIGHT) for i in range(count)]

    @override
    def mousePressEvent(self, event: Any) -> None:
        """Qt's: a click goes to that frame."""
        for frame, place in zip(self.shown, self._rectangles()):
            if place.contains(event.position()):
                self._on_frame(frame)

    @override
    def paintEvent(self, _event: Any) -> None:
        """Qt's."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        scale = _THUMB_HEIGHT / float(self._size_px[1])
        for i, (frame, place) in enumerate(zip(self.shown, self._rectangles())):
            small = self.pictures.get(frame)
            painter.setClipRect(place)
            painter.fillRect(place, QColor(self._theme.raised))
            if small is not None:
                height, width = small.shape[:2]
                image = QImage(small.data, width, height, 3 * width, QImage.Format.Format_RGB888)
                painter.drawImage(place, image)
            for px, chosen in self._boxes:
                self._paint_box(painter, px[i] * scale, place, chosen)
            here = frame == self.current
            colour = QColor(self._theme.accent if here else self._theme.rule)
            painter.setPen(QPen(colour, 4.0 if here else 1.0))
            painter.drawRect(place)
        painter.end()

    def _paint_box(self, painter: QPainter, px: Array, place: QRectF, chosen: bool) -> None:
        if not np.isfinite(px).all():
            return
        for edge in EDGES:
            colour = QColor(FRONT_COLOUR if FRONT.issuperset(edge) else EDGE_COLOUR)
            painter.setPen(QPen(colour if chosen else QColor("#c3c9d1"), 1.3))
            ends = [QPointF(place.x() + px[k, 0], px[k, 1]) for k in edge]
            painter.drawLine(ends[0], ends[1])


class Timeline(QWidget):
    """Every frame's expected error, where clicks are, where one is, and where to go next.

    Args:
        frames: how many.
        height_px: of a picture.
        on_frame: called with a frame that was clicked or dragged to.
    """

    def __init__(self, frames: int, height_px: float, on_frame: Any) -> None:
        super().__init__()
        self.setFixedHeight(_LINE_HEIGHT)
        self._frames, self._height_px, self._on_frame = frames, height_px, on_frame
        self.errors_px: Array = np.full(frames, np.nan)
        self.clicked: list[int] = []
        self.suggested: int | None = None
        self.current = 0
        self.doubtful: NDArray[np.bool_] = np.zeros(frames, bool)
        self._theme = THEMES["dark"]

    def set_theme(self, theme: Theme) -> None:
        """Colours."""
        self._theme = theme
        self.update()

    def show_fit(self, fitted: Fitted | None, suggested: int | None) -> None:
        """What the fit of the chosen box says of every frame."""
        self.errors_px = np.full(self._frames, np.nan) if fitted is None else fitted.frame_errors_px
        self.clicked = [] if fitted is None else sorted({c.frame for c in fitted.cuboid.clicks})
        self.suggested = suggested
        self.update()

    def show_frame(self, frame: int) -> None:
        """Where one is."""
        self.current = frame
        self.update()

    def _x(self, frame: float) -> float:
        return (frame + 0.5) * self.width() / self._frames

    @override
    def mousePressEvent(self, event: Any) -> None:
        """Qt's: go there."""
        self._go(event)

    @override
    def mouseMoveEvent(self, event: Any) -> None:
        """Qt's: go along."""
        if event.buttons() & Qt.MouseButton.LeftButton:
            self._go(event)

    def _go(self, event: Any) -> None:
        frame = int(event.position().x() * self._frames / max(self.width(), 1))
        self._on_frame(min(max(frame, 0), self._frames - 1))

    @override
    def paintEvent(self, _event: Any) -> None:
        """Qt's."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        top, low = 12.0, _LINE_HEIGHT - 18.0
        painter.fillRect(QRectF(0, top, self.width(), low - top), QColor(self._theme.raised))
        limit = error_limit_px(self.errors_px, self._height_px)
        colours = (error_colours(self.errors_px, limit)[:, :3] * 255).astype(int)
        width = self.width() / self._frames
        for frame in range(self._frames):
            error = self.errors_px[frame]
            share = min(max(error / limit, 0.12), 1.0) if np.isfinite(error) else 0.0
            bar = QRectF(frame * width, low - share * (low - top), width + 0.6, share * (low - top))
            painter.fillRect(bar, QColor(*colours[frame].tolist()))
            if self.doubtful[frame]:
                painter.fillRect(QRectF(frame * width, low, width + 0.6, 3), QColor("#e0564a"))
        self._paint_marks(painter, top, low)
        self._paint_words(painter, limit)
        painter.end()

    def _paint_marks(self, painter: QPainter, top: float, low: float) -> None:
        painter.setPen(Qt.PenStyle.NoPen)
        for frame in self.clicked:
            painter.setBrush(QColor(CLICK_COLOUR))
            painter.drawEllipse(QPointF(self._x(frame), top - 6), 4.0, 4.0)
        if self.suggested is not None:
            x = self._x(self.suggested)
            painter.setBrush(QColor(PLACING_COLOUR))
            tip = [QPointF(x - 6, top - 11), QPointF(x + 6, top - 11), QPointF(x, top - 1)]
            painter.drawPolygon(QPolygonF(tip))
        painter.setPen(QPen(QColor(self._theme.text), 2.0))
        x = self._x(self.current)
        painter.drawLine(QPointF(x, top - 3), QPointF(x, low + 3))

    def _paint_words(self, painter: QPainter, limit: float) -> None:
        painter.setPen(QColor(self._theme.muted))
        error = self.errors_px[self.current]
        some = self.errors_px[np.isfinite(self.errors_px)]
        words = f"frame {self.current} (0 to {self._frames - 1})"
        if np.isfinite(error):
            words += f" · expected error here {error:.1f} px"
        if len(some):
            words += f", over all frames {np.sqrt((some**2).mean()):.1f} px (full bar {limit:.1f})"
        place = QRectF(0, _LINE_HEIGHT - 15, self.width(), 15)
        painter.drawText(place, int(Qt.AlignmentFlag.AlignLeft), words)


class FrameStrip(QWidget):
    """Both, one above the other.

    Args:
        project: the recording.
        size_px: (F, 2) of its pictures.
        on_frame: called with the frame to go to.
    """

    def __init__(self, project: Path, size_px: Array, on_frame: Any) -> None:
        super().__init__()
        self.row = FrameRow(project, len(size_px), size_px[0], on_frame)
        self.timeline = Timeline(len(size_px), float(size_px[0, 1]), on_frame)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(8, 4, 8, 4)
        layout.setSpacing(4)
        layout.addWidget(self.row)
        layout.addWidget(self.timeline)

    def set_theme(self, theme: Theme) -> None:
        """Colours."""
        self.setStyleSheet(f"background: {theme.ground}; color: {theme.text};")
        self.row.set_theme(theme)
        self.timeline.set_theme(theme)
