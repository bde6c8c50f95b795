"""What MediaPipe's Tasks face landmarker does otherwise than its older face mesh.

Read from tasks/cc/vision/face_landmarker and seen in its results (MediaPipe 1.2.2).
"""

from __future__ import annotations

import math

import numpy as np

from runtime.libm import cos_sin
from runtime.results import Floats
from runtime.roi import Roi
from runtime.solutions.landmarks import LandmarkModel
from runtime.solutions.tracking import MIN_ASSOCIATION_IOU, Track, overlap

TASKS_MIN_SUPPRESSION_IOU = 0.5
"""Detections that overlap more are merged; the older graphs take 0.3."""

_f32 = np.float32
_ONE, _HALF = _f32(1), _f32(0.5)


class TasksLandmarkModel(LandmarkModel):
    """Landmarks laid over the picture by a matrix, in MediaPipe's float32 and order.

    z is in the unit of the crop's own x axis there, measured with the picture's width and height
    both counting for 1: it shrinks or grows by some percent where the head is tilted in a picture
    that isn't square.
    """

    def _projected(self, roi: Roi, image_width: int, image_height: int) -> Floats:
        width, height = _f32(roi.width), _f32(roi.height)
        cos, sin = cos_sin(roi.rotation_rad)
        x_unit, y_unit = _ONE / _f32(image_width), _ONE / _f32(image_height)
        x_x, x_y = width * cos * x_unit, -height * sin * x_unit
        y_x, y_y = width * sin * y_unit, height * cos * y_unit
        x_0 = (-_HALF * width * cos + _HALF * height * sin + _f32(roi.cx)) * x_unit
        y_0 = (-_HALF * height * cos - _HALF * width * sin + _f32(roi.cy)) * y_unit
        x, y, z = np.divide(self._crop_points().T, self._input_size)
        points = np.empty((3, len(x)), dtype=np.float32)
        np.add(x * x_x + y * x_y, x_0, out=points[0])
        np.add(x * y_x + y * y_y, y_0, out=points[1])
        along, down = float((x_x + x_0) - x_0), float((y_x + y_0) - y_0)
        np.multiply(z, _f32(math.sqrt(along**2 + down**2)), out=points[2])
        return points.T


class AssociateDetectionsLast:
    """New and followed regions as one list without doubles; a new one takes the place of the
    followed one it overlaps, and its number. Of single pictures nothing is left out as a double.

    Args:
        most: regions looked at.
        static: the pictures have nothing to do with each other.
    """

    def __init__(self, most: int, static: bool) -> None:
        self._most, self._static = most, static

    def process(self, detected: list[Track], followed: list[Track] | None) -> list[Track]:
        """The regions to look at: followed ones first."""
        if self._static:
            return list(detected[: self._most])
        kept: list[Track] = []
        for track in (*(followed or ()), *detected):
            doubles = [
                other for other in kept if overlap(other.roi, track.roi) > MIN_ASSOCIATION_IOU
            ]
            kept = [other for other in kept if other not in doubles]
            number = max([track.subject_id, *(other.subject_id for other in doubles)])
            kept.append(Track(track.roi, number))
        return kept[: self._most]
