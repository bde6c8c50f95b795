"""Others' work on the picture: laid over it, or blinked in turn, while a review goes on."""

from __future__ import annotations

import html
from typing import Any

import numpy as np
from numpy.typing import NDArray

from annotate import drawing
from annotate.canvas import KeypointCanvas
from annotate.editing import Document
from annotate.review import ReviewSession

GHOST_COLOURS = ("#35d0ff", "#ffa53d", "#c9a6ff", "#8cff66")
"""Of the first annotator, the second and so on."""
MODES = ("laid over", "blinked", "hidden")
_BLINK_MS = 600
_POINT_PX = 5.0
_MOST_PARTS = 2


class Ghosts:
    """Lines and points of others' documents, each in one colour.

    Args:
        scene: vispy's, in which x is the column, y the row, and pixel centres are whole.
    """

    def __init__(self, scene: Any) -> None:
        from vispy.scene.visuals import Line, Markers

        self._pairs = []
        for _ in GHOST_COLOURS:
            pair = Line(parent=scene, antialias=True, method="gl"), Markers(parent=scene)
            for visual in pair:
                visual.order = 0.8  # over the picture and our lines, under the keypoints
                visual.set_gl_state("translucent", depth_test=False)
                visual.visible = False
            self._pairs.append(pair)

    def close(self) -> None:
        """Take everything out of the scene."""
        for pair in self._pairs:
            for visual in pair:
                visual.parent = None

    def draw(self, documents: list[Document]) -> None:
        """Show these, the first in the first colour."""
        for (lines, points), colour, document in zip(self._pairs, GHOST_COLOURS, documents):
            layout = drawing.line_layout(document.topology_id)
            places = drawing.shown_positions(document)
            ends = layout.vertices(places, document.visibility) - 0.5
            width = drawing.line_width_px(document.topology_id)
            lines.set_data(ends, color=colour, connect="segments", width=width)
            shown = (document.visibility > 0) & drawing.on_contour(document.topology_id)
            chosen: NDArray[np.float32] = places[shown].astype(np.float32) - 0.5
            if len(chosen):
                points.set_data(chosen, size=_POINT_PX, face_color=colour, edge_width=0)

    def show(self, which: set[int]) -> None:
        """Only those; their points only where there are some."""
        for number, (lines, points) in enumerate(self._pairs):
            lines.visible = number in which
            points.visible = number in which and points._data is not None


class Reviewing:
    """What the window does besides, while its session is a review.

    Args:
        canvas: where others' work shows.
        parent: a Qt object that owns the timer.
    """

    def __init__(self, canvas: KeypointCanvas, parent: Any) -> None:
        from qtpy.QtCore import QTimer

        self._canvas = canvas
        self._made: Ghosts | None = None
        self._timer = QTimer(parent)
        self._timer.setInterval(_BLINK_MS)
        self._timer.timeout.connect(self.turn)
        self.session: ReviewSession | None = None
        self.mode = MODES[0]
        self.shown_alone: int | None = None
        self._own = True, True

    @property
    def _ghosts(self) -> Ghosts:
        """Made when the first review begins: a window without one needn't wait for them."""
        if self._made is None:
            self._made = Ghosts(self._canvas.viewer.window._qt_viewer.canvas.view.scene)
        return self._made

    def close(self) -> None:
        """Stop, and leave the scene."""
        self._stop()
        if self._made is not None:
            self._made.close()

    def begin(self, session: object) -> None:
        """Another session: a review or not."""
        self._stop()
        self.session = session if isinstance(session, ReviewSession) else None
        self.mode = MODES[0]
        if self._made is not None:
            self._made.show(set())

    def show_item(self) -> None:
        """Others' work on the current item."""
        if self.session is not None:
            self._ghosts.draw([document for _, document in self.session.works])
            self._apply()

    def next_mode(self) -> str:
        """Laid over, blinked, hidden, in turn; what it is now."""
        self._stop()
        self.mode = MODES[(MODES.index(self.mode) + 1) % len(MODES)]
        self._apply()
        return self.mode

    def turn(self) -> None:
        """Blink: the next one's work alone."""
        if self.session is not None and self.shown_alone is not None:
            self.shown_alone = (self.shown_alone + 1) % self._count()
            self._ghosts.show({self.shown_alone})

    def _count(self) -> int:
        assert self.session is not None
        return min(len(self.session.works), len(GHOST_COLOURS))

    def _apply(self) -> None:
        if self.mode == "blinked" and self.shown_alone is None:
            # One's own marks would stand still between the two, and hide what moves.
            self._own = self._canvas.marks.lines_shown, bool(self._canvas.points.visible)
            self._canvas.marks.show_lines(False)
            self._canvas.points.visible = False
            self.shown_alone = 0
            self._timer.start()
        if self.mode == "blinked":
            self.shown_alone = 0
            self._ghosts.show({0})
        else:
            self._ghosts.show(set(range(self._count())) if self.mode == MODES[0] else set())

    def _stop(self) -> None:
        self._timer.stop()
        if self.shown_alone is not None:
            self._canvas.marks.show_lines(self._own[0])
            self._canvas.points.visible = self._own[1]
            self.shown_alone = None

    def text(self, muted: str) -> str:
        """Rich text for the panel: who in which colour, and how far apart; "" for no review."""
        if self.session is None:
            return ""
        people = " ".join(
            f"<span style='color:{colour}'>●</span>&nbsp;{number}&nbsp;{html.escape(name)}"
            for number, ((name, _), colour) in enumerate(
                zip(self.session.works, GHOST_COLOURS), start=1
            )
        )
        apart = self.session.apart()
        worst = [
            f"{part.replace('_', ' ')} {100 * value:.1f}"
            for part, value in list(apart.items())[1 : 1 + _MOST_PARTS]
        ]
        said = f"{100 * apart['all']:.2f} % apart: {', '.join(worst)} · {self.mode}"
        return f"{people}<br><span style='color:{muted}'>{html.escape(said)}</span>"
