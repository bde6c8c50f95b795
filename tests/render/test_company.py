"""Two hands and none: hands don't pass through each other, arms leave the picture, negatives."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest

from bootstrap.dataset import Label, Sample, decode_segmentation
from render.hand_company import ARRANGEMENTS, TOUCH_M
from render.hand_frame import FOCAL_MM, focal_mm, random_share
from render.hand_negatives import KINDS, Foot
from render.hand_render import HandRenderer
from render.hand_scene import HandScene, SceneSampler, ShownHand
from render.hands import CLASSES, SECOND
from render.settings import RenderSettings, Shares
from runtime.camera import transform_points
from runtime.errors import ViewfinderError

SIZE = 64


@pytest.fixture(scope="module")
def renderer() -> Iterator[HandRenderer]:
    renderer = HandRenderer(RenderSettings(seed=5, size=SIZE), threads=1)
    yield renderer
    renderer.close()


def sampler(renderer: HandRenderer, shares: Shares) -> SceneSampler:
    twin = SceneSampler.__new__(SceneSampler)
    twin.__dict__ |= renderer.scenes.__dict__
    twin.__dict__["_settings"] = replace(renderer.settings, shares=shares)
    return twin


def drawn(renderer: HandRenderer, shares: Shares, count: int) -> list[HandScene]:
    scenes = sampler(renderer, shares)
    return [scenes.draw(i)[0] for i in range(count)]


def rendered(
    renderer: HandRenderer, shares: Shares, count: int
) -> list[tuple[HandScene, Sample, list[Label]]]:
    kept = renderer.scenes
    renderer.scenes = sampler(renderer, shares)
    try:
        return [(renderer.draw(i)[0], *renderer.render(i)) for i in range(count)]
    finally:
        renderer.scenes = kept


def winding(points: np.ndarray, vertices: np.ndarray, quads: np.ndarray) -> np.ndarray:
    """(N,) how often a surface goes around each point (van Oosterom and Strackee 1983)."""
    triangles = np.concatenate([quads[:, [0, 1, 2]], quads[:, [0, 2, 3]]])
    a, b, c = (vertices[triangles[:, k]][None] - points[:, None] for k in range(3))
    la, lb, lc = (np.linalg.norm(v, axis=2) for v in (a, b, c))
    volume = (a * np.cross(b, c)).sum(axis=2)
    below = la * lb * lc + (a * b).sum(axis=2) * lc + (b * c).sum(axis=2) * la
    below += (c * a).sum(axis=2) * lb
    return np.arctan2(volume, below).sum(axis=1) / (2 * np.pi)


def in_camera(hand: ShownHand) -> np.ndarray:
    return transform_points(hand.camera_from_hand, hand.posed.vertices_m * hand.mirror)


def test_two_hands_do_not_pass_through_each_other(renderer: HandRenderer) -> None:
    model = renderer.model
    close = 0
    for scene in drawn(renderer, Shares(0, 1, 0), 7):
        if scene.second is None:
            continue
        hands = [scene, scene.second]
        skins = [in_camera(hand) for hand in hands]
        for into, of in ((0, 1), (1, 0)):
            quads = model.faces if hands[into].hand == "right" else model.faces[:, ::-1]
            gap = np.linalg.norm(skins[of][:, None, :] - skins[into][None, ::40], axis=2).min(
                axis=1
            )
            near = np.flatnonzero(gap < 0.012)[::6]
            close += len(near) > 0
            if not len(near):
                continue
            inside = near[winding(skins[of][near], skins[into], quads) > 0.5]
            for point in skins[of][inside]:
                assert np.linalg.norm(skins[into] - point, axis=1).min() < TOUCH_M + 0.003
    assert close >= 3


def test_both_hands_of_a_pair_are_one_persons(renderer: HandRenderer) -> None:
    together = [scene for scene in drawn(renderer, Shares(0, 1, 0), 6) if scene.second]
    assert len(together) >= 4
    for scene in together:
        assert scene.second is not None
        assert {scene.hand, scene.second.hand} == {"left", "right"}
        assert scene.second.look == scene.look
        assert np.array_equal(scene.second.shape.vertices_m, scene.shape.vertices_m)
        assert scene.together in {arrangement.name for arrangement in ARRANGEMENTS}


def test_a_bystanders_hand_is_farther_away_and_apart(renderer: HandRenderer) -> None:
    found = [scene for scene in drawn(renderer, Shares(0, 0, 1), 10) if scene.second]
    assert len(found) >= 6
    for scene in found:
        assert scene.second is not None
        assert scene.together == "bystander"
        first, second = (in_camera(hand) for hand in scene.shown)
        assert np.linalg.norm(second.mean(axis=0)) > np.linalg.norm(first.mean(axis=0)) * 0.9
        gap = np.linalg.norm(first[:, None, :] - second[None, ::25], axis=2).min()
        assert gap > 0.002


def test_arms_leave_the_picture(renderer: HandRenderer) -> None:
    far_end = renderer.model.far_end
    scenes = [
        s for shares in (Shares(0, 0, 0), Shares(0, 0.5, 0.5)) for s in drawn(renderer, shares, 16)
    ]
    for scene in scenes:
        for hand in scene.shown:
            end = transform_points(
                hand.camera_from_hand, hand.shape.vertices_m[far_end] * hand.mirror
            )
            x, y = scene.camera.project(end[end[:, 2] > 0.01]).T
            assert not ((x > 0) & (x < SIZE) & (y > 0) & (y < SIZE)).any()


def test_palms_differ_twentyfold_in_size_and_lenses_are_phones(renderer: HandRenderer) -> None:
    rng = np.random.default_rng(0)
    shares = [random_share(rng) for _ in range(2000)]
    assert 20 < max(shares) / min(shares) < 40
    wanted, palms = [], []
    for scene in drawn(renderer, Shares(0, 0, 0), 40):
        points = transform_points(scene.camera_from_hand, scene.posed.keypoints_m * scene.mirror)
        wanted.append(np.ptp(scene.camera.project(points), axis=0).max() / SIZE)
        palms.append(scene.camera.fx / points[[0, 9], 2].mean())
        assert FOCAL_MM[0] - 1e-6 <= focal_mm(scene.camera) <= FOCAL_MM[1] + 1e-6
    assert max(wanted) > 6 * min(wanted)
    assert max(palms) > 6 * min(palms)


def test_both_hands_are_labelled_and_each_has_its_own_classes(renderer: HandRenderer) -> None:
    two = 0
    for scene, sample, labels in rendered(renderer, Shares(0, 0.6, 0.4), 8):
        assert [label.subject_id for label in labels] == list(range(len(labels)))
        assert sample.attributes["unlabelled_hands"] == len(scene.shown) - len(labels)
        classes = decode_segmentation(sample.members["seg.png"], "seg")
        for label, hand in zip(labels, scene.shown):
            label.check()
            assert label.handedness == hand.hand
            own = (classes // SECOND == label.subject_id) & (classes > 0)
            skin = (
                own & (classes % SECOND >= CLASSES["palm"]) & (classes % SECOND <= CLASSES["pinky"])
            )
            assert label.box_px is not None
            if skin.any():
                rows, columns = np.nonzero(skin)
                x, y, width, height = label.box_px
                assert (x, y) == (columns.min(), rows.min())
                assert (width, height) == (np.ptp(columns) + 1, np.ptp(rows) + 1)
        two += len(labels) == 2
        if len(labels) == 1 and scene.second is not None:
            other = renderer.label("x", scene, renderer.scene.render(), 1)
            assert (other.visibility == 2).sum() < 4 or max(other.box_px[2:]) < 0.04 * SIZE
    assert two >= 4


def test_negatives_show_no_hand_and_say_so(renderer: HandRenderer) -> None:
    kinds = set()
    for scene, sample, labels in rendered(renderer, Shares(1, 0, 0), 12):
        assert scene.negative is not None
        kinds.add(scene.negative.kind)
        (label,) = labels
        label.check()
        assert (label.topology, label.keypoints_px, label.box_px) == ("", None, None)
        assert label.attributes["negative"] == scene.negative.kind
        classes = decode_segmentation(sample.members["seg.png"], "seg")
        allowed = {"empty": (), "things": ("object", "second object")}
        names = allowed.get(scene.negative.kind, ("distractor",))
        assert set(np.unique(classes)) <= {0, *(CLASSES[name] for name in names)}
        assert (classes > 0).any() == (scene.negative.kind != "empty")
    assert kinds == set(KINDS)


def test_a_foot_is_closed_but_for_the_leg_and_faces_outward() -> None:
    foot = Foot()
    edges = np.concatenate([foot.faces[:, [k, (k + 1) % 4]] for k in range(4)])
    directed = {(int(a), int(b)) for a, b in edges}
    assert len(directed) == len(edges)  # no edge is run through twice the same way
    open_ends = {a for a, b in directed if (b, a) not in directed}
    top = foot.vertices_m[:, 2].max()
    assert open_ends
    assert all(foot.vertices_m[a, 2] > top - 0.15 for a in open_ends)
    toes = foot.vertices_m[foot.vertices_m[:, 0] > 0.165]
    inside = winding(np.array([[0.0, 0.0, 0.03], [0.2, 0.023, 0.014]]), foot.vertices_m, foot.faces)
    outside = winding(
        np.array([[0.0, 0.1, 0.03], [0.2, 0.0125, 0.03]]), foot.vertices_m, foot.faces
    )
    assert (inside > 0.9).all()
    assert (np.abs(outside) < 0.1).all()
    assert len(toes) > 300


def test_shares_that_make_no_sense_are_refused() -> None:
    with pytest.raises(ViewfinderError, match="sum to 1"):
        Shares(0.5, 0.5, 0.1)
    with pytest.raises(ViewfinderError, match="0 or more"):
        Shares(-0.1)


def test_heads_of_negatives_have_no_cut_shoulders_in_the_picture(renderer: HandRenderer) -> None:
    scenes, seen = sampler(renderer, Shares(1, 0, 0)), 0
    for index in range(60):
        scene, _ = scenes.draw(index)
        assert scene.negative is not None
        body = scene.negative.body
        if scene.negative.kind != "head" or body is None:
            continue
        seen += 1
        low = body.vertices_m[:, 2] < -0.6  # drawn out downward from the shoulders on
        places = transform_points(body.camera_from_body, body.vertices_m[low])
        pixels = scene.camera.project(places[places[:, 2] > 0.02])
        assert pixels[:, 1].min() > scene.camera.height
        eyes = scene.camera.project(body.camera_from_body[None, :3, 3])[0]
        assert (eyes > 0).all()
        assert (eyes < scene.camera.height).all()
    assert seen > 8
