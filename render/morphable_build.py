"""What a head model's file says, checked and brought into our axes and units.

Every reader hands over a `Raw`; what is wrong with a file that was cut, mixed up or made up shows
here, once for all of them, as one clear line.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray

from render.morphable import MorphableModel
from runtime.errors import ViewfinderError

Floats = NDArray[np.float64]

MOST_VERTICES, MOST_TRIANGLES, MOST_MODES = 200_000, 400_000, 600
HEIGHT_M = (0.12, 0.6)
"""A face without its forehead is no lower, a head with its neck no higher."""

SPREAD_M = (0.0004, 0.02)
"""Root mean square over vertices of how far people differ: about 3 mm with Basel's models."""

_UNIT_LENGTH_TOLERANCE = 0.02
_LEAST_LENGTH = 0.1  # directions that were cut to a smaller mask are shorter than 1
_MIDDLE = 0.25  # the nose's distance from the middle, in widths


@dataclass(frozen=True)
class Modes:
    """Directions of variation: basis (3V, K), standard_deviations (K,), and what the file calls
    them."""

    basis: NDArray[np.floating]
    standard_deviations: Floats
    field: str
    of_unit_length: bool = True


@dataclass(frozen=True)
class Raw:
    """A head as a file has it.

    Attributes:
        name, licence: as in `MorphableModel`.
        metres: length of the file's unit.
        mean: (3V,) x to the subject's left, y up, z forward, point after point.
        triangles: (F, 3), 0-based.
        identity, expression, colour: directions; None where there are none.
        expression_mean: (3V,).
        colour_mean: (3V,) sRGB 0..1.
        landmarks: name -> (3,) in the file's unit and axes.
        expression_names: of expressions with names.
    """

    name: str
    licence: str
    metres: float
    mean: NDArray[np.floating]
    triangles: NDArray[np.integer]
    identity: Modes
    expression: Modes | None = None
    expression_mean: NDArray[np.floating] | None = None
    colour_mean: NDArray[np.floating] | None = None
    colour: Modes | None = None
    landmarks: Mapping[str, Floats] = field(default_factory=dict)
    expression_names: tuple[str, ...] = ()


def built(raw: Raw) -> MorphableModel:
    """The model in our axes and units.

    Raises:
        ViewfinderError: sizes don't agree, numbers that are none, other units, variances for
            standard deviations, triangles that are none.
    """
    mean = _points(raw.mean, raw.metres)
    count = len(mean)
    _check_extent(mean)
    triangles = _triangles(raw.triangles, count)
    identity = _modes(raw.identity, count, raw.metres)
    spread = float(np.sqrt((identity.astype(np.float64) ** 2).sum(axis=(0, 2)).mean()))
    if not SPREAD_M[0] <= spread <= SPREAD_M[1]:
        raise ViewfinderError(
            "people differ by an impossible amount: variances and standard deviations mixed up?",
            field=raw.identity.field,
            expected=f"{1e3 * SPREAD_M[0]:g} to {1e3 * SPREAD_M[1]:g} mm",
            found=f"{1e3 * spread:.3g} mm",
        )
    nothing = np.zeros((0, count, 3), dtype=np.float32)
    expression = nothing if raw.expression is None else _modes(raw.expression, count, raw.metres)
    moved = np.zeros(3 * count) if raw.expression_mean is None else raw.expression_mean
    expression_mean = _points(moved, raw.metres)
    if np.abs(expression_mean).max() > 0.05:
        raise ViewfinderError(
            "the mean expression moves points too far", field="expression mean",
            expected="up to 50 mm", found=f"{1e3 * np.abs(expression_mean).max():.3g} mm",
        )  # fmt: skip
    return MorphableModel(
        name=raw.name,
        licence=raw.licence,
        triangles=_outward(mean, triangles),
        mean_m=mean,
        identity_m=identity,
        expression_mean_m=expression_mean,
        expression_m=expression,
        expression_names=raw.expression_names,
        colour=_colour(raw.colour_mean, count),
        colour_modes=nothing if raw.colour is None else _colour_modes(raw.colour, count),
        landmarks_m={k: _points(v, raw.metres)[0].astype(float) for k, v in raw.landmarks.items()},
    )


def _points(flat: ArrayLike, metres: float) -> NDArray[np.float32]:
    """(V, 3) in our axes of (3V,) in theirs."""
    p = np.asarray(flat, dtype=np.float64).reshape(-1, 3) * metres
    return np.stack([p[:, 0], -p[:, 2], p[:, 1]], axis=1).astype(np.float32)


def _modes(modes: Modes, count: int, metres: float) -> NDArray[np.float32]:
    _check_modes(modes, count)
    scaled = modes.basis.T.astype(np.float32) * modes.standard_deviations[:, None].astype(
        np.float32
    )
    p = scaled.reshape(len(scaled), count, 3) * np.float32(metres)
    return np.stack([p[..., 0], -p[..., 2], p[..., 1]], axis=-1)


