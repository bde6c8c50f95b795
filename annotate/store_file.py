"""The file behind the annotation store: SQLite made, checked and opened, its troubles told."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from annotate.revision_log import (
    BUSY_S,
    COLUMNS,
    ROW_COLUMNS,
    STORE_VERSION,
    DiskError,
    checksum,
)
from runtime.errors import ViewfinderError

# "VFND": SQLite's own place for saying whose file this is (header bytes 68..71).
APPLICATION_ID = 0x56464E44
_SQLITE_MAGIC = b"SQLite format 3\0"
_BUSY_S = BUSY_S

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
_ASSIGNMENTS = """
CREATE TABLE IF NOT EXISTS assignment (
    sample_id TEXT NOT NULL,
    annotator TEXT NOT NULL,
    time TEXT NOT NULL,
    PRIMARY KEY (sample_id, annotator)
) WITHOUT ROWID;
"""


class FileLog:
    """Revisions in a SQLite file (WAL, synchronous=FULL), or in memory.

    Args:
        path: for what is told of troubles.
        connection: to the file or the memory; closed with this.
    """

    def __init__(self, path: Path, connection: sqlite3.Connection) -> None:
        self.path = path
        self.connection = connection

    @classmethod
    def to_write(cls, path: Path) -> FileLog:
        """The store at `path`, made first where there is none.

        Raises:
            ViewfinderError: as `connect_to_write`.
        """
        return cls(path, connect_to_write(path))

    @classmethod
    def to_read(cls, path: Path) -> FileLog:
        """The store at `path`, on a disk that can't be written; an empty one where there is none.

        Raises:
            ViewfinderError: it can't be read, either.
        """
        with told(path):
            return cls(path, connect_to_read(path)) if path.exists() else cls.in_memory(path, 1)

    @classmethod
    def in_memory(cls, path: Path, first_id: int) -> FileLog:
        """An empty log in memory, whose ids count on from `first_id`."""
        return cls(path, connect_in_memory(first_id))

    @contextlib.contextmanager
    def transaction(self, line: str) -> Iterator[None]:
        """`RevisionLog.transaction`; one writer at a time, whoever it is."""
        with told(self.path):
            self.connection.execute("BEGIN IMMEDIATE")
            try:
                yield
                self.connection.execute("COMMIT")
            except BaseException:
                with contextlib.suppress(sqlite3.Error):
                    self.connection.execute("ROLLBACK")
                raise

    def append(self, row: Sequence[object]) -> int:
        """`RevisionLog.append`."""
        marks = ", ".join("?" * (len(row) + 1))
        cursor = self.connection.execute(
            f"INSERT INTO revision ({ROW_COLUMNS}, crc32) VALUES ({marks})", (*row, checksum(row))
        )
        return int(cursor.lastrowid or 0)

    def after(self, annotator: str, revision: int) -> list[tuple[Any, ...]]:
        """`RevisionLog.after`."""
        with told(self.path):
            return self.connection.execute(
                f"SELECT {COLUMNS}, crc32 FROM revision WHERE annotator = ? AND id > ? ORDER BY id",
                (annotator, revision),
            ).fetchall()

    def edits(self) -> int:
        """`RevisionLog.edits`."""
        with told(self.path):
            query = "SELECT count(*) FROM revision WHERE kind != 'start'"
            (count,) = self.connection.execute(query).fetchone()
        return int(count)

    def annotators(self) -> list[str]:
        """`RevisionLog.annotators`."""
        with told(self.path):
            rows = self.connection.execute("SELECT DISTINCT annotator FROM revision ORDER BY 1")
            return [name for (name,) in rows]

    def assigned(self) -> list[tuple[str, str]]:
        """`RevisionLog.assigned`."""
        with told(self.path):
            tables = "SELECT 1 FROM sqlite_master WHERE name = 'assignment'"
            if self.connection.execute(tables).fetchone() is None:
                return []  # an older store that can only be read
            return self.connection.execute(
                "SELECT sample_id, annotator FROM assignment ORDER BY 1, 2"
            ).fetchall()

    def assign(self, pairs: Sequence[tuple[str, str]]) -> None:
        """`RevisionLog.assign`."""
        now = datetime.now(UTC).isoformat(timespec="microseconds")
        with self.transaction(""):
            self.connection.executemany(
                "INSERT OR IGNORE INTO assignment VALUES (?, ?, ?)",
                [(sample, name, now) for sample, name in pairs],
            )

    def close(self) -> None:
        """`RevisionLog.close`."""
        self.connection.close()


def connect(uri: str) -> sqlite3.Connection:
    """A connection whose transactions are begun by hand."""
    # Transactions are begun by hand: isolation_level=None keeps Python from starting its own.
    return sqlite3.connect(uri, uri=True, timeout=_BUSY_S, isolation_level=None)


def connect_to_write(path: Path) -> sqlite3.Connection:
    """The store at `path`, made first where there is none; checked before anything is written.

    Raises:
        ViewfinderError: not a store, damaged, from a newer release, busy; DiskError: not
            writable. The file is left exactly as it was.
    """
    with told(path):
        if path.exists() or path.is_symlink():
            version = check(path)
        else:
            create(path)
            version = STORE_VERSION
        connection = connect(f"{path.absolute().as_uri()}?mode=rw")
        try:
            connection.execute("PRAGMA synchronous=FULL")
            connection.execute("PRAGMA foreign_keys=ON")
            connection.execute("BEGIN IMMEDIATE")  # a disk that can't be written says so now
            connection.execute("ROLLBACK")
            if version < STORE_VERSION:  # so that an older release says that it is too old
                connection.executescript(_ASSIGNMENTS)
                connection.execute(f"PRAGMA user_version={STORE_VERSION}")
        except BaseException:
            connection.close()
            raise
    return connection


def connect_to_read(path: Path) -> sqlite3.Connection:
    """The store at `path`, on a disk that can't be written to, either."""
    uri = f"{path.absolute().as_uri()}?mode=ro"
    connection = connect(uri)
    try:
        connection.execute("PRAGMA user_version").fetchone()
        return connection
    except sqlite3.OperationalError:
        connection.close()
        log = path.with_name(f"{path.name}-wal")
        if log.exists() and log.stat().st_size:
            raise  # what was written last lies there, and can't be read without writing
    return connect(f"{uri}&immutable=1")


