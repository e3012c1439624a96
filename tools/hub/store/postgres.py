"""A PostgreSQL server of one's own for tests and measurements: in a temporary folder, on a Unix socket, gone with who made it."""

import contextlib
import os
import pwd
import re
import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from sqlalchemy import NullPool, create_engine
from sqlalchemy.exc import OperationalError

from tools.hub.process import ProcessError
from tools.hub.store.database import driver_of

_START_SECONDS = 30.0
_NAME = re.compile(r"[a-z][a-z0-9_]{0,60}")
# the server and its folder go with whoever holds our end of its standard input, however that ends; SIGINT: without waiting for clients
_KEEPER = '"$@" </dev/null & server=$!; cat >/dev/null; kill -INT $server; wait $server; rm -rf "$PWD"'


def find_postgres() -> Path | None:
    """The folder of initdb and postgres, also where Debian and Homebrew put it; the newest where there are several."""
    on_path = shutil.which("initdb")
    if on_path is not None and shutil.which("postgres", path=str(Path(on_path).resolve().parent)):
        return Path(on_path).resolve().parent
    places = [*Path("/usr/lib/postgresql").glob("*/bin"), *Path("/opt/homebrew/opt").glob("postgresql@*/bin")]
    found = [place for place in places if (place / "initdb").exists() and (place / "postgres").exists()]
    return max(found, key=lambda place: [int(number) for number in re.findall(r"\d+", str(place))], default=None)


class PostgresProcess:
    """One cluster. `with PostgresProcess() as server: url = server.create("name")`.

    `durable` False leaves out everything that only matters when the machine fails, so it is fast and a test may use it.
    """

    def __init__(self, *, durable: bool = False) -> None:
        self._durable = durable
        self._folder: Path | None = None
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> Self:
        """Make the cluster and start it. Raises ProcessError when that is not possible here."""
        programs = find_postgres()
        if programs is None:
            raise ProcessError("PostgreSQL is not installed: apt install postgresql")
        self._folder = folder = Path(tempfile.mkdtemp(prefix="redpoll-postgres-"))
        user = _user()
        if user is not None:
            os.chown(folder, user.pw_uid, user.pw_gid)
        try:
            self._make(programs, folder, user)
            self._serve(programs, folder, user)
        except BaseException:
            self.stop()
            raise
        return self

    @property
    def server_pid(self) -> int:
        """Of the postmaster."""
        assert self._folder is not None
        return int((self._folder / "data" / "postmaster.pid").read_text().split()[0])

    def url(self, name: str = "postgres") -> str:
        """The SQLAlchemy URL of one of its databases."""
        return f"postgresql://redpoll@/{name}?host={self._folder}"

    def create(self, name: str) -> str:
        """A new, empty database; returns its URL."""
        if not _NAME.fullmatch(name):
            raise ValueError(f"{name!r} is no name for a database: lower-case letters, digits and _")
        engine = create_engine(driver_of(self.url()), poolclass=NullPool, isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            connection.exec_driver_sql(f"CREATE DATABASE {name}")
        return self.url(name)

    def stop(self) -> None:
        """End it and remove all that it has stored."""
        process, self._process = self._process, None
        if process is not None:
            assert process.stdin is not None
            process.stdin.close()
            try:
                process.wait(_START_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()

    def _make(self, programs: Path, folder: Path, user: pwd.struct_passwd | None) -> None:
        command = [str(programs / "initdb"), "--pgdata", str(folder / "data"), "--username", "redpoll", "--auth", "trust"]
        command += ["--encoding", "UTF8", "--locale", "C", "--no-sync", "--no-instructions"]
        try:
            made = subprocess.run(command, capture_output=True, text=True, cwd=folder, check=False, user=_uid(user), group=_gid(user))
        except OSError as error:
            raise ProcessError(f"initdb cannot be run as {user.pw_name if user else 'this user'}: {error}") from error
        if made.returncode:
            raise ProcessError(f"initdb failed:\n{made.stdout}{made.stderr}")

    def _serve(self, programs: Path, folder: Path, user: pwd.struct_passwd | None) -> None:
        settings = ["listen_addresses=", f"unix_socket_directories={folder}", "max_connections=100", "shared_buffers=64MB"]
        if not self._durable:
            settings += ["fsync=off", "synchronous_commit=off", "full_page_writes=off"]
        command = ["sh", "-c", _KEEPER, "sh", str(programs / "postgres"), "-D", str(folder / "data")]
        for setting in settings:
            command += ["-c", setting]
        with (folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=log, stderr=log, cwd=folder, start_new_session=True,
                user=_uid(user), group=_gid(user),
            )  # fmt: skip
        engine = create_engine(driver_of(self.url()), poolclass=NullPool)
        deadline = time.monotonic() + _START_SECONDS
        while True:
            with contextlib.suppress(OperationalError), engine.connect():
                return
            if time.monotonic() > deadline or self._process.poll() is not None:
                raise ProcessError(f"PostgreSQL did not start:\n{(folder / 'log').read_text(errors='replace')}")
            time.sleep(0.05)


def _user() -> pwd.struct_passwd | None:
    """Who the server runs as, when we are root, whom it refuses."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            return pwd.getpwnam(name)
    raise ProcessError("PostgreSQL does not run as root, and there is no user postgres or nobody")


def _uid(user: pwd.struct_passwd | None) -> int | None:
    return None if user is None else user.pw_uid


def _gid(user: pwd.struct_passwd | None) -> int | None:
    return None if user is None else user.pw_gid
