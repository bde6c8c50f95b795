"""Opening the window: what Qt needs first, napari's viewer, and a picture of it all."""

from __future__ import annotations

import gc
import os
import socket
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from annotate.keys import Settings, remember_looks, settings_path
from annotate.session import AnnotationSession
from annotate.store import AnnotationStore
from runtime.errors import ViewfinderError

if TYPE_CHECKING:
    from annotate.cuboid_session import CuboidSession

WINDOW_SIZE = (1280, 800)
_WITHOUT_OPENGL = ("offscreen", "minimal", "vnc", "linuxfb")
"""Of Qt's platforms; see https://doc.qt.io/qt-6/qpa.html."""


def prepare_qt() -> None:
    """Make ready what Qt reads from the environment, and find out whether a window can open.

    The GUI build of OpenCV points Qt's plugin search at its own, older plugins when cv2 is
    imported; that setting goes, one of the user's own stays.

    Raises:
        ViewfinderError: there is no display, which Qt would answer by ending the process; or Qt is
            told to draw without OpenGL, which napari can't.
    """
    for name in ("QT_QPA_PLATFORM_PLUGIN_PATH", "QT_QPA_FONTDIR"):
        if "cv2" in Path(os.environ.get(name, "")).parts:
            del os.environ[name]
    platform = os.environ.get("QT_QPA_PLATFORM", "").partition(":")[0]
    if platform in _WITHOUT_OPENGL:
        raise ViewfinderError(
            "the window needs OpenGL",
            field="QT_QPA_PLATFORM",
            found=repr(platform),
            hint="unset it; on a machine without a screen: xvfb-run -a viewfinder annotate PROJECT",
        )
    if not sys.platform.startswith("linux") or platform:
        return
    if os.environ.get("WAYLAND_DISPLAY"):
        return
    display = os.environ.get("DISPLAY", "")
    if not display or (display.startswith(":") and not _answers(display)):
        raise ViewfinderError(
            "no display to open a window on",
            field="DISPLAY",
            found=repr(display),
            hint="on a machine without a screen: xvfb-run -a viewfinder annotate PROJECT",
        )


def _answers(display: str) -> bool:
    number = display[1:].split(".")[0]
    with socket.socket(socket.AF_UNIX) as probe:
        for address in (f"/tmp/.X11-unix/X{number}", f"\0/tmp/.X11-unix/X{number}"):
            try:
                probe.connect(address)
            except OSError:
                continue
            return True
    return False


def make_viewer(title: str, show: bool = True, boxes: bool = False) -> Any:
    """A napari viewer with nothing but the canvas; its lists are in the Window menu.

    Args:
        title: of the window.
        show: whether to show it.
        boxes: whether boxes are to be fitted in it, and seen in space.
    """
    import napari
    import pint
    import scipy.ndimage

    # What the first layer would wait for: its thumbnail's resampling, and the table of units.
    _ = pint.get_application_registry().pixel
    if boxes:  # and what the first fit and the first look into space would wait for
        import scipy.optimize
        import scipy.spatial.transform  # noqa: F401
    viewer = napari.Viewer(title=title, show=show)
    window = viewer.window
    window._qt_viewer.dockLayerList.setVisible(False)
    window._qt_viewer.dockLayerControls.setVisible(False)
    # What is loaded by now stays: looked through for garbage, it holds a window up for a third of
    # a second, in the middle of a drag, too.
    gc.freeze()
    return viewer


def open_window(
    session: AnnotationSession,
    settings: Settings,
    screenshot: Path | None = None,
    model: str = "",
) -> None:
    """Open the window and stay until it is closed, or save a picture of it and close it.

    Args:
        session: what to show.
        settings: keys, theme and text size.
        screenshot: a PNG file to write instead of staying.
        model: which model predicts, see `annotate.adviser.Adviser`.

    Raises:
        ViewfinderError: no display, the screenshot can't be written, or changes that the disk
            wouldn't take.
    """
    prepare_qt()
    from qtpy.QtWidgets import QApplication

    from annotate.window import AnnotateWindow

    viewer = make_viewer(f"Viewfinder · {session.dataset.root.resolve().name}")
    viewer.window._qt_window.resize(*WINDOW_SIZE)
    QApplication.processEvents()
    remember = partial(remember_looks, settings_path())
    window = AnnotateWindow(viewer, session, settings, remember, model)
    QApplication.processEvents()
    window.canvas.fit()
    adviser = window.advising.adviser
    assert adviser is not None
    try:
        _stay(viewer, session.store, screenshot)
    finally:
        adviser.end()


def open_cuboid_window(
    work: CuboidSession, settings: Settings, screenshot: Path | None = None
) -> None:
    """`open_window` for an AR recording.

    Raises:
        ViewfinderError: as `open_window`.
    """
    prepare_qt()
    from qtpy.QtWidgets import QApplication

    from annotate.cuboid_window import CuboidWindow

    viewer = make_viewer(f"Viewfinder · {work.project.resolve().name}", boxes=True)
    viewer.window._qt_window.resize(*WINDOW_SIZE)
    QApplication.processEvents()
    window = CuboidWindow(viewer, work, settings, partial(remember_looks, settings_path()))
    small = window.strip.row.pictures
    try:
        if screenshot is not None:
            window.settle()
            while window.strip.row.busy:
                QApplication.processEvents()
        _stay(viewer, work.store, screenshot)
    finally:
        small.close()


def _stay(viewer: Any, store: AnnotationStore, screenshot: Path | None) -> None:
    """Until the window is closed, or for a picture of it."""
    import napari

    if screenshot is None:
        napari.run()
        if not store.save():
            raise ViewfinderError(
                f"{store.unsaved} changes are lost: they couldn't be saved",
                file=store.path,
                found=store.trouble,
            )
        return
    try:
        save_screenshot(viewer, screenshot)
    finally:
        viewer.close()


def save_screenshot(viewer: Any, path: Path) -> None:
    """Write the whole window as a PNG.

    Raises:
        ViewfinderError: the file can't be written.
    """
    from qtpy.QtWidgets import QApplication

    from runtime.image import encode_image

    for _ in range(5):
        QApplication.processEvents()
    pixels = viewer.window.screenshot(canvas_only=False, flash=False)
    try:
        path.write_bytes(encode_image(pixels[..., :3].copy(), ".png"))
    except OSError as error:
        raise ViewfinderError(
            "the screenshot can't be written", file=path, found=error.strerror
        ) from error
