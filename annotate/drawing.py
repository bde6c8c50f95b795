"""How keypoints and contours look: positions, colours and sizes as arrays, without any canvas."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import cv2
import numpy as np
from numpy.typing import NDArray

from annotate.contours import handle_mask, handles
from annotate.editing import NOT_LABELLED, OCCLUDED, VISIBLE, Document
from annotate.guide import region_of, region_points
from runtime.topology import Contour, Topology, topology

# One hue a part, light enough for skin and dark hair alike; the halo below gives the contrast.
_LINE_COLOURS = {
    "lips": "#ff7b9c",
    "eye": "#4dd2ff",
    "iris": "#ffe14d",
    "brow": "#8cff66",
    "nose": "#c9a6ff",
    "oval": "#f2f2f2",
    "palm": "#f2f2f2",
    "thumb": "#ff7b9c",
    "index": "#ffb84d",
    "middle": "#8cff66",
    "ring": "#4dd2ff",
    "pinky": "#c9a6ff",
}
_PLAIN_LINE = "#f2f2f2"
VISIBILITY_COLOURS = {VISIBLE: "#ffffff", OCCLUDED: "#ff9f1c", NOT_LABELLED: "#9aa0a6"}
VISIBILITY_NAMES = {VISIBLE: "visible", OCCLUDED: "occluded", NOT_LABELLED: "not labelled"}
PLACED_COLOUR = "#7ae582"
ASKED_COLOUR = "#ff4df0"
_CONFIRMED_ALPHA = 0.35
_BORDER = "#101418"
# Straight pieces from one smooth line's keypoint to the next, and what a straight line is.
_PIECES = 3
# Catmull and Rom's direction; and the one that makes four points of a circle a circle.
_SLOPE, _RING_SLOPE = 0.5, 0.8284
_STRAIGHT = np.array([[0.0, 1.0, 0.0, 0.0], [0.0, 0.0, 1.0, 0.0]])
# Marker diameters in screen pixels when the subject fills the canvas. A mesh's many points
# between the contours stay small so that the face can be seen.
HANDLE_PX = 8.5
CONTOUR_POINT_PX = 4.5
OTHER_POINT_PX = 2.8
SPARSE_POINT_PX = 9.5
DENSE_LINE_PX, SPARSE_LINE_PX = 1.5, 2.5
_DENSE = 100
_REGION_ROOM = 1.5
# Around a keypoint of no region: so many normalising lengths.
_AROUND = 1.4
# How much nearer a point that no contour passes must be to be picked instead.
_CONTOUR_PREFERENCE = 0.7


def rgba(colour: str, alpha: float = 1.0) -> NDArray[np.float32]:
    """(4,) floats 0..1 of `#rrggbb`."""
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    return np.array([*channels, alpha], np.float32)


def _line_colour(name: str) -> NDArray[np.float32]:
    for word, colour in _LINE_COLOURS.items():
        if word in name:
            return rgba(colour)
    return rgba(_PLAIN_LINE)


def finger_colour(index: int) -> str:
    """The colour of a hand's keypoint's finger."""
    finger = ("thumb", "index", "middle", "ring", "pinky")[(index - 1) // 4]
    return _LINE_COLOURS[finger]


@dataclass(frozen=True)
class LineLayout:
    """The lines of a topology as pieces whose ends are sums of four keypoints each.

    Attributes:
        knots: (2 S, 4) keypoints; a piece lies between the second and the third.
        basis: (2 S, 4) their shares in an end of a piece.
        colours: (2 S, 4) RGBA.
        contour: (2 S,) which contour, counted in the topology's order; -1 for an edge.
        names: of the contours.
    """

    knots: NDArray[np.int64]
    basis: NDArray[np.float64]
    colours: NDArray[np.float32]
    contour: NDArray[np.int64]
    names: tuple[str, ...]

    def vertices(
        self, points_px: NDArray[np.float64], visibility: NDArray[np.int8]
    ) -> NDArray[np.float32]:
        """(2 S, 2) ends of the pieces; a piece at an unlabelled keypoint shrinks to nothing, and
        of those between occluded ones every other does."""
        ends = np.einsum("vk,vkd->vd", self.basis, points_px[self.knots])
        hidden = (visibility[self.knots[:, 1:3]] == NOT_LABELLED).any(axis=1)
        dashed = (visibility[self.knots[:, 1:3]] == OCCLUDED).all(axis=1)
        dashed[0::4] = dashed[1::4] = False
        gone = np.flatnonzero(hidden | dashed) // 2 * 2
        ends[gone + 1] = ends[gone]
        return ends.astype(np.float32)


@cache
def line_layout(topology_id: str) -> LineLayout:
    """What lines to draw: the contours, smooth on a face; of a topology without any, its edges."""
    layout = topology(topology_id)
    smooth = bool(handles(topology_id))
    knots: list[tuple[int, ...]] = []
    basis: list[NDArray[np.float64]] = []
    contour: list[int] = []
    for number, line in enumerate(layout.contours.values()):
        slope = _RING_SLOPE if line.closed and len(line.indices) == 4 else _SLOPE
        for window in _windows(line):
            for piece in range(_PIECES if smooth else 1):
                knots += [window, window]
                basis += _piece(piece, slope) if smooth else [_STRAIGHT[0], _STRAIGHT[1]]
                contour += [number, number]
    if not knots:
        for first, second in layout.edges:
            knots += [(first, first, second, second)] * 2
            basis += [_STRAIGHT[0], _STRAIGHT[1]]
            contour += [-1, -1]
    names = tuple(layout.contours)
    colours = [_line_colour(names[n]) if n >= 0 else rgba(_PLAIN_LINE) for n in contour]
    return LineLayout(
        np.array(knots, np.int64).reshape(-1, 4),
        np.array(basis, np.float64).reshape(-1, 4),
        np.array(colours, np.float32).reshape(-1, 4),
        np.array(contour, np.int64),
        names,
    )


def _windows(line: Contour) -> list[tuple[int, ...]]:
    """Every piece's two keypoints between the one before and the one after."""
    ring = line.indices
    count = len(ring)
    if line.closed:
        return [tuple(ring[(k + step) % count] for step in (-1, 0, 1, 2)) for k in range(count)]
    return [
        tuple(ring[min(max(k + step, 0), count - 1)] for step in (-1, 0, 1, 2))
        for k in range(count - 1)
    ]


