"""Brows, lashes, hair and worn things for a user's head: what Anny's people have."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from render.assembly import Part
from render.faces_draw import draw_hair_colour
from render.faces_hair import HAIR_STYLES, Surface, grown_brows, grown_hair, grown_lashes
from render.faces_head import HeadShape, unrolled, vertex_normals
from render.faces_outfit import Outfit, worn_parts
from render.faces_paint import TEXTURE_SIZE, SkinPainter, picked, scalp_density
from render.faces_worn import Fitted, Worn, fitted, random_worn
from render.morphable import MorphableModel
from render.morphable_landmarks import Landmarks
from render.settings import FaceShares
from render.skin_tones import hair_colour
from render.worn import Bearer
from runtime.camera import transform_points
from runtime.topology import topology

Floats = NDArray[np.float64]

SKULL_M = 0.13
"""A model whose vertices reach this far behind the eyes has a head to put something on."""


@dataclass(frozen=True)
class Groomed:
    """Colour of brows and lashes (3,), hairs in a brow, length of lashes, what is worn, and the
    hair: its style, "bald" for none, the colour's name and albedo (3,)."""

    albedo: tuple[float, float, float]
    brow_hairs: int
    lash_length_m: float
    worn: Worn
    hair_style: str
    hair_colour: str
    hair_albedo: tuple[float, float, float]


def random_groomed(
    rng: np.random.Generator, shares: FaceShares, skull: bool, tone_number: int
) -> Groomed:
    """Brows, lashes, hair and worn things.

    Args:
        rng: of the sample.
        shares: of the data set's faces.
        skull: whether hair and headwear find a head.
        tone_number: of the skin, 0..9 from light to dark.
    """
    name = draw_hair_colour(rng, tone_number, "senior" if rng.random() < 0.15 else "adult")
    brows = hair_colour("brown" if name in ("white", "blond") else name)
    red, green, blue = (0.8 * brows).tolist()
    hairs, lashes = int(rng.integers(110, 320)), float(rng.uniform(0.005, 0.0085))
    # Nobody knows these people's sex: neither beards nor headscarves.
    worn = random_worn(rng, shares, "adult", "male")
    worn = Worn(worn.glasses, worn.mask, worn.headwear if skull else None)
    style = str(rng.choice(["bald", *HAIR_STYLES])) if skull else "bald"
    r, g, b = (hair_colour(name) * rng.uniform(0.75, 1.3)).tolist()
    return Groomed((red, green, blue), hairs, lashes, worn, style, name, (r, g, b))


