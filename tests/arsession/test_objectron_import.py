"""Objectron's annotations as a data set; what is exported comes back."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

import arsession.commands  # noqa: F401 - the format joins the list
from arsession.objectron_sequence import read_sequence
from arsession.placing import place
from arsession.propagate_dataset import write_propagated
from arsession.views import Views
from bootstrap.commands import dataset_app
from bootstrap.dataset import Dataset, Label
from bootstrap.dataset.schema import json_object
from runtime.errors import ViewfinderError
from tests.arsession.filmed import filmed_session
from tests.arsession.orbit import random_box
from tests.arsession.test_objectron_export import ORACLE, a_set, export, sequence
from tests.arsession.test_propagate_dataset import FILE, annotated

LAYER = "human/imported"


def imported(source: Path, out: Path) -> Dataset:
    result = CliRunner().invoke(
        dataset_app, ["import", str(source), "--format", "objectron", "--out", str(out)]
    )
    if result.exception is not None:
        raise result.exception
    return Dataset.open(out)


def rewritten(folder: Path, change) -> Path:
    """The recording with its message changed by Google's library."""
    message = sequence(folder)
    change(message)
    (folder / "annotation.pbdata").write_bytes(message.SerializeToString())
    return folder


def exported(tmp_path: Path, moving: bool = True) -> tuple[Path, list[Label]]:
    turn = np.eye(4)
    turn[:3, 3] = 0.3, 0.1, -0.2
    labels = a_set(tmp_path / "set", {"a": np.eye(4), "b": turn, "c": turn @ turn}, moving)
    result = export(tmp_path / "set", tmp_path / "out")
    assert result.exit_code == 0, result.output
    return tmp_path / "out" / "walk", labels


def assert_equal(label: Label, back: Label) -> None:
    assert (label.subject_id, back.topology) == (back.subject_id, "cuboid9@1")
    assert back.attributes["category"] == label.attributes["category"]
    np.testing.assert_allclose(back.keypoints_px, label.keypoints_px, atol=2e-3)
    np.testing.assert_allclose(back.keypoints_camera_m, label.keypoints_camera_m, atol=1e-5)
    assert label.cuboid is not None
    assert back.cuboid is not None
    for name, value in label.cuboid.items():
        if name != "frame":
            np.testing.assert_allclose(back.cuboid[name], value, atol=1e-5)


def test_what_is_exported_comes_back(tmp_path):
    recording, labels = exported(tmp_path)
    source, ds = Dataset.open(tmp_path / "set"), imported(recording, tmp_path / "back")
    ids = ds.samples()["sample_id"].tolist()
    back = ds.labels(LAYER)
    assert len(back) == len(labels) == 5
    for label, other in zip(labels, back):
        assert_equal(label, other)
    for number, (theirs, ours) in enumerate(zip(source.samples()["sample_id"], ids)):
        camera, known = ds.camera(ours), source.camera(theirs)
        for name in ("fx", "fy", "cx", "cy", "width", "height"):
            assert getattr(camera, name) == pytest.approx(getattr(known, name), rel=1e-6)
        before, after = (json_object(d.row(i)["attributes"]) for d, i in
                         ((source, theirs), (ds, ours)))  # fmt: skip
        np.testing.assert_allclose(
            after["world_from_camera"], before["world_from_camera"], atol=1e-6
        )
        assert (after["session"], after["frame"]) == ("walk", number)
        assert after["timestamp_s"] == pytest.approx(before["timestamp_s"])
        assert abs(int(ds.read_image(ours).mean()) - 40 * number) < 4


def test_landscape_sessions_with_planes_come_back_however_often(tmp_path):
    box = random_box(np.random.default_rng(11))
    session = filmed_session(box, 6)
    placed = place(session, (annotated(box, Views.of(session), [1, 3, 5]),), FILE)
    write_propagated(session, placed, tmp_path / "set")
    assert export(tmp_path / "set", tmp_path / "out").exit_code == 0
    once = imported(tmp_path / "out", tmp_path / "once")
    result = export(tmp_path / "once", tmp_path / "again", "--layer", LAYER)
    assert result.exit_code == 0, result.output
    twice = imported(tmp_path / "again", tmp_path / "twice")
    first = Dataset.open(tmp_path / "set").labels("propagated")
    rows = list(zip(first, once.labels(LAYER), twice.labels(LAYER), strict=True))
    assert len(rows) == 6
    for label, one, two in rows:
        assert_equal(one, two)
        for back in (one, two):
            assert back.attributes["truncation"] == pytest.approx(label.attributes["truncation"])
            plane, known = back.attributes["plane"], label.attributes["plane"]
            assert plane["distance_m"] == pytest.approx(known["distance_m"], abs=1e-5)
            # The picture was turned a quarter clockwise: x is now down, y left.
            turned = [-known["normal"][1], known["normal"][0], known["normal"][2]]
            np.testing.assert_allclose(plane["normal"], turned, atol=1e-5)
        np.testing.assert_array_equal(one.visibility, label.visibility)
        np.testing.assert_allclose(one.cuboid["size_m"], label.cuboid["size_m"], atol=1e-5)


