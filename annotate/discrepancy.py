"""What pairs of annotators' works on the same items amount to: by region, people, week; outliers.

Pure, and the same for keypoints and boxes: a pair holds a few numbers, regions name and scale them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

import numpy as np
from numpy.typing import NDArray

from annotate.history import ItemKey
from bootstrap.metrics import mean_known

# An item is an outlier this many robust standard deviations above the median of all items.
_OUTLIER_SIGMAS = 3.0
_SIGMA_PER_MAD = 1.4826
_MOST_OUTLIERS = 20


@dataclass(frozen=True)
class Pair:
    """Two annotators' work on one item.

    Attributes:
        key: the item, as the first has it.
        first, second: the annotators.
        discrepancy: (N,) how far apart, NaN where either has no label.
        mean: of it all, in the unit in which pairs are ordered.
        seen_differently: how many keypoints they give different visibilities.
        day: when the later of the two did it, ISO 8601; "" when unknown.
    """

    key: ItemKey
    first: str
    second: str
    discrepancy: NDArray[np.float64]
    mean: float
    seen_differently: int = 0
    day: str = ""


@dataclass(frozen=True)
class Region:
    """Some of a pair's numbers: which, and what they are multiplied by for people."""

    indices: tuple[int, ...]
    scale: float = 100.0


@dataclass(frozen=True)
class Agreement:
    """All pairs of a project in one topology, and what they amount to.

    Attributes:
        topology_id: of keypoints, or `box`.
        unit: of means, for people, after multiplication by `scale`.
        regions: by name.
        pairs: never empty.
        scale: of means.
    """

    topology_id: str
    unit: str
    regions: Mapping[str, Region]
    pairs: tuple[Pair, ...]
    scale: float = 100.0

    @property
    def mean(self) -> float:
        """Mean of the pairs' means."""
        return float(mean_known([pair.mean for pair in self.pairs]))

    def by_keypoint(self) -> NDArray[np.float64]:
        """(N,) mean over pairs."""
        return mean_known(np.array([pair.discrepancy for pair in self.pairs]), axis=0)

    def by_part(self) -> dict[str, float]:
        """Mean over the pairs for each region."""
        each = self.by_keypoint()
        return {
            name: float(mean_known(each[list(region.indices)]))
            for name, region in self.regions.items()
        }

    def by_people(self) -> dict[tuple[str, str], tuple[int, float]]:
        """How many items two people share, and how far apart they are on them."""
        found: dict[tuple[str, str], list[float]] = {}
        for pair in self.pairs:
            found.setdefault((pair.first, pair.second), []).append(pair.mean)
        return {who: (len(means), float(mean_known(means))) for who, means in found.items()}

    def by_week(self) -> dict[str, tuple[int, float]]:
        """The same for the weeks in which pairs became complete, by their Monday, in order."""
        found: dict[str, list[float]] = {}
        for pair in self.pairs:
            if pair.day:
                day = date.fromisoformat(pair.day)
                monday = day - timedelta(days=day.weekday())
                found.setdefault(monday.isoformat(), []).append(pair.mean)
        return {
            week: (len(means), float(mean_known(means))) for week, means in sorted(found.items())
        }

    def outliers(self) -> list[Pair]:
        """Pairs much farther apart than most, the worst first; none among fewer than 4."""
        means = np.array([pair.mean for pair in self.pairs])
        if len(means) < 4:
            return []
        middle = float(np.nanmedian(means))
        spread = _SIGMA_PER_MAD * float(np.nanmedian(np.abs(means - middle)))
        far = [pair for pair in self.pairs if pair.mean > middle + _OUTLIER_SIGMAS * spread]
        return sorted(far, key=lambda pair: -pair.mean)[:_MOST_OUTLIERS]

    def to_json(self) -> dict[str, Any]:
        """Everything, in the units for people; null for what nobody labelled."""
        parts = self.by_part()
        return {
            "topology": self.topology_id,
            "unit": self.unit,
            "pairs": len(self.pairs),
            "mean": _rounded(self.mean * self.scale),
            "by": {name: _rounded(parts[name] * self.regions[name].scale) for name in parts},
            "people": [
                {"annotators": list(who), "items": count, "mean": _rounded(mean * self.scale)}
                for who, (count, mean) in self.by_people().items()
            ],
            "weeks": [
                {"from": week, "items": count, "mean": _rounded(mean * self.scale)}
                for week, (count, mean) in self.by_week().items()
            ],
            "outliers": [
                {
                    "sample_id": pair.key.sample_id,
                    "subject_id": pair.key.subject_id,
                    "annotators": [pair.first, pair.second],
                    "mean": _rounded(pair.mean * self.scale),
                    "seen_differently": pair.seen_differently,
                }
                for pair in self.outliers()
            ],
        }


def _rounded(value: float) -> float | None:
    return round(value, 4) if math.isfinite(value) else None
