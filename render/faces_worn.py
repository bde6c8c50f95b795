"""What people wear on their faces and heads, drawn and put on; and their beards."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from render.settings import FaceShares
from render.worn import Bearer
from render.worn_glasses import Glasses, glasses_meshes, random_glasses
from render.worn_headwear import Headwear, Laid, laid, random_headwear
from render.worn_masks import Mask, mask_mesh, random_mask
from render.worn_shapes import Mesh, Shell

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Beard:
    """A beard that has grown.

    Attributes:
        kind: out of `BEARDS`.
        length_m: of its hairs.
        density: 0..1.
    """

    kind: str
    length_m: float
    density: float


BEARDS: Mapping[str, tuple[float, float, float]] = {
    "stubble": (0.4, 0.0015, 0.004),
    "full": (0.28, 0.007, 0.022),
    "goatee": (0.14, 0.006, 0.018),
    "moustache": (0.1, 0.007, 0.010),
    "chin": (0.08, 0.006, 0.022),
}
"""Share, least and greatest length in metres."""

BEARDED = 0.4
"""Of the men."""


@dataclass(frozen=True)
class Worn:
    """What somebody wears; None for what isn't."""

    glasses: Glasses | None = None
    mask: Mask | None = None
    headwear: Headwear | None = None
    beard: Beard | None = None

    def described(self) -> dict[str, str | None]:
        """As labels have it."""
        glasses, mask, headwear, beard = self.glasses, self.mask, self.headwear, self.beard
        kind = "sunglasses" if glasses is not None and glasses.sun else "glasses"
        return {
            "glasses": None if glasses is None else f"{kind} {glasses.outline}",
            "mask": None if mask is None else mask.kind,
            "headwear": None if headwear is None else headwear.kind,
            "beard": None if beard is None else beard.kind,
        }

    def tags(self) -> tuple[str, ...]:
        """Of a sample that shows it."""
        return tuple(name for name, what in self.described().items() if what is not None)


NOTHING = Worn()


def random_worn(rng: np.random.Generator, shares: FaceShares, age: str, sex: str) -> Worn:
    """What this person wears.

    Args:
        rng: of the sample.
        shares: of the data set's faces.
        age, sex: of the person.
    """
    chances = rng.random(4)
    glasses, mask = random_glasses(rng), random_mask(rng)
    headwear = random_headwear(rng, sex == "female")
    beard = _random_beard(rng)
    man = sex == "male" and age != "child"
    return Worn(
        glasses if chances[0] < shares.glasses else None,
        mask if chances[1] < shares.masks else None,
        headwear if chances[2] < shares.headwear else None,
        beard if man and chances[3] < BEARDED else None,
    )


def _random_beard(rng: np.random.Generator) -> Beard:
    weights = np.array([share for share, _, _ in BEARDS.values()])
    kind = str(rng.choice(list(BEARDS), p=weights / weights.sum()))
    _, low, high = BEARDS[kind]
    return Beard(kind, float(rng.uniform(low, high)), float(rng.uniform(0.5, 1.0)))


def beard_growth(kind: str, regions: Mapping[str, Floats]) -> tuple[Floats, int]:
    """Where a beard grows, (F,) of the rendered mesh's faces, and how many hairs at most.

    Args:
        kind: out of `BEARDS`.
        regions: the faces of "all", "moustache", "chin" and "jaw".
    """
    if kind == "moustache":
        return regions["moustache"], 900
    if kind == "goatee":
        return np.maximum(regions["moustache"], regions["chin"]), 1600
    if kind == "chin":
        return regions["jaw"], 3000
    return regions["all"], 3800 if kind == "stubble" else 4200


@dataclass(frozen=True)
class Fitted:
    """What somebody wears, on the head, in the skull's axes.

    Attributes:
        frame, lenses: of glasses.
        mask: cloth and loops; cloth: the cloth alone.
        headwear: laid over the head.
        shells: below which hair stays.
    """

    frame: Mesh | None = None
    lenses: Mesh | None = None
    mask: Mesh | None = None
    headwear: Laid | None = None
    shells: tuple[Shell, ...] = ()

    def tucked(self, strands_m: Floats) -> Floats | None:
        """Strands (N, K, 3) below masks and headwear; those that are covered all along are left
        out. None where none is left."""
        hidden = np.zeros(strands_m.shape[:2], dtype=bool)
        for shell in self.shells:
            strands_m, covered = shell.below(strands_m)
            hidden |= covered
        strands_m = strands_m[~hidden.all(axis=1)]
        return strands_m if len(strands_m) else None


def fitted(worn: Worn, bearer: Bearer, hair_m: float) -> Fitted:
    """Put it on.

    Args:
        worn: what.
        bearer: whose head.
        hair_m: how thick the hair is that headwear lies on.
    """
    frame = lenses = mask = headwear = None
    shells = []
    if worn.headwear is not None:
        headwear = laid(worn.headwear, bearer, hair_m)
        shells.append(headwear.shell)
    if worn.mask is not None:
        cloth, mask = mask_mesh(worn.mask, bearer)
        inside = np.array([bearer.middle[0], bearer.landmarks_m[13, 1] + 0.075, 0.0])
        inside[2] = bearer.landmarks_m[13, 2]
        shells.append(Shell(cloth.vertices_m, inside, 0.06))
    if worn.glasses is not None:
        frame, lenses = glasses_meshes(worn.glasses, bearer)
    return Fitted(frame, lenses, mask, headwear, tuple(shells))
