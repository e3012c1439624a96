"""`redpoll watch`: the activity feed of a hub, for a person or (`--json`) for a program, over restarts of the hub and broken networks."""

import argparse
import contextlib
import json
import os
import random
import ssl
import sys
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
from rich.console import Console
from rich.text import Text

from tools.failures import nobody_reads
from tools.hub.activity import EVENTS
from tools.hub.client import HubError, OperatorClient
from tools.hub.data_folder import KEY_FILE, READY_FILE
from tools.hub.security.authority import CA_FILE
from tools.live_view import View

URL = "http://127.0.0.1:8480"
LAST = 10  # activities from before that are shown first
_RETRY_FIRST, _RETRY_MOST = 0.5, 30.0  # seconds between two tries to reach the hub


class WatchError(Exception):
    """There is nothing to watch; the text says why and what to do."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `redpoll watch`."""
    parser.add_argument("--hub", metavar="URL", help=f"the hub's address (default: what the hub at --data says, else {URL})")
    parser.add_argument("--ca", type=Path, metavar="FILE", help="CA of an https:// hub (default: that in --data, where there is one)")
    parser.add_argument("--device", metavar="D", help="this device only: its id, name or serial number")
    parser.add_argument("--event", metavar="E", choices=sorted(EVENTS), help="this event only, such as upstreamMessage")
    parser.add_argument("--json", action="store_true", help="one JSON object a line, as the hub sends it; what is not one goes to stderr")
    parser.add_argument("--last", type=_count, default=LAST, metavar="N", help=f"show the last N from before first (default {LAST})")
    # the key itself is no option: others on the machine can read the arguments of a process
    parser.add_argument("--key-file", type=Path, metavar="FILE", help="where the operator key is")
    parser.add_argument("--data", type=Path, default=Path("build/hub"), help="the hub's directory, which has its key (default build/hub)")


def run(args: argparse.Namespace) -> int:
    """Watch until Ctrl-C. Returns 2 when there is nothing to watch."""
    try:
        with OperatorClient(_url(args), _key(args), ca=_ca(args)) as operator:
            told = JsonLines() if args.json else Lines(operator)
            Watcher(operator, told, event=args.event, last=args.last, device=args.device).run()
    except WatchError as error:
        Console(stderr=True, highlight=False).print(Text(f"redpoll watch: {error}"), soft_wrap=True)
        return 2
    except BrokenPipeError:
        nobody_reads()
        return 0
    return 0


class Lines:
    """For a person: the live view."""

    def __init__(self, operator: OperatorClient) -> None:
        self._view = View(Console(highlight=False), operator)
        self._begun = False

    def show(self, item: dict[str, Any]) -> None:
        """One activity, or what was missed."""
        self._begin()
        self._view.show(item)

    def note(self, text: str) -> None:
        """What is no activity."""
        self._begin()
        self._view.note(text)

    def _begin(self) -> None:
        # not before there is something to show: it may be that there is nothing to watch
        if not self._begun:
            self._begun = True
            self._view.header()


class JsonLines:
    """For a program."""

    def show(self, item: dict[str, Any]) -> None:
        """One activity, or what was missed, as the hub sent it."""
        print(json.dumps(item), flush=True)

    def note(self, text: str) -> None:
        """What is no activity, on standard error."""
        print(text, file=sys.stderr, flush=True)


