"""The oriented crop that training, evaluation and live use share, and its inverse for landmarks.

A region (`Roi`) lies in the image's continuous pixel coordinates (origin at the top-left corner of
the top-left pixel). `warp_crop` samples as MediaPipe's ImageToTensor does on CPU: corners of the
rotated rectangle onto (0, h), (0, 0), (w, 0), (w, h) and OpenCV's bilinear `warpPerspective`, which
counts coordinates from a pixel's *centre*. Crop pixel i therefore shows the image around
`corner + i * scale + 1/2` in continuous coordinates, where an exact resampling would show
`corner + (i + 1/2) * scale`: the two differ by (scale - 1) / 2 image pixels. Released models are
trained on this crop, so the shift belongs to the model; landmarks go back without it, as in
MediaPipe.

The rules by which regions come from detections and landmarks are MediaPipe 0.10.14's
(face_detection_front_detection_to_roi, face_landmark_landmarks_to_roi,
palm_detection_detection_to_roi, hand_landmark_landmarks_to_roi).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

Border = Literal["replicate", "zero"]

_BORDER_MODES = {"replicate": cv2.BORDER_REPLICATE, "zero": cv2.BORDER_CONSTANT}

FACE_SCALE = 1.5
"""Side of a face's region over the longer side of its box."""
PALM_SCALE = 2.6
PALM_SHIFT_Y = -0.5
"""A hand's region over its palm's box: grown, and moved by half a box towards the fingers."""
HAND_SCALE = 2.0
HAND_SHIFT_Y = -0.1
"""The same over the box of `HAND_ROI_KEYPOINTS` from the last frame."""
HAND_ROI_KEYPOINTS = (0, 1, 2, 3, 5, 6, 9, 10, 13, 14, 17, 18)
"""The keypoints of hand21 that move least with the fingers."""


@dataclass(frozen=True)
class Roi:
    """A rotated rectangle of an image.

    Attributes:
        cx, cy: its centre in pixels, continuous, from the image's top-left corner.
        width, height: of its sides in pixels, before rotation.
        rotation_rad: clockwise as seen on the screen (x right, y down).
    """

    cx: float
    cy: float
    width: float
    height: float
    rotation_rad: float = 0.0

    def corners(self) -> NDArray[np.float32]:
        """(4, 2) bottom left, top left, top right, bottom right (before rotation)."""
        # float32 throughout and this order of operations are cv::RotatedRect::points's.
        half_cos = np.float32(math.cos(self.rotation_rad)) * np.float32(0.5)
        half_sin = np.float32(math.sin(self.rotation_rad)) * np.float32(0.5)
        cx, cy = np.float32(self.cx), np.float32(self.cy)
        width, height = np.float32(self.width), np.float32(self.height)
        x0 = cx - half_sin * height - half_cos * width
        y0 = cy + half_cos * height - half_sin * width
        x1 = cx + half_sin * height - half_cos * width
        y1 = cy - half_cos * height - half_sin * width
        two = np.float32(2)
        return np.array(
            [[x0, y0], [x1, y1], [two * cx - x0, two * cy - y0], [two * cx - x1, two * cy - y1]],
            dtype=np.float32,
        )


def warp_crop(
    image: NDArray[np.uint8],
    roi: Roi,
    width: int,
    height: int,
    border: Border = "replicate",
    out: NDArray[np.uint8] | None = None,
) -> NDArray[np.uint8]:
    """The region as an upright picture, sampled exactly as MediaPipe does.

    Args:
        image: (H, W, C) uint8, C up to 4.
        roi: in the image's pixels.
        width, height: of the crop.
        border: outside the image, repeat its edge or take black.
        out: (height, width, C) uint8 buffer to fill and return.

    Returns:
        (height, width, C) uint8.
    """
    crop_corners = np.array([[0, height], [0, 0], [width, 0], [width, height]], dtype=np.float32)
    crop_from_roi = cv2.getPerspectiveTransform(roi.corners(), crop_corners)
    return cv2.warpPerspective(
        image,
        crop_from_roi,
        (width, height),
        dst=out,
        flags=cv2.INTER_LINEAR,
        borderMode=_BORDER_MODES[border],
    )


def image_from_crop(roi: Roi, points_norm: ArrayLike) -> NDArray[np.float64]:
    """Crop-normalised points in the image.

    Args:
        points_norm: (..., 2) or (..., 3), x and y 0..1 over the crop, z in crop widths.

    Returns:
        The same shape in image pixels; z scaled by the region's width.
    """
    points = np.asarray(points_norm, dtype=np.float64)
    cos, sin = math.cos(roi.rotation_rad), math.sin(roi.rotation_rad)
    x = (points[..., 0] - 0.5) * roi.width
    y = (points[..., 1] - 0.5) * roi.height
    image_points = np.empty_like(points)
    image_points[..., 0] = cos * x - sin * y + roi.cx
    image_points[..., 1] = sin * x + cos * y + roi.cy
    if points.shape[-1] == 3:
        image_points[..., 2] = points[..., 2] * roi.width
    return image_points


def crop_from_image(roi: Roi, points_px: ArrayLike) -> NDArray[np.float64]:
    """Image points normalised over the crop: the inverse of `image_from_crop`.

    Args:
        points_px: (..., 2) or (..., 3) in image pixels.

    Returns:
        The same shape, x and y 0..1 inside the crop, z in crop widths.
    """
    points = np.asarray(points_px, dtype=np.float64)
    cos, sin = math.cos(roi.rotation_rad), math.sin(roi.rotation_rad)
    x = points[..., 0] - roi.cx
    y = points[..., 1] - roi.cy
    crop_points = np.empty_like(points)
    crop_points[..., 0] = (cos * x + sin * y) / roi.width + 0.5
    crop_points[..., 1] = (cos * y - sin * x) / roi.height + 0.5
    if points.shape[-1] == 3:
        crop_points[..., 2] = points[..., 2] / roi.width
    return crop_points


