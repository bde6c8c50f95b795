"""Data sets: pictures in shards, an index, and label layers that pandas reads."""

from __future__ import annotations

from bootstrap.dataset.dataset import Dataset
from bootstrap.dataset.dense import (
    DEPTH_STEP_M,
    MAX_DEPTH_M,
    decode_alpha,
    decode_depth,
    decode_normals,
    decode_segmentation,
    decode_uv,
    encode_alpha,
    encode_depth,
    encode_normals,
    encode_segmentation,
    encode_uv,
)
from bootstrap.dataset.records import (
    DEFAULT_SHARD_SIZE,
    SPLITS,
    DatasetInfo,
    Label,
    Sample,
)

__all__ = [
    "DEFAULT_SHARD_SIZE",
    "DEPTH_STEP_M",
    "MAX_DEPTH_M",
    "SPLITS",
    "Dataset",
    "DatasetInfo",
    "Label",
    "Sample",
    "decode_alpha",
    "decode_depth",
    "decode_normals",
    "decode_segmentation",
    "decode_uv",
    "encode_alpha",
    "encode_depth",
    "encode_normals",
    "encode_segmentation",
    "encode_uv",
]
