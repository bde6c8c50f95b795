"""Files that appear whole or not at all, whatever kills the process."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from runtime.errors import ViewfinderError

PARTIAL_SUFFIX = ".partial"


def partial_path(path: Path, shared: bool = False) -> Path:
    """Where a file is written before it gets its name.

    Args:
        path: its name in the end.
        shared: whether several processes may write it at once; then each has a place of its own,
            otherwise every try has the same.
    """
    process = f".{os.getpid()}" if shared else ""
    return path.with_name(f".{path.name}{process}{PARTIAL_SUFFIX}")


def write_durably(path: Path, write: Callable[[BinaryIO], None], shared: bool = False) -> None:
    """Write a file beside its place, sync it, rename it into place and sync the folder.

    A partial file that a killed run left is overwritten.

    Args:
        path: the file.
        write: puts the content into an open file.
        shared: whether several processes may write this file at once.

    Raises:
        ViewfinderError: the folder or file can't be written.
    """
    partial = partial_path(path, shared)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with partial.open("wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
        sync_folder(path.parent)
    except OSError as error:
        _discard(partial)
        raise ViewfinderError("can't be written", file=path, found=error.strerror) from error
    except BaseException:
        _discard(partial)
        raise


def write_bytes_durably(path: Path, data: bytes, shared: bool = False) -> None:
    """`write_durably` for bytes in memory."""

    def write(file: BinaryIO) -> None:
        file.write(data)

    write_durably(path, write, shared)


def sync_folder(folder: Path) -> None:
    """Make renames inside a folder survive a power cut, where the system can."""
    if os.name == "nt":  # Windows can't open a folder; NTFS journals renames itself.
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _discard(partial: Path) -> None:
    try:
        partial.unlink(missing_ok=True)
    except OSError:
        return  # the folder itself is gone or closed to us: nothing more to tidy
