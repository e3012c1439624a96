"""net.stream's TLS on both interpreters: who is let in, and that a server which stops in the handshake ends at the deadline."""

import contextlib
import re
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest
from certificates import make_certificates
from interpreters import INTERPRETERS, run
from listening import listening
from waiting import in_time

from tools.paths import ROOT

DEADLINE_MS = 20000

ATTEMPT = """
import sys
from redpoll.net.stream import Stream
from redpoll.net.tls import context as tls_context
from redpoll.port import ticks_diff, ticks_ms
host, port, ca, cert, key, deadline = sys.argv[1:]
started = ticks_ms()
try:
    stream = Stream(host, int(port), tls_context(ca, cert, key), int(deadline))
    stream.write(b"hello")
    answer = bytearray(10)
    while not stream.readinto(answer):
        stream.poll(100)
        if ticks_diff(ticks_ms(), started) > 20000:
            raise ValueError("no answer")
    print("in", bytes(answer[:5]))
except OSError as error:
    print("out", ticks_diff(ticks_ms(), started), error)
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The certificates, and attempt.py: the client."""
    made = tmp_path_factory.mktemp("tls")
    make_certificates(made)
    (made / "attempt.py").write_text(ATTEMPT)
    return made


@contextlib.contextmanager
def echo(folder: Path, name: str, *, ask: bool = False, answer: bytes = b"") -> Iterator[int]:
    """A TLS server with this certificate that sends back what comes, or `answer`; `ask`: it wants a client certificate. -> its port."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / f"{name}.pem", folder / f"{name}.key")
    if ask:
        context.load_verify_locations(folder / "ca.pem")
        context.verify_mode = ssl.CERT_REQUIRED

    def talk(plain: socket.socket) -> None:
        with context.wrap_socket(plain, server_side=True) as sock:
            came = sock.recv(100)
            sock.sendall(answer or came)
            sock.recv(100)

    with listening(talk) as port:
        yield port


def attempt(interpreter: str, folder: Path, port: int, ca: str, client: str = "", deadline: int = DEADLINE_MS) -> str:
    cert, key = (str(folder / f"{client}.pem"), str(folder / f"{client}.key")) if client else ("", "")
    return run(interpreter, str(folder / "attempt.py"), "localhost", str(port), str(folder / ca), cert, key, str(deadline))


@pytest.mark.parametrize("interpreter", INTERPRETERS)
@pytest.mark.parametrize("ca", ["ca.pem", "ca.der", "bundle.pem"])
def test_the_right_authority_and_name_are_let_in(folder: Path, interpreter: str, ca: str) -> None:
    with echo(folder, "server") as port:
        assert attempt(interpreter, folder, port, ca) == "in b'hello'\n"


# what each interpreter's TLS says: (CPython, MicroPython)
UNKNOWN = ("unable to get local issuer certificate", "not correctly signed by the trusted CA")
ELSEWHERE = ("certificate is not valid for 'localhost'", "does not match with the expected CN")
EXPIRED = ("certificate has expired", "validity has expired")
NOT_TLS = ("WRONG_VERSION_NUMBER", "INVALID_RECORD")


def kept_out(said: str, interpreter: str, reasons: tuple[str, str]) -> None:
    """The attempt failed within its deadline, and the error says why."""
    word, took, reason = said.split(maxsplit=2)
    assert word == "out"
    assert int(took) < DEADLINE_MS
    assert reasons[INTERPRETERS.index(interpreter)] in reason


@pytest.mark.parametrize("interpreter", INTERPRETERS)
@pytest.mark.parametrize(
    ("server", "ca", "reasons"), [("server", "other.pem", UNKNOWN), ("elsewhere", "ca.pem", ELSEWHERE), ("expired", "ca.pem", EXPIRED)]
)
def test_a_wrong_authority_name_or_date_is_kept_out(folder: Path, interpreter: str, server: str, ca: str, reasons: tuple[str, str]) -> None:
    with echo(folder, server) as port:
        kept_out(attempt(interpreter, folder, port, ca), interpreter, reasons)


SELECTING = """
import select, sys
from redpoll.net.tls import context as tls_context
from redpoll.net.mqtt import MQTTClient
got = []
client = MQTTClient("id", "localhost", int(sys.argv[1]), ssl=tls_context(sys.argv[2]))
client.set_callback(lambda topic, msg: got.append(msg))
client.connect()
poller = select.poll()
poller.register(client.sock, select.POLLIN)
while len(got) < 12 and poller.poll(20000):
    client.check_msg()
