"""Recordings written here by hand from the formats' descriptions, read back by the readers."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from arsession.readers import open_session
from runtime.camera import transform_points
from runtime.errors import ViewfinderError

SHARED = Path(__file__).parents[2].parent / "shared" / "ar"


def arkit_log(folder: Path, count: int = 4) -> Path:
    # The phone stands at (k, 1, 0) and is turned a quarter left about +y: ARKit's camera looks
    # along its -z, which is then world -x; its +y stays world up.
    turn = Rotation.from_euler("y", 90, degrees=True).as_matrix()
    lines = ["# Created at some time"]
    for k in range(count):
        pose = np.column_stack([turn, [k, 1.0, 0.0]])
        lines.append(f"{10**9 + k * 16_000_000} " + " ".join(f"{v:.6f}" for v in pose.ravel()))
    file = folder / "ARKit_camera_pose.txt"
    file.write_text("\n".join(lines) + "\n")
    (folder / "ARKit_point_cloud.txt").write_text("# c\n-0.4 -0.6 -1.2 235 110 143\n")
    return file


def arcore_log(folder: Path) -> Path:
    quat = Rotation.from_euler("y", 90, degrees=True).as_quat()
    rows = [
        f"{k * 50_000_000} " + " ".join(f"{v:.6f}" for v in (*quat, k, 1.0, 0.0)) for k in range(3)
    ]
    file = folder / "ARCore_sensor_pose.txt"
    file.write_text("# x\n" + "\n".join(rows) + "\n")
    return file


def open3d_log(folder: Path) -> Path:
    pose = np.eye(4)
    pose[:3, :3] = Rotation.from_euler("y", 90, degrees=True).as_matrix()
    block = "0 0 0\n" + "\n".join(" ".join(map(str, row)) for row in pose) + "\n"
    (folder / "trajectory.log").write_text(block * 2)
    k = [194.0, 0, 0, 0, 194.0, 0, 125.0, 96.0, 1]
    (folder / "camera_intrinsics.json").write_text(
        json.dumps({"intrinsic_matrix": k, "width": 256, "height": 192})
    )
    return folder / "trajectory.log"


@pytest.mark.parametrize("write", [arkit_log, arcore_log])
def test_a_quarter_turn_left_looks_along_minus_x(tmp_path, write):
    write(tmp_path)
    session = open_session(tmp_path)
    ahead = transform_points(session.world_from_camera[0], [0, 0, 1.0])
    np.testing.assert_allclose(ahead, [-1, 1, 0], atol=1e-5)
    below = transform_points(session.world_from_camera[0], [0, 1.0, 0])
    np.testing.assert_allclose(below, [0, 0, 0], atol=1e-5)


def test_an_open3d_log_already_has_opencv_axes(tmp_path):
    open3d_log(tmp_path)
    session = open_session(tmp_path)
    np.testing.assert_allclose(
        transform_points(session.world_from_camera[0], [0, 0, 1.0]), [1, 0, 0], atol=1e-12
    )
    assert (session.camera.fx, session.camera.cx, session.camera.cy) == (194.0, 125.0, 96.0)


def test_summary_of_a_recording(tmp_path):
    file = arkit_log(tmp_path)
    expected = {
        "format": "arkit-logger",
        "frames": 4,
        "duration_s": 0.048,
        "images": False,
        "points": 1,
    }
    for path in (tmp_path, file):
        info = open_session(path).info()
        assert expected.items() <= info.items()
        assert info["path_length_m"] == 3.0


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda text: text.replace("1.000000", "1.400000", 1), "rotation"),
        (lambda text: text[:-20], "line 5.*expected 13 numbers"),
        (lambda text: text.replace("1016000000", "900000000"), "time runs backwards"),
        (lambda text: "# nothing\n", "no poses"),
    ],
)
def test_a_broken_log_is_named_with_its_line(tmp_path, damage, message):
    file = arkit_log(tmp_path)
    file.write_text(damage(file.read_text()))
    with pytest.raises(ViewfinderError, match=message) as caught:
        open_session(tmp_path)
    assert "ARKit_camera_pose.txt" in str(caught.value)


def test_cli_prints_the_contracts_json_and_one_line_for_nothing_found(tmp_path):
    arcore_log(tmp_path)

    def session_info(path):
        return subprocess.run(
            [sys.executable, "-m", "viewfinder", "session", "info", str(path), "--json"],
            capture_output=True,
            text=True,
        )

    good = session_info(tmp_path)
    assert json.loads(good.stdout)["frames"] == 3
    empty = tmp_path / "empty"
    empty.mkdir()
    bad = session_info(empty)
    assert bad.returncode == 1
    assert bad.stderr.count("\n") == 1
    assert bad.stderr.startswith("error: ")


@pytest.mark.skipif(not SHARED.exists(), reason="real AR recordings (../shared/ar) aren't here")
def test_real_recordings_have_the_lengths_their_notes_state():
    arkit = open_session(SHARED / "arkit_data_logger")
    assert len(arkit.timestamps_s) == 2762
    assert arkit.duration_s == pytest.approx(46, abs=0.1)
    assert arkit.path_length_m() == pytest.approx(23.2, abs=0.05)
    assert len(arkit.points_world_m) == 14_644
    arcore = open_session(SHARED / "arcore_data_logger")
    assert (len(arcore.timestamps_s), len(arcore.points_world_m)) == (666, 5421)
