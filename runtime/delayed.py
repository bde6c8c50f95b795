"""The delayed viewfinder: pictures are held back until it is known what is in them.

A result takes a while, and frames that come meanwhile are skipped. Shown late by that while, every
frame of the camera can be shown: those that were looked at with what was found in them, those in
between with what lies between the results before and after, subject by subject.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TypeVar

import numpy as np

from runtime.compare import compare
from runtime.detection import box_iou
from runtime.results import FrameResult, Subject
from runtime.sources import Frame

MOST_BYTES = 2**28
"""Of pictures held: 268 MB, 290 frames of 640 x 480 or 43 of 1920 x 1080."""

Shown = tuple[Frame, FrameResult]
Numbers = TypeVar("Numbers")


class DelayedView:
    """Frames that wait for results. One thread holds frames, another hands results in.

    Args:
        most_bytes: of pictures; where they would take more, every other one is let go.
    """

    def __init__(self, most_bytes: int = MOST_BYTES) -> None:
        self._most_bytes = most_bytes
        self._lock = threading.Lock()
        self._held: list[Frame] = []
        self._bytes = 0
        self._last: FrameResult | None = None
        self._restarted_us = -1

    @property
    def held_bytes(self) -> int:
        """Of the pictures that are held now."""
        return self._bytes

    def hold(self, frame: Frame) -> None:
        """Keep a frame, later than those before, until the next result is in."""
        with self._lock:
            if frame.restarted:
                self._restarted_us = frame.timestamp_us
            self._held.append(frame)
            self._bytes += frame.rgb.nbytes
            while self._bytes > self._most_bytes and len(self._held) > 1:
                self._held = self._held[1::2]  # the newest stays
                self._bytes = sum(one.rgb.nbytes for one in self._held)

    def known(self, frame: Frame, result: FrameResult) -> list[Shown]:
        """A result is in: the frames that can be shown now, ending with its own."""
        with self._lock:
            passed = [one for one in self._held if one.timestamp_us < frame.timestamp_us]
            self._held = [one for one in self._held if one.timestamp_us > frame.timestamp_us]
            self._bytes = sum(one.rgb.nbytes for one in self._held)
            restarted_us = self._restarted_us
        before, self._last = self._last, result
        if before is None or before.timestamp_us < restarted_us:
            return [(frame, result)]  # what lies before has nothing to do with it
        return [*((one, between(before, result, one)) for one in passed), (frame, result)]


class Presentation:
    """Shows frames at the rate at which they came, late by as much as results take.

    Args:
        clock: seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._waiting: deque[Shown] = deque()
        self._late_s = 0.0
        self._zero_s = 0.0

    def add(self, shown: Sequence[Shown]) -> None:
        """Frames that became known, in order."""
        if not shown:
            return
        if self._zero_s == 0.0:
            self._zero_s = self._clock() - shown[0][0].timestamp_us / 1e6
        late = self._clock() - self._zero_s - shown[0][0].timestamp_us / 1e6
        # Later at once, earlier little by little: a shown frame must never have to wait.
        self._late_s = late if late > self._late_s else self._late_s + 0.02 * (late - self._late_s)
        self._waiting.extend(shown)

    @property
    def waiting(self) -> int:
        """How many frames aren't shown yet."""
        return len(self._waiting)

    def next_in(self) -> float | None:
        """Seconds until a frame is due; None where none waits."""
        if not self._waiting:
            return None
        return max(0.0, self._due(self._waiting[0]) - self._clock())

    def due(self) -> Shown | None:
        """The frame to show now, if any; those that a slow screen is too late for are let go."""
        shown = None
        while self._waiting and self._due(self._waiting[0]) <= self._clock():
            shown = self._waiting.popleft()
        return shown

    def next(self) -> Shown | None:
        """The next frame whether due or not, for who looks at one frame after the other."""
        return self._waiting.popleft() if self._waiting else None

    def _due(self, shown: Shown) -> float:
        return self._zero_s + self._late_s + shown[0].timestamp_us / 1e6


