"""What a person can do in the window, one method for each of `annotate.keys.ACTIONS`."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from annotate.contours import contour_points
from annotate.editing import OCCLUDED, VISIBLE
from annotate.guide import next_to_place
from annotate.keys import FONT_SCALES
from annotate.ordering import FILTER_WORDS
from annotate.viewing import CONTRASTS, TEXT_STEP, beside
from runtime.errors import ViewfinderError

if TYPE_CHECKING:
    from annotate.review import ReviewSession
    from annotate.window import AnnotateWindow

REASONS = ("blurred", "hidden", "wrong person", "no face or hand", "several")
"""What is wrong with an item, most of the time: a digit says which."""
_FAINT_STEPS = (0.15, 0.35, 0.6, 1.0)
_CONTOUR_FILL = 0.6


class Actions:
    """Everything that has a key or a button."""

    def __init__(self, window: AnnotateWindow) -> None:
        self._w = window
        self._whole = False

    # -- items ------------------------------------------------------------------------------------

    def next(self) -> None:
        """Show the next item."""
        self._w.go(self._w.session.next)

    def previous(self) -> None:
        """Show the previous item."""
        self._w.go(self._w.session.previous)

    def accept(self) -> None:
        """Accept the item, and go to the next that is open."""
        if self._w.kept(self._w.session.accept, "accepted"):
            self._w.go(self._w.session.next_open)

    def skip(self) -> None:
        """Leave the item for later, and go to the next that is open."""
        if self._w.kept(self._w.session.skip, "skipped"):
            self._w.go(self._w.session.next_open)

    def flag(self) -> None:
        """Flag the item and say why, or take the flag off again."""
        if self._w.session.document.status == "flagged":
            if self._w.kept(self._w.session.reopen, "flag taken off"):
                self._w.show_state()
            return
        choices = " · ".join(f"{n} {reason}" for n, reason in enumerate(REASONS, 1))
        self._w.panel.prompt.ask(f"What is wrong? {choices}, or your words", "", self._flagged)

    def _flagged(self, text: str) -> None:
        known = text.isdigit() and 1 <= int(text) <= len(REASONS)
        note = REASONS[int(text) - 1] if known else text
        if self._w.kept(lambda: self._w.session.flag(note), "flagged"):
            self._w.show_state()

    def filter(self) -> None:
        """Work on some items only."""
        title = f"Only items that are: {FILTER_WORDS}. Nothing shows all."
        self._w.panel.prompt.ask(title, self._w.session.filter_text, self._filtered)

    def _filtered(self, text: str) -> None:
        try:
            count = self._w.session.set_filter(text)
        except ViewfinderError as error:
            self._w.tell(error)
            return
        if count:
            self._w.show_item()
            self._w.panel.set_saved(f"{count} items" if text else "all items")
        else:
            self._w.panel.set_error(f"no item is {text}: the filter stays as it was")

    def export(self) -> None:
        """Write the layer `human/<annotator>`."""
        try:
            summary = self._w.session.export()
        except ViewfinderError as error:
            self._w.tell(error)
            return
        self._w.panel.set_saved(f"{summary.layer}: {summary.labels} labels written")

    # -- edits ------------------------------------------------------------------------------------

    def undo(self) -> None:
        """Take the newest edit back."""
        self._step(self._w.session.undo, "undone", "nothing to undo")

    def redo(self) -> None:
        """Repeat what was taken back last."""
        self._step(self._w.session.redo, "redone", "nothing to redo")

    def _step(self, step: Callable[[], object], did: str, nothing: str) -> None:
        index = self._w.session.index
        outcome: list[object] = []
        if not self._w.kept(lambda: outcome.append(step()), did):
            return
        if outcome[0] is None:
            self._w.panel.set_saved(nothing)
        elif self._w.session.index != index:
            self._w.show_item()
        else:
            self._w.show_document()

    def guide(self) -> None:
        """Ask for one keypoint after the other, or stop asking."""
        asked = self._w.canvas.tools.asked
        if asked is not None:
            self._w.ask(None)
            return
        first = next_to_place(self._w.session.document)
        if first is None:
            self._w.viewer.status = "nothing to ask: all is placed, or this isn't a face"
        else:
            self._w.ask(first)

    def right(self) -> None:
        """What is asked, or else the active contour, is right where it is; on to the next."""
        session, asked = self._w.session, self._w.canvas.tools.asked
        if asked is not None:
            if self._w.kept(lambda: session.keep(asked), "kept"):
                self._w.canvas.tools.asked = next_to_place(session.document, asked)
                self._w.show_document()
                self._w.ask(self._w.canvas.tools.asked)
            return
        active = self._w.canvas.active
        if active is None:
            self._w.viewer.status = "all contours are confirmed"
        elif self._w.kept(lambda: session.confirm([active]), f"{active} confirmed"):
            self._w.show_document()

    def next_contour(self) -> None:
        """Make the next unconfirmed contour active."""
        self._activate(1)

    def previous_contour(self) -> None:
        """Make the unconfirmed contour before active."""
        self._activate(-1)

    def _activate(self, way: int) -> None:
        found = self._w.next_contour(self._w.canvas.active, way)
        if found is None:
            self._w.viewer.status = "all contours are confirmed"
            return
        self._w.canvas.active = found
        self._w.canvas.redraw_marks()
        self._w.show_state()

    def cycle_visibility(self) -> None:
        """Change the visibility of the keypoint under the cursor."""
        index = self._w.canvas.hovered
        if index is None:
            self._w.viewer.status = "hold the cursor over a keypoint first"
        elif self._w.kept(lambda: self._w.session.cycle_visibility(index), "visibility changed"):
            self._w.show_document()

    def occlude_contour(self) -> None:
        """Mark the active contour's points occluded, or visible when they are."""
        document, active = self._w.session.document, self._w.canvas.active
        if active is None:
            self._w.viewer.status = "no contour is active"
            return
        points = [
            i
            for i in contour_points(document.topology, active)
            if np.isfinite(document.keypoints_px[i]).all()
        ]
        hidden = bool((document.visibility[points] == OCCLUDED).all())
        to, word = (VISIBLE, "visible") if hidden else (OCCLUDED, "occluded")
        did = f"{active} {word}"
        if points and self._w.kept(lambda: self._w.session.set_visibility(points, to), did):
            self._w.show_document()

    # -- the model --------------------------------------------------------------------------------

    def predict(self) -> None:
        """Let the model predict the item again; what was placed or confirmed stays."""
        self._w.advising.predict()

    def predict_contour(self) -> None:
        """Let the model predict the active contour again."""
        if self._w.canvas.active is None:
            self._w.viewer.status = "no contour is active"
        else:
            self._w.advising.predict(self._w.canvas.active)

    def toggle_disagreement(self) -> None:
        """Colour keypoints by how far the model is from them, or no longer."""
        self._w.advising.toggle_colours()

    def learn(self) -> None:
        """Teach the model what was refined last, in the background, or stop."""
        self._w.advising.toggle_learning()

    def choose_model(self) -> None:
        """Say which model predicts."""
        self._w.advising.ask_which()

    # -- reviewing --------------------------------------------------------------------------------

    def blink(self) -> None:
        """Others' work laid over the picture, blinked in turn, hidden."""
        if self._reviewed() is not None:
            self._w.reviewing.next_mode()
            self._w.show_state()

    def take_first(self) -> None:
        """The item as the first annotator has it."""
        self._take(0)

    def take_second(self) -> None:
        """The item as the second annotator has it."""
        self._take(1)

    def take_mean(self) -> None:
        """The item as the mean of what was made of it."""
        self._take(None)

    def contour_of_first(self) -> None:
        """The active contour as the first annotator has it."""
        self._take(0, contour=True)

    def contour_of_second(self) -> None:
        """The active contour as the second annotator has it."""
        self._take(1, contour=True)

    def _take(self, number: int | None, contour: bool = False) -> None:
        session, active = self._reviewed(), self._w.canvas.active
        if session is None:
            return
        if contour and active is None:
            self._w.viewer.status = "no contour is active"
            return
        who = "the mean" if number is None else session.works[number][0]
        did = f"{active if contour else 'all'} of {who} taken"
        if self._w.kept(lambda: session.take(number, active if contour else None), did):
            self._w.show_document()

    def _reviewed(self) -> ReviewSession | None:
        session = self._w.reviewing.session
        if session is None:
            self._w.viewer.status = "only in a review: viewfinder annotate PROJECT --review"
        return session

    # -- dragging ---------------------------------------------------------------------------------

    def softer(self) -> None:
        """Let a soft drag reach farther."""
        self._scale_reach(True)

    def harder(self) -> None:
        """Let a soft drag reach less far."""
        self._scale_reach(False)

    def _scale_reach(self, farther: bool) -> None:
        self._w.canvas.tools.scale_reach(farther)
        self._w.canvas.show_reach()
        self._w.show_tools()

    def toggle_magnet(self) -> None:
        """Draw contours to edges, or no longer."""
        tools = self._w.canvas.tools
        tools.magnet = not tools.magnet
        self._w.show_tools()

    def toggle_symmetry(self) -> None:
        """Move both sides of a face at once, or one."""
        tools = self._w.canvas.tools
        tools.symmetric = not tools.symmetric
        self._w.show_tools()

    def toggle_bones(self) -> None:
        """Let a hand's bones keep their lengths in drags, or stretch."""
        tools = self._w.canvas.tools
        tools.keep_bones = not tools.keep_bones
        self._w.show_tools()

    def toggle_handedness(self) -> None:
        """Make a hand a left one, or a right one."""
        if self._w.kept(self._w.session.toggle_handedness, "handedness changed"):
            self._w.show_document()

    # -- the view ---------------------------------------------------------------------------------

    def toggle_fit(self) -> None:
        """Fit the view to the subject, then to the whole picture, in turn."""
        self._whole = not self._whole
        self._w.canvas.fit(self._whole)

    def zoom_contour(self) -> None:
        """Look at the active contour from near."""
        document, active = self._w.session.document, self._w.canvas.active
        if active is None:
            return
        points = self._w.canvas.drawn_px[list(document.topology.contours[active].indices)]
        low, size = points.min(axis=0), np.ptp(points, axis=0)
        self._w.canvas.look_at((*low.tolist(), *size.tolist()), _CONTOUR_FILL)

    def toggle_contours(self) -> None:
        """Show or hide contours."""
        self._w.canvas.marks.show_lines(not self._w.canvas.marks.lines_shown)
        self._w.insets.repaint_marks()

    def toggle_keypoints(self) -> None:
        """Show or hide keypoints."""
        self._w.canvas.points.visible = not self._w.canvas.points.visible
        self._w.insets.repaint_marks()

    def toggle_insets(self) -> None:
        """Show or hide the close views."""
        dock = self._w.docks[1]
        dock.setVisible(not dock.isVisible())
        self._w.insets.look()

    def fainter(self) -> None:
        """Draw keypoints and contours fainter."""
        self._fade(-1)

    def bolder(self) -> None:
        """Draw keypoints and contours bolder."""
        self._fade(1)

    def _fade(self, way: int) -> None:
        self._w.canvas.set_opacity(beside(_FAINT_STEPS, self._w.canvas.opacity, way))
        self._w.insets.repaint_marks()

    def less_contrast(self) -> None:
        """Show the picture with less contrast."""
        self._contrast(-1)

    def more_contrast(self) -> None:
        """Show the picture with more contrast."""
        self._contrast(1)

    def _contrast(self, way: int) -> None:
        self._w.canvas.set_contrast(beside(CONTRASTS, self._w.canvas.contrast, way))
        self._w.insets.look()

    def switch_theme(self) -> None:
        """Dark, light."""
        self._w.theme = "light" if self._w.theme == "dark" else "dark"
        self._w.apply_theme()
        self._w.remember_looks()
        self._w.show_state()

    def larger_text(self) -> None:
        """Larger text."""
        self._scale_text(TEXT_STEP)

    def smaller_text(self) -> None:
        """Smaller text."""
        self._scale_text(1 / TEXT_STEP)

    def _scale_text(self, factor: float) -> None:
        low, high = FONT_SCALES
        self._w.font_scale = min(max(self._w.font_scale * factor, low), high)
        self._w.apply_theme()
        self._w.remember_looks()

    def help(self) -> None:
        """All keys."""
        self._w.show_help()
