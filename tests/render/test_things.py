"""Things in hands: as large as there is room, never through the skin."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial import cKDTree

from render.anny_asset import Identity
from render.gestures import gestures
from render.hand_model import HandModel, HandShape
from render.hand_objects import (
    FORMS,
    MOST_LONG_M,
    TOUCH_M,
    Form,
    faces,
    held_thing,
    largest_scale,
    thing_before,
)
from render.hand_poses import PoseSampler


@pytest.fixture(scope="module")
def shape(model: HandModel) -> HandShape:
    return model.shape(Identity({"age": 0.8}))


def inside(form: Form, points: np.ndarray) -> np.ndarray:
    """The implicit function of a superellipsoid of scale 1: below 1 inside (Barr 1981)."""
    x, y, z = (np.abs(points) / np.array(form.half)).T
    flat = (x ** (2 / form.around) + y ** (2 / form.around)) ** (form.around / form.upright)
    return flat + z ** (2 / form.upright)


def signed_volume(vertices: np.ndarray, quads: np.ndarray) -> float:
    a, b, c, d = (vertices[quads[:, k]] for k in range(4))
    triangles = [(a, b, c), (a, c, d)]
    return float(sum((p * np.cross(q, r)).sum() / 6 for p, q, r in triangles))


@pytest.mark.parametrize("form", FORMS, ids=[form.name for form in FORMS])
def test_a_forms_mesh_lies_on_its_surface_and_faces_outward(
    form: Form, model: HandModel, shape: HandShape
) -> None:
    rng = np.random.default_rng(0)
    posed = model.pose(shape, {})
    things = [thing_before(rng, posed.keypoints_m, np.array([0.0, -1.0, 1.0]), 0.6) for _ in "12"]
    thing = next(iter(things))
    unit = type(thing)(
        form, "held", 2.0, np.array([1.0, 2.0, 3.0]), np.eye(3), (1, 0, 0), (0, 1, 0), 0, 0.5
    )
    local = (unit.vertices() - unit.centre_m) / 2.0
    np.testing.assert_allclose(inside(form, local), 1, atol=1e-6)
    box = 8 * np.prod(form.half) * 8
    assert 0.3 * box < signed_volume(unit.vertices(), faces()) < box


def test_what_is_held_is_held_from_both_sides_and_no_skin_enters_it(
    model: HandModel, shape: HandShape
) -> None:
    held, poses = 0, PoseSampler(model)
    for i in range(40):
        rng = np.random.default_rng(i)
        posed = model.pose(shape, poses.draw(shape, rng).angles)
        thing = held_thing(rng, model, shape, posed)
        if thing is None:
            continue
        held += 1
        local = (posed.vertices_m - thing.centre_m) @ thing.axes.T / thing.scale_m
        own = model.vertex_part > 0
        assert inside(thing.form, local[own]).min() > 1 - 1e-6
        # By the thing's own surface: each of two parts of the hand lies on it, on two sides.
        surface = thing.vertices()
        near, part = cKDTree(posed.vertices_m[own]).query(surface)
        spacing = np.linalg.norm(surface[1:] - surface[:-1], axis=1).max()
        touched = near < TOUCH_M + 0.002 + 0.35 * spacing
        parts = model.vertex_part[own][part[touched]]
        assert len(set(parts.tolist())) >= 2
        assert max(thing.form.half) * thing.scale_m <= MOST_LONG_M
    assert held > 8


def test_an_open_hand_holds_nothing(model: HandModel, shape: HandShape) -> None:
    posed = model.pose(shape, gestures()["spread"].angles)
    things = [held_thing(np.random.default_rng(i), model, shape, posed) for i in range(12)]
    assert sum(thing is not None for thing in things) <= 1


def test_the_largest_scale_is_the_first_touch() -> None:
    rng = np.random.default_rng(1)
    skin = rng.normal(0, 0.05, (300, 3))
    skin = skin[np.linalg.norm(skin, axis=1) > 0.03]
    for form in FORMS:
        scale = largest_scale(form, skin, np.zeros(3), np.eye(3))
        assert inside(form, skin / scale).min() == pytest.approx(1, abs=1e-6)
    assert largest_scale(FORMS[0], skin, np.zeros(3), np.eye(3)) == pytest.approx(
        np.linalg.norm(skin, axis=1).min()
    )


def test_what_stands_before_the_hand_hides_a_keypoint(model: HandModel, shape: HandShape) -> None:
    posed = model.pose(shape, gestures()["open_palm"].angles)
    eye = posed.keypoints_m[9] + np.array([0.1, -0.6, 0.2])
    for i in range(40):
        thing = thing_before(np.random.default_rng(i), posed.keypoints_m, eye, 0.6)
        rays = posed.keypoints_m - eye
        toward = thing.centre_m - eye
        along = rays @ toward / (np.linalg.norm(rays, axis=1) * np.linalg.norm(toward))
        assert along.max() == pytest.approx(1, abs=1e-9)
        assert np.linalg.norm(toward) < np.linalg.norm(rays, axis=1).max()
