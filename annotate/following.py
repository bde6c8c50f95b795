"""What moves along when one keypoint is dragged.

A face's keypoints follow as those of real faces move together (`bootstrap.face_shapes`, seen in
the face's own pose) with a local smooth remainder; those of other subjects follow by distance.
Pure: weights are made once when a drag begins, a step of it is one product.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from annotate.editing import Document, Move
from bootstrap.face_shapes import TOPOLOGY as FACE
from bootstrap.face_shapes import face_shapes, fitted_pose

# What the modes leave unexplained, in interocular distances, and how far it reaches as a share
# of the drag's own reach.
_REMAINDER = 0.02
_REMAINDER_REACH = 0.4


@dataclass(frozen=True)
class Drag:
    """A drag that has begun.

    Attributes:
        indices: (M,) keypoints that move, the dragged one first.
        start_px: (M, 2) where they were.
        weights: (M, 2, 2) from the dragged keypoint's shift to each one's; the identity first.
    """

    indices: NDArray[np.int64]
    start_px: NDArray[np.float64]
    weights: NDArray[np.float64]

    def at(self, x_px: float, y_px: float) -> NDArray[np.float64]:
        """(M, 2) px of the moved keypoints when the dragged one is at (x_px, y_px), exactly."""
        target = np.array([x_px, y_px])
        positions = self.start_px + self.weights @ (target - self.start_px[0])
        positions[0] = target
        return np.asarray(positions)

    def move(self, x_px: float, y_px: float) -> Move:
        """The change that this drag makes when it ends there."""
        spots = self.at(x_px, y_px).tolist()
        return Move(tuple(self.indices.tolist()), tuple((x, y) for x, y in spots))


def begin_drag(
    document: Document, index: int, radius_px: float, start_px: NDArray[np.float64] | None = None
) -> Drag:
    """Take hold of a keypoint.

    Args:
        document: before the drag; keypoints without a position stay, but for the dragged one.
        index: the keypoint taken hold of.
        radius_px: keypoints this far away or farther stay; 0 moves the one keypoint alone.
        start_px: (2,) where it is drawn, when it has no position yet.
    """
    points = document.keypoints_px
    here = points[index] if start_px is None else start_px
    if radius_px <= 0:
        return Drag(np.array([index]), here[None].copy(), np.eye(2)[None])
    if document.topology_id == FACE and np.isfinite(points).all(axis=1).sum() > 3:
        distance_px, weights = _face_weights(points, index, radius_px)
    else:
        distance_px = np.linalg.norm(points - here, axis=1)
        weights = _falloff(distance_px, radius_px)[:, None, None] * np.eye(2)
    with np.errstate(invalid="ignore"):
        near = (distance_px < radius_px) & np.isfinite(points).all(axis=1)
    near[index] = False
    order = np.concatenate([[index], np.flatnonzero(near)])
    start, weights = points[order], weights[order]
    start[0], weights[0] = here, np.eye(2)
    return Drag(order, start, weights)


def _face_weights(
    points: NDArray[np.float64], index: int, radius_px: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(N,) distances along the mean face in px, (N, 2, 2) weights: what is most likely to be the
    shift of every keypoint, given the dragged one's, when shapes vary as the modes and a smooth
    remainder say (the conditional mean of a Gaussian)."""
    shapes, pose = face_shapes(), fitted_pose(points)
    scale_px = float(np.linalg.norm(pose.picture_from_face, axis=1).mean())
    distance_px = np.linalg.norm(shapes.mean - shapes.mean[index], axis=1) * scale_px
    modes_px = shapes.modes @ pose.picture_from_face.T
    together = np.einsum("kna,kb->nab", modes_px, modes_px[:, index])
    together *= _falloff(distance_px, radius_px)[:, None, None]
    smooth = (_REMAINDER * scale_px) ** 2 * _falloff(distance_px, _REMAINDER_REACH * radius_px)
    together += smooth[:, None, None] * np.eye(2)
    return distance_px, together @ np.linalg.inv(together[index])


def _falloff(distance: NDArray[np.float64], radius: float) -> NDArray[np.float64]:
    """1 at nothing, 0 from the radius on; flat at both, so that nothing kinks."""
    share = np.minimum(distance, radius) / radius
    return np.where(distance < radius, 0.5 + 0.5 * np.cos(np.pi * share), 0.0)
