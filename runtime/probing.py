"""This process's side of `runtime.probe`: one worker, started when the first model is tried."""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import runtime
from runtime.errors import ViewfinderError

# What the worker may need beyond a model's own time: its start, and a machine that is busy.
_GRACE_SECONDS = 30.0


class ProbeWorker:
    """Tries models in child processes, one after the other; may be used from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        atexit.register(self.close)

    def report(
        self, data: bytes, seconds: float, threads: int = 1, delegate: str = ""
    ) -> dict[str, object]:
        """What `runtime.probe` says of a model.

        Args:
            data: the .tflite file's content.
            seconds: its time limit.
            threads, delegate: as for `runtime.backends.open_model`.

        Returns:
            The report; one that holds "death" where the worker itself died of the model.

        Raises:
            ViewfinderError: no child process can be started.
        """
        header = {
            "bytes": len(data), "seconds": seconds, "threads": threads, "delegate": delegate
        }  # fmt: skip
        request = json.dumps(header).encode() + b"\n" + data
        with self._lock:
            # An idle worker ends by itself, maybe right now: then a new one gets the request.
            for _ in range(2):
                process = self._started()
                answer = self._ask(process, request, seconds)
                if answer is not None:
                    return answer
                self.close()
            return {"death": process.returncode}

    def close(self) -> None:
        """End the worker; the next request starts another."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()
            for stream in (process.stdin, process.stdout):
                with contextlib.suppress(OSError):  # what it hadn't read is lost with it
                    assert stream is not None
                    stream.close()

    def _ask(
        self, process: subprocess.Popen[bytes], request: bytes, seconds: float
    ) -> dict[str, object] | None:
        assert process.stdin is not None
        assert process.stdout is not None
        timer = threading.Timer(seconds + _GRACE_SECONDS, process.kill)
        timer.daemon = True
        timer.start()
        try:
            process.stdin.write(request)
            process.stdin.flush()
            return json.loads(process.stdout.readline())
        except (OSError, ValueError):
            return None
        finally:
            timer.cancel()

    def _started(self) -> subprocess.Popen[bytes]:
        if self._process is not None and self._process.poll() is None:
            return self._process
        self.close()
        source = str(Path(runtime.__file__).parent.parent)
        paths = [source, *filter(None, [os.environ.get("PYTHONPATH")])]
        one_thread = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
        try:
            self._process = subprocess.Popen(
                [
                    sys.executable,
                    "-P",
                    "-m",
                    "runtime.probe",
                ],  # -P: the user's folder holds no code
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env={**os.environ, "PYTHONPATH": os.pathsep.join(paths), **one_thread},
            )
        except OSError as error:
            raise ViewfinderError(
                "can't start the process in which unknown models are tried", found=error.strerror
            ) from error
        return self._process
