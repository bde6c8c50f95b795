"""Painted skin: the albedo of one head, unrolled from a cylinder around it.

Regions (lips, lids, cheeks, beard, scalp) follow the landmarks on the neutral head, where the
texture lies for everybody; what is painted into them differs from person to person.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from render.faces_head import unrolled
from runtime.topology import topology

Floats = NDArray[np.float32]

TEXTURE_SIZE = (1024, 768)
"""Width and height in pixels: about half a millimetre each."""


@dataclass(frozen=True)
class Complexion:
    """How one person's skin is coloured; all numbers 0..1 unless said otherwise.

    Attributes:
        albedo: (3,) linear RGB of the skin.
        hair: (3,) linear RGB of hair, for what shows of its roots.
        ruddy: blood in cheeks, nose and ears.
        lips: how red the lips are.
        lipstick: (3,) linear RGB or None.
        shadow: darkness of the lids and below the eyes.
        beard: density of shaved beard.
        freckles, spots: how many.
        scalp: how much hair roots darken the scalp.
        bald_front: how far the hairline has gone back.
    """

    albedo: tuple[float, float, float]
    hair: tuple[float, float, float]
    ruddy: float = 0.4
    lips: float = 0.5
    lipstick: tuple[float, float, float] | None = None
    shadow: float = 0.3
    beard: float = 0.0
    freckles: float = 0.0
    spots: float = 0.2
    scalp: float = 0.0
    bald_front: float = 0.0


class SkinPainter:
    """Paints complexions; regions are computed once.

    Args:
        landmarks_m: (468, 3) on the neutral head.
    """

    def __init__(self, landmarks_m: ArrayLike) -> None:
        width, height = TEXTURE_SIZE
        uv = unrolled(np.asarray(landmarks_m)[:468])
        self._places = uv * [width, -height] + [0, height]
        contours = topology("face478@1").contours
        self.lips = self._polygon(contours["lips_outer"].indices, 1.6)
        self.inner_lips = cv2.dilate(self._polygon(contours["lips_inner"].indices, 1.0), None)
        eyes = [self._polygon(contours[n].indices, 0) for n in ("right_eye", "left_eye")]
        self._eyes = np.maximum(*eyes)
        rim = cv2.GaussianBlur(cv2.dilate(self._eyes, np.ones((9, 9))), (0, 0), 3)
        self._lid_rim = np.clip(rim, 0, 1)
        self._below_eyes = self._blobs((230, 450, 231, 451, 229, 449), 12)
        self._lids = self._blobs((223, 443, 222, 442, 224, 444, 221, 441), 11)
        self._cheeks = self._blobs((50, 280, 101, 330, 205, 425), 34)
        self._nose = self._blobs((4, 1, 64, 294, 5), 16)
        self._brows = tuple(
            self._polygon(contours[f"{s}_brow_lower"].indices
                          + contours[f"{s}_brow_upper"].indices[::-1], 3.0)
            for s in ("right", "left")
        )  # fmt: skip
        self._beard = self._beard_region()

    def _polygon(self, indices: tuple[int, ...], soft: float) -> Floats:
        width, height = TEXTURE_SIZE
        mask = np.zeros((height, width), dtype=np.float32)
        points = np.round(self._places[list(indices)] * 16).astype(np.int32)
        cv2.fillPoly(mask, [points], 1.0, cv2.LINE_8, 4)
        return cv2.GaussianBlur(mask, (0, 0), soft) if soft else mask

    def _blobs(self, indices: tuple[int, ...], size: float) -> Floats:
        width, height = TEXTURE_SIZE
        x, y = np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5)
        mask = np.zeros((height, width), dtype=np.float32)
        for px, py in self._places[list(indices)]:
            near = np.exp(-((x - px) ** 2 + (y - py) ** 2) / (2 * size**2))
            mask = np.maximum(mask, near.astype(np.float32))
        return mask

    def _beard_region(self) -> Floats:
        # Along the jaw from ear to ear, up to the cheeks and below the nose; the lips stay free.
        upper = (234, 93, 177, 215, 187, 205, 203, 98, 2, 327, 423, 425, 411, 435, 401, 323, 454)
        jaw = (288, 397, 365, 379, 400, 152, 176, 150, 136, 172, 58)
        outline = self._places[list(upper + jaw)].copy()
        outline[len(upper) :, 1] += 26  # on below the jaw
        width, height = TEXTURE_SIZE
        mask = np.zeros((height, width), dtype=np.float32)
        cv2.fillPoly(mask, [np.round(outline).astype(np.int32)], 1.0)
        mask = cv2.GaussianBlur(mask, (0, 0), 9)
        return np.asarray(mask * (1 - np.clip(1.5 * self.lips, 0, 1)))

    def places_uv(self) -> Floats:
        """(468, 2) texture coordinates of the landmarks."""
        width, height = TEXTURE_SIZE
        return np.asarray(self._places / [width, -height] + [0, 1], dtype=np.float32)

    def beard_region(self, kind: str) -> Floats:
        """Soft mask of a beard: "all", or its "moustache", "chin" or "jaw" alone."""
        if kind == "all":
            return self._beard
        left, right = self._places[61], self._places[291]
        mouth, middle, half = (left[1] + right[1]) / 2, (left[0] + right[0]) / 2, right[0] - left[0]
        x, y = np.meshgrid(*(np.arange(size) + 0.5 for size in TEXTURE_SIZE))
        aside = np.abs(x - middle) / (half / 2)
        above = np.clip((mouth + 4 - y) / 8, 0, 1) * np.clip((1.25 - aside) / 0.15, 0, 1)
        if kind == "moustache":
            shape = above
        elif kind == "chin":
            shape = np.clip((y - mouth) / 8, 0, 1) * np.clip((0.95 - aside) / 0.3, 0, 1)
        else:
            shape = 1 - above
        return np.asarray(self._beard * shape, dtype=np.float32)

    def brow_region(self, side: int) -> Floats:
        """Soft mask of the right (0) or left (1) brow."""
        return self._brows[side]

    def paint(self, complexion: Complexion, rng: np.random.Generator) -> Floats:
        """(H, W, 4) linear RGB and dryness (1 skin, 0 wet), row 0 at the top.

        Args:
            complexion: whose.
            rng: where freckles and spots go.
        """
        skin = np.array(complexion.albedo, dtype=np.float32)
        hair = np.array(complexion.hair, dtype=np.float32)
        width, height = TEXTURE_SIZE
        colour = np.broadcast_to(skin, (height, width, 3)).copy()
        blood = np.clip(self._cheeks + 0.8 * self._nose, 0, 1) * complexion.ruddy
        _towards(colour, blood * 0.5, skin * _rgb([1.08, 0.72, 0.68]))
        coarse = _noise(rng, 48)
        _towards(colour, np.clip(coarse, 0, 1) * 0.16, skin * _rgb([1.05, 0.8, 0.75]))
        _towards(colour, np.clip(-coarse, 0, 1) * 0.14, skin * _rgb([0.92, 0.92, 0.86]))
        shade = np.clip(self._lids * 0.7 + self._below_eyes * 0.6, 0, 1) * complexion.shadow
        _towards(colour, shade * 0.6, skin * _rgb([0.72, 0.58, 0.58]))
        _towards(colour, self._lid_rim * 0.35, skin * _rgb([0.85, 0.5, 0.48]))
        self._paint_freckles(colour, complexion, rng)
        grain = np.clip(0.55 + 0.6 * _noise(rng, 1.0), 0, 1)
        # Light stubble hardly shows.
        strength = 0.55 if hair.mean() < skin.mean() else 0.12
        stubble = self._beard * complexion.beard * grain * strength
        _towards(colour, stubble, hair * 0.8 + skin * 0.15)
        for brow in self._brows:
            _towards(colour, brow * grain * 0.28, hair * 0.8 + skin * 0.2)
        if complexion.scalp > 0:
            root = scalp_density(height, width, complexion.bald_front)
            _towards(colour, root * complexion.scalp * (0.75 + 0.25 * grain), hair)
        red = skin * _rgb([0.98, 0.45, 0.45])
        natural = skin * (1 - 0.75 * complexion.lips) + red * 0.75 * complexion.lips
        lip = natural if complexion.lipstick is None else _rgb(complexion.lipstick)
        fine = np.clip(0.9 + 0.12 * _noise(rng, 1.5), 0, 1.1)[..., None]
        _towards(colour, self.lips, np.asarray(lip * fine, dtype=np.float32))
        _towards(colour, self.inner_lips * 0.6, lip * _rgb([0.8, 0.5, 0.5]))
        painted = np.empty((height, width, 4), dtype=np.float32)
        np.clip(colour, 0.002, 0.95, out=painted[..., :3])
        np.clip(1 - 0.6 * self.lips - 0.4 * self.inner_lips, 0, 1, out=painted[..., 3])
        return painted

    def _paint_freckles(
        self, colour: Floats, complexion: Complexion, rng: np.random.Generator
    ) -> None:
        width, height = TEXTURE_SIZE
        x0, y0 = self._places[:, 0].min(), self._places[:, 1].min()
        x1, y1 = self._places[:, 0].max(), self._places[:, 1].max()
        mask = np.zeros((height, width), dtype=np.float32)
        for count, size, strength in (
            (int(500 * complexion.freckles), (0.5, 1.4), (0.15, 0.5)),
            (int(12 * complexion.spots), (0.8, 2.2), (0.4, 0.9)),
        ):
            for _ in range(count):
                place = (rng.uniform(x0, x1) * 16, rng.uniform(y0, y1) * 16)
                radius = rng.uniform(*size) * 16
                tint = rng.uniform(*strength)
                cv2.circle(
                    mask, (int(place[0]), int(place[1])), int(radius), tint, -1, cv2.LINE_8, 4
                )
        mask = cv2.GaussianBlur(mask, (0, 0), 0.8)
        if complexion.freckles:
            _towards(colour, mask, colour * _rgb([0.62, 0.45, 0.38]))
        else:
            _towards(colour, mask, colour * _rgb([0.5, 0.38, 0.35]))


def picked(texture: NDArray[np.floating], uv: ArrayLike) -> NDArray[np.float64]:
    """(N,) or (N, C) a texture's values (H, W) or (H, W, C) at (N, 2) places, bilinear."""
    height, width = texture.shape[:2]
    places = np.asarray(uv, dtype=np.float64)
    x = (places[:, 0] * width - 0.5).astype(np.float32)
    y = ((1 - places[:, 1]) * height - 0.5).astype(np.float32)
    # OpenCV takes maps of at most 32,767 columns.
    rows = [cv2.remap(texture, x[None, k : k + _RUN], y[None, k : k + _RUN], cv2.INTER_LINEAR)[0]
            for k in range(0, len(x), _RUN)]  # fmt: skip
    return np.concatenate(rows).astype(np.float64)


