"""A tracker's drift taken out of its poses.

With pictures: bundle adjustment (COLMAP's, solved by Ceres) of followed features, the tracker's
poses being priors: each step from frame to frame is known as well as a random walk of the drift
leaves it, each pose roughly. Without: offsets of annotated frames, interpolated in time.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from arsession.cuboid_evidence import Click, PlacedBox
from arsession.tracks import Tracks
from arsession.views import Views
from runtime.errors import ViewfinderError

Array = NDArray[np.float64]

DRIFT_M = 0.02
"""Per square root of a second; ARKit's is about that at worst."""
DRIFT_RAD = 0.005
GRAVITY_SIGMA_RAD = 0.01
FEATURE_SIGMA_PX = 1.0
_LEAST_SIGHTINGS = 4
_LEAST_PARALLAX_RAD = math.radians(1.0)
_FAR_OFF_PX = (60.0, 4.0)
"""Sightings farther from their point are left out of each round, relative to 1920 px."""
_WIDTH_PX = 1920.0
_ITERATIONS = 30


@dataclass(frozen=True)
class Refined:
    """Poses after refinement.

    Attributes:
        world_from_camera: (F, 4, 4).
        before_px, after_px: root mean square distance of features from their points' projections.
        moved_m: (F,) how far each camera moved.
        points, sightings: that were used.
    """

    world_from_camera: Array
    before_px: float
    after_px: float
    moved_m: Array
    points: int
    sightings: int

    def to_json(self) -> dict[str, object]:
        """What is reported."""
        return {
            "reprojection_before_px": round(self.before_px, 3),
            "reprojection_after_px": round(self.after_px, 3),
            "moved_median_m": round(float(np.median(self.moved_m)), 4),
            "moved_most_m": round(float(self.moved_m.max()), 4),
            "points": self.points,
            "sightings": self.sightings,
        }


def refine_poses(
    world_from_camera: Array,
    views: Views,
    timestamps_s: Array,
    tracks: Tracks,
    drift_m: float = DRIFT_M,
    drift_rad: float = DRIFT_RAD,
) -> Refined:
    """Bundle adjustment of a session's poses on features, its own poses being priors.

    Args:
        world_from_camera: (F, 4, 4) the tracker's poses.
        views: the same poses, with the cameras.
        timestamps_s: (F,) rising.
        tracks: features followed through the pictures.
        drift_m, drift_rad: the tracker's drift per square root of a second.

    Raises:
        ViewfinderError: too few features stand still to refine anything.
        ModuleNotFoundError: pycolmap or pyceres isn't installed.
    """
    straight = np.array(tracks.px)
    if any(camera.distortion for camera in views.cameras):
        for frame in np.unique(tracks.frames):
            mine = tracks.frames == frame
            straight[mine] = views.straightened_px(int(frame), tracks.px[mine])
    kept = _long_enough(Tracks(tracks.frames, tracks.points, straight), views)
    limits = np.array(_FAR_OFF_PX) * views.size_px.max() / _WIDTH_PX
    poses, now = world_from_camera, views
    first: Tracks | None = None
    for limit in limits:
        points = triangulated(kept, now)
        off = _distances_px(points, kept, now)
        kept = _enough(kept.kept(off < limit))
        if kept.count < 3 * _LEAST_SIGHTINGS:
            raise ViewfinderError(
                "too few features stand still in these pictures to refine poses",
                expected=f"{3 * _LEAST_SIGHTINGS} points",
                found=kept.count,
            )
        first = first or kept
        priors = _Priors(world_from_camera, timestamps_s, drift_m, drift_rad)
        poses = _bundle(poses, now, kept, triangulated(kept, now), priors)
        now = Views.of_poses(poses, views.cameras)
    before = _distances_px(triangulated(kept, views), kept, views)
    after = _distances_px(triangulated(kept, now), kept, now)
    return Refined(
        poses,
        float(np.sqrt(np.mean(before**2))),
        float(np.sqrt(np.mean(after**2))),
        np.linalg.norm(poses[:, :3, 3] - world_from_camera[:, :3, 3], axis=1),
        kept.count,
        len(kept.frames),
    )


def triangulated(tracks: Tracks, views: Views) -> Array:
    """(P, 3) the points nearest to the rays of their sightings; NaN behind a camera."""
    rays = (tracks.px - views.principal_px[tracks.frames]) / views.focal_px[tracks.frames]
    rays = np.concatenate([rays, np.ones((len(rays), 1))], axis=1)
    rays = np.einsum("oji,oj->oi", views.turns[tracks.frames], rays)
    rays /= np.linalg.norm(rays, axis=1, keepdims=True)
    origins = views.centres_m()[tracks.frames]
    across = np.eye(3) - rays[:, :, None] * rays[:, None]
    pull = np.zeros((tracks.count, 3, 3))
    right = np.zeros((tracks.count, 3))
    np.add.at(pull, tracks.points, across)
    np.add.at(right, tracks.points, np.einsum("oij,oj->oi", across, origins))
    points = np.linalg.solve(pull + 1e-12 * np.eye(3), right[..., None])[..., 0]
    ahead = ((points[tracks.points] - origins) * rays).sum(axis=1)
    points[np.unique(tracks.points[ahead <= 0])] = np.nan
    return np.asarray(points)


