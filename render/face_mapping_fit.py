"""Fits MediaPipe's 468 landmarks to a head; `render.face_mapping_run` brings it the renders.

0. The canonical mesh is warped onto the head by the corners of its eyes and lips alone, which the
   mesh's own loops name: brows are grown and skin is painted by that for the next step.
1. A frontal neutral render goes through MediaPipe's face mesh; depth lifts what it finds onto the
   surface. The canonical mesh is brought there by a similarity and then warped onto the surface
   (trimesh's non-rigid ICP after Amberg, Romdhani and Vetter 2007): a prior that keeps the order.
2. Over many random renders every landmark takes the surface point whose projections lie nearest to
   MediaPipe's answers, errors capped, views weighted by how squarely they show the place, the
   prior pulling gently.
3. Partners left and right are averaged, and away from lips, lids and brows the move from the prior
   is smoothed over the mesh. The contours of lips and lids only slide along the mesh's own loops
   (`render.face_loops`), each half of a lip along its half of the loop.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from render.face_loops import STEPS, face_loops
from render.face_mapping import COUNT, FaceMapping
from render.faces_head import SURFACES, HeadMesh, vertex_normals
from runtime.camera import Camera, transform_points
from runtime.errors import missing_extra
from runtime.topology import canonical_face, topology

Floats = NDArray[np.float64]

GRID = STEPS
"""Steps between candidates along a side of every quad, as many as along the loops."""

CAP = 0.15
"""Errors count up to this share of the interocular distance."""

PRIOR = 0.25
"""Weight of the distance from the prior against the mean error, both in interocular distances."""

REACH_M = 0.018
"""How far from its place in the prior a landmark may go."""

NEUTRAL_IOD_M = 0.063
MIDDLE_M = 2e-4
LIP_GAP_M = 0.0016
SMOOTHING_PASSES = 3


@dataclass(frozen=True)
class FitView:
    """One render and what MediaPipe said of it.

    Attributes:
        base_m: (V, 3) vertices of the base mesh in the person's axes.
        camera_from_person: (4, 4).
        camera: of the picture.
        detected_px: (468 or 478, 2 or more) MediaPipe's landmarks.
        irises_m: (10, 3) the irises' points in those axes.
    """

    base_m: Floats
    camera_from_person: Floats
    camera: Camera
    detected_px: Floats
    irises_m: Floats

    @property
    def iod_px(self) -> float:
        """Distance of the iris centres in the picture."""
        centres = self.camera.project(
            transform_points(self.camera_from_person, self.irises_m[[0, 5]])
        )
        return float(np.linalg.norm(centres[0] - centres[1]))


class SurfacePoints(Protocol):
    """Points of a face's surface that landmarks may take.

    Attributes:
        points_m: (C, 3) on the neutral head.
        matrix: (C, V) that takes vertices to these points.
    """

    points_m: Floats
    matrix: Any

    def normals_on(self, base_m: Floats) -> Floats:
        """(C, 3) outward directions at the points of a posed head."""


class Candidates:
    """Points of the surface of Anny's face that a landmark may take."""

    def __init__(self, mesh: HeadMesh) -> None:
        region = mesh.region
        self.mesh = mesh
        allowed = np.isin(mesh.base_surface, [SURFACES.index("skin"), SURFACES.index("mouth")])
        centre = mesh.neutral_m[mesh.base_faces].mean(axis=1)
        # Heights and depths against the point between the eyes.
        near = (centre[:, 2] > -0.19) & (centre[:, 2] < 0.12)
        front = centre[:, 1] < 0.09
        # Of the mouth's lining only what touches the lips.
        lining = mesh.base_surface == SURFACES.index("mouth")
        lips_y = centre[lining][:, 1].min()
        quads = np.flatnonzero(allowed & near & front & (~lining | (centre[:, 1] < lips_y + 0.008)))
        steps = np.linspace(0, 1, GRID + 1)
        s, t = (a.ravel() for a in np.meshgrid(steps, steps))
        lower = s >= t
        corners = np.where(lower[:, None], [0, 1, 2], [0, 2, 3])
        bary = np.where(
            lower[:, None],
            np.stack([1 - s, s - t, t], axis=1),
            np.stack([1 - t, s, t - s], axis=1),
        )
        self.triangles = mesh.base_faces[quads][:, corners].reshape(-1, 3)
        self.weights = np.tile(bary, (len(quads), 1))
        self.matrix = mesh.surface_weights(self.triangles, self.weights)
        self.points_m: Floats = self.matrix @ mesh.neutral_m
        row = region.action_names.index("jawOpen")
        jaw = region.actions[row].reshape(-1, 3)[: len(mesh.neutral_m)].astype(np.float64)
        self.jaw_drop_m: Floats = -(self.matrix @ jaw)[:, 2]
        self.normals: Floats = self.matrix @ vertex_normals(mesh.neutral_m, mesh.base_faces)

    def normals_on(self, base_m: Floats) -> Floats:
        """(C, 3) outward directions at the points of a posed head."""
        return np.asarray(self.matrix @ vertex_normals(base_m, self.mesh.base_faces))

    def nearest(
        self, points_m: ArrayLike, allowed: NDArray[np.bool_] | None = None
    ) -> NDArray[np.int64]:
        """(N,) rows of the candidates nearest to (N, 3) points on the neutral head."""
        from scipy.spatial import cKDTree

        rows = np.arange(len(self.points_m)) if allowed is None else np.flatnonzero(allowed)
        found = cKDTree(self.points_m[rows]).query(np.asarray(points_m))[1]
        return np.asarray(rows[found], dtype=np.int64)

    def near(self, prior_m: Floats) -> list[NDArray[np.int64]]:
        """For every landmark the candidates that it may take, around its place in the prior.

        The contours of lips and lids: only the mesh's loop, of a lip only what follows it when the
        jaw opens.
        """
        from scipy.spatial import cKDTree

        contours = topology("face478@1").contours
        allowed = np.ones((COUNT, len(self.points_m)), dtype=bool)
        upper, lower = lip_landmarks()
        drop = self.jaw_drop_m / np.abs(self.jaw_drop_m).max()
        allowed[list(upper)] = drop < 0.30
        allowed[list(lower)] = drop > 0.30
        for name, loop in face_loops(self.mesh).items():
            # Of the grid only what coincides with the loop's own points.
            line = loop.points(self.mesh) @ self.mesh.neutral_m
            allowed[list(contours[name].indices)] &= cKDTree(line).query(self.points_m)[0] < 1e-9
        middle = [i for i, j in enumerate(topology("face478@1").mirror[:COUNT]) if i == j]
        allowed[middle] &= np.abs(self.points_m[:, 0]) < MIDDLE_M
        tree = cKDTree(self.points_m)
        rows = []
        for place, may in zip(prior_m, allowed):
            around = np.array(sorted(tree.query_ball_point(place, REACH_M)), dtype=np.int64)
            around = around[may[around]]
            rows.append(around if len(around) else self.nearest(place[None], may))
        return rows


