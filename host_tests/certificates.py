"""Certificates for tests of TLS: two authorities, three servers, one device."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

from tools.hub.security.authority import Authority


def make_certificates(folder: Path) -> None:
    """ca and other: authorities. server, elsewhere, expired and device: certificates of ca. NAME.pem and NAME.key of each."""
    ca, other = Authority.made("ca"), Authority.made("other")
    (folder / "ca.pem").write_bytes(ca.pem())
    (folder / "ca.der").write_bytes(ca.der())
    (folder / "other.pem").write_bytes(other.pem())
    (folder / "bundle.pem").write_bytes(other.pem() + ca.pem())
    yesterday = datetime.now(UTC) - timedelta(days=1)
    issued = {
        "server": ca.issue("localhost", ["localhost"]),
        "elsewhere": ca.issue("elsewhere.test", ["elsewhere.test"]),
        "expired": ca.issue("localhost", ["localhost"], until=yesterday),
        "device": ca.issue("dev", [], client=True),
    }
    for name, made in issued.items():
        (folder / f"{name}.pem").write_bytes(made.certificate)
        (folder / f"{name}.key").write_bytes(made.key)
