"""Labels of hands against an independent ray cast: trimesh on the posed mesh, which knows nothing
of Blender, of our cameras or of what the labels are made from."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import pytest
import trimesh

from bootstrap.dataset import Label
from render.cycles import Passes
from render.hand_model import PARTS, HandModel
from render.hand_render import HandRenderer
from render.hand_scene import HandScene
from render.hands import CLASSES
from render.settings import ONE_HAND, RenderSettings

SIZE = 128
COUNT = 4


@dataclass(frozen=True)
class Bare:
    """A rendered bare hand: its label and passes, and its mesh in the camera's axes."""

    scene: HandScene
    label: Label
    passes: Passes
    mesh: trimesh.Trimesh


def triangles(model: HandModel) -> np.ndarray:
    return np.concatenate([model.faces[:, [0, 1, 2]], model.faces[:, [0, 2, 3]]])


@pytest.fixture(scope="module")
def renderer() -> Iterator[HandRenderer]:
    renderer = HandRenderer(RenderSettings(seed=23, size=SIZE, shares=ONE_HAND), threads=1)
    yield renderer
    renderer.close()


@pytest.fixture(scope="module")
def bare(renderer: HandRenderer) -> list[Bare]:
    """Hands as they are drawn, of both sides, without anything worn or held."""
    result: list[Bare] = []
    index = 0
    while len(result) < COUNT:
        scene = replace(renderer.draw(index)[0], sleeve=None, bands=(), thing=None)
        index += 1
        if scene.hand != ("right", "left")[len(result) % 2]:
            continue
        renderer.place(renderer.prepared(scene))
        passes = renderer.scene.render()
        turn, place = scene.camera_from_hand[:3, :3], scene.camera_from_hand[:3, 3]
        points = (scene.posed.vertices_m * scene.mirror) @ turn.T + place
        mesh = trimesh.Trimesh(points, triangles(renderer.model), process=False)
        result.append(Bare(scene, renderer.label("x", scene, passes), passes, mesh))
    return result


def through(hand: Bare, pixels: np.ndarray) -> np.ndarray:
    """(N, 3) directions with z = 1 of the rays through pixels, by the pinhole's own formula."""
    camera = hand.scene.camera
    x = (pixels[:, 0] - camera.cx) / camera.fx
    y = (pixels[:, 1] - camera.cy) / camera.fy
    return np.stack([x, y, np.ones(len(pixels))], axis=1)


def hits(hand: Bare, pixels: np.ndarray) -> list[list[tuple[float, int]]]:
    """Of each pixel's ray, the depths at which it meets the mesh and the triangles, near first."""
    rays = through(hand, pixels)
    places, ray, face = hand.mesh.ray.intersects_location(np.zeros_like(rays), rays)
    met: list[list[tuple[float, int]]] = [[] for _ in pixels]
    for where, r, f in zip(places, ray, face):
        met[r].append((float(where[2]), int(f)))
    return [sorted(one) for one in met]


def test_depth_and_parts_are_those_of_the_mesh(renderer: HandRenderer, bare: list[Bare]) -> None:
    part = np.tile(renderer.model.face_part, 2)
    rng = np.random.default_rng(0)
    for hand in bare:
        solid = np.argwhere(hand.passes.alpha > 0.999)
        chosen = solid[rng.choice(len(solid), 80, replace=False)]
        met = hits(hand, chosen[:, ::-1] + 0.5)
        shown = [bool(one) for one in met]
        assert np.mean(shown) > 0.98
        first = [one[0] for one in met if one]
        rows, columns = chosen[shown].T
        off = np.abs(hand.passes.depth_m[rows, columns] - [depth for depth, _ in first])
        assert np.median(off) < 0.0005  # metres; a pixel's samples lie beside its centre
        assert np.mean(off < 0.004) > 0.9
        own = np.array([CLASSES[PARTS[part[face]]] for _, face in first])
        assert np.mean(hand.passes.material_index[rows, columns] == own) > 0.93


def test_keypoints_lie_in_the_flesh_under_their_pixels(bare: list[Bare]) -> None:
    for hand in bare:
        points = hand.label.keypoints_camera_m
        assert points is not None
        assert hand.label.keypoints_px is not None
        pixels = hand.label.keypoints_px.astype(np.float64)
        assert np.allclose(through(hand, pixels) * points[:, 2:], points, atol=1e-5)
        for (_, _, z), met in zip(points, hits(hand, pixels)):
            before = sum(depth < z for depth, _ in met)
            assert before % 2 == 1  # the ray has entered once more than it has left
            assert any(depth > z for depth, _ in met)


def test_a_keypoint_is_seen_where_the_ray_to_it_first_meets_its_own_flesh(
    renderer: HandRenderer, bare: list[Bare]
) -> None:
    part = np.tile(renderer.model.face_part, 2)
    agree, seen = [], 0
    for hand in bare:
        assert hand.label.keypoints_px is not None
        assert hand.label.keypoints_camera_m is not None
        assert hand.label.visibility is not None
        thick = renderer.model.thickness(hand.scene.shape)
        pixels = hand.label.keypoints_px.astype(np.float64)
        for k, (met, z) in enumerate(zip(hits(hand, pixels), hand.label.keypoints_camera_m[:, 2])):
            if not ((pixels[k] > 1) & (pixels[k] < SIZE - 1)).all():
                assert hand.label.visibility[k] != 2 or (pixels[k] >= 0).all()
                continue
            depth, face = met[0]
            finger = PARTS[2 + (k - 1) // 4] if k else "palm"
            rooted = k == 0 or (k - 1) % 4 < (2 if finger == "thumb" else 1)
            own = {finger, *(("palm",) if rooted else ()), *(("forearm",) if k == 0 else ())}
            visible = PARTS[part[face]] in own and z - depth <= 1.35 * thick[k] + 0.002
            seen += visible
            agree.append(visible == (hand.label.visibility[k] == 2))
    assert seen > 10
    # A label looks at the pixels beside the point, too; at borders of parts the two may differ.
    assert np.mean(agree) > 0.9


def test_a_mirrored_scene_has_the_mirrored_label(renderer: HandRenderer, bare: list[Bare]) -> None:
    one = bare[0]
    flip = np.diag([-1.0, 1, 1, 1])
    other = "left" if one.scene.hand == "right" else "right"
    camera = one.scene.camera
    assert camera.cx == SIZE / 2
    mirrored = replace(
        one.scene, hand=other, camera_from_hand=flip @ one.scene.camera_from_hand @ flip
    )
    renderer.place(renderer.prepared(mirrored))
    label = renderer.label("x", mirrored, renderer.scene.render())
    assert label.handedness == other != one.label.handedness
    assert label.keypoints_px is not None
    assert label.keypoints_camera_m is not None
    assert one.label.keypoints_px is not None
    assert one.label.keypoints_camera_m is not None
    assert np.allclose(
        label.keypoints_camera_m, one.label.keypoints_camera_m * [-1, 1, 1], atol=1e-6
    )
    assert np.allclose(label.keypoints_px, [SIZE, 0] + one.label.keypoints_px * [-1, 1], atol=1e-3)
    assert label.visibility is not None
    assert np.mean(label.visibility == one.label.visibility) >= 20 / 21  # pixels, not numbers
    assert label.box_px is not None
    assert one.label.box_px is not None
    x, y, width, height = one.label.box_px
    assert np.allclose(label.box_px, [SIZE - x - width, y, width, height], atol=1)
