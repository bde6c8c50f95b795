"""Boxes in the store: kept to the last bit, undone and redone as keypoints are."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from annotate.cuboid_document import BoxDocument, SetCuboid
from annotate.editing import Move, apply, new_document
from annotate.editing_json import (
    change_from_json,
    change_to_json,
    document_from_json,
    document_to_json,
)
from annotate.history import ItemKey
from annotate.status import SetStatus
from annotate.store import AnnotationStore
from arsession.cuboid_evidence import Click, PlacedBox, PlaneSnap
from arsession.cuboid_file import Cuboid
from runtime.errors import ViewfinderError

KEY = ItemKey("session", 0, "cuboid9@1")
finite = st.floats(-1e3, 1e3)
positive = st.floats(1e-3, 1e3)


@st.composite
def clicks(draw):
    part = draw(st.sampled_from([{"corner": 3}, {"edge": (1, 2)}, {"face": "top", "depth_m": 0.5}]))
    return Click(
        draw(st.integers(0, 9)), (draw(finite), draw(finite)), sigma_px=draw(positive), **part
    )


@st.composite
def cuboids(draw):
    turn = Rotation.from_rotvec([draw(st.floats(-3, 3)) for _ in range(3)]).as_matrix()
    box = PlacedBox(
        turn,
        np.array([draw(finite) for _ in range(3)]),
        np.array([draw(positive) for _ in range(3)]),
    )
    return Cuboid(
        id=draw(st.integers(0, 99)),
        category=draw(st.text(max_size=12)),
        clicks=tuple(draw(st.lists(clicks(), max_size=4))),
        symmetry=draw(st.sampled_from(["none", "square"])),
        plane=draw(st.sampled_from(["auto", None, "table", PlaneSnap(0.25)])),
        box=box,
    )


@given(cuboids(), st.sampled_from(["open", "done", "flagged"]), st.text(max_size=9))
def test_documents_and_changes_are_read_as_they_were_written(cuboid, status, note):
    document = apply(apply(BoxDocument(), SetCuboid(cuboid)), SetStatus(status, note))
    again = document_from_json(document_to_json(document))
    assert again.same_as(document)
    np.testing.assert_array_equal(again.cuboid.box.centre_m, cuboid.box.centre_m)
    assert again.cuboid.clicks == cuboid.clicks
    change = change_from_json(change_to_json(SetCuboid(cuboid)))
    assert apply(BoxDocument(), change).same_as(BoxDocument(cuboid))
    assert apply(document, change_from_json(change_to_json(SetCuboid(None)))).cuboid is None


def test_what_isnt_a_box_is_refused():
    keypoints = new_document("hand21@1", np.zeros((21, 2)))
    with pytest.raises(ViewfinderError, match="keypoints"):
        apply(keypoints, SetCuboid(None))
    with pytest.raises(ViewfinderError, match="box"):
        apply(BoxDocument(), Move((0,), ((1.0, 2.0),)))
    with pytest.raises((ValueError, ViewfinderError)):
        change_from_json('{"op": "cuboid", "to": {"id": 0, "clicks": 3}}')
    with pytest.raises((ValueError, ViewfinderError)):
        document_from_json('{"kind": "box", "status": "asleep", "note": "", "cuboid": null}')


def test_undo_and_redo_across_restarts_bring_back_the_very_boxes(tmp_path):
    rng = np.random.default_rng(4)
    path, states = tmp_path / "annotations.sqlite", [BoxDocument()]
    for number in range(12):
        box = PlacedBox(np.eye(3), rng.normal(size=3), rng.uniform(0.1, 1, 3))
        cuboid = Cuboid(0, "cup", (Click(0, (math.pi * number, 1.0), corner=1),), box=box)
        with AnnotationStore.open(path, "ada") as store:
            store.record(KEY, SetCuboid(cuboid), found=BoxDocument(), source="")
            states.append(store.document(KEY))
    for wanted in reversed(states[:-1]):
        with AnnotationStore.open(path, "ada") as store:
            assert store.undo() == KEY
            assert store.document(KEY).same_as(wanted)
    with AnnotationStore.open(path, "ada") as store:
        assert store.undo() is None
        for wanted in states[1:]:
            store.redo()
            assert store.document(KEY).same_as(wanted)
