"""Cameras of turned pictures: a phone held upright films a turned raster.

Phones store what the sensor sees, in landscape, and note how the picture is turned when shown. Its
intrinsics and pose describe the sensor. Here both follow the picture.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from arsession.session import Session
from runtime.camera import Camera
from runtime.errors import ViewfinderError

Array = NDArray[np.float64]

CAMERA_FROM_TURNED: Array = np.array(
    [[0.0, 1.0, 0.0, 0.0], [-1.0, 0.0, 0.0, 0.0], [0.0, 0.0, 1.0, 0.0], [0.0, 0.0, 0.0, 1.0]]
)
"""Camera axes of a picture, from those of the same picture turned a quarter clockwise: what was
right is now down (x = y'), and what was up is now right (y = -x')."""

_ASPECT_TOLERANCE = 0.01


def turn_camera(camera: Camera, quarter_turns: int) -> Camera:
    """Intrinsics of the picture turned clockwise.

    Args:
        camera: of the picture as it is.
        quarter_turns: any whole number; -1 undoes 1.
    """
    for _ in range(quarter_turns % 4):
        k1, k2, p1, p2, k3 = (*camera.distortion, 0.0, 0.0, 0.0, 0.0, 0.0)[:5]
        camera = Camera(
            fx=camera.fy,
            fy=camera.fx,
            cx=camera.height - camera.cy,
            cy=camera.cx,
            width=camera.height,
            height=camera.width,
            distortion=(k1, k2, p2, -p1, k3) if camera.distortion else (),
        )
    return camera


def fit_to_pictures(session: Session) -> Session:
    """The session with camera and poses of the pictures as they are shown.

    Args:
        session: its camera and poses describe the stored raster.

    Raises:
        ViewfinderError: the pictures have another shape than the intrinsics.
    """
    pictures = session.pictures
    if pictures is None:
        return session
    turns = pictures.quarter_turns % 4
    world_from_camera = session.world_from_camera @ np.linalg.matrix_power(
        CAMERA_FROM_TURNED, turns
    )
    cameras = tuple(turn_camera(camera, turns) for camera in session.cameras)
    width, height = pictures.size
    for camera in cameras[:1]:
        if abs(camera.width * height / (camera.height * width) - 1) > _ASPECT_TOLERANCE:
            raise ViewfinderError(
                "the pictures have another shape than the camera",
                file=session.path,
                field="frame 1",
                expected=f"{camera.width} x {camera.height}",
                found=f"{width} x {height}",
            )
    return replace(
        session,
        world_from_camera=world_from_camera,
        cameras=tuple(camera.scaled(width, height) for camera in cameras),
    )
