"""The ledger of the loop: which model came when, from what labels, how good, after how much work.

`loop.jsonl` in a data set of photographs gets a line from `prelabel`, `train` and `evaluate`; a
round is a model that was trained on the data set. Lines are only ever added.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bootstrap.chart import (
    BOTTOM,
    GROUND,
    HEIGHT,
    INK,
    LEFT,
    MARK,
    WIDTH,
    Axes,
    path,
    pixels,
    straight,
)
from bootstrap.dataset import Dataset
from bootstrap.dataset.records import canonical_json
from bootstrap.queueing import labelled_by_people
from runtime.errors import ViewfinderError
from runtime.graph.canvas import Box, Shape, Text, as_svg

LEDGER = "loop.jsonl"
_MAX_BYTES = 64 * 2**20
_SHA_DIGITS = 12

Line = dict[str, Any]


@dataclass(frozen=True)
class Round:
    """One model of the loop.

    Attributes:
        number: from 1.
        model: first digits of its SHA-256.
        parent: of the model that it started from, "" for none.
        time: when it was trained, ISO 8601.
        labelled: photographs of this data set that people had labelled by then.
        human_minutes: that they had spent by then, idle time left out.
        error, interval: of the last evaluation of this model on this data set, percent, or None.
        measured_on: what the error is over ("test", "validation split").
        prelabelled: photographs that the model labelled afterwards.
        data: what it was trained on, as (name, samples, layers).
    """

    number: int
    model: str
    parent: str
    time: str
    labelled: int
    human_minutes: float
    error: float | None = None
    interval: tuple[float, float] | None = None
    measured_on: str = ""
    prelabelled: int = 0
    data: tuple[tuple[str, int, str], ...] = field(default=())


def note(root: Path, event: str, **facts: Any) -> None:
    """Add a line to a data set's ledger, if it has labels that people or models gave: a data set of
    renders alone keeps none.

    Raises:
        ViewfinderError: a folder that can't be written.
    """
    ds = Dataset.open(root)
    layers = ds.layers()
    if not any(name.startswith(("human/", "consensus", "predicted@")) for name in layers):
        return
    line = {
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "event": event,
        "labelled": len(labelled_by_people(ds)),
        "human_minutes": round(human_minutes(ds), 2),
        **facts,
    }
    path = root / LEDGER
    try:
        with path.open("ab") as file:
            if file.tell() and not _ends_whole(path):
                file.write(b"\n")  # a line that a crash cut off stays its own
            file.write(canonical_json(line).encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise ViewfinderError(f"can't be written: {error.strerror}", file=path) from error


def human_minutes(ds: Dataset) -> float:
    """Minutes that people spent on this data set's labels, as the annotation tool counts them."""
    seconds = 0.0
    for layer in ds.layers():
        if layer.startswith("human/"):
            for label in ds.labels(layer):
                value = label.attributes.get("seconds")
                seconds += float(value) if isinstance(value, int | float) else 0.0
    return seconds / 60.0


def read_ledger(root: Path) -> list[Line]:
    """The lines, oldest first; one that was cut off is left out.

    Raises:
        ViewfinderError: no ledger, or too large a one.
    """
    path = root / LEDGER
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise ViewfinderError("is too large", file=path, expected=f"{_MAX_BYTES} bytes")
        text = path.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError as error:
        raise ViewfinderError(
            "no round of the loop has been done here", file=root, expected=LEDGER,
            hint="prelabel, train on and evaluate this data set first",
        ) from error  # fmt: skip
    except OSError as error:
        raise ViewfinderError("can't be read", file=path, found=error.strerror) from error
    lines = []
    for row in text.splitlines():
        try:
            line = json.loads(row)
        except ValueError:
            continue
        if isinstance(line, dict) and isinstance(line.get("event"), str):
            lines.append(line)
    return lines


