"""Drift taken out of a recording's poses while boxes are placed, and work in the background."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from annotate.background import Job
from annotate.cuboid_dragging import PictureDrag
from annotate.cuboid_drift import FILE_NAME, read_refined, write_refined
from annotate.cuboid_export import export_boxes
from annotate.cuboid_handles import Handle
from annotate.cuboid_session import CuboidSession
from annotate.store import STORE_NAME, AnnotationStore
from arsession.cuboid_evidence import PlacedBox
from arsession.objectron_writer import write_objectron
from arsession.readers import open_session
from arsession.views import Views
from bootstrap.dataset import Dataset
from runtime.errors import ViewfinderError
from tests.annotate.test_cuboid_session import FOOT_AND_TOP
from tests.annotate.test_cuboid_window import Opened
from tests.arsession.filmed import SMALL, filmed_session
from tests.arsession.orbit import orbit, random_box

FRAMES = 16


@pytest.fixture(scope="module")
def truth() -> PlacedBox:
    return random_box(np.random.default_rng(2))


def drifting(truth: PlacedBox):
    """A recording whose tracker's poses drift, and the true views."""
    true = orbit(FRAMES, arc_deg=60)
    poses = true.copy()
    steps = np.random.default_rng(3).normal(0, 0.004, (FRAMES, 3))
    poses[:, :3, 3] += np.cumsum(steps, axis=0)
    return filmed_session(truth, FRAMES, poses=poses), Views.of_poses(true, (SMALL,))


def as_objectron(truth: PlacedBox, folder: Path) -> Views:
    """The same recording in files, in folder/recording, whose pictures stand upright; the true
    views of those."""
    write_objectron(filmed_session(truth, FRAMES), folder / "true")
    write_objectron(drifting(truth)[0], folder / "recording")
    return Views.of(open_session(folder / "true"))


def click_corners(work: CuboidSession, truth: PlacedBox, views: Views) -> None:
    """The box as the pictures show it, clicked in three frames."""
    px = views.seen_in(0, truth.points_world_m())
    for corner in FOOT_AND_TOP:
        work.place(tuple(px[corner]), 1.0)
    for frame in (7, FRAMES - 1):
        work.go(frame)
        px = views.seen_in(frame, truth.points_world_m())
        for corner in (2, 4, 6, 8):
            drag = PictureDrag(work, Handle("corner", corner), px[corner], 1.0)
            drag.to(px[corner])
            drag.let_go()


def off_px(work: CuboidSession, truth: PlacedBox, views: Views) -> float:
    """How far the box is from where the pictures show it, over all frames."""
    there = views.project(views.in_camera(truth.points_world_m()))
    return float(np.linalg.norm(work.fitted(0).seen.keypoints_px - there, axis=2).mean())


@pytest.fixture
def work(truth, tmp_path):
    recording, _ = drifting(truth)
    store = AnnotationStore.open(tmp_path / STORE_NAME, "ada")
    with CuboidSession(recording, store, tmp_path) as session:
        yield session


def test_clicks_in_several_frames_take_drift_out_and_back_it_goes(work, truth):
    _, views = drifting(truth)
    with pytest.raises(ViewfinderError, match="several frames"):
        work.correct("annotations")
    click_corners(work, truth, views)
    stored, before, wrong = work.document(0), work.click_errors_px(), off_px(work, truth, views)
    work.correct("annotations")
    assert work.document(0) is stored
    assert work.click_errors_px() < 0.5 * before
    assert work.click_errors_px(tracked=True) == before
    assert off_px(work, truth, views) < 0.7 * wrong
    assert 0.002 < work.correction.moved_most_m < 0.1
    shifted = work.views
    work.go(11)  # another click, other shifts
    px = views.seen_in(11, truth.points_world_m())
    drag = PictureDrag(work, Handle("corner", 4), px[4], 1.0)
    drag.to(px[4])
    drag.let_go()
    assert work.views is not shifted
    work.undo()
    np.testing.assert_allclose(work.views.shifts, shifted.shifts, atol=1e-9)
    work.correct("none")
    assert work.click_errors_px() == before


