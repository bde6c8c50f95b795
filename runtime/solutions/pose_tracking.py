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
  dropped, and ids go to the bodies that are nearest to where constant motion would have brought
  them. Who was lost keeps the id for a second, for the body that turns up where they should be.
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

LOOK_EVERY_US = 333_333
LOOK_FOR_LOST_EVERY_US = 100_000
SAME_BODY_DISTANCE = 0.04
"""Keypoints of two crops whose mean distance is below this part of the crop's side are one body's:
10 cm of a grown-up, where two looks at one body differ by a percent and two people hardly ever
agree."""
REMEMBERED_US = 1_000_000
RETURN_DISTANCE = 0.15
RETURN_DISTANCE_PER_S = 0.4
"""How far from where they should be somebody lost may turn up, in sides of their crop: at once, and
more with every second."""
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
    """Where a body was last: as it was found, its motion in pixels a second, and when."""

    body: Body
    motion_px_s: tuple[float, float]
    seen_us: int

    def expected_px(self, size: Points, timestamp_us: int) -> Points:
        """(33, 2) keypoints after constant motion."""
        seconds = (timestamp_us - self.seen_us) * 1e-6
        motion = np.array(self.motion_px_s, dtype=np.float32) * np.float32(seconds)
        return _points_px(self.body, size) + motion


class IdentifyBodies:
    """Gives every body its id, and drops bodies that were found twice."""

    def __init__(self) -> None:
        self._known: dict[int, _Known] = {}
        self._next_id = 0

    def process(self, bodies: list[Body], picture: Picture, timestamp_us: int) -> list[Body]:
        """The bodies by rising id."""
        size = np.array([picture.shape[1], picture.shape[0]], dtype=np.float32)
        kept = _distinct(bodies, size)
        candidates = [body.subject_id for body in bodies if body.subject_id >= 0]
        followed = [body for body in kept if body.subject_id >= 0]
        new = [body for body in kept if body.subject_id < 0]
        named = self._renamed(followed, candidates, size, timestamp_us, np.inf)
        taken = {body.subject_id for body in named}
        lost = [subject_id for subject_id in self._known if subject_id not in taken]
        returned = self._renamed(new, lost, size, timestamp_us, 0.0)
        for body in new:
            if all(body.found is not other.found for other in returned):
                named.append(replace(body, subject_id=self._next_id))
                self._next_id += 1
        named = sorted(named + returned, key=lambda body: body.subject_id)
        for body in named:
            self._remember(body, timestamp_us)
        self._forget(timestamp_us)
        return named

    def reset(self) -> None:
        """Forget earlier pictures and count from 0 again."""
        self._known = {}
        self._next_id = 0

    def _renamed(
        self, bodies: list[Body], ids: list[int], size: Points, timestamp_us: int, limit: float
    ) -> list[Body]:
        """Those bodies that are near enough to where one of these ids should be, under that id."""
        if not bodies or not ids:
            return []
        if [body.subject_id for body in bodies] == ids and len(ids) == 1:
            return bodies
        costs = np.empty((len(bodies), len(ids)))
        points = [_points_px(body, size) for body in bodies]
        for column, subject_id in enumerate(ids):
            known = self._known[subject_id]
            expected = known.expected_px(size, timestamp_us)
            unseen_s = (timestamp_us - known.seen_us) * 1e-6
            allowed = RETURN_DISTANCE + RETURN_DISTANCE_PER_S * unseen_s
            for row, mine in enumerate(points):
                costs[row, column] = _distance(mine, expected, known.body.roi.width) - allowed
        return [
            replace(bodies[row], subject_id=ids[column]) for row, column in one_to_one(costs, limit)
        ]

    def _remember(self, body: Body, timestamp_us: int) -> None:
        known = self._known.get(body.subject_id)
        motion = (0.0, 0.0)
        if known is not None and timestamp_us > known.seen_us:
            part = _NEWEST_MOTION * 1e6 / (timestamp_us - known.seen_us)
            motion = (
                (1 - _NEWEST_MOTION) * known.motion_px_s[0]
                + part * (body.roi.cx - known.body.roi.cx),
                (1 - _NEWEST_MOTION) * known.motion_px_s[1]
                + part * (body.roi.cy - known.body.roi.cy),
            )
        self._known[body.subject_id] = _Known(body, motion, timestamp_us)

    def _forget(self, timestamp_us: int) -> None:
        for subject_id in list(self._known):
            if timestamp_us - self._known[subject_id].seen_us > REMEMBERED_US:
                del self._known[subject_id]


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
    """The bodies, but of those that agree only the surest."""
    if len(bodies) < 2:
        return bodies
    kept: list[tuple[Body, Points]] = []
    for body in sorted(bodies, key=lambda body: -body.found.presence):
        mine = _points_px(body, size)
        if all(_distance(mine, other, body.roi.width) >= SAME_BODY_DISTANCE for _, other in kept):
            kept.append((body, mine))
    return [body for body, _ in kept]


def _points_px(body: Body, size: Points) -> Points:
    return body.found.keypoints[:, :2] * size


def _distance(a: Points, b: Points, size_px: float) -> float:
    """Mean distance of (N, 2) keypoints over a size."""
    apart = a - b
    return float(np.sqrt((apart * apart).sum(axis=1)).mean()) / size_px
