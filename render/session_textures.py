"""Painted pictures of what rooms and things are made of; nothing here is photographed.

Noise comes from random phases over a spectrum, which makes it repeat without a seam.
"""

from __future__ import annotations

import itertools
import zlib
from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from render.session_solids import Surface

Floats = NDArray[np.float32]
Painter = Callable[[int, Floats, Floats, np.random.Generator], Floats]

SIZE_PX = 512
SMALLER_PX = {"cover": 256, "pages": 256, "plain": 256}
"""Side of a picture, and of those that show little; one that repeats does so every metre."""


def painted(surface: Surface) -> NDArray[np.uint8]:
    """A square uint8 sRGB picture, row 0 at the top; the same surface gives the same picture."""
    size = SMALLER_PX.get(surface.pattern, SIZE_PX)
    words = [surface.seed, zlib.crc32(surface.pattern.encode())]
    rng = np.random.default_rng(np.random.SeedSequence(words))
    first, second = (np.array(c, dtype=np.float32) for c in (surface.colour, surface.second))
    picture = PATTERNS[surface.pattern](size, first, second, rng)
    return np.asarray(np.clip(picture, 0, 1) * 255 + 0.5).astype(np.uint8)


def noise(
    size: int, cycles: tuple[float, float], rng: np.random.Generator, falloff: float = 1.5
) -> Floats:
    """(size, size) seamless noise of mean 0 and deviation 1.

    Args:
        size: in pixels.
        cycles: across and down in which most of it happens; more of one stretches it.
        rng: draws it.
        falloff: how fast finer detail fades, as a power of its frequency.
    """
    fx = np.fft.rfftfreq(size, 1 / size)[None] / cycles[0]
    fy = np.fft.fftfreq(size, 1 / size)[:, None] / cycles[1]
    reach = np.hypot(fx, fy)
    amplitude = np.where(reach > 0, 1 / (1 + reach**2) ** (falloff / 2), 0)
    amplitude *= np.exp(-((0.3 / np.maximum(reach, 1e-6)) ** 2))
    spectrum = amplitude * np.exp(2j * np.pi * rng.random(reach.shape))
    out = np.fft.irfft2(spectrum, s=(size, size))
    scaled: Floats = ((out - out.mean()) / out.std()).astype(np.float32)
    return scaled


def _blend(first: Floats, second: Floats, share: ArrayLike) -> Floats:
    part = np.clip(np.asarray(share, dtype=np.float32), 0, 1)[..., None]
    return np.asarray(first * (1 - part) + second * part, dtype=np.float32)


def _wood(size: int, first: Floats, second: Floats, rng: np.random.Generator) -> Floats:
    bands = noise(size, (0.8, 9.0), rng, 2.2) + 0.5 * noise(size, (1.0, 3.0), rng, 3.0)
    grain = 0.5 + 0.5 * np.sin(3.0 * bands + 0.5 * noise(size, (2.0, 40.0), rng, 1.5))
    pores = noise(size, (8.0, 240.0), rng, 0.8)
    return _blend(first, second, 0.55 * grain + 0.12 * pores) * (1 + 0.05 * pores[..., None])


