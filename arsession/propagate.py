"""One box seen in every frame of its session, and which frame would tell most about it."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from arsession.cuboid_evidence import CLICK_SIGMA_PX, PlacedBox
from arsession.cuboid_fit import Fit
from arsession.cuboid_residuals import points_and_derivative
from arsession.session import Depths
from arsession.views import Views
from bootstrap.box_overlap import CORNERS

Array = NDArray[np.float64]

NOT_THERE, HIDDEN, VISIBLE = 0, 1, 2
"""COCO's visibility; a keypoint behind the camera has no position."""
_DEPTH_MARGIN_M = 0.05
_DEPTH_MARGIN_SHARE = 0.02
"""By how much nearer a depth image must be before something stands in front."""


@dataclass(frozen=True)
class Propagated:
    """A box in F frames.

    Attributes:
        keypoints_px: (F, 9, 2); NaN at or behind the camera, outside the picture where they are.
        keypoints_camera_m: (F, 9, 3).
        visibility: (F, 9) int8: 0 behind the camera, 1 outside the picture, behind the box itself
            or behind something else, 2 visible. The centre counts as visible inside the picture.
        box_px: (F, 4) x, y, width and height of the keypoints' bounding box within the picture;
            no width where there is nothing of it.
        truncation: (F,) share of the bounding box outside the picture; 1 where any keypoint is
            behind the camera.
        expected_px: (F, 9) root mean square error that the fit's covariance lets expect, without
            what drift adds; NaN where the covariance is unknown or the keypoint isn't there.
    """

    keypoints_px: Array
    keypoints_camera_m: Array
    visibility: NDArray[np.int8]
    box_px: Array
    truncation: Array
    expected_px: Array

    @property
    def seen(self) -> NDArray[np.bool_]:
        """(F,) whether anything of the box is in the picture."""
        return np.asarray((self.box_px[:, 2:] > 0).all(axis=1))


def propagate(box: PlacedBox, views: Views, covariance: Array | None = None) -> Propagated:
    """The box in every frame.

    Args:
        box: in the session's world.
        views: the session's cameras.
        covariance: (9, 9) of the fit; see `Fit`. The lens's distortion isn't in its derivative.
    """
    points = box.points_world_m()
    in_camera = views.in_camera(points)
    px = views.project(in_camera)
    inside = ((px >= 0) & (px <= views.size_px[:, None])).all(axis=2)
    at = (views.centres_m() - box.centre_m) @ box.rotation / (box.size_m / 2)
    facing = (at[:, None] * (2 * CORNERS) > 1).any(axis=2)
    facing = np.concatenate([np.ones((len(views), 1), dtype=bool), facing], axis=1)
    visibility = np.where(inside & facing, VISIBLE, HIDDEN).astype(np.int8)
    visibility[~np.isfinite(px).all(axis=2)] = NOT_THERE
    box_px, truncation = _bounds(px, views.size_px)
    expected = np.full(px.shape[:2], np.nan)
    if covariance is not None:
        expected = _expected_px(box, views, in_camera, covariance)
    return Propagated(px, in_camera, visibility, box_px, truncation, expected)


def hidden_by_depth(seen: Propagated, frame: int, depths: Depths, views: Views) -> NDArray[np.int8]:
    """(9,) the frame's visibility, taking what stands in front as its depth image shows it."""
    visibility = seen.visibility[frame].copy()
    depth = depths.read(frame)
    if depth is None:
        return visibility
    scale = np.array([depth.shape[1], depth.shape[0]]) / views.size_px[frame]
    for k in np.nonzero(visibility == VISIBLE)[0]:
        column, row = (seen.keypoints_px[frame, k] * scale).astype(int)
        row, column = min(row, depth.shape[0] - 1), min(column, depth.shape[1] - 1)
        away, here = seen.keypoints_camera_m[frame, k, 2], float(depth[row, column])
        if k == 0:  # the object's own front is nearer than its centre, by half a diagonal at most
            corners = seen.keypoints_camera_m[frame, 1:, 2]
            away = corners.min()
        if 0 < here < away - max(_DEPTH_MARGIN_M, _DEPTH_MARGIN_SHARE * away):
            visibility[k] = HIDDEN
    return visibility


