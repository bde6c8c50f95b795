"""What follows which bone of a hand, where its knuckles have been moved."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def with_moved_knuckles(
    weights: Floats, vertices: Floats, joints: Floats, faces: NDArray[np.int32]
) -> Floats:
    """Lets each finger's first phalanx begin at its moved knuckle.

    Args:
        weights: (V, 17) of the bones of `hand_model`; rows sum to 1.
        vertices, joints: (V, 3) and (17, 3) at rest, metres.
        faces: (F, 4).

    Returns:
        (V, 17), rows sum to 1.
    """
    weights = weights.copy()
    total = np.zeros((len(vertices), 5))
    for f in range(1, 5):
        columns = slice(2 + 3 * f, 5 + 3 * f)
        knuckle, middle = joints[2 + 3 * f], joints[3 + 3 * f]
        length = float(np.linalg.norm(middle - knuckle))
        along = (middle - knuckle) / length
        ahead = (vertices - knuckle) @ along / length
        aside = np.linalg.norm(
            (vertices - knuckle) - ((vertices - knuckle) @ along)[:, None] * along, axis=1
        )
        girth = 0.011 * length / 0.04  # half of a finger's width
        near = 1 - _smoothstep((aside - 0.85 * girth) / (0.75 * girth))
        total[:, f] = np.maximum(
            weights[:, columns].sum(axis=1),
            _smoothstep((ahead + 0.25) / 0.65) * near * (ahead < 1.2),
        )
    before = np.stack([weights[:, 2 + 3 * f : 5 + 3 * f].sum(axis=1) for f in range(5)], axis=1)
    total[:, 0] = before[:, 0]
    total /= np.maximum(total.sum(axis=1, keepdims=True), 1)
    for _ in range(3):
        total[:, 1:] = _smoothed(total[:, 1:], faces)
    for f in range(1, 5):
        first = 2 + 3 * f
        outer = np.minimum(weights[:, first + 1 : first + 3].sum(axis=1), total[:, f])
        share = outer / np.maximum(weights[:, first + 1 : first + 3].sum(axis=1), 1e-9)
        weights[:, first + 1 : first + 3] *= share[:, None]
        weights[:, first] = total[:, f] - outer
    fixed = weights[:, :2]
    rest = np.maximum(1 - weights[:, 2:].sum(axis=1), 0)
    portion = np.where(fixed.sum(axis=1, keepdims=True) > 1e-9, fixed, [[0.0, 1.0]])
    weights[:, :2] = portion / portion.sum(axis=1, keepdims=True) * rest[:, None]
    return np.asarray(weights / weights.sum(axis=1, keepdims=True))


def with_moved_thumb_knuckle(weights: Floats, vertices: Floats, joints: Floats) -> Floats:
    """Shares what follows the thumb's metacarpal or first phalanx out about its moved knuckle.

    Args:
        weights, vertices, joints: as for `with_moved_knuckles`.
    """
    weights = weights.copy()
    bone = joints[4] - joints[3]
    ahead = (vertices - joints[3]) @ bone / (bone @ bone)
    both = weights[:, 2] + weights[:, 3]
    weights[:, 3] = both * _smoothstep(ahead / 0.9 + 0.5)
    weights[:, 2] = both - weights[:, 3]
    return weights


def _smoothed(values: Floats, faces: NDArray[np.int32]) -> Floats:
    """Half of each vertex's value, half the mean of its neighbours'."""
    sums, counts = np.zeros_like(values), np.zeros(len(values))
    for side in (1, -1):
        beside = np.roll(faces, side, axis=1).ravel()
        np.add.at(sums, faces.ravel(), values[beside])
        np.add.at(counts, faces.ravel(), 1)
    return np.asarray(0.5 * values + 0.5 * sums / np.maximum(counts, 1)[:, None])


def _smoothstep(value: Floats) -> Floats:
    t = np.clip(value, 0, 1)
    return np.asarray(t * t * (3 - 2 * t))
