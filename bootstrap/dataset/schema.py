"""The Parquet tables: their schemas, and records into rows and back.

Bytes depend on the rows and the pinned pyarrow alone: fixed writer settings, no pandas or Arrow
metadata, rows sorted. Reading trusts nothing: sizes are checked before, columns after.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bootstrap.dataset.records import Label, Sample, canonical_json, check_sample_id
from bootstrap.dataset.shard import Member
from runtime.camera import Camera
from runtime.errors import ViewfinderError, missing_extra

try:
    import pyarrow as pa
    import pyarrow.parquet as pq
except ImportError as error:  # pragma: no cover - the bare installation
    raise missing_extra("data", "pyarrow") from error

MAX_TABLE_BYTES = 512 * 2**20
"""Of one shard's table, stored or unpacked; 256 faces take about 3 MB."""

_FLOATS = pa.list_(pa.float32())
_MEMBER = pa.struct(
    [
        ("member", pa.string()),
        ("offset", pa.int64()),
        ("length", pa.int64()),
        ("sha256", pa.string()),
    ]
)
_CAMERA = pa.struct(
    [
        ("fx", pa.float64()),
        ("fy", pa.float64()),
        ("cx", pa.float64()),
        ("cy", pa.float64()),
        ("distortion", pa.list_(pa.float64())),
    ]
)
_CUBOID = pa.struct(
    [
        ("rotation", pa.list_(pa.float64())),
        ("translation_m", pa.list_(pa.float64())),
        ("size_m", pa.list_(pa.float64())),
        ("frame", pa.string()),
    ]
)

INDEX_SCHEMA = pa.schema(
    [
        ("sample_id", pa.string()),
        ("shard", pa.int32()),
        ("member", pa.string()),
        ("offset", pa.int64()),
        ("length", pa.int64()),
        ("sha256", pa.string()),
        ("extras", pa.list_(_MEMBER)),
        ("width", pa.int32()),
        ("height", pa.int32()),
        ("camera", _CAMERA),
        ("seed", pa.int64()),
        ("split", pa.string()),
        ("tags", pa.list_(pa.string())),
        ("attributes", pa.string()),
    ]
)
"""One row a sample. member, offset, length, sha256: of the picture; extras: of depth and the like;
attributes: JSON."""

LABEL_SCHEMA = pa.schema(
    [
        ("sample_id", pa.string()),
        ("subject_id", pa.int32()),
        ("topology", pa.string()),
        ("keypoints_px", _FLOATS),
        ("keypoints_camera_m", _FLOATS),
        ("visibility", pa.list_(pa.int8())),
        ("contours", pa.map_(pa.string(), _FLOATS)),
        ("box_px", _FLOATS),
        ("detector_keypoints_px", _FLOATS),
        ("cuboid", _CUBOID),
        ("handedness", pa.string()),
        ("gesture", pa.string()),
        ("score", pa.float32()),
        ("weight", pa.float32()),
        ("attributes", pa.string()),
        ("source", pa.string()),
    ]
)
"""One row a subject, arrays flattened row by row; attributes: JSON."""

HUMAN_LABEL_SCHEMA = LABEL_SCHEMA.append(pa.field("annotator", pa.string())).append(
    pa.field("time", pa.string())
)
"""Rows of human/ layers, which alone say who and when."""


def table_bytes(table: pa.Table) -> bytes:
    """A Parquet file; equal tables give equal bytes under one pyarrow."""
    buffer = io.BytesIO()
    pq.write_table(
        table,
        buffer,
        version="2.6",
        data_page_version="1.0",
        compression="zstd",
        compression_level=3,
        use_dictionary=True,
        write_statistics=True,
        store_schema=False,
        row_group_size=2**20,
    )
    return buffer.getvalue()


def read_table(path: Path, schema: pa.Schema) -> pa.Table:
    """A Parquet file as a table of exactly that schema.

    Raises:
        ViewfinderError: missing, damaged, too large, or with other columns.
    """
    try:
        if path.stat().st_size > MAX_TABLE_BYTES:
            raise ViewfinderError("the table is too large", file=path, expected=MAX_TABLE_BYTES)
        data = path.read_bytes()
    except OSError as error:
        raise ViewfinderError("the table can't be read", file=path, found=error.strerror) from error
    try:
        file = pq.ParquetFile(io.BytesIO(data))
        groups = range(file.metadata.num_row_groups)
        unpacked = sum(file.metadata.row_group(i).total_byte_size for i in groups)
        if unpacked > MAX_TABLE_BYTES:
            raise ViewfinderError("the table is too large", file=path, expected=MAX_TABLE_BYTES)
        table = file.read()
        missing = [name for name in schema.names if name not in table.column_names]
        if missing:
            raise ViewfinderError("the table lacks a column", file=path, field=missing[0])
        table = table.select(schema.names).cast(schema).combine_chunks()
        table.validate(full=True)  # text that isn't UTF-8 would raise where it is first used
        return table
    except (pa.ArrowException, OSError, ValueError) as error:
        reason = str(error).splitlines()[0][:120]
        raise ViewfinderError("the table is damaged", file=path, found=reason) from error


