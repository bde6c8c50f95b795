"""Hands: joints bend the right way, limits hold, labels are what the picture shows."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest

from bootstrap.dataset import (
    Label,
    Sample,
    decode_alpha,
    decode_depth,
    decode_normals,
    decode_segmentation,
    encode_normals,
)
from render.anny_asset import Identity
from render.gestures import gestures
from render.hand_model import FINGERS, HandModel, HandShape, rotation
from render.hand_render import HandRenderer
from render.hand_scene import HandScene, SceneSampler
from render.hands import CLASSES, hand_dataset
from render.settings import ONE_HAND, RenderSettings
from render.subdivision import subdivide
from runtime.camera import Camera, transform_points
from runtime.image import decode_image
from runtime.topology import topology

SIZE = 96


@pytest.fixture(scope="module")
def shape(model: HandModel) -> HandShape:
    return model.shape(Identity({"age": 0.8}))


@pytest.fixture(scope="module")
def renderer() -> Iterator[HandRenderer]:
    renderer = HandRenderer(RenderSettings(seed=3, size=SIZE, shares=ONE_HAND), threads=1)
    yield renderer
    renderer.close()


@pytest.fixture(scope="module")
def rendered(renderer: HandRenderer) -> list[tuple[HandScene, Sample, Label]]:
    result = []
    for index in range(6):
        sample, labels = renderer.render(index)
        result.append((renderer.draw(index)[0], sample, labels[0]))
    return result


def bones(keypoints: np.ndarray) -> np.ndarray:
    edges = [(a, b) for a, b in topology("hand21@1").edges if a and b - a == 1]
    return np.array([np.linalg.norm(keypoints[a] - keypoints[b]) for a, b in edges])


def test_zero_angles_are_a_flat_hand_with_straight_parallel_fingers(
    model: HandModel, shape: HandShape
) -> None:
    keypoints = model.pose(shape, {}).keypoints_m
    for f in range(1, 5):
        chain = np.diff(keypoints[1 + 4 * f : 5 + 4 * f], axis=0)
        chain /= np.linalg.norm(chain, axis=1, keepdims=True)
        assert (chain @ shape.forward).min() > math.cos(math.radians(9))


@pytest.mark.parametrize("finger", FINGERS[1:])
@pytest.mark.parametrize(("joint", "moved"), [("mcp", 2), ("pip", 3), ("dip", 4)])
def test_flexion_turns_a_finger_toward_the_palm_by_its_angle(
    model: HandModel, shape: HandShape, finger: str, joint: str, moved: int
) -> None:
    angle = math.radians(40)
    flat = model.pose(shape, {}).keypoints_m
    bent = model.pose(shape, {f"{finger}_{joint}_flexion": angle}).keypoints_m
    first = 1 + 4 * FINGERS.index(finger)
    still = np.ones(21, dtype=bool)
    still[first + moved - 1 : first + 4] = False
    assert np.allclose(bent[still], flat[still], atol=1e-9)
    before, after = (k[first + 3] - k[first + moved - 2] for k in (flat, bent))
    assert after @ shape.palmar > before @ shape.palmar + 0.2 * np.linalg.norm(before)
    # Straightened fingers are turned about the palm's normal, and their hinges with them.
    f = FINGERS.index(finger)
    hinge = rotation(shape.palmar, -shape.rest_abduction[f]) @ shape.hinges[f]
    a, b = (v - (v @ hinge) * hinge for v in (before, after))
    turned = math.acos(a @ b / np.linalg.norm(a) / np.linalg.norm(b))
    assert turned == pytest.approx(angle, abs=1e-6)


def test_abduction_parts_the_fingers(model: HandModel, shape: HandShape) -> None:
    spread = {f"{finger}_mcp_abduction": math.radians(15) for finger in ("index", "ring", "pinky")}
    together, apart = (model.pose(shape, angles).keypoints_m for angles in ({}, spread))
    for a, b in ((8, 12), (12, 16)):
        assert (
            np.linalg.norm(apart[a] - apart[b]) > np.linalg.norm(together[a] - together[b]) + 0.01
        )


def test_posing_keeps_bones_and_the_arm(model: HandModel, shape: HandShape) -> None:
    flat = model.pose(shape, {})
    fist = model.pose(shape, gestures()["fist"].angles)
    assert np.allclose(bones(fist.keypoints_m), bones(flat.keypoints_m), atol=1e-9)
    on_arm = model.weights[:, 0] > 0.999
    assert on_arm.sum() > 100
    assert np.allclose(fist.vertices_m[on_arm], flat.vertices_m[on_arm], atol=1e-6)


def test_a_fist_is_closed_and_ok_makes_a_ring(model: HandModel, shape: HandShape) -> None:
    open_hand = model.pose(shape, gestures()["open_palm"].angles).keypoints_m
    fist = model.pose(shape, gestures()["fist"].angles).keypoints_m
    palm = np.linalg.norm(open_hand[0] - open_hand[9])
    for tip, knuckle in ((8, 5), (12, 9), (16, 13), (20, 17)):
        assert np.linalg.norm(open_hand[tip] - open_hand[knuckle]) > 0.75 * palm
        assert np.linalg.norm(fist[tip] - fist[knuckle]) < 0.6 * palm
    ok = model.pose(shape, gestures()["ok"].angles).keypoints_m
    assert np.linalg.norm(ok[4] - ok[8]) < 0.25 * palm
    assert np.linalg.norm(ok[4] - ok[12]) > 0.8 * palm


def test_proportions_are_a_hands(model: HandModel) -> None:
    rng = np.random.default_rng(0)
    for _ in range(20):
        person = Identity({"age": rng.uniform(0.6, 1), "gender": rng.uniform(0, 1)})
        hand = model.pose(model.shape(person), {}).keypoints_m
        palm = np.linalg.norm(hand[0] - hand[9])
        middle = sum(np.linalg.norm(hand[k] - hand[k + 1]) for k in (9, 10, 11))
        assert 0.05 < palm < 0.11  # metres
        assert 0.9 < middle / palm < 1.5


def test_keypoints_lie_inside_the_hand(model: HandModel, shape: HandShape) -> None:
    posed = model.pose(shape, gestures()["relaxed"].angles)
    thickness = model.thickness(shape)
    for point, most in zip(posed.keypoints_m, thickness):
        nearest = np.linalg.norm(posed.vertices_m - point, axis=1).min()
        assert 0.001 < nearest <= most + 0.004
    assert thickness.max() < 0.04


def test_subdividing_keeps_flat_things_flat_and_a_cube_rounds() -> None:
    square = np.array([[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0.0]])
    fine = subdivide(np.array([[0, 1, 2, 3]]), 4)
    assert np.allclose(fine.matrix.sum(axis=1), 1)
    assert np.allclose((fine.matrix @ square)[:, 2], 0)
    cube = np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1.0)])
    faces = [[0, 1, 3, 2], [4, 6, 7, 5], [0, 4, 5, 1], [2, 3, 7, 6], [0, 2, 6, 4], [1, 5, 7, 3]]
    round_cube = subdivide(np.array(faces), 8)
    points = round_cube.matrix @ cube
    assert points.shape == (8 + 12 + 6, 3)
    # Catmull and Clark's own example: corners to 5/9, edge points to 3/4, face points stay.
    assert np.allclose(np.abs(points[:8]), 5 / 9)
    assert np.allclose(np.sort(np.abs(points[8:20]), axis=1), [0, 0.75, 0.75])
    assert np.allclose(np.linalg.norm(points[20:], axis=1), 1)


# -- what is rendered -----------------------------------------------------------------------------


def test_keypoints_are_the_projection_of_their_metres(
    rendered: list[tuple[HandScene, Sample, Label]],
) -> None:
    for scene, sample, label in rendered:
        assert label.keypoints_px is not None
        assert label.keypoints_camera_m is not None
        assert sample.camera is not None
        projected = sample.camera.project(label.keypoints_camera_m)
        assert np.abs(projected - label.keypoints_px).max() < 1e-3
        assert label.handedness == scene.hand
        assert np.array_equal(
            label.detector_keypoints_px, label.keypoints_px[[0, 5, 9, 13, 17, 1, 2]]
        )


def test_pictures_depth_and_segmentation_agree(
    rendered: list[tuple[HandScene, Sample, Label]],
) -> None:
    for scene, sample, label in rendered:
        assert decode_image(sample.image, "picture").shape == (SIZE, SIZE, 3)
        depth = decode_depth(sample.members["depth.png"], "depth")
        classes = decode_segmentation(sample.members["seg.png"], "seg")
        assert ((classes > 0) <= np.isfinite(depth)).mean() > 0.97
        assert (CLASSES["palm"] == classes).any()
        assert scene.sleeve is not None or (classes != CLASSES["sleeve"]).all()
        assert label.visibility is not None
        assert label.keypoints_px is not None
        for (x, y), seen in zip(label.keypoints_px, label.visibility):
            if seen == 2:  # what is seen lies on the hand or its outline
                around = classes[max(int(y) - 2, 0) : int(y) + 3, max(int(x) - 2, 0) : int(x) + 3]
                assert (around > 0).any()


def normals_of_depth(depth: np.ndarray, camera: Camera) -> np.ndarray:
    """(H, W, 3) by central differences of the surface's points; NaN at edges of the depth."""
    x, y = np.meshgrid(np.arange(camera.width) + 0.5, np.arange(camera.height) + 0.5)
    points = camera.unproject(np.stack([x, y], axis=-1), depth)
    across, down = np.gradient(points, axis=1), np.gradient(points, axis=0)
    normal = np.cross(across, down)  # x right cross y down points away from the camera
    return -normal / np.linalg.norm(normal, axis=-1, keepdims=True)


