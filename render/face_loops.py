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

CANTHUS = ((3, 3), (2, 3), (2, 2))
"""The same at the eye's inner corner, by columns' distance from its tip. The ball's edge lies up to
3 mm before the corner; between them is the caruncle, which belongs to the opening that people
trace."""

STEPS = 4
"""Points of a loop from one station to the next."""


@dataclass(frozen=True)
class Loop:
    """A closed line on the base mesh.

    Attributes:
        corners: (N, 2) vertices: each station lies in the middle between two, or on one, named
            twice; in order. Neighbours share a quad.
    """

    corners: Ints

    def points(self, mesh: HeadMesh) -> Any:
        """Sparse (STEPS N, V) that takes base vertices to points along the loop on the surface that
        is rendered, in order; a station is every `STEPS`-th."""
        quads = {frozenset(quad): quad for quad in mesh.base_faces.tolist()}
        triangles, weights = [], []
        for here, there in zip(self.corners, np.roll(self.corners, -1, axis=0)):
            ends = {*here.tolist(), *there.tolist()}
            quad = next(quad for key, quad in quads.items() if ends <= key)
            for step in np.arange(STEPS) / STEPS:
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
    for name, columns in zip(("right_eye", "left_eye"), lid_columns(mesh)):
        rings = np.tile(LID_RINGS, (columns.shape[1], 1))
        for away, there in enumerate(CANTHUS):
            rings[[away, -away]] = there
        loops[name] = Loop(np.take_along_axis(columns.T, rings, axis=1))
    return loops


def lid_columns(mesh: HeadMesh) -> tuple[Ints, Ints]:
    """(4, N) base vertices of the rings around the right and the left eye's border, ring by ring
    from the border on, each beside its like on the next ring; the first column is that of the inner
    corner's tip."""
    skin = mesh.base_faces[mesh.base_surface == SURFACES.index("skin")]
    beside = _edges(skin)
    eyes = []
    for border in mesh.lid_margins:
        rings = [set(ring.tolist()) for ring in _rings(skin, border, 3)]
        columns = [_in_order(skin, border)]
        for ring in rings[1:]:
            columns.append(np.array([(beside[v] & ring).pop() for v in columns[-1].tolist()]))
        tip = int(np.abs(mesh.neutral_m[columns[-1], 0]).argmin())
        eyes.append(np.roll(np.stack(columns), -tip, axis=1))
    return eyes[0], eyes[1]


def caruncles(mesh: HeadMesh) -> NDArray[np.bool_]:
    """(F,) faces of the rendered mesh between the eyeball and the lids' inner corner."""
    level = np.full(len(mesh.neutral_m), np.inf)
    for columns in lid_columns(mesh):
        # How far inside the loop each vertex lies, in rings.
        for away, there in enumerate((*CANTHUS, LID_RINGS)):
            for ring, vertices in enumerate(columns[:, [away, -away]]):
                level[vertices] = ring - sum(there) / 2
    corners = level[mesh.base_faces]
    if len(mesh.faces) == len(mesh.base_faces):
        return np.asarray(corners.mean(axis=1) < 0)
    # In the middle of each of a quad's children, which begin at its corners.
    middle = [np.roll(corners, -k, axis=1) @ np.array([9, 3, 1, 3]) / 16 for k in range(4)]
    return np.asarray(np.stack(middle, axis=1).ravel() < 0)


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
