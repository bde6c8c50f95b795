"""A real napari window under a real display, worked with real mouse and key events."""

from __future__ import annotations

import os
import subprocess
import time

import numpy as np
import pytest

from annotate import drawing
from bootstrap.dataset import Dataset, DatasetInfo, Label, Sample
from runtime.errors import ViewfinderError
from runtime.image import encode_image, read_image
from tests.annotate.conftest import open_session
from tests.annotate.test_session import COMMAND, ROOT

NOSE = 5
"""On the bridge of the nose, and no handle: it moves alone."""
MOUTH_CORNER = 61


def test_a_drag_moves_one_keypoint_and_is_on_the_disk_when_it_ends(hand):
    before = hand.session.document
    zoom = hand.viewer.scene.camera.zoom
    hand.drag(NOSE, 30, -20)
    after = hand.session.document
    moved = after.keypoints_px[NOSE] - before.keypoints_px[NOSE]
    np.testing.assert_allclose(moved, np.array([30, -20]) / zoom, atol=1e-6)
    others = np.arange(478) != NOSE
    np.testing.assert_array_equal(after.keypoints_px[others], before.keypoints_px[others])
    assert hand.stored().same_as(after)
    np.testing.assert_allclose(hand.drawn_px(), after.keypoints_px)


def test_contours_follow_while_the_button_is_held(hand):
    from qtpy.QtCore import QPoint

    before = hand.window.canvas.contour_vertices_px().copy()
    layout = drawing.line_layout("face478@1")
    pulls = ((layout.knots == NOSE) & (layout.basis != 0)).any(axis=1)
    place = hand.press(NOSE)
    hand.mouse("MouseMove", place + QPoint(25, 10))
    during = hand.window.canvas.contour_vertices_px()
    followed = (np.abs(during - before) > 1e-3).any(axis=1)
    np.testing.assert_array_equal(followed, pulls)
    at = np.linalg.norm(during - hand.drawn_px()[NOSE], axis=1)
    assert at.min() < 1e-3  # the line goes through it
    assert hand.stored() is None  # nothing is said to be done yet
    hand.mouse("MouseButtonRelease", place + QPoint(25, 10))
    assert hand.stored() is not None


def test_a_step_of_a_drag_paints_what_a_whole_repaint_would(hand):
    from qtpy.QtCore import QPoint

    def painted() -> np.ndarray:
        hand.bot.wait(30)
        return hand.viewer.screenshot(canvas_only=True, flash=False)

    still = painted()
    place = hand.press(NOSE, shift=True)
    hand.mouse("MouseMove", place + QPoint(30, 12), shift=True)
    step = painted()
    hand.window.canvas.points.refresh()
    hand.window.canvas._draw_marks()
    whole = painted()
    hand.mouse("MouseButtonRelease", place + QPoint(30, 12), shift=True)
    assert (step != still).any(axis=2).sum() > 200
    np.testing.assert_array_equal(step, whole)


def test_going_on_in_the_middle_of_a_drag_changes_no_item(hand):
    from qtpy.QtCore import QPoint

    place = hand.press(NOSE)
    hand.mouse("MouseMove", place + QPoint(25, 10))
    hand.key("N")
    hand.mouse("MouseMove", place + QPoint(35, 20))
    hand.mouse("MouseButtonRelease", place + QPoint(35, 20))
    assert hand.session.index == 1
    assert hand.session.store.revisions() == []
    np.testing.assert_allclose(hand.drawn_px(), hand.session.document.keypoints_px)
    hand.drag(NOSE, 10, 10)  # and the next drag is an ordinary one
    assert len(hand.session.store.revisions()) == 2


def test_a_shift_drag_draws_neighbours_along_as_one_step(hand):
    before = hand.session.document
    hand.drag(NOSE, 20, 0, shift=True)
    changed = (hand.session.document.keypoints_px != before.keypoints_px).any(axis=1)
    assert 5 < changed.sum() < 300
    hand.key("Z", "Control")
    assert hand.session.document.same_as(before)
    np.testing.assert_allclose(hand.drawn_px(), before.keypoints_px)


