"""Ground truth of one hand in a rendered picture, be it all that is shown or a person's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bootstrap.dataset import Label
from bootstrap.dataset.hand_frames import PALM_KEYPOINTS
from render.labels import box_of_mask, box_of_points, silhouette, visibility
from runtime.camera import Camera
from runtime.topology import topology

TOPOLOGY = "hand21@1"

LEAST_SHARE, LEAST_SEEN = 0.04, 4
"""A second hand has a label when its box takes this share of the picture's width and so many of
its keypoints are seen; "unlabelled_hands" of a sample counts the others."""

# A keypoint counts as seen when the skin before it is no farther than the hand is thick there, seen
# at a slant, with this much to spare.
_SLANT, _SPARE_M = 1.35, 0.002


@dataclass(frozen=True)
class SeenHand:
    """What a picture says of a hand.

    Attributes:
        camera_m: (21, 3) its keypoints in the camera's axes.
        thickness_m: (21,) from each of them to the skin (`HandModel.thickness`).
        handedness: left or right.
        own: (21, H, W) whether a pixel shows what a keypoint belongs to.
        in_hand: (H, W) whether a pixel shows the hand.
    """

    camera_m: NDArray[np.float64]
    thickness_m: NDArray[np.float64]
    handedness: str
    own: NDArray[np.bool_]
    in_hand: NDArray[np.bool_]


def hand_label(
    name: str,
    subject: int,
    hand: SeenHand,
    camera: Camera,
    depth_m: NDArray[np.floating],
    source: str,
    attributes: Mapping[str, Any],
    gesture: str | None = None,
) -> Label:
    """The label of a hand.

    Args:
        name: of the sample.
        subject: number of the hand in it.
        hand: what is seen of it.
        camera: of the picture.
        depth_m: (H, W) along the optical axis, inf where there is nothing.
        source: who says so.
        attributes: of the label.
        gesture: name of what the hand makes.
    """
    layout = topology(TOPOLOGY)
    pixels = camera.project(hand.camera_m)
    inside = _SLANT * hand.thickness_m + _SPARE_M
    box = box_of_mask(hand.in_hand)
    contours = {
        key: pixels[list(contour.indices)].astype(np.float32)
        for key, contour in layout.contours.items()
        if np.isfinite(pixels[list(contour.indices)]).all()  # the camera may be in a body's arms
    }
    outline = silhouette(hand.in_hand)
    if outline is not None:
        contours["silhouette"] = outline
    return Label(
        sample_id=name,
        subject_id=subject,
        topology=layout.id,
        keypoints_px=pixels.astype(np.float32),
        keypoints_camera_m=hand.camera_m.astype(np.float32),
        visibility=visibility(hand.camera_m, camera, depth_m, inside, hand.own),
        contours=contours,
        box_px=box_of_points(pixels) if box is None else box,
        detector_keypoints_px=pixels[list(PALM_KEYPOINTS)].astype(np.float32),
        handedness=hand.handedness,
        gesture=gesture,
        attributes=dict(attributes),
        source=source,
    )


def counts(label: Label, size: int) -> bool:
    """Whether a hand is seen well enough in a picture of that width to be labelled."""
    assert label.box_px is not None
    assert label.visibility is not None
    large = float(max(label.box_px[2:])) >= LEAST_SHARE * size
    return large and int((label.visibility == 2).sum()) >= LEAST_SEEN
