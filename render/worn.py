"""What the makers of worn things know of a head."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Bearer:
    """A head that wears something, in the axes of its skull: metres, x to the subject's left, y
    backward, z up, the origin about between the eyes.

    Attributes:
        skin_m: (V, 3) skin with its expression: head, neck and as much of a body as there is.
        landmarks_m: (468, 3).
        eyes_m: (2, 3) centres of right and left eyeball.
        eye_radius_m: of both.
        ears_m: (2, 3) before the right and the left ear's opening.
    """

    skin_m: Floats
    landmarks_m: Floats
    eyes_m: Floats
    eye_radius_m: float
    ears_m: Floats

    @cached_property
    def scale(self) -> float:
        """Size against a grown-up's head, whose eyes are 63 mm apart."""
        return float(np.linalg.norm(self.eyes_m[1] - self.eyes_m[0])) / 0.063

    @cached_property
    def middle(self) -> Floats:
        """(3,) between the eyes."""
        return np.asarray(self.eyes_m.mean(axis=0))
