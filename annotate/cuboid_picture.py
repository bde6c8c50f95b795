"""The current frame with its boxes in a napari viewer, and what the mouse does to them."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from annotate import drawing
from annotate.cuboid_drawing import (
    BEFORE_COLOUR,
    CLICK_COLOUR,
    EDGE_COLOUR,
    HELD_COLOUR,
    OFF_COLOUR,
    PLACING_COLOUR,
    Lines,
    box_lines,
    click_marks,
    ellipses,
    handle_pieces,
)
from annotate.cuboid_fitted import Fitted
from annotate.cuboid_handles import Handle, facing, pick
from annotate.cuboid_lines import LineVisual, MarkVisual
from annotate.cuboid_placing import EDGES
from annotate.cuboid_pointer import (
    Pointer,
    PointerHandlers,
    scene_from_screen,
    screen_from_scene,
)
from annotate.cuboid_session import CuboidSession
from annotate.editing import rowcol_from_px

Array = NDArray[np.float64]

PICTURE_LAYER = "picture"
_FILL, _NEAR_FILL = 0.98, 0.6


class Hands(Protocol):
    """What a window does with what the mouse does in a view; places are picture coordinates."""

    def hold(self, handle: Handle, at_px: Array, zoom: float) -> bool:
        """Take hold of a part of the chosen box; False where it can't be."""

    def drag(self, px: Array) -> None:
        """What is held goes there."""

    def let_go(self) -> None:
        """Keep what was dragged."""

    def place(self, px: Array, zoom: float) -> None:
        """A click of a box that is being placed."""

    def choose(self, number: int) -> None:
        """Another box was clicked on."""


