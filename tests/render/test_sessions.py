"""Rendered sessions: what is filmed, how, and that recordings say what was."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from arsession.propagate import VISIBLE
from arsession.readers import open_session
from arsession.session import Plane, Points
from bootstrap.dataset import Dataset
from bootstrap.dataset.verify import verify_dataset
from render.job import Job, render_dataset, split_of
from render.session_path import UP, Walk, arkit_world, phone_camera, swinging, walked
from render.session_recordings import NOISY, RECORDINGS, write_recordings
from render.session_scene import main_category
from render.session_shapes import CATEGORIES, built
from render.session_solids import Solid, Surface, about, block, bounds_m, tube
from render.session_textures import PATTERNS, noise, painted
from render.session_tracker import Features, kept_frames, mistaken, true_session
from render.sessions import Noise, SessionSettings, session_dataset, session_renderers
from runtime.camera import transform_points
from runtime.errors import ViewfinderError
from tests.arsession.protobuf_oracle import message_types

FRAMES, SIZE = 6, (96, 128)
SETTINGS = SessionSettings(7, FRAMES, SIZE, categories=("cereal_box",), noise=Noise(dropped=0.3))


def signed_volume(solid: Solid) -> float:
    a, b, c = (solid.vertices_m[solid.faces[:, i]] for i in range(3))
    return float(np.einsum("fi,fi->f", a, np.cross(b, c)).sum() / 6)


def test_solids_are_closed_and_face_outward():
    plain = Surface("plain", (0.5, 0.5, 0.5))
    size = np.array([0.3, 0.2, 0.1])
    sharp = block((0, 0, 0), size, plain, 1e-9)
    assert signed_volume(sharp) == pytest.approx(size.prod(), rel=1e-6)
    assert signed_volume(block((0, 0, 0), size, plain, 0.01)) == pytest.approx(
        size.prod(), rel=0.02
    )
    straight = sum(signed_volume(s) for s in tube([(0, 0, 0), (0, 1, 0)], 0.1, plain, 60))
    assert straight == pytest.approx(np.pi * 0.01, rel=0.01)
    turned = sharp.turned(about("y", 0.7)).moved((1, 2, 3))
    assert signed_volume(turned) == pytest.approx(size.prod(), rel=1e-6)


@pytest.mark.parametrize("category", sorted(CATEGORIES))
def test_objects_are_within_their_tight_box_and_as_large_as_such_things(category):
    longest = {"book": (0.15, 0.35), "bottle": (0.18, 0.33), "cereal_box": (0.15, 0.35),
               "chair": (0.75, 1.1), "cup": (0.07, 0.15), "laptop": (0.25, 0.45),
               "shelf": (0.55, 1.75), "shoe": (0.22, 0.33), "table": (0.5, 1.6)}  # fmt: skip
    for seed in range(12):
        solids, size = built(category, np.random.default_rng(seed))
        low, high = bounds_m(solids)
        np.testing.assert_allclose(high, size / 2, atol=1e-9)
        np.testing.assert_allclose(low, -size / 2, atol=1e-9)
        assert longest[category][0] <= size.max() <= longest[category][1], (seed, size)
        for solid in solids:
            assert solid.surface.pattern in PATTERNS
            assert np.isfinite(solid.uv).all()
            assert solid.faces.min() >= 0
            assert solid.faces.max() < len(solid.vertices_m)
        again, _ = built(category, np.random.default_rng(seed))
        np.testing.assert_array_equal(again[0].vertices_m, solids[0].vertices_m)


@pytest.mark.parametrize("pattern", sorted(PATTERNS))
def test_a_surface_is_always_painted_the_same(pattern):
    surface = Surface(pattern, (0.6, 0.4, 0.3), (0.3, 0.2, 0.1), seed=5)
    first = painted(surface)
    np.testing.assert_array_equal(first, painted(surface))
    if pattern != "pages":
        assert (first != painted(replace(surface, seed=6))).any()
    assert first.std() > 1


def test_noise_repeats_without_a_seam():
    picture = noise(128, (3.0, 9.0), np.random.default_rng(0))
    inside = np.abs(np.diff(picture, axis=1)).mean()
    assert np.abs(picture[:, 0] - picture[:, -1]).mean() < 1.5 * inside
    assert picture.std() == pytest.approx(1.0, rel=1e-3)


def test_a_path_goes_around_and_a_tracker_begins_at_its_first_camera():
    times = np.arange(30) / 10
    target = np.array([0.0, 0.4, 0.0])
    poses = walked(Walk(1.5, 0.3, 1.2, 0.6), target, times, np.random.default_rng(4))
    turns = poses[:, :3, :3]
    np.testing.assert_allclose(turns @ turns.transpose(0, 2, 1), np.tile(np.eye(3), (30, 1, 1)),
                               atol=1e-9)  # fmt: skip
    seen = np.stack([transform_points(np.linalg.inv(p), target) for p in poses])
    assert (seen[:, 2] > 0.9).all()
    assert (np.hypot(seen[:, 0], seen[:, 1]) < 0.35 * seen[:, 2]).all()  # nearly in the middle
    assert (turns[:, :, 1] @ UP < -0.5).all()  # the picture's down is down
    azimuth = np.unwrap(np.arctan2(*(poses[:, [0, 2], 3] - target[[0, 2]]).T))
    assert azimuth[-1] - azimuth[0] == pytest.approx(1.2, abs=0.35)
    into = arkit_world(poses[0])
    first = into @ poses[0]
    np.testing.assert_allclose(first[:3, 3], 0, atol=1e-12)
    assert first[0, 2] == pytest.approx(0, abs=1e-9)
    assert first[2, 2] < 0
    np.testing.assert_allclose(into[:3, :3] @ UP, UP, atol=1e-12)
    assert swinging(np.arange(5000) / 10, 0.3, np.random.default_rng(1)).std() == pytest.approx(
        1.0, abs=0.15
    )


def a_track(frames: int, rate_hz: float = 10.0):
    times = np.arange(frames) / rate_hz
    rng = np.random.default_rng(2)
    scene = SessionSettings(3, frames, (96, 128), rate_hz, hdris=(Path("a.exr"),)).scene(0)
    points = rng.normal(0, 0.2, (40, 3)) + np.array([0, -0.3, -1.0])
    found = Features(points, tuple(np.arange(40) for _ in times))
    return scene, found, true_session(scene, found, _NoPictures(), Path("x"))


class _NoPictures:
    size, quarter_turns = (96, 128), 0

    def read(self, frame: int) -> np.ndarray:
        raise AssertionError

    def has(self, frame: int) -> bool:
        return True


def test_drift_grows_as_stated_and_points_stay_where_the_camera_sees_them():
    _, found, session = a_track(40)
    still = Noise(0.02, 0.0, 0.0, 0.0, 0.0, 0.0)
    off = []
    for seed in range(100):
        noisy = mistaken(session, found, still, np.random.default_rng(seed))
        off.append(noisy.world_from_camera[:, :3, 3] - session.world_from_camera[:, :3, 3])
    spread = np.sqrt((np.array(off) ** 2).sum(axis=2).mean(axis=0))
    expected = 0.02 * np.sqrt(session.timestamps_s)
    np.testing.assert_allclose(spread[5:], expected[5:], rtol=0.25)
    assert spread[0] == 0
    seen: Points = noisy.load_frame_points(30)
    local = transform_points(np.linalg.inv(noisy.world_from_camera[30]), seen.positions_world_m)
    true = transform_points(np.linalg.inv(session.world_from_camera[30]), found.positions_world_m)
    np.testing.assert_allclose(local, true, atol=1e-9)


def test_without_mistakes_nothing_changes_and_each_mistake_is_its_own():
    _, found, session = a_track(10)
    none = Noise(0, 0, 0, 0, 0, 0)
    same = mistaken(session, found, none, np.random.default_rng(0))
    np.testing.assert_allclose(same.world_from_camera, session.world_from_camera, atol=1e-12)
    np.testing.assert_allclose(same.points_world_m, session.points_world_m, atol=1e-12)
    for one, other in zip(same.planes, session.planes):
        np.testing.assert_allclose(one.boundary_world_m, other.boundary_world_m, atol=1e-12)
    tilts, rises = [], []
    for seed in range(100):
        rough = mistaken(session, found, replace(none, plane_m=0.01, plane_rad=0.02),
                         np.random.default_rng(seed))  # fmt: skip
        plane: Plane = rough.planes[-1]
        tilts.append(np.arccos(min(1.0, plane.normal_world @ UP)))
        rises.append(plane.centre_world_m[1] - session.planes[-1].centre_world_m[1])
        np.testing.assert_allclose(
            (plane.boundary_world_m - plane.centre_world_m) @ plane.normal_world, 0, atol=1e-9
        )
    assert np.std(rises) == pytest.approx(0.01, rel=0.25)
    assert np.sqrt(np.mean(np.square(tilts))) == pytest.approx(0.02 * np.sqrt(2), rel=0.25)
    kept = kept_frames(1000, Noise(dropped=0.2), np.random.default_rng(0))
    assert kept[0] == 0
    assert kept[-1] == 999
    assert len(kept) == pytest.approx(800, abs=50)


@pytest.mark.parametrize("count", range(1, len(CATEGORIES) + 1))
def test_every_split_shows_every_category_as_often(count):
    names = tuple(CATEGORIES)[:count]
    for split in ("train", "val", "test"):
        numbers = [n for n in range(20 * count) if split_of(n) == split]
        times = Counter(main_category(number, names) for number in numbers)
        assert set(times) == set(names)
        assert max(times.values()) <= 1.25 * min(times.values())


def test_bad_settings_are_named():
    with pytest.raises(ViewfinderError, match="no such category"):
        SessionSettings(0, categories=("dragon",))
    with pytest.raises(ViewfinderError, match="noise"):
        Noise(drift_m=-1)
    camera = phone_camera(480, 640, np.random.default_rng(0))
    assert camera.fx == camera.fy
    assert 55 < np.degrees(2 * np.arctan(320 / camera.fy)) < 70


@pytest.fixture(scope="module")
def rendered(tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("sessions") / "set"
    job = Job(out, session_dataset(SETTINGS), FRAMES, session_renderers(SETTINGS))
    render_dataset(job)
    assert write_recordings(out, 1, SETTINGS) == 2
    return out


def test_boxes_are_tight_around_what_the_pictures_show(rendered):
    ds = Dataset.open(rendered)
    assert not list(verify_dataset(ds))
    labels = ds.labels("synthetic")
    assert len({label.sample_id for label in labels}) == FRAMES
    main = [label for label in labels if label.subject_id == 0]
    for label in main:
        seen = ds.read_segmentation(label.sample_id) == 2
        rows, columns = np.flatnonzero(seen.any(axis=1)), np.flatnonzero(seen.any(axis=0))
        x, y, width, height = label.box_px
        # A cereal box fills its own box: the silhouette is the keypoints' hull.
        shown = (columns[0], rows[0], columns[-1] + 1, rows[-1] + 1)
        if label.attributes["truncation"] == 0 and label.visibility[1:].min() > 0:
            hidden = (label.visibility[1:] != VISIBLE).sum()
            assert hidden <= 5
            np.testing.assert_allclose(shown, (x, y, x + width, y + height), atol=3.0)
        depth = ds.read_depth(label.sample_id)
        at = label.keypoints_px[0].astype(int)
        if 0 <= at[0] < SIZE[0] and 0 <= at[1] < SIZE[1] and seen[at[1], at[0]]:
            half = np.linalg.norm(label.cuboid["size_m"]) / 2
            assert 0 < label.keypoints_camera_m[0, 2] - depth[at[1], at[0]] < half
        plane = label.attributes["plane"]
        foot = label.keypoints_camera_m[[1, 2, 5, 6]]  # y is the middle of x, y, z
        np.testing.assert_allclose(foot @ plane["normal"], plane["distance_m"], atol=1e-4)


def test_a_frame_doesnt_depend_on_those_before_it(rendered):
    renderer = session_renderers(SETTINGS)(1)
    try:
        sample, labels = renderer.render(FRAMES - 1)
    finally:
        renderer.close()
    ds = Dataset.open(rendered)
    assert sample.image == ds.read_image_bytes(sample.sample_id)
    stored = [label for label in ds.labels("synthetic") if label.sample_id == sample.sample_id]
    np.testing.assert_allclose(stored[0].keypoints_px, labels[0].keypoints_px, atol=1e-3)


def test_both_recordings_hold_what_was_filmed(rendered):
    ds, scene = Dataset.open(rendered), SETTINGS.scene(0)
    labels = {(lb.sample_id, lb.subject_id): lb for lb in ds.labels("synthetic")}
    sequences = {}
    for suffix in ("", NOISY):
        folder = rendered / RECORDINGS / f"000000{suffix}"
        session = open_session(folder)
        data = (folder / "annotation.pbdata").read_bytes()
        sequences[suffix] = message_types()["Sequence"].FromString(data)
        frames = np.round(session.timestamps_s * SETTINGS.rate_hz).astype(int)
        for row, frame in enumerate(frames):
            found = sequences[suffix].frame_annotations[row]
            picture = session.pictures.read(row).astype(float)
            stored = ds.read_image(f"{frame:08d}").astype(float)
            assert np.abs(picture - stored).mean() < 6  # the video's own compression
            for seen in found.annotations:
                label = labels.get((f"{frame:08d}", seen.object_id))
                if label is None:
                    assert seen.visibility == 0
                    continue
                px = np.array([(k.point_2d.x * SIZE[0], k.point_2d.y * SIZE[1])
                               for k in seen.keypoints])  # fmt: skip
                np.testing.assert_allclose(px, label.keypoints_px, atol=0.01)
        if not suffix:
            assert len(frames) == FRAMES
            np.testing.assert_allclose(session.world_from_camera, scene.world_from_camera,
                                       atol=1e-5)  # fmt: skip
            heights = {p.identifier: p.centre_world_m[1] for p in session.planes}
            assert heights == pytest.approx({lv.name: lv.height_m for lv in scene.levels}, abs=1e-5)
        else:
            assert len(frames) < FRAMES
            off = session.world_from_camera - scene.world_from_camera[frames]
            assert 1e-4 < np.abs(off[1:, :3, 3]).max() < 0.1
    assert [one.category for one in sequences[""].objects] == [o.category for o in scene.objects]
    before = {p: p.read_bytes() for p in rendered.rglob("*.pbdata")}
    assert write_recordings(rendered, 1, SETTINGS) == 0
    for path in before:
        path.unlink()
    assert write_recordings(rendered, 1, SETTINGS) == 2
    assert {p: p.read_bytes() for p in rendered.rglob("*.pbdata")} == before


@pytest.mark.long
def test_any_number_of_workers_gives_the_same_bytes(tmp_path):
    settings = SessionSettings(8, 2, (64, 64), categories=("cup", "cereal_box"))
    written = []
    for workers in (1, 2):
        out = tmp_path / str(workers)
        render = session_renderers(settings)
        render_dataset(Job(out, session_dataset(settings), 6, render, workers=workers))
        assert write_recordings(out, 3, settings) == 6
        files = sorted(p for p in out.rglob("*") if p.is_file())
        written.append({str(p.relative_to(out)): p.read_bytes() for p in files})
    assert list(written[0]) == list(written[1])
    assert len([name for name in written[0] if name.endswith(".tar")]) == 3
    for name, content in written[0].items():
        assert written[1][name] == content, name


@pytest.mark.long
def test_three_clicked_frames_give_the_true_box_and_refinement_takes_drift_out(tmp_path):
    from benchmarks.sessions import measured

    settings = SessionSettings(70, 24, (240, 320), noise=Noise(drift_m=0.02))
    job = Job(tmp_path, session_dataset(settings), 72, session_renderers(settings), workers=2)
    render_dataset(job)
    write_recordings(tmp_path, 3, settings)
    rows = [measured(tmp_path, number, settings.rate_hz) for number in range(3)]
    found = {way: np.mean([row[way]["corner_px"] for row in rows]) for way in rows[0]}
    assert found["true poses"] < 1.0
    assert found["drifting"] > 2 * found["true poses"]
    assert found["drifting, refined"] < 0.6 * found["drifting"]
    assert found["drifting, refined"] < 1.5
