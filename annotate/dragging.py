"""A drag from the press of the button to its release, wherever the mouse is: no Qt here."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from annotate.box_keypoints import BOX, BoxDrag, begin_box_drag
from annotate.contours import handle_mask
from annotate.editing import Document, Move, bounding_box
from annotate.following import WHOLE_FACE, Drag, begin_drag
from annotate.hand_bones import HAND, BoneDrag, begin_bone_drag, usual_camera
from annotate.magnet import ContourMagnet, EdgeField, edge_field
from runtime.camera import Camera

# Of the normalising length: how far a soft drag reaches at first, its steps and its ends; how far
# along their normals contours look for edges.
SOFT_SHARE, SOFT_STEP, _SOFT_LEAST, _SOFT_MOST = 0.35, 1.25, 0.05, 2.2
_MAGNET_REACH = 0.05
FALLBACK_LENGTH_PX = 100.0


def length_px(document: Document) -> float:
    """The subject's normalising length in px, something sensible where it has none."""
    length = float(document.topology.normalising_length(document.keypoints_px))
    return length if length > 0 else FALLBACK_LENGTH_PX


@dataclass
class DragTools:
    """How drags work at present.

    Attributes:
        reach: of a soft drag, as a share of the normalising length; without an end when infinite.
        magnet: whether contours are drawn to edges.
        symmetric: whether both sides of a face move at once.
        asked: the keypoint that a click places, None when nothing is asked.
        keep_bones: whether a hand's bones keep their lengths, where its depth is known.
    """

    reach: float = SOFT_SHARE
    magnet: bool = False
    symmetric: bool = False
    asked: int | None = None
    keep_bones: bool = True

    def scale_reach(self, farther: bool) -> None:
        """One step farther or less far; beyond the last step the whole subject moves."""
        if farther:
            reach = self.reach * SOFT_STEP
            self.reach = reach if reach <= _SOFT_MOST else math.inf
        elif math.isinf(self.reach):
            self.reach = SOFT_SHARE * SOFT_STEP ** math.floor(
                math.log(_SOFT_MOST / SOFT_SHARE, SOFT_STEP)
            )
        else:
            self.reach = max(self.reach / SOFT_STEP, _SOFT_LEAST)

    def reach_px(self, document: Document) -> float:
        """The reach of a soft drag in the picture."""
        return self.reach * length_px(document)


class Dragging:
    """One drag at a time, over a picture whose edges are found when they are first needed."""

    def __init__(self, tools: DragTools) -> None:
        self.tools = tools
        self.index: int | None = None
        self.soft_px = 0.0
        self._picture: NDArray[np.uint8] | None = None
        self._edges: EdgeField | None = None
        self._camera = usual_camera(1, 1)
        self._drag: Drag | BoneDrag | BoxDrag | None = None
        self._grip = np.zeros(2)
        self._ends_at: tuple[float, float] | None = None

    def set_picture(self, picture: NDArray[np.uint8], camera: Camera | None = None) -> None:
        """Another picture, and its camera where it is known: what was under way is over."""
        self._picture, self._edges = picture, None
        self._camera = camera or usual_camera(picture.shape[1], picture.shape[0])
        self.let_go()

    def take_hold(
        self,
        document: Document,
        drawn_px: NDArray[np.float64],
        index: int,
        at_px: NDArray[np.float64],
        *,
        soft: bool = False,
        alone: bool = False,
    ) -> None:
        """Begin a drag.

        Args:
            document: as it stands.
            drawn_px: (N, 2) where its keypoints are drawn.
            index: the keypoint that is taken hold of, or the one that was asked for.
            at_px: (2,) where the button went down.
            soft: whether what belongs together moves along.
            alone: whether nothing else moves, of a handle neither.
        """
        tools, asked = self.tools, index == self.tools.asked
        handle = bool(handle_mask(document.topology_id)[index])
        bends = handle and not alone and not asked
        reach = 0.0
        if asked and not alone:
            reach = WHOLE_FACE
        elif soft or bends:
            reach = tools.reach_px(document)
        self.soft_px = reach
        start = drawn_px[index].copy()
        self._drag = None
        hangs = document.topology_id == HAND and document.depth is not None
        if hangs and tools.keep_bones and not soft and not alone:
            self._drag = begin_bone_drag(document, index, self._camera)
        elif document.topology_id == BOX:
            self._drag = begin_box_drag(document, index, self._camera)
        self._drag = self._drag or begin_drag(
            document,
            index,
            reach,
            start,
            contour=bends,
            symmetric=tools.symmetric and not alone,
            magnet=self._magnet(document) if tools.magnet and not alone else None,
        )
        self.index = index
        # Where in the marker it was taken hold of: it mustn't jump to the cursor, unless asked to.
        self._grip = np.zeros(2) if asked else start - at_px
        self._ends_at = (float(at_px[0]), float(at_px[1])) if asked else None

    def to(self, at_px: NDArray[np.float64]) -> None:
        """The cursor went on."""
        x, y = (at_px + self._grip).tolist()
        self._ends_at = (x, y)

    def place(self, drawn_px: NDArray[np.float64]) -> None:
        """Put the keypoints that move where they are now, into (N, 2)."""
        if self._drag is not None and self._ends_at is not None:
            drawn_px[self._drag.indices] = self._drag.at(*self._ends_at)

    def deepen(self, depth: NDArray[np.float64]) -> None:
        """Put the depth of the keypoints that move into (N,) shares of the first one's."""
        if isinstance(self._drag, BoneDrag | BoxDrag) and self._ends_at is not None:
            depth[self._drag.indices] = self._drag.placed(*self._ends_at)[:, 2]

    def let_go(self) -> Move | None:
        """The drag ends; what it changed, None when nothing moved."""
        drag, ends_at = self._drag, self._ends_at
        self._drag = self._ends_at = self.index = None
        self.soft_px = 0.0
        return None if drag is None or ends_at is None else drag.move(*ends_at)

    def _magnet(self, document: Document) -> ContourMagnet | None:
        box = bounding_box(document)
        if box is None or self._picture is None:
            return None
        length = length_px(document)
        if self._edges is None:
            self._edges = edge_field(self._picture, box, length)
        return ContourMagnet(document, self._edges, max(_MAGNET_REACH * length, 1.5))
