"""The window for AR recordings, with real mouse and key events."""

from __future__ import annotations

import html
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from annotate.cuboid_handles import facing
from annotate.cuboid_session import CuboidSession
from annotate.keys import BOX_ACTIONS
from arsession.cuboid_evidence import PlacedBox
from arsession.cuboid_file import read_cuboids
from arsession.objectron_writer import write_objectron
from arsession.session import Session
from bootstrap.box_overlap import FACE_LOOPS
from bootstrap.dataset import Dataset
from runtime.camera import Camera
from runtime.image import read_image
from runtime.model_store import missing_released
from tests.annotate.box_hand import BoxHand
from tests.annotate.test_cuboid_session import FOOT_AND_TOP
from tests.arsession.filmed import filmed_session
from tests.arsession.orbit import random_box


@pytest.fixture(scope="module")
def truth() -> PlacedBox:
    return random_box(np.random.default_rng(2))


@pytest.fixture
def recording(truth, tmp_path) -> Path:
    """A drawn box on a printed table, filmed as Objectron has it."""
    write_objectron(filmed_session(truth, 12), tmp_path / "recording")
    return tmp_path / "recording"


class Opened:
    """A window on a recording, closed at the end.

    A viewer of its own, not the one of the keypoints' tests: two windows would share its keys.
    """

    def __init__(self, bot: Any, recording: Path) -> None:
        from annotate.opening import WINDOW_SIZE, make_viewer, prepare_qt

        prepare_qt()
        self.viewer = make_viewer("boxes")
        self.viewer.window._qt_window.resize(*WINDOW_SIZE)
        bot.wait(10)
        from annotate.cuboid_window import CuboidWindow

        self.work = CuboidSession.open(recording, annotator="ada")
        self.window = CuboidWindow(self.viewer, self.work)
        bot.wait(30)
        self.window.settle()
        self.hand = BoxHand(bot, self.window)

    def __enter__(self) -> BoxHand:
        return self.hand

    def __exit__(self, *_: object) -> None:
        self.window.end()
        self.viewer.close()
        self.work.close()


def true_px(hand: BoxHand, truth: PlacedBox) -> np.ndarray:
    return hand.work.views.seen_in(hand.work.frame, truth.points_world_m())


def place(hand: BoxHand, truth: PlacedBox) -> None:
    for corner in FOOT_AND_TOP:
        hand.click(true_px(hand, truth)[corner])


def off_mm(hand: BoxHand, truth: PlacedBox) -> float:
    box = hand.work.fitted(hand.work.chosen).box
    return 1000 * float(np.linalg.norm(box.points_world_m() - truth.points_world_m(), axis=1).max())


