"""Laws of contours through handles, and of the magnet that draws them to edges."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from annotate.contours import contours_of, handle_mask, handles, led_by, normals, spline_weights
from annotate.dragging import Dragging, DragTools
from annotate.drawing import line_layout, region_box
from annotate.editing import Confirm, Move, apply, bounding_box, new_document
from annotate.following import WHOLE_FACE, begin_drag, fixed_points
from annotate.guide import ASKED, next_to_place, placing_order, region_of
from annotate.magnet import edge_field, snapped, snapped_ring
from annotate.sample import drawn_face
from runtime.topology import topology

FACE = topology("face478@1")
CORNER, OTHER_CORNER, IRIS = 61, 291, 468


@pytest.fixture(scope="module")
def drawn():
    return drawn_face(np.random.default_rng(2))


@pytest.fixture(scope="module")
def face(drawn):
    return new_document("face478@1", drawn[1])


@pytest.mark.parametrize("name", FACE.contours)
def test_handles_are_few_lie_on_their_contour_and_mirror(name):
    contour, knots = FACE.contours[name], handles("face478@1")[name]
    assert set(knots) <= set(contour.indices)
    assert 3 <= len(knots) <= max(4, 0.65 * len(contour.indices))
    if not contour.closed:
        assert (knots[0], knots[-1]) == (contour.indices[0], contour.indices[-1])
    side, _, rest = name.partition("_")
    other = {"right": "left", "left": "right"}.get(side, side)
    twin = f"{other}_{rest}".strip("_")
    assert {FACE.mirror[i] for i in knots} == set(handles("face478@1")[twin])


@pytest.mark.parametrize("name", ["oval", "lips_outer", "right_brow_upper", "nose_bridge"])
def test_spline_weights_are_one_at_the_handle_none_at_the_others_and_add_up(name, face):
    contour, knots = FACE.contours[name], handles("face478@1")[name]
    each = {k: spline_weights(face.keypoints_px, contour, knots, k) for k in knots}
    for knot, weights in each.items():
        at = dict(zip(contour.indices, weights))
        assert at[knot] == pytest.approx(1.0)
        assert all(abs(at[other]) < 1e-9 for other in knots if other != knot)
    # All handles by one shift: the whole contour goes along by just that.
    np.testing.assert_allclose(sum(each.values()), 1.0, atol=1e-9)


def test_a_handle_bends_its_contour_and_leaves_the_other_handles(face):
    drag = begin_drag(face, CORNER, 0.0, contour=True)
    after = face.keypoints_px.copy()
    after[drag.indices] = drag.at(*(face.keypoints_px[CORNER] + [-12.0, 4.0]))
    shift = after - face.keypoints_px
    assert np.allclose(shift[CORNER], [-12.0, 4.0])
    others = [i for i in handles("face478@1")["lips_outer"] if i != CORNER]
    assert np.abs(shift[others]).max() < 1e-9
    assert 2.0 < np.linalg.norm(shift[146]) < 12.6  # between the corner and the next handle


def test_the_mesh_follows_a_contour_within_the_reach(face):
    length = float(FACE.normalising_length(face.keypoints_px))
    drag = begin_drag(face, 17, 0.5 * length, contour=True)
    moved = dict(zip(drag.indices.tolist(), drag.at(*(face.keypoints_px[17] + [0.0, 10.0]))))
    skin = [i for i in FACE.parts["skin"] if i in moved]
    assert len(skin) > 10
    assert not set(FACE.parts["eyelids"]) & set(moved)
    assert moved[18][1] - face.keypoints_px[18][1] > 3.0  # below the lower lip


def test_an_iris_is_carried_by_its_centre_and_widened_by_its_ring(face):
    points = face.keypoints_px
    carried = led_by(FACE, IRIS, points)
    assert set(carried) == {468, 469, 470, 471, 472}
    assert all(np.array_equal(w, np.eye(2)) for w in carried.values())
    drag = begin_drag(face, 469, 0.0, contour=True)
    after = points.copy()
    after[drag.indices] = drag.at(*(points[468] + 1.5 * (points[469] - points[468])))
    np.testing.assert_allclose(after[468], points[468])
    spokes = np.linalg.norm(points[469:473] - points[468], axis=1)
    np.testing.assert_allclose(
        np.linalg.norm(after[469:473] - after[468], axis=1), 1.5 * spokes, rtol=1e-6
    )


def test_both_sides_move_as_in_a_mirror_and_back(face):
    to = face.keypoints_px[CORNER] + [-9.0, 3.0]
    drag = begin_drag(face, CORNER, 0.0, contour=True, symmetric=True)
    after = face.keypoints_px.copy()
    after[drag.indices] = drag.at(*to)
    twin = begin_drag(face, OTHER_CORNER, 0.0, contour=True, symmetric=True)
    again = face.keypoints_px.copy()
    again[twin.indices] = twin.at(*after[OTHER_CORNER])
    np.testing.assert_allclose(again[CORNER], to, atol=1.5)
    sides = [np.linalg.norm((after - face.keypoints_px)[i]) for i in (CORNER, OTHER_CORNER)]
    assert sides[1] == pytest.approx(sides[0], rel=0.25)  # this face is turned a little


def test_what_is_placed_or_confirmed_stays(face):
    placed = apply(face, Move((17,), ((200.0, 300.0),), (17,)))
    confirmed = apply(placed, Confirm(("right_eye",)))
    fixed = fixed_points(confirmed)
    assert fixed[17]
    assert fixed[list(FACE.contours["right_eye"].indices)].all()
    assert fixed.sum() == 17
    drag = begin_drag(confirmed, CORNER, WHOLE_FACE, contour=True)
    after = confirmed.keypoints_px.copy()
    after[drag.indices] = drag.at(*(after[CORNER] + [15.0, 5.0]))
    np.testing.assert_allclose(after[fixed], confirmed.keypoints_px[fixed])
    assert (after != confirmed.keypoints_px).any(axis=1).sum() > 300


def test_placing_points_brings_the_whole_face_nearer(face):
    """The order asked for, placed where they belong, mends faces that it has never seen."""
    rng = np.random.default_rng(4)
    length = float(FACE.normalising_length(face.keypoints_px))
    wrong = face.keypoints_px @ [[1.03, 0.02], [-0.02, 1.03]]
    wrong += (
        face.keypoints_px.mean(axis=0) - wrong.mean(axis=0) + 0.03 * length * rng.normal(size=2)
    )
    document = new_document("face478@1", wrong)

    def error() -> float:
        off = np.linalg.norm(document.keypoints_px - face.keypoints_px, axis=1)
        return float(off.mean()) / length

    errors = [error()]
    index = next_to_place(document)
    for _ in range(18):
        drag = begin_drag(document, index, WHOLE_FACE)
        document = apply(document, drag.move(*face.keypoints_px[index]))
        errors.append(error())
        index = next_to_place(document, index)
    assert errors[-1] < 0.15 * errors[0]


def test_what_is_asked_for_goes_region_by_region_and_ends(face):
    order = placing_order()
    assert len(set(order)) == len(order) == ASKED
    assert handle_mask("face478@1")[list(order)].all()
    regions = [region_of("face478@1", i) for i in order]
    assert regions == sorted(regions, key=["right_eye", "left_eye", "mouth", "rest"].index)
    document = face
    for index in order:
        assert next_to_place(document) == index
        spot = tuple(document.keypoints_px[index].tolist())
        document = apply(document, Move((index,), (spot,), (index,)))
    assert next_to_place(document) is None
    assert next_to_place(new_document("hand21@1", np.zeros((21, 2)))) is None


def test_close_views_hold_their_region(face):
    for region, inside in (("right_eye", 468), ("left_eye", 473), ("mouth", 13)):
        x, y, w, h = region_box(face.keypoints_px, "face478@1", region)
        px, py = face.keypoints_px[inside]
        assert x < px < x + w
        assert y < py < y + h
    assert region_box(face.keypoints_px, "face478@1", "rest") is None


# -- the magnet -------------------------------------------------------------------------------


def ring(radius: float, count: int = 24) -> np.ndarray:
    turn = np.linspace(0, 2 * np.pi, count, endpoint=False)
    return 80.0 + radius * np.stack([np.cos(turn), np.sin(turn)], axis=1)


@pytest.mark.parametrize("radius", [36.0, 44.0])
@pytest.mark.parametrize("colours", [(40, 200), (200, 40), (118, 138)])
def test_a_ring_near_a_disc_is_drawn_to_its_edge(radius, colours):
    across = np.arange(160) + 0.5 - 80.0
    inside = np.clip(40.5 - np.hypot(*np.meshgrid(across, across)), 0.0, 1.0)
    grey = colours[0] + (colours[1] - colours[0]) * inside
    image = np.repeat(grey.astype(np.uint8)[..., None], 3, axis=2)
    edges = edge_field(image, (30, 30, 100, 100), 60.0)
    to, strength = snapped(edges, ring(radius), True, 8.0)
    np.testing.assert_allclose(np.linalg.norm(to - 80.0, axis=1), 40.0, atol=0.35)
    assert strength.min() > 0.4


def test_without_an_edge_a_contour_stays():
    flat = edge_field(np.full((160, 160, 3), 90, np.uint8), (30, 30, 100, 100), 60.0)
    to, strength = snapped(flat, ring(40.0), True, 8.0)
    np.testing.assert_allclose(to, ring(40.0), atol=1e-6)
    assert strength.max() == 0.0


def test_an_open_line_is_drawn_to_a_step_and_its_points_slide_nowhere():
    image = np.zeros((100, 100, 3), np.uint8)
    image[52:] = 180
    edges = edge_field(image, (10, 10, 80, 80), 60.0)
    line = np.stack([np.linspace(20, 80, 9), np.full(9, 48.5)], axis=1)
    to, _ = snapped(edges, line, False, 6.0)
    np.testing.assert_allclose(to[:, 1], 52.0, atol=0.3)
    np.testing.assert_allclose(to[:, 0], line[:, 0], atol=1e-6)


def drawn_eye(middle: tuple[float, float], radius: float) -> tuple[np.ndarray, np.ndarray]:
    """(100, 160, 3) a dark iris with a pupil in a white eye under lids, and the lids' outline."""
    turn = np.linspace(0, 2 * np.pi, 40, endpoint=False)
    lids = np.stack([80 + 55 * np.cos(turn), 50 + 17 * np.sin(turn)], axis=1)
    eye = np.full((100, 160, 3), (190, 140, 120), np.uint8)
    ball = np.full_like(eye, 235)
    at = tuple(round(16 * (v - 0.5)) for v in middle)
    for size, colour in ((radius, (90, 70, 50)), (0.45 * radius, (15, 12, 10))):
        cv2.circle(ball, at, round(16 * size), colour, -1, cv2.LINE_AA, 4)
    mask = np.zeros(eye.shape[:2], np.uint8)
    cv2.fillPoly(mask, [np.round((lids - 0.5) * 16).astype(np.int32)], 255, cv2.LINE_AA, 4)
    share = mask[..., None] / 255
    return np.round(eye * (1 - share) + ball * share).astype(np.uint8), lids


