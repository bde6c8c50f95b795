"""Irises by a model of their own, over the face mesh: finer eyes, irises and metric depth.

After MediaPipe's iris graphs (modules/iris_landmark, graphs/iris_tracking): a square about each
eye's corners, cut out at the picture's own resolution, then scaled to 64 x 64; the model knows
right eyes only (MediaPipe calls them left), so left ones are shown to it mirrored. Its eye contour
and surroundings replace the mesh's landmarks.
"""

from __future__ import annotations

import math
from dataclasses import replace

import cv2
import numpy as np
from numpy.typing import NDArray

from runtime.card import CardModel
from runtime.errors import ViewfinderError
from runtime.graph.types import Picture
from runtime.model import Model, PixelScale
from runtime.results import Subject, bounding_box
from runtime.roi import Roi, eye_roi
from runtime.solutions.face_attention import IRIS_SIZE, MESH_SIZE, RIGHT_EYE, left_eye
from runtime.solutions.landmarks import points_in_image
from runtime.topology import topology

Floats = NDArray[np.float32]
_f32 = np.float32

_RIGHT_CORNERS, _LEFT_CORNERS = (33, 133), (362, 263)
_MIRRORED_IRIS = (0, 3, 2, 1, 4)  # right-most and left-most change places


class EyeModel:
    """A loaded iris model with its buffers.

    Args:
        model: with the outputs that `card` describes.
        card: its entry in a card.

    Raises:
        ViewfinderError: card and model don't fit together.
    """

    def __init__(self, model: Model, card: CardModel) -> None:
        self.model = model
        outputs = {output.meaning: model.output_index(output.name) for output in card.outputs}
        self._side = card.input.width
        shapes = {name: model.outputs[index].shape for name, index in outputs.items()}
        wanted = {"eye": (1, 3 * len(RIGHT_EYE)), "iris": (1, 3 * IRIS_SIZE)}
        if shapes != wanted or model.inputs[0].shape != (1, self._side, self._side, 3):
            raise ViewfinderError(
                "this is no iris model", file=model.name, expected=wanted, found=shapes
            )
        self._eye, self._iris = outputs["eye"], outputs["iris"]
        self._scale = PixelScale(*card.input.range)
        self._norm = np.empty((3, len(RIGHT_EYE) + IRIS_SIZE), dtype=np.float32)

    def run(self, rgb: NDArray[np.uint8], roi: Roi, mirrored: bool) -> Floats | None:
        """The eye in that region.

        Args:
            rgb: (H, W, 3) uint8.
            roi: square, in its pixels.
            mirrored: it is a left eye.

        Returns:
            (76, 3) keypoints as `RIGHT_EYE` has them or their partners, then the iris as face478
            has it; normalised by the picture's width and height, z in its widths. None where the
            region is less than a pixel.
        """
        crop = eye_crop(rgb, roi, self._side)
        if crop is None:
            return None
        self.model.fill(crop[:, ::-1] if mirrored else crop, self._scale)
        self.model.run()
        norm, eye = self._norm, len(RIGHT_EYE)
        norm[:, :eye] = self.model.peek(self._eye).reshape(-1, 3).T
        norm[:, eye:] = self.model.peek(self._iris).reshape(-1, 3).T
        if mirrored:
            np.subtract(_f32(self._side), norm[0], out=norm[0])
        norm /= _f32(self._side)
        points = points_in_image(norm, roi, rgb.shape[1], rgb.shape[0])
        if mirrored:
            points[eye:] = points[eye:][list(_MIRRORED_IRIS)]
        return points


def eye_crop(rgb: NDArray[np.uint8], roi: Roi, side: int) -> NDArray[np.uint8] | None:
    """The region of an eye as MediaPipe's ImageCropping and ImageTransformation show it.

    Whole pixels, turned upright by the nearest neighbour, then scaled: by area where that makes it
    smaller, else bilinearly.

    Args:
        rgb: (H, W, 3) uint8.
        roi: square, in its pixels.
        side: of the crop in pixels.

    Returns:
        (side, side, 3) uint8, or None for a region of no size.
    """
    length = _rounded(roi.width)
    if length < 1:
        return None
    end = length - 1
    whole = Roi(_rounded(roi.cx), _rounded(roi.cy), length, length, roi.rotation_rad)
    corners = np.array([[0, end], [0, 0], [end, 0], [end, end]], dtype=np.float32)
    if length == 1:
        corners = np.array([[0, 1], [0, 0], [1, 0], [1, 1]], dtype=np.float32)
    upright = cv2.warpPerspective(
        rgb,
        cv2.getPerspectiveTransform(whole.corners(), corners),
        (length, length),
        flags=cv2.INTER_NEAREST,
        borderMode=cv2.BORDER_REPLICATE,
    )
    smaller = side < length
    return cv2.resize(
        upright, (side, side), interpolation=cv2.INTER_AREA if smaller else cv2.INTER_LINEAR
    )


class RefineEyes:
    """Faces of 468 landmarks become such of 478, their eyes finer."""

    def __init__(self, eye: EyeModel) -> None:
        self.models = (eye.model,)
        self._eye = eye
        first = MESH_SIZE + IRIS_SIZE
        self._sides = (
            (_RIGHT_CORNERS, np.array([*RIGHT_EYE, *range(MESH_SIZE, first)]), False),
            (_LEFT_CORNERS, np.array([*left_eye(), *range(first, first + IRIS_SIZE)]), True),
        )
        self._size = topology("face478@1").size

    def process(self, subjects: list[Subject], picture: Picture) -> list[Subject]:
        """The faces whose eyes could be looked at."""
        size = (picture.shape[1], picture.shape[0])
        found = []
        for subject in subjects:
            points = np.empty((self._size, 3), dtype=np.float32)
            points[:MESH_SIZE] = subject.keypoints
            for corners, keypoints, mirrored in self._sides:
                region = eye_roi(subject.keypoints[list(corners)], size)
                eye = self._eye.run(picture, region, mirrored)
                if eye is None:
                    break
                points[keypoints] = eye
            else:
                found.append(
                    replace(
                        subject,
                        topology="face478@1",
                        keypoints=points,
                        box=bounding_box(points),
                    )
                )
        return found


def _rounded(value: float) -> int:
    return math.floor(value + 0.5)
