"""The annotation window: napari, a session, and what keys and mouse do to it."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

from annotate import drawing
from annotate.canvas import KeypointCanvas
from annotate.editing import Move
from annotate.panel import Action, Panel
from annotate.session import AnnotationSession
from runtime.errors import ViewfinderError

WINDOW_SIZE = (1280, 800)
# Radius of a soft drag, as a share of the topology's normalising length, and its steps.
_SOFT_SHARE, _SOFT_STEP = 0.35, 1.25
_FALLBACK_LENGTH_PX = 100.0


class AnnotateWindow:
    """Joins a session to a napari viewer: every edit goes to the store before it is shown done."""

    def __init__(self, viewer: Any, session: AnnotationSession) -> None:
        self.viewer = viewer
        self.session = session
        self.canvas = KeypointCanvas(viewer, self._moved, self._hovered)
        self.actions = self._make_actions()
        self.panel = Panel(self.actions)
        self.dock = viewer.window.add_dock_widget(self.panel, name="Viewfinder", area="right")
        self._whole = False
        self._bind_keys()
        viewer.mouse_move_callbacks.append(self._present)
        viewer.mouse_wheel_callbacks.append(self._present)
        self.show_session(session)

    def show_session(self, session: AnnotationSession) -> None:
        """Go over to another session; the one before stays open."""
        self.session = session
        project = session.dataset.root.resolve().name
        self.panel.set_session(session.annotator, project, session.layer)
        self.panel.set_saved("every edit is saved at once")
        self._show_item()

    def _make_actions(self) -> list[Action]:
        return [
            Action("Accept, next", ("Enter",), self.accept, button=2),
            Action("Previous", ("P", "Left"), self.previous, button=1),
            Action("Next", ("N", "Right"), self.next, button=1),
            Action("Undo", ("Control-Z",), self.undo, button=1),
            Action("Redo", ("Control-Y", "Control-Shift-Z"), self.redo, button=1),
            Action("Skip", ("S",), self.skip, button=1),
            Action("Flag", ("X",), self.flag, button=1),
            Action("Export", ("Control-E",), self.export, button=2),
            Action("visible, occluded, unlabelled", ("V",), self.cycle_visibility),
            Action("contours on, off", ("C",), self.toggle_contours),
            Action("keypoints on, off", ("K",), self.toggle_keypoints),
            Action("fit subject, picture", ("F",), self.toggle_fit),
            Action("softer, harder drag", ("]", "["), self.softer),
        ]

    def _keys(self) -> dict[str, Callable[[], None]]:
        bindings = {key: action.run for action in self.actions for key in action.keys}
        return {**bindings, "[": self.harder}

    def _bind_keys(self) -> None:
        # On the layer too: napari's own keys of a Points layer (A, F ...) would come first.
        for key, run in self._keys().items():
            for provider in (self.viewer, self.canvas.points, self.canvas.picture):
                provider.bind_key(key, _ignoring_provider(run), overwrite=True)

    def close(self) -> None:
        """Take layers, panel and keys out of the viewer; the session stays open."""
        from napari.utils.key_bindings import coerce_keybinding

        for key in self._keys():
            self.viewer.keymap.pop(coerce_keybinding(key), None)
        self.viewer.mouse_move_callbacks.remove(self._present)
        self.viewer.mouse_wheel_callbacks.remove(self._present)
        self.viewer.window.remove_dock_widget(self.dock)
        self.canvas.close()

    # -- what a person can do ------------------------------------------------------------------

    def next(self) -> None:
        """Show the next item."""
        self._go(self.session.next)

    def previous(self) -> None:
        """Show the previous item."""
        self._go(self.session.previous)

    def accept(self) -> None:
        """Accept the item, and go to the next that is open."""
        if self._kept(self.session.accept, "accepted"):
            self._go(self.session.next_open)

    def skip(self) -> None:
        """Leave the item for later, and go to the next that is open."""
        if self._kept(self.session.skip, "skipped"):
            self._go(self.session.next_open)

    def flag(self) -> None:
        """Flag the item, or take the flag off again."""
        flagged = self.session.document.status == "flagged"
        if self._kept(
            self.session.reopen if flagged else self.session.flag,
            "flag taken off" if flagged else "flagged",
        ):
            self._show_state()

    def undo(self) -> None:
        """Take the newest edit back."""
        self._step(self.session.undo, "undone", "nothing to undo")

    def redo(self) -> None:
        """Repeat what was taken back last."""
        self._step(self.session.redo, "redone", "nothing to redo")

    def cycle_visibility(self) -> None:
        """Change the visibility of the keypoint under the cursor."""
        index = self.canvas.hovered
        if index is None:
            self.viewer.status = "hold the cursor over a keypoint first"
            return
        if self._kept(lambda: self.session.cycle_visibility(index), "visibility changed"):
            self.canvas.update(self.session.document)
            self._show_state()

    def toggle_contours(self) -> None:
        """Show or hide contours."""
        self.canvas.show_contours(not self.canvas.contours_shown)

    def toggle_keypoints(self) -> None:
        """Show or hide keypoints."""
        self.canvas.points.visible = not self.canvas.points.visible

    def toggle_fit(self) -> None:
        """Fit the view to the subject, then to the whole picture, in turn."""
        self._whole = not self._whole
        self.canvas.fit(self._whole)

    def softer(self) -> None:
        """Let a soft drag reach farther."""
        self._scale_soft(_SOFT_STEP)

    def harder(self) -> None:
        """Let a soft drag reach less far."""
        self._scale_soft(1 / _SOFT_STEP)

    def export(self) -> None:
        """Write the layer `human/<annotator>`."""
        try:
            summary = self.session.export()
        except ViewfinderError as error:
            self._tell(error)
            return
        self.panel.set_saved(f"{summary.layer}: {summary.labels} labels written")

    # -- behind it ----------------------------------------------------------------------------

    def _go(self, step: Callable[[], bool]) -> None:
        if step():
            self._show_item()
        else:
            self._show_state()
            self.viewer.status = "no further item that way"

    def _step(self, step: Callable[[], object], did: str, nothing: str) -> None:
        index = self.session.index
        outcome: list[object] = []
        if not self._kept(lambda: outcome.append(step()), did):
            return
        if outcome[0] is None:
            self.panel.set_saved(nothing)
        elif self.session.index != index:
            self._show_item()
        else:
            self.canvas.update(self.session.document)
            self._show_state()

    def _moved(self, move: Move) -> None:
        self._kept(lambda: self.session.move_many(move), "moved")
        # When it couldn't be kept the picture goes back to what is on the disk.
        self.canvas.update(self.session.document)
        self._show_state()

    def _present(self, _viewer: Any, _event: Any) -> None:
        self.session.present()

    def _hovered(self, index: int | None) -> None:
        document = self.session.document
        if index is None:
            self.panel.set_keypoint(None)
            return
        title = drawing.keypoint_title(document.topology, index)
        self.panel.set_keypoint(title, int(document.visibility[index]))

    def _kept(self, edit: Callable[[], object], did: str) -> bool:
        """Run an edit; True when it is on the disk."""
        try:
            edit()
        except ViewfinderError as error:
            self._tell(error)
            return False
        now = datetime.now().strftime("%H:%M:%S")
        self.panel.set_saved(f"{did} · saved {now} · revision {self.session.store.revision}")
        return True

    def _tell(self, error: ViewfinderError) -> None:
        self.panel.set_error(str(error))
        self.viewer.status = str(error)

    def _show_item(self) -> None:
        document = self.session.document
        try:
            picture = self.session.picture()
        except ViewfinderError as error:
            self._tell(error)
            row = self.session.dataset.row(self.session.item.key.sample_id)
            picture = drawing.missing_picture(row["width"], row["height"])
        self.canvas.soft_radius_px = _SOFT_SHARE * _length_px(document)
        self._whole = False
        self.canvas.show(picture, document)
        self._show_state()

    def _show_state(self) -> None:
        session, document = self.session, self.session.document
        key = session.item.key
        name = f"{key.sample_id} · {key.topology_id.split('@')[0]} {key.subject_id}"
        self.panel.set_item(
            session.index + 1, len(session.items), name, document.status, document.note
        )
        progress = session.progress()
        self.panel.set_progress(
            progress.done,
            progress.skipped,
            progress.flagged,
            progress.edited,
            progress.total,
            session.items_an_hour(),
        )
        self._hovered(self.canvas.hovered)

    def _scale_soft(self, factor: float) -> None:
        self.canvas.soft_radius_px *= factor
        self.viewer.status = f"Shift+drag reaches {self.canvas.soft_radius_px:.0f} px"


def _length_px(document: Any) -> float:
    length = float(document.topology.normalising_length(document.keypoints_px))
    return length if length > 0 else _FALLBACK_LENGTH_PX


def _ignoring_provider(run: Callable[[], None]) -> Callable[[Any], None]:
    def callback(_provider: Any) -> None:
        run()

    return callback


def prepare_qt() -> None:
    """Make ready what Qt reads from the environment, and find out whether a window can open.

    The GUI build of OpenCV points Qt's plugin search at its own, older plugins when cv2 is
    imported; that setting goes, one of the user's own stays.

    Raises:
        ViewfinderError: there is no display, which Qt would answer by ending the process.
    """
    for name in ("QT_QPA_PLATFORM_PLUGIN_PATH", "QT_QPA_FONTDIR"):
        if "cv2" in Path(os.environ.get(name, "")).parts:
            del os.environ[name]
    if not sys.platform.startswith("linux") or os.environ.get("QT_QPA_PLATFORM"):
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


def make_viewer(title: str, show: bool = True) -> Any:
    """A napari viewer with nothing but the canvas; its lists are in the Window menu."""
    import napari

    viewer = napari.Viewer(title=title, show=show)
    window = viewer.window
    window._qt_viewer.dockLayerList.setVisible(False)
    window._qt_viewer.dockLayerControls.setVisible(False)
    return viewer


def open_window(session: AnnotationSession, screenshot: Path | None = None) -> None:
    """Open the window and stay until it is closed, or save a picture of it and close it.

    Args:
        session: what to show.
        screenshot: a PNG file to write instead of staying.

    Raises:
        ViewfinderError: no display, or the screenshot can't be written.
    """
    prepare_qt()
    import napari
    from qtpy.QtWidgets import QApplication

    viewer = make_viewer(f"Viewfinder · {session.dataset.root.resolve().name}")
    viewer.window._qt_window.resize(*WINDOW_SIZE)
    QApplication.processEvents()
    window = AnnotateWindow(viewer, session)
    QApplication.processEvents()
    window.canvas.fit()
    if screenshot is None:
        napari.run()
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
