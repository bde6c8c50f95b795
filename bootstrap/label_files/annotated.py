"""What every label file comes down to: pictures, and the labels of each."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

from bootstrap.dataset.dataset import Dataset
from bootstrap.dataset.photos import PHOTO_SHARD_SIZE, photo_ids, read_photo
from bootstrap.dataset.records import DatasetInfo, Label, Sample, is_human
from runtime.camera import Camera
from runtime.errors import ViewfinderError

MAX_FILE_BYTES = 2**30
"""Of a label file; COCO's own largest takes half of it."""

HALF_PIXEL = 0.5
"""Most formats count pixels, so that an integer is a pixel's centre; ours measure from the
picture's corner, where the first pixel's centre is at 0.5."""


@dataclass(frozen=True)
class AnnotatedPicture:
    """A picture that a label file speaks of.

    Attributes:
        file: of the picture, relative to the pictures' folder.
        labels: of its subjects; sample ids are filled in later.
        camera: intrinsics, if the file has them; else the photograph's EXIF decides.
        attributes: JSON values about the picture.
    """

    file: PurePosixPath
    labels: tuple[Label, ...]
    camera: Camera | None = None
    attributes: Mapping[str, Any] = field(default_factory=dict)


@dataclass
class LabelFile:
    """A label file, read.

    Attributes:
        pictures: in the file's order, each once.
        folder: where they are, when the format says so.
        left_out: what had no place in our labels, and how often.
        read: gives one of `pictures` as a sample of that id, where they aren't files of their own
            but frames of a video; `file` only names them then.
    """

    pictures: list[AnnotatedPicture]
    folder: Path | None = None
    left_out: Counter[str] = field(default_factory=Counter)
    read: Callable[[AnnotatedPicture, str], Sample] | None = None


