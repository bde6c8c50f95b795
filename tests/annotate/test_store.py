"""The store: nothing acknowledged is lost, undo is exact, damage is told and touches nothing."""

from __future__ import annotations

import itertools
import os
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from annotate import store_file
from annotate.editing import (
    Change,
    Confirm,
    Document,
    Move,
    SetStatus,
    SetVisibility,
    apply,
    new_document,
)
from annotate.history import ItemKey
from annotate.revision_log import STORE_VERSION, DiskError, checksum
from annotate.store import AnnotationStore, annotator_name
from runtime.errors import ViewfinderError

FOUND = new_document("hand21@1", np.arange(42, dtype=float).reshape(21, 2))
KEYS = [ItemKey(f"{i:08d}", 0, "hand21@1") for i in range(3)]
CONTOURS = list(FOUND.topology.contours)
ROOT = Path(__file__).parents[2]


def edit(store: AnnotationStore, number: int, key: ItemKey = KEYS[0]) -> Document:
    change = Move((number % 21,), ((float(number), number / 3),))
    return store.record(key, change, found=FOUND, source="synthetic", duration_s=0.5)


changes = st.one_of(
    st.builds(
        lambda i, x, y: Move((i,), ((x, y),)),
        st.integers(0, 20),
        st.floats(0, 640, width=64),
        st.floats(0, 640, width=64),
    ),
    st.builds(lambda i, v: SetVisibility((i,), (v,)), st.integers(0, 20), st.integers(0, 2)),
    st.builds(lambda i: Move((i,), ((1.0, 2.0),), (i,)), st.integers(0, 20)),
    st.builds(lambda name, to: Confirm((name,), to), st.sampled_from(CONTOURS), st.booleans()),
    st.builds(SetStatus, st.sampled_from(["open", "done", "flagged"])),
)


class StoreEqualsModel(RuleBasedStateMachine):
    """Against a model that keeps whole documents: two people, restarts, second windows."""

    def __init__(self) -> None:
        super().__init__()
        import tempfile

        self.folder = tempfile.TemporaryDirectory()
        self.path = Path(self.folder.name) / "annotations.sqlite"
        self.people = ("ada", "bob")
        self.stores = {name: AnnotationStore.open(self.path, name) for name in self.people}
        self.documents: dict[str, dict[ItemKey, Document]] = {name: {} for name in self.people}
        self.undo_steps: dict[str, list[tuple[ItemKey, Document, Document]]] = {
            name: [] for name in self.people
        }
        self.redo_steps: dict[str, list[tuple[ItemKey, Document, Document]]] = {
            name: [] for name in self.people
        }

    people_names = st.sampled_from(["ada", "bob"])

    @rule(who=people_names, key=st.sampled_from(KEYS), change=changes)
    def change(self, who, key, change):
        before = self.documents[who].get(key, FOUND)
        after = apply(before, change)
        returned = self.stores[who].record(key, change, found=FOUND, source="synthetic")
        assert returned.same_as(after)
        self.documents[who][key] = after
        self.undo_steps[who].append((key, before, after))
        self.redo_steps[who].clear()

    @rule(who=people_names, times=st.integers(1, 6))
    def undo(self, who, times):
        for _ in range(times):
            expected = self.undo_steps[who].pop() if self.undo_steps[who] else None
            assert self.stores[who].undo() == (expected and expected[0])
            if expected:
                self.documents[who][expected[0]] = expected[1]
                self.redo_steps[who].append(expected)

    @rule(who=people_names, times=st.integers(1, 6))
    def redo(self, who, times):
        for _ in range(times):
            expected = self.redo_steps[who].pop() if self.redo_steps[who] else None
            assert self.stores[who].redo() == (expected and expected[0])
            if expected:
                self.documents[who][expected[0]] = expected[2]
                self.undo_steps[who].append(expected)

    @rule(who=people_names)
    def restart(self, who):
        self.stores[who].close()
        self.stores[who] = AnnotationStore.open(self.path, who)

    @rule(who=people_names)
    def second_window_takes_over(self, who):
        """The old handle stays open in the background, as another window would."""
        other = AnnotationStore.open(self.path, who)
        old, self.stores[who] = self.stores[who], other
        old.refresh()
        old.close()

    @invariant()
    def states_agree(self):
        for who in self.people:
            for key in KEYS:
                kept = self.stores[who].document(key)
                expected = self.documents[who].get(key)
                assert (kept is None) == (expected is None)
                assert kept is None or kept.same_as(expected)

    def teardown(self):
        for store in self.stores.values():
            store.close()
        self.folder.cleanup()


