"""Changes of light, lens and compression, cheap enough to keep up with training on a CPU.

Everything that is one value per channel goes into a single look-up table; noise and the gains of a
spectrum are cut from fields drawn once. One 192-pixel crop costs about 0.3 ms.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache

import cv2
import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]

_NOISE_SIDE = 512
_LEVELS = np.arange(256) / 255.0
_BRIGHTNESS = np.full((1, 3), 1 / 3)

SPECTRUM_SHARE = 0.15
"""Of the crops: it costs as much as the rest does together."""
_METERED, _METERING = (0.42, 0.12), 0.8
"""Mean brightness of photographs' crops and its spread, 0..1; how much of the way there is gone."""
_SPECTRUM_SLOPE, _SPECTRUM_BASE, _SPECTRUM_POWER = 3.0, 0.25, 2.0


@dataclass(frozen=True)
class Photometry:
    """How often and how far pictures are changed.

    Attributes:
        occluded, saturated, shaded, blurred, noisy, compressed: share of the pictures.
        light: of the changes of exposure, gamma, contrast and white balance.
        noise: most of it, of a deviation of 32 levels.
    """

    occluded: float
    saturated: float
    shaded: float
    blurred: float
    noisy: float
    compressed: float
    light: float
    noise: float


CROP = Photometry(0.15, 0.2, 0.2, 0.15, 0.25, 0.15, light=0.8, noise=0.3)
"""Of a landmark network's crop; the renderer's own camera has been at work already."""
WHOLE_PICTURE = Photometry(0.0, 0.2, 0.15, 0.12, 0.3, 0.15, light=0.7, noise=0.2)
"""Of a picture as a detector sees it: reduced to a fraction of its size, which leaves little of the
camera's noise and blur, and with subjects so small in it that a bar could hide one whole."""


def vary_photometry(crop: Image, rng: np.random.Generator, how: Photometry = CROP) -> Image:
    """The crop in another light, through another lens and codec; positions stay.

    Args:
        crop: (S, S, 3) uint8 RGB; S at most 384.
        rng: all chance comes from here.
        how: often and far.
    """
    chance = rng.random(8)
    if chance[0] < how.occluded:
        crop = _occluded(crop, rng)
    if chance[1] < how.saturated:
        crop = _saturated(crop, rng)
    crop = _relit(crop, rng, how.light)
    if chance[2] < how.shaded:
        crop = _shaded(crop, rng)
    if chance[3] < how.blurred:
        crop = _blurred(crop, rng)
    elif chance[7] < 0.3:
        crop = _sharpened(crop, rng)
    if chance[6] < SPECTRUM_SHARE:
        crop = vary_spectrum(crop, rng)
    if chance[4] < how.noisy:
        crop = _noisy(crop, rng, how.noise)
    if chance[5] < how.compressed:
        crop = _compressed(crop, rng)
    return crop


def _relit(crop: Image, rng: np.random.Generator, amount: float) -> Image:
    """Exposure, gamma, contrast and white balance as one table.

    Gamma first brings the crop's mean most of the way to what a camera that meters would give it:
    renders are darker and lighter than photographs that somebody kept.
    """
    gain, gamma, contrast = np.exp(amount * rng.normal(0.0, (0.2, 0.2, 0.15))).tolist()
    white = np.exp(amount * rng.normal(0.0, 0.07, 3))
    # Numbers of Python's own: NumPy's functions take longer to call than to work on one.
    mean = min(max(sum(cv2.mean(crop)[:3]) / (3 * 255.0), 0.03), 0.9)
    metered = math.log(min(max(rng.normal(*_METERED), 0.15), 0.8)) / math.log(mean)
    gamma *= min(max(metered, 0.3), 3.0) ** _METERING
    scale = 255.0 * contrast * gain * white
    shift = 255.0 * (0.5 - 0.5 * contrast + amount * rng.normal(0.0, 0.03)) + 0.5
    table = (_LEVELS**gamma)[:, None] * scale + shift
    return cv2.LUT(crop, table.clip(0, 255).astype(np.uint8)[None])


def _saturated(crop: Image, rng: np.random.Generator) -> Image:
    saturation = rng.uniform(0.0, 1.6)
    grey = np.tile([0.299, 0.587, 0.114], (3, 1))
    return cv2.transform(crop, saturation * np.eye(3) + (1.0 - saturation) * grey)


def _shaded(crop: Image, rng: np.random.Generator) -> Image:
    """A shadow with a soft straight edge."""
    size = crop.shape[0]
    angle = rng.uniform(0, 2 * np.pi)
    softness = rng.uniform(0.05, 0.8)
    depth = rng.uniform(0.2, 0.7)
    # Drawn at 16 pixels and enlarged: a shadow has no detail.
    axis = np.linspace(-0.5, 0.5, 16, dtype=np.float32)
    across = np.cos(angle) * axis[None] + np.sin(angle) * axis[:, None] + rng.uniform(-0.3, 0.3)
    light = 255.0 * (1.0 - depth / (1.0 + np.exp(across / (0.25 * softness))))
    mask = cv2.resize(light.astype(np.uint8), (size, size), interpolation=cv2.INTER_LINEAR)
    return cv2.multiply(crop, cv2.merge([mask, mask, mask]), scale=1 / 255.0)


