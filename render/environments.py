"""Where light comes from: the panoramas that come with Blender, or a folder of the user's.

Found without loading Blender, so that what only describes a data set stays light.
"""

from __future__ import annotations

import hashlib
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from runtime.errors import ViewfinderError, missing_extra

HDRI_BLOCK = 8
"""Samples in a row that share an HDRI. With a manual importance map a change costs 0.05 to 0.25
CPU-s (measured), so that even a small data set may see them all (docs/adr/0006)."""


def hdri_index(seed: int, index: int, count: int) -> int:
    """Which of `count` HDRIs lights sample `index`: drawn once a block, from the seed alone."""
    # A key of two numbers can't meet a sample's.
    block = np.random.SeedSequence(seed, spawn_key=(index // HDRI_BLOCK, 1))
    return int(np.random.default_rng(block).integers(count))


def hdri_hashes(paths: tuple[Path, ...]) -> dict[str, str]:
    """Name -> SHA-256: what a data set's card says of its light, without anybody's folders."""
    return {path.name: file_sha256(path) for path in paths}


def file_sha256(path: Path) -> str:
    """SHA-256 of a file, as hexadecimal digits."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def bundled_hdris() -> tuple[Path, ...]:
    """The eight CC0 environments that come with bpy, by name.

    Raises:
        ViewfinderError: bpy isn't installed.
    """
    found = find_spec("bpy")
    if found is None or found.origin is None:
        raise missing_extra("render", "bpy")
    # The package stands in <bpy>/__init__*.so, or once loaded in <bpy>/5.0/scripts/modules/bpy.
    for folder in Path(found.origin).parents:
        paths = sorted(folder.glob("[0-9]*/datafiles/studiolights/world/*.exr"))
        if paths:
            return tuple(paths)
    raise ViewfinderError("bpy came without its environments", file=found.origin)


def find_hdris(folder: Path) -> tuple[Path, ...]:
    """The .exr and .hdr files of a folder, by name.

    Raises:
        ViewfinderError: there are none.
    """
    paths = sorted(p for p in folder.glob("*") if p.suffix.lower() in (".exr", ".hdr"))
    if not paths:
        raise ViewfinderError(
            "no HDRI lies there", file=folder, field="--hdris", expected="*.exr or *.hdr"
        )
    return tuple(paths)
