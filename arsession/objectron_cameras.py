"""Cameras in Objectron's messages: ARFrame and FrameAnnotation hold the same ARCamera.

Field numbers from google-research-datasets/Objectron, schema/a_r_capture_metadata.proto.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from arsession.boundary import checked_camera
from arsession.protobuf_wire import BYTES, FIXED32, WireError, double_of, fields
from runtime.camera import Camera
from runtime.errors import ViewfinderError

Array = NDArray[np.float64]

_STATE, _TRANSFORM, _WIDTH, _HEIGHT, _INTRINSICS = 1, 3, 5, 6, 7


class CameraFrame(NamedTuple):
    """What one message says of its camera, not yet checked."""

    timestamp_s: float
    state: int
    width: int
    height: int
    transform: bytes
    intrinsics: bytes


@dataclass(frozen=True)
class CameraTrack:
    """All cameras of a pbdata file.

    Attributes:
        timestamps_s: (F,) the recorder's clock.
        world_from_arkit: (F, 4, 4).
        intrinsics_px: (F, 4) fx, fy, cx, cy in the landscape picture.
        sizes: (F, 2) its width and height.
        states: (F,) ARCamera.TrackingState.
        offsets: (F,) byte at which each frame's length stands.
    """

    timestamps_s: Array
    world_from_arkit: Array
    intrinsics_px: Array
    sizes: NDArray[np.int64]
    states: NDArray[np.int64]
    offsets: NDArray[np.int64]

    @property
    def landscape(self) -> bool:
        """Whether the intrinsics are of pictures wider than high, as ARKit's are."""
        return bool(self.sizes[0][0] > self.sizes[0][1])

    def cameras(self, pbdata: Path) -> tuple[Camera, ...]:
        """The intrinsics as cameras.

        Raises:
            ViewfinderError: numbers that no camera has.
        """
        return tuple(
            checked_camera(row, tuple(size), pbdata, f"frame {index}, camera.intrinsics")
            for index, (row, size) in enumerate(zip(self.intrinsics_px, self.sizes), 1)
        )


def camera_frame(message: memoryview | bytes, timestamp: int, camera: int) -> CameraFrame:
    """The camera of a message.

    Args:
        message: an ARFrame or FrameAnnotation.
        timestamp, camera: numbers of its fields.

    Raises:
        WireError: it has no camera, or is no such message.
    """
    time_s, held = float("nan"), None
    for number, kind, value in fields(message):
        if number == camera and kind == BYTES:
            held = value
        elif number == timestamp:
            time_s = double_of(value)
    if held is None or isinstance(held, int):
        raise WireError("no camera")
    numbers = {_STATE: 0, _WIDTH: 0, _HEIGHT: 0}
    transform = intrinsics = b""
    for number, kind, value in fields(held):
        if isinstance(value, int):
            if number in numbers:
                numbers[number] = value
        elif kind in (BYTES, FIXED32):
            if number == _TRANSFORM:
                transform += bytes(value)
            elif number == _INTRINSICS:
                intrinsics += bytes(value)
    for number in (_WIDTH, _HEIGHT):
        if numbers[number] >= 2**31:
            raise WireError(f"a picture of {numbers[number]} pixels a side")
    return CameraFrame(
        time_s, numbers[_STATE] & 3, numbers[_WIDTH], numbers[_HEIGHT], transform, intrinsics
    )


def camera_track(found: Sequence[CameraFrame], offsets: Sequence[int], pbdata: Path) -> CameraTrack:
    """The cameras of all messages as arrays.

    Raises:
        ViewfinderError: not as many numbers as belong to a matrix, or pictures of several sizes;
            names file, frame and field.
    """
    for index, frame in enumerate(found):
        for name, data, count in (
            ("transform", frame.transform, 16),
            ("intrinsics", frame.intrinsics, 9),
        ):
            if len(data) != 4 * count:
                raise ViewfinderError(
                    "not as many numbers as belong here",
                    file=pbdata,
                    field=f"frame {index + 1}, camera.{name}",
                    expected=count,
                    found=len(data) / 4,
                )
    transforms = np.frombuffer(b"".join(f.transform for f in found), "<f4").astype(np.float64)
    matrices = np.frombuffer(b"".join(f.intrinsics for f in found), "<f4").astype(np.float64)
    track = CameraTrack(
        np.array([f.timestamp_s for f in found]),
        transforms.reshape(-1, 4, 4),
        matrices.reshape(-1, 9)[:, [0, 4, 2, 5]],
        np.array([(f.width, f.height) for f in found]),
        np.array([f.state for f in found]),
        np.array(offsets),
    )
    same = (track.sizes == track.sizes[0]).all(axis=1)
    if not same.all():
        index = int(np.argmin(same))
        raise ViewfinderError(
            "the picture changes its size",
            file=pbdata,
            field=f"frame {index + 1}, camera.image_resolution",
            found=f"{track.sizes[index]}",
        )
    return track
