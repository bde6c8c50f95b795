"""The iris network: right eyes and mirrored left ones, what it learns, and that run takes it."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from bootstrap.dataset import Dataset, Sample
from bootstrap.export_quantised import MAX_KEYPOINT_PX, PRECISIONS
from bootstrap.networks.iris import IrisNetwork
from bootstrap.training.crops import Jitter
from bootstrap.training.iris import (
    POINTS,
    EyeBatches,
    IrisTeaching,
    eye_example,
    eye_topology,
    eyes_of,
    right_eye,
)
from bootstrap.training.losses import Target
from bootstrap.training.subjects import TrainingData, load_training_data
from bootstrap.training.train import TrainSettings, checkpoint_path, train
from runtime.bundle import read_bundle
from runtime.errors import ViewfinderError
from runtime.model import Model
from runtime.solutions.face_attention import RIGHT_EYE
from runtime.topology import topology
from tests.bootstrap.drawn_subjects import write_drawn_dataset

FACE = topology("face478@1")
STILL = Jitter(0.0, 1.0, 0.0, 0.0, 0.0)


@pytest.fixture(scope="module")
def faces(tmp_path_factory: pytest.TempPathFactory) -> TrainingData:
    folder = tmp_path_factory.mktemp("iris") / "faces"
    write_drawn_dataset(folder, "face", 8, size=384)
    return load_training_data([folder], FACE)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)  # two that wait for each other on a busy machine take minutes
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def teaching(faces: TrainingData) -> IrisTeaching:
    return IrisTeaching(faces)


def test_a_left_eye_is_the_right_one_of_the_mirrored_picture(faces: TrainingData) -> None:
    rng = np.random.default_rng(0)
    picture = cv2.resize(rng.integers(0, 256, (48, 48, 3)).astype(np.uint8), (384, 384))
    face = faces.train[0]
    turned = face.mirrored(FACE, 384)
    left = next(e for e in eyes_of([face]) if e.left)
    right = next(e for e in eyes_of([turned]) if not e.left)
    shown = eye_example(*left.right_in(picture, face), rng, STILL, vary=False)
    same = eye_example(*right.right_in(picture[:, ::-1].copy(), turned), rng, STILL, vary=False)
    np.testing.assert_array_equal(shown.image, same.image)
    np.testing.assert_allclose(shown.landmarks, same.landmarks, atol=1e-5)


def test_labels_lie_in_the_crop_as_the_runtime_takes_it(faces: TrainingData) -> None:
    # A dot drawn at each of the eye's corners is found where the labels of the crop say.
    rng = np.random.default_rng(1)
    for eye in eyes_of(faces.train)[:6]:
        face = eye.face.mirrored(FACE, 384) if eye.left else eye.face
        subject = right_eye(face)
        for corner in eye_topology().normaliser:
            picture = np.zeros((384, 384, 3), np.uint8)
            x, y = subject.keypoints_px[corner]
            cv2.circle(picture, (int(x * 16) - 8, int(y * 16) - 8), 3 * 16, (255,) * 3, -1, 8, 4)
            example = eye_example(picture, subject, rng, STILL, vary=False)
            light = example.image[..., 0].astype(float)
            v, u = np.indices(light.shape) + 0.5
            found = np.array([(u * light).sum(), (v * light).sum()]) / light.sum() / 64
            # Whole pixels of the picture, of which the crop has some 40.
            assert np.abs(found - example.landmarks[corner, :2]).max() < 0.03


def test_z_comes_from_metric_labels_alone(faces: TrainingData, teaching: IrisTeaching) -> None:
    flat = replace(eyes_of(faces.train)[0].face, z_px=None)
    eye = eyes_of([flat])[0]
    picture = np.full((384, 384, 3), 90, np.uint8)
    rng = np.random.default_rng(2)
    example = eye_example(*eye.right_in(picture, flat), rng, STILL, vary=True)
    from bootstrap.training.batches import stacked

    network = teaching.new_network(0)
    teaching.losses(network, stacked([example, example]))["loss"].backward()
    for head in (network.eye, network.iris):
        rows = head.basis.weight.grad.reshape(-1, 3, head.basis.in_features)
        assert (rows[:, 2] == 0).all()
        assert (rows[:, :2] != 0).any()


def test_eyes_that_cannot_be_learnt_from_are_left_out(faces: TrainingData) -> None:
    face = faces.train[0]
    unlabelled = face.weight.copy()
    unlabelled[list(RIGHT_EYE[:3])] = 0
    assert [e.left for e in eyes_of([replace(face, weight=unlabelled)])] == [True]
    tiny = replace(face, keypoints_px=face.keypoints_px * 0.03)
    assert eyes_of([tiny]) == []
    with pytest.raises(ViewfinderError, match="eye"):
        IrisTeaching(replace(faces, train=(tiny,)))


def test_batches_depend_on_seed_and_step_alone(faces: TrainingData, teaching: IrisTeaching) -> None:
    one, other = (teaching.batches(4, 7, start) for start in (0, 2))
    try:
        assert isinstance(one, EyeBatches)
        np.testing.assert_array_equal(one.at(3).image, other.at(3).image)
        assert (one.at(3).image != one.at(4).image).any()
    finally:
        one.close()
        other.close()


def test_it_starts_at_the_mean_eye_and_learns_a_few_by_heart(teaching: IrisTeaching) -> None:
    torch.manual_seed(0)
    network = teaching.new_network(0)
    source = teaching.batches(16, 0, 0)
    batch = source.at(0)
    source.close()
    target = Target.of(batch)
    with torch.no_grad():
        start = network(target.image)
    assert start["eye"].shape == (16, 213)
    assert start["iris"].shape == (16, 15)
    before = float(teaching.losses(network, batch)["xy"].detach())
    optimiser = torch.optim.AdamW(network.parameters(), lr=2e-3)
    for _ in range(25):
        loss = teaching.losses(network, batch)["loss"]
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert float(teaching.losses(network, batch)["xy"].detach()) < 0.5 * before


def test_the_layout_is_a_right_eye_of_the_mesh() -> None:
    shape = eye_topology()
    assert shape.size == len(POINTS) == 76
    assert len(shape.contours["eye"].indices) == 16
    assert sorted(shape.contours["iris"].indices) == [72, 73, 74, 75]
    assert IrisNetwork.input_size == 64


# -- what can't work ----------------------------------------------------------------------


def stopped_after(steps: int) -> Callable[[], bool]:
    asked = iter(range(steps + 1))
    return lambda: next(asked) >= steps


def settings_for(data: Path, out: Path, **changes: object) -> TrainSettings:
    base = TrainSettings("iris", (data,), out, steps=50, batch=2, threads=1)
    return replace(base, **changes)  # type: ignore[arg-type]


def test_a_damaged_shard_is_one_line_and_keeps_the_last_checkpoint(
    faces: TrainingData, tmp_path: Path
) -> None:
    folder = tmp_path / "faces"
    shutil.copytree(faces.datasets[0].root, folder)
    settings = settings_for(folder, tmp_path / "iris.task")
    assert train(settings, stop=stopped_after(1)).steps == 1
    good = checkpoint_path(settings.out).read_bytes()
    dataset = Dataset.open(folder)
    row, shard = dataset.row("00000000"), dataset.shard_path(0)
    data = bytearray(shard.read_bytes())
    at = int(row["offset"]) + int(row["length"]) // 2
    data[at : at + 64] = bytes(64)
    shard.write_bytes(data)
    with pytest.raises(ViewfinderError, match=r"000000\.tar") as error:
        train(replace(settings, resume=True))
    assert "\n" not in str(error.value)
    assert checkpoint_path(settings.out).read_bytes() == good
    assert not settings.out.exists()


def test_a_loss_that_is_no_number_keeps_the_last_checkpoint(
    faces: TrainingData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from bootstrap.training import iris

    settings = settings_for(faces.datasets[0].root, tmp_path / "iris.task")
    train(settings, stop=stopped_after(1))
    good = checkpoint_path(settings.out).read_bytes()
    real = iris.losses
    monkeypatch.setattr(iris, "losses", lambda *a: {k: v / 0 for k, v in real(*a).items()})
    with pytest.raises(ViewfinderError, match="isn't a number any more"):
        train(replace(settings, resume=True))
    assert checkpoint_path(settings.out).read_bytes() == good


def test_nothing_to_learn_from(faces: TrainingData, tmp_path: Path) -> None:
    hands = tmp_path / "hands"
    write_drawn_dataset(hands, "hand", 4, size=64)
    with pytest.raises(ViewfinderError, match=r"no labelled subject.*face478@1"):
        train(settings_for(hands, tmp_path / "iris.task"))
    source = faces.datasets[0]
    held_out = Dataset.create(tmp_path / "test", source.info)
    samples = [
        Sample(
            sample_id=name, image=source.read_image_bytes(name), extension="png", width=384,
            height=384, camera=source.camera(name), split="test",
        )
        for name in source.samples()["sample_id"]
    ]  # fmt: skip
    held_out.write_shard(0, samples, {"synthetic": source.labels("synthetic")})
    with pytest.raises(ViewfinderError, match="no labelled subject") as error:
        train(settings_for(held_out.root, tmp_path / "iris.task"))
    assert "train split" in str(error.value)
    assert not checkpoint_path(tmp_path / "iris.task").exists()


@pytest.mark.long
def test_every_precision_keeps_eye_and_iris(faces: TrainingData, tmp_path: Path) -> None:
    out = tmp_path / "iris.task"
    train(settings_for(faces.datasets[0].root, out, steps=3, also=PRECISIONS))
    exact = read_bundle(out)
    for precision in PRECISIONS:
        bundle = read_bundle(tmp_path / f"iris.{precision}.task")
        assert bundle.card is not None
        (entry,) = bundle.card.models
        model = Model.from_bytes(bundle.members[entry.file], precision)
        assert model.runs_whole_in_xnnpack()
        assert len(bundle.members[entry.file]) < 0.75 * len(exact.members[entry.file])
        metrics = {one.metric: one.value for one in bundle.card.metrics}
        assert 0 < metrics[f"keypoints of {precision} from fp32, px"] <= MAX_KEYPOINT_PX


@pytest.mark.long
def test_run_iris_takes_the_bundle(faces: TrainingData, tmp_path: Path) -> None:
    from runtime.model_store import missing_released
    from runtime.solutions import open_solution

    if missing_released("face_detection_short_range", "face_landmark"):
        pytest.skip("MediaPipe's models aren't here: viewfinder models fetch")
    out = tmp_path / "iris.task"
    train(TrainSettings("iris", (faces.datasets[0].root,), out, steps=4, threads=1))
    solution = open_solution("iris", out, static=True)
    try:
        solution.process(np.zeros((64, 64, 3), np.uint8), 0)
    finally:
        solution.close()
