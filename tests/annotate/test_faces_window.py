"""What helps with faces, in a real window: contours, asked points, close views, the view."""

from __future__ import annotations

import numpy as np
import pytest

from annotate import drawing
from annotate.contours import contour_points, handles
from annotate.guide import placing_order
from annotate.keys import ACTIONS
from runtime.topology import topology

FACE = topology("face478@1")
CORNER, OTHER_CORNER, NOSE = 61, 291, 5
LIPS = FACE.contours["lips_outer"].indices


def moved(hand, before) -> np.ndarray:
    return (hand.session.document.keypoints_px != before.keypoints_px).any(axis=1)


def test_a_handle_bends_its_contour_and_the_mesh_follows_within_the_reach(hand):
    before, zoom = hand.session.document, hand.viewer.scene.camera.zoom
    hand.drag(CORNER, -24, 8)
    after = hand.session.document
    shift = after.keypoints_px - before.keypoints_px
    np.testing.assert_allclose(shift[CORNER], np.array([-24, 8]) / zoom, atol=1e-6)
    others = [i for i in handles("face478@1")["lips_outer"] if i != CORNER]
    np.testing.assert_allclose(shift[others], 0.0, atol=1e-9)
    changed = moved(hand, before)
    assert changed[[146, 185]].all()  # of the contour, beside the corner
    assert changed[list(FACE.parts["skin"])].sum() > 5
    assert not changed[list(FACE.parts["eyelids"])].any()
    assert np.flatnonzero(after.placed).tolist() == [CORNER]
    assert hand.stored().same_as(after)


def test_ctrl_moves_a_handle_alone_and_one_undo_takes_a_bend_back(hand):
    before = hand.session.document
    hand.drag(CORNER, -20, 5, control=True)
    assert np.flatnonzero(moved(hand, before)).tolist() == [CORNER]
    hand.key("Z", "Control")
    hand.drag(CORNER, -20, 5)
    hand.key("Z", "Control")
    assert hand.session.document.same_as(before)


def test_keys_change_how_far_a_drag_reaches_and_the_circle_shows_it(hand):
    from qtpy.QtCore import QPoint

    tools = hand.window.canvas.tools
    hand.mouse("Hover", hand.position(*hand.session.document.keypoints_px[NOSE]))
    reach = tools.reach
    hand.key("BracketRight")
    assert tools.reach > reach
    assert hand.window.canvas.marks._circle.visible
    hand.key("BracketLeft")
    assert tools.reach == pytest.approx(reach)
    place = hand.press(NOSE, shift=True)
    hand.mouse("MouseMove", place + QPoint(10, 0), shift=True)
    circle = hand.window.canvas.marks._circle
    assert circle.visible
    radius = np.linalg.norm(circle.pos[:, :2] + 0.5 - hand.drawn_px()[NOSE], axis=1)
    np.testing.assert_allclose(radius, tools.reach_px(hand.session.document), rtol=1e-3)
    hand.mouse("MouseButtonRelease", place + QPoint(10, 0), shift=True)
    assert not circle.visible


def test_both_sides_at_once_until_the_key_again(hand):
    hand.key("Y")
    before = hand.session.document
    hand.drag(CORNER, -18, 0)
    shift = hand.session.document.keypoints_px - before.keypoints_px
    assert shift[CORNER][0] < 0 < shift[OTHER_CORNER][0]
    hand.key("Y")
    before = hand.session.document
    hand.drag(CORNER, 0, -12, control=True)
    assert not moved(hand, before)[OTHER_CORNER]


def test_contours_are_confirmed_one_after_the_other(hand):
    assert hand.window.canvas.active == "lips_outer"
    hand.key("Space")
    document = hand.session.document
    assert document.confirmed == {"lips_outer"}
    assert hand.window.canvas.active == "lips_inner"
    assert hand.stored().confirmed == {"lips_outer"}
    assert "1 of 13" in hand.window.panel._contour.text()
    hand.key("J")
    assert hand.window.canvas.active == "right_eye"
    hand.key("J", "Shift")
    hand.key("J", "Shift")
    assert hand.window.canvas.active == "oval" or hand.window.canvas.active == "nose_wings"
    for _ in range(12):
        hand.key("Space")
    assert hand.session.document.confirmed == FACE.contours.keys()
    assert hand.window.canvas.active is None
    hand.key("Space")  # nothing is left to confirm, and nothing happens
    # What is confirmed stays where it is when something beside it is drawn along.
    before = hand.session.document
    hand.drag(205, 15, 15, shift=True)
    on_contour = drawing.on_contour("face478@1")
    assert moved(hand, before).any()
    assert not moved(hand, before)[on_contour].any()
    for _ in range(14):
        hand.key("Z", "Control")
    assert hand.session.document.confirmed == set()


