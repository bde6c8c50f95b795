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
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Literal

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from runtime.libm import atan2f, cos_sin, float32s

Border = Literal["replicate", "zero"]
Size = tuple[float, float]
Box = tuple[float, ...]
"""Centre x, y, width, height, normalised by the image's size; float32 in Python's floats."""
PIXELS: Size = (1.0, 1.0)
"""As an image size: the coordinates are pixels already."""

_rounded = partial(array, "f")  # a list of floats to float32
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
        cx, cy, width, height, rotation = float32s(
            self.cx, self.cy, self.width, self.height, self.rotation_rad
        )
        (degrees,) = float32s(rotation * 180)
        (degrees,) = float32s(degrees / math.pi)
        angle = degrees * math.pi / 180
        cos, sin = float32s(math.cos(angle), math.sin(angle))
        cos, sin = cos / 2, sin / 2
        down_x, down_y, right_x, right_y = float32s(
            sin * height, cos * height, cos * width, sin * width
        )
        x0, y0, x1, y1 = float32s(cx - down_x, cy + down_y, cx + down_x, cy - down_y)
        x0, y0, x1, y1 = float32s(x0 - right_x, y0 - right_y, x1 - right_x, y1 - right_y)
        opposite = (2 * cx - x0, 2 * cy - y0, 2 * cx - x1, 2 * cy - y1)
        return np.array((x0, y0, x1, y1, *opposite), dtype=np.float32).reshape(4, 2)


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
        (own_height,) = float32s(own_width * aspect)
    else:
        (own_width,) = float32s(own_height / aspect)
    return Roi(roi.cx, roi.cy, own_width, own_height, roi.rotation_rad)


def letterbox_padding(roi: Roi, width: int, height: int) -> tuple[float, float]:
    """What `roi_padded_to_aspect` adds, as parts of the padded region: left (and right), above."""
    aspect, own, _, _ = _aspects(roi, width, height)
    (part,) = float32s(own / aspect if aspect > own else aspect / own)
    (rest,) = float32s(1 - part)
    return (0.0, rest / 2) if aspect > own else (rest / 2, 0.0)


def _aspects(roi: Roi, width: int, height: int) -> tuple[float, ...]:
    """Height over width wanted, and the region's own; then its sides."""
    own_width, own_height = float32s(roi.width, roi.height)
    return *float32s(height / width, own_height / own_width), own_width, own_height


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
    x, y, width, height = np.asarray(box, dtype=np.float32).reshape(4).tolist()
    (rotation,) = float32s(float(rotation_rad))
    middle = (x + width / 2, y + height / 2, width, height)
    return _grown(middle, rotation, scale, shift_y, image_size)


def square_roi(roi: Roi, scale: float, image_size: Size) -> Roi:
    """The square about a region, turned as it is: its longer side, grown.

    Args:
        roi: in pixels.
        scale: side of the square over the region's longer side.
        image_size: of the picture.
    """
    width, height = image_size
    box = (roi.cx / width, roi.cy / height, roi.width / width, roi.height / height)
    (rotation,) = float32s(roi.rotation_rad)
    return _grown(box, rotation, scale, 0.0, image_size)


def face_roi_from_detection(box: ArrayLike, keypoints: ArrayLike, image_size: Size = PIXELS) -> Roi:
    """The face crop from a detection.

    Args:
        box: x, y, width, height over `image_size`.
        keypoints: (K, 2), the first two being the person's right and left eye.
        image_size: what the coordinates are normalised by; by default they are pixels.
    """
    points = np.asarray(keypoints, dtype=np.float32)
    rotation = _rotation(points[0].tolist(), points[1].tolist(), 0.0, image_size)
    return roi_from_box(box, rotation, FACE_SCALE, 0.0, image_size)


def face_roi_from_landmarks(landmarks: ArrayLike, image_size: Size = PIXELS) -> Roi:
    """The face crop from landmarks of face468 or face478.

    Args:
        landmarks: (N, 2|3); keypoints 33 and 263 are the outer eye corners.
        image_size: what the coordinates are normalised by; by default they are pixels.
    """
    points = np.asarray(landmarks, dtype=np.float32)[:, :2]
    x, y = np.minimum.reduce(points).tolist()
    right, below = np.maximum.reduce(points).tolist()
    width, height = float32s(right - x, below - y)
    rotation = _rotation(points[33].tolist(), points[263].tolist(), 0.0, image_size)
    box = (x + width / 2, y + height / 2, width, height)
    return _grown(box, rotation, FACE_SCALE, 0.0, image_size)


def eye_roi(corners: ArrayLike, image_size: Size = PIXELS) -> Roi:
    """The crop of an eye.

    Args:
        corners: (2, 2|3) its two corners, first the one further left in the picture.
        image_size: what the coordinates are normalised by; by default they are pixels.
    """
    points = np.asarray(corners, dtype=np.float32)[:, :2]
    start, end = points.tolist()
    low = points.min(axis=0)
    box = np.concatenate([low, points.max(axis=0) - low])
    return roi_from_box(box, _rotation(start, end, 0.0, image_size), EYE_SCALE, 0.0, image_size)


