"""How fast the window for AR recordings answers while a box is dragged.

    python benchmarks/annotate_boxes.py [--out annotate_boxes.json] [--frames N] [--moves N]

Needs a display (`xvfb-run -a` gives one). A recording of that many frames of 1440 x 1920 is made;
somebody places a box in it and sets corners in some frames. Then a corner of it is dragged in the
picture and in the view of space: the handlers of each mouse move (the fit with all clicks), and the
drawing after it (the box in picture, space and the small pictures).
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # as `viewfinder annotate` does

import numpy as np
from numpy.typing import NDArray

# Run as a script, this file's own folder comes first, where it would pass for the package.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from annotate.cuboid_session import CuboidSession
from arsession.cuboid_evidence import PlacedBox
from arsession.objectron_writer import write_objectron
from arsession.session import Plane, Session
from arsession.views import Views
from benchmarks.annotate_boxes_people import LENS, RATE_HZ, UP, BoxPerson, orbit

Array = NDArray[np.float64]
_SIZE_M = np.array([0.2, 0.15, 0.25])


class PlainPictures:
    """A grey picture for each frame: what the camera sees doesn't matter here."""

    quarter_turns = 0
    size = (LENS.width, LENS.height)

    def has(self, frame: int) -> bool:
        """Each frame has one."""
        return True

    def read(self, frame: int) -> NDArray[np.uint8]:
        """(H, W, 3) uint8 RGB."""
        return np.full((LENS.height, LENS.width, 3), 90 + frame % 50, np.uint8)


def write_recording(root: Path, frames: int) -> Array:
    """A box on a table, filmed all around; (F, 9, 2) px of its keypoints."""
    poses = orbit(np.random.default_rng(0))[:: max(1, 270 // frames)][:frames]
    truth = PlacedBox(np.eye(3), np.array([0, _SIZE_M[1] / 2, 0]), _SIZE_M)
    outline = np.array([[-0.8, 0, -0.8], [-0.8, 0, 0.8], [0.8, 0, 0.8], [0.8, 0, -0.8]])
    table = Plane("table", np.zeros(3), UP, outline, "horizontal")
    recording = Session(
        format="simulated", path=root, timestamps_s=np.arange(len(poses)) / RATE_HZ,
        world_from_camera=poses, world_up="+y", cameras=(LENS,),
        pictures=PlainPictures(), load_planes=lambda: (table,),
    )  # fmt: skip
    write_objectron(recording, root)
    views = Views.of_poses(poses, (LENS,))
    return views.project(views.in_camera(truth.points_world_m()))


class BoxWindow:
    """A shown window with mouse events."""

    def __init__(self, work: CuboidSession) -> None:
        from qtpy.QtWidgets import QApplication

        from annotate.opening import WINDOW_SIZE, make_viewer, prepare_qt

        prepare_qt()
        self.viewer = make_viewer("benchmark", boxes=True)
        self.viewer.window._qt_window.resize(*WINDOW_SIZE)
        self.app = QApplication.instance()
        self.app.processEvents()
        from annotate.cuboid_window import CuboidWindow

        began, busy = time.perf_counter(), time.thread_time()
        self.window = CuboidWindow(self.viewer, work)
        unpainted = {self.window.picture.canvas, self.window.space.canvas}
        for canvas in tuple(unpainted):
            painted = canvas._scene_canvas.events.draw
            painted.connect(lambda _event, c=canvas: unpainted.discard(c), position="last")
        while unpainted:
            self.app.processEvents()
        self.opened_s = time.perf_counter() - began
        self.opened_busy_s = time.thread_time() - busy
        self.wait(1.0)
        self.window.settle()

    def wait(self, seconds: float) -> None:
        """Let events run."""
        end = time.monotonic() + seconds
        self.app.processEvents()
        while time.monotonic() < end:
            self.app.processEvents()
            time.sleep(0.002)

    def mouse(self, view: Any, kind: str, place: Array) -> None:
        """A left-button event on a view's canvas."""
        from qtpy.QtCore import QEvent, QPointF, Qt
        from qtpy.QtGui import QMouseEvent

        native, spot = view.canvas.native, QPointF(*place.tolist())
        left, none = Qt.MouseButton.LeftButton, Qt.MouseButton.NoButton
        event = QMouseEvent(
            QEvent.Type.MouseMove if kind == "Hover" else getattr(QEvent.Type, kind),
            spot,
            QPointF(native.mapToGlobal(spot.toPoint())),
            none if kind in ("Hover", "MouseMove") else left,
            none if kind in ("Hover", "MouseButtonRelease") else left,
            Qt.KeyboardModifier.NoModifier,
        )
        self.app.sendEvent(native, event)

    def drag(self, view: Any, start: Array, moves: int) -> tuple[list[float], list[float]]:
        """Seconds of processor time in the handlers of each move, and in what is drawn after it."""
        self.mouse(view, "Hover", start)
        self.mouse(view, "MouseButtonPress", start)
        if self.window._drag is None:
            raise RuntimeError("nothing is held: is the box hidden?")
        handled, drawn = [], []
        for number in range(moves):
            turn = 2 * np.pi * number / moves
            to = start + np.round([15 * np.sin(turn) + 2, 11 * np.sin(2 * turn) + 2])
            busy = time.thread_time()
            self.mouse(view, "MouseMove", to)
            handled.append(time.thread_time() - busy)
            busy = time.thread_time()
            self.app.processEvents()
            drawn.append(time.thread_time() - busy)
            time.sleep(0.01)
        self.mouse(view, "MouseButtonRelease", start)
        self.wait(0.2)
        return handled, drawn


def measure_boxes(root: Path, frames: int, moves: int) -> dict[str, list[float]]:
    """Seconds of each figure."""
    true_px = write_recording(root / "recording", frames)
    with CuboidSession.open(root / "recording", annotator="benchmark") as work:
        BoxPerson(work, true_px, np.random.default_rng(1)).run()
        shown = BoxWindow(work)
        window = shown.window
        corners = work.fitted(0).box.points_world_m()
        frame_px = work.views.seen_in(work.frame, corners)
        seen = work.fitted(0).seen.visibility[work.frame]
        corner = next(k for k in range(1, 9) if seen[k] == 2)
        in_picture = np.round(window.picture.place_of(frame_px[corner][None])[0])
        picture = shown.drag(window.picture, in_picture, moves)
        window.space.look()
        shown.wait(0.3)
        corners = work.fitted(0).box.points_world_m()
        in_space = np.round(window.space.project(corners[corner][None])[0])
        space = shown.drag(window.space, in_space, moves)
        window.end()
        shown.viewer.close()
    return {
        "box dragged in the picture: handlers, processor time": picture[0],
        "box dragged in the picture: all drawn, processor time": picture[1],
        "box dragged in space: handlers, processor time": space[0],
        "box dragged in space: all drawn, processor time": space[1],
        "box window after viewer": [shown.opened_s],
        "box window after viewer, its thread's processor time": [shown.opened_busy_s],
    }


def main() -> None:
    """Measure, print a table, write the JSON file."""
    from rich.console import Console
    from rich.table import Table

    from benchmarks.annotate import summary

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("annotate_boxes.json"))
    parser.add_argument("--frames", type=int, default=270)
    parser.add_argument("--moves", type=int, default=120)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = measure_boxes(Path(folder), options.frames, options.moves)
    figures = {name: summary(seconds) for name, seconds in found.items()}
    table = Table("what", "median ms", "p95 ms", "largest ms")
    for name, one in figures.items():
        table.add_row(name, *(f"{v:.1f}" for v in one.values()))
    Console().print(table)
    options.out.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
