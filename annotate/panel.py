"""The panel beside the picture: where one is, what one can do, and that it is saved."""

from __future__ import annotations

import html
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from qtpy.QtCore import Qt
from qtpy.QtWidgets import (
    QFrame,
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QProgressBar,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from annotate.drawing import VISIBILITY_COLOURS, VISIBILITY_NAMES

_WIDTH = 264
_STATUS_COLOURS = {"open": "#8ab4f8", "done": "#81c995", "skipped": "#fdd663", "flagged": "#f6aea9"}
_STYLE = """
QLabel#title { font-size: 15pt; font-weight: 600; }
QLabel#muted { color: #9aa0a6; }
QLabel#error { color: #f6aea9; }
QProgressBar { border: none; border-radius: 3px; background: #3a3f47; max-height: 6px; }
QProgressBar::chunk { background: #81c995; border-radius: 3px; }
QPushButton { padding: 5px 8px; }
"""


@dataclass(frozen=True)
class Action:
    """Something a person can do: its name, its keys in napari's words, what runs, and how wide
    its button is in the panel (0: no button, 1: half a row, 2: a row)."""

    title: str
    keys: tuple[str, ...]
    run: Callable[[], None]
    button: int = 0


def key_text(key: str) -> str:
    """napari's name of a key as a person reads it."""
    words = {"Control": "Ctrl", "Right": "→", "Left": "←"}
    return "+".join(words.get(part, part) for part in key.split("-"))


class Panel(QWidget):
    """Progress, the current item, buttons with their keys, and what was saved last."""

    def __init__(self, actions: Sequence[Action]) -> None:
        super().__init__()
        self.setMinimumWidth(_WIDTH)
        self.setStyleSheet(_STYLE)
        self._item = _label("title")
        self._where = _label("muted")
        self._status = _label()
        self._progress = QProgressBar()
        self._progress.setTextVisible(False)
        self._counts = _label("muted")
        self._keypoint = _label()
        self._saved = _label("muted")
        self._error = _label("error")
        self._error.hide()
        self._error_text = ""
        layout = QVBoxLayout(self)
        layout.setContentsMargins(12, 10, 12, 10)
        layout.setSpacing(7)
        for widget in (self._item, self._where, self._status, self._progress, self._counts):
            layout.addWidget(widget)
        layout.addWidget(_rule())
        layout.addLayout(_buttons([a for a in actions if a.button]))
        layout.addWidget(_rule())
        layout.addWidget(self._keypoint)
        layout.addWidget(_legend())
        layout.addWidget(_rule())
        layout.addWidget(_key_table(actions))
        layout.addStretch(1)
        layout.addWidget(self._error)
        layout.addWidget(self._saved)
        self._who = _label("muted")
        layout.addWidget(self._who)
        self.set_keypoint(None)

    def set_session(self, annotator: str, project: str, layer: str) -> None:
        """Who works on what."""
        self._who.setText(
            f"{html.escape(annotator)} · {html.escape(project)}<br>from {html.escape(layer)}"
        )

    def set_item(self, number: int, total: int, name: str, status: str, note: str) -> None:
        """Which item shows, counted from 1, and its status."""
        self._item.setText(f"{number} <span style='color:#9aa0a6'>of {total}</span>")
        self._where.setText(html.escape(name))
        colour = _STATUS_COLOURS[status]
        more = f" · {html.escape(note)}" if note else ""
        self._status.setText(f"<span style='color:{colour}'>●</span> {status}{more}")

    def set_progress(
        self, done: int, skipped: int, flagged: int, edited: int, total: int, pace: float | None
    ) -> None:
        """Counts over the queue, and items an hour when that is known."""
        self._progress.setMaximum(max(total, 1))
        self._progress.setValue(done + flagged)
        counts = f"{done} done · {skipped} skipped · {flagged} flagged · {edited} edited"
        self._counts.setText(counts if pace is None else f"{counts} · {pace:.0f} an hour")

    def set_keypoint(self, title: str | None, visibility: int | None = None) -> None:
        """The keypoint under the cursor."""
        if title is None or visibility is None:
            self._keypoint.setText(
                "<span style='color:#9aa0a6'>no keypoint under the cursor</span>"
            )
            return
        colour = VISIBILITY_COLOURS[visibility]
        name = VISIBILITY_NAMES[visibility]
        self._keypoint.setText(f"{html.escape(title)} <span style='color:{colour}'>●</span> {name}")

    @property
    def error_text(self) -> str:
        """The error that is shown, "" for none."""
        return self._error_text

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


def _label(name: str = "") -> QLabel:
    label = QLabel()
    label.setObjectName(name)
    label.setWordWrap(True)
    label.setTextInteractionFlags(Qt.TextInteractionFlag.NoTextInteraction)
    return label


def _rule() -> QFrame:
    rule = QFrame()
    rule.setFrameShape(QFrame.Shape.HLine)
    rule.setStyleSheet("color: #4a4f57;")
    return rule


def _buttons(actions: Sequence[Action]) -> Any:
    grid = QGridLayout()
    grid.setSpacing(6)
    row = column = 0
    for action in actions:
        button = QPushButton(f"{action.title}  {key_text(action.keys[0])}")
        button.setToolTip("  or  ".join(key_text(key) for key in action.keys))
        # Keys belong to the picture: a button that takes the focus would take them away.
        button.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        button.clicked.connect(lambda _checked=False, run=action.run: run())
        if column + action.button > 2:
            row, column = row + 1, 0
        grid.addWidget(button, row, column, 1, action.button)
        column += action.button
    return grid


def _legend() -> QWidget:
    legend = QWidget()
    layout = QHBoxLayout(legend)
    layout.setContentsMargins(0, 0, 0, 0)
    for value, colour in VISIBILITY_COLOURS.items():
        entry = _label()
        entry.setText(
            f"<span style='color:{colour}'>●</span> "
            f"<span style='color:#9aa0a6'>{VISIBILITY_NAMES[value]}</span>"
        )
        entry.setWordWrap(False)
        layout.addWidget(entry)
    layout.addStretch(1)
    return legend


def _key_table(actions: Sequence[Action]) -> QLabel:
    rows = [
        ("drag", "move a keypoint"),
        ("Shift+drag", "draw its neighbours along"),
        ("wheel, drag beside", "zoom, pan"),
        *(
            (", ".join(key_text(key) for key in action.keys), action.title)
            for action in actions
            if not action.button
        ),
    ]
    cells = "".join(
        f"<tr><td style='padding:1px 12px 1px 0'><b>{html.escape(keys)}</b></td>"
        f"<td style='padding:1px 0'>{html.escape(title)}</td></tr>"
        for keys, title in rows
    )
    table = _label()
    table.setText(f"<table cellspacing='0'>{cells}</table>")
    return table