class Watcher:
    """Follows a feed, connects again when it breaks, and goes on where it was."""

    def __init__(
        self,
        operator: OperatorClient,
        told: Lines | JsonLines,
        *,
        event: str | None = None,
        device: str | None = None,
        last: int = LAST,
        wait: Callable[[float], None] = time.sleep,
    ) -> None:
        self._operator = operator
        self._told = told
        self._event = event
        self._device = device
        self._last = last
        self._wait = wait
        self._device_id: str | None = None
        self._seen: int | None = None  # seq of the last activity; 0 when the hub was there and had none
        self._gap_is_told = False  # by the hub: why the next seq is not the one that follows
        self._tries = 0  # to reach the hub that failed since it was there

    def run(self) -> None:
        """Until there is nothing to watch. Raises WatchError."""
        while True:
            why = "it has stopped"
            try:
                self._follow()
            except HubError as error:
                if error.status < 500:
                    raise WatchError(str(error).partition(": ")[2]) from None
                why = str(error)
            except httpx.TransportError as error:
                broke = isinstance(error, httpx.RemoteProtocolError | httpx.ReadError)
                why = "the connection broke" if broke else str(error) or type(error).__name__
                if broke and self._tries == 0 and self._operator.url.startswith("http://"):
                    why += "; a hub with TLS wants https://"
            if self._tries == 0:
                self._told.note(f"no connection to the hub at {self._operator.url} ({why}); trying until it is there")
            # at random, so that many who watch one hub do not come back in one moment
            self._wait(min(_RETRY_MOST, _RETRY_FIRST * 2**self._tries) * random.uniform(0.5, 1))
            self._tries = min(self._tries + 1, 10)

    def _follow(self) -> None:
        """One connection, until it ends."""
        if self._device is not None and self._device_id is None:
            self._device_id = self._find(self._device)
        last = self._last if self._seen is None else None
        for item in self._operator.follow(self._seen, self._device_id, self._event, last, self._is_there):
            self._take(item)

    def _is_there(self) -> None:
        if self._tries:
            self._told.note("the hub is there")
        self._tries = 0
        self._seen = self._seen or 0

    def _take(self, item: dict[str, Any]) -> None:
        """One line of the feed."""
        if "lost" not in item:
            # without a filter the numbers have no gaps
            gap = item["seq"] - self._seen - 1 if self._seen and self._device is None and self._event is None else 0
            if gap > 0 and not self._gap_is_told:
                self._told.show({"lost": gap})
            self._seen = item["seq"]
        self._gap_is_told = "lost" in item
        self._told.show(item)

    def _find(self, text: str) -> str:
        """The id of the device that a person calls so. Raises WatchError."""
        with contextlib.suppress(ValueError):
            return str(uuid.UUID(text))
        found = [device for device in self._operator.devices() if text in (device["name"], device["sn"])]
        if len(found) == 1:
            return str(found[0]["id"])
        if not found:
            raise WatchError(f"--device: no device has the id, name or serial number {text!r}")
        raise WatchError(f"--device: {len(found)} devices are called {text!r}: give one's id, such as {found[0]['id']}")


def _url(args: argparse.Namespace) -> str:
    url = args.hub or _url_in(args.data / READY_FILE) or URL
    try:
        parts = urlsplit(url)
        good = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        good = False
    if not good:
        raise WatchError(f"--hub {url}: write the hub's address, such as {URL}")
    return str(url)


def _url_in(path: Path) -> str | None:
    """What a running hub says of itself."""
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        return str(json.loads(path.read_text())["url"])
    return None


def _ca(args: argparse.Namespace) -> Path | None:
    """The CA to verify the hub with; None for those that this machine trusts. Raises WatchError."""
    path: Path = args.ca or args.data / CA_FILE
    if args.ca is None and not path.exists():
        return None
    try:
        ssl.create_default_context(cafile=path)
    except OSError as error:  # ssl.SSLError is one
        missing = isinstance(error, FileNotFoundError)
        raise WatchError(f"--ca {path}: {'there is no such file' if missing else 'it holds no certificate in PEM'}") from None
    return path


def _key(args: argparse.Namespace) -> str:
    """The operator key: --key-file, else REDPOLL_OPERATOR_KEY, else the hub's own directory. Raises WatchError."""
    path = args.key_file
    key = "" if path is not None else os.environ.get("REDPOLL_OPERATOR_KEY", "")
    if not key:
        path = path or args.data / KEY_FILE
        try:
            key = path.read_text().strip()
        except (OSError, ValueError) as error:
            why = error.strerror if isinstance(error, OSError) else "no text"
            raise WatchError(
                f"no operator key in {path} ({why}): name the file with --key-file, or the hub's directory with --data, or set "
                "REDPOLL_OPERATOR_KEY"
            ) from None
    if not key.isascii() or not key.isprintable() or not key:
        raise WatchError(f"what is in {path or 'REDPOLL_OPERATOR_KEY'} is no operator key")
    return key


def _count(text: str) -> int:
    if not text.isascii() or not text.isdigit() or len(text) > 6 or int(text) < 1:
        raise argparse.ArgumentTypeError(f"a number such as {LAST}, not {text!r}")
    return int(text)
