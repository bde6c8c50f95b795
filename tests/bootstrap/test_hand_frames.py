"""Coordinates about the wrist and in palms: the same wherever the hand stands."""

from __future__ import annotations

import numpy as np
import pytest

from bootstrap.dataset import Label
from bootstrap.dataset.hand_frames import palm_box_px, palm_normalised_z, wrist_relative_m
from runtime.errors import ViewfinderError


def hand(points: np.ndarray) -> Label:
    pixels = points[:, :2] / points[:, 2:] * 300 + 128
    return Label(sample_id="a", topology="hand21@1", keypoints_px=pixels, keypoints_camera_m=points)


def test_moving_a_hand_changes_neither_and_growing_it_only_its_metres() -> None:
    points = np.random.default_rng(0).normal(0, 0.05, (21, 3)) + (0, 0, 0.6)
    moved, grown = hand(points + (0.1, 0.2, 0.3)), hand(2 * points)
    first = hand(points)
    np.testing.assert_allclose(wrist_relative_m(moved), wrist_relative_m(first), atol=1e-6)
    np.testing.assert_allclose(wrist_relative_m(grown), 2 * wrist_relative_m(first), atol=1e-6)
    np.testing.assert_allclose(palm_normalised_z(moved), palm_normalised_z(first), atol=1e-5)
    np.testing.assert_allclose(palm_normalised_z(grown), palm_normalised_z(first), atol=1e-5)
    assert palm_normalised_z(first)[0] == 0


def test_a_palm_box_holds_the_palm_and_no_fingertips() -> None:
    points = np.tile([0.0, 0.0, 1.0], (21, 1))
    points[[0, 5, 9, 13, 17, 1, 2], :2] = [
        [0, 1],
        [-1, 0],
        [0, 0],
        [1, 0],
        [2, 0],
        [-2, 1],
        [-2, 0],
    ]
    points[[8, 12, 16, 20], 1] = -5
    x, y, width, height = palm_box_px(hand(points))
    np.testing.assert_allclose([x, y, width, height], [128 - 600, 128, 1200, 300])


def test_other_labels_have_none() -> None:
    for label in (Label(sample_id="a"), Label(sample_id="a", topology="face478@1")):
        for function in (wrist_relative_m, palm_normalised_z, palm_box_px):
            with pytest.raises(ViewfinderError, match="has no hand"):
                function(label)
