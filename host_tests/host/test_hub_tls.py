"""The hub over TLS: who is let in, what the CA and the certificates are, and what a client cannot do to the others."""

import asyncio
import contextlib
import errno
import json
import socket
import ssl
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import paho.mqtt.client as paho
import pytest
from cryptography import x509
from hub_support import RunHub, registration
from waiting import DEADLINE, wait_for

from tools.cli import main
from tools.hub.broker import terminator
from tools.hub.process import HubProcess
from tools.hub.security import certificates
from tools.hub.security.authority import Authority, own_hosts, server_context
from tools.hub.tasks import cancel
from tools.paths import ROOT


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HubProcess]:
    with HubProcess(tmp_path_factory.mktemp("tls"), tls=True) as running:
        yield running


@pytest.fixture(scope="module")
def other_ca(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("other") / "other.pem"
    path.write_bytes(Authority.made("other").pem())
    return path


def trusting(ca: Path | None) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=ca)


def register(hub: HubProcess) -> dict[str, Any]:
    answer = httpx.post(f"{hub.entry_url}/v1/devices", json=registration(), verify=trusting(hub.ca))
    assert answer.status_code == 201
    made: dict[str, Any] = answer.json()
    return made


def connect(url: str, ca: Path, protocol: int) -> str:
    """Connect to a broker and go again: what it said, or what was wrong with its certificate."""
    client = paho.Client(paho.CallbackAPIVersion.VERSION2, protocol=protocol)
    client.tls_set_context(trusting(ca))
    said: list[str] = []
    client.on_connect = lambda _client, _data, _flags, reason, _properties: said.append(str(reason))
    parts = urlsplit(url)
    assert parts.scheme == "mqtts" and parts.hostname and parts.port
    try:
        client.connect(parts.hostname, parts.port, keepalive=30)
    except ssl.SSLCertVerificationError as error:
        return error.verify_message
    deadline = time.monotonic() + DEADLINE
    while not said:
        assert time.monotonic() < deadline
        client.loop(0.1)
    client.disconnect()
    return said[0]


# ---- who is let in


def test_everything_that_a_device_is_told_is_encrypted(hub: HubProcess) -> None:
    told = register(hub)
    assert told["hub_url"] == f"{hub.url}/xyte" and hub.url.startswith("https://")
    assert told["mqtt_hub_url"] == hub.mqtt_url and hub.mqtt_url.startswith("mqtts://")


def test_a_client_that_does_not_know_the_ca_does_not_talk_to_the_hub(hub: HubProcess, other_ca: Path) -> None:
    for context in (trusting(None), trusting(other_ca)):
        with pytest.raises(httpx.ConnectError, match="certificate verify failed"):
            httpx.get(f"{hub.url}/health", verify=context)
    assert httpx.get(f"{hub.url}/health", verify=trusting(hub.ca)).status_code == 200


@pytest.mark.parametrize(("which", "protocol"), [("mqtt_url", paho.MQTTv5), ("mqtt311_url", paho.MQTTv311)])
def test_both_versions_of_mqtt_are_spoken_over_tls(hub: HubProcess, other_ca: Path, which: str, protocol: int) -> None:
    assert hub.ca
    url = json.loads((hub.data / "hub.json").read_text())[which]
    assert connect(url, hub.ca, protocol) == "Success"
    assert connect(url, other_ca, protocol) == "unable to get local issuer certificate"


def test_the_hub_can_be_reached_by_each_of_its_names(hub: HubProcess) -> None:
    port = urlsplit(hub.url).port
    for name in ("localhost", "127.0.0.1"):
        assert httpx.get(f"https://{name}:{port}/health", verify=trusting(hub.ca)).status_code == 200


def test_the_banner_says_what_is_spoken_where_and_what_to_do_with_the_ca(hub: HubProcess) -> None:
    ready = json.loads((hub.data / "hub.json").read_text())
    shown = hub.output()
    assert f"MQTT 5      {ready['mqtt_url']}" in shown and f"MQTT 3.1.1  {ready['mqtt311_url']}" in shown
    assert f"--entry {hub.entry_url} --ca {hub.ca}" in shown
    assert Authority.kept(hub.data).fingerprint() in shown


