"""The hub's Xyte facet without a process and with a clock that tests move: devices and the operator as HTTP clients of it."""

import asyncio
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
from databases import url_in
from hub_support import registration

from tools.hub.app import make_app
from tools.hub.hub import Hub, Settings
from tools.hub.security.signer import Signer
from tools.hub.store.store import Store
from tools.hub.store.unit import Unit

NOON = 1_795_262_400.0  # 2026-11-21T12:00:00Z
KEY = "planted-operator-key-77aa"
HOST = "http://hub.example:8480"
DEVICES = "/xyte/core/v1/organization/devices"
OPERATOR = "/xyte/operator"


class Bench:
    """One hub on a folder."""

    def __init__(self, folder: Path, **settings: Any) -> None:
        self.folder = folder
        self.now = NOON
        self.set_by = 0.0  # seconds that somebody has set the clock forward by
        url = url_in(folder)
        signer = Signer.kept(folder / "license.key")
        self.hub = Hub(Settings(data=folder, operator_key=KEY, database_url=url, signer=signer, **settings))
        self.hub.store = Store(url, self.hub._committed, clock=lambda: self.now)
        self.hub.elapsed = lambda: self.now - self.set_by  # type: ignore[method-assign]
        self._loop = asyncio.new_event_loop()
        self._loop.run_until_complete(self.hub.open())
        self.app = make_app(self.hub)
        self._http = httpx.AsyncClient(transport=httpx.ASGITransport(self.app, raise_app_exceptions=False), base_url=HOST)

    def close(self) -> None:
        self._loop.run_until_complete(self._http.aclose())
        self._loop.run_until_complete(self.hub.close())
        self._loop.close()

    def set_clock(self, seconds: float) -> None:
        """Somebody sets it forward, or back."""
        self.now += seconds
        self.set_by += seconds

    def call(self, method: str, url: str, key: str | None = KEY, body: Any = None, **more: Any) -> httpx.Response:
        """`body` goes as JSON, or as it is when it is bytes; `key` None sends none."""
        sent = {} if body is None else {"content" if isinstance(body, bytes) else "json": body}
        headers = {**({} if key is None else {"Authorization": key}), **more.pop("headers", {})}
        return self._loop.run_until_complete(self._http.request(method, url, headers=headers, **sent, **more))

    def do(self, work: Callable[[Unit], Any]) -> Any:
        """One piece of work of the domain."""
        return self._loop.run_until_complete(self.hub.do(work))

    def sweep(self) -> None:
        """What the hub does from time to time about silent devices."""
        self._loop.run_until_complete(self.hub.sweep())

    def prune(self) -> None:
        """What it forgets from time to time."""
        self._loop.run_until_complete(self.hub.prune())

    def operator(self, method: str, path: str, body: Any = None, *, status: int | None = None, **more: Any) -> Any:
        """A call of the operator that must succeed, or have this status; returns the JSON."""
        answer = self.call(method, path, KEY, body, **more)
        assert answer.status_code in ((200, 201) if status is None else (status,)), answer.text
        return answer.json()

    def items(self, path: str, **query: Any) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.operator("GET", path, params=query)["items"]
        return found

    def upload(self, content: bytes = b"firmware", *, status: int | None = None, **about: str) -> dict[str, Any]:
        said = {"name": "app", "version": "1.0.1", **about}
        made: dict[str, Any] = self.operator("POST", f"{OPERATOR}/files", content, params=said, status=status)
        return made

    def set_latest(self, device: "Device", **values: Any) -> None:
        self.operator("PUT", f"{OPERATOR}/models/{device.model}", values)

    def command(self, device: "Device", name: str = "ping", **more: Any) -> dict[str, Any]:
        made: dict[str, Any] = self.operator("POST", f"{DEVICES}/{device.id}/commands", {"name": name, **more})
        return made

    def device(self, *, claimed: bool = True, **changes: Any) -> "Device":
        """A new device, in a space of its own unless it is not to be claimed."""
        asked = registration(**changes)
        answer = self.call("POST", "/xyte/v1/devices", None, asked)
        assert answer.status_code == 201, answer.text
        made = Device(self, answer.json()["id"], answer.json()["access_key"], asked["hardware_key"])
        if claimed:
            self.operator("POST", f"{DEVICES}/claim", {"sn": asked["sn"], "mac": asked["mac"], "space_id": secrets.token_hex(4)})
        return made

    def activities(self, device_id: str | None, event: str | None = None) -> list[dict[str, str]]:
        """The data of this device's activities."""
        return [item.data for item in self.hub.activities.recent() if item.device_id == device_id and event in (None, item.event)]

    def events(self, device_id: str) -> list[str]:
        return [item.event for item in self.hub.activities.recent() if item.device_id == device_id]

    def of_gateway(self, device_id: str, event: str) -> list[dict[str, str]]:
        return [item.data for item in self.hub.activities.recent() if item.gateway_id == device_id and item.event == event]


class Device:
    """A registered device."""

    def __init__(self, bench: Bench, device_id: str, key: str, model: str) -> None:
        self.bench = bench
        self.id = device_id
        self.key = key
        self.model = model
        self.base = f"/xyte/v1/devices/{device_id}"

    def call(self, method: str, path: str = "", body: Any = None, **more: Any) -> httpx.Response:
        return self.bench.call(method, self.base + path, self.key, body, **more)

    def get(self, path: str = "", **more: Any) -> httpx.Response:
        return self.call("GET", path, **more)

    def post(self, path: str, body: Any = None, **more: Any) -> httpx.Response:
        return self.call("POST", path, body, **more)

    def refusals(self) -> list[str]:
        return [data["refused"] for data in self.bench.activities(self.id, "upstreamMessage") if "refused" in data]
