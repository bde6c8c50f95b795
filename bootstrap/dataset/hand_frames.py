"""Coordinates of a labelled hand about its own wrist, and in units of its palm.

Labels hold keypoints in pixels and in the camera's metres; what networks often learn follows from
those two and is worked out here, in one place.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bootstrap.dataset.records import Label
from runtime.errors import ViewfinderError

WRIST, MIDDLE_KNUCKLE = 0, 9
PALM_KEYPOINTS = (0, 5, 9, 13, 17, 1, 2)
"""What MediaPipe's palm detector learns: wrist, four knuckles, the thumb's first two joints."""


def wrist_relative_m(label: Label) -> NDArray[np.float32]:
    """(21, 3) metres from the wrist, in the camera's axes (x right, y down, z ahead).

    Raises:
        ViewfinderError: the label isn't a hand's or has no positions in metres.
    """
    points = _metres(label)
    return np.asarray(points - points[WRIST], dtype=np.float32)


def palm_normalised_z(label: Label) -> NDArray[np.float32]:
    """(21,) depth behind the wrist in palm sizes (wrist to middle knuckle in space); negative
    nearer to the camera.

    Raises:
        ViewfinderError: as `wrist_relative_m`.
    """
    points = _metres(label)
    palm = float(np.linalg.norm(points[MIDDLE_KNUCKLE] - points[WRIST]))
    return np.asarray((points[:, 2] - points[WRIST, 2]) / palm, dtype=np.float32)


def palm_box_px(label: Label) -> NDArray[np.float32]:
    """(4,) x, y, width, height around the seven palm keypoints, in pixels.

    Raises:
        ViewfinderError: the label isn't a hand's.
    """
    if not label.topology.startswith("hand21") or label.keypoints_px is None:
        raise _no_hand(label, "keypoints_px")
    points = label.keypoints_px[list(PALM_KEYPOINTS)]
    low, high = points.min(axis=0), points.max(axis=0)
    return np.array([*low, *(high - low)], dtype=np.float32)


def _metres(label: Label) -> NDArray[np.float64]:
    if not label.topology.startswith("hand21") or label.keypoints_camera_m is None:
        raise _no_hand(label, "keypoints_camera_m")
    return label.keypoints_camera_m.astype(np.float64)


def _no_hand(label: Label, field: str) -> ViewfinderError:
    return ViewfinderError(
        f"sample {label.sample_id} has no hand with such points", field=field, expected="hand21@1",
        found=repr(label.topology),
    )  # fmt: skip
