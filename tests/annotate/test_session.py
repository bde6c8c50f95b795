"""Scripted work through the same session that the window uses, and what it exports."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from annotate.export import export_project
from annotate.items import default_layer
from annotate.sample import SAMPLE_LAYER
from annotate.session import AnnotationSession
from annotate.worked_time import IDLE_S
from bootstrap.dataset import Dataset, Label
from runtime.errors import ViewfinderError
from runtime.topology import topology

ROOT = Path(__file__).parents[2]
COMMAND = [
    sys.executable,
    "-c",
    "import sys, typer\n"
    "from annotate.commands import annotate\n"
    "from runtime.errors import ViewfinderError\n"
    "try: typer.run(annotate)\n"
    "except ViewfinderError as error: sys.exit(f'told: {error}')\n",
]


def human(project: Path, who: str = "ada") -> list[Label]:
    return Dataset.open(project).labels(f"human/{who}")


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_a_scripted_refinement_becomes_the_right_layer(project):
    clock = Clock()
    with AnnotationSession.open(project, annotator="ada", clock=clock) as session:
        assert (session.layer, len(session.items), session.index) == (SAMPLE_LAYER, 5, 0)
        before = session.document.keypoints_px.copy()
        clock.now += 1.5
        session.move(33, 101.25, 64.5)
        session.set_visibility([7, 8], 1)
        clock.now += 2.0
        session.accept()
        session.go(2)
        session.move(4, 1.0, 2.0)
        session.undo()  # nothing is left of item 2
        session.go(3)
        session.move(5, 3.0, 4.0)
        session.go(4)
        session.move(6, 5.0, 6.0)
        session.flag("two people")
        summary = session.export()
    assert (summary.labels, summary.edited, summary.accepted, summary.flagged) == (2, 2, 1, 1)
    first, third = human(project)
    assert (first.sample_id, third.sample_id) == ("00000000", "00000003")
    expected = before.astype(np.float32)
    expected[33] = 101.25, 64.5
    np.testing.assert_array_equal(first.keypoints_px, expected)
    assert (np.flatnonzero(first.visibility == 1) == [7, 8]).all()
    assert (first.annotator, first.topology) == ("ada", "face478@1")
    assert first.source.startswith("viewfinder annotate")
    assert first.time is not None
    assert first.time.endswith("+00:00")
    assert first.attributes["status"] == "done"
    assert first.attributes["from_layer"] == SAMPLE_LAYER
    assert first.attributes["seconds"] == 3.5
    assert third.attributes["status"] == "open"
    for name, contour in topology("face478@1").contours.items():
        np.testing.assert_array_equal(first.contours[name], expected[list(contour.indices)])
    x, y, width, height = first.box_px
    np.testing.assert_allclose([x, y], expected.min(axis=0))
    np.testing.assert_allclose([x + width, y + height], expected.max(axis=0), rtol=1e-5)


def test_an_accepted_item_keeps_what_nobody_touched(project):
    dataset = Dataset.open(project)
    depth = np.ones((478, 3), np.float32)
    rich = [
        replace(label, keypoints_camera_m=depth, attributes={"age": 30}, score=0.5)
        for label in dataset.labels("synthetic")
    ]
    dataset.write_layer("consensus", rich)
    with AnnotationSession.open(project, annotator="ada", layer="consensus") as session:
        session.accept()
        session.next()
        session.move(3, 1.0, 1.0)
        session.accept()
        session.export()
    untouched, moved = human(project)
    np.testing.assert_array_equal(untouched.keypoints_px, rich[0].keypoints_px)
    np.testing.assert_array_equal(untouched.keypoints_camera_m, depth)
    assert moved.keypoints_camera_m is None  # no longer what these points measure
    assert untouched.attributes["age"] == 30
    assert untouched.score is None


def test_exporting_again_changes_nothing_and_keeps_foreign_labels(project):
    dataset = Dataset.open(project)
    foreign = replace(dataset.labels("synthetic")[4], annotator="ada", time="2020", source="import")
    dataset.write_layer("human/ada", [foreign])
    with AnnotationSession.open(project, annotator="ada") as session:
        session.accept()
        assert (session.export().labels, session.export().kept) == (2, 1)
    tables = [p.read_bytes() for p in sorted(project.rglob("labels/human/**/*.parquet"))]
    summary = export_project(project, "ada")
    assert (summary.labels, summary.kept) == (2, 1)
    assert tables == [p.read_bytes() for p in sorted(project.rglob("labels/human/**/*.parquet"))]
    with AnnotationSession.open(project, annotator="ada") as session:
        session.undo()
        session.export()
    (left,) = human(project)
    assert (left.sample_id, left.source) == ("00000004", "import")


def test_two_topologies_of_one_subject_fit_into_one_layer(project):
    dataset = Dataset.open(project)
    points = np.random.default_rng(0).uniform(0, 200, (21, 2)).astype(np.float32)
    hand = Label(sample_id="00000000", topology="hand21@1", keypoints_px=points, source="x")
    dataset.write_layer("predicted@hands", [hand])
    for layer in (SAMPLE_LAYER, "predicted@hands"):
        with AnnotationSession.open(project, annotator="ada", layer=layer) as session:
            session.accept()
    for _ in range(2):  # the second export must find its own labels again
        assert export_project(project, "ada").labels == 2
    face, exported_hand = sorted(human(project), key=lambda label: label.topology)
    assert (face.subject_id, exported_hand.subject_id) == (0, 1)
    np.testing.assert_array_equal(exported_hand.keypoints_px, points)


def test_work_goes_on_where_it_stopped(project):
    with AnnotationSession.open(project, annotator="ada") as session:
        session.accept()
        assert session.next_open()
        session.move(1, 5.0, 5.0)
        state = session.document
    with AnnotationSession.open(project, annotator="ada") as session:
        assert session.index == 1
        assert session.document.same_as(state)
        assert session.undo() == session.items[1].key
        assert session.undo() == session.items[0].key  # across items, and it goes there
        assert session.index == 0
        assert session.document.status == "open"
        assert session.undo() is None
        assert session.redo() == session.items[0].key
        session.accept()  # no change: no revision, and redo is still there
        assert session.redo() == session.items[1].key
        assert session.document.same_as(state)
    with AnnotationSession.open(project, annotator="bob") as session:
        assert session.progress().done == 0  # everybody starts from the layer


def test_the_queue_has_two_ends_and_counts(project):
    with AnnotationSession.open(project, annotator="ada") as session:
        assert not session.previous()
        while session.next():
            session.flag()
        assert session.index == 4
        assert session.next_open()
        assert session.index == 0
        session.move(0, 9.0, 9.0)
        session.accept()
        assert not session.next_open()
        progress = session.progress()
        assert (progress.total, progress.done, progress.flagged, progress.edited) == (5, 1, 4, 1)
        for index in (-1, 5):
            with pytest.raises(ViewfinderError, match="no such item"):
                session.go(index)
        picture = session.picture()
        assert picture.shape == (240, 320, 3)
        np.testing.assert_array_equal(picture, session.dataset.read_image("00000000"))


def test_skipped_items_come_back_last_and_survive_a_restart(project):
    with AnnotationSession.open(project, annotator="ada") as session:
        session.skip()
        assert session.next_open()
        assert session.index == 1
    with AnnotationSession.open(project, annotator="ada") as session:
        assert session.document_at(0).status == "skipped"
        assert session.progress().skipped == 1
        for _ in range(1, 5):
            session.accept()
            assert session.next_open()
        assert session.index == 0  # nothing else is left
        assert not session.next_open()
        assert session.export().labels == 4


def test_pauses_are_no_work(project):
    clock = Clock()
    with AnnotationSession.open(project, annotator="ada", clock=clock) as session:
        assert session.items_an_hour() is None
        clock.now += 4.0
        session.present()
        clock.now += 3600.0  # lunch
        session.present()
        clock.now += 6.0
        session.accept()
        worked = 4.0 + IDLE_S + 6.0
        assert session.store.history.item(session.item.key).seconds == worked
        assert session.items_an_hour() == pytest.approx(3600 / worked)
        session.next()
        for _ in range(2):
            clock.now += worked / 2
            session.present()
        session.skip()
        assert session.items_an_hour() == pytest.approx(3600 / worked)
        clock.now += 1.0
        session.reopen()
        assert session.items_an_hour() == pytest.approx(3600 / (2 * worked + 1))


def test_soft_moves_and_visibility_are_single_steps(project):
    with AnnotationSession.open(project, annotator="ada") as session:
        before = session.document
        session.move(4, 150.0, 120.0, radius_px=30.0)
        changed = (session.document.keypoints_px != before.keypoints_px).any(axis=1)
        assert 1 < changed.sum() < 400
        assert tuple(session.document.keypoints_px[4]) == (150.0, 120.0)
        assert [int(session.cycle_visibility(4).visibility[4]) for _ in range(3)] == [1, 0, 2]
        for _ in range(4):
            session.undo()
        assert session.document.same_as(before)
        assert session.undo() is None


def test_keypoints_without_a_position_can_be_placed(project):
    dataset = Dataset.open(project)
    points = np.full((21, 2), np.nan, np.float32)
    points[:3] = 10.0
    visibility = np.array([2] * 3 + [0] * 18, np.int8)
    label = Label(
        sample_id="00000001", topology="hand21@1", keypoints_px=points, visibility=visibility
    )
    dataset.write_layer("predicted@hands", [label])
    with AnnotationSession.open(project, annotator="ada", layer="predicted@hands") as session:
        session.cycle_visibility(9)
        assert session.progress().edited == 0
        session.move(9, 20.0, 30.0)
        assert session.document.visibility[9] == 2
        session.export()
    (made,) = human(project)
    assert math.isnan(made.keypoints_px[10, 0])
    assert tuple(made.box_px) == (10, 10, 10, 20)
    assert "palm" not in made.contours  # it would pass through nowhere


def test_which_layer_is_taken(project):
    dataset = Dataset.open(project)
    assert default_layer(dataset) == SAMPLE_LAYER
    dataset.write_layer("predicted@other", dataset.labels("synthetic"))
    with pytest.raises(ViewfinderError, match=r"predicted@other \| predicted@sample"):
        default_layer(dataset)
    with pytest.raises(ViewfinderError, match="no such label layer"):
        AnnotationSession.open(project, annotator="ada", layer="predicted@none")
    dataset.write_layer("empty", [Label(sample_id="00000000")])
    with pytest.raises(ViewfinderError, match="nothing to annotate"):
        AnnotationSession.open(project, annotator="ada", layer="empty")
    with pytest.raises(ViewfinderError, match="isn't a data set"):
        AnnotationSession.open(project / "labels", annotator="ada")


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    import os

    env = {k: v for k, v in os.environ.items() if k not in ("DISPLAY", "WAYLAND_DISPLAY")}
    return subprocess.run(
        [*COMMAND, *arguments],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**env, **environment},
        check=False,
    )


def test_the_command_exports(project):
    nothing = run(str(project), "--export", "--annotator", "ada")
    assert nothing.returncode == 1
    assert "nothing has been annotated here yet" in nothing.stderr
    with AnnotationSession.open(project, annotator="ada") as session:
        session.accept()
    other = run(str(project), "--export", "--annotator", "bob")
    assert other.returncode == 1
    assert "expected ada" in other.stderr
    done = run(str(project), "--export", "--annotator", "ada", "--json")
    assert json.loads(done.stdout)["layer"] == "human/ada"
    assert len(human(project)) == 1


def test_without_a_display_one_line_says_so(project):
    for environment in ({}, {"DISPLAY": ":987"}):
        told = run(str(project), **environment)
        assert told.returncode == 1
        assert "no display" in told.stderr
        assert "xvfb-run" in told.stderr
    assert not (project / "annotations.sqlite").exists()


def test_a_platform_without_opengl_is_told_of_in_one_line(project):
    told = run(str(project), "--screenshot", "window.png", QT_QPA_PLATFORM="offscreen:frame=0")
    assert told.returncode == 1
    assert "needs OpenGL" in told.stderr
    assert "Traceback" not in told.stderr
    assert not (project / "annotations.sqlite").exists()


def test_sessions_need_neither_qt_nor_torch():
    code = "import annotate.session, sys; print(*{m.split('.')[0] for m in sys.modules})"
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert not {"qtpy", "PySide6", "PyQt6", "napari", "vispy", "torch", "bpy"} & set(
        loaded.stdout.split()
    )
