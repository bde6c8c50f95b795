"""From light to picture: backgrounds behind a transparent film, exposure, sRGB, camera noise.

Pure NumPy on scene-linear RGB; Blender's own colour management is left out, so that pixels depend
on nothing but what is written here.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from runtime.camera import Camera

Floats = NDArray[np.float32]

_LUMINANCE = np.array([0.2126, 0.7152, 0.0722], dtype=np.float32)  # of Rec. 709 primaries
_MIDDLE_GREY = 0.18
_LEAST_MOTION_PX, _LEAST_DISC_PX = 0.5, 0.5


@dataclass(frozen=True)
class Photo:
    """How a camera turns light into a picture.

    Attributes:
        exposure_ev: on top of what metering says, in stops.
        white_balance: (3,) gains of red, green, blue.
        noise: standard deviation of sensor noise at middle grey, linear.
        blur_px: standard deviation of the lens' blur.
        motion: length of the path that everything travels while the shutter is open, in widths of
            the picture.
        motion_rad: its direction, clockwise from the picture's x axis.
        background_blur: radius of the disc that a point of the background becomes, in widths.
        jpeg_quality: 1..100.
    """

    exposure_ev: float = 0.0
    white_balance: tuple[float, float, float] = (1.0, 1.0, 1.0)
    noise: float = 0.0
    blur_px: float = 0.0
    motion: float = 0.0
    motion_rad: float = 0.0
    background_blur: float = 0.0
    jpeg_quality: int = 95


def random_photo(rng: np.random.Generator) -> Photo:
    """A plausible camera: near neutral, sometimes noisy, soft, or moved."""
    warmth = rng.normal(0.0, 0.06)
    tint = rng.normal(0.0, 0.02)
    return Photo(
        exposure_ev=float(np.clip(rng.normal(0.1, 0.45), -1.3, 1.2)),
        white_balance=(math.exp(warmth), math.exp(-tint), math.exp(-warmth)),
        noise=float(min(rng.exponential(0.004), 0.014)),
        blur_px=float(max(0.0, rng.normal(0.1, 0.35))),
        motion=float(min(rng.exponential(0.012), 0.05)) if rng.random() < 0.25 else 0.0,
        motion_rad=float(rng.uniform(0.0, math.pi)),
        background_blur=float(min(rng.exponential(0.008), 0.03)) if rng.random() < 0.5 else 0.0,
        jpeg_quality=int(rng.integers(80, 98)),
    )


def softened(linear: Floats, alpha: Floats, sigma_px: float = 0.55) -> tuple[Floats, Floats]:
    """A smoother edge than a few samples give.

    Args:
        linear: (H, W, 3) premultiplied scene-linear RGB.
        alpha: (H, W) coverage.
        sigma_px: of the smoothing.

    Returns:
        Both anew; well inside and outside the subject nothing changes.
    """
    wide = cv2.GaussianBlur(alpha, (0, 0), sigma_px, borderType=cv2.BORDER_REPLICATE)
    colour = cv2.GaussianBlur(linear, (0, 0), sigma_px, borderType=cv2.BORDER_REPLICATE)
    edge = (wide > 1e-4) & (wide < 0.999)
    result = linear.copy()
    result[edge] = colour[edge]
    return result, np.where(edge, wide, alpha).astype(np.float32)


def composite(linear: Floats, alpha: Floats, background: Floats) -> Floats:
    """A premultiplied picture (H, W, 3) over a background (H, W, 3), both scene-linear."""
    return np.asarray(linear + (1.0 - alpha[..., None]) * background, dtype=np.float32)


def metered(linear: Floats, weight: Floats) -> float:
    """The gain that brings a picture's weighted mean luminance (of logarithms) to middle grey.

    What is darker than a tenth of the mean counts as that: a subject before a black curtain would
    be burnt out otherwise.

    Args:
        linear: (H, W, 3) scene-linear RGB.
        weight: (H, W) how much each pixel counts.
    """
    luminance = linear @ _LUMINANCE
    total = max(float(weight.sum()), 1e-6)
    mean = float((luminance * weight).sum()) / total
    luminance = np.maximum(luminance, max(0.1 * mean, 1e-4))
    return _MIDDLE_GREY / math.exp(float((np.log(luminance) * weight).sum()) / total)


def develop(
    linear: Floats, gain: float, photo: Photo, rng: np.random.Generator
) -> NDArray[np.uint8]:
    """The picture a camera would have stored.

    Args:
        linear: (H, W, 3) scene-linear RGB.
        gain: brings the subject to middle grey (see `metered`).
        photo: of this camera.
        rng: for the sensor's noise.

    Returns:
        (H, W, 3) uint8 sRGB.
    """
    light = linear * (gain * 2.0**photo.exposure_ev)
    light = light * np.array(photo.white_balance, dtype=np.float32)
    if photo.blur_px > 0.15:
        light = cv2.GaussianBlur(light, (0, 0), photo.blur_px, borderType=cv2.BORDER_REPLICATE)
    light = moved(light, photo.motion * light.shape[1], photo.motion_rad)
    if photo.noise > 0:
        # Photon noise grows with the root of the light.
        deviation = photo.noise * np.sqrt(np.maximum(light, 0.0) / _MIDDLE_GREY + 0.1)
        light = light + deviation * rng.standard_normal(light.shape, dtype=np.float32)
    return srgb_from_linear(_shoulder(light))


def moved(linear: Floats, length_px: float, direction_rad: float) -> Floats:
    """A picture (H, W, 3) smeared evenly along a line; its mean place doesn't move."""
    if length_px < _LEAST_MOTION_PX:
        return linear
    half = length_px / 2
    reach = math.ceil(half) + 1
    kernel = np.zeros((2 * reach + 1, 2 * reach + 1), dtype=np.float32)
    count = 8 * reach
    for offset in (
        np.arange(count) + 0.5
    ) / count * length_px - half:  # each step's weight spread over the four pixels around it
        x, y = reach + offset * math.cos(direction_rad), reach + offset * math.sin(direction_rad)
        column, row = math.floor(x), math.floor(y)
        right, below = x - column, y - row
        kernel[row, column] += (1 - right) * (1 - below)
        kernel[row, column + 1] += right * (1 - below)
        kernel[row + 1, column] += (1 - right) * below
        kernel[row + 1, column + 1] += right * below
    kernel /= kernel.sum()
    return cv2.filter2D(linear, -1, kernel, borderType=cv2.BORDER_REPLICATE)


