"""Two models' answers compared: laws of matching and measuring."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.compare import Against, Difference, Pair, Summary, compare
from runtime.results import FrameResult, Subject, bounding_box
from runtime.topology import canonical_face, topology

WIDTH, HEIGHT = 640, 480


def face(centre: tuple[float, float], count: int = 478, number: int = 0) -> Subject:
    points = canonical_face().vertices_m * 100 * (0.01, -0.01, -0.01) + (*centre, 0)
    keypoints = points[:count].astype(np.float32)
    return Subject(number, f"face{count}@1", 0.9, keypoints, bounding_box(keypoints))


def moved(subject: Subject, dx_px: float, dy_px: float = 0.0) -> Subject:
    shift = np.array([dx_px / WIDTH, dy_px / HEIGHT, 0], dtype=np.float32)
    keypoints = subject.keypoints + shift[: subject.keypoints.shape[1]]
    return replace(subject, keypoints=keypoints, box=bounding_box(keypoints))


def masked(inside: np.ndarray) -> Subject:
    none = np.zeros((0, 2), dtype=np.float32)
    return Subject(0, "", 1.0, none, (0, 0, 1, 1), mask=inside.astype(np.float32))


def compared(first: list[Subject], second: list[Subject]) -> Difference:
    return compare(first, second, WIDTH, HEIGHT)


def test_the_same_answers_differ_in_nothing() -> None:
    people = [face((0.3, 0.5)), face((0.7, 0.5))]
    difference = compared(people, people)
    assert [(pair.first, pair.second) for pair in difference.pairs] == [(0, 0), (1, 1)]
    assert difference.worst_px == difference.mean_percent == 0
    assert compared([], []) == Difference((), (), ())


@pytest.mark.parametrize(("dx", "dy"), [(3.0, 4.0), (-6.0, 2.5)])
def test_a_shift_is_measured_in_pixels_and_in_lengths(dx: float, dy: float) -> None:
    one = face((0.5, 0.5))
    (pair,) = compared([one], [moved(one, dx, dy)]).pairs
    assert pair.mean_px == pytest.approx(np.hypot(dx, dy), abs=1e-3)
    assert pair.worst_px == pytest.approx(np.hypot(dx, dy), abs=1e-3)
    points = one.keypoints_px(WIDTH, HEIGHT)[:, :2]
    eyes = float(topology("face478@1").normalising_length(points))
    assert pair.mean_percent == pytest.approx(100 * np.hypot(dx, dy) / eyes, rel=1e-4)


def test_the_worst_keypoint_is_named() -> None:
    one = face((0.5, 0.5))
    keypoints = one.keypoints.copy()
    keypoints[61, 1] += 10 / HEIGHT
    (pair,) = compared([one], [replace(one, keypoints=keypoints)]).pairs
    assert pair.worst_keypoint == 61
    assert pair.worst_px == pytest.approx(10, abs=1e-3)
    assert pair.mean_px == pytest.approx(10 / 478, abs=1e-3)


@given(st.permutations(range(5)), st.integers(0, 2**32 - 1))
def test_matching_undoes_any_order(order: list[int], seed: int) -> None:
    rng = np.random.default_rng(seed)
    people = [face((0.1 + 0.2 * i, 0.5), number=i) for i in range(5)]
    others = [moved(people[i], *rng.uniform(-4, 4, 2)) for i in order]
    difference = compared(people, others)
    assert [order[pair.second] for pair in difference.pairs] == [0, 1, 2, 3, 4]
    back = compared(others, people)
    assert back.mean_px == pytest.approx(difference.mean_px, abs=1e-9)
    assert {(pair.second, pair.first) for pair in back.pairs} == {
        (pair.first, pair.second) for pair in difference.pairs
    }


def test_one_to_one_and_the_nearer_wins() -> None:
    one = face((0.5, 0.5))
    difference = compared([one], [moved(one, 5), moved(one, 1), moved(one, 200)])
    assert [(pair.first, pair.second) for pair in difference.pairs] == [(0, 1)]
    assert difference.only_first == ()
    assert difference.only_second == (0, 2)


def test_meshes_with_and_without_irises_are_compared_on_what_they_share() -> None:
    whole, mesh = face((0.5, 0.5)), face((0.5, 0.5), 468)
    (pair,) = compared([whole], [moved(mesh, 2)]).pairs
    assert pair.worst_px == pytest.approx(2, abs=1e-3)
    hand = replace(mesh, topology="hand21@1", keypoints=mesh.keypoints[:21])
    assert compared([whole], [hand]) == Difference((), (0,), (0,))


def test_detections_are_measured_by_their_boxes() -> None:
    points = np.full((6, 2), 0.5, dtype=np.float32)
    one = Subject(0, "", 0.9, points, (0.25, 0.25, 0.5, 0.5))
    other = replace(one, keypoints=points + np.float32(8 / WIDTH) * np.array([1, 0], np.float32))
    (pair,) = compared([one], [other]).pairs
    assert pair.mean_percent == pytest.approx(100 * 8 / np.hypot(320, 240), rel=1e-4)


def test_masks_are_compared_by_their_overlap() -> None:
    one, other = np.zeros((40, 40)), np.zeros((40, 40))
    one[:20], other[10:20] = 1, 1
    (pair,) = compared([masked(one)], [masked(other)]).pairs
    assert pair.mask_iou == 0.5
    assert compared([masked(one)], [masked(1 - one)]).only_first == (0,)
    nothing = masked(np.zeros((40, 40)))
    assert compared([nothing], [nothing]).least_iou == 1.0


def test_broken_numbers_match_nothing() -> None:
    broken = replace(face((0.5, 0.5)), keypoints=np.full((478, 3), np.nan, dtype=np.float32))
    assert compared([broken], [face((0.5, 0.5))]) == Difference((), (0,), (0,))


def test_the_json_names_ids_and_sides() -> None:
    one = replace(face((0.3, 0.5)), id=7, handedness="left")
    other = replace(moved(one, 3), id=2, handedness="right")
    alone = replace(face((0.8, 0.5)), id=9)
    difference = compared([one, alone], [other])
    against = Against("other.task", "ab", 1.0, [one, alone], [other], difference)
    result = FrameResult("a", 0, 0, WIDTH, HEIGHT, 0, [one, alone], against=against)
    stored = json.loads(result.to_json_line())["against"]
    assert stored["model"] == "other.task"
    assert [subject["id"] for subject in stored["subjects"]] == [2]
    assert stored["difference"]["only_first"] == [9]
    assert stored["difference"]["only_second"] == []
    (pair,) = stored["difference"]["pairs"]
    assert (pair["id"], pair["against_id"], pair["handedness"]) == (7, 2, ["left", "right"])
    assert stored["difference"]["worst_px"] == pytest.approx(3, abs=1e-3)
    assert "against" not in json.loads(replace(result, against=None).to_json_line())


def test_the_summary_keeps_the_five_worst_frames() -> None:
    summary = Summary()
    for number in range(2000):
        shift = float(number * 37 % 1000)
        pair = Pair(0, 0, shift / 2, shift, 3, 100.0)
        summary.add("clip.mp4", number, Difference((pair,), (0,) * (number % 2), ()))
    assert (summary.frames, summary.measured, summary.only_first) == (2000, 2000, 1000)
    assert summary.worst_px == 999
    assert summary.mean_px == pytest.approx(999 / 4)
    assert summary.mean_percent == pytest.approx(999 / 4)
    worst = summary.worst_frames()
    assert [entry.percent for entry in worst] == [999, 999, 998, 998, 997]
    assert worst[0].frame < worst[1].frame  # the earlier of two that are as bad
    assert worst[0].words == "999.00 px, 999.00 %"
    assert Summary().worst_frames() == []
