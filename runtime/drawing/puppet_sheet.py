"""What the puppet is drawn on: curves, polygons and strokes on a head that turns."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from runtime.head_pose import HeadPose

Points = NDArray[np.float64]
Colour = tuple[int, int, int]
Picture = NDArray[np.uint8]

_BACKDROP = ((255, 236, 214), (247, 201, 178))
_HALO = (255, 244, 228)
_OVERSAMPLING = 2
_SHIFT = 4  # sub-pixel bits of OpenCV's drawing
_MAX_TURN = math.radians(50)


@dataclass(frozen=True)
class Window:
    """A mask (H, W) uint8, and where its first pixel lies on the sheet."""

    mask: Picture
    corner: NDArray[np.int_]


class Sheet:
    """The picture, larger than asked for, and where points of the head fall on it.

    Points are in head radii from the head's middle, x to the right and y down.

    Args:
        size: side of the square picture that is wanted, in pixels.
        pose: of the head.
    """

    def __init__(self, size: int, pose: HeadPose) -> None:
        self.side = size * _OVERSAMPLING
        self.unit = 0.315 * self.side
        self.pixels: Picture = _backdrop(self.side).copy()
        yaw, pitch = (max(-_MAX_TURN, min(_MAX_TURN, a)) for a in (pose.yaw, pose.pitch))
        self.yaw, self.pitch = yaw, pitch
        self._turn = HeadPose(yaw, pitch).rotation()[:2]
        roll = max(-_MAX_TURN, min(_MAX_TURN, pose.roll))
        cos, sin = math.cos(roll), math.sin(roll)
        self._roll = np.array([[cos, -sin], [sin, cos]])
        self._centre = np.array([0.5, 0.515]) * self.side
        self._neck = np.array([0.0, 0.75])  # the head rolls about it

    def picture(self) -> Picture:
        """The picture in the size that was asked for."""
        size = (self.side // _OVERSAMPLING,) * 2
        return cv2.resize(self.pixels, size, interpolation=cv2.INTER_AREA)

    def still(self, points: Points) -> Points:
        """(N, 2) pixels of points that stay where they are."""
        return self._centre + self.unit * points

    def flat(self, points: Points) -> Points:
        """(N, 2) pixels of points that roll with the head but don't turn."""
        rolled = (points - self._neck) @ self._roll.T + self._neck
        return self._centre + self.unit * rolled

    def on_head(self, points: Points, lift: float = 0.0) -> Points:
        """(N, 2) pixels of points on the head's surface, `lift` above it."""
        x, y = points[:, 0], points[:, 1]
        depth = np.sqrt(np.maximum(0.05, 1.12 - x**2 - 0.72 * y**2))
        outward = -(0.86 * depth + lift)
        return self.flat(np.stack([x, y, outward], axis=1) @ self._turn.T)

    def fill(self, outline: Points, colour: Colour, alpha: float = 1.0) -> None:
        """A polygon of pixels."""
        if alpha >= 1:
            cv2.fillPoly(self.pixels, [_fixed(outline)], colour, cv2.LINE_AA, _SHIFT)
            return
        window = self.window(outline)
        part = self._part(window.corner, window.mask.shape)
        drawn = part.copy()
        cv2.fillPoly(drawn, [_fixed(outline - window.corner)], colour, cv2.LINE_AA, _SHIFT)
        cv2.addWeighted(drawn, alpha, part, 1 - alpha, 0, dst=part)

    def fill_inside(self, outline: Points, window: Window, colour: Colour) -> None:
        """A polygon of pixels, but only what of it lies in the window."""
        drawn = np.zeros_like(window.mask)
        cv2.fillPoly(drawn, [_fixed(outline - window.corner)], 255, cv2.LINE_AA, _SHIFT)
        weight = cv2.multiply(drawn, window.mask, scale=1 / 255)[..., None] / np.float32(255)
        part = self._part(window.corner, window.mask.shape)
        part[:] = np.round(part + (np.array(colour, dtype=np.float32) - part) * weight)

    def window(self, outline: Points) -> Window:
        """What lies inside a polygon of pixels."""
        low = np.clip(np.floor(outline.min(axis=0)).astype(int) - 1, 0, self.side - 1)
        high = np.clip(np.ceil(outline.max(axis=0)).astype(int) + 2, low + 1, self.side)
        mask = np.zeros((high - low)[::-1], dtype=np.uint8)
        cv2.fillPoly(mask, [_fixed(outline - low)], 255, cv2.LINE_AA, _SHIFT)
        return Window(mask, low)

    def _part(self, corner: NDArray[np.int_], shape: tuple[int, ...]) -> Picture:
        x, y = corner
        return self.pixels[y : y + shape[0], x : x + shape[1]]

    def stroke(self, line: Points, width: float | Points, colour: Colour) -> None:
        """A round-ended stroke; `width` in head radii, one for each point or for all."""
        widths = np.broadcast_to(width, len(line)) * self.unit / 2
        along = np.gradient(line, axis=0)
        along /= np.maximum(np.linalg.norm(along, axis=1, keepdims=True), 1e-9)
        across = np.stack([-along[:, 1], along[:, 0]], axis=1) * widths[:, None]
        self.fill(np.concatenate([line + across, (line - across)[::-1]]), colour)
        for end, radius in ((line[0], widths[0]), (line[-1], widths[-1])):
            self.fill(end + radius * _CIRCLE, colour)


