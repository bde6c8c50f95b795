"""The annotation window: napari, a session, and how what a person does becomes revisions."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

from annotate import drawing
from annotate.actions import Actions
from annotate.advising import Advising
from annotate.box_keypoints import BOX
from annotate.canvas import KeypointCanvas
from annotate.editing import Move
from annotate.first_paint import controls_later, settings_left
from annotate.guide import next_to_place, region_of
from annotate.hand_bones import HAND
from annotate.help import KeyOverview
from annotate.insets import Insets
from annotate.keys import ACTIONS, Settings, place_for_people, settings_path
from annotate.panel import Panel
from annotate.reviewing import Reviewing
from annotate.session import AnnotationSession
from annotate.shortcuts import Shortcuts
from annotate.theme import THEMES
from runtime.errors import ViewfinderError

# How often what is in memory alone is tried to be written.
_RETRY_MS = 3000
_REGION_FILL = 0.95


class AnnotateWindow:
    """Joins a session to a napari viewer: every edit goes to the store before it is shown done.

    Args:
        viewer: napari's, with a window.
        session: what to show.
        settings: keys, theme and text size.
        remember: called with theme and text size when somebody changes them.
        model: which model predicts, see `annotate.adviser.Adviser`.
    """

    def __init__(
        self,
        viewer: Any,
        session: AnnotationSession,
        settings: Settings | None = None,
        remember: Callable[[str, float], None] = lambda _theme, _scale: None,
        model: str = "",
    ) -> None:
        from qtpy.QtCore import QTimer

        self._remember = remember
        self.viewer = viewer
        self.session = session
        self.settings = settings or Settings()
        self.theme, self.font_scale = self.settings.theme, self.settings.font_scale
        native = viewer.window._qt_viewer.canvas.native
        native.setUpdatesEnabled(False)  # each painting of what isn't whole yet costs a tenth
        with controls_later(viewer):
            self.canvas = KeypointCanvas(viewer, self._moved, self._hovered)
        self.actions = Actions(self)
        run = {action.name: getattr(self.actions, action.name) for action in ACTIONS}
        self.panel = Panel(self.settings.keys, run)
        self.insets = Insets(self.canvas)
        self._region = ""
        main = viewer.window._qt_window
        self.overview = KeyOverview(main)
        by_key = {key: run[name] for key, name in self.settings.by_key().items()}
        self.shortcuts = Shortcuts(native, by_key, self._before_key)
        self.panel.prompt.on_left = native.setFocus
        with settings_left():
            self.docks = [
                viewer.window.add_dock_widget(self.panel, name="Viewfinder", area="right"),
                viewer.window.add_dock_widget(self.insets, name="Close views", area="left"),
            ]
        self._retry = self._make_retry(main)
        self.reviewing = Reviewing(self.canvas, main)
        self.advising = Advising(self, main, model)
        self.canvas.tint = self.advising.tint
        viewer.mouse_move_callbacks.append(self._present)
        viewer.mouse_wheel_callbacks.append(self._present)
        self.canvas.on_drawn = self.insets.repaint_marks
        self.apply_theme()
        self.show_session(session)
        # When the docks have their places: each size on the way there would be painted.
        QTimer.singleShot(0, native, lambda: native.setUpdatesEnabled(True))

    def _make_retry(self, parent: Any) -> Any:
        from qtpy.QtCore import QTimer

        timer = QTimer(parent)
        timer.setInterval(_RETRY_MS)
        timer.timeout.connect(self.try_to_save)
        return timer

    def show_session(self, session: AnnotationSession) -> None:
        """Go over to another session; the one before stays open."""
        self.session = session
        self.reviewing.begin(session)
        self.advising.begin(session.dataset.root)
        project = session.dataset.root.resolve().name
        self.panel.set_session(session.annotator, project, session.layer)
        self.canvas.tools.asked = None
        self.panel.set_saved("every edit is saved at once")
        self.show_item()
        if session.store.trouble is not None:
            self._tell_unsaved()

    def close(self) -> None:
        """Take layers, panel and keys out of the viewer; the session stays open."""
        self.shortcuts.close()
        self._retry.stop()
        self.reviewing.close()
        self.advising.end()
        self.viewer.mouse_move_callbacks.remove(self._present)
        self.viewer.mouse_wheel_callbacks.remove(self._present)
        for dock in self.docks:
            self.viewer.window.remove_dock_widget(dock)
        self.overview.deleteLater()
        self.canvas.close()

    def apply_theme(self) -> None:
        """Colours and text sizes, ours and napari's."""
        if self.viewer.theme != self.theme:
            self.viewer.theme = self.theme
        self.panel.set_theme(self.theme, self.font_scale)

    def show_help(self) -> None:
        """All keys, over the window, until the next key."""
        theme = THEMES[self.theme]
        file = place_for_people(settings_path())
        self.overview.open(self.settings, theme, self.font_scale, file)

    def remember_looks(self) -> None:
        """Theme and text size were changed: the next window begins with them."""
        try:
            self._remember(self.theme, self.font_scale)
        except ViewfinderError as error:
            self.tell(error)

    # -- going about ---------------------------------------------------------------------------

    def go(self, step: Callable[[], bool]) -> None:
        """Show another item, if there is one that way."""
        if step():
            self.show_item()
        else:
            self.show_state()
            self.viewer.status = "no further item that way"

    def show_item(self) -> None:
        """The current item, its picture and all."""
        document = self.session.document
        asking = self.canvas.tools.asked is not None
        try:
            picture = self.session.picture()
        except ViewfinderError as error:
            self.tell(error)
            row = self.session.dataset.row(self.session.item.key.sample_id)
            picture = drawing.missing_picture(row["width"], row["height"])
        self._region = ""
        self.advising.show_item()
        self.canvas.active = self.next_contour(None, 1)
        self.canvas.tools.asked = next_to_place(document) if asking else None
        self.canvas.show(picture, document, self.session.camera())
        self.reviewing.show_item()
        self.insets.look()
        if asking:
            self.look_at_asked()
        self.show_state()

    def show_document(self) -> None:
        """The same item after a change."""
        document = self.session.document
        if self.canvas.active in document.confirmed:
            self.canvas.active = self.next_contour(self.canvas.active, 1)
        self.canvas.update(document)
        self.insets.look()
        self.show_state()

    def next_contour(self, after: str | None, way: int) -> str | None:
        """The next contour that nobody confirmed; None when there is none."""
        document = self.session.document
        names = list(document.topology.contours)
        if not names:
            return None
        first = names.index(after) + way if after in names else 0
        order = [names[(first + way * step) % len(names)] for step in range(len(names))]
        return next((name for name in order if name not in document.confirmed), None)

    def ask(self, index: int | None) -> None:
        """Ask for a keypoint, and look where it is; None asks no more."""
        self.canvas.tools.asked = index
        if index is None:
            self._region = ""
            self.canvas.fit()
        else:
            self.look_at_asked()
        self.canvas.redraw_marks()
        self.show_state()

    def look_at_asked(self) -> None:
        """Look from near where the keypoint is that is asked for, unless one does already."""
        asked, document = self.canvas.tools.asked, self.session.document
        if asked is None:
            return
        region = region_of(document.topology_id, asked)
        if region != self._region or region == "rest":
            box = drawing.asked_box(self.canvas.drawn_px, document.topology_id, asked)
            self.canvas.look_at(box, _REGION_FILL)
        self._region = region

    # -- what is kept ----------------------------------------------------------------------------

    def kept(self, edit: Callable[[], object], did: str) -> bool:
        """Run an edit; True when it is on the disk, or in memory where the disk fails."""
        try:
            edit()
        except ViewfinderError as error:
            self.tell(error)
            return False
        if self.session.store.trouble is not None:
            self._tell_unsaved()
            return True
        now = datetime.now().strftime("%H:%M:%S")
        self.panel.set_saved(f"{did} · saved {now} · revision {self.session.store.revision}")
        return True

    def tell(self, error: ViewfinderError) -> None:
        """Something went wrong."""
        self.panel.set_error(str(error))
        self.viewer.status = str(error)

    def _tell_unsaved(self) -> None:
        store = self.session.store
        self.panel.set_error(
            f"NOT ON THE DISK: {store.unsaved} changes are in memory alone, and are written as "
            f"soon as it can be. {store.trouble}"
        )
        self._retry.start()

    def try_to_save(self) -> None:
        """Write what is in memory alone, if the disk takes it now."""
        store = self.session.store
        if store.trouble is None:
            self._retry.stop()
            return
        waiting = store.unsaved
        if store.save():
            self._retry.stop()
            self.panel.set_saved(f"{waiting} changes saved at last")
            self.show_document()
        else:
            self._tell_unsaved()

    def show_state(self) -> None:
        """Everything the panel says."""
        session, document = self.session, self.session.document
        key = session.item.key
        name = f"{key.sample_id} · {key.topology_id.split('@')[0]} {key.subject_id}"
        place = (session.index + 1, len(session.items))
        self.panel.set_item(*place, name, document, session.filter_text)
        self.panel.set_progress(session.progress(), session.items_an_hour())
        self.panel.set_review(self.reviewing.text(THEMES[self.theme].muted))
        self.advising.show_text()
        self.show_tools()
        self._hovered(self.canvas.hovered)

    def show_tools(self) -> None:
        """The panel's line about contours and drags."""
        tools, document = self.canvas.tools, self.session.document
        reach = f"{tools.reach_px(document):.0f} px" if tools.reach < 1e3 else "everything"
        words = [f"drags reach {reach}"]
        words += ["magnet"] if tools.magnet else []
        words += ["both sides"] if tools.symmetric else []
        if document.topology_id == HAND:
            words = ["bones keep their lengths" if tools.keep_bones else "bones stretch"]
            words = words if document.depth is not None else ["depth unknown"]
            words.insert(0, f"{document.handedness or 'left or right?'} hand")
            words += [self.canvas.wrong.text()] if self.canvas.wrong.text() else []
        elif document.topology_id == BOX:
            words = ["a drag moves the box as one" if document.depth is not None else "no box yet"]
        asked = ""
        if tools.asked is not None:
            title = drawing.keypoint_title(document.topology, tools.asked)
            keys = " or ".join(self.settings.keys["right"])
            asked = f"Click where {title} belongs; {keys} if it is right."
        self.panel.set_contours(document, self.canvas.active, asked, words)

    def _before_key(self, _key: str) -> bool:
        self.session.present()
        shown = bool(self.overview.isVisible())
        if shown:
            self.overview.hide()
        return shown

    def _moved(self, move: Move) -> None:
        self.kept(lambda: self.session.move_many(move), "moved")
        # When it couldn't be kept the picture goes back to what is on the disk.
        asked = self.canvas.tools.asked
        if asked is not None and asked in move.held:
            self.canvas.tools.asked = next_to_place(self.session.document, asked)
            self.show_document()
            self.ask(self.canvas.tools.asked)
        else:
            self.show_document()

    def _present(self, _viewer: Any, _event: Any) -> None:
        self.session.present()

    def _hovered(self, index: int | None) -> None:
        document = self.session.document
        if index is None:
            self.panel.set_keypoint(None)
            return
        title = drawing.keypoint_title(document.topology, index)
        self.panel.set_keypoint(title, int(document.visibility[index]))
