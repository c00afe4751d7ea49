from __future__ import annotations

import os
import pwd
import shutil
import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from sqlalchemy.ext.asyncio import create_async_engine


def _programs() -> Path | None:
    """Where PostgreSQL's server programs are, on this machine."""
    on_path = shutil.which("pg_ctl")
    found = [Path(on_path).parent] if on_path else sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    return found[-1] if found else None


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """The URL of a PostgreSQL server of our own, on a socket in a folder of its own."""
    programs = _programs()
    if programs is None:
        pytest.skip("PostgreSQL is not installed")
    with TemporaryDirectory(prefix="kronk-") as name:  # short: a socket's path may not be long
        folder = Path(name)
        user = _user()
        if user is not None:
            shutil.chown(folder, user.pw_name, user.pw_gid)

        def run(program: str, *arguments: str) -> None:
            with (folder / "log").open("ab") as log:  # no pipe: the server keeps what it inherits
                subprocess.run(
                    [programs / program, "-D", folder / "data", *arguments],
                    cwd=folder,
                    user=None if user is None else user.pw_uid,
                    group=None if user is None else user.pw_gid,
                    extra_groups=None if user is None else [],
                    env={"PATH": os.environ["PATH"], "LC_ALL": "C"},
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    check=True,
                )

        run("initdb", "-U", "kronk", "-A", "trust", "-E", "UTF8", "--no-sync")
        run("pg_ctl", "start", "-w", "-o", f"-c listen_addresses='' -c fsync=off -k {folder}")
        try:
            yield f"postgresql://kronk@/postgres?host={folder}"
        finally:
            run("pg_ctl", "stop", "-w", "-m", "immediate")


def _user() -> pwd.struct_passwd | None:
    """Whom to run it as: root may not."""
    if os.geteuid() != 0:
        return None
    known = {entry.pw_name: entry for entry in pwd.getpwall()}
    return known.get("postgres") or known["nobody"]


@pytest.fixture(params=["sqlite", "memory", "postgres"])
async def url(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[str]:
    """An empty database, of every kind."""
    match request.param:
        case "sqlite":
            yield f"sqlite:///{tmp_path / 'sessions.db'}"
        case "memory":
            yield "sqlite://"
        case _:
            server: str = request.getfixturevalue("postgres")
            yield server
            engine = create_async_engine(server.replace("postgresql", "postgresql+asyncpg", 1))
            async with engine.begin() as connection:
                await connection.exec_driver_sql("DROP SCHEMA public CASCADE")
                await connection.exec_driver_sql("CREATE SCHEMA public")
            await engine.dispose()