def test_normals_are_the_depths_slope(renderer: HandRenderer) -> None:
    scene = frontal(renderer, palm=True)
    renderer.place(renderer.prepared(scene))
    passes = renderer.scene.render()
    normals = decode_normals(encode_normals(passes.camera_normals(scene.world_from_camera)))
    surface = np.isfinite(passes.depth_m)
    assert np.isfinite(normals[passes.alpha > 0.99]).all()
    assert np.isnan(normals[passes.alpha == 0]).all()
    depth = np.where(surface, passes.depth_m, np.nan)
    sloped = normals_of_depth(depth, scene.camera)
    both = np.isfinite(sloped[..., 0]) & (passes.alpha > 0.99)
    cosine = (normals * sloped).sum(axis=-1)[both]
    assert both.mean() > 0.05
    # The surface is shaded smooth and bumped, its depth is not.
    assert np.degrees(np.arccos(np.clip(np.median(cosine), -1, 1))) < 12


def test_alpha_is_the_hands_soft_edge(rendered: list[tuple[HandScene, Sample, Label]]) -> None:
    for _, sample, _ in rendered:
        alpha = decode_alpha(sample.members["alpha.png"])
        classes = decode_segmentation(sample.members["seg.png"], "seg")
        assert (alpha[classes > 0] > 0.5).all()
        assert ((alpha > 0.5) == (classes > 0)).mean() > 0.99  # ids are of one ray, not of all
        soft = (alpha > 0.05) & (alpha < 0.95)
        assert 0 < soft.mean() < 0.1


