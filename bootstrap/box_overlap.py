"""Boxes in space and the exact volume that two of them share.

One box is cut by the six faces of the other, for all pairs at once. A polyhedron is kept as the
bag of its faces' directed edges: each cut shortens the edges that cross it and adds, for every face
that it opens, the missing edge to the face and its reverse to the face that it makes. Both faces
at an edge compute the same crossing to the last bit, so the surface stays closed whatever rounding
does, and coplanar faces need no rules of their own. The volume is a sum over edges.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from runtime.epnp import CORNER_WEIGHTS
from runtime.errors import ViewfinderError

Array = NDArray[np.float64]
Indices = NDArray[np.intp]

CORNERS: Array = CORNER_WEIGHTS[:, 1:] / 2
"""(8, 3) of a box of size 1, in the order of cuboid9@1."""

FACE_LOOPS: Indices = np.array(
    [[0, 1, 3, 2], [4, 6, 7, 5], [0, 4, 5, 1], [2, 3, 7, 6], [0, 2, 6, 4], [1, 5, 7, 3]]
)
"""(6, 4) which of CORNERS lie around the faces -x, +x, -y, +y, -z, +z, counter-clockwise seen from
outside."""

_ROTATION_TOLERANCE = 1e-3
_ON_PLANE = 1e-13
"""Of the coordinates' size: what is nearer to a face's plane counts as inside."""
_CHUNK = 512
"""Pairs cut at a time: the arrays then stay in the cache."""


@dataclass(frozen=True)
class Boxes:
    """Boxes in one frame, as camera or world axes.

    Attributes:
        rotations: (B, 3, 3) frame_from_box; the box's top is +y, its front +z.
        centres_m: (B, 3).
        sizes_m: (B, 3) edge lengths along the box's x, y and z.
    """

    rotations: Array
    centres_m: Array
    sizes_m: Array

    @classmethod
    def checked(cls, rotations: ArrayLike, centres_m: ArrayLike, sizes_m: ArrayLike) -> Boxes:
        """Boxes from numbers that somebody gave.

        Args:
            rotations: (B, 9) or (B, 3, 3), row-major.
            centres_m, sizes_m: (B, 3).

        Raises:
            ViewfinderError: no rotation, a size that isn't above zero, or not finite.
        """
        turns = np.asarray(rotations, dtype=np.float64).reshape(-1, 3, 3)
        centres = np.asarray(centres_m, dtype=np.float64).reshape(-1, 3)
        sizes = np.asarray(sizes_m, dtype=np.float64).reshape(-1, 3)
        if not len(turns) == len(centres) == len(sizes):
            counts = (len(turns), len(centres), len(sizes))
            raise ViewfinderError("as many rotations, centres and sizes are needed", found=counts)
        finite = np.isfinite(turns).all((1, 2)) & np.isfinite(centres).all(1)
        rigid = np.abs(turns @ turns.transpose(0, 2, 1) - np.eye(3)).max((1, 2), initial=0)
        rules = (
            ("numbers that are finite", finite),
            ("a rotation", (rigid < _ROTATION_TOLERANCE) & (np.linalg.det(turns) > 0)),
            ("sizes above zero", (sizes > 0).all(1) & np.isfinite(sizes).all(1)),
        )
        for expected, good in rules:
            if not good.all():
                box = int(np.argmin(good))
                raise ViewfinderError("isn't a box", field=f"box {box}", expected=expected)
        return cls(turns, centres, sizes)

    def __len__(self) -> int:
        return len(self.centres_m)

    def __getitem__(self, which: ArrayLike | slice) -> Boxes:
        """Some of them, chosen as rows of an array are; a single index isn't taken."""
        kept = which if isinstance(which, slice) else np.asarray(which)
        return Boxes(self.rotations[kept], self.centres_m[kept], self.sizes_m[kept])

    @property
    def volumes_m3(self) -> Array:
        """(B,) cubic metres."""
        return np.asarray(self.sizes_m.prod(axis=1))

    def points_m(self) -> Array:
        """(B, 9, 3) centre and corners in the order of cuboid9@1."""
        offsets = np.einsum("bij,bkj->bki", self.rotations, CORNERS * self.sizes_m[:, None])
        centres = self.centres_m[:, None]
        return np.concatenate([centres, centres + offsets], axis=1)

    def moved(self, to_from_frame: ArrayLike) -> Boxes:
        """The same boxes in another frame.

        Args:
            to_from_frame: (4, 4) or (B, 4, 4) rigid transforms.
        """
        moves = np.asarray(to_from_frame, dtype=np.float64)
        turn, shift = moves[..., :3, :3], moves[..., :3, 3]
        centres = (turn @ self.centres_m[..., None])[..., 0] + shift
        return Boxes(turn @ self.rotations, centres, self.sizes_m)

    def turned(self, yaw_rad: float) -> Boxes:
        """Each turned about its own up axis (+y), its size kept."""
        c, s = np.cos(yaw_rad), np.sin(yaw_rad)
        yaw = np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]])
        return Boxes(self.rotations @ yaw, self.centres_m, self.sizes_m)


