"""Bodies: laws of the parts on made-up models, agreement with MediaPipe on real pictures."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runtime.card import CardInput, CardModel, CardOutput
from runtime.detection import Detector
from runtime.errors import ViewfinderError
from runtime.image import read_image
from runtime.model import Model
from runtime.roi import BODY_SCALE, Roi, body_roi, body_size, image_from_crop
from runtime.smoothing import OneEuroParameters
from runtime.solutions import open_solution
from runtime.solutions.options import SolutionOptions
from runtime.solutions.pose import pose_graph
from runtime.solutions.pose_model import KERNEL, MIN_HEAT, BodyModel, CropBody, HeatmapRefinement
from runtime.solutions.pose_tracking import Body, IdentifyBodies, one_to_one
from runtime.solutions.solution import GraphSolution
from runtime.sources import open_source
from tests.runtime.small_models import constant_model

PICTURE = np.zeros((480, 640, 3), dtype=np.uint8)
FRAME_US = 33_333
DETECTOR = CardModel(
    "pose_detection.tflite", "detector", CardInput(224, 224, range=(-1.0, 1.0)),
    (CardOutput("boxes", (1, 2254, 12), "boxes"), CardOutput("scores", (1, 2254, 1), "scores")),
)  # fmt: skip
LANDMARKS = CardModel(
    "pose.tflite", "landmarks", CardInput(256, 256),
    (
        CardOutput("points", (1, 195), "landmarks_visibility"),
        CardOutput("there", (1, 1), "presence"),
        CardOutput("mask", (1, 256, 256, 1), "mask_logit"),
        CardOutput("heat", (1, 64, 64, 39), "heatmaps"),
        CardOutput("world", (1, 117), "world_landmarks"),
    ),
    "pose33@1",
)  # fmt: skip


def body_outputs() -> dict[str, np.ndarray]:
    """A body that fills its crop as bodies do, so that its region stays where it is."""
    rng = np.random.default_rng(5)
    points = rng.uniform(30, 220, (39, 5))
    points[:, 3:] = rng.normal(0, 3, (39, 2))
    points[33, :2] = (128, 128)
    points[34, :2] = (128, 128 * (1 - 1 / BODY_SCALE))
    mask = np.full((1, 256, 256, 1), -20.0)
    mask[:, 64:192, 96:160] = 20
    return {
        "points": points.reshape(1, 195),
        "there": np.array([[0.9]]),
        "mask": mask,
        "heat": np.full((1, 64, 64, 39), -8.0),
        "world": rng.normal(0, 0.5, (1, 117)),
    }


def detector_outputs(*centres: tuple[float, float], reach: float = 40.0) -> dict[str, np.ndarray]:
    """Bodies in the detector's 224 x 224 input: where their hips are, and how far they reach."""
    boxes, scores = np.zeros((1, 2254, 12)), np.full((1, 2254, 1), -50.0)
    for number, (x, y) in enumerate(centres):
        at = 400 + number  # any anchor: its own place is taken off again
        anchor = np.array(anchor_px(at))
        points = np.array([(x, y), (x, y - reach), (x, y - 30), (x, y - 35)]) - anchor
        boxes[0, at] = [x - anchor[0], y - 20 - anchor[1], 20, 20, *points.ravel()]
        scores[0, at] = 4.0 - number
    return {"boxes": boxes, "scores": scores}


