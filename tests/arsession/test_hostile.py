"""Damaged and malicious recordings: one clear line each, in bounded time and memory."""

from __future__ import annotations

import json
import struct
import zipfile

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from arsession.readers import open_session
from runtime.errors import ViewfinderError
from tests.arsession import recordings

ALL = pytest.mark.parametrize("write", recordings.WRITERS, ids=lambda w: w.__name__)


def read_everything(path) -> None:
    session = open_session(path)
    session.info()
    for reader in (session.pictures, session.depths):
        if reader is not None:
            reader.read(len(session.timestamps_s) - 1)


def complaint(path) -> str:
    """What reading it says; anything but a ViewfinderError goes through."""
    try:
        read_everything(path)
    except ViewfinderError as error:
        return f"{error.file} {error}"
    return ""


@ALL
@settings(max_examples=35, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_a_damaged_file_is_one_line(tmp_path_factory, write, data):
    folder = tmp_path_factory.getbasetemp() / f"hostile_{write.__name__}"
    if not folder.exists():
        folder.mkdir()
        write(folder)
    scene = folder / "scan.r3d" if write is recordings.record3d else folder
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    victim = data.draw(st.sampled_from(files))
    whole = victim.read_bytes()
    content = bytearray(whole)
    how = data.draw(st.sampled_from(["cut", "flip", "replace", "empty"]))
    if how == "cut":
        del content[data.draw(st.integers(0, len(content) - 1)) :]
    elif how == "flip":
        content[data.draw(st.integers(0, len(content) - 1))] ^= data.draw(st.integers(1, 255))
    elif how == "replace":
        at = data.draw(st.integers(0, len(content) - 1))
        word = data.draw(st.sampled_from([b"nan", b"1e999", b"-1", b"null", b"{", b"\n", b"\xff"]))
        content[at : at + len(word)] = word
    else:
        content = bytearray()
    victim.write_bytes(content)
    try:
        line = complaint(scene)
    finally:
        victim.write_bytes(whole)
    assert "\n" not in line
    assert not line.startswith("None")


@ALL
def test_an_empty_pose_file_is_named(tmp_path, write):
    scene = write(tmp_path)
    names = ("*.csv", "*.r3d", "metadata", "corrected_cameras/*.json", "frame_*.json", "*.traj",
             "transforms*", "images.*", "groundtruth.txt", "*.log", "*_pose.txt")  # fmt: skip
    poses = next(path for name in names for path in sorted(tmp_path.rglob(name)))
    poses.write_bytes(b"")
    assert poses.name in complaint(scene.path)


@pytest.mark.parametrize("word", ["nan", "inf", "1e999", "x"])
@pytest.mark.parametrize(
    "write", [recordings.tum, recordings.stray_scanner, recordings.arkitscenes,
              recordings.arcore_logger],
)  # fmt: skip
def test_a_number_that_is_none_is_named_with_its_line(tmp_path, write, word):
    scene = write(tmp_path)
    names = ("groundtruth.txt", "odometry.csv", "*.traj", "ARCore*")
    file = next(path for name in names for path in sorted(tmp_path.rglob(name)))
    lines = file.read_text().splitlines()
    parts = lines[-1].split(" ")
    parts[4] = word + ("," if parts[4].endswith(",") else "")
    file.write_text("\n".join([*lines[:-1], " ".join(parts)]))
    line = complaint(scene.path)
    assert f"line {len(lines)}" in line
    assert file.name in line


@pytest.mark.parametrize("name", ["../../secret.png", "/etc/passwd", "a/../../b.png", "x\0y.png"])
@pytest.mark.parametrize("key", ["file_path", "depth_file_path"])
def test_paths_stay_in_their_folder(tmp_path, name, key):
    folder = tmp_path / "in"
    scene = recordings.transforms_json(folder)
    file = folder / "transforms.json"
    stored = json.loads(file.read_text())
    stored["frames"][1][key] = name
    file.write_text(json.dumps(stored))
    line = complaint(scene.path)
    assert "leads out" in line
    assert "frame 2" in line


def test_a_link_out_of_the_folder_is_not_followed(tmp_path):
    folder = tmp_path / "in"
    scene = recordings.transforms_json(folder)
    picture = next((folder / "images").iterdir())
    outside = tmp_path / "outside.png"
    picture.rename(outside)
    picture.symlink_to(outside)
    assert "leads out" in complaint(scene.path)


def test_colmap_names_stay_in_their_folder(tmp_path):
    scene = recordings.colmap_text(tmp_path)
    file = tmp_path / "sparse" / "0" / "images.txt"
    file.write_text(file.read_text().replace("pic_9.jpg", "../../../pic.jpg"))
    assert "leads out" in complaint(scene.path)


def test_lengths_that_lie_are_refused_before_memory_is_taken(tmp_path):
    recordings.colmap_binary(tmp_path)
    file = tmp_path / "sparse" / "0" / "images.bin"
    for lie in (2**63, 2**40, 10**6):
        data = bytearray(file.read_bytes())
        data[:8] = struct.pack("<Q", lie)
        file.write_bytes(data)
        assert "images.bin" in complaint(tmp_path)


@pytest.mark.parametrize("stated", [80 * 2**20, 1000])
def test_an_archive_that_unpacks_to_too_much_is_refused(tmp_path, stated):
    file = tmp_path / "bomb.r3d"
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        archive.writestr("metadata", bytes(80 * 2**20))
    data = bytearray(file.read_bytes())
    directory = data.rindex(b"PK\x01\x02")
    data[directory + 24 : directory + 28] = struct.pack("<I", stated)
    file.write_bytes(data)
    assert "bomb.r3d" in complaint(file)


@pytest.mark.parametrize("content", ["[" * 100_000, '{"frames": [[]]}', '{"frames": {}}', "3",
                                     '{"frames": [{"transform_matrix": "x"}]}',
                                     '{"frames": [{"transform_matrix": [[[[]]]]}]}'])  # fmt: skip
def test_json_of_another_shape_is_refused(tmp_path, content):
    (tmp_path / "transforms.json").write_text(content)
    assert "transforms.json" in complaint(tmp_path)


HUGE = 10**400


@pytest.mark.parametrize(
    ("key", "value", "told"),
    [
        ("transform_matrix", [[HUGE] * 4] * 4, "not the numbers"),
        ("transform_matrix", np.diag([1.0, 1, -1, 1]).tolist(), "a rotation"),
        ("transform_matrix", (np.eye(4) + 1e200 * np.eye(4, k=3)).tolist(), "out of this world"),
        ("file_path", "a" * 5000, "so long a name"),
        ("depth_file_path", "b/" * 2500 + "c", "so long a name"),
        ("file_path", "a\ud800.png", "leads out"),
    ],
)  # fmt: skip
def test_a_frame_that_cant_be_is_named_as_it_stands_in_the_file(tmp_path, key, value, told):
    scene = recordings.transforms_json(tmp_path)
    file = tmp_path / "transforms.json"
    stored = json.loads(file.read_text())
    stored["frames"][2][key] = value
    file.write_text(json.dumps(stored))
    line = complaint(scene.path)
    assert told in line
    assert "frame 3" in line or "pose 3" in line
    assert len(line) < 400 + len(str(tmp_path)) * 2


def test_two_images_of_one_name_are_refused(tmp_path):
    recordings.colmap_binary(tmp_path)
    file = tmp_path / "sparse" / "0" / "images.bin"
    data = file.read_bytes()
    (count,) = struct.unpack_from("<Q", data)
    file.write_bytes(struct.pack("<Q", 2 * count) + data[8:] * 2)
    assert f"image {count + 1}]: two images have one name" in complaint(tmp_path)
    broken = bytearray(data)
    struct.pack_into("<d", broken, 12, 0.0)
    file.write_bytes(broken)
    assert "image 1]: an image has no such camera, or no pose" in complaint(tmp_path)


def test_a_giant_line_is_refused(tmp_path):
    (tmp_path / "groundtruth.txt").write_text("1 " * 3_000_000)
    assert "line 1" in complaint(tmp_path)


def test_a_giant_file_is_refused_unread(tmp_path):
    for name in ("groundtruth.txt", "transforms.json", "geometry.pbdata"):
        file = tmp_path / name
        with file.open("wb") as sparse:
            sparse.truncate(2**33)
        assert "too large" in complaint(file)
        file.unlink()


def test_frames_out_of_order_are_named(tmp_path):
    for write in (recordings.tum, recordings.arkitscenes, recordings.arcore_logger):
        folder = tmp_path / write.__name__
        folder.mkdir()
        scene = write(folder)
        names = ("groundtruth.txt", "*.traj", "ARCore*")
        file = next(path for name in names for path in sorted(folder.rglob(name)))
        lines = file.read_text().splitlines()
        lines[-1], lines[-2] = lines[-2], lines[-1]
        file.write_text("\n".join(lines) + "\n")
        assert "time runs backwards" in complaint(scene.path)


def test_a_picture_that_changes_its_size_is_named(tmp_path):
    scene = recordings.polycam(tmp_path)
    last = sorted((tmp_path / "keyframes" / "corrected_images").iterdir())[-1]
    last.write_bytes(recordings.cv2.imencode(".jpg", np.zeros((10, 20, 3), np.uint8))[1].tobytes())
    assert "another size" in complaint(scene.path)


def test_intrinsics_of_another_picture_are_noticed(tmp_path):
    scene = recordings.record3d(tmp_path)
    with zipfile.ZipFile(scene.path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    metadata = json.loads(members["metadata"]) | {"w": 100, "h": 400}
    with zipfile.ZipFile(scene.path, "w") as archive:
        for name, data in (members | {"metadata": json.dumps(metadata).encode()}).items():
            archive.writestr(name, data)
    assert "another shape" in complaint(scene.path)


def test_a_video_shorter_than_its_poses_is_noticed(tmp_path):
    scene = recordings.stray_scanner(tmp_path)
    odometry = tmp_path / "odometry.csv"
    lines = odometry.read_text().splitlines()
    extra = lines[-1].replace(lines[-1].split(",")[0], "1009.0").replace(" 000003,", " 000090,")
    odometry.write_text("\n".join([*lines, extra]) + "\n")
    assert "shorter" in complaint(scene.path)
