"""The attention face mesh: 468 landmarks, and finer ones of lips, eyes and irises.

How they go together was read from MediaPipe 0.10.14 (face_landmark/
tensors_to_face_landmarks_with_attention.pbtxt): x and y of lips and eyes replace the mesh's, whose
z stays; the irises are added, at the mean depth of their eye's contour.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from runtime.card import CardModel
from runtime.model import Model
from runtime.solutions.landmarks import LandmarkModel
from runtime.topology import topology

Floats = NDArray[np.float32]
_f32 = np.float32

MESH_SIZE = 468
IRIS_SIZE = 5

# Keypoints in the order of the released models' outputs, ring by ring.
LIPS = (
    (61, 146, 91, 181, 84, 17, 314, 405, 321, 375, 291)  # outer, below, then above
    + (185, 40, 39, 37, 0, 267, 269, 270, 409)
    + (78, 95, 88, 178, 87, 14, 317, 402, 318, 324, 308)  # inner
    + (191, 80, 81, 82, 13, 312, 311, 310, 415)
    + (76, 77, 90, 180, 85, 16, 315, 404, 320, 307, 306)  # next to the outer one
    + (184, 74, 73, 72, 11, 302, 303, 304, 408)
    + (62, 96, 89, 179, 86, 15, 316, 403, 319, 325, 292)  # next to the inner one
    + (183, 42, 41, 38, 12, 268, 271, 272, 407)
)
EYE_CONTOUR_SIZE = 16
RIGHT_EYE = (
    (33, 7, 163, 144, 145, 153, 154, 155, 133, 246, 161, 160, 159, 158, 157, 173)  # the contour
    + (130, 25, 110, 24, 23, 22, 26, 112, 243, 247, 30, 29, 27, 28, 56, 190)  # and around it
    + (226, 31, 228, 229, 230, 231, 232, 233, 244, 113, 225, 224, 223, 222, 221, 189)
    + (35, 124, 46, 53, 52, 65)
    + (143, 111, 117, 118, 119, 120, 121, 128, 245, 156, 70, 63, 105, 66, 107, 55, 193)
)
"""The person's own right eye, its contour first; MediaPipe calls it left."""
_REFINEMENTS = ("lips", "right_eye", "left_eye", "right_iris", "left_iris")


def left_eye() -> tuple[int, ...]:
    """The same keypoints of the person's left eye."""
    mirror = topology("face478@1").mirror
    return tuple(mirror[i] for i in RIGHT_EYE)


class AttentionLandmarkModel(LandmarkModel):
    """The attention model's outputs as 478 landmarks; otherwise like any landmark model."""

    def __init__(self, model: Model, card: CardModel) -> None:
        super().__init__(model, card)
        self._points = np.zeros((MESH_SIZE + 2 * IRIS_SIZE, 3), dtype=np.float32)
        irises = range(MESH_SIZE, MESH_SIZE + 2 * IRIS_SIZE)
        eyes = (RIGHT_EYE, left_eye())
        self._refined = np.array([*LIPS, *eyes[0], *eyes[1], *irises])
        self._contours = np.array([eye[:EYE_CONTOUR_SIZE] for eye in eyes])

    def _required(self) -> dict[str, int]:
        parts = {"lips": len(LIPS), "right_eye": len(RIGHT_EYE), "left_eye": len(RIGHT_EYE)}
        irises = {"right_iris": IRIS_SIZE, "left_iris": IRIS_SIZE}
        return {
            "landmarks": 3 * MESH_SIZE,
            "presence_logit": 1,
            **{name: 2 * count for name, count in (parts | irises).items()},
        }

    def _crop_points(self) -> Floats:
        points, peek, outputs = self._points, self.model.peek, self._outputs
        points[:MESH_SIZE] = peek(outputs["landmarks"]).reshape(-1, 3)
        finer = np.concatenate([peek(outputs[name]) for name in _REFINEMENTS], axis=-1)
        points[self._refined, :2] = finer.reshape(-1, 2)
        # Summed one by one, as MediaPipe does: NumPy's own order differs in the last bit.
        depths = points[self._contours, 2].cumsum(axis=1, dtype=np.float32)[:, -1]
        points[MESH_SIZE:, 2] = np.repeat(depths / _f32(EYE_CONTOUR_SIZE), IRIS_SIZE)
        return points
