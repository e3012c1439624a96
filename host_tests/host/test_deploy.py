"""`redpoll deploy` on virtual boards, over their serial port: into which slot, which files, and what is left when it breaks off."""

import ast
import contextlib
import hashlib
import io
import json
import os
import random
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from zlib import crc32

import pytest
from long_run import LONG
from mpremote.transport import TransportError
from rich.console import Console
from waiting import wait_for, wait_for_write

from tools.board.firmware import boot_file
from tools.board.process import Board
from tools.bundle.archive import Manifest, manifest_of
from tools.cli import main as redpoll
from tools.deploy import deploy, product
from tools.deploy.command import _Shown, session
from tools.deploy.connection import Connection, MpremoteConnection
from tools.deploy.deploy import Plan
from tools.deploy.errors import DeployError, Status
from tools.deploy.product import Product
from tools.deploy.remote import RemoteBoard
from tools.paths import FIRMWARE, ROOT

CHIPS = ("rpi_pico_w", "esp32", "esp32s3", "rpi_pico2_w")
SETTINGS = b'{"entry": "http://127.0.0.1:1/xyte", "wifi_ssid": "home", "wifi_password": "correct horse"}'
MAIN = "import lamp\nprint('lamp', lamp.VERSION)\nwhile True:\n    lamp.rest()\n"
LAMP = "import time\nVERSION = %r\n\ndef rest():\n    time.sleep_ms(20)\n"

Flashed = Callable[..., Board]
Shown = pytest.CaptureFixture[str]


def small(version: str = "1", **more: bytes) -> Product:
    """A product without the agent: what a slot needs to boot, and quickly sent."""
    files = {"main.py": MAIN.encode(), "lamp.py": (LAMP % version).encode(), "lib/deep/er/data.bin": bytes(range(256)) * 5, **more}
    manifest = manifest_of(files, name="lamp", version="1.0.0", boards=[], micropython="1.24.0", mpy=0)
    return Product(files, manifest.encoded(), boot_file(), "1.0.0")


class Cutting(deploy.Quiet):
    """The power goes at the n-th write from the beginning of the work on."""

    def __init__(self, board: Board, n: int) -> None:
        self._orders = [lambda: board.cut_power_at_write(n)]

    def stage(self, text: str, total: int) -> None:
        if self._orders:
            self._orders.pop()()


def put(board: Board, what: Product, via: str = "mpremote", force: bool = False, **options: Any) -> Plan:
    with session(str(board.port), via) as connection:
        remote = RemoteBoard(connection)
        remote.begin(fresh=False)
        deploy.no_trial(remote, force)
        plan = deploy.put(remote, what, **options)
        since = board.line_count
        remote.restart()
    # who asks before the chip has ended is still answered, and then cut off
    board.wait_for("^lamp ", since=since)
    return plan


def slot_files(board: Board, slot: str) -> dict[str, bytes]:
    """Name -> content, of a board that is off."""
    prefix = f"/slot_{slot}/"
    return {name.removeprefix(prefix): board.read_file(name) for name in board.list_files() if name.startswith(prefix)}


