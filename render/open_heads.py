"""Reads two open head models that users bring: USC's ICT-FaceKit and Google's GNM Head.

ICT-FaceKit (MIT; github.com/ICT-VGL/ICT-FaceKit, its README's table of parts): a folder of .obj
files with one topology, `generic_neutral_mesh.obj`, `identity000.obj` on (neutral plus one mode,
weights about N(0, 1)) and one for each expression with ARKit's names (`browDown_L`); vertices
0 to 11247 are face, head and neck, the rest are eyes, teeth, sockets and lashes.

GNM Head 3.0 (Apache-2.0; github.com/google/GNM): `gnm_head.npz` with template_vertex_positions
(V, 3) in metres, vertex_identity_basis (K, V, 3) for coefficients of about N(0, 1),
expression_basis (E, V, 3), triangles, and vertex_groups (G, V) with vertex_group_names, of which
`skin_exterior`, or `skin` without `mouth_sock`, is what is seen.

Both have x to the subject's left, y up, z forward. Only the skin is kept: eyes and mouth are then
holes, which the scene fills. Meant to run in the child process of `render.morphable_files`.
"""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from render.morphable_build import HEIGHT_M, MOST_MODES, MOST_VERTICES, Modes, Raw
from runtime.errors import ViewfinderError

Floats = NDArray[np.float64]

ICT_NEUTRAL = "generic_neutral_mesh.obj"
ICT_VERTICES, ICT_SKIN = 26_719, 11_248
ICT_LICENCE = "ICT-FaceKit (MIT, USC Institute for Creative Technologies)"
GNM_LICENCE = "GNM Head (Apache-2.0, Google)"

_MOST_OBJ_BYTES = 64 * 2**20
_MOST_GNM_NUMBERS = 3 * 40_000 * MOST_MODES


def ict_files(neutral: Path) -> tuple[Path, ...]:
    """All files of an ICT-FaceKit by its neutral mesh."""
    return tuple(sorted(neutral.parent.glob("*.obj")))


def read_ict(neutral: Path) -> Raw:
    """An ICT-FaceKit by its neutral mesh.

    Raises:
        ViewfinderError: it isn't one.
    """
    points, triangles = _obj(neutral)
    if len(points) != ICT_VERTICES:
        raise ViewfinderError(
            "not ICT-FaceKit's mesh", file=neutral, expected=f"{ICT_VERTICES} vertices",
            found=len(points),
        )  # fmt: skip
    skin = triangles[(triangles < ICT_SKIN).all(axis=1)]
    kept, local = np.unique(skin, return_inverse=True)
    people, names, faces = [], [], []
    for path in ict_files(neutral):
        if path == neutral:
            continue
        moved, _ = _obj(path, with_faces=False)
        if len(moved) != ICT_VERTICES:
            raise ViewfinderError(
                "another mesh than the neutral one", file=path, expected=ICT_VERTICES,
                found=len(moved),
            )  # fmt: skip
        move = (moved - points)[kept].ravel()
        if path.stem.startswith("identity"):
            people.append(move)
        elif (name := _arkit(path.stem)) is not None:
            names.append(name)
            faces.append(move)
    if not people or not faces:
        raise ViewfinderError(
            "no identities or no expressions beside the neutral mesh", file=neutral.parent,
            expected="identity000.obj ..., browDown_L.obj ...",
        )  # fmt: skip
    height = float(np.ptp(points[kept][:, 1]))
    units = [unit for unit in (1.0, 0.1, 0.01, 0.001) if HEIGHT_M[0] <= height * unit < HEIGHT_M[1]]
    return Raw(
        name="ICT-FaceKit",
        licence=ICT_LICENCE,
        metres=units[0] if units else 0.01,
        mean=points[kept].ravel(),
        triangles=local.reshape(-1, 3),
        identity=_unscaled(np.array(people), "identity"),
        expression=_unscaled(np.array(faces), "expressions"),
        expression_names=tuple(names),
    )


def _unscaled(moves: Floats, field: str) -> Modes:
    """(K, 3V) moves for coefficients of 1."""
    return Modes(moves.T, np.ones(len(moves)), field, of_unit_length=False)


