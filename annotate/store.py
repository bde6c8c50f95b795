"""The annotation store: `annotations.sqlite` in a project's folder, or a PostgreSQL server.

An append-only table of revisions: when `record`, `undo` or `redo` returns, the revision is on the
disk. Several processes may use one store; each annotator's revisions form one line that all of
that annotator's windows share.

Where the disk is full or can't be written, or the server is gone, a store opened with `keep_going`
goes on in memory, says so in `trouble`, and writes everything as soon as it can.
"""

from __future__ import annotations

import contextlib
import getpass
import re
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import TypeVar

from annotate.editing import Change, Document, apply
from annotate.editing_json import change_to_json, document_to_json
from annotate.history import History, ItemKey, Kind, Revision
from annotate.revision_log import DiskError, RevisionLog, checksum, is_server
from annotate.store_file import FileLog, damaged
from bootstrap.dataset import Dataset
from runtime.errors import ViewfinderError

STORE_NAME = "annotations.sqlite"
REVIEWS = "consensus/"
"""What the line of a reviewer begins with, before the name."""
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


def store_place(dataset: Dataset, store: str | Path | None = None) -> tuple[str | Path, str]:
    """Where a data set's store is, and what tells the data set from others on a server.

    Args:
        dataset: whose.
        store: a file or a server's URL; `annotations.sqlite` beside the data when None.

    Returns:
        The place; and its name with the first picture's id and checksum, as pictures never change.
    """
    if not is_server(store):
        return (dataset.root / STORE_NAME if store is None else Path(str(store))), ""
    samples = dataset.samples()
    if not len(samples):
        return str(store), dataset.info.name
    first = samples.iloc[0]
    return str(store), f"{dataset.info.name} {first['sample_id']} {first['sha256'][:16]}"


