"""Which samples train, which choose between models, and which only measure."""

from __future__ import annotations

import hashlib
from collections import Counter
from typing import Any

from bootstrap.dataset import schema
from bootstrap.dataset.dataset import Dataset
from runtime.durable import write_bytes_durably
from runtime.errors import ViewfinderError


def split_of(key: str, seed: int, val: float, test: float) -> str:
    """The split of a sample or group: a fixed function of its name and the seed.

    Adding samples later moves no other sample. Shares hold on average, not exactly.
    """
    digest = hashlib.sha256(f"{seed}:{key}".encode()).digest()
    draw = int.from_bytes(digest[:8], "big") / 2**64
    if draw < test:
        return "test"
    return "val" if draw < test + val else "train"


def assign_splits(
    ds: Dataset, val: float, test: float, seed: int = 0, by: str | None = None
) -> Counter[str]:
    """Write the split column of every index table; pictures and labels stay untouched.

    Args:
        ds: the data set.
        val, test: shares, 0..1, together at most 1.
        seed: of the assignment.
        by: an attribute of the samples; those that share its value share a split (a person, a
            recording). Samples without it go by their own id.

    Returns:
        Number of samples in each split.

    Raises:
        ViewfinderError: impossible shares, no sample with that attribute, or a folder that can't
            be written.
    """
    if val < 0 or test < 0 or val + test > 1:
        raise ViewfinderError(
            "shares must be positive and together at most 1",
            field="--val, --test",
            found=f"{val}, {test}",
        )
    shards = sorted(ds.committed_shards())
    tables = [ds.index_table(shard) for shard in shards]
    keys = [_keys(table, by) for table in tables]
    if by is not None and not any(named for _, named in keys):
        raise ViewfinderError("no sample has this attribute", file=ds.root, field=by)
    counts: Counter[str] = Counter()
    for shard, table, (names, _) in zip(shards, tables, keys):
        splits = [split_of(name, seed, val, test) for name in names]
        counts.update(splits)
        if splits != table.column("split").to_pylist():
            data = schema.table_bytes(schema.with_split(table, splits))
            write_bytes_durably(ds.index_path(shard), data)
    return counts


def _keys(table: Any, by: str | None) -> tuple[list[str], int]:
    """What each row's split depends on, and how many rows have the attribute."""
    ids = table.column("sample_id").to_pylist()
    if by is None:
        return ids, 0
    values = [schema.json_object(text).get(by) for text in table.column("attributes").to_pylist()]
    names = [i if value is None else f"{by}={value}" for i, value in zip(ids, values)]
    return names, sum(value is not None for value in values)
