"""How far apart annotators are: laws on drawn faces with known differences."""

from __future__ import annotations

import json

import cv2
import numpy as np
import pytest

from annotate.agreement import compared, mean_shape, project_agreement
from annotate.agreement_picture import agreement_picture
from annotate.editing import Move, new_document
from annotate.history import ItemKey
from annotate.session import AnnotationSession
from runtime.errors import ViewfinderError
from runtime.topology import topology

LAYOUT = topology("face478@1")


def shifted_work(project, who, shift_px, indices, items):
    """`who` moves these keypoints of these items by so much, and accepts."""
    with AnnotationSession.open(project, annotator=who) as session:
        for item in items:
            session.go(item)
            points = session.document.keypoints_px[list(indices)] + [shift_px, 0.0]
            session.move_many(Move(tuple(indices), tuple(map(tuple, points.tolist()))))
            session.accept()


def test_a_known_shift_of_the_lips_is_found_there_and_nowhere_else(project):
    lips = LAYOUT.parts["lips"]
    shifted_work(project, "ada", 0.001, [0], range(3))
    shifted_work(project, "bob", 2.0, lips, range(1, 4))
    (agreement,) = project_agreement(project)
    assert len(agreement.pairs) == 2  # items 1 and 2 are what both finished
    with AnnotationSession.open(project, annotator="ada") as session:
        lengths = [
            float(LAYOUT.normalising_length(session.document_at(i).keypoints_px)) for i in (1, 2)
        ]
    by_part = agreement.by_part()
    expected = 2.0 * np.mean([1 / length for length in lengths])
    assert by_part["lips"] == pytest.approx(expected, rel=1e-3)
    assert all(by_part[part] == 0 for part in by_part if part != "lips")
    assert agreement.by_people() == {("ada", "bob"): (2, agreement.mean)}


def test_agreement_is_symmetric_and_ignores_what_either_left_out():
    rng = np.random.default_rng(0)
    points = rng.uniform(0, 100, (2, 21, 2))
    visibility = rng.integers(0, 3, (2, 21))
    one, other = (new_document("hand21@1", p, v) for p, v in zip(points, visibility))
    key = ItemKey("a", 0, "hand21@1")
    there, back = compared(key, "x", "y", one, other), compared(key, "y", "x", other, one)
    np.testing.assert_array_equal(there.discrepancy, back.discrepancy)
    assert (np.isnan(there.discrepancy) == (visibility == 0).any(axis=0)).all()
    assert compared(key, "x", "y", one, one).mean == 0
    larger = [new_document("hand21@1", 3 * p, v) for p, v in zip(points, visibility)]
    assert compared(key, "x", "y", *larger).mean == pytest.approx(there.mean)


def test_the_one_item_that_two_people_saw_differently_is_an_outlier(project):
    shifted_work(project, "ada", 0.001, [0], range(5))
    shifted_work(project, "bob", 0.5, range(468), range(4))
    shifted_work(project, "bob", 20.0, range(468), [4])
    (agreement,) = project_agreement(project)
    assert [pair.key.sample_id for pair in agreement.outliers()] == ["00000004"]
    stored = json.loads(json.dumps(agreement.to_json()))
    assert stored["outliers"][0]["sample_id"] == "00000004"
    assert stored["unit"] == "% of interocular distance"
    assert set(stored["by"]) == set(LAYOUT.parts)


def test_flagged_items_and_single_annotators_are_no_agreement(project):
    with pytest.raises(ViewfinderError, match="nothing has been annotated"):
        project_agreement(project)
    shifted_work(project, "ada", 1.0, [0], [0])
    with AnnotationSession.open(project, annotator="bob") as session:
        session.move(0, 5.0, 5.0)
        session.flag("blurred")
    with pytest.raises(ViewfinderError, match="no two annotators"):
        project_agreement(project)


def test_the_picture_is_warmest_where_people_differ_most(project):
    shifted_work(project, "ada", 0.001, [0], [0])
    shifted_work(project, "bob", 4.0, [152], [0])
    (agreement,) = project_agreement(project)
    data = agreement_picture(agreement, mean_shape(project, agreement))
    image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    red = image[..., 2].astype(int) - image[..., 0] > 120
    assert red.sum() > 50
    assert np.nonzero(red)[0].mean() > 500  # the chin is below
