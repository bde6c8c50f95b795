"""PLY clouds beside frames."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from arsession.ply import read_ply_points
from arsession.readers import open_session
from runtime.errors import ViewfinderError
from tests.arsession import recordings

SHARED = Path(__file__).parents[2].parent / "shared" / "ar"
FORMATS = {"binary_little_endian": "<", "binary_big_endian": ">", "ascii": ""}


def write_ply(file: Path, form: str, points: np.ndarray) -> None:
    header = (
        f"ply\nformat {form} 1.0\ncomment one vertex a line\nelement vertex {len(points)}\n"
        "property uchar red\nproperty double x\nproperty double y\nproperty double z\n"
        "element face 1\nproperty list uchar int vertex_indices\nend_header\n"
    )
    if form == "ascii":
        rows = "".join(f"7 {x!r} {y!r} {z!r}\n" for x, y, z in points.tolist())
        body = (rows + "3 0 1 2\n").encode()
    else:
        table = np.zeros(len(points), [("red", "u1"), ("p", FORMATS[form] + "f8", 3)])
        table["p"] = points
        body = table.tobytes() + b"\x03" + bytes(12)
    file.write_bytes(header.encode() + body)


@pytest.mark.parametrize("form", FORMATS)
def test_vertices_come_back(tmp_path, form):
    points = np.random.default_rng(0).normal(size=(20, 3))
    write_ply(tmp_path / "a.ply", form, points)
    np.testing.assert_array_equal(read_ply_points(tmp_path / "a.ply").positions_world_m, points)


def test_a_scan_has_the_cloud_beside_it(tmp_path):
    recordings.scanner_app(tmp_path)
    write_ply(tmp_path / "points.ply", "ascii", recordings.POINTS)
    session = open_session(tmp_path)
    np.testing.assert_array_equal(session.points_world_m, recordings.POINTS)


@pytest.mark.parametrize("form", FORMATS)
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_damage_is_read_or_refused(tmp_path, form, data):
    file = tmp_path / "a.ply"
    write_ply(file, form, recordings.POINTS)
    content = bytearray(file.read_bytes())
    content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    if data.draw(st.booleans()):
        del content[data.draw(st.integers(0, len(content) - 1)) :]
    file.write_bytes(content)
    with suppress(ViewfinderError):
        read_ply_points(file)


def test_a_count_that_lies_takes_no_memory(tmp_path):
    file = tmp_path / "a.ply"
    write_ply(file, "binary_little_endian", recordings.POINTS)
    file.write_bytes(file.read_bytes().replace(b"vertex 4\n", b"vertex 4000000000\n"))
    with pytest.raises(ViewfinderError, match="number of vertices"):
        read_ply_points(file)


@pytest.mark.skipif(not SHARED.exists(), reason="real AR recordings (../shared/ar) aren't here")
def test_a_mesh_that_was_left_in_git_lfs_is_no_cloud():
    scene = SHARED / "stray_3d_annotation_tool" / "test" / "fixtures" / "dataset" / "scene"
    assert (scene / "integrated.ply").stat().st_size < 1000
    info = open_session(scene).info()
    assert (info["frames"], info["points"]) == (474, 0)