TestStoreEqualsModel = StoreEqualsModel.TestCase
TestStoreEqualsModel.settings = settings(max_examples=25, stateful_step_count=40, deadline=None)


def test_long_histories_undo_exactly(tmp_path):
    path = tmp_path / "annotations.sqlite"
    with AnnotationStore.open(path, "ada") as store:
        states = [edit(store, n) for n in range(200)]
        for n in reversed(range(60, 199)):  # across the kept documents
            store.undo()
            assert store.document(KEYS[0]).same_as(states[n])
    with AnnotationStore.open(path, "ada") as store:
        assert store.document(KEYS[0]).same_as(states[60])
        for n in range(61, 200):
            store.redo()
            assert store.document(KEYS[0]).same_as(states[n])
        assert store.redo() is None


def test_revisions_say_who_when_what_from_which_and_how_long(tmp_path):
    with AnnotationStore.open(tmp_path / "annotations.sqlite", "ada") as store:
        edit(store, 1)
        edit(store, 2)
        store.undo(0.25)
        start, first, second, undo = store.revisions()
    assert [r.kind for r in (start, first, second, undo)] == ["start", "edit", "edit", "undo"]
    assert [r.parent for r in (start, first, second, undo)] == [None, start.id, first.id, second.id]
    assert undo.target == second.id
    assert (start.source, first.duration_s, undo.duration_s) == ("synthetic", 0.5, 0.25)
    assert {r.annotator for r in (start, first, second, undo)} == {"ada"}
    assert start.time <= first.time <= second.time <= undo.time
    assert first.time.endswith("+00:00")


def test_revisions_can_be_neither_changed_nor_deleted(tmp_path):
    path = tmp_path / "annotations.sqlite"
    with AnnotationStore.open(path, "ada") as store:
        edit(store, 1)
    with sqlite3.connect(path) as raw:
        with pytest.raises(sqlite3.IntegrityError, match="never deleted"):
            raw.execute("DELETE FROM revision")
        with pytest.raises(sqlite3.IntegrityError, match="never change"):
            raw.execute("UPDATE revision SET annotator = 'bob'")
    raw.close()


def test_a_change_that_does_not_fit_leaves_no_trace(tmp_path):
    with AnnotationStore.open(tmp_path / "annotations.sqlite", "ada") as store:
        with pytest.raises(ViewfinderError):
            store.record(KEYS[0], Move((99,), ((0.0, 0.0),)), found=FOUND, source="")
        assert store.revisions() == []
        assert store.document(KEYS[0]) is None


def test_every_edit_is_durable_and_quick(tmp_path):
    with AnnotationStore.open(tmp_path / "annotations.sqlite", "ada") as store:
        (mode,) = store._log.connection.execute("PRAGMA journal_mode").fetchone()
        (level,) = store._log.connection.execute("PRAGMA synchronous").fetchone()
        assert (mode, level) == ("wal", 2)
        took = []
        for n in range(40):
            began = time.perf_counter()
            edit(store, n)
            took.append(time.perf_counter() - began)
    assert np.median(took) < 0.05


# -- kill -9 ----------------------------------------------------------------------------------

WRITER = """
import sys
import numpy as np
from annotate.editing import Move, new_document
from annotate.history import ItemKey
from annotate.store import AnnotationStore
path, first = sys.argv[1], int(sys.argv[2])
found = new_document("hand21@1", np.arange(42, dtype=float).reshape(21, 2))
key = ItemKey("00000000", 0, "hand21@1")
store = AnnotationStore.open(path, "ada")
for number in range(first, first + 100_000):
    change = Move((number % 21,), ((float(number), number / 3),))
    store.record(key, change, found=found, source="synthetic")
    print(number, flush=True)  # the acknowledgement
"""


def kill_and_check(path: Path, rng: np.random.Generator, edits: int) -> int:
    """Kill a writer at a random moment; what is on the disk then, checked against what it said."""
    writer = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(path), str(edits)],
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )
    assert writer.stdout is not None
    first = writer.stdout.readline()
    time.sleep(rng.uniform(0.0, 0.12))
    os.kill(writer.pid, signal.SIGKILL)
    acknowledged = [int(first), *(int(line) for line in writer.stdout if line.endswith("\n"))]
    writer.wait()
    writer.stdout.close()
    with AnnotationStore.open(path, "ada") as store:
        kept = [r for r in store.revisions() if r.kind == "edit"]
        state = store.document(KEYS[0])
    # All that was acknowledged, in order, and at most the one that was under way.
    assert acknowledged == list(range(edits, acknowledged[-1] + 1))
    assert acknowledged[-1] + 1 <= len(kept) <= acknowledged[-1] + 2
    expected = FOUND
    for number in range(max(0, len(kept) - 21), len(kept)):  # each keypoint's newest
        expected = apply(expected, Move((number % 21,), ((float(number), number / 3),)))
    assert state.same_as(expected)
    return len(kept)


