"""Smoothing of any solution's subjects, as a calculator."""

from __future__ import annotations

from dataclasses import replace

from runtime.graph.types import Picture
from runtime.results import Floats, Subject, bounding_box
from runtime.smoothing import (
    VISIBILITY_ALPHA,
    WORLD,
    KeypointFilter,
    LowPassFilter,
    OneEuroFilter,
    OneEuroParameters,
)


class SubjectFilter:
    """One subject's filters.

    Args:
        keypoints: of its keypoints in the picture.
        world: of its keypoints in metres.
    """

    def __init__(self, keypoints: OneEuroParameters, world: OneEuroParameters = WORLD) -> None:
        self._keypoints = KeypointFilter(keypoints)
        self._world = OneEuroFilter(world)
        self._visibility = LowPassFilter(VISIBILITY_ALPHA)

    def keypoints(
        self,
        keypoints: Floats,
        timestamp_us: int,
        image_size: tuple[int, int],
        object_size_px: float | None = None,
    ) -> Floats:
        """Smoothed keypoints, as `runtime.smoothing.KeypointFilter` has them."""
        return self._keypoints.smoothed(keypoints, timestamp_us, image_size, object_size_px)

    def world_m(self, world_m: Floats, timestamp_us: int) -> Floats:
        """Smoothed (N, 3) keypoints in metres."""
        return self._world.smoothed(world_m, timestamp_us)

    def visibility(self, visibility_score: Floats) -> Floats:
        """Smoothed (N,) visibilities."""
        return self._visibility.smoothed(visibility_score)


class Smooth:
    """Smooths subjects' keypoints, world keypoints and visibilities, each subject on its own.

    A subject that is missing from a frame starts anew when it comes back.

    Args:
        parameters: of the keypoints in the picture.
        world: of those in metres.
    """

    def __init__(self, parameters: OneEuroParameters, world: OneEuroParameters = WORLD) -> None:
        self._parameters = parameters
        self._world = world
        self._filters: dict[int, SubjectFilter] = {}

    def process(
        self, subjects: list[Subject], picture: Picture, timestamp_us: int
    ) -> list[Subject]:
        """The subjects, smoothed; detections without a topology, which nobody follows, as given."""
        size = (picture.shape[1], picture.shape[0])
        kept: dict[int, SubjectFilter] = {}
        smoothed = []
        for subject in subjects:
            if not subject.topology:
                smoothed.append(subject)
                continue
            filters = self._filters.get(subject.id)
            if filters is None:
                filters = SubjectFilter(self._parameters, self._world)
            kept[subject.id] = filters
            smoothed.append(_smoothed(subject, filters, timestamp_us, size))
        self._filters = kept
        return smoothed

    def reset(self) -> None:
        """Forget all earlier frames."""
        self._filters = {}


def _smoothed(
    subject: Subject, filters: SubjectFilter, timestamp_us: int, size: tuple[int, int]
) -> Subject:
    keypoints = filters.keypoints(subject.keypoints, timestamp_us, size)
    world, visibility = subject.world_m, subject.visibility_score
    return replace(
        subject,
        keypoints=keypoints,
        box=bounding_box(keypoints),
        world_m=None if world is None else filters.world_m(world, timestamp_us),
        visibility_score=None if visibility is None else filters.visibility(visibility),
    )
