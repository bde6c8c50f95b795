"""The pose network: what teaches what, crops as the runtime's, tensors as MediaPipe's."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from typer.testing import CliRunner

from bootstrap.body_alignment import aligned_topology, alignment_of
from bootstrap.export import Deployed
from bootstrap.export_layouts import SPARE
from bootstrap.networks.pose import POINTS, PoseNetwork
from bootstrap.training.batches import stacked
from bootstrap.training.body_crops import (
    BodyBatch,
    BodyPictures,
    body_in_roi,
    training_body,
    validation_bodies,
)
from bootstrap.training.losses import MAP_SPREAD_CELLS
from bootstrap.training.pose import BodyTarget, PoseTeaching, pose_losses
from bootstrap.training.subjects import TrainingData, load_training_data
from runtime.roi import body_roi, crop_from_image, warp_crop
from runtime.solutions.pose_model import HeatmapRefinement
from runtime.topology import topology
from tests.bootstrap.drawn_bodies import write_drawn_bodies

SIDE = 192


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("bodies")
    write_drawn_bodies(root, 12)
    return root


@pytest.fixture(scope="module")
def bodies(folder: Path) -> TrainingData:
    return load_training_data([folder], topology("pose33@1"))


@pytest.fixture(scope="module")
def batch(bodies: TrainingData) -> BodyBatch:
    pictures = BodyPictures(bodies.datasets, 2**28)
    return validation_bodies(bodies.train, pictures, SIDE, 4)[0]


def answers(batch: BodyBatch) -> dict[str, Tensor]:
    """Random outputs of a network for a batch, leaves that take a gradient."""
    torch.manual_seed(0)
    count, cells = len(batch.image), SIDE // 4
    shapes = {
        "landmarks": (3 * POINTS,), "world": (3 * POINTS,), "seen": (2 * POINTS,), "presence": (1,),
        "heatmaps": (POINTS, cells, cells), "offsets": (2 * POINTS, cells, cells),
        "silhouette": (1, cells, cells),
    }  # fmt: skip
    return {k: torch.randn(count, *v).requires_grad_() for k, v in shapes.items()}


def gradients(batch: BodyBatch) -> dict[str, Tensor]:
    found = answers(batch)
    pose_losses(found, BodyTarget.of(batch))["loss"].backward()
    return {name: value.grad for name, value in found.items() if value.grad is not None}


def test_the_trunk_learns_from_fields_alone_and_the_tower_from_points_alone() -> None:
    network = PoseNetwork().train()
    outputs = network(torch.rand(2, 3, SIDE, SIDE))
    fields = {"heatmaps", "offsets", "silhouette"}
    sum(outputs[name].sum() for name in outputs.keys() - fields).backward()
    tower = {"tower", "flat", "landmarks", "world", "seen", "presence"}
    taught = {n.split(".")[0] for n, p in network.named_parameters() if p.grad is not None}
    assert taught == tower
    network.zero_grad(set_to_none=True)
    outputs = network(torch.rand(2, 3, SIDE, SIDE))
    sum(outputs[name].sum() for name in fields).backward()
    taught = {n.split(".")[0] for n, p in network.named_parameters() if p.grad is not None}
    assert not taught & tower
    assert taught >= {"to_quarter", "to_thirty_second", "up_to_quarter", "fields"}


def test_a_body_lies_in_its_crop_as_the_runtime_would_take_it(bodies: TrainingData) -> None:
    for subject in bodies.train:
        here = crop_from_image(subject.roi, subject.keypoints_px)
        # A side is 1.25 times twice the reach (BODY_SCALE): the points that align lie at
        np.testing.assert_allclose(here[33:], [[0.5, 0.5], [0.5, 0.1]], atol=1e-5)
        shoulders = here[[11, 12]].mean(axis=0)
        assert shoulders[0] == pytest.approx(0.5, abs=1e-4), "the trunk stands upright"
        assert shoulders[1] < 0.5
        assert (np.linalg.norm(here[:33] - 0.5, axis=1) <= 0.4).all(), "the circle holds all of it"


def test_points_that_align_turn_and_grow_with_the_body() -> None:
    rng = np.random.default_rng(3)
    points = rng.uniform(0, 100, (33, 2))
    cos, sin = 1.7 * math.cos(0.6), 1.7 * math.sin(0.6)
    moved = points @ np.array([[cos, sin], [-sin, cos]]) + (30, -8)
    one, other = body_roi(alignment_of(points)), body_roi(alignment_of(moved))
    assert other.width == pytest.approx(1.7 * one.width, rel=1e-4)
    turn = other.rotation_rad - one.rotation_rad - 0.6
    assert math.cos(turn) == pytest.approx(1, abs=1e-6)
    points[23] = np.nan
    assert np.isnan(alignment_of(points)).all()


def test_a_mirrored_body_is_the_body_of_the_mirrored_picture(bodies: TrainingData) -> None:
    subject = bodies.train[0]
    image, subject = BodyPictures(bodies.datasets, 0).of(subject)
    assert image.shape[2] == 4
    shape = aligned_topology()
    other, flipped = subject.mirrored(shape, image.shape[1]), image[:, ::-1].copy()
    one = body_in_roi(image, warp_crop(image, subject.roi, SIDE, SIDE), subject, subject.roi)
    two = body_in_roi(flipped, warp_crop(flipped, other.roi, SIDE, SIDE), other, other.roi)
    order = shape.mirror_order
    np.testing.assert_allclose(two.landmarks[:, 0], 1 - one.landmarks[order, 0], atol=1e-4)
    np.testing.assert_allclose(two.landmarks[:, 1:], one.landmarks[order, 1:], atol=1e-4)
    np.testing.assert_array_equal(two.visible, one.visible[order])
    assert np.abs(two.silhouette - one.silhouette[:, ::-1]).mean() < 0.02  # the half-pixel shift
    assert 0.02 < one.silhouette.mean() < 0.5
    again = other.mirrored(shape, image.shape[1])
    np.testing.assert_allclose(again.keypoints_px, subject.keypoints_px, atol=1e-4)


def test_what_is_outside_of_the_picture_counts_less_and_is_not_seen(bodies: TrainingData) -> None:
    image, subject = BodyPictures(bodies.datasets, 0).of(bodies.train[0])
    ankle = subject.keypoints_px[27, 1]
    cut = np.ascontiguousarray(image[: int(ankle) - 2])
    whole, part = (
        body_in_roi(one, warp_crop(one, subject.roi, SIDE, SIDE), subject, subject.roi)
        for one in (image, cut)
    )
    assert whole.inside.sum() > part.inside.sum()
    gone = (whole.inside == 1) & (part.inside == 0)
    assert gone[27]
    assert (part.visible[gone] == 0).all()
    assert (part.weight[gone] < whole.weight[gone]).all()
    np.testing.assert_array_equal(part.weight[~gone], whole.weight[~gone])


def test_labels_that_a_body_lacks_have_no_gradient(batch: BodyBatch) -> None:
    """As of a photograph: no metres, no silhouette, the elbows not labelled."""
    known = np.ones(POINTS, dtype=np.float32)
    known[[13, 14]] = 0
    photograph = replace(
        batch,
        weight=batch.weight * known,
        told=batch.told * known,
        z_weight=np.zeros_like(batch.z_weight),
        world_weight=np.zeros_like(batch.world_weight),
        silhouette_weight=np.zeros_like(batch.silhouette_weight),
    )
    found = gradients(photograph)
    points = found["landmarks"].unflatten(1, (POINTS, 3))
    assert (points[..., 2] == 0).all()
    assert (points[:, known > 0, :2] != 0).any(dim=2).all()
    assert (found["world"] == 0).all()
    assert (found["silhouette"] == 0).all()
    for name in ("landmarks", "seen", "heatmaps", "offsets"):
        mine = found[name].unflatten(1, (POINTS, -1))[:, [13, 14]]
        assert (mine == 0).all(), name
    seen = found["seen"].unflatten(1, (POINTS, 2))
    assert (seen[:, 33:] == 0).all(), "nobody sees the points that align"
    assert (seen[:, 0] != 0).all()


def test_a_crop_without_a_body_teaches_presence_and_that_nothing_is_hot(
    bodies: TrainingData,
) -> None:
    nobody = replace(bodies.train[0], topology_id="")
    image = BodyPictures(bodies.datasets, 0).of(bodies.train[0])[0]
    examples = [training_body(image, nobody, SIDE, np.random.default_rng(i)) for i in range(2)]
    found = gradients(stacked(examples, BodyBatch))
    assert (found["presence"] > 0).all()
    assert (found["heatmaps"] > 0).all()
    for name in ("landmarks", "world", "seen", "offsets", "silhouette"):
        assert (found[name] == 0).all(), name


def test_the_true_heatmaps_lead_the_runtime_to_the_true_points(batch: BodyBatch) -> None:
    """Taught so, its refinement moves a point that is off by a cell and a half to its place."""
    cells = SIDE // 4
    grid = np.arange(cells)
    for landmarks, inside in zip(batch.landmarks, batch.inside):
        x, y = (landmarks[:, axis, None] * cells - grid for axis in (0, 1))
        near = (x**2)[:, None, :] + (y**2)[:, :, None]
        heat = np.exp(-near / (2 * MAP_SPREAD_CELLS**2)).clip(1e-6, 1 - 1e-6)
        logits = np.log(heat / (1 - heat)).transpose(1, 2, 0).astype(np.float32)
        norm = (landmarks.T.copy() + np.float32(1.5 / cells)).astype(np.float32)
        HeatmapRefinement((cells, cells, POINTS), POINTS)(norm, logits)
        inner = (inside > 0) & (np.abs(landmarks[:, :2] - 0.5) < 0.4).all(axis=1)
        assert inner.sum() > 20
        off = np.linalg.norm(norm.T[inner, :2] - landmarks[inner, :2], axis=1) * cells
        assert off.max() < 0.15


def test_exported_tensors_are_mediapipes() -> None:
    torch.manual_seed(1)
    network = PoseNetwork().eval()
    for head in (network.landmarks, network.world):
        torch.nn.init.normal_(head.basis.weight, std=0.1)
    picture = torch.rand(1, SIDE, SIDE, 3)
    with torch.no_grad():
        inside = network(picture.permute(0, 3, 1, 2))
        given = Deployed(network)(picture)
    shapes = {name: tuple(value.shape) for name, value in given.items()}
    assert shapes == {
        "landmarks": (1, 195), "presence": (1, 1), "silhouette": (1, SIDE, SIDE, 1),
        "heatmaps": (1, SIDE // 4, SIDE // 4, 39), "world": (1, 117),
    }  # fmt: skip
    points = given["landmarks"].reshape(POINTS + SPARE, 5)
    close = {"rtol": 1e-4, "atol": 1e-3}
    expected = inside["landmarks"].reshape(POINTS, 3) * SIDE
    torch.testing.assert_close(points[:POINTS, :3], expected, **close)
    torch.testing.assert_close(points[:POINTS, 3:], inside["seen"].reshape(POINTS, 2), **close)
    assert (torch.sigmoid(points[POINTS:, 3:]) < 1e-3).all()
    torch.testing.assert_close(
        given["heatmaps"][0, :, :, :POINTS], inside["heatmaps"][0].permute(1, 2, 0), **close
    )
    torch.testing.assert_close(given["world"][0, : 3 * POINTS], inside["world"][0], **close)
    coarse = torch.nn.functional.avg_pool2d(given["silhouette"].permute(0, 3, 1, 2), 4)
    assert float((coarse - inside["silhouette"]).abs().mean()) < 0.2


def test_it_learns_a_few_bodies_by_heart(folder: Path, tmp_path: Path) -> None:
    from bootstrap.training.loop import Loop
    from bootstrap.training.report import Log, Silent, read_log

    torch.set_num_threads(1)
    data = load_training_data([folder], topology("pose33@1"))
    lessons = PoseTeaching(replace(data, train=data.train[:2], val=data.train[:2]))
    network, crops = lessons.new_network(0), lessons.validation(2)
    before = float(lessons.errors(network, crops).mean())
    loop = Loop(
        network, lessons, crops, 4, 24, None, {}, tmp_path / "c.safetensors", Silent(),
        lambda: False,
    )  # fmt: skip
    batches, log = lessons.batches(4, 0, 0), Log(tmp_path / "l.jsonl")
    try:
        loop.run(batches, log)
    finally:
        batches.close()
        log.close()
    curve = [line["loss"]["loss"] for line in read_log(tmp_path / "l.jsonl")]
    assert np.mean(curve[-3:]) < 0.8 * curve[0]  # every line is of a step or two
    assert float(lessons.errors(loop.average, crops).mean()) < 0.75 * before


@pytest.mark.long
def test_a_trained_bundle_runs_and_is_measured(folder: Path, tmp_path: Path) -> None:
    """From the command line to `run pose` and `evaluate`."""
    from bootstrap.evaluate import Settings, evaluate_model
    from bootstrap.training.commands import train_app
    from runtime.bundle import read_bundle
    from runtime.model_store import missing_released
    from runtime.solutions import open_solution

    out = tmp_path / "pose.task"
    words = ["pose", "--data", str(folder), "--out", str(out), "--steps", "80", "--batch", "4"]
    words += ["--threads", "1", "--also", "fp16", "--json"]
    result = CliRunner().invoke(train_app, words)
    assert result.exit_code == 0, result.output + repr(result.exception)
    told = json.loads(result.stdout)
    assert told["xnnpack_partitions"] == 1
    assert told["difference_from_torch"] < 1e-5
    found = evaluate_model(out, Settings((folder,), split="val", by="joint"))
    assert found.overall.mean / 100 == pytest.approx(told["validation_error"]["mean"], rel=0.35)
    assert set(found.by) == set(topology("pose33@1").keypoint_names)
    smaller, exact = read_bundle(tmp_path / "pose.fp16.task"), read_bundle(out)
    file = "pose_landmarks_detector.tflite"
    assert len(smaller.members[file]) < 0.6 * len(exact.members[file])
    if missing_released("pose_detection"):
        pytest.skip("MediaPipe's models aren't here: viewfinder models fetch")
    solution = open_solution("pose", out, static=True, segmentation=True)
    try:
        solution.process(np.zeros((64, 64, 3), np.uint8), 0)
    finally:
        solution.close()
