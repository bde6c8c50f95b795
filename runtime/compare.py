"""Two models' answers to the same frames: who is who, how far apart, and which frames are worst.

Distances are in the picture's plane, in pixels and in per cent of the normalising length that the
topology names; a detection without a topology has its box's diagonal for that.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from runtime.results import Subject
from runtime.topology import Topology, topology

_FARTHEST_PAIR = 1.0  # mean distance in normalising lengths: farther apart are two subjects
_LEAST_OVERLAP = 0.1  # of masks and of boxes, where there are no keypoints to compare
_WORST_KEPT = 5


@dataclass(frozen=True)
class Pair:
    """The same subject as two models have it.

    Attributes:
        first, second: its places in the two lists.
        mean_px, worst_px: distances between corresponding keypoints; 0 where there are none.
        worst_keypoint: the index at which they are farthest apart; -1 where there are none.
        length_px: the normalising length, the mean of both answers'.
        mask_iou: intersection over union of the masks at 0.5; None without two masks.
    """

    first: int
    second: int
    mean_px: float
    worst_px: float
    worst_keypoint: int
    length_px: float
    mask_iou: float | None = None

    @property
    def mean_percent(self) -> float:
        """The mean distance in per cent of the normalising length."""
        return 100 * self.mean_px / self.length_px if self.length_px else 0.0

    @property
    def worst_percent(self) -> float:
        """The worst distance in per cent of the normalising length."""
        return 100 * self.worst_px / self.length_px if self.length_px else 0.0


@dataclass(frozen=True)
class Difference:
    """What two models disagree about in a frame.

    Attributes:
        pairs: subjects that both found, one to one, in the order of the first.
        only_first, only_second: places of those that only one of them found.
    """

    pairs: tuple[Pair, ...]
    only_first: tuple[int, ...]
    only_second: tuple[int, ...]

    @property
    def mean_px(self) -> float:
        """Over the pairs; 0 without any."""
        return _mean([pair.mean_px for pair in self.pairs])

    @property
    def mean_percent(self) -> float:
        """Over the pairs, in per cent of each one's normalising length."""
        return _mean([pair.mean_percent for pair in self.pairs])

    @property
    def worst_px(self) -> float:
        """Of all pairs' keypoints."""
        return max((pair.worst_px for pair in self.pairs), default=0.0)

    @property
    def worst_percent(self) -> float:
        """Of all pairs' keypoints, in per cent of each one's normalising length."""
        return max((pair.worst_percent for pair in self.pairs), default=0.0)

    @property
    def least_iou(self) -> float | None:
        """Of all pairs' masks; None without any."""
        return min(
            (pair.mask_iou for pair in self.pairs if pair.mask_iou is not None), default=None
        )

    def to_json(self, first: Sequence[Subject], second: Sequence[Subject]) -> dict[str, Any]:
        """The difference with subjects' ids, as `viewfinder run --against --json` gives it."""
        fields: dict[str, Any] = {
            "mean_px": round(self.mean_px, 4),
            "worst_px": round(self.worst_px, 4),
            "mean_percent": round(self.mean_percent, 4),
            "worst_percent": round(self.worst_percent, 4),
            "pairs": [_pair_json(pair, first, second) for pair in self.pairs],
            "only_first": [first[place].id for place in self.only_first],
            "only_second": [second[place].id for place in self.only_second],
        }
        return fields


@dataclass(frozen=True)
class Against:
    """A second model's answer beside the first's.

    Attributes:
        model: its name, for people.
        sha256: of its file.
        spent_ms: wall time that it took.
        first: what the first model found.
        subjects: what this one found.
        difference: between them.
    """

    model: str
    sha256: str
    spent_ms: float
    first: Sequence[Subject]
    subjects: Sequence[Subject]
    difference: Difference

    def to_json(self) -> dict[str, Any]:
        """The `against` object of a frame's JSON."""
        return {
            "model": self.model,
            "subjects": [subject.to_json() for subject in self.subjects],
            "difference": self.difference.to_json(self.first, self.subjects),
        }


@dataclass(frozen=True)
class WorstFrame:
    """A frame that two models disagree about.

    Attributes:
        percent: by how much: the worst keypoint's distance in per cent of the normalising length,
            or what a mask's intersection lacks of its union.
        words: the same for people.
        source: of the frame.
        frame: its number there.
    """

    percent: float
    words: str
    source: str
    frame: int


@dataclass
class Summary:
    """Differences over a run; it grows by a few numbers, however many frames there are.

    Attributes:
        frames: how many were compared.
        pairs: subjects that both found, and `measured`, those of them with keypoints.
        only_first, only_second: subjects that one of them found.
        worst_px: the farthest that two corresponding keypoints were apart.
        least_iou: of masks; None without any.
    """

    frames: int = 0
    pairs: int = 0
    measured: int = 0
    only_first: int = 0
    only_second: int = 0
    worst_px: float = 0.0
    least_iou: float | None = None
    _sum_px: float = 0.0
    _sum_percent: float = 0.0
    _worst: list[tuple[float, int, WorstFrame]] = field(default_factory=list)

    def add(self, source: str, frame: int, difference: Difference) -> None:
        """Count a frame in."""
        self.frames += 1
        self.pairs += len(difference.pairs)
        self.only_first += len(difference.only_first)
        self.only_second += len(difference.only_second)
        self.worst_px = max(self.worst_px, difference.worst_px)
        measured = [pair for pair in difference.pairs if pair.worst_keypoint >= 0]
        self.measured += len(measured)
        self._sum_px += sum(pair.mean_px for pair in measured)
        self._sum_percent += sum(pair.mean_percent for pair in measured)
        iou = difference.least_iou
        if iou is not None:
            self.least_iou = iou if self.least_iou is None else min(self.least_iou, iou)
        if measured:
            percent = difference.worst_percent
            words = f"{difference.worst_px:.2f} px, {percent:.2f} %"
        else:
            percent = 0.0 if iou is None else 100 * (1 - iou)
            words = "" if iou is None else f"IoU {iou:.4f}"
        # Earlier frames win a tie: frames are counted downwards.
        worst = WorstFrame(percent, words, source, frame)
        heapq.heappush(self._worst, (percent, -self.frames, worst))
        if len(self._worst) > _WORST_KEPT:
            heapq.heappop(self._worst)

    @property
    def mean_px(self) -> float:
        """Of all pairs with keypoints."""
        return self._sum_px / self.measured if self.measured else 0.0

    @property
    def mean_percent(self) -> float:
        """The same in per cent of their normalising lengths."""
        return self._sum_percent / self.measured if self.measured else 0.0

    def worst_frames(self) -> list[WorstFrame]:
        """At most five that differ at all, the worst first."""
        return [entry[2] for entry in sorted(self._worst, reverse=True) if entry[0] > 0]


