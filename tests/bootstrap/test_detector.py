"""Detectors: anchors, whole pictures, the loss, and a training that ends in the runtime."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import typer
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from bootstrap.commands import evaluate
from bootstrap.export import MAX_DIFFERENCE, parent_size
from bootstrap.export_quantised import MAX_KEYPOINT_PX, PRECISIONS
from bootstrap.networks import DETECTOR_NETWORKS, FaceDetectorNetwork, PalmDetectorNetwork
from bootstrap.networks.detector import UNIT_PX
from bootstrap.training.anchors import Truth, anchor_boxes, centred_iou, targets, truth_of
from bootstrap.training.collage import _covered
from bootstrap.training.cutouts import ScenePictures, scenes_of
from bootstrap.training.detector_losses import (
    LEAST_SCORE,
    balance_scores,
    best_threshold,
    decoded,
    detector_losses,
    pairs,
    to_judge,
)
from bootstrap.training.scenes import _seen, stacked_scenes, training_scene, validation_scene
from bootstrap.training.subjects import TrainingData, load_training_data
from bootstrap.training.train import TrainSettings, train
from runtime.bundle import read_bundle
from runtime.detection import Detector
from runtime.model import Model
from runtime.packing import pack_bundle
from runtime.roi import face_roi_from_detection, hand_roi_from_palm
from runtime.solutions import open_solution
from runtime.topology import topology
from tests.bootstrap.brightness_model import brightness_bundle
from tests.bootstrap.drawn_subjects import write_drawn_dataset

FACE_ID = "face478@1"
FACE, PALM = FaceDetectorNetwork().layout, PalmDetectorNetwork().layout


@pytest.fixture(scope="module")
def faces(tmp_path_factory: pytest.TempPathFactory) -> TrainingData:
    root = tmp_path_factory.mktemp("faces")
    write_drawn_dataset(root, "face", 8, size=128)
    return load_training_data([root], topology("face478@1"))


@pytest.fixture(scope="module")
def hands(tmp_path_factory: pytest.TempPathFactory) -> TrainingData:
    root = tmp_path_factory.mktemp("hands")
    write_drawn_dataset(root, "hand", 6, size=128)
    return load_training_data([root], topology("hand21@1"))


def truth(cx: float, cy: float, side: float, keypoints: int = 6, weight: float = 1.0) -> Truth:
    points = np.linspace(-0.3, 0.3, 2 * keypoints).reshape(-1, 2) * side + (cx, cy)
    box = np.array([cx, cy, side, side], np.float32)
    return Truth(box, points.astype(np.float32), np.full(keypoints, weight, np.float32))


def test_the_runtimes_crop_is_the_one_that_the_labels_call_for(
    faces: TrainingData, hands: TrainingData
) -> None:
    """From the box and keypoints that the detector is taught, the landmark network's crop."""
    for data, roi_of in ((faces, face_roi_from_detection), (hands, hand_roi_from_palm)):
        for subject in data.train:
            found = truth_of(subject)
            corner = found.box[:2] - found.box[2:] / 2
            roi = roi_of(np.concatenate([corner, found.box[2:]]), found.keypoints)
            assert roi.width == pytest.approx(subject.roi.width, rel=1e-4)
            off = np.hypot(roi.cx - subject.roi.cx, roi.cy - subject.roi.cy)
            # A palm's turn by its wrist and middle finger differs from that by three fingers.
            assert off < (1e-3 if data is faces else 0.06) * roi.width


@settings(max_examples=30, deadline=None)
@given(
    st.lists(
        st.tuples(st.floats(5, 123), st.floats(5, 123), st.floats(6, 120)), min_size=1, max_size=3
    )
)
def test_answering_the_targets_finds_every_subject(
    boxes: list[tuple[float, float, float]],
) -> None:
    truths = [truth(*box) for box in boxes]
    overlap = centred_iou(*[np.stack([t.box for t in truths])] * 2) - np.eye(len(truths))
    anchors = anchor_boxes(FACE)
    state, values, weight = targets(truths, anchors, FACE)
    assert ((weight > 0).any(axis=1) == (state == 1)).all()
    if overlap.max() > 0.3:
        return  # they would be merged into one
    outputs = {
        "boxes": torch.from_numpy(values * FACE.size / UNIT_PX)[None],
        "scores": torch.from_numpy(np.where(state == 1, 5.0, -5.0).astype(np.float32))[
            None, :, None
        ],
    }
    (found,) = decoded(outputs, FACE)
    assert len(found) == len(truths)
    for i, k in pairs(found, truths, FACE.size):
        np.testing.assert_allclose(found[i].keypoints * FACE.size, truths[k].keypoints, atol=0.02)


