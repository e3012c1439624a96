"""The hub's own certificate authority: one CA in the data directory, made once, and certificates of it for servers and devices.

    ca.pem       the CA's certificate: what clients are given
    ca.key       its private key and certificate, for the owner only
    server.pem   the hub's private key and certificate, for the owner only; issued anew before it expires and when a name is missing

Keys are ECDSA P-256: what every MicroPython port's TLS takes, at a fraction of RSA's memory and time. Each certificate is valid from the
year 2000 on, for a board that has just been switched on believes in 2000 or 2021 and must be let in to learn the time.
"""

import contextlib
import ipaddress
import socket
import ssl
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import ifaddr
from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from tools.private import write_private

CA_FILE = "ca.pem"
CA_KEY_FILE = "ca.key"
SERVER_FILE = "server.pem"
_NOT_BEFORE = datetime(2000, 1, 1, tzinfo=UTC)
_CA_DAYS = 3650
_DAYS = 397  # what browsers take at most
_RENEW_DAYS = 30  # before it expires


@dataclass(frozen=True)
class Issued:
    """A certificate and its private key, both in PEM."""

    certificate: bytes
    key: bytes


class Authority:
    """A CA: its certificate for all, its key to issue with."""

    def __init__(self, key: ec.EllipticCurvePrivateKey, certificate: x509.Certificate) -> None:
        self._key = key
        self.certificate = certificate

    @classmethod
    def made(cls, name: str) -> "Authority":
        """A new one. Its certificate's common name is `name` and the beginning of its key's fingerprint, so no two have the same."""
        key = ec.generate_private_key(ec.SECP256R1())
        mark = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
        subject = _name(f"{name} {mark.digest.hex()[:8]}")
        until = datetime.now(UTC) + timedelta(days=_CA_DAYS)
        builder = _builder(subject, subject, key.public_key(), until)
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        builder = builder.add_extension(_usage(certificates=True), critical=True).add_extension(mark, critical=False)
        return cls(key, builder.sign(key, hashes.SHA256()))

    @classmethod
    def kept(cls, folder: Path) -> "Authority":
        """The one in this directory, made now when there is none. Raises OSError, and ValueError when ca.key holds none."""
        path = folder / CA_KEY_FILE
        if not path.exists():
            made = cls.made("Redpoll hub CA")
            with contextlib.suppress(FileExistsError):  # whoever makes one at the same moment, both then have the same
                write_private(path, _key_pem(made._key) + made.pem(), replace=False)
        found = cls._load(path)
        public = folder / CA_FILE
        if not public.exists() or public.read_bytes() != found.pem():
            public.write_bytes(found.pem())
        return found

    @classmethod
    def _load(cls, path: Path) -> "Authority":
        key, certificate = _read(path)
        return cls(key, certificate)

    def pem(self) -> bytes:
        """The certificate, for whoever is to trust this authority."""
        return self.certificate.public_bytes(serialization.Encoding.PEM)

    def der(self) -> bytes:
        return self.certificate.public_bytes(serialization.Encoding.DER)

    def fingerprint(self) -> str:
        """SHA-256 of the certificate, as `openssl x509 -fingerprint -sha256` prints it."""
        return self.certificate.fingerprint(hashes.SHA256()).hex(":").upper()

    def issue(self, name: str, hosts: list[str], *, client: bool = False, until: datetime | None = None) -> Issued:
        """A certificate for a server that is reached by these host names and addresses, or for a client; `until`: 397 days when None."""
        key = ec.generate_private_key(ec.SECP256R1())
        builder = _builder(_name(name), self.certificate.subject, key.public_key(), until or datetime.now(UTC) + timedelta(days=_DAYS))
        purpose = ExtendedKeyUsageOID.CLIENT_AUTH if client else ExtendedKeyUsageOID.SERVER_AUTH
        mark = self.certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
        for extension, critical in (
            (x509.BasicConstraints(ca=False, path_length=None), True),
            (_usage(certificates=False), True),
            (x509.ExtendedKeyUsage([purpose]), False),
            (x509.SubjectAlternativeName([_general_name(host) for host in hosts] or [x509.DNSName(name)]), False),
            (x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False),
            (x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(mark), False),
        ):
            builder = builder.add_extension(extension, critical=critical)
        certificate = builder.sign(self._key, hashes.SHA256())
        return Issued(certificate.public_bytes(serialization.Encoding.PEM), _key_pem(key))

    def serve(self, folder: Path, hosts: list[str], now: datetime | None = None) -> bool:
        """See that server.pem is there, is ours, has each of these hosts and does not expire soon. Returns whether it was issued anew."""
        path = folder / SERVER_FILE
        with contextlib.suppress(OSError, ValueError):
            if self._will_do(_read(path)[1], hosts, now or datetime.now(UTC)):
                return False
        made = self.issue("Redpoll hub", hosts)
        write_private(path, made.key + made.certificate)
        return True

    def _will_do(self, certificate: x509.Certificate, hosts: list[str], now: datetime) -> bool:
        try:
            certificate.verify_directly_issued_by(self.certificate)
        except (InvalidSignature, ValueError, TypeError):
            return False
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        return certificate.not_valid_after_utc > now + timedelta(days=_RENEW_DAYS) and all(_general_name(host) in names for host in hosts)


