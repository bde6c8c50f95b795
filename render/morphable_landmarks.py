"""The 468 + 10 points on a user's head model, and what follows from them: lips, eyes, openings.

Irises lie on eyeballs where the model's eyes are holes, and on its own surface where eyes are
painted on it, as Basel's are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from render.face_mapping import FaceMapping
from render.faces_head import Eyeball, eye_axes, sight
from render.morphable import MorphableModel
from runtime.errors import missing_extra
from runtime.topology import topology

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

EYE_RADII_M = np.arange(0.0115, 0.0175, 0.0005)
"""Eyeballs that are tried; real ones have 12 mm."""

NEAR_M = 0.012
"""A hole whose middle lies this near an eye's or the mouth's is its opening."""

IRIS_WITHIN, LEAST_CONTRAST = 0.85, 0.15
"""How much of the opening between the lids is searched for a painted iris, without the lashes at
its edge; and how much darker than the white it must be, in sRGB of 0..1."""

_BAG = ((0.008, 1.0), (0.03, 0.8), (0.04, 0.0))  # depth behind the lips, width against theirs


@dataclass(frozen=True)
class PaintedEye(Eyeball):
    """An eye that is painted on the face's surface; `points` (5, 3) are its iris'."""

    points: Floats

    def iris_points(self) -> Floats:
        """(5, 3) in the order of `Eyeball.iris_points`."""
        return self.points


class Landmarks:
    """Where landmarks sit on a model.

    Args:
        model: the head.
        mapping: (468, 3) of the model's own vertices, with weights.

    Attributes:
        eyes_open, mouth_open: whether there are holes in the mesh.
    """

    def __init__(self, model: MorphableModel, mapping: FaceMapping) -> None:
        self._model = model
        self._triangles, self._weights = mapping.triangles, mapping.weights
        mean = model.mean_m.astype(np.float64)
        contours = topology("face478@1").contours
        self._rings = [
            np.array(contours[name].indices) for name in ("right_eye", "left_eye", "lips_inner")
        ]
        places = self.points(mean)
        loops = boundary_loops(model.triangles)
        found = [nearest_loop(mean, loops, places[ring]) for ring in self._rings]
        self.eyes_open = found[0] is not None and found[1] is not None
        self._mouth = found[2]
        self.mouth_open = self._mouth is not None
        self._iris = None if self.eyes_open else [self._on_surface(places, k) for k in (0, 1)]
        ears = [int(np.linalg.norm(mean - places[i], axis=1).argmin()) for i in (234, 454)]
        self.tragions = ears[0], ears[1]

    def points(self, vertices_m: Floats) -> Floats:
        """(468, 3) on (V, 3) vertices."""
        return np.einsum("nk,nkc->nc", self._weights, vertices_m[self._triangles])

    def eyes(
        self, vertices_m: Floats, neutral_m: Floats, gaze_rad: tuple[float, float]
    ) -> tuple[Eyeball, Eyeball]:
        """Right and left eye of a face; the gaze turns only eyes that aren't painted."""
        places = self.points(neutral_m)
        gaze = gaze_rad if self.eyes_open else (0.0, 0.0)
        ahead = sight(gaze)
        result: list[Eyeball] = []
        for k in (0, 1):
            centre, radius = eyeball(places[self._rings[k]])
            axes = eye_axes(gaze, radius)
            if self._iris is None:
                result.append(Eyeball(centre, radius, axes, ahead))
            else:
                triangles, weights = self._iris[k]
                points = np.einsum("nk,nkc->nc", weights, vertices_m[triangles])
                result.append(PaintedEye(centre, radius, axes, ahead, points))
        return result[0], result[1]

    def _on_surface(self, places: Floats, eye: int) -> tuple[Ints, Floats]:
        """Triangles (5, 3) and weights (5, 3) of a painted iris' points."""
        ring = places[self._rings[eye]]
        mean = self._model.mean_m.astype(np.float64)
        radius = eyeball(ring)[1]
        back = np.array([0.0, radius, 0.0])
        ahead = sight((0.0, 0.0))
        ball = Eyeball(self._painted_middle(mean, ring) + back, radius, np.eye(3), ahead)
        centre = mean[self._model.triangles].mean(axis=1)
        near = np.linalg.norm(centre - ring.mean(axis=0), axis=1) < 0.02
        return nearest_on(mean, self._model.triangles[near], ball.iris_points())

    def _painted_middle(self, mean: Floats, ring: Floats) -> Floats:
        """(3,) middle of what is dark between the lids, or of the lids where nothing is."""
        middle = np.asarray(ring.mean(axis=0))
        rows = np.flatnonzero(_within(mean, middle + IRIS_WITHIN * (ring - middle)))
        if self._model.colour is None or len(rows) < 3:
            return middle
        light = self._model.colour[rows].astype(np.float64).mean(axis=1)
        dark, bright = light.min(), light.max()
        if bright - dark < LEAST_CONTRAST:
            return middle
        weight = np.clip((bright - light) / (bright - dark) - 0.5, 0.0, None)
        return np.asarray(weight @ mean[rows] / weight.sum())

    def surface_names(self) -> list[str]:
        """What each triangle belongs to: skin, lips or eyes."""
        mean = self._model.mean_m.astype(np.float64)
        places = self.points(mean)
        centre = mean[self._model.triangles].mean(axis=1)
        contours = topology("face478@1").contours
        names = np.full(len(centre), "skin", dtype=object)
        outer = _within(centre, places[list(contours["lips_outer"].indices)])
        names[outer] = "lips"
        if not self.eyes_open:
            for ring in self._rings[:2]:
                names[_within(centre, places[ring])] = "eyes"
        return [str(name) for name in names]

    def mouth_bag(self, vertices_m: Floats) -> tuple[Floats, Ints]:
        """The inside of a mouth that is a hole: rings from the lips' edge backward, as quads."""
        assert self._mouth is not None
        rim = vertices_m[self._mouth]
        middle = rim.mean(axis=0)
        rings = [rim]
        for depth, width in _BAG:
            ring = middle + width * (rim - middle)
            ring[:, 1] = rim[:, 1] + depth
            rings.append(ring)
        n = len(rim)
        k = np.arange(n)
        after = (k + 1) % n
        faces = [
            np.stack([n * i + k, n * i + after, n * (i + 1) + after, n * (i + 1) + k], axis=1)
            for i in range(len(_BAG))
        ]
        return np.concatenate(rings), np.concatenate(faces)