def lip_landmarks() -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Landmarks of the upper and of the lower lip, corners left out."""
    contours = topology("face478@1").contours
    upper: list[int] = []
    lower: list[int] = []
    for name in ("lips_outer", "lips_inner"):
        ring = contours[name].indices
        lower += ring[2:9]
        upper += ring[12:19]
    return tuple(upper), tuple(lower)


def anchors(mesh: HeadMesh) -> Floats:
    """(468, 3) on the neutral head what its loops name, NaN elsewhere: corners and middles of lids
    and lips, and the tip of the nose."""
    places = np.full((COUNT, 3), np.nan)
    loops = face_loops(mesh)
    for name, (first, second, top, bottom) in _ANCHORS.items():
        line = loops[name].points(mesh) @ mesh.neutral_m
        ends = line[line[:, 0].argmin()], line[line[:, 0].argmax()]
        places[[first, second]] = ends
        middle = np.argsort(np.abs(line[:, 0] - (ends[0][0] + ends[1][0]) / 2))[:8]
        height = line[middle, 2]
        places[[top, bottom]] = line[middle[height.argmax()]], line[middle[height.argmin()]]
    places[_NOSE_TIP] = mesh.neutral_m[mesh.neutral_m[:, 1].argmin()]
    return places


# Toward -x, toward +x, top and bottom.
_ANCHORS = {
    "right_eye": (33, 133, 159, 145), "left_eye": (362, 263, 386, 374),
    "lips_outer": (61, 291, 0, 17), "lips_inner": (78, 308, 13, 14),
}  # fmt: skip
_NOSE_TIP = 4


def similarity(source: ArrayLike, target: ArrayLike) -> tuple[float, Floats, Floats]:
    """Scale, rotation (3, 3) and shift (3,) that take source to target best (Umeyama 1991)."""
    a, b = np.asarray(source, dtype=np.float64), np.asarray(target, dtype=np.float64)
    ca, cb = a.mean(axis=0), b.mean(axis=0)
    u, s, vt = np.linalg.svd((b - cb).T @ (a - ca))
    flip = np.diag([1.0, 1.0, np.sign(np.linalg.det(u @ vt))])
    rotation = u @ flip @ vt
    scale = float((s * np.diag(flip)).sum() / ((a - ca) ** 2).sum())
    return scale, rotation, cb - scale * rotation @ ca


def registered(mesh: HeadMesh, lifted_m: Floats, landmarks: Sequence[int] = ()) -> Floats:
    """(468, 3) the canonical mesh warped onto the neutral head.

    Args:
        mesh: the head.
        lifted_m: (468, 3) MediaPipe's landmarks on the neutral head's surface, NaN where unknown.
        landmarks: those that steer the warp.

    Raises:
        ViewfinderError: trimesh or rtree isn't installed.
    """
    skin = mesh.faces[mesh.surface == SURFACES.index("skin")]
    vertices = mesh.rendered(mesh.neutral_m)
    front = vertices[skin].mean(axis=1)[:, 1] < 0.13
    triangles = np.concatenate([skin[front][:, [0, 1, 2]], skin[front][:, [0, 2, 3]]])
    return warped(vertices, triangles, lifted_m, landmarks)


def warped(
    vertices_m: Floats,
    triangles: NDArray[np.integer],
    lifted_m: Floats,
    landmarks: Sequence[int] = (),
) -> Floats:
    """(468, 3) the canonical mesh brought onto a surface.

    Args:
        vertices_m, triangles: the surface, (V, 3) and (F, 3).
        lifted_m: (468, 3) landmarks known on it, NaN where unknown; three or more.
        landmarks: those that steer the warp.

    Raises:
        ViewfinderError: trimesh or rtree isn't installed.
    """
    try:
        import rtree  # noqa: F401  # trimesh asks for it only in the middle of its work
        import trimesh
        from trimesh.registration import nricp_amberg
    except ImportError as error:
        raise missing_extra("render", error.name or "trimesh") from error

    canonical = canonical_face()
    known = np.isfinite(lifted_m).all(axis=1)
    scale, rotation, shift = similarity(canonical.vertices_m[:COUNT][known], lifted_m[known])
    start = scale * canonical.vertices_m[:COUNT] @ rotation.T + shift
    steering = np.array([i for i in (landmarks or _STEERING) if known[i]])
    warp = nricp_amberg(
        trimesh.Trimesh(start, canonical.triangles, process=False),
        trimesh.Trimesh(vertices_m, triangles, process=False),
        source_landmarks=steering,
        target_positions=lifted_m[steering],
        distance_threshold=0.02,
    )
    return np.asarray(warp)


# Spread over the face, on features that MediaPipe finds most surely.
_STEERING = (
    *(33, 133, 159, 145, 263, 362, 386, 374, 61, 291, 0, 17, 13, 14, 1, 4, 2, 168, 6, 98, 327),
    *(70, 105, 107, 300, 334, 336, 152, 10, 234, 454, 172, 397, 127, 356),
)


def refined(candidates: Candidates, prior_m: Floats, views: Sequence[FitView]) -> FaceMapping:
    """The mapping that explains the views best; see the module's text.

    Args:
        candidates: of the head.
        prior_m: (468, 3) places on the neutral head.
        views: renders with MediaPipe's answers.
    """
    near = candidates.near(prior_m)
    starts, chosen = chosen_rows(candidates, near, prior_m, views)
    places = smoothed(symmetric(candidates.points_m[chosen]), symmetric(starts))
    final = [
        rows[np.argmin(_apart(candidates.points_m[rows], place))]
        for rows, place in zip(near, symmetric(places))
    ]
    return _mirrored(candidates, np.array(final))


def chosen_rows(
    surface: SurfacePoints,
    near: Sequence[NDArray[np.int64]],
    prior_m: Floats,
    views: Sequence[FitView],
) -> tuple[Floats, NDArray[np.int64]]:
    """The points that explain the views best.

    Args:
        surface: what may be chosen from.
        near: for every landmark the rows that it may take.
        prior_m: (468, 3) places on the neutral head.
        views: renders with MediaPipe's answers.

    Returns:
        (468, 3) the points nearest to the prior, and (468,) the rows chosen.
    """
    prior = np.array(
        [rows[np.argmin(_apart(surface.points_m[rows], p))] for p, rows in zip(prior_m, near)]
    )
    starts = surface.points_m[prior]
    cost = [
        PRIOR * (_apart(surface.points_m[rows], start) / NEUTRAL_IOD_M) ** 2
        for rows, start in zip(near, starts)
    ]
    placed = [_placed(surface, prior, view) for view in views]
    total = np.sum([weight for _, weight in placed], axis=0) if placed else np.ones(COUNT)
    for view, (pixels, weight) in zip(views, placed):
        share = weight / np.maximum(total, 1e-6)
        for i, rows in enumerate(near):
            error = _apart(pixels[rows], view.detected_px[i, :2]) / view.iod_px
            cost[i] = cost[i] + share[i] * np.minimum(error, CAP)
    return starts, np.array([rows[np.argmin(values)] for rows, values in zip(near, cost)])


def _placed(
    candidates: SurfacePoints, prior: NDArray[np.int64], view: FitView
) -> tuple[Floats, Floats]:
    """(C, 2) pixels of all candidates and (468,) how squarely the view shows each landmark."""
    camera_m = transform_points(view.camera_from_person, candidates.matrix @ view.base_m)
    normals = candidates.normals_on(view.base_m) @ view.camera_from_person[:3, :3].T
    toward = -(normals * camera_m).sum(axis=1) / np.linalg.norm(camera_m, axis=1)
    return view.camera.project(camera_m), np.clip(toward[prior], 0.0, 1.0)


def _apart(points: Floats, place: Floats) -> Floats:
    return np.asarray(np.linalg.norm(points - place, axis=1))


def symmetric(points_m: Floats) -> Floats:
    """Landmarks (468, 3) averaged with their mirrored partners."""
    mirror = np.array(topology("face478@1").mirror[:COUNT])
    return np.asarray((points_m + points_m[mirror] * [-1.0, 1.0, 1.0]) / 2)


def smoothed(points_m: Floats, prior_m: Floats) -> Floats:
    """Landmarks (468, 3) whose move from the prior is smooth, but on lips, lids and brows."""
    face = topology("face478@1")
    sharp = {i for part in ("lips", "eyelids", "brows") for i in face.parts[part]}
    edges = np.array([e for e in face.edges if max(e) < COUNT])
    move = points_m - prior_m
    free = np.array([i not in sharp for i in range(COUNT)])
    degree = np.bincount(edges.ravel(), minlength=COUNT)[:, None]
    for _ in range(SMOOTHING_PASSES):
        around = np.zeros_like(move)
        np.add.at(around, edges[:, 0], move[edges[:, 1]])
        np.add.at(around, edges[:, 1], move[edges[:, 0]])
        move = np.where(free[:, None], 0.5 * move + 0.5 * around / degree, move)
    return prior_m + move


def _mirrored(candidates: Candidates, rows: NDArray[np.int64]) -> FaceMapping:
    """The mapping with the right half's triangles taken from the left half's, mirrored."""
    mesh = candidates.mesh
    partner = mirror_vertices(mesh.neutral_m)
    mirror = topology("face478@1").mirror
    triangles, weights = candidates.triangles[rows].copy(), candidates.weights[rows].copy()
    for i in range(COUNT):
        j = mirror[i]
        if mesh.neutral_m[triangles[i]][:, 0].mean() > 0 and j != i and j < COUNT:
            triangles[j], weights[j] = partner[triangles[i]], weights[i]
    base = mesh.region.base_vertices.astype(np.int64)
    return FaceMapping(base[triangles], weights, {})


def mirror_vertices(vertices_m: Floats) -> NDArray[np.int64]:
    """(V,) the vertex at the mirrored place of each vertex of a symmetric mesh."""
    from scipy.spatial import cKDTree

    return np.asarray(cKDTree(vertices_m).query(vertices_m * [-1.0, 1.0, 1.0])[1], dtype=np.int64)


def errors_by_part(
    mesh: HeadMesh, mapping: FaceMapping, views: Sequence[FitView]
) -> dict[str, float]:
    """Mean distance to MediaPipe's answer in % of the interocular distance, by part."""
    triangles = mapping.local_triangles(mesh.region.base_vertices)
    return errors_of(mesh.surface_weights(triangles, mapping.weights), views)


def errors_of(matrix: Any, views: Sequence[FitView]) -> dict[str, float]:
    """As `errors_by_part`, of landmarks given as a matrix (468, V) over the vertices."""
    errors = []
    for view in views:
        points = np.concatenate([matrix @ view.base_m, view.irises_m])
        pixels = view.camera.project(transform_points(view.camera_from_person, points))
        found = np.full((478, 2), np.nan)
        found[: len(view.detected_px)] = view.detected_px[:, :2]
        errors.append(100 * np.linalg.norm(pixels - found, axis=1) / view.iod_px)
    mean = np.mean(errors, axis=0)
    face = topology("face478@1")
    parts = {**face.parts, "inner lips": face.contours["lips_inner"].indices}
    parts |= {"outer lips": face.contours["lips_outer"].indices, "iris centres": (468, 473)}
    by_part = {name: float(mean[list(ids)].mean()) for name, ids in parts.items()}
    known = {name: round(value, 2) for name, value in by_part.items() if np.isfinite(value)}
    return {"all": round(float(mean[:COUNT].mean()), 2), **known}
