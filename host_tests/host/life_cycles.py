"""A device and a cloud for state machines: the real agent, power that fails at any save, links that lose what was said.

The cloud follows shared/reference/xyte.md and the hub: a command goes pending -> in_progress -> done | error and a finished one stays as
it is; a change of the configuration makes a version, an unchanged echo makes none, and a report older than the cloud's is refused.
"""

import importlib
import json
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from exploration import bounded
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule, run_state_machine_as_test
from interpreters import firmware_here
from long_run import LONG

START = 1_700_000_000_000  # Unix ms at which every device starts
FINAL = ("done", "error")
FIELDS = {"interval": (int, 5, 3600), "label": (str, 0, 8), "on": (bool,)}
ENTRY = "http://entry.example"
# the firmware's modules, while one of these tests runs
fw = SimpleNamespace()


class Violation(BaseException):
    """A handler is called that must not be. Not an Exception: the firmware would take it for the handler's error."""


class PowerCut(BaseException):
    """The power is gone. Not an Exception: nothing in the firmware survives it."""


@pytest.fixture
def firmware() -> Iterator[None]:
    """The firmware imported as the device tests import it, with a switch for its power, and forgotten afterwards."""
    with firmware_here():
        for name in ("log", "port", "backoff", "config", "commands", "link", "agent", "clock", "flash.record"):
            setattr(fw, name.rpartition(".")[2], importlib.import_module(f"redpoll.{name}"))
        fw.fakes = importlib.import_module("cloud_fakes")
        fw.scratch = importlib.import_module("scratch")
        importlib.import_module("redpoll.cloud.https").HTTPClient = fw.fakes.HTTP
        importlib.import_module("redpoll.cloud.xyte_mqtt").MQTTClient = mqtt_client(fw.fakes.MQTT)
        fw.log.print = lambda *values: None
        fw.port.sync = lambda file: None
        fw.port.unload = lambda *names: None  # what is loaded again is not patched
        fw.backoff.os = SimpleNamespace(urandom=lambda n: b"\x80" * n)  # the same waits in every run
        # a collection of all that pytest holds, at every connection, would be most of the time
        fw.agent.gc = fw.link.gc = SimpleNamespace(collect=lambda: None)
        fw.switch = Switch(fw.record.Record)
        try:
            yield
        finally:
            fw.__dict__.clear()


def explore(machine: type[RuleBasedStateMachine], examples: int = 100, steps: int = 40) -> None:
    """Run the machine: a bounded and repeatable number of lives, far more of them with REDPOLL_LONG=1."""
    chosen = bounded(examples * (33 if LONG else 1), stateful_step_count=steps * (2 if LONG else 1))
    run_state_machine_as_test(machine, settings=chosen)


class Switch:
    """Cuts the power at a save, or lets saves fail as on a full flash."""

    def __init__(self, record: Any) -> None:
        self.save = record.save
        self.reset()
        # the ledger of commands as it was saved, by file: the one before, the last one
        self.ledgers: dict[str, tuple[list[Any], list[Any]]] = {}
        switch = self

        def save(self: Any, value: Any) -> None:
            switch.saving(self, value)

        record.save = save

    def reset(self) -> None:
        self.full = False
        # a save has failed since this life began
        self.failed = False
        # saves until the cut, and whether the last one is still complete
        self.left: int | None = None
        self.complete = False

    def arm(self, saves: int, complete: bool) -> None:
        self.left, self.complete = saves, complete

    def saving(self, record: Any, value: Any) -> None:
        if self.full:
            self.failed = True
            raise OSError(28)
        cut = False
        if self.left is not None:
            self.left -= 1
            cut = self.left <= 0
        if not cut or self.complete:
            self.save(record, value)
            if record.path.endswith("/commands"):
                saved = json.loads(json.dumps(value))
                before = self.ledgers.get(record.path, ([], []))[1]
                self.ledgers[record.path] = (before, saved)
        if cut:
            self.left = None
            raise PowerCut


class Folder(RuleBasedStateMachine):
    """A machine with a folder of its own."""

    def __init__(self) -> None:
        super().__init__()
        fw.switch.reset()
        self.folder = Path(tempfile.mkdtemp(prefix="life-"))

    def path(self, name: str) -> str:
        return str(self.folder / name)

    def teardown(self) -> None:
        try:
            fw.switch.reset()
            self.at_the_end()
        finally:
            fw.switch.reset()
            shutil.rmtree(self.folder, ignore_errors=True)

    def at_the_end(self) -> None:
        """What has to hold once nothing disturbs any more."""


