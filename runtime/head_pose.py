"""How a head is turned, from its landmarks: the canonical face laid over them."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from runtime.topology import canonical_face

# Landmarks that expressions hardly move, and their weights: those of MediaPipe's face geometry
# (geometry_pipeline_metadata_landmarks.pbtxt), which come in pairs but for the three in the middle.
_MIDDLE = {4: 0.0709099, 6: 0.0321001, 10: 0.0084466}
_PAIRS = {
    (33, 263): 0.0587242, (54, 284): 0.0076671, (67, 297): 0.0090781, (117, 346): 0.0097919,
    (119, 348): 0.0145654, (121, 350): 0.0185914, (127, 356): 0.0051980, (129, 358): 0.1206252,
    (132, 361): 0.0055600, (133, 362): 0.0532862, (136, 365): 0.0668905, (143, 372): 0.0148165,
    (147, 376): 0.0142628, (198, 420): 0.0254622, (205, 425): 0.0472523,
}  # fmt: skip


@dataclass(frozen=True)
class HeadPose:
    """Angles in radians in an unmirrored picture; 0 looks straight into the camera upright.

    Attributes:
        yaw: positive when the nose points to the person's own left, which is the picture's right.
        pitch: positive when the nose points up.
        roll: positive when the head leans toward the person's own left shoulder: clockwise in the
            picture.
    """

    yaw: float = 0.0
    pitch: float = 0.0
    roll: float = 0.0

    def mirrored(self) -> HeadPose:
        """The pose in the horizontally flipped picture; its own inverse."""
        return HeadPose(-self.yaw, self.pitch, -self.roll)

    def rotation(self) -> NDArray[np.float64]:
        """(3, 3) in camera axes (x right, y down, z forward): about x, then y, then z."""
        (cy, sy), (cp, sp), (cr, sr) = (
            (math.cos(angle), math.sin(angle)) for angle in (-self.yaw, -self.pitch, self.roll)
        )
        about_x = np.array([[1, 0, 0], [0, cp, -sp], [0, sp, cp]])
        about_y = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
        about_z = np.array([[cr, -sr, 0], [sr, cr, 0], [0, 0, 1]])
        return about_z @ about_y @ about_x

    @classmethod
    def from_rotation(cls, rotation: ArrayLike) -> HeadPose:
        """The inverse of `rotation`, for yaws within a quarter turn.

        Args:
            rotation: (3, 3) in camera axes.
        """
        r = np.asarray(rotation, dtype=np.float64)
        return cls(
            math.asin(max(-1.0, min(1.0, r[2, 0]))),
            -math.atan2(r[2, 1], r[2, 2]),
            math.atan2(r[1, 0], r[0, 0]),
        )


def head_pose(keypoints_px: ArrayLike) -> HeadPose:
    """The head's pose, by the similarity that best takes the canonical face to the landmarks.

    Args:
        keypoints_px: (468|478, 3) of face468 or face478 in pixels, z in pixels too, nearer being
            smaller (`Subject.keypoints_px`).

    Returns:
        The pose; upright and straight for landmarks that all lie in one place.
    """
    points = np.asarray(keypoints_px, dtype=np.float64)[_INDICES]
    canonical = canonical_face().vertices_m[_INDICES] * (1, -1, -1)  # into camera axes
    points = points - _WEIGHTS @ points
    canonical = canonical - _WEIGHTS @ canonical
    covariance = (points * _WEIGHTS[:, None]).T @ canonical
    if not np.isfinite(covariance).all() or not covariance.any():
        return HeadPose()
    u, _, vt = np.linalg.svd(covariance)
    proper = np.diag([1.0, 1.0, np.sign(np.linalg.det(u @ vt))])
    return HeadPose.from_rotation(u @ proper @ vt)


LANDMARK_WEIGHTS = _MIDDLE | {index: weight for pair, weight in _PAIRS.items() for index in pair}
"""Point of the mesh -> what it counts where the canonical face is laid over a head."""
_INDICES = np.array(sorted(LANDMARK_WEIGHTS))
_WEIGHTS = np.array([LANDMARK_WEIGHTS[i] for i in _INDICES]) / sum(LANDMARK_WEIGHTS.values())
