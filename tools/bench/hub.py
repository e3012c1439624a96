"""The hub under the load of thousands of boards: messages/s until stored, latency, memory, CPU, on SQLite and PostgreSQL, one hub and more.

Each case has its own Mosquitto (where there is none, the embedded broker), database and hubs; the boards are raw MQTT 5 sockets in a
process of their own (hub_load.py) that publish telemetry at QoS 1 with the user properties of seed 001. Two runs: `--rate` messages/s, of
which the latency is told, and as many as are stored while no more than `--window` are on their way, which is what is sustained. A message
counts as stored when another connection to the database reads it; its latency is from the timestamp that its board gave it to that moment.
Afterwards every message must be there once.

The CPU time per message is the figure to compare: on a machine with other work, rate and latency are that work's too.
"""

import argparse
import contextlib
import json
import os
import secrets
import selectors
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any
from urllib.parse import urlsplit

from rich.console import Console
from rich.table import Table
from sqlalchemy import Connection, Engine, bindparam, func, insert, select

from tools.bench.brokers import broker
from tools.bench.processes import cpu_of, known, memory_of
from tools.bench.results import Results
from tools.hub.domain import spaces
from tools.hub.domain.devices import hash_key
from tools.hub.process import HubProcess
from tools.hub.store import migrations, tables
from tools.hub.store.database import make_engine
from tools.hub.store.postgres import PostgresProcess, find_postgres
from tools.paths import ROOT

