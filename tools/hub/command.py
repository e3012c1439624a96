"""`redpoll hub`: read the arguments, start everything in order, say when it is ready, and stop it cleanly.

`redpoll hub license-key` prints the public key that boards verify this hub's licences with, `redpoll hub ca` the certificate of its CA,
whether the hub runs or not.
"""

import argparse
import asyncio
import contextlib
import errno
import fcntl
import json
import logging
import os
import secrets
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any
from urllib.parse import urlsplit

import uvicorn
from sqlalchemy.exc import SQLAlchemyError

from tools.hub import sessions
from tools.hub.app import make_app
from tools.hub.authority import CA_FILE, Authority, check_host, means_every, own_hosts
from tools.hub.broker import BrokerAddress, BrokerChoice, BrokerError, EmbeddedBroker, Listener, parse_broker
from tools.hub.certificates import Certificates
from tools.hub.client import KEY_FILE, READY_FILE
from tools.hub.domain import devices, presence, retention
from tools.hub.facets.astarte_mqtt import REALM, AstarteMqtt
from tools.hub.facets.kura_mqtt import KuraMqtt
from tools.hub.facets.xyte_mqtt import XyteMqtt
from tools.hub.hub import Hub, Settings
from tools.hub.logins import LoginKeeper
from tools.hub.migrations import SchemaError
from tools.hub.mosquitto import MosquittoBroker
from tools.hub.rates import LIMIT_MAX as RATE_LIMIT_MAX
from tools.hub.signer import Signer
from tools.hub.store import is_outage

log = logging.getLogger("redpoll.hub")

LICENSE_KEY_FILE = "license.key"
LOCK_FILE = "hub.lock"
SESSION_FILE = "mqtt.session"
_MQTT_SECONDS = 6.0  # how long the hub may take to reach its broker when it starts
_KURA_SECONDS = 3.0  # how long it then waits for its second connection
_ASTARTE_SECONDS = 3.0  # and for its third
_held: list[IO[str]] = []  # lock files, open until the process ends
_PRUNE_SECONDS = 60.0  # between two looks for what is to be forgotten
_SWEEP_MAX_SECONDS = 30.0  # reference xyte §2: offline is judged every 30 s


