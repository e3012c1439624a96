"""MQTT clients side by side on the MicroPython VM, in one run: rate, allocation, heap, bytes on the wire, smallest heap."""

import argparse
import asyncio
import contextlib
import json
import os
import resource
import ssl
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from tools.bench import peers
from tools.bench.arguments import at_least
from tools.bench.relay import relay
from tools.bench.results import Figure, Results, came_back, shown
from tools.hub.broker.mosquitto import find_mosquitto
from tools.hub.broker.process import EmbeddedProcess, MosquittoProcess
from tools.hub.broker.terminator import terminate
from tools.hub.ports import free_port
from tools.hub.security.authority import Authority
from tools.smallest import smallest
from tools.vm import find_vm

HEAP = "512K"
LARGE_HEAP = "8M"  # while what a client allocates is counted, nothing is collected


@dataclass(frozen=True)
class Client:
    """One side of the comparison, by its name in vm_side/mqtt_bench."""

    title: str
    messages: int  # of one rate at QoS 1
    modules: tuple[str, ...] = ()  # what it takes on the board, below build/bench


_UMQTT = "lib/umqtt/simple"
_CHUMICRO = ("peers/chumicro_mqtt/*", "peers/chumicro_sockets/*", "peers/chumicro_timing/*")
_ARDUINO = ("peers/arduino_iot_cloud/*", "peers/senml/*", "vm_side/peers/*")
_REDPOLL = (_UMQTT, "firmware/redpoll/net/mqtt", "firmware/redpoll/net/mqtt_*", "firmware/redpoll/net/stream")
CLIENTS = {
    "umqtt": Client("umqtt.simple 1.3.4", 30, (_UMQTT,)),
    "umqtt-nodelay": Client("umqtt.simple, TCP_NODELAY", 4000, (_UMQTT,)),
    "arduino": Client("arduino-iot-cloud 1.4.1", 30),
    "arduino-nodelay": Client("arduino-iot-cloud, TCP_NODELAY", 4000, _ARDUINO),
    "chumicro": Client("chumicro-mqtt 0.30.3", 4000, _CHUMICRO),
    "chumicro-nodelay": Client("chumicro-mqtt, TCP_NODELAY", 4000),
    "redpoll-1": Client("Redpoll, stop and wait", 5000),
    "redpoll": Client("Redpoll, window of 16", 10000, (*_REDPOLL, "firmware/redpoll/net/mqtt5*")),
    "redpoll-311": Client("Redpoll, 3.1.1, window of 16", 10000, _REDPOLL),
    "bare-1": Client("bare loop, stop and wait", 5000),
    "bare": Client("bare loop, window of 16", 10000),
}
# those whose small writes wait for each other: seconds for a few messages
_SLOW = ("umqtt", "arduino")
# whose smallest heap is looked for, and the vm_side/smallest module that does it: nothing but the client, with a window of 4
SMALLEST = {
    "umqtt-nodelay": "umqtt",
    "arduino-nodelay": "arduino",
    "chumicro": "chumicro",
    "redpoll-311": "redpoll_311",
    "redpoll": "redpoll",
}
# whose memory is looked at: how a socket is set does not change it
MEMORY = ("umqtt-nodelay", "arduino-nodelay", "chumicro", "redpoll-1", "redpoll", "redpoll-311", "bare")
# figure: (key in what the VM tells, its heading)
MEMORY_FIGURES = {
    "allocated by a publish": ("allocated", "allocated per\npublish"),
    "heap after import": ("imported", "heap after\nimport"),
    "heap after connect": ("connected", "after\nconnect"),
    "heap after 100 messages": ("after_100", "after 100\nmessages"),
    "heap after 10,000 messages": ("after", "after 10,000\nmessages"),
    "on the wire, a message": ("wire", "on the wire\nper message"),
    "bytecode": ("mpy", ".mpy"),
}
_SMALLEST_KB = "smallest_kb"
_MESSAGES = 10_000  # of a look at memory
_PROTOCOL_5 = ("redpoll-1", "redpoll", "bare", "bare-1")
_TLS_SLOWER = 2  # fewer messages, so that a run stays short


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `redpoll bench mqtt`."""
    parser.add_argument("--repeats", type=at_least(1), default=5, help="of each rate; the median counts (5)")
    parser.add_argument("--only", choices=("rates", "memory", "heap"), help="one part of it")


def run(args: argparse.Namespace) -> int:
    """Measure, print the tables, write build/bench.json. Returns 0."""
    # each table is as wide as it needs: a cell that is cut short is no figure
    console = Console(width=1000)
    with contextlib.ExitStack() as stack:
        bench = Bench(peers.bytecode(), Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-clients-"))))
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-")))
        places: dict[str, Callable[[str], tuple[int, str]]] = {}
        ca, listener = certificates(folder)
        if find_mosquitto() is None:
            print("redpoll bench mqtt: mosquitto is not installed (apt install mosquitto); the embedded broker alone", file=sys.stderr)
        else:
            plain = stack.enter_context(MosquittoProcess())
            secure = stack.enter_context(MosquittoProcess(listener=listener))
            places = {"Mosquitto": lambda _: (plain.port, ""), "Mosquitto, TLS": lambda _: (secure.port, str(ca))}
        embedded = stack.enter_context(EmbeddedProcess(folder))
        places["embedded rumqttd"] = lambda name: (embedded.again().port if name in _PROTOCOL_5 else embedded.again().port_311, "")
        # as a hub has it: TLS ends in Python, before the broker
        ports = stack.enter_context(terminated(folder, embedded.port, embedded.port_311))
        places["embedded rumqttd, TLS"] = lambda name: (
            ports[embedded.again().port if name in _PROTOCOL_5 else embedded.again().port_311],
            str(ca),
        )
        place = next(iter(places.values()))
        if args.only in (None, "rates"):
            for qos in (1, 0):
                for broker in places:
                    bench.rates(broker, places[broker], qos, args.repeats)
                console.print(bench.table_of_rates(qos, tuple(places)))
        if args.only in (None, "memory"):
            bench.memory(place)
        if args.only in (None, "heap"):
            bench.smallest(place)
        if args.only != "rates":
            console.print(bench.table_of_memory())
    bench.results.save()
    return 0


class Bench:
    """Runs vm_side/mqtt_bench.py and keeps what it found: {client: {figure: its values}}, and in `results`."""

    def __init__(self, path: str, folder: Path) -> None:
        """`path`: as peers.bytecode() returns it. `folder`: an empty one, where the clients run."""
        self._path = peers.linked(path, folder)
        self._folder = folder
        self.found: dict[str, dict[str, Figure]] = {name: {} for name in CLIENTS}
        self.results = Results("mqtt")

    def rates(self, broker: str, place: Callable[[str], tuple[int, str]], qos: int, repeats: int) -> None:
        """Messages/s of each client at this broker, the clients by turns; and the CPU time of a message."""
        rates: dict[str, list[float]] = {name: [] for name in CLIENTS}
        cpu: dict[str, list[float]] = {name: [] for name in CLIENTS}
        for _ in range(repeats):
            for name, client in CLIENTS.items():
                for _ in range(2):
                    port, ca = place(name)
                    n = CLIENTS["bare"].messages if qos == 0 else client.messages
                    n = n if name in _SLOW else n // (_TLS_SLOWER if ca else 1)
                    # rumqttd may have panicked over the last client that left (see tools/hub/broker/rumqttd.py)
                    with contextlib.suppress(subprocess.CalledProcessError):
                        done, seconds = self._measure(name, port, ca, "rate", n, qos)
                        rates[name].append(done["rate"])
                        cpu[name].append(seconds * 1e6 / n)
                        break
        key = f"{broker}, QoS {qos}"
        for name, values in rates.items():
            title = CLIENTS[name].title
            failed = repeats - len(values)
            self.found[name][key] = self.results.add(
                title, f"rate, {key}", "messages/s", *values, note="" if values else "fails", failed=failed
            )
            if name not in _SLOW:  # of those it is mostly their start
                cpu_key = f"CPU of a message, {key}"
                self.found[name][cpu_key] = self.results.add(title, cpu_key, "us", *cpu[name], failed=failed)

    def memory(self, place: Callable[[str], tuple[int, str]]) -> None:
        """Bytes allocated by a publish, the heap after import, after connect and after 10,000 messages, five times; bytes on the wire."""
        for name in MEMORY:
            client = CLIENTS[name]
            port = place(name)[0]
            # a client that is polled while the broker takes its time may allocate as long as that lasts, which says nothing of it
            runs = [self._measure(name, port, "", "memory", _MESSAGES, 1)[0] for _ in range(5)]
            values = {key: [run[key] for run in runs] for key in runs[0]}
            few, more = 100, 400
            values["wire"] = [(self._wire(name, port, more) - self._wire(name, port, few)) / (more - few)]
            if client.modules:
                values["mpy"] = [sum(file.stat().st_size for module in client.modules for file in peers.target("").glob(f"{module}.mpy"))]
            for title, (key, _) in MEMORY_FIGURES.items():
                if key in values:
                    self.found[name][key] = self.results.add(client.title, title, "bytes", *values[key])

    def smallest(self, place: Callable[[str], tuple[int, str]]) -> None:
        """KB of the smallest heap in which connect, subscribe and 500 messages at QoS 1 pass."""
        for name, module in SMALLEST.items():

            def is_enough(heap: int, name: str = name, module: str = module) -> bool:
                # collecting often keeps a small heap in one piece; a board that is short of memory does the same
                code = f"import gc; gc.threshold(4096); import small_{module}; small_{module}.run({place(name)[0]})"
                with contextlib.suppress(subprocess.CalledProcessError, subprocess.TimeoutExpired):
                    self._run(code, f"{heap}K")
                    return True
                return False

            found = smallest(4, 256, is_enough)
            self.found[name][_SMALLEST_KB] = self.results.add(CLIENTS[name].title, "smallest heap", "KB", found)

    def _wire(self, name: str, port: int, n: int) -> int:
        with relay(port) as (relayed, count):
            self._measure(name, relayed, "", "rate", n, 1)
            return count()

    def _measure(self, name: str, port: int, ca: str, what: str, n: int, qos: int) -> tuple[dict[str, float], float]:
        # (what it printed, seconds of CPU of the process)
        code = f"import mqtt_bench; mqtt_bench.run({name!r}, {port}, {ca!r}, {what!r}, {n}, {qos})"
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        output = self._run(code, LARGE_HEAP if what == "memory" else HEAP)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        done: dict[str, float] = json.loads(output.splitlines()[-1])
        return done, seconds

    def _run(self, code: str, heap: str) -> str:
        command = [str(find_vm()), "-X", f"heapsize={heap}", "-c", code]
        environment = {"MICROPYPATH": self._path}
        ran = subprocess.run(command, cwd=self._folder, env=environment, capture_output=True, text=True, timeout=60, check=True)
        return ran.stdout

    def table_of_rates(self, qos: int, brokers: tuple[str, ...]) -> Table:
        """Messages/s: median, smallest and largest, and how much of the bare loop's rate the median is."""
        table = Table(
            title=f"QoS {qos}: messages/s, 138 bytes of JSON encoded for each; median (min-max, in thousands), part of the bare loop"
        )
        table.add_column("client", no_wrap=True)
        for broker in brokers:
            table.add_column(broker, justify="right", no_wrap=True)
        table.add_column("CPU us/message", justify="right")
        for name, client in CLIENTS.items():
            keys = [f"{broker}, QoS {qos}" for broker in brokers]
            row = [_rate(self.found[name][key], self.found["bare"][key]) for key in keys]
            cpu = self.found[name].get(f"CPU of a message, {keys[0]}")
            table.add_row(client.title, *row, "" if cpu is None or cpu.median is None else f"{cpu.median:,.1f}")
        return table

    def table_of_memory(self) -> Table:
        """Memory, wire and code."""
        table = Table(title="QoS 1 on the 64-bit VM, .mpy: bytes")
        table.add_column("client", no_wrap=True)
        for heading in (*[heading for _, heading in MEMORY_FIGURES.values()], "smallest heap\nKB"):
            table.add_column(heading, justify="right")
        for name, client in CLIENTS.items():
            keys = [*[key for key, _ in MEMORY_FIGURES.values()], _SMALLEST_KB]
            row = [shown(self.found[name][key]) if key in self.found[name] else "" for key in keys]
            if any(row):
                table.add_row(client.title, *row)
        return table