def test_open_place_drag_undo_next_frame_restart_export(display, qtbot, recording, truth):
    with Opened(qtbot, recording) as hand:
        assert "front" in hand.window.panel._asked.text()  # a recording without a box asks for one
        for corner in FOOT_AND_TOP[:3]:
            hand.click(true_px(hand, truth)[corner])
        hand.key("Z", "Control")  # while placing, the last click goes
        assert len(hand.work.placement.clicks) == 2
        for corner in FOOT_AND_TOP[2:]:
            hand.click(true_px(hand, truth)[corner])
        assert hand.work.boxes() == [0]
        assert hand.window.panel.saved_text.startswith("placed · saved")
        assert off_mm(hand, truth) < 6
        placed = hand.stored(0)

        # A face is dragged, the box in every other frame moves with it, and back it goes.
        px = true_px(hand, truth)
        turned = facing(truth, hand.work.views.centres_m()[0])
        face = next(int(f) for f in np.flatnonzero(turned) if f != 3)
        grip = hand.at(px[FACE_LOOPS[face] + 1].mean(axis=0))
        away = px[FACE_LOOPS[face] + 1].mean(axis=0) - px[0]
        before = [p.copy() for p, _ in hand.window.strip.row._boxes]
        hand.mouse(hand.window.picture, "Hover", grip)
        assert hand.window.picture.handle.part == "face"
        hand.mouse(hand.window.picture, "MouseButtonPress", grip)
        hand.mouse(hand.window.picture, "MouseMove", grip + 30 * away / np.linalg.norm(away))
        hand.bot.wait(20)
        assert hand.stored(0).same_as(placed)  # nothing is said before the button is up
        after = [p for p, _ in hand.window.strip.row._boxes]
        assert (np.abs(after[0] - before[0]).max(axis=(1, 2)) > 1).all()
        hand.mouse(hand.window.picture, "MouseButtonRelease", grip)
        assert hand.window.panel.saved_text.startswith("moved · saved")
        drawn = hand.stored(0)
        assert not drawn.same_as(placed)
        hand.key("Z", "Control")
        assert hand.stored(0).same_as(placed)

        suggested = hand.work.next_frame()
        assert hand.window.strip.timeline.suggested == suggested
        hand.key("Space")
        assert hand.work.frame == suggested != 0
        for corner in (4, 8):
            hand.drag_corner(corner, true_px(hand, truth)[corner])
        hand.key("C")
        hand.type("box")
        last, frame = hand.stored(0), hand.work.frame

    with Opened(qtbot, recording) as hand:
        assert hand.work.frame == frame
        assert hand.work.document(0).same_as(last)
        assert off_mm(hand, truth) < 4
        hand.key("Return")
        assert hand.stored(0).status == "done"
        hand.key("E", "Control")
        assert "12 labels in frames" in hand.window.panel.saved_text
        views = hand.work.views
    (cuboid,) = read_cuboids(recording / "boxes-ada.json")
    assert cuboid.category == "box"
    labels = Dataset.open(recording / "frames").labels("propagated@ada")
    assert len(labels) == 12
    for label in labels:
        wanted = views.seen_in(int(label.sample_id), truth.points_world_m())
        assert np.linalg.norm(label.keypoints_px - wanted, axis=1).mean() < 3.0


def test_parts_are_drawn_in_space_and_frames_and_boxes_have_keys(display, qtbot, recording, truth):
    with Opened(qtbot, recording) as hand:
        place(hand, truth)
        space, work = hand.window.space, hand.work
        before = work.fitted(0).box
        corner = hand.in_space(before.points_world_m()[8])
        hand.mouse(space, "Hover", corner)
        assert (space.handle.part, space.handle.index) == ("corner", 8)
        view = np.array(space.model.scene.camera.angles)
        hand.drag(space, corner, corner + [9, -9])
        np.testing.assert_array_equal(space.model.scene.camera.angles, view)  # it didn't turn
        faces = {c.face for c in work.cuboid(0).clicks if c.face}
        assert faces == {"right", "top", "front"}
        assert np.abs(work.fitted(0).box.size_m - before.size_m).max() > 1e-4
        empty = hand.in_space(before.centre_m) + [0, -150]
        hand.drag(space, empty, empty + [40, 10])  # beside the box the view turns
        hand.key("V")
        assert not np.allclose(space.model.scene.camera.angles, view)

        hand.key("Right")
        assert work.frame == 1
        hand.key("Left")
        assert work.frame == 0
        hand.key("R")
        assert "front turned" in hand.window.panel.saved_text
        hand.key("N")
        shifted = PlacedBox(truth.rotation, truth.centre_m + [0.2, 0, -0.1], truth.size_m * 0.5)
        shifted = PlacedBox(
            shifted.rotation, shifted.centre_m * [1, 0, 1] + [0, shifted.size_m[1] / 2, 0],
            shifted.size_m,
        )  # fmt: skip
        place(hand, shifted)
        assert work.boxes() == [0, 1]
        hand.key("Tab")
        assert work.chosen == 0
        hand.key("Delete", "Shift")
        assert work.boxes() == [1]
        hand.key("Z", "Control")
        assert work.boxes() == [0, 1]


