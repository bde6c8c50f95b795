"""The two points by which MediaPipe aligns bodies, after the 33 of pose33.

The first lies in the middle between the hips, the second above it along the trunk, as far away as
the body reaches: the crop is a square about the first, turned so that the second is above it
(`runtime.roi.body_roi`). Renders are labelled with them, as BlazePose's detector learns them; of
other labels they come from the keypoints.
"""

from __future__ import annotations

import math
from dataclasses import replace
from functools import cache

import numpy as np
from numpy.typing import NDArray

from bootstrap.dataset import Label
from runtime.topology import Topology, topology

HIPS, SHOULDERS = (23, 24), (11, 12)
BODY = "pose33@1"
REACH = 1.05
"""How far a body reaches over its farthest keypoint, from the middle between the hips: the median
of 396 renders (5 to 95 %: 1.02 to 1.16)."""

Floats = NDArray[np.float32]


@cache
def aligned_topology() -> Topology:
    """pose33 and the two points."""
    body = topology(BODY)
    return Topology(
        name="pose35",
        version=1,
        keypoint_names=(*body.keypoint_names, "hip_middle", "reach"),
        edges=body.edges,
        contours=body.contours,
        parts=body.parts,
        mirror=(*body.mirror, 33, 34),
        normaliser=body.normaliser,
        normaliser_name=body.normaliser_name,
    )


def alignment_points(label: Label) -> Floats:
    """(2, 2) pixels; NaN where the label doesn't tell them.

    Args:
        label: of a body.
    """
    told, points = label.detector_keypoints_px, label.keypoints_px
    if told is not None and len(told) >= 2 and np.isfinite(told[:2]).all():
        return np.asarray(told[:2], dtype=np.float32)
    if points is None:
        return np.full((2, 2), np.nan, dtype=np.float32)
    if label.visibility is not None:
        points = np.where(label.visibility[:, None] > 0, points, np.float32(np.nan))
    return alignment_of(points)


def alignment_of(keypoints_px: NDArray[np.floating]) -> Floats:
    """(2, 2) the points that align (33, 2) keypoints, of which some may be NaN; NaN without hips or
    shoulders."""
    known = np.isfinite(keypoints_px).all(axis=1)
    if not known[[*HIPS, *SHOULDERS]].all():
        return np.full((2, 2), np.nan, dtype=np.float32)
    hips = keypoints_px[list(HIPS)].mean(axis=0)
    up = keypoints_px[list(SHOULDERS)].mean(axis=0) - hips
    length = math.hypot(*up.tolist())
    up = up / length if length > 0 else np.array([0.0, -1.0])
    reach = REACH * float(np.linalg.norm(keypoints_px[known] - hips, axis=1).max())
    return np.stack([hips, hips + reach * up]).astype(np.float32)


def with_alignment(label: Label) -> Label:
    """A label of a body with 35 keypoints; its metric ones stay the 33."""
    if label.keypoints_px is None:
        return label
    added = alignment_points(label)
    seen = label.visibility
    if seen is None:
        seen = np.full(len(label.keypoints_px), 2, dtype=np.int8)
    beside = np.where(np.isfinite(added).all(axis=1), 2, 0).astype(np.int8)
    return replace(
        label,
        keypoints_px=np.concatenate([label.keypoints_px, added]).astype(np.float32),
        visibility=np.concatenate([seen, beside]),
    )
