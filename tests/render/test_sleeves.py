"""Sleeves: around the arm, not through it, and still when the wrist bends."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from render.anny_asset import Identity
from render.hand_model import HandModel, HandShape
from render.sleeve import Sleeve, SleeveModel, random_sleeve


@pytest.fixture(scope="module")
def shape(model: HandModel) -> HandShape:
    return model.shape(Identity({"age": 0.8}))


@pytest.fixture(scope="module")
def sleeves(model: HandModel) -> SleeveModel:
    return SleeveModel(model)


def drawn(count: int = 60) -> list[Sleeve]:
    rng = np.random.default_rng(0)
    return [sleeve for _ in range(count) if (sleeve := random_sleeve(rng)) is not None]


def placed(shape: HandShape, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Share of the way from elbow to wrist, and distance from the arm's axis."""
    elbow, wrist = shape.joints_m[:2]
    axis = (wrist - elbow) / np.linalg.norm(wrist - elbow)
    along = (points - elbow) @ axis
    across = points - elbow - along[:, None] * axis
    return along / np.linalg.norm(wrist - elbow), np.linalg.norm(across, axis=1)


@pytest.mark.parametrize("flexion", [-65, 0, 70])
def test_a_sleeve_ends_at_its_cuff_however_the_wrist_is_bent(
    model: HandModel, sleeves: SleeveModel, shape: HandShape, flexion: float
) -> None:
    posed = model.pose(shape, {"wrist_flexion": math.radians(flexion)}).vertices_m
    cuts = set()
    for sleeve in drawn():
        cuts.add(sleeve.cut)
        vertices = sleeves.vertices(sleeve, shape, posed)
        along, away = placed(shape, vertices)
        assert along.max() < sleeve.cuff + 0.09
        # What is folded in at the cuff stays within what lies before it.
        length = np.linalg.norm(shape.joints_m[1] - shape.joints_m[0])
        at_rest = sleeves.cloth_places(shape)[:, 2] / length
        folded, rim = (
            at_rest > sleeve.cuff,
            (at_rest > sleeve.cuff - 0.12) & (at_rest <= sleeve.cuff),
        )
        assert away[folded].max() < away[rim].max()
    assert cuts == {"long", "cuffed", "gathered", "short"}


def test_a_bent_wrist_does_not_move_a_sleeve_far(
    model: HandModel, sleeves: SleeveModel, shape: HandShape
) -> None:
    straight, bent = (
        model.pose(shape, {"wrist_flexion": math.radians(angle)}).vertices_m for angle in (0, 65)
    )
    for sleeve in drawn():
        one, other = (sleeves.vertices(sleeve, shape, skin) for skin in (straight, bent))
        assert np.linalg.norm(one - other, axis=1).max() < 0.016  # the skin by 48 mm


def test_a_sleeve_lies_outside_the_arm_up_to_its_cuff(
    model: HandModel, sleeves: SleeveModel, shape: HandShape
) -> None:
    sleeve = Sleeve("long", 0.9, 0.004, 0.5)
    along, away = placed(shape, sleeves.vertices(sleeve, shape, shape.vertices_m))
    bare = replace(sleeve, thickness_m=0.0)
    below, skin = placed(shape, sleeves.vertices(bare, shape, shape.vertices_m))
    outer = (below > 0.2) & (below < 0.85)
    assert outer.sum() > 100
    assert (away - skin)[outer].min() > 0.0005  # its lining is thin
    assert np.median((away - skin)[outer]) > 0.0035
    assert np.abs(along - below)[outer].max() < 0.03