def test_keys_undo_redo_and_undo_across_items(hand):
    first = hand.session.document
    hand.drag(NOSE, 15, 15)
    dragged = hand.session.document
    hand.key("N")
    assert hand.session.index == 1
    hand.key("Z", "Control")
    assert hand.session.index == 0
    assert hand.session.document.same_as(first)
    assert hand.stored().same_as(first)
    hand.key("Y", "Control")
    assert hand.session.document.same_as(dragged)
    hand.key("Z", "Control")
    hand.key("Z", "Control", "Shift")
    assert hand.session.document.same_as(dragged)
    np.testing.assert_allclose(hand.drawn_px(), dragged.keypoints_px)


def test_keys_move_through_the_queue_accept_and_flag(hand):
    for key, index in (("N", 1), ("Right", 2), ("P", 1), ("Left", 0), ("Left", 0)):
        hand.key(key)
        assert hand.session.index == index
    np.testing.assert_array_equal(hand.window.canvas.picture.data, hand.session.picture())
    hand.key("X")
    hand.type("2")
    assert (hand.session.document.status, hand.session.document.note) == ("flagged", "hidden")
    hand.key("X")
    assert hand.session.document.status == "open"
    hand.key("Return")
    assert hand.session.document_at(0).status == "done"
    assert hand.session.index == 1
    assert hand.stored() is None
    hand.key("S")
    assert hand.session.document_at(1).status == "skipped"
    assert hand.session.index == 2
    hand.key("Z", "Control")
    assert (hand.session.index, hand.session.document.status) == (1, "open")


def test_visibility_of_the_keypoint_under_the_cursor(hand):
    hand.mouse("Hover", hand.position(*hand.session.document.keypoints_px[NOSE]))
    assert hand.window.canvas.hovered == NOSE
    hand.key("V")
    assert hand.session.document.visibility[NOSE] == 1
    colour = hand.window.canvas.points.face_color[NOSE]
    np.testing.assert_allclose(colour[:3], drawing.rgba("#ff9f1c")[:3], atol=0.01)
    hand.mouse("Hover", hand.position(2, 2))
    assert hand.window.canvas.hovered is None


def test_a_drag_beside_the_keypoints_moves_the_view_and_nothing_else(hand):
    from qtpy.QtCore import QPoint

    centre = hand.viewer.scene.camera.center
    place = QPoint(8, 8)
    hand.mouse("MouseButtonPress", place)
    hand.mouse("MouseMove", place + QPoint(40, 30))
    hand.mouse("MouseButtonRelease", place + QPoint(40, 30))
    assert hand.viewer.scene.camera.center != centre
    assert hand.stored() is None
    # And after dragging a keypoint the view can be moved again.
    hand.key("F")
    hand.drag(NOSE, 10, 0)
    assert hand.window.canvas.points.mouse_pan


def test_napari_s_own_tools_are_kept_too(hand):
    from napari.layers.base import ActionType

    points = hand.window.canvas.points
    points.data[7] += 3.0
    points.events.data(
        value=points.data, action=ActionType.CHANGED, data_indices=(7,), vertex_indices=((),)
    )
    assert hand.stored().same_as(hand.session.document)
    np.testing.assert_allclose(hand.drawn_px(), hand.session.document.keypoints_px)
    points.selected_data = {3, 4}
    points.remove_selected()  # keypoints can't be deleted: they come back
    assert len(points.data) == 478
    np.testing.assert_allclose(hand.drawn_px(), hand.session.document.keypoints_px)


def test_what_cannot_be_saved_is_told_and_taken_back(hand, monkeypatch):
    def fail(*_arguments: object, **_options: object) -> None:
        raise ViewfinderError("the disk is full")

    before = hand.session.document
    monkeypatch.setattr(hand.session.store, "record", fail)
    hand.drag(NOSE, 30, 30)
    assert hand.window.panel.error_text == "the disk is full"
    np.testing.assert_allclose(hand.drawn_px(), before.keypoints_px)
    monkeypatch.undo()
    hand.drag(NOSE, 30, 30)
    assert hand.window.panel.error_text == ""
    assert hand.stored().same_as(hand.session.document)