def test_a_visible_tip_shows_its_own_finger(
    rendered: list[tuple[HandScene, Sample, Label]],
) -> None:
    checked = 0
    for _, sample, label in rendered:
        classes = decode_segmentation(sample.members["seg.png"], "seg")
        assert label.visibility is not None
        assert label.keypoints_px is not None
        for f, finger in enumerate(FINGERS):
            x, y = label.keypoints_px[4 + 4 * f].astype(int)
            if label.visibility[4 + 4 * f] == 2 and 1 <= x < SIZE - 1 and 1 <= y < SIZE - 1:
                assert CLASSES[finger] in classes[y - 1 : y + 2, x - 1 : x + 2]
                checked += 1
    assert checked > 8


def frontal(renderer: HandRenderer, palm: bool, hand: str = "right") -> HandScene:
    """A spread bare hand, fingers up, seen straight from its palm or its back."""
    scene, _ = renderer.draw(0)
    shape = renderer.model.shape(Identity({"age": 0.8}))
    posed = renderer.model.pose(shape, gestures()["spread"].angles)
    toward = -shape.palmar if palm else shape.palmar
    mirror = np.diag([-1.0 if hand == "left" else 1.0, 1, 1])
    ahead, down = mirror @ toward, mirror @ -shape.forward
    pose = np.eye(4)
    pose[:3, :3] = np.stack([np.cross(down, ahead), down, ahead])
    pose[:3, 3] = [0, 0, 0.6] - pose[:3, :3] @ (mirror @ (shape.wrist_m + 0.08 * shape.forward))
    return replace(
        scene, hand=hand, shape=shape, posed=posed, sleeve=None, camera_from_hand=pose,
        camera=Camera.from_fov(0.5, SIZE, SIZE),
    )  # fmt: skip


