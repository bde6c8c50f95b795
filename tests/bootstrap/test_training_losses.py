"""What a loss may and may not pull on."""

from __future__ import annotations

import math
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
import torch

from bootstrap.training.batches import Batch, stacked
from bootstrap.training.crops import Example
from bootstrap.training.losses import (
    WING_CURVATURE,
    WING_WIDTH,
    Target,
    keypoint_errors,
    losses,
    map_surprise,
    wing,
)


def example(rng: np.random.Generator, points: int = 21, **changes: object) -> Example:
    def floats(*shape: int) -> np.ndarray:
        return rng.random(shape, dtype=np.float32)

    values: dict[str, object] = {
        "image": np.zeros((8, 8, 3), np.uint8), "landmarks": floats(points, 3),
        "weight": np.ones(points, np.float32), "z_weight": np.ones(points, np.float32),
        "normaliser": 0.3, "presence": 1.0, "world_m": floats(points, 3) * 0.1,
        "world_weight": np.ones(points, np.float32), "right": 1.0, "right_weight": 1.0,
        "drawn": floats(7, 2), "drawn_weight": np.ones(7, np.float32),
    }  # fmt: skip
    return Example(**{**values, **changes})  # type: ignore[arg-type]


def batch_of(*examples: Example) -> Target:
    return Target.of(stacked(examples))


def outputs(count: int, points: int = 21) -> dict[str, torch.Tensor]:
    rng = torch.Generator().manual_seed(0)
    shapes = {
        "landmarks": 3 * points, "presence": 1, "world": 3 * points, "handedness": 1,
        "contours": 14,
    }  # fmt: skip
    return {
        name: torch.randn(count, n, generator=rng).requires_grad_() for name, n in shapes.items()
    }


NOTHING = np.zeros(21, np.float32)
ONES = np.ones(21, np.float32)


def test_without_metric_labels_z_has_no_gradient() -> None:
    rng = np.random.default_rng(0)
    flat = example(rng, z_weight=NOTHING, world_weight=NOTHING)
    target, found = batch_of(example(rng), flat), outputs(2)
    losses(found, target)["loss"].backward()
    gradient = found["landmarks"].grad.reshape(2, 21, 3)
    assert (gradient[1, :, 2] == 0).all()
    assert (gradient[1, :, :2] != 0).all()
    assert (gradient[0] != 0).all()
    assert (found["world"].grad[1] == 0).all()
    assert (found["world"].grad[0] != 0).all()


def test_unlabelled_keypoints_have_no_gradient_and_occluded_ones_less() -> None:
    rng = np.random.default_rng(1)
    weight = ONES.copy()
    weight[3], weight[5] = 0.0, 0.5
    found = outputs(1)
    losses(found, batch_of(example(rng, weight=weight, z_weight=weight)))["loss"].backward()
    half = found["landmarks"].grad.reshape(21, 3).clone()
    whole = outputs(1)
    rng = np.random.default_rng(1)
    losses(whole, batch_of(example(rng)))["loss"].backward()
    full = whole["landmarks"].grad.reshape(21, 3)
    assert (half[3] == 0).all()
    torch.testing.assert_close(half[5], full[5] / 2)
    torch.testing.assert_close(half[4], full[4])


def test_a_negative_teaches_presence_alone() -> None:
    rng = np.random.default_rng(2)
    negative = example(
        rng, weight=NOTHING, z_weight=NOTHING, presence=0.0, world_weight=NOTHING, right_weight=0.0,
        drawn_weight=np.zeros(7, np.float32),
    )  # fmt: skip
    found = outputs(1)
    losses(found, batch_of(negative))["loss"].backward()
    assert (found["presence"].grad > 0).all(), "pushed down"
    for name in ("landmarks", "world", "handedness", "contours"):
        assert (found[name].grad == 0).all(), name


def test_drawn_lines_teach_where_they_are_labelled_and_nothing_else() -> None:
    rng = np.random.default_rng(7)
    some = np.array([1, 1, 0, 0, 0.5, 1, 1], np.float32)
    found = outputs(1)
    lines = example(
        rng, weight=NOTHING, z_weight=NOTHING, world_weight=NOTHING, right_weight=0.0,
        drawn_weight=some,
    )  # fmt: skip
    losses(found, batch_of(lines))["loss"].backward()
    gradient = found["contours"].grad.reshape(7, 2)
    assert ((gradient != 0).all(axis=1) == torch.from_numpy(some > 0)).all()
    for name in ("landmarks", "world", "handedness"):
        assert (found[name].grad == 0).all(), name


