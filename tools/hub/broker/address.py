"""Which broker was asked for, where one is, and what each must let through."""

import ssl
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

from tools.hub.ports import is_free

PACKET_MAX = 512 * 1024  # bytes in one publish: telemetry may have 128 KB


class BrokerError(Exception):
    """The broker cannot be used as asked; the text says why and what to do."""


@dataclass(frozen=True)
class BrokerAddress:
    """Where a broker is."""

    host: str
    port: int
    tls: bool = False
    username: str | None = None
    password: str | None = None
    ca: Path | None = None  # of its certificate; None: those that this machine trusts

    def tls_context(self) -> ssl.SSLContext | None:
        """For a client of it. Raises OSError when the CA cannot be read."""
        return ssl.create_default_context(cafile=self.ca) if self.tls else None

    @property
    def url(self) -> str:
        """For others to read: without user name and password."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"mqtt{'s' if self.tls else ''}://{host}:{self.port}"


@dataclass(frozen=True)
class Listener:
    """Where devices find a broker, and what it speaks there."""

    speaks: str  # such as "MQTT 5"
    address: BrokerAddress


@dataclass(frozen=True)
class BrokerChoice:
    """What --broker says: one of ours on a port (0: a free one; None: the usual one), or another one's address."""

    kind: str  # embedded, mosquitto, or other
    port: int | None = None
    address: BrokerAddress | None = None


def parse_broker(text: str) -> BrokerChoice:
    """Read `embedded[:PORT]`, `mosquitto[:PORT]` or `mqtt(s)://[user:password@]host[:port]`.

    Raises BrokerError; its text never repeats a password.
    """
    how = "write embedded:1883, embedded:0 for a free port, mosquitto, or mqtt://host:1883"
    kind, _, rest = text.partition(":")
    if kind in ("embedded", "mosquitto"):
        if rest and not (rest.isascii() and rest.isdigit() and int(rest) <= 65535):
            raise BrokerError(f"--broker {text}: {rest!r} is not a port; {how}")
        return BrokerChoice(kind, port=int(rest) if rest else None)
    try:
        parts = urlsplit(text)
        port, host = parts.port, parts.hostname
    except ValueError:
        raise BrokerError(f"--broker: the address cannot be read; {how}") from None
    if parts.scheme not in ("mqtt", "mqtts") or not host:
        raise BrokerError(f"--broker: {parts.scheme or text[:20]!r} is not a broker that the hub knows; {how}")
    if parts.path not in ("", "/") or parts.query:
        raise BrokerError(f"--broker: an MQTT address has no path or query; {how}")
    tls = parts.scheme == "mqtts"
    username = unquote(parts.username) if parts.username else None
    password = unquote(parts.password) if parts.password else None
    return BrokerChoice("other", address=BrokerAddress(host, port or usual_port(tls=tls), tls, username, password))


def usual_port(*, tls: bool) -> int:
    """IANA's for MQTT."""
    return 8883 if tls else 1883


def check_port_is_free(kind: str, host: str, port: int) -> None:
    """Raises BrokerError, which says what to do. Port 0 always is."""
    if not is_free(host, port):
        raise BrokerError(
            f"--broker {kind}:{port}: port {port} is in use on {host}; stop what uses it, or take another port ({kind}:0 finds a free one)"
        )
