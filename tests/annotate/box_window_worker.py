"""A process with the window for AR recordings, in which somebody works until it is killed.

    python box_window_worker.py RECORDING SEED

Prints one JSON line when the first frame is painted, and one after every edit, once the window
says that it is saved: corners dragged in the picture, undo, redo, the suggested frame, for ever.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[2]))

from annotate.cuboid_session import CuboidSession
from annotate.opening import WINDOW_SIZE, make_viewer, prepare_qt
from tests.annotate.box_hand import BoxHand
from tests.annotate.window_worker import Bot

_PLACED = 4
"""Clicks of a box as it was placed, which is never undone."""


def say(hand: BoxHand, did: str, **more: object) -> None:
    """One line: what was done, and what the window shows as saved."""
    panel = hand.window.panel
    told = {
        "did": did,
        "frame": hand.work.frame,
        "revision": hand.work.store.revision,
        "saved": panel.saved_text,
        "error": panel.error_text,
        **more,
    }
    sys.stdout.write(json.dumps(told) + "\n")
    sys.stdout.flush()


def act(hand: BoxHand, did: str, rng: np.random.Generator) -> None:
    """One thing that a person does."""
    work = hand.work
    if did == "drag" or (did == "undo" and len(work.cuboid(0).clicks) <= _PLACED):
        px = work.views.seen_in(work.frame, work.fitted(0).box.points_world_m())
        corner = int(rng.integers(1, 9))
        hand.drag_corner(corner, px[corner] + rng.uniform(-6, 6, 2))
    else:
        hand.key(*{"undo": ("Z", "Control"), "redo": ("Y", "Control"), "on": ("Space",)}[did])


def main(recording: str, seed: str) -> None:
    """Open, and work."""
    from qtpy.QtWidgets import QApplication

    rng = np.random.default_rng(int(seed))
    prepare_qt()
    viewer = make_viewer("worker")
    viewer.window._qt_window.resize(*WINDOW_SIZE)
    QApplication.processEvents()
    from annotate.cuboid_window import CuboidWindow

    began = time.process_time()
    with CuboidSession.open(recording, annotator="ada") as work:
        window = CuboidWindow(viewer, work)
        QApplication.processEvents()
        hand = BoxHand(Bot(), window)
        say(hand, "opened", seconds=time.process_time() - began)
        window.settle()
        while True:
            did = str(rng.choice(["drag", "drag", "drag", "undo", "redo", "on"]))
            act(hand, did, rng)
            say(hand, did)


if __name__ == "__main__":
    main(*sys.argv[1:])