def hand_roi_from_palm(box: ArrayLike, keypoints: ArrayLike, image_size: Size = PIXELS) -> Roi:
    """The hand crop from a palm detection.

    Args:
        box: x, y, width, height of the palm over `image_size`.
        keypoints: (7, 2), keypoint 0 the wrist, 2 the middle finger's base.
        image_size: what the coordinates are normalised by; by default they are pixels.
    """
    points = np.asarray(keypoints, dtype=np.float32)
    rotation = _rotation(points[0].tolist(), points[2].tolist(), math.pi / 2, image_size)
    return roi_from_box(box, rotation, PALM_SCALE, PALM_SHIFT_Y, image_size)


def hand_roi_from_landmarks(landmarks: ArrayLike, image_size: Size = PIXELS) -> Roi:
    """The hand crop from landmarks of hand21: an oriented box, unlike the face's upright one.

    Args:
        landmarks: (21, 2|3).
        image_size: what the coordinates are normalised by; by default they are pixels.
    """
    points: list[list[float]] = np.asarray(landmarks, dtype=np.float32)[:, :2].tolist()
    image_width, image_height = float32s(*image_size)
    # MediaPipe weighs the middle finger's base half, its two neighbours a quarter each.
    (x5, y5), (x9, y9), (x13, y13) = points[5], points[9], points[13]
    x, y = float32s(x5 + x13, y5 + y13)
    x, y = float32s(x / 2 + x9, y / 2 + y9)
    rotation = _rotation(points[0], [x / 2, y / 2], math.pi / 2, image_size)
    cos, sin = cos_sin(rotation)
    along_x, along_y = zip(*[points[i] for i in HAND_ROI_KEYPOINTS])
    cx, cy = float32s((max(along_x) + min(along_x)) / 2, (max(along_y) + min(along_y)) / 2)
    xs = _rounded([x * image_width for x in _rounded([x - cx for x in along_x])])
    ys = _rounded([y * image_height for y in _rounded([y - cy for y in along_y])])
    # The hand's own axes: x cos + y sin, and y cos - x sin.
    x_cos, y_sin = _rounded([x * cos for x in xs]), _rounded([y * sin for y in ys])
    y_cos, x_sin = _rounded([y * cos for y in ys]), _rounded([x * sin for x in xs])
    right = _rounded([a + b for a, b in zip(x_cos, y_sin)])
    down = _rounded([a - b for a, b in zip(y_cos, x_sin)])
    high_x, low_x, high_y, low_y = max(right), min(right), max(down), min(down)
    mid_x, mid_y = float32s((high_x + low_x) / 2, (high_y + low_y) / 2)
    a, b, c, d = float32s(mid_x * cos, mid_y * sin, mid_x * sin, mid_y * cos)
    a, b, c, d = float32s(a - b, c + d, image_width * cx, image_height * cy)
    a, b, c, d = float32s(a + c, b + d, high_x - low_x, high_y - low_y)
    box = (a / image_width, b / image_height, c / image_width, d / image_height)
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
    width, height = float32s(width * image_size[0], height * image_size[1])
    return float32s(width + height)[0] / 2


def _body_box(points: ArrayLike, image_size: Size) -> tuple[Box, float]:
    # alignment_points_to_rects_calculator.cc: a square about the first point, turned upright.
    centre, end = np.asarray(points, dtype=np.float32)[:2, :2].tolist()
    width, height = float32s(*image_size)
    x0, y0, x1, y1 = float32s(
        centre[0] * width, centre[1] * height, end[0] * width, end[1] * height
    )
    x, y = float32s(x1 - x0, y1 - y0)
    x, y = float32s(x * x, y * y)
    (square,) = float32s(x + y)
    side = 2 * float32s(math.sqrt(square))[0]
    box = float32s(x0 / width, y0 / height, side / width, side / height)
    return box, _rotation(centre, end, math.pi / 2, image_size)


def _grown(box: Box, rotation: float, scale: float, shift_y: float, image_size: Size) -> Roi:
    # rect_transformation_calculator.cc with square_long: shift first, by the unscaled box.
    cx, cy, width, height = float32s(*box)
    image_width, image_height, scale, shift_y = float32s(*image_size, scale, shift_y)
    if rotation == 0:
        (shift,) = float32s(height * shift_y)
        (cy,) = float32s(cy + shift)
    elif shift_y != 0:
        cos, sin = cos_sin(rotation)
        (shift,) = float32s(image_height * height)
        (shift,) = float32s(shift * shift_y)
        x, y = float32s(shift * sin, shift * cos)
        x, y = float32s(x / image_width, y / image_height)
        cx, cy = float32s(cx - x, cy + y)
    longest = max(float32s(width * image_width, height * image_height))
    width, height = float32s(longest / image_width, longest / image_height)
    width, height = float32s(width * scale, height * scale)
    # In float64 these products are exact, so that dividing by the size gives back the same float32.
    return Roi(
        cx * image_width, cy * image_height, width * image_width, height * image_height, rotation
    )


def _rotation(
    start: Sequence[float], end: Sequence[float], target_rad: float, image_size: Size
) -> float:
    """The turn that brings start -> end onto `target_rad` (counter-clockwise from image x)."""
    width, height, target = float32s(*image_size, target_rad)
    x0, y0, x1, y1 = float32s(start[0] * width, start[1] * height, end[0] * width, end[1] * height)
    x, y = float32s(x1 - x0, y1 - y0)
    (angle,) = float32s(target - atan2f(-y, x))
    return float32s(angle - 2 * math.pi * math.floor((angle + math.pi) / (2 * math.pi)))[0]