def four(middle: tuple[float, float], radius: float) -> np.ndarray:
    return np.array(middle) + radius * np.array([[1.0, 0], [0, -1], [-1, 0], [0, 1]])


@pytest.mark.parametrize("middle", [(80.0, 50.0), (70.0, 47.0), (92.5, 53.0)])
def test_an_iris_goes_to_its_edge_though_lids_cover_its_top_and_bottom(middle):
    image, lids = drawn_eye(middle, 22.0)
    edges = edge_field(image, (20, 28, 120, 44), 200.0)
    off = np.array([4.0, -2.5])
    to = snapped_ring(edges, four(middle, 22.0) + off, lids, 10.0, widen=False)
    assert np.linalg.norm(to.mean(axis=0) - middle) < 1.2
    np.testing.assert_allclose(to - to.mean(axis=0), four((0, 0), 22.0), atol=1e-9)
    for wrong in (18.5, 26.0):  # not the pupil's edge, nor the lids'
        to = snapped_ring(edges, four(middle, wrong), lids, 10.0, widen=True)
        np.testing.assert_allclose(to.mean(axis=0), middle, atol=1e-9)
        assert np.linalg.norm(to - middle, axis=1).mean() == pytest.approx(22.0, abs=0.8)


def test_an_iris_of_which_nothing_shows_stays():
    image, lids = drawn_eye((80.0, 50.0), 22.0)
    edges = edge_field(image, (20, 28, 120, 44), 200.0)
    closed = lids * [1, 0.05] + [0, 47.5]
    ring_px = four((80.0, 50.0), 20.0)
    np.testing.assert_array_equal(snapped_ring(edges, ring_px, closed, 10.0, False), ring_px)


