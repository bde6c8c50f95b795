"""What a person wears round the neck: the bust's own skin below a collar line, moved outward.

The bust ends below the shoulders; the garment goes on beyond that end, so that no picture shows it.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from render.faces_head import SURFACES, HeadMesh, vertex_normals

Floats = NDArray[np.float64]

GARMENTS: Mapping[str, tuple[float, float, float]] = {
    "crew": (-0.205, -0.155, 0.0),
    "scoop": (-0.245, -0.165, 0.0),
    "high": (-0.155, -0.125, 0.0),
    "vee": (-0.205, -0.155, 0.07),
}
"""Collar: height against the eyes in front and behind, and depth of a V in front, in metres."""

CLEARANCE_M = 0.006
REACH_M = 0.35


class Garment:
    """One collar on the bust.

    Attributes:
        faces: (F, 4) of the garment's own vertices.
        rest_m: (V, 3) those vertices on the neutral bust.
        below_collar_m: (V,) how far each lies below the collar; the material cuts at 0, so that
            the collar is a smooth line whatever the mesh.
    """

    def __init__(self, mesh: HeadMesh, name: str) -> None:
        skin = mesh.base_faces[mesh.base_surface == SURFACES.index("skin")]
        neutral = mesh.neutral_m
        worn = skin[(_below_collar(neutral, name)[skin] > -0.02).any(axis=1)]
        self._kept, local = np.unique(worn, return_inverse=True)
        faces = local.reshape(-1, 4).astype(np.int64)
        self._faces = faces
        below = _below_collar(neutral[self._kept], name)
        rim, outward = _cut_edges(faces, neutral[self._kept], below)
        self._rim = np.unique(rim)
        beyond = np.full(len(self._kept), -1)
        beyond[self._rim] = len(self._kept) + np.arange(len(self._rim))
        self._outward = outward[self._rim]
        skirt = np.stack([rim[:, 1], rim[:, 0], beyond[rim[:, 0]], beyond[rim[:, 1]]], axis=1)
        self.faces = np.concatenate([faces, skirt])
        self.below_collar_m = np.concatenate([below, np.full(len(self._rim), 1.0)])
        self.rest_m = self.on(neutral)

    def on(self, base_m: Floats, reach_m: float = REACH_M) -> Floats:
        """(V, 3) the garment on a posed bust (V_base, 3); beyond the bust's end it goes on by
        `reach_m`."""
        body = base_m[self._kept]
        cloth = body + CLEARANCE_M * vertex_normals(body, self._faces)
        return np.concatenate([cloth, cloth[self._rim] + reach_m * self._outward])


def _below_collar(points: Floats, name: str) -> Floats:
    front, back, vee = GARMENTS[name]
    behind = np.clip((points[:, 1] - 0.02) / 0.14, 0, 1)
    line = front + (back - front) * behind
    line = line - vee * np.clip(1 - np.abs(points[:, 0]) / 0.06, 0, 1) * (1 - behind)
    return np.asarray(line - points[:, 2])


def _cut_edges(
    faces: NDArray[np.int64], points: Floats, below: Floats
) -> tuple[NDArray[np.int64], Floats]:
    """Border edges (E, 2), in their faces' direction, where the bust was cut, and for every vertex
    the direction in which the body goes on."""
    sides = np.stack([faces, np.roll(faces, -1, axis=1)], axis=-1).reshape(-1, 2)
    _, index, counts = np.unique(
        np.sort(sides, axis=1), axis=0, return_inverse=True, return_counts=True
    )
    border = sides[counts[index.ravel()] == 1]
    cut = border[below[border].min(axis=1) > 0.02]
    direction = np.zeros_like(points)
    direction[:, 2] = -1.0
    arm = np.clip((np.abs(points[:, 0]) - 0.15) / 0.06, 0, 1)
    direction[:, 0] = 0.45 * np.sign(points[:, 0]) * arm
    return cut, direction / np.linalg.norm(direction, axis=1, keepdims=True)
