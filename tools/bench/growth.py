"""How cost grows, on the MicroPython VM: with sensors, configuration keys, messages in the spool, and messages sent.

The flash of the spool is a real LittleFS on a block device in Python, so its times are longer than those of a chip's driver. Plots of what
was measured: `redpoll bench table --write`.
"""

import argparse
import contextlib
import itertools
import json
import tempfile
import time
import uuid
from pathlib import Path

from rich.console import Console
from sqlalchemy import func, select

from tools.bench import peers, processes
from tools.bench.arguments import at_least
from tools.bench.program import Program, ProgramError
from tools.bench.results import Results
from tools.hub.process import HubProcess
from tools.hub.store import tables
from tools.hub.store.database import make_engine
from tools.vm import find_vm

SPOOL_BYTES = 524_288  # the most that the setting spool_flash_bytes takes
PACKET = 8192  # bytes of the largest packet that a device takes (DESIGN §6)
_UNBOUNDED = 1 << 24
_POINTS = 20  # of the soak
_TURNS = 200  # of the loop, of which the CPU time is told
_KEEP = ("--keep-messages", "1000000")  # all of the soak's
_QUIET = 15.0  # seconds without a new message after which a hub is taken to have stored all that it will
# what grows, as the figures are named: see name()
SENSORS, KEYS, SPOOL, SENT = "sensors", "configuration keys", "messages in the spool", "messages sent"
_NUMBERS = {SENSORS: (1, 10, 30, 60, 100), KEYS: (1, 10, 100, 250, 500, 1000), SPOOL: (10, 100, 1000, 2500, 5000, 10_000)}
_PARTS = ("sensors", "config", "spool", "soak")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `redpoll bench growth`."""
    parser.add_argument("--messages", type=at_least(_POINTS), default=100_000, help="of the soak (100,000)")
    parser.add_argument("--repeats", type=at_least(1), default=5, help="of each figure but the soak; the median counts (5)")
    parser.add_argument("--only", choices=_PARTS, help="one part of it")


def run(args: argparse.Namespace) -> int:
    """Measure, print the tables, write build/bench.json. Returns 1 when messages of the soak were lost."""
    console = Console(width=max(150, Console().width))
    results = Results("growth")
    with tempfile.TemporaryDirectory(prefix="bench-") as folder, HubProcess(Path(folder, "hub"), extra=_KEEP) as hub:
        bench = Bench(Path(folder), hub, results)
        if args.only in (None, "sensors"):
            bench.sensors(args.repeats)
            console.print(results.rows("Sensors that are due in one turn of the loop, one reading each", _names(SENSORS)))
        if args.only in (None, "config"):
            bench.config(_NUMBERS[KEYS], args.repeats)
            console.print(results.rows("Configuration from the cloud, until it is applied and on flash", _names(KEYS)))
        if args.only in (None, "spool"):
            bench.spool(args.repeats)
            console.print(results.rows("Messages of 150 bytes that waited on flash", _names(SPOOL)))
        if args.only in (None, "soak"):
            bench.soak(args.messages)
            parts = [name(SENT, args.messages * percent // 100) for percent in (10, 50, 100)]
            console.print(results.rows("One agent, message after message", parts))
    results.save()
    return 1 if bench.lost else 0


def name(what: str, number: int) -> str:
    """Name of a figure of the growth of `what`."""
    return f"{what}: {number:,}"


def _names(what: str) -> list[str]:
    return [name(what, number) for number in _NUMBERS[what]]


class Bench:
    """Runs vm_side/growth_bench.py and keeps what it finds in `results`."""

    def __init__(self, folder: Path, hub: HubProcess, results: Results) -> None:
        self.results = results
        self.lost = 0  # messages of the soak
        self._folder = folder
        self._hub = hub
        self._path = peers.ours()

    def sensors(self, repeats: int) -> None:
        """CPU and heap of a turn in which so many sensors are read and their message is sent and acknowledged."""
        for n in _NUMBERS[SENSORS]:
            title = name(SENSORS, n)
            readings = []
            with self._program(f"sensors({n}, {repeats}, {_TURNS})", heap="1M") as program:
                for _ in range(repeats + 1):
                    program.told("ready")
                    readings.append(processes.exact_cpu_of(program.pid) if processes.known() else 0.0)
                    program.say()
                said = program.told("heap")[1]
            note = "of 50 names: a device may have 64, its own heartbeat among them" if n > 50 else ""
            turns = [(after - before) / _TURNS * 1e6 for before, after in itertools.pairwise(readings)]
            self.results.add(title, "CPU of a turn", "us", *(turns if processes.known() else ()), note=note)
            self.results.add(title, "allocated in it", "bytes", said["allocated"])
            self.results.add(title, "live heap", "bytes", said["heap"])

    def config(self, numbers: tuple[int, ...], repeats: int) -> None:
        """Time and heap of taking a configuration of so many declared keys, sent by a hub."""
        for n in numbers:
            title = name(KEYS, n)
            serial = uuid.uuid4().hex
            with self._program(f"config({n})", serial) as program:
                program.told("ready")
                device = next(device["id"] for device in self._hub.operator.devices() if device["sn"] == serial)
                taken, note = [], ""
                for repeat in range(repeats):
                    values = {f"key_{number:04d}": number + repeat for number in range(n)}
                    self._hub.operator.configure(device, values)
                    if (size := len(json.dumps(values, separators=(",", ":")))) > PACKET:
                        note = f"not delivered: {size:,} bytes are more than the {PACKET:,} of a packet that a device takes"
                        self._expect_nothing(program)
                        break
                    taken.append(program.told("turn")[1])
            self.results.add(title, "turn of the loop that takes it", "ms", *[turn["turn"] / 1000 for turn in taken], note=note)
            self.results.add(title, "allocated in it", "bytes", *[turn["allocated"] for turn in taken])
            self.results.add(title, "live heap then", "bytes", *[turn["heap"] for turn in taken])

    @staticmethod
    def _expect_nothing(program: Program) -> None:
        with contextlib.suppress(ProgramError):
            program.told("turn", 3)
            raise RuntimeError("a device has taken a configuration that is larger than its packets")

    def spool(self, repeats: int) -> None:
        """The start with so many messages on flash, its heap, and how fast they can be taken out."""
        for n in _NUMBERS[SPOOL]:
            title = name(SPOOL, n)
            runs = []
            for _ in range(1 if n > 1000 else repeats):
                with self._program(f"spool({n}, {_UNBOUNDED})") as program:
                    runs.append(program.told("start", 300)[1])
            with self._program(f"spool({n}, {SPOOL_BYTES})") as program:
                bounded = program.told("start", 300)[1]
            self.results.add(title, "start", "ms", *[run["start"] / 1000 for run in runs])
            self.results.add(title, "heap of the spool", "bytes", *[run["heap"] for run in runs])
            self.results.add(title, "drained", "messages/s", *[run["rate"] for run in runs])
            self.results.add(title, f"kept within {SPOOL_BYTES // 1024} KiB", "messages", bounded["kept"])

    def soak(self, messages: int) -> None:
        """Heap after each twentieth of so many messages; `lost` counts those acknowledged that the hub has not stored in the end."""
        serial = uuid.uuid4().hex
        with self._program(f"soak({messages}, {_POINTS})", serial) as program:
            for part in range(1, _POINTS + 1):
                when, said = program.told("sent", 600)
                title = name(SENT, messages * part // _POINTS)
                self.results.add(title, "live heap", "bytes", said["heap"])
                self.results.add(title, "rate until then", "messages/s", said["sent"] / (when - program.started))
            sent = program.told("done")[1]["done"]
        self.lost = max(0, sent - self._stored(serial, sent))
        self.results.add(title, "acknowledged and not stored", "messages", self.lost)

    def _stored(self, serial: str, expected: int) -> int:
        """How many messages of the device the hub has in its database, once it has them all or no more come."""
        device = next(device["id"] for device in self._hub.operator.devices() if device["sn"] == serial)
        query = select(func.count()).select_from(tables.telemetry).where(tables.telemetry.c.device_id == device)
        engine = make_engine(f"sqlite:///{self._hub.data / 'hub.sqlite'}")
        try:
            stored, since = -1, time.monotonic()
            while stored < expected and time.monotonic() < since + _QUIET:
                with engine.connect().execution_options(reads=True) as db:
                    count = db.execute(query).scalar_one()
                if count != stored:
                    stored, since = count, time.monotonic()
                time.sleep(0.1)
            return stored
        finally:
            engine.dispose()

    def _program(self, call: str, serial: str = "", heap: str = "16M") -> Program:
        folder = Path(tempfile.mkdtemp(dir=self._folder))
        settings = {"entry": self._hub.entry_url, "sn": serial or uuid.uuid4().hex, "hardware_key": "bench", "watchdog": False}
        (folder / "settings.json").write_text(json.dumps(settings))
        return Program([str(find_vm())], f"import growth_bench; growth_bench.{call}", folder, self._path, heap)
