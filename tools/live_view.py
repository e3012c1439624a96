"""The live view: activities of a hub as a person wants to read them, one line each. `redpoll run` and `redpoll watch` show it."""

import calendar
import contextlib
import re
import time
from typing import Any

import httpx
from rich.console import Console
from rich.text import Text

from tools.hub.client import HubError, OperatorClient

_FRESH_SECONDS = 5.0
# characters
_BAR, _SHORTEST_BAR = 24, 8
_NAME = 12  # of a device's name
_BEFORE_WHAT = 8 + 2 + _NAME + 2 + 19 + 2  # the columns on its left
_NARROWEST = 20  # what; a narrower terminal breaks the lines itself
_STATUS = 12  # of an update
_PERCENT = re.compile(r"\b(\d{1,3}) ?%")
# what tells a step of an update beside firmwareStateChange: Edgehog's and Kura's messages, and a line of the console
_STEP_MESSAGES = ("ota", "notify")
# what a device says must not steer the terminal, end a line nor turn it round: controls (C0, C1), line ends and directions of Unicode
_STEERING = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]")
_STEP_LINE = re.compile(r"update: [A-Z]\w+ \d+ %")
_STYLES = {
    "upstreamMessage": "cyan",
    "downstreamMessage": "magenta",
    "deviceCreated": "green",
    "clientConnected": "green",
    "clientDisconnected": "yellow",
    "firmwareUpdateRequired": "yellow",
    "firmwareCurrent": "green",
    "firmwareRequested": "magenta",
    "firmwareStateChange": "cyan",
    "imeiMismatch": "yellow",
    "imsiMismatch": "yellow",
    "gatewayConnected": "green",
    "gatewayDisconnected": "yellow",
    "gatewayCommError": "red",
}