def defocused(linear: Floats, radius_px: float) -> Floats:
    """A picture (H, W, 3) in which every point became a disc of that radius."""
    if radius_px < _LEAST_DISC_PX:
        return linear
    reach = math.ceil(radius_px)
    away = np.hypot(*np.mgrid[-reach : reach + 1, -reach : reach + 1])
    disc = np.clip(radius_px + 0.5 - away, 0, 1).astype(np.float32)  # a smooth rim
    return cv2.filter2D(linear, -1, disc / disc.sum(), borderType=cv2.BORDER_REPLICATE)


def srgb_from_linear(linear: ArrayLike) -> NDArray[np.uint8]:
    """uint8 sRGB (IEC 61966-2-1) of linear light; what lies outside 0..1 is clipped."""
    light = np.clip(np.asarray(linear, dtype=np.float32), 0.0, 1.0)
    low, high = 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055
    return np.asarray(np.where(light <= 0.0031308, low, high) * 255.0 + 0.5).astype(np.uint8)


def linear_from_srgb(rgb: NDArray[np.uint8]) -> Floats:
    """Linear light 0..1 of uint8 sRGB: the inverse of `srgb_from_linear`."""
    stored = np.arange(256, dtype=np.float64) / 255
    table = np.where(stored <= 0.04045, stored / 12.92, ((stored + 0.055) / 1.055) ** 2.4)
    return table.astype(np.float32)[rgb]


def _shoulder(light: Floats, start: float = 0.6) -> Floats:
    """Rolls highlights off from `start` on, so that they approach 1 instead of clipping."""
    over = np.maximum(light - start, 0.0)
    room = 1.0 - start
    return np.where(light > start, start + room * (1.0 - np.exp(-over / room)), light)


def environment_background(
    equirectangular: Floats, camera: Camera, world_from_camera: ArrayLike, rotation_rad: float
) -> Floats:
    """What the camera sees of an environment that is infinitely far away.

    Args:
        equirectangular: (H, W, 3) scene-linear RGB as Cycles reads it: the middle column lies
            toward +x, the azimuth falls from left to right, row 0 is the zenith.
        camera: of the picture.
        world_from_camera: (4, 4), OpenCV's camera axes, world z up.
        rotation_rad: by which the environment is turned about z.

    Returns:
        (height, width, 3) scene-linear RGB.
    """
    x, y = np.meshgrid(np.arange(camera.width) + 0.5, np.arange(camera.height) + 0.5)
    rays = camera.unproject(np.stack([x, y], axis=-1), np.ones_like(x))
    rays = rays @ np.asarray(world_from_camera, dtype=np.float64)[:3, :3].T
    azimuth = np.arctan2(rays[..., 1], rays[..., 0]) - rotation_rad
    height, width = equirectangular.shape[:2]
    u = np.mod(0.5 - azimuth / (2 * math.pi), 1.0)
    v = 0.5 - np.arcsin(rays[..., 2] / np.linalg.norm(rays, axis=-1)) / math.pi
    return cv2.remap(
        equirectangular,
        (u * width - 0.5).astype(np.float32),
        np.clip(v * height - 0.5, 0, height - 1).astype(np.float32),
        cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_WRAP,
    )


def clutter(width: int, height: int, rng: np.random.Generator) -> Floats:
    """A background of many coloured pieces, sharp or blurred; (height, width, 3), about 0..1."""
    image = np.empty((height, width, 3), dtype=np.float32)
    image[:] = rng.uniform(0.02, 0.8, 3)
    for _ in range(int(rng.integers(4, 40))):
        colour = tuple(float(v) for v in rng.uniform(0.0, 0.9, 3) ** 1.5)
        x, y = (int(v) for v in rng.uniform(-0.1, 1.1, 2) * (width, height))
        reach = float(rng.uniform(0.03, 0.35)) * width
        kind = rng.integers(3)
        if kind == 0:
            corners = (x, y) + rng.normal(0, reach, (int(rng.integers(3, 6)), 2))
            cv2.fillPoly(image, [corners.astype(np.int32)], colour, cv2.LINE_AA)
        elif kind == 1:
            axes = tuple(int(v) + 1 for v in rng.uniform(0.3, 1.0, 2) * reach)
            cv2.ellipse(image, (x, y), axes, rng.uniform(0, 180), 0, 360, colour, -1, cv2.LINE_AA)
        else:
            end = (x + int(rng.normal(0, 3 * reach)), y + int(rng.normal(0, 3 * reach)))
            thick = int(rng.integers(1, max(2, width // 24)))
            cv2.line(image, (x, y), end, colour, thick, cv2.LINE_AA)
    if rng.random() < 0.7:
        image = cv2.GaussianBlur(image, (0, 0), float(rng.uniform(0.5, 0.02 * width)))
    return np.maximum(image, 0.0)
