"""`redpoll wire`: what goes over the wire between the firmware and the hub, captured from two boards and printed as in docs/wire.md.

One board speaks MQTT and tells of an update by Astarte and Kura, the other polls over HTTP. HTTP passes through a tap here; MQTT is seen by
a subscriber to everything on the hub's embedded broker.
"""

import argparse
import asyncio
import base64
import contextlib
import json
import re
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import aiomqtt
import httpx

from tools.board.process import Board
from tools.hub.errors import Malformed
from tools.hub.facets.astarte import bson
from tools.hub.facets.kapua import kura_payload
from tools.hub.process import HubProcess
from tools.run import HEAP, Product

CLOUDS = ("mqtt", "http", "astarte", "kura")
_DOWN = ("config", "commands", "license", "space_info", "firmware")  # topics of seed 001 by which the cloud speaks
_SECONDS = 45.0
_LONGEST = 48  # characters of a text that are shown
_HEADERS = ("authorization", "idempotency-key", "range", "content-range")
_UUID = re.compile(r"\b([0-9a-f]{8})-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b")


@dataclass(frozen=True)
class Message:
    """One message: `way` "→" from the device or "←" to it, topic or request line, what goes along, and its body, decoded."""

    cloud: str
    way: str
    head: str
    about: dict[str, str]
    body: Any

    def shape(self) -> tuple[str, str, tuple[str, ...], tuple[str, ...]]:
        """What of it is the same in another capture: ids left out, of what goes along and of the body's first level the names."""
        body = self.body if isinstance(self.body, dict) else {}
        body = body.get("v", body)  # Astarte's objects lie one level deeper
        names = sorted(f"{key}={value}" if key.endswith("status") else key for key, value in body.items())
        head = re.sub(r"[0-9a-f]{8}…|\b[\w-]{22}\b(?=/|$)|DEPLOY-V2/NOTIFY/[^/]+", "ID", self.head)
        return self.way, re.sub(r"\d+ bytes", "N bytes", head), tuple(sorted(self.about)), tuple(names)

    def lines(self) -> list[str]:
        """As it is printed."""
        first = "  ".join([f"{self.way} {self.head}", *(f"{name}={value}" for name, value in self.about.items())])
        if self.body is None:
            return [first]
        return [first, f"  {self.body if isinstance(self.body, str) else json.dumps(self.body, ensure_ascii=False)}"]