def test_anchors_grow_from_mediapipes_least_scale_to_the_picture() -> None:
    for layout, count in ((FACE, 896), (PALM, 2016)):
        boxes = anchor_boxes(layout)
        assert boxes.shape == (count, 4)
        np.testing.assert_array_equal(boxes[:, :2], layout.anchors())
        assert boxes[0, 2] == pytest.approx(0.1484375)
        assert len(np.unique(boxes[:, 2])) == 8
        assert boxes[-1, 2] == pytest.approx(0.75**0.5)


@settings(max_examples=30, deadline=None)
@given(st.floats(20, 108), st.floats(20, 108), st.floats(5, 12))
def test_the_anchors_nearest_to_a_small_subject_answer(x: float, y: float, side: float) -> None:
    """All around overlap it as much, and none in its middle is background."""
    anchors = anchor_boxes(FACE)
    state, _, _ = targets([truth(x, y, side)], anchors, FACE)
    away = np.abs(anchors[:, :2] * 128 - (x, y)).max(axis=1)
    assert (state == 1).sum() == 4
    smallest = anchors[:, 2] < 0.15
    assert (state[smallest & (away <= away[smallest].min() + 1e-4)] == 1).any()
    assert away[state == 1].max() < 12, "its own cell or the next"
    assert (state[away < side / 2 - 1e-3] != 0).all()


def test_background_pulls_on_scores_alone_and_unsure_anchors_on_nothing() -> None:
    anchors = anchor_boxes(FACE)
    hidden = truth(64, 64, 50)
    hidden.weight[2] = 0
    image = np.zeros((128, 128, 3), np.uint8)
    batch = stacked_scenes([image, image], [(hidden,), ()], FACE, anchors)
    boxes = torch.randn(2, 896, 16, requires_grad=True)
    scores = torch.randn(2, 896, 1, requires_grad=True)
    detector_losses({"boxes": boxes, "scores": scores}, batch, FACE)["loss"].backward()
    taught = torch.from_numpy(batch.state)
    assert ((boxes.grad != 0).any(dim=2) == (taught == 1)).all()
    assert (boxes.grad[..., 8:10] == 0).all(), "an unlabelled keypoint"
    assert ((scores.grad[..., 0] != 0) == (taught >= 0)).all()
    assert (taught == -1).any()
    assert (scores.grad[1] > 0).all(), "an empty picture pushes every score down"


def test_subjects_beyond_the_edge_are_not_background() -> None:
    anchors = anchor_boxes(FACE)
    batch = stacked_scenes(
        [np.zeros((128, 128, 3), np.uint8)], [(truth(-3, 64, 60),)], FACE, anchors
    )
    assert batch.truths == ((),)
    assert set(np.unique(batch.state)) == {-1, 0}


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.tuples(st.floats(0.06, 0.99), st.booleans()), min_size=1, max_size=20),
    st.integers(0, 10),
)
def test_the_best_threshold(found: list[tuple[float, bool]], missed: int) -> None:
    """No other has a better balance of precision and recall."""
    scores, hits = [score for score, _ in found], [hit for _, hit in found]
    positives = sum(hits) + missed

    def balance(threshold: float) -> float:
        taken = [hit for score, hit in found if score >= threshold]
        if not any(taken):
            return 0.0
        precision, recall = sum(taken) / len(taken), sum(taken) / positives
        return 5 * precision * recall / (4 * precision + recall)

    best = best_threshold(scores, hits, positives)
    assert 0 < best < 1
    if len(set(scores)) == len(scores):
        assert balance(best) == pytest.approx(max(map(balance, scores)))


