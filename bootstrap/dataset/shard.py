"""Shards: plain tar files that WebDataset reads and that we read by offset.

Equal members give equal bytes: USTAR headers, members sorted by name, time 0, owner 0.
"""

from __future__ import annotations

import hashlib
import tarfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from runtime.errors import ViewfinderError

_BLOCK = tarfile.BLOCKSIZE
MAX_MEMBER_BYTES = 256 * 2**20
"""No picture or depth map of ours comes near; a larger length is damage."""


@dataclass(frozen=True)
class Member:
    """Where a member's bytes lie in its shard, and what they must hash to."""

    name: str
    offset: int
    length: int
    sha256: str


def write_members(file: BinaryIO, members: Iterable[tuple[str, bytes]]) -> list[Member]:
    """Write a whole tar archive.

    Args:
        file: open for writing, at its start.
        members: (name, content), in any order.

    Returns:
        Their places, sorted by name.
    """
    places = []
    offset = 0
    for name, content in sorted(members, key=lambda member: member[0]):
        info = tarfile.TarInfo(name)
        info.size = len(content)
        info.mode = 0o644
        file.write(info.tobuf(tarfile.USTAR_FORMAT))
        file.write(content)
        file.write(bytes(-len(content) % _BLOCK))
        offset += _BLOCK
        places.append(Member(name, offset, len(content), hashlib.sha256(content).hexdigest()))
        offset += len(content) + -len(content) % _BLOCK
    offset += 2 * _BLOCK
    file.write(bytes(2 * _BLOCK + -offset % tarfile.RECORDSIZE))
    return places


def read_member(path: Path, member: Member) -> bytes:
    """The bytes of one member, its bounds checked before and its hash after reading.

    Raises:
        ViewfinderError: the shard is missing, too short, or holds other bytes there.
    """
    try:
        with path.open("rb") as file:
            return _read_checked(file, path, member)
    except OSError as error:
        raise ViewfinderError(
            "the shard can't be read", file=path, field=member.name, found=error.strerror
        ) from error


def _read_checked(file: BinaryIO, path: Path, member: Member) -> bytes:
    size = file.seek(0, 2)
    if not 0 <= member.length <= MAX_MEMBER_BYTES:
        raise ViewfinderError(
            "a member's length can't be that",
            file=path,
            field=member.name,
            expected=f"at most {MAX_MEMBER_BYTES} bytes",
            found=member.length,
        )
    if member.offset < 0 or member.offset + member.length > size:
        raise ViewfinderError(
            "the shard is truncated",
            file=path,
            field=member.name,
            expected=f"{member.offset + member.length} bytes or more",
            found=f"{size} bytes",
        )
    file.seek(member.offset)
    content = file.read(member.length)
    found = hashlib.sha256(content).hexdigest()
    if found != member.sha256:
        raise ViewfinderError(
            "the member is damaged",
            file=path,
            field=member.name,
            expected=f"sha256 {member.sha256[:12]}",
            found=found[:12],
        )
    return content


def member_problems(path: Path, members: Iterable[Member]) -> Iterator[tuple[str, str]]:
    """Compare a shard with its index, reading every byte.

    Yields:
        (member name or "", what is wrong with it); nothing when the shard is whole.
    """
    expected = {member.name: member for member in members}
    try:
        with path.open("rb") as file:
            for member in expected.values():
                try:
                    _read_checked(file, path, member)
                except ViewfinderError as error:
                    yield member.name, _without_place(error)
                    continue
                if (problem := _header_problem(file, member)) is not None:
                    yield member.name, problem
            yield from _stray_bytes(file, expected.values())
    except OSError as error:
        yield "", f"the shard can't be read: {error.strerror}"


def _header_problem(file: BinaryIO, member: Member) -> str | None:
    # Our readers go by the index; others (tar, WebDataset) go by the header, so it counts too.
    file.seek(max(member.offset - _BLOCK, 0))
    try:
        header = tarfile.TarInfo.frombuf(file.read(_BLOCK), "utf-8", "surrogateescape")
    except tarfile.TarError as error:
        return f"its tar header is damaged: {error}"
    if header.name != member.name or header.size != member.length:
        return f"its tar header says {header.name} with {header.size} bytes"
    return None


def _stray_bytes(file: BinaryIO, members: Iterable[Member]) -> Iterator[tuple[str, str]]:
    end = max((m.offset + m.length + -m.length % _BLOCK for m in members), default=0)
    size = file.seek(0, 2)
    expected = end + 2 * _BLOCK
    expected += -expected % tarfile.RECORDSIZE
    if size != expected:
        yield "", f"the shard has {size} bytes where its members need {expected}"
    file.seek(min(end, size))
    if any(file.read(max(0, expected - end))):
        yield "", "bytes that belong to no member after the last one"


def _without_place(error: ViewfinderError) -> str:
    line = error.problem
    if error.expected is not None:
        line += f"; expected {error.expected}"
    return f"{line}; found {error.found}" if error.found is not None else line
