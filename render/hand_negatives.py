"""Pictures without hands that a hand detector should leave alone: empty, things, feet, heads."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray

from render.anny_asset import AnnyRegion, Identity
from render.hand_model import rotation
from render.hand_objects import Thing, thing_before
from render.skin_tones import HAIR_COLOURS, IRIS_COLOURS, hair_colour, linear_from_hex
from render.subdivision import subdivide

Floats = NDArray[np.float64]
Triple = tuple[float, float, float]

KINDS = {"empty": 0.2, "things": 0.25, "foot": 0.25, "head": 0.3}
"""What a negative shows, and its share among them."""

MOST_THINGS = 2


@dataclass(frozen=True)
class Body:
    """A foot or a head: camera_from_body (4, 4), vertices_m (V, 3) in its own axes, albedo (V, 4)
    as skin has it."""

    camera_from_body: Floats
    vertices_m: Floats
    albedo: NDArray[np.float32]


@dataclass(frozen=True)
class Negative:
    """What is shown instead of a hand.

    Attributes:
        kind: out of `KINDS`.
        mesh: the name of the mesh of a foot or head.
        things: in the camera's axes; of kind "things".
        body: of kinds "foot" and "head".
    """

    kind: str
    mesh: str = ""
    things: tuple[Thing, ...] = ()
    body: Body | None = None


class Foot:
    """A left foot with five toes and its leg, standing at the origin: toes along x, leg along z."""

    def __init__(self) -> None:
        self.vertices_m, self.faces = _surface(_foot_distance, _FOOT_LOW, _FOOT_HIGH, _FOOT_CELL)
        # The leg leaves the picture.
        high = np.maximum(self.vertices_m[:, 2] - 0.2, 0)
        self.vertices_m[:, 2] += 25 * high

    def drawn(self, rng: np.random.Generator, tone: Floats) -> tuple[Floats, NDArray[np.float32]]:
        """Somebody's: vertices (V, 3), the origin in the foot's middle, and albedo (V, 4)."""
        shape = self.vertices_m * rng.normal(1, 0.08, 3) * rng.uniform(0.8, 1.1)
        toes = np.clip((self.vertices_m[:, 0] - 0.19) / 0.03, 0, 1)[:, None]
        sole = np.clip((0.012 - self.vertices_m[:, 2]) / 0.01, 0, 1)[:, None]
        light = np.maximum(tone, 0.55 * tone + 0.45 * np.array([0.46, 0.25, 0.17]))
        colour = tone * (1 - 0.12 * toes * np.array([0.0, 1.0, 1.0]))
        nail = 0.66 * tone + np.array([0.15, 0.065, 0.055])
        colour = colour + (nail - colour) * _toe_nails(self.vertices_m)[:, None]
        colour = colour + (light - colour) * sole
        return shape - _FOOT_MIDDLE, _dry(colour)


class Head:
    """A bald or shaved head in a shirt, made of the bust that faces are rendered with."""

    def __init__(self, region: AnnyRegion) -> None:
        self._region = region
        fine = subdivide(region.faces, len(region.base_vertices))
        group = np.repeat(region.face_group, 4)
        shown = np.isin(group, [0, 1, 2])  # skin and both eyes
        kept, local = np.unique(fine.faces[shown], return_inverse=True)
        self._matrix = fine.matrix[kept]
        self.faces = local.reshape(-1, 4).astype(np.int32)
        self._eyes = [np.unique(self.faces[group[shown] == k]) for k in (1, 2)]

    def drawn(
        self, rng: np.random.Generator, identity: Identity, tone: Floats
    ) -> tuple[Floats, NDArray[np.float32]]:
        """Somebody's: vertices (V, 3), the origin between the eyes, and albedo (V, 4)."""
        vertices = np.asarray(self._matrix @ self._region.rest(identity).vertices_m)
        vertices = vertices - np.mean([vertices[eye].mean(axis=0) for eye in self._eyes], axis=0)
        colour = np.broadcast_to(tone, vertices.shape).copy()
        x, y, z = vertices.T
        dark = tone.mean() < 0.12  # skin; its eyes and hair are, too
        names = list(HAIR_COLOURS)[: 3 if dark else None]
        name = names[int(rng.integers(len(names)))]
        hair = hair_colour(name) if rng.random() < 0.6 else tone
        scalp = _ramp(z + 0.45 * y, 0.055, 0.075)
        colour += (hair - colour) * scalp[:, None]
        brow = _ramp(-np.hypot((np.abs(x) - 0.034) / 2.4, z - 0.021), -0.007, -0.003) * (y < 0.02)
        colour += (0.25 * tone - colour) * (0.8 * brow)[:, None]
        lips = _ramp(-np.hypot(x / 2.2, z + 0.068), -0.011, -0.007) * (y < 0)
        colour *= 1 - lips[:, None] * np.array([0.1, 0.45, 0.4])
        irises = list(IRIS_COLOURS.values())[: 2 if dark else None]
        iris = linear_from_hex(irises[int(rng.integers(len(irises)))][1])
        for eye in self._eyes:
            ball = vertices[eye]
            away = np.linalg.norm((ball - ball.mean(axis=0))[:, [0, 2]], axis=1)
            front = ball[:, 1] < ball[:, 1].mean()
            in_iris = ((away < 0.006) & front)[:, None]
            shade = np.where(in_iris, iris, np.array([0.42, 0.38, 0.36]))
            colour[eye] = np.where(((away < 0.0025) & front)[:, None], 0.01, shade)
        shirt = _ramp(0.14 * y - z, 0.142, 0.148)  # its collar is lower in front
        colour += (rng.uniform(0.01, 0.6, 3) - colour) * shirt[:, None]
        # The bust goes on downward, so that no picture shows its end.
        low = np.maximum(-0.17 - z, 0)
        vertices[:, 2] -= 12 * low
        return vertices, _dry(colour)


