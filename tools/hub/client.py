"""The operator as a client of a hub: what a script, a test or `redpoll run` does with it."""

import functools
import json
import ssl
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

import httpx

_ORGANIZATION = "/xyte/core/v1/organization/devices"
_INCIDENTS = "/xyte/core/v1/organization/incidents"
_FILES = "/xyte/operator/files"
_MODELS = "/xyte/operator/models"
_SPACES = "/xyte/operator/spaces"


class HubError(Exception):
    """The hub refused a call; `status` is the HTTP status, the text what the hub said."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(f"{status}: {message}")
        self.status = status


@functools.cache
def _what_this_machine_trusts() -> ssl.SSLContext:
    return ssl.create_default_context()


class OperatorClient:
    """Calls of the operator. Every method raises HubError when the hub refuses and httpx.TransportError when it is not there."""

    def __init__(self, url: str, key: str, timeout: float = 10.0, ca: Path | None = None) -> None:
        """`ca`: of an https:// hub, such as its ca.pem; None: those that this machine trusts. Raises OSError when it cannot be read."""
        self.url = url.rstrip("/")
        trust = _what_this_machine_trusts() if ca is None else ssl.create_default_context(cafile=ca)
        self._http = httpx.Client(base_url=self.url, headers={"Authorization": key}, timeout=timeout, verify=trust)

    def close(self) -> None:
        """Close its connections."""
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def devices(self) -> list[dict[str, Any]]:
        """All devices, in the order of their registration."""
        found: list[dict[str, Any]] = []
        while True:
            page = self._items(_ORGANIZATION, limit=1000, offset=len(found))
            found += page
            if len(page) < 1000:
                return found

    def device(self, device_id: str) -> dict[str, Any]:
        """One device."""
        return self._object("GET", f"{_ORGANIZATION}/{device_id}")

    def claim(
        self,
        *,
        cloud_id: str | None = None,
        mac: str | None = None,
        sn: str | None = None,
        name: str | None = None,
        space_id: str | int | None = None,
    ) -> dict[str, Any]:
        """Take a registered device, named by cloud_id or by sn (and mac, where several have it), into a space; returns the device."""
        named = {"cloud_id": cloud_id, "mac": mac, "sn": sn, "name": name, "space_id": space_id}
        return self._object("POST", f"{_ORGANIZATION}/claim", {key: value for key, value in named.items() if value is not None})

    def configure(self, device_id: str, configuration: dict[str, Any]) -> dict[str, Any]:
        """Replace the device's configuration; returns the device, with the new config_version."""
        return self._object("PATCH", f"{_ORGANIZATION}/{device_id}", {"configuration": configuration})

    def rename(self, device_id: str, name: str) -> dict[str, Any]:
        """Give the device another name; returns the device."""
        return self._object("PATCH", f"{_ORGANIZATION}/{device_id}", {"name": name})

    def move(self, device_id: str, space_id: str | int) -> dict[str, Any]:
        """Put the device into another space, one that has no serial number to be claimed by too; returns it."""
        return self._object("PATCH", f"{_ORGANIZATION}/{device_id}", {"space_id": space_id})

    def clear_problems(self, device_id: str) -> dict[str, Any]:
        """What went wrong with the device has been seen: it is shown no longer. Returns the device."""
        return self._object("DELETE", f"{_ORGANIZATION}/{device_id}/problems")

    def command(
        self,
        device_id: str,
        name: str,
        parameters: dict[str, Any] | None = None,
        friendly_name: str | None = None,
        file_id: str | None = None,
    ) -> dict[str, Any]:
        """Queue a command, with a file where one is named; returns it, with its id and status."""
        body = {"name": name, "friendly_name": friendly_name, "file_id": file_id, "extra_params": parameters or {}}
        return self._object("POST", f"{_ORGANIZATION}/{device_id}/commands", body)

    def commands(self, device_id: str, limit: int = 100, offset: int = 0) -> list[dict[str, Any]]:
        """The device's commands with status, message and times, newest first."""
        return self._items(f"{_ORGANIZATION}/{device_id}/commands", limit=limit, offset=offset)

    def get_command(self, device_id: str, command_id: str) -> dict[str, Any]:
        """One of them."""
        return self._object("GET", f"{_ORGANIZATION}/{device_id}/commands/{command_id}")

    def cancel(self, device_id: str, command_id: str) -> dict[str, Any]:
        """Take a pending command back; 403 once the device has begun it."""
        return self._object("DELETE", f"{_ORGANIZATION}/{device_id}/commands/{command_id}")

    def upload_file(self, content: bytes | Path, name: str, **about: str) -> dict[str, Any]:
        """Upload a file for devices to fetch; returns it, with its id and checksum.

        `about`: file_type (default firmware; bundle), version, hardware_key (default every model), desc, public_notes, checksum, signature.
        """
        body = content.read_bytes() if isinstance(content, Path) else content
        return self._object("POST", _FILES, params={"name": name, **about}, content=body)

    def files(self, limit: int = 1000, offset: int = 0) -> list[dict[str, Any]]:
        """All files, oldest first."""
        return self._items(_FILES, limit=limit, offset=offset)

    def delete_file(self, file_id: str) -> None:
        """Delete a file; 422 while a model or an unfinished command needs it."""
        self._object("DELETE", f"{_FILES}/{file_id}")

    def request_update(
        self, device_id: str, *, file_id: str | None = None, url: str | None = None, uuid: str | None = None
    ) -> dict[str, Any]:
        """Send the device Edgehog's OTARequest, for a file of the hub or an address; returns the update, with its uuid."""
        body = {key: value for key, value in (("file_id", file_id), ("url", url), ("uuid", uuid)) if value is not None}
        return self._object("POST", _updates(device_id), body)

    def cancel_update(self, device_id: str, uuid: str) -> dict[str, Any]:
        """Ask the device to give an update up; it answers with an event."""
        return self._object("DELETE", f"{_updates(device_id)}/{uuid}")

    def update(self, device_id: str, uuid: str) -> dict[str, Any]:
        """One update: status, progress, code and message of its last event, and all its `events`."""
        return self._object("GET", f"{_updates(device_id)}/{uuid}")

    def updates(self, device_id: str, limit: int = 100, offset: int = 0) -> list[dict[str, Any]]:
        """The device's updates, newest first."""
        return self._items(_updates(device_id), limit=limit, offset=offset)

    def incidents(self, device_id: str, limit: int = 100, offset: int = 0) -> list[dict[str, Any]]:
        """The device's incidents, open and closed, newest first."""
        return self._items(f"{_ORGANIZATION}/{device_id}/incidents", limit=limit, offset=offset)

    def open_incident(self, device_id: str, title: str, priority: str, **more: str) -> dict[str, Any]:
        """Open an incident; `priority` is critical, high, moderate, low or planning, `more` issue and description."""
        return self._object("POST", f"{_ORGANIZATION}/{device_id}/incidents", {"title": title, "priority": priority, **more})

    def close_incident(self, incident_id: str) -> dict[str, Any]:
        """Close an incident; returns it."""
        return self._object("DELETE", f"{_INCIDENTS}/{incident_id}")

    def events(self, device_id: str, limit: int = 100, before: int | None = None, offset: int = 0) -> list[dict[str, Any]]:
        """The device's events log, newest first; `before` takes the seq of the last one seen."""
        query = {"limit": limit, "offset": offset} | ({} if before is None else {"before": before})
        return self._items(f"{_ORGANIZATION}/{device_id}/events", **query)

    def telemetry(self, device_id: str) -> dict[str, Any]:
        """The merged state: status, message, timestamp, telemetries."""
        return self._object("GET", f"{_ORGANIZATION}/{device_id}/telemetry")

    def history(self, device_id: str, limit: int = 100, before: int | None = None, offset: int = 0) -> list[dict[str, Any]]:
        """Telemetry messages, newest first; `before` takes the seq of the last one seen."""
        query = {"limit": limit, "offset": offset} | ({} if before is None else {"before": before})
        return self._items(f"{_ORGANIZATION}/{device_id}/telemetry/history", **query)

    def add_license(self, device_id: str, name: str, expires_at: str | None = None, fields: dict[str, Any] | None = None) -> dict[str, Any]:
        """Give the device a licence, signed by the hub. Returns it, with its id and state.

        `expires_at` is ISO 8601, None for never; `fields` are texts, numbers, booleans within the signed data.
        """
        return self._object("POST", _licenses(device_id), {"name": name, "expires_at": expires_at, "fields": fields or {}})

    def renew_license(
        self, device_id: str, license_id: str, expires_at: str | None, fields: dict[str, Any] | None = None
    ) -> dict[str, Any]:
        """Sign a licence anew with this expiry (None: never), and with other fields when they are given."""
        body = {"expires_at": expires_at} | ({} if fields is None else {"fields": fields})
        return self._object("PUT", f"{_licenses(device_id)}/{license_id}", body)

    def remove_license(self, device_id: str, license_id: str) -> dict[str, Any]:
        """Take a licence away; it is pending until the device has answered."""
        return self._object("DELETE", f"{_licenses(device_id)}/{license_id}")

    def licenses(self, device_id: str, limit: int = 1000, offset: int = 0) -> list[dict[str, Any]]:
        """The device's licences, oldest first: action, state (pending, inuse, removed, error), the device's error, data."""
        return self._items(_licenses(device_id), limit=limit, offset=offset)

    def license_key(self) -> str:
        """The public key in PEM that the hub's licences are verified with: a board's setting `license_key`."""
        return str(self._object("GET", "/xyte/operator/license-key")["pem"])

    def dumps(self, device_id: str) -> list[dict[str, Any]]:
        """The dumps of a device, oldest first, without their content."""
        return self._items(f"{_ORGANIZATION}/{device_id}/dumps")

    def dump(self, device_id: str, dump_id: str) -> bytes:
        """What the device has uploaded there."""
        answer = self._http.get(f"{_ORGANIZATION}/{device_id}/dumps/{dump_id}/content")
        _check(answer)
        return answer.content

    def delete_dump(self, device_id: str, dump_id: str) -> None:
        """Delete a dump with its content."""
        self._object("DELETE", f"{_ORGANIZATION}/{device_id}/dumps/{dump_id}")

    def delete(self, device_id: str) -> None:
        """Forget the device: it gets 401 from now on."""
        self._object("DELETE", f"{_ORGANIZATION}/{device_id}")

    def set_model(self, hardware_key: str, **values: Any) -> dict[str, Any]:
        """known, latest_fw_version, latest_fw_file_id of a model."""
        return self._object("PUT", f"{_MODELS}/{quote(hardware_key)}", values)

    def models(self) -> list[dict[str, Any]]:
        """Every model that the operator has said something of, or that a device has."""
        return self._items(_MODELS)

    def model(self, hardware_key: str) -> dict[str, Any]:
        """One model; of one that nobody has said anything of, what holds for all such."""
        return self._object("GET", f"{_MODELS}/{quote(hardware_key)}")

    def forget_model(self, hardware_key: str) -> None:
        """Take back what was said of it: it is known, and has no latest firmware."""
        self._object("DELETE", f"{_MODELS}/{quote(hardware_key)}")

    def set_space(self, space_id: str | int, name: str | None = None, info: dict[str, Any] | None = None) -> dict[str, Any]:
        """Name a space and say where it is."""
        return self._object("PUT", f"{_SPACES}/{quote(str(space_id))}", {"name": name, "info": info})

    def spaces(self) -> list[dict[str, Any]]:
        """All spaces, and the home of the unclaimed, whose id is None."""
        return self._items(_SPACES)

    def space(self, space_id: str | int) -> dict[str, Any]:
        """One space, by what the operator calls it."""
        return self._object("GET", f"{_SPACES}/{quote(str(space_id))}")

    def delete_space(self, space_id: str | int) -> None:
        """Delete a space; 422 while devices are in it."""
        self._object("DELETE", f"{_SPACES}/{quote(str(space_id))}")

    def activities(self, since: int | None = None, device_id: str | None = None, event: str | None = None) -> list[dict[str, Any]]:
        """What the hub still knows to have happened, oldest first; `since` takes the seq of the last one seen."""
        answer = self._http.get("/activity", params=_query(since, device_id, event))
        _check(answer)
        return [json.loads(line) for line in answer.text.splitlines() if line]

    def follow(
        self,
        since: int | None = None,
        device_id: str | None = None,
        event: str | None = None,
        last: int | None = None,
        on_open: Callable[[], None] | None = None,
    ) -> Iterator[dict[str, Any]]:
        """What the ring has after `since`, or the `last` so many of it, and then what happens, until the hub stops.

        `{"lost": n}` when this reader was too slow for n, or came back too late for them; `{"lost": None, "restarted": time}` when the hub
        was started after `since`. `on_open` is called when the hub has answered.

        The keepalive comes every 15 s, so a hub that died unseen raises httpx.ReadTimeout after a minute.
        """
        query = {**_query(since, device_id, event), "follow": "1"} | ({} if last is None else {"last": str(last)})
        with self._http.stream("GET", "/activity", params=query, timeout=httpx.Timeout(10, read=60)) as answer:
            if answer.status_code != 200:
                answer.read()
            _check(answer)
            if answer.headers.get("content-type") != "application/x-ndjson":
                raise _no_hub(answer)
            if on_open is not None:
                on_open()
            for line in answer.iter_lines():
                if line:
                    yield json.loads(line)

    def _object(self, method: str, path: str, body: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
        answer = self._http.request(method, path, json=body, **more)
        _check(answer)
        found: dict[str, Any] = answer.json()
        return found

    def _items(self, path: str, **query: int) -> list[dict[str, Any]]:
        answer = self._http.get(path, params=query)
        _check(answer)
        try:
            items: list[dict[str, Any]] = answer.json()["items"]
        except (ValueError, KeyError, TypeError):
            raise _no_hub(answer) from None
        return items


def _licenses(device_id: str) -> str:
    return f"/xyte/operator/devices/{device_id}/licenses"


def _updates(device_id: str) -> str:
    return f"/astarte/operator/devices/{device_id}/updates"


def _query(since: int | None, device_id: str | None, event: str | None) -> dict[str, str]:
    query = {"since": None if since is None else str(since), "deviceId": device_id, "event": event}
    return {key: value for key, value in query.items() if value is not None}


def _no_hub(answer: httpx.Response) -> HubError:
    return HubError(answer.status_code, f"what answers at {answer.url.join('/')} is no hub")


def _check(answer: httpx.Response) -> None:
    if answer.status_code >= 400:
        try:
            body = answer.json()
            message = str(body["error"] if "error" in body else body["errors"]["detail"])
        except (ValueError, KeyError, TypeError) as error:
            if isinstance(error, ValueError) and answer.status_code < 500:
                raise _no_hub(answer) from None
            message = answer.text[:200]
        raise HubError(answer.status_code, message)
