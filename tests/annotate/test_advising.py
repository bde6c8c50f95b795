"""The model beside the annotator, in a real window: predicts again, disagrees in colour, learns."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import asdict, replace

import numpy as np
import pytest

from annotate import disagreement
from annotate.contours import contour_points
from annotate.editing import Move, apply, new_document
from annotate.learning import Lesson, learned_models
from annotate.predicting import OURS, Predictor
from annotate.sample import write_sample_project
from annotate.session import AnnotationSession
from runtime.bundle import read_bundle
from tests.annotate.hand import Hand
from tests.annotate.test_session import ROOT

FACE, NOSE = "face478@1", 5


def wait_for(hand: Hand, what, seconds: float = 60.0) -> None:
    hand.bot.waitUntil(what, timeout=int(1000 * seconds))


def model_says(hand: Hand, document=None) -> np.ndarray:
    """What the model answers in this very process."""
    near = (document or hand.session.document).keypoints_px
    answer = Predictor().answer(hand.session.picture(), near, OURS[FACE], FACE)
    return answer.points_px


def test_the_model_predicts_again_as_one_edit_around_what_was_placed(hand):
    found, expected = hand.session.document, model_says(hand)
    hand.key("R")
    wait_for(hand, lambda: hand.stored() is not None)
    np.testing.assert_allclose(hand.session.document.keypoints_px, expected, atol=1e-3)
    assert hand.stored().same_as(hand.session.document)
    np.testing.assert_allclose(hand.drawn_px(), hand.session.document.keypoints_px)
    assert hand.session.progress().edited == 0  # nobody said anything yet
    assert hand.session.export().labels == 0
    hand.key("Z", "Control")
    assert hand.session.document.same_as(found)

    hand.drag(NOSE, 25, 0)
    placed = hand.session.document
    expected = model_says(hand)
    hand.key("R")
    wait_for(hand, lambda: not hand.session.document.same_as(placed))
    after = hand.session.document
    np.testing.assert_array_equal(after.keypoints_px[NOSE], placed.keypoints_px[NOSE])
    off = after.keypoints_px - expected
    near, far = (np.linalg.norm(off[i]) for i in (4, 152))  # beside it, and the chin
    assert far < near < np.linalg.norm(off[NOSE])

    hand.session.undo()
    hand.window.show_document()
    before, active = hand.session.document, hand.window.canvas.active
    hand.key("R", "Shift")
    wait_for(hand, lambda: not hand.session.document.same_as(before))
    changed = (hand.session.document.keypoints_px != before.keypoints_px).any(axis=1)
    assert set(np.flatnonzero(changed)) <= set(contour_points(before.topology, active))


def test_an_answer_comes_too_late_for_another_item(hand):
    hand.key("R")
    hand.key("N")
    adviser = hand.window.advising.adviser
    wait_for(hand, lambda: not adviser.waiting)
    assert hand.session.store.revisions() == []


def test_disagreement_shows_as_colour(hand):
    plain = hand.window.panel.legend_text
    hand.key("D")
    wait_for(hand, lambda: hand.window.panel.legend_text != plain)
    expected = model_says(hand)
    percent = disagreement.apart_percent(hand.session.document, expected)
    drawn = hand.window.canvas.points.face_color
    np.testing.assert_allclose(drawn, disagreement.colours(percent, FACE), atol=0.02)
    assert f"{percent.mean():.2f} % of the eyes' distance" in hand.window.panel.legend_text
    hand.drag(NOSE, 60, 0)  # far off: the last colour
    np.testing.assert_allclose(
        hand.window.canvas.points.face_color[NOSE][:3],
        np.array([0xFF, 0x2F, 0xB2]) / 255,
        atol=0.01,
    )
    hand.key("N")  # the next item's are asked for by themselves
    wait_for(hand, lambda: "from the model" in hand.window.panel.legend_text)
    hand.key("D")
    assert hand.window.panel.legend_text == plain


def test_a_model_that_dies_or_is_of_something_else_is_told_and_nothing_is_lost(hand):
    hand.drag(NOSE, 9, 9)
    before = hand.session.document
    hand.key("R")
    adviser = hand.window.advising.adviser
    adviser._predicting._process.kill()
    wait_for(hand, lambda: hand.window.panel.error_text != "")
    assert "nothing is predicted" in hand.window.panel.error_text
    hand.key("M", "Control")
    hand.type("viewfinder_hand")
    hand.key("R")
    wait_for(hand, lambda: "something else" in hand.window.panel.error_text)
    assert hand.session.document.same_as(before)
    hand.window.advising.choose("2")
    hand.key("R")
    wait_for(hand, lambda: not hand.session.document.same_as(before))


def test_too_few_items_and_no_torch_are_said_in_one_line(hand):
    hand.key("L", "Control")
    assert "too few items" in hand.window.panel.error_text
    assert not hand.window.advising.adviser.learning

    lesson = Lesson("here", "there", "ada", FACE, "ours", "nowhere")
    code = "import sys; sys.modules['torch'] = None; from annotate.learning import main; main()"
    with subprocess.Popen(
        [sys.executable, "-c", code],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        text=True, cwd=ROOT,
    ) as child:  # fmt: skip
        child.stdin.write(json.dumps(asdict(lesson)) + "\n")
        child.stdin.flush()
        (said,) = child.stdout.read().splitlines()
        assert child.wait(60) == 1
    assert "needs the package torch" in json.loads(said)["error"]


def test_what_was_refined_is_learned_in_the_background_and_predicts_from_then_on(
    window, request, tmp_path
):
    rng = np.random.default_rng(5)
    dataset = write_sample_project(tmp_path / "many", rng, count=12, width=256, height=256)
    truth = {label.sample_id: label.keypoints_px for label in dataset.labels("synthetic")}
    bot = request.getfixturevalue("qtbot")
    with AnnotationSession.open(tmp_path / "many", annotator="ada") as session:
        for index in range(11):
            session.go(index)
            points = truth[session.item.key.sample_id].astype(float)
            session.move_many(Move(tuple(range(478)), tuple(map(tuple, points.tolist()))))
            session.accept()
        session.go(11)
        window.show_session(session)
        hand = Hand(bot, window.viewer, window, session)
        adviser = window.advising.adviser
        adviser.steps = 10
        hand.key("L", "Control")
        work, pid = adviser._work, adviser._learning.pid
        assert os.getpriority(os.PRIO_PROCESS, os.getpid()) < 10
        wait_for(hand, lambda: adviser.lesson_text.startswith("learning: 1"), 200)
        assert os.getpriority(os.PRIO_PROCESS, pid) >= 10
        hand.drag(NOSE, 12, 0)  # work goes on meanwhile
        assert hand.stored() is not None
        wait_for(hand, lambda: not adviser.learning, 200)
        assert window.panel.error_text == ""
        assert "items learned" in window.panel.saved_text
        assert not work.exists()
        (bundle,) = learned_models(tmp_path / "many", FACE)
        assert (
            read_bundle(bundle).card.parent
            == read_bundle(ROOT / "runtime/data/viewfinder_face.task").sha256
        )
        assert adviser.model(FACE) == str(bundle)
        assert bundle.stem in window.panel.model_text

        hand.key("L", "Control")  # and a second one is stopped by the same key
        work = adviser._work
        hand.key("L", "Control")
        assert not adviser.learning
        assert not work.exists()
        assert learned_models(tmp_path / "many", FACE) == [bundle]


def test_distances_and_colours_say_what_they_should():
    points = np.random.default_rng(0).uniform(0, 100, (478, 2))
    document = new_document(FACE, points)
    length = document.topology.normalising_length(points)
    model = points + [0.0256 * length, 0.0]
    percent = disagreement.apart_percent(document, model)
    np.testing.assert_allclose(percent, 2.56)
    yellow = disagreement.colours(percent, FACE)
    np.testing.assert_allclose(
        yellow, np.tile([0xF4 / 255, 0xF0 / 255, 0x6A / 255, 1], (478, 1)), atol=1e-6
    )
    model[3] = np.nan
    percent = disagreement.apart_percent(document, model)
    assert np.isnan(percent[3])
    assert disagreement.colours(percent, FACE)[3, 3] < 0.5


def test_what_is_confirmed_stays_and_the_same_answer_is_no_edit():
    rng = np.random.default_rng(1)
    points = rng.uniform(0, 100, (21, 2))
    document = apply(new_document("hand21@1", points), Move((4,), ((3.0, 4.0),), (4,)))
    change = disagreement.predicted(document, points + 1.0, "abc")
    assert change is not None
    assert change.by_model
    after = apply(document, change)
    np.testing.assert_array_equal(after.keypoints_px[4], [3.0, 4.0])
    others = np.arange(21) != 4
    np.testing.assert_allclose(after.keypoints_px[others], points[others] + 1.0)
    assert disagreement.predicted(after, after.keypoints_px, "abc") is None
    missing = replace(document, keypoints_px=np.where(np.arange(21)[:, None] == 7, np.nan, points))
    assert np.isfinite(
        apply(missing, disagreement.predicted(missing, points, "abc")).keypoints_px
    ).all()


@pytest.mark.parametrize("sign", [1, -1])
def test_a_face_follows_what_was_placed_smoothly(sign):
    from annotate.sample import drawn_face

    _, points = drawn_face(np.random.default_rng(2))
    document = apply(
        new_document(FACE, points),
        Move((61,), ((points[61, 0] + sign * 12.0, points[61, 1]),), (61,)),
    )
    after = apply(document, disagreement.predicted(document, points, "abc"))
    shift = (after.keypoints_px - points)[:, 0] * sign
    assert shift[61] == 12.0
    assert shift[[76, 62, 146]].min() > 3.0  # beside the corner of the mouth
    assert shift[10] == 0.0  # the forehead