def box_iou(first: Boxes, second: Boxes) -> Array:
    """Intersection over union of pairs of boxes, exact but for rounding (about 1e-13).

    Args:
        first, second: as many of each, in one frame.

    Returns:
        (B,) 0 for boxes that are apart or only touch, 1 for equal ones.
    """
    shared = shared_volume_m3(first, second)
    iou = shared / (first.volumes_m3 + second.volumes_m3 - shared)
    return np.asarray(np.clip(iou, 0, 1))


def shared_volume_m3(first: Boxes, second: Boxes) -> Array:
    """The volume of what each pair of boxes has in common, (B,) cubic metres."""
    volume = np.zeros(len(first))
    reach = np.linalg.norm(first.sizes_m, axis=1) + np.linalg.norm(second.sizes_m, axis=1)
    apart = np.linalg.norm(first.centres_m - second.centres_m, axis=1)
    (near,) = np.nonzero(apart < reach / 2)
    for start in range(0, len(near), _CHUNK):
        some = near[start : start + _CHUNK]
        volume[some] = _cut_volume(first[some], second[some])
    return volume


@dataclass(frozen=True)
class _Edges:
    """Directed edges of faces: (E, 3) ends, and (E,) the pair and the face they belong to."""

    start: Array
    end: Array
    pair: Indices
    face: Indices

    def __getitem__(self, kept: NDArray[np.bool_]) -> _Edges:
        return _Edges(self.start[kept], self.end[kept], self.pair[kept], self.face[kept])


def _cut_volume(first: Boxes, second: Boxes) -> Array:
    """The volume shared, by cutting `first` in axes in which `second` spans -1 to 1."""
    pairs = len(first)
    to_second = second.rotations.transpose(0, 2, 1)
    corners = np.einsum(
        "bij,bkj->bki", to_second, first.points_m()[:, 1:] - second.centres_m[:, None]
    )
    corners /= second.sizes_m[:, None] / 2
    on_plane = _ON_PLANE * np.maximum(np.abs(corners).max(axis=(1, 2)), 1)
    loops = corners[:, FACE_LOOPS]
    edges = _Edges(
        loops.reshape(-1, 3),
        np.roll(loops, -1, axis=2).reshape(-1, 3),
        np.repeat(np.arange(pairs), 24),
        np.tile(np.repeat(np.arange(6), 4), pairs),
    )
    for axis in range(3):
        for side in (-1.0, 1.0):
            edges = _cut(edges, axis, side, 6 + 2 * axis + (side > 0), on_plane)
    # A face adds a third of its area times its plane's height over the origin; twice its area is
    # the sum of its edges' cross products along its normal.
    normals = np.cross(loops[:, :, 1] - loops[:, :, 0], loops[:, :, 2] - loops[:, :, 1])
    squares = (normals**2).sum(axis=-1, keepdims=True)
    feet = normals * ((normals * loops[:, :, 0]).sum(axis=-1, keepdims=True) / squares)
    cube = np.array([-1.0, 1.0])[:, None, None] * np.eye(3)
    of_cube = np.broadcast_to(cube.transpose(1, 0, 2).reshape(1, 6, 3), (pairs, 6, 3))
    foot = np.concatenate([feet, of_cube], axis=1)[edges.pair, edges.face]
    parts = np.einsum("ei,ei->e", foot, np.cross(edges.start, edges.end))
    unit = np.bincount(edges.pair, parts, pairs) / 6
    return np.asarray(np.maximum(unit, 0) * second.volumes_m3 / 8)


def _cut(edges: _Edges, axis: int, side: float, new_face: int, on_plane: Array) -> _Edges:
    """Keep what has side * coordinate <= 1; what is nearer to the plane than `on_plane` is in."""
    tolerance = on_plane[edges.pair]
    from_m, to_m = side * edges.start[:, axis] - 1, side * edges.end[:, axis] - 1
    from_m = np.where(from_m > tolerance, from_m, np.minimum(from_m, 0))
    to_m = np.where(to_m > tolerance, to_m, np.minimum(to_m, 0))
    leaves, enters = (from_m <= 0) & (to_m > 0), (from_m > 0) & (to_m <= 0)
    if not (leaves.any() or enters.any()):
        return edges[from_m <= 0]
    crossing = leaves | enters
    a, b = from_m[crossing, None], to_m[crossing, None]
    # The same to the last bit for the edge's other face, where start and end are swapped.
    points = (a * edges.end[crossing] - b * edges.start[crossing]) / (a - b)
    start, end = edges.start.copy(), edges.end.copy()
    start[enters] = points[enters[crossing]]
    end[leaves] = points[leaves[crossing]]
    inside = (from_m <= 0) | (to_m <= 0)
    kept = _Edges(start, end, edges.pair, edges.face)[inside]
    # A face is left as often as it is entered: sorted by face, the ends of its gaps stand in line.
    key = edges.pair * 12 + edges.face
    out = np.nonzero(leaves)[0][np.argsort(key[leaves], kind="stable")]
    back = np.nonzero(enters)[0][np.argsort(key[enters], kind="stable")]
    gap_start, gap_end = end[out], start[back]
    return _Edges(
        np.concatenate([kept.start, gap_start, gap_end]),
        np.concatenate([kept.end, gap_end, gap_start]),
        np.concatenate([kept.pair, edges.pair[out], edges.pair[out]]),
        np.concatenate([kept.face, edges.face[out], np.full(len(out), new_face)]),
    )
