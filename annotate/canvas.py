"""A picture with draggable keypoints and contours in a napari viewer.

napari keeps the picture and the points as ordinary layers; `annotate.marks` draws the rest.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from annotate import drawing
from annotate.dragging import Dragging, DragTools
from annotate.editing import (
    Document,
    Move,
    bounding_box,
    px_from_rowcol,
    rowcol_from_px,
)
from annotate.hand_bones import HAND, Implausible, implausible, usual_camera
from annotate.marks import Marks
from runtime.camera import Camera

PICTURE_LAYER = "picture"
KEYPOINTS_LAYER = "keypoints"
# How far from a keypoint a click may be, in screen pixels.
REACH_SCREEN_PX = 12.0
# The subject's box takes this share of the canvas.
_FILL = 0.8
_MARKER_LIMITS_PX = (2, 14)


class KeypointCanvas:
    """Shows one document over its picture, and tells what the mouse does to it.

    Args:
        viewer: a napari Viewer with a window.
        on_move: called once, when a drag ends, with what it moved.
        on_hover: called with the keypoint under the cursor when that changes, None for none.
    """

    def __init__(
        self,
        viewer: Any,
        on_move: Callable[[Move], None],
        on_hover: Callable[[int | None], None],
    ) -> None:
        self.viewer = viewer
        self.tools = DragTools()
        self.dragging = Dragging(self.tools)
        self.hovered: int | None = None
        self.active: str | None = None
        self.on_drawn: Callable[[], None] = lambda: None
        self.tint: Callable[[Document], NDArray[np.float32] | None] = lambda _document: None
        self.document: Document | None = None
        self.drawn_px, self.drawn_depth = np.zeros((0, 2)), np.zeros(0)
        self.camera, self.wrong = usual_camera(8, 8), Implausible()
        self._on_move = on_move
        self._on_hover = on_hover
        self._own_change = False
        # Counts what was shown: a drag ends unheard when something else shows meanwhile.
        self._shown = 0
        self._coloured: tuple[str, bytes, bytes, bytes] | None = None
        self._raw: NDArray[np.uint8] = np.zeros((8, 8, 3), np.uint8)
        self.contrast = self.opacity = 1.0
        self.face_colours: NDArray[np.float32] = np.zeros((0, 4), np.float32)
        self.picture = viewer.add_image(self._raw, name=PICTURE_LAYER, rgb=True)
        self.picture.interpolation2d = "linear"
        self.points = viewer.add_points(
            np.zeros((0, 2)),
            name=KEYPOINTS_LAYER,
            border_width=0.18,
            antialiasing=1,
            canvas_size_limits=_MARKER_LIMITS_PX,
        )
        self.points.mode = "pan_zoom"
        # Markers are as large from near as from far: what is zoomed to mustn't be hidden.
        self._points_node().scaling = False
        self._points_node().text.visible = False  # empty, yet its font is drawn at the first paint
        viewer.layers.selection.active = self.points
        # In the scene itself world coordinates hold: x = column, y = row, pixel centres whole.
        self.marks = Marks(viewer.window._qt_viewer.canvas.view.scene)
        self.points.mouse_drag_callbacks.append(self._drag)
        self.points.mouse_move_callbacks.append(self._hover)
        self.points.events.data.connect(self._on_layer_data)

    def close(self) -> None:
        """Take everything of ours out of the viewer."""
        self.marks.close()
        for layer in (self.points, self.picture):
            if layer in self.viewer.layers:
                self.viewer.layers.remove(layer)

    # -- showing ----------------------------------------------------------------------------

    def show(
        self, picture: NDArray[np.uint8], document: Document, camera: Camera | None = None
    ) -> None:
        """Another item: its picture, keypoints and camera, the view fitted to the subject."""
        self.camera = camera or usual_camera(picture.shape[1], picture.shape[0])
        if self._raw is not picture:
            self._raw = picture
            self.picture.data = drawing.contrasted(picture, self.contrast)
        self.dragging.set_picture(picture, self.camera)
        self.hovered = None
        self._shown += 1
        self.document = document
        self.drawn_px = drawing.shown_positions(document)
        if len(self.points.data) == len(self.drawn_px):
            self.points.data[:] = rowcol_from_px(self.drawn_px)
        else:
            self._replace_points()
        if self.points.selected_data:
            self.points.selected_data = set()
        self.fit()
        self._restyle()
        self.points.refresh(highlight=False)
        self.viewer.help = ""  # napari's is about tools that aren't used here
        self._draw_marks()

    def update(self, document: Document) -> None:
        """The same item after a change."""
        before, self.document = self.document, document
        self._shown += 1
        if before is None or before.topology_id != document.topology_id:
            raise ValueError("another item: use show")
        self.drawn_px = drawing.shown_positions(document)
        self._restyle()
        self.points.data[:] = rowcol_from_px(self.drawn_px)
        self._refresh_points()
        self._draw_marks()

    def fit(self, whole: bool = False) -> None:
        """Fit the view to the subject, or to the whole picture."""
        height, width = self._raw.shape[:2]
        box = None if whole or self.document is None else bounding_box(self.document)
        if box is None:
            self.look_at((0.0, 0.0, float(width), float(height)), 0.98)
        else:
            self.look_at(box, _FILL)

    def look_at(self, box_px: tuple[float, float, float, float], share: float = 1.0) -> None:
        """Let a box of the picture fill a share of the canvas."""
        height, width = self.viewer.window._qt_viewer.canvas.size
        (x, y), zoom = drawing.view_onto(box_px, (width, height), share)
        row, column = rowcol_from_px([x, y])
        self.viewer.scene.camera.center = (0.0, float(row), float(column))
        self.viewer.scene.camera.zoom = zoom

    def set_contrast(self, contrast: float) -> None:
        """1 is the picture as it is; edges are looked for in that one always."""
        self.contrast = contrast
        self.picture.data = drawing.contrasted(self._raw, contrast)

    def set_opacity(self, opacity: float) -> None:
        """0 to 1, of keypoints and contours."""
        self.opacity = self.points.opacity = opacity
        self.marks.set_opacity(opacity)

    @property
    def raw_picture(self) -> NDArray[np.uint8]:
        """(H, W, 3) uint8 RGB as it is, without contrast."""
        return self._raw

    def redraw_marks(self) -> None:
        """The active contour, what is asked, or the reach changed."""
        if self.document is not None:
            self._draw_marks()

    def contour_vertices_px(self) -> NDArray[np.float32]:
        """(2 S, 2) ends of the contour pieces as they are drawn, in picture coordinates."""
        return self.marks.vertices

    def _restyle(self) -> None:
        document = self.document
        assert document is not None
        topology_id = document.topology_id
        sizes = drawing.marker_sizes_px(topology_id)
        tint = self.tint(document)
        tinted = b"" if tint is None else tint.tobytes()
        colours = (topology_id, document.visibility.tobytes(), document.placed.tobytes(), tinted)
        with self.points._block_refresh(), self.points.events.set_data.blocker():
            if not np.array_equal(self.points.size, sizes):
                self.points.size = sizes
            if colours != self._coloured:
                self.face_colours, border = drawing.marker_colours(
                    topology_id, document.visibility, document.placed
                )
                if tint is not None:
                    self.face_colours = tint
                self.points.face_color, self.points.border_color = self.face_colours, border
                self._coloured = colours

    def _points_node(self) -> Any:
        return self.viewer.window._qt_viewer.canvas.layer_to_visual[self.points].node

    def _replace_points(self) -> None:
        """Give napari another number of points."""
        self._own_change, self._coloured = True, None
        try:
            self.points.data = rowcol_from_px(self.drawn_px)
        finally:
            self._own_change = False

    def _draw_step(self) -> None:
        """One step of a drag: only positions differ, so only they go to the graphics card."""
        document = self.document
        assert document is not None
        self.dragging.place(self.drawn_px)
        self.dragging.deepen(self.drawn_depth)
        self.points.data[:] = self.drawn_px[:, ::-1] - 0.5
        markers = self._points_node().points_markers
        if markers._data is None or len(markers._data) != len(self.drawn_px):
            self._refresh_points()
        else:
            markers._data["a_position"][:, :2] = self.drawn_px - 0.5
            markers._vbo.set_data(markers._data)
            markers.update()
        self.marks.move_lines(document, self.drawn_px)
        if document.topology_id == HAND:
            self.wrong = implausible(self._under_way(document), self.camera)
            self.marks.draw_wrong(self.drawn_px, self.wrong)
        self._place_rings()
        self.on_drawn()

    def _under_way(self, document: Document) -> Document:
        """The document as a drag has it just now."""
        depth = None if document.depth is None else self.drawn_depth
        return replace(document, keypoints_px=self.drawn_px, depth=depth)

    def _refresh_points(self) -> None:
        # Thumbnail, highlight and extent don't change what is seen, and cost more than the rest.
        self.points.refresh(thumbnail=False, highlight=False, extent=False)

    def _draw_marks(self) -> None:
        assert self.document is not None
        self.drawn_depth = drawing.shown_depth(self.document)
        self.wrong = implausible(self.document, self.camera)
        self.marks.draw_wrong(self.drawn_px, self.wrong)
        self.marks.draw_lines(self.document, self.drawn_px, self.active)
        self._place_rings()
        self.on_drawn()

    def _place_rings(self) -> None:
        dragged = self.dragging.index
        index = dragged if dragged is not None else self.hovered
        self.marks.draw_rings(self.drawn_px, index, self.tools.asked)
        middle = None if dragged is None else self.drawn_px[dragged]
        self.marks.draw_reach(middle, self.dragging.soft_px)

    def show_reach(self) -> None:
        """The circle of a soft drag around the keypoint under the cursor, until it moves on."""
        if self.document is not None and self.hovered is not None:
            reach = self.tools.reach_px(self.document)
            self.marks.draw_reach(self.drawn_px[self.hovered], reach)

    # -- the mouse --------------------------------------------------------------------------

    def keypoint_at(self, at_px: NDArray[np.float64], reach_px: float) -> int | None:
        """The keypoint that a place in the picture means, None when none is near."""
        if self.document is None or not self.points.visible:
            return None
        return drawing.nearest(self.drawn_px, self.document.topology_id, at_px, reach_px)

    def hover(self, at_px: NDArray[np.float64], reach_px: float) -> None:
        """The cursor is over a place in the picture, no button held."""
        self.hover_over(self.keypoint_at(at_px, reach_px))

    def hover_over(self, index: int | None) -> None:
        """The cursor is over a keypoint, wherever that is shown."""
        if index != self.hovered:
            self.hovered = index
            self._place_rings()
            self._on_hover(index)

    def tell_move(self, move: Move) -> None:
        """Somebody moved keypoints in another view."""
        self._on_move(move)

    def press(self, at_px: NDArray[np.float64], reach_px: float, soft: bool, alone: bool) -> bool:
        """The button went down over a place in the picture; whether a drag begins."""
        index = self.keypoint_at(at_px, reach_px)
        asked = self.tools.asked
        if asked is not None and not soft and not alone:
            index = asked
        if index is None or self.document is None:
            return False
        self.dragging.take_hold(self.document, self.drawn_px, index, at_px, soft=soft, alone=alone)
        if index == asked:
            self._draw_step()
        return True

    def drag_to(self, at_px: NDArray[np.float64]) -> None:
        """The cursor went on with the button held."""
        self.dragging.to(at_px)
        self._draw_step()

    def release(self) -> None:
        """The button went up: what was dragged is told."""
        move = self.dragging.let_go()
        if move is not None:
            self._on_move(move)

    def _reach_px(self) -> float:
        return REACH_SCREEN_PX / float(self.viewer.scene.camera.zoom)

    def _hover(self, layer: Any, event: Any) -> None:
        if self.dragging.index is None and event.type == "mouse_move":
            self.hover(px_from_rowcol(event.position[-2:]), self._reach_px())

    def _drag(self, layer: Any, event: Any) -> Iterator[None]:
        """napari's drag protocol: runs to the first yield on press, once a move, on at release."""
        at, held = px_from_rowcol(event.position[-2:]), event.modifiers
        if layer.mode != "pan_zoom" or event.button != 1:
            return
        if not self.press(at, self._reach_px(), "Shift" in held, "Control" in held):
            return
        pan, layer.mouse_pan = layer.mouse_pan, False
        shown = self._shown
        try:
            yield
            while event.type == "mouse_move" and self._shown == shown:
                self.drag_to(px_from_rowcol(event.position[-2:]))
                yield
        finally:
            layer.mouse_pan = pan
            if self._shown != shown:
                self.dragging.let_go()
        if self._shown == shown:
            self.release()

    def _on_layer_data(self, event: Any) -> None:
        """Somebody used napari's own tools on the layer: keep moves, refuse the rest."""
        if self._own_change or self.document is None:
            return
        if event.action not in ("changed", "added", "removed"):
            return
        shown = px_from_rowcol(self.points.data)
        if shown.shape == self.drawn_px.shape:
            moved = np.flatnonzero((shown != self.drawn_px).any(axis=1)).tolist()
            if moved:
                spots = tuple((float(x), float(y)) for x, y in shown[moved])
                self._on_move(Move(tuple(moved), spots, tuple(moved)))
            return
        self._replace_points()
        self._restyle()
        self._refresh_points()
