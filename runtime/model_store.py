"""Models by name: those this release brings, MediaPipe's released files, those the user added.

The first lie among the package's data (runtime.bundled), the others in the models folder:

<models folder>/<source>-<version>/<name>.tflite   released, hashes pinned in runtime.released
<models folder>/added/<file>                       by `viewfinder models add`
<models folder>/trusted.json                       sha256 -> name of what the user trusts
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from runtime.bundle import Bundle, models_in, parse_bundle
from runtime.bundled import BUNDLED, bundled_hashes, bundled_path
from runtime.durable import write_bytes_durably
from runtime.errors import ViewfinderError
from runtime.folders import models_folder, writable_folder
from runtime.released import (
    MEDIAPIPE,
    RELEASED,
    RELEASED_BY_NAME,
    RELEASED_BY_SHA256,
    RELEASED_HASHES,
    ReleasedModel,
    Source,
    released_from,
)

FETCH_HINT = MEDIAPIPE.hint
_TRUSTED = "trusted.json"


@dataclass(frozen=True)
class StoredModel:
    """A row of `viewfinder models list`."""

    name: str
    origin: str
    what: str
    size: int
    sha256: str
    path: Path | None


@dataclass(frozen=True)
class AddedModel:
    """What `add_model` did.

    Attributes:
        path: where the file lies now.
        released: names of the released models in it, which are in the store now.
    """

    path: Path
    released: tuple[str, ...]


def released_folder(source: Source) -> Path:
    """Where a source's released models lie; it need not exist."""
    return models_folder() / source.folder


def missing_released(*names: str) -> list[ReleasedModel]:
    """Those of these released models that aren't in the store, whole.

    Args:
        names: by default all that MediaPipe's wheel holds.
    """
    asked = [RELEASED_BY_NAME[name] for name in names] or released_from(MEDIAPIPE)
    return [model for model in asked if not _is_whole(model)]


def released_model(name: str) -> bytes:
    """A released model in the store, its hash checked.

    Raises:
        ViewfinderError: not in the store, or damaged since; the hint says how to get it.
    """
    model = RELEASED_BY_NAME[name]
    path = _place(model)
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ViewfinderError(
            "this released model of MediaPipe isn't on this machine", file=path,
            hint=model.source.hint,
        ) from error  # fmt: skip
    if hashlib.sha256(data).hexdigest() != model.sha256:
        raise ViewfinderError(
            "this released model is damaged: its SHA-256 isn't the pinned one",
            file=path, hint=model.source.hint,
        )  # fmt: skip
    return data


def store_released(model: ReleasedModel, data: bytes) -> Path:
    """Put a released model, its hash checked by the caller, into its place."""
    writable_folder(released_folder(model.source))
    write_bytes_durably(_place(model), data, shared=True)
    return _place(model)


def released_within(bundle: Bundle) -> Iterator[tuple[ReleasedModel, bytes]]:
    """The released models in a bundle and in the bundles in it, known by their SHA-256."""
    for _, data in models_in(bundle):
        model = RELEASED_BY_SHA256.get(hashlib.sha256(data).hexdigest())
        if model is not None:
            yield model, data


def add_model(path: Path) -> AddedModel:
    """Copy a bundle or model into the store and trust what is in it.

    Released models, bare or in MediaPipe's own bundles, also get their place among the released.

    Raises:
        ViewfinderError: it can't be read, is damaged, or another file of that name is there.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ViewfinderError(f"can't read this model: {error.strerror}", file=path) from error
    bundle = parse_bundle(data, str(path))
    target = models_folder() / "added" / path.name
    if target.exists() and target.read_bytes() != data and bundle.sha256 not in RELEASED_HASHES:
        raise ViewfinderError(
            "another model of this name was added before", file=target,
            hint="rename yours, or delete the old one",
        )  # fmt: skip
    models = list(models_in(bundle))
    released = [
        (model, store_released(model, content)) for model, content in released_within(bundle)
    ]
    names = tuple(model.name for model, _ in released)
    if bundle.sha256 in RELEASED_HASHES:
        return AddedModel(released[0][1], names)
    writable_folder(target.parent)
    write_bytes_durably(target, data, shared=True)
    trusted = _trusted()
    trusted |= {hashlib.sha256(content).hexdigest(): path.name for _, content in models}
    trusted[bundle.sha256] = path.name
    write_bytes_durably(
        models_folder() / _TRUSTED, json.dumps(trusted, indent=2).encode() + b"\n", shared=True
    )
    return AddedModel(target, names)


def is_trusted(sha256: str) -> bool:
    """Whether a model of that hash is ours or MediaPipe's, or was added by the user."""
    return sha256 in RELEASED_HASHES or sha256 in _trusted() or sha256 in bundled_hashes()


def find_model(name: str | Path) -> Path:
    """The file of that path, or the added, bundled or released model of that name.

    Raises:
        ViewfinderError: there is neither.
    """
    path = Path(name)
    if path.exists():
        return path
    if path.name == str(name):
        added = models_folder() / "added" / path.name
        if added.is_file():
            return added
        ours = bundled_path(path.name)
        if ours is not None:
            return ours
        released = RELEASED_BY_NAME.get(path.name.removesuffix(".tflite"))
        if released is not None:
            if not _place(released).is_file():
                raise ViewfinderError(
                    "this released model of MediaPipe isn't on this machine", file=name,
                    hint=released.source.hint,
                )  # fmt: skip
            return _place(released)
    raise ViewfinderError("no such model", file=name, hint="viewfinder models list")


def list_models() -> list[StoredModel]:
    """Those this release brings, then released ones, fetched or not, then added ones."""
    rows = [_bundled_row(name, what) for name, what in BUNDLED.items() if bundled_path(name)]
    rows += [
        StoredModel(
            model.name, f"{model.source.package} {model.source.version}".strip(), model.what,
            model.size, model.sha256, _place(model) if _is_whole(model) else None,
        )
        for model in RELEASED
    ]  # fmt: skip
    added = models_folder() / "added"
    for path in sorted(added.iterdir()) if added.is_dir() else []:
        data = path.read_bytes()
        sha256 = hashlib.sha256(data).hexdigest()
        what = "trusted" if is_trusted(sha256) else "changed since it was added"
        rows.append(StoredModel(path.name, "added", what, len(data), sha256, path))
    return rows


def _bundled_row(name: str, what: str) -> StoredModel:
    path = bundled_path(name)
    assert path is not None
    data = path.read_bytes()
    sha256 = hashlib.sha256(data).hexdigest()
    return StoredModel(name, "bundled", what, len(data), sha256, path)


def _place(model: ReleasedModel) -> Path:
    return released_folder(model.source) / model.file


def _trusted() -> dict[str, str]:
    path = models_folder() / _TRUSTED
    try:
        stored = json.loads(path.read_bytes())
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise ViewfinderError(
            "the list of trusted models can't be read", file=path, found=str(error),
            hint="delete it and add your models again",
        ) from error  # fmt: skip
    if not isinstance(stored, dict):
        raise ViewfinderError("the list of trusted models is damaged", file=path)
    return {str(sha256): str(name) for sha256, name in stored.items()}


def _is_whole(model: ReleasedModel) -> bool:
    try:
        data = _place(model).read_bytes()
    except OSError:
        return False
    return hashlib.sha256(data).hexdigest() == model.sha256
