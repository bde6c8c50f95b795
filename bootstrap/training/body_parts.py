"""Parts of whole bodies that no face or hand is seen in: what a landmark network must not follow.

A bent knee has a fist's colour and roundness, and the palm detector finds one now and then. The
renders of bodies have both, and their segmentation says where hands and heads are.
"""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np
from numpy.typing import NDArray

from bootstrap.body_alignment import BODY
from bootstrap.dataset import Dataset
from bootstrap.training.cutouts import class_ids
from bootstrap.training.layers import best_labels, splits_of
from bootstrap.training.subjects import LEAST_CROP_PX, Floats, Subject, TrainingData
from runtime.roi import Roi

LIMBS = ((11, 13), (13, 11), (23, 25), (25, 23), (27, 25), (31, 25))
"""Points of pose33 on the left side in whose middle a part lies, and the other end of its limb: of
shoulder, elbow, hip, knee, ankle and foot. Those on the right follow each by one."""
SIDE_OF_LIMB = 0.8
"""Side of a part's crop over its limb's length."""
_KEPT_AWAY = 1.0
"""Least way to a pixel of a face or hand, in sides: most of what a detector in error frames."""


def body_parts(data: TrainingData, topology_id: str) -> tuple[Subject, ...]:
    """Squares around the joints of the bodies that are trained with, each far enough from hands,
    or heads, that a network of these must call it empty.

    Args:
        data: of the training.
        topology_id: of the network.

    Returns:
        Subjects without a topology.
    """
    found: list[Subject] = []
    for number, ds in enumerate(data.datasets):
        own = class_ids(ds, topology_id)
        if own and BODY in ds.info.topologies:
            found += _parts(number, ds, own)
    return tuple(found)


def _parts(number: int, ds: Dataset, own: list[int]) -> Iterator[Subject]:
    index = ds.samples()
    splits = splits_of(index)
    sides = dict(zip(index["sample_id"].tolist(), index[["width", "height"]].max(axis=1).tolist()))
    nothing = np.zeros((0, 2), dtype=np.float32)
    for label in best_labels(ds, BODY)[1]:
        points, name = label.keypoints_px, label.sample_id
        if not label.topology or points is None or splits[name] != "train":
            continue
        ids = ds.read_segmentation(name)
        for roi in _regions(points, ids, sides[name] / max(ids.shape), own):
            yield Subject((number, name), "", nothing, nothing[:, 0], None, None, None, roi, 0.0)


def _regions(points: Floats, ids: NDArray[np.uint8], scale: float, own: list[int]) -> Iterator[Roi]:
    """Where parts lie, in the picture's pixels, of which `ids` has one for each `scale`."""
    away = cv2.distanceTransform((~np.isin(ids, own)).astype(np.uint8), cv2.DIST_L2, 5)
    for middle, end in ((m + right, e + right) for m, e in LIMBS for right in (0, 1)):
        place = points[middle] / scale
        if not (np.isfinite(points[[middle, end]]).all() and (place >= 0).all()):
            continue
        x, y = int(place[0]), int(place[1])
        if y >= ids.shape[0] or x >= ids.shape[1]:
            continue
        length = float(np.linalg.norm(points[end] - points[middle]))
        side = min(SIDE_OF_LIMB * length, float(away[y, x]) * scale / _KEPT_AWAY)
        if side >= LEAST_CROP_PX:
            yield Roi(float(points[middle, 0]), float(points[middle, 1]), side, side)
