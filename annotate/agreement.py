"""How far apart annotators are: every item that two or more of them finished, region by region.

No Qt here. A keypoint's discrepancy is the distance between two annotators' positions as a share
of the normalising length (interocular distance, palm size) of their mean; of boxes see
`annotate.box_agreement`.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from annotate.box_agreement import BOX, BOX_REGIONS, BOX_UNIT, compared_boxes, paired_boxes
from annotate.cuboid_document import BoxDocument
from annotate.discrepancy import Agreement, Pair, Region
from annotate.editing import NOT_LABELLED, Document
from annotate.history import ItemKey, ItemState
from annotate.store import STORE_NAME, AnnotationStore, store_place
from bootstrap.dataset import Dataset
from bootstrap.metrics import mean_known
from runtime.errors import ViewfinderError
from runtime.topology import topology


def project_place(project: str | Path, store: str | Path | None = None) -> tuple[str | Path, str]:
    """`store_place` of a data set's folder, or of a recording's.

    Raises:
        ViewfinderError: the data set can't be read, or nobody has annotated here yet.
    """
    root = Path(project)
    if (root / "dataset.json").is_file():
        place, whose = store_place(Dataset.open(root), store)
    else:
        place, whose = root / STORE_NAME if store is None else store, ""
    if isinstance(place, Path) and not place.exists():
        raise ViewfinderError("nothing has been annotated here yet", file=place)
    return place, whose


def project_agreement(project: str | Path, store: str | Path | None = None) -> list[Agreement]:
    """How far apart the annotators of a project are, a result for each topology they share.

    Counted are items that were accepted or whose keypoints or box were changed, and that are not
    flagged.

    Raises:
        ViewfinderError: no store, a store that can't be read, or no item that two people finished.
    """
    place, whose = project_place(project, store)
    finished = finished_work(place, whose)
    pairs: dict[str, list[Pair]] = {}
    for first, second in itertools.combinations(sorted(finished), 2):
        for pair in _pairs(first, second, finished[first], finished[second]):
            topology_id = BOX if len(pair.discrepancy) == len(BOX_REGIONS) else ""
            pairs.setdefault(topology_id or pair.key.topology_id, []).append(pair)
    if not pairs:
        raise ViewfinderError(
            "no two annotators have finished the same item",
            file=place,
            expected="two annotators or more",
            found=", ".join(finished) or "nobody",
        )
    return [_agreement(topology_id, tuple(found)) for topology_id, found in sorted(pairs.items())]


def _agreement(topology_id: str, pairs: tuple[Pair, ...]) -> Agreement:
    if topology_id == BOX:
        return Agreement(BOX, BOX_UNIT, BOX_REGIONS, pairs)
    layout = topology(topology_id)
    regions = {part: Region(tuple(indices)) for part, indices in layout.parts.items()}
    return Agreement(topology_id, f"% of {layout.normaliser_name}", regions, pairs)


def _pairs(
    first: str, second: str, ones: Mapping[ItemKey, ItemState], others: Mapping[ItemKey, ItemState]
) -> list[Pair]:
    found = []
    for key in sorted(ones.keys() & others.keys(), key=_order):
        one, other = ones[key].document, others[key].document
        if isinstance(one, Document) and isinstance(other, Document):
            found.append(compared(key, first, second, one, other, _day(ones[key], others[key])))
    mine, theirs = _boxes(ones), _boxes(others)
    for key, its in paired_boxes(mine, theirs):
        day = _day(ones[key], others[its])
        found.append(compared_boxes(key, first, second, mine[key], theirs[its], day))
    return found


def _boxes(states: Mapping[ItemKey, ItemState]) -> dict[ItemKey, BoxDocument]:
    documents: dict[ItemKey, Document | BoxDocument] = {k: s.document for k, s in states.items()}
    return {key: d for key, d in documents.items() if isinstance(d, BoxDocument)}


def _order(key: ItemKey) -> tuple[str, int, str]:
    return key.sample_id, key.subject_id, key.topology_id


def _day(one: ItemState, other: ItemState) -> str:
    return max(one.last_time, other.last_time)[:10]


def finished_work(place: str | Path, project: str = "") -> dict[str, Mapping[ItemKey, ItemState]]:
    """What every annotator of a store has finished, by name.

    Raises:
        ViewfinderError: the store can't be read.
    """
    with AnnotationStore.open(place, "agreement", project=project) as store:
        people = store.annotators()
    found: dict[str, Mapping[ItemKey, ItemState]] = {}
    for name in people:
        with AnnotationStore.open(place, name, project=project) as store:
            states = {key: store.history.item(key) for key in store.history}
        found[name] = {key: s for key, s in states.items() if s is not None and _is_finished(s)}
    return found


def _is_finished(state: ItemState) -> bool:
    status = state.document.status
    return status != "flagged" and (status == "done" or state.keypoint_edits > 0)


def compared(
    key: ItemKey, first: str, second: str, one: Document, other: Document, day: str = ""
) -> Pair:
    """Two documents of one item against each other."""
    layout = one.topology
    both = (one.visibility > NOT_LABELLED) & (other.visibility > NOT_LABELLED)
    lengths = [layout.normalising_length(d.keypoints_px) for d in (one, other)]
    length = float(mean_known(lengths))
    distance = np.linalg.norm(one.keypoints_px - other.keypoints_px, axis=1)
    share = distance / length if length > 0 else np.full(layout.size, np.nan)
    different = int((one.visibility != other.visibility).sum())
    apart = np.where(both, share, np.nan)
    return Pair(key, first, second, apart, float(mean_known(apart)), different, day)


def mean_shape(
    project: str | Path, agreement: Agreement, store: str | Path | None = None
) -> NDArray[np.float64]:
    """(N, 2) the mean of the compared items, each centred and scaled to unit size; (0, 2) for
    boxes."""
    if agreement.topology_id == BOX:
        return np.zeros((0, 2))
    finished = finished_work(*project_place(project, store))
    shapes = []
    for name, key in sorted({(pair.first, pair.key) for pair in agreement.pairs}, key=repr):
        document = finished[name][key].document
        assert isinstance(document, Document)
        points = document.keypoints_px - np.nanmean(document.keypoints_px, axis=0)
        shapes.append(points / max(float(np.nanmax(np.abs(points))), 1e-9))
    return mean_known(np.array(shapes), axis=0)
