"""Thousands of boards in one process: raw MQTT 5 packets at QoS 1, as the seeds write them, on as many sockets as there are devices.

`python -m tools.bench.hub_load` reads one line of JSON, {"host", "port", "devices": [[id, access key], ...]}, connects them all and says
{"connected": n}. Then one line a run: {"rate": messages/s of all together, 0 for as many as go, "seconds", "window"}. With the
rate 0 no more than `window` messages are out that are not stored: lines {"stored": n} tell how many are, in all; with "alone": true,
that are not acknowledged. Each run is answered with {"sent", "acknowledged", "seconds", "cpu", "lost": connections that broke}. It ends
when standard input does.
"""

import asyncio
import json
import os
import resource
import struct
import sys
import time
from typing import Any

from tools.hub import times

_CONNECTING = 100  # at once
_TICK = 0.005  # seconds between two bursts
_ACK_SECONDS = 30.0  # for the last acknowledgements of a run
_KEEPALIVE = 3600


def _text(value: str) -> bytes:
    encoded = value.encode()
    return struct.pack(">H", len(encoded)) + encoded


def _length(number: int) -> bytes:
    """A variable byte integer (MQTT 5.0 §1.5.5)."""
    made = bytearray()
    while True:
        number, digit = divmod(number, 128)
        made.append(digit | (0x80 if number else 0))
        if not number:
            return bytes(made)


class Board(asyncio.Protocol):
    """One device's connection."""

    def __init__(self, device_id: str, key: str, load: "Load") -> None:
        self._load = load
        self._transport: asyncio.Transport | None = None
        self._rest = b""
        self._packet = 0
        self._number = 0
        self._topic = _text(f"v1/device/{device_id}/telemetry")
        self._properties = b"".join(b"&" + _text(name) + _text(value) for name, value in (("device_id", device_id), ("access_key", key)))
        body = b"\x00\x04MQTT\x05\xc2" + struct.pack(">H", _KEEPALIVE) + b"\x00" + _text(device_id) + _text(device_id) + _text(key)
        self._connect = b"\x10" + _length(len(body)) + body
        self.connected = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        transport.write(self._connect)

    def data_received(self, data: bytes) -> None:
        data = self._rest + data if self._rest else data
        at = 0
        while len(data) - at >= 2:
            end = at + 2 + data[at + 1]  # what a broker sends to these is never 128 bytes
            if end > len(data):
                break
            kind = data[at] >> 4
            if kind == 4:
                self._load.acknowledged += 1
            elif kind == 2:
                reason = data[at + 3]
                if reason:
                    self.connected.set_exception(ConnectionError(f"the broker refused a device: {reason:#x}"))
                else:
                    self.connected.set_result(None)
            at = end
        self._rest = data[at:]

    def connection_lost(self, _error: Exception | None) -> None:
        self._transport = None
        self._load.lost += 1
        if not self.connected.done():
            self.connected.set_exception(ConnectionError("the broker closed a connection"))

    def send(self) -> bool:
        """Publish one message; False when the connection is gone."""
        if self._transport is None:
            return False
        self._packet = self._packet % 65535 + 1
        self._number += 1
        n = self._number
        properties = self._properties + b"&" + _text("message_id") + _text(f"{n:010d}")
        payload = (
            f'{{"status":"online","timestamp":"{times.iso(time.time())}","telemetries":{{"temperature":{20 + n % 100 / 10},'
            f'"humidity":{40 + n % 20},"fan":{"true" if n % 2 else "false"},"uptime":{n}}}}}'
        ).encode()
        body = self._topic + struct.pack(">H", self._packet) + _length(len(properties)) + properties + payload
        self._transport.write(b"\x32" + _length(len(body)) + body)
        return True


class Load:
    """All boards, and what they have done."""

    def __init__(self) -> None:
        self.acknowledged = 0
        self.lost = 0
        self._sent = 0
        self._stored = 0
        self._boards: list[Board] = []
        self._next = 0

    async def connect(self, asked: dict[str, Any]) -> None:
        limit = asyncio.Semaphore(_CONNECTING)

        async def one(device_id: str, key: str) -> None:
            async with limit:
                _, board = await asyncio.get_running_loop().create_connection(
                    lambda: Board(device_id, key, self), asked["host"], asked["port"]
                )
                await board.connected
                self._boards.append(board)

        async with asyncio.TaskGroup() as group:
            for device_id, key in asked["devices"]:
                group.create_task(one(device_id, key))

    def stored(self, count: int) -> None:
        self._stored = count

    async def run(self, rate: float, seconds: float, window: int, alone: bool) -> dict[str, float]:
        sent, acknowledged, cpu = self._sent, self.acknowledged, time.process_time()
        started = time.perf_counter()
        while (elapsed := time.perf_counter() - started) < seconds:
            done = self.acknowledged if alone else self._stored
            due = int(rate * elapsed) - (self._sent - sent) if rate else window - (self._sent - done)
            for _ in range(due):
                self._send()
            await asyncio.sleep(_TICK)
        took = time.perf_counter() - started
        deadline = time.perf_counter() + _ACK_SECONDS
        while self.acknowledged < self._sent and time.perf_counter() < deadline:
            await asyncio.sleep(_TICK)
        return {
            "sent": self._sent - sent,
            "acknowledged": self.acknowledged - acknowledged,
            "seconds": took,
            "cpu": time.process_time() - cpu,
            "lost": self.lost,
        }

    def _send(self) -> None:
        board = self._boards[self._next]
        self._next = (self._next + 1) % len(self._boards)
        self._sent += board.send()


async def serve() -> None:
    """Do what standard input asks for until it ends."""
    lines: asyncio.Queue[bytes] = asyncio.Queue()
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(limit=64 * 1024 * 1024)
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    load = Load()

    async def read() -> None:
        async for line in reader:
            said = json.loads(line)
            if "stored" in said:
                load.stored(said["stored"])
            else:
                lines.put_nowait(line)
        os._exit(0)

    reading = loop.create_task(read())
    asked = json.loads(await lines.get())
    await load.connect(asked)
    print(json.dumps({"connected": len(asked["devices"])}), flush=True)
    while not reading.done():
        run = json.loads(await lines.get())
        print(json.dumps(await load.run(run["rate"], run["seconds"], run["window"], run.get("alone", False))), flush=True)


def main() -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    asyncio.run(serve())


if __name__ == "__main__":
    main()
