"""Drawing: it shows where, on any ground, and nowhere else."""

from __future__ import annotations

import numpy as np
import pytest

from runtime.draw import draw_text, drawn
from runtime.results import Subject, bounding_box
from runtime.topology import canonical_face, topology


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
