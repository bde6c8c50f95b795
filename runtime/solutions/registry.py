"""Which solutions there are: those of this package, and those of installed ones.

Another package adds a solution by an entry point of the group `viewfinder.solutions`, whose value
is a `SolutionEntry`; docs/extending.md shows one.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from importlib import metadata
from typing import Any

from runtime.errors import ViewfinderError

ENTRY_POINTS = "viewfinder.solutions"


@dataclass(frozen=True)
class SolutionEntry:
    """A solution that can be opened by name.

    Attributes:
        what: one line for people.
        factory: "module:function"; the function takes `SolutionOptions`, gives a `GraphSolution`.
        variants: of released models, the default first.
        most: subjects looked for in a stream unless the user says otherwise.
        topology: id of its subjects' keypoints; "" where they have none of their own.
        bundled: whether a release brings models of ours for it.
    """

    what: str
    factory: str
    variants: tuple[str, ...] = ()
    most: int = 1
    topology: str = ""
    bundled: bool = False

    def load(self) -> Callable[..., Any]:
        """The factory itself, imported now."""
        module, _, function = self.factory.partition(":")
        return getattr(importlib.import_module(module), function)


SOLUTIONS = {
    "face-detection": SolutionEntry(
        "boxes and six keypoints of faces",
        "runtime.solutions.faces:open_face_detection",
        ("short", "full"),
        most=8,
        bundled=True,
    ),
    "face": SolutionEntry(
        "face mesh",
        "runtime.solutions.faces:open_face",
        ("468", "478", "attention"),
        topology="face468@1",
        bundled=True,
    ),
    "iris": SolutionEntry(
        "face mesh with finer eyes, irises and the eyes' distance",
        "runtime.solutions.faces:open_iris",
        topology="face478@1",
    ),
    "hands": SolutionEntry(
        "21 keypoints of each hand, handedness",
        "runtime.solutions.hands:open_hands",
        ("full", "lite"),
        most=2,
        topology="hand21@1",
        bundled=True,
    ),
    "pose": SolutionEntry(
        "33 keypoints of each body, world landmarks, masks",
        "runtime.solutions.pose:open_pose",
        ("full", "lite", "heavy"),
        topology="pose33@1",
    ),
    "segmentation": SolutionEntry(
        "a mask of the people in the picture",
        "runtime.solutions.segmentation:open_segmentation",
        ("general", "landscape"),
    ),
    "objectron": SolutionEntry(
        "boxes in space around cups, cameras, chairs or shoes",
        "runtime.solutions.objectron:open_objectron",
        ("cup", "camera", "chair", "shoe"),
        most=5,
        topology="cuboid9@1",
    ),
}


@cache
def solutions() -> dict[str, SolutionEntry]:
    """Every solution by name: ours first, then those of installed packages.

    An entry point whose package can't be imported, or that isn't a `SolutionEntry`, is refused
    when it is asked for, not here: see `solution_entry`.
    """
    found = dict(SOLUTIONS)
    for point in sorted(metadata.entry_points(group=ENTRY_POINTS), key=lambda point: point.name):
        found.setdefault(point.name, _plugin(point))
    return found


def solution_entry(name: str) -> SolutionEntry:
    """The solution of that name, or that the YAML file of that path describes.

    Raises:
        ViewfinderError: there is none, or the package that brings it is broken.
    """
    if is_graph_file(name):
        return _GraphFileEntry(what="a graph of your own", factory=name)
    known = solutions()
    if name not in known:
        raise ViewfinderError("unknown solution", expected=" | ".join(known), found=repr(name))
    return known[name]


def is_graph_file(name: str) -> bool:
    """Whether a solution's name is a YAML file's."""
    return name.lower().endswith((".yaml", ".yml"))


def _plugin(point: metadata.EntryPoint) -> SolutionEntry:
    try:
        entry = point.load()
    except Exception as error:  # whatever a foreign module does when it is imported
        return _broken(point, f"{type(error).__name__}: {error}")
    if not isinstance(entry, SolutionEntry):
        return _broken(point, f"not a SolutionEntry but {type(entry).__name__}")
    return entry


def _broken(point: metadata.EntryPoint, why: str) -> SolutionEntry:
    return _BrokenEntry(what=f"broken: {why}", factory=point.value)


class _GraphFileEntry(SolutionEntry):
    """A graph in a file, which is read when it is opened."""

    def load(self) -> Callable[..., Any]:
        from runtime.solutions.solution import open_graph_file

        return partial(open_graph_file, self.factory)


class _BrokenEntry(SolutionEntry):
    """A plugin that can't be used: it says so when it is opened, and harms nothing else."""

    def load(self) -> Callable[..., Any]:
        raise ViewfinderError(
            "the package that brings this solution doesn't work", field=self.factory,
            found=self.what.removeprefix("broken: "),
        )  # fmt: skip
