"""Solids that furniture and things are made of: boxes, tubes, turned and stacked outlines.

Metres, y up. Blender shades all faces smoothly, so that an edge is sharp where the vertices on its
two sides are different ones.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Surface:
    """What a solid is made of; `render.session_textures` paints it.

    Attributes:
        pattern: of PATTERNS there.
        colour, second: (3,) sRGB, 0..1.
        roughness, metallic: as Blender has them, 0..1.
        seed: of what is random in the picture.
    """

    pattern: str
    colour: tuple[float, float, float]
    second: tuple[float, float, float] = (0.0, 0.0, 0.0)
    roughness: float = 0.5
    metallic: float = 0.0
    seed: int = 0


@dataclass(frozen=True)
class Solid:
    """A closed or open surface of triangles.

    Attributes:
        vertices_m: (V, 3).
        faces: (F, 3) counter-clockwise from outside.
        uv: (F, 3, 2) texture coordinates of each face's corners: metres, for patterns that repeat;
            0..1 over the picture for those that don't.
        surface: of all of it.
    """

    vertices_m: Floats
    faces: NDArray[np.int32]
    uv: Floats
    surface: Surface

    def moved(self, shift_m: ArrayLike) -> Solid:
        """The same solid elsewhere."""
        return replace(self, vertices_m=self.vertices_m + np.asarray(shift_m, dtype=np.float64))

    def turned(self, rotation: ArrayLike) -> Solid:
        """The same solid, turned by a (3, 3) rotation."""
        return replace(self, vertices_m=self.vertices_m @ np.asarray(rotation).T)


def about(axis: str, angle_rad: float) -> Floats:
    """(3, 3) rotation about the x, y or z axis, right-handed."""
    c, s = math.cos(angle_rad), math.sin(angle_rad)
    first, second = {"x": (1, 2), "y": (2, 0), "z": (0, 1)}[axis]
    out = np.eye(3)
    out[first, first] = out[second, second] = c
    out[first, second], out[second, first] = -s, s
    return out


def block(
    low: ArrayLike, high: ArrayLike, surface: Surface, chamfer_m: float = 0.003, fit: bool = False
) -> Solid:
    """A box with chamfered edges.

    Args:
        low, high: (3,) its corners.
        surface: of it.
        chamfer_m: width of the chamfers, at most a third of the shortest side.
        fit: whether a picture is stretched over each side, instead of repeating every metre.
    """
    low, high = np.asarray(low, dtype=np.float64), np.asarray(high, dtype=np.float64)
    size = high - low
    inset = min(chamfer_m, float(size.min()) / 3)
    quads = [_face(axis, sign, inset / size) for axis in range(3) for sign in (-1, 1)]
    quads += [
        _bevel(axis, a, b, inset / size) for axis in range(3) for a in (-1, 1) for b in (-1, 1)
    ]
    corners = np.array(quads)  # (18, 4, 3) within -1..1
    points = low + (corners + 1) / 2 * size
    flat = np.stack([_flat_uv(q, low, size, fit) for q in points])
    triangles = [_tip(np.array(signs), inset / size) for signs in np.ndindex(2, 2, 2)]
    tips = low + (np.array(triangles) + 1) / 2 * size
    return _joined(
        [
            _of_quads(points, flat, surface),
            _of_triangles(tips, np.zeros((8, 3, 2)), surface),
        ]
    )


def _face(axis: int, sign: int, inset: Floats) -> Floats:
    u, v = (axis + 1) % 3, (axis + 2) % 3
    corners = np.zeros((4, 3))
    corners[:, axis] = sign
    for row, (a, b) in enumerate(((-1, -1), (1, -1), (1, 1), (-1, 1))):
        corners[row, u], corners[row, v] = a * (1 - 2 * inset[u]), b * (1 - 2 * inset[v])
    return corners if sign > 0 else corners[::-1]


def _bevel(axis: int, a: int, b: int, inset: Floats) -> Floats:
    u, v = (axis + 1) % 3, (axis + 2) % 3
    corners = np.zeros((4, 3))
    for row, (end, on_u) in enumerate(((-1, True), (1, True), (1, False), (-1, False))):
        corners[row, axis] = end * (1 - 2 * inset[axis])
        corners[row, u] = a * (1 if on_u else 1 - 2 * inset[u])
        corners[row, v] = b * (1 - 2 * inset[v] if on_u else 1)
    return corners[::-1] if a * b > 0 else corners


def _tip(signs: NDArray[np.int64], inset: Floats) -> Floats:
    at = 2.0 * signs - 1
    corners = np.tile(at * (1 - 2 * inset), (3, 1))
    np.fill_diagonal(corners, at)
    return corners if at.prod() > 0 else corners[::-1]


def _flat_uv(quad: Floats, low: Floats, size: Floats, fit: bool) -> Floats:
    """Upright on each side: u runs to the right as one looks at it, v up."""
    normal = np.cross(quad[1] - quad[0], quad[3] - quad[0])
    axis = int(np.abs(normal).argmax())
    sign = 1.0 if normal[axis] > 0 else -1.0
    across, up = {0: (2, 1), 1: (0, 2), 2: (0, 1)}[axis]
    uv = (quad - low)[:, [across, up]]
    if fit:
        uv = uv / size[[across, up]]
    whole = np.array([1.0, 1.0]) if fit else size[[across, up]]
    if (axis == 0 and sign > 0) or (axis == 2 and sign < 0):
        uv[:, 0] = whole[0] - uv[:, 0]
    if axis == 1 and sign > 0:  # seen from above, -z is up
        uv[:, 1] = whole[1] - uv[:, 1]
    return uv


def stacked(rings_m: ArrayLike, surface: Surface, fit: bool = False) -> Solid:
    """A smooth skin over closed outlines, one after the other.

    Args:
        rings_m: (R, C, 3) outlines; seen from where the stack goes, counter-clockwise.
        surface: of it.
        fit: whether a picture is stretched over all of it once.
    """
    rings = np.asarray(rings_m, dtype=np.float64)
    count, columns = rings.shape[:2]
    along = np.linalg.norm(np.diff(rings, axis=0), axis=2).mean(axis=1).cumsum()
    v = np.concatenate([[0.0], along])
    girth = np.linalg.norm(rings - np.roll(rings, -1, axis=1), axis=2).sum(axis=1).max()
    u = np.linspace(0.0, girth, columns + 1)
    if fit:
        u, v = u / u[-1], v / v[-1]
    row, column = np.meshgrid(np.arange(count - 1), np.arange(columns), indexing="ij")
    row, column = row.ravel(), column.ravel()
    after = (column + 1) % columns
    corners = [(row, column), (row, after), (row + 1, after), (row + 1, column)]
    faces = np.stack([r * columns + c for r, c in corners], axis=1)
    right = [column, column + 1, column + 1, column]
    uv = np.stack([np.stack([u[c], v[r]], axis=1) for c, (r, _) in zip(right, corners)], axis=1)
    return _split(rings.reshape(-1, 3), faces, uv, surface)


def cap(ring_m: ArrayLike, surface: Surface, fit: bool = False) -> Solid:
    """A flat lid over an outline (C, 3), facing where it runs counter-clockwise."""
    ring = np.asarray(ring_m, dtype=np.float64)
    centre = ring.mean(axis=0)
    fan = np.stack([np.broadcast_to(centre, ring.shape), ring, np.roll(ring, -1, axis=0)], axis=1)
    normal = np.abs(np.cross(ring - centre, np.roll(ring, -1, axis=0) - centre).sum(axis=0))
    axes = {0: (2, 1), 1: (0, 2), 2: (0, 1)}[int(normal.argmax())]
    uv = (fan - ring.min(axis=0))[..., axes]
    if fit:
        uv = uv / np.maximum(np.ptp(ring, axis=0)[list(axes)], 1e-9)
    return _of_triangles(fan, uv, surface)


def turned_profile(
    profile_m: Sequence[tuple[float, float]],
    surface: Surface,
    segments: int = 40,
    fit: bool = False,
) -> Solid:
    """A solid of revolution about y.

    Args:
        profile_m: (radius, height) from bottom to top of an outer side, top to bottom of an inner
            one; smooth throughout: make sharp edges with several solids.
        surface: of it.
        segments: around.
        fit: as of `stacked`.
    """
    profile = np.asarray(profile_m, dtype=np.float64)
    angle = np.linspace(0, 2 * math.pi, segments, endpoint=False)
    # Clockwise seen from above is outward for a profile that rises: x into -z.
    ring = np.stack([np.cos(angle), np.zeros(segments), -np.sin(angle)], axis=1)
    rings = profile[:, :1, None] * ring + profile[:, 1:, None] * np.array([0.0, 1.0, 0.0])
    return stacked(rings, surface, fit)


def tube(
    path_m: ArrayLike, radii_m: ArrayLike, surface: Surface, segments: int = 12, ends: bool = True
) -> list[Solid]:
    """A round bar along a path.

    Args:
        path_m: (P, 3) points, no two neighbours equal.
        radii_m: number or (P,).
        surface: of it.
        segments: around.
        ends: whether it is closed there.
    """
    path = np.asarray(path_m, dtype=np.float64)
    radii = np.broadcast_to(np.asarray(radii_m, dtype=np.float64), len(path))
    forward = np.gradient(path, axis=0)
    forward /= np.linalg.norm(forward, axis=1, keepdims=True)
    side = np.cross(forward[0], np.eye(3)[np.abs(forward[0]).argmin()])
    angle = np.linspace(0, 2 * math.pi, segments, endpoint=False)[:, None]
    rings = []
    for point, ahead, radius in zip(path, forward, radii):
        side = side - (side @ ahead) * ahead
        side /= np.linalg.norm(side)
        up = np.cross(ahead, side)
        rings.append(point + radius * (np.cos(angle) * side + np.sin(angle) * up))
    solids = [stacked(np.array(rings), surface)]
    if ends:
        solids += [cap(rings[0][::-1], surface), cap(rings[-1], surface)]
    return solids


def bounds_m(solids: Sequence[Solid]) -> tuple[Floats, Floats]:
    """The lowest and the highest corner of all of them, (3,) each."""
    low = np.min([s.vertices_m.min(axis=0) for s in solids], axis=0)
    return low, np.max([s.vertices_m.max(axis=0) for s in solids], axis=0)


def _of_quads(points: Floats, uv: Floats, surface: Surface) -> Solid:
    faces = np.arange(4 * len(points)).reshape(-1, 4)
    return _split(points.reshape(-1, 3), faces, uv, surface)


def _of_triangles(points: Floats, uv: Floats, surface: Surface) -> Solid:
    faces = np.arange(3 * len(points), dtype=np.int32).reshape(-1, 3)
    return Solid(points.reshape(-1, 3).copy(), faces, np.asarray(uv, dtype=np.float64), surface)


def _split(vertices: Floats, quads: NDArray[np.int64], uv: Floats, surface: Surface) -> Solid:
    faces = np.concatenate([quads[:, [0, 1, 2]], quads[:, [0, 2, 3]]]).astype(np.int32)
    return Solid(vertices, faces, np.concatenate([uv[:, [0, 1, 2]], uv[:, [0, 2, 3]]]), surface)


def _joined(solids: Sequence[Solid]) -> Solid:
    starts = np.cumsum([0] + [len(s.vertices_m) for s in solids[:-1]])
    return Solid(
        np.concatenate([s.vertices_m for s in solids]),
        np.concatenate([s.faces + start for s, start in zip(solids, starts)]).astype(np.int32),
        np.concatenate([s.uv for s in solids]),
        solids[0].surface,
    )
