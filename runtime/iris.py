"""How far away an eye is, from how large its iris looks.

The iris of every adult measures 11.7 +- 0.5 mm across (MediaPipe's iris talk; its code takes 11.8).
Seen through a pinhole of focal length f pixels, an iris whose centre lies c pixels from the
picture's middle and measures d pixels is at D * sqrt(f^2 + c^2) / d: the distance along the ray,
which is what MediaPipe's iris_to_depth_calculator gives. d is the mean of the vertical and the
horizontal diameter.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

IRIS_SPREAD_M = 0.0005
"""Standard deviation of iris diameters over people."""
SMOOTHING = 0.1
"""Weight of the newest depth while an eye is followed (MediaPipe's)."""
GUESSED_VERTICAL_VIEW_RAD = math.radians(63)
"""Of a camera nobody knows: MediaPipe's face geometry takes a vertical field of view of 63 deg."""


@dataclass(frozen=True)
class IrisDepth:
    """An eye's distance.

    Attributes:
        depth_m: from the camera to the iris.
        error_m: one standard deviation of it, from the spread of irises over people and from how
            much the two measured diameters differ. A wrong focal length isn't in it.
        diameter_px: mean of the vertical and the horizontal diameter.
    """

    depth_m: float
    error_m: float
    diameter_px: float


def guessed_focal_px(height: int) -> float:
    """The focal length of a camera nobody knows, for pictures of that height in pixels."""
    return height / 2 / math.tan(GUESSED_VERTICAL_VIEW_RAD / 2)


def iris_depth(
    iris_px: ArrayLike, focal_px: float, image_size: tuple[int, int], iris_diameter_m: float
) -> IrisDepth | None:
    """How far an iris is away.

    Args:
        iris_px: (5, 2|3) its centre and its right-most, upper, left-most and lower point in pixels.
        focal_px: of the camera.
        image_size: width and height; the picture's middle is where the camera looks.
        iris_diameter_m: of the person, or of people.

    Returns:
        None for an iris without size.
    """
    centre, *ring = np.asarray(iris_px, dtype=np.float64)[:, :2].tolist()
    across, upright = math.dist(ring[0], ring[2]), math.dist(ring[1], ring[3])
    diameter = (across + upright) / 2
    if not (diameter > 0 and math.isfinite(diameter)):
        return None
    x, y = centre[0] - image_size[0] / 2, centre[1] - image_size[1] / 2
    depth = iris_diameter_m * math.sqrt(focal_px**2 + x**2 + y**2) / diameter
    spread = math.hypot(IRIS_SPREAD_M / iris_diameter_m, (across - upright) / 2 / diameter)
    return IrisDepth(depth, depth * spread, diameter)
