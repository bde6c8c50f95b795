"""ROS 2 messages, decoded by the schema that travels with them.

The schema's text follows docs.ros.org (concepts, interfaces) as MCAP's appendix "ros2msg" carries
it: one definition, then those it uses, each after a line of equal signs and `MSG: package/Type`.
The bytes are OMG's CDR, version 1: numbers aligned to their size from the byte after the four that
name the encoding; text and lists led by their length.
"""

from __future__ import annotations

import re
import struct
from typing import Any, NamedTuple

_NUMBERS = {
    "bool": "?", "byte": "B", "char": "B", "int8": "b", "uint8": "B", "int16": "h", "uint16": "H",
    "int32": "i", "uint32": "I", "int64": "q", "uint64": "Q", "float32": "f", "float64": "d",
}  # fmt: skip
_BUILT_IN = {"time": "builtin_interfaces/Time", "duration": "builtin_interfaces/Duration"}
_STAMP = (("int32", None, "sec"), ("uint32", None, "nanosec"))
_FIELD = re.compile(r"^([\w/]+)(?:<=\d+)?(\[(?:<=)?(\d*)\])?\s+(\w+)\s*(?!\s*=)(?:[^=].*)?$")
_DEEPEST = 16
_MOST_DEFINITIONS = 500


class Field(NamedTuple):
    """A field: its type, how many of them (None for one, -1 for a list) and its name."""

    kind: str
    many: int | None
    name: str


class MessageError(Exception):
    """Bytes or schema that are no ROS 2 message."""


class Definition:
    """What messages of one schema look like.

    Args:
        name: as `geometry_msgs/msg/PoseStamped`.
        text: the schema.

    Raises:
        MessageError: a definition is missing or too deep.
    """

    def __init__(self, name: str, text: str) -> None:
        self._types: dict[str, tuple[Field, ...]] = {
            name: tuple(Field(*entry) for entry in _STAMP) for name in _BUILT_IN.values()
        }
        self._root = _short(name, "")
        current = self._root
        for section in re.split(r"^=+\s*$", text, flags=re.MULTILINE)[:_MOST_DEFINITIONS]:
            lines = [line.split("#")[0].strip() for line in section.splitlines()]
            lines = [line for line in lines if line]
            if lines and lines[0].startswith("MSG:"):
                current = _short(lines.pop(0)[4:].strip(), "")
            package = current.split("/")[0]
            self._types[current] = tuple(f for line in lines if (f := _field(line, package)))
        self._check(self._root, 0)

    def decode(self, data: bytes, only: tuple[str, ...] = ()) -> dict[str, Any]:
        """The message as a dictionary; lists of bytes stay bytes.

        Args:
            data: CDR, its four-byte header first.
            only: stop after these fields, if given.

        Raises:
            MessageError: truncated, or a length that reaches past the end.
        """
        if len(data) < 4 or data[0] != 0 or data[1] > 1:
            raise MessageError(f"an encoding that isn't plain CDR: {data[:2].hex()}")
        cursor = _Cursor(data, "<" if data[1] else ">")
        out: dict[str, Any] = {}
        for field in self._types[self._root]:
            out[field.name] = self._value(cursor, field)
            if only and all(name in out for name in only):
                break
        return out

    def _check(self, name: str, depth: int) -> None:
        if depth > _DEEPEST or name not in self._types:
            raise MessageError(f"no definition of {name}")
        for field in self._types[name]:
            if field.kind not in _NUMBERS and field.kind not in ("string", "wstring"):
                self._check(field.kind, depth + 1)

    def _value(self, cursor: _Cursor, field: Field) -> Any:
        if field.many is None:
            return self._single(cursor, field.kind)
        count = cursor.number("I") if field.many < 0 else field.many
        if field.kind in _NUMBERS:
            return cursor.numbers(_NUMBERS[field.kind], count)
        if count > len(cursor.data):
            raise MessageError(f"a list of {count} in {len(cursor.data)} bytes")
        out = []
        for _ in range(count):
            before = cursor.at
            out.append(self._single(cursor, field.kind))
            if cursor.at == before:
                break  # of nothing: a list of them says no more than one
        return out

    def _single(self, cursor: _Cursor, kind: str) -> Any:
        if kind in _NUMBERS:
            return cursor.number(_NUMBERS[kind])
        if kind == "string":
            return cursor.text()
        if kind == "wstring":
            raise MessageError("wide text")
        return {field.name: self._value(cursor, field) for field in self._types[kind]}


class _Cursor:
    def __init__(self, data: bytes, order: str) -> None:
        self.data, self.order, self.at = data, order, 4

    def number(self, letter: str) -> Any:
        size = struct.calcsize(letter)
        self._align(size)
        return struct.unpack_from(self.order + letter, self.data, self._take(size))[0]

    def numbers(self, letter: str, count: int) -> Any:
        size = struct.calcsize(letter)
        if count:
            self._align(size)
        start = self._take(size * count)
        if size == 1 and letter == "B":
            return self.data[start : start + count]
        return struct.unpack_from(f"{self.order}{count}{letter}", self.data, start)

    def text(self) -> str:
        length = self.number("I")
        start = self._take(length)
        return self.data[start : start + max(length - 1, 0)].decode("utf-8", "replace")

    def _align(self, size: int) -> None:
        self.at += -(self.at - 4) % size

    def _take(self, length: int) -> int:
        start = self.at
        if length > len(self.data) - start:
            raise MessageError(f"{length} bytes at byte {start} of {len(self.data)}")
        self.at += length
        return start


def _field(line: str, package: str) -> Field | None:
    match = _FIELD.match(line)
    if match is None or re.match(r"^\S+\s+\w+\s*=", line):
        return None  # a constant
    kind, brackets, number, name = match.groups()
    fixed = brackets is not None and "<=" not in brackets and number
    count = None if brackets is None else int(number[:9]) if fixed else -1
    if kind not in _NUMBERS and kind not in ("string", "wstring"):
        kind = _BUILT_IN.get(kind) or _short(kind, package)
    return Field(kind, count, name)


def _short(name: str, package: str) -> str:
    """package/Type, whichever way it is written."""
    parts = name.split("/")
    if len(parts) == 1:
        return "std_msgs/Header" if name == "Header" else f"{package}/{name}"
    return f"{parts[0]}/{parts[-1]}"