def _rate(rate: Figure, bare: Figure) -> str:
    if rate.median is None or rate.min is None or rate.max is None:
        return rate.note
    spread = f"({rate.min / 1000:.1f}-{rate.max / 1000:.1f})"
    part = f" {rate.median / bare.median:>4.0%}" if bare.median else ""
    return f"{rate.median:,.0f} {spread:>13}{part} {came_back(rate)}".rstrip()


def certificates(folder: Path) -> tuple[Path, str]:
    """A CA in DER, and the lines that give a Mosquitto listener a certificate of it for localhost."""
    authority = Authority.made("bench CA")
    issued = authority.issue("localhost", ["localhost", "127.0.0.1"])
    ca = folder / "ca.der"
    ca.write_bytes(authority.der())
    (folder / "server.pem").write_bytes(issued.certificate)
    (folder / "server.key").write_bytes(issued.key)
    # Mosquitto gives up root's rights before it reads the key
    user = "user root\n" if os.geteuid() == 0 else ""
    return ca, f"{user}certfile {folder}/server.pem\nkeyfile {folder}/server.key\n"


@contextlib.contextmanager
def terminated(folder: Path, *plain: int) -> Iterator[dict[int, int]]:
    """The port with TLS before each of these plain ones of this machine; the certificate is the one that certificates() has made."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "server.pem", folder / "server.key")
    ports = {port: free_port() for port in plain}
    loop = asyncio.new_event_loop()
    for port, secure in ports.items():
        loop.run_until_complete(terminate("127.0.0.1", secure, port, context))
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    try:
        yield ports
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
