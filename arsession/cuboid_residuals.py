"""What a box misses its evidence by, in standard deviations, with exact derivatives.

Unknowns are nine: a turn of the box in its own axes (rotation vector, radians, relative to a base
rotation), its centre in world axes (metres), and the logarithms of its sizes.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from arsession.cuboid_evidence import FACES, Evidence, PlacedBox
from arsession.views import Views
from bootstrap.box_overlap import CORNERS, FACE_LOOPS

Array = NDArray[np.float64]
Linear = tuple[Array, Array]
"""Residuals (n,) and their derivatives (n, 9)."""

KEYPOINTS: Array = np.concatenate([np.zeros((1, 3)), CORNERS])
"""(9, 3) of a box of size 1."""

_NEAREST_M = 1e-3
_AFTER = np.array([1, 2, 3, 0])
_ONE = np.eye(3)
_SQUARE_SIGMA = 0.01
_SIZE_SIGMA, _CENTRE_SIGMA_M, _TURN_SIGMA_RAD = 1.0, 5.0, math.pi
"""Of the prior that keeps what no evidence tells finite: sizes within a factor of e, the centre
within 5 m of the first guess, the rotation anything."""
_PRIOR = 1 / np.repeat([_TURN_SIGMA_RAD, _CENTRE_SIGMA_M, _SIZE_SIGMA], 3)
_LOG_SIZES = (-12.0, 8.0)  # a step of the solver may try anything


def skew(v: Array) -> Array:
    """(..., 3, 3) of (..., 3): skew(v) @ x = v x x."""
    crossed = np.zeros((*v.shape, 3))
    crossed[..., 2, 1], crossed[..., 0, 2], crossed[..., 1, 0] = v[..., 0], v[..., 1], v[..., 2]
    return crossed - np.swapaxes(crossed, -1, -2)


def turn_and_derivative(w: Array) -> tuple[Array, Array]:
    """exp(w) and the right Jacobian of the rotation group at w, both (3, 3)."""
    angle = math.sqrt(float(w @ w))
    k = skew(w)
    if angle < 1e-4:  # two terms of the series are exact to 1e-16
        a, b, c = 1 - angle**2 / 6, 0.5 - angle**2 / 24, 1 / 6 - angle**2 / 120
    else:
        a = math.sin(angle) / angle
        b = (1 - math.cos(angle)) / angle**2
        c = (angle - math.sin(angle)) / angle**3
    square = k @ k
    return _ONE + a * k + b * square, _ONE - b * k + c * square


def points_and_derivative(box: PlacedBox, right: Array | None = None) -> tuple[Array, Array]:
    """The nine keypoints in the world, (9, 3), and their derivatives by the unknowns, (9, 3, 9).

    Args:
        box: where they are taken.
        right: the right Jacobian at the turn so far; None for no turn.
    """
    local = KEYPOINTS * box.size_m
    points = box.centre_m + local @ box.rotation.T
    slope = np.empty((9, 3, 9))
    by_turn = -box.rotation @ skew(local)
    slope[:, :, :3] = by_turn if right is None else by_turn @ right
    slope[:, :, 3:6] = np.eye(3)
    slope[:, :, 6:] = box.rotation * local[:, None]
    return points, slope


class Residuals:
    """Everything that pulls on one box, around a base rotation.

    Args:
        evidence: checked.
        views: the session's cameras.
        guess: the box that the fit begins at; the weak prior and the base rotation are its.
        reach_m: points of the cloud that are farther from the guess's surface are left out.
    """

    def __init__(
        self, evidence: Evidence, views: Views, guess: PlacedBox, reach_m: float = 0.0
    ) -> None:
        self._evidence, self._guess = evidence, guess
        self._start = np.concatenate([np.zeros(3), guess.centre_m, np.log(guess.size_m)])
        clicks = evidence.clicks
        frames = np.array([click.frame for click in clicks])
        self._turns, self._shifts = views.turns[frames], views.shifts[frames]
        self._focal = views.focal_px[frames]
        straight = np.stack([views.straightened_px(c.frame, np.array(c.px)) for c in clicks])
        self._px = straight - views.principal_px[frames]
        self._sigma = np.array([click.sigma_px for click in clicks])
        self._corner = np.array([i for i, c in enumerate(clicks) if c.corner is not None], int)
        self._corner_of = np.array([c.corner for c in clicks if c.corner is not None], int)
        self._edge = np.array([i for i, c in enumerate(clicks) if c.edge is not None], int)
        self._edge_of = np.array([c.edge for c in clicks if c.edge is not None], int).reshape(-1, 2)
        self._face = np.array([i for i, c in enumerate(clicks) if c.face is not None], int)
        self._face_of = np.array([FACES.index(c.face) for c in clicks if c.face is not None], int)
        self._cloud = self._near_points(guess, reach_m)
        self._surface = self._clicked_points()
        self._last: tuple[Array, Linear] | None = None

    @property
    def near_points(self) -> int:
        """How many points of the cloud count."""
        return len(self._cloud)

    def start(self) -> Array:
        """The unknowns at the guess, (9,)."""
        return self._start.copy()

    def box(self, x: Array) -> PlacedBox:
        """The box that unknowns stand for."""
        return self._box(x, turn_and_derivative(x[:3])[0])

    def _box(self, x: Array, turn: Array) -> PlacedBox:
        size_m = np.exp(np.minimum(np.maximum(x[6:], _LOG_SIZES[0]), _LOG_SIZES[1]))
        return PlacedBox(self._guess.rotation @ turn, x[3:6].copy(), size_m)

    def values(self, x: Array) -> Array:
        """(n,) in standard deviations."""
        return self._both(x)[0]

    def slopes(self, x: Array) -> Array:
        """(n, 9) derivatives of `values`."""
        return self._both(x)[1]

    def click_errors_px(self, x: Array) -> Array:
        """(clicks,) by how many pixels the box misses each click, as the click counts it."""
        values = self.values(x)  # those of clicks come first
        errors = np.zeros(len(self._px))
        n = 2 * len(self._corner)
        errors[self._corner] = np.linalg.norm(values[:n].reshape(-1, 2), axis=1)
        errors[self._edge] = np.abs(values[n : n + len(self._edge)])
        first = n + len(self._edge)
        errors[self._face] = values[first : first + len(self._face)]
        return errors * self._sigma

    def _both(self, x: Array) -> Linear:
        if self._last is not None and np.array_equal(self._last[0], x):
            return self._last[1]
        turn, right = turn_and_derivative(x[:3])
        box = self._box(x, turn)
        points = points_and_derivative(box, right)
        # What there is none of is left out: this runs several times for each move of a drag.
        parts = [self._corners(*points)] if len(self._corner) else []
        parts += [self._edges(*points)] if len(self._edge) else []
        parts += [self._faces(*points)] if len(self._face) else []
        parts += [self._on_faces(box, right)] if len(self._surface[0]) else []
        parts += [self._on_cloud(box, right)] if len(self._cloud) else []
        parts += [self._stands(box, right), self._prior(x)]
        both = np.concatenate([p[0] for p in parts]), np.concatenate([p[1] for p in parts])
        self._last = x.copy(), both
        return both

    def _seen(self, which: Array, points: Array, slope: Array) -> Linear:
        """Pixels from the principal point (k, m, 2) of world points (k, m, 3); (k, m, 2, 9)."""
        turn = self._turns[which]
        at = points @ turn.transpose(0, 2, 1) + self._shifts[which][:, None]
        by = turn[:, None] @ slope
        z = np.maximum(at[..., 2:], _NEAREST_M)
        focal = self._focal[which][:, None]
        px = focal * at[..., :2] / z
        by_px = (focal / z)[..., None] * by[..., :2, :] - (px / z)[..., None] * by[..., 2:, :]
        return px, by_px

    def _px_of(self, which: Array, points: Array) -> Array:
        """As `_seen`, without the derivatives."""
        turn = self._turns[which]
        at = points @ turn.transpose(0, 2, 1) + self._shifts[which][:, None]
        return np.asarray(
            self._focal[which][:, None] * at[..., :2] / np.maximum(at[..., 2:], _NEAREST_M)
        )

    def _corners(self, points: Array, slope: Array) -> Linear:
        which = self._corner_of
        px, by = self._seen(self._corner, points[which][:, None], slope[which][:, None])
        sigma = self._sigma[self._corner]
        return (
            ((px[:, 0] - self._px[self._corner]) / sigma[:, None]).ravel(),
            (by[:, 0] / sigma[:, None, None]).reshape(-1, 9),
        )

    def _edges(self, points: Array, slope: Array) -> Linear:
        px, by = self._seen(self._edge, points[self._edge_of], slope[self._edge_of])
        off, by_off = _off_line(px[:, 0], px[:, 1], by[:, 0], by[:, 1], self._px[self._edge])
        sigma = self._sigma[self._edge]
        return off / sigma, by_off / sigma[:, None]

    def _faces(self, points: Array, slope: Array) -> Linear:
        """How far a click lies outside the face's outline; 0 inside."""
        loops = FACE_LOOPS[self._face_of] + 1
        px, at = self._px_of(self._face, points[loops]), self._px[self._face]
        after = px[:, _AFTER]
        area = (px[..., 0] * after[..., 1] - px[..., 1] * after[..., 0]).sum(axis=1)
        along = after - px
        beside = (
            along[..., 0] * (at[:, None] - px)[..., 1] - along[..., 1] * (at[:, None] - px)[..., 0]
        )
        length = np.maximum(np.sqrt((along**2).sum(axis=2)), 1e-9)
        outwards = -np.where(area > 0, 1.0, -1.0)
        outside = beside / length * outwards[:, None]
        edge = outside.argmax(axis=1)
        values, slopes = np.zeros(len(edge)), np.zeros((len(edge), 9))
        # Mostly it is inside, and nothing pulls.
        k = np.flatnonzero(outside[np.arange(len(edge)), edge] > 0)
        if len(k):
            ends = loops[k[:, None], np.stack([edge[k], _AFTER[edge[k]]], axis=1)]
            p, by = self._seen(self._face[k], points[ends], slope[ends])
            off, by_off = _off_line(p[:, 0], p[:, 1], by[:, 0], by[:, 1], at[k])
            weight = outwards[k] / self._sigma[self._face[k]]
            values[k], slopes[k] = off * weight, by_off * weight[:, None]
        return values, slopes

    def _clicked_points(self) -> tuple[Array, NDArray[np.intp], Array, Array]:
        """World points under face clicks with depth: (n, 3), axis, side and sigma (n,)."""
        clicks = self._evidence.clicks
        rows = [i for i, f in zip(self._face, self._face_of) if clicks[i].depth_m is not None]
        faces = [f for i, f in zip(self._face, self._face_of) if clicks[i].depth_m is not None]
        depth = np.array([clicks[i].depth_m for i in rows], dtype=np.float64)[:, None]
        rays = np.concatenate([self._px[rows] / self._focal[rows], np.ones((len(rows), 1))], axis=1)
        turns = self._turns[rows].transpose(0, 2, 1)
        at = np.einsum("kij,kj->ki", turns, rays * depth - self._shifts[rows])
        side = np.array(faces, dtype=np.intp)
        sigma = np.array([clicks[i].depth_sigma_m for i in rows], dtype=np.float64)
        return at, side // 2, 2.0 * (side % 2) - 1, sigma

    def _on_faces(self, box: PlacedBox, right: Array) -> Linear:
        at, axis, side, sigma = self._surface
        pull = np.eye(3)[axis] * side[:, None]
        return _distance_slopes(at, pull, -box.size_m[axis] / 2, axis, box, right, sigma)

    def _near_points(self, box: PlacedBox, reach_m: float) -> Array:
        evidence = self._evidence
        if evidence.cloud_world_m is None or not len(evidence.cloud_world_m):
            return np.empty((0, 3))
        cloud = evidence.cloud_world_m
        if evidence.plane is not None:  # what the box stands on is no part of it
            assert evidence.up_world is not None
            floor = evidence.plane.height_m + 2 * evidence.cloud_sigma_m
            cloud = cloud[cloud @ evidence.up_world > floor]
        distance, *_ = _surface_distance(cloud, box)
        return cloud[np.abs(distance) < reach_m]

    def _on_cloud(self, box: PlacedBox, right: Array) -> Linear:
        distance, pull, offset, axis = _surface_distance(self._cloud, box)
        sigma = np.full(len(distance), self._evidence.cloud_sigma_m)
        return _distance_slopes(self._cloud, pull, offset, axis, box, right, sigma)

    def _stands(self, box: PlacedBox, right: Array) -> Linear:
        """Upright, on the plane, as wide as deep."""
        evidence = self._evidence
        values, slopes = [], []
        if evidence.up_world is not None:
            up = evidence.up_world @ box.rotation  # in box axes; upright: 0, 1, 0
            by_up = skew(up) @ right
            # cross(y, up): also right for a box upside down at first, which 1 - up.y wouldn't be
            for row, sign in ((2, 1.0), (0, -1.0)):
                values.append(sign * up[row] / evidence.upright_sigma_rad)
                slope = np.zeros(9)
                slope[:3] = sign * by_up[row] / evidence.upright_sigma_rad
                slopes.append(slope)
            if evidence.plane is not None:
                foot = np.array([0.0, -box.size_m[1] / 2, 0.0])
                at = evidence.up_world @ (box.centre_m + box.rotation @ foot)
                slope = np.zeros(9)
                slope[:3] = -evidence.up_world @ box.rotation @ skew(foot) @ right
                slope[3:6] = evidence.up_world
                slope[7] = up[1] * foot[1]
                values.append((at - evidence.plane.height_m) / evidence.plane.sigma_m)
                slopes.append(slope / evidence.plane.sigma_m)
        if evidence.symmetry == "square":
            values.append(math.log(box.size_m[0] / box.size_m[2]) / _SQUARE_SIGMA)
            slopes.append(np.array([0, 0, 0, 0, 0, 0, 1, 0, -1]) / _SQUARE_SIGMA)
        return np.array(values), np.array(slopes).reshape(-1, 9)

    def _prior(self, x: Array) -> Linear:
        return (x - self._start) * _PRIOR, np.diag(_PRIOR)