_RUN = 16384


def scalp_density(height: int, width: int, bald_front: float) -> Floats:
    """(H, W) where hair roots lie: 1 on the scalp, 0 on face and neck, soft between.

    Args:
        height, width: of the texture.
        bald_front: 0..1, how far the hairline has gone back.
    """
    u = (np.arange(width) + 0.5) / width
    v = 1 - (np.arange(height) + 0.5) / height
    line = hairline(u, bald_front)
    return np.clip((v[:, None] - line[None]) / 0.02 + 0.5, 0, 1).astype(np.float32)


def hairline(u: ArrayLike, bald_front: float = 0.0) -> NDArray[np.float64]:
    """Height v of the hairline at u, both in the unrolled texture.

    Over the forehead it runs high, falls at the temples, passes before and behind the ear and ends
    low in the neck.
    """
    away = np.abs(np.asarray(u, dtype=np.float64) - 0.5)
    stations = [0.0, 0.06, 0.115, 0.15, 0.185, 0.2, 0.215, 0.285, 0.295, 0.34, 0.5]
    heights = [0.84, 0.835, 0.81, 0.76, 0.70, 0.61, 0.69, 0.69, 0.53, 0.44, 0.41]
    line = np.interp(away, stations, heights)
    return np.asarray(line + bald_front * 0.11 * np.clip(1 - away / 0.16, 0, 1))


def _rgb(values: ArrayLike) -> Floats:
    return np.asarray(values, dtype=np.float32)


_LEAST_AMOUNT = 1e-6  # less changes no level


def _towards(colour: Floats, amount: Floats, target: Floats) -> None:
    # In place: colour moves by `amount` (H, W) toward a colour or picture. Most amounts are those
    # of a small region: only the rectangle around it is touched.
    there = amount > _LEAST_AMOUNT
    rows, columns = (np.flatnonzero(there.any(axis=axis)) for axis in (1, 0))
    if not len(rows):
        return
    box = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    part = colour[box]
    away = (target[box] if target.ndim == 3 else target) - part
    away *= np.clip(amount[box], 0, 1)[..., None]
    part += away


def _noise(rng: np.random.Generator, grain_px: float) -> Floats:
    """Smooth noise of about unit strength, patches of `grain_px`; wraps around the head."""
    width, height = TEXTURE_SIZE
    step = max(grain_px, 1.0)
    small = rng.standard_normal((int(height / step) + 2, int(width / step) + 2), dtype=np.float32)
    if step == 1.0:
        return small[:height, :width]
    small[:, -1] = small[:, 0]
    return cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC)
