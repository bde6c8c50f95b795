"""The annotation store: `annotations.sqlite` in a project's folder.

An append-only table of revisions in SQLite (WAL, synchronous=FULL): when `record`, `undo` or
`redo` returns, the revision is on the disk. Several processes may use one store; each
annotator's revisions form one line that all of that annotator's windows share.
"""

from __future__ import annotations

import contextlib
import getpass
import os
import re
import sqlite3
import zlib
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType

from annotate.editing import (
    Change,
    Document,
    apply,
    change_to_json,
    document_to_json,
)
from annotate.history import History, ItemKey, Kind, Revision
from runtime.errors import ViewfinderError

STORE_NAME = "annotations.sqlite"
STORE_VERSION = 1
# "VFND": SQLite's own place for saying whose file this is (header bytes 68..71).
APPLICATION_ID = 0x56464E44
_SQLITE_MAGIC = b"SQLite format 3\0"
_BUSY_S = 5.0
_ANNOTATOR = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")

_SCHEMA = """
CREATE TABLE revision (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    parent INTEGER REFERENCES revision (id),
    annotator TEXT NOT NULL,
    sample_id TEXT NOT NULL,
    subject_id INTEGER NOT NULL,
    topology TEXT NOT NULL,
    kind TEXT NOT NULL CHECK (kind IN ('start', 'edit', 'undo', 'redo')),
    target INTEGER REFERENCES revision (id),
    body TEXT NOT NULL,
    source TEXT NOT NULL,
    time TEXT NOT NULL,
    duration_s REAL NOT NULL,
    crc32 INTEGER NOT NULL
);
CREATE INDEX revision_of_annotator ON revision (annotator, id);
CREATE TRIGGER revisions_are_never_deleted BEFORE DELETE ON revision
    BEGIN SELECT RAISE(ABORT, 'revisions are never deleted'); END;
CREATE TRIGGER revisions_never_change BEFORE UPDATE ON revision
    BEGIN SELECT RAISE(ABORT, 'revisions never change'); END;
"""
_COLUMNS = (
    "id, parent, annotator, sample_id, subject_id, topology, kind, target, body, source, time, "
    "duration_s"
)


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
    """One annotator's view of a store: reads that annotator's revisions, appends new ones."""

    def __init__(self, path: Path, connection: sqlite3.Connection, annotator: str) -> None:
        self.path = path
        self.annotator = annotator
        self.history = History()
        self._connection = connection
        self._seen = 0

    @classmethod
    def open(cls, path: str | Path, annotator: str) -> AnnotationStore:
        """Open a store, making it first where there is none.

        Args:
            path: the `annotations.sqlite` file.
            annotator: whose revisions to read and write.

        Raises:
            ViewfinderError: not a store, damaged, from a newer release, not writable, or busy.
                The file is left exactly as it was.
        """
        path = Path(path)
        name = annotator_name(annotator)
        with _told(path):
            if path.exists() or path.is_symlink():
                _check(path)
            else:
                _create(path)
            connection = _connect(f"{path.absolute().as_uri()}?mode=rw")
        store = cls(path, connection, name)
        try:
            with _told(path):
                connection.execute("PRAGMA synchronous=FULL")
                connection.execute("PRAGMA foreign_keys=ON")
                store._catch_up()
        except BaseException:
            connection.close()
            raise
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
        """Let go of the file; everything is on the disk already."""
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
        return self._step("undo", self.history.to_undo, duration_s)

    def redo(self, duration_s: float = 0.0) -> ItemKey | None:
        """Repeat the edit that was taken back last; None when there is nothing to redo.

        Raises:
            ViewfinderError: it couldn't be written; then nothing changed.
        """
        return self._step("redo", self.history.to_redo, duration_s)

    def _step(
        self, kind: Kind, wanted: Callable[[], tuple[ItemKey, int] | None], duration_s: float
    ) -> ItemKey | None:
        with self._transaction():
            target = wanted()
            if target is not None:
                key, edit = target
                item = self.history.item(key)
                parent = None if item is None else item.last_revision
                self._append(key, kind, parent=parent, target=edit, duration_s=duration_s)
        self._catch_up()
        return None if target is None else target[0]

    def refresh(self) -> None:
        """Take in what this annotator's other windows wrote meanwhile."""
        with _told(self.path):
            self._catch_up()

    @property
    def revision(self) -> int:
        """The newest of this annotator's revisions, 0 when there is none."""
        return self._seen

    def revisions(self) -> list[Revision]:
        """All of this annotator's revisions, oldest first."""
        with _told(self.path):
            return list(self._read(0))

    def annotators(self) -> list[str]:
        """Everybody who has written into this store, by name."""
        with _told(self.path):
            rows = self._connection.execute("SELECT DISTINCT annotator FROM revision ORDER BY 1")
            return [name for (name,) in rows]

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        """One atomic, durable step: nobody writes between what is read in it and its end."""
        with _told(self.path):
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
    ) -> int:
        time = datetime.now(UTC).isoformat(timespec="microseconds")
        where = (key.sample_id, key.subject_id, key.topology_id)
        row = (parent, self.annotator, *where, kind, target, body, source, time, float(duration_s))
        marks = ", ".join("?" * (len(row) + 1))
        columns = _COLUMNS.removeprefix("id, ")
        cursor = self._connection.execute(
            f"INSERT INTO revision ({columns}, crc32) VALUES ({marks})", (*row, _crc32(row))
        )
        return int(cursor.lastrowid or 0)

    def _catch_up(self) -> None:
        for revision in self._read(self._seen):
            try:
                self.history.play([revision])
            except (ValueError, ViewfinderError) as error:
                raise _damaged(self.path, f"revision {revision.id}: {error}") from error
            self._seen = revision.id

    def _read(self, after: int) -> Iterator[Revision]:
        rows = self._connection.execute(
            f"SELECT {_COLUMNS}, crc32 FROM revision WHERE annotator = ? AND id > ? ORDER BY id",
            (self.annotator, after),
        ).fetchall()
        for number, *stored, crc in rows:
            if _crc32(stored) != crc:
                raise _damaged(self.path, f"revision {number}: its checksum differs")
            parent, annotator, sample, subject, topology_id, kind, target, *rest = stored
            key = ItemKey(sample, subject, topology_id)
            yield Revision(number, parent, annotator, key, kind, target, *rest)


