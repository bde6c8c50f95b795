"""Which items are worked on, and in what order.

A queue file is what `viewfinder queue` writes: one sample id a line, the one to do first on top;
what follows a tab, and lines that begin with #, are for people. A filter is a few words.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from annotate.editing import Document
from annotate.status import STATUSES
from bootstrap.dataset import Label
from runtime.errors import ViewfinderError

QUEUE_NAME = "queue.txt"
_LARGEST_BYTES = 64 << 20
_COMPARISON = re.compile(r"score(<|>)(\d*\.?\d+)")
FILTER_WORDS = "open, done, skipped, flagged, edited, unconfirmed, tag:NAME, score<0.5, score>0.5"


@dataclass(frozen=True)
class Candidate:
    """What a filter looks at: an item's label, its document as it stands, its picture's tags."""

    label: Label
    document: Document
    keypoint_edits: int
    tags: tuple[str, ...]


Filter = Callable[[Candidate], bool]


def read_queue(path: str | Path) -> list[str]:
    """The sample ids of a queue file, in order, each once.

    Raises:
        ViewfinderError: it can't be read, isn't text, or is far too large.
    """
    path = Path(path)
    try:
        if path.stat().st_size > _LARGEST_BYTES:
            raise ViewfinderError(
                "this queue is too large", file=path, expected=f"{_LARGEST_BYTES >> 20} MB at most"
            )
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ViewfinderError("the queue can't be read", file=path, found=error.strerror) from error
    except UnicodeDecodeError as error:
        raise ViewfinderError(
            "a queue is text: one sample id a line", file=path, found="bytes that aren't UTF-8"
        ) from error
    lines = (line.split("\t")[0].strip() for line in text.splitlines())
    return list(dict.fromkeys(line for line in lines if line and not line.startswith("#")))


def queue_order(sample_ids: Sequence[str], queue: Iterable[str], path: Path) -> list[int]:
    """Places of `sample_ids` in the queue's order, those it doesn't name last, as they were.

    Raises:
        ViewfinderError: the queue names none of them: it belongs to another data set.
    """
    rank = {sample_id: place for place, sample_id in enumerate(queue)}
    if not any(sample_id in rank for sample_id in sample_ids):
        raise ViewfinderError(
            "this queue names no picture of this data set",
            file=path,
            expected=f"sample ids such as {sample_ids[0]}",
            found=next(iter(rank), "an empty file"),
        )
    return sorted(range(len(sample_ids)), key=lambda i: rank.get(sample_ids[i], len(rank)))


def parse_filter(text: str) -> Filter:
    """A filter from words that all must hold; nothing lets everything through.

    Raises:
        ViewfinderError: a word that means nothing here.
    """
    tests = [_test(word) for word in text.split()]
    return lambda candidate: all(test(candidate) for test in tests)


def _test(word: str) -> Filter:
    lowered = word.lower()
    if lowered in STATUSES:
        return lambda c: c.document.status == lowered
    if lowered == "edited":
        return lambda c: c.keypoint_edits > 0
    if lowered == "unconfirmed":
        return lambda c: c.document.confirmed != c.document.topology.contours.keys()
    if lowered.startswith("tag:") and len(word) > 4:
        return lambda c: word[4:] in c.tags
    if comparison := _COMPARISON.fullmatch(lowered):
        limit, sign = float(comparison[2]), -1.0 if comparison[1] == "<" else 1.0
        return lambda c: (
            sign * (math.nan if c.label.score is None else c.label.score) > sign * limit
        )
    raise ViewfinderError(
        "unknown word in a filter", field="filter", expected=FILTER_WORDS, found=word
    )


def sample_tags(row: Mapping[str, Any]) -> tuple[str, ...]:
    """The tags of a row of a data set's index."""
    tags = row.get("tags")
    return () if tags is None else tuple(str(tag) for tag in tags)
