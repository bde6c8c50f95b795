"""A box in space, lifted from its nine keypoints in a picture."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from runtime.camera import Camera
from runtime.epnp import CORNER_WEIGHTS, control_points

Array = NDArray[np.float64]
_DECIMALS = 7
_LEAST_VOLUME = 1e-6
"""Of three unit edges: keypoints on a line give a box that is flat."""


@dataclass(frozen=True)
class Cuboid:
    """A box in camera axes (x right, y down, z forward).

    Attributes:
        directions: (3, 3), columns being the unit directions of the box's own x, y and z edges. A
            lift leaves them as they come out: at right angles only if the focal length and the
            keypoints are right. MediaPipe calls this matrix the rotation.
        translation_m: (3,) the centre.
        size_m: (3,) lengths of the edges.
        metric: whether these are metres; otherwise only their ratios mean something.
    """

    directions: Array
    translation_m: Array
    size_m: Array
    metric: bool = False

    @property
    def rotation(self) -> Array:
        """(3, 3) camera_from_box: the proper rotation nearest to `directions`."""
        left, _, right = np.linalg.svd(self.directions)
        left[:, 2] *= np.linalg.det(left @ right)
        return np.asarray(left @ right)

    def vertices(self) -> Array:
        """(9, 3) centre and corners in the order of cuboid9@1, along `directions`."""
        edges = (self.directions * self.size_m / 2).T
        corners = CORNER_WEIGHTS[:, 1:] @ edges
        return self.translation_m + np.concatenate([np.zeros((1, 3)), corners])

    def with_size(self, longest_m: float) -> Cuboid:
        """The same box, metric, its longest edge being that long."""
        return self._scaled(longest_m / self.size_m.max())

    def on_plane(self, normal: ArrayLike, distance_m: float) -> Cuboid | None:
        """The same box, metric, its bottom standing on a plane.

        Args:
            normal: (3,) of the plane, in camera axes.
            distance_m: of the plane from the camera along the normal: normal @ p = distance.

        Returns:
            None where no scale brings the bottom's centre onto the plane: it passes through the
            camera, or lies on the other side of it.
        """
        bottom = self.translation_m - self.directions[:, 1] * self.size_m[1] / 2
        reach = float(np.asarray(normal, dtype=np.float64) @ bottom)
        factor = distance_m / reach if reach else 0.0
        return self._scaled(factor) if 0 < factor < np.inf else None

    def to_json(self, keypoints: ArrayLike, camera: Camera) -> dict[str, Any]:
        """As it stands in a subject.

        Args:
            keypoints: (9, 2) normalised, what the box was lifted from.
            camera: that it was lifted with.
        """
        return {
            "keypoints": _rounded(np.asarray(keypoints)[:, :2]),
            "rotation": _rounded(self.rotation.ravel()),
            "directions": _rounded(self.directions.ravel()),
            "translation_m": _rounded(self.translation_m),
            "size_m": _rounded(self.size_m),
            "scale": "metric" if self.metric else "arbitrary",
            "camera": {"fx": camera.fx, "fy": camera.fy, "cx": camera.cx, "cy": camera.cy},
        }

    def _scaled(self, factor: float) -> Cuboid:
        return replace(
            self,
            translation_m=self.translation_m * factor,
            size_m=self.size_m * factor,
            metric=True,
        )


def lift_cuboid(keypoints_px: ArrayLike, camera: Camera) -> Cuboid | None:
    """The box whose corners a camera sees at those pixels, up to scale.

    Args:
        keypoints_px: (9, 2) pixels in the order of cuboid9@1; the centre isn't used.
        camera: that took the picture.

    Returns:
        None where the keypoints fit no box but a flat one, or several: see
        `runtime.epnp.control_points`.
    """
    points = control_points(np.asarray(keypoints_px, dtype=np.float64)[1:], camera)
    if points is None:
        return None
    axes = (points[1:] - points[0]).T
    lengths = np.linalg.norm(axes, axis=0)
    if not (lengths > 0).all() or abs(np.linalg.det(axes / lengths)) < _LEAST_VOLUME:
        return None
    return Cuboid(axes / lengths, points[0], lengths * 2)


def ndc_camera(width: int, height: int) -> Camera:
    """MediaPipe's default camera: a focal length of half the picture's width across and of half
    its height down, in the middle of the picture."""
    return Camera(width / 2, height / 2, width / 2, height / 2, width, height)


def _rounded(values: Array) -> list:
    return np.round(np.asarray(values, dtype=np.float64), _DECIMALS).tolist()