class StartError(Exception):
    """The hub cannot start; the text says what is wrong and what to do."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "what", nargs="?", choices=("run", "ca", "license-key"), default="run", help="ca, license-key: print what boards are given, and end"
    )
    parser.add_argument("--port", type=int, default=8480, help="HTTP port; 0 takes a free one (default 8480)")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on; 0.0.0.0 for boards on the network (default 127.0.0.1)")
    parser.add_argument(
        "--broker", default="embedded", metavar="BROKER",
        help="embedded[:PORT], mosquitto[:PORT] (the hub starts it), mqtt(s)://host[:port] (default embedded; on 8883, without TLS 1883)",
    )  # fmt: skip
    parser.add_argument(
        "--broker-login", type=Path, metavar="FILE", help="that has USER:PASSWORD for another broker (default: REDPOLL_BROKER_LOGIN)"
    )
    parser.add_argument("--broker-ca", type=Path, metavar="FILE", help="CA of another broker (default: those that this machine trusts)")
    parser.add_argument("--no-tls", action="store_true", help="plain HTTP and MQTT, for clients that cannot be given the hub's CA")
    parser.add_argument(
        "--host-name", action="append", default=[], metavar="NAME", help="another name or address that boards reach this machine by"
    )
    parser.add_argument("--out", type=Path, metavar="FILE", help="with ca and license-key: write it there")
    parser.add_argument("--data", type=Path, default=Path("build/hub"), help="where database, dumps and keys are kept (default build/hub)")
    parser.add_argument("--operator-key", help="key of the operator's calls (default: REDPOLL_OPERATOR_KEY, else one made and kept)")
    parser.add_argument("--lenient", action="store_true", help="take MQTT messages without user properties")
    parser.add_argument("--offline-after", type=float, default=180.0, metavar="SECONDS", help="silence that makes a device offline")
    parser.add_argument(
        "--rate-limit", type=int, metavar="REQUESTS", help="of one device within 30 s over HTTP; more are answered 429 (default: no limit)"
    )
    parser.add_argument("--keepalive", type=float, default=15.0, metavar="SECONDS", help="between pings on a web socket (default 15)")
    parser.add_argument("--public-url", help="what boards are told to use, when that is not the address that they register at")
    parser.add_argument(
        "--kapua-fold", action="store_true", help="Kapua: show the notifications of an ended operation in its log only, as Kapua does"
    )
    parser.add_argument(
        "--astarte-realm", default="redpoll", metavar="NAME", help="what devices' Astarte topics begin with (default redpoll)"
    )
    parser.add_argument("--share", metavar="GROUP", help="take a share of the messages, when several hubs use one broker and database")
    parser.add_argument(
        "--until-stdin-closes", action="store_true", help="stop when standard input ends, so that no hub outlives its starter"
    )
    parser.add_argument(
        "--license-key", type=Path, metavar="FILE", help="RSA key that signs licences (default: one made and kept in the data directory)"
    )
    parser.add_argument(
        "--keep-days", type=float, default=retention.DAYS, metavar="DAYS",
        help=f"how long messages, events and what is finished are kept; 0: for ever (default {retention.DAYS:g})",
    )  # fmt: skip
    parser.add_argument(
        "--keep-messages",
        type=int,
        default=retention.MESSAGES,
        metavar="N",
        help=f"messages kept of each device (default {retention.MESSAGES})",
    )
    parser.add_argument("--database", help="SQLAlchemy URL (default: SQLite in the data directory)")


def run(args: argparse.Namespace) -> int:
    """Run the hub until SIGINT or SIGTERM, or print its licence key. Returns 0, or 2 when it could not."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s", stream=sys.stderr)
    logging.getLogger("uvicorn.error").addFilter(_is_fit_for_the_log)
    try:
        if args.what != "run":
            _make_folder(args.data)
            _hand_out(_authority(args.data).pem().decode() if args.what == "ca" else _signer(args).public_pem(), args.out)
            return 0
        choice = _choice(args)
        settings = _settings(args)
        certificates = None if args.no_tls else _certificates(args)
        if certificates is not None:
            settings = replace(settings, ca=certificates.authority.pem())
        with _listening(args.host, args.port) as server:
            asyncio.run(_Process(settings, choice, args.host, server, certificates).serve(args.until_stdin_closes))
    except (StartError, BrokerError) as error:
        print(f"redpoll hub: {error}", file=sys.stderr)
        return 2
    return 0


@dataclass(frozen=True)
class _Broker:
    """The broker that the hub was told to use, when it is up."""

    address: BrokerAddress  # where the hub's own clients find it
    listeners: list[Listener]  # where devices do
    session: str  # the client id of the hub's session there
    certificate_changed: Callable[[], None] = lambda: None
    tells: bool = False  # of sessions, by itself; it does not take `$EDC` either
    keeps_logins: bool = False


