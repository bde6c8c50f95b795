"""Finds the 468 landmarks on a user's head model, once, and keeps them beside the converted model.

1. MediaPipe's face mesh sees the mean face from in front and depth lifts its answer onto the
   surface; where its models haven't been fetched, the places that the file itself names do. The
   canonical face is warped onto the surface from there (`render.face_mapping_fit.warped`).
2. With MediaPipe, random faces of the model are rendered and every landmark takes the surface point
   that explains its answers best, close to the warp: as for Anny, without its symmetry.
3. Lips keep to what follows that lip when an expression opens the mouth, inner lips to where both
   meet; where eyes are holes in the mesh, lids lie on the holes' edges.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from render.face_mapping import COUNT, FaceMapping, read_mapping
from render.face_mapping_fit import (
    LIP_GAP_M,
    FitView,
    chosen_rows,
    errors_of,
    lip_landmarks,
    smoothed,
    warped,
)
from render.morphable import MorphableModel
from render.morphable_files import load_model
from render.morphable_landmarks import Landmarks, boundary_loops, nearest_loop
from runtime.camera import transform_points
from runtime.durable import write_bytes_durably
from runtime.errors import ViewfinderError
from runtime.folders import cache_folder
from runtime.topology import topology

if TYPE_CHECKING:
    from render.face_mapping_run import Detector
    from render.faces_shot import Shot
    from render.morphable_faces import MorphableRenderer

Floats = NDArray[np.float64]

FORMAT = 2
VIEWS, HELD_OUT = 20, 10
FIT_SIZE = 256
REACH_M, FINE_REACH_M = 0.018, 0.008
"""How far from its place in the warp a landmark may go, and one of lids or lips."""
MOUTH_M = 0.04
OPENING_SIGMAS, LEAST_OPENING_M = 3.0, 0.004

_UPPER_LIP, _LOWER_LIP = (0, 37, 267), (17, 84, 314)  # in the middle of the red, far apart

NAMED_LANDMARKS: Mapping[str, int] = {
    "right.eye.corner_outer": 33, "right.eye.corner_inner": 133, "left.eye.corner_inner": 362,
    "left.eye.corner_outer": 263, "center.nose.tip": 4, "right.lips.corner": 61,
    "left.lips.corner": 291, "center.lips.upper.outer": 0, "center.lips.lower.outer": 17,
    "center.lips.upper.inner": 13, "center.lips.lower.inner": 14, "center.chin.tip": 152,
}  # fmt: skip
"""Names in Basel's metadata and the landmarks of face478 that they are; left is the subject's."""

# Lips' inner line from corner to corner: upper and lower point, one above the other.
_INNER_PAIRS = (
    (78, 78), (191, 95), (80, 88), (81, 178), (82, 87), (13, 14), (312, 317), (311, 402),
    (310, 318), (415, 324), (308, 308),
)  # fmt: skip


@lru_cache(maxsize=1)
def load_landmarks(path: Path) -> Landmarks:
    """The landmarks on that file's head, found first where the cache has them not (a minute or
    two).

    Raises:
        ViewfinderError: the file isn't a head model, or neither MediaPipe nor the file itself says
            where eyes and mouth are.
    """
    model, sha256 = load_model(path)
    kept = landmarks_file(sha256)
    if not kept.is_file():
        fit_landmarks(path, kept)
    return Landmarks(model, _checked(read_mapping(kept), model, kept))


def landmarks_file(sha256: str) -> Path:
    """Where the landmarks of the model with that SHA-256 lie; a picture of them lies beside."""
    return cache_folder() / f"head-{sha256[:24]}-landmarks-{FORMAT}.json"


def described_model(path: Path) -> dict[str, Any]:
    """As dataset.json has it: name and SHA-256, without anybody's folders."""
    model, sha256 = load_model(path)
    load_landmarks(path)
    text = landmarks_file(sha256).read_bytes()
    places = hashlib.sha256(text).hexdigest()
    return {"name": model.name, "sha256": sha256, "landmarks_sha256": places}