def _blurred(crop: Image, rng: np.random.Generator) -> Image:
    size = crop.shape[0]
    kind = rng.random()
    if kind < 0.5:
        return cv2.GaussianBlur(crop, (5, 5), rng.uniform(0.5, 1.6))
    if kind < 0.75:
        small = int(size / rng.uniform(1.5, 4.0))
        return cv2.resize(
            cv2.resize(crop, (small, small), interpolation=cv2.INTER_AREA), (size, size)
        )
    length = int(rng.integers(3, 9))
    streak = np.zeros((length, length), dtype=np.float32)
    angle = rng.uniform(0, np.pi)
    reach = (length - 1) / 2
    ends = [
        (round(reach + s * reach * np.cos(angle)), round(reach + s * reach * np.sin(angle)))
        for s in (-1, 1)
    ]
    cv2.line(streak, ends[0], ends[1], 1.0)
    return cv2.filter2D(crop, -1, streak / streak.sum())


def _sharpened(crop: Image, rng: np.random.Generator) -> Image:
    """As cameras do; renders that were smaller than the crop are softer than any photograph."""
    amount = rng.uniform(0.3, 1.5)
    soft = cv2.GaussianBlur(crop, (5, 5), rng.uniform(0.8, 1.6))
    return cv2.addWeighted(crop, 1.0 + amount, soft, -amount, 0.0)


def vary_spectrum(crop: Image, rng: np.random.Generator) -> Image:
    """The crop with other amplitudes at every frequency, the higher the more; phases stay, and with
    them where everything is.

    Renders and photographs differ in their amplitude spectra most at high frequencies. As PASTA
    (arXiv 2212.00979; alpha 3, k 2, beta 0.25) each amplitude is multiplied by a draw around 1
    whose spread grows with frequency, here a tenth as wide: small things such as lids stay seen.
    """
    size = crop.shape[0]
    y, x = rng.integers(0, _NOISE_SIDE - size, 2)
    gain = np.abs(1.0 + _spectrum_spread(size) * _draws()[y : y + size, x : x + size])
    # Of the brightness alone: eyes and codecs care for little else, and it takes a third.
    grey = cv2.transform(crop, _BRIGHTNESS).astype(np.float32)
    waves = cv2.multiply(cv2.dft(grey, flags=cv2.DFT_COMPLEX_OUTPUT), cv2.merge([gain, gain]))
    # The way back reads one half of the spectrum, so that the gains needn't be symmetric.
    varied = cv2.idft(waves, flags=cv2.DFT_SCALE | cv2.DFT_REAL_OUTPUT)
    change = cv2.addWeighted(varied, 1.0, grey, -1.0, 128.0, dtype=cv2.CV_8U)
    return cv2.addWeighted(crop, 1.0, cv2.merge([change] * 3), 1.0, -128.0)


@cache
def _spectrum_spread(size: int) -> NDArray[np.float32]:
    """(size, size) spread of the gain at each frequency."""
    along = np.fft.fftfreq(size)
    frequency = np.hypot(along[:, None], along[None]) / 0.5**0.5  # 1 in the corners
    spread = 0.1 * ((_SPECTRUM_SLOPE * frequency) ** _SPECTRUM_POWER + _SPECTRUM_BASE)
    spread[0, 0] = 0.0
    return spread.astype(np.float32)


@cache
def _draws() -> NDArray[np.float32]:
    """Normal draws, cut from as noise is."""
    rng = np.random.default_rng(1)
    return rng.standard_normal((_NOISE_SIDE, _NOISE_SIDE)).astype(np.float32)


@cache
def _noise_field() -> Image:
    """Around 128: OpenCV blends bytes four times as fast as wider numbers."""
    rng = np.random.default_rng(0)
    noise = 128.0 + rng.normal(0.0, 32.0, (_NOISE_SIDE, _NOISE_SIDE, 3))
    return np.round(noise.clip(0, 255)).astype(np.uint8)


def _noisy(crop: Image, rng: np.random.Generator, most: float) -> Image:
    size = crop.shape[0]
    y, x = rng.integers(0, _NOISE_SIDE - size, 2)
    noise = _noise_field()[y : y + size, x : x + size]
    if rng.random() < 0.3:  # the same in every channel: grain
        noise = cv2.merge([noise[:, :, 0]] * 3)
    amount = rng.uniform(0.1, 1.0) * most
    return cv2.addWeighted(crop, 1.0, noise, amount, -128.0 * amount)


def _compressed(crop: Image, rng: np.random.Generator) -> Image:
    done, encoded = cv2.imencode(
        ".jpg", crop, [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(20, 85))]
    )
    return cv2.imdecode(encoded, cv2.IMREAD_COLOR) if done else crop


def _occluded(crop: Image, rng: np.random.Generator) -> Image:
    """One or two bars, discs or blobs over the crop, plain or with a piece of the crop itself."""
    crop = crop.copy()
    size = crop.shape[0]
    for _ in range(int(rng.integers(1, 3))):
        centre = rng.uniform(0.05, 0.95, 2) * size
        if rng.random() < 0.5:
            _paste_piece(crop, centre, rng)
            continue
        axes = rng.uniform(0.03, 0.25, 2) * size
        colour = tuple(float(v) for v in rng.integers(0, 256, 3))
        box = (tuple(map(float, centre)), tuple(map(float, 2 * axes)), rng.uniform(0, 180.0))
        if rng.random() < 0.5:
            cv2.ellipse(crop, box, colour, -1, cv2.LINE_AA)
        else:
            cv2.fillPoly(crop, [cv2.boxPoints(box).astype(np.int32)], colour, cv2.LINE_AA)
    return crop


def _paste_piece(crop: Image, centre: NDArray[np.float64], rng: np.random.Generator) -> None:
    size = crop.shape[0]
    width, height = (rng.uniform(0.08, 0.4, 2) * size).astype(int)
    u, v = int(rng.integers(0, size - width)), int(rng.integers(0, size - height))
    x = int(np.clip(centre[0] - width / 2, 0, size - width))
    y = int(np.clip(centre[1] - height / 2, 0, size - height))
    crop[y : y + height, x : x + width] = crop[v : v + height, u : u + width][::-1].copy()
