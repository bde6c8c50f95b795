"""Rings and bands lie on the skin, whoever wears them and however the hand is held."""

from __future__ import annotations

import numpy as np
import pytest

from render.anny_asset import Identity
from render.gestures import gestures
from render.hand_bands import CLEARANCE_M, Band, BandModel, random_bands
from render.hand_model import FINGERS, HandModel, HandShape, PosedHand

HIDDEN = np.array([9.0, 9.0, 9.0])


@pytest.fixture(scope="module")
def bands(model: HandModel) -> BandModel:
    return BandModel(model)


def band(finger: str, dial_m: float = 0.0) -> Band:
    return Band(finger, 0.42, 0.005, 0.0015, dial_m, (1.0, 0.8, 0.3), 1.0, 0.2)


def worn(bands: BandModel, shape: HandShape, posed: PosedHand, *wanted: Band) -> np.ndarray:
    vertices = bands.vertices(wanted, shape, posed, HIDDEN)
    return vertices[(vertices != HIDDEN).any(axis=1)]


@pytest.mark.parametrize("gesture", ["open_palm", "fist"])
@pytest.mark.parametrize("age", [0.4, 0.9])
def test_a_ring_surrounds_its_finger_closely(
    model: HandModel, bands: BandModel, gesture: str, age: float
) -> None:
    shape = model.shape(Identity({"age": age}))
    posed = model.pose(shape, gestures()[gesture].angles)
    for f, finger in enumerate(FINGERS[1:], start=1):
        ring = worn(bands, shape, posed, band(finger))
        first, second = posed.keypoints_m[1 + 4 * f], posed.keypoints_m[2 + 4 * f]
        axis = (second - first) / np.linalg.norm(second - first)
        own = model.weights[:, 2 + 3 * f] > 0.5  # of the phalanx that wears it
        skin = posed.vertices_m[own]
        near = np.abs((skin - first) @ axis - 0.42 * np.linalg.norm(second - first)) < 0.0025
        nearest = np.linalg.norm(ring[:, None] - skin[near], axis=2)
        assert len(ring) > 300
        assert nearest.min() > 0.5 * CLEARANCE_M
        assert nearest.min(axis=1).max() < 0.014  # a convex outline spans a fist's hollows
        # The skin is inside: seen along the finger, the ring is farther out on every side.
        across = np.linalg.svd(np.eye(3) - np.outer(axis, axis))[0][:, :2]
        middle = ((ring.min(axis=0) + ring.max(axis=0)) / 2) @ across
        out, inside = ((points @ across) - middle for points in (ring, skin[near]))
        for turn in np.linspace(0, 2 * np.pi, 16, endpoint=False):
            ray = np.array([np.cos(turn), np.sin(turn)])
            assert (inside @ ray).max() < (out @ ray).max()


def test_a_ring_is_as_wide_on_a_bent_finger_as_on_a_straight_one(
    model: HandModel, bands: BandModel
) -> None:
    shape = model.shape(Identity({"age": 0.8}))
    for finger in FINGERS[1:]:
        sizes = []
        for gesture in ("open_palm", "fist"):
            posed = model.pose(shape, gestures()[gesture].angles)
            ring = worn(bands, shape, posed, band(finger))
            sizes.append(np.linalg.norm(ring - ring.mean(axis=0), axis=1).mean())
        assert 0.8 < sizes[1] / sizes[0] < 1.25


def test_a_watch_sits_on_the_back_of_the_arm(model: HandModel, bands: BandModel) -> None:
    shape = model.shape(Identity({"age": 0.8}))
    posed = model.pose(shape, gestures()["open_palm"].angles)
    strap = worn(bands, shape, posed, band(""))
    watch = worn(bands, shape, posed, band("", dial_m=0.018))
    case = watch[len(strap) :]
    assert len(case)
    back = -shape.palmar
    assert (case @ back).mean() > (strap @ back).max() - 0.004
    assert np.ptp(case, axis=0).max() == pytest.approx(0.036, abs=0.004)


def test_what_is_not_worn_is_hidden(model: HandModel, bands: BandModel) -> None:
    shape = model.shape(Identity({"age": 0.8}))
    posed = model.pose(shape, {})
    assert len(worn(bands, shape, posed)) == 0
    assert bands.faces.max() == bands.size - 1
    assert len(bands.face_slot) == len(bands.faces)


def test_drawn_bands_are_the_same_again_and_suit_the_sleeve() -> None:
    for arm_is_bare in (True, False):
        drawn = [random_bands(np.random.default_rng(i), arm_is_bare) for i in range(400)]
        assert drawn == [random_bands(np.random.default_rng(i), arm_is_bare) for i in range(400)]
        assert all(sum(bool(one.finger) for one in some) <= 2 for some in drawn)
        on_arm = sum(any(not one.finger for one in some) for some in drawn) / 400
        assert on_arm == 0 if not arm_is_bare else 0.2 < on_arm < 0.4
