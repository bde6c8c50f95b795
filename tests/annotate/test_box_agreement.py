"""How far apart two people's boxes are: known differences, symmetry, and which belong together."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from annotate.agreement import mean_shape, project_agreement
from annotate.agreement_picture import agreement_picture
from annotate.box_agreement import box_difference, paired_boxes
from annotate.cuboid_document import BoxDocument, SetCuboid
from annotate.history import ItemKey
from annotate.store import STORE_NAME, AnnotationStore
from arsession.cuboid_evidence import PlacedBox
from arsession.cuboid_file import Cuboid
from runtime.image import encode_image


def yaw(degrees):
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    return np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]])


def box(degrees=0.0, centre=(0.0, 0.0, 0.0), size=(0.3, 0.2, 0.5)):
    return PlacedBox(yaw(degrees), np.array(centre), np.array(size))


angles, shifts = st.floats(-180, 180), st.floats(-0.2, 0.2)


@given(angles, angles, shifts)
def test_a_difference_is_what_was_made_and_the_same_both_ways(first, second, shift):
    one, other = box(first), box(second, (shift, 0.0, 0.0))
    there, back = box_difference(one, other), box_difference(other, one)
    expected = abs((second - first + 180) % 360 - 180)
    assert np.degrees(there.turned_rad) == pytest.approx(expected, abs=1e-5)
    assert there.moved_m == pytest.approx(abs(shift))
    assert (there.turned_rad, there.iou) == pytest.approx((back.turned_rad, back.iou), abs=1e-9)
    assert box_difference(one, one).iou == pytest.approx(1.0)


@given(angles, st.integers(0, 3))
def test_of_a_square_box_quarter_turns_are_no_difference(first, quarters):
    size = (0.3, 0.2, 0.5) if quarters % 2 == 0 else (0.5, 0.2, 0.3)
    found = box_difference(box(first), box(first + 90 * quarters, size=size), square=True)
    assert found.turned_rad == pytest.approx(0.0, abs=1e-6)
    assert found.size_m == pytest.approx(0.0, abs=1e-9)
    assert found.iou == pytest.approx(1.0)


def test_boxes_are_paired_by_where_they_are_each_once():
    def document(number, x):
        return ItemKey("s", number, "box"), BoxDocument(Cuboid(number, box=box(centre=(x, 0, 0))))

    one = dict([document(1, 0.0), document(2, 1.0), document(3, 5.0)])
    other = dict([document(1, 1.02), document(2, 0.03), (ItemKey("s", 9, "box"), BoxDocument())])
    pairs = {(a.subject_id, b.subject_id) for a, b in paired_boxes(one, other)}
    assert pairs == {(1, 2), (2, 1)}


def test_a_recording_s_boxes_are_compared_in_degrees_cm_and_iou(tmp_path):
    placed = {"ada": box(), "bob": box(10.0, (0.02, 0.0, 0.0))}
    for number, (who, where) in enumerate(placed.items()):
        with AnnotationStore.open(tmp_path / STORE_NAME, who) as store:
            change = SetCuboid(Cuboid(number, box=where))
            key = ItemKey("recording", number, "box")
            store.record(key, change, found=BoxDocument(), source="")
    (agreement,) = project_agreement(tmp_path)
    found = json.loads(json.dumps(agreement.to_json()))
    assert found["by"]["degrees between directions"] == pytest.approx(10.0, abs=1e-3)
    assert found["by"]["cm between centres"] == pytest.approx(2.0, abs=1e-3)
    assert found["by"]["IoU"] == pytest.approx(1.0 - found["mean"] / 100, abs=1e-4)
    (week,) = found["weeks"]
    assert (week["items"], week["mean"]) == (1, found["mean"])
    picture = agreement_picture(agreement, mean_shape(tmp_path, agreement))
    assert picture[:4] == encode_image(np.zeros((2, 2, 3), np.uint8), ".png")[:4]