def test_the_bridge_of_a_nose_is_drawn_to_the_middle_of_its_streak_of_light():
    """Not to either side of it, where edges are; of a head turned aside, to the edge it is."""
    x = np.arange(120) + 0.5
    light = 120 + 70 * np.exp(-(((x - 63.0) / 5.0) ** 2))
    streak = np.repeat(np.tile(light, (100, 1)).astype(np.uint8)[..., None], 3, axis=2)
    line = np.stack([np.full(10, 59.0), np.linspace(20, 80, 10)], axis=1)
    field = edge_field(streak, (20, 10, 80, 80), 100.0)
    to, _ = snapped(field, line, False, 8.0, ridge=True)
    np.testing.assert_allclose(to[:, 0], 63.0, atol=1.0)
    to, _ = snapped(field, line, False, 8.0)
    assert np.abs(to[:, 0] - 63.0).min() > 2.0
    aside = np.zeros((100, 120, 3), np.uint8)
    aside[:, 62:] = 160
    to, _ = snapped(edge_field(aside, (20, 10, 80, 80), 100.0), line, False, 8.0, ridge=True)
    np.testing.assert_allclose(to[:, 0], 62.0, atol=1.0)


@pytest.mark.parametrize("index", [468, 469])
def test_a_dragged_iris_of_a_drawn_face_ends_on_the_iris(drawn, face, index):
    """Shifted or widened off its edge, then dragged a part of the way back. The sample's irises
    have four corners: a round one is drawn over."""
    image, truth = drawn
    radius = float(np.linalg.norm(truth[469:473] - truth[468], axis=1).mean())
    disc, white = np.zeros(image.shape[:2], np.uint8), np.zeros(image.shape[:2], np.uint8)
    at = tuple(np.round(16 * (truth[468] - 0.5)).astype(int).tolist())
    cv2.circle(disc, at, round(16 * radius), 255, -1, cv2.LINE_AA, 4)
    lids = truth[list(FACE.contours["right_eye"].indices)]
    cv2.fillPoly(white, [np.round((lids - 0.5) * 16).astype(np.int32)], 255, cv2.LINE_AA, 4)
    image = image.copy()
    for mask, colour in ((white, (245, 245, 245)), (np.minimum(disc, white), (70, 50, 40))):
        share = mask[..., None] / 255
        image = np.round(image * (1 - share) + np.array(colour) * share).astype(np.uint8)
    aside = np.array([0.5 * radius, 0.0])
    wrong = begin_drag(face, index, 0.0, contour=True)
    document = apply(face, wrong.move(*(truth[index] + aside)))
    ring_px, ends = [469, 470, 471, 472], {}
    for magnet in (False, True):
        dragging = Dragging(DragTools(magnet=magnet))
        dragging.set_picture(image)
        drawn_px = document.keypoints_px.copy()
        dragging.take_hold(document, drawn_px, index, drawn_px[index])
        dragging.to(truth[index] + 0.25 * aside)
        dragging.place(drawn_px)
        ends[magnet] = np.linalg.norm(drawn_px[ring_px] - truth[ring_px], axis=1).mean()
    assert ends[True] < ends[False]


