"""The same recording as older and newer versions of an app, or other tools, write it."""

from __future__ import annotations

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