@pytest.fixture(scope="module")
def lamp(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A product's folder, with the agent under it."""
    folder = tmp_path_factory.mktemp("lamp")
    (folder / "main.py").write_text('import lamp\nfrom redpoll import Agent\nagent = Agent()\nprint("lamp", lamp.VERSION)\nagent.run()\n')
    (folder / "lamp.py").write_text('"""A docstring that would cost a board memory."""\nVERSION = 1\n')
    return folder


@pytest.mark.parametrize("profile", CHIPS if LONG else CHIPS[:1])
def test_a_product_goes_onto_a_fresh_board_and_then_only_what_has_changed(
    profile: str, flashed: Flashed, lamp: Path, capsys: Shown
) -> None:
    board = flashed(profile)
    (lamp / "lamp.py").write_text('"""A docstring that would cost a board memory."""\nVERSION = 1\n')
    deployment = ["deploy", "--port", str(board.port), str(lamp)]
    assert redpoll(deployment) == 0
    first = capsys.readouterr().out
    assert "slot a" in first and "no settings yet: redpoll provision --port" in first
    board.kill()
    board.write_file("/settings.json", SETTINGS)
    files = slot_files(board, "a")
    manifest = Manifest.decoded(files["manifest.json"])
    assert {entry.name: entry.sha256 for entry in manifest.files} == {
        name: hashlib.sha256(data).hexdigest() for name, data in files.items() if not name.startswith("manifest.")
    }
    assert files["lamp.mpy"][:2] == b"M\x06" and b"docstring" not in files["lamp.mpy"]
    board.start()
    board.wait_for("lamp 1", 20)

    (lamp / "lamp.py").write_text("VERSION = 2\n")
    since = board.line_count
    assert redpoll(deployment) == 0
    told = capsys.readouterr().out
    assert f"slot b: 1 files sent ({len(compiled(lamp))} bytes), {len(manifest.files) - 1} copied on the board, 0 there" in told
    assert "it runs: Redpoll " in told
    board.wait_for("lamp 2", 20, since)

    board.kill()
    board.write_file("/boot.state", record({"slot": "b", "boots": 10}))
    since = board.line_count
    board.start()
    board.wait_for("boot: safe mode", 20, since)
    since = board.line_count
    assert redpoll(deployment) == 0
    assert "just this already, in slot b" in capsys.readouterr().out
    board.wait_for("lamp 2", 20, since)
    if LONG:
        (lamp / "lamp.py").write_text("VERSION = 3\n")
        assert redpoll(deployment) == 0
        told = capsys.readouterr().out
        assert f"slot a: 1 files sent ({len(compiled(lamp))} bytes), 0 copied on the board, {len(manifest.files) - 1} there" in told


def record(value: dict[str, Any]) -> bytes:
    """A redpoll.flash.record with this value."""
    payload = json.dumps(value).encode()
    return b"RPR1" + len(payload).to_bytes(4, "little") + crc32(payload).to_bytes(4, "little") + payload


def compiled(folder: Path) -> bytes:
    return product.make(folder, product.Profile.load("rpi_pico_w")).files["lamp.mpy"]


def test_a_dry_run_says_what_would_be_done_and_changes_nothing(flashed: Flashed, lamp: Path, capsys: Shown) -> None:
    board = flashed()
    assert redpoll(["deploy", "--port", str(board.port), "--dry-run", str(lamp)]) == 0
    told = capsys.readouterr().out
    assert "main.py: sent, " in told and "/boot.py: replaced" in told and "Nothing was changed" in told
    board.kill()
    assert board.list_files() == {}


def test_on_a_terminal_each_stage_is_a_bar() -> None:
    said = io.StringIO()
    with _Shown(Console(file=said, force_terminal=True, width=100)) as progress:
        progress.stage("sending", 1000)
        progress.done(250)
        progress.done(750)
        progress.stage("verifying", 3)
        progress.done(3)
    shown = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", said.getvalue())
    assert re.search(r"sending +━+ +0/1000", shown) and re.search(r"verifying +━+ 3/3", shown)


def test_ampy_carries_it_as_well(flashed: Flashed) -> None:
    board = flashed()
    plan = put(board, small(), via="ampy")
    board.wait_for("^lamp 1$", 20)
    assert sorted(plan.sent) == sorted(small().files)
    board.kill()
    assert slot_files(board, "a")["lib/deep/er/data.bin"] == bytes(range(256)) * 5


def test_what_is_no_longer_part_of_the_product_goes_and_empty_folders_with_it(flashed: Flashed) -> None:
    board = flashed()
    put(board, small("1", **{"www/old.html": b"x"}))
    put(board, small("2"))
    put(board, small("3", www=b"a file where a folder was"))
    board.wait_for("^lamp 3$")
    board.kill()
    assert set(slot_files(board, "a")) == {*small().files, "www", "manifest.json", "manifest.sig"}


@pytest.mark.parametrize("profile", CHIPS if LONG else CHIPS[:1])
def test_a_cut_at_any_write_leaves_a_board_that_boots(
    profile: str, flashed: Flashed, figure: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    board = flashed(profile)
    put(board, small("0"))
    board.wait_for("^lamp 0$")
    dice = random.Random(20260)
    # an upper bound, made smaller as it is found: the smaller the pieces that are written, the more of them
    writes, running, count = 60 * 256 // board.profile.flash_program, "0", 50 if LONG else 3
    cut = kept = 0
    for round_ in range(1, count + 1):
        since = board.line_count
        version = str(round_)
        # 3 rounds are spread over the whole of it
        at = dice.randrange(1, writes) if LONG else round_ * writes // 4
        with monkeypatch.context() as patch, contextlib.suppress(DeployError):
            patch.setattr("tools.deploy.connection.RUN_SECONDS", 4.0)  # that a board which has lost its power is waited for
            put(board, small(version, **{"blob.bin": dice.randbytes(20_000)}), progress=Cutting(board, at))
        was_cut = any("power on" in line for line in board.lines[since - board.line_count :])
        found = board.wait_for(r"^lamp (\d+)$", 20, since)[1]
        assert found in (running, version), f"cut at write {at}"
        if not was_cut:
            assert found == version
            writes = min(writes, at)  # it has fewer than this
        cut += was_cut
        kept += found == running
        running = found
        if round_ % 3 == 0:
            # this product never says that its start was good, and after ten boot.py would go into safe mode; a new one starts afresh
            running = f"9{round_:03}"
            since = board.line_count
            put(board, small(running))
            board.wait_for(f"^lamp {running}$", 20, since)
    put(board, small("end"))
    board.wait_for("^lamp end$")
    figure(
        f"{profile}: {count} deployments, {cut} with the power cut at a random write; the board booted each time, {kept} times what it had"
    )


@pytest.mark.skipif(not LONG, reason="REDPOLL_LONG=1")
def test_a_deployment_that_is_killed_leaves_a_board_that_starts_by_itself(flashed: Flashed, lamp: Path) -> None:
    board = flashed(files={"/settings.json": SETTINGS})
    put(board, small("1"))
    board.wait_for("^lamp 1$")
    since = board.line_count
    command = [sys.executable, "-m", "tools.cli", "deploy", "--port", str(board.port), str(lamp)]
    client = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL)
    try:
        wait_for(lambda: sum("raw REPL" in line for line in board.lines[since:]) == 2, "the soft reset, after which it is written", 20)
        wait_for_write(board.image.path)
    finally:
        client.kill()
        client.wait()
    board.wait_for("^lamp 1$", 20, since)  # nobody has touched it: its watchdog has
    assert redpoll(["deploy", "--port", str(board.port), str(lamp)]) == 0


HOLD = "held = []\ntry:\n    while True:\n        held.append(bytearray(64))\nexcept MemoryError:\n    pass\n"


@pytest.mark.parametrize("where", ["main.py", "hold.py"])
def test_a_program_that_has_taken_the_whole_heap_is_replaced(where: str, flashed: Flashed) -> None:
    files = {"hold.py": "", "main.py": "import hold, time\n"}
    files[where] += HOLD
    files["main.py"] += "print('full')\nwhile True:\n    time.sleep_ms(20)\n"
    board = flashed("esp32", {name: text.encode() for name, text in files.items()})
    board.wait_for("^full$", 20)
    put(board, small())
    board.wait_for("^lamp 1$", 20)


def test_a_board_that_was_interrupted_and_did_not_answer_goes_on(flashed: Flashed, monkeypatch: pytest.MonkeyPatch) -> None:
    board = flashed(files={"main.py": b"print('as before')\n"})
    since = board.line_count
    enter = MpremoteConnection._enter

    def garbled(connection: MpremoteConnection, fresh: bool) -> None:
        enter(connection, fresh)
        raise TransportError("could not enter raw repl")

    monkeypatch.setattr(MpremoteConnection, "_enter", garbled)
    with pytest.raises(DeployError, match="no MicroPython answers"):
        put(board, small())
    board.wait_for("as before", 20, since)


def test_ctrl_c_leaves_the_board_running_what_it_had(flashed: Flashed) -> None:
    board = flashed()
    put(board, small("1"))
    since = board.line_count

    class Impatient(deploy.Quiet):
        def done(self, n: int) -> None:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), session(str(board.port), "mpremote") as connection:
        remote = RemoteBoard(connection)
        remote.begin()
        deploy.put(remote, small("2"), progress=Impatient())
    board.wait_for("^lamp 1$", 8, since)  # sooner than by the watchdog


