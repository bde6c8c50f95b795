"""The models that this release brings: bundles of ours among the package's data, one a network.

`make models` makes them, bootstrap.shipping puts them in place. A source tree without them runs on
MediaPipe's released models, asked for by name.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path

from runtime.bundle import Bundle, read_bundle
from runtime.errors import ViewfinderError

FOLDER = Path(__file__).parent / "data"
BUNDLED = {
    "viewfinder_face_detector": "faces with 6 keypoints",
    "viewfinder_face": "478 face landmarks",
    "viewfinder_palm_detector": "palms with 7 keypoints",
    "viewfinder_hand": "21 hand landmarks",
}
"""Name -> what it finds."""
MAX_BYTES = 12_000_000
"""Of all of them together."""


def bundled_path(name: str) -> Path | None:
    """The file of the bundled model of that name, with or without its ending; None without one."""
    stem = name.removesuffix(".task")
    path = FOLDER / f"{stem}.task"
    return path if stem in BUNDLED and path.is_file() else None


def bundled() -> Iterator[Bundle]:
    """Those of `BUNDLED` that are there.

    Raises:
        ViewfinderError: one is damaged.
    """
    for name in BUNDLED:
        path = bundled_path(name)
        if path is not None:
            yield _read(path)


def bundled_hashes() -> frozenset[str]:
    """SHA-256 of the bundles that are there and whole, and of the models in them."""
    hashes: set[str] = set()
    for name in BUNDLED:
        path = bundled_path(name)
        try:
            bundle = None if path is None else _read(path)
        except ViewfinderError:  # told to whoever wants to run it
            continue
        if bundle is not None and bundle.card is not None:
            hashes |= {bundle.sha256, *(model.sha256 for model in bundle.card.models)}
    return frozenset(hashes)


@cache
def _read(path: Path) -> Bundle:
    return replace(read_bundle(path), name=path.name)
