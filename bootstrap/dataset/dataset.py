"""A data set folder: shards of pictures, their index, and layers of labels on top."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from bootstrap.dataset import schema
from bootstrap.dataset.dense import decode_depth, decode_segmentation
from bootstrap.dataset.records import (
    DatasetInfo,
    Label,
    Sample,
    canonical_json,
    check_layer,
    is_human,
)
from bootstrap.dataset.shard import Member, read_member, write_members
from runtime.camera import Camera
from runtime.durable import write_bytes_durably, write_durably
from runtime.errors import ViewfinderError

if TYPE_CHECKING:
    import pandas as pd

_SHARD_FILE = re.compile(r"(\d{6})\.parquet")
_MAX_INFO_BYTES = 16 * 2**20


class Dataset:
    """A data set on disk. Open one with `Dataset.open` or begin one with `Dataset.create`.

    Pictures never change once written; a shard exists when its index does. Several processes may
    write different shards of one data set at a time. Objects of this class can be pickled.
    """

    def __init__(self, root: Path, info: DatasetInfo) -> None:
        self.root = root
        self.info = info
        self._rows: dict[str, dict[str, Any]] = {}
        self._read_shards: set[int] = set()

    @classmethod
    def create(cls, root: str | Path, info: DatasetInfo) -> Dataset:
        """Begin a data set, or go on with one whose dataset.json says exactly the same.

        Raises:
            ViewfinderError: another data set stands there, or the folder can't be written.
        """
        root = Path(root)
        path = root / "dataset.json"
        if path.exists():
            existing = cls.open(root)
            before, now = existing.info.to_json(), info.to_json()
            for name in now:
                if before[name] != now[name]:
                    raise _other_dataset(path, name, before[name], now[name])
            return existing
        if root.is_dir() and any(root.glob("index/*.parquet")):
            raise ViewfinderError("a data set without dataset.json stands here", file=root)
        write_bytes_durably(path, (canonical_json(info.to_json(), indent=2) + "\n").encode())
        return cls(root, DatasetInfo.from_json(info.to_json(), str(path)))

    @classmethod
    def open(cls, root: str | Path) -> Dataset:
        """An existing data set.

        Raises:
            ViewfinderError: not a data set, or its dataset.json is damaged.
        """
        root = Path(root)
        path = root / "dataset.json"
        try:
            if path.stat().st_size > _MAX_INFO_BYTES:
                raise ViewfinderError("is too large", file=path, expected=_MAX_INFO_BYTES)
            content = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError as error:
            raise ViewfinderError(
                "isn't a data set", file=root, expected="a folder with dataset.json"
            ) from error
        except OSError as error:
            raise ViewfinderError("can't be read", file=path, found=error.strerror) from error
        except (ValueError, RecursionError) as error:
            raise ViewfinderError("isn't JSON", file=path, found=str(error)[:80]) from error
        return cls(root, DatasetInfo.from_json(content, str(path)))

    # -- where things are -------------------------------------------------------------------

    def shard_path(self, shard: int) -> Path:
        """The tar file of a shard."""
        return self.root / "shards" / f"{shard:06d}.tar"

    def index_path(self, shard: int) -> Path:
        """The index of a shard; that it exists is what commits the shard."""
        return self.root / "index" / f"{shard:06d}.parquet"

    def layer_path(self, layer: str, shard: int) -> Path:
        """The labels of a shard in a layer."""
        check_layer(layer)
        return self.root / "labels" / layer / f"{shard:06d}.parquet"

    def committed_shards(self) -> set[int]:
        """Numbers of the shards that are there, whole."""
        return _shards_in(self.root / "index")

    def layers(self) -> list[str]:
        """Names of the label layers, sorted."""
        base = self.root / "labels"
        folders = {path.parent for path in base.glob("*/*.parquet")}
        folders |= {path.parent for path in base.glob("*/*/*.parquet")}
        return sorted(f.relative_to(base).as_posix() for f in folders if _shards_in(f))

    def layer_shards(self, layer: str) -> set[int]:
        """Numbers of the committed shards that a layer has a table for, maybe an empty one."""
        return _shards_in(self.layer_path(layer, 0).parent) & self.committed_shards()

    # -- writing ----------------------------------------------------------------------------

    def write_shard(
        self,
        shard: int,
        samples: Iterable[Sample],
        labels_by_layer: Mapping[str, Iterable[Label]] | None = None,
    ) -> None:
        """Commit a shard: pictures, then labels, then the index, which makes it exist.

        What a killed run left of an uncommitted shard is overwritten.

        Args:
            shard: its number.
            samples: in any order; none at all when no source picture could be read.
            labels_by_layer: layer name -> labels of these samples.

        Raises:
            ViewfinderError: the shard is committed already, a record can't be stored, or the
                folder can't be written.
        """
        samples = list(samples)
        if self.index_path(shard).exists():
            raise ViewfinderError("the shard is written already", file=self.shard_path(shard))
        for sample in samples:
            sample.check()
        ids = {sample.sample_id for sample in samples}
        if len(ids) != len(samples):
            raise ViewfinderError("a sample is there twice", file=self.shard_path(shard))
        tables = {
            layer: self._checked_table(layer, labels, ids)
            for layer, labels in (labels_by_layer or {}).items()
        }
        members = [(f"{s.sample_id}.{s.extension}", s.image) for s in samples]
        members += [(f"{s.sample_id}.{k}", data) for s in samples for k, data in s.members.items()]
        places: list[Member] = []

        def write_tar(file: BinaryIO) -> None:
            places.extend(write_members(file, members))

        index = self.index_path(shard)
        write_durably(self.shard_path(shard), write_tar)
        for layer, data in tables.items():
            write_bytes_durably(self.layer_path(layer, shard), data)
        write_bytes_durably(index, schema.table_bytes(schema.index_table(shard, samples, places)))

    def write_layer_shard(self, layer: str, shard: int, labels: Iterable[Label]) -> None:
        """Write, or replace whole, the labels of one committed shard in one layer.

        Raises:
            ViewfinderError: no such shard, a label of another shard's sample, a label that can't
                be stored, or a folder that can't be written.
        """
        ids = {row["sample_id"] for row in self._index_rows(shard)}
        data = self._checked_table(layer, labels, ids)
        write_bytes_durably(self.layer_path(layer, shard), data)

    def write_layer(self, layer: str, labels: Iterable[Label]) -> None:
        """Write, or replace, a whole layer, a table for every committed shard."""
        by_shard: dict[int, list[Label]] = {shard: [] for shard in self.committed_shards()}
        for label in labels:
            by_shard[self.row(label.sample_id)["shard"]].append(label)
        for shard in sorted(by_shard):
            self.write_layer_shard(layer, shard, by_shard[shard])

    def _checked_table(self, layer: str, labels: Iterable[Label], ids: set[str]) -> bytes:
        check_layer(layer)
        labels = list(labels)
        seen = set()
        for label in labels:
            label.check()
            if label.sample_id not in ids:
                raise ViewfinderError(
                    "a label's sample isn't in the shard", field=layer, found=label.sample_id
                )
            if (key := (label.sample_id, label.subject_id)) in seen:
                raise ViewfinderError("a subject is there twice", field=layer, found=key)
            seen.add(key)
            if not is_human(layer) and (label.annotator is not None or label.time is not None):
                raise ViewfinderError("person and time belong in human/ layers", field=layer)
        return schema.table_bytes(schema.label_table(labels, is_human(layer)))

    # -- reading ----------------------------------------------------------------------------

    def samples(self, shards: Iterable[int] | None = None) -> pd.DataFrame:
        """The index as a pandas table, a row a sample, sorted by shard and sample id."""
        import pyarrow as pa

        tables = [self.index_table(shard) for shard in self._wanted(shards)]
        table = pa.concat_tables(tables) if tables else schema.INDEX_SCHEMA.empty_table()
        return table.to_pandas()

    def labels(self, layer: str, shards: Iterable[int] | None = None) -> list[Label]:
        """The labels of a layer, sorted by shard, sample and subject.

        Raises:
            ViewfinderError: no such layer, or a damaged table.
        """
        present = self.layer_shards(layer)
        if not present:
            raise ViewfinderError(
                "no such label layer",
                file=self.root,
                field=layer,
                expected=" | ".join(self.layers()) or "a layer",
            )
        wanted = schema.HUMAN_LABEL_SCHEMA if is_human(layer) else schema.LABEL_SCHEMA
        labels: list[Label] = []
        for shard in (s for s in self._wanted(shards) if s in present):
            path = self.layer_path(layer, shard)
            labels += schema.table_labels(schema.read_table(path, wanted), path)
        return labels

    def row(self, sample_id: str) -> dict[str, Any]:
        """The index row of a sample.

        Raises:
            ViewfinderError: no such sample.
        """
        damaged: ViewfinderError | None = None
        unread = self.committed_shards() - self._read_shards if sample_id not in self._rows else ()
        # A render's number says where it stands; other ids may be anywhere.
        guess = int(sample_id) // self.info.shard_size if sample_id.isdecimal() else -1
        for shard in sorted(unread, key=lambda shard: (shard != guess, shard)):
            try:
                self._rows.update((row["sample_id"], row) for row in self._index_rows(shard))
                self._read_shards.add(shard)
            except ViewfinderError as error:
                damaged = damaged or error  # the sample may still be in another shard
            if sample_id in self._rows:
                break
        if sample_id not in self._rows:
            raise damaged or ViewfinderError("no such sample", file=self.root, found=sample_id)
        return self._rows[sample_id]

    def read_member(self, sample_id: str, kind: str) -> bytes:
        """The bytes of `<sample_id>.<kind>`, as "depth.png"; length and SHA-256 are checked.

        Raises:
            ViewfinderError: no such sample or member, or a damaged shard.
        """
        row = self.row(sample_id)
        name = f"{sample_id}.{kind}"
        for member in (schema.image_member(row), *schema.extra_members(row)):
            if member.name == name:
                return read_member(self.shard_path(row["shard"]), member)
        raise ViewfinderError("no such member", file=self.shard_path(row["shard"]), field=name)

    def read_image_bytes(self, sample_id: str) -> bytes:
        """The encoded picture of a sample, checked."""
        row = self.row(sample_id)
        return read_member(self.shard_path(row["shard"]), schema.image_member(row))

    def read_image(self, sample_id: str) -> NDArray[np.uint8]:
        """The picture of a sample: (H, W, 3) uint8 RGB.

        Raises:
            ViewfinderError: no such sample, a damaged shard, or another size than the index says.
        """
        from runtime.image import decode_image

        row = self.row(sample_id)
        name = f"{self.shard_path(row['shard'])} {row['member']}"
        image = decode_image(self.read_image_bytes(sample_id), name)
        if image.shape[:2] != (row["height"], row["width"]):
            raise ViewfinderError(
                "the picture has another size than the index says",
                file=name,
                expected=f"{row['width']}x{row['height']}",
                found=f"{image.shape[1]}x{image.shape[0]}",
            )
        return image

    def read_depth(self, sample_id: str) -> NDArray[np.float32]:
        """(H, W) metres along the optical axis, NaN where there is none."""
        return decode_depth(self.read_member(sample_id, "depth.png"), f"{sample_id}.depth.png")

    def read_segmentation(self, sample_id: str) -> NDArray[np.uint8]:
        """(H, W) class ids, named in `info.classes`."""
        data = self.read_member(sample_id, "seg.png")
        return decode_segmentation(data, f"{sample_id}.seg.png")

    def camera(self, sample_id: str) -> Camera | None:
        """The camera of a sample, if it is known."""
        return schema.row_camera(self.row(sample_id))

    def _wanted(self, shards: Iterable[int] | None) -> list[int]:
        committed = self.committed_shards()
        return sorted(committed if shards is None else committed & set(shards))

    def index_table(self, shard: int) -> Any:
        """The index of a committed shard as an Arrow table of `schema.INDEX_SCHEMA`."""
        path = self.index_path(shard)
        table = schema.read_table(path, schema.INDEX_SCHEMA)
        schema.check_index(table, shard, path)
        return table

    def _index_rows(self, shard: int) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = self.index_table(shard).to_pylist()
        return rows


def _shards_in(folder: Path) -> set[int]:
    if not folder.is_dir():
        return set()
    matches = (_SHARD_FILE.fullmatch(path.name) for path in folder.iterdir())
    return {int(match[1]) for match in matches if match}


def _other_dataset(path: Path, name: str, before: Any, now: Any) -> ViewfinderError:
    if isinstance(before, dict) and isinstance(now, dict):
        key = next(k for k in sorted({*before, *now}) if before.get(k) != now.get(k))
        name, before, now = f"{name}.{key}", before.get(key), now.get(key)
    return ViewfinderError(
        "another data set stands here",
        file=path,
        field=name,
        expected=repr(now)[:80],
        found=repr(before)[:80],
        hint="choose another --out, or the same settings to go on with it",
    )
