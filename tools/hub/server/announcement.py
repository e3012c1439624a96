"""What a hub says when it is ready: hub.json for programs, and lines for people, whose commands work as pasted, from any folder."""

import ipaddress
import json
import os
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from tools.hub.broker.address import Listener
from tools.hub.data_folder import KEY_FILE, READY_FILE
from tools.hub.hub import Settings
from tools.hub.security.authority import CA_FILE, means_every, own_hosts
from tools.hub.security.certificates import Certificates

_LOOPBACK = ("127.0.0.1", "::1", "localhost")
_DEVICES = "/xyte/core/v1/organization/devices"


def write_ready(settings: Settings, url: str, listeners: list[Listener], *, tls: bool) -> None:
    """Write hub.json, whole or not at all."""
    ready: dict[str, Any] = {"url": url, "mqtt_url": listeners[0].address.url, "pid": os.getpid()}
    if len(listeners) > 1:
        ready["mqtt311_url"] = listeners[1].address.url
    if tls:
        ready["ca"] = str((settings.data / CA_FILE).resolve())
    temporary = settings.data / f"{READY_FILE}.new"
    temporary.write_text(json.dumps(ready))
    temporary.replace(settings.data / READY_FILE)


def announce(settings: Settings, host: str, url: str, listeners: list[Listener], certificates: Certificates | None) -> None:
    """Print where the hub is, and what to do next."""
    for line in (*_places(settings, host, url, listeners, certificates), *_commands(settings, host, url, tls=certificates is not None)):
        print(line)
    sys.stdout.flush()


def _places(settings: Settings, host: str, url: str, listeners: list[Listener], certificates: Certificates | None) -> Iterator[str]:
    shown_url = settings.public_url or url
    yield f"hub at {shown_url}"
    for listener in listeners:
        yield f"  {listener.speaks:<10}  {listener.address.url}"
    if means_every(host):
        yield f"  addresses   of this machine, to be used instead: {', '.join(own_hosts()[1:])}"
    if certificates is None:
        yield "  CA          none: nothing is encrypted (--no-tls)"
    else:
        yield f"  CA          {_absolute(settings, CA_FILE)}, also at {shown_url}/ca.pem"
        yield f"              SHA-256 {certificates.authority.fingerprint()}"
    where = f"in {_absolute(settings, KEY_FILE)}" if _key_is_kept(settings) else "the one you gave ($REDPOLL_OPERATOR_KEY below)"
    yield f"  operator    {shown_url}/docs has the calls; the key for Authorization is {where}"


def _commands(settings: Settings, host: str, url: str, *, tls: bool) -> Iterator[str]:
    redpoll, data = _redpoll(), shlex.quote(str(settings.data.resolve()))
    ca = shlex.quote(str(_absolute(settings, CA_FILE)))
    key = f"$(cat {shlex.quote(str(_absolute(settings, KEY_FILE)))})" if _key_is_kept(settings) else "$REDPOLL_OPERATOR_KEY"
    entry = f"{settings.public_url or _seen_by_boards(host, url)}/xyte"
    yield "next, in another terminal:"
    yield f"  a board     {redpoll} provision --entry {entry}{f' --ca {ca}' if tls else ''}"
    if settings.public_url is None and host in _LOOPBACK:
        yield "              a virtual one, with its --port; for boards on the network start the hub with --host 0.0.0.0"
    yield f"  watch       {redpoll} watch --data {data}"
    yield f'  devices     curl {f"--cacert {ca} " if tls else ""}-H "Authorization: {key}" {url}{_DEVICES}'


def _absolute(settings: Settings, name: str) -> Path:
    return settings.data.resolve() / name


def _key_is_kept(settings: Settings) -> bool:
    """Whether the key in the data directory is this hub's."""
    key = settings.data / KEY_FILE
    return key.exists() and key.read_text().strip() == settings.operator_key


def _redpoll() -> str:
    """The program, as any folder's shell finds it."""
    program = Path(sys.executable).with_name("redpoll")
    return shlex.quote(str(program)) if program.exists() else f"{shlex.quote(sys.executable)} -m tools.cli"


def _seen_by_boards(host: str, url: str) -> str:
    """The hub's URL; where it listens on every address, with one that the network knows."""
    address = next(filter(_is_on_the_network, own_hosts()), None) if means_every(host) else None
    parts = urlsplit(url)
    return url if address is None else f"{parts.scheme}://{address}:{parts.port}"


def _is_on_the_network(host: str) -> bool:
    try:
        address = ipaddress.ip_address(host)
    except ValueError:  # a name, of which nobody knows who resolves it
        return False
    return address.version == 4 and not address.is_loopback and not address.is_link_local
