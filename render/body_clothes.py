"""Simple clothes: shells that lie off the body, cut along smooth lines.

MakeHuman's `tights` wrap the body from neck to wrists and toes and follow every person and pose.
Each garment is a copy of them, moved outward; a number per vertex, positive inside the garment,
says where it ends, and its material cuts there (`render.body_looks`), so that hems are smooth
whatever the mesh. Skin that is covered is drawn in, so that none comes through: a garment never
depends on luck.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from render.anny_asset import Identity
from render.body_joints import SIDES
from render.body_model import PARTS, BodyModel, BodyShape
from render.hand_model import vertex_normals
from render.subdivision import subdivide

Floats = NDArray[np.float64]

SHELLS = ("lower", "upper", "outer", "shoes")
"""Copies of the tights, from the skin outward."""

DRAWN_IN_M = 0.009
"""How far covered skin is drawn in."""

_MARGIN = 0.05  # of a limb's half: how far inside a hem skin is drawn in fully
_SOLE_BAND_M = 0.016


@dataclass(frozen=True)
class Garment:
    """A piece of clothing on a shell.

    Attributes:
        kind: what people call it.
        off_m: how far it lies off the body, and how much farther at its hems.
        flare_m: that.
        waist: how far down from the neck (0) to the hips (1) it begins; 0 from the neck.
        hem: where it ends on a leg: 0 the hip, 1 the knee, 2 the ankle; negative above the hips.
        sleeve: where it ends on an arm: 0 the shoulder, 1 the elbow, 2 the wrist.
        collar: how far below the neck's root it ends in front, metres; V-shaped if `vee`.
        open_m: half of its gap in front.
    """

    kind: str
    off_m: float = 0.008
    flare_m: float = 0.006
    waist: float = 0.0
    hem: float = 0.0
    sleeve: float = 0.0
    collar: float = 0.0
    vee: bool = False
    open_m: float = 0.0


@dataclass(frozen=True)
class Outfit:
    """What a person wears: garments by shell, and the skirt's hem on the legs or None."""

    shells: dict[str, Garment]
    skirt: float | None = None
    sole_m: float = 0.0


