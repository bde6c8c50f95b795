"""The same recording as older and newer versions of an app, or other tools, write it."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import numpy as np
import pytest

from arsession.mp4_edits import hidden_pictures
from arsession.readers import open_session
from arsession.session import Session
from runtime.errors import ViewfinderError
from tests.arsession import recordings
from tests.arsession.recordings import CX, CY, FX, FY, HEIGHT, POINTS, WIDTH, phones
from tests.arsession.videos import write_video

STRAY = "timestamp, frame, x, y, z, qx, qy, qz, qw"


def agrees(session: Session, points: np.ndarray = POINTS) -> None:
    assert len(session.timestamps_s) == len(phones())
    for i, phone in enumerate(phones()):
        camera = session.camera_at(i)
        assert camera is not None
        camera_from_world = np.linalg.inv(session.world_from_camera[i])
        seen = camera.project(points @ camera_from_world[:3, :3].T + camera_from_world[:3, 3])
        np.testing.assert_allclose(seen, phone.sees(POINTS), atol=1e-3)


def rewrite_odometry(folder: Path, header: str, row) -> None:
    file = folder / "odometry.csv"
    rows = [row(line) for line in file.read_text().splitlines()[1:]]
    file.write_text("\n".join([header] * bool(header) + rows) + "\n")


def without_time(line: str) -> str:
    return ", ".join(line.split(", ")[2:])


@pytest.mark.parametrize(
    ("header", "row"),
    [
        (
            STRAY + ", fx, fy, cx, cy, distortion_center_x, distortion_center_y",
            lambda line: f"{line}, {FX}, {FY}, {CX}, {CY}, , ",
        ),
        (STRAY.replace(" ", ""), lambda line: line.replace(" ", "")),
        ("\ufeff" + STRAY, str),
        ("x, y, z, qx, qy, qz, qw", without_time),
        ("", without_time),
    ],
    ids=["today", "no spaces", "byte order mark", "no time", "no header"],
)
def test_every_odometry_of_stray_scanner_is_read(tmp_path, header, row):
    recordings.stray_scanner(tmp_path)
    rewrite_odometry(tmp_path, header, row)
    session = open_session(tmp_path)
    agrees(session)
    assert session.timed == ("timestamp" in header)
    assert session.pictures.has(3)


def test_an_empty_column_that_counts_is_named(tmp_path):
    recordings.stray_scanner(tmp_path)
    rewrite_odometry(tmp_path, STRAY, lambda line: line.rsplit(",", 1)[0] + ", ")
    with pytest.raises(ViewfinderError, match=r"odometry.csv \[line 2\]: bad line"):
        open_session(tmp_path)


def hide_first(video: Path, frames: int) -> None:
    """Playing begins one picture later: the times in `elst` (ISO/IEC 14496-12) are moved."""
    data = bytearray(video.read_bytes())
    edit, media = data.index(b"elst"), data.index(b"mdhd")
    (length,) = struct.unpack_from(">I", data, media + 20)
    plays, begins = struct.unpack_from(">Ii", data, edit + 12)
    later = (plays - plays // frames, begins + length // frames)
    struct.pack_into(">Ii", data, edit + 12, *later)
    video.write_bytes(data)


@pytest.mark.parametrize("how", ["hidden", "cut", "whole"])
def test_stray_scanners_first_picture_is_hidden_and_the_others_keep_their_poses(tmp_path, how):
    recordings.stray_scanner(tmp_path)
    video = tmp_path / "rgb.mp4"
    greys = [np.full((HEIGHT, WIDTH, 3), 60 * i, np.uint8) for i in range(len(phones()))]
    write_video(video, greys[1:] if how == "cut" else greys)
    assert hidden_pictures(video) == 0
    if how == "hidden":
        hide_first(video, len(greys))
        assert hidden_pictures(video) == 1
    pictures = open_session(tmp_path).pictures
    for i in (2, 1, 3):
        assert abs(pictures.read(i).mean() - 60 * i) < 6
    assert pictures.has(0) == (how == "whole")
    if how == "whole":
        assert pictures.read(0).mean() < 6
    else:
        with pytest.raises(ViewfinderError, match="no picture"):
            pictures.read(0)


@pytest.mark.parametrize("cut", range(0, 60, 7))
def test_a_damaged_header_hides_nothing(tmp_path, cut):
    video = tmp_path / "a.mp4"
    write_video(video, [np.zeros((48, 64, 3), np.uint8)] * 3)
    data = bytearray(video.read_bytes())
    at = data.index(b"moov") - 4 + 14 * cut
    data[at : at + 8] = b"\xff" * 8
    video.write_bytes(data)
    assert hidden_pictures(video) in (0, 3)  # a time beyond all pictures is no damage
    video.write_bytes(data[: at + 9])
    assert hidden_pictures(video) == 0


def rewrite(file: Path, change) -> None:
    stored = json.loads(file.read_text())
    change(stored)
    file.write_text(json.dumps(stored))


def per_frame(*names: str):
    def change(stored: dict) -> None:
        for name in names:
            right = stored[name]
            stored[name] = 3.0  # a frame's own number goes first
            for frame in stored["frames"]:
                frame[name] = right

    return change


def as_angles(stored: dict) -> None:
    for axis, side in (("x", WIDTH), ("y", HEIGHT)):
        stored[f"camera_angle_{axis}"] = 2 * np.arctan(side / 2 / stored.pop(f"fl_{axis}"))
    del stored["w"], stored["h"]


def with_backslashes(stored: dict) -> None:
    for frame in stored["frames"]:
        frame["file_path"] = frame["file_path"].replace("/", "\\")


@pytest.mark.parametrize(
    "change",
    [
        per_frame("fl_x", "fl_y", "cx", "cy"),
        per_frame("cx"),
        as_angles,
        with_backslashes,
        lambda stored: stored.update(camera_model="perspective", applied_scale=2.0),
    ],
    ids=["cameras", "centres", "angles", "backslashes", "perspective"],
)
def test_every_way_to_write_transforms_is_read(tmp_path, change):
    recordings.transforms_json(tmp_path)
    for picture in (tmp_path / "images").iterdir():
        picture.rename(picture.with_suffix(".PNG"))
    rewrite(tmp_path / "transforms.json", change)
    session = open_session(tmp_path)
    agrees(session, recordings.z_up(POINTS))
    assert all(session.pictures.has(i) for i in range(len(phones())))


def test_transforms_of_the_training_pictures_go_before_those_of_the_test(tmp_path):
    recordings.transforms_json(tmp_path)
    train = (tmp_path / "transforms.json").rename(tmp_path / "transforms_train.json")
    (tmp_path / "transforms_test.json").write_text(train.read_text())
    rewrite(tmp_path / "transforms_test.json", lambda stored: stored["frames"].pop())
    assert len(open_session(tmp_path).timestamps_s) == len(phones())


def test_transforms_name_their_points(tmp_path):
    recordings.transforms_json(tmp_path)
    header = "ply\nformat ascii 1.0\nelement vertex 1\n" + "".join(
        f"property float {axis}\n" for axis in "xyz"
    )
    (tmp_path / "sparse_pc.ply").write_text(header + "end_header\n1 2 3\n")
    file = tmp_path / "transforms.json"
    rewrite(file, lambda stored: stored.update(ply_file_path="sparse_pc.ply"))
    assert open_session(tmp_path).points_world_m.tolist() == [[1, 2, 3]]
    rewrite(file, lambda stored: stored.update(ply_file_path="../sparse_pc.ply"))
    with pytest.raises(ViewfinderError, match="leads out"):
        open_session(tmp_path)


def test_record3ds_export_as_exr_and_jpg(tmp_path):
    recordings.record3d_folder(tmp_path)
    (tmp_path / "metadata").rename(tmp_path / "metadata.json")
    (tmp_path / "rgbd").rename(tmp_path / "rgb")
    session = open_session(tmp_path)
    agrees(session)
    assert session.pictures.read(3).shape == (HEIGHT, WIDTH, 3)


@pytest.mark.parametrize("place", ["colmap/sparse/0", "dense/sparse"])
def test_colmaps_models_in_other_folders(tmp_path, place):
    recordings.colmap_binary(tmp_path)
    sparse = tmp_path / place
    sparse.parent.mkdir(parents=True)
    (tmp_path / "sparse" / "0").rename(sparse)
    session = open_session(tmp_path)
    agrees(session)
    assert session.pictures.has(0)


@pytest.mark.parametrize("binary", [True, False])
def test_a_fisheye_of_colmap_is_named(tmp_path, binary):
    (recordings.colmap_binary if binary else recordings.colmap_text)(tmp_path)
    parameters = (FX, FY, CX, CY, 0.0, 0.0, 0.0, 0.0)
    if binary:
        data = struct.pack("<QIiQQ8d", 1, 7, 5, WIDTH, HEIGHT, *parameters)
        (tmp_path / "sparse/0/cameras.bin").write_bytes(data)
    else:
        line = f"7 OPENCV_FISHEYE {WIDTH} {HEIGHT} {' '.join(map(str, parameters))}\n"
        (tmp_path / "sparse/0/cameras.txt").write_text(line)
    with pytest.raises(ViewfinderError, match="found OPENCV_FISHEYE"):
        open_session(tmp_path)


def open3d_json(folder: Path) -> Path:
    """Column-major, world to camera; a pixel's centre is at whole numbers."""
    intrinsic = {
        "width": WIDTH,
        "height": HEIGHT,
        "intrinsic_matrix": [FX, 0, 0, 0, FY, 0, CX - 0.5, CY - 0.5, 1],
    }
    cameras = [
        {
            "class_name": "PinholeCameraParameters",
            "extrinsic": recordings.inverse(recordings.opencv(phone)).T.ravel().tolist(),
            "intrinsic": intrinsic,
        }
        for phone in phones()
    ]
    file = folder / "camera_trajectory.json"
    file.write_text(json.dumps({"class_name": "PinholeCameraTrajectory", "parameters": cameras}))
    return file


def test_open3ds_cameras_as_json(tmp_path):
    file = open3d_json(tmp_path)
    for path in (tmp_path, file):
        agrees(open_session(path))
    rewrite(file, lambda stored: stored["parameters"][2]["extrinsic"].pop())
    with pytest.raises(ViewfinderError, match="frame 3, extrinsic"):
        open_session(file)


def test_what_macos_lays_beside_a_file_is_no_recording(tmp_path):
    recordings.record3d(tmp_path)
    (tmp_path / "._scan.r3d").write_bytes(b"\0\5\x16\7")
    agrees(open_session(tmp_path))


def test_trajectories_with_blank_lines_and_comments_further_in(tmp_path):
    recordings.tum(tmp_path)
    file = tmp_path / "groundtruth.txt"
    right = open_session(file).world_from_camera
    lines = file.read_text().splitlines()
    file.write_bytes("\r\n\r\n  # a comment\r\n".join(["\ufeff" + lines[0], *lines[1:]]).encode())
    np.testing.assert_array_equal(open_session(tmp_path).world_from_camera, right)
    file.write_text("\n".join(line.replace(" ", ", ") for line in lines if line[0] != "#"))
    np.testing.assert_array_equal(open_session(tmp_path).world_from_camera, right)