def connect_in_memory(first_id: int) -> sqlite3.Connection:
    """An empty store in memory, whose revisions count on from `first_id`."""
    connection = connect("file::memory:")
    connection.executescript(_SCHEMA + _ASSIGNMENTS)
    connection.execute("INSERT INTO sqlite_sequence VALUES ('revision', ?)", (first_id - 1,))
    return connection


def create(path: Path) -> None:
    """Make an empty store beside its place, then put it there whole."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    draft.unlink(missing_ok=True)
    try:
        connection = connect(f"{draft.absolute().as_uri()}?mode=rwc")
        try:
            connection.executescript(
                f"PRAGMA application_id={APPLICATION_ID}; PRAGMA user_version={STORE_VERSION};"
                f"{_SCHEMA} {_ASSIGNMENTS} PRAGMA journal_mode=WAL;"
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


def check(path: Path) -> int:
    """Refuse what isn't a whole store of a version we know, reading only; that version."""
    with path.open("rb") as file:
        header = file.read(100)
    if len(header) < 100 or not header.startswith(_SQLITE_MAGIC):
        raise ViewfinderError(
            "this isn't an annotation store, or its first bytes are damaged",
            file=path,
            hint="it was left as it is; move it away to start a new one",
        )
    connection = connect_to_read(path)
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
        # Not quick_check: it leaves out whether the index leads to the rows that it should.
        (verdict,) = connection.execute("PRAGMA integrity_check(1)").fetchone()
        if verdict != "ok":
            raise damaged(path, verdict)
        connection.execute(f"SELECT {COLUMNS}, crc32 FROM revision LIMIT 1").fetchall()
        return int(version)
    finally:
        connection.close()


def damaged(path: Path | str, what: str) -> ViewfinderError:
    """The error for a store whose content can't be right."""
    if not isinstance(path, Path):
        return ViewfinderError("the annotations on this server are damaged", file=path, found=what)
    return ViewfinderError(
        "this annotation store is damaged",
        file=path,
        found=what,
        hint=f"it was left as it is; restore a copy, or save what is readable with: "
        f"sqlite3 {path.name} .recover",
    )


@contextlib.contextmanager
def told(path: Path) -> Iterator[None]:
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
            raise DiskError(
                "the disk is full or failing: the last change was not saved",
                file=path,
                found=str(error),
            ) from error
        if name.startswith(("SQLITE_READONLY", "SQLITE_CANTOPEN", "SQLITE_PERM")):
            raise DiskError(
                "the annotation store can't be written here", file=path, found=str(error)
            ) from error
        raise damaged(path, str(error)) from error
    except sqlite3.DatabaseError as error:
        raise damaged(path, str(error)) from error
    except OSError as error:
        raise DiskError(
            "the annotation store can't be opened", file=path, found=error.strerror
        ) from error
