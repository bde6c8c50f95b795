"""What worn things are made of: tubes, sheets, and the shape around a head that cloth lies on.

All lengths are metres; meshes are quads, counter-clockwise from outside.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.spatial import cKDTree

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_NEIGHBOURS = 12  # vertices that tell how far a head reaches in a direction


@dataclass(frozen=True)
class Mesh:
    """vertices_m (V, 3) and quads (F, 4)."""

    vertices_m: Floats
    faces: Ints


def joined(meshes: list[Mesh]) -> Mesh:
    """Several meshes as one, in their order."""
    starts = np.cumsum([0] + [len(mesh.vertices_m) for mesh in meshes[:-1]])
    return Mesh(
        np.concatenate([mesh.vertices_m for mesh in meshes]),
        np.concatenate([mesh.faces + start for mesh, start in zip(meshes, starts)]),
    )


def sheet_faces(rows: int, columns: int, closed: bool = False) -> Ints:
    """Quads of a grid whose vertices run row by row: they face the side from which rows run upward
    and columns to the right; with `closed` the last column meets the first."""
    count = columns if closed else columns - 1
    row, column = np.meshgrid(np.arange(rows - 1), np.arange(count), indexing="ij")
    after = (column + 1) % columns
    corners = [row * columns + column, row * columns + after,
               (row + 1) * columns + after, (row + 1) * columns + column]  # fmt: skip
    return np.stack(corners, axis=-1).reshape(-1, 4)


def tube(
    line_m: ArrayLike, half_m: ArrayLike, up: ArrayLike, around: int = 8, closed: bool = False
) -> Mesh:
    """A bar of elliptical section along a line.

    Args:
        line_m: (K, 3) its middle.
        half_m: (2,) or (K, 2) half sizes: along `up`, and across.
        up: (3,) or (K, 3) directions that the first size follows as far as the line lets it.
        around: vertices around the section.
        closed: whether the line's end meets its start; else the ends are shut.
    """
    line = np.asarray(line_m, dtype=np.float64)
    count = len(line)
    half = np.broadcast_to(np.asarray(half_m, dtype=np.float64), (count, 2))
    if closed:
        along = np.roll(line, -1, axis=0) - np.roll(line, 1, axis=0)
    else:
        along = np.gradient(line, axis=0)
    along = unit(along)
    hint = np.broadcast_to(np.asarray(up, dtype=np.float64), (count, 3))
    high = unit(hint - (hint * along).sum(axis=1, keepdims=True) * along)
    side = np.cross(along, high)
    turn = 2 * np.pi * np.arange(around) / around
    ring = (
        np.cos(turn)[None, :, None] * (half[:, :1] * high)[:, None]
        + np.sin(turn)[None, :, None] * (half[:, 1:] * side)[:, None]
    )
    vertices = (line[:, None] + ring).reshape(-1, 3)
    faces = sheet_faces(count + int(closed), around, closed=True)
    if closed:
        return Mesh(vertices, faces % (count * around))
    first = np.arange(around // 2 - 1)
    lids = []
    for base, order in ((0, slice(None, None, -1)), ((count - 1) * around, slice(None))):
        lid = np.stack([first, first + 1, around - 2 - first, around - 1 - first], axis=1)
        lids.append((base + lid)[:, order])
    return Mesh(vertices, np.concatenate([faces, *lids]))


def unit(vectors: ArrayLike) -> Floats:
    """(..., 3) of length 1."""
    v = np.asarray(vectors, dtype=np.float64)
    return np.asarray(v / np.maximum(np.linalg.norm(v, axis=-1, keepdims=True), 1e-12))


class Envelope:
    """How far a surface reaches around a point inside it, direction by direction.

    Args:
        vertices_m: (V, 3) of the surface.
        centre_m: (3,).
    """

    def __init__(self, vertices_m: Floats, centre_m: ArrayLike) -> None:
        self.centre_m = np.asarray(centre_m, dtype=np.float64)
        offset = vertices_m - self.centre_m
        self._radius = np.linalg.norm(offset, axis=1)
        self._tree = cKDTree(offset / self._radius[:, None])

    def radius(self, directions: Floats, reach_rad: float = 0.05) -> Floats:
        """(...) distance from the centre to the outermost vertex within about `reach_rad` of unit
        directions (..., 3); to the nearest one where none is that near."""
        flat = directions.reshape(-1, 3)
        apart, near = self._tree.query(flat, k=_NEIGHBOURS)
        apart[:, 1:][apart[:, 1:] > reach_rad] = np.inf
        found = np.where(np.isfinite(apart), self._radius[near], 0.0)
        return np.asarray(found.max(axis=1).reshape(directions.shape[:-1]))


class Shell:
    """Cloth around a point: keeps what grows below it from coming through.

    Args:
        vertices_m: (V, 3) of the cloth.
        centre_m: (3,) inside.
        spacing_rad: how far the cloth reaches beyond its outermost vertices.
    """

    def __init__(self, vertices_m: Floats, centre_m: ArrayLike, spacing_rad: float) -> None:
        self._centre = np.asarray(centre_m, dtype=np.float64)
        offset = vertices_m - self._centre
        self._radius = np.linalg.norm(offset, axis=1)
        self._tree = cKDTree(offset / self._radius[:, None])
        self._spacing = spacing_rad

    def below(self, points_m: Floats, margin_m: float = 0.002) -> tuple[Floats, NDArray[np.bool_]]:
        """Points (..., 3) moved inward to below the cloth, and (...) whether it covers them."""
        flat = points_m.reshape(-1, 3) - self._centre
        radius = np.linalg.norm(flat, axis=1)
        apart, near = self._tree.query(flat / radius[:, None])
        covered = apart < self._spacing
        most = self._radius[near] - margin_m
        shrunk = np.where(covered & (radius > most), most / radius, 1.0)
        moved = self._centre + flat * shrunk[:, None]
        return moved.reshape(points_m.shape), covered.reshape(points_m.shape[:-1])


def taut(
    directions: Floats, least_m: Floats, rounds: int, around: bool = False, held: bool = False
) -> Floats:
    """How far a stretched cloth lies from a point that it surrounds in part.

    Args:
        directions: (R, C, 3) from that point to the cloth's vertices, unit length.
        least_m: (R, C) how near it may come: what it is stretched over.
        rounds: of relaxation; each lets every vertex sink to between its neighbours.
        around: whether the last column is the first one's neighbour.
        held: whether the first row's and the last row's vertices stay at `least_m`.

    Returns:
        (R, C) distances, nowhere below `least_m`.
    """
    radius = least_m.copy()
    for _ in range(rounds):
        places = radius[..., None] * directions
        sides = np.concatenate([places[:, -1:], places, places[:, :1]], axis=1)
        across = (sides[:, :-2] + sides[:, 2:]) / 2
        if not around:
            across[:, 0], across[:, -1] = places[:, 0], places[:, -1]
        along = places.copy()
        along[1:-1] = (places[:-2] + places[2:]) / 2
        mean = (across + along) / 2
        mean[[0, -1]] = places[[0, -1]] if held else across[[0, -1]]
        if not around:
            mean[:, [0, -1]] = along[:, [0, -1]]
        radius = np.maximum((mean * directions).sum(axis=-1), least_m)
    return radius
