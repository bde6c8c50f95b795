"""What faces wear, and who and what else is in the picture."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
from scipy.spatial import cKDTree

from bootstrap.dataset import Label, Sample, decode_segmentation, decode_uv, encode_uv
from render.anny_asset import Identity
from render.face_mapping_run import frontal
from render.faces import FaceRenderer, FaceSettings
from render.faces_classes import CLASSES, SECOND
from render.faces_company import ALONE, NEGATIVES, Around
from render.faces_draw import FaceDraw
from render.faces_outfit import PROPS
from render.faces_scene import Person, Standing
from render.faces_shot import aim, placed
from render.faces_worn import BEARDS, NOTHING, Beard, Worn, random_worn
from render.settings import ONE_FACE, FaceShares
from render.worn import Bearer
from render.worn_glasses import OUTLINES, glasses_meshes, random_glasses
from render.worn_headwear import KINDS, laid, random_headwear
from render.worn_masks import mask_mesh, random_mask
from render.worn_shapes import Envelope, Shell, sheet_faces, taut, tube, unit
from runtime.camera import transform_points
from runtime.errors import ViewfinderError

SIZE = 96


@pytest.fixture(scope="module")
def renderer() -> Iterator[FaceRenderer]:
    renderer = FaceRenderer(FaceSettings(seed=8, size=SIZE, face_shares=ONE_FACE), threads=1)
    yield renderer
    renderer.close()


@pytest.fixture(scope="module")
def person(renderer: FaceRenderer) -> Person:
    shape = renderer.mesh.shape(Identity({"age": 0.67}), {"jawOpen": 0.2})
    drawn, _ = renderer.draw(0)
    return renderer.scene.person(shape, drawn.look)


@pytest.fixture(scope="module")
def bearer(renderer: FaceRenderer, person: Person) -> Bearer:
    return renderer.scene.bearer(person)


def _frontal(renderer: FaceRenderer) -> FaceDraw:
    drawn, _ = renderer.draw(0)
    look = replace(drawn.look, hair_style="buzz")
    view = frontal(drawn.view, 0.8, 0.6)
    return replace(drawn, look=look, view=view, actions={}, gaze_rad=(0.0, 0.0), worn=NOTHING)


def _seen(renderer: FaceRenderer, worn: Worn) -> tuple[np.ndarray, np.ndarray]:
    """Visibility (478,) and class ids of a frontal face that wears it."""
    drawn = replace(_frontal(renderer), worn=worn)
    shot = renderer.shoot(drawn, renderer.hdri(0), np.random.default_rng(0))
    return shot.visibility(shot.keypoints_camera_m()), shot.classes()


# -- shapes -------------------------------------------------------------------------------------


@pytest.mark.parametrize("closed", [False, True])
def test_a_tube_is_closed_and_faces_outward(closed: bool) -> None:
    turn = np.linspace(0, 2 * np.pi, 24, endpoint=not closed) * (1.0 if closed else 0.6)
    line = np.stack([np.cos(turn), np.sin(turn), 0 * turn], axis=1)
    mesh = tube(line, (0.05, 0.1), (0, 0, 1.0), closed=closed)
    sides = np.stack([mesh.faces, np.roll(mesh.faces, -1, axis=1)], axis=-1).reshape(-1, 2)
    _, uses = np.unique(np.sort(sides, axis=1), axis=0, return_counts=True)
    assert (uses == 2).all()
    v = mesh.vertices_m[mesh.faces]
    volume = (v[:, 0] * np.cross(v[:, 1], v[:, 2])).sum() + (
        v[:, 0] * np.cross(v[:, 2], v[:, 3])
    ).sum()
    assert volume > 0


def test_a_taut_cloth_touches_and_never_enters_what_it_spans() -> None:
    azimuth = np.linspace(-1, 1, 21)
    directions = np.stack([np.sin(azimuth), -np.cos(azimuth), 0 * azimuth], axis=-1)
    directions = np.repeat(directions[None], 9, axis=0)
    least = np.full(directions.shape[:2], 0.8)
    least[:, ::10] = 1.0
    radius = taut(directions, least, 400)
    assert (radius >= least).all()
    assert (radius > 0.85).all()  # it spans the hollows
    assert np.allclose(radius[:, ::10], 1.0)


def test_hair_below_a_shell_stays_there() -> None:
    rng = np.random.default_rng(0)
    dome = unit(rng.normal(size=(4000, 3)))
    dome = dome[dome[:, 2] > 0]
    shell = Shell(dome, np.zeros(3), 0.15)
    points = 1.5 * unit(rng.normal(size=(500, 4, 3)))
    below, covered = shell.below(points, 0.01)
    up = points[..., 2] > 0.2
    assert covered[up].all()
    assert np.allclose(np.linalg.norm(below[up], axis=-1), 0.99, atol=1e-6)
    low = points[..., 2] < -0.4
    assert np.array_equal(below[low], points[low])


def test_sheets_face_the_reader() -> None:
    rows, columns = np.meshgrid(np.arange(3.0), np.arange(4.0), indexing="ij")
    points = np.stack([columns, rows, 0 * rows], axis=-1).reshape(-1, 3)
    a, b, c, _ = np.moveaxis(points[sheet_faces(3, 4)], 1, 0)
    assert (np.cross(b - a, c - a)[:, 2] > 0).all()


# -- on a head ----------------------------------------------------------------------------------


@pytest.mark.parametrize("outline", OUTLINES)
def test_lenses_stand_before_the_eyes_and_clear_of_the_skin(outline: str, bearer: Bearer) -> None:
    glasses = replace(random_glasses(np.random.default_rng(1)), outline=outline, slip_m=0.0)
    frame, lenses = glasses_meshes(glasses, bearer)
    assert np.isfinite(frame.vertices_m).all()
    half = len(lenses.vertices_m) // 2
    for side, eye in enumerate(bearer.eyes_m):
        pane = lenses.vertices_m[side * half : (side + 1) * half]
        low, high = pane.min(axis=0), pane.max(axis=0)
        assert low[0] < eye[0] < high[0]
        assert low[2] < eye[2] < high[2]
        before_eye = np.linalg.norm((pane - eye)[:, [0, 2]], axis=1) < 0.008
        assert pane[before_eye, 1].max() < eye[1] - bearer.eye_radius_m - 0.004
        near, index = cKDTree(bearer.skin_m[:, [0, 2]]).query(pane[:, [0, 2]])
        before = bearer.skin_m[index, 1] - pane[:, 1]
        assert before[near < 0.002].min() > 0.0
    # Its sides reach the ears.
    assert frame.vertices_m[:, 1].max() > bearer.ears_m[:, 1].mean()


def test_masks_end_below_the_chin_whoever_wears_them(renderer: FaceRenderer) -> None:
    for index in range(24):
        drawn, rng = renderer.draw(index)
        turn = drawn.view.head_rotation
        shape = renderer.mesh.shape(drawn.identity, drawn.actions, turn, drawn.gaze_rad)
        bearer = renderer.scene.bearer(renderer.scene.person(shape, drawn.look))
        cloth, _ = mask_mesh(random_mask(rng), bearer)
        below = bearer.landmarks_m[152, 2] - cloth.vertices_m[:, 2].min()
        before = bearer.landmarks_m[:, 1].min() - cloth.vertices_m[:, 1].min()
        assert 0 < below < 0.02
        assert before < 0.03


def test_a_mask_covers_nose_and_mouth_from_outside(bearer: Bearer) -> None:
    for seed in range(6):
        mask = random_mask(np.random.default_rng(seed))
        cloth, whole = mask_mesh(mask, bearer)
        assert np.array_equal(whole.vertices_m[: len(cloth.vertices_m)], cloth.vertices_m)
        centre = np.array([0.0, bearer.landmarks_m[13, 1] + 0.075, bearer.landmarks_m[13, 2]])
        shell = Shell(cloth.vertices_m, centre, 0.06)
        covered = bearer.landmarks_m[[0, 13, 14, 17, 61, 291, 152, 4]]
        moved, hidden = shell.below(covered, 0.0)
        assert hidden.all()
        assert np.allclose(moved, covered)  # they lie below it as they are
        assert not shell.below(bearer.eyes_m)[1].any()


@pytest.mark.parametrize("kind", KINDS)
def test_headwear_lies_over_the_skull_and_leaves_the_face(kind: str, bearer: Bearer) -> None:
    for seed in range(3):
        worn = replace(random_headwear(np.random.default_rng(seed), True), kind=kind)
        done = laid(worn, bearer)
        assert done.mesh.faces.max() < len(done.mesh.vertices_m) == len(done.places)
        top = bearer.skin_m[bearer.skin_m[:, 2] > bearer.landmarks_m[10, 2] + 0.03]
        moved, covered = done.shell.below(top, 0.0)
        assert covered.mean() > 0.98
        assert np.linalg.norm(moved - top, axis=1).max() < 0.002
        face = bearer.landmarks_m[[1, 13, 50, 280, 199, 159, 386]]
        assert not done.shell.below(face)[1].any()


def test_who_wears_what_follows_the_shares() -> None:
    shares = FaceShares(glasses=0.3, masks=0.2, headwear=0.1)
    found = [
        random_worn(np.random.default_rng(seed), shares, "adult", "male") for seed in range(800)
    ]
    for share, what in ((0.3, "glasses"), (0.2, "mask"), (0.1, "headwear"), (0.4, "beard")):
        worn = np.mean([getattr(one, what) is not None for one in found])
        assert worn == pytest.approx(share, abs=0.06)
    assert {one.beard.kind for one in found if one.beard} == set(BEARDS)
    women = [random_worn(np.random.default_rng(s), ONE_FACE, "adult", "female") for s in range(50)]
    assert women == [NOTHING] * 50


def test_impossible_shares_are_named() -> None:
    with pytest.raises(ViewfinderError, match="shares"):
        FaceShares(negatives=0.6, company=0.6)
    with pytest.raises(ViewfinderError, match="shares"):
        FaceShares(glasses=-0.1)


# -- in the picture -----------------------------------------------------------------------------


def test_worn_things_hide_what_lies_below_them_but_clear_lenses_do_not(
    renderer: FaceRenderer,
) -> None:
    rng = np.random.default_rng(3)
    clear = replace(random_glasses(rng), tint=(0.96, 0.96, 0.96), outline="square", half_rim=False)
    bare, _ = _seen(renderer, NOTHING)
    eyes, mouth = [468, 473, 159, 386], [13, 0, 17, 152, 4]
    assert (bare[[*eyes, *mouth]] == 2).all()
    seen, classes = _seen(renderer, Worn(glasses=clear))
    assert (seen[eyes] == 2).all()
    assert (classes == CLASSES["glasses"]).any()
    seen, _ = _seen(renderer, Worn(glasses=replace(clear, tint=(0.05, 0.05, 0.05), sun=True)))
    assert (seen[eyes] == 1).all()
    assert (seen[mouth] == 2).all()
    seen, classes = _seen(renderer, Worn(mask=random_mask(rng)))
    assert (seen[mouth] == 1).all()
    assert (seen[[468, 473]] == 2).all()
    assert (classes == CLASSES["mask"]).mean() > 0.03
    cap = replace(random_headwear(rng, False), kind="knitted")
    _, classes = _seen(renderer, Worn(headwear=cap))
    assert (classes == CLASSES["headwear"]).mean() > 0.03


def test_a_full_beard_is_hair_and_hides_the_chin_stubble_does_not(renderer: FaceRenderer) -> None:
    thick, classes = _seen(renderer, Worn(beard=Beard("full", 0.022, 1.0)))
    chin = [152, 175, 199, 200, 32, 262]
    assert (thick[chin] == 1).any()
    assert thick[4] == 2
    rows, columns = np.nonzero(classes == CLASSES["hair"])
    assert (rows > SIZE / 2).mean() > 0.2
    assert len(columns)
    thin, _ = _seen(renderer, Worn(beard=Beard("stubble", 0.002, 0.5)))
    assert (thin[chin] == 2).all()


def test_a_hand_touches_the_face_and_does_not_enter_it(
    renderer: FaceRenderer, person: Person
) -> None:
    scene = renderer.scene
    drawn = _frontal(renderer)
    standing = Standing(person, placed(drawn.view), np.random.default_rng(0))
    target = transform_points(standing.world_from_person, person.landmarks_m.mean(axis=0))
    _, world_from_camera, camera = aim(drawn.view, target, SIZE)
    skin, normals = scene.skin(person)
    skull_from_world = np.linalg.inv(standing.world_from_person @ person.shape.skull_from_rest)
    tree, apart = cKDTree(skin), []
    for seed in range(4):
        parts = renderer._company.parts(
            Around(before="hand", seed=seed), scene, standing, world_from_camera, camera
        )
        for part in parts[:1]:
            assert part.slot == PROPS.index("hand")
            hand = transform_points(skull_from_world, part.vertices_m)
            away, near = tree.query(hand)
            inward = ((skin[near] - hand) * normals[near]).sum(axis=1)
            assert inward[away < 0.02].max(initial=0.0) < 0.004
            apart.append(away.min())
    assert max(apart) < 0.2  # 12 cm at most are drawn; the arm may meet a shoulder first
    assert min(apart) < 0.03


@pytest.mark.parametrize("kind", NEGATIVES)
def test_pictures_without_a_face_have_no_face(renderer: FaceRenderer, kind: str) -> None:
    drawn = _frontal(renderer)
    around = Around(negative=kind, seed=5)
    assert around.people(drawn) == []
    if kind == "back":
        return
    shot = renderer.shots(drawn, renderer.hdri(0), np.random.default_rng(0), around)[0]
    own = [CLASSES[name] for name in ("skin", "lips", "eyes", "hair", "brows")]
    assert not np.isin(shot.passes.material_index, own).any()
    assert 5 < shot.rgb.mean() < 250


def test_two_people_have_two_labels_and_keep_their_own_points(
    renderer: FaceRenderer, monkeypatch: pytest.MonkeyPatch
) -> None:
    shares = replace(ONE_FACE, company=1.0)
    monkeypatch.setattr(renderer._company, "_settings", _with(renderer, shares))
    pairs: list[tuple[Sample, list[Label]]] = []
    for index in range(6):
        sample, labels = renderer.render(index)
        assert len(labels) + sample.attributes["unlabelled_faces"] == 2
        assert [label.subject_id for label in labels] == list(range(len(labels)))
        if len(labels) == 2:
            pairs.append((sample, labels))
            break
    sample, labels = pairs[0]
    classes = decode_segmentation(sample.members["seg.png"])
    for subject, label in enumerate(labels):
        assert label.keypoints_px is not None
        assert label.visibility is not None
        x, y = label.keypoints_px[label.visibility == 2].astype(int).T
        on = classes[y, x]
        assert np.isin(on, np.arange(1, 9) + subject * SECOND).mean() > 0.85


def _with(renderer: FaceRenderer, shares: FaceShares) -> FaceSettings:
    return replace(renderer.settings, face_shares=shares)


def test_people_stay_who_they_are_whatever_the_shares(
    renderer: FaceRenderer, monkeypatch: pytest.MonkeyPatch
) -> None:
    bare, rng = renderer.draw(7)
    after = rng.random()
    settings = _with(renderer, FaceShares(glasses=1.0))
    monkeypatch.setattr(renderer, "settings", settings)
    dressed, rng = renderer.draw(7)
    assert rng.random() == after
    assert dressed.worn.glasses is not None
    assert bare.look == dressed.look
    assert bare.identity == dressed.identity
    assert ALONE.people(bare) == [bare]


def _orders(renderer: FaceRenderer, count: int, rounds: int) -> None:
    """Renders samples in several orders and compares their bytes."""
    kept: dict[int, tuple[bytes, dict[str, bytes]]] = {}
    for seed in range(rounds):
        for index in np.random.default_rng(seed).permutation(count).tolist():
            sample, _ = renderer.render(index)
            found = (sample.image, dict(sample.members))
            assert kept.setdefault(index, found) == found, f"sample {index}, round {seed}"


_EVERYTHING = FaceShares(0.2, 0.3, 0.3, 0.2, 0.3, 0.3, 0.1)


def test_samples_with_company_are_the_same_whatever_came_before(
    renderer: FaceRenderer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(renderer._company, "_settings", _with(renderer, _EVERYTHING))
    _orders(renderer, 6, 2)


@pytest.mark.long
def test_many_samples_with_company_are_the_same_in_any_order(
    renderer: FaceRenderer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(renderer._company, "_settings", _with(renderer, _EVERYTHING))
    _orders(renderer, 32, 4)


def test_texture_coordinates_are_stored_and_lie_on_the_face(renderer: FaceRenderer) -> None:
    sample, labels = renderer.render(0)
    uv = decode_uv(sample.members["uv.png"])
    known = np.isfinite(uv).all(axis=-1)
    classes = decode_segmentation(sample.members["seg.png"])
    assert known[classes == CLASSES["lips"]].mean() > 0.95
    assert not known[classes == CLASSES["background"]].any()
    label = labels[0]
    assert label.keypoints_px is not None
    assert label.visibility is not None
    # The same place on every face: u and v of landmarks as painted.
    painted = renderer.scene.painter.places_uv()
    seen = np.flatnonzero(label.visibility[:468] == 2)
    x, y = label.keypoints_px[seen].astype(int).T
    found = uv[y, x]
    there = np.isfinite(found).all(axis=1)
    apart = np.abs(found[there] - painted[seen][there]).max(axis=1)
    assert np.median(apart) < 0.012
    assert np.allclose(decode_uv(encode_uv(uv))[known], uv[known])
    assert "albedo.png" in sample.members


def test_an_envelope_reaches_as_far_as_the_surface() -> None:
    ball = 0.1 * unit(np.random.default_rng(0).normal(size=(5000, 3)))
    envelope = Envelope(ball + [0.0, 0.0, 1.0], (0.0, 0.0, 1.0))
    assert np.allclose(envelope.radius(unit(np.ones((4, 2, 3)))), 0.1)
