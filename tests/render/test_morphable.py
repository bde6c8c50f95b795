"""Head models of the user's: read back what was written, and refuse what isn't one."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.io import savemat

from render.basel import VARIANTS, named, read_2009, read_h5
from render.morphable import Coefficients, MorphableModel, decode, encode
from render.morphable_build import built
from render.morphable_files import load_model
from runtime.errors import ViewfinderError
from tests.render.basel_layout import TestHead, anny_head, write_2009, write_h5

Floats = NDArray[np.float64]


@pytest.fixture(scope="module")
def head() -> TestHead:
    return anny_head(people=30, faces=25)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("VIEWFINDER_HOME", str(tmp_path / "home"))
    load_model.cache_clear()
    return tmp_path


def ours(flat_mm: Floats) -> Floats:
    p = 1e-3 * np.asarray(flat_mm).reshape(-1, 3)
    return np.stack([p[:, 0], -p[:, 2], p[:, 1]], axis=1)


def random_face(model: MorphableModel, seed: int = 0) -> Coefficients:
    return replace(model.draw(np.random.default_rng(seed)), strength=1.0)


# -- what is written is read ----------------------------------------------------------------------


@pytest.mark.parametrize("layout", ["2009", "h5"])
def test_faces_are_sums_of_the_written_directions(
    head: TestHead, folder: Path, layout: str
) -> None:
    path = write_2009(folder, head) if layout == "2009" else write_h5(folder / "m.h5", head)
    model, _ = load_model(path)
    face = random_face(model)
    shape = head.shape.mean + head.shape.basis @ (head.shape.sigma * face.identity)
    moved = head.expression.mean + head.expression.basis @ (head.expression.sigma * face.expression)
    assert np.abs(model.vertices_m(face) - ours(shape + moved)).max() < 2e-5
    colour = head.colour.mean + head.colour.basis @ (head.colour.sigma * face.colour)
    found = model.srgb(face)
    assert found is not None
    assert np.abs(found - np.clip(colour.reshape(-1, 3), 0, 1)).max() < 2e-3


def test_a_neutral_face_is_without_the_mean_expression(head: TestHead, folder: Path) -> None:
    model, _ = load_model(write_h5(folder / "m.h5", head))
    assert np.abs(head.expression.mean).max() > 0.5  # millimetres: it would show
    assert np.abs(model.vertices_m(model.neutral()) - ours(head.shape.mean)).max() < 1e-6
    bare = replace(random_face(model), strength=0.0)
    assert np.array_equal(model.vertices_m(bare), model.neutral_m(bare))


def test_micrometres_and_millimetres_give_the_same_head(head: TestHead, folder: Path) -> None:
    old = built(read_2009(write_2009(folder, head)))
    new = built(read_h5(write_h5(folder / "m.h5", head)))
    assert np.abs(old.mean_m - new.mean_m).max() < 1e-6
    assert 0.12 < np.ptp(new.mean_m[:, 2]) < 0.4  # metres


def test_triangles_from_one_and_from_zero_are_the_same(head: TestHead, folder: Path) -> None:
    old = built(read_2009(write_2009(folder, head)))
    new = built(read_h5(write_h5(folder / "m.h5", head)))
    assert old.triangles.min() == new.triangles.min() == 0
    assert {frozenset(t) for t in old.triangles.tolist()} == {
        frozenset(t) for t in new.triangles.tolist()
    }


def test_variances_and_standard_deviations_are_told_apart(head: TestHead, folder: Path) -> None:
    old = built(read_2009(write_2009(folder, head)))
    new = built(read_h5(write_h5(folder / "m.h5", head)))
    one = np.zeros(len(new.identity_m))
    one[0] = 1.0
    moved = [np.abs(m.identity_m[0]).max() for m in (old, new)]
    assert moved[0] == pytest.approx(moved[1], rel=1e-4)
    assert moved[0] == pytest.approx(
        1e-3 * np.abs(head.shape.basis[:, 0] * head.shape.sigma[0]).max(), rel=1e-4
    )


@pytest.mark.parametrize("turned", [False, True])
def test_the_front_looks_forward_whatever_the_winding(
    head: TestHead, folder: Path, turned: bool
) -> None:
    if turned:
        head = replace(head, triangles=head.triangles[:, ::-1])
    model = built(read_h5(write_h5(folder / "m.h5", head)))
    a, b, c = (model.mean_m[model.triangles[:, k]] for k in range(3))
    across = np.cross(b - a, c - a)
    nose = model.mean_m[:, 1].argmin()
    assert (across[(model.triangles == nose).any(axis=1)][:, 1] < 0).all()
    sides = {tuple(t[[i, (i + 1) % 3]]) for t in model.triangles for i in range(3)}
    assert len(sides) == 3 * len(model.triangles)  # no edge is run twice the same way


@pytest.mark.parametrize("kind", ["list", "map", "text"])
def test_landmarks_are_read_in_any_of_their_forms(head: TestHead, folder: Path, kind: str) -> None:
    model = built(read_h5(write_h5(folder / "m.h5", head, landmarks=kind)))
    assert set(model.landmarks_m) == set(head.landmarks)
    for name, place in head.landmarks.items():
        assert np.abs(model.landmarks_m[name] - ours(np.array(place))[0]).max() < 1e-5


def test_the_2009_model_without_expression_files_has_no_expressions(
    head: TestHead, folder: Path
) -> None:
    model = built(read_2009(write_2009(folder, head, expressions=False)))
    assert len(model.expression_m) == 0
    face = model.draw(np.random.default_rng(1))
    assert np.array_equal(model.vertices_m(face), model.neutral_m(face))


def test_the_2009_model_is_cut_to_the_points_that_have_expressions(
    head: TestHead, folder: Path
) -> None:
    path = write_2009(folder, head)
    count = len(head.shape.mean) // 3
    left = np.arange(5, count)  # the first five go
    savemat(folder / "BFM_exp_idx.mat", {"trimIndex": left + 1})
    modes = (1e3 * head.expression.basis.reshape(count, -1)[left].reshape(3 * len(left), -1)).T
    data = np.array([len(modes)], "<i4").tobytes() + np.zeros(3 * len(left), "<f4").tobytes()
    (folder / "Exp_Pca.bin").write_bytes(data + modes.astype("<f4").tobytes())
    (folder / "std_exp.txt").write_text(" ".join(map(str, head.expression.sigma.tolist())))
    model = built(read_2009(path))
    assert np.abs(model.mean_m - ours(head.shape.mean)[5:]).max() < 1e-6
    assert model.triangles.max() == count - 6
    first = head.expression.basis[:, 0] * head.expression.sigma[0]
    assert np.abs(model.expression_m[0] - ours(first)[5:]).max() < 1e-6


def test_every_published_variant_is_known_by_its_sizes() -> None:
    for (vertices, triangles), (year, name) in VARIANTS.items():
        found, licence = named(vertices, triangles, year)
        assert found == f"Basel Face Model {name}"
        assert year in licence
        assert "research" in licence
    assert "3000 vertices" in named(3000, 5800, "2017")[0]


def test_conversion_is_kept_and_damage_repaired(head: TestHead, folder: Path) -> None:
    path = write_h5(folder / "m.h5", head)
    model, sha256 = load_model(path)
    kept = list((folder / "home" / "cache").glob("head-*.npz"))
    assert len(kept) == 1
    assert sha256[:24] in kept[0].name
    kept[0].write_bytes(kept[0].read_bytes()[:-100])
    load_model.cache_clear()
    again, _ = load_model(path)
    assert np.array_equal(again.identity_m, model.identity_m)
    assert encode(decode(kept[0].read_bytes())) == kept[0].read_bytes()


# -- what isn't a head model ----------------------------------------------------------------------


def edited(change: Callable[[h5py.File], None]) -> Callable[[Path, TestHead], Path]:
    def make(folder: Path, head: TestHead) -> Path:
        path = write_h5(folder / "m.h5", head)
        with h5py.File(path, "r+") as file:
            change(file)
        return path

    return make


def put(file: h5py.File, name: str, value: object) -> None:
    del file[name]
    file[name] = value


def outside(file: h5py.File) -> None:
    del file["shape/model/mean"]
    file["shape/model/mean"] = h5py.ExternalLink("/etc/hostname", "/")


def external(file: h5py.File) -> None:
    del file["shape/model/mean"]
    file["shape/model"].create_dataset("mean", (300,), "f4", external=[("/etc/passwd", 0, 1200)])


def bomb(file: h5py.File) -> None:
    del file["shape/model/pcaBasis"]
    file["shape/model"].create_dataset("pcaBasis", (10**7, 10**6), "f4", chunks=(1000, 1000))


def swapped(file: h5py.File) -> None:
    file.move("shape/model", "shape/kept")
    file.move("color/model", "shape/model")
    file.move("shape/kept", "color/model")


def cut(folder: Path, head: TestHead) -> Path:
    path = write_h5(folder / "m.h5", head)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    return path


def cut_mat(folder: Path, head: TestHead) -> Path:
    path = write_2009(folder, head)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 3])
    return path


def cells(file: h5py.File) -> NDArray[np.int32]:
    return np.asarray(file["shape/representer/cells"])


HOSTILE: dict[str, tuple[Callable[[Path, TestHead], Path], str]] = {
    "cut short": (cut, "no HDF5 file"),
    "cut short .mat": (cut_mat, "damaged|can be read|missing"),
    "group missing": (edited(lambda f: f.__delitem__("expression")), "missing.*|expression"),
    "link to another file": (edited(outside), "points elsewhere"),
    "data in another file": (edited(external), "of this file's own"),
    "larger than memory": (edited(bomb), "too large"),
    "shape and colour swapped": (edited(swapped), "impossible height"),
    "text for numbers": (edited(lambda f: put(f, "shape/model/mean", "hello")), "of numbers"),
    "no numbers": (
        edited(lambda f: f["shape/model/mean"].__setitem__(7, np.nan)),
        "numbers that are none",
    ),
    "another unit": (
        edited(lambda f: put(f, "shape/model/mean", 1e-3 * f["shape/model/mean"][()])),
        "impossible height",
    ),
    "standard deviations for variances": (
        edited(lambda f: put(f, "shape/model/pcaVariance", f["shape/model/pcaVariance"][()] ** 2)),
        "mixed up",
    ),
    "negative variance": (
        edited(lambda f: f["expression/model/pcaVariance"].__setitem__(0, -1.0)),
        "no variances",
    ),
    "directions turned": (
        edited(lambda f: put(f, "shape/model/pcaBasis", f["shape/model/pcaBasis"][()].T)),
        "don't fit",
    ),
    "directions scaled": (
        edited(lambda f: put(f, "shape/model/pcaBasis", 30 * f["shape/model/pcaBasis"][()])),
        "unit length|mixed up",
    ),
    "triangles from one": (
        edited(lambda f: put(f, "shape/representer/cells", cells(f) + 1)),
        "count from 1|aren't there",
    ),
    "triangles out of range": (
        edited(lambda f: f["shape/representer/cells"].__setitem__((0, 0), 10**6)),
        "aren't there",
    ),
    "triangles of one point": (
        edited(lambda f: put(f, "shape/representer/cells", 0 * cells(f))),
        "don't make a surface",
    ),
    "face looks up": (
        edited(lambda f: put(f, "shape/model/mean", np.roll(f["shape/model/mean"][()], 1))),
        "impossible height|look along",
    ),
    "colours to 255": (
        edited(lambda f: put(f, "color/model/mean", 255 * f["color/model/mean"][()])),
        "out of range",
    ),
    "landmarks no JSON": (
        edited(lambda f: put(f, "metadata/landmarks/json", np.bytes_("[{]"))),
        "named places",
    ),
    "landmarks nested deeply": (
        edited(lambda f: put(f, "metadata/landmarks/json", np.bytes_("[" * 10**5))),
        "named places",
    ),
    "directions of fewer points": (
        edited(lambda f: put(f, "color/model/pcaBasis", f["color/model/pcaBasis"][:-3])),
        "don't fit",
    ),
    "2009: triangles from zero": (
        lambda d, h: write_2009(d, h, tl=h.triangles.astype(float)),
        "1 to",
    ),
    "2009: variances": (
        lambda d, h: write_2009(d, h, shapeEV=(1e3 * h.shape.sigma[:, None]) ** 2),
        "mixed up",
    ),
    "2009: millimetres": (
        lambda d, h: write_2009(d, h, shapeMU=h.shape.mean[:, None]),
        "impossible height",
    ),
    "2009: an object for a matrix": (
        lambda d, h: write_2009(d, h, shapePC={"a": 1}),
        "no matrix of numbers",
    ),
    "2009: half triangles": (
        lambda d, h: write_2009(d, h, tl=h.triangles + 1.5),
        "no whole numbers",
    ),
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_what_is_no_head_model_is_one_clear_line(head: TestHead, folder: Path, kind: str) -> None:
    make, words = HOSTILE[kind]
    path = make(folder, head)
    with pytest.raises(ViewfinderError, match=words) as caught:
        built((read_2009 if path.suffix == ".mat" else read_h5)(path))
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize(
    ("name", "words"),
    [("std_exp.txt", "no std_exp"), ("Exp_Pca.bin", "no Exp_Pca"), ("BFM_exp_idx.mat", "no BFM")],
)
def test_a_missing_expression_file_is_named(
    head: TestHead, folder: Path, name: str, words: str
) -> None:
    path = write_2009(folder, head)
    (folder / name).unlink()
    with pytest.raises(ViewfinderError, match=words):
        read_2009(path)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("std_exp.txt", b"1 2 three", "no list of numbers"),
        ("std_exp.txt", b"1 2 3", "not one standard deviation"),
        ("Exp_Pca.bin", b"\xff\xff\xff\x7f" + bytes(100), "another size"),
        ("Exp_Pca.bin", b"", "another size"),
    ],
)
def test_damaged_expression_files_are_named(
    head: TestHead, folder: Path, name: str, content: bytes, words: str
) -> None:
    path = write_2009(folder, head)
    (folder / name).write_bytes(content)
    with pytest.raises(ViewfinderError, match=words) as caught:
        read_2009(path)
    assert name in str(caught.value)


@pytest.mark.parametrize(
    ("content", "words"), [(b"", "an empty file"), (b"PK\x03\x04 zip", "no head model")]
)
def test_other_files_are_refused_unopened(folder: Path, content: bytes, words: str) -> None:
    path = folder / "model.h5"
    path.write_bytes(content)
    with pytest.raises(ViewfinderError, match=words):
        load_model(path)
    with pytest.raises(ViewfinderError, match="no such file"):
        load_model(folder / "absent.h5")


def test_the_child_hands_its_complaint_on(head: TestHead, folder: Path) -> None:
    path = cut(folder, head)
    with pytest.raises(ViewfinderError, match=r"m\.h5.*no HDF5 file"):
        load_model(path)
    assert list((folder / "home" / "cache").iterdir()) == []


def test_a_reader_that_takes_too_long_is_stopped(
    head: TestHead, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("render.morphable_files.SECONDS", 0.01)
    with pytest.raises(ViewfinderError, match="too long"):
        load_model(write_h5(folder / "m.h5", head))


def test_names_of_files_do_not_matter_but_contents_do(head: TestHead, folder: Path) -> None:
    path = write_2009(folder, head)
    _, first = load_model(path)
    other = folder / "elsewhere"
    shutil.copytree(folder, other, ignore=shutil.ignore_patterns("home", "elsewhere"))
    assert load_model(other / path.name)[1] == first
    (other / "std_exp.txt").write_text("0 " + (other / "std_exp.txt").read_text().split(" ", 1)[1])
    load_model.cache_clear()
    assert load_model(other / path.name)[1] != first
    assert json.dumps(first)
