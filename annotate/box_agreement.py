"""How far apart two people's boxes of one recording are: degrees, centimetres, overlap.

Pure. Two people number their boxes as they place them, so boxes are paired by where they are.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from annotate.cuboid_document import BoxDocument
from annotate.discrepancy import Pair, Region
from annotate.history import ItemKey
from arsession.cuboid_evidence import PlacedBox
from bootstrap.box_overlap import box_iou

BOX = "box"
BOX_UNIT = "% of volume not shared"
BOX_REGIONS = {
    "degrees between directions": Region((0,), 180 / math.pi),
    "cm between centres": Region((1,), 100.0),
    "cm between longest differing edges": Region((2,), 100.0),
    "IoU": Region((3,), 1.0),
}
# A quarter turn about a box's up axis: its new x is the old -z, its new z the old x.
_QUARTER = np.array([[0.0, 0.0, 1.0], [0.0, 1.0, 0.0], [-1.0, 0.0, 0.0]])


@dataclass(frozen=True)
class BoxDifference:
    """Two boxes of one thing against each other.

    Attributes:
        turned_rad: between their directions, 0 to pi.
        moved_m: between their centres.
        size_m: the largest difference of an edge.
        iou: intersection over union.
    """

    turned_rad: float
    moved_m: float
    size_m: float
    iou: float


def box_difference(one: PlacedBox, other: PlacedBox, square: bool = False) -> BoxDifference:
    """How two boxes differ; the same whichever comes first.

    Args:
        one, other: in the recording's world.
        square: whether a quarter turn about the up axis changes nothing; then the least turn.
    """
    found = [_difference(one, other)]
    for _ in range(3 if square else 0):
        width, height, depth = other.size_m
        turned = np.asarray(other.rotation) @ _QUARTER
        other = replace(other, rotation=turned, size_m=np.array([depth, height, width]))
        found.append(_difference(one, other))
    return min(found, key=lambda difference: difference.turned_rad)


def _difference(one: PlacedBox, other: PlacedBox) -> BoxDifference:
    turn = np.asarray(one.rotation).T @ np.asarray(other.rotation)
    # With the sine: near nothing the cosine alone forgets half of the digits.
    axis = [turn[2, 1] - turn[1, 2], turn[0, 2] - turn[2, 0], turn[1, 0] - turn[0, 1]]
    sides = np.abs(np.subtract(one.size_m, other.size_m))
    return BoxDifference(
        turned_rad=math.atan2(float(np.linalg.norm(axis)), float(np.trace(turn)) - 1.0),
        moved_m=float(np.linalg.norm(np.subtract(one.centre_m, other.centre_m))),
        size_m=float(sides.max()),
        iou=float(box_iou(one.as_boxes(), other.as_boxes())[0]),
    )


def paired_boxes(
    one: Mapping[ItemKey, BoxDocument], other: Mapping[ItemKey, BoxDocument]
) -> list[tuple[ItemKey, ItemKey]]:
    """Which boxes of two people are of the same thing: the nearest first, each once, and only
    those whose centres are nearer than the mean of their half diagonals."""
    near = []
    for a, first in one.items():
        for b, second in other.items():
            boxes = _both(first, second)
            if a.sample_id != b.sample_id or boxes is None:
                continue
            apart = float(np.linalg.norm(np.subtract(boxes[0].centre_m, boxes[1].centre_m)))
            reach = sum(float(np.linalg.norm(box.size_m)) for box in boxes) / 4
            if apart < reach:
                near.append((apart / reach, a, b))
    pairs: list[tuple[ItemKey, ItemKey]] = []
    for _, a, b in sorted(near, key=lambda found: found[0]):
        if all(a != x and b != y for x, y in pairs):
            pairs.append((a, b))
    return pairs


def _both(first: BoxDocument, second: BoxDocument) -> tuple[PlacedBox, PlacedBox] | None:
    if first.cuboid is None or second.cuboid is None:
        return None
    if first.cuboid.box is None or second.cuboid.box is None:
        return None
    return first.cuboid.box, second.cuboid.box


def compared_boxes(
    key: ItemKey, first: str, second: str, one: BoxDocument, other: BoxDocument, day: str = ""
) -> Pair:
    """Two people's boxes of one thing, both of them placed."""
    boxes = _both(one, other)
    assert boxes is not None
    assert one.cuboid is not None
    found = box_difference(*boxes, square=one.cuboid.symmetry == "square")
    values = np.array([found.turned_rad, found.moved_m, found.size_m, found.iou])
    return Pair(key, first, second, values, 1.0 - found.iou, day=day)