def test_maps_are_drawn_to_where_keypoints_are() -> None:
    landmarks = torch.tensor([[[0.3, 0.7, 0.0], [0.6, 0.2, 0.0], [1.2, 0.5, 0.0]]])
    maps = torch.full((1, 3, 10, 10), -8.0, requires_grad=True)
    surprise = map_surprise(maps, landmarks)
    assert surprise[0, :2].tolist() == pytest.approx([math.log(100)] * 2, rel=1e-3), "even"
    assert surprise[0, 2] == 0, "outside of the crop"
    surprise.sum().backward()
    pull = -maps.grad[0]
    assert (pull[2] == 0).all()
    for one, (x, y, _) in zip(pull, landmarks[0, :2].tolist()):
        row, column = divmod(int(one.argmax()), 10)
        assert abs(column + 0.5 - 10 * x) <= 0.5 + 1e-6
        assert abs(row + 0.5 - 10 * y) <= 0.5 + 1e-6
    wanted = torch.full((1, 1, 10, 10), -12.0)
    wanted[0, 0, 5:9, 1:5] = -8.0
    assert map_surprise(wanted, landmarks[:, :1]) < math.log(100), "right is less surprising"
    assert map_surprise(wanted, landmarks[:, 1:2]) > math.log(100), "wrong is more"


def test_handedness_pulls_towards_the_label() -> None:
    rng = np.random.default_rng(3)
    found = outputs(3)
    target = batch_of(
        example(rng, right=1.0), example(rng, right=0.0), example(rng, right_weight=0.0)
    )
    losses(found, target)["loss"].backward()
    right, left, unknown = found["handedness"].grad[:, 0].tolist()
    assert right < 0 < left
    assert unknown == 0


def test_one_labelled_example_does_not_count_for_a_whole_batch() -> None:
    rng = np.random.default_rng(4)
    one = example(rng)
    flat = example(rng, z_weight=NOTHING)
    found = outputs(4)
    alone = losses({k: v[:1] for k, v in found.items()}, batch_of(one))["z"]
    among = losses(found, batch_of(one, flat, flat, flat))["z"]
    torch.testing.assert_close(among, alone / 4)


def test_wing_is_continuous_and_steep_near_zero() -> None:
    at = torch.tensor([0.0, WING_WIDTH - 1e-6, WING_WIDTH + 1e-6, 1.0])
    values = wing(at)
    assert values[0] == 0
    assert float(values[2] - values[1]) == pytest.approx(0, abs=1e-4)
    assert (values.diff() >= 0).all()
    x = torch.tensor([0.0, 0.5], requires_grad=True)
    wing(x).sum().backward()
    assert x.grad.tolist() == pytest.approx([WING_WIDTH / WING_CURVATURE, 1.0])


def test_errors_are_scaled_by_the_normaliser_and_leave_out_unlabelled_keypoints() -> None:
    rng = np.random.default_rng(5)
    weight = ONES.copy()
    weight[0] = 0
    one = example(rng, weight=weight, normaliser=0.25)
    predicted = torch.from_numpy(one.landmarks.copy())
    predicted[:, 0] += 0.03
    predicted[:, 1] -= 0.04
    predicted[:, 2] += 9.0
    predicted[0] += 5.0
    found = keypoint_errors({"landmarks": predicted.reshape(1, -1)}, batch_of(one))
    assert found.tolist() == pytest.approx([0.05 / 0.25], rel=1e-4)


def test_targets_are_channels_last_views_of_the_batch() -> None:
    rng = np.random.default_rng(6)
    image = rng.integers(0, 256, (8, 8, 3)).astype(np.uint8)
    target = batch_of(example(rng, image=image), example(rng, image=image))
    assert target.image.shape == (2, 3, 8, 8)
    assert target.image.is_contiguous(memory_format=torch.channels_last)
    np.testing.assert_allclose(target.image[1].permute(1, 2, 0), image / 255.0, atol=1e-7)
    assert {f.name for f in fields(Target)} == {f.name for f in fields(Batch)}


def test_the_log_survives_a_cut_line(tmp_path: Path) -> None:
    from bootstrap.training.report import Log, Status, read_log

    path = tmp_path / "a.log.jsonl"
    log = Log(path)
    for step in (1, 2, 3):
        log.write(Status(step, step * 1.0, 0.1, 16 * step, {"loss": 0.5}, 1e-3, 99.0, 0.05, None))
    log.close()
    with path.open("a") as file:
        file.write('{"step": 4, "ela')
    assert [line["step"] for line in read_log(path)] == [1, 2, 3]
    Log(path, kept_steps=2).close()
    assert [line["step"] for line in read_log(path)] == [1, 2]
    assert read_log(path)[1]["loss"] == {"loss": 0.5}
    Log(path).close()
    assert read_log(path) == []