class PictureView:
    """The 2D side of the window.

    Args:
        viewer: a napari Viewer with a window.
        work: the session.
        hands: what the mouse does goes there.
    """

    def __init__(self, viewer: Any, work: CuboidSession, hands: Hands) -> None:
        self.viewer, self.work, self._hands = viewer, work, hands
        self.contrast = 1.0
        self.handle: Handle | None = None
        self.spread_shown = True
        self._raw: NDArray[np.uint8] = np.zeros((8, 8, 3), np.uint8)
        self._cursor: Array | None = None
        self.layer = viewer.add_image(self._raw, name=PICTURE_LAYER, rgb=True)
        self.layer.interpolation2d = "linear"
        scene = viewer.window._qt_viewer.canvas.view.scene
        self.edges = LineVisual(scene, 2.0, 20, halo=1.2)
        self.spread = LineVisual(scene, 1.4, 30, halo=0.6)
        self._held = LineVisual(scene, 4.0, 24)
        self.corners = MarkVisual(scene, 6.0, 26)
        self.clicked = MarkVisual(scene, 9.0, 28, "cross", edge_width=0.5)
        self._all = (self.edges, self.spread, self._held, self.corners, self.clicked)
        handlers = PointerHandlers(self._hover, self._press, self._drag, hands.let_go)
        self._pointer = Pointer(self.canvas, handlers)

    @property
    def canvas(self) -> Any:
        """napari's."""
        return self.viewer.window._qt_viewer.canvas

    # -- showing ----------------------------------------------------------------------------------

    def show_picture(self, picture: NDArray[np.uint8]) -> None:
        """Another frame."""
        self._raw = picture
        self.layer.data = drawing.contrasted(picture, self.contrast)

    def set_contrast(self, contrast: float) -> None:
        """1 is the picture as it is."""
        self.contrast = contrast
        self.layer.data = drawing.contrasted(self._raw, contrast)

    def fit(self) -> None:
        """Show the whole picture."""
        height, width = self._raw.shape[:2]
        self.look_at((0.0, 0.0, float(width), float(height)), _FILL)

    def fit_box(self, fitted: Fitted) -> None:
        """Look at a box from near."""
        px = self.work.views.seen_in(self.work.frame, fitted.box.points_world_m())
        if np.isfinite(px).all():
            low, size = px.min(axis=0), np.ptp(px, axis=0)
            self.look_at((*low.tolist(), *size.tolist()), _NEAR_FILL)

    def look_at(self, box_px: tuple[float, float, float, float], share: float) -> None:
        """Let a box of the picture fill a share of the canvas."""
        height, width = self.canvas.size
        (x, y), zoom = drawing.view_onto(box_px, (width, height), share)
        row, column = rowcol_from_px([x, y])
        self.viewer.scene.camera.center = (0.0, float(row), float(column))
        self.viewer.scene.camera.zoom = zoom

    @property
    def zoom(self) -> float:
        """Screen pixels to one of the picture."""
        return float(self.viewer.scene.camera.zoom)

    def draw(self, chosen: Fitted | None, others: list[Fitted]) -> None:
        """The boxes as they are in the current frame, and what is being placed."""
        frame, views = self.work.frame, self.work.views
        eye = -views.turns[frame].T @ views.shifts[frame]
        lines, marks = [], []
        for one in others:
            px = views.seen_in(frame, one.box.points_world_m())
            lines.append(box_lines(px, facing(one.box, eye), chosen=False))
        spread, held = Lines.joined([], 2), np.empty((0, 2, 2))
        corners, turned = np.empty((0, 2)), np.zeros(6, bool)
        if chosen is not None:
            px, turned = views.seen_in(frame, chosen.box.points_world_m()), facing(chosen.box, eye)
            corners = px[1:]
            if self.work.correction.by != "none" and self.work.chosen is not None:
                lines.append(self._as_tracked(frame, self.work.chosen))
            lines.append(box_lines(px, turned, chosen=True))
            found = click_marks(chosen, frame, px)
            lines.append(Lines.of(found.misses, OFF_COLOUR))
            marks.append((found.px, np.where(found.off[:, None], *_pair(OFF_COLOUR, CLICK_COLOUR))))
            if self.spread_shown:
                spread = ellipses(chosen, frame, px)
            if self.handle is not None:
                held = handle_pieces(px, self.handle)
        if self.work.placement is not None:
            lines.append(self._placing_lines())
            spots = [at for f, at in self.work.placement.clicks if f == frame]
            at = np.array(spots).reshape(-1, 2)
            marks.append((at, np.tile(drawing.rgba(PLACING_COLOUR), (len(at), 1))))
        self.edges.show(_in_scene(Lines.joined(lines, 2)))
        self.spread.show(_in_scene(Lines.joined([spread], 2)))
        self._held.show(_in_scene(Lines.joined([Lines.of(held, HELD_COLOUR)], 2)))
        self._show_corners(corners)
        at = np.concatenate([m[0] for m in marks]) if marks else np.empty((0, 2))
        colours = np.concatenate([m[1] for m in marks]) if marks else np.empty((0, 4), np.float32)
        self.clicked.show(at - 0.5, colours.astype(np.float32), colours.astype(np.float32))

    def _as_tracked(self, frame: int, number: int) -> Lines:
        """Where the tracker's poses would have the box."""
        before = self.work.fitted(number, tracked=True)
        px = self.work.tracked.seen_in(frame, before.box.points_world_m())
        return Lines.of(px[np.array(EDGES)], BEFORE_COLOUR)

    def _placing_lines(self) -> Lines:
        placement, frame = self.work.placement, self.work.frame
        if placement is None or self._cursor is None:
            return Lines.joined([], 2)
        pieces = placement.outline(frame, (float(self._cursor[0]), float(self._cursor[1])))
        ends = self.work.views.seen_in(frame, pieces.reshape(-1, 3)).reshape(-1, 2, 2)
        return Lines.of(ends, PLACING_COLOUR)

    def _show_corners(self, corners: Array) -> None:
        face = np.tile(drawing.rgba("#ffffff"), (len(corners), 1))
        edge = np.tile(drawing.rgba(EDGE_COLOUR), (len(corners), 1))
        if self.handle is not None and len(corners):
            for corner in self.handle.corners:
                face[corner - 1] = drawing.rgba(HELD_COLOUR)
        self.corners.show(corners - 0.5, face, edge)

    # -- the mouse --------------------------------------------------------------------------------

    def px_of(self, place: Array) -> Array:
        """(2,) picture coordinates under a place on the canvas."""
        return scene_from_screen(self.canvas, place) + 0.5

    def place_of(self, px: Array) -> Array:
        """(N, 2) places on the canvas of picture coordinates."""
        return screen_from_scene(self.canvas, np.asarray(px, np.float64) - 0.5)

    def under(self, place: Array, fitted: Fitted) -> Handle | None:
        """The part of a box under a place on the canvas."""
        frame, views = self.work.frame, self.work.views
        px = views.seen_in(frame, fitted.box.points_world_m())
        eye = -views.turns[frame].T @ views.shifts[frame]
        return pick(self.place_of(px), place, facing(fitted.box, eye))

    def _hover(self, place: Array) -> None:
        self.work.present()
        self._cursor = self.px_of(place)
        chosen = self._chosen()
        before, self.handle = self.handle, None
        if chosen is not None and self.work.placement is None:
            self.handle = self.under(place, chosen)
        if self.handle != before or self.work.placement is not None:
            self.redraw()

    def redraw(self) -> None:
        """The same as it was drawn last, with what the cursor is over now."""
        others = [self.work.fitted(n) for n in self.work.boxes() if n != self.work.chosen]
        self.draw(self._chosen(), others)

    def _chosen(self) -> Fitted | None:
        return None if self.work.chosen is None else self.work.fitted(self.work.chosen)

    def _press(self, place: Array) -> bool:
        self.work.present()
        px = self._cursor = self.px_of(place)
        if self.work.placement is not None:
            self._hands.place(px, self.zoom)
            return True
        chosen = self._chosen()
        self.handle = None if chosen is None else self.under(place, chosen)
        if self.handle is not None:
            return self._hands.hold(self.handle, px, self.zoom)
        for number in self.work.boxes():
            if number != self.work.chosen and self.under(place, self.work.fitted(number)):
                self._hands.choose(number)
                return True
        return False

    def _drag(self, place: Array) -> None:
        self._hands.drag(self.px_of(place))


def _pair(first: str, second: str) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    return drawing.rgba(first), drawing.rgba(second)


def _in_scene(lines: Lines) -> Lines:
    """napari's scene counts from pixel centres."""
    return Lines(rowcol_from_px(lines.ends)[:, ::-1], lines.colours)
