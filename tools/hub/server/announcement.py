"""What a hub says when it is ready: hub.json for programs, and lines for people."""

import json
import os
from typing import Any

from tools.hub.broker.address import Listener
from tools.hub.client import KEY_FILE, READY_FILE
from tools.hub.hub import Settings
from tools.hub.security.authority import CA_FILE, means_every, own_hosts
from tools.hub.security.certificates import Certificates


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
    """Print where the hub is and what boards and people need to reach it."""
    data = settings.data
    shown_url = settings.public_url or url
    key = data / KEY_FILE
    kept = key.exists() and key.read_text().strip() == settings.operator_key
    print(f"hub at {shown_url}")
    for listener in listeners:
        print(f"  {listener.speaks:<10}  {listener.address.url}")
    if means_every(host):
        print(f"  addresses   of this machine, to be used instead: {', '.join(own_hosts()[1:])}")
    boards = f'"entry": "{shown_url}/xyte"' + ("" if certificates is None else ', "ca": "ca.pem"')
    print(f"  boards      {boards}")
    if certificates is None:
        print("  CA          none: nothing is encrypted (--no-tls)")
    else:
        print(f"  CA          {data / CA_FILE}, also at {shown_url}/ca.pem and by `redpoll hub ca --data {data}`: put it onto the board")
        print(f"              as ca.pem; its SHA-256 is {certificates.authority.fingerprint()}")
    print(f"  operator    {shown_url}/docs; the key for Authorization is {f'in {key}' if kept else 'the one you gave'}")
    print(f"  activity    {shown_url}/activity?follow=1", flush=True)
