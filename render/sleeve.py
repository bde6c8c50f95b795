"""A sleeve around the forearm, made from the arm's own skin."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from render.hand_model import HandModel, HandShape, vertex_normals

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Sleeve:
    """How a sleeve sits.

    Attributes:
        cuff: where it ends, 0 at the elbow, 1 at Anny's wrist joint.
        thickness_m: distance from the skin at the cuff.
        flare: how much wider it is there than a tight one.
    """

    cuff: float
    thickness_m: float
    flare: float


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

    def vertices(self, sleeve: Sleeve, shape: HandShape, posed_m: Floats) -> Floats:
        """(S, 3) vertices around a posed hand whose forearm is where it is at rest."""
        normals = vertex_normals(posed_m, self._model_faces)[self._vertices]
        skin = posed_m[self._vertices]
        elbow, wrist = shape.joints_m[0], shape.joints_m[1]
        length = float(np.linalg.norm(wrist - elbow))
        axis = (wrist - elbow) / length
        along = (skin - elbow) @ axis / length
        toward_cuff = np.clip(along / sleeve.cuff, 0, 1)
        offset = sleeve.thickness_m * (1 + sleeve.flare * toward_cuff**3)
        # What lies beyond the cuff folds back onto it, first as its rim, then as its lining.
        beyond = np.maximum(along - sleeve.cuff, 0)
        lining = np.clip(beyond / 0.06, 0, 1)
        offset = offset * (1 - 0.75 * lining)
        back = beyond + 0.10 * np.clip((beyond - 0.06) / 0.1, 0, 1)
        return np.asarray(skin + normals * offset[:, None] - (back * length)[:, None] * axis)
