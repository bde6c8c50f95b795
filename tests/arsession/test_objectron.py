"""Objectron recordings written through Google's protobuf library, read back by the reader."""

from __future__ import annotations

import struct
import time
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from arsession.objectron import read_cameras
from arsession.protobuf_wire import WireError, encoded_varint, fields, integers
from arsession.readers import open_session
from runtime.errors import ViewfinderError
from tests.arsession.protobuf_oracle import message_types
from tests.arsession.videos import write_video

TYPES = message_types()
WIDTH, HEIGHT = 1920, 1440
K = np.array([[1590.0, 0, 961.5], [0, 1592.0, 717.25], [0, 0, 1]])


def view_and_projection(world_from_arkit: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """ARKit's own matrices for a portrait phone: world to portrait camera axes (in which +X runs
    down the upright picture and +Y to its right), and an OpenGL projection from K."""
    view = np.linalg.inv(world_from_arkit)
    near, far = 0.001, 1000.0
    projection = np.array(
        [
            [2 * K[0, 0] / WIDTH, 0, 1 - 2 * K[0, 2] / WIDTH, 0],
            [0, 2 * K[1, 1] / HEIGHT, 2 * K[1, 2] / HEIGHT - 1, 0],
            [0, 0, -(far + near) / (far - near), -2 * far * near / (far - near)],
            [0, 0, -1, 0],
        ]
    )
    return view, projection


def poses(count: int) -> np.ndarray:
    """A phone held upright, its landscape camera axes therefore rolled by a quarter."""
    out = np.tile(np.eye(4), (count, 1, 1))
    for i in range(count):
        out[i, :3, :3] = Rotation.from_euler(
            "yxz", [10 + i, -20 - i, -90 + 0.5 * i], degrees=True
        ).as_matrix()
        out[i, :3, 3] = [0.3 + 0.01 * i, 1.2, 0.8 - 0.02 * i]
    return out.astype(np.float32).astype(np.float64)


def ar_frame(types: dict, pose: np.ndarray, timestamp: float, points: int = 0):
    view, projection = view_and_projection(pose)
    frame = types["ARFrame"](timestamp=timestamp)
    frame.light_estimate.ambient_intensity = 1000
    camera = frame.camera
    camera.tracking_state, camera.tracking_state_reason = 3, 1
    camera.image_resolution_width, camera.image_resolution_height = WIDTH, HEIGHT
    camera.transform.extend(pose.ravel())
    camera.intrinsics.extend(K.ravel())
    camera.view_matrix.extend(view.ravel())
    camera.projection_matrix.extend(projection.ravel())
    for k in range(points):
        frame.raw_feature_points.point.add(x=k * 0.1, y=timestamp, z=-1.0)
        frame.raw_feature_points.identifier.append(2**60 + k)
    frame.raw_feature_points.count = points
    return frame


def write_recording(folder: Path, frames: list, name: str = "geometry.pbdata") -> Path:
    file = folder / name
    file.write_bytes(
        b"".join(
            struct.pack("<I", len(data)) + data for data in (f.SerializeToString() for f in frames)
        )
    )
    return file


@pytest.mark.parametrize(("packed", "side"), [(True, 192), (False, 1920)])
def test_projection_equals_the_formats_own_formula(tmp_path, packed, side):
    """With the matrices as the file holds them, single precision, up to a phone's whole picture."""
    world_from_arkit = poses(3)
    types = message_types(packed)
    frames = [ar_frame(types, pose, 10 + i / 30) for i, pose in enumerate(world_from_arkit)]
    write_recording(tmp_path, frames)
    width, height = side * 3 // 4, side
    write_video(tmp_path / "video.mp4", [np.zeros((height, width, 3), np.uint8)] * 3)
    session = open_session(tmp_path)
    assert session.pictures.size == (width, height)
    rng = np.random.default_rng(1)
    for i, pose in enumerate(world_from_arkit):
        in_arkit = rng.uniform([-0.3, -0.3, -3], [0.3, 0.3, -1], (50, 3))
        world = in_arkit @ pose[:3, :3].T + pose[:3, 3]
        view = np.array(frames[i].camera.view_matrix).reshape(4, 4)
        projection = np.array(frames[i].camera.projection_matrix).reshape(4, 4)
        clip = np.c_[world, np.ones(50)] @ (projection @ view).T
        ndc = clip[:, :2] / clip[:, 3:]
        portrait = (1 + ndc[:, ::-1]) / 2 * (width, height)
        camera_from_world = np.linalg.inv(session.world_from_camera[i])
        seen = world @ camera_from_world[:3, :3].T + camera_from_world[:3, 3]
        np.testing.assert_allclose(session.camera_at(i).project(seen), portrait, atol=1e-3)


def test_a_landscape_video_keeps_the_landscape_camera(tmp_path):
    write_recording(tmp_path, [ar_frame(TYPES, poses(1)[0], 1.0)])
    write_video(tmp_path / "video.mp4", [np.zeros((144, 192, 3), np.uint8)])
    session = open_session(tmp_path)
    assert (session.camera.width, session.camera.height) == (192, 144)
    ahead = session.world_from_camera[0, :3, 2]
    np.testing.assert_allclose(ahead, -poses(1)[0][:3, 2], atol=1e-6)


def test_a_turned_video_turns_picture_and_camera_alike(tmp_path):
    raster = np.zeros((144, 192, 3), np.uint8)
    raster[:72, :96] = 255
    write_recording(tmp_path, [ar_frame(TYPES, poses(1)[0], 1.0)])
    write_video(tmp_path / "video.mp4", [raster], clockwise_degrees=90)
    session = open_session(tmp_path)
    rgb = session.pictures.read(0)
    assert rgb.shape == (192, 144, 3)
    assert rgb[20, 120].min() > 200
    assert rgb[20, 20].max() < 50
    camera, k = session.camera, K / 10
    assert (camera.fx, camera.cx) == pytest.approx((k[1, 1], 144 - k[1, 2]))


def test_points_keep_their_latest_place_and_frames_their_own(tmp_path):
    frames = [ar_frame(TYPES, poses(3)[i], 1.0 + i, points=3 - i) for i in range(3)]
    write_recording(tmp_path, frames)
    session = open_session(tmp_path)
    assert session.points.ids.tolist() == [2**60, 2**60 + 1, 2**60 + 2]
    assert session.points_world_m[:, 1].tolist() == [3.0, 2.0, 1.0]
    assert len(session.load_frame_points(1).ids) == 2


def test_a_plane_lies_where_its_anchor_says(tmp_path):
    frame = ar_frame(TYPES, poses(1)[0], 1.0)
    anchor = frame.plane_anchor.add(identifier="floor", alignment=1)
    world_from_anchor = np.eye(4)
    world_from_anchor[:3, :3] = Rotation.from_euler("y", 90, degrees=True).as_matrix()
    world_from_anchor[:3, 3] = [1, -0.5, 2]
    anchor.transform.extend(world_from_anchor.ravel())
    anchor.center.x, anchor.extent.x, anchor.extent.z = 0.25, 2.0, 1.0
    wall = frame.plane_anchor.add(identifier="wall", alignment=2)
    wall.transform.extend(np.eye(4).ravel())
    for x, z in ((0, 0), (1, 0), (0, 1)):
        wall.geometry.boundary_vertices.add(x=x, y=0, z=z)
    write_recording(tmp_path, [frame])
    floor, wall = open_session(tmp_path).planes
    # A quarter turn about +y takes +x to -z.
    np.testing.assert_allclose(floor.centre_world_m, [1, -0.5, 1.75], atol=1e-6)
    np.testing.assert_allclose(floor.normal_world, [0, 1, 0], atol=1e-6)
    np.testing.assert_allclose(np.ptp(floor.boundary_world_m, axis=0), [1, 0, 2], atol=1e-6)
    assert (floor.alignment, wall.alignment, len(wall.boundary_world_m)) == (
        "horizontal",
        "vertical",
        3,
    )


def test_adjusted_cameras_find_their_video_frames_by_time(tmp_path):
    all_frames = [ar_frame(TYPES, poses(6)[i], 5 + i / 30) for i in range(6)]
    write_recording(tmp_path, all_frames)
    adjusted = write_recording(tmp_path, [all_frames[1], all_frames[4]], "sfm_arframe.pbdata")
    pictures = [np.full((192, 144, 3), 40 * i, np.uint8) for i in range(6)]
    write_video(tmp_path / "video.mp4", pictures)
    session = open_session(adjusted)
    assert session.format == "objectron-sfm"
    assert session.pictures.read(1).mean() == pytest.approx(160, abs=6)
    assert session.pictures.read(0).mean() == pytest.approx(40, abs=6)


def test_parsing_costs_at_most_50_microseconds_a_frame(tmp_path):
    frames = [ar_frame(TYPES, poses(1)[0], float(i), points=400) for i in range(1, 271)]
    file = write_recording(tmp_path, frames)
    assert 10_000 < file.stat().st_size / 270 < 16_000
    costs = []
    for _ in range(5):
        start = time.process_time()
        read_cameras(file)
        costs.append((time.process_time() - start) / 270)
    assert min(costs) < 50e-6


def damaged(name: str, data: bytes) -> bytes:
    length = struct.unpack("<I", data[:4])[0]
    return {
        "truncated": data[: len(data) - 7],
        "a length that lies": struct.pack("<I", 2**31) + data[4:],
        "a length too short": struct.pack("<I", length - 3) + data[4:],
        "a lonely byte": data + b"\x01",
        "no bytes": b"",
        "an empty frame": bytes(4),
        "text": b"this is no recording at all, but it is long enough to be one",
    }[name]


@pytest.mark.parametrize(
    "name",
    [
        "truncated", "a length that lies", "a length too short", "a lonely byte", "no bytes",
        "an empty frame", "text",
    ],
)  # fmt: skip
def test_a_damaged_file_is_named_in_one_line(tmp_path, name):
    frames = [ar_frame(TYPES, pose, float(i)) for i, pose in enumerate(poses(3))]
    file = write_recording(tmp_path, frames)
    file.write_bytes(damaged(name, file.read_bytes()))
    with pytest.raises(ViewfinderError, match="pbdata") as caught:
        open_session(tmp_path)
    assert "\n" not in str(caught.value)
    assert name == "no bytes" or "frame" in str(caught.value)


def nan_pose(frame) -> None:
    frame.camera.transform[3] = float("nan")


def short_pose(frame) -> None:
    del frame.camera.transform[15:]


def nan_focal(frame) -> None:
    frame.camera.intrinsics[0] = float("nan")


def no_camera(frame) -> None:
    frame.ClearField("camera")


def earlier(frame) -> None:
    frame.timestamp = -1


def scaled(frame) -> None:
    frame.camera.transform[0] = 3


def huge(frame) -> None:
    frame.camera.image_resolution_width = -5


@pytest.mark.parametrize(
    ("damage", "field"),
    [
        (nan_pose, "pose 2"),
        (short_pose, r"frame 2, camera.transform.*expected 16"),
        (nan_focal, r"frame 2, camera.intrinsics"),
        (no_camera, "frame 2.*no camera"),
        (earlier, "pose 2.*backwards"),
        (scaled, "pose 2"),
        (huge, "frame 2"),
    ],
)
def test_a_wrong_field_is_named_with_its_frame(tmp_path, damage, field):
    frames = [ar_frame(TYPES, pose, float(i)) for i, pose in enumerate(poses(3))]
    damage(frames[1])
    write_recording(tmp_path, frames)
    with pytest.raises(ViewfinderError, match=field):
        open_session(tmp_path)


@given(st.binary(max_size=400))
@settings(max_examples=300, deadline=None)
def test_any_bytes_are_read_or_refused(tmp_path_factory, data):
    file = tmp_path_factory.getbasetemp() / "any" / "geometry.pbdata"
    file.parent.mkdir(exist_ok=True)
    framed = struct.pack("<I", len(data)) + data
    for content in (data, framed):
        file.write_bytes(content)
        with pytest.raises(ViewfinderError):
            read_cameras(file)


@given(st.data())
@settings(max_examples=150, deadline=None)
def test_a_flipped_byte_never_escapes_as_another_error(tmp_path_factory, data):
    file = tmp_path_factory.getbasetemp() / "flip" / "geometry.pbdata"
    file.parent.mkdir(exist_ok=True)
    write_recording(file.parent, [ar_frame(TYPES, poses(1)[0], 1.0, points=2)])
    content = bytearray(file.read_bytes())
    content[data.draw(st.integers(0, len(content) - 1))] ^= data.draw(st.integers(1, 255))
    file.write_bytes(content)
    with suppress(ViewfinderError):
        open_session(file).info()


@given(st.lists(st.integers(-(2**63), 2**63 - 1), max_size=20))
def test_varints_come_back(numbers):
    joined = b"".join(map(encoded_varint, numbers))
    assert integers([(2, joined)]).tolist() == numbers


def test_an_endless_number_is_refused():
    with pytest.raises(WireError):
        list(fields(b"\x08" + b"\xff" * 30))