def test_a_region_outside_the_picture_has_no_edges():
    field = edge_field(np.zeros((20, 20, 3), np.uint8), (500.0, 500.0, 50.0, 50.0), 60.0)
    assert field.across(np.array([[1.0, 1.0]]), np.array([[1.0, 0.0]])).max() == 0.0


def test_normals_are_across_and_one_long():
    across = normals(ring(40.0), closed=True)
    np.testing.assert_allclose(np.linalg.norm(across, axis=1), 1.0)
    outward = ring(40.0) - 80.0
    cosine = np.abs((across * outward).sum(axis=1)) / 40.0
    np.testing.assert_allclose(cosine, 1.0, atol=1e-6)


def test_a_drag_under_the_magnet_ends_on_the_edge_and_the_mesh_with_it(drawn, face):
    """The lower lip of a drawn face, taken off its edge and dragged about half way back."""
    image, truth = drawn
    length = float(FACE.normalising_length(truth))
    wrong = begin_drag(face, 17, 0.0, contour=True)
    document = apply(face, wrong.move(*(truth[17] + [0.0, 0.12 * length])))
    ends = {}
    for magnet in (False, True):
        dragging = Dragging(DragTools(magnet=magnet))
        dragging.set_picture(image)
        drawn_px = document.keypoints_px.copy()
        dragging.take_hold(document, drawn_px, 17, drawn_px[17])
        dragging.to(truth[17] + [0.0, 0.03 * length])
        dragging.place(drawn_px)
        move = dragging.let_go()
        np.testing.assert_array_equal(apply(document, move).keypoints_px, drawn_px)
        ends[magnet] = np.abs(drawn_px[[84, 17, 314], 1] - truth[[84, 17, 314], 1]).mean()
    assert ends[True] < 0.5 * ends[False]


