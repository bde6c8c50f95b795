"""How far an annotator's keypoints and a model's are apart, as numbers, colours and a change.

Pure. Distances are in percent of what errors are divided by everywhere: the interocular distance
of faces, the palm of hands.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from annotate.contours import contour_points
from annotate.editing import MODEL, NOT_LABELLED, VISIBLE, Adopt, Document, adopting
from annotate.following import fixed_points, following_shifts
from bootstrap.face_shapes import TOPOLOGY as FACE

Array = NDArray[np.float64]

STEPS = (("#2f6bff", 0.0), ("#2fd3c9", 0.5), ("#f4f06a", 1.0), ("#ff9124", 1.5), ("#ff2fb2", 2.0))
"""Colours, and the distance of each in units of what people are apart; blue to pink stays apart on
skin and for those who don't tell red from green."""
APART_PERCENT = {"face": 2.56, "hand": 4.0}
"""What people are apart: Google's model cards of the face mesh and of the hand model."""
# How far from what was placed a face's keypoints lie otherwise than the model says, in
# interocular distances.
_REACH = 0.5
_UNKNOWN = (0.6, 0.63, 0.65, 0.35)


def apart_percent(document: Document, model_px: Array) -> Array:
    """(N,) distances from a model's keypoints (N, 2) px; NaN where either has no place, or nobody
    labelled it."""
    length = float(document.topology.normalising_length(document.keypoints_px))
    if not length > 0:
        length = np.nan
    far = np.linalg.norm(document.keypoints_px - model_px, axis=1)
    return np.where(document.visibility == NOT_LABELLED, np.nan, 100.0 * far / length)


def unit_percent(topology_id: str) -> float:
    """What people are apart, in percent."""
    return APART_PERCENT.get(topology_id[:4], APART_PERCENT["hand"])


def colours(percent: Array, topology_id: str) -> NDArray[np.float32]:
    """(N, 4) RGBA 0..1 of distances (N,); grey for NaN."""
    table = np.array([[int(c[i : i + 2], 16) / 255 for i in (1, 3, 5)] for c, _ in STEPS])
    known = np.isfinite(percent)
    units = np.where(known, percent, 0.0) / unit_percent(topology_id)
    at = [unit for _, unit in STEPS]
    found = np.stack([np.interp(units, at, table[:, i]) for i in range(3)], axis=1)
    rgba = np.concatenate([found, np.ones((len(found), 1))], axis=1)
    rgba[~known] = _UNKNOWN
    return rgba.astype(np.float32)


def predicted(
    document: Document, model_px: Array, model: str, contour: str | None = None
) -> Adopt | None:
    """The change that makes a document as a model has it; None where it is so already.

    What a person placed or confirmed stays; on a face those near it then lie as is most likely
    given both, so that nothing is torn, and the others as the model says.

    Args:
        document: as it stands.
        model_px: (N, 2).
        model: which, for people.
        contour: only what belongs to it; everything when None.
    """
    fixed = fixed_points(document) & np.isfinite(document.keypoints_px).all(axis=1)
    points = model_px.copy()
    if document.topology_id == FACE and fixed.any() and not fixed.all():
        held = np.flatnonzero(fixed)
        unmoved = replace(document, keypoints_px=model_px)
        reach_px = _REACH * float(document.topology.normalising_length(model_px))
        moving, follow = following_shifts(unmoved, model_px, held, reach_px)
        off = (document.keypoints_px - model_px)[held].ravel()
        points[moving] += (follow @ off).reshape(-1, 2)
    points[fixed] = document.keypoints_px[fixed]
    nowhere = ~np.isfinite(document.keypoints_px).all(axis=1)
    visibility = np.where(nowhere, VISIBLE, document.visibility).astype(np.int8)
    other = replace(document, keypoints_px=points, visibility=visibility)
    indices = None if contour is None else contour_points(document.topology, contour)
    return adopting(document, other, indices, f"{MODEL}{model}")
