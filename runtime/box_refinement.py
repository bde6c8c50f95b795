"""A lifted box made right: edges at right angles, its keypoints where they were seen.

EPnP leaves twelve numbers free where a box up to scale has eight, and weighs what it should not:
with keypoints off by 4 % of the box's size in the picture a quarter of its boxes share less than
half their volume with the truth, of these 1 % (rendered chairs). Levenberg and
Marquardt's method from EPnP's box, on the distances in the picture.
"""

from __future__ import annotations

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
    fit = _Fit(seen, camera)
    turn, centre, edges = box.rotation, box.translation_m / depth, box.size_m / depth
    points = fit.points(turn, centre, edges)
    cost, damping = fit.cost(points), 1e-3
    for _ in range(STEPS if np.isfinite(cost) else 0):
        slope, off = fit.slope(turn, edges, points)
        normal = slope.T @ slope
        weight = np.diag(normal) + 1e-9 * np.trace(normal)
        step = -np.linalg.solve(normal + damping * np.diag(weight), slope.T @ off)
        step *= min(1.0, _LONGEST / float(np.abs(step).max() + 1e-12))
        there = (
            cv2.Rodrigues(step[:3])[0] @ turn,
            centre + np.array([step[3], step[4], 0.0]),
            edges * np.exp(step[5:]),
        )
        moved = fit.points(*there)
        now = fit.cost(moved)
        if now >= cost:
            damping *= 10
            continue
        settled = cost - now < _SETTLED * cost
        (turn, centre, edges), points, cost, damping = there, moved, now, damping * 0.3
        if settled:
            break
    return Cuboid(turn, centre * depth, edges * depth, box.metric)


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
        """(18, 8) derivatives by turn, centre across and down, logarithms of the edges; (18,)
        distances."""
        change = np.zeros((9, 8, 3))
        arm = (_OFFSETS * edges) @ turn.T
        change[:, :3] = np.cross(np.eye(3), arm[:, None])
        change[:, 3, 0] = change[:, 4, 1] = 1.0
        change[:, 5:] = (_OFFSETS * edges)[:, :, None] * turn.T
        depth = points[:, 2, None, None]
        across = change[..., :2] - change[..., 2:] * (points[:, None, :2] / depth)
        slope = across * (self._focal / depth)
        return slope.transpose(0, 2, 1).reshape(18, 8), self._off(points).reshape(18)

    def _off(self, points: Array) -> Array:
        off: Array = points[:, :2] / points[:, 2:] * self._focal + self._middle - self._seen
        return off