class _Process:
    """All that runs, started and stopped in order."""

    def __init__(
        self, settings: Settings, choice: BrokerChoice, host: str, server: socket.socket, certificates: Certificates | None
    ) -> None:
        self._settings = settings
        self._choice = choice
        self._host = host
        self._server = server
        self._certificates = certificates
        self._url = _url(host, server, tls=certificates is not None)

    async def serve(self, until_stdin_closes: bool) -> None:
        """Until SIGINT or SIGTERM. Raises StartError and BrokerError."""
        settings = self._settings
        stopping = asyncio.Event()
        loop = asyncio.get_running_loop()
        if until_stdin_closes:
            loop.add_reader(sys.stdin.fileno(), _stop_at_end_of_stdin, loop, stopping)
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, stopping.set)
        async with contextlib.AsyncExitStack() as stack:
            hub = Hub(settings)
            try:
                await hub.open()
            except SchemaError as error:
                raise StartError(f"--database: {error}") from error
            except SQLAlchemyError as error:
                why = _cause(error)
                raise StartError(
                    f"the database cannot be opened: {why}; give a --data that can be written, or another --database"
                ) from error
            stack.push_async_callback(hub.close)
            broker = await self._start_broker(hub, stack)
            hub.mqtt_url = broker.listeners[0].address.url
            hub.url = self._url
            mqtt = XyteMqtt(hub, broker.address, broker.session)
            mqtt_task = asyncio.create_task(mqtt.run())
            stack.push_async_callback(_cancel, mqtt_task)
            await _until_ready(mqtt, mqtt_task, broker.address, stopping)
            kura = KuraMqtt(hub, lambda intake: mqtt.connection(intake, "-kura"), dollar=not broker.tells)
            stack.push_async_callback(_cancel, asyncio.create_task(kura.run()))
            with contextlib.suppress(TimeoutError):  # the hub does without it
                await asyncio.wait_for(kura.ready.wait(), _KURA_SECONDS)
            if broker.keeps_logins:
                logins = LoginKeeper(mqtt.watcher)
                hub.on_login(logins)
                stack.push_async_callback(_cancel, asyncio.create_task(logins.run()))
            astarte = AstarteMqtt(hub, lambda: mqtt.beside("astarte"))
            stack.push_async_callback(_cancel, asyncio.create_task(astarte.run()))
            with contextlib.suppress(TimeoutError):  # it goes on trying
                await asyncio.wait_for(astarte.ready.wait(), _ASTARTE_SECONDS)
            http = _Server(_config(hub, self._certificates))
            http_task = asyncio.create_task(http.serve([self._server]))
            sweep_task = asyncio.create_task(_sweep(hub))
            stack.push_async_callback(_cancel, sweep_task)
            if not broker.tells:
                stack.push_async_callback(_cancel, asyncio.create_task(sessions.watch(mqtt.watcher, hub.on_session)))
            if self._certificates is not None:
                stack.push_async_callback(_cancel, asyncio.create_task(self._certificates.look_after(broker.certificate_changed)))
            while not http.started and not http_task.done():
                await asyncio.sleep(0.01)
            if not stopping.is_set():
                self._announce(broker.listeners)
            stopped = asyncio.create_task(stopping.wait())
            await asyncio.wait({stopped, http_task, mqtt_task, sweep_task}, return_when=asyncio.FIRST_COMPLETED)
            log.info("stopping")
            (settings.data / READY_FILE).unlink(missing_ok=True)
            hub.activities.close()  # ends the streams, which else keep the server open
            http.should_exit = True
            await http_task
            await mqtt.drain()
            await kura.intake.drain()
            mqtt_task.cancel()
            stopped.cancel()

    async def _start_broker(self, hub: Hub, stack: contextlib.AsyncExitStack) -> "_Broker":
        choice, data, session = self._choice, self._settings.data, _session(self._settings)
        if choice.address is not None:
            return _Broker(choice.address, [Listener("MQTT", choice.address)], session)
        await hub.do(lambda unit: presence.all_sessions_down(unit, "the hub was restarted"))
        certificate = None if self._certificates is None else self._certificates.path
        if choice.kind == "mosquitto":

            async def on_end() -> None:
                await hub.do(lambda unit: presence.all_sessions_down(unit, "the broker ended"))

            mosquitto = MosquittoBroker(
                self._host, choice.port, data, lambda: hub.store.read(devices.broker_logins), on_end, certificate
            )  # fmt: skip
            stack.push_async_callback(mosquitto.stop)
            await mosquitto.start()
            return _Broker(
                mosquitto.address, mosquitto.listeners, _session(self._settings), mosquitto.certificate_changed, keeps_logins=True
            )
        embedded = EmbeddedBroker(self._host, choice.port, data, hub.on_session, certificate)
        stack.push_async_callback(embedded.stop)
        await embedded.start()
        return _Broker(embedded.address, embedded.listeners, session, tells=True)

    def _announce(self, listeners: list[Listener]) -> None:
        """Write hub.json, whole or not at all, and say where the hub is."""
        data, certificates = self._settings.data, self._certificates
        ready: dict[str, Any] = {"url": self._url, "mqtt_url": listeners[0].address.url, "pid": os.getpid()}
        if len(listeners) > 1:
            ready["mqtt311_url"] = listeners[1].address.url
        if certificates is not None:
            ready["ca"] = str((data / CA_FILE).resolve())
        temporary = data / f"{READY_FILE}.new"
        temporary.write_text(json.dumps(ready))
        temporary.replace(data / READY_FILE)
        shown_url = self._settings.public_url or self._url
        key = data / KEY_FILE
        kept = key.exists() and key.read_text().strip() == self._settings.operator_key
        print(f"hub at {shown_url}")
        for listener in listeners:
            print(f"  {listener.speaks:<10}  {listener.address.url}")
        if means_every(self._host):
            print(f"  addresses   of this machine, to be used instead: {', '.join(own_hosts()[1:])}")
        boards = f'"entry": "{shown_url}/xyte"' + ("" if certificates is None else ', "ca": "ca.pem"')
        print(f"  boards      {boards}")
        if certificates is None:
            print("  CA          none: nothing is encrypted (--no-tls)")
        else:
            print(
                f"  CA          {data / CA_FILE}, also at {shown_url}/ca.pem and by `redpoll hub ca --data {data}`: put it onto the board"
            )
            print(f"              as ca.pem; its SHA-256 is {certificates.authority.fingerprint()}")
        print(f"  operator    {shown_url}/docs; the key for Authorization is {f'in {key}' if kept else 'the one you gave'}")
        print(f"  activity    {shown_url}/activity?follow=1", flush=True)