def index_table(shard: int, samples: Sequence[Sample], members: Sequence[Member]) -> pa.Table:
    """The index of one shard, rows sorted by sample id."""
    by_name = {member.name: member for member in members}
    rows = []
    for sample in sorted(samples, key=lambda sample: sample.sample_id):
        image = by_name[f"{sample.sample_id}.{sample.extension}"]
        extras = [by_name[f"{sample.sample_id}.{kind}"] for kind in sorted(sample.members)]
        rows.append(
            {
                "sample_id": sample.sample_id,
                "shard": shard,
                **_member_row(image),
                "extras": [_member_row(member) for member in extras],
                "width": sample.width,
                "height": sample.height,
                "camera": _camera_row(sample.camera),
                "seed": sample.seed,
                "split": sample.split,
                "tags": list(sample.tags),
                "attributes": canonical_json(dict(sample.attributes)),
            }
        )
    return pa.Table.from_pylist(rows, schema=INDEX_SCHEMA)


def with_split(table: pa.Table, splits: Sequence[str]) -> pa.Table:
    """An index with other splits."""
    column = table.schema.get_field_index("split")
    return table.set_column(column, INDEX_SCHEMA.field("split"), pa.array(splits, pa.string()))


def image_member(row: Mapping[str, Any]) -> Member:
    """Where the picture of an index row lies."""
    return Member(row["member"], row["offset"], row["length"], row["sha256"])


def extra_members(row: Mapping[str, Any]) -> list[Member]:
    """Where the further files of an index row lie."""
    return [image_member(extra) for extra in row["extras"] or ()]


def row_camera(row: Mapping[str, Any]) -> Camera | None:
    """The camera of an index row."""
    stored = row["camera"]
    if stored is None or stored["fx"] is None:
        return None
    return Camera(
        stored["fx"],
        stored["fy"],
        stored["cx"],
        stored["cy"],
        row["width"],
        row["height"],
        tuple(stored["distortion"] or ()),
    )


def label_table(labels: Iterable[Label], human: bool) -> pa.Table:
    """The labels of one shard, rows sorted by sample and subject."""
    rows = sorted(labels, key=lambda label: (label.sample_id, label.subject_id))
    columns: dict[str, list[Any]] = {
        name: [getattr(label, name) for label in rows]
        for name in ("sample_id", "subject_id", "topology", "handedness", "gesture", "score")
    }
    for name in ("keypoints_px", "keypoints_camera_m", "visibility", "box_px"):
        columns[name] = [_flat(getattr(label, name)) for label in rows]
    columns["detector_keypoints_px"] = [_flat(label.detector_keypoints_px) for label in rows]
    columns["contours"] = [
        [(name, _flat(line)) for name, line in sorted(label.contours.items())] for label in rows
    ]
    columns["cuboid"] = [_cuboid_row(label.cuboid) for label in rows]
    columns["weight"] = [label.weight for label in rows]
    columns["attributes"] = [canonical_json(dict(label.attributes)) for label in rows]
    columns["source"] = [label.source for label in rows]
    if human:
        columns["annotator"] = [label.annotator for label in rows]
        columns["time"] = [label.time for label in rows]
    schema = HUMAN_LABEL_SCHEMA if human else LABEL_SCHEMA
    arrays = [pa.array(columns[field.name], type=field.type) for field in schema]
    return pa.Table.from_arrays(arrays, schema=schema)


def table_labels(table: pa.Table, path: Path) -> list[Label]:
    """The inverse of `label_table`, checked.

    Raises:
        ViewfinderError: a row breaks the format; the message names row and field.
    """
    labels = []
    for row, label in enumerate(label_rows(table)):
        if isinstance(label, ViewfinderError):
            raise ViewfinderError(
                label.problem,
                file=path,
                field=f"row {row} {label.field or ''}".strip(),
                expected=label.expected,
                found=label.found,
            ) from label
        labels.append(label)
    return labels


