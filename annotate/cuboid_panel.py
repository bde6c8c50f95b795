"""The panel of the window for AR recordings: which box, how sure it is, and that it is saved."""

from __future__ import annotations

import html
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from qtpy.QtCore import QRectF
from qtpy.QtGui import QColor, QPainter
from qtpy.QtWidgets import QVBoxLayout, QWidget
from typing_extensions import override

from annotate.cuboid_document import BoxDocument
from annotate.cuboid_drawing import (
    BEFORE_COLOUR,
    CLICK_COLOUR,
    EDGE_COLOUR,
    FRONT_COLOUR,
    OFF_COLOUR,
    PLACING_COLOUR,
    SPREAD_COLOURS,
)
from annotate.cuboid_fitted import Fitted
from annotate.keys import BOX_ACTIONS
from annotate.panel import Prompt, buttons, label, rule
from annotate.theme import STATUS_COLOURS, THEMES, Theme, style_sheet

_WIDTH = 268
_ROW, _NAME, _VALUE = 15, 74, 66
_DEGREES = (
    ("turn", "rotation_deg", "°", 1.0, 5.0),
    ("place", "centre_m", "mm", 1000.0, 20.0),
    ("size", "size_m", "mm", 1000.0, 20.0),
)
"""Of the nine degrees of freedom: name, in the fit, unit, factor, and what counts as much."""


class SigmaBars(QWidget):
    """One bar for each degree of freedom: one standard deviation, in degrees or millimetres."""

    def __init__(self) -> None:
        super().__init__()
        self.setFixedHeight(9 * _ROW + 4)
        self._theme = THEMES["dark"]
        self.rows: list[tuple[str, float, str, float]] = []

    def set_theme(self, theme: Theme) -> None:
        """Colours."""
        self._theme = theme
        self.update()

    def show_fit(self, fitted: Fitted | None) -> None:
        """What a fit says; nothing for a box that was given."""
        self.rows = []
        if fitted is not None and fitted.fit is not None:
            sigmas = fitted.fit.sigmas()
            for name, field, unit, factor, much in _DEGREES:
                for axis, value in zip("xyz", sigmas[field]):
                    self.rows.append((f"{name} {axis}", factor * value, unit, much))
        self.update()

    @override
    def paintEvent(self, _event: Any) -> None:
        """Qt's."""
        painter = QPainter(self)
        room = self.width() - _NAME - _VALUE - 6
        for number, (name, value, unit, much) in enumerate(self.rows):
            top = number * _ROW
            painter.setPen(QColor(self._theme.muted))
            painter.drawText(QRectF(0, top, _NAME, _ROW), name)
            share = min(value / much, 1.0)
            colour = "#3fae6a" if share < 0.25 else "#e6c34a" if share < 0.75 else "#e0564a"
            painter.fillRect(QRectF(_NAME, top + 4, room, 6), QColor(self._theme.raised))
            painter.fillRect(QRectF(_NAME, top + 4, max(room * share, 2.0), 6), QColor(colour))
            painter.setPen(QColor(self._theme.text))
            place = QRectF(_NAME + room + 6, top, _VALUE, _ROW)
            painter.drawText(place, f"± {value:.{1 if value < 10 else 0}f} {unit}")
        painter.end()


