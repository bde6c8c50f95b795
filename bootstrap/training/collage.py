"""Scenes made of cut-outs: subjects of any size and turn before backgrounds they never stood at.

Renders show one or two subjects that fill the picture; a camera sees small ones in a room. What is
drawn: a background with pieces of others and of skin in arbitrary shapes, which teach that neither
edges nor skin make a subject; then distractors, then subjects, the largest first so that none is
hidden. Light is brought nearer to the background's; the caller's photometry (blur, noise,
compression) goes over everything and takes the seams with it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from bootstrap.training.anchors import Truth, centred_iou
from bootstrap.training.cutouts import Cutout, Image, Scene, ScenePictures
from bootstrap.training.pieces import blend, shape_mask
from bootstrap.training.subjects import Floats
from runtime.topology import Topology

SHARES = {"face478@1": (0.08, 0.95), "hand21@1": (0.05, 0.55)}
"""Side of a subject's box over the input's, from and to; a hand is about twice its palm's box.
Below it either has 10 pixels, and what looks like one is everywhere."""
UPRIGHT_RAD = {"face478@1": math.radians(18), "hand21@1": math.radians(35)}
"""Standard deviation of the turn of those that stand as in their render."""
ANY_TURN = {"face478@1": 0.0, "hand21@1": 0.5}
"""Share of those that are turned in any way."""
MOST_TURN_RAD = {"face478@1": math.radians(45), "hand21@1": math.pi}
MOST_MAGNIFIED = 2.0
"""Pixels of an example over those of the render: beyond it, small hands of bodies are a blur."""
MORE_SUBJECTS = (0.5, 0.25, 0.15, 0.1)
"""Chance of so many beside the first: 0, 1, 2, 3."""
DISTRACTORS = (0.4, 0.35, 0.25)
PIECES, MANY_PIECES, _MANY_SHARE = 4, 24, 0.25
"""Most shapes on a background, and on the share that is strewn with small ones: photographs have
far more edges than the places that renders stand before."""
_TRIES = 6
_MOST_OVERLAP = 0.1
_WIDEST_ASPECT = 16 / 9
_BARS_SHARE = 0.5
_FADED_SHARE = 0.4
_BLACK_SHARE = 0.02


@dataclass(frozen=True)
class Supply:
    """What collages are made of.

    Attributes:
        scenes: with subjects, and empty ones.
        others: with other subjects.
        pictures: of all of them.
        topology: of the subjects.
        size: of the network's input.
    """

    scenes: Sequence[Scene]
    others: Sequence[Scene]
    pictures: ScenePictures
    topology: Topology
    size: int


@dataclass(frozen=True)
class _Placed:
    """A cut-out and its place: (2, 3) pixels of its first level to pixels of the input."""

    cutout: Cutout
    mirrored: bool
    to_input: Floats
    truths: tuple[Truth, ...]
    share: float


def collage(
    first: Scene, supply: Supply, rng: np.random.Generator
) -> tuple[Image, tuple[Truth, ...], NDArray[np.bool_]] | None:
    """A scene with the subjects of `first` and of others, or with none if `first` is empty.

    Returns:
        (S, S, 3) uint8 RGB, what is to be found in its pixels, and (S, S) where the letterbox is;
        None where `first` can't be cut out.
    """
    start = supply.pictures.cutout(first) if first.subjects else None
    if first.subjects and start is None:
        return None
    size = supply.size
    visible = _visible(size, rng)
    canvas = _background(first, supply, rng)
    strewn = rng.random() < _MANY_SHARE
    for _ in range(int(rng.integers(0, (MANY_PIECES if strewn else PIECES) + 1))):
        _paste_piece(canvas, supply, rng, 0.15 if strewn else 0.5)
    for placed in _distractors(supply, visible, rng):
        _paste(canvas, placed, rng)
    placed_subjects = _subjects(start, supply, visible, rng) if start else []
    truths: list[Truth] = []
    for placed in placed_subjects:
        cover = _paste(canvas, placed, rng)
        # The next one's clothes, carried on to the picture's edge, may hide what is drawn already.
        truths = [replace(one, shown=one.shown * (1 - _covered(one, cover))) for one in truths]
        truths += placed.truths
    x, y, right, below = visible
    bars = np.ones((size, size), dtype=bool)
    bars[y:below, x:right] = False
    return canvas, tuple(truths), bars


def _visible(size: int, rng: np.random.Generator) -> tuple[int, int, int, int]:
    """Left, top, right, bottom of what the letterbox leaves."""
    if rng.random() >= _BARS_SHARE:
        return 0, 0, size, size
    aspect = math.exp(rng.uniform(0, math.log(_WIDEST_ASPECT)))
    bar = round(size * (1 - 1 / aspect) / 2)
    return (0, bar, size, size - bar) if rng.random() < 0.6 else (bar, 0, size - bar, size)


def _background(first: Scene, supply: Supply, rng: np.random.Generator) -> Image:
    behind = None
    if not first.subjects:
        behind = supply.pictures.of(first)[0]
    elif rng.random() >= _BLACK_SHARE:
        pool = supply.others if supply.others and rng.random() < 0.4 else supply.scenes
        behind = supply.pictures.background(pool[int(rng.integers(len(pool)))])
    if behind is None:
        return np.full((supply.size, supply.size, 3), rng.integers(0, 256), dtype=np.uint8)
    return _window(behind, supply.size, rng, least=0.35)


def _window(image: Image, size: int, rng: np.random.Generator, least: float) -> Image:
    """A turned square piece of a picture as the whole input."""
    height, width = image.shape[:2]
    side = min(height, width) * rng.uniform(least, 1.0)
    angle = rng.normal(0.0, 0.2)
    scale = size / side
    cos, sin = scale * math.cos(angle), scale * math.sin(angle)
    flip = 1.0 if rng.random() < 0.5 else -1.0
    turn = np.array([[cos * flip, -sin], [sin * flip, cos]])
    reach = np.maximum(np.array([width, height]) - side, 0) / 2
    centre = np.array([width, height]) / 2 + rng.uniform(-1, 1, 2) * reach
    to_input = np.hstack([turn, (size / 2 - turn @ centre)[:, None]])
    return cv2.warpAffine(image, to_input, (size, size), borderMode=cv2.BORDER_REFLECT_101)


def _paste_piece(canvas: Image, supply: Supply, rng: np.random.Generator, most: float) -> None:
    """An arbitrary shape of another background's or of skin's colours; see `shape_mask`."""
    mask = shape_mask(supply.size, rng, most)
    x, y, width, height = cv2.boundingRect(mask)
    scene = supply.scenes[int(rng.integers(len(supply.scenes)))]
    skin = rng.random() < 0.5
    if width * height == 0:
        return
    size = max(width, height)
    cut = supply.pictures.cutout(scene) if skin else None
    if cut is not None and cut.truths:
        texture = _skin(cut, size, rng)
    else:
        behind = supply.pictures.background(scene)
        if behind is None:
            return
        texture = _window(behind, size, rng, least=0.15)
    blend(canvas, texture[:height, :width], mask, (x, y, width, height), rng)


def _skin(cut: Cutout, size: int, rng: np.random.Generator) -> Image:
    """A small piece of a subject's middle, magnified until it has no shape."""
    truth = cut.truths[int(rng.integers(len(cut.truths)))]
    side = float(truth.box[2]) * rng.uniform(0.25, 0.5)
    centre = truth.box[:2] + rng.uniform(-0.15, 0.15, 2) * truth.box[2]
    scale = size / max(side, 4.0)
    to_input = np.hstack([np.eye(2) * scale, (size / 2 - centre * scale)[:, None]])
    return cv2.warpAffine(cut.levels[0], to_input, (size, size), borderMode=cv2.BORDER_REFLECT_101)[
        ..., :3
    ]


