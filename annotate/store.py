"""The annotation store: `annotations.sqlite` in a project's folder.

An append-only table of revisions in SQLite (WAL, synchronous=FULL): when `record`, `undo` or
`redo` returns, the revision is on the disk. Several processes may use one store; each
annotator's revisions form one line that all of that annotator's windows share.

Where the disk is full or can't be written, a store opened with `keep_going` goes on in memory, says
so in `trouble`, and writes everything as soon as it can.
"""

from __future__ import annotations

import contextlib
import getpass
import re
import sqlite3
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import TypeVar

from annotate.editing import (
    Change,
    Document,
    apply,
    change_to_json,
    document_to_json,
)
from annotate.history import History, ItemKey, Kind, Revision
from annotate.store_file import (
    COLUMNS,
    DiskError,
    checksum,
    connect_in_memory,
    connect_to_read,
    connect_to_write,
    damaged,
    told,
)
from runtime.errors import ViewfinderError

STORE_NAME = "annotations.sqlite"
_T = TypeVar("_T")
_ANNOTATOR = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


def annotator_name(name: str | None) -> str:
    """A valid annotator's name: the one given, or the user's login.

    Raises:
        ViewfinderError: characters that can't stand in the name of the layer `human/<name>`.
    """
    if name is None:
        with contextlib.suppress(OSError, KeyError, ImportError):
            name = re.sub(r"[^A-Za-z0-9._-]", "_", getpass.getuser()).lstrip("._-")[:64]
    if not name:
        name = "annotator"
    if not _ANNOTATOR.fullmatch(name):
        raise ViewfinderError(
            "this can't be an annotator's name",
            field="annotator",
            expected="1 to 64 letters, digits, '.', '_' or '-', the first a letter or digit",
            found=repr(name),
        )
    return name


