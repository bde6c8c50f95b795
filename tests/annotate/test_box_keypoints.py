"""A box's nine keypoints in a data set's picture: moved as one box, by drags and in the window."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from annotate.box_keypoints import BOX, begin_box_drag, box_in_space
from annotate.editing import apply, new_document
from annotate.editing_json import document_from_json, document_to_json
from annotate.hand_bones import depth_of
from annotate.session import AnnotationSession
from arsession.cuboid_evidence import PlacedBox
from arsession.cuboid_file import Cuboid
from arsession.placing import place
from arsession.propagate_dataset import write_propagated
from bootstrap.box_overlap import box_iou
from bootstrap.dataset import Dataset
from runtime.errors import ViewfinderError
from tests.annotate.conftest import open_session
from tests.arsession.filmed import SMALL, filmed_session
from tests.arsession.orbit import random_box

PHONE = replace(SMALL, distortion=(0.08, -0.05, 0.001, -0.001, 0.0))
CORNERS = st.integers(1, 8)


def turned(yaw: float, pitch: float) -> np.ndarray:
    (cy, sy), (cp, sp) = ((np.cos(a), np.sin(a)) for a in (yaw, pitch))
    about_x = np.array([[1, 0, 0], [0, cp, -sp], [0, sp, cp]])
    return about_x @ np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])


boxes = st.builds(
    lambda yaw, pitch, x, y, size: PlacedBox(
        turned(yaw, pitch), np.array([x, y, 1.0]), np.array(size)
    ),
    st.floats(-3, 3),
    st.floats(0.2, 1.0),
    st.floats(-0.15, 0.15),
    st.floats(-0.1, 0.1),
    st.tuples(*[st.floats(0.1, 0.35)] * 3),
)


def document_of(box: PlacedBox, camera=SMALL):
    points = box.points_world_m()
    return new_document(BOX, camera.project(points), None, depth_of(points))


def off_a_box(document, camera) -> float:
    """How far a document's keypoints are from those of the box nearest to them, px."""
    box = box_in_space(document.keypoints_px, document.depth, camera)
    return float(np.abs(camera.project(box.points_world_m()) - document.keypoints_px).max())


@pytest.mark.parametrize("camera", [SMALL, PHONE])
@settings(max_examples=15, deadline=None)
@given(box=boxes, index=st.integers(0, 8), x=st.floats(-120, 120), y=st.floats(-120, 120))
def test_whatever_is_dragged_wherever_it_stays_a_box(camera, box, index, x, y):
    document = document_of(box, camera)
    drag = begin_box_drag(document, index, camera)
    after = apply(document, drag.move(*(document.keypoints_px[index] + [x, y])))
    assert off_a_box(after, camera) < 1e-3
    assert after.depth[0] == 1.0
    assert (after.depth > 0).all()
    assert np.flatnonzero(after.placed).tolist() == [index]
    again = document_from_json(document_to_json(after))
    np.testing.assert_array_equal(again.depth, after.depth)


@settings(max_examples=15, deadline=None)
@given(box=boxes, index=st.integers(0, 8))
def test_a_drag_to_where_it_began_changes_nothing(box, index):
    document = document_of(box)
    drag = begin_box_drag(document, index, SMALL)
    at = document.keypoints_px[index]
    np.testing.assert_allclose(drag.at(*at), document.keypoints_px[drag.indices], atol=0.05)


@settings(max_examples=15, deadline=None)
@given(box=boxes, index=CORNERS, x=st.floats(-12, 12), y=st.floats(-12, 12))
def test_a_corner_goes_with_the_cursor_and_placed_ones_stay(box, index, x, y):
    document = document_of(box)
    stays = 1 + index % 8
    document = apply(
        document, begin_box_drag(document, stays, SMALL).move(*document.keypoints_px[stays])
    )
    target = document.keypoints_px[index] + [x, y]
    after = apply(document, begin_box_drag(document, index, SMALL).move(*target))
    assert np.linalg.norm(after.keypoints_px[index] - target) < 1.0
    moved = np.linalg.norm(after.keypoints_px - document.keypoints_px, axis=1)
    assert moved[stays] < 0.35 * np.hypot(x, y) + 0.1


@settings(max_examples=15, deadline=None)
@given(box=boxes, x=st.floats(-60, 60), y=st.floats(-40, 40))
def test_the_centre_carries_the_box_whole(box, x, y):
    document = document_of(box)
    drag = begin_box_drag(document, 0, SMALL)
    after = apply(document, drag.move(*(document.keypoints_px[0] + [x, y])))
    before, now = (box_in_space(d.keypoints_px, d.depth, SMALL) for d in (document, after))
    np.testing.assert_allclose(now.size_m, before.size_m, rtol=1e-6)
    np.testing.assert_allclose(now.rotation, before.rotation, atol=1e-6)
    np.testing.assert_allclose(SMALL.project(now.centre_m), after.keypoints_px[0], atol=1e-6)


def test_corners_put_where_they_are_seen_give_the_very_box():
    rng = np.random.default_rng(4)
    for _ in range(6):
        size = rng.uniform(0.15, 0.3, 3)
        truth = PlacedBox(
            turned(rng.uniform(-3, 3), rng.uniform(0.3, 0.8)), np.array([0.02, 0.01, 1]), size
        )
        wrong = PlacedBox(
            truth.rotation @ turned(0.15, 0.05),
            np.array([0.05, -0.03, 1.0]),
            size * rng.uniform(0.8, 1.2, 3),
        )
        document, wanted = document_of(wrong), SMALL.project(truth.points_world_m())
        for _ in range(2):
            for corner in (8, 1, 4, 6, 2, 7, 3):
                drag = begin_box_drag(document, corner, SMALL)
                document = apply(document, drag.move(*wanted[corner]))
        found = box_in_space(document.keypoints_px, document.depth, SMALL)
        assert np.abs(document.keypoints_px - wanted).max() < 1.5
        scaled = replace(
            truth, centre_m=truth.centre_m / truth.centre_m[2], size_m=size / truth.centre_m[2]
        )
        assert float(box_iou(found.as_boxes(), scaled.as_boxes())[0]) > 0.95