# ---- trial


def test_on_trial_a_product_that_nobody_confirms_is_rolled_back_and_a_second_one_has_to_wait(flashed: Flashed) -> None:
    board = flashed()
    put(board, small("1"))
    put(board, small("2"), trial=True)
    board.wait_for("^lamp 2$")
    with pytest.raises(DeployError, match="trying an update out") as refused:
        put(board, small("3"))
    assert refused.value.status is Status.REFUSED
    since = board.line_count
    for _ in range(3):
        board.restart()
        board.wait_for("^lamp", 10, since)
        since = board.line_count
    board.restart()
    board.wait_for("^lamp 1$", 10, since)


def test_a_trial_is_given_up_with_force(flashed: Flashed) -> None:
    board = flashed()
    put(board, small("1"))
    put(board, small("2"), trial=True)
    board.wait_for("^lamp 2$")
    assert put(board, small("3"), force=True).slot == "b"
    board.wait_for("^lamp 3$")
    board.kill()
    assert b'"trial"' not in board.read_file("/boot.state")
    assert slot_files(board, "a")["lamp.py"] == (LAMP % "1").encode()


def test_a_dry_run_gives_up_no_trial(flashed: Flashed, lamp: Path, capsys: Shown) -> None:
    board = flashed()
    put(board, small("1"))
    put(board, small("2"), trial=True)
    board.wait_for("^lamp 2$")
    since = board.line_count
    status, text = refused(capsys, "--port", board.port, "--force", "--dry-run", lamp)
    assert status == Status.REFUSED and "would give up" in text and "Nothing was changed" in text
    board.wait_for("^lamp 2$", 10, since)
    board.kill()
    assert b'"trial"' in board.read_file("/boot.state")


