"""Parametric furniture and things, each a list of solids in the object's own axes.

Axes are Objectron's: +y up, the front looks along +z; the foot stands on y = 0. Sizes are those of
what people own.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from render.session_furniture import chair, shelf, table
from render.session_materials import Rng, surface_of
from render.session_solids import (
    Solid,
    Surface,
    about,
    block,
    bounds_m,
    cap,
    stacked,
    tube,
    turned_profile,
)

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Kind:
    """A category of objects.

    Attributes:
        build: draws one.
        symmetry: about its up axis: "none", "half" (turned by 180 degrees it looks the same) or
            "round".
        small: whether it stands on tables, too.
    """

    build: Callable[[Rng], list[Solid]]
    symmetry: str
    small: bool


def built(category: str, rng: Rng) -> tuple[list[Solid], Floats]:
    """One object of a category.

    Args:
        category: of CATEGORIES.
        rng: draws it.

    Returns:
        Its solids, moved so that the middle of their tight box is the origin; that box's (3,) size
        in metres.
    """
    solids = CATEGORIES[category].build(rng)
    low, high = bounds_m(solids)
    return [solid.moved(-(low + high) / 2) for solid in solids], high - low


def _book(rng: Rng) -> list[Solid]:
    x, z, y = rng.uniform(0.05, 0.11), rng.uniform(0.08, 0.15), rng.uniform(0.012, 0.05)
    cover = surface_of(rng, "print" if rng.random() < 0.5 else "cover", (0.25, 0.7))
    pages = Surface("pages", (0.93, 0.91, 0.84), roughness=0.9, seed=int(rng.integers(2**31)))
    board = 0.0022
    return [
        block((-x, 0, -z), (x, board, z), cover, 0.0006, fit=True),
        block((-x, y - board, -z), (x, y, z), cover, 0.0006, fit=True),
        block((-x, board, -z), (-x + board, y - board, z), cover, 0.0006, fit=True),
        block((-x + board, board, -z + 0.004), (x - 0.004, y - board, z - 0.004), pages, 0.0003),
    ]


def _cereal_box(rng: Rng) -> list[Solid]:
    x, y, z = rng.uniform(0.06, 0.12), rng.uniform(0.16, 0.34), rng.uniform(0.02, 0.05)
    return [block((-x, 0, -z), (x, y, z), surface_of(rng, "print", (0.3, 0.6)), 0.001, fit=True)]


def _glaze(rng: Rng) -> Surface:
    return surface_of(rng, ["plain", "plain", "tiles", "marble"][rng.integers(4)], (0.05, 0.25))


def _cup(rng: Rng) -> list[Solid]:
    height, radius = rng.uniform(0.075, 0.12), rng.uniform(0.034, 0.048)
    foot, wall = radius * rng.uniform(0.65, 1.0), 0.004
    bulge = rng.uniform(-0.1, 0.12) * radius
    glaze = _glaze(rng)
    rise = np.linspace(0, 1, 10)
    outer = foot + (radius - foot) * rise**0.6 + bulge * np.sin(math.pi * rise)
    profile = list(zip(outer.tolist(), (rise * height).tolist()))
    inner = [(max(float(r) - wall, 0.01), max(y, 0.006)) for r, y in reversed(profile)]
    inside = Surface(**{**glaze.__dict__, "pattern": "plain"})
    lip = float(outer[-1])
    rim = [(lip, height), (lip - wall / 2, height + 0.0015), (inner[0][0], height)]
    solids = [
        turned_profile(profile, glaze, 48),
        turned_profile(rim, inside, 48),
        turned_profile([*inner, (0.0005, 0.006)], inside, 48),
        cap(turned_profile([(foot, 0.0), (foot, 1.0)], glaze, 48).vertices_m[:48][::-1], inside),
    ]
    if rng.random() < 0.75:
        turn = np.linspace(-0.5, 0.5, 14) * math.pi
        out, tall = rng.uniform(0.02, 0.032), height * rng.uniform(0.26, 0.36)
        middle = height * 0.52
        reach = np.interp(middle, rise * height, outer) - 0.003
        path = np.stack(
            [reach + out * np.cos(turn), middle + tall * np.sin(turn), 0 * turn], axis=1
        )
        solids += tube(path, rng.uniform(0.004, 0.0065), glaze)
    coffee = Surface("plain", (0.10, 0.05, 0.03), roughness=0.1)
    if rng.random() < 0.4:
        level = height * rng.uniform(0.6, 0.85)
        wet = float(np.interp(level, rise * height, outer)) - wall
        ring = turned_profile([(wet, level), (wet, 1.0)], coffee, 48).vertices_m[:48]
        solids.append(cap(ring, coffee))
    return solids


def _bottle(rng: Rng) -> list[Solid]:
    height, radius = rng.uniform(0.19, 0.32), rng.uniform(0.029, 0.043)
    neck = radius * rng.uniform(0.3, 0.45)
    shoulder, throat = rng.uniform(0.5, 0.68), rng.uniform(0.76, 0.85)
    body, lid = surface_of(rng, "plain", (0.05, 0.3)), surface_of(rng, "plain", (0.2, 0.6))
    t = np.linspace(0, 1, 9)
    fall = radius + (neck - radius) * (3 * t**2 - 2 * t**3)
    profile = [
        (radius * 0.86, 0.0),
        (radius * 0.97, 0.004),
        (radius, 0.01),
        (radius, shoulder * height),
    ]
    rise = height * (shoulder + (throat - shoulder) * t[1:])
    profile += list(zip(fall[1:].tolist(), rise.tolist()))
    profile.append((neck, 0.93 * height))
    low, high = sorted(rng.uniform(0.12, shoulder - 0.03, 2))
    low, high = low * height, max(high, low + 0.15) * height
    label = [(radius + 0.0006, low), (radius + 0.0006, min(high, shoulder * height))]
    cover = neck * 1.18
    top = turned_profile([(cover, height), (cover, 2 * height)], lid, 40).vertices_m[:40]
    foot = turned_profile([(radius * 0.86, 0.0), (radius, 1.0)], body, 40).vertices_m[:40]
    return [
        turned_profile(profile, body),
        turned_profile(label, surface_of(rng, "print", (0.4, 0.8)), fit=True),
        turned_profile([(cover, 0.915 * height), (cover, height)], lid),
        cap(top, lid),
        cap(foot[::-1], body),
    ]


def _laptop(rng: Rng) -> list[Solid]:
    x, depth, thick = rng.uniform(0.14, 0.185), rng.uniform(0.2, 0.255), rng.uniform(0.012, 0.02)
    grey = float(rng.choice([rng.uniform(0.05, 0.15), rng.uniform(0.5, 0.8)]))
    case = Surface("plain", (grey,) * 3, (grey,) * 3, 0.35, 0.5, int(rng.integers(2**31)))
    keys = Surface("keys", (grey,) * 3, (0.05, 0.05, 0.055), 0.5, 0.0, case.seed)
    screen = surface_of(rng, "screen", (0.12, 0.3))
    upper = block((-x, thick - 0.001, -depth / 2), (x, thick, depth / 2), keys, 0.0002, fit=True)
    lid = [
        block((-x, 0, -0.006), (x, depth, 0), case, 0.002),
        block((-x, 0.004, 0), (x, depth - 0.003, 0.0012), screen, 0.0002, fit=True),
    ]
    back = about("x", -math.radians(rng.uniform(5, 40)))
    hinge = (0, thick, -depth / 2)
    return [
        block((-x, 0, -depth / 2), (x, thick - 0.001, depth / 2), case, 0.003),
        upper,
        *(solid.turned(back).moved(hinge) for solid in lid),
    ]


def _shoe(rng: Rng) -> list[Solid]:
    length, collar = rng.uniform(0.23, 0.31), rng.uniform(0.085, 0.13)
    half = length * rng.uniform(0.17, 0.19)
    sole, thick = surface_of(rng, "plain", (0.5, 0.9)), rng.uniform(0.014, 0.032)
    upper = surface_of(rng, ["cloth", "plain", "plain"][rng.integers(3)], (0.4, 0.9))
    left = rng.random() < 0.5
    ground = _outline(length, half, left)
    rings = [ground * (1, 0, 1) + (0, y, 0) for y in (0.0, thick * 0.5, thick)]
    rings[0] = rings[0] * (0.95, 1, 0.97)
    solids = [stacked(np.array(rings), sole), cap(rings[0][::-1], sole)]
    skin = [_upper_ring(ground, length, thick, collar, share) for share in np.linspace(0, 1, 12)]
    solids.append(stacked(np.array(skin), upper))
    lining = surface_of(rng, "cloth", (0.8, 1.0))
    rim = skin[-1]
    middle = rim.mean(axis=0)
    inside = [middle + (rim - middle) * (s, 1, s) + (0, y, 0)
              for s, y in ((1.0, 0.0), (0.9, 0.002), (0.84, -0.01), (0.78, -0.05))]  # fmt: skip
    solids.append(stacked(np.array(inside), lining))
    solids.append(cap(inside[-1], lining))
    return solids + _laces(rng, skin, surface_of(rng, "plain", (0.7, 0.9)))


def _outline(length: float, half: float, left: bool, count: int = 48) -> Floats:
    """A foot's outline on the ground, toe at +z, counter-clockwise from above."""
    turn = np.linspace(0, 2 * math.pi, count, endpoint=False)
    along, across = np.cos(turn), np.sin(turn)
    # Widest at the ball, narrow at the waist, round at the heel.
    wide = 1.0 + 0.16 * np.tanh(2.2 * along) - 0.13 * np.exp(-((along + 0.15) ** 2) / 0.12)
    x = half * wide * np.sign(across) * np.abs(across) ** 0.8
    x = x - (1 if left else -1) * half * 0.16 * (along + 0.3) * np.clip(along, 0, 1)
    return np.stack([x, np.zeros(count), length / 2 * along], axis=1)


