"""Which keypoint a person should place next.

Pure. The order is the one in which placed handles tell most about the whole face, given how
faces and models' errors vary; worked region by region, so that the view needn't jump.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

from annotate.contours import contour_points, contours_of, handle_mask
from annotate.editing import Document, new_document
from annotate.following import covariance, fixed_points
from bootstrap.face_shapes import TOPOLOGY as FACE
from bootstrap.face_shapes import face_shapes
from runtime.topology import topology

Array = NDArray[np.float64]

ASKED = 32
"""How many handles are asked for; the rest follow well enough from these."""
# How exactly a person places one, in interocular distances.
_HAND = 0.006
REGIONS = ("right_eye", "left_eye", "mouth", "rest")


def region_of(topology_id: str, index: int) -> str:
    """Which close view shows a keypoint."""
    names = contours_of(topology(topology_id), index)
    for name in names:
        if "lips" in name:
            return "mouth"
        if "eye" in name or "iris" in name:
            return "right_eye" if name.startswith("right") else "left_eye"
    return "rest"


def region_points(topology_id: str, region: str) -> tuple[int, ...]:
    """The keypoints whose box a close view of a region shows; () for the whole subject."""
    layout = topology(topology_id)
    wanted = {"mouth": "lips_outer"}.get(region, region)
    return contour_points(layout, wanted) if wanted in layout.contours else ()


@cache
def placing_order() -> tuple[int, ...]:
    """The handles of a face that are asked for, in order."""
    mean = face_shapes().mean
    frontal = new_document(FACE, np.stack([mean[:, 0], -mean[:, 1]], axis=1))
    left = covariance(frontal.keypoints_px)
    candidates = [int(i) for i in np.flatnonzero(handle_mask(FACE))]
    chosen: list[int] = []
    for _ in range(ASKED):
        gains = {i: _told(left, i) for i in candidates if i not in chosen}
        best = max(gains, key=lambda i: float((gains[i] ** 2).sum()))
        chosen.append(best)
        left -= gains[best] @ gains[best].T
    rank = {region: place for place, region in enumerate(REGIONS)}
    return tuple(sorted(chosen, key=lambda i: rank[region_of(FACE, i)]))


def _told(left: Array, index: int) -> Array:
    """(956, 2) whose outer product is what placing a keypoint takes off a covariance."""
    columns = left[:, 2 * index : 2 * index + 2]
    own = columns[2 * index : 2 * index + 2] + _HAND**2 * np.eye(2)
    return np.asarray(columns @ np.linalg.inv(np.linalg.cholesky(own)).T)


def next_to_place(document: Document, after: int | None = None) -> int | None:
    """The keypoint to ask for: the next in order that nobody placed or confirmed, after one.

    Returns:
        None when all are placed, or the topology isn't a face's.
    """
    if document.topology_id != FACE:
        return None
    order = placing_order()
    first = order.index(after) + 1 if after in order else 0
    fixed = fixed_points(document)
    return next((i for i in order[first:] + order[:first] if not fixed[i] and i != after), None)