def anchor_px(index: int) -> tuple[float, float]:
    """Centre of an anchor of the first layer: cells of 8 px, two anchors in each."""
    row, column = divmod(index // 2, 28)
    return 8 * column + 4, 8 * row + 4


def body_model(outputs: dict[str, np.ndarray], masks: bool = False) -> BodyModel:
    return BodyModel(Model.from_bytes(constant_model(256, 256, outputs), "body"), LANDMARKS, masks)


def bodies(
    *centres: tuple[float, float], outputs: dict[str, np.ndarray] | None = None, **options: object
) -> GraphSolution:
    data = constant_model(224, 224, detector_outputs(*centres))
    detector = Detector(Model.from_bytes(data, "detector"), DETECTOR, 0.5)
    chosen = SolutionOptions(**options)
    model = body_model(outputs or body_outputs(), chosen.segmentation)
    return GraphSolution(pose_graph(detector, model, chosen), "pose33@1", chosen.static)


# the region


def test_a_region_stands_on_the_hips_and_reaches_as_far_as_the_body() -> None:
    roi = body_roi([(300.0, 200.0), (300.0, 120.0)])
    assert (roi.cx, roi.cy, roi.rotation_rad) == (300, 200, 0)
    assert roi.width == pytest.approx(2 * 80 * BODY_SCALE)
    assert body_size([(300.0, 200.0), (300.0, 120.0)]) == pytest.approx(160)


@given(st.floats(-3.1, 3.1), st.floats(10, 300))
def test_a_region_turns_with_the_body(angle: float, reach: float) -> None:
    end = (320 + reach * math.sin(angle), 240 - reach * math.cos(angle))
    roi = body_roi([(320.0, 240.0), end, (0.0, 0.0), (9.0, 9.0)])
    assert math.remainder(roi.rotation_rad - angle, 2 * math.pi) == pytest.approx(0, abs=1e-4)
    assert roi.width == pytest.approx(2 * reach * BODY_SCALE, rel=1e-4)
    normalised = body_roi([(0.5, 0.5), (end[0] / 640, end[1] / 480)], (640, 480))
    assert normalised.width == pytest.approx(roi.width, rel=1e-3)


# the model


def test_landmarks_go_back_into_the_picture() -> None:
    outputs = body_outputs()
    roi = Roi(300, 200, 180, 180, 0.7)
    found = body_model(outputs).run(PICTURE, roi)
    assert found is not None
    raw = outputs["points"].reshape(39, 5)
    expected = image_from_crop(roi, raw[:35, :3] / 256) / (640, 480, 640)
    np.testing.assert_allclose(found.points, expected, atol=1e-6)
    np.testing.assert_array_equal(found.points, [*found.keypoints, *found.alignment])
    assert len(found.alignment) == 2
    np.testing.assert_allclose(found.visibility, 1 / (1 + np.exp(-raw[:33, 3])), rtol=1e-5)
    turn = np.array([[math.cos(0.7), -math.sin(0.7)], [math.sin(0.7), math.cos(0.7)]])
    world = outputs["world"].reshape(39, 3)[:33]
    np.testing.assert_allclose(found.world_m[:, :2], world[:, :2] @ turn.T, atol=1e-6)
    np.testing.assert_allclose(found.world_m[:, 2], world[:, 2], atol=1e-6)
    assert found.mask is None


@pytest.mark.parametrize(("presence", "seen"), [(0.51, True), (0.5, False), (math.nan, False)])
def test_presence_decides(presence: float, seen: bool) -> None:
    model = body_model(body_outputs() | {"there": np.array([[presence]])})
    assert (model.run(PICTURE, Roi(100, 100, 50, 50)) is not None) == seen


@pytest.mark.parametrize("value", [np.nan, np.inf, -3e38])
@pytest.mark.filterwarnings("ignore:.*encountered:RuntimeWarning")
def test_points_that_are_no_numbers_are_nobody(value: float) -> None:
    model = body_model(body_outputs() | {"points": np.full((1, 195), value)})
    assert model.run(PICTURE, Roi(100, 100, 50, 50)) is None


def test_card_and_model_must_fit() -> None:
    data = constant_model(256, 256, body_outputs())
    model = Model.from_bytes(data, "body")
    for card, problem in (
        (replace(LANDMARKS, input=CardInput(224, 224)), "input isn't a body model's"),
        (replace(LANDMARKS, outputs=LANDMARKS.outputs[1:]), r"\[landmarks_visibility\].*no such"),
        (replace(LANDMARKS, outputs=LANDMARKS.outputs[:-1]), r"\[world_landmarks\].*no such"),
        (
            replace(LANDMARKS, outputs=(CardOutput("there", (1, 1), "landmarks_visibility"),)),
            "expected 5 values for each of 35 points; found 1",
        ),
    ):
        with pytest.raises(ViewfinderError, match=problem):
            BodyModel(model, card)
    without = replace(LANDMARKS, outputs=(*LANDMARKS.outputs[:2], *LANDMARKS.outputs[3:]))
    BodyModel(model, without)
    with pytest.raises(ViewfinderError, match="mask_logit"):
        BodyModel(model, without, masks=True)


def refined(x: float, y: float, heat: np.ndarray) -> tuple[float, float]:
    """One point's refinement by its definition: the mean of a square of cells."""
    rows, columns = heat.shape
    column, row = math.trunc(x * columns), math.trunc(y * rows)
    if not (0 <= column < columns and row >= 0):
        return x, y
    half = KERNEL // 2
    weights = {
        (r, c): 1 / (1 + math.exp(-float(heat[r, c])))
        for r in range(max(0, row - half), min(rows, row + half + 1))
        for c in range(max(0, column - half), min(columns, column + half + 1))
    }
    total = sum(weights.values())
    if not weights or max(weights.values()) < MIN_HEAT or total == 0:
        return x, y
    return (
        sum(c * weight for (_, c), weight in weights.items()) / columns / total,
        sum(r * weight for (r, _), weight in weights.items()) / rows / total,
    )


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1), st.floats(-4, 2))
def test_refinement_is_the_mean_of_the_heat_around_a_point(seed: int, warmth: float) -> None:
    rng = np.random.default_rng(seed)
    heat = rng.normal(warmth, 2, (20, 16, 9)).astype(np.float32)
    points = rng.uniform(-0.3, 1.3, (7, 3)).astype(np.float32)
    got = points.copy()
    HeatmapRefinement(heat.shape, 7)(got.T, heat)
    expected = [refined(float(x), float(y), heat[..., i]) for i, (x, y, _) in enumerate(points)]
    np.testing.assert_allclose(got[:, :2], expected, atol=2e-6)
    np.testing.assert_array_equal(got[:, 2], points[:, 2])


