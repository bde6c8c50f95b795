"""LiteRT behind one door."""

from __future__ import annotations

import numpy as np
import pytest

from runtime.errors import ViewfinderError
from runtime.model import Model, PixelScale
from tests.runtime.small_models import constant_model


@pytest.fixture(scope="module")
def small() -> bytes:
    return constant_model(16, 8, {"six": np.arange(6.0).reshape(1, 6), "one": np.ones((1, 1))}, 0.5)


def test_tensors_and_answers(small: bytes) -> None:
    model = Model.from_bytes(small, "small")
    assert [info.shape for info in model.inputs] == [(1, 8, 16, 3)]
    assert [(info.name, info.shape) for info in model.outputs] == [("six", (1, 6)), ("one", (1, 1))]
    answer = model.invoke(np.full((1, 8, 16, 3), 4.0))
    np.testing.assert_allclose(answer["six"], np.arange(6.0)[None] + 2)
    np.testing.assert_allclose(model.invoke(np.zeros((1, 8, 16, 3)))["one"], [[1]])
    assert answer["one"] == pytest.approx(3)  # a copy: the second run hasn't changed it
    assert model.invocations == 2
    assert model.invoke_seconds > 0
    assert model.xnnpack_partitions() == 1


def test_wrong_shape_and_wrong_output_name_are_named(small: bytes) -> None:
    model = Model.from_bytes(small, "small")
    with pytest.raises(ViewfinderError, match=r"wrong input shape.*\(1, 8, 16, 3\)"):
        model.invoke(np.zeros((1, 8, 8, 3)))
    with pytest.raises(ViewfinderError, match=r"six \| one.*seven"):
        model.output_index("seven")


@pytest.mark.parametrize(("low", "high"), [(0, 1), (-1, 1), (0, 255), (-0.5, 0.5), (0, 7.3)])
def test_pictures_are_scaled_with_one_rounding(low: float, high: float) -> None:
    picture = np.resize(np.arange(256, dtype=np.uint8), (19, 27, 3))
    out = np.full((19, 27, 3), np.nan, dtype=np.float32)
    PixelScale(low, high).write(picture, out)
    factor = float(np.float32((high - low) / 255))
    np.testing.assert_array_equal(out, (picture * factor + low).astype(np.float32))


def test_fill_reaches_the_model(small: bytes) -> None:
    model = Model.from_bytes(small, "small")
    for range_ in ((0, 1), (-1, 1)):
        model.fill(np.full((8, 16, 3), 255, dtype=np.uint8), PixelScale(*range_))
        model.run()
        assert model.output(1) == pytest.approx(1.5)


def test_a_file_that_litert_refuses(small: bytes) -> None:
    with pytest.raises(ViewfinderError, match="broken: LiteRT can't load this model"):
        Model.from_bytes(small[:100], "broken")