# ---- what cannot be done


def refused(capsys: Shown, *words: object) -> tuple[int, str]:
    status = redpoll(["deploy", *map(str, words)])
    return status, capsys.readouterr().err


def test_a_url_of_an_unknown_kind_is_no_port(lamp: Path, capsys: Shown) -> None:
    status, text = refused(capsys, "--port", "carrier://pigeon", lamp)
    assert status == Status.NO_PORT and text.startswith("carrier://pigeon cannot be opened: ")


@pytest.mark.parametrize(("folder", "said"), [("gone", "is no folder"), (".", "has no main.py")])
def test_a_folder_that_is_no_product_is_told_before_a_board_is_looked_for(folder: str, said: str, tmp_path: Path, capsys: Shown) -> None:
    status, text = refused(capsys, "--port", "/dev/none", tmp_path / folder)
    assert status == Status.REFUSED and said in text


def test_another_chip_is_refused_and_the_board_goes_on(flashed: Flashed, lamp: Path, capsys: Shown) -> None:
    board = flashed(files={"main.py": b"print('as before')\n"})
    board.wait_for("as before")
    since = board.line_count
    status, text = refused(capsys, "--port", board.port, "--board", "esp32", lamp)
    assert status == Status.REFUSED and "RP2040" in text and "redpoll boards" in text
    board.wait_for("as before", 10, since)


def test_a_flash_that_is_too_full_is_told_before_anything_is_changed(flashed: Flashed, lamp: Path, capsys: Shown) -> None:
    board = flashed(files={"main.py": b"print('as before')\n", "big.bin": bytes(750_000)})
    board.wait_for("as before")
    since = board.line_count
    status, text = refused(capsys, "--port", board.port, lamp)
    assert status == Status.FULL and "bytes more" in text and "Nothing was changed" in text
    board.wait_for("as before", 10, since)
    board.kill()
    assert not slot_files(board, "a")


def test_folders_cost_what_they_take_of_the_flash_and_not_more(flashed: Flashed) -> None:
    board = flashed(files={f"d{n}/empty": b"" for n in range(60)})
    with session(str(board.port), "mpremote") as connection:
        remote = RemoteBoard(connection)
        remote.begin()
        about = remote.about()
        room = about.flash_free - 2 * about.block
        assert room > 0
        remote.write("/filling", bytes(room - room % about.block))
        with pytest.raises(DeployError, match="flash was full"):
            remote.write("/more", bytes(4 * about.block))