def test_kill_9_loses_no_acknowledged_edit(tmp_path):
    rng, edits = np.random.default_rng(11), 0
    for _ in range(6):
        edits = kill_and_check(tmp_path / "annotations.sqlite", rng, edits)
    assert edits > 40


@pytest.mark.long
def test_950_kills_lose_no_acknowledged_edit(tmp_path):
    rng, edits, kills = np.random.default_rng(12), 0, 0
    for number in range(19):  # a new store now and then, so that opening stays quick
        edits = 0
        for _ in range(50):
            edits = kill_and_check(tmp_path / f"{number}.sqlite", rng, edits)
            kills += 1
    assert kills == 950


def test_two_processes_share_a_store(tmp_path):
    path = tmp_path / "annotations.sqlite"
    script = WRITER.replace("100_000", "120").replace('"ada"', "sys.argv[3]")
    # Two windows of one person and one of another, all opening a store that isn't there yet.
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", script, str(path), first, who],
            stdout=subprocess.DEVNULL,
            cwd=ROOT,
        )
        for first, who in (("0", "ada"), ("1000", "ada"), ("0", "bob"))
    ]
    assert [writer.wait(60) for writer in writers] == [0, 0, 0]
    assert [p.name for p in tmp_path.iterdir()] == ["annotations.sqlite"]
    for who, count in (("ada", 240), ("bob", 120)):
        with AnnotationStore.open(path, who) as store:
            revisions = store.revisions()
            assert sum(r.kind == "edit" for r in revisions) == count
            parents = [r.parent for r in revisions[1:]]
            assert parents == [r.id for r in revisions[:-1]]


# -- what can be wrong with a file --------------------------------------------------------------


@pytest.fixture
def store_bytes(tmp_path) -> bytes:
    path = tmp_path / "made" / "annotations.sqlite"
    path.parent.mkdir()
    with AnnotationStore.open(path, "ada") as store:
        for n in range(60):
            edit(store, n)
    return path.read_bytes()


def _patched(data: bytes, at: int, new: bytes) -> bytes:
    return data[:at] + new + data[at + len(new) :]


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (lambda data: b"", "isn't an annotation store"),
        (lambda data: b"just some text " * 40, "isn't an annotation store"),
        (lambda data: data[: len(data) // 2], "damaged"),
        (lambda data: _patched(data, 4096, b"\0" * 4096), "damaged"),
        (lambda data: _patched(data, 68, b"ABCD"), "belongs to another program"),
        (lambda data: _patched(data, 60, (STORE_VERSION + 1).to_bytes(4, "big")), "newer release"),
    ],
    ids=["empty", "text", "truncated", "zeroed page", "another program's", "newer"],
)
def test_what_is_not_a_whole_store_is_told_and_left_alone(store_bytes, tmp_path, spoil, told):
    path = tmp_path / "annotations.sqlite"
    path.write_bytes(spoil(store_bytes))
    before = path.read_bytes()
    with pytest.raises(ViewfinderError, match=told) as caught:
        AnnotationStore.open(path, "ada")
    assert str(path) in str(caught.value)
    assert path.read_bytes() == before


def test_a_flipped_byte_is_told_or_harmless(store_bytes, tmp_path):
    path = tmp_path / "annotations.sqlite"
    path.write_bytes(store_bytes)
    with AnnotationStore.open(path, "ada") as store:
        whole = store.revisions()
    told = 0
    for at in np.random.default_rng(5).integers(0, len(store_bytes), 150):
        spoilt = _patched(store_bytes, int(at), bytes([store_bytes[at] ^ 0x10]))
        for sidecar in tmp_path.glob("annotations.sqlite*"):
            sidecar.unlink()
        path.write_bytes(spoilt)
        try:
            with AnnotationStore.open(path, "ada") as store:
                assert store.revisions() == whole
        except ViewfinderError:
            told += 1
            assert path.read_bytes() == spoilt
    assert told > 30


def test_a_revision_that_cannot_follow_is_told(store_bytes, tmp_path):
    path = tmp_path / "annotations.sqlite"
    path.write_bytes(store_bytes)
    row = (5, "ada", "00000000", 0, "hand21@1", "undo", 5, "", "", "now", 0.0)
    with sqlite3.connect(path) as raw:
        raw.execute(
            "INSERT INTO revision (parent, annotator, sample_id, subject_id, topology, kind, "
            "target, body, source, time, duration_s, crc32) VALUES (?,?,?,?,?,?,?,?,?,?,?,?)",
            (*row, checksum(row)),
        )
    raw.close()
    with pytest.raises(ViewfinderError, match="undo of what isn't the newest edit"):
        AnnotationStore.open(path, "ada")


