"""What MediaPipe's Tasks face landmarker does otherwise than its older face mesh.

Read from tasks/cc/vision/face_landmarker and seen in its results (MediaPipe 1.2.2).
"""

from __future__ import annotations

import math

from runtime.results import Floats
from runtime.roi import Roi
from runtime.solutions.landmarks import LandmarkModel
from runtime.solutions.tracking import MIN_ASSOCIATION_IOU, Track, overlap


class TasksLandmarkModel(LandmarkModel):
    """Landmarks whose z is in the unit of the crop's own x axis, laid over the picture.

    The picture's width and height count for 1 each there, so that z shrinks or grows by some
    percent where the head is tilted in a picture that isn't square.
    """

    def _projected(self, roi: Roi, image_width: int, image_height: int) -> Floats:
        points = super()._projected(roi, image_width, image_height)
        along = math.cos(roi.rotation_rad)
        down = math.sin(roi.rotation_rad) * image_width / image_height
        points[:, 2] *= math.hypot(along, down)
        return points


class AssociateDetectionsLast:
    """New and followed regions as one list without doubles; a new one takes the place of the
    followed one it overlaps, and its number.

    Args:
        most: regions looked at.
    """

    def __init__(self, most: int) -> None:
        self._most = most

    def process(self, detected: list[Track], followed: list[Track] | None) -> list[Track]:
        """The regions to look at: followed ones first."""
        kept: list[Track] = []
        for track in (*(followed or ()), *detected):
            doubles = [
                other for other in kept if overlap(other.roi, track.roi) > MIN_ASSOCIATION_IOU
            ]
            kept = [other for other in kept if other not in doubles]
            number = max([track.subject_id, *(other.subject_id for other in doubles)])
            kept.append(Track(track.roi, number))
        return kept[: self._most]
