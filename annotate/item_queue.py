"""The items that somebody works on, one after the other, as they stand.

Nothing here changes what is stored; `annotate.session` does.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from annotate.editing import Document, contour_lines
from annotate.hand_bones import usual_camera
from annotate.items import Item
from annotate.ordering import Candidate, parse_filter, sample_tags
from annotate.pictures import Pictures
from annotate.store import AnnotationStore
from bootstrap.dataset import Dataset
from bootstrap.dataset.schema import row_camera
from runtime.camera import Camera
from runtime.errors import ViewfinderError


@dataclass(frozen=True)
class Progress:
    """Counts over the queue."""

    total: int
    done: int
    flagged: int
    edited: int
    skipped: int


class ItemQueue:
    """Items in their order, the current one, and those that a filter lets through.

    Args:
        dataset: whose items they are.
        store: what was made of them.
        layer: the labels that they start from.
        items: in their order.
    """

    def __init__(
        self, dataset: Dataset, store: AnnotationStore, layer: str, items: Sequence[Item]
    ) -> None:
        self.dataset = dataset
        self.store = store
        self.layer = layer
        self.items = list(items)
        self.pictures = Pictures(dataset.read_image)
        self.index = 0
        self._shown: list[int] = list(range(len(self.items)))
        self.filter_text = ""
        self._place = {item.key: i for i, item in enumerate(self.items)}
        self.go(self._resume_at())

    @property
    def item(self) -> Item:
        """The current item."""
        return self.items[self.index]

    def go(self, index: int) -> Document:
        """Make an item current, and begin to decode its picture and the next one.

        Raises:
            ViewfinderError: no such item.
        """
        if not 0 <= index < len(self.items):
            raise ViewfinderError(
                "no such item", field="index", expected=f"0 to {len(self.items) - 1}", found=index
            )
        self.index = index
        self.pictures.prefetch(self.item.key.sample_id)
        following = next((i for i in self._shown if i > index), None)
        if following is not None:
            self.pictures.prefetch(self.items[following].key.sample_id)
        return self.document

    def next(self) -> bool:
        """Go one on among the items that the filter lets through; False at the end."""
        return self._step(1)

    def previous(self) -> bool:
        """Go one back among the items that the filter lets through; False at the start."""
        return self._step(-1)

    def _step(self, way: int) -> bool:
        beyond = [i for i in self._shown if (i - self.index) * way > 0]
        if not beyond:
            return False
        self.go(beyond[0] if way > 0 else beyond[-1])
        return True

    def set_filter(self, text: str) -> int:
        """Work on some items only, those that the words of a filter let through now.

        They stay the same until the next filter, so that nothing vanishes under one's hands. The
        first of them from the current one on becomes current.

        Returns:
            How many they are; with none, the filter before stays.

        Raises:
            ViewfinderError: a word that means nothing.
        """
        wanted = parse_filter(text)
        shown = [i for i in range(len(self.items)) if wanted(self._candidate(i))]
        if shown:
            self._shown, self.filter_text = shown, text.strip()
            if self.index not in shown:
                self.go(next((i for i in shown if i > self.index), shown[0]))
        return len(shown)

    def _candidate(self, index: int) -> Candidate:
        item = self.items[index]
        state = self.store.history.item(item.key)
        edits = 0 if state is None else state.keypoint_edits
        tags = sample_tags(self.dataset.row(item.key.sample_id))
        return Candidate(item.label, self.document_at(index), edits, tags)

    @property
    def shown(self) -> Sequence[int]:
        """Places of the items that the filter lets through."""
        return self._shown

    def next_open(self) -> bool:
        """Go to the next open item, round the end if need be; skipped ones come back last.

        Returns:
            False, without moving, when the filter lets none through.
        """
        later = [i for i in self._shown if i > self.index]
        order = later + [i for i in self._shown if i < self.index]
        for status in ("open", "skipped"):
            for index in order:
                if self.document_at(index).status == status:
                    self.go(index)
                    return True
        return False

    def document_at(self, index: int) -> Document:
        """Any item as it stands."""
        item = self.items[index]
        return self.store.document(item.key) or item.found()

    @property
    def document(self) -> Document:
        """The current item as it stands."""
        return self.document_at(self.index)

    def picture(self) -> NDArray[np.uint8]:
        """The current item's picture, (H, W, 3) uint8 RGB.

        Raises:
            ViewfinderError: it can't be read.
        """
        return self.pictures.read(self.item.key.sample_id)

    def camera(self) -> Camera:
        """The current picture's camera; a usual one where nobody measured it."""
        row = self.dataset.row(self.item.key.sample_id)
        return row_camera(row) or usual_camera(row["width"], row["height"])

    def contours(self) -> Mapping[str, NDArray[np.float32]]:
        """The current item's contours in px, through its keypoints as they stand."""
        return contour_lines(self.document)

    def progress(self) -> Progress:
        """How far the queue is."""
        history = self.store.history
        states = [history.item(key) for key in history if key in self._place]
        touched = [state for state in states if state is not None]
        return Progress(
            total=len(self.items),
            done=sum(state.document.status == "done" for state in touched),
            flagged=sum(state.document.status == "flagged" for state in touched),
            edited=sum(state.keypoint_edits > 0 for state in touched),
            skipped=sum(state.document.status == "skipped" for state in touched),
        )

    def _resume_at(self) -> int:
        last = self.store.history.last_key
        place = self._place.get(last) if last is not None else None
        if place is None:
            return 0
        order = [*range(place, len(self.items)), *range(place)]
        return next((i for i in order if self.document_at(i).status == "open"), place)