def _arkit(stem: str) -> str | None:
    """ARKit's name of an expression's file; None for those that we draw by other means."""
    name = stem.removesuffix("_L") + "Left" if stem.endswith("_L") else stem
    name = name.removesuffix("_R") + "Right" if name.endswith("_R") else name
    known = ("brow", "cheek", "eyeBlink", "eyeSquint", "eyeWide", "jaw", "mouth", "nose")
    return name if name.startswith(known) else None


def _obj(path: Path, with_faces: bool = True) -> tuple[Floats, NDArray[np.int64]]:
    """Vertices (V, 3) and triangles (F, 3), 0-based, of a Wavefront file."""
    if path.stat().st_size > _MOST_OBJ_BYTES:
        raise ViewfinderError("larger than any head", file=path)
    points, triangles = [], []
    try:
        for line in path.read_text("ascii", "replace").splitlines():
            if line.startswith("v "):
                points.append([float(word) for word in line.split()[1:4]])
            elif with_faces and line.startswith("f "):
                corners = [int(word.split("/")[0]) - 1 for word in line.split()[1:]]
                triangles += [
                    (corners[0], corners[k], corners[k + 1]) for k in range(1, len(corners) - 1)
                ]
        flat = np.array(points, dtype=np.float64).reshape(-1, 3)
        return flat, np.array(triangles, dtype=np.int64).reshape(-1, 3)
    except ValueError as error:
        raise ViewfinderError("no mesh", file=path, found=error) from error


def read_gnm(path: Path) -> Raw:
    """GNM's `gnm_head.npz`.

    Raises:
        ViewfinderError: it isn't one.
    """
    names = (
        "template_vertex_positions", "vertex_identity_basis", "expression_basis", "triangles",
        "vertex_groups", "vertex_group_names",
    )  # fmt: skip
    try:
        with np.load(path, allow_pickle=False) as stored:
            for name in names:
                _check_member(stored, name)
            template, people, faces, triangles, groups, group_names = (
                np.asarray(stored[name]) for name in names
            )
    except (OSError, ValueError, zipfile.BadZipFile, KeyError, EOFError) as error:
        raise ViewfinderError("no head model of GNM's", file=path, found=error) from error
    count = len(template)
    fits = (
        template.shape == (count, 3)
        and people.shape[1:] == faces.shape[1:] == (count, 3)
        and groups.shape == (len(group_names), count)
        and triangles.ndim == 2
        and triangles.size > 0
    )
    if not fits or count > MOST_VERTICES or "skin" not in group_names.tolist():
        raise ViewfinderError(
            "parts that don't fit together", file=path, expected="GNM Head 3.0",
            found=f"{template.shape}, {people.shape}, {faces.shape}, {groups.shape}",
        )  # fmt: skip
    if triangles.min() < 0 or triangles.max() >= count:
        raise ViewfinderError("triangles name vertices that aren't there", file=path)
    among = dict(zip(group_names.tolist(), groups > 0.5))
    inside = among.get("mouth_sock", np.zeros(count, dtype=bool))
    skin = among.get("skin_exterior", among["skin"] & ~inside)
    seen = triangles[skin[triangles].all(axis=1)].astype(np.int64)
    kept, local = np.unique(seen, return_inverse=True)
    flat = [modes[:, kept].reshape(len(modes), -1).astype(np.float64) for modes in (people, faces)]
    return Raw(
        name=f"GNM Head, {count} vertices",
        licence=GNM_LICENCE,
        metres=1.0,
        mean=template[kept].ravel(),
        triangles=local.reshape(-1, 3),
        identity=_unscaled(flat[0], "vertex_identity_basis"),
        expression=_unscaled(flat[1], "expression_basis"),
    )


def _check_member(stored: Any, name: str) -> None:
    """Refuses objects and what is larger than a head before anything is unpacked."""
    with stored.zip.open(f"{name}.npy") as member:
        version = np.lib.format.read_magic(member)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else None
        if read is None:
            raise ValueError(f"{name} has another version of .npy")
        shape, _, dtype = read(member)
    if dtype.hasobject or dtype.itemsize > 512 or np.prod(shape, dtype=float) > _MOST_GNM_NUMBERS:
        raise ValueError(f"{name} is {dtype} {shape}")
