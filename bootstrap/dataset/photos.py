"""A folder of photographs as a data set."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bootstrap.dataset.dataset import Dataset
from bootstrap.dataset.exif import without_metadata
from bootstrap.dataset.records import DatasetInfo, Sample
from runtime.camera import Camera
from runtime.errors import ViewfinderError
from runtime.exif import Exif, read_exif
from runtime.image import (
    MAX_FILE_BYTES,
    PICTURE_EXTENSIONS,
    decode_image,
    encode_image,
    image_size,
)

PHOTO_SHARD_SIZE = 64
"""Photographs are large and a shard is held in memory while it is written."""
_JPEG_QUALITY = 95


@dataclass
class ImportReport:
    """What became of the files: pictures packed, and why others weren't."""

    packed: int = 0
    already_there: int = 0
    bad: list[str] = field(default_factory=list)


def import_photos(
    source: Path,
    out: Path,
    shard_size: int = PHOTO_SHARD_SIZE,
    name: str | None = None,
    licences: tuple[str, ...] = (),
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> ImportReport:
    """Pack every picture under a folder, in order of name; unreadable ones are reported.

    Pictures are turned upright. An upright JPEG keeps its coded pixels; others are coded anew,
    JPEG at quality 95, everything else as PNG. Of the metadata only the focal length stays,
    as the camera. Killed and run again, it goes on after the last whole shard.

    Args:
        source: folder, searched through.
        out: of the new data set.
        shard_size: pictures in a shard.
        name: of the data set; the source folder's name otherwise.
        licences: that the pictures are under.
        progress: called with pictures done and in all.

    Raises:
        ViewfinderError: no pictures, another data set in `out`, or `out` can't be written.
    """
    files = list_pictures(source)
    ids = photo_ids(files)
    listing = "\n".join(file.as_posix() for file in files)
    info = DatasetInfo(
        name=name or source.resolve().name,
        generator="viewfinder dataset import",
        settings={
            "format": "photos",
            "files": len(files),
            "listing_sha256": hashlib.sha256(listing.encode()).hexdigest(),
        },
        licences_inherited=licences,
        shard_size=shard_size,
    )
    ds = Dataset.create(out, info)
    report = ImportReport()
    committed = ds.committed_shards()
    for shard in range((len(files) + shard_size - 1) // shard_size):
        part = range(shard * shard_size, min((shard + 1) * shard_size, len(files)))
        if shard in committed:
            report.already_there += len(ds.samples([shard]))
        samples = []
        for i in part:
            if shard not in committed:
                try:
                    samples.append(read_photo(source / files[i], ids[i], files[i].as_posix()))
                except ViewfinderError as error:
                    report.bad.append(str(error))
            progress(i + 1, len(files))
        if shard not in committed:
            ds.write_shard(shard, samples)
            report.packed += len(samples)
    return report


def list_pictures(source: Path) -> list[Path]:
    """Pictures under a folder, relative to it, sorted; hidden files and folders left out.

    Raises:
        ViewfinderError: not a folder, or one without pictures.
    """
    if not source.is_dir():
        raise ViewfinderError("isn't a folder of pictures", file=source)
    files = [
        path.relative_to(source)
        for path in source.rglob("*")
        if path.suffix.lower() in PICTURE_EXTENSIONS and path.is_file()
    ]
    files = [f for f in files if not any(part.startswith(".") for part in f.parts)]
    if not files:
        raise ViewfinderError(
            "no pictures in this folder", file=source, expected=" ".join(PICTURE_EXTENSIONS)
        )
    return sorted(files, key=lambda file: file.as_posix())


def photo_ids(files: list[Path]) -> list[str]:
    """A sample id for each file: its name where that can serve, else with a hash of its path."""
    plain = [re.sub(r"[^A-Za-z0-9_-]+", "-", f.with_suffix("").as_posix()) for f in files]
    plain = [text.strip("-_")[:48] for text in plain]
    count = Counter(text.lower() for text in plain)  # some file systems ignore case
    ids = []
    for file, text in zip(files, plain):
        if count[text.lower()] == 1 and text == file.stem:
            ids.append(text)
        else:
            digest = hashlib.sha256(file.as_posix().encode()).hexdigest()[:8]
            ids.append(f"{text or 'photo'}-{digest}")
    return ids


def read_photo(path: Path, sample_id: str, name: str) -> Sample:
    """One photograph as a sample: upright, without metadata, its camera from the focal length.

    Args:
        path: the file.
        sample_id: its id.
        name: what its attribute "file" says.

    Raises:
        ViewfinderError: not a whole picture.
    """
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise ViewfinderError("this file is too large for a picture", file=path)
        data = path.read_bytes()
    except OSError as error:
        raise ViewfinderError(f"can't read this picture: {error.strerror}", file=path) from error
    exif = read_exif(data, *image_size(data, str(path)))
    rgb = decode_image(data, str(path))
    height, width = rgb.shape[:2]
    encoded, extension = _packed(data, rgb, exif)
    focal = exif.focal_length_px
    camera = Camera(focal, focal, width / 2, height / 2, width, height) if focal else None
    return Sample(
        sample_id=sample_id,
        image=encoded,
        extension=extension,
        width=width,
        height=height,
        camera=camera,
        attributes={"file": name},
    )


def _packed(data: bytes, rgb: NDArray[np.uint8], exif: Exif) -> tuple[bytes, str]:
    if data[:2] != b"\xff\xd8":
        return encode_image(rgb, ".png"), "png"
    if exif.orientation == 1:
        stripped = without_metadata(data)
        if np.array_equal(decode_image(stripped, "stripped"), rgb):
            return stripped, "jpg"
    return encode_image(rgb, ".jpg", _JPEG_QUALITY), "jpg"
