"""Where Viewfinder keeps what it fetches, what it can make again, and what people set.

`VIEWFINDER_HOME` overrides all places: models go to `$VIEWFINDER_HOME/models`, caches to
`$VIEWFINDER_HOME/cache`, settings to `$VIEWFINDER_HOME/config`.
"""

from __future__ import annotations

import os
from pathlib import Path

import platformdirs

from runtime.errors import ViewfinderError


def models_folder() -> Path:
    """Where fetched and added models lie; made if it is missing.

    Raises:
        ViewfinderError: the folder can't be made.
    """
    home = os.environ.get("VIEWFINDER_HOME")
    base = Path(home) if home else Path(platformdirs.user_data_dir("viewfinder", appauthor=False))
    return writable_folder(base / "models")


def cache_folder() -> Path:
    """Where things lie that can be made again at the price of time; made if it is missing.

    Raises:
        ViewfinderError: the folder can't be made.
    """
    home = os.environ.get("VIEWFINDER_HOME")
    if home:
        return writable_folder(Path(home) / "cache")
    return writable_folder(Path(platformdirs.user_cache_dir("viewfinder", appauthor=False)))


def config_folder() -> Path:
    """Where a person's settings lie; not made here, and missing until somebody writes some."""
    home = os.environ.get("VIEWFINDER_HOME")
    if home:
        return Path(home) / "config"
    return Path(platformdirs.user_config_dir("viewfinder", appauthor=False))


def writable_folder(path: Path) -> Path:
    """The folder, made with its parents and tried for writing.

    Raises:
        ViewfinderError: it can't be made, is no folder, or can't be written to.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ViewfinderError(
            f"can't make this folder: {error.strerror}", file=path, hint="choose another place"
        ) from error
    if not os.access(path, os.W_OK | os.X_OK):
        raise ViewfinderError(
            "this folder can't be written to", file=path, hint="choose another place"
        )
    return path
