"""Brows, lashes and worn things for a user's head: what Anny's people have, by the landmarks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from render.assembly import AssembledMesh
from render.faces_hair import Surface, grown_brows, grown_lashes
from render.faces_head import HeadShape, unrolled, vertex_normals
from render.faces_outfit import Outfit, worn_parts
from render.faces_paint import SkinPainter, picked
from render.faces_worn import NOTHING, Worn, fitted, random_worn
from render.morphable import MorphableModel
from render.morphable_landmarks import Landmarks
from render.settings import FaceShares
from render.skin_tones import HAIR_COLOURS, hair_colour
from render.worn import Bearer
from runtime.camera import transform_points
from runtime.topology import topology

Floats = NDArray[np.float64]

SKULL_M = 0.13
"""A model whose vertices reach this far behind the eyes has a head to put something on."""


@dataclass(frozen=True)
class Groomed:
    """Colour of brows and lashes (3,), hairs in a brow, length of lashes, and what is worn."""

    albedo: tuple[float, float, float]
    brow_hairs: int
    lash_length_m: float
    worn: Worn = NOTHING


def random_groomed(rng: np.random.Generator, shares: FaceShares, skull: bool) -> Groomed:
    """Brows, lashes and worn things.

    Args:
        rng: of the sample.
        shares: of the data set's faces.
        skull: whether headwear finds a head.
    """
    name = str(rng.choice([n for n in HAIR_COLOURS if n != "white"]))
    red, green, blue = (0.8 * hair_colour(name)).tolist()
    hairs, lashes = int(rng.integers(110, 320)), float(rng.uniform(0.005, 0.0085))
    # Nobody knows these people's sex: neither beards nor headscarves.
    worn = random_worn(rng, shares, "adult", "male")
    worn = Worn(worn.glasses, worn.mask, worn.headwear if skull else None)
    return Groomed((red, green, blue), hairs, lashes, worn)


class Dress:
    """Grows and fits them in Blender.

    Args:
        scene: Blender's.
        model: the head.
        landmarks: where they sit on it.
    """

    def __init__(self, scene: Any, model: MorphableModel, landmarks: Landmarks) -> None:
        self._landmarks = landmarks
        self._outfit = Outfit(scene, "dress ", 0, None)
        self._solid = AssembledMesh(scene, "dress", self._outfit.materials)
        self._faces = np.concatenate([model.triangles, model.triangles[:, 2:]], axis=1).astype(int)
        mean = model.mean_m.astype(np.float64)
        middle = np.mean([eye.centre_m for eye in landmarks.eyes(mean, mean, (0.0, 0.0))], axis=0)
        painter = SkinPainter(landmarks.points(mean) - middle)
        uv = unrolled(mean[model.triangles] - middle).mean(axis=1)
        before = mean[model.triangles].mean(axis=1)[:, 1] < middle[1] + 0.03
        self._brows = [picked(painter.brow_region(side), uv) ** 3 * before for side in (0, 1)]
        self.skull = bool((mean[:, 1] > middle[1] + SKULL_M).any())

    def show(
        self, groomed: Groomed, shape: HeadShape, world_from_person: Floats,
        rng: np.random.Generator,
    ) -> None:  # fmt: skip
        """Put them on a face.

        Args:
            groomed: what.
            shape: whose.
            world_from_person: (4, 4) rigid.
            rng: where hairs grow.
        """
        vertices, outfit = shape.base_m, self._outfit
        places = self._landmarks.points(vertices)
        surface = Surface(vertices, vertex_normals(vertices, self._faces), self._faces)
        contours = topology("face478@1").contours
        brows = [
            grown_brows(
                surface, density, places[list(contours[f"{side}_brow_lower"].indices)],
                groomed.brow_hairs, 0.0075, rng,
            )
            for side, density in zip(("right", "left"), self._brows)
        ]  # fmt: skip
        outfit.dye(groomed.albedo, groomed.albedo)
        outfit.grow("brows", transform_points(world_from_person, np.concatenate(brows)), 0.00016)
        lashes = grown_lashes(places, shape.eyes, groomed.lash_length_m, rng)
        outfit.grow("lashes", transform_points(world_from_person, lashes), 0.00014)
        outfit.dress(groomed.worn)
        eyes = np.stack([eye.centre_m for eye in shape.eyes])
        ears = vertices[list(self._landmarks.tragions)]
        bearer = Bearer(vertices, places, eyes, shape.eyes[0].radius_m, ears)
        self._solid.show(worn_parts(fitted(groomed.worn, bearer, 0.0), world_from_person, 0))
