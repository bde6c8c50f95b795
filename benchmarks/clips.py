"""Clips for benchmarks: a video's frames, or a picture moved about like something filmed."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from runtime.image import read_image
from runtime.sources import open_source

WIDTH, HEIGHT = 640, 480
_PERIOD = 120


def read_clip(path: Path, frames: int) -> np.ndarray:
    """(N, H, W, 3) uint8 RGB: a video's first frames, at most 640 wide; a picture moved about."""
    if path.suffix.lower() in (".png", ".jpg", ".jpeg", ".webp"):
        return moved_about(read_image(path), frames)

    def fail(error: Exception) -> None:
        raise error

    clip = []
    for frame in open_source(path).frames(fail):
        height, width = frame.rgb.shape[:2]
        scale = min(1.0, WIDTH / width)
        size = (round(width * scale), round(height * scale))
        clip.append(cv2.resize(frame.rgb, size, interpolation=cv2.INTER_AREA))
        if len(clip) == frames:
            break
    return np.stack(clip)


def astronaut(frames: int) -> np.ndarray:
    """scikit-image's portrait, swaying and growing: (N, 480, 640, 3)."""
    from skimage.data import astronaut

    return moved_about(np.ascontiguousarray(astronaut()[:400, 40:400]), frames)


def moved_about(picture: np.ndarray, frames: int) -> np.ndarray:
    """A picture that sways, turns and grows, (N, 480, 640, 3), all of it in sight."""
    height, width = picture.shape[:2]
    fit = min(WIDTH / width, HEIGHT / height)
    clip = []
    for number in range(min(frames, _PERIOD)):
        turn = 2 * np.pi * number / _PERIOD
        scale = fit * (0.9 + 0.08 * np.cos(turn))
        matrix = cv2.getRotationMatrix2D((width / 2, height / 2), 5 * np.sin(turn), scale)
        matrix[:, 2] += (WIDTH / 2 - width / 2 + 20 * np.sin(2 * turn), HEIGHT / 2 - height / 2)
        clip.append(cv2.warpAffine(picture, matrix, (WIDTH, HEIGHT), flags=cv2.INTER_AREA,
                                   borderMode=cv2.BORDER_REPLICATE))  # fmt: skip
    return np.stack(clip)
