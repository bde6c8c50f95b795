"""Metric depth of faces whose irises are known, as a calculator."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from runtime.graph.types import Picture
from runtime.iris import SMOOTHING, IrisDepth, guessed_focal_px, iris_depth
from runtime.results import Subject

FIRST = 468
"""The first of the irises' points in face478."""
IRISES = {"right": 0, "left": 5}
"""Where each iris's five points begin there."""


class MeasureDepth:
    """Adds each eye's distance to the subjects.

    Args:
        focal_px: of the camera, when the user knows it; otherwise each picture's own (from its
            EXIF), or a guess.
        iris_diameter_m: of people, or of the one who is looked at.
        static: every picture on its own, without smoothing over time.
    """

    def __init__(self, focal_px: float | None, iris_diameter_m: float, static: bool) -> None:
        self._given_px = focal_px
        self._diameter_m = iris_diameter_m
        self._static = static
        self._depths: dict[tuple[int, str], float] = {}

    def process(
        self, subjects: list[Subject], picture: Picture, focal_px: float | None
    ) -> list[Subject]:
        """The subjects with `iris` filled in."""
        size = (picture.shape[1], picture.shape[0])
        focal, source = self._focal(size[1], focal_px)
        depths: dict[tuple[int, str], float] = {}
        measured = []
        for subject in subjects:
            irises_px = subject.keypoints[FIRST:, :2] * np.array(size, dtype=np.float32)
            facts: dict[str, Any] = {"focal_px": round(focal, 3), "focal_source": source}
            for side, first in IRISES.items():
                found = iris_depth(irises_px[first : first + 5], focal, size, self._diameter_m)
                if found is not None:
                    smooth = self._smoothed(subject.id, side, found)
                    depths[subject.id, side] = smooth
                    facts |= _facts(side, found, smooth)
            measured.append(replace(subject, iris=facts))
        self._depths = {} if self._static else depths
        return measured

    def reset(self) -> None:
        """Forget all earlier depths."""
        self._depths = {}

    def _focal(self, height: int, of_picture: float | None) -> tuple[float, str]:
        if self._given_px is not None:
            return self._given_px, "given"
        if of_picture is not None:
            return of_picture, "exif"
        return guessed_focal_px(height), "guess"

    def _smoothed(self, subject_id: int, side: str, found: IrisDepth) -> float:
        last = self._depths.get((subject_id, side))
        if last is None:
            return found.depth_m
        return last + SMOOTHING * (found.depth_m - last)


def _facts(side: str, found: IrisDepth, depth_m: float) -> dict[str, float]:
    return {
        f"{side}_depth_m": round(depth_m, 5),
        f"{side}_depth_error_m": round(found.error_m * depth_m / found.depth_m, 5),
        f"{side}_diameter_px": round(found.diameter_px, 3),
    }