def _stop_at_end_of_stdin(loop: asyncio.AbstractEventLoop, stopping: asyncio.Event) -> None:
    if not os.read(sys.stdin.fileno(), 4096):
        loop.remove_reader(sys.stdin.fileno())
        stopping.set()


async def _until_ready(mqtt: XyteMqtt, task: asyncio.Task[None], address: BrokerAddress, stopping: asyncio.Event) -> None:
    waits = {asyncio.create_task(mqtt.ready.wait()), asyncio.create_task(stopping.wait())}
    await asyncio.wait({*waits, task}, timeout=_MQTT_SECONDS, return_when=asyncio.FIRST_COMPLETED)
    for wait in waits:
        wait.cancel()
    if not mqtt.ready.is_set() and not stopping.is_set():
        why = mqtt.problem or "it does not answer"
        raise StartError(f"--broker: no MQTT 5 connection to {address.url} ({why}); start that broker, or use --broker embedded:0")


def _config(hub: Hub, certificates: Certificates | None) -> uvicorn.Config:
    return uvicorn.Config(
        make_app(hub),
        ssl_context_factory=None if certificates is None else lambda _config, _default: certificates.context,
        log_config=None,
        access_log=False,
        server_header=False,
        lifespan="off",
        timeout_graceful_shutdown=3,
        timeout_keep_alive=75,
        ws_ping_interval=hub.settings.keepalive,
        ws_ping_timeout=hub.settings.keepalive,
        ws_max_size=64 * 1024,  # what a client of the Span feed says is one small object
        ws_per_message_deflate=False,  # it would cost some 300 KB of each connection
    )


def _is_fit_for_the_log(record: logging.LogRecord) -> bool:
    """uvicorn logs the address of each web socket, which may have a token in it, and takes each that is refused for an error of ours."""
    message = str(record.msg)
    return "WebSocket" not in message and not message.startswith("ASGI callable returned without completing handshake")


