"""Contours of a face as splines: the few handles that shape each, and what a handle leads.

Pure. A handle is a keypoint of the contour. Dragged, it bends the contour as a cubic spline
through the handles' shifts: the handle goes along whole, the next handles stay, and what lies
between keeps its own detail. An iris is a ring: its centre carries it, a point of it widens it.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache

import numpy as np
from numpy.typing import NDArray

from runtime.topology import Contour, Topology, topology

Array = NDArray[np.float64]

_RIGHT_EYE = (33, 160, 158, 133, 153, 144)
_RIGHT_BROW_LOWER, _RIGHT_BROW_UPPER = (46, 52, 55), (70, 105, 107)
# The right half; the left half follows by the topology's mirror.
_FACE_HANDLES: dict[str, tuple[int, ...]] = {
    "lips_outer": (61, 181, 17, 405, 291, 269, 0, 39),
    "lips_inner": (78, 178, 14, 402, 308, 311, 13, 81),
    "right_eye": _RIGHT_EYE,
    "right_brow_lower": _RIGHT_BROW_LOWER,
    "right_brow_upper": _RIGHT_BROW_UPPER,
    "right_iris": (469, 470, 471, 472),
    "nose_bridge": (168, 197, 4, 2),
    "nose_wings": (48, 98, 2, 327, 278),
}
_OVAL_EVERY = 3
_IRIS_CENTRES = {"right_iris": 468, "left_iris": 473}
# Contours that can be seen in a picture: on edges, the bridge of the nose along a streak of light.
_MAGNETIC = ("lips", "eye", "brow", "oval", "nose", "iris")


@cache
def handles(topology_id: str) -> dict[str, tuple[int, ...]]:
    """Contour name -> its handles in the contour's own order; {} for what isn't a face."""
    layout = topology(topology_id)
    if not topology_id.startswith("face4"):
        return {}
    found: dict[str, tuple[int, ...]] = {}
    for name, contour in layout.contours.items():
        if name == "oval":
            found[name] = contour.indices[::_OVAL_EVERY]
            continue
        chosen = _FACE_HANDLES.get(name) or tuple(
            layout.mirror[i] for i in _FACE_HANDLES[name.replace("left", "right")]
        )
        found[name] = tuple(i for i in contour.indices if i in chosen)
    return found


@cache
def handle_mask(topology_id: str) -> NDArray[np.bool_]:
    """(N,) whether a keypoint is a handle; iris centres are."""
    layout = topology(topology_id)
    mask = np.zeros(layout.size, bool)
    for name, indices in handles(topology_id).items():
        mask[list(indices)] = True
        if name in _IRIS_CENTRES and _IRIS_CENTRES[name] < layout.size:
            mask[_IRIS_CENTRES[name]] = True
    mask.flags.writeable = False
    return mask


def contour_points(layout: Topology, name: str) -> tuple[int, ...]:
    """All keypoints that belong to a contour, an iris's centre included."""
    centre = (_IRIS_CENTRES[name],) if name in _IRIS_CENTRES else ()
    return (*layout.contours[name].indices, *centre)


def contours_of(layout: Topology, index: int) -> list[str]:
    """The contours that a keypoint belongs to, by name."""
    return [name for name in layout.contours if index in contour_points(layout, name)]


def is_magnetic(name: str) -> bool:
    """Whether a contour can be seen in a picture."""
    return any(word in name for word in _MAGNETIC)


def iris_centre(name: str) -> int | None:
    """The keypoint in the middle of an iris's contour; None for other contours."""
    return _IRIS_CENTRES.get(name)


def led_by(layout: Topology, index: int, points_px: Array) -> dict[int, Array]:
    """What a dragged handle leads along its contours.

    Args:
        layout: of the keypoints.
        index: the handle.
        points_px: (N, 2) where keypoints are.

    Returns:
        Keypoint -> (2, 2) from the handle's shift to its own; the handle itself by the identity.
        Only the handle for a keypoint that is none.
    """
    led: dict[int, Array] = {}
    for name, knots in handles(layout.id).items():
        if index == _IRIS_CENTRES.get(name):
            led |= {i: np.eye(2) for i in contour_points(layout, name)}
        elif index in knots and name in _IRIS_CENTRES:
            led |= _widened(points_px, index, _IRIS_CENTRES[name], layout.contours[name].indices)
        elif index in knots:
            weights = spline_weights(points_px, layout.contours[name], knots, index)
            led |= {i: w * np.eye(2) for i, w in zip(layout.contours[name].indices, weights)}
    led[index] = np.eye(2)
    return led


def _widened(points: Array, index: int, centre: int, ring: Iterable[int]) -> dict[int, Array]:
    spoke = points[index] - points[centre]
    length = max(float(spoke @ spoke), 1e-9)
    led = {i: np.outer(points[i] - points[centre], spoke) / length for i in ring}
    return {**led, centre: np.zeros((2, 2))}


def spline_weights(points_px: Array, contour: Contour, knots: tuple[int, ...], index: int) -> Array:
    """How far each point of a contour goes along with one of its handles.

    Args:
        points_px: (N, 2).
        contour: of which.
        knots: its handles in its own order.
        index: the handle that moves by 1 while the others stay.

    Returns:
        (C,) a cubic spline over the length along the contour (Catmull and Rom's, with knots as
        far apart as the handles are): 1 at the handle, 0 at the others.
    """
    ring = list(contour.indices)
    line = points_px[ring + ring[:1]] if contour.closed else points_px[ring]
    steps = np.maximum(np.linalg.norm(np.diff(line, axis=0), axis=1), 1e-6)
    along = np.concatenate([[0.0], np.cumsum(steps)])
    at = along[: len(ring)]
    places = np.array([at[ring.index(knot)] for knot in knots])
    values = np.array([float(knot == index) for knot in knots])
    if contour.closed:
        whole = along[-1]
        places = np.concatenate([places[-2:] - whole, places, places[:2] + whole])
        values = np.concatenate([values[-2:], values, values[:2]])
    slopes = np.gradient(values, places) if len(places) > 1 else np.zeros(1)
    return _hermite(places, values, slopes, at)


def _hermite(places: Array, values: Array, slopes: Array, at: Array) -> Array:
    left = np.clip(np.searchsorted(places, at, side="right") - 1, 0, len(places) - 2)
    width = places[left + 1] - places[left]
    t = (at - places[left]) / width
    h00, h10 = (1 + 2 * t) * (1 - t) ** 2, t * (1 - t) ** 2
    h01, h11 = t**2 * (3 - 2 * t), t**2 * (t - 1)
    return np.asarray(
        h00 * values[left]
        + h10 * width * slopes[left]
        + h01 * values[left + 1]
        + h11 * width * slopes[left + 1]
    )


def normals(points_px: Array, closed: bool) -> Array:
    """(C, 2) unit normals of a line through points; zero where points coincide."""
    before = np.roll(points_px, 1, axis=0)
    after = np.roll(points_px, -1, axis=0)
    if not closed:
        before[0], after[-1] = points_px[0], points_px[-1]
    along = after - before
    across = np.stack([-along[:, 1], along[:, 0]], axis=1)
    return np.asarray(across / np.maximum(np.linalg.norm(across, axis=1, keepdims=True), 1e-9))
