"""What one person's revisions amount to: documents, and what undo and redo would do next.

Pure: revisions are played in the order they were written, and the same revisions always give the
same state, so a restart continues exactly where the last process stopped.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Literal, cast

from annotate.cuboid_document import SetCuboid
from annotate.editing import Adopt, Change, Document, Move, SetHandedness, SetVisibility, apply
from annotate.editing_json import change_from_json, document_from_json

Kind = Literal["start", "edit", "undo", "redo"]
# A document is kept after every so many changes of an item: undo replays at most this many.
_KEEP_EVERY = 64
_EDITS = (Move, SetVisibility, SetHandedness, Adopt, SetCuboid)


@dataclass(frozen=True)
class ItemKey:
    """One subject of one picture, labelled in one topology."""

    sample_id: str
    subject_id: int
    topology_id: str


@dataclass(frozen=True)
class Revision:
    """One line of the store; never changed once written.

    Attributes:
        id: ascending over the whole store.
        parent: the item's revision that this one was made from, None for a `start`.
        annotator: who.
        key: which item.
        kind: `start` carries the document as it was found, `edit` a change, `undo` and `redo`
            name in `target` the edit that they take back or repeat.
        target: see kind.
        body: JSON of the document or the change, "" for undo and redo.
        source: for a `start`, the layer it was found in; else "".
        time: UTC, ISO 8601.
        duration_s: how long the person took, since the item was opened or last changed.
    """

    id: int
    parent: int | None
    annotator: str
    key: ItemKey
    kind: Kind
    target: int | None
    body: str
    source: str
    time: str
    duration_s: float


@dataclass
class ItemState:
    """An item with its effective edits, oldest first."""

    start: Document
    source: str
    edits: list[tuple[int, Change]] = field(default_factory=list)
    kept: dict[int, Document] = field(default_factory=dict)
    document: Document = field(init=False)
    last_revision: int = 0
    last_time: str = ""
    seconds: float = 0.0

    def __post_init__(self) -> None:
        self.document = self.start

    @property
    def keypoint_edits(self) -> int:
        """Effective edits of keypoints or a box that a person made (a status, a confirmed contour
        or what a model predicted anew is none)."""
        return sum(
            isinstance(change, _EDITS) and not (isinstance(change, Adopt) and change.by_model)
            for _, change in self.edits
        )

    @property
    def as_found(self) -> bool:
        """Whether every keypoint, or the box, is as it was found: no effective edit of any."""
        return not any(isinstance(change, _EDITS) for _, change in self.edits)

    def push(self, revision_id: int, change: Change, document: Document) -> None:
        """Append an edit whose outcome is `document`."""
        self.edits.append((revision_id, change))
        self.document = document
        if len(self.edits) % _KEEP_EVERY == 0:
            self.kept[len(self.edits)] = document

    def pop(self) -> tuple[int, Change]:
        """Take the newest edit back."""
        self.kept.pop(len(self.edits), None)
        undone = self.edits.pop()
        kept = len(self.edits) // _KEEP_EVERY * _KEEP_EVERY
        document = self.kept[kept] if kept else self.start
        for _, change in self.edits[kept:]:
            document = apply(document, change)
        self.document = document
        return undone


class History:
    """One annotator's items and their undo and redo order, across all items."""

    def __init__(self) -> None:
        self._items: dict[ItemKey, ItemState] = {}
        self._done: list[ItemKey] = []
        self._undone: list[tuple[ItemKey, int, Change]] = []
        self.last_key: ItemKey | None = None

    def __contains__(self, key: object) -> bool:
        return key in self._items

    def __iter__(self) -> Iterator[ItemKey]:
        return iter(self._items)

    def item(self, key: ItemKey) -> ItemState | None:
        """The state of an item, None when it was never changed."""
        return self._items.get(key)

    def to_undo(self) -> tuple[ItemKey, int] | None:
        """The item and revision that undo would take back, None when there is nothing."""
        if not self._done:
            return None
        key = self._done[-1]
        return key, self._items[key].edits[-1][0]

    def to_redo(self) -> tuple[ItemKey, int] | None:
        """The item and revision that redo would repeat, None when there is nothing."""
        return self._undone[-1][:2] if self._undone else None

    def play(self, revisions: Iterable[Revision]) -> None:
        """Take revisions in, in order.

        Raises:
            ValueError: a revision that can't follow those before it.
            ViewfinderError: a change that doesn't fit its item.
        """
        for revision in revisions:
            self._play_one(revision)

    def _play_one(self, revision: Revision) -> None:
        key = revision.key
        if revision.kind == "start":
            if key in self._items:
                raise ValueError("the item has started before")
            # Keypoints or a box: which of the two is between a document and its changes.
            start = cast(Document, document_from_json(revision.body))
            self._items[key] = ItemState(start, revision.source)
        elif key not in self._items:
            raise ValueError("the item has no start")
        item = self._items[key]
        if revision.kind == "edit":
            change = change_from_json(revision.body)
            item.push(revision.id, change, apply(item.document, change))
            self._done.append(key)
            self._undone.clear()
        elif revision.kind == "undo":
            if self.to_undo() != (key, revision.target):
                raise ValueError("undo of what isn't the newest edit")
            self._done.pop()
            self._undone.append((key, *item.pop()))
        elif revision.kind == "redo":
            if self.to_redo() != (key, revision.target):
                raise ValueError("redo of what wasn't undone last")
            _, edit_id, change = self._undone.pop()
            item.push(edit_id, change, apply(item.document, change))
            self._done.append(key)
        item.last_revision, item.last_time = revision.id, revision.time
        item.seconds += revision.duration_s
        self.last_key = key