def test_clients_that_connect_and_say_nothing_keep_nobody_out(hub: HubProcess) -> None:
    assert hub.ca
    with contextlib.ExitStack() as stack:
        for url in (hub.url, hub.mqtt_url):
            parts = urlsplit(url)
            for beginning in (b"", b"\x16\x03\x01\x02\x00\x01", b"GET / HTTP/1.1\r\n\r\n", b"\x10\x10\x00\x04MQTT"):
                for _ in range(5):
                    sock = stack.enter_context(socket.create_connection((parts.hostname, parts.port)))
                    sock.sendall(beginning)
        assert connect(hub.mqtt_url, hub.ca, paho.MQTTv5) == "Success"
        assert httpx.get(f"{hub.url}/health", verify=trusting(hub.ca)).status_code == 200


# ---- the CA


def test_the_ca_is_handed_out_and_its_key_is_not(hub: HubProcess, tmp_path: Path, run_hub: RunHub) -> None:
    assert hub.ca
    pem = hub.ca.read_text()
    assert "PRIVATE" not in pem and pem.count("-----BEGIN") == 1
    answer = httpx.get(f"{hub.url}/ca.pem", verify=trusting(hub.ca))
    assert (answer.text, answer.headers["content-type"]) == (pem, "application/x-pem-file")
    assert run_hub("ca", "--data", str(hub.data)) == (0, pem, "")
    assert run_hub("ca", "--data", str(hub.data), "--out", str(tmp_path / "ca.pem")) == (0, "", "")
    assert (tmp_path / "ca.pem").read_text() == pem
    for name in ("ca.key", "server.pem"):
        assert stat.S_IMODE((hub.data / name).stat().st_mode) == 0o600


def test_a_hub_without_tls_has_no_ca(tmp_path: Path) -> None:
    with HubProcess(tmp_path) as plain:
        assert plain.ca is None
        answer = httpx.get(f"{plain.url}/ca.pem")
        assert (answer.status_code, answer.json()["error"]) == (404, "This hub has no CA: it was started with --no-tls")
        assert "nothing is encrypted (--no-tls)" in plain.output()


def test_the_ca_is_made_once_and_before_the_first_start_too(tmp_path: Path, run_hub: RunHub) -> None:
    status, first, _ = run_hub("ca", "--data", str(tmp_path))
    assert status == 0
    assert Authority.kept(tmp_path).pem().decode() == first == run_hub("ca", "--data", str(tmp_path))[1]
    (tmp_path / "ca.pem").unlink()
    assert run_hub("ca", "--data", str(tmp_path))[1] == first == (tmp_path / "ca.pem").read_text()


def test_a_damaged_key_is_named_and_not_quoted(tmp_path: Path, run_hub: RunHub) -> None:
    (tmp_path / "ca.key").write_text("planted-secret-71aa")
    for arguments in (("ca",), ("--port", "0", "--broker", "embedded:0")):
        status, out, error = run_hub(*arguments, "--data", str(tmp_path))
        assert status == 2
        assert "ca.key holds no private key" in error and "--no-tls" in error
        assert "planted-secret-71aa" not in out + error


# ---- certificates


def served(folder: Path) -> x509.Certificate:
    return x509.load_pem_x509_certificate((folder / "server.pem").read_bytes())


def test_a_certificate_is_kept_until_it_is_due(tmp_path: Path) -> None:
    ca = Authority.kept(tmp_path)
    hosts = ["localhost", "127.0.0.1", "bench.example"]
    assert ca.serve(tmp_path, hosts)
    first = served(tmp_path)
    assert not ca.serve(tmp_path, hosts) and not ca.serve(tmp_path, hosts[:1])
    assert served(tmp_path) == first
    assert timedelta(days=390) < first.not_valid_after_utc - datetime.now(UTC) < timedelta(days=398)
    assert first.not_valid_before_utc.year == 2000, "a board that does not know the time lets the hub in"
    assert not ca.serve(tmp_path, hosts, datetime.now(UTC) + timedelta(days=365))
    assert ca.serve(tmp_path, hosts, datetime.now(UTC) + timedelta(days=370))
    assert served(tmp_path) != first


