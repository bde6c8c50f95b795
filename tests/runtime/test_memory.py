"""Memory doesn't grow: not over a long stream, not over many openings."""

from __future__ import annotations

import sys

import pytest

from benchmarks.memory import SOLUTIONS, growth_bytes

MOST = 5_000_000
pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="reads /proc"),
    pytest.mark.usefixtures("mediapipe_models"),
]


def test_a_short_stream_and_a_few_openings() -> None:
    assert growth_bytes("face-detection", frames=200) < MOST
    assert growth_bytes("face-detection", cycles=20) < MOST


@pytest.mark.long
@pytest.mark.timeout(900)
@pytest.mark.parametrize("solution", SOLUTIONS)
def test_ten_thousand_frames(solution: str, released) -> None:
    _need(solution, released)
    assert growth_bytes(solution, frames=10_000) < MOST


@pytest.mark.long
@pytest.mark.timeout(900)
@pytest.mark.parametrize("solution", SOLUTIONS)
def test_three_hundred_openings(solution: str, released) -> None:
    _need(solution, released)
    assert growth_bytes(solution, cycles=300) < MOST


def _need(solution: str, released) -> None:
    if solution == "objectron":
        released("object_detection_ssd_mobilenetv2_oidv4_fp16", "object_detection_3d_cup")