class ClothModel:
    """Garments of bodies of one model.

    Attributes:
        faces: (F, 4) of one fine shell.
        skirt_faces: (G, 4) of the fine skirt.
        rest_places: (V, 3) of the fine shell on the neutral body, for patterns.
    """

    def __init__(self, model: BodyModel) -> None:
        self._model = model
        neutral = model.shape(Identity({"age": 0.7}))
        self._rows, self._faces = _compact(model.faces["tights"])
        fine = subdivide(self._faces, len(self._rows))
        self.matrix, self.faces = fine.matrix, fine.faces.astype(np.int64)
        self._skirt_rows, self._skirt_faces = _compact(model.faces["skirt"])
        skirt = subdivide(self._skirt_faces, len(self._skirt_rows))
        self.skirt_matrix, self.skirt_faces = skirt.matrix, skirt.faces.astype(np.int64)
        vertices = neutral.rest.vertices_m
        self._arm, self._leg, self._neck, self._front = self._places(neutral)
        self.rest_places = np.asarray(self.matrix @ vertices[self._rows])
        self.skirt_places = np.asarray(self.skirt_matrix @ vertices[self._skirt_rows])
        self._skirt_down = self._down(vertices[self._skirt_rows], neutral)
        skin = np.unique(model.faces["skin"])
        self._skin = skin
        self._nearest = cKDTree(vertices[self._rows]).query(vertices[skin])[1]
        self._bare = np.isin(  # never under cloth, however near the tights' ends are
            model.vertex_part[skin],
            [k for k, p in enumerate(PARTS) if p == "head" or p.endswith("hand")],
        )
        self._around = _neighbours(self._faces, len(self._rows))

    # -- where vertices lie ------------------------------------------------------------------

    def _places(self, shape: BodyShape) -> tuple[Floats, Floats, Floats, Floats]:
        """Of each of the tights' vertices: along its arm (0 shoulder .. 2 wrist, negative on the
        trunk), down its leg (0 hip .. 2 ankle, negative above, -1 the neck's root), metres below
        the root of the neck, and whether it is in front."""
        model, joints = self._model, shape.joints
        points = shape.rest.vertices_m[self._rows]
        weights = model.weights[self._rows]
        arm = np.full(len(points), -1.0)
        leg = self._down(points, shape)
        for side in SIDES:
            names = ("upperarm01", "upperarm02", "lowerarm01", "lowerarm02", "hand")
            share = weights[:, [model.bones.index(f"{n}.{side}") for n in names]].sum(axis=1)
            chain = [joints[f"{n}.{side}"] for n in ("upperarm01", "lowerarm01", "hand")]
            along = _along(points, chain)
            mine = share > 0.02
            arm[mine] = np.where(share[mine] > 0.5, along[mine], np.minimum(along[mine], 0.1))
            leg[share > 0.5] = -1.0
        root = joints["neck01"]
        # A collar rises toward the back.
        neck = root[2] + 0.03 + 0.5 * (points[:, 1] - root[1]) - points[:, 2]
        front = np.where(points[:, 1] < root[1], np.abs(points[:, 0]), 1.0)
        return arm, leg, neck, front

    def _down(self, points: Floats, shape: BodyShape) -> Floats:
        joints = shape.joints
        hip, knee, ankle = (
            joints[f"{bone}.left"][2] for bone in ("upperleg01", "lowerleg01", "foot")
        )
        neck = joints["neck01"][2]
        return np.interp(-points[:, 2], [-neck, -hip, -knee, -ankle, -ankle + 1], [-1, 0, 1, 2, 4])

    def field(self, shell: str, garment: Garment) -> Floats:
        """(V,) of the coarse tights: positive inside the garment, in halves of a limb."""
        if shell == "shoes":
            return np.asarray(self._leg - garment.hem)
        trunk = self._arm <= 0.1
        inside = np.minimum(garment.hem - self._leg, self._leg + 1.2)
        if garment.waist:
            inside = np.minimum(inside, self._leg + 1 - garment.waist)
        if garment.sleeve or garment.waist == 0:
            inside = np.minimum(inside, garment.sleeve - np.maximum(self._arm, -0.5))
        else:
            inside = np.minimum(inside, np.where(trunk, 1.0, -1.0))
        if not garment.waist:
            deep = garment.collar * np.clip(1 - self._front / 0.11, 0, 1)
            if not garment.vee:
                deep = garment.collar * np.clip(1.6 - self._front / 0.06, 0, 1)
            inside = np.minimum(inside, 4 * (self._neck - deep))
        if garment.open_m:
            inside = np.minimum(inside, np.where(trunk, 6 * (self._front - garment.open_m), 1.0))
        return np.asarray(inside)

    # -- what stands where -------------------------------------------------------------------

    def shell(
        self, shell: str, garment: Garment, shape: BodyShape, sole_m: float = 0.0
    ) -> tuple[Floats, Floats, NDArray[np.bool_]]:
        """(V, 3) of the coarse shell at rest, its field (V,), and which vertices are so far outside
        the garment that they may be put out of sight."""
        points = shape.rest.vertices_m[self._rows]
        normals = vertex_normals(points, self._faces.astype(np.int32))
        field = self.field(shell, garment)
        # Wider toward hems, but not at a waist, which other cloth lies over.
        edge = np.minimum(garment.hem - self._leg, garment.sleeve - self._arm)
        if shell == "shoes" or garment.waist:
            edge = np.abs(garment.hem - self._leg)
        near = np.clip(1 - np.abs(edge) / 0.6, 0, 1)
        off = garment.off_m + garment.flare_m * near
        moved = points + off[:, None] * normals
        if shell == "shoes":
            moved = _with_soles(moved, points, self._leg, sole_m)
        outside = field < 0
        for _ in range(3):  # refining a mesh looks two vertices far
            far = outside.copy()
            for one, other in self._around:
                np.logical_and.at(far, one, outside[other])
            outside = far
        return moved, field, outside

    def skirt(self, hem: float, off_m: float, shape: BodyShape) -> tuple[Floats, Floats]:
        """(V, 3) of the coarse skirt at rest, and its field (V,): where it ends on the legs."""
        points = shape.rest.vertices_m[self._skirt_rows]
        away = points.copy()
        away[:, 2] = 0
        middle = np.array([0.0, points[:, 1].mean(), 0.0])
        outward = away - middle
        outward /= np.maximum(np.linalg.norm(outward, axis=1, keepdims=True), 1e-6)
        return points + off_m * outward, np.asarray(hem - self._skirt_down)

    @property
    def tight_rows(self) -> NDArray[np.int64]:
        """Rows of the model's vertices that a shell is a copy of."""
        return self._rows

    @property
    def skirt_rows(self) -> NDArray[np.int64]:
        """Rows of the model's vertices that the skirt is a copy of."""
        return self._skirt_rows

    def drawn_in(self, outfit: Outfit, shape: BodyShape) -> Floats:
        """(V, 3) the model's vertices at rest, with covered skin drawn in."""
        vertices = shape.rest.vertices_m.copy()
        covered = self.covered(outfit)
        normals = vertex_normals(vertices, self._model.faces["skin"].astype(np.int32))[self._skin]
        vertices[self._skin] -= DRAWN_IN_M * covered[:, None] * normals
        return vertices

    def covered(self, outfit: Outfit) -> Floats:
        """(S,) 0..1 how far each of the skin's vertices lies under cloth; hems don't count."""
        most = np.zeros(len(self._skin))
        for shell, garment in outfit.shells.items():
            field = self.field(shell, garment)[self._nearest]
            most = np.maximum(most, np.clip(field / _MARGIN - 0.4, 0, 1))
        if outfit.skirt is not None:
            down = self._leg[self._nearest]
            arm = self._arm[self._nearest] > 0.1
            most = np.maximum(
                most, np.clip(np.minimum(outfit.skirt - down, down + 0.2) / 0.1, 0, 1) * ~arm
            )
        return np.where(self._bare, 0.0, most)

    @property
    def skin_rows(self) -> NDArray[np.int64]:
        """Rows of the model's vertices that `covered` is about."""
        return self._skin


