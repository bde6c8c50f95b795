"""Where light comes from: the panoramas that come with Blender, or a folder of the user's.

Found without loading Blender, so that what only describes a data set stays light.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from runtime.errors import ViewfinderError, missing_extra


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
