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
palm_detection_detection_to_roi, hand_landmark_landmarks_to_roi, pose_detection_to_roi,
pose_landmarks_to_roi), in its float32 arithmetic and order of operations: a region that is off by
1e-4 px can move a landmark of the lite hand model by 0.4 px, as the warp rounds coordinates to
1/32 px.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from runtime.libm import atan2f, cos_sin

Border = Literal["replicate", "zero"]
Size = tuple[float, float]
PIXELS: Size = (1.0, 1.0)
"""As an image size: the coordinates are pixels already."""

_f32 = np.float32
# Scalars of their type, made once: in between, Python's floats are slow to mix with NumPy's.
_HALF, _TWO, _HALF_TURN = _f32(0.5), _f32(2), _f32(180)
BORDER_MODES = {"replicate": cv2.BORDER_REPLICATE, "zero": cv2.BORDER_CONSTANT}

MOST_READ_AHEAD = 2**21  # bytes: beyond it a crop skips most of what it would read

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
_HAND_ROI_KEYPOINTS = np.array(HAND_ROI_KEYPOINTS)
EYE_SCALE = 2.3
"""Side of an eye's region over the longer side of the box around its corners."""
BODY_SCALE = 1.25
"""Side of a body's region over its size, see `body_size`."""


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
        # cv::RotatedRect holds degrees in float32, and its points() works in this order.
        degrees = _f32(float(_f32(self.rotation_rad) * _HALF_TURN) / math.pi)
        angle = float(degrees) * math.pi / 180
        half_cos = _f32(math.cos(angle)) * _HALF
        half_sin = _f32(math.sin(angle)) * _HALF
        cx, cy, width, height = np.array(
            (self.cx, self.cy, self.width, self.height), dtype=np.float32
        )
        x0 = cx - half_sin * height - half_cos * width
        y0 = cy + half_cos * height - half_sin * width
        x1 = cx + half_sin * height - half_cos * width
        y1 = cy - half_cos * height - half_sin * width
        return np.array(
            (
                (x0, y0),
                (x1, y1),
                (_TWO * cx - x0, _TWO * cy - y0),
                (_TWO * cx - x1, _TWO * cy - y1),
            ),
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
    corners = roi.corners()
    crop_from_roi = cv2.getPerspectiveTransform(corners, crop_corners(width, height))
    _read_ahead(image, corners)
    return cv2.warpPerspective(
        image,
        crop_from_roi,
        (width, height),
        dst=out,
        flags=cv2.INTER_LINEAR,
        borderMode=BORDER_MODES[border],
    )


def _read_ahead(image: NDArray[np.uint8], corners: NDArray[np.float32]) -> None:
    """Bring a region's pixels into the CPU's cache.

    They lie in main memory, and `warpPerspective` waits for each line of them; read in order they
    come by themselves. A crop of 224 x 224 after an invoke: 410 instead of 490 us.
    """
    height, width = image.shape[:2]
    (left, right), (top, bottom) = (
        (int(min(max(0.0, min(along)), end)), int(min(max(0.0, max(along)), end)))
        for along, end in zip(zip(*corners.tolist()), (width, height))
    )
    shown = image[top:bottom, left:right]
    if 0 < shown.size < MOST_READ_AHEAD:
        cv2.norm(shown, cv2.NORM_INF)


@lru_cache(maxsize=32)
def crop_corners(width: int, height: int) -> NDArray[np.float32]:
    """(4, 2) where a crop of that size shows its region's corners; not to be written to."""
    return np.array([[0, height], [0, 0], [width, 0], [width, height]], dtype=np.float32)


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
    aspect, own, own_width, own_height = _aspects(roi, width, height)
    if aspect > own:
        return Roi(roi.cx, roi.cy, float(own_width), float(own_width * aspect), roi.rotation_rad)
    return Roi(roi.cx, roi.cy, float(own_height / aspect), float(own_height), roi.rotation_rad)


def letterbox_padding(roi: Roi, width: int, height: int) -> tuple[np.float32, np.float32]:
    """What `roi_padded_to_aspect` adds, as parts of the padded region: left (and right), above."""
    aspect, own, _, _ = _aspects(roi, width, height)
    one, zero = _f32(1), _f32(0)
    if aspect > own:
        return zero, (one - own / aspect) / _TWO
    return (one - aspect / own) / _TWO, zero


def _aspects(
    roi: Roi, width: int, height: int
) -> tuple[np.float32, np.float32, np.float32, np.float32]:
    """Height over width wanted, and the region's own; then its sides."""
    own_width, own_height = _f32(roi.width), _f32(roi.height)
    return _f32(height) / _f32(width), own_height / own_width, own_width, own_height


def roi_from_box(
    box: ArrayLike,
    rotation_rad: float | np.float32 = 0.0,
    scale: float = 1.0,
    shift_y: float = 0.0,
    image_size: Size = PIXELS,
) -> Roi:
    """A square region around a box: its longer side, grown and shifted along its own axis.

    Args:
        box: x, y, width, height over `image_size`.
        rotation_rad: of the region about the box's centre.
        scale: side of the region over the box's longer side.
        shift_y: moves the centre by this part of the box's height, in the rotated direction.
        image_size: what the coordinates are normalised by; by default they are pixels.
    """
    x, y, width, height = np.asarray(box, dtype=np.float32).reshape(4)
    middle = (x + width / _TWO, y + height / _TWO, width, height)
    return _grown(middle, _f32(rotation_rad), scale, shift_y, image_size)


def square_roi(roi: Roi, scale: float, image_size: Size) -> Roi:
    """The square about a region, turned as it is: its longer side, grown.

    Args:
        roi: in pixels.
        scale: side of the square over the region's longer side.
        image_size: of the picture.
    """
    width, height = image_size
    box = (_f32(roi.cx / width), _f32(roi.cy / height), _f32(roi.width / width),
           _f32(roi.height / height))  # fmt: skip
    return _grown(box, _f32(roi.rotation_rad), scale, 0.0, image_size)


def face_roi_from_detection(box: ArrayLike, keypoints: ArrayLike, image_size: Size = PIXELS) -> Roi:
    """The face crop from a detection.

    Args:
        box: x, y, width, height over `image_size`.
        keypoints: (K, 2), the first two being the person's right and left eye.
        image_size: what the coordinates are normalised by; by default they are pixels.
    """
    points = np.asarray(keypoints, dtype=np.float32) * _size(image_size)
    return roi_from_box(box, _rotation(points[0], points[1], 0.0), FACE_SCALE, 0.0, image_size)


def face_roi_from_landmarks(landmarks: ArrayLike, image_size: Size = PIXELS) -> Roi:
    """The face crop from landmarks of face468 or face478.

    Args:
        landmarks: (N, 2|3); keypoints 33 and 263 are the outer eye corners.
        image_size: what the coordinates are normalised by; by default they are pixels.
    """
    points, size = np.asarray(landmarks, dtype=np.float32)[:, :2], _size(image_size)
    x, y = np.minimum.reduce(points)
    right, below = np.maximum.reduce(points)
    width, height = right - x, below - y
    rotation = _rotation(points[33] * size, points[263] * size, 0.0)
    box = (x + width / _TWO, y + height / _TWO, width, height)
    return _grown(box, rotation, FACE_SCALE, 0.0, image_size)


def eye_roi(corners: ArrayLike, image_size: Size = PIXELS) -> Roi:
    """The crop of an eye.

    Args:
        corners: (2, 2|3) its two corners, first the one further left in the picture.
        image_size: what the coordinates are normalised by; by default they are pixels.
    """
    points = np.asarray(corners, dtype=np.float32)[:, :2]
    ends = points * _size(image_size)
    low = points.min(axis=0)
    box = np.concatenate([low, points.max(axis=0) - low])
    return roi_from_box(box, _rotation(ends[0], ends[1], 0.0), EYE_SCALE, 0.0, image_size)


def hand_roi_from_palm(box: ArrayLike, keypoints: ArrayLike, image_size: Size = PIXELS) -> Roi:
    """The hand crop from a palm detection.

    Args:
        box: x, y, width, height of the palm over `image_size`.
        keypoints: (7, 2), keypoint 0 the wrist, 2 the middle finger's base.
        image_size: what the coordinates are normalised by; by default they are pixels.
    """
    points = np.asarray(keypoints, dtype=np.float32) * _size(image_size)
    rotation = _rotation(points[0], points[2], math.pi / 2)
    return roi_from_box(box, rotation, PALM_SCALE, PALM_SHIFT_Y, image_size)


def hand_roi_from_landmarks(landmarks: ArrayLike, image_size: Size = PIXELS) -> Roi:
    """The hand crop from landmarks of hand21: an oriented box, unlike the face's upright one.

    Args:
        landmarks: (21, 2|3).
        image_size: what the coordinates are normalised by; by default they are pixels.
    """
    points, size = np.asarray(landmarks, dtype=np.float32)[:, :2], _size(image_size)
    # MediaPipe weighs the middle finger's base half, its two neighbours a quarter each.
    knuckles = ((points[5] + points[13]) / _TWO + points[9]) / _TWO
    rotation = _rotation(points[0] * size, knuckles * size, math.pi / 2)
    cos, sin = cos_sin(rotation)
    kept = points.take(_HAND_ROI_KEYPOINTS, axis=0)
    centre = (np.maximum.reduce(kept) + np.minimum.reduce(kept)) / _TWO
    kept -= centre
    kept *= size
    x, y = kept.T
    along = kept * cos
    along[:, 0] += y * sin
    along[:, 1] -= x * sin
    low, high = np.minimum.reduce(along), np.maximum.reduce(along)
    mid_x, mid_y = (high + low) / _TWO
    shift_x, shift_y = centre * size
    width, height = (high - low) / size
    box = (
        (mid_x * cos - mid_y * sin + shift_x) / size[0],
        (mid_x * sin + mid_y * cos + shift_y) / size[1],
        width,
        height,
    )
    return _grown(box, rotation, HAND_SCALE, HAND_SHIFT_Y, image_size)


def body_roi(points: ArrayLike, image_size: Size = PIXELS) -> Roi:
    """The body crop from the two points by which MediaPipe aligns bodies.

    Args:
        points: (K, 2|3), of which the first two count: the middle between the hips, which becomes
            the crop's centre, and a point above it, as far away as the body reaches. They are
            keypoints 0 and 1 of a body detection, 33 and 34 of the landmark model.
        image_size: what the coordinates are normalised by; by default they are pixels.
    """
    box, rotation = _body_box(points, image_size)
    return _grown(box, rotation, BODY_SCALE, 0.0, image_size)


def body_size(points: ArrayLike, image_size: Size = PIXELS) -> float:
    """A body's size in pixels: twice the distance between the two points of `body_roi`."""
    (_, _, width, height), _ = _body_box(points, image_size)
    size = _size(image_size)
    return float((width * size[0] + height * size[1]) / _f32(2))


def _body_box(
    points: ArrayLike, image_size: Size
) -> tuple[tuple[np.float32, np.float32, np.float32, np.float32], np.float32]:
    # alignment_points_to_rects_calculator.cc: a square about the first point, turned upright.
    size = _size(image_size)
    centre, end = np.asarray(points, dtype=np.float32)[:2, :2] * size
    x, y = end - centre
    side = np.sqrt(x * x + y * y) * _f32(2)
    cx, cy = centre / size
    return (cx, cy, side / size[0], side / size[1]), _rotation(centre, end, math.pi / 2)


def _grown(
    box: tuple[np.float32, np.float32, np.float32, np.float32],
    rotation: np.float32,
    scale: float,
    shift_y: float,
    image_size: Size,
) -> Roi:
    # rect_transformation_calculator.cc with square_long: shift first, by the unscaled box.
    cx, cy, width, height = box
    image_width, image_height = _size(image_size)
    if rotation == 0:
        cy += height * _f32(shift_y)
    else:
        cos, sin = cos_sin(rotation)
        shift = image_height * height * _f32(shift_y)
        cx, cy = cx - shift * sin / image_width, cy + shift * cos / image_height
    longest = max(width * image_width, height * image_height)
    width = longest / image_width * _f32(scale)
    height = longest / image_height * _f32(scale)
    # In float64 these products are exact, so that dividing by the size gives back the same float32.
    return Roi(
        float(cx) * float(image_width),
        float(cy) * float(image_height),
        float(width) * float(image_width),
        float(height) * float(image_height),
        float(rotation),
    )


def _rotation(
    start_px: NDArray[np.float32], end_px: NDArray[np.float32], target_rad: float
) -> np.float32:
    """The turn that brings start -> end onto `target_rad` (counter-clockwise from image x)."""
    x, y = end_px - start_px
    angle = float(_f32(target_rad) - _f32(atan2f(-y, x)))
    return _f32(angle - 2 * math.pi * math.floor((angle + math.pi) / (2 * math.pi)))


@lru_cache(maxsize=16)
def _size(image_size: Size) -> NDArray[np.float32]:
    """As an array, not to be written to."""
    return np.array(image_size, dtype=np.float32)
