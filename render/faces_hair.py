"""Hair, brows and lashes as strands, grown in NumPy from places on the head's surface.

Brows grow inside the brow contours and lashes along the lid contours of the landmarks, so they
agree with the labels by construction. Lengths are metres; a strand is (K, 3) points, root first.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from render.faces_head import Eyeball
from runtime.topology import topology

if TYPE_CHECKING:
    from scipy.spatial import cKDTree

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class HairStyle:
    """A way to wear hair.

    Attributes:
        strands: how many.
        length_m: mean length.
        points: per strand.
        lift: how far strands stand off the skin at the root, 0..1.
        gravity: how soon they fall, 0..1.
        back: combed back (1) or toward the forehead (-1).
        part: combed to the sides away from a parting, 0..1.
        curl: waviness, 0..1.
        radius_m: of a strand; thicker than real ones, for there are fewer.
        gathered: drawn to a knot at the back of the head.
    """

    strands: int
    length_m: float
    points: int
    lift: float
    gravity: float
    back: float
    part: float
    curl: float
    radius_m: float
    gathered: bool = False

    @property
    def thickness_m(self) -> float:
        """Of the hair when something lies on it."""
        return min(0.002 + 0.05 * self.length_m, 0.006) + 0.006 * self.curl


HAIR_STYLES: Mapping[str, HairStyle] = {
    "buzz": HairStyle(5000, 0.006, 3, 0.7, 0.0, 0.3, 0.0, 0.0, 0.00045),
    "short": HairStyle(5500, 0.030, 5, 0.35, 0.15, 0.5, 0.3, 0.1, 0.00055),
    "crop": HairStyle(5500, 0.026, 5, 0.3, 0.35, -0.8, 0.2, 0.1, 0.00055),
    "side_part": HairStyle(5500, 0.06, 7, 0.2, 0.4, 0.35, 0.9, 0.1, 0.0006),
    "swept_back": HairStyle(5500, 0.08, 8, 0.1, 0.25, 1.0, 0.1, 0.05, 0.0006),
    "tied_back": HairStyle(5000, 0.14, 9, 0.02, 0.0, 1.0, 0.0, 0.0, 0.0006, True),
    "bob": HairStyle(6000, 0.18, 11, 0.12, 1.3, 0.25, 0.8, 0.1, 0.0007),
    "long": HairStyle(6500, 0.30, 14, 0.1, 1.5, 0.3, 0.8, 0.12, 0.0007),
    "curly": HairStyle(6000, 0.08, 9, 0.6, 0.4, 0.2, 0.5, 1.0, 0.0007),
    "afro": HairStyle(7000, 0.05, 7, 1.0, 0.0, 0.0, 0.0, 1.0, 0.0007),
}
"""Styles by name; `bald` is the absence of any."""


@dataclass(frozen=True)
class Surface:
    """A quad mesh that strands grow on: vertices_m (V, 3), normals (V, 3), faces (F, 4)."""

    vertices_m: Floats
    normals: Floats
    faces: NDArray[np.int64]


@dataclass(frozen=True)
class Roots:
    """Places on faces: face (N,), and weights (N, 4) of its corners."""

    face: NDArray[np.int64]
    corner_weights: Floats

    def on(self, faces: NDArray[np.int64], values: ArrayLike) -> Floats:
        """(N, D) values interpolated from those of the vertices (V, D)."""
        corners = np.asarray(values, dtype=np.float64)[faces[self.face]]
        return np.einsum("nk,nkd->nd", self.corner_weights, corners)


def scattered(
    surface: Surface, face_density: ArrayLike, count: int, rng: np.random.Generator
) -> Roots:
    """`count` places, as dense as `face_density` (F,) says, per area."""
    v = surface.vertices_m[surface.faces]
    area = np.linalg.norm(np.cross(v[:, 2] - v[:, 0], v[:, 3] - v[:, 1]), axis=1)
    total = np.cumsum(area * np.asarray(face_density, dtype=np.float64))
    face = np.searchsorted(total, rng.uniform(0, total[-1], count), side="right")
    s, t = rng.uniform(size=(2, count))
    weights = np.stack([(1 - s) * (1 - t), s * (1 - t), s * t, (1 - s) * t], axis=1)
    return Roots(np.minimum(face, len(surface.faces) - 1), weights)


def grown_hair(
    surface: Surface, face_density: ArrayLike, style: HairStyle, rng: np.random.Generator
) -> Floats:
    """(N, K, 3) strands of a head of hair on the unposed person.

    Args:
        surface: the rendered mesh, unposed.
        face_density: (F,) 1 on the scalp.
        style: how it is worn.
        rng: for roots and stray strands.
    """
    from scipy.spatial import cKDTree

    roots = scattered(surface, face_density, style.strands, rng)
    place = roots.on(surface.faces, surface.vertices_m)
    normal = _unit(roots.on(surface.faces, surface.normals))
    tree = cKDTree(surface.vertices_m)
    count = len(place)
    # Neighbours share a lock: one lock's strands bend alike.
    locks = max(count // 30, 1)
    lock = cKDTree(place[rng.choice(count, locks, replace=False)]).query(place)[1]
    parting = rng.uniform(-0.035, 0.035)
    length = style.length_m * rng.uniform(0.75, 1.1, count) * rng.uniform(0.85, 1.1, locks)[lock]
    shared = rng.normal(size=(locks, style.points, 3))[lock]
    own = rng.normal(size=(count, style.points, 3))
    phase, turn = rng.uniform(0, 2 * np.pi, locks)[lock], rng.uniform(0.7, 1.3, locks)[lock]
    stray = (0.06 + 0.3 * style.curl) * shared + 0.05 * own
    bundle = _Bundle(place, normal, length, stray, phase, turn)
    strands = _laid(surface, tree, bundle, style, parting)
    if style.length_m <= 0.04:
        return strands
    hairy = np.zeros(len(surface.vertices_m), dtype=bool)
    hairy[surface.faces[np.asarray(face_density) > 0.02]] = True
    fallen = _before_the_face(strands, tree, hairy)
    # What would hang over the forehead is combed back.
    back = replace(style, back=1.2, part=0.3 * style.part, gravity=0.5 * style.gravity, lift=0.05)
    strands[fallen] = _laid(surface, tree, bundle.some(fallen), back, parting)
    still = _before_the_face(strands, tree, hairy)
    strands[still] = place[still, None] + 0.04 * (strands[still] - place[still, None])  # cut
    return strands


@dataclass(frozen=True)
class _Bundle:
    """Strands to be: roots place (N, 3) with normals (N, 3), length (N,), what is left to chance in
    their direction (N, K, 3), phase and turn (N,) of their waves."""

    place: Floats
    normal: Floats
    length: Floats
    stray: Floats
    phase: Floats
    turn: Floats

    def some(self, rows: NDArray[np.bool_]) -> _Bundle:
        """Of these rows."""
        return _Bundle(*(getattr(self, f.name)[rows] for f in fields(self)))


def _laid(
    surface: Surface, tree: cKDTree, bundle: _Bundle, style: HairStyle, parting: float
) -> Floats:
    """(N, K, 3) strands of a bundle, combed as the style says."""
    place, normal, count = bundle.place, bundle.normal, len(bundle.place)
    across = np.cross(normal, _combed(place, normal, style, parting))
    step = bundle.length / (style.points - 1)
    strands = np.empty((count, style.points, 3))
    strands[:, 0] = place - 0.001 * normal
    clearance = 0.0015 + 0.006 * style.lift * np.minimum(style.length_m / 0.05, 1.5)
    near = tree.query(place)[1]
    for k in range(1, style.points):
        comb = _combed(strands[:, k - 1], surface.normals[near], style, parting)
        along = k / (style.points - 1)
        upright = style.lift * (1.3 - along) * normal if style.lift < 1 else 2.0 * normal
        fall = style.gravity * min(1.6 * along, 1.0) * np.array([0.0, 0.0, -1.4])
        wave = style.curl * np.sin(bundle.phase + 9.0 * along * bundle.turn)[:, None] * across
        bend = _unit(
            comb * (1 - 0.7 * style.gravity * along) + upright + fall + wave + bundle.stray[:, k]
        )
        points = strands[:, k - 1] + step[:, None] * bend
        near = tree.query(points)[1]
        inward = ((points - surface.vertices_m[near]) * surface.normals[near]).sum(axis=1)
        lack = np.maximum(clearance * min(2 * along, 1.0) - inward, 0)
        points = points + np.minimum(lack, 0.02)[:, None] * surface.normals[near]
        strands[:, k] = _off_the_face(points) if style.length_m > 0.04 else points
    return strands


_KNOT_M = np.array([0.0, 0.20, 0.0])  # behind the head, at the height of the eyes


def _off_the_face(points: Floats) -> Floats:
    """Strands before the face go round it: x leaves an ellipse in front view (metres)."""
    half_width, half_height, middle = 0.072, 0.12, -0.055
    height = np.clip(1 - ((points[:, 2] - middle) / half_height) ** 2, 0, None)
    edge = half_width * np.sqrt(height)
    before = points[:, 1] < 0.05
    side = np.where(points[:, 0] >= 0, 1.0, -1.0)
    lack = np.where(before, np.maximum(edge - np.abs(points[:, 0]), 0), 0)
    moved = points.copy()
    moved[:, 0] += side * np.minimum(lack, 0.03)
    return moved


def _before_the_face(strands: Floats, tree: cKDTree, hairy: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """(N,) whether strands go across forehead, eyes or cheeks for all that.

    Args:
        strands: (N, K, 3).
        tree: of the head's vertices.
        hairy: (V,) those on the scalp.
    """
    halfway = (strands[:, 1:] + strands[:, :-1]) / 2
    points = np.concatenate([strands[:, 1:], halfway], axis=1)
    near = (np.abs(points[..., 0]) < 0.06) & (points[..., 1] < 0.03) & (points[..., 2] > -0.17)
    over = np.zeros(near.shape, dtype=bool)
    over[near] = ~hairy[tree.query(points[near])[1]]
    return over.any(axis=1)


def _combed(place: Floats, normal: Floats, style: HairStyle, parting: float) -> Floats:
    """(N, 3) unit directions in the skin along which the hair is combed."""
    if style.gathered:
        flow = _KNOT_M - place
        flow = flow * np.clip(np.linalg.norm(flow, axis=1, keepdims=True) / 0.03, 0, 1)
        return _unit(flow - 0.9 * (flow * normal).sum(axis=1, keepdims=True) * normal)
    side = np.tanh((place[:, 0] - parting) / 0.008)[:, None] * [1.0, 0.0, 0.0]
    high = np.clip((place[:, 2] - 0.02) / 0.08, 0, 1)[:, None]
    flow = style.back * high * [0.0, 1.0, 0.15] + style.part * side * high
    flow = flow + (1 - high) * [0.0, 0.35 * style.back + 0.05, -0.9] + [0.0, 0.0, -0.05]
    return _unit(flow - (flow * normal).sum(axis=1, keepdims=True) * normal)


def grown_brows(
    surface: Surface,
    face_density: ArrayLike,
    landmarks_m: Floats,
    strands: int,
    length_m: float,
    rng: np.random.Generator,
) -> Floats:
    """(N, 4, 3) hairs of one brow on the posed head: upright at the nose, lying flat outside.

    Args:
        surface: the rendered mesh, posed.
        face_density: (F,) 1 in this brow.
        landmarks_m: (5, 3) the brow's lower contour from the outer end inward.
        strands, length_m: how many and how long.
        rng: for roots and strays.
    """
    roots = scattered(surface, face_density, strands, rng)
    place = roots.on(surface.faces, surface.vertices_m)
    normal = _unit(roots.on(surface.faces, surface.normals))
    outer, inner = landmarks_m[0], landmarks_m[-1]
    outward = (outer - inner) / np.linalg.norm(outer - inner)
    up = np.cross(outward, normal)
    up = up * np.sign(up[:, 2:3] + 1e-9)
    share = np.clip((place - inner) @ outward / np.linalg.norm(outer - inner), 0, 1)[:, None]
    direction = outward * (0.25 + 0.9 * share) + up * (0.9 - 1.15 * share)
    direction = _unit(direction + 0.22 * normal + 0.2 * rng.normal(size=place.shape))
    length = length_m * rng.uniform(0.6, 1.1, (strands, 1)) * (0.7 + 0.5 * np.sin(np.pi * share))
    s = np.linspace(0, 1, 4)[None, :, None]
    bend = -0.25 * length[:, None] * s**2 * normal[:, None]
    return place[:, None] + s * (length * direction)[:, None] + bend + 0.0004 * normal[:, None]


def grown_beard(
    surface: Surface,
    face_density: ArrayLike,
    landmarks_m: Floats,
    strands: int,
    length_m: float,
    rng: np.random.Generator,
) -> Floats:
    """(N, 5, 3) hairs of a beard: downward on cheeks and chin, aside from below the nose.

    Args:
        surface: the rendered mesh with its expression, in the skull's axes.
        face_density: (F,) 1 where it grows.
        landmarks_m: (468, 3) in the same axes.
        strands, length_m: how many and how long.
        rng: for roots and strays.
    """
    roots = scattered(surface, face_density, strands, rng)
    place = roots.on(surface.faces, surface.vertices_m)
    normal = _unit(roots.on(surface.faces, surface.normals))
    corners = landmarks_m[[61, 291]]
    x = (place[:, 0] - corners[:, 0].mean()) / (np.ptp(corners[:, 0]) / 2)
    # The upper lip rises between its corners; what grows above it stays above the mouth.
    lip = np.interp(x, [-1, 0, 1], [corners[0, 2], landmarks_m[0, 2], corners[1, 2]])
    above = (np.abs(x) < 1.15) & (place[:, 2] > lip - 0.001)
    way = np.zeros_like(place)
    way[:, 2] = np.where(above, -0.5, -1.0)
    way[:, 0] = np.where(above, 1.1 * np.sign(x) * np.clip(np.abs(x) * 4, 0, 1), 0.25 * x)
    way[:, 1] = np.where(above, 0.0, -0.25)
    flow = _unit(way - (way * normal).sum(axis=1, keepdims=True) * normal)
    locks = max(strands // 25, 1)
    lock = rng.integers(0, locks, strands)
    length = length_m * rng.uniform(0.6, 1.15, strands)
    room = np.where(above, np.clip(1.6 * (place[:, 2] - lip) + 0.003, 0.002, None), np.inf)
    step = np.minimum(length, room)[:, None] / 4
    shared, own = rng.normal(size=(locks, 3))[lock], rng.normal(size=(strands, 4, 3))
    points = [place - 0.0006 * normal]
    for k in range(4):
        lift = 0.9 - 0.13 * k
        bend = _unit(flow + lift * normal + 0.18 * shared + 0.16 * own[:, k]
                     + [0.0, 0.0, -0.12 * k])  # fmt: skip
        points.append(points[-1] + step * bend)
    return np.stack(points, axis=1)


def grown_lashes(
    landmarks_m: Floats, eyes: tuple[Eyeball, Eyeball], length_m: float, rng: np.random.Generator
) -> Floats:
    """(N, 4, 3) lashes of all four lids on the posed head.

    Args:
        landmarks_m: (468, 3) posed.
        eyes: right, left.
        length_m: of the upper lashes.
        rng: for strays.
    """
    contours = topology("face478@1").contours
    strands = []
    for name, eye in (("right_eye", eyes[0]), ("left_eye", eyes[1])):
        ring = contours[name].indices
        up = _unit((landmarks_m[10] - landmarks_m[152])[None])[0]
        outer_corner = landmarks_m[ring[0]]
        aside = _unit((outer_corner - landmarks_m[ring[8]])[None])[0]
        for line, count, size, curl in (
            ((*ring[8:], ring[0]), 55, length_m, 0.55),
            (ring[:9], 30, 0.55 * length_m, -0.25),
        ):
            place = _along(landmarks_m[list(line)], rng.uniform(0.08, 0.97, count))
            out = _unit(place - eye.centre_m)
            spread = ((place - eye.centre_m) @ aside / 0.014)[:, None] * aside
            direction = _unit(out + 0.45 * spread + 0.12 * rng.normal(size=place.shape))
            length = size * rng.uniform(0.7, 1.1, (count, 1))
            s = np.linspace(0, 1, 4)[None, :, None]
            strands.append(
                place[:, None]
                + s * (length * direction)[:, None]
                + curl * s**2 * length[:, None] * up
            )
    return np.concatenate(strands)


def _along(line: Floats, shares: Floats) -> Floats:
    """(N, 3) points at those shares of a (K, 3) polyline's length."""
    lengths = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(line, axis=0), axis=1))])
    at = shares * lengths[-1]
    return np.stack([np.interp(at, lengths, line[:, d]) for d in range(3)], axis=1)


def _unit(vectors: Floats) -> Floats:
    return np.asarray(vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12))
