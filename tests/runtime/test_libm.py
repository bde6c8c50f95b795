"""The C library's float functions: what they are asked for, to a bit or two."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest

from runtime import libm


@pytest.mark.parametrize(
    ("function", "exact", "low", "high", "arguments"),
    [
        (libm.cosf, math.cos, -math.pi, math.pi, 1),
        (libm.sinf, math.sin, -math.pi, math.pi, 1),
        (libm.expf, math.exp, -80, 80, 1),
        (libm.atan2f, math.atan2, -1000, 1000, 2),
    ],
)
def test_they_are_within_a_bit_or_two_of_the_rounded_double(
    function: Callable[..., float], exact: Callable[..., float], low: float, high: float,
    arguments: int,
) -> None:  # fmt: skip
    values = np.random.default_rng(0).uniform(low, high, (3000, arguments)).astype(np.float32)
    found = np.array([function(*row) for row in values.tolist()])
    expected = np.array([exact(*row) for row in values.tolist()])
    np.testing.assert_array_equal(found, found.astype(np.float32))
    assert (np.abs(found - expected) <= 2 * np.spacing(np.abs(expected).astype(np.float32))).all()


def test_quadrants() -> None:
    assert libm.atan2f(1, 0) == np.float32(math.pi / 2)
    assert libm.atan2f(0, -1) == np.float32(math.pi)
    assert libm.atan2f(-1, -1) == np.float32(-3 * math.pi / 4)


def test_pairs_are_float32() -> None:
    cos, sin = libm.cos_sin(0.3)
    assert (cos, sin) == (libm.cosf(0.3), libm.sinf(0.3))
    assert (cos, sin) == libm.float32s(math.cos(0.3), math.sin(0.3))
