"""Model bundles: `.task` files, a ZIP of stored members with a card, checked to the last byte.

Layout: members as MediaPipe makes them (stored, not compressed, here also aligned), `card.json`
among them, and as the archive's comment the SHA-256 of everything before it. A bundle packed again
by another ZIP tool loses the comment but not its members' hashes, which stand in the card.
MediaPipe's own `.task` files and bare `.tflite` files are read as bundles without a card.
"""

from __future__ import annotations

import hashlib
import io
import struct
import tempfile
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType

from runtime.card import CARD_FORMAT, Card, CardData, CardInput, CardMetric, CardModel, CardOutput
from runtime.errors import ViewfinderError

__all__ = [
    "CARD_FORMAT", "Bundle", "Card", "CardData", "CardInput", "CardMetric", "CardModel",
    "CardOutput", "bundle_bytes", "models_in", "parse_bundle", "read_bundle", "write_bundle",
]  # fmt: skip

MAX_BUNDLE_BYTES = 2**29
MAX_MEMBERS = 64
MAX_NESTING = 3
CARD_NAME = "card.json"
_ALIGNMENT = 64
_ALIGNMENT_FIELD = 0xD935  # the extra field that Android's zipalign pads with
_LOCAL_HEADER_BYTES = 30
_ZIP = b"PK\x03\x04"
_SEAL = b"sha256:"
_SEAL_BYTES = len(_SEAL) + 64
_EPOCH = (1980, 1, 1, 0, 0, 0)


@dataclass(frozen=True)
class Bundle:
    """A bundle in memory.

    Attributes:
        card: None for a bare .tflite and for MediaPipe's own bundles.
        members: name -> content, without the card.
        sha256: of the whole file.
        name: the file, for errors.
    """

    card: Card | None
    members: Mapping[str, bytes]
    sha256: str
    name: str


def write_bundle(path: str | Path, members: Mapping[str, bytes], card: Card) -> str:
    """Write a bundle; the same members and card give the same bytes.

    Args:
        path: usually `.task`; replaced only once the new file is whole.
        members: file name -> content of each model in the card.
        card: the sha256 of each model is filled in.

    Returns:
        SHA-256 of the file.

    Raises:
        ViewfinderError: card and members don't name the same files, or the file can't be written.
    """
    data = bundle_bytes(members, card, str(path))
    target = Path(path)
    try:
        with tempfile.NamedTemporaryFile(
            dir=target.parent, prefix=f".{target.name}.", delete=False
        ) as part:
            part.write(data)
        Path(part.name).chmod(0o644)
        Path(part.name).replace(target)
    except OSError as error:
        raise ViewfinderError(f"can't write this bundle: {error.strerror}", file=path) from error
    return hashlib.sha256(data).hexdigest()


def bundle_bytes(members: Mapping[str, bytes], card: Card, name: str) -> bytes:
    """The bundle that `write_bundle` writes."""
    listed = {model.file for model in card.models}
    if listed != set(members) or not listed:
        raise ViewfinderError(
            "card and members differ", file=name, expected=sorted(listed), found=sorted(members)
        )
    models = tuple(
        replace(model, sha256=hashlib.sha256(members[model.file]).hexdigest())
        for model in card.models
    )
    content = {CARD_NAME: replace(card, models=models).to_json().encode(), **members}
    for member in content:
        _check_member_name(member, name)
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_STORED) as archive:
        for member in sorted(content):
            info = zipfile.ZipInfo(member, date_time=_EPOCH)
            info.create_system = 3
            info.external_attr = 0o644 << 16
            info.extra = _padding(stream.tell(), member)
            archive.writestr(info, content[member])
        archive.comment = b" " * _SEAL_BYTES
    body = stream.getvalue()[:-_SEAL_BYTES]
    return body + _SEAL + hashlib.sha256(body).hexdigest().encode()


def read_bundle(path: str | Path) -> Bundle:
    """Read a `.task` or `.tflite` file and check everything that can be checked without running it.

    Raises:
        ViewfinderError: missing, not a bundle, damaged, hostile, or with a card that is wrong.
    """
    try:
        size = Path(path).stat().st_size
        if size > MAX_BUNDLE_BYTES:
            raise ViewfinderError(
                "this file is too large for a model bundle", file=path,
                expected=f"at most {MAX_BUNDLE_BYTES:,} bytes", found=f"{size:,}",
            )  # fmt: skip
        data = Path(path).read_bytes()
    except OSError as error:
        raise ViewfinderError(f"can't read this model: {error.strerror}", file=path) from error
    return parse_bundle(data, str(path))