def test_nothing_is_magnetic_outside_a_picture(face):
    dragging = Dragging(DragTools(magnet=True))
    box = bounding_box(face)
    assert box is not None
    dragging.take_hold(face, face.keypoints_px.copy(), 17, face.keypoints_px[17])
    assert dragging.let_go() is None


def test_the_reach_goes_up_to_everything_and_back():
    tools = DragTools()
    steps = []
    while np.isfinite(tools.reach):
        steps.append(tools.reach)
        tools.scale_reach(True)
    tools.scale_reach(False)
    assert tools.reach == pytest.approx(steps[-1])
    for _ in range(40):
        tools.scale_reach(False)
    assert 0 < tools.reach < 0.1


def test_points_of_several_contours_are_known_by_all():
    assert contours_of(FACE, 2) == ["nose_bridge", "nose_wings"]
    assert contours_of(FACE, IRIS) == ["right_iris"]
    assert contours_of(FACE, 100) == []


@pytest.mark.parametrize("name", list(FACE.contours))
def test_every_contour_is_drawn_through_its_keypoints_in_order(face, name):
    layout = line_layout("face478@1")
    pieces = layout.contour[::2] == layout.names.index(name)
    vertices = layout.vertices(face.keypoints_px, face.visibility).reshape(-1, 2, 2)[pieces]
    line = FACE.contours[name]
    points = face.keypoints_px[list(line.indices)]
    stretches = len(points) if line.closed else len(points) - 1
    by_stretch = vertices.reshape(stretches, -1, 2, 2)  # the nose's wings are one of them
    np.testing.assert_allclose(by_stretch[:, 0, 0], points[:stretches], atol=1e-3)
    np.testing.assert_allclose(by_stretch[:, -1, 1], np.roll(points, -1, 0)[:stretches], atol=1e-3)
    np.testing.assert_allclose(vertices[1:, 0], vertices[:-1, 1], atol=1e-3)  # and none is torn