class View:
    """Prints each activity of the hub, and each line of a board's console, as one line.

    `brief`: each step of an update is one line, its state change; the messages and console lines that tell it too are left out.
    """

    def __init__(self, console: Console, operator: OperatorClient, *, brief: bool = False) -> None:
        self._brief = brief
        self._console = console
        self._operator = operator
        self._names: dict[str, str] = {}
        # set when nothing more is to be printed
        self.done = False

    def header(self) -> None:
        """The names of the columns."""
        self._print("when", "device", "event", "", "what", "bold")

    def follow(self) -> None:
        """Print activities as they happen, until the hub ends."""
        # a closed client raises RuntimeError: the run is over, which the main thread knows too
        with contextlib.suppress(HubError, httpx.TransportError, RuntimeError):
            for activity in self._operator.follow():
                self.show(activity)

    def show(self, activity: dict[str, Any]) -> None:
        """One activity (seed 003): when, device, event, what. Or what was missed before the next one."""
        if "lost" in activity:
            self.note(missed(activity), "yellow")
            return
        event = activity["event"]
        data = dict(activity.get("data") or {})
        size = data.pop("bytes", None)
        data.pop("transport", None)  # it is in the heading
        if event in ("clientConnected", "gatewayConnected"):
            data.pop("id", None)  # how it said who it is: every board does it in the same way
        kind = data.pop("kind", None)
        if self._brief and event == "upstreamMessage" and kind in _STEP_MESSAGES:
            return
        words = [kind] if kind else []
        report = [data.pop(key) for key in ("command", "status") if key in data] if kind == "command" else []
        words += [" ".join(report)] if report else []
        device_id, gateway_id = activity.get("deviceId"), activity.get("gatewayId")
        if event == "upstreamMessage" and "refused" not in data and device_id is not None and _is_fresh(activity["time"]):
            words += self._readings(device_id) if kind == "telemetry" else self._said(device_id, report) if report else []
        words += [f"{size} bytes"] if size else []
        words += [update_step(data, self._room())] if event == "firmwareStateChange" else [f"{key}={value}" for key, value in data.items()]
        if device_id is not None and gateway_id is not None:
            words.append(f"gateway={self._name(gateway_id)}")
        self._print(activity["time"][11:], self._name(device_id or gateway_id), event, _STYLES.get(event, ""), "  ".join(words))

    def note(self, text: str, style: str = "dim") -> None:
        """A line that is no activity."""
        self._print("", "", "", "", text, style)

    def console_line(self, line: str) -> None:
        """One line of the board's own console."""
        # the log's own time is that of the first column
        line = re.sub(r"^\[ *[\d.]+\] ", "", line)
        if not (self._brief and _STEP_LINE.fullmatch(line)):
            self._print(time.strftime("%H:%M:%S", time.gmtime()), "", "console", "", line, "dim")

    def _readings(self, device_id: str) -> list[str]:
        # an activity tells that a message came, not what it said; this is the newest one
        try:
            newest = self._operator.history(device_id, limit=1)
        except (HubError, httpx.TransportError):
            return []
        if not newest:
            return []
        said = [newest[0]["message"]] if newest[0]["message"] else []
        readings = newest[0]["telemetries"].items()
        return said + [f"{key}={value:g}" if isinstance(value, float) else f"{key}={value}" for key, value in readings if value != ""]

    def _said(self, device_id: str, report: list[str]) -> list[str]:
        # what the device said of the command, unless it has said more of it since
        try:
            told = [command for command in self._operator.commands(device_id, limit=10) if command["status"] != "pending"]
        except (HubError, httpx.TransportError):
            return []
        last = max(told, key=lambda command: str(command["updated_at"]), default=None)
        return [last["message"]] if last and [last["name"], last["status"]] == report and last["message"] else []

    def _name(self, device_id: str | None) -> str:
        if device_id is None:
            return "-"
        if device_id not in self._names:
            try:
                self._names[device_id] = self._operator.device(device_id)["name"]
            except (HubError, httpx.TransportError):
                return device_id[:8]  # removed meanwhile, or the hub is away
        return self._names[device_id]

    def _print(self, when: str, device: str, event: str, style: str, what: str, line_style: str = "") -> None:
        if self.done:
            return
        device, what = _STEERING.sub("?", device), _STEERING.sub("?", what)
        columns = Text.assemble((f"{when:<8}  ", "dim"), f"{_short(device):<{_NAME}}  ", (f"{event:<19}  ", style))
        room = self._room(len(columns))
        parts = Text(what).wrap(self._console, room) if room else [Text(what)]
        for part in parts or [Text()]:
            part.rstrip()
            self._console.print(Text.assemble(columns, part, style=line_style), soft_wrap=True)
            columns = Text(" " * _BEFORE_WHAT)

    def _room(self, before: int = _BEFORE_WHAT) -> int | None:
        # characters of a line that are left to what happened; None: any number, a file or a pipe has no width
        return max(_NARROWEST, self._console.width - before) if self._console.is_terminal else None


def _is_fresh(when: str) -> bool:
    """Whether the newest reading is that of an activity of this time: not when it is told again, later."""
    return abs(time.time() - calendar.timegm(time.strptime(when, "%Y-%m-%d %H:%M:%S"))) < _FRESH_SECONDS


def _short(name: str) -> str:
    # beginning and end: boards of one kind differ in the end
    return name if len(name) <= _NAME else f"{name[: _NAME - 7]}…{name[-6:]}"


def update_step(data: dict[str, str], room: int | None = None) -> str:
    """One step of an update: its status, a bar of its progress which is shorter where there is less room, and what went wrong."""
    percent = _PERCENT.search(data.get("message", ""))
    done = data.get("progress") or (percent[1] if percent else "")
    bar = ""
    if done.isdigit():
        length = _BAR if room is None else min(_BAR, max(_SHORTEST_BAR, room - _STATUS - len("  [] 100 %")))
        filled = length * min(int(done), 100) // 100
        bar = f"[{'#' * filled}{'-' * (length - filled)}] {done:>3} %"
    said = ": ".join(part for part in (data.get("code"), data.get("message")) if part)
    return "  ".join(part for part in (f"{data.get('status', ''):<{_STATUS}}", bar, said) if part)


def missed(gap: dict[str, Any]) -> str:
    """What `{"lost": n}`, or `{"lost": null, "restarted": time}`, means."""
    if gap["lost"] is None:
        return f"the hub was restarted at {gap['restarted']}; what it told last before may be missing here"
    return f"{gap['lost']} activities were missed"
