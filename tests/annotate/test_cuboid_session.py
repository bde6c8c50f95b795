"""Boxes placed, dragged, turned, undone and exported, without any window."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from annotate.agreement import project_agreement
from annotate.cuboid_dragging import PictureDrag, SpaceDrag
from annotate.cuboid_export import export_boxes
from annotate.cuboid_handles import Handle, facing, front_turned, pick
from annotate.cuboid_placing import Placement
from annotate.cuboid_session import CuboidSession
from annotate.items import default_layer
from annotate.store import STORE_NAME, AnnotationStore
from arsession.cuboid_evidence import PlacedBox
from arsession.cuboid_file import read_cuboids
from arsession.cuboid_fit import fit_box, follow_box
from arsession.views import Views
from bootstrap.box_overlap import FACE_LOOPS
from bootstrap.dataset import Dataset
from bootstrap.training.layers import best_labels
from runtime.errors import ViewfinderError
from tests.arsession.filmed import filmed_session
from tests.arsession.orbit import random_box

FOOT_AND_TOP = (2, 6, 5, 8)
"""Front left, front right, back right of the foot, and the front right's upper corner."""


@pytest.fixture
def truth() -> PlacedBox:
    return random_box(np.random.default_rng(2))


@pytest.fixture
def work(truth, tmp_path):
    store = AnnotationStore.open(tmp_path / STORE_NAME, "ada")
    with CuboidSession(filmed_session(truth), store, tmp_path) as session:
        yield session


def seen(work: CuboidSession, box: PlacedBox, frame: int | None = None) -> np.ndarray:
    return work.views.seen_in(work.frame if frame is None else frame, box.points_world_m())


def place(work: CuboidSession, truth: PlacedBox, order=FOOT_AND_TOP) -> None:
    px = seen(work, truth)
    assert [work.place(tuple(px[k]), 1.0) for k in order] == [False, False, False, True]


def same_points(box: PlacedBox, other: PlacedBox, atol: float) -> None:
    np.testing.assert_allclose(box.points_world_m(), other.points_world_m(), atol=atol)


@pytest.mark.parametrize("order", [FOOT_AND_TOP, (6, 2, 5, 8), (2, 6, 1, 4), (6, 2, 1, 7)])
def test_four_exact_clicks_in_any_order_give_the_very_box(work, truth, order):
    place(work, truth, order)
    same_points(work.fitted(0).box, truth, 1e-6)
    assert work.cuboid(0).plane == "table"  # not the floor, which is seen through it
    assert len(work.cuboid(0).clicks) == 4
    np.testing.assert_allclose(
        work.fitted(0).seen.keypoints_px[-1], seen(work, truth, work.frames - 1), atol=1e-3
    )


def test_clicks_of_a_placement_may_lie_in_different_frames(work, truth):
    for frame, corner in zip((0, 5, 9, 20), FOOT_AND_TOP):
        work.go(frame)
        work.place(tuple(seen(work, truth)[corner]), 1.0)
    same_points(work.fitted(0).box, truth, 1e-6)


def test_what_gives_no_box_is_refused_and_the_clicks_before_stay(work, truth):
    px = seen(work, truth)
    work.begin_placing()
    with pytest.raises(ViewfinderError, match="plane"):
        Placement(replace_up(work), work.views).click(0, (320.0, -5000.0))
    work.place(tuple(px[2]), 1.0)
    work.place(tuple(px[6]), 1.0)
    with pytest.raises(ViewfinderError, match="line"):
        work.place(tuple((px[2] + px[6]) / 2), 1.0)
    work.place(tuple(px[5]), 1.0)
    with pytest.raises(ViewfinderError, match="above"):
        work.place((float(px[6][0]), float(px[6][1]) + 60), 1.0)
    assert work.placement is not None
    assert work.place(tuple(px[8]), 1.0)
    assert work.boxes() == [0]


def replace_up(work: CuboidSession):
    return replace(work.recording, load_planes=lambda: work.recording.planes[:1])


