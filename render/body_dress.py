"""A person with all that is worn, as one mesh: Cycles 5.0 wants all skin of a picture in one.

Every layer is worked out at rest and skinned with the body, so that clothes, hair and brows go
wherever the body goes. NumPy alone; `render.body_stage` hands the result to Blender.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from render.anny_asset import Identity, skinned
from render.bodies import CLASSES
from render.body_clothes import SHELLS, ClothModel, Outfit
from render.body_looks import BodyLook, BodyPainter
from render.body_model import PARTS, BodyModel, BodyShape, PosedBody
from render.faces_head import fitted_sphere

Floats = NDArray[np.float64]

SLOTS = (
    *PARTS, "eyes", "lower", "upper", "outer", "shoes", "skirt", "cap", "mane", "brows", "seat",
)  # fmt: skip
"""Materials of the mesh."""

CLASS_OF = {part: CLASSES[part] for part in PARTS} | {
    "eyes": CLASSES["head"], "lower": CLASSES["lower clothes"], "upper": CLASSES["upper clothes"],
    "outer": CLASSES["jacket"], "shoes": CLASSES["shoes"], "skirt": CLASSES["skirt"],
    "cap": CLASSES["hair"], "mane": CLASSES["hair"], "brows": CLASSES["head"],
    "seat": CLASSES["seat"],
}  # fmt: skip

# Places (V, 3), places at rest (V, 3), albedo (V, 4), field (V,).
Layer = tuple[NDArray[Any], NDArray[Any], NDArray[Any], NDArray[Any]]

_BOX = np.array([[x, y, z] for x in (0, 1) for y in (0, 1) for z in (0, 1)], dtype=np.float64)
_SIDES = np.array(
    [[0, 1, 3, 2], [4, 6, 7, 5], [0, 4, 5, 1], [2, 3, 7, 6], [0, 2, 6, 4], [1, 5, 7, 3]]
)


@dataclass(frozen=True)
class DressedBody:
    """A mesh of `Wardrobe.faces`.

    Attributes:
        vertices_m: (N, 3) in the axes of the place the body stands in, the ground at z = 0.
        rest_m: (N, 3) what patterns lie in; on eyes, directions on a unit sphere.
        albedo: (N, 4) of the skin.
        field: (N,) positive where a layer is there.
        keypoints_m: (33, 3) of the body, where it stands.
        hands_m: (21, 3) of each hand by side, likewise.
        seat_height_m: of what the person sits on, 0 without.
    """

    vertices_m: Floats
    rest_m: Floats
    albedo: NDArray[np.float32]
    field: Floats
    keypoints_m: Floats
    hands_m: Mapping[str, Floats]
    seat_height_m: float


class Wardrobe:
    """Layers of the one mesh.

    Attributes:
        faces: (F, 4) over all layers' vertices.
        face_slot: (F,) index into `SLOTS`.
    """

    def __init__(self, model: BodyModel) -> None:
        self.model = model
        self.cloth = ClothModel(model)
        self.painter = BodyPainter(model)
        self._mane_rows, mane = np.unique(model.faces["hair"], return_inverse=True)
        mane_faces = mane.reshape(-1, 4)
        self._mane_field = self._behind_the_face()
        skin, eyes = model.faces["skin"], model.faces["eyes"]
        self._eyes = [
            np.unique(model.region.faces[model.region.face_group == group])
            for group in (
                model.region.group_names.index("r-eye"), model.region.group_names.index("l-eye")
            )
        ]  # fmt: skip
        layers = [(np.concatenate([skin, eyes]), len(model.region.base_vertices))]
        shell = int(self.cloth.faces.max()) + 1
        layers += [(self.cloth.faces, shell)] * len(SHELLS)
        layers.append((self.cloth.skirt_faces, int(self.cloth.skirt_faces.max()) + 1))
        layers.append((self.painter.cap_faces, len(self.painter.cap_rows)))
        layers.append((mane_faces, len(self._mane_rows)))
        layers.append((self.painter.brow_faces, 20))
        layers.append((np.arange(24).reshape(6, 4), 24))
        starts = np.cumsum([0, *(count for _, count in layers)])
        self.faces = np.concatenate([f + s for (f, _), s in zip(layers, starts)])
        self.size = int(starts[-1])
        slots = [model.face_part, np.full(len(eyes), SLOTS.index("eyes"))]
        slots += [
            np.full(len(faces), slot)
            for slot, (faces, _) in enumerate(layers[1:], start=SLOTS.index("lower"))
        ]
        self.face_slot = np.concatenate(slots)

    def dressed(
        self,
        shape: BodyShape,
        body: PosedBody,
        look: BodyLook,
        outfit: Outfit,
        on: str,
        lift_m: float,
        rng: np.random.Generator,
    ) -> DressedBody:
        """The person in a pose, dressed, standing on the ground.

        Args:
            shape, body: who, and how posed.
            look, outfit: what is seen.
            on: what carries the body (`body_library.CARRIED`).
            lift_m: how high it is in the air, if nothing does.
            rng: for the hair's waves.
        """
        hidden = body.transforms[self.model.bones.index("spine03")] @ [*shape.joints["spine03"], 1]
        parts = [self._skin(shape, body, look, outfit)]
        ground = parts[0][0][np.unique(self.model.faces["skin"])][:, 2].min()
        for shell in SHELLS:
            part = self._shell(shell, shape, body, outfit, hidden[:3])
            if shell in outfit.shells:
                ground = min(ground, part[0][part[3] > 0][:, 2].min(initial=np.inf))
            parts.append(part)
        parts.append(self._skirt(shape, body, outfit, hidden[:3]))
        parts += self._hair(shape, body, look, hidden[:3], rng)
        vertices, rest, albedo, field = (np.concatenate(arrays) for arrays in zip(*parts))
        shift = np.array([0.0, 0.0, lift_m - ground])
        points = body.keypoints_m + shift
        vertices = vertices + shift
        seat, height = self._seat(vertices, points, on)
        ones = np.ones((24, 4), dtype=np.float32)
        return DressedBody(
            np.concatenate([vertices, seat]),
            np.concatenate([rest, seat]),
            np.concatenate([albedo, ones]),
            np.concatenate([field, np.ones(24)]),
            points,
            {side: hand + shift for side, hand in body.hands_m.items()},
            height,
        )

    def _behind_the_face(self) -> Floats:
        """(M,) of the long hair: metres behind face and shoulders, where it is shown."""
        neutral = self.model.shape(Identity({"age": 0.7}))
        points = neutral.rest.vertices_m[self._mane_rows]
        marks = self.painter.landmarks(neutral.rest.vertices_m)
        ears = neutral.keypoints_m[7:9]
        low = np.clip((marks[10, 2] - points[:, 2]) / 0.05, 0, 1)
        line = marks[10, 1] + low * (ears[:, 1].mean() - 0.02 - marks[10, 1])
        return np.asarray(points[:, 1] - line)

    # -- layers: places, rest, albedo, field -------------------------------------------------

    def _skin(self, shape: BodyShape, body: PosedBody, look: BodyLook, outfit: Outfit) -> Layer:
        rest = self.cloth.drawn_in(outfit, shape)
        posed = skinned(rest, self.model.weights, body.transforms)
        places = shape.rest.vertices_m.copy()
        for rows in self._eyes:
            centre, radius = fitted_sphere(places[rows])
            places[rows] = (places[rows] - centre) / radius
        return posed, places, self.painter.skin(look), np.ones(len(posed))

    def _shell(
        self, shell: str, shape: BodyShape, body: PosedBody, outfit: Outfit, hidden: Floats
    ) -> Layer:
        places = self.cloth.rest_places
        white = np.ones((len(places), 4), dtype=np.float32)
        if shell not in outfit.shells:
            return np.tile(hidden, (len(places), 1)), places, white, np.full(len(places), -1.0)
        coarse, field, outside = self.cloth.shell(shell, outfit.shells[shell], shape, outfit.sole_m)
        rows = self.cloth.tight_rows
        posed = skinned(coarse, self.model.weights[rows], body.transforms)
        posed[outside] = hidden
        return np.asarray(self.cloth.matrix @ posed), places, white, self.cloth.matrix @ field

    def _skirt(self, shape: BodyShape, body: PosedBody, outfit: Outfit, hidden: Floats) -> Layer:
        places = self.cloth.skirt_places
        white = np.ones((len(places), 4), dtype=np.float32)
        if outfit.skirt is None:
            return np.tile(hidden, (len(places), 1)), places, white, np.full(len(places), -1.0)
        coarse, field = self.cloth.skirt(outfit.skirt, 0.012, shape)
        rows = self.cloth.skirt_rows
        posed = skinned(coarse, self.model.weights[rows], body.transforms)
        matrix = self.cloth.skirt_matrix
        return np.asarray(matrix @ posed), places, white, matrix @ field

    def _hair(
        self,
        shape: BodyShape,
        body: PosedBody,
        look: BodyLook,
        hidden: Floats,
        rng: np.random.Generator,
    ) -> list[Layer]:
        painter, weights = self.painter, self.model.weights
        cap = painter.cap(look, shape, rng)
        mane = shape.rest.vertices_m[self._mane_rows]
        brows = painter.brows(shape)
        head = np.zeros((len(brows), weights.shape[1]), dtype=np.float32)
        head[:, self.model.bones.index("head")] = 1
        result: list[Layer] = []
        for rest, weight, shown, field in (
            (cap, weights[painter.cap_rows], look.hair != "bald", painter.cap_field),
            (mane, weights[self._mane_rows], look.hair == "long", self._mane_field),
            (brows, head, True, np.ones(len(brows))),
        ):
            posed = skinned(rest, weight, body.transforms)
            places = posed if shown else np.tile(hidden, (len(rest), 1))
            white = np.ones((len(rest), 4), dtype=np.float32)
            result.append((places, rest, white, field if shown else np.full(len(rest), -1.0)))
        return result

    def _seat(self, vertices: Floats, points: Floats, on: str) -> tuple[Floats, float]:
        """(24, 3) corners of what the person sits on, one point inside the body without."""
        hips, knees = points[[23, 24]], points[[25, 26]]
        part = self.model.vertex_part
        below = [PARTS.index(name) for name in ("torso", "left thigh", "right thigh")]
        skin = np.unique(self.model.faces["skin"])
        near = vertices[skin[np.isin(part[skin], below)]]
        seat = near[np.abs(near[:, 1] - hips[:, 1].mean()) < 0.16]
        height = float(seat[:, 2].min()) - 0.012
        if on not in ("seat", "seat_one") or height < 0.12:
            return np.tile(hips.mean(axis=0), (24, 1)), 0.0
        front = min(knees[:, 1].min() + 0.17, hips[:, 1].min() - 0.12)
        low = np.array([hips[:, 0].min() - 0.2, front, 0.0])
        high = np.array([hips[:, 0].max() + 0.2, float(seat[:, 1].max()) + 0.1, height])
        return (low + (high - low) * _BOX)[_SIDES].reshape(24, 3), height