def test_a_full_disk_is_told_and_nothing_is_lost(tmp_path):
    path = tmp_path / "annotations.sqlite"
    with AnnotationStore.open(path, "ada") as store:
        states = [edit(store, 1)]
        (pages,) = store._log.connection.execute("PRAGMA page_count").fetchone()
        store._log.connection.execute(f"PRAGMA max_page_count = {pages}")
        with pytest.raises(ViewfinderError, match="disk is full"):  # noqa: PT012
            for n in itertools.count(2):
                states.append(edit(store, n))
        assert store.document(KEYS[0]).same_as(states[-1])
        store._log.connection.execute(f"PRAGMA max_page_count = {pages * 100}")
        after = edit(store, 7)
    with AnnotationStore.open(path, "ada") as store:
        assert store.document(KEYS[0]).same_as(after)


def test_a_full_disk_is_gone_on_from_in_memory_and_written_when_it_can_be(tmp_path):
    path = tmp_path / "annotations.sqlite"
    with AnnotationStore.open(path, "ada", keep_going=True) as store:
        edit(store, 1)
        (pages,) = store._log.connection.execute("PRAGMA page_count").fetchone()
        store._log.connection.execute(f"PRAGMA max_page_count = {pages}")
        number = 2
        while store.trouble is None:
            expected = edit(store, number)
            number += 1
        assert "disk is full" in str(store.trouble)
        assert store.unsaved == 1
        edit(store, 100, KEYS[1])
        assert store.undo() == KEYS[1]
        assert store.undo() == KEYS[0]
        assert store.redo() == KEYS[0]
        assert store.document(KEYS[0]).same_as(expected)
        assert store.unsaved == 5
        with AnnotationStore.open(path, "ada") as other:  # nothing of it is on the disk
            assert len([r for r in other.revisions() if r.kind == "edit"]) == number - 2
        assert store.save()
        assert (store.trouble, store.unsaved) == (None, 0)
        assert store.redo() == KEYS[1]
        after = [store.document(key) for key in KEYS[:2]]
    with AnnotationStore.open(path, "ada") as store:
        assert all(store.document(k).same_as(d) for k, d in zip(KEYS, after))


MEMORY_WRITER = """
import os, sys
import numpy as np
from annotate.editing import Move, new_document
from annotate.history import ItemKey
from annotate.store import AnnotationStore
path, user = sys.argv[1], int(sys.argv[2])
if user:
    os.setuid(user)
found = new_document("hand21@1", np.arange(42, dtype=float).reshape(21, 2))
with AnnotationStore.open(path, "ada", keep_going=True) as store:
    print(store.trouble, flush=True)
    store.record(ItemKey("a", 0, "hand21@1"), Move((1,), ((5.0, 6.0),)), found=found, source="s")
    print(store.unsaved, store.save(), flush=True)
    input()
    print(store.save(), store.unsaved, flush=True)
"""


@pytest.mark.parametrize("there", [True, False])
def test_a_read_only_disk_is_gone_on_from_in_memory(tmp_path, there):
    folder = tmp_path / "project"
    folder.mkdir()
    path = folder / "annotations.sqlite"
    if there:
        with AnnotationStore.open(path, "ada") as store:
            edit(store, 1)
    before = path.read_bytes() if there else b""
    for place in (tmp_path, *tmp_path.parents[:3]):  # a worker of xdist has one more
        if place.stat().st_mode & 0o005 != 0o005:
            place.chmod(0o755)
    if there:
        path.chmod(0o444)
    folder.chmod(0o555)
    user = 65534 if os.geteuid() == 0 else 0  # root writes everywhere: be nobody
    writer = subprocess.Popen(
        [sys.executable, "-c", MEMORY_WRITER, str(path), str(user)],
        stdout=subprocess.PIPE,
        stdin=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )
    assert writer.stdout is not None
    assert writer.stdin is not None
    told = writer.stdout.readline()
    assert str(path) in told
    assert writer.stdout.readline() == "1 False\n"
    assert (path.read_bytes() if path.exists() else b"") == before
    folder.chmod(0o777)
    if there:
        path.chmod(0o666)
    writer.stdin.write("\n")
    writer.stdin.flush()
    assert writer.stdout.readline() == "True 0\n"
    writer.wait(20)
    with AnnotationStore.open(path, "ada") as store:
        kinds = [r.kind for r in store.revisions()]
        assert kinds == (["start", "edit"] * 2 if there else ["start", "edit"])


