"""Reads the skinned mesh of a binary glTF file: vertices, triangles, joints and their weights.

trimesh reads meshes of such files, but no skins. What stands here is the part of glTF 2.0 (Khronos
Group) that a hand needs: one file, buffers inside it, no extensions. Files are strangers': every
size is checked against the bytes that are there before anything is allocated.
"""

from __future__ import annotations

import json
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from runtime.errors import ViewfinderError

Floats = NDArray[np.float64]

MOST_BYTES = 64 * 2**20
MOST_VERTICES, MOST_JOINTS = 20_000, 128
"""A hand of WebXR's has 1,360 vertices and 25 joints."""

_FIELD = "--hand-model"
_MAGIC, _JSON, _BIN = b"glTF", b"JSON", b"BIN\0"
_TYPES = {5120: "i1", 5121: "u1", 5122: "<i2", 5123: "<u2", 5125: "<u4", 5126: "<f4"}
_WIDTHS = {"SCALAR": 1, "VEC2": 2, "VEC3": 3, "VEC4": 4, "MAT4": 16}


@dataclass(frozen=True)
class SkinnedMesh:
    """A mesh in its bind pose.

    Attributes:
        vertices: (V, 3) in the mesh's axes and units (metres, says glTF).
        triangles: (F, 3) vertex indices, counter-clockwise from outside.
        joint_names: (J,) of the skin.
        joints: (J, 4, 4) mesh_from_joint.
        weights: (V, J) rows sum to 1.
    """

    vertices: Floats
    triangles: NDArray[np.int32]
    joint_names: tuple[str, ...]
    joints: Floats
    weights: Floats


def read_skinned_mesh(path: Path) -> SkinnedMesh:
    """The first mesh with a skin.

    Raises:
        ViewfinderError: the file can't be read, is no GLB, is cut off or too large, contradicts
            itself, or holds no skinned mesh.
    """
    document, buffer = _chunks(path, _bytes(path))
    try:
        return _skinned(path, document, buffer)
    except ViewfinderError:
        raise
    except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
        raise ViewfinderError(
            "the GLB contradicts itself", file=path, field=_FIELD,
            expected="a glTF 2.0 mesh with a skin", found=f"{type(error).__name__}: {error}"[:120],
        ) from error  # fmt: skip


def _bytes(path: Path) -> bytes:
    try:
        size = path.stat().st_size
        if size > MOST_BYTES:
            raise ViewfinderError(
                "larger than any hand", file=path, field=_FIELD,
                expected=f"up to {MOST_BYTES >> 20} MiB", found=f"{size:,} bytes",
            )  # fmt: skip
        with path.open("rb") as file:
            return file.read(MOST_BYTES)
    except OSError as error:
        raise ViewfinderError(
            "can't be read", file=path, field=_FIELD, found=error.strerror
        ) from error


def _chunks(path: Path, data: bytes) -> tuple[dict[str, Any], bytes]:
    """The JSON and the binary chunk (glTF 2.0, section 4.4)."""
    if data[:4] != _MAGIC or len(data) < 12:
        found = repr(data[:4]) if data else "an empty file"
        raise ViewfinderError(
            "no GLB", file=path, field=_FIELD, expected="a file that begins with glTF", found=found
        )
    version, length = struct.unpack_from("<II", data, 4)
    if version != 2 or length > len(data):
        raise ViewfinderError(
            "cut off" if version == 2 else "not glTF 2.0", file=path, field=_FIELD,
            expected=f"{length:,} bytes" if version == 2 else "version 2",
            found=f"{len(data):,}" if version == 2 else version,
        )  # fmt: skip
    chunks: dict[bytes, bytes] = {}
    at = 12
    while at + 8 <= length:
        size, kind = struct.unpack_from("<I4s", data, at)
        if at + 8 + size > length:
            raise ViewfinderError(
                "cut off", file=path, field=_FIELD, expected=f"a chunk of {size:,} bytes",
                found=f"{length - at - 8:,}",
            )  # fmt: skip
        chunks.setdefault(kind, data[at + 8 : at + 8 + size])
        at += 8 + size
    try:
        document = json.loads(chunks.get(_JSON, b""))
    except (ValueError, RecursionError) as error:
        raise ViewfinderError("the GLB's JSON can't be read", file=path, field=_FIELD) from error
    if not isinstance(document, dict):
        raise ViewfinderError("the GLB's JSON is no object", file=path, field=_FIELD)
    if needed := document.get("extensionsRequired"):
        raise ViewfinderError(
            "needs extensions of glTF", file=path, field=_FIELD, expected="none", found=needed,
            hint="export it uncompressed",
        )  # fmt: skip
    return document, chunks.get(_BIN, b"")