def test_heatmaps_need_a_channel_a_point() -> None:
    with pytest.raises(ViewfinderError, match="35 or more"):
        HeatmapRefinement((64, 64, 33), 35)


# following


def test_a_body_is_followed_without_the_detector() -> None:
    solution = bodies((112, 112), max_subjects=1)
    first = solution.process(PICTURE, 0)
    ids = [solution.process(PICTURE, t * FRAME_US)[0].id for t in range(1, 10)]
    assert [subject.id for subject in first] + ids == [0] * 10
    assert solution.models[0].invocations == 1
    assert first[0].topology == "pose33@1"
    assert first[0].score == pytest.approx(0.9)
    still = solution.process(PICTURE, 10 * FRAME_US)[0]
    np.testing.assert_allclose(still.keypoints, first[0].keypoints, atol=1e-4)
    solution.process(PICTURE[:300], 11 * FRAME_US)  # another size: a new stream
    assert solution.models[0].invocations == 2


def test_the_detector_looks_three_times_a_second_for_further_bodies() -> None:
    solution = bodies((60, 112), max_subjects=3)
    for frame in range(61):
        (subject,) = solution.process(PICTURE, frame * FRAME_US)
        assert subject.id == 0
    assert solution.models[0].invocations == 1 + 6
    assert solution.models[1].invocations == 61


def test_the_detector_rests_when_all_are_followed_and_never_while_nobody_is() -> None:
    both = bodies((50, 112), (170, 112), max_subjects=2)
    for frame in range(31):
        assert [s.id for s in both.process(PICTURE, frame * FRAME_US)] == [0, 1]
    assert both.models[0].invocations == 1
    nobody = bodies(max_subjects=2)
    assert [nobody.process(PICTURE, frame * FRAME_US) for frame in range(5)] == [[]] * 5
    assert nobody.models[0].invocations == 5


