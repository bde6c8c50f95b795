"""Sessions and boxes written as Objectron recordings and annotations.

Field numbers and conventions as in `arsession.objectron`; from schema/object.proto and
annotation_data.proto besides: a box is `rotation (scale * keypoint) + translation` in the world,
keypoint 0 its centre and 1 to 8 its corners at half a unit, x slowest, z fastest. A frame's
`point_3d` is in the landscape camera's axes (ARKit's, z < 0 before the camera), `point_2d` in the
portrait picture, normalised, with the distance along the optical axis.

Pictures are portrait as Objectron's are: a landscape one is turned a quarter clockwise. The world
is turned to have +y up.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import cv2
import numpy as np
from numpy.typing import NDArray

from arsession.cuboid_evidence import PlacedBox
from arsession.objectron import GEOMETRY, VIDEO_NAMES
from arsession.pictures import VideoPictures
from arsession.protobuf_wire import (
    put_bytes,
    put_double,
    put_float,
    put_floats,
    put_integer,
)
from arsession.session import TRACKING_STATES, Plane, Points, Session, no_points
from arsession.turning import CAMERA_FROM_TURNED, turn_camera
from runtime.camera import OPENCV_FROM_OPENGL, Camera, transform_points
from runtime.durable import write_durably
from runtime.errors import ViewfinderError
from runtime.folders import writable_folder

Array = NDArray[np.float64]
Advance = Callable[[int, int], None]

ANNOTATION = "annotation.pbdata"
_NEAR_M, _FAR_M = 0.001, 1000.0
_BOUNDING_BOX = 1  # Object.Type
_BY_ANNOTATION = 1  # Object.Method
_ALIGNMENTS = {"horizontal": 1, "vertical": 2}


@dataclass(frozen=True)
class NamedBox:
    """A box to be written.

    Attributes:
        box: in the session's world.
        category: as "chair".
        visibility: (F,) 0 to 1, how much of it each frame sees; None for 1 where its centre lies
            before the camera, else 0.
        in_frames: where it is in each frame that has it, where frames don't agree or some don't
            have it; None for `box` in all.
    """

    box: PlacedBox
    category: str
    visibility: Array | None = None
    in_frames: Mapping[int, PlacedBox] | None = None


@dataclass(frozen=True)
class _Landscape:
    """A session as Objectron stores it: landscape cameras in a world with +y up."""

    frames: NDArray[np.int64]
    stored_from_world: Array
    world_from_arkit: Array
    cameras: tuple[Camera, ...]
    times_s: Array


def write_objectron(
    session: Session,
    folder: Path,
    boxes: Sequence[NamedBox] = (),
    advance: Advance = lambda done, total: None,
) -> None:
    """Write geometry.pbdata, the video where there are pictures, and annotation.pbdata for boxes.

    Args:
        session: with intrinsics and without distortion; frames without a picture are left out
            where others have one.
        folder: made where it isn't there; must hold no recording yet.
        boxes: what to annotate in every frame.
        advance: called with frames done and all frames.

    Raises:
        ViewfinderError: the session lacks what the format needs, or the folder can't be written.
    """
    stored = _landscape(session)
    writable_folder(folder)
    for name in (GEOMETRY, ANNOTATION, *VIDEO_NAMES):
        if (folder / name).exists():
            raise ViewfinderError("there is a recording already", file=folder / name)
    planes = [_plane_anchor(plane, stored.stored_from_world) for plane in session.planes]

    def geometry(file: BinaryIO) -> None:
        for row, frame in enumerate(stored.frames):
            points = _points_of(session, int(frame), row)
            message = _ar_frame(session, stored, row, planes, points)
            file.write(len(message).to_bytes(4, "little") + message)

    if session.pictures is not None:
        _write_video(session, stored, folder / VIDEO_NAMES[0], advance)
    if boxes:
        sequence = annotation_sequence(session, boxes)
        write_durably(folder / ANNOTATION, lambda file: _put(file, sequence))
    # Last, since it is what makes the folder a recording.
    write_durably(folder / GEOMETRY, geometry)


def annotation_sequence(session: Session, boxes: Sequence[NamedBox]) -> bytes:
    """One Sequence message with the boxes in every frame that `write_objectron` keeps."""
    stored = _landscape(session)
    objects = [
        put_bytes(1, _object(index, named, stored.stored_from_world))
        for index, named in enumerate(boxes)
    ]
    ground = next((p for p in session.planes if p.alignment == "horizontal"), None)
    frames = [
        put_bytes(2, _frame_annotation(session, stored, row, boxes, ground))
        for row in range(len(stored.frames))
    ]
    return b"".join(objects + frames)


def _put(file: BinaryIO, data: bytes) -> None:
    file.write(data)


def _landscape(session: Session) -> _Landscape:
    if session.camera is None:
        raise ViewfinderError(
            "the recording doesn't say what its camera was",
            file=session.path,
            expected="intrinsics",
        )
    if any(camera.distortion for camera in session.cameras):
        raise ViewfinderError(
            "Objectron has no lens distortion", file=session.path, hint="undistort it first"
        )
    count = len(session.timestamps_s)
    pictures = session.pictures
    frames = np.array([i for i in range(count) if pictures is None or pictures.has(i)])
    portrait = session.camera.width < session.camera.height
    turned_from_stored = CAMERA_FROM_TURNED if portrait else np.eye(4)
    stored_from_world = _y_up(session)
    # turned_from_stored's inverse undoes the quarter turn that a portrait picture has.
    poses = session.world_from_camera[frames] @ np.linalg.inv(turned_from_stored)
    cameras = tuple(
        turn_camera(camera, -1 if portrait else 0)
        for camera in (session.camera_at(int(frame)) for frame in frames)
        if camera is not None
    )
    return _Landscape(
        frames,
        stored_from_world,
        stored_from_world @ poses @ OPENCV_FROM_OPENGL,
        cameras,
        session.start_s + session.timestamps_s[frames],
    )


def _y_up(session: Session) -> Array:
    up = session.up_world
    out = np.eye(4)
    if up is None or up[1] == 1:
        return out
    if up[1] == -1:
        return np.diag([1.0, -1.0, -1.0, 1.0])
    # Keep x or y where the axis allows: the second row is up, the rest a right-handed frame.
    first = np.array([0.0, 1.0, 0.0]) if up[0] else np.array([1.0, 0.0, 0.0])
    out[:3, :3] = np.stack([first, up, np.cross(first, up)])
    return out


def _ar_camera(session: Session, stored: _Landscape, row: int) -> bytes:
    camera, pose = stored.cameras[row], stored.world_from_arkit[row]
    state = b""
    if session.tracking:
        word = session.tracking[int(stored.frames[row])]
        state = put_integer(1, TRACKING_STATES.index(word) + 1)
    return b"".join(
        (
            state,
            put_floats(3, pose),
            put_integer(5, camera.width),
            put_integer(6, camera.height),
            put_floats(7, camera.matrix),
            put_floats(8, projection_matrix(camera)),
            put_floats(9, np.linalg.inv(pose)),
        )
    )


def projection_matrix(camera: Camera) -> Array:
    """(4, 4) from ARKit's camera axes to clip space, OpenGL's: x and y from -1 to 1, y up."""
    width, height = camera.width, camera.height
    depth = _FAR_M - _NEAR_M
    return np.array(
        [
            [2 * camera.fx / width, 0, 1 - 2 * camera.cx / width, 0],
            [0, 2 * camera.fy / height, 2 * camera.cy / height - 1, 0],
            [0, 0, -(_FAR_M + _NEAR_M) / depth, -2 * _FAR_M * _NEAR_M / depth],
            [0, 0, -1, 0],
        ]
    )


def _ar_frame(
    session: Session, stored: _Landscape, row: int, planes: list[bytes], points: Points
) -> bytes:
    parts = [
        put_double(1, float(stored.times_s[row])),
        put_bytes(4, _ar_camera(session, stored, row)),
        *(put_bytes(7, plane) for plane in planes),
    ]
    if len(points.ids):
        places = transform_points(stored.stored_from_world, points.positions_world_m)
        cloud = [put_integer(1, len(points.ids))]
        cloud += [put_bytes(2, _vector(place)) for place in places]
        cloud += [put_integer(3, int(identifier)) for identifier in points.ids]
        parts.append(put_bytes(8, b"".join(cloud)))
    return b"".join(parts)


def _points_of(session: Session, frame: int, row: int) -> Points:
    if session.load_frame_points is not None:
        return session.load_frame_points(frame)
    # Who keeps one cloud for all frames gets it back from the first.
    return session.points if row == 0 else no_points()


def _vector(values: Array) -> bytes:
    return b"".join(put_float(number, float(value)) for number, value in enumerate(values, 1))


def _plane_anchor(plane: Plane, stored_from_world: Array) -> bytes:
    turn = stored_from_world[:3, :3]
    normal = turn @ plane.normal_world
    aside = np.cross(normal, np.eye(3)[np.argmin(np.abs(normal))])
    aside /= np.linalg.norm(aside)
    world_from_anchor = np.eye(4)
    world_from_anchor[:3, :3] = np.stack([aside, normal, np.cross(aside, normal)], axis=1)
    world_from_anchor[:3, 3] = transform_points(stored_from_world, plane.centre_world_m)
    outline = transform_points(
        np.linalg.inv(world_from_anchor) @ stored_from_world, plane.boundary_world_m
    )
    extent = 2 * np.abs(outline).max(axis=0) if len(outline) else np.zeros(3)
    vertices = b"".join(put_bytes(7, _vector(vertex)) for vertex in outline)
    return b"".join(
        (
            put_bytes(1, plane.identifier.encode()),
            put_floats(2, world_from_anchor),
            put_integer(3, _ALIGNMENTS.get(plane.alignment, 0)),
            put_bytes(4, vertices + put_integer(8, len(outline))),
            put_bytes(5, _vector(np.zeros(3))),
            put_bytes(6, _vector(np.array([extent[0], 0.0, extent[2]]))),
        )
    )


def _object(index: int, named: NamedBox, stored_from_world: Array) -> bytes:
    unit = PlacedBox(np.eye(3), np.zeros(3), np.ones(3)).points_world_m()
    return b"".join(
        (
            put_integer(1, index),
            put_bytes(2, named.category.encode()),
            put_integer(3, _BOUNDING_BOX),
            put_floats(4, stored_from_world[:3, :3] @ named.box.rotation),
            put_floats(5, transform_points(stored_from_world, named.box.centre_m)),
            put_floats(6, named.box.size_m),
            *(put_bytes(7, _vector(point)) for point in unit),
            put_integer(8, _BY_ANNOTATION),
        )
    )


def _frame_annotation(
    session: Session,
    stored: _Landscape,
    row: int,
    boxes: Sequence[NamedBox],
    ground: Plane | None,
) -> bytes:
    frame = int(stored.frames[row])
    arkit_from_world = np.linalg.inv(stored.world_from_arkit[row]) @ stored.stored_from_world
    parts = [put_integer(1, row)]
    for index, named in enumerate(boxes):
        box = named.box if named.in_frames is None else named.in_frames.get(frame)
        if box is None:
            continue
        points = transform_points(arkit_from_world, box.points_world_m())
        pixels = _portrait(points, stored.cameras[row])
        keypoints = [
            put_bytes(
                2,
                put_integer(1, number)
                + put_bytes(2, _vector(point))
                + put_bytes(3, _vector(np.array([*pixel, -point[2]]))),
            )
            for number, (point, pixel) in enumerate(zip(points, pixels))
        ]
        seen = float(points[0, 2] < 0)
        if named.visibility is not None:
            seen = float(named.visibility[frame])
        parts.append(put_bytes(2, put_integer(1, index) + b"".join(keypoints) + put_float(3, seen)))
    parts.append(put_bytes(3, _ar_camera(session, stored, row)))
    parts.append(put_double(4, float(stored.times_s[row])))
    if ground is not None:
        parts.append(put_floats(5, transform_points(arkit_from_world, ground.centre_world_m)))
        parts.append(put_floats(6, arkit_from_world[:3, :3] @ ground.normal_world))
    return b"".join(parts)


def _portrait(points: Array, camera: Camera) -> Array:
    # Written as the format states it: u from the landscape's y, v from its x; NaN behind.
    depth = np.where(points[:, 2] < 0, -points[:, 2], np.nan)
    across = (camera.fx * points[:, 0] / depth + camera.cx) / camera.width
    down = (camera.cy - camera.fy * points[:, 1] / depth) / camera.height
    return np.nan_to_num(np.stack([1 - down, across], axis=1), nan=-1.0)


def _write_video(session: Session, stored: _Landscape, target: Path, advance: Advance) -> None:
    pictures = session.pictures
    if isinstance(pictures, VideoPictures) and pictures.size[0] < pictures.size[1]:
        source = pictures.whole_file()
        if source is not None:
            with source.open("rb") as original:
                write_durably(target, lambda file: shutil.copyfileobj(original, file))
            advance(len(stored.frames), len(stored.frames))
            return
    duration = float(stored.times_s[-1] - stored.times_s[0])
    fps = (len(stored.times_s) - 1) / duration if duration > 0 else 30.0
    partial = target.with_name(f".{target.stem}.partial{target.suffix}")
    writer: cv2.VideoWriter | None = None
    try:
        for row, frame in enumerate(stored.frames):
            assert pictures is not None
            rgb = pictures.read(int(frame))
            if rgb.shape[1] > rgb.shape[0]:
                rgb = cv2.rotate(rgb, cv2.ROTATE_90_CLOCKWISE)
            if writer is None:
                size = (rgb.shape[1], rgb.shape[0])
                codec = cv2.VideoWriter.fourcc(*"mp4v")
                writer = cv2.VideoWriter(str(partial), cv2.CAP_FFMPEG, codec, fps, size)
                if not writer.isOpened():
                    raise ViewfinderError("this video can't be written", file=target)
            writer.write(cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR))
            advance(row + 1, len(stored.frames))
        if writer is not None:
            writer.release()
            partial.replace(target)
    finally:
        if writer is not None:
            writer.release()
        partial.unlink(missing_ok=True)
