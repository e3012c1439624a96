"""Two boards do their whole job at a hub: one speaks MQTT and tells of an update by Astarte and Kura, the other polls over HTTP."""

import tempfile
from pathlib import Path

from tools.board.process import Board
from tools.demonstration import HEAP, Product
from tools.hub.process import HubProcess
from tools.wire.broker import listening
from tools.wire.message import Message
from tools.wire.seen import Seen, wait_for
from tools.wire.tap import Tap

CLOUDS = ("mqtt", "http", "astarte", "kura")


def capture() -> list[Message]:
    """Have two boards do their whole job -> the first message of each kind, in their order. Raises TimeoutError."""
    seen = Seen()
    with tempfile.TemporaryDirectory(prefix="wire-") as name, HubProcess(Path(name) / "hub") as hub, Tap(hub.url, seen) as tap:
        folder = Path(name)
        product = Product(folder / "product", bad=False)
        common = {"entry": f"{tap.url}/xyte", "license_key": hub.operator.license_key(), "update_key": product.public_key}
        by_mqtt = common | {"sn": "A1", "report": ["astarte", "kura"], "trial_timeout": 20}
        by_http = common | {"sn": "B2", "transport": "http"}
        with (
            listening(hub.mqtt_url, seen),
            Board(folder / "a", by_mqtt, main=product.main, heap=HEAP, terminal=folder / "tty"),
            Board(folder / "b", by_http, main=product.main, heap=HEAP),
        ):
            _operate(hub, product, seen)
    return seen.messages()


def _operate(hub: HubProcess, product: Product, seen: Seen) -> None:
    operator = hub.operator
    devices = wait_for(lambda: {device["sn"]: device["id"] for device in operator.devices()}, lambda found: len(found) == 2, "registration")
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
        wait_for(lambda: operator.device(device)["device_config_version"], lambda now: now == version, "the configuration")  # noqa: B023
        wait_for(lambda: operator.commands(device), lambda all_: all(c["status"] == "done" for c in all_), "the command")  # noqa: B023
        wait_for(lambda: operator.licenses(device), lambda held: held and held[0]["state"] == "inuse", "the licence")  # noqa: B023
    device = devices["A1"]
    file = operator.upload_file(product.bundle, "demo.zip", file_type="bundle")["id"]
    update = operator.request_update(device, file_id=file)["uuid"]
    wait_for(lambda: operator.update(device, update)["status"], lambda status: status == "Success", "the update")
    # what comes later: telemetry that says only what was read since, no more commands, the last step of the update
    for cloud in ("mqtt", "http"):
        seen.wait(cloud, "→", "/telemetry", 2)
    seen.wait("http", "←", "/command", 4)
    seen.wait("astarte", "→", "OTAEvent/event", 6)
    seen.wait("kura", "→", "/install", 2)
