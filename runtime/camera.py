"""The pinhole camera and the changes of camera axes.

Camera axes are OpenCV's: x right, y down, z forward, metres. Pixel coordinates are continuous, the
origin being the top-left corner of the top-left pixel: the principal point of a centred camera is
(width / 2, height / 2), while OpenCV's own calibration, whose origin is a pixel's centre, would say
(width - 1) / 2.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]

# opencv_from_X turns a point in X's camera axes into OpenCV's; each is its own inverse.
OPENCV_FROM_OPENGL: Array = np.diag([1.0, -1.0, -1.0, 1.0])
"""OpenGL, Blender and ARKit cameras: x right, y up, z backward."""


@dataclass(frozen=True)
class Camera:
    """A pinhole camera with optional OpenCV distortion.

    Attributes:
        fx, fy: focal lengths in pixels.
        cx, cy: principal point in pixels, from the picture's top-left corner.
        width, height: of the picture in pixels.
        distortion: OpenCV's k1, k2, p1, p2, k3, or empty for none.
    """

    fx: float
    fy: float
    cx: float
    cy: float
    width: int
    height: int
    distortion: tuple[float, ...] = ()

    @classmethod
    def from_fov(cls, horizontal_fov_rad: float, width: int, height: int) -> Camera:
        """A centred camera with square pixels and that horizontal field of view."""
        focal = width / 2 / math.tan(horizontal_fov_rad / 2)
        return cls(focal, focal, width / 2, height / 2, width, height)

    @property
    def matrix(self) -> Array:
        """(3, 3) intrinsics K."""
        return np.array([[self.fx, 0, self.cx], [0, self.fy, self.cy], [0, 0, 1]], dtype=np.float64)

    def project(self, points_camera_m: ArrayLike) -> Array:
        """Pixel positions of points before the camera.

        Args:
            points_camera_m: (..., 3) in camera axes.

        Returns:
            (..., 2) pixels; NaN for points at or behind the camera (z <= 0).
        """
        points = np.asarray(points_camera_m, dtype=np.float64)
        z = np.where(points[..., 2] > 0, points[..., 2], np.nan)
        xy = self._distorted(points[..., :2] / z[..., None])
        return xy * (self.fx, self.fy) + (self.cx, self.cy)

    def unproject(self, points_px: ArrayLike, depth_m: ArrayLike) -> Array:
        """Points in camera axes from pixels and depth along the optical axis.

        Args:
            points_px: (..., 2) pixels.
            depth_m: (...) z in metres.

        Returns:
            (..., 3) metres. Exact for a camera without distortion, to 1e-9 of the focal length
            with the usual small one (fixed-point iteration).
        """
        distorted = (np.asarray(points_px, dtype=np.float64) - (self.cx, self.cy)) / (
            self.fx,
            self.fy,
        )
        xy = distorted
        for _ in range(20 if self.distortion else 0):
            xy = xy + (distorted - self._distorted(xy))
        ones = np.ones((*xy.shape[:-1], 1))
        return (
            np.concatenate([xy, ones], axis=-1) * np.asarray(depth_m, dtype=np.float64)[..., None]
        )

    def _distorted(self, xy: Array) -> Array:
        # Brown-Conrady as in OpenCV's calib3d.
        if not self.distortion:
            return xy
        k1, k2, p1, p2, k3 = (*self.distortion, 0.0, 0.0, 0.0, 0.0, 0.0)[:5]
        x, y = xy[..., 0], xy[..., 1]
        r2 = x * x + y * y
        radial = 1 + r2 * (k1 + r2 * (k2 + r2 * k3))
        return np.stack(
            [
                x * radial + 2 * p1 * x * y + p2 * (r2 + 2 * x * x),
                y * radial + p1 * (r2 + 2 * y * y) + 2 * p2 * x * y,
            ],
            axis=-1,
        )

    def scaled(self, width: int, height: int) -> Camera:
        """The same view in another resolution."""
        sx, sy = width / self.width, height / self.height
        return replace(
            self,
            fx=self.fx * sx,
            fy=self.fy * sy,
            cx=self.cx * sx,
            cy=self.cy * sy,
            width=width,
            height=height,
        )


def transform_points(a_from_b: ArrayLike, points_b: ArrayLike) -> Array:
    """p_a = a_from_b @ p_b for (..., 3) points and a (4, 4) rigid or affine transform."""
    matrix = np.asarray(a_from_b, dtype=np.float64)
    return np.asarray(points_b, dtype=np.float64) @ matrix[:3, :3].T + matrix[:3, 3]
