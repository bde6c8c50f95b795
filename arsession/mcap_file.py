"""MCAP files, read with nothing taken on trust.

The container is documented at mcap.dev/spec: records, many of them packed in chunks. The mcap
package parses records; chunks are unpacked here, with a limit, since their stated sizes may lie.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from mcap.exceptions import McapError
from mcap.records import Channel, Chunk, Message, Schema
from mcap.stream_reader import StreamReader

from arsession.ros2_messages import Definition, MessageError
from runtime.errors import ViewfinderError

_LARGEST_RECORD_BYTES = 2**28


class Place(NamedTuple):
    """Where a message stands: its chunk's byte in the file, and which message of it."""

    offset: int
    number: int


class McapFile:
    """One pass over all messages, then single ones by their place.

    Attributes:
        file: its path.
        topics: seen so far.
        channels, schemas: by number, seen so far.
    """

    def __init__(self, file: Path) -> None:
        self.file = file
        self.topics: set[str] = set()
        self.schemas: dict[int, Schema] = {}
        self.channels: dict[int, Channel] = {}
        self._definitions: dict[int, Definition] = {}
        self._last: tuple[int, list[Message]] = (-1, [])

    def field(self, place: Place, name: str) -> bytes:
        """One field of bytes of a message."""
        value = self.message(place).get(name)
        if not isinstance(value, bytes):
            raise ViewfinderError("a message without bytes", file=self.file, field=name)
        return value

    def message(self, place: Place) -> dict[str, Any]:
        """A whole message."""
        if self._last[0] != place.offset:
            with _Clipped(self.file) as stream:
                stream.seek(place.offset)
                record = self.guarded(lambda: next(_records(stream, True)), "a message")
            self._last = place.offset, self._inside(record)
        messages = self._last[1]
        if place.number >= len(messages):
            raise ViewfinderError("this file has changed", file=self.file)
        return self.decoded(messages[place.number])

    def messages(self) -> Iterator[tuple[Place, Message]]:
        """Every message and where it stands."""
        with _Clipped(self.file) as stream:
            records = self.guarded(lambda: _records(stream, False), "header")
            index = 0
            while True:
                start = stream.tell()
                index += 1
                record = self.guarded(lambda: next(records, None), f"record {index}")
                if record is None:
                    return
                self._note(record)
                for number, message in enumerate(self._inside(record)):
                    yield Place(start, number), message

    def _inside(self, record: object) -> list[Message]:
        if isinstance(record, Message):
            return [record]
        if not isinstance(record, Chunk):
            return []
        data = self.guarded(lambda: _unpacked(record), "a chunk")
        inside = self.guarded(lambda: _chunk_records(data), "a chunk")
        for entry in inside:
            self._note(entry)
        return [entry for entry in inside if isinstance(entry, Message)]

    def _note(self, record: object) -> None:
        if isinstance(record, Schema):
            self.schemas[record.id] = record
        elif isinstance(record, Channel):
            self.channels[record.id] = record
            self.topics.add(record.topic)

    def decoded(self, message: Message, only: tuple[str, ...] = ()) -> dict[str, Any]:
        """A message as a dictionary, or its first fields only."""
        channel = self.channels[message.channel_id]

        def decode() -> dict[str, Any]:
            definition = self._definitions.get(channel.schema_id)
            if definition is None:
                schema = self.schemas[channel.schema_id]
                definition = Definition(schema.name, schema.data.decode("utf-8", "replace"))
                self._definitions[channel.schema_id] = definition
            return definition.decode(message.data, only)

        return self.guarded(decode, f"{channel.topic}, message {message.sequence}")

    def guarded(self, call: Callable[[], Any], what: str) -> Any:
        """What `call` gives; damage that shows in it is named with `what`."""
        try:
            return call()
        except (
            McapError, MessageError, struct.error, ValueError, KeyError, TypeError, EOFError,
            RuntimeError, OverflowError, RecursionError, StopIteration, OSError,
        ) as error:  # fmt: skip
            raise ViewfinderError(
                "this recording is truncated or damaged",
                file=self.file,
                field=what,
                found=error if str(error) else type(error).__name__,
            ) from None


class _Clipped:
    """A file whose reads ask for no more than is left: else the memory is taken first."""

    def __init__(self, file: Path) -> None:
        self._stream = file.open("rb")
        self._size = file.stat().st_size

    def __enter__(self) -> _Clipped:
        return self

    def __exit__(self, *_: object) -> None:
        self._stream.close()

    def read(self, length: int = -1) -> bytes:
        left = max(0, self._size - self._stream.tell())
        return self._stream.read(left if length < 0 else min(length, left))

    def seek(self, offset: int, whence: int = 0) -> int:
        return self._stream.seek(offset, whence)

    def tell(self) -> int:
        return self._stream.tell()

    def seekable(self) -> bool:
        return True


def _records(stream: Any, inside: bool) -> Iterator[object]:
    return iter(
        StreamReader(
            stream, skip_magic=inside, emit_chunks=True, record_size_limit=_LARGEST_RECORD_BYTES
        ).records
    )


def _chunk_records(data: bytes) -> list[object]:
    stream = io.BytesIO(data)
    records = _records(stream, True)
    out = []
    while stream.tell() < len(data):
        out.append(next(records))
    return out


def _unpacked(chunk: Chunk) -> bytes:
    # mcap's own unpacking trusts the sizes in the file.
    if chunk.compression == "zstd":
        import zstandard

        try:
            reader = zstandard.ZstdDecompressor(max_window_size=2**27).stream_reader(chunk.data)
            data = bytes(reader.read(_LARGEST_RECORD_BYTES + 1))
        except zstandard.ZstdError as error:
            raise ValueError(error) from None
    elif chunk.compression == "lz4":
        from lz4.frame import LZ4FrameDecompressor  # type: ignore[import-untyped]

        data = LZ4FrameDecompressor().decompress(chunk.data, _LARGEST_RECORD_BYTES + 1)
    elif chunk.compression == "":
        data = chunk.data
    else:
        raise ValueError(f"packed with {chunk.compression[:20]}")
    if len(data) != chunk.uncompressed_size:
        raise ValueError(f"a chunk of {len(data)} bytes instead of {chunk.uncompressed_size}")
    return data
