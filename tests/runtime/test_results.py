"""The JSON lines that other programs read."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from runtime.results import FrameResult, Subject, bounding_box, run_lengths

KEYPOINTS = np.array([[0.25, 0.5, -0.1], [0.75, 0.25, 0.2]], dtype=np.float32)


def line(*subjects: Subject) -> dict:
    text = FrameResult("a.jpg", 3, 99_999, 640, 480, 1, subjects).to_json_line()
    assert "\n" not in text
    return json.loads(text)


def test_frame_fields() -> None:
    assert line() == {
        "source": "a.jpg", "frame": 3, "timestamp_us": 99_999, "width": 640, "height": 480,
        "dropped": 1, "subjects": [],
    }  # fmt: skip


def test_what_a_solution_lacks_is_left_out() -> None:
    (found,) = line(Subject(0, "hand21@1", 0.5, KEYPOINTS, (0.25, 0.25, 0.5, 0.25)))["subjects"]
    assert set(found) == {"id", "topology", "score", "keypoints", "box"}
    (found,) = line(Subject(0, "", 0.5, KEYPOINTS, (0, 0, 1, 1)))["subjects"]
    assert "topology" not in found


def test_everything_else_is_carried() -> None:
    subject = Subject(
        4, "hand21@1", 0.97, KEYPOINTS, bounding_box(KEYPOINTS),
        world_m=KEYPOINTS * 0.1,
        visibility_score=np.array([0.5, 1], dtype=np.float32),
        handedness="left",
        gesture={"name": "open", "score": 0.9},
        iris={"left_depth_m": 0.52},
    )  # fmt: skip
    (found,) = line(subject)["subjects"]
    assert found["id"] == 4
    assert found["score"] == 0.97
    assert found["handedness"] == "left"
    assert found["gesture"] == {"name": "open", "score": 0.9}
    assert found["iris"] == {"left_depth_m": 0.52}
    np.testing.assert_allclose(found["keypoints"], KEYPOINTS, atol=1e-7)
    np.testing.assert_allclose(found["world_m"], KEYPOINTS * 0.1, atol=1e-7)
    assert found["box"] == pytest.approx([0.25, 0.25, 0.5, 0.25])


def test_pixels_scale_depth_with_the_width() -> None:
    subject = Subject(0, "hand21@1", 1, KEYPOINTS, (0, 0, 1, 1))
    np.testing.assert_allclose(subject.keypoints_px(200, 100)[0], (50, 50, -20))


@given(hnp.arrays(np.float32, hnp.array_shapes(min_dims=2, max_dims=2, max_side=9),
                  elements=st.floats(0, 1, width=32)))  # fmt: skip
def test_run_lengths_hold_the_mask(mask: np.ndarray) -> None:
    stored = run_lengths(mask)
    height, width = stored["size"]
    runs = [np.full(count, turn % 2) for turn, count in enumerate(stored["counts"])]
    back = np.concatenate(runs).reshape(width, height).T
    np.testing.assert_array_equal(back, mask > 0.5)
    assert all(count > 0 for count in stored["counts"][1:])
