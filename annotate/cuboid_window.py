"""The window for AR recordings: a picture, space, the strip of frames, and the panel."""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from annotate.background import Job
from annotate.cuboid_actions import CuboidActions
from annotate.cuboid_dragging import PictureDrag, SpaceDrag
from annotate.cuboid_drift import poses_file
from annotate.cuboid_fitted import Fitted
from annotate.cuboid_handles import Handle
from annotate.cuboid_panel import CuboidPanel
from annotate.cuboid_picture import PictureView
from annotate.cuboid_session import CuboidSession
from annotate.cuboid_space import SpaceView
from annotate.cuboid_strip import FrameStrip
from annotate.first_paint import controls_later, settings_left
from annotate.help import KeyOverview
from annotate.keys import BOX_ACTIONS, Settings, settings_path
from annotate.shortcuts import Shortcuts
from annotate.theme import THEMES
from arsession.placing import DriftFrom
from runtime.errors import ViewfinderError

Array = NDArray[np.float64]

_RETRY_MS = 3000
# While a drag goes on every frame's expected error is told this often.
_ERRORS_MS = 120
_SPACE_SHARE = 0.42
_WATCH_MS = 150


class CuboidWindow:
    """Joins a recording's session to a napari viewer: every edit is stored before it shows done.

    Args:
        viewer: a napari Viewer with a window.
        work: the session.
        settings: keys, theme and text size.
        remember: called with theme and text size when they were changed.
    """

    def __init__(
        self,
        viewer: Any,
        work: CuboidSession,
        settings: Settings | None = None,
        remember: Callable[[str, float], None] | None = None,
    ) -> None:
        from qtpy.QtCore import QTimer

        self.viewer, self.work = viewer, work
        self.settings = (settings or Settings()).for_boxes()
        self._remember = remember
        self._drag: PictureDrag | SpaceDrag | None = None
        self.actions = CuboidActions(self)
        run = {action.name: getattr(self.actions, action.name) for action in BOX_ACTIONS}
        self.panel = CuboidPanel(self.settings.keys, run)
        native = viewer.window._qt_viewer.canvas.native
        native.setUpdatesEnabled(False)  # until `settle`: what isn't whole yet needn't be painted
        with controls_later(viewer):
            self.picture = PictureView(viewer, work, self)
        self.space = SpaceView(work, _SpaceHands(self), self.settings.theme)
        self.strip = FrameStrip(work.project, work.views.size_px, self.go)
        main = viewer.window._qt_window
        self.overview = KeyOverview(main, boxes=True)
        by_key = {key: run[name] for key, name in self.settings.by_key().items()}
        natives = (native, self.space.canvas.native)
        natives[1].setUpdatesEnabled(False)
        self.shortcuts = [Shortcuts(native, by_key, self._before_key) for native in natives]
        self.panel.prompt.on_left = natives[0].setFocus
        self.docks = self._dock(main)
        self._retry = _timer(main, _RETRY_MS, self.try_to_save)
        self._soon = _timer(main, 0, lambda: self._draw(*self.fitted()))
        self._late = _timer(main, _ERRORS_MS, self._show_errors)
        self._refining: Job | None = None
        self._watch = _timer(main, _WATCH_MS, self._hear)
        self._soon.setSingleShot(True)
        self.strip.row.on_laid_out = self._soon.start
        self._late.setSingleShot(True)
        self.panel.set_session(
            work.annotator,
            work.project.resolve().name,
            f"{work.recording.format}, {work.frames} frames",
        )
        self.panel.set_saved("every edit is saved at once")
        self.apply_looks(self.settings)
        if not work.boxes():
            work.begin_placing()
        self.go(work.frame)
        QTimer.singleShot(0, self.settle)
        if work.store.trouble is not None:
            self._tell_unsaved()

    def _dock(self, main: Any) -> list[Any]:
        from qtpy.QtCore import Qt

        window = self.viewer.window
        with settings_left():
            docks = [
                window.add_dock_widget(self.panel, name="Viewfinder", area="right"),
                window.add_dock_widget(self.space.widget, name="Space", area="left"),
                window.add_dock_widget(self.strip, name="Frames", area="bottom"),
            ]
        # The strip runs below both views, the panel beside all of it.
        main.setCorner(Qt.Corner.BottomRightCorner, Qt.DockWidgetArea.RightDockWidgetArea)
        return docks

    def settle(self) -> None:
        """Give the views their shares, once everything has its size, and fit what they show."""
        from qtpy.QtCore import Qt
        from qtpy.QtWidgets import QApplication

        main = self.viewer.window._qt_window
        room = main.width() - self.panel.width()
        main.resizeDocks([self.docks[1]], [int(room * _SPACE_SHARE)], Qt.Orientation.Horizontal)
        QApplication.processEvents()
        self.picture.fit()
        self.space.look()
        for canvas in (self.picture.canvas, self.space.canvas):
            canvas.native.setUpdatesEnabled(True)

    def end(self) -> None:
        """Stop what runs by itself, before the viewer is closed; the session stays open."""
        for timer in (self._retry, self._soon, self._late, self._watch):
            timer.stop()
        if self._refining is not None:
            self._refining.end()
        self.strip.row.end()

    def apply_looks(self, settings: Settings) -> None:
        """Colours and text sizes, ours and napari's."""
        self.settings = settings
        if self.viewer.theme != settings.theme:
            self.viewer.theme = settings.theme
        self.space.set_theme(settings.theme)
        self.panel.set_theme(settings.theme, settings.font_scale)
        self.strip.set_theme(THEMES[settings.theme])
        self._show_panel()

    def change_looks(self, settings: Settings) -> None:
        """Other colours or text sizes, for the next time, too."""
        self.apply_looks(settings)
        if self._remember is not None:
            try:
                self._remember(settings.theme, settings.font_scale)
            except ViewfinderError as error:
                self.tell(error)

    def show_help(self) -> None:
        """All keys, over the window, until the next key."""
        settings = self.settings
        theme = THEMES[settings.theme]
        self.overview.open(settings, theme, settings.font_scale, str(settings_path()))

    # -- showing ----------------------------------------------------------------------------------

    def go(self, frame: int) -> None:
        """Show another frame."""
        self.let_go()
        self.work.go(frame)
        try:
            self.picture.show_picture(self.work.picture())
        except ViewfinderError as error:
            self.tell(error)
        self.space.show_frame()
        self.strip.timeline.show_frame(self.work.frame)
        self.picture.handle = None
        self.show_boxes()

    def choose(self, number: int) -> None:
        """Work on another box."""
        self.work.choose(number)
        self.show_boxes()

    def fitted(self) -> tuple[Fitted | None, list[Fitted]]:
        """The chosen box as it stands or is dragged just now, and the others."""
        chosen, others = None, []
        for number in self.work.boxes():
            try:
                found = self.work.fitted(number)
            except ViewfinderError as error:
                self.tell(error)
                continue
            if number == self.work.chosen:
                chosen = found
            else:
                others.append(found)
        return (chosen if self._drag is None else self._drag.now), others

    def show_boxes(self) -> None:
        """Everything that depends on boxes."""
        chosen, others = self.fitted()
        self._draw(chosen, others)
        self._show_errors()
        self._show_panel()

    def _draw(self, chosen: Fitted | None, others: list[Fitted]) -> None:
        self.picture.draw(chosen, others)
        self.space.draw(chosen, others)
        row = self.strip.row
        if not row.shown:  # not laid out yet
            return
        views = self.work.views.only(row.shown)
        boxes = [(one, False) for one in others] + ([(chosen, True)] if chosen else [])
        px = [(views.project(views.in_camera(b.box.points_world_m())), own) for b, own in boxes]
        row.show_boxes(px, self.work.frame)

    def _show_errors(self) -> None:
        """What takes a look at every frame."""
        chosen, _ = self.fitted()
        suggested = None
        if chosen is not None and self._drag is None and self.work.placement is None:
            suggested = self.work.next_frame()
            if suggested is not None:
                self.work.prefetch(suggested)
        self.strip.timeline.show_fit(chosen, suggested)
        self.space.show_path(None if chosen is None else chosen.frame_errors_px)
        self.panel.set_fit(chosen)

    def _show_panel(self) -> None:
        work, boxes = self.work, self.work.boxes()
        number = work.chosen
        place = (boxes.index(number) + 1, len(boxes)) if number in boxes else None
        self.panel.set_box(place, None if number is None else work.document(number))
        clicks = work.cuboid(number).clicks if number in boxes and number is not None else ()
        here = sum(click.frame == work.frame for click in clicks)
        self.panel.set_frame(work.frame, work.frames, here, len(clicks))
        asked = "" if work.placement is None else f"{work.placement.step}"
        self.panel.set_asked(asked[:1].upper() + asked[1:])
        self._show_drift()

    # -- the tracker's drift ----------------------------------------------------------------------

    def _show_drift(self) -> None:
        by, px = self.work.correction.by, (math.nan, math.nan)
        if by != "none":
            with suppress(ViewfinderError):  # a box that doesn't fit was told of already
                px = (self.work.click_errors_px(tracked=True), self.work.click_errors_px())
        self.panel.set_drift(by, *px, self.work.correction.moved_most_m)

    def correct(self, by: DriftFrom) -> None:
        """Fit with the tracker's poses, or with those that drift was taken out of."""
        self.let_go()
        try:
            self.work.correct(by)
        except ViewfinderError as error:
            self.tell(error)
        self.space.show_frame()
        self.show_boxes()

    def refine(self) -> None:
        """Follow the pictures in the background; when that is done the poses change."""
        if self._refining is None:
            project = self.work.project
            self._refining = Job("annotate.refining", str(project), str(poses_file(project)))
            self.panel.set_working("following the pictures ...")
            self._watch.start()

    def _hear(self) -> None:
        job = self._refining
        if job is None:
            return
        over = not job.running  # asked first: what it said last mustn't be missed
        for said in job.news():
            if "error" in said:
                self.tell(ViewfinderError("the poses stay as they were", found=said["error"]))
            elif said.get("finished"):
                self.correct("pictures")
            else:
                words = f"following the pictures: {said['done']} of {said['total']}"
                last = said["done"] == said["total"]
                self.panel.set_working("refining the poses ..." if last else words)
        if over:
            self._refining = None
            self._watch.stop()
            self.panel.set_working("")

    # -- what the mouse does ----------------------------------------------------------------------

    def hold(self, handle: Handle, at_px: Array, zoom: float) -> bool:
        """A part of the chosen box is held in the picture."""
        try:
            self._drag = PictureDrag(self.work, handle, at_px, zoom)
        except ViewfinderError as error:
            self.viewer.status = str(error)
            return True  # it was meant for the box: the picture stays where it is
        return True

    def hold_in_space(self, handle: Handle, place: Array, px_per_m: float) -> bool:
        """A part of the chosen box is held in the view of space."""
        self._drag = SpaceDrag(self.work, handle, place, self.space.project, px_per_m)
        return True

    def drag(self, px: Array) -> None:
        """What is held goes there, and the box in every frame with it: fitted at once, drawn when
        the next turn of events comes, once for however many moves came before."""
        if self._drag is not None:
            self._drag.to(px)
            for timer in (self._soon, self._late):
                if not timer.isActive():
                    timer.start()

    def let_go(self) -> None:
        """What was dragged is kept; when it can't be, the box goes back to what is on the disk."""
        drag, self._drag = self._drag, None
        if drag is not None and drag.moved:
            self.kept(drag.let_go, "moved")
            self.show_boxes()

    def place(self, px: Array, zoom: float) -> None:
        """A click of a box that is being placed."""
        whole: list[bool] = []
        spot = (float(px[0]), float(px[1]))
        try:
            whole.append(self.work.place(spot, zoom))
        except ViewfinderError as error:
            self.tell(error)
        if whole == [True]:
            self.kept(lambda: None, "placed")
        self.show_boxes()
        if whole == [True]:
            self.space.look()

    # -- what is kept -----------------------------------------------------------------------------

    def kept(self, edit: Callable[[], object], did: str) -> bool:
        """Run an edit; True when it is on the disk, or in memory where the disk fails."""
        try:
            edit()
        except ViewfinderError as error:
            self.tell(error)
            return False
        store = self.work.store
        if store.trouble is not None:
            self._tell_unsaved()
            return True
        now = datetime.now().strftime("%H:%M:%S")
        self.panel.set_saved(f"{did} · saved {now} · revision {store.revision}")
        return True

    def tell(self, error: ViewfinderError) -> None:
        """Something went wrong."""
        self.panel.set_error(str(error))
        self.viewer.status = str(error)

    def _tell_unsaved(self) -> None:
        store = self.work.store
        self.panel.set_error(
            f"NOT ON THE DISK: {store.unsaved} changes are in memory alone, and are written as "
            f"soon as it can be. {store.trouble}"
        )
        self._retry.start()

    def try_to_save(self) -> None:
        """Write what is in memory alone, if the disk takes it now."""
        store = self.work.store
        if store.trouble is None:
            self._retry.stop()
            return
        waiting = store.unsaved
        if store.save():
            self._retry.stop()
            self.panel.set_saved(f"{waiting} changes saved at last")
            self.show_boxes()
        else:
            self._tell_unsaved()

    def _before_key(self, _key: str) -> bool:
        self.work.present()
        shown = bool(self.overview.isVisible())
        if shown:
            self.overview.hide()
        return shown


class _SpaceHands:
    """The mouse in the view of space: the same, but that holding is told apart."""

    def __init__(self, window: CuboidWindow) -> None:
        self._window = window
        self.drag, self.let_go = window.drag, window.let_go
        self.place, self.choose = window.place, window.choose

    def hold(self, handle: Handle, at_px: Array, zoom: float) -> bool:
        """See `Hands`."""
        return self._window.hold_in_space(handle, at_px, zoom)


def _timer(parent: Any, milliseconds: int, run: Callable[[], None]) -> Any:
    from qtpy.QtCore import QTimer

    timer = QTimer(parent)
    timer.setInterval(milliseconds)
    timer.timeout.connect(run)
    return timer
