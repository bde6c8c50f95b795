"""What moves along when one keypoint is dragged.

A face's keypoints follow as those of real faces move together (`bootstrap.face_shapes`, seen in
the face's own pose) and as models are wrong together (a shift, a turn, a smooth remainder); those
of other subjects follow by distance. What a person placed or confirmed stays.
Pure: the products are made once when a drag begins; a step of it is one more.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from annotate.contours import contour_points, led_by
from annotate.editing import Document, Move
from bootstrap.face_shapes import TOPOLOGY as FACE
from bootstrap.face_shapes import FacePose, face_shapes, fitted_pose

Array = NDArray[np.float64]
Magnet = Callable[[NDArray[np.int64], Array], Array]
"""Keypoints that a drag leads, and (C, 2) where it would put them -> where edges draw them."""

WHOLE_FACE = math.inf
"""A reach without an end."""

# How MediaPipe's answers on rendered faces vary about the truth, in interocular distances and
# radians: a common shift, size, roll, turn out of the plane; the modes as a share of how faces
# vary; a smooth remainder and how far it reaches. Fitted by maximum likelihood to 24 faces.
_SHIFT, _SIZE, _ROLL, _TURN = 0.017, 0.015, 0.07, 0.068
_MODES, _REMAINDER, _REMAINDER_REACH = 0.79, 0.018, 0.20
# How far off a hand's placing is, in interocular distances.
_HAND = 0.006


@dataclass(frozen=True)
class Drag:
    """A drag that has begun.

    Attributes:
        indices: (M,) keypoints that move, the dragged one first.
        start_px: (M, 2) where they were.
        weights: (M, 2, 2) from the dragged keypoint's shift to each one's; the identity first.
        led: (C,) keypoints whose shift the drag itself says, by `led_weights` (C, 2, 2) of the
            dragged one's; all others follow them, by `follow` (2 M, 2 C).
        led_start_px: (C, 2) where those were.
        magnet: draws the led ones to edges of the picture.
    """

    indices: NDArray[np.int64]
    start_px: Array
    weights: Array
    led: NDArray[np.int64]
    led_weights: Array
    led_start_px: Array
    follow: Array
    magnet: Magnet | None = None

    def at(self, x_px: float, y_px: float) -> Array:
        """(M, 2) px of the moved keypoints when the dragged one is led to (x_px, y_px).

        It is there exactly, unless a magnet draws it to an edge near by.
        """
        target = np.array([x_px, y_px])
        shift = target - self.start_px[0]
        if self.magnet is None:
            # Two scaled columns: a batched product costs many times as much.
            dx, dy = shift.tolist()
            positions = self.start_px + self.weights[:, :, 0] * dx + self.weights[:, :, 1] * dy
            positions[0] = target
            return positions
        wanted = self.led_start_px + self.led_weights @ shift
        drawn = self.magnet(self.led, wanted) - self.led_start_px
        return np.asarray(self.start_px + (self.follow @ drawn.ravel()).reshape(-1, 2))

    def move(self, x_px: float, y_px: float) -> Move:
        """The change that this drag makes when it ends there."""
        return moved(self.indices, self.at(x_px, y_px), held=self.indices[:1])


def moved(
    indices: NDArray[np.int64], to_px: Array, held: Sequence[int] | NDArray[np.int64]
) -> Move:
    """Keypoints put somewhere, `held` of them by hand."""
    spots = tuple((x, y) for x, y in to_px.tolist())
    return Move(tuple(indices.tolist()), spots, tuple(int(i) for i in held))


def begin_drag(
    document: Document,
    index: int,
    radius_px: float,
    start_px: Array | None = None,
    *,
    contour: bool = False,
    symmetric: bool = False,
    magnet: Magnet | None = None,
) -> Drag:
    """Take hold of a keypoint.

    Args:
        document: before the drag; keypoints without a position stay, but for the dragged one.
        index: the keypoint taken hold of.
        radius_px: keypoints this far away or farther stay; 0 moves the one keypoint alone,
            `WHOLE_FACE` sets no end.
        start_px: (2,) where it is drawn, when it has no position yet.
        contour: whether a handle bends its contours, too.
        symmetric: whether the partner on a face's other side makes the mirrored movement.
        magnet: draws what the drag leads to edges.
    """
    points = document.keypoints_px
    is_face = document.topology_id == FACE and np.isfinite(points).all(axis=1).sum() > 3
    here = points[index] if start_px is None else start_px
    placed = points.copy()
    placed[index] = here
    led = {index: np.eye(2)}
    if is_face and contour:
        led = led_by(document.topology, index, placed)
        led = {i: _kept(document, i, w) for i, w in led.items() if np.isfinite(placed[i]).all()}
    if is_face and symmetric:
        led = _mirrored_too(document, index, led)
    order = np.array([index, *(i for i in led if i != index)])
    weights = np.stack([led[i] for i in order])
    if radius_px <= 0:
        indices, follow = order, np.eye(2 * len(order))
    elif is_face:
        indices, follow = following_shifts(document, placed, order, radius_px)
    else:
        return _drawn_along(points, here, index, radius_px)
    onto = np.einsum("mcij,cjk->mik", _blocks(follow), weights)
    onto[0] = np.eye(2)
    return Drag(indices, placed[indices], onto, order, weights, placed[order], follow, magnet)


def _kept(document: Document, index: int, weight: Array) -> Array:
    """A placed keypoint stays, but for what is carried whole."""
    stays = document.placed[index] and not np.array_equal(weight, np.eye(2))
    return np.zeros((2, 2)) if stays else weight


def _blocks(follow: Array) -> Array:
    """(2 M, 2 C) -> (M, C, 2, 2)."""
    rows, columns = follow.shape
    return follow.reshape(rows // 2, 2, columns // 2, 2).transpose(0, 2, 1, 3)


def _drawn_along(points: Array, here: Array, index: int, radius_px: float) -> Drag:
    """Neighbours by distance alone."""
    with np.errstate(invalid="ignore"):
        distance = np.linalg.norm(points - here, axis=1)
        near = (distance < radius_px) & np.isfinite(points).all(axis=1)
    near[index] = False
    order = np.concatenate([[index], np.flatnonzero(near)])
    start = points[order]
    start[0], distance[index] = here, 0.0
    weights = _falloff(distance[order], radius_px)[:, None, None] * np.eye(2)
    follow = weights.reshape(-1, 2)
    one = np.array([index])
    return Drag(order, start, weights, one, np.eye(2)[None], here[None].copy(), follow)


def _mirrored_too(document: Document, index: int, led: dict[int, Array]) -> dict[int, Array]:
    mirror = document.topology.mirror
    if mirror[index] == index:
        return led
    picture = fitted_pose(document.keypoints_px).picture_from_face
    flip = picture @ np.diag([-1.0, 1.0, 1.0]) @ np.linalg.pinv(picture)
    both = dict(led)
    for i, weight in led.items():
        if np.isfinite(document.keypoints_px[mirror[i]]).all():
            both[mirror[i]] = both.get(mirror[i], 0.0) + flip @ weight
    both[index], both[mirror[index]] = np.eye(2), flip
    return both


def following_shifts(
    document: Document, points_px: Array, led: NDArray[np.int64], radius_px: float
) -> tuple[NDArray[np.int64], Array]:
    """How a face's keypoints follow when some are led: what is most likely, given those.

    The conditional mean of a Gaussian in which keypoints vary as faces and models' errors do.
    The led ones go where they are led; the others are told that a hand is a little off.

    Args:
        document: says what was placed or confirmed and stays.
        points_px: (478, 2) where keypoints are; those that are NaN stay so.
        led: (C,) keypoints whose shifts are given.
        radius_px: how far from the nearest led one others move.

    Returns:
        (M,) the keypoints that move, the led ones first, and (2 M, 2 C) from led shifts to theirs.
    """
    shapes, pose = face_shapes(), fitted_pose(points_px)
    scale = float(np.linalg.norm(pose.picture_from_face, axis=1).mean())
    to_led = np.linalg.norm(shapes.mean[:, None] - shapes.mean[led], axis=2).min(axis=1) * scale
    taper = _falloff(to_led, radius_px)
    fixed = fixed_points(document)
    fixed[led] = False
    free = (taper > 0) & ~fixed & np.isfinite(points_px).all(axis=1)
    free[led] = False
    known = np.concatenate([led, np.flatnonzero(fixed & (taper > 0))])
    moving = np.flatnonzero(free)
    basis = _variation(pose, scale) * taper[:, None, None]
    among = _covariance(basis, known, known, taper, scale)
    among[np.diag_indices_from(among)] += (_HAND * scale) ** 2
    onto = _covariance(basis, moving, known, taper, scale)
    solved = np.linalg.solve(among, onto.T).T[:, : 2 * len(led)]
    return np.concatenate([led, moving]), np.concatenate([np.eye(2 * len(led)), solved])


def fixed_points(document: Document) -> NDArray[np.bool_]:
    """(N,) what a person placed, or confirmed with its contour."""
    fixed = document.placed.copy()
    for name in document.confirmed:
        fixed[list(contour_points(document.topology, name))] = True
    return fixed


def covariance(points_px: Array) -> Array:
    """(956, 956) px^2: how a face's keypoints (478, 2) vary about where they are."""
    pose = fitted_pose(points_px)
    scale = float(np.linalg.norm(pose.picture_from_face, axis=1).mean())
    every, taper = np.arange(len(points_px)), np.ones(len(points_px))
    return _covariance(_variation(pose, scale), every, every, taper, scale)


