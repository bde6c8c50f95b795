"""One annotator at work on one project: a queue of items, and edits that are kept at once.

No Qt and no napari here: the window and scripts use this same class.

    with AnnotationSession.open("real", annotator="kim") as session:
        session.move(4, x_px=211.5, y_px=187.0)
        session.accept()
        session.export()
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType

import numpy as np
from typing_extensions import override

from annotate.assignment import assigned_items
from annotate.box_keypoints import BOX, begin_box_drag
from annotate.editing import (
    Adopt,
    Change,
    Confirm,
    Document,
    Move,
    SetHandedness,
    SetStatus,
    SetVisibility,
    apply,
    next_visibility,
)
from annotate.export import ExportSummary, export_layer
from annotate.following import begin_drag
from annotate.hand_bones import HAND
from annotate.history import ItemKey
from annotate.item_queue import ItemQueue
from annotate.items import Item, default_layer, items_of
from annotate.ordering import QUEUE_NAME
from annotate.store import AnnotationStore, annotator_name, store_place
from annotate.worked_time import WorkedTime
from bootstrap.dataset import Dataset
from runtime.errors import ViewfinderError


class AnnotationSession(ItemQueue):
    """A queue of items, the current one, and everything that can be done to it."""

    def __init__(
        self,
        dataset: Dataset,
        store: AnnotationStore,
        layer: str,
        items: Sequence[Item],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._worked = WorkedTime(clock)
        self._finished: set[ItemKey] = set()
        super().__init__(dataset, store, layer, items)

    @classmethod
    def open(
        cls,
        project: str | Path,
        *,
        annotator: str | None = None,
        layer: str | None = None,
        queue: str | Path | None = None,
        keep_going: bool = False,
        store: str | Path | None = None,
        everything: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> AnnotationSession:
        """Open a project where this annotator left it.

        Args:
            project: a data set's folder; the store is `annotations.sqlite` in it.
            annotator: whose work it is; the login name when None.
            layer: the labels to start from; the one predicted layer, else `synthetic`, else
                `propagated`, when None.
            queue: a file with the order of items; `queue.txt` in the project, if it is there,
                when None.
            keep_going: whether to go on in memory where the disk fails.
            store: where the store is; `annotations.sqlite` in the project when None.
            everything: whether to show what is assigned to others, too.
            clock: seconds, for how long edits take.

        Raises:
            ViewfinderError: not a data set, no such layer, nothing in it that can be edited, no
                such queue, a store that can't be used, or nothing assigned to this annotator.
        """
        name = annotator_name(annotator)
        dataset = Dataset.open(project)
        layer = layer or default_layer(dataset)
        own_queue = dataset.root / QUEUE_NAME
        chosen = Path(queue) if queue is not None else own_queue if own_queue.exists() else None
        items = items_of(dataset, layer, chosen)
        place, whose = store_place(dataset, store)
        opened = AnnotationStore.open(place, name, keep_going=keep_going, project=whose)
        try:
            mine = items if everything else assigned_items(items, opened)
            return cls(dataset, opened, layer, mine, clock)
        except BaseException:
            opened.close()
            raise

    def __enter__(self) -> AnnotationSession:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the store; every edit is on the disk already."""
        self.pictures.close()
        self.store.close()

    @property
    def annotator(self) -> str:
        """Whose work this is."""
        return self.store.annotator

    @override
    def go(self, index: int) -> Document:
        """Make an item current; its time begins.

        Raises:
            ViewfinderError: no such item.
        """
        document = super().go(index)
        self._worked.begin()
        return document

    # -- edits: on the disk when the method returns -------------------------------------------

    def toggle_handedness(self) -> Document:
        """Make the current hand a left one, or a right one again.

        Raises:
            ViewfinderError: it isn't a hand, or it couldn't be kept.
        """
        document = self.document
        if document.topology_id != HAND:
            raise ViewfinderError("only hands are left or right")
        return self._record(SetHandedness("left" if document.handedness == "right" else "right"))

    def move(self, index: int, x_px: float, y_px: float, *, radius_px: float = 0.0) -> Document:
        """Put a keypoint somewhere, and draw its neighbours within a radius along; a box goes along
        as one.

        Raises:
            ViewfinderError: no such keypoint, no such place, or it couldn't be kept.
        """
        document = self.document
        points = document.keypoints_px
        if document.topology_id == BOX and 0 <= index < len(points):
            box = begin_box_drag(document, index, self.camera())
            if box is not None:
                return self._record(box.move(float(x_px), float(y_px)))
        if radius_px > 0 and 0 <= index < len(points) and np.isfinite(points[index]).all():
            drag = begin_drag(document, index, radius_px)
            return self._record(drag.move(float(x_px), float(y_px)))
        held = int(index)
        return self._record(Move((held,), ((float(x_px), float(y_px)),), (held,)))

    def move_many(self, change: Move) -> Document:
        """Put several keypoints somewhere, as one step for undo."""
        return self._record(change)

    def adopt(self, change: Adopt) -> Document:
        """Take keypoints over from a model, as one step for undo."""
        return self._record(change)

    def set_visibility(self, indices: Sequence[int], visibility: int) -> Document:
        """Mark keypoints: 0 not labelled, 1 occluded, 2 visible."""
        return self._record(
            SetVisibility(tuple(int(i) for i in indices), (int(visibility),) * len(indices))
        )

    def confirm(self, contours: Sequence[str], to: bool = True) -> Document:
        """Say that contours are right as they stand, or no longer so.

        Raises:
            ViewfinderError: no such contour, or it couldn't be kept.
        """
        return self._record(Confirm(tuple(contours), to))

    def keep(self, index: int) -> Document:
        """Say that a keypoint is right where it stands: as if it had been placed there by hand."""
        x, y = self.document.keypoints_px[index].tolist()
        return self._record(Move((int(index),), ((x, y),), (int(index),)))

    def cycle_visibility(self, index: int) -> Document:
        """Visible, then occluded, then not labelled, then visible again.

        A keypoint without a position stays not labelled: there is nothing to see yet.
        """
        document = self.document
        if not np.isfinite(document.keypoints_px[index]).all():
            return document
        return self.set_visibility([index], next_visibility(int(document.visibility[index])))

    def accept(self) -> Document:
        """Say that the current item is right as it stands."""
        return self._record(SetStatus("done"))

    def flag(self, note: str = "") -> Document:
        """Say that something is wrong with the current item; it won't be exported."""
        return self._record(SetStatus("flagged", note))

    def skip(self) -> Document:
        """Leave the current item for later: it comes again when no open one is left."""
        return self._record(SetStatus("skipped"))

    def reopen(self) -> Document:
        """Take acceptance, skip or flag off the current item."""
        return self._record(SetStatus("open"))

    def undo(self) -> ItemKey | None:
        """Take the newest edit back, on whichever item it was, and go there.

        Returns:
            The item, None when there is nothing to undo.
        """
        return self._went(self.store.undo(self._worked.spent()))

    def redo(self) -> ItemKey | None:
        """Repeat what was taken back last, and go there; None when there is nothing."""
        return self._went(self.store.redo(self._worked.spent()))

    def export(self) -> ExportSummary:
        """Write everything touched and accepted into the layer `human/<annotator>`.

        Raises:
            ViewfinderError: the layer can't be written.
        """
        self.store.refresh()
        return export_layer(self.dataset, self.store)

    def _record(self, change: Change) -> Document:
        before = self.document
        if apply(before, change).same_as(before):
            return before
        item = self.item
        document = self.store.record(
            item.key,
            change,
            found=item.found(),
            source=self.layer,
            duration_s=self._worked.spent(),
        )
        if isinstance(change, SetStatus):
            (self._finished.discard if change.to == "open" else self._finished.add)(item.key)
        return document

    def present(self) -> None:
        """The person moved mouse or keyboard: time since the last such sign is work."""
        self._worked.present()

    def items_an_hour(self) -> float | None:
        """Items finished since the session was opened by the hours worked; None before the first.

        Pauses don't count as work.
        """
        return self._worked.an_hour(len(self._finished))

    def _went(self, key: ItemKey | None) -> ItemKey | None:
        place = None if key is None else self._place.get(key)
        if place is not None and place != self.index:
            self.go(place)
        return key