print(len(got), len(poller.poll(0)))
"""


def test_select_tells_of_messages_that_tls_holds_back(folder: Path, tmp_path: Path) -> None:
    program = tmp_path / "selecting.py"
    program.write_text(SELECTING)
    # one record of TLS, more than the client takes at once
    message = b"\x30" + bytes([0x80 | 1003 & 127, 1003 >> 7]) + b"\0\x01t" + bytes(1000)
    with echo(folder, "server", answer=b"\x20\x02\0\0" + message * 12) as port:
        assert run("micropython", str(program), str(port), str(folder / "ca.pem")) == "12 0\n"


@pytest.mark.parametrize("interpreter", INTERPRETERS)
def test_a_server_that_wants_a_client_certificate_lets_in_only_who_has_one(folder: Path, interpreter: str) -> None:
    with echo(folder, "server", ask=True) as port:
        assert attempt(interpreter, folder, port, "ca.pem", "device") == "in b'hello'\n"
    with echo(folder, "server", ask=True) as port:
        assert attempt(interpreter, folder, port, "ca.pem").startswith("out ")


@pytest.mark.parametrize("interpreter", INTERPRETERS)
def test_a_plain_server_on_the_tls_port_is_an_error(folder: Path, interpreter: str) -> None:
    def talk(sock: socket.socket) -> None:
        sock.recv(1000)
        sock.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        sock.recv(1000)

    with listening(talk) as port:
        kept_out(attempt(interpreter, folder, port, "ca.pem"), interpreter, NOT_TLS)


@pytest.mark.parametrize("interpreter", INTERPRETERS)
def test_a_server_that_stops_in_the_handshake_ends_at_the_deadline(folder: Path, interpreter: str) -> None:
    def took() -> int:
        with socket.create_server(("127.0.0.1", 0)) as server:
            word, ms, _ = attempt(interpreter, folder, server.getsockname()[1], "ca.pem", deadline=2000).split(maxsplit=2)
        assert word == "out"
        assert int(ms) >= 2000
        return int(ms)

    in_time(took, 3000)


FORMS = """
import ssl, sys
from redpoll.net.mqtt import MQTTClient
port, ca, form = sys.argv[1:]
def made(verify):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    with open(ca, "rb") as file:
        context.load_verify_locations(cadata=file.read())
    if not verify and sys.implementation.name == "cpython":
        context.check_hostname = False
    context.verify_mode = ssl.CERT_REQUIRED if verify else ssl.CERT_NONE
    return context
context, trusting = made(True), made(False)
try:
    eval('MQTTClient("me", "localhost", int(port), %s)' % form).connect()
    print("taken")
except Exception as error:
    print("%s: %s" % (type(error).__name__, error))
"""


@pytest.mark.parametrize("interpreter", INTERPRETERS)
def test_what_an_mqtt_client_is_given_as_ssl_does_what_the_document_says(tmp_path: Path, folder: Path, interpreter: str) -> None:
    (tmp_path / "forms.py").write_text(FORMS)
    rows = re.findall(r"^\| `(ssl=.*?)`.*?(taken|`\w+Error: .*?`)", (ROOT / "docs" / "mqtt.md").read_text(), re.M)
    assert len(rows) == 5
    for form, said in rows:
        with echo(folder, "server", answer=b"\x20\x02\0\0") as port:
            assert run(interpreter, str(tmp_path / "forms.py"), str(port), str(folder / "ca.der"), form) == said.strip("`") + "\n", form
