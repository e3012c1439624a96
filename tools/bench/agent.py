"""The whole agent on the MicroPython VM: start to first acknowledged telemetry, idle CPU, heap, bytes on the wire, a broker that restarts.

Beside it runs the agent of arduino-iot-cloud with the same four readings, without its TLS, its thing id from a retained message and with
stand-ins for two modules that PyPI does not have (tools/vm_side/peers); and a bare loop, which is what VM and network leave to any agent.
"""

import argparse
import asyncio
import contextlib
import json
import tempfile
import time
import uuid
from pathlib import Path
from typing import Any

import aiomqtt
from rich.console import Console

from tools.bench import peers, processes
from tools.bench.arguments import at_least
from tools.bench.brokers import broker
from tools.bench.program import Program, ProgramError
from tools.bench.relay import relay
from tools.bench.results import Results
from tools.hub.broker.process import BrokerProcess
from tools.hub.process import HubProcess
from tools.size.machines import Machine, machines
from tools.size.sets import feature_sets
from tools.size.start import Starts
from tools.smallest import smallest
from tools.vm import find_vm

MQTT, HTTP, ARDUINO, BARE = "Redpoll, MQTT 5", "Redpoll, HTTP", "arduino-iot-cloud 1.4.1", "bare loop"
ASLEEP = "sleep_ms alone"  # which this VM leaves 2,000 times a second; a board does not
# figures that others are compared by
START, IDLE, WIRE = "start until telemetry is acknowledged", "idle CPU", "on the wire, a message"
PACKET, BACK = "the bare packet", "back after the broker"
_EVERY = 30  # seconds between readings of an idle agent
_SETTLE = 3.0  # seconds after its first message until an agent counts as idle
_OUTAGE = 1.0  # seconds that the broker is away
_FEW, _MANY = 20, 220  # messages of the two runs whose difference is told of the wire and of CPU
_MANY_OF_ARDUINO = 70  # which looks 50 ms for what has come before each
_MESSAGES = 30  # until the heap of an agent is at rest
_HEAPS = {"heap at rest": "bytes", "heap at its peak": "bytes", "smallest heap": "KB"}  # figure: unit
_DISCOVERY = b"\x81\xa2\x00\x68thing_id\x03\x65bench"  # what Arduino's cloud tells a new device: SenML in CBOR
_PARTS = ("start", "idle", "wire", "restart", "heap")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `redpoll bench agent`."""
    parser.add_argument(
        "--repeats", type=at_least(1), default=5, help="of each start and each restart of the broker; the median counts (5)"
    )
    parser.add_argument("--seconds", type=float, default=20, help="that an idle agent is watched (20)")
    parser.add_argument("--only", choices=_PARTS, help="one part of it")


def run(args: argparse.Namespace) -> int:
    """Measure, print the table, write build/bench.json. Returns 0."""
    with tempfile.TemporaryDirectory(prefix="bench-") as folder, broker(Path(folder)) as server:
        with HubProcess(Path(folder, "hub"), broker=f"mqtt://127.0.0.1:{server.port}") as hub:
            bench = Bench(Path(folder), server, hub, Results("agent"))
            parts = {
                "start": lambda: bench.starts(args.repeats),
                "idle": lambda: bench.idle(args.seconds),
                "wire": bench.wire,
                "restart": lambda: bench.restarts(args.repeats),
                "heap": bench.heaps,
            }
            for name, measure in parts.items():
                if args.only in (None, name):
                    measure()
        console = Console(width=max(150, Console().width))
        console.print(
            bench.results.table("The whole agent on the MicroPython VM: median (least-most)", (MQTT, HTTP, ARDUINO, BARE, ASLEEP))
        )
        bench.results.save()
    return 0


class Bench:
    """Starts agents against a broker and a hub, and keeps what it finds in `results`."""

    def __init__(self, folder: Path, server: BrokerProcess, hub: HubProcess, results: Results) -> None:
        self.results = results
        self._folder = folder
        self._server = server
        self._hub = hub
        self._path = peers.bytecode()
        self._known: dict[str, Path] = {}  # transport -> folder of an agent that has registered

    def starts(self, repeats: int) -> None:
        """Milliseconds from the start of the VM's process until the first telemetry is acknowledged."""
        found: dict[str, list[float]] = {}
        for _ in range(repeats):
            for name in (MQTT, HTTP):
                found.setdefault(f"{name}/first", []).append(self._start(name, self._new(name)))
                found.setdefault(name, []).append(self._start(name, self._registered(name)))
            for name in (ARDUINO, BARE):
                found.setdefault(name, []).append(self._start(name, self._folder))
        for name in (MQTT, HTTP, ARDUINO, BARE):
            self.results.add(name, START, "ms", *found[name])
        for name in (MQTT, HTTP):
            self.results.add(name, "the same with registration", "ms", *found[f"{name}/first"])

    def idle(self, seconds: float) -> None:
        """Part of a core that an agent takes whose next reading is not due."""
        names = (MQTT, HTTP, ARDUINO, BARE, ASLEEP)
        if not processes.known():
            for name in names:
                self.results.add(name, IDLE, "% of a core", note="this system does not tell")
            return
        with contextlib.ExitStack() as stack:
            programs = {}
            for name in names:
                programs[name] = stack.enter_context(self._program(name, self._place(name), every=_EVERY, messages=0))
                programs[name].told("acknowledged")
            time.sleep(_SETTLE)
            before = {name: processes.exact_cpu_of(program.pid) for name, program in programs.items()}
            started = time.perf_counter()
            time.sleep(seconds)
            took = time.perf_counter() - started
            for name, program in programs.items():
                used = processes.exact_cpu_of(program.pid) - before[name]
                self.results.add(name, IDLE, "% of a core", 100 * used / took, note=f"{took:.0f} s")

    def wire(self) -> None:
        """Bytes that a message of telemetry takes, both ways, and the CPU time of one."""
        for name in (MQTT, HTTP, ARDUINO):
            messages = (_FEW, _MANY_OF_ARDUINO if name == ARDUINO else _MANY)
            few, many = (self._run_of(name, n) for n in messages)
            count = messages[1] - messages[0]
            body = many["body"]
            self.results.add(name, "body of a message", "bytes", body)
            self.results.add(name, WIRE, "bytes", (many["wire"] - few["wire"]) / count)
            self.results.add(name, PACKET, "bytes", self._bare(name, body))
            if processes.known():
                self.results.add(name, "CPU of a message", "us", (many["cpu"] - few["cpu"]) / count * 1e6)

    def restarts(self, repeats: int) -> None:
        """Seconds from when a broker that was killed listens again until telemetry is acknowledged again."""
        found: dict[str, list[float]] = {MQTT: [], ARDUINO: []}
        for _ in range(repeats):
            with contextlib.ExitStack() as stack:
                programs = {name: stack.enter_context(self._program(name, self._place(name), every=0.2, messages=0)) for name in found}
                for program in programs.values():
                    program.told("acknowledged")
                self._server.stop()
                time.sleep(_OUTAGE)
                self._server.start()
                listening = time.perf_counter()
                self._discover()
                for name, program in programs.items():
                    with contextlib.suppress(ProgramError):
                        found[name].append(program.told("acknowledged", since=listening)[0] - listening)
        note = f"away for {_OUTAGE:g} s"
        for name, values in found.items():
            failed = repeats - len(values)
            self.results.add(name, BACK, "s", *values, note=note if values else "does not come back within 30 s", failed=failed)
        self.results.add(HTTP, BACK, "s", note="needs no broker")

    def heaps(self) -> None:
        """Live heap at rest and the most of it, and the smallest heap, on each machine."""
        control = next(features for features in feature_sets() if features.name == "control")
        for machine in machines():
            starts = Starts(machine, self._hub)
            found = starts.stages(control)
            self._keep_heap(MQTT, machine, found["stages"]["done"], found["peak"], starts.smallest(control, registered=False))
            for name in (HTTP, ARDUINO) if machine.key == "heap64" else (HTTP,):
                said = self._heap(name, machine, "4M", look=True)
                self._keep_heap(name, machine, said["rest"], said["peak"], self._smallest(name, machine, said["peak"] // 1024))
            if machine.key == "heap32":
                for figure, unit in _HEAPS.items():
                    self.results.add(ARDUINO, f"{figure}, {machine.title}", unit, note="that VM has no module ssl")

    def _keep_heap(self, name: str, machine: Machine, *values: int) -> None:
        for (figure, unit), value in zip(_HEAPS.items(), values, strict=True):
            self.results.add(name, f"{figure}, {machine.title}", unit, value)

    def _heap(self, name: str, machine: Machine, heap: str, *, look: bool) -> dict[str, Any]:
        # rest and peak (bytes) of so many messages in a heap of this size. Raises ProgramError when they do not pass
        case = {"every": 0, "sync": True} if name == ARDUINO else {"every": _EVERY, "look": look, "small": not look}
        with self._program(
            name, self._folder if name == ARDUINO else self._new(name), heap, machine, messages=_MESSAGES, **case
        ) as program:
            return program.told("rest", 20, trouble=b"memory")[1]

    def _smallest(self, name: str, machine: Machine, live: int) -> int:
        """KB of the smallest heap in which the messages pass."""

        def is_enough(heap: int) -> bool:
            with contextlib.suppress(ProgramError):
                self._heap(name, machine, f"{heap}K", look=False)
                return True
            return False

        return smallest(live // 2, 2 * live, is_enough)

    def _run_of(self, name: str, messages: int) -> dict[str, Any]:
        # what so many messages took: body (bytes), wire (bytes), cpu (s)
        target = self._hub_port if name == HTTP else self._server.port_311 if name == ARDUINO else self._server.port
        with relay(target) as (port, count):
            through = {"hub_url": f"http://127.0.0.1:{port}/xyte"} if name == HTTP else {"mqtt_hub_url": f"mqtt://127.0.0.1:{port}"}
            case = {"port": port, "sync": True} if name == ARDUINO else through
            with self._program(name, self._place(name), every=0 if name == ARDUINO else _EVERY, messages=messages, **case) as program:
                _, said = program.told("rest")
                said["cpu"] = processes.exact_cpu_of(program.pid) if processes.known() else 0
            said["wire"] = count()
        return said

    @property
    def _hub_port(self) -> int:
        return int(self._hub.url.rpartition(":")[2])

    def _bare(self, name: str, body: int) -> int:
        """Bytes of the smallest packet that brings such a body to the same topic or path, and of its acknowledgement."""
        if name == HTTP:
            path = f"/xyte/v1/devices/{uuid.UUID(int=0)}/telemetry"
            request = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1:{self._hub_port}\r\nContent-Length: {body}\r\n\r\n"
            return len(request) + body + len("HTTP/1.1 204 No Content\r\n\r\n")
        topic = "/a/t/bench/e/o" if name == ARDUINO else f"v1/device/{uuid.UUID(int=0)}/telemetry"
        rest = 2 + len(topic) + 2 + body  # MQTT 3.1.1 §3.3: topic, packet identifier, payload
        return 1 + (1 if rest < 128 else 2) + rest + 4  # §3.4: PUBACK

    def _start(self, name: str, folder: Path) -> float:
        with self._program(name, folder, every=_EVERY, messages=0) as program:
            return (program.told("acknowledged")[0] - program.started) * 1000

    def _program(self, name: str, folder: Path, heap: str = "512K", machine: Machine | None = None, **case: Any) -> Program:
        kind = {ARDUINO: "arduino", BARE: "bare", ASLEEP: "asleep"}.get(name, "redpoll")
        if kind != "redpoll":
            case = {"port": self._server.port_311 if name == ARDUINO else self._server.port, "sync": False} | case
        if name == ARDUINO:
            self._discover()
        vm = list(machine.command) if machine else [str(find_vm())]
        path = peers.linked(peers.ours(frozen=True) if machine and machine.frozen else self._path, folder)
        return Program(vm, f"import agent_bench; agent_bench.{kind}({case!r})", folder, path, heap)

    def _discover(self) -> None:
        async def retain() -> None:
            async with aiomqtt.Client("127.0.0.1", self._server.port_311) as client:
                await client.publish("/a/d/bench/e/i", _DISCOVERY, qos=1, retain=True)

        asyncio.run(retain())

    def _place(self, name: str) -> Path:
        return self._registered(name) if name in (MQTT, HTTP) else self._folder

    def _new(self, name: str) -> Path:
        """A folder with the settings of a device that the hub does not know yet."""
        folder = Path(tempfile.mkdtemp(dir=self._folder))
        transport = "http" if name == HTTP else "mqtt"
        settings = {
            "entry": self._hub.entry_url,
            "sn": uuid.uuid4().hex,
            "hardware_key": "bench",
            "transport": transport,
            "watchdog": False,
        }
        (folder / "settings.json").write_text(json.dumps(settings))
        return folder

    def _registered(self, name: str) -> Path:
        """A folder of a device that the hub knows."""
        if name not in self._known:
            self._known[name] = self._new(name)
            self._start(name, self._known[name])
        return self._known[name]
