"""A box from the picture of its corners: EPnP for nine keypoints.

Lepetit, Moreno-Noguer, Fua, "EPnP: an accurate O(n) solution to the PnP problem" (2009), as
MediaPipe's Objectron uses it: four control points (the centre and the middles of the +x, +y and +z
faces), each corner a fixed sum of them, two equations a corner, and the right singular vector of
the smallest singular value. No size is assumed, so the scale stays open, and nothing forces the
box's edges to meet at right angles: with a wrong focal length they don't.
"""

from __future__ import annotations

import itertools

import numpy as np
from numpy.typing import ArrayLike, NDArray

from runtime.camera import Camera

Array = NDArray[np.float64]

_CORNERS = np.array(list(itertools.product((-1.0, 1.0), repeat=3)))
CORNER_WEIGHTS: Array = np.hstack([1 - _CORNERS.sum(axis=1, keepdims=True), _CORNERS])
"""(8, 4): corner = weights @ control points, corners in the order of cuboid9@1."""

_LEAST_GAP = 1e-9
"""Between the two smallest eigenvalues, over the largest: below it several boxes fit as well."""


def control_points(corners_px: ArrayLike, camera: Camera) -> Array | None:
    """The centre and the middles of the +x, +y and +z faces of the box that fits best.

    Equations are weighted as MediaPipe weighs them: x by half the picture's width, y by half its
    height. The camera's distortion is not looked at.

    Args:
        corners_px: (8, 2) pixels, in the order of cuboid9@1 without its centre.
        camera: that took the picture.

    Returns:
        (4, 3) in camera axes, the centre before the camera, of length 1 as a whole; None where the
        points leave it open (not finite, all on a line or in one spot).
    """
    corners = np.asarray(corners_px, dtype=np.float64)
    if not np.isfinite(corners).all():
        return None
    half = np.array([camera.width, camera.height]) / 2
    focal = np.array([camera.fx, camera.fy]) / half
    offsets = (np.array([camera.cx, camera.cy]) - corners) / half
    equations = np.zeros((8, 2, 4, 3))
    for axis in range(2):
        equations[:, axis, :, axis] = CORNER_WEIGHTS * focal[axis]
        equations[:, axis, :, 2] = CORNER_WEIGHTS * offsets[:, axis, None]
    system = equations.reshape(16, 12)
    values, vectors = np.linalg.eigh(system.T @ system)
    if values[1] - values[0] <= _LEAST_GAP * values[-1]:
        return None
    points = vectors[:, 0].reshape(4, 3)
    if points[0, 2] == 0:
        return None
    return points if points[0, 2] > 0 else -points