def _checked(mapping: FaceMapping, model: MorphableModel, file: Path) -> FaceMapping:
    if mapping.triangles.min() < 0 or mapping.triangles.max() >= len(model.mean_m):
        raise ViewfinderError("the kept landmarks are of another head", file=file)
    return mapping


def fit_landmarks(path: Path, out: Path) -> None:
    """Find the landmarks and write them, with residuals, and a picture beside them."""
    from rich.console import Console

    from render.faces import FaceSettings
    from render.morphable_faces import MorphableRenderer
    from render.settings import ONE_FACE

    Console(stderr=True).print("Finding landmarks on this head model (once, some minutes)")
    detect, by = _detector()
    settings = FaceSettings(0, FIT_SIZE, face_model=path, face_shares=ONE_FACE)
    renderer = MorphableRenderer(settings, fitting=True)
    try:
        if detect is None:
            mapping = _fitted(renderer.model, _named_places(renderer.model, path), [])
            notes = {"fitted_to": "places that the file names"}
        else:
            mapping, notes = _fitted_to_renders(renderer, detect, by)
        mapping = FaceMapping(
            mapping.triangles, mapping.weights, {"topology": "face478@1", **notes}
        )
        renderer.use_landmarks(Landmarks(renderer.model, mapping))
        write_bytes_durably(out.with_suffix(".png"), _picture(renderer, notes), shared=True)
    finally:
        renderer.close()
    write_bytes_durably(out, mapping.to_json().encode(), shared=True)


def _detector() -> tuple[Detector | None, str]:
    from render.face_mapping_run import mediapipe_detector

    try:
        return mediapipe_detector()
    except ViewfinderError:  # not fetched
        return None, ""


