"""ICT-FaceKit and GNM Head through the same interface as Basel's models."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from render.morphable_build import built
from render.morphable_files import find_model, load_model
from render.open_heads import ICT_NEUTRAL, read_gnm, read_ict
from runtime.errors import ViewfinderError
from tests.render.basel_layout import TestHead, anny_head, write_gnm, write_ict


@pytest.fixture(scope="module")
def head() -> TestHead:
    return anny_head(people=30, faces=25)


@pytest.fixture(scope="module")
def facekit(head: TestHead, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_ict(tmp_path_factory.mktemp("ict") / "FaceXModel", head)


def ours(flat_mm: np.ndarray) -> np.ndarray:
    p = 1e-3 * flat_mm.reshape(-1, 3)
    return np.stack([p[:, 0], -p[:, 2], p[:, 1]], axis=1)


def test_a_facekit_is_a_mean_and_moves_with_arkits_names(head: TestHead, facekit: Path) -> None:
    model = built(read_ict(facekit / ICT_NEUTRAL))
    assert np.abs(model.mean_m - ours(head.shape.mean)).max() < 1e-6
    assert model.expression_names == ("browDownLeft", "jawOpen")  # the gaze has other means
    jaw = ours(head.expression.sigma[0] * head.expression.basis[:, 0])
    assert np.abs(model.expression_m[1] - jaw).max() < 1e-6
    assert "MIT" in model.licence
    for seed in range(8):
        face = model.draw(np.random.default_rng(seed))
        assert ((face.expression >= 0) & (face.expression <= 1)).all()
        assert face.strength == 1
        assert face.colour.shape == (0,)
    assert model.srgb(face) is None


def test_a_facekit_is_found_by_its_folder(
    facekit: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert find_model(facekit)[0] == find_model(facekit / ICT_NEUTRAL)[0] == "ict"
    monkeypatch.setenv("VIEWFINDER_HOME", str(tmp_path))
    load_model.cache_clear()
    assert load_model(facekit)[0].name == "ICT-FaceKit"


def test_a_facekit_of_another_mesh_is_refused(facekit: Path, tmp_path: Path) -> None:
    (tmp_path / ICT_NEUTRAL).write_text("v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 3\n")
    with pytest.raises(ViewfinderError, match=r"26719 vertices; found 3"):
        read_ict(tmp_path / ICT_NEUTRAL)
    (tmp_path / ICT_NEUTRAL).write_text("v 0 zero 0\n")
    with pytest.raises(ViewfinderError, match="no mesh"):
        read_ict(tmp_path / ICT_NEUTRAL)
    (tmp_path / ICT_NEUTRAL).write_text((facekit / ICT_NEUTRAL).read_text())
    with pytest.raises(ViewfinderError, match="no identities"):
        read_ict(tmp_path / ICT_NEUTRAL)


def test_gnms_skin_is_kept(head: TestHead, tmp_path: Path) -> None:
    model = built(read_gnm(write_gnm(tmp_path / "gnm_head.npz", head)))
    assert len(model.mean_m) == len(head.shape.mean) // 3
    face = replace(model.draw(np.random.default_rng(0)), strength=0.0)
    shape = head.shape.mean + head.shape.basis @ (head.shape.sigma * face.identity)
    assert np.abs(model.vertices_m(face) - ours(shape)).max() < 1e-6
    assert "Apache-2.0" in model.licence


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("expression_basis", np.zeros((2, 5, 3), np.float32), "don't fit together"),
        ("vertex_group_names", np.array(["hair"]), "don't fit together"),
        ("triangles", np.full((4, 3), 10**6), "aren't there"),
        ("triangles", np.array([{"a": 1}], dtype=object), "no head model of GNM"),
        ("template_vertex_positions", None, "no head model of GNM"),
    ],
)
def test_what_is_no_gnm_is_one_clear_line(
    head: TestHead, tmp_path: Path, name: str, value: np.ndarray | None, words: str
) -> None:
    path = write_gnm(tmp_path / "gnm_head.npz", head)
    with np.load(path) as stored:
        arrays = {key: stored[key] for key in stored.files if key != name}
    if value is not None:
        arrays[name] = value
    np.savez(path, **arrays)
    with pytest.raises(ViewfinderError, match=words) as caught:
        read_gnm(path)
    assert "\n" not in str(caught.value)
