"""Objectron recordings: `geometry.pbdata` or `sfm_arframe.pbdata` beside `video.MOV`.

Facts from google-research-datasets/Objectron (schema/a_r_capture_metadata.proto, its notebooks and
README), field numbers below:

- A pbdata file repeats a little-endian uint32 length and one ARFrame message of that length.
- ARCamera.transform is camera-to-world in metres, row-major, the world's +y up. Camera axes are
  ARKit's in landscape: x right, y up, z backward. intrinsics is row-major, for that landscape.
- The videos are portrait: the landscape picture turned a quarter clockwise.
- sfm_arframe holds cameras after bundle adjustment, some frames left out; their timestamps say
  which video frames they are.
- A plane anchor's own y axis is its normal, its outline lies in its x and z (ARKit says so of
  ARPlaneAnchor).
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from arsession.boundary import MOST_FRAMES, check_rigid, file_size, since_start
from arsession.objectron_cameras import CameraFrame, CameraTrack, camera_frame, camera_track
from arsession.pictures import VideoPictures
from arsession.protobuf_wire import (
    FIXED32,
    VARINT,
    Value,
    WireError,
    fields,
    floats,
    integers,
)
from arsession.session import TRACKING_STATES, Plane, Points, Session
from arsession.turning import fit_to_pictures
from runtime.camera import OPENCV_FROM_OPENGL
from runtime.errors import ViewfinderError

Array = NDArray[np.float64]
Parsed = TypeVar("Parsed")

GEOMETRY, ADJUSTED = "geometry.pbdata", "sfm_arframe.pbdata"
VIDEO_NAMES = ("video.MOV", "video.mov", "video.mp4")
LARGEST_FILE_BYTES = 2**30
LARGEST_FRAME_BYTES = 2**26
_SAME_TIME_S = 1e-4

# ARFrame
_TIMESTAMP, _CAMERA, _PLANE_ANCHOR, _FEATURE_POINTS = 1, 4, 7, 8
# ARPlaneAnchor
_IDENTIFIER, _ANCHOR_TRANSFORM, _ALIGNMENT, _GEOMETRY, _CENTRE, _EXTENT = 1, 2, 3, 4, 5, 6
_ALIGNMENTS = {1: "horizontal", 2: "vertical"}
_BOUNDARY_VERTICES = 7  # of ARPlaneGeometry
_POINT, _POINT_ID = 2, 3  # of ARPointCloud
_POINT_BYTES = struct.Struct("<BfBfBf")  # x, y, z as fields 1 to 3, the way they are written
_POINT_KEYS = (0x0D, 0x15, 0x1D)


def read_objectron(pbdata: Path) -> Session:
    """The session in an Objectron folder.

    Args:
        pbdata: geometry.pbdata or sfm_arframe.pbdata; the video lies beside it.

    Raises:
        ViewfinderError: a file that breaks the format; names file, frame and field.
    """
    track = read_cameras(pbdata)
    times_s = since_start(track.timestamps_s, pbdata)
    check_rigid(track.world_from_arkit, pbdata)
    session = Session(
        format="objectron-sfm" if pbdata.name == ADJUSTED else "objectron",
        path=pbdata,
        timestamps_s=times_s,
        world_from_camera=track.world_from_arkit @ OPENCV_FROM_OPENGL,
        world_up="+y",
        cameras=track.cameras(pbdata),
        pictures=_video(pbdata, track),
        tracking=tuple(map(_state_name, track.states)) if track.states.any() else (),
        start_s=float(track.timestamps_s[0]),
        load_points=lambda: _all_points(pbdata),
        load_planes=lambda: _all_planes(pbdata),
        load_frame_points=lambda frame: _points_of_frame(pbdata, track.offsets, frame),
    )
    return fit_to_pictures(session)


def read_cameras(pbdata: Path) -> CameraTrack:
    """Every frame's camera; points, planes and motion are skipped, not parsed.

    Raises:
        ViewfinderError: truncated, a length that lies, a field that is missing or has the wrong
            number of values; names file, frame and field.
    """
    found: list[CameraFrame] = []
    offsets = [0]
    for index, message in enumerate(frame_messages(pbdata)):
        found.append(_parsed(pbdata, index, message, _camera_frame))
        offsets.append(offsets[-1] + 4 + len(message))
    return camera_track(found, offsets[:-1], pbdata)


def frame_messages(pbdata: Path, start: int = 0) -> Iterator[memoryview]:
    """Each ARFrame's bytes, one at a time.

    Args:
        pbdata: the file.
        start: byte at which the first frame's length stands.

    Raises:
        ViewfinderError: empty, too large, or a length that reaches past the file's end.
    """
    left = file_size(pbdata, LARGEST_FILE_BYTES) - start
    with pbdata.open("rb") as file:
        file.seek(start)
        for index in range(MOST_FRAMES):
            prefix = file.read(4)
            if not prefix:
                return
            left -= len(prefix)
            length = int.from_bytes(prefix, "little")
            message = b"" if length > min(left, LARGEST_FRAME_BYTES) else file.read(length)
            if len(prefix) < 4 or len(message) < max(length, 1):
                raise ViewfinderError(
                    "truncated, or a frame's length is wrong",
                    file=pbdata,
                    field=f"frame {index + 1}",
                    expected=f"{length:,} bytes" if len(prefix) == 4 else "a length of 4 bytes",
                    found=f"{left:,} bytes left",
                )
            left -= length
            yield memoryview(message)
    raise ViewfinderError("too many frames", file=pbdata, expected=f"at most {MOST_FRAMES:,}")


def _parsed(
    pbdata: Path, index: int, message: memoryview, parse: Callable[[memoryview], Parsed]
) -> Parsed:
    try:
        return parse(message)
    except WireError as error:
        raise ViewfinderError(
            "not an ARFrame message", file=pbdata, field=f"frame {index + 1}", found=error
        ) from None


def _camera_frame(message: memoryview) -> CameraFrame:
    return camera_frame(message, _TIMESTAMP, _CAMERA)


def _state_name(state: int) -> str:
    return TRACKING_STATES[max(0, int(state) - 1)]


def _video(pbdata: Path, track: CameraTrack) -> VideoPictures | None:
    video = find_video(pbdata.parent)
    if video is None:
        return None
    return upright_video(video, _video_frames(pbdata, track), track.landscape)


def find_video(folder: Path) -> Path | None:
    """The video of the recording in a folder, or None."""
    return next((folder / name for name in VIDEO_NAMES if (folder / name).is_file()), None)


def upright_video(video: Path, frames: NDArray[np.int64], landscape: bool) -> VideoPictures:
    """The pictures of an Objectron video.

    Args:
        video: the file.
        frames: its frame number for each frame of the recording, rising.
        landscape: whether the intrinsics are of a landscape picture.

    Raises:
        ViewfinderError: it can't be opened, or is too short.
    """
    pictures = VideoPictures(video, frames)
    if pictures.quarter_turns == 0 and pictures.size[0] < pictures.size[1] and landscape:
        pictures.quarter_turns = 1  # written turned, so that nothing is left to note
    return pictures


def _video_frames(pbdata: Path, track: CameraTrack) -> NDArray[np.int64]:
    whole = pbdata.with_name(GEOMETRY)
    if pbdata.name != ADJUSTED or not whole.is_file():
        return np.arange(len(track.timestamps_s))
    all_times = read_cameras(whole).timestamps_s
    frames = np.abs(all_times[None, :] - track.timestamps_s[:, None]).argmin(axis=1)
    off = np.abs(all_times[frames] - track.timestamps_s) > _SAME_TIME_S
    if off.any():
        raise ViewfinderError(
            f"a frame's time isn't in {GEOMETRY}",
            file=pbdata,
            field=f"frame {int(off.argmax()) + 1}, timestamp",
        )
    return frames


def _points_of_frame(pbdata: Path, offsets: NDArray[np.int64], frame: int) -> Points:
    message = next(frame_messages(pbdata, int(offsets[frame])), None)
    if message is None:
        raise ViewfinderError("this file has changed", file=pbdata, field=f"frame {frame + 1}")
    points: Points = _parsed(pbdata, frame, message, _points)
    return _finite(points, pbdata, frame)


def _all_points(pbdata: Path) -> Points:
    # The tracker moves a point as it learns more: the latest word counts.
    ids, positions = [], []
    for index, message in enumerate(frame_messages(pbdata)):
        points = _finite(_parsed(pbdata, index, message, _points), pbdata, index)
        ids.append(points.ids)
        positions.append(points.positions_world_m)
    newest_first = np.concatenate(ids)[::-1]
    unique, at = np.unique(newest_first, return_index=True)
    return Points(np.concatenate(positions)[::-1][at], unique)


def _finite(points: Points, pbdata: Path, index: int) -> Points:
    if not np.isfinite(points.positions_world_m).all():
        raise ViewfinderError(
            "a point isn't a number", file=pbdata, field=f"frame {index + 1}, raw_feature_points"
        )
    return points


def _points(message: memoryview) -> Points:
    positions: list[tuple[float, float, float]] = []
    identifiers: list[tuple[int, Value]] = []
    for number, _, cloud in fields(message):
        if number != _FEATURE_POINTS or isinstance(cloud, int):
            continue
        for inner, kind, value in fields(cloud):
            if inner == _POINT and not isinstance(value, int):
                positions.append(_vector(value))
            elif inner == _POINT_ID:
                identifiers.append((kind, value))
    ids = integers(identifiers)
    if len(ids) != len(positions):
        raise WireError(f"{len(positions)} points with {len(ids)} identifiers")
    return Points(np.array(positions, dtype=np.float64).reshape(-1, 3), ids)


def _vector(message: memoryview | bytes) -> tuple[float, float, float]:
    if len(message) == _POINT_BYTES.size:
        kx, x, ky, y, kz, z = _POINT_BYTES.unpack(message)
        if (kx, ky, kz) == _POINT_KEYS:
            return x, y, z
    out = [0.0, 0.0, 0.0]
    for number, kind, value in fields(message):
        if 1 <= number <= 3 and kind == FIXED32 and not isinstance(value, int):
            out[number - 1] = struct.unpack("<f", value)[0]
    return out[0], out[1], out[2]


def _all_planes(pbdata: Path) -> tuple[Plane, ...]:
    newest: dict[str, Plane] = {}
    for index, message in enumerate(frame_messages(pbdata)):
        for plane in _parsed(pbdata, index, message, _planes):
            numbers = (plane.centre_world_m, plane.normal_world, plane.boundary_world_m.ravel())
            if not np.isfinite(np.concatenate(numbers)).all():
                raise ViewfinderError(
                    "a plane isn't made of numbers",
                    file=pbdata,
                    field=f"frame {index + 1}, plane_anchor",
                )
            newest[plane.identifier] = plane
    return tuple(newest.values())


def _planes(message: memoryview) -> list[Plane]:
    return [
        _plane(value)
        for number, _, value in fields(message)
        if number == _PLANE_ANCHOR and not isinstance(value, int)
    ]


def _plane(message: memoryview | bytes) -> Plane:
    transform: list[tuple[int, Value]] = []
    boundary: list[tuple[float, float, float]] = []
    identifier, alignment = "", 0
    centre, extent = (0.0, 0.0, 0.0), (0.0, 0.0, 0.0)
    for number, kind, value in fields(message):
        if number == _ANCHOR_TRANSFORM:
            transform.append((kind, value))
        elif kind == VARINT:
            alignment = int(value) if number == _ALIGNMENT and isinstance(value, int) else alignment
        elif isinstance(value, int):
            continue
        elif number == _IDENTIFIER:
            identifier = bytes(value[:64]).decode("utf-8", "replace")
        elif number == _CENTRE:
            centre = _vector(value)
        elif number == _EXTENT:
            extent = _vector(value)
        elif number == _GEOMETRY:
            boundary += [
                _vector(vertex)
                for inner, _, vertex in fields(value)
                if inner == _BOUNDARY_VERTICES and not isinstance(vertex, int)
            ]
    matrix = floats(transform).astype(np.float64)
    if len(matrix) != 16:
        raise WireError(f"a plane anchor's transform of {len(matrix)} numbers")
    world_from_anchor = matrix.reshape(4, 4)
    if not boundary:
        half_x, half_z = extent[0] / 2, extent[2] / 2
        boundary = [
            (centre[0] + sx * half_x, centre[1], centre[2] + sz * half_z)
            for sx, sz in ((-1, -1), (1, -1), (1, 1), (-1, 1))
        ]
    normal = world_from_anchor[:3, 1] / max(float(np.linalg.norm(world_from_anchor[:3, 1])), 1e-12)
    if alignment == 1 and normal[1] < 0:
        normal = -normal
    rotation, origin = world_from_anchor[:3, :3], world_from_anchor[:3, 3]
    return Plane(
        identifier,
        np.array(centre) @ rotation.T + origin,
        normal,
        np.array(boundary) @ rotation.T + origin,
        _ALIGNMENTS.get(alignment, ""),
    )