def _variation(pose: FacePose, scale: float) -> Array:
    """(478, 2, B) px: the directions in which keypoints are off together, one deviation each."""
    shapes = face_shapes()
    picture = pose.picture_from_face
    flat = shapes.mean @ picture.T
    aside, zero = np.full(len(flat), scale), np.zeros(len(flat))
    deep = shapes.mean[:, 2] * scale
    rigid = [
        _SHIFT * np.stack([aside, zero], 1),
        _SHIFT * np.stack([zero, aside], 1),
        _SIZE * flat,
        _ROLL * np.stack([-flat[:, 1], flat[:, 0]], 1),
        _TURN * np.stack([deep, zero], 1),
        _TURN * np.stack([zero, deep], 1),
    ]
    modes = _MODES * (shapes.modes @ picture.T)
    return np.concatenate([np.stack(rigid), modes]).transpose(1, 2, 0)


def _covariance(
    basis: Array, rows: NDArray[np.int64], columns: NDArray[np.int64], taper: Array, scale: float
) -> Array:
    """(2 R, 2 C) px^2."""
    size = basis.shape[2]
    together = basis[rows].reshape(-1, size) @ basis[columns].reshape(-1, size).T
    mean = face_shapes().mean
    square = ((mean[rows, None] - mean[columns]) ** 2).sum(axis=2)
    near = np.exp(-square / (2 * _REMAINDER_REACH**2)) * np.outer(taper[rows], taper[columns])
    return np.asarray(together + np.kron((_REMAINDER * scale) ** 2 * near, np.eye(2)))


def _falloff(distance: Array, radius: float) -> Array:
    """1 at nothing, 0 from the radius on; flat at both, so that nothing kinks."""
    if math.isinf(radius):
        return np.ones_like(distance)
    with np.errstate(invalid="ignore"):
        share = np.minimum(distance, radius) / radius
        return np.where(distance < radius, 0.5 + 0.5 * np.cos(np.pi * share), 0.0)