def _fitted_to_renders(
    renderer: MorphableRenderer, detect: Detector, by: str
) -> tuple[FaceMapping, dict[str, Any]]:
    model = renderer.model
    shot = _frontal_shot(renderer)
    found = detect(shot.rgb)
    if found is None:
        raise ViewfinderError("MediaPipe finds no face on this head model", found=model.name)
    pixels = np.clip(found[:COUNT, :2].astype(int), 0, FIT_SIZE - 1)
    depth = shot.passes.depth_m[pixels[:, 1], pixels[:, 0]]
    places = shot.camera.unproject(found[:COUNT, :2], np.where(np.isfinite(depth), depth, np.nan))
    lifted = transform_points(np.linalg.inv(shot.camera_from_person), places)
    first = _fitted(model, lifted, [])
    renderer.use_landmarks(Landmarks(model, first))
    views = _views(renderer, detect, range(VIEWS + HELD_OUT))
    held_out = views[-len(views) // 3 :]
    mapping = _fitted(model, lifted, views[: -len(held_out)])
    matrix = surface_matrix(mapping, len(model.mean_m))
    notes = {
        "fitted_to": f"{by}, {len(views) - len(held_out)} renders of this model",
        "held_out": {
            "renders": len(held_out),
            "faces_found": f"{len(views)} of {VIEWS + HELD_OUT} of all",
            "mean_percent_of_interocular_distance": errors_of(matrix, held_out),
        },
    }
    return mapping, notes


def _frontal_shot(renderer: MorphableRenderer) -> Shot:
    from render.face_mapping_run import frontal
    from render.photo import Photo

    drawn, rng = renderer.draw(0)
    drawn = replace(
        drawn,
        face=renderer.model.neutral(),
        gaze_rad=(0.0, 0.0),
        view=frontal(replace(drawn.view, lamp=None), 1.2, 0.6),
        photo=Photo(),
    )
    return renderer.shoot(drawn, renderer.hdri(0), rng)


def _views(renderer: MorphableRenderer, detect: Detector, indices: range) -> list[FitView]:
    """Random faces of the model, sharp, within 30 degrees of yaw in which MediaPipe finds the face.

    Raises:
        ViewfinderError: it finds fewer than half of them.
    """
    from render.face_mapping_run import frontal
    from render.faces_head import rotation_matrix
    from render.photo import Photo

    views = []
    for index in indices:
        drawn, rng = renderer.draw(index)
        yaw = rng.uniform(-0.5, 0.5)
        turn = rotation_matrix([0, 0, yaw]) @ rotation_matrix([rng.normal(0, 0.1), 0, 0])
        view = replace(frontal(drawn.view, 0.8, 0.6), head_rotation=turn)
        sharp = replace(drawn, view=view, photo=Photo())
        shot = renderer.shoot(sharp, renderer.hdri(index), rng)
        found = detect(shot.rgb)
        if found is not None:
            base, pose = shot.person.vertices_m, shot.camera_from_person
            views.append(FitView(base, pose, shot.camera, found, shot.irises()))
    if 2 * len(views) < len(indices):
        raise ViewfinderError(
            "MediaPipe finds too few faces of this head model",
            expected=f"{len(indices) // 2} or more", found=len(views),
        )  # fmt: skip
    return views


def _named_places(model: MorphableModel, path: Path) -> Floats:
    """(468, 3) NaN but where the file itself names a place."""
    places = np.full((COUNT, 3), np.nan)
    for name, index in NAMED_LANDMARKS.items():
        if name in model.landmarks_m:
            places[index] = model.landmarks_m[name]
    known = int(np.isfinite(places).all(axis=1).sum())
    if known < 6:
        raise ViewfinderError(
            "this file doesn't say where eyes and mouth are", file=path, field="--face-model",
            expected="6 named landmarks or more", found=known,
            hint="viewfinder models fetch brings MediaPipe's face mesh, which finds them",
        )  # fmt: skip
    return places


def surface_matrix(mapping: FaceMapping, vertices: int) -> Any:
    """Sparse (468, V) that takes vertices to landmarks."""
    from scipy import sparse

    rows = np.repeat(np.arange(len(mapping.triangles)), 3)
    where = (rows, mapping.triangles.ravel())
    return sparse.csr_matrix((mapping.weights.ravel(), where), (len(mapping.triangles), vertices))


def _fitted(model: MorphableModel, lifted_m: Floats, views: Sequence[FitView]) -> FaceMapping:
    """The mapping: warped onto the mean face, then, with views, moved to where they say."""
    mean = model.mean_m.astype(np.float64)
    known = lifted_m[np.isfinite(lifted_m).all(axis=1)]
    centre = mean[model.triangles].mean(axis=1)
    near = np.linalg.norm(centre - known.mean(axis=0), axis=1) < 0.16
    # Steered by all that is known: a file's own few landmarks, or MediaPipe's steady ones.
    steering = () if len(known) > 100 else np.flatnonzero(np.isfinite(lifted_m[:, 0])).tolist()
    prior = warped(mean, model.triangles[near], lifted_m, steering)
    surface = MeshPoints(model, prior)
    rows = surface.near(prior)
    starts, chosen = chosen_rows(surface, rows, prior, views)
    places = smoothed(surface.points_m[chosen], starts)
    final = [
        options[np.argmin(np.linalg.norm(surface.points_m[options] - place, axis=1))]
        for options, place in zip(rows, places)
    ]
    return FaceMapping(surface.triangles[final], surface.weights[final], {})


class MeshPoints:
    """Points of a model's mean face that landmarks may take: about a millimetre apart.

    Args:
        model: the head.
        around_m: (N, 3) near which.
    """

    def __init__(self, model: MorphableModel, around_m: Floats) -> None:
        from scipy import sparse
        from scipy.spatial import cKDTree

        self._model = model
        mean = model.mean_m.astype(np.float64)
        corners = mean[model.triangles]
        apart = cKDTree(around_m).query(corners.mean(axis=1))[0]
        kept = model.triangles[apart < 2 * REACH_M].astype(np.int64)
        edge = np.linalg.norm(mean[kept[:, 0]] - mean[kept[:, 1]], axis=1).mean()
        steps = int(np.clip(np.ceil(edge / 0.001), 1, 5))
        bary = np.array([(i, j, steps - i - j) for i in range(steps + 1)
                         for j in range(steps + 1 - i)]) / steps  # fmt: skip
        self.triangles = np.repeat(kept, len(bary), axis=0)
        self.weights = np.tile(bary, (len(kept), 1))
        self.points_m: Floats = np.einsum("nk,nkc->nc", self.weights, mean[self.triangles])
        where = (np.repeat(np.arange(len(self.triangles)), 3), self.triangles.ravel())
        shape = (len(self.triangles), len(mean))
        self.matrix = sparse.csr_matrix((self.weights.ravel(), where), shape)

    def normals_on(self, base_m: Floats) -> Floats:
        """(C, 3) outward directions at the points of a posed head."""
        t = self._model.triangles
        across = np.cross(base_m[t[:, 1]] - base_m[t[:, 0]], base_m[t[:, 2]] - base_m[t[:, 0]])
        normals = np.zeros_like(base_m)
        np.add.at(normals, t.ravel(), np.repeat(across, 3, axis=0))
        normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-12)
        return np.asarray(self.matrix @ normals)

    def near(self, prior_m: Floats) -> list[NDArray[np.int64]]:
        """For every landmark the rows that it may take, around its place in the prior."""
        from scipy.spatial import cKDTree

        allowed = self._allowed(prior_m)
        tree = cKDTree(self.points_m)
        parts = topology("face478@1").parts
        fine = {*parts["lips"], *parts["eyelids"]}
        rows = []
        for i, (place, may) in enumerate(zip(prior_m, allowed)):
            reach = FINE_REACH_M if i in fine else REACH_M
            around = np.array(sorted(tree.query_ball_point(place, reach)), dtype=np.int64)
            around = around[may[around]]
            if not len(around):
                options = np.flatnonzero(may) if may.any() else np.arange(len(self.points_m))
                apart = np.linalg.norm(self.points_m[options] - place, axis=1)
                around = options[[apart.argmin()]]
            rows.append(around)
        return rows

    def _allowed(self, prior_m: Floats) -> NDArray[np.bool_]:
        """(468, C) what lips and lids may take; see the module's text."""
        allowed = np.ones((COUNT, len(self.points_m)), dtype=bool)
        below = self._below(prior_m)
        upper, lower = lip_landmarks()
        allowed[list(upper)] = ~below
        allowed[list(lower)] = below
        contours = topology("face478@1").contours
        inner = contours["lips_inner"].indices
        touching = self._lips_touch(below, prior_m[list(inner)].mean(axis=0))
        for index in inner:
            if (allowed[index] & touching).any():
                allowed[index] &= touching
        mean = self._model.mean_m.astype(np.float64)
        loops = boundary_loops(self._model.triangles)
        for name in ("right_eye", "left_eye"):
            ring = contours[name].indices
            edge = _edge_rows(self.triangles, self.weights, mean, loops, prior_m[list(ring)])
            # The corners reach beyond the margin: the inner one into the tear duct's corner.
            for index in ring[1:7] + ring[10:]:
                if (allowed[index] & edge).any():
                    allowed[index] &= edge
        return allowed

    def _below(self, prior_m: Floats) -> NDArray[np.bool_]:
        """Points that belong to the lower lip: they go down with it when the mouth opens, or,
        where no expression opens it, lie below its line."""
        upper, lower = (
            [int(np.linalg.norm(self.points_m - prior_m[i], axis=1).argmin()) for i in landmarks]
            for landmarks in (_UPPER_LIP, _LOWER_LIP)
        )
        opened = _opened(self._model, (self.matrix[upper], self.matrix[lower]))
        drop = -(self.matrix @ opened)[:, 2]
        high, low = drop[upper].mean(), drop[lower].mean()
        if low - high > LEAST_OPENING_M:
            return np.asarray(drop > (high + low) / 2)
        line = np.array([(prior_m[a] + prior_m[b]) / 2 for a, b in _INNER_PAIRS])
        return np.asarray(
            self.points_m[:, 2] < np.interp(self.points_m[:, 0], line[:, 0], line[:, 2])
        )

    def _lips_touch(self, below: NDArray[np.bool_], mouth_m: Floats) -> NDArray[np.bool_]:
        """Points where upper and lower lip meet, seen from in front."""
        from scipy.spatial import cKDTree

        near = np.linalg.norm(self.points_m - mouth_m, axis=1) < MOUTH_M
        apart = np.full(len(near), np.inf)
        sides = np.flatnonzero(near & ~below), np.flatnonzero(near & below)
        for here, there in (sides, sides[::-1]):
            if len(here) and len(there):
                apart[here] = cKDTree(self.points_m[there]).query(self.points_m[here])[0]
        forward = self.normals_on(self._model.mean_m.astype(np.float64))[:, 1] < 0.2
        return np.asarray((apart < LIP_GAP_M) & forward)