def test_a_flash_that_becomes_full_leaves_what_ran(flashed: Flashed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deploy, "check_room", lambda *_: None)
    board = flashed(files={"main.py": b"print('as before')\n", "big.bin": bytes(800_000)})
    since = board.line_count
    with pytest.raises(DeployError, match="flash was full") as error:
        put(board, small(**{f"{n}.bin": os.urandom(9000) for n in range(8)}))
    assert error.value.status is Status.FULL
    board.wait_for("as before", 10, since)
    board.kill()
    assert not slot_files(board, "a")  # what runs has the room that it had


def test_a_program_that_ends_is_told_with_what_it_said(flashed: Flashed, tmp_path: Path, capsys: Shown) -> None:
    board = flashed(files={"settings.json": SETTINGS})
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "main.py").write_text("import nonesuch\n")
    status, text = refused(capsys, "--port", board.port, "--timeout", "86400", tmp_path / "broken")  # longer than a test may take
    assert status == Status.SILENT and "no module named 'nonesuch'" in text


def test_one_that_ends_among_its_declarations_does_not_run_either(flashed: Flashed, tmp_path: Path, capsys: Shown) -> None:
    board = flashed(files={"settings.json": SETTINGS})
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "main.py").write_text('from redpoll import Agent\nagent = Agent()\nagent.on("spcae")\nagent.run()\n')
    status, text = refused(capsys, "--port", board.port, tmp_path / "broken")
    assert status == Status.SILENT and "not 'spcae'" in text


@pytest.mark.parametrize(("options", "said"), [(["--trial"], "has gone back to what it ran"), ([], "(safe mode)")])
def test_another_agents_first_line_is_not_taken_for_the_products(
    options: list[str], said: str, flashed: Flashed, lamp: Path, tmp_path: Path, capsys: Shown
) -> None:
    board = flashed(files={"settings.json": SETTINGS})
    assert redpoll(["deploy", "--port", str(board.port), str(lamp)]) == 0
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "main.py").write_text("import machine\nmachine.reset()\n")
    status, text = refused(capsys, "--port", board.port, *options, tmp_path / "broken")
    assert status == Status.SILENT and said in text


@pytest.mark.parametrize(
    ("main", "version"),
    [
        ('from redpoll import Agent\nagent = Agent(version="1.2.0")\n', "1.2.0"),
        ('import redpoll\nredpoll.Agent("s.json", version="1.2.0").run()\n', "1.2.0"),
        ("from redpoll import Agent\nAgent().run()\n", None),
        ("agent = Agent(version=VERSION)\n", None),
        ("Agent(version=\n", None),
    ],
)
def test_a_product_has_the_version_that_it_says(main: str, version: str | None, tmp_path: Path) -> None:
    (tmp_path / "main.py").write_text(main)
    assert product.declared_version(tmp_path) == version


def test_a_frozen_agent_has_to_be_there(flashed: Flashed, lamp: Path, capsys: Shown) -> None:
    status, text = refused(capsys, "--port", flashed().port, "--frozen-agent", lamp)
    assert status == Status.REFUSED and "no frozen agent" in text


def test_a_boot_py_of_somebodys_own_is_kept_beside(flashed: Flashed) -> None:
    board = flashed(files={"boot.py": b"x = 1\n"})
    put(board, small())
    board.wait_for("^lamp 1$")
    board.kill()
    assert board.read_file("/boot.py.before") == b"x = 1\n"
    assert board.read_file("/boot.py") == boot_file()


def test_what_boot_py_times_does_not_end_the_work_on_a_board(flashed: Flashed) -> None:
    # a start that is over at once; a virtual board looks at its timers in sleeps
    hasty = boot_file().replace(b"180000", b"1")
    assert hasty != boot_file()
    board = flashed(files={"boot.py": hasty, "main.py": b"1 / 0\n", "settings.json": SETTINGS})
    board.wait_for("ZeroDivisionError", 20)
    with session(str(board.port), "mpremote") as connection:
        RemoteBoard(connection).begin(fresh=False)
        assert connection.run("import time\ntime.sleep_ms(50)\nprint('here')").strip() == "here"


def test_boot_py_fits_a_block_of_flash_and_is_the_same_program_without_its_comments() -> None:
    sent = product.make(FIRMWARE, product.Profile.load("rpi_pico_w"), sources=True).boot
    assert len(sent) <= 4096
    assert ast.dump(ast.parse(sent)) == ast.dump(ast.parse((FIRMWARE / "boot.py").read_bytes()))


