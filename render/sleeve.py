"""Sleeves of several cuts around the forearm, made from the arm's own skin, and their cloths."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from render.hand_model import HandModel, HandShape, vertex_normals

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Sleeve:
    """How a sleeve sits.

    Attributes:
        cut: name, for labels.
        cuff: where it ends, 0 at the elbow, 1 at Anny's wrist joint.
        thickness_m: distance from the skin at the cuff.
        flare: how much wider it is there than a tight one.
        band_m: length of a turned-up cuff or of a knitted rim at its end; 0 for none.
        band_rise_m: how much farther out that lies; negative for a rim that holds the arm.
    """

    cut: str
    cuff: float
    thickness_m: float
    flare: float
    band_m: float = 0.0
    band_rise_m: float = 0.0


_CUTS = {"none": 0.4, "long": 0.22, "cuffed": 0.14, "gathered": 0.1, "short": 0.14}
_CLOTHS = {"plain": 0.4, "striped": 0.2, "checked": 0.15, "knitted": 0.25}


def random_sleeve(rng: np.random.Generator) -> Sleeve | None:
    """A sleeve of any cut, often none: short ones end near the elbow, cuffed ones are turned up,
    gathered ones are held by a rim."""
    cut = str(rng.choice(list(_CUTS), p=list(_CUTS.values())))
    if cut == "none":
        return None
    uniform = rng.uniform
    if cut == "short":
        return Sleeve(cut, uniform(0.1, 0.45), uniform(0.005, 0.010), uniform(0.5, 2.0))
    cuff, thick = uniform(0.62, 0.97), uniform(0.003, 0.008)
    if cut == "cuffed":
        band, rise = uniform(0.025, 0.06), uniform(0.002, 0.004)
        return Sleeve(cut, cuff, thick, uniform(0.0, 0.6), band, rise)
    if cut == "gathered":
        thick += 0.002
        return Sleeve(cut, cuff, thick, uniform(0.0, 0.5), uniform(0.02, 0.05), 0.003 - thick)
    return Sleeve(cut, cuff, thick, uniform(0.0, 1.2))


def random_cloth(rng: np.random.Generator) -> dict[str, Any]:
    """Inputs of `render.cloth.sleeve_material`."""
    cloth = str(rng.choice(list(_CLOTHS), p=list(_CLOTHS.values())))
    two = cloth == "knitted" and rng.random() < 0.3
    return {
        "albedo": rng.uniform(0.02, 0.7, 3),
        "second": rng.uniform(0.02, 0.7, 3),
        "stripes": float(cloth in ("striped", "checked") or two),
        "checks": float(cloth == "checked"),
        "knit": float(cloth == "knitted"),
        "pitch": float(rng.uniform(0.006, 0.03)),
    }


def cloth_name(cloth: Mapping[str, Any]) -> str:
    """Which cloth those inputs are."""
    for name, key in (("knitted", "knit"), ("checked", "checks"), ("striped", "stripes")):
        if cloth[key]:
            return name
    return "plain"


class SleeveModel:
    """The part of the hand model's mesh that a sleeve covers."""

    def __init__(self, model: HandModel) -> None:
        arm = model.weights[:, 0] > 0.02
        faces = model.faces[arm[model.faces].all(axis=1)]
        self._vertices = np.unique(faces)
        local = np.full(len(arm), -1)
        local[self._vertices] = np.arange(len(self._vertices))
        self.faces = local[faces].astype(np.int32)
        self._model_faces = model.faces
        self.size = len(self._vertices)

    def cloth_places(self, shape: HandShape) -> Floats:
        """(S, 3) where each vertex lies on a cylinder about the arm: its unit direction across the
        arm as two numbers, and metres along it; for patterns that run around a sleeve."""
        elbow, wrist = shape.joints_m[0], shape.joints_m[1]
        axis = (wrist - elbow) / np.linalg.norm(wrist - elbow)
        offset = shape.vertices_m[self._vertices] - elbow
        along = offset @ axis
        across = offset - along[:, None] * axis
        back = -shape.palmar + (shape.palmar @ axis) * axis
        back /= np.linalg.norm(back)
        flat = np.stack([across @ back, across @ np.cross(axis, back)], axis=1)
        flat /= np.linalg.norm(flat, axis=1, keepdims=True)
        return np.concatenate([flat, along[:, None]], axis=1)

    def vertices(self, sleeve: Sleeve, shape: HandShape, posed_m: Floats) -> Floats:
        """(S, 3) vertices around a posed hand whose forearm is where it is at rest."""
        elbow, wrist = shape.joints_m[0], shape.joints_m[1]
        length = float(np.linalg.norm(wrist - elbow))
        axis = (wrist - elbow) / length
        rest = shape.vertices_m[self._vertices]
        along = (rest - elbow) @ axis / length
        # Skin beyond the cuff, of which its lining is made, doesn't take part in the wrist's bend.
        share = np.clip(1 - (along - sleeve.cuff) / 0.05, 0, 1)[:, None]
        bent = posed_m.copy()
        bent[self._vertices] = rest + share * (posed_m[self._vertices] - rest)
        skin = bent[self._vertices]
        normals = vertex_normals(bent, self._model_faces)[self._vertices]
        toward_cuff = np.clip(along / sleeve.cuff, 0, 1)
        offset = sleeve.thickness_m * (1 + sleeve.flare * toward_cuff**3)
        if sleeve.band_m:
            edge = (along - sleeve.cuff) * length + sleeve.band_m
            offset = offset + sleeve.band_rise_m * np.clip(edge / 0.006 + 1, 0, 1)
        # What lies beyond the cuff folds back onto it, first as its rim, then as its lining.
        beyond = np.maximum(along - sleeve.cuff, 0)
        lining = np.clip(beyond / 0.06, 0, 1)
        offset = offset * (1 - 0.75 * lining)
        back = beyond + 0.10 * np.clip((beyond - 0.06) / 0.1, 0, 1)
        cloth = skin + normals * offset[:, None] - (back * length)[:, None] * axis
        return _held_in(cloth, along - sleeve.cuff, elbow, axis, 0.4 * sleeve.thickness_m)


def _held_in(cloth: Floats, beyond: Floats, elbow: Floats, axis: Floats, less_m: float) -> Floats:
    """What is folded in behind the cuff keeps within the sleeve's outline before it, by so much:
    it is made of the hand's skin, which is wider than the wrist."""
    offset = cloth - elbow
    height = (offset @ axis)[:, None] * axis
    across = offset - height
    away = np.linalg.norm(across, axis=1)
    side = np.cross(axis, np.eye(3)[int(np.abs(axis).argmin())])
    angle = np.arctan2(across @ np.cross(axis, side), across @ side)
    rim, folded = (beyond > -0.12) & (beyond <= 0), beyond > 0
    order = np.argsort(angle[rim])
    around = np.interp(angle, angle[rim][order], away[rim][order], period=2 * np.pi)
    share = np.minimum(1, (around - less_m) / np.maximum(away, 1e-6))
    share = np.where(folded, share, 1)[:, None]
    return np.asarray(elbow + height + share * across)
