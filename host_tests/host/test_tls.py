"""net.stream's TLS on both interpreters: who is let in, and that a server which stops in the handshake ends at the deadline."""

import contextlib
import shutil
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from interpreters import INTERPRETERS, run

pytestmark = pytest.mark.skipif(not shutil.which("openssl"), reason="openssl is not installed (it makes the certificates)")

ATTEMPT = """
import sys
from redpoll.net.stream import Stream, tls_context
from redpoll.port import ticks_diff, ticks_ms
host, port, ca, cert, key = sys.argv[1:]
started = ticks_ms()
try:
    stream = Stream(host, int(port), tls_context(ca, cert, key), 2000)
    stream.write(b"hello")
    answer = bytearray(10)
    while not stream.readinto(answer):
        stream.poll(100)
        if ticks_diff(ticks_ms(), started) > 5000:
            raise ValueError("no answer")
    print("in", bytes(answer[:5]))
except OSError as error:
    print("out", ticks_diff(ticks_ms(), started), error)
"""


def openssl(*arguments: str, cwd: Path) -> None:
    subprocess.run(["openssl", *arguments], cwd=cwd, check=True, capture_output=True)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """ca and other: authorities. server, elsewhere, expired and device: certificates of ca. attempt.py: the client."""
    made = tmp_path_factory.mktemp("tls")
    for name in ("ca", "other"):
        openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", f"{name}.key", "-out", f"{name}.pem", "-subj", f"/CN={name}",
                "-days", "2", cwd=made)  # fmt: skip
    servers = (("server", "localhost", "2"), ("elsewhere", "elsewhere.test", "2"), ("expired", "localhost", "-1"))
    for name, host, days in (*servers, ("device", "dev", "2")):
        (made / "names").write_text(f"subjectAltName=DNS:{host}")
        openssl("req", "-newkey", "rsa:2048", "-nodes", "-keyout", f"{name}.key", "-out", f"{name}.csr", "-subj", f"/CN={host}", cwd=made)
        with contextlib.suppress(subprocess.CalledProcessError):  # an openssl that does not make expired certificates
            openssl("x509", "-req", "-in", f"{name}.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-out", f"{name}.pem",
                    "-days", days, "-extfile", "names", cwd=made)  # fmt: skip
    openssl("x509", "-in", "ca.pem", "-outform", "DER", "-out", "ca.der", cwd=made)
    (made / "bundle.pem").write_text((made / "other.pem").read_text() + (made / "ca.pem").read_text())
    (made / "attempt.py").write_text(ATTEMPT)
    return made


@contextlib.contextmanager
def echo(folder: Path, name: str, *, ask: bool = False) -> Iterator[int]:
    """A TLS server with this certificate that sends back what comes; `ask`: it wants a client certificate. -> its port."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / f"{name}.pem", folder / f"{name}.key")
    if ask:
        context.load_verify_locations(folder / "ca.pem")
        context.verify_mode = ssl.CERT_REQUIRED

    def serve() -> None:
        with contextlib.suppress(OSError), server.accept()[0] as plain, context.wrap_socket(plain, server_side=True) as sock:
            sock.sendall(sock.recv(100))
            sock.recv(100)

    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=serve, daemon=True).start()
        yield int(server.getsockname()[1])


def attempt(interpreter: str, folder: Path, port: int, ca: str, client: str = "") -> str:
    cert, key = (str(folder / f"{client}.pem"), str(folder / f"{client}.key")) if client else ("", "")
    return run(interpreter, str(folder / "attempt.py"), "localhost", str(port), str(folder / ca), cert, key)


@pytest.mark.parametrize("interpreter", INTERPRETERS)
@pytest.mark.parametrize("ca", ["ca.pem", "ca.der", "bundle.pem"])
def test_the_right_authority_and_name_are_let_in(folder: Path, interpreter: str, ca: str) -> None:
    with echo(folder, "server") as port:
        assert attempt(interpreter, folder, port, ca) == "in b'hello'\n"


@pytest.mark.parametrize("interpreter", INTERPRETERS)
@pytest.mark.parametrize(("server", "ca"), [("server", "other.pem"), ("elsewhere", "ca.pem"), ("expired", "ca.pem")])
def test_a_wrong_authority_name_or_date_is_kept_out(folder: Path, interpreter: str, server: str, ca: str) -> None:
    if not (folder / f"{server}.pem").exists():
        pytest.skip("this openssl makes no expired certificates")
    with echo(folder, server) as port:
        said = attempt(interpreter, folder, port, ca)
    assert said.startswith("out ")
    assert "certificate" in said.lower()


@pytest.mark.parametrize("interpreter", INTERPRETERS)
def test_client_certificates(folder: Path, interpreter: str) -> None:
    with echo(folder, "server", ask=True) as port:
        assert attempt(interpreter, folder, port, "ca.pem", "device") == "in b'hello'\n"
    with echo(folder, "server", ask=True) as port:
        assert attempt(interpreter, folder, port, "ca.pem").startswith("out ")


@pytest.mark.parametrize("interpreter", INTERPRETERS)
def test_a_plain_server_on_the_tls_port_is_an_error(folder: Path, interpreter: str) -> None:
    def serve() -> None:
        with contextlib.suppress(OSError), server.accept()[0] as sock:
            sock.recv(1000)
            sock.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            sock.recv(1000)

    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=serve, daemon=True).start()
        assert attempt(interpreter, folder, server.getsockname()[1], "ca.pem").startswith("out ")


@pytest.mark.parametrize("interpreter", INTERPRETERS)
def test_a_server_that_stops_in_the_handshake_ends_at_the_deadline(folder: Path, interpreter: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        said = attempt(interpreter, folder, server.getsockname()[1], "ca.pem").split()
    assert said[0] == "out"
    assert 2000 <= int(said[1]) < 3000
