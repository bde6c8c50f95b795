"""`session check` finds what was done to a good recording, and nothing in the good one."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner

from arsession.check import check_session, epipolar_errors_px
from arsession.check_picture import HEIGHT, WIDTH, draw_check
from arsession.commands import session_app
from arsession.readers import open_session
from arsession.session import Plane, Session
from runtime.camera import Camera
from runtime.errors import ViewfinderError
from tests.arsession import recordings

SHARED = Path(__file__).parents[2].parent / "shared" / "ar"
FRAMES = 42
CAMERA = Camera(520.0, 520.0, 320.0, 240.0, 640, 480)


def texture() -> np.ndarray:
    rng = np.random.default_rng(3)
    coarse = rng.integers(0, 255, (60, 60, 3), dtype=np.uint8)
    fine = rng.integers(0, 255, (600, 600, 3), dtype=np.uint8)
    large = cv2.resize(coarse, (600, 600), interpolation=cv2.INTER_CUBIC)
    return cv2.GaussianBlur(cv2.addWeighted(large, 0.7, fine, 0.3, 0), (3, 3), 0)


class Filmed:
    """A textured table, 2 m a side at y = 0, seen from given poses."""

    quarter_turns = 0
    size = (640, 480)

    def __init__(self, poses: np.ndarray) -> None:
        self.poses, self.texture = poses, texture()
        self.blurred: set[int] = set()
        self.broken: set[int] = set()

    def has(self, frame: int) -> bool:
        return 0 <= frame < len(self.poses)

    def read(self, frame: int) -> np.ndarray:
        if frame in self.broken:
            raise ViewfinderError("truncated", file="frame")
        camera_from_world = np.linalg.inv(self.poses[frame])
        # The table's (column, row) texture pixels, in the world's x and z.
        world_from_texture = np.array([[2 / 600, 0, -1], [0, 0, 0], [0, 2 / 600, -1], [0, 0, 1]])
        k = CAMERA.matrix - [[0, 0, 0.5], [0, 0, 0.5], [0, 0, 0]]
        homography = k @ camera_from_world[:3] @ world_from_texture
        rgb = cv2.warpPerspective(self.texture, homography, self.size, flags=cv2.INTER_LINEAR)
        return cv2.GaussianBlur(rgb, (15, 15), 4) if frame in self.blurred else rgb


def true_poses() -> np.ndarray:
    out = np.tile(np.eye(4), (FRAMES, 1, 1))
    for i in range(FRAMES):
        angle = 0.9 * i / FRAMES
        place = np.array([0.9 * np.sin(angle), 0.8 + 0.002 * i, 0.9 * np.cos(angle)])
        ahead = -place / np.linalg.norm(place)
        right = np.cross(ahead, [0, 1, 0])
        right /= np.linalg.norm(right)
        out[i, :3] = np.stack([right, np.cross(ahead, right), ahead, place], axis=1)
    return out


def recording() -> Session:
    poses = true_poses()
    corners = np.array([[-1.0, 0, -1], [1, 0, -1], [1, 0, 1], [-1, 0, 1]])
    table = Plane("table", np.zeros(3), np.array([0.0, 1, 0]), corners, "horizontal")
    return Session(
        format="filmed", path=Path("filmed"), timestamps_s=np.arange(FRAMES) / 30,
        world_from_camera=poses, world_up="+y", cameras=(CAMERA,), pictures=Filmed(poses),
        tracking=("normal",) * FRAMES, load_planes=lambda: (table,),
    )  # fmt: skip


def test_a_good_recording_has_nothing_against_it():
    check = check_session(recording())
    assert check.trusted.all()
    assert check.fps == pytest.approx(30)
    assert check.plane_tilt_rad == pytest.approx([0.0])
    assert len(check.pairs) >= 5
    assert max(pair.error_px for pair in check.pairs) < 0.5
    assert check.trusted_ranges() == [(0, FRAMES - 1)]


def test_a_jump_is_seen_in_poses_and_in_features():
    session = recording()
    poses = session.world_from_camera.copy()
    poses[24:, :3, 3] += [0.0, 0.04, 0.0]
    check = check_session(replace(session, world_from_camera=poses))
    assert check.jumps.tolist() == [24, 25]
    assert {24} <= set(check.off.tolist()) <= set(range(18, 31))
    assert not check.trusted[24]
    assert check.trusted[:18].all()
    assert check.trusted[31:].all()


def test_slow_drift_in_turning_is_seen_in_features_alone():
    session = recording()
    poses = session.world_from_camera.copy()
    for i in range(FRAMES):
        roll = 0.0008 * i
        poses[i, :3, :3] = poses[i, :3, :3] @ cv2.Rodrigues(np.array([roll, 0, 0]))[0]
    check = check_session(replace(session, world_from_camera=poses))
    assert len(check.jumps) == 0
    clean = check_session(session)
    median = np.median([pair.error_px for pair in check.pairs])
    assert median > 5 * np.median([pair.error_px for pair in clean.pairs])


def test_blur_lost_tracking_gaps_and_unreadable_pictures_are_named():
    session = recording()
    session.pictures.blurred = {10, 11}
    session.pictures.broken = {33}
    times = session.timestamps_s.copy()
    times[20:] += 0.1
    states = list(session.tracking)
    states[5] = "limited"
    check = check_session(replace(session, timestamps_s=times, tracking=tuple(states)))
    assert check.blurred.tolist() == [10, 11]
    assert list(check.unreadable) == [33]
    assert check.not_tracked.tolist() == [5]
    assert check.gaps == [(20, pytest.approx(0.1 + 1 / 30))]
    assert set(np.flatnonzero(~check.trusted)) >= {5, 10, 11, 33}
    words = "\n".join(check.in_words())
    assert "blurred     10, 11" in words
    json.dumps(check.summary())


def test_a_tilted_plane_is_measured():
    session = recording()
    tilt = np.radians(4)
    plane = replace(session.planes[0], normal_world=np.array([np.sin(tilt), np.cos(tilt), 0]))
    tilted = replace(session, load_planes=lambda: (plane,))
    assert check_session(tilted).plane_tilt_rad == pytest.approx([tilt])


def test_epipolar_error_is_the_distance_across_the_line():
    rng = np.random.default_rng(0)
    poses = true_poses()
    second_from_first = np.linalg.inv(poses[20]) @ poses[0]
    points = rng.uniform([-0.3, -0.3, 0.8], [0.3, 0.3, 2], (40, 3))
    moved = points @ second_from_first[:3, :3].T + second_from_first[:3, 3]
    a, b = CAMERA.project(points), CAMERA.project(moved)
    np.testing.assert_allclose(
        epipolar_errors_px(a, b, second_from_first, CAMERA, CAMERA), 0, atol=1e-9
    )
    # Against OpenCV's own formula for points off the line.
    x, y, z = second_from_first[:3, 3]
    k_inverse = np.linalg.inv(CAMERA.matrix)
    skew = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    fundamental = k_inverse.T @ skew @ second_from_first[:3, :3] @ k_inverse
    off = b + rng.normal(0, 3, b.shape)
    lines = cv2.computeCorrespondEpilines(a.reshape(-1, 1, 2), 1, fundamental)[:, 0]
    expected = np.abs((np.c_[off, np.ones(40)] * lines).sum(axis=1))
    np.testing.assert_allclose(
        epipolar_errors_px(a, off, second_from_first, CAMERA, CAMERA), expected, atol=1e-6
    )


def test_the_picture_shows_doubt_where_there_is_some():
    session = recording()
    doubt = np.array([213, 94, 0])

    def doubted_pixels(of: Session) -> int:
        picture = draw_check(of, check_session(replace(of, pictures=None)))
        assert picture.shape == (HEIGHT, WIDTH, 3)
        return int((np.abs(picture[40:620].astype(int) - doubt).max(axis=2) < 10).sum())

    poses = session.world_from_camera.copy()
    poses[24:, :3, 3] += [0.0, 0.04, 0.0]
    assert doubted_pixels(session) == 0
    assert doubted_pixels(replace(session, world_from_camera=poses)) > 30


def test_seen_from_above_a_left_turn_goes_left():
    # North along -z, then west along -x: turning left, seen from above with +y up.
    places = np.array(
        [[0, 0, -0.1 * i] for i in range(20)] + [[-0.1 * i, 0, -1.9] for i in range(9)]
    )
    poses = np.tile(np.eye(4), (len(places), 1, 1))
    poses[:, :3, 3] = places
    session = replace(
        recording(), world_from_camera=poses, timestamps_s=np.arange(len(places)) / 30.0,
        pictures=None, tracking=(), load_planes=lambda: (),
    )  # fmt: skip
    picture = draw_check(session, check_session(session))[70:570, :640].astype(int)
    blue = np.abs(picture - [0, 114, 178]).max(axis=2) < 60
    start = np.argwhere(np.abs(picture - 40).max(axis=2) < 20).mean(axis=0)
    rows, columns = np.nonzero(blue | (np.abs(picture - [213, 94, 0]).max(axis=2) < 60))
    spots = np.stack([columns, rows], axis=1)
    first = start[::-1]
    far = spots[np.argmax(np.linalg.norm(spots - first, axis=1))] - first
    # The corner lies furthest from the straight line between start and end.
    across = (spots - first) @ np.array([-far[1], far[0]])
    corner = spots[np.argmax(np.abs(across))] - first
    assert corner[0] * far[1] - corner[1] * far[0] < 0  # y down: negative turns left


def test_command_writes_json_words_and_a_picture(tmp_path):
    scene = recordings.polycam(tmp_path)
    runner = CliRunner()
    out = tmp_path / "check.png"
    done = runner.invoke(session_app, ["check", str(scene.path), "--json", "--out", str(out)])
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert (found["frames"], found["format"]) == (4, "polycam")
    assert cv2.imread(str(out)).shape == (HEIGHT, WIDTH, 3)
    words = runner.invoke(session_app, ["check", str(scene.path)])
    assert "to trust" in words.stdout


@pytest.mark.skipif(not SHARED.exists(), reason="real AR recordings (../shared/ar) aren't here")
def test_the_real_arkit_clip_has_its_known_residuals():
    check = check_session(open_session(SHARED / "arkit_data_logger"))
    summary = check.summary()["pose_residual_mm"]
    assert (summary["median"], summary["worst"]) == (
        pytest.approx(0.43, abs=0.005),
        pytest.approx(26, abs=0.5),
    )
    assert summary["worst_frame"] in check.jumps
    assert check.fps == pytest.approx(60, abs=0.1)