def _off_line(p: Array, q: Array, by_p: Array, by_q: Array, at: Array) -> Linear:
    """Signed distance (...) of points from lines through p and q, all (..., 2); (..., 9)."""
    along = q - p
    length = np.maximum(np.linalg.norm(along, axis=-1, keepdims=True), 1e-9)
    along = along / length
    normal = np.stack([-along[..., 1], along[..., 0]], axis=-1)
    share = ((along * (at - p)).sum(axis=-1, keepdims=True) / length)[..., None]
    off = (normal * (at - p)).sum(axis=-1)
    by_foot = (1 - share) * by_p + share * by_q
    return off, -np.einsum("...i,...in->...n", normal, by_foot)


def _surface_distance(
    points: Array, box: PlacedBox
) -> tuple[Array, Array, Array, NDArray[np.intp]]:
    """Signed distance of world points from a box's surface, positive outside.

    Near corners and edges the nearest face counts, which is as good for points that lie on it.

    Returns:
        Distance (n,), its derivative by the point in box axes (n, 3), what it adds to the point's
        coordinate along that (n,), and the face's axis (n,).
    """
    local = (points - box.centre_m) @ box.rotation
    beyond = np.abs(local) - box.size_m / 2
    axis = beyond.argmax(axis=1)
    side = np.where(np.take_along_axis(local, axis[:, None], 1)[:, 0] < 0, -1.0, 1.0)
    pull = np.eye(3)[axis] * side[:, None]
    return beyond.max(axis=1, initial=-np.inf), pull, -box.size_m[axis] / 2, axis


def _distance_slopes(
    points: Array,
    pull: Array,
    offset: Array,
    axis: NDArray[np.intp],
    box: PlacedBox,
    right: Array,
    sigma: Array,
) -> Linear:
    """Residuals of `pull @ (point in box axes) + offset`, the offset being minus half a size."""
    local = (points - box.centre_m) @ box.rotation
    slope = np.zeros((len(points), 9))
    slope[:, :3] = np.einsum("ni,nij->nj", pull, skew(local)) @ right
    slope[:, 3:6] = -pull @ box.rotation.T
    slope[np.arange(len(points)), 6 + axis] = offset
    distance = (pull * local).sum(axis=1) + offset
    return distance / sigma, slope / sigma[:, None]