def _distractors(
    supply: Supply, visible: tuple[int, int, int, int], rng: np.random.Generator
) -> list[_Placed]:
    if not supply.others:
        return []
    placed = []
    for _ in range(int(rng.choice(len(DISTRACTORS), p=DISTRACTORS))):
        cut = supply.pictures.cutout(supply.others[int(rng.integers(len(supply.others)))])
        if cut is not None:
            placed.append(_somewhere(cut, supply, visible, rng))
    return sorted(placed, key=lambda one: -one.share)


def _subjects(
    first: Cutout, supply: Supply, visible: tuple[int, int, int, int], rng: np.random.Generator
) -> list[_Placed]:
    cuts = [first]
    for _ in range(int(rng.choice(len(MORE_SUBJECTS), p=MORE_SUBJECTS))):
        scene = supply.scenes[int(rng.integers(len(supply.scenes)))]
        cut = supply.pictures.cutout(scene) if scene.subjects else None
        cuts += [cut] if cut is not None else []
    placed: list[_Placed] = []
    for cut in cuts:
        for _ in range(_TRIES):
            one = _somewhere(cut, supply, visible, rng)
            if not _collides(one, placed):
                placed.append(one)
                break
    return sorted(placed, key=lambda one: -one.share)


def _collides(one: _Placed, placed: Sequence[_Placed]) -> bool:
    before = [truth.box for other in placed for truth in other.truths]
    if not before:
        return False
    mine = np.stack([truth.box for truth in one.truths])
    a, b = mine[:, None], np.stack(before)[None]
    # A small one on a large one's middle has a small overlap, but hides what matters.
    inside = (np.abs(a[..., :2] - b[..., :2]) * 2 < 0.8 * np.maximum(a[..., 2:], b[..., 2:])).all(2)
    return bool(inside.any() or (centred_iou(mine, np.stack(before)) > _MOST_OVERLAP).any())


