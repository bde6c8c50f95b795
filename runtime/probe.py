"""The child process in which an unknown model is tried: `python -m runtime.probe < model.tflite`.

It loads the model and runs it once on zeros. It prints one line of JSON: the tensors, or an error.
A crash or a hang kills this process and no other.
"""

from __future__ import annotations

import contextlib
import json
import sys

MEMORY_BYTES = 8 * 2**30
CPU_SECONDS = 60


def _limit_resources() -> None:
    with contextlib.suppress(ImportError, ValueError, OSError):  # no resource module on Windows
        import resource

        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS))
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))


def main() -> None:
    """Probe the model on standard input."""
    _limit_resources()
    from runtime.errors import ViewfinderError
    from runtime.model import Model

    report: dict[str, object]
    try:
        model = Model.from_bytes(sys.stdin.buffer.read(), "model")
        model.fill_zeros()
        model.run()
        report = {
            "inputs": [[info.name, info.shape, info.dtype] for info in model.inputs],
            "outputs": [[info.name, info.shape, info.dtype] for info in model.outputs],
        }
    except ViewfinderError as error:
        report = {"error": error.found or error.problem}
    except (RuntimeError, ValueError, TypeError, MemoryError) as error:
        report = {"error": f"{type(error).__name__}: {error}".split("\n")[0]}
    sys.stdout.write(json.dumps(report) + "\n")


if __name__ == "__main__":
    main()