class Unsure(FaceDetectorNetwork):
    """Finds the faces it is told of, and as many that are none, with scores below one half."""

    def __init__(self, right: list[Truth], wrong: list[Truth]) -> None:
        super().__init__()
        anchors = anchor_boxes(FACE)
        state, values, _ = targets(right + wrong, anchors, FACE)
        good = targets(right, anchors, FACE)[0] == 1
        self.values = torch.from_numpy(values * FACE.size / UNIT_PX)[None]
        logits = np.where(good, -1.0, np.where(state == 1, -2.0, -9.0)).astype(np.float32)
        self.logits = torch.from_numpy(logits)[None, :, None]
        for layer in self.scores.convolutions():
            torch.nn.init.zeros_(layer.bias)

    def forward(self, image: torch.Tensor) -> dict[str, torch.Tensor]:
        bias = self.scores.convolutions()[0].bias
        assert bias is not None
        return {"boxes": self.values, "scores": self.logits + bias[0].detach()}


def test_scores_are_balanced_at_what_the_runtime_asks_for() -> None:
    """Right answers with low scores are lifted over one half, wrong ones stay below."""
    right, wrong = [truth(30, 30, 30), truth(90, 40, 40)], [truth(60, 100, 35)]
    network = Unsure(right, wrong)
    image = np.zeros((128, 128, 3), np.uint8)
    batch = stacked_scenes([image], [tuple(right)], FACE, anchor_boxes(FACE))
    assert decoded(network(torch.zeros(1)), FACE) == [[]]
    balance_scores(network, [batch])
    (found,) = decoded(network(torch.zeros(1)), FACE)
    assert len(found) == 2
    assert len(pairs(found, right, 128)) == 2
    shifts = {v for layer in network.scores.convolutions() for v in layer.bias.tolist()}
    assert len(shifts) == 1, "the same for every anchor"
    (shift,) = shifts
    assert 1 < shift < 2
    balance_scores(network, [batch])
    assert network.scores.convolutions()[0].bias[0].item() == pytest.approx(shift, abs=0.2)


def test_what_may_be_found_or_not_is_no_false_alarm() -> None:
    """A hidden subject counts neither as missed nor, when it is found, as wrong."""
    right, hidden = truth(30, 30, 30), replace(truth(90, 40, 40), shown=0.2)
    network = Unsure([right], [truth(88, 44, 40)])
    image = np.zeros((128, 128, 3), np.uint8)
    anchors = anchor_boxes(FACE)
    with_it = stacked_scenes([image], [(right, hidden)], FACE, anchors)
    without = stacked_scenes([image], [(right,)], FACE, anchors)
    assert with_it.truths == without.truths == ((right,),)
    outputs = network(torch.zeros(1))
    (whole,) = decoded(outputs, FACE, LEAST_SCORE)
    ((kept, truths),) = to_judge(outputs, network, with_it, LEAST_SCORE)
    assert truths == (right,)
    assert (len(kept), len(whole)) == (1, 2)
    assert len(pairs(kept, truths, 128)) == 1
    ((everything, _),) = to_judge(outputs, network, without, LEAST_SCORE)
    assert len(everything) == 2


@settings(max_examples=30, deadline=None)
@given(st.integers(-40, 168), st.integers(-40, 168), st.integers(10, 80), st.integers(0, 60))
def test_what_the_edges_and_others_leave_of_a_box(x: int, y: int, half: int, bar: int) -> None:
    """By counting pixels; of a subject of which too little is left nothing is taught."""
    outside = np.zeros((128, 128), bool)
    outside[:bar] = True
    cover = np.zeros((128, 128), np.uint8)
    cover[:, 64:] = 255
    one = truth(x, y, 2 * half)
    (seen,) = _seen([one], outside)
    rows, columns = np.mgrid[:128, :128]
    inside = (abs(rows + 0.5 - y) < half) & (abs(columns + 0.5 - x) < half)
    assert seen.shown == pytest.approx((inside & ~outside).sum() / (4 * half**2))
    if inside.any():
        assert _covered(one, cover) == pytest.approx((inside & (cover > 0)).sum() / inside.sum())
    image = np.zeros((128, 128, 3), np.uint8)
    batch = stacked_scenes([image], [(seen,)], FACE, anchor_boxes(FACE))
    taught = seen.shown >= 0.6 and 0 < x < 128 and 0 < y < 128
    assert (len(batch.truths[0]) == 1) == ((batch.state == 1).any()) == taught