class Cloud:
    """What the cloud holds for one device."""

    def __init__(self) -> None:
        self.commands: dict[str, dict[str, Any]] = {}
        # finished commands for which the device told another end later
        self.contradicted: list[str] = []
        self.version = 0
        self.values: dict[str, Any] = {}
        self.confirmed = 0
        # every message that went down, for duplicates and late ones
        self.sent: list[tuple[str, dict[str, Any]]] = []

    def queue(self, command_id: str, name: str, parameters: Any, expires_at: str | None = None) -> dict[str, Any]:
        command = {"id": command_id, "status": "pending", "name": name, "parameters": parameters}
        if expires_at:
            command["expires_at"] = expires_at
        self.commands[command_id] = command
        return command

    def unfinished(self) -> list[dict[str, Any]]:
        return [command for command in self.commands.values() if command["status"] not in FINAL]

    def current(self) -> dict[str, Any] | None:
        waiting = self.unfinished()
        running = [command for command in waiting if command["status"] == "in_progress"]
        return next(iter(running or waiting), None)

    def report(self, body: dict[str, Any]) -> bool:
        command = self.commands[body["id"]]
        status = "error" if body["status"] == "failed" else body["status"]
        assert status in ("in_progress", *FINAL), body
        assert isinstance(body["message"], str) and len(body["message"]) <= 200
        if command["status"] in FINAL:
            if status in FINAL and (status, body["message"]) != (command["status"], command["message"]):
                self.contradicted.append(body["id"])
            return status == command["status"]
        command["status"] = status
        command["message"] = body["message"]
        return True

    def operator(self, values: dict[str, Any]) -> bool:
        return self._hold(values, self.version)

    def told(self, version: int, values: dict[str, Any]) -> bool:
        """The device says what is in force. False when that is older than what the cloud has."""
        if version < self.version:
            return False
        self._hold(values, version)
        self.confirmed = self.version
        return True

    def config(self) -> dict[str, Any]:
        return {"version": self.version, "config": dict(self.values)}

    def _hold(self, values: dict[str, Any], base: int) -> bool:
        if json.dumps(values, sort_keys=True) == json.dumps(self.values, sort_keys=True):
            return False
        self.values = dict(values)
        self.version = base + 1
        return True


def mqtt_client(fake: Any) -> Any:
    """The fake client of the device tests, whose broker acknowledges what the cloud has taken and nothing else."""

    class Client(fake):  # type: ignore[misc]
        taken = 0

        def poll(self, timeout_ms: int = 0) -> None:
            self.acknowledge = False
            while self.waiting and self.waiting[0] <= self.taken and not self.broken:
                self.on_ack(self.waiting.pop(0), 0)
            super().poll(timeout_ms)

    return Client


