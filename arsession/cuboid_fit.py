"""The box that fits its evidence best, and how sure each of its nine degrees of freedom is."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from arsession.cuboid_evidence import Evidence, PlacedBox
from arsession.cuboid_residuals import KEYPOINTS, Residuals
from arsession.views import Views
from runtime.errors import ViewfinderError

Array = NDArray[np.float64]

ROBUST_FROM = 3.0
"""Standard deviations beyond which a residual pulls no harder (Huber)."""
_GUESS_SIZE = 0.3
_GUESS_DISTANCE_M = 1.0
_STARTS = 8
_NO_BASELINE_M = 0.01
_OPEN = 1e-6
_BAD_FIT, _HOPELESS_FIT = 4.0, 100.0
_REACHES_M = (0.0, 0.2, 0.1, 0.05, 0.03, 0.03)
"""With a cloud: which points lie near the box depends on the box, so it is drawn in by and by."""
_POINT_WORTH = ROBUST_FROM**2 / 2
_MOST_EVALUATIONS, _SOME_EVALUATIONS = 60, 10
_MOST_STEPS, _LONGEST_STEP = 8, 0.5
_SMALL_STEP = 1e-4
"""Of the step in standard deviations, squared: what nobody sees."""


@dataclass(frozen=True)
class Fit:
    """A fitted box.

    Attributes:
        box: in the session's world.
        covariance: (9, 9): a turn in the box's own axes (radians), the centre in world axes
            (metres), logarithms of the sizes. Already enlarged where residuals are larger than
            the evidence's own sigmas explain.
        misfit: chi square per degree of freedom; 1 where the evidence agrees with itself.
        click_errors_px: (clicks,) how far the box is from each click.
        cost: half the sum of the robust squared residuals, less what points near it are worth:
            smaller is better among fits to the same evidence.
    """

    box: PlacedBox
    covariance: Array
    misfit: float
    click_errors_px: Array
    cost: float

    def sigmas(self) -> dict[str, list[float]]:
        """One standard deviation of each degree of freedom, for people.

        `rotation_deg` about the box's x, y and z; `centre_m` along the world's axes; `size_m`
        along the box's.
        """
        sigma = np.sqrt(np.diag(self.covariance))
        return {
            "rotation_deg": np.rad2deg(sigma[:3]).round(4).tolist(),
            "centre_m": sigma[3:6].round(6).tolist(),
            "size_m": (sigma[6:] * self.box.size_m).round(6).tolist(),
        }


def fit_box(evidence: Evidence, views: Views, start: PlacedBox | None = None) -> Fit:
    """Fit a box to everything that is known of it.

    Args:
        evidence: clicks and what they are snapped to.
        views: the session's cameras.
        start: the box before the last edit, or a proposal; without it one is found.

    Raises:
        ViewfinderError: a click that can't be, or no box before the camera fits.
    """
    evidence.check(len(views))
    candidates = []
    if start is not None:
        candidates.append(_refined(evidence, views, start, near=True))
    point = near_point(evidence, views)
    if start is None or candidates[0].misfit > _BAD_FIT:
        guess = _linear_guess(evidence, views, point)
        if guess is not None:
            candidates.append(_refined(evidence, views, guess))
    # Slow: only for a first fit that has nothing better to begin with.
    if start is None and (not candidates or candidates[0].misfit > _HOPELESS_FIT):
        guesses = _turned_guesses(evidence, views, point)
        candidates += [_refined(evidence, views, guess) for guess in guesses]
    best = min(candidates, key=lambda fit: fit.cost)
    frames = sorted({click.frame for click in evidence.clicks})
    ahead = (best.box.centre_m @ views.turns[frames].transpose(0, 2, 1) + views.shifts[frames])[
        :, 2
    ]
    if not np.isfinite(best.covariance).all() or not (ahead > 0).any():
        raise ViewfinderError(
            "no box before the camera fits these clicks",
            field="clicks",
            hint="check which corner each click names",
        )
    return best


def _refined(evidence: Evidence, views: Views, start: PlacedBox, near: bool = False) -> Fit:
    from scipy.optimize import least_squares

    guess = start
    cloud = evidence.cloud_world_m is not None and len(evidence.cloud_world_m) > 0
    reaches = (_REACHES_M[-2:] if near else _REACHES_M) if cloud else (0.0,)
    for reach in reaches:
        residuals = Residuals(evidence, views, guess, reach)
        solved = least_squares(
            residuals.values,
            residuals.start(),
            residuals.slopes,
            loss="huber",
            f_scale=ROBUST_FROM,
            max_nfev=_MOST_EVALUATIONS if reach == reaches[-1] else _SOME_EVALUATIONS,
            x_scale="jac",
        )
        guess = residuals.box(solved.x)
    # solved.jac is weighted by the loss: J^T J is the information that is left.
    return _told(residuals, solved.x, solved.jac.T @ solved.jac, float(solved.cost))


def _told(residuals: Residuals, x: Array, information: Array, cost: float) -> Fit:
    """What a solution says; `cost` is half the sum of the robust squared residuals."""
    try:
        covariance = np.linalg.inv(information)
    except np.linalg.LinAlgError:
        covariance = np.full((9, 9), np.inf)
    freedom = max(len(residuals.values(x)) - 18, 1)  # the prior's nine residuals aren't evidence
    misfit = 2 * cost / freedom
    covariance = covariance * max(1.0, misfit)
    return Fit(
        residuals.box(x),
        (covariance + covariance.T) / 2,
        misfit,
        residuals.click_errors_px(x),
        # Else a box without points near it would have nothing to answer for.
        cost - _POINT_WORTH * residuals.near_points,
    )


def follow_box(evidence: Evidence, views: Views, start: PlacedBox) -> Fit:
    """`fit_box` for a click that is being dragged: a few steps from the box as it was just now.

    The same optimum in a third of the time, a point cloud left out; where the steps don't lead
    there, `fit_box` is asked.

    Args:
        evidence: checked before.
        views: the session's cameras.
        start: near the answer.

    Raises:
        ViewfinderError: no box before the camera fits.
    """
    residuals = Residuals(evidence, views, start)
    x = residuals.start()
    for _ in range(_MOST_STEPS):
        values, slopes = residuals.values(x), residuals.slopes(x)
        weights = _weights(values)
        information, pull = slopes.T @ (slopes * weights[:, None]), (values * weights) @ slopes
        step = np.linalg.solve(information, -pull)
        if not np.isfinite(step).all() or np.abs(step).max() > _LONGEST_STEP:
            return fit_box(evidence, views, start)
        if float(step @ information @ step) < _SMALL_STEP:
            return _told(residuals, x, information, _huber(values))
        x = _lower(residuals, x, pull, step)
    return fit_box(evidence, views, residuals.box(x))


def _lower(residuals: Residuals, x: Array, pull: Array, step: Array) -> Array:
    """Where a step leads that makes the robust cost smaller.

    Args:
        residuals: what is fitted.
        x: where one is.
        pull: the cost's derivatives there.
        step: the weighted one. It converges slowly where residuals are near the bend: Newton's
            says where the cost is least if each stays on its side of it (Madsen and Nielsen 1990).
    """
    values, slopes = residuals.values(x), residuals.slopes(x)
    straight = np.abs(values) <= ROBUST_FROM
    cost = _huber(values)
    if not straight.all():
        bold = np.linalg.solve(slopes[straight].T @ slopes[straight], -pull)
        if np.abs(bold).max() < _LONGEST_STEP and _huber(residuals.values(x + bold)) < cost:
            return x + bold
    there = residuals.values(x + step)
    if _huber(there) <= cost:
        return x + step
    # Clicks on faces pull from the outline on: a step into it, or out of it, can go too far.
    before = float(pull @ step)
    after = float((there * _weights(there)) @ residuals.slopes(x + step) @ step)
    return x + step * (before / (before - after))


def _weights(values: Array) -> Array:
    return np.asarray(np.minimum(1.0, ROBUST_FROM / np.maximum(np.abs(values), 1e-12)))


def _huber(values: Array) -> float:
    size = np.abs(values)
    beyond = size > ROBUST_FROM
    cost = np.where(beyond, 2 * ROBUST_FROM * size - ROBUST_FROM**2, size**2)
    return float(cost.sum()) / 2


def near_point(evidence: Evidence, views: Views) -> Array:
    """Roughly where the box is, (3,): where rays through the clicks meet the plane, each other, or
    the cloud."""
    frames = np.array([click.frame for click in evidence.clicks])
    px = np.stack([views.straightened_px(c.frame, np.array(c.px)) for c in evidence.clicks])
    rays = (px - views.principal_px[frames]) / views.focal_px[frames]
    rays = np.concatenate([rays, np.ones((len(rays), 1))], axis=1)
    rays = np.einsum("kji,kj->ki", views.turns[frames], rays)
    rays /= np.linalg.norm(rays, axis=1, keepdims=True)
    origins = views.centres_m()[frames]
    up, plane = evidence.up_world, evidence.plane
    if plane is not None and up is not None:
        down = rays @ up
        reach = (plane.height_m - origins @ up) / np.where(np.abs(down) > 1e-6, down, 1e-6)
        if (reach > 0).any():
            return np.asarray((origins + reach[:, None] * rays)[reach > 0].mean(axis=0))
    across = np.eye(3) - rays[:, :, None] * rays[:, None]
    far = origins + _GUESS_DISTANCE_M * rays
    cloud = evidence.cloud_world_m
    if cloud is not None and len(cloud):
        nearest = [
            cloud[np.linalg.norm((cloud - o) @ a, axis=1).argmin()] for o, a in zip(origins, across)
        ]
        far = np.stack(nearest)
    if np.ptp(origins, axis=0).max() < _NO_BASELINE_M:
        return np.asarray(far.mean(axis=0))
    weak = 1e-3 * np.eye(3)
    pull = across.sum(axis=0) + weak
    return np.linalg.solve(pull, np.einsum("kij,kj->i", across, origins) + weak @ far.mean(axis=0))


def _linear_guess(evidence: Evidence, views: Views, near: Array) -> PlacedBox | None:
    """Centre and three half edges, free to be askew, from linear equations; None if too few."""
    clicks = [click for click in evidence.clicks if click.corner is not None]
    if len({(c.frame, c.corner) for c in clicks}) < 4:
        return None
    origin = views.centres_m()[clicks[0].frame]
    rows, right = [], []
    for click in clicks:
        f = click.frame
        straight = views.straightened_px(f, np.array(click.px))
        xy = (straight - views.principal_px[f]) / views.focal_px[f]
        shift = views.turns[f] @ origin + views.shifts[f]
        weights = np.concatenate([[1.0], 2 * KEYPOINTS[click.corner]])
        for axis in range(2):
            normal = views.turns[f][axis] - xy[axis] * views.turns[f][2]
            rows.append(np.kron(weights, normal))
            right.append(xy[axis] * shift[2] - shift[axis])
    if evidence.up_world is not None:
        up = evidence.up_world
        rows += [np.kron(np.eye(4)[i], up) for i in (1, 3)]
        rows += [np.kron(np.eye(4)[2], side) for side in np.linalg.svd(up[None])[2][1:]]
        right += [0.0] * 4
        if evidence.plane is not None:
            rows.append(np.kron([1.0, 0, -1, 0], up))
            right.append(evidence.plane.height_m - up @ origin)
    system, known = np.array(rows), np.array(right)
    _, values, vectors = np.linalg.svd(system)
    scale_open = np.abs(known).max() < _OPEN  # one frame and no plane
    needed = 11 if scale_open else 12
    if len(values) < needed or values[needed - 1] < _OPEN * values[0]:
        return None
    if scale_open:
        forwards = views.turns[clicks[0].frame][2]
        solved = vectors[-1].reshape(4, 3)
        factor = np.linalg.norm(near - origin) / np.linalg.norm(solved[0])
        solved = solved * math.copysign(factor, forwards @ solved[0])
    else:
        solved = np.linalg.lstsq(system, known, rcond=None)[0].reshape(4, 3)
    return _squared(origin + solved[0], solved[1:].T)


def _squared(centre: Array, half_edges: Array) -> PlacedBox | None:
    lengths = np.linalg.norm(half_edges, axis=0)
    if not (lengths > 1e-4).all() or not np.isfinite(half_edges).all():
        return None
    left, _, right = np.linalg.svd(half_edges / lengths)
    left[:, 2] *= np.linalg.det(left @ right)
    rotation = left @ right
    size = 2 * np.maximum(np.abs((rotation * half_edges).sum(axis=0)), 1e-3)
    return PlacedBox(rotation, centre, size)


def _turned_guesses(evidence: Evidence, views: Views, near: Array) -> list[PlacedBox]:
    """Boxes of one size around a point, turned about the up axis by eighths of a circle."""
    from scipy.spatial.transform import Rotation

    up = evidence.up_world
    if up is None:  # as the first clicked frame shows it
        up = -views.turns[evidence.clicks[0].frame][1]
    lift, _ = Rotation.align_vectors(up[None], [[0.0, 1.0, 0.0]])
    away = float(np.linalg.norm(near - views.centres_m()[evidence.clicks[0].frame]))
    size = np.full(3, max(_GUESS_SIZE * away, 0.01))
    centre = near + up * size[1] / 2 if evidence.plane is not None else near
    yaws = 2 * math.pi * np.arange(_STARTS) / _STARTS
    turns = (lift * Rotation.from_euler("y", yaws[:, None])).as_matrix()
    return [PlacedBox(turn, centre, size) for turn in turns]
