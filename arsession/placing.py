"""A file's boxes placed in their session: planes and clouds found, drift taken out, all fitted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from arsession.cuboid_evidence import Evidence, PlaneSnap, plane_height_m
from arsession.cuboid_file import Cuboid
from arsession.cuboid_fit import Fit, fit_box, near_point
from arsession.drift import offsets_from_clicks, refine_poses
from arsession.propagate import mean_expected_px, next_frames, propagate
from arsession.session import Plane, Session
from arsession.tracks import follow_features
from arsession.views import Views
from runtime.errors import ViewfinderError

Array = NDArray[np.float64]
DriftFrom = Literal["none", "pictures", "annotations"]

_CLOUD_RADIUS_M = 1.0
_MOST_POINTS = 2000
_ROUNDS = 4
_SAME_COST = 1.0


@dataclass(frozen=True)
class Placed:
    """A session's boxes, fitted.

    Attributes:
        world_from_camera: (F, 4, 4) the poses that they were fitted with.
        views: the same, with the cameras.
        cuboids: as in the file, each with its box and what the fit says.
        covariances: one a box; None for a box that was given, not fitted.
        planes: what each stands on, None for nothing.
        drift: what was done about it, before and after.
    """

    world_from_camera: Array
    views: Views
    cuboids: tuple[Cuboid, ...]
    covariances: tuple[Array | None, ...]
    planes: tuple[PlaneSnap | None, ...]
    drift: dict[str, Any]


def place(
    session: Session,
    cuboids: tuple[Cuboid, ...],
    file: Path,
    drift_from: DriftFrom = "none",
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Placed:
    """Fit every box of a file.

    Args:
        session: that they stand in.
        cuboids: of the file.
        file: for errors.
        drift_from: "pictures" refines the poses on image features, "annotations" shifts them to
            where annotated frames want them, between them linear in time.
        progress: called with pictures looked at and in all.

    Raises:
        ViewfinderError: a click or plane that can't be; the message names box and field.
    """
    poses, views = session.world_from_camera, Views.of(session)
    before = _fitted(session, views, cuboids, file)
    report: dict[str, Any] = {"from": drift_from}
    if drift_from == "none":
        return _placed(poses, views, before, report)
    report["misfit_before"] = _mean_misfit(before)
    if drift_from == "pictures":
        if session.pictures is None:
            raise ViewfinderError(
                "poses can't be refined without pictures", file=session.path, field="--drift"
            )
        tracks = follow_features(session.pictures, len(views), progress)
        refined = refine_poses(poses, views, session.timestamps_s, tracks)
        report |= refined.to_json()
        poses = refined.world_from_camera
        views = Views.of_poses(poses, session.cameras)
        after = _fitted(session, views, cuboids, file)
    else:
        tracker, after = views, before
        for _ in range(_ROUNDS):
            placed = [(fit.box, one.clicks) for one, fit, _ in after if fit is not None]
            offsets = offsets_from_clicks(placed, tracker, session.timestamps_s)
            poses = session.world_from_camera.copy()
            poses[:, :3, 3] += offsets
            views = Views.of_poses(poses, session.cameras)
            after = _fitted(session, views, cuboids, file)
        report["moved_most_m"] = round(float(np.linalg.norm(offsets, axis=1).max()), 4)
    report["misfit_after"] = _mean_misfit(after)
    return _placed(poses, views, after, report)


_Result = tuple[Cuboid, Fit | None, PlaneSnap | None]


def _fitted(
    session: Session, views: Views, cuboids: tuple[Cuboid, ...], file: Path
) -> list[_Result]:
    results = []
    for number, cuboid in enumerate(cuboids):
        try:
            results.append(fit_cuboid(session, views, cuboid))
        except ViewfinderError as error:
            raise ViewfinderError(
                error.problem, file=file, field=f"cuboids[{number}].{error.field or 'clicks'}",
                expected=error.expected, found=error.found, hint=error.hint,
            ) from None  # fmt: skip
    return results


def fit_cuboid(session: Session, views: Views, cuboid: Cuboid) -> _Result:
    """One box of a session: as it is, its fit, and the plane it stands on.

    Returns:
        The box; its fit, None for one without clicks; the plane, None for nothing.

    Raises:
        ViewfinderError: a click or plane that can't be, or no box fits.
    """
    if not cuboid.clicks:
        return cuboid, None, None
    up = session.up_world if cuboid.upright else None
    evidence = Evidence(cuboid.clicks, up_world=up, symmetry=cuboid.symmetry)
    evidence.check(len(views))
    if cuboid.cloud:
        evidence = replace(evidence, cloud_world_m=_cloud_near(session, views, evidence))
    if isinstance(cuboid.plane, PlaneSnap):
        evidence = replace(evidence, plane=cuboid.plane)
        return cuboid, fit_box(evidence, views, cuboid.box), cuboid.plane
    if cuboid.plane is None or (cuboid.plane == "auto" and up is None):
        return cuboid, fit_box(evidence, views, cuboid.box), None
    if up is None:
        raise ViewfinderError("a plane needs the recording's up axis", field="plane")
    planes = [p for p in session.planes if cuboid.plane in ("auto", p.identifier)]
    if not planes and cuboid.plane != "auto":
        names = ", ".join(p.identifier for p in session.planes[:8]) or "no planes"
        raise ViewfinderError(
            "no such plane", field="plane", expected=names, found=repr(cuboid.plane)
        )
    return _on_best_plane(views, cuboid, evidence, planes, up)


def _on_best_plane(
    views: Views, cuboid: Cuboid, evidence: Evidence, planes: list[Plane], up: Array
) -> _Result:
    start = cuboid.box
    if len({click.frame for click in cuboid.clicks}) > 1:  # they alone tell where the box is
        start = fit_box(evidence, views, start).box
    choices: list[tuple[float, float, Fit, PlaneSnap]] = []
    for plane in planes:
        try:
            snap = PlaneSnap(plane_height_m(plane.centre_world_m, plane.normal_world, up))
            fit = fit_box(replace(evidence, plane=snap), views, start)
        except ViewfinderError:
            if cuboid.plane != "auto":
                raise
            continue
        # One frame says nothing about the plane: then it is the highest under the box.
        off = 0.0 if stands_within(fit.box.centre_m, plane, up) else 1e6
        choices.append((_SAME_COST * round(fit.cost / _SAME_COST) + off, -snap.height_m, fit, snap))
    if not choices:
        return cuboid, fit_box(evidence, views, cuboid.box), None
    _, _, fit, snap = min(choices, key=lambda choice: choice[:2])
    return cuboid, fit, snap


def stands_within(at_world_m: Array, plane: Plane, up: Array) -> bool:
    """Whether a place, (3,), lies above or below the plane's outline; True where unknown."""
    outline = plane.boundary_world_m
    if len(outline) < 3:
        return True
    sides = np.linalg.svd(up[None])[2][1:]
    corners = (outline - at_world_m) @ sides.T
    after = np.roll(corners, -1, axis=0)
    crosses = (corners[:, 1] > 0) != (after[:, 1] > 0)
    rise = np.where(crosses, after[:, 1] - corners[:, 1], 1.0)
    at = corners[:, 0] - corners[:, 1] * (after[:, 0] - corners[:, 0]) / rise
    return bool((crosses & (at > 0)).sum() % 2)


