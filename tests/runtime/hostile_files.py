"""Damaged and hostile model files, opened the way a user opens them.

Run as a process of its own, so that its death is a failed test and not the end of the test run:
`python -m tests.runtime.hostile_files FILE COUNT SOLUTION` opens COUNT spoilt copies of FILE, runs
those that are accepted on noise, and prints how many came to what.
"""

from __future__ import annotations

import collections
import hashlib
import io
import json
import sys
import tempfile
import traceback
import zipfile
from pathlib import Path

import numpy as np

from runtime.bundle import parse_bundle
from runtime.errors import ViewfinderError
from runtime.solutions import open_solution
from runtime.trust import load_model


def spoilt(data: bytes, rng: np.random.Generator) -> bytes:
    """A copy with bits flipped, its end missing, offsets rewritten, or parts of it exchanged."""
    kind = int(rng.integers(6))
    copy = bytearray(data)
    if kind == 0:
        for place in rng.integers(0, len(copy), rng.integers(1, 40)):
            copy[place] ^= 1 << rng.integers(8)
    elif kind == 1:
        del copy[int(rng.integers(8, len(copy))) :]
    elif kind == 2:
        size = int(min(64, len(copy) // 4))
        here, there = (int(place) for place in rng.integers(0, len(copy) - size, 2))
        copy[here : here + size] = copy[there : there + size]
    else:
        _rewrite_offsets(copy, rng, large=kind == 3, weights=_weights(data))
    return bytes(copy)


def _rewrite_offsets(
    copy: bytearray, rng: np.random.Generator, large: bool, weights: list[tuple[int, int]]
) -> None:
    """Give words outside the weights, which are offsets, sizes and options, other values."""
    words = np.arange(8, len(copy) - 4, 4)
    for start, end in weights:
        words = words[(words < start) | (words >= end)]
    for place in rng.choice(words, rng.integers(1, 6)):
        if large:
            value = int(rng.integers(-(2**31), 2**31))
        else:
            old = int.from_bytes(copy[place : place + 4], "little", signed=True)
            value = int(np.clip(old + rng.integers(-64, 65), -(2**31), 2**31 - 1))
        copy[place : place + 4] = value.to_bytes(4, "little", signed=True)


def _weights(data: bytes) -> list[tuple[int, int]]:
    """Where a model's buffers lie; none for other files."""
    from ai_edge_litert import schema_py_generated as schema

    if data[4:8] != b"TFL3":
        return []
    model = schema.Model.GetRootAs(data, 0)
    places = []
    for index in range(model.BuffersLength()):
        values = model.Buffers(index).DataAsNumpy()
        if isinstance(values, np.ndarray):
            start = (
                values.__array_interface__["data"][0]
                - np.frombuffer(data, np.uint8).__array_interface__["data"][0]
            )
            places.append((start, start + values.size))
    return places


def spoilt_bundle(data: bytes, rng: np.random.Generator) -> bytes:
    """A bundle with a spoilt model in it, whose card and seal are in order; or a spoilt archive."""
    kind = int(rng.integers(4))
    if kind == 0:
        return spoilt(data, rng)
    bundle = parse_bundle(data, "whole")
    members = dict(bundle.members)
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        card = archive.read("card.json")
    if kind == 1:
        card = spoilt(card, rng)
    else:
        name = str(rng.choice(sorted(members)))
        healthy, members[name] = members[name], spoilt(members[name], rng)
        old, new = (hashlib.sha256(x).hexdigest().encode() for x in (healthy, members[name]))
        card = card.replace(old, new)
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_STORED) as archive:
        for name, content in {"card.json": card, **members}.items():
            archive.writestr(name, content)
    return stream.getvalue()


def _open(path: Path, solution: str, picture: np.ndarray) -> None:
    if solution:
        opened = open_solution(solution, model=path, static=True)
        for timestamp_us in (0, 1):
            opened.process(picture, timestamp_us)
        return
    model = load_model(path.read_bytes(), path.name)
    rng = np.random.default_rng(1)
    for _ in range(3):
        model.invoke(*(rng.random(info.shape) for info in model.inputs))


def main(file: str, count: int, solution: str) -> None:
    """Open that many spoilt copies of a file; print {outcome: how often}."""
    data = Path(file).read_bytes()
    spoil = spoilt_bundle if data[:2] == b"PK" else spoilt
    picture = np.random.default_rng(2).integers(0, 256, (120, 160, 3), np.uint8)
    outcomes: collections.Counter[str] = collections.Counter()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / Path(file).name
        for number in range(count):
            path.write_bytes(spoil(data, np.random.default_rng([7, number])))
            try:
                _open(path, solution, picture)
                outcomes["opened"] += 1
            except ViewfinderError as error:
                crashed = "crashed" in error.problem or "hadn't run" in error.problem
                outcomes["killed its child" if crashed else "refused"] += 1
            except Exception as error:  # what a user would see as a traceback
                outcomes[f"{number}: {error!r}"] += 1
                traceback.print_exc()
    print(json.dumps(outcomes))  # noqa: T201


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), sys.argv[3])
