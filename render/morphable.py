"""Heads that a user brings: a mean shape and colour, and the directions in which they vary.

One interface for every such file (Basel 2009, 2017 and 2019, ICT-FaceKit, GNM Head): whatever reads
them (`render.morphable_files`) gives a `MorphableModel` in our own axes and units, and whatever
renders them sees nothing else. Anny's head, which is more than a sum of directions, has
`render.faces_head.HeadMesh`.

Axes are Anny's: metres, x to the subject's left, y backward (the face looks along -y), z up.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from runtime.errors import ViewfinderError

Floats = NDArray[np.float64]

FORMAT = 1
"""Raised whenever what is converted changes; older files in the cache are then left unused."""

LARGEST_SIGMA = 2.5
"""Coefficients beyond so many standard deviations aren't drawn: faces fall apart there."""


@dataclass(frozen=True)
class Coefficients:
    """One face: identity (K,), expression (E,) and colour (C,), in standard deviations (or in
    0..1 for expressions with names), and how much of the expression is there, 0 for none."""

    identity: Floats
    expression: Floats
    colour: Floats
    strength: float = 1.0


@dataclass(frozen=True, repr=False)
class MorphableModel:
    """A head model.

    Attributes:
        name: whose, which and how large.
        licence: what every picture of it carries on.
        triangles: (F, 3) vertices, counter-clockwise from outside.
        mean_m: (V, 3) the mean face without expression.
        identity_m: (K, V, 3) move of every vertex for one standard deviation of a mode.
        expression_mean_m: (V, 3) what the mean expression adds; it is no part of a neutral face.
        expression_m: (E, V, 3) as `identity_m`.
        expression_names: ARKit's name of each where they have names; () for statistical modes.
        colour: (V, 3) mean sRGB colour, 0..1; None for a model without colours.
        colour_modes: (C, V, 3).
        landmarks_m: places that the file itself names, (3,) each.
    """

    name: str
    licence: str
    triangles: NDArray[np.int32]
    mean_m: NDArray[np.float32]
    identity_m: NDArray[np.float32]
    expression_mean_m: NDArray[np.float32]
    expression_m: NDArray[np.float32]
    expression_names: tuple[str, ...]
    colour: NDArray[np.float32] | None
    colour_modes: NDArray[np.float32]
    landmarks_m: Mapping[str, Floats]

    def neutral(self) -> Coefficients:
        """The mean face."""
        sizes = (len(self.identity_m), len(self.expression_m), len(self.colour_modes))
        identity, expression, colour = (np.zeros(size) for size in sizes)
        return Coefficients(identity, expression, colour, 0.0)

    def draw(self, rng: np.random.Generator) -> Coefficients:
        """A random face of this model."""
        identity, expression, colour = (
            np.clip(rng.normal(size=len(modes)), -LARGEST_SIGMA, LARGEST_SIGMA)
            for modes in (self.identity_m, self.expression_m, self.colour_modes)
        )
        if self.expression_names:
            from render.faces_expression import draw_expression

            actions = draw_expression(rng)[1]
            expression = np.array([actions.get(name, 0.0) for name in self.expression_names])
            return Coefficients(identity, expression, colour)
        strength = 0.0 if rng.random() < 0.15 else float(rng.uniform(0.3, 1.0))
        return Coefficients(identity, expression, colour, strength)

    def vertices_m(self, face: Coefficients) -> Floats:
        """(V, 3) that face."""
        shape = self.mean_m.astype(np.float64)
        shape += _sum(face.identity, self.identity_m)
        if face.strength:
            moved = self.expression_mean_m + _sum(face.expression, self.expression_m)
            shape += face.strength * moved
        return shape

    def neutral_m(self, face: Coefficients) -> Floats:
        """(V, 3) the same person without expression."""
        return self.mean_m + _sum(face.identity, self.identity_m)

    def srgb(self, face: Coefficients) -> Floats | None:
        """(V, 3) colours 0..1, sRGB; None for a model without."""
        if self.colour is None:
            return None
        return np.clip(self.colour + _sum(face.colour, self.colour_modes), 0.0, 1.0)


def _sum(coefficients: Floats, modes: NDArray[np.float32]) -> Floats:
    count, vertices = modes.shape[:2]
    if not count:
        return np.zeros((vertices, 3))
    flat = coefficients.astype(np.float32) @ modes.reshape(count, -1)
    return flat.reshape(vertices, 3).astype(np.float64)


_SCALARS = ("name", "licence")
_ARRAYS = "triangles mean_m identity_m expression_mean_m expression_m colour colour_modes".split()
_COMPACT = "identity_m expression_m colour_modes".split()


def encode(model: MorphableModel) -> bytes:
    """An .npz without pickles; directions as float16, whose steps lie below a micrometre."""
    arrays: dict[str, Any] = {key: np.array(getattr(model, key)) for key in _SCALARS}
    for key in _ARRAYS:
        value = getattr(model, key)
        if value is not None:
            arrays[key] = value.astype(np.float16) if key in _COMPACT else value
    arrays["expression_names"] = np.array(model.expression_names, dtype="U32")
    arrays["landmark_names"] = np.array(list(model.landmarks_m), dtype="U64")
    arrays["landmark_places"] = np.array(list(model.landmarks_m.values())).reshape(-1, 3)
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=False, **arrays)
    return buffer.getvalue()


def decode(data: bytes) -> MorphableModel:
    """Inverse of `encode`.

    Raises:
        ViewfinderError: it is none of ours.
    """
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as stored:
            fields: dict[str, Any] = {key: str(stored[key]) for key in _SCALARS}
            fields |= {key: stored[key] for key in _ARRAYS if key in stored.files}
            fields.setdefault("colour", None)
            for key in _COMPACT:
                fields[key] = fields[key].astype(np.float32)
            names, places = stored["landmark_names"].tolist(), stored["landmark_places"]
            fields["expression_names"] = tuple(stored["expression_names"].tolist())
    except (ValueError, KeyError, OSError, EOFError, AttributeError) as error:
        raise ViewfinderError("the converted head model is damaged", found=error) from error
    return MorphableModel(landmarks_m=dict(zip(names, places)), **fields)