def test_a_second_window_overtakes_what_waited_in_memory(tmp_path):
    path = tmp_path / "annotations.sqlite"
    with AnnotationStore.open(path, "ada", keep_going=True) as store:
        edit(store, 1)
        store._go_on_in_memory(DiskError("full"))
        assert store.undo() == KEYS[0]
        edit(store, 2, KEYS[1])
        with AnnotationStore.open(path, "ada") as other:
            edit(other, 3)
        assert store.save()
        # The undo was of an edit that isn't the newest any more: left out; the edit is there.
        assert [r.kind for r in store.revisions()] == ["start", "edit", "edit", "start", "edit"]
    with AnnotationStore.open(path, "ada") as store:
        np.testing.assert_array_equal(store.document(KEYS[0]).keypoints_px[3], [3.0, 1.0])
        assert store.document(KEYS[1]) is not None


@pytest.mark.long
def test_10000_random_operations_with_restarts_leave_the_exact_state(tmp_path):
    """Against a model that keeps whole documents; every document compared at every restart."""
    operations(tmp_path / "annotations.sqlite", 10_000)


def test_random_operations_with_restarts_leave_the_exact_state(tmp_path):
    operations(tmp_path / "annotations.sqlite", 400)


def operations(path: Path | str, count: int) -> None:
    rng = np.random.default_rng(21)
    documents = dict.fromkeys(KEYS, FOUND)
    done: list[tuple[ItemKey, Document, Document]] = []
    undone: list[tuple[ItemKey, Document, Document]] = []
    store = AnnotationStore.open(path, "ada")
    for _ in range(count):
        what = rng.random()
        if what < 0.55:
            key, change = KEYS[rng.integers(3)], random_change(rng)
            before = documents[key]
            documents[key] = store.record(key, change, found=FOUND, source="synthetic")
            assert documents[key].same_as(apply(before, change))
            done.append((key, before, documents[key]))
            undone.clear()
        elif what < 0.97:
            takes, gives = (done, undone) if what < 0.78 else (undone, done)
            step = takes.pop() if takes else None
            assert (store.undo() if what < 0.78 else store.redo()) == (step and step[0])
            if step:
                documents[step[0]] = step[1] if what < 0.78 else step[2]
                gives.append(step)
        else:
            store.close()
            store = AnnotationStore.open(path, "ada")
            for key, document in documents.items():
                kept = store.document(key)
                assert document.same_as(FOUND) if kept is None else kept.same_as(document)
    store.close()


def random_change(rng: np.random.Generator) -> Change:
    indices = tuple(rng.choice(21, rng.integers(1, 6), replace=False).tolist())
    match rng.integers(4):
        case 0:
            spots = tuple((float(x), float(y)) for x, y in rng.uniform(0, 640, (len(indices), 2)))
            return Move(indices, spots, indices[: rng.integers(2)])
        case 1:
            return SetVisibility(indices, tuple(rng.integers(0, 3, len(indices)).tolist()))
        case 2:
            return Confirm((CONTOURS[rng.integers(len(CONTOURS))],), bool(rng.integers(2)))
    return SetStatus(("open", "done", "skipped", "flagged")[rng.integers(4)], "why")


def test_a_locked_store_is_told(tmp_path, monkeypatch):
    path = tmp_path / "annotations.sqlite"
    monkeypatch.setattr(store_file, "_BUSY_S", 0.1)
    with AnnotationStore.open(path, "ada") as store:
        edit(store, 1)
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(ViewfinderError, match="locked"):
            edit(store, 2)
        other.execute("ROLLBACK")
        other.close()
        edit(store, 2)
        assert sum(r.kind == "edit" for r in store.revisions()) == 2


def test_a_place_that_cannot_be_written_is_told(tmp_path):
    (tmp_path / "file").write_text("")
    for path in (tmp_path / "file" / "a.sqlite", tmp_path / "missing" / "a.sqlite", tmp_path):
        with pytest.raises(ViewfinderError):
            AnnotationStore.open(path, "ada")


@pytest.mark.parametrize("name", ["", "../ada", "a b", "-a", "a" * 65, "ä"])
def test_names_that_cannot_name_a_layer_are_refused(name):
    if name:
        with pytest.raises(ViewfinderError, match="annotator"):
            annotator_name(name)
    assert annotator_name(None)
    assert annotator_name("Ada.L-1_x") == "Ada.L-1_x"
