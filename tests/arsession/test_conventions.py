"""Every reader sees the known scene of tests.arsession.recordings where it truly is."""

from __future__ import annotations

import numpy as np
import pytest

from arsession.colmap import reprojection_errors
from arsession.pictures import VideoPictures
from arsession.readers import open_session
from arsession.turning import CAMERA_FROM_TURNED, turn_camera
from runtime.camera import OPENCV_FROM_OPENGL, Camera
from tests.arsession import recordings
from tests.arsession.mcap_fixture import mcap
from tests.arsession.recordings import CX, CY, FX, FY, HEIGHT, POINTS, STEP, WIDTH, phones
from tests.arsession.videos import write_video

TRUTH = Camera(FX, FY, CX, CY, WIDTH, HEIGHT)
WRITERS = (*recordings.WRITERS, mcap)
LANDSCAPE = pytest.mark.parametrize("write", WRITERS, ids=lambda w: w.__name__)


def seen_in(world_from_camera: np.ndarray, camera: Camera, world: np.ndarray) -> np.ndarray:
    camera_from_world = np.linalg.inv(world_from_camera)
    return camera.project(world @ camera_from_world[:3, :3].T + camera_from_world[:3, 3])


@LANDSCAPE
def test_points_are_seen_where_they_are(tmp_path, write):
    scene = write(tmp_path)
    session = open_session(scene.path)
    assert (session.format, session.world_up) == (scene.name, scene.up)
    assert len(session.timestamps_s) == len(phones())
    for i, phone in enumerate(phones()):
        pixels = seen_in(
            session.world_from_camera[i],
            session.camera_at(i) or TRUTH,
            scene.place_in_world(POINTS),
        )
        np.testing.assert_allclose(pixels, phone.sees(POINTS), atol=1e-3)


@LANDSCAPE
def test_wrong_axes_would_be_noticed(tmp_path, write):
    scene = write(tmp_path)
    session = open_session(scene.path)
    right = session.world_from_camera[1]
    wrong = {
        "OpenGL axes": right @ OPENCV_FROM_OPENGL,
        "world to camera": np.linalg.inv(right),
        "turned picture": right @ CAMERA_FROM_TURNED,
        "rows for columns": np.block(
            [[right[:3, :3].T, right[:3, 3:]], [np.array([[0, 0, 0, 1]])]]
        ),
    }
    for name, pose in wrong.items():
        off = seen_in(pose, TRUTH, scene.place_in_world(POINTS)) - phones()[1].sees(POINTS)
        # Behind the camera is NaN: noticed, too.
        assert not (np.linalg.norm(off, axis=1) < 30).all(), name


@LANDSCAPE
def test_times_are_the_recordings_own(tmp_path, write):
    session = open_session(write(tmp_path).path)
    if session.timed:
        np.testing.assert_allclose(session.timestamps_s, STEP * np.arange(4), atol=1e-6)
        assert session.start_s == pytest.approx(recordings.TIME_0, abs=1e-3)
    else:
        assert session.format in ("colmap", "transforms-json", "open3d-log")


@pytest.mark.parametrize("write", recordings.WITH_PICTURES, ids=lambda w: w.__name__)
def test_pictures_show_what_their_frame_sees(tmp_path, write):
    scene = write(tmp_path)
    session = open_session(scene.path)
    for i in (2, 0, 3):
        rgb = session.pictures.read(i)
        assert rgb.shape == (HEIGHT, WIDTH, 3)
        rows, columns = np.nonzero(rgb[..., 1] > 128)
        middle = columns.mean() + 0.5, rows.mean() + 0.5
        np.testing.assert_allclose(middle, phones()[i].sees(POINTS[0]), atol=0.75)


@pytest.mark.parametrize("clockwise", [90, 180, 270])
def test_a_turned_video_still_agrees_with_its_camera(tmp_path, clockwise):
    session = open_session(recordings.stray_scanner(tmp_path, clockwise).path)
    rgb = session.pictures.read(1)
    rows, columns = np.nonzero(rgb[..., 1] > 128)
    pixel = seen_in(session.world_from_camera[1], session.camera, POINTS[0])
    np.testing.assert_allclose((columns.mean() + 0.5, rows.mean() + 0.5), pixel, atol=0.75)
    u, v = phones()[1].sees(POINTS[0])
    turned = {90: (HEIGHT - v, u), 180: (WIDTH - u, HEIGHT - v), 270: (v, WIDTH - u)}[clockwise]
    np.testing.assert_allclose(pixel, turned, atol=1e-3)
    depth = session.depths.read(1)
    where = {90: (5, 20), 180: (20, 26), 270: (26, 3)}[clockwise]
    assert depth[where] == pytest.approx(1.5)