@pytest.fixture(scope="module")
def truth() -> PlacedBox:
    return random_box(np.random.default_rng(2))


@pytest.fixture
def frames(truth, tmp_path) -> Path:
    """A data set of frames with a box in each, in a layer of ada's."""
    session = filmed_session(truth, 4)
    placed = place(session, (Cuboid(0, "box", box=truth),), Path("boxes.json"))
    write_propagated(session, placed, tmp_path / "frames", layer="propagated@ada")
    return tmp_path / "frames"


def test_a_data_set_s_box_is_refined_and_exported_as_a_box_in_metres(frames, truth):
    with AnnotationSession.open(frames, annotator="kim") as session:
        label = session.item.label
        assert session.document.depth is not None
        x, y = session.document.keypoints_px[3]
        session.move(3, x + 6, y - 4)
        session.accept()
        moved = session.document
        assert session.export().labels == 1
        camera = session.camera()
    (made,) = Dataset.open(frames).labels("human/kim")
    np.testing.assert_allclose(made.keypoints_px, moved.keypoints_px, atol=1e-3)
    space = made.keypoints_camera_m
    np.testing.assert_allclose(camera.project(space), moved.keypoints_px, atol=0.01)
    assert space[0, 2] == pytest.approx(label.keypoints_camera_m[0, 2], rel=1e-5)
    assert made.cuboid["frame"] == "camera"
    rotation = np.reshape(made.cuboid["rotation"], (3, 3))
    centre, size = (np.array(made.cuboid[name]) for name in ("translation_m", "size_m"))
    box = PlacedBox(rotation, centre, size)
    np.testing.assert_allclose(box.points_world_m(), space, atol=1e-5)
    assert 0.001 < np.abs(box.size_m - truth.size_m).max() < 0.1


def test_an_accepted_box_keeps_its_metres(frames, truth):
    with AnnotationSession.open(frames, annotator="kim") as session:
        session.accept()
        label = session.item.label
        session.export()
    (made,) = Dataset.open(frames).labels("human/kim")
    np.testing.assert_allclose(made.keypoints_camera_m, label.keypoints_camera_m)
    np.testing.assert_allclose(made.cuboid["size_m"], truth.size_m, rtol=1e-5)


def test_a_label_without_depth_is_lifted_and_keypoints_that_are_no_box_stay_free(frames):
    dataset = Dataset.open(frames)
    first, second, *_ = dataset.labels("propagated@ada")
    flat = replace(second, keypoints_px=np.tile([[100.0, 80.0]], (9, 1)).astype(np.float32))
    bare = [replace(one, keypoints_camera_m=None, cuboid=None) for one in (first, flat)]
    dataset.write_layer("predicted@abc", bare)
    with AnnotationSession.open(frames, annotator="kim") as session:
        assert session.layer == "predicted@abc"
        np.testing.assert_allclose(
            session.document.depth,
            first.keypoints_camera_m[:, 2] / first.keypoints_camera_m[0, 2],
            atol=2e-3,
        )
        session.next()
        assert session.document.depth is None
        session.move(5, 120.0, 90.0)
        changed = (session.document.keypoints_px != flat.keypoints_px).any(axis=1)
        assert np.flatnonzero(changed).tolist() == [5]


def test_without_a_camera_it_says_what_to_do(frames, tmp_path):
    whole = Dataset.open(frames)
    blind = Dataset.create(tmp_path / "blind", replace(whole.info, name="blind"))
    samples = [
        replace(_sample(whole, sample_id), camera=None)
        for sample_id in whole.samples()["sample_id"]
    ]
    blind.write_shard(0, samples, {"propagated@ada": whole.labels("propagated@ada")})
    with pytest.raises(ViewfinderError, match="camera") as told:
        AnnotationSession.open(tmp_path / "blind", annotator="kim")
    assert "viewfinder annotate RECORDING" in str(told.value.hint)
    assert not (tmp_path / "blind" / "annotations.sqlite").exists()


def _sample(dataset, sample_id):
    from bootstrap.dataset import Sample
    from runtime.image import encode_image

    picture = dataset.read_image(sample_id)
    return Sample(
        sample_id=str(sample_id),
        image=encode_image(picture, ".png"),
        extension="png",
        width=picture.shape[1],
        height=picture.shape[0],
    )


@pytest.fixture
def box_window(window, request, frames):
    yield from open_session(window, request, frames)


def test_a_corner_dragged_in_the_window_takes_the_box_along(box_window):
    hand = box_window
    before = hand.session.document
    assert "moves the box as one" in hand.window.panel._tools.text()
    hand.drag(8, 25, -20)
    after = hand.stored()
    assert off_a_box(after, hand.session.camera()) < 1e-3
    assert np.linalg.norm(after.keypoints_px[8] - before.keypoints_px[8]) > 4
    np.testing.assert_allclose(hand.drawn_px(), after.keypoints_px, atol=1e-9)
    hand.drag(0, 30, 10)
    assert off_a_box(hand.stored(), hand.session.camera()) < 1e-3
    hand.key("Z", "Control")
    hand.key("Z", "Control")
    assert hand.session.document.same_as(before)
