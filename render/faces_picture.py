"""Pictures of faces, whoever's: `HeadRenderer.render(i)` gives sample i and its labels."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bootstrap.dataset import Label, Sample
from render.assembly import Part
from render.backgrounds import background_piece
from render.cycles import PRESETS, CyclesScene, Passes
from render.environments import bundled_hdris, hdri_index
from render.faces_classes import CLASSES
from render.faces_company import ALONE, Around, Company, Drawn, counts
from render.faces_draw import View
from render.faces_props import Stage
from render.faces_scene import Posed, Standing
from render.faces_shot import SOURCE, Shot, aim, label_of, plain, sample_of, skin_weight
from render.job import sample_id
from render.onto_photo import PhotoLight, lamp_of, neutral_gains, onto_photo, photo_light
from render.photo import develop, metered
from runtime.camera import Camera, transform_points
from runtime.errors import ViewfinderError

if TYPE_CHECKING:
    from render.faces import FaceSettings

Floats = NDArray[np.float64]

_BEFORE = (CLASSES["hand"], CLASSES["object"])


class HeadScene(Stage, Protocol):
    """People under a sky."""

    cycles: CyclesScene
    tragions: tuple[int, int]

    def show(self, people: Any, others: Any) -> None:
        """Put `Standing` people into the scene, two at most, and `Part`s with the slots of
        `props`."""

    def light(self, view: View, target_m: Floats, toward_camera: Floats) -> None:
        """Switch the lamp on or off."""

    def render(self, world_from_camera: ArrayLike, camera: Camera) -> Passes:
        """The picture."""


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


class HeadRenderer(ABC, Generic[Drawn]):
    """Renders one picture after another.

    Args:
        settings: of the data set.
        surroundings: of the same.
        scene: built once.
        company: who and what else is in a picture.
    """

    def __init__(
        self,
        settings: FaceSettings,
        surroundings: Surroundings,
        scene: HeadScene,
        company: Company[Drawn],
    ) -> None:
        self.settings, self.surroundings = settings, surroundings
        self._scene = scene
        self._company: Company[Drawn] = company

    @abstractmethod
    def draw(self, index: int) -> tuple[Drawn, np.random.Generator]:
        """Whom sample `index` shows first, and the generator for all that is left to chance."""

    @abstractmethod
    def posed(self, drawn: Drawn) -> Posed:
        """Somebody's shape and looks."""

    @abstractmethod
    def placed(self, view: View) -> Floats:
        """(4, 4) world_from_person of somebody at the origin."""

    @abstractmethod
    def gain(self, drawn: Drawn) -> float:
        """What cameras leave of a skin's tone when they meter a face."""

    @abstractmethod
    def tags(self, drawn: Drawn) -> tuple[str, ...]:
        """Of a sample that shows this person first."""

    @abstractmethod
    def attributes(self, drawn: Drawn, shot: Shot) -> dict[str, Any]:
        """Of a person's label."""

    def strands_rng(self, drawn: Drawn, rng: np.random.Generator) -> np.random.Generator:
        """For the first person's paint and strands.

        Args:
            drawn: who.
            rng: of the sample.
        """
        return rng

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
            label = label_of(name, shot, self.attributes(who, shot))
            if number == 0 or counts(label, self.settings.size):
                labels.append(label)
        if around.negative:
            facts = {"negative": around.negative}
            labels = [Label(sample_id=name, attributes=facts, source=SOURCE)]
        unlabelled = len(around.people(drawn)) - sum(bool(label.topology) for label in labels)
        sample = sample_of(
            index, self.settings, shots[0], drawn.photo, self._all_tags(drawn, around),
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

    def _all_tags(self, drawn: Drawn, around: Around[Drawn]) -> tuple[str, ...]:
        if around.negative:
            return ("negative", around.negative)
        tags = [*self.tags(drawn), around.before, "company" if around.second else ""]
        return tuple(tag for tag in tags if tag)

    def shoot(self, drawn: Drawn, hdri: Path, rng: np.random.Generator) -> Shot:
        """`shots` of one person alone."""
        return self.shots(drawn, hdri, rng)[0]

    def shots(
        self, drawn: Drawn, hdri: Path, rng: np.random.Generator, around: Around[Drawn] = ALONE
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
        scene = self._scene
        behind = self.surroundings.photo(rng)
        view = drawn.view if behind is None else replace(drawn.view, lamp=lamp_of(behind[1]))
        world_from_person = self.placed(view)
        first = self.posed(drawn)
        people = [Standing(first, world_from_person, self.strands_rng(drawn, rng))]
        if around.second is not None:
            other = around.second
            turned = self.placed(replace(other.drawn.view, azimuth_rad=view.azimuth_rad))
            turned[:3, 3] = other.shift_m(view.azimuth_rad)
            people.append(Standing(self.posed(other.drawn), turned, other.rng(), 1.5))
        target = transform_points(world_from_person, first.landmarks_m.mean(axis=0))
        toward, world_from_camera, camera = aim(view, target, self.settings.size)
        others: list[Part] = self._company.parts(
            around, scene, people[0], world_from_camera, camera
        )  # fmt: skip
        scene.show(people if around.peopled else [], others)
        scene.cycles.set_hdri(hdri)
        scene.light(view, target, toward)
        passes = scene.render(world_from_camera, camera)
        light = self.surroundings.before(behind, passes, scene.cycles, hdri, rng)
        gain = metered(light, skin_weight(passes)) * (self.gain(drawn) if around.peopled else 1)
        rgb = develop(light, gain, drawn.photo, rng)
        return [
            Shot(rgb, passes, camera, world_from_camera, standing.world_from_person,
                 standing.person, scene.tragions, view.lamp, number)
            for number, standing in enumerate(people)
        ]  # fmt: skip

    def close(self) -> None:
        """Remove the scene's files."""
        self._scene.cycles.close()
