"""How keypoints and contours look: positions, colours and sizes as arrays, without any canvas."""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

from annotate.editing import NOT_LABELLED, OCCLUDED, VISIBLE, Document
from runtime.topology import Topology, topology

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
_BORDER = "#101418"
# Marker diameters in screen pixels when the subject fills the canvas. A mesh's many points
# between the contours stay small so that the face can be seen.
CONTOUR_POINT_PX = 6.5
OTHER_POINT_PX = 3.5
SPARSE_POINT_PX = 9.5
DENSE_LINE_PX, SPARSE_LINE_PX = 1.5, 2.5
_DENSE = 100
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


@cache
def line_layout(topology_id: str) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """What lines to draw: (S, 2) keypoint indices and (S, 4) colours.

    The contours; for a topology without any, its edges.
    """
    layout = topology(topology_id)
    pairs: list[tuple[int, int]] = []
    colours: list[NDArray[np.float32]] = []
    for name, contour in layout.contours.items():
        pieces = contour.segments()
        pairs += pieces
        colours += [_line_colour(name)] * len(pieces)
    if not pairs:
        pairs = list(layout.edges)
        colours = [rgba(_PLAIN_LINE)] * len(pairs)
    return np.array(pairs, np.int64).reshape(-1, 2), np.array(colours, np.float32).reshape(-1, 4)


@cache
def on_contour(topology_id: str) -> NDArray[np.bool_]:
    """(N,) whether a contour passes a keypoint; all of them in a topology of few keypoints."""
    layout = topology(topology_id)
    mask = np.zeros(layout.size, bool)
    mask[line_layout(topology_id)[0].ravel()] = True
    mask.flags.writeable = False
    return mask if layout.size > _DENSE else np.ones(layout.size, bool)


def shown_positions(document: Document) -> NDArray[np.float64]:
    """(N, 2) px where markers stand; one without a position waits in the middle of the others."""
    points = document.keypoints_px.copy()
    missing = ~np.isfinite(points).all(axis=1)
    if missing.any():
        points[missing] = points[~missing].mean(axis=0) if not missing.all() else 0.0
    return points


def line_vertices(
    points_px: NDArray[np.float64], pairs: NDArray[np.int64], visibility: NDArray[np.int8]
) -> NDArray[np.float32]:
    """(2 S, 2) ends of the line pieces; a piece to an unlabelled keypoint shrinks to nothing."""
    ends = points_px[pairs]
    unknown = (visibility[pairs] == NOT_LABELLED).any(axis=1)
    ends[unknown] = ends[unknown][:, :1]
    return ends.reshape(-1, 2).astype(np.float32)


def marker_colours(
    topology_id: str, visibility: NDArray[np.int8]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """(N, 4) face and (N, 4) border colours that tell visibility."""
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
    return face, border


def marker_sizes_px(topology_id: str) -> NDArray[np.float64]:
    """(N,) diameters in screen pixels."""
    count = topology(topology_id).size
    if count <= _DENSE:
        return np.full(count, SPARSE_POINT_PX)
    return np.where(on_contour(topology_id), CONTOUR_POINT_PX, OTHER_POINT_PX)


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