def rounds(lines: Sequence[Line]) -> list[Round]:
    """The models in the order in which they were trained, with what became of them."""
    found: dict[str, Round] = {}
    for line in lines:
        sha = str(line.get("model", ""))[:_SHA_DIGITS]
        if line["event"] == "train" and sha:
            found[sha] = _trained(line, sha, len(found) + 1)
        elif sha in found and line["event"] in ("evaluate", "prelabel"):
            found[sha] = _followed(found[sha], line)
    return list(found.values())


def _trained(line: Line, sha: str, number: int) -> Round:
    error = line.get("error")
    known = isinstance(error, int | float)
    return Round(
        number=number,
        model=sha,
        parent=str(line.get("parent", ""))[:_SHA_DIGITS],
        time=str(line.get("time", "")),
        labelled=int(line.get("labelled", 0)),
        human_minutes=float(line.get("human_minutes", 0.0)),
        error=float(error) if isinstance(error, int | float) else None,
        interval=_interval(line),
        measured_on="validation split" if known else "",
        data=tuple(
            (str(row[0]), int(row[1]), str(row[2])) for row in line.get("data", []) if len(row) == 3
        ),
    )


def _followed(before: Round, line: Line) -> Round:
    if line["event"] == "prelabel":
        return replace(before, prelabelled=int(line.get("pictures", 0)))
    error = line.get("error")
    if not isinstance(error, int | float):
        return before
    return replace(
        before,
        error=float(error),
        interval=_interval(line),
        measured_on=str(line.get("split", "evaluation")),
    )


def _interval(line: Line) -> tuple[float, float] | None:
    pair = line.get("interval")
    if not isinstance(pair, list) or len(pair) != 2:
        return None
    low, high = pair
    ok = isinstance(low, int | float) and isinstance(high, int | float)
    return (float(low), float(high)) if ok else None


def _ends_whole(path: Path) -> bool:
    with path.open("rb") as file:
        file.seek(-1, os.SEEK_END)
        return file.read(1) == b"\n"


# -- the picture -----------------------------------------------------------------------------


def loop_shapes(found: Sequence[Round]) -> list[Shape]:
    """Error by human minutes, a point a round, with its interval."""
    shown = [one for one in found if one.error is not None]
    title = f"{len(found)} rounds: error by minutes of people's work"
    if not shown:
        words = "no round has been evaluated yet"
        return [Text(LEFT, 30, title, 16, INK, bold=True), Text(LEFT, 70, words, 13, INK)]
    highest = [one.interval[1] if one.interval else one.error or 0.0 for one in shown]
    axes = Axes(
        max([one.human_minutes for one in shown] + [1.0]), 1.1 * max(highest + [1e-6])
    )  # fmt: skip
    places = [axes.at(one.human_minutes, one.error or 0.0) for one in shown]
    shapes = axes.frame(title) + path(places, MARK, 2.0)
    for one, (x, y) in zip(shown, places):
        if one.interval:
            low, high = (axes.at(0, value)[1] for value in one.interval)
            shapes.append(straight((x, low), (x, high), MARK, 1.5))
        shapes.append(Box(x - 4, y - 4, 8, 8, 4, MARK))
        words = f"{one.number}: {one.error:.2f} %"
        shapes.append(Text(x + 9, y - 7, words, 11, INK))
        labelled = f"{one.human_minutes:.0f} ({one.labelled})"
        shapes.append(Text(x, HEIGHT - BOTTOM + 18, labelled, 11, INK, anchor="middle"))
    shapes.append(Text(LEFT, 48, "in brackets: photographs labelled by people", 11, INK))
    return shapes


def loop_picture(found: Sequence[Round]) -> NDArray[np.uint8]:
    """(H, W, 3) uint8 RGB."""
    return pixels(loop_shapes(found))


def loop_svg(found: Sequence[Round]) -> str:
    """The same as an SVG document."""
    return as_svg(loop_shapes(found), WIDTH, HEIGHT, GROUND)
