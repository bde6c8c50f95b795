"""Our models beside MediaPipe's with the same outputs: size, and time on one thread of LiteRT.

    python benchmarks/models.py [--ours NAME=FILE ...] [--seconds 5] [--out models.json]

Ours are the bundled ones unless files are named (--ours face=face.fp16.task; also face-detector,
palm-detector, hand). Both sides run in one process, in blocks and in turns, on the same noise;
medians of a run's processor time, which other programs disturb least. Goal: as fast and as small,
at most `MOST` times.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

if not __package__:  # run as a script: its folder must not come first, it has our package's name
    sys.path[0] = str(Path(__file__).parents[1])

from rich.console import Console
from rich.table import Column, Table

from benchmarks.runtime import machine
from runtime.backends import XNNPACK
from runtime.bench import measured
from runtime.bundle import read_bundle
from runtime.bundled import bundled_path
from runtime.card import CardModel
from runtime.errors import ViewfinderError
from runtime.model import Model
from runtime.model_store import missing_released, released_model
from runtime.operators import model_operators

MOST = 1.5
PAIRS = {
    "face": ("face_landmarks_detector_v2",),
    "hand": ("hand_landmark_lite", "hand_landmark_full"),
    "face-detector": ("face_detection_short_range",),
    "palm-detector": ("palm_detection_lite", "palm_detection_full"),
}
"""Ours -> MediaPipe's with the same output, the one to measure up to first."""


def our_model(file: Path) -> tuple[CardModel, bytes]:
    """The network of a bundle, with its entry in the card."""
    bundle = read_bundle(file)
    if bundle.card is None:
        raise ViewfinderError("not a bundle of ours", file=file)
    entry = next(one for one in bundle.card.models if one.role in ("detector", "landmarks"))
    return entry, bundle.members[entry.file]


def compare(name: str, ours: Path, theirs: str, seconds: float) -> dict[str, Any]:
    """Sizes and times of a pair, and ours as multiples of theirs."""
    _, data = our_model(ours)
    other = released_model(theirs)
    models = {"ours": (ours.name, data), "theirs": (theirs, other)}
    loaded = [(XNNPACK, 1, Model.from_bytes(data, label)) for label, data in models.values()]
    partitions = [model.xnnpack_partitions() for _, _, model in loaded]
    facts: dict[str, Any] = {"network": name}
    for side, row, parts in zip(models, measured(loaded, seconds), partitions):
        label, content = models[side]
        facts[side] = {
            "name": label,
            "cpu_ms": row.cpu_ms,
            "wall_ms": row.wall_ms,
            "runs": row.runs,
            "bytes": len(content),
            "million_macs": sum(one.macs for one in model_operators(content)) / 1e6,
            "xnnpack_partitions": parts,
        }
    for what in ("cpu_ms", "bytes"):
        facts[f"{what}_ratio"] = facts["ours"][what] / facts["theirs"][what]
    return facts


def table_of(rows: list[dict[str, Any]]) -> Table:
    """For people."""
    numbers = ("ms", "its ms", "ratio", "MB", "its MB", "ratio", "MMAC", "its MMAC", "partitions")
    table = Table(
        "ours", "MediaPipe's", *(Column(name, justify="right") for name in numbers),
        title=f"one thread of LiteRT, processor time, medians; goal 1, at most {MOST}",
    )  # fmt: skip
    for row in rows:
        ours, theirs = row["ours"], row["theirs"]
        table.add_row(
            row["network"], theirs["name"], f"{ours['cpu_ms']:.2f}", f"{theirs['cpu_ms']:.2f}",
            f"{row['cpu_ms_ratio']:.2f}", f"{ours['bytes'] / 1e6:.2f}",
            f"{theirs['bytes'] / 1e6:.2f}", f"{row['bytes_ratio']:.2f}",
            f"{ours['million_macs']:.0f}", f"{theirs['million_macs']:.0f}",
            str(ours["xnnpack_partitions"]),
        )  # fmt: skip
    return table


def main() -> None:
    """Measure, print, write JSON; ends with 1 where ours is too slow or too large."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--ours", action="append", default=[], metavar="NAME=FILE")
    parser.add_argument("--seconds", type=float, default=5.0, help="for each pair")
    parser.add_argument("--out", type=Path, default=Path("models.json"))
    options = parser.parse_args()
    named = {name: Path(file) for name, _, file in (one.partition("=") for one in options.ours)}
    if unknown := named.keys() - PAIRS.keys():
        parser.error(f"--ours takes {', '.join(PAIRS)}, not {', '.join(unknown)}")
    rows = []
    for name, others in PAIRS.items():
        file = named.get(name) or bundled_path(f"viewfinder_{name.replace('-', '_')}")
        for theirs in others:
            if file is None or missing_released(theirs):
                what = "no bundled model" if file is None else f"{theirs} isn't here"
                sys.stderr.write(f"{name} against {theirs} is left out: {what}\n")
                continue
            rows.append(compare(name, file, theirs, options.seconds))
    Console(width=max(140, Console().width)).print(table_of(rows))
    facts = {"machine": machine(), "most": MOST, "rows": rows}
    options.out.write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")
    first = [
        next(row for row in rows if row["network"] == name)
        for name in dict.fromkeys(row["network"] for row in rows)
    ]
    sys.exit(any(max(row["cpu_ms_ratio"], row["bytes_ratio"]) > MOST for row in first))


if __name__ == "__main__":
    main()
