"""How well boxes are carried through a session, by simulation; geometry alone, no pictures.

270 frames at 30 a second, 1920x1440, f = 1600 px, a 150 degree arc at 1 m around an upright box of
0.1 to 0.4 m; clicks on eight corners with 2 px, a plane known to 4 mm; drift is a random walk of
the camera's position, its length counted (an axis has 1/sqrt(3) of it). Features for the
refinement: points on the table and on the box, each followed for a second or so with 0.7 px.
Prints the mean corner reprojection error over all frames and the time; `--out FILE` keeps the
figures. The seed is fixed, so the same figures come again.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

sys.path.insert(0, str(Path(__file__).parents[1]))

from arsession.cuboid_evidence import Click, Evidence, PlacedBox, PlaneSnap
from arsession.cuboid_fit import Fit, fit_box
from arsession.drift import offsets_from_clicks, refine_poses
from arsession.propagate import VISIBLE, propagate
from arsession.tracks import Tracks
from arsession.views import Views
from bootstrap.box_overlap import Boxes, box_iou
from runtime.camera import Camera

FRAMES, RATE_HZ = 270, 30.0
CAMERA = Camera(1600, 1600, 960, 720, 1920, 1440)
UP = np.array([0.0, 1.0, 0.0])
CLICK_PX, PLANE_M, FEATURE_PX = 2.0, 0.004, 0.7
TIMES_S = np.arange(FRAMES) / RATE_HZ
THREE = (30, 135, 240)


def walk(radius_m: float = 1.0, arc_deg: float = 150.0) -> np.ndarray:
    """(F, 4, 4) true poses, looking at the box from 35 degrees above."""
    angle = np.deg2rad(np.linspace(-arc_deg / 2, arc_deg / 2, FRAMES))
    level, above = np.cos(np.deg2rad(35)), np.sin(np.deg2rad(35))
    at = radius_m * np.stack(
        [level * np.sin(angle), np.full(FRAMES, above), level * np.cos(angle)], axis=1
    )
    ahead = (np.array([0, 0.1, 0]) - at) / np.linalg.norm(at - [0, 0.1, 0], axis=1)[:, None]
    right = np.cross(ahead, UP)
    right /= np.linalg.norm(right, axis=1, keepdims=True)
    poses = np.tile(np.eye(4), (FRAMES, 1, 1))
    poses[:, :3, :3] = np.stack([right, np.cross(ahead, right), ahead], axis=2)
    poses[:, :3, 3] = at
    return poses


def drifted(poses: np.ndarray, drift_m: float, rng: np.random.Generator) -> np.ndarray:
    """The poses that a tracker would report: after t seconds they are off by drift_m sqrt(t)."""
    steps = rng.normal(0, drift_m / np.sqrt(3 * RATE_HZ), (FRAMES, 3))
    result = poses.copy()
    result[:, :3, 3] += np.cumsum(steps, axis=0)
    return result


def a_box(rng: np.random.Generator) -> PlacedBox:
    size = rng.uniform(0.1, 0.4, 3)
    turn = Rotation.from_euler("y", rng.uniform(-np.pi, np.pi)).as_matrix()
    return PlacedBox(
        turn, np.array([*rng.normal(0, 0.03, 1), size[1] / 2, rng.normal(0, 0.03)]), size
    )


def clicks(
    truth_px: np.ndarray, frames: tuple[int, ...], rng: np.random.Generator
) -> tuple[Click, ...]:
    return tuple(
        Click(f, tuple(truth_px[f, k] + rng.normal(0, CLICK_PX, 2)), corner=k)
        for f in frames
        for k in range(1, 9)
    )


def features(box: PlacedBox, views: Views, rng: np.random.Generator, count: int = 900) -> Tracks:
    """Sightings of points on the table and on the box, for 20 to 60 frames each."""
    table = np.column_stack(
        [rng.uniform(-0.7, 0.7, count), np.zeros(count), rng.uniform(-0.7, 0.7, count)]
    )
    inside = np.abs((table - box.centre_m) @ box.rotation)[:, [0, 2]] < box.size_m[[0, 2]] / 2
    table = table[~inside.all(axis=1)]
    points = np.concatenate([table, box.points_world_m()[1:].mean(0) + _on_box(box, 100, rng)])
    px = views.project(views.in_camera(points))
    begin = rng.integers(-40, FRAMES, len(points))
    length = rng.integers(20, 61, len(points))
    frame = np.arange(FRAMES)[:, None]
    seen = (frame >= begin) & (frame < begin + length)
    seen &= ((px >= 0) & (px <= (CAMERA.width, CAMERA.height))).all(axis=2)
    frames, ids = np.nonzero(seen)
    _, ids = np.unique(ids, return_inverse=True)
    return Tracks(frames, ids, px[seen] + rng.normal(0, FEATURE_PX, (len(frames), 2)))


def _on_box(box: PlacedBox, count: int, rng: np.random.Generator) -> np.ndarray:
    points = rng.uniform(-0.5, 0.5, (count, 3))
    points[np.arange(count), rng.integers(0, 3, count)] = rng.choice([-0.5, 0.5], count)
    return (points * box.size_m) @ box.rotation.T


def error_px(box: PlacedBox, views: Views, truth_px: np.ndarray) -> float:
    return float(
        np.linalg.norm(propagate(box, views).keypoints_px - truth_px, axis=-1)[:, 1:].mean()
    )


def one_session(seed: int, drift_m: float, refine: bool) -> dict[str, float]:
    """Errors of every way to place the box, by name, in px."""
    rng = np.random.default_rng([seed, round(drift_m * 1e4)])
    box, poses = a_box(rng), walk()
    truth = Views.of_poses(poses, (CAMERA,))
    truth_px = truth.project(truth.in_camera(box.points_world_m()))
    tracker_poses = drifted(poses, drift_m, rng)
    tracker = Views.of_poses(tracker_poses, (CAMERA,))
    plane = PlaneSnap(rng.normal(0, PLANE_M), PLANE_M)
    three = clicks(truth_px, THREE, rng)
    snapped = Evidence(three, UP, plane=plane)
    result = {}

    def placed(name: str, evidence: Evidence, views: Views = tracker) -> Fit:
        fit = fit_box(evidence, views)
        result[name] = error_px(fit.box, views, truth_px)
        return fit

    middle = replace(snapped, clicks=clicks(truth_px, (135,), rng))
    placed("1 frame", Evidence(middle.clicks))
    placed("1 frame + plane", middle)
    placed("2 frames", Evidence(three[:16]))
    fit = placed("3 frames + plane", snapped)
    visible = propagate(box, truth).visibility
    seen = tuple(c for c in three if c.corner and visible[c.frame, c.corner] == VISIBLE)
    placed("3 frames + plane, visible corners only", replace(snapped, clicks=seen))
    if drift_m:
        many = clicks(truth_px, tuple(range(15, FRAMES, 30)), rng)
        shifted = tracker
        for _ in range(4):
            fit = fit_box(replace(snapped, clicks=many), shifted, fit.box)
            moved = tracker_poses.copy()
            moved[:, :3, 3] += offsets_from_clicks([(fit.box, many)], tracker, TIMES_S)
            shifted = Views.of_poses(moved, (CAMERA,))
        result["9 frames, offsets interpolated"] = error_px(fit.box, shifted, truth_px)
    if refine:
        begun = time.perf_counter()
        tracks = features(box, truth, rng)
        refined = refine_poses(tracker_poses, tracker, TIMES_S, tracks)
        views = Views.of_poses(refined.world_from_camera, (CAMERA,))
        placed("3 frames + plane, poses refined", snapped, views)
        result["_refining_s"] = time.perf_counter() - begun
    return result


def milliseconds(work: Callable[[], object], repeats: int = 50) -> float:
    times = []
    for _ in range(repeats):
        begun = time.perf_counter()
        work()
        times.append(time.perf_counter() - begun)
    return 1e3 * float(np.median(times))


def speeds() -> dict[str, float]:
    """Milliseconds of a refit, of propagation over 270 frames, and of one pair's IoU in bulk."""
    rng = np.random.default_rng(0)
    box, views = a_box(rng), Views.of_poses(walk(), (CAMERA,))
    truth_px = views.project(views.in_camera(box.points_world_m()))
    before = Evidence(clicks(truth_px, THREE, rng), UP, plane=PlaneSnap(0.0))
    fit = fit_box(before, views)
    moved = replace(before.clicks[0], px=(before.clicks[0].px[0] + 8, before.clicks[0].px[1]))
    after = replace(before, clicks=(moved, *before.clicks[1:]))
    turns = Rotation.random(10_000, random_state=rng).as_matrix()
    boxes = [
        Boxes(turns, rng.normal(0, 0.4, (10_000, 3)), rng.uniform(0.1, 2, (10_000, 3)))
        for _ in range(2)
    ]
    return {
        "refit_ms": milliseconds(lambda: fit_box(after, views, fit.box)),
        "propagation_270_frames_ms": milliseconds(
            lambda: propagate(fit.box, views, fit.covariance)
        ),
        "iou_pair_us": milliseconds(lambda: box_iou(*boxes), 5) / 10,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sessions", type=int, default=40)
    parser.add_argument("--refined", type=int, default=10, help="sessions whose poses are refined")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    table: dict[str, dict[str, float]] = {}
    for drift_m in (0.0, 0.005, 0.02):
        rows: dict[str, list[float]] = {}
        for seed in range(options.sessions):
            for name, value in one_session(seed, drift_m, seed < options.refined).items():
                rows.setdefault(name, []).append(value)
        sys.stdout.write(f"drift {100 * drift_m:g} cm/sqrt(s)\n")
        for name, values in rows.items():
            unit = "s" if name.startswith("_") else "px"
            low, high = np.percentile(values, [5, 95])
            spread = f"5..95 %: {low:.2f} .. {high:.2f}, {len(values)} sessions"
            sys.stdout.write(f"  {name.strip('_'):40} {np.mean(values):8.2f} {unit}  {spread}\n")
        table[f"{drift_m:g}"] = {name: float(np.mean(values)) for name, values in rows.items()}
    table["speeds"] = speeds()
    for name, value in table["speeds"].items():
        sys.stdout.write(f"{name:42} {value:8.3f}\n")
    if options.out:
        options.out.write_text(json.dumps(table, indent=2) + "\n")


if __name__ == "__main__":
    main()
