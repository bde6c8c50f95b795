"""A camera that walks around a box on a level plane, and a person who clicks on it."""

from __future__ import annotations

import numpy as np
from scipy.spatial.transform import Rotation

from arsession.cuboid_evidence import Click, PlacedBox
from arsession.views import Views
from runtime.camera import Camera

UP = np.array([0.0, 1.0, 0.0])
CAMERA = Camera(1600, 1600, 960, 720, 1920, 1440)


def orbit(frames: int = 90, radius_m: float = 1.0, arc_deg: float = 150.0) -> np.ndarray:
    """(F, 4, 4) world_from_camera, looking at the origin from 35 degrees above."""
    angle = np.deg2rad(np.linspace(-arc_deg / 2, arc_deg / 2, frames))
    level, above = np.cos(np.deg2rad(35)), np.sin(np.deg2rad(35))
    at = radius_m * np.stack(
        [level * np.sin(angle), np.full(frames, above), level * np.cos(angle)], axis=1
    )
    ahead = -at / np.linalg.norm(at, axis=1, keepdims=True)
    right = np.cross(ahead, UP)
    right /= np.linalg.norm(right, axis=1, keepdims=True)
    poses = np.tile(np.eye(4), (frames, 1, 1))
    poses[:, :3, :3] = np.stack([right, np.cross(ahead, right), ahead], axis=2)
    poses[:, :3, 3] = at
    return poses


VIEWS = Views.of_poses(orbit(), (CAMERA,))


def random_box(rng: np.random.Generator) -> PlacedBox:
    """Upright, its foot on the plane y = 0 near the origin."""
    size = rng.uniform(0.1, 0.4, 3)
    turn = Rotation.from_euler("y", rng.uniform(-0.7, 0.7)).as_matrix()
    x, z = rng.normal(0, 0.03, 2)
    return PlacedBox(turn, np.array([x, size[1] / 2, z]), size)


def seen_px(box: PlacedBox, views: Views = VIEWS) -> np.ndarray:
    """(F, 9, 2), by the definition: K [R | t] X."""
    points = np.concatenate([box.points_world_m(), np.ones((9, 1))], axis=1)
    px = np.empty((len(views), 9, 2))
    for f in range(len(views)):
        pose = np.column_stack([views.turns[f], views.shifts[f]])
        image = views.camera(f).matrix @ pose @ points.T
        px[f] = (image[:2] / image[2]).T
    return px


def corner_clicks(
    box: PlacedBox,
    frames: list[int],
    rng: np.random.Generator,
    sigma_px: float = 2.0,
    corners: tuple[int, ...] = tuple(range(1, 9)),
    views: Views = VIEWS,
) -> tuple[Click, ...]:
    """Clicks on corners, off by a normal error."""
    px = seen_px(box, views)
    return tuple(
        Click(f, tuple(px[f, k] + rng.normal(0, sigma_px, 2)), corner=k)
        for f in frames
        for k in corners
    )


def edge_clicks(
    box: PlacedBox, frames: list[int], rng: np.random.Generator, sigma_px: float = 2.0
) -> tuple[Click, ...]:
    """A click anywhere on each of the twelve edges."""
    from runtime.topology import topology

    px = seen_px(box)
    clicks = []
    for f in frames:
        for a, b in topology("cuboid9@1").edges:
            share = rng.uniform(0.2, 0.8)
            at = share * px[f, a] + (1 - share) * px[f, b] + rng.normal(0, sigma_px, 2)
            clicks.append(Click(f, tuple(at), edge=(a, b)))
    return tuple(clicks)


def surface_points(box: PlacedBox, count: int, rng: np.random.Generator) -> np.ndarray:
    """(count, 3) world points spread over the six faces."""
    points = rng.uniform(-0.5, 0.5, (count, 3))
    points[np.arange(count), rng.integers(0, 3, count)] = rng.choice([-0.5, 0.5], count)
    return box.centre_m + (points * box.size_m) @ box.rotation.T


def unknowns_between(box: PlacedBox, other: PlacedBox) -> np.ndarray:
    """(9,) from one box to another: turn in the first's axes, shift, logarithms of the sizes."""
    turn = Rotation.from_matrix(box.rotation.T @ other.rotation).as_rotvec()
    return np.concatenate([turn, other.centre_m - box.centre_m, np.log(other.size_m / box.size_m)])
