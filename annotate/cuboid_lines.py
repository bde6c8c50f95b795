"""Lines and marks of ours in a vispy scene, drawn anew without napari's layers."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from annotate.cuboid_drawing import Lines

_HALO = np.array([0.04, 0.05, 0.06, 0.55], np.float32)


class LineVisual:
    """Pieces of line with colours of their own.

    Args:
        scene: vispy's.
        width: in screen pixels.
        order: what is drawn later lies above.
        halo: pixels of dark to both sides, 0 for none.
    """

    def __init__(self, scene: Any, width: float, order: int, halo: float = 0.0) -> None:
        from vispy.scene.visuals import Line

        self._line = Line(parent=scene, antialias=True, method="gl", width=width)
        self._halo = Line(parent=scene, antialias=True, method="gl") if halo else None
        self._width, self._halo_px = width, halo
        for number, visual in enumerate(self._all):
            visual.order = order + number / 10
            visual.set_gl_state("translucent", depth_test=False)
            visual.visible = False
        self._colours: NDArray[np.float32] | None = None
        self.ends: NDArray[np.float32] = np.empty((0, 2), np.float32)

    @property
    def _all(self) -> list[Any]:
        return [v for v in (self._halo, self._line) if v is not None]

    def show(self, lines: Lines) -> None:
        """Draw these pieces in place of those before; the ends as the scene counts."""
        self.ends = lines.ends.astype(np.float32)
        there = len(self.ends) > 0
        for visual in self._all:
            visual.visible = there
        if not there:
            return
        if self._colours is not None and np.array_equal(self._colours, lines.colours):
            # Only positions differ: only they go to the graphics card.
            for visual in self._all:
                visual.set_data(pos=self.ends)
            return
        self._colours = lines.colours
        if self._halo is not None:
            dark = np.tile(_HALO, (len(lines.colours), 1))
            dark[:, 3] *= lines.colours[:, 3]
            width = self._width + 2 * self._halo_px
            self._halo.set_data(self.ends, dark, width, "segments")
        self._line.set_data(self.ends, lines.colours, self._width, "segments")


class MarkVisual:
    """Discs or crosses of one size.

    Args:
        scene: vispy's.
        size: in screen pixels.
        order: what is drawn later lies above.
        symbol: vispy's name.
        edge_width: in screen pixels.
    """

    def __init__(
        self, scene: Any, size: float, order: int, symbol: str = "disc", edge_width: float = 1.5
    ) -> None:
        from vispy.scene.visuals import Markers

        self._marks = Markers(parent=scene)
        self._marks.order, self._size, self._symbol = order, size, symbol
        self._edge_width = edge_width
        self._marks.set_gl_state("translucent", depth_test=False)
        self._marks.visible = False
        self._shown: tuple[bytes, bytes] | None = None

    def show(self, at: NDArray[Any], face: NDArray[np.float32], edge: NDArray[np.float32]) -> None:
        """Draw marks at places (N, 2) or (N, 3) in the colours (N, 4) of face and edge."""
        there = np.isfinite(at).all(axis=1)
        at, face, edge = at[there], face[there], edge[there]
        self._marks.visible = len(at) > 0
        if not len(at):
            self._shown = None
            return
        colours = (face.tobytes(), edge.tobytes())
        if colours == self._shown:
            self._marks._data["a_position"][:, : at.shape[1]] = at
            self._marks._vbo.set_data(self._marks._data)
            self._marks.update()
            return
        self._shown = colours
        self._marks.set_data(
            pos=at.astype(np.float32), size=self._size, face_color=face, edge_color=edge,
            edge_width=self._edge_width, symbol=self._symbol,
        )  # fmt: skip
