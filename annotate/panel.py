"""The panel beside the picture: where one is, what one can do, and that it is saved."""

from __future__ import annotations

import html
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from qtpy.QtCore import Qt
from qtpy.QtWidgets import (
    QFrame,
    QGridLayout,
    QLabel,
    QLineEdit,
    QProgressBar,
    QPushButton,
    QSizePolicy,
    QVBoxLayout,
    QWidget,
)
from typing_extensions import override

from annotate.drawing import ASKED_COLOUR, PLACED_COLOUR, VISIBILITY_COLOURS, VISIBILITY_NAMES
from annotate.editing import Document
from annotate.item_queue import Progress
from annotate.keys import ACTIONS, MOUSE, POINT_MOUSE, ActionInfo, key_text
from annotate.theme import STATUS_COLOURS, THEMES, style_sheet

_WIDTH = 268
# With larger text the list of what the mouse does has no room at 800 pixels.
_ROOMY_SCALE = 1.15


class Prompt(QLineEdit):
    """One line to type, with what it is for above it; Enter takes it, Escape leaves."""

    def __init__(self) -> None:
        super().__init__()
        self.on_left: Callable[[], None] = self.clearFocus
        self.on_shown: Callable[[bool], None] = lambda _shown: None
        self._taken: Callable[[str], None] = lambda _text: None
        self.hide()
        self.returnPressed.connect(self._take)
        self.title = label("muted")
        self.title.hide()

    def ask(self, title: str, text: str, taken: Callable[[str], None]) -> None:
        """Show the line; `taken` is called with what was typed."""
        self._taken = taken
        self.title.setText(html.escape(title))
        self.setText(text)
        self.selectAll()
        self.title.show()
        self.show()
        self.on_shown(True)
        self.setFocus(Qt.FocusReason.OtherFocusReason)

    def _take(self) -> None:
        self.leave()
        self._taken(self.text().strip())

    def leave(self) -> None:
        """Hide the line; whoever owns it gives the keys back to the picture in `on_left`."""
        self.title.hide()
        self.hide()
        self.on_shown(False)
        self.on_left()

    @override
    def keyPressEvent(self, event: Any) -> None:
        """Qt's."""
        if event.key() == Qt.Key.Key_Escape:
            self.leave()
        else:
            super().keyPressEvent(event)


