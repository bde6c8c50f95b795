"""Labelled pictures of faces: `FaceRenderer.render(i)` gives sample i and its label."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from bootstrap.dataset import (
    DatasetInfo,
    Label,
    Sample,
    encode_alpha,
    encode_depth,
    encode_normals,
    encode_segmentation,
)
from render.anny_asset import load_anny
from render.backgrounds import background_piece
from render.cycles import PRESETS, CyclesScene, Passes
from render.environments import bundled_hdris, file_sha256, hdri_index
from render.face_mapping import FaceMapping, read_mapping, shipped_mapping
from render.faces_draw import FaceDraw, View, draw_face
from render.faces_head import HeadMesh, rotation_matrix
from render.faces_scene import CLASSES, FaceScene, Posed
from render.job import Renderer, description, sample_id, split_of
from render.labels import box_of_points, clear_depth, visibility
from render.onto_photo import PhotoLight, lamp_of, neutral_gains, onto_photo, photo_light
from render.photo import Photo, develop, metered
from render.settings import RenderSettings
from runtime.camera import Camera, transform_points
from runtime.errors import ViewfinderError
from runtime.image import encode_image
from runtime.topology import topology

Floats = NDArray[np.float64]

TOPOLOGY = "face478@1"

FACE_HEIGHT_M = 0.19
"""What `View.face_share` takes as the height of a face, hairline to chin."""

DETECTOR_KEYPOINTS = (
    "right_eye", "left_eye", "nose_tip", "mouth_centre", "right_ear_tragion", "left_ear_tragion",
)  # fmt: skip
"""What a face detector of BlazeFace's kind learns, in its order."""

# Rows: the face's left, up and forward in Anny's axes (x left, y back, z up).
HEAD_FROM_FACE = np.array([[1.0, 0.0, 0.0], [0.0, 0.0, -1.0], [0.0, 1.0, 0.0]])


@dataclass(frozen=True)
class FaceSettings(RenderSettings):
    """What a data set of faces depends on.

    Attributes:
        mapping: file with a face mapping; the shipped one when None.
        face_model: file of a head model that takes Anny's place.
    """

    mapping: Path | None = None
    face_model: Path | None = None

    def licences(self) -> tuple[str, ...]:
        """What the pictures carry on from others; a user's head model takes Anny's place."""
        if self.face_model is None:
            return super().licences()
        from render.morphable_files import load_model

        return (load_model(self.face_model)[0].licence, *super().licences()[1:])


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
        {**settings.described(), **head},
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
    """Renders one face after another; builds the scene when it is made.

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
        self._tragions = tragion_vertices(self.mesh)

    def draw(self, index: int) -> tuple[FaceDraw, np.random.Generator]:
        """What sample `index` is to show, and the generator for all that is left to chance."""
        sequence = np.random.SeedSequence(self.settings.seed, spawn_key=(index,))
        rng = np.random.default_rng(sequence)
        return draw_face(rng, self.mesh.region.change_names), rng

    def hdri(self, index: int) -> Path:
        """The surroundings of sample `index`: one for a block of samples."""
        return self.surroundings.hdri(index)

    def render(self, index: int) -> tuple[Sample, list[Label]]:
        """Sample `index` of the data set and its one label."""
        drawn, rng = self.draw(index)
        shot = self.shoot(drawn, self.hdri(index), rng)
        sample = sample_of(
            index, self.settings, shot, drawn.photo, (drawn.expression, drawn.look.hair_style),
            {
                "hdri": self.hdri(index).name,
                "azimuth_rad": drawn.view.azimuth_rad,
                "lamp": shot.lamp is not None,
                "photo": plain(asdict(drawn.photo)),
            },
        )  # fmt: skip
        return sample, [label_of(sample.sample_id, shot, _attributes(drawn, shot))]

    def shoot(self, drawn: FaceDraw, hdri: Path, rng: np.random.Generator) -> Shot:
        """Set the scene up as drawn and take the picture.

        Args:
            drawn: who, how and where.
            hdri: the surroundings.
            rng: for paint, strands and the sensor's noise.
        """
        shape = self.mesh.shape(
            drawn.identity, drawn.actions, drawn.view.head_rotation, drawn.gaze_rad
        )
        person = self.scene.person(shape, drawn.look)
        behind = self.surroundings.photo(rng)
        view = drawn.view if behind is None else replace(drawn.view, lamp=lamp_of(behind[1]))
        world_from_person = np.eye(4)
        world_from_person[:3, :3] = rotation_matrix([0, 0, view.azimuth_rad + view.body_yaw_rad])
        self.scene.show(person, world_from_person, rng)
        self.scene.cycles.set_hdri(hdri)
        target = transform_points(world_from_person, person.landmarks_m.mean(axis=0))
        toward, world_from_camera, camera = aim(view, target, self.settings.size)
        self.scene.light(view, target, toward)
        passes = self.scene.render(world_from_camera, camera)
        light = self.surroundings.before(behind, passes, self.scene.cycles, hdri, rng)
        gain = metered(light, skin_weight(passes)) * _tone_gain(drawn)
        rgb = develop(light, gain, drawn.photo, rng)
        return Shot(
            rgb, passes, camera, world_from_camera, world_from_person, person, self._tragions,
            view.lamp,
        )  # fmt: skip

    def close(self) -> None:
        """Remove the scene's files."""
        self.scene.cycles.close()


