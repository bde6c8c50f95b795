"""Laws of the keypoint layouts."""

from __future__ import annotations

import numpy as np
import pytest

from runtime.errors import ViewfinderError
from runtime.topology import canonical_face, topology, topology_ids


@pytest.fixture(params=topology_ids())
def layout(request):
    return topology(request.param)


def test_names_are_unique_and_ids_find_themselves(layout):
    assert len(set(layout.keypoint_names)) == layout.size
    assert topology(layout.id) is layout
    assert topology(layout.name) == layout


def test_mirror_is_an_involution_and_maps_edges_onto_edges(layout):
    mirror = np.array(layout.mirror)
    np.testing.assert_array_equal(mirror[mirror], np.arange(layout.size))
    edges = {frozenset(edge) for edge in layout.edges}
    mirrored = {frozenset(mirror[list(edge)].tolist()) for edge in layout.edges}
    # The released face mesh has a few diagonals that lean the same way on both sides.
    assert len(mirrored - edges) <= 0.02 * len(edges)


def test_left_and_right_names_swap_in_the_mirror(layout):
    for name, partner in zip(layout.keypoint_names, layout.mirror, strict=True):
        if "iris" in name:
            continue
        other = layout.keypoint_names[partner]
        assert ("left" in name) == ("right" in other)


def test_parts_cover_every_keypoint_once_or_more(layout):
    assert set().union(*layout.parts.values()) == set(range(layout.size))


def test_lines_stay_inside_the_layout(layout):
    for contour in layout.contours.values():
        assert set(contour.indices) <= set(range(layout.size))
        assert len(contour.segments()) == len(contour.indices) - (not contour.closed)


def test_mirroring_keypoints_twice_gives_them_back(layout):
    points = np.random.default_rng(3).uniform(0, 640, (layout.size, 3))
    once = layout.mirrored(points, 640)
    np.testing.assert_allclose(layout.mirrored(once, 640), points, atol=1e-12)
    np.testing.assert_allclose(
        layout.normalising_length(once), layout.normalising_length(points), rtol=0.5
    )


def test_the_canonical_face_is_its_own_mirror_image():
    vertices = canonical_face().vertices_m
    flipped = topology("face478").mirrored(vertices, width=0.0)
    np.testing.assert_allclose(flipped, vertices, atol=1e-4)


def test_canonical_triangles_face_outwards():
    face = canonical_face()
    a, b, c = np.moveaxis(face.vertices_m[face.triangles], 1, 0)
    normal = np.cross(b - a, c - a)
    # The face looks along +z; only inside the nostrils and lips do triangles turn away.
    assert (normal[:, 2] > 0).mean() > 0.95


def test_interocular_distance_is_a_persons():
    # Adults' pupils are 54 to 74 mm apart (Dodgson 2004).
    assert 0.054 < topology("face478").normalising_length(canonical_face().vertices_m) < 0.074


def test_hand_limits_name_every_finger_joint():
    limits = topology("hand21").joint_limits_rad
    assert len(limits) == 4 + 4 * 4
    assert all(lo < hi for lo, hi in limits.values())


def test_cuboid_edges_form_a_box():
    box = topology("cuboid9")
    degree = np.bincount(np.array(box.edges).ravel(), minlength=9)
    np.testing.assert_array_equal(degree, [0] + [3] * 8)


def test_an_unknown_topology_is_named_with_the_known_ones():
    with pytest.raises(ViewfinderError, match=r"face478@1 .*found 'face479'"):
        topology("face479")
