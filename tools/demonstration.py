"""What `make run` shows: a product with its next version, and the operator of its board, from the claim to the update."""

import hashlib
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from tools import keys
from tools.bundle.build import build
from tools.hub.client import HubError, OperatorClient
from tools.paths import FIRMWARE

INTERVAL = 5  # seconds between readings that the operator configures
NEEDED_MESSAGES = 3
OLD, NEW = "1.0.0", "1.1.0"  # versions of the product
HEAP = "384K"  # an update takes more than the board's usual heap, and objects of the 64-bit VM more than a chip's (docs/updates.md)
SPACE = "demo-hall"
COMMANDS: list[tuple[str, dict[str, Any]]] = [("blink", {"times": 3}), ("ping", {})]


class Product:
    """firmware/main.py as the version that the board is set up with, and a bundle of the next one."""

    def __init__(self, folder: Path, *, bad: bool) -> None:
        folder.mkdir(parents=True)
        self.bad = bad
        self.main = folder / "main.py"
        source = (FIRMWARE / "main.py").read_text()
        self.main.write_text(source.replace("agent = Agent()", f'agent = Agent(version="{OLD}")'))
        new = folder / NEW
        new.mkdir()
        begins = 'raise RuntimeError("this version does not start")' if bad else f'print("version {NEW} says hello")'
        (new / "main.py").write_text(f"{begins}\n{source}")
        # something to download that no packing makes small
        (new / "pictures.bin").write_bytes(b"".join(hashlib.sha256(b"%d" % number).digest() for number in range(3072)))
        key = folder / "update.key"
        keys.make_private(key)
        self.public_key = keys.public_pem(keys.load_private(key))
        self.bundle = build(new, key, NEW, name="demo")


@dataclass
class Demonstration:
    """Plays the operator: claims the board, changes its interval, queues two commands, updates it; knows what has happened so far."""

    operator: OperatorClient
    serial: str
    product: Product | None
    transport: str
    stop: threading.Event = field(default_factory=threading.Event)
    device_id: str | None = None
    config_version: int | None = None
    trouble: str | None = None
    update: str | None = None  # its UUID, or over HTTP the command's id

    def direct(self) -> None:
        """Do it, step by step, as soon as the board is there."""
        try:
            while self.device_id is None and not self.stop.wait(0.1):
                self.device_id = next((d["id"] for d in self.operator.devices() if d["sn"] == self.serial), None)
            if self.device_id is None:
                return
            self.operator.set_space(SPACE, name="Demo hall")
            self.operator.claim(name="demo board", space_id=SPACE, sn=self.serial)
            self.config_version = self.operator.configure(self.device_id, {"interval": INTERVAL, "label": "demo"})["config_version"]
            for name, parameters in COMMANDS:
                self.operator.command(self.device_id, name, parameters)
            if self.product is not None:
                self._update(self.device_id, self.product)
        except (HubError, httpx.TransportError) as error:
            self.trouble = str(error)

    def _update(self, device_id: str, product: Product) -> None:
        """Ask for the update when the rest is done, by Edgehog's request or, for a board that polls, by a command."""
        while any(command["status"] in ("pending", "in_progress") for command in self.operator.commands(device_id)):
            if self.stop.wait(0.2):
                return
        file_id = self.operator.upload_file(product.bundle, f"demo-{NEW}.zip", file_type="bundle")["id"]
        if self.transport == "mqtt":
            self.update = self.operator.request_update(device_id, file_id=file_id)["uuid"]
        else:
            self.update = self.operator.command(device_id, "update_firmware", file_id=file_id)["id"]

    def _verdict_of_update(self, device: dict[str, Any]) -> tuple[str, bool, str]:
        """(what had to happen, whether it did, what was seen) for the update."""
        assert self.product is not None
        runs, seen = device["firmware_version"], "not asked for"
        if self.update is not None and self.transport == "mqtt":
            update = self.operator.update(device["id"], self.update)
            seen = ": ".join(part for part in (update["status"] or "not answered", update["code"], update["message"]) if part)
        elif self.update is not None:
            command = next(item for item in self.operator.commands(device["id"]) if item["id"] == self.update)
            seen = f"{command['status']} {command['message'] or ''}".strip()
        if self.product.bad:
            promise = f"the update to {NEW}, which does not start, was rolled back"
            return promise, runs == OLD and "SystemRollback" in seen, f"{seen}; {runs} runs"
        ended = seen.startswith(("Success", "done"))
        return f"the update from {OLD} to {NEW} succeeded", runs == NEW and ended, f"{seen}; {runs} runs"

    def is_done(self) -> bool:
        """Whether everything promised has happened."""
        return all(kept for _, kept, _ in self.verdicts())

    def verdicts(self) -> list[tuple[str, bool, str]]:
        """(what had to happen, whether it did, what was seen) for each promise."""
        if self.device_id is None:
            return [("the board registered", False, "no device in the hub")]
        device = self.operator.device(self.device_id)
        messages = len(self.operator.history(self.device_id))
        enough = messages >= NEEDED_MESSAGES
        confirmed = device["device_config_version"]
        in_force = device["configuration"].get("interval")
        verdicts = [
            ("the board registered", True, self.device_id),
            (
                f"at least {NEEDED_MESSAGES} telemetry messages were acknowledged",
                enough,
                f"{messages}" if enough else f"{messages}; where sensors are read more seldom than every {INTERVAL} s, give more time",
            ),
            (
                "the configuration was applied and confirmed",
                self.config_version is not None and confirmed is not None and confirmed >= self.config_version and in_force == INTERVAL,
                f"version {self.config_version} set, {confirmed} confirmed"
                + ("" if in_force == INTERVAL else f"; the board has refused the interval of {INTERVAL} s"),
            ),
        ]
        states = {command["name"]: command for command in self.operator.commands(self.device_id)}
        for name, _ in COMMANDS:
            command = states.get(name, {})
            if (command.get("message") or "").startswith("this device has no command"):
                continue  # the product is another one than ours; its console says so
            seen = f"{command.get('status', 'not queued')} {command.get('message') or ''}".strip()
            verdicts.append((f"the command {name} is done", command.get("status") == "done", seen))
        if self.product is not None:
            verdicts.append(self._verdict_of_update(device))
        return verdicts