def _somewhere(
    cut: Cutout, supply: Supply, visible: tuple[int, int, int, int], rng: np.random.Generator
) -> _Placed:
    """The cut-out at a random place, size and turn."""
    name = supply.topology.id
    mirrored = bool(rng.random() < 0.5)
    truths = cut.mirrored if mirrored else cut.truths
    height, width = cut.levels[0].shape[:2]
    share = math.exp(rng.uniform(*np.log(SHARES[name])))
    if truths:
        anchor = truths[int(rng.integers(len(truths)))]
        middle, side = anchor.box[:2].astype(np.float64), float(anchor.box[2])
    else:
        middle, side = np.array([width, height]) / 2, 0.5 * max(width, height)
    if rng.random() < ANY_TURN.get(name, 0.0):
        angle = rng.uniform(-math.pi, math.pi)
    else:
        most = MOST_TURN_RAD.get(name, math.pi)
        angle = float(np.clip(rng.normal(0.0, UPRIGHT_RAD.get(name, 0.1)), -most, most))
    scale = min(share * supply.size / max(side, 1.0), MOST_MAGNIFIED)
    share = scale * side / supply.size
    cos, sin = scale * math.cos(angle), scale * math.sin(angle)
    turn = np.array([[cos, -sin], [sin, cos]])
    x, y, right, below = visible
    goal = rng.uniform((x, y), (right, below))
    to_input = np.hstack([turn, (goal - turn @ middle)[:, None]])
    moved = tuple(_moved(truth, to_input, scale) for truth in truths)
    return _Placed(cut, mirrored, to_input, moved, share)


def _moved(truth: Truth, to_input: NDArray[np.float64], scale: float) -> Truth:
    points = np.vstack([truth.box[:2], truth.keypoints]) @ to_input[:, :2].T + to_input[:, 2]
    box = np.concatenate([points[0], truth.box[2:] * scale]).astype(np.float32)
    return replace(truth, box=box, keypoints=points[1:].astype(np.float32))


def _paste(canvas: Image, placed: _Placed, rng: np.random.Generator) -> Image:
    """Draw a cut-out; what its picture's border cuts is carried on beyond it.

    Returns:
        (S, S) uint8 coverage.
    """
    scale = float(np.hypot(*placed.to_input[:, 0]))
    shrunk = max(0.0, -math.log2(scale))
    # Between the sharpest the runtime's own bilinear crop gives of a large picture and a soft one.
    level = int(np.clip(math.floor(shrunk + rng.uniform(-1.0, 0.5)), 0, 10))
    level = min(level, len(placed.cutout.levels) - 1)
    source = placed.cutout.levels[level]
    if placed.mirrored:
        source = cv2.flip(source, 1)
    # Continuous coordinates count from a pixel's corner, OpenCV's from its centre.
    turn = placed.to_input[:, :2] * 2.0**level
    start = placed.to_input[:, 2] + turn @ np.array([0.5, 0.5]) - 0.5
    drawn = cv2.warpAffine(
        source, np.hstack([turn, start[:, None]]), canvas.shape[1::-1],
        flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE,
    )  # fmt: skip
    alpha = np.ascontiguousarray(drawn[..., 3])
    if placed.truths and rng.random() < _FADED_SHARE:
        alpha = (alpha * _faded(placed, canvas.shape[0], rng)).astype(np.uint8)
    x, y, width, height = rect = cv2.boundingRect(alpha)
    if width * height:
        blend(canvas, drawn[y : y + height, x : x + width, :3], alpha, rect, rng)
    return alpha


def _covered(truth: Truth, cover: Image) -> float:
    """Share of what the picture shows of a box that (S, S) `cover` lies on."""
    low = np.clip(truth.box[:2] - truth.box[2:] / 2, 0, None).astype(int)
    high = np.clip(truth.box[:2] + truth.box[2:] / 2, 0, None).astype(int)
    part = cover[low[1] : high[1], low[0] : high[0]]
    return float(part.mean()) / 255 if part.size else 0.0


def _faded(placed: _Placed, size: int, rng: np.random.Generator) -> Floats:
    """(S, S) 1 at the subjects, 0 far from them: an arm needn't be seen to its end."""
    steps = np.arange(size, dtype=np.float32) + 0.5
    least = np.full((size, size), np.inf, dtype=np.float32)
    for truth in placed.truths:
        cx, cy, side, _ = truth.box
        away = np.hypot(steps[None] - cx, steps[:, None] - cy) / side
        least = np.minimum(least, away)
    start = rng.uniform(1.6, 2.6)
    result: Floats = np.clip((start - least) / rng.uniform(0.05, 0.6) + 1, 0, 1)
    return result.astype(np.float32)