def test_a_video_is_read_in_any_order(tmp_path):
    # The frame's number, a stripe for each binary digit.
    bits = (np.arange(40)[:, None] >> np.arange(6)) & 1
    pictures = [np.tile((np.repeat(row, 16) * 255).astype(np.uint8)[None, :, None], (48, 1, 3))
                for row in bits]  # fmt: skip
    write_video(tmp_path / "a.mp4", pictures)
    video = VideoPictures(tmp_path / "a.mp4", np.arange(40))
    order = [30, 3, 39, 38, 37, 0, 20, *np.random.default_rng(0).integers(0, 40, 60)]
    for frame in order:
        read = video.read(int(frame))[24, 8::16, 1] > 128
        np.testing.assert_array_equal(read, bits[frame])


@pytest.mark.parametrize("orientation", [3, 6, 8])
def test_a_picture_turned_by_its_exif_turns_its_camera(tmp_path, orientation):
    scene = recordings.polycam(tmp_path)
    for file in (tmp_path / "keyframes" / "corrected_images").iterdir():
        tiff = b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0" + bytes([orientation]) + bytes(7)
        segment = b"Exif\0\0" + tiff
        data = file.read_bytes()
        length = (len(segment) + 2).to_bytes(2, "big")
        file.write_bytes(data[:2] + b"\xff\xe1" + length + segment + data[2:])
    session = open_session(scene.path)
    assert session.pictures.quarter_turns == {3: 2, 6: 1, 8: 3}[orientation]
    rows, columns = np.nonzero(session.pictures.read(1)[..., 1] > 128)
    pixel = seen_in(session.world_from_camera[1], session.camera_at(1), POINTS[0])
    np.testing.assert_allclose((columns.mean() + 0.5, rows.mean() + 0.5), pixel, atol=0.75)


@pytest.mark.parametrize("write", recordings.WITH_DEPTH, ids=lambda w: w.__name__)
def test_depth_is_in_metres(tmp_path, write):
    depth = open_session(write(tmp_path).path).depths.read(2)
    assert depth.shape == (24, 32)
    assert depth[3, 5] == pytest.approx(1.5)
    assert depth.sum() == depth[3, 5]


@pytest.mark.parametrize("write", [recordings.colmap_text, recordings.colmap_binary])
def test_colmap_reprojection_equals_the_files_own_error(tmp_path, write):
    suffix = ".txt" if write is recordings.colmap_text else ".bin"
    scene = write(tmp_path)
    computed, stated = reprojection_errors(scene.path / "sparse" / "0" / f"images{suffix}")
    assert stated.min() > 0.3
    np.testing.assert_allclose(computed, stated, atol=0.01)
    np.testing.assert_allclose(open_session(scene.path).points_world_m, POINTS, atol=1e-9)


def test_colmap_as_pycolmap_writes_it(tmp_path):
    pycolmap = pytest.importorskip("pycolmap", reason="pycolmap isn't installed")
    recordings.colmap_text(tmp_path)
    text = tmp_path / "sparse" / "0"
    try:
        model = pycolmap.Reconstruction(str(text))
    except (RuntimeError, ValueError) as problem:
        pytest.fail(f"COLMAP can't read the fixture: {problem}")
    binary = tmp_path / "binary"
    binary.mkdir()
    model.write_binary(str(binary))
    session = open_session(binary / "images.bin")
    np.testing.assert_allclose(
        session.world_from_camera, open_session(tmp_path).world_from_camera, atol=1e-9
    )


@pytest.mark.parametrize("turns", range(-3, 8))
def test_turning_is_a_cycle_of_four(turns):
    camera = Camera(500, 510, 300, 220, 640, 480, (0.1, -0.02, 0.003, 0.004, 0.01))
    assert turn_camera(turn_camera(camera, turns), -turns) == camera
    points = np.random.default_rng(0).uniform([-0.4, -0.4, 1], [0.4, 0.4, 2], (50, 3))
    u, v = camera.project(points).T
    turned = turn_camera(camera, turns)
    camera_from_turned = np.linalg.matrix_power(CAMERA_FROM_TURNED, turns % 4)[:3, :3]
    expected = {0: (u, v), 1: (480 - v, u), 2: (640 - u, 480 - v), 3: (v, 640 - u)}[turns % 4]
    np.testing.assert_allclose(
        turned.project(points @ camera_from_turned), np.transpose(expected), atol=1e-9
    )