def import_labels(
    format_name: str,
    read: Callable[[Path], LabelFile],
    source: Path,
    images: Path | None,
    out: Path,
    layer: str = "human/imported",
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> tuple[int, list[str]]:
    """Read a label file into a layer, with its pictures where the data set hasn't them yet.

    Args:
        format_name: for dataset.json.
        read: the format's reader.
        source: the label file, or a folder of them.
        images: the pictures' folder; without it, where the format says they are. A data set in
            `out` that was made otherwise is expected to have the pictures: a sample is found by
            its id, which is its file's name, or by the path that its import noted.
        out: the data set to add a layer to, or to make.
        layer: its name; an existing one is replaced.
        progress: called with pictures done and in all.

    Returns:
        Number of labels written, and warnings, a line each.

    Raises:
        ViewfinderError: not such a file, pictures that are missing or damaged, labels that can't
            be stored, or a folder that can't be written.
    """
    found = read(source)
    info = _info(format_name, source, found.pictures)
    if images is None and _stands_otherwise(out, info):
        ds = Dataset.open(out)
        ids = _known_ids(ds, found.pictures)
    else:
        folder = images or found.folder
        sample = found.read if folder is None else partial(_sample, folder)
        if sample is None:
            raise ViewfinderError(
                "the pictures' folder is needed: this file doesn't say where they are",
                file=source, field="--images",
            )  # fmt: skip
        ds, ids = _packed(found.pictures, sample, out, info, progress)
    labels, warnings = [], Counter(found.left_out)
    for picture in found.pictures:
        sample_id = ids.get(picture.file)
        if sample_id is None:
            warnings["annotations of pictures that aren't in the data set"] += len(picture.labels)
            continue
        labels += [_signed(label, sample_id, layer, source) for label in picture.labels]
    ds.write_layer(layer, with_own_subject_ids(labels))
    return len(labels), [f"{what}: {count} left out" for what, count in warnings.items() if count]


def with_own_subject_ids(labels: Iterable[Label]) -> list[Label]:
    """Other tools copy attributes along with a subject: the second of an id gets a free one."""
    taken: dict[str, set[int]] = {}
    result = []
    for label in labels:
        ids = taken.setdefault(label.sample_id, set())
        number = label.subject_id if label.subject_id not in ids else max(ids) + 1
        ids.add(number)
        result.append(label if number == label.subject_id else replace(label, subject_id=number))
    return result


def read_text(file: Path) -> str:
    """The text of a label file.

    Raises:
        ViewfinderError: it can't be read, is too large, or isn't UTF-8.
    """
    try:
        if file.stat().st_size > MAX_FILE_BYTES:
            raise ViewfinderError("is too large", file=file, expected=f"{MAX_FILE_BYTES} bytes")
        return file.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise ViewfinderError("can't be read", file=file, found=error.strerror) from error
    except UnicodeDecodeError as error:
        raise ViewfinderError("isn't text", file=file, expected="UTF-8") from error


def read_json(file: Path) -> Any:
    """The content of a JSON file.

    Raises:
        ViewfinderError: it can't be read, is too large, or isn't JSON.
    """
    try:
        return json.loads(read_text(file))
    except (ValueError, RecursionError) as error:
        raise ViewfinderError("isn't JSON", file=file, found=str(error)[:80]) from error


def picture_path(name: object, file: Path) -> PurePosixPath:
    """A picture's name in a label file as a path that can't leave the pictures' folder.

    Raises:
        ViewfinderError: not a name, or one that leaves it.
    """
    text = name.replace("\\", "/") if isinstance(name, str) else ""
    path = PurePosixPath(text)
    if path.is_absolute() or ".." in path.parts or not path.name or "\0" in text:
        raise ViewfinderError("a picture outside the folder", file=file, field=str(name)[:80])
    return path


def field_of(row: Mapping[str, Any], name: str, kind: type, file: Path) -> Any:
    """A field of that kind.

    Raises:
        ViewfinderError: missing, or of another kind.
    """
    value = row.get(name)
    if not isinstance(value, kind):
        raise ViewfinderError(
            "wrong or missing value",
            file=file, field=name, expected=kind.__name__, found=repr(value)[:60],
        )  # fmt: skip
    return value


def _signed(label: Label, sample_id: str, layer: str, source: Path) -> Label:
    """With its sample, and with a person in a human layer and nobody in others."""
    human = is_human(layer)
    person = label.annotator or layer.split("/")[-1]
    return replace(
        label,
        sample_id=sample_id,
        source=label.source or source.name,
        annotator=person if human else None,
        time=label.time if human else None,
    )


def _info(name: str, source: Path, pictures: list[AnnotatedPicture]) -> DatasetInfo:
    listing = "\n".join(picture.file.as_posix() for picture in pictures)
    return DatasetInfo(
        name=source.stem or source.resolve().name,
        generator="viewfinder dataset import",
        settings={
            "format": name,
            "files": len(pictures),
            "listing_sha256": hashlib.sha256(listing.encode()).hexdigest(),
        },
        shard_size=PHOTO_SHARD_SIZE,
    )


def _stands_otherwise(out: Path, info: DatasetInfo) -> bool:
    """Whether a data set is there that this import didn't begin."""
    if not (out / "dataset.json").exists():
        return False
    return Dataset.open(out).info.settings != info.settings


def _known_ids(ds: Dataset, pictures: list[AnnotatedPicture]) -> dict[PurePosixPath, str]:
    samples = ds.samples()
    ids = set(samples["sample_id"])
    by_file = {}
    for sample_id, text in zip(samples["sample_id"], samples["attributes"]):
        by_file[json.loads(text).get("file") if text else None] = sample_id
    found = {}
    for picture in pictures:
        own = by_file.get(picture.file.as_posix())
        if own is not None or picture.file.stem in ids:
            found[picture.file] = own or picture.file.stem
    return found


def _packed(
    pictures: list[AnnotatedPicture],
    sample: Callable[[AnnotatedPicture, str], Sample],
    out: Path,
    info: DatasetInfo,
    progress: Callable[[int, int], None],
) -> tuple[Dataset, dict[PurePosixPath, str]]:
    """Pictures in order of name, packed as photographs are; a killed run goes on."""
    by_file = {picture.file: picture for picture in pictures}
    files = sorted(by_file, key=lambda path: path.as_posix())
    id_of = dict(zip(files, photo_ids([Path(file) for file in files])))
    ds = Dataset.create(out, info)
    committed = ds.committed_shards()
    for shard, first in enumerate(range(0, len(files), info.shard_size)):
        part = files[first : first + info.shard_size]
        if shard not in committed:
            ds.write_shard(shard, [sample(by_file[f], id_of[f]) for f in part])
        progress(first + len(part), len(files))
    return ds, id_of


def _sample(folder: Path, picture: AnnotatedPicture, sample_id: str) -> Sample:
    sample = read_photo(folder / picture.file, sample_id, picture.file.as_posix())
    camera = picture.camera or sample.camera
    return replace(sample, camera=camera, attributes={**picture.attributes, **sample.attributes})
