"""What an AR session films: objects on a floor or a table, sometimes a wall behind them."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from arsession.cuboid_evidence import PlacedBox
from render.photo import Photo, random_photo
from render.session_materials import wooden
from render.session_path import (
    MOST_ARC_RAD,
    MOST_M_S,
    SWEEP_RAD_S,
    Walk,
    arkit_world,
    phone_camera,
    walked,
)
from render.session_shapes import CATEGORIES, built
from render.session_solids import Solid, Surface, about, block
from runtime.camera import Camera, transform_points

Floats = NDArray[np.float64]

_MOST_COMPANIONS = 3
_DISTANCE = (1.4, 2.3)
"""Of the camera from the main object, in diagonals of its box."""
_ELEVATION_RAD = (math.radians(18), math.radians(50))
_FLOOR_M, _WALL_M = 14.0, 2.8
_TABLE_M = (0.68, 0.78)
_CLEARANCE_M = 0.03


@dataclass(frozen=True)
class PlacedObject:
    """An object that stands in the world.

    Attributes:
        category: of render.session_shapes.CATEGORIES.
        symmetry: as there.
        solids: about the middle of its box, in its own axes.
        size_m: (3,) of its tight box.
        world_from_object: (4, 4) rigid; its translation is the box's centre.
    """

    category: str
    symmetry: str
    solids: tuple[Solid, ...]
    size_m: Floats
    world_from_object: Floats

    def box(self) -> PlacedBox:
        """Its box in the world."""
        pose = self.world_from_object
        return PlacedBox(pose[:3, :3], pose[:3, 3], self.size_m)


@dataclass(frozen=True)
class Level:
    """A level surface that a tracker would find.

    Attributes:
        name: "floor" or "table".
        height_m: in the world.
        outline_m: (4, 3) its corners.
    """

    name: str
    height_m: float
    outline_m: Floats


@dataclass(frozen=True)
class SessionScene:
    """A session as it is filmed. The world is a tracker's: y up, its origin at the first camera.

    Attributes:
        objects: the first one is what the session is about.
        room: solids in the world.
        levels: what objects stand on, the one they stand on first.
        hdri: number of its light.
        photo: of its camera.
        camera: intrinsics.
        timestamps_s: (K,) from 0.
        world_from_camera: (K, 4, 4).
    """

    objects: tuple[PlacedObject, ...]
    room: tuple[Solid, ...]
    levels: tuple[Level, ...]
    hdri: int
    photo: Photo
    camera: Camera
    timestamps_s: Floats
    world_from_camera: Floats


def drawn_scene(
    seed: int,
    number: int,
    frames: int,
    size: tuple[int, int],
    rate_hz: float,
    categories: tuple[str, ...],
    hdris: int,
) -> SessionScene:
    """Session `number` of a seed; depends on these arguments alone.

    Args:
        seed, number: of the data set and the session.
        frames: that it has.
        size: width and height of its pictures.
        rate_hz: pictures a second.
        categories: to choose the main object from, in turn.
        hdris: how many there are.
    """
    rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(number,)))
    category = main_category(number, categories)
    on_table = CATEGORIES[category].small and rng.random() < 0.6
    objects = _placed_objects(rng, category)
    walk = _walk(rng, objects[0], (frames - 1) / rate_hz)
    room, levels = _room(rng, objects, walk, on_table)
    target = np.array([0.0, objects[0].size_m[1] / 2, 0.0])
    times = np.arange(frames) / rate_hz
    poses = walked(walk, target, times, rng)
    world_from_scene = arkit_world(poses[0])
    photo = replace(random_photo(rng), motion=0.0, background_blur=0.0)
    scene = SessionScene(
        objects, room, levels, int(rng.integers(hdris)), photo,
        phone_camera(*size, rng), times, poses,
    )  # fmt: skip
    return _moved(scene, world_from_scene)


def main_category(number: int, categories: tuple[str, ...]) -> str:
    """What a session is about: each category in turn, begun one later every tenth session, since
    every tenth is of one split, which must not be all of one category."""
    return categories[(number + number // 10) % len(categories)]


def _placed_objects(rng: np.random.Generator, category: str) -> tuple[PlacedObject, ...]:
    first = _standing(rng, category)
    objects = [first]
    alike = [name for name, kind in CATEGORIES.items() if kind.small == CATEGORIES[category].small]
    if CATEGORIES[category].small:
        alike = [name for name in alike if name != "laptop" or category == "laptop"]
    for _ in range(int(rng.integers(0, _MOST_COMPANIONS + 1))):
        name = alike[int(rng.integers(len(alike)))]
        angle = rng.uniform(0, 2 * math.pi)
        aside = np.array([math.cos(angle), math.sin(angle)])
        other = _standing(rng, name)
        for reach in np.linspace(0.5, 2.2, 18) * float(np.linalg.norm(first.size_m)):
            beside = _shifted(other, aside * reach)
            if all(_apart(beside, one) for one in objects):
                objects.append(beside)
                break
    return tuple(objects)


def _standing(rng: np.random.Generator, category: str) -> PlacedObject:
    solids, size = built(category, rng)
    pose = np.eye(4)
    pose[:3, :3] = about("y", rng.uniform(-math.pi, math.pi))
    pose[1, 3] = size[1] / 2
    return PlacedObject(category, CATEGORIES[category].symmetry, tuple(solids), size, pose)


def _shifted(one: PlacedObject, aside_m: Floats) -> PlacedObject:
    pose = one.world_from_object.copy()
    pose[[0, 2], 3] += aside_m
    return replace(one, world_from_object=pose)


def _apart(one: PlacedObject, other: PlacedObject) -> bool:
    between = np.linalg.norm((one.world_from_object - other.world_from_object)[:3, 3])
    reach = sum(float(np.hypot(o.size_m[0], o.size_m[2])) / 2 for o in (one, other))
    return bool(between > reach + _CLEARANCE_M)


def _walk(rng: np.random.Generator, subject: PlacedObject, duration_s: float) -> Walk:
    diagonal = float(np.linalg.norm(subject.size_m))
    distance = diagonal * float(rng.uniform(*_DISTANCE))
    speed = min(float(rng.uniform(*SWEEP_RAD_S)), MOST_M_S / distance)
    arc = min(speed * duration_s, MOST_ARC_RAD)
    return Walk(
        distance_m=distance,
        from_rad=float(rng.uniform(-math.pi, math.pi)),
        arc_rad=arc * float(rng.choice([-1, 1])),
        elevation_rad=float(rng.uniform(*_ELEVATION_RAD)),
    )


def _room(
    rng: np.random.Generator, objects: tuple[PlacedObject, ...], walk: Walk, on_table: bool
) -> tuple[tuple[Solid, ...], tuple[Level, ...]]:
    ground = _floor_surface(rng)
    solids, levels = [], []
    low = 0.0
    if on_table:
        low = -float(rng.uniform(*_TABLE_M))
        top, level = _table_top(rng, objects, low)
        solids += top
        levels.append(level)
    half = _FLOOR_M / 2
    solids.append(block((-half, low - 0.02, -half), (half, low, half), ground, 0.0001))
    seen = walk.distance_m + abs(low)  # a tracker knows no more of it than it saw
    levels.append(Level("floor", low, _square(seen, seen, low)))
    if rng.random() < 0.6:
        solids += _wall(rng, objects, walk, low)
    return tuple(solids), tuple(levels)


def _floor_surface(rng: np.random.Generator) -> Surface:
    pattern = str(
        rng.choice(["planks", "tiles", "carpet", "concrete", "planks", "carpet", "marble"])
    )
    if pattern == "planks":
        return replace(wooden(rng), pattern=pattern)
    value, tint = rng.uniform(0.25, 0.8), rng.normal(0, 0.04, 3)
    first = tuple(float(v) for v in np.clip(value + tint, 0.05, 0.95))
    second = tuple(float(v) for v in np.clip(value * rng.uniform(0.4, 0.8) - tint, 0.03, 0.9))
    rough = 0.9 if pattern == "carpet" else float(rng.uniform(0.3, 0.7))
    return Surface(pattern, first, second, rough, seed=int(rng.integers(2**31)))  # type: ignore[arg-type]


def _table_top(
    rng: np.random.Generator, objects: tuple[PlacedObject, ...], low: float
) -> tuple[list[Solid], Level]:
    reach = max(float(np.linalg.norm(o.world_from_object[[0, 2], 3])) for o in objects)
    x = max(rng.uniform(0.55, 0.9), reach + 0.3)
    z = max(rng.uniform(0.35, 0.5), reach + 0.3)
    made = wooden(rng)
    if rng.random() < 0.4:
        made = replace(_floor_surface(rng), pattern=str(rng.choice(["cloth", "marble", "plain"])))
    turn = about("y", rng.uniform(-math.pi, math.pi))
    solids = [block((-x, -0.03, -z), (x, 0.0, z), made, 0.004)]
    leg = wooden(rng)
    for sx in (-1, 1):
        for sz in (-1, 1):
            at = np.array([sx * (x - 0.06), 0.0, sz * (z - 0.06)])
            solids.append(block(at + (-0.03, low, -0.03), at + (0.03, -0.03, 0.03), leg))
    outline = _square(x, z, 0.0) @ turn.T
    return [solid.turned(turn) for solid in solids], Level("table", 0.0, outline)


def _wall(
    rng: np.random.Generator, objects: tuple[PlacedObject, ...], walk: Walk, low: float
) -> list[Solid]:
    """Opposite to the middle of the arc, behind everything."""
    middle = walk.from_rad + walk.arc_rad / 2
    away = -np.array([math.sin(middle), math.cos(middle)])
    reach = max(
        float(away @ o.world_from_object[[0, 2], 3]) + float(np.hypot(o.size_m[0], o.size_m[2])) / 2
        for o in objects
    )
    # A camera at the arc's end stands beside the objects; the wall must be behind it, too.
    sideways = walk.distance_m * 1.3 * -math.cos(abs(walk.arc_rad) / 2)
    distance = max(reach, sideways) + float(rng.uniform(0.25, 1.0))
    value = rng.uniform(0.45, 0.92)
    paint = tuple(float(v) for v in np.clip(value + rng.normal(0, 0.06, 3), 0.1, 0.97))
    pattern = str(rng.choice(["plaster", "plaster", "cloth", "concrete"]))
    second = tuple(0.8 * v for v in paint)
    made = Surface(pattern, paint, second, 0.9, seed=int(rng.integers(2**31)))  # type: ignore[arg-type]
    half = _FLOOR_M / 2
    wall = block((-half, low, -distance - 0.1), (half, low + _WALL_M, -distance), made, 0.001)
    skirting = Surface("plain", (0.85, 0.84, 0.8), roughness=0.5)
    board = block((-half, low, -distance), (half, low + 0.08, -distance + 0.015), skirting, 0.003)
    turn = about("y", math.atan2(-away[0], -away[1]))
    return [solid.turned(turn) for solid in (wall, board)]


def _square(x: float, z: float, y: float) -> Floats:
    return np.array([(-x, y, -z), (x, y, -z), (x, y, z), (-x, y, z)])


def _moved(scene: SessionScene, into: Floats) -> SessionScene:
    """The same in another world with the same up axis, (4, 4) into it."""
    return replace(
        scene,
        objects=tuple(
            replace(o, world_from_object=into @ o.world_from_object) for o in scene.objects
        ),
        room=tuple(solid.turned(into[:3, :3]).moved(into[:3, 3]) for solid in scene.room),
        levels=tuple(
            replace(
                level,
                height_m=level.height_m + into[1, 3],
                outline_m=transform_points(into, level.outline_m),
            )
            for level in scene.levels
        ),
        world_from_camera=into @ scene.world_from_camera,
    )