def test_a_drag_in_a_picture_takes_the_part_to_where_it_is_seen(work, truth):
    off = PlacedBox(truth.rotation, truth.centre_m + [0.01, 0, 0.005], truth.size_m * 1.1)
    off = replace(off, centre_m=off.centre_m * [1, 0, 1] + [0, off.size_m[1] / 2, 0])
    place(work, off)
    for frame in (0, 12, 23):
        work.go(frame)
        px = seen(work, truth)
        turned = facing(truth, work.views.centres_m()[frame])
        for corner in sorted({int(k) + 1 for f in np.flatnonzero(turned) for k in FACE_LOOPS[f]}):
            before = seen(work, work.fitted(0).box)
            drag = PictureDrag(work, Handle("corner", corner), before[corner], 4.0)
            after = drag.to(px[corner])
            closer = np.linalg.norm(seen(work, after.box)[corner] - px[corner])
            assert closer <= np.linalg.norm(before[corner] - px[corner]) + 1e-9
            drag.let_go()
    # Exact clicks outweigh the first four, which lie where the wrong box was.
    assert np.abs(work.fitted(0).box.points_world_m() - truth.points_world_m()).max() < 4e-3


def test_a_face_is_drawn_along_its_normal_and_the_opposite_one_stays(work, truth):
    place(work, truth)
    before = work.fitted(0).box
    drag = PictureDrag(work, Handle("face", 3), seen(work, truth)[0], 8.0)  # the top
    after = drag.to(seen(work, truth)[0] + [0, -12]).box
    grown = after.size_m - before.size_m
    assert grown[1] > 0.003
    assert np.abs(grown[[0, 2]]).max() < 0.3 * grown[1]
    foot = (after.centre_m - before.centre_m)[1] - grown[1] / 2
    assert abs(foot) < 1e-3


@pytest.mark.parametrize(
    ("handle", "axes"),
    [(Handle("face", 1), [0]), (Handle("face", 3), [1]), (Handle("edge", 0), None)],
)
def test_a_drag_in_space_follows_the_cursor_as_far_as_the_clicks_allow(work, truth, handle, axes):
    place(work, truth)
    before = work.fitted(0).box

    def project(points: np.ndarray) -> np.ndarray:  # from the front, above, 400 px a metre
        return 400 * np.stack(
            [points[:, 0] + 0.3 * points[:, 2], -points[:, 1] + 0.4 * points[:, 2]], 1
        )

    drag = SpaceDrag(work, handle, np.zeros(2), project, 400.0)
    after = drag.to(np.array([10.0, -10.0])).box
    if axes is not None:
        assert (after.size_m - before.size_m)[axes] > 1e-4
    assert drag.moved
    drag.let_go()
    faces = {c.face for c in work.cuboid(0).clicks if c.depth_m is not None}
    assert len(faces) == len(handle.faces)
    drag = SpaceDrag(work, handle, np.zeros(2), project, 400.0)
    drag.to(np.array([5.0, 5.0]))
    drag.let_go()  # a face that is drawn again says where it is now, not twice
    assert len([c for c in work.cuboid(0).clicks if c.depth_m is not None]) == len(faces)


def test_turning_the_front_four_times_changes_nothing_and_never_the_box(work, truth):
    place(work, truth)
    cuboid = replace(work.cuboid(0), box=work.fitted(0).box)
    turned = cuboid
    for number in range(4):
        turned = front_turned(turned)
        corners = np.sort(turned.box.points_world_m()[1:].round(9), axis=0)
        np.testing.assert_allclose(
            corners, np.sort(cuboid.box.points_world_m()[1:].round(9), axis=0)
        )
        assert (turned.clicks == cuboid.clicks) == (number == 3)
        work.keep(turned)
        assert work.fitted(0).fit.misfit == pytest.approx(0, abs=1e-6)
    np.testing.assert_allclose(turned.box.rotation, cuboid.box.rotation, atol=1e-12)


