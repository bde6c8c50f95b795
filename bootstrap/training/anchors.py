"""What a detector's anchors should answer: which of them a subject takes, and with what.

A subject's box is the square from which the runtime makes the very crop that the subject's labels
call for (runtime.roi), so that our landmark network sees after our detector what it was trained on.
MediaPipe's own boxes are within 6 % of it for faces.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bootstrap.training.subjects import LEAST_SEEN, Floats, Subject
from runtime.detection import SsdLayout
from runtime.roi import FACE_SCALE, PALM_SCALE, PALM_SHIFT_Y

KEYPOINTS: dict[str, tuple[tuple[int, ...], ...]] = {
    # Right eye, left eye, nose, mouth, right ear, left ear: means of these landmarks. On eight
    # photographs MediaPipe's detector puts them within 0.05 face widths of its landmarks.
    "face478@1": ((33, 133, 159, 145), (263, 362, 386, 374), (1,), (13, 14), (234,), (454,)),
    # Wrist, bases of the index, middle, ring and little finger, the thumb's two lower joints.
    "hand21@1": ((0,), (5,), (9,), (13,), (17,), (1,), (2,)),
    "cuboid9@1": tuple((i,) for i in range(9)),
}
_MIN_SCALE, _MAX_SCALE = 0.1484375, 0.75
"""Of MediaPipe's anchor options. Its anchors are decoded without a size; only here, where it is
decided which of a cell's anchors takes which size of subject, do they have one."""
SURE_IOU, UNSURE_IOU = 0.5, 0.35
BEST_ANCHORS = 4
"""An anchor is a subject's above the first overlap, or among the best so many above 0; between the
two it is taught nothing."""
MOST_COUNTED = 12
"""Anchors of one subject that count whole: a large one has a hundred, a small one four, and both
must be found."""


@dataclass(frozen=True)
class Truth:
    """A subject as a detector should find it, pixels.

    Attributes:
        box: (4,) centre x, y, width, height.
        keypoints: (K, 2).
        weight: (K,) 0 where a keypoint isn't labelled.
        shown: share of the box that lies within the picture with nothing drawn over it; 0 where
            the subject itself hides too many of its keypoints.
    """

    box: Floats
    keypoints: Floats
    weight: Floats
    shown: float = 1.0

    def values(self) -> Floats:
        """(4 + 2 K,) as an anchor answers."""
        return np.concatenate([self.box, self.keypoints.ravel()])


def truth_of(subject: Subject) -> Truth:
    """What a detector should say of a subject."""
    topology = subject.topology_id
    roi = subject.roi
    if topology == "hand21@1":
        side = max(roi.width, roi.height) / PALM_SCALE
        shift = side * PALM_SHIFT_Y
        cx = roi.cx + shift * math.sin(roi.rotation_rad)
        cy = roi.cy - shift * math.cos(roi.rotation_rad)
    else:
        side = max(roi.width, roi.height) / (FACE_SCALE if topology == "face478@1" else 1.0)
        cx, cy = roi.cx, roi.cy
    groups = [list(group) for group in KEYPOINTS[topology]]
    points = np.array([subject.keypoints_px[g].mean(axis=0) for g in groups], dtype=np.float32)
    weight = np.array([subject.weight[g].min() for g in groups], dtype=np.float32)
    box = np.array([cx, cy, side, side], dtype=np.float32)
    return Truth(box, points, weight, 1.0 if subject.seen >= LEAST_SEEN else 0.0)


def anchor_boxes(layout: SsdLayout) -> Floats:
    """(A, 4) anchors as they are matched: centre x, y, width, height over the input, 0..1."""
    count = sum(per_cell for _, per_cell in layout.layers) // 2
    step = (_MAX_SCALE - _MIN_SCALE) / (count - 1)
    scales = [_MIN_SCALE + step * i for i in range(count)] + [1.0]
    # Two anchors a layer: its own size, and one half way to the next.
    sizes = [s for a, b in itertools.pairwise(scales) for s in (a, math.sqrt(a * b))]
    parts = []
    for stride, per_cell in layout.layers:
        parts.append(np.tile(sizes[:per_cell], math.ceil(layout.size / stride) ** 2))
        sizes = sizes[per_cell:]
    side = np.concatenate(parts)[:, None]
    return np.concatenate([layout.anchors(), side, side], axis=1).astype(np.float32)


def targets(
    truths: Sequence[Truth], anchors: Floats, layout: SsdLayout
) -> tuple[NDArray[np.int8], Floats, Floats]:
    """What each anchor should answer.

    Args:
        truths: in input pixels.
        anchors: of `anchor_boxes`.
        layout: of the network.

    Returns:
        state (A,) 1 a subject's, 0 background, -1 taught nothing; values (A, 4 + 2 K) as the
        network's boxes but in input widths; weight (A, 4 + 2 K), 0 where nothing is known, its
        first column what the anchor counts for its subject.
    """
    state = np.zeros(len(anchors), dtype=np.int8)
    if not truths:
        nothing = np.zeros((len(anchors), 4 + 2 * layout.keypoints), dtype=np.float32)
        return state, nothing, nothing
    rows = np.stack([truth.values() for truth in truths]) / layout.size
    weights = np.stack([np.concatenate([np.ones(4), np.repeat(t.weight, 2)]) for t in truths])
    iou = centred_iou(anchors, rows[:, :4])
    owner, best = iou.argmax(axis=1), iou.max(axis=1)
    state[best >= UNSURE_IOU] = -1
    state[best >= SURE_IOU] = 1
    away = np.abs(anchors[:, None, :2] - rows[None, :, :2]).max(axis=2)
    # The others in the middle of a small subject see as much of it as those that answer.
    state[(away < rows[:, 2] / 2).any(axis=1) & (state == 0)] = -1
    for i in range(len(truths)):
        # Every anchor around a small subject overlaps it as much: of those the nearest.
        first = np.lexsort((away[:, i], -iou[:, i].round(4)))[:BEST_ANCHORS]
        first = first[iou[first, i] > 0]
        mine = first[(owner[first] == i) | (best[first] < SURE_IOU)]
        owner[mine], state[mine] = i, 1
    values = rows[owner]
    values[:, :2] -= anchors[:, :2]
    values[:, 4:] -= np.tile(anchors[:, :2], values.shape[1] // 2 - 2)
    mine = np.bincount(owner[state == 1], minlength=len(truths))
    counted = np.minimum(1.0, MOST_COUNTED / np.maximum(mine, 1))
    weight = weights[owner] * ((state == 1) * counted[owner])[:, None]
    return state, values.astype(np.float32), weight.astype(np.float32)


def centred_iou(first: Floats, second: Floats) -> NDArray[np.float64]:
    """(A, B) intersection over union of (A, 4) and (B, 4) boxes of centre x, y, width, height."""
    a, b = first.astype(np.float64)[:, None], second.astype(np.float64)[None]
    low = np.maximum(a[..., :2] - a[..., 2:] / 2, b[..., :2] - b[..., 2:] / 2)
    high = np.minimum(a[..., :2] + a[..., 2:] / 2, b[..., :2] + b[..., 2:] / 2)
    shared = np.clip(high - low, 0, None).prod(axis=2)
    union = a[..., 2:].prod(axis=2) + b[..., 2:].prod(axis=2) - shared
    result: NDArray[np.float64] = shared / np.maximum(union, 1e-12)
    return result
