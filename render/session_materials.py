"""What furniture and things are made of, drawn at random."""

from __future__ import annotations

import colorsys

import numpy as np

from render.session_solids import Surface

Rng = np.random.Generator
Colour = tuple[float, float, float]


def colour(rng: Rng, least: float = 0.05, most: float = 0.95) -> Colour:
    """Any colour, between two brightnesses."""
    saturation = float(rng.beta(1.2, 2.0))
    red, green, blue = colorsys.hsv_to_rgb(rng.random(), saturation, rng.uniform(least, most))
    return red, green, blue


def surface_of(rng: Rng, pattern: str, roughness: tuple[float, float]) -> Surface:
    """That pattern in any two colours, its roughness between two."""
    return Surface(
        pattern, colour(rng, 0.15), colour(rng, 0.15), float(rng.uniform(*roughness)),
        0.0, int(rng.integers(2**31)),
    )  # fmt: skip


def wooden(rng: Rng) -> Surface:
    """Wood, from pale to dark."""
    hue, value = rng.uniform(0.05, 0.11), rng.uniform(0.25, 0.85)
    saturation = rng.uniform(0.3, 0.7)
    first = colorsys.hsv_to_rgb(hue, saturation, value)
    second = colorsys.hsv_to_rgb(hue * 0.8, min(saturation * 1.2, 1), value * 0.62)
    return Surface("wood", first, second, float(rng.uniform(0.3, 0.65)), 0.0,
                   int(rng.integers(2**31)))  # fmt: skip


def metal(rng: Rng) -> Surface:
    """Dark to bright, dull to polished."""
    grey = float(rng.uniform(0.1, 0.8))
    return Surface("plain", (grey,) * 3, (grey / 2,) * 3, float(rng.uniform(0.2, 0.5)), 0.9,
                   int(rng.integers(2**31)))  # fmt: skip


def lacquer(rng: Rng) -> Surface:
    """Paint of any colour."""
    return surface_of(rng, "plain", (0.2, 0.6))


def stuff(rng: Rng) -> Surface:
    """What furniture is made of."""
    return wooden(rng) if rng.random() < 0.65 else lacquer(rng)
