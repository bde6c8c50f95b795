"""The overview of keys, over the whole window."""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import dataclass

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QLabel, QWidget
from typing_extensions import override

from annotate.keys import ACTIONS, BOX_ACTIONS, BOX_MOUSE, MOUSE, ActionInfo, Settings, key_text
from annotate.theme import Theme

_COLUMNS = (("Items", "Edits"), ("Dragging", "Mouse", "Review"), ("View", "Model"))
_BOX_COLUMNS = (("Frames", "Boxes"), ("Edits", "Mouse"), ("View",))
_MARGIN_PX = 24


class KeyOverview(QLabel):
    """Covers a window with all keys until a key or a click.

    Args:
        window: what to cover.
        boxes: whether it is the window for AR recordings.
    """

    def __init__(self, window: QWidget, boxes: bool = False) -> None:
        super().__init__(window)
        self._sheet = _Sheet(BOX_ACTIONS, BOX_MOUSE, _BOX_COLUMNS) if boxes else _Sheet()
        self.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self.setTextFormat(Qt.TextFormat.RichText)
        self.hide()

    def open(self, settings: Settings, theme: Theme, font_scale: float, file: str) -> None:
        """Show the keys as they are set."""
        points = 10.5 * font_scale
        self.setStyleSheet(
            f"background: {theme.ground}; color: {theme.text}; font-size: {points:.1f}pt;"
            f"border: 1px solid {theme.rule}; border-radius: 8px;"
        )
        self.setText(self._sheet.text(settings, theme, file))
        window = self.parentWidget()
        # As large as the text needs, in the middle of the window.
        size = self.sizeHint()
        width = min(size.width() + 2 * _MARGIN_PX, window.width())
        height = min(size.height() + 2 * _MARGIN_PX, window.height())
        left, top = (window.width() - width) // 2, (window.height() - height) // 2
        self.setGeometry(left, top, width, height)
        self.raise_()
        self.show()

    @override
    def mousePressEvent(self, _event: object) -> None:
        """A click closes it."""
        self.hide()


@dataclass(frozen=True)
class _Sheet:
    """What one window's overview lists."""

    actions: tuple[ActionInfo, ...] = ACTIONS
    mouse: tuple[tuple[str, str], ...] = MOUSE
    columns: tuple[tuple[str, ...], ...] = _COLUMNS

    def text(self, settings: Settings, theme: Theme, file: str) -> str:
        columns = []
        for groups in self.columns:
            cells = "".join(self._group(group, settings, theme) for group in groups)
            columns.append(
                f"<td style='padding: 0 14px'><table cellspacing='0'>{cells}</table></td>"
            )
        note = f"Keys can be changed in {html.escape(file)} (viewfinder annotate --keys writes it)"
        return (
            f"<table><tr>{''.join(columns)}</tr></table>"
            f"<p style='color:{theme.muted}'>{note}<br>any key or click closes this</p>"
        )

    def _group(self, group: str, settings: Settings, theme: Theme) -> str:
        rows: Sequence[tuple[str, str]] = self.mouse
        if group != "Mouse":
            rows = [
                ("  ".join(key_text(key) for key in settings.keys[a.name]), a.title)
                for a in self.actions
                if a.group == group
            ]
        head = (
            f"<tr><td colspan='2' style='padding:9px 0 3px 0; color:{theme.accent}'>{group}"
            "</td></tr>"
        )
        return head + "".join(
            f"<tr><td style='padding:1px 14px 1px 0'><b>{_unbroken(keys)}</b></td>"
            f"<td style='padding:1px 0'>{_unbroken(title)}</td></tr>"
            for keys, title in rows
        )


def _unbroken(text: str) -> str:
    return html.escape(text).replace(" ", "&nbsp;")