def parse_bundle(data: bytes, name: str) -> Bundle:
    """The same from a file's content; `name` is what errors call it."""
    sha256 = hashlib.sha256(data).hexdigest()
    if data[4:8] == b"TFL3" and data[:4] != _ZIP:
        return Bundle(None, MappingProxyType({Path(name).name: data}), sha256, name)
    if data[:4] != _ZIP:
        raise ViewfinderError(
            "not a model", file=name, expected="a .task bundle or a .tflite model",
            found=f"a file that starts with {data[:4]!r}" if data else "an empty file",
        )  # fmt: skip
    sealed = _check_seal(data, name)
    members = _members(data, name)
    card_text = members.pop(CARD_NAME, None)
    if card_text is None:
        if sealed or not members:
            raise ViewfinderError("the bundle has lost its card.json", file=name)
        return Bundle(None, MappingProxyType(members), sha256, name)
    card = Card.from_json(card_text, name)
    _check_members(card, members, name)
    return Bundle(card, MappingProxyType(members), sha256, name)


def models_in(bundle: Bundle, nesting: int = 0) -> Iterator[tuple[str, bytes]]:
    """Every model of a bundle as (path, content), also of the bundles in it.

    MediaPipe's gesture bundle holds two bundles.
    """
    for name, content in bundle.members.items():
        if content[4:8] == b"TFL3":
            yield name, content
        elif content[:4] == _ZIP and nesting < MAX_NESTING:
            inner = parse_bundle(content, f"{bundle.name} {name}")
            yield from ((f"{name}/{file}", data) for file, data in models_in(inner, nesting + 1))


def _check_seal(data: bytes, name: str) -> bool:
    end = data.rfind(b"PK\x05\x06")
    body, comment = data[: end + 22], data[end + 22 :]
    if end < 0 or body[-2:] != struct.pack("<H", len(comment)):
        raise ViewfinderError("the bundle is truncated or damaged", file=name)
    if not comment:
        return False
    if comment != _SEAL + hashlib.sha256(body).hexdigest().encode():
        raise ViewfinderError(
            "the bundle is damaged: its bytes don't give the SHA-256 that it was sealed with",
            file=name, hint="fetch or export it again",
        )  # fmt: skip
    return True


def _members(data: bytes, name: str) -> dict[str, bytes]:
    """Name -> content of a ZIP that is what it claims to be."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            infos = archive.infolist()
            _check_directory(infos, len(data), name)
            return {info.filename: archive.read(info) for info in infos}
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError, ValueError,
            struct.error, OverflowError) as error:  # fmt: skip
        raise ViewfinderError(
            "the bundle is truncated or damaged", file=name, found=str(error)
        ) from error


def _check_directory(infos: list[zipfile.ZipInfo], size: int, name: str) -> None:
    names = [info.filename for info in infos]
    if len(infos) > MAX_MEMBERS or len(set(names)) != len(names):
        raise ViewfinderError(
            "the bundle's table of contents is wrong", file=name,
            expected=f"at most {MAX_MEMBERS} members of different names", found=f"{len(infos)}",
        )  # fmt: skip
    for info in infos:
        _check_member_name(info.filename, name)
        if info.compress_type != zipfile.ZIP_STORED or info.file_size != info.compress_size:
            raise ViewfinderError(
                "a bundle's members must be stored, not compressed", file=name,
                field=info.filename,
            )  # fmt: skip
        if info.flag_bits & 1:
            raise ViewfinderError(
                "the bundle has an encrypted member", file=name, field=info.filename
            )
    if sum(info.file_size for info in infos) > size:
        raise ViewfinderError("the bundle's members are larger than the file", file=name)


def _check_member_name(member: str, name: str) -> None:
    plain = member and member == Path(member).name and member.isprintable()
    if not plain or "\\" in member or ":" in member or member in (".", ".."):
        raise ViewfinderError(
            "a bundle's members must have plain file names", file=name, found=repr(member)[:80]
        )


def _check_members(card: Card, members: Mapping[str, bytes], name: str) -> None:
    listed = {model.file: model for model in card.models}
    if not listed or len(listed) != len(card.models) or set(listed) != set(members):
        raise ViewfinderError(
            "the bundle's members aren't those its card lists", file=name, field="models",
            expected=sorted(listed), found=sorted(members),
        )  # fmt: skip
    for file, model in listed.items():
        found = hashlib.sha256(members[file]).hexdigest()
        if found != model.sha256:
            raise ViewfinderError(
                "a model's SHA-256 isn't the one in the card", file=name, field=file,
                expected=model.sha256, found=found,
            )  # fmt: skip


def _padding(position: int, member: str) -> bytes:
    """An extra field after which the member's content starts at a multiple of `_ALIGNMENT`."""
    start = position + _LOCAL_HEADER_BYTES + len(member.encode()) + 4
    fill = -start % _ALIGNMENT
    return struct.pack("<HH", _ALIGNMENT_FIELD, fill) + bytes(fill)
