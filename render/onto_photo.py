"""A rendered face before a photograph: light, colour and grain taken from the photograph.

Simple and stated: the side from which the photograph is brighter gets the lamp, as strong as the
slope is steep; the subject takes on part of the photograph's colour cast and all of its grain; the
photograph is scaled to the subject's brightness, give or take a third of a stop or so. What a
photograph's light really was isn't estimated.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from render.photo import composite, softened

Floats = NDArray[np.float32]

CAST = 0.5
"""How much of the photograph's colour cast the subject takes on."""

GREYEST = 0.12
"""Pixels count for the cast by exp(-(saturation / this)): a blue sky is no blue light."""

_BLOCK = 16  # pixels along a side of the pieces of which the smoothest tell the grain

_LUMINANCE = np.array([0.2126, 0.7152, 0.0722], dtype=np.float32)  # of Rec. 709 primaries
_MIDDLE_GREY = 0.18
_DARKEST = 0.004


@dataclass(frozen=True)
class PhotoLight:
    """What a photograph says of its light.

    Attributes:
        colour: (3,) mean of its greyish parts by that colour's own mean; (1, 1, 1) is grey.
        right: by how many times e its right edge is brighter than its left one.
        above: the same for top and bottom.
        grain: standard deviation of its noise at middle grey, linear, white being 1.
        level: its median luminance.
    """

    colour: tuple[float, float, float]
    right: float
    above: float
    grain: float
    level: float


def photo_light(photo: Floats) -> PhotoLight:
    """Read off a photograph (H, W, 3) of linear light, 1 being white."""
    small = cv2.resize(photo, (24, 24), interpolation=cv2.INTER_AREA)
    bright = np.log(np.maximum(small @ _LUMINANCE, _DARKEST))
    x = np.linspace(-0.5, 0.5, 24)
    spread = float((x**2).sum() * 24)
    pixels = np.maximum(cv2.resize(photo, (64, 64), interpolation=cv2.INTER_AREA), _DARKEST)
    pixels = pixels.reshape(-1, 3)
    saturation = 1 - pixels.min(axis=1) / pixels.max(axis=1)
    weight = np.exp(-saturation / GREYEST) + 1e-9
    colour = (pixels / pixels.mean(axis=1, keepdims=True) * weight[:, None]).sum(axis=0)
    red, green, blue = (float(v) for v in colour / colour.mean())
    luminance = photo @ _LUMINANCE
    return PhotoLight(
        (red, green, blue),
        float((bright * x).sum()) / spread,
        -float((bright * x[:, None]).sum()) / spread,
        grain(luminance),
        max(float(np.median(luminance)), 0.02),
    )


def grain(luminance: Floats) -> float:
    """Noise at middle grey, by a second difference that edges and slopes leave alone (after
    Immerkaer 1996), in the smoothest eighth of the picture that is neither black nor burnt."""
    kernel = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], dtype=np.float32) / 6
    rough = np.abs(cv2.filter2D(luminance, -1, kernel, borderType=cv2.BORDER_REFLECT))
    rough /= np.sqrt(np.maximum(luminance, 0) / _MIDDLE_GREY + 0.1)
    rough[(luminance < 0.01) | (luminance > 0.9)] = np.nan
    rows, columns = (side // _BLOCK for side in luminance.shape)
    tiles = rough[: rows * _BLOCK, : columns * _BLOCK].reshape(rows, _BLOCK, columns, _BLOCK)
    tiles = tiles.transpose(0, 2, 1, 3).reshape(rows * columns, -1)
    tiles = tiles[np.isfinite(tiles).mean(axis=1) > 0.75] if tiles.size else tiles
    if not len(tiles):
        return 0.0
    medians = np.nanmedian(tiles, axis=1) / 0.6745  # the median of |N(0, 1)|
    return float(np.quantile(medians, 0.125))


def lamp_of(light: PhotoLight) -> tuple[float, float, float, float, float]:
    """The lamp that goes with a photograph: azimuth and elevation as seen by the camera (positive
    to the picture's right, and up), size in metres, strength, warmth; as `View.lamp` has them."""
    azimuth = 1.3 * math.tanh(light.right)
    elevation = 0.25 + 0.8 * math.tanh(0.7 * light.above)
    strength = 0.25 + 1.2 * math.tanh(0.6 * math.hypot(light.right, light.above))
    warmth = math.tanh(2.0 * math.log(light.colour[0] / light.colour[2]))
    return azimuth, float(np.clip(elevation, -0.3, 1.2)), 0.7, strength, warmth


def neutral_gains(panorama: Floats) -> Floats:
    """(3,) gains that take the colour out of a panorama's light, (H, W, 3) scene-linear."""
    light = np.minimum(panorama, 20.0).mean(axis=(0, 1))
    return np.asarray(light.mean() / np.maximum(light, 1e-6), dtype=np.float32)


def onto_photo(
    linear: Floats,
    alpha: Floats,
    photo: Floats,
    light: PhotoLight,
    neutral: Floats,
    rng: np.random.Generator,
) -> Floats:
    """The subject before the photograph, scene-linear in the subject's own units.

    Args:
        linear, alpha: (H, W, 3) premultiplied and (H, W), of the subject.
        photo: (H, W, 3) linear, 1 being white.
        light: of the photograph.
        neutral: (3,) gains that take the colour out of the light that the subject was rendered in.
        rng: for the grain and how bright the photograph is.
    """
    linear, alpha = softened(linear, alpha, float(rng.uniform(0.5, 0.8)))
    gains = neutral * np.array(light.colour, dtype=np.float32) ** CAST
    subject = linear * gains
    inside = (subject @ _LUMINANCE)[alpha > 0.9]
    scale = float(np.median(inside)) if len(inside) else 1.0
    scale *= float(rng.lognormal(0.0, 0.25)) / light.level
    noise = rng.standard_normal(alpha.shape, dtype=np.float32)[..., None]
    relative = np.maximum(subject / scale, 0) / _MIDDLE_GREY
    grainy = light.grain * scale * np.sqrt(relative + 0.1) * noise
    return composite(subject + alpha[..., None] * grainy, alpha, photo * np.float32(scale))
