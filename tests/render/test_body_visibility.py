"""What labels of bodies say is seen, against rays.

Its pictures are larger than those of `test_bodies`, in which a face is 5 pixels wide: there a ray
through a point and one through the middle of its pixel may meet different things.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest

from bootstrap.dataset.records import canonical_json
from render.bodies import BodySettings, BodyShares
from render.body_labels import body_label
from render.body_render import BodyRenderer
from runtime.topology import topology

SIZE = 256
ON_SKIN = ("nose", "left_eye", "right_eye", "left_ear", "right_ear", "mouth_left", "mouth_right")


@pytest.fixture(scope="module")
def renderer() -> Iterator[BodyRenderer]:
    made = BodyRenderer(BodySettings(5, SIZE, body_shares=BodyShares(negatives=0.2)), 1)
    yield made
    made.close()


def test_visibility_agrees_with_a_ray_cast(renderer: BodyRenderer) -> None:
    """Points on the skin: a ray from the camera meets nothing before it reaches them."""
    import trimesh

    names = topology("pose33@1").keypoint_names
    surface = [names.index(name) for name in ON_SKIN]
    faces = renderer.sampler.wardrobe.faces
    agreed = []
    for index in range(8):
        (_, (label, *_)), scene = renderer.render(index), renderer.draw(index)[0]
        if not label.topology:
            continue
        shown = faces[(scene.body.field[faces] > 0).all(axis=1)]
        triangles = np.concatenate([shown[:, [0, 1, 2]], shown[:, [0, 2, 3]]])
        mesh = trimesh.Trimesh(scene.body.vertices_m, triangles, process=False)
        eye = (np.linalg.inv(scene.world_from_body) @ scene.world_from_camera[:, 3])[:3]
        assert label.keypoints_px is not None
        assert label.visibility is not None
        pixels = label.keypoints_px[surface]
        inside = ((pixels > 0) & (pixels < SIZE)).all(axis=1)
        away = scene.body.keypoints_m[surface] - eye
        length = np.linalg.norm(away, axis=1)
        places, rays, _ = mesh.ray.intersects_location(
            np.tile(eye, (len(away), 1)), away / length[:, None]
        )
        first = np.full(len(away), np.inf)
        np.minimum.at(first, rays, np.linalg.norm(places - eye, axis=1))
        seen = inside & (first > length - 0.025)
        agreed += ((label.visibility[surface] == 2) == seen).tolist()
    assert len(agreed) > 40
    assert np.mean(agreed) > 0.9


def test_a_face_behind_the_camera_has_no_box(renderer: BodyRenderer) -> None:
    """Seen from the hips downward, a body is labelled all the same, and its label can be kept."""
    scene = next(s for s in (renderer.draw(i)[0] for i in range(9)) if not s.negative)
    down = np.eye(4)
    down[:3, :3] = np.diag([1.0, -1.0, -1.0])
    body = scene.world_from_body @ np.append(scene.body.keypoints_m[[23, 24]].mean(axis=0), 1.0)
    down[:3, 3] = body[:3]
    below = replace(scene, world_from_camera=down)
    nothing = np.zeros((SIZE, SIZE))
    model = renderer.model
    label = body_label("s", below, model, nothing, nothing.astype(np.uint8), "synthetic")
    assert label.attributes["face_box_px"] is None
    canonical_json(label.attributes)
