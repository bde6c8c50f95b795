"""Protocol buffers on the wire, as little of them as recordings need.

The encoding is the one documented at protobuf.dev/programming-guides/encoding: a message is a
sequence of keys (field number << 3 | wire type) and values; repeated scalars come packed in one
value or one by one, and a reader must take both. Messages that aren't asked for are skipped
without being looked into.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
Value = int | memoryview | bytes
_UINT64 = 2**64


class WireError(Exception):
    """The bytes are no protocol buffer; says where, from the message's beginning."""


def fields(message: memoryview | bytes) -> Iterator[tuple[int, int, Value]]:
    """Each field of a message: number, wire type, value.

    Varints come as unsigned int, all else as bytes.

    Raises:
        WireError: truncated, a length that reaches past the end, or an unknown wire type.
    """
    at, end = 0, len(message)
    while at < end:
        key = message[at]
        at += 1
        if key & 0x80:
            key, at = varint(message, at - 1)
        kind = key & 7
        if kind == BYTES:
            if at < end and message[at] < 0x80:
                length = message[at]
                at += 1
            else:
                length, at = varint(message, at)
        elif kind == VARINT:
            value, at = varint(message, at)
            yield key >> 3, kind, value
            continue
        elif kind == FIXED32:
            length = 4
        elif kind == FIXED64:
            length = 8
        else:
            raise WireError(f"wire type {kind} at byte {at}")
        if length > end - at:
            raise WireError(f"a field of {length} bytes at byte {at} of {end}")
        yield key >> 3, kind, message[at : at + length]
        at += length


def varint(message: memoryview | bytes, at: int) -> tuple[int, int]:
    """An unsigned variable-length number and where it ends."""
    value = shift = 0
    for step in range(10):
        if at + step >= len(message):
            raise WireError(f"it ends in a number at byte {at}")
        byte = message[at + step]
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value % _UINT64, at + step + 1
        shift += 7
    raise WireError(f"a number of more than ten bytes at byte {at}")


def floats(values: Sequence[tuple[int, Value]]) -> NDArray[np.float32]:
    """The numbers of a repeated float field, packed or not.

    Args:
        values: (wire type, value) of every occurrence.
    """
    joined = b"".join(bytes(v) for kind, v in values if kind in (BYTES, FIXED32) and not _int(v))
    if len(joined) % 4:
        raise WireError(f"{len(joined)} bytes of floats")
    return np.frombuffer(joined, dtype="<f4")


def integers(values: Sequence[tuple[int, Value]]) -> NDArray[np.int64]:
    """The numbers of a repeated int64 field, packed or not."""
    numbers: list[int] = []
    for kind, value in values:
        if kind == VARINT and isinstance(value, int):
            numbers.append(value)
        elif kind == BYTES and not isinstance(value, int):
            at = 0
            while at < len(value):
                number, at = varint(value, at)
                numbers.append(number)
    return np.array(numbers, dtype=np.uint64).astype(np.int64)


def double_of(value: Value) -> float:
    """A fixed 64-bit float."""
    if isinstance(value, int) or len(value) != 8:
        raise WireError("a double that isn't one")
    return float(struct.unpack("<d", value)[0])


def _int(value: Value) -> bool:
    return isinstance(value, int)


def key(number: int, kind: int) -> bytes:
    """A field's key, encoded."""
    return encoded_varint(number << 3 | kind)


def encoded_varint(value: int) -> bytes:
    """A number as protocol buffers write it; negative ones in ten bytes."""
    value %= _UINT64
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def put_bytes(number: int, value: bytes) -> bytes:
    """A length-delimited field: bytes, text or a message."""
    return key(number, BYTES) + encoded_varint(len(value)) + value


def put_integer(number: int, value: int) -> bytes:
    """An integer, enumeration or truth value."""
    return key(number, VARINT) + encoded_varint(value)


def put_float(number: int, value: float) -> bytes:
    """A 32-bit float."""
    return key(number, FIXED32) + struct.pack("<f", value)


def put_double(number: int, value: float) -> bytes:
    """A 64-bit float."""
    return key(number, FIXED64) + struct.pack("<d", value)


def put_floats(number: int, values: object) -> bytes:
    """A repeated float field, packed."""
    return put_bytes(number, np.asarray(values, dtype="<f4").tobytes())
