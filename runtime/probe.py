"""The child processes in which unknown models are tried: `python -m runtime.probe`.

A worker loads LiteRT once and then forks a process for every model it is sent, so that each is
tried in a fresh one and a crash or a hang kills that one and no other. Where there is no fork the
worker tries one model itself and ends.

A request on standard input is a line of JSON, {"bytes", "seconds", "threads", "delegate"}, and the
model's bytes. The answer on standard output is a line of JSON: {"inputs", "outputs"} as
[name, shape, dtype], or {"error"} where LiteRT refuses the model in so many words, {"death"} with
the signal or exit status, or {"slow": true}.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from runtime.backends import XNNPACK, open_model
from runtime.errors import ViewfinderError
from runtime.model import Model, TensorInfo

# A model may take this much beyond what the worker itself has mapped; MediaPipe's largest takes a
# tenth of it.
MEMORY_BYTES = 2 * 2**30
IDLE_SECONDS = 20.0
_MAX_REPORT_BYTES = 2**20


def main() -> None:
    """Answer requests until standard input ends or none has come for a while."""
    requests = os.fdopen(os.dup(0), "rb", buffering=0)
    answers = os.fdopen(os.dup(1), "wb", buffering=0)
    silent = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):  # a model's prints must not be taken for answers
        os.dup2(silent, descriptor)
    _load_litert()
    forks = hasattr(os, "fork")
    while not forks or select.select([requests], [], [], IDLE_SECONDS)[0]:
        line = requests.readline()
        if not line:
            return
        request = json.loads(line)
        data = _exactly(requests, request["bytes"])
        if forks:
            report = _report_of_fork(data, request)
        else:
            report = tried(data, request["threads"], request["delegate"])
        answers.write(json.dumps(report).encode() + b"\n")
        if not forks:
            return


def tried(data: bytes, threads: int, delegate: str) -> dict[str, object]:
    """Load a model and run it on zeros and on noise; the tensors, or why LiteRT refused it."""
    try:
        model = open_model(data, "model", threads, delegate)
        for index, arrays in enumerate(_trials(model.inputs)):
            for place, array in enumerate(arrays):
                model.set_input(place, array)
            # Only the first two are such as a solution gives: those have to go well. What comes of
            # the wild ones doesn't matter as long as the process lives.
            with contextlib.nullcontext() if index < 2 else contextlib.suppress(ViewfinderError):
                model.run()
            for place in range(len(model.outputs)):
                model.output(place)
    except ViewfinderError as error:
        return {"error": str(error.found or error.problem)[:300]}
    except Exception as error:  # whatever it is, in this process it is the model's fault
        return {"error": f"{type(error).__name__}: {error}".split("\n")[0][:300]}
    return {
        "inputs": [[info.name, info.shape, info.dtype] for info in model.inputs],
        "outputs": [[info.name, info.shape, info.dtype] for info in model.outputs],
    }


def _trials(inputs: tuple[TensorInfo, ...]) -> Iterator[list[NDArray]]:
    """Zeros, a picture's noise, then numbers far outside every range and those that are none."""
    rng = np.random.default_rng(0)
    yield [np.zeros(info.shape, info.dtype) for info in inputs]
    yield [_noise(info, rng, 1.0) for info in inputs]
    yield [_noise(info, rng, 1e9) for info in inputs]
    yield [_noise(info, rng, np.nan) for info in inputs]


def _noise(info: TensorInfo, rng: np.random.Generator, scale: float) -> NDArray:
    dtype = np.dtype(info.dtype)
    if dtype.kind == "f":
        noise = rng.random(info.shape, dtype=np.float32)
        return ((2 * noise - 1) * scale if scale != 1 else noise).astype(dtype)
    if dtype.kind in "iu" and scale != 1:
        limits = np.iinfo(dtype)
        return rng.integers(limits.min, limits.max, info.shape, dtype, endpoint=True)
    return rng.integers(0, 2, info.shape).astype(dtype)


def _report_of_fork(data: bytes, request: dict[str, Any]) -> dict[str, object]:
    deadline = time.monotonic() + request["seconds"]
    heard, said = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(heard)
        _limit_resources(request)
        with os.fdopen(said, "wb") as pipe:
            report = tried(data, request["threads"], request["delegate"])
            pipe.write(json.dumps(report).encode())
        # Neither destructors nor the parent's exit handlers: the answer is given.
        os._exit(0)
    os.close(said)
    with os.fdopen(heard, "rb", buffering=0) as pipe:
        answer = _until(pipe, deadline)
    if answer is None:
        os.kill(child, signal.SIGKILL)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if answer is None:
        return {"slow": True}
    try:
        return json.loads(answer)
    except ValueError:
        return {"slow": True} if status == -signal.SIGXCPU else {"death": status}


def _until(pipe: BinaryIO, deadline: float) -> bytes | None:
    """What comes through the pipe before it is closed, or None when time is up."""
    report = b""
    while select.select([pipe], [], [], max(0.0, deadline - time.monotonic()))[0]:
        part = pipe.read(2**16)
        report += part
        if not part or len(report) > _MAX_REPORT_BYTES:
            return report
    return None


def _load_litert() -> None:
    with contextlib.suppress(ViewfinderError):
        Model.from_bytes(b"", "nothing")


def _exactly(stream: BinaryIO, count: int) -> bytes:
    data = bytearray()
    while len(data) < count:
        part = stream.read(count - len(data))
        if not part:
            raise SystemExit(1)
        data += part
    return bytes(data)


def _limit_resources(request: dict[str, Any]) -> None:
    with contextlib.suppress(ImportError, ValueError, OSError):
        import resource

        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        limit = (
            int(request["seconds"]) + 60
        )  # beyond the deadline: a last line should the worker die, too
        resource.setrlimit(resource.RLIMIT_CPU, (limit, limit))
        if request["delegate"] not in ("", XNNPACK):
            return  # drivers and OpenVINO map far more than they use
        sizes = Path("/proc/self/statm").read_text("ascii")  # Linux; elsewhere no limit holds
        mapped = int(sizes.split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (mapped + MEMORY_BYTES, mapped + MEMORY_BYTES))


if __name__ == "__main__":
    main()
