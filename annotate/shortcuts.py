"""Keys to actions, before napari's own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from qtpy.QtCore import QEvent, QObject, Qt
from qtpy.QtWidgets import QApplication, QLineEdit, QWidget
from typing_extensions import override

from annotate.keys import key_name

_NAMES = {
    Qt.Key.Key_Return: "Enter",
    Qt.Key.Key_Enter: "Enter",
    Qt.Key.Key_Space: "Space",
    Qt.Key.Key_Tab: "Tab",
    Qt.Key.Key_Backtab: "Tab",
    Qt.Key.Key_Backspace: "Backspace",
    Qt.Key.Key_Delete: "Delete",
    Qt.Key.Key_Escape: "Escape",
    Qt.Key.Key_Home: "Home",
    Qt.Key.Key_End: "End",
    Qt.Key.Key_PageUp: "PageUp",
    Qt.Key.Key_PageDown: "PageDown",
    Qt.Key.Key_Left: "Left",
    Qt.Key.Key_Right: "Right",
    Qt.Key.Key_Up: "Up",
    Qt.Key.Key_Down: "Down",
    **{getattr(Qt.Key, f"Key_F{n}"): f"F{n}" for n in range(1, 13)},
}
_HELD = (
    (Qt.KeyboardModifier.ControlModifier, "Ctrl"),
    (Qt.KeyboardModifier.AltModifier, "Alt"),
    (Qt.KeyboardModifier.ShiftModifier, "Shift"),
)


def pressed_key(event: Any) -> str | None:
    """The name of the key in a Qt event, None for one that has none here."""
    name = _NAMES.get(event.key())
    if name is None and 0x20 < event.key() < 0x7F:
        name = chr(event.key())
    if name is None:
        return None
    held = [word for modifier, word in _HELD if event.modifiers() & modifier]
    return key_name("+".join([*held, name]))


class Shortcuts(QObject):
    """Runs actions on keys, before the widget that has the focus sees them.

    Args:
        widget: the one that has the focus, and owns this. Not a window: a filter of its own child
            is asked while it is being destroyed.
        by_key: key -> what runs.
        before: called with every key first; True when it took it.
    """

    def __init__(
        self,
        widget: QWidget,
        by_key: Mapping[str, Callable[[], None]],
        before: Callable[[str], bool],
    ) -> None:
        super().__init__(widget)
        self._widget = widget
        self._by_key = dict(by_key)
        self._before = before
        widget.installEventFilter(self)

    def close(self) -> None:
        """Let keys go where they went before."""
        self._widget.removeEventFilter(self)

    @override
    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Qt's protocol: True for what goes no further."""
        kind = event.type()
        if kind not in (QEvent.Type.KeyPress, QEvent.Type.ShortcutOverride):
            return False
        key = pressed_key(event)
        if key is None or isinstance(QApplication.focusWidget(), QLineEdit):
            return False
        if kind == QEvent.Type.ShortcutOverride:
            if key in self._by_key:
                event.accept()  # a key press follows, and napari's menus don't see it
            return False
        if self._before(key):
            return True
        run = self._by_key.get(key)
        if run is not None:
            run()
        return run is not None