class _Server(uvicorn.Server):
    """uvicorn without its own signal handling: the hub stops its parts in its own order."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def _url(host: str, server: socket.socket, *, tls: bool) -> str:
    shown = "127.0.0.1" if host in ("0.0.0.0", "::", "") else host
    return f"http{'s' if tls else ''}://{f'[{shown}]' if ':' in shown else shown}:{server.getsockname()[1]}"


async def _sweep(hub: Hub) -> None:
    """What is to be done now and then, for as long as the hub runs; an outage of the database is waited out."""
    pruned = 0.0
    while True:
        await asyncio.sleep(min(_SWEEP_MAX_SECONDS, hub.settings.offline_after / 4))
        try:
            await hub.sweep()
            if time.monotonic() - pruned > _PRUNE_SECONDS:
                pruned = time.monotonic()
                await hub.prune()
        except SQLAlchemyError as error:
            if not is_outage(error):
                raise
            log.error("the database cannot be used: %s", _cause(error))


async def _cancel(task: asyncio.Task[None]) -> None:
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


@contextlib.contextmanager
def _listening(host: str, port: int) -> Iterator[socket.socket]:
    if not 0 <= port <= 65535:
        raise StartError(f"--port {port}: a port is 0 to 65535; 0 takes a free one")
    try:
        server = _open_listener(host, port)
    except OSError as error:
        in_use = error.errno == errno.EADDRINUSE
        what = f"--port {port}: port {port} is in use on {host}" if in_use else f"--host {host} --port {port}: {error.strerror}"
        raise StartError(f"{what}; stop what uses it, or take another (--port 0 finds a free one)") from error
    with server:
        yield server


def _open_listener(host: str, port: int) -> socket.socket:
    # asyncio turns Nagle's algorithm off only where the protocol is named; with it, each answer would wait 40 ms
    server = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        server.bind((host, port))
        server.listen(2048)
    except OSError:
        server.close()
        raise
    return server


def _settings(args: argparse.Namespace) -> Settings:
    for option, seconds in (("--offline-after", args.offline_after), ("--keepalive", args.keepalive)):
        if not seconds > 0:
            raise StartError(f"{option}: the seconds must be more than 0")
    if not REALM.fullmatch(args.astarte_realm):
        raise StartError(f"--astarte-realm {args.astarte_realm}: a realm is a small letter and up to 47 small letters and digits")
    if args.rate_limit is not None and not 1 <= args.rate_limit <= RATE_LIMIT_MAX:
        raise StartError(f"--rate-limit: the requests within 30 s must be 1 to {RATE_LIMIT_MAX}")
    if not args.keep_days >= 0 or args.keep_messages < 1:
        raise StartError("--keep-days, --keep-messages: keep 0 days (for ever) or more, and 1 message or more")
    public = urlsplit(args.public_url or "http://any")
    if public.scheme not in ("http", "https") or not public.hostname:
        raise StartError(f"--public-url {args.public_url}: write an http:// or https:// address")
    data: Path = args.data
    _make_folder(data)
    try:
        _lock(data / LOCK_FILE)
        (data / READY_FILE).unlink(missing_ok=True)
        key = args.operator_key or os.environ.get("REDPOLL_OPERATOR_KEY") or _kept_key(data / KEY_FILE)
    except OSError as error:
        raise StartError(f"--data {data}: {error.strerror or error}; give a directory that can be written") from error
    database = args.database or f"sqlite:///{(data / 'hub.sqlite').resolve()}"
    return Settings(
        keepalive=args.keepalive,
        data=data, operator_key=key, database_url=database, signer=_signer(args),
        public_url=args.public_url and args.public_url.rstrip("/"), lenient=args.lenient, offline_after=args.offline_after,
        share_group=args.share, kapua_fold=args.kapua_fold, rate_limit=args.rate_limit, astarte_realm=args.astarte_realm,
        keep=retention.Keep(args.keep_days or None, args.keep_messages),
    )  # fmt: skip


def _make_folder(data: Path) -> None:
    try:
        data.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StartError(f"--data {data}: {error.strerror or error}; give a directory that can be written") from error


def _choice(args: argparse.Namespace) -> BrokerChoice:
    """The broker, with the login and CA of another one. Raises BrokerError and StartError."""
    choice = parse_broker(args.broker)
    if choice.address is None:
        for option, value in (("--broker-login", args.broker_login), ("--broker-ca", args.broker_ca)):
            if value is not None:
                raise StartError(f"{option}: the hub starts this broker itself; it is for --broker mqtt(s)://host")
        return choice
    address, ca = choice.address, args.broker_ca
    login = os.environ.get("REDPOLL_BROKER_LOGIN", "")
    if args.broker_login is not None:
        try:
            login = args.broker_login.read_text().strip()
        except (OSError, ValueError) as error:
            raise StartError(f"--broker-login {args.broker_login}: {getattr(error, 'strerror', None) or 'not a text'}") from None
    if login:
        username, colon, password = login.partition(":")
        if not username or not colon or "\n" in login:
            where = "REDPOLL_BROKER_LOGIN" if args.broker_login is None else f"--broker-login {args.broker_login}"
            raise StartError(f"{where}: write one line USER:PASSWORD")
        address = replace(address, username=username, password=password)
    if ca is not None:
        address = replace(address, ca=ca)
        try:
            address.tls_context()
        except OSError as error:  # ssl.SSLError is one
            raise StartError(f"--broker-ca {ca}: {error.strerror or 'no certificate in PEM'}") from None
    return replace(choice, address=address)


def _certificates(args: argparse.Namespace) -> Certificates:
    """The CA and certificate of this data directory, made when there are none. Raises StartError."""
    for name in args.host_name:
        try:
            check_host(name)
        except ValueError as error:
            raise StartError(f"--host-name: {error}") from None
    try:
        return Certificates(args.data, args.host, urlsplit(args.public_url or "").hostname, *args.host_name)
    except (OSError, ValueError) as error:
        raise _no_ca(args.data, error) from None


def _authority(data: Path) -> Authority:
    try:
        return Authority.kept(data)
    except (OSError, ValueError) as error:
        raise _no_ca(data, error) from None


def _no_ca(data: Path, error: OSError | ValueError) -> StartError:
    why = error.strerror if isinstance(error, OSError) else error
    return StartError(f"--data {data}: no CA: {why}; remove that file for a new CA (boards must then be given it), or use --no-tls")


def _hand_out(text: str, path: Path | None) -> None:
    if path is None:
        print(text, end="")
        return
    try:
        path.write_text(text)
    except OSError as error:
        raise StartError(f"--out {path}: {error.strerror}") from None


def _signer(args: argparse.Namespace) -> Signer:
    """The key that signs licences; made, readable by its owner only, when there is none yet."""
    path: Path = args.license_key or args.data / LICENSE_KEY_FILE
    try:
        return Signer.kept(path)
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else error
        raise StartError(f"--license-key {path}: {why}; give an RSA key in PEM, or a place where one can be made") from error


def _lock(path: Path) -> None:
    """Hold the directory for as long as this process lives. Raises StartError when another hub has it."""
    file = path.open("a")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        raise StartError(f"--data {path.parent}: another hub is running on this directory; stop it, or give another directory") from None
    _held.append(file)


def _session(settings: Settings) -> str:
    """The client id under which a broker keeps this hub's session: one of this directory, and of what it subscribes to."""
    path = settings.data / SESSION_FILE
    with contextlib.suppress(FileNotFoundError):
        return f"{path.read_text().strip()}-{settings.share_group or 'all'}"
    path.write_text(f"redpoll-hub-{secrets.token_hex(6)}")
    return _session(settings)


def _kept_key(path: Path) -> str:
    """The operator key of this data directory; made, readable by its owner only, when there is none yet."""
    with contextlib.suppress(FileNotFoundError):
        kept = path.read_text().strip()
        if kept:
            return kept
    made = secrets.token_urlsafe(24)
    temporary = path.with_suffix(".new")
    with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(made)
    temporary.replace(path)
    return made


def _cause(error: SQLAlchemyError) -> str:
    return str(getattr(error, "orig", None) or error).splitlines()[0]
