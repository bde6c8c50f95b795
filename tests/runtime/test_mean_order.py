"""Means in another order of additions: the same mean up to rounding, and the order itself."""

from __future__ import annotations

import numpy as np
import pytest

from runtime.mean_order import REORDERED, is_reordered, with_reordered_means
from runtime.model import Model
from runtime.model_store import released_model
from tests.runtime.small_models import pooling_model


def kernels_mean(array: np.ndarray) -> np.ndarray:
    """f32-gavgpool-7p7x on (pixels, channels), pass by pass."""
    p = array[:7]
    total = ((p[0] + p[1]) + p[6]) + ((p[2] + p[3]) + (p[4] + p[5]))
    for start in range(7, len(array), 7):
        p = array[start : start + 7]
        total = ((p[0] + p[1]) + (p[2] + p[3])) + ((p[4] + p[5]) + (p[6] + total))
    return total * (np.float32(1) / np.float32(len(array)))


@pytest.mark.parametrize("keep", [False, True])
@pytest.mark.parametrize(("rows", "columns", "channels"), [(7, 7, 33), (14, 14, 5), (2, 7, 1)])
def test_sums_are_the_kernels(rows: int, columns: int, channels: int, keep: bool) -> None:
    data = pooling_model(rows, columns, channels, keep)
    array = np.random.default_rng(0).normal(0, 10, (1, rows, columns, channels)).astype(np.float32)
    reordered = Model.from_bytes(with_reordered_means(data), "reordered").invoke(array)["mean"]
    plain = Model.from_bytes(data, "plain").invoke(array)["mean"]
    assert reordered.shape == plain.shape
    np.testing.assert_array_equal(reordered.ravel(), kernels_mean(array.reshape(-1, channels)))
    np.testing.assert_allclose(reordered, plain, atol=1e-5)
    if rows * columns * channels > 100:  # or the test couldn't fail
        assert (reordered != plain).any()


@pytest.mark.parametrize(
    ("rows", "columns", "axes"), [(3, 3, (1, 2)), (7, 1, (1, 2)), (7, 7, (3,))]
)
def test_other_means_stay(rows: int, columns: int, axes: tuple[int, ...]) -> None:
    data = pooling_model(rows, columns, 7, False, axes)
    array = np.random.default_rng(0).normal(0, 10, (1, rows, columns, 7)).astype(np.float32)
    found = Model.from_bytes(with_reordered_means(data), "reordered").invoke(array)
    np.testing.assert_array_equal(found["mean"], Model.from_bytes(data, "a").invoke(array)["mean"])


@pytest.mark.usefixtures("mediapipe_models")
@pytest.mark.parametrize("name", [name for name in REORDERED if name.startswith("hand")])
def test_released_models_still_run_whole_in_xnnpack(name: str) -> None:
    data = released_model(name)
    assert is_reordered(data)
    assert not is_reordered(data[:-1])
    assert not is_reordered(data[:-1] + b"?")
    model = Model.from_bytes(data, name)
    plain = Model(data, name)
    assert [info.shape for info in model.outputs] == [info.shape for info in plain.outputs]
    assert model.xnnpack_partitions() == 1
    assert model.runs_whole_in_xnnpack()
    picture = np.random.default_rng(0).uniform(0, 1, model.inputs[0].shape)
    for info, one, other in zip(
        model.outputs, model.invoke(picture).values(), plain.invoke(picture).values()
    ):
        np.testing.assert_allclose(one, other, atol=1e-3, err_msg=info.name)