@pytest.mark.parametrize("palm", [True, False])
def test_every_joint_of_a_spread_hand_is_seen_from_front_and_back(
    renderer: HandRenderer, palm: bool
) -> None:
    scene = frontal(renderer, palm)
    renderer.place(renderer.prepared(scene))
    label = renderer.label("x", scene, renderer.scene.render())
    assert label.visibility is not None
    assert label.visibility.tolist() == [2] * 21


def test_a_left_hand_is_the_true_mirror_image_of_the_right(renderer: HandRenderer) -> None:
    labels, shown = [], []
    for hand in ("right", "left"):
        scene = frontal(renderer, palm=True, hand=hand)
        renderer.place(renderer.prepared(scene))
        passes = renderer.scene.render()
        labels.append(renderer.label("x", scene, passes))
        shown.append(passes)
    right, left = labels
    layout = topology("hand21@1")
    assert np.allclose(layout.mirrored(right.keypoints_px, SIZE), left.keypoints_px, atol=1e-3)
    assert (right.handedness, left.handedness) == ("right", "left")
    differing = shown[0].material_index[:, ::-1] != shown[1].material_index
    assert differing.mean() < 0.005
    # Seen from the palm with fingers up, a right hand's thumb points to the right.
    assert right.keypoints_px is not None
    assert right.keypoints_px[4, 0] > right.keypoints_px[20, 0]


def test_a_bent_fingers_tip_is_hidden_from_the_back(renderer: HandRenderer) -> None:
    scene = frontal(renderer, palm=False)
    posed = renderer.model.pose(scene.shape, gestures()["fist"].angles)
    scene = replace(scene, posed=posed)
    renderer.place(renderer.prepared(scene))
    label = renderer.label("x", scene, renderer.scene.render())
    assert label.visibility is not None
    assert label.visibility[[8, 12, 16, 20]].tolist() == [1] * 4


def test_sample_depends_on_seed_and_index_alone(renderer: HandRenderer) -> None:
    first, _ = renderer.draw(4)
    renderer.draw(9)
    again, _ = renderer.draw(4)
    settings = replace(renderer.settings, seed=4)
    other, _ = SceneSampler(settings, renderer.model, len(renderer.hdris)).draw(4)
    assert np.array_equal(first.posed.vertices_m, again.posed.vertices_m)
    assert np.array_equal(first.world_from_camera, again.world_from_camera)
    assert not np.array_equal(first.world_from_camera, other.world_from_camera)


def test_pixels_do_not_depend_on_what_was_rendered_before(renderer: HandRenderer) -> None:
    drawn = [renderer.draw(i)[0] for i in range(12)]
    bare = [s for s in drawn if s.sleeve is None][:2]
    dressed = [s for s in drawn if s.sleeve is not None][:2]

    def shot(scene: HandScene) -> np.ndarray:
        renderer.place(renderer.prepared(scene))
        return renderer.scene.render().linear

    first = [shot(scene) for scene in (*bare, *dressed)]
    for _ in range(3):
        again = [shot(scene) for scene in (*reversed(dressed), *reversed(bare))]
        for one, other in zip(first, reversed(again)):
            assert np.array_equal(one, other)


def test_poses_places_and_skins_vary(renderer: HandRenderer) -> None:
    drawn = [renderer.draw(i)[0] for i in range(60)]
    assert {scene.hand for scene in drawn} == {"left", "right"}
    assert len({scene.look.tone for scene in drawn}) == 10
    assert len({scene.hdri for scene in drawn}) >= 4
    for scene in drawn:
        points = transform_points(scene.camera_from_hand, scene.posed.keypoints_m * scene.mirror)
        pixels = scene.camera.project(points)
        inside = ((pixels > -0.1 * SIZE) & (pixels < 1.1 * SIZE)).all(axis=1)
        assert inside.mean() > 0.7
        assert np.isclose(np.linalg.det(scene.camera_from_hand[:3, :3]), 1)
        extent = np.ptp(pixels, axis=0).max() / SIZE
        assert 0.02 < extent < 1.5


def test_the_description_names_no_folder() -> None:
    text = str(hand_dataset(RenderSettings(1), 8).to_json())
    assert "/" not in text.replace("https://", "").replace("CC0-1.0 (MakeHuman mesh, HDRIs", "")