def _fixed(outline: Points) -> NDArray[np.int32]:
    # OpenCV counts from the first pixel's centre, we from its corner.
    return np.round((outline - 0.5) * (1 << _SHIFT)).astype(np.int32)


_ANGLES = np.linspace(0, 2 * np.pi, 72, endpoint=False)
_CIRCLE = np.stack([np.cos(_ANGLES), np.sin(_ANGLES)], axis=1)


def curve(*points: tuple[float, float], steps: int = 12) -> Points:
    """(N, 2) points of a smooth line through a few (Catmull-Rom)."""
    p = np.array(points, dtype=np.float64)
    padded = np.concatenate([2 * p[:1] - p[1:2], p, 2 * p[-1:] - p[-2:-1]])
    t = np.linspace(0, 1, steps, endpoint=False)[:, None]
    pieces = [
        0.5 * (2 * b + (c - a) * t + (2 * a - 5 * b + 4 * c - d) * t**2
               + (3 * b - a - 3 * c + d) * t**3)
        for a, b, c, d in zip(padded, padded[1:], padded[2:], padded[3:])
    ]  # fmt: skip
    return np.concatenate([*pieces, p[-1:]])


def ellipse(x: float, y: float, across: float, down: float) -> Points:
    """(N, 2) points around a centre, by half axes."""
    return np.array([x, y]) + _CIRCLE * (across, down)


def superellipse(x: float, y: float, across: float, down: float, power: float) -> Points:
    """(N, 2) points around a centre; the larger the power, the fuller the corners."""
    shaped = np.sign(_CIRCLE) * np.abs(_CIRCLE) ** (2 / power)
    return np.array([x, y]) + shaped * (across, down)


@lru_cache(maxsize=2)
def _backdrop(side: int) -> Picture:
    rows = np.linspace(0, 1, side)[:, None, None]
    top, bottom = (np.array(colour, dtype=np.float64) for colour in _BACKDROP)
    picture = np.broadcast_to(top + (bottom - top) * rows, (side, side, 3))
    pixels = np.ascontiguousarray(np.round(picture).astype(np.uint8))
    halo = side * (np.array([0.5, 0.47]) + 0.43 * _CIRCLE)
    cv2.fillPoly(pixels, [_fixed(halo)], _HALO, cv2.LINE_AA, _SHIFT)
    return pixels