def own_hosts(*more: str | None) -> list[str]:
    """The names and addresses that this machine may be reached by, and `more`, without those that are none or mean every address."""
    name = socket.gethostname()
    addresses = [ip.ip if ip.is_IPv4 else ip.ip[0] for adapter in ifaddr.get_adapters() for ip in adapter.ips]
    local = [name, socket.getfqdn(), f"{name.partition('.')[0]}.local"]
    found: dict[str, None] = {}
    for host in ["localhost", "127.0.0.1", "::1", *filter(None, more), *local, *map(str, addresses)]:
        with contextlib.suppress(ValueError):
            if not means_every(host) and _general_name(host):
                found.setdefault(host)
    return list(found)


def check_host(host: str) -> str:
    """The host, if a certificate can have it. Raises ValueError."""
    _general_name(host)
    return host


def server_context(path: Path) -> ssl.SSLContext:
    """For a server with the key and certificate in this file. `load_cert_chain` with a newer file changes it while it is in use."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2  # what boards speak
    context.load_cert_chain(path)
    return context


def _read(path: Path) -> tuple[ec.EllipticCurvePrivateKey, x509.Certificate]:
    pem = path.read_bytes()
    try:
        key = serialization.load_pem_private_key(pem, None)
        certificate = x509.load_pem_x509_certificate(pem)
    except (ValueError, TypeError, UnsupportedAlgorithm):  # their texts could quote the file
        raise ValueError(f"{path} holds no private key with its certificate in PEM") from None
    if not isinstance(key, ec.EllipticCurvePrivateKey) or key.public_key() != certificate.public_key():
        raise ValueError(f"{path} holds a key and a certificate that do not belong together")
    return key, certificate


def _key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    form = serialization.PrivateFormat.PKCS8
    return key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption())


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _builder(subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, until: datetime) -> x509.CertificateBuilder:
    builder = x509.CertificateBuilder().subject_name(subject).issuer_name(issuer).public_key(key)
    return builder.serial_number(x509.random_serial_number()).not_valid_before(_NOT_BEFORE).not_valid_after(until)


def _usage(*, certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not certificates, key_cert_sign=certificates, crl_sign=certificates, content_commitment=False,
        key_encipherment=False, data_encipherment=False, key_agreement=False, encipher_only=False, decipher_only=False,
    )  # fmt: skip


def means_every(host: str) -> bool:
    """Whether who listens on this host listens on every address."""
    return host in ("", "0.0.0.0", "::")


def _general_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host.partition("%")[0]))
    except ValueError:
        if not host or len(host) > 253 or not all(part and len(part) <= 63 for part in host.split(".")):
            raise ValueError(f"{host!r} is neither a host name nor an address") from None
        return x509.DNSName(host)  # ValueError for what is not ASCII
