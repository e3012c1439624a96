"""The hub's own RSA key, which signs licences: PKCS#1 v1.5 over SHA-256 (RFC 8017 §8.2), base64, 2048 bits.

The vendor documents neither hash nor padding nor encoding (reference xyte §4); these are the firmware's defaults.
"""

import base64
import contextlib
import os
import secrets
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

ALGORITHM = "pkcs1v15-sha256"  # as the firmware's settings name it
ENCODING = "base64"
_BITS = 2048


class Signer:
    """Signs with a private key and shows the public one."""

    def __init__(self, key: rsa.RSAPrivateKey) -> None:
        self._key = key

    @classmethod
    def kept(cls, path: Path) -> "Signer":
        """The key in this file, made now when there is none. Raises OSError, and ValueError when the file holds no RSA key."""
        with contextlib.suppress(FileNotFoundError):
            return cls._load(path)
        _make(path)
        return cls._load(path)

    @classmethod
    def _load(cls, path: Path) -> "Signer":
        try:
            key = serialization.load_pem_private_key(path.read_bytes(), None)
        except (ValueError, TypeError, UnsupportedAlgorithm):  # their texts could quote the file
            raise ValueError(f"{path} holds no private key in PEM without a password") from None
        if not isinstance(key, rsa.RSAPrivateKey) or key.key_size < _BITS:
            raise ValueError(f"{path} holds no RSA key of {_BITS} bits or more")
        return cls(key)

    def sign(self, text: str) -> str:
        """The signature of the text's UTF-8 bytes, in base64."""
        return base64.b64encode(self._key.sign(text.encode(), padding.PKCS1v15(), hashes.SHA256())).decode()

    def public_pem(self) -> str:
        """What boards have as `license_key`: SubjectPublicKeyInfo in PEM."""
        form = serialization.PublicFormat.SubjectPublicKeyInfo
        return self._key.public_key().public_bytes(serialization.Encoding.PEM, form).decode()


def _make(path: Path) -> None:
    """A new key in the file, for its owner only; whoever else makes one at the same moment, both then have the same."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=_BITS)
    form = serialization.PrivateFormat.PKCS8
    pem = key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption())
    temporary = path.with_name(f"{path.name}.{secrets.token_hex(4)}.new")
    try:
        with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(pem)
            file.flush()
            os.fsync(file.fileno())
        with contextlib.suppress(FileExistsError):
            path.hardlink_to(temporary)
    finally:
        temporary.unlink(missing_ok=True)