def label_rows(table: pa.Table) -> Iterator[Label | ViewfinderError]:
    """Every row as a checked label, or as the error that says why it is none."""
    plain = {
        name: table.column(name).to_pylist()
        for name in table.column_names
        if name not in _ARRAYS and name != "contours"
    }
    arrays = {name: _list_slices(table.column(name)) for name in _ARRAYS}
    contours = _contour_maps(table.column("contours"))
    for i in range(table.num_rows):
        values = {name: column[i] for name, column in (plain | arrays).items()}
        try:
            values["attributes"] = json_object(values["attributes"])
            values["weight"] = 1.0 if values["weight"] is None else values["weight"]
            values["source"] = values["source"] or ""
            label = Label(contours=contours[i], **values)
            label.check()
        except ViewfinderError as error:
            yield error
        except (ValueError, TypeError, AttributeError) as error:
            yield ViewfinderError("a row is damaged", found=str(error)[:80])
        else:
            yield label


def json_object(text: str | None) -> dict[str, Any]:
    """The attributes column of a row.

    Raises:
        ViewfinderError: not a JSON object.
    """
    try:
        value = json.loads(text or "{}")
    except ValueError:
        value = None
    if not isinstance(value, dict):
        raise ViewfinderError("isn't a JSON object", field="attributes", found=str(text)[:60])
    return value


def check_index(table: pa.Table, shard: int, path: Path) -> None:
    """Raise a ViewfinderError when an index can't belong to its shard."""
    rows = table.select(["sample_id", "shard", "member", "offset", "length", "sha256"])
    ids = rows.column("sample_id").to_pylist()
    if len(set(ids)) != len(ids):
        raise ViewfinderError("a sample stands twice in the index", file=path, field="sample_id")
    for row in rows.to_pylist():
        check_sample_id(row["sample_id"])
        empty = [name for name, value in row.items() if value is None]
        if empty:
            raise ViewfinderError("the index has an empty value", file=path, field=empty[0])
        if row["shard"] != shard:
            raise ViewfinderError(
                "the index is another shard's",
                file=path,
                field="shard",
                expected=shard,
                found=row["shard"],
            )
        if not row["member"].startswith(row["sample_id"] + "."):
            raise ViewfinderError(
                "a member belongs to another sample",
                file=path,
                field="member",
                found=row["member"][:80],
            )


_ARRAYS = (
    "keypoints_px",
    "keypoints_camera_m",
    "visibility",
    "box_px",
    "detector_keypoints_px",
)


def _member_row(member: Member) -> dict[str, Any]:
    return {
        "member": member.name,
        "offset": member.offset,
        "length": member.length,
        "sha256": member.sha256,
    }


def _camera_row(camera: Camera | None) -> dict[str, Any] | None:
    if camera is None:
        return None
    return {
        "fx": camera.fx,
        "fy": camera.fy,
        "cx": camera.cx,
        "cy": camera.cy,
        "distortion": list(camera.distortion),
    }


def _cuboid_row(cuboid: Mapping[str, Any] | None) -> dict[str, Any] | None:
    if cuboid is None:
        return None
    row: dict[str, Any] = {
        name: np.asarray(cuboid[name], dtype=np.float64).reshape(-1).tolist()
        for name in ("rotation", "translation_m", "size_m")
    }
    return {**row, "frame": cuboid["frame"]}


def _flat(array: NDArray[Any] | None) -> NDArray[Any] | None:
    return None if array is None else np.ascontiguousarray(array).reshape(-1)


def _list_slices(column: pa.ChunkedArray) -> list[NDArray[Any] | None]:
    """Each row of a list column as an array of its own, null as None."""
    rows = column.combine_chunks()
    offsets = rows.offsets.to_numpy()
    values = rows.values.to_numpy(zero_copy_only=False)
    null = rows.is_null().to_numpy(zero_copy_only=False)
    return [
        None if null[i] else values[offsets[i] : offsets[i + 1]].copy() for i in range(len(rows))
    ]


def _contour_maps(column: pa.ChunkedArray) -> list[dict[str, NDArray[Any]]]:
    rows = column.combine_chunks()
    offsets = rows.offsets.to_numpy()
    names = rows.keys.to_pylist()
    lines = _list_slices(pa.chunked_array([rows.items]))
    null = rows.is_null().to_numpy(zero_copy_only=False)
    maps: list[dict[str, NDArray[Any]]] = []
    for i in range(len(rows)):
        span = range(0) if null[i] else range(offsets[i], offsets[i + 1])
        maps.append({names[j]: _line(lines[j]) for j in span})
    return maps


def _line(values: NDArray[Any] | None) -> NDArray[Any]:
    return np.zeros((0, 2), np.float32) if values is None else values
