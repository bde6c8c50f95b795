"""Who annotates what: laws of a deal, and what a session shows of it."""

from __future__ import annotations

import json
import sqlite3
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from annotate.assignment import assign, deal
from annotate.revision_log import STORE_VERSION
from annotate.session import AnnotationSession
from annotate.store import STORE_NAME, AnnotationStore
from annotate.team_commands import assign as assign_command
from runtime.errors import ViewfinderError

PEOPLE = ["ada", "bob", "kim", "lee"]


@given(
    st.integers(0, 60),
    st.integers(2, 4),
    st.floats(0, 1),
    st.integers(2, 4),
    st.integers(0, 2**32 - 1),
)
def test_everything_is_dealt_evenly_and_as_much_shared_as_was_asked(
    count, many, overlap, each, seed
):
    people, each = PEOPLE[:many], min(each, many)
    ids = [f"{i:08d}" for i in range(count)]
    dealt = deal(ids, people, overlap=overlap, each=each, seed=seed)
    assert dealt == deal(reversed(ids), people, overlap=overlap, each=each, seed=seed)
    assert len(set(dealt)) == len(dealt)
    owners = Counter(sample for sample, _ in dealt)
    assert set(owners) == set(ids)
    shared = round(overlap * count)
    assert Counter(owners.values()) == Counter(
        {each: shared, 1: count - shared} if each > 1 else {}
    )
    load = Counter(dict.fromkeys(people, 0)) + Counter(name for _, name in dealt)
    if count:
        assert max(load.values()) - min(load[person] for person in people) <= 1


@given(st.integers(3, 30), st.integers(1, 30), st.integers(0, 99))
def test_what_comes_later_moves_nothing_and_goes_to_those_who_have_least(first, more, seed):
    ids = [f"{i:08d}" for i in range(first + more)]
    before: dict[str, tuple[str, ...]] = {}
    for sample, name in deal(ids[:first], PEOPLE[:2], seed=seed):
        before[sample] = (*before.get(sample, ()), name)
    later = deal(ids, PEOPLE[:3], seed=seed, before=before)
    assert {sample for sample, _ in later} == set(ids[first:])
    gained = Counter(name for _, name in later)
    assert gained["kim"] == max(gained.values())


@pytest.mark.parametrize(
    ("people", "options"),
    [
        ([], {}),
        (["ada", "ada"], {}),
        (["ada"], {"overlap": 0.5}),
        (["ada", "bob"], {"each": 3}),
        (["ada", "bob"], {"overlap": 1.5}),
        (["ada", "../bob"], {}),
    ],
)
def test_what_can_t_be_dealt_is_told(people, options):
    with pytest.raises(ViewfinderError):
        deal(["a"], people, **options)


def test_people_see_what_is_theirs(project, capsys):
    assign_command(project, ["ada", "bob"], overlap=0.4, as_json=True)
    counts = json.loads(capsys.readouterr().out)
    assert (counts["samples"], counts["shared"]) == (5, 2)
    seen = {}
    for who in ("ada", "bob"):
        with AnnotationSession.open(project, annotator=who) as session:
            seen[who] = {item.key.sample_id for item in session.items}
            assert len(seen[who]) == counts["people"][who]
    assert len(seen["ada"] & seen["bob"]) == 2
    assert len(seen["ada"] | seen["bob"]) == 5
    with pytest.raises(ViewfinderError, match="nothing here is assigned"):
        AnnotationSession.open(project, annotator="kim")
    with AnnotationSession.open(project, annotator="kim", everything=True) as session:
        assert len(session.items) == 5


def test_a_store_of_an_older_release_takes_assignments_too(tmp_path):
    path = tmp_path / STORE_NAME
    AnnotationStore.open(path, "ada").close()
    with sqlite3.connect(path) as raw:
        raw.execute("DROP TABLE assignment")
        raw.execute("PRAGMA user_version = 2")
    raw.close()
    with AnnotationStore.open(path, "ada") as store:
        assert assign(store, ["a", "b"], ["ada", "bob"], overlap=1.0).shared == 2
        assert store.assigned() == {"a": ("ada", "bob"), "b": ("ada", "bob")}
        (version,) = store._log.connection.execute("PRAGMA user_version").fetchone()
        assert version == STORE_VERSION
