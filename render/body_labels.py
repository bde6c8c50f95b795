"""Ground truth of a picture of a body: 33 keypoints, visibility, boxes, what a detector learns, and
its hands."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bootstrap.dataset import Label
from bootstrap.dataset.hand_frames import WRIST
from render.bodies import CLASSES, PERSON
from render.body_joints import SIDES
from render.body_model import TOPOLOGY, BodyModel
from render.body_scene import BodyScene
from render.hand_truth import SeenHand, hand_label
from render.labels import box_of_mask, box_of_points, silhouette, visibility
from runtime.camera import Camera, transform_points
from runtime.topology import topology

Floats = NDArray[np.float64]

# A joint counts as seen when what is before it is no farther than the body and its clothes are
# thick there: metres for a person of `_TALL_M`, by keypoint.
_TALL_M = 1.7
_FARTHEST = 10.0  # picture widths
_INSIDE_M = {
    "nose": 0.02, "eye": 0.025, "ear": 0.025, "mouth": 0.02, "shoulder": 0.11, "elbow": 0.075,
    "wrist": 0.055, "pinky": 0.04, "index": 0.04, "thumb": 0.035, "hip": 0.17, "knee": 0.095,
    "ankle": 0.075, "heel": 0.07, "foot": 0.06,
}  # fmt: skip


def body_label(
    name: str,
    scene: BodyScene,
    model: BodyModel,
    depth_m: NDArray[np.floating],
    classes: NDArray[np.uint8],
    source: str,
) -> Label:
    """The label of a rendered sample.

    Args:
        name: of the sample.
        scene: what was rendered.
        model: of the body.
        depth_m: (H, W), inf where there is nothing.
        classes: (H, W) ids of `CLASSES`.
        source: who says so.
    """
    layout = topology(TOPOLOGY)
    camera_from_body = np.linalg.inv(scene.world_from_camera) @ scene.world_from_body
    points = transform_points(camera_from_body, scene.body.keypoints_m)
    pixels = scene.camera.project(points)
    scale = scene.shape.height_m / _TALL_M
    inside = scale * np.array([_inside_m(each) for each in layout.keypoint_names])
    own = np.broadcast_to(np.isin(classes, PERSON), (len(points), *classes.shape))
    seen = visibility(points, scene.camera, depth_m, inside, own)
    seen[~_placed(pixels, scene.camera)] = 0
    person = np.isin(classes, PERSON)
    box = box_of_mask(person)
    outline = silhouette(person)
    detector = detector_keypoints(scene, camera_from_body, pixels)
    return Label(
        sample_id=name,
        topology=layout.id,
        keypoints_px=pixels.astype(np.float32),
        keypoints_camera_m=points.astype(np.float32),
        visibility=seen,
        contours={} if outline is None else {"silhouette": outline},
        box_px=box_of_points(pixels) if box is None else box,
        detector_keypoints_px=detector.astype(np.float32) if np.isfinite(detector).all() else None,
        attributes=_attributes(scene, points, pixels, classes),
        source=source,
    )


def hand_labels(
    name: str,
    scene: BodyScene,
    model: BodyModel,
    depth_m: NDArray[np.floating],
    classes: NDArray[np.uint8],
    source: str,
) -> list[Label]:
    """The labels of what is seen of a person's hands, subjects 1 and 2, however small or hidden.
    Arguments as for `body_label`."""
    camera_from_body = np.linalg.inv(scene.world_from_camera) @ scene.world_from_body
    thickness = model.hand.thickness(scene.shape.hand)
    found: list[Label] = []
    for side in SIDES:
        in_hand = classes == CLASSES[f"{side} hand"]
        if not in_hand.any():
            continue
        points = transform_points(camera_from_body, scene.body.hands_m[side])
        own = np.repeat(in_hand[None], len(points), axis=0)
        own[WRIST] |= classes == CLASSES[f"{side} forearm"]
        hand = SeenHand(points, thickness, side, own, in_hand)
        facts = {"tone": scene.look.tone}
        found.append(hand_label(name, len(found) + 1, hand, scene.camera, depth_m, source, facts))
    return found


def _inside_m(keypoint: str) -> float:
    return next(value for word, value in _INSIDE_M.items() if word in keypoint)


def detector_keypoints(scene: BodyScene, camera_from_body: Floats, pixels: Floats) -> Floats:
    """(4, 2) what BlazePose's detector learns: the middle of the hips; the point above it, along
    the trunk, on the circle about the hips that holds the whole body; the middle of the shoulders;
    the point above that on the circle that holds the upper body."""
    hips, shoulders = pixels[[23, 24]].mean(axis=0), pixels[[11, 12]].mean(axis=0)
    up = shoulders - hips
    length = float(np.linalg.norm(up))
    up = up / length if length > 1e-6 else np.array([0.0, -1.0])
    skin = scene.body.vertices_m[: len(scene.shape.rest.vertices_m)][::7]
    whole = scene.camera.project(transform_points(camera_from_body, skin))
    whole = np.concatenate([whole, pixels])
    whole = whole[_placed(whole, scene.camera)]
    bust = pixels[:25][_placed(pixels[:25], scene.camera)]
    radius = float(np.linalg.norm(whole - hips, axis=1).max(initial=0.0))
    upper = float(np.linalg.norm(bust - shoulders, axis=1).max(initial=0.0))
    return np.stack([hips, hips + radius * up, shoulders, shoulders + upper * up])


def _placed(pixels: Floats, camera: Camera) -> NDArray[np.bool_]:
    """Which of (N, 2) points have a place in the picture's plane: one beside or behind the camera
    has none, or one that is nowhere near."""
    return (np.abs(pixels) < _FARTHEST * camera.width).all(axis=1)


def _attributes(
    scene: BodyScene, points: Floats, pixels: Floats, classes: NDArray[np.uint8]
) -> dict[str, Any]:
    head = np.isin(classes, [CLASSES["head"], CLASSES["hair"]])
    face = box_of_points(pixels[:11])
    size = scene.camera.width
    inside = ((pixels >= 0) & (pixels < size)).all(axis=1)
    look, outfit = scene.look, scene.outfit
    degrees = {joint: round(math.degrees(a), 2) for joint, a in scene.pose.pose.angles.items()}
    worn = {shell: garment.kind for shell, garment in outfit.shells.items()}
    return {
        "pose": scene.pose.kind,
        "poses": list(scene.pose.names),
        "mirrored": scene.pose.mirrored,
        "carried": scene.pose.on,
        "joint_angles_deg": degrees,
        "hands": dict(scene.pose.hands),
        "hip_centre_camera_m": points[[23, 24]].mean(axis=0).round(6).tolist(),
        # A camera at the chest may have the whole face behind it.
        "face_box_px": face.round(2).tolist() if np.isfinite(face).all() else None,
        "head_px": int(head.sum()),
        "keypoints_inside": int(inside.sum()),
        "shows": scene.view.shows,
        "azimuth_deg": round(math.degrees(scene.view.azimuth_rad), 2),
        "elevation_deg": round(math.degrees(scene.view.elevation_rad), 2),
        "roll_deg": round(math.degrees(scene.view.roll_rad), 2),
        "height_m": round(scene.shape.height_m, 4),
        "tone": look.tone,
        "hair": {"style": look.hair, "colour": look.hair_colour},
        "age": "child" if scene.identity.phenotypes["age"] < 0.58 else "adult",
        "sex": "female" if scene.identity.phenotypes["gender"] > 0.5 else "male",
        "worn": worn | ({"skirt": "skirt"} if outfit.skirt is not None else {}),
        "identity": {k: round(v, 5) for k, v in scene.identity.phenotypes.items()},
        "local_changes": {k: round(v, 5) for k, v in scene.identity.local_changes.items()},
        "camera_from_body": (np.linalg.inv(scene.world_from_camera) @ scene.world_from_body)
        .round(9)
        .tolist(),
    }