def between(before: FrameResult, after: FrameResult, frame: Frame) -> FrameResult:
    """What lies between two results, at the time of a frame between them.

    Subjects that only one of the results has are left out: where they were meanwhile isn't known.
    """
    span = after.timestamp_us - before.timestamp_us
    part = (frame.timestamp_us - before.timestamp_us) / span
    subjects = subjects_between(before.subjects, after.subjects, part)
    against = after.against
    if against is not None and before.against is not None:
        others = subjects_between(before.against.subjects, against.subjects, part)
        difference = compare(subjects, others, after.width, after.height)
        against = replace(against, first=subjects, subjects=others, difference=difference)
    return replace(
        after, frame=frame.index, timestamp_us=frame.timestamp_us, dropped=0, subjects=subjects,
        spent_ms=0.0, against=against, interpolated=True,
    )  # fmt: skip


def subjects_between(
    before: Sequence[Subject], after: Sequence[Subject], part: float
) -> list[Subject]:
    """Subjects interpolated by id.

    Args:
        before, after: of two results.
        part: 0 for `before`, 1 for `after`.
    """
    earlier = {(subject.id, subject.topology): subject for subject in before}
    pairs = ((earlier.get((subject.id, subject.topology)), subject) for subject in after)
    return [_between(a, b, part) for a, b in pairs if a is not None and _are_one(a, b)]


def _are_one(a: Subject, b: Subject) -> bool:
    # Detections alone are numbered in each frame anew.
    return bool(a.topology) or box_iou(a.box, b.box) > 0


def _between(a: Subject, b: Subject, part: float) -> Subject:
    nearer = a if part < 0.5 else b
    x, y, width, height = (_mix(p, q, part) for p, q in zip(a.box, b.box))
    return replace(
        nearer,
        score=_mix(a.score, b.score, part),
        keypoints=_mixed(a.keypoints, b.keypoints, part, nearer.keypoints),
        box=(x, y, width, height),
        world_m=_mixed(a.world_m, b.world_m, part, nearer.world_m),
        visibility_score=_mixed(
            a.visibility_score, b.visibility_score, part, nearer.visibility_score
        ),
        blendshapes=_mixed_numbers(a.blendshapes, b.blendshapes, part, nearer.blendshapes),
        iris=_mixed_numbers(a.iris, b.iris, part, nearer.iris),
        cuboid=_mixed_cuboid(a, b, part, nearer),
    )


def _mix(a: float, b: float, part: float) -> float:
    return a + (b - a) * part


def _mixed(a: Numbers, b: Numbers, part: float, nearer: Numbers) -> Numbers:
    if not isinstance(a, np.ndarray) or not isinstance(b, np.ndarray) or a.shape != b.shape:
        return nearer
    return a + (b - a) * np.float32(part)


def _mixed_numbers(
    a: Mapping[str, float] | None,
    b: Mapping[str, float] | None,
    part: float,
    nearer: dict[str, float] | None,
) -> dict[str, float] | None:
    if a is None or b is None or a.keys() != b.keys():
        return nearer
    return {name: _mix(value, b[name], part) for name, value in a.items()}


def _mixed_cuboid(a: Subject, b: Subject, part: float, nearer: Subject) -> dict | None:
    if a.cuboid is None or b.cuboid is None:
        return nearer.cuboid
    mixed = {
        name: _mix_lists(a.cuboid[name], b.cuboid[name], part)
        for name in ("keypoints", "translation_m", "size_m")
        if a.cuboid.get(name) is not None and b.cuboid.get(name) is not None
    }
    # Rotations aren't mixed: what is drawn are the keypoints.
    return {**(nearer.cuboid or {}), **mixed}


def _mix_lists(a: list, b: list, part: float) -> list:
    first, second = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    return (first + (second - first) * part).tolist()
