"""How fast the annotation window answers, against a bare repaint of the same canvas.

    python benchmarks/annotate.py [--out FILE] [--project DIR] [--moves N] [--items N] [--frames N]

Needs a display (`xvfb-run -a` gives one). Each figure is measured in turn in one process:
a repaint with nothing changed; a mouse move that drags one keypoint, its handlers alone and until
it is painted; the next item until it is painted; an edit until it is on the disk.
Then, in a window of its own, a box is dragged in a recording of N frames: annotate_boxes.py.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # as `viewfinder annotate` does

import numpy as np

# Run as a script, this file's own folder comes first, where it would pass for the package.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from annotate.editing import rowcol_from_px
from annotate.sample import write_sample_project
from annotate.session import AnnotationSession

_PAINT_TIMEOUT_S = 5.0
# napari throttles mouse moves to one in 5 ms: wait that long so that none is put off.
_PAUSE_S = 0.02
# The upper lip's middle: a handle of its contour, after which the mesh follows.
_DRAGGED = 0


class Window:
    """A shown window whose paints can be waited for."""

    def __init__(self, session: AnnotationSession) -> None:
        from qtpy.QtWidgets import QApplication

        from annotate.opening import WINDOW_SIZE, make_viewer, prepare_qt
        from annotate.window import AnnotateWindow

        prepare_qt()
        self.viewer = make_viewer("benchmark")
        self.viewer.window._qt_window.resize(*WINDOW_SIZE)
        self.app = QApplication.instance()
        self.session = session
        began, busy = time.perf_counter(), time.process_time()
        self.window = AnnotateWindow(self.viewer, session)
        self.painted = 0
        self.scene_canvas = self.viewer.window._qt_viewer.canvas._scene_canvas
        self.scene_canvas.events.draw.connect(self._on_draw, position="last")
        self.until_painted(self.scene_canvas.update)
        self.opened_s = time.perf_counter() - began
        self.opened_cpu_s = time.process_time() - busy
        self.settle()

    def _on_draw(self, _event: Any) -> None:
        self.painted += 1

    def settle(self) -> None:
        """Let everything that is under way come to its end."""
        for _ in range(20):
            self.app.processEvents()
            time.sleep(0.005)

    def until_painted(self, do: Callable[[], object]) -> tuple[float, float]:
        """Seconds that `do` itself took, and until the canvas was painted after it."""
        before = self.painted
        began = time.perf_counter()
        do()
        handled = time.perf_counter() - began
        while self.painted == before:
            self.app.processEvents()
            if time.perf_counter() - began > _PAINT_TIMEOUT_S:
                raise RuntimeError("nothing was painted: is the window hidden?")
        # The draw event ends when the frame is in its buffer; Qt then puts it on the screen.
        self.app.processEvents()
        return handled, time.perf_counter() - began

    def canvas_position(self, x_px: float, y_px: float) -> Any:
        """Where a picture position is on the canvas widget."""
        from qtpy.QtCore import QPoint

        canvas = self.viewer.window._qt_viewer.canvas
        row, column = rowcol_from_px([x_px, y_px])
        x, y = (canvas.view.transform * canvas.view.scene.transform).map([column, row])[:2]
        return QPoint(round(x), round(y))

    def mouse(self, kind: str, position: Any) -> None:
        """Send a left-button event to the canvas."""
        from qtpy.QtCore import QEvent, QPointF, Qt
        from qtpy.QtGui import QMouseEvent

        native = self.scene_canvas.native
        left, none = Qt.MouseButton.LeftButton, Qt.MouseButton.NoButton
        event = QMouseEvent(
            getattr(QEvent.Type, kind),
            QPointF(position),
            QPointF(native.mapToGlobal(position)),
            none if kind == "MouseMove" else left,
            none if kind == "MouseButtonRelease" else left,
            Qt.KeyboardModifier.NoModifier,
        )
        self.app.sendEvent(native, event)


def measure_repaint(window: Window, count: int) -> list[float]:
    """Seconds for a repaint with nothing changed."""
    return [window.until_painted(window.scene_canvas.update)[1] for _ in range(count)]


def measure_drag(window: Window, count: int) -> tuple[list[float], list[float], list[float]]:
    """Seconds in the handlers, of processor time in them, and until painted, of each move of a
    drag that bends a contour and takes the whole mesh along."""
    from qtpy.QtCore import QPoint

    window.window.canvas.tools.reach = math.inf

    start = window.canvas_position(*window.session.document.keypoints_px[_DRAGGED])
    window.mouse("MouseButtonPress", start)
    handled, worked, painted = [], [], []
    for number in range(count):
        turn = 2 * np.pi * number / count
        to = start + QPoint(round(40 * np.sin(turn)) + 3, round(30 * np.sin(2 * turn)) + 3)
        time.sleep(_PAUSE_S)
        window.app.processEvents()
        busy = time.thread_time()

        def move(to: Any = to, busy: float = busy) -> None:
            window.mouse("MouseMove", to)
            worked.append(time.thread_time() - busy)

        a, b = window.until_painted(move)
        handled.append(a)
        painted.append(b)
    window.mouse("MouseButtonRelease", start)
    window.settle()
    return handled, worked, painted


def measure_next(window: Window, count: int) -> list[float]:
    """Seconds until the next item is painted, its picture fetched ahead as in real work."""
    took = []
    for _ in range(count):
        time.sleep(0.3)  # a person looks at an item before going on
        took.append(window.until_painted(window.window.actions.next)[1])
    return took


def measure_edit(session: AnnotationSession, count: int) -> list[float]:
    """Seconds until an edit is on the disk."""
    took = []
    for number in range(count):
        began = time.perf_counter()
        session.move(number % 400, 10.0 + number, 20.0)
        took.append(time.perf_counter() - began)
    return took


def summary(seconds: list[float]) -> dict[str, float]:
    """Median, 95th percentile and largest, in milliseconds."""
    ms = np.array(seconds) * 1000
    return {
        "median_ms": round(float(np.median(ms)), 2),
        "p95_ms": round(float(np.percentile(ms, 95)), 2),
        "max_ms": round(float(ms.max()), 2),
    }


def main() -> None:
    """Measure, print a table, write the JSON file."""
    from rich.console import Console
    from rich.table import Table

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("annotate.json"))
    parser.add_argument("--project", type=Path, help="a data set; without it: drawn faces")
    parser.add_argument("--moves", type=int, default=80)
    parser.add_argument("--items", type=int, default=15)
    parser.add_argument("--frames", type=int, default=270, help="of the recording; 0 for none")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        project = options.project
        if project is None:
            project = Path(folder) / "drawn"
            rng = np.random.default_rng(0)
            write_sample_project(project, rng, options.items + 2, width=1920, height=1080)
        began = time.perf_counter()
        with AnnotationSession.open(project, annotator="benchmark") as session:
            opened = time.perf_counter() - began
            result = measure(session, options.moves, min(options.items, len(session.items) - 2))
            result["open session"] = summary([opened])
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        if options.frames:
            from benchmarks.annotate_boxes import measure_boxes

            boxes = measure_boxes(Path(folder), options.frames, options.moves)
            result |= {name: summary(seconds) for name, seconds in boxes.items()}
    floor = result["bare repaint"]["median_ms"]
    table = Table("what", "median ms", "p95 ms", "largest ms", "of a repaint")
    for name, figures in result.items():
        ratio = figures["median_ms"] / floor
        table.add_row(name, *(f"{v:.1f}" for v in figures.values()), f"{ratio:.2f}")
    Console().print(table)
    report = {"machine": platform.machine(), "peak_memory_mb": round(memory), "figures": result}
    options.out.write_text(json.dumps(report, indent=2) + "\n")


def measure(session: AnnotationSession, moves: int, items: int) -> dict[str, dict[str, float]]:
    """All figures of one session."""
    window = Window(session)
    measure_repaint(window, 5)
    repaint = measure_repaint(window, moves // 2)
    handled, worked, painted = measure_drag(window, moves)
    repaint += measure_repaint(window, moves // 2)
    following = measure_next(window, items)
    edits = measure_edit(session, moves)
    result = {
        "bare repaint": summary(repaint),
        "drag: handlers": summary(handled),
        "drag: handlers, processor time": summary(worked),
        "drag: event to paint": summary(painted),
        "next item painted": summary(following),
        "edit on the disk": summary(edits),
        "open window after viewer": summary([window.opened_s]),
        "open window after viewer, processor time": summary([window.opened_cpu_s]),
    }
    window.viewer.close()
    return result


if __name__ == "__main__":
    main()