def test_what_is_under_the_cursor_is_the_nearest_part_corners_first(work, truth):
    px, eye = seen(work, truth), work.views.centres_m()[0]
    turned = facing(truth, eye)
    assert turned[3]  # seen from above
    assert not turned[2]
    assert pick(px, px[8] + [5, 0], turned) == Handle("corner", 8)
    top = px[FACE_LOOPS[3] + 1].mean(axis=0)
    assert pick(px, top, turned) == Handle("face", 3)
    edge = pick(px, (px[4] + px[8]) / 2 + [0, 3], turned)
    assert edge.part == "edge"
    assert set(edge.corners) == {4, 8}
    assert pick(px, px[1:].min(axis=0) - 60, turned) is None


def test_following_a_drag_ends_where_the_whole_fit_ends(work, truth):
    place(work, truth)
    rng = np.random.default_rng(5)
    before = work.fitted(0)
    for corner in (3, 4, 8):
        drag = PictureDrag(work, Handle("corner", corner), seen(work, truth)[corner], 1.0)
        now = drag.to(seen(work, truth)[corner] + rng.normal(0, 15, 2))
        evidence = evidence_of(work, now)
        whole = fit_box(evidence, work.views, before.box)
        # It ends at a hundredth of a standard deviation, which here is some millimetres.
        same_points(follow_box(evidence, work.views, before.box).box, whole.box, 1e-4)
        same_points(now.box, whole.box, 1e-4)


def test_a_drag_against_other_clicks_is_fitted_to_the_end_and_seldom_the_long_way(
    work, truth, monkeypatch
):
    """In space, a corner drawn about by some centimetres, which clicks in two pictures deny."""
    place(work, truth)
    work.go(16)
    for corner in (4, 6, 8):
        at = seen(work, truth)[corner]
        drag = PictureDrag(work, Handle("corner", corner), at, 4.0)
        drag.to(at + [0.2, -0.1])
        drag.let_go()

    def project(points: np.ndarray) -> np.ndarray:
        return 400 * np.stack(
            [points[:, 0] + 0.3 * points[:, 2], -points[:, 1] + 0.4 * points[:, 2]], 1
        )

    long_ways = []

    def counted(*given):
        long_ways.append(given)
        return fit_box(*given)

    monkeypatch.setattr("arsession.cuboid_fit.fit_box", counted)
    drag, misfits = SpaceDrag(work, Handle("corner", 8), np.zeros(2), project, 400.0), []
    for number, turn in enumerate(np.linspace(0, 2 * np.pi, 60)):
        now = drag.to(np.array([30 * np.sin(turn) + 2, 22 * np.sin(2 * turn) + 2]))
        misfits.append(now.fit.misfit)
        if number % 20 == 0:
            whole = fit_box(evidence_of(work, now), work.views, now.box)
            assert now.fit.cost <= whole.cost * (1 + 1e-4)
    assert max(misfits) > 4
    assert len(long_ways) <= 3


def evidence_of(work, fitted):
    from arsession.cuboid_evidence import Evidence

    return Evidence(fitted.cuboid.clicks, work.recording.up_world, plane=fitted.plane)


def test_suggested_frames_lie_away_from_those_with_clicks_and_shrink_the_error(work, truth):
    place(work, truth)
    errors = [np.nanmean(work.fitted(0).frame_errors_px)]
    for _ in range(3):
        frame = work.next_frame()
        assert frame not in {c.frame for c in work.cuboid(0).clicks}
        work.go(frame)
        for corner in (4, 8):
            drag = PictureDrag(work, Handle("corner", corner), seen(work, truth)[corner], 1.0)
            drag.to(seen(work, truth)[corner])
            drag.let_go()
        errors.append(np.nanmean(work.fitted(0).frame_errors_px))
    assert np.diff(errors).max() < 0


