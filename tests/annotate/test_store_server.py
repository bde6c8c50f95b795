"""The store on a real PostgreSQL server: the laws of the file's, for people on several machines."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from annotate.session import AnnotationSession
from annotate.store import AnnotationStore
from runtime.errors import ViewfinderError
from tests.annotate.postgres import Postgres
from tests.annotate.test_store import KEYS, edit, operations

pytest.importorskip("sqlalchemy", reason="pip install 'viewfinder-live[teams]'")
psycopg = pytest.importorskip("psycopg", reason="pip install 'viewfinder-live[teams]'")


@pytest.fixture(scope="module")
def server() -> Iterator[Postgres]:
    root = Path(tempfile.mkdtemp(prefix="pg"))
    try:
        server = Postgres(root)
        yield server
        server.stop()
    finally:
        shutil.rmtree(root)


@pytest.fixture
def url(server: Postgres, request: pytest.FixtureRequest) -> str:
    """An empty store's."""
    return server.schema(request.node.name[:60])


def test_random_operations_with_restarts_leave_the_exact_state(url):
    operations(url, 200)


def work(url: str, who: str, first: int) -> None:
    with AnnotationStore.open(url, who) as store:
        for number in range(first, first + 25):
            edit(store, number, KEYS[number % 3])


def test_people_and_windows_at_once_lose_no_edit(url):
    """Two people, each in two windows."""
    with ThreadPoolExecutor(4) as pool:
        jobs = [pool.submit(work, url, w, first) for w in ("ada", "bob") for first in (0, 1000)]
        for job in jobs:
            job.result(60)
    for who in ("ada", "bob"):
        with AnnotationStore.open(url, who) as store:
            edits = [r.body for r in store.revisions() if r.kind == "edit"]
            assert len(edits) == len(set(edits)) == 50
            assert store.annotators() == ["ada", "bob"]


def test_a_server_that_crashes_is_gone_on_from_in_memory_and_comes_back(url, server):
    with AnnotationStore.open(url, "ada", keep_going=True) as store:
        edit(store, 1)
        server.stop("immediate")
        edit(store, 2)
        assert "can't be reached" in str(store.trouble)
        edit(store, 3, KEYS[1])
        assert store.undo() == KEYS[1]
        assert store.unsaved == 3
        assert not store.save()
        server.start()
        assert store.save()
        assert (store.trouble, store.unsaved) == (None, 0)
        assert store.redo() == KEYS[1]
        expected = [store.document(key) for key in KEYS[:2]]
        kinds = [r.kind for r in store.revisions()]
    assert kinds == ["start", "edit", "edit", "start", "edit", "undo", "redo"]
    with AnnotationStore.open(url, "ada") as store:
        assert all(store.document(k).same_as(d) for k, d in zip(KEYS, expected))


def test_without_leave_to_go_on_a_lost_server_is_told_and_nothing_half_kept(url, server):
    with AnnotationStore.open(url, "ada") as store:
        before = edit(store, 1)
        server.stop("immediate")
        try:
            with pytest.raises(ViewfinderError, match="can't be reached"):
                edit(store, 2)
            assert store.document(KEYS[0]).same_as(before)
            with pytest.raises(ViewfinderError, match="can't be reached"):
                AnnotationStore.open(url, "bob", keep_going=True)
        finally:
            server.start()


def test_a_step_that_was_kept_but_not_acknowledged_is_not_kept_twice(url, monkeypatch):
    """The worst moment: the server commits, and goes before it says so."""
    from annotate.revision_log import DiskError

    with AnnotationStore.open(url, "ada", keep_going=True) as store:
        edit(store, 1)
        catch_up, calls = store._catch_up, []

        def gone() -> None:
            calls.append(1)
            if len(calls) == 2:  # the first lies within the transaction, the second after it
                raise DiskError("the server is gone")
            catch_up()

        monkeypatch.setattr(store, "_catch_up", gone)
        expected = edit(store, 2)
        assert store.trouble is not None
        assert store.save()
        assert [r.kind for r in store.revisions()] == ["start", "edit", "edit"]
        assert store.document(KEYS[0]).same_as(expected)
        assert store.undo() == KEYS[0]


def test_connections_that_the_server_ends_are_told(url, server):
    with AnnotationStore.open(url, "ada", keep_going=True) as store:
        edit(store, 1)
        server.sql(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE application_name = 'viewfinder annotate'"
        )
        expected = edit(store, 2)
        assert store.trouble is not None
        assert store.save()
        assert store.document(KEYS[0]).same_as(expected)


def test_revisions_can_be_neither_changed_nor_deleted_there(url, server):
    with AnnotationStore.open(url, "ada") as store:
        edit(store, 1)
        before = store.revisions()
    schema = url.split("%3D")[1]
    for statement in ("UPDATE {}.revision SET body = ''", "DELETE FROM {}.revision"):
        with pytest.raises(psycopg.Error, match="never"):
            server.sql(statement.format(schema))
    with pytest.raises(psycopg.Error, match="never"):
        server.sql(f"TRUNCATE {schema}.revision CASCADE")
    with AnnotationStore.open(url, "ada") as store:
        assert store.revisions() == before


def test_what_can_t_be_a_store_is_told(url, server, project):
    with AnnotationSession.open(project, annotator="ada", store=url) as session:
        session.move(5, 1.0, 2.0)
    with pytest.raises(ViewfinderError, match="another data set"):
        AnnotationStore.open(url, "ada", project="something else")
    schema = url.split("%3D")[1]
    server.sql(f"UPDATE {schema}.viewfinder_store SET version = 99")
    with pytest.raises(ViewfinderError, match="newer release"):
        AnnotationStore.open(url, "ada")
    for wrong in (
        server.url.replace("/postgres", "/nothing"),
        "postgresql://team@127.0.0.1:1/postgres",
        "postgresql://[",
    ):
        with pytest.raises(ViewfinderError):
            AnnotationStore.open(wrong, "ada")
    with pytest.raises(ViewfinderError) as caught:
        AnnotationStore.open("postgresql://kim:secret@127.0.0.1:1/postgres", "ada")
    assert "secret" not in str(caught.value)


def test_an_edit_there_costs_two_commits_and_four_questions(url):
    """What an edit waits for is the network's round trips."""
    from sqlalchemy import Engine, event

    asked: list[str] = []
    commits: list[int] = []

    def heard(*told: object) -> None:
        asked.append(str(told[2]))

    def committed(_: object) -> None:
        commits.append(len(asked))

    with AnnotationStore.open(url, "ada") as store:
        edit(store, 0)
        event.listen(Engine, "before_cursor_execute", heard)
        event.listen(Engine, "commit", committed)
        try:
            for number in range(40):
                edit(store, number)
        finally:
            event.remove(Engine, "before_cursor_execute", heard)
            event.remove(Engine, "commit", committed)
    assert len(commits) <= 2 * 40  # one writes
    assert len(asked) <= 4 * 40, asked[:8]
