"""Frames kept from the live window."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import viewfinder
from bootstrap.dataset import Dataset, DatasetInfo
from bootstrap.dataset.captures import save_capture
from bootstrap.prelabel import capture_labels
from runtime.compare import Against, compare
from runtime.errors import ViewfinderError
from runtime.results import FrameResult, Subject, bounding_box
from runtime.sources import Frame


def test_frames_are_kept_one_by_one_and_unchanged(tmp_path):
    frames = np.random.default_rng(1).integers(0, 256, (3, 12, 16, 3), dtype=np.uint8)
    ids = [save_capture(tmp_path / "kept", rgb, "/cams/a.mp4", i) for i, rgb in enumerate(frames)]
    dataset = Dataset.open(tmp_path / "kept")
    for sample_id, rgb in zip(ids, frames, strict=True):
        np.testing.assert_array_equal(dataset.read_image(sample_id), rgb)


def test_a_rendered_data_set_is_left_alone(tmp_path):
    Dataset.create(tmp_path / "faces", DatasetInfo(name="faces", generator="viewfinder render"))
    with pytest.raises(ViewfinderError, match="can't be added"):
        save_capture(tmp_path / "faces", np.zeros((4, 4, 3), np.uint8), "0", 0)
    assert Dataset.open(tmp_path / "faces").committed_shards() == set()


def subject(number: int, shift: float = 0.0) -> Subject:
    keypoints = np.random.default_rng(number).uniform(0.2, 0.8, (21, 3)).astype(np.float32)
    keypoints += np.float32(shift)
    return Subject(
        number, "hand21@1", 0.9, keypoints, bounding_box(keypoints), handedness="left",
        gesture={"name": "Victory", "score": 0.8},
    )  # fmt: skip


def test_both_models_predictions_go_with_the_frame(tmp_path):
    first, second = [subject(0), subject(1)], [subject(0, 0.01)]
    against = Against("b.task", "b" * 64, 1.0, first, second, compare(first, second, 16, 12))
    result = FrameResult("a.mp4", 7, 0, 16, 12, 0, first, "a.task", "a" * 64, 1.0, against)
    rgb = np.zeros((12, 16, 3), np.uint8)
    root = tmp_path / "hard"
    sample_id = save_capture(root, rgb, "a.mp4", 7, capture_labels(result))
    dataset = Dataset.open(root)
    assert dataset.layers() == ["predicted@aaaaaaaaaaaa", "predicted@bbbbbbbbbbbb"]
    labels = dataset.labels("predicted@aaaaaaaaaaaa")
    assert [label.subject_id for label in labels] == [0, 1]
    assert {label.sample_id for label in labels} == {sample_id}
    np.testing.assert_allclose(labels[1].keypoints_px, first[1].keypoints_px(16, 12)[:, :2])
    assert (labels[0].handedness, labels[0].gesture) == ("left", "Victory")
    assert labels[0].source == f"model {'a' * 64}"
    (other,) = dataset.labels("predicted@bbbbbbbbbbbb")
    np.testing.assert_allclose(other.keypoints_px, second[0].keypoints_px(16, 12)[:, :2])
    # The next frame, in which the first model finds nothing, is known to have been looked at.
    empty = replace(result, subjects=[], against=None)
    save_capture(root, rgb, "a.mp4", 8, capture_labels(empty))
    assert Dataset.open(root).layer_shards("predicted@aaaaaaaaaaaa") == {0, 1}
    assert Dataset.open(root).layer_shards("predicted@bbbbbbbbbbbb") == {0}


def test_detections_alone_make_no_labels():
    found = Subject(0, "", 0.9, np.full((6, 2), 0.5, np.float32), (0.4, 0.4, 0.2, 0.2))
    result = FrameResult("a.mp4", 0, 0, 16, 12, 0, [found], "short", "c" * 64)
    assert capture_labels(result) == {"predicted@cccccccccccc": []}
    assert capture_labels(replace(result, sha256="")) == {}


def test_the_live_window_keeps_frames_through_the_command_line(tmp_path):
    result = FrameResult("a.mp4", 3, 0, 16, 12, 0, [subject(0)], "a.task", "a" * 64)
    frame = Frame(np.zeros((12, 16, 3), np.uint8), "a.mp4", 3, 0)
    told = viewfinder._save_frame(tmp_path / "hard", frame, result)
    assert "predicted@aaaaaaaaaaaa" in told
    assert len(Dataset.open(tmp_path / "hard").labels("predicted@aaaaaaaaaaaa")) == 1
