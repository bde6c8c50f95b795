"""Detectors: anchors, decoding and suppression against slow and plain references."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runtime.card import CardInput, CardModel, CardOutput
from runtime.detection import LAYOUTS, Detector, SsdLayout, box_iou, merged
from runtime.errors import ViewfinderError
from runtime.model import Model
from tests.runtime.small_models import constant_model


def plain_anchors(size: int, strides: list[int], per_layer: int) -> np.ndarray:
    """MediaPipe's SsdAnchorsCalculator with fixed anchors, loop by loop."""
    anchors = []
    layer = 0
    while layer < len(strides):
        last = layer
        while last < len(strides) and strides[last] == strides[layer]:
            last += 1
        cells = math.ceil(size / strides[layer])
        for y in range(cells):
            for x in range(cells):
                for _ in range((last - layer) * per_layer):
                    anchors.append(((x + 0.5) / cells, (y + 0.5) / cells))
        layer = last
    return np.array(anchors)


@pytest.mark.parametrize(
    ("layout", "strides", "per_layer", "count"),
    [
        (LAYOUTS[0], [8, 16, 16, 16], 2, 896),
        (LAYOUTS[1], [4], 1, 2304),
        (LAYOUTS[2], [8, 16, 16, 16], 2, 2016),
    ],
)
def test_anchors_are_mediapipes(
    layout: SsdLayout, strides: list[int], per_layer: int, count: int
) -> None:
    expected = plain_anchors(layout.size, strides, per_layer)
    assert len(expected) == count
    np.testing.assert_allclose(layout.anchors(), expected, atol=1e-7)


def detector_of(boxes: dict[int, list[float]], scores: dict[int, float], least: float) -> Detector:
    """A short-range face detector that always sees these boxes at these anchors."""
    raw, logits = np.zeros((1, 896, 16)), np.full((1, 896, 1), -50.0)
    for anchor, values in boxes.items():
        raw[0, anchor, : len(values)] = values
    for anchor, logit in scores.items():
        logits[0, anchor] = logit
    model = Model.from_bytes(constant_model(128, 128, {"b": raw, "s": logits}), "constant")
    outputs = (CardOutput("b", (1, 896, 16), "boxes"), CardOutput("s", (1, 896, 1), "scores"))
    card = CardModel("a", "detector", CardInput(128, 128, range=(-1.0, 1.0)), outputs)
    return Detector(model, card, least)


@pytest.mark.parametrize(("width", "height"), [(128, 128), (640, 480), (300, 700)])
def test_decoding_and_letterbox(width: int, height: int) -> None:
    # Anchor 16 * 2 * 8 + 2 * 5 is the cell (5, 8) of the 16 x 16 grid.
    anchor = 2 * (8 * 16 + 5)
    values = [6.4, -3.2, 32.0, 16.0, 1.28, 2.56] + [0.0] * 10
    found = detector_of({anchor: values}, {anchor: 3.0}, 0.5).detect(
        np.zeros((height, width, 3), dtype=np.uint8)
    )
    side = max(width, height)
    left, top = (side - width) / 2, (side - height) / 2

    def in_picture(x: float, y: float) -> tuple[float, float]:
        return (x * side - left) / width, (y * side - top) / height

    centre = (5.5 / 16 + 6.4 / 128, 8.5 / 16 - 3.2 / 128)
    corner = in_picture(centre[0] - 0.125, centre[1] - 0.0625)
    assert len(found) == 1
    assert found[0].score == pytest.approx(1 / (1 + math.exp(-3)))
    np.testing.assert_allclose(
        found[0].box, (*corner, 0.25 * side / width, 0.125 * side / height), rtol=1e-5, atol=1e-6
    )
    eye = in_picture(5.5 / 16 + 0.01, 8.5 / 16 + 0.02)
    np.testing.assert_allclose(found[0].keypoints[0], eye, rtol=1e-5)
    assert found[0].keypoints.shape == (6, 2)


@pytest.mark.parametrize("least", [0.0, 0.3, 0.5, 0.9, 1.0])
def test_threshold_is_on_the_probability(least: float) -> None:
    boxes = {i: [0, 0, 4.0, 4.0] for i in range(0, 200, 40)}
    scores = {anchor: (number - 2) * 1.5 for number, anchor in enumerate(boxes)}
    found = detector_of(boxes, scores, least).detect(np.zeros((128, 128, 3), dtype=np.uint8))
    expected = [s for s in scores.values() if 1 / (1 + math.exp(-s)) >= least]
    seen = [one for one in found if one.box[2] > 0.01]
    assert len(seen) == len(expected)


