"""A process with a real window that somebody works in until it is killed; run by tests.

    python window_worker.py PROJECT SEED ACTIONS

Prints one JSON line when the first item is painted, and one after every edit, once the window
says that it is saved. ACTIONS are letters: d a drag, s one that draws what belongs along, u undo,
r redo, n next, a accept, e export; `*` is any of the first five, for ever.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[2]))

from annotate.opening import WINDOW_SIZE, make_viewer, prepare_qt
from annotate.session import AnnotationSession
from tests.annotate.hand import Hand

_KEYS = {"u": ("Z", "Control"), "r": ("Y", "Control"), "n": ("N",), "a": ("Return",)}


class Bot:
    """What `Hand` needs of pytest-qt."""

    def __init__(self) -> None:
        from qtpy.QtTest import QTest

        self._test = QTest

    def wait(self, milliseconds: int) -> None:
        """Let events run."""
        self._test.qWait(milliseconds)

    def keyClick(self, widget: Any, key: Any, held: Any) -> None:  # noqa: N802
        """Press and release a key."""
        self._test.keyClick(widget, key, held)


def say(hand: Hand, did: str, **more: Any) -> None:
    """One line: what was done, and what the window shows as saved."""
    session = hand.session
    told = {
        "did": did,
        "index": session.index,
        "revision": session.store.revision,
        "saved": hand.window.panel.saved_text,
        "error": hand.window.panel.error_text,
        **more,
    }
    sys.stdout.write(json.dumps(told) + "\n")
    sys.stdout.flush()


def act(hand: Hand, letter: str, rng: np.random.Generator) -> None:
    """One thing that a person does."""
    if letter in "ds":
        dx, dy = rng.integers(-25, 26, 2).tolist()
        hand.drag(int(rng.choice([4, 5, 61, 152, 159])), dx or 3, dy, shift=letter == "s")
    elif letter == "e":
        hand.key("E", "Control")
    else:
        hand.key(*_KEYS[letter])


def main(project: str, seed: str, actions: str) -> None:
    """Open, work, and end."""
    from qtpy.QtWidgets import QApplication

    from annotate.window import AnnotateWindow

    rng = np.random.default_rng(int(seed))
    prepare_qt()
    viewer = make_viewer("worker")
    viewer.window._qt_window.resize(*WINDOW_SIZE)
    QApplication.processEvents()
    began = time.process_time()
    with AnnotationSession.open(project, annotator="ada") as session:
        window = AnnotateWindow(viewer, session)
        QApplication.processEvents()
        hand = Hand(Bot(), viewer, window, session)
        say(hand, "opened", seconds=time.process_time() - began)
        forever = actions == "*"
        for letter in iter(lambda: rng.choice(list("dddsurn")), None) if forever else actions:
            act(hand, letter, rng)
            say(hand, str(letter))
    viewer.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