def eyeball(ring_m: Floats) -> tuple[Floats, float]:
    """Centre and radius of the ball that lids (N, 3) lie on.

    A ring of lids is nearly flat and says little of a ball: the centre is looked for behind the
    ring's middle only, straight back or up to 10 degrees aside, so that an iris that looks ahead is
    2 mm from the lids' middle at most, with one of `EYE_RADII_M`.
    """
    middle = ring_m.mean(axis=0)
    best = (np.inf, middle, float(EYE_RADII_M[0]))
    for aside in np.radians(np.arange(-10, 11, 5)):
        back = np.array([np.sin(aside), np.cos(aside), 0.0])
        for radius in EYE_RADII_M.tolist():
            out = ((ring_m - middle) ** 2).sum(axis=1).mean()
            centre = middle + np.sqrt(max(radius**2 - out, 0.0)) * back
            residual = np.abs(np.linalg.norm(ring_m - centre, axis=1) - radius).mean()
            if residual < best[0]:
                best = (float(residual), centre, radius)
    return best[1], best[2]


def nearest_on(vertices_m: Floats, triangles: NDArray, points_m: Floats) -> tuple[Ints, Floats]:
    """Triangles (N, 3) and barycentric weights (N, 3) of the surface's points nearest to (N, 3).

    Raises:
        ViewfinderError: trimesh or rtree isn't installed.
    """
    try:
        import rtree  # noqa: F401  # trimesh asks for it only in the middle of its work
        import trimesh
    except ImportError as error:
        raise missing_extra("render", error.name or "trimesh") from error
    surface = trimesh.Trimesh(vertices_m, triangles, process=False)
    found, _, rows = trimesh.proximity.closest_point(surface, points_m)
    corners = surface.triangles[rows]
    weights = np.clip(trimesh.triangles.points_to_barycentric(corners, found), 0.0, 1.0)
    weights = weights / weights.sum(axis=1, keepdims=True)
    return np.asarray(triangles[rows], dtype=np.int64), np.asarray(weights)


def boundary_loops(triangles: NDArray) -> list[Ints]:
    """The mesh's holes and its outer edge: rings of vertices in order."""
    whole = triangles.astype(np.int64)
    sides = np.stack([whole, np.roll(whole, -1, axis=1)], axis=-1).reshape(-1, 2)
    count = int(sides.max()) + 1
    key, back = sides @ [count, 1], sides @ [1, count]
    border = sides[~np.isin(key, back)]
    after = {int(a): int(b) for a, b in border}
    loops = []
    while after:
        start, here = after.popitem()
        loop = [start]
        while here != start and here in after:
            loop.append(here)
            here = after.pop(here)
        if here == start and len(loop) > 2:
            loops.append(np.array(loop, dtype=np.int64))
    return loops


def nearest_loop(mean: Floats, loops: Sequence[Ints], ring: Floats) -> Ints | None:
    """The hole that a ring of landmarks goes around; None where there is none."""
    width = float(np.ptp(ring[:, 0]))
    best: tuple[float, Ints] | None = None
    for loop in loops:
        p = mean[loop]
        apart = float(np.linalg.norm((p.min(axis=0) + p.max(axis=0)) / 2 - ring.mean(axis=0)))
        if apart < NEAR_M and 0.4 * width < np.ptp(p[:, 0]) < 1.8 * width:
            best = min(best or (apart, loop), (apart, loop), key=lambda pair: pair[0])
    return None if best is None else best[1]


def _within(points: Floats, ring: Floats) -> NDArray[np.bool_]:
    """Whether points lie inside a ring as seen from in front, and not far behind it."""
    inside = np.zeros(len(points), dtype=bool)
    for (x1, _, z1), (x2, _, z2) in zip(ring, np.roll(ring, -1, axis=0)):
        between = (z1 > points[:, 2]) != (z2 > points[:, 2])
        with np.errstate(divide="ignore", invalid="ignore"):
            cut = x1 + (points[:, 2] - z1) / (z2 - z1) * (x2 - x1)
        inside ^= between & (points[:, 0] < cut)
    return inside & (np.abs(points[:, 1] - ring[:, 1].mean()) < 0.02)
