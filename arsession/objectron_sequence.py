"""Objectron's Sequence message: which objects there are, and where each frame sees them.

Field numbers from google-research-datasets/Objectron, schema/annotation_data.proto and
object.proto.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from arsession.boundary import MOST_FRAMES, file_size
from arsession.objectron_cameras import CameraFrame, camera_frame
from arsession.protobuf_wire import FIXED32, Value, WireError, fields, floats
from runtime.errors import ViewfinderError

Array = NDArray[np.float64]

KEYPOINTS = 9
MOST_OBJECTS = 1000

# Sequence
_OBJECT, _FRAME = 1, 2
# Object
_ID, _CATEGORY = 1, 2
# FrameAnnotation
_FRAME_ID, _ANNOTATION, _CAMERA, _TIMESTAMP, _PLANE_CENTRE, _PLANE_NORMAL = 1, 2, 3, 4, 5, 6
# ObjectAnnotation
_OBJECT_ID, _KEYPOINT, _VISIBILITY = 1, 2, 3
# AnnotatedKeyPoint
_KEYPOINT_ID, _POINT_3D, _POINT_2D = 1, 2, 3


@dataclass(frozen=True)
class SeenBox:
    """A box in one frame.

    Attributes:
        object_id: of the sequence's objects.
        points_arkit_m: (9, 3) centre and corners in the landscape camera's axes, ARKit's.
        points_uv: (9, 2) the same in the portrait picture, over its size.
        visibility: 0 to 1; None where the file doesn't say.
    """

    object_id: int
    points_arkit_m: Array
    points_uv: Array
    visibility: float | None


@dataclass(frozen=True)
class FrameBoxes:
    """An annotated frame.

    Attributes:
        number: of the video's frame.
        camera: its camera, not yet checked.
        boxes: what it shows.
        plane_arkit: (3,) centre and (3,) normal of the plane below, in the same axes as the
            boxes; None where the file has none.
    """

    number: int
    camera: CameraFrame
    boxes: tuple[SeenBox, ...]
    plane_arkit: tuple[Array, Array] | None


@dataclass(frozen=True)
class Sequence:
    """A recording's annotation: object id -> category, and the frames in order."""

    categories: dict[int, str]
    frames: tuple[FrameBoxes, ...]


def read_sequence(file: Path, most_bytes: int) -> Sequence:
    """The annotation of one recording.

    Raises:
        ViewfinderError: a file that can't be read or breaks the format; names file, frame, field.
    """
    file_size(file, most_bytes)
    message = memoryview(file.read_bytes())
    categories: dict[int, str] = {}
    frames: dict[int, FrameBoxes] = {}
    where = "the sequence"
    try:
        for number, value in _messages(message):
            if number == _OBJECT:
                where = f"object {len(categories) + 1}"
                identity, category = _object(value)
                categories[identity] = category
            elif number == _FRAME:
                where = f"frame {len(frames) + 1}"
                frame = _frame(value)
                if frame.number in frames:
                    raise WireError(f"frame_id {frame.number} a second time")
                frames[frame.number] = frame
            if len(frames) > MOST_FRAMES or len(categories) > MOST_OBJECTS:
                raise WireError("more than any recording has")
    except WireError as error:
        raise ViewfinderError(
            "not an annotation of Objectron's", file=file, field=where, found=error
        ) from None
    if not frames:
        raise ViewfinderError("no annotated frame", file=file, field="frame_annotations")
    return Sequence(categories, tuple(frames[number] for number in sorted(frames)))


def _messages(message: memoryview | bytes) -> Iterator[tuple[int, memoryview | bytes]]:
    for number, _, value in fields(message):
        if not isinstance(value, int):
            yield number, value


def _object(message: memoryview | bytes) -> tuple[int, str]:
    identity, category = 0, ""
    for number, _, value in fields(message):
        if number == _ID and isinstance(value, int):
            identity = value
        elif number == _CATEGORY and not isinstance(value, int):
            category = bytes(value[:64]).decode("utf-8", "replace")
    return identity, category


def _frame(message: memoryview | bytes) -> FrameBoxes:
    frame_id, boxes = 0, []
    plane: dict[int, list[tuple[int, Value]]] = {_PLANE_CENTRE: [], _PLANE_NORMAL: []}
    for number, kind, value in fields(message):
        if number == _FRAME_ID and isinstance(value, int):
            frame_id = value
        elif number == _ANNOTATION and not isinstance(value, int):
            boxes.append(_seen(value))
        elif number in plane:
            plane[number].append((kind, value))
    if frame_id >= 2**31:
        raise WireError(f"frame_id {frame_id}")
    centre, normal = (floats(plane[n]).astype(np.float64) for n in (_PLANE_CENTRE, _PLANE_NORMAL))
    ground = None
    if len(centre) or len(normal):
        if len(centre) != 3 or len(normal) != 3:
            raise WireError(f"a plane of {len(centre)} and {len(normal)} numbers")
        if not np.isfinite([centre, normal]).all():
            raise WireError("a plane that isn't made of numbers")
        # Some recordings have none, and say so with zeros.
        ground = (centre, normal) if normal.any() else None
    camera = camera_frame(message, _TIMESTAMP, _CAMERA)
    return FrameBoxes(frame_id, camera, tuple(boxes), ground)


def _seen(message: memoryview | bytes) -> SeenBox:
    identity, visibility = 0, None
    points: dict[int, tuple[Array, Array]] = {}
    for number, kind, value in fields(message):
        if isinstance(value, int):
            identity = value if number == _OBJECT_ID else identity
        elif number == _KEYPOINT:
            which, here = _keypoint(value)
            points[which] = here
        elif number == _VISIBILITY and kind == FIXED32:
            visibility = float(struct.unpack("<f", value)[0])
    if sorted(points) != list(range(KEYPOINTS)):
        raise WireError(f"object_id {identity} has the keypoints {sorted(points)[:12]}, not 0 to 8")
    space = np.array([points[k][0] for k in range(KEYPOINTS)])
    flat = np.array([points[k][1][:2] for k in range(KEYPOINTS)])
    if not (np.isfinite(space).all() and np.isfinite(flat).all()):
        raise WireError(f"object_id {identity} has keypoints that aren't numbers")
    if visibility is not None and not 0 <= visibility <= 1:
        raise WireError(f"object_id {identity} has a visibility of {visibility:g}")
    return SeenBox(identity, space, flat, visibility)


def _keypoint(message: memoryview | bytes) -> tuple[int, tuple[Array, Array]]:
    which, space, flat = 0, np.zeros(3), np.zeros(3)
    for number, _, value in fields(message):
        if number == _KEYPOINT_ID and isinstance(value, int):
            which = value
        elif number == _POINT_3D and not isinstance(value, int):
            space = _vector(value)
        elif number == _POINT_2D and not isinstance(value, int):
            flat = _vector(value)
    return which, (space, flat)


def _vector(message: memoryview | bytes) -> Array:
    out = np.zeros(3)
    for number, kind, value in fields(message):
        if 1 <= number <= 3 and kind == FIXED32 and not isinstance(value, int):
            out[number - 1] = struct.unpack("<f", value)[0]
    return out