def test_a_contour_is_marked_occluded_and_visible_again(hand):
    points = list(contour_points(FACE, "lips_outer"))
    whole = hand.window.canvas.contour_vertices_px().copy()
    hand.key("O")
    assert (hand.session.document.visibility[points] == 1).all()
    assert (hand.session.document.visibility == 1).sum() == len(points)
    pieces = hand.window.canvas.contour_vertices_px().reshape(-1, 4)
    gone = (pieces[:, :2] == pieces[:, 2:]).all(axis=1)
    assert gone.sum() == len(points) * 3 // 2  # dashed
    hand.key("O")
    assert (hand.session.document.visibility == 2).all()
    np.testing.assert_array_equal(hand.window.canvas.contour_vertices_px(), whole)


def test_asked_points_are_placed_by_a_click_or_kept_by_a_key(hand):
    order, fitted = placing_order(), hand.viewer.scene.camera.zoom
    hand.key("G")
    tools = hand.window.canvas.tools
    assert tools.asked == order[0]
    assert hand.viewer.scene.camera.zoom > 1.5 * fitted  # near the eye
    before = hand.session.document
    target = before.keypoints_px[order[0]] + [3.0, -2.0]
    place = hand.position(*target)
    hand.mouse("MouseButtonPress", place)
    hand.mouse("MouseButtonRelease", place)
    after = hand.session.document
    zoom = hand.viewer.scene.camera.zoom
    np.testing.assert_allclose(after.keypoints_px[order[0]], target, atol=1.0 / zoom)
    assert (after.keypoints_px != before.keypoints_px).any(axis=1).sum() > 400
    assert tools.asked == order[1]
    hand.key("Space")
    kept = hand.session.document
    assert np.flatnonzero(kept.placed).tolist() == sorted(order[:2])
    np.testing.assert_array_equal(kept.keypoints_px, after.keypoints_px)
    assert hand.stored().same_as(kept)
    hand.key("N")  # the next item is asked for from its beginning
    assert tools.asked == order[0]
    hand.key("G")
    assert tools.asked is None
    assert hand.viewer.scene.camera.zoom == pytest.approx(fitted, rel=0.2)


def test_all_asked_points_end_the_asking(hand):
    hand.key("G")
    for _ in placing_order():
        hand.key("Space")
    assert hand.window.canvas.tools.asked is None
    assert hand.session.document.placed.sum() == len(placing_order())


def test_a_keypoint_is_dragged_in_a_close_view(hand):
    from qtpy.QtCore import QPoint, Qt

    view = hand.window.insets.views[2]
    assert view._region == "mouth"
    before = hand.session.document
    (at,) = view._to_view(before.keypoints_px[[CORNER]])
    start = QPoint(round(at[0]), round(at[1]))
    hand.bot.mousePress(view, Qt.MouseButton.LeftButton, pos=start)
    hand.bot.mouseMove(view, start + QPoint(6, 3))
    hand.bot.mouseMove(view, start + QPoint(12, 6))
    assert hand.stored() is None
    hand.bot.mouseRelease(view, Qt.MouseButton.LeftButton, pos=start + QPoint(12, 6))
    scale = view.width() / view._box[2]
    shift = hand.session.document.keypoints_px[CORNER] - before.keypoints_px[CORNER]
    np.testing.assert_allclose(shift, np.array([12, 6]) / scale, atol=0.35 / scale * 12)
    assert hand.stored().same_as(hand.session.document)
    hand.key("I")
    assert not hand.window.insets.isVisible()
    hand.key("I")
    assert hand.window.insets.isVisible()


def test_a_close_view_shows_the_same_place_as_the_picture(hand):
    """A pixel's centre in the picture is where the view says it is."""
    view = hand.window.insets.views[2]
    picture = np.zeros((240, 320, 3), np.uint8)
    spot = np.array([round(c) + 0.5 for c in hand.session.document.keypoints_px[13]])
    picture[int(spot[1]), int(spot[0])] = 255
    hand.window.canvas._raw = picture
    view.look()
    grey = view._pixels[..., 0].astype(float)
    rows, columns = np.indices(grey.shape) + 0.5
    seen = np.array([(columns * grey).sum(), (rows * grey).sum()]) / grey.sum()
    np.testing.assert_allclose(seen, view._to_view(spot[None])[0], atol=0.3)