def random_negative(
    rng: np.random.Generator, identity: Identity, tone: Floats, view: Floats, foot: Foot, head: Head
) -> Negative:
    """What a picture without hands shows.

    Args:
        rng: of the sample.
        identity, tone: of the person, if one is seen; the tone as albedo (3,).
        view: (2,) half of the picture's width and height at a distance of 1.
        foot, head: what feet and heads are made of.
    """
    kind = str(rng.choice(list(KINDS), p=list(KINDS.values())))
    if kind == "things":
        return Negative(kind, things=things_in_view(rng, view))
    if kind == "foot":
        vertices, albedo = foot.drawn(rng, tone)
        left = rng.random() < 0.5
        vertices = vertices if left else vertices * (1, -1, 1)
        place = _place(rng, view, 0.26, _foot_turn(rng))
        side = "left foot" if left else "right foot"
        return Negative(kind, side, body=Body(place, vertices, albedo))
    if kind == "head":
        vertices, albedo = head.drawn(rng, identity, tone)
        place = _head_place(rng, view, _head_turn(rng))
        return Negative(kind, kind, body=Body(place, vertices, albedo))
    return Negative(kind)


def things_in_view(rng: np.random.Generator, view: Floats) -> tuple[Thing, ...]:
    """One or a few, in the camera's axes; `view` as `random_negative` has it."""
    result = []
    for _ in range(1 + int(rng.integers(MOST_THINGS))):
        points = np.zeros((21, 3))
        points[:] = [*(rng.uniform(-0.6, 0.6, 2) * view), 1.0]
        points[:] *= rng.uniform(0.5, 1.2)
        # As large as something that a hand of that size in the picture would hold.
        points[9, 1] += rng.uniform(0.2, 0.9) * float(view.mean()) * points[0, 2]
        result.append(thing_before(rng, points, np.zeros(3), 1.0))
    return tuple(result)


