"""What is drawn over a picture besides napari's own layers: contours, rings, a soft drag's reach.

All of it is vispy of ours in the viewer's scene: a napari layer would cost a repaint's time at
every step of a drag.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from annotate import drawing
from annotate.editing import Document
from annotate.hand_bones import PARENT, Implausible

_HALO = (0.04, 0.05, 0.06, 0.65)
_HALO_MORE_PX = 2.0
WRONG_COLOUR = "#ff3b30"
HOVERED_COLOUR, _REACH = "#ffe14d", (1.0, 0.88, 0.3, 0.8)
_CIRCLE = np.stack(
    [np.cos(np.linspace(0, 2 * np.pi, 65)), np.sin(np.linspace(0, 2 * np.pi, 65))], 1
)


class Marks:
    """Contour lines, the rings around keypoints, the circle of a soft drag.

    Args:
        scene: vispy's, in which x is the column, y the row, and pixel centres are whole.
    """

    def __init__(self, scene: Any) -> None:
        from vispy.scene.visuals import Line, Markers

        self._halo = Line(parent=scene, antialias=True, method="gl")
        self._line = Line(parent=scene, antialias=True, method="gl")
        self._circle = Line(parent=scene, antialias=True, method="gl", color=_REACH, width=1.5)
        self._ring = Markers(parent=scene)
        self._wrong_bones = Line(parent=scene, antialias=True, method="gl")
        self._wrong_joints = Markers(parent=scene)
        wrong = (self._wrong_bones, self._wrong_joints)
        self._all = (self._halo, self._line, self._circle, self._ring, *wrong)
        for order, visual in enumerate(self._all):
            # Lines between the picture (layer 0) and the keypoints (layer 1); the rest on top.
            visual.order = 0.5 + order / 10 if order < 2 else 10 + order
            visual.set_gl_state("translucent", depth_test=False)
            visual.visible = False
        self.vertices = np.zeros((0, 2), np.float32)
        self._styled: tuple[object, ...] = ()
        self._ringed: tuple[str, ...] = ()

    def close(self) -> None:
        """Take everything out of the scene."""
        for visual in self._all:
            visual.parent = None

    @property
    def lines_shown(self) -> bool:
        """Whether the contour lines show."""
        return bool(self._line.visible)

    def show_lines(self, visible: bool) -> None:
        """Show or hide the contour lines."""
        self._halo.visible = self._line.visible = visible

    def set_opacity(self, opacity: float) -> None:
        """0 to 1, of lines."""
        self._halo.opacity = self._line.opacity = opacity

    def draw_lines(
        self, document: Document, points_px: NDArray[np.float64], active: str | None = None
    ) -> None:
        """Contours through keypoints as they are drawn, in their colours."""
        self._line_up(document, points_px)
        style = (document.topology_id, document.confirmed, active)
        if style == self._styled:
            self._place()
            return
        first, self._styled = not self._styled, style
        width = drawing.line_width_px(document.topology_id)
        colours = drawing.line_colours(*style)
        pos = self.vertices - 0.5
        self._halo.set_data(pos, color=_HALO, connect="segments", width=width + _HALO_MORE_PX)
        self._line.set_data(pos, color=colours, connect="segments", width=width)
        if first:
            self.show_lines(True)

    def move_lines(self, document: Document, points_px: NDArray[np.float64]) -> None:
        """Only positions differ: only they go to the graphics card."""
        self._line_up(document, points_px)
        self._place()

    def _line_up(self, document: Document, points_px: NDArray[np.float64]) -> None:
        layout = drawing.line_layout(document.topology_id)
        self.vertices = layout.vertices(points_px, document.visibility)

    def _place(self) -> None:
        pos = self.vertices - 0.5
        self._halo.set_data(pos=pos)
        self._line.set_data(pos=pos)

    def draw_rings(
        self, points_px: NDArray[np.float64], hovered: int | None, asked: int | None
    ) -> None:
        """A ring around the keypoint under the cursor, a larger one around the asked."""
        rings = [
            (i, size, colour)
            for i, size, colour in (
                (hovered, 15.0, HOVERED_COLOUR),
                (asked, 26.0, drawing.ASKED_COLOUR),
            )
            if i is not None
        ]
        self._ring.visible = bool(rings)
        colours = tuple(colour for _, _, colour in rings)
        if rings and colours == self._ringed:
            # The same rings elsewhere: only places go to the graphics card.
            self._ring._data["a_position"][:, :2] = points_px[[i for i, _, _ in rings]] - 0.5
            self._ring._vbo.set_data(self._ring._data)
            self._ring.update()
        elif rings:
            self._ringed = colours
            self._ring.set_data(
                pos=points_px[[i for i, _, _ in rings]].astype(np.float32) - 0.5,
                size=np.array([size for _, size, _ in rings]),
                face_color=(0, 0, 0, 0),
                edge_color=list(colours),
                edge_width=2.5,
            )

    def draw_wrong(self, points_px: NDArray[np.float64], wrong: Implausible) -> None:
        """Red along a hand's bones that can't be as long, around joints that can't bend so."""
        self._wrong_bones.visible, self._wrong_joints.visible = (
            bool(wrong.bones),
            bool(wrong.joints),
        )
        if wrong.bones:
            ends = [(PARENT[child], child) for child in sorted(wrong.bones)]
            pos = points_px[np.array(ends).ravel()].astype(np.float32) - 0.5
            self._wrong_bones.set_data(pos, color=WRONG_COLOUR, connect="segments", width=5)
        if wrong.joints:
            self._wrong_joints.set_data(
                pos=points_px[sorted(wrong.joints)].astype(np.float32) - 0.5,
                size=22.0,
                face_color=(0, 0, 0, 0),
                edge_color=WRONG_COLOUR,
                edge_width=3,
            )

    def draw_reach(self, middle_px: NDArray[np.float64] | None, radius_px: float) -> None:
        """The circle of a soft drag; none for None, or a reach without an end."""
        shown = middle_px is not None and radius_px > 0 and not math.isinf(radius_px)
        self._circle.visible = shown
        if shown:
            self._circle.set_data(pos=(middle_px + radius_px * _CIRCLE - 0.5).astype(np.float32))
