"""A real PostgreSQL server of the tests' own, in a folder of its own."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
from pathlib import Path

import pytest


class Postgres:
    """A server that can be stopped and started.

    Args:
        root: an empty folder for its data; short, as a socket's path must be.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._bin = _programs()
        self._user = _user()
        if self._user is not None:
            shutil.chown(root, self._user)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self._run(
            "initdb", "-D", str(root / "data"), "-U", "team", "-A", "trust", "-E", "UTF8", "-N"
        )
        self.start()

    @property
    def url(self) -> str:
        """Of its first database."""
        return f"postgresql://team@127.0.0.1:{self.port}/postgres"

    def schema(self, name: str) -> str:
        """The URL of a schema, made anew."""
        self.sql(f"CREATE SCHEMA {name}")
        return f"{self.url}?options=-csearch_path%3D{name}"

    def sql(self, statement: str) -> None:
        """Run a statement as the server's owner."""
        import psycopg

        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute(statement.encode())

    def start(self) -> None:
        """Start it and wait until it answers."""
        options = f"-p {self.port} -k {self.root} -c listen_addresses=127.0.0.1"
        log = str(self.root / "log")
        data = str(self.root / "data")
        self._run("pg_ctl", "-D", data, "-o", options, "-l", log, "-w", "start")

    def stop(self, how: str = "immediate") -> None:
        """Stop it; `immediate` is as if it crashed."""
        self._run("pg_ctl", "-D", str(self.root / "data"), "-m", how, "-w", "stop")

    def _run(self, program: str, *arguments: str) -> str:
        done = subprocess.run(
            [str(self._bin / program), *arguments],
            stdout=subprocess.PIPE if program != "pg_ctl" else subprocess.DEVNULL,
            stderr=subprocess.PIPE if program != "pg_ctl" else subprocess.DEVNULL,
            text=True,
            cwd=self.root,
            user=self._user,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, f"{program}: {done.stderr}"
        return (done.stdout or "").strip()


def _programs() -> Path:
    found = [*sorted(Path("/usr/lib/postgresql").glob("*/bin")), *_on_path()]
    for folder in reversed(found):
        if (folder / "initdb").exists():
            return folder
    pytest.skip("no PostgreSQL server is installed (apt-get install postgresql)")


def _on_path() -> list[Path]:
    program = shutil.which("initdb")
    return [Path(program).resolve().parent] if program else []


def _user() -> str | None:
    """Who runs it: PostgreSQL refuses root."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name).pw_name
        except KeyError:
            continue
    pytest.skip("PostgreSQL doesn't run as root, and there is no other user")
