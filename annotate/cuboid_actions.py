"""What a person can do with boxes, one method for each of `annotate.keys.BOX_ACTIONS`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from annotate.cuboid_drift import poses_file
from annotate.keys import FONT_SCALES
from annotate.viewing import CONTRASTS, TEXT_STEP, beside
from runtime.errors import ViewfinderError

if TYPE_CHECKING:
    from annotate.cuboid_window import CuboidWindow

REASONS = ("blurred", "hidden", "moves", "not a box", "tracking is off")
"""What is wrong with a box, most of the time: a digit says which."""
_FAR = 10


class CuboidActions:
    """Everything that has a key or a button."""

    def __init__(self, window: CuboidWindow) -> None:
        self._w = window

    # -- frames -----------------------------------------------------------------------------------

    def suggested(self) -> None:
        """Go to the frame that tells most about the box."""
        frame = self._w.work.next_frame()
        if frame is None:
            self._w.viewer.status = (
                "no frame would tell more: place a box first, or accept this one"
            )
        else:
            self._w.go(frame)

    def frame_on(self) -> None:
        """One frame on."""
        self._w.go(self._w.work.frame + 1)

    def frame_back(self) -> None:
        """One frame back."""
        self._w.go(self._w.work.frame - 1)

    def far_on(self) -> None:
        """A tenth of the recording on."""
        self._w.go(self._w.work.frame + max(1, self._w.work.frames // _FAR))

    def far_back(self) -> None:
        """A tenth of the recording back."""
        self._w.go(self._w.work.frame - max(1, self._w.work.frames // _FAR))

    # -- boxes ------------------------------------------------------------------------------------

    def new_box(self) -> None:
        """Place a box with the next four clicks."""
        self._w.work.begin_placing()
        self._w.show_boxes()

    def leave(self) -> None:
        """Place no box after all."""
        self._w.work.placement = None
        self._w.show_boxes()

    def next_box(self) -> None:
        """Work on the next box."""
        boxes, chosen = self._w.work.boxes(), self._w.work.chosen
        if boxes:
            place = boxes.index(chosen) + 1 if chosen in boxes else 0
            self._w.choose(boxes[place % len(boxes)])

    def propose(self) -> None:
        """Let a network find a box in this frame."""
        self._w.viewer.status = "looking for a box ..."
        if self._w.kept(self._w.work.propose, "proposed"):
            self._w.show_boxes()

    def accept(self) -> None:
        """The box is right as it stands; on to the next that is open."""
        work = self._w.work
        if work.chosen is None:
            self._w.viewer.status = "there is no box yet"
            return
        if self._w.kept(lambda: work.set_status("done"), "accepted"):
            left = [n for n in work.boxes() if work.document(n).status == "open"]
            after = [n for n in left if n > (work.chosen or 0)]
            if left:
                work.choose((after or left)[0])
            self._w.show_boxes()

    def flag(self) -> None:
        """Flag the box and say why, or take the flag off again."""
        work = self._w.work
        if work.chosen is None:
            return
        if work.document(work.chosen).status == "flagged":
            if self._w.kept(lambda: work.set_status("open"), "flag taken off"):
                self._w.show_boxes()
            return
        choices = " · ".join(f"{n} {reason}" for n, reason in enumerate(REASONS, 1))
        self._w.panel.prompt.ask(f"What is wrong? {choices}, or your words", "", self._flagged)

    def _flagged(self, text: str) -> None:
        known = text.isdigit() and 1 <= int(text) <= len(REASONS)
        note = REASONS[int(text) - 1] if known else text
        if self._w.kept(lambda: self._w.work.set_status("flagged", note), "flagged"):
            self._w.show_boxes()

    def category(self) -> None:
        """Say what the box is."""
        self._w.panel.prompt.ask("What is it?", self._w.work.category, self._named)

    def _named(self, text: str) -> None:
        if self._w.kept(lambda: self._w.work.set_category(text), f"a {text or 'thing'}"):
            self._w.show_boxes()

    def delete_box(self) -> None:
        """Take the box away; undo brings it back."""
        if self._w.work.chosen is not None and self._w.kept(self._w.work.delete, "taken away"):
            self._w.show_boxes()

    def export(self) -> None:
        """Write the boxes' file and the labels of every frame."""
        from annotate.cuboid_export import export_boxes

        try:
            done = export_boxes(self._w.work)
        except ViewfinderError as error:
            self._w.tell(error)
            return
        self._w.panel.set_saved(f"{done.boxes} boxes, {done.labels} labels in {done.dataset.name}")

    # -- edits ------------------------------------------------------------------------------------

    def undo(self) -> None:
        """Take the newest edit back; while placing, the last click."""
        placement = self._w.work.placement
        if placement is not None:
            if not placement.back():
                self._w.work.placement = None
            self._w.show_boxes()
            return
        self._step(self._w.work.undo, "undone", "nothing to undo")

    def redo(self) -> None:
        """Repeat what was taken back last."""
        self._step(self._w.work.redo, "redone", "nothing to redo")

    def _step(self, step: Callable[[], object], did: str, nothing: str) -> None:
        outcome: list[object] = []
        if self._w.kept(lambda: outcome.append(step()), did):
            if outcome[0] is None:
                self._w.panel.set_saved(nothing)
            self._w.show_boxes()

    def forget_frame(self) -> None:
        """Take this frame's clicks off the box."""
        self._edit(self._w.work.forget_frame, "clicks dropped")

    def turn_front(self) -> None:
        """Another side is the front."""
        self._edit(self._w.work.turn_front, "front turned")

    def square(self) -> None:
        """As wide as deep, or no longer so."""
        work = self._w.work
        if work.chosen is not None:
            now = work.cuboid(work.chosen).symmetry == "square"
            self._edit(lambda: work.set_square(not now), "no longer square" if now else "square")

    def next_plane(self) -> None:
        """Stand on another plane, or on none."""
        self._edit(self._w.work.next_plane, "stands on another plane")

    def drift_pictures(self) -> None:
        """Take the tracker's drift out as the pictures say; pressed again, see it as it was."""
        work = self._w.work
        if work.correction.by == "pictures":
            self._w.correct("none")
        elif poses_file(work.project).exists():
            self._w.correct("pictures")
        else:
            self._w.refine()

    def drift_clicks(self) -> None:
        """Take the tracker's drift out as clicks in several frames say; pressed again, as it
        was."""
        now = self._w.work.correction.by
        self._w.correct("none" if now == "annotations" else "annotations")

    def _edit(self, edit: Callable[[], object], did: str) -> None:
        if self._w.kept(edit, did):
            self._w.show_boxes()

    # -- the view ---------------------------------------------------------------------------------

    def fit(self) -> None:
        """The whole picture."""
        self._w.picture.fit()

    def zoom_box(self) -> None:
        """The box from near."""
        if self._w.work.chosen is not None:
            self._w.picture.fit_box(self._w.work.fitted(self._w.work.chosen))

    def look_along(self) -> None:
        """Space as this frame's camera sees it."""
        self._w.space.look(from_camera=True)

    def look_above(self) -> None:
        """Space from above, all of it."""
        self._w.space.look()

    def toggle_space(self) -> None:
        """Show or hide the view of space."""
        dock = self._w.docks[1]
        dock.setVisible(not dock.isVisible())

    def toggle_spread(self) -> None:
        """Show or hide where the box may be."""
        shown = not self._w.picture.spread_shown
        self._w.picture.spread_shown = self._w.space.spread_shown = shown
        self._w.show_boxes()

    def less_contrast(self) -> None:
        """Show the picture with less contrast."""
        self._w.picture.set_contrast(beside(CONTRASTS, self._w.picture.contrast, -1))

    def more_contrast(self) -> None:
        """Show the picture with more contrast."""
        self._w.picture.set_contrast(beside(CONTRASTS, self._w.picture.contrast, 1))

    def switch_theme(self) -> None:
        """Dark, light."""
        theme = "light" if self._w.settings.theme == "dark" else "dark"
        self._w.change_looks(replace(self._w.settings, theme=theme))

    def larger_text(self) -> None:
        """Larger text."""
        self._scale_text(TEXT_STEP)

    def smaller_text(self) -> None:
        """Smaller text."""
        self._scale_text(1 / TEXT_STEP)

    def _scale_text(self, factor: float) -> None:
        low, high = FONT_SCALES
        scale = min(max(self._w.settings.font_scale * factor, low), high)
        self._w.change_looks(replace(self._w.settings, font_scale=scale))

    def help(self) -> None:
        """All keys."""
        self._w.show_help()
