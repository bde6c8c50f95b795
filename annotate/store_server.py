"""The annotation store on a PostgreSQL server, for people on several machines.

The same append-only revisions as in the file. Two windows of one annotator wait for each other by
an advisory lock, so that ids ascend along a line as its revisions become visible; different
annotators don't wait. A schema of the database holds one data set's work, and says whose.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from annotate.revision_log import BUSY_S, COLUMNS, ROW_COLUMNS, STORE_VERSION, DiskError, checksum
from runtime.errors import ViewfinderError

if TYPE_CHECKING:
    from sqlalchemy import Connection

# Any number that other programs in the same database are unlikely to lock: "VFND".
_LOCKS = 0x56464E44
# How long a silent network is waited for, which stops the window meanwhile.
_SILENT_S = 4
_SCHEMA = """
CREATE TABLE viewfinder_store (version INTEGER NOT NULL, project TEXT NOT NULL);
CREATE TABLE revision (
    id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    parent BIGINT REFERENCES revision (id),
    annotator TEXT NOT NULL,
    sample_id TEXT NOT NULL,
    subject_id BIGINT NOT NULL,
    topology TEXT NOT NULL,
    kind TEXT NOT NULL CHECK (kind IN ('start', 'edit', 'undo', 'redo')),
    target BIGINT REFERENCES revision (id),
    body TEXT NOT NULL,
    source TEXT NOT NULL,
    time TEXT NOT NULL,
    duration_s DOUBLE PRECISION NOT NULL,
    crc32 BIGINT NOT NULL
);
CREATE INDEX revision_of_annotator ON revision (annotator, id);
CREATE TABLE assignment (
    sample_id TEXT NOT NULL,
    annotator TEXT NOT NULL,
    time TEXT NOT NULL,
    PRIMARY KEY (sample_id, annotator)
);
CREATE FUNCTION revisions_never_change() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN RAISE EXCEPTION 'revisions never change and are never deleted'; END $$;
CREATE TRIGGER revisions_never_change BEFORE UPDATE OR DELETE ON revision
    FOR EACH ROW EXECUTE FUNCTION revisions_never_change();
CREATE TRIGGER revisions_are_never_cleared BEFORE TRUNCATE ON revision
    EXECUTE FUNCTION revisions_never_change();