_NEW = select(tables.telemetry.c.seq, tables.telemetry.c.timestamp).where(tables.telemetry.c.seq > bindparam("last"))
_LATE = select(tables.telemetry.c.seq, tables.telemetry.c.timestamp).where(tables.telemetry.c.seq.in_(bindparam("gaps", expanding=True)))
_POLL = 0.02  # seconds between two looks at what is stored
_CONNECT_SECONDS = 300.0
_DRAIN_SECONDS = 60.0
_ALONE_SECONDS = 5.0  # that the broker is measured without a hub
_GAP_SECONDS = 10.0  # how long a number that is not there may still come, when several hubs store


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `redpoll bench hub`."""
    parser.add_argument("--devices", type=int, nargs="+", default=[1000, 5000], metavar="N", help="connected devices (1000 5000)")
    parser.add_argument("--hubs", type=int, nargs="+", default=[1, 3], metavar="N", help="hub processes that share the work (1 3)")
    parser.add_argument("--database", nargs="+", choices=("sqlite", "postgresql"), default=["sqlite", "postgresql"], help="(both)")
    parser.add_argument("--rate", type=float, default=3000, metavar="N", help="messages/s of the run that the latency is of (3000)")
    parser.add_argument("--window", type=int, default=2000, metavar="N", help="messages on their way in the other run (2000)")
    parser.add_argument("--seconds", type=float, default=20, help="of each run (20)")


def run(args: argparse.Namespace) -> int:
    """Measure, print the table, write build/bench.json. Returns 1 when a message was lost or stored twice, 2 when it cannot measure."""
    databases = list(args.database)
    if find_postgres() is None and "postgresql" in databases:
        databases.remove("postgresql")
        print("redpoll bench hub: PostgreSQL is not installed (apt install postgresql); without it", file=sys.stderr)
    if not known():
        print("redpoll bench hub: it needs Linux's /proc for CPU and memory", file=sys.stderr)
        return 2
    results = Results("hub")
    alone = {devices: broker_alone(devices, args.window, min(_ALONE_SECONDS, args.seconds)) for devices in args.devices}
    found = []
    for database in databases:
        for hubs in args.hubs:
            for devices in args.devices:
                with case(database, hubs, devices) as bench:
                    found.append(bench.measure(args.rate, args.window, args.seconds))
                    print(found[-1].line(), file=sys.stderr, flush=True)
    console = Console(width=max(150, Console().width))
    for table in tables_of(found):
        console.print(table)
    for devices, rate in alone.items():
        console.print(f"The broker alone acknowledges {rate:,.0f} messages/s to {devices:,} devices.")
    for item in found:
        item.keep(results)
        results.add(item.title, "acknowledged by the broker alone", "messages/s", alone[item.devices])
    results.save()
    return 1 if any(one.lost or one.twice for item in found for one in (item.steady, item.flood)) else 0


@dataclass
class Run:
    """What one run found."""

    rate: float  # messages/s stored
    offered: float  # messages/s sent
    p50: float  # seconds until stored
    p99: float
    worst: float
    lost: int  # acknowledged by the broker and not stored
    twice: int  # stored more often than sent
    cpu_us: dict[str, float]  # CPU time of a message by process: hub, broker, database, load, observer
    busy: float  # how many cores all of them together used


@dataclass
class Case:
    """What was found with so many hubs and devices."""

    database: str
    hubs: int
    devices: int
    connect_seconds: float
    memory_kb: float  # of all hubs, a device
    hub_mb: float  # of one hub, with its devices connected and after the runs
    broken: int  # connections that broke
    load_before: float  # what else the machine did: its load average before
    steady: Run = field(default_factory=lambda: Run(0, 0, 0, 0, 0, 0, 0, {}, 0))
    flood: Run = field(default_factory=lambda: Run(0, 0, 0, 0, 0, 0, 0, {}, 0))

    @property
    def title(self) -> str:
        """What it is called in tables and in build/bench.json."""
        return f"{self.devices:,} devices, {self.database}, {self.hubs} {'hub' if self.hubs == 1 else 'hubs'}"

    def keep(self, results: Results) -> None:
        """Add what was found to the results."""
        steady, flood = self.steady, self.flood
        results.add(self.title, "messages stored, at most", "messages/s", flood.rate)
        results.add(self.title, "messages sent while the latency was measured", "messages/s", steady.offered)
        for name, value in (("median", steady.p50), ("99 %", steady.p99), ("worst", steady.worst)):
            results.add(self.title, f"until stored, {name}", "ms", value * 1000)
        for name, value in steady.cpu_us.items():
            results.add(self.title, f"CPU of a message, {'boards' if name == 'load' else name}", "us", value)
        results.add(self.title, "memory of a device in the hub", "KB", self.memory_kb)
        results.add(self.title, "memory of a hub in the end", "MB", self.hub_mb)
        results.add(self.title, "lost", "messages", steady.lost + flood.lost)
        results.add(self.title, "stored twice", "messages", steady.twice + flood.twice)

    def line(self) -> str:
        """What was found, for whoever waits."""
        return (
            f"{self.title}: {self.steady.rate:,.0f}/s at {self.steady.offered:,.0f}/s, "
            f"p50 {self.steady.p50 * 1000:,.0f} ms, p99 {self.steady.p99 * 1000:,.0f} ms; at most {self.flood.rate:,.0f}/s; "
            f"hub {self.steady.cpu_us['hub']:,.0f} us/message; lost {self.steady.lost + self.flood.lost}"
        )


def tables_of(found: list[Case]) -> list[Table]:
    """What it does, and what that costs: one row a case in each."""
    done = Table(title="Telemetry at QoS 1 until stored")
    costs = Table(title="What it costs: microseconds of CPU a message by process, memory")
    headings = ("messages/s at most", "at messages/s", "p50 ms", "p99 ms", "worst ms", "lost", "stored twice", "load before")
    prices = ("hub", "broker", "database", "boards", "observer", "cores in use", "KB a device in the hub", "MB a hub in the end")
    for table, columns in ((done, headings), (costs, prices)):
        for heading in ("database", "hubs", "devices", *columns):
            table.add_column(heading, justify="left" if heading == "database" else "right")
    for item in found:
        steady, flood = item.steady, item.flood
        case = (item.database, str(item.hubs), f"{item.devices:,}")
        times = [f"{value * 1000:,.0f}" for value in (steady.p50, steady.p99, steady.worst)]
        lost, twice = steady.lost + flood.lost, steady.twice + flood.twice
        done.add_row(*case, f"{flood.rate:,.0f}", f"{steady.offered:,.0f}", *times, str(lost), str(twice), f"{item.load_before:.1f}")
        cpu = [f"{steady.cpu_us.get(name, 0):,.0f}" for name in ("hub", "broker", "database", "load", "observer")]
        costs.add_row(*case, *cpu, f"{steady.busy:.1f}", f"{item.memory_kb:,.1f}", f"{item.hub_mb:,.0f}")
    return [done, costs]


@contextlib.contextmanager
def case(database: str, hubs: int, devices: int) -> Iterator["Bench"]:
    """Everything that one case needs, started; stopped afterwards."""
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-")))
        server = stack.enter_context(PostgresProcess(durable=True)) if database == "postgresql" else None
        url = f"sqlite:///{folder / 'bench.sqlite'}" if server is None else server.create("bench")
        keys = register(url, devices)
        mqtt = stack.enter_context(broker(folder))
        extra = ("--database", url, *(("--share", "bench") if hubs > 1 else ()))
        key = secrets.token_hex(8)
        started = [stack.enter_context(HubProcess(folder / f"hub{n}", broker=mqtt.url, operator_key=key, extra=extra)) for n in range(hubs)]
        for hub in started:
            stack.callback(hub.kill)  # nobody wants to hear what it makes of the boards' end
        load = stack.enter_context(contextlib.closing(Load()))
        pids = {"hub": [hub.pid or 0 for hub in started], "broker": [mqtt.pid or 0], "load": [load.pid], "observer": [os.getpid()]}
        if server is not None:
            pids["database"] = [server.server_pid]
        engine = make_engine(url)
        stack.callback(engine.dispose)
        yield Bench(Case(database, hubs, devices, 0, 0, 0, 0, os.getloadavg()[0]), engine, mqtt.url, keys, load, pids)


def broker_alone(devices: int, window: int, seconds: float) -> float:
    """Messages/s that the broker acknowledges to so many boards while no hub is there: what no hub can exceed."""
    keys = [(str(uuid.uuid4()), secrets.token_hex(16)) for _ in range(devices)]
    with tempfile.TemporaryDirectory(prefix="bench-") as folder, broker(Path(folder)) as mqtt, contextlib.closing(Load()) as load:
        load.connect(mqtt.url, keys)
        load.say({"rate": 0, "seconds": seconds, "window": window, "alone": True})
        told = load.answer(seconds + _DRAIN_SECONDS)
        if told is None:
            raise RuntimeError("the boards did not come to their end")
        return float(told["acknowledged"] / told["seconds"])


def register(url: str, devices: int) -> list[tuple[str, str]]:
    """Put devices into a new database as if they had registered; returns their ids and keys."""
    migrations.upgrade(url)
    keys = [(str(uuid.uuid4()), secrets.token_hex(16)) for _ in range(devices)]
    engine = make_engine(url)
    with engine.begin() as db:
        same = {
            "hardware_key": "bench", "firmware_version": "1.0.0", "details": {}, "collection_id": spaces.home(db), "space_version": 0,
            "info_version": 0, "config": {}, "config_version": 0, "config_updated": time.time(), "state": {}, "cloud_settings": {},
            "update_times": [], "online": False, "created_at": time.time(), "kept_messages": 0,
        }  # fmt: skip
        rows = [
            {"id": device_id, "key_hash": hash_key(key), "name": f"board {n}", "sn": str(n), "mac": f"{n:012x}", **same}
            for n, (device_id, key) in enumerate(keys)
        ]
        db.execute(insert(tables.devices), rows)
    engine.dispose()
    return keys


class Bench:
    """One case."""

    def __init__(
        self, found: Case, engine: Engine, broker: str, keys: list[tuple[str, str]], load: "Load", pids: dict[str, list[int]]
    ) -> None:
        self.found = found
        self._engine = engine
        self._broker = broker
        self._keys = keys
        self._load = load
        self._pids = pids
        self._seen = Seen()

    def measure(self, rate: float, window: int, seconds: float) -> Case:
        """Connect the devices and do both runs."""
        before = sum(map(memory_of, self._pids["hub"]))
        started = time.monotonic()
        self._load.connect(self._broker, self._keys)
        self.found.connect_seconds = time.monotonic() - started
        self._run(rate, min(3.0, seconds), window)  # each device has spoken once, and everything is warm
        self._quiet()
        self.found.memory_kb = (sum(map(memory_of, self._pids["hub"])) - before) / 1024 / self.found.devices
        self.found.steady = self._run(rate, seconds, window)
        self.found.flood = self._run(0, seconds, window)
        self.found.hub_mb = statistics.mean(map(memory_of, self._pids["hub"])) / 1024**2
        return self.found

    def _quiet(self) -> None:
        """Wait until the hubs have told of all sessions."""
        while True:
            before = sum(map(cpu_of, self._pids["hub"]))
            time.sleep(0.5)
            if sum(map(cpu_of, self._pids["hub"])) - before < 0.1:
                return

    def _run(self, rate: float, seconds: float, window: int) -> Run:
        self._seen.latencies.clear()
        stored, cpu = self._seen.count, {name: sum(map(cpu_of, pids)) for name, pids in self._pids.items()}
        started = time.monotonic()
        self._load.say({"rate": rate, "seconds": seconds, "window": window})
        told = None
        while told is None:
            told = self._load.answer(_POLL)
            self._look()
            if time.monotonic() - started < seconds:
                in_time = self._seen.count - stored
                took = time.monotonic() - started
            self._load.say({"stored": self._seen.count})
        deadline = time.monotonic() + _DRAIN_SECONDS
        while self._seen.count - stored < told["acknowledged"] and time.monotonic() < deadline:
            time.sleep(_POLL)
            self._look()
        whole = time.monotonic() - started
        spent = {name: sum(map(cpu_of, pids)) - cpu[name] for name, pids in self._pids.items()}
        self.found.broken = told["lost"]
        with self._engine.connect().execution_options(reads=True) as db:
            arrived = db.execute(select(func.count()).select_from(tables.telemetry)).scalar_one() - stored
        latencies = sorted(self._seen.latencies) or [0.0]
        return Run(
            rate=in_time / took,
            offered=told["sent"] / told["seconds"],
            p50=latencies[len(latencies) // 2],
            p99=latencies[len(latencies) * 99 // 100],
            worst=latencies[-1],
            lost=max(0, told["acknowledged"] - arrived),
            twice=max(0, arrived - told["sent"]),
            cpu_us={name: value / max(arrived, 1) * 1e6 for name, value in spent.items()},
            busy=sum(spent.values()) / whole,
        )

    def _look(self) -> None:
        with self._engine.connect().execution_options(reads=True) as db:
            self._seen.look(db)


class Seen:
    """Which messages were read from the database, and how long after they were sent."""

    def __init__(self) -> None:
        self.count = 0
        self.latencies: list[float] = []
        self._last = 0
        self._gaps: dict[int, float] = {}  # numbers that others have passed, and until when they may come

    def look(self, db: Connection) -> None:
        """Read what has been stored since the last look. Numbers that were left out may still come, for some seconds."""
        found = list(db.execute(_NEW, {"last": self._last}))
        if self._gaps:
            found += db.execute(_LATE, {"gaps": list(self._gaps)})
        now, clock = time.time(), time.monotonic()
        self.count += len(found)
        self.latencies += [now - row[1] for row in found]
        numbers = {row[0] for row in found}
        highest = max(numbers, default=self._last)
        self._gaps = {n: until for n, until in self._gaps.items() if n not in numbers and until > clock}
        if highest - self._last != len(numbers):
            self._gaps.update({n: clock + _GAP_SECONDS for n in range(self._last + 1, highest) if n not in numbers})
        self._last = max(self._last, highest)


class Load:
    """The process of the boards."""

    def __init__(self) -> None:
        command = [sys.executable, "-m", "tools.bench.hub_load"]
        self._process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    @property
    def pid(self) -> int:
        """Of the process."""
        return self._process.pid

    def say(self, what: dict[str, Any]) -> None:
        """Order something (hub_load.py); it is not waited for."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(what).encode() + b"\n")
        self._process.stdin.flush()

    def connect(self, broker: str, keys: list[tuple[str, str]]) -> None:
        """Connect devices with these ids and access keys. RuntimeError when that takes too long."""
        address = urlsplit(broker)
        self.say({"host": address.hostname, "port": address.port, "devices": keys})
        if self.answer(_CONNECT_SECONDS) is None:
            raise RuntimeError(f"the devices were not connected within {_CONNECT_SECONDS:g} s")

    def answer(self, within: float) -> dict[str, Any] | None:
        """What it says, None when that is nothing within so many seconds."""
        out: IO[bytes] | None = self._process.stdout
        assert out is not None
        with selectors.DefaultSelector() as ready:
            ready.register(out, selectors.EVENT_READ)
            if not ready.select(within):
                return None
        line = out.readline()
        if not line:
            raise RuntimeError(f"the load ended with status {self._process.wait()}")
        said: dict[str, Any] = json.loads(line)
        return said

    def close(self) -> None:
        """End it."""
        self._process.kill()
        self._process.communicate()