def _colour_modes(modes: Modes, count: int) -> NDArray[np.float32]:
    _check_modes(modes, count)
    scaled = modes.basis.T * modes.standard_deviations[:, None]
    return scaled.reshape(-1, count, 3).astype(np.float32)


def _check_modes(modes: Modes, count: int) -> None:
    rows, columns = modes.basis.shape
    if rows != 3 * count or not 1 <= columns <= MOST_MODES:
        raise ViewfinderError(
            "directions that don't fit the mesh", field=modes.field,
            expected=f"{3 * count} rows, 1 to {MOST_MODES} columns", found=f"{rows} x {columns}",
        )  # fmt: skip
    if modes.standard_deviations.shape != (columns,):
        raise ViewfinderError(
            "not one standard deviation for each direction", field=modes.field,
            expected=columns, found=modes.standard_deviations.shape,
        )  # fmt: skip
    sigma = modes.standard_deviations
    if not (np.isfinite(sigma).all() and (sigma >= 0).all() and np.isfinite(modes.basis).all()):
        raise ViewfinderError("numbers that are none, or negative spreads", field=modes.field)
    if modes.of_unit_length:
        length = np.linalg.norm(modes.basis.astype(np.float64), axis=0)
        used = sigma > 1e-9 * sigma.max()
        worst = float(length[used].max()) if used.any() else 0.0
        if not _LEAST_LENGTH < worst < 1 + _UNIT_LENGTH_TOLERANCE:
            raise ViewfinderError(
                "directions aren't of unit length", field=modes.field, expected=1,
                found=f"{worst:.4g}",
            )  # fmt: skip


def _check_extent(mean: NDArray[np.float32]) -> None:
    if not np.isfinite(mean).all():
        raise ViewfinderError("numbers that are none", field="mean shape")
    low, high = HEIGHT_M
    height = float(np.ptp(mean[:, 2]))
    if not low <= height <= high:
        raise ViewfinderError(
            "a head of an impossible height: other units, or no shape at all?", field="mean shape",
            expected=f"{1e3 * low:g} to {1e3 * high:g} mm", found=f"{1e3 * height:.3g} mm",
        )  # fmt: skip
    nose = mean[mean[:, 1].argmin()]
    aside = abs(nose[0] - (mean[:, 0].min() + mean[:, 0].max()) / 2) / np.ptp(mean[:, 0])
    if aside > _MIDDLE:
        raise ViewfinderError(
            "the face doesn't look along +z", field="mean shape",
            expected="the foremost point in the middle", found=f"{aside:.0%} of the width aside",
        )  # fmt: skip


def _triangles(triangles: NDArray[np.integer], count: int) -> NDArray[np.int32]:
    if triangles.ndim != 2 or triangles.shape[1] != 3 or not 1 <= len(triangles) <= MOST_TRIANGLES:
        raise ViewfinderError(
            "no triangles", field="triangles", expected="three vertices each",
            found=triangles.shape,
        )  # fmt: skip
    low, high = int(triangles.min()), int(triangles.max())
    if low < 0 or high >= count:
        raise ViewfinderError(
            "triangles name vertices that aren't there", field="triangles",
            expected=f"0 to {count - 1}", found=f"{low} to {high}",
        )  # fmt: skip
    a, b, c = triangles.T
    flat = (a == b) | (b == c) | (c == a)
    if flat.mean() > 0.01 or len(np.unique(triangles)) < 0.9 * count:
        raise ViewfinderError("triangles that don't make a surface", field="triangles")
    return triangles[~flat].astype(np.int32)


def _outward(mean: NDArray[np.float32], triangles: NDArray[np.int32]) -> NDArray[np.int32]:
    """The triangles so wound that the front of the face looks forward."""
    a, b, c = (mean[triangles[:, k]] for k in range(3))
    across = np.cross(b - a, c - a)
    y = (a + b + c)[:, 1] / 3
    front = y < np.quantile(y, 0.4)
    return triangles[:, ::-1].copy() if across[front][:, 1].sum() > 0 else triangles


def _colour(mean: NDArray[np.floating] | None, count: int) -> NDArray[np.float32] | None:
    if mean is None:
        return None
    if mean.shape != (3 * count,) or not np.isfinite(mean).all():
        raise ViewfinderError(
            "colours that don't fit the mesh", field="mean colour", expected=3 * count,
            found=mean.shape,
        )  # fmt: skip
    if mean.min() < -0.1 or mean.max() > 1.1 or mean.max() < 0.02:
        raise ViewfinderError(
            "colours out of range", field="mean colour", expected="0 to 1",
            found=f"{mean.min():.3g} to {mean.max():.3g}",
        )  # fmt: skip
    return np.asarray(mean, dtype=np.float32).reshape(-1, 3)
