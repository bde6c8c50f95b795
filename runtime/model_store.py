"""The models folder: MediaPipe's released files, and those the user added.

<models folder>/mediapipe-0.10.14/<name>.tflite    fetched, hashes pinned in runtime.released
<models folder>/added/<file>                       by `viewfinder models add`
<models folder>/trusted.json                       sha256 -> name of what the user trusts
"""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

from runtime.bundle import Bundle, parse_bundle
from runtime.durable import write_bytes_durably
from runtime.errors import ViewfinderError
from runtime.folders import models_folder, writable_folder
from runtime.released import (
    MEDIAPIPE_VERSION,
    RELEASED,
    RELEASED_BY_NAME,
    RELEASED_HASHES,
    WHEEL_ABI,
    WHEEL_PLATFORM,
    WHEEL_PYTHON,
    ReleasedModel,
)

FETCH_HINT = "viewfinder models fetch mediapipe"
_TRUSTED = "trusted.json"
_FETCH_SECONDS = 900


@dataclass(frozen=True)
class StoredModel:
    """A row of `viewfinder models list`."""

    name: str
    origin: str
    what: str
    size: int
    sha256: str
    path: Path | None


def mediapipe_folder() -> Path:
    """Where the released models lie; it need not exist."""
    return models_folder() / f"mediapipe-{MEDIAPIPE_VERSION}"


def missing_released() -> list[ReleasedModel]:
    """The released models that aren't in the store, whole."""
    return [model for model in RELEASED if not _is_whole(model)]


def released_model(name: str) -> bytes:
    """A fetched released model, its hash checked.

    Raises:
        ViewfinderError: not fetched, or damaged since.
    """
    model = RELEASED_BY_NAME[name]
    path = mediapipe_folder() / model.file
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ViewfinderError(
            "MediaPipe's released models aren't on this machine", file=path, hint=FETCH_HINT
        ) from error
    if hashlib.sha256(data).hexdigest() != model.sha256:
        raise ViewfinderError(
            "this released model is damaged: its SHA-256 isn't the pinned one",
            file=path, hint=FETCH_HINT,
        )  # fmt: skip
    return data


def fetch_mediapipe(wheel: Path | None = None) -> list[Path]:
    """Bring MediaPipe's released models into the store; nothing to do when they are there.

    Args:
        wheel: the mediapipe 0.10.14 wheel where it is already at hand; else pip downloads it into
            a temporary folder, and nothing is installed.

    Returns:
        The files that were written.

    Raises:
        ViewfinderError: no wheel can be had, or its content isn't what was pinned.
    """
    missing = missing_released()
    if not missing:
        return []
    if wheel is not None:
        return _take_from_wheel(wheel, missing)
    with tempfile.TemporaryDirectory(prefix="viewfinder-fetch-") as folder:
        return _take_from_wheel(_downloaded_wheel(Path(folder)), missing)


def add_model(path: Path) -> Path:
    """Copy a bundle or model into the store and trust what is in it.

    Raises:
        ViewfinderError: it can't be read, is damaged, or another file of that name is there.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ViewfinderError(f"can't read this model: {error.strerror}", file=path) from error
    bundle = parse_bundle(data, str(path))
    folder = writable_folder(models_folder() / "added")
    target = folder / path.name
    if target.exists() and target.read_bytes() != data:
        raise ViewfinderError(
            "another model of this name was added before", file=target,
            hint="rename yours, or delete the old one",
        )  # fmt: skip
    write_bytes_durably(target, data, shared=True)
    trusted = _trusted()
    trusted |= {hashlib.sha256(content).hexdigest(): path.name for content in _models(bundle)}
    trusted[bundle.sha256] = path.name
    write_bytes_durably(
        models_folder() / _TRUSTED, json.dumps(trusted, indent=2).encode() + b"\n", shared=True
    )
    return target


def is_trusted(sha256: str) -> bool:
    """Whether a model of that hash is released or was added by the user."""
    return sha256 in RELEASED_HASHES or sha256 in _trusted()


def find_model(name: str | Path) -> Path:
    """The file of that path, or the added or released model of that name.

    Raises:
        ViewfinderError: there is neither.
    """
    path = Path(name)
    if path.exists():
        return path
    if path.name == str(name):
        for candidate in (
            models_folder() / "added" / path.name,
            mediapipe_folder() / path.name,
            mediapipe_folder() / f"{path.name}.tflite",
        ):
            if candidate.is_file():
                return candidate
    raise ViewfinderError("no such model", file=name, hint="viewfinder models list")


def list_models() -> list[StoredModel]:
    """Released models, fetched or not, then added ones."""
    folder = mediapipe_folder()
    rows = [
        StoredModel(
            model.name, f"mediapipe {MEDIAPIPE_VERSION}", model.what, model.size, model.sha256,
            folder / model.file if _is_whole(model) else None,
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


def _models(bundle: Bundle) -> list[bytes]:
    return [content for name, content in bundle.members.items() if name.endswith(".tflite")]


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
        data = (mediapipe_folder() / model.file).read_bytes()
    except OSError:
        return False
    return hashlib.sha256(data).hexdigest() == model.sha256


def _take_from_wheel(wheel: Path, wanted: list[ReleasedModel]) -> list[Path]:
    folder = writable_folder(mediapipe_folder())
    written = []
    try:
        with zipfile.ZipFile(wheel) as archive:
            for model in wanted:
                if archive.getinfo(model.wheel_member).file_size != model.size:
                    raise _wrong_content(wheel, model)
                data = archive.read(model.wheel_member)
                if hashlib.sha256(data).hexdigest() != model.sha256:
                    raise _wrong_content(wheel, model)
                write_bytes_durably(folder / model.file, data, shared=True)
                written.append(folder / model.file)
    except KeyError as error:
        raise ViewfinderError(
            "this wheel doesn't hold MediaPipe's models", file=wheel,
            expected=f"mediapipe {MEDIAPIPE_VERSION}", found=str(error.args[0]),
        ) from error  # fmt: skip
    except (OSError, zipfile.BadZipFile, NotImplementedError, RuntimeError) as error:
        raise ViewfinderError("can't read this wheel", file=wheel, found=str(error)) from error
    return written


def _wrong_content(wheel: Path, model: ReleasedModel) -> ViewfinderError:
    return ViewfinderError(
        "this wheel's model isn't the released one", file=wheel, field=model.wheel_member,
        expected=f"SHA-256 {model.sha256}",
    )  # fmt: skip


def _downloaded_wheel(folder: Path) -> Path:
    command = [
        sys.executable, "-m", "pip", "download", f"mediapipe=={MEDIAPIPE_VERSION}", "--no-deps",
        "--only-binary=:all:", "--python-version", WHEEL_PYTHON, "--implementation", "cp",
        "--abi", WHEEL_ABI, "--platform", WHEEL_PLATFORM, "--dest", str(folder),
        "--disable-pip-version-check", "--no-input", "--quiet",
    ]  # fmt: skip
    hint = "or give the wheel: viewfinder models fetch mediapipe --wheel FILE"
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=_FETCH_SECONDS, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise ViewfinderError(
            f"pip didn't finish in {_FETCH_SECONDS // 60} minutes", hint=hint
        ) from error
    wheels = list(folder.glob("mediapipe-*.whl"))
    if done.returncode or not wheels:
        lines = [line for line in done.stderr.splitlines() if line.strip()]
        raise ViewfinderError(
            "pip couldn't download mediapipe's wheel", found=lines[-1] if lines else "no message",
            hint=hint,
        )  # fmt: skip
    return wheels[0]