def roi_of_image(width: int, height: int) -> Roi:
    """The whole image."""
    return Roi(width / 2, height / 2, width, height)


def roi_padded_to_aspect(roi: Roi, width: int, height: int) -> Roi:
    """The smallest region around `roi` with the aspect ratio width / height (letterboxing)."""
    aspect = height / width
    if aspect > roi.height / roi.width:
        return Roi(roi.cx, roi.cy, roi.width, roi.width * aspect, roi.rotation_rad)
    return Roi(roi.cx, roi.cy, roi.height / aspect, roi.height, roi.rotation_rad)


def roi_from_box(
    box_px: ArrayLike,
    rotation_rad: float = 0.0,
    scale: float = 1.0,
    shift: tuple[float, float] = (0.0, 0.0),
) -> Roi:
    """A square region around a box: its longer side, grown and shifted along its own axes.

    Args:
        box_px: x, y, width, height in pixels.
        rotation_rad: of the region about the box's centre.
        scale: side of the region over the box's longer side.
        shift: moves the centre by these parts of the box's width and height, rotated.
    """
    x, y, width, height = (float(v) for v in np.asarray(box_px, dtype=np.float64).reshape(4))
    box = Roi(x + width / 2, y + height / 2, width, height, rotation_rad)
    return _grown(box, scale, shift)


def face_roi_from_detection(box_px: ArrayLike, keypoints_px: ArrayLike) -> Roi:
    """The face crop from a detection.

    Args:
        box_px: x, y, width, height in pixels.
        keypoints_px: (K, 2), the first two being the person's right and left eye.
    """
    points = np.asarray(keypoints_px, dtype=np.float64)
    return roi_from_box(box_px, _rotation(points[0], points[1], 0.0), FACE_SCALE)


def face_roi_from_landmarks(landmarks_px: ArrayLike) -> Roi:
    """The face crop from landmarks of face468 or face478.

    Args:
        landmarks_px: (N, 2|3) in pixels; keypoints 33 and 263 are the outer eye corners.
    """
    points = np.asarray(landmarks_px, dtype=np.float64)[:, :2]
    return roi_from_box(_bounding_box(points), _rotation(points[33], points[263], 0.0), FACE_SCALE)


def hand_roi_from_palm(box_px: ArrayLike, keypoints_px: ArrayLike) -> Roi:
    """The hand crop from a palm detection.

    Args:
        box_px: x, y, width, height of the palm in pixels.
        keypoints_px: (7, 2), keypoint 0 the wrist, 2 the middle finger's base.
    """
    points = np.asarray(keypoints_px, dtype=np.float64)
    rotation = _rotation(points[0], points[2], math.pi / 2)
    return roi_from_box(box_px, rotation, PALM_SCALE, (0.0, PALM_SHIFT_Y))


def hand_roi_from_landmarks(landmarks_px: ArrayLike) -> Roi:
    """The hand crop from landmarks of hand21: an oriented box, unlike the face's upright one.

    Args:
        landmarks_px: (21, 2|3) in pixels.
    """
    points = np.asarray(landmarks_px, dtype=np.float64)[:, :2]
    # MediaPipe weighs the middle finger's base half, its two neighbours a quarter each.
    knuckles = (points[9] + (points[5] + points[13]) / 2) / 2
    rotation = _rotation(points[0], knuckles, math.pi / 2)
    cos, sin = math.cos(rotation), math.sin(rotation)
    kept = points[list(HAND_ROI_KEYPOINTS)]
    along = kept @ np.array([[cos, -sin], [sin, cos]])
    low, high = along.min(axis=0), along.max(axis=0)
    (mid_x, mid_y), (width, height) = (low + high) / 2, high - low
    cx, cy = cos * mid_x - sin * mid_y, sin * mid_x + cos * mid_y
    box = Roi(float(cx), float(cy), float(width), float(height), rotation)
    return _grown(box, HAND_SCALE, (0.0, HAND_SHIFT_Y))


def _grown(box: Roi, scale: float, shift: tuple[float, float]) -> Roi:
    # rect_transformation_calculator.cc with square_long: shift first, by the unscaled box.
    cos, sin = math.cos(box.rotation_rad), math.sin(box.rotation_rad)
    shift_x, shift_y = box.width * shift[0], box.height * shift[1]
    side = max(box.width, box.height) * scale
    return Roi(
        box.cx + shift_x * cos - shift_y * sin,
        box.cy + shift_x * sin + shift_y * cos,
        side,
        side,
        box.rotation_rad,
    )


def _bounding_box(points: NDArray[np.float64]) -> tuple[float, float, float, float]:
    (x0, y0), (x1, y1) = points.min(axis=0), points.max(axis=0)
    return float(x0), float(y0), float(x1 - x0), float(y1 - y0)


def _rotation(start: NDArray[np.float64], end: NDArray[np.float64], target_rad: float) -> float:
    """The turn that brings start -> end onto `target_rad` (counter-clockwise from image x)."""
    angle = target_rad - math.atan2(-(end[1] - start[1]), end[0] - start[0])
    return angle - 2 * math.pi * math.floor((angle + math.pi) / (2 * math.pi))
