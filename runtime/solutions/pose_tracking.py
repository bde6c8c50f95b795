"""Several bodies in a stream: when to look for new ones, and which is which.

MediaPipe follows one body and takes the detector's first. Here, as long as fewer bodies are
followed than wanted:

- While none is followed, the detector looks at every picture (with one body wanted, this is all,
  and is MediaPipe's rule). While some are, it looks three times a second, and ten times in the
  second after one of them was lost: so it costs a tenth of a 30 Hz stream, not all of it, when
  fewer people are there than the most.
- A detection and a followed region are the same body where they overlap by more than half and no
  other pair of theirs overlaps more: one to one, so that somebody who stands close to a followed
  person is still found.
- Two crops may show the same body, say when one person passes before another. Then one of them is
  dropped, and ids go to the bodies that are most like what constant motion would have made of them
  since they stood clear of each other. Who was lost keeps the id for a second, for the body that
  turns up where they should be.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from runtime.detection import Detector
from runtime.graph.types import Picture
from runtime.roi import Roi, body_roi
from runtime.solutions.pose_model import BodyModel, CropBody
from runtime.solutions.tracking import MIN_ASSOCIATION_IOU, Track, overlap

Points = NDArray[np.float32]

LOOK_EVERY_US = 330_000
LOOK_FOR_LOST_EVERY_US = 100_000
SAME_BODY_DISTANCE = 0.04
SAME_HEAD_DISTANCE = 0.07
"""Two crops show one body if their keypoints, or those of the head alone, are nearer to each other
on average than this part of the (larger) crop's side: 10 cm and 17 cm of a grown-up. Two looks at
one body that shows but in part may agree on nothing but the head."""
CHANGE_COST = 0.03
"""A followed body takes another's id where it is nearer to that one by this part of its crop."""
CROWDED_IOU = 0.6
"""Bodies whose regions overlap more may be taken for each other: what is known of them from before
counts, for as long as somebody lost is remembered."""
REMEMBERED_US = 1_000_000
RETURN_DISTANCE = 0.15
RETURN_DISTANCE_PER_S = 0.4
"""How far from where they should be somebody lost may turn up, in sides of their crop: at once, and
more with every second."""
_HEAD = slice(0, 11)
_NEWEST_MOTION = 0.2  # weight: someone who is hidden bit by bit seems to speed up


@dataclass(frozen=True)
class Body:
    """A subject's id (-1 for a new one), the region it was looked at in, and what was found."""

    subject_id: int
    roi: Roi
    found: CropBody


class DetectBodies:
    """Regions of new bodies, when it is time to look for them."""

    def __init__(self, detector: Detector, most: int) -> None:
        self.models = (detector.model,)
        self._detector = detector
        self._most = most
        self._count = self._look_us = self._search_until_us = 0

    def process(
        self, picture: Picture, followed: list[Track] | None, timestamp_us: int
    ) -> list[Track]:
        """Every detection's region, the best first; none when nobody is looked for."""
        count = len(followed or ())
        if count < self._count:
            self._look_us = timestamp_us
            self._search_until_us = timestamp_us + REMEMBERED_US
        self._count = count
        if count >= self._most or (count and timestamp_us < self._look_us):
            return []
        searching = timestamp_us < self._search_until_us
        self._look_us = timestamp_us + (LOOK_FOR_LOST_EVERY_US if searching else LOOK_EVERY_US)
        size = (picture.shape[1], picture.shape[0])
        return [Track(body_roi(found.keypoints, size)) for found in self._detector.detect(picture)]

    def reset(self) -> None:
        """Forget earlier pictures."""
        self._count = self._look_us = self._search_until_us = 0


class AssociateBodies:
    """Followed regions and new ones, without those that are a followed body's."""

    def __init__(self, most: int) -> None:
        self._most = most

    def process(self, detected: list[Track], followed: list[Track] | None) -> list[Track]:
        """The regions to look at."""
        followed = followed or []
        if not detected:
            return followed[: self._most]
        shared = np.empty((len(detected), len(followed)))
        for row, new in enumerate(detected):
            shared[row] = [overlap(new.roi, old.roi) for old in followed]
        known = {new for new, _ in one_to_one(1 - shared, 1 - MIN_ASSOCIATION_IOU)}
        news = [new for number, new in enumerate(detected) if number not in known]
        return followed[: self._most] + news[: max(0, self._most - len(followed))]


class FindBodies:
    """A body in each region where there is one."""

    def __init__(self, model: BodyModel) -> None:
        self.models = (model.model,)
        self._model = model

    def process(self, picture: Picture, tracks: list[Track]) -> list[Body]:
        """Those in whose region the model sees somebody."""
        bodies = []
        for track in tracks:
            found = self._model.run(picture, track.roi)
            if found is not None:
                bodies.append(Body(track.subject_id, track.roi, found))
        return bodies


@dataclass(frozen=True)
class _Known:
    """Where a body was when it stood clear, as it was found; its motion in pixels a second; when
    that was, and when it was last seen at all."""

    body: Body
    motion_px_s: tuple[float, float]
    clear_us: int
    seen_us: int

    def moved_px(self, timestamp_us: int) -> tuple[float, float]:
        """How far constant motion has brought it since."""
        seconds = (timestamp_us - self.clear_us) * 1e-6
        return self.motion_px_s[0] * seconds, self.motion_px_s[1] * seconds

    def expected_px(self, size: Points, timestamp_us: int) -> Points:
        """(33, 2) where its keypoints should be."""
        moved = np.array(self.moved_px(timestamp_us), dtype=np.float32)
        return _points_px(self.body, size) + moved

    def expected_roi(self, timestamp_us: int) -> Roi:
        """Where its region should be."""
        x, y = self.moved_px(timestamp_us)
        return replace(self.body.roi, cx=self.body.roi.cx + x, cy=self.body.roi.cy + y)


