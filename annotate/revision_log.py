"""Where a store keeps its revisions: a SQLite file, a PostgreSQL server, or memory.

A row is a revision's columns after its id, in the order of `COLUMNS`; each is kept with a checksum
that is looked at whenever it is read.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol

from runtime.errors import ViewfinderError

# 2 brought contours that are confirmed and keypoints that were placed by hand; 3 assignments and
# labels taken over from others.
STORE_VERSION = 3
BUSY_S = 5.0
COLUMNS = (
    "id, parent, annotator, sample_id, subject_id, topology, kind, target, body, source, time, "
    "duration_s"
)
ROW_COLUMNS = COLUMNS.removeprefix("id, ")


class DiskError(ViewfinderError):
    """The store can't be written for a reason that lies in the disk or the network, not in it."""


class RevisionLog(Protocol):
    """An append-only list of revisions that several processes may share."""

    def transaction(self, line: str) -> AbstractContextManager[None]:
        """One atomic, durable step: nobody writes to this annotator's line meanwhile.

        Raises:
            ViewfinderError: busy or damaged; DiskError: it couldn't be written. Then nothing is.
        """

    def append(self, row: Sequence[object]) -> int:
        """Inside a transaction: keep a row; its id, larger than any of the same annotator's."""

    def after(self, annotator: str, revision: int) -> list[tuple[Any, ...]]:
        """An annotator's rows whose id is larger, oldest first: id, row, checksum."""

    def edits(self) -> int:
        """How many rows there are that people made, starts not counted."""

    def annotators(self) -> list[str]:
        """Everybody who has written a row, by name."""

    def assigned(self) -> list[tuple[str, str]]:
        """Which samples are whose: (sample id, annotator), by sample."""

    def assign(self, pairs: Sequence[tuple[str, str]]) -> None:
        """Add assignments durably, all or none; those that are there already stay."""

    def close(self) -> None:
        """Let go."""


def checksum(row: Sequence[object]) -> int:
    """Of a revision's columns without its id."""
    return zlib.crc32("\x1f".join(repr(value) for value in row).encode())


def is_server(where: object) -> bool:
    """Whether a store's place is a server's URL."""
    return str(where).startswith(("postgresql://", "postgres://"))