def test_several_boxes_undo_and_redo_across_restarts(truth, tmp_path):
    other = PlacedBox(truth.rotation, truth.centre_m + [0.25, 0, 0.1], truth.size_m)

    def opened() -> CuboidSession:
        return CuboidSession(
            filmed_session(truth), AnnotationStore.open(tmp_path / STORE_NAME, "ada"), tmp_path
        )

    with opened() as work:
        place(work, truth)
        work.set_category("cup")
        work.begin_placing()
        place(work, other)
        assert work.boxes() == [0, 1]
        assert work.cuboid(1).category == "cup"  # as the one before, until it is said
        work.set_square(True)
        work.set_status("done")
    with opened() as work:
        assert (work.chosen, work.document(1).status) == (1, "done")
        assert work.cuboid(1).symmetry == "square"
        work.undo()
        work.undo()
        assert work.document(1).status == "open"
        assert work.cuboid(1).symmetry == "none"
        work.undo()
        assert work.boxes() == [0]
        assert work.chosen == 0
        work.redo()
        same_points(work.fitted(1).box, other, 1e-6)
        work.choose(0)
        work.delete()
        assert (work.boxes(), work.chosen) == ([1], 1)
        work.go(0)
        with pytest.raises(ViewfinderError, match="only clicks"):
            work.forget_frame()
    with opened() as work:
        assert work.boxes() == [1]
        work.undo()
        assert work.boxes() == [0, 1]


def test_the_export_is_the_boxes_file_and_the_labels_of_every_frame(work, truth, tmp_path):
    with pytest.raises(ViewfinderError, match="no box"):
        export_boxes(work)
    place(work, truth)
    work.set_category("box")
    done = export_boxes(work)
    (cuboid,) = read_cuboids(done.file)
    same_points(cuboid.box, truth, 1e-6)
    labels = Dataset.open(done.dataset).labels("propagated@ada")
    assert len(labels) == done.labels == work.frames
    for label in labels:
        wanted = work.views.seen_in(int(label.sample_id), truth.points_world_m())
        np.testing.assert_allclose(label.keypoints_px, wanted, atol=0.01)
        assert label.attributes["category"] == "box"
    work.set_status("flagged", "moves")
    with pytest.raises(ViewfinderError, match="no box"):
        export_boxes(work)


def test_what_one_annotator_exports_stays_when_another_does(truth, tmp_path):
    away = PlacedBox(truth.rotation, truth.centre_m + [0.03, 0, 0.02], truth.size_m)
    boxes = {"ada": truth, "bob": away}
    for _ in range(2):
        for who, box in boxes.items():
            store = AnnotationStore.open(tmp_path / STORE_NAME, who)
            with CuboidSession(filmed_session(truth), store, tmp_path) as work:
                if not work.boxes():
                    place(work, box)
                assert export_boxes(work).layer == f"propagated@{who}"
                views = work.views
    dataset = Dataset.open(tmp_path / "frames")
    assert dataset.layers() == ["propagated@ada", "propagated@bob"]
    for who, box in boxes.items():
        for label in dataset.labels(f"propagated@{who}"):
            wanted = views.seen_in(int(label.sample_id), box.points_world_m())
            np.testing.assert_allclose(label.keypoints_px, wanted, atol=0.01)
        same_points(read_cuboids(tmp_path / f"boxes-{who}.json")[0].box, box, 1e-6)
    (agreement,) = project_agreement(tmp_path)
    centimetres = agreement.to_json()["by"]["cm between centres"]
    assert centimetres == pytest.approx(100 * np.hypot(0.03, 0.02), abs=1e-3)
    with pytest.raises(ViewfinderError, match="several people"):
        default_layer(dataset)
    _, labels = best_labels(dataset, "cuboid9@1")  # training takes one of them, not both
    assert len(labels) == 24


def test_without_planes_a_second_frame_brings_the_scale(truth, tmp_path):
    recording = replace(filmed_session(truth), load_planes=lambda: ())
    store = AnnotationStore.open(tmp_path / STORE_NAME, "ada")
    with CuboidSession(recording, store, tmp_path) as work:
        place(work, truth)
        assert work.cuboid(0).plane is None
        for frame in (12, 23):
            work.go(frame)
            px = seen(work, truth)
            for corner in (2, 4, 6, 8):
                drag = PictureDrag(work, Handle("corner", corner), px[corner], 2.0)
                drag.to(px[corner])
                drag.let_go()
        assert np.abs(work.fitted(0).box.points_world_m() - truth.points_world_m()).max() < 0.01
        assert isinstance(work.views, Views)
