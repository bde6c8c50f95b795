"""Reviewing: what two or more annotators made of an item, merged into one label.

No Qt. A reviewer's decisions are revisions like any others, in a line of the reviewer's own; an
item starts as the mean of what was made of it.

    with ReviewSession.open_review("real", "kim") as session:
        session.take(1)  # as the second annotator has it
        session.accept()
        session.export()
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import cast

import numpy as np
from numpy.typing import NDArray

from annotate.agreement import compared, finished_work
from annotate.contours import contour_points
from annotate.editing import (
    NOT_LABELLED,
    VISIBLE,
    Document,
    adopting,
    new_document,
)
from annotate.export import ExportSummary, export_consensus
from annotate.history import ItemKey, ItemState
from annotate.items import Item
from annotate.session import AnnotationSession
from annotate.store import AnnotationStore, annotator_name, store_place
from bootstrap.dataset import Dataset, Label
from bootstrap.metrics import mean_known
from runtime.errors import ViewfinderError
from runtime.topology import topology

Work = tuple[str, Document]
"""Who, and what they made of an item."""


class ReviewSession(AnnotationSession):
    """A queue of items that several annotators finished, the most different first."""

    def __init__(
        self,
        dataset: Dataset,
        store: AnnotationStore,
        works: Mapping[ItemKey, tuple[Work, ...]],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._works = works
        people = sorted({name for work in works.values() for name, _ in work})
        items = [Item(key, _label(key, [d for _, d in work])) for key, work in works.items()]
        super().__init__(dataset, store, f"review of {', '.join(people)}", items, clock)

    @classmethod
    def open_review(
        cls,
        project: str | Path,
        reviewer: str | None = None,
        *,
        store: str | Path | None = None,
        keep_going: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> ReviewSession:
        """Open what two or more annotators of a project finished, where this reviewer left it.

        Args:
            project: a data set's folder.
            reviewer: whose decisions they are; the login name when None.
            store: where the store is; `annotations.sqlite` in the project when None.
            keep_going: whether to go on in memory where the disk fails.
            clock: seconds, for how long decisions take.

        Raises:
            ViewfinderError: not a data set, a store that can't be used, or nothing that two
                people finished.
        """
        name = annotator_name(reviewer)
        dataset = Dataset.open(project)
        place, whose = store_place(dataset, store)
        works = _works(
            finished_work(place, whose), {str(i) for i in dataset.samples()["sample_id"]}
        )
        if not works:
            raise ViewfinderError("no two annotators have finished the same item", file=place)
        opened = AnnotationStore.open(
            place, name, keep_going=keep_going, review=True, project=whose
        )
        return cls(dataset, opened, works, clock)

    @property
    def works(self) -> tuple[Work, ...]:
        """What annotators made of the current item."""
        return self._works[self.item.key]

    def apart(self) -> dict[str, float]:
        """How far apart the works on the current item are, as a share of the normalising length:
        by part, the worst first, and `all`."""
        found = _apart(self.item.key, self.works)
        layout = topology(self.item.key.topology_id)
        parts = {part: float(mean_known(found[list(i)])) for part, i in layout.parts.items()}
        known = {part: value for part, value in parts.items() if np.isfinite(value)}
        ordered = dict(sorted(known.items(), key=lambda pair: -pair[1]))
        return {"all": float(mean_known(found)), **ordered}

    def take(self, number: int | None, contour: str | None = None) -> Document:
        """Make the current item as the annotator of that number has it, as one step for undo.

        Args:
            number: from 0, in `works`; None for the mean of all.
            contour: only what belongs to it; everything when None.

        Raises:
            ViewfinderError: no such annotator, or it couldn't be kept.
        """
        if number is not None and not 0 <= number < len(self.works):
            raise ViewfinderError("nobody else did this item", field="annotator", found=number + 1)
        who, other = self.works[number] if number is not None else ("mean", self.item.found())
        points = None if contour is None else contour_points(other.topology, contour)
        change = adopting(self.document, other, points, who)
        return self.document if change is None else self._record(change)

    def export(self) -> ExportSummary:
        """Write what reviewers changed or accepted into the layer `consensus`.

        Raises:
            ViewfinderError: the layer can't be written.
        """
        return export_consensus(self.dataset.root, self.store.path)


def _works(
    finished: Mapping[str, Mapping[ItemKey, ItemState]], samples: set[str]
) -> dict[ItemKey, tuple[Work, ...]]:
    """Items of these samples that two or more finished, the most different first."""
    found: dict[ItemKey, list[Work]] = {}
    for name, states in sorted(finished.items()):
        for key, state in states.items():
            if isinstance(state.document, Document) and key.sample_id in samples:
                found.setdefault(key, []).append((name, state.document))
    shared = {key: tuple(work) for key, work in found.items() if len(work) > 1}
    apart = {key: float(mean_known(_apart(key, work))) for key, work in shared.items()}
    order = sorted(shared, key=lambda k: (-np.nan_to_num(apart[k]), k.sample_id, k.subject_id))
    return {key: shared[key] for key in order}


def _apart(key: ItemKey, works: Sequence[Work]) -> NDArray[np.float64]:
    pairs = [
        compared(key, first, second, one, other)
        for (first, one), (second, other) in combinations(works, 2)
    ]
    return mean_known(np.array([pair.discrepancy for pair in pairs]), axis=0)


def mean_document(documents: Sequence[Document]) -> Document:
    """The mean of several documents of one item: of every keypoint the mean place of those who
    labelled it; occluded when one of them says so."""
    shown = np.array([d.visibility for d in documents])
    places = np.array([d.keypoints_px for d in documents])
    labelled = shown > NOT_LABELLED
    points = mean_known(np.where(labelled[..., None], places, np.nan), axis=0)
    unlabelled = ~labelled.any(axis=0)
    points[unlabelled] = mean_known(places[:, unlabelled], axis=0)
    visibility = np.where(labelled, shown, VISIBLE).min(axis=0)
    visibility[unlabelled] = NOT_LABELLED
    return new_document(documents[0].topology_id, points, visibility)


def _label(key: ItemKey, documents: Sequence[Document]) -> Label:
    mean = mean_document(documents)
    # In double precision: taking one's label over must give it to the last bit.
    points = cast("NDArray[np.float32]", mean.keypoints_px)
    return Label(
        sample_id=key.sample_id,
        subject_id=key.subject_id,
        topology=key.topology_id,
        keypoints_px=points,
        visibility=mean.visibility,
        source="mean of annotators",
    )
