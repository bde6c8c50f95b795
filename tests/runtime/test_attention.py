"""The attention model in pieces: where it is cut, what our operators do, what comes out."""

from __future__ import annotations

import contextlib
import json
import math
from pathlib import Path

import numpy as np
import pytest
from flatbuffers import flexbuffers
from hypothesis import given, settings
from hypothesis import strategies as st

from runtime.attention.model import SplitModel, needs_splitting
from runtime.attention.operators import make_operators
from runtime.attention.split import CustomOperator, Piece, split_graph
from runtime.errors import ViewfinderError
from runtime.image import read_image
from runtime.model import Model
from runtime.model_store import released_model
from runtime.solutions import open_solution
from runtime.solutions.face_attention import LIPS, RIGHT_EYE, left_eye
from tests.runtime.small_models import constant_model

angles = st.floats(-3, 3)


def run_one(kind: str, inputs: list[np.ndarray], output: tuple[int, ...], **options: object):
    """One operator on its inputs."""
    tensors = dict(enumerate(np.asarray(array, dtype=np.float32) for array in inputs))
    target = len(tensors)
    operator = CustomOperator(
        kind, flexbuffers.Dumps(options) if options else b"", tuple(tensors), (target,)
    )
    shapes = [array.shape for array in tensors.values()] + [output]
    made = make_operators([operator], shapes, "test")
    made.run(tensors)
    assert made.outputs[target].shape == output
    return made.outputs[target].copy()


def matrix(angle: float, scale: float, x: float, y: float) -> np.ndarray:
    cos, sin = scale * math.cos(angle), scale * math.sin(angle)
    return np.array([[[cos, -sin, 0, x], [sin, cos, 0, y], [0, 0, 1, 0], [0, 0, 0, 1]]])


def crop_matrix(points: np.ndarray, subset: list[int], left: int, right: int) -> np.ndarray:
    return run_one(
        "Landmarks2TransformMatrix@2", [points[None]], (1, 4, 4), subset_idxs=subset,
        left_rotation_idx=left, right_rotation_idx=right, output_width=16, output_height=16,
        scale_x=1.5, scale_y=1.5, target_rotation_radians=0.0,
    )[0]  # fmt: skip


@given(angles, st.floats(-20, 20), st.floats(-20, 20))
def test_the_crop_turns_and_moves_with_the_landmarks(angle: float, dx: float, dy: float) -> None:
    points = np.random.default_rng(5).uniform(5, 40, (9, 3))
    points[0, :2], points[1, :2] = (10, 20), (30, 20)  # level to begin with
    subset = [2, 3, 4, 5, 6]
    upright = crop_matrix(points, subset, 0, 1)
    low, high = points[subset, :2].min(axis=0), points[subset, :2].max(axis=0)
    centre = upright @ (8, 8, 0, 1)
    np.testing.assert_allclose(centre[:2], (low + high) / 2, atol=1e-4)
    np.testing.assert_allclose((upright @ (16, 16, 0, 1) - upright @ (0, 0, 0, 1))[:2],
                               1.5 * (high - low), atol=1e-4)  # fmt: skip
    motion = matrix(angle, 1, dx, dy)[0]
    moved = points.copy()
    moved[:, :2] = points[:, :2] @ motion[:2, :2].T + (dx, dy)
    np.testing.assert_allclose(crop_matrix(moved, subset, 0, 1), motion @ upright, atol=1e-3)


@given(angles, st.floats(0.1, 1.5), st.floats(4, 14), st.floats(4, 14))
def test_a_linear_map_is_sampled_exactly_and_its_outside_is_zero(
    angle: float, scale: float, x: float, y: float
) -> None:
    rows, columns = np.indices((20, 30), dtype=np.float64)
    features = np.stack([columns, rows, 2 * columns - rows + 1], axis=-1)[None]
    placed = matrix(angle, scale, x, y)
    found = run_one("TransformTensorBilinear@2", [features, placed], (1, 6, 8, 3))[0]
    at = np.stack(np.meshgrid(np.arange(8) + 0.5, np.arange(6) + 0.5), axis=-1)
    at = at @ placed[0, :2, :2].T + placed[0, :2, 3] - 0.5
    edge = np.abs(at - np.clip(at, 0, (29, 19))).max(axis=-1)
    inside, outside = edge == 0, edge > 1e-3
    expected = np.stack([at[..., 0], at[..., 1], 2 * at[..., 0] - at[..., 1] + 1], axis=-1)
    close = np.abs(at - (0, 0)).min(axis=-1) > 1e-3  # the border itself may round either way
    close &= np.abs(at - (29, 19)).min(axis=-1) > 1e-3
    np.testing.assert_allclose(found[inside & close], expected[inside & close], atol=1e-3)
    assert (found[outside] == 0).all()


def test_a_matrix_without_numbers_gives_zeros() -> None:
    features = np.ones((1, 4, 4, 2))
    found = run_one("TransformTensorBilinear@2", [features, np.full((1, 4, 4), np.nan)],
                    (1, 3, 3, 2))  # fmt: skip
    assert (found == 0).all()