def _skinned(path: Path, document: dict[str, Any], buffer: bytes) -> SkinnedMesh:
    nodes = document.get("nodes", [])
    node = next((n for n in nodes if "mesh" in n and "skin" in n), None)
    if node is None:
        raise ViewfinderError(
            "no mesh of the GLB has a skin, so that nothing says what its joints move",
            file=path, field=_FIELD, expected="a mesh with bones",
            found=" and ".join(f"{len(document.get(k, []))} {k}" for k in ("meshes", "skins")),
        )  # fmt: skip
    skin = document["skins"][node["skin"]]
    names = tuple(str(nodes[k].get("name", "")) for k in skin["joints"])
    if len(names) > MOST_JOINTS:
        raise ViewfinderError(
            "too many joints", file=path, field=_FIELD, expected=f"up to {MOST_JOINTS}",
            found=len(names),
        )  # fmt: skip
    inverse = _array(document, buffer, skin["inverseBindMatrices"], 16)
    joints = np.linalg.inv(inverse[: len(names)].reshape(-1, 4, 4).transpose(0, 2, 1))
    pieces = [
        _piece(document, buffer, primitive, len(names))
        for primitive in document["meshes"][node["mesh"]]["primitives"]
    ]
    count = sum(len(piece[0]) for piece in pieces)
    if not 0 < count <= MOST_VERTICES:
        raise ViewfinderError(
            "a mesh of another size than a hand's", file=path, field=_FIELD,
            expected=f"up to {MOST_VERTICES:,} vertices", found=f"{count:,}",
        )  # fmt: skip
    starts = np.cumsum([0, *(len(piece[0]) for piece in pieces)])
    triangles = np.concatenate([piece[1] + start for piece, start in zip(pieces, starts)])
    vertices, weights = (np.concatenate([piece[k] for piece in pieces]) for k in (0, 2))
    if not (np.isfinite(vertices).all() and np.isfinite(joints).all() and len(joints)):
        raise ValueError("places that are no numbers")
    return SkinnedMesh(vertices, triangles.astype(np.int32), names, joints, weights)


def _piece(
    document: dict[str, Any], buffer: bytes, primitive: dict[str, Any], joint_count: int
) -> tuple[Floats, NDArray[np.int64], Floats]:
    """Vertices, triangles and weights of one primitive."""
    if primitive.get("mode", 4) != 4:
        raise ValueError(f"primitives of mode {primitive['mode']} are no triangles")
    named = primitive["attributes"]
    vertices = _array(document, buffer, named["POSITION"], 3)
    if len(vertices) > MOST_VERTICES:
        raise ValueError(f"{len(vertices):,} vertices, a hand has up to {MOST_VERTICES:,}")
    if "indices" in primitive:
        corners = _array(document, buffer, primitive["indices"], 1).ravel().astype(np.int64)
    else:
        corners = np.arange(len(vertices))
    if (
        len(corners) % 3
        or not len(corners)
        or not 0 <= corners.min() <= corners.max() < len(vertices)
    ):
        raise ValueError("triangles of vertices that aren't there")
    bound = _array(document, buffer, named["JOINTS_0"], 4).astype(np.int64)
    share = _array(document, buffer, named["WEIGHTS_0"], 4)
    if len(bound) != len(vertices) or len(share) != len(vertices):
        raise ValueError("fewer joints or weights than vertices")
    if not (bound.min() >= 0 and bound.max() < joint_count and np.isfinite(share).all()):
        raise ValueError("weights of joints that aren't there")
    weights = np.zeros((len(vertices), joint_count))
    np.add.at(weights, (np.arange(len(vertices))[:, None], bound), np.clip(share, 0, None))
    total = weights.sum(axis=1, keepdims=True)
    if not (total > 1e-6).all():
        raise ValueError("vertices that no joint moves")
    return vertices, corners.reshape(-1, 3), weights / total


def _array(document: dict[str, Any], buffer: bytes, index: int, width: int) -> Floats:
    """(N, width) numbers of an accessor; views into the buffer say whether they are all there."""
    accessor = document["accessors"][index]
    if "sparse" in accessor or _WIDTHS[accessor["type"]] != width:
        raise ValueError(f"accessor {index} is sparse or of type {accessor['type']}")
    view = document["bufferViews"][accessor["bufferView"]]
    if view.get("buffer", 0) != 0 or "uri" in document["buffers"][0]:
        raise ValueError("buffers outside the file")
    kind = np.dtype(_TYPES[accessor["componentType"]])
    start, count = int(accessor.get("byteOffset", 0)), int(accessor["count"])
    first, length = int(view.get("byteOffset", 0)), int(view["byteLength"])
    stride = int(view.get("byteStride", kind.itemsize * width))
    row = kind.itemsize * width
    # NumPy's own check of the buffer overflows where steps are huge.
    ends = start + max(count - 1, 0) * stride + row * (count > 0)
    if min(start, count, first, length) < 0 or stride < row or ends > length:
        raise ValueError(f"accessor {index} has impossible sizes")
    rows: NDArray[Any] = np.ndarray(
        (count, width), kind, buffer[first : first + length], start, (stride, kind.itemsize)
    )
    numbers = rows.astype(np.float64)
    if accessor.get("normalized") and kind.kind in "iu":
        numbers /= np.iinfo(kind).max
    return numbers
