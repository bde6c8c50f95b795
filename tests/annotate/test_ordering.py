"""The queue's order and filters: what comes first, and what is worked on at all."""

from __future__ import annotations

import numpy as np
import pytest

from annotate.editing import Confirm, SetStatus, apply, new_document
from annotate.ordering import Candidate, parse_filter, queue_order, read_queue
from annotate.session import AnnotationSession
from bootstrap.dataset import Label
from runtime.errors import ViewfinderError


def candidate(status="open", score=None, tags=(), edits=0, contours=()):
    document = new_document("hand21@1", np.zeros((21, 2)))
    document = apply(apply(document, SetStatus(status)), Confirm(tuple(contours)))
    label = Label(sample_id="a", topology="hand21@1", score=score)
    return Candidate(label, document, edits, tags)


def test_a_queue_says_what_comes_first_and_leaves_the_rest_as_it_was(tmp_path):
    path = tmp_path / "queue.txt"
    path.write_text("# by doubt\n00000003\t0.91 disagreement\n\n00000001\n00000003\nelsewhere\n")
    assert read_queue(path) == ["00000003", "00000001", "elsewhere"]
    ids = [f"{n:08d}" for n in range(5)]
    assert queue_order(ids, read_queue(path), path) == [3, 1, 0, 2, 4]


def test_a_session_follows_the_queue_beside_its_pictures_or_another(project, tmp_path):
    (project / "queue.txt").write_text("00000004\n00000002\n")
    with AnnotationSession.open(project, annotator="ada") as session:
        order = [item.key.sample_id[-1] for item in session.items]
    assert order == ["4", "2", "0", "1", "3"]
    other = tmp_path / "mine.txt"
    other.write_text("00000001\n")
    with AnnotationSession.open(project, annotator="ada", queue=other) as session:
        assert session.item.key.sample_id == "00000001"


@pytest.mark.parametrize(
    ("content", "told"),
    [(b"elsewhere\n", "no picture of this data set"), (b"\xff\xff", "text"), (b"", "no picture")],
)
def test_a_wrong_queue_is_told(project, tmp_path, content, told):
    path = tmp_path / "queue.txt"
    path.write_bytes(content)
    with pytest.raises(ViewfinderError, match=told):
        AnnotationSession.open(project, annotator="ada", queue=path)
    with pytest.raises(ViewfinderError, match="can't be read"):
        read_queue(tmp_path / "none.txt")


@pytest.mark.parametrize(
    ("words", "through", "held"),
    [
        ("", candidate(), None),
        ("open", candidate(), candidate("done")),
        ("flagged", candidate("flagged"), candidate()),
        ("Skipped", candidate("skipped"), candidate()),
        ("edited", candidate(edits=1), candidate()),
        ("tag:night", candidate(tags=("night", "b")), candidate(tags=("nights",))),
        ("score<0.5", candidate(score=0.4), candidate(score=0.6)),
        ("score>0.5", candidate(score=0.6), candidate(score=0.4)),
        ("score<0.5", candidate(score=0.1), candidate(score=None)),
        ("unconfirmed", candidate(), candidate(contours=candidate().document.topology.contours)),
        ("open score>0.5", candidate(score=0.9), candidate("done", score=0.9)),
    ],
)
def test_a_filter_lets_through_what_it_says(words, through, held):
    assert parse_filter(words)(through)
    assert held is None or not parse_filter(words)(held)


@pytest.mark.parametrize("words", ["opn", "tag:", "score<", "score<x", "score=1"])
def test_an_unknown_word_is_told(words):
    with pytest.raises(ViewfinderError, match="unknown word"):
        parse_filter(words)


def test_next_and_previous_stay_among_what_the_filter_lets_through(project):
    with AnnotationSession.open(project, annotator="ada") as session:
        for place in (1, 3):
            session.go(place)
            session.flag("blurred")
        session.go(0)
        assert session.set_filter("flagged") == 2
        assert session.index == 1
        assert session.next()
        assert session.index == 3
        assert not session.next()
        session.reopen()  # what was let in stays, until the next filter
        assert session.previous()
        assert session.next()
        assert session.set_filter("done") == 0
        assert session.filter_text == "flagged"
        assert session.set_filter("") == 5
        assert session.next()
        assert session.index == 4