@pytest.mark.parametrize("kind", ["faces", "hands"])
def test_labels_move_with_the_picture(kind: str, request: pytest.FixtureRequest) -> None:
    """A white dot painted on a keypoint lies where the cut, turned, mirrored label says."""
    data: TrainingData = request.getfixturevalue(kind)
    shape = topology(data.train[0].topology_id)
    seen = 0
    for seed in range(12):
        subject = data.train[seed % len(data.train)]
        # The nose, the wrist; the same keypoint in the mirror.
        index, keypoint = (1, 2) if kind == "faces" else (0, 0)
        image = np.zeros((512, 512, 3), np.uint8)
        x, y = np.round(subject.keypoints_px[index] * 4).astype(int)
        image[y - 8 : y + 8, x - 8 : x + 8] = 255
        crop, (found,) = training_scene(
            image, 4.0, [subject], shape, 128, np.random.default_rng(seed)
        )
        expected = found.keypoints[keypoint]
        bright = np.argwhere(crop.max(axis=2) > 0.6 * max(60, crop.max()))[:, ::-1] + 0.5
        if (np.abs(expected - 64) < 58).all() and len(bright):
            seen += np.linalg.norm(bright - expected, axis=1).min() < 4
    assert seen >= 6


def test_a_picture_with_an_unusable_subject_is_left_out(faces: TrainingData) -> None:
    first = faces.train[0].source
    partial = replace(faces, incomplete=frozenset([first]))
    assert first in {scene.source for scene in scenes_of(faces.train, faces, FACE_ID)}
    assert first not in {scene.source for scene in scenes_of(faces.train, partial, FACE_ID)}


def test_two_subjects_of_a_picture_are_one_scene(faces: TrainingData) -> None:
    twice = (faces.train[0], faces.train[1], replace(faces.train[0], handedness="left"))
    scenes = scenes_of(twice, faces, FACE_ID)
    assert [len(scene.subjects) for scene in scenes] == [2, 1]


def test_validation_shows_what_the_runtime_shows(faces: TrainingData) -> None:
    scene = scenes_of(faces.val, faces, FACE_ID)[0]
    image, scale = ScenePictures(faces.datasets, 2**30, topology(FACE_ID)).of(scene)
    wide = np.concatenate([image, image], axis=1)
    crop, (found,) = validation_scene(wide, scale, scene.subjects, 128)
    assert not crop[:31].any()
    assert not crop[97:].any()
    side = truth_of(scene.subjects[0]).box[2]
    assert found.box[2] == pytest.approx(side / 2, rel=1e-5)


# -- a whole training ---------------------------------------------------------------------


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("face-detector")
    write_drawn_dataset(root / "data", "face", 4, size=128)
    out = root / "m.task"
    train(TrainSettings("face-detector", (root / "data",), out, steps=60, batch=8, threads=1))
    return out


def test_a_training_learns_and_runs_in_the_runtime(trained: Path) -> None:
    """On the pictures that it was trained on, which is all that 60 steps can promise."""
    data = load_training_data([trained.parent / "data"], topology("face478@1"))
    bundle = read_bundle(trained)
    assert bundle.card is not None
    card = bundle.card.models[0]
    assert (card.role, card.topology, card.input.range) == ("detector", "", (-1.0, 1.0))
    model = Model.from_bytes(bundle.members[card.file], "m")
    assert model.runs_whole_in_xnnpack()
    metrics = {metric.metric: metric.value for metric in bundle.card.metrics}
    assert metrics["greatest difference from torch"] <= MAX_DIFFERENCE
    assert 0 <= metrics["average precision at IoU 0.5"] <= 1
    detector = Detector(model, card, min_score=0.05)
    for subject in data.train:
        image = data.datasets[0].read_image(subject.source[1])
        best = detector.detect(image)[0]
        expected = truth_of(subject)
        assert np.abs((best.box[:2] + best.box[2:] / 2) * 128 - expected.box[:2]).max() < 16
        assert np.linalg.norm(best.keypoints * 128 - expected.keypoints, axis=1).mean() < 16