class IdentifyBodies:
    """Gives every body its id, and drops bodies that were found twice."""

    def __init__(self) -> None:
        self._known: dict[int, _Known] = {}
        self._next_id = 0

    def process(self, bodies: list[Body], picture: Picture, timestamp_us: int) -> list[Body]:
        """The bodies by rising id."""
        if len(bodies) == 1 and [bodies[0].subject_id] == list(self._known):
            named = bodies  # the one that is followed, and nobody to take it for
        else:
            size = np.array([picture.shape[1], picture.shape[0]], dtype=np.float32)
            named = self._renamed(_distinct(bodies, size), size, timestamp_us)
        named = [self._numbered(body) for body in named]
        named = sorted(named, key=lambda body: body.subject_id)
        self._remember(named, timestamp_us)
        return named

    def reset(self) -> None:
        """Forget earlier pictures and count from 0 again."""
        self._known = {}
        self._next_id = 0

    def _numbered(self, body: Body) -> Body:
        if body.subject_id >= 0:
            return body
        self._next_id += 1
        return replace(body, subject_id=self._next_id - 1)

    def _renamed(self, bodies: list[Body], size: Points, timestamp_us: int) -> list[Body]:
        """The bodies under the ids of those they are most like; -1 for new ones."""
        ids = list(self._known)
        if not bodies or not ids:
            return bodies
        costs = np.empty((len(bodies), len(ids)))
        points = [_points_px(body, size) for body in bodies]
        for column, subject_id in enumerate(ids):
            known = self._known[subject_id]
            expected = known.expected_px(size, timestamp_us)
            unclear_s = (timestamp_us - known.clear_us) * 1e-6
            far = RETURN_DISTANCE + RETURN_DISTANCE_PER_S * unclear_s
            for row, body in enumerate(bodies):
                cost = _distance(points[row], expected, known.body.roi.width)
                if body.subject_id >= 0:
                    cost += 0.0 if body.subject_id == subject_id else CHANGE_COST
                elif cost > far:
                    cost = np.inf
                costs[row, column] = cost
        new_ids = dict(one_to_one(costs, np.inf))
        return [
            replace(body, subject_id=ids[new_ids[row]] if row in new_ids else -1)
            for row, body in enumerate(bodies)
        ]

    def _remember(self, named: list[Body], timestamp_us: int) -> None:
        here = {body.subject_id for body in named}
        absent = {
            subject_id: known
            for subject_id, known in self._known.items()
            if subject_id not in here and timestamp_us - known.seen_us <= REMEMBERED_US
        }
        present = {}
        for body in named:
            others = [other.roi for other in named if other is not body]
            others += [known.expected_roi(timestamp_us) for known in absent.values()]
            crowded = any(overlap(body.roi, other) > CROWDED_IOU for other in others)
            known = self._known.get(body.subject_id)
            present[body.subject_id] = _seen(body, known, timestamp_us, crowded)
        self._known = present | absent


def _seen(body: Body, known: _Known | None, timestamp_us: int, crowded: bool) -> _Known:
    if known is None:
        return _Known(body, (0.0, 0.0), timestamp_us, timestamp_us)
    elapsed_us = timestamp_us - known.clear_us
    if elapsed_us <= 0 or (crowded and elapsed_us < REMEMBERED_US):
        return replace(known, seen_us=timestamp_us)
    part = _NEWEST_MOTION * 1e6 / elapsed_us
    x, y = known.motion_px_s
    motion = (
        (1 - _NEWEST_MOTION) * x + part * (body.roi.cx - known.body.roi.cx),
        (1 - _NEWEST_MOTION) * y + part * (body.roi.cy - known.body.roi.cy),
    )
    return _Known(body, motion, timestamp_us, timestamp_us)


def one_to_one(costs: NDArray[np.float64], limit: float) -> list[tuple[int, int]]:
    """Pairs of a row and a column, the cheapest first, each row and column in one pair at most.

    Args:
        costs: (R, C).
        limit: pairs must cost less.
    """
    taken_rows, taken_columns, pairs = set(), set(), []
    for flat in np.argsort(costs, axis=None, kind="stable").tolist():
        row, column = divmod(flat, costs.shape[1])
        if costs[row, column] < limit and row not in taken_rows and column not in taken_columns:
            taken_rows.add(row)
            taken_columns.add(column)
            pairs.append((row, column))
    return pairs


def _distinct(bodies: list[Body], size: Points) -> list[Body]:
    """The bodies, but of those that are one only the followed or else the surest."""
    if len(bodies) < 2:
        return bodies
    kept: list[tuple[Body, Points]] = []
    for body in sorted(bodies, key=lambda body: (body.subject_id < 0, -body.found.presence)):
        mine = _points_px(body, size)
        if not any(_same(body, mine, other, theirs) for other, theirs in kept):
            kept.append((body, mine))
    return [body for body, _ in kept]


def _same(a: Body, a_points: Points, b: Body, b_points: Points) -> bool:
    side = max(a.roi.width, b.roi.width)
    return (
        _distance(a_points, b_points, side) < SAME_BODY_DISTANCE
        or _distance(a_points[_HEAD], b_points[_HEAD], side) < SAME_HEAD_DISTANCE
    )


def _points_px(body: Body, size: Points) -> Points:
    return body.found.keypoints[:, :2] * size


def _distance(a: Points, b: Points, size_px: float) -> float:
    """Mean distance of (N, 2) keypoints over a size."""
    apart = a - b
    return float(np.sqrt((apart * apart).sum(axis=1)).mean()) / size_px