def offsets_from_clicks(
    placed: Sequence[tuple[PlacedBox, tuple[Click, ...]]],
    views: Views,
    timestamps_s: Array,
    drift_m: float = DRIFT_M,
) -> Array:
    """By how much each camera must be shifted, (F, 3) metres in the world, for the clicked corners
    to be seen where they were clicked; between annotated frames linear in time, beyond them
    constant, as it is for a random walk.

    Args:
        placed: boxes fitted to all the clicks, and those; corners count, other clicks don't.
        views: the tracker's poses.
        timestamps_s: (F,) rising.
        drift_m: the tracker's drift per square root of a second; how far offsets may be.
    """
    corners = [
        (b.points_world_m()[c.corner], c) for b, cs in placed for c in cs if c.corner is not None
    ]
    frames = sorted({click.frame for _, click in corners})
    if not frames:
        return np.zeros((len(views), 3))
    seconds = max(float(timestamps_s[-1] - timestamps_s[0]), 1e-3)
    information = np.eye(3) / (drift_m**2 * seconds)
    shifts = []
    for frame in frames:
        mine = [(point, click) for point, click in corners if click.frame == frame]
        at = np.array([point for point, _ in mine])
        shifts.append(_shift(at, [click for _, click in mine], views, frame, information))
    known = np.array(shifts)
    at_s = timestamps_s[frames]
    return np.stack([np.interp(timestamps_s, at_s, known[:, i]) for i in range(3)], axis=1)


def _shift(
    points: Array, clicks: Sequence[Click], views: Views, frame: int, information: Array
) -> Array:
    """The camera's shift that brings points to their clicks, held back by what is known before."""
    wanted = views.straightened_px(frame, np.array([click.px for click in clicks]))
    weight = 1 / np.array([click.sigma_px for click in clicks])[:, None]
    focal, turn = views.focal_px[frame], views.turns[frame]
    shift = np.zeros(3)
    for _ in range(5):  # nearly linear
        seen = (points - shift) @ turn.T + views.shifts[frame]
        z = seen[:, 2:]
        px = focal * seen[:, :2] / z + views.principal_px[frame]
        slant = (seen[:, :2] / z)[:, :, None] * turn[2]
        rows = -(focal[:, None] / z[:, :, None]) * (turn[:2] - slant)
        rows = (rows * weight[:, :, None]).reshape(-1, 3)
        miss = ((wanted - px) * weight).reshape(-1)
        pull = rows.T @ rows + information
        shift = shift + np.linalg.solve(pull, rows.T @ miss - information @ shift)
    return shift


@dataclass(frozen=True)
class _Priors:
    world_from_camera: Array
    timestamps_s: Array
    drift_m: float
    drift_rad: float


def _long_enough(tracks: Tracks, views: Views) -> Tracks:
    """Points seen often enough, and from directions that differ."""
    tracks = _enough(tracks)
    if not tracks.count:
        return tracks
    centres = views.centres_m()[tracks.frames]
    points = triangulated(tracks, views)
    rays = centres - points[tracks.points]
    rays /= np.linalg.norm(rays, axis=1, keepdims=True)
    first = np.full(tracks.count, len(tracks.frames))
    np.minimum.at(first, tracks.points, np.arange(len(tracks.frames)))
    apart = np.zeros(tracks.count)
    cosine = (rays * rays[first[tracks.points]]).sum(axis=1)
    np.maximum.at(apart, tracks.points, np.arccos(np.clip(np.nan_to_num(cosine, nan=1.0), -1, 1)))
    return tracks.kept(apart[tracks.points] > _LEAST_PARALLAX_RAD)


def _enough(tracks: Tracks) -> Tracks:
    if not tracks.count:
        return tracks
    often = np.bincount(tracks.points) >= _LEAST_SIGHTINGS
    return tracks.kept(often[tracks.points])


def _distances_px(points: Array, tracks: Tracks, views: Views) -> Array:
    at = np.einsum("oij,oj->oi", views.turns[tracks.frames], points[tracks.points])
    at = at + views.shifts[tracks.frames]
    z = np.where(at[:, 2:] > 0, at[:, 2:], np.nan)
    px = views.focal_px[tracks.frames] * at[:, :2] / z + views.principal_px[tracks.frames]
    return np.nan_to_num(np.linalg.norm(px - tracks.px, axis=1), nan=np.inf)


