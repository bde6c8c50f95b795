"""A picture with draggable keypoints and contours in a napari viewer.

napari keeps the picture and the points as ordinary layers. Contours are one vispy line of ours
in the same scene: a Vectors or Shapes layer would cost a repaint's time at every step of a drag.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from annotate import drawing
from annotate.editing import (
    Document,
    Move,
    bounding_box,
    px_from_rowcol,
    rowcol_from_px,
)
from annotate.following import begin_drag

PICTURE_LAYER = "picture"
KEYPOINTS_LAYER = "keypoints"
# How far from a keypoint a click may be, in screen pixels.
_REACH_SCREEN_PX = 12.0
# The subject's box takes this share of the canvas.
_FILL = 0.8
_HALO = (0.04, 0.05, 0.06, 0.65)
_HALO_MORE_PX = 2.0
_RING = "#ffe14d"
_MARKER_LIMITS_PX = (3, 12)


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
        self.soft_radius_px = 0.0
        self.hovered: int | None = None
        self.dragged: int | None = None
        self._on_move = on_move
        self._on_hover = on_hover
        self._document: Document | None = None
        self._drawn_px = np.zeros((0, 2))
        self._own_change = False
        # Counts what was shown: a drag ends unheard when something else shows meanwhile.
        self._shown = 0
        self._style_zoom = 1.0
        self._coloured: tuple[str, bytes] | None = None
        blank = np.zeros((8, 8, 3), np.uint8)
        self.picture = viewer.add_image(blank, name=PICTURE_LAYER, rgb=True)
        self.picture.interpolation2d = "linear"
        self.points = viewer.add_points(
            np.zeros((0, 2)),
            name=KEYPOINTS_LAYER,
            border_width=0.18,
            antialiasing=1,
            canvas_size_limits=_MARKER_LIMITS_PX,
        )
        self.points.mode = "pan_zoom"
        viewer.layers.selection.active = self.points
        self._add_visuals()
        self.points.mouse_drag_callbacks.append(self._drag)
        self.points.mouse_move_callbacks.append(self._hover)
        self.points.events.data.connect(self._on_layer_data)

    def _add_visuals(self) -> None:
        from vispy.scene.visuals import Line, Markers

        # In the scene itself world coordinates hold: x = column, y = row, pixel centres whole.
        scene = self.viewer.window._qt_viewer.canvas.view.scene
        self._halo = Line(parent=scene, antialias=True, method="gl")
        self._line = Line(parent=scene, antialias=True, method="gl")
        self._ring = Markers(parent=scene)
        for order, visual in enumerate((self._halo, self._line, self._ring)):
            # Between the picture (layer 0) and the keypoints (layer 1); the ring on top.
            visual.order = 0.5 + order / 10 if visual is not self._ring else 10
            visual.set_gl_state("translucent", depth_test=False)
            visual.visible = False

    def close(self) -> None:
        """Take everything of ours out of the viewer."""
        for visual in (self._halo, self._line, self._ring):
            visual.parent = None
        for layer in (self.points, self.picture):
            if layer in self.viewer.layers:
                self.viewer.layers.remove(layer)

    # -- showing ----------------------------------------------------------------------------

    def show(self, picture: NDArray[np.uint8], document: Document) -> None:
        """Another item: its picture and keypoints, the view fitted to the subject."""
        if self.picture.data is not picture:
            self.picture.data = picture
        self.hovered = self.dragged = None
        self._ring.visible = False
        self._shown += 1
        self._document = document
        self._drawn_px = drawing.shown_positions(document)
        if len(self.points.data) == len(self._drawn_px):
            self.points.data[:] = rowcol_from_px(self._drawn_px)
        else:
            self._replace_points()
        if self.points.selected_data:
            self.points.selected_data = set()
        self.fit()
        self._restyle()
        self.points.refresh(highlight=False)
        self._draw_lines()

    def update(self, document: Document) -> None:
        """The same item after a change."""
        before, self._document = self._document, document
        self._shown += 1
        if before is None or before.topology_id != document.topology_id:
            raise ValueError("another item: use show")
        self._drawn_px = drawing.shown_positions(document)
        if not np.array_equal(before.visibility, document.visibility):
            self._restyle()
        self._draw_all()

    def fit(self, whole: bool = False) -> None:
        """Fit the view to the subject, or to the whole picture."""
        height, width = self.picture.data.shape[:2]
        box = None if whole or self._document is None else bounding_box(self._document)
        x, y, w, h = (0.0, 0.0, float(width), float(height)) if box is None else box
        canvas_height, canvas_width = self.viewer.window._qt_viewer.canvas.size
        share = 0.98 if box is None else _FILL
        zoom = share * min(canvas_width / max(w, 1.0), canvas_height / max(h, 1.0))
        row, column = rowcol_from_px([x + w / 2, y + h / 2])
        self.viewer.scene.camera.center = (0.0, float(row), float(column))
        self.viewer.scene.camera.zoom = zoom
        if not whole:
            self._style_zoom = zoom

    def show_contours(self, visible: bool) -> None:
        """Show or hide the contour lines."""
        self._halo.visible = self._line.visible = visible

    @property
    def contours_shown(self) -> bool:
        """Whether the contour lines show."""
        return bool(self._line.visible)

    def contour_vertices_px(self) -> NDArray[np.float32]:
        """(2 S, 2) ends of the contour pieces as they are drawn, in picture coordinates."""
        return self._line.pos[:, :2] + 0.5

    def _restyle(self) -> None:
        document = self._document
        assert document is not None
        sizes = drawing.marker_sizes_px(document.topology_id) / self._style_zoom
        colours = (document.topology_id, document.visibility.tobytes())
        with self.points._block_refresh(), self.points.events.set_data.blocker():
            self.points.size = sizes
            if colours != self._coloured:
                face, border = drawing.marker_colours(document.topology_id, document.visibility)
                self.points.face_color, self.points.border_color = face, border
                self._coloured = colours

    def _replace_points(self) -> None:
        """Give napari another number of points."""
        self._own_change, self._coloured = True, None
        try:
            self.points.data = rowcol_from_px(self._drawn_px)
        finally:
            self._own_change = False

    def _draw_all(self) -> None:
        self.points.data[:] = rowcol_from_px(self._drawn_px)
        self._refresh_points()
        self._draw_lines()

    def _draw_step(self) -> None:
        """One step of a drag: only positions differ, so only they go to the graphics card."""
        self.points.data[:] = rowcol_from_px(self._drawn_px)
        canvas = self.viewer.window._qt_viewer.canvas
        markers = canvas.layer_to_visual[self.points].node.points_markers
        if markers._data is None or len(markers._data) != len(self._drawn_px):
            self._draw_all()
            return
        markers._data["a_position"][:, :2] = self._drawn_px - 0.5
        markers._vbo.set_data(markers._data)
        markers.update()
        document = self._document
        assert document is not None
        pairs, _ = drawing.line_layout(document.topology_id)
        vertices = drawing.line_vertices(self._drawn_px, pairs, document.visibility) - 0.5
        for line in (self._halo, self._line):
            line.set_data(pos=vertices)
        self._place_ring()

    def _refresh_points(self) -> None:
        # Thumbnail, highlight and extent don't change what is seen, and cost more than the rest.
        self.points.refresh(thumbnail=False, highlight=False, extent=False)

    def _draw_lines(self) -> None:
        document = self._document
        assert document is not None
        pairs, colours = drawing.line_layout(document.topology_id)
        vertices = drawing.line_vertices(self._drawn_px, pairs, document.visibility) - 0.5
        first = self._line.pos is None
        width = drawing.line_width_px(document.topology_id)
        self._halo.set_data(
            pos=vertices, color=_HALO, connect="segments", width=width + _HALO_MORE_PX
        )
        self._line.set_data(
            pos=vertices, color=np.repeat(colours, 2, axis=0), connect="segments", width=width
        )
        if first:
            self.show_contours(True)
        self._place_ring()

    def _place_ring(self) -> None:
        index = self.dragged if self.dragged is not None else self.hovered
        self._ring.visible = index is not None
        if index is not None:
            self._ring.set_data(
                pos=self._drawn_px[index : index + 1].astype(np.float32) - 0.5,
                size=15,
                face_color=(0, 0, 0, 0),
                edge_color=_RING,
                edge_width=2,
            )

    # -- the mouse --------------------------------------------------------------------------

    def keypoint_at(self, position_rowcol: NDArray[np.float64] | tuple[float, ...]) -> int | None:
        """The keypoint that a cursor at napari's (row, column) means, None when none is near."""
        if self._document is None or not self.points.visible:
            return None
        at = px_from_rowcol(position_rowcol[-2:])
        reach = _REACH_SCREEN_PX / self.viewer.scene.camera.zoom
        return drawing.nearest(self._drawn_px, self._document.topology_id, at, reach)

    def _hover(self, layer: Any, event: Any) -> None:
        if self.dragged is None and event.type == "mouse_move":
            self._set_hovered(self.keypoint_at(event.position))

    def _set_hovered(self, index: int | None) -> None:
        if index != self.hovered:
            self.hovered = index
            self._place_ring()
            self._on_hover(index)

    def _drag(self, layer: Any, event: Any) -> Iterator[None]:
        """napari's drag protocol: runs to the first yield on press, once a move, on at release."""
        index = self.keypoint_at(event.position)
        if layer.mode != "pan_zoom" or event.button != 1 or index is None:
            return
        assert self._document is not None
        start = self._drawn_px[index].copy()
        # Where in the marker it was taken hold of: the point mustn't jump to the cursor.
        grip = start - px_from_rowcol(event.position[-2:])
        soft = self.soft_radius_px if "Shift" in event.modifiers else 0.0
        drag = begin_drag(self._document, index, soft, start)
        pan, layer.mouse_pan = layer.mouse_pan, False
        self.dragged, ends_at, shown = index, None, self._shown
        try:
            yield
            while event.type == "mouse_move" and self._shown == shown:
                ends_at = px_from_rowcol(event.position[-2:]) + grip
                self._drawn_px[drag.indices] = drag.at(*ends_at)
                self._draw_step()
                yield
        finally:
            layer.mouse_pan = pan
            self.dragged = None
        if ends_at is not None and self._shown == shown:
            self._on_move(drag.move(*ends_at))

    def _on_layer_data(self, event: Any) -> None:
        """Somebody used napari's own tools on the layer: keep moves, refuse the rest."""
        if self._own_change or self._document is None:
            return
        if event.action not in ("changed", "added", "removed"):
            return
        shown = px_from_rowcol(self.points.data)
        if shown.shape == self._drawn_px.shape:
            moved = np.flatnonzero((shown != self._drawn_px).any(axis=1))
            if len(moved):
                self._on_move(
                    Move(
                        tuple(int(i) for i in moved),
                        tuple((float(x), float(y)) for x, y in shown[moved]),
                    )
                )
            return
        self._replace_points()
        self._restyle()
        self._refresh_points()
