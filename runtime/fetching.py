"""Released models out of the packages that hold them: pip's wheel, npm's tarballs, `.task` files.

Every model is checked against its pinned size and SHA-256 before it is stored; nothing of a
package is installed or run, and nothing else is unpacked.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, cast

from runtime.bundle import read_bundle
from runtime.errors import ViewfinderError
from runtime.model_store import missing_released, released_within, store_released
from runtime.released import (
    WHEEL_ABI,
    WHEEL_PLATFORM,
    WHEEL_PYTHON,
    ReleasedModel,
    Source,
    released_from,
)

FETCH_SECONDS = 900
MAX_UNPACKED_BYTES = 2**28
_GZIP = b"\x1f\x8b"
_ZIP = b"PK\x03\x04"
_TFLITE = b"TFL3"


def fetch_released(source: Source, package: Path | None = None) -> list[Path]:
    """Bring a source's models into the store; nothing to do for those that are there.

    Args:
        source: which models.
        package: a file that holds them, where it is at hand (the wheel, the npm tarball, a .task
            bundle or the bare model); else pip or npm downloads the package into a temporary
            folder, and nothing is installed.

    Returns:
        The files that were written.

    Raises:
        ViewfinderError: no package can be had, or its content isn't what was pinned.
    """
    missing = missing_released(*(model.name for model in released_from(source)))
    if not missing:
        return []
    if package is not None:
        return _take(package, source, missing)
    if not source.registry:
        raise ViewfinderError(
            f"no package registry holds these models: {', '.join(m.name for m in missing)}",
            hint=source.hint,
        )
    download = _download_by_pip if source.registry == "pip" else _download_by_npm
    with tempfile.TemporaryDirectory(prefix="viewfinder-fetch-") as folder:
        return _take(download(source, Path(folder)), source, missing)


def _take(package: Path, source: Source, wanted: list[ReleasedModel]) -> list[Path]:
    try:
        with package.open("rb") as file:
            start = file.read(8)
            file.seek(0)
            if start[:2] == _GZIP:
                return _store(_from_tarball(file, wanted), package, source, wanted)
            if start[4:] != _TFLITE and (start[:4] != _ZIP or _is_wheel(file)):
                return _store(_from_wheel(file, wanted), package, source, wanted)
    except (OSError, EOFError, zlib.error, zipfile.BadZipFile, tarfile.TarError,
            NotImplementedError, RuntimeError, ValueError) as error:  # fmt: skip
        raise ViewfinderError("can't read this package", file=package, found=str(error)) from error
    found = [
        (model, data) for model, data in released_within(read_bundle(package)) if model in wanted
    ]
    if not found:
        raise ViewfinderError(
            "none of the models that are missing is in this file", file=package,
            expected=", ".join(model.name for model in wanted),
        )  # fmt: skip
    return [store_released(model, data) for model, data in found]


def _store(
    members: Iterator[tuple[ReleasedModel, bytes]],
    package: Path,
    source: Source,
    wanted: list[ReleasedModel],
) -> list[Path]:
    contents = dict(members)
    for model in wanted:
        if model not in contents:
            raise ViewfinderError(
                "this package doesn't hold MediaPipe's models", file=package, field=model.member,
                expected=f"{source.package} {source.version}",
            )  # fmt: skip
        if hashlib.sha256(contents[model]).hexdigest() != model.sha256:
            raise ViewfinderError(
                "this package's model isn't the released one", file=package, field=model.member,
                expected=f"{model.size:,} bytes with SHA-256 {model.sha256}",
            )  # fmt: skip
    return [store_released(model, contents[model]) for model in wanted]


def _is_wheel(file: BinaryIO) -> bool:
    with zipfile.ZipFile(file) as archive:
        return any("/" in name for name in archive.namelist())


def _from_wheel(
    file: BinaryIO, wanted: list[ReleasedModel]
) -> Iterator[tuple[ReleasedModel, bytes]]:
    with zipfile.ZipFile(file) as archive:
        for model in wanted:
            if model.member not in archive.namelist():
                continue
            with archive.open(model.member) as member:
                yield model, member.read(model.start + model.size + 1)[model.start :]


def _from_tarball(
    file: BinaryIO, wanted: list[ReleasedModel]
) -> Iterator[tuple[ReleasedModel, bytes]]:
    unpacked = cast("BinaryIO", _Bounded(gzip.GzipFile(fileobj=file)))
    with tarfile.open(fileobj=unpacked, mode="r|") as archive:
        for member in archive:
            for model in wanted:
                if member.name == model.member and member.isreg():
                    content = archive.extractfile(member)
                    assert content is not None  # a regular file has content
                    yield model, content.read(model.start + model.size + 1)[model.start :]


class _Bounded(io.RawIOBase):
    """A stream that ends in an error before a small file unpacks into a disk full."""

    def __init__(self, stream: gzip.GzipFile) -> None:
        self._stream = stream
        self._left = MAX_UNPACKED_BYTES

    def read(self, size: int = -1) -> bytes:
        data = self._stream.read(min(size, self._left + 1) if size >= 0 else self._left + 1)
        self._left -= len(data)
        if self._left < 0:
            raise ValueError(f"it unpacks to more than {MAX_UNPACKED_BYTES:,} bytes")
        return data


def _download_by_pip(source: Source, folder: Path) -> Path:
    command = [
        sys.executable, "-m", "pip", "download", f"{source.package}=={source.version}", "--no-deps",
        "--only-binary=:all:", "--python-version", WHEEL_PYTHON, "--implementation", "cp",
        "--abi", WHEEL_ABI, "--platform", WHEEL_PLATFORM, "--dest", str(folder),
        "--disable-pip-version-check", "--no-input", "--quiet",
    ]  # fmt: skip
    return _downloaded(command, source, folder, "*.whl")


def _download_by_npm(source: Source, folder: Path) -> Path:
    npm = shutil.which("npm")
    if npm is None:
        raise ViewfinderError(
            f"these models are in the npm package {source.package} {source.version}, and npm isn't "
            "installed",
            hint=f"install npm, or bring the package's .tgz: {source.hint} --package FILE",
        )
    command = [
        npm, "pack", f"{source.package}@{source.version}", "--pack-destination", str(folder),
        "--ignore-scripts", "--loglevel", "error",
    ]  # fmt: skip
    return _downloaded(command, source, folder, "*.tgz")


def _downloaded(command: list[str], source: Source, folder: Path, pattern: str) -> Path:
    what = f"{source.package} {source.version}"
    hint = f"or give the package: {source.hint} --package FILE"
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=FETCH_SECONDS, check=False, cwd=folder
        )
    except subprocess.TimeoutExpired as error:
        raise ViewfinderError(
            f"{source.registry} didn't bring {what} in {FETCH_SECONDS // 60} minutes", hint=hint
        ) from error
    packages = list(folder.glob(pattern))
    if done.returncode or not packages:
        lines = [line for line in done.stderr.splitlines() if line.strip()]
        raise ViewfinderError(
            f"{source.registry} couldn't download {what}",
            found=lines[-1] if lines else "no message", hint=hint,
        )  # fmt: skip
    return packages[0]
