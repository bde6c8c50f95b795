"""Colours of people: skin tones, irises, hair. All results are linear RGB in 0..1."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]

MONK_TONES: Mapping[str, str] = {
    "monk01": "f6ede4",
    "monk02": "f3e7db",
    "monk03": "f7ead0",
    "monk04": "eadaba",
    "monk05": "d7bd96",
    "monk06": "a07e56",
    "monk07": "825c43",
    "monk08": "604134",
    "monk09": "3a312a",
    "monk10": "292420",
}
"""Swatches of the Monk Skin Tone Scale (Ellis Monk, skintone.google), sRGB, light to dark."""

IRIS_COLOURS: Mapping[str, tuple[str, str]] = {
    "dark_brown": ("2a1408", "4a2a14"),
    "brown": ("3a1e0e", "5f381a"),
    "hazel": ("5a4420", "8a7238"),
    "amber": ("5e3a14", "8a5c24"),
    "green": ("44582e", "84945a"),
    "grey": ("56646e", "929ea4"),
    "blue": ("305878", "7ea2bc"),
}
"""Iris colours: sRGB of the darker outer part and of the lighter part around the pupil."""

HAIR_COLOURS: Mapping[str, str] = {
    "black": "0d0a09",
    "dark_brown": "1d120c",
    "brown": "3a2415",
    "light_brown": "5e4128",
    "blond": "9a7a4c",
    "red": "6e2f16",
    "grey": "75716d",
    "white": "c8c4be",
}
"""Hair in white light, sRGB."""


def linear_from_srgb(values: ArrayLike) -> Array:
    """Linear light from sRGB values in 0..1 (IEC 61966-2-1), any shape."""
    srgb = np.asarray(values, dtype=np.float64)
    return np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)


def linear_from_hex(code: str) -> Array:
    """(3,) linear RGB of an sRGB colour such as `f6ede4`."""
    return linear_from_srgb([int(code[i : i + 2], 16) / 255 for i in (0, 2, 4)])


def tone_albedo(tone: str, warmth: float = 0.0, depth: float = 0.0) -> Array:
    """Albedo of skin of that tone.

    A swatch is a colour on a screen; skin under white light reflects at most some 65 % in red, so
    light swatches are scaled down. Below the surface blood takes green and blue away.

    Args:
        tone: a name in `MONK_TONES`.
        warmth: -1..1, from sallow to ruddy.
        depth: -1..1, darker or lighter within the tone, up to half the way to its neighbours.

    Returns:
        (3,) linear RGB.
    """
    names = list(MONK_TONES)
    place = np.clip(names.index(tone) + 0.5 * depth, 0, len(names) - 1)
    low = int(np.floor(place))
    high = min(low + 1, len(names) - 1)
    first, second = (linear_from_hex(MONK_TONES[names[i]]) for i in (low, high))
    colour = first * (1 - (place - low)) + second * (place - low)
    colour = 0.72 * colour / (1 + 0.25 * colour.max())
    darkness = place / (len(names) - 1)
    blood = np.array([1.0, 0.82, 0.74]) * (1 + darkness * np.array([0.05, -0.03, -0.08]))
    # Even the darkest skin reflects a few per cent, most of it red.
    least = np.array([0.030, 0.017, 0.012])
    return least + colour * blood * (1 + np.array([0.05, -0.03, -0.06]) * warmth)


def hair_colour(name: str) -> Array:
    """(3,) linear RGB of hair of that colour."""
    return linear_from_hex(HAIR_COLOURS[name])


def nearest_tone(albedo: ArrayLike) -> str:
    """The name in `MONK_TONES` whose skin reflects about as much light as this linear RGB (3,)."""
    weights = np.array([0.2126, 0.7152, 0.0722])
    light = float(np.asarray(albedo, dtype=np.float64) @ weights)
    return min(MONK_TONES, key=lambda name: abs(float(tone_albedo(name) @ weights) - light))