def _with_soles(moved: Floats, points: Floats, leg: Floats, sole_m: float) -> Floats:
    """Soles as flat as the ground, a heel's height thick."""
    low = points[leg > 1.9][:, 2].min()
    band = np.clip(1 - (points[:, 2] - low) / _SOLE_BAND_M, 0, 1)
    result = moved.copy()
    flat = low - sole_m
    result[:, 2] = np.where(band > 0, (1 - band) * moved[:, 2] + band * flat, moved[:, 2])
    return result


def _along(points: Floats, chain: list[Floats]) -> Floats:
    """Place along a chain of joints: 0 at the first, 1 at the second, 2 at the third."""
    first, second = chain[1] - chain[0], chain[2] - chain[1]
    upper = (points - chain[0]) @ first / (first @ first)
    lower = (points - chain[1]) @ second / (second @ second)
    return np.asarray(np.where(lower > 0, 1 + lower, upper.clip(None, 1)))


def _compact(faces: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    rows, local = np.unique(faces, return_inverse=True)
    return rows, local.reshape(faces.shape)


def _neighbours(
    faces: NDArray[np.int64], count: int
) -> list[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Vertices and those of the same quad, as pairs of index arrays."""
    return [(faces[:, a], faces[:, b]) for a in range(4) for b in range(4) if a != b]


def random_outfit(rng: np.random.Generator, skirt_possible: bool, child: bool) -> Outfit:
    """Everyday clothes.

    Args:
        rng: of the sample.
        skirt_possible: legs are held so that a skirt hangs.
        child: of a child, who never goes without a shirt.
    """
    collar, vee = float(rng.uniform(0.0, 0.05)), bool(rng.random() < 0.25)
    loose = float(rng.uniform(0.004, 0.014))
    top = str(
        rng.choice(["t-shirt", "long sleeve", "tank top", "none"], p=[0.46, 0.36, 0.14, 0.04])
    )
    sleeve = {"t-shirt": rng.uniform(0.35, 0.8), "long sleeve": rng.uniform(1.7, 2.05)}
    hem = float(rng.uniform(0.02, 0.22))
    shells: dict[str, Garment] = {}
    if top != "none" or child:
        top = "t-shirt" if top == "none" else top
        shells["upper"] = Garment(
            top, 0.008 + loose, 0.006, 0.0, hem, float(sleeve.get(top, 0.04)), collar, vee
        )
    dressed = skirt_possible and rng.random() < 0.22
    skirt = float(rng.uniform(0.55, 1.6)) if dressed else None
    if skirt is None or rng.random() < 0.3:
        kind = str(rng.choice(["trousers", "shorts", "leggings"], p=[0.62, 0.26, 0.12]))
        if skirt is not None:
            kind = "leggings"
        end = float(rng.uniform(0.4, 1.05)) if kind == "shorts" else float(rng.uniform(1.8, 2.1))
        wide = 0.003 if kind == "leggings" else float(rng.uniform(0.005, 0.014))
        shells["lower"] = Garment(kind, wide, 0.3 * wide, float(rng.uniform(0.72, 0.86)), end)
    if "upper" in shells and rng.random() < 0.2:
        opening = float(rng.uniform(0.015, 0.07))
        shells["outer"] = Garment(
            "jacket", 0.018 + loose, 0.006, 0.0, hem + 0.08, float(rng.uniform(1.75, 2.02)),
            0.0, False, opening,
        )  # fmt: skip
    sole = 0.0
    if rng.random() < 0.88:
        sole = float(rng.uniform(0.008, 0.025))
        boot = rng.random() < 0.2
        shells["shoes"] = Garment(
            "boots" if boot else "shoes", 0.008, 0.002,
            hem=float(rng.uniform(1.5, 1.75)) if boot else float(rng.uniform(1.98, 2.05)),
        )  # fmt: skip
    return Outfit(shells, skirt, sole)