class AnnotationStore:
    """One annotator's view of a store: reads that annotator's revisions, appends new ones.

    Attributes:
        path: the file.
        annotator: whose.
        history: what the revisions amount to.
        trouble: why the newest revisions are in memory alone, None when all are on the disk.
    """

    def __init__(
        self, path: Path, connection: sqlite3.Connection, annotator: str, keep_going: bool = False
    ) -> None:
        self.path = path
        self.annotator = annotator
        self.history = History()
        self.trouble: DiskError | None = None
        self._keep_going = keep_going
        self._connection = connection
        self._seen = self._forked_at = 0

    @classmethod
    def open(cls, path: str | Path, annotator: str, *, keep_going: bool = False) -> AnnotationStore:
        """Open a store, making it first where there is none.

        Args:
            path: the `annotations.sqlite` file.
            annotator: whose revisions to read and write.
            keep_going: whether to go on in memory where the disk can't be written.

        Raises:
            ViewfinderError: not a store, damaged, from a newer release, not writable, or busy.
                The file is left exactly as it was.
        """
        path = Path(path)
        name = annotator_name(annotator)
        trouble = None
        try:
            connection = connect_to_write(path)
        except DiskError as error:
            if not keep_going or not path.parent.is_dir():
                raise
            trouble = error
            with told(path):
                connection = connect_to_read(path) if path.exists() else connect_in_memory(1)
        store = cls(path, connection, name, keep_going)
        try:
            with told(path):
                store._catch_up()
        except BaseException:
            connection.close()
            raise
        if trouble is not None:
            store._go_on_in_memory(trouble)
        return store

    def __enter__(self) -> AnnotationStore:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the file; everything is on the disk already, but for what `unsaved` counts."""
        self._connection.close()

    def document(self, key: ItemKey) -> Document | None:
        """The item as this annotator left it, None when it was never changed."""
        item = self.history.item(key)
        return None if item is None else item.document

    def record(
        self,
        key: ItemKey,
        change: Change,
        *,
        found: Document,
        source: str,
        duration_s: float = 0.0,
    ) -> Document:
        """Append a change and return the document after it, once it is on the disk.

        Args:
            key: the item.
            change: what to do to it.
            found: the item as its layer has it; kept as the item's start at its first change,
                unused afterwards.
            source: the name of that layer.
            duration_s: how long the person took.

        Raises:
            ViewfinderError: the change doesn't fit, or it couldn't be written; then nothing is.
        """
        return self._going_on(lambda: self._record(key, change, found, source, duration_s))

    def _record(
        self, key: ItemKey, change: Change, found: Document, source: str, duration_s: float
    ) -> Document:
        with self._transaction():
            item = self.history.item(key)
            document = apply(found if item is None else item.document, change)
            parent = None if item is None else item.last_revision
            if item is None:
                parent = self._append(key, "start", body=document_to_json(found), source=source)
            self._append(
                key, "edit", parent=parent, body=change_to_json(change), duration_s=duration_s
            )
        self._catch_up()
        return document

    def undo(self, duration_s: float = 0.0) -> ItemKey | None:
        """Take this annotator's newest edit back, whichever item it was on.

        Returns:
            The item that changed, None when there is nothing to undo.

        Raises:
            ViewfinderError: it couldn't be written; then nothing changed.
        """
        return self._going_on(lambda: self._step("undo", duration_s))

    def redo(self, duration_s: float = 0.0) -> ItemKey | None:
        """Repeat the edit that was taken back last; None when there is nothing to redo.

        Raises:
            ViewfinderError: it couldn't be written; then nothing changed.
        """
        return self._going_on(lambda: self._step("redo", duration_s))

    def _step(self, kind: Kind, duration_s: float) -> ItemKey | None:
        with self._transaction():
            target = self.history.to_undo() if kind == "undo" else self.history.to_redo()
            if target is not None:
                key, edit = target
                item = self.history.item(key)
                parent = None if item is None else item.last_revision
                self._append(key, kind, parent=parent, target=edit, duration_s=duration_s)
        self._catch_up()
        return None if target is None else target[0]

    # -- when the disk fails --------------------------------------------------------------------

    @property
    def unsaved(self) -> int:
        """How many of the newest revisions are in memory alone."""
        if self.trouble is None:
            return 0
        (count,) = self._connection.execute(
            "SELECT count(*) FROM revision WHERE kind != 'start'"
        ).fetchone()
        return int(count)

    def save(self) -> bool:
        """Try to write what is in memory alone; whether everything is on the disk now.

        A revision that another of the annotator's windows has overtaken meanwhile, an undo of what
        isn't the newest edit any more, is left out.

        Raises:
            ViewfinderError: the store was damaged meanwhile.
        """
        if self.trouble is None:
            return True
        try:
            disk = AnnotationStore.open(self.path, self.annotator)
        except DiskError as error:
            self.trouble = error
            return False
        try:
            with disk._transaction():
                disk._take_over(self._read(self._forked_at))
        except DiskError as error:
            disk.close()
            self.trouble = error
            return False
        self._connection.close()
        self._connection, self.history, self._seen = disk._connection, disk.history, disk._seen
        self.trouble = None
        return True

    def _take_over(self, revisions: Iterator[Revision]) -> None:
        own: dict[int | None, int] = {}
        for revision in revisions:
            item = self.history.item(revision.key)
            target = own.get(revision.target, revision.target)
            wanted = {"undo": self.history.to_undo, "redo": self.history.to_redo}.get(revision.kind)
            if revision.kind == "start" and item is not None:
                continue
            if wanted is not None and wanted() != (revision.key, target):
                continue
            own[revision.id] = self._append(
                revision.key,
                revision.kind,
                parent=None if item is None else item.last_revision,
                target=target,
                body=revision.body,
                source=revision.source,
                duration_s=revision.duration_s,
                time=revision.time,
            )
            self._catch_up()

    def _going_on(self, step: Callable[[], _T]) -> _T:
        """Run a step; where the disk fails it, run it in memory."""
        try:
            return step()
        except DiskError as error:
            if not self._keep_going or self.trouble is not None:
                raise
            self._go_on_in_memory(error)
            return step()

    def _go_on_in_memory(self, trouble: DiskError) -> None:
        self._connection.close()
        self._forked_at = self._seen
        self._connection = connect_in_memory(self._seen + 1)
        self.trouble = trouble

    # -- reading ----------------------------------------------------------------------------------

    def refresh(self) -> None:
        """Take in what this annotator's other windows wrote meanwhile."""
        with told(self.path):
            self._catch_up()

    @property
    def revision(self) -> int:
        """The newest of this annotator's revisions, 0 when there is none."""
        return self._seen

    def revisions(self) -> list[Revision]:
        """All of this annotator's revisions, oldest first."""
        with told(self.path):
            return list(self._read(0))

    def annotators(self) -> list[str]:
        """Everybody who has written into this store, by name."""
        with told(self.path):
            rows = self._connection.execute("SELECT DISTINCT annotator FROM revision ORDER BY 1")
            return [name for (name,) in rows]

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        """One atomic, durable step: nobody writes between what is read in it and its end."""
        with told(self.path):
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                self._catch_up()
                yield
                self._connection.execute("COMMIT")
            except BaseException:
                with contextlib.suppress(sqlite3.Error):
                    self._connection.execute("ROLLBACK")
                raise

    def _append(
        self,
        key: ItemKey,
        kind: Kind,
        *,
        parent: int | None = None,
        target: int | None = None,
        body: str = "",
        source: str = "",
        duration_s: float = 0.0,
        time: str = "",
    ) -> int:
        time = time or datetime.now(UTC).isoformat(timespec="microseconds")
        where = (key.sample_id, key.subject_id, key.topology_id)
        row = (parent, self.annotator, *where, kind, target, body, source, time, float(duration_s))
        marks = ", ".join("?" * (len(row) + 1))
        columns = COLUMNS.removeprefix("id, ")
        cursor = self._connection.execute(
            f"INSERT INTO revision ({columns}, crc32) VALUES ({marks})", (*row, checksum(row))
        )
        return int(cursor.lastrowid or 0)

    def _catch_up(self) -> None:
        for revision in self._read(self._seen):
            try:
                self.history.play([revision])
            except (ValueError, ViewfinderError) as error:
                raise damaged(self.path, f"revision {revision.id}: {error}") from error
            self._seen = revision.id

    def _read(self, after: int) -> Iterator[Revision]:
        rows = self._connection.execute(
            f"SELECT {COLUMNS}, crc32 FROM revision WHERE annotator = ? AND id > ? ORDER BY id",
            (self.annotator, after),
        ).fetchall()
        for number, *stored, crc in rows:
            if checksum(stored) != crc:
                raise damaged(self.path, f"revision {number}: its checksum differs")
            parent, annotator, sample, subject, topology_id, kind, target, *rest = stored
            key = ItemKey(sample, subject, topology_id)
            yield Revision(number, parent, annotator, key, kind, target, *rest)
