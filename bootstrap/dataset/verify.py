"""Check everything a data set holds, and name each damage."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bootstrap.dataset import schema
from bootstrap.dataset.dataset import Dataset
from bootstrap.dataset.records import SPLITS, is_human
from bootstrap.dataset.shard import member_problems, read_member
from runtime.durable import PARTIAL_SUFFIX
from runtime.errors import ViewfinderError
from runtime.topology import topology_ids


@dataclass(frozen=True)
class Damage:
    """One thing that is wrong.

    Attributes:
        shard: its number; None when it concerns the whole data set.
        file: the file, relative to the data set.
        part: member or row, "" for the whole file.
        problem: what is wrong with it.
    """

    shard: int | None
    file: str
    part: str
    problem: str

    def __str__(self) -> str:
        return f"{self.file} {self.part}".strip() + f": {self.problem}"


def verify_dataset(ds: Dataset) -> Iterator[Damage]:
    """Read every byte: hashes, tar headers, tables, rows. Goes on after each damage.

    Yields:
        what is wrong; nothing for a whole data set.
    """
    for name in ds.info.topologies:
        if name not in topology_ids():
            problem = f"unknown topology {name!r}; expected {' | '.join(topology_ids())}"
            yield Damage(None, "dataset.json", "topologies", problem)
    committed = ds.committed_shards()
    known = committed | _numbers(ds.root / "shards", ".tar")
    owners: dict[str, int] = {}
    ids_by_shard: dict[int, set[str]] = {}
    for shard in range(max(known, default=-1) + 1):
        if shard not in known:
            yield Damage(shard, f"shards/{shard:06d}.tar", "", "the shard is missing")
        elif shard not in committed:
            problem = "the shard has no index: unfinished, or its index is lost"
            yield Damage(shard, f"index/{shard:06d}.parquet", "", problem)
        else:
            yield from _verify_shard(ds, shard, owners, ids_by_shard)
    for layer in ds.layers():
        yield from _verify_layer(ds, layer, committed, ids_by_shard)
    for partial in sorted(ds.root.rglob(f".*{PARTIAL_SUFFIX}")):
        name = partial.relative_to(ds.root).as_posix()
        yield Damage(None, name, "", "left by a run that was killed; run it again to go on")


def _verify_shard(
    ds: Dataset, shard: int, owners: dict[str, int], ids_by_shard: dict[int, set[str]]
) -> Iterator[Damage]:
    index = ds.index_path(shard)
    try:
        table = schema.read_table(index, schema.INDEX_SCHEMA)
        schema.check_index(table, shard, index)
    except ViewfinderError as error:
        yield _damage(ds, shard, index, error)
        return
    rows: list[dict[str, Any]] = table.to_pylist()
    ids_by_shard[shard] = {row["sample_id"] for row in rows}
    for row in rows:
        for problem in _row_problems(row):
            yield Damage(shard, f"index/{shard:06d}.parquet", row["sample_id"], problem)
        other = owners.setdefault(row["sample_id"], shard)
        if other != shard:
            problem = f"the sample stands in shard {other} too"
            yield Damage(shard, f"index/{shard:06d}.parquet", row["sample_id"], problem)
    members = [
        member for row in rows for member in (schema.image_member(row), *schema.extra_members(row))
    ]
    damaged = set()
    for part, problem in member_problems(ds.shard_path(shard), members):
        damaged.add(part)
        yield Damage(shard, f"shards/{shard:06d}.tar", part, problem)
    for row in rows:
        if row["member"] not in damaged and "" not in damaged:
            yield from _picture_problem(ds, shard, row)


def _row_problems(row: dict[str, Any]) -> Iterator[str]:
    if row["split"] not in SPLITS:
        yield f"split {row['split']!r} isn't one of {', '.join(SPLITS)}"
    if (row["width"] or 0) < 1 or (row["height"] or 0) < 1:
        yield f"a picture of {row['width']}x{row['height']}"
    try:
        schema.json_object(row["attributes"])
    except ViewfinderError as error:
        yield str(error)
    for extra in row["extras"] or ():
        if extra is None or None in extra.values():
            yield "an extra member has an empty value"


def _picture_problem(ds: Dataset, shard: int, row: dict[str, Any]) -> Iterator[Damage]:
    # The hash says these are the bytes once written; the header, that they suit the index.
    from runtime.image import image_size

    try:
        data = read_member(ds.shard_path(shard), schema.image_member(row))
        size = image_size(data, row["member"])
    except ViewfinderError as error:
        yield Damage(shard, f"shards/{shard:06d}.tar", row["member"], error.problem)
        return
    if size != (row["width"], row["height"]):
        problem = f"{size[0]}x{size[1]} where the index says {row['width']}x{row['height']}"
        yield Damage(shard, f"shards/{shard:06d}.tar", row["member"], problem)


def _verify_layer(
    ds: Dataset, layer: str, committed: set[int], ids_by_shard: dict[int, set[str]]
) -> Iterator[Damage]:
    stored = _numbers(ds.layer_path(layer, 0).parent, ".parquet")
    for shard in sorted(committed | stored):
        name = f"labels/{layer}/{shard:06d}.parquet"
        if shard not in committed:
            yield Damage(shard, name, "", "labels of a shard that isn't there")
        elif shard not in stored:
            yield Damage(shard, name, "", "the layer has no table for this shard")
        else:
            yield from _verify_labels(ds, layer, shard, ids_by_shard.get(shard))


def _verify_labels(
    ds: Dataset, layer: str, shard: int, sample_ids: set[str] | None
) -> Iterator[Damage]:
    path = ds.layer_path(layer, shard)
    wanted = schema.HUMAN_LABEL_SCHEMA if is_human(layer) else schema.LABEL_SCHEMA
    try:
        table = schema.read_table(path, wanted)
    except ViewfinderError as error:
        yield _damage(ds, shard, path, error)
        return
    seen: set[tuple[str, int]] = set()
    for number, label in enumerate(schema.label_rows(table)):
        name = f"labels/{layer}/{shard:06d}.parquet"
        if isinstance(label, ViewfinderError):
            yield Damage(shard, name, f"row {number}", str(label))
            continue
        part = f"row {number} ({label.sample_id})"
        if sample_ids is not None and label.sample_id not in sample_ids:
            yield Damage(shard, name, part, "its sample isn't in the shard")
        if (key := (label.sample_id, label.subject_id)) in seen:
            yield Damage(shard, name, part, f"subject {label.subject_id} is there twice")
        seen.add(key)


def _numbers(folder: Path, suffix: str) -> set[int]:
    files = folder.glob(f"[0-9]*{suffix}") if folder.is_dir() else ()
    return {int(file.stem) for file in files if file.stem.isdigit() and len(file.stem) == 6}


def _damage(ds: Dataset, shard: int, path: Path, error: ViewfinderError) -> Damage:
    found = f": {error.found}" if error.found is not None else ""
    name = path.relative_to(ds.root).as_posix()
    return Damage(shard, name, error.field or "", f"{error.problem}{found}")
