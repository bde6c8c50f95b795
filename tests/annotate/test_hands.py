"""Hands: what is implausible, drags that keep bones' lengths, handedness, depth from the side."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from annotate.editing import Move, SetHandedness, apply, new_document
from annotate.editing_json import (
    change_from_json,
    change_to_json,
    document_from_json,
    document_to_json,
)
from annotate.hand_bones import (
    HAND,
    PARENT,
    Implausible,
    begin_bone_drag,
    bends,
    depth_of,
    implausible,
    in_space,
)
from annotate.session import AnnotationSession
from bootstrap.dataset import Dataset
from runtime.errors import ViewfinderError
from tests.annotate.conftest import open_session
from tests.annotate.hands import CAMERA, hand_project, made_hand

TIP, PIP = 8, 6


def document_of(points, handedness="right"):
    return new_document(HAND, CAMERA.project(points), None, depth_of(points), handedness)


def lengths(document):
    points = in_space(document.keypoints_px, document.depth, CAMERA)
    return np.linalg.norm(points[1:] - points[list(PARENT[1:])], axis=1)


hands = st.builds(
    made_hand, st.floats(0, 70), st.floats(-60, 60), st.sampled_from(["left", "right"])
)


@given(hands)
def test_points_in_space_are_those_that_were_seen(points):
    document = document_of(points)
    np.testing.assert_allclose(
        in_space(document.keypoints_px, document.depth, CAMERA) * points[0, 2], points, atol=1e-12
    )


@given(hands, st.integers(0, 20), st.floats(0, 320), st.floats(0, 240))
def test_a_drag_keeps_every_bone_s_length_and_moves_only_what_hangs_on_it(points, index, x, y):
    document = document_of(points)
    after = apply(document, begin_bone_drag(document, index, CAMERA).move(x, y))
    np.testing.assert_allclose(lengths(after), lengths(document), rtol=1e-9)
    moved = (after.keypoints_px != document.keypoints_px).any(axis=1)
    finger = range(index, (index - 1) // 4 * 4 + 5) if index else range(21)
    assert set(np.flatnonzero(moved)) <= set(finger)


@given(hands, st.integers(1, 20))
def test_a_drag_that_goes_nowhere_changes_nothing_and_one_within_reach_gets_there(points, index):
    document = document_of(points)
    drag = begin_bone_drag(document, index, CAMERA)
    np.testing.assert_allclose(
        drag.at(*document.keypoints_px[index]), document.keypoints_px[drag.indices], atol=1e-6
    )
    # Half of the way to the joint it is always within reach.
    target = (document.keypoints_px[index] + document.keypoints_px[PARENT[index]]) / 2
    np.testing.assert_allclose(drag.at(*target)[0], target, atol=1e-6)


@given(st.floats(0, 70), st.floats(-60, 60), st.sampled_from(["left", "right"]))
def test_bends_are_those_the_hand_was_made_with(bend, turn, handedness):
    found = bends(made_hand(bend, turn, handedness), handedness)
    for finger in ("index", "middle", "ring", "pinky"):
        for joint in ("mcp", "pip", "dip"):
            _, angle = found[f"{finger}_{joint}_flexion"]
            assert np.degrees(angle) == pytest.approx(bend, abs=1e-3)
    other = {"left": "right", "right": "left"}[handedness]
    back = bends(made_hand(bend, turn, handedness), other)
    assert back["index_pip_flexion"][1] == pytest.approx(-found["index_pip_flexion"][1])


@given(st.floats(0, 75), st.floats(-60, 60), st.sampled_from(["left", "right"]))
def test_people_s_hands_are_plausible(bend, turn, handedness):
    points = made_hand(bend, turn, handedness)
    assert implausible(document_of(points, handedness), CAMERA) == Implausible()
    flat = new_document(HAND, CAMERA.project(points))
    assert implausible(flat, CAMERA).joints == frozenset()


def test_what_can_t_be_is_named():
    points = made_hand()
    longer = points.copy()
    longer[TIP] += 1.2 * (points[TIP] - points[TIP - 1])
    assert implausible(document_of(longer), CAMERA).bones == {TIP}
    backwards = made_hand(bend_deg=-60.0)
    wrong = implausible(document_of(backwards), CAMERA)
    assert {PIP, PIP + 1, 10, 11, 14, 15, 18, 19} <= wrong.joints
    assert wrong.bones == frozenset()
    flat = new_document(HAND, CAMERA.project(longer + 2.0 * (longer - points)))
    assert TIP in implausible(flat, CAMERA).bones


def test_depth_and_handedness_survive_the_store(tmp_path):
    document = document_of(made_hand())
    assert document_from_json(document_to_json(document)).same_as(document)
    move = Move((TIP,), ((1.0, 2.0),), (TIP,), (0.9,))
    for change in (move, SetHandedness("left")):
        assert change_from_json(change_to_json(change)) == change
    after = apply(apply(document, move), SetHandedness("left"))
    assert (after.depth[TIP], after.handedness) == (0.9, "left")
    for wrong in (SetHandedness("both"), Move((1,), ((0.0, 0.0),), (), (-1.0,))):
        with pytest.raises(ViewfinderError):
            apply(document, wrong)


def test_what_is_exported_lies_in_space_where_it_was_put(tmp_path):
    root = hand_project(tmp_path / "hands")
    with AnnotationSession.open(root, annotator="ada") as session:
        before = session.item.label
        drag = begin_bone_drag(session.document, TIP, session.camera())
        x, y = session.document.keypoints_px[PIP]
        session.move_many(drag.move(x + 3, y))
        session.toggle_handedness()
        session.accept()
        session.export()
    (label,) = Dataset.open(root).labels("human/ada")
    assert label.handedness == "left"
    found, start = label.keypoints_camera_m, before.keypoints_camera_m
    others = np.arange(21) != TIP
    np.testing.assert_allclose(found[others], start[others], atol=1e-6)
    np.testing.assert_allclose(CAMERA.project(found), label.keypoints_px, atol=1e-3)
    bone = [np.linalg.norm(p[TIP] - p[TIP - 1]) for p in (found, start)]
    assert bone[0] == pytest.approx(bone[1], rel=1e-5)


@pytest.fixture
def hand_window(window, request, tmp_path):
    yield from open_session(window, request, hand_project(tmp_path / "hands"))


def test_a_dragged_fingertip_keeps_its_bone_and_stretches_when_told(hand_window):
    hand = hand_window
    before = hand.session.document
    hand.drag(TIP, 40, 30)
    after = hand.session.document
    assert (after.keypoints_px[TIP] != before.keypoints_px[TIP]).any()
    np.testing.assert_allclose(lengths(after), lengths(before), rtol=1e-6)
    assert hand.stored().same_as(after)
    np.testing.assert_allclose(hand.drawn_px(), after.keypoints_px, atol=1e-9)
    hand.key("Z", "Control")
    assert hand.session.document.same_as(before)
    hand.key("L")
    hand.drag(TIP, -90, -140)
    hand.key("L")
    assert TIP in hand.window.canvas.wrong.bones
    hand.bot.wait(30)
    seen = hand.viewer.screenshot(canvas_only=True, flash=False)[..., :3].astype(int)
    red = (np.abs(seen - [255, 59, 48]).sum(axis=2) < 30).sum()
    assert red > 100
    hand.key("Z", "Control")
    assert hand.window.canvas.wrong == Implausible()


def test_h_changes_the_hand_and_undo_changes_it_back(hand_window):
    hand = hand_window
    hand.key("H")
    assert hand.stored().handedness == "left"
    assert hand.window.canvas.wrong.joints  # a left hand would bend backwards
    hand.key("Z", "Control")
    assert hand.session.document.handedness == "right"
    assert not hand.window.canvas.wrong.joints


def send_mouse(widget, kind, x, y):
    """One event of the left button, straight to a widget."""
    from qtpy.QtCore import QEvent, QPointF, Qt
    from qtpy.QtGui import QMouseEvent
    from qtpy.QtWidgets import QApplication

    left, none = Qt.MouseButton.LeftButton, Qt.MouseButton.NoButton
    place = QPointF(x, y)
    event = QMouseEvent(
        getattr(QEvent.Type, kind),
        place,
        QPointF(widget.mapToGlobal(place)),
        none if kind == "MouseMove" else left,
        none if kind == "MouseButtonRelease" else left,
        Qt.KeyboardModifier.NoModifier,
    )
    QApplication.sendEvent(widget, event)


def test_depth_is_dragged_in_the_side_view(hand_window):
    hand = hand_window
    side = hand.window.insets.side
    assert side.isVisible()
    assert not hand.window.insets.views[0].isVisible()
    before = hand.session.document
    x, y = side._to_view(side._places())[TIP]
    for kind, at in (
        ("MouseButtonPress", x),
        ("MouseMove", x + 20),
        ("MouseMove", x + 40),
        ("MouseButtonRelease", x + 40),
    ):
        send_mouse(side, kind, at, y)
    after = hand.stored()
    assert after.depth[TIP] > before.depth[TIP]
    np.testing.assert_array_equal(after.keypoints_px, before.keypoints_px)
    others = np.arange(21) != TIP
    np.testing.assert_array_equal(after.depth[others], before.depth[others])
    hand.key("Z", "Control")
    assert hand.session.document.same_as(before)


def test_a_face_has_its_close_views_again(hand):
    assert hand.window.insets.views[0].isVisible()
    assert not hand.window.insets.side.isVisible()