@dataclass(frozen=True)
class Shot:
    """A picture and what stood before the camera.

    Attributes:
        rgb: (H, W, 3) uint8.
        passes: depth in metres, class ids as `material_index`.
        camera: intrinsics.
        world_from_camera, world_from_person: (4, 4).
        person: in its own axes.
        tragions: vertices of the rendered mesh before the right and the left ear.
        lamp: as `View.lamp`.
    """

    rgb: NDArray[np.uint8]
    passes: Passes
    camera: Camera
    world_from_camera: Floats
    world_from_person: Floats
    person: Posed
    tragions: tuple[int, int]
    lamp: tuple[float, float, float, float, float] | None

    def classes(self) -> NDArray[np.int32]:
        """(H, W) class ids, the skin that shows between strands counted as hair or brow."""
        ids = self.passes.material_index.copy()
        for name, share in (("hair", 0.02), ("brows", 0.012)):
            reach = 2 * max(1, round(share * len(ids) / 2)) + 1
            strands = (ids == CLASSES[name]).astype(np.uint8)
            closed = cv2.morphologyEx(strands, cv2.MORPH_CLOSE, np.ones((reach, reach), np.uint8))
            ids[(closed > 0) & (ids == CLASSES["skin"])] = CLASSES[name]
        return ids

    @property
    def camera_from_person(self) -> Floats:
        """(4, 4)."""
        return np.asarray(np.linalg.inv(self.world_from_camera) @ self.world_from_person)

    def irises(self) -> Floats:
        """(10, 3) points of the right and of the left iris in the person's axes."""
        right, left = self.person.shape.eyes
        return np.concatenate([right.iris_points(), left.iris_points()])

    def keypoints_camera_m(self) -> Floats:
        """(478, 3) landmarks, then right and left iris."""
        points = np.concatenate([self.person.landmarks_m, self.irises()])
        return transform_points(self.camera_from_person, points)

    def visibility(self, points_camera_m: Floats) -> NDArray[np.int8]:
        """(478,) COCO's visibility: on skin for landmarks, on the eye for irises."""
        ids = self.passes.material_index
        skin = ~np.isin(ids, [CLASSES[name] for name in ("background", "hair", "clothes")])
        eye = np.isin(ids, [CLASSES["eyes"], CLASSES["lashes"]])
        depth = self.passes.depth_m
        parts = []
        for rows, shown in ((slice(0, 468), skin), (slice(468, 478), eye)):
            points = points_camera_m[rows]
            own = np.broadcast_to(shown, (len(points), *shown.shape))
            parts.append(visibility(points, self.camera, depth, 0.006, own))
        return np.concatenate(parts)

    def detector_points_camera_m(self, keypoints: Floats) -> Floats:
        """(6, 3) in the order of `DETECTOR_KEYPOINTS`."""
        ears = self.person.vertices_m[list(self.tragions)]
        mouth = keypoints[[13, 14]].mean(axis=0)
        return np.stack(
            [keypoints[468], keypoints[473], keypoints[1], mouth,
             *transform_points(self.camera_from_person, ears)]
        )  # fmt: skip


def sample_of(
    index: int,
    settings: FaceSettings,
    shot: Shot,
    photo: Photo,
    tags: tuple[str, ...],
    attributes: Mapping[str, Any],
) -> Sample:
    """Picture and pixel labels of sample `index`."""
    members = {
        "depth.png": encode_depth(clear_depth(shot.passes.depth_m)),
        "seg.png": encode_segmentation(shot.classes()),
        "normals.png": encode_normals(shot.passes.camera_normals(shot.world_from_camera)),
    }
    if settings.backgrounds:
        members["alpha.png"] = encode_alpha(shot.passes.alpha)
    return Sample(
        sample_id=sample_id(index),
        image=encode_image(shot.rgb, ".jpg", quality=photo.jpeg_quality),
        extension="jpg",
        members=members,
        width=settings.size,
        height=settings.size,
        camera=shot.camera,
        seed=settings.seed,
        split=split_of(index),
        tags=tags,
        attributes=attributes,
    )


def label_of(name: str, shot: Shot, attributes: dict[str, Any]) -> Label:
    """Ground truth of a shot."""
    points = shot.keypoints_camera_m()
    pixels = shot.camera.project(points)
    contours = topology(TOPOLOGY).contours
    return Label(
        sample_id=name,
        topology=TOPOLOGY,
        keypoints_px=pixels.astype(np.float32),
        keypoints_camera_m=points.astype(np.float32),
        visibility=shot.visibility(points),
        contours={n: pixels[list(c.indices)].astype(np.float32) for n, c in contours.items()},
        box_px=box_of_points(pixels[:468]),
        detector_keypoints_px=shot.camera.project(shot.detector_points_camera_m(points)).astype(
            np.float32
        ),
        attributes=attributes,
        source="viewfinder render faces",
    )