def test_objectrons_own_layout_and_frames_without_annotation(tmp_path):
    recording, labels = exported(tmp_path)
    rewritten(recording, lambda m: m.frame_annotations.pop(1))
    root = tmp_path / "objectron"
    for folder in ("annotations/cup/batch-1", "videos/cup/batch-1/7"):
        (root / folder).mkdir(parents=True)
    shutil.move(recording / "annotation.pbdata", root / "annotations/cup/batch-1/7.pbdata")
    shutil.move(recording / "video.MOV", root / "videos/cup/batch-1/7/video.MOV")
    ds = imported(root / "annotations", tmp_path / "back")
    facts = [json_object(text) for text in ds.samples()["attributes"]]
    assert [(f["session"], f["frame"]) for f in facts] == [("cup-batch-1-7", n) for n in (0, 2)]
    for label, other in zip([labels[0], *labels[3:]], ds.labels(LAYER), strict=True):
        assert_equal(label, other)
    shown = [int(ds.read_image(i).mean()) for i in ds.samples()["sample_id"]]
    np.testing.assert_allclose(shown, [0, 80], atol=4)


def flip(message):
    for frame in message.frame_annotations:
        for point in (k.point_3d for a in frame.annotations for k in a.keypoints):
            point.y, point.z = -point.y, -point.z


def mirror(message):
    for frame in message.frame_annotations:
        for point in (k.point_2d for a in frame.annotations for k in a.keypoints):
            point.x, point.y = point.y, point.x


def bent(message):
    message.frame_annotations[2].annotations[1].keypoints[3].point_3d.x += 0.2


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (mirror, "frame 0, object 0, point_2d"),
        (lambda m: setattr(m.frame_annotations[1].annotations[0].keypoints[2].point_3d, "x",
                           float("nan")), "frame 2.*aren't numbers"),
        (lambda m: m.frame_annotations[1].annotations[0].keypoints.pop(), "frame 2.*0 to 8"),
        (lambda m: setattr(m.frame_annotations[2], "frame_id", 1), "second time"),
        (lambda m: setattr(m.frame_annotations[2], "frame_id", 9), "shorter than the recording"),
        (lambda m: m.frame_annotations[1].camera.intrinsics.pop(), "frame 2, camera.intrinsics"),
        (lambda m: m.frame_annotations[1].ClearField("camera"), "frame 2.*no camera"),
        (lambda m: setattr(m.frame_annotations[1], "timestamp", -5.0), "backwards"),
        (lambda m: m.ClearField("frame_annotations"), "no annotated frame"),
    ],
)  # fmt: skip
def test_wrong_annotations_are_told_in_a_line(tmp_path, change, told):
    recording, _ = exported(tmp_path)
    rewritten(recording, change)
    with pytest.raises(ViewfinderError, match=told) as error:
        imported(recording, tmp_path / "back")
    assert "annotation.pbdata" in str(error.value) or "video" in str(error.value)
    assert not (tmp_path / "back" / "dataset.json").exists()


def test_boxes_behind_the_camera_or_bent_are_left_out_and_counted(tmp_path):
    recording, labels = exported(tmp_path)
    rewritten(recording, bent)
    assert len(imported(recording, tmp_path / "back").labels(LAYER)) == len(labels) - 1
    rewritten(recording, flip)  # OpenCV's axes where ARKit's belong: all behind the camera
    assert imported(recording, tmp_path / "none").labels(LAYER) == []


def test_without_video_or_annotation_it_is_told(tmp_path):
    recording, _ = exported(tmp_path)
    (recording / "video.MOV").unlink()
    with pytest.raises(ViewfinderError, match="no video"):
        imported(recording, tmp_path / "back")
    (recording / "annotation.pbdata").unlink()
    with pytest.raises(ViewfinderError, match="no annotation"):
        imported(recording, tmp_path / "back")


@given(st.binary(max_size=80), st.integers(0, 400), st.booleans())
@settings(max_examples=150, deadline=None)
def test_damaged_bytes_are_one_clear_error_or_a_sequence(tmp_path_factory, noise, at, cut):
    message = ORACLE["Sequence"]()
    thing = message.objects.add(id=3, category="cup")
    thing.scale.extend([1, 2, 3])
    frame = message.frame_annotations.add(frame_id=0, timestamp=1.0)
    frame.camera.transform.extend(np.eye(4).ravel())
    seen = frame.annotations.add(object_id=3, visibility=1.0)
    for number in range(9):
        seen.keypoints.add(id=number).point_3d.x = number
    whole = message.SerializeToString()
    damaged = whole[:at] + (b"" if cut else noise) + (b"" if cut else whole[at + len(noise) :])
    file = tmp_path_factory.getbasetemp() / "damaged.pbdata"
    file.write_bytes(damaged)
    told = "damaged.pbdata"
    try:
        found = read_sequence(file, 2**20)
    except ViewfinderError as error:
        told = str(error)
    else:
        assert found.frames
    assert "damaged.pbdata" in told
