"""How far apart annotators are: every item that two or more of them finished, region by region.

No Qt here. A discrepancy is the distance between two annotators' positions of one keypoint, as a
share of the normalising length (interocular distance, palm size) of their mean.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from annotate.editing import NOT_LABELLED, Document
from annotate.history import ItemKey
from annotate.store import STORE_NAME, AnnotationStore
from bootstrap.metrics import mean_known
from runtime.errors import ViewfinderError
from runtime.image import encode_image
from runtime.topology import Topology, topology

# An item is an outlier this many robust standard deviations above the median of all items.
_OUTLIER_SIGMAS = 3.0
_SIGMA_PER_MAD = 1.4826
_MOST_OUTLIERS = 20
_SIZE_PX, _MARGIN_PX, _LEGEND_PX = 720, 60, 70


@dataclass(frozen=True)
class Pair:
    """Two annotators' work on one item.

    Attributes:
        key: the item.
        first, second: the annotators.
        discrepancy: (N,) shares of the normalising length, NaN where either has no label.
        seen_differently: how many keypoints they give different visibilities.
    """

    key: ItemKey
    first: str
    second: str
    discrepancy: NDArray[np.float64]
    seen_differently: int

    @property
    def mean(self) -> float:
        """Mean over the keypoints that both labelled."""
        return float(mean_known(self.discrepancy))


@dataclass(frozen=True)
class Agreement:
    """All pairs of a project in one topology, and what they amount to."""

    topology_id: str
    pairs: tuple[Pair, ...]

    @property
    def mean(self) -> float:
        """Mean of the pairs' means."""
        return float(mean_known([pair.mean for pair in self.pairs]))

    def by_keypoint(self) -> NDArray[np.float64]:
        """(N,) mean over pairs."""
        return mean_known(np.array([pair.discrepancy for pair in self.pairs]), axis=0)

    def by_part(self) -> dict[str, float]:
        """Mean over the pairs for each part of the topology."""
        each = self.by_keypoint()
        parts = topology(self.topology_id).parts
        return {part: float(mean_known(each[list(indices)])) for part, indices in parts.items()}

    def by_people(self) -> dict[tuple[str, str], tuple[int, float]]:
        """How many items two people share, and how far apart they are on them."""
        found: dict[tuple[str, str], list[float]] = {}
        for pair in self.pairs:
            found.setdefault((pair.first, pair.second), []).append(pair.mean)
        return {who: (len(means), float(mean_known(means))) for who, means in found.items()}

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
        """Shares of the normalising length in percent; null for what nobody labelled."""
        return {
            "topology": self.topology_id,
            "unit": f"% of {topology(self.topology_id).normaliser_name}",
            "pairs": len(self.pairs),
            "mean": _percent(self.mean),
            "by": {part: _percent(value) for part, value in self.by_part().items()},
            "people": [
                {"annotators": list(who), "items": count, "mean": _percent(mean)}
                for who, (count, mean) in self.by_people().items()
            ],
            "outliers": [
                {
                    "sample_id": pair.key.sample_id,
                    "subject_id": pair.key.subject_id,
                    "annotators": [pair.first, pair.second],
                    "mean": _percent(pair.mean),
                    "seen_differently": pair.seen_differently,
                }
                for pair in self.outliers()
            ],
        }


def _percent(share: float) -> float | None:
    return round(100 * share, 4) if math.isfinite(share) else None


def project_agreement(project: str | Path) -> list[Agreement]:
    """How far apart the annotators of a project are, a result for each topology they share.

    Counted are items that were accepted or whose keypoints were changed, and that are not flagged.

    Raises:
        ViewfinderError: no store, a store that can't be read, or no item that two people finished.
    """
    path = Path(project) / STORE_NAME
    if not path.exists():
        raise ViewfinderError("nothing has been annotated here yet", file=path)
    with AnnotationStore.open(path, "agreement") as store:
        people = store.annotators()
    finished = {name: _finished(path, name) for name in people}
    pairs: dict[str, list[Pair]] = {}
    for first, second in itertools.combinations(people, 2):
        for key in sorted(finished[first].keys() & finished[second].keys(), key=_order):
            pair = compared(key, first, second, finished[first][key], finished[second][key])
            pairs.setdefault(key.topology_id, []).append(pair)
    if not pairs:
        raise ViewfinderError(
            "no two annotators have finished the same item",
            file=path,
            expected="two annotators or more",
            found=", ".join(people) or "nobody",
        )
    return [Agreement(topology_id, tuple(found)) for topology_id, found in sorted(pairs.items())]


