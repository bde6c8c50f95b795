"""Other tools' label files, in and out: every format in one place.

A format is a reader (a file or folder to `LabelFile`), a writer (a layer to a folder, giving what
it has no place for), or both. `FORMATS` names them; further ones join by `register`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runtime.errors import ViewfinderError

if TYPE_CHECKING:
    from bootstrap.dataset import Dataset
    from bootstrap.label_files.annotated import LabelFile

Reader = Callable[[Path], "LabelFile"]
Writer = Callable[["Dataset", str, Path], list[str]]


@dataclass(frozen=True)
class Format:
    """One format.

    Attributes:
        about: what SOURCE is, for the help.
        reader, writer: "module:function", imported when used; "" where there is none.
    """

    about: str
    reader: str = ""
    writer: str = ""

    def load_reader(self) -> Reader:
        """The function that reads such files.

        Raises:
            ViewfinderError: this format is only written.
        """
        reader: Reader = _loaded(self.reader, "read")
        return reader

    def load_writer(self) -> Writer:
        """The function that writes such files.

        Raises:
            ViewfinderError: this format is only read.
        """
        writer: Writer = _loaded(self.writer, "written")
        return writer


def _own(name: str, writes: bool = True) -> dict[str, str]:
    module = f"bootstrap.label_files.{name}"
    return {
        "reader": f"{module}:read_{name}",
        "writer": f"{module}:write_{name}" if writes else "",
    }


FORMATS: dict[str, Format] = {
    "coco": Format("COCO keypoints .json, also COCO-WholeBody's and MMPose's", **_own("coco")),
    "cvat": Format("CVAT for images 1.1, annotations.xml", **_own("cvat")),
    "labelme": Format("labelme's .json files, a folder of them or one", **_own("labelme")),
    "pts": Format("iBUG .pts files (300-W, COFW ...), a folder of them or one", **_own("pts")),
    "wflw": Format("a list of WFLW", **_own("wflw")),
    "bop": Format("BOP: a scene's folder, boxes in space", **_own("bop")),
    "freihand": Format("FreiHAND's unpacked folder", **_own("freihand", writes=False)),
    "onehand10k": Format("OneHand10K's unpacked folder", **_own("onehand10k", writes=False)),
}  # fmt: skip
"""Name -> format."""


def register(name: str, label_format: Format) -> None:
    """Add a format that another package brings."""
    FORMATS[name] = label_format


def find_format(name: str) -> Format:
    """The format of that name.

    Raises:
        ViewfinderError: there is none.
    """
    if name not in FORMATS:
        raise ViewfinderError(
            "unknown format", field="--format", expected=" | ".join(FORMATS), found=repr(name)[:40]
        )
    return FORMATS[name]


def _loaded(where: str, done: str) -> Any:
    if not where:
        raise ViewfinderError(f"this format can't be {done}", field="--format")
    module, _, name = where.partition(":")
    return getattr(import_module(module), name)