def _crc32(row: tuple[object, ...] | list[object]) -> int:
    return zlib.crc32("\x1f".join(repr(value) for value in row).encode())


def _connect(uri: str) -> sqlite3.Connection:
    # Transactions are begun by hand: isolation_level=None keeps Python from starting its own.
    return sqlite3.connect(uri, uri=True, timeout=_BUSY_S, isolation_level=None)


def _create(path: Path) -> None:
    """Make an empty store beside its place, then put it there whole."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    draft.unlink(missing_ok=True)
    try:
        connection = _connect(f"{draft.absolute().as_uri()}?mode=rwc")
        try:
            connection.executescript(
                f"PRAGMA application_id={APPLICATION_ID}; PRAGMA user_version={STORE_VERSION};"
                f"{_SCHEMA} PRAGMA journal_mode=WAL;"
            )
        finally:
            connection.close()
        # A link doesn't replace what another process may have put there meanwhile.
        with contextlib.suppress(FileExistsError):
            os.link(draft, path)
    finally:
        draft.unlink(missing_ok=True)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _check(path: Path) -> None:
    """Refuse what isn't a whole store of a version we know, reading only."""
    with path.open("rb") as file:
        header = file.read(100)
    if len(header) < 100 or not header.startswith(_SQLITE_MAGIC):
        raise ViewfinderError(
            "this isn't an annotation store, or its first bytes are damaged",
            file=path,
            hint="it was left as it is; move it away to start a new one",
        )
    connection = _connect(f"{path.absolute().as_uri()}?mode=ro")
    try:
        (application,) = connection.execute("PRAGMA application_id").fetchone()
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        if application != APPLICATION_ID:
            raise ViewfinderError(
                "this SQLite file belongs to another program",
                file=path,
                hint="it was left as it is; move it away to start a new one",
            )
        if version > STORE_VERSION:
            raise ViewfinderError(
                "this store was written by a newer release",
                file=path,
                expected=f"version {STORE_VERSION} at most",
                found=version,
                hint="update viewfinder-live",
            )
        (verdict,) = connection.execute("PRAGMA quick_check(1)").fetchone()
        if verdict != "ok":
            raise _damaged(path, verdict)
        connection.execute(f"SELECT {_COLUMNS}, crc32 FROM revision LIMIT 1").fetchall()
    finally:
        connection.close()


def _damaged(path: Path, what: str) -> ViewfinderError:
    return ViewfinderError(
        "this annotation store is damaged",
        file=path,
        found=what,
        hint=f"it was left as it is; restore a copy, or save what is readable with: "
        f"sqlite3 {path.name} .recover",
    )


@contextlib.contextmanager
def _told(path: Path) -> Iterator[None]:
    """Turn SQLite's and the file system's complaints into ours."""
    try:
        yield
    except sqlite3.OperationalError as error:
        name = getattr(error, "sqlite_errorname", "") or ""
        if name.startswith("SQLITE_BUSY"):
            raise ViewfinderError(
                f"another program has kept the store locked for {_BUSY_S:.0f} s",
                file=path,
                hint="the last change was not saved; try it again",
            ) from error
        if name.startswith(("SQLITE_FULL", "SQLITE_IOERR")):
            raise ViewfinderError(
                "the disk is full or failing: the last change was not saved",
                file=path,
                found=str(error),
            ) from error
        if name.startswith(("SQLITE_READONLY", "SQLITE_CANTOPEN", "SQLITE_PERM")):
            raise ViewfinderError(
                "the annotation store can't be written here", file=path, found=str(error)
            ) from error
        raise _damaged(path, str(error)) from error
    except sqlite3.DatabaseError as error:
        raise _damaged(path, str(error)) from error
    except OSError as error:
        raise ViewfinderError(
            "the annotation store can't be opened", file=path, found=error.strerror
        ) from error