def _bounds(px: Array, size_px: Array) -> tuple[Array, Array]:
    low, high = px.min(axis=1), px.max(axis=1)  # NaN where a keypoint is behind the camera
    some_low, some_high = np.fmin.reduce(px, axis=1), np.fmax.reduce(px, axis=1)
    cut_low = np.clip(np.nan_to_num(some_low), 0, size_px)
    cut_high = np.clip(np.nan_to_num(some_high), 0, size_px)
    whole, left = (high - low).prod(axis=1), (cut_high - cut_low).prod(axis=1)
    truncation = 1 - left / np.maximum(whole, 1e-12)
    truncation = np.where(np.isfinite(whole), np.clip(truncation, 0, 1), 1.0)
    return np.concatenate([cut_low, np.maximum(cut_high - cut_low, 0)], axis=1), truncation


def _expected_px(box: PlacedBox, views: Views, in_camera: Array, covariance: Array) -> Array:
    _, slope = points_and_derivative(box)
    spread = np.einsum("kin,nm,kjm->kij", slope, covariance, slope, optimize=True)
    rows = pixel_rows(views, in_camera)
    squares = np.einsum("fkai,fkai->fk", rows @ spread, rows)
    return np.asarray(np.sqrt(np.maximum(squares, 0)))


def pixel_rows(views: Views, in_camera: Array) -> Array:
    """(F, K, 2, 3) derivatives of pixels by world points; NaN at or behind the camera."""
    z = np.where(in_camera[..., 2:] > 0, in_camera[..., 2:], np.nan)
    slant = (in_camera[..., :2] / z)[..., None] * views.turns[:, None, 2:]
    gain = (views.focal_px[:, None] / z)[..., None]
    return np.asarray(gain * (views.turns[:, None, :2] - slant))


@dataclass(frozen=True)
class NextFrame:
    """What annotating a frame would bring.

    Attributes:
        frame: its number.
        gain_bits: expected information about the nine degrees of freedom.
        expected_px: the mean expected error over all frames, afterwards.
    """

    frame: int
    gain_bits: float
    expected_px: float


def next_frames(fit: Fit, views: Views, sigma_px: float = CLICK_SIGMA_PX) -> list[NextFrame]:
    """Every frame in which corners can be clicked, the one that shrinks the error most first.

    Args:
        fit: so far.
        views: the session's cameras.
        sigma_px: of the clicks; the corners that are visible would be clicked.
    """
    seen = propagate(fit.box, views)
    _, slope = points_and_derivative(fit.box)
    slopes = np.nan_to_num(pixel_rows(views, seen.keypoints_camera_m)) @ slope  # (F, 9, 2, 9)
    flat = slopes.reshape(len(views), 18, 9)
    in_picture = ((seen.keypoints_px >= 0) & (seen.keypoints_px <= views.size_px[:, None])).all(2)
    weight = np.repeat(in_picture, 2, axis=1) / max(int(in_picture.sum()), 1)
    over_all = np.einsum("frn,fr,frm->nm", flat, weight, flat, optimize=True)
    clickable = seen.visibility == VISIBLE
    clickable[:, 0] = False  # nobody sees a centre
    clicked = flat * np.repeat(clickable, 2, axis=1)[..., None] / sigma_px
    before = np.linalg.inv(fit.covariance)
    after = before + clicked.transpose(0, 2, 1) @ clicked
    gain = (np.linalg.slogdet(after)[1] - np.linalg.slogdet(before)[1]) / (2 * math.log(2))
    left = np.sqrt(np.einsum("fnm,mn->f", np.linalg.inv(after), over_all))
    some = np.nonzero(clickable.any(axis=1))[0]
    best = some[np.argsort(left[some], kind="stable")]
    return [NextFrame(int(f), float(gain[f]), float(left[f])) for f in best]


def mean_expected_px(seen: Propagated) -> float:
    """The expected error over all keypoints inside the picture in all frames, root mean square."""
    inside = (seen.visibility > 0) & np.isfinite(seen.expected_px) & seen.seen[:, None]
    return float(np.sqrt((seen.expected_px[inside] ** 2).mean())) if inside.any() else math.nan