def _opened(model: MorphableModel, lips: tuple[Any, Any]) -> Floats:
    """(V, 3) how vertices move under the expression that opens the mouth most for its size."""
    if not len(model.expression_m):
        return np.zeros(model.mean_m.shape)
    gaps = np.array(
        [float((lips[0] @ m)[:, 2].mean() - (lips[1] @ m)[:, 2].mean()) for m in model.expression_m]
    )
    size = OPENING_SIGMAS / max(float(np.linalg.norm(gaps)), 1e-9)
    return np.asarray(np.tensordot(gaps * size, model.expression_m.astype(np.float64), 1))


def _edge_rows(
    triangles: NDArray, weights: Floats, mean: Floats, loops: Sequence[NDArray], ring: Floats
) -> NDArray[np.bool_]:
    """Points on the edge of the hole that a ring of landmarks goes around."""
    loop = nearest_loop(mean, loops, ring)
    if loop is None:
        return np.zeros(len(triangles), dtype=bool)
    on = np.isin(triangles, loop)
    return np.asarray((weights * on).sum(axis=1) > 0.999)


def _picture(renderer: MorphableRenderer, notes: Mapping[str, Any]) -> bytes:
    """PNG of the mean face and of a random one with their landmarks, to be looked at."""
    import cv2

    shots = [_frontal_shot(renderer)]
    drawn, rng = renderer.draw(1)
    shots.append(renderer.shoot(drawn, renderer.hdri(1), rng))
    tiles = []
    for shot in shots:
        scale = 3
        tile = cv2.resize(shot.rgb, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC)
        pixels = scale * shot.camera.project(shot.keypoints_camera_m())
        for contour in topology("face478@1").contours.values():
            line = np.round(pixels[list(contour.indices)] * 16).astype(np.int32)
            cv2.polylines(tile, [line], contour.closed, (90, 255, 90), 1, cv2.LINE_AA, 4)
        for x, y in np.round(pixels * 16).astype(int).tolist():
            cv2.circle(tile, (x, y), 24, (255, 220, 0), -1, cv2.LINE_AA, 4)
        tiles.append(tile)
    picture = np.concatenate(tiles, axis=1)
    words = json.dumps(notes.get("held_out", notes))[:160]
    cv2.putText(picture, words, (8, 16), cv2.FONT_HERSHEY_SIMPLEX, 0.4, (255, 255, 255), 1)
    done, data = cv2.imencode(".png", picture[..., ::-1])
    assert done
    return bytes(data.tobytes())
