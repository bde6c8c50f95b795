"""Simulated annotators at work on drawn faces and on the box of a recording."""

from __future__ import annotations

import numpy as np

from annotate.sample import write_sample_project
from benchmarks import annotate_boxes_people as boxes
from benchmarks.annotate_people import BUDGET_S, WAYS, measure, with_starts
from bootstrap.dataset import Dataset


def test_asked_point_by_point_a_face_is_mended_in_half_a_minute(tmp_path):
    project = tmp_path / "faces"
    write_sample_project(project, np.random.default_rng(5), 3, 320, 320)
    found = measure(project, with_starts(Dataset.open(project), None, 3))
    assert set(found) == set(WAYS)
    for row in found.values():
        assert row["start_percent"] == 4.0
        assert row["longest_seconds"] <= BUDGET_S
    asked, alone = found["asked point by point"], found["each keypoint alone"]
    assert asked["end_percent"] < 1.7
    assert asked["end_percent"] < 0.5 * alone["end_percent"]


def test_the_box_of_270_frames_is_placed_and_refined_in_40_seconds(tmp_path):
    row = boxes.measure(2, (0.0,), tmp_path)["drift 0.0 cm/sqrt(s)"]
    assert row["placed_seconds"] < row["longest_seconds"] <= boxes.BUDGET_S
    assert row["frames_annotated"] >= 5
    assert row["corner_error_px"] < 6.0  # of 1440 x 1920: about a pixel of the screen
    assert row["iou"] > 0.93