def test_one_wanted_is_the_detectors_best() -> None:
    (subject,) = bodies((50, 112), (170, 112), max_subjects=1).process(PICTURE, 0)
    x, _, width, _ = subject.box
    assert x + width / 2 < 0.5


def test_static_pictures_stand_alone() -> None:
    solution = bodies((50, 112), (170, 112), max_subjects=2, static=True)
    for _ in range(3):
        assert [subject.id for subject in solution.process(PICTURE, 0)] == [0, 1]
    assert solution.models[0].invocations == 3


def test_smoothing_is_on_in_streams_and_can_be_changed() -> None:
    clips = {}
    for smoothing in (None, True, False, OneEuroParameters(0.001, 0.0, 1.0)):
        solution = bodies((112, 112), max_subjects=1, smoothing=smoothing)
        # The region is smoothed in any case; a new one each time comes from the detector alone.
        subjects = [solution.process(PICTURE, t * FRAME_US)[0] for t in range(3)]
        clips[smoothing] = subjects[-1].keypoints
    np.testing.assert_array_equal(clips[None], clips[True])


# which is which


def a_body(subject_id: int, x: float, pose: int, presence: float = 0.9) -> Body:
    """A body of one of several poses about a place, 200 px in side."""
    spread = np.random.default_rng(pose).uniform(-70, 70, (33, 2))
    points = np.zeros((35, 3), dtype=np.float32)
    points[:33, :2] = ((x, 240) + spread) / (640, 480)
    world = np.zeros((33, 3), np.float32)
    found = CropBody(presence, points, np.ones(33, np.float32), world, None)
    return Body(subject_id, Roi(x, 240, 200, 200), found)


def x_of(body: Body) -> float:
    return float(body.found.keypoints[:, 0].mean() * 640)


def test_ids_follow_bodies_even_where_their_crops_changed_hands() -> None:
    identify = IdentifyBodies()
    left, right = identify.process([a_body(-1, 150, 1), a_body(-1, 450, 2)], PICTURE, 0)
    assert (left.subject_id, right.subject_id) == (0, 1)
    for frame in range(1, 20):
        # The two walk past each other; in every other picture each crop finds the other body.
        a, b = a_body(0, 150 + 15 * frame, 1), a_body(1, 450 - 15 * frame, 2)
        if frame % 2:
            a, b = replace(a, found=b.found, roi=b.roi), replace(b, found=a.found, roi=a.roi)
        named = identify.process([a, b], PICTURE, frame * FRAME_US)
        assert [body.subject_id for body in named] == [0, 1]
        assert x_of(named[0]) - 15 * frame == pytest.approx(x_of(left), abs=1e-2)


def test_a_body_found_twice_is_one_and_keeps_the_id_of_who_was_there() -> None:
    identify = IdentifyBodies()
    identify.process([a_body(-1, 150, 1), a_body(-1, 300, 2)], PICTURE, 0)
    # Both crops see the second body; the first crop is even surer of it.
    double = [a_body(0, 301, 2, presence=0.99), a_body(1, 300, 2)]
    (left,) = identify.process(double, PICTURE, FRAME_US)
    assert left.subject_id == 1


def test_bodies_that_share_a_head_are_one() -> None:
    identify = IdentifyBodies()
    (followed,) = identify.process([a_body(-1, 300, 1)], PICTURE, 0)
    other = a_body(-1, 310, 2, presence=0.99)
    other.found.points[:11] = followed.found.points[:11] + 0.01
    (one,) = identify.process([followed, other], PICTURE, FRAME_US)
    assert one.found is followed.found
    other.found.points[:11, 0] += 0.1
    assert len(identify.process([followed, other], PICTURE, 2 * FRAME_US)) == 2