def compare(
    first: Sequence[Subject], second: Sequence[Subject], width: int, height: int
) -> Difference:
    """Match two models' subjects one to one, and measure.

    Pairs are taken nearest first. Two face meshes are compared on the keypoints they share.

    Args:
        first, second: found in the same picture.
        width, height: of it, in pixels.
    """
    candidates = [
        (cost, pair)
        for a, one in enumerate(first)
        for b, other in enumerate(second)
        for cost, pair in _candidate(a, b, one, other, width, height)
    ]
    pairs: list[Pair] = []
    for _, pair in sorted(candidates, key=lambda entry: (entry[0], entry[1].first)):
        if all(pair.first != taken.first and pair.second != taken.second for taken in pairs):
            pairs.append(pair)
    found_first = {pair.first for pair in pairs}
    found_second = {pair.second for pair in pairs}
    return Difference(
        tuple(sorted(pairs, key=lambda pair: pair.first)),
        tuple(place for place in range(len(first)) if place not in found_first),
        tuple(place for place in range(len(second)) if place not in found_second),
    )


def common_points(first: Subject, second: Subject) -> int:
    """How many keypoints, counted from the start, mean the same in both; 0 for none."""
    same = first.topology == second.topology
    if not same and not (first.topology.startswith("face") and second.topology.startswith("face")):
        return 0
    return min(len(first.keypoints), len(second.keypoints))


def _candidate(
    a: int, b: int, one: Subject, other: Subject, width: int, height: int
) -> list[tuple[float, Pair]]:
    """What it costs to take the two for the same subject, or nothing if they can't be."""
    iou = _mask_iou(one, other)
    count = common_points(one, other)
    if count == 0:
        overlap = iou if iou is not None else _box_iou(one.box, other.box)
        alike = one.topology == other.topology and overlap >= _LEAST_OVERLAP
        return [(1 - overlap, Pair(a, b, 0.0, 0.0, -1, 0.0, iou))] if alike else []
    points = one.keypoints_px(width, height)[:count, :2].astype(np.float64)
    others = other.keypoints_px(width, height)[:count, :2].astype(np.float64)
    distances = np.linalg.norm(points - others, axis=1)
    length = (_length(one, points, width, height) + _length(other, others, width, height)) / 2
    mean = float(distances.mean())
    if not mean <= _FARTHEST_PAIR * length:  # NaN is no pair either
        return []
    worst = int(distances.argmax())
    return [(mean / length if length else 0.0,
             Pair(a, b, mean, float(distances[worst]), worst, length, iou))]  # fmt: skip


def _length(subject: Subject, points_px: NDArray[np.float64], width: int, height: int) -> float:
    if not subject.topology:
        return math.hypot(subject.box[2] * width, subject.box[3] * height)
    return float(_measure(subject.topology, len(points_px)).normalising_length(points_px))


def _measure(topology_id: str, count: int) -> Topology:
    layout = topology(topology_id)
    return layout if count == layout.size else topology("face468@1")


def _mask_iou(one: Subject, other: Subject) -> float | None:
    masks = (one.mask, other.mask)
    if masks[0] is None or masks[1] is None or masks[0].shape != masks[1].shape:
        return None
    inside, inside_other = masks[0] > 0.5, masks[1] > 0.5
    union = int(np.count_nonzero(inside | inside_other))
    return int(np.count_nonzero(inside & inside_other)) / union if union else 1.0


def _box_iou(one: Sequence[float], other: Sequence[float]) -> float:
    across = min(one[0] + one[2], other[0] + other[2]) - max(one[0], other[0])
    down = min(one[1] + one[3], other[1] + other[3]) - max(one[1], other[1])
    shared = max(across, 0.0) * max(down, 0.0)
    union = one[2] * one[3] + other[2] * other[3] - shared
    return shared / union if union > 0 else 0.0


def _pair_json(pair: Pair, first: Sequence[Subject], second: Sequence[Subject]) -> dict[str, Any]:
    one, other = first[pair.first], second[pair.second]
    fields: dict[str, Any] = {
        "id": one.id,
        "against_id": other.id,
        "mean_px": round(pair.mean_px, 4),
        "worst_px": round(pair.worst_px, 4),
        "worst_keypoint": pair.worst_keypoint,
        "mean_percent": round(pair.mean_percent, 4),
        "worst_percent": round(pair.worst_percent, 4),
    }
    if pair.worst_keypoint < 0:
        del fields["worst_keypoint"]
    if pair.mask_iou is not None:
        fields["mask_iou"] = round(pair.mask_iou, 6)
    if one.handedness != other.handedness:
        fields["handedness"] = [one.handedness, other.handedness]
    return fields


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else 0.0
