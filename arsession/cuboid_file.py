"""The file of a session's boxes: what people clicked, what they snapped it to, what was fitted.

    {"format": "viewfinder-cuboids", "format_version": 1, "cuboids": [
      {"id": 0, "category": "cup", "symmetry": "none", "upright": true, "plane": "auto",
       "cloud": false,
       "clicks": [{"frame": 12, "corner": 3, "px": [812.5, 400.0], "sigma_px": 2},
                  {"frame": 80, "edge": [1, 2], "px": [700, 500]},
                  {"frame": 80, "face": "top", "px": [760, 450], "depth_m": 0.92}],
       "box": {"rotation": [9 numbers], "centre_m": [3], "size_m": [3]}}]}

Keypoints are cuboid9@1's: 0 the centre, 1 to 8 the corners. `plane` is "auto" for the level plane
that fits best, null for none, a plane's identifier, or {"height_m": ..., "sigma_m": ...}. `box`, in
the session's world, is where the fit begins, or, without clicks, the box itself.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from arsession.cuboid_evidence import (
    CLICK_SIGMA_PX,
    CLOUD_SIGMA_M,
    PLANE_SIGMA_M,
    Click,
    PlacedBox,
    PlaneSnap,
    Symmetry,
)
from bootstrap.box_overlap import Boxes
from runtime.durable import write_bytes_durably
from runtime.errors import ViewfinderError

FORMAT, FORMAT_VERSION = "viewfinder-cuboids", 1
_LARGEST_BYTES = 64 * 2**20
_MOST_CUBOIDS = 10_000


@dataclass(frozen=True)
class Cuboid:
    """One box of the file.

    Attributes:
        id: unique in the file.
        category: as "cup".
        clicks: what people set.
        symmetry: "none" or "square".
        upright: whether it stands as gravity has it.
        plane: "auto", None, a plane's identifier, or its height.
        cloud: whether it is drawn to the tracker's points.
        box: where the fit begins, or the box itself.
        fit: what the last fit said of it; not read again.
    """

    id: int
    category: str = ""
    clicks: tuple[Click, ...] = ()
    symmetry: Symmetry = "none"
    upright: bool = True
    plane: str | PlaneSnap | None = "auto"
    cloud: bool = False
    box: PlacedBox | None = None
    fit: Mapping[str, Any] = field(default_factory=dict)


def read_cuboids(file: Path) -> tuple[Cuboid, ...]:
    """The boxes of a file, checked but for frames and planes, which only the session knows.

    Raises:
        ViewfinderError: not such a file; the message names the box and the field.
    """
    try:
        if file.stat().st_size > _LARGEST_BYTES:
            raise ViewfinderError("is too large for boxes", file=file, expected="at most 64 MB")
        content = json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise ViewfinderError("can't be read", file=file, found=error.strerror) from None
    except (ValueError, RecursionError) as error:
        raise ViewfinderError("isn't JSON", file=file, found=str(error)[:80]) from None
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise ViewfinderError("isn't a file of boxes", file=file, field="format", expected=FORMAT)
    if content.get("format_version") != FORMAT_VERSION:
        found = content.get("format_version")
        raise ViewfinderError(
            "another format version", file=file, field="format_version", expected=1, found=found
        )
    entries = content.get("cuboids")
    if not isinstance(entries, list) or not 0 < len(entries) <= _MOST_CUBOIDS:
        raise ViewfinderError("holds no boxes", file=file, field="cuboids", expected="a list")
    cuboids = tuple(cuboid_from_entry(e, file, f"cuboids[{i}]") for i, e in enumerate(entries))
    if len({cuboid.id for cuboid in cuboids}) < len(cuboids):
        raise ViewfinderError("a box's id is there twice", file=file, field="cuboids.id")
    return cuboids


def write_cuboids(file: Path, cuboids: tuple[Cuboid, ...]) -> None:
    """Write boxes, whole or not at all; `read_cuboids` gives them back."""
    entries = [cuboid_to_entry(cuboid) for cuboid in cuboids]
    content = {"format": FORMAT, "format_version": FORMAT_VERSION, "cuboids": entries}
    write_bytes_durably(file, (json.dumps(content, indent=1, allow_nan=False) + "\n").encode())


def cuboid_to_entry(cuboid: Cuboid) -> dict[str, Any]:
    """A box as the JSON object that stands for it; `cuboid_from_entry` is the inverse."""
    entry = asdict(replace(cuboid, box=None, clicks=()))
    entry["clicks"] = [_click_entry(click) for click in cuboid.clicks]
    if cuboid.box is None:
        del entry["box"]
    else:
        entry["box"] = {
            "rotation": cuboid.box.rotation.ravel().tolist(),
            "centre_m": cuboid.box.centre_m.tolist(),
            "size_m": cuboid.box.size_m.tolist(),
        }
    return entry


def cuboid_from_entry(entry: Any, file: Path, where: str) -> Cuboid:
    """The box that a JSON object stands for; file and place in it are for errors.

    Raises:
        ViewfinderError: not a box; the message names the field.
    """
    return _Entry(file, where, entry).cuboid()


def _click_entry(click: Click) -> dict[str, Any]:
    entry = {name: value for name, value in asdict(click).items() if value is not None}
    if click.depth_m is None:
        del entry["depth_sigma_m"]
    return {**entry, "px": [float(v) for v in click.px]}


class _Entry:
    """A JSON object of the file, with its place in it for errors."""

    def __init__(self, file: Path, where: str, content: Any) -> None:
        self._file, self._where = file, where
        if not isinstance(content, dict):
            raise self._wrong("", "an object", content)
        self._content = content

    def cuboid(self) -> Cuboid:
        clicks = self._content.get("clicks", [])
        if not isinstance(clicks, list):
            raise self._wrong("clicks", "a list", clicks)
        box = self._content.get("box")
        if not clicks and box is None:
            raise self._wrong("clicks", "clicks or a box", clicks)
        return Cuboid(
            id=self._whole("id"),
            category=self._text("category", ""),
            clicks=tuple(
                _Entry(self._file, f"{self._where}.clicks[{i}]", c).click()
                for i, c in enumerate(clicks)
            ),
            symmetry=self._symmetry(),
            upright=self._flag("upright", True),
            plane=self._plane(),
            cloud=self._flag("cloud", False),
            box=None if box is None else _Entry(self._file, f"{self._where}.box", box).box(),
        )

    def click(self) -> Click:
        x, y = self._numbers("px", 2)
        corner, edge = self._content.get("corner"), self._content.get("edge")
        ends = self._numbers("edge", 2) if edge is not None else []
        depth = self._content.get("depth_m")
        return Click(
            frame=self._whole("frame"),
            px=(x, y),
            corner=None if corner is None else self._whole("corner"),
            edge=None if edge is None else (int(ends[0]), int(ends[1])),
            face=self._text("face", "") or None,
            sigma_px=self._number("sigma_px", CLICK_SIGMA_PX),
            depth_m=None if depth is None else self._number("depth_m", 0),
            depth_sigma_m=self._number("depth_sigma_m", CLOUD_SIGMA_M),
        )

    def box(self) -> PlacedBox:
        try:
            box = Boxes.checked(
                self._numbers("rotation", 9),
                self._numbers("centre_m", 3),
                self._numbers("size_m", 3),
            )
        except ViewfinderError as error:
            if error.file:
                raise
            raise self._wrong("", error.expected, "something else") from None
        return PlacedBox(box.rotations[0], box.centres_m[0], box.sizes_m[0])

    def _plane(self) -> str | PlaneSnap | None:
        plane = self._content.get("plane", "auto")
        if plane is None or isinstance(plane, str):
            return plane
        entry = _Entry(self._file, f"{self._where}.plane", plane)
        if (sigma := entry._number("sigma_m", PLANE_SIGMA_M)) <= 0:
            raise entry._wrong("sigma_m", "above 0", sigma)
        return PlaneSnap(entry._number("height_m"), sigma)

    def _symmetry(self) -> Symmetry:
        value = self._text("symmetry", "none")
        if value == "square":
            return "square"
        if value != "none":
            raise self._wrong("symmetry", "none | square", value)
        return "none"

    def _text(self, name: str, default: str) -> str:
        value = self._content.get(name, default)
        if not isinstance(value, str):
            raise self._wrong(name, "a text", value)
        return value

    def _flag(self, name: str, default: bool) -> bool:
        value = self._content.get(name, default)
        if not isinstance(value, bool):
            raise self._wrong(name, "true | false", value)
        return value

    def _whole(self, name: str) -> int:
        value = self._content.get(name)
        if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 2**31:
            raise self._wrong(name, "a whole number from 0 on", value)
        return value

    def _number(self, name: str, default: float | None = None) -> float:
        return self._finite(name, [self._content.get(name, default)])[0]

    def _numbers(self, name: str, count: int) -> list[float]:
        value = self._content.get(name)
        if not isinstance(value, list) or len(value) != count:
            raise self._wrong(name, f"{count} numbers", value)
        return self._finite(name, value)

    def _finite(self, name: str, values: list[Any]) -> list[float]:
        good = all(isinstance(v, int | float) and not isinstance(v, bool) for v in values)
        if not good or not np.isfinite(np.array(values, dtype=np.float64)).all():
            raise self._wrong(name, "finite numbers", values)
        return [float(v) for v in values]

    def _wrong(self, name: str, expected: object, found: object) -> ViewfinderError:
        place = f"{self._where}.{name}" if name else self._where
        return ViewfinderError(
            "a box can't be that", file=self._file, field=place, expected=expected,
            found=repr(found)[:60],
        )  # fmt: skip
