"""A PostgreSQL and a Mosquitto of the tests' own, where they are installed."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from hushmeter.cluster.service.broker import OwnBroker, find_mosquitto, free_port

UNPRIVILEGED = "nobody"


def _postgres_programs() -> Path | None:
    """The folder of initdb and postgres, which Debian keeps off the path; the newest version."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda p: p.parts[-3])
    beside = shutil.which("initdb")
    return found[-1].parent if found else Path(beside).parent if beside else None


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """The address of a server in a temporary folder; it is not run by root, as it refuses to be."""
    pytest.importorskip("psycopg", reason="psycopg is not installed")
    programs = _postgres_programs()
    if programs is None:
        pytest.skip("PostgreSQL is not installed (apt install postgresql)")
    user = UNPRIVILEGED if os.geteuid() == 0 else None
    folder = tempfile.mkdtemp(prefix="hush-pg-", dir="/tmp")
    port = free_port()
    try:
        if user is not None:
            shutil.chown(folder, user)
        data = f"{folder}/data"
        initdb = [str(programs / "initdb"), "-D", data, "-U", "hush", "-A", "trust", "--no-sync"]
        subprocess.run(initdb, user=user, cwd=folder, check=True, capture_output=True)
        server = subprocess.Popen(
            [str(programs / "postgres"), "-D", data, "-h", "127.0.0.1", "-p", str(port)]
            + ["-k", folder, "-F", "-c", "shared_buffers=16MB"],
            user=user,
            cwd=folder,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            url = f"postgresql://hush@127.0.0.1:{port}/postgres"
            _wait_for(url)
            yield url
        finally:
            # Fast shutdown: without waiting for clients to leave.
            server.send_signal(signal.SIGINT)
            server.wait(20)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _wait_for(url: str) -> None:
    import psycopg

    until_s = time.monotonic() + 30
    while True:
        try:
            psycopg.connect(url, connect_timeout=2).close()
        except psycopg.OperationalError:
            if time.monotonic() > until_s:
                raise
            time.sleep(0.1)
        else:
            return


@pytest.fixture(params=["sqlite", "postgresql"])
def store_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """An empty store of each kind."""
    if request.param == "sqlite":
        yield f"sqlite://{tmp_path}/store"
        return
    import psycopg

    url: str = request.getfixturevalue("postgres_url")
    with psycopg.connect(url, autocommit=True) as db:
        db.execute("DROP SCHEMA public CASCADE")
        db.execute("CREATE SCHEMA public")
    yield url


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[OwnBroker]:
    """A Mosquitto on a free port, with a folder of its own."""
    if find_mosquitto() is None:
        pytest.skip("Mosquitto is not installed (apt install mosquitto)")
    folder = tmp_path / "broker"
    folder.mkdir()
    own = OwnBroker(folder)
    yield own
    own.stop()
