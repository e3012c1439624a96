"""Certificates made by openssl for tests of TLS: two authorities, three servers, one device."""

import contextlib
import shutil
import subprocess
from pathlib import Path

import pytest

needs_openssl = pytest.mark.skipif(not shutil.which("openssl"), reason="openssl is not installed (it makes the certificates)")


def openssl(*arguments: str, cwd: Path) -> None:
    subprocess.run(["openssl", *arguments], cwd=cwd, check=True, capture_output=True)


def make_certificates(folder: Path) -> None:
    """ca and other: authorities. server, elsewhere, expired and device: certificates of ca. NAME.pem and NAME.key of each."""
    for name in ("ca", "other"):
        openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", f"{name}.key", "-out", f"{name}.pem", "-subj", f"/CN={name}",
                "-days", "2", cwd=folder)  # fmt: skip
    servers = (("server", "localhost", "2"), ("elsewhere", "elsewhere.test", "2"), ("expired", "localhost", "-1"))
    for name, host, days in (*servers, ("device", "dev", "2")):
        (folder / "names").write_text(f"subjectAltName=DNS:{host}")
        openssl("req", "-newkey", "rsa:2048", "-nodes", "-keyout", f"{name}.key", "-out", f"{name}.csr", "-subj", f"/CN={host}", cwd=folder)
        with contextlib.suppress(subprocess.CalledProcessError):  # an openssl that does not make expired certificates
            openssl("x509", "-req", "-in", f"{name}.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-out", f"{name}.pem",
                    "-days", days, "-extfile", "names", cwd=folder)  # fmt: skip
    openssl("x509", "-in", "ca.pem", "-outform", "DER", "-out", "ca.der", cwd=folder)
    (folder / "bundle.pem").write_text((folder / "other.pem").read_text() + (folder / "ca.pem").read_text())
