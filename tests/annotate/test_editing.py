"""Laws of documents and changes."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from annotate import drawing
from annotate.editing import (
    Move,
    SetStatus,
    SetVisibility,
    apply,
    bounding_box,
    contour_lines,
    new_document,
    next_visibility,
    px_from_rowcol,
    rowcol_from_px,
)
from annotate.editing_json import (
    change_from_json,
    change_to_json,
    document_from_json,
    document_to_json,
)
from runtime.errors import ViewfinderError
from runtime.topology import topology, topology_ids

coordinate = st.floats(-1e5, 1e5, allow_nan=False, width=64)
hands = hnp.arrays(np.float64, (21, 2), elements=coordinate)
visibilities = hnp.arrays(np.int8, 21, elements=st.integers(0, 2))
moves = st.dictionaries(st.integers(0, 20), st.tuples(coordinate, coordinate), min_size=1).map(
    lambda spots: Move(tuple(spots), tuple(spots.values()))
)
changes = st.one_of(
    moves,
    st.dictionaries(st.integers(0, 20), st.integers(0, 2), min_size=1).map(
        lambda spots: SetVisibility(tuple(spots), tuple(spots.values()))
    ),
    st.builds(SetStatus, st.sampled_from(["open", "done", "flagged"]), st.text(max_size=20)),
)


@given(hnp.arrays(np.float64, (5, 2), elements=st.integers(-4000, 4000).map(lambda n: n / 8)))
def test_napari_coordinates_are_an_inverse_pair(points):
    np.testing.assert_array_equal(px_from_rowcol(rowcol_from_px(points)), points)
    np.testing.assert_array_equal(rowcol_from_px(px_from_rowcol(points)), points)


def test_the_centre_of_the_first_pixel_is_napari_s_origin():
    np.testing.assert_array_equal(rowcol_from_px([0.5, 0.5]), [0, 0])
    np.testing.assert_array_equal(rowcol_from_px([3.5, 1.5]), [1, 3])
    np.testing.assert_array_equal(px_from_rowcol([-0.5, -0.5]), [0, 0])


@given(hands, visibilities, changes)
def test_a_change_alters_what_it_names_and_nothing_else(points, visibility, change):
    before = new_document("hand21@1", points, visibility)
    after = apply(before, change)
    np.testing.assert_array_equal(before.keypoints_px, points)
    named = np.zeros(21, bool)
    named[list(getattr(change, "indices", ()))] = True
    np.testing.assert_array_equal(after.keypoints_px[~named], points[~named])
    np.testing.assert_array_equal(after.visibility[~named], visibility[~named])
    if isinstance(change, Move):
        np.testing.assert_array_equal(after.keypoints_px[list(change.indices)], change.to_px)
        # Somebody placed it, so it is labelled; an occluded keypoint stays occluded.
        expected = np.where(visibility[named] == 0, 2, visibility[named])
        np.testing.assert_array_equal(after.visibility[named], expected)
    if not isinstance(change, SetStatus):
        assert after.status == before.status
    assert apply(after, change).same_as(after)


@given(changes)
def test_changes_survive_storage_to_the_last_bit(change):
    assert change_from_json(change_to_json(change)) == change


@given(hands, visibilities)
def test_documents_survive_storage_to_the_last_bit(points, visibility):
    points[visibility == 0] = math.nan
    document = new_document("hand21@1", points, visibility)
    assert document_from_json(document_to_json(document)).same_as(document)


@pytest.mark.parametrize("topology_id", topology_ids())
def test_contours_pass_through_the_keypoints_as_they_stand(topology_id):
    rng = np.random.default_rng(0)
    layout = topology(topology_id)
    document = new_document(topology_id, rng.uniform(0, 500, (layout.size, 2)))
    for name, contour in layout.contours.items():
        index = contour.indices[len(contour.indices) // 2]
        moved = apply(document, Move((index,), ((1.25, 2.5),)))
        before, after = contour_lines(document), contour_lines(moved)
        np.testing.assert_array_equal(
            after[name], moved.keypoints_px[list(contour.indices)].astype("f4")
        )
        for other, line in layout.contours.items():
            assert np.array_equal(before[other], after[other]) == (index not in line.indices)


def test_visibility_goes_round():
    assert [next_visibility(v) for v in (2, 1, 0)] == [1, 0, 2]


def test_the_box_holds_labelled_keypoints_only():
    points = np.full((21, 2), 5.0)
    points[3], points[4], points[7] = (1, 2), (11, 22), (1000, 1000)
    visibility = np.full(21, 2)
    visibility[7] = 0
    assert bounding_box(new_document("hand21@1", points, visibility)) == (1, 2, 10, 20)
    assert bounding_box(new_document("hand21@1", points, np.zeros(21))) is None


@pytest.mark.parametrize(
    "change",
    [
        Move((21,), ((1.0, 1.0),)),
        Move((-1,), ((1.0, 1.0),)),
        Move((), ()),
        Move((1, 1), ((1.0, 1.0), (2.0, 2.0))),
        Move((1,), ((math.nan, 1.0),)),
        Move((1,), ((math.inf, 1.0),)),
        Move((1, 2), ((1.0, 1.0),)),
        SetVisibility((1,), (3,)),
        SetVisibility((1, 2), (1,)),
        SetStatus("perfect"),  # type: ignore[arg-type]
    ],
)
def test_impossible_changes_are_refused(change):
    with pytest.raises(ViewfinderError):
        apply(new_document("hand21@1", np.ones((21, 2))), change)


def test_a_document_must_fit_its_topology():
    with pytest.raises(ViewfinderError, match="21 x 2"):
        new_document("hand21@1", np.ones((20, 2)))
    with pytest.raises(ViewfinderError, match="unknown topology"):
        new_document("hand22@1", np.ones((22, 2)))


@pytest.mark.parametrize("text", ["[]", "{}", '{"op":"move","index":[1]}', '{"op":"paint"}', "x"])
def test_stored_nonsense_is_not_a_change(text):
    with pytest.raises(ValueError, match=r".+"):
        change_from_json(text)


def test_the_nearest_keypoint_is_picked_contours_first():
    points = np.random.default_rng(1).uniform(0, 100, (478, 2))
    on_contour = drawing.on_contour("face478@1")
    contour, other = int(np.flatnonzero(on_contour)[0]), int(np.flatnonzero(~on_contour)[0])
    points[contour], points[other] = (500, 500), (504, 500)
    pick = lambda x: drawing.nearest(points, "face478@1", np.array([x, 500.0]), 10.0)  # noqa: E731
    assert pick(502.1) == contour
    assert pick(503.9) == other
    assert pick(530.0) is None


def test_a_line_piece_to_an_unlabelled_keypoint_is_not_drawn():
    points = np.arange(42, dtype=float).reshape(21, 2)
    visibility = np.full(21, 2, np.int8)
    visibility[8] = 0
    layout = drawing.line_layout("hand21@1")
    vertices = layout.vertices(points, visibility).reshape(-1, 2, 2)
    gone = (layout.knots[::2, 1:3] == 8).any(axis=1)
    lengths = np.linalg.norm(vertices[:, 0] - vertices[:, 1], axis=1)
    assert (lengths[gone] == 0).all()
    assert (lengths[~gone] > 0).all()
