"""Skin of hands: lines where hands have them, clearer on the old and lean; nails in their rim."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from render.anny_asset import Identity
from render.gestures import gestures
from render.hand_model import FINGERS, HandModel, HandShape, vertex_normals
from render.hand_relief import VEIN_PATTERNS
from render.hand_skin import HandLook, HandPainter, random_look
from render.skin_tones import MONK_TONES, tone_albedo

LOOK = HandLook("monk05", 0.0, 0.0, 0.5, None, 0.5, creases=0.8, veins=0.8)
ADULT = Identity({"age": 0.8, "weight": 0.5})


@pytest.fixture(scope="module")
def shape(model: HandModel) -> HandShape:
    return model.shape(Identity({"age": 0.75}))


@pytest.fixture(scope="module")
def painter(model: HandModel, shape: HandShape) -> HandPainter:
    return HandPainter(model, shape)


@pytest.fixture(scope="module")
def facing(model: HandModel, shape: HandShape) -> np.ndarray:
    """(V,) 1 where skin looks as the palm does."""
    return vertex_normals(shape.vertices_m, model.faces) @ shape.palmar


@pytest.mark.parametrize("pattern", range(VEIN_PATTERNS))
def test_veins_lie_on_the_back_and_creases_on_the_palms_side(
    painter: HandPainter, model: HandModel, facing: np.ndarray, pattern: int
) -> None:
    depth = painter.detail(replace(LOOK, vein_pattern=pattern), ADULT, {})[:, 1]
    veins, creases = depth < -0.05, depth > 0.05
    assert veins.sum() > 60
    assert creases.sum() > 60
    assert facing[veins].max() < 0
    fingers = model.vertex_part[veins]
    assert fingers.max() <= 1  # on hand and arm alone
    not_thumb = model.vertex_part != 2  # whose pad looks aside
    assert facing[creases & not_thumb].min() > 0


def test_few_lines_appear_where_the_nearest_one_changes(
    painter: HandPainter, model: HandModel, shape: HandShape
) -> None:
    """The distance to one line changes along an edge by no more than the edge's length."""
    edges = np.stack([model.faces, np.roll(model.faces, -1, axis=1)], axis=-1).reshape(-1, 2)
    length = np.linalg.norm(np.diff(shape.vertices_m[edges], axis=1)[:, 0], axis=1)
    palm = (model.vertex_part[edges] == 1).all(axis=1)
    for pattern in range(VEIN_PATTERNS):
        detail = painter.detail(replace(LOOK, vein_pattern=pattern), ADULT, {})
        along, depth = detail[edges, 0], np.abs(detail[edges, 1])
        crossed = palm & (along[:, 0] * along[:, 1] < 0) & (depth.min(axis=1) > 0.2)
        between = np.abs(np.diff(along, axis=1)[:, 0]) > 1.05 * length
        assert crossed.sum() > 100
        assert between[crossed].mean() < 0.12


def test_veins_and_tendons_follow_the_person_and_the_pose(painter: HandPainter) -> None:
    def depth(age: float, weight: float) -> float:
        person = Identity({"age": age, "weight": weight})
        return float(-painter.detail(LOOK, person, {})[:, 1].clip(max=0).sum())

    assert depth(1.0, 0.5) > 1.2 * depth(0.67, 0.5)
    assert depth(0.8, 0.1) > 1.2 * depth(0.8, 0.9)
    raised = {
        name: painter.detail(LOOK, ADULT, gestures()[name].angles)[:, 2].clip(min=0).sum()
        for name in ("open_palm", "fist")
    }
    assert raised["open_palm"] > 2 * raised["fist"] > 0


def test_wrinkles_lie_over_straight_joints(
    painter: HandPainter, model: HandModel, shape: HandShape
) -> None:
    flat, fist = (
        -painter.detail(LOOK, ADULT, gestures()[name].angles)[:, 2].clip(max=0)
        for name in ("open_palm", "fist")
    )
    assert flat.sum() > 4 * fist.sum()
    for f in range(1, len(FINGERS)):
        own = (model.vertex_part == 2 + f) & (flat > 0.2)
        assert own.sum() > 8
        away = np.linalg.norm(
            shape.vertices_m[own][:, None] - shape.joints_m[[3 + 3 * f, 4 + 3 * f]], axis=2
        )
        assert away.min(axis=1).max() < 0.018


def test_nails_are_where_their_mask_is_and_end_at_the_fingertip(
    painter: HandPainter, model: HandModel, shape: HandShape
) -> None:
    inside = painter.detail(LOOK, ADULT, {})[:, 3]
    along = painter.paint(LOOK)[:, 3]
    masked = model.nails > 0.5
    assert (inside[masked] > 0).mean() > 0.85
    assert (masked | (inside <= 0.35)).all()
    for f in range(5):
        own = (model.vertex_part == 2 + f) & (inside > 0)
        forth = shape.tips_m[f] - shape.joints_m[4 + 3 * f]
        place = shape.vertices_m[own] @ forth / np.linalg.norm(forth)
        assert np.corrcoef(place, along[own])[0, 1] > 0.9


@pytest.mark.parametrize("tone", MONK_TONES)
def test_nails_are_lighter_than_dark_skin_and_near_light_skin(tone: str) -> None:
    look = replace(LOOK, tone=tone)
    nails, skin = look.nails(), tone_albedo(tone)
    assert (np.asarray(nails["nail_end"]) > np.asarray(nails["nail"])).all()
    ratio = np.asarray(nails["nail"]) / skin
    assert ratio.max() < 8
    assert ratio[0] > 0.85
    varnish = replace(look, polish=(0.5, 0.0, 0.1)).nails()
    assert tuple(np.asarray(varnish["nail"])) == (0.5, 0.0, 0.1)


def test_looks_are_drawn_over_all_tones_and_patterns() -> None:
    rng = np.random.default_rng(0)
    looks = [random_look(rng, tuple(MONK_TONES)) for _ in range(300)]
    assert {look.tone for look in looks} == set(MONK_TONES)
    assert {look.vein_pattern for look in looks} == set(range(VEIN_PATTERNS))
    assert 0.04 < np.mean([look.polish is not None for look in looks]) < 0.2