def test_opacity_and_contrast_have_keys(hand):
    canvas = hand.window.canvas
    raw = hand.session.picture()
    hand.key("Period")
    more = canvas.picture.data.astype(int)
    assert more.std() > 1.1 * raw.std()
    hand.key("Comma")
    np.testing.assert_array_equal(canvas.picture.data, raw)
    hand.key("Comma")
    assert canvas.picture.data.std() < 0.9 * raw.std()
    hand.key("N")  # the next picture is shown with the same contrast
    assert canvas.picture.data.std() < 0.9 * hand.session.picture().std()
    hand.key("Period")
    for _ in range(5):
        hand.key("Minus")
    assert canvas.points.opacity == canvas.marks._line.opacity == pytest.approx(0.15)
    for _ in range(5):
        hand.key("Equal")
    assert canvas.points.opacity == 1.0


def test_the_overview_says_every_key_and_goes_with_the_next(hand):
    hand.key("Question", "Shift")
    overview = hand.window.overview
    assert overview.isVisible()
    text = overview.text().replace("&nbsp;", " ")
    assert all(action.title in text for action in ACTIONS)
    main = hand.viewer.window._qt_window
    assert main.rect().contains(overview.geometry())
    hint = overview.sizeHint()
    assert hint.width() <= overview.width()
    assert hint.height() <= overview.height()
    hand.key("N")  # closes it, and does nothing else
    assert not overview.isVisible()
    assert hand.session.index == 0


def test_filters_and_flags_are_typed_and_escape_leaves(hand):
    hand.key("X")
    hand.type("a hand over the mouth")
    assert hand.session.document.note == "a hand over the mouth"
    hand.key("N")
    hand.key("X")
    hand.escape()
    assert hand.session.document.status == "open"
    hand.key("Slash")
    hand.type("flagged")
    assert hand.session.index == 0
    assert "only: flagged" in hand.window.panel._where.text()
    hand.key("N")
    assert hand.session.index == 0
    hand.key("Slash")
    hand.type("flaged")
    assert "unknown word" in hand.window.panel.error_text
    hand.key("Slash")
    hand.type("done")
    assert "no item" in hand.window.panel.error_text
    hand.key("Slash")
    hand.window.panel.prompt.clear()
    hand.type("")
    hand.key("N")
    assert hand.session.index == 1


def test_theme_and_text_size_have_keys(hand):
    window = hand.window
    hand.key("T", "Control")
    assert (window.theme, hand.viewer.theme) == ("light", "light")
    size = window.panel._item.font().pointSizeF()
    hand.key("Equal", "Control")
    assert window.panel._item.font().pointSizeF() > size
    hand.key("Minus", "Control")
    hand.key("T", "Control")
    assert hand.viewer.theme == "dark"


def test_the_magnet_has_a_key_and_is_said_to_be_on(hand):
    hand.key("M")
    assert "magnet" in hand.window.panel._tools.text()
    before = hand.session.document
    hand.drag(17, 0, 14)
    on_lips = [i for i in LIPS if moved(hand, before)[i]]
    assert 17 in on_lips
    assert hand.stored().same_as(hand.session.document)
    np.testing.assert_allclose(hand.drawn_px(), hand.session.document.keypoints_px)
    hand.key("M")
    assert not hand.window.canvas.tools.magnet


def test_a_failing_disk_is_told_at_once_and_work_goes_on(hand):
    store = hand.session.store
    store._keep_going = True
    (pages,) = store._log.connection.execute("PRAGMA page_count").fetchone()
    store._log.connection.execute(f"PRAGMA max_page_count = {pages}")
    edits = 0
    while not hand.window.panel.error_text:
        hand.drag(NOSE, 6, 4)
        edits += 1
        assert edits < 60
    assert "NOT ON THE DISK: 1 changes" in hand.window.panel.error_text
    hand.drag(NOSE, 5, 5)
    hand.key("Z", "Control")
    hand.key("N")
    hand.drag(NOSE, 5, 5)
    wanted = [hand.session.document_at(i) for i in (0, 1)]
    assert "4 changes" in hand.window.panel.error_text
    hand.window.try_to_save()  # as the timer does, once there is room
    assert hand.window.panel.error_text == ""
    assert "saved at last" in hand.window.panel.saved_text
    assert hand.stored().same_as(wanted[1])
    hand.key("P")
    assert hand.stored().same_as(wanted[0])
