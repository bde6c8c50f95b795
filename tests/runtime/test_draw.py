"""Drawing: it shows where, on any ground, and nowhere else."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from runtime.compare import Against, compare
from runtime.drawing.mask import outline
from runtime.drawing.panels import draw_bars, draw_keys, draw_status, place_inset
from runtime.drawing.result import Look, drawn_result
from runtime.drawing.subjects import draw_text, drawn
from runtime.results import FrameResult, Subject, bounding_box
from runtime.topology import canonical_face, topology
from runtime.viewing.controls import HELP, AgainstView


def face(centre: tuple[float, float] = (0.5, 0.5), size: float = 0.03) -> Subject:
    points = canonical_face().vertices_m * 100 * (size, -size, -size) + (*centre, 0)
    keypoints = points.astype(np.float32)
    return Subject(0, "face478@1", 0.9, keypoints, bounding_box(keypoints))


def hand(seed: int = 0) -> Subject:
    keypoints = np.random.default_rng(seed).uniform(0.3, 0.7, (21, 3)).astype(np.float32)
    return Subject(1, "hand21@1", 0.9, keypoints, bounding_box(keypoints), handedness="left")


@pytest.mark.parametrize("ground", [0, 128, 255])
@pytest.mark.parametrize("subject", [face(), hand()])
def test_it_stands_out_on_any_ground(ground: int, subject: Subject) -> None:
    picture = np.full((400, 600, 3), ground, dtype=np.uint8)
    changed = np.abs(drawn(picture, [subject]).astype(int) - ground).max(axis=2)
    for a, b in next(iter(topology(subject.topology).contours.values())).segments():
        middle = (subject.keypoints[a] + subject.keypoints[b])[:2] / 2 * (600, 400)
        x, y = middle.astype(int)
        assert changed[y - 2 : y + 3, x - 2 : x + 3].max() > 60


def test_the_picture_itself_and_what_is_far_stay() -> None:
    picture = np.random.default_rng(0).integers(0, 256, (400, 600, 3), dtype=np.uint8)
    before = picture.copy()
    with_hand = drawn(picture, [hand()])
    np.testing.assert_array_equal(picture, before)
    np.testing.assert_array_equal(with_hand[320:], before[320:])
    np.testing.assert_array_equal(with_hand[:, :100], before[:, :100])
    np.testing.assert_array_equal(drawn(picture, []), picture)


def test_mirrored_drawing_is_the_drawing_mirrored() -> None:
    picture = np.full((300, 300, 3), 90, dtype=np.uint8)
    subject = face((0.4, 0.6), 0.02)
    plain, mirrored = drawn(picture, [subject]), drawn(picture, [subject], mirrored=True)
    # Text apart, which stays readable: the rows below the forehead.
    difference = np.abs(plain[150:, ::-1].astype(int) - mirrored[150:]).max(axis=2)
    assert (difference > 60).mean() < 0.01
    assert (np.abs(plain.astype(int) - mirrored).max(axis=2) > 60).mean() > 0.02


@pytest.mark.parametrize("subject", [face((3, -2)), face((0.0, 0.0)), face((0.5, 0.5), 2.0)])
def test_subjects_outside_do_no_harm(subject: Subject) -> None:
    drawn(np.zeros((50, 70, 3), dtype=np.uint8), [subject])


def test_broken_numbers_and_tiny_pictures_do_no_harm() -> None:
    broken = Subject(0, "hand21@1", 1, np.full((21, 3), np.nan, dtype=np.float32), (0, 0, 0, 0))
    drawn(np.zeros((50, 70, 3), dtype=np.uint8), [broken])
    picture = np.zeros((1, 1, 3), dtype=np.uint8)
    drawn(picture, [hand(), face(), Subject(0, "", 1, np.zeros((6, 2), np.float32), (0, 0, 1, 1))])
    draw_text(picture, "text", 100, 100)


def body(visibility: np.ndarray | None = None) -> Subject:
    """Keypoints down the picture, the right side's at the left of it, no two bones in line."""
    rows = np.linspace(0.1, 0.9, 33)
    within = np.random.default_rng(3).uniform(0.0, 0.35, 33)
    columns = np.where(np.arange(33) % 2 == 0, 0.1, 0.55) + within
    keypoints = np.stack([columns, rows, np.zeros(33)], axis=1).astype(np.float32)
    return Subject(
        0, "pose33@1", 0.9, keypoints, bounding_box(keypoints), visibility_score=visibility
    )


def cuboid(turned: bool = False) -> Subject:
    signs = [(x, y, z) for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)]
    corners = np.array([(0, 0, 0), *signs]) * 0.1 + (0, 0, 1.0 if not turned else -1.0)
    points = 0.5 + corners[:, :2] / np.abs(corners[:, 2:]) * (1.5, 2.0)
    box = {
        "rotation": np.eye(3).ravel().tolist(), "translation_m": corners[0].tolist(),
        "size_m": [0.2, 0.2, 0.2], "scale": "metric",
    }  # fmt: skip
    keypoints = points.astype(np.float32)
    return Subject(2, "cuboid9@1", 0.9, keypoints, bounding_box(keypoints), cuboid=box)


