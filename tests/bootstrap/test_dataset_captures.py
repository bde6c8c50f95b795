"""Frames kept from the live window."""

from __future__ import annotations

import numpy as np
import pytest

from bootstrap.dataset import Dataset, DatasetInfo
from bootstrap.dataset.captures import save_capture
from runtime.errors import ViewfinderError


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
