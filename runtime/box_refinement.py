"""A lifted box made right: edges at right angles, its keypoints where they were seen.

EPnP leaves twelve numbers free where a box up to scale has eight, and weighs what it should not:
with keypoints off by 4 % of the box's size in the picture a quarter of its boxes share less than
half their volume with the truth, of these 1 % (rendered chairs). Levenberg and
Marquardt's method from EPnP's box, on the distances in the picture.
"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from runtime.camera import Camera
from runtime.cuboid import Cuboid
from runtime.epnp import CORNER_WEIGHTS

Array = NDArray[np.float64]

STEPS = 12
"""At most; a box that is nearly right takes 3."""
_SETTLED = 1e-4
"""Share of the cost: a step that gains less is the last."""
_NEAREST = 0.05
"""Depth of a keypoint over the centre's: no step goes nearer to the camera."""
_LONGEST = 0.5
"""Of a step: radians, a share of an edge, or the centre's depth."""

_OFFSETS: Array = np.concatenate([np.zeros((1, 3)), CORNER_WEIGHTS[:, 1:] / 2])
"""(9, 3) keypoints of cuboid9@1 in edges from the centre."""


def right_angled(box: Cuboid, keypoints_px: ArrayLike, camera: Camera) -> Cuboid:
    """The box with right angles whose nine keypoints lie nearest to those in the picture.

    Args:
        box: a lift of the same keypoints.
        keypoints_px: (9, 2) pixels in the order of cuboid9@1.
        camera: that took the picture; its distortion is not looked at.

    Returns:
        A box as far away as `box`, up to scale as it is. `box` itself with the nearest right angles
        where that is partly behind the camera.
    """
    seen = np.asarray(keypoints_px, dtype=np.float64)
    depth = float(box.translation_m[2])
    state = (box.rotation, box.translation_m / depth, box.size_m / depth)
    free = np.delete(np.eye(9), 5, axis=1)  # all but the distance
    turn, centre, edges = _settled(_Fit(seen, camera), state, lambda _: free)
    return Cuboid(turn, centre * depth, edges * depth, box.metric)


def standing(
    box: Cuboid, keypoints_px: ArrayLike, camera: Camera, normal: ArrayLike, distance_m: float
) -> Cuboid | None:
    """The box on a plane, its y axis along the plane's normal, whose keypoints lie nearest to those
    in the picture: six numbers where `right_angled` has eight, and metres.

    Args:
        box: a lift of the same keypoints.
        keypoints_px: (9, 2) pixels in the order of cuboid9@1.
        camera: that took the picture; its distortion is not looked at.
        normal: (3,) unit, of the plane, in camera axes.
        distance_m: of the plane from the camera along the normal: normal @ p = distance.

    Returns:
        None where no such box stands before the camera.
    """
    started = box.on_plane(normal, distance_m)
    if started is None or not distance_m:
        return None
    up = np.asarray(normal, dtype=np.float64)
    turn = started.rotation
    up, level = (up, distance_m) if up @ turn[:, 1] > 0 else (-up, -distance_m)
    turn = _turned_onto(turn[:, 1], up) @ turn
    depth = float(started.translation_m[2])
    foot = started.translation_m - up * (up @ started.translation_m - level)
    edges = started.size_m / depth
    across = np.linalg.svd(up[None])[2][1:].T  # (3, 2) in the plane

    def free(edges: Array) -> Array:
        ways = np.zeros((9, 6))
        ways[:3, 0] = up
        ways[3:6, 1:3] = across
        ways[6:, 3:] = np.eye(3)
        ways[3:6, 4] = up * edges[1] / 2  # a higher box has its centre higher
        return ways

    state = (turn, foot / depth + up * edges[1] / 2, edges)
    turn, centre, edges = _settled(_Fit(np.asarray(keypoints_px, np.float64), camera), state, free)
    centre = centre + up * (level / depth + edges[1] / 2 - up @ centre)  # to the last digit
    if centre[2] <= 0:
        return None
    return Cuboid(turn, centre * depth, edges * depth, True)


_State = tuple[Array, Array, Array]


def _settled(fit: _Fit, state: _State, free: Callable[[Array], Array]) -> _State:
    """Turn, centre and edges where no small step brings the keypoints nearer.

    Args:
        fit: tells distances and slopes.
        state: to start from; the centre about 1 deep.
        free: of the edges, (9, k) the directions that a step may go: turn, centre, logarithms of
            the edges.
    """
    turn, centre, edges = state
    points = fit.points(turn, centre, edges)
    cost, damping = fit.cost(points), 1e-3
    for _ in range(STEPS if np.isfinite(cost) else 0):
        ways = free(edges)
        slope, off = fit.slope(turn, edges, points)
        slope = slope @ ways
        normal = slope.T @ slope
        weight = np.diag(normal) + 1e-9 * np.trace(normal)
        step = -np.linalg.solve(normal + damping * np.diag(weight), slope.T @ off)
        step *= min(1.0, _LONGEST / float(np.abs(step).max() + 1e-12))
        step = ways @ step
        there = (cv2.Rodrigues(step[:3])[0] @ turn, centre + step[3:6], edges * np.exp(step[6:]))
        moved = fit.points(*there)
        now = fit.cost(moved)
        if now >= cost:
            damping *= 10
            continue
        settled = cost - now < _SETTLED * cost
        (turn, centre, edges), points, cost, damping = there, moved, now, damping * 0.3
        if settled:
            break
    return turn, centre, edges


def _turned_onto(one: Array, other: Array) -> Array:
    """(3, 3) the shortest turn from one unit vector to another, less than half."""
    axis = np.cross(one, other)
    sine = float(np.linalg.norm(axis))
    angle = float(np.arctan2(sine, one @ other))
    return np.asarray(cv2.Rodrigues(axis / max(sine, 1e-12) * angle)[0])


class _Fit:
    """Keypoints of a box whose centre has the depth 1, against those in the picture."""

    def __init__(self, seen_px: Array, camera: Camera) -> None:
        self._seen = seen_px
        self._focal = np.array([camera.fx, camera.fy])
        self._middle = np.array([camera.cx, camera.cy])

    def points(self, turn: Array, centre: Array, edges: Array) -> Array:
        """(9, 3) in camera axes."""
        points: Array = (_OFFSETS * edges) @ turn.T + centre
        return points

    def cost(self, points: Array) -> float:
        """Sum of the squared distances; infinite where a point is too near to the camera."""
        if not (points[:, 2] > _NEAREST).all():
            return float("inf")
        return float((self._off(points) ** 2).sum())

    def slope(self, turn: Array, edges: Array, points: Array) -> tuple[Array, Array]:
        """(18, 9) derivatives by turn, centre, logarithms of the edges; (18,) distances."""
        change = np.zeros((9, 9, 3))
        arm = (_OFFSETS * edges) @ turn.T
        change[:, :3] = np.cross(np.eye(3), arm[:, None])
        change[:, 3:6] = np.eye(3)
        change[:, 6:] = (_OFFSETS * edges)[:, :, None] * turn.T
        depth = points[:, 2, None, None]
        across = change[..., :2] - change[..., 2:] * (points[:, None, :2] / depth)
        slope = across * (self._focal / depth)
        return slope.transpose(0, 2, 1).reshape(18, 9), self._off(points).reshape(18)

    def _off(self, points: Array) -> Array:
        off: Array = points[:, :2] / points[:, 2:] * self._focal + self._middle - self._seen
        return off
