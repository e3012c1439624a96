"""`redpoll deploy`: the product onto the board on a serial port, again and again with --watch."""

import argparse
import contextlib
import os
import time
from collections.abc import Iterator
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bar
from rich.text import Text

from tools.board.profile import ProfileError
from tools.bundle import contents
from tools.bundle.archive import BundleError
from tools.deploy import deploy, ports, product, provision
from tools.deploy.connection import VIA, Connection, connect
from tools.deploy.deploy import Plan
from tools.deploy.errors import DeployError, Status
from tools.deploy.product import Product
from tools.deploy.remote import RemoteBoard
from tools.failures import told
from tools.mpy import CompileError
from tools.paths import BOARDS, FIRMWARE, is_hidden

SETTINGS = "/settings.json"
_LOOK_SECONDS = 0.5  # between two looks for a changed file


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `redpoll deploy`."""
    add_port(parser)
    parser.add_argument("folder", type=Path, nargs="?", default=FIRMWARE, help="the product's, with main.py (default: firmware)")
    parser.add_argument("--board", metavar="NAME", help="what the board is, see `redpoll boards` (default: what its chip says)")
    parser.add_argument("--version", help="of the product, such as 1.2.0 (default: that of its Agent(version=...), else the firmware's)")
    parser.add_argument(
        "--trial",
        action="store_true",
        help="the board goes back by itself unless a message reaches its cloud within three starts, as after an update over the air",
    )
    parser.add_argument("--force", action="store_true", help="also while the board is trying an update out: that is given up")
    parser.add_argument("--sources", action="store_true", help=".py instead of bytecode, for a MicroPython with another bytecode")
    parser.add_argument("--frozen-agent", action="store_true", help="leave out what a firmware made with boards/<name>/manifest.py has")
    parser.add_argument("--dry-run", action="store_true", help="only say what would be done; the board's program is restarted all the same")
    parser.add_argument("--watch", action="store_true", help="show the board's console, and deploy again whenever a file is saved")
    parser.add_argument("--timeout", type=float, default=30, metavar="SECONDS", help="for the agent's first line (default 30)")
    parser.add_argument("--no-wait", action="store_true", help="do not wait for the agent's first line")


def add_port(parser: argparse.ArgumentParser) -> None:
    """--port and --via, the same in each command that talks to a board."""
    parser.add_argument("--port", help="the board's serial port, such as /dev/ttyUSB0 (default: the only board there is)")
    parser.add_argument("--via", choices=VIA, default=VIA[0], help="ampy: slower, for bridges on which mpremote fails")


def run(args: argparse.Namespace) -> int:
    """0; else tools.deploy.errors.Status says what went wrong, and the text what to do."""
    console = Console(highlight=False, soft_wrap=True)
    errors = Console(stderr=True, highlight=False, soft_wrap=True)
    try:
        if not args.watch:  # which waits for a folder to become a product
            contents.check_folder(args.folder)  # before a board's program is interrupted for it
        with session(args.port, args.via) as connection:
            while True:
                began = time.monotonic()
                stamp = _stamp(args.folder)
                try:
                    _once(connection, args, console)
                    console.print(f"done in {time.monotonic() - began:.1f} s")
                except (CompileError, BundleError, DeployError, OSError) as error:
                    if not args.watch or (isinstance(error, DeployError) and error.status in (Status.CUT, Status.NO_PORT)):
                        raise
                    errors.print(Text(told(error), style="red"))
                    _leave_running(connection, error)
                if not args.watch:
                    return Status.OK
                console.print("waiting for a file to be saved; Ctrl-C ends it")
                _show_until_saved(connection, args.folder, stamp)
    except DeployError as error:
        errors.print(Text(str(error), style="red"))
        return error.status
    except (CompileError, BundleError, ProfileError, OSError) as error:
        errors.print(Text(told(error), style="red"))
        return Status.REFUSED
    except KeyboardInterrupt:
        if not args.watch:  # there it is the usual end
            errors.print("interrupted; the board was restarted: with the new product if all of it had been sent, else with what it had")
        raise


@contextlib.contextmanager
def session(port: str | None, via: str) -> Iterator[Connection]:
    """A connection that leaves the board running: when what is done with it fails, the board is restarted. Raises DeployError."""
    connection = connect(ports.usable(port), via)
    try:
        yield connection
    except BaseException as error:
        _leave_running(connection, error)
        raise
    finally:
        connection.close()


def _leave_running(connection: Connection, error: BaseException) -> None:
    # one that cannot be reached does it by itself, when nobody feeds its watchdog, which it has from the first code that was run there
    if isinstance(error, DeployError) and error.status is Status.NO_MICROPYTHON:
        connection.let_go()
    elif not isinstance(error, DeployError) or error.status not in (Status.CUT, Status.NO_MICROPYTHON, Status.SILENT):
        with contextlib.suppress(DeployError):
            connection.enter(fresh=False)
            connection.reset()


def _once(connection: Connection, args: argparse.Namespace, console: Console) -> None:
    board = RemoteBoard(connection)
    board.begin(fresh=False)  # a soft reset would cost a trial that is under way one of its starts
    about = board.about()
    profile = product.profile_of(about, args.board)
    product.check(about, profile, sources=args.sources)
    if args.frozen_agent and not _has_frozen_agent(board):
        raise DeployError("the firmware on this board has no frozen agent: leave --frozen-agent out, or make one (boards/README.md)")
    console.print(f"{connection.port}: {about.machine or about.platform}, MicroPython {'.'.join(map(str, about.version))}", end="; ")
    console.print(f"{about.flash_free:,} bytes of flash free")
    if not args.frozen_agent and not _polls(board) and (lacking := product.lacks_memory(profile)):
        console.print(Text(f"warning: {lacking}", style="yellow"))
    made = board.while_fed(lambda: product.make(args.folder, profile, args.version, sources=args.sources, frozen=args.frozen_agent))
    deploy.no_trial(board, args.force, dry_run=args.dry_run)
    with _Shown(console) as progress:
        plan = deploy.put(board, made, trial=args.trial, dry_run=args.dry_run, progress=progress)
    _tell(console, plan, made, args)
    provisioned = board.exists(SETTINGS)
    board.restart()
    if args.dry_run:
        return
    if not provisioned:
        console.print(f"the board has no settings yet: redpoll provision --port {connection.port}")
    elif not args.no_wait:
        line = deploy.first_line(connection, args.timeout, lambda line: console.print(Text(f"  {line}", style="dim")))
        console.print(f"it runs: {line.partition('] ')[2]}")


def _polls(board: RemoteBoard) -> bool:
    with contextlib.suppress(DeployError):  # what is wrong with its settings the agent says
        settings = provision.read(board)
        return settings is not None and settings.values.get("transport") == "http"
    return False


def _tell(console: Console, plan: Plan, made: Product, args: argparse.Namespace) -> None:
    if plan.current:
        console.print(f"the board has just this already, in slot {'b' if plan.slot == 'a' else 'a'}: nothing to do but restart it")
        return
    counts = (
        f"{len(plan.sent)} files sent ({plan.sent_bytes(made):,} bytes), {len(plan.copied)} copied on the board, {len(plan.kept)} there"
    )
    if args.dry_run:
        for name, what in deploy.described(plan, made).items():
            console.print(f"  {name}: {what}")
        if plan.boot:
            console.print(f"  {deploy.BOOT}: replaced")
        console.print(f"would be: slot {plan.slot}: {counts}. Nothing was changed")
        return
    console.print(f"slot {plan.slot}: {counts}; version {made.version}{', on trial' if args.trial else ''}")


def _has_frozen_agent(board: RemoteBoard) -> bool:
    code = (
        "p=sys.path[:];sys.path[:]=['.frozen']\ntry:\n import redpoll.update.slots\n print(1)\nexcept ImportError:print(0)\nsys.path[:]=p"
    )
    return board.connection.run(code).strip() == "1"


class _Shown:
    """Stages as bars; where there is no terminal, one line each."""

    def __init__(self, console: Console) -> None:
        columns = TextColumn("  {task.description:22}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()
        self._bar = Bar(*columns, console=console, transient=True, disable=not console.is_terminal)
        self._task: TaskID | None = None

    def __enter__(self) -> "_Shown":
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def stage(self, text: str, total: int) -> None:
        if self._task is not None:
            self._bar.remove_task(self._task)
        self._task = self._bar.add_task(text, total=total)

    def done(self, n: int) -> None:
        if self._task is not None:
            self._bar.advance(self._task, n)


# ---- --watch


def _show_until_saved(connection: Connection, folder: Path, stamp: object) -> None:
    looked = time.monotonic()
    for line in connection.lines(float("inf")):
        if line.strip():
            print(line, flush=True)
        if time.monotonic() - looked >= _LOOK_SECONDS:
            looked = time.monotonic()
            if _stamp(folder) != stamp:
                return


def _stamp(folder: Path) -> object:
    """What changes when a file of the product, the firmware or a board is saved."""
    return {path: _saved(path) for one in {folder, FIRMWARE, BOARDS} for path in _files(one)}


def _saved(path: Path) -> int | None:
    try:
        return path.stat().st_mtime_ns
    except OSError:  # it has just gone, or is a link to nothing
        return None


def _files(folder: Path) -> Iterator[Path]:
    for name, folders, names in os.walk(folder):
        folders[:] = [one for one in folders if not is_hidden(Path(one))]
        yield from (Path(name, one) for one in names if not is_hidden(Path(one)))
