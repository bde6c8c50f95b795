"""Labelled pictures of faces: `FaceRenderer.render(i)` gives sample i and its label."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bootstrap.dataset import DatasetInfo
from render.anny_asset import load_anny
from render.cycles import PRESETS
from render.environments import file_sha256
from render.face_mapping import FaceMapping, read_mapping, shipped_mapping
from render.faces_classes import CLASSES
from render.faces_company import Company, beside_rng
from render.faces_draw import FaceDraw, View, draw_face
from render.faces_head import HeadMesh
from render.faces_picture import HeadRenderer, Surroundings
from render.faces_scene import FaceScene, Person
from render.faces_shot import TOPOLOGY, Shot, directions, placed
from render.faces_worn import random_worn
from render.job import Renderer, description
from render.settings import USUAL_FACES, FaceShares, RenderSettings

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class FaceSettings(RenderSettings):
    """What a data set of faces depends on.

    Attributes:
        mapping: file with a face mapping; the shipped one when None.
        face_model: file of a head model that takes Anny's place.
        face_shares: of pictures without faces, with two, and with something worn or before them.
    """

    mapping: Path | None = None
    face_model: Path | None = None
    face_shares: FaceShares = USUAL_FACES

    @property
    def shows_anny(self) -> bool:
        """Whether anything of Anny may be in the pictures: with a head model of the user's, the
        hands."""
        shares = self.face_shares
        return self.face_model is None or shares.hands > 0 or shares.negatives > 0

    def licences(self) -> tuple[str, ...]:
        """What the pictures carry on from others."""
        if self.face_model is None:
            return super().licences()
        from render.morphable_files import load_model

        anny, *others = super().licences()
        own = load_model(self.face_model)[0].licence
        return (own, *([anny] if self.shows_anny else []), *others)


def face_dataset(settings: FaceSettings, shard_size: int) -> DatasetInfo:
    """dataset.json of these faces; files of the user's are named by their SHA-256."""
    mapping = settings.mapping
    if settings.face_model is not None:
        from render.morphable_mapping import described_model

        head: dict[str, Any] = {"face_model": described_model(settings.face_model)}
    else:
        head = {"mapping": "shipped" if mapping is None else file_sha256(mapping)}
    return description(
        "faces",
        {**settings.described(), **head, "shares": asdict(settings.face_shares)},
        shard_size,
        topologies=(TOPOLOGY,),
        classes=dict(CLASSES),
        licences_inherited=settings.licences(),
    )


def face_renderers(settings: FaceSettings) -> Callable[[int], Renderer]:
    """What a render job calls in every worker, with the number of threads."""
    if settings.face_model is not None:
        from render.morphable_faces import MorphableRenderer

        return partial(MorphableRenderer, settings)
    return partial(FaceRenderer, settings)


class FaceRenderer(HeadRenderer[FaceDraw]):
    """Renders pictures of Anny's people; builds the scene when it is made.

    Args:
        settings: of the data set.
        threads: of Cycles; 0 for every core.

    Raises:
        ViewfinderError: an unknown preset, no HDRIs, an unusable mapping.
    """

    def __init__(self, settings: FaceSettings, threads: int = 0) -> None:
        surroundings = Surroundings(settings)
        mapping: FaceMapping = (
            read_mapping(settings.mapping) if settings.mapping else shipped_mapping()
        )
        self.mesh = HeadMesh(load_anny().head)
        size, quality = settings.size, PRESETS[settings.preset]
        self.scene = FaceScene(
            self.mesh, mapping, size, size, quality, threads, bool(settings.backgrounds)
        )
        company = Company(settings, self._somebody, backs=True)
        super().__init__(settings, surroundings, self.scene, company)

    def draw(self, index: int) -> tuple[FaceDraw, np.random.Generator]:
        """Whom sample `index` shows first, and the generator for all that is left to chance."""
        seed = self.settings.seed
        rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(index,)))
        drawn = draw_face(rng, self.mesh.region.change_names)
        return self._dressed(drawn, beside_rng(seed, index, 1)), rng

    def _somebody(self, rng: np.random.Generator) -> FaceDraw:
        return self._dressed(draw_face(rng, self.mesh.region.change_names), rng)

    def _dressed(self, drawn: FaceDraw, rng: np.random.Generator) -> FaceDraw:
        worn = random_worn(rng, self.settings.face_shares, drawn.age, drawn.sex)
        return replace(drawn, worn=worn)

    def posed(self, drawn: FaceDraw) -> Person:
        """Somebody's shape and looks."""
        turn = drawn.view.head_rotation
        shape = self.mesh.shape(drawn.identity, drawn.actions, turn, drawn.gaze_rad)
        return self.scene.person(shape, drawn.look, drawn.worn)

    def placed(self, view: View) -> Floats:
        """(4, 4) world_from_person: the body's turn; the head's is the shape's."""
        return placed(view)

    def gain(self, drawn: FaceDraw) -> float:
        """Metering would make every skin middle grey; real cameras correct about half of it."""
        luminance = float(np.dot(drawn.look.complexion.albedo, [0.2126, 0.7152, 0.0722]))
        return 1.15 * (luminance / 0.3) ** 0.45

    def tags(self, drawn: FaceDraw) -> tuple[str, ...]:
        """Expression, hair and what is worn."""
        return (drawn.expression, drawn.look.hair_style, *drawn.worn.tags())

    def attributes(self, drawn: FaceDraw, shot: Shot) -> dict[str, Any]:
        """Pose, gaze, and all that was drawn."""
        look = drawn.look
        return {
            **directions(shot, drawn.gaze_rad),
            "expression": drawn.expression,
            "actions": drawn.actions,
            "tone": look.tone,
            "age": drawn.age,
            "sex": drawn.sex,
            "iris": look.iris,
            "hair": {"style": look.hair_style, "colour": look.hair_colour},
            "garment": look.garment,
            "worn": drawn.worn.described(),
            "phenotypes": {k: round(v, 5) for k, v in drawn.identity.phenotypes.items()},
            "local_changes": {k: round(v, 5) for k, v in drawn.identity.local_changes.items()},
        }