@given(angles, st.floats(0.1, 4), st.floats(-9, 9), st.floats(-9, 9))
def test_landmarks_move_by_the_matrix(angle: float, scale: float, x: float, y: float) -> None:
    points = np.random.default_rng(2).uniform(-5, 5, (1, 7, 2))
    placed = matrix(angle, scale, x, y)
    found = run_one("TransformLandmarks@2", [points, placed], (1, 7, 2))
    expected = points @ placed[0, :2, :2].T + (x, y)
    np.testing.assert_allclose(found, expected, atol=1e-4)


@pytest.mark.parametrize(
    ("options", "kind"),
    [
        ({"subset_idxs": [1, 99]}, "Landmarks2TransformMatrix@2"),
        ({"output_width": 0}, "Landmarks2TransformMatrix@2"),
        ({}, "Resampler@1"),
    ],
)
def test_what_cannot_be_run_is_refused(options: dict, kind: str) -> None:
    good = {
        "subset_idxs": [1, 2], "left_rotation_idx": 0, "right_rotation_idx": 1, "output_width": 4,
        "output_height": 4, "scale_x": 1.5, "scale_y": 1.5, "target_rotation_radians": 0.0,
    }  # fmt: skip
    operator = CustomOperator(kind, flexbuffers.Dumps(good | options), (0,), (1,))
    with pytest.raises(ViewfinderError, match=kind):
        make_operators([operator], [(1, 9, 3), (1, 4, 4)], "test")
    with pytest.raises(ViewfinderError, match=kind):
        make_operators([CustomOperator(kind, b"\xff\x01", (0,), (1,))], [(1, 9, 3), ()], "test")


def test_a_model_without_custom_operators_is_one_piece_that_says_the_same() -> None:
    data = constant_model(8, 6, {"x": np.arange(6.0).reshape(1, 6)}, mean_factor=0.5)
    assert not needs_splitting(data)
    graph = split_graph(data, "small")
    (piece,) = graph.steps
    assert isinstance(piece, Piece)
    picture = np.random.default_rng(0).uniform(0, 1, (1, 6, 8, 3))
    whole, part = Model(data, "whole"), Model(piece.data, "part")
    np.testing.assert_array_equal(whole.invoke(picture)["x"], part.invoke(picture)["x"])


@settings(max_examples=60)
@given(st.data())
def test_a_damaged_file_is_refused(data: st.DataObject) -> None:
    whole = bytearray(constant_model(4, 4, {"x": np.ones((1, 3))}))
    for _ in range(data.draw(st.integers(1, 6))):
        whole[data.draw(st.integers(8, len(whole) - 1))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(ViewfinderError):
        split_graph(bytes(whole), "damaged")


def test_refined_keypoints_are_each_named_once() -> None:
    everything = (*LIPS, *RIGHT_EYE, *left_eye())
    assert (len(LIPS), len(RIGHT_EYE)) == (80, 71)
    assert len(set(everything)) == len(everything)
    assert max(everything) < 468


@pytest.mark.usefixtures("mediapipe_models")
def test_the_released_model_falls_into_two_pieces_that_xnnpack_takes_whole() -> None:
    data = released_model("face_landmark_with_attention")
    assert needs_splitting(data)
    pieces = [step for step in split_graph(data, "attention").steps if isinstance(step, Piece)]
    assert len(pieces) == 2
    for piece in pieces:
        assert Model(piece.data, "piece").xnnpack_partitions() == 1
        assert b"Transform" not in piece.data
    model = Model.from_bytes(data, "attention")
    assert isinstance(model, SplitModel)
    assert [info.shape[-1] for info in model.outputs] == [1404, 160, 142, 142, 10, 10, 1]
    rng = np.random.default_rng(1)
    pictures = [rng.uniform(0, 1, (1, 192, 192, 3)).astype(np.float32) for _ in range(2)]
    first = model.invoke(pictures[0])
    assert any((model.invoke(pictures[1])[name] != first[name]).any() for name in first)
    again = model.invoke(pictures[0])
    assert all((again[name] == first[name]).all() for name in first)
    assert model.invocations == 3


@pytest.mark.usefixtures("mediapipe_models")
def test_pictures(real: Path) -> None:
    runner = open_solution(
        "face", models="mediapipe", variant="attention", static=True, max_subjects=8
    )
    assert runner.topology == "face478@1"
    worst, total = 0.0, 0
    for path in sorted((real / "images").iterdir()):
        rgb = read_image(path)
        stored = real / "mediapipe_reference" / "face_mesh_refined" / f"{path.stem}.json"
        expected = json.loads(stored.read_text())["faces"]
        found = runner.process(rgb, 0)
        assert len(found) == len(expected), path.name
        scale = np.array([rgb.shape[1], rgb.shape[0], rgb.shape[1]])
        for subject, truth in zip(found, expected):
            worst = max(worst, np.abs((subject.keypoints - truth) * scale).max())
            total += 1
    assert total == 8
    assert worst < 0.005