def test_the_layer_is_exported_by_key(hand):
    hand.drag(NOSE, 5, 5)
    hand.key("E", "Control")
    (label,) = hand.session.dataset.labels("human/ada")
    np.testing.assert_allclose(label.keypoints_px, hand.session.document.keypoints_px, rtol=1e-6)


def test_markers_lines_and_pixels_coincide_on_the_screen(window, request, tmp_path):
    """The half pixel: what is drawn over a pixel's centre is seen in the middle of that pixel."""
    width, height, row = 41, 31, 12
    image = np.zeros((height, width, 3), np.uint8)
    image[row] = 255
    dataset = Dataset.create(tmp_path / "dots", DatasetInfo(name="dots", generator="test"))
    x = np.linspace(5, 35, 21)
    label = Label(
        sample_id="a",
        topology="hand21@1",
        keypoints_px=np.stack([x, np.full(21, row + 0.5)], axis=1),
        source="test",
    )
    sample = Sample(
        sample_id="a",
        image=encode_image(image, ".png"),
        extension="png",
        width=width,
        height=height,
    )
    dataset.write_shard(0, [sample], {"synthetic": [label]})
    for hand in open_session(window, request, dataset.root):
        canvas = hand.window.canvas
        canvas.fit(whole=True)
        rows = {}
        shown = {"picture": canvas.picture, "points": canvas.points, "lines": None}
        for name in shown:
            canvas.picture.visible = name == "picture"
            canvas.points.visible = name == "points"
            canvas.marks.show_lines(name == "lines")
            hand.bot.wait(30)
            grey = window.viewer.screenshot(canvas_only=True, flash=False)[..., :3].mean(axis=2)
            lit = np.abs(grey - np.median(grey)) > 40
            assert lit.sum() > 100, name
            rows[name] = np.nonzero(lit)[0].mean()
        zoom = window.viewer.scene.camera.zoom
        canvas.picture.visible = canvas.points.visible = True
        canvas.marks.show_lines(True)
    assert zoom > 10  # half a pixel of the picture would show
    assert rows["points"] == pytest.approx(rows["picture"], abs=1.5)
    assert rows["lines"] == pytest.approx(rows["picture"], abs=1.5)


def test_a_damaged_picture_is_told_and_the_next_one_shows(project, window, request):
    tar = next(project.glob("shards/*.tar"))
    data = bytearray(tar.read_bytes())
    data[700:900] = bytes(200)
    tar.write_bytes(bytes(data))
    for hand in open_session(window, request, project):
        assert "00000000" in hand.window.panel.error_text
        hand.key("N")
        np.testing.assert_array_equal(hand.window.canvas.picture.data, hand.session.picture())


def test_the_command_saves_a_picture_of_its_window(project, display, tmp_path):
    """End to end in a process of its own; OpenCV's Qt plugins mustn't get in the way."""
    out = tmp_path / "window.png"
    done = subprocess.run(
        [*COMMAND, str(project), "--annotator", "ada", "--screenshot", str(out)],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**os.environ, "DISPLAY": display},
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    picture = read_image(out)
    assert picture.shape == (800, 1280, 3)
    assert len(np.unique(picture.reshape(-1, 3), axis=0)) > 1000  # a face, not an empty canvas


def test_qt_plugins_of_opencv_are_forgotten_and_the_user_s_kept(display, monkeypatch):
    import annotate.opening as module

    monkeypatch.setenv("QT_QPA_PLATFORM_PLUGIN_PATH", "/x/site-packages/cv2/qt/plugins")
    module.prepare_qt()
    assert "QT_QPA_PLATFORM_PLUGIN_PATH" not in os.environ
    monkeypatch.setenv("QT_QPA_PLATFORM_PLUGIN_PATH", "/home/ada/qt/plugins")
    module.prepare_qt()
    assert os.environ["QT_QPA_PLATFORM_PLUGIN_PATH"] == "/home/ada/qt/plugins"


def test_the_next_picture_is_fetched_ahead(hand):
    hand.key("N")
    key = hand.session.items[2].key.sample_id
    deadline = time.monotonic() + 5
    while not hand.session.pictures.ready(key):
        assert time.monotonic() < deadline
        time.sleep(0.01)