@pytest.mark.parametrize("damage", ["", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"])
def test_a_certificate_that_is_another_cas_or_damaged_or_lacks_a_name_is_issued_anew(tmp_path: Path, damage: str) -> None:
    ca = Authority.kept(tmp_path)
    ca.serve(tmp_path, ["localhost"])
    assert ca.serve(tmp_path, ["localhost", "::1"])
    Authority.made("another").serve(tmp_path, ["localhost"])
    assert ca.serve(tmp_path, ["localhost"])
    (tmp_path / "server.pem").write_text(damage)
    assert ca.serve(tmp_path, ["localhost"])
    served(tmp_path).verify_directly_issued_by(ca.certificate)


def test_a_host_name_that_is_given_is_in_the_certificate(tmp_path: Path) -> None:
    with HubProcess(tmp_path, tls=True) as hub:
        before = served(tmp_path)
        hub.stop()
        hub.start()
        assert served(tmp_path) == before
    more = ("--host-name", "bench.example", "--host-name", "192.0.2.77", "--public-url", "https://hub.example:8480")
    with HubProcess(tmp_path, tls=True, extra=more):
        names = served(tmp_path).extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert {"localhost", "bench.example", "hub.example"} <= set(names.get_values_for_type(x509.DNSName))
    assert {"127.0.0.1", "::1", "192.0.2.77"} <= set(map(str, names.get_values_for_type(x509.IPAddress)))


@pytest.mark.parametrize("name", ["", "a..b", "x" * 300, "häuschen"])
def test_a_host_name_that_is_none_is_refused(tmp_path: Path, run_hub: RunHub, name: str) -> None:
    status, _, error = run_hub("--host-name", name, "--port", "0", "--broker", "embedded:0", "--data", str(tmp_path))
    assert status == 2 and "--host-name" in error


def test_addresses_that_mean_every_one_are_in_no_certificate() -> None:
    hosts = own_hosts("0.0.0.0", "::", "", None, "bench.example")
    assert hosts[:4] == ["localhost", "127.0.0.1", "::1", "bench.example"]
    assert not {"0.0.0.0", "::", ""} & set(hosts)


def test_a_running_hub_renews_its_certificate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(certificates, "_LOOK_SECONDS", 0.01)
    monkeypatch.setattr(terminator, "_LOOK_SECONDS", 0.01)

    async def shown_on(port: int) -> bytes:
        context = ssl.create_default_context(cafile=tmp_path / "ca.pem")
        _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
        found: bytes = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
        writer.close()
        return found

    async def scenario() -> None:
        made = certificates.Certificates(tmp_path, "bench.example")
        own = server_context(made.path)
        servers = [await terminator.terminate("127.0.0.1", 0, 9, context) for context in (made.context, own)]
        ports = [server.sockets[0].getsockname()[1] for server in servers]
        first = [await shown_on(port) for port in ports]
        told = asyncio.Event()
        tasks = [
            asyncio.create_task(made.look_after(told.set)),
            asyncio.create_task(terminator.follow_certificate(own, made.path)),
        ]
        monkeypatch.setattr(certificates, "own_hosts", lambda *more: [*own_hosts(*more), "another.example"])
        await asyncio.wait_for(told.wait(), DEADLINE)
        for port, before in zip(ports, first, strict=True):
            async with asyncio.timeout(DEADLINE):
                while await shown_on(port) == before:
                    await asyncio.sleep(0.01)
        for task in tasks:
            task.cancel()
        for server in servers:
            server.close()

    asyncio.run(scenario())


def test_a_new_certificate_that_cannot_be_read_at_once_is_read_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A hub that has no more files to open, say, has written it before."""
    monkeypatch.setattr(certificates, "_LOOK_SECONDS", 0.01)

    async def scenario() -> None:
        made = certificates.Certificates(tmp_path, "bench.example")
        load, failures = made.context.load_cert_chain, [OSError(errno.EMFILE, "Too many open files")]

        def fails_once(path: Path) -> None:
            if failures:
                raise failures.pop()
            load(path)

        monkeypatch.setattr(made.context, "load_cert_chain", fails_once)
        monkeypatch.setattr(certificates, "own_hosts", lambda *more: [*own_hosts(*more), "another.example"])
        told = asyncio.Event()
        looking = asyncio.create_task(made.look_after(told.set))
        await asyncio.wait_for(told.wait(), DEADLINE)
        await cancel(looking)

    asyncio.run(scenario())


# ---- the terminator


def test_what_passes_the_terminator_is_whole_both_ways_though_the_reader_is_slow(tmp_path: Path) -> None:
    ca = Authority.kept(tmp_path)
    ca.serve(tmp_path, ["127.0.0.1"])
    sent = bytes(range(256)) * 40_000  # 10 MB: more than any buffer on the way

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
        writer.close()

    async def scenario() -> None:
        plain = await asyncio.start_server(echo, "127.0.0.1", 0)
        context = server_context(tmp_path / "server.pem")
        tls = await terminator.terminate("127.0.0.1", 0, plain.sockets[0].getsockname()[1], context)
        port = tls.sockets[0].getsockname()[1]
        reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=trusting(tmp_path / "ca.pem"))

        async def send() -> None:
            writer.write(sent)
            await writer.drain()

        sending = asyncio.create_task(send())
        await asyncio.sleep(0)
        assert await reader.readexactly(len(sent)) == sent
        await sending
        writer.close()
        await writer.wait_closed()
        tls.close()
        plain.close()

    asyncio.run(asyncio.wait_for(scenario(), 60))


def test_when_one_side_goes_the_other_goes(tmp_path: Path) -> None:
    ca = Authority.kept(tmp_path)
    ca.serve(tmp_path, ["127.0.0.1"])

    async def scenario() -> None:
        heard: asyncio.Queue[bytes] = asyncio.Queue()
        hang_up = asyncio.Event()

        async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            if hang_up.is_set():
                writer.write(b"last words")
                writer.close()
            heard.put_nowait(await reader.read())

        plain = await asyncio.start_server(listen, "127.0.0.1", 0)
        context = server_context(tmp_path / "server.pem")
        tls = await terminator.terminate("127.0.0.1", 0, plain.sockets[0].getsockname()[1], context)
        port = tls.sockets[0].getsockname()[1]
        client = trusting(tmp_path / "ca.pem")
        _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=client)
        writer.write(b"first words")
        writer.close()
        assert await heard.get() == b"first words"
        hang_up.set()
        reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=client)
        assert await reader.read() == b"last words"
        writer.close()
        plain.close()
        await plain.wait_closed()
        reader, _ = await asyncio.open_connection("127.0.0.1", port, ssl=client)
        with contextlib.suppress(ConnectionError):
            assert await reader.read() == b"", "the plain listener is gone"
        tls.close()

    asyncio.run(asyncio.wait_for(scenario(), DEADLINE))


def test_the_operator_and_redpoll_watch_verify_the_hub(hub: HubProcess, other_ca: Path, capsys: pytest.CaptureFixture[str]) -> None:
    device = register(hub)
    assert device["id"] in {item["id"] for item in hub.operator.devices()}
    key = hub.data / "key"
    key.write_text(hub.operator_key)
    command = [sys.executable, "-m", "tools.cli", "watch", "--data", str(hub.data), "--key-file", str(key), "--json"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as watch:
        assert watch.stdout is not None
        line = json.loads(watch.stdout.readline())
        watch.terminate()
    assert line["event"] in events_of(hub)
    for ca, said in ((hub.data / "gone.pem", "there is no such file"), (key, "holds no certificate")):
        assert main([*command[3:], "--ca", str(ca)]) == 2
        assert said in capsys.readouterr().err
    with subprocess.Popen([*command, "--ca", str(other_ca)], cwd=ROOT, stderr=subprocess.PIPE, text=True) as watch:
        assert watch.stderr is not None
        assert "certificate verify failed" in watch.stderr.readline()
        watch.terminate()


def events_of(hub: HubProcess) -> set[str]:
    return {item["event"] for item in wait_for(hub.operator.activities, "activities")}


def test_two_authorities_have_not_the_same_name() -> None:
    one, two = Authority.made("Redpoll hub CA"), Authority.made("Redpoll hub CA")
    assert one.certificate.subject != two.certificate.subject