class CuboidPanel(QWidget):
    """What there is to know and to do.

    Args:
        keys: action -> its keys.
        run: what runs on a button, by the action's name.
    """

    def __init__(
        self, keys: Mapping[str, tuple[str, ...]], run: Mapping[str, Callable[[], None]]
    ) -> None:
        super().__init__()
        self.setMinimumWidth(_WIDTH)
        self._theme = THEMES["dark"]
        self._title, self._where, self._status = label("title"), label("muted"), label()
        self._asked, self._size, self._legend = label(), label(), label("muted")
        self._drift, self._working = label(), label("muted")
        self._working.hide()
        self._saved, self._error, self._who = label("muted"), label("error"), label("muted")
        self._error.hide()
        self._error_text = ""
        self.bars = SigmaBars()
        self.prompt = Prompt()
        layout = QVBoxLayout(self)
        layout.setContentsMargins(12, 8, 12, 8)
        layout.setSpacing(6)
        for widget in (
            *(self._title, self._where, self._status, self._asked),
            *(self.prompt.title, self.prompt, rule()),
        ):
            layout.addWidget(widget)
        layout.addLayout(buttons([a for a in BOX_ACTIONS if a.button and keys[a.name]], keys, run))
        for widget in (rule(), self._size, self._drift, self.bars, rule(), self._legend):
            layout.addWidget(widget)
        layout.addStretch(1)
        for widget in (self._working, self._error, self._saved, self._who):
            layout.addWidget(widget)
        self.set_theme("dark", 1.0)

    def set_theme(self, name: str, font_scale: float) -> None:
        """Dark or light, and how large text is."""
        self._theme = THEMES[name]
        self.setStyleSheet(style_sheet(self._theme, font_scale))
        self.bars.set_theme(self._theme)
        self._legend.setText(
            "<br>".join(
                f"<span style='color:{colour}'>{sign}</span>&nbsp;{text}"
                for colour, sign, text in (
                    (FRONT_COLOUR, "━", "front edges"),
                    (EDGE_COLOUR, "━", "other edges"),
                    (CLICK_COLOUR, "✚", "clicked here"),
                    (OFF_COLOUR, "✚", "clicked, but the box is elsewhere"),
                    (SPREAD_COLOURS[name], "◯", "where it may be, two sigmas"),
                )
            )
        )

    def set_session(self, annotator: str, project: str, what: str) -> None:
        """Who works on what."""
        self._who.setText(f"{html.escape(annotator)} · {html.escape(project)}<br>{what}")

    def set_box(self, place: tuple[int, int] | None, document: BoxDocument | None) -> None:
        """Which box is chosen, counted from 1 of how many, and its state."""
        if place is None or document is None or document.cuboid is None:
            self._title.setText("no box yet")
            self._status.setText("")
            return
        self._title.setText(html.escape(document.cuboid.category or "no category"))
        colour = STATUS_COLOURS[self._theme.name][document.status]
        note = f" · {html.escape(document.note)}" if document.note else ""
        square = " · as wide as deep" if document.cuboid.symmetry == "square" else ""
        plane = document.cuboid.plane
        on = " · on no plane" if plane is None else ""
        on = f" · on {html.escape(plane)}" if isinstance(plane, str) and plane else on
        which = f"{document.status} · box {place[0]} of {place[1]}"
        text = f"<span style='color:{colour}'>●</span> {which}{note}{on}{square}"
        self._status.setText(text)

    def set_frame(self, frame: int, frames: int, here: int, total: int) -> None:
        """Where one is, and how many clicks the chosen box has there and in all."""
        clicks = f" · {here} of {total} clicks here" if total else ""
        self._where.setText(f"frame {frame} of {frames}{clicks}")

    def set_asked(self, asked: str) -> None:
        """What to do next, "" for nothing."""
        sign = f"<span style='color:{PLACING_COLOUR}'>◯</span> {html.escape(asked)}"
        self._asked.setText(sign if asked else "")
        self._asked.setVisible(bool(asked))

    def set_fit(self, fitted: Fitted | None) -> None:
        """The chosen box's size, how its clicks agree, and how sure it is."""
        self.bars.show_fit(fitted)
        if fitted is None:
            self._size.setText("")
            return
        size = " × ".join(f"{100 * v:.1f}" for v in fitted.box.size_m)
        fit = fitted.fit
        words = f"<b>{size}</b> cm, w × h × d"
        if fit is not None:
            off = int((fit.click_errors_px > 3 * np.array(
                [c.sigma_px for c in fitted.cuboid.clicks]
            )).sum())  # fmt: skip
            agree = "the clicks agree" if fit.misfit < 2 else f"misfit {fit.misfit:.1f}"
            words += f"<br>{agree}" + (f", {off} far off" if off else "")
        self._size.setText(words)

    def set_drift(self, by: str, before_px: float, after_px: float, moved_m: float) -> None:
        """By what drift was taken out, what clicks missed before and after, and how far cameras
        went; nothing for the tracker's own poses."""
        words = {"pictures": "by the pictures", "annotations": "by the clicks"}.get(by, "")
        if words:
            clicks = (
                "" if before_px != before_px else f": clicks {before_px:.1f} → {after_px:.1f} px"
            )
            words = f"drift out {words}{clicks}, cameras up to {100 * moved_m:.1f} cm"
            words += f"<br><span style='color:{BEFORE_COLOUR}'>━</span>&nbsp;as it was before"
        self._drift.setText(words)
        self._drift.setVisible(bool(words))

    @property
    def drift_text(self) -> str:
        """What is said of drift, "" for nothing."""
        return str(self._drift.text())

    def set_working(self, text: str) -> None:
        """What goes on in the background, "" for nothing."""
        self._working.setText(html.escape(text))
        self._working.setVisible(bool(text))

    @property
    def error_text(self) -> str:
        """The error that is shown, "" for none."""
        return self._error_text

    @property
    def saved_text(self) -> str:
        """What was said to be saved, "" while an error shows."""
        return str(self._saved.text())

    def set_saved(self, text: str) -> None:
        """What is on the disk; takes an error's place."""
        self._error_text = ""
        self._error.hide()
        self._saved.setText(html.escape(text))

    def set_error(self, text: str) -> None:
        """Something went wrong: stays until something is saved."""
        self._error_text = text
        self._error.setText(html.escape(text))
        self._saved.setText("")
        self._error.show()
