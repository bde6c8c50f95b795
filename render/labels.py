"""Ground truth from a rendered picture: what is visible, where its box and its outline lie."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from runtime.camera import Camera, transform_points

UNKNOWN, OCCLUDED, VISIBLE = 0, 1, 2
"""COCO's visibility: not labelled; labelled but hidden or outside the picture; seen."""


def visibility(
    points_camera_m: ArrayLike,
    camera: Camera,
    depth_m: NDArray[np.floating],
    tolerance_m: ArrayLike = 0.004,
    own: NDArray[np.bool_] | None = None,
) -> NDArray[np.int8]:
    """Which points are seen, by comparing their depth with the rendered one.

    Args:
        points_camera_m: (N, 3) in the camera's axes.
        camera: of the picture.
        depth_m: (H, W) along the optical axis, inf where there is no surface.
        tolerance_m: number or (N,), how far behind the seen surface a point may lie and still
            count as visible: a joint lies inside its finger.
        own: (N, H, W) whether a pixel shows what the point belongs to; with it a point is
            visible only if its own pixel or one beside it shows that.

    Returns:
        (N,) int8: 2 visible, 1 occluded or outside the picture, 0 behind the camera.
    """
    points = np.asarray(points_camera_m, dtype=np.float64)
    tolerance = np.broadcast_to(np.asarray(tolerance_m, dtype=np.float64), len(points))
    pixels = camera.project(points)
    height, width = depth_m.shape
    result = np.full(len(points), OCCLUDED, dtype=np.int8)
    for i, ((x, y), z) in enumerate(zip(pixels, points[:, 2])):
        if not np.isfinite(x + y):
            result[i] = UNKNOWN
        elif 0 <= x < width and 0 <= y < height:
            rows = slice(max(int(y) - 1, 0), int(y) + 2)
            columns = slice(max(int(x) - 1, 0), int(x) + 2)
            shown = own is None or own[i, rows, columns].any()
            if shown and depth_m[int(y), int(x)] >= z - tolerance[i]:
                result[i] = VISIBLE
    return result


def box_of_points(points_px: ArrayLike) -> NDArray[np.float32]:
    """x, y, width, height around (N, 2) points; NaN points are left out, NaN where none is left."""
    points = np.asarray(points_px, dtype=np.float64)
    if not np.isfinite(points).all(axis=1).any():
        return np.full(4, np.nan, dtype=np.float32)
    low, high = np.nanmin(points, axis=0), np.nanmax(points, axis=0)
    return np.array([*low, *(high - low)], dtype=np.float32)


def box_of_mask(mask: NDArray[np.bool_]) -> NDArray[np.float32] | None:
    """x, y, width, height of the smallest box around a mask's pixels; None for an empty one."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not len(rows):
        return None
    x, y = columns[0], rows[0]
    return np.array([x, y, columns[-1] + 1 - x, rows[-1] + 1 - y], dtype=np.float32)


def silhouette(mask: NDArray[np.bool_], tolerance_px: float = 0.5) -> NDArray[np.float32] | None:
    """The outline of a mask's largest piece.

    Args:
        mask: (H, W).
        tolerance_px: by how much the outline may be simplified.

    Returns:
        (K, 2) closed polygon in continuous pixels through the border pixels' centres; None where
        the mask is empty.
    """
    outlines, _ = cv2.findContours(
        mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE
    )
    if not outlines:
        return None
    largest = cv2.approxPolyDP(max(outlines, key=cv2.contourArea), tolerance_px, True)
    return np.asarray(largest.reshape(-1, 2) + 0.5, dtype=np.float32)


def clear_depth(depth_m: NDArray[np.floating]) -> NDArray[np.float32]:
    """Depth for storing: NaN instead of infinity where there is no surface."""
    return np.where(np.isfinite(depth_m), depth_m, np.nan).astype(np.float32)


def shown_window(
    points_m: ArrayLike, camera: Camera, world_from_camera: ArrayLike, margin_px: int = 4
) -> tuple[int, int, int, int] | None:
    """The part of a picture that a mesh can show in.

    Args:
        points_m: (V, 3) its vertices in world axes.
        camera: of the picture.
        world_from_camera: (4, 4).
        margin_px: left around it, for the pixel filter and the denoiser.

    Returns:
        left, top, right, bottom in whole pixels, empty (all 0) when nothing shows; None for the
        whole picture when the mesh comes too close to the camera to say.
    """
    points = np.asarray(points_m, dtype=np.float64)
    whole = (0, 0, camera.width, camera.height)
    if not len(points):
        return (0, 0, 0, 0)
    seen = transform_points(np.linalg.inv(np.asarray(world_from_camera)), points)
    if (seen[:, 2] < _CLOSE_M).any():
        return None
    pixels = camera.project(seen)
    low = np.maximum(np.floor(pixels.min(axis=0)).astype(int) - margin_px, 0)
    high = np.minimum(np.ceil(pixels.max(axis=0)).astype(int) + margin_px, whole[2:])
    if (low >= high).any():
        return (0, 0, 0, 0)
    return int(low[0]), int(low[1]), int(high[0]), int(high[1])


_CLOSE_M = 0.02