def _place(rng: np.random.Generator, view: Floats, length_m: float, turn: Floats) -> Floats:
    """A place in the picture at which something of that length takes a good share of it."""
    distance = length_m / (2 * float(view.mean()) * rng.uniform(0.3, 0.9))
    result = np.eye(4)
    result[:3, :3] = turn
    result[:3, 3] = [*(rng.uniform(-0.35, 0.35, 2) * view * distance), distance]
    return result


def _head_place(rng: np.random.Generator, view: Floats, turn: Floats) -> Floats:
    """A place in the picture for a head, near enough that shoulders end below the picture."""
    distance = 0.24 / (2 * float(view.mean()) * rng.uniform(0.5, 1.05))
    shoulders = turn @ [0.0, 0.0, -0.17]
    low = view[1] * (distance + shoulders[2]) - shoulders[1]
    result = np.eye(4)
    result[:3, :3] = turn
    aside = rng.uniform(-0.4, 0.4) * view[0] * distance
    result[:3, 3] = [aside, low + rng.uniform(0, 0.3) * view[1] * distance, distance]
    return result


def _head_turn(rng: np.random.Generator) -> Floats:
    """(3, 3) camera_from_body: upright, seen from in front or aside, seldom from behind."""
    upright = np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]])  # body's x, y back, z up
    x, y, z = np.eye(3)
    turn = rotation(x, rng.normal(0, 0.2)) @ rotation(y, rng.normal(0, 0.9)) @ upright
    return np.asarray(rotation(z, rng.normal(0, 0.2)) @ turn)


def _foot_turn(rng: np.random.Generator) -> Floats:
    """(3, 3) camera_from_body: seen from above, in front or aside, the leg leading upward."""
    upright = np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]])
    x, y, z = np.eye(3)
    about = rotation(y, rng.uniform(-math.pi, math.pi)) @ upright
    turn = rotation(x, rng.uniform(0.1, 0.9)) @ about
    return np.asarray(rotation(z, rng.normal(0, 0.5)) @ turn)


# -- a foot -------------------------------------------------------------------------------------

_FOOT_LOW, _FOOT_HIGH, _FOOT_CELL = (-0.05, -0.07, -0.012), (0.26, 0.07, 0.24), 0.0042

_BONES = (  # from, to, radius at each end; metres
    ((0.0, 0.0, 0.028), (0.13, 0.012, 0.022), 0.034, 0.026),  # heel to ball, inner side
    ((0.0, 0.0, 0.026), (0.125, -0.022, 0.017), 0.032, 0.020),  # and outer side
    ((0.02, 0.0, 0.06), (0.15, 0.01, 0.026), 0.034, 0.022),  # instep
    ((0.0, 0.0, 0.05), (-0.005, 0.0, 0.25), 0.034, 0.044),  # leg
    ((0.13, 0.018, 0.021), (0.165, 0.022, 0.018), 0.024, 0.017),
    ((0.165, 0.024, 0.016), (0.215, 0.022, 0.013), 0.015, 0.012),  # great toe
    ((0.155, 0.002, 0.017), (0.212, 0.001, 0.010), 0.011, 0.0085),
    ((0.150, -0.014, 0.016), (0.201, -0.017, 0.009), 0.010, 0.0078),
    ((0.140, -0.028, 0.015), (0.188, -0.033, 0.009), 0.010, 0.0074),
    ((0.125, -0.040, 0.014), (0.172, -0.047, 0.008), 0.010, 0.0072),
)
_FOOT_MIDDLE = np.array([0.10, 0.0, 0.04])
_BLEND_M = (0.02, 0.02, 0.025, 0.03, 0.014, 0.004, 0.004, 0.004, 0.004, 0.004)


def _toe_nails(vertices: Floats) -> Floats:
    """(V,) 0..1 on top of the ends of the five toes."""
    nails = np.zeros(len(vertices))
    for _, end, _, radius in _BONES[-5:]:
        ahead, aside, above = (vertices - np.array(end)).T / radius
        oval = np.hypot((ahead - 0.35) / 0.75, aside / 0.7)
        nails = np.maximum(nails, _ramp(-oval, -1.1, -0.8) * (above > 0.45))
    return nails