class Life(Folder):
    """A device with the real agent, and its cloud behind a link that breaks."""

    transport = "mqtt"

    def __init__(self) -> None:
        super().__init__()
        self.cloud = Cloud()
        self.ticks = fw.scratch.Ticks()
        # what the next HTTP request meets: "refused", "reply lost", or a status
        self.trouble: list[Any] = []
        # the cloud takes what is published over MQTT
        self.listening = True
        self.reboots = 0
        fw.fakes.MQTT.made = []
        fw.fakes.MQTT.refuse = None
        fw.fakes.MQTT.silent = False
        fw.fakes.HTTP.requests = []
        fw.fakes.HTTP.serve = self.serve
        values = {"entry": ENTRY, "sn": "A1", "hardware_key": "hk", "transport": self.transport, "trial_timeout": 60, "snapshot_every": 60}
        (self.folder / "settings.json").write_text(json.dumps(values))
        self.boot()
        self.agent.settings.store(dict(fw.fakes.CREDENTIALS, version="1.0.0"))

    def declare(self, agent: Any) -> None:
        """The product's own part."""

    def boot(self) -> None:
        fw.switch.left = None
        self.reboots += 1
        if len(fw.fakes.MQTT.made) > 4:
            del fw.fakes.MQTT.made[:-1]
        for client in fw.fakes.MQTT.made:
            client.open = False
        at = self.ticks.ms
        self.agent = fw.agent.Agent(
            self.path("settings.json"), version="1.0.0", clock=fw.clock.Clock(self.ticks, lambda: START + self.ticks.ms)
        )
        assert self.ticks.ms == at
        self.agent.sensor(every=30)(lambda: {"fan_speed": 100})
        self.declare(self.agent)

    def unless_cut(self, action: Callable[[], Any]) -> Any:
        """What the action returns; after a power cut or a restart the device boots, and None is returned."""
        try:
            return action()
        except (PowerCut, SystemExit):
            while True:
                try:
                    self.boot()
                    return None
                except PowerCut:
                    continue

    def turn(self, ms: int = 0, polls: int = 8) -> None:
        """Let time pass, and the agent do what is due then."""
        self.ticks.ms += ms
        for _ in range(polls):
            self.unless_cut(self.agent.poll)
            if self.listening:
                self.take()

    def client(self) -> Any:
        """The MQTT session that is open, or None."""
        made = fw.fakes.MQTT.made
        return made[-1] if made and made[-1].open and not made[-1].broken else None

    def push(self, kind: str, message: dict[str, Any]) -> None:
        """The cloud sends a message; over HTTP, or without a session, it is lost."""
        self.cloud.sent.append((kind, json.loads(json.dumps(message))))
        client = self.client()
        if client:
            client.deliver(kind, message, f"v1/device/{fw.fakes.ID}/{kind}/update", str(message.get("id", message.get("version"))).encode())

    def take(self, most: int = 1000) -> None:
        """The cloud takes what was published, in its order."""
        client = self.client()
        while client and client.published and most:
            topic, message, _ = client.published.pop(0)
            client.taken += 1
            most -= 1
            name = topic.split("/", 3)[3]
            if name == "get":
                self.push("config", self.flat())
                command = self.cloud.current()
                if command:
                    self.push("commands", command)
            elif name == "config/update":
                self.cloud.told(message.pop("version"), without_time(message))
            elif name == "commands/update":
                self.cloud.report(message)
                command = self.cloud.current()
                if message["status"] in FINAL and command:
                    self.push("commands", command)

    def flat(self) -> dict[str, Any]:
        """A configuration in the shape of seed 001: its fields beside the version."""
        return {**self.cloud.values, "version": self.cloud.version, "last_updated": "x"}

    def serve(self, method: str, path: str, body: Any) -> Any:
        """The cloud's HTTP side."""
        reply = fw.fakes.Reply
        trouble = self.trouble.pop(0) if self.trouble else None
        if trouble == "refused" or self.dead():
            return OSError(111)
        if isinstance(trouble, int):
            return reply(trouble, b"<html>" if trouble == 502 else {"error": "trouble"})
        answer = self.answer(method, path, body)
        return OSError(104) if trouble == "reply lost" else answer

    def dead(self) -> bool:
        """True while the device has settings with which nothing can be reached."""
        return "dead" in self.agent.settings.entry

    def answer(self, method: str, path: str, body: Any) -> Any:
        reply = fw.fakes.Reply
        cloud = self.cloud
        base = "/v1/devices/" + fw.fakes.ID
        call = (method, path.removeprefix(base))
        if path == "/v1/devices":
            return reply(201, fw.fakes.CREDENTIALS)
        if call == ("POST", "/telemetry"):
            return reply(200, {"config_version": cloud.version, "command": cloud.current() is not None, "info_version": 0, "success": True})
        if call == ("GET", "/config"):
            return reply(200, cloud.config())
        if call == ("POST", "/config"):
            version = body.pop("version")
            if not cloud.told(version, without_time(body)):
                return reply(422, {"error": "older"})
            return reply(200, {"version": cloud.version})
        if call == ("GET", "/command"):
            command = cloud.current()
            return reply(200, command) if command else reply(404, {"error": "none"})
        if call == ("POST", "/command"):
            return reply(200, {}) if cloud.report(body) else reply(403, {"error": "finished"})
        return reply(200, {})

    def cut_link(self) -> None:
        """The session breaks; what the cloud has not taken yet is lost both ways."""
        client = self.client()
        if client:
            client.broken = OSError(104)
        self.trouble[:] = ["refused"]

    def heal(self) -> None:
        self.listening = True
        self.trouble.clear()
        fw.switch.reset()

    def settle(self, settled: Callable[[], bool], rounds: int = 90) -> None:
        """Nothing disturbs any more: in so many half minutes all has to be settled."""
        self.heal()
        for _ in range(rounds):
            if settled():
                return
            self.turn(30000)
        assert settled(), self.story()

    def story(self) -> str:
        cloud = self.cloud
        config = self.agent._config
        return "\n".join([
            f"cloud: config {cloud.version} {cloud.values} confirmed {cloud.confirmed}, commands {cloud.unfinished()}",
            f"device: config {config.version} {config.values} untold {config.untold} on trial {config.on_trial()}",
            *fw.log.lines()[-25:],
        ])  # fmt: skip


def without_time(message: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in message.items() if key != "last_updated"}


class DisturbedLife(Life):
    """A life in which messages come again and in another order, the link breaks and the power fails, at any time."""

    # the pushes that may come again
    kind = ""

    def may_come_again(self, message: dict[str, Any]) -> bool:
        return True

    @precondition(lambda self: self.cloud.sent)
    @rule(data=st.data())
    def deliver_again(self, data: Any) -> None:
        kind, message = data.draw(st.sampled_from(self.cloud.sent), "which")
        if self.client() and kind == self.kind and self.may_come_again(message):
            self.client().deliver(kind, message)

    @precondition(lambda self: self.client() and len(self.client().incoming) > 1)
    @rule()
    def reorder(self) -> None:
        self.client().incoming.reverse()

    @rule(ms=st.sampled_from([0, 0, 1000, 30000, 65000]), polls=st.integers(1, 12), listening=st.sampled_from([True, True, False]))
    def time_passes(self, ms: int, polls: int, listening: bool) -> None:
        self.listening = listening
        self.turn(ms, polls)

    @rule(
        what=st.sampled_from(["link", "requests", "restart", "cut", "cut", "takes"]),
        trouble=st.lists(st.sampled_from(["refused", "reply lost", 502, 429, 400, None]), max_size=4),
        saves=st.integers(1, 8),
        complete=st.booleans(),
    )
    def disturb(self, what: str, trouble: list[Any], saves: int, complete: bool) -> None:
        self.trouble = trouble
        if what == "cut":
            self.arm(saves, complete)
        elif what == "link":
            self.cut_link()
        elif what == "restart":
            self.boot()
        elif what == "takes":
            self.take(saves)

    def arm(self, saves: int, complete: bool) -> None:
        fw.switch.arm(saves, complete)