def _order(key: ItemKey) -> tuple[str, int, str]:
    return key.sample_id, key.subject_id, key.topology_id


def _finished(path: Path, annotator: str) -> Mapping[ItemKey, Document]:
    with AnnotationStore.open(path, annotator) as store:
        states = {key: store.history.item(key) for key in store.history}
    return {
        key: state.document
        for key, state in states.items()
        if state is not None
        and state.document.status != "flagged"
        and (state.document.status == "done" or state.keypoint_edits > 0)
    }


def compared(key: ItemKey, first: str, second: str, one: Document, other: Document) -> Pair:
    """Two documents of one item against each other."""
    layout = one.topology
    both = (one.visibility > NOT_LABELLED) & (other.visibility > NOT_LABELLED)
    lengths = [layout.normalising_length(d.keypoints_px) for d in (one, other)]
    length = float(mean_known(lengths))
    distance = np.linalg.norm(one.keypoints_px - other.keypoints_px, axis=1)
    share = distance / length if length > 0 else np.full(layout.size, np.nan)
    different = int((one.visibility != other.visibility).sum())
    return Pair(key, first, second, np.where(both, share, np.nan), different)


def agreement_picture(agreement: Agreement, mean_shape_px: NDArray[np.float64]) -> bytes:
    """A PNG of the mean shape, every keypoint as large and as warm as annotators are apart there.

    Args:
        agreement: what to draw.
        mean_shape_px: (N, 2) where keypoints stand, any scale.
    """
    layout = topology(agreement.topology_id)
    each = agreement.by_keypoint()
    points = _fitted(mean_shape_px)
    image = np.full((_SIZE_PX + _LEGEND_PX, _SIZE_PX, 3), 255, np.uint8)
    for contour in layout.contours.values():
        line = np.round(points[list(contour.indices)]).astype(np.int32)
        cv2.polylines(image, [line], contour.closed, (190, 190, 190), 1, cv2.LINE_AA)
    worst = max(float(np.nanmax(each, initial=0.0)), 1e-9)
    for index in np.argsort(np.nan_to_num(each)):
        if math.isfinite(each[index]):
            share = float(each[index]) / worst
            centre = (round(points[index, 0]), round(points[index, 1]))
            cv2.circle(image, centre, 2 + round(7 * share), _warmth(share), -1, cv2.LINE_AA)
    _write_legend(image, agreement, layout, worst)
    return encode_image(image, ".png")


def _fitted(points: NDArray[np.float64]) -> NDArray[np.float64]:
    low, high = np.nanmin(points, axis=0), np.nanmax(points, axis=0)
    scale = (_SIZE_PX - 2 * _MARGIN_PX) / max(float((high - low).max()), 1e-9)
    return (points - (low + high) / 2) * scale + _SIZE_PX / 2


def _warmth(share: float) -> tuple[int, int, int]:
    """Blue for none, through grey to red for the most (RGB)."""
    return round(40 + 180 * share), round(110 - 70 * share), round(200 - 170 * share)


def _write_legend(
    image: NDArray[np.uint8], agreement: Agreement, layout: Topology, worst: float
) -> None:
    mean = f"mean {100 * agreement.mean:.2f} % of {layout.normaliser_name}"
    lines = (f"{mean}, {len(agreement.pairs)} pairs", f"largest circle: {100 * worst:.2f} %")
    for row, text in enumerate(lines):
        place = (20, _SIZE_PX + 25 + 28 * row)
        cv2.putText(image, text, place, cv2.FONT_HERSHEY_SIMPLEX, 0.6, (40, 40, 40), 1, cv2.LINE_AA)


def mean_shape(project: str | Path, agreement: Agreement) -> NDArray[np.float64]:
    """(N, 2) the mean of the compared items, each centred and scaled to unit size."""
    path = Path(project) / STORE_NAME
    names = {pair.first for pair in agreement.pairs}
    shapes = []
    for name in sorted(names):
        documents = _finished(path, name)
        for pair in agreement.pairs:
            if pair.first == name:
                points = documents[pair.key].keypoints_px
                points = points - np.nanmean(points, axis=0)
                shapes.append(points / max(float(np.nanmax(np.abs(points))), 1e-9))
    return mean_known(np.array(shapes), axis=0)
