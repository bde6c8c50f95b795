"""Regions from frame to frame: MediaPipe's association rule."""

from __future__ import annotations

from runtime.roi import Roi
from runtime.solutions.tracking import Track, associated


def at(x: float, subject_id: int = -1, side: float = 100.0) -> Track:
    return Track(Roi(x, 50, side, side), subject_id)


def test_a_followed_region_takes_the_place_of_a_detection_on_it() -> None:
    assert associated([at(55), at(300)], [at(50, 7)]) == [at(300), at(50, 7)]


def test_detections_beside_it_stay_and_lesser_overlaps_too() -> None:
    # Moved by half its side, a square shares a third of the union: below one half.
    assert associated([at(100)], [at(50, 0)]) == [at(100), at(50, 0)]
    assert associated([at(80)], [at(50, 0)]) == [at(50, 0)]


def test_detections_are_held_to_the_same_rule_among_themselves() -> None:
    assert associated([at(50), at(52)], []) == [at(52)]


def test_rotation_plays_no_part() -> None:
    turned = Track(Roi(50, 50, 100, 100, 1.0), 3)
    assert associated([at(50)], [turned]) == [turned]


def test_all_are_looked_at_detections_first() -> None:
    detected = [at(1000.0 + 200 * i) for i in range(3)]
    assert associated(detected, [at(50, 1)]) == [*detected, at(50, 1)]
    assert associated((), [at(50, 1), at(500, 2)]) == [at(50, 1), at(500, 2)]
    assert associated((), ()) == []