def test_the_overview_themes_and_the_timeline(display, qtbot, recording, truth):
    from qtpy.QtCore import QPoint, Qt

    with Opened(qtbot, recording) as hand:
        place(hand, truth)
        window = hand.window
        hand.key("Question", "Shift")
        text = html.unescape(window.overview.text()).replace("\N{NO-BREAK SPACE}", " ")
        assert all(action.title in text for action in BOX_ACTIONS)
        hint = window.overview.sizeHint()
        assert hint.width() <= window.overview.width()
        hand.key("N")
        assert hand.work.placement is None  # the key closed the overview, and did nothing else
        hand.key("T", "Control")
        assert (window.viewer.theme, window.space.model.theme) == ("light", "light")
        hand.key("T", "Control")
        line = window.strip.timeline
        assert np.isfinite(line.errors_px).all()
        at = QPoint(round(line._x(7)), line.height() // 2)
        qtbot.mousePress(line, Qt.MouseButton.LeftButton, pos=at)
        assert hand.work.frame == 7
        hand.key("U")
        assert len(window.picture.spread.ends) == 0
        hand.key("U")
        assert len(window.picture.spread.ends) > 0
        row = window.strip.row
        qtbot.waitUntil(
            lambda: all(row.pictures.get(f) is not None for f in row.shown), timeout=9000
        )


class CupPictures:
    """One photograph of a cup as each frame of a recording, made upright as Objectron's are."""

    quarter_turns = 0

    def __init__(self, file: Path) -> None:
        wide = read_image(file)
        band = (wide.shape[1] * 4 // 3 - wide.shape[0]) // 2
        self.rgb = np.pad(wide, ((band, band), (0, 0), (0, 0)), mode="edge")
        self.size = (self.rgb.shape[1], self.rgb.shape[0])

    def has(self, frame: int) -> bool:
        return True

    def read(self, frame: int) -> np.ndarray:
        return self.rgb


@pytest.fixture
def cup_recording(tmp_path) -> Path:
    """A camera that goes a little aside before a real cup."""
    file = Path(__file__).parents[3] / "shared" / "real" / "images" / "smp_cup.png"
    if not file.exists():
        pytest.skip("needs ../shared/real (a photograph of a cup), absent here")
    if missing_released("object_detection_3d_cup", "object_detection_ssd_mobilenetv2_oidv4_fp16"):
        pytest.skip("needs MediaPipe's 3D boxes: viewfinder models fetch mediapipe-objectron")
    pictures = CupPictures(file)
    width, height = pictures.size
    poses = np.tile(np.diag([1.0, -1.0, -1.0, 1.0]), (3, 1, 1))
    poses[:, 0, 3] = [0.0, 0.05, 0.1]
    camera = Camera(1.2 * width, 1.2 * width, width / 2, height / 2, width, height)
    filmed = Session(
        format="test", path=tmp_path, timestamps_s=np.arange(3) / 30.0, world_from_camera=poses,
        world_up="+y", cameras=(camera,), pictures=pictures,
    )  # fmt: skip
    write_objectron(filmed, tmp_path / "cup")
    return tmp_path / "cup"


def test_g_lets_a_network_place_a_box_which_is_an_edit_like_any(display, qtbot, cup_recording):
    with Opened(qtbot, cup_recording) as hand:
        hand.key("C")
        hand.type("cup")
        hand.key("G")
        assert hand.window.panel.error_text == ""
        assert hand.work.boxes() == [0]
        document = hand.stored(0)
        found = document.cuboid
        assert found.category == "cup"
        assert {click.corner for click in found.clicks} == set(range(1, 9))
        # Around the cup, which stands in the middle of the picture.
        px = hand.work.views.seen_in(0, hand.work.fitted(0).box.points_world_m())
        width, height = hand.work.views.size_px[0]
        assert (px[:, 0].min() < 0.35 * width) & (px[:, 0].max() > 0.6 * width)
        np.testing.assert_allclose(px[0], [0.51 * width, 0.48 * height], rtol=0.15)
        hand.drag_corner(1, px[1] + 10.0)
        assert not hand.stored(0).same_as(document)
        hand.key("Z", "Control")
        assert hand.stored(0).same_as(document)
        hand.key("Z", "Control")
        assert hand.work.boxes() == []
        hand.key("C")
        hand.type("shoe")  # there is none, which is said
        hand.key("G")
        assert "found no box" in hand.window.panel.error_text
        assert hand.work.boxes() == []