def _piece(number: int, slope: float) -> list[NDArray[np.float64]]:
    """A cardinal spline at the two ends of a piece; `slope` of the way from the keypoint before
    to the one after is its direction."""
    found = []
    for t in (number / _PIECES, (number + 1) / _PIECES):
        out, back = slope * t * (1 - t) ** 2, slope * t**2 * (t - 1)
        onto = t**2 * (3 - 2 * t)
        found.append(np.array([-out, 1 - onto - back, onto + out, back]))
    return found


@cache
def line_colours(
    topology_id: str, confirmed: frozenset[str], active: str | None
) -> NDArray[np.float32]:
    """(2 S, 4) RGBA: what is confirmed steps back, the active contour stands out."""
    layout = line_layout(topology_id)
    colours = layout.colours.copy()
    for number, name in enumerate(layout.names):
        mine = layout.contour == number
        if name == active:
            colours[mine] = rgba(ASKED_COLOUR)
        elif name in confirmed:
            colours[mine, 3] = _CONFIRMED_ALPHA
    colours.flags.writeable = False
    return colours


@cache
def on_contour(topology_id: str) -> NDArray[np.bool_]:
    """(N,) whether a contour passes a keypoint; all of them in a topology of few keypoints."""
    layout = topology(topology_id)
    mask = np.zeros(layout.size, bool)
    mask[line_layout(topology_id).knots.ravel()] = True
    mask.flags.writeable = False
    return mask if layout.size > _DENSE else np.ones(layout.size, bool)


def shown_positions(document: Document) -> NDArray[np.float64]:
    """(N, 2) px where markers stand; one without a position waits in the middle of the others."""
    points = document.keypoints_px.copy()
    missing = ~np.isfinite(points).all(axis=1)
    if missing.any():
        points[missing] = points[~missing].mean(axis=0) if not missing.all() else 0.0
    return points


def shown_depth(document: Document) -> NDArray[np.float64]:
    """(N,) a hand's depth as shares of the wrist's, as far as the wrist where nobody knows."""
    if document.depth is None:
        return np.ones(len(document.keypoints_px))
    return np.where(np.isfinite(document.depth), document.depth, 1.0)


