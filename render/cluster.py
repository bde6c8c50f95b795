"""Shards of a render job sent to a Dask cluster, and committed here as they come back.

A Dask worker renders shards one at a time in its own process and sends samples and labels back, so
machines need no common disk, except for files that the settings name (`--hdris`). A worker that
dies loses the shard it was at, which Dask gives to another. The bytes are those of a local run.

Dask moves Python objects with pickle: a cluster is as trusted as the user's own account.
"""

from __future__ import annotations

import re
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bootstrap.dataset import Label, Sample
from render.job import Job, Renderer, cores, rendered_shard
from runtime.errors import ViewfinderError, missing_extra

if TYPE_CHECKING:
    from distributed import Client

CONNECT_SECONDS = 10
SHARDS_AHEAD = 2
"""Shards given out for each worker at a time: enough to keep it busy, few to hold in memory."""

Rendered = tuple[int, list[Sample], list[Label]]

# On a worker: one renderer a process, kept from shard to shard.
_lock = threading.Lock()
_renderers: dict[bytes, Renderer] = {}


def rendered_on_cluster(address: str, job: Job, shards: list[int]) -> Iterator[Rendered]:
    """Shards as they are done, in any order.

    Args:
        address: of a Dask scheduler, as "tcp://10.0.0.5:8786".
        job: what to render; its folder is not touched.
        shards: which.

    Raises:
        ViewfinderError: no scheduler or worker there, other versions on a worker, or a shard that
            failed.
    """
    client = _connected(address)
    try:
        threads = _threads_of_workers(client, job)
        remote = replace(job, out=Path(job.out.name))  # nobody else's business where it lies
        waiting = list(reversed(shards))
        from distributed import as_completed

        first = [waiting.pop() for _ in range(min(len(waiting), SHARDS_AHEAD * len(threads)))]
        send = _sender(client, remote, threads)
        running = as_completed([send(shard) for shard in first], loop=client.loop)
        for future in running:
            result = _result(future)
            if waiting:
                running.add(send(waiting.pop()))
            yield result
            future.release()
    finally:
        client.close()


def _sender(client: Client, job: Job, threads: Mapping[str, int]) -> Callable[[int], Any]:
    def send(shard: int) -> Any:
        # pure=False: the same shard of another job is another task.
        return client.submit(_render, job, shard, dict(threads), pure=False, retries=2)

    return send


def _render(job: Job, shard: int, threads: Mapping[str, int]) -> Rendered:
    """Runs on a worker."""
    import pickle

    import cv2
    from distributed import get_worker

    cv2.setNumThreads(1)
    with _lock:  # a worker with several threads still renders one shard at a time
        key = pickle.dumps(job.make_renderer)
        if key not in _renderers:
            for old in _renderers.values():
                old.close()
            _renderers.clear()
            _renderers[key] = job.make_renderer(threads.get(get_worker().address, 1))
        samples, labels = rendered_shard(_renderers[key], job, shard)
    return shard, samples, labels


def _connected(address: str) -> Client:
    if not re.fullmatch(r"[a-z]+://[^/\s]+:\d+/?", address):
        raise ViewfinderError(
            "not a Dask scheduler's address", field="--cluster", expected="tcp://HOST:PORT",
            found=address,
        )  # fmt: skip
    try:
        from distributed import Client
    except ModuleNotFoundError as error:
        raise missing_extra("cluster", "distributed") from error
    try:
        client = Client(address, timeout=CONNECT_SECONDS, set_as_default=False)
    except (OSError, ValueError) as error:
        raise ViewfinderError(
            "no Dask scheduler answers there", field="--cluster", found=address,
            hint="start one with: dask scheduler",
        ) from error  # fmt: skip
    if not client.scheduler_info(n_workers=-1)["workers"]:
        client.close()
        raise ViewfinderError(
            "this Dask cluster has no workers", field="--cluster", found=address,
            hint="start them, one a machine or core, with: dask worker " + address,
        )  # fmt: skip
    return client


def _threads_of_workers(client: Client, job: Job) -> dict[str, int]:
    """Worker -> threads for Cycles: those of one machine share its cores.

    Raises:
        ViewfinderError: a worker's packages aren't those that the data set's bytes depend on.
    """
    facts = client.run(_worker_facts, tuple(job.info.tool_versions))
    wanted = dict(job.info.tool_versions)
    for worker, (_, _, versions) in facts.items():
        for package, version in wanted.items():
            if versions[package] != version:
                raise ViewfinderError(
                    f"a worker of the cluster has another {package}", field=worker,
                    expected=version, found=versions[package] or "none",
                )  # fmt: skip
    crowd = Counter(host for host, _, _ in facts.values())
    return {worker: max(1, count // crowd[host]) for worker, (host, count, _) in facts.items()}


def _worker_facts(packages: tuple[str, ...]) -> tuple[str, int, dict[str, str]]:
    import socket

    def version(package: str) -> str:
        try:
            return metadata.version(package)
        except metadata.PackageNotFoundError:
            return ""

    return socket.gethostname(), cores(), {package: version(package) for package in packages}


def _result(future: Any) -> Rendered:
    from distributed.scheduler import KilledWorker

    try:
        return future.result()
    except KilledWorker as error:
        raise ViewfinderError(
            "workers of the cluster die of a shard", found=str(error).split("\n")[0],
            hint="whole shards are kept; look into the workers' logs",
        ) from error  # fmt: skip