def test_who_was_lost_gets_the_id_back_for_a_second() -> None:
    for pause_us, expected in ((600_000, [0, 1]), (1_500_000, [0, 2])):
        identify = IdentifyBodies()
        for frame in range(10):
            pair = [a_body(0, 150, 1), a_body(1, 300 + 4 * frame, 2)]
            if frame == 0:
                pair = [replace(body, subject_id=-1) for body in pair]
            identify.process(pair, PICTURE, frame * FRAME_US)
        lost_us = 9 * FRAME_US
        for late in range(0, pause_us, 100_000):
            identify.process([a_body(0, 150, 1)], PICTURE, lost_us + late + 1)
        there = 336 + 120 * pause_us * 1e-6
        back = [a_body(0, 150, 1), a_body(-1, there, 2)]
        named = identify.process(back, PICTURE, lost_us + pause_us)
        assert [body.subject_id for body in named] == expected


def test_somebody_elsewhere_is_somebody_new() -> None:
    identify = IdentifyBodies()
    identify.process([a_body(-1, 100, 1)], PICTURE, 0)
    identify.process([], PICTURE, FRAME_US)
    (other,) = identify.process([a_body(-1, 500, 1)], PICTURE, 2 * FRAME_US)
    assert other.subject_id == 1
    identify.reset()
    (first,) = identify.process([a_body(-1, 100, 1)], PICTURE, 3 * FRAME_US)
    assert first.subject_id == 0


@given(st.integers(0, 5), st.integers(0, 5), st.integers(0, 2**32 - 1))
def test_pairs_are_one_to_one_and_as_cheap_as_can_be_in_turn(
    rows: int, columns: int, seed: int
) -> None:
    costs = np.random.default_rng(seed).uniform(0, 1, (rows, columns))
    pairs = one_to_one(costs, 0.7)
    assert len({row for row, _ in pairs}) == len({column for _, column in pairs}) == len(pairs)
    for row in range(rows):
        for column in range(columns):
            rivals = [costs[pair] for pair in pairs if row == pair[0] or column == pair[1]]
            assert costs[row, column] >= min([0.7, *rivals])


# masks


def test_masks_lie_where_the_body_is() -> None:
    solution = bodies((112, 112), max_subjects=1, segmentation=True, static=True)
    (subject,) = solution.process(PICTURE, 0)
    assert subject.mask is not None
    assert subject.mask.shape == (480, 640)
    # Hips in the middle of a letterboxed 224 x 224, 40 px up to the end: a crop of 100 x 640 / 224.
    side = 2 * 40 * BODY_SCALE * 640 / 224
    inside = subject.mask > 0.5
    assert inside.sum() == pytest.approx(side * side / 8, rel=0.02)
    rows, columns = np.nonzero(inside)
    assert (rows.mean(), columns.mean()) == pytest.approx((240, 320), abs=1.5)


def test_without_segmentation_there_is_no_mask() -> None:
    assert bodies((112, 112), max_subjects=1).process(PICTURE, 0)[0].mask is None


# MediaPipe 0.10.14 on real pictures


@pytest.mark.usefixtures("mediapipe_models")
@pytest.mark.parametrize(("reference", "variant"), [("pose_0", "lite"), ("pose_1", "full")])
def test_pictures(real: Path, reference: str, variant: str) -> None:
    solution = open_solution(
        "pose", models="mediapipe", variant=variant, static=True, max_subjects=1
    )
    worst, total = 0.0, 0
    for path in sorted((real / "images").iterdir()):
        rgb = read_image(path)
        stored = json.loads(
            (real / "mediapipe_reference" / reference / f"{path.stem}.json").read_text()
        )
        found = solution.process(rgb, 0)
        assert len(found) == bool(stored["pose"]), path.name
        for subject in found:
            truth = np.array(stored["pose"])
            apart = (subject.keypoints - truth[:, :3]) * (rgb.shape[1], rgb.shape[0], rgb.shape[1])
            worst = max(worst, float(np.abs(apart).max()))
            np.testing.assert_allclose(subject.visibility_score, truth[:, 3], atol=1e-4)
            np.testing.assert_allclose(subject.world_m, np.array(stored["world"])[:, :3], atol=1e-4)
            total += 1
    assert total == 10
    assert worst < 0.01  # pixels