class Dress:
    """Grows and fits them.

    Args:
        outfit: what is grown and worn in Blender.
        model: the head.
        landmarks: where they sit on it.
    """

    def __init__(self, outfit: Outfit, model: MorphableModel, landmarks: Landmarks) -> None:
        self._outfit, self._landmarks = outfit, landmarks
        self._faces = np.concatenate([model.triangles, model.triangles[:, 2:]], axis=1).astype(int)
        mean = model.mean_m.astype(np.float64)
        middle = np.mean([eye.centre_m for eye in landmarks.eyes(mean, mean, (0.0, 0.0))], axis=0)
        painter = SkinPainter(landmarks.points(mean) - middle)
        uv = unrolled(mean[model.triangles] - middle).mean(axis=1)
        before = mean[model.triangles].mean(axis=1)[:, 1] < middle[1] + 0.03
        self._brows = [picked(painter.brow_region(side), uv) ** 3 * before for side in (0, 1)]
        self.skull = bool((mean[:, 1] > middle[1] + SKULL_M).any())
        self._scalp_faces, self._scalp = self._scalps(model, mean)

    def _scalps(self, model: MorphableModel, mean: Floats) -> tuple[Floats, Floats]:
        """(F,) and (V,) 1 on the scalp, by where Anny's hairline runs on a head of this size."""
        if not self.skull:
            return np.zeros(len(model.triangles)), np.zeros(len(mean))
        bearer = self.bearer(HeadShape(
            mean, mean, self._landmarks.eyes(mean, mean, (0.0, 0.0)), np.eye(3), np.eye(4)
        ))  # fmt: skip
        places = (mean - bearer.middle) / bearer.scale
        width, height = TEXTURE_SIZE
        density = scalp_density(height, width, 0.0)

        def on(points: Floats) -> Floats:
            # A head that is higher than Anny's has hair there, too.
            return picked(density, np.clip(unrolled(points), 0.002, 0.998))

        return on(places[model.triangles].mean(axis=1)), on(places)

    def scalp(self, groomed: Groomed) -> Floats:
        """(V,) 0..1, how much hair roots darken the skin."""
        return self._scalp * (groomed.hair_style != "bald")

    def bearer(self, shape: HeadShape) -> Bearer:
        """A head as what is worn sees it, in the model's axes."""
        eyes = np.stack([eye.centre_m for eye in shape.eyes])
        ears = shape.base_m[list(self._landmarks.tragions)]
        places = self._landmarks.points(shape.base_m)
        return Bearer(shape.base_m, places, eyes, shape.eyes[0].radius_m, ears)

    def normals(self, shape: HeadShape) -> Floats:
        """(V, 3) of the head's vertices."""
        return vertex_normals(shape.base_m, self._faces)

    def parts(
        self, groomed: Groomed, shape: HeadShape, world_from_person: Floats,
        rng: np.random.Generator, base: int,
    ) -> list[Part]:  # fmt: skip
        """Grow hairs, and what is worn as parts of a mesh.

        Args:
            groomed: what.
            shape: whose.
            world_from_person: (4, 4) rigid.
            rng: where hairs grow.
            base: the mesh's slots from there on are the outfit's.
        """
        outfit, bearer = self._outfit, self.bearer(shape)
        places = bearer.landmarks_m
        surface = Surface(shape.base_m, self.normals(shape), self._faces)
        contours = topology("face478@1").contours
        brows = [
            grown_brows(
                surface, density, places[list(contours[f"{side}_brow_lower"].indices)],
                groomed.brow_hairs, 0.0075, rng,
            )
            for side, density in zip(("right", "left"), self._brows)
        ]  # fmt: skip
        outfit.dye(groomed.hair_albedo, groomed.albedo)
        outfit.grow("brows", transform_points(world_from_person, np.concatenate(brows)), 0.00016)
        lashes = grown_lashes(places, shape.eyes, groomed.lash_length_m, rng)
        outfit.grow("lashes", transform_points(world_from_person, lashes), 0.00014)
        outfit.dress(groomed.worn)
        style = HAIR_STYLES.get(groomed.hair_style)
        worn = fitted(groomed.worn, bearer, 0.0 if style is None else style.thickness_m)
        strands = self._hair(groomed, shape, bearer, worn, rng)
        if strands is None or style is None:
            outfit.grow("hair", None, 0.0)
        else:
            outfit.grow("hair", transform_points(world_from_person, strands), style.radius_m)
        return worn_parts(worn, world_from_person, base)

    def _hair(
        self, groomed: Groomed, shape: HeadShape, bearer: Bearer, worn: Fitted,
        rng: np.random.Generator,
    ) -> Floats | None:  # fmt: skip
        """(N, K, 3) strands in the model's axes, grown on the head without its expression."""
        style, headwear = HAIR_STYLES.get(groomed.hair_style), groomed.worn.headwear
        if style is None or (headwear is not None and headwear.hides_hair):
            return None
        # Where hair falls and is combed to is known for a head of Anny's size and place.
        rest = (shape.rest_m - bearer.middle) / bearer.scale
        surface = Surface(rest, vertex_normals(rest, self._faces), self._faces)
        strands = grown_hair(surface, self._scalp_faces, style, rng)
        return worn.tucked(strands * bearer.scale + bearer.middle)