def marker_colours(
    topology_id: str,
    visibility: NDArray[np.int8],
    placed: NDArray[np.bool_] | None = None,
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """(N, 4) face and (N, 4) border colours that tell visibility, and what a hand placed."""
    face = np.empty((len(visibility), 4), np.float32)
    border = np.tile(rgba(_BORDER, 0.9), (len(visibility), 1))
    for value, colour in VISIBILITY_COLOURS.items():
        face[visibility == value] = rgba(colour)
    hollow = visibility == NOT_LABELLED
    face[hollow, 3] = 0.15
    border[hollow] = rgba(VISIBILITY_COLOURS[NOT_LABELLED])
    faint = ~on_contour(topology_id) & (visibility == VISIBLE)
    face[faint, 3] = 0.75
    border[faint, 3] = 0.5
    if placed is not None:
        face[placed & (visibility == VISIBLE)] = rgba(PLACED_COLOUR)
    return face, border


def marker_sizes_px(topology_id: str) -> NDArray[np.float64]:
    """(N,) diameters in screen pixels."""
    count = topology(topology_id).size
    if count <= _DENSE:
        return np.full(count, SPARSE_POINT_PX)
    sizes = np.where(on_contour(topology_id), CONTOUR_POINT_PX, OTHER_POINT_PX)
    return np.where(handle_mask(topology_id), HANDLE_PX, sizes)


def line_width_px(topology_id: str) -> float:
    """How thick contours are: few lines may be bold."""
    return SPARSE_LINE_PX if topology(topology_id).size <= _DENSE else DENSE_LINE_PX


def nearest(
    points_px: NDArray[np.float64], topology_id: str, at_px: NDArray[np.float64], reach_px: float
) -> int | None:
    """The keypoint a click means, None when none is within reach.

    Args:
        points_px: (N, 2).
        topology_id: points on contours are preferred among those in reach.
        at_px: (2,) where the click was.
        reach_px: in picture pixels.
    """
    distance = np.linalg.norm(points_px - at_px, axis=1)
    if not (distance <= reach_px).any():
        return None
    weighted = np.where(on_contour(topology_id), _CONTOUR_PREFERENCE, 1.0) * distance
    weighted[handle_mask(topology_id)] *= _CONTOUR_PREFERENCE
    weighted[distance > reach_px] = np.inf
    return int(weighted.argmin())


def keypoint_title(layout: Topology, index: int) -> str:
    """What a person calls a keypoint: its name and the contour or part it belongs to."""
    names = [name for name, contour in layout.contours.items() if index in contour.indices]
    names = names or [part for part, indices in layout.parts.items() if index in indices]
    title = f"{index} · {layout.keypoint_names[index]}"
    return f"{title} · {names[0].replace('_', ' ')}" if names else title


def missing_picture(width: int, height: int) -> NDArray[np.uint8]:
    """(height, width, 3) dark stripes in place of a picture that can't be read."""
    stripes = np.add.outer(np.arange(height), np.arange(width)) // 16 % 2
    grey = (28 + 14 * stripes).astype(np.uint8)
    return np.repeat(grey[..., None], 3, axis=2)


def view_onto(
    box_px: tuple[float, float, float, float], canvas_px: tuple[float, float], share: float
) -> tuple[tuple[float, float], float]:
    """Where a view looks so that a box fills a share of the canvas.

    Returns:
        Its middle in picture coordinates, and screen pixels to a pixel of the picture.
    """
    x, y, w, h = box_px
    zoom = share * min(canvas_px[0] / max(w, 1.0), canvas_px[1] / max(h, 1.0))
    return (x + w / 2, y + h / 2), zoom


def region_box(
    points_px: NDArray[np.float64], topology_id: str, region: str
) -> tuple[float, float, float, float] | None:
    """x, y, width, height in px of what a close view of a region shows; None for no such region."""
    indices = list(region_points(topology_id, region))
    if not indices:
        return None
    points = points_px[indices]
    low, high = points.min(axis=0), points.max(axis=0)
    middle, size = (low + high) / 2, float((high - low).max())
    width, height = _REGION_ROOM * size, 0.8 * _REGION_ROOM * size
    return float(middle[0] - width / 2), float(middle[1] - height / 2), width, height


def asked_box(
    points_px: NDArray[np.float64], topology_id: str, index: int
) -> tuple[float, float, float, float]:
    """x, y, width, height in px of the view in which a keypoint is asked for: its region, or what
    lies around it."""
    box = region_box(points_px, topology_id, region_of(topology_id, index))
    if box is not None:
        return box
    side = _AROUND * float(topology(topology_id).normalising_length(points_px))
    x, y = (points_px[index] - side / 2).tolist()
    return x, y, side, side


def contrasted(picture: NDArray[np.uint8], contrast: float) -> NDArray[np.uint8]:
    """The picture with brightness spread about the middle by a factor; itself at 1."""
    if contrast == 1.0:
        return picture
    levels = np.arange(256) / 255 - 0.5
    table = np.clip((0.5 + np.tanh(contrast * levels) / (2 * np.tanh(contrast / 2))) * 255, 0, 255)
    if contrast < 1.0:
        table = np.clip((0.5 + contrast * levels) * 255, 0, 255)
    return np.asarray(cv2.LUT(picture, table.astype(np.uint8)))
