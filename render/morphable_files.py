"""A user's head model: recognised, converted once in a child process, kept in the user's cache.

Files of others are read in a process of their own with limits to time and memory, because their
readers were written for friends. What comes back is an .npz without pickles, named after the
SHA-256 of what it was made from; it never leaves the user's cache.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import subprocess
import sys
from functools import lru_cache
from pathlib import Path

from render.morphable import FORMAT, MorphableModel, decode, encode
from runtime.errors import ViewfinderError
from runtime.folders import cache_folder

SECONDS = 240.0
"""A conversion takes 5 to 30 s."""

MEMORY_BYTES = 4 * 2**30
"""What the child may have mapped; Basel's largest takes a third of it."""

MOST_BYTES = 3 * 2**30

_HDF5, _MAT5, _ZIP = b"\x89HDF\r\n\x1a\n", b"MATLAB 5.0 MAT-file", b"PK\x03\x04"


def find_model(path: Path) -> tuple[str, tuple[Path, ...]]:
    """What kind of head model a path is, and all the files that it consists of.

    Raises:
        ViewfinderError: it is none that we can read.
    """
    from render.basel import EXPRESSION_FILES
    from render.open_heads import ICT_NEUTRAL, ict_files

    try:
        if (path / ICT_NEUTRAL).is_file():
            path = path / ICT_NEUTRAL
        if not path.is_file():
            raise ViewfinderError("there is no such file", file=path, field="--face-model")
        if path.stat().st_size > MOST_BYTES:
            raise ViewfinderError(
                "larger than any head model", file=path, field="--face-model",
                expected=f"up to {MOST_BYTES >> 30} GiB", found=path.stat().st_size,
            )  # fmt: skip
        with path.open("rb") as file:
            start = file.read(len(_MAT5))
    except OSError as error:
        raise ViewfinderError(
            "can't be read", file=path, field="--face-model", found=error.strerror
        ) from error
    if path.name == ICT_NEUTRAL:
        return "ict", ict_files(path)
    if start.startswith(_ZIP):
        return "gnm", (path,)
    if start.startswith(_HDF5):
        return "h5", (path,)
    if start == _MAT5:
        beside = [path.parent / name for name in EXPRESSION_FILES]
        return "mat", (path, *(file for file in beside if file.is_file()))
    raise ViewfinderError(
        "no head model", file=path, field="--face-model",
        expected="Basel 2009 (.mat), 2017 and 2019 (.h5), an ICT-FaceKit folder or GNM (.npz)",
        found="an empty file" if not start else repr(start[:8]),
    )  # fmt: skip


def model_sha256(files: tuple[Path, ...]) -> str:
    """SHA-256 over the names and contents of a model's files."""
    whole = hashlib.sha256()
    for path in files:
        with path.open("rb") as file:
            whole.update(hashlib.file_digest(file, "sha256").digest())
    return whole.hexdigest()


@lru_cache(maxsize=1)
def load_model(path: Path) -> tuple[MorphableModel, str]:
    """The model and the SHA-256 of its files, converted first where the cache has it not.

    Raises:
        ViewfinderError: the file isn't a head model, or the cache can't be written.
    """
    kind, files = find_model(path)
    sha256 = model_sha256(files)
    folder = cache_folder()
    for cached in sorted(folder.glob(f"head-{sha256[:24]}-{FORMAT}-*.npz")):
        data = cached.read_bytes()
        if hashlib.sha256(data).hexdigest()[:16] == cached.stem.rsplit("-", 1)[1]:
            return decode(data), sha256
        cached.unlink(missing_ok=True)  # damaged: converted again below
    partial = folder / f".head-{os.getpid()}.partial"
    try:
        _convert(kind, path, partial)
        data = partial.read_bytes()
        model = decode(data)
        name = f"head-{sha256[:24]}-{FORMAT}-{hashlib.sha256(data).hexdigest()[:16]}.npz"
        partial.replace(folder / name)
    finally:
        partial.unlink(missing_ok=True)
    return model, sha256


def _convert(kind: str, path: Path, out: Path) -> None:
    command = [sys.executable, "-m", "render.morphable_files", kind, str(path.resolve()), str(out)]
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
    environment["PYTHONPATH"] = os.pathsep.join(p for p in sys.path if p)
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            timeout=SECONDS,
            stdin=subprocess.DEVNULL,
            env=environment,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise ViewfinderError(
            "converting this head model took too long", file=path, field="--face-model",
            expected=f"up to {SECONDS:g} s",
        ) from error  # fmt: skip
    if done.returncode == 0 and out.is_file():
        return
    try:
        problem = json.loads(done.stdout)
        problem["file"] = problem["file"] or str(path)
    except (ValueError, KeyError, TypeError):
        code = done.returncode
        raise ViewfinderError(
            "this head model brought its reader down", file=path, field="--face-model",
            found=f"signal {-code}" if code < 0 else f"exit code {code}",
        ) from None  # fmt: skip
    raise ViewfinderError(**problem)


def _main(kind: str, path: Path, out: Path) -> int:
    """The child: reads, checks, writes; says on standard output what is wrong."""
    _limit_resources()
    from render.basel import read_2009, read_h5
    from render.morphable_build import built
    from render.open_heads import ICT_NEUTRAL, read_gnm, read_ict

    readers = {"mat": read_2009, "h5": read_h5, "ict": read_ict, "gnm": read_gnm}
    path = path / ICT_NEUTRAL if path.is_dir() else path
    try:
        out.write_bytes(encode(built(readers[kind](path))))
    except ViewfinderError as error:
        _say(error)
        return 1
    except MemoryError:
        _say(ViewfinderError("takes more memory than any head model"))
        return 1
    except Exception as error:  # whatever it is, in this process it is the file's fault
        _say(ViewfinderError("can't be read", found=f"{type(error).__name__}: {error}"[:200]))
        return 1
    return 0


def _say(error: ViewfinderError) -> None:
    facts = {k: getattr(error, k) for k in "problem file field expected found hint".split()}
    sys.stdout.write(json.dumps(facts, default=str))


def _limit_resources() -> None:
    with contextlib.suppress(ImportError, ValueError, OSError):
        import resource

        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_CPU, (int(SECONDS), int(SECONDS) + 5))
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))


if __name__ == "__main__":
    sys.exit(_main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])))