class Panel(QWidget):
    """Progress, the current item, buttons with their keys, and what was saved last.

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
        self._item, self._where, self._status = label("title"), label("muted"), label()
        self._progress, self._contours = QProgressBar(), QProgressBar()
        for bar in (self._progress, self._contours):
            bar.setTextVisible(False)
        self._counts, self._contour = label("muted"), label()
        self._keypoint, self._tools = label(), label("muted")
        self._saved, self._error = label("muted"), label("error")
        self._error.hide()
        self._error_text = ""
        self._legend, self._who, self._model = label(), label("muted"), label("muted")
        self._plain_legend = self._shown_legend = self._shown_model = ""
        self._review = label()
        self._review.hide()
        self.prompt = Prompt()
        self.prompt.on_shown = self._make_room
        self._mouse, self._font_scale = label(), 1.0
        layout = QVBoxLayout(self)
        layout.setContentsMargins(12, 8, 12, 8)
        layout.setSpacing(6)
        for widget in (
            *(self._item, self._where, self._status, self._progress, self._counts, self._review),
            *(self.prompt.title, self.prompt, rule()),
        ):
            layout.addWidget(widget)
        layout.addLayout(buttons([a for a in ACTIONS if a.button and keys[a.name]], keys, run))
        for widget in (
            *(rule(), self._contour, self._contours, self._tools),
            *(rule(), self._keypoint, self._legend, rule(), self._mouse),
        ):
            layout.addWidget(widget)
        layout.addStretch(1)
        for widget in (self._error, self._saved, self._who, self._model):
            layout.addWidget(widget)
        self.set_theme("dark", 1.0)
        self.set_keypoint(None)

    def set_theme(self, name: str, font_scale: float) -> None:
        """Dark or light, and how large text is."""
        self._theme, self._font_scale = THEMES[name], font_scale
        self._make_room(self.prompt.isVisible())
        self.setStyleSheet(style_sheet(self._theme, font_scale))
        muted = self._theme.muted
        entries = [
            *((VISIBILITY_COLOURS[v], VISIBILITY_NAMES[v]) for v in VISIBILITY_COLOURS),
            (PLACED_COLOUR, "placed"),
        ]
        self._plain_legend = " ".join(
            f"<span style='color:{colour}'>●</span>"
            f"&nbsp;<span style='color:{muted}'>{word.replace(' ', '&nbsp;')}</span>"
            for colour, word in entries
        )
        self._legend.setText(self._shown_legend or self._plain_legend)

    def _make_room(self, asking: bool) -> None:
        """What the overview of keys says, too, gives way to what must be read now."""
        self._mouse.setVisible(not asking and self._font_scale <= _ROOMY_SCALE)

    def set_session(self, annotator: str, project: str, layer: str) -> None:
        """Who works on what."""
        self._who.setText(
            f"{html.escape(annotator)} · {html.escape(project)}<br>from {html.escape(layer)}"
        )

    def set_item(self, number: int, total: int, name: str, document: Document, only: str) -> None:
        """Which item shows, counted from 1, its status, and the filter's words."""
        self._mouse.setText(_mouse_table(MOUSE if document.topology.contours else POINT_MOUSE))
        muted = f"<span style='color:{self._theme.muted}'>of {total}</span>"
        self._item.setText(f"{number} {muted}")
        shown = f"<br>only: {html.escape(only)}" if only else ""
        self._where.setText(html.escape(name) + shown)
        colour = STATUS_COLOURS[self._theme.name][document.status]
        more = f" · {html.escape(document.note)}" if document.note else ""
        self._status.setText(f"<span style='color:{colour}'>●</span> {document.status}{more}")

    def set_progress(self, progress: Progress, pace: float | None) -> None:
        """Counts over the queue, and items an hour when that is known."""
        self._progress.setMaximum(max(progress.total, 1))
        self._progress.setValue(progress.done + progress.flagged)
        counts = (
            f"{progress.done} done · {progress.skipped} skipped · {progress.flagged} flagged · "
            f"{progress.edited} edited"
        )
        self._counts.setText(counts if pace is None else f"{counts} · {pace:.0f} an hour")

    def set_review(self, text: str) -> None:
        """Who made what of the item, as rich text; "" where it isn't a review."""
        self._review.setText(text)
        self._review.setVisible(bool(text))

    def set_contours(
        self, document: Document, active: str | None, asked: str, tools: Sequence[str]
    ) -> None:
        """How many contours are confirmed, which is next; what is asked for, "" for nothing; how
        drags work."""
        total = len(document.topology.contours)
        self._contours.setMaximum(max(total, 1))
        self._contours.setValue(len(document.confirmed))
        name = active.replace("_", " ") if active else "none"
        text = f"<b>{name}</b> · {len(document.confirmed)} of {total} contours confirmed"
        self._contour.setText(text if total else "no contours")
        question = f"<span style='color:{ASKED_COLOUR}'>◯</span> {html.escape(asked)}<br>"
        self._tools.setText((question if asked else "") + html.escape(" · ".join(tools)))

    def set_legend(self, text: str) -> None:
        """What keypoints' colours mean, as rich text; "" for visibility."""
        if text != self._shown_legend:
            self._shown_legend = text
            self._legend.setText(text or self._plain_legend)

    def set_model(self, name: str, learning: str) -> None:
        """Which model predicts, and how far what it learns is."""
        text = "<br>".join(html.escape(line) for line in (name, learning) if line)
        if text != self._shown_model:
            self._shown_model = text
            self._model.setText(text)
            self._model.setVisible(bool(text))

    @property
    def legend_text(self) -> str:
        """What keypoints' colours mean, rich text."""
        return str(self._legend.text())

    @property
    def model_text(self) -> str:
        """Which model predicts, rich text."""
        return str(self._model.text())

    def set_keypoint(self, title: str | None, visibility: int | None = None) -> None:
        """The keypoint under the cursor."""
        if title is None or visibility is None:
            self._keypoint.setText(
                f"<span style='color:{self._theme.muted}'>no keypoint under the cursor</span>"
            )
            return
        colour = VISIBILITY_COLOURS[visibility]
        name = VISIBILITY_NAMES[visibility]
        self._keypoint.setText(f"{html.escape(title)} <span style='color:{colour}'>●</span> {name}")

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


def label(name: str = "") -> QLabel:
    """Text that wraps, in the style of that name."""
    text = QLabel()
    text.setObjectName(name)
    text.setWordWrap(True)
    text.setTextInteractionFlags(Qt.TextInteractionFlag.NoTextInteraction)
    return text


def rule() -> QFrame:
    """A thin line across."""
    line = QFrame()
    line.setObjectName("rule")
    return line


def buttons(
    actions: Sequence[ActionInfo],
    keys: Mapping[str, tuple[str, ...]],
    run: Mapping[str, Callable[[], None]],
) -> Any:
    """A grid of buttons, two columns wide, with the first key of each."""
    grid = QGridLayout()
    grid.setSpacing(5)
    row = column = 0
    for action in actions:
        button = QPushButton(f"{action.title}  {key_text(keys[action.name][0])}")
        button.setToolTip("  or  ".join(key_text(key) for key in keys[action.name]))
        # Keys belong to the picture: a button that takes the focus would take them away.
        button.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        button.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Fixed)
        button.clicked.connect(lambda _checked=False, run=run[action.name]: run())
        if column + action.button > 2:
            row, column = row + 1, 0
        grid.addWidget(button, row, column, 1, action.button)
        column += action.button
    return grid


def _mouse_table(rows: Sequence[tuple[str, str]]) -> str:
    cells = "".join(
        f"<tr><td style='padding:1px 10px 1px 0'><b>{html.escape(what)}</b></td>"
        f"<td style='padding:1px 0'>{html.escape(does)}</td></tr>"
        for what, does in rows
    )
    return f"<table cellspacing='0'>{cells}</table>"