def test_boxes_turned_inside_out_are_dropped() -> None:
    detector = detector_of({3: [0, 0, -5.0, 5.0]}, {3: 4.0}, 0.5)
    assert detector.detect(np.zeros((64, 64, 3), dtype=np.uint8)) == []


@pytest.mark.parametrize("wrong", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("place", [0, 2, 7])
def test_numbers_that_are_none_are_dropped(wrong: float, place: int) -> None:
    values = [0.0, 0.0, 5.0, 5.0] + [1.0] * 12
    values[place] = wrong
    detector = detector_of({3: values, 700: [0, 0, 5.0, 5.0]}, {3: 4.0, 700: 1.0}, 0.5)
    found = detector.detect(np.zeros((64, 64, 3), dtype=np.uint8))
    assert [one.score for one in found] == pytest.approx([1 / (1 + math.exp(-1))])


def test_unknown_layout_is_named() -> None:
    model = Model.from_bytes(
        constant_model(64, 64, {"b": np.zeros((1, 10, 16)), "s": np.zeros((1, 10, 1))}), "odd"
    )
    outputs = (CardOutput("b", (1, 10, 16), "boxes"), CardOutput("s", (1, 10, 1), "scores"))
    card = CardModel("a", "detector", CardInput(64, 64), outputs)
    with pytest.raises(ViewfinderError, match="odd: the detector's outputs are of no known layout"):
        Detector(model, card, 0.5)


def plain_merged(scores: np.ndarray, boxes: np.ndarray, points: np.ndarray) -> list[np.ndarray]:
    rest = sorted(range(len(scores)), key=lambda i: -scores[i])
    kept = []
    while rest:
        head = rest[0]
        near = [i for i in rest if i == head or box_iou(tuple(boxes[i]), tuple(boxes[head])) > 0.3]
        weight = scores[near] / scores[near].sum()
        ends = np.concatenate([boxes[near, :2], boxes[near, :2] + boxes[near, 2:]], axis=1)
        x0, y0, x1, y1 = weight @ ends
        mean = np.einsum("d,dkc->kc", weight, points[near])
        kept.append(np.array([scores[head], x0, y0, x1 - x0, y1 - y0, *mean.ravel()]))
        rest = [i for i in rest if i not in near]
    return kept


@given(seed=st.integers(0, 10_000), count=st.integers(0, 30))
@settings(max_examples=80, deadline=None)
def test_suppression_equals_the_plain_one(seed: int, count: int) -> None:
    rng = np.random.default_rng(seed)
    scores = rng.uniform(0.5, 1, count).astype(np.float32)
    boxes = rng.uniform((0, 0, 0.1, 0.1), (0.6, 0.6, 0.5, 0.5), (count, 4)).astype(np.float32)
    points = rng.uniform(0, 1, (count, 6, 2)).astype(np.float32)
    expected = plain_merged(scores.astype(float), boxes.astype(float), points.astype(float))
    found = merged(scores, boxes, points)
    assert len(found) == len(expected)
    for one, other in zip(found, expected):
        flat = np.array([one.score, *one.box, *one.keypoints.ravel()])
        np.testing.assert_allclose(flat, other, atol=1e-5)


def test_a_box_without_area_stays_alone() -> None:
    boxes = np.array([[0.1, 0.1, 0, 0], [0.1, 0.1, 0, 0]], dtype=np.float32)
    points = np.zeros((2, 6, 2), dtype=np.float32)
    assert len(merged(np.array([0.9, 0.8], dtype=np.float32), boxes, points)) == 2


box = st.tuples(st.floats(-5, 5), st.floats(-5, 5), st.floats(0.01, 5), st.floats(0.01, 5))


@given(a=box, b=box, shift=st.floats(-3, 3), scale=st.floats(0.1, 10))
def test_iou_laws(a: tuple, b: tuple, shift: float, scale: float) -> None:
    value = box_iou(a, b)
    assert 0 <= value <= 1 + 1e-9
    assert box_iou(b, a) == pytest.approx(value)
    assert box_iou(a, a) == pytest.approx(1)
    both = [
        ((x + shift) * scale, (y - shift) * scale, w * scale, h * scale) for x, y, w, h in (a, b)
    ]
    assert box_iou(*both) == pytest.approx(value, abs=1e-6)