def test_a_full_detector_goes_on_from_a_lite_one(trained: Path, tmp_path: Path) -> None:
    """And a training from the full one is of its size without being told."""
    settings = TrainSettings(
        "face-detector", (trained.parent / "data",), tmp_path / "full.task", steps=1, batch=2,
        threads=1, size="full", start_from=trained,
    )  # fmt: skip
    train(settings)
    again = tmp_path / "again.task"
    train(replace(settings, out=again, size=None, start_from=settings.out))
    for path, size in ((trained, "lite"), (settings.out, "full"), (again, "full")):
        card = read_bundle(path).card
        assert card is not None
        assert f"detector --kind face --size {size} " in card.command
        assert parent_size(path, "face-detector") == size


@pytest.mark.long
def test_smaller_detectors_keep_the_surest_keypoints(tmp_path: Path) -> None:
    data, out = (tmp_path / "data",), tmp_path / "m.task"
    write_drawn_dataset(data[0], "face", 8, size=128)
    train(TrainSettings("face-detector", data, out, steps=12, batch=8, threads=1, also=PRECISIONS))
    for precision in PRECISIONS:
        bundle = read_bundle(out.with_name(f"m.{precision}.task"))
        assert bundle.card is not None
        (entry,) = bundle.card.models
        model = Model.from_bytes(bundle.members[entry.file], precision)
        assert model.runs_whole_in_xnnpack()
        metrics = {one.metric: one.value for one in bundle.card.metrics}
        assert 0 < metrics[f"keypoints of {precision} from fp32, px"] <= MAX_KEYPOINT_PX


def test_a_detector_of_ours_opens_alone_and_packed(trained: Path, tmp_path: Path) -> None:
    brightness_bundle(tmp_path / "landmarks.task", np.random.default_rng(0).random((478, 3)) * 192)
    image = load_training_data([trained.parent / "data"], topology("face478@1"))
    picture = image.datasets[0].read_image(image.train[0].source[1])
    solution = open_solution("face-detection", model=str(trained), static=True, min_score=0.05)
    assert solution.process(picture, 0)
    pack_bundle(trained, tmp_path / "landmarks.task", tmp_path / "both.task")
    roles = [model.role for model in read_bundle(tmp_path / "both.task").card.models]
    assert roles == ["detector", "landmarks", "geometry"]
    open_solution("face", model=str(tmp_path / "both.task"), static=True).process(picture, 0)


def test_evaluate_measures_a_detector_alone(trained: Path) -> None:
    words = [str(trained), "--data", str(trained.parent / "data"), "--split", "all", "--json"]
    app = typer.Typer()
    app.command()(evaluate)
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 0, result.output + repr(result.exception)
    told = json.loads(result.stdout)
    assert told["subjects"] == 4
    assert 0.5 <= told["average_precision"] <= 1
    found = 4 - told["missed"]
    assert told["n"] == found
    assert told["recall"] == pytest.approx(found / 4)
    assert told["empty_pictures"] == 0
    if found:
        assert told["region"]["size"]["median"] < 0.5
    assert set(told["by"]) == {
        "right eye", "left eye", "nose", "mouth", "right ear", "left ear",
    }  # fmt: skip
    if found:
        means = [estimate["mean"] for estimate in told["by"].values()]
        assert told["mean"] == pytest.approx(np.mean(means), rel=1e-4)
        assert told["mean"] < 25


@pytest.mark.parametrize("name", sorted(DETECTOR_NETWORKS))
def test_a_network_of_every_kind_fits_its_layout(name: str) -> None:
    network = DETECTOR_NETWORKS[name]().eval()
    size, keypoints = network.input_size, network.keypoints
    count = len(network.layout.anchors())
    with torch.no_grad():
        outputs = network(torch.zeros(1, 3, size, size))
    assert outputs["boxes"].shape == (1, count, 4 + 2 * keypoints)
    assert outputs["scores"].shape == (1, count, 1)
    assert float(torch.sigmoid(outputs["scores"]).max()) < 0.1, "nothing is found untrained"