@pytest.mark.usefixtures("mediapipe_models")
def test_a_clip(real: Path) -> None:
    truth = np.load(real / "mediapipe_reference" / "video" / "pose_1__tfjs_pose_1.npz")
    solution = open_solution("pose", models="mediapipe", max_subjects=1)
    worst = 0.0
    clip = open_source(real / "videos" / "tfjs_pose_1.mp4")
    for number, frame in enumerate(clip.frames(pytest.fail)):
        found = solution.process(frame.rgb, (number + 1) * FRAME_US)
        assert len(found) == int(f"f{number:04d}" in truth)
        if found:
            scale = (frame.rgb.shape[1], frame.rgb.shape[0], frame.rgb.shape[1])
            expected = truth[f"f{number:04d}"][0]
            apart = (found[0].keypoints - expected[:, :3]) * scale
            worst = max(worst, float(np.abs(apart).max()))
            world = truth[f"w{number:04d}"][:, :3]
            np.testing.assert_allclose(found[0].world_m, world, atol=1e-4)
    assert number + 1 == int(truth["frames"])
    assert worst < 0.01  # pixels
    assert solution.models[0].invocations == 1


def cut_out(real: Path, name: str, height: int) -> np.ndarray:
    """(height, w, 4) a person of a real picture with their mask."""
    solution = open_solution(
        "pose", models="mediapipe", variant="lite", static=True, max_subjects=1, segmentation=True
    )
    rgb = read_image(real / "images" / name)
    (subject,) = solution.process(rgb, 0)
    rows, columns = np.nonzero(subject.mask > 0.3)
    alpha = (subject.mask * 255).astype(np.uint8)[..., None]
    cut = np.concatenate([rgb, alpha], axis=2)[
        rows.min() : rows.max(), columns.min() : columns.max()
    ]
    return cv2.resize(cut, (cut.shape[1] * height // cut.shape[0], height))


def with_person(rgb: np.ndarray, cut: np.ndarray, x: int, bottom: int) -> np.ndarray:
    """The picture with that person about that column."""
    height, width = cut.shape[:2]
    left = x - width // 2
    first, last = max(0, -left), min(width, rgb.shape[1] - left)
    part = cut[:, first:last]
    place = np.s_[bottom - height : bottom, left + first : left + last]
    alpha = part[..., 3:] / 255
    pasted = rgb.copy()
    pasted[place] = (rgb[place] * (1 - alpha) + part[..., :3] * alpha).astype(np.uint8)
    return pasted


@pytest.mark.usefixtures("mediapipe_models")
def test_two_people_who_pass_each_other_keep_their_ids(real: Path) -> None:
    behind, before = cut_out(real, "smp_pose_test.jpg", 430), cut_out(real, "tfjs_pose.jpg", 400)
    solution = open_solution("pose", models="mediapipe", variant="lite", max_subjects=3)
    room = np.full((540, 960, 3), 120, dtype=np.uint8)
    seen: list[dict[int, float]] = []
    for frame in range(60):
        way = round(520 * frame / 59)
        picture = with_person(with_person(room, behind, 220 + way, 500), before, 740 - way, 520)
        subjects = solution.process(picture, frame * FRAME_US)
        seen.append({s.id: float(s.keypoints[23:25, 0].mean()) for s in subjects})
    assert set(seen[0]) == set(seen[-1]) == {0, 1}
    assert set().union(*seen) == {0, 1}
    assert seen[0][0] < 0.5 < seen[0][1] or seen[0][1] < 0.5 < seen[0][0]
    for subject_id in (0, 1):  # each comes out on the other side
        assert (seen[0][subject_id] < 0.5) != (seen[-1][subject_id] < 0.5)
    assert solution.models[0].invocations < 20