@pytest.mark.parametrize(("version", "mpy", "said"), [((1, 22, 0), 6, "this firmware needs"), ((1, 27, 0), 5, "bytecode of version 5")])
def test_a_micropython_that_cannot_run_it_is_refused(version: tuple[int, int, int], mpy: int, said: str) -> None:
    about = product.About("rp2", version, mpy, "Raspberry Pi Pico W with RP2040", 180_000, 4096, 800_000)
    with pytest.raises(DeployError, match=said) as error:
        product.check(about, product.Profile.load("rpi_pico_w"))
    assert error.value.status is Status.NO_MICROPYTHON


class Line(Connection):
    """A board's console that says this and then breaks off."""

    def __init__(self, *pieces: bytes) -> None:
        super().__init__("line")
        self._pieces = list(pieces)
        self.serial = self
        self.timeout = 0.0
        self.opened = 0

    in_waiting = 0

    def read(self, n: int) -> bytes:
        if not self._pieces:
            return b""
        piece = self._pieces.pop(0)
        if piece == b"gone":
            raise OSError("the port is gone")
        return piece

    def open(self) -> None:
        self.opened += 1

    def _enter(self, fresh: bool) -> None: ...
    def close(self) -> None: ...
    def _send(self, code: str) -> None: ...
    def _run(self, code: str, timeout: float) -> tuple[bytes, bytes]:
        raise NotImplementedError


def test_a_port_that_the_chip_makes_itself_is_opened_again_after_the_reset() -> None:
    line = Line(b"rst:0x1", b"gone", b"boot\r\n[    0.1", b"00] Redpoll 0.1.0 on redpoll-rp2\r\n")
    assert deploy.first_line(line, 5) == "[    0.100] Redpoll 0.1.0 on redpoll-rp2"
    assert line.opened == 1


def test_a_board_whose_console_was_read_may_take_its_time_for_what_comes_then() -> None:
    line = Line(b"[    0.100] Redpoll 0.1.0 on redpoll-rp2\r\n")
    assert deploy.first_line(line, 5)
    assert line.timeout >= 5  # seconds, for a chip that erases its flash


def test_watch_goes_on_after_what_cannot_be_deployed_and_so_does_the_board(flashed: Flashed, tmp_path: Path) -> None:
    board = flashed(files={"main.py": b"print('as before')\n"})
    product = tmp_path / "product"
    product.mkdir()
    (product / "lost.py").symlink_to("nowhere")
    since = board.line_count
    command = [sys.executable, "-m", "tools.cli", "deploy", "--watch", "--port", str(board.port), str(product)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as client:
        try:
            wait_said(client, "has no main.py")
            board.wait_for("cause: hard reset", 20, since)  # and not the watchdog
            board.wait_for("as before", 20, since)
            (product / "main.py").write_text("print('new')\n")
            wait_said(client, "lost.py: only links to files are followed")
            (product / "lost.py").unlink()
            board.wait_for("^new$", 40, since)
        finally:
            client.send_signal(signal.SIGINT)
            client.wait(20)
    assert client.returncode == 130


@pytest.mark.skipif(not LONG, reason="REDPOLL_LONG=1")
def test_watch_deploys_again_when_a_file_is_saved(flashed: Flashed, lamp: Path) -> None:
    board = flashed(files={"settings.json": SETTINGS})
    (lamp / "lamp.py").write_text("VERSION = 'first'\n")
    command = [sys.executable, "-m", "tools.cli", "deploy", "--watch", "--port", str(board.port), str(lamp)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as client:
        try:
            board.wait_for("lamp first", 40)
            (lamp / "lamp.py").write_text("VERSION = 'second\n")  # saved in the middle of a word
            wait_said(client, "SyntaxError")
            (lamp / "lamp.py").write_text("VERSION = 'second'\n")
            board.wait_for("lamp second", 40)
            wait_said(client, "waiting for a file")
        finally:
            client.send_signal(signal.SIGINT)
            client.wait(20)
    assert client.returncode == 130


def wait_said(client: "subprocess.Popen[bytes]", text: str) -> None:
    assert client.stdout is not None
    said = io.StringIO()
    for line in client.stdout:
        said.write(line.decode())
        if text in line.decode():
            return
    raise AssertionError(said.getvalue())