def _foot_distance(points: Floats) -> Floats:
    """(N,) distance to the foot's surface, about; negative inside."""
    result = np.full(len(points), np.inf)
    for (start, end, r0, r1), blend in zip(_BONES, _BLEND_M):
        a, axis = np.array(start), np.array(end) - np.array(start)
        share = np.clip((points - a) @ axis / (axis @ axis), 0, 1)
        near = a + share[:, None] * axis
        away = np.linalg.norm(points - near, axis=1) - (r0 + share * (r1 - r0))
        # Smooth minimum (polynomial, of width `blend`), so that parts grow out of each other.
        mixed = np.clip(blend - np.abs(result - away), 0, None) ** 2 / (4 * blend)
        result = np.minimum(result, away) - np.where(np.isfinite(result), mixed, 0)
    return np.maximum(result, -points[:, 2])  # it stands on its flat sole


def _surface(
    distance: Callable[[Floats], Floats], low: Triple, high: Triple, cell: float
) -> tuple[Floats, NDArray[np.int32]]:
    """Vertices and outward quads where `distance` is 0: naive surface nets (Gibson 1998).

    Every cell that the surface passes gets a vertex, the mean of the places where it crosses the
    cell's edges; every grid edge that it crosses gets a quad of the four cells around it.
    """
    axes = [np.arange(a, b, cell) for a, b in zip(low, high)]
    grid = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1)
    value = distance(grid.reshape(-1, 3)).reshape(grid.shape[:3])
    cells = tuple(n - 1 for n in value.shape)
    sums, counts = np.zeros((*cells, 3)), np.zeros(cells)
    for axis in range(3):
        for ends in product((0, 1), repeat=2):
            start = [0, *ends] if axis == 0 else [ends[0], 0, ends[1]] if axis == 1 else [*ends, 0]
            a = tuple(slice(s, s + n) for s, n in zip(start, cells))
            b = tuple(slice(s + (k == axis), s + (k == axis) + n)
                      for k, (s, n) in enumerate(zip(start, cells)))  # fmt: skip
            crossed = (value[a] < 0) != (value[b] < 0)
            share = np.where(crossed, value[a] / np.where(crossed, value[a] - value[b], 1), 0)
            point = grid[a] + share[..., None] * (grid[b] - grid[a])
            sums += np.where(crossed[..., None], point, 0)
            counts += crossed
    passed = counts > 0
    number = np.cumsum(passed).reshape(cells) - 1
    quads = []
    for axis in range(3):
        inside = value < 0
        nearer = tuple(slice(0, -1) if k == axis else slice(1, -1) for k in range(3))
        farther = tuple(slice(1, None) if k == axis else slice(1, -1) for k in range(3))
        crossing = inside[nearer] != inside[farther]
        leaving = inside[nearer][crossing]  # the surface faces along the axis
        at = np.argwhere(crossing)
        one, other = np.eye(3, dtype=int)[[(axis + 1) % 3, (axis + 2) % 3]]
        corners = [at, at + one, at + one + other, at + other]
        quad = np.stack([number[tuple(c.T)] for c in corners], axis=1)
        quads.append(np.where(leaving[:, None], quad, quad[:, ::-1]))
    return sums[passed] / counts[passed][:, None], np.concatenate(quads).astype(np.int32)


def _dry(colour: Floats) -> NDArray[np.float32]:
    ones = np.ones((len(colour), 1))
    return np.concatenate([np.clip(colour, 0.004, 0.9), ones], axis=1).astype(np.float32)


def _ramp(value: Floats, low: float, high: float) -> Floats:
    t = np.clip((value - low) / (high - low), 0, 1)
    return np.asarray(t * t * (3 - 2 * t))