def _cloud_near(session: Session, views: Views, evidence: Evidence) -> Array:
    """The tracker's points within a metre of where the clicks put the box."""
    points = session.points_world_m
    if not len(points):
        raise ViewfinderError("the recording has no points to snap to", field="cloud")
    centre = near_point(replace(evidence, cloud_world_m=points), views)
    near = points[np.linalg.norm(points - centre, axis=1) < _CLOUD_RADIUS_M]
    return near[:: max(1, -(-len(near) // _MOST_POINTS))]


def _mean_misfit(results: list[_Result]) -> float | None:
    values = [fit.misfit for _, fit, _ in results if fit is not None]
    return round(float(np.mean(values)), 3) if values else None


def _placed(poses: Array, views: Views, results: list[_Result], report: dict[str, Any]) -> Placed:
    cuboids = []
    for cuboid, fit, _ in results:
        if fit is None:
            cuboids.append(cuboid)
            continue
        seen = propagate(fit.box, views, fit.covariance)
        said = {
            "misfit": round(fit.misfit, 3),
            "sigmas": fit.sigmas(),
            "expected_px": round(mean_expected_px(seen), 3),
            "click_errors_px": fit.click_errors_px.round(2).tolist(),
            "next_frames": [
                {"frame": one.frame, "gain_bits": round(one.gain_bits, 2),
                 "expected_px": round(one.expected_px, 3)}
                for one in next_frames(fit, views)[:3]
            ],
        }  # fmt: skip
        cuboids.append(replace(cuboid, box=fit.box, fit=said))
    return Placed(
        poses,
        views,
        tuple(cuboids),
        tuple(None if fit is None else fit.covariance for _, fit, _ in results),
        tuple(snap for _, _, snap in results),
        report,
    )
