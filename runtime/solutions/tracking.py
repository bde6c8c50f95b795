"""Regions carried from frame to frame, so that the detector need not look at every frame.

MediaPipe's rule: the region that a subject's landmarks give is its region in the next frame; the
detector runs only while fewer subjects than wanted are followed, and where one of its regions
overlaps a followed one, the followed one stays.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from runtime.detection import box_iou
from runtime.roi import Roi

MIN_ASSOCIATION_IOU = 0.5


@dataclass(frozen=True)
class Track:
    """A region to look at, and the id of the subject it followed; -1 for a new one."""

    roi: Roi
    subject_id: int = -1


def associated(
    detected: Sequence[Track], followed: Sequence[Track], min_iou: float = MIN_ASSOCIATION_IOU
) -> list[Track]:
    """The regions to look at: detected ones first, a later one taking an overlapped one's place.

    As in MediaPipe all of them are looked at: where the detector has run for a second subject, up
    to three may be found until the next picture.

    Args:
        detected: from the detector, the best first.
        followed: from the last frame.
        min_iou: regions with a larger intersection over union are taken for the same subject's.
    """
    kept: list[Track] = []
    for track in (*detected, *followed):
        kept = [other for other in kept if overlap(other.roi, track.roi) <= min_iou]
        kept.append(track)
    return kept


def overlap(a: Roi, b: Roi) -> float:
    """Intersection over union of two regions without their rotation, as MediaPipe has it."""
    return box_iou(
        (a.cx - a.width / 2, a.cy - a.height / 2, a.width, a.height),
        (b.cx - b.width / 2, b.cy - b.height / 2, b.width, b.height),
    )