class AnnotationStore:
    """One annotator's view of a store: reads that annotator's revisions, appends new ones.

    Attributes:
        path: the file.
        annotator: whose.
        history: what the revisions amount to.
        trouble: why the newest revisions are in memory alone, None when all are on the disk.
    """

    def __init__(
        self, path: Path | str, log: RevisionLog, annotator: str, keep_going: bool = False
    ) -> None:
        self.path = path
        self.annotator = annotator
        self.history = History()
        self.trouble: DiskError | None = None
        self._keep_going = keep_going
        self._log = log
        self._seen = self._forked_at = 0
        self._project = ""
        self._now = ""

    @classmethod
    def open(
        cls,
        path: str | Path,
        annotator: str,
        *,
        keep_going: bool = False,
        review: bool = False,
        project: str = "",
    ) -> AnnotationStore:
        """Open a store, making it first where there is none.

        Args:
            path: the `annotations.sqlite` file, or a server's `postgresql://user@host/database`.
            annotator: whose revisions to read and write.
            keep_going: whether to go on in memory where the disk can't be written.
            review: whether they are those of a review of others' work, kept apart.
            project: on a server, what tells this data set from others; "" for whichever it is.

        Raises:
            ViewfinderError: not a store, damaged, from a newer release, not writable, busy, or of
                another data set; a server that can't be reached. It is left exactly as it was.
        """
        name = (REVIEWS if review else "") + annotator_name(annotator)
        trouble = None
        if is_server(path):
            log, path = _server_log(str(path), project), str(path)
        else:
            path = Path(path)
            try:
                log = FileLog.to_write(path)
            except DiskError as error:
                if not keep_going or not path.parent.is_dir():
                    raise
                trouble = error
                log = FileLog.to_read(path)
        store = cls(path, log, name, keep_going)
        store._project = project
        try:
            store._catch_up()
        except BaseException:
            log.close()
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
        self._log.close()

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
        with self._log.transaction(self.annotator):
            self._catch_up()
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
        with self._log.transaction(self.annotator):
            self._catch_up()
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
        return self._log.edits()

    def save(self) -> bool:
        """Try to write what is in memory alone; whether everything is on the disk now.

        A revision that another of the annotator's windows has overtaken meanwhile, an undo of what
        isn't the newest edit any more, is left out.

        Raises:
            ViewfinderError: the store was damaged meanwhile.
        """
        if self.trouble is None:
            return True
        review = self.annotator.startswith(REVIEWS)
        name = self.annotator.removeprefix(REVIEWS)
        try:
            disk = AnnotationStore.open(self.path, name, review=review, project=self._project)
        except DiskError as error:
            self.trouble = error
            return False
        try:
            with disk._log.transaction(self.annotator):
                disk._catch_up()
                disk._take_over(self._read(self._forked_at), self._forked_at)
        except DiskError as error:
            disk.close()
            self.trouble = error
            return False
        self._log.close()
        self._log, self.history, self._seen = disk._log, disk.history, disk._seen
        self.trouble = None
        return True

    def _take_over(self, revisions: Iterator[Revision], forked_at: int) -> None:
        own: dict[int | None, int] = {}
        # A server may have kept a step and gone before it said so: it isn't kept twice.
        kept = {(r.key, r.kind, r.body, r.time): r.id for r in self._read(forked_at)}
        for revision in revisions:
            there = kept.get((revision.key, revision.kind, revision.body, revision.time))
            if there is not None:
                own[revision.id] = there
                continue
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
        """Run a step; where the disk fails it, run it in memory, as of the same time."""
        self._now = datetime.now(UTC).isoformat(timespec="microseconds")
        try:
            return step()
        except DiskError as error:
            if not self._keep_going or self.trouble is not None:
                raise
            self._go_on_in_memory(error)
            return step()

    def _go_on_in_memory(self, trouble: DiskError) -> None:
        self._log.close()
        self._forked_at = self._seen
        self._log = FileLog.in_memory(Path(self.path), self._seen + 1)
        self.trouble = trouble

    # -- reading ----------------------------------------------------------------------------------

    def refresh(self) -> None:
        """Take in what this annotator's other windows wrote meanwhile."""
        self._catch_up()

    @property
    def revision(self) -> int:
        """The newest of this annotator's revisions, 0 when there is none."""
        return self._seen

    def revisions(self) -> list[Revision]:
        """All of this annotator's revisions, oldest first."""
        return list(self._read(0))

    def annotators(self) -> list[str]:
        """Everybody who has annotated in this store, by name."""
        return [name for name in self._log.annotators() if not name.startswith(REVIEWS)]

    def reviewers(self) -> list[str]:
        """Everybody who has reviewed others' work in this store, by name."""
        lines = self._log.annotators()
        return [name.removeprefix(REVIEWS) for name in lines if name.startswith(REVIEWS)]

    def assigned(self) -> dict[str, tuple[str, ...]]:
        """Whose each assigned sample is, by its id."""
        found: dict[str, tuple[str, ...]] = {}
        for sample_id, name in self._log.assigned():
            found[sample_id] = (*found.get(sample_id, ()), name)
        return found

    def assign(self, pairs: Sequence[tuple[str, str]]) -> None:
        """Give samples to annotators, besides what they have: (sample id, annotator).

        Raises:
            ViewfinderError: it couldn't be written; then nothing is.
        """
        self._log.assign(pairs)

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
        where = (key.sample_id, key.subject_id, key.topology_id)
        time, spent = time or self._now, float(duration_s)
        return self._log.append(
            (parent, self.annotator, *where, kind, target, body, source, time, spent)
        )

    def _catch_up(self) -> None:
        for revision in self._read(self._seen):
            try:
                self.history.play([revision])
            except (ValueError, ViewfinderError) as error:
                raise damaged(self.path, f"revision {revision.id}: {error}") from error
            self._seen = revision.id

    def _read(self, after: int) -> Iterator[Revision]:
        for number, *stored, crc in self._log.after(self.annotator, after):
            if checksum(stored) != crc:
                raise damaged(self.path, f"revision {number}: its checksum differs")
            parent, annotator, sample, subject, topology_id, kind, target, *rest = stored
            key = ItemKey(sample, subject, topology_id)
            yield Revision(number, parent, annotator, key, kind, target, *rest)


def _server_log(url: str, project: str) -> RevisionLog:
    from annotate.store_server import ServerLog

    return ServerLog.connect(url, project)
