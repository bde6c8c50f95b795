"""Smoothing over time: MediaPipe's low-pass and one-euro filters, whole arrays at once.

The one-euro filter (Casiez, Roussel, Vogel, CHI 2012) is a low-pass filter whose cutoff rises with
speed: steady where a point rests, quick where it moves. MediaPipe 0.10.14 filters every coordinate
on its own, in pixels, and measures speed in object sizes a second, so that a person far away is
smoothed like one nearby (low_pass_filter.cc, one_euro_filter.cc,
landmarks_smoothing_calculator.cc). The mixture of float32 and float64 is MediaPipe's, too: regions
come from smoothed points, and what differs in the last bit grows from frame to frame.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from runtime.errors import ViewfinderError

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]
_f32 = np.float32

MIN_OBJECT_SIZE = _f32(1e-6)
"""Pixels: of smaller objects nothing is smoothed (MediaPipe's min_allowed_object_scale)."""


@dataclass(frozen=True)
class OneEuroParameters:
    """How strongly to smooth.

    Attributes:
        min_cutoff_hz: of a resting point; lower is steadier.
        beta: by how much the cutoff rises with speed (Hz for each object size a second, or for
            each unit a second where speed isn't scaled); higher lags less.
        derivate_cutoff_hz: of the low-pass filter on the speed.
    Defaults are those of MediaPipe's body and face landmarks (pose_landmark_filtering, Tasks face
    landmarker).
    """

    min_cutoff_hz: float = 0.05
    beta: float = 80.0
    derivate_cutoff_hz: float = 1.0

    def __post_init__(self) -> None:
        """Raises ViewfinderError: a cutoff that isn't positive, a negative beta."""
        for field, least in (("min_cutoff_hz", 1e-6), ("beta", 0), ("derivate_cutoff_hz", 1e-6)):
            value = getattr(self, field)
            if not (math.isfinite(value) and value >= least):
                raise ViewfinderError(
                    "wrong smoothing", field=field, expected=f"at least {least:g}", found=value
                )


WORLD = OneEuroParameters(0.1, 40.0, 1.0)
"""MediaPipe's for landmarks in metres, whose speed isn't scaled (pose_landmark_filtering)."""
VISIBILITY_ALPHA = 0.1
"""Weight of the newest visibility (the same)."""


class LowPassFilter:
    """Exponential smoothing.

    Args:
        alpha: weight of the newest values, 0..1.
    """

    def __init__(self, alpha: float) -> None:
        self._alpha = np.array(alpha, dtype=np.float32)
        self._rest = 1.0 - self._alpha.astype(np.float64)
        self._last: Doubles | None = None

    def smoothed(self, values: Floats) -> Floats:
        """Float32 values of any one shape, weighed with all earlier ones; the first stay."""
        result = values.copy()
        if self._last is not None:
            result = _blended(self._alpha, self._rest, values, self._last)
        self._last = result.astype(np.float64)
        return result

    def reset(self) -> None:
        """Forget all earlier values."""
        self._last = None


class OneEuroFilter:
    """A one-euro filter on each value of an array.

    Args:
        parameters: for all values, or one for each row of (N, D) values.
    """

    def __init__(self, parameters: OneEuroParameters | Sequence[OneEuroParameters]) -> None:
        rows = [parameters] if isinstance(parameters, OneEuroParameters) else parameters
        # MediaPipe's options are float32, its filter computes in float64.
        self._min_cutoff, self._beta, self._derivate_cutoff = (
            np.array(column, dtype=np.float32).astype(np.float64)[:, None]
            for column in zip(
                *((row.min_cutoff_hz, row.beta, row.derivate_cutoff_hz) for row in rows)
            )
        )
        # When, and as float64 holding float32s: the values, their speeds, the smoothed values.
        self._last: tuple[int, Doubles, Doubles, Doubles] | None = None
        self._elapsed_us = 0

    def smoothed(
        self, values: Floats, timestamp_us: int, object_size: float | None = None
    ) -> Floats:
        """The values, smoothed.

        Args:
            values: (N, D) float32.
            timestamp_us: later than the last one; otherwise the values come back as they are.
            object_size: what a speed is large against, in the values' unit; None for their unit
                itself. Below `MIN_OBJECT_SIZE` the values come back as they are.
        """
        scale = 1.0
        if object_size is not None:
            size = _f32(object_size)
            if not size >= MIN_OBJECT_SIZE:
                return values.copy()
            scale = float(_f32(1) / size)
        new = values.astype(np.float64)
        if self._last is None:
            self._last = (timestamp_us, new, np.zeros_like(new), new)
            return values.copy()
        then_us, raw, speed, smooth = self._last
        elapsed_us = timestamp_us - then_us
        if elapsed_us <= 0:
            return values.copy()
        if elapsed_us != self._elapsed_us:
            self._elapsed_us = elapsed_us
            self._frequency = 1.0 / (elapsed_us * 1000 * 1e-9)
            alphas = _alphas(self._derivate_cutoff.copy(), self._frequency)
            self._speed_alphas, self._speed_rest = alphas, 1.0 - alphas.astype(np.float64)
        # Scaled by a scale and a frequency, one after the other: the order decides the last bit.
        change = new - raw
        change *= scale
        change *= self._frequency
        newest = change.astype(np.float32)
        speed = _blended(self._speed_alphas, self._speed_rest, newest, speed).astype(np.float64)
        cutoff = np.abs(speed)
        cutoff *= self._beta
        cutoff += self._min_cutoff
        alphas = _alphas(cutoff, self._frequency)
        result = _blended(alphas, 1.0 - alphas.astype(np.float64), values, smooth)
        self._last = (timestamp_us, new, speed, result.astype(np.float64))
        return result

    def reset(self) -> None:
        """Forget all earlier values."""
        self._last = None


class KeypointFilter:
    """One subject's keypoints through a one-euro filter in pixels.

    Args:
        parameters: for all keypoints, or one for each.
    """

    def __init__(self, parameters: OneEuroParameters | Sequence[OneEuroParameters]) -> None:
        self._filter = OneEuroFilter(parameters)

    def smoothed(
        self,
        keypoints: Floats,
        timestamp_us: int,
        image_size: tuple[int, int],
        object_size_px: float | None = None,
    ) -> Floats:
        """The keypoints, smoothed.

        Args:
            keypoints: (N, 2|3) float32 normalised by the image's width and height, z by its width.
            timestamp_us: later than the last one.
            image_size: width and height in pixels.
            object_size_px: the subject's size; None for the mean side of the keypoints' box.
        """
        width, height = image_size
        scale = np.array([width, height, width], dtype=np.float32)[: keypoints.shape[1]]
        points_px = keypoints * scale
        if object_size_px is None:
            sides = points_px[:, :2].max(axis=0) - points_px[:, :2].min(axis=0)
            object_size_px = (sides[0] + sides[1]) / _f32(2)
        return self._filter.smoothed(points_px, timestamp_us, object_size_px) / scale

    def reset(self) -> None:
        """Forget all earlier keypoints."""
        self._filter.reset()


def _blended(alphas: Floats, rest: Doubles, values: Floats, last: Doubles) -> Floats:
    # The first product is float32, the second and the sum float64.
    mixed = rest * last
    mixed += alphas * values
    return mixed.astype(np.float32)


def _alphas(cutoff_hz: Doubles, frequency_hz: float) -> Floats:
    """Weights of the newest values at those cutoffs, whose array is used up."""
    cutoff_hz *= 2 * math.pi
    np.divide(1.0, cutoff_hz, out=cutoff_hz)
    cutoff_hz /= 1.0 / frequency_hz
    cutoff_hz += 1.0
    np.divide(1.0, cutoff_hz, out=cutoff_hz)
    return cutoff_hz.astype(np.float32)