def _upper_ring(ground: Floats, length: float, foot: float, collar: float, share: float) -> Floats:
    """The upper's outline at a share of its height: the front recedes over toe box and instep."""
    ring = ground.copy()
    back = -length / 2
    toe = 0.42 * share if share < 0.4 else 0.168 + 0.60 * (share - 0.4)
    reach = 1 - min(toe * 1.25, 0.62)
    slim = 1 - 0.10 * share - 0.30 * share**2
    front = (ring[:, 2] - back) / length  # 0 heel, 1 toe
    ring[:, 2] = back + 0.006 * math.sin(math.pi * share) + front * length * reach
    ring[:, 0] *= slim * (0.985 if share else 1.0)
    dip = 0.16 * share * np.sin(math.pi * np.clip(front, 0, 1)) ** 2
    ring[:, 1] = foot + (collar - foot) * (share - dip * share + 0.10 * share * (front - 0.5))
    # The toe box is round, not a wall.
    ring[:, 2] -= 0.10 * length * share * np.clip(front - 0.7, 0, 1) * (share < 0.5)
    return ring


def _laces(rng: Rng, skin: list[Floats], made: Surface) -> list[Solid]:
    solids: list[Solid] = []
    for ring in skin[5:11]:
        tip = ring[0]
        left, right = ring[4], ring[-4]
        lift = np.array([0, 0.004, 0.004])
        solids += tube([left, tip + lift + (0, 0, 0.001), right], 0.0026, made, 8)
    return solids


CATEGORIES: dict[str, Kind] = {
    "book": Kind(_book, "none", True),
    "bottle": Kind(_bottle, "round", True),
    "cereal_box": Kind(_cereal_box, "half", True),
    "chair": Kind(chair, "none", False),
    "cup": Kind(_cup, "round", True),
    "laptop": Kind(_laptop, "none", True),
    "shelf": Kind(shelf, "none", False),
    "shoe": Kind(_shoe, "none", True),
    "table": Kind(table, "half", False),
}
"""Category -> how it is made; named as Objectron names its own."""