def _planks(size: int, first: Floats, second: Floats, rng: np.random.Generator) -> Floats:
    rows, picture = 8, np.empty((size, size, 3), dtype=np.float32)
    grain = _wood(size, first, second, rng)
    edges = np.linspace(0, size, rows + 1).astype(int)
    for top, bottom in itertools.pairwise(edges):
        start, board = int(rng.integers(size)), np.roll(grain, int(rng.integers(size)), axis=0)
        for half in range(2):
            columns = (start + np.arange(half * size // 2, (half + 1) * size // 2)) % size
            shade = rng.uniform(0.72, 1.1)
            picture[top:bottom, columns] = board[top:bottom, (columns + 97 * top) % size] * shade
            picture[top:bottom, columns[:2]] *= 0.45
        picture[top : top + 2] *= 0.45
    return picture


def _tiles(size: int, first: Floats, second: Floats, rng: np.random.Generator) -> Floats:
    count = int(rng.choice([3, 4, 6, 8]))
    cell = (np.arange(size) * count / size) % 1.0
    line = 0.012 * count
    joint = (cell < line)[None, :] | (cell < line)[:, None]
    shades = 1 + 0.08 * rng.standard_normal((count, count)).astype(np.float32)
    shade = cv2.resize(shades, (size, size), interpolation=cv2.INTER_NEAREST)
    marks = noise(size, (9.0, 9.0), rng, 1.4)
    checks = rng.random() < 0.4
    row, column = np.indices((size, size)) * count // size
    base = _blend(first, second, ((row + column) % 2) * float(checks) + 0.12 * marks)
    return np.where(joint[..., None], 0.55 * first + 0.2, base * shade[..., None])


def _carpet(size: int, first: Floats, second: Floats, rng: np.random.Generator) -> Floats:
    pile = noise(size, (160.0, 160.0), rng, 0.6)
    blotch = noise(size, (6.0, 6.0), rng, 2.0)
    if rng.random() < 0.5:
        count = int(rng.integers(3, 7))
        t = np.arange(size) * count / size % 1.0
        bent = np.abs(t[None, :] - 0.5) + np.abs(t[:, None] - 0.5)
        share = ((bent * 4).astype(int) % 2).astype(np.float32)
    else:
        share = (blotch > 0.3).astype(np.float32) * 0.7
    return _blend(first, second, share) * (1 + 0.13 * pile + 0.05 * blotch)[..., None]


def _plaster(size: int, first: Floats, second: Floats, rng: np.random.Generator) -> Floats:
    rough = noise(size, (90.0, 90.0), rng, 1.0)
    stain = noise(size, (4.0, 4.0), rng, 2.0)
    return _blend(first, second, 0.10 * stain) * (1 + 0.035 * rough)[..., None]


def _concrete(size: int, first: Floats, second: Floats, rng: np.random.Generator) -> Floats:
    stain, grit = noise(size, (5.0, 5.0), rng, 1.4), noise(size, (200.0, 200.0), rng, 0.6)
    picture = _blend(first, second, 0.35 + 0.3 * stain) * (1 + 0.08 * grit)[..., None]
    return np.where((noise(size, (60, 60), rng, 1.0) > 2.4)[..., None], picture * 0.5, picture)


def _marble(size: int, first: Floats, second: Floats, rng: np.random.Generator) -> Floats:
    bend = noise(size, (4.0, 4.0), rng, 2.0)
    veins = np.exp(-np.abs(bend + 0.4 * noise(size, (20.0, 20.0), rng, 1.6)) * 9)
    return _blend(first, second, veins) * (1 + 0.03 * noise(size, (9, 9), rng))[..., None]


def _cloth(size: int, first: Floats, second: Floats, rng: np.random.Generator) -> Floats:
    weave = noise(size, (260.0, 60.0), rng, 0.5) + noise(size, (60.0, 260.0), rng, 0.5)
    t = np.arange(size) * int(rng.choice([8, 12, 20, 30])) / size % 1.0
    kind = rng.integers(3)
    across, down = (t < 0.35)[None, :], (t < 0.35)[:, None]
    share = np.zeros((size, size), dtype=np.float32)
    if kind == 1:
        share = np.broadcast_to(across, share.shape).astype(np.float32)
    elif kind == 2:
        share = 0.5 * (across + 0.0) + 0.5 * (down + 0.0)
    return _blend(first, second, share) * (1 + 0.06 * weave)[..., None]


def _plain(size: int, first: Floats, second: Floats, rng: np.random.Generator) -> Floats:
    worn = noise(size, (14.0, 14.0), rng, 1.2)
    specks = noise(size, (120.0, 120.0), rng, 0.8) > 2.6
    picture = np.broadcast_to(first, (size, size, 3)) * (1 + 0.03 * worn)[..., None]
    return np.where(specks[..., None], _blend(first, second, np.float32(0.5)), picture)


def _spines(size: int, first: Floats, second: Floats, rng: np.random.Generator) -> Floats:
    """A book's cover or a spine: a title and some bands."""
    picture = np.broadcast_to(first, (size, size, 3)).astype(np.float32).copy()
    for _ in range(int(rng.integers(1, 4))):
        at, thick = int(rng.uniform(0.05, 0.9) * size), int(rng.uniform(0.01, 0.08) * size)
        picture[at : at + thick] = second
    _letters(picture, rng, lines=int(rng.integers(2, 5)), ink=second)
    return picture * (1 + 0.03 * noise(size, (40, 40), rng, 1.0))[..., None]


def _print(size: int, first: Floats, second: Floats, rng: np.random.Generator) -> Floats:
    """A package's side: fields of colour, pictures, a name in large letters, small print."""
    lighter = np.clip(first * 1.25 + 0.1, 0, 1)
    ramp = np.linspace(0, 1, size, dtype=np.float32)[:, None] * np.ones((1, size), np.float32)
    picture = _blend(first, lighter, ramp)
    bound = int(rng.uniform(0.25, 0.75) * size)
    slope = int(rng.normal(0, 0.15) * size)
    field = np.array([[0, bound], [size, bound + slope], [size, size], [0, size]])
    cv2.fillPoly(picture, [field.astype(np.int32)], tuple(second.tolist()), cv2.LINE_AA)
    for _ in range(int(rng.integers(6, 16))):
        colour = tuple(rng.uniform(0.05, 1.0, 3).tolist())
        at = tuple(int(v) for v in rng.uniform(0.1, 0.9, 2) * size)
        reach = int(rng.uniform(0.02, 0.13) * size)
        if rng.random() < 0.6:
            axes = (reach, int(reach * rng.uniform(0.4, 1)))
            cv2.ellipse(picture, at, axes, rng.uniform(0, 180), 0, 360, colour, -1, cv2.LINE_AA)
        else:
            corners = at + rng.normal(0, reach, (int(rng.integers(3, 6)), 2))
            cv2.fillPoly(picture, [corners.astype(np.int32)], colour, cv2.LINE_AA)
    ink = np.ones(3, np.float32) if first.mean() < 0.5 else np.full(3, 0.05, np.float32)
    _letters(picture, rng, lines=int(rng.integers(3, 7)), ink=ink)
    return picture


def _letters(
    picture: Floats, rng: np.random.Generator, lines: int, ink: Floats, largest: float = 4.0
) -> None:
    size = len(picture)
    y = rng.uniform(0.12, 0.3)
    for line in range(lines):
        scale = (largest if line == 0 else rng.uniform(0.6, 1.6)) * size / 512
        word = "".join(chr(int(c)) for c in rng.integers(65, 91, int(rng.integers(4, 12))))
        thick = max(1, round(scale * (3 if line == 0 else 1.2)))
        at = (int(rng.uniform(0.04, 0.3) * size), int(y * size))
        cv2.putText(picture, word, at, int(rng.choice([0, 2, 3, 4])), scale,
                    tuple(ink.tolist()), thick, cv2.LINE_AA)  # fmt: skip
        y += rng.uniform(0.06, 0.16)


def _pages(size: int, first: Floats, second: Floats, rng: np.random.Generator) -> Floats:
    sheets = noise(size, (2.0, 300.0), rng, 0.4)
    return np.broadcast_to(first, (size, size, 3)) * (1 + 0.09 * sheets)[..., None]


def _keys(size: int, first: Floats, second: Floats, rng: np.random.Generator) -> Floats:
    """A laptop's upper side: keys, and a touch pad before them."""
    picture = np.broadcast_to(first, (size, size, 3)).astype(np.float32).copy()
    rows, columns = 6, 14
    left, top, width, height = 0.06 * size, 0.08 * size, 0.88 * size, 0.5 * size
    for row in range(rows):
        x = 0.0
        while x < columns:
            wide = 1.0 if row < rows - 1 else float(rng.choice([1.0, 1.0, 5.0]))
            wide = min(wide, columns - x)
            low = (int(left + width * (x + 0.08) / columns), int(top + height * (row + 0.1) / rows))
            high = (
                int(left + width * (x + wide - 0.08) / columns),
                int(top + height * (row + 0.9) / rows),
            )
            cv2.rectangle(picture, low, high, tuple(second.tolist()), -1, cv2.LINE_AA)
            mark = ((low[0] + high[0]) // 2, (low[1] + high[1]) // 2)
            cv2.circle(picture, mark, max(1, size // 160), (0.8, 0.8, 0.8), -1, cv2.LINE_AA)
            x += wide
    pad = (int(0.34 * size), int(0.66 * size)), (int(0.66 * size), int(0.94 * size))
    cv2.rectangle(picture, *pad, tuple((first * 0.85).tolist()), -1, cv2.LINE_AA)
    return picture


def _screen(size: int, first: Floats, second: Floats, rng: np.random.Generator) -> Floats:
    """A desktop with windows, in a dark frame."""
    picture = _print(size, first, second, rng)
    for _ in range(int(rng.integers(1, 4))):
        x, y = (int(v) for v in rng.uniform(0.08, 0.5, 2) * size)
        w, h = (int(v) for v in rng.uniform(0.25, 0.45, 2) * size)
        cv2.rectangle(picture, (x, y), (x + w, y + h), (0.94, 0.94, 0.95), -1)
        cv2.rectangle(picture, (x, y), (x + w, y + size // 30), (0.3, 0.35, 0.45), -1)
        for line in range(y + size // 15, y + h - size // 40, size // 32):
            end = x + int(w * rng.uniform(0.3, 0.92))
            cv2.line(picture, (x + size // 60, line), (end, line), (0.3, 0.3, 0.32), 2)
    border = size // 36
    for edge in (np.s_[:border], np.s_[-border:], np.s_[:, :border], np.s_[:, -border:]):
        picture[edge] = 0.02
    return picture


PATTERNS: dict[str, Painter] = {
    "wood": _wood,
    "planks": _planks,
    "tiles": _tiles,
    "carpet": _carpet,
    "plaster": _plaster,
    "concrete": _concrete,
    "marble": _marble,
    "cloth": _cloth,
    "plain": _plain,
    "cover": _spines,
    "print": _print,
    "pages": _pages,
    "keys": _keys,
    "screen": _screen,
}