def colour_at(picture: np.ndarray, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """In the middle between two normalised points."""
    x, y = ((a + b)[:2] / 2 * (picture.shape[1], picture.shape[0])).astype(int)
    return picture[y, x].astype(int)


def test_a_bodys_sides_have_their_colours_and_a_mirror_keeps_them() -> None:
    ground = np.full((600, 600, 3), 128, dtype=np.uint8)
    subject = body()
    for mirrored in (False, True):
        picture = drawn(ground, [subject], mirrored)
        points = subject.keypoints.copy()
        if mirrored:
            points[:, 0] = 1 - points[:, 0]
        for a, b, warm in ((11, 13, False), (12, 14, True), (23, 25, False), (24, 26, True)):
            red, _, blue = colour_at(picture, points[a], points[b])
            assert (red > blue + 60) == warm
            assert (blue > red + 60) == (not warm)


def test_what_is_hardly_visible_is_faint() -> None:
    ground = np.full((600, 600, 3), 128, dtype=np.uint8)
    seen = np.ones(33, dtype=np.float32)
    seen[13] = 0.1  # the left elbow
    picture = drawn(ground, [body(seen)])
    points = body().keypoints
    clear = np.abs(colour_at(picture, points[12], points[14]) - 128).max()
    faint = np.abs(colour_at(picture, points[11], points[13]) - 128).max()
    assert 10 < faint < 0.5 * clear


def test_masks_dim_what_is_outside_or_tint_what_is_inside() -> None:
    rng = np.random.default_rng(0)
    ground = rng.integers(0, 256, (200, 300, 3), dtype=np.uint8)
    mask = np.zeros((200, 300), dtype=np.float32)
    mask[50:150, 100:200] = 1
    none = np.zeros((0, 2), dtype=np.float32)
    alone = Subject(0, "", 1.0, none, (0, 0, 1, 1), mask=mask)
    picture = drawn(ground, [alone])
    np.testing.assert_array_equal(picture[60:140, 110:190], ground[60:140, 110:190])
    outside = picture[:40].astype(int)
    assert outside.mean() < 0.7 * ground[:40].mean()
    assert np.abs(outside - outside[..., :1]).max() < 0.5 * 255  # what is left of colour is cool
    assert (outside[..., 2] >= outside[..., 0]).all()
    assert np.abs(picture[46:54, 150].astype(int) - ground[46:54, 150]).max() > 60  # its outline
    with_body = replace(body(), mask=mask)
    tinted = drawn(ground, [with_body])
    np.testing.assert_array_equal(tinted[:, 285:], ground[:, 285:])
    assert (tinted[60:140, 112:120] != ground[60:140, 112:120]).any(axis=2).mean() > 0.9


def test_a_mirrored_mask_lies_on_the_mirrored_person() -> None:
    ground = np.full((80, 120, 3), 200, dtype=np.uint8)
    mask = np.zeros((80, 120), dtype=np.float32)
    mask[20:60, 10:40] = 1
    none = np.zeros((0, 2), dtype=np.float32)
    subject = Subject(0, "", 1.0, none, (0, 0, 1, 1), mask=mask)
    plain, mirrored = drawn(ground, [subject]), drawn(ground, [subject], mirrored=True)
    assert (plain[30:50, 15:35] == 200).all()
    assert (mirrored[30:50, 85:105] == 200).all()
    assert (mirrored[30:50, 15:35] != 200).any(axis=2).all()


def test_a_masks_outline_is_where_it_crosses_one_half() -> None:
    picture = np.zeros((60, 200, 3), dtype=np.uint8)
    ramp = np.tile(np.linspace(0, 1, 200, dtype=np.float32), (60, 1))
    outline(picture, ramp, (255, 255, 255), 1)
    columns = np.nonzero(picture[30, :190].max(axis=1) > 200)[0]
    assert 98 <= columns.min() <= columns.max() <= 101


@pytest.mark.parametrize("turned", [False, True])
def test_a_boxs_near_edges_are_brighter_than_its_far_ones(turned: bool) -> None:
    ground = np.zeros((400, 400, 3), dtype=np.uint8)
    subject = cuboid(turned)
    picture = drawn(ground, [subject]).astype(int)
    points = subject.keypoints
    # Corners 1 and 3 differ in y at the minus end of z, 2 and 4 at its plus end.
    minus = colour_at(picture, points[1], points[3]).max()
    plus = colour_at(picture, points[2], points[4]).max()
    assert (minus > plus + 40) != turned
    axes = [colour_at(picture, points[0], points[face].mean(axis=0)) for face in
            ([5, 6, 7, 8], [3, 4, 7, 8])]  # fmt: skip
    assert axes[0].argmax() == 0
    assert axes[1].argmax() == 1


def test_a_box_without_depths_is_drawn_all_the_same() -> None:
    ground = np.zeros((400, 400, 3), dtype=np.uint8)
    picture = drawn(ground, [replace(cuboid(), cuboid=None)])
    assert (picture.max(axis=2) > 60).mean() > 0.005


def test_iris_depths_stand_beside_the_eyes() -> None:
    ground = np.full((500, 700, 3), 90, dtype=np.uint8)
    subject = face(size=0.015)
    depths = {"left_depth_m": 0.52, "left_depth_error_m": 0.02, "right_depth_m": 0.51}
    plain = drawn(ground, [subject]).astype(int)
    told = drawn(ground, [replace(subject, iris=depths)]).astype(int)
    rows, columns = np.nonzero(np.abs(told - plain).max(axis=2) > 30)
    face_columns = subject.keypoints[:, 0] * 700
    assert columns.min() < face_columns.min() - 20
    assert columns.max() > face_columns.max() + 20
    eyes = subject.keypoints[[468, 473], 1] * 500
    assert eyes.min() - 20 < rows.min() < rows.max() < eyes.max() + 20


def test_plus_minus_is_a_plus_with_a_line_beneath() -> None:
    plus, both = (np.zeros((40, 80, 3), dtype=np.uint8) for _ in range(2))
    draw_text(plus, "5 + 2", 5, 25)
    draw_text(both, "5 ± 2", 5, 25)
    rows, _ = np.nonzero((both != plus).any(axis=2))
    assert len(rows) > 4
    assert rows.min() >= 23


def test_labels_stay_inside_and_off_what_they_name() -> None:
    ground = np.full((300, 400, 3), 90, dtype=np.uint8)
    for top in (-0.02, 0.3, 0.75):
        points = hand().keypoints * (0.5, 0.5, 1) + (0.2, top, 0)
        keypoints = points.astype(np.float32)
        named = replace(hand(), keypoints=keypoints, box=bounding_box(keypoints),
                        gesture={"name": "Thumb_Up", "score": 0.8})  # fmt: skip
        picture = drawn(ground, [named])
        assert picture.shape == ground.shape
        yellow = (picture[..., 0] > 220) & (picture[..., 2] < 140)
        assert yellow.sum() > 20  # the gesture's name is written somewhere


@pytest.mark.parametrize("view", list(AgainstView))
def test_two_answers_over_each_other_and_side_by_side(view: AgainstView) -> None:
    ground = np.full((300, 400, 3), 60, dtype=np.uint8)
    first = [face(size=0.02)]
    far = replace(first[0], keypoints=first[0].keypoints + np.float32([0.02, 0, 0]))
    second = [far]
    difference = compare(first, second, 400, 300)
    against = Against("second", "", 1.0, first, second, difference)
    result = FrameResult("a", 0, 0, 400, 300, 0, first, "first", against=against)
    picture = drawn_result(ground, result, view=view).astype(int)
    assert picture.shape[1] == (804 if view is AgainstView.beside else 400)
    red, green, blue = (picture[100:, :, channel] for channel in range(3))
    magenta = (red > 200) & (blue > 150) & (green < 130)
    joined = (red > 200) & (green > 200) & (blue < 120)
    assert (magenta.sum() > 50) == (view is AgainstView.overlaid)
    assert (joined.sum() > 50) == (view is AgainstView.overlaid)


def test_bars_and_the_puppet_follow_the_coefficients() -> None:
    ground = np.full((480, 640, 3), 60, dtype=np.uint8)
    names = ["jawOpen", "eyeBlinkLeft", "mouthSmileLeft"]

    def shown(**values: float) -> np.ndarray:
        blendshapes = {name: values.get(name, 0.0) for name in names}
        subject = replace(face(size=0.01), blendshapes=blendshapes)
        result = FrameResult("a", 0, 0, 640, 480, 0, [subject])
        return drawn_result(ground, result, Look(puppet=True)).astype(int)

    calm, gaping = shown(), shown(jawOpen=1.0)
    changed = np.abs(calm - gaping).max(axis=2) > 40
    assert changed[:, :250].sum() > 100  # a bar
    assert changed[320:, 480:].sum() > 100  # the puppet's mouth
    assert not changed[:150].any()
    half = np.abs(calm - shown(jawOpen=0.5)).max(axis=2) > 40
    assert 0.35 < half[:, :250].sum() / changed[:, :250].sum() < 0.65


def test_panels_do_no_harm_to_tiny_pictures() -> None:
    for side in (1, 7, 60):
        picture = np.zeros((side, side, 3), dtype=np.uint8)
        draw_bars(picture, {"jawOpen": 1.0, "tongueOut": float("nan")})
        draw_keys(picture, HELP)
        draw_status(picture, ["face 478", "30 fps"], "a message")
        place_inset(picture, np.zeros((90, 90, 3), dtype=np.uint8))
        drawn(picture, [cuboid(), body(), face(), replace(hand(), gesture={"name": "a"})])