def _bundle(poses: Array, views: Views, tracks: Tracks, points: Array, priors: _Priors) -> Array:
    import pyceres  # noqa: F401 - pycolmap's solver speaks its types
    import pycolmap

    scene = _scene(views, tracks, points)
    options = pycolmap.BundleAdjustmentOptions()
    options.refine_focal_length = False
    options.refine_principal_point = False
    options.refine_extra_params = False
    options.refine_sensor_from_rig = False
    options.print_summary = False
    options.ceres.loss_function_type = pycolmap.LossFunctionType.CAUCHY
    options.ceres.loss_function_scale = 2 * FEATURE_SIGMA_PX
    options.ceres.solver_options.max_num_iterations = _ITERATIONS
    options.ceres.solver_options.function_tolerance = 1e-6
    config = pycolmap.BundleAdjustmentConfig()
    for image in scene.images:
        config.add_image(image)
    adjuster = pycolmap.create_default_ceres_bundle_adjuster(options, config, scene)
    # A frame in which no feature is seen has no pose among the unknowns, and keeps the tracker's.
    seen = [f for f in range(len(poses)) if (tracks.frames == f).any()]
    problem = adjuster.problem  # this object keeps the priors alive
    _add_priors(problem, scene, seen, priors)
    summary = adjuster.solve()
    if not summary.is_solution_usable():
        raise ViewfinderError("the poses couldn't be refined", found=summary.brief_report())
    refined = np.array(poses)
    for f in seen:
        camera_from_world = np.eye(4)
        camera_from_world[:3] = scene.frames[f + 1].rig_from_world.matrix()
        refined[f] = np.linalg.inv(camera_from_world)
    return refined


def _scene(views: Views, tracks: Tracks, points: Array) -> Any:
    """What COLMAP calls a reconstruction: image and frame f + 1 is our frame f."""
    import pycolmap

    scene = pycolmap.Reconstruction()
    for number, lens in enumerate(views.cameras, 1):
        scene.add_camera_with_trivial_rig(
            pycolmap.Camera(
                camera_id=number,
                model=pycolmap.CameraModelId.PINHOLE,
                width=lens.width,
                height=lens.height,
                params=[lens.fx, lens.fy, lens.cx, lens.cy],
            )
        )
    order = np.lexsort((tracks.points, tracks.frames))
    starts = np.searchsorted(tracks.frames[order], np.arange(len(views) + 1))
    elements: list[list[Any]] = [[] for _ in range(tracks.count)]
    for f in range(len(views)):
        mine = order[starts[f] : starts[f + 1]]
        if not len(mine):
            continue
        camera = 1 + (f if len(views.cameras) > 1 else 0)
        image = pycolmap.Image(
            name=f"{f:06d}", keypoints=tracks.px[mine], camera_id=camera, image_id=f + 1
        )
        rotation = pycolmap.Rotation3d(views.turns[f])
        scene.add_image_with_trivial_frame(image, pycolmap.Rigid3d(rotation, views.shifts[f]))
        for place, point in enumerate(tracks.points[mine]):
            elements[point].append(pycolmap.TrackElement(f + 1, place))
    for point, seen in enumerate(elements):
        scene.add_point3D(points[point], pycolmap.Track(seen))
    return scene


def _add_priors(problem: Any, scene: Any, seen: list[int], priors: _Priors) -> None:
    import pycolmap
    from pycolmap import cost_functions

    # COLMAP's reprojection errors count pixels, so one sigma there is FEATURE_SIGMA_PX here.
    unit = FEATURE_SIGMA_PX**2

    def rigid(matrix: Array) -> Any:
        return pycolmap.Rigid3d(pycolmap.Rotation3d(matrix[:3, :3]), matrix[:3, 3])

    camera_from_world = np.linalg.inv(priors.world_from_camera)
    seconds = max(float(priors.timestamps_s[-1] - priors.timestamps_s[0]), 1e-3)
    far = [GRAVITY_SIGMA_RAD**2] * 3 + [priors.drift_m**2 * seconds] * 3
    params = {f: scene.frames[f + 1].rig_from_world.params for f in seen}
    for f in seen:
        cost = cost_functions.AbsolutePosePriorCost(
            np.diag(far) / unit, rigid(camera_from_world[f])
        )
        problem.add_residual_block(cost, None, [params[f]])
    for f, g in itertools.pairwise(seen):
        step_s = max(float(priors.timestamps_s[g] - priors.timestamps_s[f]), 1e-4)
        walk = [priors.drift_rad**2 * step_s] * 3 + [priors.drift_m**2 * step_s] * 3
        step = rigid(camera_from_world[f] @ priors.world_from_camera[g])
        cost = cost_functions.RelativePosePriorCost(np.diag(walk) / unit, step)
        problem.add_residual_block(cost, None, [params[f], params[g]])
