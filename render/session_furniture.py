"""Chairs, tables, shelves; axes and sizes as in `render.session_shapes`."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from render.session_materials import Rng, metal, stuff, surface_of
from render.session_solids import Solid, Surface, block, cap, tube, turned_profile

Floats = NDArray[np.float64]


def chair(rng: Rng) -> list[Solid]:
    """Four legs, a seat, a back of some kind, sometimes a cushion or rests for the arms."""
    width, depth = rng.uniform(0.38, 0.52), rng.uniform(0.38, 0.50)
    seat, top = rng.uniform(0.42, 0.50), rng.uniform(0.78, 1.05)
    thick = rng.uniform(0.018, 0.045)
    frame = stuff(rng)
    seat_made = frame if rng.random() < 0.4 else surface_of(rng, "cloth", (0.7, 0.95))
    legs = metal(rng) if rng.random() < 0.25 else frame
    x, z = width / 2, depth / 2
    solids = [block((-x, seat - thick, -z), (x, seat, z), frame, 0.006)]
    if seat_made is not frame:
        cushion = (-x + 0.015, seat, -z + 0.03), (x - 0.015, seat + 0.03, z - 0.01)
        solids.append(block(*cushion, seat_made, 0.012))
    solids += _legs(rng, x - 0.03, z - 0.03, seat - thick, legs, splay=rng.uniform(0, 0.05))
    lean = rng.uniform(0.0, 0.09)
    back = [np.array([side * (x - 0.02), seat - thick / 2, -z + 0.02]) for side in (-1, 1)]
    ends = [point + np.array([0, top - seat, -lean]) for point in back]
    for low, high in zip(back, ends):
        solids += tube(
            [low, (low + high) / 2 + (0, 0, 0.01), high], rng.uniform(0.012, 0.022), legs
        )
    solids += _backrest(rng, back, ends, frame, seat_made)
    if rng.random() < 0.3:
        for low, high in zip(back, ends):
            rest = low + (high - low) * 0.45
            front = np.array([rest[0], rest[1] - 0.01, z - 0.08])
            solids += tube([rest, front], 0.018, frame)
            foot = np.array([front[0], seat, front[2] + 0.02])
            solids += tube([front, foot], 0.014, frame)
    return solids


def _backrest(
    rng: Rng, low: list[Floats], high: list[Floats], frame: Surface, seat: Surface
) -> list[Solid]:
    def between(share: float, side: float) -> Floats:
        left, right = (a + (b - a) * share for a, b in zip(low, high))
        return np.asarray(left + (right - left) * side)

    kind, solids = rng.integers(3), []
    if kind == 0:  # a panel
        first = rng.uniform(0.25, 0.5)
        for step in np.linspace(first, 0.97, 5)[:-1]:
            wide = (0.97 - first) / 4
            a, b = between(step, 0.02), between(step + wide, 0.98)
            solids.append(block(np.minimum(a, b) - (0, 0, 0.008), np.maximum(a, b) + (0, 0, 0.008),
                                seat, 0.004))  # fmt: skip
    elif kind == 1:  # rungs
        for share in np.linspace(rng.uniform(0.3, 0.5), 0.95, int(rng.integers(2, 5))):
            a, b = between(share, 0.0), between(share, 1.0)
            solids.append(block(a - (0, 0.028, 0.007), b + (0, 0.028, 0.007), frame, 0.004))
    else:  # spindles under a rail
        a, b = between(0.97, 0.0), between(0.97, 1.0)
        solids.append(block(a - (0.01, 0.03, 0.011), b + (0.01, 0.03, 0.011), frame, 0.006))
        for side in np.linspace(0, 1, int(rng.integers(4, 8)))[1:-1]:
            solids += tube([between(0.0, side), between(0.95, side)], 0.008, frame, 8)
    return solids


def _legs(
    rng: Rng, x: float, z: float, top: float, made: Surface, splay: float = 0.0
) -> list[Solid]:
    solids: list[Solid] = []
    square, thick = rng.random() < 0.5 and splay < 0.015, rng.uniform(0.014, 0.026)
    for sx in (-1, 1):
        for sz in (-1, 1):
            if square:
                foot = np.array([sx * x, 0.0, sz * z])
                side = (thick, 0, thick)
                solids.append(block(foot - side, foot + side + (0, top, 0), made, 0.004))
            else:
                ends = [(sx * (x + splay), 0, sz * (z + splay)), (sx * x, top, sz * z)]
                solids += tube(ends, np.array([0.7, 1.1]) * thick, made)
    return solids


def table(rng: Rng) -> list[Solid]:
    """On four legs, or a round one on one; low or high. Its longer side lies along x."""
    top_made = stuff(rng) if rng.random() < 0.8 else surface_of(rng, "marble", (0.1, 0.3))
    legs = top_made if rng.random() < 0.5 else metal(rng)
    height, thick = (
        rng.choice([rng.uniform(0.38, 0.5), rng.uniform(0.68, 0.78)]),
        rng.uniform(0.018, 0.05),
    )
    if rng.random() < 0.3:  # round, on a pedestal
        radius = rng.uniform(0.28, 0.5)
        rim = [(radius, height - thick), (radius, height)]
        edge = turned_profile(rim, top_made, 48)
        ring = turned_profile([(radius, 0.0), (radius, 0.01)], top_made, 48).vertices_m[:48]
        solids = [edge, cap(ring + (0, height, 0), top_made)]
        solids.append(cap(ring[::-1] + (0, height - thick, 0), top_made))
        solids += tube([(0, 0.015, 0), (0, height - thick, 0)], rng.uniform(0.025, 0.05), legs, 20)
        foot = radius * rng.uniform(0.55, 0.8)
        solids.append(
            turned_profile([(foot, 0), (foot, 0.012), (foot * 0.9, 0.02), (0.03, 0.035)], legs)
        )
        return solids
    x, z = rng.uniform(0.3, 0.75), rng.uniform(0.2, 0.4)
    x, z = max(x, 1.15 * z), z
    solids = [block((-x, height - thick, -z), (x, height, z), top_made, 0.005)]
    inset = rng.uniform(0.03, 0.07)
    solids += _legs(rng, x - inset, z - inset, height - thick, legs)
    if rng.random() < 0.6:
        low, high = height - thick - rng.uniform(0.04, 0.09), height - thick
        for side in (-1, 1):
            at = side * (z - inset)
            solids.append(block((-x + inset, low, at - 0.009), (x - inset, high, at + 0.009), legs))
            at = side * (x - inset)
            solids.append(block((at - 0.009, low, -z + inset), (at + 0.009, high, z - inset), legs))
    return solids


def shelf(rng: Rng) -> list[Solid]:
    """Boards between two sides, with some books."""
    width, depth, height = rng.uniform(0.4, 1.0), rng.uniform(0.22, 0.38), rng.uniform(0.6, 1.7)
    made, thick = stuff(rng), rng.uniform(0.014, 0.028)
    x, z = width / 2, depth / 2
    solids = [
        block((side * x - (thick if side > 0 else 0), 0, -z),
              (side * x + (thick if side < 0 else 0), height, z), made)
        for side in (-1, 1)
    ]  # fmt: skip
    if rng.random() < 0.7:
        solids.append(block((-x + thick, 0.02, -z), (x - thick, height, -z + 0.006), made, 0.001))
    boards = np.linspace(rng.uniform(0.02, 0.1), height - thick, int(rng.integers(3, 6)))
    for low, above in zip(boards, [*boards[1:], 0.0]):
        solids.append(
            block((-x + thick, low, -z + 0.006), (x - thick, low + thick, z - 0.003), made)
        )
        if above:
            solids += _row_of_books(rng, x - thick, z, low + thick, above - low - 2 * thick)
    return solids


def _row_of_books(rng: Rng, x: float, z: float, foot: float, room: float) -> list[Solid]:
    solids: list[Solid] = []
    covers = [surface_of(rng, "cover", (0.4, 0.8)) for _ in range(5)]
    at, end = -x + 0.01 + rng.uniform(0, x), x - 0.04
    while at < end and rng.random() < 0.95 and len(solids) < 24:
        wide = min(rng.uniform(0.012, 0.05), end - at + 0.02)
        tall, deep = room * rng.uniform(0.55, 0.93), 2 * z * rng.uniform(0.5, 0.8)
        low = (at, foot, -z + 0.02)
        solids.append(block(low, (at + wide, foot + tall, -z + 0.02 + deep),
                            covers[int(rng.integers(5))], 0.002, fit=True))  # fmt: skip
        at += wide + 0.001
    return solids