def test_poses_refined_on_pictures_are_kept_used_and_exported(work, truth, tmp_path):
    pytest.importorskip("pyceres")
    _, views = drifting(truth)
    click_corners(work, truth, views)
    wrong, before = off_px(work, truth, views), work.click_errors_px()
    seen: list[tuple[int, int]] = []
    write_refined(work.recording, tmp_path / FILE_NAME, lambda *done: seen.append(done))
    assert seen[-1] == (FRAMES, FRAMES)
    work.correct("pictures")
    assert work.click_errors_px() < 0.5 * before
    assert off_px(work, truth, views) < 0.3 * wrong
    done = export_boxes(work)
    assert done.drift == "pictures"
    for label in Dataset.open(done.dataset).labels(done.layer):
        wanted = views.seen_in(int(label.sample_id), truth.points_world_m())
        assert np.linalg.norm(label.keypoints_px - wanted, axis=1).mean() < 0.4 * wrong
    store = AnnotationStore.open(tmp_path / STORE_NAME, "bob")
    with CuboidSession(work.recording, store, tmp_path) as other:  # they are there for everybody
        assert other.correction.by == "pictures"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": "poses"}, "isn't a file of poses"),
        ({"format_version": 2}, "another format version"),
        ({"tracker_sha256": "0"}, "another recording"),
        ({"world_from_camera": [[0.0] * 16] * FRAMES}, "holds no poses"),
        ({"world_from_camera": [[1.0] * 16]}, "holds no poses"),
        ({"world_from_camera": "x"}, "holds no poses"),
    ],
)
def test_a_file_of_poses_is_not_trusted(work, tmp_path, change, message):
    from annotate.cuboid_drift import poses_sha256

    rows = [pose.ravel().tolist() for pose in work.recording.world_from_camera]
    content = {
        "format": "viewfinder-poses", "format_version": 1,
        "tracker_sha256": poses_sha256(work.recording), "world_from_camera": rows,
    }  # fmt: skip
    file = tmp_path / FILE_NAME
    file.write_text(json.dumps(content))
    assert read_refined(work.recording, file).moved_most_m == 0
    file.write_text(json.dumps(content | change))
    with pytest.raises(ViewfinderError, match=message):
        read_refined(work.recording, file)
    store = AnnotationStore.open(tmp_path / STORE_NAME, "bob")
    with CuboidSession(work.recording, store, tmp_path) as other:
        assert other.correction.by == "none"


def test_k_takes_drift_out_in_the_background_and_shows_before_and_after(
    display, qtbot, truth, tmp_path
):
    pytest.importorskip("pyceres")
    views = as_objectron(truth, tmp_path)
    with Opened(qtbot, tmp_path / "recording") as hand:
        click_corners(hand.work, truth, views)
        hand.window.show_boxes()
        before = hand.work.click_errors_px()
        hand.key("K", "Shift")
        assert "by the clicks" in hand.window.panel.drift_text
        hand.key("K", "Shift")
        assert hand.window.panel.drift_text == ""
        assert before > 3
        lines = len(hand.window.picture.edges.ends)
        hand.key("K")
        hand.key("Right")  # it goes on beside the work
        qtbot.waitUntil(lambda: hand.work.correction.by == "pictures", timeout=600_000)
        after = hand.work.click_errors_px()
        assert f"{before:.1f} → {after:.1f} px" in hand.window.panel.drift_text
        assert after < 0.5 * before
        assert len(hand.window.picture.edges.ends) == lines + 24  # the box as it was
        hand.key("K")
        assert (hand.work.correction.by, hand.work.click_errors_px()) == ("none", before)
        hand.key("K")
        assert hand.work.correction.by == "pictures"  # at once: they are kept


def test_a_child_says_what_is_wrong(tmp_path):
    job = Job("annotate.refining", str(tmp_path / "nothing"), str(tmp_path / "out"))
    said = _until(job, lambda news: any("error" in one for one in news))
    assert "no such file" in said[-1]["error"]
    broken = Job("annotate.no_such_module")
    said = _until(broken, lambda news: any("error" in one for one in news))
    assert "no_such_module" in said[-1]["error"]


def _until(job, enough):
    news, end = [], time.monotonic() + 300
    while not enough(news):
        assert time.monotonic() < end, news
        time.sleep(0.05)
        news += job.news()
    return news


def test_a_child_ends_when_its_parent_is_killed(truth, tmp_path):
    write_objectron(filmed_session(truth, 60), tmp_path / "recording")
    code = (
        "import sys, time; from annotate.background import Job\n"
        "job = Job('annotate.refining', *sys.argv[1:])\n"
        "while not job.news(): time.sleep(0.02)\n"
        "print(job.pid, flush=True); time.sleep(600)\n"
    )
    arguments = [str(tmp_path / "recording"), str(tmp_path / "out.json")]
    root = Path(__file__).parents[2]
    with subprocess.Popen(
        [sys.executable, "-c", code, *arguments], stdout=subprocess.PIPE, text=True, cwd=root
    ) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        assert os.getpriority(os.PRIO_PROCESS, child) > os.getpriority(os.PRIO_PROCESS, 0)
        parent.send_signal(signal.SIGKILL)
    end = time.monotonic() + 120
    while _alive(child):
        assert time.monotonic() < end
        time.sleep(0.05)
    assert not (tmp_path / "out.json").exists()


def _alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except OSError:
        return False
    return state != "Z"
