"""Recordings of rendered sessions, as Objectron lays them out.

    OUT/recordings/000012/              what a tracker without mistakes would have written
    OUT/recordings/000012-noisy/        the same frames, but for some that are missing, by one that
                                        drifts, with planes and points that aren't quite right
        geometry.pbdata, video.MOV, annotation.pbdata

Both annotations hold the true boxes and the true cameras: in the camera's axes and in the picture
they are right for both; `geometry.pbdata` is what was recorded.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from arsession.objectron import GEOMETRY
from arsession.objectron_writer import ANNOTATION, NamedBox, annotation_sequence, write_objectron
from arsession.session import Session
from bootstrap.dataset import Dataset
from render.job import sample_id
from render.session_tracker import features, frames_of, kept_frames, mistaken, true_session
from render.sessions import SessionSettings
from runtime.durable import write_bytes_durably

RECORDINGS = "recordings"
NOISY = "-noisy"


def write_recordings(
    out: Path,
    count: int,
    settings: SessionSettings,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> int:
    """Write both recordings of every session; those that stand there already are left.

    Args:
        out: folder of the rendered data set.
        count: of its sessions.
        settings: that it was rendered with.
        progress: called with sessions done and in all.

    Returns:
        How many recordings were written now.
    """
    dataset = Dataset.open(out)
    written = 0
    for number in range(count):
        folder = out / RECORDINGS / f"{number:06d}"
        noisy = folder.with_name(folder.name + NOISY)
        missing = [f for f in (folder, noisy) if not (f / GEOMETRY).exists()]
        if missing:
            written += _write(dataset, number, settings, folder, noisy, missing)
        progress(number + 1, count)
    return written


def _write(
    dataset: Dataset,
    number: int,
    settings: SessionSettings,
    folder: Path,
    noisy: Path,
    missing: list[Path],
) -> int:
    scene = settings.scene(number)
    pictures = _DatasetPictures(dataset, number * settings.frames, settings.size)
    found = features(scene, pictures.read, pictures.depth_m)
    truth = true_session(scene, found, pictures, folder)
    boxes = [NamedBox(one.box(), one.category, _seen_shares(dataset, number, i, settings))
             for i, one in enumerate(scene.objects)]  # fmt: skip
    rng = np.random.default_rng(np.random.SeedSequence(settings.seed, spawn_key=(number, 2)))
    kept = kept_frames(settings.frames, settings.noise, rng)
    for target in missing:
        if target == folder:
            _replaced(target, truth, annotation_sequence(truth, boxes))
        else:
            off = frames_of(mistaken(truth, found, settings.noise, rng), kept)
            some = [NamedBox(b.box, b.category, _rows(b.visibility, kept)) for b in boxes]
            _replaced(target, off, annotation_sequence(frames_of(truth, kept), some))
    return len(missing)


def _replaced(target: Path, session: Session, annotation: bytes) -> None:
    """What is left of a run that was killed goes first."""
    partial = target.with_name(f".{target.name}.partial")
    for leftover in (partial, target):
        shutil.rmtree(leftover, ignore_errors=True)
    write_objectron(session, partial)
    write_bytes_durably(partial / ANNOTATION, annotation)
    partial.rename(target)


def _rows(values: NDArray[np.float64] | None, kept: NDArray[np.int64]) -> NDArray[np.float64]:
    assert values is not None
    return values[kept]


def _seen_shares(
    dataset: Dataset, number: int, subject: int, settings: SessionSettings
) -> NDArray[np.float64]:
    """(F,) how much of an object's box each frame sees; 0 where it has no label."""
    shares = np.zeros(settings.frames)
    for label in dataset.labels("synthetic", [number]):
        if label.subject_id == subject:
            frame = int(label.sample_id) - number * settings.frames
            shares[frame] = 1 - float(label.attributes["truncation"])
    return shares


class _DatasetPictures:
    """A session's pictures and depth in the data set."""

    def __init__(self, dataset: Dataset, first: int, size: tuple[int, int]) -> None:
        self.size, self.quarter_turns = size, 0
        self._dataset, self._first = dataset, first

    def read(self, frame: int) -> NDArray[np.uint8]:
        return self._dataset.read_image(sample_id(self._first + frame))

    def has(self, frame: int) -> bool:
        return True

    def depth_m(self, frame: int) -> NDArray[np.float64]:
        depth = self._dataset.read_depth(sample_id(self._first + frame))
        return np.asarray(depth, dtype=np.float64)