"""
# SQLSTATE classes: lack of resources (a full disk), a server that was made read-only or shuts
# down, a failing one.
_FAILING = ("53", "25006", "57P", "58", "XX", "08")
_BUSY = ("55P03", "57014", "40P01")


class ServerLog:
    """Revisions on a server.

    Args:
        name: the URL without its password, for what is told of troubles.
        connection: an open one; closed with this.
    """

    def __init__(self, name: str, connection: Connection) -> None:
        self.name = name
        self._connection = connection

    @classmethod
    def connect(cls, url: str, project: str) -> ServerLog:
        """Reach the server; make the tables at the first time.

        Args:
            url: `postgresql://user@host:port/database`; a password is better kept in ~/.pgpass. A
                schema other than `public` by `?options=-csearch_path%3DNAME`.
            project: what tells this data set from others; "" for whichever it is.

        Raises:
            ViewfinderError: no such database, no entry, a newer release's tables, or those of
                another data set; DiskError: the server can't be reached.
        """
        try:
            import psycopg  # noqa: F401, the driver
            from sqlalchemy import URL, create_engine, exc, make_url
            from sqlalchemy.pool import NullPool
        except ImportError as error:
            raise ViewfinderError(
                "annotations on a server need SQLAlchemy and psycopg",
                found=error.name,
                hint="pip install 'viewfinder-live[teams]'",
            ) from error
        try:
            place: URL = make_url(url).set(drivername="postgresql+psycopg")
        except (exc.ArgumentError, ValueError) as error:
            raise ViewfinderError(
                "this isn't a server's URL", expected="postgresql://user@host/database"
            ) from error
        name = place.set(drivername="postgresql").render_as_string(hide_password=True)
        limits = {
            "connect_timeout": _SILENT_S,
            "tcp_user_timeout": _SILENT_S * 1000,
            "keepalives_idle": _SILENT_S,
            "application_name": "viewfinder annotate",
        }
        engine = create_engine(place, poolclass=NullPool, connect_args=limits)
        with told(name, opening=True):
            connection = engine.connect()
            log = cls(name, connection)
            try:
                log._prepare(project)
            except BaseException:
                connection.close()
                raise
        return log

    def _prepare(self, project: str) -> None:
        busy_ms = round(BUSY_S * 1000)
        with self._connection.begin():
            for setting in (
                f"lock_timeout = {busy_ms}",
                f"statement_timeout = {4 * busy_ms}",
                "synchronous_commit = on",
            ):
                self._execute(f"SET {setting}")
            self._lock("")
            (found,) = self._execute("SELECT to_regclass('viewfinder_store')").one()
            if found is None:
                self._execute(_SCHEMA)
                values = {"version": STORE_VERSION, "project": project}
                self._execute("INSERT INTO viewfinder_store VALUES (:version, :project)", values)
            version, whose = self._execute("SELECT version, project FROM viewfinder_store").one()
            if project and not whose:  # somebody looked into it before anybody worked in it
                self._execute("UPDATE viewfinder_store SET project = :p", {"p": project})
        if version > STORE_VERSION:
            raise ViewfinderError(
                "this store was written by a newer release",
                file=self.name,
                expected=f"version {STORE_VERSION} at most",
                found=version,
                hint="update viewfinder-live",
            )
        if project and whose and whose != project:
            raise ViewfinderError(
                "another data set's annotations are kept here",
                file=self.name,
                expected=project,
                found=whose,
                hint="give each data set a database or a schema of its own",
            )

    def _execute(self, statement: str, values: Any = None) -> Any:
        from sqlalchemy import text

        return self._connection.execute(text(statement), values)

    def _lock(self, line: str) -> None:
        query = "SELECT pg_advisory_xact_lock(:ours, hashtext(current_schema() || '/' || :line))"
        self._execute(query, {"ours": _LOCKS, "line": line})

    @contextlib.contextmanager
    def transaction(self, line: str) -> Iterator[None]:
        """`RevisionLog.transaction`; different lines don't wait for each other."""
        with told(self.name), self._connection.begin():
            self._lock(line)
            yield

    def append(self, row: Sequence[object]) -> int:
        """`RevisionLog.append`."""
        names = [*ROW_COLUMNS.split(", "), "crc32"]
        marks = ", ".join(f":{name}" for name in names)
        statement = f"INSERT INTO revision ({', '.join(names)}) VALUES ({marks}) RETURNING id"
        (number,) = self._execute(statement, dict(zip(names, (*row, checksum(row))))).one()
        return int(number)

    def after(self, annotator: str, revision: int) -> list[tuple[Any, ...]]:
        """`RevisionLog.after`."""
        query = f"SELECT {COLUMNS}, crc32 FROM revision WHERE annotator = :who AND id > :after"
        return self._rows(f"{query} ORDER BY id", {"who": annotator, "after": revision})

    def edits(self) -> int:
        """`RevisionLog.edits`."""
        ((count,),) = self._rows("SELECT count(*) FROM revision WHERE kind != 'start'")
        return int(count)

    def annotators(self) -> list[str]:
        """`RevisionLog.annotators`."""
        query = 'SELECT DISTINCT annotator COLLATE "C" FROM revision ORDER BY 1'
        return [name for (name,) in self._rows(query)]

    def assigned(self) -> list[tuple[str, str]]:
        """`RevisionLog.assigned`."""
        query = 'SELECT sample_id COLLATE "C", annotator COLLATE "C" FROM assignment ORDER BY 1, 2'
        return self._rows(query)

    def assign(self, pairs: Sequence[tuple[str, str]]) -> None:
        """`RevisionLog.assign`."""
        now = datetime.now(UTC).isoformat(timespec="microseconds")
        rows = [{"sample": sample, "who": name, "time": now} for sample, name in pairs]
        with self.transaction(""):
            if rows:
                self._execute(
                    "INSERT INTO assignment VALUES (:sample, :who, :time) ON CONFLICT DO NOTHING",
                    rows,
                )

    def close(self) -> None:
        """`RevisionLog.close`; a connection that is broken is let go, too."""
        from sqlalchemy import exc

        with contextlib.suppress(exc.SQLAlchemyError):
            self._connection.close()

    def _rows(self, query: str, values: Any = None) -> list[tuple[Any, ...]]:
        with told(self.name):
            if self._connection.in_transaction():
                return [tuple(row) for row in self._execute(query, values)]
            with self._connection.begin():
                return [tuple(row) for row in self._execute(query, values)]


@contextlib.contextmanager
def told(name: str, opening: bool = False) -> Iterator[None]:
    """Turn the server's and the network's complaints into ours."""
    from sqlalchemy import exc

    try:
        yield
    except exc.DBAPIError as error:
        state = getattr(error.orig, "sqlstate", None) or ""
        said = str(error.orig).strip().splitlines()[0] if str(error.orig).strip() else ""
        if state in _BUSY:
            raise ViewfinderError(
                "another program has kept the store locked",
                file=name,
                found=said,
                hint="the last change was not saved; try it again",
            ) from error
        lost = error.connection_invalidated or state.startswith(_FAILING)
        if lost or (opening and not state and _unreachable(said)):
            raise DiskError(
                "the server can't be reached or fails", file=name, found=said
            ) from error
        problem = "this store can't be opened" if opening else "the server refused the last change"
        raise ViewfinderError(problem, file=name, found=said) from error
    except exc.ResourceClosedError as error:
        raise DiskError("the connection to the server is broken", file=name) from error
    except exc.InvalidRequestError as error:
        raise DiskError(
            "the connection to the server is broken", file=name, found=str(error).splitlines()[0]
        ) from error


def _unreachable(said: str) -> bool:
    """libpq gives no code when a connection fails; the server's own refusals say FATAL."""
    return "FATAL" not in said or "starting up" in said or "shutting down" in said
