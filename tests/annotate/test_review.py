"""Merging two annotators' work: laws of what is taken, kept, undone and exported."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from annotate.contours import contour_points
from annotate.editing import Move, adopting, apply, new_document
from annotate.editing_json import change_from_json, change_to_json
from annotate.review import ReviewSession, mean_document
from annotate.session import AnnotationSession
from bootstrap.dataset import Dataset
from runtime.errors import ViewfinderError
from tests.annotate.test_agreement import shifted_work


@pytest.fixture
def twice(project):
    """Items 0 to 2 done by ada and bob, who differ by 1, 2 and 3 pixels; item 3 by ada alone."""
    shifted_work(project, "ada", 0.001, [0], range(4))
    for item, shift in ((0, 1.0), (1, 3.0), (2, 2.0)):
        shifted_work(project, "bob", shift, range(478), [item])
    return project


def reopened(document):
    """Only keypoints and visibility: whose they were and what was said of them stays behind."""
    return new_document(document.topology_id, document.keypoints_px, document.visibility)


def work_of(project, who, sample):
    with AnnotationSession.open(project, annotator=who) as session:
        index = [item.key.sample_id for item in session.items].index(sample)
        return session.document_at(index)


positions = st.floats(0, 640, width=64) | st.just(np.nan)
documents = st.builds(
    lambda xs, ys, v: new_document(
        "hand21@1",
        np.where(np.isnan(np.array([xs, ys]).sum(axis=0))[:, None], np.nan, np.array([xs, ys]).T),
        v,
    ),
    st.lists(positions, min_size=21, max_size=21),
    st.lists(positions, min_size=21, max_size=21),
    st.lists(st.integers(0, 2), min_size=21, max_size=21),
)


@given(documents, documents)
def test_what_is_taken_over_is_the_other_s_to_the_last_bit_and_survives_the_store(one, other):
    change = adopting(one, other, of="bob")
    if change is None:
        assert one.same_as(other)
        return
    stored = change_from_json(change_to_json(change))
    assert stored == change
    assert apply(one, stored).same_as(other)
    assert adopting(apply(one, change), other) is None


@given(st.lists(documents, min_size=2, max_size=4))
def test_the_mean_of_works_doesn_t_depend_on_their_order_and_lies_among_them(works):
    mean, back = mean_document(works), mean_document(works[::-1])
    np.testing.assert_allclose(mean.keypoints_px, back.keypoints_px, rtol=1e-12)
    np.testing.assert_array_equal(mean.visibility, back.visibility)
    shown = np.array([work.visibility for work in works])
    assert ((mean.visibility == 0) == (shown == 0).all(axis=0)).all()
    same = mean_document([works[0], works[0]])
    np.testing.assert_allclose(same.keypoints_px, works[0].keypoints_px)
    np.testing.assert_array_equal(same.visibility, works[0].visibility)


def test_a_review_shows_the_most_different_first_and_starts_at_the_mean(twice):
    with ReviewSession.open_review(twice, "kim") as session:
        assert [item.key.sample_id[-1] for item in session.items] == ["1", "2", "0"]
        works = [document for _, document in session.works]
        middle = np.mean([work.keypoints_px for work in works], axis=0)
        np.testing.assert_allclose(session.document.keypoints_px, middle)
        apart = session.apart()
        assert next(iter(apart)) == "all"
        assert apart["all"] > 0


def test_either_s_work_or_a_contour_of_it_is_taken_and_undone(twice):
    with ReviewSession.open_review(twice, "kim") as session:
        start = session.document
        ada, bob = (reopened(document) for _, document in session.works)
        assert session.take(1).same_as(bob)
        lips = list(contour_points(bob.topology, "lips_outer"))
        mixed = session.take(0, "lips_outer")
        np.testing.assert_array_equal(mixed.keypoints_px[lips], ada.keypoints_px[lips])
        rest = np.setdiff1d(np.arange(478), lips)
        np.testing.assert_array_equal(mixed.keypoints_px[rest], bob.keypoints_px[rest])
        session.undo()
        assert session.document.same_as(bob)
        session.undo()
        assert session.document.same_as(start)
        session.redo()
    with ReviewSession.open_review(twice, "kim") as session:  # after a restart
        assert session.document.same_as(bob)
        session.take(None)
        np.testing.assert_allclose(session.document.keypoints_px, start.keypoints_px)
        with pytest.raises(ViewfinderError, match="nobody else"):
            session.take(2)


def test_a_review_leaves_annotators_work_alone_and_is_no_annotator(twice):
    before = {who: work_of(twice, who, "00000001") for who in ("ada", "bob")}
    with ReviewSession.open_review(twice, "ada") as session:  # an annotator reviews, too
        session.take(1)
        session.accept()
        assert session.store.annotators() == ["ada", "bob"]
        assert session.store.reviewers() == ["ada"]
    for who, document in before.items():
        assert work_of(twice, who, "00000001").same_as(document)


def test_the_consensus_layer_holds_what_reviewers_accepted_the_newest_of_each(twice):
    with ReviewSession.open_review(twice, "kim") as session:
        first = session.item.key.sample_id
        session.take(0)
        session.accept()
        session.next()
        session.flag("blurred")
    with ReviewSession.open_review(twice, "lee") as session:
        session.go(0)
        (_, bob) = session.works[1]
        session.take(1)
        session.accept()
        summary = session.export()
    assert (summary.layer, summary.labels, summary.flagged) == ("consensus", 1, 1)
    (label,) = Dataset.open(twice).labels("consensus")
    assert label.sample_id == first
    np.testing.assert_allclose(label.keypoints_px, bob.keypoints_px, rtol=1e-6)
    assert (label.annotator, label.attributes["reviewer"]) == (None, "lee")


def test_one_annotator_is_nothing_to_review(project):
    shifted_work(project, "ada", 1.0, [0], [0])
    with pytest.raises(ViewfinderError, match="no two annotators"):
        ReviewSession.open_review(project, "kim")
    with AnnotationSession.open(project, annotator="bob") as session:
        session.move_many(Move((0,), ((1.0, 2.0),)))
    with ReviewSession.open_review(project, "kim") as session:
        assert len(session.items) == 1