def directions(shot: Shot, gaze_rad: tuple[float, float]) -> dict[str, Any]:
    """Head pose and gaze of a shot, as labels have them."""
    shape, turn = shot.person.shape, shot.camera_from_person[:3, :3]
    rotation = turn @ shape.head_rotation @ HEAD_FROM_FACE
    yaw, pitch, roll = pose_angles(rotation)
    eyes = [turn @ -eye.axes[:, 1] for eye in shape.eyes]
    return {
        "pose": {
            "camera_from_face": [round(float(v), 6) for v in rotation.ravel()],
            "yaw_rad": round(yaw, 5),
            "pitch_rad": round(pitch, 5),
            "roll_rad": round(roll, 5),
        },
        "gaze": {
            "left_rad": round(gaze_rad[0], 5),
            "up_rad": round(gaze_rad[1], 5),
            "camera_directions": [[round(float(v), 5) for v in eye] for eye in eyes],
        },
    }


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
        "phenotypes": {k: round(v, 5) for k, v in drawn.identity.phenotypes.items()},
        "local_changes": {k: round(v, 5) for k, v in drawn.identity.local_changes.items()},
    }


def pose_angles(camera_from_face: Floats) -> tuple[float, float, float]:
    """Yaw, pitch, roll in radians of a face before the camera; all 0 for one that looks into it.

    The face's axes are the canonical face's: x to the subject's left, y up, z forward. Yaw is
    positive toward the subject's left, pitch upward, roll toward the subject's left shoulder
    (clockwise in the picture). R = facing . Ry(yaw) . Rx(-pitch) . Rz(-roll).
    """
    facing = np.diag([1.0, -1.0, -1.0])
    r = facing @ camera_from_face
    yaw = math.atan2(r[0, 2], r[2, 2])
    pitch = math.asin(float(np.clip(r[1, 2], -1, 1)))
    roll = math.atan2(-r[1, 0], r[1, 1])
    return yaw, pitch, roll


def tragion_vertices(mesh: HeadMesh) -> tuple[int, int]:
    """Vertices of the rendered mesh before the right and the left ear's opening."""
    from render.faces_head import SURFACES, unrolled

    vertices = mesh.rendered(mesh.neutral_m)
    skin = np.unique(mesh.faces[mesh.surface == SURFACES.index("skin")])
    places = unrolled(vertices[skin])
    found = []
    for u in (0.5 - _TRAGION_UV[0], 0.5 + _TRAGION_UV[0]):
        apart = np.hypot((places[:, 0] - u) * 0.65, (places[:, 1] - _TRAGION_UV[1]) * 0.44)
        # Among those that lie there, the outermost: the ear is folded.
        near = np.flatnonzero(apart < np.sort(apart)[8])
        found.append(int(skin[near[np.abs(vertices[skin[near], 0]).argmax()]]))
    return found[0], found[1]


_TRAGION_UV = (0.218, 0.612)  # distance from the middle and height, in the unrolled texture


def aim(view: View, target: Floats, size: int) -> tuple[Floats, Floats, Camera]:
    """The camera before a face: horizontal direction from the face to it (3,), world_from_camera
    (4, 4), intrinsics."""
    toward = rotation_matrix([0, 0, view.azimuth_rad]) @ [0.0, -1.0, 0.0]
    world_from_camera = _camera_pose(target, toward, view.elevation_rad, view.distance_m)
    focal = view.distance_m * view.face_share * size / FACE_HEIGHT_M
    middle = (0.5 + np.array(view.offset)) * size
    camera = Camera(focal, focal, float(middle[0]), float(middle[1]), size, size)
    return toward, world_from_camera, camera


def _camera_pose(target: Floats, toward: Floats, elevation: float, distance: float) -> Floats:
    """(4, 4) world_from_camera that looks at the target from a direction and elevation."""
    back = math.cos(elevation) * toward + math.sin(elevation) * np.array([0.0, 0.0, 1.0])
    right = np.cross(-back, [0.0, 0.0, 1.0])
    right /= np.linalg.norm(right)
    pose = np.eye(4)
    pose[:3, :3] = np.stack([right, np.cross(-back, right), -back], axis=1)
    pose[:3, 3] = target + distance * back
    return pose


def skin_weight(passes: Passes) -> NDArray[np.float32]:
    """(H, W) how much each pixel counts when light is metered."""
    # Auto-exposure looks at the face, and a little at everything.
    skin = np.isin(passes.material_index, [CLASSES["skin"], CLASSES["lips"]])
    return (0.02 + skin).astype(np.float32)


def _tone_gain(drawn: FaceDraw) -> float:
    """Metering would make every skin middle grey; real cameras correct only about half of it."""
    luminance = float(np.dot(drawn.look.complexion.albedo, [0.2126, 0.7152, 0.0722]))
    return 1.15 * (luminance / 0.3) ** 0.45


def plain(values: Mapping[str, Any]) -> dict[str, Any]:
    """As JSON gives it back: lists for tuples."""
    return {k: list(v) if isinstance(v, tuple) else v for k, v in values.items()}