def parsed(cloud: str, text: str) -> list[Message]:
    """The messages of a text that lines() has made. Raises ValueError for what is none."""
    found: list[Message] = []
    for line in text.splitlines():
        if line.startswith("  ") and found:
            last = found[-1]
            body = json.loads(line) if line[2] in "{[" else line[2:]
            found[-1] = Message(cloud, last.way, last.head, last.about, body)
        elif line[:2] in ("→ ", "← "):
            head, *about = line[2:].split("  ")
            found.append(Message(cloud, line[0], head, dict(part.split("=", 1) for part in about), None))
        elif line.strip():
            raise ValueError(f"no message: {line}")
    return found


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `redpoll wire`."""
    parser.add_argument("--only", choices=CLOUDS, help="one of them")


def run(args: argparse.Namespace) -> int:
    """Print one block for each cloud."""
    messages = capture()
    for cloud in [args.only] if args.only else CLOUDS:
        print(f"--- {cloud}")
        for message in messages:
            if message.cloud == cloud:
                print("\n".join(message.lines()))
    return 0


def capture() -> list[Message]:
    """Have two boards do their whole job -> the first message of each kind, in their order. Raises TimeoutError."""
    seen = _Seen()
    with tempfile.TemporaryDirectory(prefix="wire-") as name, HubProcess(Path(name) / "hub") as hub, _Tap(hub.url, seen) as tap:
        folder = Path(name)
        product = Product(folder / "product", bad=False)
        common = {"entry": f"{tap.url}/xyte", "license_key": hub.operator.license_key(), "update_key": product.public_key}
        by_mqtt = common | {"sn": "A1", "report": ["astarte", "kura"], "trial_timeout": 20}
        by_http = common | {"sn": "B2", "transport": "http"}
        with (
            _listening(hub.mqtt_url, seen),
            Board(folder / "a", by_mqtt, main=product.main, heap=HEAP, terminal=folder / "tty"),
            Board(folder / "b", by_http, main=product.main, heap=HEAP),
        ):
            _operate(hub, product, seen)
    return seen.messages()


def _operate(hub: HubProcess, product: Product, seen: "_Seen") -> None:
    operator = hub.operator
    devices = _wait(lambda: {device["sn"]: device["id"] for device in operator.devices()}, lambda found: len(found) == 2, "registration")
    # what is said before anybody has done anything
    seen.wait("mqtt", "←", "/config")
    for cloud in ("mqtt", "http"):
        seen.wait(cloud, "→", "/telemetry")
    operator.set_space("hall-1", name="Hall 1")
    for sn, device in devices.items():
        operator.claim(name=f"board {sn}", space_id="hall-1", sn=sn)
        version = operator.configure(device, {"interval": 5, "label": "demo"})["config_version"]
        operator.command(device, "blink", {"times": 1})
        operator.add_license(device, "night mode")
        _wait(lambda: operator.device(device)["device_config_version"], lambda now: now == version, "the configuration")  # noqa: B023
        _wait(lambda: operator.commands(device), lambda all_: all(c["status"] == "done" for c in all_), "the command")  # noqa: B023
        _wait(lambda: operator.licenses(device), lambda held: held and held[0]["state"] == "inuse", "the licence")  # noqa: B023
    device = devices["A1"]
    file = operator.upload_file(product.bundle, "demo.zip", file_type="bundle")["id"]
    update = operator.request_update(device, file_id=file)["uuid"]
    _wait(lambda: operator.update(device, update)["status"], lambda status: status == "Success", "the update")
    # what comes later: telemetry that says only what was read since, no more commands, the last step of the update
    for cloud in ("mqtt", "http"):
        seen.wait(cloud, "→", "/telemetry", 2)
    seen.wait("http", "←", "/command", 4)
    seen.wait("kura", "→", "/install", 2)


def _wait(look: Callable[[], Any], good: Callable[[Any], object], what: str) -> Any:
    deadline = time.monotonic() + _SECONDS
    while not good(found := look()):
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {_SECONDS:g} s in vain for {what}")
        time.sleep(0.1)
    return found


@dataclass
class _Seen:
    """The first message of each kind. What is secret in them is cut short: the access keys as soon as they are known."""

    _kept: dict[tuple[object, ...], Message] = field(default_factory=dict)
    _keys: set[str] = field(default_factory=set)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, cloud: str, way: str, head: str, about: dict[str, str], body: Any) -> None:
        with self._lock:
            if isinstance(body, dict) and isinstance(body.get("access_key"), str):
                self._keys.add(body["access_key"])
            message = Message(cloud, way, self._short(head), {name: self._short(value) for name, value in about.items()}, self._shown(body))
            self._kept.setdefault((cloud, message.shape()), message)

    def messages(self) -> list[Message]:
        with self._lock:
            return list(self._kept.values())

    def wait(self, cloud: str, way: str, ending: str, kinds: int = 1) -> None:
        """Wait until there are messages of so many kinds to topics or paths that end like this. Raises TimeoutError."""

        def found() -> int:
            return sum(message.cloud == cloud and message.way == way and message.head.endswith(ending) for message in self.messages())

        _wait(found, lambda count: count >= kinds, f"{kinds} kinds of {cloud} messages that end with {ending}")

    def _short(self, text: str) -> str:
        for key in self._keys:
            text = text.replace(key, key[:8] + "…")
        text = _UUID.sub(r"\1…", text)
        return _cut(text, 2 * _LONGEST)

    def _shown(self, value: Any) -> Any:
        if isinstance(value, dict):
            return {key: self._shown(one) for key, one in value.items()}
        if isinstance(value, list):
            return [self._shown(one) for one in value]
        if isinstance(value, str):
            return _cut(self._short(value), _LONGEST)
        return value


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else text[:most].rstrip("…") + "…"


class _Tap:
    """A proxy in front of the hub's HTTP side that shows each request and its answer."""

    def __init__(self, target: str, seen: _Seen) -> None:
        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def forward(self) -> None:
                data = self.rfile.read(int(self.headers.get("Content-Length", "0")))
                headers = {name: value for name, value in self.headers.items() if name.lower() not in ("content-length", "connection")}
                answer = httpx.request(self.command, target + self.path, content=data, headers=headers, timeout=30)
                request = f"{self.command} {self.path.partition('?')[0]}"
                seen.add("http", "→", request, _chosen(dict(self.headers.items())), _decoded(data))
                seen.add("http", "←", f"{answer.status_code} to {request}", _chosen(dict(answer.headers)), _decoded(answer.content))
                self.send_response_only(answer.status_code)
                for name in ("Content-Type", "Content-Range", "Date", "ETag", "Accept-Ranges"):
                    if name in answer.headers:
                        self.send_header(name, answer.headers[name])
                self.send_header("Content-Length", str(len(answer.content)))
                self.end_headers()
                self.wfile.write(answer.content)

            do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = forward  # noqa: N815

            def log_message(self, format: str, *args: object) -> None:
                """Nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> "_Tap":
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()


def _chosen(headers: dict[str, str]) -> dict[str, str]:
    return {name.title(): value for name, value in headers.items() if name.lower() in _HEADERS}


@contextlib.contextmanager
def _listening(url: str, seen: _Seen) -> Iterator[None]:
    """Meanwhile show all that goes through the broker."""
    over, ready = asyncio.Event(), threading.Event()
    loop = asyncio.new_event_loop()

    async def listen() -> None:
        host, _, port = url.removeprefix("mqtt://").partition(":")
        async with aiomqtt.Client(host, int(port), protocol=aiomqtt.ProtocolVersion.V5, identifier="wire") as client:
            await client.subscribe("#", qos=2)
            ready.set()
            async with asyncio.TaskGroup() as tasks:
                reading = tasks.create_task(_read(client, seen))
                await over.wait()
                reading.cancel()

    thread = threading.Thread(target=lambda: loop.run_until_complete(listen()), daemon=True)
    thread.start()
    if not ready.wait(_SECONDS):
        raise TimeoutError("the broker does not answer")
    try:
        yield
    finally:
        loop.call_soon_threadsafe(over.set)
        thread.join(_SECONDS)
        loop.close()


async def _read(client: aiomqtt.Client, seen: _Seen) -> None:
    async for message in client.messages:
        topic, payload = str(message.topic), bytes(message.payload) if isinstance(message.payload, bytes | bytearray) else b""
        first, *parts = topic.split("/")
        if first == "v1":
            down = len(parts) == 3 and parts[2] in _DOWN
            seen.add("mqtt", "←" if down else "→", topic, _properties(message.properties), _decoded(payload))
        elif first == "EDC":
            seen.add("kura", "→", topic, {}, _kura(payload))
        else:
            down = topic.endswith("OTARequest/request") or "/control/consumer" in topic
            seen.add("astarte", "←" if down else "→", topic, {}, _bson(payload) if "OTA" in topic.rpartition("/")[0] else _decoded(payload))


def _properties(found: Any) -> dict[str, str]:
    about = dict(getattr(found, "UserProperty", []))
    for name, shown in (
        ("ResponseTopic", "response topic"),
        ("CorrelationData", "correlation"),
        ("MessageExpiryInterval", "expires after s"),
    ):
        value = getattr(found, name, None)
        if value is not None:
            about[shown] = value.decode(errors="replace") if isinstance(value, bytes) else str(value)
    return about


def _decoded(data: bytes) -> Any:
    if not data:
        return None
    try:
        return json.loads(data)
    except ValueError:
        pass
    return data.decode() if data.isascii() and len(data) < 200 and data.decode().isprintable() else f"{len(data)} bytes"


def _bson(data: bytes) -> Any:
    def plain(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: plain(one) for key, one in value.items()}
        if isinstance(value, bytes):
            return base64.b64encode(value).decode()
        return getattr(value, "ms", value)

    try:
        return plain(bson.decode(data))
    except Malformed:
        return f"{len(data)} bytes"


def _kura(data: bytes) -> Any:
    return {name: metric.value for name, metric in kura_payload.decode(data).metrics.items()}
