"""A box with what its fit says: how sure it is in every frame, and which frame would tell more."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from arsession.cuboid_evidence import PlacedBox, PlaneSnap
from arsession.cuboid_file import Cuboid
from arsession.cuboid_fit import Fit
from arsession.propagate import NextFrame, Propagated, next_frames, propagate
from arsession.views import Views

Array = NDArray[np.float64]

_APART = 0.05
"""Of the recording: so far from frames with clicks is what is suggested; what a fit can't know of,
a tracker's drift, is much the same nearby."""


@dataclass(frozen=True)
class Fitted:
    """A box and what is known of it.

    Attributes:
        cuboid: its clicks, and the fitted box.
        box: where it is.
        fit: what the fit says; None for a box without clicks.
        plane: what it stands on, None for nothing.
        views: the cameras it is seen by.
    """

    cuboid: Cuboid
    box: PlacedBox
    fit: Fit | None
    plane: PlaneSnap | None
    views: Views

    @cached_property
    def seen(self) -> Propagated:
        """The box in every frame, with the errors to be expected."""
        covariance = None if self.fit is None else self.fit.covariance
        return propagate(self.box, self.views, covariance)

    @cached_property
    def frame_errors_px(self) -> Array:
        """(F,) expected error of the keypoints in each frame, root mean square; NaN where the box
        isn't in the picture."""
        expected = self.seen.expected_px
        there = np.isfinite(expected).any(axis=1) & self.seen.seen
        mean = np.full(len(expected), np.nan)
        mean[there] = np.sqrt(np.nanmean(expected[there] ** 2, axis=1))
        return mean

    @cached_property
    def suggested(self) -> list[NextFrame]:
        """The frames to annotate next, the one that tells most first, away from those that have
        clicks; none for a box that was given."""
        if self.fit is None:
            return []
        done = np.array([click.frame for click in self.cuboid.clicks])
        apart = max(1.0, _APART * len(self.views))
        left = next_frames(self.fit, self.views)
        return [one for one in left if np.abs(done - one.frame).min() >= apart]
