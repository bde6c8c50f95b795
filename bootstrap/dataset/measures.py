"""What can be measured of labelled samples: size, place, occlusion, angles, light.

Data cards show how these spread; pure NumPy on labels, pictures only where light is asked for.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from bootstrap.dataset.records import Label

VISIBLE = 2
BLACK, WHITE = 2, 253
"""Of 255: darker and brighter than a camera still tells apart."""

_LUMINANCE = np.array([0.2126, 0.7152, 0.0722])  # of Rec. 709 primaries


def measures(label: Label, width: int, height: int) -> dict[str, float]:
    """What a subject's label says by itself.

    Args:
        label: of a subject.
        width, height: of its picture in pixels.

    Returns:
        Name -> value, what the label doesn't hold left out:
        "size %": longer side of the box, of the picture's longer side.
        "centre x %", "centre y %": of the box, of the picture's sides.
        "visible %": of the keypoints that are labelled, those that are visible.
        "outside %": of the keypoints, those outside the picture.
        "facing deg": of a hand, 0 where the palm is seen straight on, 180 where its back is.
        "turned deg": of a hand, wrist to middle finger from upright, clockwise.
        "yaw deg", "pitch deg", "roll deg": of a head, from its pose.
    """
    found: dict[str, float] = {}
    if label.box_px is not None:
        x, y, w, h = (float(value) for value in label.box_px)
        found["size %"] = 100 * max(w, h) / max(width, height)
        found["centre x %"] = 100 * (x + w / 2) / width
        found["centre y %"] = 100 * (y + h / 2) / height
    if label.visibility is not None and (label.visibility > 0).any():
        labelled = label.visibility > 0
        found["visible %"] = 100 * float((label.visibility[labelled] == VISIBLE).mean())
    if label.keypoints_px is not None and len(label.keypoints_px):
        inside = (label.keypoints_px >= 0) & (label.keypoints_px <= (width, height))
        found["outside %"] = 100 * float(1 - inside.all(axis=1).mean())
    if label.topology.startswith("hand21") and label.keypoints_camera_m is not None:
        found |= _hand_angles(label.keypoints_camera_m, label.handedness)
    pose = label.attributes.get("pose")
    if isinstance(pose, Mapping):
        for name in ("yaw", "pitch", "roll"):
            if isinstance(pose.get(f"{name}_rad"), int | float):
                found[f"{name} deg"] = math.degrees(pose[f"{name}_rad"])
    return found


def light(
    rgb: NDArray[np.uint8], label: Label | None, shown: NDArray[np.bool_] | None = None
) -> dict[str, float]:
    """How bright a picture is, in % of white as stored (sRGB).

    Args:
        rgb: (H, W, 3) uint8.
        label: of its subject; None for the picture alone.
        shown: (H, W) which pixels show subjects, if that is known.

    Returns:
        "light of the picture %", and "light of the subject %" inside its box; where its pixels are
        known, "black %" of them, up to `BLACK` of 255, and "burnt out %", from `WHITE` on.
    """
    grey = rgb.astype(np.float64) @ _LUMINANCE / 255
    found = {"light of the picture %": 100 * float(grey.mean())}
    if label is not None and label.box_px is not None:
        x, y, w, h = label.box_px
        inside = grey[max(0, int(y)) : max(0, int(y + h)), max(0, int(x)) : max(0, int(x + w))]
        if inside.size:
            found["light of the subject %"] = 100 * float(inside.mean())
    if shown is not None and shown.any():
        stored = 255 * grey[shown]
        found["black %"] = 100 * float((stored <= BLACK + 0.5).mean())
        found["burnt out %"] = 100 * float((stored >= WHITE - 0.5).mean())
    return found


def _hand_angles(keypoints_m: NDArray[np.float32], handedness: str | None) -> dict[str, float]:
    wrist, index, middle, pinky = (keypoints_m[k].astype(np.float64) for k in (0, 5, 9, 17))
    along = middle - wrist
    found = {"turned deg": math.degrees(math.atan2(along[0], -along[1]))}
    # Of a right hand, (wrist -> fingers) x (index -> pinky) points out of the palm.
    normal = np.cross(along, pinky - index)
    if handedness == "left":
        normal = -normal
    length = float(np.linalg.norm(normal) * np.linalg.norm(middle))
    if handedness in ("left", "right") and length > 0:
        found["facing deg"] = math.degrees(
            math.acos(float(np.clip(-normal @ middle / length, -1, 1)))
        )
    return found
